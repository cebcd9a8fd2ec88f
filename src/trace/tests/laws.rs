//! Laws that hold for every trace and every input.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{read_all, read_text, sized};
use crate::catalog::Resources;
use crate::ids::{ArrayIndex, JobIndex, ShapeIndex};
use crate::observation::Shape;
use crate::trace::*;
use crate::units::{Mebibytes, Span, Time, Vcpus};

/// What one job, or one array of jobs, is made of.
#[derive(Clone, Debug)]
struct Piece {
    submit: i64,
    runs: Vec<i64>,
    wait: Option<i64>,
    shape: (i64, i64, u32, u32),
    name: usize,
    queue: usize,
    failed: bool,
    spawners: prop::sample::Index,
    is_array: bool,
    sequential: bool,
    after: Vec<prop::sample::Index>,
}

fn piece() -> impl Strategy<Value = Piece> {
    (
        (
            0..50_000_i64,
            prop::collection::vec(0..1_000_000_i64, 1..5),
            prop::option::of(0..1_000_000_i64),
        ),
        (1..200_i64, 1..1_000_000_i64, 0..3_u32, 1..3_u32),
        (0..4_usize, 0..3_usize),
        any::<(bool, prop::sample::Index, bool, bool)>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    )
        .prop_map(
            |((submit, runs, wait), shape, (name, queue), (failed, spawners, is_array, sequential), after)| Piece {
                submit,
                runs,
                wait,
                shape,
                name,
                queue,
                failed,
                spawners,
                is_array,
                sequential,
                after,
            },
        )
}

/// Any sound trace: jobs depend only on jobs and arrays above them, names are awkward on purpose.
fn any_trace() -> impl Strategy<Value = Trace> {
    prop::collection::vec(piece(), 1..30).prop_map(|mut pieces| {
        pieces.sort_by_key(|piece| piece.submit);
        let names = ["plain", "with \"quotes\" and \\", "Ünïcödé\u{202e}", "line\nbreak"];
        let mut trace = Trace {
            names: names.map(str::to_owned).to_vec(),
            queues: ["a", "b", ""].map(str::to_owned).to_vec(),
            sqs_queues: vec!["one".to_owned(), "two".to_owned()],
            ..Trace::default()
        };
        for piece in pieces {
            add(&mut trace, &piece);
        }
        trace.canonicalise();
        trace
    })
}

fn add(trace: &mut Trace, piece: &Piece) {
    let (vcpus, memory, gpus, nodes) = piece.shape;
    let resources = Resources {
        vcpus: Vcpus::new(vcpus),
        memory: Mebibytes::new(memory),
        gpus,
    };
    trace.shapes.push(Shape { resources, nodes });
    let above = trace.jobs.len();
    let mut parents: Vec<Dependency> = piece
        .after
        .iter()
        .filter(|_| above > 0)
        .map(|index| {
            let parent = JobIndex::at(index.index(above));
            trace.jobs[parent.position()]
                .array
                .map_or(Dependency::Job(parent), Dependency::Array)
        })
        .collect();
    parents.sort_unstable();
    parents.dedup();
    let array = piece.is_array.then(|| ArrayIndex::at(trace.arrays.len()));
    if array.is_some() {
        let size = u32::try_from(piece.runs.len()).unwrap();
        trace.arrays.push(ArrayJob {
            first: JobIndex::at(above),
            size,
            sequential: piece.sequential,
        });
    }
    let runs = if piece.is_array {
        &piece.runs[..]
    } else {
        &piece.runs[..1]
    };
    for run in runs {
        let start = trace.dependencies.len();
        trace.dependencies.extend(&parents);
        trace.jobs.push(Job {
            submit: Time::from_millis(piece.submit),
            run: Span::from_millis(*run),
            recorded_wait: piece.wait.map_or(Job::UNKNOWN_WAIT, Span::from_millis),
            shape: ShapeIndex::at(trace.shapes.len() - 1),
            name: u32::try_from(piece.name).unwrap(),
            dependencies_start: if parents.is_empty() {
                0
            } else {
                u32::try_from(start).unwrap()
            },
            dependencies_count: u32::try_from(parents.len()).unwrap(),
            spawners: u32::try_from(piece.spawners.index(parents.len() + 1)).unwrap(),
            array,
            queue: u16::try_from(piece.queue).unwrap(),
            ending: if piece.failed {
                Ending::Failed
            } else {
                Ending::Succeeded
            },
        });
    }
    let sent = Time::from_millis(piece.submit);
    let source = u16::from(piece.failed);
    trace.messages.push(Message {
        sent,
        received: sent + Span::from_millis(vcpus),
        source,
    });
}

fn as_native(trace: &Trace) -> Vec<u8> {
    let mut bytes = Vec::new();
    native::write(trace, &mut bytes).unwrap();
    bytes
}

/// Valid beginnings of all formats, to be damaged.
fn samples() -> Vec<String> {
    vec![
        "; UnixStartTime: 5\n1 10 3 60 4 -1 100 8 -1 2048 1 1 1 7 2 -1 -1 -1\n2 11 -1 5 1 1.5 -1 -1 -1 -1 0 1 1 7 2 -1 1 9\n".into(),
        "task_id\thash\tnative_id\tname\tstatus\texit\tsubmit\tduration\trealtime\n1\ta\tb\tA (x)\tCOMPLETED\t0\t2022-05-13 03:02:26.406\t7m 8s\t16.2s\n".into(),
        "[{\"taskId\":1,\"hash\":\"x\",\"process\":\"P\",\"submit\":\"2023-10-13T04:26:39Z\",\"start\":\"2023-10-13T04:26:49Z\",\"complete\":\"2023-10-13T04:27:39Z\",\"cpus\":1,\"memory\":99999999,\"status\":\"COMPLETED\"}]".into(),
        "{\"name\":\"w\",\"workflow\":{\"tasks\":[{\"name\":\"a\",\"runtime\":1.5,\"parents\":[]},{\"name\":\"b\",\"runtime\":1.5,\"parents\":[\"a\"]}]}}".into(),
        "{\"instance\":\"w\",\"tasks\":[{\"name\":\"a\",\"parents\":[],\"runtime_s\":1.5},{\"name\":\"b\",\"parents\":[0],\"runtime_s\":1e3}]}\n".into(),
        "{\"detail-type\":\"Batch Job State Change\",\"detail\":{\"jobId\":\"a:0\",\"status\":\"SUCCEEDED\",\"createdAt\":1000000,\"startedAt\":1000001,\"stoppedAt\":1000002}}\n".into(),
        "{\"jobs\":[{\"jobId\":\"a\",\"status\":\"FAILED\",\"createdAt\":1000000,\"startedAt\":1000001,\"stoppedAt\":1000002,\"dependsOn\":[{\"jobId\":\"a\"}]}]}".into(),
        "submit_s,run_s,cpus,memory_mb,name\n1,2,3,4,x\n2,3,4,5,y\n".into(),
        String::from_utf8(as_native(&generate::Generator::generate(&generate::ObjectCreated { fan_out: 2, ..Default::default() }, 1, generate::Days(1)))).unwrap(),
    ]
}

/// Nothing panics, and what is accepted can be run and written and read again.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(loaded) = read_all(&[bytes], &sized()) {
        prop_assert_eq!(loaded.trace.validate(), vec![]);
        let _ = loaded.trace.summary();
        let again = read_all(
            &[&as_native(&loaded.trace)],
            &ReadOptions {
                strict: true,
                ..sized()
            },
        );
        prop_assert_eq!(again.map(|loaded| loaded.trace), Ok(loaded.trace));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn native_gives_back_what_it_was_given(trace in any_trace()) {
        prop_assert_eq!(trace.validate(), vec![]);
        let loaded = read_all(&[&as_native(&trace)], &ReadOptions { strict: true, ..ReadOptions::default() });
        prop_assert_eq!(loaded.map(|loaded| loaded.trace), Ok(trace));
    }

    #[test]
    fn the_order_of_lines_does_not_matter_to_native(trace in any_trace(), seed in any::<u64>()) {
        let text = String::from_utf8(as_native(&trace)).unwrap();
        let (header, body) = text.split_once('\n').unwrap();
        let shuffled = format!("{header}\n{}", shuffle(body, seed));
        prop_assert_eq!(read_text(&shuffled, &ReadOptions::default()).map(|loaded| loaded.trace), Ok(trace));
    }

    #[test]
    fn the_order_of_lines_does_not_matter_to_swf_and_tables(
        jobs in prop::collection::vec((0..20_i64, 0..9_i64, 1..5_i64, -1..3_i64), 1..40),
        seed in any::<u64>(),
    ) {
        let mut swf = String::new();
        let mut table = String::new();
        for (number, (submit, run, cpus, queue)) in jobs.iter().enumerate() {
            writeln!(swf, "{} {submit} 0 {run} {cpus} -1 -1 {cpus} -1 -1 1 1 1 {queue} {queue} -1 -1 -1", number + 1).unwrap();
            writeln!(table, "{submit},{run},{cpus},{queue}").unwrap();
        }
        let header = "submit_s,run_s,cpus,queue\n";
        for (head, body) in [("", swf), (header, table)] {
            let straight = read_text(&format!("{head}{body}"), &sized()).unwrap().trace;
            let shuffled = read_text(&format!("{head}{}", shuffle(&body, seed)), &sized()).unwrap().trace;
            prop_assert_eq!(straight, shuffled);
        }
    }

    #[test]
    fn random_bytes_are_never_a_recording(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes)?;
    }

    #[test]
    fn damaged_recordings_never_panic(
        sample in 0..9_usize,
        cut in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        number in prop::sample::select(vec!["NaN", "-1", "1e308", "9223372036854775807", "99999999999999999999999", "\"\"", "null", "-0.5"]),
        replaced in any::<prop::sample::Index>(),
    ) {
        let text = samples().swap_remove(sample);
        // One number becomes another that is awkward.
        let digits: Vec<usize> = text.char_indices().filter(|(_, letter)| letter.is_ascii_digit()).map(|(at, _)| at).collect();
        let at = digits[replaced.index(digits.len())];
        survives(format!("{}{number}{}", &text[..at], &text[at + 1..]).as_bytes())?;
        // The end is missing.
        survives(&text.as_bytes()[..cut.index(text.len())])?;
        // A few bytes are others.
        let mut bytes = text.into_bytes();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        survives(&bytes)?;
    }

    #[test]
    fn shifting_moves_times_and_nothing_else(trace in any_trace(), by in 0..1_000_000_000_i64) {
        let by = Span::from_millis(by);
        let shifted = trace.shifted_by(by);
        prop_assert_eq!(shifted.validate(), vec![]);
        // Think times stay, so ties between them and submit times may be broken otherwise on the way back.
        if trace.jobs.iter().all(|job| !job.is_spawned()) {
            prop_assert_eq!(shifted.shifted_by(Span::ZERO - by), trace.clone());
        }
        let sorted = |mut starts: Vec<Time>| { starts.sort_unstable(); starts };
        let moved: Vec<Time> = trace.earliest_starts().into_iter().map(|start| start + by).collect();
        prop_assert_eq!(sorted(shifted.earliest_starts()), sorted(moved));
        let (before, after) = (trace.summary(), shifted.summary());
        prop_assert_eq!((before.peak_jobs, before.peak_vcpus, before.length()), (after.peak_jobs, after.peak_vcpus, after.length()));
    }
}

/// Lines in another order that depends on the seed alone.
fn shuffle(text: &str, seed: u64) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut state = seed | 1;
    for position in (1..lines.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        lines.swap(position, usize::try_from(state >> 33).unwrap() % (position + 1));
    }
    lines.join("\n") + "\n"
}
