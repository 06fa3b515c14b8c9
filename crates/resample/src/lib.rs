//! Resamplers: streams between 8, 16, 24 and 48 kHz with 1.5 ms of delay ([`Resampler`]), and audio files of any rate
//! to 8 kHz without delay ([`FileResampler`]).
//!
//! Samples have 16 bits, and streams use integer arithmetic throughout, so that the division into blocks changes
//! nothing and every machine computes the same. The pass band is flat to 3.4 kHz if 8 kHz is the lower rate, as in
//! telephony; frequencies from 4.6 kHz on, and their images, are attenuated by 58 dB.

mod bank;
mod file;
pub mod limits;
mod stream;

pub use file::FileResampler;
pub use stream::Resampler;
