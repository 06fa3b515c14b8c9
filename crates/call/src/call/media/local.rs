//! Media that the edge itself sends or copies: its answer to the caller, ringback, hold audio, goodbyes, and listeners.
//!
//! Listeners are configured in a route (`fork`) or requested in an answered call. The call never waits for a listener,
//! and its packets are never changed for one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::{DtmfConversion, EndId, MediaCommand, PayloadCodec, PlayerSound, TapSpec, WireSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::GOODBYE_NEWS_SECONDS;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{Agent, AnswerTime, DtmfMode};
use trunkgate_sdp::{AudioPayload, MediaDescription, MediaDirection, MediaEndpoint, SessionDescription, answer_offer};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::ForkView;

use crate::call::legs::agent_leg::{AgentRole, ServingAgent};
use crate::call::legs::agents::tell_back;
use crate::call::legs::codecs::{coding, name};
use crate::call::legs::leg::LegState;
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::list::Legs;
use crate::call::legs::spoken::{ANY_PORT, AudioAgreement, keys, mixer_wire, wire_to_caller};
use crate::call::media::CallMedia;
use crate::call::media::coaching::Coaching;
use crate::call::media::mixer::CallerMixerEnd;
use crate::call::media::player::{CallerPlayer, SAMPLES_PER_MS};
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::words::answer::{TargetFailure, unusable};
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;

/// Default clock rate of telephone-events, in Hz.
const EVENT_CLOCK_HZ: u32 = 8000;

impl CallMedia {
    /// Closes an agent's stream: removes its media end, and thereby its WebSocket.
    pub(crate) fn close_agent(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        let was = cx.call.legs[leg].enter(LegState::Ended);
        let (Some(side), Some(media)) = (&cx.call.legs[leg].agent, cx.call.session) else { return };
        if was == LegState::Ended {
            return;
        }
        if was == LegState::Answered {
            cx.edge.agents_mut().closed(&side.agent.name);
            cx.edge.metrics_mut().agent.sessions = cx.edge.metrics().agent.sessions.saturating_sub(1);
        }
        if !side.listens() && was == LegState::Answered && !side.is_gone {
            cx.edge.agents_mut().end_session(cx.now, &side.agent.name, cx.call.key);
        } else if !side.listens() {
            cx.edge.agents_mut().leave_line(&side.agent.name, cx.call.key);
        }
        if !side.listens() && !side.has_failed {
            let name = &side.agent.name;
            let is_back = cx.edge.agents_mut().stream_released(cx.now, name, cx.call.key, side.began, side.opened);
            tell_back(cx.edge, name, is_back);
        }
        if !side.listens() {
            cx.edge.agents_mut().dropped(&side.agent.name, cx.call.key);
        }
        let gone = side.end;
        self.wires.retain(|from, (to, _)| from != gone && *to != gone);
        cx.edge.remove_end(media, gone);
    }

    /// Adds a listener on request.
    ///
    /// # Errors
    /// The agent is unknown, the limit of listeners is reached, or the agent's protocol lacks the call's codec.
    pub(crate) fn begin_fork(
        &mut self,
        cx: &mut CallCx<'_>,
        request: &ForkRequest,
    ) -> Result<ForkView, RequestRefusal> {
        let agent = request.listener.agent(cx.edge).ok_or(RequestRefusal::UnknownAgent)?;
        if cx.call.legs.has_all_listeners() {
            return Err(RequestRefusal::TooManyForks);
        }
        if !agent.is_raw() && self.speaks_other_audio(cx.call) {
            return Err(RequestRefusal::OtherAudio);
        }
        let leg = cx.add_agent(&agent, request.role()).ok_or(RequestRefusal::Internal)?;
        self.tap_caller(cx);
        let (sid, line) =
            (cx.call.legs.sid().to_owned(), format!("{} is connected as a listener, as requested", agent.shown()));
        cx.edge.log(&sid, line, None);
        cx.call.legs[leg].fork_view().ok_or(RequestRefusal::Internal)
    }

    /// Disconnects a listener on request.
    ///
    /// # Errors
    /// The call has no listener with the SID `id`, or it has ended already.
    pub(crate) fn end_fork(&mut self, cx: &mut CallCx<'_>, id: &str) -> Result<ForkView, RequestRefusal> {
        let leg = cx.call.legs.find(|leg| leg.listens() && leg.sid == id).ok_or(RequestRefusal::UnknownFork)?;
        if cx.call.legs[leg].state == LegState::Ended {
            return Err(RequestRefusal::ForkEnded);
        }
        cx.call.legs.note(cx.now, cx.edge, leg, "disconnected, as requested");
        cx.call.legs[leg].end_with(ReasonSlug::Operator, EndedBy::Edge);
        self.close_agent(cx, leg);
        let (sid, line) =
            (cx.call.legs.sid().to_owned(), format!("{} no longer listens, as requested", cx.call.legs.name_of(leg)));
        cx.edge.log(&sid, line, None);
        cx.call.legs[leg].fork_view().ok_or(RequestRefusal::Internal)
    }

    /// Connects all listeners to the caller's side as it is wired now.
    pub(crate) fn tap_caller(&mut self, cx: &mut CallCx<'_>) {
        let Some(media) = cx.call.session else { return };
        Coaching::tap(self, cx);
        if cx.call.listeners.is_empty() && !cx.call.legs.iter().any(|leg| leg.listens()) {
            return;
        }
        let (understood, copied) = (self.audible(cx.call), self.copied_end(cx.call));
        let deaf = self.speaks_other_audio(cx.call);
        let mut deafened = false;
        let listeners = understood.iter().flat_map(|heard| cx.call.listeners.follow(heard));
        listeners.for_each(|tap| cx.edge.media(media, tap));
        for leg in cx.call.legs.iter_mut().filter(|leg| leg.state != LegState::Ended) {
            let Some(side) = leg.agent.as_mut().filter(|side| side.listens()) else { continue };
            // Listeners with plain RTP get every payload unchanged.
            let raw = side.agent.is_raw();
            let heard = if raw { copied.map(|end| (end, TapSpec::default())) } else { understood.clone() };
            let Some(heard) = heard else {
                deafened |= deaf && !raw;
                continue;
            };
            if side.hears.as_ref() != Some(&heard) {
                let (of, audio) = heard.clone();
                side.hears = Some(heard);
                cx.edge.media(media, MediaCommand::Tap { of, listener: side.end, audio });
            }
        }
        if deafened {
            cx.edge.decide(cx.now, cx.call.key, "listeners receive no audio: the edge cannot decode the codec");
        }
    }

    /// Returns whether listeners would get no audio, because the edge cannot decode the call's codec.
    pub(crate) fn speaks_other_audio(&self, call: &SharedCallState) -> bool {
        self.copied_end(call).is_some() && self.audible(call).is_none()
    }

    /// Returns the audio for listeners: the caller's media end and its payload types. `None` if the edge can decode no
    /// audio of the caller.
    fn audible(&self, call: &SharedCallState) -> Option<(EndId, TapSpec)> {
        match self.local_end(call) {
            Some((end, spoken)) => Some((end, TapSpec::both(spoken.audio, spoken.coding))),
            None => self.audio_of(call, call.legs.near),
        }
    }

    /// Returns the caller's media end if the caller has a session with the edge itself. `None` if a remote party is
    /// connected with it.
    fn local_end(&self, call: &SharedCallState) -> Option<(EndId, AudioAgreement)> {
        let far = call.legs.callee.is_some_and(|leg| call.legs[leg].agent.is_none());
        if far { None } else { self.spoken_end(call) }
    }

    /// Returns the media end of the caller's first audio stream.
    fn copied_end(&self, call: &SharedCallState) -> Option<EndId> {
        if let Some((end, _)) = self.local_end(call) {
            return Some(end);
        }
        let caller = call.legs.near_leg();
        let theirs = caller.theirs()?;
        let is_audio =
            |index: usize| theirs.media.get(index).is_some_and(|media| media.kind.eq_ignore_ascii_case("audio"));
        caller.ends.iter().find(|end| is_audio(end.index) && self.wires.contains(end.end)).map(|end| end.end)
    }

    /// Returns the first audio of a leg that the edge can decode: the media end, and its payload types in both
    /// directions. Each description defines the payload types of the direction that it receives.
    pub(crate) fn audio_of(&self, call: &SharedCallState, leg: LegId) -> Option<(EndId, TapSpec)> {
        let caller = &call.legs[leg];
        let (theirs, ours) = (caller.theirs()?, caller.sent());
        caller.ends.iter().find_map(|end| {
            let theirs = theirs.media.get(end.index)?;
            let ours = ours.as_ref().and_then(|sent| sent.media.get(end.index));
            let spoken = |section: &MediaDescription, number: u8| {
                AudioPayload::numbered(section, number).and_then(|audio| coding(&audio))
            };
            let coding_of = |number: u8| match theirs.rtpmap(number) {
                Some(_) => spoken(theirs, number),
                None => spoken(ours?, number),
            };
            let heard = |numbers: &mut dyn Iterator<Item = u8>| -> Vec<(u8, PayloadCodec)> {
                let numbers: BTreeSet<u8> = numbers.collect();
                numbers.into_iter().filter_map(|number| Some((number, coding_of(number)?))).collect()
            };
            let from = self.wires.get(end.end).into_iter();
            let to = self.wires.values().filter(|(sink, _)| *sink == end.end);
            let inbound = heard(&mut from.flat_map(|(_, wire)| {
                let converted = wire.transcode.iter().flat_map(|spec| spec.from.iter().map(|(from, _)| *from));
                wire.payloads.iter().map(|(from, _)| *from).chain(converted)
            }));
            let outbound = heard(&mut to.flat_map(|(_, wire)| {
                let converted = wire.transcode.iter().map(|spec| spec.to.0);
                wire.payloads.iter().map(|(_, to)| *to).chain(converted)
            }));
            let is_audio = theirs.kind.eq_ignore_ascii_case("audio") && !inbound.is_empty();
            is_audio.then_some((end.end, TapSpec { inbound, outbound }))
        })
    }

    /// Closes a lost listener and logs it; the call is not affected.
    pub(crate) fn lose_listener(&mut self, cx: &mut CallCx<'_>, leg: LegId, failure: &TargetFailure) {
        self.close_agent(cx, leg);
        let why = failure.loss.map(|loss| loss.to_string()).unwrap_or_default();
        let line = format!("{} no longer listens: {why}", cx.call.legs.name_of(leg));
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, line, Some(failure.reason));
    }

    /// Applies the agent's `max_call` once the target on `leg` has the caller.
    pub(crate) fn limit_call(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        cx.disarm(CallTimer::MaxCall);
        let Some(agent) = cx.call.legs[leg].agent.as_ref().map(|side| side.agent.clone()) else {
            self.holder = None;
            return;
        };
        let same = self.holder.as_ref().filter(|holder| holder.agent.name == agent.name);
        let since = same.map_or(cx.now, |holder| holder.since);
        if !agent.max_call.is_zero() {
            let left = agent.max_call.saturating_sub(cx.now.saturating_duration_since(since));
            cx.arm_left(CallTimer::MaxCall, left);
        }
        self.holder = Some(Box::new(ServingAgent { agent, since }));
    }

    /// Returns whether the next agent requires our media ports to be sent to the caller before the agent is connected.
    pub(crate) fn is_told_ports(&self, call: &SharedCallState, agent: &Agent) -> bool {
        let tells = matches!(agent.answer, AnswerTime::Early | AnswerTime::AtOnce);
        tells && call.is_answered_by_agent() && self.spoken.is_none()
    }

    /// Selects the agent that provides goodbye and hold audio for the caller.
    pub(crate) fn take_sounds(&mut self, agent: &Arc<Agent>) {
        if agent.goodbye.is_some() {
            self.goodbye = Some(agent.clone());
        }
        self.hold = Some(agent.clone());
    }

    /// Deselects goodbye and hold audio after the caller has left an agent.
    pub(crate) fn drop_sounds(&mut self) {
        (self.goodbye, self.hold) = (None, None);
    }

    /// Returns whether the caller hears the edge before its call is answered.
    pub(crate) fn is_early(&self, call: &SharedCallState) -> bool {
        call.state == CallState::Searching && self.spoken.is_some()
    }

    /// Answers an offer of the caller for the session with the edge itself, and points the media accordingly.
    ///
    /// # Errors
    /// No codec of the offer can be transcoded, or no port is available.
    pub(crate) fn answer_locally(
        &mut self,
        cx: &mut CallCx<'_>,
        offer: &SessionDescription,
    ) -> Result<SessionDescription, TargetFailure> {
        let caller = cx.call.legs.near_leg();
        let answered =
            answer_offer(offer, &cx.call.legs.own_policy(), ANY_PORT, &caller.identity(), MediaDirection::SendRecv);
        let (mut answer, far, audio) = answered.map_err(unusable)?;
        let missing = || TargetFailure::unreached(ReasonSlug::NoPorts);
        let index = answer.media.iter().position(|media| media.port != 0).ok_or_else(missing)?;
        let port = cx.end_of_caller(index).ok_or_else(missing)?;
        let section = answer.media.get_mut(index).ok_or_else(missing)?;
        section.port = port;
        let presses = keys(section);
        let keys = presses.map(|(number, _)| number);
        let coding = coding(&audio).ok_or_else(missing)?;
        let spoken = AudioAgreement { index, audio: audio.number, coding, keys, presses };
        let caller = cx.call.legs.near_leg_mut();
        caller.protect_answer(cx.edge, &mut answer, offer);
        let answer = caller.stamp(answer);
        caller.sdp.ours = caller.sdp.last_sent.clone();
        let relatch = caller.take_theirs(offer);
        self.apply_audio_agreement(cx, spoken, &far, relatch);
        Ok(answer)
    }

    /// Puts an audio agreement between the caller and the edge into force, and closes the caller's other streams.
    pub(crate) fn apply_audio_agreement(
        &mut self,
        cx: &mut CallCx<'_>,
        spoken: AudioAgreement,
        far: &MediaEndpoint,
        relatch: bool,
    ) {
        let Some(media) = cx.call.session else { return };
        self.spoken = Some(spoken);
        let caller = cx.call.legs.near_leg_mut();
        for end in caller.ends.extract_if(.., |end| end.index != spoken.index) {
            caller.quality.retire(&end.counters);
            cx.edge.remove_end(media, end.end);
        }
        caller.codec = name(spoken.coding).to_owned();
        let codec = caller.codec.clone();
        if let Some(end) = caller.end(spoken.index).map(|end| end.end) {
            cx.point((cx.call.legs.near, end), far, relatch);
        }
        cx.call.legs.note_media(cx.now, cx.edge, &[cx.call.legs.near], &codec);
    }

    /// Returns the caller's media end in its session with the edge, with codec and payload types; `None` if it has no
    /// such session.
    pub(crate) fn spoken_end(&self, call: &SharedCallState) -> Option<(EndId, AudioAgreement)> {
        let spoken = self.spoken?;
        Some((call.legs.near_leg().end(spoken.index)?.end, spoken))
    }

    /// Returns the caller's agreement as an offer of that codec alone, so that its session need not change.
    pub(crate) fn standing_offer(&self, call: &SharedCallState) -> Option<SessionDescription> {
        let spoken = self.spoken?;
        let mut offer = call.legs.near_leg().theirs()?;
        let wanted = [Some(spoken.audio), spoken.keys].map(|number| number.map(|number| number.to_string()));
        for (at, media) in offer.media.iter_mut().enumerate() {
            if at == spoken.index {
                media.formats.retain(|format| wanted.iter().flatten().any(|number| number == format));
            } else {
                media.port = 0;
            }
        }
        Some(offer)
    }

    /// Plays a goodbye to the caller; returns whether the caller can hear it.
    pub(crate) fn play_last(&mut self, cx: &mut CallCx<'_>, sound: &Arc<[u8]>, reason: ReasonSlug) -> bool {
        let (Some(media), Some((caller, spoken))) = (cx.call.session, self.spoken_end(cx.call)) else { return false };
        let Some(end) = cx.edge.new_end(media) else { return false };
        cx.edge.media(media, MediaCommand::AddPlayer { end, sound: PlayerSound::Once(sound.clone()) });
        if self.wires.remove(caller).is_some() {
            cx.edge.media(media, MediaCommand::Unwire { from: caller });
        }
        self.player = Some(CallerPlayer { end, last: Some(reason) });
        self.connect_ends(cx, end, caller, wire_to_caller(spoken));
        self.tap_caller(cx);
        cx.call.enter(CallState::Leaving);
        cx.edge.decide(cx.now, cx.call.key, "the caller hears the goodbye");
        let length = Duration::from_millis(u64::try_from(sound.len()).unwrap_or(u64::MAX) / SAMPLES_PER_MS);
        cx.arm(CallTimer::Goodbye, length + Duration::from_secs(GOODBYE_NEWS_SECONDS));
        true
    }

    /// Continues the goodbye after the caller's session has changed.
    pub(crate) fn continue_goodbye(&mut self, cx: &mut CallCx<'_>) {
        if let (Some(player), Some((caller, spoken))) = (self.player, self.spoken_end(cx.call)) {
            self.connect_ends(cx, player.end, caller, wire_to_caller(spoken));
        }
    }

    pub(crate) fn stop_player(&mut self, cx: &mut CallCx<'_>) {
        let (Some(player), Some(media)) = (self.player.take(), cx.call.session) else { return };
        self.wires.remove(player.end);
        cx.edge.remove_end(media, player.end);
    }

    /// Connects the caller to the application's player, which is silent until it gets a sound and receives the caller's
    /// digits. Does nothing before the caller's media address is known.
    pub(crate) fn talk_to_caller(&mut self, cx: &mut CallCx<'_>) {
        self.talks_to_caller = true;
        if let Some(agent) = cx.call.legs.agent_in_place_of_caller() {
            return self.talk_to_agent(cx, agent);
        }
        let (Some(media), Some((caller, spoken))) = (cx.call.session, self.spoken_end(cx.call)) else { return };
        let player = match self.player {
            Some(player) => player,
            None => {
                let Some(end) = cx.edge.new_end(media) else { return };
                cx.edge.media(media, MediaCommand::AddPlayer { end, sound: PlayerSound::Silence });
                *self.player.insert(CallerPlayer { end, last: None })
            }
        };
        // The caller hears the mix in a conference or a connection by a queue, unless it waits.
        let heard = self.mixer_end.as_ref().and_then(CallerMixerEnd::heard).unwrap_or(player.end);
        self.connect_ends(cx, heard, caller, wire_to_caller(spoken));
        let wire = digits_of(spoken, cx.call.legs.near_leg().dtmf());
        self.connect_ends(cx, caller, player.end, wire);
        self.tap_caller(cx);
    }

    /// Connects an agent that is a conference participant to its mixer input. An agent hears no waiting music.
    fn talk_to_agent(&mut self, cx: &mut CallCx<'_>, agent: EndId) {
        let (Some(media), Some(seat)) = (cx.call.session, self.mixer_end.as_ref()) else { return };
        let (seat, is_heard) = (seat.id(), seat.heard().is_some());
        self.connect_ends(cx, agent, seat, mixer_wire());
        if is_heard {
            self.connect_ends(cx, seat, agent, mixer_wire());
        } else if self.wires.remove(seat).is_some() {
            cx.edge.media(media, MediaCommand::Unwire { from: seat });
        }
    }

    /// Removes a mixer input with its connections.
    pub(crate) fn drop_seat(&mut self, cx: &mut CallCx<'_>, seat: EndId) {
        let Some(media) = cx.call.session else { return };
        self.wires.retain(|from, (to, _)| from != seat && *to != seat);
        cx.edge.remove_end(media, seat);
    }

    /// Marks the caller as no longer connected with an application; its media connections stay until others replace
    /// them.
    pub(crate) fn end_talk(&mut self) {
        self.talks_to_caller = false;
    }

    /// Connects a called party to a player of its own, which receives its digits. Returns whether the edge supports its
    /// codec.
    pub(crate) fn talk_to_called(&mut self, cx: &mut CallCx<'_>, leg: LegId) -> bool {
        let Some((media, (_, Some(spoken)))) = cx.call.session.zip(cx.call.legs.offer_of(leg)) else { return false };
        let Some(theirs) = cx.call.legs[leg].end(spoken.index).map(|end| end.end) else { return false };
        let Some(end) = cx.edge.new_end(media) else { return false };
        cx.edge.media(media, MediaCommand::AddPlayer { end, sound: PlayerSound::Silence });
        self.called_player = Some(end);
        let wire = digits_of(spoken, cx.call.legs[leg].dtmf());
        self.connect_ends(cx, end, theirs, wire_to_caller(spoken));
        self.connect_ends(cx, theirs, end, wire);
        true
    }

    /// Reports the caller's digits to an application from now on, while they are still relayed to the party.
    pub(crate) fn tell_digits(&mut self, cx: &mut CallCx<'_>) {
        self.tells_digits = true;
        let ends: Vec<EndId> = cx.call.legs.near_leg().ends.iter().map(|end| end.end).collect();
        for end in ends {
            if let Some((to, wire)) = self.wires.get(end).cloned() {
                self.connect_ends(cx, end, to, wire);
            }
        }
    }

    /// Removes the called party's player.
    pub(crate) fn end_talk_to_called(&mut self, cx: &mut CallCx<'_>) {
        let (Some(end), Some(media)) = (self.called_player.take(), cx.call.session) else { return };
        self.wires.retain(|from, (to, _)| from != end && *to != end);
        cx.edge.remove_end(media, end);
    }

    /// Plays a sound to the party that the application controls, in place of its previous audio.
    pub(crate) fn play_to_party(&mut self, cx: &mut CallCx<'_>, sound: PlayerSound) {
        match (self.called_player, cx.call.session) {
            (Some(end), Some(media)) => cx.edge.media(media, MediaCommand::Play { end, sound }),
            _ => self.play_to_caller(cx, sound),
        }
    }

    /// Plays a sound to an application's caller, in place of its previous audio.
    pub(crate) fn play_to_caller(&mut self, cx: &mut CallCx<'_>, sound: PlayerSound) {
        self.talk_to_caller(cx);
        if let (Some(media), Some(player)) = (cx.call.session, self.player) {
            cx.edge.media(media, MediaCommand::Play { end: player.end, sound });
        }
    }

    /// Continues a sound for an application's caller at the position that another process had reached.
    pub(crate) fn resume_to_caller(&mut self, cx: &mut CallCx<'_>, sound: PlayerSound) {
        self.talk_to_caller(cx);
        if let (Some(media), Some(player)) = (cx.call.session, self.player) {
            cx.edge.media(media, MediaCommand::ResumePlay { end: player.end, sound });
        }
    }

    /// Silences the player of an application's caller.
    pub(crate) fn stop_playing_to_caller(&mut self, cx: &mut CallCx<'_>) {
        self.play_to_caller(cx, PlayerSound::Silence);
    }

    /// Plays ringback to an application's caller while a party is called.
    pub(crate) fn ring_to_caller(&mut self, cx: &mut CallCx<'_>) {
        self.play_to_caller(cx, PlayerSound::Ringback);
    }
}

/// Returns the wire that carries only a party's digits to its application.
pub(crate) fn digits_of(spoken: AudioAgreement, dtmf: DtmfMode) -> WireSpec {
    let parted = DtmfConversion {
        events: spoken.keys.map(|number| (number, event_clock_hz(spoken))).into_iter().collect(),
        tones: dtmf == DtmfMode::Inband,
        digits_only: Some((spoken.audio, spoken.coding)),
        ..DtmfConversion::default()
    };
    WireSpec { parted: Some(Box::new(parted)), ..WireSpec::default() }
}

/// Returns the clock rate of the caller's telephone-events in Hz, taken from ours towards the caller (RFC 4733 §2.1).
fn event_clock_hz(spoken: AudioAgreement) -> u32 {
    spoken.presses.map_or(EVENT_CLOCK_HZ, |(_, clock_hz)| clock_hz)
}

/// Destination of a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForkDestination {
    /// Name of an agent in the configuration.
    Agent(String),
    /// URL of the listener: `ws://`, `wss://` or `rtp://`, with default settings. The permission for unencrypted audio
    /// is checked at connection time.
    Url(String),
}

impl ForkDestination {
    /// Returns the destination in the form in which the listener was requested.
    pub(crate) fn of(agent: &Agent) -> ForkDestination {
        if agent.name.is_empty() {
            ForkDestination::Url(agent.url.clone())
        } else {
            ForkDestination::Agent(agent.name.to_string())
        }
    }

    /// Returns the agent; `None` if the configuration has none with this name.
    pub(crate) fn agent(&self, edge: &Edge) -> Option<Arc<Agent>> {
        match self {
            ForkDestination::Agent(name) => edge.table().agent(name).filter(|agent| !agent.name.is_empty()).cloned(),
            ForkDestination::Url(url) => Some(Arc::new(Agent::at("", url))),
        }
    }

    /// Returns the message for a listener that was not restored after a restart.
    pub(crate) fn left_out(&self) -> String {
        let (ForkDestination::Agent(who) | ForkDestination::Url(who)) = self;
        format!("{who} no longer listens: removed from the configuration")
    }
}

/// Request for a fork; a restored call requests its listeners again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkRequest {
    /// Destination of the fork.
    pub listener: ForkDestination,
    /// Tracks to send.
    pub tracks: TrackSet,
    /// `customParameters` in addition to the configured ones, which they override.
    pub parameters: Vec<(String, String)>,
}

impl ForkRequest {
    /// Returns the role of the listener in the call.
    pub(crate) fn role(&self) -> AgentRole {
        AgentRole::Listen { tracks: self.tracks, parameters: self.parameters.clone() }
    }
}

/// Returns the requests for all active listeners of a call.
pub(crate) fn listeners(legs: &Legs) -> Vec<ForkRequest> {
    let live = legs.active_listeners().filter_map(|leg| legs[leg].agent.as_ref());
    live.filter_map(|side| {
        let AgentRole::Listen { tracks, parameters } = &side.part else { return None };
        let (listener, tracks, parameters) = (ForkDestination::of(&side.agent), *tracks, parameters.clone());
        Some(ForkRequest { listener, tracks, parameters })
    })
    .collect()
}
