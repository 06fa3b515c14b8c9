//! Registered phones and PBXes (RFC 3261 §10.3). Each binding belongs to its flow, a connection or the source of
//! datagrams; calls use that flow, through any NAT on the path.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use trunkgate_media::canonical;
use trunkgate_route::Destination;
use trunkgate_sip::header::NameAddr;
use trunkgate_sip::{ConnectionId, Flow, HeaderName, ListenerId, ResponseSpec, Scheme, SipMessage, SipPartyId};

use crate::limits::{BINDING_CONTACT_BYTES, BINDING_SECONDS};
use crate::lookups::sip::extra;

/// Identity of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FlowKey {
    Datagrams(ListenerId, SocketAddr),
    Stream(ConnectionId),
}

impl FlowKey {
    pub(crate) fn of(flow: &Flow) -> FlowKey {
        match flow.connection {
            Some(connection) => FlowKey::Stream(connection),
            None => FlowKey::Datagrams(flow.listener, flow.remote),
        }
    }
}

/// Binding of a phone.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Flow to the phone.
    pub flow: Flow,
    /// Contact of the phone: Request-URI of calls to it.
    pub contact: String,
    pub(crate) until: Instant,
    pub(crate) call_id: Vec<u8>,
    pub(crate) cseq: u32,
}

/// Binding in plain data, for another process. The expiry is the remaining time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBinding {
    trunk: String,
    flow: Flow,
    contact: String,
    left: Duration,
    call_id: Vec<u8>,
    cseq: u32,
}

/// Bindings of phones by trunk.
#[derive(Debug, Default)]
pub struct Registrar {
    pub(crate) by_trunk: FxHashMap<Arc<str>, Vec<Binding>>,
    /// Party of each flow.
    flows: HashMap<FlowKey, SipPartyId>,
    pub(crate) due: BTreeSet<(Instant, Arc<str>)>,
}

/// Contact of a REGISTER with its requested lifetime in seconds; 0 removes the binding.
pub(crate) struct ContactRequest {
    pub(crate) contact: String,
    pub(crate) seconds: u32,
}

impl Registrar {
    /// Returns the party of a flow.
    pub fn party_of(&self, flow: &Flow) -> Option<SipPartyId> {
        self.flows.get(&FlowKey::of(flow)).copied()
    }

    /// Returns the bindings of a trunk's phones, the newest first.
    pub fn bindings(&self, trunk: &str) -> &[Binding] {
        self.by_trunk.get(trunk).map_or(&[], Vec::as_slice)
    }

    /// Returns the trunk with a phone registered from an address, preferably with the same port.
    pub fn trunk_at(&self, remote: SocketAddr) -> Option<Arc<str>> {
        let remote = canonical(remote);
        let at = |fits: &dyn Fn(SocketAddr) -> bool| {
            let mut trunks = self.by_trunk.iter();
            let found = trunks.find(|(_, bindings)| bindings.iter().any(|b| fits(canonical(b.flow.remote))));
            found.map(|(name, _)| name.clone())
        };
        at(&|known| known == remote).or_else(|| at(&|known| known.ip() == remote.ip()))
    }

    /// Returns all bindings in plain data, those of a trunk in their order.
    pub fn kept(&self, now: Instant) -> Vec<KeptBinding> {
        let all = self.by_trunk.iter().flat_map(|(trunk, bindings)| bindings.iter().map(move |one| (trunk, one)));
        let kept = |(trunk, binding): (&Arc<str>, &Binding)| KeptBinding {
            trunk: trunk.to_string(),
            flow: binding.flow,
            contact: binding.contact.clone(),
            left: binding.until.saturating_duration_since(now),
            call_id: binding.call_id.clone(),
            cseq: binding.cseq,
        };
        all.map(kept).collect()
    }

    /// Returns the total number of bindings.
    pub fn count(&self) -> usize {
        self.by_trunk.values().map(Vec::len).sum()
    }

    /// Returns the earliest expiry of a binding.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Returns the response that lists the current bindings (RFC 3261 §10.3 step 8).
    pub(crate) fn listing(&self, now: Instant, trunk: &str) -> ResponseSpec {
        let contact = |binding: &Binding| {
            let left = binding.until.saturating_duration_since(now).as_secs();
            extra("Contact", format!("<{}>;expires={left}", binding.contact))
        };
        let headers = self.bindings(trunk).iter().map(contact).collect();
        ResponseSpec { code: 200, headers, ..ResponseSpec::default() }
    }

    /// Removes the bindings of a trunk for which `wanted` returns false, and updates the look-ups.
    pub(crate) fn keep(&mut self, trunk: &Arc<str>, party: SipPartyId, wanted: impl Fn(&Binding) -> bool) {
        let Some(bindings) = self.by_trunk.get_mut(trunk) else { return };
        bindings.retain(wanted);
        self.flows.retain(|_, of| *of != party);
        for binding in bindings.iter() {
            self.flows.insert(FlowKey::of(&binding.flow), party);
        }
        self.due.retain(|(_, name)| name != trunk);
        match bindings.iter().map(|binding| binding.until).min() {
            Some(first) => drop(self.due.insert((first, trunk.clone()))),
            None => drop(self.by_trunk.remove(trunk)),
        }
    }
}

pub(crate) fn refusal(code: u16) -> ResponseSpec {
    ResponseSpec { code, ..ResponseSpec::default() }
}

/// Parses a Contact; returns `None` if it is not usable.
pub(crate) fn parse_contact(contact: &NameAddr<'_>, request: &SipMessage) -> Option<ContactRequest> {
    let text = std::str::from_utf8(contact.uri).ok()?;
    contact.parsed_uri().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))?;
    let sound = !text.is_empty() && text.len() <= BINDING_CONTACT_BYTES && !text.contains(['<', '>', '"', '\\', ' ']);
    if !sound || text.chars().any(char::is_control) {
        return None;
    }
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let own = contact.param("expires").and_then(|value| number(std::str::from_utf8(value).ok()?));
    let seconds = own.or_else(|| number(request.header_str(HeaderName::Expires)?)).unwrap_or(BINDING_SECONDS);
    Some(ContactRequest { contact: text.to_owned(), seconds: seconds.min(BINDING_SECONDS) })
}

impl KeptBinding {
    /// Returns the name of the binding's trunk.
    pub(crate) fn trunk(&self) -> &str {
        &self.trunk
    }

    /// Returns the flow to the phone.
    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Converts the entry to a binding whose remaining time counts from `now`.
    pub(crate) fn restored(self, now: Instant) -> Binding {
        let KeptBinding { trunk: _, flow, contact, left, call_id, cseq } = self;
        Binding { flow, contact, until: now + left, call_id, cseq }
    }
}

impl Binding {
    /// Returns the destination of a call to the phone.
    pub fn destination(&self) -> Destination {
        let transport = self.flow.transport;
        let (host, port) = (self.flow.remote.ip().to_string(), Some(self.flow.remote.port()));
        Destination { host, port, transport, is_fixed: true }
    }
}
