//! A single replay over time, as CSV: what every environment and queue was like at each sample.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::{Partial, Unwritten};
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::simulate::scenario::Scenario;
use crate::simulate::world::World;

/// The columns. Those of queues are empty in rows of environments, and the other way round.
const COLUMNS: [&str; 10] = [
    "time",
    "kind",
    "name",
    "min_vcpus",
    "desired_vcpus",
    "max_vcpus",
    "there_vcpus",
    "used_vcpus",
    "runnable_jobs",
    "placed_jobs",
];

/// Writes a row for every environment and every queue at each sample. Columns:
///
/// | column | meaning |
/// |---|---|
/// | `time` | UTC, RFC 3339 |
/// | `kind` | `environment` or `queue` |
/// | `name` | its name in the scenario |
/// | `min_vcpus`, `desired_vcpus`, `max_vcpus` | of an environment, as they stand |
/// | `there_vcpus` | vCPUs of its ACTIVE container instances |
/// | `used_vcpus` | those that STARTING and RUNNING jobs hold |
/// | `runnable_jobs` | RUNNABLE jobs of a queue, array children one by one, those held by a fair-share reservation included |
/// | `placed_jobs` | its STARTING and RUNNING jobs |
///
/// The file appears only when [`Timeline::finish`] is called, so that nobody ever finds half of one.
#[derive(Debug)]
pub struct Timeline {
    path: PathBuf,
    environments: Vec<String>,
    queues: Vec<String>,
    writer: csv::Writer<Partial>,
    /// The first failure: a watcher has nobody to tell.
    failed: Option<io::Error>,
}

impl Timeline {
    /// Begins a timeline of a scenario. Fails if nothing can be written beside `path`.
    pub fn create(path: &Path, scenario: &Scenario) -> Result<Self, Unwritten> {
        let unwritten = |source| Unwritten {
            path: path.to_path_buf(),
            source,
        };
        let mut writer = csv::Writer::from_writer(Partial::create(path).map_err(unwritten)?);
        writer.write_record(COLUMNS).map_err(|error| unwritten(error.into()))?;
        Ok(Self {
            path: path.to_path_buf(),
            environments: scenario
                .environments
                .iter()
                .map(|spec| super::csv::cell(&spec.name))
                .collect(),
            queues: scenario
                .queues
                .iter()
                .map(|spec| super::csv::cell(&spec.name))
                .collect(),
            writer,
            failed: None,
        })
    }

    /// Takes a sample of a world of that scenario. A failure to write is told by [`Timeline::finish`].
    pub fn sample(&mut self, world: &World<'_>) {
        if self.failed.is_none()
            && let Err(error) = self.write(world)
        {
            self.failed = Some(error.into());
        }
    }

    /// Puts the file in its place. Fails if any of it could not be written; then the place is as it was.
    pub fn finish(self) -> Result<(), Unwritten> {
        let written = match self.failed {
            Some(error) => Err(error),
            None => match self.writer.into_inner() {
                Ok(partial) => partial.finish(),
                Err(error) => Err(error.into_error()),
            },
        };
        written.map_err(|source| Unwritten {
            path: self.path,
            source,
        })
    }

    fn write(&mut self, world: &World<'_>) -> csv::Result<()> {
        let time = world.now().to_string();
        for (position, name) in self.environments.iter().enumerate() {
            let index = EnvironmentIndex::at(position);
            let now = world.environment(index);
            let levels = [
                now.min_vcpus,
                now.desired_vcpus,
                now.max_vcpus,
                world.there(index),
                world.used(index),
            ];
            let levels = levels.map(|vcpus| vcpus.get().to_string());
            let keys = [&time, "environment", name];
            self.writer.write_record(
                keys.into_iter()
                    .chain(levels.iter().map(String::as_str))
                    .chain(["", ""]),
            )?;
        }
        for (position, name) in self.queues.iter().enumerate() {
            let index = QueueIndex::at(position);
            let runnable = world.runnable(index).jobs() + world.not_demand(index).reserved;
            let (runnable, placed) = (runnable.to_string(), world.placed(index).jobs().to_string());
            let levels = [""; 5];
            self.writer.write_record(
                [&time, "queue", name]
                    .into_iter()
                    .chain(levels)
                    .chain([&*runnable, &*placed]),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::simulate::compare::{Candidate, Steers, watch_one};
    use crate::simulate::view::ViewModel;
    use crate::trace::generate::{Days, Generator as _, Trickle};
    use crate::units::{Span, Vcpus};

    /// Replays a day of small jobs on a fixed pool of 4 vCPUs, sampled every 10 minutes; says how often.
    fn record(timeline: &mut Timeline, scenario: &Scenario) -> usize {
        let trace = Trickle::default().generate(3, Days(1));
        let mut samples = 0;
        let stock = Candidate::new("stock", Steers::Stock);
        let mut watch = |world: &World<'_>| {
            samples += 1;
            timeline.sample(world);
        };
        let every = Span::from_minutes(10);
        watch_one(scenario, &trace, &stock, ViewModel::recent(), 1, (every, &mut watch)).unwrap();
        samples
    }

    #[test]
    fn every_environment_and_queue_has_a_row_per_sample() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("timeline.csv");
        let scenario = Scenario::fixed(Vcpus::new(4));
        let mut timeline = Timeline::create(&path, &scenario).unwrap();
        let samples = record(&mut timeline, &scenario);
        assert!(!path.exists(), "the file must not appear before it is whole");
        timeline.finish().unwrap();

        let mut reader = csv::Reader::from_path(&path).unwrap();
        assert_eq!(reader.headers().unwrap(), COLUMNS.as_slice());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert!(samples > 100);
        assert_eq!(rows.len(), 2 * samples);
        let mut busy = 0;
        for pair in rows.chunks(2) {
            let (environment, queue) = (&pair[0], &pair[1]);
            assert_eq!(
                (&environment[1], &environment[2], &queue[1]),
                ("environment", "fixed", "queue")
            );
            assert_eq!(&environment[0], &queue[0]);
            environment[0].parse::<jiff::Timestamp>().unwrap();
            assert_eq!((&environment[6], &environment[8], &queue[3]), ("4", "", ""));
            let (used, placed): (i64, i64) = (environment[7].parse().unwrap(), queue[9].parse().unwrap());
            assert_eq!(used > 0, placed > 0);
            busy += usize::from(placed > 0);
        }
        assert!(busy > 0, "no sample saw a job");
    }

    #[test]
    fn a_timeline_that_is_not_finished_leaves_nothing_and_spoils_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("timeline.csv");
        fs::write(&path, "old").unwrap();
        let scenario = Scenario::fixed(Vcpus::new(4));
        let mut timeline = Timeline::create(&path, &scenario).unwrap();
        record(&mut timeline, &scenario);
        drop(timeline);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nowhere").join("timeline.csv");
        let unwritten = Timeline::create(&path, &Scenario::fixed(Vcpus::new(1))).unwrap_err();
        assert_eq!(unwritten.path, path);
        assert!(Timeline::create(Path::new(".."), &Scenario::fixed(Vcpus::new(1))).is_err());
    }
}
