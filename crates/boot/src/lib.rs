//! Starts an edge: as a value (`edge`), and as the process of `trunkgate run` (`run`).

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod edge;
mod listening;
pub mod run;
mod succession;
mod takeover;
mod upgrade;
