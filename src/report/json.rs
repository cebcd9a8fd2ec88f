//! A comparison as one JSON document, for programs.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{QUEUES_TOLD, Report, TRUST, view_name};
use crate::simulate::compare::Compared;
use crate::simulate::metric::Metric;
use crate::simulate::routes::UnknownQueues;
use crate::simulate::summary::{Interval, Summary};
use crate::simulate::view::ViewModel;
use crate::units::{Span, to_u64};

/// A comparison of policies in the replay of a recording.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Comparison<'a> {
    /// The version of this format: 1.
    version: u32,
    /// Always `simulated`.
    source: &'static str,
    /// The name of the model of AWS Batch.
    model: &'a str,
    /// How much the model is to be believed.
    model_trust: &'static str,
    /// The scenario's name.
    scenario: &'a str,
    /// What was replayed, in a few words.
    trace: &'a str,
    /// How imperfect the controllers' sight was.
    view: View,
    /// The seeds, in the order of the runs.
    seeds: &'a [u64],
    /// Recorded queues that the scenario does not have; null: none.
    unknown_queues: Option<Unknown<'a>>,
    /// The policies, the one under test first.
    policies: Vec<Policy<'a>>,
}

/// Recorded queues that the scenario does not have.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Unknown<'a> {
    /// How many jobs they have.
    jobs: u64,
    /// The queue of the scenario that took them.
    to: &'a str,
    /// How many queues.
    count: u64,
    /// Those with the most jobs, five at most.
    queues: Vec<UnknownQueue<'a>>,
}

/// One of them.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct UnknownQueue<'a> {
    /// Its name in the recording.
    name: &'a str,
    /// Its jobs.
    jobs: u64,
}

/// How imperfect the controllers' sight was.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct View {
    /// `recent`, `perfect` or `custom`.
    name: &'static str,
    /// Compute environments are read this often.
    environments_seconds: f64,
    /// SQS queues are read this often.
    sqs_seconds: f64,
    /// Jobs are listed again this often although no hint came.
    resync_seconds: f64,
    /// Without hints, jobs are listed this often.
    poll_seconds: f64,
    /// Between a change and the hint of it; absent: no hints.
    hint_seconds: Option<f64>,
    /// Hints tell of environments and SQS messages too, which no service does.
    hints_of_everything: bool,
    /// Share of hints that are lost, per mille.
    hints_lost_permille: u64,
    /// Share of hints that come twice, per mille.
    hints_doubled_permille: u64,
    /// From reading the first page to deciding.
    listing_seconds: f64,
    /// How old the counts in an array parent's summary are.
    summary_lag_seconds: f64,
    /// From deciding to the update's arrival at AWS Batch.
    sending_seconds: f64,
    /// To move the guard before a raise.
    arming_seconds: f64,
    /// SQS counts are wrong by up to this share, per mille.
    sqs_error_permille: i64,
}

/// One policy's runs.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Policy<'a> {
    /// Its name.
    name: &'a str,
    /// What a person should know about it although nothing is wrong.
    notes: &'a [String],
    /// One run per seed.
    runs: Vec<Run<'a>>,
    /// Mean and 95 % interval over the seeds, of all queues together.
    all: Figures<OverSeeds>,
    /// The same for each queue where there are several.
    queues: Vec<Queue<'a, OverSeeds>>,
}

/// One run.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Run<'a> {
    /// Its seed.
    seed: u64,
    /// All queues together.
    all: Figures<f64>,
    /// Each queue where there are several.
    queues: Vec<Queue<'a, f64>>,
}

/// The figures of one queue.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Queue<'a, T> {
    /// Its name.
    name: &'a str,
    /// Those figures that exist for each queue.
    figures: QueueFigures<T>,
}

/// Mean and 95 % interval of the mean over seeds (Student's t); the mean itself for one seed.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct OverSeeds {
    /// The mean.
    mean: f64,
    /// The lower end.
    low: f64,
    /// The upper end.
    high: f64,
}

impl From<Interval> for OverSeeds {
    fn from(Interval { mean, low, high }: Interval) -> Self {
        Self { mean, low, high }
    }
}

/// Figures by their column, in the order of [`Metric::ALL`]; null where absent.
struct Figures<T>(Vec<(&'static Metric, Option<T>)>);

/// Those of one queue.
struct QueueFigures<T>(Vec<(&'static Metric, Option<T>)>);

fn figures<T>(queue: Option<&str>, read: impl Fn(&'static Metric) -> Option<T>) -> Vec<(&'static Metric, Option<T>)> {
    let metrics = Metric::ALL
        .iter()
        .filter(|metric| queue.is_none() || metric.is_per_queue());
    metrics.map(|metric| (metric, read(metric))).collect()
}

macro_rules! figures {
    ($name:ident, $metrics:expr) => {
        impl<T: Serialize> Serialize for $name<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(metric, figure)| (metric.column(), figure)))
            }
        }

        impl<T: JsonSchema> JsonSchema for $name<T> {
            fn schema_name() -> Cow<'static, str> {
                format!("{}Of{}", stringify!($name), T::schema_name()).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let metrics: Vec<&Metric> = Metric::ALL.iter().filter($metrics).collect();
                let mut properties = serde_json::Map::new();
                for metric in &metrics {
                    let figure = generator.subschema_for::<Option<T>>();
                    let described = serde_json::json!({ "description": metric.help, "allOf": [figure] });
                    properties.insert(metric.column(), described);
                }
                let columns: Vec<String> = metrics.iter().map(|metric| metric.column()).collect();
                json_schema!({
                    "type": "object",
                    "properties": properties,
                    "required": columns,
                    "additionalProperties": false,
                })
            }
        }
    };
}

figures!(Figures, |_| true);
figures!(QueueFigures, |metric| metric.is_per_queue());

/// The JSON schema of the documents that [`Report::json`] makes.
pub fn schema() -> Schema {
    schemars::schema_for!(Comparison<'static>)
}

/// The document, ended by a newline.
pub(super) fn render(report: &Report<'_>) -> Result<String, serde_json::Error> {
    let document = Comparison {
        version: 1,
        source: "simulated",
        model: report.model,
        model_trust: TRUST,
        scenario: report.scenario,
        trace: report.trace,
        view: view(report.view),
        seeds: report.seeds,
        unknown_queues: report.unknown_queues.map(unknown),
        policies: report
            .compared
            .iter()
            .map(|candidate| policy(candidate, report.seeds))
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

fn unknown(unknown: &UnknownQueues) -> Unknown<'_> {
    let queues = unknown.queues.iter().take(QUEUES_TOLD);
    Unknown {
        jobs: unknown.jobs(),
        to: &unknown.to,
        count: to_u64(unknown.queues.len()),
        queues: queues.map(|(name, jobs)| UnknownQueue { name, jobs: *jobs }).collect(),
    }
}

fn view(view: ViewModel) -> View {
    let ViewModel {
        environments,
        sqs,
        resync,
        poll,
        hint,
        hints_of_everything,
        hints_lost_permille,
        hints_doubled_permille,
        listing,
        summary_lag,
        sending,
        arming,
        sqs_error_permille,
    } = view;
    View {
        name: view_name(view),
        environments_seconds: environments.seconds_f64(),
        sqs_seconds: sqs.seconds_f64(),
        resync_seconds: resync.seconds_f64(),
        poll_seconds: poll.seconds_f64(),
        hint_seconds: hint.map(Span::seconds_f64),
        hints_of_everything,
        hints_lost_permille,
        hints_doubled_permille,
        listing_seconds: listing.seconds_f64(),
        summary_lag_seconds: summary_lag.seconds_f64(),
        sending_seconds: sending.seconds_f64(),
        arming_seconds: arming.seconds_f64(),
        sqs_error_permille,
    }
}

fn policy<'a>(candidate: &'a Compared, seeds: &[u64]) -> Policy<'a> {
    let over = |queue| figures(queue, |metric| metric.over(&candidate.runs, queue).map(OverSeeds::from));
    let first = candidate.runs.first();
    Policy {
        name: &candidate.name,
        notes: &candidate.notes,
        runs: seeds
            .iter()
            .zip(&candidate.runs)
            .map(|(seed, summary)| run(*seed, summary))
            .collect(),
        all: Figures(over(None)),
        queues: queues(first, over),
    }
}

fn run(seed: u64, summary: &Summary) -> Run<'_> {
    let of = |queue| figures(queue, |metric| metric.of(summary, queue));
    Run {
        seed,
        all: Figures(of(None)),
        queues: queues(Some(summary), of),
    }
}

fn queues<'a, T>(
    run: Option<&'a Summary>,
    figures: impl Fn(Option<&'a str>) -> Vec<(&'static Metric, Option<T>)>,
) -> Vec<Queue<'a, T>> {
    let names = run
        .into_iter()
        .flat_map(|run| &run.queues)
        .map(|waits| waits.queue.as_str());
    names
        .map(|name| Queue {
            name,
            figures: QueueFigures(figures(Some(name))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use crate::simulate::summary::Quantiles;

    fn document(compared: &[Compared], seeds: &[u64]) -> serde_json::Value {
        serde_json::from_str(&samples::report(compared, seeds).json().unwrap()).unwrap()
    }

    #[test]
    fn documents_are_as_the_schema_says() {
        let schema = serde_json::to_value(schema()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut empty = samples::compared(1, &["a", "b"]);
        empty[0].runs[0] = Summary::default();
        let documents = [
            document(&samples::compared(1, &[]), &[1]),
            document(&samples::compared(3, &["a", "b"]), &[1, 2, 3]),
            document(&empty, &[1]),
            document(&[], &[]),
        ];
        let unknown = UnknownQueues {
            queues: (0..7).map(|number| (format!("q{number}"), 10 - number)).collect(),
            to: "default".to_owned(),
        };
        let compared = samples::compared(1, &[]);
        let mut report = samples::report(&compared, &[1]);
        report.unknown_queues = Some(&unknown);
        let lost: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        let told = &lost["unknown_queues"];
        assert_eq!((&told["jobs"], &told["count"]), (&49.into(), &7.into()));
        assert_eq!(told["queues"].as_array().unwrap().len(), 5);
        assert!(report.table().contains(
            "* jobs of queues that the scenario does not have, which went to default: 49 (10 of q0, 9 of q1, 8 of q2, \
             7 of q3, 6 of q4, and those of 2 more)\n"
        ));
        for document in documents.iter().chain([&lost]) {
            let errors: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
        let mut wrong = documents[0].clone();
        wrong["policies"][0]["runs"][0]["all"]["cost_usd"] = "much".into();
        assert!(!validator.is_valid(&wrong));
        wrong = documents[0].clone();
        wrong["policies"][0]["runs"][0]["all"]["speed"] = 1.into();
        assert!(!validator.is_valid(&wrong));
    }

    #[test]
    fn figures_are_whole_and_intervals_are_over_seeds() {
        let mut compared = samples::compared(2, &["a", "b"]);
        for run in &mut compared[1].runs {
            run.makespan = Quantiles::default();
        }
        let document = document(&compared, &[4, 5]);
        assert_eq!(
            (&document["version"], &document["source"]),
            (&1.into(), &"simulated".into())
        );
        assert_eq!(document["model_trust"], "assumed until calibrated");
        let (tested, stock) = (&document["policies"][0], &document["policies"][1]);
        assert_eq!(tested["runs"][0]["seed"], 4);
        assert_eq!(tested["runs"][0]["all"]["cost_usd"], 1.381_94);
        assert_eq!(tested["runs"][1]["queues"][1]["name"], "b");
        assert_eq!(tested["runs"][0]["queues"][0]["figures"]["wait_p95_seconds"], 45.0);
        let wait = Interval::of(&compared[0].runs.iter().map(|run| run.all.wait.mean).collect::<Vec<_>>());
        assert_eq!(tested["all"]["wait_mean_seconds"]["low"], wait.low);
        assert_eq!(tested["all"]["wait_mean_seconds"]["high"], wait.high);
        assert_eq!(stock["all"]["makespan_mean_seconds"], serde_json::Value::Null);
    }
}
