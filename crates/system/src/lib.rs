//! Operating system services: files, clocks, names, certificates, the terminal, log lines, requests to web services.
//! This crate knows neither the configuration nor calls.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod agent_url;
pub mod authority;
pub mod backoff;
pub mod below;
pub mod certificates;
pub mod clock;
pub mod connector;
pub mod cover;
pub mod dns;
pub mod files;
pub mod free_ports;
pub mod holder;
pub mod interfaces;
pub mod limits;
pub mod log;
pub mod notify;
pub mod ownership;
pub mod problem;
pub mod programs;
pub mod public_name;
pub mod reach;
pub mod routing;
pub mod shares;
pub mod sids;
pub mod smtp;
pub mod sni;
pub mod terminal;
pub mod text;
pub mod tls_stream;
pub mod tls_words;
pub mod turns;
pub mod twilio_hosts;
pub mod verifier;
pub mod watched;
pub mod web;
