//! What must hold between the keys of a scenario. What a single value may be is the reader's matter.

use std::collections::BTreeSet;

use super::{DroughtSpec, EnvironmentSpec, QueueSpec, Scenario};
use crate::account::Platform;
use crate::catalog::{self, Catalog, Purchase};
use crate::input::values::{Duration, Readable as _};
use crate::input::{Problem, did_you_mean, item_path, key_path, quoted};
use crate::simulate::model::BatchModel;
use crate::units::Span;

/// Makes a problem of a key, what was found and what was expected.
pub(super) type Tell<'a> = &'a dyn Fn(&str, String, String) -> Problem;

/// Every contradiction of a scenario.
pub(super) fn of(scenario: &Scenario, tell: Tell<'_>) -> Vec<Problem> {
    let mut check = Check {
        scenario,
        tell,
        problems: Vec::new(),
    };
    check.whole();
    check.model();
    check.quotas();
    for (position, spec) in scenario.environments.iter().enumerate() {
        check.environment(position, spec);
    }
    for (position, spec) in scenario.queues.iter().enumerate() {
        check.queue(position, spec);
    }
    for (position, spec) in scenario.droughts.iter().enumerate() {
        check.drought(position, spec);
    }
    check.problems
}

struct Check<'a> {
    scenario: &'a Scenario,
    tell: Tell<'a>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    #[expect(clippy::needless_pass_by_value, reason = "numbers, words and texts are told alike")]
    fn add(&mut self, key: &str, found: impl ToString, expected: impl ToString) {
        self.problems
            .push((self.tell)(key, found.to_string(), expected.to_string()));
    }

    /// Adds a hint to the problem that was added last.
    fn hint(&mut self, hint: Option<String>) {
        if let (Some(problem), Some(hint)) = (self.problems.last_mut(), hint) {
            problem.hint = Some(hint);
        }
    }

    fn whole(&mut self) {
        let scenario = self.scenario;
        if scenario.version != 1 {
            self.add("version", scenario.version, 1);
        }
        if scenario.queues.is_empty() {
            self.add("queues", "none", "at least one job queue");
        }
        if !(1..=10).contains(&scenario.retries.attempts) {
            self.add("retries.attempts", scenario.retries.attempts, "1 to 10");
        }
        if let Some(random) = &scenario.random_droughts {
            for (key, mean) in [
                ("mean_between", random.mean_between),
                ("mean_length", random.mean_length),
            ] {
                if mean.0.is_zero() {
                    self.add(&key_path("random_droughts", key), "0s", "a length of time above zero");
                }
            }
        }
    }

    fn model(&mut self) {
        let name = self.scenario.model.as_str();
        if name != "instant" && BatchModel::named(name).is_none() {
            self.add("model", quoted(name), "one of \"recent\", \"folk-2020\"");
            self.hint(did_you_mean(name, BatchModel::NAMES));
        }
        let model = self.scenario.batch_model();
        let key = |name: &str| key_path("model_overrides", name);
        if !(model.interrupted_share > 0.0 && model.interrupted_share <= 1.0) {
            self.add(
                &key("interrupted_share"),
                model.interrupted_share,
                "more than 0, at most 1",
            );
        }
        if !(0.0..=1e6).contains(&model.interruption_factor) {
            self.add(&key("interruption_factor"), model.interruption_factor, "0 to 1000000");
        }
        if model.launch_retry.0.is_zero() {
            self.add(&key("launch_retry"), "0s", "a length of time above zero");
            self.hint(Some(
                "a launch that fails would be tried for ever in the same moment".to_owned(),
            ));
        }
        if model.smallest_launched_vcpus < 0 {
            self.add(
                &key("smallest_launched_vcpus"),
                model.smallest_launched_vcpus,
                "0 or more",
            );
        }
    }

    fn quotas(&mut self) {
        let known: BTreeSet<&str> = Catalog::bundled()
            .iter()
            .flat_map(|t| [Purchase::OnDemand, Purchase::Spot].map(|purchase| catalog::quota_code(&t.name, purchase)))
            .flatten()
            .collect();
        let scenario = self.scenario;
        for (position, quota) in scenario.account.quotas.iter().enumerate() {
            let key = key_path(&item_path("account.quotas", position), "code");
            let code = quota.code.as_str();
            if scenario
                .account
                .quotas
                .iter()
                .take(position)
                .any(|other| other.code == code)
            {
                self.add(&key, format!("a second {code:?}"), "each code once");
            } else if !known.contains(code) {
                self.add(&key, quoted(code), "the code of a quota on vCPUs of EC2 instances");
                let standard = "standard instances: Spot L-34B43A08, On-Demand L-1216C47A";
                let similar = did_you_mean(code, known.iter().copied());
                self.hint(Some(similar.unwrap_or_else(|| standard.to_owned())));
            }
        }
    }

    fn environment(&mut self, position: usize, spec: &EnvironmentSpec) {
        let path = item_path("environments", position);
        let key = |name: &str| key_path(&path, name);
        let earlier = self.scenario.environments.iter().take(position);
        let names: Vec<&str> = earlier.map(|other| other.name.as_str()).collect();
        self.name(&key("name"), &spec.name, &names);
        if spec.min_vcpus > spec.max_vcpus {
            let expected = format!("at most the `max_vcpus` of {}", spec.max_vcpus);
            self.add(&key("min_vcpus"), spec.min_vcpus, expected);
        }
        let delay = spec.scale_down_delay;
        let allowed = Span::from_minutes(20)..=Span::from_minutes(10_080);
        if !delay.0.is_zero() && !allowed.contains(&delay.0) {
            self.add(
                &key("scale_down_delay"),
                delay.write(),
                "\"20m\" to \"168h\", or \"0s\" for none",
            );
            self.hint(Some("AWS Batch accepts 20 minutes to a week".to_owned()));
        }
        if spec.zones == 0 {
            self.add(&key("zones"), 0, "1 or more");
        }
        match spec.platform {
            Platform::Unmanaged if spec.own_instances.is_empty() => {
                self.add(
                    &key("own_instances"),
                    "none",
                    "the instances of an unmanaged environment",
                );
            }
            Platform::Fargate | Platform::ManagedInstances => {
                let found = "a platform without instances that AWS Batch scales";
                self.add(&key("platform"), found, "one of \"ec2\", \"eks\", \"unmanaged\"");
            }
            Platform::Ec2 | Platform::Eks if !spec.own_instances.is_empty() => {
                self.add(
                    &key("own_instances"),
                    "instances",
                    "none, because AWS Batch launches them here",
                );
                self.hint(Some("`platform = \"unmanaged\"` brings its own".to_owned()));
            }
            Platform::Ec2 | Platform::Eks | Platform::Unmanaged => {}
        }
        for unknown in spec.catalogue_types().err().into_iter().flatten() {
            let key = item_path(&key("instance_types"), unknown.position);
            self.add(&key, quoted(&unknown.name), "an instance type, a family or \"optimal\"");
            self.hint(unknown.did_you_mean.map(|name| format!("did you mean `{name}`?")));
        }
    }

    /// A name that has to be there, and to be the only one of its kind.
    fn name(&mut self, key: &str, name: &str, earlier: &[&str]) {
        if name.is_empty() {
            self.add(key, "an empty name", "a name");
        } else if earlier.contains(&name) {
            self.add(key, format!("a second {}", quoted(name)), "a name of its own");
        }
    }

    fn queue(&mut self, position: usize, spec: &QueueSpec) {
        let path = item_path("queues", position);
        let earlier = self.scenario.queues.iter().take(position);
        let names: Vec<&str> = earlier.map(|other| other.name.as_str()).collect();
        self.name(&key_path(&path, "name"), &spec.name, &names);
        let environments = key_path(&path, "environments");
        let count = spec.environments.len();
        if !(1..=3).contains(&count) {
            self.add(&environments, format!("{count} environments"), "1 to 3");
            self.hint(Some("AWS Batch API reference, CreateJobQueue: up to three".to_owned()));
        }
        for (i, name) in spec.environments.iter().enumerate() {
            let key = item_path(&environments, i);
            if spec.environments.iter().take(i).any(|earlier| earlier == name) {
                self.add(&key, format!("a second {}", quoted(name)), "each environment once");
            } else {
                self.known_environment(&key, name);
            }
        }
        if spec.reservation_percent > 99 {
            self.add(
                &key_path(&path, "reservation_percent"),
                spec.reservation_percent,
                "0 to 99",
            );
        }
    }

    fn known_environment(&mut self, key: &str, name: &str) -> Option<&EnvironmentSpec> {
        let environments = &self.scenario.environments;
        let found = environments.iter().find(|environment| environment.name == name);
        if found.is_none() {
            let names: Vec<&str> = environments
                .iter()
                .map(|environment| environment.name.as_str())
                .collect();
            let listed: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            self.add(
                key,
                quoted(name),
                format!("an environment of this file: {}", listed.join(", ")),
            );
            self.hint(did_you_mean(name, names));
        }
        found
    }

    fn drought(&mut self, position: usize, spec: &DroughtSpec) {
        let path = item_path("droughts", position);
        if spec.length.0.is_zero() {
            self.add(
                &key_path(&path, "length"),
                Duration(Span::ZERO).write(),
                "a length of time above zero",
            );
            self.hint(Some("a drought lasts from `start` to `start` and `length`".to_owned()));
        }
        let Some(environment) = self
            .known_environment(&key_path(&path, "environment"), &spec.environment)
            .cloned()
        else {
            return;
        };
        if let (Some(name), Ok(types)) = (&spec.instance_type, environment.catalogue_types())
            && types.iter().all(|t| t.name != *name)
        {
            self.add(
                &key_path(&path, "instance_type"),
                quoted(name),
                "an instance type of its environment",
            );
            self.hint(did_you_mean(name, types.iter().map(|t| t.name.as_str())));
        }
        if let Some(zone) = spec.zone.filter(|zone| *zone >= environment.zones) {
            let expected = format!("below {}, the `zones` of its environment", environment.zones);
            self.add(&key_path(&path, "zone"), zone, expected);
        }
    }
}
