//! `autotune check`: what will go wrong in an account, before it does.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::account::failure;
#[cfg(feature = "aws")]
use super::account::{self, Account};
use super::{ExitStatus, Failed, Output, print, print_json, remark};
use crate::account::survey::{self, Survey};
use crate::check::{self, Format, Inputs, Need, Needs, Rule};
#[cfg(feature = "aws")]
use crate::daemon::cloud::{Cloud as _, Principal};
use crate::files::Partial;
use crate::input::{did_you_mean, quoted, render};
use crate::policy::{self, Policy};
use crate::report;
#[cfg(feature = "aws")]
use crate::settings::Tag;
use crate::units::to_u64;

/// Find what will go wrong in an account before it does: disks, launch templates, roles, network, queues, jobs, quotas, policy.
///
/// Findings have stable codes; `--explain AT101` says why one hurts and what to do. What could not be read is told as such: it is neither
/// a pass nor an alarm. Nothing is changed. Exit status: 1 with errors, 0 without, 2 for bad input.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look at a saved account (JSON) instead.
    #[arg(long, value_name = "FILE")]
    survey: Option<PathBuf>,
    /// Also write what was read, to look at it elsewhere. Of user data it has only the lines that rules look at.
    #[arg(long, value_name = "FILE", conflicts_with = "survey")]
    save: Option<PathBuf>,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    account: Account,
    /// Policy files, folders of them, or names of shipped policies, to compare with the account.
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// The role that the daemon runs as: what it may do, and who writes besides it, is looked at too (AT704, AT708, AT709).
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "ARN", value_parser = role_arn, conflicts_with = "survey")]
    role: Option<String>,
    /// Only rules whose codes begin so, for example AT1,AT203.
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    select: Vec<String>,
    /// No rules whose codes begin so.
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Say what a rule finds, why it hurts and what to do, and look at nothing.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["survey", "fix_template"])]
    explain: Option<String>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Print a corrected launch template instead; nothing is applied.
    #[arg(long, value_name = "NAME")]
    fix_template: Option<String>,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = TemplateFormat::Json, requires = "fix_template")]
    format: TemplateFormat,
    #[command(flatten)]
    needs: NeedArguments,
}

/// What AWS Batch has no field for.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What a job needs on disk")]
struct NeedArguments {
    /// GiB of a container image, unpacked [assumed: 2].
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u32).range(..=65_536))]
    image_gib: Option<u32>,
    /// GiB that a job writes into its container [assumed: 1].
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u32).range(..=65_536))]
    scratch_gib: Option<u32>,
    /// How long a job runs [assumed: 60].
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=525_600))]
    job_minutes: Option<u32>,
}

/// A survey of 50 environments, a thousand job definitions and all offerings of a region has a few MiB.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TemplateFormat {
    /// What changes, for `aws ec2 create-launch-template-version`.
    Json,
    /// What changes, as properties of AWS::EC2::LaunchTemplate in JSON.
    Cloudformation,
    /// What changes, as arguments of aws_launch_template.
    Terraform,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    if let Some(code) = &arguments.explain {
        print(&check::explanation(rule(code)?));
        return Ok(ExitStatus::Done);
    }
    for prefix in arguments.select.iter().chain(&arguments.ignore) {
        if prefix.is_empty() || !check::rules().any(|rule| rule.code.starts_with(prefix.as_str())) {
            return Err(no_such_rule(prefix));
        }
    }
    let policy = policy(&arguments.policies)?;
    let (survey, policy) = match &arguments.survey {
        Some(path) => (saved(path)?, policy),
        None => live(arguments, policy)?,
    };
    if let Some(path) = &arguments.save {
        save(&survey.clone().shareable(), path)?;
    }
    let inputs = Inputs {
        survey: &survey,
        policy: policy.as_ref(),
        needs: needs(&arguments.needs),
    };
    if let Some(name) = &arguments.fix_template {
        return fix(&inputs, name, arguments.format);
    }
    let mut found = check::check(&inputs);
    found.keep(&arguments.select, &arguments.ignore);
    match arguments.output {
        Output::Table => print(&report::checks(&found, comfy_table::Table::new().width())),
        Output::Json => print_json(&serde_json::json!({
            "version": 1,
            "account": survey.account,
            "region": survey.region,
            "taken_at": survey.taken_at,
            "findings": found.findings,
            "could_not_check": found.could_not_check,
        }))?,
    }
    Ok(if found.has_errors() {
        ExitStatus::Findings
    } else {
        ExitStatus::Done
    })
}

fn fix(inputs: &Inputs<'_>, name: &str, format: TemplateFormat) -> Result<ExitStatus, Failed> {
    let format = match format {
        TemplateFormat::Json => Format::Json,
        TemplateFormat::Cloudformation => Format::CloudFormation,
        TemplateFormat::Terraform => Format::Terraform,
    };
    let (text, by_hand) = check::fixed_template(inputs, name, format).map_err(|error| bad(error.to_string()))?;
    print(&text);
    for line in by_hand {
        remark(&format!("note: {}", crate::explain::printable(&line)));
    }
    Ok(ExitStatus::Done)
}

fn needs(arguments: &NeedArguments) -> Needs {
    let assumed = Needs::default();
    let stated = |given: Option<u32>, assumed: Need| given.map_or(assumed, |given| Need::stated(i64::from(given)));
    Needs {
        image_gib: stated(arguments.image_gib, assumed.image_gib),
        scratch_gib: stated(arguments.scratch_gib, assumed.scratch_gib),
        job_minutes: stated(arguments.job_minutes, assumed.job_minutes),
    }
}

fn rule(code: &str) -> Result<&'static Rule, Failed> {
    let found = check::rules().find(|rule| rule.code.eq_ignore_ascii_case(code) || rule.name == code);
    found.ok_or_else(|| no_such_rule(code))
}

fn no_such_rule(code: &str) -> Failed {
    let hint = did_you_mean(code, check::rules().map(|rule| rule.code));
    let hint = hint.map_or_else(
        || "hint: deploy/CHECKS.md lists all".to_owned(),
        |known| format!("hint: {known}"),
    );
    bad(format!(
        "found {}, expected the code of a rule, such as AT101, or its beginning\n{hint}",
        quoted(code)
    ))
}

fn policy(paths: &[PathBuf]) -> Result<Option<Policy>, Failed> {
    if paths.is_empty() {
        return Ok(None);
    }
    let loaded = policy::load_all(paths);
    loaded.map(Some).map_err(|problems| bad(render(&problems)))
}

/// A saved account.
fn saved(path: &Path) -> Result<Survey, Failed> {
    let name = path.display();
    let unreadable = |error: std::io::Error| bad(format!("{name}: {error}, expected a survey of an account (JSON)"));
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if to_u64(text.len()) > MOST_BYTES {
        return Err(bad(format!(
            "{name}: found a larger file, expected a survey of at most {} MiB",
            MOST_BYTES >> 20
        )));
    }
    let survey: Survey = serde_json::from_slice(&text).map_err(|error| {
        let place = format!("{name}:{}:{}", error.line(), error.column());
        bad(format!("{place}: found what is no survey: {error}\nhint: a survey is what `autotune check` reads of an account, as JSON"))
    })?;
    if survey.version != survey::VERSION {
        let found = survey.version;
        return Err(bad(format!(
            "{name}: found version {found}, expected a survey of version {}",
            survey::VERSION
        )));
    }
    Ok(survey)
}

/// The account that the settings name, and the policy that they name where the arguments name none.
#[cfg(feature = "aws")]
fn live(arguments: &Arguments, policy: Option<Policy>) -> Result<(Survey, Option<Policy>), Failed> {
    let settings = arguments.account.settings()?;
    let policy = match policy {
        Some(policy) => policy,
        None => account::policy(&settings)?,
    };
    let sqs: Vec<String> = policy.sqs_queues().into_iter().collect();
    let mut survey = account::block_on(async {
        let clock = account::clock(&settings).await?;
        let cloud = account::reach(&settings, clock).await?;
        let principal = arguments.role.clone().map_or(Principal::Nobody, Principal::Role);
        cloud.survey(&sqs, principal).await.map_err(account::unread)
    })??;
    let Tag { key, value } = settings.tag;
    survey.tag = Some(survey::Tag { key, value });
    Ok((survey, Some(policy)))
}

#[cfg(not(feature = "aws"))]
fn live(_: &Arguments, _: Option<Policy>) -> Result<(Survey, Option<Policy>), Failed> {
    Err(bad(
        "this program was built without AWS (feature `aws`), so it cannot read an account\nhint: --survey FILE looks at a saved one",
    ))
}

#[cfg(feature = "aws")]
fn role_arn(text: &str) -> Result<String, String> {
    let is_role = text.starts_with("arn:") && text.contains(":iam::") && text.contains(":role/");
    is_role
        .then(|| text.to_owned())
        .ok_or_else(|| "expected the ARN of a role, for example arn:aws:iam::111122223333:role/autotune".to_owned())
}

/// Writes the whole file or none.
fn save(survey: &Survey, path: &Path) -> Result<(), Failed> {
    let name = path.display();
    let failed = |error: std::io::Error| failure(format!("{name}: {error}"));
    let text = serde_json::to_string_pretty(survey).map_err(|error| failure(error.to_string()))? + "\n";
    let mut file = Partial::create(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.finish().map_err(failed)?;
    remark(&format!(
        "{name}: what was read of account {}",
        crate::explain::printable(&survey.account)
    ));
    Ok(())
}

fn bad(message: impl Into<String>) -> Failed {
    Failed {
        status: ExitStatus::BadInput,
        message: message.into(),
    }
}
