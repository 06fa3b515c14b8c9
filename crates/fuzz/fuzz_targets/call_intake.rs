//! Any order of messages, news and time at the intake of calls.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_call::fuzz::intake(data));
