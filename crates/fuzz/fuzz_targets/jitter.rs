//! Fuzzes the jitter buffer with packets in any order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::jitter(data));
