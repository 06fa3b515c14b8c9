//! Requests of an agent about its call: messages other than audio, marks and clear.

use std::fmt;

use crate::warm::WarmTransfer;

/// Request of an agent that concerns its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentRequest {
    /// Transfers the caller to this target, as in a route's `connect`.
    Transfer(String),
    /// Transfers the caller to this target once the target answers; until then the caller stays with the agent.
    Consult(String),
    /// Transfers the caller to this target once the target accepts; until then the caller hears music, and the agent
    /// stays.
    WarmTransfer(String, Box<WarmTransfer>),
    /// Ends the call.
    Hangup,
    /// Sends DTMF digits to the caller: 0-9, *, #, A-D.
    Dtmf(String),
}

impl AgentRequest {
    /// Returns the name of the event by which an agent sends the request.
    pub const fn event(&self) -> &'static str {
        match self {
            AgentRequest::Transfer(_) | AgentRequest::Consult(_) | AgentRequest::WarmTransfer(..) => "transfer",
            AgentRequest::Hangup => "hangup",
            AgentRequest::Dtmf(_) => "dtmf",
        }
    }
}

/// Formats the request for `agent test`, without digits.
impl fmt::Display for AgentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentRequest::Transfer(target) => write!(f, "transfer to {target}"),
            AgentRequest::Consult(target) => write!(f, "transfer to {target}, once that answers"),
            AgentRequest::WarmTransfer(target, _) => write!(f, "transfer to {target}, once a party there accepts"),
            AgentRequest::Hangup => f.write_str("hangup"),
            AgentRequest::Dtmf(_) => f.write_str("keys"),
        }
    }
}
