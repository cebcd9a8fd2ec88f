//! How long the jobs of a queue waited, lately and today, in little room: counts by how long, never a list of jobs.

use std::collections::VecDeque;

use super::snapshot::Waited;
use crate::units::{Span, Time, to_i64, to_usize};

/// Jobs that started so long ago or less count as lately.
pub(super) const LATELY: Span = Span::from_minutes(10);
/// At most so many of them are remembered.
const LATELY_MOST: usize = 256;
/// A day, in UTC.
const DAY: Span = Span::from_minutes(24 * 60);
/// Where counts are kept apart, in seconds: a fifth apart or less where goals are, so that "at most 25s" is not far off.
const BOUNDS: [i64; 40] = [
    1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 90, 120, 150, 180, 240, 300, 360, 480, 600, 720, 900,
    1200, 1500, 1800, 2700, 3600, 5400, 7200, 10_800, 14_400, 21_600, 43_200, 86_400,
];

/// What is remembered of one queue.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    lately: VecDeque<(Time, Span)>,
    day: i64,
    /// Per bound of [`BOUNDS`]: waits up to it and above the one before; the last one holds all that are longer.
    counts: [u32; BOUNDS.len() + 1],
    longest: Span,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            lately: VecDeque::new(),
            day: 0,
            counts: [0; BOUNDS.len() + 1],
            longest: Span::ZERO,
        }
    }
}

impl Spread {
    /// A job has started at this time after this wait.
    pub(super) fn add(&mut self, at: Time, wait: Span) {
        let day = day(at);
        if day > self.day {
            (self.day, self.counts, self.longest) = (day, [0; BOUNDS.len() + 1], Span::ZERO);
        }
        // Told late: it belongs to a day that is over.
        if day == self.day {
            let longer = BOUNDS.partition_point(|bound| Span::from_seconds(*bound) < wait);
            if let Some(count) = self.counts.get_mut(longer) {
                *count = count.saturating_add(1);
            }
            self.longest = self.longest.max(wait);
        }
        self.lately.push_back((at, wait));
        if self.lately.len() > LATELY_MOST {
            self.lately.pop_front();
        }
    }

    /// Those that started lately.
    pub(super) fn lately(&self, now: Time) -> Waited {
        let own = self.lately.iter().filter(|(at, _)| now.since(*at) <= LATELY);
        let mut waits: Vec<Span> = own.map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        let share = |percent| to_usize(rank(to_i64(waits.len()), percent)).checked_sub(1);
        let of = |percent| share(percent).and_then(|at| waits.get(at).copied());
        Waited {
            jobs: to_i64(waits.len()),
            half: of(50),
            most: of(95),
            longest: waits.last().copied(),
        }
    }

    /// Those that started since midnight.
    pub(super) fn today(&self, now: Time) -> Waited {
        let jobs: i64 = self.counts.iter().map(|count| i64::from(*count)).sum();
        if day(now) != self.day || jobs == 0 {
            return Waited::default();
        }
        Waited {
            jobs,
            half: Some(self.within(rank(jobs, 50))),
            most: Some(self.within(rank(jobs, 95))),
            longest: Some(self.longest),
        }
    }

    /// How long so many of today's jobs waited at most, rounded up to the next bound.
    fn within(&self, jobs: i64) -> Span {
        let mut sum = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.counts) {
            sum += i64::from(*count);
            if sum >= jobs {
                return Span::from_seconds(*bound).min(self.longest);
            }
        }
        self.longest
    }
}

/// When today began.
pub(super) fn midnight(now: Time) -> Time {
    Time::EPOCH + DAY.times(day(now))
}

fn day(at: Time) -> i64 {
    at.millis().div_euclid(DAY.millis())
}

/// Of so many in order, which one this share of them does not exceed; counted from 1.
const fn rank(jobs: i64, percent: i64) -> i64 {
    (jobs.saturating_mul(percent) + 99) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01 09:00.
    const NOW: Time = Time::from_seconds(1_767_258_000);

    fn of(waits: &[(i64, i64)]) -> Spread {
        let mut spread = Spread::default();
        for (ago, wait) in waits {
            spread.add(NOW - Span::from_seconds(*ago), Span::from_seconds(*wait));
        }
        spread
    }

    fn seconds(waited: &Waited) -> (i64, [i64; 3]) {
        let known = [waited.half, waited.most, waited.longest];
        (
            waited.jobs,
            known.map(|span| span.map_or(-1, |span| span.millis() / 1_000)),
        )
    }

    #[test]
    fn nothing_started_is_no_wait_of_zero() {
        let spread = of(&[]);
        assert_eq!(seconds(&spread.today(NOW)), (0, [-1; 3]));
        assert_eq!(seconds(&spread.lately(NOW)), (0, [-1; 3]));
    }

    #[test]
    fn lately_is_exact_and_today_is_rounded_up() {
        let spread = of(&[(7_200, 3_000), (300, 7), (200, 11), (100, 13), (50, 14)]);
        assert_eq!(seconds(&spread.lately(NOW)), (4, [11, 14, 14]));
        assert_eq!(seconds(&spread.today(NOW)), (5, [15, 3_000, 3_000]));
        let later = NOW + Span::from_minutes(11);
        assert_eq!(seconds(&spread.lately(later)), (0, [-1; 3]));
        assert_eq!(spread.today(later).jobs, 5);
    }

    #[test]
    fn a_day_ends_at_midnight_and_what_is_told_late_stays_in_its_own() {
        assert_eq!(midnight(NOW).to_string(), "2026-01-01T00:00:00Z");
        let mut spread = of(&[(100, 60)]);
        let tomorrow = NOW + Span::from_minutes(16 * 60);
        assert_eq!(spread.today(tomorrow), Waited::default());
        spread.add(tomorrow, Span::from_seconds(5));
        spread.add(NOW, Span::from_minutes(90));
        assert_eq!(seconds(&spread.today(tomorrow)), (1, [5, 5, 5]));
    }

    #[test]
    fn room_does_not_grow_with_jobs() {
        let mut spread = Spread::default();
        for wait in 0..100_000 {
            spread.add(NOW, Span::from_seconds(wait));
        }
        assert_eq!(spread.lately.len(), LATELY_MOST);
        let today = spread.today(NOW);
        assert_eq!((today.jobs, today.longest), (100_000, Some(Span::from_seconds(99_999))));
        assert_eq!(today.half, Some(Span::from_seconds(86_400)));
    }
}
