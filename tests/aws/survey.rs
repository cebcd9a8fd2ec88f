//! What `check` reads of an account, over HTTP against moto.

use autotune::account::survey::{Known, Route, Survey, told};
use autotune::daemon::cloud::{Cloud, Principal};

use crate::moto::moto;

/// The budget of a check of ten environments; the account of the tests has three.
const CALLS_MOST: u64 = 60;

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn a_survey_holds_what_environments_name_and_says_what_it_could_not_read() {
    let aws = moto().await;
    let survey = aws
        .survey(&["work".to_owned(), "nowhere".to_owned()], Principal::Caller)
        .await
        .unwrap();
    let calls: u64 = aws.calls().into_iter().map(|(_, _, _, count)| count).sum();
    assert!(calls <= CALLS_MOST, "{calls} calls");
    let environments = survey.compute_environments.read().unwrap();
    let spot = environments
        .iter()
        .find(|one| one.compute_environment_name == "spot")
        .unwrap();
    let resources = spot.compute_resources.as_ref().unwrap();
    assert_eq!((resources.r#type.as_str(), resources.max_vcpus), ("SPOT", 256));

    let key = resources.launch_template.as_ref().unwrap().key();
    let template = told(&survey.launch_templates, &key).unwrap().unwrap();
    let data = &template.launch_template_data;
    let volume = &data.block_device_mappings[0];
    assert_eq!(
        (volume.device_name.as_str(), volume.ebs.as_ref().unwrap().volume_size),
        ("/dev/xvda", Some(100))
    );
    let user_data = data.user_data.as_ref().unwrap();
    assert!(user_data.contains("TOKEN=secret"), "{user_data}");
    let shared = survey.clone().shareable();
    let shared = told(&shared.launch_templates, &key).unwrap().unwrap();
    let user_data = shared.launch_template_data.user_data.as_ref().unwrap();
    assert!(
        user_data.contains("ECS_CLUSTER=mine") && !user_data.contains("secret"),
        "{user_data}"
    );
    let image = told(&survey.images, data.image_id.as_ref().unwrap()).unwrap().unwrap();
    assert!(!image.root_device_name.is_empty(), "{image:?}");

    let subnet = told(&survey.subnets, &resources.subnets[0]).unwrap().unwrap();
    assert_eq!(subnet.route, Known::Known(Route::InternetGateway));
    assert!(subnet.available_ip_address_count > 200, "{subnet:?}");
    let profile = told(&survey.instance_profiles, "batch").unwrap().unwrap();
    assert_eq!(profile.roles, ["batch"]);
    let role = told(&survey.roles, "batch").unwrap().unwrap();
    assert_eq!(role.trusted_services, ["ec2.amazonaws.com"]);
    assert_eq!(told(&survey.roles, "autotune-guard"), Ok(None));

    let types = survey.offerings.read().unwrap();
    assert!(
        types.values().any(|types| types.contains(&"m5.large".to_owned())),
        "{types:?}"
    );
    let m5 = told(&survey.instance_types, "m5.large").unwrap().unwrap();
    assert_eq!((m5.default_vcpus, m5.size_in_mib), (2, 8_192));
    let definitions = survey.job_definitions.read().unwrap();
    assert!(
        definitions.iter().any(|one| one.job_definition_name == "align"),
        "{definitions:?}"
    );
    let guard = survey.guard.read().unwrap().as_ref().unwrap();
    assert_eq!(guard.group_exists, Known::Known(true));
    assert_eq!(survey.event_rules, Known::Known(Vec::new()));
    assert!(told(&survey.sqs_queues, "work").unwrap().unwrap().visible > 0);
    assert_eq!(told(&survey.sqs_queues, "nowhere"), Ok(None));
    // Moto does not evaluate policies: that is said, and is neither a yes nor a no.
    assert!(survey.permissions.read().is_err() && survey.may_update.read().is_err());

    let text = serde_json::to_string(&survey).unwrap();
    assert_eq!(serde_json::from_str::<Survey>(&text).unwrap(), survey);
}
