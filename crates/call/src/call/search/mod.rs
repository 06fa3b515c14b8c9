//! The search for a target that answers: candidates, attempts, their failures, redirections and waits.

pub(crate) mod agents;
pub(crate) mod agreement;
pub(crate) mod attempt;
pub(crate) mod branches;
pub(crate) mod candidates;
pub(crate) mod redirect;
pub(crate) mod results;
pub(crate) mod unreached;
