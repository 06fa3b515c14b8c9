//! Codecs that the edge itself speaks.

pub mod g711;
pub mod g722;
pub mod opus;
