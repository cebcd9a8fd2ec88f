//! How fast the world turns: jobs per second through the one event loop. Synthetic jobs, drawn from a seed.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start should stop")]

use autotune::ids::ShapeIndex;
use autotune::observation::Shape;
use autotune::simulate::draws::{Cause, draw, fraction};
use autotune::simulate::scenario::{EnvironmentSpec, QueueSpec, Scenario};
use autotune::simulate::world::World;
use autotune::trace::{Ending, Job, Trace};
use autotune::units::{Mebibytes, Span, Time, Vcpus, to_u32};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

/// Poisson arrivals and exponential run times, 1 to 8 vCPUs, at about 90 % of `vcpus`.
fn trace(jobs: u32, vcpus: u32) -> Trace {
    let exponential = |cause, job: u32, mean: f64| {
        let share = fraction(draw(1, cause, u64::from(job), 0));
        Span::from_seconds_f64(-libm::log(1.0 - share) * mean).unwrap()
    };
    let sizes = [1, 2, 4, 8];
    let shape = |vcpus: &i64| Shape {
        resources: autotune::catalog::Resources {
            vcpus: Vcpus::new(*vcpus),
            memory: Mebibytes::new(vcpus * 1_900),
            gpus: 0,
        },
        nodes: 1,
    };
    let mean_run = 600.0;
    let mean_gap = 3.75 * mean_run / (0.9 * f64::from(vcpus));
    let mut submit = Time::EPOCH;
    let jobs = (0..jobs).map(|job| {
        submit = submit + exponential(Cause::Drought, job, mean_gap);
        Job {
            submit,
            run: exponential(Cause::Boot, job, mean_run),
            recorded_wait: Span::from_millis(-1),
            shape: ShapeIndex(to_u32(draw(1, Cause::Zone, u64::from(job), 0) % 4)),
            name: 0,
            dependencies_start: 0,
            dependencies_count: 0,
            spawners: 0,
            array: None,
            queue: 0,
            ending: Ending::Succeeded,
        }
    });
    Trace {
        jobs: jobs.collect(),
        shapes: sizes.iter().map(shape).collect(),
        queues: vec!["jobs".to_owned()],
        names: vec!["work".to_owned()],
        ..Trace::default()
    }
}

/// A pool that never changes.
#[divan::bench(args = [100_000, 1_000_000], sample_count = 5)]
fn fixed(bencher: Bencher, jobs: u32) {
    let trace = trace(jobs, 1_600);
    let scenario = Scenario::fixed(Vcpus::new(1_600));
    bencher.counter(ItemsCount::new(jobs)).bench(|| {
        let mut world = World::new(&scenario, &trace, 1).unwrap();
        world.run_to_end();
        world.into_result()
    });
}

/// Instances, billing, boot times and Batch's own scaler under the model `recent`.
#[divan::bench(args = [100_000, 600_000], sample_count = 3)]
fn instances(bencher: Bencher, jobs: u32) {
    let trace = trace(jobs, 1_600);
    let environment = EnvironmentSpec {
        max_vcpus: 2_000,
        instance_types: vec!["c6i".to_owned(), "m6i".to_owned(), "r6i".to_owned()],
        ..EnvironmentSpec::named("on-demand")
    };
    let scenario = Scenario {
        model: "recent".to_owned(),
        queues: vec![QueueSpec::over("jobs", &["on-demand"])],
        environments: vec![environment],
        ..Scenario::fixed(Vcpus::new(1))
    };
    bencher.counter(ItemsCount::new(jobs)).bench(|| {
        let mut world = World::new(&scenario, &trace, 1).unwrap();
        world.run_to_end();
        world.into_result()
    });
}
