//! All answered calls as plain data. Calls being set up and announcements in conferences are omitted.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_resources::conferences::queues::KeptQueue;

use crate::call::parts::snapshot::CallSnapshot;
use crate::gateway::Gateway;

/// Answered calls in plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatewaySnapshot {
    /// Answered calls, one entry each.
    pub calls: Vec<CallSnapshot>,
    /// Media ports in use, including those of calls that are omitted: their remote parties may continue to send to them
    /// for a while.
    pub ports: Vec<u16>,
    /// Queues in which calls may wait.
    pub queues: Vec<KeptQueue>,
}

impl GatewaySnapshot {
    /// Returns the state of a gateway in plain data.
    pub(super) fn of(gateway: &Gateway, now: Instant) -> GatewaySnapshot {
        GatewaySnapshot {
            calls: gateway.calls.values().filter_map(|call| call.snapshot(now, &gateway.edge)).collect(),
            ports: gateway.edge.sessions().ports().collect(),
            queues: gateway.edge.sessions().queues.kept(),
        }
    }
}
