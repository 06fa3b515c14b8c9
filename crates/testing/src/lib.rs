//! What the unit tests of several crates share: a wait for an event, and calls as they are shown.

pub mod until;
pub mod views;
