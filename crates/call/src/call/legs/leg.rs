//! Leg of a call: its dialog and its session descriptions. The agreement between two sides is translated into commands
//! for the media worker here and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::{AgentFormat, TrackName};
use trunkgate_media::mos::MosCodec;
use trunkgate_media::{EndCounters, EndId, LatchMode, RemoteSpec, SrtpKey, SrtpSpec, WireSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{CALL_ID_CHARS, NUMBER_CHARS, SESSION_LEAST_SECONDS, URI_SESSION_SECONDS};
use trunkgate_resources::lookups::sip::{TIMER, extra};
use trunkgate_resources::sessions::NewEnd;
use trunkgate_resources::trunks::health::TrunkAddress;
use trunkgate_route::{DEFAULT_CODECS, DtmfMode, Number, Trunk};
use trunkgate_sdp::crypto::Mki;
use trunkgate_sdp::keying::agreed;
use trunkgate_sdp::{
    AgreedStream, CodecConversion, CodecPolicy, InlineKey, LocalOrigin, MediaDescription, MediaEndpoint, OwnEvents,
    SdpRejection, SessionDescription, Suite,
};
use trunkgate_sip::header::{NameAddr, Refresher, SessionExpires};
use trunkgate_sip::{
    ClientId, DialogId, ExtraHeader, Flow, HeaderName, ListenerId, Method, ServerId, SipMessage, SipPartyId, Transport,
};
use trunkgate_story::FailureResponse;
use trunkgate_story::diagnosis::{CounterSnapshot, Diagnosis, FaultCause};
use trunkgate_story::impairment::{StoppedStream, StreamDirection};
use trunkgate_story::numbers::plain;
use trunkgate_story::quality::{ScoreSum, add_counters, retire, score_view};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::series::LegTotals;
use trunkgate_story::view::{ForkView, LegView, MediaView, RtpView, SourcesView};

use crate::call::legs::agent_leg::{AgentRole, AgentSide};
use crate::call::legs::caller_id::OF_CALLER_ID;
use crate::call::legs::codecs::{agent_coding, name, transcode};
use crate::call::legs::descriptions::forbidden_address;
use crate::call::legs::dialled::OutboundCall;
use crate::call::legs::digits::adapt_dtmf_wire;
use crate::call::legs::leg_end::{EndedBy, LegEnd, LegRejection};
use crate::call::legs::session_timer::{SessionInterval, SessionTimer, SessionTimerRequest};
use crate::call::legs::srtp::SrtpHistory;
use crate::call::legs::written::Written;
use crate::call::words::answer::{FinalAnswer, TargetFailure};
use crate::call::words::crash_gap::CrashGap;
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::proof::{Proof, is_of};

/// Packet length towards a bare URI, in milliseconds.
const URI_PTIME_MS: u32 = 20;
/// Margin of the versions of a description: more than a process sends between two writes of the call.
const VERSIONS_MARGIN: u32 = 32;

/// State of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LegState {
    /// INVITE sent or received; no ringing response yet.
    Trying,
    /// A ringing response was sent or received, without media.
    Ringing,
    /// A response with early media was sent or received.
    Early,
    /// 2xx sent or received.
    Answered,
    /// Canceled; waits for the final response, which may be a 2xx that crossed the CANCEL.
    Canceling,
    /// BYE handed to the endpoint, which holds it until our 2xx is acknowledged (RFC 3261 §15).
    Closing,
    /// Over; no dialog or transaction is left.
    Ended,
}

impl LegState {
    /// Returns the name for display.
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

/// Media end of one stream at this leg.
#[derive(Debug)]
pub(crate) struct StreamEnd {
    /// Index of the stream's m-line in the session descriptions.
    pub(crate) index: usize,
    /// Identifier in the media session.
    pub(crate) end: EndId,
    /// Local address and RTP port.
    pub(crate) bind: SocketAddr,
    /// Packet counters that the media worker updates.
    pub(crate) counters: Arc<EndCounters>,
    /// Remote address and mode that the media worker was last sent.
    pub(crate) remote: Option<RemoteSpec>,
    /// True once the media worker has confirmed that the ports are bound.
    pub(crate) is_bound: bool,
}

impl StreamEnd {
    /// Creates the end for an m-line.
    pub(crate) fn new(index: usize, new: NewEnd) -> StreamEnd {
        StreamEnd { index, end: new.end, bind: new.bind, counters: new.counters, remote: None, is_bound: false }
    }
}

/// Dialog of a leg, and its open transactions.
#[derive(Debug, Default)]
pub(crate) struct LegSip {
    /// Numbers and times of the call to this leg, if the edge has called it.
    pub(crate) dialled: Option<Box<OutboundCall>>,
    pub(crate) call_id: String,
    /// INVITE received on this leg, while it has no final response.
    pub(crate) server: Option<ServerId>,
    /// INVITE sent on this leg.
    pub(crate) invite: Option<ClientId>,
    /// Reason why our INVITE could not be sent.
    pub(crate) unsent: Option<Box<str>>,
    /// BYE sent on this leg.
    pub(crate) bye: Option<ClientId>,
    /// Dialog, set for the caller from the first 18x, for others from the 2xx.
    pub(crate) dialog: Option<DialogId>,
    /// True once any response to our INVITE has arrived.
    pub(crate) heard: bool,
    /// True if the wait for a response was extended because the TLS connection is not up yet.
    pub(crate) awaits_tls: bool,
    /// True if Allow of the remote party lists UPDATE.
    pub(crate) takes_update: bool,
    /// Host and port of the remote Contact.
    pub(crate) contact: Option<Box<str>>,
    /// Host and port of the first proxy in the dialog's Record-Route.
    pub(crate) record_route: Option<Box<str>>,
}

/// Descriptions of a leg: ours and those of its remote party.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LegSdp {
    /// Our media address in SDP.
    pub(crate) media_ip: IpAddr,
    /// Session id of our descriptions.
    pub(crate) session_id: u64,
    /// Last description sent to the remote party.
    pub(crate) last_sent: Option<Written>,
    /// Our description in force.
    pub(crate) ours: Option<Written>,
    /// Description of the remote party in force.
    pub(crate) theirs: Option<Written>,
    /// Versions after that of `last_sent` that a crashed process may have used; 0 if `last_sent` was sent last.
    #[serde(default)]
    skipped_versions: u32,
}

impl LegSdp {
    /// Leaves out versions of our description that crashed processes may have used.
    pub(super) fn skip_versions(&mut self, gap: CrashGap) {
        let skipped = gap.margins().saturating_mul(VERSIONS_MARGIN);
        self.skipped_versions = self.skipped_versions.saturating_add(skipped);
    }
}

/// Audio faults of a leg that began during the call.
#[derive(Debug, Default)]
pub(crate) struct LegFaults {
    /// Time and cause of a stream that stopped.
    pub(crate) stopped: Option<StoppedStream>,
    /// Directions with high packet loss.
    pub(crate) losses: Vec<(StreamDirection, Diagnosis)>,
}

impl LegQuality {
    /// Keeps the counters of an end that is removed.
    pub(crate) fn retire(&mut self, counters: &EndCounters) {
        retire(self.earlier.get_or_insert_default(), &mut self.scores, counters);
    }

    /// Returns time and cause of a stream that stopped during the call.
    pub(crate) fn stopped(&self) -> Option<&StoppedStream> {
        self.faults.as_ref()?.stopped.as_ref()
    }

    /// Returns whether the party was not heard, sent only digital silence, or its stream stopped.
    pub(crate) fn is_silent(&self) -> bool {
        self.unheard.is_some() || self.stopped().is_some() || self.digital_silence().is_some()
    }

    /// Returns the evidence that the party sent only digital silence for a significant time.
    pub(crate) fn digital_silence(&self) -> Option<&Diagnosis> {
        self.flaw.as_deref().filter(|flaw| flaw.cause == FaultCause::Silence)
    }

    /// Returns whether a fault with this cause is already reported for the leg.
    pub(crate) fn tells(&self, cause: FaultCause) -> bool {
        let stopped = self.stopped().map(|stopped| &stopped.found);
        [self.flaw.as_deref(), self.unheard.as_deref(), stopped].into_iter().flatten().any(|told| told.cause == cause)
    }
}

/// Media quality of a leg and its faults.
#[derive(Debug, Default)]
pub(crate) struct LegQuality {
    /// Counters from before a restart, and of removed ends.
    pub(crate) earlier: Option<Box<RtpView>>,
    /// Scores of removed ends.
    pub(crate) scores: ScoreSum,
    /// Reason why the party was not heard.
    pub(crate) unheard: Option<Box<Diagnosis>>,
    /// Fault of audio in either direction, such as a codec that was not negotiated.
    pub(crate) flaw: Option<Box<Diagnosis>>,
    /// Faults that began during the call.
    pub(crate) faults: Option<Box<LegFaults>>,
    /// True once the result of the audio check is reported to the trunk.
    pub(crate) is_judged: bool,
    /// Packets already counted for the trunk.
    pub(crate) counted: LegTotals,
    /// Packet counters at the last check of the audio, and its time.
    pub(crate) looked: Option<(CounterSnapshot, Instant)>,
}

/// Leg of a call: the signalling and media with one remote party.
#[derive(Debug)]
pub(crate) struct Leg {
    /// SID: `CA` + 32 hex digits.
    pub(crate) sid: String,
    /// Configuration of the trunk, as of the start of the leg; `None` for a bare URI.
    pub(crate) trunk: Option<Arc<Trunk>>,
    /// Trunk to which a bare URI leads; the leg counts against its limits.
    pub(crate) governs: Option<Arc<Trunk>>,
    /// Party at the SIP endpoint.
    pub(crate) party: SipPartyId,
    /// Peer as configured, for an outbound leg.
    pub(crate) peer: String,
    /// True if the remote party called the edge.
    pub(crate) inbound: bool,
    /// Called number, if it differs from the number that the caller dialled, as after a transfer.
    pub(crate) number: Option<Box<Number>>,
    /// True if the party has requested a join and hung up; the leg no longer counts for its trunk.
    pub(crate) has_left: bool,
    /// Party to which a relayed REFER has named this leg's dialog, and which may replace it.
    pub(crate) named_to: Option<SipPartyId>,
    /// Signalling flow; `None` for an agent.
    pub(crate) flow: Option<Flow>,
    /// State of an agent, if the leg leads to one.
    pub(crate) agent: Option<Box<AgentSide>>,
    pub(crate) state: LegState,
    /// Reason for the end of the leg, past or imminent.
    pub(crate) end: Option<LegEnd>,
    /// Rejection of the call by the remote party.
    pub(crate) rejection: Option<Box<LegRejection>>,
    pub(crate) timer: SessionTimer,
    /// Media ends, one for each anchored m-line.
    pub(crate) ends: Vec<StreamEnd>,
    /// Negotiated codec; empty before negotiation.
    pub(crate) codec: String,
    /// Earlier SRTP streams of the leg.
    pub(crate) srtp_history: SrtpHistory,
    /// Codec into which the leg's audio is transcoded, if any.
    pub(crate) converted_to: Option<&'static str>,
    /// Agreed SRTP suite.
    pub(crate) srtp: Option<Suite>,
    /// Source address of RTP, once learned.
    pub(crate) latched: Option<SocketAddr>,
    /// Proof that the remote party is reachable at its addresses.
    pub(crate) proof: Proof,
    pub(crate) sip: LegSip,
    pub(crate) sdp: LegSdp,
    /// Media quality and faults.
    pub(crate) quality: LegQuality,
}

impl Leg {
    /// Changes the state, and returns the previous one. A leg must not leave [`LegState::Ended`], which debug builds
    /// check.
    pub(crate) fn enter(&mut self, state: LegState) -> LegState {
        debug_assert!(self.state != LegState::Ended || state == LegState::Ended, "an ended leg becomes {state:?}");
        std::mem::replace(&mut self.state, state)
    }

    /// Returns whether the party is known not to have been heard so far.
    pub(crate) fn is_unheard(&self) -> bool {
        self.quality.unheard.is_some() && self.ends.iter().all(|end| end.counters.rx_packets.get() == 0)
    }

    /// Returns whether all audio of the leg is digital silence, however short.
    pub(crate) fn has_only_silence(&self) -> bool {
        let symptoms = || self.ends.iter().map(|end| &end.counters.symptoms);
        symptoms().any(|one| one.silent.get() > 0) && symptoms().all(|one| one.sounded.get() == 0)
    }

    /// Returns the reason why the party is not heard in a connected call: no audio, or only digital silence.
    pub(crate) fn silence(&self) -> Option<&Diagnosis> {
        let unheard = self.quality.unheard.as_deref().filter(|_| self.is_unheard());
        unheard.or_else(|| self.quality.digital_silence().filter(|_| self.has_only_silence()))
    }

    /// Returns the caller ID sent to the remote party if that may be the cause of its rejection.
    pub(crate) fn caller_id_rejected(&self) -> Option<&str> {
        let rejection = self.rejection.as_ref()?;
        rejection.caller_id.as_deref().filter(|_| OF_CALLER_ID.contains(&rejection.said.code))
    }

    /// Returns the response with which the remote party rejected the call.
    pub(crate) fn said(&self) -> Option<&FailureResponse> {
        self.rejection.as_ref().map(|rejection| &rejection.said)
    }

    /// Creates a leg in its initial state.
    pub(crate) fn new(sid: String, party: SipPartyId, flow: Flow, media_ip: IpAddr, session_id: u64) -> Leg {
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
            srtp_history: SrtpHistory::default(),
            converted_to: None,
            srtp: None,
            latched: None,
            proof: Proof::default(),
            sip: LegSip::default(),
            sdp: LegSdp { media_ip, session_id, last_sent: None, ours: None, theirs: None, skipped_versions: 0 },
            quality: LegQuality::default(),
        }
    }

    /// Creates leg 0 of a requested call, which represents the HTTP request.
    pub(crate) fn of_request(sid: String, name: &str) -> Leg {
        let leg = Leg::new(sid, SipPartyId(0), Leg::nowhere(), Ipv4Addr::UNSPECIFIED.into(), 0);
        Leg { flow: None, inbound: true, peer: name.to_owned(), ..leg }
    }

    /// Returns whether the leg represents an HTTP request and has no remote party.
    pub(crate) fn is_request(&self) -> bool {
        self.flow.is_none() && self.agent.is_none()
    }

    /// Returns the key of the leg's signalling address in the health table; `None` without a trunk or a flow.
    pub(crate) fn spot(&self) -> Option<TrunkAddress> {
        Some(TrunkAddress::of(&self.trunk.as_ref()?.name, self.flow.as_ref()?))
    }

    /// Updates the capabilities and addresses of the remote party from a message.
    pub(crate) fn learn(&mut self, message: &SipMessage) {
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

    /// Creates the leg of an agent that is being connected.
    pub(crate) fn of_agent(sid: String, side: AgentSide) -> Leg {
        let leg = Leg::new(sid, SipPartyId(0), Leg::nowhere(), Ipv4Addr::UNSPECIFIED.into(), 0);
        let codec = name(agent_coding(AgentFormat::from_name(side.agent.format).unwrap_or_default())).to_owned();
        Leg { flow: None, agent: Some(Box::new(side)), codec, ..leg }
    }

    /// Returns a placeholder flow for legs without signalling.
    pub(crate) fn nowhere() -> Flow {
        let remote = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Flow { transport: Transport::Tcp, listener: ListenerId(0), remote, connection: None }
    }

    /// Returns whether the leg leads to an agent that only listens.
    pub(crate) fn listens(&self) -> bool {
        self.agent.as_ref().is_some_and(|side| side.listens())
    }

    /// Returns whether the leg is an agent that listens to the call and has not ended.
    pub(crate) fn is_active_listener(&self) -> bool {
        self.listens() && self.state != LegState::Ended
    }

    /// Returns whether the leg leads to a recording server, which is not a party of the call.
    pub(crate) fn records(&self) -> bool {
        self.trunk.as_ref().is_some_and(|trunk| trunk.siprec.is_some())
    }

    /// Returns whether the leg is not a party of the call: a listener or a recording server.
    pub(crate) fn is_beside(&self) -> bool {
        self.records() || self.listens()
    }

    /// Returns the remote signalling address; unspecified for an agent.
    pub(crate) fn signalling(&self) -> IpAddr {
        self.flow.map_or(Ipv4Addr::UNSPECIFIED.into(), |flow| flow.remote.ip())
    }

    /// Returns the trunk with the limits against which the leg counts; `None` for an agent, and for a URI that leads to
    /// no trunk.
    pub(crate) fn limited_by(&self) -> Option<&Arc<Trunk>> {
        self.trunk.as_ref().or(self.governs.as_ref())
    }

    /// Returns the name of the trunk; empty for a bare URI.
    pub(crate) fn trunk_name(&self) -> &str {
        self.trunk.as_ref().map_or("", |t| &t.name)
    }

    /// Returns the codec policy of the leg.
    pub(crate) fn policy(&self) -> CodecPolicy {
        policy(self.trunk.as_deref())
    }

    /// Returns the DTMF mode of the leg.
    pub(crate) fn dtmf(&self) -> DtmfMode {
        self.trunk.as_ref().map_or(DtmfMode::Rfc4733, |trunk| trunk.dtmf)
    }

    /// Returns the origin for our next description; [`Self::stamp`] sets the final version.
    pub(crate) fn identity(&self) -> LocalOrigin {
        let version = self.sdp.last_sent.as_ref().map_or(1, Written::version);
        LocalOrigin { session_id: self.sdp.session_id, version, ip: self.sdp.media_ip }
    }

    /// Returns our RTP ports for these m-lines; 0 for a missing one.
    pub(crate) fn ports(&self, streams: &[usize]) -> Vec<u16> {
        streams.iter().map(|index| self.end(*index).map_or(0, |end| end.bind.port())).collect()
    }

    /// Returns the media end of an m-line.
    pub(crate) fn end(&self, index: usize) -> Option<&StreamEnd> {
        self.ends.iter().find(|end| end.index == index)
    }

    /// Sets the version of a description: unchanged for an equal one, else incremented (RFC 3264 §8). After a crash the
    /// last description is unknown, so the first one gets a new version in any case.
    pub(crate) fn stamp(&mut self, mut description: SessionDescription) -> SessionDescription {
        let skipped = std::mem::take(&mut self.sdp.skipped_versions);
        if let Some(last) = &self.sdp.last_sent {
            description.origin.version = last.version();
            if skipped == 0 && last.says(&description) {
                return description;
            }
            description.origin.version = last.version().saturating_add(skipped.into()).saturating_add(1);
        }
        self.sdp.last_sent = Some(Written::new(&description));
        description
    }

    /// Restores the description in force, under a new version, after the description last sent was refused.
    pub(crate) fn take_back(&mut self) {
        if let Some(ours) = self.sdp.ours.as_ref().and_then(Written::read) {
            self.stamp(ours);
        }
    }

    /// Appends the other sections of the leg's session to an offer, as refused ones, because sections never disappear
    /// (RFC 3264 §8). Sections that were never agreed on are not included.
    pub(crate) fn keep_sections(&self, offer: &mut SessionDescription) {
        let sections = self.theirs().map(|theirs| theirs.media).unwrap_or_default();
        offer.media.extend(sections.iter().skip(offer.media.len()).map(MediaDescription::rejected));
    }

    /// Puts the remote party's description into force; returns whether its `o=` line has changed.
    pub(crate) fn take_theirs(&mut self, description: &SessionDescription) -> bool {
        let written = Written::new(description);
        let changed = self.sdp.theirs.as_ref().is_some_and(|before| before.has_other_origin(&written));
        self.sdp.theirs = Some(written);
        changed
    }

    /// Parses the last description that we sent; `None` if there is none.
    pub(crate) fn sent(&self) -> Option<SessionDescription> {
        self.sdp.last_sent.as_ref()?.read()
    }

    /// Parses the remote party's description in force; `None` if there is none.
    pub(crate) fn theirs(&self) -> Option<SessionDescription> {
        self.sdp.theirs.as_ref()?.read()
    }

    /// Parses both descriptions in force: ours and the remote party's. `None` if one is missing.
    pub(crate) fn session(&self) -> Option<(SessionDescription, SessionDescription)> {
        let (ours, theirs) = self.sdp.ours.as_ref().zip(self.sdp.theirs.as_ref())?;
        Some((ours.read()?, theirs.read()?))
    }

    /// Returns the remote address and mode of a stream for the media worker, without SRTP keys ([`Self::srtp_spec`]).
    pub(crate) fn remote_spec(
        &self,
        far: &MediaEndpoint,
        latch: LatchMode,
        relatch: bool,
        answered: bool,
    ) -> RemoteSpec {
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
            // Decided afterwards, from all other fields, in `CallCx::tell_remote`.
            withheld: false,
            relatch,
            // Either side of a hold may be silent, and so may a receiving fax machine. A description without an address
            // is a hold of RFC 2543.
            watch_idle: answered && sends && receives && far.rtp.is_some() && !far.udptl,
            srtp: None,
        }
    }

    /// Returns the SRTP keys of a stream from the descriptions in force; `None` for plain RTP.
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
        let (rolled, own_sources) = (self.srtp_history.rolled(), self.srtp_history.own_sources(&self.sid, index));
        Some(SrtpSpec { send: key(keys.ours)?, receive: key(keys.theirs)?, rolled, own_sources })
    }

    /// Returns the reason for the end, once the leg is shown as ended.
    pub(crate) fn shown_end(&self) -> Option<LegEnd> {
        self.end.filter(|_| matches!(self.state, LegState::Canceling | LegState::Closing | LegState::Ended))
    }

    /// Returns the counters of all RTP ends, including removed ones.
    pub(crate) fn figures(&self) -> RtpView {
        let mut figures = self.quality.earlier.as_deref().cloned().unwrap_or_default();
        for end in &self.ends {
            add_counters(&mut figures, &end.counters);
        }
        figures
    }

    /// Returns the media figures of the whole leg.
    pub(crate) fn rtp(&self) -> RtpView {
        let mut rtp = self.figures();
        if let Some(side) = &self.agent {
            add_counters(&mut rtp, &side.counters);
        }
        rtp.latched = self.latched;
        score_view(&mut rtp, MosCodec::named(&self.codec).filter(|_| self.agent.is_none()));
        rtp
    }

    /// Returns the leg for display.
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
            dialled: self.sip.dialled.as_deref().map(OutboundCall::view).unwrap_or_default(),
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
            sip_text: self.said().and_then(FailureResponse::words),
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

    /// Returns the media fork (the stream to a listening agent) that this leg stands for, for display; `None` for any
    /// other leg.
    pub(crate) fn fork_view(&self) -> Option<ForkView> {
        let side: &AgentSide = self.agent.as_ref()?;
        let AgentRole::Listen { tracks, .. } = side.part else { return None };
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

    /// Sets the reason for the end. The first reason is kept, as later ones result from it.
    pub(crate) fn end_with(&mut self, reason: ReasonSlug, by: EndedBy) {
        self.end.get_or_insert(LegEnd { reason, by, failed: false });
    }

    /// Sets the reason for the end of a leg that failed the caller.
    pub(crate) fn fail_with(&mut self, reason: ReasonSlug) {
        self.end.get_or_insert(LegEnd { reason, by: EndedBy::of_failure(reason), failed: true });
    }

    /// Returns the codec policy for a session with the edge itself. G.711 comes first unless `wide`, for an agent with
    /// more than 4 kHz of audio bandwidth.
    pub(crate) fn own_policy(&self, wide: bool) -> CodecPolicy {
        let mut policy = self.policy();
        if !wide {
            policy.codecs.sort_by_key(|codec| !["PCMU", "PCMA"].iter().any(|own| codec.eq_ignore_ascii_case(own)));
        }
        policy
    }

    /// Returns the session interval that we request, in seconds; `None` if we request none.
    fn session_wanted(&self) -> Option<u32> {
        let wanted = self
            .trunk
            .as_ref()
            .map_or(URI_SESSION_SECONDS, |trunk| u32::try_from(trunk.session_expires.as_secs()).unwrap_or(u32::MAX));
        (wanted > 0).then_some(wanted.max(SESSION_LEAST_SECONDS))
    }

    /// Returns the session timer headers for our INVITE: the requested interval at first, the agreed one later (RFC
    /// 4028 §7.1, §7.4).
    pub(crate) fn session_headers(&self) -> Vec<ExtraHeader> {
        let expires = match self.timer.agreed {
            Some(SessionInterval { seconds, ours, .. }) => {
                let refresher = Some(if ours { Refresher::Uac } else { Refresher::Uas });
                SessionExpires { seconds, refresher }
            }
            // The remote party chooses the refresher.
            None if self.sip.dialog.is_none() => match self.session_wanted() {
                Some(seconds) => SessionExpires { seconds, refresher: None },
                None => return Vec::new(),
            },
            None => return Vec::new(),
        };
        let least = self.timer.least.max(SESSION_LEAST_SECONDS);
        vec![extra("Session-Expires", expires.to_string()), extra("Min-SE", least.to_string())]
    }

    /// Starts a new session interval for the remote party's INVITE, and returns the headers of our 2xx (RFC 4028 §9,
    /// table 2).
    pub(crate) fn answer_session(&mut self, now: Instant, asked: SessionTimerRequest) -> Vec<ExtraHeader> {
        let before = self.timer.agreed.take();
        self.timer.lengthen(asked.least.unwrap_or_default());
        let least = self.timer.least.max(SESSION_LEAST_SECONDS);
        let (seconds, ours) = match asked.expires {
            Some(theirs) => {
                let wanted = self.session_wanted().unwrap_or(u32::MAX).max(least);
                let ours = match theirs.refresher {
                    Some(refresher) => refresher == Refresher::Uas,
                    // The sender's own proxy may have made the request.
                    None => !asked.supports || before.is_some_and(|before| before.ours),
                };
                (theirs.seconds.min(wanted), ours)
            }
            None if !asked.supports => return Vec::new(),
            None => match (before, self.session_wanted()) {
                (Some(before), _) => (before.seconds.max(least), before.ours),
                // The sender supports session timers but requested none, so the edge refreshes.
                (None, Some(wanted)) => (wanted.max(least), true),
                (None, None) => return Vec::new(),
            },
        };
        self.timer.agreed = Some(SessionInterval::new(now, seconds, ours));
        let refresher = Some(if ours { Refresher::Uas } else { Refresher::Uac });
        let expires = extra("Session-Expires", SessionExpires { seconds, refresher }.to_string());
        let required = asked.supports.then(|| extra("Require", TIMER));
        std::iter::once(expires).chain(required).collect()
    }

    /// Applies the session interval of a 2xx to our request; without Session-Expires the timer ends (RFC 4028 §7.2).
    pub(crate) fn take_session(&mut self, now: Instant, answered: Option<SessionExpires>) {
        self.timer.agreed = answered.map(|SessionExpires { seconds, refresher }| {
            // Without `refresher`, the edge refreshes: two refreshers do no harm.
            SessionInterval::new(now, seconds, refresher != Some(Refresher::Uas))
        });
    }

    /// Returns whether the media addresses of a stream are proven to be the remote party's.
    pub(crate) fn is_proven(&self, remote: &RemoteSpec) -> bool {
        [remote.rtp, remote.rtcp].into_iter().flatten().all(|address| self.proves(address.ip().to_canonical()))
    }

    fn proves(&self, ip: IpAddr) -> bool {
        self.flow.is_none_or(|flow| flow.transport.is_reliable())
            || self.signalling().to_canonical() == ip
            || self.proof.covers(ip)
            || self.trunk.as_ref().is_some_and(|trunk| is_of(trunk, ip))
    }

    /// Returns the proven media addresses in force.
    pub(crate) fn proven(&self) -> Vec<IpAddr> {
        let remotes = self.ends.iter().filter_map(|end| end.remote.as_ref());
        let addresses = remotes.flat_map(|remote| [remote.rtp, remote.rtcp]).flatten();
        let mut proven: Vec<IpAddr> = addresses.map(|address| address.ip().to_canonical()).collect();
        proven.sort_unstable();
        proven.dedup();
        proven.retain(|ip| self.proves(*ip));
        proven
    }

    /// Returns whether RTP arrives from a proven address; media returns there regardless of the descriptions (NAT).
    pub(crate) fn is_heard(&self) -> bool {
        self.latched.is_some_and(|source| self.proves(source.ip().to_canonical()))
    }

    /// Returns a media address of the descriptions in force to which no media is sent, because it is not proven.
    pub(crate) fn withheld(&self) -> Option<SocketAddr> {
        let withheld = |remote: &&RemoteSpec| remote.withheld;
        self.ends.iter().filter_map(|end| end.remote.as_ref()).find(withheld).and_then(|remote| remote.rtp)
    }

    /// Creates the leg of an INVITE's sender.
    pub(crate) fn of_caller(edge: &mut Edge, incoming: &IncomingInvite) -> Leg {
        let IncomingInvite { server, flow, party, trunk, request } = incoming;
        let remote = flow.remote.ip();
        let media_ip = edge.addressing().media_shown_to(remote, flow.listener);
        let media_ip = media_ip.or_else(|| edge.addressing().shown_to(remote, Some(flow.listener)));
        // Without a route to the caller, no response would arrive either.
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

    /// Parses the offer of an INVITE, if it has one.
    ///
    /// # Errors
    /// 400 if the offer is invalid, 488 if its media address, codecs or SRTP use are not allowed.
    pub(crate) fn offered(&self, edge: &Edge, request: &SipMessage) -> Result<Option<SessionDescription>, FinalAnswer> {
        let Some(sdp) = request.sdp() else { return Ok(None) };
        let offer = SessionDescription::parse(&sdp)
            .map_err(|e| FinalAnswer::bad_request(&format!("session description: {} (line {})", e.what, e.line)))?;
        if let Some(address) = forbidden_address(edge, self, &offer) {
            let text = format!("unusable media address {address}");
            return Err(FinalAnswer::not_acceptable(ReasonSlug::BadMedia, SdpRejection { warn_code: 399, text }));
        }
        self.admit(offer).map(Some).map_err(TargetFailure::answer)
    }

    /// Returns the scores of received audio; for a call shorter than an interval, the score of the whole call.
    pub(crate) fn scores(&self) -> ScoreSum {
        let mut all = self.quality.scores;
        for end in &self.ends {
            all.add(ScoreSum::of(&end.counters));
        }
        all.or_whole(self.rtp().mos)
    }
}

/// Returns the codec policy of a trunk, or of a bare URI.
pub(crate) fn policy(trunk: Option<&Trunk>) -> CodecPolicy {
    let uri = || DEFAULT_CODECS.map(str::to_owned).to_vec();
    let ptime_ms = trunk.map_or(URI_PTIME_MS, |t| t.ptime_ms);
    let dtmf = match trunk.map_or(DtmfMode::Rfc4733, |t| t.dtmf) {
        DtmfMode::Rfc4733 => trunkgate_sdp::DtmfMethod::Events,
        DtmfMode::Info => trunkgate_sdp::DtmfMethod::Info,
        DtmfMode::Inband => trunkgate_sdp::DtmfMethod::Tones,
    };
    CodecPolicy { codecs: trunk.map_or_else(uri, |t| t.codecs.clone()), ptime_ms, dtmf, ..CodecPolicy::default() }
}

/// Returns the two wires of an agreed stream: to the answerer, and to the offerer.
pub(crate) fn wires(stream: &AgreedStream, offerer: &Leg, answerer: &Leg) -> (WireSpec, WireSpec) {
    let verbatim = stream.offerer.udptl;
    let wire = |payloads, clocks: Vec<(u8, u32)>, codec: &str, conversion: Option<&CodecConversion>, to: &Leg| {
        let transcode = conversion.and_then(|conversion| transcode(conversion, to.policy().ptime_ms));
        let converted =
            transcode.iter().flat_map(|spec| spec.from.iter().map(|(from, coding)| (*from, coding.clock_hz())));
        let clocks = clocks.into_iter().chain(converted).collect();
        WireSpec { payloads, clocks, verbatim, codec: MosCodec::named(codec), transcode, ..WireSpec::default() }
    };
    let converted = stream.converted.as_deref();
    let (there, back) = (converted.and_then(|c| c.to_answerer.as_ref()), converted.and_then(|c| c.to_offerer.as_ref()));
    let there = wire(stream.to_answerer(), stream.clocks_from_offerer(), &stream.codec, there, answerer);
    let back = wire(stream.to_offerer(), stream.clocks_from_answerer(), stream.codec_of_answerer(), back, offerer);
    let Some(own) = stream.own_events.as_deref() else { return (there, back) };
    let shared = own.audio.iter().map(|(of_offerer, of_answerer)| (of_answerer.clone(), of_offerer.clone())).collect();
    let turned = OwnEvents { offerer: own.answerer.clone(), answerer: own.offerer.clone(), audio: shared };
    (adapt_dtmf_wire(there, own, (offerer, answerer)), adapt_dtmf_wire(back, &turned, (answerer, offerer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_sdp::MediaDirection;

    fn leg() -> Leg {
        let remote = "198.51.100.7:5060".parse().unwrap();
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        let trunk = Trunk { media_from: vec!["203.0.113.0/24".parse().unwrap()], ..Trunk::named("pbx") };
        let leg = Leg::new("CA0".into(), SipPartyId(1), flow, "192.0.2.1".parse().unwrap(), 7);
        Leg { trunk: Some(Arc::new(trunk)), inbound: true, ..leg }
    }

    fn far(rtp: Option<&str>) -> MediaEndpoint {
        let rtp = rtp.map(|rtp| rtp.parse().unwrap());
        MediaEndpoint { rtp, rtcp: None, rtcp_mux: false, udptl: false, direction: MediaDirection::SendRecv }
    }

    fn description(version: u64, port: u16) -> SessionDescription {
        let text = format!(
            "v=0\r\no=- 1 {version} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        );
        SessionDescription::parse(text.as_bytes()).unwrap()
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
            (MediaDirection::SendRecv, true, true),
            (MediaDirection::SendRecv, false, false),
            (MediaDirection::SendOnly, true, false),
            (MediaDirection::RecvOnly, true, false),
            (MediaDirection::Inactive, true, false),
        ] {
            let far = MediaEndpoint { direction, ..far(Some("192.0.2.1:4000")) };
            let spec = leg.remote_spec(&far, LatchMode::Strict, false, answered);
            assert_eq!(spec.watch_idle, watched, "{direction:?}");
            for quiet in [MediaEndpoint { rtp: None, ..far.clone() }, MediaEndpoint { udptl: true, ..far }] {
                assert!(!leg.remote_spec(&quiet, LatchMode::Strict, false, answered).watch_idle);
            }
            assert_eq!((spec.may_send, spec.may_receive), (direction.sends(), direction.receives()));
        }
    }
}
