//! Any samples at the detection of answering machines.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_detection::fuzz::detection(data));
