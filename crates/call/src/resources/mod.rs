//! What calls share: the SIP endpoint with its look-ups and deadlines, addresses, media ports, trunks, limits, health,
//! registrations, agents. It knows calls by their keys only.

pub mod addressing;
pub(crate) mod admission;
pub(crate) mod agents;
pub(crate) mod alarm;
pub(crate) mod breaker;
pub(crate) mod challenge;
pub(crate) mod checks;
pub(crate) mod config;
pub(crate) mod deadlines;
pub(crate) mod edge;
pub(crate) mod health;
pub(crate) mod index;
pub mod io;
pub(crate) mod key;
pub mod limits;
pub mod metrics;
pub(crate) mod ports;
pub(crate) mod queue;
pub(crate) mod quotas;
pub(crate) mod recent;
pub(crate) mod register;
pub(crate) mod registrar;
pub(crate) mod rewrite;
pub(crate) mod sampled;
pub(crate) mod sessions;
pub(crate) mod sip;
pub(crate) mod strangers;
pub(crate) mod strays;
pub(crate) mod telling;
pub(crate) mod traced;
pub(crate) mod trunks;
pub(crate) mod unknown;
pub(crate) mod unproven;
