//! Tests of recordings, including published test vectors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod age_vectors;
mod any_bytes;
