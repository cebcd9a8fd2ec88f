//! Versions of launch templates: each template has one.

use serde_json::Value;

use super::{PAGE, invalid, listed};
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::sandbox::wire::Reply;
use crate::sandbox::wire::xml::numbered;

pub(super) fn versions(state: &State, input: Input<'_>) -> Taken<Reply> {
    let (id, name) = (input.text("LaunchTemplateId")?, input.text("LaunchTemplateName")?);
    let wanted = numbered(input, "LaunchTemplateVersion")?;
    let mut all = state.template_versions();
    let missing = match (id, name) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "You must specify either launch template ID or launch template name, not both.",
            ));
        }
        (Some(id), None) => {
            all.retain(|one| one["launchTemplateId"] == id);
            let text = format!("The specified launch template, with template ID {id}, does not exist.");
            Refused::new(400, "InvalidLaunchTemplateId.NotFound", text)
        }
        (None, Some(name)) => {
            all.retain(|one| one["launchTemplateName"] == name);
            let text = format!("The specified launch template, with template name {name}, does not exist.");
            Refused::new(400, "InvalidLaunchTemplateName.NotFoundException", text)
        }
        // Without a name, `$Latest` or `$Default` of all templates.
        (None, None) if wanted.iter().any(|version| version.starts_with('$')) => invalid(""),
        (None, None) => {
            let text = "The request must contain the parameter LaunchTemplateId or LaunchTemplateName";
            return Err(Refused::new(400, "MissingParameter", text));
        }
    };
    if all.is_empty() && (id.is_some() || name.is_some()) {
        return Err(missing);
    }
    let is_there = |version: &&str| ["$Latest", "$Default", "1"].contains(version);
    if let Some(version) = wanted.iter().find(|version| !is_there(version)) {
        let told = |one: &Value| one["launchTemplateId"].as_str().unwrap_or_default().to_owned();
        let id = all.first().map(told).unwrap_or_default();
        let text = format!("Could not find the specified version {version} for the launch template with ID {id}.");
        return Err(Refused::new(400, "InvalidLaunchTemplateId.VersionNotFound", text));
    }
    listed(
        state,
        "DescribeLaunchTemplateVersions",
        "launchTemplateVersionSet",
        all,
        input,
        PAGE,
    )
}
