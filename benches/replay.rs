//! How fast recordings are replayed, reading included. Prints medians; there is nothing else to run beside it.
//!
//! `cargo bench --bench replay -- FOLDER` replays the recordings of FOLDER (or of `AUTOTUNE_BENCH_TRACES`) that the promises
//! speak of, and says which it does not find. Without a folder only the made-up log is replayed.
//!
//! Promised, on one core: 1.5 million jobs a second through a pool that never changes, parse of plain SWF included; HPC2N
//! (202,876 jobs) with instances, billing, view and the reactive policy in 3 s; Google 2011 (668,088 jobs) in 3 s and 250 MB.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start should stop")]
#![expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use autotune::policy::{self, Policy};
use autotune::simulate::compare::{Candidate, Settings, Steers, compare};
use autotune::simulate::draws::{Cause, draw, fraction};
use autotune::simulate::drive;
use autotune::simulate::scenario::Scenario;
use autotune::simulate::summary::Summary;
use autotune::simulate::view::ViewModel;
use autotune::trace::{ReadOptions, Sizes, Trace, read};
use autotune::units::{Span, Vcpus};

const RUNS: usize = 5;

fn main() {
    // Cargo adds arguments of its own, such as `--bench`.
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    #[expect(clippy::disallowed_methods, reason = "the settings of a benchmark are its own")]
    let folder = argument
        .or_else(|| std::env::var("AUTOTUNE_BENCH_TRACES").ok())
        .map(PathBuf::from);

    let made_up = tempfile::tempdir().unwrap();
    let log = made_up.path().join("made-up.swf");
    write_swf(&log, 1_000_000);
    fixed("made-up, 1,000,000 jobs", &log, 1_600);
    for (file, max_vcpus, options) in recordings() {
        match folder
            .as_ref()
            .map(|folder| folder.join(file))
            .filter(|path| path.is_file())
        {
            Some(path) => steered(file, &path, max_vcpus, &options),
            None => println!("{file}: skipped, not found; name the folder of recordings as an argument"),
        }
    }
}

/// The recordings of the promises, with maxvCpus of the account and the sizes that the recording lacks.
fn recordings() -> [(&'static str, u32, ReadOptions); 2] {
    let hpc2n = ReadOptions {
        sizes: Sizes {
            memory_per_vcpu_mib: Some(2_048),
            ..Sizes::default()
        },
        // No instance of the account holds the widest jobs, which ran on many nodes.
        split_above: Some(Vcpus::new(64)),
        ..ReadOptions::default()
    };
    let google = ReadOptions {
        sizes: Sizes {
            vcpus: Some(1),
            memory_mib: Some(2_048),
            ..Sizes::default()
        },
        ..ReadOptions::default()
    };
    [
        ("swf/HPC2N-2002-2.1-cln.swf.gz", 500, hpc2n),
        ("cloud/google-clusterdata2011-2-jobs.csv.zst", 20_000, google),
    ]
}

/// Poisson arrivals and exponential run times, 1 to 8 processors, at about 90 % of 1,600.
fn write_swf(path: &Path, jobs: u32) {
    let exponential = |cause, job: u32, mean: f64| {
        let share = fraction(draw(1, cause, u64::from(job), 0));
        -libm::log(1.0 - share) * mean
    };
    let mean_run = 600.0;
    let mean_gap = 3.75 * mean_run / (0.9 * 1_600.0);
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    writeln!(out, "; Version: 2.2\n; UnixStartTime: 0\n; MaxProcs: 1600").unwrap();
    let mut submit = 0.0;
    for job in 1..=jobs {
        submit += exponential(Cause::Drought, job, mean_gap);
        let run = exponential(Cause::Boot, job, mean_run);
        let width = 1 << (draw(1, Cause::Zone, u64::from(job), 0) % 4);
        writeln!(
            out,
            "{job} {submit:.0} -1 {run:.0} {width} -1 -1 {width} -1 -1 1 -1 -1 -1 -1 -1 -1 -1"
        )
        .unwrap();
    }
    out.flush().unwrap();
}

/// A pool that never changes, through the same event loop as everything else.
fn fixed(name: &str, log: &Path, vcpus: i64) {
    let options = ReadOptions {
        sizes: Sizes {
            memory_per_vcpu_mib: Some(2_048),
            ..Sizes::default()
        },
        ..ReadOptions::default()
    };
    let scenario = Scenario::fixed(Vcpus::new(vcpus));
    measure(name, "reading and a fixed pool", || {
        let trace = read(&[log.to_owned()], &options).unwrap().trace;
        drive::replay_alone(&scenario, &trace, 1, Span::ZERO, &mut |_| {}).unwrap();
        trace.jobs.len()
    });
}

/// Instances, billing, view and the reactive policy.
fn steered(name: &str, path: &Path, max_vcpus: u32, options: &ReadOptions) {
    let text = include_str!("../policies/scenarios/on-demand-500.toml");
    let mut scenario = Scenario::from_toml("on-demand-500.toml", text).unwrap();
    for environment in &mut scenario.environments {
        environment.max_vcpus = max_vcpus;
    }
    let reactive = reactive();
    let mut last = Summary::default();
    measure(name, "reading and reactive", || {
        let trace = read(&[path.to_owned()], options).unwrap().trace;
        last = replay(&scenario, &trace, &reactive);
        trace.jobs.len()
    });
    println!(
        "  mean wait {:.1} s, cost {}, {} launches, {} looks, {} updates",
        last.all.wait.mean, last.cost, last.launches, last.looks, last.updates
    );
}

fn replay(scenario: &Scenario, trace: &Trace, policy: &Policy) -> Summary {
    let candidates = [Candidate::new("reactive", Steers::Policy(policy.clone()))];
    let settings = Settings {
        seeds: vec![1],
        view: ViewModel::recent(),
        threads: 1,
    };
    let mut compared = compare(scenario, trace, &candidates, &settings, &|_| {}).unwrap();
    compared.pop().unwrap().runs.pop().unwrap()
}

fn reactive() -> Policy {
    let text = policy::SHIPPED.iter().find(|(name, _)| *name == "reactive").unwrap().1;
    policy::parse("reactive", text).unwrap()
}

/// Prints the median time, jobs per second, and the most memory that this process has had so far.
fn measure(name: &str, what: &str, mut run: impl FnMut() -> usize) {
    let mut times: Vec<(Duration, usize)> = (0..RUNS)
        .map(|_| {
            #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
            let start = Instant::now();
            let jobs = run();
            (start.elapsed(), jobs)
        })
        .collect();
    times.sort_unstable();
    let (median, jobs) = times[RUNS / 2];
    let rate = f64::from(u32::try_from(jobs).unwrap()) / median.as_secs_f64();
    println!(
        "{name}: {what}: median {:.3} s of {RUNS} (best {:.3}), {jobs} jobs, {rate:.0} jobs/s, peak memory {}",
        median.as_secs_f64(),
        times[0].0.as_secs_f64(),
        peak_memory()
    );
}

/// The process' high-water mark, where Linux tells it. It never falls: that of a later line holds for all lines before it too.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}
