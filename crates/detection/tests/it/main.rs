//! Tests of the detection, on signals that are made here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod any_audio;
mod support;
mod verdicts;
