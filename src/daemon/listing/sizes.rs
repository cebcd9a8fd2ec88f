//! How large jobs are: asked once and remembered. What nobody tells is taken from jobs that are alike.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::{DESCRIBED_AT_ONCE, Kind, Lister, Place, Row, parent_of};
use crate::catalog::Resources;
use crate::daemon::cloud::Cloud;
use crate::jobs::{JobDescribed, JobSize};
use crate::observation::{Shape, Tally};
use crate::units::{Mebibytes, Vcpus};

/// Sizes that are remembered: some 10 MB.
const SIZES_MOST: usize = 50_000;
/// More unknown jobs than this are not all asked for: some of each kind are.
const ASKED_MOST: usize = 500;
/// So many of each kind.
const SAMPLE: usize = 20;
/// But never more in one listing.
const SAMPLED_MOST: usize = 2_000;

/// Sizes by job id; shared by all queues.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Sizes(Arc<Mutex<LruCache<String, JobSize>>>);

impl Default for Sizes {
    fn default() -> Self {
        let most = NonZeroUsize::new(SIZES_MOST).unwrap_or(NonZeroUsize::MIN);
        Self(Arc::new(Mutex::new(LruCache::new(most))))
    }
}

impl Sizes {
    /// The size of a job; a child of an array is as large as its parent.
    pub(in crate::daemon) fn get(&self, id: &str) -> Option<Shape> {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(parent_of(id).unwrap_or(id)).map(|size| size.shape)
    }

    /// The jobs that a job waits for.
    pub(in crate::daemon) fn parents(&self, id: &str) -> Vec<String> {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.peek(id).map(|size| size.parents.clone()).unwrap_or_default()
    }

    pub(in crate::daemon) fn put(&self, described: &JobDescribed) {
        let Some(size) = &described.size else { return };
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.put(size.id.clone(), size.clone());
    }
}

/// The jobs of a listing by size.
#[derive(Default)]
pub(super) struct Sized {
    pub(super) runnable: Tally,
    pub(super) placed: Tally,
    pub(super) multi_node: Tally,
    /// Where jobs may be larger than they are counted.
    pub(super) unsure: BTreeSet<Place>,
}

impl<C: Cloud> Lister<'_, C> {
    /// Counts the rows by size. What is not known is asked for, together with the size of the job at the head.
    pub(super) async fn sized(&mut self, head: Option<&str>, sizes: &Sizes) -> Sized {
        let failed = self.ask_for_sizes(head, sizes).await;
        let samples = samples(&self.rows, sizes);
        let mut turns: BTreeMap<&Kind, usize> = BTreeMap::new();
        let mut sized = Sized::default();
        for row in &self.rows {
            let shape = sizes.get(&row.id).or_else(|| {
                self.found.sampled = true;
                if failed {
                    sized.unsure.insert(row.place);
                }
                let turn = turns.entry(&row.kind).or_default();
                *turn += 1;
                let known = samples.get(&row.kind)?;
                known.get(*turn % known.len().max(1)).copied()
            });
            let shape = shape.unwrap_or_else(|| {
                sized.unsure.insert(row.place);
                smallest(row)
            });
            match row.place {
                Place::Runnable => sized.runnable.add(shape, row.jobs),
                Place::MultiNode => sized.multi_node.add(shape, row.jobs),
                Place::Placed => sized.placed.add(shape, row.jobs),
            }
        }
        sized
    }

    /// Asks for sizes that are not known yet. Says whether some could not be asked for.
    async fn ask_for_sizes(&mut self, head: Option<&str>, sizes: &Sizes) -> bool {
        let unknown: Vec<&Row> = self.rows.iter().filter(|row| sizes.get(&row.id).is_none()).collect();
        let mut ids: Vec<String> = Vec::new();
        if let Some(head) = head {
            let id = parent_of(head).unwrap_or(head);
            ids.extend(sizes.get(id).is_none().then(|| id.to_owned()));
        }
        let all = unknown.len() <= ASKED_MOST;
        let mut taken: BTreeMap<&Kind, usize> = BTreeMap::new();
        for row in unknown {
            if row.id.is_empty() {
                continue;
            }
            let taken = taken.entry(&row.kind).or_default();
            *taken += 1;
            if (all || *taken <= SAMPLE) && ids.len() < SAMPLED_MOST && !ids.contains(&row.id) {
                ids.push(row.id.clone());
            }
        }
        let mut failed = false;
        for ids in ids.chunks(DESCRIBED_AT_ONCE) {
            self.found.calls += 1;
            match self.cloud.describe_jobs(ids).await {
                Ok(described) => described.iter().for_each(|job| sizes.put(job)),
                Err(error) => {
                    self.found.trouble = Some(error.message);
                    failed = true;
                    break;
                }
            }
        }
        failed
    }
}

/// Some sizes of each kind of job.
fn samples<'a>(rows: &'a [Row], sizes: &Sizes) -> BTreeMap<&'a Kind, Vec<Shape>> {
    let mut samples: BTreeMap<&Kind, Vec<Shape>> = BTreeMap::new();
    for row in rows {
        if let Some(shape) = sizes.get(&row.id) {
            let known = samples.entry(&row.kind).or_default();
            if known.len() < SAMPLE {
                known.push(shape);
            }
        }
    }
    samples
}

fn smallest(row: &Row) -> Shape {
    Shape {
        resources: Resources {
            vcpus: row.kind.vcpus.unwrap_or(Vcpus::new(1)),
            memory: Mebibytes::ZERO,
            gpus: 0,
        },
        nodes: row.nodes,
    }
}
