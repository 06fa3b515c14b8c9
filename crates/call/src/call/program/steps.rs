//! The steps of a program, carried out in its call.

use std::sync::Arc;

use trunkgate_resources::apps::AppFault;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::limits::PORTS_NEWS;
use trunkgate_route::{App, Target};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_twiml::{
    ConferenceStep, Loop, Note, QueueOutcome, RecognitionStep, RecordStep, RecordingStep, Reject, Request, SiprecStep,
    Step, StreamStep, Trace, TranscriptStep,
};

use crate::call::media::CallMedia;
use crate::call::program::conference::ConferenceJoin;
use crate::call::program::effects::ProgramEffect;
use crate::call::program::queueing::CallerQueue;
use crate::call::program::{
    Dialler, Prompter, Referrer, Run, Runner, Side, Waits, conference, fallback_of, first_document, records, streams,
};
use crate::call::recorders::siprec;
use crate::call::search::controller::Controller;
use crate::call::shared::{Cx, Next};
use crate::call::words::answer::FinalAnswer;
use crate::call::words::refused::Refused;
use crate::call::words::state::State;

impl Runner<'_> {
    /// Carries out one step.
    pub(crate) fn carry_out(&mut self, cx: &mut Cx<'_>, step: Step) {
        if let Some(run) = self.parts.program.run.as_mut().filter(|_| is_waited_for(&step)) {
            run.under_way = Some(Box::new(step.clone()));
        }
        match step {
            Step::Fetch { id, request } => self.fetch(cx, id, request),
            Step::Notify(request) => self.notify(cx, request),
            Step::StartRecognition(step) => self.start_recognition(cx, step),
            Step::StopRecognition { id } => self.parts.program.recognition.stop(cx, id),
            Step::ReportPartial(request) => self.report_partial(cx, request),
            Step::Answer => self.answer_for_program(cx),
            Step::Say { id, say } => Prompter::of(self.parts).say(cx, id, say),
            Step::Play { id, location, repeat } => Prompter::of(self.parts).play_file(cx, id, &location, repeat),
            Step::PlayDigits { id, digits, repeat } => Prompter::of(self.parts).play_digits(cx, id, digits, repeat),
            Step::NotifyRecorded { .. } => {}
            Step::Beep { id } => Prompter::of(self.parts).play_sound(cx, id, Loop::Times(1), records::beep()),
            Step::Record(step) => self.record(cx, step),
            Step::StopRecord { id } => records::stop_record(cx, id),
            Step::StartRecording(step) => self.start_recording(cx, step),
            Step::StopPlaying { .. } => Prompter::of(self.parts).stop_playing(cx),
            Step::Dial(dial) => Dialler::of(self.parts).dial(cx, dial),
            Step::Conference(step) => self.join_conference(cx, step),
            Step::PlayMusic { .. } => conference::play_music(&mut self.parts.bridge.media, cx),
            Step::Enqueue(step) => self.queue(cx, |queue, cx, media, run| queue.enqueue(cx, media, run, step)),
            Step::LeaveQueue { why, .. } => self.queue(cx, |queue, cx, media, run| queue.leave(cx, media, run, why)),
            Step::ConnectQueued { .. } => cx.edge.sessions.queues.ready(cx.call.key),
            Step::DialQueue(step) => self.queue(cx, |queue, cx, media, run| queue.dial(cx, media, run, step)),
            Step::EndDial { .. } if self.parts.program.queue.has_place() => {
                self.queue(cx, |queue, cx, media, run| queue.leave(cx, media, run, QueueOutcome::Bridged));
            }
            Step::EndDial { .. } if self.parts.program.conference.is_joined() => self.end_conference(cx),
            Step::EndDial { id } | Step::EndStream { id } => Dialler::of(self.parts).end_side(cx, id),
            Step::ConnectStream(stream) => self.connect_stream(cx, &stream),
            Step::StartStream(stream) => self.start_stream(cx, &stream),
            Step::StopStream { name } => self.stop_stream(cx, &name),
            Step::StartTranscript(step) => self.start_transcript(cx, *step),
            Step::StopTranscript { name } => self.parts.program.transcripts.stop(cx, &name),
            Step::StartSiprec(step) => self.start_siprec(cx, &step),
            Step::StopSiprec { name } => siprec::stop(&mut self.parts.bridge.media, cx, &name),
            Step::Refer { id, uri, headers } => Referrer::of(self.parts).refer(cx, id, uri, &headers),
            Step::Reject(reject) => self.reject_for_program(cx, reject),
            Step::Hangup => self.program_over(cx, None),
            Step::Join => Dialler::of(self.parts).end_whisper(cx, true),
            Step::Failed { code } => self.program_over(cx, Some(code)),
            Step::Trace(trace) => self.trace_step(cx, &trace),
        }
    }

    /// Has the program go on with another document, whatever it does now. A text was found to be a document before.
    ///
    /// # Errors
    /// The call has ended: nothing changes then.
    pub(crate) fn redirect(&mut self, cx: &mut Cx<'_>, app: &App) -> Result<(), Refused> {
        match cx.call.state {
            State::Leaving | State::Ended => return Err(Refused::CallEnded),
            State::Searching | State::Answered | State::Rerouting => {}
        }
        let Some(run) = &self.parts.program.run else { return Err(Refused::CallEnded) };
        if run.is_whispering() {
            // The party that hears its document is part of the Dial that ends.
            Dialler::of(self.parts).drop_whisper(cx);
        }
        let waits_for_caller = self.parts.program.run.as_ref().is_some_and(|run| run.waits == Waits::Caller);
        if !waits_for_caller {
            self.drop_question(cx);
        }
        self.parts.program.conference.redirected();
        let Some(run) = &mut self.parts.program.run else { return Err(Refused::CallEnded) };
        let time = run.time(cx.now);
        run.under_way = None;
        match run.program.redirect(time, first_document(&app.document), fallback_of(app)) {
            Ok(true) => {}
            Ok(false) => return Err(Refused::CallEnded),
            Err(_) => return Err(Refused::BadDocument),
        }
        self.run_program(cx);
        Ok(())
    }

    /// Answers the caller, once its ports are known to be ours; then it hears the program.
    pub(crate) fn answer_for_program(&mut self, cx: &mut Cx<'_>) {
        if cx.call.state != State::Searching {
            return self.parts.bridge.media.talk_to_caller(cx);
        }
        if !cx.call.legs.is_bound() {
            return self.wait_for_caller(cx);
        }
        self.answer_now(cx);
    }

    /// Answers the caller.
    pub(crate) fn answer_now(&mut self, cx: &mut Cx<'_>) {
        let app = self.parts.program.run.as_ref().map(|run| &run.app);
        let linked = app.and_then(|app| app.as_conference()).and_then(|name| cx.call.linked(cx.edge, name));
        match self.parts.bridge.answer_first(cx, linked.into_iter().collect()) {
            Ok(Next::Stay) => {}
            Ok(next) => return next.act(self.parts, cx),
            Err(failure) => return self.parts.refuse(cx, &failure.answer()),
        }
        let sid = cx.call.legs.sid().to_owned();
        let named = self.parts.program.run.as_ref().map(|run| &run.app);
        let named = named.filter(|app| app.as_mailbox().is_some() || app.is_conference());
        let by = named.map_or_else(|| "an application".to_owned(), |app| app.target());
        cx.edge.log(&sid, format!("answered for {by}"), None);
        let app = self.parts.program.run.as_ref().map(|run| run.app.target().into());
        cx.call.story.app.get_or_insert_default().answered = app;
        if self.parts.bridge.waits_for_ack(cx.call) {
            cx.edge.decide(cx.now, cx.call.key, "waiting for the caller's ACK with its media address");
            return self.wait_for_caller(cx);
        }
        self.parts.bridge.media.talk_to_caller(cx);
    }

    fn wait_for_caller(&mut self, cx: &mut Cx<'_>) {
        if cx.call.state == State::Searching {
            cx.arm(Timer::Ports, PORTS_NEWS);
        }
        if let Some(run) = &mut self.parts.program.run {
            run.waits = Waits::Caller;
        }
    }

    fn reject_for_program(&mut self, cx: &mut Cx<'_>, reject: Reject) {
        if cx.call.state != State::Searching {
            return self.program_over(cx, None);
        }
        let code = match reject {
            Reject::Busy => 486,
            Reject::Rejected => 603,
        };
        self.parts.refuse(cx, &FinalAnswer::new(code, ReasonSlug::AppRejected));
    }

    /// Connects the caller with a media stream.
    fn connect_stream(&mut self, cx: &mut Cx<'_>, stream: &StreamStep) {
        let Some(run) = &mut self.parts.program.run else { return };
        cx.edge.decide(cx.now, cx.call.key, format!("Connect: stream to {}", stream.url));
        run.side = Some(Side::new(stream.id, true));
        let agent = Arc::new(streams::agent_of(&run.app, stream));
        self.parts.program.streams.get_or_insert_default().add_connected(&run.app, stream);
        self.parts.bridge.media.end_talk();
        self.parts.search.controller = Controller::plan_of(vec![Target::Agent(agent)]);
        self.parts.search_on(cx);
    }

    fn start_stream(&mut self, cx: &mut Cx<'_>, stream: &StreamStep) {
        let Some(app) = self.parts.program.run.as_ref().map(|run| run.app.clone()) else { return };
        if let Err(why) = streams::start(self.parts, cx, &app, stream) {
            cx.edge.decide(cx.now, cx.call.key, format!("Stream: {why}"));
        }
    }

    fn start_transcript(&mut self, cx: &mut Cx<'_>, step: TranscriptStep) {
        if let Some(run) = &self.parts.program.run {
            self.parts.program.transcripts.start(cx, &self.parts.bridge.media, &run.app, step);
        }
    }

    /// Has the caller's speech recognised. A failure is an input of the program.
    pub(crate) fn start_recognition(&mut self, cx: &mut Cx<'_>, step: RecognitionStep) {
        let failed = self.parts.program.recognition.start(cx, &self.parts.bridge.media, step);
        if let Some((input, run)) = failed.zip(self.parts.program.run.as_mut()) {
            let _effect = run.take_input(cx.now, input);
        }
    }

    fn report_partial(&mut self, cx: &mut Cx<'_>, request: Request) {
        if let Some(run) = &self.parts.program.run {
            self.parts.program.recognition.report_partial(cx, &run.app, request);
        }
    }

    fn record(&mut self, cx: &mut Cx<'_>, step: RecordStep) {
        let Some(run) = &mut self.parts.program.run else { return };
        if let Err(failed) = records::record(&run.app, cx, &self.parts.bridge.media, step) {
            run.end_step(cx.now, failed).act(self.parts, cx);
        }
    }

    fn start_recording(&self, cx: &mut Cx<'_>, step: RecordingStep) {
        if let Some(run) = &self.parts.program.run {
            records::start(&run.app, cx, &self.parts.bridge.media, step);
        }
    }

    fn join_conference(&mut self, cx: &mut Cx<'_>, step: ConferenceStep) {
        let Some(run) = &mut self.parts.program.run else { return };
        match self.parts.program.conference.join(cx, &mut self.parts.bridge.media, run, step) {
            ConferenceJoin::Unanswered => self.answer_for_program(cx),
            ConferenceJoin::Informed(effect) => effect.act(self.parts, cx),
            ConferenceJoin::Refused(why) => self.conference_refused(cx, &why),
        }
    }

    fn end_conference(&mut self, cx: &mut Cx<'_>) {
        let Some(run) = &mut self.parts.program.run else { return };
        self.parts.program.conference.end(cx, &mut self.parts.bridge.media, run).act(self.parts, cx);
    }

    /// Acts on the queue of the caller.
    fn queue(
        &mut self,
        cx: &mut Cx<'_>,
        act: impl FnOnce(&mut CallerQueue, &mut Cx<'_>, &mut CallMedia, &mut Run) -> ProgramEffect,
    ) {
        let Some(run) = &mut self.parts.program.run else { return };
        act(&mut self.parts.program.queue, cx, &mut self.parts.bridge.media, run).act(self.parts, cx);
    }

    fn start_siprec(&self, cx: &mut Cx<'_>, step: &SiprecStep) {
        if let Some(run) = &self.parts.program.run {
            siprec::start(cx, &run.app, step);
        }
    }

    fn stop_stream(&mut self, cx: &mut Cx<'_>, name: &str) {
        if streams::stop(self.parts, cx, name).is_err() {
            cx.edge.decide(cx.now, cx.call.key, "Stop: no stream has that name");
        }
    }

    /// Notes in the call's trace what the program says of itself.
    pub(crate) fn trace_step(&self, cx: &mut Cx<'_>, trace: &Trace) {
        let Trace { line, verb, note } = trace;
        let at = if *line == 0 { String::new() } else { format!(" (line {line})") };
        let text = match note {
            Note::Began => format!("{verb}{at}"),
            Note::Result(text) => format!("{verb}{at}: {text}"),
            Note::Warning { code, text } => format!("{verb}{at}: warning {code}: {text}"),
            Note::Unheard { code, text } | Note::Error { code, text } => format!("{verb}{at}: error {code}: {text}"),
        };
        if let Note::Unheard { code, text } | Note::Error { code, text } = note {
            let is_called = self.parts.program.run.as_ref().is_some_and(|run| run.is_whispering());
            cx.call.story.app.get_or_insert_default().flaws.note(trace, is_called);
            if let Some(run) = &self.parts.program.run {
                // 112xx are about our request; what the application answered is in the trace alone.
                let own = if (11_200..11_300).contains(&u32::from(*code)) { text.as_str() } else { "" };
                let fault = match note {
                    Note::Unheard { .. } => AppFault::Prompt,
                    Note::Error { .. } if own.is_empty() => AppFault::Document,
                    Note::Error { .. } | Note::Began | Note::Result(_) | Note::Warning { .. } => AppFault::Webhook,
                };
                cx.edge.apps.error(&run.app.name, cx.call.legs.sid(), (fault, u32::from(*code)), own);
            }
            // What an application answers may hold numbers and secrets: the trace has it, no log line.
            let own = if (11_200..11_300).contains(&u32::from(*code)) { text.lines().next() } else { None };
            let own = own.map(|own| format!(": {own}")).unwrap_or_default();
            let app = self.parts.program.run.as_ref().map(|run| run.app.name.to_string()).unwrap_or_default();
            let sid = cx.call.legs.sid().to_owned();
            let error = format!("application {app}: error {code}{own}");
            if cx.call.story.app.get_or_insert_default().logged.is_new(&error) {
                cx.edge.warn(&sid, format!("application {app}: {verb}{at}: error {code}{own}"), None);
            }
        }
        cx.edge.decide(cx.now, cx.call.key, text);
    }
}

/// Whether something comes of a step later.
const fn is_waited_for(step: &Step) -> bool {
    match step {
        Step::Fetch { .. }
        | Step::Say { .. }
        | Step::Play { .. }
        | Step::PlayDigits { .. }
        | Step::Beep { .. }
        | Step::Record(_)
        | Step::Dial(_)
        | Step::Conference(_)
        | Step::Enqueue(_)
        | Step::DialQueue(_)
        | Step::ConnectStream(_)
        | Step::Refer { .. } => true,
        Step::Notify(_)
        | Step::NotifyRecorded { .. }
        | Step::StopRecord { .. }
        | Step::StartRecording(_)
        | Step::StartRecognition(_)
        | Step::StopRecognition { .. }
        | Step::ReportPartial(_)
        | Step::Answer
        | Step::StopPlaying { .. }
        | Step::PlayMusic { .. }
        | Step::LeaveQueue { .. }
        | Step::ConnectQueued { .. }
        | Step::EndDial { .. }
        | Step::EndStream { .. }
        | Step::StartStream(_)
        | Step::StopStream { .. }
        | Step::StartSiprec(_)
        | Step::StartTranscript(_)
        | Step::StopTranscript { .. }
        | Step::StopSiprec { .. }
        | Step::Reject(_)
        | Step::Hangup
        | Step::Join
        | Step::Failed { .. }
        | Step::Trace(_) => false,
    }
}
