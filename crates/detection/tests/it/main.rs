//! Tests of answering machine detection on generated signals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod any_audio;
mod support;
mod verdicts;
