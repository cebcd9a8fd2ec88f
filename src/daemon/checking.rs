//! What `autotune check` finds, looked for once an hour.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::cloud::{Cloud, Principal};
use super::reload;
use crate::account::survey::{Base, Known, Tag};
use crate::check::{self, Inputs, Needs, Report};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::planner::memory::Memory;
use crate::policy::Policy;
use crate::setup::Setup;
use crate::units::{Span, Time, Vcpus, usize_to_f64};

/// The first look waits until the start has been paid for.
const FIRST: Span = Span::from_seconds(60);
const AGAIN: Span = Span::from_minutes(60);

/// What was found last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// When.
    pub at: Time,
    /// Worst first.
    pub findings: Vec<Found>,
    /// How many things could not be looked at; `autotune check` says which, and why.
    pub could_not_check: usize,
}

/// A finding. Evidence and fix are told by `autotune check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The code of its rule, for example `AT101`.
    pub code: String,
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub message: String,
}

/// What the looking needs.
pub(super) struct Checks<C> {
    pub(super) cloud: Arc<C>,
    pub(super) policies: Vec<PathBuf>,
    /// As they were last good.
    pub(super) policy: Option<Policy>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) told: watch::Sender<Option<Checked>>,
    /// The tag without which an environment is only watched.
    pub(super) tag: Option<Tag>,
    /// What this process has changed, as its memory has it.
    pub(super) bases: watch::Receiver<Vec<Base>>,
}

impl<C: Cloud> Checks<C> {
    /// Goes on until it is dropped.
    pub(super) async fn hourly(mut self) {
        self.clock.wait(FIRST).await;
        loop {
            self.once().await;
            self.clock.wait(AGAIN).await;
        }
    }

    async fn once(&mut self) {
        // Read anew: the policies may have changed. Bad ones are the reload's matter: the old ones stay.
        if let Ok(policy) = reload::load(self.policies.clone()).await {
            self.policy = Some(policy);
        }
        let policy = &self.policy;
        let sqs: Vec<String> = policy.iter().flat_map(Policy::sqs_queues).collect();
        let mut survey = match self.cloud.survey(&sqs, Principal::Caller).await {
            Ok(survey) => survey,
            Err(error) => {
                let why = crate::explain::printable(&error.message);
                tracing::warn!(%why, "The account could not be checked");
                return;
            }
        };
        survey.tag.clone_from(&self.tag);
        survey.bases = Known::Known(known_bases(&survey.bases, &self.bases.borrow()));
        let report = check::check(&Inputs {
            survey: &survey,
            policy: policy.as_ref(),
            needs: Needs::default(),
        });
        let counts = report.counts().into_iter();
        let counts: Vec<_> = counts
            .map(|((code, severity), count)| (code, severity.code(), usize_to_f64(count)))
            .collect();
        let now = self.clock.now();
        self.metrics.checked(&counts, now);
        let checked = checked(&report, now);
        self.told.send_if_modified(|last| {
            let known = last.as_ref().is_some_and(|last| last.findings == checked.findings);
            if !known {
                let errors = checked
                    .findings
                    .iter()
                    .filter(|found| found.severity == "error")
                    .count();
                tracing::info!(
                    errors,
                    findings = checked.findings.len(),
                    "Checked the account: see `autotune check`"
                );
            }
            *last = Some(checked);
            true
        });
    }
}

/// The operator's own levels where the controller has changed them.
pub(super) fn changed_bases(setup: &Setup, memory: &Memory) -> Vec<Base> {
    let both = setup.environments.iter().zip(&memory.environments);
    let changed = both.filter(|(_, memory)| memory.base_before.is_some() || memory.max_before.is_some());
    changed
        .map(|(setup, memory)| Base {
            compute_environment: setup.name.clone(),
            min_vcpus: memory.base_before.unwrap_or(setup.base).get(),
            max_vcpus: memory.max_before.map(Vcpus::get),
        })
        .collect()
}

/// What guards tell, of a predecessor too, and over it what this process knows.
fn known_bases(guards: &Known<Vec<Base>>, own: &[Base]) -> Vec<Base> {
    let mut bases = own.to_vec();
    for guard in guards.read().into_iter().flatten() {
        if !own
            .iter()
            .any(|base| base.compute_environment == guard.compute_environment)
        {
            bases.push(guard.clone());
        }
    }
    bases
}

fn checked(report: &Report, at: Time) -> Checked {
    let found = |finding: &check::Finding| Found {
        code: finding.rule.code.to_owned(),
        severity: finding.severity.code().to_owned(),
        subject: finding.subject.clone(),
        message: finding.message.clone(),
    };
    Checked {
        at,
        findings: report.findings.iter().map(found).collect(),
        could_not_check: report.could_not_check.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_knows_goes_before_what_guards_tell() {
        let base = |name: &str, min_vcpus, max_vcpus| Base {
            compute_environment: name.to_owned(),
            min_vcpus,
            max_vcpus,
        };
        // A guard may be older than the operator's last change, or of a predecessor.
        let guards = Known::Known(vec![base("spot", 0, None), base("other", 4, Some(64))]);
        let own = [base("spot", 8, Some(32))];
        let expected = vec![base("spot", 8, Some(32)), base("other", 4, Some(64))];
        assert_eq!(known_bases(&guards, &own), expected);
        assert_eq!(known_bases(&Known::unread("AccessDenied"), &own), own);
    }
}
