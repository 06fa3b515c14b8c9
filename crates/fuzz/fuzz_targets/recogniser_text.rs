//! Fuzzes a speech recogniser's text messages on an open stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_agent::fuzz::recogniser_text(data));
