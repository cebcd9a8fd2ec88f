//! What will go wrong in an account, before it does: rules with stable codes, pure over a survey and a policy.
//!
//! A *rule* is one kind of trouble, a *finding* one case of it with its evidence. What a survey does not have is neither good nor
//! bad: it is told as "could not check".

mod disk;
mod explain;
mod first_policy;
mod fix;
mod jobs;
mod needs;
mod policy;
mod queues;
mod quotas;
mod roles_network;
mod rule;
mod template;
#[cfg(test)]
mod tests;
mod user_data;
mod view;

pub use explain::{explanation, page};
pub use first_policy::{FirstPolicy, NotWritten, first_policy};
pub use fix::{Format, NotFixed, fixed_template};
pub use needs::{Need, Needs};
pub use quotas::{QuotaLine, over_committed, quota_findings};
pub use rule::{CouldNotCheck, Finding, Report, Rule, Severity};

use crate::account::survey::Survey;
use crate::policy::Policy;
use view::View;

/// All that a check looks at.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The account.
    pub survey: &'a Survey,
    /// The policy, if there is one; without it, nothing of AT7xx but the account's own side is looked at.
    pub policy: Option<&'a Policy>,
    /// What a job needs on disk.
    pub needs: Needs,
}

/// Looks at everything. Never fails: what cannot be looked at is told.
pub fn check(inputs: &Inputs<'_>) -> Report {
    let mut report = Report::default();
    match inputs.survey.compute_environments.read() {
        Ok(environments) => {
            let view = View::of(inputs, environments);
            disk::check(&view, &mut report);
            template::check(&view, &mut report);
            roles_network::check(&view, &mut report);
            queues::check(&view, &mut report);
            jobs::check(&view, &mut report);
            quotas::check(&view, &mut report);
            policy::check(&view, &mut report);
        }
        Err(why) => {
            let all: Vec<&'static Rule> = rules().collect();
            report.unread(&all, "compute environments", why);
        }
    }
    report.sort();
    report
}

/// All rules in the order of their codes.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        disk::RULES,
        template::RULES,
        roles_network::RULES,
        queues::RULES,
        jobs::RULES,
        quotas::RULES,
        policy::RULES,
    ]
    .into_iter()
    .flatten()
    .copied()
}
