//! Events and descriptions of AWS Batch.

use super::{lines, read_all, read_text};
use crate::trace::{ArrayJob, ReadOptions, Remark};

fn detail(id: &str, status: &str, more: &str) -> String {
    format!(
        r#"{{"jobId":"{id}","jobName":"n","jobQueue":"arn:aws:batch:eu-west-1:123456789012:job-queue/main","status":"{status}","createdAt":1000000,"jobDefinition":"arn:aws:batch:eu-west-1:123456789012:job-definition/work:3","container":{{"resourceRequirements":[{{"value":"2","type":"VCPU"}},{{"value":"256","type":"MEMORY"}}]}}{more}}}"#
    )
}

fn event(id: &str, status: &str, more: &str) -> String {
    let detail = detail(id, status, more);
    format!(
        r#"{{"version":"0","detail-type":"Batch Job State Change","source":"aws.batch","time":"2022-01-11T23:36:40Z","detail":{detail}}}"#
    )
}

fn described(jobs: &[String]) -> String {
    format!("{{\n  \"jobs\": [\n{}\n  ]\n}}\n", jobs.join(",\n"))
}

const RAN: &str = r#","startedAt":1004000,"stoppedAt":1010000"#;

#[test]
fn events_of_a_job_fold_into_one_in_any_order() {
    let events = [
        event("a", "RUNNABLE", ""),
        event("a", "RUNNING", r#","startedAt":1004000"#),
        event("a", "SUCCEEDED", RAN),
    ];
    let [first, second, third] = &events;
    let other = r#"{"detail-type":"Batch Job Queue Blocked","detail":{"x":1}}"#;
    let texts = [
        format!("{first}\n{second}\n{third}\n{other}\n"),
        format!("{third}\n{other}\n\n{first}\n{second}"),
        // As delivery streams write them.
        format!("{second}{third}{other}{first}"),
    ];
    for text in texts {
        let loaded = read_text(&text, &ReadOptions::default()).unwrap();
        assert_eq!(lines(&loaded.trace), ["work 1000000 6000 4000 2 256"], "{text}");
        assert_eq!(loaded.trace.queues, ["main"]);
        assert_eq!(loaded.report.count(Remark::OtherKind), 1);
    }
}

#[test]
fn arrays_keep_their_children_together_and_others_wait_for_them() {
    let child = |index: u32, to: u32| {
        let more = format!(
            r#","arrayProperties":{{"index":{index},"statusSummary":{{}}}},"startedAt":1004000,"stoppedAt":{to}"#
        );
        detail(&format!("p:{index}"), "SUCCEEDED", &more)
    };
    let parent = detail("p", "SUCCEEDED", r#","arrayProperties":{"size":3},"stoppedAt":1030000"#);
    let after = r#","startedAt":1031000,"stoppedAt":1040000,"dependsOn":[{"jobId":"p"}]"#;
    let jobs = [
        child(10, 1_030_000),
        child(2, 1_020_000),
        detail("z", "SUCCEEDED", after),
        parent,
        child(0, 1_010_000),
    ];
    let loaded = read_text(&described(&jobs), &ReadOptions::default()).unwrap();
    let expected = [
        "work 1000000 6000 4000 2 256",
        "work 1000000 16000 4000 2 256",
        "work 1000000 26000 4000 2 256",
        // Its wait begins when the array has ended, not when it was submitted.
        "work 1000000 9000 1000 2 256 [0]",
    ];
    assert_eq!(lines(&loaded.trace), expected);
    assert_eq!(
        loaded.trace.arrays,
        [ArrayJob {
            first: crate::ids::JobIndex(0),
            size: 3,
            sequential: false
        }]
    );
}

#[test]
fn dependencies_of_arrays_are_of_three_kinds() {
    let jobs = |kind: &str| {
        let mut jobs = Vec::new();
        for (array, depends) in [("p", String::new()), ("q", format!(r#","dependsOn":[{kind}]"#))] {
            jobs.push(detail(
                array,
                "SUCCEEDED",
                &format!(r#","arrayProperties":{{"size":2}},"stoppedAt":1010000{depends}"#),
            ));
            for index in 0..2 {
                jobs.push(detail(&format!("{array}:{index}"), "SUCCEEDED", RAN));
            }
        }
        described(&jobs)
    };
    let after = |text: &str| {
        let trace = read_text(text, &ReadOptions::default()).unwrap().trace;
        let of = |position: usize| lines(&trace)[position].split(' ').skip(6).collect::<Vec<_>>().join(" ");
        (of(2), of(3), trace.arrays[1].sequential)
    };
    let pairs = [
        (r#"{"jobId":"p","type":"N_TO_N"}"#, ("0", "1", false)),
        (r#"{"jobId":"p"}"#, ("[0]", "[0]", false)),
        (r#"{"type":"SEQUENTIAL"}"#, ("", "", true)),
    ];
    for (kind, (first, second, sequential)) in pairs {
        assert_eq!(
            after(&jobs(kind)),
            (first.to_owned(), second.to_owned(), sequential),
            "{kind}"
        );
    }
}

#[test]
fn what_cannot_be_replayed_is_counted() {
    let cases = [
        (detail("x", "RUNNING", r#","startedAt":1004000"#), Remark::Unfinished),
        (detail("x", "FAILED", r#","stoppedAt":1004000"#), Remark::NeverRan),
        (detail("x", "SUCCEEDED", r#","stoppedAt":1004000"#), Remark::MissingRun),
        (
            detail("x", "SUCCEEDED", r#","stoppedAt":1004000,"arrayProperties":{"size":5}"#),
            Remark::ArrayWithoutChildren,
        ),
        (
            detail("x", "SUCCEEDED", RAN).replace("1000000", "-5"),
            Remark::MissingSubmit,
        ),
        (r#"{"jobName":"without an id"}"#.to_owned(), Remark::Malformed),
    ];
    for (bad, remark) in cases {
        let loaded = read_text(
            &described(&[detail("a", "SUCCEEDED", RAN), bad.clone()]),
            &ReadOptions::default(),
        )
        .unwrap();
        assert_eq!((loaded.trace.jobs.len(), loaded.report.count(remark)), (1, 1), "{bad}");
    }
    let kept = [
        (
            r#","startedAt":1004000,"stoppedAt":1010000,"dependsOn":[{"jobId":"gone"}]"#,
            Remark::UnknownDependency,
        ),
        (r#","startedAt":1010000,"stoppedAt":1004000"#, Remark::TimesReversed),
        (
            r#","startedAt":1004000,"stoppedAt":1010000,"attempts":[{"startedAt":1001000},{"startedAt":1004000}]"#,
            Remark::Retried,
        ),
    ];
    for (more, remark) in kept {
        let loaded = read_text(&described(&[detail("a", "SUCCEEDED", more)]), &ReadOptions::default()).unwrap();
        assert_eq!((loaded.trace.jobs.len(), loaded.report.count(remark)), (1, 1), "{more}");
    }
}

#[test]
fn sizes_are_found_wherever_they_are_written() {
    let cases = [
        (r#"{"container":{"vcpus":4,"memory":512}}"#, "4 512", 0, 1),
        (
            r#"{"container":{"vcpus":4,"memory":512,"resourceRequirements":[{"type":"VCPU","value":"0.25"},{"type":"MEMORY","value":"2048"},{"type":"GPU","value":"1"}]}}"#,
            "1 2048",
            1,
            1,
        ),
        (
            r#"{"nodeProperties":{"numNodes":3,"mainNode":0,"nodeRangeProperties":[{"targetNodes":"0:","container":{"vcpus":8,"memory":99}}]}}"#,
            "8 99",
            0,
            3,
        ),
        (
            r#"{"ecsProperties":{"taskProperties":[{"containers":[{"resourceRequirements":[{"type":"VCPU","value":"1"},{"type":"MEMORY","value":"10"}]},{"resourceRequirements":[{"type":"VCPU","value":"2"},{"type":"MEMORY","value":"20"}]}]}]}}"#,
            "3 30",
            0,
            1,
        ),
        (
            r#"{"eksProperties":{"podProperties":{"containers":[{"resources":{"requests":{"cpu":"1500m","memory":"2048Mi","nvidia.com/gpu":"2"}}}]}}}"#,
            "2 2048",
            2,
            1,
        ),
    ];
    for (size, expected, gpus, nodes) in cases {
        let head = r#"{"jobId":"a","status":"SUCCEEDED","createdAt":1000000,"startedAt":1004000,"stoppedAt":1010000,"#;
        let job = format!("{head}{}", &size[1..]);
        let trace = read_text(&described(&[job]), &ReadOptions::default()).unwrap().trace;
        let shape = trace.shape_of(&trace.jobs[0]);
        assert_eq!(lines(&trace), [format!("job 1000000 6000 4000 {expected}")], "{size}");
        assert_eq!((shape.resources.gpus, shape.nodes), (gpus, nodes), "{size}");
    }
}

#[test]
fn events_and_descriptions_complete_each_other() {
    let events = event("p:0", "SUCCEEDED", RAN);
    let parent = described(&[detail(
        "p",
        "PENDING",
        r#","arrayProperties":{"size":1},"dependsOn":[{"type":"SEQUENTIAL"}]"#,
    )]);
    let contents = [events.as_bytes(), parent.as_bytes()];
    let trace = read_all(&contents, &ReadOptions::default()).unwrap().trace;
    assert_eq!(
        (trace.jobs.len(), trace.arrays.len(), trace.arrays[0].sequential),
        (1, 1, true)
    );
}
