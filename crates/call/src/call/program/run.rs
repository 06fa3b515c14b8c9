//! Start, events and end of a program.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::{AgentEvent, EndId, WireSpec};
use trunkgate_resources::applications::AppFault;
use trunkgate_resources::applications::question::{AppAnswer, DocumentRequest};
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::{Agent, App, TargetSpec};
use trunkgate_sip::{ClientId, ResponseSpec, ServerId};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_twiml::{
    DialStatus, FetchRequest, Program, ProgramInput, ProgramSettings, ProgramStep, ProgramTrace, SensitiveText,
    TraceNote,
};

use crate::call::legs::digits::{ParsedInfo, parse_info};
use crate::call::legs::event::ProgramEvent;
use crate::call::legs::info::Info;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::CallMedia;
use crate::call::media::coaching::Coaching;
use crate::call::negotiation::Bridge;
use crate::call::program::effects::{LowerParts, ProgramEffect};
use crate::call::program::progress::PartyCall;
use crate::call::program::runner::{ProgramAnswer, ProgramRequestOrigin, ProgramWait};
use crate::call::program::streams::AppStreams;
use crate::call::program::transcripts::LiveTranscripts;
use crate::call::program::{
    CallProgram, PartyWhisper, ProgramRun, fallback_of, first_document, parameters, queueing, records,
};
use crate::call::recorders::recording::{self, CallRecordings};
use crate::call::search::Search;
use crate::call::search::attempt::Attempt;
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::words::answer::{FinalAnswer, TargetFailure};
use crate::call::words::refer_report::ReferReport;
use crate::call::words::state::CallState;

/// Media type given to an announcement; the format is read from the file.
const SOUND: &str = "audio/wav";

impl CallProgram {
    /// Connects the call to an application; the remaining targets wait until it is over.
    pub(crate) fn begin(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        app: Arc<App>,
        digits: Option<SensitiveText>,
    ) -> ProgramEffect {
        cx.edge.decide(cx.now, cx.call.key, format!("target {}", app.target()));
        if let Some(mailbox) = app.as_mailbox() {
            let recordings = &cx.edge.sessions().recordings;
            if !recordings.takes_messages() {
                return go_on(cx, lower, &app, TargetFailure::unreached(ReasonSlug::RecordingUnavailable));
            }
            if recordings.is_full(mailbox) {
                return go_on(cx, lower, &app, TargetFailure::with_code(480, ReasonSlug::MailboxFull));
            }
        }
        cx.disarm(CallTimer::Search);
        let source = first_document(&app.document);
        let recognition = cx.edge.apps().recognition.spec().is_some();
        let recordings = &cx.edge.sessions().recordings;
        let settings = ProgramSettings {
            fallback: fallback_of(&app),
            recognition,
            records: recordings.is_on(),
            transcribes: recordings.transcribes(),
            ..ProgramSettings::default()
        };
        let mut program = Program::new(settings);
        program.start_after(Duration::ZERO, digits, source, cx.call.times.answered.is_some());
        let run = ProgramRun {
            behind: std::mem::take(&mut lower.search.controller),
            shown_as: cx.call.facts.shown_as.clone(),
            ring_timeout: cx.call.facts.ring_timeout,
            ..ProgramRun::new(app, program, cx.now)
        };
        cx.call.is_programmed = true;
        run.note(cx.call);
        recording::caller_hears(cx, &run.app);
        self.reports.begin(cx, &run.app);
        self.run = Some(Box::new(run));
        if cx.call.times.answered.is_some() {
            lower.bridge.media.talk_to_caller(cx);
        } else {
            lower.search.let_ring(cx, lower.bridge);
        }
        ProgramEffect::Run
    }

    /// Continues the program of a restored call. `behind` is the list of targets that follow it.
    pub(crate) fn resume(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        behind: &[TargetSpec],
    ) -> ProgramEffect {
        let behind = behind.iter().filter_map(|target| cx.edge.target(target)).collect();
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        run.behind = Controller::resume(behind);
        run.shown_as.clone_from(&cx.call.facts.shown_as);
        run.note(cx.call);
        if let Some(side) = run.side.as_ref().filter(|side| !side.limit.is_zero()) {
            let talked = side.since.map_or(Duration::ZERO, |since| cx.now.saturating_duration_since(since));
            cx.arm_left(CallTimer::DialLimit, side.limit.saturating_sub(talked));
        }
        if let Some(leg) = cx.call.legs.callee {
            for party in run.side.iter_mut().flat_map(|side| &mut side.parties) {
                party.call.resume(leg);
            }
            if run.side.as_ref().is_none_or(|side| !side.is_stream) {
                lower.bridge.media.tell_digits(cx);
            }
            return ProgramEffect::Stay;
        }
        let (under_way, recognition) = (run.under_way.take(), run.runner.program.recognition());
        let media = &mut lower.bridge.media;
        media.talk_to_caller(cx);
        if let Some(back) = run.back_in_queue.take() {
            let _informed = self.queue.resume(cx, media, run, *back);
            return ProgramEffect::Run;
        }
        if let Some(failed) =
            recognition.and_then(|step| self.opened.get_or_insert_default().recognition.start(cx, media, step))
        {
            let _informed = run.take_input(cx.now, failed);
        }
        if let Some(sound) = run.runner.played_again() {
            run.under_way = under_way;
            media.resume_to_caller(cx, sound);
            return ProgramEffect::Run;
        }
        if let Some(ProgramStep::Record(step)) = under_way.as_deref()
            && lower.recorders.recordings.records_for(step.id)
        {
            run.under_way = under_way;
            return ProgramEffect::Run;
        }
        match under_way {
            Some(step) => self.carry_out(cx, lower, *step).or_run(),
            None => ProgramEffect::Run,
        }
    }

    /// Returns whether a step or an input of the program is pending.
    pub(crate) fn is_waiting(&self) -> bool {
        let runs_on = self.run.as_ref().is_some_and(|run| run.is_waiting());
        runs_on || self.conference.is_joined() || self.queue.has_place()
    }

    /// Handles an event of the application that controls the call.
    pub(crate) fn handle(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, event: ProgramEvent) -> ProgramEffect {
        match event {
            ProgramEvent::Answered { query, answer } => self.app_answered(cx, media, query, *answer),
            ProgramEvent::Conference(_) if media.is_coached() => {
                Coaching::end(media, cx, (ReasonSlug::ConferenceRefused, EndedBy::Edge));
                ProgramEffect::Stay
            }
            ProgramEvent::Conference(news) => match &mut self.run {
                Some(run) => self.conference.take_news(cx, media, run, news),
                None => ProgramEffect::Stay,
            },
            ProgramEvent::Queue(news) => match &mut self.run {
                Some(run) => self.queue.take_news(cx, media, run, news),
                None => ProgramEffect::Stay,
            },
        }
    }

    /// Returns whether `end` is a socket of the caller's recogniser or of a live transcription.
    pub(crate) fn listens_by(&self, end: EndId) -> bool {
        self.opened
            .as_ref()
            .is_some_and(|opened| opened.transcripts.listens_by(end) || opened.recognition.listens_by(end))
    }

    /// Handles an event of a recogniser's socket.
    pub(crate) fn heard(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        end: EndId,
        event: AgentEvent,
    ) -> ProgramEffect {
        let Some(opened) = &mut self.opened else { return ProgramEffect::Stay };
        if opened.transcripts.listens_by(end) {
            opened.transcripts.handle(cx, media, end, event);
            return ProgramEffect::Stay;
        }
        match opened.recognition.handle(cx, event).zip(self.run.as_mut()) {
            Some((input, run)) => run.take_input(cx.now, input),
            None => ProgramEffect::Stay,
        }
    }

    /// Handles the response to a partial-result report, which is not run as a document. Returns false if the query
    /// belongs to another request.
    fn partial_answered(&mut self, cx: &mut CallCx<'_>, query: QueryId, answer: &AppAnswer) -> bool {
        let app = self.run.as_ref().map(|run| &run.app);
        self.opened.as_mut().is_some_and(|opened| opened.transcripts.partial_answered(cx, query, answer))
            || self.opened.as_mut().is_some_and(|opened| opened.recognition.partial_answered(cx, app, query, answer))
    }

    /// Handles the timer of a caller in a queue: the end of its wait for a dialled queue, or of the resulting
    /// connection.
    pub(crate) fn queue_due(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> ProgramEffect {
        cx.call.deadlines.remove(CallTimer::Queued);
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        self.queue.due(cx, media, run)
    }

    /// Returns the streams of applications, mutably.
    pub(crate) fn streams_mut(&mut self) -> &mut AppStreams {
        &mut self.opened.get_or_insert_default().streams
    }

    /// Returns a listener of a restored call with the settings of the application that has opened it, if one has.
    pub(crate) fn with_app_settings(&self, listener: usize, agent: Arc<Agent>) -> Arc<Agent> {
        match &self.opened {
            Some(opened) => opened.streams.with_app_settings(listener, agent),
            None => agent,
        }
    }

    /// Continues what applications of a restored call have opened: finds their streams among its `listeners`, and
    /// connects the recognisers of transcriptions.
    pub(crate) fn resume_opened(&mut self, cx: &mut CallCx<'_>, media: &CallMedia, listeners: &[Option<LegId>]) {
        let Some(opened) = &mut self.opened else { return };
        opened.streams.resume(listeners);
        opened.transcripts.resume(cx, media);
    }

    /// Returns the live transcriptions, mutably.
    pub(crate) fn transcripts_mut(&mut self) -> &mut LiveTranscripts {
        &mut self.opened.get_or_insert_default().transcripts
    }

    /// Returns the running program.
    pub(crate) fn run(&self) -> Option<&ProgramRun> {
        self.run.as_deref()
    }

    /// Returns whether a program controls the call.
    pub(crate) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Returns whether a request may replace the document of its program: an application or a conference controls the
    /// call.
    pub(crate) fn is_redirectable(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_application() || run.app.is_conference())
    }

    /// Returns whether a Dial has called parties.
    pub(crate) fn has_dialled(&self) -> bool {
        let side = self.run.as_ref().and_then(|run| run.of_caller().side.as_ref());
        side.is_some_and(|side| !side.is_stream)
    }

    /// Returns the progress of the call to the party on `leg`, which the program has dialled, and the application.
    pub(crate) fn dialled_party(&mut self, leg: LegId) -> Option<(&Arc<App>, &mut PartyCall)> {
        let ProgramRun { app, side, .. } = self.run.as_deref_mut()?;
        let party = side.as_mut()?.parties.iter_mut().find(|party| party.call.leg() == Some(leg))?;
        Some((app, &mut party.call))
    }

    /// Returns whether a program runs and has connected no party or stream with its caller.
    pub(crate) fn has_caller_alone(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.side.is_none())
    }

    /// Returns whether all ringing parties hear a document before they are connected.
    pub(crate) fn asks_parties(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.asks_parties())
    }

    /// Returns whether `end` is the player of the program.
    pub(crate) fn plays_by(&self, media: &CallMedia, end: EndId) -> bool {
        self.run.as_ref().is_some_and(|run| run.plays_by(media, end))
    }

    /// Returns the digits and document for a ringing party to hear once it answers.
    pub(crate) fn whisper_of(&self, branch: Branch) -> Option<PartyWhisper> {
        self.run.as_ref()?.whisper_of(branch)
    }

    /// Returns the pending media connections between the caller and a party that hears its document.
    pub(crate) fn parted_wires(&self) -> impl Iterator<Item = &(EndId, (EndId, WireSpec))> {
        let called = self.run.iter().filter_map(|run| run.screened.as_ref());
        called.flat_map(|called| &called.party.wires)
    }

    /// Keeps the headers of a party's final response for the application.
    pub(crate) fn keep_headers(&mut self, branch: Branch, headers: &[(String, String)]) {
        let side = self.run.as_mut().and_then(|run| run.of_caller_mut().side.as_mut());
        if let Some(party) = side.and_then(|side| side.parties.get_mut(branch.place())) {
            party.call.take_headers(headers);
        }
    }

    /// Returns whether a party called by the program hears a document.
    pub(crate) fn is_whispering(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_whispering())
    }

    /// Returns whether digits from `end` go to the program.
    pub(crate) fn takes_digits_of(&self, call: &SharedCallState, media: &CallMedia, end: EndId) -> bool {
        self.run.as_ref().is_some_and(|run| run.takes_digits_of(call, media, end))
    }

    /// Returns whether an INFO of the caller contains a digit for the program.
    pub(crate) fn takes_info(&self, call: &SharedCallState, leg: LegId, info: &Info) -> bool {
        self.run.is_some() && leg == call.legs.near && info.is_digit()
    }

    /// Returns whether `end` belongs to the party that the program has connected.
    pub(crate) fn is_end_of_side(&self, call: &SharedCallState, end: EndId) -> bool {
        let leg = call.legs.leg_of(end);
        self.run.is_some() && leg.is_some() && leg == call.legs.callee
    }

    /// Returns whether the program waits for the result of a REFER on `leg`.
    pub(crate) fn has_referred(&self, call: &SharedCallState, leg: LegId) -> bool {
        leg == call.legs.near && self.run.as_ref().is_some_and(|run| run.referral.is_pending())
    }

    /// Returns whether a request is the REFER of the program.
    pub(crate) fn refers_by(&self, client: ClientId) -> bool {
        self.run.as_ref().is_some_and(|run| run.referral.is_sent_by(client))
    }

    /// Handles the final response to the program's REFER; 408 if there was none.
    pub(crate) fn refer_answered(&mut self, cx: &mut CallCx<'_>, code: u16) -> ProgramEffect {
        self.with_run(|run| {
            let over = run.referral.answered(cx, code);
            run.end_step_by(cx.now, over)
        })
    }

    /// Handles the progress report (NOTIFY) of a leg that the program has sent a REFER.
    pub(crate) fn refer_reported(
        &mut self,
        cx: &mut CallCx<'_>,
        server: ServerId,
        report: &ReferReport,
    ) -> ProgramEffect {
        self.with_run(|run| {
            let over = run.referral.reported(cx, server, report);
            run.end_step_by(cx.now, over)
        })
    }

    /// Passes an event to the running program, if there is one.
    pub(crate) fn with_run(&mut self, act: impl FnOnce(&mut ProgramRun) -> ProgramEffect) -> ProgramEffect {
        self.run.as_deref_mut().map_or(ProgramEffect::Stay, act)
    }

    /// Handles the program's timer.
    pub(crate) fn program_due(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) -> ProgramEffect {
        cx.call.deadlines.remove(CallTimer::Program);
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        if matches!(run.runner.waits, ProgramWait::Digits { .. }) {
            return run.play_next_digit(cx, bridge);
        }
        if run.referral.is_pending() {
            let over = run.referral.over(cx);
            return run.end_step_by(cx.now, over);
        }
        run.runner.handle_timeout(cx.now);
        ProgramEffect::Run
    }

    /// Carries out the program's steps until it waits, or until a step has an effect on the call. Returns that effect;
    /// the remaining steps are carried out after it. `None` if the program waits.
    pub(crate) fn run_steps(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> Option<ProgramEffect> {
        while let Some(run) = &mut self.run {
            if run.runner.waits == ProgramWait::Caller || cx.call.state == CallState::Ended {
                break;
            }
            let Some(step) = run.runner.poll_step() else { break };
            let effect = self.carry_out(cx, lower, step);
            if !effect.is_own() {
                return Some(effect);
            }
        }
        let run = self.run.as_ref()?;
        // The timer is in use by the next digit, or by the wait for a NOTIFY.
        if !matches!(run.runner.waits, ProgramWait::Digits { .. }) && !run.referral.is_pending() {
            cx.disarm(CallTimer::Program);
            if let Some(due) = run.runner.program.poll_timeout() {
                cx.arm_left(CallTimer::Program, due.saturating_sub(run.runner.time(cx.now)));
            }
        }
        None
    }

    /// Continues a program after its caller has become ready: its ports are bound, or its media address is known.
    pub(crate) fn caller_is_ready(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> ProgramEffect {
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        if run.runner.waits != ProgramWait::Caller {
            return ProgramEffect::Run;
        }
        run.runner.waits = ProgramWait::Nothing;
        match cx.call.state {
            CallState::Searching => self.answer_now(cx, lower).or_run(),
            CallState::Answered | CallState::Rerouting | CallState::Leaving | CallState::Ended => {
                lower.bridge.media.talk_to_caller(cx);
                ProgramEffect::Run
            }
        }
    }

    /// Handles the shell's answer to a question of the program.
    fn app_answered(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        query: QueryId,
        answer: AppAnswer,
    ) -> ProgramEffect {
        cx.edge.index_mut().queries.remove(&query);
        if self.partial_answered(cx, query, &answer) {
            return ProgramEffect::Stay;
        }
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        let Some(ProgramAnswer { origin, sound }) = run.runner.take_answer(cx.now, query, answer) else {
            return ProgramEffect::Stay;
        };
        if !origin.is_empty() {
            cx.edge.decide(cx.now, cx.call.key, origin);
        }
        match sound {
            Some((id, repeat, sound)) => run.play_sound(cx, media, (id, repeat), sound),
            None => {
                run.under_way = None;
                ProgramEffect::Run
            }
        }
    }

    /// Requests a document for the program, with the parameters of the call.
    pub(crate) fn fetch(&mut self, cx: &mut CallCx<'_>, id: u32, mut request: FetchRequest) -> ProgramEffect {
        request.parameters.splice(0..0, self.conference.parameters_of(request.purpose));
        request.parameters.extend(queueing::parameters_of(cx, request.purpose));
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        if run.is_announcement() {
            let content_type = Some(SOUND.to_owned());
            return run.take_input(cx.now, ProgramInput::Fetched { id, url: None, content_type, body: Vec::new() });
        }
        let called = run.screened.as_ref().map(|called| &called.party);
        if let Some(request) = parameters::request(cx.call, cx.edge, called, request) {
            run.runner.fetch(cx.edge, ProgramRequestOrigin::of_call(cx.call, &run.app), id, request);
        }
        ProgramEffect::Stay
    }

    /// Ends the program while its caller is still there: the next target of the route is tried, or the call ends.
    pub(crate) fn program_over(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        code: Option<u16>,
    ) -> ProgramEffect {
        if self.run.as_ref().is_some_and(|run| run.screened.is_some()) {
            // A party that failed its screening is not connected.
            return self.end_whisper(cx, lower, false);
        }
        // Reports the streams that the last step has ended, before another program can reuse its step id.
        self.report_streams(cx, lower.search, false);
        let Some(run) = self.end_program(cx, lower) else { return ProgramEffect::Stay };
        let (is_announcement, is_mailbox) = (run.is_announcement(), run.app.as_mailbox().is_some());
        let is_conference = run.app.is_conference();
        cx.edge.apps_mut().over(cx.now, &run.app.name, cx.call.legs.sid(), code.is_some());
        lower.search.controller = run.behind;
        let reason = match code {
            Some(_) if is_mailbox => ReasonSlug::RecordingUnavailable,
            Some(_) => ReasonSlug::AppFailed,
            None if is_announcement => ReasonSlug::Announced,
            None if is_conference => return end_or_refuse(cx, ReasonSlug::ConferenceEnded),
            None if is_mailbox => return end_or_refuse(cx, ReasonSlug::VoicemailEnded),
            None if run.is_turned_away && cx.call.state == CallState::Searching => {
                return end_or_refuse(cx, ReasonSlug::ConferenceRefused);
            }
            None => return end_or_refuse(cx, ReasonSlug::AppHungUp),
        };
        if code.is_none() && !lower.search.controller.has_more() {
            return end_or_refuse(cx, reason);
        }
        lower.bridge.media.stop_player(cx);
        let detail = code.map(|code| {
            let told = cx.edge.apps().last_error_in_call(&run.app.name, cx.call.legs.sid());
            let told = told.unwrap_or_else(|| format!("error {code}"));
            let story = cx.call.story.app.get_or_insert_default();
            story.failed = story.flaws.take_reason();
            cx.call.story.proof = Some((reason, told.as_str().into()));
            format!("{}, {told}", reason.sentence())
        });
        let failure = TargetFailure { detail, ..TargetFailure::unreached(reason) };
        go_on(cx, lower, &run.app, failure)
    }

    /// Handles a conference that is a route's target and has refused the caller: the next target is tried, or the call
    /// ends.
    pub(crate) fn conference_refused(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        why: &str,
    ) -> ProgramEffect {
        let Some(run) = self.end_program(cx, lower) else { return ProgramEffect::Stay };
        let reason = ReasonSlug::ConferenceRefused;
        lower.search.controller = run.behind;
        cx.call.story.proof = Some((reason, why.into()));
        if !lower.search.controller.has_more() {
            return end_or_refuse(cx, reason);
        }
        lower.bridge.media.stop_player(cx);
        let detail = Some(format!("{}, {why}", reason.sentence()));
        go_on(cx, lower, &run.app, TargetFailure { detail, ..TargetFailure::unreached(reason) })
    }

    /// Removes the program from the call, with its pending question and its timers. Returns it; `None` if none is
    /// running.
    fn end_program(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> Option<Box<ProgramRun>> {
        self.run.iter_mut().for_each(|run| run.runner.drop_question(cx.edge));
        self.opened.iter_mut().for_each(|opened| opened.recognition.end(cx));
        cx.disarm(CallTimer::Program);
        cx.disarm(CallTimer::DialLimit);
        cx.disarm(CallTimer::DialAnswer);
        cx.call.is_programmed = false;
        lower.bridge.media.end_talk();
        self.opened.iter_mut().for_each(|opened| opened.streams.program_over());
        let repeated = cx.call.story.app.as_mut().map(|app| app.logged.take_repeated()).unwrap_or_default();
        let sid = cx.call.legs.sid().to_owned();
        repeated.into_iter().for_each(|line| cx.edge.warn(&sid, line, None));
        let run = self.run.take()?;
        cx.call.facts.shown_as.clone_from(&run.shown_as);
        cx.call.facts.ring_timeout = run.ring_timeout;
        Some(run)
    }

    /// Ends the program together with the call: informs the program, which makes its last request.
    pub(crate) fn lost_caller(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) {
        self.drop_whisper(cx, lower);
        self.complete_parties(cx, lower, Some(DialStatus::Canceled));
        self.report_streams(cx, lower.search, true);
        self.opened.iter_mut().for_each(|opened| opened.transcripts.end(cx));
        let transfer = self.run.as_mut().and_then(|run| run.referral.abandoned(cx));
        let conference = self.conference.hung_up(cx, &mut lower.bridge.media);
        let queue = self.queue.hung_up(cx, &mut lower.bridge.media);
        if let Some(run) = &mut self.run {
            let abandoned = run.side.clone();
            let left = conference.into_iter().chain(queue).chain(transfer);
            iter::once(ProgramInput::HungUp).chain(left).for_each(|input| run.runner.take_input(cx.now, input));
            if let Some(side) = abandoned.filter(|side| !side.is_stream) {
                let status = if side.since.is_some() { DialStatus::Completed } else { DialStatus::Canceled };
                let result = side.result(cx, status, None);
                run.runner.take_input(cx.now, ProgramInput::DialEnded { id: side.id, result });
            }
            while let Some(step) = run.runner.poll_step() {
                run.last_step(cx, &lower.recorders.recordings, step);
            }
        }
        if let Some(run) = self.end_program(cx, lower) {
            cx.edge.apps_mut().over(cx.now, &run.app.name, cx.call.legs.sid(), false);
        }
    }

    /// Reports the new events of streams. `ends`: the call is over.
    pub(crate) fn report_streams(&mut self, cx: &mut CallCx<'_>, search: &Search, ends: bool) {
        let Some(opened) = &mut self.opened else { return };
        let side = self.run.as_ref().and_then(|run| run.of_caller().side.as_ref());
        let connecting = side.filter(|side| side.is_stream).map(|side| side.id);
        let attempt = search.alone().and_then(Attempt::leg);
        opened.streams.report(cx, connecting.zip(attempt), ends);
    }
}

impl ProgramRun {
    /// Handles a digit of the caller, received as telephone-event, tone or INFO.
    pub(crate) fn digit_pressed(&mut self, now: Instant, digit: char) -> ProgramEffect {
        self.take_input(now, ProgramInput::Digit(digit.to_ascii_uppercase()))
    }

    /// Handles the DTMF digit of an INFO, which is answered with 200.
    pub(crate) fn informed(&mut self, cx: &mut CallCx<'_>, server: ServerId, info: &Info) -> ProgramEffect {
        cx.edge.respond(cx.now, server, ResponseSpec { code: 200, ..ResponseSpec::default() });
        match parse_info(info.body.as_ref()) {
            ParsedInfo::Key(key, _) => self.digit_pressed(cx.now, key),
            ParsedInfo::Unreadable | ParsedInfo::Other => ProgramEffect::Stay,
        }
    }

    /// Handles an event of a Record. If another document has replaced the Record, the step in progress belongs to that
    /// document and does not end.
    pub(crate) fn record_event(&mut self, now: Instant, input: ProgramInput) -> ProgramEffect {
        if self.runner.program.is_recording() { self.end_step(now, input) } else { self.take_input(now, input) }
    }

    /// Sends a request without running its response as a document.
    pub(crate) fn notify(&self, cx: &mut CallCx<'_>, request: FetchRequest) {
        let request = parameters::request(cx.call, cx.edge, None, request);
        self.send_notice(cx, request);
    }

    /// Sends the action request of a verb (Dial, Enqueue, …) in a call that its caller has left.
    fn notify_of_end(&self, cx: &mut CallCx<'_>, request: FetchRequest) {
        let mut request = parameters::request(cx.call, cx.edge, None, request);
        request.iter_mut().filter(|_| cx.call.times.answered.is_some()).for_each(parameters::complete);
        self.send_notice(cx, request);
    }

    fn send_notice(&self, cx: &mut CallCx<'_>, request: Option<DocumentRequest>) {
        if let Some(request) = request {
            cx.edge.notify_app(cx.call.legs.sid(), &self.app, request);
        }
    }

    /// Records a trace entry of the program in the call's trace.
    pub(crate) fn trace_step(&self, cx: &mut CallCx<'_>, trace: &ProgramTrace) {
        let ProgramTrace { line, verb, note } = trace;
        let at = if *line == 0 { String::new() } else { format!(" (line {line})") };
        let text = match note {
            TraceNote::Began => format!("{verb}{at}"),
            TraceNote::Result(text) => format!("{verb}{at}: {text}"),
            TraceNote::Warning { code, text } => format!("{verb}{at}: warning {code}: {text}"),
            TraceNote::Unheard { code, text } | TraceNote::Error { code, text } => {
                format!("{verb}{at}: error {code}: {text}")
            }
        };
        if let TraceNote::Unheard { code, text } | TraceNote::Error { code, text } = note {
            cx.call.story.app.get_or_insert_default().flaws.note(trace, self.is_whispering());
            // 112xx errors concern the edge's own request; the application's response is kept in the trace only.
            let own = if (11_200..11_300).contains(&u32::from(*code)) { text.as_str() } else { "" };
            let fault = match note {
                TraceNote::Unheard { .. } => AppFault::Prompt,
                TraceNote::Error { .. } if own.is_empty() => AppFault::Document,
                TraceNote::Error { .. } | TraceNote::Began | TraceNote::Result(_) | TraceNote::Warning { .. } => {
                    AppFault::Webhook
                }
            };
            cx.edge.apps_mut().error(&self.app.name, cx.call.legs.sid(), (fault, u32::from(*code)), own);
            // A response of an application may contain numbers and secrets, so it goes to the trace and not to the log.
            let own = if (11_200..11_300).contains(&u32::from(*code)) { text.lines().next() } else { None };
            let own = own.map(|own| format!(": {own}")).unwrap_or_default();
            let app = &self.app.name;
            let sid = cx.call.legs.sid().to_owned();
            let error = format!("application {app}: error {code}{own}");
            if cx.call.story.app.get_or_insert_default().logged.is_new(&error) {
                cx.edge.warn(&sid, format!("application {app}: {verb}{at}: error {code}{own}"), None);
            }
        }
        cx.edge.decide(cx.now, cx.call.key, text);
    }

    /// Carries out a step of a program after its caller has left: requests are sent, and their responses are not run.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other steps need a caller")]
    fn last_step(&self, cx: &mut CallCx<'_>, recordings: &CallRecordings, step: ProgramStep) {
        match step {
            ProgramStep::Notify(request) => self.notify_of_end(cx, request),
            ProgramStep::NotifyRecorded { id, request } => {
                records::notify_recorded(&self.app, cx, recordings, id, request)
            }
            ProgramStep::Trace(trace) => self.trace_step(cx, &trace),
            _ => {}
        }
    }
}

/// Continues with the next target after an application that has failed or is over.
fn go_on(cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, app: &App, failure: TargetFailure) -> ProgramEffect {
    lower.bridge.negotiation.note_failure(cx, None, &app.target(), &failure);
    if cx.call.state == CallState::Rerouting {
        lower.search.controller.failed(failure);
        return ProgramEffect::search_on();
    }
    cx.arm(CallTimer::Search, lower.search.controller.search_timeout());
    ProgramEffect::NotConnected(Box::new(TargetResult::Failed(failure)))
}

/// Ends the call: by BYE, or by a final response if the caller has none yet.
fn end_or_refuse(cx: &CallCx<'_>, reason: ReasonSlug) -> ProgramEffect {
    match cx.call.state {
        CallState::Searching => ProgramEffect::refuse(FinalAnswer::new(603, reason)),
        CallState::Answered | CallState::Rerouting | CallState::Leaving | CallState::Ended => {
            ProgramEffect::end(reason)
        }
    }
}
