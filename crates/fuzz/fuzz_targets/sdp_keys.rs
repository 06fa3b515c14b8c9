//! Fuzzes offers with SRTP keys, answered and relayed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sdp::fuzz::keys(data));
