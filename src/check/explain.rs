//! Rules for people: one at a time, and all as a page.

use std::fmt::Write as _;

use super::{Rule, rules};

/// What stands before the rules in `deploy/CHECKS.md`.
const HEAD: &str = "# Checks

Made by `autotune schema checks`; a test fails where this file is stale. `autotune check` looks for these, `autotune check --explain AT101`
explains one. Codes are stable, and one that is given up is not used again. *error*: jobs do not start, are lost, or money is spent on
nothing. *warning*: something will go wrong under load, or costs more than it has to. *info*: worth knowing. A finding may be less or
more severe than its rule where that is said. What could not be read is told as \"could not check\": neither good nor bad.

Sizes of jobs on disk are nowhere in AWS Batch: 2 GiB an image, 1 GiB of scratch and an hour a job are assumed, and what follows from
assumptions is a warning at most (`--image-gib`, `--scratch-gib` and `--job-minutes` state them).
";

const SUBJECTS: [(&str, &str); 7] = [
    ("AT1", "Disk"),
    ("AT2", "Launch templates and images"),
    ("AT3", "Roles and network"),
    ("AT4", "Queues and environments"),
    ("AT5", "Jobs"),
    ("AT6", "Service quotas"),
    ("AT7", "The policy and autotune itself"),
];

/// One rule, for a terminal.
pub fn explanation(rule: &Rule) -> String {
    let mut text = format!("{} {} ({})\n\n", rule.code, rule.name, rule.severity);
    let _ = writeln!(
        text,
        "Finds: {}\n\nWhy: {}\n\nFix: {}\n",
        rule.finds, rule.why, rule.fix
    );
    for source in rule.sources {
        let _ = writeln!(text, "Source: {source}");
    }
    text
}

/// All rules, as `deploy/CHECKS.md` has them.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for (begin, subject) in SUBJECTS {
        let _ = write!(page, "\n## {begin}xx: {subject}\n");
        for rule in rules().filter(|rule| rule.code.starts_with(begin)) {
            let _ = write!(
                page,
                "\n### {} {}\n\n*{}.* {}\n\n",
                rule.code, rule.name, rule.severity, rule.finds
            );
            let sources: Vec<String> = rule.sources.iter().map(|source| shown(source)).collect();
            let _ = write!(
                page,
                "**Why.** {}\n\n**Fix.** {}\n\nSources: {}\n",
                rule.why,
                rule.fix,
                sources.join(", ")
            );
        }
    }
    page
}

fn shown(source: &str) -> String {
    if source.starts_with("https://") {
        format!("<{source}>")
    } else {
        source.to_owned()
    }
}
