//! Transfers: REFER that is served here or goes on, its notifications, consultation by an agent.

pub(crate) mod effects;
pub(crate) mod in_call;
pub(crate) mod notify;
pub(crate) mod onward;
pub(crate) mod refer_on;
pub(crate) mod warm;
