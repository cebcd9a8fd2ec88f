//! What must hold between the keys of policy files. What a single value may be is the reader's matter.

use std::collections::BTreeMap;

use super::file::{
    EnvironmentPolicy, HandOffPolicy, PolicyFile, QueuePolicy, SchedulePolicy, Signal, SqsPolicy, TempoPolicy,
};
use crate::input::values::{Duration, Readable as _, Share};
use crate::input::{Document, Problem, item_path, key_path};
use crate::policy::Policy;
use crate::units::Span;

/// Contradictions within a file that is a policy by itself.
pub(super) fn of_only_file(document: &Document<PolicyFile>) -> Vec<Problem> {
    let mut problems = within_file(document);
    problems.extend(tempo(&document.value.tempo, &[document]));
    problems
}

/// Contradictions within one of several files. `tempo` is left to [`between_files`], where all of it is known.
pub(super) fn within_file(document: &Document<PolicyFile>) -> Vec<Problem> {
    let file = &document.value;
    let mut check = Check {
        document,
        problems: Vec::new(),
    };
    for (code, quota) in &file.account.quotas {
        let path = key_path("account.quotas", code);
        match (quota.limit, quota.reserve) {
            (None, Some(Share::Part(part))) => check.tell(
                &key_path(&path, "reserve"),
                part.write(),
                "vCPUs, because a percentage needs a `limit` to be a part of",
                "set `limit` too, or write vCPUs",
            ),
            (Some(limit), Some(Share::Exactly(reserve))) if reserve > limit.0 => check.tell(
                &key_path(&path, "reserve"),
                reserve.to_string(),
                &format!("at most the `limit` of {}", limit.0),
                "a reserve as large as the limit leaves nothing to steer",
            ),
            _ => {}
        }
    }
    for (name, queue) in &file.queues {
        let path = key_path("queues", name);
        check.queue(queue, &path);
    }
    for (name, environment) in &file.environments {
        let path = key_path("environments", name);
        check.environment(environment, &path);
    }
    let mut problems = check.problems;
    problems.sort();
    problems
}

/// Contradictions between files: values of `account` and `tempo` that they set differently or that do not go together, and
/// entries of the same name. Entries of other names may still choose the same queue; that shows against an account.
pub(super) fn between_files(policy: &Policy) -> Vec<Problem> {
    let mut problems = doubled_entries(&policy.files);
    problems.extend(doubled_globals(&policy.files));
    problems.extend(tempo(&policy.tempo(), &policy.files.iter().collect::<Vec<_>>()));
    problems
}

/// Values that do not go together, told where one of them is set: `files` are those that the values are from.
fn tempo(tempo: &TempoPolicy, files: &[&Document<PolicyFile>]) -> Vec<Problem> {
    let second = Span::from_seconds(1);
    let twice = tempo.between_updates.0.times(2);
    let (stale, first) = (tempo.stale_after.0, tempo.drought_first.0);
    let rows = [
        (
            "between_updates",
            tempo.between_updates,
            "",
            second,
            "each update is a call to AWS",
        ),
        (
            "lease",
            tempo.lease,
            "between_updates",
            twice,
            "a lease must live until it can be renewed",
        ),
        (
            "stale_after",
            tempo.stale_after,
            "",
            second,
            "every reading is older than nothing",
        ),
        (
            "max_blind",
            tempo.max_blind,
            "stale_after",
            stale,
            "readings are first too old to act on, then given up",
        ),
        (
            "drought_first",
            tempo.drought_first,
            "",
            second,
            "it is doubled, and zero stays zero",
        ),
        (
            "drought_most",
            tempo.drought_most,
            "drought_first",
            first,
            "the first is the shortest",
        ),
        (
            "not_placed_after",
            tempo.not_placed_after,
            "",
            second,
            "Batch needs some time to place a job",
        ),
    ];
    let mut problems = Vec::new();
    for (key, value, other, least, why) in rows.into_iter().filter(|(_, value, _, least, _)| value.0 < *least) {
        let mut expected = format!("at least {}", Duration(least).write());
        if !other.is_empty() {
            expected = format!("{expected} to go with `{other}`");
        }
        let (key, other) = (key_path("tempo", key), key_path("tempo", other));
        let setting = |key: &str| files.iter().find(|file| file.place(key).is_some());
        if let Some(document) = setting(&key).or_else(|| setting(&other)) {
            problems.push(document.problem(&key, value.write(), expected).with_hint(why));
        }
    }
    problems
}

fn doubled_entries(files: &[Document<PolicyFile>]) -> Vec<Problem> {
    let mut first: BTreeMap<String, &Document<PolicyFile>> = BTreeMap::new();
    let mut problems = Vec::new();
    for document in files {
        let queues = document.value.queues.keys().map(|name| key_path("queues", name));
        let environments = document
            .value
            .environments
            .keys()
            .map(|name| key_path("environments", name));
        for key in queues.chain(environments) {
            if let Some(other) = first.get(&key) {
                let at = other.place(&key).map_or(0, |place| place.line);
                let expected = format!("one; the first is in {}:{at}", other.name);
                let hint = "files of a folder hold together, and so do all `policies` in force; alternatives are taken one at a time";
                problems.push(
                    document
                        .problem(&key, "a second entry of this name", expected)
                        .with_hint(hint),
                );
            } else {
                first.insert(key, document);
            }
        }
    }
    problems
}

fn doubled_globals(files: &[Document<PolicyFile>]) -> Vec<Problem> {
    let mut first: BTreeMap<String, (&Document<PolicyFile>, String)> = BTreeMap::new();
    let mut problems = Vec::new();
    for document in files {
        for (key, value) in global_keys(&document.value) {
            if document.place(&key).is_none() {
                continue;
            }
            match first.get(&key) {
                None => {
                    first.insert(key, (document, value));
                }
                Some((other, theirs)) if *theirs != value => {
                    let at = other.place(&key).map_or(0, |place| place.line);
                    problems.push(
                        document
                            .problem(&key, value, format!("{theirs}, as in {}:{at}", other.name))
                            .with_hint("it holds for the whole account: set it in one file"),
                    );
                }
                Some(_) => {}
            }
        }
    }
    problems
}

/// Keys that hold for all files together, with their values.
fn global_keys(file: &PolicyFile) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    for (section, value) in [
        ("account", serde_json::to_value(&file.account)),
        ("tempo", serde_json::to_value(&file.tempo)),
    ] {
        leaves(section, &value.unwrap_or_default(), &mut keys);
    }
    keys
}

fn leaves(path: &str, value: &serde_json::Value, into: &mut Vec<(String, String)>) {
    match value.as_object() {
        Some(object) => object
            .iter()
            .for_each(|(key, value)| leaves(&key_path(path, key), value, into)),
        None => into.push((path.to_owned(), value.to_string())),
    }
}

struct Check<'a> {
    document: &'a Document<PolicyFile>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn tell(&mut self, key: &str, found: impl Into<String>, expected: &str, hint: &str) {
        let problem = self.document.problem(key, found, expected);
        self.problems.push(if hint.is_empty() {
            problem
        } else {
            problem.with_hint(hint)
        });
    }

    fn queue(&mut self, queue: &QueuePolicy, path: &str) {
        if let Some(position) = (1..queue.signals.len()).find(|i| queue.signals[..*i].contains(&queue.signals[*i])) {
            self.tell(
                &item_path(&key_path(path, "signals"), position),
                "a signal that is listed already",
                "each once",
                "",
            );
        }
        for (signal, key, given) in [
            (Signal::Sqs, "sqs", !queue.sqs.is_empty()),
            (Signal::Headroom, "headroom_slots", queue.headroom_slots > 0),
            (Signal::Schedules, "schedules", !queue.schedules.is_empty()),
        ] {
            if given && !queue.signals.contains(&signal) {
                let hint = "leave out `signals`: then every signal counts";
                self.tell(
                    &key_path(path, key),
                    "a value that does not count",
                    "its signal among `signals`",
                    hint,
                );
            }
        }
        self.patience(queue, &key_path(path, "patience"));
        if queue.reference_job.vcpus.0.is_zero() {
            self.no_vcpus(&key_path(path, "reference_job"));
        }
        for (index, schedule) in queue.schedules.iter().enumerate() {
            self.schedule(schedule, &item_path(&key_path(path, "schedules"), index));
        }
        for (name, sqs) in &queue.sqs {
            self.sqs(sqs, &key_path(&key_path(path, "sqs"), name));
        }
    }

    fn no_vcpus(&mut self, path: &str) {
        self.tell(
            &key_path(path, "vcpus"),
            "0 vCPUs",
            "at least 1",
            "AWS Batch starts no job without a vCPU on EC2",
        );
    }

    /// A pair that asks for more jobs and more time than another can never be the first to hold.
    fn patience(&mut self, queue: &QueuePolicy, path: &str) {
        for (index, pair) in queue.patience.iter().enumerate() {
            let covers = |(other_index, other): (usize, &super::file::PatiencePolicy)| {
                let wider = other.jobs <= pair.jobs && other.after <= pair.after;
                wider && (other_index < index || other.jobs < pair.jobs || other.after < pair.after)
            };
            if let Some((other_index, _)) = queue
                .patience
                .iter()
                .enumerate()
                .find(|pair| pair.0 != index && covers(*pair))
            {
                let found = format!("{} jobs for {}", pair.jobs, pair.after.write());
                let expected = format!("a pair that can hold before patience[{other_index}] does");
                self.tell(
                    &item_path(path, index),
                    found,
                    &expected,
                    "more waiting jobs should need less time",
                );
            }
        }
    }

    fn schedule(&mut self, schedule: &SchedulePolicy, path: &str) {
        if schedule.duration.0.is_zero() {
            self.tell(&key_path(path, "duration"), "0s", "a duration above zero", "");
        }
        if schedule.floor_vcpus.0.is_zero() && schedule.headroom_slots == 0 {
            self.tell(
                path,
                "a schedule that wants nothing",
                "`floor_vcpus` or `headroom_slots` above zero",
                "",
            );
        }
    }

    fn sqs(&mut self, sqs: &SqsPolicy, path: &str) {
        let (key, other) = match sqs.hand_off {
            HandOffPolicy::Dispatcher if sqs.messages_per_worker.is_some() => ("messages_per_worker", "workers"),
            HandOffPolicy::Workers if sqs.jobs_per_message.is_some() => ("jobs_per_message", "dispatcher"),
            HandOffPolicy::Dispatcher | HandOffPolicy::Workers => ("", ""),
        };
        if !key.is_empty() {
            let found = format!("a key of `hand_off = {other:?}`");
            self.tell(&key_path(path, key), found, "only keys of the hand-off above", "");
        }
        if sqs.job.vcpus.0.is_zero() {
            self.no_vcpus(&key_path(path, "job"));
        }
        if sqs.patience.0.is_zero() {
            self.tell(
                &key_path(path, "patience"),
                "0s",
                "a duration above zero",
                "messages need time to become jobs",
            );
        }
    }

    fn environment(&mut self, environment: &EnvironmentPolicy, path: &str) {
        if let (Some(base), Some(Share::Exactly(cap))) = (environment.min_vcpus, environment.cap)
            && base.0 > cap
        {
            let expected = format!("at most the `cap` of {cap}");
            self.tell(
                &key_path(path, "min_vcpus"),
                base.0.to_string(),
                &expected,
                "raise `cap` or lower `min_vcpus`",
            );
        }
        let no_step = match environment.max_step {
            Some(Share::Exactly(vcpus)) => vcpus.is_zero(),
            Some(Share::Part(part)) => part.0 == 0,
            None => false,
        };
        if no_step {
            let hint = "to leave the environment alone, leave it out of its queue's `environments`";
            self.tell(&key_path(path, "max_step"), "0", "more than nothing", hint);
        }
        if environment.launch_expected.0.is_zero() {
            self.tell(
                &key_path(path, "launch_expected"),
                "0s",
                "a duration above zero",
                "no instance boots in no time",
            );
        }
    }
}
