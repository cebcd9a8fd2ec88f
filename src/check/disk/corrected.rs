//! The volumes that a launch template should ask for.

use super::volumes::{Start, Volume};
use super::{Environment, Place, UserData, View};
use crate::account::survey::BlockDeviceMapping;

/// Mappings of a launch template as they should be for what some types of an environment start with.
pub(in crate::check) fn corrected(
    view: &View<'_>,
    environment: &Environment<'_>,
    start: &Start<'_>,
    mappings: &mut Vec<BlockDeviceMapping>,
) {
    let place = Place {
        view,
        environment,
        start,
    };
    let user_data = start.user_data();
    let arranged = user_data.as_ref().is_some_and(UserData::arranges_disks);
    let volumes = start.volumes();
    if start.generation.shares_root() && !arranged {
        // The root volume, as large as the largest that somebody wanted elsewhere.
        let root = start.root();
        let added: Vec<&Volume> = volumes.iter().filter(|volume| !volume.of_image).collect();
        let there = volumes
            .iter()
            .find(|volume| volume.device == root)
            .and_then(|volume| volume.size);
        let size = added
            .iter()
            .filter_map(|volume| volume.size)
            .chain(there)
            .chain(place.wanted())
            .max();
        mappings.retain(|mapping| {
            mapping.ebs.is_none() || !added.iter().any(|volume| volume.device == mapping.device_name)
        });
        let small = there.is_none_or(|there| size > Some(there));
        let gp2 = volumes
            .iter()
            .any(|volume| volume.device == root && volume.kind == "gp2");
        if small || gp2 || !added.is_empty() {
            let at = mappings.iter().position(|mapping| mapping.device_name == root);
            let at = at.unwrap_or_else(|| {
                mappings.push(BlockDeviceMapping {
                    device_name: root.to_owned(),
                    ..BlockDeviceMapping::default()
                });
                mappings.len() - 1
            });
            if let Some(mapping) = mappings.get_mut(at) {
                let ebs = mapping.ebs.get_or_insert_default();
                ebs.volume_size = size.max(ebs.volume_size);
                if ebs.volume_type.as_deref().is_none_or(|kind| kind == "gp2") {
                    ebs.volume_type = Some("gp3".to_owned());
                }
                ebs.delete_on_termination = Some(true);
            }
        }
    }
    for mapping in mappings {
        let of_image = volumes
            .iter()
            .find(|volume| volume.device == mapping.device_name)
            .and_then(|volume| volume.snapshot_size);
        if let Some(ebs) = &mut mapping.ebs {
            ebs.volume_size = ebs.volume_size.max(of_image.filter(|_| ebs.volume_size.is_some()));
            if ebs.delete_on_termination == Some(false) {
                ebs.delete_on_termination = Some(true);
            }
        }
    }
}
