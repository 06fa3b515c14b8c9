//! Fuzzes the framer of SIP streams: whole and in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sip::fuzz::stream(data));
