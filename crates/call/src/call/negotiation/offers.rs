//! Offers and answers of one leg: the caller's first offer, ours to a leg that is called, answers in provisional responses, and re-INVITEs of
//! our own.
//!
//! A description in a reliable provisional response (RFC 3262) stands: our answer to the caller's offer, or our offer where the INVITE had
//! none. The 2xx says nothing else, and what another target agrees on later reaches the caller by a re-INVITE. Each leg has such answers, or
//! not, independently of the other.
//!
//! A side that holds a description which is no longer true is sent a re-INVITE as soon as one is possible, with the last description of the
//! other side ([`Owed`]).

use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{GLARE_TRIES, PASSED_OVER};
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::index::Purpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::Trunk;
use trunkgate_sdp::{
    Description, Direction, Identity, anchored_streams, answer_offer, codec_names, may_relay, offer_own, relay_offer,
};
use trunkgate_sip::{Answer, Body, Extra, Message, ServerId};
use trunkgate_story::change::{Change, Happening};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::{Said, agent_fix};

use crate::call::legs::glare::glare_wait;
use crate::call::legs::leg::{Leg, LegState, StreamEnd, policy};
use crate::call::legs::spoken::ANY_PORT;
use crate::call::legs::written::Written;
use crate::call::negotiation::Negotiation;
use crate::call::negotiation::reinvite::{Relay, Renegotiation};
use crate::call::negotiation::requests::{retry_later, takes_changes};
use crate::call::negotiation::ringing::Ringing;
use crate::call::shared::story::PassedOver;
use crate::call::shared::{Cx, Next, Shared};
use crate::call::story::mismatch::{CodecSide, judge};
use crate::call::story::verdict::says_all;
use crate::call::words::answer::{Failure, FinalAnswer, bad_media, unusable};
use crate::call::words::state::State;

impl Negotiation {
    /// Notes that a target, or one way to it, has failed: on a leg, where it has got so far.
    pub(crate) fn note_failure(&mut self, cx: &mut Cx<'_>, leg: Option<LegId>, name: &str, failure: &Failure) {
        match leg {
            Some(leg) => cx.call.legs[leg].fail_with(failure.reason),
            None if cx.call.story.passed_over.len() < PASSED_OVER => {
                let (reason, legs) = (failure.reason, cx.call.legs.len());
                let failure = why_skipped(cx.edge, name).filter(|_| reason == ReasonSlug::AgentSkipped).map(Box::new);
                cx.call.story.passed_over.push(PassedOver { name: name.into(), reason, legs, failure });
            }
            None => {}
        }
        self.note_mismatch(cx, (leg, name), failure);
        if says_all(failure.reason) && failure.detail.is_some() {
            cx.call.story.proof = Some((failure.reason, failure.told_of(name).into()));
        }
        // How an agent was lost stands in the trace as the agent's.
        if failure.loss.is_none() && !failure.is_told {
            cx.edge.decide(cx.now, cx.call.key, failure.told_of(name));
        }
        let line = failure.told_of(&cx.edge.shown_name(name));
        let sid = cx.call.legs.sid().to_owned();
        let change = cx.call.change_for(Happening::CallFailedOver, &line, Some(failure.reason));
        let trunk = leg.map(|leg| cx.call.legs[leg].trunk_name().to_owned()).filter(|name| !name.is_empty());
        // A trunk is known by its name, not by the address that was called.
        let target = trunk.clone().or_else(|| Some(cx.edge.shown_name(name)).filter(|name| !name.is_empty()));
        let is_rejected = matches!(failure.reason, ReasonSlug::TargetRejected | ReasonSlug::TrunkCongested);
        let code = failure.answered().filter(|_| is_rejected);
        let said = failure.said.as_deref().filter(|_| failure.reason == ReasonSlug::TargetRejected);
        let advice = said.and_then(Said::advice_beside_a_target).map(str::to_owned);
        let fix = cx.call.own_fix(failure.reason).or(advice);
        cx.call.story.failed_over = Some(Box::new((failure.reason, Change { trunk, target, code, fix, ..change })));
        cx.edge.log(&sid, line, Some(failure.reason));
    }

    /// The caller's 2xx itself.
    pub(crate) fn send_answer(&mut self, cx: &mut Cx<'_>, ours: Description, headers: Vec<Extra>) -> Next {
        let age = cx.call.age(cx.now);
        cx.call.times.answered = Some(cx.edge.date(cx.now));
        cx.forget_text();
        cx.disarm(Timer::Search);
        cx.begin_series();
        cx.edge.metrics_mut().call_setup_seconds.observe(age.as_secs_f64());
        cx.call.legs[LegId::CALLER].enter(LegState::Answered);
        cx.disarm(Timer::Unproven);
        cx.reconsider(LegId::CALLER);
        let session = cx.session_answer(LegId::CALLER);
        let answer = Answer {
            code: 200,
            // Where the offer went in a provisional answer, its PRACK answers it, and nothing is left to say; nor after a
            // further offer and its answer (RFC 6337 §3).
            body: (!self.has_been_offered() && self.early != EarlySession::Changed)
                .then(|| Body::sdp(ours.to_string())),
            contact_user: cx.call.contact_user(),
            headers: headers.into_iter().chain(session).collect(),
            ..Answer::default()
        };
        let caller = &mut cx.call.legs[LegId::CALLER];
        let Some(server) = caller.sip.server.take() else { return Next::Stay };
        // From now on it can be asked again.
        if self.early != EarlySession::Offer {
            self.early = EarlySession::Nothing;
        }
        let dialog = cx.edge.respond(cx.now, server, answer);
        if cx.edge.endpoint().holds_back(server) {
            cx.call.legs[LegId::CALLER].sip.server = Some(server);
        } else {
            cx.edge.index_mut().servers.remove(&server);
        }
        match dialog {
            Some(dialog) => cx.call.legs.own_dialog(cx.edge, LegId::CALLER, dialog),
            // Its CANCEL has been answered already: that news is on its way.
            None => return Next::Canceled,
        }
        cx.edge.changed(cx.call.change(Happening::CallAnswered));
        Next::Stay
    }

    /// Tells the caller that it rings; nothing once it has its answer.
    pub(crate) fn ring_caller(&mut self, cx: &mut Cx<'_>, answer: Answer) {
        let server = cx.call.legs[LegId::CALLER].sip.server;
        let is_first = cx.call.times.first_ring.is_none();
        if server.is_none() && !cx.call.is_requested() {
            return;
        }
        if is_first {
            let delay = cx.call.age(cx.now);
            cx.call.times.first_ring = Some(delay);
            cx.edge.metrics_mut().post_dial_delay_seconds.observe(delay.as_secs_f64());
        }
        if let Some(server) = server {
            let answer = Answer { contact_user: cx.call.contact_user(), ..answer };
            self.tell_early(cx, server, answer);
        }
        if is_first {
            cx.edge.changed(cx.call.change(Happening::CallRinging));
        }
    }

    /// Whether a leg may be asked before the answer: it takes UPDATE, and the first offer between it and us is answered
    /// reliably (RFC 3311 §5.1).
    pub(crate) fn takes_early_offer(&self, call: &Shared, ringing: &Ringing, edge: &Edge, leg: LegId) -> bool {
        let is_settled = if leg == LegId::CALLER {
            let awaits = call.legs[LegId::CALLER].sip.server.is_none_or(|server| edge.endpoint().awaits_prack(server));
            !awaits && !matches!(self.early, EarlySession::Nothing | EarlySession::Offer)
        } else {
            ringing.heard.is_some_and(|heard| heard.is_reliable)
        };
        is_settled && call.legs[leg].sip.takes_update && takes_changes(&call.legs[leg])
    }

    /// The caller has an answer to a further offer: nothing else is said until it is asked again.
    pub(crate) fn told_again(&mut self, call: &mut Shared) {
        if call.state == State::Searching {
            self.early = EarlySession::Changed;
        }
    }

    /// Both sides have agreed on an offer of one of them.
    pub(crate) fn changed_early(
        &mut self,
        call: &mut Shared,
        (from, to): (LegId, LegId),
        offer: &Description,
        answer: &Description,
    ) -> Next {
        if from == LegId::CALLER {
            self.offer = Some(offer.clone());
            self.told_again(call);
            return Next::SaidAgain(Box::new(answer.clone()));
        }
        if to == LegId::CALLER {
            // As for a caller that has made none: what it was told is our offer, and its answer stands.
            self.offer = None;
            self.early = EarlySession::Agreed;
            return Next::SaidAgain(Box::new(offer.clone()));
        }
        Next::Stay
    }

    /// The target that a change before the answer was for has gone: its sender may repeat it.
    pub(crate) fn end_early_change(&mut self, cx: &mut Cx<'_>, is_called: impl Fn(&Shared, LegId) -> bool) {
        let goes_on = |pending: &Renegotiation| {
            let Relay { from, to, .. } = pending.way;
            is_called(cx.call, if from == LegId::CALLER { to } else { from })
        };
        if cx.call.state != State::Searching || self.renegotiation.as_deref().is_none_or(goes_on) {
            return;
        }
        let Some(pending) = self.renegotiation.take() else { return };
        let left: Vec<_> = pending.added.iter().copied().filter(|end| cx.call.legs.leg_of(*end).is_some()).collect();
        cx.drop_added(&left);
        cx.edge.index_mut().clients.remove(&pending.client);
        let Relay { to, server, .. } = pending.way;
        if to == LegId::CALLER {
            // What it was offered is nobody's any more.
            cx.call.legs[LegId::CALLER].take_back();
            self.owe(LegId::CALLER, false);
        }
        if let Some(server) = server {
            cx.edge.index_mut().servers.remove(&server);
            retry_later(cx.now, cx.edge, server);
        }
    }

    /// A target that has answered and was told less than what the caller wants by now, since it could not be asked before.
    pub(crate) fn owe_turned(&mut self, call: &mut Shared, leg: LegId) {
        if self.early != EarlySession::Changed {
            return;
        }
        let Some((offer, sent)) = self.offer.as_ref().zip(call.legs[leg].sent()) else { return };
        let is_told = |at: usize| {
            let direction = |of: &Description| of.media.get(at).map(|media| of.direction_of(media));
            direction(offer) == direction(&sent)
        };
        let streams = anchored_streams(offer);
        if !streams.into_iter().all(is_told) {
            self.owe(leg, false);
        }
    }

    /// Whether the edge itself could answer the caller.
    pub(crate) fn answerable(&self, call: &Shared) -> Result<(), Failure> {
        let Some(offer) = &self.offer else { return Ok(()) };
        let nowhere = Identity { session_id: 0, version: 0, ip: std::net::Ipv4Addr::LOCALHOST.into() };
        let policy = call.legs.own_policy();
        answer_offer(offer, &policy, ANY_PORT, &nowhere, Direction::SendRecv).map(|_| ()).map_err(unusable)
    }

    /// Notes that a leg is to be asked.
    pub(crate) fn owe(&mut self, leg: LegId, essential: bool) {
        match self.owed.iter_mut().find(|owed| owed.leg == leg) {
            Some(owed) => owed.essential |= essential,
            None => self.owed.push(Owed { leg, essential, tries: 0 }),
        }
    }

    /// Asks the first of them, as soon as it can be asked: not before its ACK, nor while another change is under way, nor
    /// while it waits after a glare.
    pub(crate) fn ask_the_owed(&mut self, cx: &mut Cx<'_>, ringing: &Ringing) {
        let waits = self.is_unsettled() || cx.call.deadlines.contains(Timer::Glare);
        if cx.call.state != State::Answered || waits {
            return;
        }
        // A side that is sent no changes keeps its session, unless its ports are in use elsewhere.
        self.owed.retain(|owed| owed.essential || takes_changes(&cx.call.legs[owed.leg]));
        let Some(owed) = self.owed.first().copied() else { return };
        let Some(other) = cx.call.legs.other(owed.leg) else { return };
        let Some(offer) = cx.call.standing(other) else { return };
        let way = Relay { from: other, to: owed.leg, server: None, by: Purpose::Reinvite, restores: true };
        if self.relay(cx, ringing, way, offer).is_ok() {
            self.owed.remove(0);
            if let Some(pending) = &mut self.renegotiation {
                (pending.essential, pending.tries) = (owed.essential, owed.tries);
            }
        }
    }

    /// A re-INVITE of ours was refused. After a glare it is sent again, so many times.
    pub(crate) fn owed_refused(&mut self, cx: &mut Cx<'_>, pending: &Renegotiation, code: u16) -> Next {
        let tries = pending.tries.saturating_add(1);
        if code != 491 || tries >= GLARE_TRIES {
            if pending.essential {
                return Next::End(ReasonSlug::NoPorts);
            }
            return Next::Stay;
        }
        let wait = glare_wait(cx.edge, &cx.call.legs[pending.way.to]);
        self.owed.insert(0, Owed { leg: pending.way.to, essential: pending.essential, tries });
        cx.arm(Timer::Glare, wait);
        Next::Stay
    }

    /// Whether a caller may be told a description before its 2xx: one that made no offer only reliably (RFC 3261 §13.2.1),
    /// and not twice.
    pub(crate) fn may_be_told(&self, call: &Shared, ringing: &Ringing, edge: &Edge) -> bool {
        let reliably =
            || call.legs[LegId::CALLER].sip.server.is_some_and(|server| edge.endpoint().may_be_reliable(server));
        // Nobody is heard in the place of the agent that has the caller.
        if ringing.is_consulting || ringing.holds_caller {
            return false;
        }
        self.offer.is_some() || (self.early == EarlySession::Nothing && call.state == State::Searching && reliably())
    }

    /// Whether our offer has gone to the caller in a provisional answer.
    pub(crate) fn has_been_offered(&self) -> bool {
        matches!(self.early, EarlySession::Offer | EarlySession::Agreed)
    }

    /// Whether an offer of the caller has our answer, which stands.
    pub(crate) fn has_been_answered(&self) -> bool {
        matches!(self.early, EarlySession::Answer | EarlySession::Changed)
    }

    /// A provisional answer to the caller; reliable where it says how the media goes and the caller can acknowledge it. Once
    /// it has, nothing more is said of the media.
    pub(crate) fn tell_early(&mut self, cx: &mut Cx<'_>, server: ServerId, mut answer: Answer) {
        if self.early != EarlySession::Nothing {
            answer.body = None;
        }
        answer.reliable = answer.body.is_some();
        let counts = answer.reliable && cx.edge.endpoint().may_be_reliable(server);
        let Some(dialog) = cx.edge.respond(cx.now, server, answer) else { return };
        cx.call.legs.own_dialog(cx.edge, LegId::CALLER, dialog);
        if counts && self.offer.is_some() {
            self.early = EarlySession::Answer;
        } else if counts {
            self.early = EarlySession::Offer;
            self.late = Some(LegId::CALLER);
        }
    }

    /// Our answer to the caller is what it was told; where another one would be right it is asked again after its ACK.
    pub(crate) fn answer_as_told(&mut self, call: &mut Shared, answer: &Description) -> Result<Description, Failure> {
        let told = call.legs[LegId::CALLER].sdp.ours.as_ref().ok_or_else(|| bad_media("no answer"))?;
        let same = told.says_but_for_version(answer);
        let told = told.read().ok_or_else(|| bad_media("no answer"))?;
        if !same && call.state == State::Answered {
            self.owe(LegId::CALLER, false);
        }
        Ok(told)
    }

    /// The caller's offer, of which what it was told is left.
    pub(crate) fn offer_as_told(&self, call: &Shared) -> Option<Description> {
        let mut offer = self.offer.clone()?;
        let told = call.legs[LegId::CALLER]
            .sdp
            .ours
            .as_ref()
            .filter(|_| self.has_been_answered())
            .and_then(|told| told.read());
        for (offered, told) in offer.media.iter_mut().zip(told.iter().flat_map(|told| &told.media)) {
            offered.formats.retain(|format| told.formats.contains(format));
            if told.port == 0 {
                offered.port = 0;
            }
        }
        Some(offer)
    }

    /// Whether a target can be tried at all: its codecs.
    pub(crate) fn connectable(&self, call: &Shared, trunk: Option<&Trunk>) -> Result<(), Failure> {
        let theirs = policy(trunk);
        let ours = call.legs.near_leg().policy();
        let unusable = |refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal);
        self.offer.as_ref().map_or(Ok(()), |offer| may_relay(offer, &theirs.towards(ours)).map_err(unusable))
    }

    /// Our offer to a leg, which is closed where none can be made.
    pub(crate) fn offer_or_close(&self, cx: &mut Cx<'_>, leg: &mut Leg, plain: bool) -> Result<Body, Failure> {
        let offered = self.offer_to(cx, leg, plain);
        if offered.is_err() {
            cx.close_ends(leg);
        }
        offered
    }

    /// Draws the ends of a leg that we call, and makes our offer to it; `plain`: it has refused SRTP.
    fn offer_to(&self, cx: &mut Cx<'_>, leg: &mut Leg, plain: bool) -> Result<Body, Failure> {
        let no_ports = || Failure::unreached(ReasonSlug::NoPorts);
        let media = cx.call.session.ok_or_else(no_ports)?;
        let bind = cx.edge.addressing().media_bind_for(leg.flow).ok_or_else(no_ports)?;
        let streams = self.offer.as_ref().map_or_else(|| vec![0], anchored_streams);
        leg.ends.reserve_exact(streams.len());
        for index in &streams {
            let end = cx.edge.add_end(media, bind).ok_or_else(no_ports)?;
            leg.ends.push(StreamEnd::new(*index, end));
        }
        let unusable = |refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal);
        let ports = leg.ports(&streams);
        let mut description = match &self.offer {
            Some(offer) => {
                let policy = leg.policy().towards(cx.call.legs.near_leg().policy());
                relay_offer(offer, &policy, &ports, &leg.identity()).map_err(unusable)?
            }
            None => {
                let policy = cx.call.legs.codecs_to_offer(leg.policy());
                offer_own(&policy, ports.first().copied().unwrap_or_default(), &leg.identity(), Direction::SendRecv)
            }
        };
        leg.protect_first(cx.edge, &mut description, leg.first_form(plain))?;
        Ok(Body::sdp(leg.stamp(description).to_string()))
    }

    /// Reads the caller's offer, where its INVITE has one.
    pub(crate) fn take_offer(&mut self, cx: &mut Cx<'_>, request: &Message) -> Result<(), FinalAnswer> {
        let Some(offer) = cx.call.legs[LegId::CALLER].offered(cx.edge, request)? else { return Ok(()) };
        if let Some(flow) = cx.call.legs[LegId::CALLER].flow {
            cx.call.legs[LegId::CALLER].sdp.face_media(cx.edge.addressing(), flow, &offer);
        }
        cx.call.legs[LegId::CALLER].sdp.theirs = Some(Written::new(&offer));
        self.offer = Some(offer);
        Ok(())
    }

    /// Begins the media session with the caller's ends: their ports are bound while the far end rings.
    pub(crate) fn open_media(&mut self, cx: &mut Cx<'_>) -> Result<(), FinalAnswer> {
        let no_ports = || FinalAnswer::new(503, ReasonSlug::NoPorts);
        let bind = cx.edge.addressing().media_bind_for(cx.call.legs[LegId::CALLER].flow).ok_or_else(no_ports)?;
        let media = cx.edge.open_session(cx.call.key, None);
        cx.call.session = Some(media);
        let streams = self.offer.as_ref().map_or_else(|| vec![0], anchored_streams);
        cx.call.legs[LegId::CALLER].ends.reserve_exact(streams.len());
        for index in streams {
            let end = cx.edge.add_end(media, bind).ok_or_else(no_ports)?;
            cx.call.legs[LegId::CALLER].ends.push(StreamEnd::new(index, end));
        }
        Ok(())
    }

    /// A target has failed: where it is for its codecs, that is kept for the verdict, the flags and the trunk that it is about.
    pub(crate) fn note_mismatch(&mut self, cx: &mut Cx<'_>, (leg, name): (Option<LegId>, &str), failure: &Failure) {
        let agent = leg.is_some_and(|leg| cx.call.legs[leg].agent.is_some()) || cx.edge.table().agent(name).is_some();
        let trunk = match leg {
            Some(leg) => cx.call.legs[leg].trunk.clone(),
            None => cx.edge.table().trunk(name).cloned(),
        };
        let near = cx.call.legs.near_leg();
        let offered = self.offer.as_ref().map(|offer| {
            let sections = anchored_streams(offer).into_iter().filter_map(|index| offer.media.get(index));
            let names = sections.map(codec_names).collect::<Vec<_>>().join(", ");
            names.split(", ").map(str::to_owned).collect()
        });
        let caller = CodecSide {
            name: cx.call.legs.name_of(cx.call.legs.near),
            trunk: near.trunk.clone(),
            offered,
            is_agent: near.agent.is_some(),
        };
        let target = CodecSide { name: name.to_owned(), trunk, offered: None, is_agent: agent };
        let Some((found, of_caller)) = judge(&caller, Some(&target), failure) else { return };
        let about = if of_caller { caller.trunk } else { target.trunk };
        if let Some(trunk) = about {
            cx.count_fault(&trunk.name, &found, true);
        }
        cx.call.story.fault = Some((failure.reason, Box::new(found)));
    }
}

/// Returns why an agent failed last, and what would help.
fn why_skipped(edge: &Edge, name: &str) -> Option<(String, String)> {
    let ((problem, loss), agent) = edge.agents().last_problem(name).zip(edge.table().agent(name))?;
    Some((problem.to_owned(), agent_fix::with_test(agent_fix::remedy_of(agent, loss, problem), name)))
}

/// A leg that is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The leg.
    pub(crate) leg: LegId,
    /// Whether the call cannot go on without it.
    pub(crate) essential: bool,
    /// How often it has been asked and was asking itself.
    pub(crate) tries: u8,
}

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
