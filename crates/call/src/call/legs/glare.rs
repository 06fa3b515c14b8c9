//! Glare: two parties change one session at the same time (RFC 3261 §14.1).

use std::time::Duration;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{GLARE_OTHER_UNITS, GLARE_OWNER_UNITS, GLARE_UNIT_MS};

use crate::call::legs::leg::Leg;

/// Returns the random wait before our request is retried after a glare; its range depends on the owner of the Call-ID
/// (RFC 3261 §14.1).
pub(crate) fn glare_wait(edge: &mut Edge, leg: &Leg) -> Duration {
    let units = if leg.inbound { GLARE_OTHER_UNITS } else { GLARE_OWNER_UNITS };
    Duration::from_millis(edge.random_mut().any_of(units).saturating_mul(GLARE_UNIT_MS))
}
