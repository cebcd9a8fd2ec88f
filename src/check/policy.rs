//! AT7xx: the policy against the account.

use super::Report;
use super::rule::{Finding, Rule, Severity, batch_api, batch_guide, rules, shell};
use super::view::{Environment, View, order};
use crate::account::Platform;
use crate::account::survey::{Guard, JobQueue, Known, name_of, told};
use crate::input::values::{NameSelector, Readable as _, Scalar, Selector};
use crate::input::{Document, key_path};
use crate::policy::Policy;
use crate::policy::file::{PolicyFile, QueuePolicy};

const README: &str = "the README of autotune";
const SCHEDULER: &str = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html";

rules! {
    NAMES_NOTHING = "AT701" "policy-names-nothing" Warning {
        finds: "An entry of the policy that chooses no job queue, compute environment or SQS queue of the account.",
        why: "A slip in a name makes a policy that does nothing, and nobody is told while it runs.",
        fix: "Correct the name, or remove the entry.",
        sources: [README],
    }
    BASE_DIFFERS = "AT702" "base-differs" Warning {
        finds: "The operator's own minvCpus is not the policy's `min_vcpus`. Below it: a warning; above it: worth knowing. What autotune itself holds \
                does not count.",
        why: "autotune returns minvCpus to its base. Whoever set the other value in the console or a stack will see it change, and the \
              next deployment changes it back.",
        fix: "Use one value in both places, or leave `min_vcpus` out: the base is then what the operator set.",
        sources: [README, batch_guide!("scaling-updates")],
    }
    NOT_STEERABLE = "AT703" "cannot-be-steered" Info {
        finds: "The policy covers a queue whose environment is on Fargate, ECS Managed Instances, or UNMANAGED.",
        why: "They have no minvCpus that could be raised: autotune watches them and changes nothing.",
        fix: "Fargate: nothing to do. Managed Instances: set scaleInAfter. Else move the queue to an EC2 or Spot environment.",
        sources: [batch_api!("ComputeResource"), batch_guide!("ecs-managed-instances-compute-environments")],
    }
    TWO_WRITERS = "AT704" "another-writer" Warning {
        finds: "A schedule that writes to an environment which the policy steers, or a principal (also of a stack) other than autotune and its \
                guard that CloudTrail saw write its vCPUs in the last 7 days.",
        why: "UpdateComputeEnvironment knows no owner: the last writer wins. autotune yields to a foreign change, unless the \
              policy sets `min_vcpus`, so it holds back while both go on.",
        fix: "Take the environment out of one of them. Schedules can be written in the policy instead (`schedules`).",
        sources: [
            README,
            batch_api!("UpdateComputeEnvironment"),
            "https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html",
        ],
    }
    NO_GUARD = "AT705" "no-working-guard" Error {
        finds: "No guard, or one that cannot work: no schedule group, a role that does not exist or that does not trust scheduler.amazonaws.com. \
                Without any guard: a warning.",
        why: "The guard puts minvCpus back should autotune be gone. Without it a raised minimum is paid for until somebody notices.",
        fix: "Deploy what `autotune init --events` and deploy/cloudformation print, and name group and role in the settings (`guard`).",
        sources: [README, SCHEDULER],
    }
    NO_EVENTS = "AT706" "no-events" Info {
        finds: "No enabled EventBridge rule hands events of AWS Batch to the daemon's SQS queue.",
        why: "The daemon then polls: it learns of jobs up to a minute later, waits are measured less exactly, and more calls are made.",
        fix: "autotune init --events prints a CloudFormation template.",
        sources: [README, batch_guide!("batch_cwe_events")],
    }
    MESSAGES_STAY = "AT707" "messages-stay" Warning {
        finds: "The oldest message of an SQS queue in the policy is older than the policy's patience with it.",
        why: "Messages do not become jobs: whatever submits them is broken or too slow. autotune stops believing such messages, so \
              capacity is no longer made ready for them.",
        fix: "Look at what receives the messages, and at its dead-letter queue.",
        sources: [README, "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"],
    }
    NO_PERMISSION = "AT708" "permission-missing" Error {
        finds: "A call that autotune needs and may not make, probed without side effects. A warning where it can do without.",
        why: "What is denied is neither read nor written: at best autotune is blind there, at worst it cannot take a raise back.",
        fix: "Allow the action in the policy of autotune's role; deploy/cloudformation/account.yaml has all of them.",
        sources: ["https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbatch.html"],
    }
    MAY_WRITE_MORE = "AT709" "may-write-more" Warning {
        finds: "The role allows batch:UpdateComputeEnvironment on environments that the policy does not steer.",
        why: "The action cannot be restricted to scaling: whoever holds the role can replace images and templates of those environments.",
        fix: "Name the ARNs of the steered environments in the role's policy.",
        sources: ["https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbatch.html"],
    }
    IN_A_STACK = "AT710" "stack-resets-min" Info {
        finds: "A steered environment that carries the tags of CloudFormation or Terraform.",
        why: "A deployment writes minvCpus and maxvCpus as the code has them, in the middle of a lease. autotune takes that for a foreign \
              change and yields, unless the policy sets `min_vcpus`.",
        fix: "Terraform: lifecycle { ignore_changes = [compute_resources[0].min_vcpus, compute_resources[0].desired_vcpus] }. CloudFormation \
              and CDK write only what changed in the template: leave MinvCpus and DesiredvCpus as they are there.",
        sources: ["https://developer.hashicorp.com/terraform/language/meta-arguments/lifecycle", README],
    }
    CONTRADICTION = "AT711" "policy-does-not-hold" Error {
        finds: "A policy that contradicts the account: a base above maxvCpus or the cap, two entries for one queue or environment, a queue \
                with an environment that does not exist.",
        why: "`autotune run` refuses such a policy, or keeps the one before it.",
        fix: "Correct the policy at the place that is named.",
        sources: [README],
    }
    NO_TAG = "AT712" "tag-missing" Info {
        finds: "An environment that the policy covers and that lacks the tag of the settings (`tag`).",
        why: "Nothing is written without both keys, the policy and the tag: autotune watches it and changes nothing.",
        fix: "aws batch tag-resource --resource-arn ARN --tags KEY=VALUE, if it is to be steered.",
        sources: [README, batch_api!("TagResource")],
    }
}

pub(super) fn check(view: &View<'_>, report: &mut Report) {
    permissions(view, report);
    let Some(policy) = view.policy else { return };
    match view.survey.job_queues.read() {
        Ok(queues) => {
            names(view, policy, queues, report);
            not_steerable(view, policy, queues, report);
        }
        Err(why) => {
            let rules = [
                &NAMES_NOTHING,
                &NOT_STEERABLE,
                &BASE_DIFFERS,
                &TWO_WRITERS,
                &MAY_WRITE_MORE,
                &IN_A_STACK,
                &CONTRADICTION,
                &NO_TAG,
            ];
            report.unread(&rules, "job queues", why);
        }
    }
    contradictions(view, report);
    tags(view, report);
    for environment in &view.environments {
        match view.steered(environment.name()) {
            Some(true) => {
                steered(view, environment, report);
                may_not_write(view, environment, report);
            }
            Some(false) => may_write(view, environment, report),
            None => {}
        }
    }
    if let Known::Unread { why } = &view.survey.may_update {
        report.unread(&[&NO_PERMISSION, &MAY_WRITE_MORE], "autotune's role", why);
    }
    if matches!(view.setup, Some(Err(_))) {
        let all: [&'static Rule; 5] = [&BASE_DIFFERS, &TWO_WRITERS, &NO_GUARD, &MAY_WRITE_MORE, &IN_A_STACK];
        report.unread(&all, "policy", "it does not hold together");
    }
    let cut = view.survey.cut.get("schedules").map(String::as_str);
    let unread = view.survey.cut.get("writers").map(String::as_str);
    for (why, what) in [
        (view.survey.schedules.read().err().or(cut), "schedules"),
        (view.survey.writers.read().err().or(unread), "other writers"),
    ] {
        if let Some(why) = why {
            report.unread(&[&TWO_WRITERS], what, why);
        }
    }
    guard(view, report);
    events(view, report);
    messages(view, policy, report);
}

/// AT711. What may come of levels that autotune has changed is neither good nor bad.
fn contradictions(view: &View<'_>, report: &mut Report) {
    let sure = view.setup.as_ref().and_then(|setup| setup.as_ref().err());
    for problem in sure.into_iter().flatten() {
        let subject = if problem.key.is_empty() {
            &problem.file
        } else {
            &problem.key
        };
        let message = format!("found {}, expected {}", problem.found, problem.expected);
        let finding = Finding::of(&CONTRADICTION, subject, message).with("at", problem.location());
        report.add(match &problem.hint {
            Some(hint) => finding.fix(hint),
            None => finding,
        });
    }
    let why = view.survey.bases.read().err().unwrap_or_default();
    for problem in &view.doubted {
        let (key, found) = (&problem.key, &problem.found);
        let why = format!("found {found}, which may be what autotune has changed: {why}");
        report.unread(&[&CONTRADICTION], key, why);
    }
}

/// AT712.
fn tags(view: &View<'_>, report: &mut Report) {
    let Some(tag) = &view.survey.tag else { return };
    for name in &view.untagged {
        let Some(environment) = view.environment(name) else {
            continue;
        };
        let arn = &environment.detail.compute_environment_arn;
        let (key, value) = (&tag.key, &tag.value);
        let message = format!("it lacks the tag {key}={value}, so it is watched only");
        let finding = Finding::of(&NO_TAG, *name, message).with("tag", format!("{key}={value}"));
        let fix = NO_TAG.fix.replace("ARN", &shell(arn));
        report.add(finding.fix(fix.replace("KEY=VALUE", &shell(&format!("{key}={value}")))));
    }
}

/// Without these autotune does nothing; without others it knows less.
const NEEDED: [&str; 3] = [
    "batch:DescribeComputeEnvironments",
    "batch:DescribeJobQueues",
    "batch:ListJobs",
];

/// Whether the policy covers a job queue, by ARN.
fn follows(view: &View<'_>, arn: &str) -> bool {
    let Some(Ok(setup)) = &view.setup else { return false };
    let mut queues = setup.queues.iter();
    queues.any(|queue| queue.name == name_of(arn) && queue.follows_runnable)
}

/// AT708.
fn permissions(view: &View<'_>, report: &mut Report) {
    match view.survey.permissions.read() {
        Ok(permissions) => {
            for permission in permissions {
                match permission.allowed.read() {
                    Ok(true) => {}
                    // Queues that no policy covers need not be seen.
                    Ok(false)
                        if permission.resource.contains(":job-queue/") && !follows(view, &permission.resource) => {}
                    Ok(false) => {
                        let message = format!("{} is denied: {}", permission.action, permission.needed_for);
                        let finding =
                            Finding::of(&NO_PERMISSION, &permission.action, message).with("action", &permission.action);
                        let severity = if NEEDED.contains(&permission.action.as_str()) {
                            Severity::Error
                        } else {
                            Severity::Warning
                        };
                        let finding = finding.rated(severity);
                        report.add(
                            finding
                                .with("resource", &permission.resource)
                                .with("needed for", &permission.needed_for),
                        );
                    }
                    Err(why) => report.unread(&[&NO_PERMISSION], &permission.action, why),
                }
            }
        }
        Err(why) => report.unread(&[&NO_PERMISSION], "permissions", why),
    }
}

/// The entries of a policy file with their keys and places.
fn entries<'p, T>(
    document: &'p Document<PolicyFile>,
    section: &'static str,
    entries: impl Iterator<Item = (&'p String, T)>,
) -> Vec<(&'p str, String, T)> {
    let place = |name: &str| {
        let line = document.place(&key_path(section, name)).map_or(0, |place| place.line);
        format!("{}:{line}", document.name)
    };
    entries
        .map(|(name, value)| (name.as_str(), place(name), value))
        .collect()
}

fn chooses_queue(name: &str, policy: &QueuePolicy, queue: &JobQueue) -> bool {
    let chosen = NameSelector::read(Scalar::Text(name))
        .is_ok_and(|selector| selector.0.chooses(&queue.job_queue_name, &queue.tags));
    chosen
        && !policy
            .except
            .iter()
            .any(|except| except.0.chooses(&queue.job_queue_name, &queue.tags))
}

/// AT701.
fn names(view: &View<'_>, policy: &Policy, queues: &[JobQueue], report: &mut Report) {
    let nothing = |subject: &str, at: &str, what: &str| {
        Finding::of(
            &NAMES_NOTHING,
            subject,
            format!("the entry chooses no {what} of the account"),
        )
        .with("entry", subject)
        .with("at", at)
    };
    for document in &policy.files {
        for (name, at, entry) in entries(document, "queues", document.value.queues.iter()) {
            if !queues.iter().any(|queue| chooses_queue(name, entry, queue)) {
                let there: Vec<&str> = queues.iter().map(|queue| queue.job_queue_name.as_str()).collect();
                report.add(nothing(name, &at, "job queue").with("job queues", there.join(", ")));
            }
            for sqs in entry.sqs.keys() {
                match told(&view.survey.sqs_queues, sqs) {
                    Ok(Some(_)) => {}
                    Ok(None) => report.add(nothing(sqs, &at, "SQS queue")),
                    Err(why) => report.unread(&[&NAMES_NOTHING, &MESSAGES_STAY], sqs, why),
                }
            }
        }
        for (name, at, entry) in entries(document, "environments", document.value.environments.iter()) {
            let chosen = |environment: &Environment<'_>| {
                let (name_there, tags) = (environment.name(), &environment.detail.tags);
                let selected =
                    Selector::read(Scalar::Text(name)).is_ok_and(|selector| selector.chooses(name_there, tags));
                selected && !entry.except.iter().any(|except| except.chooses(name_there, tags))
            };
            if !view.environments.iter().any(chosen) {
                let there: Vec<&str> = view.environments.iter().map(Environment::name).collect();
                report.add(nothing(name, &at, "compute environment").with("compute environments", there.join(", ")));
            }
        }
    }
}

/// AT703.
fn not_steerable(view: &View<'_>, policy: &Policy, queues: &[JobQueue], report: &mut Report) {
    for environment in &view.environments {
        let what = match environment.platform {
            Platform::Ec2 | Platform::Eks => continue,
            Platform::Fargate => "on Fargate",
            Platform::ManagedInstances => "on ECS Managed Instances",
            Platform::Unmanaged => "UNMANAGED",
        };
        let users = queues.iter().filter(|queue| order(queue).contains(&environment.name()));
        let covered = |queue: &&JobQueue| {
            let mut entries = policy.files.iter().flat_map(|document| &document.value.queues);
            entries.any(|(name, entry)| chooses_queue(name, entry, queue))
        };
        let users: Vec<&str> = users
            .filter(covered)
            .map(|queue| queue.job_queue_name.as_str())
            .collect();
        if !users.is_empty() {
            let finding = Finding::of(
                &NOT_STEERABLE,
                environment.name(),
                format!("it is {what}, so it is watched only"),
            );
            let kind = view.resources(environment).r#type.as_str();
            report.add(finding.with("type", kind).with("job queues", users.join(", ")));
        }
    }
}

/// AT702, AT704, AT710.
fn steered(view: &View<'_>, environment: &Environment<'_>, report: &mut Report) {
    let name = environment.name();
    let setup = view.setup.as_ref().and_then(|setup| setup.as_ref().ok());
    let base = setup
        .and_then(|setup| setup.environments.iter().find(|one| one.name == name))
        .map(|one| one.base.get());
    let min = environment.min;
    if let (Some(base), Err(why)) = (base.filter(|base| *base < min), view.survey.bases.read()) {
        let why = format!("minvCpus is {min}, the policy's base is {base}; autotune may hold it: {why}");
        report.unread(&[&BASE_DIFFERS], name, why);
    } else if let Some(base) = base.filter(|base| *base != min) {
        let severity = if min < base { Severity::Warning } else { Severity::Info };
        let finding = Finding::of(
            &BASE_DIFFERS,
            name,
            format!("minvCpus is {min}, the policy's base is {base}"),
        );
        report.add(finding.rated(severity).with("minvCpus", min).with("min_vcpus", base));
    }
    for schedule in view.survey.schedules.read().into_iter().flatten() {
        if name_of(&schedule.target.compute_environment) == name && schedule.state != "DISABLED" {
            let finding = Finding::of(&TWO_WRITERS, name, format!("schedule {} writes to it", schedule.name));
            report.add(
                finding
                    .with("schedule", &schedule.name)
                    .with("ScheduleExpression", &schedule.schedule_expression),
            );
        }
    }
    for writer in view.survey.writers.read().into_iter().flatten() {
        if name_of(&writer.compute_environment) == name {
            let finding = Finding::of(&TWO_WRITERS, name, format!("{} writes to it", writer.who));
            report.add(finding.with("who", &writer.who).with("what", &writer.what));
        }
    }
    let of_stack =
        |key: &&String| key.as_str() == "aws:cloudformation:stack-name" || key.to_lowercase().contains("terraform");
    if let Some((key, value)) = environment.detail.tags.iter().find(|(key, _)| of_stack(key)) {
        let finding = Finding::of(&IN_A_STACK, name, "a deployment may reset its minvCpus");
        report.add(finding.with("tag", format!("{key}={value}")));
    }
}

/// AT709.
fn may_write(view: &View<'_>, environment: &Environment<'_>, report: &mut Report) {
    let arn = &environment.detail.compute_environment_arn;
    let patterns = view.survey.may_update.read().map_or(&[][..], Vec::as_slice);
    if let Some(pattern) = patterns.iter().find(|pattern| matches(pattern, arn)) {
        let finding = Finding::of(
            &MAY_WRITE_MORE,
            environment.name(),
            "autotune's role may update it, the policy does not steer it",
        );
        report.add(finding.with("Resource", pattern).with("computeEnvironmentArn", arn));
    }
}

/// AT708: what the policy steers must be allowed to be updated.
fn may_not_write(view: &View<'_>, environment: &Environment<'_>, report: &mut Report) {
    let arn = &environment.detail.compute_environment_arn;
    if let Ok(allowed) = view.survey.may_update.read()
        && !allowed.iter().any(|pattern| matches(pattern, arn))
    {
        const ACTION: &str = "batch:UpdateComputeEnvironment";
        let message = format!("{ACTION} is denied: to steer it");
        let finding = Finding::of(&NO_PERMISSION, environment.name(), message);
        report.add(finding.with("action", ACTION).with("resource", arn));
    }
}

/// AT705. Raises that nobody takes back are the worst that autotune can leave behind.
fn guard(view: &View<'_>, report: &mut Report) {
    let steers = view
        .environments
        .iter()
        .any(|environment| view.steered(environment.name()) == Some(true));
    if !steers {
        return;
    }
    let guard = match view.survey.guard.read() {
        Ok(Some(guard)) => guard,
        Ok(None) => {
            let finding = Finding::of(&NO_GUARD, "guard", "no guard is configured").with("guard", "not set");
            report.add(finding.rated(Severity::Warning));
            return;
        }
        Err(why) => return report.unread(&[&NO_GUARD], "guard", why),
    };
    working(view, guard, report);
}

fn working(view: &View<'_>, guard: &Guard, report: &mut Report) {
    let find = |message: String| {
        Finding::of(&NO_GUARD, "guard", message)
            .with("group", &guard.group)
            .with("role_arn", &guard.role_arn)
    };
    match guard.group_exists.read() {
        Ok(true) => {}
        Ok(false) => report.add(find(format!("schedule group {} does not exist", guard.group))),
        Err(why) => report.unread(&[&NO_GUARD], "guard", why),
    }
    match told(&view.survey.roles, name_of(&guard.role_arn)) {
        Ok(Some(role))
            if role
                .trusted_services
                .iter()
                .any(|service| service == "scheduler.amazonaws.com") => {}
        Ok(Some(role)) => {
            let finding = find("the guard's role does not trust scheduler.amazonaws.com".to_owned());
            report.add(finding.with("trusts", role.trusted_services.join(", ")));
        }
        Ok(None) => report.add(find("the guard's role does not exist".to_owned())),
        Err(why) => report.unread(&[&NO_GUARD], "guard", why),
    }
}

/// AT706.
fn events(view: &View<'_>, report: &mut Report) {
    match view.survey.event_rules.read() {
        Ok(rules) if rules.iter().any(|rule| rule.state == "ENABLED" && rule.reaches_us) => {}
        Ok(rules) => {
            let names: Vec<String> = rules
                .iter()
                .map(|rule| format!("{} {}", rule.name, rule.state))
                .collect();
            let names = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            report.add(
                Finding::of(&NO_EVENTS, "events", "no rule hands events of AWS Batch to the daemon")
                    .with("rules", names),
            );
        }
        Err(why) => report.unread(&[&NO_EVENTS], "events", why),
    }
}

/// AT707.
fn messages(view: &View<'_>, policy: &Policy, report: &mut Report) {
    let sources = policy
        .files
        .iter()
        .flat_map(|document| document.value.queues.values())
        .flat_map(|queue| &queue.sqs);
    let rule: &'static Rule = &MESSAGES_STAY;
    for (name, source) in sources {
        // That it is unknown or not there is told above.
        let Ok(Some(queue)) = told(&view.survey.sqs_queues, name) else {
            continue;
        };
        let patience = source.patience.0.millis() / 1000;
        match queue.oldest_seconds.read() {
            Ok(age) if *age > patience && queue.visible > 0 => {
                let message = format!("its oldest message is {age} s old, the policy's patience is {patience} s");
                let finding = Finding::of(rule, name, message).with("ApproximateAgeOfOldestMessage", age);
                report.add(
                    finding
                        .with("ApproximateNumberOfMessages", queue.visible)
                        .with("patience", patience),
                );
            }
            Ok(_) => {}
            Err(why) => report.unread(&[rule], name, why),
        }
    }
}

/// As IAM matches resources: `*` is any text, `?` one character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go back to: after the last star, and what it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            Some(_) | None => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn resources_match_as_in_iam() {
        for (pattern, text, expected) in [
            ("*", "arn:aws:batch:r:1:compute-environment/a", true),
            (
                "arn:*:compute-environment/a*",
                "arn:aws:batch:r:1:compute-environment/abc",
                true,
            ),
            (
                "arn:*:compute-environment/b*",
                "arn:aws:batch:r:1:compute-environment/abc",
                false,
            ),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbYbZc", true),
            ("", "", true),
            ("", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
