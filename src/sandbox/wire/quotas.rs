//! Service Quotas: the EC2 quotas of the scenario, and those of EBS on storage. A quota that it does not set is as large as nobody will reach, so that it binds
//! nothing, as in the simulation.

use serde_json::{Value, json};

use super::Reply;
use super::batch::{most, page};
use super::calls::Call;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::units::i64_to_f64;

/// Codes, names and `Class` of the metric of their use, with the default in vCPUs (EC2 user guide; classes as in the metric
/// AWS/Usage).
const EC2_QUOTAS: [(&str, &str, &str, f64); 12] = [
    (
        "L-1216C47A",
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        "Standard/OnDemand",
        5.0,
    ),
    (
        "L-34B43A08",
        "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
        "Standard/Spot",
        5.0,
    ),
    ("L-DB2E81BA", "Running On-Demand G and VT instances", "G/OnDemand", 0.0),
    ("L-3819A6DF", "All G and VT Spot Instance Requests", "G/Spot", 0.0),
    ("L-417A185B", "Running On-Demand P instances", "P/OnDemand", 0.0),
    ("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", "P/Spot", 0.0),
    ("L-74FC7D96", "Running On-Demand F instances", "F/OnDemand", 0.0),
    ("L-88CF9481", "All F Spot Instance Requests", "F/Spot", 0.0),
    ("L-1945791B", "Running On-Demand Inf instances", "Inf/OnDemand", 0.0),
    ("L-B5D1601B", "All Inf Spot Instance Requests", "Inf/Spot", 0.0),
    ("L-7295265B", "Running On-Demand X instances", "X/OnDemand", 0.0),
    ("L-E3A00192", "All X Spot Instance Requests", "X/Spot", 0.0),
];
/// Codes and names of EBS's quotas on storage, in TiB; 50 by default. No metric tells how much of it is used.
const EBS_QUOTAS: [(&str, &str); 2] = [
    ("L-7A658B76", "Storage for General Purpose SSD (gp3) volumes, in TiB"),
    ("L-D18FCD1D", "Storage for General Purpose SSD (gp2) volumes, in TiB"),
];
const EBS_DEFAULT: f64 = 50.0;
/// What stands for no quota.
const UNLIMITED: f64 = 1_000_000.0;
/// Most quotas of a page.
const PAGE: usize = 100;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let service = input.text("ServiceCode")?.unwrap_or_default();
    let codes: Vec<&str> = match service {
        "ec2" => EC2_QUOTAS.iter().map(|quota| quota.0).collect(),
        "ebs" => EBS_QUOTAS.iter().map(|quota| quota.0).collect(),
        _ => return Err(unknown()),
    };
    if call.operation == "ListServiceQuotas" {
        let all = codes.iter().map(|code| state.quota(service, code, false));
        let all: Vec<Value> = all.collect::<Taken<_>>()?;
        let bad = |_| Refused::new(400, "InvalidPaginationTokenException", "Invalid token.");
        let most = most(input, "MaxResults", PAGE)?;
        let (page, next) = page(state, service, all, input.text("NextToken")?, most).map_err(bad)?;
        let mut answer = json!({"Quotas": page});
        if let (Some(next), Value::Object(members)) = (next, &mut answer) {
            members.insert("NextToken".to_owned(), json!(next));
        }
        return Ok(Reply::Members(answer));
    }
    let code = input.text("QuotaCode")?.unwrap_or_default();
    let quota = state.quota(service, code, call.operation == "GetAWSDefaultServiceQuota")?;
    Ok(Reply::Members(json!({"Quota": quota})))
}

fn unknown() -> Refused {
    let text = "The request failed because the specified service quota does not exist.";
    Refused::new(400, "NoSuchResourceException", text)
}

/// The code of the quota whose use a class of the metric tells.
pub(super) fn code_of_class(class: &str) -> Option<&'static str> {
    let mut all = EC2_QUOTAS.iter();
    all.find(|quota| quota.2 == class).map(|quota| quota.0)
}

impl State {
    fn quota(&self, service: &str, code: &str, default: bool) -> Taken<Value> {
        if service == "ebs" {
            return self.storage_quota(code, default);
        }
        let (code, name, class, standard) = EC2_QUOTAS.iter().find(|quota| quota.0 == code).ok_or_else(unknown)?;
        let applied = self
            .world
            .quota(code)
            .map_or(UNLIMITED, |quota| i64_to_f64(quota.limit.get()));
        Ok(json!({
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": self.names.arn("servicequotas", &format!("ec2/{code}")),
            "QuotaCode": code,
            "QuotaName": name,
            "Value": if default { *standard } else { applied },
            "Unit": "None",
            "Adjustable": true,
            "GlobalQuota": false,
            "UsageMetric": {
                "MetricNamespace": "AWS/Usage",
                "MetricName": "ResourceCount",
                "MetricDimensions": {"Class": class, "Resource": "vCPU", "Service": "EC2", "Type": "Resource"},
                "MetricStatisticRecommendation": "Maximum",
            },
        }))
    }

    fn storage_quota(&self, code: &str, default: bool) -> Taken<Value> {
        let (code, name) = EBS_QUOTAS.iter().find(|quota| quota.0 == code).ok_or_else(unknown)?;
        Ok(json!({
            "ServiceCode": "ebs",
            "ServiceName": "Amazon Elastic Block Store (Amazon EBS)",
            "QuotaArn": self.names.arn("servicequotas", &format!("ebs/{code}")),
            "QuotaCode": code,
            "QuotaName": name,
            "Value": if default { EBS_DEFAULT } else { UNLIMITED },
            "Unit": "None",
            "Adjustable": true,
            "GlobalQuota": false,
        }))
    }
}
