//! Fuzzes a relaying session with RTP packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::rtp_packet(data));
