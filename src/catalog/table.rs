//! The table itself: read once, looked up by name and by family.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{Architecture, InstanceType, Resources};
use crate::units::{Mebibytes, MicroUsd, Vcpus};

const BUNDLED: &str = include_str!("instance-types.csv");
/// The day of the list prices; the header of the table says where they come from.
pub const PRICES_OF: &str = "2026-11-21";

/// Instance types by name and by family. The order is always the same: by family, vCPUs, memory, name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Sorted by [`order`].
    types: Vec<InstanceType>,
    /// Position in `types`.
    by_name: BTreeMap<String, usize>,
}

/// Why a table of instance types cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A line is not what the header says.
    #[error("read the table of instance types")]
    Line(#[from] csv::Error),
    /// A number in a line is outside what an instance type can have.
    #[error("accept {name}: {what} is out of range")]
    OutOfRange {
        /// The instance type.
        name: String,
        /// The column.
        what: &'static str,
    },
    /// The same type is there twice, so that one of its lines would be ignored.
    #[error("accept {name}: it is listed twice")]
    Twice {
        /// The instance type.
        name: String,
    },
}

/// A line of `instance-types.csv`; the header of that file says what each column means and where it comes from.
#[derive(Deserialize)]
struct Row {
    name: String,
    vcpus: u32,
    memory_mib: u32,
    gpus: u32,
    architecture: Architecture,
    usd_per_hour: f64,
    spot_saving_percent: Option<u8>,
    interruption_band: Option<u8>,
}

impl Catalog {
    /// The table that is part of this program.
    #[expect(
        clippy::expect_used,
        reason = "the table is compiled in and a test reads it; an empty catalogue would hide the bug"
    )]
    pub fn bundled() -> &'static Self {
        static CATALOG: LazyLock<Catalog> =
            LazyLock::new(|| Catalog::read(BUNDLED).expect("the bundled table of instance types is well-formed"));
        &CATALOG
    }

    /// Reads a table in the format of `instance-types.csv`. Fails at the first line that is malformed, out of range or
    /// listed twice.
    pub fn read(text: &str) -> Result<Self, TableError> {
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        let mut types = Vec::new();
        for row in reader.deserialize() {
            types.push(instance_type(row?)?);
        }
        types.sort_by(|a, b| order(a).cmp(&order(b)));
        let mut by_name = BTreeMap::new();
        for (position, instance_type) in types.iter().enumerate() {
            let name = instance_type.name.clone();
            if by_name.insert(name.clone(), position).is_some() {
                return Err(TableError::Twice { name });
            }
        }
        Ok(Self { types, by_name })
    }

    /// The type of that exact name.
    pub fn get(&self, name: &str) -> Option<&InstanceType> {
        self.by_name.get(name).and_then(|&position| self.types.get(position))
    }

    /// All types of a family, smallest first, without `.metal`: AWS Batch leaves bare metal out of families (AWS Batch API
    /// reference, ComputeResource, `instanceTypes`). Nothing if there is no such family.
    pub fn family<'a>(&'a self, family: &str) -> impl Iterator<Item = &'a InstanceType> {
        let start = self.types.partition_point(|t| t.family() < family);
        let end = self.types.partition_point(|t| t.family() <= family);
        self.types
            .get(start..end)
            .unwrap_or(&[])
            .iter()
            .filter(|t| !t.is_bare_metal())
    }

    /// All types in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &InstanceType> {
        self.types.iter()
    }
}

impl InstanceType {
    /// Whether it is a whole machine without a hypervisor: `.metal`, `.metal-24xl` and the like.
    pub fn is_bare_metal(&self) -> bool {
        self.name
            .split('.')
            .nth(1)
            .is_some_and(|size| size.starts_with("metal"))
    }
}

/// What the table is sorted by.
fn order(t: &InstanceType) -> (&str, Vcpus, Mebibytes, &str) {
    (t.family(), t.nominal.vcpus, t.nominal.memory, &t.name)
}

fn instance_type(row: Row) -> Result<InstanceType, TableError> {
    let Some(on_demand_per_hour) = MicroUsd::from_usd(row.usd_per_hour).filter(|price| *price > MicroUsd::ZERO) else {
        return Err(out_of_range(row.name, "usd_per_hour"));
    };
    if row.vcpus == 0 || row.memory_mib == 0 {
        return Err(out_of_range(row.name, "vcpus or memory_mib"));
    }
    if row.spot_saving_percent.is_some_and(|percent| percent >= 100) {
        return Err(out_of_range(row.name, "spot_saving_percent"));
    }
    if row.interruption_band.is_some_and(|band| band > 4) {
        return Err(out_of_range(row.name, "interruption_band"));
    }
    Ok(InstanceType {
        name: row.name,
        nominal: Resources {
            vcpus: Vcpus::new(i64::from(row.vcpus)),
            memory: Mebibytes::new(i64::from(row.memory_mib)),
            gpus: row.gpus,
        },
        architecture: row.architecture,
        on_demand_per_hour,
        spot_per_hour: row
            .spot_saving_percent
            .map(|percent| on_demand_per_hour.scaled_up(100 - i64::from(percent), 100)),
        interruption_band: row.interruption_band,
    })
}

fn out_of_range(name: String, what: &'static str) -> TableError {
    TableError::OutOfRange { name, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Purchase;

    #[test]
    fn the_bundled_table_is_whole() {
        let catalog = Catalog::read(BUNDLED).unwrap();
        let lines = BUNDLED.lines().filter(|line| !line.starts_with('#')).count() - 1;
        assert_eq!(catalog.iter().count(), lines);
        assert!(lines > 1_000, "{lines} types");
        assert!(BUNDLED.lines().next().unwrap().ends_with(&format!("made {PRICES_OF}.")));
        let priced_on_spot = catalog.iter().filter(|t| t.spot_per_hour.is_some()).count();
        assert!(priced_on_spot > 800, "{priced_on_spot} types with a Spot price");
        for t in catalog.iter() {
            assert!(
                t.price_per_hour(Purchase::Spot) <= t.price_per_hour(Purchase::OnDemand),
                "{}",
                t.name
            );
            assert_eq!(t.spot_per_hour.is_some(), t.interruption_band.is_some(), "{}", t.name);
        }
    }

    /// Prices and sizes that are published on the pages of EC2, and the type of the calculation this project began with.
    #[test]
    fn known_types_have_their_published_size_and_price() {
        let cases = [
            ("c4.4xlarge", 16, 30_720, 0, 796_000, Architecture::Amd64),
            ("m4.large", 2, 8_192, 0, 100_000, Architecture::Amd64),
            ("m6i.4xlarge", 16, 65_536, 0, 768_000, Architecture::Amd64),
            ("c7g.large", 2, 4_096, 0, 72_500, Architecture::Arm64),
            ("g4dn.12xlarge", 48, 196_608, 4, 3_912_000, Architecture::Amd64),
        ];
        for (name, vcpus, memory, gpus, price, architecture) in cases {
            let t = Catalog::bundled().get(name).unwrap();
            let size = (t.nominal.vcpus.get(), t.nominal.memory.get(), t.nominal.gpus);
            assert_eq!(size, (vcpus, memory, gpus), "{name}");
            assert_eq!(
                (t.on_demand_per_hour.get(), t.architecture),
                (price, architecture),
                "{name}"
            );
        }
    }

    #[test]
    fn the_spot_price_is_the_list_price_less_the_saving() {
        let catalog = Catalog::read(
            "name,vcpus,memory_mib,gpus,architecture,usd_per_hour,spot_saving_percent,interruption_band\n\
             x9.large,2,8192,0,amd64,0.100000,56,2\nx9.xlarge,4,16384,0,amd64,0.2,,\n",
        )
        .unwrap();
        let large = catalog.get("x9.large").unwrap();
        assert_eq!(large.price_per_hour(Purchase::Spot).get(), 44_000);
        assert_eq!(large.interruption_band, Some(2));
        let xlarge = catalog.get("x9.xlarge").unwrap();
        assert_eq!(
            (xlarge.spot_per_hour, xlarge.price_per_hour(Purchase::Spot).get()),
            (None, 200_000)
        );
    }

    #[test]
    fn families_are_smallest_first_and_without_bare_metal() {
        let sizes: Vec<_> = Catalog::bundled().family("m6i").map(|t| t.name.as_str()).collect();
        assert_eq!(sizes.first(), Some(&"m6i.large"));
        assert_eq!(sizes.last(), Some(&"m6i.32xlarge"));
        assert!(Catalog::bundled().get("m6i.metal").is_some());
        assert!(!sizes.contains(&"m6i.metal"));
        assert_eq!(Catalog::bundled().family("m6").count(), 0);
        // A family is not a prefix: m6i has nothing of m6id, c7i nothing of c7i-flex.
        assert!(Catalog::bundled().family("c7i").all(|t| t.name.starts_with("c7i.")));
    }

    #[test]
    fn a_bad_table_is_refused_with_the_reason() {
        let head = "name,vcpus,memory_mib,gpus,architecture,usd_per_hour,spot_saving_percent,interruption_band\n";
        let cases = [
            ("x9.large,0,8192,0,amd64,0.1,50,1", "vcpus"),
            ("x9.large,2,8192,0,amd64,NaN,50,1", "usd_per_hour"),
            ("x9.large,2,8192,0,amd64,-1,50,1", "usd_per_hour"),
            ("x9.large,2,8192,0,amd64,0.1,100,1", "spot_saving_percent"),
            ("x9.large,2,8192,0,amd64,0.1,50,5", "interruption_band"),
            (
                "x9.large,2,8192,0,amd64,0.1,50,1\nx9.large,2,8192,0,amd64,0.1,50,1",
                "twice",
            ),
            ("x9.large,2,8192,0,mips,0.1,50,1", "read the table"),
            ("x9.large,2", "read the table"),
        ];
        for (line, reason) in cases {
            let error = Catalog::read(&format!("{head}{line}\n")).unwrap_err().to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
