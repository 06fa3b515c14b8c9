//! All answered calls in plain data. Calls that are being set up are not in it, and announcements in conferences.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_resources::conferences::queues::KeptQueue;

use crate::call::parts::snapshot::CallSnapshot;
use crate::gateway::Gateway;

/// Answered calls in plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatewaySnapshot {
    /// One entry a call.
    pub calls: Vec<CallSnapshot>,
    /// Media ports held, those of calls that are not in it too: their far ends may go on speaking into them for a while.
    pub ports: Vec<u16>,
    /// Queues that calls may wait in.
    pub queues: Vec<KeptQueue>,
}

impl GatewaySnapshot {
    /// Writes down all that a gateway keeps.
    pub(super) fn of(gateway: &Gateway, now: Instant) -> GatewaySnapshot {
        GatewaySnapshot {
            calls: gateway.calls.values().filter_map(|call| call.snapshot(now, &gateway.edge)).collect(),
            ports: gateway.edge.sessions().ports().collect(),
            queues: gateway.edge.sessions().queues.kept(),
        }
    }
}
