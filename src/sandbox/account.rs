//! The handle of a simulated account: one task owns the account and lets its time pass; who wants something asks that task.

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::refused::Refused;
use super::state::{Options, State};
use crate::clock::{Clock, Pace, Pacer};
use crate::simulate::world::World;
use crate::units::{Span, Time};

/// What is done with the account.
type Order = Box<dyn FnOnce(&mut State) + Send>;

/// A simulated account. Clones are the same account; it ends when the last of them is gone.
#[derive(Clone, Debug)]
pub struct Account {
    orders: mpsc::UnboundedSender<Order>,
    /// How many messages have come to SQS queues.
    arrivals: watch::Receiver<u64>,
    pacer: &'static Pacer,
}

impl Account {
    /// Begins an account, `speed` simulated seconds in one of ours; zero: its time stands still. Fails with every contradiction of
    /// scenario and trace. Needs a running tokio.
    pub fn begin(options: Options, speed: u32) -> Result<Self, Vec<String>> {
        let mut state = State::new(options)?;
        state.pace = Pace::new(state.now, speed);
        let pacer = Pacer::forever(state.pace);
        let (orders, received) = mpsc::unbounded_channel();
        let (told, arrivals) = watch::channel(0);
        tokio::spawn(own(state, received, told, pacer));
        Ok(Self {
            orders,
            arrivals,
            pacer,
        })
    }

    /// The account's time, for whoever lives in it.
    pub const fn clock(&self) -> Clock {
        Clock::Scaled(self.pacer)
    }

    /// How its time passes.
    pub fn pace(&self) -> Pace {
        self.pacer.pace()
    }

    /// Looks at the simulated world, or does something to it.
    pub async fn with_world<R, F>(&self, look: F) -> Result<R, Refused>
    where
        R: Send + 'static,
        F: FnOnce(&mut World<'static>) -> R + Send + 'static,
    {
        let answer = self.ask(move |state| {
            let answer = look(&mut state.world);
            state.hear();
            answer
        });
        answer.await
    }

    /// Changes the speed.
    pub async fn set_speed(&self, speed: u32) -> Result<(), Refused> {
        self.ask(move |state| state.pace = Pace::new(state.now, speed)).await
    }

    /// Lets this much simulated time pass at once.
    pub async fn skip(&self, span: Span) -> Result<Time, Refused> {
        let skipped = self.ask(move |state| {
            state.advance(state.now + span.max(Span::ZERO));
            state.pace = Pace::new(state.now, state.pace.factor());
            state.now
        });
        skipped.await
    }

    /// Runs something on the account, at its present moment.
    pub(super) async fn ask<R, F>(&self, order: F) -> Result<R, Refused>
    where
        R: Send + 'static,
        F: FnOnce(&mut State) -> R + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let order: Order = Box::new(move |state| {
            let _ = answer.send(order(state));
        });
        let gone = || Refused::new(503, "ServiceUnavailable", "The simulated account has ended.");
        self.orders.send(order).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    /// Asks again whenever a message has come to an SQS queue, until there is an answer or that much simulated time has passed.
    pub(super) async fn ask_until<R, F>(&self, wait: Span, order: F) -> Result<Option<R>, Refused>
    where
        R: Send + 'static,
        F: Fn(&mut State) -> Option<R> + Clone + Send + 'static,
    {
        let mut arrivals = self.arrivals.clone();
        let deadline = self.pace().now() + wait;
        // Where time stands still, the wait is one of ours.
        let real = self.pace().real(wait).unwrap_or(wait);
        let give_up = crate::clock::wait(real.max(Span::from_millis(1)));
        tokio::pin!(give_up);
        loop {
            arrivals.mark_unchanged();
            if let Some(answer) = self.ask(order.clone()).await? {
                return Ok(Some(answer));
            }
            if self.pace().now() >= deadline {
                return Ok(None);
            }
            tokio::select! {
                changed = arrivals.changed() => if changed.is_err() { return Ok(None) },
                () = &mut give_up => return self.ask(order).await,
            }
        }
    }

    /// Ends with the token; the account itself ends when nobody holds it.
    pub async fn ended(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.orders.closed() => {}
        }
    }
}

/// Lets the account's time pass, and does what is asked in the order in which it is asked.
async fn own(
    mut state: State,
    mut orders: mpsc::UnboundedReceiver<Order>,
    arrivals: watch::Sender<u64>,
    pacer: &'static Pacer,
) {
    loop {
        let next = state.next();
        let pace = state.pace;
        let idle = async {
            match next {
                Some(at) => pace.until(at).await,
                None => std::future::pending().await,
            }
        };
        let order = tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(order) => Some(order),
                None => return,
            },
            () = idle => None,
        };
        state.advance(pace.now());
        if let Some(order) = order {
            order(&mut state);
        }
        if state.pace != pace {
            pacer.set(state.pace);
        }
        arrivals.send_if_modified(|known| std::mem::replace(known, state.sqs.arrivals) != state.sqs.arrivals);
    }
}
