//! Claims about a comparison that a script can rely on: `avoidable_wait_p95 <= 60s`, `cost <= 1.1 * stock`.
//!
//! ```text
//! assertion = [ "queue:" NAME "." ] METRIC OPERATOR right
//! OPERATOR  = "<=" | "<" | ">=" | ">" | "==" | "!="
//! right     = VALUE | [ FACTOR "*" ] CANDIDATE
//! ```
//!
//! - METRIC is the name of a figure ([`Metric::ALL`]), with or without its unit: `cost` or `cost_usd`. It is that of the
//!   candidate *under test*, the first of the comparison.
//! - `queue:NAME.` asks for one job queue instead of all jobs together, where the figure exists for each queue.
//! - VALUE has the metric's unit: a span (`90s`, `2h 30m`), dollars (`$12.50`), a percentage (`80%`), or a plain number for
//!   counts and vCPU-hours.
//! - CANDIDATE is a name of the comparison (`stock`, `target-tracking`): the same metric of that candidate, times FACTOR.
//!   A candidate whose name can be read as a VALUE is written `1 * NAME`.
//!
//! Over several seeds the means decide. Figures that differ by less than a billionth count as equal, so that the rounding of
//! sums decides nothing. A figure that is absent, because there was nothing to measure, fulfils no claim.

use std::fmt::{self, Write as _};

use jiff::SignedDuration;
use jiff::fmt::friendly::SpanPrinter;

use crate::input::{Problem, did_you_mean, quoted};
use crate::simulate::compare::Compared;
use crate::simulate::distribution::parse_span;
use crate::simulate::metric::{Metric, Unit};
use crate::units::{MicroUsd, Span, f64_to_i64, i64_to_f64};

/// A claim about one figure of the candidate under test.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    /// The job queue; `None` for all jobs together.
    pub queue: Option<String>,
    /// The figure.
    pub metric: &'static Metric,
    /// How it shall compare.
    pub operator: Operator,
    /// With what.
    pub right: Right,
}

/// How two figures shall compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
}

/// The right side of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Right {
    /// A value in the metric's unit.
    Value(Value),
    /// The same figure of a candidate, times a factor.
    Candidate {
        /// What it is multiplied with; not negative.
        factor: f64,
        /// The candidate's name.
        name: String,
    },
}

/// A value with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A length of time.
    Lasting(Span),
    /// Money.
    Money(MicroUsd),
    /// Hundredths of a percent.
    Percent(i64),
    /// A count, or vCPU-hours.
    Number(f64),
}

/// What an assertion can name: the candidates and job queues of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Names of the candidates, the one under test first.
    pub candidates: &'a [&'a str],
    /// Names of the job queues.
    pub queues: &'a [&'a str],
}

/// How a claim went.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether it holds: over several seeds, for the means.
    pub held: bool,
    /// The claim, what was found and what was expected.
    pub text: String,
    /// Seeds in which it holds by themselves.
    pub seeds_held: usize,
    /// Seeds.
    pub seeds: usize,
}

/// Reads assertions. Fails with every problem of all of them.
pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>, known: Known<'_>) -> Result<Vec<Assertion>, Vec<Problem>> {
    let mut assertions = Vec::new();
    let mut problems = Vec::new();
    for text in texts {
        match Assertion::parse(text, known) {
            Ok(assertion) => assertions.push(assertion),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(assertions)
    } else {
        Err(problems)
    }
}

impl Operator {
    /// Longer ones first, so that `<=` is not read as `<`.
    const ALL: [Self; 6] = [
        Self::AtMost,
        Self::AtLeast,
        Self::Equal,
        Self::Unequal,
        Self::Below,
        Self::Above,
    ];

    const fn symbol(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::Below => "<",
            Self::AtLeast => ">=",
            Self::Above => ">",
            Self::Equal => "==",
            Self::Unequal => "!=",
        }
    }

    fn holds(self, found: f64, expected: f64) -> bool {
        let equal = (found - expected).abs() <= 1e-9 * found.abs().max(expected.abs()).max(1.0);
        match self {
            Self::AtMost => equal || found < expected,
            Self::Below => !equal && found < expected,
            Self::AtLeast => equal || found > expected,
            Self::Above => !equal && found > expected,
            Self::Equal => equal,
            Self::Unequal => !equal,
        }
    }
}

impl Assertion {
    /// Reads one assertion. Fails with everything that is wrong with it.
    pub fn parse(text: &str, known: Known<'_>) -> Result<Self, Vec<Problem>> {
        let file = format!("--assert {}", quoted(text));
        let problem = |found: String, expected: &str| Problem::of_file(&file, found, expected);
        let Some((left, operator, right)) = split(text) else {
            return Err(vec![
                problem(
                    "no comparison".to_owned(),
                    "METRIC OPERATOR VALUE, such as `avoidable_wait_p95 <= 60s`",
                )
                .with_hint("operators are <=, <, >=, >, == and !="),
            ]);
        };
        let (queue, word) = match left.strip_prefix("queue:").and_then(|left| left.rsplit_once('.')) {
            Some((queue, word)) => (Some(queue), word.trim()),
            None => (None, left),
        };
        let mut problems = Vec::new();
        if let Some(queue) = queue.filter(|queue| !known.queues.contains(queue)) {
            problems.push(unknown(&file, "queue", queue, known.queues));
        }
        let metric = Metric::named(word);
        match metric {
            None => problems.push(unknown_metric(&file, word)),
            Some(metric) if queue.is_some() && !metric.is_per_queue() => problems.push(problem(
                format!("`{}` of one queue", metric.name),
                "a figure that exists for each queue: waits, latencies, within_10s, started",
            )),
            Some(_) => {}
        }
        let right = read_right(&file, right, metric, known).map_err(|wrong| problems.push(*wrong));
        match (metric, right) {
            (Some(metric), Ok(Some(right))) if problems.is_empty() => Ok(Self {
                queue: queue.map(str::to_owned),
                metric,
                operator,
                right,
            }),
            _ => Err(problems),
        }
    }

    /// Compares the first of these candidates with the claim.
    pub fn check(&self, compared: &[Compared]) -> Verdict {
        let under_test = compared.first().map_or(&[][..], |tested| &tested.runs);
        let queue = self.queue.as_deref();
        let other = match &self.right {
            Right::Value(_) => None,
            Right::Candidate { name, .. } => compared.iter().find(|candidate| candidate.name == *name),
        };
        let scaled = |figure: Option<f64>| match &self.right {
            Right::Value(value) => Some(value.figure()),
            Right::Candidate { factor, .. } => figure.map(|figure| factor * figure),
        };
        let holds = |found: Option<f64>, expected: Option<f64>| {
            found
                .zip(expected)
                .is_some_and(|(found, expected)| self.operator.holds(found, expected))
        };
        let mean = |runs| Some(self.metric.over(runs, queue)?.mean);
        let (found, base) = (mean(under_test), other.and_then(|other| mean(&other.runs)));
        let held = holds(found, scaled(base));
        let seeds_held = (under_test.iter().enumerate())
            .filter(|(seed, run)| {
                let base = other.and_then(|other| other.runs.get(*seed));
                let base = base.and_then(|run| self.metric.of(run, queue));
                holds(self.metric.of(run, queue), scaled(base))
            })
            .count();
        let mut text = self.sentence(held, found, scaled(base), base);
        if under_test.len() > 1 {
            let _ = write!(text, "; holds in {seeds_held} of {} seeds", under_test.len());
        }
        Verdict {
            held,
            text,
            seeds_held,
            seeds: under_test.len(),
        }
    }

    fn sentence(&self, held: bool, found: Option<f64>, expected: Option<f64>, base: Option<f64>) -> String {
        let unit = self.metric.unit;
        let rounded = |figure: f64| unit.show(figure);
        // Figures that differ must not look the same.
        let exact = found.map(rounded) == expected.map(rounded)
            && found
                .zip(expected)
                .is_some_and(|(found, expected)| Operator::Unequal.holds(found, expected));
        let show = |figure: Option<f64>| match figure {
            Some(figure) if exact => format!("{figure}{}", unit.suffix().replace('_', " ")),
            Some(figure) => rounded(figure),
            None => "nothing to measure".to_owned(),
        };
        let word = if held { "held" } else { "failed" };
        let (symbol, claimed) = (self.operator.symbol(), show(expected));
        let mut text = format!("{word}: {self}: found {}, expected {symbol} {claimed}", show(found));
        if let (Right::Candidate { factor, .. }, Some(_)) = (&self.right, base)
            && !is_one(*factor)
        {
            let _ = write!(text, " ({factor} * {})", show(base));
        }
        text
    }
}

impl Value {
    fn figure(self) -> f64 {
        match self {
            Self::Lasting(span) => span.seconds_f64(),
            Self::Money(money) => money.usd(),
            Self::Percent(hundredths) => i64_to_f64(hundredths) / 10_000.0,
            Self::Number(number) => number,
        }
    }

    /// Reads a value of a unit; the error says what was expected, with a hint.
    fn read(unit: Unit, text: &str) -> Result<Self, (&'static str, Option<String>)> {
        let plain = number(text);
        let hint = |written: String| plain.map(|_| format!("write `{written}`"));
        match unit {
            Unit::Seconds => parse_span(text)
                .map(Self::Lasting)
                .map_err(|_| ("a span such as `90s` or `2h 30m`", hint(format!("{text}s")))),
            Unit::Usd => (text.strip_prefix('$').and_then(|usd| number(usd.trim())))
                .and_then(MicroUsd::from_usd)
                .map(Self::Money)
                .ok_or_else(|| ("dollars such as `$12.50`", hint(format!("${text}")))),
            Unit::Ratio => (text.strip_suffix('%').and_then(|percent| number(percent.trim())))
                .filter(|percent| *percent <= 100.0)
                .map(|percent| Self::Percent(f64_to_i64((percent * 100.0).round())))
                .ok_or_else(|| ("a percentage from `0%` to `100%`", hint(format!("{text}%")))),
            Unit::VcpuHours | Unit::Count => plain.map(Self::Number).ok_or(("a plain number", None)),
        }
    }
}

/// As it is read; every exact value is kept.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lasting(span) => {
                f.write_str(&SpanPrinter::new().duration_to_string(&SignedDuration::from_millis(span.millis())))
            }
            Self::Money(money) => write!(f, "${}", money.usd()),
            Self::Percent(hundredths) => write!(f, "{}%", i64_to_f64(*hundredths) / 100.0),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(queue) = &self.queue {
            write!(f, "queue:{queue}.")?;
        }
        write!(f, "{} {} ", self.metric.name, self.operator.symbol())?;
        match &self.right {
            Right::Value(value) => value.fmt(f),
            Right::Candidate { factor, name } if is_one(*factor) && Value::read(self.metric.unit, name).is_err() => {
                f.write_str(name)
            }
            Right::Candidate { factor, name } => write!(f, "{factor} * {name}"),
        }
    }
}

/// `held: cost <= 1.1 * stock: found $9.80, expected <= $11.00 (1.1 * $10.00)`
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// At the first operator.
fn split(text: &str) -> Option<(&str, Operator, &str)> {
    let at = text.find(['<', '>', '=', '!'])?;
    let (left, rest) = text.split_at_checked(at)?;
    let (operator, right) = Operator::ALL
        .iter()
        .find_map(|operator| Some((*operator, rest.strip_prefix(operator.symbol())?)))?;
    Some((left.trim(), operator, right.trim()))
}

/// `Ok(None)` where nothing can be said because the metric is not known.
fn read_right(
    file: &str,
    text: &str,
    metric: Option<&'static Metric>,
    known: Known<'_>,
) -> Result<Option<Right>, Box<Problem>> {
    let wrong = metric.map(|metric| Value::read(metric.unit, text));
    if let Some(Ok(value)) = wrong {
        return Ok(Some(Right::Value(value)));
    }
    if known.candidates.contains(&text) {
        let name = text.to_owned();
        return Ok(Some(Right::Candidate { factor: 1.0, name }));
    }
    if let Some((factor, name)) = text.split_once('*') {
        let (factor, name) = (factor.trim(), name.trim());
        let Some(factor) = number(factor) else {
            let found = format!("factor {}", quoted(factor));
            let expected = "a number that is not negative, such as 1.1";
            return Err(Box::new(Problem::of_file(file, found, expected)));
        };
        if !known.candidates.contains(&name) {
            return Err(Box::new(unknown(file, "candidate", name, known.candidates)));
        }
        let name = name.to_owned();
        return Ok(Some(Right::Candidate { factor, name }));
    }
    let is_word = text.starts_with(|first: char| first.is_alphabetic());
    match (wrong, metric) {
        _ if is_word => Err(Box::new(unknown(file, "candidate", text, known.candidates))),
        (Some(Err((expected, hint))), Some(metric)) => {
            let expected = format!("{expected}, because `{}` has that unit, or a candidate", metric.name);
            let problem = Problem::of_file(file, quoted(text), expected);
            Err(Box::new(match hint {
                Some(hint) => problem.with_hint(hint),
                None => problem,
            }))
        }
        _ => Ok(None),
    }
}

/// A finite number that is not negative: no figure is.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number.is_sign_positive()).then_some(number)
}

fn is_one(factor: f64) -> bool {
    factor.total_cmp(&1.0).is_eq()
}

fn unknown(file: &str, kind: &str, name: &str, known: &[&str]) -> Problem {
    let names = known
        .iter()
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect::<Vec<_>>();
    let problem = Problem::of_file(
        file,
        format!("{kind} {}", quoted(name)),
        format!("one of {}", names.join(", ")),
    );
    match did_you_mean(name, known.iter().copied()) {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

fn unknown_metric(file: &str, word: &str) -> Problem {
    let names = || Metric::ALL.iter().map(|metric| metric.name);
    let problem = Problem::of_file(file, format!("metric {}", quoted(word)), "the name of a figure");
    let nearest = did_you_mean(word, names());
    problem.with_hint(nearest.unwrap_or_else(|| format!("figures are {}", names().collect::<Vec<_>>().join(", "))))
}

#[cfg(test)]
mod tests;
