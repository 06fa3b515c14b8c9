//! One datagram: read, every view made, judged, written anew.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sip::fuzz::message(data));
