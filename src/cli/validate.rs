//! `autotune validate`: checks policy, scenario and settings files offline and shows what they mean.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{ExitStatus, Failed, print, remark};
use crate::clock;
use crate::input::{self, Document, FileKind, Problem, key_path, render, render_effective, schema_of};
use crate::policy::file::{EnvironmentPolicy, Limits, PolicyFile, QueuePolicy};
use crate::policy::{self, Policy, schedules};
use crate::settings::{self, Settings};
use crate::simulate::scenario::Scenario;
use crate::units::{Span, Time};

/// How far ahead windows are looked for: a year and a day, so that yearly schedules show too.
const HORIZON: Span = Span::from_seconds(366 * 24 * 3600);

/// Check policies, scenarios and settings without an account.
///
/// Tells every problem at once, with file, line, key, what was found and what was expected. A file with lists `[[environments]]` or
/// `[[queues]]`, or with a `model`, is a scenario. One without `version` but with keys of the daemon (`apply`, `policies`, `tag` and
/// others that `autotune init` prints) is a settings file, and the policies that it names are checked with it; `autotune run` checks
/// the environment (AUTOTUNE__...) as well. Every other file is a policy. All policy files of a folder are one policy and have to hold
/// together; each of its other files stands for itself. Only a folder of policies alone can be used as a policy.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Policy, scenario and settings files, folders of them, or names of shipped policies and scenarios.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print every key with its meaning and the value in force, defaults included, as a file of its kind. Of a scenario also
    /// every parameter of its model.
    #[arg(long)]
    show_effective: bool,
    /// Print the next N stretches of time in which a policy's schedules hold, and which of them wins.
    #[arg(long, value_name = "N")]
    schedules: Option<usize>,
    /// With --schedules: from this time on instead of now, for example 2026-03-28T00:00Z.
    #[arg(long, value_name = "TIME", requires = "schedules")]
    from: Option<jiff::Timestamp>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let mut problems = Vec::new();
    let mut good = Vec::new();
    for path in &arguments.paths {
        good.extend(read(path, &mut problems));
    }
    keep_each_once(&mut problems);
    if !problems.is_empty() {
        return Err(Failed {
            status: ExitStatus::BadInput,
            message: render(&problems),
        });
    }
    let from = arguments
        .from
        .map_or_else(clock::now, |from| Time::from_millis(from.as_millisecond()));
    for file in &good {
        if arguments.show_effective {
            print(&match file {
                Good::Policy(document) => effective(document)?,
                Good::Scenario(document) => effective_scenario(document)?,
                Good::Settings(document, _) => {
                    super::init::settings(&document.value, &|key| document.place(key).is_some())?
                }
            });
        }
        if let (Some(most), Good::Policy(document)) = (arguments.schedules, file) {
            print(&schedule_text(document, from, most));
        }
        if !arguments.show_effective && arguments.schedules.is_none() {
            print(&match file {
                Good::Policy(document) => format!("{}: ok\n", document.name),
                Good::Scenario(document) => format!("{}: ok, a scenario\n", document.name),
                Good::Settings(document, _) => format!("{}: ok, settings\n", document.name),
            });
        }
    }
    say_unenforced(&good);
    Ok(ExitStatus::Done)
}

/// Leaves out what is told already, perhaps of the same file by another name.
fn keep_each_once(problems: &mut Vec<Problem>) {
    problems.sort();
    let mut told = BTreeSet::new();
    problems.retain(|problem| {
        let place = std::fs::canonicalize(&problem.file);
        let file = place.map_or_else(|_| problem.file.clone(), |path| path.display().to_string());
        told.insert(Problem {
            file,
            ..problem.clone()
        })
    });
}

/// Settings without a guard, and policies that need one: those that are looked at with them, else their own.
fn say_unenforced(good: &[Good]) {
    let mut settings = good.iter().filter_map(|file| match file {
        Good::Settings(document, policy) => Some((document, policy)),
        Good::Policy(_) | Good::Scenario(_) => None,
    });
    let Some((settings, own)) = settings.find(|(document, _)| document.value.guard.is_none()) else {
        return;
    };
    let beside = good.iter().filter_map(|file| match file {
        Good::Policy(document) => Some(document.as_ref()),
        Good::Scenario(_) | Good::Settings(..) => None,
    });
    let mut policies: Vec<&Document<PolicyFile>> = beside.collect();
    if policies.is_empty() {
        policies.extend(&own.files);
    }
    for document in policies {
        let environments = document.value.environments.iter();
        for (name, _) in environments.filter(|(_, policy)| policy.limits == Limits::Enforce) {
            remark(&format!(
                "warning: {}: {}: found \"enforce\", which acts as \"clamp\" without a guard: {} has no [guard]\nhint: `autotune init --events` \
                 prints what a guard needs",
                document.name,
                key_path(&key_path("environments", name), "limits"),
                settings.name,
            ));
        }
    }
}

/// A file without problems.
enum Good {
    Policy(Box<Document<PolicyFile>>),
    Scenario(Box<Document<Scenario>>),
    /// With the policies that they name.
    Settings(Box<Document<Settings>>, Policy),
}

/// What is at a path, by its kind; adds every problem of it.
fn read(path: &Path, problems: &mut Vec<Problem>) -> Vec<Good> {
    // What cannot be read is told by whoever reads it next, as a policy.
    let kind = |path: &Path| {
        if Scenario::shipped(path).is_some() {
            return FileKind::Scenario;
        }
        input::read_text(path, "", &[]).map_or(FileKind::Policy, |text| FileKind::of(&text))
    };
    let files = if path.is_dir() {
        input::toml_files(path).unwrap_or_default()
    } else {
        vec![path.to_path_buf()]
    };
    let (mut policies, mut scenarios, mut of_daemon) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match kind(&file) {
            FileKind::Policy => policies.push(file),
            FileKind::Scenario => scenarios.push(file),
            FileKind::Settings => of_daemon.push(file),
        }
    }
    let alone = scenarios.is_empty() && of_daemon.is_empty();
    let mut good = Vec::new();
    if alone || !policies.is_empty() {
        let loaded = if alone {
            policy::load(path)
        } else {
            policy::load_all(&policies)
        };
        match loaded {
            Ok(policy) => good.extend((policy.files.into_iter()).map(|document| Good::Policy(Box::new(document)))),
            Err(found) => problems.extend(found),
        }
    }
    for scenario in scenarios {
        match Scenario::load_document(&scenario) {
            Ok(document) => good.push(Good::Scenario(Box::new(document))),
            Err(found) => problems.extend(found),
        }
    }
    for file in of_daemon {
        match read_settings(&file) {
            Ok(settings) => good.push(settings),
            Err(found) => problems.extend(found),
        }
    }
    good
}

/// A settings file and the policies that it names.
fn read_settings(file: &Path) -> Result<Good, Vec<Problem>> {
    let text = input::read_text(file, "settings", &[])?;
    let document = settings::parse(&file.display().to_string(), &text)?;
    let policy = policy::load_all(&settings::policies(&document, settings::folder_of(Some(file))))?;
    Ok(Good::Settings(Box::new(document), policy))
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

/// The scenario with every key, and every parameter of its model in place of the overrides.
fn effective_scenario(document: &Document<Scenario>) -> Result<String, Failed> {
    let value = serde_json::to_value(document.value.with_all_parameters()).map_err(|error| Failed {
        status: ExitStatus::Failure,
        message: error.to_string(),
    })?;
    let is_set = |key: &str| document.place(key).is_some();
    let mut text = format!("# {}: every key in force\n\n", document.name);
    text.push_str(&render_effective(schema_of::<Scenario>().as_value(), &value, &is_set));
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
    fn every_default_and_parameter_of_a_scenario_is_shown_and_makes_the_same_world() {
        let text = r#"version = 1
[model_overrides]
idle_spot = "5m"
[[environments]]
name = "a"
max_vcpus = 64
tags = { team = "x y" }
[[environments]]
name = "own"
platform = "unmanaged"
max_vcpus = 8
own_instances = [{ count = 1, vcpus = 8 }]
[[queues]]
name = "q"
environments = ["a", "own"]
"#;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        std::fs::write(&path, text).unwrap();
        let document = Scenario::load_document(&path).unwrap();
        let shown = effective_scenario(&document).unwrap();
        for line in [
            "idle_spot = \"5m\"",
            "dispatch = \"4s to 11s\"  # default",
            "zones = 3  # default",
            "team = \"x y\"",
            "model = \"recent\"  # default",
            "# random_droughts  # not set",
            "[[environments.own_instances]]",
        ] {
            assert!(shown.lines().any(|other| other == line), "{line}\n{shown}");
        }
        let again = Scenario::from_toml("again", &shown).unwrap();
        assert_eq!(again, document.value.with_all_parameters());
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
