//! The ledger as a trace in the native format, for `simulate`.
//!
//! Submit time is createdAt, of an array that of its parent. The run time is that of the last attempt that began; the job may
//! have ended long after it, waiting for one that never did. The recorded wait counts from the time when nothing was left to
//! wait for: the event of RUNNABLE, else the submission, else the end of the last job that it depended on. A dependency on an
//! array is one on all of its children, also where Batch knew it as N_TO_N. What cannot be replayed is counted.

use std::collections::{BTreeMap, HashMap};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use rusqlite::{Connection, Row};
use sha2::Sha256;

use super::ledger;
use super::schema::Failure;
use crate::ids::{ArrayIndex, JobIndex, ShapeIndex};
use crate::observation::Shape;
use crate::trace::{ArrayJob, Dependency, Ending, Job, LeftOut, Trace};
use crate::units::{Span, Time, Vcpus, to_u32, to_u64, to_usize};

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The jobs.
    pub trace: Trace,
    /// What is not among them.
    pub left_out: LeftOut,
    /// Jobs of unknown size: `simulate` has to be told one.
    pub without_size: u64,
}

/// What is written in place of a name.
pub(super) enum Naming {
    Kept,
    Keyed(Box<Hmac<Sha256>>),
}

impl Naming {
    /// With a key that is used once and kept nowhere: nobody can try names against the hashes afterwards.
    pub(super) fn new(keep_names: bool) -> Result<Self, String> {
        if keep_names {
            return Ok(Self::Kept);
        }
        let mut key = [0; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut key)
            .map_err(|error| format!("could not get a random key to hide names with: {error}"))?;
        let keyed = Hmac::new_from_slice(&key).map_err(|error| format!("could not hide names: {error}"))?;
        Ok(Self::Keyed(Box::new(keyed)))
    }

    fn name(&self, kind: &str, name: &str) -> String {
        match self {
            Self::Kept => name.to_owned(),
            Self::Keyed(keyed) => {
                let mut mac = keyed.clone();
                mac.update(kind.as_bytes());
                mac.update(&[0]);
                mac.update(name.as_bytes());
                let hash = mac.finalize().into_bytes();
                // 64 bits: among a million names, two alike once in tens of millions of exports.
                let hex = hash.iter().take(8).map(|byte| format!("{byte:02x}"));
                format!("{kind}-{}", hex.collect::<String>())
            }
        }
    }
}

/// A job of the ledger.
struct Recorded {
    key: i64,
    id: String,
    queue: String,
    name: String,
    created: Option<Time>,
    /// Of its array, if that is known.
    array_created: Option<Time>,
    array_size: Option<i64>,
    sequential: bool,
    shape: Option<Shape>,
    runnable: Option<Time>,
    /// Of the first attempt and of the last.
    starts: Option<(Time, Time)>,
    /// Of the last attempt that began.
    stopped: Option<Time>,
    /// Of the job.
    end: Option<Time>,
    ended: bool,
    failed: bool,
}

/// The index is named because the order of numbers would else be had by reading the whole ledger.
const SELECT: &str = "
    SELECT j.number, j.id, j.queue, j.name, j.definition, j.created, j.stopped, j.vcpus, j.memory_mib, j.gpus, j.nodes,
      j.listed_vcpus, j.array_size, j.sequential, a.created AS array_created, a.vcpus AS a_vcpus, a.memory_mib AS a_memory, a.gpus AS a_gpus,
      a.nodes AS a_nodes, a.definition AS a_definition, a.name AS a_name,
      (SELECT min(started) FROM attempts WHERE job = j.number) AS first,
      (SELECT max(started) FROM attempts WHERE job = j.number) AS last,
      (SELECT stopped FROM attempts WHERE job = j.number ORDER BY started DESC LIMIT 1) AS last_stopped,
      (SELECT at FROM transitions WHERE job = j.number AND status = 2 AND attempt = 1 AND by_event) AS runnable,
      (SELECT min(at) FROM transitions WHERE job = j.number AND status = 4 AND by_event) AS running,
      (SELECT min(at) FROM transitions WHERE job = j.number AND status IN (5, 6) AND by_event) AS ended_at,
      EXISTS (SELECT 1 FROM transitions WHERE job = j.number AND status IN (5, 6)) AS ended,
      EXISTS (SELECT 1 FROM transitions WHERE job = j.number AND status = 6) AS failed
    FROM jobs j INDEXED BY jobs_latest LEFT JOIN jobs a ON a.id = j.array_parent
    WHERE j.latest >= ?1
      AND COALESCE(a.created, j.created, j.latest) >= ?1 AND COALESCE(a.created, j.created, j.latest) < ?2
    ORDER BY j.number";

impl Recorded {
    fn of(row: &Row) -> rusqlite::Result<Self> {
        let time = |column: &str| -> rusqlite::Result<Option<Time>> {
            Ok(row.get::<_, Option<i64>>(column)?.map(Time::from_millis))
        };
        let first_of = |columns: [&str; 4]| -> rusqlite::Result<String> {
            for column in columns {
                let text: Option<String> = row.get(column)?;
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    return Ok(text);
                }
            }
            Ok("job".to_owned())
        };
        let definition = first_of(["definition", "a_definition", "name", "a_name"])?;
        let nodes: u32 = row.get("nodes")?;
        let listed: Option<i64> = row.get("listed_vcpus")?;
        let listed = listed.map(|vcpus| {
            let mut shape = Shape {
                nodes,
                ..Shape::default()
            };
            shape.resources.vcpus = Vcpus::new(vcpus).scaled_up(1, i64::from(nodes));
            shape
        });
        let own = ledger::shape(row, ["vcpus", "memory_mib", "gpus", "nodes"])?;
        let inherited = ledger::shape(row, ["a_vcpus", "a_memory", "a_gpus", "a_nodes"])?;
        let running = time("running")?;
        Ok(Self {
            key: row.get("number")?,
            id: row.get("id")?,
            queue: row.get("queue")?,
            name: last_part(&definition).to_owned(),
            created: time("created")?,
            array_created: time("array_created")?,
            array_size: row.get("array_size")?,
            sequential: row.get("sequential")?,
            shape: own.or(inherited).or(listed),
            runnable: time("runnable")?,
            starts: time("first")?.or(running).zip(time("last")?.or(running)),
            stopped: time("last_stopped")?,
            end: time("stopped")?.or(time("ended_at")?),
            ended: row.get("ended")?,
            failed: row.get("failed")?,
        })
    }
}

/// What follows the last slash of an ARN, without a revision.
fn last_part(definition: &str) -> &str {
    let name = definition.rsplit('/').next().unwrap_or(definition);
    match name.rsplit_once(':') {
        Some((before, revision)) if !before.is_empty() && revision.bytes().all(|byte| byte.is_ascii_digit()) => before,
        _ => name,
    }
}

/// How many jobs were submitted in this time, arrays by their children, and when something of one of them was last noted.
pub(super) fn count(connection: &Connection, from: Time, to: Time) -> Result<(u64, Option<Time>), Failure> {
    let count = "
        SELECT count(*), max(j.latest) FROM jobs j LEFT JOIN jobs a ON a.id = j.array_parent
        WHERE j.latest >= ?1 AND j.array_size IS NULL
          AND COALESCE(a.created, j.created, j.latest) >= ?1 AND COALESCE(a.created, j.created, j.latest) < ?2";
    let row = |row: &Row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?));
    let (jobs, latest) = connection.query_row(count, [from.millis(), to.millis()], row)?;
    Ok((to_u64(jobs), latest.map(Time::from_millis)))
}

pub(super) fn trace(
    connection: &Connection,
    from: Time,
    to: Time,
    names: &Naming,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Exported, Failure> {
    let mut statement = connection.prepare(SELECT)?;
    let rows = statement.query_map([from.millis(), to.millis()], Recorded::of)?;
    let mut jobs: Vec<Recorded> = rows.collect::<Result<_, _>>()?;
    jobs.retain(|job| wanted(&job.queue));
    let mut exported = Exported::default();
    exported.left_out.unfollowed = unfollowed(connection, from, to, wanted)?;
    let groups = groups(&jobs, &mut exported.left_out);
    let mut out = Writing {
        names,
        exported,
        parents: parents(connection, &jobs)?,
        ends: jobs
            .iter()
            .filter_map(|job| Some((job.id.as_str(), job.end?)))
            .collect(),
        places: HashMap::new(),
        arrays: HashMap::new(),
        tables: Tables::default(),
    };
    for group in &groups {
        out.group(group)?;
    }
    out.depend(&groups);
    let mut exported = out.exported;
    exported.trace.canonicalise();
    let faults = exported.trace.validate();
    match faults.first() {
        None => Ok(exported),
        Some(fault) => Err(Failure::Content(format!("its jobs make no trace: {fault}"))),
    }
}

/// Of each queue at its worst.
fn unfollowed(connection: &Connection, from: Time, to: Time, wanted: &dyn Fn(&str) -> bool) -> Result<u64, Failure> {
    let mut statement =
        connection.prepare("SELECT queue, max(jobs) FROM unfollowed WHERE at > ?1 AND at < ?2 GROUP BY queue")?;
    let hours = [(from - ledger::UNFOLLOWED_PER).millis(), to.millis()];
    let rows = statement.query_map(hours, |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let mut sum = 0;
    for row in rows {
        let (queue, jobs) = row?;
        sum += if wanted(&queue) { to_u64(jobs) } else { 0 };
    }
    Ok(sum)
}

/// Of these jobs, by their keys.
fn parents(connection: &Connection, jobs: &[Recorded]) -> Result<HashMap<i64, Vec<String>>, Failure> {
    let mut statement = connection.prepare("SELECT parent FROM parents WHERE job = ?1 ORDER BY parent")?;
    let mut parents = HashMap::new();
    for job in jobs {
        let of_job = statement.query_map([job.key], |row| row.get(0))?;
        let of_job: Vec<String> = of_job.collect::<Result<_, _>>()?;
        if !of_job.is_empty() {
            parents.insert(job.key, of_job);
        }
    }
    Ok(parents)
}

/// Jobs that are submitted together: a job alone, or an array's children.
struct Group<'a> {
    submit: Time,
    id: &'a str,
    /// The array's own row, if this is one and it is known.
    parent: Option<&'a Recorded>,
    is_array: bool,
    jobs: Vec<&'a Recorded>,
}

impl Group<'_> {
    fn is_sequential(&self) -> bool {
        self.parent.is_some_and(|parent| parent.sequential)
    }
}

/// In the order of submission, without what cannot be replayed.
fn groups<'a>(jobs: &'a [Recorded], left_out: &mut LeftOut) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    let new = |id, is_array| Group {
        submit: Time::FAR_FUTURE,
        id,
        parent: None,
        is_array,
        jobs: Vec::new(),
    };
    let mut seen: HashMap<&str, u64> = HashMap::new();
    for job in jobs {
        if job.array_size.is_some() {
            groups.entry(&job.id).or_insert_with(|| new(&job.id, true)).parent = Some(job);
            continue;
        }
        let array = ledger::child_of(&job.id).map(|(parent, _)| parent);
        if let Some(array) = array {
            *seen.entry(array).or_default() += 1;
        }
        let submit = job.array_created.or(job.created);
        let counted = match (submit, job.starts, job.end) {
            (None, _, _) => &mut left_out.unsubmitted,
            (_, None, _) if job.failed => &mut left_out.never_ran,
            (_, None, _) if job.ended => &mut left_out.unstarted,
            (_, None, _) | (_, _, None) => &mut left_out.unfinished,
            (Some(_), Some(_), Some(_)) if !job.ended => &mut left_out.unfinished,
            (Some(submit), Some(_), Some(_)) => {
                let id = array.unwrap_or(&job.id);
                let group = groups.entry(id).or_insert_with(|| new(id, array.is_some()));
                group.submit = group.submit.min(submit);
                group.jobs.push(job);
                continue;
            }
        };
        *counted += 1;
    }
    for group in groups.values_mut() {
        let size = group.parent.and_then(|parent| parent.array_size).map_or(0, to_u64);
        left_out.unseen += size.saturating_sub(seen.get(group.id).copied().unwrap_or(0));
        group
            .jobs
            .sort_by_key(|job| ledger::child_of(&job.id).map(|(_, index)| index));
    }
    let mut groups: Vec<Group> = groups.into_values().filter(|group| !group.jobs.is_empty()).collect();
    groups.sort_by_key(|group| (group.submit, group.id));
    groups
}

/// Positions in the tables of the trace.
#[derive(Default)]
struct Tables {
    shapes: HashMap<Shape, u32>,
    names: HashMap<String, u32>,
    queues: HashMap<String, u32>,
}

struct Writing<'a> {
    names: &'a Naming,
    exported: Exported,
    parents: HashMap<i64, Vec<String>>,
    ends: HashMap<&'a str, Time>,
    places: HashMap<&'a str, u32>,
    arrays: HashMap<&'a str, (ArrayIndex, Time)>,
    tables: Tables,
}

impl<'a> Writing<'a> {
    fn group(&mut self, group: &Group<'a>) -> Result<(), Failure> {
        let trace = &mut self.exported.trace;
        let array = group.is_array.then(|| ArrayIndex::at(trace.arrays.len()));
        if let Some(array) = array {
            let ends = group.jobs.iter().filter_map(|job| job.end);
            self.arrays.insert(group.id, (array, ends.max().unwrap_or_default()));
            trace.arrays.push(ArrayJob {
                first: JobIndex::at(trace.jobs.len()),
                size: to_u32(group.jobs.len()),
                sequential: group.is_sequential(),
            });
        }
        for job in &group.jobs {
            self.job(job, group, array)?;
        }
        Ok(())
    }

    fn job(&mut self, job: &'a Recorded, group: &Group, array: Option<ArrayIndex>) -> Result<(), Failure> {
        let (Some((first, last)), Some(end)) = (job.starts, job.end) else {
            return Ok(());
        };
        let wait = self.ready(job, group).map(|ready| first.since(ready).max(Span::ZERO));
        let trace = &mut self.exported.trace;
        let queue = intern(&mut self.tables.queues, &mut trace.queues, &job.queue, |name| {
            self.names.name("queue", name)
        });
        let queue = u16::try_from(queue).map_err(|_| Failure::Content("more than 65,536 job queues".to_owned()))?;
        let name = intern(&mut self.tables.names, &mut trace.names, &job.name, |name| {
            self.names.name("job", name)
        });
        let shape = job.shape.unwrap_or(Shape {
            nodes: 1,
            ..Shape::default()
        });
        let sized = shape.resources.vcpus.get() > 0 && shape.resources.memory.get() > 0;
        self.exported.without_size += u64::from(!sized);
        let shape = *self.tables.shapes.entry(shape).or_insert_with(|| {
            trace.shapes.push(shape);
            to_u32(trace.shapes.len() - 1)
        });
        self.places.insert(&job.id, to_u32(trace.jobs.len()));
        trace.jobs.push(Job {
            submit: group.submit,
            run: job.stopped.unwrap_or(end).since(last).max(Span::ZERO),
            recorded_wait: wait.unwrap_or(Job::UNKNOWN_WAIT),
            shape: ShapeIndex(shape),
            name,
            dependencies_start: 0,
            dependencies_count: 0,
            spawners: 0,
            array,
            queue,
            ending: if job.failed { Ending::Failed } else { Ending::Succeeded },
        });
        Ok(())
    }

    /// When nothing was left to wait for; `None` if that is unknown.
    fn ready(&self, job: &Recorded, group: &Group) -> Option<Time> {
        // In a SEQUENTIAL array also for the child before.
        let before = ledger::child_of(&job.id).filter(|(_, index)| group.is_sequential() && *index > 0);
        let before = before.map(|(array, index)| format!("{array}:{}", index - 1));
        let parents = self.parents_of(job, group).chain(before.as_deref());
        let ends = parents.map(|parent| {
            self.ends
                .get(parent)
                .copied()
                .or_else(|| Some(self.arrays.get(parent)?.1))
        });
        job.runnable
            .or_else(|| ends.into_iter().try_fold(group.submit, |at, end| Some(at.max(end?))))
    }

    /// Its own parents and those of its array.
    fn parents_of<'b>(&'b self, job: &'b Recorded, group: &'b Group) -> impl Iterator<Item = &'b str> {
        let keys = [Some(job.key), group.parent.map(|parent| parent.key)];
        let all = keys.into_iter().flatten().filter_map(|key| self.parents.get(&key));
        all.flatten()
            .map(String::as_str)
            // A SEQUENTIAL array may be said to wait for itself.
            .filter(|parent| *parent != group.id && *parent != job.id)
    }

    fn depend(&mut self, groups: &[Group<'a>]) {
        let mut dependencies = Vec::new();
        let (mut counts, mut unknown) = (Vec::new(), 0);
        for group in groups {
            for job in &group.jobs {
                let start = dependencies.len();
                for parent in self.parents_of(job, group) {
                    let known = self.places.get(parent).map(|place| Dependency::Job(JobIndex(*place)));
                    match known.or_else(|| Some(Dependency::Array(self.arrays.get(parent)?.0))) {
                        Some(known) => dependencies.push(known),
                        None => unknown += 1,
                    }
                }
                let own = dependencies.split_off(start);
                let own: std::collections::BTreeSet<Dependency> = own.into_iter().collect();
                dependencies.extend(own);
                counts.push((to_u32(start), to_u32(dependencies.len() - start)));
            }
        }
        for (job, (start, count)) in self.exported.trace.jobs.iter_mut().zip(counts) {
            job.dependencies_count = count;
            job.dependencies_start = if count > 0 { start } else { 0 };
        }
        self.exported.trace.dependencies = dependencies;
        self.exported.left_out.dependencies = unknown;
    }
}

/// The position of a name, which is written as `told` says.
fn intern(
    index: &mut HashMap<String, u32>,
    table: &mut Vec<String>,
    name: &str,
    told: impl FnOnce(&str) -> String,
) -> u32 {
    if let Some(known) = index.get(name) {
        return *known;
    }
    let position = to_u32(table.len());
    table.push(told(name));
    index.insert(name.to_owned(), position);
    debug_assert_eq!(to_usize(position) + 1, table.len());
    position
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    #[test]
    fn a_day_is_found_without_reading_the_whole_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        drop(Journal::open(&path).unwrap());
        let ledger = Connection::open(&path).unwrap();
        let mut plan = ledger.prepare(&format!("EXPLAIN QUERY PLAN {SELECT}")).unwrap();
        let steps = plan.query_map([0, 1], |row| row.get("detail")).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{steps:?}");
    }
}
