//! Support for tests of several crates and for measurements: a wait for an event, CPU waits of child processes, and
//! views of calls and legs.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod cpu_waits;
pub mod until;
#[cfg(feature = "views")]
pub mod views;
