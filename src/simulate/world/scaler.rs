//! Batch's own scaler: a look compares RUNNABLE work with capacity that is there or coming, and launches the rest.
//!
//! Queues are served by priority, each in the order of its environments. Work passes on to the next environment only if the
//! one before is unusable, at maxvCpus, or cannot hold it (AWS Batch user guide, compute environments); an environment that
//! may not be scaled just now keeps its work waiting.

use super::environment::Environment;
use super::events::What;
use super::instances::Stage;
use super::types::{self, Launch, take};
use super::{Time, World};
use crate::catalog::{Purchase, Resources};
use crate::ids::{EnvironmentIndex, JobIndex, QueueIndex, ShapeIndex};
use crate::simulate::draws::{Cause, draw};
use crate::units::{Span, to_i64, to_usize};

/// Jobs of one size: what each asks for and how many still lack room.
type Row = (Resources, i64);

/// Room that waiting jobs will find without a launch.
#[derive(Debug, Default)]
struct Coming {
    /// Free on what is there: jobs behind the first of the queue may fit once that has moved on.
    behind_the_first: Resources,
    /// On each instance that is coming or asked for.
    instances: Vec<Resources>,
}

impl World<'_> {
    /// Plans a look for work that has no room, unless one comes soon enough.
    pub(super) fn request_look(&mut self) {
        let drawn = draw(self.seed, Cause::Decision, 0, self.relative(self.now));
        self.plan_look(self.now + self.model.decision_delay.at(drawn));
    }

    fn plan_look(&mut self, at: Time) {
        if at < self.next_look {
            self.next_look = at;
            self.events.plan(at, What::Look);
        }
    }

    /// One look at all queues.
    pub(super) fn look(&mut self) {
        if self.next_look != self.now {
            return; // an earlier one was planned instead
        }
        self.next_look = Time::FAR_FUTURE;
        let mut coming: Vec<Option<Coming>> = self.environments.iter().map(|_| None).collect();
        for position in 0..self.serve_order.len() {
            let queue = self.serve_order[position];
            self.serve_multi_node(queue);
            if !self.is_multi_node_first(queue) {
                self.serve_single_node(queue, &mut coming);
            }
        }
    }

    /// Whether a multi-node job holds all jobs behind it, so that capacity for them would only take its room.
    fn is_multi_node_first(&self, queue: QueueIndex) -> bool {
        let first = self.queues[queue.position()].waiting.line_after(i64::MIN);
        self.model.head_of_line_blocking && first.is_some_and(|(_, shape)| self.shapes[shape.position()].nodes > 1)
    }

    fn serve_single_node(&mut self, queue: QueueIndex, coming: &mut [Option<Coming>]) {
        let waiting = self.queues[queue.position()].waiting.rows();
        let mut rows: Vec<Row> = waiting
            .map(|(shape, jobs)| (self.shapes[shape.position()], jobs))
            .filter(|(shape, _)| shape.nodes == 1)
            .map(|(shape, jobs)| (shape.resources, jobs))
            .collect();
        for order in 0..self.queues[queue.position()].environments.len() {
            if rows.iter().all(|row| row.1 == 0) {
                return;
            }
            let environment = self.queues[queue.position()].environments[order];
            let place = &self.environments[environment.position()];
            if !place.usable() || !place.managed() || self.is_passed_over(environment) {
                continue;
            }
            let known = coming[environment.position()].get_or_insert_with(|| self.coming(place));
            cover(&mut rows, known);
            let limit = self.queues[queue.position()].limit(place);
            let room = limit.minus_or_zero(place.committed());
            let launchable = |row: &Row| row.1 > 0 && types::can_launch(place, &self.model, &row.0, room);
            let first_is_stuck =
                self.model.head_of_line_blocking && rows.first().is_some_and(|first| first.1 > 0 && !launchable(first));
            if first_is_stuck || !rows.iter().any(launchable) {
                continue; // capacity for jobs behind a stuck first one would only take its room
            }
            let may_launch_at = self.may_launch_at(environment);
            if may_launch_at > self.now {
                if may_launch_at < Time::FAR_FUTURE {
                    self.plan_look(may_launch_at);
                }
                return;
            }
            let launches = types::for_jobs(place, &self.model, &mut rows, room);
            self.environment_mut(environment).last_demand = self.now;
            self.order(environment, &launches, false, None);
            coming[environment.position()] = Some(Coming::default()); // what was coming is spoken for
        }
    }

    /// Multi-node jobs get instances of their own, all of one type, launched together (AWS Batch user guide, multi-node
    /// parallel jobs).
    fn serve_multi_node(&mut self, queue: QueueIndex) {
        let waiting = self.waiting_multi_node(queue);
        if waiting.is_empty() {
            return;
        }
        let gathering = self.gathering();
        let mut refused: Vec<ShapeIndex> = Vec::new();
        for (job, shape) in waiting {
            // What cannot be launched for one job cannot be launched for others of its size.
            if !gathering.contains(&job) && !refused.contains(&shape) && !self.launch_nodes(queue, job, shape) {
                refused.push(shape);
            }
        }
    }

    /// The multi-node jobs that may have instances now, in the order of the queue.
    fn waiting_multi_node(&self, queue: QueueIndex) -> Vec<(JobIndex, ShapeIndex)> {
        let waiting = &self.queues[queue.position()].waiting;
        let most = if self.model.head_of_line_blocking {
            1
        } else {
            usize::MAX
        };
        let shapes = waiting.rows().take(most).map(|(shape, _)| shape);
        let multi_node = shapes.filter(|shape| self.shapes[shape.position()].nodes > 1);
        let line = |shape| waiting.line(shape).map(move |(place, job)| (place, job, shape));
        let mut jobs: Vec<(i64, JobIndex, ShapeIndex)> = multi_node.flat_map(|shape| line(shape).take(most)).collect();
        jobs.sort_unstable();
        jobs.into_iter().map(|(_, job, shape)| (job, shape)).collect()
    }

    /// Asks for the instances of a multi-node job; whether some environment may have them.
    fn launch_nodes(&mut self, queue: QueueIndex, job: JobIndex, shape: ShapeIndex) -> bool {
        let size = self.shapes[shape.position()];
        for order in 0..self.queues[queue.position()].environments.len() {
            let environment = self.queues[queue.position()].environments[order];
            let place = &self.environments[environment.position()];
            if !place.usable() || !place.managed() || place.purchase == Purchase::Spot {
                continue;
            }
            let may_launch_at = self.may_launch_at(environment);
            if may_launch_at > self.now {
                if may_launch_at < Time::FAR_FUTURE {
                    self.plan_look(may_launch_at);
                }
                return false;
            }
            let room = self.queues[queue.position()]
                .limit(place)
                .minus_or_zero(place.committed());
            if let Some(offer) = types::for_nodes(place, &size.resources, size.nodes, room) {
                let ask = size.resources;
                let launches = vec![Launch { offer, ask }; to_usize(size.nodes)];
                self.order(environment, &launches, false, Some(job));
                return true;
            }
        }
        false
    }

    /// What is coming to an environment, as far as Batch counts it.
    fn coming(&self, place: &Environment) -> Coming {
        let counts_updates = self.model.counts_capacity_of_updates;
        let counted = place.instances.iter().filter(|instance| {
            instance.stage == Stage::Coming
                && instance.reserved_for.is_none()
                && (counts_updates || !instance.by_update)
        });
        let launched = counted.map(|instance| place.resources(instance));
        let asked = place.orders.iter().filter_map(|order| order.offer(counts_updates));
        let asked = asked.map(|offer| place.offers[offer].registered);
        let behind_the_first = if self.model.head_of_line_blocking {
            place.free
        } else {
            Resources::default()
        };
        Coming {
            behind_the_first,
            instances: launched.chain(asked).collect(),
        }
    }

    /// Whether an environment has been short of capacity for so long that Batch takes the next in order.
    pub(super) fn is_passed_over(&self, environment: EnvironmentIndex) -> bool {
        let patience = self.model.next_environment_after.0;
        let short = self.environments[environment.position()].short_since;
        !patience.is_zero() && short.is_some_and(|since| self.now.since(since) >= patience)
    }

    /// The first moment, now or later, at which Batch may launch here; the far future while only an event can tell.
    fn may_launch_at(&self, environment: EnvironmentIndex) -> Time {
        let place = &self.environments[environment.position()];
        if place.updating && !self.model.scales_while_updating {
            return Time::FAR_FUTURE;
        }
        let from = self.now.max(place.no_launch_before);
        let interval = self.model.evaluation_interval.0.millis();
        if interval == 0 || (self.model.looks_at_once_when_idle && place.committed().is_zero()) {
            return from;
        }
        let drawn = draw(self.seed, Cause::Phase, place.key, 0);
        let phase = to_i64(drawn % u64::try_from(interval).unwrap_or(1));
        let since_phase = from.since(self.origin).millis() - phase;
        let late = since_phase.rem_euclid(interval);
        if late == 0 {
            from
        } else {
            from + Span::from_millis(interval - late)
        }
    }
}

/// Takes jobs that will find room out of the rows. The first job of the queue has found none on what is there.
fn cover(rows: &mut [Row], coming: &mut Coming) {
    for (position, (ask, jobs)) in rows.iter_mut().enumerate() {
        let first = i64::from(position == 0).min(*jobs);
        let behind = coming.behind_the_first.slots(ask).min(*jobs - first);
        coming.behind_the_first = take(&coming.behind_the_first, ask, behind);
        *jobs -= behind;
        for free in &mut coming.instances {
            if *jobs == 0 {
                break;
            }
            let fitting = free.slots(ask).min(*jobs);
            if fitting > 0 {
                *jobs -= fitting;
                *free = take(free, ask, fitting);
            }
        }
    }
}
