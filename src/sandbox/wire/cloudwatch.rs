//! CloudWatch: what the account tells of its SQS queues and of its use of EC2. Metrics hold the present value, once a minute; the
//! past is not kept.

use serde_json::{Value, json};

use super::Reply;
use super::calls::Call;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::sandbox::wire::quotas;
use crate::units::{Span, Time, i64_to_f64};

/// How far apart points are.
const PERIOD: i64 = 60;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let range = (time(input, "StartTime")?, time(input, "EndTime")?);
    let answer = match call.operation {
        "GetMetricStatistics" => state.statistics(input, range),
        _ => state.data(input, range),
    };
    answer.map(Reply::Members)
}

fn missing(name: &str) -> Refused {
    let text = format!("The parameter {name} is required.");
    Refused::new(400, "MissingRequiredParameterException", text)
}

fn time(input: Input<'_>, name: &str) -> Taken<Time> {
    let seconds = input.number(name)?.ok_or_else(|| missing(name))?;
    let span = Span::from_seconds_f64(seconds);
    let wrong = || {
        Refused::new(
            400,
            "InvalidParameterValueException",
            format!("The value of {name} is not a time."),
        )
    };
    Ok(Time::EPOCH + span.ok_or_else(wrong)?)
}

impl State {
    fn statistics(&self, input: Input<'_>, range: (Time, Time)) -> Taken<Value> {
        input.whole("Period")?.ok_or_else(|| missing("Period"))?;
        let value = self.metric(input)?;
        let name = input.text("MetricName")?.unwrap_or_default();
        let point = self.point(range).and_then(|at| Some((at, value?)));
        let statistics = input.texts("Statistics")?;
        if statistics.is_empty() {
            return Err(missing("Statistics"));
        }
        let points = point.map(|(at, value)| {
            let mut point = json!({"Timestamp": at, "Unit": "None"});
            if let Value::Object(members) = &mut point {
                for statistic in statistics {
                    let value = if statistic == "SampleCount" { 1.0 } else { value };
                    members.insert(statistic.to_owned(), json!(value));
                }
            }
            point
        });
        Ok(json!({"Label": name, "Datapoints": points.into_iter().collect::<Vec<Value>>()}))
    }

    fn data(&self, input: Input<'_>, range: (Time, Time)) -> Taken<Value> {
        let mut results = Vec::new();
        for query in input.structures("MetricDataQueries")? {
            let id = query.text("Id")?.ok_or_else(|| missing("Id"))?;
            let Some(stat) = query.structure("MetricStat")? else {
                let text = "This simulation knows metrics, and no expressions.";
                return Err(Refused::new(400, "InvalidParameterValueException", text));
            };
            let metric = stat.structure("Metric")?.ok_or_else(|| missing("Metric"))?;
            let value = self.metric(metric)?;
            let point = self.point(range).and_then(|at| Some((at, value?)));
            let (times, values): (Vec<i64>, Vec<f64>) = point.into_iter().unzip();
            let label = metric.text("MetricName")?.unwrap_or_default();
            results.push(
                json!({"Id": id, "Label": label, "Timestamps": times, "Values": values, "StatusCode": "Complete"}),
            );
        }
        Ok(json!({"MetricDataResults": results, "Messages": []}))
    }

    /// The second at which the present value was told, if it lies in the range.
    fn point(&self, (start, end): (Time, Time)) -> Option<i64> {
        let seconds = self.now.millis().div_euclid(1_000);
        let minute = seconds - seconds.rem_euclid(PERIOD);
        let at = Time::from_seconds(minute);
        (start <= at && at < end).then_some(minute)
    }

    /// The present value of a metric; `None` for one that tells nothing.
    fn metric(&self, metric: Input<'_>) -> Taken<Option<f64>> {
        let namespace = metric.text("Namespace")?.ok_or_else(|| missing("Namespace"))?;
        let name = metric.text("MetricName")?.ok_or_else(|| missing("MetricName"))?;
        let mut dimensions = Vec::new();
        for dimension in metric.structures("Dimensions")? {
            let (name, value) = (dimension.text("Name")?, dimension.text("Value")?);
            dimensions.push((name.unwrap_or_default(), value.unwrap_or_default()));
        }
        let dimension = |wanted: &str| {
            let mut all = dimensions.iter();
            all.find(|(name, _)| *name == wanted).map(|(_, value)| *value)
        };
        Ok(match (namespace, name) {
            ("AWS/SQS", _) => dimension("QueueName").and_then(|queue| self.sqs_metric(queue, name)),
            ("AWS/Usage", "ResourceCount") => {
                let code = dimension("Class").and_then(quotas::code_of_class);
                code.map(|code| i64_to_f64(self.world.quota_used(code).get()))
            }
            _ => None,
        })
    }

    fn sqs_metric(&self, queue: &str, name: &str) -> Option<f64> {
        let counts = self.sqs_counts(queue)?;
        match name {
            "ApproximateAgeOfOldestMessage" => self.oldest_message(queue).map(Span::seconds_f64),
            "ApproximateNumberOfMessagesVisible" => Some(i64_to_f64(counts.visible)),
            "ApproximateNumberOfMessagesNotVisible" => Some(i64_to_f64(counts.in_flight)),
            "ApproximateNumberOfMessagesDelayed" => Some(i64_to_f64(counts.delayed)),
            _ => None,
        }
    }
}
