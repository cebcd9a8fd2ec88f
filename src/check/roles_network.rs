//! AT3xx: what instances need to come up and to join: roles, and a way out.

use std::collections::BTreeSet;

use super::Report;
use super::rule::{Finding, Rule, Severity, batch_api, batch_guide, rules, shell};
use super::view::{Environment, View};
use crate::account::Platform;
use crate::account::survey::{
    ComputeResources, Known, LaunchTemplateSpecification, Role, Route, Subnet, name_of, told,
};

/// What the ECS agent needs.
const FOR_INSTANCES: &str = "AmazonEC2ContainerServiceforEC2Role";
/// What a Spot fleet needs to tag and end its instances.
const FOR_FLEET: &str = "AmazonEC2SpotFleetTaggingRole";
/// Its predecessor.
const FOR_FLEET_OLD: &str = "AmazonEC2SpotFleetRole";
/// The role that Batch makes for itself.
const SERVICE_LINKED: &str = "AWSServiceRoleForBatch";
/// Without a public address an instance in such a subnet needs all of these.
const ENDPOINTS: [&str; 3] = ["ecs", "ecs-agent", "ecs-telemetry"];

rules! {
    NOT_A_PROFILE = "AT301" "instance-role-not-a-profile" Error {
        finds: "instanceRole names something that is not an instance profile.",
        why: "EC2 takes instance profiles, not roles. No instance launches, or the environment becomes INVALID.",
        fix: "Name the instance profile of the role: arn:aws:iam::ACCOUNT:instance-profile/NAME.",
        sources: [batch_guide!("instance_IAM_role"), batch_guide!("invalid_compute_environment")],
    }
    INSTANCE_TRUST = "AT302" "instance-role-trust" Error {
        finds: "The instance profile has no role, or its role does not trust ec2.amazonaws.com.",
        why: "Instances come up without credentials and never join the cluster: they are paid for, and jobs stay RUNNABLE.",
        fix: "Let the role trust ec2.amazonaws.com.",
        sources: [batch_guide!("instance_IAM_role"), batch_guide!("job_stuck_in_runnable")],
    }
    INSTANCE_POLICY = "AT303" "instance-role-policy" Warning {
        finds: "The instance role lacks the policy AmazonEC2ContainerServiceforEC2Role, and has no inline policy that could stand for it.",
        why: "Without it the agent may not register the instance, and the environment is invalidated after a while.",
        fix: "aws iam attach-role-policy --role-name ROLE --policy-arn arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role",
        sources: [batch_guide!("instance_IAM_role"), batch_guide!("invalid_compute_environment")],
    }
    NO_FLEET_ROLE = "AT304" "spot-fleet-role-missing" Error {
        finds: "A Spot environment with BEST_FIT (also where no strategy is set) without a usable spotIamFleetRole.",
        why: "BEST_FIT buys Spot through a Spot fleet, which needs a role that trusts spotfleet.amazonaws.com; the environment becomes \
              INVALID. The field cannot be changed later.",
        fix: "Make a new environment with SPOT_PRICE_CAPACITY_OPTIMIZED, which needs no such role.",
        sources: [batch_guide!("spot_fleet_IAM_role"), batch_guide!("invalid_compute_environment"), batch_api!("ComputeResource")],
    }
    OLD_FLEET_ROLE = "AT305" "spot-fleet-role-outdated" Warning {
        finds: "The role of the Spot fleet has AmazonEC2SpotFleetRole instead of AmazonEC2SpotFleetTaggingRole.",
        why: "Spot capacity does not scale down (\"You are not authorized to perform this operation\"), so it is paid for while idle.",
        fix: "aws iam attach-role-policy --role-name ROLE --policy-arn arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole",
        sources: [batch_guide!("spot_fleet_IAM_role"), batch_guide!("batch-troubleshooting")],
    }
    OWN_SERVICE_ROLE = "AT306" "service-role-not-linked" Info {
        finds: "The service role is not AWSServiceRoleForBatch.",
        why: "Only the service-linked role allows infrastructure updates, and it gets new permissions by itself; others miss them, and \
              Batch then cannot tell why a queue is blocked.",
        fix: "Make the environment without a service role; Batch then uses the service-linked one.",
        sources: [batch_guide!("infrastructure-updates"), batch_guide!("using-service-linked-roles")],
    }
    SERVICE_ROLE_TRUST = "AT307" "service-role-unusable" Error {
        finds: "The service role does not exist, or does not trust batch.amazonaws.com.",
        why: "\"Not authorized to perform sts:AssumeRole\": the environment becomes INVALID and scales neither up nor down.",
        fix: "Let the role trust batch.amazonaws.com, or use the service-linked role.",
        sources: [batch_guide!("invalid_compute_environment")],
    }
    NO_WAY_OUT = "AT308" "subnet-without-way-out" Error {
        finds: "A subnet from which instances reach neither the internet nor endpoints of Amazon ECS.",
        why: "Instances launch, never join the cluster, are paid for, and jobs stay RUNNABLE.",
        fix: "Give the subnet a NAT gateway, or public addresses and an internet gateway, or endpoints for ecs, ecs-agent and ecs-telemetry \
              (and for images and logs).",
        sources: [batch_guide!("job_stuck_in_runnable"), "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/vpc-endpoints.html"],
    }
    FEW_ADDRESSES = "AT309" "few-free-addresses" Warning {
        finds: "The subnets have fewer free addresses than instances at maxvCpus: a warning if even the largest type needs more, worth \
                knowing if the smallest does.",
        why: "Launches fail for lack of addresses, and AWS Batch gives no reason.",
        fix: "Add subnets, or allow only larger types.",
        sources: [batch_guide!("job_stuck_in_runnable"), batch_guide!("best-practices")],
    }
    SUBNET_MISSING = "AT310" "subnet-missing" Error {
        finds: "A subnet that does not exist.",
        why: "Launches into it fail; with no other subnet, nothing launches.",
        fix: "Name subnets that exist.",
        sources: [batch_guide!("invalid_compute_environment")],
    }
}

pub(super) fn check(view: &View<'_>, report: &mut Report) {
    for (environment, resources) in view.with_instances() {
        if environment.platform == Platform::Ec2 {
            instance_role(view, environment, resources, report);
            fleet_role(view, environment, resources, report);
        }
        service_role(view, environment, report);
        subnets(view, environment, resources, report);
    }
}

/// AT301 to AT303.
fn instance_role(view: &View<'_>, environment: &Environment<'_>, resources: &ComputeResources, report: &mut Report) {
    let name = environment.name();
    let Some(written) = resources.instance_role.as_deref().filter(|written| !written.is_empty()) else {
        report.add(Finding::of(&NOT_A_PROFILE, name, "instanceRole is not set").with("instanceRole", "not set"));
        return;
    };
    let find = |rule: &'static Rule, message: String| Finding::of(rule, name, message).with("instanceRole", written);
    if written.contains(":role/") {
        let profile = written.replace(":role/", ":instance-profile/");
        let finding = find(&NOT_A_PROFILE, "instanceRole is the ARN of a role".to_owned());
        report.add(finding.fix(format!("If the profile has the role's name: instanceRole {profile}")));
        return;
    }
    let profile = match told(&view.survey.instance_profiles, name_of(written)) {
        Ok(Some(profile)) => profile,
        Ok(None) => {
            let message = format!("there is no instance profile {}", name_of(written));
            report.add(find(&NOT_A_PROFILE, message));
            return;
        }
        Err(why) => {
            return report.unread(
                &[&NOT_A_PROFILE, &INSTANCE_TRUST, &INSTANCE_POLICY],
                name,
                format!("instance profile: {why}"),
            );
        }
    };
    let Some(role_name) = profile.roles.first() else {
        report.add(find(&INSTANCE_TRUST, "the instance profile has no role".to_owned()).with("Roles", "none"));
        return;
    };
    match told(&view.survey.roles, role_name) {
        Ok(Some(role)) => {
            if !trusts(role, "ec2.amazonaws.com") {
                let finding = find(
                    &INSTANCE_TRUST,
                    format!("role {role_name} does not trust ec2.amazonaws.com"),
                );
                report.add(finding.with("trusts", role.trusted_services.join(", ")));
            }
            if !has(role, FOR_INSTANCES) {
                lacks(
                    role,
                    role_name,
                    find(&INSTANCE_POLICY, format!("role {role_name} lacks {FOR_INSTANCES}")),
                    report,
                );
            }
        }
        Ok(None) => report.add(find(&INSTANCE_TRUST, format!("role {role_name} does not exist"))),
        Err(why) => report.unread(&[&INSTANCE_TRUST, &INSTANCE_POLICY], name, why),
    }
}

/// A policy of the account's own may stand for that of AWS; which is not read.
fn lacks(role: &Role, role_name: &str, finding: Finding, report: &mut Report) {
    let own = role
        .attached_policies
        .iter()
        .any(|arn| !arn.contains(":iam::aws:policy/"));
    if own || !role.inline_policies.is_empty() {
        report.unread(
            &[finding.rule],
            finding.subject,
            "the role has policies of the account's own, which are not read",
        );
        return;
    }
    let fix = finding.fix.replace("ROLE", &shell(role_name));
    report.add(finding.with("policies", role.attached_policies.join(", ")).fix(fix));
}

/// AT304 and AT305.
fn fleet_role(view: &View<'_>, environment: &Environment<'_>, resources: &ComputeResources, report: &mut Report) {
    let name = environment.name();
    let best_fit = matches!(resources.allocation_strategy.as_deref(), None | Some("" | "BEST_FIT"));
    if resources.r#type != "SPOT" || !best_fit {
        return;
    }
    let strategy = resources.allocation_strategy.as_deref().unwrap_or("not set");
    let find =
        |rule: &'static Rule, message: String| Finding::of(rule, name, message).with("allocationStrategy", strategy);
    let Some(written) = resources
        .spot_iam_fleet_role
        .as_deref()
        .filter(|written| !written.is_empty())
    else {
        report.add(
            find(&NO_FLEET_ROLE, "BEST_FIT on Spot without spotIamFleetRole".to_owned())
                .with("spotIamFleetRole", "not set"),
        );
        return;
    };
    match told(&view.survey.roles, name_of(written)) {
        Ok(Some(role)) if !trusts(role, "spotfleet.amazonaws.com") => {
            let finding = find(
                &NO_FLEET_ROLE,
                format!("{} does not trust spotfleet.amazonaws.com", name_of(written)),
            );
            report.add(
                finding
                    .with("spotIamFleetRole", written)
                    .with("trusts", role.trusted_services.join(", ")),
            );
        }
        Ok(Some(role)) if !has(role, FOR_FLEET) && has(role, FOR_FLEET_OLD) => {
            let finding = find(&OLD_FLEET_ROLE, format!("{} has {FOR_FLEET_OLD}", name_of(written)));
            let fix = finding.fix.replace("ROLE", &shell(name_of(written)));
            report.add(
                finding
                    .with("spotIamFleetRole", written)
                    .with("policies", role.attached_policies.join(", "))
                    .fix(fix),
            );
        }
        Ok(Some(_)) => {}
        Ok(None) => report.add(
            find(&NO_FLEET_ROLE, format!("role {} does not exist", name_of(written))).with("spotIamFleetRole", written),
        ),
        Err(why) => report.unread(&[&NO_FLEET_ROLE, &OLD_FLEET_ROLE], name, why),
    }
}

/// AT306 and AT307.
fn service_role(view: &View<'_>, environment: &Environment<'_>, report: &mut Report) {
    let name = environment.name();
    let Some(written) = environment
        .detail
        .service_role
        .as_deref()
        .filter(|written| !written.is_empty())
    else {
        return report.unread(
            &[&OWN_SERVICE_ROLE, &SERVICE_ROLE_TRUST],
            name,
            "AWS Batch does not say which service role it has",
        );
    };
    if name_of(written) == SERVICE_LINKED {
        return;
    }
    let finding = Finding::of(
        &OWN_SERVICE_ROLE,
        name,
        format!("the service role is {}", name_of(written)),
    );
    report.add(finding.with("serviceRole", written));
    match told(&view.survey.roles, name_of(written)) {
        Ok(Some(role)) if trusts(role, "batch.amazonaws.com") => {}
        Ok(Some(role)) => {
            let finding = Finding::of(
                &SERVICE_ROLE_TRUST,
                name,
                format!("{} does not trust batch.amazonaws.com", name_of(written)),
            );
            report.add(
                finding
                    .with("serviceRole", written)
                    .with("trusts", role.trusted_services.join(", ")),
            );
        }
        Ok(None) => {
            let finding = Finding::of(
                &SERVICE_ROLE_TRUST,
                name,
                format!("role {} does not exist", name_of(written)),
            );
            report.add(finding.with("serviceRole", written));
        }
        Err(why) => report.unread(&[&SERVICE_ROLE_TRUST], name, why),
    }
}

fn trusts(role: &Role, service: &str) -> bool {
    role.trusted_services.iter().any(|trusted| trusted == service)
}

fn has(role: &Role, policy: &str) -> bool {
    role.attached_policies.iter().any(|arn| name_of(arn) == policy)
}

/// AT308 to AT310.
fn subnets(view: &View<'_>, environment: &Environment<'_>, resources: &ComputeResources, report: &mut Report) {
    let name = environment.name();
    let (mut free, mut complete) = (0i64, true);
    // Several environments share subnets; each is looked at by itself.
    let ids: BTreeSet<&String> = resources.subnets.iter().collect();
    for id in &ids {
        match told(&view.survey.subnets, id) {
            Ok(Some(subnet)) => {
                free = free.saturating_add(subnet.available_ip_address_count.max(0));
                let public = gets_public_address(view, resources);
                way_out((name, &view.survey.account), id, subnet, public, report);
            }
            Ok(None) => {
                report
                    .add(Finding::of(&SUBNET_MISSING, name, format!("subnet {id} does not exist")).with("subnet", id));
            }
            Err(why) => {
                complete = false;
                report.unread(&[&SUBNET_MISSING, &NO_WAY_OUT], name, why);
            }
        }
    }
    if !complete {
        return report.unread(&[&FEW_ADDRESSES], name, "not all of its subnets are known");
    }
    if let Some(why) = environment.unknown() {
        return report.unread(&[&FEW_ADDRESSES], name, why);
    }
    let (Some(largest), Some(smallest)) = (environment.largest(), environment.smallest()) else {
        return;
    };
    // What runs has its addresses already.
    let to_come = environment.max.saturating_sub(resources.desired_vcpus.max(0)).max(0);
    let at_max = |vcpus: i64| {
        let each = vcpus.max(1);
        to_come / each + i64::from(to_come % each > 0)
    };
    let (least, most) = (
        at_max(largest.nominal.vcpus.get()),
        at_max(smallest.nominal.vcpus.get()),
    );
    if free >= most || ids.is_empty() {
        return;
    }
    let severity = if free < least {
        Severity::Warning
    } else {
        Severity::Info
    };
    let message = format!("{free} free addresses for {least} to {most} more instances up to maxvCpus");
    let finding = Finding::of(&FEW_ADDRESSES, name, message)
        .with("AvailableIpAddressCount", free)
        .rated(severity);
    let finding = finding
        .with("maxvCpus", environment.max)
        .with("desiredvCpus", resources.desired_vcpus)
        .with("largest type", &largest.name)
        .with("smallest type", &smallest.name);
    report.add(finding.with("subnets", resources.subnets.join(", ")));
}

/// Whether the launch template asks for public addresses; of interfaces, AWS Batch ignores subnets only.
fn gets_public_address(view: &View<'_>, resources: &ComputeResources) -> bool {
    let key = resources.launch_template.as_ref().map(LaunchTemplateSpecification::key);
    let version = key.and_then(|key| told(&view.survey.launch_templates, &key).ok().flatten());
    version.is_some_and(|version| {
        let mut interfaces = version.launch_template_data.network_interfaces.iter();
        interfaces.any(|interface| interface.associate_public_ip_address == Some(true))
    })
}

/// AT308.
fn way_out((name, account): (&str, &str), id: &str, subnet: &Subnet, public: bool, report: &mut Report) {
    let route = match &subnet.route {
        Known::Known(route) => route,
        Known::Unread { why } => return report.unread(&[&NO_WAY_OUT], name, format!("route of {id}: {why}")),
    };
    let what = match route {
        Route::Nat => return,
        Route::InternetGateway if subnet.map_public_ip_on_launch || public => return,
        Route::Other(to) => {
            return report.unread(
                &[&NO_WAY_OUT],
                name,
                format!("{id} goes out through {to}, whose other side is not seen"),
            );
        }
        Route::InternetGateway => "an internet gateway, but no public addresses",
        Route::None => "none",
    };
    let endpoints = match &subnet.endpoints {
        Known::Known(endpoints) => endpoints,
        Known::Unread { why } => return report.unread(&[&NO_WAY_OUT], name, format!("endpoints of {id}: {why}")),
    };
    if ENDPOINTS
        .iter()
        .all(|wanted| endpoints.iter().any(|there| there == wanted))
    {
        return;
    }
    let owner = subnet.owner_id.as_str();
    if !owner.is_empty() && !account.is_empty() && owner != account {
        let why = format!("{id} belongs to account {owner}, whose endpoints are not visible");
        return report.unread(&[&NO_WAY_OUT], name, why);
    }
    let finding = Finding::of(&NO_WAY_OUT, name, format!("instances in {id} reach nothing"));
    let finding = finding
        .with("subnet", id)
        .with("default route", what)
        .with("MapPublicIpOnLaunch", subnet.map_public_ip_on_launch);
    report.add(finding.with("endpoints", endpoints.join(", ")));
}
