//! What is still to happen, soonest first. Events at the same moment keep the order in which they were planned.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::ids::{EnvironmentIndex, JobIndex};
use crate::units::Time;

/// An instance: its environment and its position there. Positions are used again; `Instance::epoch` tells tenants apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InstanceId {
    pub(crate) environment: EnvironmentIndex,
    pub(crate) position: u32,
}

/// What happens. The numbers are epochs: an event whose epoch has passed is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A spawned job is submitted.
    Submit(JobIndex),
    /// A job becomes STARTING.
    Start(JobIndex, u16),
    /// A job ends.
    End(JobIndex, u16),
    /// A new instance registers with the cluster.
    Register(InstanceId, u32),
    /// An instance has been idle for as long as Batch keeps it.
    Idle(InstanceId, u32),
    /// EC2 takes a Spot instance back.
    Interrupt(InstanceId, u32),
    /// A Spot pool gives notice to some of its instances.
    Notice(u32),
    /// Failed launches of an environment are tried again.
    Retry(EnvironmentIndex),
    /// Batch compares RUNNABLE work with capacity.
    Look,
    /// A raised minvCpus is answered by launches.
    MinRaise(EnvironmentIndex),
    /// A scaling update is done.
    Updated(EnvironmentIndex),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at: Time,
    order: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The calendar.
#[derive(Debug, Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Reverse<Event>>,
    planned: u64,
}

impl Events {
    pub(crate) fn plan(&mut self, at: Time, what: What) {
        self.planned += 1;
        let order = self.planned;
        self.heap.push(Reverse(Event { at, order, what }));
    }

    #[cfg(test)]
    pub(crate) const fn planned(&self) -> u64 {
        self.planned
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|event| event.0.at)
    }

    /// Takes the soonest event if it is due at `at` or before.
    pub(crate) fn take(&mut self, at: Time) -> Option<What> {
        if self.next()? > at {
            return None;
        }
        self.heap.pop().map(|event| event.0.what)
    }

    /// Everything planned up to `until`, in no particular order.
    pub(crate) fn until(&self, until: Time) -> impl Iterator<Item = (Time, What)> {
        self.heap
            .iter()
            .filter(move |event| event.0.at <= until)
            .map(|event| (event.0.at, event.0.what))
    }
}
