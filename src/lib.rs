//! Trunkgate: a SIP/RTP edge proxy for bring-your-own-carrier trunking. This crate is everything that touches the
//! operating system; the protocols live in `crates/`.

pub mod check;
pub mod config;
pub mod demo;
pub mod init;
pub mod worker;
