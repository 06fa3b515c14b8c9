//! INVITEs that are too long for a datagram: over TCP where the trunk wants that, and over UDP again where TCP is not supported.

use std::time::{Duration, Instant};

use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::limits::OVERSIZE_SILENCE;
use trunkgate_resources::sip::sip_transport;
use trunkgate_sip::{Flow, Local, Transport};
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::legs::leg_end::EndedBy;
use crate::call::search::attempt::Way;

/// How long TCP may be silent where UDP may for so long; zero: for ever.
pub(crate) fn silence(no_response_timeout: Duration) -> Duration {
    if no_response_timeout.is_zero() { OVERSIZE_SILENCE } else { OVERSIZE_SILENCE.min(no_response_timeout) }
}

impl Call {
    /// The way of a request that is too long for UDP, where the trunk wants that (RFC 3261 §18.1.1): TCP to the same place.
    pub(crate) fn oversize(&self, edge: &Edge, branch: Branch, way: &Way, flow: Flow) -> Option<(usize, Flow, Local)> {
        let trunk = self.attempt(branch)?.trunk.as_ref()?;
        if !trunk.oversize_by_tcp || flow.transport != Transport::Udp || way.by_udp {
            return None;
        }
        let (flow, local) = edge.addressing.way(trunk.listen.as_deref(), Transport::Tcp, flow.remote)?;
        Some((trunk.udp_mtu, flow, local))
    }

    /// Asks by UDP again where a long request went by TCP and that was refused or silent. Whether it was so.
    pub(crate) fn asked_again_by_udp(&mut self, now: Instant, edge: &mut Edge, branch: Branch, leg: LegId) -> bool {
        let went = self.legs[leg].flow.map(|flow| flow.transport);
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return false };
        let chosen = |way: &Way| sip_transport(way.transport) == Transport::Udp && went == Some(Transport::Tcp);
        let Some(way) = attempt.current.clone().filter(chosen) else { return false };
        edge.decide(now, self.key, format!("{} does not support TCP: retrying over UDP", way.peer));
        attempt.again(Way { by_udp: true, ..way });
        self.legs[leg].end_with(ReasonSlug::Unreachable, EndedBy::Edge);
        self.ask_again(now, edge, branch, leg);
        true
    }
}
