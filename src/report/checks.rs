//! What a check found, for people.

use std::fmt::Write as _;

use super::plain;
use super::status::sheet;
use super::table::TABLE_WIDTH;
use crate::check::{Report, Severity};

/// Findings as a table, each with its evidence and its fix below, then what could not be checked. `width`: of the terminal, if there
/// is one.
pub fn checks(report: &Report, width: Option<u16>) -> String {
    let mut text = String::new();
    let width = width.unwrap_or(TABLE_WIDTH).clamp(60, TABLE_WIDTH);
    if !report.findings.is_empty() {
        let rows = report.findings.iter().map(|finding| {
            vec![
                finding.severity.to_string(),
                finding.rule.code.to_owned(),
                plain(&finding.subject),
                plain(&finding.message),
            ]
        });
        sheet(
            &["severity", "code", "about", "found"],
            0..0,
            rows.collect(),
            width,
            &mut text,
        );
    }
    // Not in cells: a command that is wrapped cannot be copied.
    for finding in &report.findings {
        let (code, name) = (finding.rule.code, finding.rule.name);
        let _ = writeln!(text, "\n{code} {name}: {}", plain(&finding.subject));
        for (name, value) in &finding.evidence {
            let _ = writeln!(text, "  {name}: {}", plain(value));
        }
        let _ = writeln!(text, "  fix: {}", plain(&finding.fix));
    }
    if !report.could_not_check.is_empty() {
        text.push('\n');
    }
    for entry in &report.could_not_check {
        let (codes, subject) = (shorter(&entry.codes), plain(&entry.subject));
        let _ = writeln!(text, "could not check {codes} of {subject}: {}", plain(&entry.because));
    }
    let of = |severity: Severity| {
        report
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let _ = writeln!(
        text,
        "\n{} errors, {} warnings, {} infos; {} could not be checked",
        of(Severity::Error),
        of(Severity::Warning),
        of(Severity::Info),
        report.could_not_check.len()
    );
    text
}

/// `AT101, AT102` or, if there are many, `AT101 to AT711 (61 rules)`.
fn shorter(codes: &[&str]) -> String {
    match codes {
        [first, .., last] if codes.len() > 4 => format!("{first} to {last} ({} rules)", codes.len()),
        _ => codes.join(", "),
    }
}
