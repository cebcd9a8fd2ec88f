//! A comparison as CSV, for spreadsheets and notebooks.

use std::io;

use super::{Report, view_name};
use crate::simulate::metric::Metric;

/// Before the figures.
const KEYS: [&str; 3] = ["policy", "seed", "queue"];
/// After the figures.
const PROVENANCE: [&str; 5] = ["source", "model", "view", "scenario", "trace"];

/// The header and all rows. Figures are written with all their digits.
pub(super) fn render(report: &Report<'_>) -> io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let figures = Metric::ALL.iter().map(Metric::column);
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    writer.write_record(names(&KEYS).into_iter().chain(figures).chain(names(&PROVENANCE)))?;
    let provenance = [
        "simulated",
        report.model,
        view_name(report.view),
        report.scenario,
        report.trace,
    ];
    for candidate in report.compared {
        for (seed, run) in report.seeds.iter().zip(&candidate.runs) {
            let seed = seed.to_string();
            let queues = run.queues.iter().map(|waits| Some(waits.queue.as_str()));
            for queue in std::iter::once(None).chain(queues) {
                let written = |figure: Option<f64>| figure.map_or_else(String::new, |figure| figure.to_string());
                let figures = Metric::ALL.iter().map(|metric| written(metric.of(run, queue)));
                let keys = [candidate.name.as_str(), &seed, queue.unwrap_or_default()];
                let named = |names: &[&str]| names.iter().map(|name| cell(name)).collect::<Vec<_>>();
                writer.write_record(named(&keys).into_iter().chain(figures).chain(named(&provenance)))?;
            }
        }
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// A name from outside as a cell: what cannot be seen is spelt out, and what a spreadsheet would take for a formula begins with
/// an apostrophe, which makes it text there.
pub(super) fn cell(name: &str) -> String {
    let written = super::plain(name);
    if written.starts_with(['=', '+', '-', '@']) {
        format!("'{written}")
    } else {
        written
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::hostile;
    use crate::report::samples;

    #[test]
    fn columns_stay_as_they_are() {
        let text = samples::report(&[], &[]).csv().unwrap();
        let columns: Vec<&str> = text.trim_end().split(',').collect();
        insta::assert_snapshot!(columns.join("\n"), @r"
        policy
        seed
        queue
        wait_mean_seconds
        wait_p50_seconds
        wait_p90_seconds
        wait_p95_seconds
        wait_p99_seconds
        wait_max_seconds
        avoidable_wait_mean_seconds
        avoidable_wait_p50_seconds
        avoidable_wait_p90_seconds
        avoidable_wait_p95_seconds
        avoidable_wait_p99_seconds
        avoidable_wait_max_seconds
        start_latency_mean_seconds
        start_latency_p50_seconds
        start_latency_p90_seconds
        start_latency_p95_seconds
        start_latency_p99_seconds
        start_latency_max_seconds
        within_10s_ratio
        started
        cost_usd
        used_vcpu_hours
        idle_vcpu_hours
        booting_vcpu_hours
        launches
        failed_launches
        interruptions
        retries
        updates
        refused
        looks
        leases_expired
        makespan_mean_seconds
        makespan_p50_seconds
        makespan_p90_seconds
        makespan_p95_seconds
        makespan_p99_seconds
        makespan_max_seconds
        succeeded
        failed
        never_fits
        open
        source
        model
        view
        scenario
        trace
        ");
    }

    #[test]
    fn a_row_for_each_policy_and_seed_and_each_queue_with_all_digits() {
        let compared = samples::compared(2, &["spot", "say \"hi\", twice"]);
        let text = samples::report(&compared, &[3, 9]).csv().unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let at = |name: &str| header.iter().position(|column| column == name).unwrap();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let keys: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {} {}", &row[0], &row[1], &row[2]))
            .collect();
        assert_eq!(rows.len(), 2 * 2 * 3);
        assert_eq!(
            keys[..4],
            [
                "reactive 3 ",
                "reactive 3 spot",
                "reactive 3 say \"hi\", twice",
                "reactive 9 "
            ]
        );
        assert_eq!(&rows[0][at("cost_usd")], "1.38194");
        assert_eq!(&rows[0][at("wait_max_seconds")], "130.25");
        assert_eq!(&rows[1][at("cost_usd")], "", "a queue has no cost of its own");
        assert_eq!((&rows[0][at("source")], &rows[0][at("model")]), ("simulated", "recent"));
    }

    #[test]
    fn what_is_absent_is_empty_and_not_zero() {
        let mut compared = samples::compared(1, &[]);
        compared[0].runs[0].makespan = crate::simulate::summary::Quantiles::default();
        let text = samples::report(&compared, &[1]).csv().unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let at = reader
            .headers()
            .unwrap()
            .iter()
            .position(|column| column == "makespan_mean_seconds")
            .unwrap();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((&rows[0][at], &rows[1][at]), ("", "10000"));
    }

    #[test]
    fn no_name_is_a_formula_or_leaves_its_cell() {
        for name in hostile::corpus() {
            let compared = samples::compared(1, &["q", &name]);
            let mut report = samples::report(&compared, &[3]);
            report.trace = &name;
            let text = report.csv().unwrap();
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            assert_eq!(rows.len(), 2 * 3, "{name:?}");
            let cells = rows.iter().flatten().filter(|cell| cell.contains(hostile::MARK));
            assert_eq!(cells.clone().count(), 6 + 2, "{name:?}");
            for cell in cells {
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
                assert!(!hostile::has_invisible(cell) && !cell.contains('\n'), "{cell:?}");
            }
        }
    }
}
