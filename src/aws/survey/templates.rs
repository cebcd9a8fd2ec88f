//! Launch templates and images.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{self as sdk, Filter};

use super::{FEW, Named, PAGES_MOST, each, known, text, timestamp};
use crate::account::survey::{
    Asked, BlockDeviceMapping, EbsBlockDevice, IamInstanceProfile, Image, InstanceMarketOptions, Known,
    LaunchTemplateData, LaunchTemplateSpecification, LaunchTemplateVersion, MetadataOptions, NetworkInterface,
    Timestamp,
};
use crate::aws::Aws;
use crate::aws::errors::{code, unread};
use crate::daemon::cloud::Read;
use crate::units::Time;

/// As many as EC2 gives.
const TEMPLATES_A_PAGE: i32 = 200;

impl Aws {
    /// The versions that environments name, and all images that they and their templates name.
    pub(super) async fn survey_templates(&self, named: &Named) -> (Asked<LaunchTemplateVersion>, Asked<Image>) {
        let mut wanted: BTreeMap<String, LaunchTemplateSpecification> = BTreeMap::new();
        for specification in &named.templates {
            let overrides = specification.overrides.iter().map(|one| LaunchTemplateSpecification {
                launch_template_id: one.launch_template_id.clone(),
                launch_template_name: one.launch_template_name.clone(),
                version: one.version.clone(),
                overrides: Vec::new(),
            });
            let all = std::iter::once(specification.clone()).chain(overrides);
            wanted.extend(all.map(|one| (one.key(), one)));
        }
        let listed = if wanted.len() > FEW {
            self.newest_templates().await.unwrap_or_default()
        } else {
            Vec::new()
        };
        let mut templates: Asked<LaunchTemplateVersion> = BTreeMap::new();
        for (key, one) in wanted {
            let version = match of_list(&listed, &one) {
                Some(listed) => Known::Known(Some(template_version(listed.clone()))),
                None => known(self.template(&one).await),
            };
            templates.insert(key, version);
        }
        let mut images = named.images.clone();
        let read = templates.values().filter_map(|one| one.read().ok()?.as_ref());
        images.extend(read.filter_map(|one| one.launch_template_data.image_id.clone()));
        // A template may also name a parameter that holds the id.
        images.retain(|image| image.starts_with("ami-"));
        let told = self.images(&images).await;
        (templates, each(&images, told))
    }

    /// The latest and the default version of every template of the account; none if there are too many to read, because one of a
    /// template's two versions could then be taken for the other.
    async fn newest_templates(&self) -> Read<Vec<sdk::LaunchTemplateVersion>> {
        let call = self.ec2.describe_launch_template_versions();
        let call = call
            .versions("$Latest")
            .versions("$Default")
            .max_results(TEMPLATES_A_PAGE);
        let mut pages = call.into_paginator().send();
        let mut all = Vec::new();
        for _ in 0..PAGES_MOST {
            let Some(page) = pages.next().await else {
                return Ok(all);
            };
            let page = page.map_err(|e| unread("ec2:DescribeLaunchTemplateVersions", &e))?;
            all.extend(page.launch_template_versions.unwrap_or_default());
            if page.next_token.is_none_or(|token| token.is_empty()) {
                return Ok(all);
            }
        }
        Ok(Vec::new())
    }

    async fn template(&self, named: &LaunchTemplateSpecification) -> Read<Option<LaunchTemplateVersion>> {
        let version = named.version.as_deref().filter(|version| !version.is_empty());
        let call = self
            .ec2
            .describe_launch_template_versions()
            .versions(version.unwrap_or("$Default"));
        let call = match &named.launch_template_id {
            Some(id) => call.launch_template_id(id),
            None => call.set_launch_template_name(named.launch_template_name.clone()),
        };
        match call.send().await {
            Ok(answer) => {
                let found = answer.launch_template_versions.unwrap_or_default().into_iter().next();
                Ok(found.map(template_version))
            }
            Err(error) if code(&error).is_some_and(is_missing) => Ok(None),
            Err(error) => Err(unread("ec2:DescribeLaunchTemplateVersions", &error)),
        }
    }

    async fn images(&self, ids: &BTreeSet<String>) -> Read<BTreeMap<String, Image>> {
        let mut found = BTreeMap::new();
        if ids.is_empty() {
            return Ok(found);
        }
        // As a filter: one image that is gone does not hide the others.
        let filter = Filter::builder()
            .name("image-id")
            .set_values(Some(ids.iter().cloned().collect()));
        let call = self
            .ec2
            .describe_images()
            .filters(filter.build())
            .include_deprecated(true);
        let answer = call.send().await.map_err(|e| unread("ec2:DescribeImages", &e))?;
        for told in answer.images.unwrap_or_default() {
            let one = image(told);
            found.insert(one.image_id.clone(), one);
        }
        Ok(found)
    }
}

/// The version that is meant, if it is among the latest and default ones.
fn of_list<'l>(
    listed: &'l [sdk::LaunchTemplateVersion],
    named: &LaunchTemplateSpecification,
) -> Option<&'l sdk::LaunchTemplateVersion> {
    let is_theirs = |one: &&sdk::LaunchTemplateVersion| match &named.launch_template_id {
        Some(id) => one.launch_template_id() == Some(id),
        None => one.launch_template_name() == named.launch_template_name.as_deref(),
    };
    let mut theirs = listed.iter().filter(is_theirs);
    match named.version.as_deref().filter(|version| !version.is_empty()) {
        None | Some("$Default") => theirs.find(|one| one.default_version() == Some(true)),
        Some("$Latest") => theirs.max_by_key(|one| one.version_number()),
        Some(number) => theirs.find(|one| one.version_number().is_some_and(|found| found.to_string() == number)),
    }
}

fn is_missing(code: &str) -> bool {
    code.starts_with("InvalidLaunchTemplate") && (code.contains("NotFound") || code.contains("Malformed"))
}

fn template_version(told: sdk::LaunchTemplateVersion) -> LaunchTemplateVersion {
    LaunchTemplateVersion {
        create_time: timestamp(told.create_time),
        launch_template_id: told.launch_template_id.unwrap_or_default(),
        launch_template_name: told.launch_template_name.unwrap_or_default(),
        version_number: told.version_number.unwrap_or_default(),
        launch_template_data: told.launch_template_data.map(template_data).unwrap_or_default(),
    }
}

fn template_data(told: sdk::ResponseLaunchTemplateData) -> LaunchTemplateData {
    let interface = |one: sdk::LaunchTemplateInstanceNetworkInterfaceSpecification| NetworkInterface {
        subnet_id: one.subnet_id,
        associate_public_ip_address: one.associate_public_ip_address,
    };
    let mapping = |one: sdk::LaunchTemplateBlockDeviceMapping| BlockDeviceMapping {
        device_name: one.device_name.unwrap_or_default(),
        no_device: one.no_device,
        virtual_name: one.virtual_name,
        ebs: one.ebs.map(|ebs| EbsBlockDevice {
            volume_size: ebs.volume_size.map(i64::from),
            volume_type: ebs.volume_type.map(|one| one.as_str().to_owned()),
            snapshot_id: ebs.snapshot_id,
            delete_on_termination: ebs.delete_on_termination,
            iops: ebs.iops.map(i64::from),
            throughput: ebs.throughput.map(i64::from),
        }),
    };
    LaunchTemplateData {
        block_device_mappings: told
            .block_device_mappings
            .unwrap_or_default()
            .into_iter()
            .map(mapping)
            .collect(),
        image_id: told.image_id,
        user_data: told.user_data.as_deref().map(user_data),
        metadata_options: told.metadata_options.map(|one| MetadataOptions {
            http_tokens: one.http_tokens.map(|one| one.as_str().to_owned()),
            http_endpoint: one.http_endpoint.map(|one| one.as_str().to_owned()),
            http_put_response_hop_limit: one.http_put_response_hop_limit.map(i64::from),
        }),
        instance_type: told.instance_type.map(|one| one.as_str().to_owned()),
        iam_instance_profile: told.iam_instance_profile.map(|one| IamInstanceProfile {
            arn: one.arn,
            name: one.name,
        }),
        instance_market_options: told.instance_market_options.map(|one| InstanceMarketOptions {
            market_type: one.market_type.map(|one| one.as_str().to_owned()),
        }),
        disable_api_termination: told.disable_api_termination,
        network_interfaces: told
            .network_interfaces
            .unwrap_or_default()
            .into_iter()
            .map(interface)
            .collect(),
    }
}

/// What is no text stays as it is told, in base64.
fn user_data(base64: &str) -> String {
    let bytes = aws_smithy_types::base64::decode(base64).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.unwrap_or_else(|| base64.to_owned())
}

fn image(told: sdk::Image) -> Image {
    let mapping = |one: sdk::BlockDeviceMapping| BlockDeviceMapping {
        device_name: one.device_name.unwrap_or_default(),
        no_device: one.no_device,
        virtual_name: one.virtual_name,
        ebs: one.ebs.map(|ebs| EbsBlockDevice {
            volume_size: ebs.volume_size.map(i64::from),
            volume_type: ebs.volume_type.map(|one| one.as_str().to_owned()),
            snapshot_id: ebs.snapshot_id,
            delete_on_termination: ebs.delete_on_termination,
            iops: ebs.iops.map(i64::from),
            throughput: ebs.throughput.map(i64::from),
        }),
    };
    Image {
        architecture: text(told.architecture.as_ref()),
        platform: told.platform.map(|one| one.as_str().to_owned()),
        block_device_mappings: told
            .block_device_mappings
            .unwrap_or_default()
            .into_iter()
            .map(mapping)
            .collect(),
        deprecation_time: told.deprecation_time.as_deref().and_then(Time::parse).map(Timestamp),
        imds_support: told.imds_support.map(|one| one.as_str().to_owned()),
        image_id: told.image_id.unwrap_or_default(),
        name: told.name.unwrap_or_default(),
        description: told.description.unwrap_or_default(),
        root_device_name: told.root_device_name.unwrap_or_default(),
    }
}
