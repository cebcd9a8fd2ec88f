//! Any other table with a header line: one job a row, columns by name.
//!
//! Which column means what follows from its name, or from [`Columns`] (`--columns submit=arrived:s,run=length:min,name=tool`).
//! The part after the colon is the unit; without it the unit is the end of the column's name (`run_ms`, `duration_sec`,
//! `peak_memory_mb`).
//!
//! | role | usual names | without a unit |
//! |---|---|---|
//! | `submit` | submit, submitted, submit_time, created, created_at, arrival | a time in text |
//! | `start`, `end` | start, started, start_time; end, ended, stop, complete, finish | a time in text |
//! | `wait`, `run` | wait, wait_time; run, runtime, run_time, duration | text such as `13m 1s` |
//! | `vcpus`, `gpus` | vcpus, cpus, cores, ncpus, procs; gpus | counts |
//! | `memory` | memory, mem, requested_memory | text such as `2 GB`, or bytes |
//! | `memory_used` | peak_memory, peak_rss, max_rss | the same |
//! | `name`, `queue` | name, task, process, job_name; queue, job_queue | |
//! | `attempt` | attempt | count from 1 |
//! | `exit`, `status` | exit, exit_code; status, state | not 0: failed; `FAILED` or `failed`: failed |
//!
//! `submit`, and `run` or `start` and `end`, are needed. Numbers as submit times need a unit; if the first is less than a
//! year they count from an unknown moment. Times in text without a zone are read in the zone of the options.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::Ending;
use super::build::{Builder, Draft};
use super::input::Input;
use super::report::{Problem, Remark};
use super::rows::{Row, Rows};
use super::size::Ask;
use super::values;
use crate::units::{Span, Time, f64_to_i64};

/// What a column can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Submit,
    Start,
    End,
    Wait,
    Run,
    Vcpus,
    Gpus,
    Memory,
    MemoryUsed,
    Name,
    Queue,
    Attempt,
    Exit,
    Status,
}

impl Role {
    const ALL: [(Self, &'static str, &'static [&'static str]); 14] = [
        (
            Self::Submit,
            "submit",
            &[
                "submit",
                "submitted",
                "submit_time",
                "submitted_at",
                "created",
                "created_at",
                "arrival",
            ],
        ),
        (Self::Start, "start", &["start", "started", "start_time", "started_at"]),
        (
            Self::End,
            "end",
            &[
                "end",
                "ended",
                "end_time",
                "stop",
                "stopped_at",
                "complete",
                "completed",
                "finish",
            ],
        ),
        (Self::Wait, "wait", &["wait", "wait_time", "waited", "queue_time"]),
        (Self::Run, "run", &["run", "runtime", "run_time", "duration", "elapsed"]),
        (Self::Vcpus, "vcpus", &["vcpus", "cpus", "cores", "ncpus", "procs"]),
        (Self::Gpus, "gpus", &["gpus", "ngpus"]),
        (Self::Memory, "memory", &["memory", "mem", "requested_memory"]),
        (
            Self::MemoryUsed,
            "memory_used",
            &["memory_used", "peak_memory", "peak_rss", "max_rss"],
        ),
        (
            Self::Name,
            "name",
            &["name", "task", "process", "job_name", "job_definition"],
        ),
        (Self::Queue, "queue", &["queue", "job_queue"]),
        (Self::Attempt, "attempt", &["attempt"]),
        (Self::Exit, "exit", &["exit", "exit_code", "exit_status"]),
        (Self::Status, "status", &["status", "state"]),
    ];

    const fn is_time(self) -> bool {
        matches!(self, Self::Submit | Self::Start | Self::End | Self::Wait | Self::Run)
    }

    const fn is_memory(self) -> bool {
        matches!(self, Self::Memory | Self::MemoryUsed)
    }

    /// Whether a quantity in this unit can be read in this role.
    fn takes(self, unit: &str) -> bool {
        (self.is_time() && values::seconds_per(unit).is_some())
            || (self.is_memory() && values::bytes_per(unit).is_some())
    }
}

/// Which columns of a table mean what, as people give it: `role=column[:unit]`, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(BTreeMap<Role, (String, Option<String>)>);

/// A list of columns that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadColumns(String);

impl fmt::Display for BadColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<&str> = Role::ALL.iter().map(|(_, name, _)| *name).collect();
        write!(
            f,
            "found {}, expected role=column[:unit] with a role of: {}",
            self.0,
            roles.join(", ")
        )
    }
}

impl std::error::Error for BadColumns {}

impl FromStr for Columns {
    type Err = BadColumns;

    fn from_str(text: &str) -> Result<Self, BadColumns> {
        let mut columns = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = || BadColumns(format!("{part:?}"));
            let (role, rest) = part.split_once('=').ok_or_else(bad)?;
            let role = Role::ALL
                .iter()
                .find(|(_, name, _)| *name == role.trim())
                .ok_or_else(bad)?
                .0;
            let (column, unit) = match rest.rsplit_once(':') {
                Some((column, unit)) => (column, Some(unit.to_owned())),
                None => (rest, None),
            };
            let fits = unit.as_deref().is_none_or(|unit| role.takes(unit));
            if column.is_empty() || !fits || columns.insert(role, (column.to_owned(), unit)).is_some() {
                return Err(bad());
            }
        }
        Ok(Self(columns))
    }
}

/// What separates the columns of a header line; `None` if nothing does.
pub(super) fn delimiter(header: &str) -> Option<char> {
    ['\t', ',', ';']
        .into_iter()
        .max_by_key(|mark| header.matches(*mark).count())
        .filter(|mark| header.contains(*mark))
}

/// Where a role is found in a row, and in which unit.
#[derive(Clone, Debug)]
struct Place {
    column: usize,
    unit: Option<String>,
}

/// Reads a whole table.
pub(super) fn read(input: Input, into: &mut Builder) -> Result<(), Problem> {
    let head = String::from_utf8_lossy(input.head());
    let mark = head.lines().find_map(delimiter).unwrap_or(',');
    let mark = u8::try_from(mark).unwrap_or(b',');
    let path = into.path().to_path_buf();
    let mut rows = Rows::open(&path, input, mark, &into.options.limits)?;
    let places = assign(&rows.columns, &into.options.columns)
        .map_err(|(found, expected)| Problem::new(&path, found, expected).at(1).hint(hint(&rows.columns)))?;
    let unused: Vec<&str> = (rows.columns.iter().enumerate())
        .filter(|(position, _)| places.values().all(|place| place.column != *position))
        .map(|(_, name)| name.as_str())
        .collect();
    if !unused.is_empty() {
        into.report.add(
            Remark::UnusedColumns,
            crate::units::to_u64(unused.len()),
            &path,
            1,
            || unused.join(", "),
        );
    }
    let mut table = Table { places, relative: None };
    let width = rows.columns.len();
    let mut row = Row::default();
    while rows.next(&mut row)? {
        if row.len() == width {
            table.job(&row, into)?;
        } else {
            into.skip(Remark::Malformed, row.line, row.text())?;
        }
    }
    if table.relative == Some(true) {
        into.remark(Remark::RelativeTimes, 1, b"submit times of less than a year");
    }
    Ok(())
}

fn hint(columns: &[String]) -> String {
    format!(
        "say which column is which with --columns submit=NAME:UNIT,run=NAME:UNIT,...; there are: {}",
        columns.join(", ")
    )
}

/// Finds each role's column: as told, else by the usual names with or without a unit at the end.
fn assign(names: &[String], told: &Columns) -> Result<BTreeMap<Role, Place>, (String, String)> {
    let mut places = BTreeMap::new();
    for (role, role_name, usual) in Role::ALL {
        let place = match told.0.get(&role) {
            Some((wanted, unit)) => {
                let Some(column) = names.iter().position(|name| name == wanted) else {
                    return Err((format!("no column {wanted:?}"), format!("the column for {role_name}")));
                };
                let unit = unit
                    .clone()
                    .or_else(|| unit_of(role, wanted).map(|(_, unit)| unit.to_owned()));
                Some(Place { column, unit })
            }
            None => usual.iter().find_map(|usual| named(role, names, usual)),
        };
        if let Some(place) = place {
            places.insert(role, place);
        }
    }
    let has = |role| places.contains_key(&role);
    if !has(Role::Submit) {
        return Err((
            "no column with submit times".to_owned(),
            "one, for example submit or submit_ms".to_owned(),
        ));
    }
    let run_known = has(Role::Run) || (has(Role::Start) && has(Role::End));
    if !run_known {
        return Err((
            "no column with run times".to_owned(),
            "one, for example run_s, or both start and end".to_owned(),
        ));
    }
    Ok(places)
}

fn named(role: Role, names: &[String], usual: &str) -> Option<Place> {
    names.iter().enumerate().find_map(|(column, name)| {
        let name = name.to_ascii_lowercase();
        if name == usual {
            return Some(Place { column, unit: None });
        }
        let (stem, unit) = unit_of(role, &name)?;
        (stem == usual).then(|| Place {
            column,
            unit: Some(unit.to_owned()),
        })
    })
}

/// The unit at the end of a column's name, and the name without it.
fn unit_of(role: Role, name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('_').filter(|(_, unit)| role.takes(unit))
}

struct Table {
    places: BTreeMap<Role, Place>,
    /// Whether numeric submit times count from an unknown moment; decided by the first.
    relative: Option<bool>,
}

impl Table {
    fn job(&mut self, row: &Row, into: &mut Builder) -> Result<(), Problem> {
        let Some(submit) = self.time(Role::Submit, row, into) else {
            return into.skip(Remark::MissingSubmit, row.line, row.text());
        };
        let start = self.time(Role::Start, row, into);
        let end = self.time(Role::End, row, into);
        let mut reversed = false;
        let mut between = |from: Time, to: Time| {
            reversed |= to < from;
            if to < from { Span::ZERO } else { to.since(from) }
        };
        let run = self
            .span(Role::Run, row)
            .or_else(|| values::plausible_span(between(start?, end?)));
        let Some(run) = run else {
            return into.skip(Remark::MissingRun, row.line, row.text());
        };
        let wait = self
            .span(Role::Wait, row)
            .or_else(|| values::plausible_span(between(submit, start?)));
        if reversed {
            into.remark(Remark::TimesReversed, row.line, row.text());
        }
        let count = |role| self.cell(role, row)?.parse::<f64>().ok();
        let vcpus = count(Role::Vcpus).and_then(values::vcpus);
        if let Some((_, true)) = vcpus {
            into.remark(Remark::VcpusRounded, row.line, row.text());
        }
        let whole = |role| self.cell(role, row).and_then(|text| text.parse::<u32>().ok());
        let exit_failed = self
            .cell(Role::Exit, row)
            .is_some_and(|text| text.parse::<i64>().is_ok_and(|code| code != 0));
        let status_failed = self
            .cell(Role::Status, row)
            .is_some_and(|text| text.eq_ignore_ascii_case("failed"));
        let draft = Draft {
            submit,
            run,
            wait,
            ask: Ask {
                vcpus: vcpus.map(|(count, _)| count),
                memory: self.memory(Role::Memory, row),
                memory_used: self.memory(Role::MemoryUsed, row),
                gpus: whole(Role::Gpus).unwrap_or(0),
                attempt: whole(Role::Attempt).unwrap_or(0),
                nodes: 1,
            },
            name: into.name(self.cell(Role::Name, row).unwrap_or("job")),
            queue: into.queue(self.cell(Role::Queue, row).unwrap_or("default")),
            ending: if exit_failed || status_failed {
                Ending::Failed
            } else {
                Ending::Succeeded
            },
            think: None,
            array: None,
            tie: None,
            line: row.line,
        };
        into.push(&draft).map(|_| ())
    }

    fn cell<'a>(&self, role: Role, row: &'a Row) -> Option<&'a str> {
        row.cell(self.places.get(&role)?.column)
    }

    fn time(&mut self, role: Role, row: &Row, into: &mut Builder) -> Option<Time> {
        let text = self.cell(role, row)?;
        let Some(unit) = self.places.get(&role).and_then(|place| place.unit.as_deref()) else {
            // A bare number could be anything; only its unit makes it a time.
            let (time, own_zone) =
                values::time(text, &into.options.time_zone).filter(|_| text.parse::<f64>().is_err())?;
            if !own_zone {
                into.remark(Remark::ZoneAssumed, row.line, row.text());
            }
            return Some(time);
        };
        let offset = values::plausible_span(quantity_as_span(text, unit)?)?;
        let year = Span::from_seconds(366 * 86_400);
        let relative = *self.relative.get_or_insert(offset < year);
        let origin = into.options.start_at.filter(|_| relative).unwrap_or(Time::EPOCH);
        values::plausible(origin + offset)
    }

    fn span(&self, role: Role, row: &Row) -> Option<Span> {
        let text = self.cell(role, row)?;
        match self.places.get(&role)?.unit.as_deref() {
            Some(unit) => values::plausible_span(quantity_as_span(text, unit)?),
            // A bare number would be milliseconds to Nextflow and seconds to everybody else.
            None => values::span(text).filter(|_| text.parse::<f64>().is_err()),
        }
    }

    fn memory(&self, role: Role, row: &Row) -> Option<crate::units::Mebibytes> {
        let text = self.cell(role, row)?;
        match self.places.get(&role)?.unit.as_deref() {
            Some(unit) => values::memory_of(text.parse().ok()?, unit),
            None => values::memory(text),
        }
    }
}

fn quantity_as_span(text: &str, unit: &str) -> Option<Span> {
    if unit == "ms"
        && let Ok(millis) = text.parse::<i64>()
    {
        return Some(Span::from_millis(millis));
    }
    let seconds = text.parse::<f64>().ok()? * values::seconds_per(unit)?;
    seconds
        .is_finite()
        .then(|| Span::from_millis(f64_to_i64((seconds * 1000.0).round())))
}
