//! Bars and curves as drawings inside the page. They say nothing that is not there in words too.

use maud::{Markup, html};

use super::words::{UNKNOWN, count, figure, span};
use crate::daemon::snapshot::{EnvironmentStatus, QuotaStatus};
use crate::daemon::twin::Twin;
use crate::units::{Span, Vcpus, i64_to_f64, to_i64, to_usize};

/// The width of a drawing in its own units; it is stretched to whatever room there is.
const WIDTH: f64 = 1000.0;
/// Its height, and that of the curves.
const HEIGHT: f64 = 20.0;
const CURVES: f64 = 120.0;
/// A column of the curves is not wider than if there were so many.
const STEPS_LEAST: i64 = 8;
/// A ceiling more than this many times as high as what is drawn under it would leave nothing to see.
const FURTHEST: i64 = 8;

/// How far an environment can go, and what ends it there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ceiling {
    /// The lower one of maxvCpus and what its service quotas leave.
    pub(super) vcpus: Option<Vcpus>,
    /// `maxvCpus` or the quota's code.
    pub(super) by: String,
    /// Codes of quotas whose limit is not known.
    pub(super) unknown: Vec<String>,
}

/// Of an environment, under these quotas.
pub(super) fn ceiling(environment: &EnvironmentStatus, quotas: &[QuotaStatus]) -> Ceiling {
    let mut ceiling = Ceiling {
        vcpus: environment.age.map(|_| environment.max_vcpus),
        by: "maxvCpus".to_owned(),
        unknown: Vec::new(),
    };
    for code in &environment.quotas {
        let row = quotas.iter().find(|quota| quota.code == *code);
        let Some(left) = row.and_then(|quota| quota.left_vcpus) else {
            ceiling.unknown.push(code.clone());
            continue;
        };
        let reach = environment.there_vcpus + environment.on_its_way_vcpus + environment.granted_vcpus + left;
        if environment.instances_age.is_some() && ceiling.vcpus.is_none_or(|lowest| reach < lowest) {
            ceiling.vcpus = Some(reach);
            ceiling.by.clone_from(code);
        }
    }
    ceiling
}

/// min, desired, ceiling, what is there and busy, as one bar.
pub(super) fn environment(environment: &EnvironmentStatus, ceiling: &Ceiling) -> Markup {
    let levels = environment
        .age
        .map(|_| (environment.min_vcpus, environment.desired_vcpus));
    let real = environment
        .instances_age
        .map(|_| (environment.there_vcpus, environment.used_vcpus));
    let (min, desired) = levels.unwrap_or_default();
    let (there, used) = real.unwrap_or_default();
    let level = [min, desired, there, used].into_iter().max().unwrap_or_default();
    let end = ceiling.vcpus.unwrap_or(level).max(Vcpus::new(1));
    let beyond = !level.is_zero() && end > level.times(FURTHEST);
    let scale = if beyond { level.times(FURTHEST) } else { level.max(end) };
    let x = |vcpus: Vcpus| WIDTH * i64_to_f64(vcpus.get()) / i64_to_f64(scale.get().max(1));
    let text = alternative(environment, ceiling);
    html! {
        svg.bar role="img" aria-label=(text) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" {
            (block("track", 0.0, x(end).min(WIDTH), 0.0))
            @if desired > there { (block("desired", x(there), x(desired), 4.0)) }
            (block("there", 0.0, x(there), 4.0))
            (block("busy", 0.0, x(used), 4.0))
            @if levels.is_some() && !min.is_zero() { (mark("min", x(min))) }
            @if !beyond && ceiling.vcpus.is_some() { (mark("end", x(end).clamp(2.0, WIDTH - 2.0))) }
        }
    }
}

/// The bar in words.
fn alternative(environment: &EnvironmentStatus, ceiling: &Ceiling) -> String {
    let levels = |vcpus| figure(environment.age, vcpus);
    let real = |vcpus| figure(environment.instances_age, vcpus);
    let end = ceiling.vcpus.map_or_else(
        || UNKNOWN.to_owned(),
        |end| format!("{} by {}", count(end.get()), super::words::short(&ceiling.by)),
    );
    format!(
        "vCPUs: busy {}, there {}, desired {}, min {}, ceiling {end}",
        real(environment.used_vcpus),
        real(environment.there_vcpus),
        levels(environment.desired_vcpus),
        levels(environment.min_vcpus),
    )
}

fn block(class: &str, from: f64, to: f64, inset: f64) -> Markup {
    let width = (to.min(WIDTH) - from).max(0.0);
    html! {
        rect class=(class) x=(tenth(from)) y=(inset) width=(tenth(width)) height=(HEIGHT - inset - inset) {}
    }
}

fn mark(class: &str, x: f64) -> Markup {
    let x = tenth(x);
    html! { line class=(class) x1=(x) x2=(x) y1="0" y2=(HEIGHT) {} }
}

fn tenth(number: f64) -> String {
    format!("{number:.1}")
}

/// A service quota: what others use, what is ours, what is kept, what is left. Nothing where its limit is not known.
pub(super) fn quota(quota: &QuotaStatus) -> Option<Markup> {
    let limit = quota.limit_vcpus?.max(Vcpus::new(1));
    let parts = [
        ("others", "others", quota.used_by_others_vcpus.unwrap_or_default()),
        ("busy", "ours", quota.held_vcpus),
        ("there", "on its way", quota.on_its_way_vcpus + quota.granted_vcpus),
        ("kept", "reserved", quota.reserve_vcpus + quota.overshoot_vcpus),
    ];
    let named = parts.map(|(_, name, vcpus)| format!("{name} {}", count(vcpus.get())));
    let left = super::words::vcpus(quota.left_vcpus.unwrap_or_default());
    let text = format!("of {}: {}; {left} left", super::words::vcpus(limit), named.join(", "));
    let mut from = 0.0;
    let blocks = parts.map(|(class, _, vcpus)| {
        let to = (from + WIDTH * i64_to_f64(vcpus.get()) / i64_to_f64(limit.get())).min(WIDTH);
        let drawn = block(class, from, to, 4.0);
        from = to;
        drawn
    });
    Some(html! {
        svg.bar role="img" aria-label=(text) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" {
            (block("track", 0.0, WIDTH, 0.0))
            @for part in blocks { (part) }
        }
    })
}

/// How long jobs waited in both accounts, by when they became RUNNABLE, from the start until now.
pub(super) fn curves(twin: &Twin) -> Markup {
    let steps = to_i64(twin.alone.curve.len().max(1));
    let passed = twin.passed.scaled_up(steps, twin.lasts.millis().max(1)).millis();
    let shown = passed.clamp(STEPS_LEAST.min(steps), steps);
    let sides = [("alone", &twin.alone.curve), ("tuned", &twin.tuned.curve)];
    let all = sides.iter().flat_map(|(_, curve)| curve.iter().flatten());
    let top = all.copied().max().unwrap_or_default();
    let text = format!(
        "Mean waits from the start until now, simulated: up to {} with AWS Batch alone, up to {} with autotune",
        highest(&twin.alone.curve),
        highest(&twin.tuned.curve)
    );
    let end = twin.lasts.scaled_up(shown, steps).millis().max(1);
    let x = |at: Span| (WIDTH * i64_to_f64(at.millis()) / i64_to_f64(end)).min(WIDTH);
    html! {
        svg.curves role="img" aria-label=(text) viewBox=(format!("0 0 {WIDTH} {CURVES}")) preserveAspectRatio="none" {
            @for (from, until) in &twin.short {
                rect.short x=(tenth(x(*from))) y="0" width=(tenth((x(*until) - x(*from)).max(0.0))) height=(CURVES) {}
            }
            @for (class, curve) in sides {
                @for column in columns(curve, shown, top) { path class=(class) d=(column) {} }
            }
        }
    }
}

fn highest(curve: &[Option<Span>]) -> String {
    super::words::span_or(curve.iter().flatten().copied().max(), "nothing yet")
}

/// The longest wait of both curves.
pub(super) fn top(twin: &Twin) -> String {
    let both = twin.alone.curve.iter().chain(&twin.tuned.curve);
    span(both.flatten().copied().max().unwrap_or_default())
}

/// A column for each part of the time in which jobs became RUNNABLE.
fn columns(curve: &[Option<Span>], shown: i64, top: Span) -> Vec<String> {
    let step = WIDTH / i64_to_f64(shown.max(1));
    let parts = curve.iter().take(to_usize(shown)).enumerate();
    let known = parts.filter_map(|(at, wait)| Some((at, (*wait)?)));
    known
        .map(|(at, wait)| {
            let height = (CURVES * i64_to_f64(wait.millis()) / i64_to_f64(top.millis().max(1))).max(1.5);
            let (x, y) = (step * i64_to_f64(to_i64(at)), CURVES - height);
            format!("M{:.1} {CURVES}V{y:.1}h{:.1}V{CURVES}z", x, step - 2.0)
        })
        .collect()
}
