//! Recordings as files: frames of audio become the bytes of a WAV or Ogg Opus file, encrypted in age format where a key is given, and
//! files that a crash has cut are completed.
//!
//! Pure: no files, clock or randomness of its own. The shell writes the bytes, supplies randomness and says how long a file is.

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
pub use cut::Cut;
pub use encoder::{Container, Encoder};
pub use envelope::Encryption;
pub use peaks::Peaks;
pub use trunkgate_terms::Channels;
