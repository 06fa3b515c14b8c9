//! Trunkgate: a SIP/RTP edge between SIP trunks, a PBX and voice agents. This crate is everything that touches the
//! operating system; the protocols live in `crates/`.
//!
//! Its rooms, each of which uses only those before it: `limits`, `system`, `audio`, `config`, `webhooks`, `sinks`, `runtime`, `explain`, `admin`,
//! `boot`, `tools`.

pub mod admin;
mod audio;
pub mod boot;
pub mod config;
mod explain;
pub mod limits;
pub mod runtime;
mod sinks;
pub mod system;
pub mod tools;
mod webhooks;
