//! An offer with keys, answered and offered again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_sdp::fuzz::keys(data));
