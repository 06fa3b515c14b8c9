//! The back-to-back user agent: SIP, session descriptions, routes and media bound into calls. Sans-IO.

mod call;
pub mod gateway;
mod resources;
mod story;

pub use call::agent::fork::{ForkRequest, Listener};
pub use call::negotiation::reliable;
pub use call::search::owner::trunk_of_uri;
pub use call::story::change::{Change, Happening};
pub use call::story::sampled::{LegTimes, SampledCall, Sampling};
pub use call::story::sms::{Sms, SmsNews};
pub use call::story::{captured, change, sampled, unsent};
pub use gateway::asked::Refused;
pub use gateway::intake::Intake;
pub use gateway::{Capture, Gateway, GatewayConfig};
pub use gateway::{asked, fuzz, intake, snapshot};
pub use resources::addressing::{Addressing, Interfaces, ListenerSpec};
pub use resources::io::{Cause, Control, Identity, Input, Output, QueryId};
pub use resources::quotas::DayCount;
pub use resources::strangers::{Ban, StrangerLimits};
pub use resources::{addressing, io, limits, metrics};
pub use story::diagnosis::{OUR_ADDRESS, UNSENT};
pub use story::reason::ReasonSlug;
pub use story::report::CallRecord;
pub use story::view::{CallView, LegView};
pub use story::{messages, numbers, reason, trace, view};
