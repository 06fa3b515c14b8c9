//! Starts an edge: as a value (`edge`), as the process of `trunkgate run` (`run`), and under a parent process that
//! restarts it after a crash (`keeper`).

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod edge;
pub mod keeper;
mod listening;
pub mod run;
mod standby;
mod succession;
mod takeover;
mod upgrade;
