//! What a job asks for, from the strings that AWS Batch and its events use.

use crate::catalog::Resources;
use crate::units::{Mebibytes, Vcpus, f64_to_i64, to_u32};

/// Sums what containers of a job ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    resources: Resources,
}

impl Size {
    /// One container: its resource requirements, and the fields of old that they replace where both are there.
    pub(super) fn container<'a>(
        &mut self,
        vcpus: Option<i32>,
        memory: Option<i32>,
        requirements: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let mut own = Resources {
            vcpus: Vcpus::new(i64::from(vcpus.unwrap_or_default())),
            memory: Mebibytes::new(i64::from(memory.unwrap_or_default())),
            gpus: 0,
        };
        for (kind, value) in requirements {
            let Some(count) = whole(value) else { continue };
            match kind {
                "VCPU" => own.vcpus = Vcpus::new(count),
                "MEMORY" => own.memory = Mebibytes::new(count),
                "GPU" => own.gpus = to_u32(count.max(0)),
                _ => {}
            }
        }
        self.resources = self.resources.plus(&own);
    }

    /// One container of a pod: limits go before requests, as Kubernetes schedules by what is there.
    pub(super) fn pod_container<'a>(&mut self, wants: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut own = Resources::default();
        for (kind, value) in wants {
            match kind {
                "cpu" => own.vcpus = Vcpus::new(cpus(value).unwrap_or_default()),
                "memory" => own.memory = Mebibytes::new(mebibytes(value).unwrap_or_default()),
                "nvidia.com/gpu" => own.gpus = to_u32(whole(value).unwrap_or_default().max(0)),
                _ => {}
            }
        }
        self.resources = self.resources.plus(&own);
    }

    /// What one instance must have; `None` if nothing was said.
    pub(super) fn get(self) -> Option<Resources> {
        (self.resources != Resources::default()).then_some(self.resources)
    }

    /// The larger in each respect: nodes of a multi-node job may differ, its instances do not.
    pub(super) fn larger(self, other: Self) -> Self {
        Self {
            resources: Resources {
                vcpus: self.resources.vcpus.max(other.resources.vcpus),
                memory: self.resources.memory.max(other.resources.memory),
                gpus: self.resources.gpus.max(other.resources.gpus),
            },
        }
    }
}

/// A count, rounded up: Fargate knows quarters of a vCPU.
fn whole(text: &str) -> Option<i64> {
    let number: f64 = text.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then(|| f64_to_i64(number.ceil()))
}

/// `2`, `0.5` or `500m`, in whole vCPUs.
fn cpus(text: &str) -> Option<i64> {
    match text.strip_suffix('m') {
        Some(thousandths) => Some(whole(thousandths)?.saturating_add(999) / 1000),
        None => whole(text),
    }
}

/// A quantity of Kubernetes in whole MiB, rounded up. AWS Batch itself accepts only `Mi`.
fn mebibytes(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 7] = [
        ("Ki", 1_024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
    ];
    let unit = UNITS
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, bytes) = unit.unwrap_or((text, &1.0));
    let number: f64 = number.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then(|| f64_to_i64((number * bytes / 1_048_576.0).ceil()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_round_up_and_nonsense_is_nothing() {
        let memory = [
            ("2048Mi", Some(2048)),
            ("2Gi", Some(2048)),
            ("1.5Gi", Some(1536)),
            ("1", Some(1)),
            ("1M", Some(1)),
            ("x", None),
            ("-1Mi", None),
            ("NaNMi", None),
        ];
        for (text, expected) in memory {
            assert_eq!(mebibytes(text), expected, "{text}");
        }
        for (text, expected) in [
            ("2", Some(2)),
            ("0.25", Some(1)),
            ("1500m", Some(2)),
            ("", None),
            ("inf", None),
        ] {
            assert_eq!(cpus(text), expected, "{text}");
        }
    }

    #[test]
    fn requirements_replace_the_fields_of_old_and_containers_add_up() {
        let mut size = Size::default();
        size.container(Some(1), Some(512), [("VCPU", "4"), ("GPU", "1")].into_iter());
        size.container(
            None,
            None,
            [("VCPU", "0.5"), ("MEMORY", "1000"), ("TPU", "8")].into_iter(),
        );
        let resources = size.get().unwrap();
        assert_eq!(
            (resources.vcpus.get(), resources.memory.get(), resources.gpus),
            (5, 1512, 1)
        );
        assert_eq!(Size::default().get(), None);
    }
}
