//! A challenge or an answer to one: read, answered, read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sip::fuzz::digest(data));
