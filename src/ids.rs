//! Dense indices. Names become indices once, in `setup::compile`; everything after that counts. And a number for a name, where one is
//! needed that outlives a process.

use serde::{Deserialize, Serialize};

macro_rules! index {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// From a position in its table. Positions beyond the index type saturate; tables are bounded below that.
            pub fn at(position: usize) -> Self {
                Self(<$inner>::try_from(position).unwrap_or(<$inner>::MAX))
            }

            /// The position in its table.
            pub fn position(self) -> usize {
                usize::try_from(self.0).unwrap_or(usize::MAX)
            }
        }
    };
}

index!(
    /// A compute environment, by its position in `Setup::environments`.
    EnvironmentIndex(u16)
);
index!(
    /// A job queue, by its position in `Setup::queues`.
    QueueIndex(u16)
);
index!(
    /// A service quota, by its position in `Setup::quotas`.
    QuotaIndex(u16)
);
index!(
    /// An SQS source, by its position in `Setup::sqs_sources`.
    SqsIndex(u16)
);
index!(
    /// A job, by its position in `Trace::jobs`.
    JobIndex(u32)
);
index!(
    /// An array job, by its position in `Trace::arrays`.
    ArrayIndex(u32)
);
index!(
    /// A job's size, by its position in a table of shapes.
    ShapeIndex(u32)
);

/// The hash of Fowler, Noll and Vo: the same for a name in every version of this program.
pub(crate) fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_name_never_changes() {
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }
}
