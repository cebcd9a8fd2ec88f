//! What the daemon is started with: defaults, then a TOML file, then the environment, then flags. The only reader of the
//! process environment outside `aws`.
//!
//! A key of the file such as `guard.group` is `AUTOTUNE__GUARD__GROUP` in the environment; a single `_` is part of a name.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::input::values::{AccountId, Cpus, Duration, Region};
use crate::input::{self, Document, Problem, read_text, read_toml_and_check};
use crate::units::{Span, Vcpus};

/// Where the file is looked for if none is named; it need not exist.
pub const FILE: &str = "/etc/autotune/autotune.toml";
/// What names of environment variables begin with.
const PREFIX: &str = "AUTOTUNE";

/// Settings of `autotune run` and of the commands that look at the same account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Change compute environments. Without it everything is planned and told, and nothing is sent.
    pub apply: bool,
    /// Policy files, folders of them, or names of shipped policies.
    pub policies: Vec<PathBuf>,
    /// The AWS account that the credentials must be of. Not set: whichever they are of.
    pub account: Option<AccountId>,
    /// The AWS region. Not set: that of the AWS configuration.
    pub region: Option<Region>,
    /// The profile of the AWS configuration. Not set: the default.
    pub profile: Option<String>,
    /// Another endpoint for all services, for example of a simulated account on this machine. Not set: those of AWS.
    pub endpoint_url: Option<String>,
    /// Where a simulated account tells its time (`autotune sandbox` prints it). Only together with an `endpoint_url`, and only if both
    /// are on this machine: nobody's real account runs by another clock. Not set: the time of this machine.
    pub clock_url: Option<String>,
    /// An environment is written only if it carries this tag, besides being covered by a policy.
    pub tag: Tag,
    /// The SQS queue to which EventBridge sends events (`autotune init --events`). Not set: queues are polled every minute.
    pub events_queue_url: Option<String>,
    /// What restores the base in the account itself, should autotune be gone (`autotune init --events`). Not set: raises are
    /// small, see `unguarded_max_vcpus`.
    pub guard: Option<Guard>,
    /// The most an environment is asked for while there is no guard.
    pub unguarded_max_vcpus: Cpus,
    /// What becomes of raised levels at a stop.
    pub on_stop: OnStop,
    /// Intents, leases, decisions and jobs.
    pub journal: Journal,
    /// Where metrics, health and the JSON API are served. Not set: nowhere.
    pub listen: Option<String>,
    /// Allow `listen` to be another address than this machine's own. What is served is read-only and has no login: put a proxy
    /// in front.
    pub listen_anywhere: bool,
}

/// The tag that opts an environment in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// EventBridge Scheduler as a dead man's switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The schedule group.
    pub group: String,
    /// The role that the scheduler assumes to call UpdateComputeEnvironment.
    pub role_arn: String,
}

/// What becomes of raised levels at a stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStop {
    /// They stand until their leases end, ten minutes at most, so that the next process goes on with them.
    #[default]
    HandOver,
    /// They go back to base.
    Restore,
}

/// The journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// The SQLite file. Its folder must exist.
    pub path: PathBuf,
    /// History older than this is dropped.
    pub keep: Duration,
    /// Above this size, in MiB, the oldest history is dropped.
    pub most_mebibytes: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            apply: false,
            policies: vec![PathBuf::from("reactive")],
            account: None,
            region: None,
            profile: None,
            endpoint_url: None,
            clock_url: None,
            tag: Tag::default(),
            events_queue_url: None,
            guard: None,
            unguarded_max_vcpus: Cpus(Vcpus::new(64)),
            on_stop: OnStop::default(),
            journal: Journal::default(),
            listen: Some("127.0.0.1:9464".to_owned()),
            listen_anywhere: false,
        }
    }
}

impl Default for Tag {
    fn default() -> Self {
        Self {
            key: "autotune".to_owned(),
            value: "enabled".to_owned(),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            path: PathBuf::from("autotune.journal"),
            keep: Duration(Span::from_minutes(90 * 24 * 60)),
            most_mebibytes: 1024,
        }
    }
}

/// Reads the file (if named, or if [`FILE`] exists) and lays the environment over it. Every problem at once.
pub fn load(file: Option<&Path>) -> Result<Settings, Vec<Problem>> {
    let (name, text) = match file {
        Some(path) => (path.display().to_string(), read_text(path, "settings", &[])?),
        None if Path::new(FILE).exists() => (FILE.to_owned(), read_text(Path::new(FILE), "settings", &[])?),
        None => ("defaults".to_owned(), String::new()),
    };
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    let variables = std::env::vars();
    layered(&name, &text, variables)
}

/// As [`load`], from a text and these variables.
pub fn layered(
    name: &str,
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, Vec<Problem>> {
    parse(name, text)?;
    let ours = variables
        .into_iter()
        .filter(|(key, _)| key.starts_with(&format!("{PREFIX}__")))
        .collect();
    let environment = config::Environment::with_prefix(PREFIX)
        .prefix_separator("__")
        .separator("__")
        .list_separator(",")
        .with_list_parse_key("policies")
        .try_parsing(true)
        .source(Some(ours));
    let settings: Result<Settings, config::ConfigError> = config::Config::builder()
        .add_source(config::File::from_str(text, config::FileFormat::Toml))
        .add_source(environment)
        .build()
        .and_then(config::Config::try_deserialize);
    let settings = settings.map_err(|error| {
        let hint = format!("keys of the file, with {PREFIX}__ before and __ for every dot: {PREFIX}__GUARD__GROUP");
        let found = error.to_string().replace('\n', " ");
        vec![Problem::of_file("the environment", found, "a setting").with_hint(hint)]
    })?;
    let document = Document::without_places("the environment", settings);
    let problems = contradictions(&document);
    if problems.is_empty() {
        Ok(document.value)
    } else {
        Err(problems)
    }
}

/// Reads a settings file strictly.
pub fn parse(name: &str, text: &str) -> Result<Document<Settings>, Vec<Problem>> {
    read_toml_and_check(name, text, contradictions)
}

fn contradictions(document: &Document<Settings>) -> Vec<Problem> {
    let settings = &document.value;
    let mut problems = Vec::new();
    if settings.policies.is_empty() {
        problems.push(document.problem("policies", "an empty list", "at least one policy"));
    }
    if let Some(listen) = &settings.listen {
        match listen.parse::<std::net::SocketAddr>() {
            Ok(address) if !address.ip().is_loopback() && !settings.listen_anywhere => problems.push(
                document
                    .problem(
                        "listen",
                        input::quoted(listen),
                        "an address of this machine alone, such as 127.0.0.1:9464",
                    )
                    .with_hint("what is served has no login; `listen_anywhere = true` if a proxy stands in front"),
            ),
            Ok(_) => {}
            Err(_) => {
                let expected = "ADDRESS:PORT, such as 127.0.0.1:9464";
                problems.push(document.problem("listen", input::quoted(listen), expected));
            }
        }
    }
    if let Some(clock) = &settings.clock_url {
        let others = [settings.endpoint_url.as_ref(), settings.events_queue_url.as_ref()];
        let local = |url: &String| is_of_this_machine(url);
        if settings.endpoint_url.is_none() || !others.into_iter().flatten().chain([clock]).all(local) {
            problems.push(
                document
                    .problem(
                        "clock_url",
                        input::quoted(clock),
                        "http:// and an address of this machine, as in `endpoint_url` and `events_queue_url`",
                    )
                    .with_hint("only a simulated account has a clock of its own; see `autotune sandbox`"),
            );
        }
    }
    if settings.tag.key.is_empty() {
        problems.push(document.problem("tag.key", "nothing", "the key of a tag"));
    }
    problems
}

/// Whether a URL can lead nowhere else than to this machine: by an address, because a name means what others say.
fn is_of_this_machine(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let address: Result<std::net::SocketAddr, _> = authority.parse();
    address.is_ok_and(|address| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variables = variables
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        layered("autotune.toml", text, variables).map_err(|problems| input::render(&problems))
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let text = "apply = true\nunguarded_max_vcpus = 32\n[guard]\ngroup = \"a\"\nrole_arn = \"r\"\n";
        let variables = [
            ("AUTOTUNE__GUARD__GROUP", "b"),
            ("AUTOTUNE__POLICIES", "thrifty,warm-hours"),
            ("AUTOTUNE_LOG", "debug"),
            ("HOME", "/root"),
        ];
        let settings = with(text, &variables).unwrap();
        assert!(settings.apply);
        assert_eq!(settings.unguarded_max_vcpus, Cpus(Vcpus::new(32)));
        assert_eq!(settings.guard.unwrap().group, "b");
        assert_eq!(
            settings.policies,
            [PathBuf::from("thrifty"), PathBuf::from("warm-hours")]
        );
        assert_eq!(settings.on_stop, OnStop::HandOver);
    }

    #[test]
    fn another_clock_is_for_accounts_on_this_machine_only() {
        let settings = |endpoint: &str, events: &str, clock: &str| {
            let line = |key: &str, url: &str| {
                if url.is_empty() {
                    String::new()
                } else {
                    format!("{key} = {url:?}\n")
                }
            };
            let lines = [
                line("endpoint_url", endpoint),
                line("events_queue_url", events),
                line("clock_url", clock),
            ];
            with(&lines.concat(), &[])
        };
        let here = "http://127.0.0.1:4566";
        assert!(settings(here, "", "http://127.0.0.1:4566/_autotune/clock").is_ok());
        assert!(settings("http://[::1]:4566", "http://[::1]:4566/1/q", "http://[::1]:4566/c").is_ok());
        assert!(settings("https://batch.example", "", "").is_ok());
        for (endpoint, events, clock) in [
            ("", "", here),
            ("https://batch.eu-central-1.amazonaws.com", "", here),
            (here, "https://sqs.eu-central-1.amazonaws.com/1/q", here),
            (here, "", "http://10.0.0.1:4566/clock"),
            (here, "", "http://localhost:4566/clock"),
            (here, "", "http://127.0.0.1:80@evil.example/clock"),
            ("http://127.0.0.1.evil.example:80", "", here),
        ] {
            let wrong = settings(endpoint, events, clock).unwrap_err();
            assert!(wrong.contains("clock_url"), "{endpoint} {events} {clock}: {wrong}");
        }
    }

    #[test]
    fn every_mistake_says_where_it_is_and_what_was_expected() {
        let wrong = with("aply = true\nlisten = \"0.0.0.0:80\"\npolicies = []\n", &[]).unwrap_err();
        assert!(wrong.contains("autotune.toml:1:1: aply"), "{wrong}");
        let wrong = with("listen = \"0.0.0.0:80\"\npolicies = []\n", &[]).unwrap_err();
        assert!(
            wrong.contains("autotune.toml:1") && wrong.contains("listen_anywhere") && wrong.contains("policies"),
            "{wrong}"
        );
        let wrong = with("", &[("AUTOTUNE__APLY", "true")]).unwrap_err();
        assert!(
            wrong.contains("aply") && wrong.contains("AUTOTUNE__GUARD__GROUP"),
            "{wrong}"
        );
    }
}
