//! Intents and outcomes, leases, memory: what must survive a crash.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::schema::{Failure, Writer};
use super::{Asked, Decision, Ended, Intent, Owner, Recovered, Remembered};
use crate::control::{Lease, Outcome};
use crate::units::{Time, Vcpus, to_i64};

pub(super) fn recover(connection: &Connection) -> Result<Recovered, Failure> {
    let (memory, forgotten) = match remembered(connection) {
        Ok(memory) => (memory, None),
        // Memory may be lost: what is in force stands in the leases and the intents.
        Err(Failure::Json(error)) => (Remembered::default(), Some(error.to_string())),
        Err(failure) => return Err(failure),
    };
    let mut statement = connection.prepare("SELECT environment, min_vcpus, expires, max_before FROM leases")?;
    let leases = statement.query_map([], |row| {
        let lease = Lease {
            min_vcpus: Vcpus::new(row.get(1)?),
            expires: Time::from_millis(row.get(2)?),
        };
        Ok((row.get(0)?, (lease, row.get::<_, Option<i64>>(3)?.map(Vcpus::new))))
    })?;
    let leases = leases.collect::<Result<_, _>>()?;
    let mut statement = connection.prepare("SELECT number, body FROM intents WHERE ended IS NULL ORDER BY number")?;
    let mut rows = statement.query([])?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        open.push(intent(
            row.get(0)?,
            row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?,
        )?);
    }
    Ok(Recovered {
        owner: owner(connection)?,
        heard: super::ledger::heard(connection)?,
        memory,
        leases,
        open,
        forgotten,
    })
}

fn owner(connection: &Connection) -> Result<Option<Owner>, Failure> {
    let mut statement = connection.prepare("SELECT value FROM about WHERE key = ?1")?;
    let mut value = |key: &str| statement.query_row([key], |row| row.get(0)).optional();
    let (account, region) = (value("account")?, value("region")?);
    Ok(account.zip(region).map(|(account, region)| Owner { account, region }))
}

pub(super) fn own(writer: &mut Writer, owner: &Owner) -> Result<(), Failure> {
    writer.connection.execute(
        "INSERT OR REPLACE INTO about VALUES ('account', ?1), ('region', ?2)",
        [&owner.account, &owner.region],
    )?;
    Ok(())
}

/// Counts how often a write was tried for its own sake.
pub(super) fn attempt(writer: &mut Writer) -> Result<(), Failure> {
    let sql = "INSERT INTO about VALUES ('attempts', 1) ON CONFLICT DO UPDATE SET value = value + 1";
    writer.connection.execute(sql, [])?;
    Ok(())
}

fn remembered(connection: &Connection) -> Result<Remembered, Failure> {
    let body: Option<String> = connection
        .query_row("SELECT body FROM memory", [], |row| row.get(0))
        .optional()?;
    Ok(body
        .map(|body| serde_json::from_str(&body))
        .transpose()?
        .unwrap_or_default())
}

fn intent(number: i64, body: &str) -> Result<Intent, Failure> {
    let intent: Intent = serde_json::from_str(body)?;
    Ok(Intent { number, ..intent })
}

pub(super) fn commit(writer: &mut Writer, intent: &Intent, memory: &Remembered) -> Result<i64, Failure> {
    let body = serde_json::to_string(intent)?;
    let memory = serde_json::to_string(memory)?;
    let transaction = writer.connection.transaction()?;
    transaction
        .prepare_cached("INSERT INTO intents (at, environment, body) VALUES (?1, ?2, ?3)")?
        .execute(params![intent.at.millis(), intent.environment, body])?;
    let number = transaction.last_insert_rowid();
    transaction
        .prepare_cached("INSERT INTO memory VALUES (1, ?1) ON CONFLICT DO UPDATE SET body = excluded.body")?
        .execute([memory])?;
    transaction.commit()?;
    Ok(number)
}

pub(super) fn finish(writer: &mut Writer, number: i64, ended: &Ended) -> Result<(), Failure> {
    let body = serde_json::to_string(ended)?;
    let transaction = writer.connection.transaction()?;
    let found: Option<String> = transaction
        .query_row("SELECT body FROM intents WHERE number = ?1", [number], |row| row.get(0))
        .optional()?;
    let Some(found) = found else {
        return Err(Failure::Content(format!("there is no intent {number}")));
    };
    transaction
        .prepare_cached("UPDATE intents SET ended = ?2 WHERE number = ?1 AND ended IS NULL")?
        .execute(params![number, body])?;
    let may_stand = match ended.outcome {
        Outcome::Accepted | Outcome::Failed => true,
        Outcome::Raced | Outcome::Overshoot | Outcome::Throttled => false,
    };
    let intent = intent(number, &found)?;
    // From here on the intent is no longer open; should the process end now, this is all that tells of the lease.
    if let Some(lease) = intent.lease.filter(|_| may_stand) {
        let max_before = remembered(&transaction)
            .unwrap_or_default()
            .environments
            .get(&intent.environment)
            .and_then(|memory| memory.max_before);
        transaction
            .prepare_cached(
                "INSERT INTO leases VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE
                 SET min_vcpus = excluded.min_vcpus, expires = excluded.expires, max_before = excluded.max_before
                 WHERE excluded.expires > expires",
            )?
            .execute(lease_row(&intent.environment, lease, max_before))?;
    }
    transaction.commit()?;
    Ok(())
}

fn lease_row(environment: &str, lease: Lease, max_before: Option<Vcpus>) -> (&str, i64, i64, Option<i64>) {
    let (min, expires) = (lease.min_vcpus.get(), lease.expires.millis());
    (environment, min, expires, max_before.map(Vcpus::get))
}

pub(super) fn leases(writer: &mut Writer, leases: &BTreeMap<String, (Lease, Option<Vcpus>)>) -> Result<(), Failure> {
    let transaction = writer.connection.transaction()?;
    transaction.execute("DELETE FROM leases", [])?;
    for (environment, (lease, max_before)) in leases {
        transaction
            .prepare_cached("INSERT INTO leases VALUES (?1, ?2, ?3, ?4)")?
            .execute(lease_row(environment, *lease, *max_before))?;
    }
    transaction.commit()?;
    Ok(())
}

/// The latest decision of each environment, among the newest `most` of all: one that never had any must not cost a look at everything.
pub(super) fn latest(
    connection: &Connection,
    mut of: BTreeSet<String>,
    most: usize,
) -> Result<BTreeMap<String, Decision>, Failure> {
    let mut statement =
        connection.prepare("SELECT number, environment FROM intents ORDER BY at DESC, number DESC LIMIT ?1")?;
    let mut body = connection.prepare("SELECT body, ended FROM intents WHERE number = ?1")?;
    let mut rows = statement.query([to_i64(most)])?;
    let mut latest = BTreeMap::new();
    while !of.is_empty()
        && let Some(row) = rows.next()?
    {
        let Some(name) = of.take(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?) else {
            continue;
        };
        let number: i64 = row.get(0)?;
        let (body, ended): (String, _) = body.query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        latest.insert(name, decision(number, &body, ended)?);
    }
    Ok(latest)
}

fn decision(number: i64, body: &str, ended: Option<String>) -> Result<Decision, Failure> {
    Ok(Decision {
        intent: intent(number, body)?,
        ended: ended.map(|ended| serde_json::from_str(&ended)).transpose()?,
    })
}

pub(super) fn decisions(connection: &Connection, asked: &Asked) -> Result<Vec<Decision>, Failure> {
    let until = asked.at.unwrap_or(Time::FAR_FUTURE);
    let of = match (&asked.environment, &asked.queue) {
        (None, None) => None,
        (environment, queue) => {
            let mut names: Vec<String> = environment.iter().cloned().collect();
            if let (Some(queue), Some(tick)) = (queue, super::ticks::latest(connection, until)?) {
                names.extend_from_slice(tick.names.environments_of(queue));
            }
            Some(serde_json::to_string(&names)?)
        }
    };
    let mut statement = connection.prepare(
        "SELECT number, body, ended FROM intents
         WHERE (?1 IS NULL OR environment IN (SELECT value FROM json_each(?1))) AND at <= ?2
         ORDER BY at DESC, number DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![of, until.millis(), to_i64(asked.last)])?;
    let mut decisions = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(1)?;
        decisions.push(decision(row.get(0)?, &body, row.get(2)?)?);
    }
    Ok(decisions)
}
