//! Entries of policy files, and what they choose.

use std::collections::BTreeMap;

use crate::input::values::{Readable, Scalar, Selector};
use crate::input::{Document, Problem, key_path};
use crate::policy::Policy;
use crate::policy::file::{EnvironmentPolicy, PolicyFile, QueuePolicy};

/// An entry of a policy file: the selector that is its name, and what it says.
pub(super) struct Entry<'p, T> {
    pub(super) document: &'p Document<PolicyFile>,
    pub(super) path: String,
    pub(super) selector: Selector,
    except: Vec<&'p Selector>,
    pub(super) value: &'p T,
}

impl<T> Entry<'_, T> {
    pub(super) fn chooses(&self, name: &str, tags: &BTreeMap<String, String>) -> bool {
        self.selector.chooses(name, tags) && !self.except.iter().any(|except| except.chooses(name, tags))
    }

    pub(super) fn location(&self) -> String {
        let line = self.document.place(&self.path).map_or(0, |place| place.line);
        format!("{}:{line}", self.document.name)
    }
}

pub(super) struct Entries<'p> {
    pub(super) queues: Vec<Entry<'p, QueuePolicy>>,
    pub(super) environments: Vec<Entry<'p, EnvironmentPolicy>>,
}

impl<'p> Entries<'p> {
    pub(super) fn of(policy: &'p Policy) -> Self {
        let mut entries = Self {
            queues: Vec::new(),
            environments: Vec::new(),
        };
        for document in &policy.files {
            for (name, value) in &document.value.queues {
                entries.queues.extend(entry(
                    document,
                    "queues",
                    name,
                    value,
                    value.except.iter().map(|e| &e.0).collect(),
                ));
            }
            for (name, value) in &document.value.environments {
                entries.environments.extend(entry(
                    document,
                    "environments",
                    name,
                    value,
                    value.except.iter().collect(),
                ));
            }
        }
        entries
    }
}

/// `None` for a name that is no selector, which the reader of policy files has refused.
fn entry<'p, T>(
    document: &'p Document<PolicyFile>,
    section: &str,
    name: &str,
    value: &'p T,
    except: Vec<&'p Selector>,
) -> Option<Entry<'p, T>> {
    let selector = Selector::read(Scalar::Text(name)).ok()?;
    Some(Entry {
        document,
        path: key_path(section, name),
        selector,
        except,
        value,
    })
}

/// The position of the one entry that chooses a name, and the problem if several do. Marks every entry that chooses it.
pub(super) fn choose<T>(
    entries: &[Entry<'_, T>],
    name: &str,
    tags: &BTreeMap<String, String>,
    what: &str,
    used: &mut [bool],
) -> (Option<usize>, Option<Problem>) {
    let mut first: Option<usize> = None;
    let mut problem = None;
    for (position, entry) in entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.chooses(name, tags))
    {
        if let Some(used) = used.get_mut(position) {
            *used = true;
        }
        let Some(other) = first.and_then(|first| entries.get(first)) else {
            first = Some(position);
            continue;
        };
        let (here, there) = (entry.selector.as_str(), other.selector.as_str());
        let found = format!("a second entry for the {what} {name}");
        let expected = format!("one; {there:?} in {} chooses it too", other.location());
        let hint = if here == there {
            "keep one of the two".to_owned()
        } else {
            format!("add `except = [{here:?}]` there or `except = [{there:?}]` here, whichever is the wider")
        };
        problem.get_or_insert(entry.document.problem(&entry.path, found, expected).with_hint(hint));
    }
    (first, problem)
}

pub(super) fn idle_entries<T>(entries: &[Entry<'_, T>], used: &[bool], what: &str) -> Vec<String> {
    let idle = entries.iter().zip(used).filter(|(_, used)| !**used);
    idle.map(|(entry, _)| format!("{}: {:?} chooses no {what}", entry.location(), entry.selector.as_str()))
        .collect()
}
