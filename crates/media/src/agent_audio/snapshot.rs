//! Serializable state of an agent with an open conversation.

use trunkgate_agent::{PlayoutSnapshot, StreamSnapshot};

use crate::spec::{EndFigures, EndId};

/// State of an agent with an open conversation, to be continued by another process on the same socket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AgentSnapshot {
    /// Id of the agent's end in its session.
    pub end: EndId,
    /// State of the WebSocket protocol with the agent.
    pub stream: StreamSnapshot,
    /// Queued audio; `None` if the agent may not send any.
    pub playout: Option<PlayoutSnapshot>,
    /// Whether the agent has sent any audio so far.
    pub has_spoken: bool,
    /// Packets and bytes received from the agent, then packets and bytes sent to it.
    pub counted: [u64; 4],
}

impl AgentSnapshot {
    /// Subtracts the packets and bytes that `earlier`, from the previous process, has for this agent.
    pub fn count_since(&mut self, earlier: &[EndFigures]) {
        if let Some(before) = earlier.iter().find(|figures| figures.end == self.end) {
            before.subtract_from(&mut self.counted);
        }
    }
}
