//! Traces of calls, and the calls that have ended.

pub(crate) mod faulty;
pub mod recent;
pub mod traced;
