//! Two accounts at one moment, as text. Pure; every form says that it is simulated.

use std::fmt::Write as _;

use crate::twin::figures::{Look, Pair, Standing};
use crate::units::{Span, i64_to_f64, to_i64, to_usize};

pub(super) const NAMES: Pair<&str> = ["autotune", "AWS Batch alone"];
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Longer waits do not make a curve higher: else one drought would flatten all the rest.
pub(super) const HIGHEST: Span = Span::from_minutes(4);
/// How many lines the latest decision may take.
const DECISION_LINES: usize = 3;

/// A screen of at most so many columns: headline, table, curves, the latest decision.
pub fn screen(look: &Look, model: &str, width: usize) -> String {
    let mut text = format!(
        "SIMULATED with model `{model}`: {} of {} hours; {} jobs have started in both\n\n  {}\n  {}\n\n",
        hours(look.passed),
        hours(look.lasts),
        look.both.jobs,
        headline(look),
        bill(look)
    );
    let _ = writeln!(
        text,
        "  {:<15} {:>8} {:>8} {:>10} {:>9} {:>7} {:>9}",
        "", "started", "waiting", "mean wait", "p95", "vCPUs", "cost"
    );
    for (name, standing) in NAMES.into_iter().zip(&look.standings) {
        let _ = writeln!(text, "  {name:<15} {}", row(standing));
    }
    let top = look.curves.iter().flatten().flatten().copied().max();
    let top = top.unwrap_or_default().min(HIGHEST);
    let more = if top == HIGHEST { " and more" } else { "" };
    let _ = writeln!(
        text,
        "\n  mean wait by when jobs became RUNNABLE; full height {top}{more}"
    );
    for (name, curve) in NAMES.into_iter().zip(&look.curves) {
        let _ = writeln!(text, "  {name:<15} {}", spark(curve, top));
    }
    if !look.short.is_empty() {
        let _ = writeln!(text, "  {:<15} {}", "Spot runs dry", marks(look));
    }
    let half = look.lasts.scaled_down(1, 2);
    let _ = writeln!(
        text,
        "  {:<15} {:<24}{:<20}{:>4}",
        "",
        hours(Span::ZERO),
        hours(half),
        hours(look.lasts)
    );
    let _ = writeln!(text, "\n  {} updates sent.{}", look.updates, latest(look));
    wrapped(&text, width.max(20))
}

/// One line, for whoever keeps a log.
pub fn line(look: &Look) -> String {
    let [tuned, alone] = &look.standings;
    format!(
        "simulated {} of {} hours: {} {} Waiting now: {}, {} alone; {} updates sent\n",
        hours(look.passed),
        hours(look.lasts),
        headline(look),
        bill(look),
        tuned.waiting,
        alone.waiting,
        look.updates
    )
}

/// What is left to say at the end.
pub fn summary(look: &Look, model: &str) -> String {
    let [tuned, alone] = &look.standings;
    format!(
        "SIMULATED with model `{model}`, assumed until calibrated: {} hours.\n\
         {}\n{}\n\
         Jobs started: {} with autotune, {} alone; compared are the {} of both.\n\
         Updates sent: {}.\n",
        hours(look.passed),
        headline(look),
        bill(look),
        tuned.started,
        alone.started,
        look.both.jobs,
        look.updates
    )
}

/// The two numbers.
pub(super) fn headline(look: &Look) -> String {
    if look.both.jobs == 0 {
        return "no job has started in both accounts yet.".to_owned();
    }
    let [tuned, alone] = look.both.mean.map(|mean| mean.max(Span::from_millis(1)));
    let times = i64_to_f64(alone.millis()) / i64_to_f64(tuned.millis());
    let judged = if times >= 1.0 {
        format!("{times:.1} times as fast")
    } else {
        format!("{:.1} times as slow", 1.0 / times)
    };
    format!(
        "jobs wait {} with autotune, {} with AWS Batch alone: {judged}.",
        whole(tuned),
        whole(alone)
    )
}

/// What the first number costs.
pub(super) fn bill(look: &Look) -> String {
    let [tuned, alone] = &look.standings;
    let both = format!("at list prices: {} and {}", dollars(tuned), dollars(alone));
    let (paid, other) = (tuned.cost.usd(), alone.cost.usd());
    if other > 0.0 {
        format!("{both}, {:.1} times the cost.", paid / other)
    } else {
        format!("{both}.")
    }
}

/// When Spot capacity is short.
fn marks(look: &Look) -> String {
    let steps = to_i64(look.curves.iter().map(Vec::len).max().unwrap_or_default());
    let at = |step: i64| look.lasts.times(step).scaled_down(1, steps);
    let hit = |step: i64| {
        let mut short = look.short.iter();
        short.any(|(from, until)| *from < at(step + 1) && at(step) < *until)
    };
    let text: String = (0..steps).map(|step| if hit(step) { '×' } else { ' ' }).collect();
    text.trim_end().to_owned()
}

fn row(standing: &Standing) -> String {
    let span = |span: Option<Span>| span.map_or_else(|| "-".to_owned(), whole);
    format!(
        "{:>8} {:>8} {:>10} {:>9} {:>7} {:>9}",
        standing.started,
        standing.waiting,
        span(standing.mean),
        span(standing.p95),
        standing.there.get(),
        dollars(standing)
    )
}

fn dollars(standing: &Standing) -> String {
    format!("${:.2}", standing.cost.usd())
}

fn latest(look: &Look) -> String {
    match &look.latest {
        Some((at, sentence)) => format!(" The latest, at {}: {sentence}", hours(*at)),
        None => String::new(),
    }
}

/// Without fractions of a second.
fn whole(span: Span) -> String {
    Span::from_seconds(span.scaled_up(1, 1_000).millis()).to_string()
}

/// Hours and minutes.
pub(super) fn hours(span: Span) -> String {
    let minutes = span.millis() / 60_000;
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

fn spark(curve: &[Option<Span>], top: Span) -> String {
    let block = |wait: &Option<Span>| {
        let Some(wait) = wait else { return ' ' };
        let eighths = wait.min(&top).scaled_up(8, top.millis()).millis();
        BLOCKS[to_usize(eighths.clamp(1, 8) - 1).min(7)]
    };
    let text: String = curve.iter().map(block).collect();
    text.trim_end().to_owned()
}

/// Lines of at most so many columns. Lines of words, the last paragraph, go on below; others are cut.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words = line.starts_with("  ") && line.ends_with(['.', ':']) || line.contains("updates sent");
        if line.chars().count() <= width || !words {
            out.extend(line.chars().take(width));
            out.push('\n');
            continue;
        }
        let mut lines = vec![String::from(" ")];
        for word in line.split_whitespace() {
            let fits = lines
                .last()
                .is_some_and(|last| last.chars().count() + 1 + word.chars().count() <= width);
            if !fits {
                lines.push(String::from(" "));
            }
            if let Some(last) = lines.last_mut() {
                last.push(' ');
                last.push_str(word);
            }
        }
        for line in lines.iter().take(DECISION_LINES) {
            out.extend(line.chars().take(width));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::twin::figures::Both;
    use crate::units::{MicroUsd, Vcpus};

    pub(in super::super) fn look() -> Look {
        let standing = |started: usize, wait: i64| Standing {
            started,
            waiting: 4,
            mean: Some(Span::from_seconds(wait)),
            p95: None,
            there: Vcpus::new(96),
            cost: MicroUsd::new(2_340_000),
        };
        let seconds = |wait: i64| Some(Span::from_seconds(wait));
        Look {
            passed: Span::from_minutes(85),
            lasts: Span::from_minutes(240),
            standings: [standing(120, 10), standing(110, 200)],
            both: Both {
                jobs: 108,
                mean: [Span::from_millis(9_500), Span::from_seconds(200)],
            },
            curves: [
                vec![seconds(10), None, seconds(0), None],
                vec![seconds(300), None, seconds(1_500), None],
            ],
            short: vec![(Span::from_minutes(60), Span::from_minutes(120))],
            updates: 12,
            latest: Some((
                Span::from_minutes(80),
                "`spot` is asked for 32 vCPUs more, because messages wait.".to_owned(),
            )),
        }
    }

    #[test]
    fn the_screen_shows_two_numbers_two_curves_and_that_it_is_simulated() {
        let text = screen(&look(), "recent", 100);
        for words in [
            "SIMULATED with model `recent`: 1:25 of 4:00 hours; 108 jobs have started in both",
            "jobs wait 10s with autotune, 3m 20s with AWS Batch alone: 21.1 times as fast.",
            "  autotune             120        4        10s         -      96     $2.34\n",
            "  at list prices: $2.34 and $2.34, 1.0 times the cost.\n",
            "full height 4m and more\n",
            "  autotune        ▁ ▁\n",
            "  AWS Batch alone █ █\n",
            "  Spot runs dry    ×\n",
            "                  0:00                    2:00                4:00\n",
            "12 updates sent. The latest, at 1:20: `spot` is asked",
        ] {
            assert!(text.contains(words), "`{words}` is missing in\n{text}");
        }
        assert!(line(&look()).starts_with("simulated 1:25 of 4:00 hours: jobs wait 10s"));
        assert!(summary(&look(), "recent").starts_with("SIMULATED with model `recent`, assumed until calibrated"));
    }

    /// A line that wraps by itself would leave remains when the screen is drawn anew.
    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [20, 37, 60, 80, 200] {
            let text = screen(&look(), "recent", width);
            assert!(
                text.lines().all(|line| line.chars().count() <= width),
                "{width}:\n{text}"
            );
        }
    }

    #[test]
    fn worse_is_said_to_be_worse_and_nothing_to_be_nothing() {
        let mut look = look();
        look.both.mean.reverse();
        assert!(headline(&look).ends_with("21.1 times as slow."), "{}", headline(&look));
        let nothing = screen(&Look::default(), "recent", 80);
        assert!(nothing.contains("no job has started in both accounts yet"), "{nothing}");
    }
}
