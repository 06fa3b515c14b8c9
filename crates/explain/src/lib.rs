//! Explanations of calls for people: ladder diagrams, capture files, and the routing of a call (`why`).

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod ladder;
pub mod pcapng;
pub mod why;
