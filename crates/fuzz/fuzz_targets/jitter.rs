//! Packets of any order at a jitter buffer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::jitter(data));
