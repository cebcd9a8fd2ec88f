//! A corrected launch template, to be read and used by a person. Nothing is applied.

use std::fmt::Write as _;

use base64::Engine as _;
use serde_json::{Value, json};

use super::Inputs;
use super::disk;
use super::rule::shell;
use super::user_data::UserData;
use super::view::View;
use crate::account::survey::ec2::LEFT_OUT;
use crate::account::survey::{LaunchTemplateVersion, Survey};

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For `aws ec2 create-launch-template-version --launch-template-data`.
    Json,
    /// Properties of AWS::EC2::LaunchTemplate.
    CloudFormation,
    /// Arguments of aws_launch_template.
    Terraform,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFixed {
    /// The survey has no such template.
    #[error("found no launch template {name:?}, expected one that an environment uses: {known}")]
    NoSuchTemplate {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// It is as it should be.
    #[error("launch template {0:?} needs no change")]
    Nothing(String),
    /// Environments were not read.
    #[error("compute environments were not read: {0}")]
    Unread(String),
}

/// The text, and what has to be done by hand.
pub fn fixed_template(inputs: &Inputs<'_>, name: &str, format: Format) -> Result<(String, Vec<String>), NotFixed> {
    let environments = inputs
        .survey
        .compute_environments
        .read()
        .map_err(|why| NotFixed::Unread(why.to_owned()))?;
    let (key, version) = find(inputs.survey, name)?;
    let view = View::of(inputs, environments);
    let mut by_hand = Vec::new();
    let mut changes = serde_json::Map::new();
    if let Some(mappings) = mappings(&view, key, version, &mut by_hand) {
        changes.insert("BlockDeviceMappings".to_owned(), mappings);
    }
    let options = version.launch_template_data.metadata_options.as_ref();
    if options.is_none_or(|options| options.http_tokens.as_deref() != Some("required")) {
        // Containers are one hop further away than the instance.
        let hops = options
            .and_then(|options| options.http_put_response_hop_limit)
            .unwrap_or(2)
            .max(2);
        changes.insert(
            "MetadataOptions".to_owned(),
            json!({ "HttpTokens": "required", "HttpPutResponseHopLimit": hops }),
        );
    }
    let user_data = user_data(version, &mut by_hand);
    if changes.is_empty() && user_data.is_none() {
        return Err(NotFixed::Nothing(name.to_owned()));
    }
    let text = match format {
        Format::Json => {
            if let Some(text) = user_data {
                let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                changes.insert("UserData".to_owned(), Value::String(encoded));
            }
            by_hand.push(format!(
                "use it with: aws ec2 create-launch-template-version --launch-template-id {} --source-version {} --launch-template-data file://FILE",
                shell(&version.launch_template_id),
                version.version_number
            ));
            pretty(&Value::Object(changes))
        }
        Format::CloudFormation => {
            if let Some(text) = user_data {
                changes.insert("UserData".to_owned(), json!({ "Fn::Base64": text }));
            }
            pretty(&json!({ "LaunchTemplateData": changes }))
        }
        Format::Terraform => terraform(&changes, user_data.as_deref()),
    };
    if !by_hand.is_empty() || format != Format::Json {
        by_hand
            .push("then name the new version in the compute environment: that is an infrastructure update".to_owned());
    }
    Ok((text, by_hand))
}

fn find<'s>(survey: &'s Survey, name: &str) -> Result<(&'s str, &'s LaunchTemplateVersion), NotFixed> {
    let known = survey
        .launch_templates
        .iter()
        .filter_map(|(key, version)| Some((key.as_str(), version.read().ok()?.as_ref()?)));
    let mut all: Vec<(&str, &LaunchTemplateVersion)> = known.collect();
    // Of several versions the newest is the one to build on.
    all.sort_by_key(|(_, version)| std::cmp::Reverse(version.version_number));
    let is_meant = |(key, version): &&(&str, &LaunchTemplateVersion)| {
        version.launch_template_name == name || version.launch_template_id == name || *key == name
    };
    if let Some((key, version)) = all.iter().find(is_meant) {
        return Ok((key, version));
    }
    let mut names: Vec<&str> = all
        .iter()
        .map(|(_, version)| version.launch_template_name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let known = if names.is_empty() {
        "there is none".to_owned()
    } else {
        names.join(", ")
    };
    Err(NotFixed::NoSuchTemplate {
        name: name.to_owned(),
        known,
    })
}

/// All mappings as they should be; `None` if they are.
fn mappings(view: &View<'_>, key: &str, version: &LaunchTemplateVersion, by_hand: &mut Vec<String>) -> Option<Value> {
    let mut fixed = version.launch_template_data.block_device_mappings.clone();
    for (environment, resources) in view.on_ecs() {
        for start in disk::starts(view, environment, resources) {
            let start = match start {
                Ok(start) if start.template.as_ref().is_some_and(|(of, _)| of == key) => start,
                Ok(_) => continue,
                Err(why) => {
                    by_hand.push(format!("the disks of {} were not looked at: {why}", environment.name()));
                    continue;
                }
            };
            disk::corrected(view, environment, &start, &mut fixed);
        }
    }
    (fixed != version.launch_template_data.block_device_mappings).then(|| {
        let with_values = fixed
            .into_iter()
            .map(|mapping| without_nulls(serde_json::to_value(mapping).unwrap_or_default()));
        Value::Array(with_values.collect())
    })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value,
    }
}

/// User data in its MIME archive, if it is not in one. Lines of it are never taken out: what they do beside is not known.
fn user_data(version: &LaunchTemplateVersion, by_hand: &mut Vec<String>) -> Option<String> {
    let text = version
        .launch_template_data
        .user_data
        .as_deref()
        .filter(|text| !text.trim().is_empty())?;
    let read = UserData::of(text);
    for name in read.reserved() {
        by_hand.push(format!("remove {name} from the user data: it belongs to AWS Batch"));
    }
    if read.basesize().is_some() {
        by_hand.push("remove dm.basesize from the user data unless the image is Amazon Linux 1".to_owned());
    }
    if read.is_multipart() {
        return None;
    }
    if text.contains(LEFT_OUT) {
        by_hand.push("wrap the user data in a MIME archive: this survey does not have all of it".to_owned());
        return None;
    }
    let kind = if text.starts_with("#cloud-config") {
        "text/cloud-config"
    } else {
        "text/x-shellscript"
    };
    // A boundary must not occur in what it bounds.
    let mut boundary = "==AUTOTUNE==".to_owned();
    while text.contains(&boundary) {
        boundary.push('=');
    }
    Some(format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--{boundary}\nContent-Type: {kind}; charset=\"us-ascii\"\n\n{}\n--{boundary}--\n",
        text.trim_end_matches('\n')
    ))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// Arguments of `aws_launch_template`. Writing to a string cannot fail.
fn terraform(changes: &serde_json::Map<String, Value>, user_data: Option<&str>) -> String {
    let mut text = String::new();
    for mapping in changes
        .get("BlockDeviceMappings")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        text.push_str("block_device_mappings {\n");
        for (name, argument) in [
            ("DeviceName", "device_name"),
            ("NoDevice", "no_device"),
            ("VirtualName", "virtual_name"),
        ] {
            if let Some(value) = mapping.get(name) {
                let _ = writeln!(text, "  {argument} = {}", literal(value));
            }
        }
        if let Some(ebs) = mapping.get("Ebs") {
            text.push_str("  ebs {\n");
            for (name, argument) in [
                ("VolumeSize", "volume_size"),
                ("VolumeType", "volume_type"),
                ("SnapshotId", "snapshot_id"),
                ("DeleteOnTermination", "delete_on_termination"),
                ("Iops", "iops"),
                ("Throughput", "throughput"),
            ] {
                if let Some(value) = ebs.get(name) {
                    let _ = writeln!(text, "    {argument} = {}", literal(value));
                }
            }
            text.push_str("  }\n");
        }
        text.push_str("}\n");
    }
    if let Some(options) = changes.get("MetadataOptions") {
        let value = |name: &str| options.get(name).map(literal).unwrap_or_default();
        let (tokens, hops) = (value("HttpTokens"), value("HttpPutResponseHopLimit"));
        let _ = writeln!(
            text,
            "metadata_options {{\n  http_tokens = {tokens}\n  http_put_response_hop_limit = {hops}\n}}"
        );
    }
    if let Some(user_data) = user_data {
        let text_literal = literal(&Value::String(user_data.to_owned()));
        let _ = writeln!(text, "user_data = base64encode({text_literal})");
    }
    text
}

/// A value as Terraform writes it: as JSON, with the marks of templates doubled.
fn literal(value: &Value) -> String {
    value.to_string().replace("${", "$${").replace("%{", "%%{")
}
