//! The page at `/`: how the daemon stands, for people. One document without script that refreshes itself and loads nothing.
//!
//! Rendered on request from the snapshot and the journal. Every reason and decision in it is a sentence of `explain`, as the snapshot
//! and the journal have it. Whatever comes from outside is spelt out where it is invisible (`explain::printable`) and escaped by
//! the template.

mod answers;
mod bar;
mod tables;
#[cfg(test)]
mod tests;
mod view;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{ALIVE, Shared};
use crate::daemon::bill::FRESH;
use crate::daemon::snapshot::{EnvironmentStatus, Snapshot};
use crate::journal::{Asked, Decision, Journal, JournalError};
use crate::units::{Span, Time};

/// The style sheet, which is part of the document.
const STYLE: &str = include_str!("style.css");
/// How often the page is loaded anew; one of a simulated account, where time goes faster, more often.
const ANEW: Span = Span::from_seconds(10);
const ANEW_SIMULATED: Span = Span::from_seconds(3);
/// The decisions that are listed.
const DECISIONS: usize = 12;
/// The last change of an environment is looked for among so many decisions.
const LOOKED_THROUGH: usize = 10_000;

/// Nothing but the document itself: no script, no image, no font, no form, no frame; and only this style.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

/// What was decided.
#[derive(Clone, Debug)]
struct History {
    /// The latest, newest first; or why they are not known.
    decisions: Result<Vec<Decision>, String>,
    /// The latest of each environment, by its name.
    last: BTreeMap<String, Decision>,
}

/// All that the page tells of.
#[derive(Clone, Copy, Debug)]
struct Page<'a> {
    snapshot: &'a Snapshot,
    now: Time,
    history: &'a History,
    /// How often it is loaded anew; `None`: the reader does not want that.
    refresh: Option<Span>,
}

impl<'a> Page<'a> {
    /// How long ago the snapshot was taken: all its ages are older by so much.
    fn silence(&self) -> Span {
        self.now.since(self.snapshot.at).max(Span::ZERO)
    }

    /// Whether the loop has stopped.
    fn stands_still(&self) -> bool {
        self.silence() > ALIVE
    }

    /// Whether a part that was read so long before the snapshot still tells of now.
    fn is_fresh(&self, age: Option<Span>) -> bool {
        age.is_some_and(|age| age + self.silence() <= FRESH)
    }

    fn environment(&self, name: &str) -> Option<&'a EnvironmentStatus> {
        self.snapshot
            .environments
            .iter()
            .find(|environment| environment.name == name)
    }
}

/// What the reader wants.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    refresh: Option<String>,
}

/// Answers with the page.
pub(super) async fn page(State(shared): State<Shared>, wanted: Result<Query<Wanted>, QueryRejection>) -> Response {
    let snapshot = shared.snapshot.borrow().clone();
    let changed = snapshot.environments.iter().filter(|one| is_changed(one));
    let history = history(shared.journal, changed.map(|one| one.name.clone()).collect()).await;
    let period = if snapshot.simulated { ANEW_SIMULATED } else { ANEW };
    let still = wanted.is_ok_and(|Query(wanted)| wanted.refresh.as_deref() == Some("off"));
    let refresh = (!still).then_some(period);
    let page = Page {
        snapshot: &snapshot,
        now: shared.clock.now(),
        history: &history,
        refresh,
    };
    let mut response = Html(view::document(&page).into_string()).into_response();
    let headers = response.headers_mut();
    if let Some(policy) = POLICY.clone() {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // A header, not an element: whoever reads slowly turns it off with a link of the page.
    if let Some(seconds) = refresh.and_then(|period| HeaderValue::from_str(&(period.millis() / 1_000).to_string()).ok())
    {
        headers.insert(header::REFRESH, seconds);
    }
    response
}

/// Whether there can be a last change: of those that are only watched none is looked for, unless we have changed them all the same.
const fn is_changed(environment: &EnvironmentStatus) -> bool {
    environment.steered || environment.lease_expires.is_some() || environment.accepted + environment.refused > 0
}

/// Reading a file may wait for a disk; by a connection of its own, since the loop reads the journal too.
async fn history(journal: Option<Journal>, mut changed: BTreeSet<String>) -> History {
    let unknown = |why: String| History {
        decisions: Err(why),
        last: BTreeMap::new(),
    };
    let Some(journal) = journal else {
        return unknown("No journal is kept, so past decisions are not known.".to_owned());
    };
    let read = tokio::task::spawn_blocking(move || {
        let journal = journal.beside()?;
        let decisions = journal.decisions(&Asked {
            last: DECISIONS,
            ..Asked::default()
        })?;
        let mut last = BTreeMap::new();
        for decision in &decisions {
            let name = &decision.intent.environment;
            changed.remove(name);
            last.entry(name.clone()).or_insert_with(|| decision.clone());
        }
        last.extend(journal.latest(changed, LOOKED_THROUGH)?);
        Ok::<_, JournalError>(History {
            decisions: Ok(decisions),
            last,
        })
    });
    match read.await {
        Ok(Ok(history)) => history,
        Ok(Err(error)) => unknown(format!("Past decisions are not known: {error}.")),
        Err(error) => unknown(format!("Past decisions are not known: {error}.")),
    }
}
