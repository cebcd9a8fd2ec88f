//! How fast the simulated account answers, over loopback, and how fast its time can go.
//!
//! `cargo bench --bench sandbox` takes about half a minute. Promised: 3,000 jobs listed in 300 ms; 1,000 requests a second within
//! one core, here with the client's own share; 60 times the speed with 5,000 jobs and 200 instances.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the time of this machine")]

use std::time::Instant;

use autotune::ids::{EnvironmentIndex, ShapeIndex};
use autotune::observation::Shape;
use autotune::sandbox::{self, ACCESS_KEY_ID, Account, Options};
use autotune::simulate::scenario::Scenario;
use autotune::simulate::view::ViewModel;
use autotune::trace::{Ending, Job, Trace};
use autotune::units::{Mebibytes, Span, Time, Vcpus, i64_to_f64};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const REQUESTS: i64 = 3_000;

fn main() {
    let runtime = Runtime::new().unwrap();
    list(&runtime);
    ask(&runtime);
    run(&runtime);
}

/// Jobs of 4 vCPUs, `gap` apart, in an environment of so many vCPUs; time stands still.
fn account(runtime: &Runtime, jobs: i64, gap: Span, most: u32) -> Account {
    let text = format!(
        "version = 1\nmodel = \"recent\"\n[[environments]]\nname = \"on-demand\"\npurchase = \"on_demand\"\nmax_vcpus = {most}\n\
         instance_types = [\"c6i.4xlarge\"]\n[[queues]]\nname = \"default\"\nenvironments = [\"on-demand\"]\n"
    );
    let resources = autotune::catalog::Resources {
        vcpus: Vcpus::new(4),
        memory: Mebibytes::new(7_000),
        gpus: 0,
    };
    let begin = Time::from_seconds(1_767_258_000);
    let job = |number: i64| Job {
        submit: begin + gap.times(number),
        run: Span::from_seconds(300 + number % 60),
        recorded_wait: Job::UNKNOWN_WAIT,
        shape: ShapeIndex(0),
        name: 0,
        dependencies_start: 0,
        dependencies_count: 0,
        spawners: 0,
        array: None,
        queue: 0,
        ending: Ending::Succeeded,
    };
    let trace = Trace {
        jobs: (0..jobs).map(job).collect(),
        shapes: vec![Shape { resources, nodes: 1 }],
        queues: vec!["default".to_owned()],
        names: vec!["align".to_owned()],
        ..Trace::default()
    };
    let options = Options {
        scenario: Scenario::from_toml("bench", &text).unwrap(),
        trace,
        seed: 1,
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        view: ViewModel::recent(),
        idle_from: begin,
    };
    runtime.block_on(async { Account::begin(options, 0).unwrap() })
}

/// A client with a connection that it keeps.
struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    fn of(runtime: &Runtime, account: Account) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { sandbox::serve(listener, account, "unused", CancellationToken::new()).await });
        Self {
            agent: ureq::Agent::new_with_defaults(),
            url,
        }
    }

    fn batch(&self, operation: &str, body: &Value) -> Value {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20260101/eu-central-1/batch/aws4_request, SignedHeaders=host, Signature=0"
        );
        let asked = self
            .agent
            .post(format!("{}/v1/{operation}", self.url))
            .header("Authorization", scope);
        let text = asked.send(body.to_string()).unwrap().body_mut().read_to_string();
        serde_json::from_str(&text.unwrap()).unwrap()
    }
}

fn list(runtime: &Runtime) {
    // Room for one instance: the others wait.
    let account = account(runtime, 3_100, Span::ZERO, 16);
    runtime.block_on(account.skip(Span::from_minutes(6))).unwrap();
    let client = Client::of(runtime, account);
    let mut took = Vec::new();
    for _ in 0..15 {
        let begun = Instant::now();
        let (mut listed, mut pages, mut next) = (0, 0, Value::Null);
        while listed < 3_000 {
            let mut body = json!({"jobQueue": "default", "jobStatus": "RUNNABLE", "maxResults": 1000});
            if !next.is_null() {
                body["nextToken"] = next;
            }
            let mut page = client.batch("listjobs", &body);
            listed += page["jobSummaryList"].as_array().unwrap().len();
            pages += 1;
            next = page["nextToken"].take();
            assert!(!next.is_null() || listed >= 3_000, "only {listed} jobs");
        }
        took.push((begun.elapsed().as_secs_f64() * 1e3, pages));
    }
    took.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (median, pages) = took[took.len() / 2];
    println!("3,000 jobs listed: median {median:.0} ms of 15, {pages} pages");
}

fn ask(runtime: &Runtime) {
    let client = Client::of(runtime, account(runtime, 100, Span::from_seconds(1), 256));
    let (begun, before) = (Instant::now(), cpu());
    for _ in 0..REQUESTS {
        client.batch("describecomputeenvironments", &json!({}));
    }
    let rate = i64_to_f64(REQUESTS) / begun.elapsed().as_secs_f64();
    let each = (cpu() - before) / i64_to_f64(REQUESTS) * 1e3;
    println!(
        "requests, one after the other: {rate:.0} a second; {each:.2} s of CPU for 1,000, the client's own included"
    );
}

fn run(runtime: &Runtime) {
    let account = account(runtime, 5_000, Span::from_millis(400), 3_200);
    let begun = Instant::now();
    let mut most = 0;
    // In steps, as somebody asks meanwhile.
    for _ in 0..60 {
        runtime.block_on(account.skip(Span::from_minutes(1))).unwrap();
        let now = runtime.block_on(account.with_world(|world| world.instances(EnvironmentIndex::at(0))));
        most = most.max(now.unwrap());
    }
    let speed = 3_600.0 / begun.elapsed().as_secs_f64();
    println!("an hour with 5,000 jobs, at most {most} instances: {speed:.0} times the speed");
}

/// Seconds of CPU of this process so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The kernel counts in hundredths of a second on every common machine.
    i64_to_f64(fields[11].parse::<i64>().unwrap() + fields[12].parse::<i64>().unwrap()) / 100.0
}
