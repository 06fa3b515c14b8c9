//! Recent failures of a party, trunk or agent: how many, the last one, and whether they are over. Imports nothing of this crate but
//! look-ups and limits.

pub(crate) mod concerned;
pub(crate) mod faults;
pub(crate) mod recovery;
pub mod unreached;
