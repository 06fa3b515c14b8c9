//! Fuzzes answering machine detection with arbitrary samples.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_detection::fuzz::detection(data));
