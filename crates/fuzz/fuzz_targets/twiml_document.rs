//! Documents of an application, run with the same document as the answer to every request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_twiml::fuzz::twiml_document(data));
