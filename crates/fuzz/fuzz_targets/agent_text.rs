//! Texts of an agent on an open stream, what they ask for carried out.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_agent::fuzz::agent_text(data));
