//! Offers and answers between two legs: before the answer, at it, and in the answered call.

pub(crate) mod bridge;
pub(crate) mod early;
pub(crate) mod local;
pub(crate) mod offers;
pub(crate) mod refresh;
pub(crate) mod reinvite;
pub(crate) mod requests;
