//! Which queue of a scenario takes the jobs of which recorded one: its namesake, or the one that `--queue` names.

use std::str::FromStr;

use super::scenario::Scenario;
use crate::input::quoted;
use crate::trace::Trace;
use crate::units::to_usize;

/// What recordings that name no queues call theirs.
const UNNAMED: [&str; 2] = ["", "default"];

/// Most names in a list.
const LISTED_MOST: usize = 20;

/// Jobs of a recorded queue go to a queue of the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name in the recording.
    pub recorded: String,
    /// The name in the scenario.
    pub scenario: String,
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Recorded names may hold anything, those of a scenario are ours.
        let (recorded, scenario) = text
            .rsplit_once('=')
            .ok_or("expected RECORDED=SCENARIO, for example nightly=default")?;
        Ok(Self {
            recorded: recorded.to_owned(),
            scenario: scenario.to_owned(),
        })
    }
}

/// Recorded queues that the scenario does not know, and where their jobs went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownQueues {
    /// Each with its jobs, the most jobs first.
    pub queues: Vec<(String, u64)>,
    /// The queue that took them: the scenario's first.
    pub to: String,
}

impl UnknownQueues {
    /// How many jobs there are in them.
    pub fn jobs(&self) -> u64 {
        self.queues.iter().map(|(_, jobs)| jobs).sum()
    }
}

/// Gives recorded queues the names of those that take their jobs. What has no namesake and no route goes to the first queue and
/// is told. Fails with every problem: names in routes that nobody has, and a recording of several queues that a scenario of
/// several does not know, because nobody can say which is which.
pub fn route(scenario: &Scenario, trace: &mut Trace, routes: &[Route]) -> Result<Option<UnknownQueues>, Vec<String>> {
    let recorded = recorded(trace);
    let problems = problems(scenario, &recorded, routes);
    if !problems.is_empty() {
        return Err(problems);
    }
    let known = |name: &str| scenario.queues.iter().any(|queue| queue.name == name);
    let routed = |name: &str| routes.iter().find(|route| route.recorded == name);
    let named = |name: &str| !UNNAMED.contains(&name);
    let mut unknown: Vec<(String, u64)> = recorded
        .iter()
        .filter(|(name, _)| named(name) && !known(name) && routed(name).is_none())
        .cloned()
        .collect();
    unknown.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let several = recorded.iter().filter(|(name, _)| named(name)).count() > 1;
    if several && scenario.queues.len() > 1 && !unknown.is_empty() {
        return Err(vec![refusal(scenario, &unknown)]);
    }
    for name in &mut trace.queues {
        if let Some(route) = routed(name) {
            name.clone_from(&route.scenario);
        }
    }
    let first = scenario.queues.first().filter(|_| !unknown.is_empty());
    Ok(first.map(|first| UnknownQueues {
        queues: unknown,
        to: first.name.clone(),
    }))
}

/// Queues of the recording that have jobs, with how many.
fn recorded(trace: &Trace) -> Vec<(String, u64)> {
    let mut jobs = vec![0; trace.queues.len()];
    for job in &trace.jobs {
        if let Some(count) = jobs.get_mut(to_usize(job.queue)) {
            *count += 1;
        }
    }
    let counted = trace.queues.iter().cloned().zip(jobs);
    counted.filter(|(_, jobs)| *jobs > 0).collect()
}

/// What is wrong with the routes.
fn problems(scenario: &Scenario, recorded: &[(String, u64)], routes: &[Route]) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, route) in routes.iter().enumerate() {
        let Route {
            recorded: from,
            scenario: to,
        } = route;
        if !recorded.iter().any(|(name, _)| name == from) {
            let expected = listed(recorded.iter().map(told));
            problems.push(format!(
                "--queue: found {} before the =, expected a queue of the recording: {expected}",
                quoted(from)
            ));
        }
        if !scenario.queues.iter().any(|queue| queue.name == *to) {
            problems.push(format!(
                "--queue: found {} after the =, expected a queue of the scenario: {}",
                quoted(to),
                names(scenario)
            ));
        }
        let twice = routes
            .iter()
            .take(at)
            .any(|other| other.recorded == *from && other.scenario != *to);
        if twice {
            problems.push(format!(
                "--queue: found {} twice, expected one queue for it",
                quoted(from)
            ));
        }
    }
    problems
}

fn refusal(scenario: &Scenario, unknown: &[(String, u64)]) -> String {
    format!(
        "--trace: found jobs of queues that the scenario does not have: {}; expected its own: {}\n  \
         hint: --queue RECORDED=SCENARIO for each of them, or record with `record --keep-names` under the scenario's names",
        listed(unknown.iter().map(told)),
        names(scenario)
    )
}

fn told((name, jobs): &(String, u64)) -> String {
    format!("{} ({jobs} {})", quoted(name), if *jobs == 1 { "job" } else { "jobs" })
}

fn names(scenario: &Scenario) -> String {
    listed(scenario.queues.iter().map(|queue| quoted(&queue.name)))
}

/// The first of a list; there may be thousands.
fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(LISTED_MOST);
    let list = items.take(LISTED_MOST).collect::<Vec<_>>().join(", ");
    match more {
        0 => list,
        _ => format!("{list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{ReadOptions, read};

    const TWO: &str = "two-queues";
    const ONE: &str = "spot-128";

    /// A job for each of these queues.
    fn recorded_in(queues: &[&str]) -> Trace {
        let mut lines = vec![r#"{"autotune_trace":{"version":1}}"#.to_owned()];
        for (id, queue) in queues.iter().enumerate() {
            lines.push(format!(
                r#"{{"job":{{"id":{id},"submit_ms":5,"run_ms":9,"vcpus":1,"memory_mib":1,"queue":"{queue}","name":"n"}}}}"#
            ));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        read(&[path], &ReadOptions::default()).unwrap().trace
    }

    fn routed(
        scenario: &str,
        queues: &[&str],
        routes: &[&str],
    ) -> Result<(Vec<String>, Option<UnknownQueues>), String> {
        let scenario = Scenario::load(std::path::Path::new(scenario)).unwrap();
        let routes: Vec<Route> = routes.iter().map(|text| text.parse().unwrap()).collect();
        let mut trace = recorded_in(queues);
        let unknown = route(&scenario, &mut trace, &routes).map_err(|problems| problems.join("\n"))?;
        let names = trace.jobs.iter().map(|job| trace.queues[to_usize(job.queue)].clone());
        Ok((names.collect(), unknown))
    }

    #[test]
    fn jobs_go_where_a_route_says_and_their_namesake_else() {
        let (names, unknown) = routed(TWO, &["a", "urgent", "b"], &["a=urgent", "b=default"]).unwrap();
        assert_eq!(
            (names, unknown),
            (["urgent", "urgent", "default"].map(str::to_owned).to_vec(), None)
        );
        assert!("nightly".parse::<Route>().is_err());
        let route: Route = "a=b=default".parse().unwrap();
        assert_eq!((route.recorded.as_str(), route.scenario.as_str()), ("a=b", "default"));
    }

    #[test]
    fn what_one_queue_takes_anyhow_is_told_and_not_refused() {
        let told = |scenario: &str, queues: &[&str]| routed(scenario, queues, &[]).unwrap().1;
        let unknown = told(ONE, &["a", "b", "b", "default"]).unwrap();
        assert_eq!(unknown.queues, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        assert_eq!((unknown.jobs(), unknown.to.as_str()), (3, "default"));
        // Only one name: no two queues are thrown together.
        assert_eq!(told(TWO, &["a", "a", "default"]).unwrap().jobs(), 2);
        assert_eq!(told(TWO, &["default", "urgent"]), None);
        assert_eq!(told(ONE, &["default", ""]), None);
    }

    #[test]
    fn queues_that_nobody_can_match_are_refused_with_the_names_of_both_sides() {
        let refused = |queues: &[&str], routes: &[&str], words: &[&str]| {
            let problem = routed(TWO, queues, routes).unwrap_err();
            for word in words {
                assert!(problem.contains(word), "{word} is missing in {problem}");
            }
        };
        let both = ["\"a\" (1 job)", "\"default\", \"urgent\"", "--queue RECORDED=SCENARIO"];
        refused(&["a", "urgent"], &[], &both);
        refused(&["a", "b"], &["b=default"], &both);
        refused(&["a", "a"], &["x=urgent"], &["\"x\" before the =", "\"a\" (2 jobs)"]);
        refused(
            &["a"],
            &["a=urgnet"],
            &["\"urgnet\" after the =", "\"default\", \"urgent\""],
        );
        refused(&["a"], &["a=urgent", "a=default"], &["\"a\" twice"]);
        let many: Vec<String> = (0..30).map(|number| format!("q{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        refused(&many, &[], &["and 10 more"]);
    }
}
