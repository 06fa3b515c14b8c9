//! INVITEs over UDP that are longer than their trunk allows: noted with what makes them long, since fragments may be lost.

use std::time::Instant;

use trunkgate_resources::index::Place;
use trunkgate_resources::limits::HEADER_NAME_CHARS;
use trunkgate_sip::{Message, Method, Transmit, Transport};
use trunkgate_story::numbers::plain;

use crate::gateway::Gateway;

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
            let sid = self.calls.get(&at.key).map(|call| call.shared.legs.sid().to_owned()).unwrap_or_default();
            let fix = "try: oversize = \"tcp\", or headers.remove";
            self.edge.warn(&sid, format!("{text}; {fix}"), None);
        }
        self.edge.decide(now, at.key, text);
    }
}
