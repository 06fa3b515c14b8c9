//! Vocabulary of a call: types and small functions shared by several folders. It imports nothing from the rest of the
//! call.
//!
//! It has types and pure helpers: failures and final responses, the state of a call, an admitted INVITE, REFER requests
//! and reports, parties, targets, URIs, waits, webhooks, crash gaps, refused HTTP requests, and the proof of a media
//! address. Only `refuse_request()` in `answer.rs` acts: it responds through the edge.

pub(crate) mod answer;
pub(crate) mod crash_gap;
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
