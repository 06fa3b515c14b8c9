//! Recent failures of a party, trunk or agent: their number, the most recent one, and whether they are solved.
//! Imports only look-ups and limits from this crate.

pub(crate) mod concerned;
pub(crate) mod faults;
pub(crate) mod recovery;
pub mod unreached;
