//! What became of a call, or would, for people to read: ladders, captures, the way of a call through the routes.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod ladder;
pub mod pcapng;
pub mod why;
