//! What the loop tells Prometheus beside its plans: requests to AWS, and what a snapshot says.

use super::bill::Bill;
use super::cloud::Cloud;
use super::driver::Driver;
use super::snapshot::Snapshot;
use super::twin::Saved;
use crate::units::Span;

impl<C: Cloud> Driver<C> {
    /// Adds what was asked of AWS since the last count.
    pub(super) fn count_requests(&mut self) {
        let mut requests = 0;
        for (service, operation, code, total) in self.cloud.calls() {
            requests += total;
            let key = (service, operation, code);
            let more = total - self.counted.get(&key).unwrap_or(&0);
            if more > 0 {
                let request = (key.0.as_str(), key.1.as_str(), key.2.as_str(), more);
                self.options.metrics.requests(&[request]);
                self.counted.insert(key, total);
            }
        }
        if requests > 0 {
            self.meter.reached(self.now(), requests);
        }
    }

    pub(super) fn count(&self, snapshot: &Snapshot) {
        let metrics = &self.options.metrics;
        for environment in &snapshot.environments {
            metrics.lease(&environment.name, environment.lease_expires);
            metrics.guarded(&environment.name, environment.guarded);
        }
        for queue in &snapshot.queues {
            let blocked = queue.blocked.as_ref().map(|(_, since)| *since);
            metrics.queue(&queue.name, queue.oldest, blocked);
        }
        for source in &snapshot.sqs {
            metrics.oldest_message(&source.name, source.oldest);
        }
        Bill::of(snapshot, Span::ZERO).count(metrics);
        Saved::count(snapshot.saved.as_ref(), metrics);
    }
}
