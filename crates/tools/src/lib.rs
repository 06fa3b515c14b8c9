//! Verbs of the command line except `run`. Most connect to a running edge over HTTP; some start an edge of their own.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod agent_test;
pub(crate) mod announced;
pub mod call;
pub mod check;
pub mod cli;
pub mod client;
pub mod configuration;
pub(crate) mod datagrams;
pub mod demo;
pub mod doctor;
pub(crate) mod findings;
pub mod help;
pub mod init;
pub(crate) mod junit;
pub(crate) mod line;
pub mod loadtest;
mod manual;
pub mod preset;
pub(crate) mod progress;
pub mod shell;
pub(crate) mod sound;
pub mod top;
pub mod twilio;
pub mod why;
