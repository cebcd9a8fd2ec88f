//! Text from outside, made safe for a terminal or a log line.

use std::fmt::{self, Write as _};

/// Text whose invisible characters are written as escapes: control characters (C0, DEL, C1), line and paragraph separators,
/// and the marks that change the direction of writing or take no room. What is visible stays as it is.
pub const fn printable(text: &str) -> Printable<'_> {
    Printable(text)
}

/// See [`printable`].
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_invisible(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Unicode 16, general categories Cc, Zl, Zp and the Cf characters that terminals act on.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_invisible_is_escaped() {
        for (text, expected) in [
            ("gpu-spot_1", "gpu-spot_1"),
            ("größe 量", "größe 量"),
            ("a\u{1b}[31mb", r"a\u{1b}[31mb"),
            ("a\r\nb\tc", r"a\u{d}\u{a}b\u{9}c"),
            ("\u{7f}\u{9b}31m", r"\u{7f}\u{9b}31m"),
            ("\u{202e}gnp.exe", r"\u{202e}gnp.exe"),
            ("zero\u{200b}width\u{feff}", r"zero\u{200b}width\u{feff}"),
        ] {
            assert_eq!(printable(text).to_string(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_printable_can_steer_a_terminal(text in proptest::string::string_regex("(?s).{0,40}").unwrap()) {
            let written = printable(&text).to_string();
            proptest::prop_assert!(!written.chars().any(is_invisible));
            proptest::prop_assert_eq!(printable(&written).to_string(), written.clone());
        }
    }
}
