//! What contradicts itself in a scenario: everything at once, each with its key, what was found and what was expected.

use std::fmt::Display;

use super::{EnvironmentSpec, QueueSpec, Scenario};
use crate::account::Platform;
use crate::simulate::model::BatchModel;
use crate::units::Span;

impl Scenario {
    /// Everything that contradicts itself, each with the key, what was found and what was expected.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut problem = |key: String, found: &dyn Display, expected: &str| {
            problems.push(format!("{key}: found {found}, expected {expected}"));
        };
        if self.version != 1 {
            problem("version".to_owned(), &self.version, "1");
        }
        if self.model != "instant" && BatchModel::named(&self.model).is_none() {
            problem(
                "model".to_owned(),
                &format!("`{}`", self.model),
                "`recent` or `folk-2020`",
            );
        }
        if !(1..=10).contains(&self.retries.attempts) {
            problem("retries.attempts".to_owned(), &self.retries.attempts, "1 to 10");
        }
        if self.queues.is_empty() {
            problem("queues".to_owned(), &"none", "at least one job queue");
        }
        let model = self.batch_model();
        if !(0.0..=1.0).contains(&model.interrupted_share) || model.interrupted_share <= 0.0 {
            problem(
                "model_overrides.interrupted_share".to_owned(),
                &model.interrupted_share,
                "more than 0, at most 1",
            );
        }
        if !(0.0..=1e6).contains(&model.interruption_factor) {
            problem(
                "model_overrides.interruption_factor".to_owned(),
                &model.interruption_factor,
                "0 or more",
            );
        }
        if model.launch_retry.0.is_zero() {
            problem("model_overrides.launch_retry".to_owned(), &"0s", "a span above zero");
        }
        if let Some(random) = &self.random_droughts
            && (random.mean_between.0.is_zero() || random.mean_length.0.is_zero())
        {
            problem("random_droughts".to_owned(), &"a mean of 0s", "means above zero");
        }
        problems.extend(
            self.environments
                .iter()
                .enumerate()
                .flat_map(|(i, spec)| self.environment_problems(i, spec)),
        );
        problems.extend(
            self.queues
                .iter()
                .enumerate()
                .flat_map(|(i, spec)| self.queue_problems(i, spec)),
        );
        problems.extend(self.droughts.iter().enumerate().filter_map(|(i, drought)| {
            let known = self.environments.iter().any(|e| e.name == drought.environment);
            (!known).then(|| {
                format!(
                    "droughts[{i}].environment: found `{}`, expected the name of an environment",
                    drought.environment
                )
            })
        }));
        problems
    }

    fn environment_problems(&self, position: usize, spec: &EnvironmentSpec) -> Vec<String> {
        let mut problems = Vec::new();
        let key = format!("environments[{position}] `{}`", spec.name);
        if self
            .environments
            .iter()
            .take(position)
            .any(|other| other.name == spec.name)
        {
            problems.push(format!(
                "{key}.name: found a second environment of this name, expected unique names"
            ));
        }
        if spec.min_vcpus > spec.max_vcpus {
            problems.push(format!(
                "{key}.min_vcpus: found {}, expected at most max_vcpus ({})",
                spec.min_vcpus, spec.max_vcpus
            ));
        }
        let delay = spec.scale_down_delay.0;
        let allowed = Span::from_minutes(20)..=Span::from_minutes(10_080);
        if !delay.is_zero() && !allowed.contains(&delay) {
            problems.push(format!(
                "{key}.scale_down_delay: found {delay}, expected 0s or 20m to 7d"
            ));
        }
        if spec.zones == 0 {
            problems.push(format!("{key}.zones: found 0, expected 1 or more"));
        }
        if spec.platform == Platform::Unmanaged && spec.own_instances.is_empty() {
            problems.push(format!(
                "{key}.own_instances: found none, expected the instances of an unmanaged environment"
            ));
        }
        if spec.platform != Platform::Unmanaged && !spec.own_instances.is_empty() {
            problems.push(format!(
                "{key}.own_instances: found some, expected them only with platform = \"unmanaged\""
            ));
        }
        if matches!(spec.platform, Platform::Fargate | Platform::ManagedInstances) {
            problems.push(format!(
                "{key}.platform: found one without instances that Batch scales, expected `ec2`, `eks` or `unmanaged`"
            ));
        }
        if let Err(unknown) = spec.catalogue_types() {
            problems.extend(unknown.into_iter().map(|text| format!("{key}.instance_types: {text}")));
        }
        problems
    }

    fn queue_problems(&self, position: usize, spec: &QueueSpec) -> Vec<String> {
        let mut problems = Vec::new();
        let key = format!("queues[{position}] `{}`", spec.name);
        if self.queues.iter().take(position).any(|other| other.name == spec.name) {
            problems.push(format!(
                "{key}.name: found a second queue of this name, expected unique names"
            ));
        }
        if spec.environments.is_empty() || spec.environments.len() > 3 {
            let found = spec.environments.len();
            problems.push(format!(
                "{key}.environments: found {found}, expected 1 to 3 (AWS Batch API reference, CreateJobQueue)"
            ));
        }
        for (i, name) in spec.environments.iter().enumerate() {
            if !self.environments.iter().any(|e| e.name == *name) {
                problems.push(format!(
                    "{key}.environments[{i}]: found `{name}`, expected the name of an environment"
                ));
            }
            if spec.environments.iter().take(i).any(|earlier| earlier == name) {
                problems.push(format!(
                    "{key}.environments[{i}]: found `{name}` twice, expected each once"
                ));
            }
        }
        if spec.reservation_percent > 99 {
            let found = spec.reservation_percent;
            problems.push(format!("{key}.reservation_percent: found {found}, expected 0 to 99"));
        }
        problems
    }
}
