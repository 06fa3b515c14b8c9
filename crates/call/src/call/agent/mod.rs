//! Agents in a call: their legs, the time that they may have, and those that only listen.

pub(crate) mod agent_leg;
