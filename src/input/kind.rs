//! Which kind of file a text is, by what is in it.

use toml::de::DeTable;

/// A kind of file that people write. The rule is the same wherever files of both kinds may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// What the operator wants: everything else.
    Policy,
    /// An account to replay on: has lists `[[environments]]` or `[[queues]]` (a policy has tables of them), or a `model`.
    Scenario,
    /// What the daemon is started with: has no `version`, and a key that only settings have ([`SETTINGS_KEYS`]).
    Settings,
}

/// Keys by which settings are known. `account` is one where it is text: that of a policy is a table.
pub const SETTINGS_KEYS: [&str; 16] = [
    "apply",
    "policies",
    "account",
    "region",
    "profile",
    "endpoint_url",
    "clock_url",
    "tag",
    "events_queue_url",
    "guard",
    "leadership",
    "unguarded_max_vcpus",
    "on_stop",
    "journal",
    "listen",
    "listen_anywhere",
];

impl FileKind {
    /// The kind of a text, also of one with mistakes.
    pub fn of(text: &str) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        let any = |is: &dyn Fn(&str, &toml::de::DeValue) -> bool| {
            let mut keys = table.get_ref().iter();
            keys.any(|(key, value)| is(key.get_ref().as_ref(), value.get_ref()))
        };
        let is_scenario = any(&|key, value| match key {
            "environments" | "queues" => value.is_array(),
            "model" => true,
            _ => false,
        });
        if is_scenario {
            return Self::Scenario;
        }
        let is_settings = !any(&|key, _| key == "version")
            && any(&|key, value| SETTINGS_KEYS.contains(&key) && (key != "account" || value.is_str()));
        if is_settings { Self::Settings } else { Self::Policy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_daemon_without_a_version_make_settings() {
        let settings = [
            "apply = true",
            "policies = []",
            "account = \"1\"",
            "[journal]\npth = 1",
            "tag = ",
        ];
        let others = [
            "version = 1\napply = true",
            "[account]\nid = \"1\"",
            "[tempo]\nlease = \"1m\"",
        ];
        assert!(settings.iter().all(|text| FileKind::of(text) == FileKind::Settings));
        assert!(others.iter().all(|text| FileKind::of(text) == FileKind::Policy));
    }

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
