//! AT6xx: EC2 service quotas. The arithmetic takes plain numbers, so that the ledger of the planner can call it too.

use std::collections::BTreeMap;

use super::rule::{Finding, Severity, batch_guide, ec2_guide, rules};
use super::view::{Environment, View};
use super::{CouldNotCheck, Inputs, Needs, Report};
use crate::account::survey::{Counted, Survey, told};
use crate::catalog::{InstanceType, Purchase, quota_code};

/// From this share of a quota on, it is told.
const MOSTLY_USED_PERCENT: i64 = 80;
/// Why there may be more.
const UNCOUNTED: &str = "not all instances were counted";

rules! {
    ABOVE = "AT601" "max-above-quota" Error {
        finds: "The environments that share a service quota may together grow beyond it: the sum of maxvCpus and one largest instance each \
                (AWS Batch may exceed maxvCpus by one) is above the limit. Worth knowing only where the policy keeps all of them within it \
                (`limits = \"enforce\"`).",
        why: "Launches beyond the quota fail, AWS Batch gives no reason, keeps trying, and does not move on to the next environment. Jobs stay \
              RUNNABLE while everything looks healthy.",
        fix: "Ask for a higher quota, lower maxvCpus, or let the policy keep within it (`limits = \"enforce\"`).",
        sources: [ec2_guide!("ec2-on-demand-instances"), ec2_guide!("using-spot-limits"), batch_guide!("job_stuck_in_runnable")],
    }
    MOSTLY_USED = "AT602" "quota-mostly-used" Warning {
        finds: "A service quota of which 80 % or more is used by the whole account: as its metric in AWS/Usage has it, else by pending and running \
                instances.",
        why: "The next scale-up ends at the limit, and a request for more takes hours to days.",
        fix: "Ask for a higher quota now.",
        sources: [ec2_guide!("ec2-on-demand-instances"), ec2_guide!("using-spot-limits")],
    }
    NO_FALLBACK = "AT603" "fallback-without-quota" Error {
        finds: "A queue falls back from Spot to an On-Demand environment whose quota does not hold even its smallest instance beside what \
                others use.",
        why: "Spot and On-Demand have quotas of their own. The fallback is there on paper only: in a Spot drought nothing starts.",
        fix: "Ask for a higher On-Demand quota.",
        sources: [ec2_guide!("ec2-on-demand-instances"), ec2_guide!("using-spot-limits")],
    }
    SPANS = "AT604" "types-span-quotas" Info {
        finds: "An environment whose types count against more than one service quota.",
        why: "Which quota a launch takes from is AWS Batch's choice, so no limit can be kept exactly: each type is counted against its own.",
        fix: "Make an environment for each class of instances.",
        sources: [ec2_guide!("ec2-on-demand-instances")],
    }
}

/// A service quota and what there is to compare with it, in vCPUs.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct QuotaLine {
    /// For example `L-34B43A08`.
    pub code: String,
    /// The limit.
    pub limit: i64,
    /// What the whole account uses of it; `None`: not known.
    pub used: Option<i64>,
    /// How that was counted.
    pub counted: Counted,
    /// What our own environments use of it; `None`: not known.
    pub ours: Option<i64>,
    /// The sum of maxvCpus of the environments that count against it.
    pub max: i64,
    /// The sum of the largest allowed instance of each of them: what AWS Batch may exceed max by.
    pub largest: i64,
    /// Whether all of these environments are kept within it (`limits = "enforce"`).
    pub enforced: bool,
}

impl QuotaLine {
    /// How far its environments may grow together.
    pub fn may_grow_to(&self) -> i64 {
        self.max.saturating_add(self.largest)
    }

    /// Whether that is beyond the limit.
    pub fn is_over_committed(&self) -> bool {
        self.may_grow_to() > self.limit
    }
}

/// Service quotas that the environments of an account may together grow beyond, whatever a policy says (AT601), by code; and what
/// that could not be said of.
pub fn over_committed(survey: &Survey) -> (Vec<QuotaLine>, Vec<CouldNotCheck>) {
    let mut report = Report::default();
    let mut found = Vec::new();
    match survey.compute_environments.read() {
        Ok(environments) => {
            let inputs = Inputs {
                survey,
                policy: None,
                needs: Needs::default(),
            };
            found = lines(&View::of(&inputs, environments), &mut report);
        }
        Err(why) => report.unread(&[&ABOVE], "compute environments", why),
    }
    found.retain(QuotaLine::is_over_committed);
    report.keep(&[ABOVE.code.to_owned()], &[]);
    report.sort();
    (found, report.could_not_check)
}

/// AT601 and AT602 of one quota.
pub fn quota_findings(line: &QuotaLine) -> Vec<Finding> {
    let mut findings = Vec::new();
    let evidence = |finding: Finding| {
        let finding = finding
            .with("limit", line.limit)
            .with("maxvCpus", line.max)
            .with("largest instances", line.largest);
        let known = |amount: Option<i64>| amount.map_or_else(|| "unknown".to_owned(), |amount| amount.to_string());
        finding
            .with("used in the account", known(line.used))
            .with("counted by", line.counted.text())
            .with("used by ours", known(line.ours))
            .fix(ask(&line.code))
    };
    if line.is_over_committed() {
        let message = format!(
            "environments may grow to {} vCPUs, the quota is {}",
            line.may_grow_to(),
            line.limit
        );
        let also = format!(
            "{}; or lower maxvCpus; or `limits = \"enforce\"` in the policy",
            ask(&line.code)
        );
        let finding = evidence(Finding::of(&ABOVE, &line.code, message));
        findings.push(if line.enforced {
            let held = "Nothing: the policy keeps them within it (`limits = \"enforce\"`); or ask for more";
            finding.rated(Severity::Info).fix(held)
        } else {
            finding.fix(also)
        });
    }
    if let Some(used) = line.used.filter(|_| is_mostly_used(line)) {
        findings.push(evidence(Finding::of(
            &MOSTLY_USED,
            &line.code,
            format!("{used} of {} vCPUs are used", line.limit),
        )));
    }
    findings
}

fn is_mostly_used(line: &QuotaLine) -> bool {
    let is_mostly = |used: i64| used.saturating_mul(100) >= line.limit.saturating_mul(MOSTLY_USED_PERCENT);
    line.used.is_some_and(|used| used > 0 && is_mostly(used))
}

/// Where to ask for more.
fn ask(code: &str) -> String {
    format!("Ask for more: https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}")
}

pub(super) fn check(view: &View<'_>, report: &mut Report) {
    for line in lines(view, report) {
        for finding in quota_findings(&line) {
            report.add(finding);
        }
        if line.used.is_none() {
            report.unread(&[&MOSTLY_USED], &line.code, "how much of it is used is not known");
        } else if !line.counted.is_exact() && !is_mostly_used(&line) {
            report.unread(&[&MOSTLY_USED], &line.code, UNCOUNTED);
        }
    }
    for (environment, _) in view.with_instances() {
        if let Some(why) = environment.unknown() {
            report.unread(&[&SPANS], environment.name(), why);
        }
        let codes = codes_of(environment);
        if codes.len() > 1 {
            let finding = Finding::of(
                &SPANS,
                environment.name(),
                format!("its types count against {} quotas", codes.len()),
            );
            report.add(finding.with("quotas", codes.keys().copied().collect::<Vec<_>>().join(", ")));
        }
    }
    fallbacks(view, report);
}

/// Codes of an environment's types, each with the vCPUs of its largest and its smallest type. Types larger than maxvCpus are never
/// launched, unless there are no others.
pub(super) fn codes_of(environment: &Environment<'_>) -> BTreeMap<&'static str, (i64, i64)> {
    let mut codes: BTreeMap<&'static str, (i64, i64)> = BTreeMap::new();
    let fits = |one: &&InstanceType| one.nominal.vcpus.get() <= environment.max;
    let any_fits = environment.types.iter().any(|one| fits(&one));
    for one in environment.types.iter().filter(|one| fits(one) || !any_fits) {
        if let Some(code) = quota_code(&one.name, environment.purchase) {
            let vcpus = one.nominal.vcpus.get();
            let (largest, smallest) = codes.entry(code).or_insert((0, i64::MAX));
            *largest = vcpus.max(*largest);
            *smallest = vcpus.min(*smallest);
        }
    }
    codes
}

/// One line for each quota that environments count against. An environment whose types span quotas may fill each of them.
pub(super) fn lines(view: &View<'_>, report: &mut Report) -> Vec<QuotaLine> {
    let mut sums: BTreeMap<&'static str, QuotaLine> = BTreeMap::new();
    for (environment, resources) in view
        .with_instances()
        .filter(|(environment, _)| environment.is_enabled())
    {
        // AWS Batch goes beyond maxvCpus by an instance, but for On-Demand with BEST_FIT (API reference, ComputeResource).
        let best_fit = matches!(resources.allocation_strategy.as_deref(), None | Some("" | "BEST_FIT"));
        let stays = best_fit && environment.purchase == Purchase::OnDemand;
        for (code, (largest, _)) in codes_of(environment) {
            let sum = sums.entry(code).or_insert_with(|| QuotaLine {
                code: code.to_owned(),
                enforced: true,
                ..QuotaLine::default()
            });
            sum.max = sum.max.saturating_add(environment.max.max(0));
            sum.largest = sum.largest.saturating_add(if stays { 0 } else { largest });
            let ours = sum.ours.unwrap_or_default();
            sum.ours = Some(ours.saturating_add(resources.desired_vcpus.max(0)));
            sum.enforced &= view.enforced(environment.name());
        }
        if let Some(why) = environment.unknown() {
            report.unread(&[&ABOVE, &MOSTLY_USED], environment.name(), why);
        }
        if environment
            .types
            .iter()
            .any(|one| quota_code(&one.name, environment.purchase).is_none())
        {
            report.unread(
                &[&ABOVE, &MOSTLY_USED],
                environment.name(),
                "which quota counts one of its types is not known",
            );
        }
    }
    let mut lines = Vec::new();
    for (code, sum) in sums {
        match told(&view.survey.quotas, code) {
            Ok(Some(quota)) => lines.push(QuotaLine {
                limit: quota.value,
                used: quota.used.read().ok().copied(),
                counted: quota.counted,
                ..sum
            }),
            Ok(None) => report.unread(&[&ABOVE, &MOSTLY_USED], code, "the account has no such quota"),
            Err(why) => report.unread(&[&ABOVE, &MOSTLY_USED], code, why),
        }
    }
    lines
}

/// AT603.
fn fallbacks(view: &View<'_>, report: &mut Report) {
    let Ok(queues) = view.survey.job_queues.read() else {
        return report.unread(&[&NO_FALLBACK], "job queues", "they were not read");
    };
    for queue in queues {
        let environments = view.environments_of(queue);
        let Some(spot) = environments
            .iter()
            .position(|environment| environment.purchase == Purchase::Spot)
        else {
            continue;
        };
        for fallback in environments
            .iter()
            .skip(spot)
            .filter(|environment| environment.purchase == Purchase::OnDemand && environment.is_enabled())
        {
            if let Some(why) = fallback.unknown() {
                // Its quota may have room.
                report.unread(&[&NO_FALLBACK], fallback.name(), why);
                continue;
            }
            let codes = codes_of(fallback);
            let mut lacking = Vec::new();
            for (code, (_, smallest)) in codes.clone() {
                let (quota, used) = match told(&view.survey.quotas, code) {
                    Ok(Some(quota)) => (quota, quota.used.read().copied()),
                    Ok(None) => continue,
                    Err(why) => {
                        report.unread(&[&NO_FALLBACK], &queue.job_queue_name, why);
                        continue;
                    }
                };
                let ours = view.resources(fallback).desired_vcpus.max(0);
                // What it has itself is its own to use; without a figure of use the limit alone may say enough.
                let others = used.map_or(0, |used| used.saturating_sub(ours).max(0));
                let left = quota.value.saturating_sub(others);
                if left < smallest {
                    let message = format!(
                        "{} has {left} vCPUs of quota {code} left for its fallback {}",
                        queue.job_queue_name,
                        fallback.name()
                    );
                    let finding = Finding::of(&NO_FALLBACK, &queue.job_queue_name, message).with("limit", quota.value);
                    let finding = finding
                        .with("used by others", others)
                        .with("counted by", quota.counted.text())
                        .with("smallest instance", smallest)
                        .with("code", code);
                    lacking.push(finding.with("compute environment", fallback.name()).fix(ask(code)));
                } else if let Err(why) = used {
                    report.unread(&[&NO_FALLBACK], &queue.job_queue_name, format!("use of {code}: {why}"));
                } else if !quota.counted.is_exact() {
                    let why = format!("use of {code}: {UNCOUNTED}");
                    report.unread(&[&NO_FALLBACK], &queue.job_queue_name, why);
                }
            }
            // One quota with room is a fallback.
            if lacking.len() == codes.len() {
                for finding in lacking {
                    report.add(finding);
                }
            }
        }
    }
}
