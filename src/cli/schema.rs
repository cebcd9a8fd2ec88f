//! `autotune schema`: the JSON schema of an input file, for editors and other tools.

use clap::ValueEnum;

use super::{ExitStatus, Failed, print};
use crate::input::schema_of;
use crate::policy::PolicyFile;
use crate::simulate::scenario::Scenario;

/// Prints the JSON schema of an input file.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Of which kind of file.
    #[arg(value_enum, default_value_t = Kind::Policy)]
    kind: Kind,
}

/// Kinds of input files. A new kind is a word here and a line in [`text`].
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Policy files.
    Policy,
    /// Scenario files.
    Scenario,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    print(&text(arguments.kind).map_err(|error| Failed {
        status: ExitStatus::Failure,
        message: error.to_string(),
    })?);
    Ok(ExitStatus::Done)
}

fn text(kind: Kind) -> Result<String, serde_json::Error> {
    let schema = match kind {
        Kind::Policy => schema_of::<PolicyFile>(),
        Kind::Scenario => schema_of::<Scenario>(),
    };
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Editors read the files in the tree.
    #[test]
    fn the_schemas_in_the_tree_are_fresh() {
        for (kind, name, path) in [
            (Kind::Policy, "policy", "policies/policy.schema.json"),
            (Kind::Scenario, "scenario", "policies/scenarios/scenario.schema.json"),
        ] {
            let in_tree = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let in_tree = std::fs::read_to_string(in_tree).unwrap_or_default();
            let fresh = text(kind).unwrap();
            assert!(in_tree == fresh, "stale: autotune schema {name} > {path}");
        }
    }
}
