//! Fuzzes a transcoder between any two codecs with arbitrary RTP streams.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_media::fuzz::transcode(data));
