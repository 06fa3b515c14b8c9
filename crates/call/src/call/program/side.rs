//! A party or stream that a program connects with its caller: it joins, may hear a document first, and leaves.

use std::time::Duration;

use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::ended_busy;
use trunkgate_twiml::{
    DialStatus, DialStep, DocumentSource, Program, ProgramInput, ProgramRole, ProgramSettings, SensitiveText,
};

use crate::call::legs::leg_end::EndedBy;
use crate::call::negotiation::parting::part_from_caller;
use crate::call::program::dial::DialledParties;
use crate::call::program::effects::{LowerParts, ProgramEffect};
use crate::call::program::{CallProgram, PartyWhisper, ProgramConnection, ProgramRun, ScreenedParty, SeparatedParty};
use crate::call::search::Search;
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::shared::CallCx;
use crate::call::words::answer::{FinalAnswer, TargetFailure};
use crate::call::words::state::CallState;

/// Twilio's error code for a stream that could not be opened.
const STREAM_FAILED: u16 = 31_901;

impl CallProgram {
    /// Calls the parties of a Dial.
    pub(crate) fn dial(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, dial: DialStep) -> ProgramEffect {
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        let timeout = dial.timeout;
        let (mut side, shown) = match DialledParties::of(&run.app, run.is_redirected, lower.search).plan(cx, dial) {
            Ok(planned) => planned,
            Err(failed) => return run.end_step(cx.now, failed),
        };
        if shown.is_some() {
            cx.call.facts.shown_as = shown;
        }
        cx.call.facts.ring_timeout = Some(timeout);
        side.begin_recording(cx, lower, false);
        run.side = Some(side);
        if cx.call.state == CallState::Rerouting {
            lower.bridge.media.ring_to_caller(cx);
        }
        lower.bridge.media.end_talk();
        self.call_next_parties(cx, lower).unwrap_or(ProgramEffect::Stay)
    }

    /// Calls the parties of a Dial that are next in turn; `None` if no party is left.
    fn call_next_parties(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> Option<ProgramEffect> {
        self.complete_parties(cx, lower, None);
        let side = self.run.as_mut()?.side.as_mut()?;
        let follows = match cx.call.state {
            CallState::Rerouting => ProgramEffect::search_on(),
            CallState::Searching | CallState::Answered | CallState::Leaving | CallState::Ended => {
                ProgramEffect::Advance
            }
        };
        let has_agent = side.plan_next_parties(lower.search)?;
        cx.disarm(CallTimer::DialAnswer);
        if let Some(timeout) = cx.call.facts.ring_timeout.filter(|timeout| has_agent && !timeout.is_zero()) {
            cx.arm(CallTimer::DialAnswer, timeout);
        }
        Some(follows)
    }

    /// Reports the progress of a Dial's parties.
    pub(crate) fn report_progress(&mut self, cx: &mut CallCx<'_>, search: &Search) {
        let Some(ProgramRun { app, side: Some(side), .. }) = self.run.as_mut().map(|run| run.of_caller_mut()) else {
            return;
        };
        side.report_progress(cx, search, app);
    }

    /// Reports the end of the calls of all parties of a Dial. `status`: status of unanswered parties, if their legs do
    /// not have it yet.
    pub(crate) fn complete_parties(&mut self, cx: &mut CallCx<'_>, lower: &LowerParts<'_>, status: Option<DialStatus>) {
        let Some(ProgramRun { app, side: Some(side), .. }) = self.run.as_mut().map(|run| run.of_caller_mut()) else {
            return;
        };
        side.complete_parties(cx, lower.search, app, status);
    }

    /// Ends the Dial or stream with this step id, if it is in progress.
    pub(crate) fn end_side(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, id: u32) -> ProgramEffect {
        if self.side().is_none_or(|side| side.id != id) {
            return ProgramEffect::Stay;
        }
        match cx.call.legs.callee {
            Some(leg) => hang_up(cx, lower, leg, ReasonSlug::AppHungUp),
            None => {
                lower.search.drop_attempts(cx, lower.bridge, ReasonSlug::AppHungUp);
                self.side_over(cx, lower, DialStatus::Canceled, None)
            }
        }
    }

    /// Handles a timer of a Dial: its `timeLimit`, or the time in which an agent must answer.
    pub(crate) fn dial_time_over(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        timer: CallTimer,
    ) -> ProgramEffect {
        if timer == CallTimer::DialAnswer { dial_unanswered(cx, lower) } else { self.dial_limit_over(cx, lower) }
    }

    /// Hangs up on a party that has reached the `timeLimit` of its Dial.
    fn dial_limit_over(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> ProgramEffect {
        cx.call.deadlines.remove(CallTimer::DialLimit);
        let Some(leg) = cx.call.legs.callee.filter(|_| self.run.is_some()) else { return ProgramEffect::Stay };
        cx.edge.decide(cx.now, cx.call.key, "Dial: timeLimit has passed");
        hang_up(cx, lower, leg, ReasonSlug::TimeLimit)
    }

    /// Returns the agent that the program has connected with its caller.
    pub(crate) fn connected_agent(&self, cx: &CallCx<'_>) -> Option<LegId> {
        let is_agent = |leg: &LegId| self.run.is_some() && cx.call.legs[*leg].agent.is_some();
        cx.call.legs.callee.filter(is_agent)
    }

    /// Hangs up on a connected party that no longer sends media; the caller stays.
    pub(crate) fn side_fell_silent(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> ProgramEffect {
        let Some(leg) = cx.call.legs.callee else { return ProgramEffect::Stay };
        cx.edge.decide(cx.now, cx.call.key, format!("no media from {}", cx.call.legs.name_of(leg)));
        hang_up(cx, lower, leg, ReasonSlug::MediaTimeout)
    }

    /// Handles the answer of a party or stream: it is connected with the caller at once, or after its document.
    pub(crate) fn side_joined(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        leg: LegId,
        whisper: Option<PartyWhisper>,
    ) -> ProgramEffect {
        let Some(ProgramRun { app, side: Some(side), .. }) = self.run.as_deref_mut() else {
            return ProgramEffect::Stay;
        };
        if side.since.is_some() {
            // The agent has transferred its caller to another target.
            side.parties.iter_mut().for_each(|party| party.call.go_on_with(cx, leg));
            return ProgramEffect::Stay;
        }
        cx.disarm(CallTimer::DialAnswer);
        side.since = Some(cx.now);
        side.sid = Some(cx.call.legs[leg].sid.clone());
        if !side.limit.is_zero() {
            cx.arm(CallTimer::DialLimit, side.limit);
        }
        let whisper = whisper.filter(|_| !side.is_stream);
        if let Some((settings, receiver)) = side.wanted_detection(cx, app, leg) {
            let detections = &mut lower.recorders.detections;
            match &whisper {
                Some(_) => detections.begin_apart(cx, leg, settings, receiver),
                None => detections.begin_dialled(cx, &mut lower.bridge.media, leg, settings, receiver),
            }
        }
        match whisper {
            Some(whisper) => self.begin_whisper(cx, lower, leg, whisper),
            None => self.side_bridged(cx, lower),
        }
    }

    /// Handles the connection of caller and party, who hear each other from now on.
    fn side_bridged(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> ProgramEffect {
        let has_agent = self.connected_agent(cx).is_some();
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        let Some(side) = &mut run.side else { return ProgramEffect::Stay };
        side.is_bridged = true;
        if side.is_stream {
            return ProgramEffect::Stay;
        }
        lower.bridge.media.tell_digits(cx);
        side.begin_recording(cx, lower, true);
        let answered = ProgramInput::DialAnswered { id: side.id };
        // A restart ends the stream of an agent, so its Dial stays in progress for a repetition.
        if has_agent { run.take_input(cx.now, answered) } else { run.end_step(cx.now, answered) }
    }

    /// Handles the failure of a party: no party answered, a stream could not be opened, or an agent's transfer target
    /// did not answer.
    pub(crate) fn side_failed(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        answer: &FinalAnswer,
    ) -> ProgramEffect {
        if self.side().is_some_and(|side| side.since.is_some()) {
            return self.side_over(cx, lower, DialStatus::Completed, Some(answer));
        }
        if let Some(effect) = self.call_next_parties(cx, lower) {
            return effect;
        }
        let status = match (answer.reason, answer.code) {
            (reason, code) if ended_busy(Some(reason.as_str()), code) => DialStatus::Busy,
            (ReasonSlug::RingTimeout, _) | (_, 408 | 480 | 487) => DialStatus::NoAnswer,
            _ => DialStatus::Failed,
        };
        self.side_over(cx, lower, status, Some(answer))
    }

    /// Handles the departure of the connected party or stream; the caller stays.
    pub(crate) fn side_has_left(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        reason: ReasonSlug,
    ) -> ProgramEffect {
        cx.disarm(CallTimer::DialLimit);
        if let Some(leg) = cx.call.legs.callee {
            lower.recorders.detections.leave(cx, leg);
        }
        self.drop_whisper(cx, lower);
        lower.bridge.media.tells_digits = false;
        if let Some(leg) = cx.call.legs.callee
            && !take_caller_back(cx, lower, leg)
        {
            return ProgramEffect::end(reason);
        }
        self.side_over(cx, lower, DialStatus::Completed, None)
    }

    /// Ends the Dial or stream step, and continues the program.
    fn side_over(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        status: DialStatus,
        answer: Option<&FinalAnswer>,
    ) -> ProgramEffect {
        self.complete_parties(cx, lower, None);
        cx.disarm(CallTimer::DialLimit);
        cx.disarm(CallTimer::DialAnswer);
        lower.bridge.media.tells_digits = false;
        lower.bridge.media.drop_sounds();
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        let Some(side) = run.side.take() else { return ProgramEffect::Stay };
        if let Some(sid) = side.record.as_ref().and_then(|record| record.sid.as_deref()) {
            lower.recorders.recordings.stop(cx, sid);
        }
        cx.call.facts.shown_as.clone_from(&run.shown_as);
        cx.call.facts.ring_timeout = run.ring_timeout;
        if cx.call.legs.agent_in_place_of_caller().is_none() {
            // Each Dial of an agent has the full `max_call`.
            cx.disarm(CallTimer::MaxCall);
            lower.bridge.media.holder = None;
        }
        lower.search.controller = Controller::Done;
        if cx.call.state == CallState::Rerouting {
            lower.bridge.media.stop_playing_to_caller(cx);
        }
        let id = side.id;
        if side.is_stream {
            let error = side.since.is_none().then_some(STREAM_FAILED);
            return run.end_step(cx.now, ProgramInput::StreamEnded { id, error });
        }
        let result = side.result(cx, status, answer.map(|answer| answer.code));
        run.end_step(cx.now, ProgramInput::DialEnded { id, result })
    }

    /// Handles the loss of the stream or agent that the program has connected.
    pub(crate) fn stream_lost(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        failure: &TargetFailure,
    ) -> ProgramEffect {
        let was_dialled = self.side().is_some_and(|side| !side.is_stream);
        let (what, status) =
            if was_dialled { ("agent", DialStatus::Completed) } else { ("stream", DialStatus::Failed) };
        cx.edge.decide(cx.now, cx.call.key, failure.told_of(what));
        self.side_over(cx, lower, status, None)
    }

    /// Separates an answered party from the caller, and runs its document.
    fn begin_whisper(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        leg: LegId,
        whisper: PartyWhisper,
    ) -> ProgramEffect {
        let near = cx.call.legs.near;
        let Some((_, spoken)) = cx.call.legs.offer_of(near) else {
            return hang_up(cx, lower, leg, ReasonSlug::AppHungUp);
        };
        let wires = part_from_caller(lower.bridge, cx, leg);
        if !lower.bridge.media.talk_to_called(cx, leg) {
            cx.edge.decide(
                cx.now,
                cx.call.key,
                "Dial: the edge cannot encode the party's codec: the party is not connected",
            );
            return hang_up(cx, lower, leg, ReasonSlug::AppHungUp);
        }
        lower.bridge.media.spoken = spoken;
        lower.bridge.media.ring_to_caller(cx);
        let Some(outer) = self.run.take() else { return ProgramEffect::Stay };
        let PartyWhisper { digits, document, to } = whisper;
        let (first, then) = match (digits, document) {
            (Some(digits), document) => (DocumentSource::Digits(digits), document),
            (None, Some((location, method))) => (DocumentSource::Fetch { location, method }, None),
            (None, None) => (DocumentSource::Digits(SensitiveText::default()), None),
        };
        let program = program_of_called(Duration::ZERO, first);
        let app = outer.app.clone();
        let called = ScreenedParty { party: SeparatedParty { leg, to, wires }, then, outer };
        self.run = Some(Box::new(ProgramRun { screened: Some(called), ..ProgramRun::new(app, program, cx.now) }));
        ProgramEffect::Run
    }

    /// Handles the end of the digits or document that a called party hears: the document follows, the party is
    /// connected, or its call ends.
    pub(crate) fn end_whisper(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        joins: bool,
    ) -> ProgramEffect {
        if let Some(run) = self.run.as_mut().filter(|_| joins)
            && let Some((location, method)) = run.screened.as_mut().and_then(|called| called.then.take())
        {
            run.runner.program = program_of_called(run.runner.time(cx.now), DocumentSource::Fetch { location, method });
            return ProgramEffect::Run;
        }
        let Some(SeparatedParty { leg, wires, .. }) = self.drop_whisper(cx, lower) else { return ProgramEffect::Stay };
        if !joins {
            return hang_up(cx, lower, leg, ReasonSlug::AppHungUp);
        }
        let media = &mut lower.bridge.media;
        media.end_talk();
        media.stop_player(cx);
        for (from, (to, wire)) in wires {
            media.connect_ends(cx, from, to, wire);
        }
        media.tap_caller(cx);
        self.side_bridged(cx, lower)
    }

    /// Removes the program of a called party and restores the caller's. Returns the party with its pending media
    /// connections. `None` if no such program is running.
    pub(crate) fn drop_whisper(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> Option<SeparatedParty> {
        let mut run = self.run.take_if(|run| run.is_whispering())?;
        run.runner.drop_question(cx.edge);
        lower.bridge.media.end_talk_to_called(cx);
        let ScreenedParty { party: parted, outer, .. } = run.screened?;
        self.run = Some(outer);
        Some(parted)
    }

    /// Returns the party or stream of the running program.
    fn side(&self) -> Option<&ProgramConnection> {
        self.run.as_ref()?.side.as_ref()
    }
}

/// Hangs up on a party; the program continues with its caller.
pub(crate) fn hang_up(
    cx: &mut CallCx<'_>,
    lower: &mut LowerParts<'_>,
    leg: LegId,
    reason: ReasonSlug,
) -> ProgramEffect {
    cx.call.legs[leg].end_with(reason, EndedBy::Edge);
    lower.bridge.media.hang_up_leg(cx, leg, reason);
    ProgramEffect::SideLeft(reason)
}

/// Connects the caller with the edge again, after a party has left. Returns whether that is possible.
pub(crate) fn take_caller_back(cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, leg: LegId) -> bool {
    cx.disarm(CallTimer::HoldCheck);
    lower.search.withdraw_consult(cx, lower.bridge);
    if cx.call.legs[leg].agent.is_some() {
        lower.bridge.media.close_agent(cx, leg);
        cx.call.legs.callee = None;
        cx.call.enter(CallState::Rerouting);
        return true;
    }
    let near = cx.call.legs.near;
    lower.bridge.close_open_reinvite(cx);
    lower.bridge.negotiation.refuse_infos(cx);
    lower.bridge.media.end_holds(cx);
    lower.bridge.negotiation.pending_offers.clear();
    cx.disarm(CallTimer::Glare);
    cx.disarm(CallTimer::Update);
    let Some((offer, spoken)) = cx.call.legs.offer_of(near) else { return false };
    lower.bridge.media.part(cx, [leg, near]);
    lower.bridge.media.drop_ends(cx, leg);
    cx.call.legs.leave_trunk(cx.edge, leg);
    cx.call.legs[leg].has_left = true;
    cx.call.legs.callee = None;
    lower.bridge.media.spoken = spoken;
    lower.bridge.negotiation.offer = Some(offer);
    cx.call.enter(CallState::Rerouting);
    true
}

/// Creates the program of a called party.
fn program_of_called(now: Duration, source: DocumentSource) -> Program {
    let mut program = Program::new(ProgramSettings { role: ProgramRole::Called, ..ProgramSettings::default() });
    program.start(now, source, true);
    program
}

/// Ends the attempt at an agent that has not accepted the caller within the `timeout` of the Dial, even while the
/// caller waits in the agent's queue. Phones have a ring timer of their own.
fn dial_unanswered(cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> ProgramEffect {
    cx.call.deadlines.remove(CallTimer::DialAnswer);
    if lower.search.alone().is_none_or(|attempt| attempt.agent.is_none()) {
        return ProgramEffect::Stay;
    }
    cx.edge.decide(cx.now, cx.call.key, "Dial: timeout has passed");
    lower.search.left_line(cx, "leaves the queue");
    // The time limit of a Dial applies to the party, not to each candidate.
    let failure = TargetFailure::with_code(480, ReasonSlug::RingTimeout);
    ProgramEffect::TargetFailed(Box::new(TargetResult::Refused(failure)))
}
