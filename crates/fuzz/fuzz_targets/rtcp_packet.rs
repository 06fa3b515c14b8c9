//! Fuzzes RTCP to a session that sends reports.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::rtcp_packet(data));
