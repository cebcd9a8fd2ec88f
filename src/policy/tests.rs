//! What policy files promise: every problem at once, shipped policies that hold, schedules that know the clocks.

use proptest::prelude::*;

use super::file::{PolicyFile, SchedulePolicy};
use super::*;
use crate::input::values::{Cpus, CronSchedule, Duration, Readable as _, Scalar, Zone};
use crate::input::{render, render_effective, schema_of};
use crate::units::{Span, Time, Vcpus};

/// All problems of a text, as a person sees them.
fn problems(text: &str) -> String {
    match parse("p.toml", text) {
        Ok(_) => "none".to_owned(),
        Err(problems) => render(&problems),
    }
}

#[test]
fn every_problem_of_a_file_is_told_at_once() {
    let text = r#"version = 1
regoin = "eu-west-1"

[tempo]
lease = 90
between_updates = "1d"
# max_blind is checked beside them once they are right

[queues."a-*"]
idel_time = "5m"
patience = [{ jobs = 0, after = "4" }, { after = "x" }]
reference_job = { vcpus = 1.5, memory = "8 GB", gpus = -1 }

[[queues."a-*".schedules]]
cron = "0 7 * * MON-FRY"
duration = "-1h"
time_zone = "London"

[queues.b.sqs.in]
hand_off = "dispatch"
jobs_per_message = 0

[environments."tag:x"]
limits = "enforced"
cap = "120%"

[environments.od]
min_vcpus = 8
cap = "4 vcpu"

[account]
id = 123

[account.quotas.L-34B43A08]
reserve = "10%"
"#;
    let expected = r#"p.toml:2:1: regoin: found an unknown key, expected one of `version`, `account`, `tempo`, `queues`, `environments`
p.toml:5:9: tempo.lease: found 90, expected a length of time in hours, minutes and seconds, such as "90s" or "2h 30m"
  hint: write "90s" for seconds
p.toml:6:19: tempo.between_updates: found "1d", expected a length of time in hours, minutes and seconds, such as "90s" or "2h 30m"
  hint: write days as hours: "24h", "168h"; days can have 23 or 25
p.toml:10:1: queues."a-*".idel_time: found an unknown key, expected one of `except`, `signals`, `environments`, `patience`, `on_demand_base`, `headroom_slots`, `reference_job`, `idle_time`, `schedules`, `sqs`
  hint: did you mean `idle_time`?
p.toml:11:22: queues."a-*".patience[0].jobs: found 0, expected a whole number of at least 1
p.toml:11:33: queues."a-*".patience[0].after: found "4", expected a length of time in hours, minutes and seconds, such as "90s" or "2h 30m"
  hint: add the unit: "4s"
p.toml:11:40: queues."a-*".patience[1].jobs: found nothing, expected a whole number of at least 1
p.toml:11:50: queues."a-*".patience[1].after: found "x", expected a length of time in hours, minutes and seconds, such as "90s" or "2h 30m"
p.toml:12:27: queues."a-*".reference_job.vcpus: found 1.5, expected a whole number of vCPUs, such as "256 vcpu" or 256
  hint: Batch scales in whole vCPUs
p.toml:12:41: queues."a-*".reference_job.memory: found "8 GB", expected memory in MiB, GiB or TiB, such as "8 GiB"
  hint: AWS Batch counts in binary units: GiB, not GB
p.toml:12:56: queues."a-*".reference_job.gpus: found -1, expected a whole number of at least 0
p.toml:15:8: queues."a-*".schedules[0].cron: found "0 7 * * MON-FRY", expected five cron fields (minute, hour, day of month, month, day of week), such as "0 7 * * MON-FRI"
  hint: Pattern contains illegal characters: CronPattern contains illegal character 'F' in part '1-FRY'
p.toml:16:12: queues."a-*".schedules[0].duration: found "-1h", expected a length of time in hours, minutes and seconds, such as "90s" or "2h 30m"
  hint: a length of time cannot be negative
p.toml:17:13: queues."a-*".schedules[0].time_zone: found "London", expected an IANA time zone, such as "Europe/London" or "UTC"
  hint: did you mean `Europe/London`?
p.toml:20:12: queues.b.sqs.in.hand_off: found "dispatch", expected one of "dispatcher", "workers"
  hint: did you mean `dispatcher`?
p.toml:21:20: queues.b.sqs.in.jobs_per_message: found 0, expected a number from 0.001 to 100000
p.toml:23:15: environments."tag:x": found "tag:x", expected a name, a pattern of names such as "genomics-*", or a tag such as "tag:team=genomics"
  hint: a tag is written `tag:KEY=VALUE`; `*` is any value
p.toml:24:10: environments."tag:x".limits: found "enforced", expected one of "report", "clamp", "enforce"
  hint: did you mean `enforce`?
p.toml:25:7: environments."tag:x".cap: found "120%", expected vCPUs or a percentage, such as "256 vcpu", 256 or "20%"
p.toml:28:1: environments.od.min_vcpus: found 8 vCPUs, expected at most the `cap` of 4 vCPUs
  hint: raise `cap` or lower `min_vcpus`
p.toml:32:6: account.id: found 123, expected an AWS account id of twelve digits, in quotes
p.toml:35:1: account.quotas.L-34B43A08.reserve: found 10%, expected vCPUs, because a percentage needs a `limit` to be a part of
  hint: set `limit` too, or write vCPUs
22 problems"#;
    assert_eq!(problems(text), expected);
}

/// One mistake each: the text after `version = 1`, and a piece of what is said about it.
const MISTAKES: &[(&str, &str)] = &[
    ("", "none"),
    ("version = 1", "p.toml:2:1: found duplicate key, expected each key once"),
    (
        "[queues.a]\n[queues.a]",
        "p.toml:3:9: found duplicate key, expected each key once",
    ),
    (
        "x = ",
        "p.toml:2:5: found string values must be quoted, expected literal string",
    ),
    ("queues = 3", "queues: found 3, expected a table"),
    ("[queues.\"tag:a=b\"]", "only compute environments are chosen by tag"),
    (
        "[queues.\"a[\"]",
        "queues.\"a[\": found \"a[\", expected a name, or a pattern",
    ),
    (
        "[queues.a]\nsignals = [\"runnable\", \"runnable\"]",
        "signals[1]: found a signal that is listed already",
    ),
    (
        "[queues.a]\nsignals = [\"runnable\"]\nheadroom_slots = 2",
        "headroom_slots: found a value that does not count",
    ),
    (
        "[queues.a]\nreference_job = { vcpus = 0 }",
        "reference_job.vcpus: found 0 vCPUs, expected at least 1",
    ),
    (
        "[queues.a]\npatience = [{ jobs = 1, after = \"2m\" }, { jobs = 9, after = \"3m\" }]",
        "patience[1]: found 9 jobs for 3m, expected a pair that can hold before patience[0] does",
    ),
    (
        "[queues.a]\npatience = [{ jobs = 1, after = \"2m\" }, { jobs = 1, after = \"2m\" }]",
        "patience[1]: found 1 jobs",
    ),
    (
        "[[queues.a.schedules]]\ncron = \"0 0 30 2 *\"\nduration = \"1h\"\ntime_zone = \"UTC\"\nfloor_vcpus = 1",
        "hint: no day ever matches it",
    ),
    (
        "[[queues.a.schedules]]\ncron = \"0 0 * * * *\"\nduration = \"1h\"\ntime_zone = \"UTC\"\nfloor_vcpus = 1",
        "hint: there are 6 fields",
    ),
    (
        "[[queues.a.schedules]]\ncron = \"0 0 * * *\"\nduration = \"1h\"\ntime_zone = \"UTC\"",
        "schedules[0]: found a schedule that wants nothing",
    ),
    (
        "[queues.a.sqs.s]\njob = { vcpus = 1 }",
        "sqs.s.hand_off: found nothing, expected one of \"dispatcher\"",
    ),
    (
        "[queues.a.sqs.s]\nhand_off = \"workers\"\njobs_per_message = 2",
        "jobs_per_message: found a key of `hand_off = \"dispatcher\"`",
    ),
    (
        "[environments.a]\nmax_step = \"0%\"",
        "max_step: found 0, expected more than nothing",
    ),
    ("[environments.a]\nmin_vcpus = 9999999999", "which no account has"),
    (
        "[environments.a]\nmin_vcpus = 99999999999999999999",
        "found 99999999999999999999",
    ),
    (
        "[tempo]\nlease = \"30s\"",
        "lease: found 30s, expected at least 1m to go with `between_updates`",
    ),
    (
        "[tempo]\nmax_blind = \"5m\"",
        "max_blind: found 5m, expected at least 10m to go with `stale_after`",
    ),
    (
        "[account.quotas.foo]",
        "standard instances: Spot L-34B43A08, On-Demand L-1216C47A",
    ),
    (
        "[account.quotas.L-34B43A08]\nlimit = 10\nreserve = 11",
        "found 11 vCPUs, expected at most the `limit` of 10",
    ),
    (
        "[account]\nregion = \"eu-west-1a\"",
        "an availability zone lies in a region: \"eu-west-1\"",
    ),
];

#[test]
fn each_mistake_is_named() {
    for (text, expected) in MISTAKES {
        let said = problems(&format!("version = 1\n{text}"));
        assert!(
            said.contains(expected),
            "for {text:?}\nexpected: {expected}\nsaid: {said}"
        );
    }
    assert!(problems("").contains("p.toml:1:1: version: found nothing, expected a whole number, only 1"));
    assert!(problems("version = 2").contains("p.toml:1:11: version: found 2"));
}

#[test]
fn a_default_that_stands_in_for_a_wrong_value_causes_no_further_problem() {
    // Without the wrong floor the schedule would want nothing; that is not what is wrong with it.
    let text = "version = 1\n[[queues.a.schedules]]\ncron = \"0 0 * * *\"\nduration = \"1h\"\ntime_zone = \"UTC\"\nfloor_vcpus = \"x\"";
    assert!(problems(text).ends_with("\n1 problem"), "{}", problems(text));
}

#[test]
fn shipped_policies_hold_and_say_for_whom() {
    let demo: toml::Table = include_str!("../../policies/scenarios/demo-account.toml")
        .parse()
        .unwrap();
    let queues = demo["queues"].as_array().unwrap();
    let of_demo: Vec<String> = queues
        .iter()
        .map(|queue| queue["name"].as_str().unwrap().to_owned())
        .collect();
    for (name, text) in SHIPPED {
        assert_eq!(problems(text), "none", "{name}");
        assert!(
            text.contains(&format!("# {name}\n#\n# For whom: ")),
            "{name} does not say for whom"
        );
        let policy = load(Path::new(name)).unwrap();
        let queues = &policy.files[0].value.queues;
        // That of the demo is for the queues of its own account, all others for any.
        let runs = match name {
            "demo" => !queues.is_empty() && queues.keys().all(|queue| of_demo.contains(queue)),
            _ => queues.contains_key("*"),
        };
        assert!(runs, "{name} does not run on any scenario");
    }
}

#[test]
fn the_effective_text_is_the_same_policy() {
    let all = r#"version = 1
[account]
id = "123456789012"
quotas.L-34B43A08 = { limit = 640, reserve = "12.5%" }
[queues."a-*"]
except = ["a-b"]
environments = ["tag:k=v"]
patience = []
[[queues."a-*".schedules]]
cron = "5 4 * * *"
duration = "1h 30m"
time_zone = "America/New_York"
floor_vcpus = 64
[queues."a-*".sqs."in.fifo"]
hand_off = "dispatcher"
jobs_per_message = 0.1
[environments.spot]
cap = "50%"
limits = "enforce"
"#;
    for (name, text) in SHIPPED.into_iter().chain([("all", all)]) {
        let document = parse(name, text).unwrap().files.remove(0);
        let value = serde_json::to_value(&document.value).unwrap();
        let is_set = |key: &str| document.place(key).is_some();
        let effective = render_effective(schema_of::<PolicyFile>().as_value(), &value, &is_set);
        let again = parse("effective", &effective).map_err(|problems| render(&problems));
        let again = again
            .unwrap_or_else(|problems| panic!("{name}: {problems}\n{effective}"))
            .files
            .remove(0);
        assert_eq!(again.value, document.value, "{name}\n{effective}");
        assert!(effective.contains("# default"));
    }
}

#[test]
fn files_of_a_folder_hold_together() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.toml",
        "version = 1\n[queues.x]\n[account]\ncap = 100\n[account.quotas.L-34B43A08]\nlimit = 5\n",
    );
    write(
        "b.toml",
        "version = 1\n[queues.y]\n[account]\ncap = 100\n[tempo]\nlease = \"20m\"\n",
    );
    write("notes.txt", "not a policy");
    assert_eq!(load(folder.path()).unwrap().files.len(), 2);

    // Alone, ten minutes would not go with the default lease; with the lease of b.toml they do, eleven do not.
    write("c.toml", "version = 1\n[tempo]\nbetween_updates = \"10m\"\n");
    assert!(load(folder.path()).is_ok());
    write("c.toml", "version = 1\n[tempo]\nbetween_updates = \"11m\"\n");
    let said = render(&load(folder.path()).unwrap_err());
    assert!(
        said.contains("b.toml:6:1: tempo.lease: found 20m, expected at least 22m to go with `between_updates`"),
        "{said}"
    );
    write(
        "c.toml",
        "version = 1\n[queues.x]\n[account.quotas.L-34B43A08]\nlimit = 6\n[environments.e]\ncap = \"x\"\n",
    );
    write("d.toml", "version = 1\n[queues.x]\n[tempo]\nlease = \"30m\"\n");
    let said = render(&load(folder.path()).unwrap_err());
    assert!(said.contains("c.toml:6:7: environments.e.cap: found \"x\""), "{said}");
    assert!(
        said.contains("d.toml:2:9: queues.x: found a second entry of this name, expected one; the first is in"),
        "{said}"
    );
    assert!(
        said.contains("d.toml:4:1: tempo.lease: found \"30m\", expected \"20m\", as in"),
        "{said}"
    );
    assert!(said.contains("b.toml:6"), "{said}");
}

/// Policies as several teams have them: files and folders to mix.
fn teams() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["teams", "mixed", "empty"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for (name, text) in [
        (
            "teams/a.toml",
            "version = 1\n[queues.a]\n[tempo]\nbetween_updates = \"10m\"\n",
        ),
        ("teams/b.toml", "version = 1\n[queues.b]\n"),
        ("own.toml", "version = 1\n[queues.own]\n[tempo]\nlease = \"20m\"\n"),
        ("all.toml", "version = 1\n[queues.\"*\"]\n"),
        ("mixed/policy.toml", "version = 1\n[queues.c]\n"),
        ("mixed/world.toml", "queues = []\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The names of the files of a policy, or its problems. What is not shipped is in the folder, whose name is left out.
fn loaded(folder: &Path, named: &[&str]) -> Result<Vec<String>, String> {
    let named: Vec<PathBuf> = named.iter().map(PathBuf::from).collect();
    let within = format!("{}/", folder.display());
    match load_all(&beside(folder, &named)) {
        Ok(policy) => Ok(policy.files.iter().map(|file| file.name.replace(&within, "")).collect()),
        Err(problems) => Err(render(&problems).replace(&within, "")),
    }
}

#[test]
fn files_folders_and_shipped_policies_are_one_policy_in_any_mix() {
    let folder = teams();
    let mixes: [(&[&str], &[&str]); 6] = [
        (&["thrifty"], &["thrifty"]),
        (&["own.toml", "all.toml"], &["own.toml", "all.toml"]),
        (&["demo", "own.toml"], &["demo", "own.toml"]),
        (&["own.toml", "demo"], &["own.toml", "demo"]),
        // Alone, the tempo of the folder would not go with the default lease.
        (&["teams", "own.toml"], &["teams/a.toml", "teams/b.toml", "own.toml"]),
        (
            &["demo", "teams", "own.toml"],
            &["demo", "teams/a.toml", "teams/b.toml", "own.toml"],
        ),
    ];
    for (named, expected) in mixes {
        let files = loaded(folder.path(), named).unwrap();
        assert_eq!(files, expected, "{named:?}");
    }
}

#[test]
fn every_problem_of_a_mix_is_told_once() {
    let folder = teams();
    let twice = "queues.\"*\": found a second entry of this name, expected one; the first is in thrifty:";
    let mixes: [(&[&str], &[&str]); 6] = [
        (&["thrifty", "warm-hours"], &["warm-hours:", twice, "1 problem"]),
        (&["thrifty", "all.toml"], &["all.toml:2:9: ", twice, "1 problem"]),
        (
            &["teams"],
            &["tempo.lease: found 15m, expected at least 20m", "1 problem"],
        ),
        (
            &["teams", "teams/a.toml", "own.toml"],
            &["queues.a: found a second entry", "1 problem"],
        ),
        (
            &["demo", "mixed", "own.toml"],
            &["mixed/world.toml: found a scenario", "1 problem"],
        ),
        (
            &["no-such", "empty", "demo", "none.toml"],
            &[
                "no-such: found nothing that can be read",
                "need no file: reactive",
                "empty: found a folder without",
                "none.toml: found nothing",
                "3 problems",
            ],
        ),
    ];
    for (named, words) in mixes {
        let said = loaded(folder.path(), named).unwrap_err();
        for word in words {
            assert!(said.contains(word), "{named:?}: `{word}` is missing in\n{said}");
        }
    }
}

#[test]
fn paths_that_cannot_be_read_are_problems() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| render(&load(path).unwrap_err());
    assert!(said(folder.path()).contains("found a folder without `*.toml` files"));
    assert!(said(&folder.path().join("none.toml")).contains("need no file: reactive, warm-hours"));
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    assert!(said(&binary).contains("found bytes that are not UTF-8"));
    let large = folder.path().join("large.toml");
    std::fs::write(&large, vec![b'#'; 5 << 20]).unwrap();
    assert!(said(&large).contains("found a larger file, expected at most 4 MiB of TOML"));
}

fn schedule(cron: &str, duration: &str, zone: &str) -> SchedulePolicy {
    SchedulePolicy {
        cron: CronSchedule::read(Scalar::Text(cron)).unwrap(),
        duration: Duration::read(Scalar::Text(duration)).unwrap(),
        time_zone: Zone::read(Scalar::Text(zone)).unwrap(),
        floor_vcpus: Cpus(Vcpus::new(1)),
        headroom_slots: 0,
    }
}

fn at(text: &str) -> Time {
    Time::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// The windows of a schedule between two days, as `start/end` in UTC.
fn windows(cron: &str, duration: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let found = schedules::windows(&schedule(cron, duration, zone), at(from), at(to));
    found.iter().map(|(start, end)| format!("{start}/{end}")).collect()
}

#[test]
fn schedules_follow_the_clocks_of_their_zone() {
    // London changes to summer time on 2026-03-29 and back on 2026-10-25: seven in the morning is an hour earlier in UTC.
    assert_eq!(
        windows(
            "0 7 * * *",
            "2h",
            "Europe/London",
            "2026-03-28T00:00Z",
            "2026-03-30T00:00Z"
        ),
        [
            "2026-03-28T07:00:00Z/2026-03-28T09:00:00Z",
            "2026-03-29T06:00:00Z/2026-03-29T08:00:00Z"
        ],
    );
    assert_eq!(
        windows(
            "0 7 * * *",
            "2h",
            "Europe/London",
            "2026-10-24T00:00Z",
            "2026-10-26T00:00Z"
        ),
        [
            "2026-10-24T06:00:00Z/2026-10-24T08:00:00Z",
            "2026-10-25T07:00:00Z/2026-10-25T09:00:00Z"
        ],
    );
    // A start that the change skips (01:30 does not exist) comes right after it; one that is repeated comes once.
    assert_eq!(
        windows(
            "30 1 * * *",
            "1h",
            "Europe/London",
            "2026-03-29T00:00Z",
            "2026-03-30T00:00Z"
        ),
        ["2026-03-29T01:00:00Z/2026-03-29T02:00:00Z"],
    );
    assert_eq!(
        windows(
            "30 1 * * *",
            "30m",
            "Europe/London",
            "2026-10-25T00:00Z",
            "2026-10-26T00:00Z"
        ),
        ["2026-10-25T00:30:00Z/2026-10-25T01:00:00Z"],
    );
    // Elapsed time: a night across the change ends an hour later on the wall clock.
    assert_eq!(
        windows(
            "0 22 * * SAT",
            "8h",
            "Europe/London",
            "2026-03-28T12:00Z",
            "2026-03-30T00:00Z"
        ),
        ["2026-03-28T22:00:00Z/2026-03-29T06:00:00Z"],
    );
}

#[test]
fn windows_reach_into_the_horizon_and_join() {
    // Began before the horizon and still holds.
    assert_eq!(
        windows("0 22 * * *", "8h", "UTC", "2026-01-02T03:00Z", "2026-01-02T12:00Z"),
        ["2026-01-01T22:00:00Z/2026-01-02T06:00:00Z"],
    );
    // Every hour for an hour is one window without seams.
    assert_eq!(
        windows("0 * * * *", "1h", "UTC", "2026-01-02T03:30Z", "2026-01-02T12:00Z"),
        ["2026-01-02T03:00:00Z/2026-01-02T12:00:00Z"],
    );
    assert!(windows("0 * * * *", "1h", "UTC", "2026-01-02T03:30Z", "2026-01-01T00:00Z").is_empty());
}

#[test]
fn the_largest_of_overlapping_floors_wins() {
    let with_floor = |schedule: SchedulePolicy, floor| SchedulePolicy {
        floor_vcpus: Cpus(Vcpus::new(floor)),
        ..schedule
    };
    let queue = file::QueuePolicy {
        schedules: vec![
            with_floor(schedule("0 8 * * *", "4h", "UTC"), 64),
            with_floor(schedule("0 10 * * *", "4h", "UTC"), 256),
        ],
        ..file::QueuePolicy::default()
    };
    let segments = schedules::segments(&queue, at("2026-01-01T00:00Z"), Span::from_minutes(1440), 10);
    let shown: Vec<(String, i64, usize, usize)> = segments
        .iter()
        .map(|s| (s.start.to_string(), s.floor.0.get(), s.floor.1, s.in_force.len()))
        .collect();
    assert_eq!(
        shown,
        [
            ("2026-01-01T08:00:00Z".to_owned(), 64, 0, 1),
            ("2026-01-01T10:00:00Z".to_owned(), 256, 1, 2),
            ("2026-01-01T12:00:00Z".to_owned(), 256, 1, 1),
        ]
    );
}

proptest! {
    /// Whatever a file holds, it is read or refused with a line; nothing panics.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*|(version = 1\n|\\[queues\\.\"[*a]\"\\]\n|[a-z_]{1,12} = (\"[^\"\n]*\"|-?[0-9.]{1,20}|\\[\\{|true)\n){0,8}") {
        if let Err(problems) = parse("p.toml", &text) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| problem.line > 0 && !problem.expected.is_empty()));
        }
    }

    /// A valid file with one key replaced by something arbitrary is read or refused too.
    #[test]
    fn any_value_of_a_known_key_is_read_or_refused(
        key in proptest::sample::select(vec!["patience", "idle_time", "reference_job", "schedules", "sqs", "environments", "headroom_slots"]),
        value in "\"[^\"\\\\\n\\p{C}]{0,20}\"|-?[0-9]{1,25}|[0-9]{1,9}\\.[0-9]{1,9}|\\[(\"x\"|1|\\{a=1\\})?\\]|\\{(jobs|cron|vcpus)=(1|\"x\")\\}|1979-05-27|inf|nan",
    ) {
        let text = format!("version = 1\n[queues.\"*\"]\n{key} = {value}\n");
        if let Err(problems) = parse("p.toml", &text) {
            prop_assert!(problems.iter().all(|problem| problem.line == 3), "{}", render(&problems));
        }
    }
}
