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
    insta::assert_snapshot!(text, @r#"
    block_device_mappings {
      device_name = "/dev/xvda"
      ebs {
        volume_size = 170
        volume_type = "gp3"
        delete_on_termination = true
      }
    }
    metadata_options {
      http_tokens = "required"
      http_put_response_hop_limit = 2
    }
    user_data = base64encode("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"==AUTOTUNE==\"\n\n--==AUTOTUNE==\nContent-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/bash\necho $${HOME}\n--==AUTOTUNE==--\n")
    "#);
    insta::assert_snapshot!(by_hand.join("\n"), @"then name the new version in the compute environment: that is an infrastructure update");
    let (text, by_hand) = fixed(&broken(), "batch", Format::Json).unwrap();
    insta::assert_snapshot!(text, @r#"
    {
      "BlockDeviceMappings": [
        {
          "DeviceName": "/dev/xvda",
          "Ebs": {
            "VolumeSize": 170,
            "VolumeType": "gp3",
            "DeleteOnTermination": true
          }
        }
      ],
      "MetadataOptions": {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 2
      },
      "UserData": "TUlNRS1WZXJzaW9uOiAxLjAKQ29udGVudC1UeXBlOiBtdWx0aXBhcnQvbWl4ZWQ7IGJvdW5kYXJ5PSI9PUFVVE9UVU5FPT0iCgotLT09QVVUT1RVTkU9PQpDb250ZW50LVR5cGU6IHRleHQveC1zaGVsbHNjcmlwdDsgY2hhcnNldD0idXMtYXNjaWkiCgojIS9iaW4vYmFzaAplY2hvICR7SE9NRX0KLS09PUFVVE9UVU5FPT0tLQo="
    }
    "#);
    insta::assert_snapshot!(by_hand.join("\n"), @r#"
    use it with: aws ec2 create-launch-template-version --launch-template-id lt-1 --source-version 3 --launch-template-data file://FILE
    then name the new version in the compute environment: that is an infrastructure update
    "#);
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

/// What the tests of the command line look at. A change of the format of surveys has to change the file too.
#[test]
fn the_account_in_the_tree_is_the_broken_one() {
    let mut world = broken();
    let mut data = world.template().clone();
    let mut root = data.block_device_mappings[0].clone();
    root.device_name = "/dev/xvda".to_owned();
    root.ebs.as_mut().unwrap().volume_size = Some(60);
    data.block_device_mappings.push(root);
    data.metadata_options = healthy().template().metadata_options.clone();
    *world.template() = data;
    world.job().job_definition_name = "align\u{1b}[31m".to_owned();
    world.job().timeout = None;
    world.survey.permissions = crate::account::survey::Known::unread("AccessDenied: iam:SimulatePrincipalPolicy");
    let fresh = serde_json::to_string_pretty(&world.survey).unwrap() + "\n";
    let in_tree = include_str!("../../../tests/check/account.json");
    assert!(in_tree == fresh, "stale: tests/check/account.json");
}
