//! Conferences: their audio and their behaviour.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod loops;
mod mixing;
mod nodes;
mod rings;
mod rooms;
mod support;
