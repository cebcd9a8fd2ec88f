//! The account's jobs: which have been submitted to which queue, what was said when they were, and how they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ids::{JobRef, Names};
use super::input::Taken;
use super::refused::Refused;
use super::state::State;
use crate::ids::{ArrayIndex, EnvironmentIndex, JobIndex, QueueIndex};
use crate::jobs::JobStatus;
use crate::simulate::ledger::Fate;
use crate::simulate::world::{JobNow, Phase, World};
use crate::trace::{ArrayJob, Dependency, Trace};
use crate::units::{Time, to_usize};

/// What SubmitJob said of a job or of all children of an array.
#[derive(Clone, Debug, Default)]
pub(super) struct Submitted {
    pub(super) name: String,
    pub(super) definition_arn: String,
    /// `dependsOn`, as it was sent.
    pub(super) depends_on: Vec<(Option<String>, Option<String>)>,
    pub(super) container: serde_json::Value,
    pub(super) tags: BTreeMap<String, String>,
}

/// How the children of an array stood at a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) at: Time,
    pub(super) counts: BTreeMap<JobStatus, i64>,
}

/// The children of an array that have not ended, and whether one has failed.
#[derive(Clone, Copy, Debug)]
struct Children {
    left: u32,
    failed: bool,
}

type Begun = (Time, Option<(EnvironmentIndex, u64)>);

/// An attempt that was lost and followed by another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    /// When it began to run, if it did.
    pub(super) started: Option<Time>,
    pub(super) stopped: Time,
    /// As [`JobNow::place`].
    pub(super) place: Option<(EnvironmentIndex, u64)>,
}

/// All jobs that were ever submitted.
#[derive(Debug)]
pub(super) struct Book {
    /// Per queue, in the order of submission.
    queues: Vec<Vec<JobRef>>,
    /// By position; `FAR_FUTURE`: not submitted yet.
    created: Vec<Time>,
    /// By position: arrays of which a child has been submitted.
    arrays: Vec<Option<Children>>,
    /// By the first job that the request made.
    submitted: BTreeMap<u32, Arc<Submitted>>,
    /// Why a job was ended by hand, and whether that was a TerminateJob rather than a CancelJob.
    ended: BTreeMap<JobIndex, (String, bool)>,
    /// When the attempt begins to run that was begun last, and where.
    begun: BTreeMap<JobIndex, Begun>,
    /// Oldest first.
    lost: BTreeMap<JobIndex, Vec<Lost>>,
}

/// A job, or the parent of an array, as the service tells of it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) job: JobRef,
    pub(super) now: JobNow,
    pub(super) status: JobStatus,
    pub(super) created: Time,
    /// What the request said, if there was one.
    pub(super) submitted: Option<Arc<Submitted>>,
    /// The name of recorded jobs.
    pub(super) recorded_name: String,
    pub(super) reason: Option<String>,
    pub(super) terminated: Option<bool>,
    /// Attempts before the latest.
    pub(super) lost: Vec<Lost>,
    /// Of a parent: how many children, and how they stand.
    pub(super) array: Option<(u32, Summary)>,
}

impl Book {
    pub(super) fn new(queues: usize) -> Self {
        Self {
            queues: vec![Vec::new(); queues],
            created: Vec::new(),
            arrays: Vec::new(),
            submitted: BTreeMap::new(),
            ended: BTreeMap::new(),
            begun: BTreeMap::new(),
            lost: BTreeMap::new(),
        }
    }

    /// A job has reached a phase. Says whether it is its array's first that is seen, or its last to end.
    pub(super) fn note(&mut self, world: &World<'_>, job: JobIndex, phase: Phase, at: Time) -> bool {
        let Some(now) = world.job(job) else { return false };
        let array = world.recorded(job).and_then(|recorded| recorded.array);
        let first = self.note_birth(world, job, &now, array, at);
        match (phase, now.attempt) {
            (Phase::Starting, Some((_, running))) => {
                self.begun.insert(job, (running, now.place));
            }
            // By now it may have another place.
            (Phase::Runnable, _) => {
                let lost = self.begun.remove(&job).map(|(running, place)| Lost {
                    started: (running < at).then_some(running),
                    stopped: at,
                    place,
                });
                if let Some(lost) = lost {
                    self.lost.entry(job).or_default().push(lost);
                }
            }
            _ => {}
        }
        let children = array.and_then(|array| self.arrays.get_mut(array.position())?.as_mut());
        let Some(children) = children.filter(|_| phase == Phase::Ended) else {
            return first;
        };
        children.left = children.left.saturating_sub(1);
        children.failed |= now.fate != Fate::Succeeded;
        first || children.left == 0
    }

    fn note_birth(
        &mut self,
        world: &World<'_>,
        job: JobIndex,
        now: &JobNow,
        array: Option<ArrayIndex>,
        at: Time,
    ) -> bool {
        if self.created.len() <= job.position() {
            self.created.resize(job.position() + 1, Time::FAR_FUTURE);
        }
        let created = &mut self.created[job.position()];
        if *created != Time::FAR_FUTURE {
            return false;
        }
        *created = at;
        let entry = match array {
            None => JobRef::Job(job),
            Some(array) => {
                if self.arrays.len() <= array.position() {
                    self.arrays.resize(array.position() + 1, None);
                }
                let size = array_of(world.trace(), array).map_or(0, |array| array.size);
                let known = &mut self.arrays[array.position()];
                if known.is_some() {
                    return false;
                }
                *known = Some(Children {
                    left: size,
                    failed: false,
                });
                JobRef::Array(array)
            }
        };
        if let Some(queue) = self.queues.get_mut(now.queue.position()) {
            queue.push(entry);
        }
        matches!(entry, JobRef::Array(_))
    }

    /// What was said of the jobs that were submitted with this one first.
    pub(super) fn remember(&mut self, first: JobIndex, submitted: Submitted) {
        self.submitted.insert(first.0, Arc::new(submitted));
    }

    /// A job was ended by hand, in these words.
    pub(super) fn note_end(&mut self, job: JobIndex, reason: &str, terminated: bool) {
        self.ended.insert(job, (reason.to_owned(), terminated));
    }

    /// When a job was submitted.
    pub(super) fn created(&self, job: JobIndex) -> Option<Time> {
        self.created
            .get(job.position())
            .copied()
            .filter(|at| *at != Time::FAR_FUTURE)
    }

    /// Jobs and parents of a queue, in the order of submission.
    pub(super) fn of_queue(&self, queue: QueueIndex) -> &[JobRef] {
        self.queues.get(queue.position()).map_or(&[], Vec::as_slice)
    }
}

/// The array at an index.
pub(super) fn array_of(trace: &Trace, array: ArrayIndex) -> Option<ArrayJob> {
    trace.arrays.get(array.position()).copied()
}

/// The children of an array.
pub(super) fn children(array: ArrayJob) -> impl Iterator<Item = JobIndex> {
    let first = array.first.position();
    (first..first + to_usize(array.size)).map(JobIndex::at)
}

impl State {
    /// The job at a position: a single one, or a child.
    pub(super) fn ref_of(&self, job: JobIndex) -> JobRef {
        let trace = self.world.trace();
        let array = self.world.recorded(job).and_then(|recorded| recorded.array);
        match array.and_then(|array| Some((array, array_of(trace, array)?))) {
            None => JobRef::Job(job),
            Some((index, array)) => JobRef::Child(index, job.0.saturating_sub(array.first.0)),
        }
    }

    /// Jobs of a list from a position on, those alone that suit: a page, and where the next one begins.
    pub(super) fn page_of_jobs(
        &mut self,
        all: &[JobRef],
        (start, most): (usize, usize),
        only: Option<JobStatus>,
        suits: impl Fn(&Self, &Seen) -> bool,
    ) -> (Vec<Seen>, Option<usize>) {
        let mut page = Vec::new();
        for (position, job) in all.iter().enumerate().skip(start) {
            let known = self.plain_status(*job);
            if only.is_some_and(|only| known.is_some_and(|known| known != only)) {
                continue;
            }
            let Some(seen) = self.see(*job).filter(|seen| suits(self, seen)) else {
                continue;
            };
            if page.len() == most {
                return (page, Some(position));
            }
            page.push(seen);
        }
        (page, None)
    }

    /// Where a page begins; `None` for the first.
    pub(super) fn page_begins(&self, of: &str, token: Option<&str>) -> Taken<Option<usize>> {
        let position = |token| {
            let position = self.names.position(of, token);
            position.ok_or_else(|| Refused::client("The nextToken provided is not valid"))
        };
        token.map(position).transpose()
    }

    /// Jobs that suit, the latest first: a page from a position in the order of submission on, and where the next one begins.
    pub(super) fn latest_first(
        &mut self,
        all: &[JobRef],
        (start, most): (Option<usize>, usize),
        suits: impl Fn(&Self, &Seen) -> bool,
    ) -> (Vec<Seen>, Option<usize>) {
        let last = all.len().saturating_sub(1);
        let all: Vec<JobRef> = all.iter().rev().copied().collect();
        let start = start.map_or(0, |position| last.saturating_sub(position));
        let (page, next) = self.page_of_jobs(&all, (start, most), None, suits);
        (page, next.map(|position| last.saturating_sub(position)))
    }

    /// The status of a job that is no parent: quickly, for those that are left out.
    fn plain_status(&self, job: JobRef) -> Option<JobStatus> {
        if matches!(job, JobRef::Array(_)) {
            return None;
        }
        Some(status(&self.world.job(self.index_of(job)?)?))
    }

    /// The position of a single job, of a child, or of an array's first child.
    pub(super) fn index_of(&self, job: JobRef) -> Option<JobIndex> {
        let trace = self.world.trace();
        match job {
            JobRef::Job(job) => {
                let recorded = self.world.recorded(job)?;
                recorded.array.is_none().then_some(job)
            }
            JobRef::Array(array) => Some(array_of(trace, array)?.first),
            JobRef::Child(array, index) => {
                let array = array_of(trace, array)?;
                (index < array.size).then(|| JobIndex(array.first.0.saturating_add(index)))
            }
        }
    }

    /// A job that has been submitted, by its id or ARN.
    pub(super) fn find(&mut self, id: &str) -> Option<Seen> {
        let job = self.names.job_ref(id)?;
        self.see(job)
    }

    /// How a job stands; `None` if it has not been submitted yet.
    pub(super) fn see(&mut self, job: JobRef) -> Option<Seen> {
        let index = self.index_of(job)?;
        let created = self.book.created(index)?;
        let now = self.world.job(index)?;
        let recorded = *self.world.recorded(index)?;
        let before = self.book.submitted.range(..=index.0).next_back();
        let submitted = before.filter(|(first, _)| match job {
            JobRef::Job(job) => job.0 == **first,
            JobRef::Array(array) | JobRef::Child(array, _) => {
                array_of(self.world.trace(), array).is_some_and(|array| array.first.0 == **first)
            }
        });
        let submitted = submitted.map(|(_, submitted)| Arc::clone(submitted));
        let ended = self.book.ended.get(&index).cloned();
        let array = match job {
            JobRef::Array(array) => Some((array_of(self.world.trace(), array)?.size, self.summary(array)?)),
            JobRef::Job(_) | JobRef::Child(..) => None,
        };
        let status = match job {
            JobRef::Array(array) => self.parent_status(array)?,
            JobRef::Job(_) | JobRef::Child(..) => status(&now),
        };
        let names = &self.world.trace().names;
        let mut seen = Seen {
            reason: ended.as_ref().map(|(reason, _)| reason.clone()),
            terminated: ended.map(|(_, terminated)| terminated),
            recorded_name: names.get(to_usize(recorded.name)).cloned().unwrap_or_default(),
            job,
            now,
            status,
            created,
            submitted,
            lost: self.book.lost.get(&index).cloned().unwrap_or_default(),
            array,
        };
        if matches!(seen.job, JobRef::Array(_)) {
            self.see_times_of_parent(&mut seen);
        }
        seen.reason = seen.reason.take().or_else(|| reason(&seen));
        Some(seen)
    }

    /// A parent starts with its first child and ends with its last.
    fn see_times_of_parent(&self, seen: &mut Seen) {
        let JobRef::Array(array) = seen.job else { return };
        let Some(array) = array_of(self.world.trace(), array) else {
            return;
        };
        seen.now.attempt = None;
        seen.now.place = None;
        seen.lost.clear();
        let over = seen.status.is_over();
        let ends = children(array).filter_map(|child| self.world.job(child)?.ended);
        seen.now.ended = if over { ends.max() } else { None };
        let ended = children(array).find_map(|child| self.book.ended.get(&child).cloned());
        if let Some((reason, terminated)) = ended.filter(|_| over) {
            seen.reason = Some(reason);
            seen.terminated = Some(terminated);
        }
    }

    /// PENDING from the first RUNNABLE child until all have ended (AWS Batch user guide, array jobs).
    fn parent_status(&self, array: ArrayIndex) -> Option<JobStatus> {
        let children = self.book.arrays.get(array.position()).copied().flatten()?;
        Some(match (children.left, children.failed) {
            (0, false) => JobStatus::Succeeded,
            (0, true) => JobStatus::Failed,
            _ => JobStatus::Pending,
        })
    }

    /// The service tells how the children stood a while ago, as the simulator has it.
    fn summary(&self, index: ArrayIndex) -> Option<Summary> {
        let mut summary = Summary {
            at: self.now - self.view.summary_lag,
            counts: BTreeMap::new(),
        };
        for child in children(array_of(self.world.trace(), index)?) {
            let status = self.status_at(child, summary.at)?;
            *summary.counts.entry(status).or_default() += 1;
        }
        Some(summary)
    }

    /// A job's status at a moment not long ago: of earlier attempts nothing is known any more.
    fn status_at(&self, job: JobIndex, then: Time) -> Option<JobStatus> {
        let now = self.world.job(job)?;
        let had = |time: Option<Time>| time.is_some_and(|time| time <= then);
        let (starting, running) = (
            now.attempt.map(|(starting, _)| starting),
            now.attempt.map(|(_, running)| running),
        );
        Some(match now.phase {
            Phase::Unborn | Phase::Pending => status(&now),
            Phase::Ended if had(now.ended) => status(&now),
            Phase::Running | Phase::Ended if had(running) => JobStatus::Running,
            Phase::Starting | Phase::Running | Phase::Ended if had(starting) => JobStatus::Starting,
            Phase::Runnable if had(self.world.front_since(job)) => JobStatus::Runnable,
            Phase::Starting | Phase::Running | Phase::Ended if had(self.book.created(job)) => JobStatus::Runnable,
            Phase::Runnable | Phase::Starting | Phase::Running | Phase::Ended => JobStatus::Submitted,
        })
    }

    /// Ids of what a job waits for, as DescribeJobs tells them.
    pub(super) fn parents_of(&self, seen: &Seen) -> Vec<(Option<String>, Option<String>)> {
        if let Some(submitted) = &seen.submitted {
            return submitted.depends_on.clone();
        }
        let one_by_one = self.is_sequential(seen).then(|| (None, Some("SEQUENTIAL".to_owned())));
        let Some(recorded) = self.index_of(seen.job).and_then(|job| self.world.recorded(job)) else {
            return one_by_one.into_iter().collect();
        };
        let parents = self.world.trace().dependencies_of(recorded).iter();
        let id = |parent: &Dependency| match parent {
            Dependency::Job(job) => self.names.job_id(self.ref_of(*job)),
            Dependency::Array(array) => self.names.job_id(JobRef::Array(*array)),
        };
        let parents = parents.map(|parent| (Some(id(parent)), None));
        parents.chain(one_by_one).collect()
    }

    /// Whether it is an array whose children run one after the other.
    pub(super) fn is_sequential(&self, seen: &Seen) -> bool {
        match seen.job {
            JobRef::Array(array) => array_of(self.world.trace(), array).is_some_and(|array| array.sequential),
            JobRef::Job(_) | JobRef::Child(..) => false,
        }
    }
}

impl Seen {
    /// `jobName`.
    pub(super) fn name(&self) -> &str {
        self.submitted
            .as_ref()
            .map_or(&self.recorded_name, |submitted| &submitted.name)
    }

    /// `jobDefinition`.
    pub(super) fn definition(&self, names: &Names) -> String {
        match &self.submitted {
            Some(submitted) => submitted.definition_arn.clone(),
            None => names.arn("batch", &format!("job-definition/{}:1", plain(&self.recorded_name))),
        }
    }
}

/// A recorded name as a job definition could have it: at most 128 letters, digits, dashes and underscores.
fn plain(name: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '_'
        }
    };
    let plain: String = name.chars().map(allowed).take(128).collect();
    if plain.is_empty() { "job".to_owned() } else { plain }
}

/// The status of a single job or child.
pub(super) fn status(now: &JobNow) -> JobStatus {
    match now.phase {
        Phase::Unborn => JobStatus::Submitted,
        Phase::Pending => JobStatus::Pending,
        Phase::Runnable => JobStatus::Runnable,
        Phase::Starting => JobStatus::Starting,
        Phase::Running => JobStatus::Running,
        Phase::Ended if now.fate == Fate::Succeeded => JobStatus::Succeeded,
        Phase::Ended => JobStatus::Failed,
    }
}

/// `statusReason` (AWS Batch user guide, "Jobs stuck in a RUNNABLE status", job dependencies).
fn reason(seen: &Seen) -> Option<String> {
    let text = match (seen.status, seen.now.fate) {
        (JobStatus::Runnable, Fate::NeverFits) => {
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can \
             be met by the CE(s) attached to the job queue."
        }
        (JobStatus::Failed, Fate::DependencyFailed) => "Dependent Job failed",
        (JobStatus::Failed, _) if seen.array.is_some() => "Array Child Job failed",
        (JobStatus::Failed, _) => "Essential container in task exited",
        _ => return None,
    };
    Some(text.to_owned())
}
