//! Fuzzes session descriptions: parsed, relayed as an offer and parsed again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sdp::fuzz::offer(data));
