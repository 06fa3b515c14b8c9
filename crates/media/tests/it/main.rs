//! Integration tests of this crate in one binary, with a file for each subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panic")]

mod agents;
mod attacks;
mod coded_agents;
mod dtmf;
mod hold;
mod jitter;
mod judges;
mod late_agent;
mod libopus;
mod liveness;
mod lossy;
mod menu;
mod moved;
mod one_port;
mod pauses;
mod presses;
mod recordings;
mod relay;
mod reports;
mod seats;
mod srtp;
mod srtp_legs;
mod streamers;
mod support;
mod taps;
mod tones;
mod transcoded_legs;
mod transcoding;
mod wide;
mod withheld;
