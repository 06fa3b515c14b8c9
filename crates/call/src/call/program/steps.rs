//! Execution of a program's steps in its call.

use std::sync::Arc;

use trunkgate_resources::limits::PORTS_NEWS;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_route::{App, CallTarget};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_twiml::{LoopCount, ProgramStep, QueueOutcome, RejectReason, StreamStep};

use crate::call::program::conference::ConferenceJoin;
use crate::call::program::dial::DialledParties;
use crate::call::program::effects::{LowerParts, ProgramEffect};
use crate::call::program::runner::{ProgramRequestOrigin, ProgramWait};
use crate::call::program::{CallProgram, ProgramConnection, conference, fallback_of, first_document, records, streams};
use crate::call::search::controller::Controller;
use crate::call::shared::{CallCx, CallEffect};
use crate::call::words::answer::FinalAnswer;
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;

impl CallProgram {
    /// Carries out one step of the program.
    pub(crate) fn carry_out(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        step: ProgramStep,
    ) -> ProgramEffect {
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        if step.is_reported() {
            run.under_way = Some(Box::new(step.clone()));
        }
        let (media, app) = (&mut lower.bridge.media, &run.app);
        match step {
            ProgramStep::Fetch { id, request } => return self.fetch(cx, id, request),
            ProgramStep::StartRecognition(step) => {
                let failed = self.opened.get_or_insert_default().recognition.start(cx, media, step);
                return failed.map_or(ProgramEffect::Stay, |input| run.take_input(cx.now, input));
            }
            ProgramStep::StopRecognition { id } => self.opened.get_or_insert_default().recognition.stop(cx, id),
            ProgramStep::ReportPartial(request) => {
                self.opened.get_or_insert_default().recognition.report_partial(cx, app, request);
            }
            ProgramStep::Answer => return self.answer(cx, lower),
            ProgramStep::Say { id, say } => {
                run.runner.say(cx.edge, ProgramRequestOrigin::of_call(cx.call, app), id, say)
            }
            ProgramStep::Play { id, location, repeat } => {
                run.runner.play_file(cx.edge, ProgramRequestOrigin::of_call(cx.call, app), (id, repeat), &location);
            }
            ProgramStep::PlayDigits { id, digits, repeat } => {
                return run.play_digits(cx, lower.bridge, (id, repeat), digits);
            }
            ProgramStep::PlayMusic { .. } => conference::play_music(media, cx),
            ProgramStep::Beep { id } => return run.play_sound(cx, media, (id, LoopCount::Times(1)), records::beep()),
            ProgramStep::StopPlaying { .. } => run.stop_playing(cx, media),
            ProgramStep::Record(step) => {
                let failed = records::record(app, cx, lower, step).err();
                return run.end_step_by(cx.now, failed);
            }
            ProgramStep::StopRecord { id } => records::stop_record(cx, &mut lower.recorders.recordings, id),
            ProgramStep::StartRecording(step) => records::start(app, cx, lower, step),
            ProgramStep::Dial(dial) => return self.dial(cx, lower, dial),
            ProgramStep::Conference(step) => match self.conference.join(cx, media, run, step) {
                ConferenceJoin::Unanswered => return self.answer(cx, lower),
                ConferenceJoin::Informed(effect) => return effect,
                ConferenceJoin::Refused(why) => return self.conference_refused(cx, lower, &why),
            },
            ProgramStep::Enqueue(step) => return self.queue.enqueue(cx, media, run, step),
            ProgramStep::LeaveQueue { why, .. } => return self.queue.leave(cx, media, run, why),
            ProgramStep::ConnectQueued { .. } => cx.edge.sessions_mut().queues.ready(cx.call.key),
            ProgramStep::DialQueue(step) => return self.queue.dial(cx, media, run, step),
            ProgramStep::EndDial { .. } if self.queue.has_place() => {
                return self.queue.leave(cx, media, run, QueueOutcome::Bridged);
            }
            ProgramStep::EndDial { .. } if self.conference.is_joined() => return self.conference.end(cx, media, run),
            ProgramStep::EndDial { id } | ProgramStep::EndStream { id } => return self.end_side(cx, lower, id),
            ProgramStep::ConnectStream(stream) => return self.connect_stream(cx, lower, &stream),
            ProgramStep::StartStream(stream) => {
                if let Err(why) = self.opened.get_or_insert_default().streams.start(cx, media, app, &stream) {
                    cx.edge.decide(cx.now, cx.call.key, format!("Stream: {why}"));
                }
            }
            ProgramStep::StopStream { name } => {
                if self.opened.get_or_insert_default().streams.stop(cx, media, &name).is_err() {
                    cx.edge.decide(cx.now, cx.call.key, "Stop: no stream has that name");
                }
            }
            ProgramStep::StartTranscript(step) => {
                self.opened.get_or_insert_default().transcripts.start(cx, media, app, *step)
            }
            ProgramStep::StopTranscript { name } => self.opened.get_or_insert_default().transcripts.stop(cx, &name),
            ProgramStep::StartSiprec(step) => lower.recorders.siprec.start(cx, app, &step),
            ProgramStep::StopSiprec { name } => lower.recorders.siprec.stop(cx, media, &name),
            ProgramStep::Refer { id, uri, headers } => {
                let parties = DialledParties::of(app, run.is_redirected, lower.search);
                let failed = run.referral.send(cx, &parties, id, (uri, &headers));
                return run.end_step_by(cx.now, failed);
            }
            ProgramStep::Reject(reject) => return self.reject(cx, lower, reject),
            ProgramStep::Hangup => return self.program_over(cx, lower, None),
            ProgramStep::Join => return self.end_whisper(cx, lower, true),
            ProgramStep::Failed { code } => return self.program_over(cx, lower, Some(code)),
            ProgramStep::Notify(request) => run.notify(cx, request),
            // Only a program without a caller makes the last request of a Record.
            ProgramStep::NotifyRecorded { .. } => {}
            ProgramStep::Trace(trace) => run.trace_step(cx, &trace),
        }
        ProgramEffect::Stay
    }

    /// Replaces the document of the program, regardless of the step in progress. A document given as text must be
    /// valid.
    ///
    /// # Errors
    /// The call has ended; nothing changes then.
    pub(crate) fn redirect(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        app: &App,
    ) -> Result<ProgramEffect, RequestRefusal> {
        match cx.call.state {
            CallState::Leaving | CallState::Ended => return Err(RequestRefusal::CallEnded),
            CallState::Searching | CallState::Answered | CallState::Rerouting => {}
        }
        // A party that is hearing its document belongs to the Dial that ends.
        self.drop_whisper(cx, lower);
        let Some(run) = &mut self.run else { return Err(RequestRefusal::CallEnded) };
        // Must be set before the first step of the new document, which may be a Dial.
        run.is_redirected = true;
        if run.runner.waits != ProgramWait::Caller {
            run.runner.drop_question(cx.edge);
        }
        self.conference.redirected();
        let time = run.runner.time(cx.now);
        run.under_way = None;
        match run.runner.program.redirect(time, first_document(&app.document), fallback_of(app)) {
            Ok(true) => Ok(ProgramEffect::Run),
            Ok(false) => Err(RequestRefusal::CallEnded),
            Err(_) => Err(RequestRefusal::BadDocument),
        }
    }

    /// Answers the caller once its ports are bound, and connects it with the program.
    fn answer(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> ProgramEffect {
        if cx.call.state != CallState::Searching {
            lower.bridge.media.talk_to_caller(cx);
            return ProgramEffect::Stay;
        }
        if !cx.call.legs.is_bound() {
            self.wait_for_caller(cx);
            return ProgramEffect::Stay;
        }
        self.answer_now(cx, lower)
    }

    /// Answers the caller for the application, and connects it with the application's player once its media address is
    /// known.
    pub(crate) fn answer_now(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> ProgramEffect {
        let Some(app) = self.run.as_ref().map(|run| &run.app) else { return ProgramEffect::Stay };
        let linked = app.as_conference().and_then(|name| cx.call.linked(cx.edge, name));
        match lower.bridge.answer_first(cx, linked.into_iter().collect()) {
            Ok(CallEffect::Stay) => {}
            Ok(next) => return ProgramEffect::Next(next),
            Err(failure) => return ProgramEffect::refuse(failure.answer()),
        }
        let sid = cx.call.legs.sid().to_owned();
        let named = Some(app).filter(|app| app.as_mailbox().is_some() || app.is_conference());
        let by = named.map_or_else(|| "an application".to_owned(), |app| app.target());
        cx.edge.log(&sid, format!("answered for {by}"), None);
        cx.call.story.app.get_or_insert_default().answered = Some(app.target().into());
        if lower.bridge.waits_for_ack(cx.call) {
            cx.edge.decide(cx.now, cx.call.key, "waiting for the caller's ACK with its media address");
            self.wait_for_caller(cx);
        } else {
            lower.bridge.media.talk_to_caller(cx);
        }
        ProgramEffect::Stay
    }

    fn wait_for_caller(&mut self, cx: &mut CallCx<'_>) {
        if cx.call.state == CallState::Searching {
            cx.arm(CallTimer::Ports, PORTS_NEWS);
        }
        if let Some(run) = &mut self.run {
            run.runner.waits = ProgramWait::Caller;
        }
    }

    fn reject(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, reject: RejectReason) -> ProgramEffect {
        if cx.call.state != CallState::Searching {
            return self.program_over(cx, lower, None);
        }
        let code = match reject {
            RejectReason::Busy => 486,
            RejectReason::Rejected => 603,
        };
        ProgramEffect::refuse(FinalAnswer::new(code, ReasonSlug::AppRejected))
    }

    /// Connects the caller with a media stream.
    fn connect_stream(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        stream: &StreamStep,
    ) -> ProgramEffect {
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        cx.edge.decide(cx.now, cx.call.key, format!("Connect: stream to {}", stream.url));
        run.side = Some(ProgramConnection::new(stream.id, true));
        let agent = Arc::new(streams::agent_of(&run.app, stream));
        self.opened.get_or_insert_default().streams.add_connected(&run.app, stream);
        lower.bridge.media.end_talk();
        lower.search.controller = Controller::plan_of(vec![CallTarget::Agent(agent)]);
        ProgramEffect::search_on()
    }
}
