//! `autotune demo`: the control loop over a simulated account, beside a twin that AWS Batch runs alone.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{ExitStatus, Failed, account, interrupt, print, sandbox, try_print};
#[cfg(feature = "aws")]
use crate::aws::{Aws, AwsSettings, GuardSettings};
use crate::demo::{self, Demo, Options};
use crate::files::Partial;
use crate::input::values::Duration;
use crate::sandbox::Account;
use crate::twin::figures::Look;
use crate::units::{Span, Time};

/// How often a terminal is drawn, and how often a line is written elsewhere.
const DRAWN: Span = Span::from_millis(500);
const LINE: Span = Span::from_seconds(10);
/// The longest demo.
const LONGEST: Span = Span::from_minutes(60);
/// Columns and lines of what says nothing of its own.
const SIZE: (u16, u16) = (80, 24);

/// Watch autotune at work: a simulated account that it steers, beside a twin that AWS Batch runs alone.
///
/// The real control loop in this process; no AWS account, nothing is billed, nothing is left behind. Both accounts have the same
/// jobs, the same luck and the same start: bursts that SQS announces, graphs, small jobs, a quiet stretch, a Spot drought. All
/// figures are simulated.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How long, up to 1h.
    #[arg(long = "for", default_value = "2m", value_name = "SPAN", value_parser = lasts)]
    lasts: Span,
    /// Simulated seconds in one second.
    #[arg(long, default_value_t = 120, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=600))]
    speed: u32,
    /// Where the page, metrics, health and the JSON API of the daemon are served; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT", value_parser = sandbox::loopback)]
    listen: SocketAddr,
    /// Decides everything that is left to chance, in both accounts alike.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// At the end, also write what both accounts came to as a picture.
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// Put the AWS SDK and the protocols of AWS between the daemon and its account, as `autotune sandbox` speaks them.
    #[cfg(feature = "aws")]
    #[arg(long)]
    wire: bool,
}

fn lasts(text: &str) -> Result<Span, String> {
    let Duration(span) = account::value(text)?;
    if span > Span::ZERO && span <= LONGEST {
        return Ok(span);
    }
    Err(format!("expected more than nothing and at most {LONGEST}"))
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    account::block_on_beside(play(arguments))??;
    Ok(ExitStatus::Done)
}

async fn play(arguments: &Arguments) -> Result<(), Failed> {
    let failed = |error: anyhow::Error| account::failure(format!("{error:#}"));
    let listener = TcpListener::bind(arguments.listen).await;
    let listener =
        listener.map_err(|error| account::failure(format!("failed to listen on {}: {error}", arguments.listen)))?;
    // Begun first: nobody should watch for minutes, and then hear that it cannot be written.
    let begun = |path| {
        Partial::create(path)
            .map(|file| (path, file))
            .map_err(|error| unwritten(path, &error))
    };
    let picture = arguments.picture.as_deref().map(begun).transpose()?;
    let stop = CancellationToken::new();
    interrupt::cancels(stop.clone());
    let options = Options {
        speed: arguments.speed,
        seed: arguments.seed,
        lasts: arguments.lasts,
    };
    #[cfg(feature = "aws")]
    let demo = if arguments.wire {
        Demo::begin(options, listener, wire).await
    } else {
        Demo::begin(options, listener, in_process).await
    };
    #[cfg(not(feature = "aws"))]
    let demo = Demo::begin(options, listener, in_process).await;
    let demo = demo.map_err(failed)?;
    print(&banner(arguments, &demo));
    let mut screen = Screen::of(&demo);
    let every = if screen.drawn { DRAWN } else { LINE };
    let show = |look: &Look| {
        // Nobody reads any more.
        if screen.show(look).is_err() {
            stop.cancel();
        }
    };
    let last = demo.play(every, &stop, show).await.map_err(failed)?;
    screen.finish(&last);
    let model = demo.model().to_owned();
    let released = demo.end().await.map_err(failed)?;
    print(&demo::summary(&last, &model));
    if let Some((path, mut file)) = picture {
        let text = demo::picture(&last, &model);
        let written = file.write_all(text.as_bytes()).and_then(|()| file.finish());
        written.map_err(|error| unwritten(path, &error))?;
    }
    print(if released {
        "autotune has stopped; every minvCpus is back at its base. Nothing is kept.\n"
    } else {
        "autotune has stopped; a raised minvCpus was left to its guard. Nothing is kept.\n"
    });
    Ok(())
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failed {
    account::failure(format!("failed to write {}: {error}", path.display()))
}

async fn in_process(account: Account) -> anyhow::Result<Account> {
    Ok(account)
}

/// A client of the account, which is served on a port of the loopback for as long as this process lives.
#[cfg(feature = "aws")]
async fn wire(account: Account) -> anyhow::Result<Aws> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let clock = account.clock();
    let token = crate::sandbox::new_token().map_err(anyhow::Error::msg)?;
    tokio::spawn(async move { crate::sandbox::serve(listener, account, &token, CancellationToken::new()).await });
    let settings = AwsSettings {
        region: Some(demo::REGION.to_owned()),
        simulated_keys: Some((crate::sandbox::ACCESS_KEY_ID, crate::sandbox::SECRET_ACCESS_KEY)),
        events_queue_url: Some(format!("{url}/{}/{}", demo::ACCOUNT, crate::sandbox::EVENTS_QUEUE)),
        guard: Some(GuardSettings {
            group: crate::sandbox::GUARD_GROUP.to_owned(),
            role_arn: format!("arn:aws:iam::{}:role/autotune-guard", demo::ACCOUNT),
        }),
        endpoint_url: Some(url),
        ..AwsSettings::default()
    };
    let aws = Aws::connect(&settings)
        .await
        .map_err(|unread| anyhow::anyhow!(unread.message))?;
    Ok(aws.with_clock(clock))
}

fn banner(arguments: &Arguments, demo: &Demo) -> String {
    let url = format!("http://{}", demo.address());
    // As it was called, so that the commands work where this one did.
    let program = std::env::args().next().unwrap_or_else(|| "autotune".to_owned());
    let began = Time::from_seconds(demo.began().millis().div_euclid(1_000));
    format!(
        "SIMULATION: nothing here is AWS, nothing is billed, jobs only pretend to run.\n\
         Two accounts with the same jobs and the same luck: autotune steers one, AWS\n\
         Batch is alone in the other. Scenario `{}`, policy `{}` (both in\n\
         policies/), seed {}; model `{}` of AWS Batch, assumed until calibrated.\n\
         {} simulated seconds in one, from {began}.\n\
         It ends after {}, or with Ctrl-C. Meanwhile, in a browser:\n\
         \n  {url}/\n\
         \nor in another terminal:\n\
         \n  {program} status --url {url}\n  {program} explain --url {url} --last 20\n  curl {url}/metrics\n\n",
        demo::SCENARIO,
        demo::POLICY,
        arguments.seed,
        demo.model(),
        arguments.speed,
        arguments.lasts
    )
}

/// Where it is shown: drawn anew in place on a terminal, a line each time elsewhere.
struct Screen {
    model: String,
    drawn: bool,
    /// Lines that stand below the banner.
    lines: usize,
}

impl Screen {
    fn of(demo: &Demo) -> Self {
        Self {
            model: demo.model().to_owned(),
            drawn: std::io::stdout().is_terminal(),
            lines: 0,
        }
    }

    fn show(&mut self, look: &Look) -> std::io::Result<()> {
        if !self.drawn {
            return try_print(&demo::line(look));
        }
        // The size of the terminal, which people change meanwhile.
        let size = terminal_size::terminal_size().map(|(width, height)| (width.0, height.0));
        let (width, height) = size.unwrap_or(SIZE);
        let text = demo::screen(look, &self.model, usize::from(width));
        // What scrolls away cannot be drawn anew: the first lines stay.
        let most = usize::from(height).saturating_sub(1).max(1);
        let lines: Vec<&str> = text.lines().take(most).collect();
        // Up to where the last one began, and everything below is cleared.
        let back = if self.lines > 0 {
            format!("\u{1b}[{}A\r\u{1b}[J", self.lines)
        } else {
            String::new()
        };
        self.lines = lines.len();
        try_print(&format!("{back}{}\n", lines.join("\n")))
    }

    /// The last look stays on the terminal, above the summary.
    fn finish(&mut self, look: &Look) {
        if self.drawn && self.show(look).is_ok() {
            print("\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_more_than_nothing_and_an_hour_at_most() {
        for (text, accepted) in [
            ("2m", true),
            ("1h", true),
            ("90s", true),
            ("0s", false),
            ("2h", false),
            ("-1m", false),
            ("x", false),
        ] {
            assert_eq!(lasts(text).is_ok(), accepted, "{text}");
        }
    }
}
