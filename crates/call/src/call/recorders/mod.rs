//! What listens to a call for others than its parties: recordings, recording sessions (SIPREC) and the detection of answering machines.

pub(crate) mod detection;
pub(crate) mod recording;
pub(crate) mod siprec;
