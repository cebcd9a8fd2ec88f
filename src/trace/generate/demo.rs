//! Rounds of four hours, each alike: what `autotune demo` shows. Bursts that SQS announces, graphs that nobody announces, small
//! jobs now and then, and in the middle forty minutes in which only these come.

use clap::Args;

use super::{Cause, DAY, Days, Draws, Generator, Maker, shape, total, whole_days};
use crate::ids::{JobIndex, ShapeIndex};
use crate::trace::{Dependency, Message, Trace};
use crate::units::{Span, Time};

/// How long a round lasts.
const ROUND: Span = Span::from_minutes(240);
const ROUNDS_PER_DAY: u32 = 6;
/// When a burst of messages begins, in minutes of a round, and how many they are.
const BURSTS: [(i64, u32); 5] = [(10, 60), (45, 100), (80, 40), (135, 80), (190, 100)];
/// When an object arrives, in minutes of a round.
const OBJECTS: [i64; 4] = [25, 65, 150, 210];
/// Jobs of a fan-out.
const FAN_OUT: u32 = 24;
/// By how much bursts and objects are late at most.
const LATE: Span = Span::from_minutes(4);
/// Within this the messages of a burst are sent.
const SENDING: Span = Span::from_minutes(2);
/// From the last message to the submission of its array job: the dispatcher collects.
const DISPATCH: Span = Span::from_minutes(3);
/// Small jobs an hour.
const SMALL_PER_HOUR: f64 = 12.0;

/// A day in rounds of four hours: SQS-fed arrays, graphs with fan-out and fan-in, small jobs, a quiet stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[group(skip)]
pub struct Demo {}

/// The queues, by their position.
const ARRAYS: u16 = 0;
const PIPELINES: u16 = 1;

impl Generator for Demo {
    fn expected_jobs(&self, days: Days) -> u64 {
        let children: u32 = BURSTS.iter().map(|(_, messages)| messages).sum();
        total(ROUNDS_PER_DAY * (children + 4 * (FAN_OUT + 2) + 4 * 12), days)
    }

    fn generate(&self, seed: u64, days: Days) -> Trace {
        let mut making = Making::new(seed);
        for day in whole_days(days) {
            let mut round = day;
            while round < day + DAY {
                making.round(round);
                round = round + ROUND;
            }
        }
        making.maker.finish()
    }
}

/// What goes on from one round to the next.
struct Making {
    maker: Maker,
    arrivals: Draws,
    runs: Draws,
    names: [u32; 5],
    small: ShapeIndex,
    wide: ShapeIndex,
}

impl Making {
    fn new(seed: u64) -> Self {
        let mut maker = Maker::new("arrays");
        maker.trace.queues.push("pipelines".to_owned());
        maker.trace.sqs_queues.push("incoming".to_owned());
        Self {
            names: ["process-message", "start", "part", "join", "small"].map(|name| maker.name(name)),
            small: maker.shape(shape(1, 2_048)),
            wide: maker.shape(shape(2, 4_096)),
            maker,
            arrivals: Draws::new(seed, Cause::Arrivals),
            runs: Draws::new(seed, Cause::RunTimes),
        }
    }

    fn round(&mut self, round: Time) {
        for (minute, messages) in BURSTS {
            self.burst(round + Span::from_minutes(minute), messages);
        }
        for minute in OBJECTS {
            self.object(round + Span::from_minutes(minute));
        }
        // The first comes at once, so that a round begins with a job.
        let mut at = round;
        while at < round + ROUND {
            let run = self.runs.run_time(60.0, 0.8);
            self.job(at, run, PIPELINES, 4);
            at = at + self.arrivals.next_arrival(SMALL_PER_HOUR);
        }
    }

    /// A job by its place in `names`; what is not wide is small.
    fn job(&mut self, at: Time, run: Span, queue: u16, name: usize) -> JobIndex {
        let size = if name == 0 || name == 2 { self.wide } else { self.small };
        let name = self.names.get(name).copied().unwrap_or_default();
        let made = self.maker.job(at, run, size, name);
        if let Some(job) = self.maker.trace.jobs.last_mut() {
            job.queue = queue;
        }
        made
    }

    fn burst(&mut self, begin: Time, messages: u32) {
        let begin = begin + self.arrivals.within(LATE);
        let submit = begin + SENDING + DISPATCH;
        let mut first = None;
        for _ in 0..messages {
            let sent = begin + self.arrivals.within(SENDING).min(SENDING);
            self.maker.trace.messages.push(Message {
                sent,
                received: submit,
                source: 0,
            });
            let run = self.runs.run_time(240.0, 0.4);
            let job = self.job(submit, run, ARRAYS, 0);
            first.get_or_insert(job);
        }
        if let Some(first) = first {
            self.maker.array_from(first);
        }
    }

    fn object(&mut self, at: Time) {
        let at = at + self.arrivals.within(LATE);
        let run = self.runs.run_time(40.0, 0.3);
        let start = self.job(at, run, PIPELINES, 1);
        let mut first = None;
        for _ in 0..FAN_OUT {
            let run = self.runs.run_time(180.0, 0.5);
            first.get_or_insert(self.job(at, run, PIPELINES, 2));
            self.maker.spawned_by(start, Span::ZERO);
        }
        if let Some(first) = first {
            let array = self.maker.array_from(first);
            let run = self.runs.run_time(60.0, 0.3);
            self.job(at, run, PIPELINES, 3);
            self.maker.spawned_by(start, Span::ZERO);
            self.maker.after(Dependency::Array(array));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_bursts_with_messages_ahead_graphs_and_a_quiet_stretch() {
        let trace = Demo::default().generate(1, Days(1));
        let rounds = usize::try_from(ROUNDS_PER_DAY).unwrap();
        assert_eq!(trace.arrays.len(), rounds * (BURSTS.len() + OBJECTS.len()));
        let starts = trace.earliest_starts();
        let begin = *starts.iter().min().unwrap();
        let within = |from: i64, to: i64| {
            let range = begin + Span::from_minutes(from)..begin + Span::from_minutes(to);
            starts.iter().filter(|start| range.contains(*start)).count()
        };
        assert!(within(0, 95) > 200);
        assert!((1..30).contains(&within(100, 135)), "{}", within(100, 135));
        let ahead = |message: &Message| message.received.since(message.sent) >= DISPATCH;
        assert!(trace.messages.iter().all(ahead));
        let mut queues: Vec<u16> = trace.jobs.iter().map(|job| job.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        assert_eq!(queues, [0, 1]);
    }
}
