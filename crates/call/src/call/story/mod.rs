//! What a call tells of itself: changes, verdict, diagnoses in force, quality, samples.

pub(crate) mod losses;
pub(crate) mod mismatch;
pub(crate) mod noted;
pub(crate) mod silent_agent;
pub(crate) mod unrecorded;
pub(crate) mod verdict;
