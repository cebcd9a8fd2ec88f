//! The command line: one short file per subcommand, and the only place that prints.
//!
//! Data goes to standard output, everything about the work (progress, warnings, problems) to standard error.

mod account;
mod check;
mod demo;
mod explain;
mod health;
mod init;
mod interrupt;
#[cfg(feature = "aws")]
mod overrides;
#[cfg(feature = "aws")]
mod plan;
mod reading;
mod record;
#[cfg(feature = "aws")]
mod release;
mod remote;
#[cfg(feature = "aws")]
mod run;
mod sandbox;
mod schema;
mod shipping;
mod simulate;
mod status;
#[cfg(feature = "aws")]
mod telemetry;
mod trace;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::units::Time;

/// Makes AWS Batch start jobs in seconds instead of minutes, at about the same bill.
#[derive(Debug, Parser)]
#[command(name = "autotune", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    #[cfg(feature = "aws")]
    Run(Box<run::Arguments>),
    #[cfg(feature = "aws")]
    Plan(Box<plan::Arguments>),
    Check(Box<check::Arguments>),
    Status(Box<status::Arguments>),
    Explain(Box<explain::Arguments>),
    Health(health::Arguments),
    #[cfg(feature = "aws")]
    Override(Box<overrides::Arguments>),
    #[cfg(feature = "aws")]
    Release(Box<release::Arguments>),
    Record(Box<record::Arguments>),
    Init(init::Arguments),
    Validate(validate::Arguments),
    Schema(schema::Arguments),
    Sandbox(Box<sandbox::Arguments>),
    Simulate(simulate::Arguments),
    /// Look at recordings of jobs, convert them, or make some up.
    Trace(trace::Arguments),
    Completions(shipping::Completions),
    Man(shipping::Manual),
}

/// How a command ended. Scripts rely on these numbers. Beside them, 130 and 143: ended by SIGINT (Ctrl-C) or SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: done.
    Done,
    /// 1: done, with findings: an assertion failed, a check found something.
    Findings,
    /// 2: bad arguments, policy, scenario or trace. Nothing was written.
    BadInput,
    /// 2, of `plan`: something would be changed.
    Changes,
    /// 3: the outside world failed: a file could not be read or written, a service did not answer.
    Failure,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::Findings => 1,
            ExitStatus::BadInput | ExitStatus::Changes => 2,
            ExitStatus::Failure => 3,
        })
    }
}

/// What a command returns when it cannot do its work: the status to exit with and the message for standard error.
#[derive(Debug)]
pub struct Failed {
    /// What to exit with.
    pub status: ExitStatus,
    /// What to say, without the leading `error:`.
    pub message: String,
}

/// Runs the command line of the process and says how it ended.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result: Result<ExitStatus, Failed> = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        #[cfg(feature = "aws")]
        Command::Run(arguments) => run::run(&arguments),
        #[cfg(feature = "aws")]
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        #[cfg(feature = "aws")]
        Command::Override(arguments) => overrides::run(&arguments),
        #[cfg(feature = "aws")]
        Command::Release(arguments) => release::run(&arguments),
        Command::Record(arguments) => record::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Sandbox(arguments) => sandbox::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Completions(arguments) => Ok(shipping::completions(&arguments)),
        Command::Man(arguments) => shipping::manual(&arguments),
    };
    match result {
        Ok(status) => status.into(),
        Err(failed) => {
            complain(&failed.message);
            failed.status.into()
        }
    }
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON document, for machines.
    Json,
}

/// A time, as an argument.
fn time(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "expected a time such as 2026-03-28T09:00:00Z".to_owned())
}

/// Prints one JSON document.
fn print_json(document: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(document).map_err(|error| account::failure(error.to_string()))?;
    print(&(text + "\n"));
    Ok(())
}

/// Prints data on standard output. A closed pipe (`| head`) is not an error.
pub(crate) fn print(text: &str) {
    let _ = try_print(text);
}

/// Prints on standard output, for whoever goes on only while somebody reads.
fn try_print(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Prints a remark about the work on standard error.
pub(crate) fn remark(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn complain(message: &str) {
    remark(&format!("error: {message}"));
}
