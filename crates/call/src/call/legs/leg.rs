//! One side of a call: its dialog and its session description. The single place where what two sides agreed on becomes
//! what a media worker is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::{Format, TrackName};
use trunkgate_media::mos::Codec;
use trunkgate_media::{EndCounters, EndId, LatchMode, RemoteSpec, SrtpKey, SrtpSpec, WireSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{CALL_ID_CHARS, NUMBER_CHARS, SESSION_LEAST_SECONDS, URI_SESSION_SECONDS};
use trunkgate_resources::lookups::sip::{TIMER, extra};
use trunkgate_resources::sessions::NewEnd;
use trunkgate_resources::trunks::health::Spot;
use trunkgate_route::{DEFAULT_CODECS, Dtmf, Number, Trunk};
use trunkgate_sdp::crypto::Mki;
use trunkgate_sdp::keying::agreed;
use trunkgate_sdp::{
    AgreedStream, Conversion, Description, Far, Identity, InlineKey, Media, OwnEvents, Policy, Refusal, Suite,
};
use trunkgate_sip::header::{NameAddr, Refresher, SessionExpires};
use trunkgate_sip::{
    ClientId, DialogId, Extra, Flow, HeaderName, ListenerId, Message, Method, Party, ServerId, Transport,
};
use trunkgate_story::Said;
use trunkgate_story::diagnosis::{Cause, Diagnosis, Look};
use trunkgate_story::impairment::{Direction, Stopped};
use trunkgate_story::numbers::plain;
use trunkgate_story::quality::{Scored, add_counters, retire, score_view};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::series::Totals;
use trunkgate_story::view::{ForkView, LegView, MediaView, RtpView, SourcesView};

use crate::call::legs::agent_leg::{AgentSide, Role};
use crate::call::legs::caller_id::OF_CALLER_ID;
use crate::call::legs::codecs::{agent_coding, name, transcode};
use crate::call::legs::descriptions::forbidden_address;
use crate::call::legs::dialled::Dialled;
use crate::call::legs::digits::parted;
use crate::call::legs::leg_end::{EndedBy, LegEnd, Rejection};
use crate::call::legs::session_timer::{Agreed, Asked, SessionTimer};
use crate::call::legs::written::Written;
use crate::call::words::answer::{Failure, FinalAnswer};
use crate::call::words::incoming::Incoming;
use crate::call::words::proof::{Proof, is_of};

/// The length of packets to it, in milliseconds, where it asks for none.
const URI_PTIME_MS: u32 = 20;

/// Where a leg stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LegState {
    /// INVITE sent or received.
    Trying,
    /// It rings.
    Ringing,
    /// It rings, with media.
    Early,
    /// 2xx sent or received.
    Answered,
    /// Withdrawn; its final answer is waited for, which may be a 2xx that crossed.
    Canceling,
    /// BYE has been given to the endpoint, which keeps it back until our 2xx is acknowledged (RFC 3261 §15).
    Closing,
    /// Nothing is left of it.
    Ended,
}

impl LegState {
    /// As shown.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            LegState::Trying => "trying",
            LegState::Ringing => "ringing",
            LegState::Early => "early",
            LegState::Answered => "answered",
            LegState::Canceling | LegState::Closing | LegState::Ended => "ended",
        }
    }
}

/// One stream's end at this leg.
#[derive(Debug)]
pub(crate) struct StreamEnd {
    /// Index of its m-line.
    pub(crate) index: usize,
    /// Its name in the session.
    pub(crate) end: EndId,
    /// Local address and RTP port.
    pub(crate) bind: SocketAddr,
    /// Its counters.
    pub(crate) counters: Arc<EndCounters>,
    /// What the worker was last told of its far side.
    pub(crate) remote: Option<RemoteSpec>,
    /// Whether its ports are known to be ours.
    pub(crate) is_bound: bool,
}

impl StreamEnd {
    /// A new end for an m-line.
    pub(crate) fn new(index: usize, new: NewEnd) -> StreamEnd {
        StreamEnd { index, end: new.end, bind: new.bind, counters: new.counters, remote: None, is_bound: false }
    }
}

/// The dialog of a leg and the requests that are open in it.
#[derive(Debug, Default)]
pub(crate) struct LegSip {
    /// Numbers and times of the call to it, where the edge has called a telephone.
    pub(crate) dialled: Option<Box<Dialled>>,
    /// Call-ID.
    pub(crate) call_id: String,
    /// Its INVITE to us, while that has no final answer.
    pub(crate) server: Option<ServerId>,
    /// Our INVITE to it.
    pub(crate) invite: Option<ClientId>,
    /// Why our INVITE could not be sent, in words.
    pub(crate) unsent: Option<Box<str>>,
    /// Our BYE to it.
    pub(crate) bye: Option<ClientId>,
    /// Its dialog; for the caller from the first 18x on, else from the 2xx.
    pub(crate) dialog: Option<DialogId>,
    /// Whether it has answered our INVITE with anything.
    pub(crate) heard: bool,
    /// Whether the wait for an answer was extended, as its TLS connection is not up yet.
    pub(crate) awaits_tls: bool,
    /// Whether it takes UPDATE, as it has said in Allow.
    pub(crate) takes_update: bool,
    /// Host and port of its Contact.
    pub(crate) contact: Option<Box<str>>,
    /// The same of the first proxy that stays in its dialog (Record-Route).
    pub(crate) record_route: Option<Box<str>>,
}

/// The descriptions of a leg: ours and those of its remote party.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LegSdp {
    /// The address it is shown in SDP.
    pub(crate) media_ip: IpAddr,
    /// Session id of our descriptions.
    pub(crate) session_id: u64,
    /// The last description that we sent to it.
    pub(crate) last_sent: Option<Written>,
    /// The one of ours that is in force.
    pub(crate) ours: Option<Written>,
    /// The one of its that is in force.
    pub(crate) theirs: Option<Written>,
}

/// Faults of a leg's audio that begin in mid-call.
#[derive(Debug, Default)]
pub(crate) struct LegFaults {
    /// When and why its stream stopped, where it did.
    pub(crate) stopped: Option<Stopped>,
    /// The directions with much packet loss.
    pub(crate) losses: Vec<(Direction, Diagnosis)>,
}

impl LegQuality {
    /// Keeps what an end that goes has counted.
    pub(crate) fn retire(&mut self, counters: &EndCounters) {
        retire(self.earlier.get_or_insert_default(), &mut self.scores, counters);
    }
    /// Returns when and why its stream stopped in mid-call.
    pub(crate) fn stopped(&self) -> Option<&Stopped> {
        self.faults.as_ref()?.stopped.as_ref()
    }
    /// Whether its party was not heard, sent only digital silence, or its stream stopped.
    pub(crate) fn is_silent(&self) -> bool {
        self.unheard.is_some() || self.stopped().is_some() || self.digital_silence().is_some()
    }
    /// Returns what shows that its party sent only digital silence, for long enough to tell.
    pub(crate) fn digital_silence(&self) -> Option<&Diagnosis> {
        self.flaw.as_deref().filter(|flaw| flaw.cause == Cause::Silence)
    }
    /// Whether a fault of this cause is told of it already.
    pub(crate) fn tells(&self, cause: Cause) -> bool {
        let stopped = self.stopped().map(|stopped| &stopped.found);
        [self.flaw.as_deref(), self.unheard.as_deref(), stopped].into_iter().flatten().any(|told| told.cause == cause)
    }
}

/// What was heard of a leg, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct LegQuality {
    /// Figures from before a restart, or of ends that are gone.
    pub(crate) earlier: Option<Box<RtpView>>,
    /// Scores of ends that are gone.
    pub(crate) scores: Scored,
    /// Why it was not heard, where it was not.
    pub(crate) unheard: Option<Box<Diagnosis>>,
    /// What is wrong with what is heard of it.
    pub(crate) flaw: Option<Box<Diagnosis>>,
    /// Faults of its audio that began in mid-call, where there were some.
    pub(crate) faults: Option<Box<LegFaults>>,
    /// Whether its trunk knows whether it was heard.
    pub(crate) is_judged: bool,
    /// Packets that are counted with its trunk already.
    pub(crate) counted: Totals,
    /// What its media had come to at the last look.
    pub(crate) looked: Option<(Look, Instant)>,
}

/// One side of a call.
#[derive(Debug)]
pub(crate) struct Leg {
    /// `CA` + 32 hex.
    pub(crate) sid: String,
    /// Its trunk as the call knows it; `None` for a bare URI.
    pub(crate) trunk: Option<Arc<Trunk>>,
    /// Of a bare URI, the trunk that it leads to: the leg counts with that one's limits.
    pub(crate) governs: Option<Arc<Trunk>>,
    /// Its party towards the endpoint.
    pub(crate) party: Party,
    /// The peer as written, for an outbound leg.
    pub(crate) peer: String,
    /// Whether the far end called us.
    pub(crate) inbound: bool,
    /// What it was called by, where that is not what the call's caller dialled: a transfer brought it in.
    pub(crate) number: Option<Box<Number>>,
    /// It has asked for a join and has hung up: its trunk has one call less.
    pub(crate) has_left: bool,
    /// The party that a REFER which went on has named its dialog to, as its own far end knows that.
    pub(crate) named_to: Option<Party>,
    /// The way to it; `None` for an agent.
    pub(crate) flow: Option<Flow>,
    /// The agent that it is, where it is one.
    pub(crate) agent: Option<Box<AgentSide>>,
    /// Where it stands.
    pub(crate) state: LegState,
    /// Why it has ended, or is about to.
    pub(crate) end: Option<LegEnd>,
    /// How its far end rejected the call.
    pub(crate) rejection: Option<Box<Rejection>>,
    /// Its session timer.
    pub(crate) timer: SessionTimer,
    /// Its media ends, one for each anchored m-line.
    pub(crate) ends: Vec<StreamEnd>,
    /// Codec agreed; empty before.
    pub(crate) codec: String,
    /// How often its SRTP may have rolled over before it came to this end, from another call.
    pub(crate) rolled: u32,
    /// What its audio is converted into for its other side, where it is.
    pub(crate) converted_to: Option<&'static str>,
    /// SRTP suite agreed.
    pub(crate) srtp: Option<Suite>,
    /// Where its RTP comes from, once learned.
    pub(crate) latched: Option<SocketAddr>,
    /// What has proven that its far side is where it says.
    pub(crate) proof: Proof,
    /// Dialog and open requests.
    pub(crate) sip: LegSip,
    /// Descriptions.
    pub(crate) sdp: LegSdp,
    /// What was heard, and what is wrong with it.
    pub(crate) quality: LegQuality,
}

impl Leg {
    /// Changes where the leg stands, and returns where it stood. A leg that is over stays so.
    pub(crate) fn enter(&mut self, state: LegState) -> LegState {
        debug_assert!(self.state != LegState::Ended || state == LegState::Ended, "an ended leg becomes {state:?}");
        std::mem::replace(&mut self.state, state)
    }

    /// Whether it is known not to be heard, up to now.
    pub(crate) fn is_unheard(&self) -> bool {
        self.quality.unheard.is_some() && self.ends.iter().all(|end| end.counters.rx_packets.get() == 0)
    }

    /// Whether all audio that has come from it is digital silence, however little that is.
    pub(crate) fn has_only_silence(&self) -> bool {
        let symptoms = || self.ends.iter().map(|end| &end.counters.symptoms);
        symptoms().any(|one| one.silent.get() > 0) && symptoms().all(|one| one.sounded.get() == 0)
    }

    /// Returns why it is not heard up to now, in a call that is up: nothing comes, or nothing but digital silence.
    pub(crate) fn silence(&self) -> Option<&Diagnosis> {
        let unheard = self.quality.unheard.as_deref().filter(|_| self.is_unheard());
        unheard.or_else(|| self.quality.digital_silence().filter(|_| self.has_only_silence()))
    }

    /// Returns the caller ID that it was sent, where its far end rejected the call with a code that may be for that.
    pub(crate) fn caller_id_rejected(&self) -> Option<&str> {
        let rejection = self.rejection.as_ref()?;
        rejection.caller_id.as_deref().filter(|_| OF_CALLER_ID.contains(&rejection.said.code))
    }

    /// Returns what its far end said as it rejected the call.
    pub(crate) fn said(&self) -> Option<&Said> {
        self.rejection.as_ref().map(|rejection| &rejection.said)
    }

    /// A leg that nothing has happened to.
    pub(crate) fn new(sid: String, party: Party, flow: Flow, media_ip: IpAddr, session_id: u64) -> Leg {
        Leg {
            sid,
            trunk: None,
            governs: None,
            party,
            peer: String::new(),
            inbound: false,
            number: None,
            has_left: false,
            named_to: None,
            flow: Some(flow),
            agent: None,
            state: LegState::Trying,
            end: None,
            rejection: None,
            timer: SessionTimer::default(),
            ends: Vec::new(),
            codec: String::new(),
            rolled: 0,
            converted_to: None,
            srtp: None,
            latched: None,
            proof: Proof::default(),
            sip: LegSip::default(),
            sdp: LegSdp { media_ip, session_id, last_sent: None, ours: None, theirs: None },
            quality: LegQuality::default(),
        }
    }

    /// Leg 0 of a requested call, which stands for the request.
    pub(crate) fn of_request(sid: String, name: &str) -> Leg {
        let leg = Leg::new(sid, Party(0), Leg::nowhere(), Ipv4Addr::UNSPECIFIED.into(), 0);
        Leg { flow: None, inbound: true, peer: name.to_owned(), ..leg }
    }

    /// Whether it stands for a request over HTTP: it has no remote party.
    pub(crate) fn is_request(&self) -> bool {
        self.flow.is_none() && self.agent.is_none()
    }

    /// Where its signalling goes, for its trunk's health.
    pub(crate) fn spot(&self) -> Option<Spot> {
        Some(Spot::of(&self.trunk.as_ref()?.name, self.flow.as_ref()?))
    }

    /// Notes what a message of it says that it can do.
    pub(crate) fn learn(&mut self, message: &Message) {
        if message.header(HeaderName::Allow).is_some() {
            let allowed = message.tokens(HeaderName::Allow);
            self.sip.takes_update = allowed.contains(&Method::Update.as_str().as_bytes());
        }
        let place = |address: NameAddr<'_>| {
            let host = address.parsed_uri()?.host;
            let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
            Some(plain(&format!("{}{port}", host.host), NUMBER_CHARS).into())
        };
        self.sip.contact = message.contact().and_then(place).or(self.sip.contact.take());
        let hop = message.headers(HeaderName::RecordRoute).flat_map(NameAddr::list).next();
        self.sip.record_route = hop.and_then(place).or(self.sip.record_route.take());
    }

    /// An agent's leg, whose socket is being opened.
    pub(crate) fn of_agent(sid: String, side: AgentSide) -> Leg {
        let leg = Leg::new(sid, Party(0), Leg::nowhere(), Ipv4Addr::UNSPECIFIED.into(), 0);
        let codec = name(agent_coding(Format::from_name(side.agent.format).unwrap_or_default())).to_owned();
        Leg { flow: None, agent: Some(Box::new(side)), codec, ..leg }
    }

    /// The way of a leg that has none.
    pub(crate) fn nowhere() -> Flow {
        let remote = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Flow { transport: Transport::Tcp, listener: ListenerId(0), remote, connection: None }
    }

    /// Whether it is an agent that only listens.
    pub(crate) fn listens(&self) -> bool {
        self.agent.as_ref().is_some_and(|side| side.listens())
    }

    /// Whether it leads to a recording server: it takes no part in the call.
    pub(crate) fn records(&self) -> bool {
        self.trunk.as_ref().is_some_and(|trunk| trunk.siprec.is_some())
    }

    /// Whether it takes no part in the call: it listens, or records.
    pub(crate) fn is_beside(&self) -> bool {
        self.records() || self.listens()
    }

    /// Where its signalling comes from; unspecified for an agent.
    pub(crate) fn signalling(&self) -> IpAddr {
        self.flow.map_or(Ipv4Addr::UNSPECIFIED.into(), |flow| flow.remote.ip())
    }

    /// The trunk whose limits it counts with.
    pub(crate) fn limited_by(&self) -> Option<&Arc<Trunk>> {
        self.trunk.as_ref().or(self.governs.as_ref())
    }
    /// Name of its trunk; empty for a bare URI.
    pub(crate) fn trunk_name(&self) -> &str {
        self.trunk.as_ref().map_or("", |t| &t.name)
    }

    /// What it may use of the edge's codecs.
    pub(crate) fn policy(&self) -> Policy {
        policy(self.trunk.as_deref())
    }

    /// How it presses keys.
    pub(crate) fn dtmf(&self) -> Dtmf {
        self.trunk.as_ref().map_or(Dtmf::Rfc4733, |trunk| trunk.dtmf)
    }

    /// How our next description to it names itself; [`Self::stamp`] settles the version.
    pub(crate) fn identity(&self) -> Identity {
        let version = self.sdp.last_sent.as_ref().map_or(1, Written::version);
        Identity { session_id: self.sdp.session_id, version, ip: self.sdp.media_ip }
    }

    /// Our RTP ports towards it for these m-lines, 0 where there is none.
    pub(crate) fn ports(&self, streams: &[usize]) -> Vec<u16> {
        streams.iter().map(|index| self.end(*index).map_or(0, |end| end.bind.port())).collect()
    }

    /// The end of an m-line.
    pub(crate) fn end(&self, index: usize) -> Option<&StreamEnd> {
        self.ends.iter().find(|end| end.index == index)
    }

    /// Gives a description its version: the last one's if nothing has changed, else one more (RFC 3264 §8).
    pub(crate) fn stamp(&mut self, mut description: Description) -> Description {
        if let Some(last) = &self.sdp.last_sent {
            description.origin.version = last.version();
            if last.says(&description) {
                return description;
            }
            description.origin.version = last.version().saturating_add(1);
        }
        self.sdp.last_sent = Some(Written::new(&description));
        description
    }

    /// What was sent last is refused: what is in force is its last word again, under a version of its own.
    pub(crate) fn take_back(&mut self) {
        if let Some(ours) = self.sdp.ours.as_ref().and_then(Written::read) {
            self.stamp(ours);
        }
    }

    /// Adds to an offer for it what its session has of further sections, as refused: none ever goes away (RFC 3264 §8).
    /// Those of an offer that was never agreed on are none of it.
    pub(crate) fn keep_sections(&self, offer: &mut Description) {
        let sections = self.theirs().map(|theirs| theirs.media).unwrap_or_default();
        offer.media.extend(sections.iter().skip(offer.media.len()).map(Media::refused));
    }

    /// Takes the far end's description into force. Whether its `o=` line is another one than before.
    pub(crate) fn take_theirs(&mut self, description: &Description) -> bool {
        let written = Written::new(description);
        let changed = self.sdp.theirs.as_ref().is_some_and(|before| before.has_other_origin(&written));
        self.sdp.theirs = Some(written);
        changed
    }

    /// The last description that we sent to it, read.
    pub(crate) fn sent(&self) -> Option<Description> {
        self.sdp.last_sent.as_ref()?.read()
    }

    /// The one of its that is in force, read.
    pub(crate) fn theirs(&self) -> Option<Description> {
        self.sdp.theirs.as_ref()?.read()
    }

    /// Both that are in force, read: ours and its.
    pub(crate) fn session(&self) -> Option<(Description, Description)> {
        let (ours, theirs) = self.sdp.ours.as_ref().zip(self.sdp.theirs.as_ref())?;
        Some((ours.read()?, theirs.read()?))
    }

    /// What the worker is told of one stream's far side, but for its keys ([`Self::srtp_spec`]).
    pub(crate) fn remote_spec(&self, far: &Far, latch: LatchMode, relatch: bool, answered: bool) -> RemoteSpec {
        let signalling = self.signalling().to_canonical();
        let media = far.rtp.map(|rtp| rtp.ip().to_canonical());
        let mut expected: Vec<IpAddr> = media.into_iter().collect();
        if !expected.contains(&signalling) {
            expected.push(signalling);
        }
        let (sends, receives) = (far.direction.sends(), far.direction.receives());
        RemoteSpec {
            rtp: far.rtp,
            rtcp: far.rtcp,
            shown: Some(self.sdp.media_ip),
            expected,
            expected_networks: self.trunk.as_ref().map(|t| t.media_from.clone()).unwrap_or_default(),
            latch,
            rtcp_mux: far.rtcp_mux,
            may_send: sends,
            may_receive: receives,
            // Decided last, by all of the above: `Cx::tell_remote`.
            withheld: false,
            relatch,
            // On hold either side may rightly be silent, and so may a fax machine that receives; without an address it
            // is the hold of RFC 2543.
            watch_idle: answered && sends && receives && far.rtp.is_some() && !far.udptl,
            srtp: None,
        }
    }

    /// The keys of a stream, by the descriptions in force; `None`: plain RTP.
    pub(crate) fn srtp_spec(&self, index: usize) -> Option<SrtpSpec> {
        if !self.sdp.ours.as_ref()?.has_keys() {
            return None;
        }
        let (ours, theirs) = self.session()?;
        let keys = agreed(ours.media.get(index)?, theirs.media.get(index)?)?;
        let key = |key: InlineKey| {
            let mki = key.mki.map(Mki::to_bytes);
            SrtpKey::new(keys.suite, &key.key_salt, mki.as_deref()).ok()
        };
        Some(SrtpSpec { send: key(keys.ours)?, receive: key(keys.theirs)?, rolled: self.rolled })
    }

    /// Why it ended, once it is shown as ended.
    pub(crate) fn shown_end(&self) -> Option<LegEnd> {
        self.end.filter(|_| matches!(self.state, LegState::Canceling | LegState::Closing | LegState::Ended))
    }

    /// Figures of its RTP ends, also of those that are gone.
    pub(crate) fn figures(&self) -> RtpView {
        let mut figures = self.quality.earlier.as_deref().cloned().unwrap_or_default();
        for end in &self.ends {
            add_counters(&mut figures, &end.counters);
        }
        figures
    }

    /// Media figures of its whole life.
    pub(crate) fn rtp(&self) -> RtpView {
        let mut rtp = self.figures();
        if let Some(side) = &self.agent {
            add_counters(&mut rtp, &side.counters);
        }
        rtp.latched = self.latched;
        score_view(&mut rtp, Codec::named(&self.codec).filter(|_| self.agent.is_none()));
        rtp
    }

    /// As shown.
    pub(crate) fn view(&self) -> LegView {
        LegView {
            sid: self.sid.clone(),
            kind: match &self.agent {
                Some(_) => "agent",
                None if self.is_request() => "api",
                None if self.records() => "siprec",
                None => "sip",
            },
            to_requested: false,
            has_own_call: self.sip.dialled.as_ref().is_some_and(|dialled| dialled.has_own_call()),
            dialled: self.sip.dialled.as_deref().map(Dialled::view).unwrap_or_default(),
            trunk: self.trunk_name().to_owned(),
            agent: self.agent.as_ref().map(|side| side.agent.shown().to_owned()).unwrap_or_default(),
            direction: if self.inbound { "inbound" } else { "outbound" },
            transport: match (self.flow.map(|flow| flow.transport), &self.agent) {
                (Some(Transport::Udp), _) => "udp",
                (Some(Transport::Tcp), _) => "tcp",
                (Some(Transport::Tls), _) => "tls",
                (None, Some(side)) if side.agent.is_raw() => "rtp",
                (None, Some(side)) if side.agent.url.starts_with("wss:") => "wss",
                (None, Some(_)) => "ws",
                (None, None) => "http",
            },
            remote: self.flow.map(|flow| flow.remote),
            sip_call_id: plain(&self.sip.call_id, CALL_ID_CHARS),
            codec: self.codec.clone(),
            converted_to: self.converted_to,
            srtp: self.srtp.map(Suite::as_str),
            state: self.state.as_str(),
            sip_code: self.said().map(|said| said.code),
            sip_text: self.said().and_then(Said::words),
            reason: self.shown_end().map(|end| end.reason.as_str()),
            ended_by: self.shown_end().map(|end| end.by.as_str()),
            ssrc: self
                .agent
                .as_ref()
                .and_then(|side| side.raw)
                .map(|raw| SourcesView { inbound: raw.inbound, outbound: raw.outbound }),
            media: self.media_view(),
            turn_ms: self.agent.as_ref().and_then(|side| side.turns.view()),
            silent: self.quality.is_silent(),
            rtp: self.rtp(),
        }
    }

    fn media_view(&self) -> Option<MediaView> {
        let end = self.ends.first()?;
        let announced = end.remote.as_ref()?.rtp;
        let used = announced.and(self.latched.or(announced));
        Some(MediaView { ours: SocketAddr::new(self.sdp.media_ip, end.bind.port()), announced, used })
    }

    /// As a fork; `None` where it is none.
    pub(crate) fn fork_view(&self) -> Option<ForkView> {
        let side: &AgentSide = self.agent.as_ref()?;
        let Role::Listen { tracks, .. } = side.part else { return None };
        let name = &side.agent.name;
        let both = [TrackName::Inbound, TrackName::Outbound].into_iter();
        Some(ForkView {
            id: self.sid.clone(),
            agent: (!name.is_empty()).then(|| name.to_string()),
            url: trunkgate_route::url_place(&side.agent.url).to_owned(),
            stream_sid: side.raw.is_none().then(|| side.stream_sid.clone()),
            tracks: both.filter(|track| tracks.has(*track)).map(TrackName::name).collect(),
            state: self.state.as_str(),
            reason: self.shown_end().map(|end| end.reason.as_str()),
            ended_by: self.shown_end().map(|end| end.by.as_str()),
            ssrc: side.raw.map(|raw| SourcesView { inbound: raw.inbound, outbound: raw.outbound }),
        })
    }

    /// Says why it ends. The first word counts: what comes after it follows from it.
    pub(crate) fn end_with(&mut self, reason: ReasonSlug, by: EndedBy) {
        self.end.get_or_insert(LegEnd { reason, by, failed: false });
    }

    /// Its target has failed the caller.
    pub(crate) fn fail_with(&mut self, reason: ReasonSlug) {
        self.end.get_or_insert(LegEnd { reason, by: EndedBy::of_failure(reason), failed: true });
    }

    /// What it may use where the edge itself is its other side; `wide`: an agent that has more than 4 kHz. For others G.711
    /// comes first: it is what they speak themselves.
    pub(crate) fn own_policy(&self, wide: bool) -> Policy {
        let mut policy = self.policy();
        if !wide {
            policy.codecs.sort_by_key(|codec| !["PCMU", "PCMA"].iter().any(|own| codec.eq_ignore_ascii_case(own)));
        }
        policy
    }

    /// The interval that we ask for, in seconds; `None` where we ask for none.
    fn session_wanted(&self) -> Option<u32> {
        let wanted = self
            .trunk
            .as_ref()
            .map_or(URI_SESSION_SECONDS, |trunk| u32::try_from(trunk.session_expires.as_secs()).unwrap_or(u32::MAX));
        (wanted > 0).then_some(wanted.max(SESSION_LEAST_SECONDS))
    }

    /// What an INVITE of ours to it says of session timers: in its first one what we want, later what is agreed on
    /// (RFC 4028 §7.1, §7.4).
    pub(crate) fn session_headers(&self) -> Vec<Extra> {
        let expires = match self.timer.agreed {
            Some(Agreed { seconds, ours, .. }) => {
                let refresher = Some(if ours { Refresher::Uac } else { Refresher::Uas });
                SessionExpires { seconds, refresher }
            }
            // Who refreshes is for the far end to choose.
            None if self.sip.dialog.is_none() => match self.session_wanted() {
                Some(seconds) => SessionExpires { seconds, refresher: None },
                None => return Vec::new(),
            },
            None => return Vec::new(),
        };
        let least = self.timer.least.max(SESSION_LEAST_SECONDS);
        vec![extra("Session-Expires", expires.to_string()), extra("Min-SE", least.to_string())]
    }

    /// Answers what its INVITE asked for, which begins a new interval: the headers of the 2xx (RFC 4028 §9, table 2).
    pub(crate) fn answer_session(&mut self, now: Instant, asked: Asked) -> Vec<Extra> {
        let before = self.timer.agreed.take();
        self.timer.lengthen(asked.least.unwrap_or_default());
        let least = self.timer.least.max(SESSION_LEAST_SECONDS);
        let (seconds, ours) = match asked.expires {
            Some(theirs) => {
                let wanted = self.session_wanted().unwrap_or(u32::MAX).max(least);
                let ours = match theirs.refresher {
                    Some(refresher) => refresher == Refresher::Uas,
                    // Its own proxy may have asked in its place.
                    None => !asked.supports || before.is_some_and(|before| before.ours),
                };
                (theirs.seconds.min(wanted), ours)
            }
            None if !asked.supports => return Vec::new(),
            None => match (before, self.session_wanted()) {
                (Some(before), _) => (before.seconds.max(least), before.ours),
                // It could, and has not asked: the side that wants it does the work.
                (None, Some(wanted)) => (wanted.max(least), true),
                (None, None) => return Vec::new(),
            },
        };
        self.timer.agreed = Some(Agreed::new(now, seconds, ours));
        let refresher = Some(if ours { Refresher::Uas } else { Refresher::Uac });
        let expires = extra("Session-Expires", SessionExpires { seconds, refresher }.to_string());
        let required = asked.supports.then(|| extra("Require", TIMER));
        std::iter::once(expires).chain(required).collect()
    }

    /// Takes what its 2xx to a request of ours says: a new interval, or none any more (RFC 4028 §7.2).
    pub(crate) fn take_session(&mut self, now: Instant, answered: Option<SessionExpires>) {
        self.timer.agreed = answered.map(|SessionExpires { seconds, refresher }| {
            // Without a word it is for us: two that refresh do no harm.
            Agreed::new(now, seconds, refresher != Some(Refresher::Uas))
        });
    }

    /// Whether the far side is known to be at the media addresses of a description.
    pub(crate) fn is_proven(&self, remote: &RemoteSpec) -> bool {
        [remote.rtp, remote.rtcp].into_iter().flatten().all(|address| self.proves(address.ip().to_canonical()))
    }

    fn proves(&self, ip: IpAddr) -> bool {
        self.flow.is_none_or(|flow| flow.transport.is_reliable())
            || self.signalling().to_canonical() == ip
            || self.proof.covers(ip)
            || self.trunk.as_ref().is_some_and(|trunk| is_of(trunk, ip))
    }

    /// Returns the media addresses in force that are proven.
    pub(crate) fn proven(&self) -> Vec<IpAddr> {
        let remotes = self.ends.iter().filter_map(|end| end.remote.as_ref());
        let addresses = remotes.flat_map(|remote| [remote.rtp, remote.rtcp]).flatten();
        let mut proven: Vec<IpAddr> = addresses.map(|address| address.ip().to_canonical()).collect();
        proven.sort_unstable();
        proven.dedup();
        proven.retain(|ip| self.proves(*ip));
        proven
    }

    /// Whether RTP comes from an address that is proven: it goes back there, whatever the descriptions say (NAT).
    pub(crate) fn is_heard(&self) -> bool {
        self.latched.is_some_and(|source| self.proves(source.ip().to_canonical()))
    }

    /// Returns an address in force to which nothing is sent.
    pub(crate) fn withheld(&self) -> Option<SocketAddr> {
        let withheld = |remote: &&RemoteSpec| remote.withheld;
        self.ends.iter().filter_map(|end| end.remote.as_ref()).find(withheld).and_then(|remote| remote.rtp)
    }

    /// Returns the leg of the sender of an INVITE.
    pub(crate) fn of_caller(edge: &mut Edge, incoming: &Incoming) -> Leg {
        let Incoming { server, flow, party, trunk, request } = incoming;
        let remote = flow.remote.ip();
        let media_ip = edge.addressing().media_shown_to(remote, flow.listener);
        let media_ip = media_ip.or_else(|| edge.addressing().shown_to(remote, Some(flow.listener)));
        // Without a route there is no answer that arrives either.
        let media_ip = media_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let call_id = request.call_id().unwrap_or_default();
        let mut leg = Leg {
            trunk: Some(trunk.clone()),
            inbound: true,
            sip: LegSip {
                server: Some(*server),
                call_id: String::from_utf8_lossy(call_id).into_owned(),
                ..LegSip::default()
            },
            proof: Proof::of_invite(trunk.require_auth.is_some()),
            ..Leg::new(edge.random_mut().sid(), *party, *flow, media_ip, edge.random_mut().session_id())
        };
        leg.learn(request);
        leg
    }

    /// What its INVITE offers, where that does.
    pub(crate) fn offered(&self, edge: &Edge, request: &Message) -> Result<Option<Description>, FinalAnswer> {
        let Some(sdp) = request.sdp() else { return Ok(None) };
        let offer = Description::parse(&sdp)
            .map_err(|e| FinalAnswer::bad_request(&format!("session description: {} (line {})", e.what, e.line)))?;
        if let Some(address) = forbidden_address(edge, self, &offer) {
            let text = format!("unusable media address {address}");
            return Err(FinalAnswer::not_acceptable(ReasonSlug::BadMedia, Refusal { warn_code: 399, text }));
        }
        self.admit(offer).map(Some).map_err(Failure::answer)
    }

    /// Scores of what it sent; of a call that was too short for one, that of the whole.
    pub(crate) fn scores(&self) -> Scored {
        let mut all = self.quality.scores;
        for end in &self.ends {
            all.add(Scored::of(&end.counters));
        }
        all.or_whole(self.rtp().mos)
    }
}

/// What a trunk, or a bare URI, may use of the edge's codecs.
pub(crate) fn policy(trunk: Option<&Trunk>) -> Policy {
    let uri = || DEFAULT_CODECS.map(str::to_owned).to_vec();
    let ptime_ms = trunk.map_or(URI_PTIME_MS, |t| t.ptime_ms);
    let dtmf = match trunk.map_or(Dtmf::Rfc4733, |t| t.dtmf) {
        Dtmf::Rfc4733 => trunkgate_sdp::Dtmf::Events,
        Dtmf::Info => trunkgate_sdp::Dtmf::Info,
        Dtmf::Inband => trunkgate_sdp::Dtmf::Tones,
    };
    Policy { codecs: trunk.map_or_else(uri, |t| t.codecs.clone()), ptime_ms, dtmf, ..Policy::default() }
}

/// The two wires of an agreed stream between an offerer and an answerer: (to the answerer, to the offerer).
pub(crate) fn wires(stream: &AgreedStream, offerer: &Leg, answerer: &Leg) -> (WireSpec, WireSpec) {
    let verbatim = stream.offerer.udptl;
    let wire = |payloads, clocks: Vec<(u8, u32)>, codec: &str, conversion: Option<&Conversion>, to: &Leg| {
        let transcode = conversion.and_then(|conversion| transcode(conversion, to.policy().ptime_ms));
        let converted =
            transcode.iter().flat_map(|spec| spec.from.iter().map(|(from, coding)| (*from, coding.clock_hz())));
        let clocks = clocks.into_iter().chain(converted).collect();
        WireSpec { payloads, clocks, verbatim, codec: Codec::named(codec), transcode, ..WireSpec::default() }
    };
    let converted = stream.converted.as_deref();
    let (there, back) = (converted.and_then(|c| c.to_answerer.as_ref()), converted.and_then(|c| c.to_offerer.as_ref()));
    let there = wire(stream.to_answerer(), stream.clocks_from_offerer(), &stream.codec, there, answerer);
    let back = wire(stream.to_offerer(), stream.clocks_from_answerer(), stream.codec_of_answerer(), back, offerer);
    let Some(own) = stream.own_events.as_deref() else { return (there, back) };
    let shared = own.audio.iter().map(|(of_offerer, of_answerer)| (of_answerer.clone(), of_offerer.clone())).collect();
    let turned = OwnEvents { offerer: own.answerer.clone(), answerer: own.offerer.clone(), audio: shared };
    (parted(there, own, (offerer, answerer)), parted(back, &turned, (answerer, offerer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_sdp::Direction;

    fn leg() -> Leg {
        let remote = "198.51.100.7:5060".parse().unwrap();
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        let trunk = Trunk { media_from: vec!["203.0.113.0/24".parse().unwrap()], ..Trunk::named("pbx") };
        let leg = Leg::new("CA0".into(), Party(1), flow, "192.0.2.1".parse().unwrap(), 7);
        Leg { trunk: Some(Arc::new(trunk)), inbound: true, ..leg }
    }

    fn far(rtp: Option<&str>) -> Far {
        let rtp = rtp.map(|rtp| rtp.parse().unwrap());
        Far { rtp, rtcp: None, rtcp_mux: false, udptl: false, direction: Direction::SendRecv }
    }

    fn description(version: u64, port: u16) -> Description {
        let text = format!(
            "v=0\r\no=- 1 {version} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        );
        Description::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn rfc_3264_8_the_version_rises_only_with_a_change() {
        let mut leg = leg();
        assert_eq!(leg.stamp(description(1, 4000)).origin.version, 1);
        assert_eq!(leg.stamp(description(1, 4000)).origin.version, 1);
        assert_eq!(leg.stamp(description(1, 4002)).origin.version, 2);
        assert_eq!(leg.stamp(description(1, 4002)).origin.version, 2);
        assert_eq!(leg.stamp(description(1, 4000)).origin.version, 3);
    }

    #[test]
    fn a_changed_origin_opens_the_latch_anew() {
        let mut leg = leg();
        assert!(!leg.take_theirs(&description(1, 4000)));
        assert!(!leg.take_theirs(&description(1, 4000)));
        assert!(leg.take_theirs(&description(2, 4000)));
    }

    #[test]
    fn expected_sources_are_the_described_and_the_signalling_address() {
        let leg = leg();
        for (rtp, expected) in [
            (Some("10.0.0.1:4000"), vec!["10.0.0.1", "198.51.100.7"]),
            (Some("198.51.100.7:4000"), vec!["198.51.100.7"]),
            (None, vec!["198.51.100.7"]),
        ] {
            let spec = leg.remote_spec(&far(rtp), LatchMode::Strict, false, true);
            let expected: Vec<IpAddr> = expected.iter().map(|ip| ip.parse().unwrap()).collect();
            assert_eq!(spec.expected, expected);
            assert_eq!(spec.expected_networks.len(), 1);
        }
    }

    #[test]
    fn silence_is_watched_only_in_an_answered_two_way_stream() {
        let leg = leg();
        for (direction, answered, watched) in [
            (Direction::SendRecv, true, true),
            (Direction::SendRecv, false, false),
            (Direction::SendOnly, true, false),
            (Direction::RecvOnly, true, false),
            (Direction::Inactive, true, false),
        ] {
            let far = Far { direction, ..far(Some("192.0.2.1:4000")) };
            let spec = leg.remote_spec(&far, LatchMode::Strict, false, answered);
            assert_eq!(spec.watch_idle, watched, "{direction:?}");
            for quiet in [Far { rtp: None, ..far.clone() }, Far { udptl: true, ..far }] {
                assert!(!leg.remote_spec(&quiet, LatchMode::Strict, false, answered).watch_idle);
            }
            assert_eq!((spec.may_send, spec.may_receive), (direction.sends(), direction.receives()));
        }
    }
}
