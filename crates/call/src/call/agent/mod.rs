//! The legs of a call that are agents.

pub(crate) mod agent_leg;
