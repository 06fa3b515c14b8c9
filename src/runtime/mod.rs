//! The running edge: SIP sockets, the signalling loop, media workers, names of peers, reload, and the handle by which others ask it.

pub(crate) mod api_log;
pub(crate) mod apps;
pub(crate) mod conferences;
pub mod handle;
pub(crate) mod history;
pub(crate) mod http_logins;
pub(crate) mod lost_agents;
pub(crate) mod message_log;
pub(crate) mod messages;
pub mod names;
pub(crate) mod overrides;
pub(crate) mod own_certificates;
pub(crate) mod own_recordings;
pub mod own_sockets;
pub(crate) mod placing;
pub(crate) mod probes;
pub(crate) mod pulse;
pub(crate) mod recording_desk;
pub mod reload;
pub(crate) mod sampling;
pub mod settings;
pub mod signalling;
pub(crate) mod speech;
pub(crate) mod stale_names;
pub mod transport;
pub mod worker;
