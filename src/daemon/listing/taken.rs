//! A listing, taken by the loop: jobs go to the ledger and into the statistics of waits, counts to the sight.

use super::Listed;
use crate::daemon::cloud::Cloud;
use crate::daemon::driver::Driver;
use crate::explain::printable;
use crate::journal::Transition;
use crate::units::Time;

impl<C: Cloud> Driver<C> {
    pub(in crate::daemon) fn take_jobs(&mut self, name: &str, began: Time, mut listed: Listed) {
        self.meter.add(began, listed.calls);
        let mut transitions = Vec::with_capacity(listed.jobs.len());
        for mut job in std::mem::take(&mut listed.jobs) {
            job.attempts = self.sight.attempts(&job);
            self.ears.listed(name, &job);
            let waits_for = !self.sizes.parents(&job.id).is_empty();
            self.waits.seen(name, &job, waits_for, &self.options.metrics);
            transitions.push(Transition {
                at: began,
                queue: name.to_owned(),
                shape: self.sizes.get(&job.id),
                parents: self.sizes.parents(&job.id),
                job,
                by_event: false,
            });
        }
        if self.ears.judge(name, began) {
            let queue = printable(name);
            tracing::warn!(%queue, "No event tells of its jobs, so they are polled; is it among the queues of the rule?");
        }
        self.note_jobs(transitions);
        if listed.unfollowed > 0 {
            self.writer.unfollowed(name, began, listed.unfollowed);
        }
        let book = std::mem::take(&mut listed.book);
        self.books.entry(name.to_owned()).or_default().absorb(book, began);
        let before = self
            .sight
            .queues_read
            .get(name)
            .and_then(|extra| extra.trouble.as_ref());
        if let Some(trouble) = listed.trouble.as_ref().filter(|trouble| before != Some(*trouble)) {
            let (queue, trouble) = (printable(name), printable(trouble));
            tracing::warn!(%queue, %trouble, "Jobs are seen in part only");
        }
        let short = listed.short.then(|| self.sight.queue(name)).flatten();
        self.sight.jobs(name, listed);
        if let Some(queue) = short.and_then(|index| self.controller.setup().queues.get(index.position())) {
            self.sight.short_of_capacity(&queue.environments, began);
        }
    }

    /// Notes what was told of jobs. What the journal has no room for is asked for again with the next listing.
    pub(in crate::daemon) fn note_jobs(&mut self, transitions: Vec<Transition>) {
        let now = self.now();
        for left in self.writer.jobs(transitions) {
            self.books.entry(left.queue).or_default().not_noted(&left.job.id, now);
        }
    }
}
