//! The daemon at one moment, for people and machines: what `status` prints, `/api/v1/status` serves and the page shows.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::checking::Checked;
use super::twin::Saved;
use crate::explain;
use crate::ids::QuotaIndex;
use crate::overrides::Override;
use crate::planner::plan::QuotaPlan;
use crate::setup::Setup;
use crate::units::{MicroUsd, Span, Time, Vcpus};

/// The rank of trouble that people can do something about.
const TROUBLE: u8 = 1;

fn rows_of<'a>(document: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    let rows = document.get_mut(list).and_then(Value::as_array_mut);
    rows.into_iter().flatten()
}

/// What is no figure before it was read: the list, the age of the reading, and its figures.
const READ: [(&str, &str, &[&str]); 4] = [
    (
        "environments",
        "age",
        &["min_vcpus", "desired_vcpus", "max_vcpus", "on_its_way_vcpus"],
    ),
    (
        "environments",
        "instances_age",
        &["there_vcpus", "used_vcpus", "on_its_way_vcpus"],
    ),
    (
        "queues",
        "age",
        &[
            "runnable_jobs",
            "runnable_vcpus",
            "placed_jobs",
            "placed_vcpus",
            "pending_jobs",
        ],
    ),
    ("sqs", "age", &["visible", "in_flight", "delayed"]),
];

/// The figures of a list's row are none.
fn unknown<'a>(row: &mut Value, figures: impl IntoIterator<Item = &'a &'a str>) {
    for figure in figures {
        if let Some(figure) = row.pointer_mut(&format!("/{}", figure.replace('.', "/"))) {
            *figure = Value::Null;
        }
    }
}

/// What is not known is written as null, and read as zero beside an age of null.
fn or_zero<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Everything there is to tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Time,
    /// The version of the program.
    pub version: String,
    /// The account is simulated: nothing of this is AWS.
    #[serde(default)]
    pub simulated: bool,
    /// Account id, twelve digits.
    pub account: String,
    /// Region.
    pub region: String,
    /// Nothing is changed: `apply = true` is missing.
    pub dry_run: bool,
    /// Whether this process may write.
    pub leads: bool,
    /// When it was last planned.
    pub planned_at: Option<Time>,
    /// Whether EventBridge events arrive; without them listings are polled.
    pub events: bool,
    /// They should, and cannot be received.
    #[serde(default)]
    pub events_fail: bool,
    /// What the present way of looking costs, in API calls per minute over the last ten minutes.
    pub calls_per_minute: f64,
    /// Since when `today` of the queues is counted: midnight in UTC, or when the daemon began.
    #[serde(default)]
    pub waits_since: Option<Time>,
    /// Why changed policies were refused, or why the account does not fit them any more; `None`: neither is so.
    pub reload_refused: Option<String>,
    /// Per compute environment.
    pub environments: Vec<EnvironmentStatus>,
    /// Per job queue.
    pub queues: Vec<QueueStatus>,
    /// Per SQS source.
    pub sqs: Vec<SqsStatus>,
    /// Per service quota.
    pub quotas: Vec<QuotaStatus>,
    /// When EC2 told what Spot Instances cost. What it did not tell, and On-Demand, is at the list prices of the catalogue.
    #[serde(default)]
    pub spot_prices_of: Option<Time>,
    /// What `check` found last; `None`: it has not looked yet.
    #[serde(default)]
    pub checked: Option<Checked>,
    /// What the same jobs would have come to with AWS Batch alone, simulated; `None`: nothing is known yet.
    #[serde(default)]
    pub saved: Option<Saved>,
}

impl Snapshot {
    /// The JSON document: what was never read is null in it, not zero.
    ///
    /// # Errors
    /// None that is known of: a snapshot has text for keys, and no figure that JSON has not.
    pub fn document(&self) -> Result<Value, serde_json::Error> {
        let mut document = serde_json::to_value(self)?;
        for (list, age, figures) in READ {
            for row in rows_of(&mut document, list).filter(|row| row.get(age).is_none_or(Value::is_null)) {
                unknown(row, figures);
            }
        }
        let unplanned = self.planned_at.is_none();
        let of_quota = |code: &String| {
            let draws = self.environments.iter().filter(|one| one.quotas.contains(code));
            draws.fold((false, false), |(held, coming), one| {
                let unseen = one.instances_age.is_none();
                (held || unseen, coming || unseen || one.age.is_none())
            })
        };
        for (row, quota) in rows_of(&mut document, "quotas").zip(&self.quotas) {
            let (held, coming) = of_quota(&quota.code);
            unknown(row, held.then_some(&"held_vcpus"));
            unknown(row, coming.then_some(&"on_its_way_vcpus"));
            unknown(row, (held || coming || unplanned).then_some(&"left_vcpus"));
            for figure in ["granted_vcpus", "overshoot_vcpus"] {
                unknown(row, unplanned.then_some(&figure));
            }
        }
        for row in rows_of(&mut document, "environments").filter(|_| unplanned) {
            unknown(row, &["wanted_vcpus", "granted_vcpus"]);
        }
        for (row, queue) in rows_of(&mut document, "queues").zip(&self.queues) {
            let unread = |source: &SqsStatus| source.queue == queue.name && source.age.is_none();
            let unread = self.sqs.iter().any(unread);
            unknown(row, unread.then_some(&"demand.messages_vcpus"));
        }
        Ok(document)
    }
}

/// One thing that is said: a code for machines, a sentence for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The code of a reason (`explain::code`), or `unreadable`, `sampled`, `not_valid`, `yielded`, `unenforced`, `silent`.
    pub code: String,
    /// The code of its detail: which limit, hold, part or kind of jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How pressing it is: `explain::precedence`, the smallest first.
    #[serde(default)]
    pub rank: u8,
    /// The sentence.
    pub sentence: String,
}

impl Told {
    /// Trouble that people can do something about, without a detail.
    pub fn new(code: &str, sentence: String) -> Self {
        Self {
            code: code.to_owned(),
            detail: None,
            rank: TROUBLE,
            sentence,
        }
    }
}

/// A compute environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentStatus {
    /// Its name.
    pub name: String,
    /// `on_demand` or `spot`.
    pub purchase: String,
    /// Whether it is steered: the policy covers it, it can be steered, and it carries the tag.
    pub steered: bool,
    /// VALID and ENABLED.
    pub usable: bool,
    /// An update is under way in Batch.
    pub updating: bool,
    /// The operator's own minvCpus.
    pub base_vcpus: Vcpus,
    /// minvCpus.
    #[serde(deserialize_with = "or_zero")]
    pub min_vcpus: Vcpus,
    /// desiredvCpus: Batch's intent.
    #[serde(deserialize_with = "or_zero")]
    pub desired_vcpus: Vcpus,
    /// maxvCpus.
    #[serde(deserialize_with = "or_zero")]
    pub max_vcpus: Vcpus,
    /// vCPUs of ACTIVE container instances.
    #[serde(deserialize_with = "or_zero")]
    pub there_vcpus: Vcpus,
    /// vCPUs of them that jobs hold.
    #[serde(deserialize_with = "or_zero")]
    pub used_vcpus: Vcpus,
    /// Asked for and believed to come.
    #[serde(deserialize_with = "or_zero")]
    pub on_its_way_vcpus: Vcpus,
    /// New capacity wanted before limits, in the latest plan.
    #[serde(deserialize_with = "or_zero")]
    pub wanted_vcpus: Vcpus,
    /// New capacity granted, in the latest plan.
    #[serde(deserialize_with = "or_zero")]
    pub granted_vcpus: Vcpus,
    /// When the lease on its raised min ends.
    pub lease_expires: Option<Time>,
    /// Whether a guard in the account restores base should we be gone.
    pub guarded: bool,
    /// How long ago it was read; `None`: never.
    pub age: Option<Span>,
    /// How long ago its container instances were read, which tell what is there and used; `None`: never.
    #[serde(default)]
    pub instances_age: Option<Span>,
    /// What is there costs so much per hour, see [`Snapshot::spot_prices_of`]; `None`: its instance types are not known.
    #[serde(default)]
    pub per_hour: Option<MicroUsd>,
    /// Codes of the service quotas that it draws from.
    #[serde(default)]
    pub quotas: Vec<String>,
    /// Until when no update is sent, after one that was refused or failed.
    #[serde(default)]
    pub backs_off_until: Option<Time>,
    /// Until when it is believed to have no capacity, so that no more is asked for.
    #[serde(default)]
    pub dry_until: Option<Time>,
    /// What a person ordered.
    pub overridden: Option<Override>,
    /// Updates accepted since the start.
    pub accepted: u64,
    /// Updates refused, throttled or failed since the start.
    pub refused: u64,
    /// Why it is as it is.
    pub reasons: Vec<Told>,
}

impl EnvironmentStatus {
    /// What autotune holds above base: only with a lease is a raised min its own.
    pub fn held_vcpus(&self) -> Vcpus {
        self.lease_expires
            .map_or(Vcpus::ZERO, |_| self.min_vcpus.minus_or_zero(self.base_vcpus))
    }
}

/// A job queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Its name.
    pub name: String,
    /// RUNNABLE jobs that are demand.
    #[serde(deserialize_with = "or_zero")]
    pub runnable_jobs: i64,
    /// Their vCPUs.
    #[serde(deserialize_with = "or_zero")]
    pub runnable_vcpus: Vcpus,
    /// Counting stopped early: there are at least so many.
    pub at_least: bool,
    /// Sizes of some jobs were estimated from a sample.
    pub sampled: bool,
    /// STARTING and RUNNING jobs.
    #[serde(deserialize_with = "or_zero")]
    pub placed_jobs: i64,
    /// Their vCPUs.
    #[serde(deserialize_with = "or_zero")]
    pub placed_vcpus: Vcpus,
    /// PENDING on dependencies.
    #[serde(deserialize_with = "or_zero")]
    pub pending_jobs: i64,
    /// RUNNABLE jobs that are no demand; `None`: not told.
    #[serde(default)]
    pub no_demand: Option<NoDemand>,
    /// Its environments in `computeEnvironmentOrder`.
    #[serde(default)]
    pub environments: Vec<String>,
    /// What it needs, in the latest plan; `None`: none was made since its jobs were first read.
    #[serde(default)]
    pub demand: Option<Demand>,
    /// Waits of the jobs that started in the last ten minutes (at most 256 of them).
    #[serde(default)]
    pub lately: Waited,
    /// Waits of the jobs that started today.
    #[serde(default)]
    pub today: Waited,
    /// Since when the longest waiting RUNNABLE job has existed, as far as known.
    pub oldest: Option<Span>,
    /// Why its head is blocked, in Batch's words, and since when.
    pub blocked: Option<(String, Time)>,
    /// How long ago it was read; `None`: never.
    pub age: Option<Span>,
    /// What a person ordered.
    pub overridden: Option<Override>,
    /// Why nothing or something is done for it.
    pub reasons: Vec<Told>,
}

impl QueueStatus {
    /// All RUNNABLE jobs that are known. A blocked head is one, whether it is counted or not.
    pub fn waiting_jobs(&self) -> i64 {
        let counted = self
            .runnable_jobs
            .saturating_add(self.no_demand.map_or(0, NoDemand::jobs));
        counted.max(i64::from(self.blocked.is_some()))
    }

    /// Those of them that can never start.
    pub fn stuck_jobs(&self) -> i64 {
        let not_told = i64::from(self.blocked.is_some() && self.runnable_jobs == 0);
        self.no_demand.map_or(not_told, |jobs| jobs.misconfigured_jobs)
    }
}

/// RUNNABLE jobs that wait for something that capacity does not cure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoDemand {
    /// Blocked by MISCONFIGURATION: they can never start.
    pub misconfigured_jobs: i64,
    /// Held by a fair-share reservation; only a simulation knows, AWS Batch does not tell.
    pub reserved_jobs: i64,
    /// Multi-node parallel: Batch launches for them, but never serves them from minvCpus.
    pub multi_node_jobs: i64,
}

impl NoDemand {
    /// All of them.
    pub const fn jobs(self) -> i64 {
        (self.misconfigured_jobs)
            .saturating_add(self.reserved_jobs)
            .saturating_add(self.multi_node_jobs)
    }
}

/// What a queue needs, by source, in vCPUs of its preferred environment, and what comes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// RUNNABLE jobs.
    pub runnable_vcpus: Vcpus,
    /// SQS messages that are not jobs yet.
    #[serde(deserialize_with = "or_zero")]
    pub messages_vcpus: Vcpus,
    /// Jobs that are known to come.
    pub arriving_vcpus: Vcpus,
    /// A limit leaves so much of it without capacity.
    pub denied_vcpus: Vcpus,
}

/// How long jobs that started waited: from RUNNABLE to STARTING, where only listings tell to RUNNING.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited {
    /// How many jobs.
    pub jobs: i64,
    /// Half of them waited so long at most; `None`: there are none.
    pub half: Option<Span>,
    /// 95 of 100 of them.
    pub most: Option<Span>,
    /// All of them.
    pub longest: Option<Span>,
}

/// An SQS source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SqsStatus {
    /// Its name in the policy.
    pub name: String,
    /// The job queue that it feeds.
    pub queue: String,
    /// Visible messages.
    #[serde(deserialize_with = "or_zero")]
    pub visible: i64,
    /// In flight.
    #[serde(deserialize_with = "or_zero")]
    pub in_flight: i64,
    /// Delayed.
    #[serde(deserialize_with = "or_zero")]
    pub delayed: i64,
    /// Age of the oldest message.
    pub oldest: Option<Span>,
    /// How long ago it was read; `None`: never.
    pub age: Option<Span>,
    /// What is said of it.
    pub reasons: Vec<Told>,
}

/// A service quota: a row of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuotaStatus {
    /// Its code.
    pub code: String,
    /// The limit that holds, if known.
    pub limit_vcpus: Option<Vcpus>,
    /// What runs in the account outside our environments, if known.
    pub used_by_others_vcpus: Option<Vcpus>,
    /// How the use of the account was counted, where its metric in AWS/Usage tells nothing.
    #[serde(default)]
    pub counted: Option<String>,
    /// ACTIVE instances of our environments.
    #[serde(default, deserialize_with = "or_zero")]
    pub held_vcpus: Vcpus,
    /// Asked for in our environments and not there yet.
    #[serde(default, deserialize_with = "or_zero")]
    pub on_its_way_vcpus: Vcpus,
    /// Left to the rest of the account by the policy.
    #[serde(default)]
    pub reserve_vcpus: Vcpus,
    /// Kept for the instance by which Batch may exceed what is asked for, per environment.
    #[serde(default, deserialize_with = "or_zero")]
    pub overshoot_vcpus: Vcpus,
    /// Granted by the latest plan.
    #[serde(default, deserialize_with = "or_zero")]
    pub granted_vcpus: Vcpus,
    /// What is left after all this; `None`: the limit is not known.
    #[serde(default)]
    pub left_vcpus: Option<Vcpus>,
    /// The row in words.
    #[serde(default)]
    pub sentence: String,
    /// Where to ask for more.
    #[serde(default)]
    pub link: String,
}

impl QuotaStatus {
    /// Of a row of the ledger.
    pub fn of(setup: &Setup, index: QuotaIndex, row: &QuotaPlan) -> Self {
        let quota = setup.quotas.get(index.position());
        Self {
            code: quota.map(|quota| quota.code.clone()).unwrap_or_default(),
            limit_vcpus: row.limit,
            used_by_others_vcpus: row.used_by_others,
            counted: None,
            held_vcpus: row.held,
            on_its_way_vcpus: row.on_its_way,
            reserve_vcpus: row.reserve,
            overshoot_vcpus: row.overshoot,
            granted_vcpus: row.granted,
            left_vcpus: row.limit.map(|_| row.left),
            sentence: explain::ledger(row),
            link: explain::quota_link(setup, index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_read_is_null_and_not_zero() {
        let read = |read: bool| {
            let age = read.then_some(Span::ZERO);
            Snapshot {
                environments: vec![EnvironmentStatus {
                    age,
                    instances_age: age,
                    quotas: vec!["L-1".to_owned()],
                    ..EnvironmentStatus::default()
                }],
                queues: vec![QueueStatus {
                    age,
                    demand: Some(Demand::default()),
                    ..QueueStatus::default()
                }],
                planned_at: age.map(|_| Time::EPOCH),
                quotas: vec![QuotaStatus {
                    code: "L-1".to_owned(),
                    left_vcpus: read.then_some(Vcpus::ZERO),
                    ..QuotaStatus::default()
                }],
                sqs: vec![SqsStatus {
                    age,
                    ..SqsStatus::default()
                }],
                ..Snapshot::default()
            }
        };
        for known in [true, false] {
            let snapshot = read(known);
            let document = snapshot.document().unwrap();
            let others = [
                ("environments", "wanted_vcpus"),
                ("environments", "granted_vcpus"),
                ("quotas", "held_vcpus"),
                ("quotas", "on_its_way_vcpus"),
                ("quotas", "granted_vcpus"),
                ("quotas", "overshoot_vcpus"),
                ("quotas", "left_vcpus"),
            ];
            let of_list = READ
                .into_iter()
                .flat_map(|(list, _, figures)| figures.iter().map(move |figure| (list, *figure)));
            for (list, figure) in of_list.chain(others) {
                let expected = if known { Value::from(0) } else { Value::Null };
                assert_eq!(document[list][0][figure], expected, "{list} {figure}");
            }
            let expected = if known { Value::from(0) } else { Value::Null };
            assert_eq!(document["queues"][0]["demand"]["messages_vcpus"], expected);
            assert_eq!(serde_json::from_value::<Snapshot>(document).unwrap(), snapshot);
        }
    }
}
