//! Fuzzes the intake queue of calls: messages, events and time in any order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_call::fuzz::intake(data));
