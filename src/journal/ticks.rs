//! Ticks: every 15 minutes one is kept whole, as a keyframe; the others keep what differs from it.
//!
//! A difference is JSON: an object goes down into fields, or elements by their position; a list of one replaces what is there.

use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use super::schema::{Failure, Writer};
use super::{Asked, Names, Said, Silence, Tick};
use crate::explain;
use crate::units::{Span, Time};

/// A keyframe is compared with for this long: what a tick costs grows with its distance.
const KEYFRAME_EVERY: Span = Span::from_minutes(15);

/// A daemon that runs and may write notes a tick more often than that, also when nothing changes: see [`super::QUIET_TICK_EVERY`].
const SILENCE: Span = Span::from_minutes(15);

/// How Zstandard marks its frames; no JSON begins like that.
const PACKED: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The tick that others are compared with.
#[derive(Debug)]
pub(super) struct Keyframe {
    pub(super) number: i64,
    at: Time,
    value: Value,
    bytes: usize,
}

pub(super) fn note(writer: &mut Writer, tick: &Tick) -> Result<(), Failure> {
    let value = serde_json::to_value(tick)?;
    let says = !tick.reasons.is_empty();
    let near = writer.keyframe.as_ref().filter(|keyframe| {
        let age = tick.at.since(keyframe.at);
        Span::ZERO <= age && age < KEYFRAME_EVERY
    });
    if let Some(keyframe) = near {
        let body = pack(&difference(&keyframe.value, &value).unwrap_or_else(nothing))?;
        // A tick that has little in common with the keyframe, after a reload, becomes one itself.
        if body.len() < keyframe.bytes / 2 || keyframe.bytes < 1024 {
            return insert(&writer.connection, tick.at, says, keyframe.number, &body);
        }
    }
    let whole = pack(&value)?;
    let transaction = writer.connection.transaction()?;
    transaction
        .prepare_cached("INSERT INTO keyframes (at, body) VALUES (?1, ?2)")?
        .execute(params![tick.at.millis(), whole])?;
    let number = transaction.last_insert_rowid();
    insert(&transaction, tick.at, says, number, &pack(&nothing())?)?;
    transaction.commit()?;
    writer.keyframe = Some(Keyframe {
        number,
        at: tick.at,
        value,
        bytes: whole.len(),
    });
    Ok(())
}

fn insert(connection: &Connection, at: Time, says: bool, keyframe: i64, body: &[u8]) -> Result<(), Failure> {
    connection
        .prepare_cached("INSERT INTO ticks (at, says, keyframe, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![at.millis(), says, keyframe, body])?;
    Ok(())
}

/// What `of` makes of each tick that is asked for, newest first.
pub(super) fn tell<T>(connection: &Connection, asked: &Asked, of: impl Fn(Tick) -> T) -> Result<Vec<T>, Failure> {
    let mut ticks = Vec::new();
    if asked.last == 0 {
        return Ok(ticks);
    }
    // As it was at a time means also: nothing was said then.
    let all = asked.at.is_some();
    each(connection, asked.at.unwrap_or(Time::FAR_FUTURE), all, |mut tick| {
        if asked.environment.is_some() || asked.queue.is_some() {
            let names = std::mem::take(&mut tick.names);
            tick.reasons.retain(|said| is_asked(said, asked, &names));
            tick.names = names;
        }
        if all || !tick.reasons.is_empty() {
            ticks.push(of(tick));
        }
        ticks.len() < asked.last
    })?;
    Ok(ticks)
}

/// The latest tick at a time, whatever it says.
pub(super) fn latest(connection: &Connection, until: Time) -> Result<Option<Tick>, Failure> {
    let mut latest = None;
    each(connection, until, true, |tick| {
        latest = Some(tick);
        false
    })?;
    Ok(latest)
}

/// Whether too long was noted nothing around a time, after the latest tick until then. What is yet to come is no silence.
pub(super) fn silence(connection: &Connection, latest: Time, at: Time, now: Time) -> Result<Option<Silence>, Failure> {
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(at) FROM ticks WHERE at > ?1")?
        .query_row([at.millis()], |row| row.get(0))?;
    let until = next.map_or(at.min(now), Time::from_millis);
    let silent = latest < at && until.since(latest) > SILENCE;
    Ok(silent.then(|| Silence {
        until,
        sentence: explain::silence(latest, until),
    }))
}

/// Rebuilds ticks, newest first, for as long as `more` wants some.
fn each(connection: &Connection, until: Time, all: bool, mut more: impl FnMut(Tick) -> bool) -> Result<(), Failure> {
    let mut statement = connection.prepare(
        "SELECT number, keyframe, body FROM ticks WHERE (says OR ?2) AND at <= ?1 ORDER BY at DESC, number DESC",
    )?;
    let mut rows = statement.query(params![until.millis(), all])?;
    let mut known: Option<(i64, Value)> = None;
    while let Some(row) = rows.next()? {
        let (number, keyframe): (i64, i64) = (row.get(0)?, row.get(1)?);
        if known.as_ref().is_none_or(|(known, _)| *known != keyframe) {
            let body: Vec<u8> = connection
                .prepare_cached("SELECT body FROM keyframes WHERE number = ?1")?
                .query_row([keyframe], |row| row.get(0))?;
            known = Some((keyframe, unpack(&body)?));
        }
        let Some((_, whole)) = &known else { continue };
        let mut value = whole.clone();
        let body: Vec<u8> = row.get(2)?;
        if !apply(unpack(&body)?, &mut value) {
            return Err(Failure::Content(format!("tick {number} does not fit its keyframe")));
        }
        if !more(serde_json::from_value(value)?) {
            break;
        }
    }
    Ok(())
}

/// Asked of a queue, what is said of its environments and of the sources that feed it is part of the answer: an option that was
/// rejected is one of them.
fn is_asked(said: &Said, asked: &Asked, names: &Names) -> bool {
    let is = |kind: &str, name: &Option<String>| said.kind == kind && name.as_ref() == Some(&said.name);
    let of_queue = |queue: &String| match said.kind.as_str() {
        "environment" => names.environments_of(queue).contains(&said.name),
        "sqs" => names.feeds(&said.name, queue),
        _ => said.name == *queue,
    };
    is("environment", &asked.environment) || asked.queue.as_ref().is_some_and(of_queue)
}

fn nothing() -> Value {
    Value::Object(Map::new())
}

/// What makes `new` of `old`; `None` if they are equal.
pub(super) fn difference(old: &Value, new: &Value) -> Option<Value> {
    let changed: Map<String, Value> = match (old, new) {
        (Value::Object(old), Value::Object(new))
            if old.len() == new.len() && new.keys().all(|key| old.contains_key(key)) =>
        {
            let pairs = new.iter().filter_map(|(key, new)| Some((key, old.get(key)?, new)));
            pairs
                .filter_map(|(key, old, new)| Some((key.clone(), difference(old, new)?)))
                .collect()
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            let pairs = old.iter().zip(new).enumerate();
            pairs
                .filter_map(|(at, (old, new))| Some((at.to_string(), difference(old, new)?)))
                .collect()
        }
        _ if old == new => return None,
        _ => return Some(Value::Array(vec![new.clone()])),
    };
    (!changed.is_empty()).then_some(Value::Object(changed))
}

/// Undoes [`difference`]; `false` if the two do not belong together.
pub(super) fn apply(difference: Value, to: &mut Value) -> bool {
    match difference {
        Value::Array(mut replaced) => match (replaced.pop(), replaced.is_empty()) {
            (Some(new), true) => {
                *to = new;
                true
            }
            _ => false,
        },
        Value::Object(changed) => changed.into_iter().all(|(key, change)| {
            let slot = match to {
                Value::Object(fields) => fields.get_mut(&key),
                Value::Array(elements) => key.parse().ok().and_then(|at: usize| elements.get_mut(at)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            slot.is_some_and(|slot| apply(change, slot))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// JSON, packed where that is shorter.
fn pack(value: &Value) -> Result<Vec<u8>, Failure> {
    let plain = serde_json::to_vec(value)?;
    let packed = zstd::encode_all(plain.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
    Ok(if packed.len() < plain.len() { packed } else { plain })
}

fn unpack(body: &[u8]) -> Result<Value, Failure> {
    if body.starts_with(&PACKED) {
        return Ok(serde_json::from_slice(&zstd::decode_all(body)?)?);
    }
    Ok(serde_json::from_slice(body)?)
}
