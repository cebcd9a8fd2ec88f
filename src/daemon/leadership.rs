//! Who writes, where more than one process could: a lease in a table that all of them can reach. Whoever holds it renews it;
//! whoever sees it unchanged for its whole length, by a clock of its own, takes it over. Clocks of two machines are never
//! compared.
//!
//! AWS Batch knows no fencing token, so this alone keeps nobody from writing late: the controller begins no request that could
//! outlast the time that is told here.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cadence::Part;
use super::cloud::{Cloud, Read};
use super::driver::Driver;
use crate::clock::{self, Clock, Stopwatch};
use crate::control::Input;
use crate::explain::printable;
use crate::units::{Span, Time};

/// How long a claim holds, from when it was begun.
const LEASE: Span = Span::from_seconds(60);
/// A leader renews this often: two renewals may fail before the controller begins nothing any more.
const RENEW: Span = Span::from_seconds(15);
/// After a failure it is tried again this soon.
const AGAIN: Span = Span::from_seconds(5);
/// One try is over after this.
const CLAIM_MOST: Span = Span::from_seconds(12);
/// Giving it back at a stop may take this long; it ends by itself otherwise.
const RESIGN_MOST: Span = Span::from_seconds(1);
/// A watcher waits a little longer than the lease it watches, should its own clock run fast.
const MARGIN: Span = Span::from_seconds(5);

/// The lease as it stands in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose it is.
    pub holder: String,
    /// Grows with every renewal.
    pub renewals: i64,
    /// How long it holds after a renewal.
    pub lease: Span,
}

/// A try to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is led: one item of the table.
    pub name: String,
    /// This process; no other has the same.
    pub holder: String,
    /// How long the claim holds.
    pub lease: Span,
    /// A lease that has ended and may be taken over, if it still stands like that.
    pub over: Option<Held>,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It holds.
    Ours,
    /// Another process leads.
    Theirs(Held),
}

/// A table with conditional writes.
pub trait Lock: Send + Sync + 'static {
    /// Takes the lease if nobody has it, if we have it, or if it still is the one to be taken over.
    fn claim(&self, claim: &Claim) -> impl Future<Output = Read<Claimed>> + Send;
    /// Gives the lease back, if we have it.
    fn resign(&self, name: &str, holder: &str) -> impl Future<Output = Read<()>> + Send;
}

/// Claims and renews until it is asked to stop, and then gives back. Tells until when this process may write.
pub async fn elect<L: Lock>(
    lock: Arc<L>,
    name: String,
    holder: String,
    clock: Clock,
    leads: watch::Sender<Option<Time>>,
    stop: CancellationToken,
) {
    let mut elector = Elector {
        name,
        holder,
        leads,
        renewed: None,
        seen: None,
        failing: false,
    };
    loop {
        let pause = elector.claim(lock.as_ref(), clock).await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = clock::wait(pause) => {}
        }
    }
    if elector.renewed.is_some() {
        elector.tell(None);
        let _ = clock::within(RESIGN_MOST, lock.resign(&elector.name, &elector.holder)).await;
    }
}

struct Elector {
    name: String,
    holder: String,
    leads: watch::Sender<Option<Time>>,
    /// We lead: when the last renewal was begun.
    renewed: Option<Stopwatch>,
    /// Another leads: how the lease stood, and since when it has.
    seen: Option<(Held, Stopwatch)>,
    /// The last try failed, and that was said.
    failing: bool,
}

impl Elector {
    /// One try. Says when the next is due.
    async fn claim<L: Lock>(&mut self, lock: &L, clock: Clock) -> Span {
        let ended = |(held, since): &&(Held, Stopwatch)| since.passed() >= held.lease + MARGIN;
        let claim = Claim {
            name: self.name.clone(),
            holder: self.holder.clone(),
            lease: LEASE,
            over: self.seen.as_ref().filter(ended).map(|(held, _)| held.clone()),
        };
        let (began, since) = (clock.now(), Stopwatch::start());
        let left = self.left().map_or(CLAIM_MOST, |left| left.min(CLAIM_MOST));
        let claimed = clock::within(left, lock.claim(&claim)).await;
        let claimed = match claimed {
            Some(Ok(claimed)) => claimed,
            Some(Err(error)) => return self.failed(&printable(&error.message)),
            None => return self.failed(&"no answer"),
        };
        if std::mem::take(&mut self.failing) {
            tracing::info!("Leadership can be claimed again");
        }
        match claimed {
            Claimed::Ours => {
                if self.renewed.is_none() {
                    tracing::info!(holder = %self.holder, "This process leads");
                }
                (self.renewed, self.seen) = (Some(since), None);
                self.tell(Some(began + LEASE));
                RENEW
            }
            Claimed::Theirs(held) => {
                if self.renewed.take().is_some() || self.seen.is_none() {
                    tracing::info!(holder = %printable(&held.holder), "Another process leads");
                }
                self.tell(None);
                let same = self.seen.as_ref().is_some_and(|(seen, _)| *seen == held);
                if !same {
                    self.seen = Some((held, Stopwatch::start()));
                }
                RENEW
            }
        }
    }

    /// How long our lease still holds, by a clock that never jumps: the one on the wall may.
    fn left(&self) -> Option<Span> {
        Some(LEASE - self.renewed?.passed())
    }

    fn failed(&mut self, error: &dyn std::fmt::Display) -> Span {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "Leadership could not be claimed or renewed");
        }
        match self.left() {
            Some(left) if left <= Span::ZERO => {
                tracing::warn!("This process leads no longer");
                self.renewed = None;
                self.tell(None);
                AGAIN
            }
            Some(left) => left.min(AGAIN),
            None => AGAIN,
        }
    }

    fn tell(&self, until: Option<Time>) {
        self.leads
            .send_if_modified(|told| std::mem::replace(told, until) != until);
    }
}

/// What the loop makes of it.
impl<C: Cloud> Driver<C> {
    /// Whether this process may write: it leads, and knows what it has inherited.
    pub(super) fn leads(&self) -> bool {
        self.is_elected() && self.inherits.is_none()
    }

    fn is_elected(&self) -> bool {
        self.leads_until.is_some_and(|until| self.now() < until)
    }

    /// The first key to every write: without `apply` the controller never leads.
    pub(super) fn lead_at_start(&mut self) {
        let until = match &self.options.leads {
            _ if !self.options.apply => None,
            Some(leads) => *leads.borrow(),
            None => Some(Time::FAR_FUTURE),
        };
        self.leads_until = until;
        self.tell_leadership();
    }

    /// Who begins to lead has to know first what the guards of the account carry: it would take what is raised for base.
    pub(super) fn lead(&mut self, until: Option<Time>) {
        let led = self.is_elected();
        self.leads_until = until;
        if !self.is_elected() {
            self.inherits = None;
            self.ears.receive(false, self.now());
        } else if !led {
            self.inherits = Some(self.now());
            // At once, however often it failed before.
            self.cadence.forget(&Part::Topology);
        }
        self.tell_leadership();
    }

    pub(super) fn tell_leadership(&mut self) {
        self.options.metrics.leads(self.leads());
        self.waits.mute(self.options.leads.is_some() && !self.leads());
        if self.inherits.is_none() {
            self.step(Input::Leadership(self.leads_until));
        }
    }
}
