//! The peers asked by OPTIONS, and what calls tell of them: carried out on the edge, with its log lines and metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::{Peer, Trunk};
use trunkgate_sip::{ClientId, HeaderName, Message, Transport};
use trunkgate_story::unsent;
use trunkgate_story::view::{AddressView, PeerView, TrunkView};

use crate::edge::{Edge, pick};
use crate::health::{Due, Health, Spot};
use crate::io::Cause;
use crate::trunks::state_word;

impl Edge {
    /// Takes over which addresses the table has.
    pub fn configure_health(&mut self, now: Instant) {
        let (table, rng) = (Arc::clone(&self.table), &mut self.rng);
        let given_up = self.health.configure(now, &table, &mut pick(rng));
        for client in given_up {
            self.endpoint.forget(client);
        }
        self.metrics.trunk_up.retain(|name, _| table.trunk(name).is_some());
        self.metrics.peer_up.clear();
        for trunk in table.trunks() {
            for peer in &trunk.peers {
                if self.health.is_unresolved(peer) {
                    let host = &peer.destination.host;
                    self.trunks.problem(now, &trunk.name, format!("{host} is not found in DNS (name_not_found)"));
                }
                self.show_peer(&trunk.name, peer);
            }
            self.show_trunk(&trunk.name);
        }
    }

    /// Asks whoever is to be asked, and gives up on answers that are overdue.
    pub fn check_peers(&mut self, now: Instant) {
        while let Some(due) = self.health.pop_due(now) {
            match due {
                Due::Ask(spot) => self.ask_peer(now, &spot),
                Due::Overdue(spot, client) => {
                    self.endpoint.forget(client);
                    self.peer_missed(now, &spot, "no answer to OPTIONS".to_owned());
                    self.plan_check(now, &spot);
                }
            }
        }
        self.pump();
    }

    fn ask_peer(&mut self, now: Instant, spot: &Spot) {
        let uri = self.health.get(spot).map(|health| health.peer.clone()).unwrap_or_default();
        let listen = self.table.trunk(&spot.trunk).and_then(|trunk| trunk.listen.clone());
        let Some((flow, local)) = self.addressing.way(listen.as_deref(), spot.transport, spot.address) else {
            self.health.problem(spot, "no listener can reach it".to_owned());
            return self.plan_check(now, spot);
        };
        let party = self.party(&spot.trunk);
        let client = self.endpoint.options(now, flow, local, party, &uri);
        self.health.began(now, spot, client);
    }

    /// An answer to an OPTIONS of ours; `false`: it is none.
    pub fn peer_answered(&mut self, now: Instant, client: ClientId, code: u16, response: &Message) -> bool {
        if !self.health.is_asked(client) {
            return false;
        }
        if code < 200 {
            return true;
        }
        let Some((spot, rtt)) = self.health.ended(now, client) else { return true };
        // Any other answer comes from somebody who is there and takes calls.
        if matches!(code, 408 | 503) {
            self.peer_missed(now, &spot, format!("{code} to OPTIONS"));
        } else {
            self.metrics.trunk_keepalive_rtt_seconds.observe(rtt.as_secs_f64());
            self.peer_heard(&spot, Some(rtt));
        }
        if code == 503 {
            self.peer_rests(now, &spot, response);
        }
        self.plan_check(now, &spot);
        true
    }

    /// An OPTIONS of ours that could not be sent, or has had its time; `false`: it is none.
    pub fn peer_unanswered(&mut self, now: Instant, client: ClientId, sent: bool) -> bool {
        let Some((spot, _)) = self.health.ended(now, client) else { return false };
        let problem = self.why_unanswered("OPTIONS", &spot, sent);
        self.peer_missed(now, &spot, problem);
        self.plan_check(now, &spot);
        true
    }

    /// Why a request of ours has no answer.
    pub fn why_unanswered(&self, what: &str, spot: &Spot, sent: bool) -> String {
        match &self.cause {
            _ if sent => format!("no answer to {what}"),
            Some(Cause::Tls(why)) => format!("TLS failed: {why}"),
            Some(Cause::Stream(why)) => format!("{what} could not be sent: {why}"),
            Some(Cause::Unsent(why)) => unsent::text(*why, &spot.address.to_string()),
            None if spot.transport == Transport::Udp => {
                format!("{what} was refused: no listener at this port, or a firewall rejects it")
            }
            None => format!("{what} could not be sent"),
        }
    }

    /// A sign of life of an address.
    pub fn peer_heard(&mut self, spot: &Spot, rtt: Option<Duration>) {
        // Each answer to an INVITE comes by here: nothing is done where nothing has changed.
        let Some(before) = self.health.heard(spot, rtt).filter(|before| *before != Some(true)) else { return };
        if let Some(peer) = self.shown_spot(spot).filter(|_| before == Some(false)) {
            self.log("", format!("trunk {}: {peer} answers again", spot.trunk), None);
        }
        self.show_spot(spot);
    }

    /// An address did not answer.
    pub fn peer_missed(&mut self, now: Instant, spot: &Spot, problem: String) {
        let is_down_now = self.health.missed(spot, problem.clone());
        if let Some(peer) = self.shown_spot(spot).filter(|_| is_down_now) {
            self.warn("", format!("trunk {}: {peer} is down: {problem}", spot.trunk), None);
            self.show_spot(spot);
        }
        self.trunks.problem(now, &spot.trunk, format!("{}: {problem}", spot.address));
    }

    /// 503 with Retry-After (RFC 3261 §21.5.4): that address is left alone for so long.
    pub fn peer_rests(&mut self, now: Instant, spot: &Spot, response: &Message) {
        if let Some(seconds) = response.header(HeaderName::RetryAfter).and_then(delta_seconds) {
            self.health.rest(now, spot, seconds);
        }
    }

    /// A trunk at a glance.
    pub fn trunk_view(&self, now: Instant, trunk: &Trunk) -> TrunkView {
        let peer = |peer: &Peer| PeerView {
            uri: peer.uri.clone(),
            state: state_word(self.health.is_peer_up(&trunk.name, peer)),
            addresses: self
                .health
                .of(&trunk.name)
                .filter(|(_, health)| health.peer == peer.uri)
                .map(|(spot, health)| self.address_view(now, spot, health))
                .collect(),
        };
        let peers = trunk.peers.iter().map(peer).collect();
        let view = self.trunks.view(now, |at| self.date(at), trunk, self.is_trunk_up(trunk), peers);
        let phones = trunk.accept_register.then(|| self.phones_view(&trunk.name));
        TrunkView { registration: self.registration_view(now, &trunk.name), phones, ..view }
    }

    /// Whether a call to a trunk may arrive: an address of it is up, or a phone has registered. `None`: nothing is known.
    pub fn is_trunk_up(&self, trunk: &Trunk) -> Option<bool> {
        let has_phone = !self.registrar.bindings(&trunk.name).is_empty();
        let up = self.health.is_trunk_up(trunk);
        // Without peers nothing but phones is there to be known.
        up.or(trunk.is_of_phones().then_some(false)).map(|up| up || has_phone)
    }

    /// Shows in the metrics whether a trunk is up.
    pub fn show_trunk(&mut self, name: &str) {
        let Some(trunk) = self.table.trunk(name).cloned() else { return };
        let Some(up) = self.is_trunk_up(&trunk) else {
            self.metrics.trunk_up.remove(&trunk.name);
            return;
        };
        if self.metrics.trunk_up.insert(trunk.name.clone(), up) != Some(up) {
            self.trunk_changed(name, up);
        }
    }

    fn address_view(&self, now: Instant, spot: &Spot, health: &Health) -> AddressView {
        let rests = health.rests_until.map(|until| until.saturating_duration_since(now).as_secs());
        AddressView {
            transport: spot.transport,
            address: spot.address,
            state: state_word(health.is_up),
            last_options: health.last_options.map(|at| trunkgate_story::wall::rfc3339(self.date(at))),
            rtt_ms: health.rtt.map(|rtt| (rtt.as_secs_f64() * 1e5).round() / 100.0),
            failures: health.failures,
            rests_seconds: rests.filter(|seconds| *seconds > 0),
            last_problem: health.last_problem.clone(),
        }
    }

    fn plan_check(&mut self, now: Instant, spot: &Spot) {
        let rng = &mut self.rng;
        self.health.plan(now, spot, &mut pick(rng));
    }

    fn shown_spot(&self, spot: &Spot) -> Option<String> {
        let health = self.health.get(spot)?;
        let via = spot.transport.via_token().to_ascii_lowercase();
        Some(format!("{} ({via} {})", health.peer, spot.address))
    }

    fn show_spot(&mut self, spot: &Spot) {
        let Some(uri) = self.health.get(spot).map(|health| health.peer.as_str()) else { return };
        let peers = self.table.trunk(&spot.trunk).into_iter().flat_map(|trunk| &trunk.peers);
        let Some(peer) = peers.into_iter().find(|peer| peer.uri == uri).cloned() else { return };
        self.show_peer(&spot.trunk, &peer);
    }

    fn show_peer(&mut self, trunk: &Arc<str>, peer: &Peer) {
        if let Some(up) = self.health.is_peer_up(trunk, peer) {
            self.metrics.peer_up.insert((Arc::clone(trunk), peer.uri.clone()), up);
        }
        self.show_trunk(trunk);
    }
}

/// `120`, `120 (in a meeting)`, `120;duration=3600` (RFC 3261 §20.33).
fn delta_seconds(value: &[u8]) -> Option<u32> {
    let digits: Vec<u8> = value.trim_ascii_start().iter().copied().take_while(u8::is_ascii_digit).collect();
    let text = std::str::from_utf8(&digits).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3261_20_33_retry_after_is_read() {
        for (value, seconds) in [
            ("120", Some(120)),
            (" 18000;duration=3600", Some(18_000)),
            ("5 (I'm in a meeting)", Some(5)),
            ("99999999999999999999", Some(u32::MAX)),
            ("", None),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(delta_seconds(value.as_bytes()), seconds, "{value}");
        }
    }
}
