//! TLS connections with real rustls on the other side, before and after they crossed.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

mod any_bytes;
mod crossing;
mod ends;
mod key_updates;
mod support;
