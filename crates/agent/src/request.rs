//! Requests of an agent to its call: the messages that ask for more than audio, marks and their end.

use std::fmt;

use crate::warm::WarmTransfer;

/// A request of an agent to its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentRequest {
    /// The caller is to go to this target, as in a route's `connect`.
    Transfer(String),
    /// The caller is to go to this target once it answers; until then it stays with the agent.
    Consult(String),
    /// The caller is to go to this target once a party there accepts it; until then it hears music, and the agent stays.
    WarmTransfer(String, Box<WarmTransfer>),
    /// The call is to end.
    Hangup,
    /// Digits to press towards the caller: 0-9, *, #, A-D.
    Dtmf(String),
}

impl AgentRequest {
    /// Returns the name of the message that carries it.
    pub const fn event(&self) -> &'static str {
        match self {
            AgentRequest::Transfer(_) | AgentRequest::Consult(_) | AgentRequest::WarmTransfer(..) => "transfer",
            AgentRequest::Hangup => "hangup",
            AgentRequest::Dtmf(_) => "dtmf",
        }
    }
}

/// Writes the request as `agent test` shows it, without digits.
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
