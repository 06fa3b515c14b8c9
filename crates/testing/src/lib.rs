//! Support for unit tests of several crates: a wait for an event, and views of calls and legs.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod until;
pub mod views;
