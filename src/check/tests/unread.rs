//! What is unread, and what an arbitrary account must not do.

use proptest::prelude::*;
use serde_json::Value;

use super::base::{World, healthy};
use super::cases::CASES;
use crate::account::survey::{Survey, ec2};
use crate::check::{Format, Inputs, Needs, check, fixed_template};
use crate::units::to_usize;

/// Paths to every value of a document that says `known`.
fn known_places(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if fields.len() == 1 && fields.contains_key("known") {
                into.push(at.to_owned());
            }
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                known_places(value, &format!("{at}/{name}"), into);
            }
        }
        Value::Array(items) => {
            for (position, value) in items.iter().enumerate() {
                known_places(value, &format!("{at}/{position}"), into);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn hide(world: &World, place: &str) -> World {
    let mut document = serde_json::to_value(&world.survey).unwrap();
    *document.pointer_mut(place).unwrap() = serde_json::json!({ "unread": { "why": "AccessDenied" } });
    World {
        survey: serde_json::from_value(document).unwrap(),
        ..world.clone()
    }
}

#[test]
fn every_part_that_is_unread_is_told_and_is_never_a_finding() {
    let world = healthy();
    let mut places = Vec::new();
    known_places(&serde_json::to_value(&world.survey).unwrap(), "", &mut places);
    assert!(places.len() > 30, "{places:?}");
    // Each stands for something that the healthy account has no use for.
    let unused = [
        // Nothing is raised.
        "/bases",
        "/roles/own",
        "/roles/fleet",
        "/quotas/L-D18FCD1D",
        "/subnets/subnet-a/known/Endpoints",
        "/subnets/subnet-b/known/Endpoints",
        "/quotas/L-7A658B76/known/Used",
        "/quotas/L-D18FCD1D/known/Used",
    ];
    let mut wrong = Vec::new();
    for place in &places {
        let report = hide(&world, place).check();
        if !report.findings.is_empty() {
            wrong.push(format!("{place}: {:?}", report.findings));
        }
        let looked_at = !unused.contains(&place.as_str())
            && !place.ends_with("/infrastructure_updated_at")
            && !place.ends_with("/infrastructureUpdatedAt");
        if looked_at && !place.ends_with("/recentJobDefinitions") && report.could_not_check.is_empty() {
            wrong.push(format!("{place}: nobody is told"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_depends_on_a_type_that_nobody_knows_could_not_be_checked() {
    for types in [&["m6i.xlarge", "zz9.large"][..], &["zz9.large"]] {
        let mut world = healthy();
        let types: Vec<String> = types.iter().map(ToString::to_string).collect();
        (world.spot().instance_types, world.on_demand().instance_types) = (types.clone(), types);
        let report = world.check();
        let told = |code: &str, name: &str| {
            let mut all = report.could_not_check.iter();
            all.any(|one| one.codes.contains(&code) && one.subject == name && one.because.contains("zz9.large"))
        };
        let of_disks = [
            "AT101", "AT102", "AT103", "AT104", "AT105", "AT106", "AT107", "AT108", "AT109", "AT110", "AT111",
        ];
        let others = [
            "AT209", "AT210", "AT211", "AT309", "AT413", "AT502", "AT601", "AT602", "AT604",
        ];
        for code in of_disks.into_iter().chain(others) {
            assert!(told(code, "spot"), "{code}: {:?}", report.could_not_check);
        }
        assert!(told("AT603", "on-demand") && told("AT406", "spot"));
        let mut quota = report.could_not_check.iter();
        assert!(quota.any(|one| one.codes == ["AT112"]), "{:?}", report.could_not_check);
        // Nobody offers it either.
        let codes: Vec<&str> = report.findings.iter().map(|finding| finding.rule.code).collect();
        assert_eq!(codes, ["AT407", "AT407"]);
    }
}

#[test]
fn nothing_read_is_nothing_found() {
    let report = World {
        survey: Survey::default(),
        ..healthy()
    }
    .check();
    assert_eq!(report.findings, []);
    assert_eq!(report.could_not_check.len(), 1);
}

#[test]
fn what_is_shared_leads_to_the_same_findings() {
    for case in CASES.iter().copied().flatten() {
        let mut world = healthy();
        (case.fails)(&mut world);
        let expected = world.check();
        if let Some(text) = &world.template().user_data {
            let less = ec2::shareable(text);
            assert!(!less.contains("hello") && !less.contains("secret"), "{less}");
            world.template().user_data = Some(less);
        }
        let codes = |report: &super::super::Report| report.findings.iter().map(|f| f.rule.code).collect::<Vec<_>>();
        assert_eq!(codes(&world.check()), codes(&expected), "{}", case.code);
    }
}

#[test]
fn what_is_shared_holds_no_secrets() {
    let text = "MIME-Version: 1.0\nmount -t cifs -o password=hunter2 //a /b\nexport TOKEN=hunter2 ECS_CLUSTER=\"mine\"; curl hunter2\n--password hunter2\n# dm.basesize=20G hunter2\n";
    insta::assert_snapshot!(ec2::shareable(text), @r#"
    MIME-Version: 1.0
    ECS_CLUSTER="mine
    # dm.basesize=20G
    # (left out)
    "#);
}

/// Turns one value into something of its kind that nobody expects.
fn perturb(document: &mut Value, place: usize, with: i64) {
    let mut left = place;
    walk(document, &mut |value| {
        if left == 0 {
            match value {
                Value::Number(_) => *value = Value::from(with),
                Value::String(text) => {
                    let other = [
                        "",
                        "\u{1b}[31m${x}'",
                        "arn:aws:iam::1:role/",
                        "gp2",
                        "SPOT",
                        "BEST_FIT",
                        "ECS_AL2",
                        "m6i",
                        "optimal",
                        "DISABLED",
                    ];
                    *text = other[to_usize(with.unsigned_abs() % 10)].to_owned();
                }
                Value::Bool(flag) => *flag = !*flag,
                Value::Array(items) => items.clear(),
                Value::Object(fields) if fields.contains_key("known") => {
                    *value = serde_json::json!({ "unread": { "why": "denied" } });
                }
                Value::Null | Value::Object(_) => {}
            }
        }
        left = left.wrapping_sub(1);
    });
}

fn walk(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|value| walk(value, visit)),
        Value::Object(fields) => fields.values_mut().for_each(|value| walk(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(-1), Just(0), Just(1), any::<i64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_survey_makes_a_check_fail(
        case in 0..CASES.iter().map(|cases| cases.len()).sum::<usize>(),
        changes in prop::collection::vec((0..700usize, number()), 0..6),
        amounts in (number(), number(), number()),
    ) {
        let mut world = healthy();
        let case = CASES.iter().copied().flatten().nth(case).unwrap();
        (case.fails)(&mut world);
        let mut document = serde_json::to_value(&world.survey).unwrap();
        for (place, with) in changes {
            perturb(&mut document, place, with);
        }
        // What does not read as a survey any more is refused before a check.
        if let Ok(survey) = serde_json::from_value::<Survey>(document) {
            let policy = crate::policy::parse("policy.toml", &world.policy).unwrap();
            let stated = super::super::Need::stated;
            let needs = Needs { image_gib: stated(amounts.0), scratch_gib: stated(amounts.1), job_minutes: stated(amounts.2) };
            let inputs = Inputs { survey: &survey, policy: Some(&policy), needs };
            let report = check(&inputs);
            let again = check(&inputs);
            prop_assert_eq!(&report, &again);
            for format in [Format::Json, Format::CloudFormation, Format::Terraform] {
                let _ = fixed_template(&inputs, "batch", format);
            }
            serde_json::to_string(&report).unwrap();
        }
    }
}
