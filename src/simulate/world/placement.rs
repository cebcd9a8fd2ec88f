//! Which instance has room: a tournament tree over the instances of one environment.
//!
//! Each inner node knows the most of each resource that any instance below it has free. First fit (the lowest position with
//! room) takes about the logarithm of the number of instances.

use crate::catalog::Resources;

/// Free room per position, with the largest free amounts of every group of positions above it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomIndex {
    /// A heap-shaped tree: node 1 is the root, the leaves are the last `leaves` nodes.
    nodes: Vec<Resources>,
    leaves: usize,
}

impl RoomIndex {
    /// Sets what is free at a position; nothing is free at positions never set.
    pub(crate) fn set(&mut self, position: usize, free: Resources) {
        if position >= self.leaves {
            self.grow(position + 1);
        }
        let mut node = self.leaves + position;
        self.put(node, free);
        while node > 1 {
            node /= 2;
            let most = self.most_below(node);
            if self.get(node) == most {
                break;
            }
            self.put(node, most);
        }
    }

    /// The lowest position where `ask` fits.
    pub(crate) fn first_fit(&self, ask: &Resources) -> Option<usize> {
        if self.leaves == 0 { None } else { self.search(1, ask) }
    }

    fn search(&self, node: usize, ask: &Resources) -> Option<usize> {
        if !self.get(node).hold(ask) {
            return None;
        }
        if node >= self.leaves {
            return Some(node - self.leaves);
        }
        self.search(2 * node, ask).or_else(|| self.search(2 * node + 1, ask))
    }

    fn grow(&mut self, positions: usize) {
        let leaves = positions.next_power_of_two();
        let mut nodes = vec![Resources::default(); 2 * leaves];
        if let (Some(new), Some(old)) = (
            nodes.get_mut(leaves..leaves + self.leaves),
            self.nodes.get(self.leaves..2 * self.leaves),
        ) {
            new.copy_from_slice(old);
        }
        self.nodes = nodes;
        self.leaves = leaves;
        for node in (1..leaves).rev() {
            let most = self.most_below(node);
            self.put(node, most);
        }
    }

    fn most_below(&self, node: usize) -> Resources {
        let (a, b) = (self.get(2 * node), self.get(2 * node + 1));
        Resources {
            vcpus: a.vcpus.max(b.vcpus),
            memory: a.memory.max(b.memory),
            gpus: a.gpus.max(b.gpus),
        }
    }

    fn get(&self, node: usize) -> Resources {
        self.nodes.get(node).copied().unwrap_or_default()
    }

    fn put(&mut self, node: usize, free: Resources) {
        if let Some(place) = self.nodes.get_mut(node) {
            *place = free;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::{Mebibytes, Vcpus};

    fn resources(vcpus: i64, memory: i64, gpus: u32) -> Resources {
        Resources {
            vcpus: Vcpus::new(vcpus),
            memory: Mebibytes::new(memory),
            gpus,
        }
    }

    proptest! {
        #[test]
        fn first_fit_is_the_first_that_a_plain_search_finds(
            changes in proptest::collection::vec((0_usize..40, 0_i64..5, 0_i64..5, 0_u32..3), 0..120),
            asks in proptest::collection::vec((1_i64..5, 0_i64..5, 0_u32..3), 1..20),
        ) {
            let mut index = RoomIndex::default();
            let mut plain = vec![Resources::default(); 40];
            for (position, vcpus, memory, gpus) in changes {
                index.set(position, resources(vcpus, memory, gpus));
                plain[position] = resources(vcpus, memory, gpus);
            }
            for (vcpus, memory, gpus) in asks {
                let ask = resources(vcpus, memory, gpus);
                prop_assert_eq!(index.first_fit(&ask), plain.iter().position(|free| free.hold(&ask)));
            }
        }
    }
}
