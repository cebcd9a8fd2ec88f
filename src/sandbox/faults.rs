//! Trouble: what people ask for, and the throttling that every account has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::refused::Refused;
use super::wire::Service;
use crate::simulate::draws::{Cause, draw};
use crate::units::{Span, Time};

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The service throttles it.
    Throttle,
    /// The service fails.
    ServerError,
    /// The connection breaks before the answer has come.
    Reset,
    /// The credentials may not.
    Denied,
    /// The answer comes late; see `latency_ms`.
    Latency,
}

/// Trouble on demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub trouble: Trouble,
    /// Only requests to this service, such as `batch`; without: to all.
    #[serde(default)]
    pub service: Option<String>,
    /// Only this operation, such as `ListJobs`; without: all.
    #[serde(default)]
    pub operation: Option<String>,
    /// How many requests it hits; without: all until `seconds` have passed.
    #[serde(default)]
    pub count: Option<u32>,
    /// For how long, in seconds of simulated time; without: for ever.
    #[serde(default)]
    pub seconds: Option<i64>,
    /// Of a thousand requests it hits this many; without: each.
    #[serde(default)]
    pub permille: Option<u64>,
    /// For `latency`: how late, in milliseconds of real time.
    #[serde(default)]
    pub latency_ms: i64,
}

/// The trouble that is on.
#[derive(Debug, Default)]
pub(super) struct Faults {
    all: Vec<(Fault, Option<Time>)>,
    asked: u64,
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Struck {
    /// How much later it is answered, in real time.
    pub(super) latency: Span,
    /// The connection breaks.
    pub(super) reset: bool,
    /// What is answered instead.
    pub(super) refused: Option<Refused>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault, now: Time) {
        let until = fault.seconds.map(|seconds| now + Span::from_seconds(seconds));
        self.all.push((fault, until));
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    pub(super) fn list(&self) -> Vec<Fault> {
        self.all.iter().map(|(fault, _)| fault.clone()).collect()
    }

    /// Whether an action, such as `batch:ListJobs`, is denied for now.
    pub(super) fn denies(&self, action: &str) -> bool {
        let (service, operation) = action.split_once(':').unwrap_or((action, ""));
        self.all.iter().any(|(fault, _)| {
            fault.trouble == Trouble::Denied
                && fault.count != Some(0)
                && fault.service.as_deref().is_none_or(|only| only == service)
                && fault.operation.as_deref().is_none_or(|only| only == operation)
        })
    }

    /// Which trouble hits a request.
    pub(super) fn strike(&mut self, service: Service, operation: &str, seed: u64, now: Time) -> Struck {
        self.all
            .retain(|(fault, until)| until.is_none_or(|until| now < until) && fault.count != Some(0));
        self.asked += 1;
        let mut struck = Struck::default();
        for (position, (fault, _)) in self.all.iter_mut().enumerate() {
            let here = fault.service.as_deref().is_none_or(|only| only == service.name())
                && fault.operation.as_deref().is_none_or(|only| only == operation);
            let luck = draw(seed, Cause::Fault, self.asked, crate::units::to_u64(position)) % 1000;
            if !here || fault.permille.is_some_and(|permille| luck >= permille) {
                continue;
            }
            if let Some(count) = &mut fault.count {
                *count = count.saturating_sub(1);
            }
            match fault.trouble {
                Trouble::Throttle => struck.refused = Some(throttled(service)),
                Trouble::ServerError => struck.refused = Some(failed(service)),
                Trouble::Denied => struck.refused = Some(denied(service, operation)),
                Trouble::Reset => struck.reset = true,
                Trouble::Latency => struck.latency += Span::from_millis(fault.latency_ms.clamp(0, 600_000)),
            }
        }
        struck
    }
}

/// Throttling as each service words it. AWS Batch's is not in its model.
pub(super) fn throttled(service: Service) -> Refused {
    match service {
        Service::Batch => Refused::new(429, "TooManyRequestsException", "Too Many Requests"),
        Service::Sqs => Refused::new(400, "RequestThrottled", "Request is throttled."),
        Service::Ec2 => Refused::new(503, "RequestLimitExceeded", "Request limit exceeded."),
        Service::Quotas => Refused::new(400, "TooManyRequestsException", "Rate exceeded"),
        Service::Scheduler => Refused::new(429, "ThrottlingException", "Rate exceeded"),
        Service::Ecs | Service::CloudWatch | Service::Events | Service::CloudTrail => {
            Refused::new(400, "ThrottlingException", "Rate exceeded")
        }
        Service::Sts | Service::AutoScaling | Service::Iam => Refused::new(400, "Throttling", "Rate exceeded"),
    }
}

fn failed(service: Service) -> Refused {
    match service {
        Service::Batch => Refused::new(500, "ServerException", "Internal server error"),
        Service::Ecs => Refused::new(500, "ServerException", "Service Unavailable. Please try again later."),
        Service::Quotas => Refused::new(500, "ServiceException", "Internal server error"),
        Service::Scheduler => Refused::new(500, "InternalServerException", "Internal server error"),
        Service::Ec2 => Refused::new(500, "InternalError", "An internal error has occurred"),
        Service::CloudWatch => Refused::new(500, "InternalServiceFault", "Internal server error"),
        Service::Iam => Refused::new(500, "ServiceFailure", "Internal server error"),
        Service::Events => Refused::new(500, "InternalException", "Internal server error"),
        Service::CloudTrail => Refused::new(500, "InternalFailure", "Internal server error"),
        Service::Sqs | Service::Sts | Service::AutoScaling => {
            Refused::new(500, "InternalFailure", "Internal server error")
        }
    }
}

fn denied(service: Service, operation: &str) -> Refused {
    let (status, code) = match service {
        Service::Batch | Service::Scheduler => (403, "AccessDeniedException"),
        Service::Ec2 => (403, "UnauthorizedOperation"),
        Service::Sts | Service::AutoScaling | Service::Iam => (403, "AccessDenied"),
        Service::Sqs | Service::Ecs | Service::Quotas | Service::CloudWatch | Service::Events | Service::CloudTrail => {
            (400, "AccessDeniedException")
        }
    };
    let action = format!("{}:{operation}", service.name());
    Refused::new(status, code, format!("User is not authorized to perform: {action}"))
}

/// Requests a second that an account gets. SubmitJob's is published (AWS Batch user guide, service quotas); ECS's two
/// describing calls are reported at about 20 together; DescribeJobs is known to be low. All others are assumed.
fn limit(service: Service, operation: &str) -> Option<i64> {
    match (service, operation) {
        (Service::Batch, "SubmitJob") | (Service::Scheduler, _) => Some(50),
        (Service::Batch, "DescribeJobs") | (Service::Quotas, _) => Some(10),
        (Service::Batch, "UpdateComputeEnvironment") => Some(5),
        (
            Service::Batch
            | Service::Ecs
            | Service::Ec2
            | Service::CloudWatch
            | Service::AutoScaling
            | Service::Iam
            | Service::Events,
            _,
        ) => Some(20),
        (Service::CloudTrail, _) => Some(2),
        (Service::Sqs | Service::Sts, _) => None,
    }
}

/// Thousandths of requests that are left of each limit, and when that was.
#[derive(Debug, Default)]
pub(super) struct Throttles(BTreeMap<(Service, &'static str), (i64, Time)>);

impl Throttles {
    /// Whether a request is one too many. Limits are per simulated second, bursts of one second's worth are let through.
    pub(super) fn refuses(&mut self, service: Service, operation: &'static str, now: Time) -> bool {
        let Some(limit) = limit(service, operation) else {
            return false;
        };
        let most = limit * 1_000;
        let (left, at) = self.0.entry((service, operation)).or_insert((most, now));
        // A thousandth of a request for each millisecond and request a second.
        let gained = now.since(*at).millis().max(0).saturating_mul(limit);
        *left = left.saturating_add(gained).min(most);
        *at = now;
        if *left < 1_000 {
            return true;
        }
        *left -= 1_000;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lets_a_second_of_requests_through_and_then_its_rate() {
        let mut throttles = Throttles::default();
        let start = Time::from_seconds(1_000);
        let mut passed = |at: Time| {
            let all = (0..200).filter(|_| !throttles.refuses(Service::Batch, "SubmitJob", at));
            all.count()
        };
        assert_eq!(passed(start), 50);
        assert_eq!(passed(start), 0);
        assert_eq!(passed(start + Span::from_millis(100)), 5);
        assert_eq!(passed(start + Span::from_minutes(10)), 50);
    }

    #[test]
    fn a_fault_hits_what_it_names_as_often_as_it_says() {
        let now = Time::from_seconds(1_000);
        let fault = |trouble| Fault {
            trouble,
            service: Some("batch".to_owned()),
            operation: Some("ListJobs".to_owned()),
            count: Some(2),
            seconds: Some(60),
            permille: None,
            latency_ms: 0,
        };
        let mut faults = Faults::default();
        faults.add(fault(Trouble::Throttle), now);
        let mut hit = |service, operation, at| faults.strike(service, operation, 7, at).refused.is_some();
        assert!(!hit(Service::Batch, "DescribeJobs", now));
        assert!(!hit(Service::Sqs, "ListJobs", now));
        assert!(hit(Service::Batch, "ListJobs", now));
        assert!(hit(Service::Batch, "ListJobs", now));
        assert!(!hit(Service::Batch, "ListJobs", now));
        faults.add(fault(Trouble::Reset), now);
        assert!(faults.strike(Service::Batch, "ListJobs", 7, now).reset);
        assert!(
            !faults
                .strike(Service::Batch, "ListJobs", 7, now + Span::from_minutes(1))
                .reset
        );
    }
}
