//! A batch of messages comes in, a dispatcher reads them all and submits one array job with a child for each: the demand is
//! visible in SQS a while before there is a job.

use clap::Args;

use super::{Cause, DAY, Days, Draws, Generator, Maker, shape, total, whole_days};
use crate::trace::{Message, Trace};
use crate::units::Span;

/// Batches of SQS messages, each of which becomes one array job.
#[derive(Clone, Debug, PartialEq, Args)]
#[group(skip)]
pub struct SqsArray {
    /// Batches a day, at random times.
    #[arg(long, default_value_t = Self::default().batches_per_day, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batches_per_day: u32,
    /// Messages of a batch, and children of its array job (AWS Batch allows 2 to 10,000).
    #[arg(long, default_value_t = Self::default().children, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub children: u32,
    /// Time in seconds within which the messages of a batch are sent.
    #[arg(long, default_value_t = Self::default().sending_seconds, value_parser = clap::value_parser!(i64).range(0..=86_400))]
    pub sending_seconds: i64,
    /// Time in seconds from the last message to the submission of the array job.
    #[arg(long, default_value_t = Self::default().dispatch_seconds, value_parser = clap::value_parser!(i64).range(0..=86_400))]
    pub dispatch_seconds: i64,
    /// vCPUs of a child.
    #[arg(long, default_value_t = Self::default().child_vcpus, value_parser = clap::value_parser!(i64).range(1..=1024))]
    pub child_vcpus: i64,
    /// Memory of a child in MiB.
    #[arg(long, default_value_t = Self::default().child_memory_mib, value_parser = clap::value_parser!(i64).range(4..=10_000_000))]
    pub child_memory_mib: i64,
    /// Median run time of a child in seconds.
    #[arg(long, default_value_t = Self::default().run_seconds, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub run_seconds: u32,
}

impl Default for SqsArray {
    fn default() -> Self {
        Self {
            batches_per_day: 6,
            children: 100,
            sending_seconds: 60,
            dispatch_seconds: 90,
            child_vcpus: 4,
            child_memory_mib: 7_168,
            run_seconds: 300,
        }
    }
}

impl Generator for SqsArray {
    fn expected_jobs(&self, days: Days) -> u64 {
        total(self.batches_per_day, days).saturating_mul(u64::from(self.children))
    }

    fn generate(&self, seed: u64, days: Days) -> Trace {
        let mut maker = Maker::new("sqs-array");
        maker.trace.sqs_queues.push("incoming".to_owned());
        let (name, child) = (
            maker.name("process-message"),
            maker.shape(shape(self.child_vcpus, self.child_memory_mib)),
        );
        let mut arrivals = Draws::new(seed, Cause::Arrivals);
        let mut runs = Draws::new(seed, Cause::RunTimes);
        for day in whole_days(days) {
            for _ in 0..self.batches_per_day {
                let batch = day + arrivals.within(DAY);
                let sending = Span::from_seconds(self.sending_seconds);
                let submit = batch + sending + Span::from_seconds(self.dispatch_seconds);
                let mut first = None;
                for _ in 0..self.children {
                    let sent = batch + arrivals.within(sending).min(sending);
                    maker.trace.messages.push(Message {
                        sent,
                        received: submit,
                        source: 0,
                    });
                    let job = maker.job(submit, runs.run_time(f64::from(self.run_seconds), 0.4), child, name);
                    first.get_or_insert(job);
                }
                if let Some(first) = first {
                    maker.array_from(first);
                }
            }
        }
        maker.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_there_before_their_array() {
        let trace = SqsArray::default().generate(1, Days(1));
        assert_eq!(
            (trace.arrays.len(), trace.jobs.len(), trace.messages.len()),
            (6, 600, 600)
        );
        for array in &trace.arrays {
            let submit = trace.jobs[array.first.position()].submit;
            let earlier = trace
                .messages
                .iter()
                .filter(|message| message.received == submit && message.sent < submit);
            assert_eq!(earlier.count(), 100);
        }
    }
}
