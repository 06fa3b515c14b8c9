//! Codecs that the edge itself speaks: one encoder and one decoder for all of them, and the loudness of audio.
//!
//! Here belongs what turns samples into payloads and back. Packets, numbers and time are not known here: a stream of
//! another codec is made in [`transcode`](crate::transcode), another rate in [`resample`](crate::resample).

mod coding;
mod decoding;
mod encoding;
pub mod g711;
pub mod g722;
pub(crate) mod level;
pub mod opus;

pub use coding::Coding;

pub(crate) use decoding::{DECODED_MOST, Decoding};
pub(crate) use encoding::Encoding;
