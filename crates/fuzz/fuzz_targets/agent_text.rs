//! Fuzzes an agent's text messages on an open stream, including the actions requested.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_agent::fuzz::agent_text(data));
