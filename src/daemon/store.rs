//! What must survive a crash, and its one writer. Everything for the journal goes through one queue, in order, on threads that
//! may wait for a disk; the loop itself never does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::control::Lease;
use crate::journal::{Decision, Ended, Intent, Journal, JournalError, Recovered, Remembered, Tick, Transition};
use crate::units::{Span, Time, Vcpus, to_i64};

/// Ticks and transitions that may wait for the disk; what comes on top is lost. Intents are never lost.
const WAITING_MOST: usize = 256;
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
            forgotten: None,
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
    Tidy(Time, u64),
    Flush(oneshot::Sender<()>),
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Writer {
    entries: mpsc::UnboundedSender<Entry>,
    /// For what may be lost.
    room: Arc<tokio::sync::Semaphore>,
    retention: Retention,
    tidied: Option<Time>,
}

impl Writer {
    /// Starts the writer; it ends when this is dropped and everything is written.
    pub(super) fn start(store: Store, retention: Retention) -> Self {
        let (entries, inbox) = mpsc::unbounded_channel();
        let room = Arc::new(tokio::sync::Semaphore::new(WAITING_MOST));
        tokio::spawn(write(store, inbox, Arc::clone(&room)));
        Self {
            entries,
            room,
            retention,
            tidied: None,
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
        self.if_room(Entry::Tick(Box::new(tick)));
    }

    /// Notes transitions, unless too much waits to be written.
    pub(super) fn jobs(&self, transitions: Vec<Transition>) {
        if !transitions.is_empty() {
            self.if_room(Entry::Jobs(transitions));
        }
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
    pub(super) fn flush(&self) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let _ = self.entries.send(Entry::Flush(answer));
        answered
    }

    fn if_room(&self, entry: Entry) {
        if let Ok(permit) = self.room.try_acquire() {
            permit.forget();
            let _ = self.entries.send(entry);
        } else {
            tracing::debug!("The journal is behind; a tick or transition is not noted");
        }
    }
}

async fn write(store: Store, mut inbox: mpsc::UnboundedReceiver<Entry>, room: Arc<tokio::sync::Semaphore>) {
    // Of failures only the first in a row is told.
    let mut failed = false;
    // What a full disk did not take. Without it, an update that was answered would be one without an answer after a restart.
    let mut owed = Owed::default();
    while let Some(entry) = inbox.recv().await {
        let takes_room = matches!(entry, Entry::Tick(_) | Entry::Jobs(_));
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
        if takes_room {
            room.add_permits(1);
        }
    }
}

/// Leases and ends of intents that are still to be written: the latest of one, all of the other, in order. There are few: an
/// intent has an end once, and none is taken while nothing can be written.
#[derive(Default)]
struct Owed {
    leases: Option<Leases>,
    ended: Vec<(i64, Ended)>,
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
        Entry::Jobs(transitions) => store.jobs(&transitions),
        Entry::Tidy(keep_from, most_bytes) => store.tidy(keep_from, most_bytes),
        Entry::Flush(answer) => {
            let _ = answer.send(());
            Ok(())
        }
    }
}
