//! Session between the caller and the edge itself, used when the other side is an agent: descriptions, media
//! connections, DTMF and INFO.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::mos::MosCodec;
use trunkgate_media::{AgentQueue, DigitFormat, DtmfConversion, EndId, MediaCommand, WireSpec};
use trunkgate_resources::edge::not_served;
use trunkgate_resources::limits::{INFO_BYTES, INFOS_PER_CALL, KEY_PAUSE, KEYS_AHEAD, KEYS_PER_REQUEST};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::RequestPurpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::{Agent, DtmfMode};
use trunkgate_sdp::{AudioPayload, CodecPolicy, MediaDirection, SessionDescription, accept, answer_offer, offer_own};
use trunkgate_sip::{ExtraHeader, MessageBody, Method, ResponseSpec, ServerId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::codecs::{coding, name};
use crate::call::legs::digits::{LEAST_TONE_MS, ParsedInfo, USUAL_MS, parse_info};
use crate::call::legs::hold::{HoldKind, LegHold};
use crate::call::legs::info::Info;
use crate::call::legs::leg::LegState;
use crate::call::legs::spoken::{ANY_PORT, AudioAgreement, OWN_AUDIO, TELEPHONE_EVENT, clocks, wire_to_caller};
use crate::call::negotiation::Bridge;
use crate::call::negotiation::ringing::RingingState;
use crate::call::shared::{CallCx, CallEffect, LocalAnswer, SharedCallState};
use crate::call::story::noted::{queue, reading};
use crate::call::words::answer::{TargetFailure, refuse_request, unusable};
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;

impl Bridge {
    /// Returns our description for the caller's 200: the answer to its offer, or an offer if it made none.
    ///
    /// # Errors
    /// The caller's offer has no codec that the edge can transcode, no port is available, or its SRTP policy cannot be
    /// met.
    pub(crate) fn first_description(&mut self, cx: &mut CallCx<'_>) -> Result<SessionDescription, TargetFailure> {
        if let Some(ours) = self.standing_description(cx.call) {
            self.point_again(cx);
            return Ok(ours);
        }
        if self.negotiation.has_been_offered() {
            return self.speak_as_told(cx);
        }
        match self.negotiation.offer_as_told(cx.call) {
            Some(offer) => self.media.answer_locally(cx, &offer),
            None => {
                let policy = cx.call.legs.own_policy();
                let caller = cx.call.legs.near_leg_mut();
                let port = caller.ends.first().map_or(0, |end| end.bind.port());
                let mut offer = offer_own(&policy, port, &caller.identity(), MediaDirection::SendRecv);
                caller.protect_first(cx.edge, &mut offer, caller.late_form())?;
                Ok(caller.stamp(offer))
            }
        }
    }

    /// Answers the caller before the other side is known.
    ///
    /// # Errors
    /// The caller's offer cannot be answered, for example because no codec matches.
    pub(crate) fn answer_first(
        &mut self,
        cx: &mut CallCx<'_>,
        headers: Vec<ExtraHeader>,
    ) -> Result<CallEffect, TargetFailure> {
        // Silence is supervised only in an answered call, so the state is set before the media is pointed.
        cx.call.enter(CallState::Answered);
        let ours = match self.first_description(cx) {
            Ok(ours) => ours,
            Err(failure) => {
                cx.call.enter(CallState::Searching);
                return Err(failure);
            }
        };
        cx.call.enter(CallState::Rerouting);
        self.negotiation.late = self.negotiation.offer.is_none().then_some(LegId::CALLER);
        self.negotiation.offer = self.media.standing_offer(cx.call);
        Ok(self.negotiation.send_answer(cx, ours, headers))
    }

    /// Returns our current description in the caller's session with the edge, if there is such a session.
    pub(crate) fn standing_description(&self, call: &SharedCallState) -> Option<SessionDescription> {
        if call.facts.referral.is_none() {
            self.media.spoken?;
        }
        call.legs.near_leg().sdp.ours.as_ref()?.read()
    }

    /// Sends the caller's media address of an existing session to the worker again, so that silence is supervised from
    /// the answer on.
    fn point_again(&mut self, cx: &mut CallCx<'_>) {
        let Some((offer, (end, _))) = self.negotiation.offer.clone().zip(self.media.spoken_end(cx.call)) else {
            return;
        };
        let caller = cx.call.legs.near_leg();
        let answered =
            answer_offer(&offer, &cx.call.legs.own_policy(), ANY_PORT, &caller.identity(), MediaDirection::SendRecv);
        if let Ok((_, far, _)) = answered {
            cx.point((cx.call.legs.near, end), &far, false);
        }
    }

    /// Connects the media of the caller and an agent's leg; does nothing before the caller's description is known.
    pub(crate) fn converse(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        let Some((caller, spoken)) = self.media.spoken_end(cx.call) else { return };
        let Some(agent) = cx.call.legs[leg].agent.as_ref().map(|side| side.end) else { return };
        let inband = cx.call.legs.near_leg().dtmf() == DtmfMode::Inband;
        let hears = WireSpec {
            parted: inband.then(|| Box::new(DtmfConversion { tones: true, ..DtmfConversion::default() })),
            payloads: vec![(spoken.audio, OWN_AUDIO)],
            clocks: clocks(spoken),
            coding: spoken.coding,
            keys: spoken.keys,
            codec: MosCodec::named(name(spoken.coding)),
            ..WireSpec::default()
        };
        self.media.connect_ends(cx, caller, agent, hears);
        self.media.connect_ends(cx, agent, caller, wire_to_caller(spoken));
        let before = cx.call.legs[leg].converted_to;
        self.media.note_conversion(cx.call, [cx.call.legs.near, leg]);
        if before != cx.call.legs[leg].converted_to {
            cx.edge.decide(cx.now, cx.call.key, cx.call.legs.said_of_agent(leg));
        }
        self.media.tap_caller(cx);
        self.negotiation.watch_hold(cx);
    }

    /// Stops the music and connects the caller to its agent again.
    pub(crate) fn talk_on(&mut self, cx: &mut CallCx<'_>) {
        let talks = |leg: &LegId| cx.call.legs[*leg].agent.is_some() && cx.call.legs[*leg].state == LegState::Answered;
        let Some(agent) = cx.call.legs.callee.filter(talks) else { return };
        self.media.stop_player(cx);
        self.converse(cx, agent);
    }

    /// Answers an offer of a caller that has its session with the edge itself.
    pub(crate) fn reinvited_locally(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        server: ServerId,
        offer: &SessionDescription,
    ) -> CallEffect {
        match self.media.answer_locally(cx, offer) {
            Ok(ours) => {
                let is_searching = match cx.call.legs.callee {
                    _ if cx.call.state == CallState::Leaving => {
                        self.media.continue_goodbye(cx);
                        false
                    }
                    Some(callee) => {
                        self.converse(cx, callee);
                        ringing.is_consulting
                    }
                    None => true,
                };
                if is_searching {
                    let answer = Some(Box::new(LocalAnswer { server, ours }));
                    return CallEffect::CallerSpoke { first: false, answer };
                }
                self.negotiation.record_second_answer(cx.call);
                cx.answer_request(cx.call.legs.near, server, &ours);
            }
            Err(failure) => {
                cx.edge.respond(cx.now, server, failure.answer().to_sip());
            }
        }
        CallEffect::Stay
    }

    /// Applies the caller's answer to our offer, received in an ACK or PRACK.
    ///
    /// # Errors
    /// The answer is invalid, does not fit our offer, or lacks SRTP protection.
    pub(crate) fn late_answer_locally(&mut self, cx: &mut CallCx<'_>, sdp: &[u8]) -> Result<(), TargetFailure> {
        let missing = || TargetFailure::unreached(ReasonSlug::BadMedia);
        let answer = cx.read_answer(cx.call.legs.near, sdp)?;
        let caller = cx.call.legs.near_leg_mut();
        let sent = caller.sent().ok_or_else(missing)?;
        let ports = vec![ANY_PORT; trunkgate_sdp::anchored_streams(&sent).len()];
        let agreed =
            accept(&sent, &sent, &answer, &CodecPolicy::default(), &ports, &caller.identity()).map_err(unusable)?;
        caller.check_answer(&sent, &answer, agreed.streams.iter().map(|stream| stream.index))?;
        let stream = agreed.streams.into_iter().next().ok_or_else(missing)?;
        let section = sent.media.get(stream.index).ok_or_else(missing)?;
        let theirs = answer.media.get(stream.index).ok_or_else(missing)?;
        let audio = AudioPayload::find_codec(theirs, &stream.codec).ok_or_else(missing)?;
        let event = |number: u8| section.rtpmap(number).filter(|map| map.is(TELEPHONE_EVENT));
        let events = stream.payloads.iter().find_map(|(ours, theirs)| Some((*ours, (*theirs, event(*ours)?.clock))));
        let (keys, presses) = (events.map(|(ours, _)| ours), events.map(|(_, theirs)| theirs));
        let coding = coding(&audio).ok_or_else(missing)?;
        let spoken = AudioAgreement { index: stream.index, audio: audio.number, coding, keys, presses };
        let relatch = caller.take_theirs(&answer);
        caller.sdp.ours = caller.sdp.last_sent.clone();
        self.media.apply_audio_agreement(cx, spoken, &stream.answerer, relatch);
        if let Some(callee) = cx.call.legs.callee {
            self.converse(cx, callee);
        }
        Ok(())
    }

    /// Sends DTMF digits to the caller on behalf of an agent. The digits are never written to a trace or a log.
    pub(crate) fn press(&mut self, cx: &mut CallCx<'_>, leg: LegId, digits: &str) {
        if !self.press_for_caller(cx, digits) {
            let text = "sends DTMF, but the caller does not support telephone-event";
            cx.call.legs.note_request(cx.now, cx.edge, leg, text);
            return;
        }
        cx.call.legs.note_request(cx.now, cx.edge, leg, &format!("sends {} DTMF digits", digits.chars().count()));
    }

    /// Forwards a DTMF digit that a leg has sent by INFO in the DTMF mode of the other side. Returns the status code
    /// and the seconds for Retry-After.
    pub(crate) fn key_told(&mut self, cx: &mut CallCx<'_>, leg: LegId, (key, ms): (char, u16)) -> (u16, Option<u64>) {
        let Some(media) = cx.call.session else { return (480, None) };
        if cx.call.legs[leg].dtmf() != DtmfMode::Info {
            return (415, None);
        }
        let digits = key.to_string();
        let agent = cx.call.legs.other(leg).and_then(|other| cx.call.legs[other].agent.as_ref()).map(|side| side.end);
        if let Some(end) = agent {
            cx.edge.media(media, MediaCommand::TellKeys { end, digits });
            return (200, None);
        }
        let mut wires = cx.call.legs[leg].ends.iter().filter_map(|end| self.media.wires.get(end.end));
        let way = wires.find_map(|(to, wire)| Some((*to, wire.parted.as_ref()?.press?)));
        let Some((end, press)) = way else { return (480, None) };
        let out = self.negotiation.keys.get_or_insert_default();
        let begins = out.pressed.map_or(cx.now, |pressed| pressed.max(cx.now));
        let ahead = begins.saturating_duration_since(cx.now);
        if ahead > KEYS_AHEAD {
            // A 503 would make the remote party avoid this edge for other calls too (RFC 3261 §21.5.4); a 500 concerns
            // this request only.
            return (500, Some((ahead - KEYS_AHEAD).as_secs() + 1));
        }
        let lasts = u64::from(ms).next_multiple_of(20).max(LEAST_TONE_MS);
        out.pressed = Some(begins + Duration::from_millis(lasts) + KEY_PAUSE);
        cx.edge.media(media, MediaCommand::Press { end, press, digits, ms });
        (200, None)
    }

    /// Sends DTMF digits to the caller of an agent in the caller's DTMF mode; returns whether that is possible.
    pub(crate) fn press_for_caller(&mut self, cx: &mut CallCx<'_>, digits: &str) -> bool {
        let spoken = self.media.spoken_end(cx.call);
        self.press_towards(cx, cx.call.legs.near, spoken, digits)
    }

    /// Sends DTMF digits to a party that is not connected to its caller: one that an application has called and not yet
    /// connected, or one that an agent coaches. Returns whether that is possible.
    pub(crate) fn press_for_called(&mut self, cx: &mut CallCx<'_>, leg: LegId, digits: &str) -> bool {
        self.press_towards(cx, leg, cx.call.legs.spoken_end(leg), digits)
    }

    fn press_towards(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: LegId,
        spoken: Option<(EndId, AudioAgreement)>,
        digits: &str,
    ) -> bool {
        let press = match cx.call.legs[leg].dtmf() {
            DtmfMode::Rfc4733 => spoken.and_then(|(end, spoken)| {
                let (payload, clock_hz) = spoken.presses?;
                Some((end, DigitFormat::Event { payload, clock_hz }))
            }),
            DtmfMode::Inband => {
                spoken.map(|(end, spoken)| (end, DigitFormat::Tone { payload: spoken.audio, coding: spoken.coding }))
            }
            DtmfMode::Info => {
                let keys = digits.chars().map(|key| (key.to_ascii_uppercase(), u32::from(USUAL_MS)));
                self.negotiation.queue_info_digits(cx, leg, keys);
                return true;
            }
        };
        let Some((media, (end, press))) = cx.call.session.zip(press) else { return false };
        cx.edge.media(media, MediaCommand::Press { end, press, digits: digits.to_owned(), ms: USUAL_MS });
        true
    }

    /// Handles an INFO or MESSAGE of one remote party: relays it to the other one, converts its DTMF digit, or refuses
    /// it.
    pub(crate) fn informed(&mut self, cx: &mut CallCx<'_>, leg: LegId, server: ServerId, info: Info) {
        let refusal = match cx.call.state {
            CallState::Ended => 481,
            // An application collects the digits; an unreadable one is a bad request.
            CallState::Rerouting
                if !info.is_text && matches!(parse_info(info.body.as_ref()), ParsedInfo::Unreadable) =>
            {
                400
            }
            CallState::Searching | CallState::Rerouting | CallState::Leaving => 480,
            CallState::Answered if info.bytes() > INFO_BYTES => 413,
            CallState::Answered if info.is_packaged => 469,
            CallState::Answered if self.negotiation.infos.len() >= INFOS_PER_CALL => 500,
            CallState::Answered => 0,
        };
        if refusal != 0 {
            // An empty Recv-Info: no Info package is supported (RFC 6086 §4.2.2).
            let headers = if refusal == 469 { vec![extra("Recv-Info", "")] } else { Vec::new() };
            cx.edge.respond(cx.now, server, ResponseSpec { code: refusal, headers, ..ResponseSpec::default() });
            return;
        }
        let to = cx.call.legs.other(leg).and_then(|other| Some((other, cx.call.legs[other].sip.dialog?)));
        let is_same_way = to.is_some_and(|(other, _)| cx.call.legs[other].dtmf() == cx.call.legs[leg].dtmf());
        // The stream of an agent cannot carry a text message.
        if info.is_text && to.is_none() {
            cx.edge.respond(cx.now, server, not_served(Method::Message));
            return;
        }
        let key = if info.is_text { ParsedInfo::Other } else { parse_info(info.body.as_ref()) };
        let taken = match key {
            ParsedInfo::Key(key, ms) if !is_same_way => Some(self.key_told(cx, leg, (key, ms))),
            ParsedInfo::Unreadable if !is_same_way => Some((400, None)),
            ParsedInfo::Key(..) | ParsedInfo::Unreadable | ParsedInfo::Other => None,
        };
        // The stream of an agent carries DTMF digits and no other INFO.
        let (Some((other, dialog)), None) = (to, taken) else {
            let (code, wait) = taken.unwrap_or((415, None));
            let accept = (code == 415).then(|| extra("Accept", "application/sdp"));
            let retry = wait.map(|seconds| extra("Retry-After", seconds.to_string()));
            let headers = accept.into_iter().chain(retry).collect();
            cx.edge.respond(cx.now, server, ResponseSpec { code, headers, ..ResponseSpec::default() });
            return;
        };
        let mut headers = cx.call.passing(cx.edge, &info.headers, leg, other);
        headers.extend(info.disposition.map(|disposition| extra("Content-Disposition", disposition)));
        let purpose = if info.is_text { RequestPurpose::Message } else { RequestPurpose::Info };
        match cx.edge.request(cx.now, cx.call.legs.place(other), dialog, purpose, headers, info.body) {
            Some(client) => {
                self.negotiation.infos.insert(client, server);
            }
            None => refuse_request(cx.now, cx.edge, server, 500),
        }
    }

    /// Sends a 183 with our description, so that the caller hears hold audio. Does nothing without hold audio, or for a
    /// caller without an offer, which cannot receive a description before its 2xx (RFC 3261 §13.2.1).
    ///
    /// # Errors
    /// The edge itself cannot answer the caller's offer.
    pub(crate) fn begin_early(&mut self, cx: &mut CallCx<'_>, agent: &Arc<Agent>) -> Result<(), TargetFailure> {
        if self.negotiation.offer.is_none() || agent.hold.is_none() || self.media.is_early(cx.call) {
            return Ok(());
        }
        let ours = self.first_description(cx)?;
        self.media.take_sounds(agent);
        self.negotiation.offer = self.media.standing_offer(cx.call);
        cx.call.legs[LegId::CALLER].enter(LegState::Early);
        self.negotiation.ring_caller(
            cx,
            ResponseSpec { code: 183, body: Some(MessageBody::sdp(ours.to_string())), ..ResponseSpec::default() },
        );
        Ok(())
    }

    /// Samples the media quality of the call and arms the timer for the next sample.
    pub(crate) fn sample_quality(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::Quality);
        if cx.call.state != CallState::Ended {
            cx.edge.settle_trace(cx.call.key);
            cx.capture_reports();
            let next = cx.call.story.series.finish_interval(cx.now, cx.call.legs.iter().map(reading));
            cx.call.legs.iter().filter_map(queue).for_each(AgentQueue::forget);
            cx.arm(CallTimer::Quality, next);
            self.media.look_for_flaws(cx);
            self.negotiation.watch_hold(cx);
        }
    }

    /// Handles the end of a sound; returns whether it was played to a side that the edge holds.
    pub(crate) fn held_side_heard(&mut self, cx: &mut CallCx<'_>, end: EndId) -> bool {
        let plays = |(holder, hold): (LegId, &LegHold)| (hold.player == Some(end)).then_some((holder, hold.kind));
        let found = cx.call.legs.holds.iter().find_map(plays);
        let Some((holder, kind)) = found else { return false };
        if kind == HoldKind::Sound {
            cx.edge.decide(cx.now, cx.call.key, "the sound was played to its end");
            self.release(cx, holder);
        } else if let Some((hold, media)) = cx.call.legs.holds.get_mut(holder).zip(cx.call.session) {
            // The hold was requested while the sound played, and outlasts it.
            hold.sound = None;
            let hold = hold.clone();
            let heard = hold.heard(cx.call.legs.music_of(holder));
            cx.edge.media(media, MediaCommand::Play { end, sound: heard });
        }
        true
    }

    /// Releases holds that lost their sound in a restart or a transfer.
    pub(crate) fn end_lost_sounds(&mut self, cx: &mut CallCx<'_>) {
        let lost = |hold: &LegHold| hold.kind == HoldKind::Sound && hold.sound.is_none();
        let holders: Vec<LegId> =
            cx.call.legs.holds.iter().filter_map(|(leg, hold)| lost(hold).then_some(leg)).collect();
        holders.into_iter().for_each(|holder| self.release(cx, holder));
    }

    /// Releases a hold, unless the description of its leg asks for one. Connects the two sides again after the last
    /// hold.
    pub(crate) fn release(&mut self, cx: &mut CallCx<'_>, holder: LegId) {
        let own = cx.call.legs[holder].theirs().is_some_and(|theirs| {
            let mut running = theirs.media.iter().filter(|media| media.port != 0).peekable();
            let direction = |media| MediaDirection::receives(theirs.direction_of(media));
            running.peek().is_some() && !running.any(direction)
        });
        let Some(hold) = cx.call.legs.holds.remove(holder) else { return };
        self.media.stop_music(cx, hold.player);
        if own {
            cx.call.legs.holds.insert(holder, LegHold::of(HoldKind::Party));
        }
        if cx.call.is_held_here() {
            return self.media.part_and_play(cx);
        }
        let (near, callee) = (cx.call.legs.near, cx.call.legs.callee);
        let agreed = callee.zip(cx.call.standing(near)).and_then(|(callee, offer)| {
            let agreed = self.negotiation.as_agreed(cx.call, (near, callee), &offer);
            agreed.map(|(_, streams)| (callee, streams))
        });
        match agreed {
            Some((callee, streams)) => {
                self.media.wire(cx, &streams, (near, false), (callee, false));
            }
            None => cx.edge.decide(cx.now, cx.call.key, "the parties no longer agree on a codec"),
        }
    }

    /// Sends DTMF digits to the caller of an agent for an HTTP request. The digits are never written to a trace or a
    /// log.
    ///
    /// # Errors
    /// The caller is not connected with the edge itself, a digit is invalid, there are no or too many digits, or the
    /// caller cannot receive digits.
    pub(crate) fn press_keys(&mut self, cx: &mut CallCx<'_>, digits: &str) -> Result<(), RequestRefusal> {
        if !cx.call.is_local() {
            return Err(RequestRefusal::NoAgent);
        }
        let is_key = |key: &char| matches!(key, '0'..='9' | '*' | '#' | 'A'..='D');
        let other = digits.chars().find(|key| !is_key(key));
        if other.is_some() || !(1..=KEYS_PER_REQUEST).contains(&digits.len()) {
            return Err(RequestRefusal::BadDigits(other));
        }
        if !self.press_for_caller(cx, digits) {
            return Err(RequestRefusal::NoTelephoneEvent);
        }
        cx.edge.decide(
            cx.now,
            cx.call.key,
            format!("{} DTMF digits are sent to the caller, as requested", digits.len()),
        );
        Ok(())
    }
}
