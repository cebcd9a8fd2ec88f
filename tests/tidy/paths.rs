//! Every path that a piece of Rust names, such as `crate::units::Vcpus`, with comments and strings left out.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path as the code writes it; groups of a `use` are written out one by one.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    /// The parts between `::`.
    pub(crate) parts: Vec<String>,
    /// Counted from 1.
    pub(crate) line: usize,
    /// How many modules written inside the file, such as `mod tests { }`, it stands in.
    pub(crate) inline_modules: usize,
    /// Whether `!` follows, as in `println!`.
    pub(crate) is_macro: bool,
}

/// All paths of a file, single names included.
pub(crate) fn of(code: &str) -> Vec<Found> {
    let tokens: TokenStream = code.parse().expect("the file is Rust");
    let mut found = Vec::new();
    visit(tokens, 0, &mut found);
    found
}

fn visit(tokens: TokenStream, inline_modules: usize, found: &mut Vec<Found>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let starts_module = at >= 2 && is_ident(&tokens[at - 2], "mod");
        at = match token {
            TokenTree::Ident(_) => path(&tokens, at, &[], inline_modules, found),
            TokenTree::Group(group) => {
                let inside = inline_modules + usize::from(starts_module && group.delimiter() == Delimiter::Brace);
                visit(group.stream(), inside, found);
                at + 1
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
        };
    }
}

/// Reads the path that starts at `at`, after `prefix`, and returns the position behind it.
fn path(tokens: &[TokenTree], at: usize, prefix: &[String], inline_modules: usize, found: &mut Vec<Found>) -> usize {
    let line = tokens[at].span().start().line;
    let mut parts = prefix.to_vec();
    parts.push(tokens[at].to_string());
    let mut next = at + 1;
    while is_punct(tokens.get(next), ':') && is_punct(tokens.get(next + 1), ':') {
        match tokens.get(next + 2) {
            Some(TokenTree::Ident(part)) => {
                parts.push(part.to_string());
                next += 3;
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                branches(&inside, &parts, inline_modules, found);
                return next + 3;
            }
            _ => break,
        }
    }
    let is_macro = is_punct(tokens.get(next), '!') && !is_punct(tokens.get(next + 1), '=');
    found.push(Found {
        parts,
        line,
        inline_modules,
        is_macro,
    });
    next
}

/// The branches of `use a::{b, c::d}`.
fn branches(tokens: &[TokenTree], prefix: &[String], inline_modules: usize, found: &mut Vec<Found>) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at = match token {
            TokenTree::Ident(_) => path(tokens, at, prefix, inline_modules, found),
            TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
        };
    }
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

#[test]
fn paths_are_found_wherever_code_names_them() {
    let code = "
        //! crate::comment
        use crate::{units::{Time, Vcpus}, ids as other};
        fn f() -> crate::trace::Job { println!(\"crate::text\"); a != b }
        mod tests { use super::super::planner; }
    ";
    let found = of(code);
    let names: Vec<String> = found.iter().map(|f| f.parts.join("::")).collect();
    for expected in [
        "crate::units::Time",
        "crate::units::Vcpus",
        "crate::ids",
        "crate::trace::Job",
        "super::super::planner",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected} in {names:?}");
    }
    assert!(
        !names
            .iter()
            .any(|name| name.contains("comment") || name.contains("text"))
    );
    let macros: Vec<_> = found
        .iter()
        .filter(|f| f.is_macro)
        .map(|f| f.parts.join("::"))
        .collect();
    assert_eq!(macros, ["println"]);
    let inline = found.iter().find(|f| f.parts[0] == "super").unwrap();
    assert_eq!((inline.inline_modules, inline.line), (1, 5));
}
