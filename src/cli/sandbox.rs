//! `autotune sandbox`: a simulated account on the loopback of this machine.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::reading::{Reading, load, say};
use super::{ExitStatus, Failed, account, interrupt, print, remark};
use crate::clock;
use crate::input::render;
use crate::input::values::{AccountId, Region};
use crate::sandbox::{self, Options};
use crate::simulate::scenario::Scenario;
use crate::simulate::view::ViewModel;
use crate::trace::Trace;
use crate::units::{Span, Time};

/// How long requests that wait, such as long polls, may still be answered at the end.
const LAST_ANSWERS: Span = Span::from_seconds(1);

/// A simulated AWS account on this machine: AWS Batch with SQS, ECS, CloudWatch, quotas and schedules, in accelerated time.
///
/// Clients of AWS work with it: autotune, the AWS CLI, boto3. Nothing is real and nothing is billed; jobs only pretend to run, for as
/// long as their variable SANDBOX_RUN_SECONDS or their command `sleep SECONDS` says. It answers on the loopback only. What is
/// printed first can be evaluated by a shell.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The account: a scenario file, or the name of one that comes with the program, such as spot-128.
    #[arg(long, value_name = "FILE|NAME")]
    scenario: PathBuf,
    /// Recordings whose jobs are submitted at their times; without, nobody submits any.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// Simulated seconds in one second; 0: time stands still until the admin API lets it pass.
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    speed: u32,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT", value_parser = loopback)]
    listen: SocketAddr,
    /// Decides everything that is left to chance.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// The region of the account.
    #[arg(long, default_value = "eu-central-1", value_parser = account::value::<Region>)]
    region: Region,
    /// The account's number, twelve digits.
    #[arg(long, default_value = "111122223333", value_name = "ID", value_parser = account::value::<AccountId>)]
    account: AccountId,
    /// Tell everything at once and without error: events are neither late nor lost, counts are exact.
    #[arg(long)]
    perfect_view: bool,
    #[command(flatten)]
    reading: Reading,
}

/// An address that only this machine reaches.
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:4566".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("expected an address of this machine alone, such as 127.0.0.1:4566: the account has no real login".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let scenario = Scenario::load(&arguments.scenario).map_err(|problems| Failed {
        status: ExitStatus::BadInput,
        message: render(&problems),
    })?;
    let trace = if arguments.trace.is_empty() {
        Trace::default()
    } else {
        let loaded = load(&arguments.trace, &arguments.reading.options())?;
        say(&loaded.report);
        loaded.trace
    };
    let options = Options {
        scenario,
        trace,
        seed: arguments.seed,
        account: arguments.account.0.clone(),
        region: arguments.region.0.clone(),
        view: if arguments.perfect_view {
            ViewModel::perfect()
        } else {
            ViewModel::recent()
        },
        idle_from: Time::from_millis(clock::now().millis().div_euclid(1_000).saturating_mul(1_000)),
    };
    account::block_on_beside(serve(arguments, options))??;
    Ok(ExitStatus::Done)
}

async fn serve(arguments: &Arguments, options: Options) -> Result<(), Failed> {
    let listener = TcpListener::bind(arguments.listen).await;
    let listener =
        listener.map_err(|error| account::failure(format!("failed to listen on {}: {error}", arguments.listen)))?;
    let address = listener
        .local_addr()
        .map_err(|error| account::failure(error.to_string()))?;
    let token = sandbox::new_token().map_err(account::failure)?;
    let stop = CancellationToken::new();
    interrupt::cancels(stop.clone());
    let account = sandbox::Account::begin(options, arguments.speed).map_err(|problems| Failed {
        status: ExitStatus::BadInput,
        message: problems.join("\n"),
    })?;
    print(&banner(arguments, address, &token, account.pace().now()));
    let late = async {
        stop.cancelled().await;
        clock::wait(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = sandbox::serve(listener, account, &token, stop.clone()) => {
            served.map_err(|error| account::failure(error.to_string()))?;
        }
        () = late => {}
    }
    remark("The simulated account has ended; nothing of it is kept.");
    Ok(())
}

/// Comments for people, and variables for a shell.
fn banner(arguments: &Arguments, address: SocketAddr, token: &str, now: Time) -> String {
    let url = format!("http://{address}");
    let (account, region) = (&arguments.account.0, &arguments.region.0);
    let scenario = arguments.scenario.display();
    let variables = [
        ("AWS_ENDPOINT_URL", url.clone()),
        ("AWS_REGION", region.clone()),
        ("AWS_DEFAULT_REGION", region.clone()),
        ("AWS_ACCESS_KEY_ID", sandbox::ACCESS_KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", sandbox::SECRET_ACCESS_KEY.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AUTOTUNE__ENDPOINT_URL", url.clone()),
        ("AUTOTUNE__CLOCK_URL", format!("{url}/_autotune/clock")),
        (
            "AUTOTUNE__EVENTS_QUEUE_URL",
            format!("{url}/{account}/{}", sandbox::EVENTS_QUEUE),
        ),
        ("AUTOTUNE__GUARD__GROUP", sandbox::GUARD_GROUP.to_owned()),
        (
            "AUTOTUNE__GUARD__ROLE_ARN",
            format!("arn:aws:iam::{account}:role/autotune-guard"),
        ),
        ("AUTOTUNE_SANDBOX_TOKEN", token.to_owned()),
    ];
    let mut text = format!(
        "# SIMULATION: nothing here is AWS, nothing is billed, jobs only pretend to run.\n\
         # Scenario {scenario}, seed {}, {} simulated seconds in one; the time is {now}.\n\
         # The credentials are dummies. Ends with Ctrl-C.\n\
         # Version 1 of the AWS CLI sends `aws sqs` to AWS all the same: add --endpoint-url $AWS_ENDPOINT_URL there.\n",
        arguments.seed, arguments.speed
    );
    for (name, value) in variables {
        let _ = writeln!(text, "export {name}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_on_this_machine_only() {
        for (text, accepted) in [
            ("127.0.0.1:0", true),
            ("[::1]:4566", true),
            ("0.0.0.0:4566", false),
            ("192.168.1.1:4566", false),
            ("[::]:0", false),
            ("localhost:1", false),
            ("4566", false),
        ] {
            assert_eq!(loopback(text).is_ok(), accepted, "{text}");
        }
    }
}
