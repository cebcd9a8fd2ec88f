//! The last moment of a demo as a picture (SVG), for a page or a talk. Pure; it says that it is simulated.

use std::fmt::Write as _;

use super::view::{HIGHEST, NAMES, bill, headline, hours};
use crate::twin::figures::Look;
use crate::units::{Span, i64_to_f64, to_i64};

const WIDTH: i64 = 860;
const LEFT: i64 = 52;
const TOP: i64 = 104;
const BOTTOM: i64 = 300;

/// Colours that can be told apart by everybody, on white and on black.
const STYLE: &str = "text{font:14px system-ui,sans-serif;fill:#24292f}.small{font-size:12px;fill:#57606a}.big{font-size:17px;font-weight:600}\
    .grid{stroke:#d0d7de}.short{fill:#d0d7de;opacity:.45}.tuned{fill:#0969da}.alone{fill:#e8a33d}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.grid{stroke:#3d444d}.short{fill:#3d444d}.tuned{fill:#58a6ff}}";

/// Bars of mean waits, the steered account's before those of its twin, with what both came to in words.
pub fn picture(look: &Look, model: &str) -> String {
    let top = look.curves.iter().flatten().flatten().copied().max();
    let top = top.unwrap_or_default().clamp(Span::from_minutes(1), HIGHEST);
    let (headline, bill) = (headline(look), bill(look));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} 350\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">Simulated: {}</title>\n<style>{STYLE}</style>\n\
         <text class=\"big\" x=\"0\" y=\"20\">{}</text>\n<text x=\"0\" y=\"43\">{}</text>\n",
        escaped(&headline),
        escaped(&first_large(&headline)),
        escaped(&first_large(&bill))
    );
    let _ = writeln!(
        text,
        "<text class=\"small\" x=\"0\" y=\"345\">Simulated with model {}, assumed until calibrated: {} hours, the same jobs and the same luck \
         in both; drawn by autotune demo</text>",
        escaped(model),
        hours(look.passed)
    );
    legend(&mut text);
    grid(&mut text, look, top);
    bars(&mut text, look, top);
    text.push_str("</svg>\n");
    text
}

fn legend(text: &mut String) {
    let _ = writeln!(
        text,
        "<text class=\"small\" x=\"0\" y=\"72\">Mean wait by when jobs became RUNNABLE</text>"
    );
    for (at, (class, name)) in (0..).zip(["tuned", "alone"].into_iter().zip(NAMES)) {
        let x = 280 + at * 110;
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" x=\"{x}\" y=\"62\" width=\"11\" height=\"11\"/><text class=\"small\" x=\"{}\" y=\"72\">{name}</text>",
            x + 17
        );
    }
}

fn grid(text: &mut String, look: &Look, top: Span) {
    for (from, until) in &look.short {
        let (from, until) = (across(look, *from), across(look, *until));
        let _ = writeln!(
            text,
            "<rect class=\"short\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"/>\
             <text class=\"small\" x=\"{from:.1}\" y=\"{}\">Spot runs dry</text>",
            (until - from).max(0.0),
            BOTTOM - TOP,
            TOP - 6
        );
    }
    let minutes = top.millis() / 60_000;
    for minute in 0..=minutes {
        let y = i64_to_f64(BOTTOM) - height(Span::from_minutes(minute), top);
        let more = if minute > 0 && Span::from_minutes(minute) == HIGHEST {
            "+"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"small\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{minute} min{more}</text>",
            LEFT - 6,
            y + 4.0
        );
    }
    for (part, anchor) in [(0, "start"), (2, "middle"), (4, "end")] {
        let at = look.lasts.scaled_down(part, 4);
        let _ = writeln!(
            text,
            "<text class=\"small\" x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{} h</text>",
            across(look, at),
            BOTTOM + 18,
            hours(at)
        );
    }
}

/// Those of the twin are wide and behind, so that both can be seen whichever is higher.
fn bars(text: &mut String, look: &Look, top: Span) {
    let [tuned, alone] = &look.curves;
    for (class, curve, wide) in [("alone", alone, 0.86), ("tuned", tuned, 0.44)] {
        let step = i64_to_f64(WIDTH - LEFT) / i64_to_f64(to_i64(curve.len().max(1)));
        for (at, wait) in (0..).zip(curve) {
            let Some(wait) = wait else { continue };
            // A wait of nothing is to be seen too: no bar means that no job became RUNNABLE.
            let high = height(*wait, top).max(1.5);
            let _ = writeln!(
                text,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{high:.1}\"/>",
                i64_to_f64(LEFT) + step * (i64_to_f64(at) + (1.0 - wide) / 2.0),
                i64_to_f64(BOTTOM) - high,
                step * wide
            );
        }
    }
}

fn across(look: &Look, at: Span) -> f64 {
    let whole = look.lasts.max(Span::from_millis(1));
    let share = i64_to_f64(at.clamp(Span::ZERO, whole).millis()) / i64_to_f64(whole.millis());
    i64_to_f64(LEFT) + share * i64_to_f64(WIDTH - LEFT)
}

fn height(wait: Span, top: Span) -> f64 {
    let share = i64_to_f64(wait.min(top).millis()) / i64_to_f64(top.millis());
    share * i64_to_f64(BOTTOM - TOP)
}

fn first_large(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::look;
    use super::*;

    #[test]
    fn the_picture_shows_both_curves_and_says_that_it_is_simulated() {
        let text = picture(&look(), "<recent>");
        for words in [
            "<title id=\"title\">Simulated: jobs wait 10s with autotune, 3m 20s with AWS Batch alone",
            ">Jobs wait 10s with autotune",
            "Simulated with model &lt;recent&gt;, assumed until calibrated: 1:25 hours",
            ">4 min+<",
            "Spot runs dry",
        ] {
            assert!(text.contains(words), "`{words}` is missing in\n{text}");
        }
        // The one of the legend, and those of the curve.
        for class in ["tuned", "alone"] {
            assert_eq!(text.matches(&format!("<rect class=\"{class}\"")).count(), 3, "{text}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let text = picture(&Look::default(), "recent");
        assert!(text.contains("No job has started in both accounts yet"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
