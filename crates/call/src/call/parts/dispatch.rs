//! Dispatch of events to the rooms of a call. Each room's `mod.rs` has the table of its events by state; events of
//! several rooms are handled here.

use trunkgate_media::{EndId, MediaEvent};
use trunkgate_resources::limits::NUMBER_CHARS;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::TargetSpec;
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::agent_leg::AgentRole;
use crate::call::legs::event::{CallEvent, NegotiationEvent, ProgramEvent, TransferEvent};
use crate::call::media::local::ForkDestination;
use crate::call::parts::CallParts;
use crate::call::parts::effects::in_program;
use crate::call::program::effects::LowerParts;
use crate::call::search::controller::Controller;
use crate::call::shared::CallCx;
use crate::call::words::answer::{FinalAnswer, refuse_request};
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::state::CallState;

impl CallParts {
    /// Runs the work that waits for a change of the call: cancels session changes before the answer if their target is
    /// gone, serves a deferred REFER, sends pending re-INVITEs, and reports the parties that a program has dialled.
    pub(super) fn poll(&mut self, cx: &mut CallCx<'_>) {
        let search = &self.search;
        self.bridge.negotiation.end_early_change(cx, |call, leg| search.calling_on(call, leg).is_some());
        let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders);
        self.transfers.serve_waiting(cx, lower).act(self, cx);
        self.bridge.negotiation.send_pending_offer(cx, &self.search.ringing());
        self.program.report_progress(cx, &self.search);
        self.program.report_streams(cx, &self.search, false);
        self.recorders.begin_by_route(cx, &mut self.bridge.media).act(self, cx);
        self.program.reports.follow(cx);
    }

    /// Dispatches an event: first the cases that concern two modules, then each event group to its module.
    pub(crate) fn handle(&mut self, cx: &mut CallCx<'_>, event: CallEvent) {
        use CallEvent as E;
        use CallState::{Answered, Rerouting};
        use NegotiationEvent as N;
        match (cx.call.state, event) {
            // The prompted party of a warm transfer and the caller do not hear each other yet.
            (Rerouting, E::Negotiation(N::Update { leg, server, sdp: Some(_), .. }))
                if self.search.consults.asks(leg) =>
            {
                refuse_request(cx.now, cx.edge, server, 491);
            }
            (Answered, E::Negotiation(N::Reinvite { server, .. } | N::Update { server, sdp: Some(_), .. }))
                if self.program.is_whispering() =>
            {
                refuse_request(cx.now, cx.edge, server, 491);
            }
            (Rerouting, E::Negotiation(N::Info { leg, server, info }))
                if self.search.consults.asks(leg) && info.is_digit() =>
            {
                self.search.consults.informed(cx, server, &info).act(self, cx);
            }
            (Rerouting, E::Negotiation(N::Info { leg, server, info }))
                if self.program.takes_info(cx.call, leg, &info) =>
            {
                self.program.with_run(|run| run.informed(cx, server, &info)).act(self, cx);
            }
            (_, E::Transfer(TransferEvent::Reported { leg, server, report }))
                if self.program.has_referred(cx.call, leg) =>
            {
                self.program.refer_reported(cx, server, &report).act(self, cx);
            }
            (_, E::Transfer(TransferEvent::PassedAnswered { client, code })) if self.program.refers_by(client) => {
                self.program.refer_answered(cx, code).act(self, cx);
            }
            (_, E::Program(ProgramEvent::Answered { query, answer })) if self.search.consults.wants_whisper(query) => {
                self.search.consults.whisper_came(cx, &self.bridge.media, query, *answer).act(self, cx);
            }
            (_, E::Side(event)) => self.handle_side(cx, event),
            (_, E::Search(event)) => self.handle_target(cx, event),
            (_, E::Negotiation(event)) => self.bridge.handle(cx, &self.search.ringing(), event).act(self, cx),
            (_, E::Transfer(event)) => {
                let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders);
                self.transfers.handle(cx, lower, event).act(self, cx);
            }
            (_, E::Program(event)) => self.program.handle(cx, &mut self.bridge.media, event).act(self, cx),
            (_, E::Media(event)) => self.handle_media(cx, event),
            (_, E::Due(timer)) => self.due(cx, timer),
        }
    }

    /// Handles an event of the media session: of an agent, recorder, detector, player or RTP end.
    fn handle_media(&mut self, cx: &mut CallCx<'_>, event: MediaEvent) {
        use CallState::{Answered, Ended, Leaving, Rerouting, Searching};
        use MediaEvent as E;
        match (cx.call.state, event) {
            (_, E::Agent { end, event }) if self.program.listens_by(end) => {
                self.program.heard(cx, &mut self.bridge.media, end, event).act(self, cx);
            }
            (_, E::Agent { end, event }) => self.handle_agent(cx, end, event),
            (_, E::Recorder { end, event }) => self.recorders.handle(cx, end, event).act(self, cx),
            (_, E::Judged { end, verdict }) if self.recorders.detections.has(end) => {
                self.recorders.detections.judged(cx, end, verdict, self.program.is_running()).act(self, cx);
            }
            (_, E::Judged { end, verdict }) => self.search.consults.judged(cx, end, verdict).act(self, cx),
            (_, E::Key { end, key, ms }) => self.key_pressed(cx, end, (key, ms)),
            (_, E::Played { end }) => self.played(cx, end),
            (Searching | Rerouting, E::BindFailed { end, error }) => self.bind_failed(cx, end, &error),
            (Answered | Leaving, E::BindFailed { end, error }) => {
                self.bridge.bind_failed_later(cx, end, &error).act(self, cx);
            }
            (Searching, E::Bound { end }) => self.bound(cx, Some(end)),
            (Answered | Rerouting | Leaving | Ended, E::Bound { .. }) => {}
            (Searching | Answered | Rerouting | Leaving, E::Latched { end, source }) => cx.latched(end, source),
            (Answered, E::Idle { end }) if self.program.is_end_of_side(cx.call, end) => {
                in_program(self, cx, |program, cx, lower| program.side_fell_silent(cx, lower));
            }
            (Answered | Rerouting, E::Idle { end }) => cx.idle(end).act(self, cx),
            (Answered, E::Unheard { end, stranger }) => self.bridge.media.unheard(cx, end, stranger),
            (Answered, E::Stopped { end, silent }) => self.bridge.media.stopped(cx, end, silent),
            (Searching | Rerouting | Leaving | Ended, E::Unheard { .. } | E::Stopped { .. }) => {}
            (Searching, E::Closed) => self.refuse(cx, &FinalAnswer::new(500, ReasonSlug::Internal)),
            (Answered | Rerouting | Leaving, E::Closed) => self.end(cx, ReasonSlug::Internal),
            (Searching | Leaving | Ended, E::Idle { .. })
            | (Ended, E::BindFailed { .. } | E::Latched { .. } | E::Closed) => {}
            // The edge already has the ports back.
            (_, E::EndClosed { .. }) => {}
        }
    }

    /// Handles an expired timer of the call, according to the call's state.
    fn due(&mut self, cx: &mut CallCx<'_>, timer: CallTimer) {
        use CallState::{Answered, Ended, Leaving, Rerouting, Searching};
        use CallTimer as T;
        match (cx.call.state, timer) {
            (Searching | Rerouting, T::NoResponse(branch)) => self.no_response(cx, branch),
            (Searching | Rerouting, T::Ring(branch)) => self.ring_timeout(cx, branch),
            (Searching | Rerouting, T::Pace(branch)) => self.try_again(cx, branch),
            (Searching | Rerouting, T::Queue) => self.next_in_line(cx),
            (Searching | Rerouting, T::Retry) => self.retry_due(cx),
            (Answered | Leaving | Ended, T::NoResponse(_) | T::Ring(_) | T::Pace(_) | T::Queue | T::Retry) => {}
            (_, T::Search) => self.search_over(cx),
            (_, T::Withdrawn) => cx.withdrawn_for_good(),
            (Searching, T::Ports) => self.bound(cx, None),
            (Answered | Rerouting | Leaving | Ended, T::Ports) => {}
            (Answered | Rerouting, T::MaxCall) => self.max_call_over(cx),
            (Searching | Leaving | Ended, T::MaxCall) => {}
            (_, T::Goodbye) => self.goodbye_overdue(cx),
            (_, T::TimeLimit) => self.time_limit_over(cx),
            (_, T::Glare) => drop(cx.call.deadlines.remove(T::Glare)),
            (_, T::Update) => self.bridge.negotiation.update_overdue(cx),
            (_, T::Session) => {
                self.bridge.sessions_due(cx).act(self, cx);
                self.recorders.siprec.sessions_due(cx, &mut self.bridge.media).act(self, cx);
            }
            (_, T::HoldCheck) => self.bridge.negotiation.check_hold(cx),
            (_, T::Quality) => self.bridge.sample_quality(cx),
            (_, T::Key) => self.bridge.negotiation.key_due(cx),
            (_, T::Unproven) => cx.early_grant_over(),
            (_, T::Refer) => self.transfers.refer_overdue(cx),
            (_, T::Referrer) => self.transfers.referrer_overdue(cx, &mut self.bridge),
            (_, T::Asked) => self.search.consults.asked_time_over(cx).act(self, cx),
            (_, T::Queued) => self.program.queue_due(cx, &mut self.bridge.media).act(self, cx),
            (_, T::Program) => self.program.program_due(cx, &mut self.bridge).act(self, cx),
            (_, T::DialLimit | T::DialAnswer) => {
                in_program(self, cx, |program, cx, lower| program.dial_time_over(cx, lower, timer));
            }
            (_, T::Siprec(at)) => self.recorders.siprec.due(cx, &mut self.bridge.media, at.into()).act(self, cx),
        }
    }

    /// Passes a digit of a remote party to its receiver: the prompt of a warm transfer, a coached party, the program,
    /// or the other side.
    fn key_pressed(&mut self, cx: &mut CallCx<'_>, end: EndId, (key, ms): (char, u32)) {
        if self.search.consults.asks_at(cx, end) {
            return self.search.consults.digit_pressed(cx, key).act(self, cx);
        }
        cx.note_digit(end);
        if let Some(party) = self.bridge.media.coached_party_of(end) {
            self.bridge.press_for_called(cx, party, &key.to_string());
        } else if self.program.takes_digits_of(cx.call, &self.bridge.media, end) {
            self.program.with_run(|run| run.digit_pressed(cx.now, key)).act(self, cx);
        } else {
            self.bridge.negotiation.key_pressed(cx, end, (key, ms));
        }
    }

    /// Begins the call of an INVITE: tries the first target or refuses it. Every INVITE is screened; what follows
    /// decides who gets the call.
    pub(crate) fn begin(&mut self, cx: &mut CallCx<'_>, incoming: &IncomingInvite) {
        let (from, to) = (
            cx.edge.shown(&cx.call.facts.caller.shown()),
            cx.edge.shown(&plain(&cx.call.facts.called.text, NUMBER_CHARS)),
        );
        let text = format!("call from {from} to {to} on trunk {}", incoming.trunk.name);
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, text, None);
        cx.edge.trace_received(cx.now, cx.call.legs.place(LegId::CALLER));
        cx.edge.trace_trying(cx.now, cx.call.legs.place(LegId::CALLER), incoming.server);
        match self.find_targets(cx, incoming) {
            Ok(()) => self.advance(cx, None),
            Err(answer) => self.refuse(cx, &answer),
        }
    }

    fn find_targets(&mut self, cx: &mut CallCx<'_>, incoming: &IncomingInvite) -> Result<(), FinalAnswer> {
        self.search.screen_invite(cx, &mut self.bridge, incoming)?;
        let mut plan = self.search.find_plan(cx, incoming)?;
        self.recorders.plan(cx, &mut plan)?;
        self.search.take_plan(cx, &mut self.bridge, plan)
    }

    /// Continues a restored call: connects its agents once all calls have their ports. An agent whose stream continues
    /// gets the call at once: until the worker has reported the open socket, the agent would miss audio.
    pub(crate) fn resume<'l>(
        &mut self,
        cx: &mut CallCx<'_>,
        listeners: impl Iterator<Item = (&'l ForkDestination, AgentRole)>,
        targets: &[TargetSpec],
    ) {
        self.continue_call(cx, listeners, targets);
        for end in cx.call.legs.continued_agents() {
            self.agent_open(cx, end);
        }
    }

    fn continue_call<'l>(
        &mut self,
        cx: &mut CallCx<'_>,
        listeners: impl Iterator<Item = (&'l ForkDestination, AgentRole)>,
        targets: &[TargetSpec],
    ) {
        cx.begin_series();
        cx.arm_sessions();
        self.requested.iter().for_each(|requested| requested.arm_time_limit(cx));
        self.bridge.media.note_conversion(cx.call, cx.call.legs.ids());
        self.recorders.resume(cx, &mut self.bridge.media).act(self, cx);
        if matches!(cx.call.state, CallState::Leaving | CallState::Ended) {
            return;
        }
        let mut connected = Vec::new();
        for (at, (listener, part)) in listeners.enumerate() {
            let agent = listener.agent(cx.edge).map(|agent| self.program.with_app_settings(at, agent));
            if agent.is_none() {
                cx.edge.decide(cx.now, cx.call.key, listener.left_out());
            }
            connected.push(agent.and_then(|agent| cx.add_agent(&agent, part)));
        }
        self.program.resume_opened(cx, &self.bridge.media, &connected);
        let has_program = self.program.is_running();
        if has_program {
            in_program(self, cx, |program, cx, lower| program.resume(cx, lower, targets));
        }
        if has_program || cx.call.legs.callee.is_some() {
            self.bridge.media.play_to_held(cx);
            self.bridge.end_lost_sounds(cx);
            self.recorders.begin_by_route(cx, &mut self.bridge.media).act(self, cx);
            return self.bridge.media.tap_caller(cx);
        }
        let targets = targets.iter().filter_map(|target| cx.edge.target(target)).collect();
        self.search.controller = Controller::resume(targets);
        self.search_on(cx);
    }

    pub(crate) fn turn_down(
        &mut self,
        cx: &mut CallCx<'_>,
        incoming: &IncomingInvite,
        answer: &FinalAnswer,
        which: &str,
    ) {
        cx.call.story.is_turned_down = true;
        if !which.is_empty() {
            cx.call.story.proof = Some((answer.reason, which.into()));
        }
        // The leg did not count as a call of its trunk, so it must not be removed from the trunk's limits.
        cx.call.legs[LegId::CALLER].has_left = true;
        cx.edge.trace_received(cx.now, cx.call.legs.place(LegId::CALLER));
        cx.edge.trace_trying(cx.now, cx.call.legs.place(LegId::CALLER), incoming.server);
        self.refuse(cx, answer);
    }
}
