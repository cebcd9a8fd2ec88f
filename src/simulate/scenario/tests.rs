use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::simulate::world::World;
use crate::trace::Trace;

#[test]
fn shipped_scenarios_are_read_by_name_and_make_a_world() {
    for (name, _) in SHIPPED {
        let scenario = Scenario::load(Path::new(name)).unwrap();
        let types = scenario
            .topology()
            .environments
            .into_iter()
            .map(|environment| environment.types.len());
        assert!(types.min() > Some(5), "{name}");
        let empty = Trace::default();
        let world = World::new(&scenario, &empty, 1);
        assert!(world.is_ok_and(|world| world.finished()), "{name}");
    }
}

#[test]
fn every_scenario_in_the_tree_is_shipped() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/scenarios");
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let shipped = SHIPPED.iter().any(|(other, _)| *other == name);
        assert!(
            shipped || file.extension().is_none_or(|ending| ending != "toml"),
            "{name}"
        );
    }
}

/// Line, key and words that the problem must hold.
type Told = (usize, &'static str, &'static str);

const GOOD: &str = "version = 1\nenvironments = [{ name = \"a\", max_vcpus = 64 }]\nqueues = [{ name = \"q\", environments = [\"a\"] }]\n";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_mistake_is_told_with_line_key_and_help() {
    let table: &[(&str, Told)] = &[
        ("modle = \"recent\"", (4, "modle", "did you mean `model`?")),
        ("model = \"recnet\"", (4, "model", "did you mean `recent`?")),
        (
            "model = 2020",
            (4, "model", "found 2020, expected one of \"recent\", \"folk-2020\""),
        ),
        (
            "retries = { attempts = 0 }",
            (4, "retries.attempts", "a whole number from 1 to 10"),
        ),
        ("retries = { attempts = nan }", (4, "retries.attempts", "found nan")),
        (
            "random_droughts = { mean_between = \"0s\", mean_length = \"5m\" }",
            (4, "random_droughts.mean_between", "above zero"),
        ),
        (
            "random_droughts = { mean_between = \"2h\" }",
            (4, "random_droughts.mean_length", "found nothing"),
        ),
        (
            "[model_overrides]\ndispatch = \"9s to 4s\"",
            (5, "model_overrides.dispatch", "the shorter span first"),
        ),
        (
            "[model_overrides]\ndispatch = 9",
            (5, "model_overrides.dispatch", "write \"9s\" for seconds"),
        ),
        (
            "[model_overrides]\nlaunch_retry = \"0s\"",
            (5, "model_overrides.launch_retry", "found 0s"),
        ),
        (
            "[model_overrides]\ninterrupted_share = 0.0",
            (5, "model_overrides.interrupted_share", "more than 0"),
        ),
        (
            "[model_overrides]\ninterruption_factor = inf",
            (5, "model_overrides.interruption_factor", "found inf"),
        ),
        (
            "[model_overrides]\ndispach = \"4s\"",
            (5, "model_overrides.dispach", "did you mean `dispatch`?"),
        ),
        (
            "[[account.quotas]]\ncode = \"L-1\"\nlimit_vcpus = 64",
            (5, "account.quotas[0].code", "On-Demand L-1216C47A"),
        ),
        (
            "[[account.quotas]]\ncode = \"L-34B43A09\"\nlimit_vcpus = 64",
            (5, "account.quotas[0].code", "did you mean `L-34B43A08`?"),
        ),
        (
            "[[account.quotas]]\ncode = \"L-34B43A08\"\nlimit_vcpus = -1",
            (6, "account.quotas[0].limit_vcpus", "found -1"),
        ),
        (
            "[[account.quotas]]\ncode = \"L-34B43A08\"\nlimit_vcpus = 4294967296",
            (6, "account.quotas[0].limit_vcpus", "found 4294967296"),
        ),
        (
            "[[droughts]]\nenvironment = \"aa\"\nstart = \"1h\"\nlength = \"5m\"",
            (5, "droughts[0].environment", "did you mean `a`?"),
        ),
        (
            "[[droughts]]\nenvironment = \"a\"\nstart = \"1h\"\nlength = \"0s\"",
            (7, "droughts[0].length", "above zero"),
        ),
        (
            "[[droughts]]\nenvironment = \"a\"\nstart = \"1h\"\nlength = \"-5m\"",
            (7, "droughts[0].length", "cannot be negative"),
        ),
        (
            "[[droughts]]\nenvironment = \"a\"\nstart = \"1h\"\nlength = \"5m\"\nzone = 3",
            (8, "droughts[0].zone", "below 3"),
        ),
        (
            "[[droughts]]\nenvironment = \"a\"\nstart = \"1h\"\nlength = \"5m\"\ninstance_type = \"m6i.largo\"",
            (8, "droughts[0].instance_type", "did you mean `m6i.large`?"),
        ),
    ];
    for (extra, told) in table {
        told_once(&format!("{GOOD}{extra}\n"), *told);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_mistake_of_environments_and_queues_is_told() {
    let a = "name = \"a\", max_vcpus = 64";
    let q = "name = \"q\", environments = [\"a\"]";
    let table: &[(String, &str, Told)] = &[
        (
            format!("{{ {a}, min_vcpus = 65 }}"),
            "",
            (2, "environments[0].min_vcpus", "at most the `max_vcpus` of 64"),
        ),
        (
            format!("{{ {a} }}, {{ {a} }}"),
            "",
            (2, "environments[1].name", "found a second \"a\""),
        ),
        (
            format!("{{ {a}, instance_types = [\"m6i\", \"m6i.4xlrage\"] }}"),
            "",
            (2, "environments[0].instance_types[1]", "did you mean `m6i.4xlarge`?"),
        ),
        (
            format!("{{ {a}, scale_down_delay = \"5m\" }}"),
            "",
            (2, "environments[0].scale_down_delay", "\"20m\" to \"168h\""),
        ),
        (
            format!("{{ {a}, scale_down_delay = \"7d\" }}"),
            "",
            (2, "environments[0].scale_down_delay", "write days as hours"),
        ),
        (
            format!("{{ {a}, platform = \"fargate\" }}"),
            "",
            (2, "environments[0].platform", "\"unmanaged\""),
        ),
        (
            format!("{{ {a}, platform = \"unmanaged\" }}"),
            "",
            (2, "environments[0].own_instances", "found none"),
        ),
        (
            format!("{{ {a}, own_instances = [{{ count = 1, vcpus = 4 }}] }}"),
            "",
            (2, "environments[0].own_instances", "brings its own"),
        ),
        (
            format!("{{ {a}, purchase = \"sport\" }}"),
            "",
            (2, "environments[0].purchase", "did you mean `spot`?"),
        ),
        (
            format!("{{ {a}, zones = 0 }}"),
            "",
            (2, "environments[0].zones", "found 0"),
        ),
        (
            format!("{{ {a}, boot = \"soon\" }}"),
            "",
            (2, "environments[0].boot", "found \"soon\""),
        ),
        (
            "{ name = \"a\" }".to_owned(),
            "",
            (2, "environments[0].max_vcpus", "found nothing"),
        ),
        (
            format!("{{ {a} }}"),
            "{ name = \"q\", environments = [] }",
            (3, "queues[0].environments", "found 0 environments, expected 1 to 3"),
        ),
        (
            format!("{{ {a} }}"),
            "{ name = \"q\" }",
            (3, "queues[0].environments", "found nothing"),
        ),
        (
            format!("{{ {a} }}"),
            "{ name = \"q\", environments = [\"a\", \"b\"] }",
            (
                3,
                "queues[0].environments[1]",
                "expected an environment of this file: \"a\"",
            ),
        ),
        (
            format!("{{ {a} }}"),
            "{ name = \"q\", environments = [\"a\", \"a\"] }",
            (3, "queues[0].environments[1]", "each environment once"),
        ),
        (
            format!("{{ {a} }}"),
            "{ name = \"q\", environments = [\"a\"], reservation_percent = 100 }",
            (3, "queues[0].reservation_percent", "from 0 to 99"),
        ),
        (
            format!("{{ {a} }}"),
            "{ name = \"q\", environments = [\"a\"] }, { name = \"q\", environments = [\"a\"] }",
            (3, "queues[1].name", "found a second \"q\""),
        ),
    ];
    for (environments, queues, told) in table {
        let queues = if queues.is_empty() {
            format!("{{ {q} }}")
        } else {
            (*queues).to_owned()
        };
        told_once(
            &format!("version = 1\nenvironments = [{environments}]\nqueues = [{queues}]\n"),
            *told,
        );
    }
}

/// The text has this problem and no other.
fn told_once(text: &str, (line, key, words): Told) {
    let problems = Scenario::from_toml("s.toml", text).unwrap_err();
    let [problem] = problems.as_slice() else {
        panic!("{text}\n{problems:#?}")
    };
    assert_eq!((problem.line, problem.key.as_str()), (line, key), "{text}\n{problem}");
    assert!(problem.to_string().contains(words), "{text}\n{problem}");
}

#[test]
fn mistakes_of_all_kinds_are_told_at_once() {
    let text = r#"version = 1
model = "newest"
queue = 1
[[environments]]
name = "a"
max_vcpus = 4
min_vcpus = 8
[[environments]]
name = "b"
max_vcpus = 4
instance_types = ["m6i.4xlrage"]
[[queues]]
name = "q"
environments = ["a", "c"]
"#;
    let problems = Scenario::from_toml("s.toml", text).unwrap_err();
    let keys: Vec<(usize, &str)> = problems
        .iter()
        .map(|problem| (problem.line, problem.key.as_str()))
        .collect();
    let expected = [
        (2, "model"),
        (3, "queue"),
        (7, "environments[0].min_vcpus"),
        (11, "environments[1].instance_types[0]"),
        (14, "queues[0].environments[1]"),
    ];
    assert_eq!(keys, expected, "{problems:#?}");
}

#[test]
fn scenarios_that_were_made_and_not_read_are_checked_too() {
    let mut scenario = Scenario::fixed(Vcpus::new(4));
    assert_eq!(scenario.problems(), []);
    scenario.queues.clear();
    let told: Vec<String> = scenario.problems().iter().map(ToString::to_string).collect();
    assert_eq!(told, ["scenario: queues: found none, expected at least one job queue"]);
}

#[test]
fn paths_that_cannot_be_read_name_the_shipped_scenarios() {
    let problems = Scenario::load(Path::new("spot-129")).unwrap_err();
    let told = input::render(&problems);
    assert!(
        told.contains("spot-129: found nothing that can be read") && told.contains("spot-128"),
        "{told}"
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*|(\\[\\[(environments|queues|droughts)\\]\\]\n|[a-z_]{1,12} = (\"[^\"\n]*\"|-?[0-9.]{1,20}|\\[\\{|true)\n){0,8}") {
        let _ = Scenario::from_toml("any", &text);
    }

    #[test]
    fn any_value_of_a_known_key_is_read_or_refused(
        key in prop::sample::select(vec!["version", "model", "environments", "queues", "droughts", "retries.attempts", "account.quotas", "model_overrides.boot_spot", "random_droughts"]),
        value in "(\"[0-9a-z ,.-]{0,20}\"|-?[0-9]{1,25}(\\.[0-9]{1,3})?|\\[(\\{ *name = \"a\"(, [a-z_]{1,9} = -?[0-9]{1,12})? *\\})?\\]|true|nan|\\{\\})",
    ) {
        let _ = Scenario::from_toml("any", &format!("{GOOD}{key} = {value}\n"));
        let _ = Scenario::from_toml("any", &format!("version = 1\n{key} = {value}\n"));
    }
}
