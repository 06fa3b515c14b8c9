//! Agent with an open conversation as plain data.

use trunkgate_agent::{PlayoutSnapshot, StreamSnapshot};

use crate::spec::{EndFigures, EndId};

/// Agent with an open conversation, to be continued on its socket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AgentSnapshot {
    /// Id of the agent in its session.
    pub end: EndId,
    /// The conversation.
    pub stream: StreamSnapshot,
    /// Queued audio; `None` if the agent may not send any.
    pub playout: Option<PlayoutSnapshot>,
    /// Whether it has sent audio.
    pub has_spoken: bool,
    /// Packets and bytes received from it, then sent to it.
    pub counted: [u64; 4],
}

impl AgentSnapshot {
    /// Subtracts earlier figures, which another place has already counted.
    pub fn count_since(&mut self, earlier: &[EndFigures]) {
        if let Some(before) = earlier.iter().find(|figures| figures.end == self.end) {
            before.subtract_from(&mut self.counted);
        }
    }
}
