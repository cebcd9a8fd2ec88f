//! `autotune validate`: checks policy files offline and shows what they mean.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{ExitStatus, Failed, print};
use crate::clock;
use crate::input::{Document, key_path, render, render_effective, schema_of};
use crate::policy::file::{EnvironmentPolicy, PolicyFile, QueuePolicy};
use crate::policy::{self, schedules};
use crate::units::{Span, Time};

/// How far ahead windows are looked for: a year and a day, so that yearly schedules show too.
const HORIZON: Span = Span::from_seconds(366 * 24 * 3600);

/// Checks policy files without an account: every problem with file, line, key, what was found and what was expected.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Policy files, folders of them (one policy each), or names of shipped policies.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print every key with its meaning and the value in force, defaults included, as a policy file.
    #[arg(long)]
    show_effective: bool,
    /// Print the next N stretches of time in which schedules hold, and which of them wins.
    #[arg(long, value_name = "N")]
    schedules: Option<usize>,
    /// With --schedules: from this time on instead of now, for example 2026-03-28T00:00Z.
    #[arg(long, value_name = "TIME", requires = "schedules")]
    from: Option<jiff::Timestamp>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let mut problems = Vec::new();
    let mut policies = Vec::new();
    for path in &arguments.paths {
        match policy::load(path) {
            Ok(policy) => policies.push(policy),
            Err(found) => problems.extend(found),
        }
    }
    problems.sort();
    problems.dedup();
    if !problems.is_empty() {
        return Err(Failed {
            status: ExitStatus::BadInput,
            message: render(&problems),
        });
    }
    let from = arguments
        .from
        .map_or_else(clock::now, |from| Time::from_millis(from.as_millisecond()));
    for document in policies.iter().flat_map(|policy| &policy.files) {
        if arguments.show_effective {
            print(&effective(document)?);
        }
        if let Some(most) = arguments.schedules {
            print(&schedule_text(document, from, most));
        }
        if !arguments.show_effective && arguments.schedules.is_none() {
            print(&format!("{}: ok\n", document.name));
        }
    }
    Ok(ExitStatus::Done)
}

/// The file with every key, and the defaults that hold for environments without an entry.
fn effective(document: &Document<PolicyFile>) -> Result<String, Failed> {
    let failed = |error: serde_json::Error| Failed {
        status: ExitStatus::Failure,
        message: error.to_string(),
    };
    let value = serde_json::to_value(&document.value).map_err(failed)?;
    let is_set = |key: &str| document.place(key).is_some();
    let mut text = format!("# {}: every key in force\n\n", document.name);
    text.push_str(&render_effective(schema_of::<PolicyFile>().as_value(), &value, &is_set));
    let others = serde_json::to_value(EnvironmentPolicy::default()).map_err(failed)?;
    let others = render_effective(schema_of::<EnvironmentPolicy>().as_value(), &others, &|_| false);
    text.push_str("\n# Compute environments without an entry:\n");
    for line in others.lines() {
        text.push_str("#   ");
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}

fn schedule_text(document: &Document<PolicyFile>, from: Time, most: usize) -> String {
    let mut text = String::new();
    for (name, queue) in &document.value.queues {
        let key = key_path("queues", name);
        if queue.schedules.is_empty() {
            let _ = writeln!(text, "# {}: {key}: no schedules", document.name);
            continue;
        }
        let segments = schedules::segments(queue, from, HORIZON, most);
        let _ = writeln!(
            text,
            "# {}: {key}: the next {} of its schedules",
            document.name,
            segments.len()
        );
        for segment in segments {
            text.push_str(&segment_text(queue, &segment));
        }
    }
    text
}

/// `# 2026-03-30T07:00+01:00[Europe/London] to ...: floor 256 vCPUs (schedules[1]), headroom 4 (schedules[0])`
fn segment_text(queue: &QueuePolicy, segment: &schedules::Segment) -> String {
    let zone = queue
        .schedules
        .get(segment.floor.1)
        .map(|schedule| schedule.time_zone.0.clone());
    let local = |time: Time| match (jiff::Timestamp::from_millisecond(time.millis()), &zone) {
        (Ok(timestamp), Some(zone)) => timestamp
            .to_zoned(zone.clone())
            .strftime("%a %Y-%m-%d %H:%M %Z")
            .to_string(),
        _ => time.to_string(),
    };
    let mut wins = Vec::new();
    if !segment.floor.0.is_zero() {
        wins.push(format!("floor {} (schedules[{}])", segment.floor.0, segment.floor.1));
    }
    if segment.headroom.0 > 0 {
        wins.push(format!(
            "headroom {} (schedules[{}])",
            segment.headroom.0, segment.headroom.1
        ));
    }
    let also: Vec<String> = segment
        .in_force
        .iter()
        .map(|position| format!("schedules[{position}]"))
        .collect();
    let of = if also.len() > 1 {
        format!("; the largest of {}", also.join(", "))
    } else {
        String::new()
    };
    format!(
        "#   {} to {}: {}{of}\n",
        local(segment.start),
        local(segment.end),
        wins.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"version = 1
[queues.a]
[[queues.a.schedules]]
cron = "0 8 * * *"
duration = "4h"
time_zone = "Europe/London"
floor_vcpus = 64
headroom_slots = 2
[[queues.a.schedules]]
cron = "0 10 * * *"
duration = "1h"
time_zone = "Europe/London"
floor_vcpus = 256
[queues.b]
"#;

    fn document() -> Document<PolicyFile> {
        policy::parse("p.toml", POLICY).unwrap().files.remove(0)
    }

    #[test]
    fn schedules_show_in_local_time_which_floor_wins() {
        let from = Time::from_millis("2026-03-28T12:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
        insta::assert_snapshot!(schedule_text(&document(), from, 3), @r#"
        # p.toml: queues.a: the next 3 of its schedules
        #   Sun 2026-03-29 08:00 BST to Sun 2026-03-29 10:00 BST: floor 64 vCPUs (schedules[0]), headroom 2 (schedules[0])
        #   Sun 2026-03-29 10:00 BST to Sun 2026-03-29 11:00 BST: floor 256 vCPUs (schedules[1]), headroom 2 (schedules[0]); the largest of schedules[0], schedules[1]
        #   Sun 2026-03-29 11:00 BST to Sun 2026-03-29 12:00 BST: floor 64 vCPUs (schedules[0]), headroom 2 (schedules[0])
        # p.toml: queues.b: no schedules
        "#);
    }

    #[test]
    fn every_default_in_force_is_shown() {
        let text = effective(&document()).unwrap();
        for line in [
            "lease = \"15m\"  # default",
            "floor_vcpus = \"64 vcpu\"",
            "headroom_slots = 0  # default",
            "[queues.b]",
            "#   limits = \"clamp\"  # default",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        assert!(
            policy::parse("again", &text).is_ok(),
            "what is shown can be used as a file"
        );
    }
}
