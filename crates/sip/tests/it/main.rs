//! Integration tests of this crate in one binary, one file per subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panic")]

mod auth;
mod defects;
mod dialogs;
mod incoming;
mod lossy;
mod mutations;
mod outgoing;
mod own_hosts;
mod peer;
mod properties;
mod refusals;
mod reliable;
mod rfc5118;
mod session_timers;
mod subscriptions;
mod torture;
mod update;
