//! The first screen: are jobs waiting, how long, since when, why; what is done about it; what it costs, and what it saved.

use maud::{Markup, html};

use super::words::{UNKNOWN, count, counted, key, plain, short, span, span_or, time, vcpus};
use super::{Page, bar};
use crate::catalog::PRICES_OF;
use crate::daemon::bill::Bill;
use crate::daemon::snapshot::{EnvironmentStatus, QueueStatus, Told};
use crate::daemon::twin::{Saved, Source, Twin};
use crate::explain;
use crate::planner::plan::NotDemandKind;
use crate::units::{MicroUsd, Span, Vcpus, i64_to_f64, to_i64};

/// Reasons up to this rank are trouble or limits; those up to the next tell what is done; the next one waits for a moment.
const TROUBLE: u8 = 2;
const DOING: u8 = 4;
const MOMENT: u8 = 5;
/// At most so many sentences in an answer. All are told below.
const SENTENCES: usize = 3;

/// How the account stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known.
    Unknown,
    /// Jobs wait.
    Waiting,
    /// Of all that is known, nothing waits; something is not known.
    Perhaps,
    /// Nothing waits.
    Quiet,
}

impl Standing {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Unknown | Self::Perhaps => "unknown",
            Self::Waiting => "waiting",
            Self::Quiet => "quiet",
        }
    }
}

/// What is known of waiting jobs.
pub(super) struct Waiting<'a> {
    pub(super) standing: Standing,
    /// Queues with waiting jobs, the one that waits longest first.
    queues: Vec<&'a QueueStatus>,
    /// Queues that were never read, or too long ago.
    unread: Vec<&'a QueueStatus>,
    jobs: i64,
    /// Those of them that can never start.
    stuck: i64,
    at_least: bool,
}

impl<'a> Waiting<'a> {
    pub(super) fn of(page: &Page<'a>) -> Self {
        let (read, unread): (Vec<_>, Vec<_>) = page.snapshot.queues.iter().partition(|queue| page.is_fresh(queue.age));
        let some_read = !read.is_empty();
        let mut queues: Vec<_> = read.into_iter().filter(|queue| queue.waiting_jobs() > 0).collect();
        queues.sort_by_key(|queue| std::cmp::Reverse(queue.oldest));
        let standing = if !queues.is_empty() {
            Standing::Waiting
        } else if !some_read {
            Standing::Unknown
        } else if unread.is_empty() {
            Standing::Quiet
        } else {
            Standing::Perhaps
        };
        let sum = |jobs: fn(&QueueStatus) -> i64| queues.iter().map(|queue| jobs(queue)).fold(0, i64::saturating_add);
        // Of a queue that only says that its head is blocked, the others are not counted.
        let least = |queue: &&QueueStatus| queue.at_least || queue.runnable_jobs == 0 && queue.no_demand.is_none();
        Self {
            standing,
            jobs: sum(QueueStatus::waiting_jobs),
            stuck: sum(QueueStatus::stuck_jobs),
            at_least: !unread.is_empty() || queues.iter().any(least),
            queues,
            unread,
        }
    }

    /// The answer in a few words; also the title of the window.
    pub(super) fn headline(&self) -> String {
        let least = if self.at_least { "At least " } else { "" };
        match self.standing {
            Standing::Unknown => "Not known whether jobs wait".to_owned(),
            Standing::Waiting => {
                let stuck = match self.jobs {
                    jobs if self.stuck < jobs => "",
                    1 => ", and it cannot start",
                    _ => ", none of them can start",
                };
                format!("{least}{}{stuck}", counted(self.jobs, "job waits", "jobs wait"))
            }
            Standing::Perhaps => "No job is known to wait".to_owned(),
            Standing::Quiet => "No job waits".to_owned(),
        }
    }
}

/// The whole first screen.
pub(super) fn answers(page: &Page<'_>) -> Markup {
    let waiting = Waiting::of(page);
    html! {
        section.lead.(waiting.standing.class()) aria-labelledby="waiting" {
            h1 #waiting { (waiting.headline()) }
            (since(page, &waiting))
            (why(page, &waiting))
        }
        div.answers {
            (doing(page))
            (cost(page))
            @match &page.snapshot.saved {
                Some(Saved::Known(twin)) => { (saved(page, twin)) }
                Some(Saved::Unknown { why, .. }) => { (not_known(page, why)) }
                None => {}
            }
        }
    }
}

/// How long, since when, and in which queues.
fn since(page: &Page<'_>, waiting: &Waiting<'_>) -> Markup {
    let silence = page.silence();
    html! {
        p.since {
            @if let Some(first) = waiting.queues.first() {
                @if let Some(oldest) = first.oldest {
                    "The oldest for " strong { (span(oldest + silence)) } ", since "
                    (time(page.snapshot.at - oldest, page.now)) " UTC, in " (name(&first.name))
                } @else {
                    "For how long is " (UNKNOWN) " yet, in " (name(&first.name))
                }
                @let others = to_i64(waiting.queues.len()) - 1;
                @if others > 0 { " and " (counted(others, "other queue", "other queues")) }
                ". "
            }
            @for queue in waiting.unread.iter().take(SENTENCES) {
                (name(&queue.name)) ": "
                @match queue.age {
                    Some(age) => { "last read " (span(age + silence)) " ago. " }
                    None => { "never read yet. " }
                }
            }
            @if waiting.unread.len() > SENTENCES { "And " (count(to_i64(waiting.unread.len() - SENTENCES))) " more. " }
            @if page.snapshot.queues.is_empty() { "No queue has been read yet." }
            @if waiting.standing == Standing::Quiet {
                (counted(to_i64(page.snapshot.queues.len()), "queue was", "queues were")) " read; the oldest reading is "
                (span_or(page.snapshot.queues.iter().filter_map(|queue| queue.age).max().map(|age| age + silence), UNKNOWN)) " old."
            }
        }
    }
}

/// What holds jobs up, each once: what AWS Batch says, then trouble, then what only waits for a moment.
fn held_up(page: &Page<'_>, waiting: &Waiting<'_>) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for queue in &waiting.queues {
        if let Some((why, since)) = &queue.blocked {
            let dwell = span(page.now.since(*since));
            said.push(format!(
                "{}: its head has been blocked for {dwell}: {}",
                short(&queue.name),
                plain(why)
            ));
        }
    }
    for queue in &waiting.queues {
        let apart = queue.no_demand.unwrap_or_default();
        let kinds = [
            (NotDemandKind::Misconfigured, apart.misconfigured_jobs),
            (NotDemandKind::Reserved, apart.reserved_jobs),
            (NotDemandKind::MultiNode, apart.multi_node_jobs),
        ];
        let line = |(kind, jobs)| format!("{}: {}", short(&queue.name), explain::not_demand(kind, jobs));
        said.extend(kinds.into_iter().filter(|(_, jobs)| *jobs > 0).map(line));
    }
    // Trouble before what only waits for a moment, whichever queue it is of.
    for most in [TROUBLE, MOMENT] {
        for queue in &waiting.queues {
            let environments = queue.environments.iter().filter_map(|name| page.environment(name));
            let told = queue
                .reasons
                .iter()
                .chain(environments.flat_map(|environment| &environment.reasons));
            let fits = |told: &&Told| {
                told.code != "ordered"
                    && if most == MOMENT {
                        told.rank == MOMENT
                    } else {
                        told.rank <= most
                    }
            };
            said.extend(told.filter(fits).map(|told| plain(&told.sentence)));
        }
    }
    let mut unique: Vec<String> = Vec::new();
    said.retain(|line| {
        let new = !unique.contains(line);
        unique.push(line.clone());
        new
    });
    said
}

/// Why they wait. Where nothing holds them up, that is said.
fn why(page: &Page<'_>, waiting: &Waiting<'_>) -> Markup {
    let said = held_up(page, waiting);
    let (coming, partly) = coming(&page.snapshot.environments);
    let least = if partly { "At least " } else { "" };
    let more = said.len().saturating_sub(SENTENCES);
    html! {
        @if waiting.standing == Standing::Waiting {
            ul.why {
                @for line in said.iter().take(SENTENCES) { li { (line) } }
                @if more > 0 { li { (counted(to_i64(more), "more reason", "more reasons")) " below" } }
                @if said.is_empty() && coming.is_zero() { li { "Nothing is known to hold them up." } }
                @if said.is_empty() && !coming.is_zero() { li { (least) (vcpus(coming)) " are on their way, and nothing else is known to hold them up." } }
            }
        }
    }
}

/// What is known to come, and whether that is not all: without its instances nobody knows what of an environment is there already.
fn coming(environments: &[EnvironmentStatus]) -> (Vcpus, bool) {
    let is_read = |one: &&EnvironmentStatus| one.age.is_some() && one.instances_age.is_some();
    let coming = environments.iter().filter(is_read).map(|one| one.on_its_way_vcpus);
    (coming.sum(), !environments.iter().all(|one| is_read(&one)))
}

/// What autotune is doing about it.
fn doing(page: &Page<'_>) -> Markup {
    let snapshot = page.snapshot;
    let (coming, partly) = coming(&snapshot.environments);
    let held: Vcpus = snapshot.environments.iter().map(EnvironmentStatus::held_vcpus).sum();
    let unread = snapshot
        .environments
        .iter()
        .all(|environment| environment.age.is_none());
    let orders = (snapshot
        .environments
        .iter()
        .filter(|one| one.overridden.is_some())
        .count())
        + snapshot.queues.iter().filter(|one| one.overridden.is_some()).count();
    let all = snapshot
        .environments
        .iter()
        .flat_map(|environment| &environment.reasons);
    let all = all.chain(snapshot.sqs.iter().flat_map(|source| &source.reasons));
    let doing = all.filter(|told| told.rank > TROUBLE && told.rank <= DOING);
    let doing: Vec<String> = doing.map(|told| plain(&told.sentence)).collect();
    let latest = page
        .history
        .decisions
        .as_ref()
        .ok()
        .and_then(|decisions| decisions.first());
    html! {
        section.answer aria-labelledby="doing" {
            h2 #doing { "What autotune does" }
            @if snapshot.planned_at.is_none() {
                p.figure { "Nothing yet" }
                p { "Nothing has been planned since the start." }
            } @else if unread {
                p.figure { (UNKNOWN) }
                p { "No environment was read, so nothing is changed." }
            } @else {
                p.figure { @if partly { span.unit { "at least " } } (count(coming.get())) span.unit { " vCPUs coming" } }
                p {
                    @if snapshot.dry_run { "Dry run: it would ask, and changes nothing. " }
                    @else if !snapshot.leads { "Another process leads: this one changes nothing. " }
                    @if partly { "At least " } (vcpus(held)) " held above base."
                    @if orders > 0 { " " (counted(to_i64(orders), "override", "overrides")) " in force." }
                }
            }
            @if !doing.is_empty() {
                ul { @for line in doing.iter().take(SENTENCES) { li { (line) } } }
            }
            @if let Some(latest) = latest {
                p.dim { "Last change " (span(page.now.since(latest.intent.at))) " ago: " (plain(&latest.intent.sentence)) }
            }
        }
    }
}

fn cost(page: &Page<'_>) -> Markup {
    let bill = Bill::of(page.snapshot, page.silence());
    let least = if bill.left_out() > 0 { "at least " } else { "" };
    html! {
        section.answer aria-labelledby="cost" {
            h2 #cost { "What it costs" }
            @if !bill.is_known() {
                p.figure { (UNKNOWN) }
                p {
                    @if page.snapshot.environments.is_empty() { "No environment is known yet." }
                    @else if bill.stale > 0 { "Instances were last read " (span(bill.stale_age)) " ago." }
                    @else { "No instance was read whose price is known." }
                }
            } @else {
                p.figure { span.unit { (least) } (bill.all()) span.unit { " an hour" } }
                p {
                    (bill.idle) " of it idle, of that " (bill.held) " held by autotune."
                    @if bill.unknown > 0 { " Without " (counted(to_i64(bill.unknown), "environment", "environments")) " of unknown price." }
                    @if bill.stale > 0 {
                        " Without " (counted(to_i64(bill.stale), "environment", "environments")) " last read " (span(bill.stale_age)) " ago."
                    }
                }
                p.dim {
                    "What is there now, "
                    @if let Some(read) = page.snapshot.spot_prices_of {
                        "Spot at the prices that EC2 told " (span(page.now.since(read))) " ago (the mean over zones), the rest "
                    }
                    "at list prices of " (PRICES_OF) " in us-east-1: an estimate, not a bill."
                }
            }
        }
    }
}

/// What the same jobs come to without autotune. Everything here is simulated, and says so.
fn saved(page: &Page<'_>, twin: &Twin) -> Markup {
    let figure = match (twin.tuned.mean, twin.alone.mean) {
        (Some(tuned), Some(alone)) => Some(faster(tuned, alone)),
        (None, _) | (_, None) => None,
    };
    let ratio = (twin.alone.cost > MicroUsd::ZERO).then(|| twin.tuned.cost.usd() / twin.alone.cost.usd());
    html! {
        section.answer.twin aria-labelledby="saved" {
            div {
                (saved_heading(page))
                @if let Some((times, word)) = figure {
                    p.figure { (times) "×" span.unit { " " (word) } }
                    p {
                        "Jobs wait " strong { (span_or(twin.tuned.mean, UNKNOWN)) } " with autotune, "
                        strong { (span_or(twin.alone.mean, UNKNOWN)) } " with AWS Batch alone: the mean of "
                        (counted(to_i64(twin.jobs), "job", "jobs")) " that both have started. It cost "
                        (twin.tuned.cost) " and " (twin.alone.cost)
                        @if let Some(ratio) = ratio { ", " (format!("{ratio:.2}")) " times as much" }
                        "." (price(twin))
                    }
                    (measured(twin))
                } @else {
                    p.figure { "Nothing yet" }
                    p { "No job has started in both accounts." }
                }
                p.dim {
                    @match twin.source {
                        Source::Accounts => { (hours(twin.passed)) " of " (hours(twin.lasts)) " hours" }
                        Source::Recording => { "jobs of the " (hours(twin.lasts)) " hours until " (time(twin.at, page.now)) " UTC, replayed" }
                    }
                    " · same jobs, same luck · model " (plain(&twin.model))
                    @if twin.left_out > 0 { " · without " (counted(to_i64(twin.left_out), "job that cannot be", "jobs that cannot be")) " compared" }
                }
            }
            div {
                p.dim {
                    (key("tuned", "autotune")) (key("alone", "AWS Batch alone"))
                    @if !twin.short.is_empty() { (key("short", "Spot is short")) }
                    "mean wait by when jobs became RUNNABLE; highest " (bar::top(twin))
                }
                (bar::curves(twin))
            }
        }
    }
}

fn saved_heading(page: &Page<'_>) -> Markup {
    html! {
        h2 #saved {
            @if page.snapshot.dry_run { "What it would save " } @else { "What it saved " }
            span.chip { "simulated" }
        }
    }
}

/// Why nothing is known of what was saved.
fn not_known(page: &Page<'_>, why: &str) -> Markup {
    html! {
        section.answer.twin aria-labelledby="saved" {
            div {
                (saved_heading(page))
                p.figure { (UNKNOWN) }
                p { (plain(why)) }
            }
        }
    }
}

/// Minutes that no job waited, and what each of them cost.
fn price(twin: &Twin) -> Markup {
    let minutes = twin.saved().map_or(0, Span::whole_minutes);
    let extra = twin.extra_cost();
    html! {
        @if minutes > 0 {
            " " (counted(minutes, "minute", "minutes")) " of waiting saved, "
            @match twin.per_saved_minute() {
                Some(each) if extra > MicroUsd::ZERO => { "at " (format!("${:.4}", each.usd())) " each." }
                Some(_) | None => { "for no more than before." }
            }
        } @else if minutes < 0 {
            " " (counted(-minutes, "minute", "minutes")) " of waiting more."
        }
    }
}

/// What the same jobs really waited.
fn measured(twin: &Twin) -> Markup {
    html! {
        @if let Some(measured) = twin.measured {
            p {
                "Measured, not simulated: " (counted(to_i64(measured.jobs), "of these jobs was", "of these jobs were"))
                " RUNNING " strong { (span(measured.mean)) } " after nothing but capacity was missing, in the mean."
            }
        }
    }
}

/// How much faster or slower.
fn faster(tuned: Span, alone: Span) -> (String, &'static str) {
    let [tuned, alone] = [tuned, alone].map(|span| i64_to_f64(span.millis().max(1)));
    if alone >= tuned {
        (format!("{:.1}", alone / tuned), "as fast")
    } else {
        (format!("{:.1}", tuned / alone), "as slow")
    }
}

/// Hours and minutes.
fn hours(span: Span) -> String {
    let minutes = span.millis() / 60_000;
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

/// A name from outside.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi.name { (short(text)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_said_to_be_worse() {
        let seconds = Span::from_seconds;
        assert_eq!(faster(seconds(10), seconds(200)), ("20.0".to_owned(), "as fast"));
        assert_eq!(faster(seconds(30), seconds(20)), ("1.5".to_owned(), "as slow"));
        assert_eq!(faster(Span::ZERO, seconds(1)).1, "as fast");
    }
}
