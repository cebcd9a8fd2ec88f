//! The daemon at one moment, for people: environments, queues, SQS sources, what people ordered, and why.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::plain;
use super::table::TABLE_WIDTH;
use crate::daemon::checking::Checked;
use crate::daemon::snapshot::{EnvironmentStatus, QueueStatus, QuotaStatus, Snapshot, SqsStatus};
use crate::daemon::twin::{Measured, Saved};
use crate::overrides::{Order, Override};
use crate::units::{MicroUsd, Span, Time, Vcpus};

/// Below this width tables have no frames.
const FRAMED: u16 = 120;
/// A terminal that claims to be narrower gets lines as for this.
const NARROWEST: u16 = 60;

/// A snapshot as text, for a terminal of so many columns; `None`: for no terminal.
pub fn status(snapshot: &Snapshot, width: Option<u16>) -> String {
    let width = width.unwrap_or(TABLE_WIDTH).clamp(NARROWEST, TABLE_WIDTH);
    let mut text = head(snapshot);
    orders(snapshot, &mut text);
    let headings = [
        "environment",
        "base",
        "min",
        "desired",
        "max",
        "there",
        "used",
        "coming",
        "wanted",
        "lease",
        "read",
    ];
    let rows = snapshot
        .environments
        .iter()
        .map(|row| environment_row(row, snapshot.at));
    sheet(&headings, 1..9, rows.collect(), width, &mut text);
    let headings = [
        "queue", "RUNNABLE", "vCPUs", "placed", "vCPUs", "PENDING", "oldest", "read",
    ];
    sheet(
        &headings,
        1..8,
        snapshot.queues.iter().map(queue_row).collect(),
        width,
        &mut text,
    );
    if !snapshot.sqs.is_empty() {
        let headings = [
            "SQS source",
            "queue",
            "visible",
            "in flight",
            "delayed",
            "oldest",
            "read",
        ];
        sheet(
            &headings,
            2..7,
            snapshot.sqs.iter().map(sqs_row).collect(),
            width,
            &mut text,
        );
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
    if snapshot.simulated {
        text.push_str("SIMULATED account: nothing of this is AWS\n");
    }
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
    let calls = format!("{:.0} API calls a minute", snapshot.calls_per_minute);
    let _ = if snapshot.events {
        writeln!(text, "events wake it; {calls}")
    } else if snapshot.events_fail {
        writeln!(
            text,
            "events cannot be received: queues are polled, {calls} (the log says why)"
        )
    } else {
        writeln!(text, "no events: queues are polled, {calls} (`autotune init --events`)")
    };
    if let Some(why) = &snapshot.reload_refused {
        text.push_str("what was changed is refused, what was in force stays:\n");
        for line in why.lines() {
            let _ = writeln!(text, "  {}", plain(line));
        }
    }
    for quota in &snapshot.quotas {
        text.push_str(&quota_line(quota));
    }
    if let Some(checked) = &snapshot.checked {
        found(checked, snapshot.at, &mut text);
    }
    if let Some(known) = &snapshot.saved {
        saved(known, snapshot, &mut text);
    }
    text
}

/// What `check` found, errors by name.
fn found(checked: &Checked, now: Time, text: &mut String) {
    let of = |severity: &str| {
        checked
            .findings
            .iter()
            .filter(|found| found.severity == severity)
            .count()
    };
    let _ = writeln!(
        text,
        "checked {} ago: {} errors, {} warnings, {} could not be checked (`autotune check`)",
        now.since(checked.at).max(Span::ZERO),
        of("error"),
        of("warning"),
        checked.could_not_check
    );
    for found in checked.findings.iter().filter(|found| found.severity == "error") {
        let (code, subject, message) = (plain(&found.code), plain(&found.subject), plain(&found.message));
        let _ = writeln!(text, "  {code} {subject}: {message}");
    }
}

/// What autotune made of the last day beside AWS Batch alone.
fn saved(known: &Saved, snapshot: &Snapshot, text: &mut String) {
    let would = if snapshot.dry_run { "would save" } else { "saved" };
    let twin = match known {
        Saved::Known(twin) => twin,
        Saved::Unknown { why, .. } => {
            let _ = writeln!(text, "what it {would} is not known: {}", plain(why));
            return;
        }
    };
    let (Some(tuned), Some(alone), Some(less)) = (twin.tuned.mean, twin.alone.mean, twin.saved()) else {
        return;
    };
    let minutes = less.whole_minutes();
    let _ = write!(
        text,
        "simulated, of {} jobs in {} until {}, model {}: they wait {tuned} with autotune, {alone} with AWS Batch alone, {} minutes {} in \
         all; cost {} and {}",
        twin.jobs,
        twin.passed,
        twin.at,
        plain(&twin.model),
        minutes.abs(),
        if minutes < 0 { "longer" } else { "less" },
        twin.tuned.cost,
        twin.alone.cost
    );
    if let Some(each) = twin.per_saved_minute().filter(|each| *each > MicroUsd::ZERO) {
        let _ = write!(text, ", ${:.4} a minute", each.usd());
    }
    if twin.left_out > 0 {
        let _ = write!(text, "; without {} that cannot be compared", twin.left_out);
    }
    if let Some(Measured { jobs, mean }) = twin.measured {
        let _ = write!(
            text,
            "; measured, not simulated: {jobs} of them waited {mean} in the mean"
        );
    }
    text.push('\n');
}

/// A row of the ledger of service quotas.
pub fn quota_line(quota: &QuotaStatus) -> String {
    let left = match quota.left_vcpus {
        Some(left) => format!("; {} left", left.get()),
        None => String::new(),
    };
    let counted = quota.counted.as_deref();
    let counted = counted.map_or_else(String::new, |by| format!("; use counted by {}", plain(by)));
    let (code, sentence, link) = (plain(&quota.code), plain(&quota.sentence), plain(&quota.link));
    format!("quota {code}, in vCPUs: {sentence}{left}{counted} ({link})\n")
}

/// What people ordered, and for how much longer.
fn orders(snapshot: &Snapshot, text: &mut String) {
    let environments = snapshot.environments.iter().map(|e| (&e.name, e.overridden));
    let queues = snapshot.queues.iter().map(|q| (&q.name, q.overridden));
    for (name, order) in environments.chain(queues) {
        let Some(Override { order, until, .. }) = order else {
            continue;
        };
        let what = match order {
            Order::Pause => "pause".to_owned(),
            Order::Boost(vcpus) => format!("boost to {vcpus}"),
            Order::Drain => "drain".to_owned(),
        };
        let left = until.since(snapshot.at).max(Span::ZERO);
        let _ = writeln!(
            text,
            "override of {}: {what} until {until}, for another {left}",
            plain(name)
        );
    }
}

fn environment_row(environment: &EnvironmentStatus, now: Time) -> Vec<String> {
    let mut name = plain(&environment.name);
    if !environment.steered {
        name.push_str(" (watched)");
    } else if environment.age.is_some() && !environment.usable {
        name.push_str(" (not VALID and ENABLED)");
    } else if environment.updating {
        name.push_str(" (UPDATING)");
    }
    // What was never read is not 0.
    let seen = |vcpus: Vcpus| match environment.age {
        Some(_) => vcpus.get().to_string(),
        None => "?".to_owned(),
    };
    let real = |vcpus: Vcpus| match environment.instances_age {
        Some(_) => vcpus.get().to_string(),
        None => "?".to_owned(),
    };
    let number = |vcpus: Vcpus| vcpus.get().to_string();
    let lease = environment.lease_expires.map(|expires| {
        let left = expires.since(now).max(Span::ZERO);
        let guard = if environment.guarded { "" } else { ", no guard" };
        format!("{left}{guard}")
    });
    vec![
        name,
        number(environment.base_vcpus),
        seen(environment.min_vcpus),
        seen(environment.desired_vcpus),
        seen(environment.max_vcpus),
        real(environment.there_vcpus),
        real(environment.used_vcpus),
        environment
            .age
            .map_or_else(|| "?".to_owned(), |_| real(environment.on_its_way_vcpus)),
        number(environment.wanted_vcpus),
        lease.unwrap_or_else(|| "-".to_owned()),
        ago(environment.age),
    ]
}

fn queue_row(queue: &QueueStatus) -> Vec<String> {
    let least = if queue.at_least { ">= " } else { "" };
    let about = if queue.sampled { "~" } else { "" };
    let seen = |number: String| if queue.age.is_some() { number } else { "?".to_owned() };
    vec![
        plain(&queue.name),
        seen(format!("{least}{}", queue.runnable_jobs)),
        seen(format!("{least}{about}{}", queue.runnable_vcpus.get())),
        seen(queue.placed_jobs.to_string()),
        seen(queue.placed_vcpus.get().to_string()),
        seen(queue.pending_jobs.to_string()),
        queue.oldest.map_or_else(|| "-".to_owned(), |span| span.to_string()),
        ago(queue.age),
    ]
}

fn sqs_row(source: &SqsStatus) -> Vec<String> {
    let seen = |count: i64| {
        if source.age.is_some() {
            count.to_string()
        } else {
            "?".to_owned()
        }
    };
    vec![
        plain(&source.name),
        plain(&source.queue),
        seen(source.visible),
        seen(source.in_flight),
        seen(source.delayed),
        source.oldest.map_or_else(|| "-".to_owned(), |span| span.to_string()),
        ago(source.age),
    ]
}

/// Why everything is as it is. What people ordered was told before.
fn reasons(snapshot: &Snapshot, text: &mut String) {
    let mut lines: Vec<String> = Vec::new();
    let environments = snapshot
        .environments
        .iter()
        .flat_map(|environment| &environment.reasons);
    let told = |told: &crate::daemon::snapshot::Told| (told.code != "ordered").then(|| plain(&told.sentence));
    lines.extend(environments.filter_map(told));
    for queue in &snapshot.queues {
        if let Some((why, since)) = &queue.blocked {
            let dwell = snapshot.at.since(*since).max(Span::ZERO);
            let (name, why) = (plain(&queue.name), plain(why));
            lines.push(format!(
                "{name}: its head has been blocked for {dwell}, since {since}: {why}"
            ));
        }
        lines.extend(queue.reasons.iter().filter_map(told));
    }
    lines.extend(snapshot.sqs.iter().flat_map(|source| &source.reasons).filter_map(told));
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

/// A table after an empty line; these columns are numbers.
pub(super) fn sheet(
    headings: &[&str],
    numbers: std::ops::Range<usize>,
    rows: Vec<Vec<String>>,
    width: u16,
    text: &mut String,
) {
    let mut table = Table::new();
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(headings.to_vec());
    for row in rows {
        table.add_row(row);
    }
    let framed = width >= FRAMED;
    if !framed {
        table.load_style(presets::NOTHING);
    }
    for (position, column) in table.column_iter_mut().enumerate() {
        if numbers.contains(&position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if !framed {
            column.set_padding((0, 1));
        }
    }
    text.push('\n');
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::snapshot::Told;
    use crate::daemon::twin::{Side, Twin};
    use crate::explain::hostile::{self, MARK, has_invisible};

    const NOW: Time = Time::from_seconds(1_767_258_000);

    fn queue() -> QueueStatus {
        QueueStatus {
            name: "nightly".to_owned(),
            runnable_jobs: 24,
            runnable_vcpus: Vcpus::new(96),
            at_least: true,
            sampled: true,
            placed_jobs: 120,
            placed_vcpus: Vcpus::new(480),
            pending_jobs: 7,
            oldest: Some(Span::from_seconds(75)),
            blocked: Some((
                "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY".to_owned(),
                NOW - Span::from_minutes(12),
            )),
            age: Some(Span::from_seconds(12)),
            ..QueueStatus::default()
        }
    }

    fn snapshot() -> Snapshot {
        let (age, minutes) = (Some(Span::from_seconds(12)), |minutes| {
            NOW + Span::from_minutes(minutes)
        });
        let spot = EnvironmentStatus {
            name: "genomics-spot".to_owned(),
            steered: true,
            usable: true,
            min_vcpus: Vcpus::new(64),
            desired_vcpus: Vcpus::new(1024),
            max_vcpus: Vcpus::new(20_000),
            there_vcpus: Vcpus::new(512),
            used_vcpus: Vcpus::new(480),
            on_its_way_vcpus: Vcpus::new(512),
            wanted_vcpus: Vcpus::new(96),
            lease_expires: Some(minutes(14)),
            guarded: true,
            age,
            instances_age: age,
            overridden: Some(Override {
                order: Order::Boost(Vcpus::new(64)),
                since: minutes(-10),
                until: minutes(110),
            }),
            reasons: vec![
                Told::new(
                    "ordered",
                    "genomics-spot: a person wants at least 64 vCPUs held".to_owned(),
                ),
                Told::new("waiting", "genomics-spot: 96 vCPUs of RUNNABLE jobs wait".to_owned()),
            ],
            ..EnvironmentStatus::default()
        };
        let blind = EnvironmentStatus {
            name: "genomics-ondemand".to_owned(),
            steered: true,
            reasons: vec![Told::new(
                "unreadable",
                "genomics-ondemand: not readable since 2026-01-01T08:57:00Z, 3m ago: AccessDenied".to_owned(),
            )],
            ..EnvironmentStatus::default()
        };
        Snapshot {
            at: NOW,
            version: "0.1.0".to_owned(),
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            planned_at: Some(NOW - Span::from_seconds(2)),
            calls_per_minute: 41.6,
            reload_refused: Some("p.toml:1:1: x\n1 problem".to_owned()),
            environments: vec![spot, blind],
            queues: vec![queue()],
            quotas: vec![QuotaStatus {
                code: "L-34B43A08".to_owned(),
                limit_vcpus: Some(Vcpus::new(5)),
                left_vcpus: Some(Vcpus::new(1)),
                counted: Some("DescribeInstances".to_owned()),
                sentence: "limit 5, the use of others unknown, our environments hold 2, 2 kept for overshoot"
                    .to_owned(),
                link: "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08".to_owned(),
                ..QuotaStatus::default()
            }],
            leads: true,
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_narrow_terminal_gets_everything_in_its_columns() {
        insta::assert_snapshot!(status(&snapshot(), Some(80)), @"
        autotune 0.1.0 in 123456789012 eu-central-1, 2026-01-01T09:00:00Z
        last planned 2s ago
        no events: queues are polled, 42 API calls a minute (`autotune init --events`)
        what was changed is refused, what was in force stays:
          p.toml:1:1: x
          1 problem
        quota L-34B43A08, in vCPUs: limit 5, the use of others unknown, our environments hold 2, 2 kept for overshoot; 1 left; use counted by DescribeInstances (https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08)
        override of genomics-spot: boost to 64 vCPUs until 2026-01-01T10:50:00Z, for another 110m

        environment       base min desired   max there used coming wanted lease read
        genomics-spot        0  64    1024 20000   512  480    512     96 14m   12s
        genomics-ondemand    0   ?       ?     ?     ?    ?      ?      0 -     never

        queue   RUNNABLE  vCPUs placed vCPUs PENDING oldest read
        nightly    >= 24 >= ~96    120   480       7    75s  12s

        genomics-spot: 96 vCPUs of RUNNABLE jobs wait
        genomics-ondemand: not readable since 2026-01-01T08:57:00Z, 3m ago: AccessDenied
        nightly: its head has been blocked for 12m, since 2026-01-01T08:48:00Z: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY
        ");
    }

    #[test]
    fn a_wide_one_gets_frames() {
        let text = status(&snapshot(), Some(200));
        assert!(text.contains("| genomics-spot") && text.contains("| 14m "), "{text}");
        assert_eq!(text, status(&snapshot(), None), "as for no terminal");
        let frames = text.lines().filter(|line| line.starts_with(['|', '+']));
        assert!(
            frames.clone().count() > 5 && frames.clone().all(|line| line.chars().count() <= 140),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "no colour: {text}");
    }

    #[test]
    fn hostile_and_endless_names_stay_in_their_cells() {
        for name in hostile::corpus() {
            let mut hostile = snapshot();
            hostile.environments[0].name.clone_from(&name);
            hostile.environments[0].reasons = vec![Told::new("x", name.clone())];
            hostile.queues[0].name.clone_from(&name);
            hostile.queues[0].blocked = Some((name.clone(), NOW));
            hostile.reload_refused = Some(name.clone());
            hostile.quotas[0].code.clone_from(&name);
            hostile.region.clone_from(&name);
            stays_in_its_cells(&hostile);
        }
    }

    fn stays_in_its_cells(hostile: &Snapshot) {
        for width in [None, Some(0), Some(80), Some(u16::MAX)] {
            let text = status(hostile, width);
            assert!(!has_invisible(&text), "{text}");
            assert!(text.contains(MARK), "{text}");
            let most = width.unwrap_or(TABLE_WIDTH).clamp(NARROWEST, TABLE_WIDTH);
            let tables = text
                .lines()
                .filter(|line| line.starts_with("genomics") || line.starts_with(['|', '+']));
            for line in tables.filter(|line| !line.contains(": ")) {
                assert!(line.chars().count() <= usize::from(most), "{most}: {line}");
            }
        }
    }

    #[test]
    fn what_was_saved_is_said_to_be_simulated_and_what_is_not_known_is_said() {
        let side = |seconds, millionths| Side {
            mean: Some(Span::from_seconds(seconds)),
            cost: MicroUsd::new(millionths),
            ..Side::default()
        };
        let twin = Twin {
            jobs: 30,
            model: "recent".to_owned(),
            passed: Span::from_minutes(24 * 60),
            at: NOW,
            left_out: 3,
            measured: Some(Measured {
                jobs: 29,
                mean: Span::from_seconds(31),
            }),
            tuned: side(10, 5_000_000),
            alone: side(130, 3_800_000),
            ..Twin::default()
        };
        let mut longer = twin.clone();
        (longer.tuned.mean, longer.alone.mean) = (twin.alone.mean, twin.tuned.mean);
        let mut snapshot = Snapshot {
            saved: Some(Saved::Known(Box::new(twin))),
            ..Snapshot::default()
        };
        let text = status(&snapshot, None);
        let line = text.lines().find(|line| line.contains("simulated"));
        let expected = format!(
            "simulated, of 30 jobs in 24h until {NOW}, model recent: they wait 10s with autotune, 2m 10s with AWS Batch alone, 60 minutes \
             less in all; cost $5.00 and $3.80, $0.0200 a minute; without 3 that cannot be compared; measured, not simulated: 29 of them \
             waited 31s in the mean"
        );
        assert_eq!(line, Some(expected.as_str()));
        snapshot.saved = Some(Saved::Known(Box::new(longer)));
        let text = status(&snapshot, None);
        assert!(text.contains("Batch alone, 60 minutes longer in all"), "{text}");
        snapshot.dry_run = true;
        snapshot.saved = Some(Saved::Unknown {
            at: NOW,
            why: format!("No job {MARK} started.\u{1b}[2J"),
        });
        let text = status(&snapshot, None);
        assert!(text.contains("what it would save is not known: No job"), "{text}");
        assert!(!has_invisible(&text), "{text}");
    }
}
