//! The back-to-back user agent: SIP, session descriptions, routes and media bound into calls. Sans-IO.

pub mod addressing;
pub mod gateway;
pub mod io;
pub mod metrics;
pub mod ports;
pub mod reason;
pub mod report;
pub mod trace;
pub mod view;

pub use addressing::{Addressing, Interfaces, ListenerSpec};
pub use gateway::{Gateway, GatewayConfig};
pub use io::{Control, Input, Output, QueryId, Resolved};
pub use reason::ReasonSlug;
pub use report::CallRecord;
pub use view::{CallView, LegView};
