//! Agents in a call: their legs, the time that they may have, and those that only listen.

pub(crate) mod agent_leg;
pub(crate) mod engage;
pub(crate) mod fork;
pub(crate) mod listen;
pub(crate) mod max_call;
