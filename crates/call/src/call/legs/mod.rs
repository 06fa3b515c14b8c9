//! Legs of a call: dialog, stored descriptions, the headers and numbers that each side may see, session timers, holds,
//! agents and digits; and the events of a call (`event.rs`).

pub(crate) mod agent_leg;
pub(crate) mod agents;
pub(crate) mod caller_id;
pub(crate) mod codecs;
pub(crate) mod descriptions;
pub(crate) mod dialled;
pub(crate) mod digits;
pub(crate) mod event;
pub(crate) mod glare;
pub(crate) mod headers;
pub(crate) mod hold;
pub(crate) mod info;
pub(crate) mod leg;
pub(crate) mod leg_end;
pub(crate) mod list;
pub(crate) mod location;
pub(crate) mod requested;
pub(crate) mod session_timer;
pub(crate) mod snapshot;
pub(crate) mod spoken;
pub(crate) mod srtp;
pub(crate) mod written;
