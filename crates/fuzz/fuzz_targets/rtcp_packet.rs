//! RTCP to a session that reports itself.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::rtcp_packet(data));
