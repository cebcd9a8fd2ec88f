//! `autotune override`: what a person orders for a while, kept as a tag in the account, so that it works from any laptop.

use std::sync::Arc;

use clap::Subcommand;

use super::account::{self, Account};
use super::{ExitStatus, Failed, print};
use crate::daemon::cloud::{Cloud, Tagged};
use crate::explain::printable;
use crate::input::values::{Cpus, Duration};
use crate::overrides::{LONGEST, Order, Ordered, Override, TAG};
use crate::units::Time;

/// Order something for a while, against or beside the policy.
///
/// Needs no daemon beside it and no permission but batch:TagResource (to clear, batch:UntagResource): the order is a tag on the
/// environment or queue. Every daemon that steers it sees it within half a minute; it survives restarts, always ends by itself, and
/// a newer one replaces it. An environment's own override goes before those of its queues.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune override pause --queue nightly --for 2h
  autotune override boost --environment spot --vcpus 256 --for 90m
  autotune override clear --environment spot")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Ask for nothing and give nothing back: what stands is kept.
    Pause(Timed),
    /// Hold at least so many vCPUs, used and idle together, as far as limits allow.
    Boost {
        /// How many.
        #[arg(long, value_name = "N", value_parser = account::value::<Cpus>)]
        vcpus: Cpus,
        #[command(flatten)]
        timed: Timed,
    },
    /// Ask for nothing, and give back what was raised.
    Drain(Timed),
    /// Take the override back.
    Clear(Whom),
}

#[derive(Debug, clap::Args)]
struct Timed {
    /// For how long, for example 2h.
    #[arg(long = "for", value_name = "DURATION", value_parser = account::value::<Duration>)]
    length: Duration,
    /// Who orders it, for those who ask later.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "")]
    by: String,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, clap::Args)]
struct Whom {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    account: Account,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// The job queue.
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// The compute environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

impl Subject {
    fn tagged(&self) -> Tagged {
        match (&self.environment, &self.queue) {
            (Some(name), _) => Tagged::Environment(name.clone()),
            (None, name) => Tagged::Queue(name.clone().unwrap_or_default()),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let (order, whom) = match &arguments.what {
        What::Pause(timed) => (Some((Order::Pause, timed)), &timed.whom),
        What::Boost { vcpus, timed } => (Some((Order::Boost(vcpus.0), timed)), &timed.whom),
        What::Drain(timed) => (Some((Order::Drain, timed)), &timed.whom),
        What::Clear(whom) => (None, whom),
    };
    if let Some((_, timed)) = &order {
        not_too_long(timed)?;
    }
    let settings = whom.account.settings()?;
    let subject = whom.subject.tagged();
    let value = account::block_on(async {
        let clock = account::clock(&settings).await?;
        let cloud = account::reach(&settings, clock).await?;
        let value = order.map(|(order, timed)| tag(order, timed, clock.now()));
        write(&cloud, &subject, value.as_deref()).await?;
        Ok(value)
    })??;
    let (Tagged::Environment(name) | Tagged::Queue(name)) = &subject;
    let done = value.unwrap_or_else(|| "no override any more".to_owned());
    print(&format!("{}: {done}\n", printable(name)));
    Ok(ExitStatus::Done)
}

async fn write<C: Cloud>(cloud: &Arc<C>, subject: &Tagged, value: Option<&str>) -> Result<(), Failed> {
    cloud.tag(subject, TAG, value).await.map_err(account::unread)
}

fn not_too_long(timed: &Timed) -> Result<(), Failed> {
    if timed.length.0 > LONGEST {
        return Err(Failed {
            status: ExitStatus::BadInput,
            message: format!(
                "--for: found {}, expected at most {LONGEST}\nhint: for longer, change the policy",
                timed.length.0
            ),
        });
    }
    Ok(())
}

/// The value of the tag.
fn tag(order: Order, timed: &Timed, since: Time) -> String {
    let ordered = Ordered {
        order: Override {
            order,
            since,
            until: since + timed.length.0,
        },
        by: timed.by.clone(),
    };
    ordered.format()
}
