//! The stack of deploy/cloudformation/example.yaml, as a newcomer would meet it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::commands::{autotune, moto_url, ran};

/// What moto cannot answer, or takes no notice of: the only gaps, so that everything else was looked at.
const UNREAD: &[&str] = &["AT112", "AT601", "AT602", "AT603", "AT704", "AT707", "AT708", "AT709"];
/// It drops the timeouts of job definitions.
const DROPPED: &[&str] = &["AT503"];

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn check_finds_nothing_in_the_example_stack_with_what_autotune_needs_beside_it() {
    #[expect(clippy::disallowed_methods, reason = "tests/run says so where it put boto3")]
    let python = std::env::var("AUTOTUNE_TEST_PYTHON").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut deploy = Command::new(python);
    deploy.arg(root.join("tests/aws/example.py")).arg(moto_url());
    let (code, told, notes) = ran(deploy);
    assert_eq!(code, 0, "{notes}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        told["unknown"],
        json!(["AWS::SQS::QueuePolicy", "AWS::Scheduler::ScheduleGroup"]),
        "what moto does not know"
    );

    nobody_else_wakes(&told);

    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("autotune.toml");
    let text = format!(
        "policies = [{policy:?}]\nendpoint_url = \"{}\"\nregion = {}\nevents_queue_url = {}\n[guard]\ngroup = {}\nrole_arn = {}\n",
        moto_url(),
        told["region"],
        told["events_queue_url"],
        told["guard"]["group"],
        told["guard"]["role_arn"],
        policy = root.join("deploy/cloudformation/example.toml"),
    );
    std::fs::write(&settings, text).unwrap();
    let (code, found, notes) = ran(autotune(&["check", "--output", "json"], &settings));
    assert_eq!(code, 0, "{found}{notes}");
    let found: Value = serde_json::from_str(&found).unwrap();
    let codes = |list: &str, key: &str| -> BTreeSet<String> {
        let all = found[list].as_array().unwrap().iter();
        all.flat_map(|one| {
            let codes = one[key].as_array().cloned();
            codes.unwrap_or_else(|| vec![one[key].clone()])
        })
        .map(|code| code.as_str().unwrap().to_owned())
        .collect()
    };
    let expected = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(codes("findings", "code"), expected(DROPPED), "{found}");
    assert_eq!(codes("could_not_check", "codes"), expected(UNREAD), "{found}");

    // The same account is one that can be steered.
    let (code, plan, notes) = ran(autotune(&["plan"], &settings));
    assert_eq!(code, 0, "{plan}{notes}");
    assert!(plan.contains("nothing is changed"), "{plan}{notes}");
    assert!(!notes.contains("lacks the tag"), "{notes}");
}

/// Hints are of the covered queues and clusters, come through the rules of the stack alone, and are gone soon.
fn nobody_else_wakes(told: &Value) {
    let wake_ups = &told["wake_ups"];
    assert_eq!(wake_ups["retention"], "300");
    let own_key = |with: Value, without: Value| json!({"Fn::If": ["HasKey", with, without]});
    assert_eq!(
        wake_ups["encrypted"],
        json!([
            own_key(json!(false), json!(true)),
            own_key(json!({"Ref": "KmsKeyArn"}), json!({"Ref": "AWS::NoValue"}))
        ])
    );
    let given = |name: &str| -> Vec<&str> { told["given"][name].as_str().unwrap().split(',').collect() };
    assert_eq!(
        wake_ups["rules"],
        json!([
            {"source": ["aws.batch"], "detail-type": ["Batch Job Queue Blocked"], "resources": given("JobQueueArns")},
            {"source": ["aws.batch"], "detail-type": ["Batch Job State Change"], "detail": {"jobQueue": given("JobQueueArns")}},
            {"source": ["aws.ec2"],
             "detail-type": ["EC2 Spot Instance Interruption Warning", "EC2 Instance Rebalance Recommendation"]},
            {"source": ["aws.ecs"], "detail-type": ["ECS Container Instance State Change"],
             "detail": {"clusterArn": given("ClusterArns"), "status": ["ACTIVE", "DRAINING", "INACTIVE"]}},
        ])
    );
    let rules = wake_ups["rule_names"].as_array().unwrap();
    let sources: Vec<_> = rules.iter().map(|name| json!({"Fn::GetAtt": [name, "Arn"]})).collect();
    let policy = wake_ups["policy"].as_array().unwrap();
    let [allowed] = policy.as_slice() else {
        panic!("{policy:?}")
    };
    let mut from = allowed["Condition"]["ArnEquals"]["aws:SourceArn"]
        .as_array()
        .unwrap()
        .clone();
    from.sort_by_key(ToString::to_string);
    assert_eq!(from, sources);
    assert_eq!(
        (&allowed["Principal"], &allowed["Action"], &allowed["Resource"]),
        (
            &json!({"Service": "events.amazonaws.com"}),
            &json!("sqs:SendMessage"),
            &json!({"Fn::GetAtt": ["WakeUps", "Arn"]})
        )
    );
}
