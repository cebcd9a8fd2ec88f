//! `autotune schema`: the JSON schema of an input file, for editors and other tools, and the table of metrics.

use clap::ValueEnum;

use super::{ExitStatus, Failed, print};
use crate::input::schema_of;
use crate::metrics::metrics_page;
use crate::policy::PolicyFile;
use crate::settings::Settings;
use crate::simulate::scenario::Scenario;

/// Print the JSON schema of an input file, or the table of metrics.
///
/// Editors that know TOML check and complete a file that begins with `#:schema FILE`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What to print.
    #[arg(value_enum, default_value_t = Kind::Policy)]
    kind: Kind,
}

/// What others rely on. A new kind is a word here and a line in [`text`].
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Policy files.
    Policy,
    /// Scenario files.
    Scenario,
    /// Settings files.
    Settings,
    /// No schema: every metric with its unit, labels and stability, in Markdown.
    Metrics,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let text = text(arguments.kind).map_err(|error| super::account::failure(error.to_string()))?;
    print(&text);
    Ok(ExitStatus::Done)
}

fn text(kind: Kind) -> Result<String, serde_json::Error> {
    let schema = match kind {
        Kind::Policy => schema_of::<PolicyFile>(),
        Kind::Scenario => schema_of::<Scenario>(),
        Kind::Settings => schema_of::<Settings>(),
        Kind::Metrics => return Ok(metrics_page()),
    };
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Editors and people read the files in the tree.
    #[test]
    fn what_is_made_for_the_tree_is_fresh() {
        for (kind, name, path) in [
            (Kind::Policy, "policy", "policies/policy.schema.json"),
            (Kind::Scenario, "scenario", "policies/scenarios/scenario.schema.json"),
            (Kind::Settings, "settings", "deploy/autotune.schema.json"),
            (Kind::Metrics, "metrics", "deploy/METRICS.md"),
        ] {
            let in_tree = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let in_tree = std::fs::read_to_string(in_tree).unwrap_or_default();
            let fresh = text(kind).unwrap();
            assert!(in_tree == fresh, "stale: autotune schema {name} > {path}");
        }
    }
}
