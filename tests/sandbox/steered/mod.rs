//! The daemon and the simulated account, each a process of its own, and the protocols of AWS between them: the closed loop as an
//! operator runs it.
//!
//! Time goes at a multiple, so nothing here counts calls or milliseconds: what is asserted are relations, and limits with room.

mod agreement;
mod budget;
mod case;
mod doubts;
mod recordings;
mod restarts;
mod situations;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex};

use autotune::clock;
use autotune::units::{Span, Time};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Sandbox;

pub(crate) use case::{Case, FIRST, KEEPS, ON_DEMAND, Outcome, SPOT, Work};

/// Accounts with their daemons that run at once, however many tests do: more of them would be late at everything.
const AT_ONCE: usize = 24;
/// How often the account is looked at.
const LOOK: Span = Span::from_millis(50);

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// One of [`AT_ONCE`].
struct Turn;

impl Turn {
    fn take() -> Self {
        let (running, freed) = &RUNNING;
        let running = running.lock().unwrap();
        *freed.wait_while(running, |running| *running >= AT_ONCE).unwrap() += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (running, freed) = &RUNNING;
        // A test that failed meanwhile keeps nobody from his turn.
        let mut running = running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *running -= 1;
        freed.notify_one();
    }
}

/// A simulated account that a daemon steers. Both end with the test.
pub(crate) struct Steered {
    sandbox: Sandbox,
    events: bool,
    daemon: Option<Child>,
    policy: PathBuf,
    folder: TempDir,
    /// The last moment of virtual time to which anything is waited for.
    deadline: i64,
    _turn: Turn,
}

impl Drop for Steered {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Steered {
    pub(crate) fn begin(case: &Case) -> Self {
        let turn = Turn::take();
        let folder = tempfile::tempdir().unwrap();
        let [scenario, policy, work] = case.write(folder.path());
        let (seed, speed) = (case.seed.to_string(), case.speed.to_string());
        let arguments = ["--trace", work.to_str().unwrap(), "--seed", &seed, "--speed", &speed];
        let sandbox = Sandbox::over(scenario.to_str().unwrap(), &arguments);
        let mut steered = Self {
            sandbox,
            events: case.events,
            daemon: None,
            policy,
            folder,
            deadline: FIRST + 90 * 60_000,
            _turn: turn,
        };
        steered.start_daemon();
        steered
    }

    /// Starts a daemon with the journal of those before it.
    pub(crate) fn start_daemon(&mut self) {
        let log = File::create(self.path("log")).unwrap();
        let told = |name: &str| self.events || name != "AUTOTUNE__EVENTS_QUEUE_URL";
        let child = Command::new(env!("CARGO_BIN_EXE_autotune"))
            .args(["run", "--apply", "--listen", "127.0.0.1:0", "--policy"])
            .arg(&self.policy)
            .arg("--journal")
            .arg(self.path("journal.db"))
            .envs(self.sandbox.variables.iter().filter(|(name, _)| told(name)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.daemon = Some(child.unwrap());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the latest daemon has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// SIGKILL: nothing tidies up.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let daemon = self.daemon.as_ref().unwrap().id().to_string();
        let told = Command::new("kill").args([&format!("-{name}"), &daemon]).status();
        assert!(told.unwrap().success());
    }

    /// SIGTERM, as a deployment does.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        let mut daemon = self.daemon.take().unwrap();
        assert!(daemon.wait().unwrap().success(), "{}", self.log());
    }

    fn admin(&self, page: &str) -> String {
        format!("{}/_autotune/{page}", self.sandbox.variables["AWS_ENDPOINT_URL"])
    }

    fn get(&self, page: &str) -> Value {
        let asked =
            ureq::get(self.admin(page)).header("x-autotune-token", &self.sandbox.variables["AUTOTUNE_SANDBOX_TOKEN"]);
        serde_json::from_str(&asked.call().unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Does something to the account behind everybody's back.
    pub(crate) fn post(&self, page: &str, body: &Value) {
        let asked =
            ureq::post(self.admin(page)).header("x-autotune-token", &self.sandbox.variables["AUTOTUNE_SANDBOX_TOKEN"]);
        asked.send(body.to_string()).unwrap();
    }

    /// The account as it is now.
    pub(crate) fn state(&self) -> State {
        State(self.get("state"))
    }

    /// Waits until the account, or the log, is as told; fails when that does not come within the time of the case.
    pub(crate) fn until(&self, what: &str, is: impl FnMut(&State) -> bool) -> State {
        let mut is = is;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        loop {
            let state = self.state();
            if is(&state) {
                return state;
            }
            assert!(state.now() < self.deadline, "never {what}: {}\n{}", state.0, self.log());
            runtime.block_on(clock::wait(LOOK));
        }
    }

    /// Waits for the end of all jobs, until every raise is back at base, no instance is left and no guard stands.
    pub(crate) fn finish(&self) -> Outcome {
        self.finish_and(|_| ())
    }

    /// The same, with a look at everything on the way.
    pub(crate) fn finish_and(&self, mut look: impl FnMut(&State)) -> Outcome {
        let mut cost = None;
        let last = self.until("at rest", |state| {
            look(state);
            if state.0["jobs_open"] == 0 {
                cost.get_or_insert(state.0["cost_micro_usd"].as_i64().unwrap());
            }
            state.0["jobs_open"] == 0
                && state.all("there_vcpus") == 0
                && state.all("min_vcpus") == 0
                && state.0["schedules"] == json!([])
        });
        Outcome {
            cost: cost.unwrap(),
            ..self.outcome(&last)
        }
    }

    fn outcome(&self, state: &State) -> Outcome {
        let jobs: Vec<Value> = serde_json::from_value(self.get("jobs")).unwrap();
        let at = |job: &Value, what: &str| Time::from_millis(job[what].as_i64().unwrap());
        let started = jobs.iter().filter(|job| at(job, "starting") != Time::FAR_FUTURE);
        Outcome {
            waits: started.map(|job| at(job, "starting").since(at(job, "ready"))).collect(),
            cost: state.0["cost_micro_usd"].as_i64().unwrap(),
            succeeded: jobs.iter().filter(|job| job["fate"] == "succeeded").count(),
        }
    }

    /// The daemon's own account of itself.
    pub(crate) fn metrics(&self) -> String {
        let log = self.log();
        let serves = log.lines().find(|line| line.contains("Serves")).unwrap();
        let serves: Value = serde_json::from_str(serves).unwrap();
        let address = serves["address"].as_str().unwrap();
        let asked = ureq::get(format!("http://{address}/metrics")).call();
        asked.unwrap().body_mut().read_to_string().unwrap()
    }

    /// Requests to AWS that were not answered with a yes, and whatever the latest daemon has warned of. Two things are as they
    /// should be: a guard is made after it could not be moved, and an update comes too late where AWS Batch has scaled meanwhile.
    /// That EC2 refused launches is what some of these accounts are about.
    pub(crate) fn trouble(&self) -> Vec<String> {
        let metrics = self.metrics();
        let requests = metrics
            .lines()
            .filter(|line| line.starts_with("autotune_aws_requests_total{"));
        let known = [
            "code=\"2",
            "code=\"404\",operation=\"UpdateSchedule\"",
            "code=\"400\",operation=\"UpdateComputeEnvironment\"",
        ];
        let refused = requests.filter(|line| !known.iter().any(|known| line.contains(known)));
        let log = self.log();
        let warnings = log.lines().filter(|line| {
            let loud = line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\"");
            loud && !line.contains("\"outcome\":\"Raced\"")
                && !line.contains("Another hand changed minvCpus")
                && !line.contains("EC2 refused a launch")
        });
        refused.chain(warnings).map(str::to_owned).collect()
    }

    /// Updates that AWS Batch has taken.
    pub(crate) fn updates(&self) -> u64 {
        let metrics = self.metrics();
        let taken = metrics.lines().filter(|line| {
            line.starts_with("autotune_environment_updates_total{") && line.contains("outcome=\"accepted\"")
        });
        taken
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }
}

/// A simulated account at a moment.
#[derive(Debug)]
pub(crate) struct State(pub(crate) Value);

impl State {
    pub(crate) fn now(&self) -> i64 {
        self.0["now_ms"].as_i64().unwrap()
    }

    /// All environments together.
    pub(crate) fn all(&self, what: &str) -> i64 {
        let all = self.0["environments"].as_array().unwrap();
        all.iter().map(|environment| environment[what].as_i64().unwrap()).sum()
    }

    /// One environment.
    pub(crate) fn of(&self, name: &str, what: &str) -> i64 {
        let mut all = self.0["environments"].as_array().unwrap().iter();
        all.find(|environment| environment["name"] == name).unwrap()[what]
            .as_i64()
            .unwrap()
    }
}
