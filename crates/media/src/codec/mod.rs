//! Codecs that the edge itself speaks.

pub mod g711;
