//! Integration tests of this crate in one binary, one file per subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panic")]

mod first_match;
mod judging;
mod locate;
mod numbers;
