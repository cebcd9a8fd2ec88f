//! AT4xx: job queues and compute environments.

use std::collections::BTreeSet;

use super::Report;
use super::rule::{Finding, Severity, batch_api, batch_guide, rules, shell};
use super::view::{Environment, View, order, registered, size_of};
use crate::account::Platform;
use crate::account::survey::{ComputeResources, JobDefinition, JobQueue, told};
use crate::catalog::{Purchase, Resources};
use crate::units::Span;

rules! {
    INVALID = "AT401" "environment-invalid" Error {
        finds: "A compute environment with status INVALID. A warning if it is DISABLED or no job queue uses it.",
        why: "It scales neither up nor down, and its queues pass it over. AWS Batch says why in statusReason, once.",
        fix: "Repair what statusReason names with an update of the environment.",
        sources: [batch_guide!("invalid_compute_environment")],
    }
    DISABLED = "AT402" "environment-disabled" Warning {
        finds: "A DISABLED compute environment that a job queue uses. Worth knowing only if each such queue has another that is enabled.",
        why: "Nothing is placed there. If it is the only one, jobs stay RUNNABLE.",
        fix: "Enable it, or take it out of the queue.",
        sources: [batch_api!("ComputeEnvironmentDetail"), batch_guide!("compute_environments")],
    }
    MIN_DISABLED = "AT403" "min-held-while-disabled" Error {
        finds: "minvCpus above 0 on a DISABLED compute environment.",
        why: "AWS Batch keeps minvCpus running there although no job can use them: they are paid for, for nothing.",
        fix: "aws batch update-compute-environment --compute-environment NAME --compute-resources minvCpus=0",
        sources: [batch_api!("UpdateComputeEnvironment")],
    }
    ON_DEMAND_FIRST = "AT404" "on-demand-before-spot" Warning {
        finds: "A job queue whose order has an On-Demand environment before a Spot one.",
        why: "Environments are tried in their order: Spot is used only when On-Demand cannot serve, so the cheaper capacity hardly ever is.",
        fix: "Put the Spot environment first.",
        sources: [batch_guide!("create-job-queue-ec2"), batch_guide!("compute_environments")],
    }
    SINGLE = "AT405" "single-environment" Info {
        finds: "A job queue whose only environment is a Spot one.",
        why: "When Spot capacity is short, jobs wait until it is not. There is nothing to fall back on.",
        fix: "Add an On-Demand environment behind it.",
        sources: [batch_guide!("job_stuck_in_runnable"), batch_guide!("create-job-queue-ec2")],
    }
    NO_FIT = "AT406" "job-fits-no-type" Error {
        finds: "A job definition whose jobs fit on no type of the environments they come to, after what the system and the ECS agent keep.",
        why: "Its jobs stay RUNNABLE for ever (MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT), and hold up those behind them in a FIFO queue.",
        fix: "Ask for less, or allow a larger type.",
        sources: [batch_guide!("job_stuck_in_runnable"), batch_guide!("memory-management")],
    }
    NOT_OFFERED = "AT407" "type-not-offered" Warning {
        finds: "Instance types that are not offered in any zone of the environment's subnets, or that nobody knows. An error if no type is left.",
        why: "Launches of such a type fail; fewer types mean less Spot capacity than the list promises.",
        fix: "Remove the types, or add a subnet in a zone that has them.",
        sources: [batch_guide!("best-practices"), "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypeOfferings.html"],
    }
    BID = "AT408" "bid-percentage" Warning {
        finds: "bidPercentage below 100.",
        why: "When the Spot price is above that share of On-Demand, nothing launches, and AWS Batch gives no clear reason. It saves nothing: \
              Spot is paid at its own price whatever the bid. AWS advises to leave it empty.",
        fix: "Remove bidPercentage (an infrastructure update).",
        sources: [batch_api!("ComputeResource")],
    }
    BEST_FIT = "AT409" "best-fit" Warning {
        finds: "The allocation strategy BEST_FIT, which is also what holds where none is set.",
        why: "It waits for the one type that fits best, also when that is out of stock, and allows no infrastructure updates: images and \
              launch templates can never be changed.",
        fix: "Make a new environment with BEST_FIT_PROGRESSIVE, or SPOT_PRICE_CAPACITY_OPTIMIZED on Spot.",
        sources: [batch_guide!("allocation-strategies"), batch_guide!("infrastructure-updates")],
    }
    MULTI_NODE = "AT410" "multi-node-beside-others" Warning {
        finds: "Multi-node jobs and others in one queue, or multi-node jobs on Spot.",
        why: "Multi-node jobs do not run on Spot, and what minvCpus holds is for other jobs only. A multi-node job at the head waits for \
              whole new instances, and holds up the rest.",
        fix: "Give multi-node jobs a queue with an On-Demand environment of their own.",
        sources: [batch_guide!("multi-node-parallel-jobs"), batch_guide!("managed_compute_environments")],
    }
    RESERVATION = "AT411" "fair-share-reservation" Info {
        finds: "A scheduling policy with a compute reservation.",
        why: "It keeps a part of the maximum unused for shares that are not active yet: RUNNABLE jobs beside free capacity are then normal.",
        fix: "Lower computeReservation if the waits are not wanted.",
        sources: [batch_guide!("job_scheduling"), batch_api!("FairsharePolicy")],
    }
    TIME_LIMIT = "AT412" "time-limit-before-capacity" Warning {
        finds: "A jobStateTimeLimitAction that ends RUNNABLE jobs sooner than capacity can come: sooner than the policy's patience with Spot and \
                one launch; without a policy, than a launch of 10 minutes.",
        why: "Jobs are cancelled while their instances boot, and a lack of Spot capacity becomes lost jobs instead of a wait.",
        fix: "Raise maxTimeSeconds above patience and boot time.",
        sources: [batch_api!("JobStateTimeLimitAction"), batch_guide!("job_stuck_in_runnable")],
    }
    MAX_SMALL = "AT413" "max-below-smallest-type" Error {
        finds: "maxvCpus below the vCPUs of the smallest allowed type.",
        why: "No instance can ever be launched; jobs stay RUNNABLE for ever.",
        fix: "Raise maxvCpus, or allow a smaller type.",
        sources: [batch_api!("ComputeResource"), "https://github.com/aws/aws-parallelcluster/issues/929"],
    }
    QUEUE_OFF = "AT414" "queue-disabled-or-invalid" Error {
        finds: "A job queue that is INVALID, or (worth knowing) DISABLED.",
        why: "DISABLED takes no new jobs; INVALID places none.",
        fix: "Enable it, or repair what statusReason names.",
        sources: [batch_api!("JobQueueDetail")],
    }
    ONE_SPOT_TYPE = "AT415" "one-spot-type" Warning {
        finds: "A Spot environment that allows a single instance type.",
        why: "Each type and zone is a pool of its own, and with one type a shortage there is a shortage of everything.",
        fix: "Allow a family, or several types of about the size.",
        sources: [batch_guide!("best-practices"), batch_guide!("allocation-strategies")],
    }
}

/// How long a launch takes where no policy says so.
const LAUNCH: Span = Span::from_minutes(10);

pub(super) fn check(view: &View<'_>, report: &mut Report) {
    for environment in &view.environments {
        states(view, environment, report);
    }
    for (environment, resources) in view.with_instances() {
        resources_of(environment, resources, report);
        offerings(view, environment, resources, report);
    }
    match view.survey.job_queues.read() {
        Ok(queues) => {
            for queue in queues {
                of_queue(view, queue, report);
            }
            fits(view, queues, report);
        }
        Err(why) => {
            let rules = [
                &DISABLED,
                &ON_DEMAND_FIRST,
                &SINGLE,
                &NO_FIT,
                &MULTI_NODE,
                &RESERVATION,
                &TIME_LIMIT,
                &QUEUE_OFF,
            ];
            report.unread(&rules, "job queues", why);
        }
    }
}

/// AT401 to AT403.
fn states(view: &View<'_>, environment: &Environment<'_>, report: &mut Report) {
    let (name, detail) = (environment.name(), environment.detail);
    let queues = view.survey.job_queues.read();
    let users: Vec<&JobQueue> = (queues.into_iter().flatten())
        .filter(|queue| order(queue).contains(&name))
        .collect();
    if detail.status == "INVALID" {
        let finding = Finding::of(&INVALID, name, "AWS Batch cannot use it");
        let in_use = environment.is_enabled() && (queues.is_err() || !users.is_empty());
        let finding = if in_use {
            finding
        } else {
            finding.rated(Severity::Warning)
        };
        report.add(
            finding
                .with("status", "INVALID")
                .with("statusReason", &detail.status_reason),
        );
    }
    if environment.is_enabled() {
        return;
    }
    if !users.is_empty() {
        let names: Vec<&str> = users.iter().map(|queue| queue.job_queue_name.as_str()).collect();
        let has_other = |queue: &&JobQueue| view.environments_of(queue).iter().any(|other| other.is_enabled());
        let finding = Finding::of(&DISABLED, name, "it is DISABLED, and in use");
        let finding = if users.iter().all(has_other) {
            finding.rated(Severity::Info)
        } else {
            finding
        };
        report.add(finding.with("state", "DISABLED").with("job queues", names.join(", ")));
    }
    let min = view.resources(environment).min_vcpus;
    if min > 0 {
        let finding = Finding::of(
            &MIN_DISABLED,
            name,
            format!("{min} vCPUs are held where no job can run"),
        );
        let fix = MIN_DISABLED.fix.replace("NAME", &shell(name));
        report.add(finding.with("state", "DISABLED").with("minvCpus", min).fix(fix));
    }
}

/// AT408, AT409, AT413, AT415.
fn resources_of(environment: &Environment<'_>, resources: &ComputeResources, report: &mut Report) {
    let name = environment.name();
    if let Some(bid) = resources.bid_percentage.filter(|bid| (1..100).contains(bid)) {
        report.add(
            Finding::of(&BID, name, format!("Spot is refused above {bid} % of On-Demand")).with("bidPercentage", bid),
        );
    }
    if matches!(resources.allocation_strategy.as_deref(), None | Some("" | "BEST_FIT"))
        && environment.platform == Platform::Ec2
    {
        let strategy = resources.allocation_strategy.as_deref().unwrap_or("not set");
        report.add(
            Finding::of(&BEST_FIT, name, "it waits for the best type, and cannot be updated")
                .with("allocationStrategy", strategy),
        );
    }
    if let Some(why) = environment.unknown() {
        // A smaller type may be among those that are not known.
        report.unread(&[&MAX_SMALL], name, why);
    } else if let Some(smallest) = environment
        .smallest()
        .filter(|one| one.nominal.vcpus.get() > environment.max)
    {
        let (max, vcpus) = (environment.max, smallest.nominal.vcpus);
        let message = format!("maxvCpus is {max}, {} has {vcpus}", smallest.name);
        let finding = Finding::of(&MAX_SMALL, name, message).with("maxvCpus", max);
        report.add(finding.with("smallest type", &smallest.name));
    }
    if environment.purchase == Purchase::Spot && environment.types.len() == 1 && environment.unknown_types.is_empty() {
        let finding = Finding::of(&ONE_SPOT_TYPE, name, "all of its Spot capacity is of one type");
        report.add(finding.with("instanceTypes", resources.instance_types.join(", ")));
    }
}

/// AT407.
fn offerings(view: &View<'_>, environment: &Environment<'_>, resources: &ComputeResources, report: &mut Report) {
    let name = environment.name();
    let mut zones = BTreeSet::new();
    for id in &resources.subnets {
        match told(&view.survey.subnets, id) {
            Ok(Some(subnet)) => {
                zones.insert(subnet.availability_zone.as_str());
            }
            Ok(None) => {}
            Err(why) => return report.unread(&[&NOT_OFFERED], name, why),
        }
    }
    let offered = match view.survey.offerings.read() {
        Ok(offered) => offered,
        Err(why) => return report.unread(&[&NOT_OFFERED], name, format!("offerings: {why}")),
    };
    let mut there = BTreeSet::new();
    // A zone that is not there offers none of what was asked for.
    for types in zones.iter().filter_map(|zone| offered.get(*zone)) {
        there.extend(types.iter().map(String::as_str));
    }
    if zones.is_empty() {
        return;
    }
    let of_family = |family: &str| {
        there
            .iter()
            .any(|one| *one == family || one.split('.').next() == Some(family))
    };
    let unknown = environment.unknown_types.iter().copied().filter(|one| !of_family(one));
    let absent = environment
        .types
        .iter()
        .map(|one| one.name.as_str())
        .filter(|one| !there.contains(one));
    let absent: Vec<&str> = absent.chain(unknown).collect();
    // Families hold sizes that a zone lacks without anybody minding: what was named is what counts.
    let named: Vec<&str> = absent
        .into_iter()
        .filter(|one| resources.instance_types.iter().any(|named| named == one))
        .collect();
    let families: Vec<&str> = resources
        .instance_types
        .iter()
        .map(String::as_str)
        .filter(|named| {
            !named.contains('.') && *named != "optimal" && !named.starts_with("default_") && !of_family(named)
        })
        .collect();
    let gone: BTreeSet<&str> = named.into_iter().chain(families).collect();
    let nothing_left =
        environment.types.iter().all(|one| !there.contains(one.name.as_str())) && !environment.types.is_empty();
    if gone.is_empty() && !nothing_left {
        return;
    }
    let list = gone.into_iter().collect::<Vec<_>>().join(", ");
    let severity = if nothing_left {
        Severity::Error
    } else {
        Severity::Warning
    };
    let message = if nothing_left {
        "none of its types is offered in its zones".to_owned()
    } else {
        format!("not offered in its zones: {list}")
    };
    let finding = Finding::of(&NOT_OFFERED, name, message)
        .rated(severity)
        .with("not offered", list);
    report.add(finding.with("zones", zones.into_iter().collect::<Vec<_>>().join(", ")));
}

/// AT404, AT405, AT410, AT411, AT412, AT414.
fn of_queue(view: &View<'_>, queue: &JobQueue, report: &mut Report) {
    let name = queue.job_queue_name.as_str();
    if queue.state == "DISABLED" || queue.status == "INVALID" {
        let finding = Finding::of(&QUEUE_OFF, name, format!("it is {} and {}", queue.state, queue.status));
        let finding = if queue.status == "INVALID" {
            finding
        } else {
            finding.rated(Severity::Info)
        };
        report.add(
            finding
                .with("state", &queue.state)
                .with("status", &queue.status)
                .with("statusReason", &queue.status_reason),
        );
    }
    let environments = view.environments_of(queue);
    let first = |purchase: Purchase| {
        environments
            .iter()
            .position(|environment| environment.purchase == purchase)
    };
    if let (Some(on_demand), Some(spot)) = (first(Purchase::OnDemand), first(Purchase::Spot))
        && on_demand < spot
    {
        let finding = Finding::of(&ON_DEMAND_FIRST, name, "On-Demand is tried before Spot");
        report.add(finding.with("computeEnvironmentOrder", order(queue).join(", ")));
    }
    if let [only] = environments.as_slice()
        && only.purchase == Purchase::Spot
        && matches!(only.platform, Platform::Ec2 | Platform::Eks)
    {
        report.add(
            Finding::of(&SINGLE, name, format!("{} is its only environment", only.name()))
                .with("computeEnvironmentOrder", only.name()),
        );
    }
    multi_node(view, queue, &environments, report);
    if let Some(arn) = queue.scheduling_policy_arn.as_deref().filter(|arn| !arn.is_empty()) {
        match told(&view.survey.scheduling_policies, arn) {
            Ok(found) => {
                let share = found
                    .and_then(|policy| policy.fairshare_policy.as_ref())
                    .and_then(|fair| fair.compute_reservation);
                if let Some(share) = share.filter(|share| *share > 0) {
                    let message = format!("{share} % of the maximum, for one active share, is kept unused");
                    report.add(Finding::of(&RESERVATION, name, message).with("computeReservation", share));
                }
            }
            Err(why) => report.unread(&[&RESERVATION], name, why),
        }
    }
    time_limits(view, queue, report);
}

/// AT410. Which jobs come to a queue is known only from jobs that were seen.
fn multi_node(view: &View<'_>, queue: &JobQueue, environments: &[&Environment<'_>], report: &mut Report) {
    let name = queue.job_queue_name.as_str();
    let (definitions, seen) = match (view.survey.job_definitions.read(), queue.recent_job_definitions.read()) {
        (Ok(definitions), Ok(seen)) => (definitions, seen),
        (Err(why), _) | (_, Err(why)) => {
            let any = view
                .survey
                .job_definitions
                .read()
                .map_or(true, |all| all.iter().any(|one| one.r#type == "multinode"));
            if any {
                report.unread(&[&MULTI_NODE], name, format!("which jobs come to it: {why}"));
            }
            return;
        }
    };
    let is_seen = |one: &&JobDefinition| {
        let plain = |name: &String| {
            let last = name.rsplit('/').next().unwrap_or(name);
            last.split(':').next() == Some(one.job_definition_name.as_str())
        };
        seen.iter().any(plain)
    };
    let theirs: Vec<&JobDefinition> = definitions.iter().filter(is_seen).collect();
    let multi: Vec<&str> = theirs
        .iter()
        .filter(|one| one.r#type == "multinode")
        .map(|one| one.job_definition_name.as_str())
        .collect();
    let spot = environments
        .iter()
        .any(|environment| environment.purchase == Purchase::Spot);
    if !multi.is_empty() && (multi.len() < theirs.len() || spot) {
        let message = if spot {
            "multi-node jobs do not run on Spot"
        } else {
            "multi-node jobs beside others"
        };
        let finding = Finding::of(&MULTI_NODE, name, message).with("multi-node", multi.join(", "));
        report.add(finding.with("computeEnvironmentOrder", order(queue).join(", ")));
    }
}

/// AT412.
fn time_limits(view: &View<'_>, queue: &JobQueue, report: &mut Report) {
    let setup = view.setup.as_ref().and_then(|setup| setup.as_ref().ok());
    let of_setup = setup.and_then(|setup| {
        let found = setup.queues.iter().find(|found| found.name == queue.job_queue_name)?;
        let patience = found.patience.iter().map(|pair| pair.after).max().unwrap_or(Span::ZERO);
        let launch = found
            .environments
            .iter()
            .filter_map(|index| setup.environments.get(index.position()));
        Some((
            patience,
            launch
                .map(|environment| environment.launch_expected)
                .max()
                .unwrap_or(LAUNCH),
        ))
    });
    let (patience, launch) = of_setup.unwrap_or((Span::ZERO, LAUNCH));
    let least = patience + launch;
    for action in &queue.job_state_time_limit_actions {
        // Only a lack of capacity is cured by waiting.
        let about_capacity =
            action.reason.starts_with("CAPACITY") || action.reason.starts_with("MISCONFIGURATION:JOB_RESOURCE");
        let after = Span::from_seconds(action.max_time_seconds);
        if about_capacity && after < least {
            let message = format!("RUNNABLE jobs are ended after {after}, capacity may take {least}");
            let finding = Finding::of(&TIME_LIMIT, &queue.job_queue_name, message)
                .with("maxTimeSeconds", action.max_time_seconds);
            report.add(
                finding
                    .with("reason", &action.reason)
                    .with("patience", patience)
                    .with("launch", launch),
            );
        }
    }
}

/// AT406. A definition has to fit in one environment at least of each queue where its jobs were seen; where nobody looked, in one
/// environment of the account.
fn fits(view: &View<'_>, queues: &[JobQueue], report: &mut Report) {
    let definitions = match view.survey.job_definitions.read() {
        Ok(definitions) => definitions,
        Err(why) => return report.unread(&[&NO_FIT], "job definitions", why),
    };
    if let Some(why) = view.survey.cut.get("job_definitions") {
        report.unread(&[&NO_FIT], "job definitions", why);
    }
    let unknown = view.on_ecs().find_map(|(one, _)| Some((one.name(), one.unknown()?)));
    if let Some((name, why)) = unknown {
        return report.unread(&[&NO_FIT], name, why);
    }
    if !view.on_ecs().any(|(environment, _)| !environment.types.is_empty()) {
        return;
    }
    // Fargate and managed instances serve other definitions too.
    let others = view
        .environments
        .iter()
        .any(|environment| environment.platform == Platform::ManagedInstances);
    for definition in definitions {
        let fargate = !definition.platform_capabilities.is_empty()
            && !definition.platform_capabilities.iter().any(|p| p == "EC2");
        let (Some(size), false, false) = (size_of(definition), fargate, others) else {
            continue;
        };
        if definition.container_orchestration_type.as_deref() == Some("EKS") {
            continue;
        }
        let holds = |environment: &Environment<'_>| {
            environment.platform != Platform::Ec2 || environment.types.iter().any(|one| registered(one).hold(&size))
        };
        let is_theirs = |names: &Vec<String>| {
            names.iter().any(|name| {
                let last = name.rsplit('/').next().unwrap_or(name);
                last.split(':').next() == Some(definition.job_definition_name.as_str())
            })
        };
        let seen: Vec<&JobQueue> = queues
            .iter()
            .filter(|queue| queue.recent_job_definitions.read().is_ok_and(is_theirs))
            .collect();
        let stuck = seen.iter().find(|queue| {
            let environments = view.environments_of(queue);
            !environments.is_empty() && !environments.iter().any(|environment| holds(environment))
        });
        let nowhere = seen.is_empty() && !view.on_ecs().any(|(environment, _)| holds(environment));
        if stuck.is_none() && !nowhere {
            continue;
        }
        report.add(no_fit(view, definition, &size, stuck.copied()));
    }
}

/// The finding for `definition`: of `stuck`, a queue where its jobs were seen, or of the whole account.
fn no_fit(view: &View<'_>, definition: &JobDefinition, size: &Resources, stuck: Option<&JobQueue>) -> Finding {
    let place = stuck.map_or("any environment".to_owned(), |queue| {
        format!("job queue {}", queue.job_queue_name)
    });
    let largest = view
        .on_ecs()
        .filter_map(|(environment, _)| environment.largest())
        .max_by_key(|one| one.nominal);
    let message = format!("its jobs fit on no instance type of {place}");
    // Nobody may use it any more, and what a job asks for can be overridden when it is submitted.
    let severity = if stuck.is_some() {
        Severity::Error
    } else {
        Severity::Warning
    };
    let finding = Finding::of(&NO_FIT, &definition.job_definition_name, message).rated(severity);
    let finding = finding.with("vCPUs", size.vcpus.get());
    let finding = finding
        .with("memory", format!("{} MiB", size.memory.get()))
        .with("GPUs", size.gpus);
    match largest {
        Some(one) => finding.with(
            "largest type",
            format!("{}: {} MiB for jobs", one.name, registered(one).memory.get()),
        ),
        None => finding,
    }
}
