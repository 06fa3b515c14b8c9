//! State that calls share: the SIP endpoint with its look-ups and deadlines, addresses, media ports, trunks, limits,
//! health, registrations and agents. Calls appear here by key only.

pub mod admission;
pub mod agents;
pub mod applications;
pub mod conferences;
pub mod config;
pub mod edge;
pub mod failures;
pub mod io;
pub mod limits;
pub mod lookups;
pub mod mailboxes;
pub mod metrics;
pub mod random;
pub mod recordings;
pub mod registration;
pub mod sessions;
pub mod sources;
pub mod traces;
pub mod trunks;

pub use trunks::health::retry_after;
