//! Warm transfers: the party that is to take a caller is asked before the two are connected.
//!
//! The caller hears music while the target rings and while its party is asked. An agent that has sent the caller there stays on its stream,
//! hears silence and is not heard. The party hears a whisper, and accepts with a digit or by not hanging up; a machine is not connected where
//! the transfer says so. Until then its leg is that of an attempt ([`Progress::Asking`]), so that the end of the attempt ends the question: where it
//! is not accepted the target has failed as any other, and the caller is back where it was.
//!
//! The whisper is made while the target rings. A restart forgets the transfer as it forgets every target that rings.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::agent::{WarmTransfer, Whisper};
use trunkgate_media::detection::{AnsweredBy, Verdict};
use trunkgate_media::{Command, EndId, Sound};
use trunkgate_resources::applications::question::{AppAnswer, AppPlace, AppWanted};
use trunkgate_resources::io::QueryId;
use trunkgate_resources::limits::{ACCEPTED_WAIT, WHISPER_SECONDS};
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::{App, AppDocument};
use trunkgate_sip::{Answer, ServerId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::Parts;
use crate::call::legs::digits::{Told, told};
use crate::call::legs::info::Info;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::coaching::Coaching;
use crate::call::negotiation::Bridge;
use crate::call::negotiation::parting::part_from_caller;
use crate::call::parts::effects::in_program;
use crate::call::recorders::detection;
use crate::call::search::attempt::Progress;
use crate::call::search::consults::{AskedParty, Consult, Warm, WhisperSound};
use crate::call::search::controller::TargetResult;
use crate::call::shared::Cx;
use crate::call::words::answer::Failure;
use crate::call::words::state::State;

/// Name of the asker of whispers, in figures of requests.
const ASKER: &str = "transfer";

/// How a caller is sent to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferMode {
    /// The side that has the caller leaves at once.
    AtOnce,
    /// The agent that has the caller stays until the target answers.
    Consult,
    /// The caller hears music until a party at the target accepts.
    Warm(Box<WarmTransfer>),
}

impl TransferMode {
    /// Returns whether the agent that has the caller stays for now.
    pub(crate) const fn keeps_agent(&self) -> bool {
        !matches!(self, TransferMode::AtOnce)
    }
    /// Returns words for a note about the transfer, behind its target.
    pub(crate) const fn condition(&self) -> &'static str {
        match self {
            TransferMode::AtOnce => "",
            TransferMode::Consult => ", once that answers",
            TransferMode::Warm(_) => ", once a party there accepts",
        }
    }
}

/// Asks the party of a warm transfer.
pub(crate) struct Asking<'p> {
    parts: &'p mut Parts,
}

impl<'p> Asking<'p> {
    /// Acts on a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Asking<'p> {
        Asking { parts }
    }

    /// Notes that the next target is to be asked, and has the whisper made.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>, settings: WarmTransfer) {
        let wanted = settings.whisper.clone().map(|whisper| match whisper {
            Whisper::Text { text, voice } => AppWanted::Speech { text, ssml: None, voice, language: None },
            Whisper::File(name) => AppWanted::Sound(AppPlace::File(name)),
            Whisper::Url(url) => AppWanted::Sound(AppPlace::Url(url)),
        });
        let app = App { is_made: true, ..App::new(ASKER, AppDocument::Text("".into())) };
        let sid = cx.call.legs.sid().to_owned();
        let whisper = match wanted {
            Some(wanted) => WhisperSound::Wanted(cx.edge.ask_for(Some(cx.call.key), &sid, &Arc::new(app), wanted)),
            None => WhisperSound::Silence,
        };
        self.parts.search.consults.warm = Some(Box::new(Warm { settings, whisper, asked: None }));
    }

    /// A party has answered: it is parted from the caller and hears the whisper.
    pub(crate) fn answered(&mut self, cx: &mut Cx<'_>, branch: Branch, leg: LegId) {
        cx.disarm(Timer::NoResponse(branch));
        cx.disarm(Timer::Ring(branch));
        // A leg that an earlier transfer has left is hung up on now: later it would look like this one.
        if cx.call.deadlines.contains(Timer::Referrer) {
            cx.disarm(Timer::Referrer);
            self.parts.bridge.hang_up_left(cx, Some(leg));
        }
        if let Some(attempt) = self.parts.search.attempt_mut(branch) {
            attempt.progress = Progress::Asking(leg);
        }
        let wires = part_from_caller(&mut self.parts.bridge, cx, leg);
        let Some(warm) = &mut self.parts.search.consults.warm else { return };
        warm.asked =
            Some(AskedParty { leg, wires, has_heard: false, is_judged: !warm.settings.detection, accepts: false });
        let wants_verdict = warm.settings.detection;
        self.parts.search.ring_back(cx, &mut self.parts.bridge);
        if !self.parts.bridge.media.talk_to_called(cx, leg) {
            cx.edge.decide(cx.now, cx.call.key, "transfer: the edge cannot speak to the party: it is not connected");
            return self.refuse(cx, Failure::unreached(ReasonSlug::CodecMismatch), EndedBy::Edge);
        }
        let name = cx.call.legs.name_of(leg);
        cx.edge.decide(cx.now, cx.call.key, format!("{name} has answered and is asked: the caller hears music"));
        let (sid, line) = (cx.call.legs.sid().to_owned(), format!("{} is asked", cx.edge.shown_name(&name)));
        cx.edge.log(&sid, line, None);
        cx.arm(Timer::Asked, Duration::from_secs(WHISPER_SECONDS));
        if wants_verdict {
            detection::begin_asked(cx, leg);
        }
        self.whisper(cx);
    }

    /// Plays the whisper, once both the sound and the party are there.
    fn whisper(&mut self, cx: &mut Cx<'_>) {
        let Some(warm) = self.parts.search.consults.warm.as_ref().filter(|warm| warm.asked.is_some()) else { return };
        match &warm.whisper {
            WhisperSound::Silence => self.heard(cx),
            WhisperSound::Wanted(_) => {}
            WhisperSound::Failed(text) => {
                let failure = whisper_failed(text);
                self.refuse(cx, failure, EndedBy::Edge);
            }
            WhisperSound::Ready(sound) => {
                if let (Some(end), Some(media)) = (self.parts.bridge.media.called_player, cx.call.session) {
                    cx.edge.media(media, Command::Play { end, sound: Sound::Once(sound.clone()) });
                }
            }
        }
    }

    /// The shell has made the whisper, or could not.
    pub(crate) fn whisper_came(&mut self, cx: &mut Cx<'_>, query: QueryId, answer: AppAnswer) {
        cx.edge.index_mut().queries.remove(&query);
        let Some(warm) = &mut self.parts.search.consults.warm else { return };
        let text = match answer {
            AppAnswer::Sound { sound, .. } => {
                warm.whisper = WhisperSound::Ready(sound);
                return self.whisper(cx);
            }
            AppAnswer::Failed { code, text } => format!("error {code}: {text}"),
            AppAnswer::Document { .. } => "a document came in the place of a sound".to_owned(),
        };
        let failure = whisper_failed(&text);
        cx.edge.decide(cx.now, cx.call.key, format!("whisper: {text}"));
        warm.whisper = WhisperSound::Failed(text);
        self.refuse(cx, failure, EndedBy::Edge);
    }

    /// Takes the end of a sound; returns whether it was the whisper.
    pub(crate) fn played(&mut self, cx: &mut Cx<'_>, end: EndId) -> bool {
        let is_it = self.parts.search.consults.asked().is_some() && self.parts.bridge.media.called_player == Some(end);
        if is_it {
            self.heard(cx);
        }
        is_it
    }

    /// The party has heard the whisper: it is connected, or its digit is waited for.
    fn heard(&mut self, cx: &mut Cx<'_>) {
        let Some(warm) = &mut self.parts.search.consults.warm else { return };
        let Some(asked) = warm.asked.as_mut().filter(|asked| !asked.accepts) else { return };
        asked.has_heard = true;
        if warm.settings.accept.is_some() {
            let wait = warm.settings.wait;
            cx.edge.decide(cx.now, cx.call.key, "the party has heard the whisper: its digit is waited for");
            return cx.arm(Timer::Asked, wait);
        }
        self.accept_if_heard(cx);
    }

    /// Connects a party of which no digit is wanted, once it has heard the whisper and is known to be no machine.
    fn accept_if_heard(&mut self, cx: &mut Cx<'_>) {
        let Some(warm) = &self.parts.search.consults.warm else { return };
        let is_ready = warm.asked.as_ref().is_some_and(|asked| asked.has_heard && asked.is_judged);
        if is_ready && warm.settings.accept.is_none() {
            self.accept(cx);
        }
    }

    /// The party has pressed a key.
    pub(crate) fn pressed(&mut self, cx: &mut Cx<'_>, key: char) {
        let Some(warm) = &mut self.parts.search.consults.warm else { return };
        let Some(asked) = warm.asked.as_mut().filter(|asked| !asked.accepts) else { return };
        match warm.settings.accept {
            Some(digit) if digit == key.to_ascii_uppercase() => {
                asked.accepts = true;
                cx.arm(Timer::Asked, ACCEPTED_WAIT);
            }
            Some(_) => {
                cx.edge.decide(cx.now, cx.call.key, "the party has pressed another digit than the one that accepts");
                self.refuse(cx, Failure::unreached(ReasonSlug::TransferDeclined), EndedBy::FarEnd);
            }
            None => {}
        }
    }

    /// Takes a key that the party has pressed by INFO.
    pub(crate) fn informed(&mut self, cx: &mut Cx<'_>, server: ServerId, info: &Info) {
        cx.edge.respond(cx.now, server, Answer { code: 200, ..Answer::default() });
        if let Told::Key(key, _) = told(info.body.as_ref()) {
            self.pressed(cx, key);
        }
    }

    /// It is known who has answered.
    pub(crate) fn judged(&mut self, cx: &mut Cx<'_>, leg: LegId, verdict: Verdict) {
        if !self.parts.search.consults.asks(leg) {
            return;
        }
        let accepts = self.parts.search.consults.warm.iter().flat_map(|warm| &warm.asked).any(|asked| asked.accepts);
        let is_machine = verdict.answered_by.is_machine() || verdict.answered_by == AnsweredBy::Fax;
        if is_machine && !accepts {
            return self.refuse(cx, Failure::unreached(ReasonSlug::MachineAnswered), EndedBy::Edge);
        }
        if let Some(asked) = self.parts.search.consults.warm.as_mut().and_then(|warm| warm.asked.as_mut()) {
            asked.is_judged = true;
        }
        self.accept_if_heard(cx);
    }

    /// The call of a party is over, or to end; returns whether it was asked.
    pub(crate) fn ends(&mut self, cx: &mut Cx<'_>, leg: LegId, (reason, by): (ReasonSlug, EndedBy)) -> bool {
        let is_it = self.parts.search.consults.asks(leg);
        if is_it {
            self.refuse(cx, Failure::unreached(reason), by);
        }
        is_it
    }

    /// The party has had its time.
    pub(crate) fn overdue(&mut self, cx: &mut Cx<'_>) {
        cx.call.deadlines.remove(Timer::Asked);
        match self.parts.search.consults.warm.iter().find_map(|warm| warm.asked.as_ref()) {
            Some(asked) if asked.accepts => self.accept(cx),
            Some(_) => self.refuse(cx, Failure::unreached(ReasonSlug::TransferNotAccepted), EndedBy::Edge),
            None => {}
        }
    }

    /// Connects the party with the caller; an agent that had the caller leaves.
    fn accept(&mut self, cx: &mut Cx<'_>) {
        let Some(mut warm) = self.parts.search.consults.warm.take() else { return };
        let Some(AskedParty { leg, wires, .. }) = warm.asked.take() else { return };
        cx.edge.decide(cx.now, cx.call.key, format!("{} accepts the transfer", cx.call.legs.name_of(leg)));
        let bridge = &mut self.parts.bridge;
        detection::leave(cx, leg);
        bridge.media.end_talk_to_called(cx);
        let wants_coach = warm.settings.coach && !self.parts.program.is_running();
        warm.end(cx, &mut bridge.media);
        cx.call.enter(State::Answered);
        let consults = &mut self.parts.search.consults;
        let stays = if wants_coach { consults.keep_agent(cx) } else { None };
        let number = u64::try_from(consults.begun).unwrap_or_default();
        self.parts.search.joined(cx, bridge, leg);
        for (from, (to, wire)) in wires {
            bridge.media.connect_ends(cx, from, to, wire);
        }
        bridge.media.tap_caller(cx);
        if let Some((agent, consult)) = stays {
            coach(bridge, cx, (agent, leg), (&consult, number));
        }
        in_program(self.parts, cx, |program, cx, lower| program.side_joined(cx, lower, leg, None));
    }

    /// Gives the target up: the caller is back where it was, or goes on.
    fn refuse(&mut self, cx: &mut Cx<'_>, failure: Failure, by: EndedBy) {
        if let Some(warm) = &mut self.parts.search.consults.warm {
            warm.leave_party(cx, &mut self.parts.bridge.media);
        }
        // It is tried alone.
        let Some(branch) = self.parts.search.attempts.first() else { return };
        match self.parts.search.attempt(branch).map(|attempt| attempt.progress) {
            Some(Progress::Asking(leg)) => {
                cx.trunk_answered(leg);
                cx.call.legs[leg].end_with(failure.reason, by);
                self.parts.bridge.media.hang_up_leg(cx, leg, failure.reason);
            }
            Some(Progress::Calling(leg)) => {
                cx.call.legs[leg].end_with(failure.reason, by);
                cx.withdraw(leg);
            }
            Some(_) | None => {}
        }
        self.parts.fail_target(cx, branch, TargetResult::Failed(failure));
    }
}

fn whisper_failed(text: &str) -> Failure {
    Failure { detail: Some(text.to_owned()), ..Failure::unreached(ReasonSlug::WhisperFailed) }
}

/// Has an agent coach a party that has taken its caller; one that cannot leaves.
fn coach(bridge: &mut Bridge, cx: &mut Cx<'_>, (agent, party): (LegId, LegId), (consult, number): (&Consult, u64)) {
    match Coaching::begin(&mut bridge.media, cx, (agent, party), (&consult.target, number)) {
        Ok(()) => {
            let name = cx.call.legs.name_of(agent);
            cx.edge.decide(cx.now, cx.call.key, format!("{name} stays as a coach: only the party hears it"));
        }
        Err(why) => {
            cx.edge.decide(cx.now, cx.call.key, format!("the agent does not stay as a coach: {why}"));
            cx.call.legs.agent_went_well(cx.edge, agent);
            cx.call.legs[agent].end_with(ReasonSlug::Transferred, consult.by);
            bridge.media.close_agent(cx, agent);
        }
    }
}
