//! What the planner remembers between plans. Small, plain, and changed only by folding a plan's notes.

use serde::{Deserialize, Serialize};

use crate::overrides::Override;
use crate::planner::plan::Note;
use crate::setup::Setup;
use crate::units::{Span, Time, Vcpus};

/// Pairs of the patience table that are remembered per queue; policies with more are refused when compiled.
pub const PATIENCE_PAIRS: usize = 4;

/// Everything remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// When the controller started.
    pub started: Time,
    /// When the setup came into force: nothing that it names has been missing for longer only because it was never read.
    #[serde(default)]
    pub in_force_since: Time,
    /// Per environment.
    pub environments: Vec<EnvironmentMemory>,
    /// Per queue.
    pub queues: Vec<QueueMemory>,
    /// Per SQS source.
    pub sqs: Vec<SqsMemory>,
}

/// Whether an environment delivers what is asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supply {
    /// It does, as far as known.
    #[default]
    Delivers,
    /// It did not; nothing more is asked before `until`.
    Drought {
        /// End of this memory.
        until: Time,
    },
    /// The memory has ended; a little is asked.
    Probing {
        /// Since when.
        since: Time,
    },
}

/// Raises that are watched for capacity that AWS Batch launches besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// When the first was asked for.
    pub at: Time,
    /// The largest level wanted since.
    pub wanted: Vcpus,
    /// How much they asked for, beyond what was there or on its way.
    pub asked: Vcpus,
}

/// What is remembered of an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentMemory {
    /// Whether it delivers.
    pub supply: Supply,
    /// How long the next drought will be believed; zero: the first length.
    pub drought: Span,
    /// When it last recovered.
    pub recovered_at: Option<Time>,
    /// Since when capacity has been on its way without any arriving, and what was there then.
    pub waiting: Option<(Time, Vcpus)>,
    /// Since when new capacity has been wanted.
    pub short_since: Option<Time>,
    /// Since when less has been wanted than min holds.
    pub low_since: Option<Time>,
    /// The last update: when, and the level it asked for.
    pub updated: Option<(Time, Vcpus)>,
    /// The largest recent use, and since when less has been used.
    pub peak: (Vcpus, Option<Time>),
    /// Since when room has been idle here beside RUNNABLE jobs that fit.
    pub beside_since: Option<Time>,
    /// What was used there when that was last looked at.
    #[serde(default)]
    pub beside_used: Vcpus,
    /// Since when min has held idle room that waiting jobs seem to fit, with use unchanged at this many vCPUs.
    pub held_in_vain: Option<(Time, Vcpus)>,
    /// Until when Batch alone launches here: waiting jobs could not use what we had launched.
    pub left_to_batch_until: Option<Time>,
    /// Until when Batch is believed not to place jobs here.
    pub not_placed_until: Option<Time>,
    /// The operator's minvCpus as it was when our raise began, while a lease or an update stands: what an account shows
    /// meanwhile may be ours. Kept so that a policy that names no base finds it again after a restart.
    #[serde(default)]
    pub base_before: Option<Vcpus>,
    /// maxvCpus as it was before we changed it, until it has been seen to stand again.
    pub max_before: Option<Vcpus>,
    /// The maxvCpus that we set, while `max_before` is remembered; any other value is somebody else's.
    pub max_ours: Vcpus,
    /// The maxvCpus that stood when we set `max_ours`: it stands again if that was refused. `max_ours` once that was seen.
    #[serde(default)]
    pub max_from: Vcpus,
    /// What maxvCpus was lowered to for the drought that lasts.
    #[serde(default)]
    pub max_dry: Option<Vcpus>,
    /// Until when a maxvCpus that another hand set is left alone: we had lowered it.
    #[serde(default)]
    pub max_left_until: Option<Time>,
    /// A release was refused while desired stood above max: Batch overshot, and may be unable to come down by itself while
    /// min is held. The next release lifts max to desired in the same call, and puts it back afterwards.
    pub release_refused: bool,
    /// Raises that are watched for double launches.
    pub raised: Option<Raised>,
    /// Added to the time that Batch may act first: longer with each double launch, half of it after raises without one.
    pub batch_first_more: Span,
    /// What a person ordered for it.
    pub overridden: Option<Override>,
    /// An update is being sent.
    pub in_flight: bool,
    /// When the last update was answered; older readings of the environment do not count.
    pub acted_at: Option<Time>,
}

impl EnvironmentMemory {
    /// A maxvCpus that we lowered goes back by other ways than a plan: to find it there is no other hand's doing.
    pub fn expect_max_back(&mut self) {
        if let Some(before) = self.max_before.filter(|before| *before != self.max_ours) {
            (self.max_from, self.max_ours) = (self.max_ours, before);
        }
    }
}

/// What is remembered of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMemory {
    /// Per patience pair: since when at least that many jobs have been left without capacity by preferred environments.
    pub left_since: [Option<Time>; PATIENCE_PAIRS],
    /// What a person ordered for it.
    pub overridden: Option<Override>,
}

/// What is remembered of an SQS source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqsMemory {
    /// The messages and jobs when progress was last seen, and when.
    pub progress: Option<(i64, i64, Time)>,
    /// When the latest reading was made that a plan saw, and the jobs that were there then.
    #[serde(default)]
    pub read: Option<(Time, i64)>,
}

impl Memory {
    /// A blank memory of the right size.
    pub fn new(setup: &Setup, started: Time) -> Self {
        Self {
            started,
            in_force_since: started,
            environments: vec![EnvironmentMemory::default(); setup.environments.len()],
            queues: vec![QueueMemory::default(); setup.queues.len()],
            sqs: vec![SqsMemory::default(); setup.sqs_sources.len()],
        }
    }

    /// Takes over what people ordered, from a memory of the same setup.
    pub fn take_overrides(&mut self, from: &Self) {
        for (slot, old) in self.environments.iter_mut().zip(&from.environments) {
            slot.overridden = old.overridden;
        }
        for (slot, old) in self.queues.iter_mut().zip(&from.queues) {
            slot.overridden = old.overridden;
        }
    }

    /// Takes over what a plan noted.
    pub fn fold(&mut self, notes: &[Note]) {
        for note in notes {
            match *note {
                Note::Environment(index, memory) => put(&mut self.environments, index.position(), memory),
                Note::Queue(index, memory) => put(&mut self.queues, index.position(), memory),
                Note::Sqs(index, memory) => put(&mut self.sqs, index.position(), memory),
            }
        }
    }
}

fn put<T>(table: &mut [T], position: usize, value: T) {
    if let Some(slot) = table.get_mut(position) {
        *slot = value;
    }
}
