//! One session description, read, written and answered.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sdp::fuzz::offer(data));
