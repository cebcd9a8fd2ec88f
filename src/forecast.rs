//! What is foreseen, apart from what is seen: made off the loop, never changed, named in every plan by version and hash.
//!
//! Schedules fill it today. Whoever learns a forecast from history fills the same type, and the planner does not notice.

use serde::{Deserialize, Serialize};

use crate::ids::QueueIndex;
use crate::units::{Span, Time, Vcpus};

/// Capacity that queues are foreseen to need, at known times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    name: ForecastName,
    queues: Vec<Windows>,
}

/// Which forecast a plan was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastName {
    /// Counts the forecasts of one policy.
    pub version: u64,
    /// Of its content: equal forecasts have equal hashes on every platform.
    pub hash: u64,
}

/// What one queue is foreseen to need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Windows {
    /// Sorted by start.
    windows: Vec<Window>,
    /// The longest of them: how far back the start of an open one can lie.
    longest: Span,
}

/// A time with a floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First moment.
    pub start: Time,
    /// First moment after.
    pub end: Time,
    /// Capacity, used and idle together, that the queue's environments hold during the window.
    pub floor_vcpus: Vcpus,
    /// Idle slots of the queue's reference job held during the window.
    pub headroom_slots: i64,
}

impl Forecast {
    /// A forecast from the windows of each queue, in the order of the queues.
    pub fn new(version: u64, queues: Vec<Vec<Window>>) -> Self {
        let mut hash = Fnv::default();
        let queues = queues.into_iter().map(|mut windows| {
            windows.sort_by_key(|window| (window.start, window.end));
            hash.add(i64::MIN); // another queue begins
            for window in &windows {
                hash.add(window.start.millis());
                hash.add(window.end.millis());
                hash.add(window.floor_vcpus.get());
                hash.add(window.headroom_slots);
            }
            let lengths = windows.iter().map(|window| window.end.since(window.start));
            Windows {
                longest: lengths.max().unwrap_or_default(),
                windows,
            }
        });
        Self {
            queues: queues.collect(),
            name: ForecastName { version, hash: hash.0 },
        }
    }

    /// Its name.
    pub const fn name(&self) -> ForecastName {
        self.name
    }

    /// All windows of a queue, sorted by start.
    pub fn windows(&self, queue: QueueIndex) -> &[Window] {
        self.queues.get(queue.position()).map_or(&[], |queue| &queue.windows)
    }

    /// A queue's windows that end after `now` and start by `soon`, and the start of the next one after that.
    pub fn open(&self, queue: QueueIndex, now: Time, soon: Time) -> (impl Iterator<Item = &Window>, Option<Time>) {
        let windows = self.windows(queue);
        let longest = self
            .queues
            .get(queue.position())
            .map_or(Span::ZERO, |queue| queue.longest);
        // Before `first` all have ended, from `begun` on all are still to come.
        let first = windows.partition_point(|window| window.start + longest <= now);
        let begun = windows.partition_point(|window| window.start <= soon);
        let open = windows.get(first..begun).unwrap_or_default();
        let next = windows.get(begun).map(|window| window.start);
        (open.iter().filter(move |window| window.end > now), next)
    }
}

/// Fowler, Noll and Vo's hash (FNV-1a, 64 bits; RFC 9923): small, and the same everywhere.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, number: i64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
