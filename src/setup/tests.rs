//! What compiling a policy against an account promises.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::compile::{Compiled, compile};
use super::types::frontier;
use super::*;
use crate::account::{ComputeEnvironment, JobQueue, OfferedType, Topology};
use crate::catalog::Resources;
use crate::input::render;
use crate::policy::{self, Policy};
use crate::units::{Mebibytes, MicroUsd, Time};

fn resources(vcpus: i64, gibibytes: i64, gpus: u32) -> Resources {
    Resources {
        vcpus: Vcpus::new(vcpus),
        memory: Mebibytes::new(gibibytes * 1024),
        gpus,
    }
}

fn environment(name: &str, purchase: Purchase, max: i64) -> ComputeEnvironment {
    let offered = |name: &str, registered| OfferedType {
        name: name.to_owned(),
        registered,
        per_hour: MicroUsd::new(1),
    };
    ComputeEnvironment {
        name: name.to_owned(),
        tags: BTreeMap::from([("team".to_owned(), name.split('-').next().unwrap().to_owned())]),
        platform: Platform::Ec2,
        purchase,
        min_vcpus: Vcpus::new(2),
        max_vcpus: Vcpus::new(max),
        types: vec![
            offered("c", resources(4, 8, 0)),
            offered("m", resources(8, 32, 0)),
            offered("r", resources(8, 16, 0)),
        ],
    }
}

fn queue(name: &str, priority: i32, environments: &[&str]) -> JobQueue {
    let environments = environments.iter().map(|name| (*name).to_owned()).collect();
    JobQueue {
        name: name.to_owned(),
        priority,
        environments,
        fair_share: false,
    }
}

/// Two queues on a Spot environment and an On-Demand one behind it; names end as Terraform would end them.
fn account() -> Topology {
    Topology {
        environments: vec![
            environment("genomics-spot-2f9a", Purchase::Spot, 128),
            environment("genomics-od-77c1", Purchase::OnDemand, 64),
        ],
        queues: vec![
            queue("nightly", 1, &["genomics-spot-2f9a"]),
            queue("genomics", 5, &["genomics-spot-2f9a", "genomics-od-77c1"]),
            queue("ad-hoc", 5, &["genomics-od-77c1"]),
        ],
    }
}

fn policy_of(files: &[(&str, &str)]) -> Policy {
    let mut policy = Policy::default();
    for (name, text) in files {
        let text = format!("version = 1\n{text}");
        policy.files.extend(
            policy::parse(name, &text)
                .map_err(|problems| render(&problems))
                .unwrap()
                .files,
        );
    }
    policy
}

fn compiled(files: &[(&str, &str)], topology: &Topology) -> Result<Compiled, String> {
    let horizon = (Time::EPOCH, Time::EPOCH + Span::from_minutes(7 * 24 * 60));
    compile(&policy_of(files), topology, horizon).map_err(|problems| render(&problems))
}

fn one(text: &str) -> Result<Compiled, String> {
    compiled(&[("p.toml", text)], &account())
}

#[test]
fn names_become_indices_and_defaults_are_filled_in() {
    let setup = one("[queues.\"*\"]\n").unwrap().setup;
    let spot = &setup.environments[0];
    assert!(spot.covered && !spot.enforces() && spot.cap.is_none());
    assert_eq!(spot.base, Vcpus::new(2), "the base is the operator's own minvCpus");
    assert_eq!(
        spot.fits,
        [resources(4, 8, 0), resources(8, 16, 0), resources(8, 32, 0)],
        "every size, smallest first: what takes a whole instance takes the smallest that holds it"
    );
    assert_eq!(
        (spot.memory_per_kilo_vcpu, spot.vcpus_per_gpu),
        (4 * 1024 * 1024, Vcpus::ZERO)
    );
    assert_eq!((spot.smallest, spot.largest), (Vcpus::new(4), Vcpus::new(8)));
    let quotas: Vec<QuotaIndex> = spot.quotas.iter().map(|share| share.quota).collect();
    assert_eq!(quotas, [QuotaIndex::at(1)]);
    assert_eq!(setup.quotas[1].code, "L-34B43A08");
    assert_eq!(
        setup.queues[1].environments,
        [EnvironmentIndex::at(0), EnvironmentIndex::at(1)]
    );
    let names: Vec<&str> = setup
        .serve_order
        .iter()
        .map(|q| setup.queues[q.position()].name.as_str())
        .collect();
    assert_eq!(
        names,
        ["ad-hoc", "genomics", "nightly"],
        "highest priority first, then by name"
    );
    assert_eq!(setup.tempo, Tempo::default());
    assert_eq!(
        setup.queues[0].patience,
        [Patience {
            jobs: 1,
            after: Span::from_minutes(4)
        }]
    );
}

#[test]
fn an_environment_that_replaces_another_inherits_its_policy() {
    let by = [
        "genomics-spot-*",
        "tag:team=genom*",
        "genomics-{spot,x}-*",
        "genomics-spot-2f9a",
    ];
    for selector in by {
        let except = if selector.starts_with("tag") {
            "except = [\"*-od-*\"]\n"
        } else {
            ""
        };
        let text = format!("[queues.\"*\"]\n[environments.{selector:?}]\n{except}min_vcpus = 16\ncap = \"50%\"\n");
        let setup = one(&text).unwrap().setup;
        let got: Vec<(i64, Option<Vcpus>)> = setup.environments.iter().map(|e| (e.base.get(), e.cap)).collect();
        assert_eq!(got, [(16, Some(Vcpus::new(64))), (2, None)], "{selector}");
    }
}

#[test]
fn two_entries_for_one_queue_or_environment_name_both_files() {
    let files = [
        ("a.toml", "[queues.\"gen*\"]\n[environments.\"*\"]\n"),
        (
            "b.toml",
            "[queues.genomics]\n[environments.\"tag:team=*\"]\nexcept = [\"*-od-*\"]\n",
        ),
    ];
    let said = compiled(&files, &account()).unwrap_err();
    assert_eq!(
        said,
        "b.toml:2:9: queues.genomics: found a second entry for the job queue genomics, expected one; \"gen*\" in a.toml:2 chooses it too\n  \
         hint: add `except = [\"genomics\"]` there or `except = [\"gen*\"]` here, whichever is the wider\n\
         b.toml:3:15: environments.\"tag:team=*\": found a second entry for the compute environment genomics-spot-2f9a, expected one; \"*\" in a.toml:3 chooses it too\n  \
         hint: add `except = [\"tag:team=*\"]` there or `except = [\"*\"]` here, whichever is the wider\n2 problems"
    );
    let repaired = [
        ("a.toml", "[queues.\"gen*\"]\nexcept = [\"genomics\"]\n"),
        ("b.toml", "[queues.genomics]\nidle_time = \"5m\"\n"),
    ];
    let setup = compiled(&repaired, &account()).unwrap().setup;
    assert_eq!(setup.queues[1].idle_time, Span::from_minutes(5));
}

#[test]
fn contradictory_limits_are_refused_with_their_line() {
    let cases = [
        (
            "[environments.\"*-spot-*\"]\nmin_vcpus = 129",
            "p.toml:4:1: environments.\"*-spot-*\".min_vcpus: found a base of 129 vCPUs for genomics-spot-2f9a, expected at most its maxvCpus of 128 vCPUs",
        ),
        (
            "[environments.\"*-spot-*\"]\nmin_vcpus = 70\ncap = \"50%\"",
            "p.toml:4:1: environments.\"*-spot-*\".min_vcpus: found a base of 70 vCPUs for genomics-spot-2f9a, expected at most its cap of 64 vCPUs",
        ),
        (
            "[queues.\"*\".sqs.in]\nhand_off = \"workers\"",
            "p.toml:3:17: queues.\"*\".sqs.in: found an SQS queue that feeds the job queues",
        ),
    ];
    for (text, expected) in cases {
        let said = one(&format!("[queues.\"*\"]\n{text}\n")).unwrap_err();
        assert!(
            said.contains(expected),
            "for {text}\nexpected: {expected}\nsaid: {said}"
        );
    }
    let twice = "[queues.nightly.sqs.in]\nhand_off = \"workers\"\n[queues.genomics.sqs.in]\nhand_off = \"workers\"\n";
    assert!(
        one(twice)
            .unwrap_err()
            .contains("an SQS queue that feeds the job queues nightly and genomics")
    );
    let mut missing = account();
    missing.environments.pop();
    let said = compiled(&[("p.toml", "[queues.\"*\"]")], &missing).unwrap_err();
    assert!(
        said.contains("job queue ad-hoc: found the compute environment \"genomics-od-77c1\", which does not exist"),
        "{said}"
    );
}

/// A person may raise it at any time, and no other environment is to stand still for it.
#[test]
fn a_min_above_the_cap_that_no_policy_names_is_said_and_no_error() {
    let text = "[queues.\"*\"]\n[environments.\"*-od-*\"]\ncap = 1\n";
    let Compiled { setup, notes, .. } = compiled(&[("p.toml", text)], &account()).unwrap();
    assert!(setup.environments[1].base > setup.environments[1].cap.unwrap());
    let said = "compute environment genomics-od-77c1: its minvCpus of 2 vCPUs is above its cap of 1 vCPU, so nothing is asked for beyond that";
    assert!(notes.iter().any(|note| note == said), "{notes:?}");
}

#[test]
fn what_is_not_covered_is_watched_and_said() {
    let mut topology = account();
    topology.environments.push(ComputeEnvironment {
        platform: Platform::Fargate,
        ..environment("f-1", Purchase::OnDemand, 9)
    });
    topology.environments.push(environment("unused-1", Purchase::Spot, 9));
    topology.queues.push(queue("serverless", 0, &["f-1"]));
    let text = "[queues.nightly]\n[queues.serverless]\n[queues.gone]\n[environments.\"old-*\"]\n";
    let Compiled { setup, notes, .. } = compiled(&[("p.toml", text)], &topology).unwrap();
    let covered: Vec<bool> = setup
        .environments
        .iter()
        .map(|environment| environment.covered)
        .collect();
    assert_eq!(covered, [true, false, false, false]);
    assert!(
        setup.queues[0].follows_runnable && !setup.queues[1].follows_runnable && setup.queues[1].patience.is_empty()
    );
    assert_eq!(
        notes,
        [
            "job queue genomics: no policy covers it; it is watched, not acted for",
            "job queue ad-hoc: no policy covers it; it is watched, not acted for",
            "p.toml:4: \"gone\" chooses no job queue",
            "compute environment f-1: Fargate has no minvCpus; it is watched, not steered",
            "p.toml:5: \"old-*\" chooses no compute environment",
            "compute environment unused-1: no job queue uses it",
        ]
    );
}

#[test]
fn only_chosen_environments_of_a_queue_are_steered() {
    let setup = one("[queues.genomics]\nenvironments = [\"*-spot-*\"]\n").unwrap().setup;
    assert!(setup.environments[0].covered && !setup.environments[1].covered);
    assert_eq!(setup.queues[1].environments.len(), 2, "Batch still uses the other one");
    let notes = one("[queues.genomics]\nenvironments = [\"typo-*\"]\n").unwrap().notes;
    assert!(
        notes.contains(&"p.toml:2: \"typo-*\" chooses no compute environment of job queue genomics".to_owned()),
        "{notes:?}"
    );
}

#[test]
fn headroom_in_a_job_that_fits_nowhere_is_said() {
    let said = |job: &str| {
        one(&format!(
            "[queues.genomics]\nheadroom_slots = 1\nreference_job = {job}\n"
        ))
        .unwrap()
        .notes
    };
    let about = "job queue genomics: no steered environment can run the reference job";
    assert!(said("{ vcpus = 9 }").iter().any(|note| note.starts_with(about)));
    assert!(
        !said("{ vcpus = 8, memory = \"32 GiB\" }")
            .iter()
            .any(|note| note.starts_with(about))
    );
}

#[test]
fn settings_that_can_do_nothing_are_said() {
    let notes = one("[queues.nightly]\non_demand_base = 8\n[queues.genomics]\non_demand_base = 8\n")
        .unwrap()
        .notes;
    let about = |queue: &str| {
        format!("job queue {queue}: no steered environment is On-Demand, so `on_demand_base` does nothing")
    };
    assert!(
        notes.contains(&about("nightly")) && !notes.contains(&about("genomics")),
        "{notes:?}"
    );
    let mut topology = account();
    topology.environments[0].types.clear();
    let notes = compiled(&[("p.toml", "[queues.nightly]")], &topology).unwrap().notes;
    let about = "compute environment genomics-spot-2f9a: no instance type is known, so no job is placed on it";
    assert!(notes.contains(&about.to_owned()), "{notes:?}");
}

#[test]
fn signals_that_do_not_count_leave_nothing_behind() {
    let all = "headroom_slots = 3\n[[queues.nightly.schedules]]\ncron = \"0 0 * * *\"\nduration = \"1h\"\ntime_zone = \"UTC\"\nfloor_vcpus = 32\n\
               [[queues.nightly.schedules]]\ncron = \"30 0 * * MON\"\nduration = \"1h\"\ntime_zone = \"UTC\"\nheadroom_slots = 7\n\
               [queues.nightly.sqs.in]\nhand_off = \"dispatcher\"\njobs_per_message = 0.1\n";
    let Compiled { setup, forecast, .. } = one(&format!("[queues.nightly]\n{all}")).unwrap();
    let (nightly, windows) = (&setup.queues[0], forecast.windows(QueueIndex(0)));
    assert_eq!(
        (nightly.headroom_slots, windows.len(), nightly.sqs_sources.len()),
        (3, 8, 1)
    );
    assert!(windows.is_sorted_by_key(|window| window.start));
    assert_eq!(windows[0].floor_vcpus, Vcpus::new(32));
    assert_eq!(
        setup.sqs_sources[0].hand_off,
        HandOff::Dispatcher {
            jobs_per_kilo_message: 100
        }
    );
    assert_eq!(
        (setup.sqs_sources[0].queue, setup.sqs_sources[0].patience),
        (QueueIndex::at(0), Span::from_minutes(10))
    );

    let setup = one("[queues.nightly]\nsignals = [\"headroom\"]\nheadroom_slots = 3\n")
        .unwrap()
        .setup;
    assert!(!setup.queues[0].follows_runnable && setup.queues[0].headroom_slots == 3);
}

#[test]
fn quotas_and_tempo_come_from_whichever_file_has_them() {
    let files = [
        (
            "a.toml",
            "[queues.\"*\"]\n[account]\ncap = 100\n[account.quotas.L-34B43A08]\nlimit = 640\nreserve = \"10%\"\n",
        ),
        (
            "b.toml",
            "[tempo]\nlease = \"20m\"\n[account.quotas.L-1216C47A]\nreserve = 16\n",
        ),
    ];
    let setup = compiled(&files, &account()).unwrap().setup;
    let quotas: Vec<(&str, Option<i64>, i64)> = setup
        .quotas
        .iter()
        .map(|q| (q.code.as_str(), q.limit.map(Vcpus::get), q.reserve.get()))
        .collect();
    assert_eq!(quotas, [("L-1216C47A", None, 16), ("L-34B43A08", Some(640), 64)]);
    assert_eq!(setup.account_cap, Some(Vcpus::new(100)));
    assert_eq!(
        setup.tempo,
        Tempo {
            lease: Span::from_minutes(20),
            ..Tempo::default()
        }
    );
}

#[test]
fn shipped_policies_run_on_any_account() {
    // Two name an SQS queue and the job queue that it feeds: examples to fill in, not for any account.
    let general = |name: &str| !["sqs-ahead", "demo"].contains(&name);
    for (name, text) in policy::SHIPPED.into_iter().filter(|(name, _)| general(name)) {
        let policy = policy::parse(name, text).unwrap();
        let compiled = compile(&policy, &account(), (Time::EPOCH, Time::from_seconds(30 * 86_400))).unwrap();
        assert!(
            compiled
                .setup
                .environments
                .iter()
                .all(|environment| environment.covered),
            "{name}"
        );
        assert_eq!(compiled.notes, Vec::<String>::new(), "{name}");
        assert!(
            compile(&policy, &Topology::default(), (Time::FAR_PAST, Time::EPOCH)).is_ok(),
            "{name}"
        );
    }
}

proptest! {
    /// A job fits one of the kept types exactly if it fits any type.
    #[test]
    fn dropping_dominated_types_changes_no_fit(
        types in proptest::collection::vec((1_i64..6, 1_i64..6, 0_u32..3), 0..12),
        job in (1_i64..7, 1_i64..7, 0_u32..4),
    ) {
        let types: Vec<Resources> = types.into_iter().map(|(v, m, g)| resources(v, m, g)).collect();
        let job = resources(job.0, job.1, job.2);
        let kept = frontier(types.clone());
        prop_assert_eq!(types.iter().any(|t| t.hold(&job)), kept.iter().any(|t| t.hold(&job)));
        for (i, a) in kept.iter().enumerate() {
            prop_assert!(kept.iter().enumerate().all(|(j, b)| i == j || !b.hold(a)), "{:?}", kept);
        }
    }
}

/// Which quota counts a launch is known only when it is there.
#[test]
fn an_environment_draws_from_every_quota_that_counts_one_of_its_types() {
    let offered = |name: &str, registered| OfferedType {
        name: name.to_owned(),
        registered,
        per_hour: MicroUsd::new(1),
    };
    let mut account = account();
    account.environments[0].types = vec![
        offered("m6i.xlarge", resources(4, 16, 0)),
        offered("g5.xlarge", resources(4, 16, 1)),
        offered("m6i.4xlarge", resources(16, 64, 0)),
        offered("quantum1.large", resources(64, 64, 0)),
    ];
    let setup = |account: &Topology| {
        let text = "[account]\nregion = \"eu-west-1\"\n[queues.\"*\"]\n";
        compiled(&[("p.toml", text)], account).unwrap().setup
    };
    let spot = setup(&account);
    let mut shares: Vec<_> = (spot.environments[0].quotas.iter())
        .map(|share| {
            let code = spot.quotas[share.quota.position()].code.as_str();
            (code, share.smallest.get(), share.largest.get(), share.fits.len())
        })
        .collect();
    shares.sort_unstable();
    assert_eq!(shares, [("L-34B43A08", 4, 16, 1), ("L-3819A6DF", 4, 4, 1)]);
    assert_eq!(spot.region.as_deref(), Some("eu-west-1"));
    account.environments[0].platform = Platform::Unmanaged;
    assert_eq!(setup(&account).environments[0].quotas, []);
}
