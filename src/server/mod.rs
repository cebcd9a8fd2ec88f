//! `/metrics`, health and a JSON API of the daemon. Read-only: no route changes anything, here or in the account.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::daemon::snapshot::Snapshot;
use crate::journal::{Asked, Journal};
use crate::metrics::Metrics;
use crate::units::{Span, Time, Vcpus};

/// A loop that has not told how it stands for this long has stopped: environments are read every half minute.
const ALIVE: Span = Span::from_minutes(3);
/// The most decisions of one answer.
const MOST_DECISIONS: usize = 1000;

/// What the routes tell of.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How the daemon stands.
    pub snapshot: watch::Receiver<Snapshot>,
    /// Past decisions; `None`: none are kept.
    pub journal: Option<Journal>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Answer only requests that name this machine: what listens on loopback is not for pages of strangers.
    pub only_this_machine: bool,
}

/// Answers until it is asked to stop.
pub async fn serve(listener: TcpListener, shared: Shared, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router(shared))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// All routes.
pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status))
        .route("/api/v1/plan", get(plan))
        .route("/api/v1/decisions", get(decisions))
        .fallback(async || trouble(StatusCode::NOT_FOUND, "there is no such page; /api/v1/status is one"))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Checks the Host header, and forbids caching and sniffing.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if shared.only_this_machine && !host.is_some_and(is_this_machine) {
        return trouble(
            StatusCode::MISDIRECTED_REQUEST,
            "ask by the name localhost or by a loopback address",
        );
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether a Host header names this machine, whatever the port.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let loopback = name
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost")
}

/// What is wrong, and what to do, as JSON.
#[derive(Debug, Serialize)]
struct Trouble {
    error: String,
}

fn trouble(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(Trouble { error: error.into() })).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], shared.metrics.render()).into_response()
}

/// Whether the loop turns.
async fn healthz(State(shared): State<Shared>) -> Response {
    let silent = shared.clock.now().since(shared.snapshot.borrow().at);
    if silent <= ALIVE {
        "ok\n".into_response()
    } else {
        trouble(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("nothing was told for {silent}: the loop stands still"),
        )
    }
}

/// Whether it sees and may decide.
async fn readyz(State(shared): State<Shared>) -> Response {
    let snapshot = shared.snapshot.borrow().clone();
    let unread: Vec<&str> = (snapshot
        .environments
        .iter()
        .filter(|e| e.age.is_none())
        .map(|e| e.name.as_str()))
    .chain(
        snapshot
            .queues
            .iter()
            .filter(|q| q.age.is_none())
            .map(|q| q.name.as_str()),
    )
    .collect();
    if snapshot.planned_at.is_none() {
        trouble(StatusCode::SERVICE_UNAVAILABLE, "nothing has been planned yet")
    } else if unread.is_empty() {
        "ok\n".into_response()
    } else {
        trouble(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("never read yet: {}; the log says why", unread.join(", ")),
        )
    }
}

async fn status(State(shared): State<Shared>) -> Json<Snapshot> {
    Json(shared.snapshot.borrow().clone())
}

/// The latest plan: what was wanted and granted, and why.
#[derive(Debug, Serialize)]
struct PlanAnswer {
    planned_at: Option<Time>,
    environments: Vec<EnvironmentAnswer>,
    queues: Vec<QueueAnswer>,
}

#[derive(Debug, Serialize)]
struct EnvironmentAnswer {
    name: String,
    wanted_vcpus: Vcpus,
    granted_vcpus: Vcpus,
    reasons: Vec<String>,
}

#[derive(Debug, Serialize)]
struct QueueAnswer {
    name: String,
    runnable_vcpus: Vcpus,
    reasons: Vec<String>,
}

async fn plan(State(shared): State<Shared>) -> Json<PlanAnswer> {
    let snapshot = shared.snapshot.borrow().clone();
    let environments = snapshot.environments.into_iter().map(|environment| EnvironmentAnswer {
        name: environment.name,
        wanted_vcpus: environment.wanted_vcpus,
        granted_vcpus: environment.granted_vcpus,
        reasons: environment.reasons,
    });
    let queues = snapshot.queues.into_iter().map(|queue| QueueAnswer {
        name: queue.name,
        runnable_vcpus: queue.runnable_vcpus,
        reasons: queue.reasons,
    });
    Json(PlanAnswer {
        planned_at: snapshot.planned_at,
        environments: environments.collect(),
        queues: queues.collect(),
    })
}

/// Which decisions are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    environment: Option<String>,
    queue: Option<String>,
    at: Option<String>,
    last: Option<usize>,
}

async fn decisions(
    State(shared): State<Shared>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(wanted) = match wanted {
        Ok(wanted) => wanted,
        Err(error) => return trouble(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let at = match wanted.at.as_deref().map(|at| (at, Time::parse(at))) {
        None => None,
        Some((_, Some(at))) => Some(at),
        Some((at, None)) => {
            let error = format!("found at = {at:?}, expected a time such as 2026-03-28T09:00:00Z");
            return trouble(StatusCode::BAD_REQUEST, error);
        }
    };
    let Some(journal) = shared.journal else {
        return trouble(StatusCode::NOT_FOUND, "no journal is kept");
    };
    let asked = Asked {
        environment: wanted.environment,
        queue: wanted.queue,
        at,
        last: wanted.last.unwrap_or(20).min(MOST_DECISIONS),
    };
    // Reading a file may wait for a disk.
    match tokio::task::spawn_blocking(move || journal.decisions(&asked)).await {
        Ok(Ok(decisions)) => Json(decisions).into_response(),
        Ok(Err(error)) => trouble(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(error) => trouble(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
