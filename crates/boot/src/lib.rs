//! Starts a whole edge, as a value (`edge`) and as a process (`run`).

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod edge;
pub mod run;
