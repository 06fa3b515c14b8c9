//! INVITEs that are too long for a datagram: by TCP where the trunk wants that, and by UDP again where TCP is of no use. What
//! goes by UDP all the same is told with what makes it long: fragments get lost, and nobody says so.

use std::time::{Duration, Instant};

use trunkgate_sip::{Flow, Local, Message, Method, Transmit, Transport};

use crate::call::Call;
use crate::call::legs::leg_end::EndedBy;
use crate::call::search::attempt::Way;
use crate::call::search::branches::Branch;
use crate::call::search::search::sip_transport;
use crate::gateway::Gateway;
use crate::resources::edge::Edge;
use crate::resources::index::Place;
use crate::resources::limits::{HEADER_NAME_CHARS, OVERSIZE_SILENCE};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

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
    pub(crate) fn asked_again_by_udp(&mut self, now: Instant, edge: &mut Edge, branch: Branch, leg: usize) -> bool {
        let went = self.legs[leg].flow.map(|flow| flow.transport);
        let Some(attempt) = self.attempts.get_mut(branch) else { return false };
        let chosen = |way: &Way| sip_transport(way.transport) == Transport::Udp && went == Some(Transport::Tcp);
        let Some(way) = attempt.current.clone().filter(chosen) else { return false };
        edge.decide(now, self.key, format!("{} does not support TCP: retrying over UDP", way.peer));
        attempt.again(Way { by_udp: true, ..way });
        self.legs[leg].end_with(ReasonSlug::Unreachable, EndedBy::Edge);
        self.ask_again(now, edge, branch, leg);
        true
    }
}

/// What makes a request long: its body, and the three longest of its headers by name. No values: they hold numbers and keys.
fn what_is_long(request: &Message) -> String {
    // As they stand on the wire: `Name: value` and the end of the line.
    let mut headers: Vec<(&[u8], usize)> =
        request.fields().map(|(name, value)| (name, name.len() + value.len() + ": \r\n".len())).collect();
    headers.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let named = |(name, bytes): &(&[u8], usize)| {
        format!("{} {bytes}", plain(&String::from_utf8_lossy(name), HEADER_NAME_CHARS))
    };
    let longest = headers.iter().take(3).map(named).collect::<Vec<_>>().join(", ");
    format!("its longest headers are {longest}, its body has {}", request.body().len())
}

impl Gateway {
    /// Tells of an INVITE that goes by UDP and is longer than its trunk's `udp_mtu`: in the call's trace each time, in the log
    /// once a minute and trunk.
    pub(crate) fn note_oversize(&mut self, now: Instant, at: Place, transmit: &Transmit) {
        let what = &transmit.what;
        let is_invite = what.method == Method::Invite && what.code.is_none() && !what.again;
        if !is_invite || transmit.flow.transport != Transport::Udp {
            return;
        }
        let name = self.edge.party_name(what.party);
        let Some(limit) = self.edge.table.trunk(&name).map(|trunk| trunk.udp_mtu) else { return };
        let bytes = transmit.bytes.len();
        if bytes <= limit {
            return;
        }
        let Ok(request) = Message::parse(transmit.bytes.clone()) else { return };
        let text = format!(
            "INVITE of {bytes} bytes to {name} over UDP exceeds udp_mtu ({limit}): fragments may be lost; {}",
            what_is_long(&request)
        );
        if self.edge.trunks.may_tell_oversize(now, &name) {
            let sid = self.calls.get(&at.key).map(|call| call.sid().to_owned()).unwrap_or_default();
            let fix = "try: oversize = \"tcp\", or headers.remove";
            self.edge.warn(&sid, format!("{text}; {fix}"), None);
        }
        self.edge.decide(now, at.key, text);
    }
}
