//! Outbound registrations with trunks (RFC 3261 §10.2): refreshed at half their lifetime, at the next address after a
//! failure, after a growing pause when all addresses fail (RFC 5626 §4.5), and removed at the end.
//!
//! | state | deadline | response |
//! | --- | --- | --- |
//! | waiting | next attempt | – |
//! | resolving | DNS timeout | addresses of the registrar |
//! | asking | timeout: next address | 2xx: registered; 423: asking for longer; other: next address, or waiting |
//! | registered | half the lifetime: asking again | – |

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use trunkgate_route::locate::NameFault;
use trunkgate_route::{Credentials, RegistrationSettings as Wanted, Trunk};
use trunkgate_sip::{ClientId, Flow, LocalAddress, RegisterRequest, SipMessage, SipPartyId, Transport};
use trunkgate_story::{FailureResponse, dns};

use crate::lookups::key::QueryId;
use crate::trunks::challenge::{auth_fault, auth_fix};
use crate::trunks::rejection::failure_response;

/// State of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistrationState {
    /// Waits for its next attempt.
    Waiting,
    /// Waits for the registrar's addresses.
    Resolving(QueryId),
    /// Waits for a response.
    Asking(ClientId),
    /// The registrar holds a binding of this edge.
    Registered,
}

/// Flow to the registrar that is being tried, or was successful.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RegistrarFlow {
    pub(crate) flow: Flow,
    pub(crate) local: LocalAddress,
}

/// Registration of one trunk.
#[derive(Debug)]
pub(crate) struct TrunkRegistration {
    pub(crate) party: SipPartyId,
    pub(crate) wanted: Wanted,
    /// Credentials; after a change, a failed registration is retried at once.
    pub(crate) auth: Option<Credentials>,
    pub(crate) listen: Option<String>,
    /// Host name for the Contact, if configured.
    pub(crate) contact_host: Option<Arc<str>>,
    /// Response timeout of one address.
    pub(crate) patience: Duration,
    pub(crate) state: RegistrationState,
    pub(crate) due: Option<Instant>,
    pub(crate) ways: VecDeque<(Transport, SocketAddr)>,
    pub(crate) asking: Option<RegistrarFlow>,
    pub(crate) call_id: Option<String>,
    pub(crate) cseq: u32,
    /// Requested lifetime in seconds: the configured one, or more if the registrar requires it.
    pub(crate) expires: u32,
    /// Consecutive failures, each of all addresses.
    pub(crate) failures: u32,
    /// Current binding and its expiry.
    pub(crate) bound: Option<(RegistrarFlow, Instant)>,
    pub(crate) problem: Option<String>,
    /// Status code of the registrar's last response; `None` if the last REGISTER got no response.
    pub(crate) code: Option<u16>,
    /// Text of the registrar's last response, if it adds to the status code.
    pub(crate) words: Option<String>,
    /// DNS failure, if the registrar's name had no address in the last attempt.
    pub(crate) name_fault: Option<NameFault>,
    /// Whether the registrar has received `auth`.
    pub(crate) has_shown: bool,
}

/// Outbound registrations by trunk.
#[derive(Debug, Default)]
pub struct Registrations {
    pub(crate) by_trunk: BTreeMap<Arc<str>, TrunkRegistration>,
    pub(crate) clients: FxHashMap<ClientId, Arc<str>>,
    pub(crate) queries: FxHashMap<QueryId, Arc<str>>,
    pub(crate) due: BTreeSet<(Instant, Arc<str>)>,
    /// REGISTERs that remove a binding: address of the registrar, and party.
    pub(crate) leaving: BTreeMap<ClientId, (IpAddr, SipPartyId)>,
    /// Registrar addresses: requests from there belong to their trunk.
    sources: HashMap<IpAddr, SipPartyId>,
}

impl Registrations {
    /// Returns the earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Returns whether a transaction belongs to a registration.
    pub fn owns(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id) || self.leaving.contains_key(&id)
    }

    /// Returns the number of bindings that are being removed.
    pub fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// Returns the trunk with a registrar at an address.
    pub fn party_at(&self, source: IpAddr) -> Option<SipPartyId> {
        self.sources.get(&source).copied()
    }

    /// Returns the party with a binding being removed at an address; only the response to the removal is expected from
    /// there.
    pub fn leaving_at(&self, source: IpAddr) -> Option<SipPartyId> {
        self.leaving.values().find(|(registrar, _)| *registrar == source).map(|(_, party)| *party)
    }

    /// Returns whether a party's credentials are still needed for a registration or its removal.
    pub(crate) fn needs_credentials(&self, party: SipPartyId) -> bool {
        self.by_trunk.values().any(|registration| registration.party == party)
            || self.leaving.values().any(|(_, leaving)| *leaving == party)
    }

    pub(crate) fn set_due(&mut self, name: &Arc<str>, at: Option<Instant>) {
        let Some(registration) = self.by_trunk.get_mut(name) else { return };
        if let Some(before) = std::mem::replace(&mut registration.due, at) {
            self.due.remove(&(before, name.clone()));
        }
        if let Some(at) = at {
            self.due.insert((at, name.clone()));
        }
    }

    /// Forgets the pending REGISTER or DNS query of a registration, so that its result is ignored, and sets the state
    /// to waiting.
    pub(crate) fn stop_waiting(&mut self, name: &Arc<str>) {
        match self.by_trunk.get(name).map(|registration| registration.state) {
            Some(RegistrationState::Resolving(query)) => drop(self.queries.remove(&query)),
            Some(RegistrationState::Asking(id)) => drop(self.clients.remove(&id)),
            Some(RegistrationState::Waiting | RegistrationState::Registered) | None => {}
        }
        if let Some(registration) = self.by_trunk.get_mut(name) {
            registration.state = RegistrationState::Waiting;
            registration.asking = None;
        }
        self.set_due(name, None);
    }

    /// Ends a DNS look-up of a registrar. `fault` is set if the name has no address. Returns the problem to report if
    /// no address is left.
    pub(crate) fn looked_up(&mut self, name: &Arc<str>, fault: Option<NameFault>) -> String {
        self.stop_waiting(name);
        let (Some(registration), Some(fault)) = (self.by_trunk.get_mut(name), fault) else {
            return UNREACHABLE.to_owned();
        };
        registration.name_fault = Some(fault);
        (registration.code, registration.words) = (None, None);
        dns::words(fault, &registration.wanted.registrar.host)
    }

    pub(crate) fn note_sources(&mut self) {
        let ways = |r: &TrunkRegistration| [r.asking, r.bound.map(|(way, _)| way)].map(|way| Some((way?, r.party)));
        let sources = self.by_trunk.values().flat_map(ways).flatten();
        self.sources = sources.map(|(way, party)| (way.flow.remote.ip(), party)).collect();
    }
}

/// Problem of a registrar with addresses that no listener can reach.
pub(crate) const UNREACHABLE: &str = "no [[listen]] has its transport and address family";

/// Returns the registrar's texts from Reason, Warning and similar headers; a reason phrase alone adds nothing to the
/// code.
fn said_of(code: u16, response: &SipMessage) -> String {
    let said = failure_response(code, false, response);
    let retry_after = said.retry_after.map(|seconds| format!(" (Retry-After {seconds})")).unwrap_or_default();
    match said.words() {
        Some(words) if says_more(&said) => format!(": it says {words}{retry_after}"),
        _ => retry_after,
    }
}

/// Returns whether a response has more information than its code.
const fn says_more(said: &FailureResponse) -> bool {
    !said.texts.is_empty() || said.q850.is_some()
}

impl TrunkRegistration {
    /// Describes the registrar's failure response.
    pub(crate) fn why(&self, code: u16, response: &SipMessage) -> String {
        match code {
            401 | 407 => format!("{code} to REGISTER: {}", auth_fault(self.auth.as_ref(), response)),
            403 if self.has_shown => format!(
                "403 to REGISTER with the trunk's `auth`: its user or password is rejected, or the account may not register{}",
                said_of(code, response)
            ),
            _ => format!("{code} to REGISTER{}", said_of(code, response)),
        }
    }

    /// Returns the fix for the last failure, and the time of the next attempt.
    pub(crate) fn fix(&self, now: Instant, trunk: &str) -> String {
        let next = self.due.map(|due| due.saturating_duration_since(now).as_secs() + 1);
        let next = next.map(|seconds| format!(" in {seconds} s,")).unwrap_or_default();
        let fix = self.remedy(trunk);
        format!("{fix}; the next try is{next} at once after a `trunkgate reload` that changes `auth` or `register`")
    }

    /// Returns the registration of a trunk before its first attempt.
    pub(crate) fn new(party: SipPartyId, trunk: &Trunk, wanted: &Wanted, patience: Duration) -> TrunkRegistration {
        TrunkRegistration {
            party,
            expires: u32::try_from(wanted.expires.as_secs()).unwrap_or(u32::MAX),
            wanted: wanted.clone(),
            auth: trunk.auth.clone(),
            listen: trunk.listen.clone(),
            contact_host: trunk.own_hosts.contact.clone(),
            patience,
            state: RegistrationState::Waiting,
            due: None,
            ways: VecDeque::new(),
            asking: None,
            call_id: None,
            cseq: 0,
            failures: 0,
            bound: None,
            problem: None,
            code: None,
            words: None,
            name_fault: None,
            has_shown: false,
        }
    }

    /// Returns whether a trunk still has this registration with this Contact.
    pub(crate) fn is_as_wanted(&self, trunk: &Trunk) -> bool {
        trunk.register.as_ref() == Some(&self.wanted)
            && trunk.listen == self.listen
            && trunk.own_hosts.contact == self.contact_host
    }

    /// Stores the text of the registrar's last response.
    pub(crate) fn note_words(&mut self, code: u16, response: &SipMessage) {
        let said = failure_response(code, false, response);
        self.words = said.words().filter(|_| says_more(&said));
    }

    /// Returns the fix for a failed registration; if the registrar gives a reason, that reason comes first.
    fn remedy(&self, trunk: &str) -> String {
        let own = self.words.as_ref().filter(|_| !matches!(self.code, None | Some(401 | 407)));
        match own {
            Some(words) => format!("ask the carrier about its answer, {words}; else {}", self.remedy_of_code(trunk)),
            None => self.remedy_of_code(trunk),
        }
    }

    fn remedy_of_code(&self, trunk: &str) -> String {
        let has_auth = self.auth.is_some();
        if let Some(fault) = self.name_fault {
            return dns::fix(fault, &self.wanted.registrar.host, &format!("`register` of [trunk.{trunk}]"));
        }
        match self.code {
            Some(401 | 407) if has_auth => auth_fix(trunk),
            Some(401 | 407) => format!("set `auth` in [trunk.{trunk}] to user and password of the account"),
            Some(403) if self.has_shown => {
                format!("{}; then ask the carrier whether the account may register", auth_fix(trunk))
            }
            Some(403) => format!(
                "check `user` of `register` in [trunk.{trunk}], and whether the carrier knows your public address (`trunkgate doctor` shows it)"
            ),
            Some(404 | 410 | 604) => format!(
                "check `registrar` and `user` of `register` in [trunk.{trunk}]: the registrar does not know that user"
            ),
            Some(500..=599) => {
                "ask the carrier for the state of its registrar: it responds, but accepts no registrations now"
                    .to_owned()
            }
            Some(code) => format!("ask the carrier why its registrar answers {code}"),
            None => format!(
                "check address, port and transport of `register` in [trunk.{trunk}], and the firewall (`trunkgate doctor`)"
            ),
        }
    }

    pub(crate) fn send(
        &mut self,
        endpoint: &mut trunkgate_sip::SipEndpoint,
        now: Instant,
        way: RegistrarFlow,
        expires: u32,
    ) -> ClientId {
        self.cseq = self.cseq.saturating_add(1);
        (self.code, self.name_fault) = (None, None);
        let Wanted { uri, user, .. } = &self.wanted;
        let host = uri.split_once(':').map_or("", |(_, rest)| rest).split(';').next().unwrap_or_default();
        let scheme = uri.split(':').next().unwrap_or("sip");
        let id = endpoint.register(
            now,
            RegisterRequest {
                flow: way.flow,
                local: way.local,
                party: self.party,
                uri: format!("{scheme}:{host}"),
                address: format!("{scheme}:{}@{host}", crate::lookups::rewrite::escape_user(user)),
                contact_user: crate::lookups::rewrite::escape_user(user),
                contact_host: self.contact_host.clone(),
                expires,
                call_id: self.call_id.clone(),
                cseq: self.cseq,
            },
        );
        self.call_id = self.call_id.take().or_else(|| endpoint.call_id(id).map(str::to_owned));
        id
    }
}
