//! What a call tells of itself: changes, verdict, diagnoses in force, quality, samples.

pub(crate) mod captured;
pub(crate) mod change;
pub(crate) mod hearing;
pub(crate) mod mismatch;
pub(crate) mod quality;
pub(crate) mod sampled;
pub(crate) mod series;
pub(crate) mod sms;
pub(crate) mod unsent;
pub(crate) mod verdict;
