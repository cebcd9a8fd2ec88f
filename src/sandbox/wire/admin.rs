//! The admin API, under `/_autotune/`: the clock for everybody who may ask at all, everything else for those who have the token.

use axum::Json;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::clock::Told;
use crate::ids::EnvironmentIndex;
use crate::sandbox::account::Account;
use crate::sandbox::faults::Fault;
use crate::sandbox::flaws::Flaw;
use crate::sandbox::refused::Refused;
use crate::sandbox::state::{Hand, State};
use crate::simulate::world::Change;
use crate::units::{Span, Time, Vcpus};

/// The header that carries the token.
const TOKEN: &str = "x-autotune-token";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetClock {
    factor: Option<u32>,
    skip_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drought {
    environment: String,
    seconds: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interruption {
    environment: String,
    instances: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flawed {
    flaw: Flaw,
}

/// An outside hand: somebody else's UpdateComputeEnvironment, which no throttle and no fault hits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Levels {
    environment: String,
    min_vcpus: Option<i64>,
    desired_vcpus: Option<i64>,
    max_vcpus: Option<i64>,
}

/// Answers a request to the admin API; `path` is what follows its prefix.
pub(super) async fn answer(account: &Account, token: &str, path: &str, parts: &Parts, body: &[u8]) -> Response {
    let given = parts.headers.get(TOKEN).and_then(|given| given.to_str().ok());
    if (path, &parts.method) == ("clock", &Method::GET) {
        return Json(clock(account)).into_response();
    }
    if given != Some(token) {
        return trouble(
            StatusCode::UNAUTHORIZED,
            &format!("expected the header {TOKEN} with the token that the sandbox printed when it began"),
        );
    }
    let done = match (path, parts.method.as_str()) {
        ("clock", "POST") => set_clock(account, body).await,
        ("faults", "GET") => account
            .ask(|state| json!(state.faults.list()))
            .await
            .map_err(Wrong::from),
        ("faults", "POST") => match read::<Fault>(body) {
            Ok(fault) => tell(account.ask(move |state| state.faults.add(fault, state.now)).await),
            Err(wrong) => Err(wrong),
        },
        ("faults", "DELETE") => tell(account.ask(|state| state.faults.clear()).await),
        ("flaws", "GET") => account
            .ask(|state| json!(state.flaws.list()))
            .await
            .map_err(Wrong::from),
        ("flaws", "POST") => match read::<Flawed>(body) {
            Ok(Flawed { flaw }) => tell(account.ask(move |state| state.flaws.add(flaw)).await),
            Err(wrong) => Err(wrong),
        },
        ("flaws", "DELETE") => tell(account.ask(|state| state.flaws.clear()).await),
        ("drought", "POST") => drought(account, body).await,
        ("interruption", "POST") => interruption(account, body).await,
        ("levels", "POST") => levels(account, body).await,
        ("state", "GET") => account.ask(|state| state.told()).await.map_err(Wrong::from),
        ("jobs", "GET") => account
            .ask(|state| json!(state.world.outcomes().collect::<Vec<_>>()))
            .await
            .map_err(Wrong::from),
        _ => Err(Wrong(
            StatusCode::NOT_FOUND,
            "there is no such page; clock, faults, flaws, drought, interruption, levels, state and jobs are".to_owned(),
        )),
    };
    match done {
        Ok(answer) => Json(answer).into_response(),
        Err(Wrong(status, text)) => trouble(status, &text),
    }
}

/// What cannot be done.
struct Wrong(StatusCode, String);

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self(status, refused.message)
    }
}

fn trouble(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"error": text}))).into_response()
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Wrong> {
    serde_json::from_slice(body).map_err(|error| Wrong(StatusCode::BAD_REQUEST, error.to_string()))
}

fn tell<T>(done: Result<T, Refused>) -> Result<Value, Wrong> {
    done.map(|_| json!({"done": true})).map_err(Wrong::from)
}

fn clock(account: &Account) -> Told {
    account.pace().into()
}

async fn set_clock(account: &Account, body: &[u8]) -> Result<Value, Wrong> {
    let set: SetClock = read(body)?;
    if let Some(factor) = set.factor {
        account.set_speed(factor).await?;
    }
    if let Some(seconds) = set.skip_seconds {
        account.skip(Span::from_seconds(seconds)).await?;
    }
    Ok(json!(clock(account)))
}

fn unknown(name: &str) -> Refused {
    Refused::new(404, "NotFound", format!("there is no compute environment {name:?}"))
}

async fn drought(account: &Account, body: &[u8]) -> Result<Value, Wrong> {
    let drought: Drought = read(body)?;
    let begun = account.ask(move |state| {
        let environment = state.environment(&drought.environment);
        let environment = environment.ok_or_else(|| unknown(&drought.environment))?;
        state
            .world
            .begin_drought(environment, Span::from_seconds(drought.seconds));
        Ok(())
    });
    tell(begun.await.flatten())
}

async fn interruption(account: &Account, body: &[u8]) -> Result<Value, Wrong> {
    let wanted: Interruption = read(body)?;
    let hit = account.ask(move |state| {
        let environment = state.environment(&wanted.environment);
        let environment = environment.ok_or_else(|| unknown(&wanted.environment))?;
        let hit = state.world.interrupt_instances(environment, wanted.instances);
        state.hear();
        Ok(hit)
    });
    Ok(json!({"instances": hit.await.flatten()?}))
}

async fn levels(account: &Account, body: &[u8]) -> Result<Value, Wrong> {
    let levels: Levels = read(body)?;
    let change = Change {
        min: levels.min_vcpus.map(Vcpus::new),
        desired: levels.desired_vcpus.map(Vcpus::new),
        max: levels.max_vcpus.map(Vcpus::new),
    };
    let done = account.ask(move |state| {
        let environment = state.environment(&levels.environment);
        let environment = environment.ok_or_else(|| unknown(&levels.environment))?;
        let answer = state.scale(Hand::Other, environment, &change);
        answer.map_err(|refusal| Refused::client(refusal.text()))
    });
    tell(done.await.flatten())
}

impl State {
    /// The account in a page: for people and tests.
    fn told(&self) -> Value {
        let environments = self.scenario.environments.iter().enumerate().map(|(position, spec)| {
            let index = EnvironmentIndex::at(position);
            let now = self.world.environment(index);
            json!({
                "name": spec.name,
                "min_vcpus": now.min_vcpus,
                "desired_vcpus": now.desired_vcpus,
                "max_vcpus": now.max_vcpus,
                "there_vcpus": self.world.there(index),
                "used_vcpus": self.world.used(index),
                "instances": self.world.instances(index),
                "updated": self.updated.get(&spec.name).copied().map(Time::millis),
            })
        });
        let schedules = self.schedules.all().map(|schedule| {
            let fired = schedule
                .fired
                .iter()
                .map(|(at, answer)| json!({"at": at.millis(), "answer": answer}));
            json!({"name": schedule.name, "group": schedule.group, "fired": fired.collect::<Vec<Value>>()})
        });
        let messages = self
            .sqs
            .names()
            .map(|name| json!({"name": name, "messages": self.sqs_total(name)}));
        json!({
            "simulated": true,
            "now_ms": self.now.millis(),
            "cost_micro_usd": self.world.cost().get(),
            "jobs_open": self.world.trace().jobs.len().saturating_sub(self.world.ended_jobs()),
            "jobs_ended": self.world.ended_jobs(),
            "environments": environments.collect::<Vec<Value>>(),
            "schedules": schedules.collect::<Vec<Value>>(),
            "sqs_queues": messages.collect::<Vec<Value>>(),
            "requests": self.requests,
        })
    }
}
