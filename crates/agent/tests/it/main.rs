//! Integration tests of this crate in one binary, with a file for each subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panic")]

mod bad_input;
mod conversation;
mod framing;
mod golden;
mod recognition;
mod support;
