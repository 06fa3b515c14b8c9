//! Fuzzes digest challenges and credentials: parsed, answered and parsed again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sip::fuzz::digest(data));
