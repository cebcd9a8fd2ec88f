//! Placing RUNNABLE jobs on instances with room, and how long each queue could not grow.

use std::collections::{BTreeMap, BTreeSet};

use super::environment::{Environment, Offer};
use super::events::InstanceId;
use super::instances::Stage;
use super::launches::Order;
use super::{Queue, World, types};
use crate::ids::{EnvironmentIndex, JobIndex, QueueIndex, ShapeIndex};
use crate::observation::Shape;
use crate::units::{Span, Time, Vcpus, to_i64, to_u32, to_usize};

impl Queue {
    /// Notes a change of the counts that an observer sees. Multi-node jobs are no demand that minvCpus could serve.
    fn count(&mut self, index: ShapeIndex, shape: Shape, runnable: i64, placed: i64) {
        let nodes = shape.nodes;
        if nodes > 1 {
            self.not_demand.multi_node += runnable;
            self.multi_node.add(shape, runnable);
        }
        let Some(change) = self.changes.get_mut(index.position()) else {
            return;
        };
        if *change == (0, 0) {
            self.changed.push(index.0);
        }
        change.0 += if nodes > 1 { 0 } else { runnable };
        change.1 += placed;
    }

    /// How long, until now, no environment of this queue could have grown.
    pub(super) fn saturated_time(&self, now: Time) -> Span {
        let current = if self.saturated {
            now.since(self.saturated_since)
        } else {
            Span::ZERO
        };
        self.saturated_before + current
    }

    /// What its fair-share reservation leaves of an environment's maxvCpus.
    pub(super) fn limit(&self, environment: &Environment) -> Vcpus {
        environment.max.scaled_down(self.share_permille, 1_000)
    }
}

impl World<'_> {
    /// A job has come into or gone out of RUNNABLE, or STARTING and RUNNING. For a child of an array only its parent's summary
    /// says so, and later.
    pub(super) fn count(&mut self, job: JobIndex, runnable: i64, placed: i64) {
        let recorded = &self.trace.jobs[job.position()];
        if recorded.array.is_some() && !self.summary_lag.is_zero() {
            let at = self.now + self.summary_lag;
            self.late_counts.push_back((at, job, runnable, placed));
        } else {
            self.count_now(job, runnable, placed);
        }
    }

    fn count_now(&mut self, job: JobIndex, runnable: i64, placed: i64) {
        let index = self.trace.jobs[job.position()].shape;
        let queue = self.jobs.states[job.position()].outcome.queue;
        let shape = self.shapes[index.position()];
        self.queues[queue.position()].count(index, shape, runnable, placed);
    }

    /// Summaries of arrays tell what is old enough.
    pub(super) fn tell_late_counts(&mut self) {
        while let Some((_, job, runnable, placed)) = self.late_counts.pop_front_if(|late| late.0 <= self.now) {
            self.count_now(job, runnable, placed);
        }
    }

    /// Places what has room; then, if something has changed that more capacity could answer, asks for a look.
    pub(super) fn dispatch(&mut self) {
        for position in 0..self.serve_order.len() {
            let queue = self.serve_order[position];
            if !self.queues[queue.position()].waiting.is_empty() {
                if self.model.head_of_line_blocking {
                    self.place_in_order(queue);
                } else {
                    self.place_what_fits(queue);
                }
            }
        }
        if self.unsettled {
            self.unsettled = false;
            if self.queues.iter().any(|queue| self.could_grow_for(queue)) {
                self.request_look();
            }
        }
    }

    fn could_grow_for(&self, queue: &Queue) -> bool {
        let grows = |environment: &EnvironmentIndex| {
            let place = &self.environments[environment.position()];
            place.usable() && place.managed() && place.committed() < queue.limit(place)
        };
        !queue.waiting.is_empty() && queue.environments.iter().any(grows)
    }

    /// Strictly first in, first out: a job that does not fit holds all behind it.
    fn place_in_order(&mut self, queue: QueueIndex) {
        while let Some((_, shape)) = self.queues[queue.position()].waiting.line_after(i64::MIN) {
            if !self.place_first(queue, shape) {
                return;
            }
        }
    }

    /// First in, first out among those that fit.
    fn place_what_fits(&mut self, queue: QueueIndex) {
        let mut place = i64::MIN;
        while let Some((front, shape)) = self.queues[queue.position()].waiting.line_after(place) {
            let stamp = self.room_stamp;
            if self.queues[queue.position()].tried[shape.position()] == stamp {
                place = front;
            } else if !self.place_first(queue, shape) {
                self.queues[queue.position()].tried[shape.position()] = stamp;
                place = front;
            }
        }
    }

    /// Places the first job of a size; whether there was room.
    fn place_first(&mut self, queue: QueueIndex, shape: ShapeIndex) -> bool {
        let size = self.shapes[shape.position()];
        for order in 0..self.queues[queue.position()].environments.len() {
            let environment = self.queues[queue.position()].environments[order];
            if size.nodes > 1 {
                if self.place_multi_node(queue, shape, environment) {
                    return true;
                }
                continue;
            }
            let (line, place) = (
                &self.queues[queue.position()],
                &self.environments[environment.position()],
            );
            let within_share =
                line.share_permille == 1_000 || place.assigned + size.resources.vcpus <= line.limit(place);
            let found = if place.usable() && within_share {
                place.index.first_fit(&size.resources)
            } else {
                None
            };
            if let Some(position) = found.map(to_u32) {
                if let Some(job) = self.queues[queue.position()].waiting.pop(shape) {
                    self.take_room(InstanceId { environment, position }, job, &size.resources);
                    self.assign(job, environment, position);
                }
                return true;
            }
            if !self.model.places_on_later_environments && self.could_still_serve(queue, environment, &size.resources) {
                return false;
            }
        }
        false
    }

    /// Whether Batch would still launch here for a job, so that it does not pass on to the next environment.
    fn could_still_serve(
        &self,
        queue: QueueIndex,
        environment: EnvironmentIndex,
        ask: &crate::catalog::Resources,
    ) -> bool {
        let place = &self.environments[environment.position()];
        let room = self.queues[queue.position()]
            .limit(place)
            .minus_or_zero(place.committed());
        place.usable()
            && place.managed()
            && types::can_launch(place, &self.model, ask, room)
            && !self.is_passed_over(environment)
    }

    /// Starts a multi-node job of this size if all the instances that were launched for it have registered.
    fn place_multi_node(&mut self, queue: QueueIndex, shape: ShapeIndex, environment: EnvironmentIndex) -> bool {
        let Some((job, nodes)) = self.ready_multi_node(queue, shape, environment) else {
            return false;
        };
        let Some(main) = nodes.first().map(|id| id.position) else {
            return false;
        };
        self.queues[queue.position()].waiting.remove(shape, job);
        for id in &nodes {
            let place = &self.environments[environment.position()];
            let whole = place.resources(&place.instances[to_usize(id.position)]);
            self.take_room(*id, job, &whole);
        }
        self.nodes.insert(job, nodes);
        self.assign(job, environment, main);
        true
    }

    /// The first multi-node job of a size that has all its instances, with them. Where the first in line holds all behind it, only
    /// that one.
    fn ready_multi_node(
        &self,
        queue: QueueIndex,
        shape: ShapeIndex,
        environment: EnvironmentIndex,
    ) -> Option<(JobIndex, Vec<InstanceId>)> {
        let place = &self.environments[environment.position()];
        let mut ready: BTreeMap<JobIndex, Vec<InstanceId>> = BTreeMap::new();
        for (position, instance) in place.instances.iter().enumerate() {
            if let Some(job) = instance.reserved_for.filter(|_| instance.stage == Stage::Active) {
                let position = to_u32(position);
                ready.entry(job).or_default().push(InstanceId { environment, position });
            }
        }
        let most = if self.model.head_of_line_blocking {
            1
        } else {
            usize::MAX
        };
        let nodes = i64::from(self.shapes[shape.position()].nodes);
        let mut line = self.queues[queue.position()].waiting.line(shape).take(most);
        line.find_map(|(_, job)| {
            let there = ready.remove(&job)?;
            (to_i64(there.len()) >= nodes).then_some((job, there))
        })
    }

    /// Multi-node jobs for which instances are there, coming or asked for.
    pub(super) fn gathering(&self) -> BTreeSet<JobIndex> {
        let held = |place: &Environment| -> Vec<JobIndex> {
            let there = place.instances.iter().filter(|instance| instance.stage != Stage::Gone);
            let orders = place.orders.iter().filter_map(Order::reserved_for);
            there
                .filter_map(|instance| instance.reserved_for)
                .chain(orders)
                .collect()
        };
        self.environments.iter().flat_map(held).collect()
    }

    /// Computes anew which queues could not grow: every environment unusable, at maxvCpus, or at its quota, counting what is
    /// ACTIVE. Instances on their way do not count: waiting for them is avoidable.
    pub(super) fn refresh_saturation(&mut self) {
        self.capacity_changed = false;
        let active_of_quota: Vec<Vcpus> = (0..self.quotas.len())
            .map(|quota| self.environments.iter().map(|e| e.there_under(quota)).sum())
            .collect();
        let now = self.now;
        for queue in &mut self.queues {
            let saturated = queue.environments.iter().all(|environment| {
                let place = &self.environments[environment.position()];
                let is_full = |offer: &Offer| {
                    offer.quota.is_some_and(|quota| {
                        let others = self.quotas[quota].used_by_others;
                        others + active_of_quota[quota] + offer.registered.vcpus > self.quotas[quota].limit
                    })
                };
                let at_quota = !place.offers.is_empty() && place.offers.iter().all(is_full);
                !place.usable() || at_quota || place.there + place.smallest > queue.limit(place)
            });
            if saturated != queue.saturated {
                queue.saturated_before = queue.saturated_time(now);
                queue.saturated = saturated;
                queue.saturated_since = now;
            }
        }
    }
}
