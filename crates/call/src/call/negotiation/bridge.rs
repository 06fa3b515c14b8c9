//! What two legs agree on: offers and answers carried from one to the other, and the media session told of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use trunkgate_media::{Command, EndId};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::BIND_TRIES;
use trunkgate_resources::rewrite;
use trunkgate_sdp::{Agreed, AgreedStream, Description, Far, Refusal, accept, anchored_streams, relay_offer};
use trunkgate_sip::{Answer, Body, Extra};
use trunkgate_story::change::Happening;
use trunkgate_story::quality::retire;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::trace::TraceItem;

use crate::call::controller::Controller;
use crate::call::legs::leg::{Leg, LegState, StreamEnd, wires};
use crate::call::media::held::{Change, turned};
use crate::call::negotiation::reliable::EarlySession;
use crate::call::search::answer::{Failure, FinalAnswer};
use crate::call::{Call, State};

impl Call {
    /// Takes a callee's description, in a 18x or 2xx: the answer to the caller's offer, or what becomes our offer to a
    /// caller that made none. Ours to the caller comes back.
    pub(crate) fn agree(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        callee: LegId,
        sdp: Option<&[u8]>,
    ) -> Result<Description, Failure> {
        let unusable = |refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal);
        let theirs = match sdp {
            Some(sdp) => self.legs.read(edge, callee, sdp)?,
            None => return Err(bad_media("2xx without session description")),
        };
        let sent = self.legs[callee].sent().ok_or_else(|| bad_media("no offer"))?;
        let Some(offer) = self.negotiation.offer.clone() else {
            if self.has_been_offered() {
                return self.agree_as_told(now, edge, callee, &theirs);
            }
            let caller = self.legs.near_leg();
            let ports = caller.ports(&anchored_streams(&theirs));
            let policy = caller.policy().towards(self.legs[callee].policy());
            let mut ours = relay_offer(&theirs, &policy, &ports, &caller.identity()).map_err(unusable)?;
            self.legs[callee].check_answer(&sent, &theirs, anchored_streams(&theirs))?;
            caller.protect_first(edge, &mut ours, caller.late_form())?;
            let ours = self.legs.near_leg_mut().stamp(ours);
            let leg = &mut self.legs[callee];
            leg.ours = leg.last_sent.clone();
            leg.take_theirs(&theirs);
            return Ok(ours);
        };
        let caller = self.legs.near_leg();
        let ports = caller.ports(&anchored_streams(&offer));
        let policy = caller.policy().towards(self.legs[callee].policy());
        let mut agreed = accept(&offer, &sent, &theirs, &policy, &ports, &caller.identity()).map_err(unusable)?;
        self.legs[callee].check_answer(&sent, &theirs, agreed.streams.iter().map(|stream| stream.index))?;
        // A caller that has a session with us already keeps it as it is.
        if let Some(standing) = self.standing_description() {
            agreed.answer = standing;
        } else if self.has_been_answered() {
            agreed.answer = self.answer_as_told(&agreed.answer)?;
        } else {
            let caller = self.legs.near_leg_mut();
            caller.protect_answer(edge, &mut agreed.answer, &offer);
            agreed.answer = caller.stamp(agreed.answer);
            let told = std::mem::replace(&mut caller.ours, caller.last_sent.clone());
            // Of what one INVITE is answered some take the first word alone, as RFC 3261 §13.2.1 has it.
            if self.is_answered() && told.is_some_and(|told| !told.says_but_for_version(&agreed.answer)) {
                self.owe(self.legs.near, false);
            }
        }
        let leg = &mut self.legs[callee];
        leg.ours = leg.last_sent.clone();
        let relatch = leg.take_theirs(&theirs);
        self.wire(now, edge, &agreed.streams, (self.legs.near, false), (callee, relatch));
        if self.is_answered() {
            self.close_unused(edge, [self.legs.near, callee], &agreed.streams);
        }
        Ok(agreed.answer)
    }

    /// The caller gets its 2xx.
    pub(crate) fn answer_caller(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        callee: LegId,
        ours: Description,
        headers: Vec<Extra>,
    ) {
        self.won(now, edge, callee);
        self.legs.callee = Some(callee);
        self.legs.answered_by = Some(callee);
        self.legs.completed(edge);
        self.limit_call(now, edge, callee);
        let is_late = self.negotiation.offer.take().is_none() && !self.has_been_offered();
        if is_late {
            self.negotiation.late = Some(LegId::CALLER);
        }
        self.settle();
        edge.trunks.answered(now, self.legs[callee].trunk_name());
        let (name, after) = (self.legs.name_of(callee), self.age(now).as_secs_f64());
        edge.decide(now, self.key, format!("answered by {name} after {after:.1} s"));
        let line = format!("answered by {} after {after:.1} s", edge.shown_name(&name));
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, line, None);
        self.send_answer(now, edge, ours, headers);
    }

    /// The caller's 2xx itself.
    pub(crate) fn send_answer(&mut self, now: Instant, edge: &mut Edge, ours: Description, headers: Vec<Extra>) {
        let age = self.age(now);
        self.times.answered = Some(edge.date(now));
        self.forget_text(edge);
        self.disarm(edge, Timer::Search);
        self.begin_series(now, edge);
        edge.metrics.call_setup_seconds.observe(age.as_secs_f64());
        self.legs[LegId::CALLER].state = LegState::Answered;
        self.disarm(edge, Timer::Unproven);
        self.reconsider(now, edge, LegId::CALLER);
        let session = self.session_answer(now, edge, LegId::CALLER);
        let answer = Answer {
            code: 200,
            // Where the offer went in a provisional answer, its PRACK answers it, and nothing is left to say; nor after a
            // further offer and its answer (RFC 6337 §3).
            body: (!self.has_been_offered() && self.negotiation.early != EarlySession::Changed)
                .then(|| Body::sdp(ours.to_string())),
            contact_user: self.contact_user(),
            headers: headers.into_iter().chain(session).collect(),
            ..Answer::default()
        };
        let caller = &mut self.legs[LegId::CALLER];
        let Some(server) = caller.server.take() else { return };
        // From now on it can be asked again.
        if self.negotiation.early != EarlySession::Offer {
            self.negotiation.early = EarlySession::Nothing;
        }
        let dialog = edge.respond(now, server, answer);
        if edge.endpoint.holds_back(server) {
            self.legs[LegId::CALLER].server = Some(server);
        } else {
            edge.index.servers.remove(&server);
        }
        match dialog {
            Some(dialog) => self.legs.own_dialog(edge, LegId::CALLER, dialog),
            // Its CANCEL has been answered already: that news is on its way.
            None => return self.caller_withdrew_answered(now, edge),
        }
        edge.changed(self.change(Happening::CallAnswered));
    }

    /// Lets go of what only a further search would ask for.
    pub(crate) fn settle(&mut self) {
        self.negotiation.offer = None;
        if self.legs.iter().all(|leg| leg.agent.is_none()) {
            self.search.controller = Controller::Done;
            self.facts.identity.settle();
        }
        // Listeners that come later, or anew after a restart, are told of the caller's headers.
        self.facts.headers.shrink_to_fit();
        self.legs.shrink_to_fit();
    }

    /// The ACK to a 2xx of ours; after an offer of ours it brings the answer.
    pub(crate) fn acked(&mut self, now: Instant, edge: &mut Edge, leg: LegId, sdp: Option<bytes::Bytes>) {
        if let Some(server) = self.legs[leg].server.take() {
            edge.index.servers.remove(&server);
        }
        if self.negotiation.late != Some(leg) {
            return;
        }
        let first = self.legs[leg].theirs.is_none();
        self.negotiation.late = None;
        self.take_late_answer(now, edge, leg, sdp, first);
    }

    /// Takes a leg's answer to an offer that nobody but it was made; `first`: without it there is no session.
    pub(crate) fn take_late_answer(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        sdp: Option<bytes::Bytes>,
        first: bool,
    ) {
        let result = match sdp {
            Some(sdp) if self.is_local() || self.state == State::Leaving => self.late_answer_locally(now, edge, &sdp),
            Some(sdp) => self.late_answer(now, edge, leg, self.legs.other(leg), &sdp),
            None => Err(bad_media("no answer to our offer")),
        };
        match result {
            Ok(()) => match self.state {
                State::Rerouting => self.caller_spoke(now, edge, first),
                State::Leaving => self.say_on(edge),
                State::Searching | State::Answered | State::Ended => {}
            },
            Err(failure) => {
                let text = failure.warning.map(|w| w.text).unwrap_or_default();
                edge.decide(now, self.key, format!("late answer is unusable: {text}"));
                // A refresh that brings nothing new leaves the session as it was.
                if first {
                    self.end(now, edge, failure.reason);
                }
            }
        }
    }

    /// A far end's answer to an offer that we made of what `other` says.
    pub(crate) fn late_answer(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        other: Option<LegId>,
        sdp: &[u8],
    ) -> Result<(), Failure> {
        let missing = || bad_media("no offer");
        let other = other.ok_or_else(missing)?;
        let answer = self.legs.read(edge, leg, sdp)?;
        let offer = self.standing(other).ok_or_else(missing)?;
        let sent = self.legs[leg].sent().ok_or_else(missing)?;
        let ports = self.legs[other].ports(&anchored_streams(&offer));
        let unusable = |refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal);
        let side = &self.legs[other];
        let policy = side.policy().towards(self.legs[leg].policy());
        let Agreed { streams, .. } =
            accept(&offer, &sent, &answer, &policy, &ports, &side.identity()).map_err(unusable)?;
        self.legs[leg].check_answer(&sent, &answer, streams.iter().map(|stream| stream.index))?;
        let asks = self.wish(leg, other, &answer, &streams);
        let leg_state = &mut self.legs[leg];
        let before = leg_state.theirs();
        leg_state.ours = leg_state.last_sent.clone();
        let relatch = leg_state.take_theirs(&answer);
        if let Some(holds) = asks {
            self.take_hold(now, edge, Change { leg, other, relatch, holds, offers: false }, &streams);
            return Ok(());
        }
        self.end_holds(edge);
        self.wire(now, edge, &streams, (other, false), (leg, relatch));
        // The other side was asked nothing: where the direction is another one, it is to be told.
        if turned(before.as_ref(), &answer, &streams) {
            self.owe(other, false);
        }
        Ok(())
    }

    /// Tells the media session what was agreed. Each side: the leg, and whether its latch opens anew.
    pub(crate) fn wire(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        streams: &[AgreedStream],
        (offerer, relatch_offerer): (LegId, bool),
        (answerer, relatch_answerer): (LegId, bool),
    ) {
        if self.media.session.is_none() {
            return;
        }
        for stream in streams {
            let at = |leg: &Leg| leg.end(stream.index).map(|end| end.end);
            let (Some(a), Some(b)) = (at(&self.legs[offerer]), at(&self.legs[answerer])) else { continue };
            let sides =
                [(offerer, a, &stream.offerer, relatch_offerer), (answerer, b, &stream.answerer, relatch_answerer)];
            for (leg, end, far, relatch) in sides {
                self.point(now, edge, (leg, end), far, relatch);
            }
            let (to_answerer, to_offerer) = wires(stream, &self.legs[offerer], &self.legs[answerer]);
            for (from, to, wire) in [(a, b, to_answerer), (b, a, to_offerer)] {
                self.connect_ends(edge, from, to, wire);
            }
        }
        self.unwire_all_but(edge, streams);
        if let Some(first) = streams.first() {
            let (of_offerer, of_answerer) = (first.codec.as_str(), first.codec_of_answerer());
            self.legs[offerer].codec = of_offerer.to_owned();
            self.legs[answerer].codec = of_answerer.to_owned();
            let text = self.legs.said_of_codecs(first.index, [(offerer, of_offerer), (answerer, of_answerer)]);
            self.legs.note_media(now, edge, &[offerer, answerer], &text);
            if let Some(text) = self.legs.said_of_keys(first, [offerer, answerer]) {
                edge.decide(now, self.key, text);
            }
            self.note_conversion([offerer, answerer]);
        }
        self.tap_caller(now, edge);
    }

    /// Tells the worker where an end's far side is, where that is news.
    pub(crate) fn point(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (leg, end): (LegId, EndId),
        far: &Far,
        relatch: bool,
    ) {
        let Some(index) = self.legs[leg].ends.iter().find(|e| e.end == end).map(|e| e.index) else { return };
        let side = &self.legs[leg];
        let remote = side.remote_spec(far, edge.config.latch, relatch, self.is_answered());
        let remote = trunkgate_media::RemoteSpec { srtp: side.srtp_spec(index), ..remote };
        self.tell_remote(now, edge, leg, end, remote);
    }

    /// Has the ends of refused and ended streams closed.
    pub(crate) fn close_unused(&mut self, edge: &mut Edge, legs: [LegId; 2], streams: &[AgreedStream]) {
        let Some(media) = self.media.session else { return };
        for leg in legs {
            let leg = &mut self.legs[leg];
            let unused = |end: &mut StreamEnd| !streams.iter().any(|s| s.index == end.index);
            for end in leg.ends.extract_if(.., unused) {
                retire(&mut leg.earlier, &mut leg.scores, &end.counters);
                edge.remove_end(media, end.end);
            }
        }
    }

    /// Disconnects streams that are no longer agreed.
    fn unwire_all_but(&mut self, edge: &mut Edge, streams: &[AgreedStream]) {
        let Some(media) = self.media.session else { return };
        let runs = |index: usize| streams.iter().any(|s| s.index == index);
        let idle: Vec<EndId> =
            self.legs.iter().flat_map(|leg| &leg.ends).filter(|end| !runs(end.index)).map(|end| end.end).collect();
        for end in idle {
            if self.media.wires.remove(end).is_some() {
                edge.media(media, Command::Unwire { from: end });
            }
        }
    }

    /// Whether silence counts: once the call is answered.
    fn is_answered(&self) -> bool {
        self.state == State::Answered
    }

    /// Draws another port pair for an end of the caller that could not be bound.
    pub(crate) fn redraw_caller(&mut self, now: Instant, edge: &mut Edge, end: EndId) {
        self.media.bind_failures += 1;
        let no_ports = FinalAnswer::new(503, ReasonSlug::NoPorts);
        // The caller has been told the port already, or luck is out.
        if self.legs.near_leg().ours.is_some() || self.media.bind_failures >= BIND_TRIES {
            return self.refuse(now, edge, &no_ports);
        }
        let Some(media) = self.media.session else { return };
        let bind = edge.addressing.media_bind(self.legs.near_leg().signalling());
        let Some(new) = bind.and_then(|bind| edge.add_end(media, bind)) else {
            return self.refuse(now, edge, &no_ports);
        };
        if let Some(slot) = self.legs.near_leg_mut().ends.iter_mut().find(|e| e.end == end) {
            *slot = StreamEnd::new(slot.index, new);
        }
    }

    /// An end has learned its far side's address.
    pub(crate) fn latched(&mut self, now: Instant, edge: &mut Edge, end: EndId, source: SocketAddr) {
        if let Some(leg) = self.legs.leg_of(end) {
            self.legs[leg].latched = Some(source);
            edge.trace(now, self.key, TraceItem::Media { leg: leg.index(), text: format!("RTP comes from {source}") });
            self.heard_from_source(now, edge, leg);
        }
    }

    /// An end that should send is silent.
    pub(crate) fn idle(&mut self, now: Instant, edge: &mut Edge, end: EndId) {
        if let Some(leg) = self.legs.leg_of(end).filter(|leg| self.legs.is_side(*leg)) {
            edge.trace(now, self.key, TraceItem::Media { leg: leg.index(), text: "no RTP for too long".into() });
            let seconds = edge.config.idle_timeout.as_secs();
            let came = self.legs[leg].view().rtp.rx_packets;
            let before = if came > 0 { format!(", after {came} packets") } else { String::new() };
            let text = format!("{} sent no RTP for {seconds} s{before}", self.legs.name_of(leg));
            self.story.proof = Some((ReasonSlug::MediaTimeout, text.into()));
            self.end(now, edge, ReasonSlug::MediaTimeout);
        }
    }

    /// Has a leg's ends closed; its figures stay.
    pub(crate) fn drop_ends(&mut self, edge: &mut Edge, leg: LegId) {
        let Some(media) = self.media.session else { return };
        let leg = &mut self.legs[leg];
        for end in std::mem::take(&mut leg.ends) {
            retire(&mut leg.earlier, &mut leg.scores, &end.counters);
            self.media.wires.retain(|from, (to, _)| from != end.end && *to != end.end);
            edge.remove_end(media, end.end);
        }
    }

    /// The same for a leg that has not been entered yet.
    pub(crate) fn close_ends(&self, edge: &mut Edge, leg: &mut Leg) {
        if let Some(media) = self.media.session {
            for end in std::mem::take(&mut leg.ends) {
                edge.remove_end(media, end.end);
            }
        }
    }

    /// User part of our Contact towards the caller: what it called.
    pub(crate) fn contact_user(&self) -> String {
        rewrite::escape_user(&self.facts.called.received)
    }
}

/// The first media address of a description that must not be sent to.
pub(crate) fn forbidden_address(edge: &Edge, leg: &Leg, description: &Description) -> Option<SocketAddr> {
    let signalling = leg.signalling();
    anchored_streams(description).into_iter().find_map(|index| {
        let media = description.media.get(index)?;
        let ip = media.connection.as_ref().or(description.connection.as_ref())?.ip()?;
        // RTCP may be sent elsewhere (RFC 3605), and to another port in any case.
        let rtcp = match media.rtcp() {
            Some((port, address)) => (port, address.map_or(Some(ip), |address| address.ip())),
            None => (media.port.saturating_add(1), Some(ip)),
        };
        let rtcp = rtcp.1.filter(|_| rtcp.0 != 0).map(|ip| SocketAddr::new(ip, rtcp.0));
        let both = [Some(SocketAddr::new(ip, media.port)), rtcp].into_iter().flatten();
        both.into_iter().find(|address| !is_usable(edge, *address, signalling))
    })
}

/// Whether media may be sent to an address that a description names.
fn is_usable(edge: &Edge, address: SocketAddr, signalling: IpAddr) -> bool {
    let ip = address.ip().to_canonical();
    let (first, last) = edge.config.media_ports;
    let relays = (first..=last).contains(&address.port()) && edge.addressing.is_ours(ip);
    let own = relays && !signalling.to_canonical().is_loopback();
    ip.is_unspecified() || (edge.addressing.may_send_media_to(address, signalling) && !own)
}

/// A description that cannot be used: seen as 488 with Warning 399.
pub(crate) fn bad_media(text: &str) -> Failure {
    Failure::unusable(ReasonSlug::BadMedia, Refusal { warn_code: 399, text: text.to_owned() })
}
