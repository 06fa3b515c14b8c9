//! Attempt to reach one target: its candidates (peers and their addresses) in order, and the meaning of its responses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::canonical;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::limits::{
    ADDRESSES_PER_PEER, AGENT_NEWS_SECONDS, RING_SECONDS, URI_NO_RESPONSE_SECONDS, URI_RING_SECONDS,
};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::registration::registrar::Binding;
use trunkgate_resources::trunks::health::{TrunkAddress, UnfitReason};
use trunkgate_route::{Agent, CallTarget, Destination, DestinationServer, Peer, TargetSpec, Transport, Trunk};
use trunkgate_sip::Flow;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::redact;

use crate::call::negotiation::early::EarlyMedia;
use crate::call::search::agreement::{PeerAgreement, TrunkCongestion, is_of_one_server};
use crate::call::search::controller::TargetResult;
use crate::call::words::answer::{TargetFailure, seen_code};

/// Status codes on which a bare URI counts as failed; a trunk has its own list.
const URI_FAILOVER_ON: [u16; 7] = [408, 429, 480, 500, 502, 503, 504];

/// Route to a target: a peer and, once resolved, its address.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// Peer URI without a password; names the peer in logs, views, records and metrics.
    pub(crate) peer: String,
    /// Host and port for the Request-URI.
    pub(crate) destination: Destination,
    /// Transport from the URI, or from DNS.
    pub(crate) transport: Transport,
    /// Address of the peer; `None` until its host has been resolved.
    pub(crate) address: Option<SocketAddr>,
    /// True once the peer has refused SRTP and is called again without it.
    pub(crate) plain: bool,
    /// True once the peer has refused bodies other than SDP and is called again with SDP alone.
    pub(crate) only_sdp: bool,
    /// True if an INVITE too long for UDP must still use UDP, because TCP failed.
    pub(crate) by_udp: bool,
    /// Flow and Contact of a phone that is registered at the edge.
    pub(crate) registered: Option<(Flow, String)>,
}

impl Candidate {
    /// Returns the peer, with its address if the peer is a host name.
    pub(crate) fn shown(&self) -> String {
        match self.address.filter(|address| self.destination.host != address.ip().to_string()) {
            Some(address) => format!("{} {address}", self.peer),
            None => self.peer.clone(),
        }
    }

    /// Returns the candidates of a peer: one for each server address, or a single unresolved one.
    fn all(uri: &str, destination: Destination, servers: &[DestinationServer]) -> Vec<Candidate> {
        let way = Candidate {
            peer: redact::sip_uri(uri),
            transport: destination.transport,
            destination,
            address: None,
            plain: false,
            only_sdp: false,
            by_udp: false,
            registered: None,
        };
        if servers.is_empty() { vec![way] } else { way.at(servers) }
    }

    /// Returns the key of this address in its trunk's health table; `None` before DNS resolution.
    pub(crate) fn spot(&self, trunk: &Arc<Trunk>) -> Option<TrunkAddress> {
        Some(TrunkAddress::new(&trunk.name, self.transport, self.address?))
    }

    /// Returns one candidate for each server address in order, at most [`ADDRESSES_PER_PEER`].
    fn at(&self, servers: &[DestinationServer]) -> Vec<Candidate> {
        let sockets = servers.iter().flat_map(|server| server.sockets().map(|socket| (server.transport, socket)));
        let way = |(transport, socket)| Candidate { transport, address: Some(canonical(socket)), ..self.clone() };
        sockets.take(ADDRESSES_PER_PEER).map(way).collect()
    }
}

/// State of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptState {
    /// No candidate is in progress.
    Idle,
    /// The trunk has reached a limit; the attempt waits for its turn.
    Waiting {
        /// End of the wait.
        until: Instant,
        /// Limit that was reached.
        reason: ReasonSlug,
    },
    /// All sessions of the agent are in use; the attempt waits in the agent's queue.
    Queued {
        /// Start of the wait.
        since: Instant,
        /// End of the wait.
        until: Instant,
    },
    /// The caller will be sent media ports that are not bound yet.
    Binding,
    /// The agent has failed in this call and is tried again after a pause.
    Pausing,
    /// The host of a candidate is being resolved.
    Resolving(QueryId),
    /// An INVITE is in progress on this leg.
    Calling(LegId),
    /// The agent's WebSocket is being opened for this leg.
    Opening(LegId),
    /// A party has answered on this leg, and is prompted to accept the caller.
    Asking(LegId),
}

impl AttemptState {
    /// Returns the leg of an INVITE in progress.
    pub(crate) const fn calling(self) -> Option<LegId> {
        if let AttemptState::Calling(leg) = self { Some(leg) } else { None }
    }

    /// Returns the leg of an agent that is being opened.
    pub(crate) const fn opening(self) -> Option<LegId> {
        if let AttemptState::Opening(leg) = self { Some(leg) } else { None }
    }

    /// Returns the leg of a party that is being prompted.
    pub(crate) const fn asking(self) -> Option<LegId> {
        if let AttemptState::Asking(leg) = self { Some(leg) } else { None }
    }
}

/// Attempt to reach one target.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Target as specified in a route.
    pub(crate) spec: TargetSpec,
    /// Agent, if the target is one.
    pub(crate) agent: Option<Arc<Agent>>,
    /// Trunk of the target; `None` for a bare URI or an agent.
    pub(crate) trunk: Option<Arc<Trunk>>,
    /// Trunk that owns the address of a bare URI; its limits apply.
    pub(crate) governs: Option<Arc<Trunk>>,
    /// True if an agent or an operator named the URI in an answered call.
    pub(crate) in_call: bool,
    /// Caller ID in the last INVITE, with masked numbers.
    pub(crate) caller_id: Option<Box<str>>,
    /// Further headers of the INVITE, set by an application.
    pub(crate) headers: Vec<(String, String)>,
    /// Number to be called instead of the number that the caller dialled.
    pub(crate) number: Option<String>,
    /// Request-URI: a bare URI as written, or the target of a redirection.
    pub(crate) uri: Option<String>,
    /// Bare URI as displayed, without a password.
    shown_uri: Option<String>,
    /// Maximum ringing time.
    pub(crate) ring_timeout: Duration,
    /// Maximum time without any response; zero disables the limit.
    pub(crate) no_response_timeout: Duration,
    /// State of the attempt.
    pub(crate) progress: AttemptState,
    /// Candidate that is being resolved or called.
    pub(crate) current: Option<Candidate>,
    /// True while the attempt counts against its trunk's limits.
    pub(crate) is_counted: bool,
    /// Number of port pairs that could not be bound so far.
    pub(crate) bind_failures: u8,
    /// Number of streams to the agent that failed in a row before this attempt.
    pub(crate) retried: u32,
    /// Name of the party in the last INVITE's Request-URI, as of `redirect::name_of`.
    pub(crate) asked: String,
    /// Time of the first INVITE.
    pub(crate) called_at: Option<Instant>,
    /// True once a provisional response above 100 has arrived.
    pub(crate) has_rung: bool,
    /// Descriptions from early dialogs.
    pub(crate) early: EarlyMedia,
    left: VecDeque<Candidate>,
    failure: Option<TargetFailure>,
    agreement: PeerAgreement,
}

impl Attempt {
    /// Creates the attempt for one target; `None` for applications, refusals and simultaneous targets.
    pub(crate) fn new(target: CallTarget, route_ring_timeout: Option<Duration>) -> Option<Attempt> {
        let longest = Duration::from_secs(RING_SECONDS);
        let ring = |own: Duration| match route_ring_timeout.unwrap_or(own) {
            Duration::ZERO => longest,
            timeout => timeout.min(longest),
        };
        let (spec, mut called, mut further) = (target.spec(), None, Vec::new());
        let in_call = matches!(target, CallTarget::Uri { in_call: true, .. });
        let (trunk, number, uri, ring_timeout, no_response_timeout, left) = match target {
            CallTarget::Trunk { trunk, number, peers } => {
                let ways = |p: Peer| Candidate::all(&p.uri, p.destination, &p.servers);
                let times = (ring(trunk.ring_timeout), trunk.no_response_timeout);
                (Some(trunk), number, None, times.0, times.1, peers.into_iter().flat_map(ways).collect())
            }
            CallTarget::Uri { uri, destination, headers, .. } => {
                further = headers;
                let servers: Vec<DestinationServer> = destination.literal().into_iter().collect();
                let ways = VecDeque::from(Candidate::all(&uri, destination, &servers));
                let ring = ring(Duration::from_secs(URI_RING_SECONDS));
                (None, None, Some(uri), ring, Duration::from_secs(URI_NO_RESPONSE_SECONDS), ways)
            }
            CallTarget::Agent(agent) => {
                let own = match agent.connect_timeout {
                    Duration::ZERO => longest,
                    timeout => timeout + Duration::from_secs(AGENT_NEWS_SECONDS),
                };
                let wait = ring(own).min(own);
                called = Some(agent);
                (None, None, None, wait, Duration::ZERO, VecDeque::new())
            }
            CallTarget::App(_) | CallTarget::Reject(_) | CallTarget::RingAll(_) => return None,
        };
        Some(Attempt {
            caller_id: None,
            spec,
            agent: called,
            trunk,
            governs: None,
            in_call,
            headers: further,
            number,
            shown_uri: uri.as_deref().map(redact::sip_uri),
            uri,
            ring_timeout,
            no_response_timeout,
            progress: AttemptState::Idle,
            current: None,
            is_counted: false,
            bind_failures: 0,
            retried: 0,
            asked: String::new(),
            called_at: None,
            has_rung: false,
            early: EarlyMedia::default(),
            left,
            failure: None,
            agreement: PeerAgreement::default(),
        })
    }

    /// Records the INVITE sent on a leg: the party called and the caller ID.
    pub(crate) fn calls(&mut self, now: Instant, leg: LegId, asked: String, caller_id: Box<str>) {
        self.progress = AttemptState::Calling(leg);
        self.called_at.get_or_insert(now);
        self.asked = asked;
        self.caller_id = Some(caller_id);
        self.early = EarlyMedia::default();
    }

    /// Returns the destination of a bare URI; `None` for any other target.
    pub(crate) fn bare_destination(&self) -> Option<&Destination> {
        match &self.spec {
            TargetSpec::Uri { destination, .. } => Some(destination),
            TargetSpec::Trunk { .. }
            | TargetSpec::Agent(_)
            | TargetSpec::App(_)
            | TargetSpec::Play(_)
            | TargetSpec::Voicemail(_)
            | TargetSpec::Conference(_)
            | TargetSpec::Reject(_)
            | TargetSpec::RingAll(_) => None,
        }
    }

    /// Returns the trunk with the limits that apply to this attempt; `None` for an agent, and for a URI that leads to
    /// no trunk.
    pub(crate) fn limited_by(&self) -> Option<&Arc<Trunk>> {
        self.trunk.as_ref().or(self.governs.as_ref())
    }

    /// Returns the leg on which the attempt calls, opens or prompts its target; `None` before.
    pub(crate) fn leg(&self) -> Option<LegId> {
        self.progress.calling().or(self.progress.opening()).or(self.progress.asking())
    }

    /// Returns the target's name for logs, trace and metrics: agent, trunk, or URI without a password.
    pub(crate) fn name(&self) -> &str {
        match (&self.agent, &self.trunk, &self.shown_uri) {
            (Some(agent), _, _) => &agent.name,
            (None, Some(trunk), _) => &trunk.name,
            (None, None, Some(uri)) => uri,
            (None, None, None) => "",
        }
    }

    /// Removes candidates that are unfit now, unless all are. Returns them with the reasons.
    pub(crate) fn leave_out(
        &mut self,
        unfit: impl Fn(&Arc<Trunk>, &Candidate) -> Option<UnfitReason>,
    ) -> Vec<(Candidate, UnfitReason)> {
        let Some(trunk) = &self.trunk else { return Vec::new() };
        let judged: Vec<Option<UnfitReason>> = self.left.iter().map(|way| unfit(trunk, way)).collect();
        if judged.iter().all(Option::is_some) {
            return Vec::new();
        }
        let mut left_out = Vec::new();
        for (way, unfit) in std::mem::take(&mut self.left).into_iter().zip(judged) {
            match unfit {
                Some(unfit) => left_out.push((way, unfit)),
                None => self.left.push_back(way),
            }
        }
        left_out
    }

    /// Removes and returns the next candidate.
    pub(crate) fn next_candidate(&mut self) -> Option<Candidate> {
        self.left.pop_front()
    }

    /// Puts a candidate back in front of all others.
    pub(crate) fn again(&mut self, way: Candidate) {
        self.left.push_front(way);
    }

    /// Puts the phones registered with the target's trunk in front of its peers.
    pub(crate) fn registered(&mut self, bindings: &[Binding]) {
        for binding in bindings.iter().take(ADDRESSES_PER_PEER).rev() {
            let destination = binding.destination();
            self.left.push_front(Candidate {
                peer: "registered".to_owned(),
                transport: destination.transport,
                destination,
                address: Some(binding.flow.remote),
                plain: false,
                only_sdp: false,
                // A registered phone is reachable only over the flow on which it registered.
                by_udp: true,
                registered: Some((binding.flow, binding.contact.clone())),
            });
        }
    }

    /// Replaces a resolved candidate with one candidate for each address.
    pub(crate) fn resolved(&mut self, way: &Candidate, servers: &[DestinationServer]) {
        for found in way.at(servers).into_iter().rev() {
            self.left.push_front(found);
        }
    }

    /// Records a failed candidate. The response of one peer outweighs failures of peers that were not reached.
    pub(crate) fn candidate_failed(&mut self, failure: TargetFailure) {
        if !failure.answered().is_some_and(|code| self.is_congestion(code)) {
            self.agreement.broken();
        }
        let keeps = failure.code.is_none() && self.failure.as_ref().is_some_and(|f| f.code.is_some());
        if !keeps {
            self.failure = Some(failure);
        }
    }

    /// Returns the failure of the target, once no candidate is left.
    pub(crate) fn into_failure(self) -> TargetFailure {
        self.failure.unwrap_or_else(|| TargetFailure::unreached(ReasonSlug::Unreachable))
    }

    /// Returns a copy of the failure of the target.
    pub(crate) fn why_failed(&self) -> TargetFailure {
        self.failure.clone().unwrap_or_else(|| TargetFailure::unreached(ReasonSlug::Unreachable))
    }

    /// Returns whether a status code is in the trunk's `congested_on`.
    fn is_congestion(&self, code: u16) -> bool {
        self.trunk.as_ref().is_some_and(|trunk| trunk.congested_on.contains(&code))
    }

    /// Returns the congestion of the trunk if a response with a code of its `congested_on` proves it: the code concerns
    /// the whole trunk (429), or all its peers have now sent such a code.
    pub(crate) fn congestion(&mut self, code: u16, retry_after: Option<u32>) -> Option<TrunkCongestion> {
        if !self.is_congestion(code) {
            return None;
        }
        if !is_of_one_server(code) {
            return Some(TrunkCongestion { retry_after });
        }
        let peer = self.current.as_ref().map(|way| way.peer.as_str()).unwrap_or_default();
        self.agreement.add(peer, retry_after, &mut self.left)
    }

    /// Classifies a final non-2xx response. `is_congested` means that the trunk is congested ([`Attempt::congestion`]),
    /// which ends the attempt.
    pub(crate) fn classify_response(&self, code: u16, q850: Option<u8>, is_congested: bool) -> FailureScope {
        let failover_on = self.trunk.as_ref().map_or(&URI_FAILOVER_ON[..], |t| &t.failover_on);
        let failure = |reason| TargetFailure { q850, ..TargetFailure::with_code(seen_code(code), reason) };
        match code {
            // The endpoint has already answered every challenge that it has credentials for.
            401 | 407 => FailureScope::Target(TargetResult::Failed(failure(ReasonSlug::CredentialsRefused))),
            // The contacts are tried before this result counts.
            300..=399 => FailureScope::Target(TargetResult::Failed(failure(ReasonSlug::TargetRejected))),
            _ if is_congested => FailureScope::Target(TargetResult::Failed(failure(ReasonSlug::TrunkCongested))),
            _ if self.is_congestion(code) => FailureScope::Peer(failure(ReasonSlug::TargetRejected)),
            486 | 600 => FailureScope::Target(TargetResult::Busy(failure(ReasonSlug::TargetBusy))),
            // A 5xx concerns one server, so the next peer may succeed; other codes concern the called party.
            408 | 500..=599 if failover_on.contains(&code) => FailureScope::Peer(failure(ReasonSlug::TargetRejected)),
            _ if failover_on.contains(&code) => {
                FailureScope::Target(TargetResult::Failed(failure(ReasonSlug::TargetRejected)))
            }
            _ => FailureScope::Target(TargetResult::Refused(failure(ReasonSlug::TargetRejected))),
        }
    }

    /// Returns the leg of an agent that failed while its WebSocket was being opened.
    pub(crate) fn failed_agent(&self, result: &TargetResult) -> Option<LegId> {
        let TargetResult::Failed(failure) = result else { return None };
        let by_agent = failure.loss.is_some() || failure.reason == ReasonSlug::AgentConnectTimeout;
        self.progress.opening().filter(|_| by_agent)
    }
}

/// Effect of a final response on the search.
#[derive(Debug)]
pub(crate) enum FailureScope {
    /// The peer failed; the target's next peer is tried.
    Peer(TargetFailure),
    /// The target as a whole has this result.
    Target(TargetResult),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        let peer = |ip: &str| Peer::at(ip.parse().unwrap(), None, Transport::Udp);
        let peers = vec![peer("192.0.2.1"), peer("192.0.2.2")];
        let trunk = Arc::new(Trunk { peers: peers.clone(), ..Trunk::named("pbx") });
        Attempt::new(CallTarget::Trunk { trunk, number: None, peers }, None).unwrap()
    }

    #[test]
    fn a_uri_is_called_as_written_and_named_without_its_password() {
        let written = "sip:u:S3CRET@192.0.2.9:5070;transport=tcp".to_owned();
        let destination =
            Destination { host: "192.0.2.9".to_owned(), port: Some(5070), transport: Transport::Tcp, is_fixed: true };
        let target = CallTarget::Uri { uri: written.clone(), destination, in_call: true, headers: Vec::new() };
        let mut attempt = Attempt::new(target, None).unwrap();
        let (way, shown) = (attempt.next_candidate().unwrap(), "sip:u@192.0.2.9:5070;transport=tcp");
        assert_eq!((attempt.name(), way.shown().as_str()), (shown, shown));
        assert_eq!(attempt.uri, Some(written));
    }

    #[test]
    fn answers_mean_next_peer_next_target_or_the_end() {
        let attempt = attempt();
        let kind = |code| match attempt.classify_response(code, None, false) {
            FailureScope::Peer(_) => "peer",
            FailureScope::Target(TargetResult::Failed(_)) => "target",
            FailureScope::Target(TargetResult::Busy(_)) => "busy",
            FailureScope::Target(TargetResult::Refused(_)) => "end",
        };
        for (code, expected) in [
            (503, "peer"),
            (500, "peer"),
            (408, "peer"),
            (480, "target"),
            (429, "target"),
            (407, "target"),
            (302, "target"),
            (486, "busy"),
            (600, "busy"),
            (404, "end"),
            (603, "end"),
            (501, "end"),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }

    #[test]
    fn a_trunk_says_itself_on_which_codes_its_calls_go_on() {
        let attempt = attempt();
        let trunk = attempt.trunk.clone().unwrap();
        for code in 300..700 {
            let goes_on = match attempt.classify_response(code, None, false) {
                FailureScope::Peer(_) | FailureScope::Target(TargetResult::Failed(_)) => true,
                FailureScope::Target(TargetResult::Busy(_) | TargetResult::Refused(_)) => false,
            };
            assert_eq!(trunk.leads_on(code), goes_on, "{code}");
        }
    }

    #[test]
    fn what_was_answered_outweighs_silence() {
        let mut attempt = attempt();
        attempt.candidate_failed(TargetFailure::with_code(500, ReasonSlug::TargetRejected));
        attempt.candidate_failed(TargetFailure::unreached(ReasonSlug::NoResponse));
        assert_eq!(attempt.into_failure().code, Some(500));
    }

    #[test]
    fn a_looked_up_name_is_tried_at_each_of_a_few_addresses_in_order() {
        let mut attempt = attempt();
        let destination = Destination { host: "h".into(), port: None, transport: Transport::Udp, is_fixed: false };
        let way = Candidate::all("sip:h", destination, &[]).remove(0);
        assert_eq!(way.address, None);
        let addresses: Vec<_> = (0..ADDRESSES_PER_PEER as u8 + 4).map(|n| [198, 51, 100, n].into()).collect();
        let server = |port, addresses: &[std::net::IpAddr]| DestinationServer {
            transport: Transport::Tcp,
            port,
            tier: 0,
            priority: 0,
            weight: 0,
            addresses: addresses.to_vec(),
        };
        attempt.resolved(&way, &[server(5070, &addresses[..2]), server(5080, &addresses[2..])]);
        for (at, address) in addresses.iter().enumerate().take(ADDRESSES_PER_PEER) {
            let next = attempt.next_candidate().unwrap();
            let expected = SocketAddr::new(*address, if at < 2 { 5070 } else { 5080 });
            assert_eq!((next.address, next.transport), (Some(expected), Transport::Tcp));
        }
        assert_eq!(attempt.next_candidate().unwrap().destination.host, "192.0.2.1");
    }

    #[test]
    fn a_ring_time_out_is_never_endless() {
        let trunk = Arc::new(Trunk { ring_timeout: Duration::ZERO, ..Trunk::named("pbx") });
        let target = CallTarget::Trunk { trunk, number: None, peers: vec![] };
        let attempt = Attempt::new(target.clone(), None).unwrap();
        assert_eq!(attempt.ring_timeout, Duration::from_secs(RING_SECONDS));
        let attempt = Attempt::new(target, Some(Duration::from_secs(15))).unwrap();
        assert_eq!(attempt.ring_timeout, Duration::from_secs(15));
    }
}
