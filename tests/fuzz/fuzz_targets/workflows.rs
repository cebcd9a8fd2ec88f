//! WfFormat, its flattened lines, and Seqera's tasks as JSON: recognised by keys, so the seeds matter.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autotune_fuzz::survives(&[], data));
