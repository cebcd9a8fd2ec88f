//! `autotune simulate` as a script sees it: what it prints in each form, what claims and switches do.

use crate::{Ended, autotune, file};

const BASELINES: [&str; 8] = [
    "stock",
    "stock+20m",
    "stock+60m",
    "static-10%",
    "static-25%",
    "min-follows-demand",
    "target-tracking",
    "oracle",
];

fn simulate(more: &[&str]) -> Ended {
    let trace = "tests/traces/nightly.jsonl.gz";
    let first = [
        "simulate",
        "--trace",
        trace,
        "--scenario",
        "spot-128",
        "--policy",
        "reactive",
    ];
    autotune(&[&first[..], more].concat())
}

/// The first words of the rows of the first table.
fn rows(table: &str) -> Vec<&str> {
    let body = table.lines().skip_while(|line| !line.starts_with("---")).skip(1);
    let rows = body.take_while(|line| !line.starts_with("simulated"));
    rows.filter_map(|row| row.split_whitespace().next()).collect()
}

fn json(more: &[&str]) -> serde_json::Value {
    let ended = simulate(&[more, &["--output", "json"]].concat());
    ended.done(&[]);
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn the_table_says_what_waited_what_it_cost_and_that_it_is_simulated() {
    let ended = simulate(&["--against", "thrifty", "--baselines=oracle,stock", "--seeds", "3"]);
    ended.done(&[]);
    assert_eq!(ended.err, "");
    for words in [
        "How long jobs waited",
        "What it cost",
        "simulated with model `recent` of AWS Batch, assumed until calibrated; view recent",
        "seeds 1-3",
        "scenario spot-128",
        "nightly.jsonl.gz (1400 jobs)",
    ] {
        assert!(ended.out.contains(words), "`{words}` is missing in\n{}", ended.out);
    }
    // Baselines come in their own order, after the policies.
    assert_eq!(rows(&ended.out), ["reactive", "thrifty", "stock", "oracle"]);
    assert!(ended.out.lines().all(|line| line.chars().count() <= 140));
    assert!(ended.out.contains('±'), "three seeds without intervals");
}

#[test]
fn json_has_a_run_for_every_policy_and_seed() {
    let report = json(&["--baselines=stock", "--seeds", "2"]);
    assert_eq!(
        (&report["version"], &report["source"]),
        (&1.into(), &"simulated".into())
    );
    assert_eq!(report["seeds"], serde_json::json!([1, 2]));
    let policies = report["policies"].as_array().unwrap();
    let names: Vec<&str> = policies.iter().filter_map(|policy| policy["name"].as_str()).collect();
    assert_eq!(names, ["reactive", "stock"]);
    for policy in policies {
        let seeds: Vec<_> = (policy["runs"].as_array().unwrap().iter())
            .map(|run| &run["seed"])
            .collect();
        assert_eq!(seeds, [1, 2]);
        assert_eq!(policy["runs"][0]["all"]["started"], 1400.0);
        assert!(policy["all"]["cost_usd"]["mean"].as_f64() > Some(0.0));
    }
}

#[test]
fn csv_has_a_row_for_every_policy_and_seed() {
    let ended = simulate(&["--baselines=stock", "--seeds", "2", "--output", "csv"]);
    ended.done(&[]);
    let mut reader = csv::Reader::from_reader(ended.out.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let keys: Vec<_> = rows.iter().map(|row| (&row[at("policy")], &row[at("seed")])).collect();
    assert_eq!(
        keys,
        [("reactive", "1"), ("reactive", "2"), ("stock", "1"), ("stock", "2")]
    );
    for row in &rows {
        assert_eq!(&row[at("source")], "simulated");
        row[at("wait_p95_seconds")].parse::<f64>().unwrap();
        row[at("cost_usd")].parse::<f64>().unwrap();
    }
}

#[test]
fn claims_that_hold_end_with_zero_and_others_with_one() {
    let ended = simulate(&["--assert", "launches >= 1", "--assert", "cost <= 100 * stock"]);
    ended.done(&["held: launches >= 1: found ", "held: cost <= 100 * stock: found $"]);
    // A claim that names a baseline brings it along.
    assert_eq!(rows(&ended.out), ["reactive", "stock"]);

    let ended = simulate(&["--assert", "launches >= 1", "--assert", "cost <= 0.01 * stock"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    for words in [
        "held: launches >= 1",
        "failed: cost <= 0.01 * stock: found $",
        ", expected <= $",
        "(0.01 * $",
    ] {
        assert!(ended.err.contains(words), "`{words}` is missing in\n{}", ended.err);
    }
    assert!(ended.out.contains("What it cost"), "a failed claim needs its figures");

    simulate(&["--assert", "wait_p59 <= 60s"]).refused(2, &["\"wait_p59\"", "did you mean `wait_p"]);
}

#[test]
fn baselines_are_all_or_those_that_are_named() {
    let ended = simulate(&["--baselines"]);
    ended.done(&[]);
    assert_eq!(rows(&ended.out), [&["reactive"], &BASELINES[..]].concat());
    simulate(&["--baselines=stock,nobody"]).refused(2, &["found \"nobody\"", &BASELINES.join(", ")]);
}

#[test]
fn perfect_sight_changes_what_is_steered_and_nothing_else() {
    let recent = json(&["--baselines=stock"]);
    let perfect = json(&["--baselines=stock", "--perfect-view"]);
    assert_eq!(
        (&recent["view"]["name"], &perfect["view"]["name"]),
        (&"recent".into(), &"perfect".into())
    );
    let run = |report: &serde_json::Value, policy: usize| report["policies"][policy]["runs"][0]["all"].clone();
    assert_eq!(run(&recent, 1), run(&perfect, 1), "nobody looks in stock");
    assert_ne!(run(&recent, 0), run(&perfect, 0));
}

#[test]
fn numbers_of_seeds_and_threads_change_no_run() {
    let one = json(&["--seeds", "1", "--threads", "1"]);
    let three = json(&["--seeds", "3", "--threads", "3"]);
    let runs = &three["policies"][0]["runs"];
    assert_eq!(one["policies"][0]["runs"][0], runs[0]);
    assert_ne!(runs[0]["all"], runs[1]["all"]);
    simulate(&["--seeds", "0"]).refused(2, &["--seeds"]);
}

#[test]
fn jobs_that_no_environment_holds_are_counted_and_strict_refuses_them() {
    let folder = tempfile::tempdir().unwrap();
    let job = |id: u32, vcpus: u32| {
        format!(
            r#"{{"job":{{"id":{id},"submit_ms":5,"run_ms":9000,"vcpus":{vcpus},"memory_mib":2048,"queue":"q","name":"n"}}}}"#
        )
    };
    let text = format!(
        "{}\n{}\n{}\n",
        r#"{"autotune_trace":{"version":1}}"#,
        job(0, 1),
        job(1, 100_000)
    );
    let trace = file(folder.path(), "large.jsonl", text.as_bytes());
    let arguments = [
        "simulate",
        "--trace",
        &trace,
        "--scenario",
        "spot-128",
        "--policy",
        "reactive",
    ];
    let ended = autotune(&[&arguments[..], &["--output", "csv"]].concat());
    ended.done(&[]);
    let mut reader = csv::Reader::from_reader(ended.out.as_bytes());
    let at = reader
        .headers()
        .unwrap()
        .iter()
        .position(|column| column == "never_fits");
    assert_eq!(&reader.records().next().unwrap().unwrap()[at.unwrap()], "1");
    let words = [
        "found 1 jobs that no environment of the scenario can hold",
        "hint: ",
        "--split-above",
    ];
    autotune(&[&arguments[..], &["--strict"]].concat()).refused(2, &words);
}

#[test]
fn a_timeline_is_written_beside_the_table_or_nothing_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("timeline.csv");
    let ended = simulate(&["--timeline", out.to_str().unwrap()]);
    ended.done(&[]);
    assert_eq!(rows(&ended.out), ["reactive"]);
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("time,kind,name,"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("none/timeline.csv");
    simulate(&["--timeline", nowhere.to_str().unwrap()]).refused(3, &["failed to write ", "No such file"]);
}

#[test]
fn queues_that_a_scenario_does_not_have_are_told_routed_or_refused() {
    let ended = simulate(&[]);
    ended.done(&[]);
    let note = "* jobs of queues that the scenario does not have, which went to default: 1400 (1400 of nightly)";
    assert!(ended.out.contains(note), "{}", ended.out);
    assert_eq!(json(&[])["unknown_queues"]["queues"][0]["name"], "nightly");
    let routed = json(&["--queue", "nightly=default"]);
    assert_eq!(routed["unknown_queues"], serde_json::Value::Null);
    simulate(&["--queue", "nightly"]).refused(2, &["--queue", "RECORDED=SCENARIO"]);
    simulate(&["--queue", "weekly=fast"]).refused(2, &["\"nightly\" (1400 jobs)", "\"fast\"", "\"default\""]);

    // A recording of two queues, a scenario of two others.
    let two = ["--trace", "tests/traces/diurnal.jsonl.gz", "--scenario", "two-queues"];
    let over_two = |more: &[&str]| {
        let first = [
            "simulate",
            "--trace",
            "tests/traces/nightly.jsonl.gz",
            "--policy",
            "reactive",
        ];
        autotune(&[&first[..], &two, more].concat())
    };
    let names = [
        "\"diurnal\" (4227 jobs)",
        "\"nightly\" (1400 jobs)",
        "\"urgent\"",
        "hint: --queue",
        "--keep-names",
    ];
    over_two(&[]).refused(2, &names);
    let routes = [
        "--queue",
        "nightly=default",
        "--queue",
        "diurnal=urgent",
        "--output",
        "json",
    ];
    let ended = over_two(&routes);
    ended.done(&[]);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let started: Vec<_> = (report["policies"][0]["runs"][0]["queues"].as_array().unwrap().iter())
        .map(|queue| (queue["name"].clone(), queue["figures"]["started"].clone()))
        .collect();
    assert_eq!(
        started,
        [("default".into(), 1400.0.into()), ("urgent".into(), 4227.0.into())]
    );
}
