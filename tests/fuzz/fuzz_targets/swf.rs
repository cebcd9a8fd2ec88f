//! Standard Workload Format.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    autotune_fuzz::survives(
        &["; UnixStartTime: 5\n1 10 3 60 4 -1 100 8 -1 2048 1 1 1 7 2 -1 -1 -1\n"],
        data,
    );
});
