//! Documents and programs, one behaviour per test, on virtual time. Each behaviour names the rows of the compatibility
//! table that it demonstrates; compat.rs compares both.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test fails by panic")]

#[macro_use]
mod support;

mod audio;
mod compat;
mod conferences;
mod dial;
mod documents;
mod failures;
mod gather;
mod messaging;
mod properties;
mod queues;
mod recordings;
mod redirects;
mod streams;
mod transfers;
