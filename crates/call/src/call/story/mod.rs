//! What a call tells of itself: changes, verdict, diagnoses in force, quality, samples.

pub mod captured;
pub mod change;
pub(crate) mod hearing;
pub(crate) mod mismatch;
pub(crate) mod quality;
pub mod sampled;
pub(crate) mod series;
pub(crate) mod sms;
pub mod unsent;
pub(crate) mod verdict;
