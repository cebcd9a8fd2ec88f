//! When schedules are in force. A *window* is one time that a schedule holds; a *segment* is a stretch of time during which
//! the same windows hold, so that one of them wins.

use croner::Direction;
use jiff::Timestamp;

use super::file::{QueuePolicy, SchedulePolicy};
use crate::units::{Span, Time, Vcpus};

/// The windows of one schedule that touch `[from, to)`, in order; those that touch or overlap each other are joined. Ends
/// early at the year 5000, where cron ends.
pub fn windows(schedule: &SchedulePolicy, from: Time, to: Time) -> Vec<(Time, Time)> {
    let length = schedule.duration.0;
    let mut windows: Vec<(Time, Time)> = Vec::new();
    // The change of the clocks may move a start by an hour or so; a day earlier is before every window that could still hold.
    let first = from - length - Span::from_minutes(24 * 60);
    let Ok(first) = Timestamp::from_millisecond(first.millis().max(Timestamp::MIN.as_millisecond())) else {
        return windows;
    };
    let starts = schedule
        .cron
        .cron
        .iter_from(first.to_zoned(schedule.time_zone.0.clone()), Direction::Forward);
    for start in starts {
        let start = Time::from_millis(start.timestamp().as_millisecond());
        let end = start + length;
        if start >= to {
            break;
        }
        if end <= from {
            continue;
        }
        match windows.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            Some(_) | None => windows.push((start, end)),
        }
    }
    windows
}

/// What holds during a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First moment.
    pub start: Time,
    /// First moment after.
    pub end: Time,
    /// The largest floor of all schedules in force, and the position of the first schedule that has it.
    pub floor: (Vcpus, usize),
    /// The largest headroom of all schedules in force, and the position of the first schedule that has it.
    pub headroom: (u32, usize),
    /// Positions of all schedules in force.
    pub in_force: Vec<usize>,
}

/// The next `most` segments of a queue's schedules from `from` on, at most `horizon` ahead.
pub fn segments(queue: &QueuePolicy, from: Time, horizon: Span, most: usize) -> Vec<Segment> {
    let to = from + horizon;
    let windows: Vec<Vec<(Time, Time)>> = queue.schedules.iter().map(|s| windows(s, from, to)).collect();
    let mut edges: Vec<Time> = windows
        .iter()
        .flatten()
        .flat_map(|(start, end)| [*start, *end])
        .collect();
    edges.extend([from, to]);
    edges.retain(|edge| (from..=to).contains(edge));
    edges.sort();
    edges.dedup();
    let mut segments = Vec::new();
    let mut next = vec![0_usize; windows.len()];
    for pair in edges.windows(2) {
        let &[start, end] = pair else { continue };
        let mut in_force = Vec::new();
        for (position, (windows, next)) in windows.iter().zip(&mut next).enumerate() {
            while windows.get(*next).is_some_and(|window| window.1 <= start) {
                *next += 1;
            }
            if windows.get(*next).is_some_and(|window| window.0 <= start) {
                in_force.push(position);
            }
        }
        let of = |position: &usize| queue.schedules.get(*position);
        let floor = |p: &usize| of(p).map_or(Vcpus::ZERO, |schedule| schedule.floor_vcpus.0);
        let headroom = |p: &usize| of(p).map_or(0, |schedule| schedule.headroom_slots);
        // `max_by_key` takes the last of equals; reversed, that is the first schedule.
        let tallest = in_force.iter().rev().max_by_key(|p| floor(p)).copied();
        let roomiest = in_force.iter().rev().max_by_key(|p| headroom(p)).copied();
        if let (Some(tallest), Some(roomiest)) = (tallest, roomiest) {
            let (floor, headroom) = ((floor(&tallest), tallest), (headroom(&roomiest), roomiest));
            segments.push(Segment {
                start,
                end,
                floor,
                headroom,
                in_force,
            });
        }
        if segments.len() == most {
            break;
        }
    }
    segments
}
