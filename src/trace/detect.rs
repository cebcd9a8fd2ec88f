//! What a file is, decided from its beginning and never from its name.

use std::path::Path;

use serde::Serialize;

use super::report::{Problem, excerpt};
use super::{native, swf};

/// The kinds of recordings that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// This program's own format, see [`native`].
    Native,
    /// Standard Workload Format.
    Swf,
    /// Nextflow's `trace.txt`.
    Nextflow,
    /// Tasks as Seqera Platform's API and `tw runs dump` write them (`workflow-tasks.json`).
    SeqeraJson,
    /// The same tasks as a table.
    SeqeraTable,
    /// A workflow graph in WfFormat.
    WfFormat,
    /// Workflow graphs, one JSON object per line.
    WfLines,
    /// EventBridge events "Batch Job State Change", one JSON object per line.
    BatchEvents,
    /// Output of `aws batch describe-jobs`.
    BatchJobs,
    /// Any other table with a header line.
    Table,
}

impl Format {
    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "autotune trace",
            Self::Swf => "Standard Workload Format",
            Self::Nextflow => "Nextflow trace",
            Self::SeqeraJson => "Seqera tasks (JSON)",
            Self::SeqeraTable => "Seqera tasks (table)",
            Self::WfFormat => "WfFormat graph",
            Self::WfLines => "workflow graphs (JSON lines)",
            Self::BatchEvents => "AWS Batch job events",
            Self::BatchJobs => "AWS Batch job descriptions",
            Self::Table => "table",
        }
    }
}

/// Decides the format from the first bytes of the unpacked content.
pub(super) fn detect(path: &Path, head: &[u8]) -> Result<Format, Problem> {
    let expected = "a recording of jobs";
    let known = "known are: Nextflow trace.txt, Seqera workflow-tasks.json, Standard Workload Format, WfFormat, \
                 AWS Batch job events, aws batch describe-jobs, tables with a header, and the format of `trace convert`";
    let Some(first) = head.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return Err(Problem::new(path, "an empty file", expected));
    };
    if matches!(first, b'{' | b'[') {
        let keys = first_keys(head);
        return json(&keys).ok_or_else(|| {
            let names: Vec<&str> = keys.iter().take(8).map(String::as_str).collect();
            Problem::new(path, format!("JSON with the keys {names:?}"), expected).hint(known)
        });
    }
    if head.contains(&0) {
        return Err(Problem::new(path, "binary data", expected).hint(known));
    }
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty());
    let data = lines.find(|line| !line.starts_with(b";"));
    match data {
        None => Ok(Format::Swf),
        Some(line) if swf::looks_like(line) => Ok(Format::Swf),
        Some(line) => header(line)
            .ok_or_else(|| Problem::new(path, format!("text that begins {}", excerpt(line)), expected).hint(known)),
    }
}

fn json(keys: &[String]) -> Option<Format> {
    let has = |key: &str| keys.iter().any(|known| known == key);
    if has(native::HEADER_KEY) {
        Some(Format::Native)
    } else if has("detail-type") || has("detail") {
        Some(Format::BatchEvents)
    } else if has("jobs") {
        Some(Format::BatchJobs)
    } else if has("workflow") || has("schemaVersion") {
        Some(Format::WfFormat)
    } else if has("instance") {
        Some(Format::WfLines)
    } else if has("tasks") || has("task") || has("taskId") || (has("hash") && has("process")) {
        Some(Format::SeqeraJson)
    } else {
        None
    }
}

fn header(line: &[u8]) -> Option<Format> {
    let text = std::str::from_utf8(line).ok()?;
    let delimiter = super::table::delimiter(text)?;
    let columns: Vec<&str> = text
        .split(delimiter)
        .map(|name| name.trim().trim_matches('"'))
        .collect();
    let has = |name: &str| columns.contains(&name);
    if has("task_id") && has("realtime") && has("duration") {
        Some(Format::Nextflow)
    } else if has("process") && has("submit") && has("memory_bytes") && has("cpus") {
        Some(Format::SeqeraTable)
    } else {
        Some(Format::Table)
    }
}

/// The keys of the outermost object, or of the first object of an outermost array, as far as the beginning reaches. Works on
/// cut-off JSON, which a parser would refuse.
fn first_keys(head: &[u8]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut depth = 0_usize;
    let mut outermost = None;
    let mut text: Option<Vec<u8>> = None;
    let mut finished: Option<Vec<u8>> = None;
    let mut escaped = false;
    for byte in head {
        if let Some(open) = text.as_mut() {
            match byte {
                _ if escaped => {
                    escaped = false;
                    open.push(*byte);
                }
                b'\\' => escaped = true,
                b'"' => finished = text.take(),
                _ => open.push(*byte),
            }
            continue;
        }
        match byte {
            b'"' => text = Some(Vec::new()),
            b':' if outermost == Some(depth) => {
                keys.extend(finished.take().map(|name| String::from_utf8_lossy(&name).into_owned()));
            }
            b'{' => {
                depth += 1;
                outermost.get_or_insert(depth);
            }
            b'[' => depth += 1,
            b'}' | b']' => {
                if *byte == b'}' && outermost == Some(depth) {
                    break;
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_seen_from_the_content() {
        let cases: [(&str, Format); 14] = [
            ("; Version: 2.2\n", Format::Swf),
            (
                "  1 0 0 222 80 -1 -1 80 14400 1200000 1 1 1 -1 1 -1 -1 -1\n",
                Format::Swf,
            ),
            (
                "task_id\thash\tnative_id\tname\tstatus\texit\tsubmit\tduration\trealtime\n",
                Format::Nextflow,
            ),
            ("run\tprocess\tsubmit\tstart\tcpus\tmemory_bytes\n", Format::SeqeraTable),
            ("submit_ms,run_ms\n1,2\n", Format::Table),
            ("{\"autotune_trace\":1}\n", Format::Native),
            (
                "{\"version\":\"0\",\"detail-type\":\"Batch Job State Change\"}",
                Format::BatchEvents,
            ),
            ("{\n  \"jobs\": [\n {\"jobId\"", Format::BatchJobs),
            ("{\"name\":\"x\",\"workflow\":{\"tasks\":[", Format::WfFormat),
            ("{\"instance\":\"a\",\"tasks\":[{\"name\":\"jobs\"", Format::WfLines),
            (
                "[{\"hash\":\"ab/cd\",\"name\":\"A (1)\",\"process\":\"A\"",
                Format::SeqeraJson,
            ),
            ("{\"tasks\":[{\"task\":{", Format::SeqeraJson),
            ("[{\"task\":{\"taskId\":1}}]", Format::SeqeraJson),
            ("\n\n{\"a\":\"\\\"jobs\\\":\",\"jobs\":[]}", Format::BatchJobs),
        ];
        for (head, format) in cases {
            assert_eq!(detect(Path::new("x"), head.as_bytes()), Ok(format), "{head}");
        }
    }

    #[test]
    fn what_is_no_recording_is_said_to_be_none() {
        for head in ["", " \n\n", "{\"a\":1}", "[]", "hello world", "\u{0}\u{1}"] {
            assert!(detect(Path::new("x"), head.as_bytes()).is_err(), "{head:?}");
        }
    }
}
