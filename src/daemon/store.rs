//! What must survive a crash, and its one writer. Everything for the journal goes through one queue, in order, on threads that
//! may wait for a disk; the loop itself never does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::control::Lease;
use crate::journal::{Decision, Ended, Intent, Journal, JournalError, Recovered, Remembered, Tick, Transition};
use crate::metrics::Metrics;
use crate::units::{Span, Time, Vcpus, to_i64, to_u32};

/// Ticks that may wait for the disk; what comes on top is lost. Intents are never lost.
const TICKS_MOST: usize = 256;
/// Transitions that are written together.
const AT_ONCE: usize = 1_000;
/// Transitions of jobs that may wait for the disk, some 20 MB. What comes on top is given back.
const TRANSITIONS_MOST: usize = 50_000;
/// How often old rows are dropped.
const TIDY_EVERY: Span = Span::from_minutes(60);

/// Leases in force by environment, each with maxvCpus as it was before we changed it.
pub type Leases = BTreeMap<String, (Lease, Option<Vcpus>)>;

/// Where things are kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// In a file.
    Journal(Journal),
    /// Only as long as somebody holds it: for a dry run without a file, and for tests.
    Memory(Kept),
}

/// What a [`Store::Memory`] keeps.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    memory: Remembered,
    leases: Leases,
    decisions: Vec<Decision>,
    /// Nothing can be written: the disk is full.
    full: bool,
    /// Jobs of which something was noted, in that order.
    #[cfg(test)]
    jobs: Vec<String>,
}

impl Kept {
    /// What would be found after a crash.
    pub fn recovered(&self) -> Recovered {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = held.decisions.iter().filter(|decision| decision.ended.is_none());
        Recovered {
            memory: held.memory.clone(),
            leases: held.leases.clone(),
            open: open.map(|decision| decision.intent.clone()).collect(),
            ..Recovered::default()
        }
    }

    /// All intents, oldest first.
    pub fn decisions(&self) -> Vec<Decision> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).decisions.clone()
    }

    /// From now on writing fails, or no longer.
    pub fn fill(&self, full: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).full = full;
    }

    fn write<T>(&self, change: impl FnOnce(&mut Held) -> T) -> Result<T, JournalError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.full {
            return Err(JournalError {
                path: "in memory".to_owned(),
                message: "it is full".to_owned(),
            });
        }
        Ok(change(&mut held))
    }
}

impl Store {
    fn commit(&self, intent: &Intent, memory: &Remembered) -> Result<i64, JournalError> {
        match self {
            Self::Journal(journal) => journal.commit(intent, memory),
            Self::Memory(kept) => kept.write(|held| {
                let number = to_i64(held.decisions.len()) + 1;
                let intent = Intent {
                    number,
                    ..intent.clone()
                };
                held.memory = memory.clone();
                held.decisions.push(Decision { intent, ended: None });
                number
            }),
        }
    }

    fn finish(&self, number: i64, ended: &Ended) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.finish(number, ended),
            Self::Memory(kept) => kept.write(|held| {
                for decision in held.decisions.iter_mut().filter(|d| d.intent.number == number) {
                    decision.ended = Some(ended.clone());
                }
            }),
        }
    }

    fn leases(&self, leases: &Leases) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.leases(leases),
            Self::Memory(kept) => kept.write(|held| held.leases.clone_from(leases)),
        }
    }

    fn tick(&self, tick: &Tick) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.tick(tick),
            Self::Memory(_) => Ok(()),
        }
    }

    fn jobs(&self, transitions: &[Transition]) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.jobs(transitions),
            #[cfg(test)]
            Self::Memory(kept) => kept.write(|held| {
                held.jobs.extend(transitions.iter().map(|told| told.job.id.clone()));
            }),
            #[cfg(not(test))]
            Self::Memory(_) => Ok(()),
        }
    }

    fn unfollowed(&self, queue: &str, at: Time, jobs: u64) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.unfollowed(queue, at, jobs),
            Self::Memory(_) => Ok(()),
        }
    }

    fn tidy(&self, keep_from: Time, most_bytes: u64) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.tidy(keep_from, most_bytes),
            Self::Memory(_) => Ok(()),
        }
    }
}

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For this long.
    pub age: Span,
    /// In a file of at most this size.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Span::from_minutes(30 * 24 * 60),
            bytes: 1 << 30,
        }
    }
}

enum Entry {
    Commit(Box<(Intent, Remembered)>, oneshot::Sender<Result<i64, JournalError>>),
    /// Leases first: an intent that is finished no longer tells of its own.
    Finished(Leases, Option<(i64, Ended)>),
    Tick(Box<Tick>),
    Jobs(Vec<Transition>),
    Unfollowed(String, Time, u64),
    Tidy(Time, u64),
    Flush(oneshot::Sender<()>),
}

/// For what may have to be left out.
#[derive(Clone, Debug)]
struct Room {
    ticks: Arc<Semaphore>,
    transitions: Arc<Semaphore>,
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Writer {
    entries: mpsc::UnboundedSender<Entry>,
    room: Room,
    retention: Retention,
    tidied: Option<Time>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Starts the writer; it ends when this is dropped and everything is written.
    pub(super) fn start(store: Store, retention: Retention, metrics: Arc<Metrics>) -> Self {
        let (entries, inbox) = mpsc::unbounded_channel();
        let room = Room {
            ticks: Arc::new(Semaphore::new(TICKS_MOST)),
            transitions: Arc::new(Semaphore::new(TRANSITIONS_MOST)),
        };
        let task = tokio::spawn(write(store, inbox, room.clone(), metrics));
        Self {
            entries,
            room,
            retention,
            tidied: None,
            task,
        }
    }

    /// Makes an intent durable; the answer tells its number.
    pub(super) fn commit(&self, intent: Intent, memory: Remembered) -> oneshot::Receiver<Result<i64, JournalError>> {
        let (answer, answered) = oneshot::channel();
        let _ = self.entries.send(Entry::Commit(Box::new((intent, memory)), answer));
        answered
    }

    /// Notes the leases in force and how an intent ended.
    pub(super) fn finished(&self, leases: Leases, ended: Option<(i64, Ended)>) {
        let _ = self.entries.send(Entry::Finished(leases, ended));
    }

    /// Notes a tick, unless too much waits to be written.
    pub(super) fn tick(&self, tick: Tick) {
        if let Ok(permit) = self.room.ticks.try_acquire() {
            permit.forget();
            let _ = self.entries.send(Entry::Tick(Box::new(tick)));
        } else {
            tracing::debug!("The journal is behind; a tick is not noted");
        }
    }

    /// Notes transitions. Gives them back if too much waits to be written.
    pub(super) fn jobs(&self, transitions: Vec<Transition>) -> Vec<Transition> {
        if transitions.is_empty() {
            return transitions;
        }
        match self.room.transitions.try_acquire_many(to_u32(transitions.len())) {
            Ok(permits) => {
                permits.forget();
                let _ = self.entries.send(Entry::Jobs(transitions));
                Vec::new()
            }
            Err(_) => transitions,
        }
    }

    /// Notes that so many jobs of a queue were too many to be followed.
    pub(super) fn unfollowed(&self, queue: &str, at: Time, jobs: u64) {
        let _ = self.entries.send(Entry::Unfollowed(queue.to_owned(), at, jobs));
    }

    /// Drops old rows once in a while.
    pub(super) fn tidy(&mut self, now: Time) {
        if self.tidied.is_none_or(|at| now >= at + TIDY_EVERY || now < at) {
            self.tidied = Some(now);
            let _ = self
                .entries
                .send(Entry::Tidy(now - self.retention.age, self.retention.bytes));
        }
    }

    /// The clock went ahead, perhaps by years and by mistake: rows are not dropped for their age until that has lasted a while.
    pub(super) const fn tidy_later(&mut self, now: Time) {
        self.tidied = Some(now);
    }

    /// Everything so far is written when the answer comes.
    fn flush(&self) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let _ = self.entries.send(Entry::Flush(answer));
        answered
    }

    /// Writes everything and lets the store go: whoever opens it next finds it free.
    pub(super) async fn end(self) {
        let flushed = self.flush();
        drop(self.entries);
        let _ = flushed.await;
        let _ = self.task.await;
    }
}

async fn write(store: Store, mut inbox: mpsc::UnboundedReceiver<Entry>, room: Room, metrics: Arc<Metrics>) {
    // Of failures only the first in a row is told.
    let mut failed = false;
    // What a full disk did not take. Without it, an update that was answered would be one without an answer after a restart.
    let mut owed = Owed::default();
    while let Some(entry) = inbox.recv().await {
        room.ticks.add_permits(usize::from(matches!(entry, Entry::Tick(_))));
        let came = if let Entry::Jobs(jobs) = &entry { jobs.len() } else { 0 };
        let waited = came + owed.jobs.len();
        let store = store.clone();
        let mut owing = std::mem::take(&mut owed);
        let (done, still) = tokio::task::spawn_blocking(move || {
            let done = perform(&store, entry, &mut owing);
            (done, owing)
        })
        .await
        .map_or_else(
            |error| (Err(error.to_string()), Owed::default()),
            |(done, owing)| (done.map_err(|error| error.to_string()), owing),
        );
        owed = still;
        let error = done.err();
        if let (Some(error), false) = (&error, failed) {
            tracing::error!(error, "The journal cannot be written; nothing is raised meanwhile");
        }
        failed = error.is_some();
        metrics.journal(!failed);
        room.transitions.add_permits(waited - owed.jobs.len().min(waited));
    }
}

/// What is still to be written: the latest leases; all ends of intents, in order, which are few, since an intent has an end once
/// and none is taken while nothing can be written; and transitions of jobs, as many as there is room for.
#[derive(Default)]
struct Owed {
    leases: Option<Leases>,
    ended: Vec<(i64, Ended)>,
    jobs: Vec<Transition>,
}

impl Owed {
    fn pay(&mut self, store: &Store) -> Result<(), JournalError> {
        if let Some(leases) = &self.leases {
            store.leases(leases)?;
            self.leases = None;
        }
        while let Some((number, ended)) = self.ended.first() {
            store.finish(*number, ended)?;
            self.ended.remove(0);
        }
        self.pay_jobs(store, 1)
    }

    /// Writes transitions that wait, some at a time: what was written need not be written again, and a disk may have room for some.
    fn pay_jobs(&mut self, store: &Store, times: usize) -> Result<(), JournalError> {
        for _ in 0..times.min(self.jobs.len().div_ceil(AT_ONCE)) {
            let some = self.jobs.len().min(AT_ONCE);
            store.jobs(self.jobs.get(..some).unwrap_or_default())?;
            self.jobs.drain(..some);
        }
        Ok(())
    }
}

fn perform(store: &Store, entry: Entry, owed: &mut Owed) -> Result<(), JournalError> {
    if !matches!(entry, Entry::Finished(..)) {
        // Whether it works shows in what follows.
        let _ = owed.pay(store);
    }
    match entry {
        Entry::Commit(what, answer) => {
            let (intent, memory) = *what;
            let result = store.commit(&intent, &memory);
            let failed = result.as_ref().err().map(|error| JournalError {
                path: error.path.clone(),
                message: error.message.clone(),
            });
            // Who asked may be gone: then nothing is sent.
            let _ = answer.send(result);
            failed.map_or(Ok(()), Err)
        }
        Entry::Finished(leases, ended) => {
            owed.leases = Some(leases);
            owed.ended.extend(ended);
            owed.pay(store)
        }
        Entry::Tick(tick) => store.tick(&tick),
        Entry::Jobs(transitions) => {
            owed.jobs.extend(transitions);
            owed.pay_jobs(store, usize::MAX)
        }
        Entry::Unfollowed(queue, at, jobs) => store.unfollowed(&queue, at, jobs),
        Entry::Tidy(keep_from, most_bytes) => store.tidy(keep_from, most_bytes),
        Entry::Flush(answer) => {
            let paid = owed.pay_jobs(store, usize::MAX);
            let _ = answer.send(());
            paid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::JobSeen;

    fn told(id: &str) -> Transition {
        let job = JobSeen {
            id: id.to_owned(),
            ..JobSeen::default()
        };
        Transition {
            job,
            ..Transition::default()
        }
    }

    fn noted(kept: &Kept) -> Vec<String> {
        kept.0.lock().unwrap().jobs.clone()
    }

    #[tokio::test]
    async fn transitions_that_a_full_disk_did_not_take_are_written_before_those_that_follow() {
        let kept = Kept::default();
        let writer = Writer::start(Store::Memory(kept.clone()), Retention::default(), Arc::default());
        kept.fill(true);
        for id in ["a", "b"] {
            assert_eq!(writer.jobs(vec![told(id)]), []);
        }
        writer.flush().await.unwrap();
        assert_eq!(noted(&kept), [""; 0]);
        kept.fill(false);
        assert_eq!(writer.jobs(vec![told("c")]), []);
        writer.flush().await.unwrap();
        assert_eq!(noted(&kept), ["a", "b", "c"]);
    }

    /// Whoever watches for days beside a full disk keeps no more than that in memory; and the way out is free again afterwards.
    #[tokio::test]
    async fn what_there_is_no_room_for_is_given_back() {
        let kept = Kept::default();
        let writer = Writer::start(Store::Memory(kept.clone()), Retention::default(), Arc::default());
        kept.fill(true);
        assert_eq!(writer.jobs(vec![told("a"); TRANSITIONS_MOST]), []);
        writer.flush().await.unwrap();
        assert_eq!(writer.jobs(vec![told("b")]), [told("b")]);
        kept.fill(false);
        for _ in 0..2 {
            // There is room as soon as this has been gone through.
            writer.flush().await.unwrap();
        }
        assert_eq!(noted(&kept).len(), TRANSITIONS_MOST);
        assert_eq!(writer.jobs(vec![told("b")]), []);
        writer.flush().await.unwrap();
        assert_eq!(noted(&kept).last().map(String::as_str), Some("b"));
    }
}
