//! What a rule is, and what it found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::ser::SerializeStruct as _;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Jobs do not start, are lost, or money is spent on nothing.
    Error,
    /// Something will go wrong under load, or costs more than it has to.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// Its name in tables, JSON and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// One kind of finding. Codes are stable: one that is given up is not used again.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// For example `AT101`; the first digit is the subject.
    pub code: &'static str,
    /// A few words for people, in kebab-case.
    pub name: &'static str,
    /// How bad it is, unless a finding says otherwise.
    pub severity: Severity,
    /// What it finds.
    pub finds: &'static str,
    /// Why that hurts.
    pub why: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// Where that is written.
    pub sources: &'static [&'static str],
}

/// Rules of one file: a static for each and the list of all.
macro_rules! rules {
    ($($name:ident = $code:literal $kebab:literal $severity:ident {
        finds: $finds:expr, why: $why:expr, fix: $fix:expr, sources: [$($source:expr),+ $(,)?] $(,)?
    })+) => {
        $(static $name: crate::check::Rule = crate::check::Rule {
            code: $code,
            name: $kebab,
            severity: crate::check::Severity::$severity,
            finds: $finds,
            why: $why,
            fix: $fix,
            sources: &[$($source),+],
        };)+
        /// All rules of this subject.
        pub(super) static RULES: &[&crate::check::Rule] = &[$(&$name),+];
    };
}
/// A page of the AWS Batch user guide.
macro_rules! batch_guide {
    ($page:literal) => {
        concat!("https://docs.aws.amazon.com/batch/latest/userguide/", $page, ".html")
    };
}
/// A page of the AWS Batch API reference.
macro_rules! batch_api {
    ($page:literal) => {
        concat!(
            "https://docs.aws.amazon.com/batch/latest/APIReference/API_",
            $page,
            ".html"
        )
    };
}
/// A page of the Amazon EC2 user guide.
macro_rules! ec2_guide {
    ($page:literal) => {
        concat!("https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/", $page, ".html")
    };
}
pub(super) use {batch_api, batch_guide, ec2_guide, rules};

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its kind. In JSON: `code` and `name`.
    pub rule: &'static Rule,
    /// How bad it is here.
    pub severity: Severity,
    /// What it is about: the name of an environment, a queue, a job definition, a launch template, a quota.
    pub subject: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The very values that say so, by their names in AWS where they have one.
    pub evidence: BTreeMap<&'static str, String>,
    /// What to do here: a command, a snippet or a sentence.
    pub fix: String,
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 7)?;
        fields.serialize_field("code", self.rule.code)?;
        fields.serialize_field("name", self.rule.name)?;
        fields.serialize_field("severity", &self.severity)?;
        fields.serialize_field("subject", &self.subject)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("evidence", &self.evidence)?;
        fields.serialize_field("fix", &self.fix)?;
        fields.end()
    }
}

impl Finding {
    /// A finding with the rule's own severity and fix.
    pub(super) fn of(rule: &'static Rule, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity,
            subject: subject.into(),
            message: message.into(),
            evidence: BTreeMap::new(),
            fix: rule.fix.to_owned(),
        }
    }

    /// Adds a piece of evidence.
    pub(super) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.evidence.insert(name, value.to_string());
        self
    }

    /// What to do here.
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// How bad it is here.
    pub(super) fn rated(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// A rule that could not look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CouldNotCheck {
    /// Codes of the rules.
    pub codes: Vec<&'static str>,
    /// About what.
    pub subject: String,
    /// Because.
    pub because: String,
}

/// What a check found, and what it could not look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Worst first, then by code and subject.
    pub findings: Vec<Finding>,
    /// Neither good nor bad.
    pub could_not_check: Vec<CouldNotCheck>,
}

impl Report {
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(super) fn unread(&mut self, rules: &[&'static Rule], subject: impl Into<String>, because: impl Into<String>) {
        self.could_not_check.push(CouldNotCheck {
            codes: rules.iter().map(|rule| rule.code).collect(),
            subject: subject.into(),
            because: because.into(),
        });
    }

    /// The order in which it is told.
    pub(super) fn sort(&mut self) {
        let order = |a: &Finding, b: &Finding| {
            (a.severity, a.rule.code, &a.subject, &a.message).cmp(&(b.severity, b.rule.code, &b.subject, &b.message))
        };
        self.findings.sort_by(order);
        self.findings.dedup();
        self.could_not_check.sort();
        self.could_not_check.dedup();
    }

    /// Keeps rules whose codes begin with one of `select` (all, if there is none) and with none of `ignore`.
    pub fn keep(&mut self, select: &[String], ignore: &[String]) {
        let begins = |code: &str, prefixes: &[String]| prefixes.iter().any(|prefix| code.starts_with(prefix.as_str()));
        let kept = |code: &str| (select.is_empty() || begins(code, select)) && !begins(code, ignore);
        self.findings.retain(|finding| kept(finding.rule.code));
        for entry in &mut self.could_not_check {
            entry.codes.retain(|code| kept(code));
        }
        self.could_not_check.retain(|entry| !entry.codes.is_empty());
    }

    /// Findings by rule and severity, for a metric.
    pub fn counts(&self) -> BTreeMap<(&'static str, Severity), usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry((finding.rule.code, finding.severity)).or_default() += 1;
        }
        counts
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// A word for a shell: in quotes unless it is plain.
pub(super) fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,$%+".contains(c);
    // A dollar is plain in no shell.
    if !word.is_empty() && word.chars().all(plain) && !word.contains('$') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
