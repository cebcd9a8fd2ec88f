//! A survey with everything looked up once: environments with their types, queues with their environments, jobs with their sizes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inputs, Needs};
use crate::account::survey::{
    self, ComputeEnvironment, ComputeResources, JobDefinition, JobQueue, Survey, name_of, told,
};
use crate::account::{self, OfferedType, Platform, Topology};
use crate::catalog::{self, Architecture, Catalog, InstanceType, Purchase, Resources};
use crate::input::Problem;
use crate::policy::Policy;
use crate::setup::{QueueSetup, Setup, compile};
use crate::units::{Mebibytes, MicroUsd, Time, Vcpus};

/// More than any maxvCpus.
const ANY_MAX: Vcpus = Vcpus::new(1 << 40);

/// What rules look at.
pub(super) struct View<'a> {
    pub(super) survey: &'a Survey,
    pub(super) policy: Option<&'a Policy>,
    pub(super) needs: Needs,
    pub(super) environments: Vec<Environment<'a>>,
    /// The policy against this account as its operator has it; `None` without a policy or without job queues.
    pub(super) setup: Option<Result<Setup, Vec<Problem>>>,
    /// Contradictions that may come of what autotune has changed: that is not known.
    pub(super) doubted: Vec<Problem>,
    /// Names of environments that the policy covers and that lack the tag.
    pub(super) untagged: Vec<&'a str>,
    no_resources: ComputeResources,
}

/// A compute environment.
pub(super) struct Environment<'a> {
    pub(super) detail: &'a ComputeEnvironment,
    pub(super) platform: Platform,
    pub(super) purchase: Purchase,
    /// minvCpus and maxvCpus as its operator has them, as far as that is known; zeros for an UNMANAGED one.
    pub(super) min: i64,
    pub(super) max: i64,
    /// What it may launch.
    pub(super) types: Vec<InstanceType>,
    /// Names among its types that nobody knows.
    pub(super) unknown_types: Vec<&'a str>,
}

impl<'a> View<'a> {
    pub(super) fn of(inputs: &Inputs<'a>, environments: &'a [ComputeEnvironment]) -> Self {
        let survey = inputs.survey;
        let mut view = Self {
            survey,
            policy: inputs.policy,
            needs: inputs.needs,
            environments: environments.iter().map(|detail| environment(survey, detail)).collect(),
            setup: None,
            doubted: Vec::new(),
            untagged: Vec::new(),
            no_resources: ComputeResources::default(),
        };
        if let (Some(policy), Ok(queues)) = (inputs.policy, survey.job_queues.read()) {
            view.compile(policy, queues);
        }
        view
    }

    fn compile(&mut self, policy: &Policy, queues: &[JobQueue]) {
        let now = self.survey.taken_at.map_or(Time::EPOCH, |at| at.0);
        let topology = self.topology(queues);
        let mut compiled = compile(policy, &topology, (now, now));
        if let (Err(problems), Err(_)) = (&compiled, self.survey.bases.read()) {
            let mut any = topology;
            for environment in &mut any.environments {
                (environment.min_vcpus, environment.max_vcpus) = (Vcpus::ZERO, ANY_MAX.max(environment.max_vcpus));
            }
            let sure = compile(policy, &any, (now, now));
            let is_sure = |problem: &&Problem| sure.as_ref().err().is_some_and(|sure| sure.contains(problem));
            self.doubted = problems.iter().filter(|problem| !is_sure(problem)).cloned().collect();
            compiled = sure;
        }
        let mut setup = compiled.map(|compiled| compiled.setup);
        for steered in setup.iter_mut().flat_map(|setup| &mut setup.environments) {
            let detail = self.environment(&steered.name).map(|environment| environment.detail);
            if let (true, Some(tag), Some(detail)) = (steered.covered, &self.survey.tag, detail)
                && detail.tags.get(&tag.key) != Some(&tag.value)
            {
                steered.covered = false;
                self.untagged.push(&detail.compute_environment_name);
            }
        }
        self.setup = Some(setup);
    }

    /// The same account as the planner sees it.
    fn topology(&self, queues: &[JobQueue]) -> Topology {
        let environment = |environment: &Environment<'_>| account::ComputeEnvironment {
            name: environment.name().to_owned(),
            tags: environment.detail.tags.clone(),
            platform: environment.platform,
            purchase: environment.purchase,
            min_vcpus: Vcpus::new(environment.min),
            max_vcpus: Vcpus::new(environment.max),
            types: environment
                .types
                .iter()
                .map(|t| offered(t, environment.purchase))
                .collect(),
        };
        Topology {
            environments: self.environments.iter().map(environment).collect(),
            queues: queues
                .iter()
                .map(|queue| account::JobQueue {
                    name: queue.job_queue_name.clone(),
                    priority: i32::try_from(queue.priority).unwrap_or_default(),
                    environments: order(queue).into_iter().map(str::to_owned).collect(),
                    fair_share: queue.scheduling_policy_arn.is_some(),
                })
                .collect(),
        }
    }

    /// What it launches; all zeros for an UNMANAGED one.
    pub(super) fn resources<'v>(&'v self, environment: &Environment<'v>) -> &'v ComputeResources {
        environment
            .detail
            .compute_resources
            .as_ref()
            .unwrap_or(&self.no_resources)
    }

    /// Managed environments of EC2 instances, On-Demand or Spot, on ECS or EKS.
    pub(super) fn with_instances(&self) -> impl Iterator<Item = (&Environment<'a>, &ComputeResources)> {
        let managed = |environment: &&Environment<'_>| matches!(environment.platform, Platform::Ec2 | Platform::Eks);
        let both = |environment| (environment, self.resources(environment));
        self.environments.iter().filter(managed).map(both)
    }

    /// The same on ECS, where the agent, Docker and its disks are as Batch's own images have them.
    pub(super) fn on_ecs(&self) -> impl Iterator<Item = (&Environment<'a>, &ComputeResources)> {
        self.with_instances()
            .filter(|(environment, _)| environment.platform == Platform::Ec2)
    }

    pub(super) fn environment(&self, name: &str) -> Option<&Environment<'a>> {
        self.environments.iter().find(|environment| environment.name() == name)
    }

    /// The environments of a queue in their order; names of what does not exist are left out.
    pub(super) fn environments_of(&self, queue: &JobQueue) -> Vec<&Environment<'a>> {
        order(queue)
            .into_iter()
            .filter_map(|name| self.environment(name))
            .collect()
    }

    /// Whether the policy steers it. `None`: no policy, or it does not hold together.
    pub(super) fn steered(&self, name: &str) -> Option<bool> {
        let setup = self.setup.as_ref()?.as_ref().ok()?;
        Some(
            setup
                .environments
                .iter()
                .any(|environment| environment.name == name && environment.covered),
        )
    }

    /// Whether the policy keeps it within service quotas (`limits = "enforce"`): without a guard it does not.
    pub(super) fn enforced(&self, name: &str) -> bool {
        let Some(Ok(setup)) = &self.setup else { return false };
        let guarded = matches!(self.survey.guard.read(), Ok(Some(_)));
        let mut environments = setup.environments.iter();
        guarded
            && environments.any(|environment| environment.name == name && environment.covered && environment.enforces())
    }

    /// How long the policy may hold instances of an environment without jobs, in minutes, and by which of its keys. `None`: not at all,
    /// as far as that is known.
    pub(super) fn held(&self, name: &str) -> Option<(i64, String)> {
        let setup = self.setup.as_ref()?.as_ref().ok()?;
        let mut environments = setup.environments.iter();
        let at = environments.position(|one| one.name == name && one.covered)?;
        let steered = setup.environments.get(at)?;
        let queues = setup.queues.iter();
        let queues: Vec<&QueueSetup> = queues
            .filter(|queue| queue.environments.iter().any(|one| one.position() == at))
            .collect();
        let always = [
            ("min_vcpus", steered.base > Vcpus::ZERO),
            ("headroom_slots", queues.iter().any(|queue| queue.headroom_slots > 0)),
            ("schedules", queues.iter().any(|queue| queue.has_schedules)),
        ];
        if let Some((key, _)) = always.into_iter().find(|(_, holds)| *holds) {
            return Some((i64::MAX, key.to_owned()));
        }
        let idle = queues.iter().map(|queue| ("idle_time", queue.idle_time));
        let sources = queues.iter().flat_map(|queue| &queue.sqs_sources);
        let sources = sources.filter_map(|source| setup.sqs_sources.get(source.position()));
        let awaited = sources.map(|source| ("patience with messages", source.patience));
        let (key, longest) = idle.chain(awaited).max_by_key(|(_, span)| *span)?;
        let minutes = longest.millis() / 60_000;
        (minutes > 0).then(|| (minutes, format!("{key}, {minutes} min")))
    }

    /// The job definitions whose jobs may come to an environment, and whether jobs were really seen there. Job definitions are
    /// not bound to queues: where nobody saw jobs, every definition of the right platform counts.
    pub(super) fn definitions_of(&self, environment: &str) -> Result<(Vec<&'a JobDefinition>, bool), String> {
        let all = self.survey.job_definitions.read().map_err(str::to_owned)?;
        let queues = self.survey.job_queues.read().map_err(str::to_owned)?;
        let mut seen = BTreeSet::new();
        let mut watched = true;
        let (theirs, others): (Vec<&JobQueue>, Vec<_>) =
            queues.iter().partition(|queue| order(queue).contains(&environment));
        if theirs.is_empty() {
            return Ok((Vec::new(), true));
        }
        for queue in theirs {
            match queue.recent_job_definitions.read() {
                Ok(names) => seen.extend(names.iter().map(|name| plain_name(name))),
                Err(_) => watched = false,
            }
        }
        let on_instances = all.iter().filter(|definition| on_instances(definition));
        if watched && !seen.is_empty() {
            let theirs = on_instances.filter(|definition| seen.contains(definition.job_definition_name.as_str()));
            return Ok((theirs.collect(), true));
        }
        // What was seen in other queues only is theirs.
        let elsewhere: BTreeSet<&str> = others
            .iter()
            .filter_map(|queue| queue.recent_job_definitions.read().ok())
            .flatten()
            .map(|name| plain_name(name))
            .collect();
        let possible = on_instances.filter(|definition| {
            let name = definition.job_definition_name.as_str();
            seen.contains(name) || !elsewhere.contains(name)
        });
        Ok((possible.collect(), false))
    }

    /// The survey's own idea of now.
    pub(super) fn now(&self) -> Option<Time> {
        self.survey.taken_at.map(|at| at.0)
    }
}

impl Environment<'_> {
    pub(super) fn name(&self) -> &str {
        &self.detail.compute_environment_name
    }

    /// In use as far as its owner says.
    pub(super) fn is_enabled(&self) -> bool {
        self.detail.state != "DISABLED"
    }

    /// Why what depends on its types is not known, if one of them is a type that nobody knows.
    pub(super) fn unknown(&self) -> Option<String> {
        let names = &self.unknown_types;
        (!names.is_empty()).then(|| format!("the size of {} is not known", names.join(", ")))
    }

    pub(super) fn largest(&self) -> Option<&InstanceType> {
        self.types.iter().max_by_key(|t| (t.nominal, &t.name))
    }

    pub(super) fn smallest(&self) -> Option<&InstanceType> {
        self.types.iter().min_by_key(|t| (t.nominal, &t.name))
    }
}

/// What jobs get on a type.
pub(super) fn registered(instance_type: &InstanceType) -> Resources {
    catalog::registered(instance_type, catalog::DEFAULT_SHARE_PERMILLE)
}

/// Names of a queue's environments, first one first.
pub(super) fn order(queue: &JobQueue) -> Vec<&str> {
    let mut order: Vec<(i64, &str)> = queue
        .compute_environment_order
        .iter()
        .map(|entry| (entry.order, name_of(&entry.compute_environment)))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, name)| name).collect()
}

/// `align` of `arn:aws:batch:...:job-definition/align:3` and of `align:3`.
fn plain_name(name: &str) -> &str {
    name_of(name).split(':').next().unwrap_or(name)
}

/// Whether its jobs may run on EC2 instances of an ECS cluster.
fn on_instances(definition: &JobDefinition) -> bool {
    let platforms = &definition.platform_capabilities;
    let ecs = definition.container_orchestration_type.as_deref() != Some("EKS");
    ecs && (platforms.is_empty() || platforms.iter().any(|platform| platform == "EC2"))
}

/// What a job asks for; `None` for what has no container of ours to look at: several nodes, EKS, numbers that are none.
pub(super) fn size_of(definition: &JobDefinition) -> Option<Resources> {
    let mut size = Resources::default();
    let several = definition
        .ecs_properties
        .iter()
        .flat_map(|ecs| &ecs.task_properties)
        .flat_map(|task| &task.containers);
    for container in definition.container_properties.iter().chain(several) {
        let mut vcpus = container.vcpus.unwrap_or_default();
        let mut memory = container.memory.unwrap_or_default();
        let mut gpus = 0;
        for requirement in &container.resource_requirements {
            match requirement.r#type.as_str() {
                "VCPU" => vcpus = requirement.value.parse().ok()?,
                "MEMORY" => memory = requirement.value.parse().ok()?,
                "GPU" => gpus = requirement.value.parse().ok()?,
                _ => {}
            }
        }
        size = size.plus(&Resources {
            vcpus: Vcpus::new(vcpus),
            memory: Mebibytes::new(memory),
            gpus,
        });
    }
    (size.vcpus > Vcpus::ZERO && size.memory > Mebibytes::ZERO).then_some(size)
}

/// The images of its containers.
pub(super) fn images_of(definition: &JobDefinition) -> impl Iterator<Item = &str> {
    let several = definition
        .ecs_properties
        .iter()
        .flat_map(|ecs| &ecs.task_properties)
        .flat_map(|task| &task.containers);
    let all = definition.container_properties.iter().chain(several);
    all.map(|container| container.image.as_str())
}

/// The platform as the daemon reads it.
fn platform(detail: &ComputeEnvironment) -> Platform {
    let kind = detail
        .compute_resources
        .as_ref()
        .map(|resources| resources.r#type.as_str());
    match (detail.r#type.as_str(), kind) {
        ("UNMANAGED", _) | (_, None) => Platform::Unmanaged,
        (_, Some("FARGATE" | "FARGATE_SPOT")) => Platform::Fargate,
        (_, Some("EC2" | "SPOT")) if detail.container_orchestration_type.as_deref() == Some("EKS") => Platform::Eks,
        (_, Some("EC2" | "SPOT")) => Platform::Ec2,
        (_, Some(_)) => Platform::ManagedInstances,
    }
}

fn environment<'a>(survey: &'a Survey, detail: &'a ComputeEnvironment) -> Environment<'a> {
    let resources = detail.compute_resources.as_ref();
    let spot = resources.is_some_and(|resources| matches!(resources.r#type.as_str(), "SPOT" | "FARGATE_SPOT"));
    let mut types: BTreeMap<String, InstanceType> = BTreeMap::new();
    let mut unknown_types = Vec::new();
    for name in resources.map_or(&[][..], |resources| resources.instance_types.as_slice()) {
        let known = Catalog::bundled()
            .expand(std::slice::from_ref(name))
            .unwrap_or_default();
        let told = of_survey(survey, name);
        if known.is_empty() && told.is_empty() {
            unknown_types.push(name.as_str());
        }
        let both = known.into_iter().cloned().chain(told);
        types.extend(both.map(|one| (one.name.clone(), one)));
    }
    let name = detail.compute_environment_name.as_str();
    let mut bases = survey.bases.read().into_iter().flatten();
    let base = bases.find(|base| name_of(&base.compute_environment) == name);
    let (min, max) = resources.map_or((0, 0), |resources| (resources.min_vcpus, resources.max_vcpus));
    Environment {
        detail,
        min: base.map_or(min, |base| base.min_vcpus),
        max: base.and_then(|base| base.max_vcpus).unwrap_or(max),
        platform: platform(detail),
        purchase: if spot { Purchase::Spot } else { Purchase::OnDemand },
        types: types.into_values().collect(),
        unknown_types,
    }
}

/// The type, or the types of the family, that the survey tells of and the catalogue does not have.
fn of_survey(survey: &Survey, name: &str) -> Vec<InstanceType> {
    let is_meant = |candidate: &str| candidate == name || candidate.split('.').next() == Some(name);
    let names = survey.instance_types.keys().filter(|candidate| is_meant(candidate));
    let newer = names.filter(|candidate| Catalog::bundled().get(candidate).is_none());
    newer
        .filter_map(|name| instance_type(name, told(&survey.instance_types, name).ok()??))
        .collect()
}

fn instance_type(name: &str, info: &survey::InstanceTypeInfo) -> Option<InstanceType> {
    let nominal = Resources {
        vcpus: Vcpus::new(info.default_vcpus),
        memory: Mebibytes::new(info.size_in_mib),
        gpus: info.gpus,
    };
    (nominal.vcpus > Vcpus::ZERO).then(|| InstanceType {
        name: name.to_owned(),
        nominal,
        architecture: if info.arm64 {
            Architecture::Arm64
        } else {
            Architecture::Amd64
        },
        // No rule compares prices.
        on_demand_per_hour: MicroUsd::ZERO,
        spot_per_hour: None,
        interruption_band: None,
    })
}

fn offered(instance_type: &InstanceType, purchase: Purchase) -> OfferedType {
    OfferedType {
        name: instance_type.name.clone(),
        registered: registered(instance_type),
        per_hour: instance_type.price_per_hour(purchase),
    }
}
