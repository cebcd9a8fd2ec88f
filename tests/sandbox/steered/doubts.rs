//! Every open question about AWS Batch, answered the other way, with the daemon at work: whatever AWS does, nothing is refused
//! again and again, all jobs run, and everything is left at its base.

use super::{Case, KEEPS, SPOT, Steered, Work};

/// The questions and their other answers, as `tests/replay` scores policies by.
const DOUBTS: &[(&str, &str)] = &[
    ("accepts_min_above_desired", "false"),
    ("accepts_max_below_desired", "true"),
    ("min_raise_delay", "'120s'"),
    ("updating", "'300s'"),
    ("scales_while_updating", "false"),
    ("desired_kept", "'20m'"),
    ("idle_on_demand", "'10m'"),
    ("idle_spot", "'10m'"),
    ("next_environment_after", "'300s'"),
    ("ends_unused_at_once", "true"),
    ("counts_capacity_of_updates", "false"),
    ("places_on_later_environments", "false"),
    ("keeps_unfulfilled_when_min_falls", "true"),
    ("head_of_line_blocking", "false"),
    ("overshoots_max", "false"),
    ("smallest_launched_vcpus", "2"),
    ("decision_delay", "'60s'"),
    ("evaluation_interval", "'300s'"),
    ("looks_at_once_when_idle", "false\nevaluation_interval = '300s'"),
    ("cooldown_after_scale_in", "'300s'"),
];

#[test]
fn whatever_the_answer_jobs_run_and_nothing_is_left_raised() {
    std::thread::scope(|scope| {
        for (name, answer) in DOUBTS {
            scope.spawn(move || {
                let work = Work::default().burst(12, 0, 200).burst(12, 900, 120);
                let scenario = format!("{SPOT}[model_overrides]\n{name} = {answer}\n");
                let case = Case {
                    speed: 60,
                    ..Case::new(&scenario, KEEPS, work)
                };
                let steered = Steered::begin(&case);
                let outcome = steered.finish();
                assert_eq!(outcome.succeeded, 24, "{name}: {}", steered.log());
                assert_eq!(steered.trouble(), [""; 0], "{name}: {}", steered.log());
                assert!(steered.updates() > 1, "{name}: nothing was raised and lowered");
            });
        }
    });
}
