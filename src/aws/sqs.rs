//! Backlogs in SQS: counts from the queue, the age of the oldest message from CloudWatch.

use std::sync::PoisonError;

use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_types::DateTime;

use crate::aws::Aws;
use crate::aws::errors::{failed, unread};
use crate::aws::topology::name_of;
use crate::daemon::cloud::Read;
use crate::observation::SqsNow;
use crate::units::Span;

/// How far back a metric is looked for: after a silence SQS takes up to 15 minutes to publish again.
const LOOK_BACK: Span = Span::from_minutes(15);

impl Aws {
    pub(super) async fn read_messages(&self, sqs: &str) -> Read<SqsNow> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let url = self.sqs_url(sqs).await?;
        let call = self.sqs.get_queue_attributes().queue_url(url);
        let call = call.set_attribute_names(Some(names.to_vec()));
        let answer = call.send().await.map_err(|e| unread("sqs:GetQueueAttributes", &e))?;
        let attributes = answer.attributes.unwrap_or_default();
        let [visible, in_flight, delayed] = names.map(|name| {
            let count = attributes.get(&name).and_then(|text| text.parse::<i64>().ok());
            // A count that is missing is not a count of none.
            count.ok_or_else(|| failed(format!("sqs:GetQueueAttributes of `{sqs}` did not tell {name}")))
        });
        Ok(SqsNow {
            visible: visible?.max(0),
            in_flight: in_flight?.max(0),
            delayed: delayed?.max(0),
        })
    }

    pub(super) async fn read_oldest(&self, sqs: &str) -> Read<Option<Span>> {
        let metric = Metric {
            namespace: "AWS/SQS",
            name: "ApproximateAgeOfOldestMessage",
            dimensions: vec![("QueueName", name_of(sqs))],
            statistic: Statistic::Maximum,
        };
        Ok(self.latest(metric).await?.and_then(Span::from_seconds_f64))
    }

    /// The latest value of a metric within the last quarter of an hour.
    pub(super) async fn latest(&self, metric: Metric<'_>) -> Read<Option<f64>> {
        let now = self.clock.now();
        let dimensions = metric.dimensions.iter();
        let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(*name).value(*value).build());
        let answer = self
            .cloudwatch
            .get_metric_statistics()
            .namespace(metric.namespace)
            .metric_name(metric.name)
            .set_dimensions(Some(dimensions.collect()))
            .start_time(DateTime::from_millis((now - LOOK_BACK).millis()))
            .end_time(DateTime::from_millis(now.millis()))
            .period(60)
            .statistics(metric.statistic)
            .send()
            .await
            .map_err(|e| unread("cloudwatch:GetMetricStatistics", &e))?;
        let points = answer.datapoints.unwrap_or_default().into_iter();
        let latest = points.max_by_key(|point| point.timestamp);
        Ok(latest.and_then(|point| point.maximum.or(point.sum).or(point.average).or(point.minimum)))
    }

    /// The URL of a queue that may be named by its URL already.
    async fn sqs_url(&self, sqs: &str) -> Read<String> {
        if sqs.starts_with("https://") || sqs.starts_with("http://") {
            return Ok(sqs.to_owned());
        }
        let known = self
            .sqs_urls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(sqs)
            .cloned();
        if let Some(url) = known {
            return Ok(url);
        }
        let answer = self.sqs.get_queue_url().queue_name(sqs).send().await;
        let answer = answer.map_err(|e| unread("sqs:GetQueueUrl", &e))?;
        let Some(url) = answer.queue_url else {
            return Err(failed(format!("sqs:GetQueueUrl told no URL for `{sqs}`")));
        };
        let mut urls = self.sqs_urls.lock().unwrap_or_else(PoisonError::into_inner);
        urls.insert(sqs.to_owned(), url.clone());
        Ok(url)
    }
}

/// A metric of CloudWatch.
pub(super) struct Metric<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) dimensions: Vec<(&'a str, &'a str)>,
    pub(super) statistic: Statistic,
}
