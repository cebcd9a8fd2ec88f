//! A comparison for people.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};

use super::{Report, TRUST, plain, seed_words, view_words};
use crate::simulate::compare::Compared;
use crate::simulate::metric::Metric;
use crate::simulate::summary::Interval;

/// The widest a table gets: what fits beside nothing else on a common screen. Longer cells are wrapped.
pub(super) const TABLE_WIDTH: u16 = 140;

/// The widest a column of names gets before it is wrapped.
const NAME_WIDTH: u16 = 24;

/// What a cell is made from, besides its candidate.
struct Scope<'a> {
    queue: Option<&'a str>,
    stock: Option<&'a Compared>,
}

/// A heading and how the cell under it is made.
type Column = (&'static str, fn(&Scope<'_>, &Compared) -> String);

const WAITS: [Column; 10] = [
    ("wait\nmean", |scope, tested| scope.spread(tested, "wait_mean")),
    ("wait\np50", |scope, tested| scope.mean(tested, "wait_p50")),
    ("wait\np90", |scope, tested| scope.mean(tested, "wait_p90")),
    ("wait\np95", |scope, tested| scope.spread(tested, "wait_p95")),
    ("wait\np99", |scope, tested| scope.mean(tested, "wait_p99")),
    ("wait\nmax", |scope, tested| scope.mean(tested, "wait_max")),
    ("avoidable\np95", |scope, tested| {
        scope.spread(tested, "avoidable_wait_p95")
    }),
    ("latency\np50", |scope, tested| scope.mean(tested, "start_latency_p50")),
    ("latency\np95", |scope, tested| scope.mean(tested, "start_latency_p95")),
    ("<= 10 s", |scope, tested| scope.mean(tested, "within_10s")),
];

const COSTS: [Column; 10] = [
    ("cost", |scope, tested| scope.spread(tested, "cost")),
    ("cost /\nstock", |scope, tested| scope.to_stock(tested, "cost")),
    ("vCPU-h\nused", |scope, tested| scope.mean(tested, "used")),
    ("vCPU-h\nidle", |scope, tested| scope.mean(tested, "idle")),
    ("vCPU-h\nbooting", |scope, tested| scope.mean(tested, "booting")),
    ("launches\n(failed)", |scope, tested| {
        scope.with_part(tested, "launches", "failed_launches")
    }),
    ("inter-\nruptions", |scope, tested| scope.mean(tested, "interruptions")),
    ("retries", |scope, tested| scope.mean(tested, "retries")),
    ("updates\n(refused)", |scope, tested| {
        scope.with_part(tested, "updates", "refused")
    }),
    ("makespan\nmean", |scope, tested| scope.mean(tested, "makespan_mean")),
];

impl Scope<'_> {
    fn over(&self, tested: &Compared, name: &str) -> Option<(&'static Metric, Interval)> {
        let metric = Metric::named(name)?;
        Some((metric, metric.over(&tested.runs, self.queue)?))
    }

    /// The mean over seeds.
    fn mean(&self, tested: &Compared, name: &str) -> String {
        self.over(tested, name)
            .map_or_else(|| "-".to_owned(), |(metric, interval)| metric.unit.show(interval.mean))
    }

    /// The mean over seeds and, with several seeds, half of its interval.
    fn spread(&self, tested: &Compared, name: &str) -> String {
        let mean = self.mean(tested, name);
        match self.over(tested, name) {
            Some((metric, interval)) if tested.runs.len() > 1 => {
                format!("{mean} ±{}", metric.unit.show(interval.high - interval.mean))
            }
            _ => mean,
        }
    }

    /// The mean and, where it is not zero, a part of it in brackets.
    fn with_part(&self, tested: &Compared, name: &str, part: &str) -> String {
        let mean = self.mean(tested, name);
        match self.over(tested, part) {
            Some((metric, interval)) if interval.mean > 0.0 => format!("{mean} ({})", metric.unit.show(interval.mean)),
            _ => mean,
        }
    }

    /// How many times as much as stock.
    fn to_stock(&self, tested: &Compared, name: &str) -> String {
        let mean = |candidate| self.over(candidate, name).map(|(_, interval)| interval.mean);
        match (mean(tested), self.stock.and_then(mean)) {
            (Some(tested), Some(stock)) if stock > 0.0 => format!("{:.2}x", tested / stock),
            _ => "-".to_owned(),
        }
    }
}

/// All tables, each with its provenance, and what has to be known beside them.
pub(super) fn render(report: &Report<'_>) -> String {
    let stock = report.compared.iter().find(|candidate| candidate.name == "stock");
    let all = Scope { queue: None, stock };
    let rows = |scope: &Scope<'_>, columns: &[Column]| -> Vec<Vec<String>> {
        let row = |candidate| columns.iter().map(|(_, cell)| cell(scope, candidate)).collect();
        report.compared.iter().map(row).collect()
    };
    let names: Vec<Vec<String>> = report
        .compared
        .iter()
        .map(|candidate| vec![plain(&candidate.name)])
        .collect();
    let mut text = String::new();
    let mut add = |title: &str, heads: &[&str], names: &[Vec<String>], columns: &[Column], cells: &[Vec<String>]| {
        let table = lay_out(heads, names, columns, cells);
        let _ = write!(text, "{title}\n\n{table}\n{}\n\n", provenance(report));
    };
    add("How long jobs waited", &["policy"], &names, &WAITS, &rows(&all, &WAITS));
    add("What it cost", &["policy"], &names, &COSTS, &rows(&all, &COSTS));
    let queues = queues(report);
    if !queues.is_empty() {
        let (mut labels, mut cells) = (Vec::new(), Vec::new());
        for queue in queues {
            cells.extend(rows(
                &Scope {
                    queue: Some(queue),
                    stock,
                },
                &WAITS,
            ));
            labels.extend(names.iter().map(|name| [vec![plain(queue)], name.clone()].concat()));
        }
        add(
            "How long jobs waited, by queue",
            &["queue", "policy"],
            &labels,
            &WAITS,
            &cells,
        );
    }
    for footnote in footnotes(report) {
        let _ = writeln!(text, "* {footnote}");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn queues<'a>(report: &Report<'a>) -> Vec<&'a str> {
    let runs = report.compared.iter().flat_map(|candidate| candidate.runs.first());
    let queues = runs.map(|run| &run.queues).max_by_key(|queues| queues.len());
    queues.into_iter().flatten().map(|waits| waits.queue.as_str()).collect()
}

/// Columns that hold nothing at all are left out.
fn lay_out(heads: &[&str], names: &[Vec<String>], columns: &[Column], cells: &[Vec<String>]) -> String {
    let is_told = |position: usize| {
        cells
            .iter()
            .any(|row| row.get(position).is_some_and(|cell| cell != "-"))
    };
    let told: Vec<usize> = (0..columns.len()).filter(|position| is_told(*position)).collect();
    let heading = |text: &str| Cell::new(text).set_alignment(CellAlignment::Center);
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-')))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(TABLE_WIDTH)
        .set_header(
            (heads.iter().map(|head| Cell::new(head))).chain(
                told.iter()
                    .filter_map(|position| columns.get(*position))
                    .map(|(head, _)| heading(head)),
            ),
        );
    for (name, row) in names.iter().zip(cells) {
        let told = told.iter().filter_map(|position| row.get(*position));
        table.add_row(name.iter().chain(told));
    }
    for (position, column) in table.column_iter_mut().enumerate() {
        if position < heads.len() {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(NAME_WIDTH)));
        } else {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Two lines: what the figures are worth, and what they were made from.
fn provenance(report: &Report<'_>) -> String {
    let (plural, spread) = match report.seeds.len() {
        0 | 1 => ("", String::new()),
        count => (
            "s",
            format!("; means of {count} seeds, ± to the ends of their 95 % interval"),
        ),
    };
    format!(
        "simulated with model `{}` of AWS Batch, {TRUST}; seed{plural} {}; view {}{spread}\nscenario {}; trace {}",
        plain(report.model),
        seed_words(report.seeds),
        view_words(report.view),
        plain(report.scenario),
        plain(report.trace),
    )
}

/// What figures hide: jobs that are not in them, or not whole, and what policies say of themselves.
fn footnotes(report: &Report<'_>) -> Vec<String> {
    let kinds = [
        (
            "never_fits",
            "jobs fit no environment of their queue and are left out of all waits",
        ),
        ("failed", "jobs FAILED"),
        (
            "open",
            "jobs were still open at the end; those that waited count with their wait so far",
        ),
        (
            "leases_expired",
            "raised levels were restored because their lease ran out",
        ),
    ];
    let mut notes = Vec::new();
    for (name, sentence) in kinds {
        // The same number under every policy is said once.
        let mut by_number: Vec<(String, Vec<String>)> = Vec::new();
        for candidate in report.compared {
            let Some((metric, interval)) = (Scope {
                queue: None,
                stock: None,
            })
            .over(candidate, name) else {
                continue;
            };
            let number = metric.unit.show(interval.mean);
            match by_number.iter_mut().find(|(known, _)| *known == number) {
                Some((_, names)) => names.push(plain(&candidate.name)),
                None => by_number.push((number, vec![plain(&candidate.name)])),
            }
        }
        for (number, names) in by_number.iter().filter(|(number, _)| number != "0") {
            let whom = if by_number.len() == 1 {
                "every policy".to_owned()
            } else {
                names.join(", ")
            };
            notes.push(format!("{whom}: {number} {sentence}"));
        }
    }
    for candidate in report.compared {
        notes.extend(
            candidate
                .notes
                .iter()
                .map(|note| format!("{}: {}", plain(&candidate.name), plain(note))),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn one_seed_and_one_queue() {
        let compared = samples::compared(1, &[]);
        insta::assert_snapshot!(samples::report(&compared, &[7]).table());
    }

    #[test]
    fn several_seeds_and_queues() {
        let compared = samples::compared(3, &["spot-queue", "on-demand"]);
        insta::assert_snapshot!(samples::report(&compared, &[1, 2, 3]).table());
    }

    #[test]
    fn every_column_finds_its_figure() {
        let compared = samples::compared(2, &["a", "b"]);
        let scope = Scope {
            queue: None,
            stock: compared.get(1),
        };
        for (head, cell) in WAITS.iter().chain(&COSTS) {
            assert_ne!(cell(&scope, &compared[0]), "-", "{head}");
        }
    }

    #[test]
    fn long_figures_and_names_are_wrapped_and_not_cut() {
        let mut compared = samples::compared(3, &["a-queue-with-a-name-that-nobody-would-want-to-type"]);
        compared[0].name = "a-policy-with-a-name-that-is-far-longer-than-any-screen-is-wide".repeat(2);
        for run in compared.iter_mut().flat_map(|candidate| &mut candidate.runs) {
            run.all.wait.mean *= 1e5;
            run.all.wait.p95 *= 1e5;
            run.cost = run.cost.times(100_000);
        }
        let text = samples::report(&compared, &[1, 2, 3]).table();
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(TABLE_WIDTH), "{line}");
        }
        assert!(!text.contains("..."), "{text}");
    }
}
