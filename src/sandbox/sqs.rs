//! SQS queues: the one that events go to, those whose messages the trace holds, and those that people make.

use std::collections::{BTreeMap, VecDeque};

use super::state::State;
use crate::observation::SqsNow;
use crate::simulate::draws::key_of;
use crate::units::{Span, Time, to_i64};

/// The queue that EventBridge feeds.
pub const EVENTS_QUEUE: &str = "autotune-events";
/// Events are kept for as long as `autotune init --events` asks for.
const EVENTS_KEPT: Span = Span::from_minutes(5);
/// SQS keeps messages for four days unless told otherwise.
const KEPT: Span = Span::from_minutes(4 * 24 * 60);
/// What a receiver has to delete a message, unless told otherwise.
const INVISIBLE: Span = Span::from_seconds(30);

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) number: u64,
    pub(super) body: String,
    pub(super) sent: Time,
    /// Received before: not to be seen until then. Delayed: not before.
    visible_from: Time,
    pub(super) first_received: Option<Time>,
    pub(super) received: u32,
}

/// An SQS queue.
#[derive(Clone, Debug)]
pub(super) struct SqsQueue {
    pub(super) created: Time,
    pub(super) kept: Span,
    pub(super) invisible: Span,
    pub(super) delay: Span,
    /// Its position among the SQS queues of the trace.
    pub(super) source: Option<usize>,
    messages: VecDeque<Message>,
}

/// All SQS queues, by name.
#[derive(Debug)]
pub(super) struct Sqs {
    queues: BTreeMap<String, SqsQueue>,
    numbers: u64,
    /// Rises with every message, for those who wait for one.
    pub(super) arrivals: u64,
}

impl Sqs {
    pub(super) fn new(recorded: &[String], now: Time) -> Self {
        let mut sqs = Self {
            queues: BTreeMap::new(),
            numbers: 0,
            arrivals: 0,
        };
        sqs.create(EVENTS_QUEUE, now).kept = EVENTS_KEPT;
        for (position, name) in recorded.iter().enumerate() {
            sqs.create(name, now).source = Some(position);
        }
        sqs
    }

    /// The queue of this name, made if need be.
    pub(super) fn create(&mut self, name: &str, now: Time) -> &mut SqsQueue {
        self.queues.entry(name.to_owned()).or_insert_with(|| SqsQueue {
            created: now,
            kept: KEPT,
            invisible: INVISIBLE,
            delay: Span::ZERO,
            source: None,
            messages: VecDeque::new(),
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<&SqsQueue> {
        self.queues.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.queues.keys()
    }

    pub(super) fn put_event(&mut self, body: String, now: Time) {
        self.send(EVENTS_QUEUE, body, None, now);
    }

    /// Puts a message at the end; its number, or `None` if there is no such queue.
    pub(super) fn send(&mut self, name: &str, body: String, delay: Option<Span>, now: Time) -> Option<u64> {
        let queue = self.queues.get_mut(name)?;
        self.numbers += 1;
        self.arrivals += 1;
        let kept = queue.kept;
        while queue.messages.front().is_some_and(|first| now.since(first.sent) > kept) {
            queue.messages.pop_front();
        }
        queue.messages.push_back(Message {
            number: self.numbers,
            body,
            sent: now,
            visible_from: now + delay.unwrap_or(queue.delay),
            first_received: None,
            received: 0,
        });
        Some(self.numbers)
    }

    /// Takes up to `most` messages, which nobody else sees for a while.
    pub(super) fn receive(&mut self, name: &str, most: usize, invisible: Option<Span>, now: Time) -> Vec<Message> {
        let Some(queue) = self.queues.get_mut(name) else {
            return Vec::new();
        };
        let (kept, hidden) = (queue.kept, now + invisible.unwrap_or(queue.invisible));
        let visible = queue.messages.iter_mut();
        let visible = visible.filter(|message| message.visible_from <= now && now.since(message.sent) <= kept);
        let take = |message: &mut Message| {
            message.visible_from = hidden;
            message.received = message.received.saturating_add(1);
            message.first_received = message.first_received.or(Some(now));
            message.clone()
        };
        visible.take(most).map(take).collect()
    }

    /// Deletes a message; one that is gone is as well.
    pub(super) fn delete(&mut self, name: &str, number: u64) {
        if let Some(queue) = self.queues.get_mut(name)
            && let Ok(found) = queue.messages.binary_search_by_key(&number, |message| message.number)
        {
            queue.messages.remove(found);
        }
    }
}

impl State {
    /// The counts of a queue as SQS tells them: approximately.
    pub(super) fn sqs_counts(&self, name: &str) -> Option<SqsNow> {
        let queue = self.sqs.get(name)?;
        let now = self.now;
        let mut counts = SqsNow::default();
        for message in queue
            .messages
            .iter()
            .filter(|message| now.since(message.sent) <= queue.kept)
        {
            if message.visible_from <= now {
                counts.visible += 1;
            } else if message.received > 0 {
                counts.in_flight += 1;
            } else {
                counts.delayed += 1;
            }
        }
        if let Some(source) = queue.source {
            let recorded = self.view.approximate(self.names.seed, source, self.world.sqs(source));
            counts.visible += recorded.visible;
            counts.in_flight += recorded.in_flight;
        }
        Some(counts)
    }

    /// The age of the oldest message that nobody has deleted; `None` for an empty queue.
    pub(super) fn oldest_message(&self, name: &str) -> Option<Span> {
        let queue = self.sqs.get(name)?;
        let kept = queue.messages.iter().map(|message| message.sent);
        let own = kept.filter(|sent| self.now.since(*sent) <= queue.kept).min();
        // Recorded messages are waiting from their sending to their receipt.
        let recorded = queue.source.into_iter().flat_map(|source| {
            let messages = self.world.trace().messages.iter();
            messages.filter(move |message| crate::units::to_usize(message.source) == source)
        });
        let waiting = recorded.filter(|message| message.sent <= self.now && message.received > self.now);
        let oldest = own.into_iter().chain(waiting.map(|message| message.sent)).min();
        oldest.map(|sent| self.now.since(sent))
    }

    /// A receipt: the message's number and how often it had been received, with a check.
    pub(super) fn receipt(&self, queue: &str, message: &Message) -> String {
        let check = crate::simulate::draws::key(&[self.names.seed, key_of(queue), message.number]);
        format!("{:016x}{check:016x}{:04x}", message.number, message.received)
    }

    /// The number in a receipt; `None` if it was not given for this queue.
    pub(super) fn number_of(&self, queue: &str, receipt: &str) -> Option<u64> {
        let number = u64::from_str_radix(receipt.get(..16)?, 16).ok()?;
        let check = crate::simulate::draws::key(&[self.names.seed, key_of(queue), number]);
        (receipt.get(16..32)? == format!("{check:016x}")).then_some(number)
    }

    /// How many messages of a queue there are in all, for people.
    pub(super) fn sqs_total(&self, name: &str) -> i64 {
        self.sqs.get(name).map_or(0, |queue| to_i64(queue.messages.len()))
    }
}
