//! What holds across formats. What is about one format is in a file of its own.

mod batch;
mod laws;
mod nextflow;
mod rebuild;
mod swf;
mod table;
mod wfformat;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use super::*;

/// Reads contents as if they were files.
fn read_all(contents: &[&[u8]], options: &ReadOptions) -> Result<Loaded, Vec<Problem>> {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = contents
        .iter()
        .enumerate()
        .map(|(number, content)| {
            let path = directory.path().join(number.to_string());
            std::fs::write(&path, content).unwrap();
            path
        })
        .collect();
    read(&paths, options)
}

fn read_text(text: &str, options: &ReadOptions) -> Result<Loaded, Vec<Problem>> {
    read_all(&[text.as_bytes()], options)
}

/// One vCPU and one GiB for whatever has no size.
fn sized() -> ReadOptions {
    let sizes = Sizes {
        vcpus: Some(1),
        memory_mib: Some(1024),
        ..Sizes::default()
    };
    ReadOptions {
        sizes,
        ..ReadOptions::default()
    }
}

/// `name submit run wait vcpus memory after` of every job, for tables of expectations.
fn lines(trace: &Trace) -> Vec<String> {
    let line = |job: &Job| {
        let shape = trace.shape_of(job).resources;
        let submit = job.think_time().map_or(format!("{}", job.submit.millis()), |think| {
            format!("+{}", think.millis())
        });
        let wait = job
            .recorded_wait()
            .map_or("-".to_owned(), |wait| wait.millis().to_string());
        let name = &trace.names[to_usize(job.name)];
        let mut text = format!(
            "{name} {submit} {} {wait} {} {}",
            job.run.millis(),
            shape.vcpus.get(),
            shape.memory.get()
        );
        for dependency in trace.dependencies_of(job) {
            match dependency {
                Dependency::Job(parent) => write!(text, " {}", parent.0).unwrap(),
                Dependency::Array(array) => write!(text, " [{}]", array.0).unwrap(),
            }
        }
        text
    };
    trace.jobs.iter().map(line).collect()
}

#[test]
fn files_of_several_kinds_become_one_trace() {
    let table = "submit,run_s,name,cpus,memory\n1970-01-01 00:00:10,5,b,2,2 GB\n".as_bytes();
    let native = r#"{"autotune_trace":{"version":1}}
{"job":{"id":0,"submit_ms":5000,"run_ms":1,"vcpus":1,"memory_mib":1,"queue":"q","name":"a"}}
{"job":{"id":1,"submit_ms":15000,"run_ms":1,"vcpus":1,"memory_mib":1,"queue":"q","name":"c","after":[0]}}
"#
    .as_bytes();
    let loaded = read_all(&[table, native], &ReadOptions::default()).unwrap();
    assert_eq!(
        lines(&loaded.trace),
        ["a 5000 1 - 1 1", "b 10000 5000 - 2 2048", "c 15000 1 - 1 1 0"]
    );
    assert_eq!(loaded.report.files.len(), 2);
}

#[test]
fn a_recording_without_a_clock_does_not_mix_with_one_that_has_one() {
    let swf = "1 0 0 5 1 -1 -1 1 -1 -1 1 1 1 -1 1 -1 -1 -1\n".as_bytes();
    let table = "submit,run_s\n2024-01-01 00:00:00,5\n".as_bytes();
    let problems = read_all(&[swf, table], &sized()).unwrap_err();
    assert!(problems[0].to_string().contains("--start-at"), "{problems:?}");
    let start_at = Some(Time::from_seconds(1_704_067_201));
    let loaded = read_all(&[swf, table], &ReadOptions { start_at, ..sized() }).unwrap();
    assert_eq!(
        loaded.trace.jobs[1].submit.since(loaded.trace.jobs[0].submit),
        Span::from_seconds(1)
    );
}

#[test]
fn every_problem_of_every_file_is_reported() {
    let missing = PathBuf::from("/nonexistent/recording");
    let directory = tempfile::tempdir().unwrap();
    let wrong = directory.path().join("wrong");
    std::fs::write(&wrong, "hello").unwrap();
    let problems = read(
        &[missing, wrong, directory.path().to_path_buf()],
        &ReadOptions::default(),
    )
    .unwrap_err();
    assert_eq!(problems.len(), 3);
    assert_eq!(
        problems.iter().map(|problem| problem.unreadable).collect::<Vec<_>>(),
        [true, false, true]
    );
}

#[test]
fn a_missing_size_names_the_option_that_gives_it() {
    let text = "submit,run_s,cpus\n2024-01-01 00:00:00,5,2\n2024-01-01 00:00:00,5,2\n";
    let problems = read_text(text, &ReadOptions::default()).unwrap_err();
    let said = problems.iter().map(Problem::to_string).collect::<String>();
    assert!(
        said.contains("2 jobs without memory") && said.contains("--memory-mib"),
        "{said}"
    );
    assert!(!said.contains("--vcpus"), "{said}");
    let options = ReadOptions {
        allow_missing_sizes: true,
        ..ReadOptions::default()
    };
    let report = read_text(text, &options).unwrap().report;
    assert_eq!((report.without_vcpus, report.without_memory), (0, 2));
}

#[test]
fn strict_makes_errors_of_warnings_but_not_of_notes() {
    let good = "submit,run_s,color\n2024-01-01 00:00:00,5,red\n";
    let bad = "submit,run_s\n2024-01-01 00:00:00,5\nnever,5\n";
    let strict = ReadOptions {
        strict: true,
        ..sized()
    };
    assert_eq!(read_text(good, &strict).unwrap().report.count(Remark::UnusedColumns), 1);
    let loaded = read_text(bad, &sized()).unwrap();
    assert_eq!((loaded.report.warnings(), loaded.trace.jobs.len()), (1, 1));
    let problems = read_text(bad, &strict).unwrap_err();
    assert_eq!(problems[0].line, Some(3));
}

#[test]
fn a_wide_job_becomes_parts_and_its_followers_wait_for_all() {
    let text = r#"{"autotune_trace":{"version":1}}
{"job":{"id":0,"submit_ms":0,"run_ms":9,"vcpus":10,"memory_mib":100,"queue":"q","name":"wide"}}
{"job":{"id":1,"submit_ms":0,"run_ms":1,"vcpus":1,"memory_mib":1,"queue":"q","name":"after","after":[0]}}
"#;
    let options = ReadOptions {
        split_above: Some(crate::units::Vcpus::new(4)),
        ..ReadOptions::default()
    };
    let loaded = read_text(text, &options).unwrap();
    let wide = "wide 0 9 - 4 34";
    assert_eq!(lines(&loaded.trace), [wide, wide, wide, "after 0 1 - 1 1 0 1 2"]);
    assert_eq!(loaded.report.count(Remark::Split), 1);
}

#[test]
fn limits_end_in_an_error_that_says_which() {
    let line = "1 0 0 5 1 -1 -1 1 -1 -1 1 1 1 -1 1 -1 -1 -1\n";
    let many = line.repeat(50);
    let few_jobs = Limits {
        jobs: 10,
        ..Limits::default()
    };
    let few_bytes = Limits {
        bytes: 100,
        ..Limits::default()
    };
    let short_lines = Limits {
        line_bytes: 1000,
        ..Limits::default()
    };
    let long_line = "1".repeat(600_000);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(b"; ").unwrap();
    bomb.write_all(&vec![b' '; 40 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let cases: [(&[u8], Limits, &str); 4] = [
        (many.as_bytes(), few_jobs, "--max-jobs"),
        (many.as_bytes(), few_bytes, "--max-bytes"),
        (long_line.as_bytes(), short_lines, "a recording of jobs"),
        (&bomb, Limits::default(), "--max-ratio"),
    ];
    for (content, limits, expected) in cases {
        let problems = read_all(&[content], &ReadOptions { limits, ..sized() }).unwrap_err();
        assert!(problems[0].to_string().contains(expected), "{problems:?}");
        assert!(!problems[0].unreadable);
    }
    let swf_then_long = format!("{line}{long_line}\n");
    let problems = read_all(
        &[swf_then_long.as_bytes()],
        &ReadOptions {
            limits: short_lines,
            ..sized()
        },
    )
    .unwrap_err();
    assert!(problems[0].to_string().contains("--max-line-bytes"), "{problems:?}");
}

#[test]
fn cut_off_archives_are_problems() {
    let line = "1 0 0 5 1 -1 -1 1 -1 -1 1 1 1 -1 1 -1 -1 -1\n".repeat(5000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(line.as_bytes()).unwrap();
    for packed in [gzip.finish().unwrap(), zstd::encode_all(line.as_bytes(), 1).unwrap()] {
        assert_eq!(read_all(&[&packed], &sized()).unwrap().trace.jobs.len(), 5000);
        let half = &packed[..packed.len() / 2];
        assert!(read_all(&[half], &sized()).is_err());
    }
}

#[test]
fn a_cycle_is_named_and_found_in_linear_time() {
    let job = |id: u32, after: u32| {
        format!(
            "{{\"job\":{{\"id\":{id},\"submit_ms\":{id},\"run_ms\":1,\"vcpus\":1,\"memory_mib\":1,\"queue\":\"q\",\"name\":\"j\",\"after\":[{after}]}}}}\n"
        )
    };
    // A chain of 100,000 whose first three wait for each other: quadratic work would take minutes.
    let mut text = "{\"autotune_trace\":{\"version\":1}}\n".to_owned();
    for id in 0..100_000_u32 {
        text.push_str(&job(id, if id == 0 { 2 } else { id - 1 }));
    }
    let problems = read_text(&text, &ReadOptions::default()).unwrap_err();
    let said = problems[0].to_string();
    assert!(
        said.contains("3 jobs that wait for each other") && said.contains("(job 2)"),
        "{said}"
    );
}

#[test]
fn a_job_that_waits_for_its_own_array_is_a_cycle() {
    let text = r#"{"autotune_trace":{"version":1}}
{"array":{"id":7,"children":1}}
{"job":{"id":0,"submit_ms":0,"run_ms":9,"vcpus":1,"memory_mib":1,"queue":"q","name":"self","array":7,"after_arrays":[7]}}
"#;
    let problems = read_text(text, &ReadOptions::default()).unwrap_err();
    assert!(problems[0].to_string().contains("wait for each other"), "{problems:?}");
}

/// A start job 0, a part 1 that it submits, and a join with these keys.
fn fan(join: &str) -> String {
    let job = |id: u32, keys: &str| {
        format!(r#"{{"job":{{"id":{id},"run_ms":{id},"vcpus":1,"memory_mib":1,"queue":"q","name":"j",{keys}}}}}"#)
            + "\n"
    };
    let parts = [
        job(0, r#""submit_ms":9000"#),
        job(1, r#""think_ms":5,"after":[0]"#),
        job(2, join),
    ];
    "{\"autotune_trace\":{\"version\":1}}\n".to_owned() + &parts.concat()
}

#[test]
fn a_job_can_be_submitted_by_one_job_and_wait_for_others() {
    // The spawner need not be waited for again.
    let text = fan(r#""think_ms":7,"spawned_by":[0],"after":[1,0]"#);
    let trace = read_text(&text, &ReadOptions::default()).unwrap().trace;
    assert_eq!(lines(&trace), ["j +5 1 - 1 1 2", "j +7 2 - 1 1 2 0", "j 9000 0 - 1 1"]);
    let (spawners, others) = trace.spawners_and_others(&trace.jobs[1]);
    assert_eq!(
        (spawners, others),
        (&[Dependency::Job(JobIndex(2))][..], &[Dependency::Job(JobIndex(0))][..])
    );
    // Submitted at 9007, but the part runs until 9006.
    assert_eq!(trace.earliest_starts()[1], Time::from_millis(9_007));
    let mut bytes = Vec::new();
    native::write(&trace, &mut bytes).unwrap();
    assert_eq!(read_all(&[&bytes], &ReadOptions::default()).unwrap().trace, trace);
    // All of `after` submit a job that names no spawner, as in files written before there were any.
    assert_eq!(trace.jobs[0].spawners, 1);
    assert_eq!(String::from_utf8(bytes).unwrap().matches("spawned_by").count(), 1);
}

#[test]
fn a_spawner_without_a_think_time_is_no_submission() {
    let text = fan(r#""submit_ms":9500,"spawned_by":[0],"after":[1]"#);
    let loaded = read_text(&text, &ReadOptions::default()).unwrap();
    assert_eq!(
        (loaded.trace.jobs.len(), loaded.report.count(Remark::MissingSubmit)),
        (2, 1)
    );
}

#[test]
fn a_job_whose_spawners_are_lost_is_no_job_of_1970() {
    let text = fan(r#""think_ms":7,"spawned_by":[8],"after":[1]"#);
    let problems = read_text(&text, &ReadOptions::default()).unwrap_err();
    assert_eq!(problems[0].line, Some(4));
    assert!(
        problems[0].to_string().contains("1 jobs that others submit"),
        "{problems:?}"
    );
}

#[test]
fn a_cycle_through_submission_and_waiting_is_found() {
    let text = fan(r#""think_ms":7,"spawned_by":[0],"after":[1]"#);
    let circular = text.replace(r#""think_ms":5,"after":[0]"#, r#""think_ms":5,"spawned_by":[2]"#);
    let problems = read_text(&circular, &ReadOptions::default()).unwrap_err();
    assert!(
        problems[0].to_string().contains("2 jobs that wait for each other"),
        "{problems:?}"
    );
}

#[test]
fn faults_of_hand_made_traces_are_found() {
    let sound = generate::Generator::generate(&generate::SqsArray::default(), 1, generate::Days(1));
    assert_eq!(sound.validate(), []);
    let check = |how: fn(&mut Trace), fault: Fault| {
        let mut trace = sound.clone();
        how(&mut trace);
        let faults = trace.validate();
        assert!(faults.contains(&fault), "{fault:?} in {faults:?}");
    };
    check(
        |trace| trace.jobs[3].name = 9,
        Fault::Dangling { job: 3, table: "names" },
    );
    check(
        |trace| trace.jobs[0].submit = Time::FAR_FUTURE,
        Fault::Unsorted { job: 1 },
    );
    check(|trace| trace.arrays[1].size = 99, Fault::TornArray { array: 1 });
    check(|trace| trace.messages[5].source = 4, Fault::BadMessage { message: 5 });
    check(
        |trace| trace.jobs[2].spawners = 1,
        Fault::Dangling {
            job: 2,
            table: "dependencies",
        },
    );
}
