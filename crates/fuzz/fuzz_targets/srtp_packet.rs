//! Fuzzes SRTP and SRTCP: no forged packet is accepted.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::srtp_packet(data));
