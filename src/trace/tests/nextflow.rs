//! Nextflow and Seqera.

use std::fmt::Write as _;

use super::{lines, read_text, sized};
use crate::trace::{ReadOptions, Remark};
use crate::units::Span;

const HEADER: &str = "task_id\thash\tnative_id\tname\tstatus\texit\tsubmit\tduration\trealtime\tpeak_rss\n";

fn trace_txt(rows: &[&str]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| row.replace('|', "\t")).collect();
    format!("{HEADER}{}\n", rows.join("\n"))
}

#[test]
fn completion_order_becomes_submission_order() {
    let text = trace_txt(&[
        "2|a|uuid-2|B (x)|COMPLETED|0|2022-05-13 03:02:26.456|7m 9s|16.2s|205.4 MB",
        "1|b|uuid-1|A|FAILED|1|2022-05-13 03:02:20.000|39.2s|16s|204 MB",
        "3|c|uuid-3|C|CACHED|0|2022-05-13 03:02:20.000|39.2s|16s|204 MB",
        "4|c|uuid-4|C|RUNNING|-|2022-05-13 03:02:20.000|-|-|-",
        "5|c|uuid-5|C|ABORTED|-|2022-05-13 03:02:20.000|-|-|-",
        "6|c|1234|C|COMPLETED|0|2022-05-13 03:02:20.000|5s|5s|-",
    ]);
    let loaded = read_text(&text, &sized()).unwrap();
    let expected = [
        "A 1652410940000 16000 23200 1 1024",
        "B 1652410946456 16200 412800 1 1024",
    ];
    assert_eq!(lines(&loaded.trace), expected);
    let counted = [
        Remark::Cached,
        Remark::Unfinished,
        Remark::NeverRan,
        Remark::RanElsewhere,
    ];
    assert_eq!(counted.map(|remark| loaded.report.count(remark)), [1, 1, 1, 1]);
    assert_eq!(loaded.report.count(Remark::ZoneAssumed), 3);
}

/// Each of its times is one that could be. Found by a fuzzer: written down it could not be read again.
#[test]
fn a_run_of_more_than_a_hundred_years_is_none() {
    let text = r#"[{"taskId":1,"hash":"x","process":"P","submit":"2023-10-13T04:26:39Z","start":"211111111111",
        "complete":"2160-10-13T04:27:39Z","cpus":1,"memory":99999999,"status":"COMPLETED"},
        {"taskId":2,"hash":"y","process":"Q","submit":"1971-01-01T00:00:00Z","start":"2100-01-01T00:00:00Z",
        "complete":"2100-01-01T00:01:00Z","cpus":1,"memory":99999999,"status":"COMPLETED"},
        {"taskId":3,"hash":"z","process":"R","submit":"2023-10-13T04:26:39Z","start":"2023-10-13T04:26:49Z",
        "complete":"2023-10-13T04:27:39Z","cpus":1,"memory":99999999,"status":"COMPLETED"}]"#;
    let loaded = read_text(text, &ReadOptions::default()).unwrap();
    assert_eq!(lines(&loaded.trace).len(), 1);
    assert_eq!(loaded.report.count(Remark::MissingRun), 2);
}

#[test]
fn times_are_read_in_the_zone_that_was_given() {
    let text = trace_txt(&["1|b|u|A|COMPLETED|0|2022-05-13 03:00:00|2s|1s|-"]);
    let time_zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
    let loaded = read_text(&text, &ReadOptions { time_zone, ..sized() }).unwrap();
    assert_eq!(loaded.trace.jobs[0].submit.millis(), 1_652_425_200_000);
}

#[test]
fn later_attempts_get_their_own_size() {
    let rows = ["1", "2", "3"].map(|id| format!("{id}|h|u|A (x)|FAILED|1|2022-05-13 03:00:0{id}|2s|1s|-"));
    let text = trace_txt(&rows.each_ref().map(String::as_str));
    let mut options = sized();
    options.sizes.vcpus_per_attempt = vec![2, 4];
    options.sizes.memory_mib = None;
    options.sizes.memory_per_vcpu_mib = Some(10);
    let loaded = read_text(&text, &options).unwrap();
    let sizes: Vec<_> = loaded
        .trace
        .jobs
        .iter()
        .map(|job| loaded.trace.shape_of(job).resources.vcpus.get())
        .collect();
    assert_eq!(sizes, [2, 4, 4]);
}

#[test]
fn json_and_table_of_seqera_say_the_same() {
    let table = "run\ttask_id\tnative_id\tprocess\tstatus\tattempt\tsubmit\tstart\tcomplete\trealtime_ms\tduration_ms\tcpus\tmemory_bytes\tqueue\n\
        r\t17\tabc\tTABIX\tCOMPLETED\t1\t2023-10-13T04:26:39Z\t2023-10-13T04:34:23Z\t2023-10-13T04:35:23Z\t0\t463841\t2\t1073741824\tq\n";
    let task = r#"{"taskId":17,"nativeId":"abc","process":"TABIX","name":"TABIX (1)","status":"COMPLETED","attempt":1,
        "submit":"2023-10-13T04:26:39Z","start":"2023-10-13T04:34:23Z","complete":"2023-10-13T04:35:23Z","realtime":0,
        "duration":463841,"cpus":2,"memory":1073741824,"queue":"q","executor":"awsbatch","hash":"ab/cd"}"#;
    let expected = ["TABIX 1697171199000 60000 464000 2 1024"];
    let contents = [
        table.to_owned(),
        format!("[{task}]"),
        format!("{{\"tasks\":[{{\"task\":{task}}}],\"total\":1}}"),
        task.to_owned(),
    ];
    for content in contents {
        let loaded = read_text(&content, &ReadOptions::default()).unwrap();
        assert_eq!(lines(&loaded.trace), expected, "{content}");
        assert_eq!(loaded.trace.queues, ["q"]);
    }
}

/// Rows of a Seqera table: id, process, submit second, start second, end second.
fn graph(rows: &[(u32, &str, u32, u32, u32)]) -> String {
    let time = |second: u32| format!("2023-10-13T04:{:02}:{:02}Z", second / 60, second % 60);
    let mut text = "task_id\tprocess\tname\tsubmit\tstart\tcomplete\tcpus\tmemory_bytes\n".to_owned();
    for (id, name, submit, start, end) in rows {
        let process = name.split(" (").next().unwrap();
        let (submit, start, end) = (time(*submit), time(*start), time(*end));
        writeln!(text, "{id}\t{process}\t{name}\t{submit}\t{start}\t{end}\t1\t1073741824").unwrap();
    }
    text
}

#[test]
fn dependencies_are_inferred_with_care() {
    let text = graph(&[
        (1, "PREPARE", 0, 5, 10),
        (2, "ALIGN (a)", 12, 20, 100),
        (3, "ALIGN (b)", 12, 20, 100),
        (4, "CALL (b)", 102, 110, 150),
        (5, "CALL (a)", 102, 110, 170),
        (6, "REPORT", 175, 180, 190),
        (7, "MANUAL", 1000, 1001, 1002),
    ]);
    let options = ReadOptions {
        rebuild_dependencies: true,
        ..ReadOptions::default()
    };
    let loaded = read_text(&text, &options).unwrap();
    let trace = &loaded.trace;
    let parents: Vec<(String, Vec<String>, Option<Span>)> = trace
        .jobs
        .iter()
        .map(|job| {
            let name = |job: &crate::trace::Job| {
                format!(
                    "{} {}",
                    trace.names[crate::units::to_usize(job.name)],
                    job.run.seconds_f64()
                )
            };
            let parents = trace.dependencies_of(job).iter().map(|dependency| match dependency {
                crate::trace::Dependency::Job(parent) => name(&trace.jobs[parent.position()]),
                crate::trace::Dependency::Array(_) => unreachable!("no arrays here"),
            });
            (name(job), parents.collect(), job.think_time())
        })
        .collect();
    let of = |name: &str| {
        let mut found = parents.iter().find(|(job, ..)| job == name).unwrap().clone();
        found.1.sort();
        (found.1, found.2.map(Span::millis))
    };
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(of("PREPARE 5"), (strings(&[]), None));
    // CALL (a) follows ALIGN (a), which has its tag, and not the other ALIGN, which ended at the same time.
    assert_eq!(of("CALL 60"), (strings(&["ALIGN 80"]), Some(2_000)));
    // REPORT gathers all CALLs, not only the last.
    assert_eq!(of("REPORT 10"), (strings(&["CALL 40", "CALL 60"]), Some(5_000)));
    // MANUAL came long after everything.
    assert_eq!(of("MANUAL 1"), (strings(&[]), None));
    assert_eq!(loaded.report.count(Remark::Inferred), 6);
}

#[test]
fn a_retry_follows_the_attempt_that_failed() {
    let head = "task_id\tprocess\tname\tstatus\tattempt\tsubmit\tstart\tcomplete\tcpus\tmemory_bytes\n";
    let row = |id: u32, name: &str, status: &str, attempt: u32, from: u32, to: u32| {
        format!(
            "{id}\tP\t{name}\t{status}\t{attempt}\t2023-10-13T04:00:{from}Z\t2023-10-13T04:00:{from}Z\t2023-10-13T04:00:{to}Z\t1\t1073741824\n"
        )
    };
    let rows = [
        row(1, "P (a)", "COMPLETED", 1, 10, 20),
        row(2, "P (b)", "FAILED", 1, 11, 20),
        row(3, "P (b)", "COMPLETED", 2, 21, 30),
    ];
    let options = ReadOptions {
        rebuild_dependencies: true,
        ..ReadOptions::default()
    };
    let loaded = read_text(&format!("{head}{}", rows.concat()), &options).unwrap();
    let retry = loaded.trace.jobs.iter().find(|job| job.spawners > 0).unwrap();
    let parent = loaded.trace.dependencies_of(retry)[0];
    let failed = loaded
        .trace
        .jobs
        .iter()
        .position(|job| job.ending == crate::trace::Ending::Failed)
        .unwrap();
    assert_eq!(parent, crate::trace::Dependency::Job(crate::ids::JobIndex::at(failed)));
}
