//! Health of each trunk address, from OPTIONS (RFC 3261 §11) and calls. An address that does not answer, or has sent
//! 503 with Retry-After, is left out of searches. The state survives a reload.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashMap;
use trunkgate_media::canonical;
use trunkgate_route::locate::NameFault;
use trunkgate_route::{Destination, Peer, RoutingTable, Trunk};
use trunkgate_sip::{ClientId, Flow, HeaderName, SipMessage, Transport};
use trunkgate_story::view::{AddressView, state_word};
use trunkgate_story::wall::rfc3339;

use crate::limits::{
    HEALTH_BACKOFF_SECONDS, HEALTH_DOUBT, HEALTH_FAILURES, HEALTH_FIRST_SECONDS, HEALTH_HASTE, HEALTH_SPOTS,
    HEALTH_WAIT_SECONDS, RETRY_AFTER_MOST_SECONDS,
};

/// Address of a trunk with its transport.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrunkAddress {
    /// `NAME` of `[trunk.NAME]`; trunks that share an IP address are tracked separately.
    pub trunk: Arc<str>,
    /// Transport of the address.
    pub transport: Transport,
    /// IP address and port.
    pub address: SocketAddr,
}

impl TrunkAddress {
    /// Returns the key of a trunk's address, with an IPv4-mapped address as IPv4.
    pub fn new(trunk: &Arc<str>, transport: Transport, address: SocketAddr) -> TrunkAddress {
        TrunkAddress { trunk: Arc::clone(trunk), transport, address: canonical(address) }
    }

    /// Returns the key of a flow's remote address.
    pub fn of(trunk: &Arc<str>, flow: &Flow) -> TrunkAddress {
        TrunkAddress::new(trunk, flow.transport, flow.remote)
    }
}

/// Reason not to use an address now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfitReason {
    /// The address does not answer.
    Down,
    /// The address has sent 503 with Retry-After.
    Resting,
}

/// Health of one address.
#[derive(Debug, Default)]
pub struct AddressHealth {
    /// URI of the peer, as configured.
    pub peer: String,
    /// Interval of OPTIONS; zero if disabled.
    interval: Duration,
    /// Maximum time for a response.
    wait: Duration,
    /// Consecutive failures of OPTIONS and calls.
    pub failures: u32,
    /// Whether the address is up; `None` if not known yet.
    pub is_up: Option<bool>,
    /// Time at which the address went down.
    pub down_since: Option<Instant>,
    /// End of the back-off that a Retry-After of this address requested.
    pub rests_until: Option<Instant>,
    /// Pending OPTIONS and its time of sending.
    pending: Option<(ClientId, Instant)>,
    /// Time of the next OPTIONS, or of the timeout of the pending one.
    due: Option<Instant>,
    /// Time of the last OPTIONS.
    pub last_options: Option<Instant>,
    /// Round-trip time of the last answered OPTIONS.
    pub rtt: Option<Duration>,
    /// Last problem in plain text.
    pub last_problem: Option<String>,
    /// Whether the address answered the last OPTIONS with 403, although the trunk has a `contact_host`.
    is_host_rejected: bool,
}

/// Health of all addresses of all trunks.
#[derive(Debug, Default)]
pub struct HealthTable {
    by_spot: BTreeMap<TrunkAddress, AddressHealth>,
    pending: FxHashMap<ClientId, TrunkAddress>,
    /// Names of peers that could not be resolved.
    pub unresolved: HashMap<Destination, NameFault>,
    queue: BTreeSet<(Instant, TrunkAddress)>,
}

/// Action for an address at its deadline.
#[derive(Debug, PartialEq, Eq)]
pub enum HealthAction {
    /// An OPTIONS must be sent.
    Ask(TrunkAddress),
    /// The response to this OPTIONS is overdue.
    Overdue(TrunkAddress, ClientId),
}

impl HealthTable {
    /// Applies a table: new addresses get an OPTIONS soon, at a time drawn with `pick(total)` (a random number below
    /// `total`); removed ones are forgotten. Returns pending OPTIONS that are abandoned.
    pub fn configure(&mut self, now: Instant, table: &RoutingTable, pick: &mut dyn FnMut(u32) -> u32) -> Vec<ClientId> {
        let mut wanted: BTreeMap<TrunkAddress, (String, &Trunk)> = BTreeMap::new();
        for trunk in table.trunks() {
            for peer in &trunk.peers {
                for server in &peer.servers {
                    for address in server.sockets() {
                        let spot = TrunkAddress::new(&trunk.name, server.transport, address);
                        wanted.entry(spot).or_insert_with(|| (peer.uri.clone(), trunk));
                    }
                }
            }
        }
        let gone: Vec<TrunkAddress> = self.by_spot.keys().filter(|spot| !wanted.contains_key(*spot)).cloned().collect();
        let mut given_up = Vec::new();
        for spot in gone {
            self.set_due(&spot, None);
            let asked = self.by_spot.remove(&spot).and_then(|health| health.pending);
            given_up.extend(asked.map(|(client, _)| client));
        }
        given_up.iter().for_each(|client| drop(self.pending.remove(client)));
        for (spot, (peer, trunk)) in wanted.into_iter().take(HEALTH_SPOTS) {
            let health = self
                .by_spot
                .entry(spot.clone())
                .or_insert_with(|| AddressHealth { peer: peer.clone(), ..AddressHealth::default() });
            health.peer = peer;
            let waits = Duration::from_secs(HEALTH_WAIT_SECONDS);
            health.wait =
                if trunk.no_response_timeout.is_zero() { waits } else { trunk.no_response_timeout.min(waits) };
            let before = std::mem::replace(&mut health.interval, trunk.options_interval);
            let is_new = health.due.is_none();
            if health.interval.is_zero() {
                let asked = health.pending.take();
                given_up.extend(asked.map(|(client, _)| client));
                asked.map(|(client, _)| self.pending.remove(&client));
                self.set_due(&spot, None);
            } else if is_new || (before != health.interval && health.pending.is_none()) {
                let most = health.interval.min(Duration::from_secs(HEALTH_FIRST_SECONDS));
                let first = most * pick(1000) / 1000;
                self.set_due(&spot, Some(now + first));
            }
        }
        given_up
    }

    /// Returns the earliest deadline of an address.
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Removes the earliest deadline that has passed, and returns the action for its address; `None` if no deadline has
    /// passed or the address is unknown.
    pub fn pop_due(&mut self, now: Instant) -> Option<HealthAction> {
        let (at, spot) = self.queue.first().filter(|(at, _)| *at <= now)?.clone();
        self.queue.remove(&(at, spot.clone()));
        let health = self.by_spot.get_mut(&spot)?;
        health.due = None;
        match health.pending.take() {
            Some((client, _)) => {
                self.pending.remove(&client);
                Some(HealthAction::Overdue(spot, client))
            }
            None => Some(HealthAction::Ask(spot)),
        }
    }

    /// Notes that an OPTIONS was sent to an address.
    pub fn began(&mut self, now: Instant, spot: &TrunkAddress, client: ClientId) {
        let Some(health) = self.by_spot.get_mut(spot) else { return };
        health.pending = Some((client, now));
        health.last_options = Some(now);
        let due = now + health.wait;
        self.pending.insert(client, spot.clone());
        self.set_due(spot, Some(due));
    }

    /// Ends a pending OPTIONS. Returns its address, and the time since it was sent. `None` if the transaction is no
    /// such OPTIONS.
    pub fn ended(&mut self, now: Instant, client: ClientId) -> Option<(TrunkAddress, Duration)> {
        let spot = self.pending.remove(&client)?;
        let (_, sent) = self.by_spot.get_mut(&spot)?.pending.take()?;
        self.set_due(&spot, None);
        Some((spot, now.saturating_duration_since(sent)))
    }

    /// Returns whether a transaction is a pending OPTIONS of this table.
    pub fn is_asked(&self, client: ClientId) -> bool {
        self.pending.contains_key(&client)
    }

    /// Schedules the next OPTIONS: the interval ± 10 % at random, soon after a missed one, with growing intervals
    /// once the address is down.
    pub fn plan(&mut self, now: Instant, spot: &TrunkAddress, pick: &mut dyn FnMut(u32) -> u32) {
        let Some(health) = self.by_spot.get(spot).filter(|health| !health.interval.is_zero()) else { return };
        let pause = if (1..HEALTH_FAILURES).contains(&health.failures) {
            health.interval.min(HEALTH_DOUBT)
        } else {
            let over = health.failures.saturating_sub(HEALTH_FAILURES).min(8);
            let most = health.interval.max(Duration::from_secs(HEALTH_BACKOFF_SECONDS));
            health.interval.saturating_mul(1 << over).min(most)
        };
        let due = now + pause * (900 + pick(201)) / 1000;
        self.set_due(spot, Some(due));
    }

    /// Schedules OPTIONS at once to the failing addresses of a host that has just sent a call.
    pub fn hasten(&mut self, now: Instant, trunk: &Arc<str>, host: IpAddr) {
        let first = TrunkAddress { trunk: Arc::clone(trunk), transport: Transport::Udp, address: ([0; 4], 0).into() };
        let is_due = |(spot, health): &(&TrunkAddress, &AddressHealth)| {
            let waits = health.pending.is_none() && !health.interval.is_zero();
            let is_new = health.last_options.is_none_or(|at| now.saturating_duration_since(at) >= HEALTH_HASTE);
            spot.address.ip() == host && health.failures > 0 && waits && is_new
        };
        let of_trunk = self.by_spot.range(first..).take_while(|(spot, _)| spot.trunk == *trunk);
        let due: Vec<TrunkAddress> = of_trunk.filter(is_due).map(|(spot, _)| spot.clone()).collect();
        due.iter().for_each(|spot| self.set_due(spot, Some(now)));
    }

    /// Schedules OPTIONS at once to all failing addresses, since a reload may have fixed them. Returns pending
    /// OPTIONS that are abandoned.
    pub(crate) fn recheck(&mut self, now: Instant) -> Vec<ClientId> {
        let fails = |health: &AddressHealth| health.failures > 0 && !health.interval.is_zero();
        let due: Vec<TrunkAddress> =
            self.by_spot.iter().filter(|(_, health)| fails(health)).map(|(spot, _)| spot.clone()).collect();
        let mut given_up = Vec::new();
        for spot in due {
            let asked = self.by_spot.get_mut(&spot).and_then(|health| health.pending.take());
            given_up.extend(asked.map(|(client, _)| client));
            self.set_due(&spot, Some(now));
        }
        given_up.iter().for_each(|client| drop(self.pending.remove(client)));
        given_up
    }

    /// Notes a response. Returns the previous state of the address (inner `None` if unknown), or `None` if it is not
    /// an address of a trunk.
    pub fn record_response(&mut self, spot: &TrunkAddress, rtt: Option<Duration>) -> Option<Option<bool>> {
        let health = self.by_spot.get_mut(spot)?;
        health.failures = 0;
        health.rtt = rtt.or(health.rtt);
        health.down_since = None;
        Some(health.is_up.replace(true))
    }

    /// Notes a missing response. Returns whether the address is down from now on.
    pub fn record_timeout(&mut self, now: Instant, spot: &TrunkAddress, problem: String) -> bool {
        let Some(health) = self.by_spot.get_mut(spot) else { return false };
        health.failures = health.failures.saturating_add(1);
        health.last_problem = Some(problem);
        // An address that has never answered is down at once; without OPTIONS, its next call decides.
        let allowed = if health.interval.is_zero() || health.is_up.is_none() { 1 } else { HEALTH_FAILURES };
        let is_down_now = health.failures >= allowed && health.is_up.replace(false) != Some(false);
        if is_down_now {
            health.down_since = Some(now);
        }
        is_down_now
    }

    /// Sets the last problem of an address that answers, for status views.
    pub fn problem(&mut self, spot: &TrunkAddress, problem: String) {
        if let Some(health) = self.by_spot.get_mut(spot) {
            health.last_problem = Some(problem);
        }
    }

    /// Notes whether an address accepts the edge's host name in OPTIONS. Returns whether it rejects it from now on.
    pub fn record_host(&mut self, spot: &TrunkAddress, is_rejected: bool) -> bool {
        let before =
            self.by_spot.get_mut(spot).map(|health| std::mem::replace(&mut health.is_host_rejected, is_rejected));
        is_rejected && before == Some(false)
    }

    /// Starts a back-off from an address by the Retry-After of its 503 (RFC 3261 §21.5.4), if present.
    pub fn start_backoff(&mut self, now: Instant, spot: &TrunkAddress, response: &SipMessage) {
        if let Some((health, seconds)) = self.by_spot.get_mut(spot).zip(retry_after(response)) {
            let seconds = u64::from(seconds).min(RETRY_AFTER_MOST_SECONDS);
            health.rests_until = Some(now + Duration::from_secs(seconds));
        }
    }

    /// Ends the back-off of an address that has answered a call.
    pub fn took_call(&mut self, spot: &TrunkAddress) {
        if let Some(health) = self.by_spot.get_mut(spot) {
            health.rests_until = None;
        }
    }

    /// Returns the reason not to use an address now; `None` if it is usable.
    pub fn unfit(&self, now: Instant, spot: &TrunkAddress) -> Option<UnfitReason> {
        let health = self.by_spot.get(spot)?;
        if health.failures >= HEALTH_FAILURES && !health.interval.is_zero() {
            return Some(UnfitReason::Down);
        }
        health.rests_until.filter(|until| *until > now).map(|_| UnfitReason::Resting)
    }

    /// Returns whether any address of a peer is up; `None` if unknown. A peer with an unresolved name is down.
    pub(crate) fn is_peer_up(&self, trunk: &str, peer: &Peer) -> Option<bool> {
        let up = self.any_up(trunk, |health| health.peer == peer.uri);
        up.or_else(|| self.is_unresolved(peer).then_some(false))
    }

    /// Returns whether any address of a trunk is up; `None` if unknown. A trunk is down if none of its peers' names
    /// resolves.
    pub fn is_trunk_up(&self, trunk: &Trunk) -> Option<bool> {
        let is_lost = || !trunk.peers.is_empty() && trunk.peers.iter().all(|peer| self.is_unresolved(peer));
        self.any_up(&trunk.name, |_| true).or_else(|| is_lost().then_some(false))
    }

    /// Returns whether a peer's name could not be resolved.
    pub(crate) fn is_unresolved(&self, peer: &Peer) -> bool {
        self.unresolved(peer).is_some()
    }

    /// Returns the reason why a peer has no address; `None` if it has one, or has not been resolved yet.
    pub fn unresolved(&self, peer: &Peer) -> Option<NameFault> {
        self.unresolved.get(&peer.destination).copied().filter(|_| peer.servers.is_empty())
    }

    fn any_up(&self, trunk: &str, wanted: impl Fn(&AddressHealth) -> bool) -> Option<bool> {
        let known = self.of(trunk).filter(|(_, health)| wanted(health)).filter_map(|(_, health)| health.is_up);
        known.reduce(|a, b| a || b)
    }

    /// Returns the addresses of a trunk.
    pub fn of(&self, trunk: &str) -> impl Iterator<Item = (&TrunkAddress, &AddressHealth)> {
        self.by_spot.iter().filter(move |(spot, _)| *spot.trunk == *trunk)
    }

    /// Returns the health of an address.
    pub fn get(&self, spot: &TrunkAddress) -> Option<&AddressHealth> {
        self.by_spot.get(spot)
    }

    fn set_due(&mut self, spot: &TrunkAddress, due: Option<Instant>) {
        let Some(health) = self.by_spot.get_mut(spot) else { return };
        if let Some(old) = std::mem::replace(&mut health.due, due) {
            self.queue.remove(&(old, spot.clone()));
        }
        if let Some(due) = due {
            self.queue.insert((due, spot.clone()));
        }
    }
}

impl AddressHealth {
    /// Returns the health for display.
    pub fn view(&self, now: Instant, spot: &TrunkAddress, date: impl Fn(Instant) -> SystemTime) -> AddressView {
        let left = |until: Instant| until.saturating_duration_since(now);
        AddressView {
            transport: spot.transport,
            address: spot.address,
            state: state_word(self.is_up),
            down_since: self.down_since.map(|at| rfc3339(date(at))),
            last_options: self.last_options.map(|at| rfc3339(date(at))),
            rtt_ms: self.rtt.map(|rtt| (rtt.as_secs_f64() * 1e5).round() / 100.0),
            failures: self.failures,
            rests_seconds: self.rests_until.map(|until| left(until).as_secs()).filter(|seconds| *seconds > 0),
            next_check_seconds: self.due.map(|due| left(due).as_secs_f64().ceil() as u64),
            last_problem: self.last_problem.clone(),
            host_rejected: self.is_host_rejected,
        }
    }
}

/// Returns the seconds of a response's Retry-After; `None` without a valid one.
pub fn retry_after(response: &SipMessage) -> Option<u32> {
    response.header(HeaderName::RetryAfter).and_then(delta_seconds)
}

/// Parses a Retry-After: `120`, `120 (in a meeting)`, `120;duration=3600` (RFC 3261 §20.33). A number that is too large
/// counts as the maximum; `None` without a number.
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
