//! Situations that nobody has recorded: one file each, the same trace for the same seed on every machine.
//!
//! Every file says which situation it stands for and what its parameters mean. Sizes and rates are examples to be changed, not
//! measurements. All begin on Monday, 2024-01-01 at 00:00 UTC. Recorded waits: none, as nothing ran.

mod demo;
mod diurnal;
mod nightly;
mod object_created;
mod sqs_array;
mod trickle;

pub use self::demo::Demo;
pub use self::diurnal::Diurnal;
pub use self::nightly::Nightly;
pub use self::object_created::ObjectCreated;
pub use self::sqs_array::SqsArray;
pub use self::trickle::Trickle;

use std::f64::consts::PI;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::{ArrayJob, Dependency, Ending, Job, Trace};
use crate::catalog::Resources;
use crate::ids::{ArrayIndex, JobIndex, ShapeIndex};
use crate::observation::Shape;
use crate::units::{Mebibytes, Span, Time, Vcpus, i64_to_f64, to_i64, to_u32};

/// How many days a made-up recording covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub u32);

/// A situation that can be made up.
pub trait Generator {
    /// About how many jobs the trace will hold; so that a slip of the hand does not fill the memory.
    fn expected_jobs(&self, days: Days) -> u64;

    /// The trace.
    fn generate(&self, seed: u64, days: Days) -> Trace;
}

/// Monday, 2024-01-01 at 00:00 UTC.
const START: Time = Time::from_seconds(1_704_067_200);

const DAY: Span = Span::from_seconds(86_400);

/// What draws are for. Each cause has its own stream of random numbers, so that one more draw for one of them does not
/// shift those of the others.
#[derive(Clone, Copy)]
enum Cause {
    Arrivals,
    RunTimes,
    Sizes,
}

/// Random numbers of one cause.
struct Draws(ChaCha8Rng);

impl Draws {
    fn new(seed: u64, cause: Cause) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(match cause {
            Cause::Arrivals => 0,
            Cause::RunTimes => 1,
            Cause::Sizes => 2,
        });
        Self(generator)
    }

    /// Uniform in [0, 1), with 53 random bits.
    fn uniform(&mut self) -> f64 {
        let bits = i64::try_from(self.0.next_u64() >> 11).unwrap_or(0);
        i64_to_f64(bits) / 9_007_199_254_740_992.0
    }

    /// A span that is uniform between zero and this one.
    fn within(&mut self, most: Span) -> Span {
        seconds(self.uniform() * most.seconds_f64())
    }

    /// The time to the next arrival when arrivals are independent (exponential), in seconds.
    fn next_arrival(&mut self, per_hour: f64) -> Span {
        seconds(-libm::log(1.0 - self.uniform()) * 3600.0 / per_hour)
    }

    /// A run time: log-normal about a median, as run times of batch jobs mostly are; `spread` is the standard deviation of
    /// the logarithm.
    fn run_time(&mut self, median_seconds: f64, spread: f64) -> Span {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        let normal = radius * libm::cos(2.0 * PI * self.uniform());
        seconds(median_seconds * libm::exp(spread * normal))
    }
}

/// At least a millisecond, so that time always moves on.
fn seconds(seconds: f64) -> Span {
    Span::from_seconds_f64(seconds).unwrap_or(DAY).max(Span::from_millis(1))
}

const fn shape(vcpus: i64, memory_mib: i64) -> Shape {
    Shape {
        resources: Resources {
            vcpus: Vcpus::new(vcpus),
            memory: Mebibytes::new(memory_mib),
            gpus: 0,
        },
        nodes: 1,
    }
}

fn end(days: Days) -> Time {
    START + DAY.times(i64::from(days.0))
}

/// Puts a trace together. Indices are only given out by the methods, so a finished trace is sound.
struct Maker {
    trace: Trace,
}

impl Maker {
    fn new(queue: &str) -> Self {
        Self {
            trace: Trace {
                queues: vec![queue.to_owned()],
                ..Trace::default()
            },
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        self.trace.names.push(name.to_owned());
        to_u32(self.trace.names.len() - 1)
    }

    fn shape(&mut self, shape: Shape) -> ShapeIndex {
        self.trace.shapes.push(shape);
        ShapeIndex::at(self.trace.shapes.len() - 1)
    }

    /// A job that is submitted at a time of its own.
    fn job(&mut self, submit: Time, run: Span, shape: ShapeIndex, name: u32) -> JobIndex {
        self.trace.jobs.push(Job {
            submit,
            run,
            recorded_wait: Job::UNKNOWN_WAIT,
            shape,
            name,
            dependencies_start: 0,
            dependencies_count: 0,
            spawners: 0,
            array: None,
            queue: 0,
            ending: Ending::Succeeded,
        });
        JobIndex::at(self.trace.jobs.len() - 1)
    }

    /// Makes an array of the jobs from this one on. They must have the same submit time.
    fn array_from(&mut self, first: JobIndex) -> ArrayIndex {
        let index = ArrayIndex::at(self.trace.arrays.len());
        let children = self.trace.jobs.get_mut(first.position()..).unwrap_or(&mut []);
        self.trace.arrays.push(ArrayJob {
            first,
            size: to_u32(children.len()),
            sequential: false,
        });
        for child in children {
            child.array = Some(index);
        }
        index
    }

    /// Makes the youngest job wait.
    fn after(&mut self, dependency: Dependency) {
        let position = to_u32(self.trace.dependencies.len());
        if let Some(job) = self.trace.jobs.last_mut() {
            if job.dependencies_count == 0 {
                job.dependencies_start = position;
            }
            job.dependencies_count += 1;
            self.trace.dependencies.push(dependency);
        }
    }

    /// Makes the youngest job, before it is made to wait, one that another submits, this long after that one has ended.
    fn spawned_by(&mut self, spawner: JobIndex, think: Span) {
        self.after(Dependency::Job(spawner));
        if let Some(job) = self.trace.jobs.last_mut() {
            job.spawners += 1;
            job.submit = Time::EPOCH + think;
        }
    }

    fn finish(self) -> Trace {
        self.trace.resorted()
    }
}

/// Count per day times days.
fn total(per_day: u32, days: Days) -> u64 {
    u64::from(per_day).saturating_mul(u64::from(days.0))
}

fn whole_days(days: Days) -> impl Iterator<Item = Time> {
    (0..to_i64(days.0)).map(|day| START + DAY.times(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(&'static str, Box<dyn Generator>)> {
        vec![
            ("demo", Box::new(Demo::default())),
            ("sqs-array", Box::new(SqsArray::default())),
            ("object-created", Box::new(ObjectCreated::default())),
            ("trickle", Box::new(Trickle::default())),
            ("nightly", Box::new(Nightly::default())),
            ("diurnal", Box::new(Diurnal::default())),
        ]
    }

    #[test]
    fn every_situation_is_sound_and_depends_on_its_seed_alone() {
        for (name, generator) in all() {
            let trace = generator.generate(7, Days(2));
            assert_eq!(trace.validate(), [], "{name}");
            assert_eq!(trace, generator.generate(7, Days(2)), "{name}");
            assert_ne!(trace, generator.generate(8, Days(2)), "{name}");
            let mut canonical = trace.clone();
            canonical.canonicalise();
            assert_eq!(trace, canonical, "{name}");
        }
    }

    #[test]
    fn the_expected_number_of_jobs_is_about_right() {
        for (name, generator) in all() {
            let expected = generator.expected_jobs(Days(5));
            let jobs = u64::try_from(generator.generate(1, Days(5)).jobs.len()).unwrap();
            assert!(
                jobs * 2 > expected && jobs < expected * 2,
                "{name}: {jobs} jobs, {expected} expected"
            );
        }
    }

    #[test]
    fn more_days_do_not_change_the_first_ones() {
        for (name, generator) in all() {
            let starts = |days| {
                let trace = generator.generate(3, Days(days));
                let mut jobs: Vec<_> = trace
                    .earliest_starts()
                    .into_iter()
                    .zip(trace.jobs.iter().map(|job| job.run))
                    .collect();
                jobs.sort_unstable();
                jobs
            };
            let (short, long) = (starts(1), starts(2));
            // Around midnight the jobs of both days mix; half a day is safely the first.
            let noon = START + DAY.scaled_down(1, 2);
            let until_noon =
                |jobs: &[(Time, Span)]| jobs.iter().filter(|job| job.0 < noon).copied().collect::<Vec<_>>();
            assert_eq!(until_noon(&short), until_noon(&long), "{name}");
        }
    }
}
