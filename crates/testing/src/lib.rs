//! What the unit tests of several crates share: a wait for an event, and calls as they are shown.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod until;
pub mod views;
