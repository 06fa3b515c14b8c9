//! Documents and programs, each behaviour on virtual time. A behaviour names the rows of the compatibility table that it
//! shows; compat.rs holds both against each other.

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
