//! Integration tests of this crate in one binary, one file per subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panic")]

mod conversion;
mod dtmf;
mod rfc3264;
mod rfc4317;
mod rfc4568;
mod rfc5761;
mod rfc8866;
mod t38;
