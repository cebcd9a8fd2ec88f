//! The account on the wire: one listener for all services. Which service is meant is told by what the client sends anyway: the
//! target header, the protocol header, the path, and the scope of the credentials.
//!
//! Signatures are not checked: the credentials are known to everybody. The key id, the region of the scope and the form are.

mod admin;
mod autoscaling;
mod batch;
mod calls;
mod cloudtrail;
mod cloudwatch;
mod ec2;
mod ecs;
mod encode;
mod events;
mod iam;
pub(in crate::sandbox) mod listings;
mod quotas;
mod scheduler;
mod sqs;
mod sts;
mod submit;
#[cfg(test)]
mod tests;
mod xml;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::calls::Call;
use super::account::Account;
use super::faults::{Struck, throttled};
use super::refused::Refused;
use crate::clock;
use crate::server;
use crate::units::Span;

pub use self::calls::Service;

/// The only credentials that the account knows. They are no secret: nothing real is behind them.
pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
/// The key that goes with it, as AWS's own documents print it.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// What requests to IAM are scoped to.
const IAM_REGION: &str = "us-east-1";
/// The largest body of any service here: 256 KiB for SQS, 30 KiB for SubmitJob.
const BODY_MOST: usize = 1 << 20;

/// What the routes answer from.
#[derive(Clone, Debug)]
struct Wire {
    account: Account,
    /// What the admin API asks for.
    token: Arc<str>,
}

/// Serves the account until it is asked to stop.
pub async fn serve(
    listener: TcpListener,
    account: Account,
    token: &str,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(account, token))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// All services and the admin API.
pub fn router(account: Account, token: &str) -> Router {
    let wire = Wire {
        account,
        token: token.into(),
    };
    Router::new().fallback(handle).with_state(wire)
}

async fn handle(Shared(wire): Shared<Wire>, request: Request) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default().to_owned();
    if !server::is_this_machine(&host) {
        let text = "ask by the name localhost or by a loopback address: this is a simulation for this machine alone\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MOST).await else {
        return (
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than any request may be\n",
        )
            .into_response();
    };
    if let Some(path) = parts.uri.path().strip_prefix("/_autotune/") {
        return admin::answer(&wire.account, &wire.token, path, &parts, &body).await;
    }
    let (call, protocol) = match calls::read(&parts, &body, &host) {
        Ok(read) => read,
        Err((protocol, refused)) => return encode::refused(protocol, &refused, "00000000-0000-4000-8000-000000000000"),
    };
    let (answer, id) = perform(&wire.account, call).await;
    match answer {
        Ok(Some(reply)) => encode::reply(protocol, &reply, &id),
        // The head goes out, the promised body does not.
        Ok(None) => broken(),
        Err(refused) => encode::refused(protocol, &refused, &id),
    }
}

/// What an operation answers.
#[derive(Clone, Debug)]
enum Reply {
    /// Members, for every protocol that has them.
    Members(Value),
    /// Text, for those that speak XML.
    Xml(String),
}

/// Carries out a call; with its request id. `None`: the connection breaks.
async fn perform(account: &Account, call: Call) -> (Result<Option<Reply>, Refused>, String) {
    let (service, operation, scope) = (call.service, call.operation, call.scope.clone());
    let first = account.ask(move |state| {
        let id = state.next_request_id();
        let struck = match state.admit(&scope, service) {
            Ok(()) => state.strike(service, operation),
            Err(refused) => Struck {
                refused: Some(refused),
                ..Struck::default()
            },
        };
        (struck, id)
    });
    let (struck, id) = match first.await {
        Ok(first) => first,
        Err(refused) => return (Err(refused), String::new()),
    };
    if struck.latency > Span::ZERO {
        clock::wait(struck.latency).await;
    }
    if struck.reset {
        return (Ok(None), id);
    }
    if let Some(refused) = struck.refused {
        return (Err(refused), id);
    }
    let answer = match service {
        Service::Sqs if operation == "ReceiveMessage" => sqs::receive(account, call).await,
        Service::Batch => account.ask(move |state| batch::perform(state, &call)).await.flatten(),
        Service::Sqs => account.ask(move |state| sqs::perform(state, &call)).await.flatten(),
        Service::Ecs => account.ask(move |state| ecs::perform(state, &call)).await.flatten(),
        Service::Ec2 => account.ask(move |state| ec2::perform(state, &call)).await.flatten(),
        Service::CloudWatch => account
            .ask(move |state| cloudwatch::perform(state, &call))
            .await
            .flatten(),
        Service::Quotas => account.ask(move |state| quotas::perform(state, &call)).await.flatten(),
        Service::Scheduler => account
            .ask(move |state| scheduler::perform(state, &call))
            .await
            .flatten(),
        Service::Sts => account.ask(move |state| sts::perform(state, &call)).await.flatten(),
        Service::AutoScaling => account
            .ask(move |state| autoscaling::perform(state, &call))
            .await
            .flatten(),
        Service::Iam => account.ask(move |state| iam::perform(state, &call)).await.flatten(),
        Service::Events => account.ask(move |state| events::perform(state, &call)).await.flatten(),
        Service::CloudTrail => account
            .ask(move |state| cloudtrail::perform(state, &call))
            .await
            .flatten(),
    };
    (answer.map(Some), id)
}

impl super::state::State {
    fn next_request_id(&mut self) -> String {
        self.requests += 1;
        self.names.uuid(4, self.requests)
    }

    fn strike(&mut self, service: Service, operation: &'static str) -> Struck {
        let mut struck = self.faults.strike(service, operation, self.names.seed, self.now);
        // Where time stands still, nothing would ever be let through again.
        let moving = self.pace.factor() > 0;
        if struck.refused.is_none() && moving && self.throttles.refuses(service, operation, self.now) {
            struck.refused = Some(throttled(service));
        }
        struck
    }

    /// Whether the credentials are those of this account.
    fn admit(&self, scope: &calls::Scope, service: Service) -> Result<(), Refused> {
        if scope.key_id != ACCESS_KEY_ID {
            let (status, code) = match service {
                Service::Ec2 => (401, "AuthFailure"),
                Service::Sts | Service::AutoScaling | Service::Iam => (403, "InvalidClientTokenId"),
                Service::Batch | Service::Scheduler => (403, "UnrecognizedClientException"),
                Service::Sqs
                | Service::Ecs
                | Service::Quotas
                | Service::CloudWatch
                | Service::Events
                | Service::CloudTrail => (400, "UnrecognizedClientException"),
            };
            return Err(Refused::new(
                status,
                code,
                "The security token included in the request is invalid.",
            ));
        }
        // IAM has no regions: clients sign for the one where it is, or for theirs where they are told where to ask.
        let at_home = service == Service::Iam && scope.region == IAM_REGION;
        if scope.region != self.names.region && !at_home {
            let (status, code) = match service {
                Service::Ec2 => (401, "AuthFailure"),
                Service::Sts | Service::AutoScaling | Service::Iam => (403, "SignatureDoesNotMatch"),
                Service::Batch | Service::Scheduler => (403, "InvalidSignatureException"),
                Service::Sqs
                | Service::Ecs
                | Service::Quotas
                | Service::CloudWatch
                | Service::Events
                | Service::CloudTrail => (400, "InvalidSignatureException"),
            };
            let text = format!(
                "Credential should be scoped to a valid region, not '{}'. ",
                scope.region
            );
            return Err(Refused::new(status, code, text));
        }
        Ok(())
    }
}

/// A head that promises a body, and a connection that breaks instead.
fn broken() -> Response {
    let mut response = Response::new(Body::new(Broken));
    let length = header::HeaderValue::from_static("1024");
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

/// A body that fails when it is read.
struct Broken;

impl axum::body::HttpBody for Broken {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}
