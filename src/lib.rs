//! Trunkgate: a SIP/RTP edge between SIP trunks, a PBX and voice agents. This crate is everything that touches the
//! operating system; the protocols live in `crates/`.

pub mod admin;
pub mod agent_test;
mod agent_url;
mod audio;
pub mod call;
mod certificates;
pub mod check;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod dns;
pub mod doctor;
pub mod edge;
mod findings;
pub mod handle;
pub mod help;
pub mod init;
pub mod interfaces;
pub mod journal;
mod ladder;
pub mod limits;
mod line;
pub mod log;
pub mod names;
pub mod notify;
pub mod preset;
pub mod reload;
pub mod reports;
pub mod run;
pub mod signalling;
mod terminal;
pub mod transport;
mod wav;
pub mod why;
pub mod worker;
