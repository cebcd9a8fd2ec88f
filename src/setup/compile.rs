//! Policy against topology: who is chosen by what, with every contradiction at once.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::{Entries, choose, idle_entries};
use super::parts::{
    above_cap, contradictions, environment_setup, queue_setup, sqs_setup, steerable, uncovered_queue, why_not,
    windows_of,
};
use super::types::quota_codes;
use super::{QueueSetup, QuotaSetup, Setup, Tempo};
use crate::account::{JobQueue, Topology};
use crate::catalog::Purchase;
use crate::forecast::{Forecast, Window};
use crate::ids::{EnvironmentIndex, QueueIndex, SqsIndex};
use crate::input::{Problem, key_path};
use crate::policy::Policy;
use crate::policy::file::{EnvironmentPolicy, QueuePolicy, Signal};
use crate::units::{Time, Vcpus};

/// A setup, and what a person should know about it although nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// What the planner knows.
    pub setup: Setup,
    /// What the schedules foresee.
    pub forecast: Forecast,
    /// Queues that no policy covers, environments that no queue uses, entries that choose nothing, and the like.
    pub notes: Vec<String>,
}

/// Names become indices, defaults are filled in, schedules become the windows that touch the horizon (from, to).
///
/// Environments and queues keep the order of the topology. Fails with every contradiction: two entries for one queue or
/// environment, a base above `maxvCpus` or the cap, an SQS queue that would feed several job queues, a queue whose
/// environment does not exist.
pub fn compile(policy: &Policy, topology: &Topology, horizon: (Time, Time)) -> Result<Compiled, Vec<Problem>> {
    let mut compiler = Compiler {
        topology,
        horizon,
        entries: Entries::of(policy),
        problems: Vec::new(),
        notes: Vec::new(),
        setup: Setup::default(),
        windows: Vec::new(),
    };
    compiler.account(policy);
    let queues = compiler.chosen_queues();
    let covered = compiler.covered_environments(&queues);
    compiler.environments(&covered);
    compiler.queues(&queues);
    compiler.unused();
    let Compiler {
        mut problems,
        notes,
        setup,
        windows,
        ..
    } = compiler;
    problems.sort();
    if problems.is_empty() {
        Ok(Compiled {
            setup,
            forecast: Forecast::new(1, windows),
            notes,
        })
    } else {
        Err(problems)
    }
}

struct Compiler<'p> {
    topology: &'p Topology,
    horizon: (Time, Time),
    entries: Entries<'p>,
    problems: Vec<Problem>,
    notes: Vec<String>,
    setup: Setup,
    /// Per queue: what its schedules foresee.
    windows: Vec<Vec<Window>>,
}

impl<'p> Compiler<'p> {
    /// Cap, quotas and tempo. A key holds where a file has it; files that disagree were refused when they were read.
    fn account(&mut self, policy: &Policy) {
        let files = || policy.files.iter();
        self.setup.account_cap = files().find_map(|file| file.value.account.cap).map(|cap| cap.0);
        self.setup.region = files()
            .find_map(|file| file.value.account.region.clone())
            .map(|region| region.0);
        self.setup.tempo = Tempo::from(&policy.tempo());
        let mut quotas: BTreeMap<String, QuotaSetup> = BTreeMap::new();
        let described = self
            .topology
            .environments
            .iter()
            .flat_map(quota_codes)
            .map(str::to_owned);
        let named = files().flat_map(|file| file.value.account.quotas.keys().cloned());
        for code in described.chain(named) {
            let entries = || files().filter_map(|file| file.value.account.quotas.get(&code));
            let limit = entries().find_map(|quota| quota.limit).map(|limit| limit.0);
            let reserve = entries().find_map(|quota| quota.reserve);
            let reserve = reserve.map_or(Vcpus::ZERO, |reserve| reserve.of(limit.unwrap_or(Vcpus::ZERO)));
            quotas.insert(code.clone(), QuotaSetup { code, limit, reserve });
        }
        self.setup.quotas = quotas.into_values().collect();
    }

    /// Per queue of the topology: the entry that chooses it, as its position among the entries.
    fn chosen_queues(&mut self) -> Vec<Option<usize>> {
        let no_tags = BTreeMap::new();
        let mut used = vec![false; self.entries.queues.len()];
        let mut chosen = Vec::new();
        for queue in &self.topology.queues {
            let (entry, problem) = choose(&self.entries.queues, &queue.name, &no_tags, "job queue", &mut used);
            self.problems.extend(problem);
            if entry.is_none() {
                self.notes.push(format!(
                    "job queue {}: no policy covers it; it is watched, not acted for",
                    queue.name
                ));
            }
            chosen.push(entry);
        }
        self.notes
            .extend(idle_entries(&self.entries.queues, &used, "job queue"));
        chosen
    }

    /// Names of environments that some covered queue steers.
    fn covered_environments(&mut self, queues: &[Option<usize>]) -> BTreeSet<&'p str> {
        let mut covered = BTreeSet::new();
        for (queue, entry) in self.topology.queues.iter().zip(queues) {
            let Some(entry) = entry.and_then(|position| self.entries.queues.get(position)) else {
                continue;
            };
            let mut used = vec![false; entry.value.environments.as_ref().map_or(0, Vec::len)];
            for name in &queue.environments {
                let Some(environment) = self.topology.environments.iter().find(|e| e.name == *name) else {
                    continue;
                };
                let Some(selectors) = &entry.value.environments else {
                    covered.insert(environment.name.as_str());
                    continue;
                };
                for (selector, used) in selectors.iter().zip(&mut used) {
                    if selector.chooses(&environment.name, &environment.tags) {
                        *used = true;
                        covered.insert(environment.name.as_str());
                    }
                }
            }
            let selectors = entry.value.environments.iter().flatten();
            for (selector, _) in selectors.zip(&used).filter(|(_, used)| !**used) {
                let (queue, at, selector) = (&queue.name, entry.location(), selector.as_str());
                self.notes.push(format!(
                    "{at}: {selector:?} chooses no compute environment of job queue {queue}"
                ));
            }
        }
        covered
    }

    fn environments(&mut self, covered: &BTreeSet<&str>) {
        let defaults = EnvironmentPolicy::default();
        let mut used = vec![false; self.entries.environments.len()];
        for environment in &self.topology.environments {
            let (name, tags) = (&environment.name, &environment.tags);
            let (entry, problem) = choose(&self.entries.environments, name, tags, "compute environment", &mut used);
            self.problems.extend(problem);
            let entry = entry.and_then(|position| self.entries.environments.get(position));
            let policy = entry.map_or(&defaults, |entry| entry.value);
            let covered = covered.contains(name.as_str());
            if covered && !steerable(environment.platform) {
                let what = why_not(environment.platform);
                self.notes.push(format!(
                    "compute environment {name}: {what}; it is watched, not steered"
                ));
            }
            let setup = environment_setup(environment, policy, covered, &self.setup.quotas);
            if setup.covered && setup.fits.is_empty() {
                self.notes.push(format!(
                    "compute environment {name}: no instance type is known, so no job is placed on it"
                ));
            }
            self.notes.extend(above_cap(&setup));
            if let Some(entry) = entry {
                self.problems.extend(contradictions(entry, environment, &setup));
            }
            self.setup.environments.push(setup);
        }
        self.notes
            .extend(idle_entries(&self.entries.environments, &used, "compute environment"));
        if self.topology.environments.len() > usize::from(u16::MAX)
            || self.topology.queues.len() > usize::from(u16::MAX)
        {
            let found = "more than 65,535 environments or queues";
            self.problems.push(Problem::of_file("the account", found, "fewer"));
        }
    }

    fn queues(&mut self, chosen: &[Option<usize>]) {
        let mut fed: BTreeMap<&str, &str> = BTreeMap::new();
        for (position, (queue, entry)) in self.topology.queues.iter().zip(chosen).enumerate() {
            let mut environments = Vec::new();
            for name in &queue.environments {
                match self
                    .topology
                    .environments
                    .iter()
                    .position(|environment| environment.name == *name)
                {
                    Some(index) => environments.push(EnvironmentIndex::at(index)),
                    None => self.problems.push(Problem::of_file(
                        &format!("job queue {}", queue.name),
                        format!("the compute environment {name:?}, which does not exist"),
                        "only compute environments of the account",
                    )),
                }
            }
            let Some(entry) = entry.and_then(|position| self.entries.queues.get(position)) else {
                self.setup.queues.push(uncovered_queue(queue, environments));
                self.windows.push(Vec::new());
                continue;
            };
            let policy = entry.value;
            let counts = |signal: Signal| policy.signals.contains(&signal);
            let mut setup = queue_setup(queue, policy, environments);
            setup.has_schedules = counts(Signal::Schedules) && !policy.schedules.is_empty();
            self.windows.push(if setup.has_schedules {
                windows_of(policy, self.horizon)
            } else {
                Vec::new()
            });
            if counts(Signal::Headroom) {
                setup.headroom_slots = i64::from(policy.headroom_slots);
            }
            let notes = [
                self.note_on_reference(queue, policy, &setup),
                self.note_on_base(queue, &setup),
            ];
            self.notes.extend(notes.into_iter().flatten());
            for (name, sqs) in policy.sqs.iter().filter(|_| counts(Signal::Sqs)) {
                if let Some(other) = fed.insert(name, &queue.name) {
                    let path = key_path(&key_path(&entry.path, "sqs"), name);
                    let found = format!("an SQS queue that feeds the job queues {other} and {}", queue.name);
                    let hint = "its messages would be counted twice: give it an entry that chooses one job queue";
                    self.problems
                        .push(entry.document.problem(&path, found, "one job queue").with_hint(hint));
                }
                setup.sqs_sources.push(SqsIndex::at(self.setup.sqs_sources.len()));
                self.setup
                    .sqs_sources
                    .push(sqs_setup(name, sqs, QueueIndex::at(position)));
            }
            self.setup.queues.push(setup);
        }
        let mut order: Vec<(i32, &str, QueueIndex)> = Vec::new();
        for (position, queue) in self.topology.queues.iter().enumerate() {
            order.push((queue.priority, &queue.name, QueueIndex::at(position)));
        }
        order.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        self.setup.serve_order = order.into_iter().map(|(_, _, index)| index).collect();
    }

    /// Headroom in a job that no instance type can run would be nothing, silently.
    fn note_on_reference(&self, queue: &JobQueue, policy: &QueuePolicy, setup: &QueueSetup) -> Option<String> {
        let wanted = policy.headroom_slots > 0 || policy.schedules.iter().any(|schedule| schedule.headroom_slots > 0);
        let job = setup.reference.resources;
        let mut steered = setup
            .environments
            .iter()
            .filter_map(|e| self.setup.environments.get(e.position()));
        let fits = steered.any(|e| e.covered && e.fits.iter().any(|fit| fit.hold(&job)));
        (wanted && !fits).then(|| {
            format!(
                "job queue {}: no steered environment can run the reference job ({}, {}, {} GPUs), so no headroom is held",
                queue.name, job.vcpus, job.memory, job.gpus
            )
        })
    }

    /// A guaranteed On-Demand base needs On-Demand capacity that is steered.
    fn note_on_base(&self, queue: &JobQueue, setup: &QueueSetup) -> Option<String> {
        let mut steered = setup
            .environments
            .iter()
            .filter_map(|e| self.setup.environments.get(e.position()));
        let possible = steered.any(|e| e.covered && e.purchase == Purchase::OnDemand);
        (!setup.on_demand_base.is_zero() && !possible).then(|| {
            format!(
                "job queue {}: no steered environment is On-Demand, so `on_demand_base` does nothing",
                queue.name
            )
        })
    }

    fn unused(&mut self) {
        for environment in &self.topology.environments {
            if !self
                .topology
                .queues
                .iter()
                .any(|queue| queue.environments.contains(&environment.name))
            {
                self.notes.push(format!(
                    "compute environment {}: no job queue uses it",
                    environment.name
                ));
            }
        }
    }
}
