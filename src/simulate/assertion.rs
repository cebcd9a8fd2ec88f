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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simulate::summary::{Quantiles, Summary, Waits};

    const KNOWN: Known<'static> = Known {
        candidates: &["reactive", "stock", "stock+20m", "static-10%", "target-tracking", "60s"],
        queues: &["spot-queue", "a.b"],
    };

    #[test]
    fn what_is_written_is_what_is_meant() {
        let cases = [
            ("avoidable_wait_p95 <= 60s", "avoidable_wait_p95 <= 1m"),
            ("avoidable_wait_p95_seconds<=90s", "avoidable_wait_p95 <= 1m 30s"),
            ("cost <= 1.1 * stock", "cost <= 1.1 * stock"),
            ("cost_usd < 1*stock+20m", "cost < stock+20m"),
            ("cost <= $0.138194", "cost <= $0.138194"),
            (
                "start_latency_p50 < 0.5 * target-tracking",
                "start_latency_p50 < 0.5 * target-tracking",
            ),
            ("within_10s >= 80%", "within_10s >= 80%"),
            ("within_10s >= static-10%", "within_10s >= static-10%"),
            ("refused == 0", "refused == 0"),
            ("wait_mean <= 1 * 60s", "wait_mean <= 1 * 60s"),
            ("queue:a.b.wait_p99 > 2h", "queue:a.b.wait_p99 > 2h"),
            (" queue:spot-queue.started != 3.5 ", "queue:spot-queue.started != 3.5"),
        ];
        for (text, shown) in cases {
            let parsed = Assertion::parse(text, KNOWN).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            assert_eq!(parsed.to_string(), shown);
        }
    }

    #[test]
    fn every_problem_is_told_with_what_was_expected() {
        let cases: [(&str, &[&str]); 14] = [
            ("", &["no comparison"]),
            ("cost = 5", &["no comparison"]),
            ("wait_p59 <= 60s", &["metric \"wait_p59\"", "did you mean `wait_p5"]),
            ("speed <= 60s", &["metric \"speed\"", "figures are wait_mean"]),
            ("wait_p95 <= 60", &["found \"60\"", "a span", "write `60s`"]),
            ("wait_p95 <= $60", &["found \"$60\"", "a span"]),
            ("wait_p95 <= -5s", &["found \"-5s\"", "a span"]),
            ("cost <= 5", &["dollars", "write `$5`"]),
            ("within_10s >= 0.8", &["a percentage", "write `0.8%`"]),
            ("within_10s >= 180%", &["a percentage"]),
            ("refused == none", &["candidate \"none\"", "`stock`"]),
            ("cost <= 1.1 * stok", &["candidate \"stok\"", "did you mean `stock`?"]),
            ("cost <= NaN * stock", &["factor \"NaN\""]),
            ("queue:spot-queue.cost <= $5", &["`cost` of one queue"]),
        ];
        for (text, parts) in cases {
            let problems = Assertion::parse(text, KNOWN).unwrap_err();
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            for part in parts {
                assert!(
                    told.iter().any(|told| told.contains(part)),
                    "{text}: {part} not in {told:?}"
                );
            }
        }
    }

    #[test]
    fn all_problems_of_all_assertions_come_at_once() {
        let problems = parse(
            ["queue:spot.cots <= 2 * stok", "wait_mean <= stock", "refused < many"],
            KNOWN,
        )
        .unwrap_err();
        let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for part in [
            "queue \"spot\"",
            "metric \"cots\"",
            "candidate \"stok\"",
            "candidate \"many\"",
        ] {
            assert!(told.contains(part), "{part} not in\n{told}");
        }
        assert_eq!(problems.len(), 4);
    }

    fn candidate(name: &str, waits: &[f64], cost: i64) -> Compared {
        let run = |wait: &f64| Summary {
            all: Waits {
                started: 10,
                wait: Quantiles {
                    mean: *wait,
                    p95: *wait,
                    ..Quantiles::default()
                },
                within_10s: 0.1,
                ..Waits::default()
            },
            cost: MicroUsd::new(cost),
            ..Summary::default()
        };
        Compared {
            name: name.to_owned(),
            runs: waits.iter().map(run).collect(),
            notes: Vec::new(),
        }
    }

    fn check(text: &str, compared: &[Compared]) -> Verdict {
        Assertion::parse(text, KNOWN).unwrap().check(compared)
    }

    #[test]
    fn the_mean_over_seeds_decides_and_single_seeds_are_counted() {
        let compared = [
            candidate("reactive", &[10.0, 50.0, 30.0], 11_000_000),
            candidate("stock", &[40.0, 40.0, 40.0], 10_000_000),
        ];
        let cases = [
            ("wait_p95 <= 30s", true, 2),
            ("wait_p95 < 30s", false, 1),
            ("wait_p95 < stock", true, 2),
            ("wait_p95 <= 0.5 * stock", false, 1),
            ("cost <= 1.1 * stock", true, 3),
            ("cost < 1.1 * stock", false, 0),
            ("within_10s == 10%", true, 3),
            ("refused == 0", true, 3),
            ("refused != 0", false, 0),
            ("queue:spot-queue.wait_mean > 29s", true, 2),
        ];
        for (text, held, seeds_held) in cases {
            let verdict = check(text, &compared);
            assert_eq!(
                (verdict.held, verdict.seeds_held),
                (held, seeds_held),
                "{text}: {verdict}"
            );
        }
    }

    #[test]
    fn a_verdict_says_found_and_expected() {
        let compared = [
            candidate("reactive", &[60.0004, 60.0004], 12_500_000),
            candidate("stock", &[40.0, 600.0], 10_000_000),
        ];
        let told = |text: &str| check(text, &compared).to_string();
        insta::assert_snapshot!(told("cost <= 1.1 * stock"), @"failed: cost <= 1.1 * stock: found $12.50, expected <= $11.00 (1.1 * $10.00); holds in 0 of 2 seeds");
        insta::assert_snapshot!(told("wait_p95 <= 60s"), @"failed: wait_p95 <= 1m: found 60.0004 seconds, expected <= 60 seconds; holds in 0 of 2 seeds");
        insta::assert_snapshot!(told("wait_mean < stock"), @"held: wait_mean < stock: found 60s, expected < 5m 20s; holds in 1 of 2 seeds");
    }

    #[test]
    fn nothing_to_measure_fulfils_no_claim() {
        let compared = [candidate("reactive", &[1.0], 0)];
        for text in [
            "makespan_mean <= 1h",
            "makespan_mean > 1h",
            "makespan_max != 1h",
            "cost <= stock",
        ] {
            let verdict = check(text, &compared);
            assert!(!verdict.held, "{verdict}");
            assert!(verdict.text.contains("nothing to measure"), "{verdict}");
        }
        assert!(!check("refused == 0", &[]).held);
    }

    fn assertions() -> impl Strategy<Value = Assertion> {
        let operator = prop::sample::select(&Operator::ALL[..]);
        let metric = prop::sample::select(Metric::ALL.iter().collect::<Vec<_>>());
        let queue = prop::option::of(prop::sample::select(KNOWN.queues));
        let name = prop::sample::select(KNOWN.candidates);
        let factor = prop_oneof![Just(1.0), 0.0..1e9_f64];
        let right = (any::<bool>(), name, factor, 0..9_000_000_000_000_i64, 0.0..1e12_f64);
        (queue, metric, operator, right).prop_map(|(queue, metric, operator, (value, name, factor, whole, number))| {
            let name = name.to_owned();
            let value = value.then(|| match metric.unit {
                Unit::Seconds => Value::Lasting(Span::from_millis(whole)),
                Unit::Usd => Value::Money(MicroUsd::new(whole)),
                Unit::Ratio => Value::Percent(whole % 10_001),
                Unit::VcpuHours | Unit::Count => Value::Number(number),
            });
            Assertion {
                queue: queue.filter(|_| metric.is_per_queue()).map(str::to_owned),
                metric,
                operator,
                right: value.map_or(Right::Candidate { factor, name }, Right::Value),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same(assertion in assertions()) {
            prop_assert_eq!(Assertion::parse(&assertion.to_string(), KNOWN), Ok(assertion));
        }

        #[test]
        fn no_text_makes_it_panic_and_every_refusal_has_a_reason(text in ".{0,80}") {
            if let Err(problems) = Assertion::parse(&text, KNOWN) {
                prop_assert!(!problems.is_empty());
            }
        }

        #[test]
        fn nearly_right_texts_do_not_panic_either(
            text in "(queue:)?(a\\.b\\.)?(wait_p95|cost|within_10s|refused|x)? ?(<=|<|=|!=|>)? ?[0-9.e$%*sm hN-]{0,12}(stock|tock)?"
        ) {
            if let Err(problems) = Assertion::parse(&text, KNOWN) {
                prop_assert!(!problems.is_empty());
            }
        }
    }
}
