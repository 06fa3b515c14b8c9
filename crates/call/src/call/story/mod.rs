//! Reports of a call: changes, verdict, current diagnoses, quality, samples.

pub(crate) mod losses;
pub(crate) mod mismatch;
pub(crate) mod noted;
pub(crate) mod silent_agent;
pub(crate) mod unrecorded;
pub(crate) mod verdict;
