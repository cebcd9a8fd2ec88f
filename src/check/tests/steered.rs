//! An account that autotune steers while it is looked at, and what is not the account's own.

use super::super::{Report, Severity, over_committed};
use super::base::{World, healthy};
use crate::account::survey::{Base, Known, Route};

/// A lease holds 32 vCPUs above a base of 0, and for a quota maxvCpus is 20 instead of 64.
fn leased(policy: &str) -> World {
    let mut world = healthy();
    world.policy.push_str(policy);
    (world.spot().min_vcpus, world.spot().max_vcpus) = (32, 20);
    world.survey.bases = Known::Known(vec![Base {
        compute_environment: "spot".to_owned(),
        min_vcpus: 0,
        max_vcpus: Some(64),
    }]);
    world
}

fn found(world: &World) -> Vec<(&'static str, Severity)> {
    let findings = world.check().findings;
    findings
        .iter()
        .map(|finding| (finding.rule.code, finding.severity))
        .collect()
}

fn is_unread(report: &Report, code: &str, subject: &str, why: &str) -> bool {
    let mut all = report.could_not_check.iter();
    all.any(|one| one.codes.contains(&code) && one.subject == subject && one.because.contains(why))
}

#[test]
fn what_autotune_has_changed_is_not_taken_for_the_operators() {
    // The policies hold for the operator's own levels, and for none of ours.
    let mut world = leased("[environments.spot]\nmin_vcpus = 24\n");
    world.survey.bases = Known::Known(vec![Base {
        compute_environment: "arn:aws:batch:eu-central-1:111122223333:compute-environment/spot".to_owned(),
        min_vcpus: 24,
        max_vcpus: Some(64),
    }]);
    assert_eq!(found(&world), []);
    // Without that knowledge it is neither right nor wrong.
    world.survey.bases = Known::unread("AccessDenied");
    let report = world.check();
    assert_eq!(report.findings, []);
    let of_spot = |one: &&super::super::CouldNotCheck| one.codes == ["AT711"] && one.because.contains("AccessDenied");
    assert!(
        report.could_not_check.iter().any(|one| of_spot(&one)),
        "{:?}",
        report.could_not_check
    );
    // Nothing is ours: it is the operator's.
    world.survey.bases = Known::Known(Vec::new());
    assert_eq!(found(&world), [("AT711", Severity::Error)]);
}

#[test]
fn a_base_that_differs_is_told_unless_a_lease_may_hold_it() {
    let mut world = healthy();
    world.policy.push_str("[environments.spot]\nmin_vcpus = 8\n");
    world.spot().min_vcpus = 32;
    assert_eq!(found(&world), [("AT702", Severity::Info)]);
    world.survey.bases = Known::unread("AccessDenied");
    let report = world.check();
    assert_eq!(report.findings, []);
    assert!(
        is_unread(&report, "AT702", "spot", "AccessDenied"),
        "{:?}",
        report.could_not_check
    );
    // No lease holds less than the base.
    world.spot().min_vcpus = 4;
    assert_eq!(found(&world), [("AT702", Severity::Warning)]);
}

#[test]
fn growth_beyond_a_quota_is_no_error_where_the_policy_keeps_all_within_it() {
    let mut world = leased("");
    world.quota("L-34B43A08").value = 60;
    assert_eq!(
        found(&world),
        [("AT601", Severity::Error)],
        "that of the operator's own maxvCpus"
    );
    world.policy.push_str("[environments.spot]\nlimits = \"enforce\"\n");
    assert_eq!(found(&world), [("AT601", Severity::Info)]);
    // Without a guard the daemon takes it for `clamp`.
    let guard = std::mem::replace(&mut world.survey.guard, Known::Known(None));
    assert!(found(&world).contains(&("AT601", Severity::Error)));
    world.survey.guard = guard;
    // Another one that counts against the same quota is not held.
    world.on_demand().r#type = "SPOT".to_owned();
    assert!(found(&world).contains(&("AT601", Severity::Error)));
    // Nor is one that lacks the tag.
    let mut world = leased("[environments.spot]\nlimits = \"enforce\"\n");
    world.quota("L-34B43A08").value = 60;
    world.environment(0).tags.clear();
    assert!(found(&world).contains(&("AT601", Severity::Error)));
}

#[test]
fn who_lacks_the_tag_is_not_told_about_schedules_and_bases() {
    let mut world = healthy();
    world.policy.push_str("[environments.spot]\nmin_vcpus = 8\n");
    world.environment(0).tags.clear();
    world.survey.may_update = Known::Known(Vec::new());
    assert!(!found(&world).iter().any(|(code, _)| *code == "AT702"));
}

#[test]
fn what_a_shared_subnet_reaches_could_not_be_checked() {
    let mut world = healthy();
    world.subnet("subnet-a").owner_id = "444455556666".to_owned();
    assert_eq!(world.check().could_not_check, [], "its route says enough");
    world.subnet("subnet-a").route = Known::Known(Route::None);
    let report = world.check();
    assert_eq!(report.findings, []);
    assert!(
        is_unread(&report, "AT308", "spot", "444455556666"),
        "{:?}",
        report.could_not_check
    );
}

#[test]
fn a_survey_alone_says_which_quotas_its_environments_may_outgrow() {
    let mut world = healthy();
    let of = |world: &World| {
        let (found, unread) = over_committed(&world.survey);
        let found: Vec<_> = found
            .iter()
            .map(|line| (line.code.clone(), line.may_grow_to()))
            .collect();
        (found, unread.len())
    };
    assert_eq!(of(&world), (vec![], 0));
    world.quota("L-34B43A08").value = 71;
    assert_eq!(of(&world), (vec![("L-34B43A08".to_owned(), 72)], 0));
    world.survey.quotas.remove("L-1216C47A");
    assert_eq!(of(&world).1, 1, "nobody knows of the other");
    world.survey.compute_environments = Known::default();
    assert_eq!(of(&world), (vec![], 1));
}

#[test]
fn a_use_that_was_counted_by_instances_says_so_and_is_at_least_that_where_the_count_was_cut_off() {
    use crate::account::survey::Counted;
    let mut world = healthy();
    let of = |world: &World, used: i64, counted: Counted| {
        let mut world = world.clone();
        let quota = world.quota("L-34B43A08");
        (quota.used, quota.counted) = (Known::Known(used), counted);
        let report = world.check();
        let mut all = report.findings.iter();
        let found = all.find(|finding| finding.rule.code == "AT602");
        let unread = is_unread(&report, "AT602", "L-34B43A08", "not all instances were counted");
        (found.map(|found| found.evidence["counted by"].clone()), unread)
    };
    let text = |counted: Counted| Some(counted.text().to_owned());
    for (used, counted, expected) in [
        (205, Counted::Metric, (text(Counted::Metric), false)),
        (205, Counted::Instances, (text(Counted::Instances), false)),
        (204, Counted::Instances, (None, false)),
        (205, Counted::SomeInstances, (text(Counted::SomeInstances), false)),
        (204, Counted::SomeInstances, (None, true)),
    ] {
        assert_eq!(of(&world, used, counted), expected, "{used} {counted:?}");
    }
    // The fallback may have no room left.
    world.quota("L-1216C47A").counted = Counted::SomeInstances;
    assert!(is_unread(
        &world.check(),
        "AT603",
        "jobs",
        "not all instances were counted"
    ));
}

#[test]
fn a_principal_that_writes_too_is_told_and_a_trail_that_was_cut_off_says_so() {
    use crate::account::survey::Writer;
    let mut world = healthy();
    world.survey.writers = Known::Known(vec![Writer {
        compute_environment: "spot".to_owned(),
        who: "arn:aws:sts::111122223333:assumed-role/nightly/x".to_owned(),
        what: "UpdateComputeEnvironment of vCPUs 3 times in 7 days, last at 2026-06-01T00:00:00Z".to_owned(),
    }]);
    let report = world.check();
    let finding = &report.findings[0];
    assert_eq!((finding.rule.code, finding.subject.as_str()), ("AT704", "spot"));
    assert!(
        finding.evidence["who"].ends_with("assumed-role/nightly/x") && finding.evidence["what"].contains("2026-06-01")
    );
    assert_eq!(report.could_not_check, []);
    world
        .survey
        .cut
        .insert("writers".to_owned(), "the latest since noon".to_owned());
    let report = world.check();
    assert_eq!(report.findings.len(), 1);
    assert!(is_unread(&report, "AT704", "other writers", "since noon"));
}

/// Thirty jobs of an hour with an image each, eight at a time on an instance that nothing or the policy holds.
#[test]
fn images_pile_up_where_the_policy_holds_instances() {
    use super::base::{definition, list};
    use crate::check::Need;
    let mut world = healthy();
    let names: Vec<String> = (0..30).map(|at| format!("job{at}")).collect();
    *list(&mut world.survey.job_definitions) = names.iter().map(|name| definition(name, "1", "2048")).collect();
    world.queue().recent_job_definitions = Known::Known(names.iter().map(|name| format!("{name}:1")).collect());
    world.needs.image_gib = Need::stated(3);
    let of = |policy: &str| {
        let mut world = world.clone();
        world.policy = policy.to_owned();
        let report = world.check();
        let mut found = report.findings.iter().filter(|finding| finding.rule.code == "AT106");
        found.next().map(|finding| {
            (
                finding.evidence["held"].clone(),
                finding.evidence["images that stay"].clone(),
            )
        })
    };
    let by = |key: &str, images: &str| Some((format!("by the policy's {key}"), images.to_owned()));
    // 4 GiB, 8 images, 8 jobs and 24 that stopped: 60 of 100 GiB.
    assert_eq!(of("version = 1\n"), None);
    assert_eq!(of("version = 1\n[queues.jobs]\n"), None, "steered, and nothing is held");
    let always = "version = 1\n[queues.jobs]\n[environments.spot]\nmin_vcpus = 8\n";
    assert_eq!(of(always), by("min_vcpus", "30"));
    let idle = "version = 1\n[queues.jobs]\nidle_time = \"60m\"\n";
    assert_eq!(of(idle), by("idle_time, 60 min", "24"));
    assert_eq!(of(&idle.replace("60m", "5m")), by("idle_time, 5 min", "24"));
    // Where nobody saw jobs, not all definitions of the account have jobs there.
    world.queue().recent_job_definitions = Known::default();
    world.policy = always.to_owned();
    let report = world.check();
    assert!(
        report.findings.iter().all(|finding| finding.rule.code != "AT106"),
        "{report:?}"
    );
}

#[test]
fn the_schedules_of_a_queue_hold_instances_of_its_own_environments_alone() {
    use super::base::list;
    use crate::account::survey::ComputeEnvironmentOrder;
    let mut world = healthy();
    let mut nightly = world.queue().clone();
    nightly.job_queue_name = "nightly".to_owned();
    nightly.compute_environment_order = vec![ComputeEnvironmentOrder {
        order: 1,
        compute_environment: "on-demand".to_owned(),
    }];
    list(&mut world.survey.job_queues).push(nightly);
    let policy = "version = 1\n[queues.jobs]\n[queues.nightly]\n[[queues.nightly.schedules]]\ncron = \"0 8 * * MON-FRI\"\n\
                  time_zone = \"UTC\"\nduration = \"10h\"\nfloor_vcpus = 8\n";
    let policy = crate::policy::parse("p.toml", policy).unwrap();
    let inputs = crate::check::Inputs {
        survey: &world.survey,
        policy: Some(&policy),
        needs: world.needs,
    };
    let view = crate::check::view::View::of(&inputs, world.survey.compute_environments.read().unwrap());
    assert_eq!(view.held("spot"), None);
    assert_eq!(view.held("on-demand").unwrap().1, "schedules");
}

#[test]
fn what_a_volume_of_another_kind_sustains_could_not_be_checked() {
    let mut world = healthy();
    world.root().volume_type = Some("st1".to_owned());
    let report = world.check();
    assert!(
        is_unread(&report, "AT108", "spot", "st1"),
        "{:?}",
        report.could_not_check
    );
    world.root().volume_type = Some("io2".to_owned());
    world.root().iops = Some(3_000);
    assert_eq!(world.check().could_not_check, []);
}
