//! The native format, and whatever the detection of formats makes of arbitrary bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    autotune_fuzz::survives(&["{\"autotune_trace\":{\"version\":1}}\n", ""], data);
});
