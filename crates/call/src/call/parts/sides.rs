//! Changes of a call's sides and its end: agents that connect and disconnect, transfers, hang-ups, the call record.
//!
//! At the end every leg gets the message that its state allows (BYE, CANCEL, a final response), the media session is
//! closed, and one record is written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, AgentRequest, EndId};
use trunkgate_resources::limits::REFERRER_SECONDS;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::LegRef;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::OnClose;
use trunkgate_sdp::{accept, anchored_streams, offer_events};
use trunkgate_sip::ClientId;
use trunkgate_sip::header::SessionExpires;
use trunkgate_story::reason::{ReasonSlug, q850_of_code};
use trunkgate_story::report::CallRecord;
use trunkgate_story::wall::millis;

use crate::call::legs::event::SideEvent;
use crate::call::legs::headers::RelayedHeaders;
use crate::call::legs::leg::LegState;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::coaching::Coaching;
use crate::call::media::wiring::turned;
use crate::call::negotiation::join::LeavingLeg;
use crate::call::parts::effects::in_program;
use crate::call::parts::release::release_slots;
use crate::call::parts::requested;
use crate::call::parts::{Call, CallParts};
use crate::call::program::effects::LowerParts;
use crate::call::program::side::hang_up;
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::shared::{CallCx, CallOutcome, SharedCallState};
use crate::call::story::silent_agent;
use crate::call::transfer::effects::TransferEffect;
use crate::call::transfer::onward;
use crate::call::transfer::warm::TransferMode;
use crate::call::words::answer::{FinalAnswer, TargetFailure, bad_media};
use crate::call::words::state::CallState;

impl CallParts {
    /// Handles an event by which a side leaves or the call ends.
    pub(super) fn handle_side(&mut self, cx: &mut CallCx<'_>, event: SideEvent) {
        use CallState::{Answered, Ended, Leaving, Rerouting, Searching};
        use SideEvent as E;
        match (cx.call.state, event) {
            (Searching, E::Canceled { elsewhere, .. }) => {
                cx.call.facts.answered_elsewhere = elsewhere;
                self.caller_left(cx, ReasonSlug::CallerCanceled);
            }
            (Answered, E::Canceled { server, .. }) => self.bridge.canceled_later(cx, server).act(self, cx),
            (Rerouting | Leaving, E::Canceled { .. }) => self.caller_withdrew_answered(cx),
            (Searching | Answered | Rerouting | Leaving, E::PrackMissing) => cx.not_acknowledged_early().act(self, cx),
            (Answered | Rerouting | Leaving, E::AckMissing { leg }) => self.ack_missing(cx, leg),
            (Searching | Ended, E::AckMissing { .. }) => {}
            (Searching, E::Bye { leg: LegId::CALLER, .. }) => self.caller_left_by_bye(cx),
            (Answered | Rerouting | Leaving, E::Bye { leg, headers }) => self.hung_up(cx, leg, headers),
            (Searching | Ended, E::Bye { leg, .. }) | (_, E::ByeDone { leg }) => cx.call.legs.leg_gone(cx.edge, leg),
            (_, E::Unjoined { client, reason }) => self.unjoined(cx, client, reason),
            (Searching, E::Hangup(reason)) => self.ended_by_operator(cx, reason),
            (Answered | Rerouting | Leaving, E::Hangup(reason)) => self.end(cx, reason),
            (Ended, E::Canceled { .. } | E::PrackMissing | E::Hangup(_)) => {}
        }
    }

    /// Handles an event of an agent that has a leg.
    pub(super) fn handle_agent(&mut self, cx: &mut CallCx<'_>, end: EndId, event: AgentEvent) {
        use AgentEvent as E;
        use CallState::{Answered, Ended, Leaving, Rerouting, Searching};
        match (cx.call.state, event) {
            (Searching | Answered | Rerouting | Leaving, E::Open) => self.agent_open(cx, end),
            (Searching | Answered | Rerouting | Leaving, E::Lost(loss)) => self.agent_lost(cx, end, loss),
            (Searching | Answered | Rerouting | Leaving, E::Ended) => self.agent_ended(cx, end),
            (Searching | Answered | Rerouting | Leaving, E::Request(request)) => self.agent_requests(cx, end, request),
            (Ended, E::Open | E::Lost(_) | E::Ended | E::Request(_)) => {}
            (_, E::Spoke) => cx.call.legs.agent_spoke(cx.now, cx.edge, end),
            (_, E::Note { text, logged }) => {
                cx.call.legs.agent_note(cx.now, cx.edge, end, &text, logged);
                silent_agent::look(cx);
            }
            // A recogniser that was released still reports.
            (_, E::Recognised(_)) => {}
        }
    }

    /// Handles the opened WebSocket of an agent: the agent that is being tried gets the call.
    pub(super) fn agent_open(&mut self, cx: &mut CallCx<'_>, end: EndId) {
        let Some(leg) = cx.call.legs.agent_leg(end).filter(|leg| cx.call.legs[*leg].state == LegState::Trying) else {
            return;
        };
        cx.call.legs[leg].enter(LegState::Answered);
        let Some(side) = &mut cx.call.legs[leg].agent else { return };
        side.opened = Some(cx.now);
        let (name, listens) = (side.agent.name.clone(), side.listens());
        let after = cx.now.saturating_duration_since(side.began);
        cx.edge.agents_mut().opened(&name);
        cx.edge.metrics_mut().agent.sessions += 1;
        cx.edge.metrics_mut().agent.connect_seconds.observe(after.as_secs_f64());
        cx.call.legs.note(cx.now, cx.edge, leg, &format!("open after {} ms", after.as_millis()));
        cx.call.legs.agent_can_be_had(cx.now, cx.edge, leg);
        if !listens && self.search.is_opening(leg) {
            self.agent_takes_call(cx, leg);
        }
    }

    fn agent_takes_call(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        let agent = cx.call.legs[leg].agent.as_ref().map(|side| &side.agent);
        if let Some(agent) = agent.cloned() {
            self.bridge.media.take_sounds(&agent);
        }
        if cx.call.state == CallState::Searching
            && let Some(requested) = &mut self.requested
        {
            let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders);
            return requested.agent_answered(cx, lower, leg).act(self, cx);
        }
        if cx.call.state == CallState::Rerouting {
            cx.call.enter(CallState::Answered);
            self.joined(cx, leg);
            return in_program(self, cx, |program, cx, lower| program.side_joined(cx, lower, leg, None));
        }
        cx.call.enter(CallState::Answered);
        match self.bridge.first_description(cx) {
            Ok(ours) => {
                self.bridge.converse(cx, leg);
                self.bridge.media.stop_player(cx);
                self.search.answer_caller(cx, &mut self.bridge, leg, ours, Vec::new()).act(self, cx);
                in_program(self, cx, |program, cx, lower| program.side_joined(cx, lower, leg, None));
            }
            Err(failure) => {
                cx.call.enter(CallState::Searching);
                self.fail_target(cx, Branch::ALONE, TargetResult::Failed(failure));
            }
        }
    }

    /// Connects an answered party with the caller.
    pub(crate) fn joined(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        self.search.joined(cx, &mut self.bridge, leg);
        self.transfers.target_answered(cx, &mut self.bridge);
    }

    /// Handles the loss of an agent, or a failed connection to it.
    fn agent_lost(&mut self, cx: &mut CallCx<'_>, end: EndId, loss: StreamLoss) {
        let Some(leg) = cx.call.legs.live_agent(end) else { return };
        let Some(side) = &cx.call.legs[leg].agent else { return };
        let listens = side.listens();
        cx.agent_failed(leg, loss);
        let was_had = cx.call.legs[leg].state == LegState::Answered;
        cx.call.legs.note(cx.now, cx.edge, leg, &format!("{}: {loss}", if was_had { "lost" } else { "failed" }));
        let failure = TargetFailure::of_loss(loss);
        cx.call.legs[leg].fail_with(failure.reason);
        let by_far_end = cx.call.legs[leg].end.is_some_and(|end| end.by == EndedBy::FarEnd);
        if let Some(side) = &mut cx.call.legs[leg].agent {
            side.is_gone = by_far_end;
        }
        if listens {
            self.bridge.media.lose_listener(cx, leg, &failure);
        } else if self.search.is_opening(leg) {
            self.fail_target(cx, Branch::ALONE, TargetResult::Failed(failure));
        } else if self.bridge.media.is_coach(leg) {
            Coaching::end(&mut self.bridge.media, cx, (failure.reason, EndedBy::FarEnd));
        } else if cx.call.legs.near == leg {
            self.end(cx, failure.reason);
        } else if cx.call.legs.callee == Some(leg) {
            self.go_on(cx, leg, Some(failure));
        }
    }

    /// Handles an agent's orderly close (WebSocket code 1000).
    fn agent_ended(&mut self, cx: &mut CallCx<'_>, end: EndId) {
        let Some(leg) = cx.call.legs.live_agent(end) else { return };
        cx.call.legs.note(cx.now, cx.edge, leg, "closed with 1000");
        cx.agent_closed(leg, self.search.is_consulting());
        let Some(side) = &mut cx.call.legs[leg].agent else { return };
        side.is_gone = true;
        let (on_close, listens) = (side.agent.on_close, side.listens());
        if listens || cx.call.legs.is_side(leg) {
            cx.call.legs[leg].end_with(ReasonSlug::AgentHungUp, EndedBy::FarEnd);
        }
        match on_close {
            _ if listens => self.bridge.media.close_agent(cx, leg),
            _ if self.bridge.media.is_coach(leg) => {
                Coaching::end(&mut self.bridge.media, cx, (ReasonSlug::AgentHungUp, EndedBy::FarEnd));
            }
            _ if cx.call.legs.near == leg => self.end(cx, ReasonSlug::AgentHungUp),
            _ if cx.call.legs.callee != Some(leg) => {}
            // A consulting agent has already named its caller's next target.
            _ if self.search.is_consulting() => self.go_on(cx, leg, None),
            OnClose::Hangup => self.side_left(cx, ReasonSlug::AgentHungUp),
            OnClose::Next => {
                self.go_on(cx, leg, Some(TargetFailure::unreached(ReasonSlug::AgentHungUp)));
            }
        }
    }

    /// Carries out a request of an agent. Only the agent connected with the caller may make requests; a coach may hang
    /// up.
    fn agent_requests(&mut self, cx: &mut CallCx<'_>, end: EndId, request: AgentRequest) {
        let Some(leg) = cx.call.legs.live_agent(end) else { return };
        if self.bridge.media.is_coach(leg) && request == AgentRequest::Hangup {
            cx.call.legs.note(cx.now, cx.edge, leg, "leaves");
            return Coaching::end(&mut self.bridge.media, cx, (ReasonSlug::AgentHungUp, EndedBy::FarEnd));
        }
        let is_party = cx.call.legs.near == leg;
        if cx.call.legs.callee != Some(leg) && !(is_party && request == AgentRequest::Hangup) {
            let what = if is_party { "that has no caller" } else { "that it is not in" };
            cx.call.legs.note_request(cx.now, cx.edge, leg, &format!("requests an action for a call {what}: ignored"));
            return;
        }
        match request {
            AgentRequest::Hangup => {
                cx.call.legs.note(cx.now, cx.edge, leg, "hangs up");
                cx.call.legs[leg].end_with(ReasonSlug::AgentHungUp, EndedBy::FarEnd);
                cx.agent_ends_call(leg, "hung up");
                self.end(cx, ReasonSlug::AgentHungUp);
            }
            AgentRequest::Dtmf(digits) => self.bridge.press(cx, leg, &digits),
            AgentRequest::Transfer(text) => self.send_on(cx, leg, &text, TransferMode::AtOnce),
            AgentRequest::Consult(text) => self.send_on(cx, leg, &text, TransferMode::Consult),
            AgentRequest::WarmTransfer(text, warm) => self.send_on(cx, leg, &text, TransferMode::Warm(warm)),
        }
    }

    fn send_on(&mut self, cx: &mut CallCx<'_>, leg: LegId, to: &str, mode: TransferMode) {
        let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders);
        onward::requested_by_agent(cx, lower, leg, to, mode).act(self, cx);
    }

    /// Ends an agent's time with the caller, because `max_call` has passed; the agent may be reconnecting.
    pub(crate) fn max_call_over(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::MaxCall);
        let Some(holder) = self.bridge.media.holder.clone() else { return };
        let name = &holder.agent.name;
        let dialled = self.program.connected_agent(cx);
        let leaves = self.search.is_consulting() || dialled.is_some();
        let what = if leaves { "it leaves" } else { "the call ends" };
        cx.edge.decide(cx.now, cx.call.key, format!("{name}: max_call has passed: {what}"));
        let line = format!("{name}: max_call has passed: {what}");
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, line, Some(ReasonSlug::MaxCall));
        if cx.call.legs.agent_in_place_of_caller().is_some() {
            return self.end(cx, ReasonSlug::MaxCall);
        }
        if let Some(leg) = cx.call.legs.callee.filter(|_| self.search.is_consulting()) {
            cx.call.legs[leg].end_with(ReasonSlug::MaxCall, EndedBy::Edge);
            return self.go_on(cx, leg, None);
        }
        if let Some(leg) = dialled {
            return in_program(self, cx, |_, cx, lower| hang_up(cx, lower, leg, ReasonSlug::MaxCall));
        }
        self.search.drop_attempts(cx, &mut self.bridge, ReasonSlug::MaxCall);
        if let Some(leg) = cx.call.legs.callee.take() {
            cx.call.legs[leg].end_with(ReasonSlug::MaxCall, EndedBy::Edge);
            self.bridge.media.close_agent(cx, leg);
        }
        cx.disarm(CallTimer::HoldCheck);
        self.search.controller = Controller::Done;
        cx.call.enter(CallState::Rerouting);
        self.leave(cx, holder.agent.goodbye.clone(), ReasonSlug::MaxCall);
    }

    /// Refuses the caller's INVITE, and ends the call.
    pub(crate) fn refuse(&mut self, cx: &mut CallCx<'_>, answer: &FinalAnswer) {
        if let Some(server) = cx.call.legs[LegId::CALLER].sip.server.take() {
            cx.edge.turn_mut().refused.push(server);
            cx.edge.respond(cx.now, server, answer.to_sip());
        }
        cx.call.legs[LegId::CALLER].enter(LegState::Ended);
        self.finish(cx, answer.reason, answer.code, answer.q850);
    }

    /// Ends the call of a caller that left before the answer; the endpoint has already sent 487.
    pub(crate) fn caller_left(&mut self, cx: &mut CallCx<'_>, reason: ReasonSlug) {
        if let Some(server) = cx.call.legs[LegId::CALLER].sip.server.take() {
            cx.edge.index_mut().servers.remove(&server);
        }
        cx.call.legs[LegId::CALLER].enter(LegState::Ended);
        self.finish(cx, reason, 487, reason.q850());
    }

    /// Handles a BYE of the caller in its early dialog (RFC 3261 §15.1.2): its INVITE is still open.
    fn caller_left_by_bye(&mut self, cx: &mut CallCx<'_>) {
        let answer = FinalAnswer::new(487, ReasonSlug::CallerCanceled);
        self.refuse(cx, &answer);
    }

    /// Ends a call after a CANCEL that crossed our 2xx.
    pub(crate) fn caller_withdrew_answered(&mut self, cx: &mut CallCx<'_>) {
        if cx.call.legs[LegId::CALLER].sip.dialog.is_none() || cx.call.legs[LegId::CALLER].sip.server.is_some() {
            cx.call.legs[LegId::CALLER].enter(LegState::Ended);
        }
        self.end(cx, ReasonSlug::CallerCanceled);
    }

    /// Handles the BYE of a remote party in an answered call.
    fn hung_up(&mut self, cx: &mut CallCx<'_>, leg: LegId, headers: RelayedHeaders) {
        cx.call.legs.leg_gone(cx.edge, leg);
        if self.bridge.negotiation.left_joining(cx, &mut self.bridge.media, leg) {
            return self.transfers.drop_subscription(cx);
        }
        if self.search.consults.asks(leg) {
            let failure = TargetFailure::unreached(ReasonSlug::TransferDeclined);
            return TransferEffect::declined(failure, EndedBy::FarEnd).act(self, cx);
        }
        if !cx.call.legs.is_side(leg) {
            return self.transfers.referrer_left(cx, &mut self.bridge.media, leg);
        }
        cx.call.story.bye_headers = Some(Box::new((leg, headers)));
        if leg == LegId::CALLER && !cx.call.is_requested() {
            self.end(cx, ReasonSlug::CallerHungUp);
        } else {
            cx.call.legs[leg].end_with(ReasonSlug::CalleeHungUp, EndedBy::FarEnd);
            // The near party that a transfer brought to an application is the application's only party.
            if cx.call.is_programmed && leg == cx.call.legs.near {
                return self.end(cx, ReasonSlug::CalleeHungUp);
            }
            self.side_left(cx, ReasonSlug::CalleeHungUp);
        }
    }

    /// Ends a call in which our 2xx on a leg was never acknowledged.
    fn ack_missing(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        let text = unacknowledged(cx, leg);
        cx.call.story.proof = Some((ReasonSlug::AckTimeout, text.into()));
        self.end(cx, ReasonSlug::AckTimeout);
    }

    /// Ends a call that has reached the time limit of its request.
    pub(crate) fn time_limit_over(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::TimeLimit);
        cx.edge.decide(cx.now, cx.call.key, "the time limit of the request has passed");
        self.end(cx, ReasonSlug::TimeLimit);
    }

    /// Ends a call on an operator's request before it is answered.
    fn ended_by_operator(&mut self, cx: &mut CallCx<'_>, reason: ReasonSlug) {
        // A requested call has no caller for which 503 would mean a failure of the edge.
        let code = if cx.call.is_requested() { 487 } else { 503 };
        self.refuse(cx, &FinalAnswer::new(code, reason));
    }

    /// Ends an answered call at once: all legs are hung up, and its record is emitted.
    pub(crate) fn end(&mut self, cx: &mut CallCx<'_>, reason: ReasonSlug) {
        self.finish(cx, reason, 200, reason.q850());
    }

    /// Ends a call that the caller's side never acknowledged; `code` is the final response that the endpoint sent.
    pub(crate) fn end_unacknowledged(&mut self, cx: &mut CallCx<'_>, code: u16) {
        let reason = ReasonSlug::AckTimeout;
        let code = if cx.call.times.answered.is_some() { 200 } else { code };
        self.finish(cx, reason, code, reason.q850());
    }

    /// Ends everything that runs beside the legs of an ended call: coaching, the application's program, attempts at
    /// targets, and recorders.
    fn end_beside(&mut self, cx: &mut CallCx<'_>, reason: ReasonSlug) {
        Coaching::end(&mut self.bridge.media, cx, (reason, EndedBy::Edge));
        self.program.lost_caller(cx, &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders));
        self.search.drop_attempts(cx, &mut self.bridge, reason);
        self.recorders.end(cx);
    }

    fn finish(&mut self, cx: &mut CallCx<'_>, reason: ReasonSlug, code: u16, q850: u8) {
        if cx.call.state == CallState::Ended {
            return;
        }
        self.end_beside(cx, reason);
        cx.call.legs.end_legs_with(reason);
        cx.call.enter(CallState::Ended);
        disarm_all(cx);
        if cx.call.times.answered.is_some() {
            cx.capture_reports();
        }
        self.bridge.close_open_reinvite(cx);
        self.bridge.negotiation.refuse_infos(cx);
        self.transfers.send_final_notify(cx);
        self.bridge.negotiation.end_join(cx, reason);
        self.transfers.refuse_passed(cx);
        for leg in cx.call.legs.ids() {
            self.bridge.media.hang_up_leg(cx, leg, reason);
        }
        self.bridge.negotiation.late = None;
        self.bridge.media.player = None;
        cx.call.legs.holds.clear();
        self.bridge.negotiation.pending_offers.clear();
        cx.call.times.ended = Some(cx.edge.date(cx.now));
        cx.call.ending = Some(CallOutcome { outcome: outcome_of(cx.call, reason, code), reason, code });
        requested::over(cx);
        cx.prove_no_ports(reason);
        let counted = self.transfers.counted_legs(cx.call, &self.bridge.negotiation).collect();
        release_slots(cx, counted);
        cx.settle_text();
        self.transfers.end(cx.call);
        self.search.consults.now = None;
        // Must run while the media ends still exist: only they hold the jitter and reports of the last interval.
        self.bridge.media.settle_hearing(cx);
        cx.call.legs.note_times(cx.edge, cx.now);
        let (view, scores, series) = (self.recorders.view(cx.call), cx.call.legs.scores(), cx.call.quality(cx.now));
        self.bridge.media.close_media(cx);
        let sid = cx.call.legs.sid().to_owned();
        // A flood of calls turned down must not flood the log.
        if !cx.call.story.is_turned_down {
            cx.edge.log(&sid, cx.call.last_line(), Some(reason));
        }
        cx.edge.decide(cx.now, cx.call.key, cx.call.last_line());
        cx.edge.recent_mut().push(view.clone(), cx.call.story.is_turned_down);
        series.into_iter().for_each(|series| cx.edge.recent_mut().push_series(series));
        let turns = view.legs.iter().filter_map(|leg| leg.turn_ms.as_deref()).max_by_key(|turns| turns.all.turns);
        let (turn_p50_ms, turn_p95_ms) = (turns.map(|turns| turns.all.p50), turns.map(|turns| turns.all.p95));
        let (proof, fix) = cx.call.end_in_words(reason);
        let record = CallRecord {
            call: view,
            sip_code: code,
            q850_cause: q850,
            failovers: cx.call.story.failovers,
            post_dial_ms: cx.call.times.first_ring.map(millis),
            mos_min: scores.lowest(),
            mos_avg: scores.mean(),
            turn_p50_ms,
            turn_p95_ms,
            proof,
            fix,
            is_turned_down: cx.call.story.is_turned_down,
        };
        let recording = self.requested.as_ref().and_then(|requested| requested.recording());
        self.program.reports.end(cx, recording);
        cx.report(record);
    }

    /// Separates the caller from the agent on `leg`: the agent is lost (`lost`: its failure) or transfers the caller.
    pub(crate) fn go_on(&mut self, cx: &mut CallCx<'_>, leg: LegId, lost: Option<TargetFailure>) {
        let name = cx.call.legs.name_of(leg);
        self.bridge.media.close_agent(cx, leg);
        cx.disarm(CallTimer::HoldCheck);
        cx.call.legs.callee = None;
        cx.call.enter(CallState::Rerouting);
        if self.program.is_running() {
            return self.go_on_in_program(cx, lost);
        }
        let is_lost = lost.as_ref().is_some_and(|failure| failure.loss.is_some());
        if let Some(failure) = lost {
            self.bridge.negotiation.note_failure(cx, Some(leg), &name, &failure);
            self.search.controller.failed(failure);
        }
        if !(is_lost && self.search.retry(cx, leg)) {
            cx.disarm(CallTimer::MaxCall);
        }
        if self.search.rings_on(cx, &mut self.bridge) {
            return;
        }
        self.search_on_with_ack(cx);
    }

    /// Separates the caller from an application's agent. A target named by the agent is called and ends the stream;
    /// otherwise the application continues.
    fn go_on_in_program(&mut self, cx: &mut CallCx<'_>, lost: Option<TargetFailure>) {
        cx.disarm(CallTimer::MaxCall);
        if self.search.rings_on(cx, &mut self.bridge) {
            return;
        }
        match lost {
            None => self.search_on_with_ack(cx),
            Some(failure) => {
                in_program(self, cx, |program, cx, lower| program.stream_lost(cx, lower, &failure));
            }
        }
    }

    /// Tries the remaining targets, once the caller's ACK has brought its media address.
    pub(crate) fn search_on_with_ack(&mut self, cx: &mut CallCx<'_>) {
        if self.bridge.waits_for_ack(cx.call) {
            return cx.edge.decide(cx.now, cx.call.key, "waiting for the caller's ACK with its media address");
        }
        self.search_on(cx);
    }

    /// Tries the remaining targets for a caller that is already answered.
    pub(crate) fn search_on(&mut self, cx: &mut CallCx<'_>) {
        if cx.call.legs.agent_in_place_of_caller().is_some() {
            return self.advance(cx, None);
        }
        match self.bridge.media.standing_offer(cx.call).filter(|_| self.bridge.media.spoken_end(cx.call).is_some()) {
            Some(mut offer) => {
                if self.program.asks_parties() {
                    offer_events(&mut offer);
                }
                self.bridge.negotiation.offer = Some(self.search.consults.offered(offer));
                self.advance(cx, None);
            }
            None => self.end(cx, ReasonSlug::Internal),
        }
    }

    /// Ends a call without a remaining target: an unanswered caller is refused, an answered one hears the goodbye.
    pub(crate) fn give_up(&mut self, cx: &mut CallCx<'_>, answer: &FinalAnswer) {
        if self.transfers.failed(
            cx,
            &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders),
            answer,
        ) {
            return;
        }
        match cx.call.state {
            CallState::Searching => self.refuse(cx, answer),
            CallState::Rerouting => {
                let goodbye = self.bridge.media.goodbye.as_ref().and_then(|agent| agent.goodbye.clone());
                cx.edge.decide(cx.now, cx.call.key, "no target is left");
                cx.note_hung_up();
                self.leave(cx, goodbye, answer.reason);
            }
            CallState::Answered | CallState::Leaving | CallState::Ended => {}
        }
    }

    /// Ends an answered call, after the goodbye if there is one and the caller can hear it.
    pub(crate) fn leave(&mut self, cx: &mut CallCx<'_>, goodbye: Option<Arc<[u8]>>, reason: ReasonSlug) {
        cx.disarm(CallTimer::MaxCall);
        self.bridge.media.stop_player(cx);
        match goodbye {
            Some(sound) if self.bridge.media.play_last(cx, &sound, reason) => {}
            Some(_) | None => self.end(cx, reason),
        }
    }

    /// Handles the end of a played sound; the call ends after the goodbye.
    pub(crate) fn played(&mut self, cx: &mut CallCx<'_>, end: EndId) {
        if self.bridge.held_side_heard(cx, end) {
            return;
        }
        if self.search.consults.plays_whisper(&self.bridge.media, end) {
            return self.search.consults.whisper_heard(cx).act(self, cx);
        }
        if self.program.plays_by(&self.bridge.media, end) {
            self.program.with_run(|run| run.sound_played(cx, &mut self.bridge.media)).act(self, cx);
        } else if self.bridge.media.player.is_some_and(|player| player.end == end) {
            self.goodbye_overdue(cx);
        }
    }

    /// Ends the call once the goodbye has been played, or should have been.
    pub(crate) fn goodbye_overdue(&mut self, cx: &mut CallCx<'_>) {
        if let Some(reason) = self.bridge.media.player.and_then(|player| player.last) {
            self.end(cx, reason);
        }
    }

    /// Joins two calls: the remote party of the other call has accepted our offer, so its leg moves into this call and
    /// replaces the leg that requested the join.
    ///
    /// # Errors
    /// The answer of the remote party is missing or unusable, or no port is available. Nothing has been moved then.
    pub(crate) fn joined_by(
        &mut self,
        cx: &mut CallCx<'_>,
        (other, comes): (&mut Call, LegId),
        sdp: Option<Bytes>,
        session: Option<SessionExpires>,
    ) -> Result<(), TargetFailure> {
        let missing = || bad_media("2xx without session description");
        let Some(join) = self.bridge.negotiation.joining() else { return Err(missing()) };
        if join.is_unbound {
            return Err(TargetFailure::with_code(500, ReasonSlug::NoPorts));
        }
        let Some(waits) = cx.call.legs.other(join.by) else { return Err(missing()) };
        let answer = other.act(cx.now, cx.edge).1.read_answer(comes, &sdp.ok_or_else(missing)?)?;
        let sent = other.shared.legs[comes].sent().ok_or_else(missing)?;
        let side = &cx.call.legs[waits];
        let ports = side.ports(&anchored_streams(&join.offer));
        let policy = side.policy().policy_towards(other.shared.legs[comes].policy());
        let agreed = accept(&join.offer, &sent, &answer, &policy, &ports, &side.identity())
            .map_err(|refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal))?;
        let leg = &mut other.shared.legs[comes];
        leg.check_answer(&sent, &answer, agreed.streams.iter().map(|stream| stream.index))?;
        leg.take_theirs(&answer);
        leg.sdp.ours = leg.sdp.last_sent.clone();
        let is_turned = turned(None, &answer, &agreed.streams);
        let Some(join) = self.bridge.negotiation.take_joining() else { return Err(missing()) };
        let (parts, mut theirs) = other.act(cx.now, cx.edge);
        let leg = parts.bridge.media.hand_over(&mut theirs, comes);
        let at = cx.take_over(other.shared.legs.place(comes), leg, join.ends);
        self.bridge.negotiation.pending_offers.clear();
        if join.is_stale || is_turned {
            self.bridge.negotiation.schedule_reinvite(waits, false);
        }
        self.bridge.media.take_side(cx, join.by, at, waits);
        self.bridge.media.wire(cx, &agreed.streams, (waits, false), (at, false));
        cx.close_unused([waits, at], &agreed.streams);
        self.search.settle(cx.call, &mut self.bridge);
        cx.session_taken(at, session);
        self.transfers.notify_transferor(cx, 200);
        if !join.is_gone {
            cx.arm(CallTimer::Referrer, Duration::from_secs(REFERRER_SECONDS));
            cx.call.legs.leave_trunk(cx.edge, join.by);
        }
        Ok(())
    }

    /// Ends a join that the remote party of the other call does not accept. Both calls stay as they were.
    pub(crate) fn join_failed(&mut self, cx: &mut CallCx<'_>, answer: &FinalAnswer) {
        let Some(join) = self.bridge.negotiation.take_joining() else { return };
        cx.close_joining(join.ends);
        self.transfers.notify_transferor(cx, answer.code);
        let why = format!("the transfer failed with {}: {}", answer.code, answer.reason.sentence());
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, why.clone(), Some(answer.reason));
        cx.edge.decide(cx.now, cx.call.key, format!("{why}; both calls continue unchanged"));
        if join.is_gone {
            self.end(cx, answer.reason);
        }
    }

    /// Ends a join because the other call is over.
    fn unjoined(&mut self, cx: &mut CallCx<'_>, client: ClientId, reason: ReasonSlug) {
        if self.bridge.negotiation.joins_by(cx.call, client) {
            self.join_failed(cx, &FinalAnswer::new(487, reason));
        }
    }

    /// Keeps a leg that was about to move to another call. `refused`: status code with which its remote party refused,
    /// `None` if it agreed.
    pub(crate) fn did_not_leave(&mut self, cx: &mut CallCx<'_>, leaving: &LeavingLeg, refused: Option<u16>) {
        if matches!(refused, Some(408 | 481)) {
            return self.end(cx, ReasonSlug::Unreachable);
        }
        if leaving.is_gone {
            let by_caller = leaving.by == LegId::CALLER;
            return self.end(cx, if by_caller { ReasonSlug::CallerHungUp } else { ReasonSlug::CalleeHungUp });
        }
        if refused.is_none() {
            self.bridge.negotiation.schedule_reinvite(leaving.leg, false);
        }
        self.bridge.negotiation.send_pending_offer(cx, &self.search.ringing());
    }
}

/// Disarms the timers of a call that ends.
fn disarm_all(cx: &mut CallCx<'_>) {
    for timer in [
        CallTimer::Search,
        CallTimer::Goodbye,
        CallTimer::Referrer,
        CallTimer::Quality,
        CallTimer::HoldCheck,
        CallTimer::Glare,
        CallTimer::Update,
        CallTimer::Session,
        CallTimer::MaxCall,
        CallTimer::TimeLimit,
    ] {
        cx.disarm(timer);
    }
}

/// Returns the outcome of a call that ends.
fn outcome_of(call: &SharedCallState, reason: ReasonSlug, code: u16) -> &'static str {
    match (call.times.answered, reason) {
        (Some(_), _) => "answered",
        (None, ReasonSlug::Operator) if call.is_requested() => "canceled",
        (None, _) => outcome(reason, code),
    }
}

/// Returns the outcome of a call that was never answered.
pub(crate) fn outcome(reason: ReasonSlug, code: u16) -> &'static str {
    match (reason, q850_of_code(code)) {
        (ReasonSlug::TargetRejected, _) => match code {
            486 | 600 => "busy",
            408 | 480 => "no_answer",
            400..=499 | 600..=699 => "refused",
            _ => "failed",
        },
        _ => reason.outcome(),
    }
}

/// Describes the missing ACK of a leg: the address to which it should have been sent, and the ACKs that arrived
/// instead.
fn unacknowledged(cx: &CallCx<'_>, leg: LegId) -> String {
    let (name, side) = (cx.call.legs.name_of(leg), &cx.call.legs[leg]);
    let ours = side.flow.and_then(|flow| cx.edge.addressing().local(flow.remote.ip(), flow.listener));
    let ours = match (side.trunk.as_deref().and_then(|trunk| trunk.own_hosts.contact.as_deref()), ours) {
        (Some(host), Some(local)) => format!("our Contact, {host}:{}", local.port),
        (None, Some(local)) => format!("our Contact, {}:{}", local.ip, local.port),
        (_, None) => "our Contact".to_owned(),
    };
    let contact = side.sip.contact.as_deref().unwrap_or("none");
    let hop = side.sip.record_route.as_deref().map(|hop| format!(", Record-Route {hop}")).unwrap_or_default();
    let went = side.flow.map(|flow| format!(" that went to {}", flow.remote)).unwrap_or_default();
    let stray = match cx.edge.tracing().stray_acks(LegRef { key: cx.call.key, leg }) {
        0 => String::new(),
        1 => ", 1 ACK with other tags or another CSeq was dropped (stray_ack)".to_owned(),
        many => format!(", {many} ACKs with other tags or another CSeq were dropped (stray_ack)"),
    };
    let matching = if stray.is_empty() { "" } else { "matching " };
    format!(
        "{name} sent no {matching}ACK for the 200 OK{went}{stray}; it goes to {ours} (its own Contact {contact}{hop})"
    )
}
