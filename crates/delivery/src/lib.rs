//! What outlives a call: the store and what is kept in it, records, recordings, callbacks and messages, and the HTTP client that delivers
//! them.

pub mod sinks;
pub mod webhooks;
