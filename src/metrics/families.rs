//! Every family: its name, unit, labels and what it says. Rules: `autotune_<noun>_<unit>[_total]`, base units, labels with a
//! small closed set of values (never a job, and none of `job`, `instance`, `namespace`, which a scrape sets itself).

use std::fmt::Write as _;

/// What a family is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// The present value.
    Gauge,
    /// How often values fell below each of these bounds.
    Histogram(Bounds),
}

/// The buckets of a histogram, without the last that holds everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// For what a job's owner feels: up to an hour, dense where the goals are (10 s with warm capacity, 60 s).
    Waits,
    /// For our own work: far more than it takes, and too much.
    Work,
}

impl Bounds {
    /// The upper bounds, in seconds.
    pub fn seconds(self) -> Vec<f64> {
        match self {
            Self::Waits => vec![10.0, 20.0, 60.0, 90.0, 300.0, 3600.0],
            Self::Work => vec![0.1, 1.0],
        }
    }
}

/// Whether a dashboard may rely on a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Changes its name or meaning only with a new major version, and is then written under both names for one.
    Stable,
    /// May still change with any version; the change log says so.
    Beta,
}

/// One family.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is made of.
    pub kind: Kind,
    /// Its unit, as people read it.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// Whether it may be relied on.
    pub stability: Stability,
}

/// `NAME = kind "name" (unit) [labels] stability, "help";` one line a family, and the list of all.
macro_rules! families {
    ($($id:ident = $kind:expr, $name:literal, $unit:literal, [$($label:literal),*], $stability:ident, $help:literal;)*) => {
        $(
            pub(super) const $id: Family = Family {
                name: $name, kind: $kind, unit: $unit, labels: &[$($label),*], help: $help, stability: Stability::$stability,
            };
        )*
        /// All families, in the order of the documentation.
        pub const ALL: &[Family] = &[$($id),*];
    };
}

use Kind::{Counter, Gauge};
const WAITS: Kind = Kind::Histogram(Bounds::Waits);
const WORK: Kind = Kind::Histogram(Bounds::Work);

families! {
    WAIT = WAITS, "autotune_job_wait_seconds", "seconds", ["queue"], Stable, "From RUNNABLE to STARTING, in seconds, first attempt; from listings: to RUNNING; each job once";
    AVOIDABLE = WAITS, "autotune_job_avoidable_wait_seconds", "seconds", ["queue"], Stable, "The part of the wait, in seconds, in which some environment of the queue had room below its maximum and quota";
    START = WAITS, "autotune_job_start_latency_seconds", "seconds", ["queue"], Stable, "From RUNNABLE to RUNNING, in seconds, image pull included; each job once";
    COVERAGE = Gauge, "autotune_job_wait_coverage_ratio", "ratio", ["queue"], Stable, "Share (0 to 1) of the jobs that started whose times are exact, from events; the others are from listings, or unknown";
    STARTED = Counter, "autotune_started_jobs_total", "jobs", ["queue", "source"], Stable, "Jobs that started, each once, by what their times are known from: events, a listing, or nothing";
    RUNNABLE = Gauge, "autotune_queue_runnable_jobs", "jobs", ["queue"], Stable, "RUNNABLE jobs that are demand for capacity";
    WAITING = Gauge, "autotune_queue_waiting_vcpus", "vCPUs", ["queue"], Stable, "vCPUs that RUNNABLE jobs need, in the latest plan";
    PLACED = Gauge, "autotune_queue_placed_jobs", "jobs", ["queue"], Stable, "STARTING and RUNNING jobs";
    DENIED = Gauge, "autotune_queue_denied_vcpus", "vCPUs", ["queue"], Stable, "vCPUs of the queue's demand that a limit leaves without capacity, in the latest plan";
    OLDEST = Gauge, "autotune_queue_oldest_job_age_seconds", "seconds", ["queue"], Stable, "How long ago the RUNNABLE job that has existed longest was submitted, in seconds; 0: none is known";
    BLOCKED = Gauge, "autotune_queue_blocked_since_timestamp_seconds", "Unix time, seconds", ["queue"], Stable, "Since when AWS Batch says that the head of the queue is blocked, in seconds since 1970; 0: it is not";
    QUEUE_AGE = Gauge, "autotune_queue_signal_age_seconds", "seconds", ["queue"], Stable, "How long ago the queue's jobs were read, in seconds; +Inf: never";
    QUEUE_OVERRIDE = Gauge, "autotune_queue_override_expires_timestamp_seconds", "Unix time, seconds", ["queue"], Stable, "When a person's override of the queue ends, in seconds since 1970; 0: there is none";
    BASE = Gauge, "autotune_environment_base_vcpus", "vCPUs", ["environment"], Stable, "The operator's own minvCpus, in vCPUs, to which everything returns";
    MIN = Gauge, "autotune_environment_min_vcpus", "vCPUs", ["environment"], Stable, "minvCpus, in vCPUs, as last read";
    DESIRED = Gauge, "autotune_environment_desired_vcpus", "vCPUs", ["environment"], Stable, "desiredvCpus, in vCPUs, as last read: the intent of AWS Batch";
    MAX = Gauge, "autotune_environment_max_vcpus", "vCPUs", ["environment"], Stable, "maxvCpus, in vCPUs, as last read";
    THERE = Gauge, "autotune_environment_there_vcpus", "vCPUs", ["environment"], Stable, "vCPUs of ACTIVE container instances";
    USED = Gauge, "autotune_environment_used_vcpus", "vCPUs", ["environment"], Stable, "vCPUs of ACTIVE container instances that jobs hold";
    ON_ITS_WAY = Gauge, "autotune_environment_on_its_way_vcpus", "vCPUs", ["environment"], Stable, "vCPUs asked for and believed to come";
    WANTED = Gauge, "autotune_environment_wanted_vcpus", "vCPUs", ["environment"], Stable, "New vCPUs wanted before limits, in the latest plan";
    GRANTED = Gauge, "autotune_environment_granted_vcpus", "vCPUs", ["environment"], Stable, "New vCPUs granted after limits, in the latest plan";
    DOUBLE = Counter, "autotune_environment_double_launch_vcpus_total", "vCPUs", ["environment"], Stable, "vCPUs that arrived beyond what was wanted, because AWS Batch had launched too";
    IDLE = Counter, "autotune_environment_idle_vcpu_seconds_total", "vCPU seconds", ["environment"], Stable, "vCPUs of ACTIVE container instances that no job holds, times the seconds they stood so";
    DROUGHT = Gauge, "autotune_environment_drought_until_timestamp_seconds", "Unix time, seconds", ["environment"], Stable, "Until when an environment that delivered no capacity is not asked for more, in seconds since 1970; 0: no drought is known";
    LEASE = Gauge, "autotune_environment_lease_expires_timestamp_seconds", "Unix time, seconds", ["environment"], Stable, "When the lease on raised capacity ends, in seconds since 1970; 0: nothing is raised";
    GUARDED = Gauge, "autotune_environment_guarded", "0 or 1", ["environment"], Stable, "1 while a guard in the account restores the base should autotune be gone";
    OVERRIDE = Gauge, "autotune_environment_override_expires_timestamp_seconds", "Unix time, seconds", ["environment"], Stable, "When a person's override of the environment ends, in seconds since 1970; 0: there is none";
    AGE = Gauge, "autotune_environment_signal_age_seconds", "seconds", ["environment", "kind"], Stable, "How long ago this part was read, in seconds: the environment, or its container instances; +Inf: never; NaN: nodes of EKS are not read";
    UPDATES = Counter, "autotune_environment_updates_total", "updates", ["environment", "outcome"], Stable, "Updates sent, by how they ended; raced: AWS Batch had moved meanwhile, or desired stands above max";
    DECISIONS = Counter, "autotune_environment_decisions_total", "decisions", ["environment", "direction"], Stable, "Updates that plans called for: raise or lower; in a dry run, with every plan again";
    REFUSED = Counter, "autotune_environment_refused_launches_total", "launches", ["environment", "reason"], Beta, "Launches that EC2 refused, as Auto Scaling or the Spot Fleet tells them: a quota, no capacity, other";
    SQS = Gauge, "autotune_sqs_messages", "messages", ["source", "kind"], Stable, "Messages of an SQS source, approximate counts of SQS: visible, in flight, delayed";
    SQS_OLDEST = Gauge, "autotune_sqs_oldest_message_age_seconds", "seconds", ["source"], Beta, "Age of the oldest message of an SQS source, in seconds, as CloudWatch told it last, asked every five minutes; 0: none is known";
    SQS_AGE = Gauge, "autotune_sqs_signal_age_seconds", "seconds", ["source"], Stable, "How long ago the SQS source was read, in seconds; +Inf: never";
    QUOTA = Gauge, "autotune_quota_limit_vcpus", "vCPUs", ["code"], Stable, "A service quota, in vCPUs: as applied, or as the policy has it where that is lower or alone; 0: not known";
    QUOTA_OTHERS = Gauge, "autotune_quota_used_by_others_vcpus", "vCPUs", ["code"], Stable, "vCPUs under a service quota that run outside the steered environments";
    QUOTA_HELD = Gauge, "autotune_quota_held_vcpus", "vCPUs", ["code"], Beta, "vCPUs of our environments' ACTIVE instances that count under a service quota";
    QUOTA_COMING = Gauge, "autotune_quota_on_its_way_vcpus", "vCPUs", ["code"], Beta, "vCPUs asked for in our environments, or of a type that is not told, that may come to count under a service quota";
    QUOTA_RESERVE = Gauge, "autotune_quota_reserve_vcpus", "vCPUs", ["code"], Beta, "vCPUs of a service quota that the policy leaves to the rest of the account";
    QUOTA_OVERSHOOT = Gauge, "autotune_quota_overshoot_vcpus", "vCPUs", ["code"], Beta, "vCPUs of a service quota that are kept for the instance by which AWS Batch may exceed what is asked for, per environment";
    QUOTA_LEFT = Gauge, "autotune_quota_left_vcpus", "vCPUs", ["code"], Beta, "vCPUs of a service quota that are left after all this and after what the latest plan granted";
    COST = Gauge, "autotune_cost_usd_per_hour", "USD per hour", ["kind"], Beta, "What the instances that are there cost, in US dollars per hour, On-Demand and Spot apart: estimated, Spot at what EC2 told within three hours (the mean over the zones of the region), the rest at list prices of 2026-11-21 in us-east-1; NaN: not known";
    IDLE_COST = Gauge, "autotune_idle_cost_usd_per_hour", "USD per hour", [], Beta, "Of that, the share of the vCPUs that no job uses, in US dollars per hour: estimated, Spot at what EC2 told within three hours (the mean over the zones of the region), the rest at list prices of 2026-11-21 in us-east-1; NaN: not known";
    UNPRICED = Gauge, "autotune_unpriced_environments", "environments", [], Beta, "Environments that the cost leaves out: the price of a type is not known, or instances were not read for ten minutes";
    SAVED = Gauge, "autotune_simulated_saved_wait_seconds", "seconds", [], Beta, "Simulated: how much less the jobs of the last 24 hours wait with autotune than with AWS Batch alone, in seconds, all together; below 0: more; NaN: not known";
    EXTRA_COST = Gauge, "autotune_simulated_extra_cost_usd", "USD", [], Beta, "Simulated: how much more the instances for these jobs cost with autotune than with AWS Batch alone, in US dollars, at list prices of 2026-11-21 in us-east-1; below 0: less; NaN: not known";
    SIMULATED_JOBS = Gauge, "autotune_simulated_jobs", "jobs", [], Beta, "Simulated: how many jobs were compared; in a demo those since its start";
    SIMULATED_AT = Gauge, "autotune_simulated_last_timestamp_seconds", "Unix time, seconds", [], Beta, "Simulated: when, in seconds since 1970; 0: not yet, or it failed, and status and page say why";
    REASONS = Counter, "autotune_decisions_total", "decisions", ["reason"], Stable, "Updates that plans called for, all environments together, by their main reason; in a dry run, with every plan again";
    LIMITED = Gauge, "autotune_limited_vcpus", "vCPUs", ["limit"], Stable, "vCPUs that each kind of limit denies, in the latest plan, all environments together";
    HELD = Gauge, "autotune_held_environments", "environments", ["kind"], Stable, "Environments that wait before they are changed, by what they wait for";
    ELSEWHERE = Gauge, "autotune_not_demand_jobs", "jobs", ["kind"], Stable, "Jobs that wait for something that capacity does not cure, all queues together";
    LEADER = Gauge, "autotune_leader", "0 or 1", [], Stable, "1 while this process may change the account";
    DRY_RUN = Gauge, "autotune_dry_run", "0 or 1", [], Stable, "1 if nothing is changed because `apply = true` is missing";
    LAST_TICK = Gauge, "autotune_last_successful_tick_timestamp_seconds", "Unix time, seconds", [], Stable, "When a plan was last made, in seconds since 1970; 0: not yet";
    TICK = WORK, "autotune_tick_duration_seconds", "seconds", [], Stable, "How long making a plan took, in seconds";
    LAG = Gauge, "autotune_tick_lag_seconds", "seconds", [], Beta, "How much later than it was due the latest plan was made, in seconds";
    RELOAD = Gauge, "autotune_policy_last_reload_success", "0 or 1", [], Stable, "1 if the policies were taken when they were last read and fit the account; 0: refused, what was in force holds";
    ERRORS = Counter, "autotune_errors_total", "errors", ["kind"], Beta, "What did not work: reading a part of the account, receiving events, arming a guard; updates are counted by outcome";
    JOURNAL = Gauge, "autotune_journal_writable", "0 or 1", [], Beta, "1 unless the journal could not be written when that was last tried; nothing is raised meanwhile";
    HINTS = Counter, "autotune_hints_total", "hints", ["kind"], Beta, "Wake-ups received, by what they tell of; malformed, duplicate and dropped ones apart";
    REQUESTS = Counter, "autotune_aws_requests_total", "requests", ["service", "operation", "code"], Beta, "Requests to AWS, by service, operation and answer; a series begins with its first request";
    FINDINGS = Gauge, "autotune_check_findings", "findings", ["rule", "severity"], Beta, "Findings of `autotune check`, looked for every hour, by rule; a series begins with its first finding and goes back to 0";
    CHECKED = Gauge, "autotune_check_last_timestamp_seconds", "Unix time, seconds", [], Beta, "When the account was last checked, in seconds since 1970; 0: not yet";
    BUILD = Gauge, "autotune_build_info", "1", ["version"], Stable, "Always 1; the label is the version of the program";
}

/// The page about all families: how the headlines are measured, what is not there, and the table.
pub fn metrics_page() -> String {
    format!("{HEAD}\n{}", metrics_table())
}

/// What stands before the table in `deploy/METRICS.md`.
const HEAD: &str = r#"# Metrics

Made by `autotune schema metrics`; a test fails where this file is stale. The daemon serves them at `/metrics`, in the text format 0.0.4.

**Series.** At most 70, 10 more per service quota and per SQS source, 30 per compute environment, 40 per job queue; besides one for each answer
that AWS gives to an operation, 80 at most, and one for each rule of `check` that has found something. With ten environments and five queues all
of it is less than 60 and 40 per environment and per queue. All others exist at 0 (or NaN, where
that would be a claim) from the moment a setup is in force, and go with what they are about. Labels have small closed
sets of values; none is a job, and none is `job`, `instance` or `namespace`, which a scrape sets itself.

**Stability.** *stable*: changes its name or meaning only with a new major version, and is then written under both names for one.
*beta*: may change with any version; the change log says so. Values of `reason`, `limit` and `kind` are the codes that `plan`,
`explain` and `status` have in their JSON too; new ones may come.

**Headlines.** Each job of a queue is measured once, when it is first seen to run, if it started after the daemon did.

| what is known of the job | wait | start latency | `source` in `autotune_started_jobs_total` |
|---|---|---|---|
| the event of RUNNABLE | RUNNABLE to STARTING | RUNNABLE to `startedAt` | `events` |
| no event of RUNNABLE; it waited for no other job | `createdAt` to `startedAt` | `createdAt` to `startedAt` | `listing` |
| no event of RUNNABLE; it was PENDING, or is a child of an array | not measured | not measured | `unknown` |

The avoidable wait is the wait without the time in which every environment of the queue was at its maximum, at its service quota, or
not VALID and ENABLED. `autotune_job_wait_coverage_ratio` is the share of `events`. Without events it is 0 and a wait includes the image pull. A *warm* start is one in the bucket
`autotune_job_wait_seconds_bucket{le="10"}`.

**Often asked for**

| question | expression |
|---|---|
| refused requests, throttled ones among them (429, or 400 with several services) | `increase(autotune_aws_requests_total{code!~"2.."}[1h])` |
| trouble with updates | `increase(autotune_environment_updates_total{outcome!="accepted"}[1h])` |
| share of its maximum | `autotune_environment_desired_vcpus / autotune_environment_max_vcpus` |
| the loop stands still | `time() - autotune_last_successful_tick_timestamp_seconds > 180` |
| raised and unguarded | `autotune_environment_lease_expires_timestamp_seconds > 0 and autotune_environment_guarded == 0` |
| what it costs at the present rate, in a month of 730 hours | `sum(autotune_cost_usd_per_hour) * 730` |
| what a minute that jobs did not wait has cost, simulated | `autotune_simulated_extra_cost_usd / (autotune_simulated_saved_wait_seconds > 0) * 60` |

Not there: what a policy in the shadow would want; jobs by other statuses (a listing of AWS Batch has them); which kind an override is (`status`
says it).
"#;

/// All families as a Markdown table, for the documentation.
pub fn metrics_table() -> String {
    let mut table =
        "| name | type | unit | labels | what it says | stability |\n|---|---|---|---|---|---|\n".to_owned();
    for family in ALL {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let stability = match family.stability {
            Stability::Stable => "stable",
            Stability::Beta => "beta",
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {kind} | {} | {} | {} | {stability} |",
            family.name,
            family.unit,
            labels.join(", "),
            family.help
        );
    }
    table
}
