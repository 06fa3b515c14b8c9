//! Starts a whole edge, as a value (`edge`) and as a process (`run`).

pub mod edge;
pub mod run;
