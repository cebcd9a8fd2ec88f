//! A policy to begin with: what an account has, written as a policy that leaves everything as it is.
//!
//! Names come from outside: in keys they are escaped, in comments what cannot be seen is spelt out. An entry chooses exactly the
//! one thing whose name it has, also where that name would be a pattern.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use super::quotas::{self, QuotaLine};
use super::rule::shell;
use super::view::{Environment, View, order};
use super::{Inputs, Needs, Report};
use crate::account::Platform;
use crate::account::survey::{JobQueue, Known, SqsListing, Survey};
use crate::catalog::Purchase;
use crate::explain::{is_invisible, printable};
use crate::input::did_you_mean;
use crate::input::values::{AccountId, Readable, Region, Scalar};

/// What a policy to begin with is made of.
#[derive(Clone, Copy, Debug)]
pub struct FirstPolicy<'a> {
    /// The account.
    pub survey: &'a Survey,
    /// Its SQS queues.
    pub sqs: &'a Known<SqsListing>,
    /// The SQS queue of the daemon's own wake-ups, if it has one.
    pub wake_ups: Option<&'a str>,
    /// Only these job queues and their environments; none: all.
    pub queues: &'a [String],
    /// What names the account to other commands, such as `--region`.
    pub flags: &'a [String],
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// Without these there is nothing to name.
    #[error("{what} were not read: {why}")]
    Unread {
        /// Job queues or compute environments.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The account has no such job queue.
    #[error("found the job queue {name:?}, expected one of the account\nhint: {hint}")]
    NoSuchQueue {
        /// What was asked for.
        name: String,
        /// What there is.
        hint: String,
    },
}

/// The text of the policy. Fails where job queues or compute environments were not read; what else was not is said in it.
pub fn first_policy(asked: &FirstPolicy<'_>) -> Result<String, NotWritten> {
    let unread = |what, why: &str| NotWritten::Unread {
        what,
        why: why.to_owned(),
    };
    let survey = asked.survey;
    let environments = survey.compute_environments.read();
    let environments = environments.map_err(|why| unread("compute environments", why))?;
    let queues = survey.job_queues.read().map_err(|why| unread("job queues", why))?;
    for name in asked.queues {
        let mut names = queues.iter().map(|queue| queue.job_queue_name.as_str());
        if !names.any(|known| known == name) {
            return Err(no_such_queue(name, queues));
        }
    }
    let inputs = Inputs {
        survey,
        policy: None,
        needs: Needs::default(),
    };
    let view = View::of(&inputs, environments);
    let mut report = Report::default();
    let lines = quotas::lines(&view, &mut report);
    report.sort();
    let mut writer = Writer {
        asked,
        view: &view,
        lines,
        report,
        text: String::new(),
    };
    writer.write(queues);
    Ok(writer.text)
}

fn no_such_queue(name: &str, queues: &[JobQueue]) -> NotWritten {
    let known = || queues.iter().map(|queue| queue.job_queue_name.as_str());
    let hint = did_you_mean(name, known()).unwrap_or_else(|| match queues.len() {
        0 => "it has none".to_owned(),
        _ => format!(
            "it has {}",
            known()
                .map(|name| printable(name).to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ),
    });
    NotWritten::NoSuchQueue {
        name: name.to_owned(),
        hint,
    }
}

/// SQS queues by the job queue that they may feed.
type Feeds<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Fifty waiting jobs are worth a minute less than one; both are longer than an ordinary launch.
const PATIENCE: &str = r#"patience = [{ jobs = 1, after = "4m" }, { jobs = 50, after = "3m" }]"#;
/// Types that are named of an environment.
const TYPES_SHOWN: usize = 6;

struct Writer<'a> {
    asked: &'a FirstPolicy<'a>,
    view: &'a View<'a>,
    lines: Vec<QuotaLine>,
    report: Report,
    text: String,
}

impl Writer<'_> {
    fn write(&mut self, all: &[JobQueue]) {
        let only = self.asked.queues;
        let is_asked = |queue: &&JobQueue| only.is_empty() || only.contains(&queue.job_queue_name);
        let mut queues: Vec<&JobQueue> = all.iter().filter(is_asked).collect();
        queues.sort_by(|a, b| a.job_queue_name.cmp(&b.job_queue_name));
        let used: BTreeSet<&str> = queues.iter().flat_map(|queue| order(queue)).collect();
        let mut environments: Vec<&Environment<'_>> = self.view.environments.iter().collect();
        environments.sort_by_key(|environment| environment.name());
        let (steered, others): (Vec<_>, Vec<_>) = (environments.into_iter())
            .filter(|environment| only.is_empty() || used.contains(environment.name()))
            .partition(|environment| why_not(environment).is_none() && used.contains(environment.name()));
        let steered_names: BTreeSet<&str> = steered.iter().map(|environment| environment.name()).collect();
        let (covered, idle): (Vec<&JobQueue>, Vec<_>) = queues
            .into_iter()
            .partition(|queue| order(queue).iter().any(|name| steered_names.contains(name)));

        self.head(&steered);
        self.quotas(&steered);
        if covered.is_empty() {
            self.paragraph(&[
                "No job queue has a compute environment that can be steered: there is nothing to do here.".to_owned(),
            ]);
        }
        let feeds = sources::feeds(self.asked, &covered);
        for queue in &covered {
            self.queue(queue, feeds.get(queue.job_queue_name.as_str()));
        }
        for environment in &steered {
            self.environment(environment, &covered);
        }
        self.left_out(&others, &idle);
        let told = sources::others(self.asked, &feeds);
        self.paragraph(&told);
    }

    /// What it is, and what to do with it.
    fn head(&mut self, steered: &[&Environment<'_>]) {
        let survey = self.asked.survey;
        let day = survey.taken_at.map_or_else(String::new, |at| {
            format!(" on {}", at.0.to_string().chars().take(10).collect::<String>())
        });
        let (account, region) = (printable(&survey.account), printable(&survey.region));
        self.comment(format_args!(
            "A policy to begin with: account {account}, {region}, as it stood{day}. `autotune init --policy` wrote it and changed nothing."
        ));
        self.comment(format_args!(""));
        self.comment(format_args!("Save it, keep what you mean, and go on with"));
        let flags = self.asked.flags.iter().flat_map(|flag| [" ".to_owned(), shell(flag)]);
        let flags: String = flags.collect();
        let commands = [
            ("validate policy.toml".to_owned(), "every problem at once"),
            (
                format!("plan --policy policy.toml{flags}"),
                "one look: what would be done, and why; changes nothing",
            ),
            (
                format!("check --policy policy.toml{flags}"),
                "what will go wrong in the account, before it does",
            ),
            (
                "run".to_owned(),
                "with policies = [\"policy.toml\"] in its settings; dry until `apply = true` there",
            ),
        ];
        let commands = commands.map(|(command, what)| (printable(&command).to_string(), what));
        let width = commands.iter().map(|(command, _)| command.chars().count()).max();
        let width = width.unwrap_or_default();
        for (command, what) in commands {
            self.comment(format_args!("  autotune {command:<width$}  # {what}"));
        }
        if let Some(tag) = &survey.tag {
            let pair = format!("{}={}", tag.key, tag.value);
            let untagged: Vec<&&Environment<'_>> = steered
                .iter()
                .filter(|environment| !self.is_tagged(environment))
                .collect();
            self.comment(format_args!(
                "Besides, nothing is written to an environment without the tag {}.{}",
                printable(&pair),
                if untagged.is_empty() {
                    " All of these have it."
                } else {
                    " To opt one in:"
                }
            ));
            for environment in untagged {
                let arn = shell(&environment.detail.compute_environment_arn);
                let command = format!("aws batch tag-resource --resource-arn {arn} --tags {}", shell(&pair));
                self.comment(format_args!("  {}", printable(&command)));
            }
        }
        self.comment(format_args!("What else a policy can say: docs/policies.md."));
        self.text.push_str("\nversion = 1\n");
        let id = is::<AccountId>(&survey.account).then(|| format!("id = {}\n", quoted(&survey.account)));
        let region = is::<Region>(&survey.region).then(|| format!("region = {}\n", quoted(&survey.region)));
        if id.is_some() || region.is_some() {
            self.text.push_str("\n# It holds for this account only.\n[account]\n");
            self.text.extend(id.into_iter().chain(region));
        }
    }

    fn quotas(&mut self, steered: &[&Environment<'_>]) {
        let mut told = Vec::new();
        for line in &self.lines {
            let used = line.used.map_or_else(
                || "use not known".to_owned(),
                |used| format!("{}{used} used", if line.counted.is_exact() { "" } else { "at least " }),
            );
            let users = names(self.of_quota(&line.code).map(Environment::name));
            told.push(format!(
                "  {}: limit {}, {used}; {users} may grow to {} (maxvCpus) + {} (one largest instance each)",
                printable(&line.code),
                line.limit,
                line.max,
                line.largest
            ));
            if line.is_over_committed() {
                told.push(format!(
                    "    = {}: too much. AWS Batch would run into the quota and say nothing, so `limits` is \"enforce\" below (AT601)",
                    line.may_grow_to()
                ));
                let is_below = |one: &Environment<'_>| steered.iter().any(|steered| steered.name() == one.name());
                let missing: Vec<&str> = (self.of_quota(&line.code))
                    .filter(|one| !is_below(one))
                    .map(Environment::name)
                    .collect();
                if !missing.is_empty() {
                    told.push(format!(
                        "    but these are not in this policy: {}. Nothing is enforced there, and `check` goes on to say AT601",
                        names(missing.into_iter())
                    ));
                }
            }
        }
        let guarded = matches!(self.asked.survey.guard.read(), Ok(Some(_)));
        let ready = guarded && steered.iter().all(|environment| self.is_tagged(environment));
        if self.lines.iter().any(QuotaLine::is_over_committed) && !ready {
            let when = "\"enforce\" takes effect with the tag and with a guard (`autotune init --events`, then `guard` in the settings); \
                        until then asks are clamped only, and `check` says AT601";
            told.push(format!("  {when}"));
        }
        for open in &self.report.could_not_check {
            let (about, why) = (printable(&open.subject), printable(&open.because));
            told.push(format!("  not known of {about}: {why}"));
        }
        if !told.is_empty() {
            told.insert(0, "Service quotas of EC2, in vCPUs of the whole account:".to_owned());
        }
        self.paragraph(&told);
    }

    fn queue(&mut self, queue: &JobQueue, feeds: Option<&BTreeSet<&str>>) {
        let environments = self.view.environments_of(queue);
        let described = environments.iter().map(|environment| {
            let what = match why_not(environment) {
                Some(_) => "not steered",
                None => purchase(environment),
            };
            format!("{} ({what})", printable(environment.name()))
        });
        let described = described.collect::<Vec<_>>().join(", ");
        let (name, state, status) = (
            printable(&queue.job_queue_name),
            printable(&queue.state),
            printable(&queue.status),
        );
        let priority = queue.priority;
        self.text.push('\n');
        self.comment(format_args!(
            "Job queue {name}: {state}, {status}, priority {priority}. Its environments in order: {described}."
        ));
        let _ = writeln!(self.text, "[queues.{}]", key(&selector(&queue.job_queue_name)));
        let is =
            |environment: &&Environment<'_>, bought| why_not(environment).is_none() && environment.purchase == bought;
        let spot = environments
            .iter()
            .position(|environment| is(environment, Purchase::Spot));
        let fallback = environments
            .iter()
            .rposition(|environment| is(environment, Purchase::OnDemand));
        if spot.is_some() && spot < fallback {
            self.comment(format_args!("When jobs that wait for Spot are worth On-Demand prices."));
            self.text.push_str(PATIENCE);
            self.text.push('\n');
        }
        let most = environments.iter().filter(|environment| why_not(environment).is_none());
        let most = most.fold(0_i64, |sum, environment| sum.saturating_add(environment.max.max(0)));
        for feed in feeds.into_iter().flatten() {
            self.text
                .push_str(&sources::suggestion(&queue.job_queue_name, feed, most));
        }
    }

    fn environment(&mut self, environment: &Environment<'_>, queues: &[&JobQueue]) {
        let resources = self.view.resources(environment);
        let name = environment.name();
        let strategy = match resources.allocation_strategy.as_deref() {
            None | Some("") => "BEST_FIT",
            Some(strategy) => strategy,
        };
        let kinds = some_of(&resources.instance_types);
        let places = queues.iter().filter_map(|queue| {
            let at = order(queue).iter().position(|one| *one == name)?;
            Some(format!(
                "{} of {}",
                at.saturating_add(1),
                printable(&queue.job_queue_name)
            ))
        });
        let places = places.collect::<Vec<_>>().join(", ");
        let (bought, strategy) = (purchase(environment), printable(strategy));
        let (state, status) = (
            printable(&environment.detail.state),
            printable(&environment.detail.status),
        );
        self.text.push('\n');
        self.comment(format_args!(
            "Compute environment {}: {bought}, {strategy}, {kinds}; number {places}.",
            printable(name)
        ));
        self.comment(format_args!(
            "min {}, desired {}, max {} vCPUs; {state}, {status}.",
            resources.min_vcpus, resources.desired_vcpus, resources.max_vcpus
        ));
        let held = (environment.min, environment.max) != (resources.min_vcpus, resources.max_vcpus);
        if held {
            let (min, max) = (environment.min, environment.max);
            self.comment(format_args!(
                "autotune holds it there for a while: its operator's own are min {min}, max {max}."
            ));
        } else if let (Err(why), true) = (self.asked.survey.bases.read(), environment.min > 0) {
            let why = printable(why);
            self.comment(format_args!(
                "Whether autotune holds that min for a while is not known: {why}."
            ));
        }
        let _ = writeln!(self.text, "[environments.{}]", key(&selector(name)));
        // In force it would undo what somebody else sets.
        self.comment(format_args!(
            "min_vcpus = {}  # not set: base is what you leave in the account",
            environment.min.max(0)
        ));
        let over = self.lines.iter().filter(|line| line.is_over_committed());
        let codes = quotas::codes_of(environment);
        let over: Vec<&str> = over
            .map(|line| line.code.as_str())
            .filter(|code| codes.contains_key(code))
            .collect();
        if !over.is_empty() {
            let _ = writeln!(self.text, "limits = \"enforce\"  # {}", over.join(", "));
        }
    }

    /// Everything that is there and has no entry, with the reason.
    fn left_out(&mut self, environments: &[&Environment<'_>], queues: &[&JobQueue]) {
        let mut told = Vec::new();
        for environment in environments {
            let why = why_not(environment).unwrap_or_else(|| "no job queue uses it".to_owned());
            told.push(format!(
                "  compute environment {}: {why}",
                printable(environment.name())
            ));
        }
        for queue in queues {
            let name = printable(&queue.job_queue_name);
            told.push(format!("  job queue {name}: none of its environments can be steered"));
        }
        if !told.is_empty() {
            told.insert(0, "Not steered:".to_owned());
        }
        self.paragraph(&told);
    }

    /// Whether its owner has opted it in.
    fn is_tagged(&self, environment: &Environment<'_>) -> bool {
        let tag = self.asked.survey.tag.as_ref();
        tag.is_none_or(|tag| environment.detail.tags.get(&tag.key) == Some(&tag.value))
    }

    /// Environments in use that draw from a quota.
    fn of_quota<'s>(&'s self, code: &'s str) -> impl Iterator<Item = &'s Environment<'s>> {
        let all = self.view.with_instances().map(|(environment, _)| environment);
        all.filter(move |one| one.is_enabled() && quotas::codes_of(one).contains_key(code))
    }

    /// Lines of comments, apart from what stands before.
    fn paragraph(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.text.push('\n');
        }
        for line in lines {
            self.comment(format_args!("{line}"));
        }
    }

    fn comment(&mut self, line: fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{}", format!("# {line}").trim_end());
    }
}

/// Why autotune does not steer it, or not as it is now.
fn why_not(environment: &Environment<'_>) -> Option<String> {
    let why = match environment.platform {
        Platform::Ec2 if environment.detail.status == "INVALID" => {
            let reason = printable(&environment.detail.status_reason);
            return Some(format!(
                "it is INVALID ({reason}); nothing is done to it before it is repaired"
            ));
        }
        Platform::Ec2 => return None,
        Platform::Eks => "on EKS its instances are not read, so nothing is raised for it",
        Platform::Fargate => "Fargate has no minvCpus",
        Platform::ManagedInstances => "ECS Managed Instances have no minvCpus; set scaleInAfter there instead",
        Platform::Unmanaged => "AWS Batch does not scale an UNMANAGED environment",
    };
    Some(why.to_owned())
}

const fn purchase(environment: &Environment<'_>) -> &'static str {
    match environment.purchase {
        Purchase::Spot => "Spot",
        Purchase::OnDemand => "On-Demand",
    }
}

/// The first few, and how many more there are.
fn some_of(all: &[String]) -> String {
    let shown = names(all.iter().map(String::as_str).take(TYPES_SHOWN));
    match all.len().saturating_sub(TYPES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn names<'s>(all: impl Iterator<Item = &'s str>) -> String {
    all.map(|name| printable(name).to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn is<T: Readable>(text: &str) -> bool {
    T::read(Scalar::Text(text)).is_ok()
}

/// A selector of exactly this name.
fn selector(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (at, letter) in name.char_indices() {
        // A set of one letter stands for it; a name must not look like a tag either.
        if "*?[]{}\\".contains(letter) || (at == 0 && name.starts_with("tag:")) {
            text.extend(['[', letter, ']']);
        } else {
            text.push(letter);
        }
    }
    text
}

/// A key of TOML.
fn key(name: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A string of TOML on one line, in which nothing is hidden: what cannot be seen is escaped, which the writer of the crate does only where
/// TOML wants it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        let _ = match letter {
            '"' | '\\' => write!(quoted, "\\{letter}"),
            _ if is_invisible(letter) => write!(quoted, "\\U{:08X}", u32::from(letter)),
            _ => write!(quoted, "{letter}"),
        };
    }
    quoted.push('"');
    quoted
}
