//! One target that is being tried: its ways (peers and their addresses) in order, and what its answers mean.

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
use trunkgate_resources::trunks::health::{Spot, Unfit};
use trunkgate_route::{Agent, Destination, Peer, Server, Target, TargetSpec, Transport, Trunk};
use trunkgate_sip::Flow;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::redact;

use crate::call::negotiation::early::EarlyMedia;
use crate::call::search::agreement::{PeerAgreement, TrunkCongestion, is_of_one_server};
use crate::call::search::controller::TargetResult;
use crate::call::words::answer::{Failure, seen_code};

/// Codes on which a bare URI counts as failed; a trunk has its own list.
const URI_FAILOVER_ON: [u16; 7] = [408, 429, 480, 500, 502, 503, 504];

/// One way to a target.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The peer as it is shown: its URI without a password. It names the peer in logs, views, records and metrics.
    pub(crate) peer: String,
    /// Where its URI leads: host and port for the Request-URI.
    pub(crate) destination: Destination,
    /// Transport: that of the URI, or the one that DNS names.
    pub(crate) transport: Transport,
    /// Where it is; `None` until its host has been looked up.
    pub(crate) address: Option<SocketAddr>,
    /// Whether it has refused SRTP, and is asked again without.
    pub(crate) plain: bool,
    /// Whether it takes no body but a session description, and is asked again with that alone.
    pub(crate) only_sdp: bool,
    /// Whether TCP was of no use for a long request: it goes by UDP, whatever its length.
    pub(crate) by_udp: bool,
    /// The flow of a phone that has registered here, and its Contact.
    pub(crate) registered: Option<(Flow, String)>,
}

impl Candidate {
    /// Its peer, and which of the addresses of its name it is.
    pub(crate) fn shown(&self) -> String {
        match self.address.filter(|address| self.destination.host != address.ip().to_string()) {
            Some(address) => format!("{} {address}", self.peer),
            None => self.peer.clone(),
        }
    }

    /// The ways to a peer: one for each address of its servers, or the one that has to be looked up.
    fn all(uri: &str, destination: Destination, servers: &[Server]) -> Vec<Candidate> {
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

    /// Where it leads, for its trunk's health.
    pub(crate) fn spot(&self, trunk: &Arc<Trunk>) -> Option<Spot> {
        Some(Spot::new(&trunk.name, self.transport, self.address?))
    }

    /// The same for each address of the servers, in order, as many as are tried.
    fn at(&self, servers: &[Server]) -> Vec<Candidate> {
        let sockets = servers.iter().flat_map(|server| server.sockets().map(|socket| (server.transport, socket)));
        let way = |(transport, socket)| Candidate { transport, address: Some(canonical(socket)), ..self.clone() };
        sockets.take(ADDRESSES_PER_PEER).map(way).collect()
    }
}

/// Where the search for a way stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Between two ways.
    Idle,
    /// Its trunk is at a limit: its turn is waited for.
    Waiting {
        /// Until when.
        until: Instant,
        /// For which limit.
        reason: ReasonSlug,
    },
    /// Its agent has all its sessions in use: one is waited for, in line.
    Queued {
        /// Since when.
        since: Instant,
        /// Until when.
        until: Instant,
    },
    /// The caller is to be told ports that are not known to be ours yet.
    Binding,
    /// Its agent has failed in this call, and is not tried again at once.
    Pausing,
    /// A host is being looked up.
    Resolving(QueryId),
    /// An INVITE is out on this leg.
    Calling(LegId),
    /// An agent's socket is being opened for this leg.
    Opening(LegId),
    /// A party has answered on this leg, and is asked whether it takes the caller.
    Asking(LegId),
}

impl Progress {
    /// The leg of an INVITE that is out.
    pub(crate) const fn calling(self) -> Option<LegId> {
        if let Progress::Calling(leg) = self { Some(leg) } else { None }
    }
    /// The leg of an agent that is being opened.
    pub(crate) const fn opening(self) -> Option<LegId> {
        if let Progress::Opening(leg) = self { Some(leg) } else { None }
    }
    /// The leg of a party that is asked.
    pub(crate) const fn asking(self) -> Option<LegId> {
        if let Progress::Asking(leg) = self { Some(leg) } else { None }
    }
}

/// A target that is being tried.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The target as a route would write it.
    pub(crate) spec: TargetSpec,
    /// The agent that it is, where it is one.
    pub(crate) agent: Option<Arc<Agent>>,
    /// Its trunk; `None` for a bare URI and an agent.
    pub(crate) trunk: Option<Arc<Trunk>>,
    /// Of a bare URI, the trunk that it leads to: that one's limits hold.
    pub(crate) governs: Option<Arc<Trunk>>,
    /// Whether its URI was named by an agent or an operator in mid-call.
    pub(crate) in_call: bool,
    /// The caller ID as its last INVITE had it, numbers masked.
    pub(crate) caller_id: Option<Box<str>>,
    /// Further headers of its INVITE, which an application has asked for.
    pub(crate) headers: Vec<(String, String)>,
    /// The number to call instead of the called one.
    pub(crate) number: Option<String>,
    /// The Request-URI: of a bare URI as written, or that of a redirection.
    pub(crate) uri: Option<String>,
    /// The URI of a bare one as it is shown.
    shown_uri: Option<String>,
    /// How long it may ring.
    pub(crate) ring_timeout: Duration,
    /// How long it may be silent; zero: for ever.
    pub(crate) no_response_timeout: Duration,
    /// Where it stands.
    pub(crate) progress: Progress,
    /// The way that is looked up or called.
    pub(crate) current: Option<Candidate>,
    /// Whether it counts among its trunk's calls.
    pub(crate) is_counted: bool,
    /// Port pairs that could not be bound so far.
    pub(crate) bind_failures: u8,
    /// How many streams to its agent have failed in a row before this attempt.
    pub(crate) retried: u32,
    /// Whom its last INVITE asked.
    pub(crate) asked: String,
    /// When its first INVITE left.
    pub(crate) called_at: Option<Instant>,
    /// Whether it has rung, or said anything but 100.
    pub(crate) has_rung: bool,
    /// What its far ends have said before an answer.
    pub(crate) early: EarlyMedia,
    left: VecDeque<Candidate>,
    failure: Option<Failure>,
    agreement: PeerAgreement,
}

impl Attempt {
    /// Of one target; `None` for an answer, and for several.
    pub(crate) fn new(target: Target, route_ring_timeout: Option<Duration>) -> Option<Attempt> {
        let longest = Duration::from_secs(RING_SECONDS);
        let ring = |own: Duration| match route_ring_timeout.unwrap_or(own) {
            Duration::ZERO => longest,
            timeout => timeout.min(longest),
        };
        let (spec, mut called, mut further) = (target.spec(), None, Vec::new());
        let in_call = matches!(target, Target::Uri { in_call: true, .. });
        let (trunk, number, uri, ring_timeout, no_response_timeout, left) = match target {
            Target::Trunk { trunk, number, peers } => {
                let ways = |p: Peer| Candidate::all(&p.uri, p.destination, &p.servers);
                let times = (ring(trunk.ring_timeout), trunk.no_response_timeout);
                (Some(trunk), number, None, times.0, times.1, peers.into_iter().flat_map(ways).collect())
            }
            Target::Uri { uri, destination, headers, .. } => {
                further = headers;
                let servers: Vec<Server> = destination.literal().into_iter().collect();
                let ways = VecDeque::from(Candidate::all(&uri, destination, &servers));
                let ring = ring(Duration::from_secs(URI_RING_SECONDS));
                (None, None, Some(uri), ring, Duration::from_secs(URI_NO_RESPONSE_SECONDS), ways)
            }
            Target::Agent(agent) => {
                let own = match agent.connect_timeout {
                    Duration::ZERO => longest,
                    timeout => timeout + Duration::from_secs(AGENT_NEWS_SECONDS),
                };
                let wait = ring(own).min(own);
                called = Some(agent);
                (None, None, None, wait, Duration::ZERO, VecDeque::new())
            }
            Target::App(_) | Target::Reject(_) | Target::RingAll(_) => return None,
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
            progress: Progress::Idle,
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

    /// An INVITE to `asked` is out on a leg, with this caller ID.
    pub(crate) fn calls(&mut self, now: Instant, leg: LegId, asked: String, caller_id: Box<str>) {
        self.progress = Progress::Calling(leg);
        self.called_at.get_or_insert(now);
        self.asked = asked;
        self.caller_id = Some(caller_id);
        self.early = EarlyMedia::default();
    }

    /// Where a bare URI leads.
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

    /// The trunk whose limits hold for it.
    pub(crate) fn limited_by(&self) -> Option<&Arc<Trunk>> {
        self.trunk.as_ref().or(self.governs.as_ref())
    }

    /// The leg that it waits for.
    pub(crate) fn leg(&self) -> Option<LegId> {
        self.progress.calling().or(self.progress.opening()).or(self.progress.asking())
    }

    /// Its name in logs, trace and metrics: the agent's, the trunk's, or the URI without a password.
    pub(crate) fn name(&self) -> &str {
        match (&self.agent, &self.trunk, &self.shown_uri) {
            (Some(agent), _, _) => &agent.name,
            (None, Some(trunk), _) => &trunk.name,
            (None, None, Some(uri)) => uri,
            (None, None, None) => "",
        }
    }

    /// Leaves ways out that are not worth trying now, unless none is; which, and why.
    pub(crate) fn leave_out(
        &mut self,
        unfit: impl Fn(&Arc<Trunk>, &Candidate) -> Option<Unfit>,
    ) -> Vec<(Candidate, Unfit)> {
        let Some(trunk) = &self.trunk else { return Vec::new() };
        let judged: Vec<Option<Unfit>> = self.left.iter().map(|way| unfit(trunk, way)).collect();
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

    /// The next way, taken out.
    pub(crate) fn next_candidate(&mut self) -> Option<Candidate> {
        self.left.pop_front()
    }

    /// Puts a way in front of all others.
    pub(crate) fn again(&mut self, way: Candidate) {
        self.left.push_front(way);
    }

    /// Puts the phones that have registered with its trunk in front of its peers.
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
                // It is there and nowhere else.
                by_udp: true,
                registered: Some((binding.flow, binding.contact.clone())),
            });
        }
    }

    /// Puts the addresses of a way that has been looked up in its place.
    pub(crate) fn resolved(&mut self, way: &Candidate, servers: &[Server]) {
        for found in way.at(servers).into_iter().rev() {
            self.left.push_front(found);
        }
    }

    /// Notes why a way failed: what a peer answered outweighs that another was not reached.
    pub(crate) fn candidate_failed(&mut self, failure: Failure) {
        if !failure.answered().is_some_and(|code| self.is_congestion(code)) {
            self.agreement.broken();
        }
        let keeps = failure.code.is_none() && self.failure.as_ref().is_some_and(|f| f.code.is_some());
        if !keeps {
            self.failure = Some(failure);
        }
    }

    /// Why the target failed, once no way is left.
    pub(crate) fn into_failure(self) -> Failure {
        self.failure.unwrap_or_else(|| Failure::unreached(ReasonSlug::Unreachable))
    }

    /// The same, to be looked at.
    pub(crate) fn why_failed(&self) -> Failure {
        self.failure.clone().unwrap_or_else(|| Failure::unreached(ReasonSlug::Unreachable))
    }

    /// Whether its trunk says by a code that it has too many calls.
    fn is_congestion(&self, code: u16) -> bool {
        self.trunk.as_ref().is_some_and(|trunk| trunk.congested_on.contains(&code))
    }

    /// Takes an answer into account that may end the attempt as congestion: its code is about the whole trunk (429), or the last of
    /// the trunk's peers has given it.
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

    /// What a final non-2xx answer means; `is_congested`: it ends the attempt, as its trunk has too many calls
    /// ([`Attempt::congestion`]).
    pub(crate) fn judge(&self, code: u16, q850: Option<u8>, is_congested: bool) -> Judgement {
        let failover_on = self.trunk.as_ref().map_or(&URI_FAILOVER_ON[..], |t| &t.failover_on);
        let failure = |reason| Failure { q850, ..Failure::with_code(seen_code(code), reason) };
        match code {
            // What could be answered has been, by the endpoint.
            401 | 407 => Judgement::Target(TargetResult::Failed(failure(ReasonSlug::CredentialsRefused))),
            // What it names is tried first.
            300..=399 => Judgement::Target(TargetResult::Failed(failure(ReasonSlug::TargetRejected))),
            _ if is_congested => Judgement::Target(TargetResult::Failed(failure(ReasonSlug::TrunkCongested))),
            _ if self.is_congestion(code) => Judgement::Peer(failure(ReasonSlug::TargetRejected)),
            486 | 600 => Judgement::Target(TargetResult::Busy(failure(ReasonSlug::TargetBusy))),
            // What one machine cannot do, the next may; what the called party cannot, none of them can.
            408 | 500..=599 if failover_on.contains(&code) => Judgement::Peer(failure(ReasonSlug::TargetRejected)),
            _ if failover_on.contains(&code) => {
                Judgement::Target(TargetResult::Failed(failure(ReasonSlug::TargetRejected)))
            }
            _ => Judgement::Target(TargetResult::Refused(failure(ReasonSlug::TargetRejected))),
        }
    }

    /// The leg of an agent that is being opened, where that is what failed.
    pub(crate) fn failed_agent(&self, result: &TargetResult) -> Option<LegId> {
        let TargetResult::Failed(failure) = result else { return None };
        let by_agent = failure.loss.is_some() || failure.reason == ReasonSlug::AgentConnectTimeout;
        self.progress.opening().filter(|_| by_agent)
    }
}

/// What a final answer means for the search.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// This peer failed: the target's next one is tried.
    Peer(Failure),
    /// The target is done with.
    Target(TargetResult),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        let peer = |ip: &str| Peer::at(ip.parse().unwrap(), None, Transport::Udp);
        let peers = vec![peer("192.0.2.1"), peer("192.0.2.2")];
        let trunk = Arc::new(Trunk { peers: peers.clone(), ..Trunk::named("pbx") });
        Attempt::new(Target::Trunk { trunk, number: None, peers }, None).unwrap()
    }

    #[test]
    fn a_uri_is_called_as_written_and_named_without_its_password() {
        let written = "sip:u:S3CRET@192.0.2.9:5070;transport=tcp".to_owned();
        let destination =
            Destination { host: "192.0.2.9".to_owned(), port: Some(5070), transport: Transport::Tcp, is_fixed: true };
        let target = Target::Uri { uri: written.clone(), destination, in_call: true, headers: Vec::new() };
        let mut attempt = Attempt::new(target, None).unwrap();
        let (way, shown) = (attempt.next_candidate().unwrap(), "sip:u@192.0.2.9:5070;transport=tcp");
        assert_eq!((attempt.name(), way.shown().as_str()), (shown, shown));
        assert_eq!(attempt.uri, Some(written));
    }

    #[test]
    fn answers_mean_next_peer_next_target_or_the_end() {
        let attempt = attempt();
        let kind = |code| match attempt.judge(code, None, false) {
            Judgement::Peer(_) => "peer",
            Judgement::Target(TargetResult::Failed(_)) => "target",
            Judgement::Target(TargetResult::Busy(_)) => "busy",
            Judgement::Target(TargetResult::Refused(_)) => "end",
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
            let goes_on = match attempt.judge(code, None, false) {
                Judgement::Peer(_) | Judgement::Target(TargetResult::Failed(_)) => true,
                Judgement::Target(TargetResult::Busy(_) | TargetResult::Refused(_)) => false,
            };
            assert_eq!(trunk.leads_on(code), goes_on, "{code}");
        }
    }

    #[test]
    fn what_was_answered_outweighs_silence() {
        let mut attempt = attempt();
        attempt.candidate_failed(Failure::with_code(500, ReasonSlug::TargetRejected));
        attempt.candidate_failed(Failure::unreached(ReasonSlug::NoResponse));
        assert_eq!(attempt.into_failure().code, Some(500));
    }

    #[test]
    fn a_looked_up_name_is_tried_at_each_of_a_few_addresses_in_order() {
        let mut attempt = attempt();
        let destination = Destination { host: "h".into(), port: None, transport: Transport::Udp, is_fixed: false };
        let way = Candidate::all("sip:h", destination, &[]).remove(0);
        assert_eq!(way.address, None);
        let addresses: Vec<_> = (0..ADDRESSES_PER_PEER as u8 + 4).map(|n| [198, 51, 100, n].into()).collect();
        let server = |port, addresses: &[std::net::IpAddr]| Server {
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
        let target = Target::Trunk { trunk, number: None, peers: vec![] };
        let attempt = Attempt::new(target.clone(), None).unwrap();
        assert_eq!(attempt.ring_timeout, Duration::from_secs(RING_SECONDS));
        let attempt = Attempt::new(target, Some(Duration::from_secs(15))).unwrap();
        assert_eq!(attempt.ring_timeout, Duration::from_secs(15));
    }
}
