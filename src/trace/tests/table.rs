//! Tables with columns by name.

use super::{lines, read_text, sized};
use crate::trace::{Columns, ReadOptions, Remark};

#[test]
fn usual_names_and_units_are_understood() {
    let cases = [
        (
            "submit_ms,wait_ms,run_ms,sched_class\n604046,1522,69682,1\n",
            "job 604046 69682 1522 1 1024",
        ),
        (
            "submit,task,exit_code,duration_sec,peak_memory_mb\n1970-01-01 00:00:30,a,1,2.5,7\n",
            "a 30000 2500 - 1 1024",
        ),
        (
            "created\tstart\tend\tcpus\tmemory\n1970-01-01T00:00:01Z\t1970-01-01T00:00:03Z\t1970-01-01T00:00:09Z\t2.5\t3 GB\n",
            "job 1000 6000 2000 3 3072",
        ),
        (
            "submit;run;mem_gb;procs\n1970-01-01 00:00:01;13m 1s;2;4\n",
            "job 1000 781000 - 4 2048",
        ),
        (
            "\"submit_s\",\"run_s\",\"name\"\n1,2,\"a,b\"\n",
            "a,b 1000 2000 - 1 1024",
        ),
    ];
    for (text, expected) in cases {
        let loaded = read_text(text, &sized()).unwrap();
        assert_eq!(lines(&loaded.trace), [expected], "{text}");
    }
}

#[test]
fn columns_can_be_named() {
    let columns: Columns = "submit=arrived:s, run=length:min, name=tool".parse().unwrap();
    let options = ReadOptions { columns, ..sized() };
    let loaded = read_text("tool,arrived,length\nx,5,2\n", &options).unwrap();
    assert_eq!(lines(&loaded.trace), ["x 5000 120000 - 1 1024"]);
    let problems = read_text("tool,arrived\nx,5\n", &options).unwrap_err();
    assert!(problems[0].to_string().contains("no column \"length\""), "{problems:?}");
}

#[test]
fn wrong_lists_of_columns_are_refused() {
    for text in [
        "submit",
        "colour=a",
        "submit=a,submit=b",
        "run=a:parsec",
        "name=a:s",
        "run=",
    ] {
        assert!(text.parse::<Columns>().is_err(), "{text}");
    }
}

#[test]
fn a_table_without_what_is_needed_says_what_there_is() {
    let cases = [("a,b\n1,2\n", "submit times"), ("submit_ms,b\n1,2\n", "run times")];
    for (text, expected) in cases {
        let said = read_text(text, &sized()).unwrap_err()[0].to_string();
        assert!(said.contains(expected) && said.contains("--columns"), "{said}");
    }
}

#[test]
fn rows_that_are_no_jobs_are_counted() {
    let cases = [
        ("5,NaN", Remark::MissingRun),
        ("5,-1", Remark::MissingRun),
        ("5,1e300", Remark::MissingRun),
        ("inf,5", Remark::MissingSubmit),
        ("-5,5", Remark::MissingSubmit),
        (",5", Remark::MissingSubmit),
        ("5", Remark::Malformed),
        ("5,5,5", Remark::Malformed),
        ("\"5,5", Remark::Malformed),
    ];
    for (row, remark) in cases {
        let loaded = read_text(&format!("submit_s,run_s\n1,1\n{row}\n"), &sized()).unwrap();
        assert_eq!((loaded.trace.jobs.len(), loaded.report.count(remark)), (1, 1), "{row}");
    }
}
