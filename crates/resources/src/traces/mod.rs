//! Traces of live calls, and ended calls.

pub(crate) mod faulty;
pub mod recent;
pub mod traced;
