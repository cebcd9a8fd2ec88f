//! What people order through tags: read with environments and queues, told to the controller when it changes.

use std::collections::BTreeMap;

use super::cloud::Cloud;
use super::driver::Driver;
use crate::control::Input;
use crate::overrides::{Ordered, Override, TAG};
use crate::planner::plan;

/// The orders that were last told.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// By name; `None` inside: there is no order, and the controller knows.
    told: BTreeMap<Subject, Option<Ordered>>,
}

/// What carries the tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Environment(String),
    Queue(String),
}

impl Orders {
    /// Takes the tags of a subject as they were read. `Some`: tell the controller that this holds from now on.
    #[expect(clippy::option_option, reason = "nothing to tell is not the same as no order")]
    pub(super) fn read(&mut self, subject: Subject, tags: &BTreeMap<String, String>) -> Option<Option<Override>> {
        let value = tags.get(TAG);
        let ordered = value.and_then(|value| Ordered::parse(value));
        if self.told.get(&subject) == Some(&ordered) {
            return None;
        }
        let (Subject::Environment(name) | Subject::Queue(name)) = &subject;
        let name = crate::explain::printable(name);
        match (&ordered, value) {
            (Some(ordered), _) => tracing::info!(subject = %name, order = %ordered.format(), "An order holds"),
            (None, Some(_)) => tracing::warn!(subject = %name, "The tag {TAG} is no order and is ignored"),
            (None, None) if self.told.contains_key(&subject) => {
                tracing::info!(subject = %name, "The order is taken back");
            }
            (None, None) => {}
        }
        let order = ordered.as_ref().map(|ordered| ordered.order);
        self.told.insert(subject, ordered);
        Some(order)
    }
}

impl<C: Cloud> Driver<C> {
    /// Orders in the tags of environments.
    pub(super) fn take_orders(&mut self) {
        let mut told = Vec::new();
        for (name, read) in &self.sight.read {
            let order = self.orders.read(Subject::Environment(name.clone()), &read.tags);
            if let (Some(order), Some(index)) = (order, self.sight.environment(name)) {
                told.push((plan::Subject::Environment(index), order));
            }
        }
        for (subject, order) in told {
            self.order(subject, order);
        }
    }

    /// A tag is the whole truth: what it no longer says no longer holds, also where something older is put in its place.
    pub(super) fn order(&mut self, subject: plan::Subject, order: Option<crate::overrides::Override>) {
        self.step(Input::Overridden(subject, None));
        if order.is_some() {
            self.step(Input::Overridden(subject, order));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(TAG.to_owned(), value.to_owned())])
    }

    #[test]
    fn an_order_is_told_once_and_taken_back_when_its_tag_goes() {
        let mut orders = Orders::default();
        let spot = || Subject::Environment("spot".to_owned());
        let pause = tags("pause until=2026-01-01T02:00:00Z since=2026-01-01T00:00:00Z");
        assert!(matches!(orders.read(spot(), &pause), Some(Some(_))));
        assert_eq!(orders.read(spot(), &pause), None);
        assert_eq!(orders.read(spot(), &BTreeMap::new()), Some(None));
        assert_eq!(orders.read(spot(), &BTreeMap::new()), None);
    }

    /// What an earlier process remembered may have been taken back since.
    #[test]
    fn that_there_is_no_order_is_told_at_the_start() {
        let queue = Subject::Queue("q".to_owned());
        assert_eq!(Orders::default().read(queue, &BTreeMap::new()), Some(None));
    }

    #[test]
    fn a_tag_that_is_no_order_is_ignored_and_told_once() {
        let mut orders = Orders::default();
        let spot = || Subject::Environment("spot".to_owned());
        assert_eq!(orders.read(spot(), &tags("boost:all your=base")), Some(None));
        assert_eq!(orders.read(spot(), &tags("boost:all your=base")), None);
    }
}
