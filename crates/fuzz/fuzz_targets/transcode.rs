//! Datagrams from a far side of which SRTP is expected.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::transcode(data));
