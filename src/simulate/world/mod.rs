//! A discrete-event model of AWS Batch, EC2 and Spot.
//!
//! [`World::advance`] is the one event loop. At each moment it first lets everything happen that is due, then places jobs,
//! then, if work is left without room, asks Batch's scaler for a look. Everything that an observer may read is in
//! `observe.rs`; everything it may do is in `updates.rs`.

mod billing;
mod build;
mod dependencies;
mod dispatch;
mod environment;
mod events;
mod instances;
mod jobs;
mod launches;
mod live;
mod observe;
mod placement;
mod progress;
mod queues;
mod scaler;
mod spot;
#[cfg(test)]
mod tests;
mod told;
mod types;
mod updates;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

pub use live::Submission;
pub use observe::Generations;
pub use told::{InstanceNow, JobNow, Launch, Phase, Shortage, Told};
pub use updates::{Change, Refusal, RefusalKind};

use self::environment::Environment;
use self::events::{Events, InstanceId, What};
use self::progress::Progress;
use self::queues::Waiting;
use self::spot::Pools;
use super::ledger::{self, JobOutcome, Release, RunResult};
use super::model::BatchModel;
use crate::ids::{EnvironmentIndex, JobIndex, QueueIndex};
use crate::observation::{NotDemand, Shape, SqsNow, Tally};
use crate::trace::Trace;
use crate::units::{Span, Time, Vcpus};

/// AWS Batch with its account, at one moment of a replay.
#[derive(Debug)]
pub struct World<'t> {
    /// Borrowed from whoever replays it; owned where jobs are added while the world goes on.
    trace: Cow<'t, Trace>,
    seed: u64,
    model: BatchModel,
    attempts: u8,
    /// The first submission, or the beginning of a past: draws count time from here, so that shifting a whole trace changes nothing.
    origin: Time,
    now: Time,
    generations: Generations,
    /// How late the summary of an array tells of its children; zero unless an observer is said to see that late.
    summary_lag: Span,
    /// When a change of an array child is told, and what it does to RUNNABLE, and to STARTING and RUNNING.
    late_counts: VecDeque<(Time, JobIndex, i64, i64)>,
    events: Events,
    next_job: usize,
    messages: Vec<(Time, u16, i64)>,
    next_message: usize,
    sqs: Vec<SqsNow>,
    /// Sizes as placed: at least 1 vCPU and one node, which is the least that AWS Batch accepts.
    shapes: Vec<Shape>,
    jobs: jobs::Jobs,
    queues: Vec<Queue>,
    /// By priority, then name.
    serve_order: Vec<QueueIndex>,
    environments: Vec<Environment>,
    quotas: Vec<Quota>,
    pools: Pools,
    /// Nodes of running multi-node jobs.
    nodes: BTreeMap<JobIndex, Vec<InstanceId>>,
    /// The look that is planned; [`Time::FAR_FUTURE`] if none.
    next_look: Time,
    /// Something has changed that a look of Batch could answer.
    unsettled: bool,
    /// Capacity, limits or state have changed: saturation has to be computed again.
    capacity_changed: bool,
    /// Rises whenever some room grows, so that sizes that did not fit are not tried in vain.
    room_stamp: u64,
    open_jobs: usize,
    retries: u64,
    releases: Vec<Release>,
    progress: Progress<'t>,
    /// What has happened since it was last asked for; `None`: nobody asks.
    told: Option<Vec<Told>>,
}

/// A job queue.
#[derive(Debug)]
struct Queue {
    name: String,
    environments: Vec<EnvironmentIndex>,
    /// Per mille of maxvCpus that its fair-share reservation leaves to it; 1,000: no reservation.
    share_permille: i64,
    /// Whether some environment can ever hold a job of this size.
    fits: Vec<bool>,
    waiting: Waiting,
    /// Room stamp at which a size did not fit; by shape.
    tried: Vec<u64>,
    saturated: bool,
    saturated_since: Time,
    saturated_before: Span,
    runnable: Tally,
    placed: Tally,
    /// What observers see as demand while a reservation holds all of it.
    nothing: Tally,
    not_demand: NotDemand,
    multi_node: Tally,
    /// Changes of the tallies since an observer could last look: (RUNNABLE, STARTING and RUNNING) by shape.
    changes: Vec<(i64, i64)>,
    changed: Vec<u32>,
}

/// A service quota and what is used of it.
#[derive(Debug)]
struct Quota {
    code: String,
    limit: Vcpus,
    used_by_others: Vcpus,
    used: Vcpus,
}

impl<'t> World<'t> {
    /// Calls `told` with how many jobs have ended since the last call, every few thousand and when the replay is over.
    pub fn tell_progress(&mut self, told: &'t (dyn Fn(usize) + Sync)) {
        self.progress = Progress::to(told);
    }
}

impl World<'_> {
    /// The present moment.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// How often each part has changed for an observer.
    pub const fn generations(&self) -> Generations {
        self.generations
    }

    /// From now on the children of arrays are counted as they were this long ago.
    pub const fn lag_summaries(&mut self, lag: Span) {
        self.summary_lag = lag;
    }

    /// Whether every job has ended or can never run. A job can also wait for ever for room that a limit or a raised minvCpus
    /// never gives: then [`World::next_event`] is `None`, or nothing but Spot notices.
    pub const fn finished(&self) -> bool {
        self.open_jobs == 0
    }

    /// How many jobs have ended or can never run.
    pub fn ended_jobs(&self) -> usize {
        self.trace.jobs.len().saturating_sub(self.open_jobs)
    }

    /// Whether besides nothing is left that Batch would still release: the moment to close the books.
    pub fn settled(&self) -> bool {
        self.finished() && self.environments.iter().all(|environment| !environment.will_shrink())
    }

    /// When something happens next, if nobody interferes.
    pub fn next_event(&self) -> Option<Time> {
        let told = self.late_counts.front().map(|late| late.0);
        let soonest = [self.events.next(), self.next_arrival(), self.next_message_at(), told];
        soonest.into_iter().flatten().min()
    }

    /// Lets everything happen that is due at `until` or before. A time in the past changes nothing.
    pub fn advance(&mut self, until: Time) {
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.happen();
        }
        self.now = self.now.max(until);
        self.show();
    }

    /// Runs without anybody interfering until every job has ended and Batch has released what it will.
    pub fn run_to_end(&mut self) {
        while !self.settled() {
            let Some(at) = self.next_event() else { break };
            self.now = self.now.max(at);
            self.happen();
        }
        self.show();
    }

    /// Everything at the present moment, until nothing more is due.
    fn happen(&mut self) {
        loop {
            while let Some(what) = self.events.take(self.now) {
                self.handle(what);
            }
            self.arrive();
            self.tell_late_counts();
            self.dispatch();
            if self.capacity_changed {
                self.refresh_saturation();
            }
            #[cfg(test)]
            self.check_invariants();
            if self.events.next().is_none_or(|at| at > self.now) {
                break;
            }
        }
    }

    fn handle(&mut self, what: What) {
        match what {
            What::Submit(job) => self.submit(job),
            What::Start(job, epoch) => {
                if self.jobs.is_current(job, epoch) {
                    self.start(job);
                }
            }
            What::End(job, epoch) => {
                if self.jobs.is_current(job, epoch) {
                    self.end(job);
                }
            }
            What::Register(id, epoch) => {
                if self.is_tenant(id, epoch) {
                    self.register(id);
                }
            }
            What::Idle(id, epoch) => {
                if self.is_tenant(id, epoch) {
                    self.release_if_allowed(id);
                }
            }
            What::Interrupt(id, epoch) => {
                if self.is_tenant(id, epoch) {
                    self.interrupt(id);
                }
            }
            What::Notice(pool) => self.notice(pool),
            What::Retry(environment) => self.retry(environment),
            What::Look => self.look(),
            What::MinRaise(environment) => self.answer_min(environment),
            What::Updated(environment) => self.updated(environment),
        }
    }

    /// Closes the books at the present moment: instances that still run are billed until now.
    pub fn into_result(mut self) -> RunResult {
        self.close_books();
        let jobs: Vec<JobOutcome> = self.jobs.into_outcomes();
        RunResult {
            model: self.model.name.to_owned(),
            queues: self.queues.into_iter().map(|queue| queue.name).collect(),
            makespans: ledger::makespans(&self.trace, &jobs),
            jobs,
            environments: self
                .environments
                .into_iter()
                .map(|environment| environment.totals)
                .collect(),
            retries: self.retries,
            closed: self.now,
            releases: self.releases,
        }
    }

    /// Time since the first submission, for keys of draws.
    fn relative(&self, at: Time) -> u64 {
        u64::from_ne_bytes(at.since(self.origin).millis().to_ne_bytes())
    }
}
