//! The language of assertions: no panic, and what is accepted means the same when it is written out and read again.
#![no_main]

use autotune::simulate::assertion::{Assertion, Known};

const KNOWN: Known = Known {
    candidates: &["reactive", "stock", "90s", "a*b"],
    queues: &["main", "queue:odd", "a.b"],
};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(assertion) = Assertion::parse(text, KNOWN) {
        let written = assertion.to_string();
        assert_eq!(Assertion::parse(&written, KNOWN), Ok(assertion), "{written}");
    }
});
