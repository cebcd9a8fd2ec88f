//! Every rule with an account that breaks it and one that does not; what is unread; what any account must not do.

mod base;
mod cases;
mod first_policy;
mod fixes;
mod steered;
mod unread;

use std::collections::BTreeSet;

use super::{Severity, explanation, page, rules};
use crate::account::survey::Survey;
use base::healthy;
use cases::CASES;

#[test]
fn in_a_healthy_account_nothing_is_found_and_everything_is_looked_at() {
    let report = healthy().check();
    assert_eq!(report.findings, []);
    assert_eq!(report.could_not_check, []);
}

#[test]
fn every_rule_finds_its_trouble_with_its_evidence_and_nothing_else() {
    let mut wrong = Vec::new();
    for case in CASES.iter().copied().flatten() {
        let mut world = healthy();
        (case.fails)(&mut world);
        let report = world.check();
        let codes: BTreeSet<&str> = report.findings.iter().map(|finding| finding.rule.code).collect();
        let expected: BTreeSet<&str> = case.also.iter().copied().chain([case.code]).collect();
        if codes != expected {
            wrong.push(format!("{}: found {codes:?}, expected {expected:?}", case.code));
        }
        let same = |finding: &&super::Finding| finding.rule.code == case.code && finding.subject == case.about;
        let Some(finding) = report.findings.iter().find(same) else {
            let about: Vec<&str> = report.findings.iter().map(|finding| finding.subject.as_str()).collect();
            wrong.push(format!("{}: nothing about {}, but {about:?}", case.code, case.about));
            continue;
        };
        for (name, value) in case.evidence {
            if finding.evidence.get(name).is_none_or(|found| found != value) {
                wrong.push(format!("{}: {name} is not {value}: {:?}", case.code, finding.evidence));
            }
        }
        if finding.message.is_empty() || finding.fix.is_empty() {
            wrong.push(format!("{}: says nothing", case.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_lets_pass_what_is_nearly_wrong() {
    let mut wrong = Vec::new();
    for case in CASES.iter().copied().flatten() {
        let mut world = healthy();
        (case.passes)(&mut world);
        for finding in world.check().findings {
            if finding.rule.code == case.code {
                wrong.push(format!("{}: {} {:?}", case.code, finding.message, finding.evidence));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a rule fails or passes on is what AWS could have told.
#[test]
#[ignore = "needs botocore: run by tests/run"]
#[expect(clippy::disallowed_methods, reason = "the test command says where Python is")]
fn the_account_of_every_example_is_of_the_shapes_that_aws_publishes() {
    let mut surveys = vec![("healthy".to_owned(), healthy().survey)];
    for case in CASES.iter().copied().flatten() {
        for (which, change) in [("fails", case.fails), ("passes", case.passes)] {
            let mut world = healthy();
            change(&mut world);
            surveys.push((format!("{} {which}", case.code), world.survey));
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::to_vec(&surveys).unwrap()).unwrap();
    let python = std::env::var("AUTOTUNE_TEST_PYTHON").expect("AUTOTUNE_TEST_PYTHON is set by tests/run");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/model.py");
    let checked = std::process::Command::new(python)
        .args([model.as_ref(), "--surveys".as_ref(), file.path().as_os_str()])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn every_rule_has_a_case_an_explanation_and_a_source() {
    let cases: Vec<&str> = CASES.iter().copied().flatten().map(|case| case.code).collect();
    let codes: Vec<&str> = rules().map(|rule| rule.code).collect();
    assert_eq!(cases, codes, "one case for each rule, in their order");
    let names: BTreeSet<&str> = rules().map(|rule| rule.name).collect();
    assert_eq!(names.len(), codes.len(), "a name is used twice");
    assert!(codes.is_sorted(), "codes are in order, and each is used once");
    let page = page();
    for rule in rules() {
        assert!(!rule.sources.is_empty(), "{} has no source", rule.code);
        for text in [rule.finds, rule.why, rule.fix] {
            assert!(text.len() > 20 && !text.contains("  "), "{}: {text:?}", rule.code);
        }
        let explained = explanation(rule);
        for part in [rule.code, rule.name, rule.finds, rule.why, rule.fix, rule.sources[0]] {
            assert!(
                explained.contains(part) && page.contains(part),
                "{}: {part:?} is not explained",
                rule.code
            );
        }
    }
}

#[test]
fn what_follows_from_assumptions_is_no_error() {
    let mut world = healthy();
    world.root().volume_size = Some(30);
    world.asks("1", "256");
    let severity = |world: &base::World| {
        world
            .check()
            .findings
            .iter()
            .find(|f| f.rule.code == "AT101")
            .map(|f| f.severity)
    };
    world.needs.scratch_gib = super::Need {
        amount: 8,
        assumed: true,
    };
    assert_eq!(severity(&world), Some(Severity::Warning));
    world.needs.scratch_gib = super::Need::stated(8);
    world.needs.image_gib = super::Need::stated(2);
    assert_eq!(severity(&world), Some(Severity::Error));
    // Nobody saw which jobs come there.
    world.queue().recent_job_definitions = crate::account::survey::Known::default();
    assert_eq!(severity(&world), Some(Severity::Warning));
}

#[test]
fn rules_are_chosen_by_the_beginning_of_their_codes() {
    let mut world = healthy();
    world.environment(0).state = "DISABLED".to_owned();
    world.spot().min_vcpus = 4;
    world.job().timeout = None;
    let kept = |select: &[&str], ignore: &[&str]| {
        let mut report = world.check();
        let owned = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>();
        report.keep(&owned(select), &owned(ignore));
        report
            .findings
            .iter()
            .map(|finding| finding.rule.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(&[], &[]), ["AT403", "AT402", "AT503"]);
    assert_eq!(kept(&["AT4"], &[]), ["AT403", "AT402"]);
    assert_eq!(kept(&["AT4"], &["AT403"]), ["AT402"]);
    assert_eq!(kept(&["AT503"], &["AT5"]), Vec::<&str>::new());
}

#[test]
fn a_survey_is_the_same_after_it_was_written_and_read() {
    for case in CASES.iter().copied().flatten() {
        let mut world = healthy();
        (case.fails)(&mut world);
        let text = serde_json::to_string(&world.survey).unwrap();
        let read: Survey = serde_json::from_str(&text).unwrap();
        assert_eq!(read, world.survey, "{}", case.code);
    }
    let nothing: Survey = serde_json::from_str("{\"version\": 1}").unwrap();
    assert!(nothing.compute_environments.read().is_err());
    assert!(
        serde_json::from_str::<Survey>("{\"version\": 1, \"quota\": {}}").is_err(),
        "a slip is not left unread"
    );
}

#[test]
fn what_is_deliberate_or_far_away_is_no_error() {
    use crate::account::survey::Known;
    type Change = fn(&mut base::World);
    let cases: [(&str, Severity, Change); 11] = [
        ("AT401", Severity::Error, |world| {
            world.environment(0).status = "INVALID".to_owned();
        }),
        ("AT401", Severity::Warning, |world| {
            world.environment(0).status = "INVALID".to_owned();
            world.environment(0).state = "DISABLED".to_owned();
        }),
        // The queue has another, or has none.
        ("AT402", Severity::Info, |world| {
            world.environment(0).state = "DISABLED".to_owned();
        }),
        ("AT402", Severity::Warning, |world| {
            world.environment(0).state = "DISABLED".to_owned();
            world.environment(1).state = "DISABLED".to_owned();
        }),
        ("AT414", Severity::Info, |world| {
            world.queue().state = "DISABLED".to_owned();
        }),
        ("AT414", Severity::Error, |world| {
            world.queue().status = "INVALID".to_owned();
        }),
        // Addresses for 8 or 16 instances at maxvCpus.
        ("AT309", Severity::Info, |world| {
            world.subnet("subnet-a").available_ip_address_count = 9;
            world.subnet("subnet-b").available_ip_address_count = 0;
        }),
        ("AT309", Severity::Warning, |world| {
            world.subnet("subnet-a").available_ip_address_count = 1;
            world.subnet("subnet-b").available_ip_address_count = 0;
        }),
        ("AT210", Severity::Warning, |world| {
            world.image("amzn2-ami-ecs-hvm-2.0.20260101-x86_64-ebs", "x86_64", None);
        }),
        ("AT708", Severity::Error, |world| {
            base::list(&mut world.survey.permissions)[0].allowed = Known::Known(false);
        }),
        ("AT708", Severity::Warning, |world| {
            let permission = &mut base::list(&mut world.survey.permissions)[0];
            permission.allowed = Known::Known(false);
            permission.action = "servicequotas:GetServiceQuota".to_owned();
        }),
    ];
    for (code, severity, change) in cases {
        let mut world = healthy();
        change(&mut world);
        let report = world.check();
        let mut found = report.findings.iter().filter(|finding| finding.rule.code == code);
        assert_eq!(found.next().map(|finding| finding.severity), Some(severity), "{code}");
    }
}
