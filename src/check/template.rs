//! AT2xx: launch templates and images.

use std::collections::BTreeSet;

use super::Report;
use super::disk::{Generation, starts};
use super::rule::{Finding, Severity, batch_api, batch_guide, ec2_guide, rules, shell};
use super::view::{Environment, View};
use crate::account::survey::{
    ComputeResources, Known, LaunchTemplateOverride, LaunchTemplateSpecification, LaunchTemplateVersion, told,
};
use crate::catalog::Architecture;
use crate::units::Time;

/// The last day of Amazon Linux 2: 2026-06-30 (AWS Batch user guide, "Amazon ECS-optimized AL2 deprecation").
const AL2_END: Time = Time::from_seconds(1_782_864_000);

rules! {
    NOT_MIME = "AT201" "user-data-not-mime" Error {
        finds: "User data that is not MIME multi-part.",
        why: "AWS Batch adds its own part to the user data, with the cluster to join, and can do so only in a MIME multi-part archive. \
              Otherwise the environment becomes INVALID or instances never join.",
        fix: "Wrap the script: a MIME-Version and a Content-Type: multipart/mixed header, and a part of type text/x-shellscript \
              (`autotune check --fix-template NAME` does so).",
        sources: [batch_guide!("launch-templates")],
    }
    RESERVED = "AT202" "reserved-agent-setting" Error {
        finds: "User data that sets ECS_CLUSTER or ECS_INSTANCE_ATTRIBUTES.",
        why: "Both belong to AWS Batch. An instance that joins another cluster never gets a job, and is paid for.",
        fix: "Remove the setting from the user data.",
        sources: [batch_guide!("launch-templates")],
    }
    NEWER = "AT203" "template-newer-than-taken" Warning {
        finds: "The version that `$Latest` or `$Default` stands for was published after the environment last took its template over: after its \
                creation or last infrastructure update, which CloudTrail tells for 90 days.",
        why: "AWS Batch looks at such a version only when the environment is created and at an infrastructure update. Instances still start \
              with the old one, whatever was fixed in the new one.",
        fix: "Make an infrastructure update, for example with a tag that names the version.",
        sources: [batch_guide!("launch-templates"), batch_guide!("updating-compute-environments")],
    }
    FOLLOWS = "AT204" "template-version-moves" Info {
        finds: "The environment names `$Latest` or `$Default`, or no version.",
        why: "Publishing a version changes nothing by itself, and any infrastructure update takes it over without anybody saying so.",
        fix: "Name a version by its number; a new one is then an infrastructure update that shows in the stack.",
        sources: [batch_guide!("launch-templates"), batch_api!("LaunchTemplateSpecification")],
    }
    IGNORED = "AT205" "template-parameter-ignored" Info {
        finds: "Parameters of the launch template that AWS Batch ignores: instance type, instance profile, subnets, market options, protection \
                from termination.",
        why: "AWS Batch makes a template of its own and copies the rest. Whoever reads the template believes something that does not hold.",
        fix: "Remove the parameter from the template; set it in the compute environment.",
        sources: [batch_guide!("launch-templates")],
    }
    OVERLAP = "AT206" "overrides-overlap" Warning {
        finds: "Overrides of the launch template that name the same type twice.",
        why: "Target types of overrides must not overlap: the next infrastructure update is refused.",
        fix: "Name each type in one override.",
        sources: [batch_api!("LaunchTemplateSpecificationOverride")],
    }
    OVERRIDE_TARGET = "AT207" "override-of-nothing" Warning {
        finds: "Overrides for types that the environment does not allow, or for words such as `optimal`.",
        why: "Targets have to be among instanceTypes, and words are not accepted: the next infrastructure update is refused.",
        fix: "Name types or families of the environment.",
        sources: [batch_api!("LaunchTemplateSpecificationOverride")],
    }
    MISSING = "AT208" "template-missing" Warning {
        finds: "A launch template or version that does not exist.",
        why: "Instances go on with Batch's copy until the next infrastructure update, which fails; a new environment becomes INVALID.",
        fix: "Name a template and version that exist.",
        sources: [batch_guide!("invalid_compute_environment"), batch_guide!("launch-templates")],
    }
    IMDSV1 = "AT209" "metadata-without-token" Warning {
        finds: "Instances whose metadata can be read without a token (IMDSv1).",
        why: "A job that can be made to fetch a URL hands out the credentials of the instance role.",
        fix: "Set MetadataOptions HttpTokens required and HttpPutResponseHopLimit 2 in the launch template.",
        sources: [ec2_guide!("configuring-instance-metadata-options")],
    }
    CONTRADICTS = "AT210" "image-contradicts-type" Error {
        finds: "An image of another architecture than the instance types, or (a warning) of another generation than imageType says.",
        why: "AWS Batch prepares instances for the image type that it is told. A mismatch may not work; a wrong architecture never starts.",
        fix: "Set imageType in ec2Configuration to what the image is, or name an image that fits.",
        sources: [batch_guide!("ecs-migration-2023"), batch_api!("Ec2Configuration")],
    }
    PAST_END = "AT211" "image-past-its-end" Warning {
        finds: "Instances with Amazon Linux 2 after 2026-06-30, Amazon Linux 1, or an image after its deprecation time.",
        why: "There are no more fixes, also not for security. New environments with AL2 are refused, so this one cannot be made again.",
        fix: "Move to imageType ECS_AL2023 with an infrastructure update.",
        sources: [batch_guide!("ecs-al2-ami-deprecation"), batch_guide!("ecs-migration-2023")],
    }
    OLD_IMAGE = "AT212" "image-update-available" Info {
        finds: "batchImageStatus UPDATE_AVAILABLE.",
        why: "Instances start with an older image than AWS Batch has: fixes of the system, of Docker and of the agent are missing.",
        fix: "Make an infrastructure update with updateToLatestImageVersion true.",
        sources: [batch_api!("Ec2Configuration"), batch_guide!("updating-compute-environments")],
    }
    IMAGE_MISSING = "AT213" "image-missing" Error {
        finds: "An image that does not exist, or that the account may not use.",
        why: "Nothing launches; AWS Batch gives no reason and jobs stay RUNNABLE.",
        fix: "Name an image that exists in this region, or none.",
        sources: [batch_guide!("job_stuck_in_runnable")],
    }
}

pub(super) fn check(view: &View<'_>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (environment, resources) in view.with_instances() {
        specification(view, environment, resources, report);
        for key in keys(resources) {
            let rules = [&NOT_MIME, &RESERVED, &IGNORED];
            match told(&view.survey.launch_templates, &key) {
                Ok(Some(version)) if seen.insert(key.clone()) => {
                    let eks = environment.detail.container_orchestration_type.as_deref() == Some("EKS");
                    of_template(&key, version, eks, report);
                }
                Ok(Some(_)) => {}
                Ok(None) => report.add(
                    Finding::of(
                        &MISSING,
                        environment.name(),
                        format!("launch template {key} does not exist"),
                    )
                    .with("launchTemplate", &key),
                ),
                Err(why) => report.unread(
                    &[rules.as_slice(), &[&MISSING, &NEWER]].concat(),
                    environment.name(),
                    why,
                ),
            }
        }
        images(view, environment, resources, report);
    }
}

/// Keys of all templates of an environment.
fn keys(resources: &ComputeResources) -> BTreeSet<String> {
    let Some(specification) = &resources.launch_template else {
        return BTreeSet::new();
    };
    let own = specification.launch_template_id.is_some() || specification.launch_template_name.is_some();
    let own = own.then(|| specification.key());
    own.into_iter()
        .chain(specification.overrides.iter().map(LaunchTemplateOverride::key))
        .collect()
}

/// AT203, AT204, AT206 and AT207: how the environment names its templates.
fn specification(view: &View<'_>, environment: &Environment<'_>, resources: &ComputeResources, report: &mut Report) {
    let Some(specification) = &resources.launch_template else {
        return;
    };
    let name = environment.name();
    for key in keys(resources) {
        if !(key.ends_with(":$Latest") || key.ends_with(":$Default")) {
            continue;
        }
        let message =
            format!("the launch template is {key}: which version that is changes with the next infrastructure update");
        report.add(Finding::of(&FOLLOWS, name, message).with("launchTemplate", &key));
        let Ok(Some(version)) = told(&view.survey.launch_templates, &key) else {
            continue;
        };
        match (&environment.detail.infrastructure_updated_at, version.create_time) {
            (Known::Known(taken), Some(published)) if published > *taken => {
                let message = format!(
                    "version {} of {key} is newer than what the environment took over",
                    version.version_number
                );
                let finding = Finding::of(&NEWER, name, message)
                    .with("launchTemplate", &key)
                    .with("version", version.version_number);
                let finding = finding.with("CreateTime", published.0).with("taken over", taken.0);
                let value = shell(&format!("tags={{launch-template={}}}", version.version_number));
                report.add(finding.fix(format!(
                    "aws batch update-compute-environment --compute-environment {} --compute-resources {value}",
                    shell(name)
                )));
            }
            (Known::Known(_), Some(_)) => {}
            (Known::Known(_), None) => report.unread(&[&NEWER], name, format!("when {key} was published is not told")),
            (Known::Unread { why }, _) => report.unread(&[&NEWER], name, format!("when it took {key} over: {why}")),
        }
    }
    targets(environment, resources, specification, report);
}

/// AT206 and AT207.
fn targets(
    environment: &Environment<'_>,
    resources: &ComputeResources,
    specification: &LaunchTemplateSpecification,
    report: &mut Report,
) {
    let name = environment.name();
    let mut targets: BTreeSet<&str> = BTreeSet::new();
    for target in specification
        .overrides
        .iter()
        .flat_map(|other| &other.target_instance_types)
    {
        let family = target.split('.').next().unwrap_or(target);
        let within = |known: &&str| *known == family || known.split('.').next() == Some(target.as_str());
        if targets.contains(target.as_str()) || targets.iter().any(within) {
            let message = format!("more than one override is for {target}");
            report.add(Finding::of(&OVERLAP, name, message).with("targetInstanceTypes", target));
        }
        targets.insert(target);
        let allowed = &resources.instance_types;
        let is_word = target == "optimal" || target.starts_with("default_");
        let of_family = allowed.iter().any(|one| one == target || one == family);
        let of_word = allowed
            .iter()
            .any(|one| one == "optimal" || one.starts_with("default_"));
        let of_word = of_word
            && environment
                .types
                .iter()
                .any(|one| one.name == *target || one.family() == target);
        if is_word || !(of_family || of_word) {
            let finding = Finding::of(
                &OVERRIDE_TARGET,
                name,
                format!("an override is for {target}, which instanceTypes does not have"),
            );
            report.add(
                finding
                    .with("targetInstanceTypes", target)
                    .with("instanceTypes", allowed.join(", ")),
            );
        }
    }
}

/// AT201, AT202, AT205: what a template says, once however many environments use it.
fn of_template(key: &str, version: &LaunchTemplateVersion, eks: bool, report: &mut Report) {
    let data = &version.launch_template_data;
    let find = |rule, message: String| Finding::of(rule, key, message).with("version", version.version_number);
    if let Some(text) = data.user_data.as_deref().filter(|text| !text.trim().is_empty()) {
        let user_data = super::user_data::UserData::of(text);
        // On EKS other formats are possible (userdataType).
        if !eks && !user_data.is_multipart() {
            let first: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
            // The first line is a shebang or a header. Anything else might be a secret.
            let shown = if first.starts_with("#!") || first.starts_with("#cloud") {
                first
            } else {
                "no MIME-Version header".to_owned()
            };
            report
                .add(find(&NOT_MIME, "the user data is not MIME multi-part".to_owned()).with("UserData begins", shown));
        }
        for name in user_data.reserved() {
            report.add(find(&RESERVED, format!("the user data sets {name}")).with("UserData sets", name));
        }
    }
    let ignored = [
        ("InstanceType", data.instance_type.clone()),
        (
            "IamInstanceProfile",
            data.iam_instance_profile
                .as_ref()
                .and_then(|p| p.arn.clone().or(p.name.clone())),
        ),
        (
            "InstanceMarketOptions",
            data.instance_market_options
                .as_ref()
                .map(|m| m.market_type.clone().unwrap_or_default()),
        ),
        (
            "DisableApiTermination",
            data.disable_api_termination.filter(|on| *on).map(|on| on.to_string()),
        ),
        (
            "SubnetId",
            data.network_interfaces
                .iter()
                .find_map(|interface| interface.subnet_id.clone()),
        ),
    ];
    for (name, value) in ignored {
        if let Some(value) = value {
            report.add(find(&IGNORED, format!("AWS Batch ignores {name}")).with(name, value));
        }
    }
}

/// AT209 to AT213: what instances start with.
fn images(view: &View<'_>, environment: &Environment<'_>, resources: &ComputeResources, report: &mut Report) {
    let name = environment.name();
    let ids = (resources.image_id.iter()).chain(
        resources
            .ec2_configuration
            .iter()
            .filter_map(|entry| entry.image_id_override.as_ref()),
    );
    let of_templates = keys(resources).into_iter().filter_map(|key| {
        let version = told(&view.survey.launch_templates, &key).ok()??;
        version.launch_template_data.image_id.clone()
    });
    let ids: BTreeSet<String> = ids.cloned().chain(of_templates).collect();
    for id in &ids {
        if let Ok(None) = told(&view.survey.images, id) {
            report.add(Finding::of(&IMAGE_MISSING, name, format!("image {id} does not exist")).with("ImageId", id));
        } else if let Err(why) = told(&view.survey.images, id) {
            report.unread(&[&IMAGE_MISSING, &CONTRADICTS, &PAST_END], name, why);
        }
    }
    for entry in &resources.ec2_configuration {
        if entry.batch_image_status.as_deref() == Some("UPDATE_AVAILABLE") {
            let finding = Finding::of(
                &OLD_IMAGE,
                name,
                "AWS Batch has a newer image than its instances start with",
            );
            let finding = finding
                .with("imageType", &entry.image_type)
                .with("batchImageStatus", "UPDATE_AVAILABLE");
            report.add(finding.fix(format!(
                "aws batch update-compute-environment --compute-environment {} --compute-resources updateToLatestImageVersion=true",
                shell(name)
            )));
        }
    }
    if environment.platform == crate::account::Platform::Eks {
        return;
    }
    if let Some(why) = environment.unknown() {
        report.unread(&[&IMDSV1, &CONTRADICTS, &PAST_END], name, why);
    }
    for start in starts(view, environment, resources).into_iter().flatten() {
        generation(view, name, &start, report);
        architecture(name, &start, report);
        metadata(name, &start, report);
    }
}

/// AT210 (generation) and AT211.
fn generation(view: &View<'_>, name: &str, start: &super::disk::Start<'_>, report: &mut Report) {
    let configured = start
        .configuration
        .and_then(|entry| Generation::of_type(&entry.image_type));
    if let (Some(image), Some(configured)) = (start.image, configured)
        && start.generation != Generation::Custom
        && start.generation != configured
    {
        let finding = Finding::of(
            &CONTRADICTS,
            name,
            format!("{} is not what imageType says", image.image_id),
        );
        let finding = finding.with("ImageId", &image.image_id).with("Name", &image.name);
        let finding = finding.rated(Severity::Warning);
        report.add(finding.with(
            "imageType",
            start.configuration.map_or("", |entry| entry.image_type.as_str()),
        ));
    }
    let Some(now) = view.now() else {
        return report.unread(&[&PAST_END], name, "the survey does not say when it was made");
    };
    let image_type = start.configuration.map_or("not set", |entry| entry.image_type.as_str());
    let image = start.image.map_or("Batch's own", |image| image.image_id.as_str());
    let find = |message: &str| {
        Finding::of(&PAST_END, name, message)
            .with("imageType", image_type)
            .with("image", image)
    };
    let deprecated = start
        .image
        .and_then(|image| image.deprecation_time)
        .filter(|at| at.0 <= now);
    match start.generation {
        Generation::Al1 => report.add(find("instances start with Amazon Linux 1")),
        Generation::Al2 if now > AL2_END => {
            report.add(find("instances start with Amazon Linux 2, which ended on 2026-06-30"));
        }
        _ if deprecated.is_some() => {
            let at = deprecated.map_or(now, |at| at.0);
            report.add(find("its publisher wants the image to be used no more").with("DeprecationTime", at));
        }
        Generation::Al2 | Generation::Al2023 | Generation::Bottlerocket | Generation::Custom => {}
    }
}

/// AT210 (architecture).
fn architecture(name: &str, start: &super::disk::Start<'_>, report: &mut Report) {
    let Some(image) = start.image else { return };
    let fits = |architecture: Architecture| match architecture {
        Architecture::Amd64 => image.architecture == "x86_64",
        Architecture::Arm64 => image.architecture == "arm64",
    };
    if image.architecture.is_empty() {
        return report.unread(
            &[&CONTRADICTS],
            name,
            format!("the architecture of {} is not told", image.image_id),
        );
    }
    if let Some(one) = start.types.iter().find(|one| !fits(one.architecture)) {
        let finding = Finding::of(
            &CONTRADICTS,
            name,
            format!("{} does not start on {}", image.image_id, one.name),
        );
        report.add(
            finding
                .with("ImageId", &image.image_id)
                .with("Architecture", &image.architecture)
                .with("instanceType", &one.name),
        );
    }
}

/// AT209. Batch's own AL2023 images require tokens unless the account's default says otherwise; AL2 does not.
fn metadata(name: &str, start: &super::disk::Start<'_>, report: &mut Report) {
    let options = start
        .template
        .as_ref()
        .and_then(|(_, version)| version.launch_template_data.metadata_options.as_ref());
    let tokens = options.and_then(|options| options.http_tokens.as_deref());
    let off = options.is_some_and(|options| options.http_endpoint.as_deref() == Some("disabled"));
    let of_image = match start.image {
        Some(image) => image.imds_support.as_deref() == Some("v2.0"),
        None => start.generation == Generation::Al2023,
    };
    let open = match tokens {
        Some(tokens) => tokens != "required",
        None => !of_image,
    };
    if open && !off {
        let finding = Finding::of(&IMDSV1, name, "instance metadata can be read without a token");
        let finding = finding.with("HttpTokens", tokens.unwrap_or("not set"));
        let image = if of_image { "v2.0" } else { "not set" };
        // Where nothing is set, the account's own default may still require tokens.
        let severity = if tokens.is_some() {
            Severity::Warning
        } else {
            Severity::Info
        };
        report.add(finding.with("ImdsSupport of the image", image).rated(severity));
    }
}
