//! Health of trunks' addresses: OPTIONS requests, and the effects of their responses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::{Peer, Trunk};
use trunkgate_sip::{ClientId, SipMessage, Transport};
use trunkgate_story::change::{EdgeEvent, EdgeEventKind};
use trunkgate_story::dns;

use crate::edge::base::EdgeBase;
use crate::edge::trunk_states::TrunkStates;
use crate::lookups::index::CallIndex;
use crate::random::pick;
use crate::trunks::health::{HealthAction, TrunkAddress};

/// Returns the problem of an address that has not answered an OPTIONS in time.
fn overdue(index: &CallIndex, spot: &TrunkAddress) -> &'static str {
    let awaits_tls = spot.transport == Transport::Tls && !index.is_connected(&spot.trunk, spot.address);
    if awaits_tls { "TLS failed: connection not up in time for OPTIONS" } else { "no answer to OPTIONS" }
}

impl TrunkStates {
    /// Applies the addresses of the table.
    pub(super) fn configure_health(&mut self, base: &mut EdgeBase, now: Instant) {
        let (table, rng) = (Arc::clone(&base.table), &mut base.random.rng);
        let given_up = self.health.configure(now, &table, &mut pick(rng));
        for client in given_up {
            base.endpoint.drop_request(client);
        }
        base.metrics.trunk_up.retain(|name, _| table.trunk(name).is_some());
        base.metrics.siprec.failing.retain(|name, _| table.trunk(name).is_some());
        base.metrics.peer_up.clear();
        for trunk in table.trunks() {
            for peer in &trunk.peers {
                if let Some(fault) = self.health.unresolved(peer) {
                    let words = dns::words(fault, &peer.destination.host);
                    self.trunks.problem(now, &trunk.name, format!("{}: {words} (name_not_found)", peer.uri));
                }
                self.show_peer(base, &trunk.name, peer);
            }
            self.show_trunk(base, &trunk.name);
        }
    }

    /// Sends the OPTIONS that are due, and gives up on overdue responses.
    pub(super) fn check_peers(&mut self, base: &mut EdgeBase, now: Instant) {
        while let Some(due) = self.health.pop_due(now) {
            match due {
                HealthAction::Ask(spot) => self.ask_peer(base, now, &spot),
                HealthAction::Overdue(spot, client) => {
                    base.endpoint.drop_request(client);
                    self.peer_missed(base, now, &spot, overdue(&base.index, &spot).to_owned());
                    self.plan_check(base, now, &spot);
                }
            }
        }
        base.pump();
    }

    fn ask_peer(&mut self, base: &mut EdgeBase, now: Instant, spot: &TrunkAddress) {
        let uri = self.health.get(spot).map(|health| health.peer.clone()).unwrap_or_default();
        let listen = base.table.trunk(&spot.trunk).and_then(|trunk| trunk.listen.clone());
        let Some((flow, local)) = base.addressing.way(listen.as_deref(), spot.transport, spot.address) else {
            self.health.problem(spot, "no [[listen]] has its transport and address family".to_owned());
            return self.plan_check(base, now, spot);
        };
        let party = base.party(&spot.trunk);
        let client = base.endpoint.options(now, flow, local, party, &uri);
        self.health.began(now, spot, client);
    }

    /// Handles the response to an OPTIONS. Returns `false` if the request was no OPTIONS to a peer.
    pub(super) fn peer_answered(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        client: ClientId,
        code: u16,
        response: &SipMessage,
    ) -> bool {
        if !self.health.is_asked(client) {
            return false;
        }
        if code < 200 {
            return true;
        }
        let Some((spot, rtt)) = self.health.ended(now, client) else { return true };
        // Any other response comes from a peer that is up and takes calls.
        if matches!(code, 408 | 503) {
            self.peer_missed(base, now, &spot, format!("{code} to OPTIONS"));
        } else {
            base.metrics.trunk_keepalive_rtt_seconds.observe(rtt.as_secs_f64());
            self.peer_heard(base, &spot, Some(rtt));
            self.host_answered(base, now, &spot, code == 403);
        }
        if code == 503 {
            self.health.start_backoff(now, &spot, response);
        }
        self.plan_check(base, now, &spot);
        true
    }

    /// Records whether a peer rejects the `contact_host` of its trunk. Other trunks may answer OPTIONS with any code.
    fn host_answered(&mut self, base: &mut EdgeBase, now: Instant, spot: &TrunkAddress, is_rejected: bool) {
        let Some(host) = base.table.trunk(&spot.trunk).and_then(|trunk| trunk.own_hosts.contact.clone()) else {
            return;
        };
        if self.health.record_host(spot, is_rejected) {
            let problem = format!("403 Forbidden to OPTIONS: it does not know the host name {host}");
            base.warn("", format!("trunk {}: {}: {problem}", spot.trunk, spot.address), None);
            self.trunks.problem(now, &spot.trunk, format!("{}: {problem}", spot.address));
        }
    }

    /// Handles an OPTIONS that was not sent or not answered in time. Returns `false` if the request was no OPTIONS to
    /// a peer.
    pub(super) fn peer_unanswered(&mut self, base: &mut EdgeBase, now: Instant, client: ClientId, sent: bool) -> bool {
        let Some((spot, _)) = self.health.ended(now, client) else { return false };
        self.peer_missed(base, now, &spot, base.why_unanswered("OPTIONS", &spot, sent));
        self.plan_check(base, now, &spot);
        true
    }

    /// Records a response from an address.
    pub(super) fn peer_heard(&mut self, base: &mut EdgeBase, spot: &TrunkAddress, rtt: Option<Duration>) {
        // Every response to an INVITE comes through here: return early unless the state has changed.
        let Some(before) = self.health.record_response(spot, rtt).filter(|before| *before != Some(true)) else {
            return;
        };
        if let Some(peer) = self.shown_spot(spot).filter(|_| before == Some(false)) {
            base.log("", format!("trunk {}: {peer} answers again", spot.trunk), None);
            self.trunks.answers_again(&spot.trunk, &spot.address.to_string());
        }
        self.show_spot(base, spot);
    }

    /// Records that an address did not answer.
    pub(super) fn peer_missed(&mut self, base: &mut EdgeBase, now: Instant, spot: &TrunkAddress, problem: String) {
        let is_down_now = self.health.record_timeout(now, spot, problem.clone());
        if let Some(peer) = self.shown_spot(spot).filter(|_| is_down_now) {
            base.warn("", format!("trunk {}: {peer} is down: {problem}", spot.trunk), None);
            self.show_spot(base, spot);
        }
        self.trunks.problem(now, &spot.trunk, format!("{}: {problem}", spot.address));
    }

    /// Returns whether a trunk can take a call: one of its addresses is up, or a phone is registered. `None`:
    /// unknown.
    pub(super) fn is_trunk_up(&self, trunk: &Trunk) -> Option<bool> {
        let has_phone = !self.registrar.bindings(&trunk.name).is_empty();
        let up = self.health.is_trunk_up(trunk);
        // A trunk without peers is up only if a phone is registered.
        up.or(trunk.is_of_phones().then_some(false)).map(|up| up || has_phone)
    }

    /// Updates the gauge that shows whether a trunk is up.
    pub(super) fn show_trunk(&mut self, base: &mut EdgeBase, name: &str) {
        let Some(trunk) = base.table.trunk(name).cloned() else { return };
        let Some(up) = self.is_trunk_up(&trunk) else {
            base.metrics.trunk_up.remove(&trunk.name);
            return;
        };
        if base.metrics.trunk_up.insert(trunk.name.clone(), up) != Some(up) {
            self.trunk_changed(base, name, up);
        }
    }

    fn plan_check(&mut self, base: &mut EdgeBase, now: Instant, spot: &TrunkAddress) {
        let rng = &mut base.random.rng;
        self.health.plan(now, spot, &mut pick(rng));
    }

    fn shown_spot(&self, spot: &TrunkAddress) -> Option<String> {
        let health = self.health.get(spot)?;
        let via = spot.transport.via_token().to_ascii_lowercase();
        Some(format!("{} ({via} {})", health.peer, spot.address))
    }

    fn show_spot(&mut self, base: &mut EdgeBase, spot: &TrunkAddress) {
        let Some(uri) = self.health.get(spot).map(|health| health.peer.as_str()) else { return };
        let peers = base.table.trunk(&spot.trunk).into_iter().flat_map(|trunk| &trunk.peers);
        let Some(peer) = peers.into_iter().find(|peer| peer.uri == uri).cloned() else { return };
        self.show_peer(base, &spot.trunk, &peer);
    }

    fn show_peer(&mut self, base: &mut EdgeBase, trunk: &Arc<str>, peer: &Peer) {
        if let Some(up) = self.health.is_peer_up(trunk, peer) {
            base.metrics.peer_up.insert((Arc::clone(trunk), peer.uri.clone()), up);
        }
        self.show_trunk(base, trunk);
    }

    /// Publishes that a trunk is up or down.
    pub(super) fn trunk_changed(&mut self, base: &mut EdgeBase, trunk: &str, up: bool) {
        let what = if up { EdgeEventKind::TrunkUp } else { EdgeEventKind::TrunkDown };
        base.changed(EdgeEvent { trunk: Some(trunk.to_owned()), ..EdgeEvent::new(what) });
    }
}
