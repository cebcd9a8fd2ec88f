//! Service quotas of EC2: the applied limit, and what the whole account uses of it.

use aws_sdk_cloudwatch::types::Statistic;
use aws_sdk_servicequotas::types::ServiceQuota;

use crate::aws::Aws;
use crate::aws::errors::{code, failed, unread};
use crate::aws::sqs::Metric;
use crate::daemon::cloud::Read;
use crate::observation::QuotaNow;
use crate::units::{Vcpus, f64_to_i64};

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
    /// `used_by_others` is what the whole account uses, ours included: who knows what is ours subtracts it.
    pub(super) async fn read_quota(&self, quota: &str) -> Read<QuotaNow> {
        let limit = self.limit_of(quota).await?;
        let used = self.use_of(&limit.found, quota).await?;
        Ok(QuotaNow {
            limit: Vcpus::new(limit.value),
            used_by_others: used,
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

    /// The quota itself names the metric that counts its use. A metric without a value says that nothing runs.
    pub(super) async fn use_of(&self, found: &ServiceQuota, quota: &str) -> Read<Vcpus> {
        let usage = found.usage_metric.as_ref();
        let Some((usage, namespace, name)) =
            usage.and_then(|u| Some((u, u.metric_namespace.as_deref()?, u.metric_name.as_deref()?)))
        else {
            return Err(failed(format!(
                "service quota `{quota}` names no metric of its use, so what is left of it is not known"
            )));
        };
        let dimensions = usage.metric_dimensions.iter().flatten();
        let mut dimensions: Vec<(&str, &str)> = dimensions.map(|(k, v)| (k.as_str(), v.as_str())).collect();
        dimensions.sort_unstable();
        let statistic = usage.metric_statistic_recommendation.as_deref();
        let metric = Metric {
            namespace,
            name,
            dimensions,
            statistic: statistic.map_or(Statistic::Maximum, Statistic::from),
        };
        let used = self.latest(metric).await?.filter(|used| used.is_finite());
        Ok(Vcpus::new(f64_to_i64(used.unwrap_or_default().ceil())))
    }
}
