//! Every figure of a run, once: its name, its unit, what it means, and how it is read from a [`Summary`].
//!
//! Columns of files, keys of documents and the words of assertions come from this table, so that a figure has one name
//! everywhere. A figure is *absent* where nothing was there to measure: no job, no job that started, no makespan.

use crate::simulate::summary::{Interval, Summary, Waits};
use crate::units::{Span, i64_to_f64, to_i64, usize_to_f64};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// US dollars.
    Usd,
    /// A part of a whole, 0 to 1.
    Ratio,
    /// vCPUs times hours.
    VcpuHours,
    /// A number of things.
    Count,
}

impl Unit {
    /// What follows the name of a figure in columns and keys.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Seconds => "_seconds",
            Self::Usd => "_usd",
            Self::Ratio => "_ratio",
            Self::VcpuHours => "_vcpu_hours",
            Self::Count => "",
        }
    }

    /// A figure as people read it: rounded, with its unit.
    pub fn show(self, figure: f64) -> String {
        match self {
            Self::Seconds => {
                Span::from_seconds_f64(figure).map_or_else(|| format!("{figure}s"), |span| span.to_string())
            }
            Self::Usd => self.show_beside(figure, figure),
            Self::Ratio => format!("{:.1}%", figure * 100.0),
            Self::VcpuHours => format!("{figure:.1}"),
            Self::Count if figure.fract().abs() > 0.0 => format!("{figure:.1}"),
            Self::Count => format!("{figure:.0}"),
        }
    }

    /// The same, with as many decimals as `main` has that it stands beside: cents, or hundredths of them below a dollar.
    pub fn show_beside(self, figure: f64, main: f64) -> String {
        match self {
            Self::Usd if main.abs() < 1.0 => format!("${figure:.4}"),
            Self::Usd => format!("${figure:.2}"),
            Self::Seconds | Self::Ratio | Self::VcpuHours | Self::Count => self.show(figure),
        }
    }
}

/// A figure of a run.
#[derive(Debug)]
pub struct Metric {
    /// Its name without its unit, for example `wait_p95`.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What it means.
    pub help: &'static str,
    read: Read,
}

/// Where a figure is read.
#[derive(Debug)]
enum Read {
    /// Of jobs, for all together and for each queue. Absent without a job that waited or started.
    Jobs(fn(&Waits) -> f64),
    /// Of jobs that started, for all together and for each queue. Absent without one.
    Started(fn(&Waits) -> f64),
    /// Of the run as a whole.
    Run(fn(&Summary) -> f64),
    /// Of groups of jobs that depend on each other. Absent without one.
    Groups(fn(&Summary) -> f64),
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Metric {}

impl Metric {
    /// All of them, in the order of columns.
    pub const ALL: &'static [Self] = ALL;

    /// The figure of this name, with or without its unit: `cost` or `cost_usd`.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|metric| {
            name == metric.name
                || name
                    .strip_suffix(metric.unit.suffix())
                    .is_some_and(|bare| bare == metric.name)
        })
    }

    /// Its name with its unit: what columns and keys are called.
    pub fn column(&self) -> String {
        format!("{}{}", self.name, self.unit.suffix())
    }

    /// Whether it exists for each queue, not only for the run as a whole.
    pub const fn is_per_queue(&self) -> bool {
        match self.read {
            Read::Jobs(_) | Read::Started(_) => true,
            Read::Run(_) | Read::Groups(_) => false,
        }
    }

    /// Of a whole run.
    pub fn of_run(&self, run: &Summary) -> Option<f64> {
        match self.read {
            Read::Jobs(_) | Read::Started(_) => self.of_waits(&run.all),
            Read::Run(read) => Some(read(run)),
            Read::Groups(read) => (run.makespan.max > 0.0).then(|| read(run)),
        }
    }

    /// Of one queue, or of the whole run without a queue. Absent if it is not per queue or the queue is not known.
    pub fn of(&self, run: &Summary, queue: Option<&str>) -> Option<f64> {
        match queue {
            None => self.of_run(run),
            // A run with a single queue keeps no figures apart from those of all jobs.
            Some(_) if run.queues.is_empty() => self.of_waits(&run.all),
            Some(name) => self.of_waits(run.queues.iter().find(|waits| waits.queue == name)?),
        }
    }

    /// Of the jobs of one queue, or of all.
    pub fn of_waits(&self, waits: &Waits) -> Option<f64> {
        match self.read {
            Read::Jobs(read) => (waits.started > 0 || waits.wait.max > 0.0).then(|| read(waits)),
            Read::Started(read) => (waits.started > 0).then(|| read(waits)),
            Read::Run(_) | Read::Groups(_) => None,
        }
    }

    /// Mean and interval over the runs in which it is not absent; absent if there is none.
    pub fn over(&self, runs: &[Summary], queue: Option<&str>) -> Option<Interval> {
        let figures: Vec<f64> = runs.iter().filter_map(|run| self.of(run, queue)).collect();
        (!figures.is_empty()).then(|| Interval::of(&figures))
    }
}

const fn metric(name: &'static str, unit: Unit, read: Read, help: &'static str) -> Metric {
    Metric { name, unit, help, read }
}

const fn wait(name: &'static str, read: fn(&Waits) -> f64) -> Metric {
    let help = "RUNNABLE to STARTING, first attempt; jobs that never started count with their wait until the end";
    metric(name, Unit::Seconds, Read::Jobs(read), help)
}

const fn avoidable(name: &'static str, read: fn(&Waits) -> f64) -> Metric {
    let help = "the part of the wait during which some environment of the queue was not at max or quota";
    metric(name, Unit::Seconds, Read::Jobs(read), help)
}

const fn latency(name: &'static str, read: fn(&Waits) -> f64) -> Metric {
    let help = "max(created, last parent's end) to RUNNING, first attempt; with the image pull";
    metric(name, Unit::Seconds, Read::Started(read), help)
}

const fn makespan(name: &'static str, read: fn(&Summary) -> f64) -> Metric {
    let help = "first submission to last end of jobs that depend on each other";
    metric(name, Unit::Seconds, Read::Groups(read), help)
}

const fn count(name: &'static str, read: fn(&Summary) -> f64, help: &'static str) -> Metric {
    metric(name, Unit::Count, Read::Run(read), help)
}

const fn vcpu_hours(name: &'static str, read: fn(&Summary) -> f64, help: &'static str) -> Metric {
    metric(name, Unit::VcpuHours, Read::Run(read), help)
}

fn of_u64(number: u64) -> f64 {
    i64_to_f64(to_i64(number))
}

const ALL: &[Metric] = &[
    wait("wait_mean", |jobs| jobs.wait.mean),
    wait("wait_p50", |jobs| jobs.wait.p50),
    wait("wait_p90", |jobs| jobs.wait.p90),
    wait("wait_p95", |jobs| jobs.wait.p95),
    wait("wait_p99", |jobs| jobs.wait.p99),
    wait("wait_max", |jobs| jobs.wait.max),
    avoidable("avoidable_wait_mean", |jobs| jobs.avoidable_wait.mean),
    avoidable("avoidable_wait_p50", |jobs| jobs.avoidable_wait.p50),
    avoidable("avoidable_wait_p90", |jobs| jobs.avoidable_wait.p90),
    avoidable("avoidable_wait_p95", |jobs| jobs.avoidable_wait.p95),
    avoidable("avoidable_wait_p99", |jobs| jobs.avoidable_wait.p99),
    avoidable("avoidable_wait_max", |jobs| jobs.avoidable_wait.max),
    latency("start_latency_mean", |jobs| jobs.start_latency.mean),
    latency("start_latency_p50", |jobs| jobs.start_latency.p50),
    latency("start_latency_p90", |jobs| jobs.start_latency.p90),
    latency("start_latency_p95", |jobs| jobs.start_latency.p95),
    latency("start_latency_p99", |jobs| jobs.start_latency.p99),
    latency("start_latency_max", |jobs| jobs.start_latency.max),
    metric(
        "within_10s",
        Unit::Ratio,
        Read::Jobs(|jobs| jobs.within_10s),
        "share of jobs whose wait was 10 s or less",
    ),
    metric(
        "started",
        Unit::Count,
        Read::Jobs(|jobs| usize_to_f64(jobs.started)),
        "jobs that started",
    ),
    metric(
        "cost",
        Unit::Usd,
        Read::Run(|run| run.cost.usd()),
        "what the instances cost, billed per second, 60 s at least",
    ),
    vcpu_hours("used", |run| run.used_vcpu_hours, "held by jobs, STARTING and RUNNING"),
    vcpu_hours("idle", |run| run.idle_vcpu_hours, "registered and not held"),
    vcpu_hours("booting", |run| run.booting_vcpu_hours, "billed before registration"),
    count("launches", |run| of_u64(run.launches), "instances launched"),
    count(
        "failed_launches",
        |run| of_u64(run.failed_launches),
        "launches that failed for want of capacity or quota",
    ),
    count("interruptions", |run| of_u64(run.interruptions), "Spot interruptions"),
    count("retries", |run| of_u64(run.retries), "attempts that were tried again"),
    count("updates", |run| usize_to_f64(run.updates), "scaling updates sent"),
    count("refused", |run| usize_to_f64(run.refused), "scaling updates refused"),
    count("looks", |run| of_u64(run.looks), "how often the controller looked"),
    count(
        "leases_expired",
        |run| of_u64(run.leases_expired),
        "raised levels that were restored because their lease ran out",
    ),
    makespan("makespan_mean", |run| run.makespan.mean),
    makespan("makespan_p50", |run| run.makespan.p50),
    makespan("makespan_p90", |run| run.makespan.p90),
    makespan("makespan_p95", |run| run.makespan.p95),
    makespan("makespan_p99", |run| run.makespan.p99),
    makespan("makespan_max", |run| run.makespan.max),
    count("succeeded", |run| usize_to_f64(run.succeeded), "jobs that SUCCEEDED"),
    count("failed", |run| usize_to_f64(run.failed), "jobs that FAILED"),
    count(
        "never_fits",
        |run| usize_to_f64(run.never_fits),
        "jobs that no environment can hold",
    ),
    count("open", |run| usize_to_f64(run.open), "jobs still open at the end"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::simulate::summary::Quantiles;
    use crate::units::MicroUsd;

    /// A summary in which every number is different.
    fn distinct() -> Summary {
        let mut next = 0.0;
        let mut number = || {
            next += 1.0;
            next
        };
        let mut quantiles = || Quantiles {
            mean: number(),
            p50: number(),
            p90: number(),
            p95: number(),
            p99: number(),
            max: number(),
        };
        Summary {
            model: "recent".to_owned(),
            all: Waits {
                queue: String::new(),
                started: 100,
                wait: quantiles(),
                avoidable_wait: quantiles(),
                start_latency: quantiles(),
                within_10s: 0.5,
            },
            queues: Vec::new(),
            cost: MicroUsd::new(201_000_000),
            used_vcpu_hours: 202.0,
            idle_vcpu_hours: 203.0,
            booting_vcpu_hours: 204.0,
            launches: 205,
            failed_launches: 206,
            interruptions: 207,
            retries: 208,
            updates: 209,
            refused: 210,
            looks: 211,
            leases_expired: 212,
            makespan: quantiles(),
            succeeded: 213,
            failed: 214,
            never_fits: 215,
            open: 216,
        }
    }

    fn leaves(value: &serde_json::Value, into: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Number(number) => {
                into.insert(format!("{:?}", number.as_f64().unwrap()));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| leaves(item, into)),
            serde_json::Value::Object(map) => map.values().for_each(|item| leaves(item, into)),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => {}
        }
    }

    #[test]
    fn every_number_of_a_summary_is_a_figure_and_no_two_figures_read_the_same() {
        let run = distinct();
        let mut summary = serde_json::to_value(&run).unwrap();
        summary["cost"] = run.cost.usd().into();
        let mut numbers = BTreeSet::new();
        leaves(&summary, &mut numbers);
        let figures: Vec<String> = Metric::ALL
            .iter()
            .map(|m| format!("{:?}", m.of_run(&run).unwrap()))
            .collect();
        assert_eq!(figures.len(), numbers.len());
        assert_eq!(figures.into_iter().collect::<BTreeSet<_>>(), numbers);
    }

    #[test]
    fn a_figure_is_found_by_its_name_with_and_without_its_unit() {
        for metric in Metric::ALL {
            assert_eq!(Metric::named(metric.name), Some(metric));
            assert_eq!(Metric::named(&metric.column()), Some(metric));
        }
        assert_eq!(Metric::named("cost_seconds"), None);
        assert_eq!(Metric::named(""), None);
    }

    #[test]
    fn what_was_not_there_to_measure_is_absent_and_not_zero() {
        let nothing = Summary::default();
        for name in ["wait_p95", "start_latency_mean", "within_10s", "makespan_mean"] {
            assert_eq!(Metric::named(name).unwrap().of_run(&nothing), None, "{name}");
        }
        assert_eq!(Metric::named("cost").unwrap().of_run(&nothing), Some(0.0));
    }

    #[test]
    fn figures_are_shown_rounded_with_their_unit() {
        let cases = [
            (Unit::Seconds, 750.4, "12m 30s"),
            (Unit::Usd, 0.138_194, "$0.1382"),
            (Unit::Usd, 1234.567, "$1234.57"),
            (Unit::Ratio, 0.8333, "83.3%"),
            (Unit::VcpuHours, 12.345, "12.3"),
            (Unit::Count, 12.0, "12"),
            (Unit::Count, 12.5, "12.5"),
        ];
        for (unit, figure, text) in cases {
            assert_eq!(unit.show(figure), text);
        }
    }
}
