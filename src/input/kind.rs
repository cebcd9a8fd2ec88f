//! Which kind of file a text is, by what is in it.

use toml::de::DeTable;

/// A kind of file that people write. The rule is the same wherever files of both kinds may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// What the operator wants: everything that is no scenario.
    Policy,
    /// An account to replay on: has lists `[[environments]]` or `[[queues]]` (a policy has tables of them), or a `model`.
    Scenario,
}

impl FileKind {
    /// The kind of a text, also of one with mistakes.
    pub fn of(text: &str) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        let is_scenario = table.get_ref().iter().any(|(key, value)| match key.get_ref().as_ref() {
            "environments" | "queues" => value.get_ref().is_array(),
            "model" => true,
            _ => false,
        });
        if is_scenario { Self::Scenario } else { Self::Policy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_environments_or_queues_make_a_scenario() {
        let scenarios = [
            "version = 1\n[[environments]]\nname = \"a\"\n",
            "queues = []",
            "model = \"recent\"",
            "version = \n[[queues]]\nnme = ",
        ];
        let policies = [
            "",
            "version = 1",
            "[queues.a]",
            "[environments.a]\nmodel = 1",
            "version = ",
        ];
        assert!(scenarios.iter().all(|text| FileKind::of(text) == FileKind::Scenario));
        assert!(policies.iter().all(|text| FileKind::of(text) == FileKind::Policy));
    }
}
