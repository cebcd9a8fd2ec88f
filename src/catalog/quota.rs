//! Which EC2 service quota counts the vCPUs of an instance type.

use super::Purchase;

/// A class of instance families that share a vCPU quota, with the codes of that quota.
struct Class {
    /// The letters that the families of the class begin with, up to the first digit or dash: `c` of `c6gd`, `hpc` of `hpc7g`.
    letters: &'static [&'static str],
    on_demand: &'static str,
    /// `None`: not sold as Spot.
    spot: Option<&'static str>,
}

/// Codes as of 2026 (Amazon EC2 user guide, "On-Demand Instance quotas" and "Spot Instance quotas"; service code `ec2`). An
/// account's own list of service quotas goes before this table.
const CLASSES: [Class; 10] = [
    Class {
        letters: &["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"],
        on_demand: "L-1216C47A",
        spot: Some("L-34B43A08"),
    },
    Class {
        letters: &["g", "gr", "vt"],
        on_demand: "L-DB2E81BA",
        spot: Some("L-3819A6DF"),
    },
    Class {
        letters: &["p"],
        on_demand: "L-417A185B",
        spot: Some("L-7212CCBC"),
    },
    Class {
        letters: &["f"],
        on_demand: "L-74FC7D96",
        spot: Some("L-88CF9481"),
    },
    Class {
        letters: &["inf"],
        on_demand: "L-1945791B",
        spot: Some("L-B5D1601B"),
    },
    Class {
        letters: &["trn"],
        on_demand: "L-2C3B7624",
        spot: Some("L-6B0D517C"),
    },
    Class {
        letters: &["x"],
        on_demand: "L-7295265B",
        spot: Some("L-E3A00192"),
    },
    Class {
        letters: &["dl"],
        on_demand: "L-6E869C2A",
        spot: Some("L-85EED4F7"),
    },
    Class {
        letters: &["u"],
        on_demand: "L-43DA4232",
        spot: None,
    },
    Class {
        letters: &["hpc"],
        on_demand: "L-F7808C92",
        spot: None,
    },
];

/// The code of the service quota that counts the vCPUs of an instance type or family, for a way of buying.
///
/// `None` for what is not sold that way, for names whose class is not known, and for p6 on Spot, where no page names the
/// quota. P5 on Spot has a quota of its own.
pub fn quota_code(name: &str, purchase: Purchase) -> Option<&'static str> {
    let family = name.split('.').next().unwrap_or(name);
    let letters = family.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or(family);
    let class = CLASSES.iter().find(|class| class.letters.contains(&letters))?;
    match purchase {
        Purchase::OnDemand => Some(class.on_demand),
        Purchase::Spot if family.starts_with("p5") => Some("L-C4BD4855"),
        Purchase::Spot if family.starts_with("p6") => None,
        Purchase::Spot => class.spot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn families_belong_to_the_class_that_the_user_guide_names() {
        let cases = [
            ("c4.4xlarge", Some("L-1216C47A"), Some("L-34B43A08")),
            ("im4gn.large", Some("L-1216C47A"), Some("L-34B43A08")),
            ("m7i-flex.large", Some("L-1216C47A"), Some("L-34B43A08")),
            ("g5.xlarge", Some("L-DB2E81BA"), Some("L-3819A6DF")),
            ("vt1", Some("L-DB2E81BA"), Some("L-3819A6DF")),
            ("inf2.xlarge", Some("L-1945791B"), Some("L-B5D1601B")),
            ("x2idn.16xlarge", Some("L-7295265B"), Some("L-E3A00192")),
            ("dl1.24xlarge", Some("L-6E869C2A"), Some("L-85EED4F7")),
            ("d3.xlarge", Some("L-1216C47A"), Some("L-34B43A08")),
            ("p4d.24xlarge", Some("L-417A185B"), Some("L-7212CCBC")),
            ("p5.48xlarge", Some("L-417A185B"), Some("L-C4BD4855")),
            ("p6-b200.48xlarge", Some("L-417A185B"), None),
            ("u-6tb1.112xlarge", Some("L-43DA4232"), None),
            ("hpc7g.16xlarge", Some("L-F7808C92"), None),
            ("h1.2xlarge", Some("L-1216C47A"), Some("L-34B43A08")),
            ("quantum1.large", None, None),
            ("", None, None),
        ];
        for (name, on_demand, spot) in cases {
            assert_eq!(quota_code(name, Purchase::OnDemand), on_demand, "{name}");
            assert_eq!(quota_code(name, Purchase::Spot), spot, "{name}");
        }
    }

    #[test]
    fn every_type_of_the_catalogue_has_an_on_demand_quota() {
        for t in Catalog::bundled().iter() {
            assert!(quota_code(&t.name, Purchase::OnDemand).is_some(), "{}", t.name);
        }
    }
}
