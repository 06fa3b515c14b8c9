//! Fuzzes one SIP message: parsed, viewed, validated and rewritten.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sip::fuzz::message(data));
