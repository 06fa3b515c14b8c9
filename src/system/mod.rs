//! What the operating system gives: files, clocks, names, certificates, a terminal, log lines, requests to web services. Nothing here knows
//! the configuration or a call.

pub(crate) mod agent_url;
pub(crate) mod authority;
pub mod backoff;
pub(crate) mod below;
pub(crate) mod certificates;
pub(crate) mod clock;
pub(crate) mod connector;
pub(crate) mod cover;
pub mod dns;
pub(crate) mod files;
pub(crate) mod free_ports;
pub(crate) mod holder;
pub mod interfaces;
pub mod log;
pub mod notify;
pub mod problem;
pub(crate) mod programs;
pub(crate) mod public_name;
pub(crate) mod reach;
pub(crate) mod routing;
pub(crate) mod shares;
pub(crate) mod sids;
pub(crate) mod smtp;
pub(crate) mod sni;
pub(crate) mod terminal;
pub(crate) mod text;
pub(crate) mod tls_words;
pub(crate) mod turns;
pub(crate) mod twilio_hosts;
#[cfg(test)]
pub(crate) mod until;
pub(crate) mod verifier;
pub(crate) mod watched;
pub(crate) mod web;
