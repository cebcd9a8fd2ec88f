//! Service quotas of EC2: the applied limit, and what the whole account uses of it.

use aws_sdk_cloudwatch::types::Statistic;
use aws_sdk_servicequotas::types::ServiceQuota;

use crate::account::survey::Counted;
use crate::aws::Aws;
use crate::aws::errors::{code, failed, unread};
use crate::aws::sqs::Metric;
use crate::daemon::cloud::{QuotaRead, Read};
use crate::observation::GapReason;
use crate::units::{Time, Vcpus, f64_to_i64};

/// EC2's name among the services that have quotas.
const EC2: &str = "ec2";
/// And that of EBS.
const EBS: &str = "ebs";
/// Storage of gp3 and gp2 volumes, in TiB.
pub(super) const STORAGE: [&str; 2] = ["L-7A658B76", "L-D18FCD1D"];

/// A quota as it is told.
pub(super) struct Limit {
    pub(super) value: i64,
    /// Whether it is the applied value; else the default.
    pub(super) applied: bool,
    pub(super) found: ServiceQuota,
}

impl Aws {
    pub(super) async fn read_quota(&self, quota: &str) -> Read<QuotaRead> {
        let limit = self.limit_of(quota).await?;
        let (used, counted, counted_at) = self.use_of(&limit.found, quota).await?;
        Ok(QuotaRead {
            limit: Vcpus::new(limit.value),
            used,
            counted,
            counted_at,
        })
    }

    /// The applied value, else the default.
    pub(super) async fn limit_of(&self, quota: &str) -> Read<Limit> {
        let service = if STORAGE.contains(&quota) { EBS } else { EC2 };
        let call = self.quotas.get_service_quota().service_code(service).quota_code(quota);
        let (found, applied) = match call.send().await {
            Ok(answer) => (answer.quota, true),
            // Nobody ever asked for another limit than the default.
            Err(error) if code(&error) == Some("NoSuchResourceException") => {
                let call = self.quotas.get_aws_default_service_quota();
                let answer = call.service_code(service).quota_code(quota).send().await;
                let answer = answer.map_err(|e| unread("servicequotas:GetAWSDefaultServiceQuota", &e))?;
                (answer.quota, false)
            }
            Err(error) => return Err(unread("servicequotas:GetServiceQuota", &error)),
        };
        let found = found.ok_or_else(|| failed(format!("servicequotas:GetServiceQuota told nothing of `{quota}`")))?;
        let value = found.value.filter(|limit| limit.is_finite());
        let value = value.ok_or_else(|| failed(format!("service quota `{quota}` has no value")))?;
        Ok(Limit {
            value: f64_to_i64(value.floor()),
            applied,
            found,
        })
    }

    /// The quota itself names the metric that counts its use. Where that tells nothing (nothing runs, the account is new, the quota
    /// has none), instances are counted.
    pub(super) async fn use_of(&self, found: &ServiceQuota, quota: &str) -> Read<(Vcpus, Counted, Time)> {
        let told = match metric_of(found) {
            Some(metric) => self.latest(metric).await,
            None => Ok(None),
        };
        match told {
            Ok(Some(used)) if used.is_finite() => {
                Ok((Vcpus::new(f64_to_i64(used.ceil())), Counted::Metric, self.clock.now()))
            }
            Ok(_) => self.used_by_instances(quota).await,
            // A moment later it tells.
            Err(unread) if unread.why == GapReason::Throttled => Err(unread),
            Err(unread) => self.used_by_instances(quota).await.map_err(|_| unread),
        }
    }
}

fn metric_of(found: &ServiceQuota) -> Option<Metric<'_>> {
    let usage = found.usage_metric.as_ref()?;
    let dimensions = usage.metric_dimensions.iter().flatten();
    let mut dimensions: Vec<(&str, &str)> = dimensions.map(|(k, v)| (k.as_str(), v.as_str())).collect();
    dimensions.sort_unstable();
    let statistic = usage.metric_statistic_recommendation.as_deref();
    Some(Metric {
        namespace: usage.metric_namespace.as_deref()?,
        name: usage.metric_name.as_deref()?,
        dimensions,
        statistic: statistic.map_or(Statistic::Maximum, Statistic::from),
    })
}
