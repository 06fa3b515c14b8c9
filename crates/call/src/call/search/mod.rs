//! The search for a target that answers: candidates, attempts, their failures, redirections and waits.

pub(crate) mod answer;
pub(crate) mod attempt;
pub(crate) mod branches;
pub(crate) mod by_ratio;
pub(crate) mod candidates;
pub(crate) mod oversize;
pub(crate) mod owner;
pub(crate) mod pace;
pub(crate) mod reachability;
pub(crate) mod redirect;
pub(crate) mod reroute;
pub(crate) mod search_timeout;
pub(crate) mod waiting;
