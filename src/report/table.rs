//! A comparison for people.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};

use super::{Report, TRUST, plain, seed_words, view_words};
use crate::simulate::compare::Compared;
use crate::simulate::metric::{Metric, Unit};
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
    ("start\nlatency\np50", |scope, tested| {
        scope.mean(tested, "start_latency_p50")
    }),
    ("start\nlatency\np95", |scope, tested| {
        scope.mean(tested, "start_latency_p95")
    }),
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
                format!(
                    "{mean} ±{}",
                    metric.unit.show_beside(interval.high - interval.mean, interval.mean)
                )
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
    let (queues, idle) = queues(report);
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
    if !idle.is_empty() {
        let idle: Vec<String> = idle.iter().map(|queue| plain(queue)).collect();
        let _ = writeln!(text, "* queues without jobs: {}", idle.join(", "));
    }
    for footnote in footnotes(report) {
        let _ = writeln!(text, "* {footnote}");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Queues with jobs under some policy, and queues without any.
fn queues<'a>(report: &Report<'a>) -> (Vec<&'a str>, Vec<&'a str>) {
    let runs = || report.compared.iter().flat_map(|candidate| &candidate.runs);
    let names = runs().map(|run| &run.queues).max_by_key(|queues| queues.len());
    let names = names.into_iter().flatten().map(|waits| waits.queue.as_str());
    let wait = Metric::named("wait_mean");
    names.partition(|name| runs().any(|run| wait.is_some_and(|wait| wait.of(run, Some(name)).is_some())))
}

/// Columns that hold nothing at all are left out.
fn lay_out(heads: &[&str], names: &[Vec<String>], columns: &[Column], cells: &[Vec<String>]) -> String {
    let is_told = |position: usize| {
        cells
            .iter()
            .any(|row| row.get(position).is_some_and(|cell| cell != "-"))
    };
    let told: Vec<usize> = (0..columns.len()).filter(|position| is_told(*position)).collect();
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-')))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(TABLE_WIDTH)
        .set_header(
            heads.iter().chain(
                told.iter()
                    .filter_map(|position| columns.get(*position))
                    .map(|(head, _)| head),
            ),
        );
    for (name, row) in names.iter().zip(cells) {
        let told = told.iter().filter_map(|position| row.get(*position));
        table.add_row(name.iter().chain(told));
    }
    for (position, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
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
    let (plural, means) = match report.seeds.len() {
        0 | 1 => ("", ""),
        _ => ("s", " (means, ± to the ends of their 95 % interval)"),
    };
    format!(
        "simulated with model `{}` of AWS Batch, {TRUST}; view {}\nseed{plural} {}{means}; scenario {}; trace {}",
        plain(report.model),
        view_words(report.view),
        seed_words(report.seeds),
        plain(report.scenario),
        plain(report.trace),
    )
}

/// What figures hide: jobs that are not in them, or not whole, and what policies say of themselves.
fn footnotes(report: &Report<'_>) -> Vec<String> {
    let kinds = [
        (
            "never_fits",
            "jobs that fit no environment of their queue and are in no figure of waits",
        ),
        ("failed", "jobs that FAILED"),
        ("open", "jobs still open at the end, which count with their wait so far"),
        (
            "leases_expired",
            "raised levels that were restored because their lease ran out",
        ),
    ];
    let mut notes = Vec::new();
    for (name, what) in kinds {
        // Policies with the same number stand together.
        let mut by_number: Vec<(String, Vec<String>)> = Vec::new();
        for candidate in report.compared {
            let Some(interval) = Metric::named(name).and_then(|metric| metric.over(&candidate.runs, None)) else {
                continue;
            };
            let number = Unit::Count.show(interval.mean);
            match by_number.iter_mut().find(|(known, _)| *known == number) {
                Some((_, names)) => names.push(plain(&candidate.name)),
                None => by_number.push((number, vec![plain(&candidate.name)])),
            }
        }
        match by_number.as_slice() {
            [(number, _)] if number == "0" => {}
            [(number, _)] => notes.push(format!("{what}: {number} under every policy")),
            [] => {}
            numbers => {
                let numbers = numbers
                    .iter()
                    .map(|(number, names)| format!("{number} under {}", names.join(", ")));
                notes.push(format!("{what}: {}", numbers.collect::<Vec<_>>().join("; ")));
            }
        }
    }
    notes.extend(report.unknown_queues());
    for candidate in report.compared {
        let name = plain(&candidate.name);
        notes.extend(candidate.notes.iter().map(|note| format!("{name}: {}", plain(note))));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use crate::simulate::summary::Quantiles;

    #[test]
    fn one_seed_and_one_queue() {
        let compared = samples::compared(1, &[]);
        insta::assert_snapshot!(samples::report(&compared, &[7]).table(), @r"
        How long jobs waited

        policy     wait  wait  wait  wait  wait     wait  avoidable    start    start  <= 10 s
                   mean   p50   p90   p95   p99      max        p95  latency  latency
                                                                         p50      p95
        ---------------------------------------------------------------------------------------
        reactive  12.5s    8s   30s   45s   90s   2m 10s      22.5s      16s      90s    60.0%
        stock      100s   64s    4m    6m   12m  17m 22s         3m      72s   6m 45s     7.5%
        simulated with model `recent` of AWS Batch, assumed until calibrated; view recent (environments every 30s, hints after 1.2s)
        seed 7; scenario two-queues.toml; trace 1,000 jobs over 2h

        What it cost

        policy     cost  cost /  vCPU-h  vCPU-h   vCPU-h  launches    inter-  retries    updates  makespan
                          stock    used    idle  booting  (failed)  ruptions           (refused)      mean
        ---------------------------------------------------------------------------------------------------
        reactive  $1.38   1.25x    40.0    10.0      2.2    24 (2)         3        3     12 (1)   20m 50s
        stock     $1.11   1.00x    40.0     1.2      2.2    24 (2)         3        3          0    2h 46m
        simulated with model `recent` of AWS Batch, assumed until calibrated; view recent (environments every 30s, hints after 1.2s)
        seed 7; scenario two-queues.toml; trace 1,000 jobs over 2h

        * jobs that fit no environment of their queue and are in no figure of waits: 4 under every policy
        * jobs that FAILED: 10 under reactive; 12 under stock
        * reactive: environment `fallback` is not covered
        ");
    }

    #[test]
    fn several_seeds_and_queues() {
        let compared = samples::compared(3, &["spot-queue", "on-demand"]);
        insta::assert_snapshot!(samples::report(&compared, &[1, 2, 3]).table(), @r"
        How long jobs waited

        policy           wait   wait    wait           wait     wait    wait      avoidable    start    start  <= 10 s
                         mean    p50     p90            p95      p99     max            p95  latency  latency
                                                                                                 p50      p95
        ---------------------------------------------------------------------------------------------------------------
        reactive  13.7s ±3.1s   8.8s     33s   49.5s ±11.1s      99s  2m 23s    24.7s ±5.5s    16.8s    94.5s    54.8%
        stock     110s ±24.8s  70.4s  4m 24s  6m 36s ±89.4s  13m 12s  19m 6s  3m 18s ±44.7s    78.4s   7m 21s     6.9%
        simulated with model `recent` of AWS Batch, assumed until calibrated; view recent (environments every 30s, hints after 1.2s)
        seeds 1-3 (means, ± to the ends of their 95 % interval); scenario two-queues.toml; trace 1,000 jobs over 2h

        What it cost

        policy            cost  cost /  vCPU-h  vCPU-h   vCPU-h  launches    inter-  retries    updates  makespan
                                 stock    used    idle  booting  (failed)  ruptions           (refused)      mean
        ----------------------------------------------------------------------------------------------------------
        reactive  $1.52 ±$0.34   1.25x    40.0     9.1      2.2    24 (2)         3        3     12 (1)   22m 55s
        stock     $1.22 ±$0.27   1.00x    40.0     1.1      2.2    24 (2)         3        3          0     3h 3m
        simulated with model `recent` of AWS Batch, assumed until calibrated; view recent (environments every 30s, hints after 1.2s)
        seeds 1-3 (means, ± to the ends of their 95 % interval); scenario two-queues.toml; trace 1,000 jobs over 2h

        How long jobs waited, by queue

        queue       policy            wait   wait    wait           wait     wait     wait      avoidable    start    start  <= 10 s
                                      mean    p50     p90            p95      p99      max            p95  latency  latency
                                                                                                               p50      p95
        -----------------------------------------------------------------------------------------------------------------------------
        spot-queue  reactive   13.7s ±3.1s   8.8s     33s   49.5s ±11.1s      99s   2m 23s    24.7s ±5.5s    16.8s    94.5s    54.8%
        spot-queue  stock      110s ±24.8s  70.4s  4m 24s  6m 36s ±89.4s  13m 12s   19m 6s  3m 18s ±44.7s    78.4s   7m 21s     6.9%
        on-demand   reactive   26.2s ±3.1s  16.8s     63s   94.5s ±11.1s    3m 9s   4m 33s    47.2s ±5.5s    24.8s   2m 19s    28.6%
        on-demand   stock     2m 2s ±24.8s  78.4s  4m 54s  7m 21s ±89.4s  14m 42s  21m 16s  3m 40s ±44.7s    86.4s    8m 6s     6.1%
        simulated with model `recent` of AWS Batch, assumed until calibrated; view recent (environments every 30s, hints after 1.2s)
        seeds 1-3 (means, ± to the ends of their 95 % interval); scenario two-queues.toml; trace 1,000 jobs over 2h

        * jobs that fit no environment of their queue and are in no figure of waits: 4 under every policy
        * jobs that FAILED: 10 under reactive; 12 under stock
        * reactive: environment `fallback` is not covered
        ");
    }

    #[test]
    fn a_queue_without_jobs_is_named_and_has_no_rows() {
        let mut compared = samples::compared(1, &["busy", "quiet"]);
        for run in compared.iter_mut().flat_map(|candidate| &mut candidate.runs) {
            run.queues[1].started = 0;
            run.queues[1].wait = Quantiles::default();
        }
        let text = samples::report(&compared, &[1]).table();
        assert_eq!(text.matches("quiet").count(), 1, "{text}");
        assert!(text.contains("* queues without jobs: quiet\n"), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.starts_with("busy ")).count(),
            2,
            "{text}"
        );
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
        for line in text.lines().filter(|line| !line.starts_with('*')) {
            assert!(line.chars().count() <= usize::from(TABLE_WIDTH), "{line}");
        }
        assert!(!text.contains("..."), "{text}");
    }
}
