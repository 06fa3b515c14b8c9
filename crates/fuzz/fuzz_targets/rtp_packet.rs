//! Packets on a relaying session.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::rtp_packet(data));
