//! A queue's jobs, counted: pages of ListJobs become a [`Listed`].
//!
//! Counting RUNNABLE jobs stops once they want more than the queue's environments could ever run: the count is then `AtLeast`.
//! An array's children are counted from their parent's summary, since a listing of the queue does not show them; the size of a
//! child is that of the parent as DescribeJobs tells it, never the parent's `capacityUsage`. What a listing does not tell of a
//! job's size is asked once per job and remembered.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::book::Book;
use self::book::{BELIEVED_AFTER, Followed, News};
use self::ends::UNKNOWN;
pub(super) use self::sizes::Sizes;
use super::cloud::{Cloud, Page, Read, Unread};
use crate::jobs::{JobSeen, JobStatus};
use crate::observation::{Gap, NotDemand, Seen, Shape, Tally};
use crate::units::{Span, Time, Vcpus, to_i64};

/// DescribeJobs takes so many ids.
const DESCRIBED_AT_ONCE: usize = 100;
/// Pages of one status that are read at most: 200,000 jobs.
const PAGES_MOST: u32 = 200;
/// A summary that is older than this is corrected by what events told since.
const SUMMARY_OLD: Span = Span::from_seconds(60);
/// A lack of capacity is believed after this, for the same reason; patience is counted besides.
const SHORT_AFTER: Span = Span::from_seconds(60);
/// Arrays without a summary whose children are listed one by one, per listing.
const LISTED_ARRAYS_MOST: usize = 20;
/// Pages of an array's children in one status: there are at most 10,000.
const CHILD_PAGES_MOST: u32 = 10;

/// The array that a job is a child of.
pub(super) fn parent_of(id: &str) -> Option<&str> {
    id.split_once(':').map(|(parent, _)| parent)
}

/// What a listing found.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub(super) runnable: Seen<Tally>,
    pub(super) placed: Seen<Tally>,
    pub(super) head: Seen<Option<Shape>>,
    pub(super) not_demand: NotDemand,
    pub(super) multi_node: Tally,
    /// Some sizes are those of other jobs like them.
    pub(super) sampled: bool,
    /// Why a job is blocked, in Batch's words, and since when that has been seen.
    pub(super) blocked: Option<(String, Time)>,
    /// When the RUNNABLE job that has existed longest was submitted.
    pub(super) oldest: Option<Time>,
    /// Batch has been saying for a while that it gets no instances.
    pub(super) short: bool,
    /// What could not be read beside the jobs themselves, and why.
    pub(super) trouble: Option<String>,
    /// Jobs of which this listing says something new, those that run first: [`TOLD_MOST`] at most. Then those that are over since.
    pub(super) jobs: Vec<JobSeen>,
    /// Jobs that are too many to be followed, and of which no event tells.
    pub(super) unfollowed: u64,
    /// API calls that it took.
    pub(super) calls: u32,
    pub(super) book: Book,
}

/// A listing tells the ledger of so many jobs at most, the next one of the next; a million jobs are counted, not kept.
const TOLD_MOST: usize = 1_000;
/// So many jobs are counted one by one, by a size of their own if it is known. The rest counts by kind.
const ROWS_MOST: usize = 2_000;

/// So many jobs alike: their status group, how many, and whose size they have.
struct Row {
    place: Place,
    jobs: i64,
    /// Empty for jobs that are only counted.
    id: String,
    kind: Kind,
    nodes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Runnable,
    MultiNode,
    Placed,
}

/// How the reasons begin that AWS Batch gives for a job that is blocked (user guide, jobs stuck in RUNNABLE).
const BLOCKED: [&str; 4] = ["MISCONFIGURATION:", "ACTION_REQUIRED", "CAPACITY:", "UNDETERMINED"];
const CURED_BY_NO_CAPACITY: [&str; 2] = ["MISCONFIGURATION:", "ACTION_REQUIRED"];

/// Jobs that are probably of one size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    definition: String,
    /// The name up to its first digit.
    prefix: String,
    vcpus: Option<Vcpus>,
}

/// One listing under way.
struct Lister<'a, C> {
    cloud: &'a C,
    queue: &'a str,
    now: Time,
    /// What the queue's environments could ever run.
    most: Vcpus,
    rows: Vec<Row>,
    at_least: bool,
    placed_at_least: bool,
    /// Children of arrays are not in either count.
    uncounted: bool,
    blocked_now: BTreeSet<String>,
    /// Of the reason that is told: whether capacity may cure it, and since when.
    blocked_rank: Option<(bool, Time)>,
    short_now: bool,
    /// Open jobs that this listing has not shown.
    gone: BTreeMap<String, Followed>,
    /// Jobs that may be told again, with the time when they were told.
    again: Vec<(Time, JobSeen)>,
    /// What jobs beyond the rows have in common: the first has a row of its own, to be asked for; all others share one.
    alike: BTreeMap<(Kind, u32, Place), Option<usize>>,
    arrays: BTreeSet<String>,
    /// Arrays of which no summary tells.
    untold: Vec<JobSeen>,
    found: Listed,
}

/// Counts the jobs of a queue whose environments could run `most` at once.
pub(super) async fn list<C: Cloud>(
    cloud: &C,
    queue: &str,
    now: Time,
    most: Vcpus,
    book: Book,
    sizes: &Sizes,
) -> Read<Listed> {
    let mut lister = Lister::new(cloud, queue, now, most, book);
    // Against the stream: a job that moves on while we look is missed, never counted twice.
    lister.status(JobStatus::Running).await?;
    lister.status(JobStatus::Starting).await?;
    lister.status(JobStatus::Runnable).await?;
    lister.status(JobStatus::Pending).await?;
    lister.tell_again();
    lister.children().await?;
    let head = lister.head().await;
    lister.ends(sizes).await;
    lister.finish(head, sizes).await
}

impl<'a, C: Cloud> Lister<'a, C> {
    fn new(cloud: &'a C, queue: &'a str, now: Time, most: Vcpus, mut book: Book) -> Self {
        let mut gone = std::mem::take(&mut book.open);
        for id in book.unnoted.keys() {
            gone.entry(id.clone()).or_insert(UNKNOWN);
        }
        Self {
            cloud,
            queue,
            now,
            most,
            rows: Vec::new(),
            at_least: false,
            placed_at_least: false,
            uncounted: false,
            blocked_now: BTreeSet::new(),
            blocked_rank: None,
            short_now: false,
            gone,
            again: Vec::new(),
            alike: BTreeMap::new(),
            arrays: BTreeSet::new(),
            untold: Vec::new(),
            found: Listed {
                book,
                ..Listed::default()
            },
        }
    }

    async fn status(&mut self, status: JobStatus) -> Read<()> {
        let mut next = None;
        let mut wanted = Vcpus::ZERO;
        for number in 1.. {
            self.found.calls += 1;
            let Page { jobs, next: after } = self.cloud.list_jobs(self.queue, status, next).await?;
            let arrays = jobs.iter().any(|job| job.array.is_some());
            for job in jobs {
                wanted += self.count(&job, status);
                self.tell(job);
            }
            next = after;
            if next.is_none() {
                break;
            }
            // Where the RUNNABLE jobs alone are more than can run, nobody needs to know of all that follow, but of children
            // that run: what is held by nobody who is counted would be taken for jobs that are still counted as RUNNABLE.
            let enough = if status == JobStatus::Pending {
                self.at_least && (self.placed_at_least || !arrays)
            } else {
                wanted > self.most
            };
            if enough || number >= PAGES_MOST {
                self.cut_off(status);
                break;
            }
        }
        Ok(())
    }

    /// More jobs have this status than were read.
    const fn cut_off(&mut self, status: JobStatus) {
        match status {
            JobStatus::Starting | JobStatus::Running => self.placed_at_least = true,
            // Among them are arrays, whose children may have any status.
            JobStatus::Pending => (self.at_least, self.placed_at_least) = (true, true),
            JobStatus::Submitted | JobStatus::Runnable | JobStatus::Succeeded | JobStatus::Failed => {
                self.at_least = true;
            }
        }
    }

    /// Follows a job, and tells of it if that is news. What does not fit is told by the next listing.
    fn tell(&mut self, job: JobSeen) {
        let known = self.gone.remove(&job.id);
        let news = self.found.book.news(&job, known.as_ref(), self.now);
        let tells = news == News::First && self.found.jobs.len() < TOLD_MOST;
        let told = if tells {
            Some((job.status, self.now))
        } else {
            known.and_then(|known| known.told)
        };
        let follows = self.found.book.follow(&job.id, self.now, told);
        self.found.unfollowed += u64::from(!follows);
        if tells {
            self.found.jobs.push(job);
        } else if let News::Again(at) = news {
            self.again.push((at, job));
        }
    }

    /// What was told long ago is told again, as far as there is room.
    fn tell_again(&mut self) {
        let mut again = std::mem::take(&mut self.again);
        again.sort_by_key(|(at, _)| *at);
        for (_, job) in again.into_iter().take(TOLD_MOST.saturating_sub(self.found.jobs.len())) {
            let told = Some((job.status, self.now));
            self.found.book.follow(&job.id, self.now, told);
            self.found.jobs.push(job);
        }
    }

    /// Takes a job into account and tells what it wants, as far as the listing says it: one vCPU at least.
    fn count(&mut self, job: &JobSeen, status: JobStatus) -> Vcpus {
        // Its parent tells of it.
        if parent_of(&job.id).is_some() {
            return Vcpus::ZERO;
        }
        match status {
            JobStatus::Running | JobStatus::Starting => {
                self.row(Place::Placed, job, 1);
                job.vcpus.unwrap_or(Vcpus::new(1)).max(Vcpus::new(1))
            }
            JobStatus::Runnable => {
                if let (oldest, Some(created)) = (&mut self.found.oldest, job.created) {
                    *oldest = Some(oldest.map_or(created, |oldest| oldest.min(created)));
                }
                self.short_now |= job.status_reason.starts_with("CAPACITY:");
                if self.is_blocked(job) {
                    self.found.not_demand.misconfigured += 1;
                    Vcpus::ZERO
                } else if job.nodes > 1 {
                    self.found.not_demand.multi_node += 1;
                    self.row(Place::MultiNode, job, 1);
                    Vcpus::ZERO
                } else {
                    self.row(Place::Runnable, job, 1);
                    job.vcpus.unwrap_or(Vcpus::new(1)).max(Vcpus::new(1))
                }
            }
            JobStatus::Pending => {
                self.pending(job);
                Vcpus::ZERO
            }
            JobStatus::Submitted | JobStatus::Succeeded | JobStatus::Failed => Vcpus::ZERO,
        }
    }

    /// A job that waits for others; or an array, whose children are in any status.
    fn pending(&mut self, job: &JobSeen) {
        let Some(array) = &job.array else {
            self.found.not_demand.pending += 1;
            return;
        };
        self.arrays.insert(job.id.clone());
        self.short_now |= job.status_reason.starts_with("CAPACITY:");
        if array.summary.is_empty() && array.size > 0 {
            self.untold.push(job.clone());
            return;
        }
        let mut children = array.summary.clone();
        let updated = array.updated.unwrap_or(Time::FAR_PAST);
        if array
            .updated
            .is_none_or(|updated| self.now.since(updated) > SUMMARY_OLD)
        {
            for (status, change) in self.found.book.since(&job.id, updated) {
                *children.entry(status).or_insert(0) += change;
            }
        }
        let mut count = |status| children.remove(&status).unwrap_or(0).clamp(0, array.size.max(0));
        let runnable = count(JobStatus::Runnable);
        let placed = count(JobStatus::Starting) + count(JobStatus::Running);
        self.found.not_demand.pending += count(JobStatus::Pending) + count(JobStatus::Submitted);
        if runnable > 0 {
            if let (oldest, Some(created)) = (&mut self.found.oldest, job.created) {
                *oldest = Some(oldest.map_or(created, |oldest| oldest.min(created)));
            }
            if self.is_blocked(job) {
                self.found.not_demand.misconfigured += runnable;
            } else {
                self.row(Place::Runnable, job, runnable);
            }
        }
        self.row(Place::Placed, job, placed);
    }

    /// Counts the children of arrays without a summary. Those of too many are not counted, and that is said.
    async fn children(&mut self) -> Read<()> {
        let untold = std::mem::take(&mut self.untold);
        if untold.len() > LISTED_ARRAYS_MOST {
            let left = untold.len() - LISTED_ARRAYS_MOST;
            self.uncounted = true;
            self.found.trouble = Some(format!(
                "{left} arrays have no statusSummary, and their children are not counted"
            ));
        }
        for parent in untold.iter().take(LISTED_ARRAYS_MOST) {
            for (status, place) in [
                (JobStatus::Running, Place::Placed),
                (JobStatus::Starting, Place::Placed),
                (JobStatus::Runnable, Place::Runnable),
            ] {
                let (mut next, mut jobs) = (None, 0);
                for _ in 0..CHILD_PAGES_MOST {
                    self.found.calls += 1;
                    let page = self.cloud.list_children(&parent.id, status, next).await?;
                    jobs += to_i64(page.jobs.len());
                    next = page.next;
                    if next.is_none() {
                        break;
                    }
                }
                self.uncounted |= next.is_some();
                self.row(place, parent, jobs);
            }
        }
        Ok(())
    }

    fn row(&mut self, place: Place, job: &JobSeen, jobs: i64) {
        if jobs <= 0 {
            return;
        }
        let prefix = job.name.find(|c: char| c.is_ascii_digit()).unwrap_or(job.name.len());
        let kind = Kind {
            definition: job.definition.clone(),
            prefix: job.name.get(..prefix).unwrap_or_default().to_owned(),
            vcpus: if job.array.is_some() { None } else { job.vcpus },
        };
        let nodes = job.nodes.max(1);
        let mut id = job.id.clone();
        if self.rows.len() >= ROWS_MOST && job.array.is_none() {
            match self.alike.entry((kind.clone(), nodes, place)) {
                Entry::Vacant(entry) => {
                    entry.insert(None);
                }
                Entry::Occupied(mut entry) => {
                    if let Some(row) = entry.get().and_then(|row| self.rows.get_mut(row)) {
                        row.jobs += jobs;
                        return;
                    }
                    entry.insert(Some(self.rows.len()));
                    id.clear();
                }
            }
        }
        self.rows.push(Row {
            place,
            jobs,
            id,
            kind,
            nodes,
        });
    }

    fn is_blocked(&mut self, job: &JobSeen) -> bool {
        let reason = &job.status_reason;
        let Some(kind) = BLOCKED.iter().find(|kind| reason.starts_with(**kind)) else {
            return false;
        };
        // A job that lacked capacity before it was found to be misconfigured is so since then.
        let key = format!("{kind} {}", job.id);
        let since = self.found.book.blocked_since(&key, self.now);
        self.blocked_now.insert(key);
        let incurable = CURED_BY_NO_CAPACITY.contains(kind);
        // What capacity may cure is told only where nothing else is; of what is alike, what has lasted longest.
        let rank = (!incurable, since);
        if self.blocked_rank.is_none_or(|told| rank < told) {
            self.blocked_rank = Some(rank);
            self.found.blocked = Some((reason.clone(), since));
        }
        incurable && self.now.since(since) >= BELIEVED_AFTER
    }

    /// The first RUNNABLE job. Not asked for where none can be: what is told of arrays may be old.
    async fn head(&mut self) -> Read<Option<String>> {
        let waits = |row: &Row| row.place != Place::Placed;
        if self.arrays.is_empty() && self.blocked_now.is_empty() && !self.rows.iter().any(waits) {
            return Ok(None);
        }
        self.found.calls += 1;
        let head = self.cloud.head(self.queue).await?;
        Ok(head.map(|head| head.job))
    }

    async fn finish(mut self, head: Read<Option<String>>, sizes: &Sizes) -> Read<Listed> {
        let sized = self.sized(head.as_ref().ok().and_then(Option::as_deref), sizes).await;
        // What nobody tells the size of is as small as it can be: then nothing is lowered, or taken off, on its account.
        self.at_least |= self.uncounted || sized.unsure.contains(&Place::Runnable);
        self.placed_at_least |= self.uncounted || sized.unsure.contains(&Place::Placed);
        let seen = |tally, at_least| {
            if at_least {
                Seen::AtLeast(self.now, tally)
            } else {
                Seen::Exactly(self.now, tally)
            }
        };
        let book = &mut self.found.book;
        book.short_since = self
            .short_now
            .then(|| book.short_since.map_or(self.now, |since| since.min(self.now)));
        self.found.short = book
            .short_since
            .is_some_and(|since| self.now.since(since) >= SHORT_AFTER);
        self.found.runnable = seen(sized.runnable, self.at_least);
        self.found.placed = seen(sized.placed, self.placed_at_least);
        self.found.multi_node = sized.multi_node;
        self.found.head = match head {
            Ok(None) => Seen::Exactly(self.now, None),
            Ok(Some(id)) => sizes
                .get(&id)
                .map_or_else(Seen::default, |shape| Seen::Exactly(self.now, Some(shape))),
            Err(Unread { why, message }) => {
                self.found.trouble.get_or_insert(message);
                Seen::Missing(Gap { since: self.now, why })
            }
        };
        self.found.book.blocked.retain(|id, _| self.blocked_now.contains(id));
        let arrays = &self.arrays;
        self.found.book.told.retain(|parent, _| arrays.contains(parent));
        Ok(self.found)
    }
}

/// How many jobs a tally of a listing has, for logs.
pub(super) fn jobs_in(part: &Seen<Tally>) -> i64 {
    part.value().map_or(0, Tally::jobs)
}

/// A tally's rows, for snapshots.
pub(super) fn vcpus_in(part: &Seen<Tally>) -> Vcpus {
    part.value().map_or(Vcpus::ZERO, Tally::vcpus)
}

mod book;
mod ends;
mod sizes;
mod taken;
#[cfg(test)]
mod tests;
