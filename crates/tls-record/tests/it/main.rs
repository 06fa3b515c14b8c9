//! TLS connections with real rustls at the other end, before and after they moved to another process.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

mod any_bytes;
mod crossing;
mod ends;
mod key_updates;
mod support;
