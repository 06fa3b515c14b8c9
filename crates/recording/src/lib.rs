//! Recordings as files: encodes frames of audio into WAV or Ogg Opus files, encrypts them in age format if a key is
//! given, and completes files that a crash has truncated.
//!
//! The crate uses no files, clock or randomness. The I/O layer writes the bytes, supplies randomness and passes the
//! length of a file.

pub mod age;
mod channels;
mod cut;
mod encoder;
mod envelope;
pub mod limits;
pub mod ogg;
mod opus;
mod peaks;
pub mod wav;

pub use channels::mix;
pub use cut::FrameExtractor;
pub use encoder::{Container, EncoderSnapshot, RecordingEncoder};
pub use envelope::FileEncryption;
pub use peaks::PeakLevels;
pub use trunkgate_terms::Channels;
