//! Fuzzes Refer-To, Referred-By and the body of NOTIFY.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trunkgate_call::fuzz::refer(data));
