//! What calls share: the SIP endpoint with its look-ups and deadlines, addresses, media ports, trunks, limits, health,
//! registrations, agents. It knows calls by their keys only.

pub mod addressing;
pub mod admission;
pub mod agents;
pub mod app;
pub mod apps;
pub mod breaker;
pub mod challenge;
pub mod config;
mod congestion;
pub mod deadlines;
pub mod edge;
pub mod emergencies;
mod faulty;
pub mod health;
pub mod index;
pub mod indications;
pub mod io;
pub mod key;
pub mod limited;
pub mod limits;
pub mod logins;
pub mod metrics;
pub mod ports;
pub mod queue;
pub mod quotas;
pub mod random;
pub mod recent;
pub mod recognition;
pub mod recording;
pub mod register;
pub mod registrar;
pub mod rejection;
pub mod rejections;
pub mod rewrite;
pub mod sessions;
pub mod sip;
mod sound;
pub mod strangers;
pub mod strays;
pub mod traced;
pub mod trunks;
pub mod unknown;
pub mod unproven;
pub mod unreached;

pub use health::retry_after;
