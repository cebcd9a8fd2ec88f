//! The page around the answers: its head and foot, what people ordered, what was decided, what `check` found.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::answers::{self, Waiting, name};
use super::words::{count, counted, plain, span, span_or, time};
use super::{Page, STYLE, tables};
use crate::control::Outcome;
use crate::daemon::checking::Checked;
use crate::journal::Decision;
use crate::overrides::{Order, Override};
use crate::units::{Span, to_i64};

/// At most so many findings are listed.
const FINDINGS: usize = 12;

/// The whole document.
pub(super) fn document(page: &Page<'_>) -> Markup {
    let snapshot = page.snapshot;
    let answer = Waiting::of(page).headline();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (answer) " · autotune " (plain(&snapshot.region)) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(page))
                main {
                    (alarms(page))
                    (answers::answers(page))
                    (tables::queues(page))
                    (tables::environments(page))
                    (orders(page))
                    (decisions(page))
                    (tables::sources(page))
                    (tables::quotas(page))
                    (findings(page))
                }
                (foot(page))
            }
        }
    }
}

fn head(page: &Page<'_>) -> Markup {
    let snapshot = page.snapshot;
    html! {
        header {
            p.brand {
                strong { "autotune" }
                @if !snapshot.account.is_empty() { " " span.dim { (plain(&snapshot.account)) " · " (plain(&snapshot.region)) } }
                @if snapshot.simulated { " " span.chip { "simulated account" } }
                @if snapshot.dry_run { " " span.chip { "dry run" } }
                @if !snapshot.dry_run && !snapshot.leads && snapshot.planned_at.is_some() { " " span.chip { "stands by" } }
            }
            nav aria-label="Refresh" {
                p {
                    "as of " (time(snapshot.at, page.now)) " UTC · "
                    @if let Some(period) = page.refresh { "anew every " (span(period)) " · " a href="?refresh=off" { "stop that" } }
                    @else { "this page stands still · " a href="?" { "refresh it by itself" } }
                }
            }
        }
    }
}

/// What makes everything below doubtful.
fn alarms(page: &Page<'_>) -> Markup {
    let snapshot = page.snapshot;
    let still = page.stands_still();
    html! {
        @if still || snapshot.reload_refused.is_some() {
            section.alarms aria-label="Trouble of autotune itself" {
                @if still {
                    p.alarm { strong { "autotune stands still. " } "Nothing was told for " (span(page.silence())) ": all below is as old as that." }
                }
                @if let Some(why) = &snapshot.reload_refused {
                    div.alarm {
                        p { strong { "What was changed is refused, " } "what was in force stays:" }
                        ul { @for line in why.lines() { li { (plain(line)) } } }
                    }
                }
            }
        }
    }
}

/// What people ordered.
fn orders(page: &Page<'_>) -> Markup {
    let environments = page.snapshot.environments.iter().map(|one| (&one.name, one.overridden));
    let queues = page.snapshot.queues.iter().map(|one| (&one.name, one.overridden));
    let all: Vec<(&String, Override)> = environments
        .chain(queues)
        .filter_map(|(name, order)| Some((name, order?)))
        .collect();
    html! {
        @if !all.is_empty() {
            section aria-labelledby="overrides" {
                h2 #overrides { "Overrides" }
                ul.plain {
                    @for (of, given) in all {
                        li {
                            strong { (ordered(given.order)) } " · " (name(of)) " · until " (time(given.until, page.now))
                            " UTC, for another " (span(given.until.since(page.now))) ", given at " (time(given.since, page.now)) " UTC"
                        }
                    }
                }
            }
        }
    }
}

fn ordered(order: Order) -> String {
    match order {
        Order::Pause => "paused".to_owned(),
        Order::Boost(vcpus) => format!("at least {} held", super::words::vcpus(vcpus)),
        Order::Drain => "drained".to_owned(),
    }
}

/// The latest decisions, as sentences.
fn decisions(page: &Page<'_>) -> Markup {
    html! {
        section aria-labelledby="decisions" {
            h2 #decisions { "Decisions" }
            @match &page.history.decisions {
                Err(why) => { p.dim { (plain(why)) } }
                Ok(decisions) if decisions.is_empty() => {
                    p.dim {
                        @if page.snapshot.dry_run { "A dry run sends nothing; what it would do is said beside each environment." }
                        @else { "Nothing was sent yet." }
                    }
                }
                Ok(decisions) => { ol.decisions { @for decision in decisions { (decision_line(page, decision)) } } }
            }
        }
    }
}

fn decision_line(page: &Page<'_>, decision: &Decision) -> Markup {
    let accepted = decision
        .ended
        .as_ref()
        .is_some_and(|ended| ended.outcome == Outcome::Accepted);
    html! {
        li {
            (time(decision.intent.at, page.now))
            span { (plain(&decision.intent.sentence)) }
            span.outcome.trouble[!accepted] { (plain(&decision.ending())) }
        }
    }
}

/// What `check` found last.
fn findings(page: &Page<'_>) -> Markup {
    html! {
        section aria-labelledby="findings" {
            h2 #findings { "Findings of check" }
            @match &page.snapshot.checked {
                None => { p.dim { "The account has not been checked yet; that is done a minute after the start, then every hour." } }
                Some(checked) => { (found(page, checked)) }
            }
        }
    }
}

fn found(page: &Page<'_>, checked: &Checked) -> Markup {
    let more = to_i64(checked.findings.len().saturating_sub(FINDINGS));
    let age = page.now.since(checked.at).max(Span::ZERO);
    html! {
        p.dim {
            @if checked.findings.is_empty() { "Nothing found, " } @else { (counted(to_i64(checked.findings.len()), "finding", "findings")) ", " }
            "looked for " (span(age)) " ago"
            @if checked.could_not_check > 0 { "; " (counted(to_i64(checked.could_not_check), "thing", "things")) " could not be checked" }
            ". " code { "autotune check" } " tells evidence and fixes."
        }
        @if !checked.findings.is_empty() {
            ul.plain.findings {
                @for found in checked.findings.iter().take(FINDINGS) {
                    li {
                        span.chip.bad[found.severity == "error"] { (plain(&found.severity)) } " "
                        strong { (plain(&found.code)) } " " (name(&found.subject)) ": " (plain(&found.message))
                    }
                }
                @if more > 0 { li { "and " (count(more)) " more" } }
            }
        }
    }
}

fn foot(page: &Page<'_>) -> Markup {
    let snapshot = page.snapshot;
    html! {
        footer {
            p {
                "autotune " (plain(&snapshot.version)) " · last planned "
                (span_or(snapshot.planned_at.map(|at| page.now.since(at)), "never")) @if snapshot.planned_at.is_some() { " ago" }
                " · " (format!("{:.0}", snapshot.calls_per_minute)) " API calls a minute, "
                @if snapshot.events { "woken by events" } @else if snapshot.events_fail { "events cannot be received: queues are polled" }
                @else { "no events: queues are polled" }
            }
            p {
                "Nothing can be changed here. "
                a href="/api/v1/status" { "status as JSON" } " · " a href="/api/v1/decisions" { "decisions as JSON" } " · " a href="/metrics" { "metrics" }
            }
        }
    }
}
