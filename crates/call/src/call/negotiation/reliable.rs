//! What a caller is told before its 2xx by a provisional answer that it acknowledges (RFC 3262): our answer to its offer, or
//! our offer where it made none. From then on that stands: a 2xx says nothing else, and what another target agrees on
//! later reaches the caller by a re-INVITE. Each side of a call has such answers, or not, by itself.

use std::time::Instant;

use bytes::Bytes;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_sdp::{Agreed, Description, accept, anchored_streams, relay_offer};
use trunkgate_sip::{Answer, ServerId};

use crate::call::legs::leg::LegState;
use crate::call::negotiation::bridge::bad_media;
use crate::call::search::answer::Failure;
use crate::call::{Call, State, refuse_request};

/// What a caller has been told reliably.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum EarlySession {
    /// Nothing that counts.
    #[default]
    Nothing,
    /// Our answer to its offer.
    Answer,
    /// Our offer; its PRACK brings the answer.
    Offer,
    /// Our offer, which it has answered.
    Agreed,
    /// Our answer to a further offer of its.
    Changed,
}

impl Call {
    /// Whether a caller may be told a description before its 2xx: one that made no offer only reliably (RFC 3261 §13.2.1),
    /// and not twice.
    pub(crate) fn may_be_told(&self, edge: &Edge) -> bool {
        let reliably = || self.legs[LegId::CALLER].server.is_some_and(|server| edge.endpoint.may_be_reliable(server));
        // Nobody is heard in the place of the agent that has the caller.
        if self.is_consulting() {
            return false;
        }
        self.negotiation.offer.is_some()
            || (self.negotiation.early == EarlySession::Nothing && self.state == State::Searching && reliably())
    }

    /// Whether our offer has gone to the caller in a provisional answer.
    pub(crate) fn has_been_offered(&self) -> bool {
        matches!(self.negotiation.early, EarlySession::Offer | EarlySession::Agreed)
    }

    /// Whether an offer of the caller has our answer, which stands.
    pub(crate) fn has_been_answered(&self) -> bool {
        matches!(self.negotiation.early, EarlySession::Answer | EarlySession::Changed)
    }

    /// A provisional answer to the caller; reliable where it says how the media goes and the caller can acknowledge it. Once
    /// it has, nothing more is said of the media.
    pub(crate) fn tell_early(&mut self, now: Instant, edge: &mut Edge, server: ServerId, mut answer: Answer) {
        if self.negotiation.early != EarlySession::Nothing {
            answer.body = None;
        }
        answer.reliable = answer.body.is_some();
        let counts = answer.reliable && edge.endpoint.may_be_reliable(server);
        let Some(dialog) = edge.respond(now, server, answer) else { return };
        self.legs.own_dialog(edge, LegId::CALLER, dialog);
        if counts && self.negotiation.offer.is_some() {
            self.negotiation.early = EarlySession::Answer;
        } else if counts {
            self.negotiation.early = EarlySession::Offer;
            self.negotiation.late = Some(LegId::CALLER);
        }
    }

    /// The caller has acknowledged a provisional answer; where that was our offer, with its answer.
    pub(crate) fn acknowledged_early(&mut self, now: Instant, edge: &mut Edge, leg: LegId, sdp: Option<Bytes>) {
        if leg != LegId::CALLER || self.negotiation.early != EarlySession::Offer {
            return;
        }
        if self.state != State::Searching {
            self.negotiation.early = EarlySession::Nothing;
            // Its 2xx is on its way now, but not acknowledged.
            let server = self.legs[LegId::CALLER].server.take();
            self.acked(now, edge, leg, sdp);
            self.legs[LegId::CALLER].server = server;
            return;
        }
        self.negotiation.early = EarlySession::Agreed;
        self.negotiation.late = None;
        let rings = self.legs.find(|leg| !leg.inbound && leg.state == LegState::Early);
        let result = match (sdp, rings) {
            (None, _) => Err(bad_media("PRACK without answer to our offer")),
            (Some(sdp), Some(other)) => self.late_answer(now, edge, LegId::CALLER, Some(other), &sdp),
            // Whoever it was for has gone meanwhile.
            (Some(sdp), None) => self.legs.read(edge, LegId::CALLER, &sdp).map(|answer| {
                let caller = &mut self.legs[LegId::CALLER];
                caller.take_theirs(&answer);
                caller.ours = caller.last_sent.clone();
            }),
        };
        if let Err(failure) = result {
            let text = failure.warning.as_ref().map(|warning| warning.text.clone()).unwrap_or_default();
            edge.decide(now, self.key, format!("unusable answer in PRACK: {text}"));
            self.refuse(now, edge, &failure.answer());
        }
    }

    /// A PRACK that brings another offer. Where the called side has answered meanwhile, what was agreed stands.
    pub(crate) fn offered_in_prack(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        server: ServerId,
        sdp: Option<Bytes>,
    ) {
        match sdp {
            Some(sdp) if self.state == State::Searching => self.offered_early(now, edge, leg, server, &sdp),
            Some(_) | None => refuse_request(now, edge, server, 488),
        }
    }

    /// The caller does not acknowledge what it is told: it is gone.
    pub(crate) fn not_acknowledged_early(&mut self, now: Instant, edge: &mut Edge) {
        if let Some(server) = self.legs[LegId::CALLER].server.take() {
            edge.index.servers.remove(&server);
        }
        self.legs.leg_gone(edge, LegId::CALLER);
        self.end_unacknowledged(now, edge, 504);
    }

    /// Our answer to the caller is what it was told; where another one would be right it is asked again after its ACK.
    pub(crate) fn answer_as_told(&mut self, answer: &Description) -> Result<Description, Failure> {
        let told = self.legs[LegId::CALLER].ours.as_ref().ok_or_else(|| bad_media("no answer"))?;
        let same = told.says_but_for_version(answer);
        let told = told.read().ok_or_else(|| bad_media("no answer"))?;
        if !same && self.state == State::Answered {
            self.owe(LegId::CALLER, false);
        }
        Ok(told)
    }

    /// A callee's description where the caller has been told one as our offer: ours to the caller stays as it is, and where it
    /// is of somebody else the caller is asked again after its ACK.
    pub(crate) fn agree_as_told(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        callee: LegId,
        theirs: &Description,
    ) -> Result<Description, Failure> {
        let told = self.legs[LegId::CALLER].sent().ok_or_else(|| bad_media("no offer"))?;
        let sent = self.legs[callee].sent().ok_or_else(|| bad_media("no offer"))?;
        self.legs[callee].check_answer(&sent, theirs, anchored_streams(theirs))?;
        let caller = &self.legs[LegId::CALLER];
        let ports = caller.ports(&anchored_streams(theirs));
        let policy = caller.policy().towards(self.legs[callee].policy());
        let offered = relay_offer(theirs, &policy, &ports, &caller.identity()).ok();
        let plain = trunkgate_sdp::keying::unprotected(&told);
        let formats = |description: &Description| -> Vec<Vec<String>> {
            description.media.iter().map(|media| media.formats.clone()).collect()
        };
        let same = offered.as_ref().is_some_and(|offered| formats(offered) == formats(&plain));
        let leg = &mut self.legs[callee];
        leg.ours = leg.last_sent.clone();
        let relatch = leg.take_theirs(theirs);
        let agreed = self.legs[LegId::CALLER].theirs().and_then(|answer| {
            let ports = self.legs[callee].ports(&anchored_streams(theirs));
            let side = &self.legs[callee];
            let policy = side.policy().towards(self.legs[LegId::CALLER].policy());
            accept(theirs, &told, &answer, &policy, &ports, &side.identity()).ok()
        });
        if let Some(Agreed { streams, .. }) = agreed {
            self.wire(now, edge, &streams, (callee, relatch), (LegId::CALLER, false));
        }
        if !same && self.state == State::Answered {
            self.owe(LegId::CALLER, false);
        }
        Ok(told)
    }

    /// The caller's offer, of which what it was told is left.
    pub(crate) fn offer_as_told(&self) -> Option<Description> {
        let mut offer = self.negotiation.offer.clone()?;
        let told =
            self.legs[LegId::CALLER].ours.as_ref().filter(|_| self.has_been_answered()).and_then(|told| told.read());
        for (offered, told) in offer.media.iter_mut().zip(told.iter().flat_map(|told| &told.media)) {
            offered.formats.retain(|format| told.formats.contains(format));
            if told.port == 0 {
                offered.port = 0;
            }
        }
        Some(offer)
    }

    /// The edge itself talks with a caller that has answered our offer already.
    pub(crate) fn speak_as_told(&mut self, now: Instant, edge: &mut Edge) -> Result<Description, Failure> {
        let missing = || bad_media("no answer to our offer yet");
        let caller = &self.legs[LegId::CALLER];
        let (told, theirs) = caller.sent().zip(caller.theirs()).ok_or_else(missing)?;
        self.late_answer_locally(now, edge, &Bytes::from(theirs.to_string()))?;
        Ok(told)
    }
}
