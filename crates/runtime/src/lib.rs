//! Running edge: SIP sockets, signalling loop, media workers, name resolution, reload, and the handle for the other
//! parts of the process.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

pub mod acme;
pub mod acme_report;
pub mod api_log;
pub mod apps;
pub mod call_state;
pub mod conferences;
pub mod handle;
pub mod handover;
pub mod history;
pub mod http_logins;
pub mod lost_agents;
pub mod message_log;
pub mod messages;
pub mod names;
pub mod overrides;
pub(crate) mod own_certificates;
pub mod own_recordings;
pub mod own_sockets;
pub mod placing;
pub mod probes;
pub mod proxy_refusals;
pub mod pulse;
pub mod recording_desk;
pub mod reload;
pub mod sampling;
pub mod settings;
pub mod signalling;
pub mod speech;
pub mod stale_names;
pub mod transport;
pub mod worker;
