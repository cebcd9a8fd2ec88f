//! What the daemon costs: the binary itself beside an account on loopback that never changes. Nothing else should run beside it,
//! but the account itself takes its share of the machine.
//!
//! `cargo bench --bench daemon` takes about ten minutes; `-- quiet`, `polled`, `pages`, `large` or `events` runs one part. Promised:
//! 1,000 pages of ListJobs in 5 s of CPU and 60 MB; resident 40 MB at 5 queues and 10 environments, 200 MB at 50 x 50 with a million
//! jobs; idle below 0.5 % of a core; at 5 queues and 10 environments that are quiet at most 40 API calls a minute with events, 70
//! without; from an event to the plan 300 ms, once events have settled (2 s); from the start to the first plan 2 s; stripped, the
//! binary has less than 40 MB. It ends with 1 where an optimised build breaks a promise.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark waits and reads the time of this machine"
)]

mod account;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use account::{Account, Size};
use autotune::units::{i64_to_f64, usize_to_f64};

/// Hints settle for this long before anything is read.
const SETTLE: Duration = Duration::from_secs(2);
/// The kernel counts CPU in hundredths of a second on every common machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// What was promised and is not so.
#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    /// A figure, and what it is at most.
    fn unless(&mut self, what: &str, figure: f64, most: f64) {
        if figure > most {
            self.0.push(format!("{what}: {figure:.2}, promised {most:.2} at most"));
        }
    }
}

fn main() -> ExitCode {
    // Cargo adds arguments of its own, such as `--bench`.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |part: &str| only.as_ref().is_none_or(|only| only == part);
    let small = Size {
        queues: 5,
        environments: 10,
        runnable: 200,
        running: 800,
    };
    let pages = Size {
        runnable: 200_000,
        running: 0,
        ..small
    };
    let many = Size {
        queues: 50,
        environments: 50,
        runnable: 16_000,
        running: 4_000,
    };
    let mut broken = Broken::default();
    if wanted("quiet") {
        stripped(&mut broken);
        quiet(small, &mut broken);
    }
    if wanted("polled") {
        polled(small, &mut broken);
    }
    if wanted("pages") {
        large("1,000 pages of ListJobs", pages, (5.0, 60.0), &mut broken);
    }
    if wanted("large") {
        // Of its CPU nothing was promised.
        let most = (f64::INFINITY, 200.0);
        large("50 queues, 50 environments, a million jobs", many, most, &mut broken);
    }
    if wanted("events") {
        events(small, &mut broken);
    }
    broken.0.iter().for_each(|promise| println!("BROKEN: {promise}"));
    if broken.0.is_empty() || cfg!(debug_assertions) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The daemon as a process, watching only.
struct Daemon {
    child: Child,
    url: String,
    begun: Instant,
    _folder: tempfile::TempDir,
}

impl Daemon {
    fn begin(account: &Account) -> Self {
        let queue = format!("http://{}/123456789012/events", account.address);
        Self::with(account, &format!("events_queue_url = \"{queue}\"\n"))
    }

    /// Without events.
    fn polls(account: &Account) -> Self {
        Self::with(account, "")
    }

    fn with(account: &Account, keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = format!("http://{}", account.address);
        let settings = format!(
            "region = \"eu-central-1\"\nendpoint_url = \"{endpoint}\"\nlisten = \"127.0.0.1:0\"\n\
             {keys}[journal]\npath = \"{}\"\n",
            folder.path().join("journal").display()
        );
        let file = folder.path().join("autotune.toml");
        std::fs::write(&file, settings).unwrap();
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_autotune"))
            .arg("run")
            .arg("--config")
            .arg(file)
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // As deploy/systemd/autotune.service has it.
            .envs([
                ("MALLOC_ARENA_MAX", "1"),
                ("MALLOC_TRIM_THRESHOLD_", "131072"),
                ("MALLOC_MMAP_THRESHOLD_", "1048576"),
            ])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines
            .find(|line| line.as_ref().unwrap().contains("Serves"))
            .unwrap()
            .unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = format!("http://{}", line["address"].as_str().unwrap());
        // A full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            url,
            begun,
            _folder: folder,
        }
    }

    fn status(&self) -> serde_json::Value {
        let text = ureq::get(format!("{}/api/v1/status", self.url))
            .call()
            .unwrap()
            .body_mut()
            .read_to_string();
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    /// When it last planned, in milliseconds since 1970.
    fn planned_at(&self) -> Option<i64> {
        self.status()["planned_at"].as_i64()
    }

    /// Seconds of CPU so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = fields[11].parse::<i64>().unwrap() + fields[12].parse::<i64>().unwrap();
        i64_to_f64(ticks) / TICKS_PER_SECOND
    }

    /// Resident memory now and at its highest, in MB.
    fn memory(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            i64_to_f64(line.split_whitespace().nth(1).unwrap().parse().unwrap()) * 1.024 / 1000.0
        };
        (of("VmRSS:"), of("VmHWM:"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stripped(broken: &mut Broken) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("autotune");
    let strip = Command::new("strip")
        .arg("-o")
        .arg(&copy)
        .arg(env!("CARGO_BIN_EXE_autotune"))
        .status();
    if strip.is_ok_and(|status| status.success()) {
        let bytes = std::fs::metadata(&copy).unwrap().len();
        let megabytes = i64_to_f64(i64::try_from(bytes).unwrap()) / 1e6;
        println!("binary, stripped: {megabytes:.1} MB");
        broken.unless("MB of the binary, stripped", megabytes, 40.0);
    } else {
        println!("binary, stripped: skipped, no strip here");
    }
}

fn quiet(size: Size, broken: &mut Broken) {
    let mut starts = Vec::new();
    let (account, daemon) = loop {
        let account = Account::serve(size);
        let daemon = Daemon::begin(&account);
        while daemon.planned_at().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        starts.push(daemon.begun.elapsed().as_secs_f64());
        if starts.len() == 5 {
            break (account, daemon);
        }
    };
    let start = median(&mut starts);
    println!(
        "start to first plan: {start:.2} s (median of 5, slowest {:.2})",
        starts[4]
    );
    broken.unless("seconds from start to first plan", start, 2.0);
    // `check` looks for the first time after a minute, and then once an hour.
    std::thread::sleep(Duration::from_secs(80));
    let (cpu, begun) = (daemon.cpu(), Instant::now());
    let calls = calls_in_two_minutes(&account);
    let busy = (daemon.cpu() - cpu) / begun.elapsed().as_secs_f64() * 100.0;
    let (now, most) = daemon.memory();
    println!("5 queues, 10 environments, quiet, with events, 2 minutes:");
    println!("  {calls:.0} API calls a minute, besides 3 long polls");
    println!("  {busy:.2} % of a core");
    println!("  {now:.1} MB resident, {most:.1} MB at most");
    broken.unless("API calls a minute, quiet, with events", calls, 40.0);
    broken.unless("per cent of a core, quiet", busy, 0.5);
    broken.unless("MB resident, quiet", now, 40.0);
}

/// The same without events.
fn polled(size: Size, broken: &mut Broken) {
    let account = Account::serve(size);
    let _daemon = Daemon::polls(&account);
    std::thread::sleep(Duration::from_secs(80));
    let calls = calls_in_two_minutes(&account);
    println!("the same without events: {calls:.0} API calls a minute");
    broken.unless("API calls a minute, quiet, without events", calls, 70.0);
}

fn calls_in_two_minutes(account: &Account) -> f64 {
    let (asked, begun) = (account.asked(), Instant::now());
    std::thread::sleep(Duration::from_mins(2));
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    i64_to_f64(i64::try_from(account.asked() - asked).unwrap()) / minutes
}

/// One event at a time, each of another queue than the last, so that its jobs have not been read for half a minute.
fn events(size: Size, broken: &mut Broken) {
    let account = Account::serve(size);
    let daemon = Daemon::begin(&account);
    // What was read less than half a minute ago is not read again.
    std::thread::sleep(Duration::from_secs(30));
    let mut took = Vec::new();
    for round in 0..4 {
        for queue in 0..size.queues {
            std::thread::sleep(Duration::from_secs(7));
            let name = format!("queue-{queue}");
            let told = Instant::now();
            account.tell(&name, round);
            while account.listed(&name).is_none_or(|listed| listed < told) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let listed = wall();
            while daemon.planned_at().is_none_or(|planned| planned < listed) {
                std::thread::sleep(Duration::from_millis(2));
            }
            took.push((told.elapsed().saturating_sub(SETTLE)).as_secs_f64() * 1000.0);
        }
    }
    let median = median(&mut took);
    println!(
        "event to plan, after the 2 s of settling: median {median:.0} ms, slowest of {} {:.0} ms",
        took.len(),
        took[took.len() - 1]
    );
    broken.unless("ms from event to plan, slowest", took[took.len() - 1], 300.0);
}

fn large(what: &str, size: Size, (seconds, megabytes): (f64, f64), broken: &mut Broken) {
    let account: Arc<Account> = Account::serve(size);
    let daemon = Daemon::begin(&account);
    let jobs = usize_to_f64(size.queues * size.runnable);
    let listed = |status: &serde_json::Value| {
        let queues = status["queues"].as_array().unwrap();
        let runnable = queues.iter().map(|queue| queue["runnable_jobs"].as_i64().unwrap_or(0));
        runnable.sum::<i64>()
    };
    while i64_to_f64(listed(&daemon.status())) < jobs {
        assert!(
            daemon.begun.elapsed() < Duration::from_mins(5),
            "only {} jobs",
            listed(&daemon.status())
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let (now, most) = daemon.memory();
    let cpu = daemon.cpu();
    println!(
        "{what}: {} calls of ListJobs, {cpu:.2} s of CPU, {now:.1} MB resident, {most:.1} MB at most",
        account.asked_for("listjobs"),
    );
    broken.unless(&format!("{what}: seconds of CPU"), cpu, seconds);
    broken.unless(&format!("{what}: MB resident"), most, megabytes);
}

fn wall() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Sorts.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
