//! A daemon elsewhere, asked over its JSON API.

#[cfg(test)]
mod tests;

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{Response, StatusCode, Uri};

use super::account::failure;
use super::{ExitStatus, Failed};
use crate::explain::printable;
use crate::settings::Settings;

/// A daemon answers what it knows at once.
const SHORT: Duration = Duration::from_secs(10);
/// A recording is put together first, and then must not stand still for so long.
const LONG: Duration = Duration::from_mins(2);
/// So much of an answer that nobody expected is shown.
const MOST_SHOWN: usize = 200;

/// Where the daemon is: `--url`, else `listen` of the settings.
pub(super) fn address(url: Option<&str>, settings: &Settings) -> Result<String, Failed> {
    let Some(url) = url else {
        let listen = settings.listens_at().map(|listen| format!("http://{listen}"));
        let served_nowhere =
            "the daemon of these settings serves nowhere, since `listen` is empty; --url asks another one";
        return listen.ok_or_else(|| bad_url("nothing", served_nowhere));
    };
    let quoted = crate::input::quoted(url);
    let Ok(parsed) = url.parse::<Uri>() else {
        return Err(bad_url(&quoted, "http:// and a host, perhaps with a port"));
    };
    if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none_or(str::is_empty) {
        return Err(bad_url(&quoted, "it begins with http:// or https://"));
    }
    if parsed.query().is_some() {
        return Err(bad_url(&quoted, "without a question mark and what follows it"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn bad_url(found: &str, hint: &str) -> Failed {
    Failed {
        status: ExitStatus::BadInput,
        message: format!(
            "--url: found {found}, expected the address of a daemon, such as http://127.0.0.1:9464\nhint: {hint}"
        ),
    }
}

/// The body of the answer to a GET.
pub(super) fn ask(url: &str) -> Result<String, Failed> {
    let mut answer = get(url, SHORT)?;
    let text = answer.body_mut().read_to_string();
    text.map_err(|error| failure(format!("{url}: {error}")))
}

/// The same, bit by bit: for what may be long.
pub(super) fn stream(url: &str) -> Result<impl Read + use<>, Failed> {
    Ok(get(url, LONG)?.into_body().into_reader())
}

fn get(url: &str, patience: Duration) -> Result<Response<ureq::Body>, Failed> {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(SHORT))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .http_status_as_error(false);
    // The way to this machine leads through no proxy.
    let host = url.parse::<Uri>().ok().and_then(|url| url.host().map(str::to_owned));
    let config = match host {
        Some(host) if is_this_machine(&host) => config.proxy(None),
        Some(_) | None => config,
    };
    let agent: ureq::Agent = config.build().into();
    let mut answer = agent.get(url).call().map_err(|error| {
        let error = error.to_string();
        failure(format!(
            "no daemon answers at {}: {}\nhint: is it running? `autotune run`, or give --url",
            printable(url),
            printable(&error)
        ))
    })?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    Err(failure(refusal(url, answer.status(), &text)))
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    let loopback = bare
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    loopback || bare.eq_ignore_ascii_case("localhost")
}

/// What a daemon says when it does not do what it is asked.
#[derive(Deserialize)]
struct Trouble {
    error: String,
}

fn refusal(url: &str, status: StatusCode, text: &str) -> String {
    let url = printable(url);
    match serde_json::from_str::<Trouble>(text) {
        Ok(Trouble { error }) => {
            let hint = if status == StatusCode::NOT_FOUND && error.contains("no such page") {
                "\nhint: the daemon may be of an older version than this program"
            } else {
                ""
            };
            format!("{url} answers {status}: {}{hint}", printable(&error))
        }
        Err(_) => format!(
            "{url} answers {status}, which is no answer of autotune: {}\nhint: does --url name a daemon, and nothing in front \
             of it that wants a login?",
            shown(text)
        ),
    }
}

/// An answer that is not what was asked for.
pub(super) fn not_ours(url: &str, what: &str, error: &impl std::fmt::Display) -> Failed {
    failure(format!(
        "{} answers what is no {what} of this version of autotune: {}\nhint: does --url name a daemon, and one of this version?",
        printable(url),
        printable(&error.to_string())
    ))
}

/// The beginning of an answer.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(MOST_SHOWN).collect();
    let more = if start.len() < text.len() { "..." } else { "" };
    format!("{}{more}", printable(&start))
}

/// A value of a query, percent-encoded.
pub(super) fn escaped(value: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
