//! What the daemon is started with: defaults, then a TOML file, then the environment, then flags. The only reader of the
//! process environment outside `aws`.
//!
//! A key of the file such as `guard.group` is `AUTOTUNE__GUARD__GROUP` in the environment; a single `_` is part of a name.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::input::values::{AccountId, Cpus, Duration, Region};
use crate::input::{self, Document, Problem, read_text, read_toml, read_toml_and_check};
use crate::policy;
use crate::units::{Span, Vcpus};

/// Where the file is looked for if none is named; it need not exist.
pub const FILE: &str = "/etc/autotune/autotune.toml";
/// What names of environment variables begin with.
const PREFIX: &str = "AUTOTUNE__";

/// Settings of `autotune run` and of the commands that look at the same account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Change compute environments. Without it everything is planned and told, and nothing is sent.
    pub apply: bool,
    /// Policy files, folders of them, or names of shipped policies. Relative paths go by the folder of this file; those of
    /// AUTOTUNE__POLICIES and --policy by the working directory.
    pub policies: Vec<PathBuf>,
    /// The AWS account that the credentials must be of. Not set: whichever they are of.
    pub account: Option<AccountId>,
    /// The AWS region. Not set: that of the AWS configuration.
    pub region: Option<Region>,
    /// The profile of the AWS configuration. Not set: the default.
    #[schemars(example = "batch-admin")]
    pub profile: Option<String>,
    /// Another endpoint for all services, for example of a simulated account on this machine. Not set: those of AWS.
    #[schemars(example = "http://127.0.0.1:5000")]
    pub endpoint_url: Option<String>,
    /// Where a simulated account tells its time (`autotune sandbox` prints it). Only together with an `endpoint_url`, without
    /// `leadership`, and only if every URL is one of this machine: nobody's real account runs by another clock. Not set: the time
    /// of this machine.
    #[schemars(example = "http://127.0.0.1:5000/_autotune/clock")]
    pub clock_url: Option<String>,
    /// An environment is written only if it carries this tag, besides being covered by a policy.
    pub tag: Tag,
    /// The SQS queue to which EventBridge sends events (`autotune init --events`). Not set: queues are polled every minute.
    #[schemars(example = "https://sqs.eu-west-1.amazonaws.com/123456789012/autotune-events")]
    pub events_queue_url: Option<String>,
    /// What restores the base in the account itself, should autotune be gone (`autotune init --events`). Not set: raises are
    /// small, see `unguarded_max_vcpus`.
    #[schemars(example = Guard::example())]
    pub guard: Option<Guard>,
    /// Where several processes agree on the one that writes. Not set: this one is alone, and always writes.
    #[schemars(example = Leadership::example())]
    pub leadership: Option<Leadership>,
    /// The most an environment is asked for while there is no guard.
    pub unguarded_max_vcpus: Cpus,
    /// What becomes of raised levels at a stop.
    pub on_stop: OnStop,
    /// Intents, leases, decisions and jobs. A relative `path` goes by the working directory.
    pub journal: Journal,
    /// Where the page, metrics, health and the JSON API are served; default 127.0.0.1:9464, "" serves nowhere.
    pub listen: String,
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

impl Guard {
    /// As the template of `autotune init --events` makes it.
    fn example() -> Self {
        Self {
            group: "autotune".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/autotune-guard".to_owned(),
        }
    }
}

/// A DynamoDB table whose key is the string `id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Leadership {
    /// The table's name.
    pub table: String,
    /// The item in it: the same for all processes of which one is to write.
    #[serde(default = "autotune")]
    pub name: String,
}

impl Leadership {
    fn example() -> Self {
        Self {
            table: autotune(),
            name: autotune(),
        }
    }
}

fn autotune() -> String {
    "autotune".to_owned()
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
    /// The SQLite file, relative to the working directory. Its folder must exist.
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
            leadership: None,
            unguarded_max_vcpus: Cpus(Vcpus::new(64)),
            on_stop: OnStop::default(),
            journal: Journal::default(),
            listen: "127.0.0.1:9464".to_owned(),
            listen_anywhere: false,
        }
    }
}

impl Default for Tag {
    fn default() -> Self {
        Self {
            key: autotune(),
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

impl Settings {
    /// Where it serves, if anywhere.
    pub fn listens_at(&self) -> Option<&str> {
        Some(self.listen.as_str()).filter(|listen| !listen.is_empty())
    }
}

/// Reads the file (if named, or if [`FILE`] exists) and lays the environment over it. Every problem at once.
pub fn load(file: Option<&Path>) -> Result<Settings, Vec<Problem>> {
    let file = file.or_else(|| Some(Path::new(FILE)).filter(|file| file.exists()));
    let (name, text) = match file {
        Some(path) => (path.display().to_string(), read(path)?),
        None => ("defaults".to_owned(), String::new()),
    };
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    let variables = std::env::vars_os();
    // What is not Unicode is none of ours, or told as a value that cannot be read.
    let text_of = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables = variables.map(|(key, value)| (text_of(key), text_of(value)));
    layered(&name, folder_of(file), &text, variables)
}

/// The folder of a settings file; empty, which is the working directory, without one.
pub fn folder_of(file: Option<&Path>) -> &Path {
    file.and_then(Path::parent).unwrap_or_else(|| Path::new(""))
}

/// Where a supervisor such as systemd wants to hear of this process, if it has one.
pub fn supervisor_socket() -> Option<std::ffi::OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    let mut variables = std::env::vars_os();
    let found = variables.find(|(key, _)| key == "NOTIFY_SOCKET");
    found.map(|(_, socket)| socket).filter(|socket| !socket.is_empty())
}

fn read(path: &Path) -> Result<String, Vec<Problem>> {
    let hint = "`autotune init` prints one to begin with";
    let add = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.with_hint(hint)).collect();
    read_text(path, "a settings file", &[]).map_err(add)
}

/// As [`load`], from a text in this folder and these variables.
pub fn layered(
    name: &str,
    folder: &Path,
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, Vec<Problem>> {
    let (mut policies_of_file, mut problems) = match parse(name, text) {
        Ok(document) => (Some(policies(&document, folder)), Vec::new()),
        Err(problems) => (None, problems),
    };
    let mut layers = config::Config::builder().add_source(config::File::from_str(text, config::FileFormat::Toml));
    let mut named = Vec::new();
    for (variable, value) in variables {
        let Some(key) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let key = key.to_lowercase().replace("__", ".");
        policies_of_file = policies_of_file.filter(|_| key != "policies");
        match line_of(&variable, &key, &value) {
            Ok(line) => layers = layers.add_source(config::File::from_str(&line, config::FileFormat::Toml)),
            Err(problem) => problems.push(*problem),
        }
        named.push(variable);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let of = if named.is_empty() {
        name.to_owned()
    } else {
        format!("{name} with {}", named.join(", "))
    };
    let settings = layers.build().and_then(config::Config::try_deserialize);
    let mut settings: Settings = settings.map_err(|error: config::ConfigError| {
        let found = error.to_string().replace('\n', " ");
        vec![Problem::of_file(&of, found, "settings that are whole")]
    })?;
    if let Some(policies) = policies_of_file {
        settings.policies = policies;
    }
    check(&of, settings)
}

/// What must hold between settings, wherever they are from. `of` is what problems call them.
pub fn check(of: &str, settings: Settings) -> Result<Settings, Vec<Problem>> {
    let document = Document::without_places(of, settings);
    let problems = contradictions(&document);
    if problems.is_empty() {
        Ok(document.value)
    } else {
        Err(problems)
    }
}

/// A variable as a line of TOML. Its text is a string where the key takes one (an account id stays what it is), else a number,
/// `true`, `false`, or a list with commas.
fn line_of(variable: &str, key: &str, value: &str) -> Result<String, Box<Problem>> {
    let quoted = toml::Value::String(value.to_owned()).to_string();
    let list = toml::Value::Array(value.split(',').map(|part| part.trim().into()).collect());
    let is_scalar = value.parse::<bool>().is_ok() || value.parse::<i64>().is_ok();
    let forms = [
        Some(quoted),
        is_scalar.then(|| value.to_owned()),
        Some(list.to_string()),
    ];
    let mut first = None;
    for form in forms.into_iter().flatten() {
        let line = format!("{key} = {form}\n");
        // Of this key alone: what else is missing may stand in the file.
        let wrong = match read_toml::<Settings>(variable, &line) {
            Ok(_) => None,
            Err(problems) => problems
                .into_iter()
                .find(|problem| key.starts_with(&problem.key) && problem.found != input::NOTHING),
        };
        match wrong {
            None => return Ok(line),
            Some(problem) => first = first.or(Some(problem)),
        }
    }
    let mut problem = first.unwrap_or_else(|| Problem::of_file(variable, input::quoted(value), "a setting"));
    // There is no line to point at.
    (problem.line, problem.column) = (0, 0);
    if problem.hint.is_none() {
        problem.hint = Some(format!(
            "variables are keys of the file with {PREFIX} before and __ for every dot: {PREFIX}GUARD__GROUP"
        ));
    }
    Err(Box::new(problem))
}

/// Where the policies of a settings file in this folder are: relative paths that it names go by the folder.
pub fn policies(document: &Document<Settings>, folder: &Path) -> Vec<PathBuf> {
    let named = &document.value.policies;
    match document.place("policies") {
        Some(_) => policy::beside(folder, named),
        None => named.clone(),
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
    // A folder with an empty path after it is the folder.
    let empty = |(_, path): &(usize, &PathBuf)| path.as_os_str().is_empty();
    for (at, _) in settings.policies.iter().enumerate().filter(empty) {
        let key = input::item_path("policies", at);
        problems.push(document.problem(&key, "an empty text", "a path, or the name of a shipped policy"));
    }
    problems.extend(no_listener(document));
    if let Some(url) = settings.endpoint_url.as_ref().filter(|url| !is_endpoint(url)) {
        problems.push(document.problem("endpoint_url", input::quoted(url), ENDPOINT));
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
    if settings.clock_url.is_some() && settings.leadership.is_some() {
        problems.push(
            document
                .problem("leadership", "a table", "none together with `clock_url`")
                .with_hint("leases of that table go by the time of this machine"),
        );
    }
    if settings.leadership.is_some() && settings.guard.is_none() {
        problems.push(
            document
                .problem("leadership", "no `guard`", "a `guard` beside it")
                .with_hint("a successor learns from the guards what the one before has raised; `autotune init --events` prints what they need"),
        );
    }
    if settings.tag.key.is_empty() {
        problems.push(document.problem("tag.key", "nothing", "the key of a tag"));
    }
    problems
}

fn no_listener(document: &Document<Settings>) -> Option<Problem> {
    let listen = document.value.listens_at()?;
    let tell = |expected: &str| document.problem("listen", input::quoted(listen), expected);
    match listen.parse::<std::net::SocketAddr>() {
        Ok(address) if address.ip().is_loopback() || document.value.listen_anywhere => None,
        Ok(_) => Some(
            tell("an address of this machine alone, such as 127.0.0.1:9464")
                .with_hint("what is served has no login; `listen_anywhere = true` if a proxy stands in front"),
        ),
        Err(_) => Some(tell("ADDRESS:PORT, such as 127.0.0.1:9464, or \"\" to serve nowhere")),
    }
}

/// What an endpoint must be.
pub const ENDPOINT: &str = "a URL such as http://127.0.0.1:5000";

/// Whether it is the URL of an endpoint, as far as its form tells: the SDK of AWS panics over others.
pub fn is_endpoint(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_plain = |letter: char| letter.is_ascii_graphic() && !"<>\"\\^`{|}".contains(letter);
    rest.is_some_and(|rest| !rest.starts_with(['/', '?', '#', ':']) && !rest.is_empty() && rest.chars().all(is_plain))
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
