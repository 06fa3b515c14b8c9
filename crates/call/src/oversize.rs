//! INVITEs that are too long for a datagram: by TCP where the trunk wants that, and by UDP again where TCP is of no use.

use std::time::{Duration, Instant};

use trunkgate_sip::{Flow, Local, Transport};

use crate::attempt::Way;
use crate::branches::Branch;
use crate::call::Call;
use crate::edge::Edge;
use crate::leg_end::EndedBy;
use crate::limits::OVERSIZE_SILENCE;
use crate::reason::ReasonSlug;
use crate::search::sip_transport;

/// How long TCP may be silent where UDP may for so long; zero: for ever.
pub(crate) fn silence(no_response_timeout: Duration) -> Duration {
    if no_response_timeout.is_zero() { OVERSIZE_SILENCE } else { OVERSIZE_SILENCE.min(no_response_timeout) }
}

impl Call {
    /// The way of a request that is too long for UDP, where the trunk wants that (RFC 3261 §18.1.1): TCP to the same place.
    pub(crate) fn oversize(&self, edge: &Edge, branch: Branch, way: &Way, flow: Flow) -> Option<(usize, Flow, Local)> {
        let trunk = self.attempt(branch)?.trunk.as_ref()?;
        let limit_bytes = trunk.tcp_over_bytes.filter(|_| flow.transport == Transport::Udp && !way.by_udp)?;
        let (flow, local) = edge.addressing.way(trunk.listen.as_deref(), Transport::Tcp, flow.remote)?;
        Some((limit_bytes, flow, local))
    }

    /// Asks by UDP again where a long request went by TCP and that was refused or silent. Whether it was so.
    pub(crate) fn asked_again_by_udp(&mut self, now: Instant, edge: &mut Edge, branch: Branch, leg: usize) -> bool {
        let went = self.legs[leg].flow.map(|flow| flow.transport);
        let Some(attempt) = self.attempts.get_mut(branch) else { return false };
        let chosen = |way: &Way| sip_transport(way.transport) == Transport::Udp && went == Some(Transport::Tcp);
        let Some(way) = attempt.current.clone().filter(chosen) else { return false };
        edge.decide(now, self.key, format!("{} takes no TCP: asked again by UDP", way.peer));
        attempt.again(Way { by_udp: true, ..way });
        self.legs[leg].end_with(ReasonSlug::Unreachable, EndedBy::Edge);
        self.ask_again(now, edge, branch, leg);
        true
    }
}
