//! Resamplers: streams between 8, 16, 24 and 48 kHz with 1.5 ms of delay ([`Resampler`]), and audio files of any rate to
//! 8 kHz ([`FileResampler`]), with none.
//!
//! Samples have 16 bits, and a stream is made of whole numbers throughout, so that the way it is cut changes nothing and
//! every machine makes the same. Flat to 3.4 kHz where 8 kHz is the lower rate, as telephony is; frequencies of 4.6 kHz or
//! above, and the images that they would make, are 58 dB down.

mod bank;
mod file;
pub mod limits;
mod stream;

pub use file::FileResampler;
pub use stream::Resampler;
