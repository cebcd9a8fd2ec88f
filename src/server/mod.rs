//! The page, `/metrics`, health and a JSON API of the daemon. Read-only: no route changes anything, here or in the account.

mod connections;
mod page;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::io::{ReaderStream, SyncIoBridge};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::daemon::snapshot::{Snapshot, Told};
use crate::journal::{Asked, Journal, JournalError};
use crate::metrics::Metrics;
use crate::trace::native;
use crate::units::{Span, Time, Vcpus};

/// A loop that has not told how it stands for this long has stopped: environments are read every half minute.
const ALIVE: Span = Span::from_minutes(3);
/// The most decisions of one answer.
const MOST_DECISIONS: usize = 1000;

/// So many bytes of a recording wait for a slow client.
const BUFFER: usize = 64 << 10;

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
    /// One recording is written at a time.
    pub recording: Arc<Semaphore>,
    /// Answer only requests that name this machine: what listens on loopback is not for pages of strangers.
    pub only_this_machine: bool,
}

/// Answers until it is asked to stop.
pub async fn serve(listener: TcpListener, shared: Shared, stop: CancellationToken) -> std::io::Result<()> {
    connections::serve(listener, router(shared), connections::LIMITS, stop).await;
    Ok(())
}

/// All routes.
pub fn router(shared: Shared) -> Router {
    let turn = Arc::new(Semaphore::new(1));
    let moments = move |shared: State<Shared>, wanted: Result<Query<Wanted>, QueryRejection>| {
        moments(Arc::clone(&turn), shared, wanted)
    };
    Router::new()
        .route("/", get(page::page))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status))
        .route("/api/v1/plan", get(plan))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/moments", get(moments))
        .route("/api/v1/trace", get(trace))
        .fallback(async || {
            trouble(
                StatusCode::NOT_FOUND,
                "there is no such page; / and /api/v1/status are two",
            )
        })
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Checks the Host header, and forbids caching, sniffing, framing, and whatever a browser might otherwise load or tell.
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
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
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

async fn status(State(shared): State<Shared>) -> Response {
    let snapshot = shared.snapshot.borrow().clone();
    match snapshot.document() {
        Ok(document) => Json(document).into_response(),
        Err(error) => trouble(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
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
    /// `None`: nothing was planned yet.
    wanted_vcpus: Option<Vcpus>,
    granted_vcpus: Option<Vcpus>,
    reasons: Vec<Told>,
}

#[derive(Debug, Serialize)]
struct QueueAnswer {
    name: String,
    /// `None`: never read.
    runnable_vcpus: Option<Vcpus>,
    reasons: Vec<Told>,
}

async fn plan(State(shared): State<Shared>) -> Json<PlanAnswer> {
    let snapshot = shared.snapshot.borrow().clone();
    let environments = snapshot.environments.into_iter().map(|environment| EnvironmentAnswer {
        name: environment.name,
        wanted_vcpus: snapshot.planned_at.map(|_| environment.wanted_vcpus),
        granted_vcpus: snapshot.planned_at.map(|_| environment.granted_vcpus),
        reasons: environment.reasons,
    });
    let queues = snapshot.queues.into_iter().map(|queue| QueueAnswer {
        name: queue.name,
        runnable_vcpus: queue.age.map(|_| queue.runnable_vcpus),
        reasons: queue.reasons,
    });
    Json(PlanAnswer {
        planned_at: snapshot.planned_at,
        environments: environments.collect(),
        queues: queues.collect(),
    })
}

/// A time of a query.
fn time(key: &str, text: Option<&str>) -> Result<Option<Time>, Box<Response>> {
    let Some(text) = text else { return Ok(None) };
    Time::parse(text).map(Some).ok_or_else(|| {
        let error = format!("found {key} = {text:?}, expected a time such as 2026-03-28T09:00:00Z");
        Box::new(trouble(StatusCode::BAD_REQUEST, error))
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

/// What was decided, newest first.
async fn decisions(State(shared): State<Shared>, wanted: Result<Query<Wanted>, QueryRejection>) -> Response {
    let now = shared.clock.now();
    told(shared, wanted, move |journal, asked| {
        found(journal, asked, now, journal.decisions(asked)?)
    })
    .await
}

/// What was said, newest first: the reasons of decisions, and of doing nothing. One answer at a time: each rebuilds tick after tick
/// until it has found enough, so nothing is looked for of what is not watched: its decisions are known, if there were any. Asked as
/// of a time it ends with the first ones.
async fn moments(
    turn: Arc<Semaphore>,
    State(shared): State<Shared>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let Ok(turn) = turn.acquire_owned().await else {
        return trouble(StatusCode::SERVICE_UNAVAILABLE, "nothing is told any more");
    };
    let now = shared.clock.now();
    told(shared, wanted, move |journal, asked| {
        // Whoever asked may be gone by now: only the end of the work ends its turn.
        let _turn = turn;
        if asked.at.is_none() && journal.unwatched(asked)?.is_some() {
            return found(journal, asked, now, Vec::new());
        }
        found(journal, asked, now, journal.moments(asked, now)?)
    })
    .await
}

/// What was found; if that is nothing, perhaps why.
type Found<T> = Result<Result<Vec<T>, String>, JournalError>;

fn found<T>(journal: &Journal, asked: &Asked, now: Time, found: Vec<T>) -> Found<T> {
    let stranger = if found.is_empty() {
        journal.stranger(asked, now)?
    } else {
        None
    };
    Ok(stranger.map_or(Ok(found), Err))
}

/// Answers a question to the journal.
async fn told<T: Serialize + Send + 'static>(
    shared: Shared,
    wanted: Result<Query<Wanted>, QueryRejection>,
    tell: impl FnOnce(&Journal, &Asked) -> Found<T> + Send + 'static,
) -> Response {
    let Query(wanted) = match wanted {
        Ok(wanted) => wanted,
        Err(error) => return trouble(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let at = match time("at", wanted.at.as_deref()) {
        Ok(at) => at,
        Err(refused) => return *refused,
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
    // Reading a file may wait for a disk; by a connection of its own, since the loop reads the journal too.
    let answer = tokio::task::spawn_blocking(move || tell(&journal.beside()?, &asked));
    match answer.await {
        Ok(Ok(Err(stranger))) => trouble(StatusCode::NOT_FOUND, stranger),
        Ok(Ok(Ok(told))) => Json(told).into_response(),
        Ok(Err(error)) => trouble(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(error) => trouble(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Which jobs are asked for: submitted from one time until before another.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Period {
    from: Option<String>,
    to: Option<String>,
}

impl Period {
    fn times(&self) -> Result<(Time, Time), Box<Response>> {
        let (from, to) = (time("from", self.from.as_deref())?, time("to", self.to.as_deref())?);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            let error = format!("to: found {to}, expected a time after from, {from}");
            return Err(Box::new(trouble(StatusCode::BAD_REQUEST, error)));
        }
        Ok((from.unwrap_or(Time::FAR_PAST), to.unwrap_or(Time::FAR_FUTURE)))
    }
}

/// The journal's jobs as a native recording. Names are hashed with a key that nobody keeps, whoever asks: there is no login here,
/// and names tell what people work on. One at a time: each holds all its jobs in memory.
async fn trace(State(shared): State<Shared>, period: Result<Query<Period>, QueryRejection>) -> Response {
    let Query(period) = match period {
        Ok(period) => period,
        Err(error) => return trouble(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let (from, to) = match period.times() {
        Ok(times) => times,
        Err(refused) => return *refused,
    };
    let Some(journal) = shared.journal else {
        return trouble(StatusCode::NOT_FOUND, "no journal is kept");
    };
    let Ok(turn) = Arc::clone(&shared.recording).try_acquire_owned() else {
        let error = "another recording is being written; ask again when it is done";
        return trouble(StatusCode::SERVICE_UNAVAILABLE, error);
    };
    // By a connection of its own: the loop reads the journal too.
    let exported = tokio::task::spawn_blocking(move || {
        let exported = journal.beside()?.trace(from, to, false)?;
        // Whoever asked may be gone by now: only the end of the work ends its turn.
        Ok::<_, JournalError>((exported, turn))
    });
    let (exported, turn) = match exported.await {
        Ok(Ok(exported)) => exported,
        Ok(Err(error)) => return trouble(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(error) => return trouble(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let (writes, reads) = tokio::io::duplex(BUFFER);
    tokio::task::spawn_blocking(move || {
        let mut out = std::io::BufWriter::with_capacity(BUFFER, SyncIoBridge::new(writes));
        // Whoever went away, or takes nothing any more, needs no more; a recording that is cut short is noticed by its header.
        let _ = native::write_recording(&exported.trace, exported.left_out, &mut out).and_then(|()| out.flush());
        drop(turn);
    });
    let kind = HeaderValue::from_static("application/x-ndjson");
    let body = Body::from_stream(ReaderStream::with_capacity(reads, BUFFER));
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
