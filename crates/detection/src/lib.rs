//! Answering-machine detection: frames of 20 ms at 8 kHz from a called party go in, with `now`; one verdict comes out.
//!
//! A [`MachineDetector`] evaluates cadence (how long the party speaks before it is silent), energy above the noise of
//! the line, and tones (beeps, fax machines, special information tones, call progress). It has no model weights and
//! reads no clock. The thresholds are those of Twilio's `MachineDetection` parameters. Words are not recognised, and a
//! human that greets for longer than the speech threshold is taken for a machine.
#![deny(clippy::indexing_slicing)]

mod cadence;
mod detector;
pub mod fuzz;
pub mod limits;
mod settings;
mod spectrum;
mod tones;
mod verdict;
mod voice;

pub use detector::MachineDetector;
pub use settings::{DetectionMode, DetectionSettings, ThresholdParameter};
pub use verdict::{AnsweredBy, DetectionVerdict};
