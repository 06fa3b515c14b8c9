//! A program's beginning, its events, and its end.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_resources::app::{AppAnswer, AppWanted, DocumentRequest};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::key::LegId;
use trunkgate_route::{App, TargetSpec};
use trunkgate_sip::{Answer, ServerId};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_twiml::{DialResult, DialStatus, Input, Parameter, Program, Settings, Step};

use crate::call::legs::digits::{Told, told};
use crate::call::negotiation::requests::Info;
use crate::call::program::progress::PartyCall;
use crate::call::program::{
    Dialler, Prompter, Referrer, Run, Runner, Side, Waits, fallback_of, first_document, parameters, progress, queueing,
    records, streams,
};
use crate::call::recorders::recording;
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::shared::Cx;
use crate::call::words::answer::Failure;
use crate::call::words::state::State;

/// What the media type of an announcement is taken for: the file says what it is.
const SOUND: &str = "audio/wav";

impl Runner<'_> {
    /// Gives the call to an application; the targets behind it wait.
    pub(crate) fn begin_program(&mut self, cx: &mut Cx<'_>, app: Arc<App>) {
        cx.edge.decide(cx.now, cx.call.key, format!("target {}", app.target()));
        if let Some(mailbox) = app.as_mailbox() {
            let recordings = &cx.edge.sessions.recordings;
            if !recordings.takes_messages() {
                return self.go_on(cx, &app, Failure::unreached(ReasonSlug::RecordingUnavailable));
            }
            if recordings.is_full(mailbox) {
                return self.go_on(cx, &app, Failure::with_code(480, ReasonSlug::MailboxFull));
            }
        }
        cx.disarm(Timer::Search);
        let source = first_document(&app.document);
        let recognition = cx.edge.apps.recognition.spec().is_some();
        let recordings = &cx.edge.sessions.recordings;
        let settings = Settings {
            fallback: fallback_of(&app),
            recognition,
            records: recordings.is_on(),
            transcribes: recordings.transcribes(),
            ..Settings::default()
        };
        let mut program = Program::new(settings);
        let digits = cx.call.requested.as_mut().and_then(|requested| requested.digits.take());
        program.start_after(Duration::ZERO, digits, source, cx.call.times.answered.is_some());
        let run = Run {
            app,
            program,
            began: cx.now,
            behind: std::mem::take(&mut self.parts.search.controller),
            waits: Waits::Nothing,
            under_way: None,
            side: None,
            called: None,
            referral: None,
            shown_as: cx.call.facts.shown_as.clone(),
            ring_timeout: cx.call.facts.ring_timeout,
            is_turned_away: false,
            is_redirected: false,
        };
        cx.call.is_programmed = true;
        run.note(cx.call);
        recording::caller_hears(cx, &run.app);
        self.parts.program.reports.begin(cx, &run.app);
        self.parts.program.run = Some(Box::new(run));
        if cx.call.times.answered.is_some() {
            self.parts.bridge.media.talk_to_caller(cx);
        } else {
            self.parts.search.let_ring(cx, &mut self.parts.bridge);
        }
        self.run_program(cx);
    }

    /// Goes on with the program of a restored call; `behind`: the targets behind it.
    pub(crate) fn resume_program(&mut self, cx: &mut Cx<'_>, behind: &[TargetSpec]) {
        let behind = behind.iter().filter_map(|target| cx.edge.target(target)).collect();
        let Some(run) = &mut self.parts.program.run else { return };
        run.behind = Controller::resume(behind);
        run.shown_as.clone_from(&cx.call.facts.shown_as);
        run.note(cx.call);
        if let Some(side) = run.side.as_ref().filter(|side| !side.limit.is_zero()) {
            let talked = side.since.map_or(Duration::ZERO, |since| cx.now.saturating_duration_since(since));
            cx.arm_left(Timer::DialLimit, side.limit.saturating_sub(talked));
        }
        if let Some(leg) = cx.call.legs.callee {
            for party in run.side.iter_mut().flat_map(|side| &mut side.parties) {
                party.call.resume(leg);
            }
            if run.side.as_ref().is_none_or(|side| !side.is_stream) {
                self.parts.bridge.media.tell_digits(cx);
            }
            return;
        }
        let (under_way, recognition) = (run.under_way.take(), run.program.recognition());
        let media = &mut self.parts.bridge.media;
        media.talk_to_caller(cx);
        if self.parts.program.queue.comes_back() {
            self.parts.program.queue.resume(cx, media, run).act(self.parts, cx);
        } else {
            if let Some(step) = recognition {
                self.start_recognition(cx, step);
            }
            if let Some(step) = under_way {
                self.carry_out(cx, *step);
            }
        }
        self.run_program(cx);
    }

    /// Takes an event of the program's, and does what follows.
    pub(crate) fn tell_program(&mut self, cx: &mut Cx<'_>, input: Input) {
        if let Some(run) = &mut self.parts.program.run {
            run.under_way = None;
        }
        self.inform_program(cx, input);
    }

    /// Takes an event of a Record, which another document may have replaced meanwhile: what is under way is that document's then.
    pub(crate) fn tell_of_record(&mut self, cx: &mut Cx<'_>, input: Input) {
        match &self.parts.program.run {
            Some(run) if run.program.is_recording() => self.tell_program(cx, input),
            Some(_) | None => self.inform_program(cx, input),
        }
    }

    /// Takes an event by which no step of the program ends, and does what follows.
    pub(crate) fn inform_program(&mut self, cx: &mut Cx<'_>, input: Input) {
        let Some(run) = &mut self.parts.program.run else { return };
        let time = run.time(cx.now);
        run.program.handle_input(time, input);
        self.run_program(cx);
    }

    /// The program has waited for long enough.
    pub(crate) fn program_due(&mut self, cx: &mut Cx<'_>) {
        cx.call.deadlines.remove(Timer::Program);
        let Some(run) = &mut self.parts.program.run else { return };
        if matches!(run.waits, Waits::Digits { .. }) {
            return Prompter::of(self.parts).play_next_digit(cx);
        }
        if run.referral.is_some() {
            return Referrer::of(self.parts).refer_over(cx);
        }
        let time = run.time(cx.now);
        run.program.handle_timeout(time);
        self.run_program(cx);
    }

    /// Carries out the program's steps until it waits for something.
    pub(crate) fn run_program(&mut self, cx: &mut Cx<'_>) {
        while let Some(run) = &mut self.parts.program.run {
            if run.waits == Waits::Caller || cx.call.state == State::Ended {
                break;
            }
            let Some(step) = run.program.poll_output() else { break };
            self.carry_out(cx, step);
        }
        let Some(run) = &self.parts.program.run else { return };
        // While digits are played the timer is that of the next one, and of a REFER that of its news.
        if !matches!(run.waits, Waits::Digits { .. }) && run.referral.is_none() {
            cx.disarm(Timer::Program);
            if let Some(due) = run.program.poll_timeout() {
                cx.arm_left(Timer::Program, due.saturating_sub(run.time(cx.now)));
            }
        }
    }

    /// What the program has waited for of its caller is there: ports, or a media address.
    pub(crate) fn caller_is_ready(&mut self, cx: &mut Cx<'_>) {
        let Some(run) = &mut self.parts.program.run else { return };
        if run.waits == Waits::Caller {
            run.waits = Waits::Nothing;
            match cx.call.state {
                State::Searching => self.answer_now(cx),
                State::Answered | State::Rerouting | State::Leaving | State::Ended => {
                    self.parts.bridge.media.talk_to_caller(cx);
                }
            }
        }
        self.run_program(cx);
    }

    /// The shell has answered a question of the program's.
    pub(crate) fn app_answered(&mut self, cx: &mut Cx<'_>, query: QueryId, answer: AppAnswer) {
        cx.edge.index.queries.remove(&query);
        if self.parts.program.partial_answered(cx, query, &answer) {
            return;
        }
        let Some(run) = &mut self.parts.program.run else { return };
        match (std::mem::replace(&mut run.waits, Waits::Nothing), answer) {
            (Waits::Document { query: asked, id }, answer) if asked == query => {
                let input = match answer {
                    AppAnswer::Document { url, content_type, body, told } => {
                        if !told.is_empty() {
                            cx.edge.decide(cx.now, cx.call.key, told);
                        }
                        Input::Fetched { id, url, content_type, body }
                    }
                    AppAnswer::Failed { code, text } => Input::FetchFailed { id, code, text },
                    AppAnswer::Sound { .. } => return,
                };
                self.tell_program(cx, input);
            }
            (Waits::Sound { query: asked, id, repeat }, answer) if asked == query => match answer {
                AppAnswer::Sound { sound, told } => {
                    if !told.is_empty() {
                        cx.edge.decide(cx.now, cx.call.key, told);
                    }
                    Prompter::of(self.parts).play_sound(cx, id, repeat, sound);
                }
                AppAnswer::Failed { code, text } => self.tell_program(cx, Input::PlayFailed { id, code, text }),
                AppAnswer::Document { .. } => {}
            },
            // What is no longer wanted.
            (waits, _) => run.waits = waits,
        }
    }

    /// The caller has pressed a key, as a telephone-event, a tone or by INFO.
    pub(crate) fn digit_for_program(&mut self, cx: &mut Cx<'_>, digit: char) {
        let Some(run) = &mut self.parts.program.run else { return };
        let time = run.time(cx.now);
        run.program.handle_input(time, Input::Digit(digit.to_ascii_uppercase()));
        self.run_program(cx);
    }

    /// Takes that digit.
    pub(crate) fn info_for_program(&mut self, cx: &mut Cx<'_>, server: ServerId, info: &Info) {
        cx.edge.respond(cx.now, server, Answer { code: 200, ..Answer::default() });
        if let Told::Key(key, _) = told(info.body.as_ref()) {
            self.digit_for_program(cx, key);
        }
    }

    /// Asks for a document.
    pub(crate) fn fetch(&mut self, cx: &mut Cx<'_>, id: u32, mut request: trunkgate_twiml::Request) {
        request.parameters.splice(0..0, self.parts.program.conference.parameters_of(request.purpose));
        request.parameters.extend(queueing::parameters_of(cx, request.purpose));
        let Some(run) = &mut self.parts.program.run else { return };
        if run.is_announcement() {
            let input = Input::Fetched { id, url: None, content_type: Some(SOUND.to_owned()), body: Vec::new() };
            let time = run.time(cx.now);
            return run.program.handle_input(time, input);
        }
        let called = run.called.as_ref().map(|called| &called.parted);
        let Some(request) = parameters::request(cx.call, cx.edge, called, request) else { return };
        let query = cx.edge.ask_for(cx.call.key, cx.call.legs.sid(), &run.app, AppWanted::Document(request));
        self.drop_question(cx);
        if let Some(run) = &mut self.parts.program.run {
            run.waits = Waits::Document { query, id };
        }
    }

    /// Gives up what the program has asked the shell for.
    pub(crate) fn drop_question(&mut self, cx: &mut Cx<'_>) {
        let Some(run) = &mut self.parts.program.run else { return };
        if let Waits::Document { query, .. } | Waits::Sound { query, .. } = run.waits {
            cx.edge.give_up(query);
            run.waits = Waits::Nothing;
        }
    }

    /// The program is over and the caller is still there: the next target of its route, or the end of the call.
    pub(crate) fn program_over(&mut self, cx: &mut Cx<'_>, code: Option<u16>) {
        if self.parts.program.run.as_ref().is_some_and(|run| run.called.is_some()) {
            // A party that was to be screened is not connected unscreened.
            return Dialler::of(self.parts).end_whisper(cx, false);
        }
        // What the last step has ended is reported before another program may have a step of its id.
        streams::report_streams(self.parts, cx, false);
        let Some(run) = self.end_program(cx) else { return };
        let (is_announcement, is_mailbox) = (run.is_announcement(), run.app.as_mailbox().is_some());
        let is_conference = run.app.is_conference();
        cx.edge.apps.over(cx.now, &run.app.name, cx.call.legs.sid(), code.is_some());
        self.parts.search.controller = run.behind;
        let reason = match code {
            Some(_) if is_mailbox => ReasonSlug::RecordingUnavailable,
            Some(_) => ReasonSlug::AppFailed,
            None if is_announcement => ReasonSlug::Announced,
            None if is_conference => return self.end_or_refuse(cx, ReasonSlug::ConferenceEnded),
            None if is_mailbox => return self.end_or_refuse(cx, ReasonSlug::VoicemailEnded),
            None if run.is_turned_away && cx.call.state == State::Searching => {
                return self.end_or_refuse(cx, ReasonSlug::ConferenceRefused);
            }
            None => return self.end_or_refuse(cx, ReasonSlug::AppHungUp),
        };
        if code.is_none() && !self.parts.search.controller.has_more() {
            return self.end_or_refuse(cx, reason);
        }
        self.parts.bridge.media.stop_player(cx);
        let detail = code.map(|code| {
            let told = cx.edge.apps.told(&run.app.name, cx.call.legs.sid());
            let told = told.unwrap_or_else(|| format!("error {code}"));
            let story = cx.call.story.app.get_or_insert_default();
            story.failed = story.flaws.take_reason();
            cx.call.story.proof = Some((reason, told.as_str().into()));
            format!("{}, {told}", reason.sentence())
        });
        let failure = Failure { detail, ..Failure::unreached(reason) };
        self.go_on(cx, &run.app, failure);
    }

    /// The conference that is a route's target does not take the caller: the next target, or the end of the call.
    pub(crate) fn conference_refused(&mut self, cx: &mut Cx<'_>, why: &str) {
        let Some(run) = self.end_program(cx) else { return };
        let reason = ReasonSlug::ConferenceRefused;
        self.parts.search.controller = run.behind;
        cx.call.story.proof = Some((reason, why.into()));
        if !self.parts.search.controller.has_more() {
            return self.end_or_refuse(cx, reason);
        }
        self.parts.bridge.media.stop_player(cx);
        let detail = Some(format!("{}, {why}", reason.sentence()));
        self.go_on(cx, &run.app, Failure { detail, ..Failure::unreached(reason) });
    }

    /// Has the call go on with the target behind an application that does not have it, or has it no longer.
    fn go_on(&mut self, cx: &mut Cx<'_>, app: &App, failure: Failure) {
        self.parts.bridge.negotiation.note_failure(cx, None, &app.target(), &failure);
        if cx.call.state == State::Rerouting {
            self.parts.search.controller.failed(failure);
            return self.parts.search_on(cx);
        }
        cx.arm(Timer::Search, self.parts.search.controller.search_timeout());
        self.parts.advance(cx, Some(TargetResult::Failed(failure)));
    }

    /// Ends the call: by BYE, or by a final answer where the caller has none.
    fn end_or_refuse(&mut self, cx: &mut Cx<'_>, reason: ReasonSlug) {
        if cx.call.state == State::Searching {
            let answer = crate::call::words::answer::FinalAnswer::new(603, reason);
            return self.parts.refuse(cx, &answer);
        }
        self.parts.end(cx, reason);
    }

    /// Takes the program out of the call, with what it has asked for.
    fn end_program(&mut self, cx: &mut Cx<'_>) -> Option<Box<Run>> {
        self.drop_question(cx);
        self.parts.program.recognition.end(cx);
        cx.disarm(Timer::Program);
        cx.disarm(Timer::DialLimit);
        cx.disarm(Timer::DialAnswer);
        cx.call.is_programmed = false;
        self.parts.bridge.media.end_talk();
        if let Some(streams) = &mut self.parts.program.streams {
            streams.program_over();
        }
        let repeated = cx.call.story.app.as_mut().map(|app| app.logged.take_repeated()).unwrap_or_default();
        let sid = cx.call.legs.sid().to_owned();
        repeated.into_iter().for_each(|line| cx.edge.warn(&sid, line, None));
        let run = self.parts.program.run.take()?;
        cx.call.facts.shown_as.clone_from(&run.shown_as);
        cx.call.facts.ring_timeout = run.ring_timeout;
        Some(run)
    }

    /// The call is over: the program hears of it, and makes its last request.
    pub(crate) fn program_lost_caller(&mut self, cx: &mut Cx<'_>) {
        Dialler::of(self.parts).drop_whisper(cx);
        progress::complete_parties(self.parts, cx, Some(DialStatus::Canceled));
        streams::report_streams(self.parts, cx, true);
        self.parts.program.transcripts.end(cx);
        let transfer = Referrer::of(self.parts).refer_abandoned(cx);
        let conference = self.parts.program.conference.hung_up(cx, &mut self.parts.bridge.media);
        let queue = self.parts.program.queue.hung_up(cx, &mut self.parts.bridge.media);
        if let Some(run) = &mut self.parts.program.run {
            let time = run.time(cx.now);
            let abandoned = run.side.clone();
            run.program.handle_input(time, Input::HungUp);
            conference.into_iter().chain(queue).for_each(|left| run.program.handle_input(time, left));
            if let Some(transfer) = transfer {
                run.program.handle_input(time, transfer);
            }
            if let Some(side) = abandoned.filter(|side| !side.is_stream) {
                let status = if side.since.is_some() { DialStatus::Completed } else { DialStatus::Canceled };
                let result = self.result_of(cx, status, &side, None);
                if let Some(run) = &mut self.parts.program.run {
                    run.program.handle_input(time, Input::DialEnded { id: side.id, result });
                }
            }
        }
        while let Some(step) = self.parts.program.run.as_mut().and_then(|run| run.program.poll_output()) {
            self.last_step(cx, step);
        }
        if let Some(run) = self.end_program(cx) {
            cx.edge.apps.over(cx.now, &run.app.name, cx.call.legs.sid(), false);
        }
    }

    /// Makes a request whose response is not run.
    pub(crate) fn notify(&self, cx: &mut Cx<'_>, request: trunkgate_twiml::Request) {
        let request = parameters::request(cx.call, cx.edge, None, request);
        self.send_notice(cx, request);
    }

    /// Makes a request of a call that its caller has left: the action of a Dial, an Enqueue, or another verb.
    fn notify_of_end(&self, cx: &mut Cx<'_>, request: trunkgate_twiml::Request) {
        let mut request = parameters::request(cx.call, cx.edge, None, request);
        request.iter_mut().filter(|_| cx.call.times.answered.is_some()).for_each(parameters::complete);
        self.send_notice(cx, request);
    }

    fn send_notice(&self, cx: &mut Cx<'_>, request: Option<DocumentRequest>) {
        let app = self.parts.program.run.as_ref().map(|run| run.app.clone());
        if let Some((app, request)) = app.zip(request) {
            cx.edge.notify_app(cx.call.legs.sid(), &app, request);
        }
    }

    /// Carries out a step of a program that has no caller any more.
    fn last_step(&mut self, cx: &mut Cx<'_>, step: Step) {
        match step {
            Step::Notify(request) => self.notify_of_end(cx, request),
            Step::NotifyRecorded { id, request } => {
                if let Some(run) = &self.parts.program.run {
                    records::notify_recorded(&run.app, cx, id, request);
                }
            }
            Step::Trace(trace) => self.trace_step(cx, &trace),
            Step::Fetch { .. }
            | Step::StartRecognition(_)
            | Step::StopRecognition { .. }
            | Step::ReportPartial(_)
            | Step::Answer
            | Step::Say { .. }
            | Step::Play { .. }
            | Step::PlayDigits { .. }
            | Step::Beep { .. }
            | Step::Record(_)
            | Step::StopRecord { .. }
            | Step::StartRecording(_)
            | Step::StopPlaying { .. }
            | Step::Dial(_)
            | Step::Conference(_)
            | Step::Enqueue(_)
            | Step::LeaveQueue { .. }
            | Step::ConnectQueued { .. }
            | Step::DialQueue(_)
            | Step::PlayMusic { .. }
            | Step::EndDial { .. }
            | Step::EndStream { .. }
            | Step::ConnectStream(_)
            | Step::StartStream(_)
            | Step::StopStream { .. }
            | Step::StartSiprec(_)
            | Step::StartTranscript(_)
            | Step::StopTranscript { .. }
            | Step::StopSiprec { .. }
            | Step::Refer { .. }
            | Step::Reject(_)
            | Step::Hangup
            | Step::Join
            | Step::Failed { .. } => {}
        }
    }

    /// Returns the result of a Dial for its action. `code`: where the party gave no final answer, that of its failure.
    pub(crate) fn result_of(&self, cx: &Cx<'_>, status: DialStatus, side: &Side, code: Option<u16>) -> DialResult {
        let duration = side.since.map(|since| cx.now.saturating_duration_since(since));
        let sid_of = |leg: LegId| cx.call.legs[leg].sid.as_str();
        let mut called = side.parties.iter().rev().filter_map(|party| Some((party.call.leg()?, &party.call)));
        // Without a connected party, the one that was called last.
        let party = called.find(|(leg, _)| side.sid.as_deref().is_none_or(|sid| sid == sid_of(*leg)));
        let sid = side.sid.clone().or_else(|| party.map(|(leg, _)| sid_of(leg).to_owned()));
        let of_party = |(leg, call): (LegId, &PartyCall)| {
            let said = cx.call.legs[leg].said().map(|said| said.code).or(code);
            let code = side.since.map(|_| 200).or(said);
            parameters::of_dialled(&cx.call.legs[leg], code, call.extensions())
        };
        let mut further = party.map(of_party).unwrap_or_default();
        let recording = side.record.as_ref().and_then(|record| record.sid.as_deref());
        if let Some((sid, links)) = recording.zip(cx.edge.sessions.recordings.links()) {
            further.push(Parameter::new("RecordingUrl", links.of(sid)));
            further.push(Parameter::new("RecordingSid", sid));
        }
        DialResult { status, sid, duration, bridged: side.is_bridged, further }
    }
}
