//! From what `instanceTypes` of a compute environment says to instance types.

use std::collections::BTreeSet;
use std::fmt;

use super::{Catalog, InstanceType};

/// Families behind the words that AWS Batch understands. `optimal` has meant the same as `default_x86_64` since 2025-11-01;
/// AWS changes the lists over time (AWS Batch API reference, ComputeResource, `instanceTypes`; as of 2026).
const WORDS: [(&str, &[&str]); 3] = [
    ("optimal", X86_64),
    ("default_x86_64", X86_64),
    ("default_arm64", &["m6g", "c6g", "r6g", "c7g"]),
];
const X86_64: &[&str] = &["m6i", "c6i", "r6i", "c7i"];

/// How alike two names must be (Jaro-Winkler, 0 to 1) before one is offered for the other. Below this the hint misleads more
/// than it helps.
const ALIKE: f64 = 0.85;

/// A name in a specification that is neither a type nor a family nor a word of AWS Batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownType {
    /// Position in the specification, from 0.
    pub position: usize,
    /// What it says.
    pub name: String,
    /// The most similar name there is, if any is similar.
    pub did_you_mean: Option<String>,
}

impl fmt::Display for UnknownType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an instance type, a family or `optimal`", self.name)?;
        match &self.did_you_mean {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

impl Catalog {
    /// The instance types that a specification allows, in its own order (AWS Batch's ordered strategies follow it), each once;
    /// a family is smallest first and leaves bare metal out. Fails with every name that is not known.
    pub fn expand(&self, specification: &[String]) -> Result<Vec<&InstanceType>, Vec<UnknownType>> {
        let mut types = Vec::new();
        let mut unknown = Vec::new();
        let mut taken = BTreeSet::new();
        for (position, name) in specification.iter().enumerate() {
            let found = self.expand_one(name);
            if found.is_empty() {
                let did_you_mean = self.most_alike(name);
                unknown.push(UnknownType {
                    position,
                    name: name.clone(),
                    did_you_mean,
                });
            }
            types.extend(found.into_iter().filter(|t| taken.insert(t.name.as_str())));
        }
        if unknown.is_empty() { Ok(types) } else { Err(unknown) }
    }

    fn expand_one(&self, name: &str) -> Vec<&InstanceType> {
        if let Some((_, families)) = WORDS.iter().find(|(word, _)| *word == name) {
            return families.iter().flat_map(|family| self.family(family)).collect();
        }
        match self.get(name) {
            Some(instance_type) => vec![instance_type],
            None => self.family(name).collect(),
        }
    }

    fn most_alike(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        let words = WORDS.iter().map(|(word, _)| *word);
        let mut known: Vec<&str> = self
            .iter()
            .flat_map(|t| [t.family(), t.name.as_str()])
            .chain(words)
            .collect();
        known.sort_unstable();
        known.dedup();
        known
            .into_iter()
            .map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate))
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)))
            .map(|(_, candidate)| candidate.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Architecture;

    fn expand(names: &[&str]) -> Result<Vec<String>, Vec<UnknownType>> {
        let specification: Vec<String> = names.iter().map(ToString::to_string).collect();
        let types = Catalog::bundled().expand(&specification)?;
        Ok(types.into_iter().map(|t| t.name.clone()).collect())
    }

    #[test]
    fn types_families_and_words_keep_their_order_and_come_once() {
        let types = expand(&["c5.xlarge", "c5", "m6i.metal"]).unwrap();
        assert_eq!(&types[..3], ["c5.xlarge", "c5.large", "c5.2xlarge"]);
        assert_eq!(types.last().map(String::as_str), Some("m6i.metal"));
        assert_eq!(types.iter().filter(|name| *name == "c5.xlarge").count(), 1);
        assert_eq!(expand(&[]), Ok(Vec::new()));
    }

    #[test]
    fn words_of_batch_stand_for_families_of_one_architecture() {
        assert_eq!(expand(&["optimal"]), expand(&["default_x86_64"]));
        assert_eq!(expand(&["optimal"]), expand(&["m6i", "c6i", "r6i", "c7i"]));
        assert_eq!(expand(&["default_arm64"]), expand(&["m6g", "c6g", "r6g", "c7g"]));
        for (word, architecture) in [("optimal", Architecture::Amd64), ("default_arm64", Architecture::Arm64)] {
            let types = Catalog::bundled().expand(&[word.to_owned()]).unwrap();
            assert!(
                types.len() > 20 && types.iter().all(|t| t.architecture == architecture),
                "{word}"
            );
        }
    }

    #[test]
    fn every_unknown_name_is_reported_with_its_place_and_a_suggestion() {
        let unknown = expand(&["m6i.4xlrage", "c5", "optimale", "M6I", "€"]).unwrap_err();
        let reported: Vec<_> = unknown
            .iter()
            .map(|u| (u.position, u.did_you_mean.as_deref()))
            .collect();
        assert_eq!(
            reported,
            [
                (0, Some("m6i.4xlarge")),
                (2, Some("optimal")),
                (3, Some("m6i")),
                (4, None)
            ]
        );
        let text = unknown[0].to_string();
        assert_eq!(
            text,
            "`m6i.4xlrage` is not an instance type, a family or `optimal`; did you mean `m6i.4xlarge`?"
        );
    }
}
