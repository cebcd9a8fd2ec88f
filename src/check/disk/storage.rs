//! AT112: all volumes together against the service quota for storage.

use std::collections::BTreeMap;

use super::{Finding, Place, Report, STORAGE_QUOTA, View};
use crate::account::survey::told;

/// AT112. Codes of the service `ebs`, in TiB.
pub(super) fn check(view: &View<'_>, planned: &[(String, i64)], counted: bool, report: &mut Report) {
    for (kind, code) in [("gp3", "L-7A658B76"), ("gp2", "L-D18FCD1D")] {
        let gib = planned
            .iter()
            .filter(|(of, _)| of == kind)
            .map(|(_, gib)| *gib)
            .fold(0, i64::saturating_add);
        if gib == 0 && counted {
            continue;
        }
        match told(&view.survey.quotas, code) {
            Ok(Some(quota)) if gib > quota.value.saturating_mul(1024) => {
                let message = format!(
                    "at maxvCpus of all environments, {gib} GiB of {kind} volumes; the quota is {} TiB",
                    quota.value
                );
                let finding = Finding::of(&STORAGE_QUOTA, code, message).with("planned", format!("{gib} GiB"));
                report.add(
                    finding
                        .with("limit", format!("{} TiB", quota.value))
                        .with("applied", quota.applied),
                );
            }
            Ok(Some(_)) if counted => {}
            Ok(Some(_)) => report.unread(&[&STORAGE_QUOTA], code, "not all volumes are known"),
            Ok(None) => report.unread(&[&STORAGE_QUOTA], code, "the account has no such quota"),
            Err(why) => report.unread(&[&STORAGE_QUOTA], code, why),
        }
    }
}

impl Place<'_, '_> {
    /// Kind and GiB of all volumes at maxvCpus on the smallest type: the most that can be asked for.
    pub(super) fn planned_storage(&self) -> BTreeMap<String, i64> {
        let smallest = self
            .start
            .types
            .iter()
            .map(|one| one.nominal.vcpus.get())
            .min()
            .unwrap_or(1)
            .max(1);
        let max = self.environment.max.max(0);
        let instances = max / smallest + i64::from(max % smallest > 0);
        let mut planned: BTreeMap<String, i64> = BTreeMap::new();
        for volume in self.start.volumes() {
            let of_kind = planned.entry(volume.kind).or_default();
            *of_kind = of_kind.saturating_add(volume.size.unwrap_or(0).saturating_mul(instances));
        }
        planned
    }
}
