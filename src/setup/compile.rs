//! Policy against topology: who is chosen by what, with every contradiction at once.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::{Entries, Entry, choose, idle_entries};
use super::types::figures;
use super::{EnvironmentSetup, HandOff, Patience, QueueSetup, QuotaSetup, Setup, SqsSetup, Tempo, Window};
use crate::account::{ComputeEnvironment, JobQueue, Platform, Topology};
use crate::catalog::Resources;
use crate::ids::{EnvironmentIndex, QueueIndex, QuotaIndex, SqsIndex};
use crate::input::values::Share;
use crate::input::{Problem, key_path};
use crate::observation::Shape;
use crate::policy::file::{
    EnvironmentPolicy, HandOffPolicy, JobSize, Limits, QueuePolicy, Signal, SqsPolicy, TempoPolicy,
};
use crate::policy::{Policy, schedules};
use crate::units::{Span, Time, Vcpus, f64_to_i64};

/// A setup, and what a person should know about it although nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// What the planner knows.
    pub setup: Setup,
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
        ..
    } = compiler;
    problems.sort();
    if problems.is_empty() {
        Ok(Compiled { setup, notes })
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
}

impl<'p> Compiler<'p> {
    /// Cap, quotas and tempo. A key holds where a file has it; files that disagree were refused when they were read.
    fn account(&mut self, policy: &Policy) {
        let files = || policy.files.iter();
        self.setup.account_cap = files().find_map(|file| file.value.account.cap).map(|cap| cap.0);
        self.setup.tempo = Tempo::from(&merged_tempo(policy));
        let mut quotas: BTreeMap<&str, QuotaSetup> = BTreeMap::new();
        let described = self
            .topology
            .environments
            .iter()
            .filter_map(|e| e.quota_code.as_deref());
        let named = files().flat_map(|file| file.value.account.quotas.keys().map(String::as_str));
        for code in described.chain(named) {
            let entries = || files().filter_map(|file| file.value.account.quotas.get(code));
            let limit = entries().find_map(|quota| quota.limit).map(|limit| limit.0);
            let reserve = entries().find_map(|quota| quota.reserve);
            let reserve = reserve.map_or(Vcpus::ZERO, |reserve| reserve.of(limit.unwrap_or(Vcpus::ZERO)));
            quotas.insert(
                code,
                QuotaSetup {
                    code: code.to_owned(),
                    limit,
                    reserve,
                },
            );
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
                continue;
            };
            let policy = entry.value;
            let counts = |signal: Signal| policy.signals.contains(&signal);
            let mut setup = queue_setup(queue, policy, environments);
            if counts(Signal::Schedules) {
                setup.windows = windows_of(policy, self.horizon);
                let lengths = setup.windows.iter().map(|window| window.end.since(window.start));
                setup.longest_window = lengths.max().unwrap_or_default();
            }
            if counts(Signal::Headroom) {
                setup.headroom_slots = i64::from(policy.headroom_slots);
            }
            let note = self.note_on_reference(queue, policy, &setup);
            self.notes.extend(note);
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

fn merged_tempo(policy: &Policy) -> TempoPolicy {
    let mut merged = TempoPolicy::default();
    for document in &policy.files {
        let tempo = &document.value.tempo;
        let pairs = [
            ("batch_first", &mut merged.batch_first, tempo.batch_first),
            ("between_updates", &mut merged.between_updates, tempo.between_updates),
            ("lower_after", &mut merged.lower_after, tempo.lower_after),
            ("lease", &mut merged.lease, tempo.lease),
            ("stale_after", &mut merged.stale_after, tempo.stale_after),
            ("max_blind", &mut merged.max_blind, tempo.max_blind),
            (
                "quiet_after_start",
                &mut merged.quiet_after_start,
                tempo.quiet_after_start,
            ),
            ("drought_first", &mut merged.drought_first, tempo.drought_first),
            ("drought_most", &mut merged.drought_most, tempo.drought_most),
            ("launch_grace", &mut merged.launch_grace, tempo.launch_grace),
            ("not_placed_after", &mut merged.not_placed_after, tempo.not_placed_after),
        ];
        for (key, into, value) in pairs {
            if document.place(&key_path("tempo", key)).is_some() {
                *into = value;
            }
        }
    }
    merged
}

const fn steerable(platform: Platform) -> bool {
    matches!(platform, Platform::Ec2 | Platform::Eks)
}

const fn why_not(platform: Platform) -> &'static str {
    match platform {
        Platform::Ec2 | Platform::Eks => "it can be steered",
        Platform::Fargate => "Fargate has no minvCpus",
        Platform::ManagedInstances => "ECS Managed Instances have no minvCpus; set scaleInAfter there instead",
        Platform::Unmanaged => "AWS Batch does not scale an UNMANAGED environment",
    }
}

fn environment_setup(
    environment: &ComputeEnvironment,
    policy: &EnvironmentPolicy,
    covered: bool,
    quotas: &[QuotaSetup],
) -> EnvironmentSetup {
    let figures = figures(environment);
    let share = |share: Option<Share>| share.map(|share| share.of(environment.max_vcpus));
    let quota = environment
        .quota_code
        .as_ref()
        .and_then(|code| quotas.iter().position(|q| q.code == *code));
    EnvironmentSetup {
        name: environment.name.clone(),
        platform: environment.platform,
        purchase: environment.purchase,
        covered: covered && steerable(environment.platform),
        base: policy.min_vcpus.map_or(environment.min_vcpus, |base| base.0),
        cap: share(policy.cap),
        // A percentage of a small environment must not round down to no step at all.
        max_step: share(policy.max_step).map(|step| step.max(Vcpus::new(1))),
        fits: figures.fits,
        memory_per_kilo_vcpu: figures.memory_per_kilo_vcpu,
        vcpus_per_gpu: figures.vcpus_per_gpu,
        smallest: figures.smallest,
        largest: figures.largest,
        quota: quota.map(QuotaIndex::at),
        launch_expected: policy.launch_expected.0,
        enforce_max: policy.limits == Limits::Enforce,
    }
}

/// Limits of one entry that cannot hold together for this environment.
fn contradictions(
    entry: &Entry<'_, EnvironmentPolicy>,
    environment: &ComputeEnvironment,
    setup: &EnvironmentSetup,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = &environment.name;
    let of_policy = entry.value.min_vcpus.is_some();
    let base_key = key_path(&entry.path, if of_policy { "min_vcpus" } else { "cap" });
    let found = format!("a base of {} for {name}", setup.base);
    if of_policy && setup.base > environment.max_vcpus {
        let expected = format!("at most its maxvCpus of {}", environment.max_vcpus);
        problems.push(entry.document.problem(&base_key, &found, expected));
    }
    if let Some(cap) = setup.cap.filter(|cap| setup.base > *cap) {
        let hint = if of_policy {
            "raise `cap` or lower `min_vcpus`"
        } else {
            "the base is its minvCpus as it stands"
        };
        problems.push(
            entry
                .document
                .problem(&base_key, found, format!("at most its cap of {cap}"))
                .with_hint(hint),
        );
    }
    problems
}

fn shape_of(job: JobSize) -> Shape {
    Shape {
        resources: Resources {
            vcpus: job.vcpus.0,
            memory: job.memory.0,
            gpus: job.gpus,
        },
        nodes: 1,
    }
}

/// A queue that is only watched: nothing is wanted for it.
fn uncovered_queue(queue: &JobQueue, environments: Vec<EnvironmentIndex>) -> QueueSetup {
    let nothing = QueuePolicy {
        signals: Vec::new(),
        patience: Vec::new(),
        ..QueuePolicy::default()
    };
    queue_setup(queue, &nothing, environments)
}

/// Everything but windows, headroom and SQS sources, which count only with their signals.
fn queue_setup(queue: &JobQueue, policy: &QueuePolicy, environments: Vec<EnvironmentIndex>) -> QueueSetup {
    let mut patience: Vec<Patience> = policy
        .patience
        .iter()
        .map(|pair| Patience {
            jobs: i64::from(pair.jobs),
            after: pair.after.0,
        })
        .collect();
    patience.sort_by_key(|pair| pair.jobs);
    QueueSetup {
        name: queue.name.clone(),
        environments,
        follows_runnable: policy.signals.contains(&Signal::Runnable),
        patience,
        on_demand_base: policy.on_demand_base.0,
        headroom_slots: 0,
        reference: shape_of(policy.reference_job),
        idle_time: policy.idle_time.0,
        windows: Vec::new(),
        longest_window: Span::ZERO,
        sqs_sources: Vec::new(),
        fair_share: queue.fair_share,
    }
}

fn windows_of(policy: &QueuePolicy, horizon: (Time, Time)) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for schedule in &policy.schedules {
        windows.extend(
            schedules::windows(schedule, horizon.0, horizon.1)
                .into_iter()
                .map(|(start, end)| Window {
                    start,
                    end,
                    floor_vcpus: schedule.floor_vcpus.0,
                    headroom_slots: i64::from(schedule.headroom_slots),
                }),
        );
    }
    windows.sort_by_key(|window| (window.start, window.end));
    windows
}

fn sqs_setup(name: &str, sqs: &SqsPolicy, queue: QueueIndex) -> SqsSetup {
    let hand_off = match sqs.hand_off {
        HandOffPolicy::Dispatcher => {
            let jobs = (sqs.jobs_per_message.unwrap_or(1.0) * 1000.0).round();
            HandOff::Dispatcher {
                jobs_per_kilo_message: f64_to_i64(jobs),
            }
        }
        HandOffPolicy::Workers => HandOff::Workers {
            messages_per_worker: i64::from(sqs.messages_per_worker.unwrap_or(1)),
        },
    };
    SqsSetup {
        name: name.to_owned(),
        queue,
        hand_off,
        job: shape_of(sqs.job),
        cap: sqs.cap.map(|cap| cap.0),
        patience: sqs.patience.0,
    }
}
