//! Standard Workload Format.

use super::{lines, read_text, sized};
use crate::trace::{Ending, ReadOptions, Remark};

#[test]
fn fields_mean_what_the_format_says() {
    let text = "; UnixStartTime: 1000\n\
                ;\n\
                1 10 3 60 4 -1 100 8 -1 2048 1 1 1 7 2 -1 -1 -1\n\
                2 20 -1 0.5 4 -1 -1 -1 -1 -1 0 1 1 -1 -1 -1 1 30\n";
    let loaded = read_text(text, &sized()).unwrap();
    assert_eq!(
        lines(&loaded.trace),
        ["job +30000 500 - 4 1024 1", "executable 7 1010000 60000 3000 8 16"]
    );
    assert_eq!(loaded.trace.queues, ["default", "queue 2"]);
    assert_eq!(loaded.trace.jobs[0].ending, Ending::Failed);
    assert_eq!(loaded.report.count(Remark::MemoryFromOption), 1);
    assert_eq!(loaded.report.count(Remark::RelativeTimes), 0);
}

#[test]
fn used_memory_counts_only_when_asked_for() {
    let text = "1 10 3 60 2 -1 1024 2 -1 -1 1 1 1 7 2 -1 -1 -1\n";
    let mut options = sized();
    assert_eq!(
        lines(&read_text(text, &options).unwrap().trace),
        ["executable 7 10000 60000 3000 2 1024"]
    );
    options.sizes.memory_from_use = true;
    assert_eq!(
        lines(&read_text(text, &options).unwrap().trace),
        ["executable 7 10000 60000 3000 2 2"]
    );
}

#[test]
fn every_line_that_is_no_job_is_counted() {
    let good = "1 10 3 60 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n";
    let cases = [
        ("2 -1 3 60 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n", Remark::MissingSubmit),
        ("2 11 3 -1 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n", Remark::MissingRun),
        ("2 11 3 -1 4 -1 -1 4 -1 -1 5 1 1 7 2 -1 -1 -1\n", Remark::NeverRan),
        ("2 11 3 60 4 -1 -1 4 -1 -1 3 1 1 7 2 -1 -1 -1\n", Remark::PartialRecord),
        ("2 11 3 60 4\n", Remark::Malformed),
        ("2 11 3 NaN 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n", Remark::Malformed),
        (
            "2 99999999999999999999 3 1 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n",
            Remark::Malformed,
        ),
        (
            "2 999999999999999 3 1 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n",
            Remark::MissingSubmit,
        ),
        ("2 11 3 1e5 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n", Remark::Malformed),
    ];
    for (line, remark) in cases {
        let loaded = read_text(&format!("{good}{line}"), &sized()).unwrap();
        assert_eq!((loaded.trace.jobs.len(), loaded.report.count(remark)), (1, 1), "{line}");
        assert_eq!(loaded.report.remarks[&remark].line, 2, "{line}");
    }
    let kept = [
        ("2 9 3 60 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n", Remark::OutOfOrder),
        ("2 11 3 60 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1 5\n", Remark::ExtraFields),
        (
            "2 11 3 60 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 77 5\n",
            Remark::UnknownDependency,
        ),
    ];
    for (line, remark) in kept {
        let loaded = read_text(&format!("{good}{line}"), &sized()).unwrap();
        assert_eq!((loaded.trace.jobs.len(), loaded.report.count(remark)), (2, 1), "{line}");
    }
}

#[test]
fn a_file_of_nothing_but_rubbish_is_given_up() {
    let text = format!(
        "1 10 3 -1 4 -1 -1 4 -1 -1 1 1 1 7 2 -1 -1 -1\n{}",
        "2 11\n".repeat(20_000)
    );
    let problems = read_text(&text, &ReadOptions::default()).unwrap_err();
    assert!(
        problems[0].to_string().contains("10000 records without one job"),
        "{problems:?}"
    );
}
