//! Codecs of the edge: one encoder and one decoder for all of them, and the loudness of audio.
//!
//! This module converts samples to payloads and back. Packets, sequence numbers and time do not belong here:
//! [`transcode`](crate::transcode) makes a stream of another codec, [`resample`](crate::resample) another rate.

mod coding;
mod decoding;
mod encoding;
pub mod g711;
pub mod g722;
pub(crate) mod level;
pub mod opus;

pub use coding::PayloadCodec;

pub(crate) use decoding::{DECODED_MOST, SourceDecoder};
pub(crate) use encoding::SinkEncoder;
