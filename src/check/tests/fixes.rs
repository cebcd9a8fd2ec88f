//! Corrected launch templates.

use super::base::{World, healthy};
use crate::check::{Format, Inputs, Need, NotFixed, fixed_template};
use crate::policy;

fn fixed(world: &World, name: &str, format: Format) -> Result<(String, Vec<String>), NotFixed> {
    let policy = policy::parse("policy.toml", &world.policy).unwrap();
    let inputs = Inputs {
        survey: &world.survey,
        policy: Some(&policy),
        needs: world.needs,
    };
    fixed_template(&inputs, name, format)
}

/// The classic: the device of Amazon Linux 1 on 2023, a bare script, metadata without tokens, too small for its jobs.
fn broken() -> World {
    let mut world = healthy();
    world.template().block_device_mappings[0].device_name = "/dev/xvdcz".to_owned();
    world.template().user_data = Some("#!/bin/bash\necho ${HOME}\n".to_owned());
    world.template().metadata_options = None;
    world.needs.scratch_gib = Need::stated(40);
    world
}

#[test]
fn a_template_that_is_as_it_should_be_is_left_alone() {
    assert_eq!(
        fixed(&healthy(), "batch", Format::Json),
        Err(NotFixed::Nothing("batch".to_owned()))
    );
    let unknown = fixed(&healthy(), "btach", Format::Json).unwrap_err();
    assert!(
        unknown.to_string().contains("\"btach\"") && unknown.to_string().contains("batch"),
        "{unknown}"
    );
}

#[test]
fn a_corrected_template_has_no_findings_left() {
    let mut world = broken();
    let (text, _) = fixed(&world, "lt-1", Format::CloudFormation).unwrap();
    let changes: serde_json::Value = serde_json::from_str(&text).unwrap();
    let data = &changes["LaunchTemplateData"];
    assert!(
        world
            .check()
            .findings
            .iter()
            .any(|finding| finding.rule.code == "AT102")
    );
    world.template().block_device_mappings = serde_json::from_value(data["BlockDeviceMappings"].clone()).unwrap();
    world.template().metadata_options = serde_json::from_value(data["MetadataOptions"].clone()).unwrap();
    world.template().user_data = Some(data["UserData"]["Fn::Base64"].as_str().unwrap().to_owned());
    let left = world.check().findings;
    // How long stopped containers stay is a question of taste.
    let left: Vec<&str> = left
        .iter()
        .map(|finding| finding.rule.code)
        .filter(|code| *code != "AT106")
        .collect();
    assert_eq!(left, Vec::<&str>::new());
}

#[test]
fn the_forms_read_well() {
    let (text, by_hand) = fixed(&broken(), "batch", Format::Terraform).unwrap();
    insta::assert_snapshot!(text, @"");
    insta::assert_snapshot!(by_hand.join("\n"), @"");
    let (text, by_hand) = fixed(&broken(), "batch", Format::Json).unwrap();
    insta::assert_snapshot!(text, @"");
    insta::assert_snapshot!(by_hand.join("\n"), @"");
}

#[test]
fn user_data_of_which_lines_were_left_out_is_not_printed() {
    let mut world = broken();
    let less = crate::account::survey::ec2::shareable(world.template().user_data.as_ref().unwrap());
    world.template().user_data = Some(less);
    let (text, by_hand) = fixed(&world, "batch", Format::Terraform).unwrap();
    assert!(!text.contains("user_data"), "{text}");
    assert!(by_hand.iter().any(|line| line.contains("MIME")), "{by_hand:?}");
}
