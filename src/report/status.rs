//! The daemon at one moment, for people: environments, queues, SQS sources, and why.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::plain;
use super::table::TABLE_WIDTH;
use crate::daemon::snapshot::{EnvironmentStatus, QueueStatus, Snapshot};
use crate::units::{Span, Vcpus};

/// A snapshot as text.
pub fn status(snapshot: &Snapshot) -> String {
    let mut text = head(snapshot);
    let mut table = sheet(&[
        "environment",
        "base",
        "min",
        "desired",
        "max",
        "there",
        "used",
        "coming",
        "wanted",
        "lease until",
        "guard",
        "read",
    ]);
    for environment in &snapshot.environments {
        table.add_row(environment_row(environment));
    }
    align(&mut table, 1..9);
    let _ = writeln!(text, "\n{table}");
    let mut table = sheet(&[
        "queue", "RUNNABLE", "vCPUs", "placed", "vCPUs", "PENDING", "oldest", "read",
    ]);
    for queue in &snapshot.queues {
        table.add_row(queue_row(queue));
    }
    align(&mut table, 1..8);
    let _ = writeln!(text, "\n{table}");
    if !snapshot.sqs.is_empty() {
        let mut table = sheet(&[
            "SQS source",
            "queue",
            "visible",
            "in flight",
            "delayed",
            "oldest",
            "read",
        ]);
        for source in &snapshot.sqs {
            table.add_row(vec![
                plain(&source.name),
                plain(&source.queue),
                source.visible.to_string(),
                source.in_flight.to_string(),
                source.delayed.to_string(),
                ago(source.oldest),
                ago(source.age),
            ]);
        }
        align(&mut table, 2..7);
        let _ = writeln!(text, "\n{table}");
    }
    reasons(snapshot, &mut text);
    text
}

fn head(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "autotune {} in {} {}, {}\n",
        plain(&snapshot.version),
        plain(&snapshot.account),
        plain(&snapshot.region),
        snapshot.at
    );
    if snapshot.dry_run {
        text.push_str("dry run: nothing is changed until `apply = true`\n");
    } else if !snapshot.leads {
        text.push_str("another process leads: nothing is changed by this one\n");
    }
    match snapshot.planned_at {
        Some(at) => {
            let _ = writeln!(text, "last planned {} ago", snapshot.at.since(at));
        }
        None => text.push_str("nothing has been planned yet\n"),
    }
    let sight = if snapshot.events {
        "events wake it"
    } else {
        "no events: queues are polled every minute"
    };
    let _ = writeln!(text, "{sight}; {:.0} API calls a minute", snapshot.calls_per_minute);
    if let Some(why) = &snapshot.reload_refused {
        let _ = writeln!(
            text,
            "the changed policies were refused, the old ones stay:\n{}",
            plain(why)
        );
    }
    for quota in &snapshot.quotas {
        let known = |vcpus: Option<Vcpus>| vcpus.map_or_else(|| "unknown".to_owned(), |vcpus| vcpus.to_string());
        let _ = writeln!(
            text,
            "quota {}: limit {}, used by others {}",
            plain(&quota.code),
            known(quota.limit_vcpus),
            known(quota.used_by_others_vcpus)
        );
    }
    text
}

fn environment_row(environment: &EnvironmentStatus) -> Vec<String> {
    let mut name = plain(&environment.name);
    if !environment.steered {
        name.push_str(" (watched)");
    } else if !environment.usable {
        name.push_str(" (not VALID and ENABLED)");
    } else if environment.updating {
        name.push_str(" (UPDATING)");
    }
    let number = |vcpus: Vcpus| vcpus.get().to_string();
    vec![
        name,
        number(environment.base_vcpus),
        number(environment.min_vcpus),
        number(environment.desired_vcpus),
        number(environment.max_vcpus),
        number(environment.there_vcpus),
        number(environment.used_vcpus),
        number(environment.on_its_way_vcpus),
        number(environment.wanted_vcpus),
        environment
            .lease_expires
            .map_or_else(|| "-".to_owned(), |at| at.to_string()),
        if environment.guarded { "armed" } else { "-" }.to_owned(),
        ago(environment.age),
    ]
}

fn queue_row(queue: &QueueStatus) -> Vec<String> {
    let least = if queue.at_least { ">= " } else { "" };
    let about = if queue.sampled { "~" } else { "" };
    vec![
        plain(&queue.name),
        format!("{least}{}", queue.runnable_jobs),
        format!("{least}{about}{}", queue.runnable_vcpus.get()),
        queue.placed_jobs.to_string(),
        queue.placed_vcpus.get().to_string(),
        queue.pending_jobs.to_string(),
        ago(queue.oldest),
        ago(queue.age),
    ]
}

/// Why everything is as it is; what people ordered is among it.
fn reasons(snapshot: &Snapshot, text: &mut String) {
    let mut lines: Vec<String> = Vec::new();
    for environment in &snapshot.environments {
        lines.extend(environment.reasons.iter().map(|told| plain(&told.sentence)));
    }
    for queue in &snapshot.queues {
        if let Some((why, since)) = &queue.blocked {
            lines.push(format!("{}: blocked since {since}: {}", plain(&queue.name), plain(why)));
        }
        lines.extend(queue.reasons.iter().map(|told| plain(&told.sentence)));
    }
    lines.extend(
        snapshot
            .sqs
            .iter()
            .flat_map(|source| &source.reasons)
            .map(|told| plain(&told.sentence)),
    );
    lines.dedup();
    if !lines.is_empty() {
        text.push('\n');
    }
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
}

fn ago(span: Option<Span>) -> String {
    span.map_or_else(|| "never".to_owned(), |span| span.to_string())
}

fn sheet(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(TABLE_WIDTH)
        .set_header(headings.to_vec());
    table
}

fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
