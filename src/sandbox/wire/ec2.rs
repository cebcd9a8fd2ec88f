//! EC2: DescribeInstanceTypes, from the catalogue.

use std::fmt::Write as _;

use super::Reply;
use super::calls::Call;
use super::encode::escaped;
use crate::catalog::{Architecture, Catalog, InstanceType};
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::units::to_usize;

/// Most types of a page, and of one request by name.
const PAGE: usize = 100;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let named = numbered(input, "InstanceType")?;
    let patterns = match input.text("Filter.1.Name")? {
        None => Vec::new(),
        Some("instance-type") => numbered(input, "Filter.1.Value")?,
        Some(other) => {
            let text = format!("The filter '{other}' is invalid");
            return Err(Refused::new(400, "InvalidParameterValue", text));
        }
    };
    if named.len() > PAGE {
        return Err(Refused::new(
            400,
            "InvalidParameterValue",
            "At most 100 instance types can be asked for by name",
        ));
    }
    let catalog = Catalog::bundled();
    if let Some(unknown) = named.iter().find(|name| catalog.get(name).is_none()) {
        let text = format!("The following supplied instance types do not exist: [{unknown}]");
        return Err(Refused::new(400, "InvalidInstanceType", text));
    }
    let chosen = catalog.iter().filter(|one| {
        (named.is_empty() || named.iter().any(|name| *name == one.name))
            && (patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, &one.name)))
    });
    let chosen: Vec<&InstanceType> = chosen.collect();
    let invalid = || Refused::new(400, "InvalidNextToken", "The token is not valid");
    let start = match input.text("NextToken")? {
        None => 0,
        Some(token) => state.names.position("types", token).ok_or_else(invalid)?,
    };
    let most = input.text("MaxResults")?.and_then(|most| most.parse::<i64>().ok());
    let most = most.map_or(PAGE, |most| to_usize(most.clamp(5, 100)));
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeInstanceTypesResponse \
         xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>simulated</requestId><instanceTypeSet>",
    );
    for one in chosen.iter().skip(start).take(most) {
        write_type(&mut text, one);
    }
    text.push_str("</instanceTypeSet>");
    if start.saturating_add(most) < chosen.len() {
        let _ = write!(
            text,
            "<nextToken>{}</nextToken>",
            state.names.token("types", start + most)
        );
    }
    text.push_str("</DescribeInstanceTypesResponse>");
    Ok(Reply::Xml(text))
}

/// `InstanceType.1`, `InstanceType.2` and so on.
fn numbered<'a>(input: Input<'a>, name: &str) -> Taken<Vec<&'a str>> {
    let mut values = Vec::new();
    while let Some(value) = input.text(&format!("{name}.{}", values.len() + 1))? {
        values.push(value);
    }
    Ok(values)
}

/// `m6i.*` and the like: a star stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => {
            let Some(left) = name.strip_prefix(start) else {
                return false;
            };
            (0..=left.len()).any(|at| left.get(at..).is_some_and(|left| matches(rest, left)))
        }
    }
}

fn write_type(text: &mut String, one: &InstanceType) {
    let architecture = match one.architecture {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "arm64",
    };
    let _ = write!(
        text,
        "<item><instanceType>{}</instanceType><currentGeneration>true</currentGeneration><bareMetal>{}</bareMetal>\
         <processorInfo><supportedArchitectures><item>{architecture}</item></supportedArchitectures></processorInfo>\
         <vCpuInfo><defaultVCpus>{}</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>{}</sizeInMiB></memoryInfo>",
        escaped(&one.name),
        one.name.contains(".metal"),
        one.nominal.vcpus.get(),
        one.nominal.memory.get(),
    );
    if one.nominal.gpus > 0 {
        let _ = write!(
            text,
            "<gpuInfo><gpus><item><count>{}</count></item></gpus></gpuInfo>",
            one.nominal.gpus
        );
    }
    text.push_str("</item>");
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("m6i.*", "m6i.large", true),
            ("m6i.*", "m6id.large", false),
            ("*.large", "m6i.large", true),
            ("m*.*arge", "m6i.xlarge", true),
            ("m6i.large", "m6i.large", true),
            ("", "m6i.large", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
