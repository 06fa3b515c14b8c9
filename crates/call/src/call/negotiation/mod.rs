//! Offers and answers between two legs: before the answer, at it, and in the answered call.

pub(crate) mod bridge;
pub(crate) mod coding;
pub(crate) mod early;
pub(crate) mod early_offer;
pub(crate) mod local;
pub(crate) mod owed;
pub(crate) mod rebind;
pub(crate) mod refresh;
pub(crate) mod reinvite;
pub mod reliable;
pub(crate) mod update;
