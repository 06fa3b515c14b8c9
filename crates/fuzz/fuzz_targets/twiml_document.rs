//! Fuzzes TwiML documents; every request is answered with the same document.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_twiml::fuzz::twiml_document(data));
