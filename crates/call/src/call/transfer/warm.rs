//! Warm transfers: the target party is prompted to accept before it is connected with the caller.
//!
//! The caller hears music while the target rings and while its party is prompted. The transferring agent stays on its
//! stream, hears silence and is not heard. The party hears a whisper, and accepts with a digit or by not hanging up;
//! the transfer may exclude machines. Until the party accepts, its leg belongs to an attempt
//! ([`AttemptState::Asking`]), so that the end of the attempt ends the prompt: without acceptance the target has failed
//! like any other, and the caller returns to the agent or party.
//!
//! The whisper is synthesised while the target rings. A restart drops the transfer, like every ringing target.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::agent::{WarmTransfer, Whisper};
use trunkgate_media::detection::{AnsweredBy, DetectionMode, DetectionSettings, DetectionVerdict};
use trunkgate_media::{EndId, MediaCommand, PlayerSound};
use trunkgate_resources::applications::question::{AppAnswer, AppPlace, AppResource};
use trunkgate_resources::io::QueryId;
use trunkgate_resources::limits::{ACCEPTED_WAIT, WHISPER_SECONDS};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::{App, AppDocument};
use trunkgate_sip::{ResponseSpec, ServerId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::digits::{ParsedInfo, parse_info};
use crate::call::legs::info::Info;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::CallMedia;
use crate::call::media::coaching::Coaching;
use crate::call::media::judge::MachineDetection;
use crate::call::negotiation::Bridge;
use crate::call::negotiation::parting::part_from_caller;
use crate::call::program::effects::LowerParts;
use crate::call::search::attempt::AttemptState;
use crate::call::search::consults::{ConsultTarget, Consults, PromptedParty, WarmTransferState, WhisperSound};
use crate::call::search::controller::TargetResult;
use crate::call::shared::CallCx;
use crate::call::transfer::effects::TransferEffect;
use crate::call::transfer::in_call::CallTransfers;
use crate::call::words::answer::TargetFailure;
use crate::call::words::state::CallState;

/// Name of the application that requests whispers, in the labels of metrics.
const ASKER: &str = "transfer";

/// Mode of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferMode {
    /// The transferor leaves at once.
    AtOnce,
    /// The agent keeps the caller until the target answers.
    Consult,
    /// The caller hears music until a party at the target accepts.
    Warm(Box<WarmTransfer>),
}

impl TransferMode {
    /// Returns whether the agent keeps its leg during the transfer.
    pub(crate) const fn keeps_agent(&self) -> bool {
        !matches!(self, TransferMode::AtOnce)
    }

    /// Returns the condition of the transfer as a clause that follows its target in a note.
    pub(crate) const fn condition(&self) -> &'static str {
        match self {
            TransferMode::AtOnce => "",
            TransferMode::Consult => ", once that answers",
            TransferMode::Warm(_) => ", once a party there accepts",
        }
    }
}

/// Prepares the prompt for the party of the next target, and requests its whisper.
pub(crate) fn begin(cx: &mut CallCx<'_>, consults: &mut Consults, settings: WarmTransfer) {
    let wanted = settings.whisper.clone().map(|whisper| match whisper {
        Whisper::Text { text, voice } => AppResource::Speech { text, ssml: None, voice, language: None },
        Whisper::File(name) => AppResource::Sound(AppPlace::File(name)),
        Whisper::Url(url) => AppResource::Sound(AppPlace::Url(url)),
    });
    let app = App { is_made: true, ..App::new(ASKER, AppDocument::Text("".into())) };
    let sid = cx.call.legs.sid().to_owned();
    let whisper = match wanted {
        Some(wanted) => WhisperSound::Wanted(cx.edge.ask_for(Some(cx.call.key), &sid, &Arc::new(app), wanted)),
        None => WhisperSound::Silence,
    };
    consults.warm = Some(Box::new(WarmTransferState { settings, whisper, prompted: None }));
}

/// Separates an answered party from the caller, and prompts it to accept.
pub(crate) fn ask(
    cx: &mut CallCx<'_>,
    LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
    transfers: &CallTransfers,
    branch: Branch,
    leg: LegId,
) -> TransferEffect {
    cx.disarm(CallTimer::NoResponse(branch));
    cx.disarm(CallTimer::Ring(branch));
    // Hangs up on the transferor of an earlier transfer, which could later not be distinguished from this one.
    if cx.call.deadlines.contains(CallTimer::Referrer) {
        cx.disarm(CallTimer::Referrer);
        transfers.hang_up_left(cx, bridge, Some(leg));
    }
    if let Some(attempt) = search.attempt_mut(branch) {
        attempt.progress = AttemptState::Asking(leg);
    }
    let wires = part_from_caller(bridge, cx, leg);
    let Some(warm) = &mut search.consults.warm else { return TransferEffect::Stay };
    let wants_verdict = warm.settings.detection;
    let is_judged = !wants_verdict;
    warm.prompted = Some(PromptedParty { leg, wires, has_heard: false, judge: None, is_judged, accepts: false });
    search.ring_back(cx, bridge);
    if !bridge.media.talk_to_called(cx, leg) {
        cx.edge.decide(
            cx.now,
            cx.call.key,
            "transfer: the edge cannot encode the party's codec: the party is not connected",
        );
        return TransferEffect::declined(TargetFailure::unreached(ReasonSlug::CodecMismatch), EndedBy::Edge);
    }
    let name = cx.call.legs.name_of(leg);
    cx.edge.decide(cx.now, cx.call.key, format!("{name} has answered and is prompted: the caller hears music"));
    let (sid, line) = (cx.call.legs.sid().to_owned(), format!("{} is prompted", cx.edge.shown_name(&name)));
    cx.edge.log(&sid, line, None);
    cx.arm(CallTimer::Asked, Duration::from_secs(WHISPER_SECONDS));
    if wants_verdict {
        let judge = MachineDetection::apart(cx, leg, DetectionSettings::new(DetectionMode::Enable, [None; 4])).ok();
        if let Some(asked) = search.consults.warm.as_mut().and_then(|warm| warm.prompted.as_mut()) {
            // A party that the edge cannot hear counts as a person, as every unknown verdict does.
            asked.is_judged = judge.is_none();
            asked.judge = judge;
        }
    }
    search.consults.play_whisper(cx, &bridge.media)
}

impl Consults {
    /// Plays the whisper once both the sound and the party are ready.
    fn play_whisper(&mut self, cx: &mut CallCx<'_>, media: &CallMedia) -> TransferEffect {
        let Some(warm) = self.warm.as_ref().filter(|warm| warm.prompted.is_some()) else { return TransferEffect::Stay };
        match &warm.whisper {
            WhisperSound::Silence => self.whisper_heard(cx),
            WhisperSound::Wanted(_) => TransferEffect::Stay,
            WhisperSound::Failed(text) => TransferEffect::declined(whisper_failed(text), EndedBy::Edge),
            WhisperSound::Ready(sound) => {
                if let (Some(end), Some(media)) = (media.called_player, cx.call.session) {
                    cx.edge.media(media, MediaCommand::Play { end, sound: PlayerSound::Once(sound.clone()) });
                }
                TransferEffect::Stay
            }
        }
    }

    /// Handles the sound of the whisper, which the shell has loaded or synthesised, or its failure; after a failure the
    /// target is given up.
    pub(crate) fn whisper_came(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &CallMedia,
        query: QueryId,
        answer: AppAnswer,
    ) -> TransferEffect {
        cx.edge.index_mut().queries.remove(&query);
        let Some(warm) = &mut self.warm else { return TransferEffect::Stay };
        let text = match answer {
            AppAnswer::Sound { sound, .. } => {
                warm.whisper = WhisperSound::Ready(sound);
                return self.play_whisper(cx, media);
            }
            AppAnswer::Failed { code, text } => format!("error {code}: {text}"),
            AppAnswer::Document { .. } => "expected a sound, got a document".to_owned(),
        };
        let failure = whisper_failed(&text);
        cx.edge.decide(cx.now, cx.call.key, format!("whisper: {text}"));
        warm.whisper = WhisperSound::Failed(text);
        TransferEffect::declined(failure, EndedBy::Edge)
    }

    /// Returns whether `end` plays the whisper to the prompted party.
    pub(crate) fn plays_whisper(&self, media: &CallMedia, end: EndId) -> bool {
        self.asked().is_some() && media.called_player == Some(end)
    }

    /// Handles the end of the whisper: waits for the party's digit, or accepts the party if none is required.
    pub(crate) fn whisper_heard(&mut self, cx: &mut CallCx<'_>) -> TransferEffect {
        let Some(warm) = &mut self.warm else { return TransferEffect::Stay };
        let Some(asked) = warm.prompted.as_mut().filter(|asked| !asked.accepts) else { return TransferEffect::Stay };
        asked.has_heard = true;
        if warm.settings.accept.is_some() {
            let wait = warm.settings.wait;
            cx.edge.decide(cx.now, cx.call.key, "the party has heard the whisper: waiting for its digit");
            cx.arm(CallTimer::Asked, wait);
            return TransferEffect::Stay;
        }
        self.accepted_if_heard()
    }

    /// Accepts a party that needs no digit once it has heard the whisper and detection, if any, has not found a
    /// machine.
    fn accepted_if_heard(&self) -> TransferEffect {
        let Some(warm) = &self.warm else { return TransferEffect::Stay };
        let is_ready = warm.prompted.as_ref().is_some_and(|asked| asked.has_heard && asked.is_judged);
        match is_ready && warm.settings.accept.is_none() {
            true => TransferEffect::Accepted,
            false => TransferEffect::Stay,
        }
    }

    /// Handles a digit of the prompted party: the configured one accepts, after [`ACCEPTED_WAIT`]; any other declines.
    /// Ignored if no digit is required.
    pub(crate) fn digit_pressed(&mut self, cx: &mut CallCx<'_>, key: char) -> TransferEffect {
        let Some(warm) = &mut self.warm else { return TransferEffect::Stay };
        let Some(asked) = warm.prompted.as_mut().filter(|asked| !asked.accepts) else { return TransferEffect::Stay };
        match warm.settings.accept {
            Some(digit) if digit == key.to_ascii_uppercase() => {
                asked.accepts = true;
                cx.arm(CallTimer::Asked, ACCEPTED_WAIT);
                TransferEffect::Stay
            }
            Some(_) => {
                cx.edge.decide(cx.now, cx.call.key, "the party has pressed a digit other than the accepting one");
                TransferEffect::declined(TargetFailure::unreached(ReasonSlug::TransferDeclined), EndedBy::FarEnd)
            }
            None => TransferEffect::Stay,
        }
    }

    /// Handles a digit that the prompted party has sent by INFO.
    pub(crate) fn informed(&mut self, cx: &mut CallCx<'_>, server: ServerId, info: &Info) -> TransferEffect {
        cx.edge.respond(cx.now, server, ResponseSpec { code: 200, ..ResponseSpec::default() });
        match parse_info(info.body.as_ref()) {
            ParsedInfo::Key(key, _) => self.digit_pressed(cx, key),
            ParsedInfo::Unreadable | ParsedInfo::Other => TransferEffect::Stay,
        }
    }

    /// Handles the verdict of answering machine detection on the prompted party. A machine or a fax has the target
    /// given up; any other verdict counts as a person.
    pub(crate) fn judged(&mut self, cx: &mut CallCx<'_>, end: EndId, verdict: DetectionVerdict) -> TransferEffect {
        let Some(asked) = self.warm.as_mut().and_then(|warm| warm.prompted.as_mut()) else {
            return TransferEffect::Stay;
        };
        let Some(judge) = asked.judge.take_if(|judge| judge.end() == end) else { return TransferEffect::Stay };
        judge.settle(cx, verdict);
        let is_machine = verdict.answered_by.is_machine() || verdict.answered_by == AnsweredBy::Fax;
        if is_machine && !asked.accepts {
            return TransferEffect::declined(TargetFailure::unreached(ReasonSlug::MachineAnswered), EndedBy::Edge);
        }
        asked.is_judged = true;
        self.accepted_if_heard()
    }

    /// Handles the end of the time to accept: a party that has accepted is connected, any other has declined.
    pub(crate) fn asked_time_over(&self, cx: &mut CallCx<'_>) -> TransferEffect {
        cx.call.deadlines.remove(CallTimer::Asked);
        match self.warm.as_ref().and_then(|warm| warm.prompted.as_ref()) {
            Some(asked) if asked.accepts => TransferEffect::Accepted,
            Some(_) => {
                TransferEffect::declined(TargetFailure::unreached(ReasonSlug::TransferNotAccepted), EndedBy::Edge)
            }
            None => TransferEffect::Stay,
        }
    }
}

/// Connects the party that accepts with the caller; the agent that had the caller leaves, or becomes a coach.
pub(crate) fn accept(
    cx: &mut CallCx<'_>,
    LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
    transfers: &mut CallTransfers,
    is_programmed: bool,
) -> TransferEffect {
    let Some(mut warm) = search.consults.warm.take() else { return TransferEffect::Stay };
    let Some(PromptedParty { leg, wires, judge, .. }) = warm.prompted.take() else { return TransferEffect::Stay };
    cx.edge.decide(cx.now, cx.call.key, format!("{} accepts the transfer", cx.call.legs.name_of(leg)));
    judge.into_iter().for_each(|judge| judge.dismiss(cx));
    bridge.media.end_talk_to_called(cx);
    let wants_coach = warm.settings.coach && !is_programmed;
    warm.end(cx, &mut bridge.media);
    cx.call.enter(CallState::Answered);
    let consults = &mut search.consults;
    let stays = if wants_coach { consults.keep_agent(cx) } else { None };
    let number = u64::try_from(consults.begun).unwrap_or_default();
    search.joined(cx, bridge, leg);
    transfers.target_answered(cx, bridge);
    for (from, (to, wire)) in wires {
        bridge.media.connect_ends(cx, from, to, wire);
    }
    bridge.media.tap_caller(cx);
    if let Some((agent, consult)) = stays {
        coach(bridge, cx, (agent, leg), (&consult, number));
    }
    TransferEffect::Joined(leg)
}

/// Gives up the target: the caller returns to its agent or party, or is connected with the next target.
pub(crate) fn decline(
    cx: &mut CallCx<'_>,
    LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
    failure: TargetFailure,
    by: EndedBy,
) -> TransferEffect {
    if let Some(warm) = &mut search.consults.warm {
        warm.leave_party(cx, &mut bridge.media);
    }
    // Only one target is tried at a time.
    let Some(branch) = search.attempts.first() else { return TransferEffect::Stay };
    match search.attempt(branch).map(|attempt| attempt.progress) {
        Some(AttemptState::Asking(leg)) => {
            cx.trunk_answered(leg);
            cx.call.legs[leg].end_with(failure.reason, by);
            bridge.media.hang_up_leg(cx, leg, failure.reason);
        }
        Some(AttemptState::Calling(leg)) => {
            cx.call.legs[leg].end_with(failure.reason, by);
            cx.withdraw(leg);
        }
        Some(_) | None => {}
    }
    TransferEffect::TargetFailed(branch, Box::new(TargetResult::Failed(failure)))
}

fn whisper_failed(text: &str) -> TargetFailure {
    TargetFailure { detail: Some(text.to_owned()), ..TargetFailure::unreached(ReasonSlug::WhisperFailed) }
}

/// Makes an agent the coach of the party that has accepted its caller; an agent that cannot coach leaves.
fn coach(
    bridge: &mut Bridge,
    cx: &mut CallCx<'_>,
    (agent, party): (LegId, LegId),
    (consult, number): (&ConsultTarget, u64),
) {
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
