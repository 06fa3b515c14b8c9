//! What outlives a call: the store and what is kept in it, records, recordings, callbacks and messages, and the HTTP client that delivers
//! them.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod sinks;
pub mod webhooks;
