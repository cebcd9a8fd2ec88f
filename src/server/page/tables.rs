//! Queues, SQS sources, environments and quotas: a row each, and below it what is said of it. On a narrow screen a row becomes a
//! block whose figures carry their headings; roles are written out so that it stays a table for a screen reader.

use maud::{Markup, html};

use super::answers::name;
use super::words::{UNKNOWN, count, figure, key, plain, short, span, span_or, time, vcpus};
use super::{Page, bar};
use crate::daemon::snapshot::{EnvironmentStatus, QueueStatus, QuotaStatus, SqsStatus, Told, Waited};
use crate::units::{Span, Vcpus};

/// Reasons of this rank or less are trouble or limits.
const TROUBLE: u8 = 2;

/// A figure under its heading.
fn cell(heading: &str, content: &str) -> Markup {
    let class = if content == UNKNOWN { "number unknown" } else { "number" };
    html! { td role="cell" class=(class) data-heading=(heading) { (content) } }
}

fn heading(text: &str, group: bool) -> Markup {
    html! { th role="columnheader" scope="col" .group[group] { (text) } }
}

fn group(text: &str, columns: u8) -> Markup {
    html! { th.group role="columnheader" scope="colgroup" colspan=(columns) { (text) } }
}

/// What is said of something, trouble first. What a person ordered is told apart.
fn reasons(told: &[Told]) -> Vec<Markup> {
    let mut sorted: Vec<&Told> = told.iter().filter(|told| told.code != "ordered").collect();
    sorted.sort_by_key(|told| told.rank);
    let line = |told: &Told| html! { li.trouble[told.rank <= TROUBLE] { (plain(&told.sentence)) } };
    sorted.into_iter().map(line).collect()
}

fn notes(columns: u8, lines: &[Markup]) -> Markup {
    html! {
        @if !lines.is_empty() {
            tr.notes role="row" { td role="cell" colspan=(columns) { ul { @for line in lines { (line) } } } }
        }
    }
}

/// How long ago something was read, and whether that is too long ago.
fn read(page: &Page<'_>, age: Option<Span>) -> Markup {
    let text = span_or(age.map(|age| age + page.silence()), "never");
    html! { td.number.stale[!page.is_fresh(age)] role="cell" data-heading="read" { (text) @if age.is_some() { " ago" } } }
}

/// All queues, those with waiting jobs first.
pub(super) fn queues(page: &Page<'_>) -> Markup {
    let mut queues: Vec<&QueueStatus> = page.snapshot.queues.iter().collect();
    queues.sort_by_key(|queue| std::cmp::Reverse((queue.waiting_jobs() > 0 || queue.age.is_none(), queue.oldest)));
    html! {
        section aria-labelledby="queues" {
            h2 #queues { "Job queues" }
            @if queues.is_empty() { p.dim { "None is known yet." } }
            @else {
                table role="table" aria-labelledby="queues" {
                    thead role="rowgroup" {
                        tr role="row" {
                            th role="columnheader" scope="col" rowspan="2" { "queue" }
                            (group("jobs", 3)) (group("vCPUs needed, by source", 4)) (group("waited, last 10 min", 2))
                            (group("waited, today", 4)) th.group role="columnheader" scope="col" rowspan="2" { "read" }
                        }
                        tr role="row" {
                            (heading("waiting", true)) (heading("oldest", false)) (heading("running", false))
                            (heading("RUNNABLE", true)) (heading("SQS", false)) (heading("to come", false)) (heading("denied", false))
                            (heading("half", true)) (heading("95 %", false))
                            (heading("jobs", true)) (heading("half", false)) (heading("95 %", false)) (heading("longest", false))
                        }
                    }
                    @for queue in queues { (queue_rows(page, queue)) }
                }
                p.dim {
                    "Waits are from RUNNABLE to STARTING, where no event tells to RUNNING; today's are rounded up a little"
                    @if let Some(since) = page.snapshot.waits_since { ", since " (time(since, page.now)) " UTC" }
                    "."
                }
            }
        }
    }
}

fn queue_rows(page: &Page<'_>, queue: &QueueStatus) -> Markup {
    let known = queue.age.is_some();
    let mut lines = Vec::new();
    if let Some((why, since)) = &queue.blocked {
        lines.push(html! { li.trouble {
            "its head has been blocked for " (span(page.now.since(*since))) ", since " (time(*since, page.now)) " UTC: " (plain(why))
        } });
    }
    lines.extend(reasons(&queue.reasons));
    html! {
        tbody role="rowgroup" .waits[queue.waiting_jobs() > 0] {
            tr role="row" {
                th role="rowheader" scope="row" {
                    (name(&queue.name))
                    @if queue.overridden.is_some() { " " span.chip { "override" } }
                }
                @if known { (queue_cells(page, queue)) }
                @else { td.unknown role="cell" colspan="13" { (UNKNOWN) ": its jobs were never read" } }
                (read(page, queue.age))
            }
            (notes(15, &lines))
        }
    }
}

/// The figures of a queue that was read.
fn queue_cells(page: &Page<'_>, queue: &QueueStatus) -> Markup {
    let least = if queue.at_least { "≥ " } else { "" };
    let oldest = match queue.oldest {
        Some(oldest) => span(oldest + page.silence()),
        None if queue.waiting_jobs() == 0 => "–".to_owned(),
        None => UNKNOWN.to_owned(),
    };
    html! {
        (cell("waiting", &format!("{least}{}", count(queue.waiting_jobs()))))
        (cell("oldest", &oldest))
        (cell("running", &count(queue.placed_jobs)))
        (demand(page, queue))
        (waited(&queue.lately, false))
        (waited(&queue.today, true))
    }
}

/// What a queue needs, by source. Messages that were never read are not none.
fn demand(page: &Page<'_>, queue: &QueueStatus) -> Markup {
    let mut sources = page.snapshot.sqs.iter().filter(|source| source.queue == queue.name);
    let has_sources = sources.clone().next().is_some();
    let unread = sources.any(|source| source.age.is_none());
    let of = |vcpus: Option<Vcpus>| vcpus.map_or_else(|| UNKNOWN.to_owned(), |vcpus| count(vcpus.get()));
    let messages = match queue.demand {
        Some(_) if !has_sources => "–".to_owned(),
        demand => of(demand.filter(|_| !unread).map(|demand| demand.messages_vcpus)),
    };
    html! {
        (cell("RUNNABLE, vCPUs", &of(queue.demand.map(|demand| demand.runnable_vcpus))))
        (cell("SQS, vCPUs", &messages))
        (cell("to come, vCPUs", &of(queue.demand.map(|demand| demand.arriving_vcpus))))
        (cell("denied, vCPUs", &of(queue.demand.map(|demand| demand.denied_vcpus))))
    }
}

/// No job that started is no wait of zero.
fn waited(waited: &Waited, today: bool) -> Markup {
    let span = |wait: Option<Span>| span_or(wait, "–");
    html! {
        @if today {
            (cell("jobs today", &count(waited.jobs)))
            (cell("half today", &span(waited.half)))
            (cell("95 % today", &span(waited.most)))
            (cell("longest today", &span(waited.longest)))
        } @else {
            (cell("half, 10 min", &span(waited.half)))
            (cell("95 %, 10 min", &span(waited.most)))
        }
    }
}

/// SQS sources, if there are any.
pub(super) fn sources(page: &Page<'_>) -> Markup {
    html! {
        @if !page.snapshot.sqs.is_empty() {
            section aria-labelledby="sources" {
                h2 #sources { "SQS sources" }
                table role="table" aria-labelledby="sources" {
                    thead role="rowgroup" {
                        tr role="row" {
                            (heading("source", false)) (heading("feeds", false)) (heading("visible", false)) (heading("in flight", false))
                            (heading("delayed", false)) (heading("oldest", false)) (heading("read", false))
                        }
                    }
                    @for source in &page.snapshot.sqs { (source_rows(page, source)) }
                }
            }
        }
    }
}

fn source_rows(page: &Page<'_>, source: &SqsStatus) -> Markup {
    let seen = |messages: i64| source.age.map_or_else(|| UNKNOWN.to_owned(), |_| count(messages));
    let none = source.age.is_some() && source.visible == 0;
    html! {
        tbody role="rowgroup" {
            tr role="row" {
                th role="rowheader" scope="row" { (name(&source.name)) }
                td.number role="cell" data-heading="feeds" { (name(&source.queue)) }
                (cell("visible", &seen(source.visible))) (cell("in flight", &seen(source.in_flight))) (cell("delayed", &seen(source.delayed)))
                (cell("oldest", &span_or(source.oldest.map(|oldest| oldest + page.silence()), if none { "–" } else { UNKNOWN })))
                (read(page, source.age))
            }
            (notes(7, &reasons(&source.reasons)))
        }
    }
}

/// All environments, steered ones first.
pub(super) fn environments(page: &Page<'_>) -> Markup {
    let mut environments: Vec<&EnvironmentStatus> = page.snapshot.environments.iter().collect();
    environments.sort_by_key(|environment| !environment.steered);
    html! {
        section aria-labelledby="environments" {
            h2 #environments { "Compute environments" }
            @if environments.is_empty() { p.dim { "None is known yet." } }
            @else {
                table.environments role="table" aria-labelledby="environments" {
                    thead role="rowgroup" {
                        tr role="row" {
                            (heading("environment", false)) (heading("vCPUs, up to what it can reach", false))
                            (heading("busy", false)) (heading("there", false)) (heading("desired", false)) (heading("min", false))
                            (heading("base", false)) (heading("max", false)) (heading("$ an hour", false)) (heading("read", false))
                        }
                    }
                    @for environment in environments { (environment_rows(page, environment)) }
                }
                p.dim {
                    (key("busy", "busy")) (key("there", "there")) (key("desired", "desired, not there yet"))
                    (key("min", "min")) (key("end", "ends here: maxvCpus or quota"))
                }
            }
        }
    }
}

fn environment_rows(page: &Page<'_>, environment: &EnvironmentStatus) -> Markup {
    let ceiling = bar::ceiling(environment, &page.snapshot.quotas);
    let levels = |vcpus| figure(environment.age, vcpus);
    let real = |vcpus| figure(environment.instances_age, vcpus);
    let price = environment.per_hour.filter(|_| environment.instances_age.is_some());
    html! {
        tbody role="rowgroup" .watched[!environment.steered] {
            tr role="row" {
                th role="rowheader" scope="row" { (name(&environment.name)) " " (chips(environment)) }
                td.drawn role="cell" {
                    (bar::environment(environment, &ceiling))
                    (reach(&ceiling))
                }
                (cell("busy", &real(environment.used_vcpus))) (cell("there", &real(environment.there_vcpus)))
                (cell("desired", &levels(environment.desired_vcpus))) (cell("min", &levels(environment.min_vcpus)))
                (cell("base", &count(environment.base_vcpus.get()))) (cell("max", &levels(environment.max_vcpus)))
                (cell("$ an hour", &price.map_or_else(|| UNKNOWN.to_owned(), |price| price.to_string())))
                (read(page, environment.age.and_then(|age| Some(age.max(environment.instances_age?))).or(environment.age)))
            }
            (notes(10, &environment_notes(page, environment)))
        }
    }
}

fn chips(environment: &EnvironmentStatus) -> Markup {
    let spot = if environment.purchase == "spot" {
        "Spot"
    } else {
        "On-Demand"
    };
    html! {
        span.chip { (spot) }
        @if !environment.steered { " " span.chip { "only watched" } }
        @else if environment.age.is_some() && !environment.usable { " " span.chip.bad { "not VALID and ENABLED" } }
        @if environment.updating { " " span.chip { "UPDATING" } }
        @if environment.overridden.is_some() { " " span.chip { "override" } }
    }
}

/// How far it can go, in words below the bar.
fn reach(ceiling: &bar::Ceiling) -> Markup {
    html! {
        span.reach {
            @match ceiling.vcpus {
                Some(end) => { "up to " (count(end.get())) ", by " (short(&ceiling.by)) }
                None => { "how far it can go is " (UNKNOWN) }
            }
            @for code in &ceiling.unknown { "; quota " (short(code)) " is " (UNKNOWN) }
        }
    }
}

/// Lease and guard, back-off, the last change, then the reasons.
fn environment_notes(page: &Page<'_>, environment: &EnvironmentStatus) -> Vec<Markup> {
    let mut lines = reasons(&environment.reasons);
    if let Some(until) = environment.backs_off_until {
        lines.push(html! { li.trouble { "backs off: no update is sent before " (time(until, page.now)) " UTC, in " (span(until.since(page.now))) } });
    }
    if let Some(until) = environment.dry_until {
        lines.push(html! { li.trouble { "remembered to have no capacity until " (time(until, page.now)) " UTC, for another " (span(until.since(page.now))) } });
    }
    match environment.lease_expires {
        Some(expires) => lines.push(html! { li.trouble[!environment.guarded] {
            "lease on what is raised: ends in " (span(expires.since(page.now))) " unless renewed; "
            @if environment.guarded { "a guard in the account puts base back if autotune is gone" }
            @else { "no guard: nothing puts base back if autotune is gone" }
        } }),
        None if environment.steered && environment.age.is_some() => {
            lines.push(html! { li { "nothing is raised above base: no lease runs" } });
        }
        None => {}
    }
    match page.history.last.get(&environment.name) {
        Some(last) => lines.push(html! { li {
            "last change " (span(page.now.since(last.intent.at))) " ago, at " (time(last.intent.at, page.now)) " UTC: "
            (plain(&last.intent.sentence)) " [" (plain(&last.ending())) "]"
        } }),
        None if environment.steered && page.history.decisions.is_ok() => {
            lines.push(html! { li { "no change is known" } });
        }
        None => {}
    }
    lines
}

/// The ledger of service quotas.
pub(super) fn quotas(page: &Page<'_>) -> Markup {
    html! {
        @if !page.snapshot.quotas.is_empty() {
            section aria-labelledby="quotas" {
                h2 #quotas { "Service quotas" }
                ul.plain { @for quota in &page.snapshot.quotas { (quota_line(quota)) } }
                @if page.snapshot.quotas.iter().any(|quota| quota.limit_vcpus.is_some()) {
                    p.dim { (key("others", "others")) (key("busy", "ours")) (key("there", "on its way")) (key("kept", "reserved")) }
                }
            }
        }
    }
}

fn quota_line(quota: &QuotaStatus) -> Markup {
    let used_up = quota.left_vcpus.is_some_and(Vcpus::is_zero);
    html! {
        li.quota {
            div.split {
                span { (name(&quota.code)) " " @if used_up { span.chip.bad { "used up" } } }
                strong { @match quota.left_vcpus {
                    Some(left) => { (vcpus(left)) " left" }
                    None => { "what is left is " (UNKNOWN) }
                } }
            }
            @if let Some(drawn) = bar::quota(quota) { (drawn) }
            p.dim {
                (plain(&quota.sentence))
                @if quota.link.starts_with("https://") { " · " a href=(quota.link) rel="noreferrer" { "ask for more of " (short(&quota.code)) } }
            }
        }
    }
}
