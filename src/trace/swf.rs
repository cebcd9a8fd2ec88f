//! Standard Workload Format (Feitelson and others, Parallel Workloads Archive): 18 numbers a line.
//!
//! | field | meaning | used as |
//! |---|---|---|
//! | 1 | job number | ties, and what field 17 refers to |
//! | 2 | submit time, seconds from the header's `UnixStartTime` | submit |
//! | 3 | wait, s | recorded wait |
//! | 4 | run time, s | run |
//! | 5, 8 | processors allocated, requested | vCPUs: requested, else allocated |
//! | 7, 10 | memory used, requested, KB per processor | memory: requested; used only with `memory_from_use` |
//! | 11 | status: 1 completed, 0 failed, 5 cancelled, 2 to 4 parts of a job that has a line of its own | ending |
//! | 14 | executable number | name |
//! | 15 | queue number | queue |
//! | 17, 18 | preceding job and think time after it, s | a job that the preceding one submits |
//!
//! `-1` is unknown. Lines that begin with `;` are the header. This is the one reader built for speed, because archives hold
//! millions of jobs: it allocates nothing per line.

use std::collections::HashMap;

use super::Ending;
use super::build::{Builder, Draft, Role};
use super::input::{Input, unreadable};
use super::report::{Problem, Remark};
use super::size::Ask;
use super::values::{plausible, plausible_span};
use crate::units::{Mebibytes, Span, Time, to_u64};

/// Numbers of a line in thousandths, so that fractions of seconds survive.
type Fields = [i64; 18];

const UNKNOWN: i64 = -1000;

/// The most digits before the point: thousandths of it fit into an `i64`.
const MOST_DIGITS: usize = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Good,
    TooFew,
    TooMany,
    NotNumbers,
}

/// Whether a line could be a job of this format.
pub(super) fn looks_like(line: &[u8]) -> bool {
    matches!(parse(line, &mut [0; 18]), Line::Good | Line::TooMany)
}

/// Reads a whole file.
pub(super) fn read(input: Input, into: &mut Builder) -> Result<(), Problem> {
    let mut lines = input.into_lines(&into.options.limits);
    let mut file = Swf::default();
    loop {
        match lines.next() {
            Ok(Some((line, text))) => match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => {}
                Some(b';') => file.header(text),
                Some(_) => file.line(line, text, into)?,
            },
            Ok(None) => break,
            Err(error) => return Err(unreadable(into.path(), lines.line(), &error)),
        }
    }
    if file.start.is_none() {
        into.remark(Remark::RelativeTimes, 0, b"no UnixStartTime in the header");
    }
    file.follow(into);
    Ok(())
}

#[derive(Default)]
struct Swf {
    start: Option<Time>,
    names: Numbered<u32>,
    queues: Numbered<u16>,
    /// Job numbers with the positions of their jobs.
    numbers: Vec<(i64, u32)>,
    /// Jobs that follow another: position, number of the other, line.
    followers: Vec<(u32, i64, u64)>,
    last_submit: Time,
}

/// What a number was called, with the last answer kept: neighbours are mostly alike.
#[derive(Default)]
struct Numbered<T> {
    last: Option<(i64, T)>,
    known: HashMap<i64, T>,
}

impl<T: Copy> Numbered<T> {
    fn get(&mut self, number: i64, make: impl FnOnce() -> T) -> T {
        match self.last {
            Some((known, value)) if known == number => value,
            _ => {
                let value = *self.known.entry(number).or_insert_with(make);
                self.last = Some((number, value));
                value
            }
        }
    }
}

impl Swf {
    fn header(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let field = text.trim_start_matches([';', ' ', '\t']).split_once(':');
        if let Some(("UnixStartTime", value)) = field
            && let Ok(seconds) = value.trim().parse::<i64>()
        {
            self.start = plausible(Time::from_seconds(seconds)).filter(|start| *start > Time::EPOCH);
        }
    }

    fn line(&mut self, line: u64, text: &[u8], into: &mut Builder) -> Result<(), Problem> {
        let mut fields = [UNKNOWN; 18];
        match parse(text, &mut fields) {
            Line::Good => {}
            Line::TooMany => into.remark(Remark::ExtraFields, line, text),
            Line::TooFew | Line::NotNumbers => return into.skip(Remark::Malformed, line, text),
        }
        let [
            number,
            submit,
            wait,
            run,
            allocated,
            _,
            used,
            requested,
            _,
            memory,
            status,
            _,
            _,
            program,
            queue,
            _,
            parent,
            think,
        ] = fields;
        let failed = match status {
            2000 | 3000 | 4000 => return into.skip(Remark::PartialRecord, line, text),
            5000 if run <= 0 => return into.skip(Remark::NeverRan, line, text),
            status => status == 0 || status == 5000,
        };
        let Some(offset) = plausible_span(Span::from_millis(submit)) else {
            return into.skip(Remark::MissingSubmit, line, text);
        };
        let Some(run) = plausible_span(Span::from_millis(run)) else {
            return into.skip(Remark::MissingRun, line, text);
        };
        let submit = self.start.or(into.options.start_at).unwrap_or(Time::EPOCH) + offset;
        if submit < self.last_submit {
            into.remark(Remark::OutOfOrder, line, text);
        }
        self.last_submit = submit;
        let number = number / 1000;
        let draft = Draft {
            submit,
            run,
            wait: plausible_span(Span::from_millis(wait)),
            ask: ask(allocated / 1000, requested / 1000, used, memory),
            name: self.names.get(program / 1000, || match program {
                ..0 => into.name("job"),
                _ => into.name(&format!("executable {}", program / 1000)),
            }),
            queue: self.queues.get(queue / 1000, || match queue {
                ..0 => into.queue("default"),
                _ => into.queue(&format!("queue {}", queue / 1000)),
            }),
            ending: if failed { Ending::Failed } else { Ending::Succeeded },
            think: (parent > 0).then(|| Span::from_millis(think.max(0))),
            array: None,
            tie: Some(to_u64(number.max(0))),
            line,
        };
        let position = into.push(&draft)?;
        self.numbers.push((number, position));
        if parent > 0 {
            self.followers.push((position, parent / 1000, line));
        }
        Ok(())
    }

    /// Field 17: jobs that are submitted when another has ended.
    fn follow(mut self, into: &mut Builder) {
        if self.followers.is_empty() {
            return;
        }
        self.numbers.sort_unstable();
        for (child, parent, line) in self.followers {
            let at = self.numbers.partition_point(|(number, _)| *number < parent);
            match self.numbers.get(at) {
                Some((number, position)) if *number == parent => into.depend(child, Role::Spawner, *position),
                _ => into.remark(Remark::UnknownDependency, line, parent.to_string().as_bytes()),
            }
        }
    }
}

fn ask(allocated: i64, requested: i64, used: i64, memory: i64) -> Ask {
    let processors = if requested > 0 { requested } else { allocated };
    // KB per processor, in thousandths of KB; rounded up to MiB for the whole job.
    let whole = |per_processor: i64| {
        (per_processor > 0).then(|| {
            Mebibytes::new(per_processor)
                .times(processors.max(1))
                .scaled_up(1, 1024 * 1000)
        })
    };
    Ask {
        vcpus: (processors > 0).then_some(processors),
        memory: whole(memory),
        memory_used: whole(used),
        ..Ask::default()
    }
}

/// Parses a line into thousandths. Digits beyond the third after the point are dropped.
fn parse(text: &[u8], fields: &mut Fields) -> Line {
    let mut count = 0;
    let mut rest = text;
    loop {
        while let [b' ' | b'\t' | b'\r', tail @ ..] = rest {
            rest = tail;
        }
        if rest.is_empty() {
            break;
        }
        let Some((number, tail)) = parse_number(rest) else {
            return Line::NotNumbers;
        };
        rest = tail;
        if let Some(field) = fields.get_mut(count) {
            *field = number;
        }
        count += 1;
    }
    match count {
        18 => Line::Good,
        0..18 => Line::TooFew,
        _ => Line::TooMany,
    }
}

/// One number in thousandths and what follows it; `None` if it is none or too large.
fn parse_number(text: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, mut rest) = match text {
        [b'-', tail @ ..] => (true, tail),
        [b'+', tail @ ..] => (false, tail),
        _ => (false, text),
    };
    let whole = rest;
    let mut number = 0_i64;
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        rest = tail;
    }
    let mut digits = whole.len() - rest.len();
    if digits > MOST_DIGITS {
        return None;
    }
    number *= 1000;
    if let [b'.', tail @ ..] = rest {
        rest = tail;
        let mut weight = 100;
        while let [digit @ b'0'..=b'9', tail @ ..] = rest {
            number += i64::from(digit - b'0') * weight;
            weight /= 10;
            digits += 1;
            rest = tail;
        }
    }
    let ended = matches!(rest, [] | [b' ' | b'\t' | b'\r', ..]);
    (digits > 0 && ended).then_some((if negative { -number } else { number }, rest))
}
