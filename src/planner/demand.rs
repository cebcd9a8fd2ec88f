//! Who needs how much: RUNNABLE jobs, jobs known to come, messages that will become jobs, idle room wanted on purpose.
//!
//! No demand are jobs that capacity does not cure: PENDING on dependencies, blocked by MISCONFIGURATION, held by a fair-share
//! reservation, multi-node (Batch never serves those from minvCpus), or too large for every environment of the queue. They
//! are reported instead.

use crate::ids::{QueueIndex, SqsIndex};
use crate::observation::{QueueNow, Seen, Shape, Tally};
use crate::overrides::Order;
use crate::planner::Inputs;
use crate::planner::memory::SqsMemory;
use crate::planner::plan::{Because, NotDemandKind, Note, Part, Plan, Subject};
use crate::planner::scratch::{Row, Source};
use crate::planner::sight;
use crate::setup::{EnvironmentSetup, HandOff, QueueSetup, SqsSetup};
use crate::units::{Span, Time, Vcpus, to_i64};

/// Whether what an environment launches holds the job: for waiting jobs AWS Batch picks a type that does, ahead of jobs it
/// can only pick what is cheapest.
pub(crate) fn fits(setup: &EnvironmentSetup, row: &Row) -> bool {
    if row.source == Source::Waiting {
        setup.fits.iter().any(|room| room.hold(&row.shape.resources))
    } else {
        setup.without_job.hold(&row.shape.resources)
    }
}

/// The vCPUs of an environment that a job takes up: its vCPUs, or what comes with its memory or its GPUs on the most generous
/// allowed type (ahead of jobs: on the cheapest), or a whole instance where no type holds two of it.
pub(crate) fn size_on(setup: &EnvironmentSetup, row: &Row) -> Vcpus {
    let resources = &row.shape.resources;
    let memory_per_kilo_vcpu = if row.source == Source::Waiting {
        setup.memory_per_kilo_vcpu
    } else {
        setup
            .without_job
            .memory
            .scaled_down(1024, setup.without_job.vcpus.get())
            .get()
    };
    let for_memory = Vcpus::new(if memory_per_kilo_vcpu > 0 {
        ceil_div(resources.memory.get().saturating_mul(1024), memory_per_kilo_vcpu)
    } else {
        0
    });
    let for_gpus = setup.vcpus_per_gpu.times(i64::from(resources.gpus));
    let share = resources.vcpus.max(for_memory).max(for_gpus).max(Vcpus::new(1));
    if share.times(2) <= setup.largest {
        return share;
    }
    let whole = setup
        .fits
        .iter()
        .filter(|room| room.hold(resources))
        .map(|room| room.vcpus)
        .min();
    whole.map_or(share, |whole| whole.max(share))
}

/// Whether asking ahead would take a third more room than asking when the job is there: the cheapest type has too little
/// memory for it.
pub(crate) fn wastes_room(setup: &EnvironmentSetup, row: &Row) -> bool {
    let with_job = Row {
        source: Source::Waiting,
        ..*row
    };
    size_on(setup, row).times(3) > size_on(setup, &with_job).times(4)
}

/// Lists what a queue's jobs, messages and known arrivals need, hardest to place first.
pub(crate) fn of_queue(inputs: &Inputs<'_>, queue: QueueIndex, plan: &mut Plan) {
    plan.scratch.rows.clear();
    let (Some(setup), Some(now)) = (
        inputs.setup.queues.get(queue.position()),
        inputs.observation.queues.get(queue.position()),
    ) else {
        return;
    };
    report_not_demand(queue, now, plan);
    if !sight::may_ask(inputs, queue) {
        return;
    }
    if let Some(tally) = now.runnable.value().filter(|_| setup.follows_runnable) {
        let head = head(inputs, now);
        if let Some(shape) = head {
            let first = Row {
                head: true,
                ..Row::new(Source::Waiting, shape, 1)
            };
            add(inputs, setup, queue, first, plan);
        }
        for (shape, jobs) in tally.rows().rev() {
            let jobs = jobs - i64::from(head == Some(*shape));
            if jobs > 0 {
                add(inputs, setup, queue, Row::new(Source::Waiting, *shape, jobs), plan);
            }
        }
    }
    take_off_placed(setup, plan);
    arrivals(inputs, setup, queue, plan);
    for &source in &setup.sqs_sources {
        messages(inputs, setup, queue, source, now, plan);
    }
    let unfit = plan.queues[queue.position()].unfit_jobs;
    if unfit > 0 {
        plan.say(Subject::Queue(queue), Because::Unfit(unfit));
    }
}

/// Opens what [`take_off_placed`] takes off: per environment, what jobs hold there beyond the jobs counted as placed.
///
/// Counts are told late (those of array children by AWS Batch itself), container instances are not: what is held by nobody who
/// is counted is held by jobs that are still counted as RUNNABLE. To ask for them again would launch twice.
pub(crate) fn open(inputs: &Inputs<'_>, plan: &mut Plan) {
    plan.scratch.held_uncounted.clear();
    let used = plan.environments.iter().map(|sums| sums.used);
    plan.scratch.held_uncounted.extend(used);
    let mut unmatched = Vcpus::ZERO;
    for (setup, now) in inputs.setup.queues.iter().zip(&inputs.observation.queues) {
        // Of jobs that were not all counted, any may hold it.
        let mut counted = match &now.placed {
            Seen::Exactly(_, placed) => placed.vcpus(),
            Seen::AtLeast(..) | Seen::Missing(_) => Vcpus::MAX,
        };
        for environment in &setup.environments {
            if let Some(held) = plan.scratch.held_uncounted.get_mut(environment.position()) {
                let taken = counted.min(*held);
                *held -= taken;
                counted -= taken;
            }
        }
        if now.placed.is_exact() {
            unmatched += counted;
        }
    }
    // Whose jobs run where is not known: what one queue's seem to hold in vain, another's hold elsewhere.
    for held in &mut plan.scratch.held_uncounted {
        let taken = unmatched.min(*held);
        *held -= taken;
        unmatched -= taken;
    }
}

/// Takes jobs off the rows that are held to be placed already; never the head, which is told afresh.
fn take_off_placed(setup: &QueueSetup, plan: &mut Plan) {
    let scratch = &mut plan.scratch;
    for environment in &setup.environments {
        let Some(held) = scratch.held_uncounted.get_mut(environment.position()) else {
            continue;
        };
        for row in scratch.rows.iter_mut().filter(|row| !row.head) {
            if held.is_zero() {
                break;
            }
            let each = row.shape.resources.vcpus.max(Vcpus::new(1));
            // Most rows are told apart without a division.
            if *held < each || row.jobs == 0 {
                continue;
            }
            let jobs = row.jobs.min(held.get() / each.get());
            row.jobs -= jobs;
            *held -= each.times(jobs);
        }
    }
}

/// The size of the job at the head of a queue, if that is known and agrees with what was counted. A head that no counted job
/// has the size of is believed only where counting stopped early.
fn head(inputs: &Inputs<'_>, now: &QueueNow) -> Option<Shape> {
    let shape = (*now.head.value()?)?;
    let counted = now.runnable.value()?.rows().any(|(other, _)| *other == shape);
    (sight::is_fresh(inputs, Some(&now.head)) && (counted || !now.runnable.is_exact())).then_some(shape)
}

/// Adds a row if some environment of the queue can run it.
fn add(inputs: &Inputs<'_>, setup: &QueueSetup, queue: QueueIndex, row: Row, plan: &mut Plan) {
    let sums = &mut plan.queues[queue.position()];
    if row.shape.nodes > 1 {
        return;
    }
    let mut fitting = setup
        .environments
        .iter()
        .filter_map(|environment| inputs.setup.environments.get(environment.position()))
        .filter(|environment| fits(environment, &row));
    let Some(preferred) = fitting.next() else {
        if row.source == Source::Waiting {
            sums.unfit_jobs = sums.unfit_jobs.saturating_add(row.jobs);
        } else {
            plan.say(Subject::Queue(queue), Because::WrongShape(row.jobs));
        }
        return;
    };
    let size = size_on(preferred, &row).times(row.jobs);
    match row.source {
        Source::Waiting => {
            sums.waiting_jobs = sums.waiting_jobs.saturating_add(row.jobs);
            sums.waiting += size;
        }
        Source::Arriving => sums.arriving += size,
        Source::Messages => sums.messages += size,
        Source::Idle => {}
    }
    plan.scratch.rows.push(row);
}

fn report_not_demand(queue: QueueIndex, now: &QueueNow, plan: &mut Plan) {
    let counts = [
        (NotDemandKind::Pending, now.not_demand.pending),
        (NotDemandKind::Misconfigured, now.not_demand.misconfigured),
        (NotDemandKind::Reserved, now.not_demand.reserved),
        (NotDemandKind::MultiNode, now.not_demand.multi_node),
    ];
    for (kind, jobs) in counts {
        if jobs > 0 {
            plan.say(Subject::Queue(queue), Because::NotDemand(kind, jobs));
        }
    }
}

/// Jobs known to become RUNNABLE before a launch asked for now would be ready.
fn arrivals(inputs: &Inputs<'_>, setup: &QueueSetup, queue: QueueIndex, plan: &mut Plan) {
    let horizon = lead_time(inputs, setup);
    for arrival in inputs
        .observation
        .arrivals
        .iter()
        .filter(|arrival| arrival.queue == queue)
    {
        if arrival.at > inputs.now + horizon {
            plan.look_at(arrival.at - horizon);
        } else {
            let row = Row::new(Source::Arriving, arrival.shape, arrival.jobs);
            add(inputs, setup, queue, row, plan);
        }
    }
}

/// How far ahead of a need a launch has to be asked for: that of the preferred environment.
fn lead_time(inputs: &Inputs<'_>, setup: &QueueSetup) -> Span {
    let preferred = setup
        .environments
        .first()
        .and_then(|first| inputs.setup.environments.get(first.position()));
    preferred.map_or(Span::ZERO, |environment| environment.launch_expected)
}

/// Messages of one SQS source, as the jobs that they will become.
fn messages(
    inputs: &Inputs<'_>,
    setup: &QueueSetup,
    queue: QueueIndex,
    source: SqsIndex,
    now: &QueueNow,
    plan: &mut Plan,
) {
    let (Some(sqs), Some(seen)) = (
        inputs.setup.sqs_sources.get(source.position()),
        inputs.observation.sqs.get(source.position()),
    ) else {
        return;
    };
    if !sight::is_fresh(inputs, Some(seen)) {
        plan.say(
            Subject::Sqs(source),
            Because::Blind(Part::Messages, sight::age(inputs.now, Some(seen))),
        );
        return;
    }
    let visible = seen.value().map_or(0, |counts| counts.visible.max(0));
    let of_shape = |part: &Seen<Tally>| {
        let rows = part
            .value()
            .map(|tally| tally.rows().filter(|(shape, _)| **shape == sqs.job));
        rows.map_or(0, |rows| rows.map(|(_, jobs)| jobs).sum::<i64>())
    };
    let jobs_there = of_shape(&now.runnable).saturating_add(of_shape(&now.placed));
    // Jobs are listed more often than messages are counted: what has come since that count may still be among the messages.
    let before = inputs.memory.sqs.get(source.position()).copied().unwrap_or_default();
    let jobs_then = before
        .read
        .filter(|(at, _)| *at == seen.at())
        .map_or(jobs_there, |(_, jobs)| jobs);
    let come_since = jobs_there.saturating_sub(jobs_then).max(0);
    let read = (visible > 0).then(|| (seen.at(), jobs_then));
    let believed = believed_percent(inputs, sqs, source, (visible, jobs_there), read, plan);
    let jobs = match sqs.hand_off {
        HandOff::Dispatcher { jobs_per_kilo_message } => {
            let all = ceil_div(visible.saturating_mul(jobs_per_kilo_message.max(0)), 1000);
            all.saturating_sub(come_since).max(0)
        }
        HandOff::Workers { messages_per_worker } => ceil_div(visible, messages_per_worker.max(1))
            .saturating_sub(jobs_there)
            .max(0),
    };
    let mut jobs = ceil_div(jobs.saturating_mul(believed), 100);
    if let Some(cap) = sqs.cap {
        jobs = jobs.min(cap.get() / sqs.job.resources.vcpus.get().max(1));
    }
    if jobs > 0 {
        add(inputs, setup, queue, Row::new(Source::Messages, sqs.job, jobs), plan);
    }
}

/// How much of the messages' demand is still believed, in per cent: all of it for the source's patience after the last sign
/// of progress (fewer messages or more jobs), then a fifth less with every fifth of that time, so that it is gone after as
/// long again.
fn believed_percent(
    inputs: &Inputs<'_>,
    sqs: &SqsSetup,
    source: SqsIndex,
    (visible, jobs): (i64, i64),
    read: Option<(Time, i64)>,
    plan: &mut Plan,
) -> i64 {
    let before = inputs.memory.sqs.get(source.position()).copied().unwrap_or_default();
    let since = match before.progress {
        Some((messages, jobs_before, since)) if visible > 0 && visible >= messages && jobs <= jobs_before => since,
        Some(_) | None => inputs.now,
    };
    let messages_then = before.progress.map_or(
        visible,
        |(messages, _, at)| {
            if since == at { messages.min(visible) } else { visible }
        },
    );
    let after = SqsMemory {
        progress: (visible > 0).then_some((messages_then, jobs, since)),
        read,
    };
    if after != before {
        plan.notes.push(Note::Sqs(source, after));
    }
    if visible == 0 {
        return 0;
    }
    let fifth = Span::from_millis((sqs.patience.millis() / 5).max(1));
    let late = inputs.now.since(since) - sqs.patience;
    if late < Span::ZERO {
        plan.look_at(since + sqs.patience);
        return 100;
    }
    let steps = (late.millis() / fifth.millis()).saturating_add(1).min(5);
    if steps < 5 {
        plan.look_at(since + sqs.patience + fifth.times(steps));
    }
    let believed = 100 - 20 * steps;
    plan.say(Subject::Sqs(source), Because::Stalled(believed));
    believed
}

/// Lists the idle room that a queue wants on purpose: headroom and scheduled floors, in slots of its reference job.
pub(crate) fn idle_wanted(inputs: &Inputs<'_>, queue: QueueIndex, plan: &mut Plan) {
    plan.scratch.rows.clear();
    let (Some(setup), Some(now)) = (
        inputs.setup.queues.get(queue.position()),
        inputs.observation.queues.get(queue.position()),
    ) else {
        return;
    };
    if !sight::may_ask(inputs, queue) {
        return;
    }
    let (floor, scheduled_slots) = scheduled(inputs, queue, setup, plan);
    let boost = match sight::queue_order(inputs, queue) {
        Some(Order::Boost(level)) => level,
        Some(Order::Pause | Order::Drain) | None => Vcpus::ZERO,
    };
    let (floor, ordered) = (floor.max(boost), boost > floor);
    let sums = plan.queues[queue.position()];
    let held =
        now.placed.value().map_or(Vcpus::ZERO, Tally::vcpus) + sums.from_idle + sums.from_on_its_way + sums.granted;
    let per_slot = setup.reference.resources.vcpus.max(Vcpus::new(1));
    let for_floor = ceil_div(floor.minus_or_zero(held).get(), per_slot.get());
    let slots = setup.headroom_slots.max(scheduled_slots).max(for_floor);
    if slots > 0 {
        let because = if for_floor.max(scheduled_slots) > setup.headroom_slots {
            Because::Scheduled(per_slot.times(slots))
        } else {
            Because::Headroom(per_slot.times(slots))
        };
        if !ordered {
            plan.say(Subject::Queue(queue), because);
        }
        add(
            inputs,
            setup,
            queue,
            Row::new(Source::Idle, reference(setup), slots),
            plan,
        );
    }
}

fn reference(setup: &QueueSetup) -> Shape {
    Shape {
        nodes: 1,
        ..setup.reference
    }
}

/// The largest floor and the most slots of the windows that are open, or will be before a launch is ready.
fn scheduled(inputs: &Inputs<'_>, queue: QueueIndex, setup: &QueueSetup, plan: &mut Plan) -> (Vcpus, i64) {
    let lead = lead_time(inputs, setup);
    let (open, next) = inputs.forecast.open(queue, inputs.now, inputs.now + lead);
    let mut largest = (Vcpus::ZERO, 0);
    for window in open {
        largest = (largest.0.max(window.floor_vcpus), largest.1.max(window.headroom_slots));
        plan.look_at(window.end);
    }
    if let Some(start) = next {
        plan.look_at(start - lead);
    }
    largest
}

fn ceil_div(numerator: i64, denominator: i64) -> i64 {
    let denominator = denominator.max(1);
    numerator
        .div_euclid(denominator)
        .saturating_add(to_i64(numerator.rem_euclid(denominator).min(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Forecast;
    use crate::observation::SqsNow;
    use crate::planner::memory::Memory;
    use crate::planner::worlds::{quiet, resources, shape, spot_then_on_demand};

    const NOW: Time = Time::from_seconds(1_767_258_000);

    #[test]
    fn a_job_that_takes_a_whole_instance_takes_the_smallest_that_holds_it() {
        let mut setup = spot_then_on_demand().environments.remove(0);
        setup.fits = [32, 64, 96].map(|vcpus| resources(vcpus, vcpus * 4096)).to_vec();
        setup.largest = Vcpus::new(96);
        let size = |vcpus: i64| size_on(&setup, &Row::new(Source::Waiting, shape(vcpus), 1)).get();
        assert_eq!([8, 48, 49, 64, 65].map(size), [8, 48, 64, 64, 96]);
    }

    /// The vCPUs that messages need, decided twice or more over one count of ten messages while more and more jobs are listed.
    fn of_messages(hand_off: HandOff, jobs_listed: &[i64]) -> Vec<i64> {
        let mut setup = spot_then_on_demand();
        setup.sqs_sources.push(SqsSetup {
            name: "inbox".to_owned(),
            queue: QueueIndex(0),
            hand_off,
            job: shape(4),
            cap: None,
            patience: Span::from_minutes(10),
        });
        setup.queues[0].sqs_sources.push(SqsIndex(0));
        let counted = SqsNow {
            visible: 10,
            ..SqsNow::default()
        };
        let (mut memory, mut plan) = (Memory::new(&setup, NOW), Plan::default());
        let decide = |(round, jobs): (usize, &i64)| {
            let now = NOW + Span::from_seconds(5 * to_i64(round));
            let mut observation = quiet(&setup, now);
            let mut tally = Tally::default();
            tally.add(shape(4), *jobs);
            observation.queues[0].runnable = Seen::Exactly(now, tally);
            observation.sqs = vec![Seen::Exactly(NOW, counted)];
            crate::planner::plan(
                &Inputs {
                    setup: &setup,
                    observation: &observation,
                    memory: &memory,
                    forecast: &Forecast::default(),
                    now,
                },
                &mut plan,
            );
            memory.fold(&plan.notes);
            plan.queues[0].messages.get()
        };
        jobs_listed.iter().enumerate().map(decide).collect()
    }

    #[test]
    fn a_message_that_became_a_job_after_it_was_counted_is_not_asked_for_twice() {
        let dispatcher = HandOff::Dispatcher {
            jobs_per_kilo_message: 1_000,
        };
        assert_eq!(of_messages(dispatcher, &[3, 3, 7, 9, 20, 9]), [40, 40, 24, 16, 0, 16]);
        let workers = HandOff::Workers { messages_per_worker: 1 };
        assert_eq!(of_messages(workers, &[3, 3, 7, 9]), [28, 28, 12, 4]);
    }
}
