//! Vocabulary of a call: types and small functions shared by several folders. It imports nothing from the rest of the
//! call.
//!
//! A type belongs here if it has no behaviour of its own: failures and final responses, the state of a call, an
//! admitted INVITE, refused requests, and the proof of a media address.

pub(crate) mod answer;
pub(crate) mod incoming;
pub(crate) mod party;
pub(crate) mod proof;
pub(crate) mod refer;
pub(crate) mod refer_report;
pub(crate) mod refused;
pub(crate) mod state;
pub(crate) mod target;
pub(crate) mod uri;
pub(crate) mod waits;
pub(crate) mod webhooks;
