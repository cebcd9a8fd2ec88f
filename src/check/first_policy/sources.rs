//! SQS queues: which of them feeds which job queue nobody can read, so what has a word of its name in common is suggested.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Feeds, FirstPolicy, key, names, selector};
use crate::account::survey::{JobQueue, SqsListing, name_of};
use crate::explain::printable;

/// Words that say nothing of what a queue is for.
const COMMON: [&str; 20] = [
    "aws",
    "batch",
    "default",
    "dev",
    "event",
    "events",
    "job",
    "jobs",
    "main",
    "message",
    "messages",
    "prod",
    "production",
    "queue",
    "queues",
    "sqs",
    "stage",
    "staging",
    "test",
    "work",
];
/// Shorter words are too often alike.
const LETTERS_LEAST: usize = 3;
/// The most vCPUs that messages may ask for, to begin with.
const CAP: i64 = 64;

/// Which SQS queue may feed which of these job queues.
pub(super) fn feeds<'a>(asked: &FirstPolicy<'a>, queues: &[&'a JobQueue]) -> Feeds<'a> {
    let mut feeds = Feeds::new();
    let Ok(listing) = asked.sqs.read() else { return feeds };
    for name in listing
        .names
        .iter()
        .filter(|name| why_left_out(asked, listing, name).is_none())
    {
        let alike = queues.iter().map(|queue| {
            let queue = queue.job_queue_name.as_str();
            (likeness(queue, name), std::cmp::Reverse(queue))
        });
        if let Some((1.., std::cmp::Reverse(queue))) = alike.max() {
            feeds.entry(queue).or_default().insert(name);
        }
    }
    feeds
}

/// Those that are not suggested for a job queue, and what was not read.
pub(super) fn others(asked: &FirstPolicy<'_>, feeds: &Feeds<'_>) -> Vec<String> {
    let listing = match asked.sqs.read() {
        Ok(listing) => listing,
        Err(why) => {
            let why = printable(why);
            return vec![format!("SQS queues were not read, so none is suggested: {why}")];
        }
    };
    let suggested: BTreeSet<&str> = feeds.values().flatten().copied().collect();
    let (mut told, mut left) = (Vec::new(), Vec::new());
    for name in listing.names.iter().filter(|name| !suggested.contains(name.as_str())) {
        match why_left_out(asked, listing, name) {
            Some(why) => told.push(format!("  {}: left out, {why}", printable(name))),
            None => left.push(name.as_str()),
        }
    }
    if !left.is_empty() {
        let left = names(left.into_iter());
        let other = "SQS queues whose names tell no job queue (if their messages become jobs: [queues.NAME.sqs.SQS_NAME] with \
                     hand_off = \"dispatcher\", see docs/policies.md):";
        told.insert(0, format!("  {left}"));
        told.insert(0, other.to_owned());
    } else if !told.is_empty() {
        told.insert(0, "Other SQS queues:".to_owned());
    }
    told.extend(listing.cut.iter().map(|cut| format!("SQS queues: {}", printable(cut))));
    told
}

fn why_left_out(asked: &FirstPolicy<'_>, listing: &SqsListing, name: &str) -> Option<&'static str> {
    if asked.wake_ups.map(name_of) == Some(name) {
        Some("it is for the daemon's wake-ups")
    } else if listing.dead_letter.contains(name) {
        Some("a dead-letter queue")
    } else if name.rsplit_once('.').is_some_and(|(_, end)| end == "fifo") {
        Some("FIFO: its messages become jobs one after the other")
    } else {
        None
    }
}

/// Lines to uncomment. What a message becomes is not known.
pub(super) fn suggestion(queue: &str, sqs: &str, max: i64) -> String {
    let path = format!("[queues.{}.sqs.{}]", key(&selector(queue)), key(sqs));
    let cap = max.clamp(1, CAP);
    let mut text = format!(
        "# If messages of the SQS queue {} become jobs here, uncomment and correct:\n",
        printable(sqs)
    );
    let _ = write!(
        text,
        "#   {path}\n\
         #   hand_off = \"dispatcher\"  # something submits jobs for messages; \"workers\": jobs read them themselves\n\
         #   jobs_per_message = 1.0\n\
         #   job = {{ vcpus = 1, memory = \"2 GiB\" }}\n\
         #   cap = \"{cap} vcpu\"  # the most that its messages may ask for\n"
    );
    text
}

/// How many telling words two names share; one may also be a part of the other.
fn likeness(a: &str, b: &str) -> usize {
    let (ours, theirs) = (words(a), words(b));
    let shared = ours.intersection(&theirs).count();
    let (a, b) = (plain(a), plain(b));
    let part = a.len().min(b.len()) >= LETTERS_LEAST && (a.contains(&b) || b.contains(&a));
    shared.max(usize::from(part))
}

fn words(name: &str) -> BTreeSet<String> {
    let lower = name.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_alphanumeric());
    let telling = |word: &&str| word.chars().count() >= LETTERS_LEAST && !COMMON.contains(word);
    words.filter(telling).map(str::to_owned).collect()
}

fn plain(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .collect()
}
