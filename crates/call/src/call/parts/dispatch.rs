//! The dispatch of events to the parts of a call, by its state: see the table at the head of each room.

use trunkgate_resources::limits::NUMBER_CHARS;
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::index::Purpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::TargetSpec;
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::agent_leg::Role;
use crate::call::legs::event::CallEvent;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::coaching::Coaching;
use crate::call::media::local::Listener;
use crate::call::parts::Parts;
use crate::call::parts::effects::in_program;
use crate::call::program::effects::LowerParts;
use crate::call::search::controller::Controller;
use crate::call::shared::Cx;
use crate::call::story::silent_agent;
use crate::call::words::answer::{FinalAnswer, refuse_request};
use crate::call::words::incoming::Incoming;
use crate::call::words::state::State;

impl Parts {
    /// Does what has been waiting for a change: the way back from an early change, a REFER, legs that are to be asked, and reports
    /// of parties that a program has dialled.
    pub(super) fn poll(&mut self, cx: &mut Cx<'_>) {
        let search = &self.search;
        self.bridge.negotiation.end_early_change(cx, |call, leg| search.calling_on(call, leg).is_some());
        let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders);
        self.transfers.serve_waiting(cx, lower).act(self, cx);
        self.bridge.negotiation.ask_the_owed(cx, &self.search.ringing());
        self.program.report_progress(cx, &self.search);
        self.program.report_streams(cx, &self.search, false);
        self.recorders.begin_by_route(cx, &mut self.bridge.media).act(self, cx);
        self.program.reports.follow(cx);
    }

    /// Takes an event. One flat match over (state, event): see the table at the head of each room.
    pub(crate) fn handle(&mut self, cx: &mut Cx<'_>, event: CallEvent) {
        use CallEvent as E;
        use State::{Answered, Ended, Leaving, Rerouting, Searching};
        match (cx.call.state, event) {
            (Searching, E::Canceled { elsewhere, .. }) => {
                cx.call.facts.answered_elsewhere = elsewhere;
                self.caller_left(cx, ReasonSlug::CallerCanceled);
            }
            (Answered, E::Canceled { server, .. }) => self.bridge.canceled_later(cx, server).act(self, cx),
            (Rerouting | Leaving, E::Canceled { .. }) => self.caller_withdrew_answered(cx),
            (Ended, E::Canceled { .. }) => {}

            (Answered | Rerouting | Leaving, E::Acked { leg, sdp }) => self.bridge.acked(cx, leg, sdp).act(self, cx),
            (Searching | Ended, E::Acked { .. }) => {}
            (_, E::Pracked { leg, server: Some(server), sdp }) => {
                self.bridge.offered_in_prack(cx, &self.search.ringing(), leg, server, sdp).act(self, cx)
            }
            (Searching | Answered | Rerouting | Leaving, E::Pracked { leg, server: None, sdp }) => {
                self.bridge.acknowledged_early(cx, leg, sdp).act(self, cx);
            }
            (Ended, E::Pracked { server: None, .. } | E::PrackMissing) => {}
            (Searching | Answered | Rerouting | Leaving, E::PrackMissing) => cx.not_acknowledged_early().act(self, cx),
            (Answered | Rerouting | Leaving, E::AckMissing { leg }) => self.ack_missing(cx, leg),
            (Searching | Ended, E::AckMissing { .. }) => {}

            (Searching, E::Bye { leg: LegId::CALLER, .. }) => self.caller_left_by_bye(cx),
            (Answered | Rerouting | Leaving, E::Bye { leg, headers }) => self.hung_up(cx, leg, headers),
            (Searching | Ended, E::Bye { leg, .. }) => cx.call.legs.leg_gone(cx.edge, leg),
            (Searching | Rerouting, E::EarlyBye { leg }) => self.left_while_ringing(cx, leg),
            (Answered | Leaving | Ended, E::EarlyBye { .. }) => {}

            (Rerouting, E::Update { leg, server, sdp: Some(_), .. }) if self.search.consults.asks(leg) => {
                refuse_request(cx.now, cx.edge, server, 491);
            }
            // Its party and the caller do not hear each other yet, and are not to.
            (Answered, E::Reinvite { server, .. } | E::Update { server, sdp: Some(_), .. })
                if self.program.is_whispering() =>
            {
                refuse_request(cx.now, cx.edge, server, 491);
            }
            (Searching, E::Reinvite { server, .. }) => refuse_request(cx.now, cx.edge, server, 491),
            (Answered | Rerouting | Leaving, E::Reinvite { leg, server, sdp, session }) => {
                self.bridge
                    .reinvited(cx, &self.search.ringing(), leg, server, (sdp, session), Purpose::Reinvite)
                    .act(self, cx);
            }
            (Searching | Answered | Rerouting | Leaving, E::Update { leg, server, sdp, session }) => {
                self.bridge.updated(cx, &self.search.ringing(), leg, server, (sdp, session)).act(self, cx);
            }
            (Ended, E::Reinvite { server, .. } | E::Update { server, .. }) => {
                refuse_request(cx.now, cx.edge, server, 481)
            }

            (Rerouting, E::Info { leg, server, info }) if self.search.consults.asks(leg) && info.is_digit() => {
                self.search.consults.informed(cx, server, &info).act(self, cx);
            }
            (Rerouting, E::Info { leg, server, info }) if self.program.takes_info(cx.call, leg, &info) => {
                self.program.with_run(|run| run.informed(cx, server, &info)).act(self, cx);
            }
            (_, E::Info { leg, server, info }) => self.bridge.informed(cx, leg, server, *info),
            (_, E::InfoAnswered { client, code }) => {
                self.bridge.negotiation.info_answered(cx, client, code).act(self, cx)
            }
            (Ended, E::Refer { server, .. }) => refuse_request(cx.now, cx.edge, server, 481),
            (_, E::Refer { leg, server, refer }) => {
                let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders);
                self.transfers.referred(cx, lower, leg, server, *refer).act(self, cx);
            }
            (_, E::Told { leg, server, told }) if self.program.has_referred(cx.call, leg) => {
                self.program.refer_reported(cx, server, &told).act(self, cx);
            }
            (_, E::PassedAnswered { client, code }) if self.program.refers_by(client) => {
                self.program.refer_answered(cx, code).act(self, cx);
            }
            (_, E::Told { leg, server, told }) => self.transfers.told(cx, leg, server, &told),
            (_, E::Unjoined { client, reason }) => self.unjoined(cx, client, reason),
            (_, E::PassedAnswered { client, code }) => self.transfers.passed_answered(cx, client, code),
            (_, E::Notified { client, taken }) => self.transfers.notified(cx, client, taken),

            (Searching | Rerouting, E::Trying { leg }) => self.search.heard(cx, leg),
            (Searching | Rerouting, E::Challenged { leg }) => self.search.challenged(cx, leg),
            (Searching | Rerouting, E::Provisional { leg, code, dialog, sdp, is_reliable, headers }) => {
                let said = (code, dialog, sdp, is_reliable);
                if self.search.provisional(cx, &mut self.bridge, leg, said, &headers) {
                    self.transfers.tell_news(cx, code);
                }
            }
            (Answered | Leaving | Ended, E::Trying { .. } | E::Challenged { .. } | E::Provisional { .. }) => {}
            (Searching | Rerouting, E::Accepted { leg, dialog, sdp, headers, session }) => {
                self.accepted(cx, leg, (dialog, sdp), &headers);
                cx.session_taken(leg, session);
            }
            (Answered | Leaving | Ended, E::Accepted { leg, dialog, .. }) => {
                cx.accepted_too_late(leg, dialog);
            }
            (Searching | Rerouting, E::Rejected { leg, said, q850, detail, headers, contacts }) => {
                self.rejected(cx, leg, (said, q850, detail), &headers, &contacts);
            }
            (Searching | Rerouting, E::Unanswered { leg, sent }) => self.unanswered(cx, leg, sent),
            (Answered | Leaving | Ended, E::Rejected { leg, .. } | E::Unanswered { leg, .. }) => {
                cx.call.legs.withdrawn(cx.edge, leg);
            }

            (Searching | Answered, E::ReinviteAnswered { client, code, dialog, sdp, session }) => {
                self.bridge
                    .reinvite_answered(cx, &self.search.ringing(), client, code, (dialog, sdp), session)
                    .act(self, cx);
            }
            (Rerouting | Leaving | Ended, E::ReinviteAnswered { code, dialog, .. }) => {
                if let Some(dialog) = dialog.filter(|_| (200..300).contains(&code)) {
                    cx.edge.ack(cx.now, dialog);
                }
            }
            (Searching | Answered, E::ReinviteUnanswered { client }) => {
                self.bridge.reinvite_unanswered(cx, client).act(self, cx)
            }
            (Rerouting | Leaving | Ended, E::ReinviteUnanswered { .. }) => {}

            (_, E::Refreshed { leg, client, code, dialog, sdp, session }) => {
                self.bridge.refresh_answered(cx, (leg, client), code, (dialog, sdp), session).act(self, cx);
            }
            (_, E::SessionTooShort { leg, least }) => cx.call.legs[leg].timer.lengthen(least),

            (_, E::HoldChecked { client, alive }) => {
                self.bridge.negotiation.hold_checked(cx, client, alive).act(self, cx)
            }

            (_, E::ByeDone { leg }) => cx.call.legs.leg_gone(cx.edge, leg),

            (Searching | Rerouting, E::Resolved { query, found }) => self.resolved(cx, query, &found),
            (Answered | Leaving | Ended, E::Resolved { .. }) => {}
            (Searching | Rerouting, E::Due(Timer::NoResponse(branch))) => self.no_response(cx, branch),
            (Searching | Rerouting, E::Due(Timer::Ring(branch))) => self.ring_timeout(cx, branch),
            (Searching | Rerouting, E::Due(Timer::Pace(branch))) => self.try_again(cx, branch),
            (Searching | Rerouting, E::Due(Timer::Queue)) => self.next_in_line(cx),
            (Searching | Rerouting, E::Due(Timer::Retry)) => self.retry_due(cx),
            (_, E::Due(Timer::Search)) => self.search_over(cx),
            (Searching, E::Due(Timer::Ports)) => self.bound(cx, None),
            (Answered | Rerouting | Leaving | Ended, E::Due(Timer::Ports)) => {}
            (Answered | Leaving | Ended, E::Due(Timer::NoResponse(_) | Timer::Ring(_) | Timer::Pace(_))) => {}
            (Answered | Leaving | Ended, E::Due(Timer::Queue | Timer::Retry)) => {}
            (Answered | Rerouting, E::Due(Timer::MaxCall)) => self.max_call_over(cx),
            (Searching | Leaving | Ended, E::Due(Timer::MaxCall)) => {}
            (_, E::Due(Timer::Withdrawn)) => cx.withdrawn_for_good(),
            (_, E::Due(Timer::Goodbye)) => self.goodbye_overdue(cx),
            (_, E::Due(Timer::Glare)) => drop(cx.call.deadlines.remove(Timer::Glare)),
            (_, E::Due(Timer::Update)) => self.bridge.negotiation.update_overdue(cx),
            (_, E::Due(Timer::Refer)) => self.transfers.refer_overdue(cx),
            (_, E::Due(Timer::Referrer)) => self.transfers.referrer_overdue(cx, &mut self.bridge),
            (_, E::Due(Timer::Session)) => {
                self.bridge.sessions_due(cx).act(self, cx);
                self.recorders.siprec.sessions_due(cx, &mut self.bridge.media).act(self, cx);
            }
            (_, E::Due(Timer::HoldCheck)) => self.bridge.negotiation.check_hold(cx),
            (_, E::Due(Timer::Quality)) => self.bridge.sample_quality(cx),
            (_, E::Due(Timer::Asked)) => self.search.consults.asked_time_over(cx).act(self, cx),
            (_, E::Due(Timer::Key)) => self.bridge.negotiation.key_due(cx),
            (_, E::Due(Timer::Unproven)) => cx.early_grant_over(),

            (Searching | Rerouting, E::BindFailed { end, error }) => self.bind_failed(cx, end, &error),
            (Answered | Leaving, E::BindFailed { end, error }) => {
                self.bridge.bind_failed_later(cx, end, &error).act(self, cx)
            }
            (Searching, E::Bound { end }) => self.bound(cx, Some(end)),
            (Answered | Rerouting | Leaving | Ended, E::Bound { .. }) => {}
            (Searching | Answered | Rerouting | Leaving, E::Latched { end, source }) => {
                cx.latched(end, source);
            }
            (Answered, E::Idle { end }) if self.program.is_end_of_side(cx.call, end) => {
                in_program(self, cx, |program, cx, lower| program.side_fell_silent(cx, lower));
            }
            (Answered | Rerouting, E::Idle { end }) => cx.idle(end).act(self, cx),
            (Searching | Leaving, E::Idle { .. }) => {}
            (Answered, E::Unheard { end, stranger }) => self.bridge.media.unheard(cx, end, stranger),
            (Answered, E::Stopped { end, silent }) => self.bridge.media.stopped(cx, end, silent),
            (Searching | Rerouting | Leaving | Ended, E::Unheard { .. } | E::Stopped { .. }) => {}
            (Searching, E::MediaLost) => self.refuse(cx, &FinalAnswer::new(500, ReasonSlug::Internal)),
            (Answered | Rerouting | Leaving, E::MediaLost) => self.end(cx, ReasonSlug::Internal),
            (Ended, E::BindFailed { .. } | E::Latched { .. } | E::Idle { .. } | E::MediaLost) => {}

            (_, event) if self.program.is_transcribed(&event) => {
                self.program.transcripts_mut().handle(cx, &mut self.bridge.media, event);
            }
            (_, event) if self.program.is_recognised(&event) => {
                self.program.recognised(cx, event).act(self, cx);
            }
            // Of a recogniser that was let go.
            (_, E::Recognised { .. }) => {}
            (_, E::Judged { end, verdict }) => self.search.consults.judged(cx, end, verdict).act(self, cx),
            // Events of recorders: see `Recorders::handle`.
            (_, E::Due(Timer::Siprec(_)) | E::RecorderEnded { .. } | E::RecorderSilent { .. }) => {}

            (Searching | Answered | Rerouting | Leaving, E::AgentOpen { end }) => self.agent_open(cx, end),
            (Searching | Answered | Rerouting | Leaving, E::AgentLost { end, loss }) => {
                self.agent_lost(cx, end, loss);
            }
            (Searching | Answered | Rerouting | Leaving, E::AgentEnded { end }) => self.agent_ended(cx, end),
            (Searching | Answered | Rerouting | Leaving, E::AgentRequest { end, request }) => {
                self.agent_requests(cx, end, request);
            }
            (_, E::AgentSpoke { end }) => cx.call.legs.agent_spoke(cx.now, cx.edge, end),
            (_, E::AgentNote { end, text, logged }) => {
                cx.call.legs.agent_note(cx.now, cx.edge, end, &text, logged);
                silent_agent::look(cx);
            }
            (_, E::Key { end, key, .. }) if self.search.consults.asks_at(cx, end) => {
                self.search.consults.digit_pressed(cx, key).act(self, cx);
            }
            (_, E::Key { end, key, ms }) => {
                cx.note_digit(end);
                if let Some(party) = self.bridge.media.coached_party_of(end) {
                    self.bridge.press_for_called(cx, party, &key.to_string());
                    return;
                }
                match self.program.takes_digits_of(cx.call, &self.bridge.media, end) {
                    true => self.program.with_run(|run| run.digit_pressed(cx.now, key)).act(self, cx),
                    false => self.bridge.negotiation.key_pressed(cx, end, (key, ms)),
                }
            }
            (_, E::AppAnswered { query, answer }) if self.search.consults.wants_whisper(query) => {
                self.search.consults.whisper_came(cx, &self.bridge.media, query, *answer).act(self, cx);
            }
            (_, E::AppAnswered { query, answer }) => {
                self.program.app_answered(cx, &mut self.bridge.media, query, *answer).act(self, cx);
            }
            (_, E::Queue(news)) => self.program.queue_news(cx, &mut self.bridge.media, news).act(self, cx),
            (_, E::Due(Timer::Queued)) => self.program.queue_due(cx, &mut self.bridge.media).act(self, cx),
            (_, E::Conference(_)) if self.bridge.media.is_coached() => {
                let reason = (ReasonSlug::ConferenceRefused, EndedBy::Edge);
                Coaching::end(&mut self.bridge.media, cx, reason);
            }
            (_, E::Conference(news)) => self.program.conference_news(cx, &mut self.bridge.media, news).act(self, cx),
            (_, E::Due(Timer::Program)) => self.program.program_due(cx, &mut self.bridge).act(self, cx),
            (_, E::Due(timer @ (Timer::DialLimit | Timer::DialAnswer))) => {
                in_program(self, cx, |program, cx, lower| program.dial_time_over(cx, lower, timer));
            }
            (_, E::Played { end }) => self.played(cx, end),
            (Ended, E::AgentOpen { .. } | E::AgentLost { .. } | E::AgentEnded { .. } | E::AgentRequest { .. }) => {}

            (_, E::Due(Timer::TimeLimit)) => self.time_limit_over(cx),

            (Searching, E::Hangup(reason)) => self.ended_by_operator(cx, reason),
            (Answered | Rerouting | Leaving, E::Hangup(reason)) => self.end(cx, reason),
            (Ended, E::Hangup(_)) => {}
        }
    }

    /// Looks at the INVITE, and goes to the first target or refuses it.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>, incoming: &Incoming) {
        let (from, to) = (
            cx.edge.shown(&cx.call.facts.caller.shown()),
            cx.edge.shown(&plain(&cx.call.facts.called.text, NUMBER_CHARS)),
        );
        let text = format!("call from {from} to {to} on trunk {}", incoming.trunk.name);
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, text, None);
        cx.edge.trace_received(cx.now, cx.call.legs.place(LegId::CALLER));
        cx.edge.trace_trying(cx.now, cx.call.legs.place(LegId::CALLER), incoming.server);
        let planned = self.search.find_plan(cx, &mut self.bridge, incoming).and_then(|mut plan| {
            self.recorders.plan(cx, &mut plan)?;
            self.search.take_plan(cx, &mut self.bridge, plan)
        });
        match planned {
            Ok(()) => self.advance(cx, None),
            Err(answer) => self.refuse(cx, &answer),
        }
    }

    /// Connects the agents of a restored call, once all calls have their ports.
    pub(crate) fn resume<'l>(
        &mut self,
        cx: &mut Cx<'_>,
        listeners: impl Iterator<Item = (&'l Listener, Role)>,
        targets: &[TargetSpec],
    ) {
        cx.begin_series();
        cx.arm_sessions();
        self.requested.iter().for_each(|requested| requested.arm_time_limit(cx));
        self.bridge.media.note_conversion(cx.call, cx.call.legs.ids());
        for (listener, part) in listeners {
            match listener.agent(cx.edge) {
                Some(agent) => {
                    cx.add_agent(&agent, part);
                }
                None => cx.edge.decide(cx.now, cx.call.key, listener.left_out()),
            }
        }
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

    pub(crate) fn turn_down(&mut self, cx: &mut Cx<'_>, incoming: &Incoming, answer: &FinalAnswer, which: &str) {
        cx.call.story.is_turned_down = true;
        if !which.is_empty() {
            cx.call.story.proof = Some((answer.reason, which.into()));
        }
        // It was never one of its trunk's.
        cx.call.legs[LegId::CALLER].has_left = true;
        cx.edge.trace_received(cx.now, cx.call.legs.place(LegId::CALLER));
        cx.edge.trace_trying(cx.now, cx.call.legs.place(LegId::CALLER), incoming.server);
        self.refuse(cx, answer);
    }
}
