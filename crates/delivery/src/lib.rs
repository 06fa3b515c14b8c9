//! Data and deliveries that outlive a call: the store, call records, recordings, callbacks, messages, and the HTTP
//! client that delivers them.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod sinks;
pub mod webhooks;
