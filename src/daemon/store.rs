//! What must survive a crash, and its one writer. Everything for the journal goes through one queue, in order, on threads that
//! may wait for a disk; the loop itself never does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::cloud::Identity;
use crate::clock::{self, Clock, Stopwatch};
use crate::control::{Lease, Outcome};
use crate::journal::{
    Decision, Ended, Intent, Journal, JournalError, NOT_SENT, NotOurs, Owner, Recovered, Remembered, Tick, Tidying,
    Transition,
};
use crate::metrics::Metrics;
use crate::units::{Span, Time, Vcpus, to_i64, to_u32};

/// Ticks that may wait for the disk; what comes on top is lost. Intents are never lost.
const TICKS_MOST: usize = 256;
/// Transitions that are written together.
const AT_ONCE: usize = 1_000;
/// Transitions of jobs that may wait for the disk, some 20 MB. What comes on top is given back.
const TRANSITIONS_MOST: usize = 50_000;
/// What takes longer to be written has failed, or might as well have.
pub(super) const WRITTEN_WITHIN: Span = Span::from_seconds(30);
/// While nothing can be written, and nobody has anything to write, it is tried this often.
const TRIED_EVERY: Span = Span::from_seconds(30);
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

    /// While what this returns is there, every write waits.
    #[cfg(test)]
    pub(crate) fn hang(&self) -> impl Drop + '_ {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            Self::Memory(kept) => kept.write(|_| ()),
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

    fn tidy(&self, tidying: Tidying) -> Result<Option<Tidying>, JournalError> {
        match self {
            Self::Journal(journal) => journal.tidy(tidying),
            Self::Memory(_) => Ok(None),
        }
    }

    fn own(&self, owner: &Owner) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.own(owner),
            Self::Memory(_) => Ok(()),
        }
    }

    fn attempt(&self) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.attempt(),
            Self::Memory(kept) => kept.write(|_| ()),
        }
    }

    /// Refuses what was kept of another account or region: environments there may be called alike.
    pub(super) fn is_of(&self, recovered: &Recovered, identity: &Identity) -> Result<(), NotOurs> {
        let expected = owner(identity);
        match (self, &recovered.owner) {
            (Self::Journal(journal), Some(found)) if *found != expected => Err(NotOurs {
                path: journal.path().display().to_string(),
                found: found.clone(),
                expected,
            }),
            (Self::Journal(_) | Self::Memory(_), _) => Ok(()),
        }
    }
}

fn owner(identity: &Identity) -> Owner {
    Owner {
        account: identity.account.clone(),
        region: identity.region.clone(),
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
    Own(Owner),
    Tidy(Tidying),
    /// Nobody has anything to write.
    Attempt,
    Flush(oneshot::Sender<()>),
}

/// For what may have to be left out.
#[derive(Clone, Debug)]
struct Room {
    ticks: Arc<Semaphore>,
    transitions: Arc<Semaphore>,
}

/// An entry, and since when it waits.
type Waiting = (Stopwatch, Entry);

/// Whether what is given to the journal gets there in time. Of failures only the first in a row is told.
#[derive(Debug)]
pub(super) struct Health {
    metrics: Arc<Metrics>,
    fails: AtomicBool,
}

impl Health {
    pub(super) fn failed(&self, error: &str) {
        self.metrics.journal(false);
        if !self.fails.swap(true, Ordering::Relaxed) {
            tracing::error!(error, "The journal cannot be written; nothing is raised meanwhile");
        }
    }

    fn works(&self) {
        self.metrics.journal(true);
        if self.fails.swap(false, Ordering::Relaxed) {
            tracing::info!("The journal can be written again");
        }
    }

    fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Writer {
    entries: mpsc::UnboundedSender<Waiting>,
    health: Arc<Health>,
    room: Room,
    retention: Retention,
    tidied: Option<Time>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Starts the writer; it ends when this is dropped and everything is written.
    pub(super) fn start(store: Store, retention: Retention, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let (entries, inbox) = mpsc::unbounded_channel();
        let room = Room {
            ticks: Arc::new(Semaphore::new(TICKS_MOST)),
            transitions: Arc::new(Semaphore::new(TRANSITIONS_MOST)),
        };
        let health = Arc::new(Health {
            metrics,
            fails: AtomicBool::new(false),
        });
        let scribe = Scribe {
            store,
            clock,
            again: entries.downgrade(),
            room: room.clone(),
            health: Arc::clone(&health),
        };
        let task = tokio::spawn(scribe.write(inbox));
        Self {
            entries,
            health,
            room,
            retention,
            tidied: None,
            task,
        }
    }

    fn put(&self, entry: Entry) {
        let _ = self.entries.send((Stopwatch::start(), entry));
    }

    /// Whom to tell what the journal did not do in time.
    pub(super) fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Notes whose account it is, where nobody has said so yet.
    pub(super) fn own(&self, recovered: &Recovered, identity: &Identity) {
        if recovered.owner.is_none() {
            self.put(Entry::Own(owner(identity)));
        }
    }

    /// Makes an intent durable; the answer tells its number.
    pub(super) fn commit(&self, intent: Intent, memory: Remembered) -> oneshot::Receiver<Result<i64, JournalError>> {
        let (answer, answered) = oneshot::channel();
        self.put(Entry::Commit(Box::new((intent, memory)), answer));
        answered
    }

    /// Notes the leases in force and how an intent ended.
    pub(super) fn finished(&self, leases: Leases, ended: Option<(i64, Ended)>) {
        self.put(Entry::Finished(leases, ended));
    }

    /// Notes a tick, unless too much waits to be written.
    pub(super) fn tick(&self, tick: Tick) {
        if let Ok(permit) = self.room.ticks.try_acquire() {
            permit.forget();
            self.put(Entry::Tick(Box::new(tick)));
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
                self.put(Entry::Jobs(transitions));
                Vec::new()
            }
            Err(_) => transitions,
        }
    }

    /// Notes that so many jobs of a queue were too many to be followed.
    pub(super) fn unfollowed(&self, queue: &str, at: Time, jobs: u64) {
        self.put(Entry::Unfollowed(queue.to_owned(), at, jobs));
    }

    /// Drops old rows once in a while.
    pub(super) fn tidy(&mut self, now: Time) {
        if self.tidied.is_none_or(|at| now >= at + TIDY_EVERY || now < at) {
            self.tidied = Some(now);
            self.put(Entry::Tidy(Tidying::new(
                now - self.retention.age,
                self.retention.bytes,
            )));
        }
    }

    /// The clock went ahead, perhaps by years and by mistake: rows are not dropped for their age until that has lasted a while.
    pub(super) const fn tidy_later(&mut self, now: Time) {
        self.tidied = Some(now);
    }

    /// Everything so far is written when the answer comes.
    fn flush(&self) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        self.put(Entry::Flush(answer));
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

/// The writer itself.
struct Scribe {
    store: Store,
    clock: Clock,
    /// For what goes behind that which came meanwhile. Whoever stops does not wait for it.
    again: mpsc::WeakUnboundedSender<Waiting>,
    room: Room,
    health: Arc<Health>,
}

impl Scribe {
    async fn write(self, mut inbox: mpsc::UnboundedReceiver<Waiting>) {
        // What a full disk did not take. Without it, an update that was answered would be one without an answer after a restart.
        let mut owed = Owed::default();
        while let Some((since, entry)) = self.next(&mut inbox).await {
            self.room
                .ticks
                .add_permits(usize::from(matches!(entry, Entry::Tick(_))));
            let came = if let Entry::Jobs(jobs) = &entry { jobs.len() } else { 0 };
            let waited = came + owed.jobs.len();
            let (done, still) = self.perform(entry, std::mem::take(&mut owed)).await;
            owed = still;
            match done {
                Err(error) => self.health.failed(&error),
                Ok(()) if since.passed() > WRITTEN_WITHIN => self.health.failed(&late()),
                Ok(()) => self.health.works(),
            }
            self.room.transitions.add_permits(waited - owed.jobs.len().min(waited));
            if let (Some(rest), Some(again)) = (owed.tidying.take(), self.again.upgrade()) {
                let _ = again.send((Stopwatch::start(), Entry::Tidy(rest)));
            }
        }
    }

    /// While nothing can be written, that this is over shows also if nobody has anything to write.
    async fn next(&self, inbox: &mut mpsc::UnboundedReceiver<Waiting>) -> Option<Waiting> {
        if !self.health.fails() {
            return inbox.recv().await;
        }
        let attempt = || Some((Stopwatch::start(), Entry::Attempt));
        clock::within(TRIED_EVERY, inbox.recv()).await.unwrap_or_else(attempt)
    }

    /// Writes on a thread that may wait. What hangs is told while it does.
    async fn perform(&self, entry: Entry, mut owed: Owed) -> (Result<(), String>, Owed) {
        let (store, clock) = (self.store.clone(), self.clock);
        let mut task = tokio::task::spawn_blocking(move || {
            let done = perform(&store, clock, entry, &mut owed);
            (done, owed)
        });
        let in_time = clock::within(WRITTEN_WITHIN, &mut task).await;
        let done = if let Some(done) = in_time {
            done
        } else {
            self.health.failed(&late());
            task.await
        };
        done.map_or_else(
            |error| (Err(error.to_string()), Owed::default()),
            |(done, owed)| (done.map_err(|error| error.to_string()), owed),
        )
    }
}

/// Why what is written, or will be, has failed all the same.
pub(super) fn late() -> String {
    format!("it took more than {WRITTEN_WITHIN}")
}

/// What is still to be written: the latest leases; all ends of intents, in order, which are few, since an intent has an end once
/// and none is taken while nothing can be written; transitions of jobs, as many as there is room for; and whose account it is.
#[derive(Default)]
struct Owed {
    leases: Option<Leases>,
    ended: Vec<(i64, Ended)>,
    jobs: Vec<Transition>,
    owner: Option<Owner>,
    /// Not owed: it goes behind what came meanwhile.
    tidying: Option<Tidying>,
}

impl Owed {
    fn pay(&mut self, store: &Store) -> Result<(), JournalError> {
        if let Some(owner) = &self.owner {
            store.own(owner)?;
            self.owner = None;
        }
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

fn perform(store: &Store, clock: Clock, entry: Entry, owed: &mut Owed) -> Result<(), JournalError> {
    if !matches!(entry, Entry::Finished(..) | Entry::Own(_) | Entry::Attempt) {
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
            if let Err(Ok(number)) = answer.send(result) {
                // Who asked has given up, so that nothing is sent: no lease follows from it, and it is not open.
                let ended = Ended {
                    at: clock.now(),
                    outcome: Outcome::Raced,
                    message: format!("{NOT_SENT}: the journal took too long"),
                };
                owed.ended.push((number, ended));
                return owed.pay(store);
            }
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
        Entry::Own(owner) => {
            owed.owner = Some(owner);
            owed.pay(store)
        }
        Entry::Tidy(tidying) => {
            owed.tidying = store.tidy(tidying)?;
            Ok(())
        }
        Entry::Attempt => {
            owed.pay(store)?;
            owed.pay_jobs(store, usize::MAX)?;
            store.attempt()
        }
        Entry::Flush(answer) => {
            let paid = owed.pay_jobs(store, usize::MAX);
            let _ = answer.send(());
            paid
        }
    }
}

#[cfg(test)]
mod tests;
