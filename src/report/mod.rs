//! What a comparison came to: tables for people, JSON and CSV for machines, and timelines of single replays.
//!
//! Every form says that it is simulated, with which model of AWS Batch, and that a model is assumed until it has been
//! calibrated against a recording. Numbers are rounded in tables only. *Under test* is the first candidate of a comparison;
//! *stock* is AWS Batch alone, to which costs are compared.

mod checks;
mod csv;
mod json;
#[cfg(test)]
mod samples;
mod status;
mod table;
mod timeline;

pub use checks::checks;
pub use json::schema;
pub use status::{quota_line, status};
pub use timeline::Timeline;

use crate::simulate::compare::Compared;
use crate::simulate::routes::UnknownQueues;
use crate::simulate::view::ViewModel;
use crate::units::Span;

/// A comparison and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// What was replayed, in a few words.
    pub trace: &'a str,
    /// The name of the model of AWS Batch.
    pub model: &'a str,
    /// How imperfect the controllers' sight was.
    pub view: ViewModel,
    /// The seeds, in the order of every candidate's runs.
    pub seeds: &'a [u64],
    /// The candidates, the one under test first.
    pub compared: &'a [Compared],
    /// Recorded queues that the scenario does not have.
    pub unknown_queues: Option<&'a UnknownQueues>,
}

impl Report<'_> {
    /// As tables for people, at most 140 columns wide, without colour.
    pub fn table(&self) -> String {
        table::render(self)
    }

    /// As one JSON document, version 1, that [`schema`] describes. Fails only if memory does.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        json::render(self)
    }

    /// Which jobs went to a queue of another name, in a sentence.
    pub fn unknown_queues(&self) -> Option<String> {
        let unknown = self.unknown_queues?;
        let told = unknown.queues.iter().take(QUEUES_TOLD);
        let mut told: Vec<String> = told.map(|(name, jobs)| format!("{jobs} of {}", plain(name))).collect();
        let more = unknown.queues.len().saturating_sub(QUEUES_TOLD);
        if more > 0 {
            told.push(format!("and those of {more} more"));
        }
        Some(format!(
            "jobs of queues that the scenario does not have, which went to {}: {} ({})",
            plain(&unknown.to),
            unknown.jobs(),
            told.join(", ")
        ))
    }

    /// As CSV: a row for every candidate and seed, and one more for each queue where there are several. Columns are `policy`,
    /// `seed` and `queue` (empty: all together), the figures of [`Metric::ALL`](crate::simulate::metric::Metric::ALL) with
    /// their units in their names (empty: absent), and `source` (always `simulated`), `model`, `view`, `scenario`, `trace`.
    pub fn csv(&self) -> std::io::Result<String> {
        csv::render(self)
    }
}

/// How much a model is to be believed.
const TRUST: &str = "assumed until calibrated";

/// `recent`, `perfect` or, with other figures than theirs, `custom`.
fn view_name(view: ViewModel) -> &'static str {
    match view {
        view if view == ViewModel::recent() => "recent",
        view if view == ViewModel::perfect() => "perfect",
        _ => "custom",
    }
}

/// A view in a few words.
fn view_words(view: ViewModel) -> String {
    let jobs = match view.hint {
        None => format!("jobs every {}", view.poll),
        Some(Span::ZERO) => "hints at once".to_owned(),
        Some(delay) => format!("hints after {delay}"),
    };
    format!("{} (environments every {}, {jobs})", view_name(view), view.environments)
}

/// `1`, `1-5` for a run of numbers, `3, 7, 1` for others; beyond eight the first and the count.
fn seed_words(seeds: &[u64]) -> String {
    let in_a_row = seeds
        .windows(2)
        .all(|pair| pair.first().map(|seed| seed.wrapping_add(1)).as_ref() == pair.last());
    match seeds {
        [first, .., last] if in_a_row => format!("{first}-{last}"),
        [first, ..] if seeds.len() > 8 => format!("{first} and {} more", seeds.len() - 1),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Most names of queues that are told one by one.
const QUEUES_TOLD: usize = 5;

/// Names from outside on a terminal: what is invisible there is escaped.
fn plain(name: &str) -> String {
    crate::explain::printable(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_named_in_few_words() {
        let cases: [(&[u64], &str); 5] = [
            (&[7], "7"),
            (&[1, 2, 3], "1-3"),
            (&[3, 7, 1], "3, 7, 1"),
            (&[9, 1, 2, 3, 4, 5, 6, 7, 8], "9 and 8 more"),
            (&[], ""),
        ];
        for (seeds, words) in cases {
            assert_eq!(seed_words(seeds), words);
        }
    }

    #[test]
    fn views_are_named_by_what_they_are() {
        assert_eq!(
            view_words(ViewModel::recent()),
            "recent (environments every 30s, hints after 1.2s)"
        );
        assert_eq!(
            view_words(ViewModel::perfect()),
            "perfect (environments every 30s, hints at once)"
        );
        let blind = ViewModel {
            hint: None,
            ..ViewModel::recent()
        };
        assert_eq!(view_words(blind), "custom (environments every 30s, jobs every 60s)");
    }

    #[test]
    fn names_from_outside_cannot_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc"), r"a\u{1b}[31mb\u{a}c");
    }
}
