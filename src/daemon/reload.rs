//! Policies and account together become a setup: at the start, when the policies are read again, and when the account changes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Event;
use super::cadence::Part;
use super::cloud::{Cloud, Identity, NamedGuard};
use super::driver::Driver;
use crate::account::{Platform, Topology};
use crate::control::{Input, Lease};
use crate::explain::{self, printable};
use crate::ids::EnvironmentIndex;
use crate::input::{Problem, render};
use crate::planner::memory::Memory;
use crate::policy::{self, Policy};
use crate::setup::{Compiled, Limits, Setup, compile};
use crate::units::{Span, Time, Vcpus};

/// Schedules are worked out from a day ago to this far ahead; long before the end they are worked out again.
const AHEAD: Span = Span::from_minutes(8 * 24 * 60);
const BEHIND: Span = Span::from_minutes(24 * 60);
/// A topology read so soon after an update of ours may still show what was before.
const SHOWN_AFTER: Span = Span::from_seconds(60);

/// What must hold before an environment is written to, besides the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The tag that an environment must carry, as key and value.
    pub tag: Option<(String, String)>,
    /// The most vCPUs asked for where no guard restores base; `None` where one does.
    pub unguarded_max_vcpus: Option<Vcpus>,
}

/// The operator's own levels, of environments whose present ones may be ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    min: BTreeMap<String, Vcpus>,
    max: BTreeMap<String, Vcpus>,
}

impl Known {
    /// The account's guards tell of base, also of raises by a process that is no more.
    pub(super) fn take_guards(&mut self, guards: &[NamedGuard]) {
        for guard in guards {
            self.min.insert(guard.environment.clone(), guard.min_vcpus);
            if let Some(max) = guard.max_vcpus {
                self.max.insert(guard.environment.clone(), max);
            }
        }
    }

    /// One environment's base and max, where they are known.
    pub(super) fn take(&mut self, name: &str, base: Option<Vcpus>, max: Option<Vcpus>) {
        if let Some(base) = base {
            self.min.insert(name.to_owned(), base);
        }
        if let Some(max) = max {
            self.max.insert(name.to_owned(), max);
        }
    }

    /// What a running controller knows, for a topology that was read from `began` on.
    pub(super) fn take_memory(&mut self, setup: &Setup, memory: &Memory, began: Time) {
        for (environment, memory) in setup.environments.iter().zip(&memory.environments) {
            let recent = memory.acted_at.is_some_and(|acted| acted + SHOWN_AFTER >= began);
            let base = memory.base_before.or(recent.then_some(environment.base));
            self.take(&environment.name, base, memory.max_before);
        }
    }
}

/// Reads the policies without holding up anybody.
pub(super) async fn load(paths: Vec<PathBuf>) -> Result<Policy, Vec<Problem>> {
    let failed = |error: tokio::task::JoinError| {
        vec![Problem::of_file(
            "the policies",
            error.to_string(),
            "files that can be read",
        )]
    };
    tokio::task::spawn_blocking(move || policy::load_all(&paths))
        .await
        .map_err(failed)?
}

/// Whether the credentials are for what policies say that they are for: one that was written for another account names other
/// environments, even if some are called alike.
pub(super) fn is_of(policy: &Policy, identity: &Identity) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for document in &policy.files {
        let account = &document.value.account;
        let id = account.id.as_ref().map(|id| id.0.as_str());
        let region = account.region.as_ref().map(|region| region.0.as_str());
        for (key, what, expected, found) in [
            ("account.id", "account", id, &identity.account),
            ("account.region", "region", region, &identity.region),
        ] {
            if let Some(expected) = expected.filter(|expected| expected != found) {
                let found = format!("credentials for {what} {}", printable(found));
                let problem = document.problem(key, found, format!("those for {expected}, which this policy is for"));
                problems
                    .push(problem.with_hint("choose another profile or region, or take the policy of this account"));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Compiles, with both keys: who lacks the tag is watched and not written to, and who has no guard gets only so much.
pub(super) fn prepare(
    policy: &Policy,
    topology: &Topology,
    known: &Known,
    keys: &Keys,
    now: Time,
) -> Result<Compiled, Vec<Problem>> {
    let mut topology = topology.clone();
    for environment in &mut topology.environments {
        if let Some(base) = known.min.get(&environment.name) {
            environment.min_vcpus = *base;
        }
        if let Some(max) = known.max.get(&environment.name) {
            environment.max_vcpus = *max;
        }
    }
    let mut compiled = compile(policy, &topology, (now - BEHIND, now + AHEAD))?;
    confine(&mut compiled, &topology, keys);
    Ok(compiled)
}

/// Who cannot be read or lacks the tag is not steered, and who has no guard gets only so much.
pub(super) fn confine(compiled: &mut Compiled, topology: &Topology, keys: &Keys) {
    for (setup, environment) in compiled.setup.environments.iter_mut().zip(&topology.environments) {
        if setup.covered && setup.platform == Platform::Eks {
            setup.covered = false;
            compiled.notes.push(format!(
                "compute environment {}: nodes of EKS are not read, so it is watched, not steered",
                printable(&environment.name)
            ));
        }
        if let (Some((key, value)), true) = (&keys.tag, setup.covered)
            && environment.tags.get(key) != Some(value)
        {
            setup.covered = false;
            compiled.notes.push(format!(
                "compute environment {}: it lacks the tag {key}={value}, so it is watched, not steered",
                printable(&environment.name)
            ));
        }
        if let Some(most) = keys.unguarded_max_vcpus {
            setup.cap = Some(setup.cap.unwrap_or(most).min(most).max(setup.base));
            setup.unenforced = setup.enforces();
            if setup.unenforced {
                setup.limits = Limits::Clamp;
            }
        }
    }
}

/// What the policies say and this account cannot have.
pub(super) fn say_notes(compiled: &Compiled) {
    compiled.notes.iter().for_each(|note| tracing::info!("{note}"));
    unenforced(&compiled.setup).for_each(|sentence| tracing::warn!("{sentence}"));
}

/// Where limits are not enforced although the policy says so.
pub(super) fn unenforced(setup: &Setup) -> impl Iterator<Item = String> {
    let environments = setup.environments.iter().filter(|environment| environment.unenforced);
    environments.map(|environment| explain::unenforced(&environment.name))
}

impl<C: Cloud> Driver<C> {
    /// Where nothing of ours stands, another min than the account showed is the operator's new one: it is read again.
    pub(super) fn watch_bases(&mut self) {
        let setup = &self.controller.setup().environments;
        let memory = &self.controller.memory().environments;
        let seen = &self.sight.observation.environments;
        let known = &self.kit.topology.environments;
        let mut all = setup.iter().zip(memory).zip(seen).enumerate();
        let moved = all.any(|(position, ((setup, memory), seen))| {
            // Who has yielded holds back for a while, which is no update of ours.
            let yielded = self.controller.yielded(EnvironmentIndex::at(position)).is_some();
            let others = memory.base_before.is_none() && (!memory.in_flight || yielded);
            let shown = memory
                .acted_at
                .is_none_or(|acted| seen.at() >= acted + Span::from_minutes(2));
            let known = known.iter().find(|environment| environment.name == setup.name);
            let differs = |now: &crate::observation::EnvironmentNow| {
                (yielded || now.min_vcpus != setup.base) && known.is_some_and(|known| known.min_vcpus != now.min_vcpus)
            };
            others && shown && seen.value().is_some_and(differs)
        });
        if moved {
            self.cadence.want(&Part::Topology);
        }
    }

    /// The opt-in tag as every reading shows it: who has lost it is steered no more from now on, whatever else is to be read; who
    /// has it now is with the account's next reading, which is asked for.
    pub(super) fn watch_tags(&mut self) {
        let Some((key, value)) = self.options.tag.clone() else {
            return;
        };
        let mut setup = self.controller.setup().clone();
        let (mut lost, mut moved) = (false, false);
        for environment in &mut setup.environments {
            let Some(read) = self.sight.read.get(&environment.name) else {
                continue;
            };
            let has = read.tags.get(&key) == Some(&value);
            let mut all = self.kit.topology.environments.iter_mut();
            if let Some(known) = all.find(|known| known.name == environment.name)
                && (known.tags.get(&key) == Some(&value)) != has
            {
                known.tags.clone_from(&read.tags);
                moved = true;
            }
            if environment.covered && !has {
                tracing::warn!(environment = %printable(&environment.name), tag = %printable(&key), "It lacks its tag now: it is watched, not steered");
                (environment.covered, lost) = (false, true);
            }
        }
        if moved {
            self.cadence.want(&Part::Topology);
        }
        if lost {
            let forecast = self.controller.forecast().clone();
            self.step(Input::Reloaded(Box::new(Compiled {
                setup,
                forecast,
                notes: Vec::new(),
            })));
        }
    }

    pub(super) fn read_policies(&self) {
        let (paths, events) = (self.options.policies.clone(), self.events.clone());
        tokio::spawn(async move {
            let policy = load(paths).await.map(Box::new);
            let _ = events.send(Event::Policy(policy));
        });
    }

    pub(super) fn refuse(&mut self, problems: &str) {
        tracing::error!("The policies are refused, the old ones stay:\n{problems}");
        self.refused = Some(problems.to_owned());
        self.options.metrics.reloaded(false);
    }

    /// Policy or account have changed, or may have: compiles anew and tells the controller what is different.
    pub(super) fn recompile(&mut self, policy: Option<Policy>, read: Option<(Topology, Vec<NamedGuard>, Time)>) {
        let now = self.now();
        let mut known = Known::default();
        let began = read.as_ref().map_or(Time::FAR_PAST, |(_, _, began)| *began);
        let inherited = read.as_ref().map(|(topology, guards, _)| inherited(topology, guards));
        let guards = read.as_ref().map(|(_, guards, _)| guards.clone()).unwrap_or_default();
        known.take_guards(&guards);
        for (position, environment) in self.controller.setup().environments.iter().enumerate() {
            // Its guard may be of before another hand changed min.
            if self.controller.yielded(EnvironmentIndex::at(position)).is_some() {
                known.min.remove(&environment.name);
            }
        }
        known.take_memory(self.controller.setup(), self.controller.memory(), began);
        if let Some((topology, ..)) = read {
            self.kit.topology = topology;
        }
        let new = policy.as_ref().unwrap_or(&self.kit.policy);
        let of_this = is_of(new, &self.kit.identity);
        match of_this.and_then(|()| prepare(new, &self.kit.topology, &known, &self.kit.keys, now)) {
            Ok(mut compiled) => {
                compiled.setup.region = Some(self.kit.identity.region.clone());
                if self.unfit.take().is_some() {
                    tracing::info!("The account fits the policies again");
                    self.options.metrics.reloaded(self.refused.is_none());
                }
                let policy_is_new = policy.is_some();
                if let Some(policy) = policy {
                    self.kit.policy = policy;
                    tracing::info!("The policies are taken");
                    self.refused = None;
                    self.options.metrics.reloaded(true);
                    self.cadence.want(&Part::Topology);
                }
                if compiled.setup != *self.controller.setup() || self.controller.awaits_setup() {
                    say_notes(&compiled);
                    self.step(Input::Reloaded(Box::new(compiled)));
                } else if compiled.forecast.name() != self.controller.plan().forecast {
                    self.step(Input::Foreseen(Box::new(compiled.forecast)));
                }
                self.tell_in_force(policy_is_new);
            }
            Err(problems) if policy.is_some() => self.refuse(&render(&problems)),
            Err(problems) => {
                let problems = render(&problems);
                if self.unfit.as_ref() != Some(&problems) {
                    tracing::error!(
                        "The account does not fit the policies any more, it is steered as it was:\n{problems}"
                    );
                    self.unfit = Some(problems);
                    self.options.metrics.reloaded(false);
                }
            }
        }
        if let Some(inherited) = inherited
            && self.inherits.is_some_and(|since| began >= since)
        {
            self.inherits = None;
            self.tell_leadership();
            self.inherit(inherited);
        }
    }

    fn inherit(&mut self, inherited: Vec<(String, Lease, Option<Vcpus>)>) {
        for (name, lease, max_before) in inherited {
            let Some(environment) = self.sight.environment(&name) else {
                continue;
            };
            let covered = |setup: &Setup| {
                setup
                    .environments
                    .get(environment.position())
                    .is_some_and(|setup| setup.covered)
            };
            // Another daemon's perhaps; one that fires needs nobody.
            if !covered(self.controller.setup()) {
                continue;
            }
            if self.controller.lease(environment).is_none() && !self.controller.is_sending(environment) {
                self.step(Input::Adopted(environment, lease, max_before));
            }
        }
        self.tell_in_force(false);
    }
}

/// What a predecessor raised or lowered, as its guards tell, by environment.
fn inherited(topology: &Topology, guards: &[NamedGuard]) -> Vec<(String, Lease, Option<Vcpus>)> {
    let of = |guard: &NamedGuard| {
        let mut all = topology.environments.iter();
        let now = all.find(|environment| environment.name == guard.environment)?;
        let lease = Lease {
            min_vcpus: now.min_vcpus,
            expires: guard.fires,
        };
        let max_before = guard.max_vcpus.filter(|max| *max != now.max_vcpus);
        Some((guard.environment.clone(), lease, max_before))
    };
    guards.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::account;
    use crate::policy::parse;

    fn base_and_cap(known: &Known, keys: &Keys, text: &str) -> (bool, i64, Option<i64>) {
        let policy = parse("p.toml", text).unwrap();
        let compiled = prepare(&policy, &account::topology(64), known, keys, account::START).unwrap();
        let spot = &compiled.setup.environments[0];
        (spot.covered, spot.base.get(), spot.cap.map(Vcpus::get))
    }

    #[test]
    fn what_may_be_ours_is_not_taken_for_the_operators_base() {
        let keys = Keys::default();
        let mut known = Known::default();
        assert_eq!(base_and_cap(&known, &keys, account::POLICY).1, 64);
        known.take_guards(&[NamedGuard {
            environment: "spot".to_owned(),
            fires: account::START,
            min_vcpus: Vcpus::new(8),
            max_vcpus: None,
        }]);
        assert_eq!(base_and_cap(&known, &keys, account::POLICY).1, 8);
        let named = format!("{}\n[environments.spot]\nmin_vcpus = 16\n", account::POLICY);
        assert_eq!(base_and_cap(&known, &keys, &named).1, 16, "the policy goes first");
    }

    #[tokio::test]
    async fn several_policies_may_be_shipped_ones_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.toml"), "version = 1\n[queues.a]\n").unwrap();
        let policy = load(vec!["demo".into(), folder.path().to_owned()]).await.unwrap();
        assert_eq!(policy.files.len(), 2);
    }

    #[test]
    fn who_lacks_the_tag_is_not_steered() {
        let mut keys = Keys {
            tag: Some(("autotune".to_owned(), "enabled".to_owned())),
            ..Keys::default()
        };
        assert!(base_and_cap(&Known::default(), &keys, account::POLICY).0);
        keys.tag = Some(("autotune".to_owned(), "on".to_owned()));
        assert!(!base_and_cap(&Known::default(), &keys, account::POLICY).0);
    }

    #[test]
    fn what_runs_on_eks_is_watched_and_said() {
        let policy = parse("p.toml", account::POLICY).unwrap();
        let mut topology = account::topology(0);
        topology.environments[0].platform = Platform::Eks;
        let compiled = prepare(&policy, &topology, &Known::default(), &Keys::default(), account::START).unwrap();
        assert!(!compiled.setup.environments[0].covered && compiled.setup.environments[1].covered);
        assert!(
            compiled.notes.iter().any(|note| note.contains("nodes of EKS")),
            "{:?}",
            compiled.notes
        );
    }

    #[test]
    fn without_a_guard_raises_are_capped() {
        let keys = Keys {
            unguarded_max_vcpus: Some(Vcpus::new(64)),
            ..Keys::default()
        };
        let mut known = Known::default();
        known.take("spot", Some(Vcpus::ZERO), None);
        assert_eq!(base_and_cap(&known, &keys, account::POLICY).2, Some(64));
        let capped = format!("{}\n[environments.spot]\ncap = 32\n", account::POLICY);
        assert_eq!(base_and_cap(&known, &keys, &capped).2, Some(32));
    }

    #[test]
    fn without_a_guard_limits_are_clamped_to_and_not_enforced() {
        let text = format!("{}\n[environments.spot]\nlimits = \"enforce\"\n", account::POLICY);
        let policy = parse("p.toml", &text).unwrap();
        for (unguarded, limits) in [(None, Limits::Enforce), (Some(Vcpus::new(64)), Limits::Clamp)] {
            let keys = Keys {
                unguarded_max_vcpus: unguarded,
                ..Keys::default()
            };
            let topology = account::topology(0);
            let compiled = prepare(&policy, &topology, &Known::default(), &keys, account::START).unwrap();
            assert_eq!(compiled.setup.environments[0].limits, limits);
            assert_eq!(unenforced(&compiled.setup).count(), usize::from(unguarded.is_some()));
        }
    }
}
