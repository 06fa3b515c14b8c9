//! What is shown of calls: reasons, traces and their messages, views, diagnoses, masked numbers. A leaf: it knows no call.

pub(crate) mod advice;
pub(crate) mod diagnosis;
pub(crate) mod few;
pub(crate) mod last_hour;
pub(crate) mod masked;
pub mod messages;
pub mod numbers;
pub(crate) mod packed;
pub mod reason;
pub(crate) mod report;
pub(crate) mod told;
pub mod trace;
pub mod view;
pub(crate) mod wall;
