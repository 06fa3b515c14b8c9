//! Agents as targets: admission of the caller, responses to the caller before the agent is connected, and waiting
//! audio.
//!
//! - An agent serves the callers that it allows, unless it is skipped because it keeps failing. An agent that fails
//!   gets a new stream (`retry`) before the next target is tried.
//! - With `answer = "early"` or `"at_once"` the caller gets 183 or 200 and hold audio before the agent's stream is
//!   open.
//! - A caller waits in the queue of an agent that has all its sessions in use. It leaves the queue at its turn, after
//!   the longest wait, or when the agent becomes unavailable.
//! - A caller that has lost its agent, or was sent on by it, hears hold audio or ringback while the search continues.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::{HoldSound, MediaCommand, PlayerSound, melody};
use trunkgate_resources::agents::breaker::BreakerDecision;
use trunkgate_resources::agents::queue::SessionGrant;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{
    ATTEMPTS_PER_CALL, PORTS_NEWS, RETRIES_PER_CALL, RETRY_FIRST_WAIT_MS, RETRY_LONGEST_WAIT_MS,
};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::{Agent, AnswerTime, CallTarget, HoldAudio, TargetSpec};
use trunkgate_sip::ResponseSpec;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::agent_leg::AgentRole;
use crate::call::legs::leg::LegState;
use crate::call::legs::spoken::wire_to_caller;
use crate::call::media::player::CallerPlayer;
use crate::call::negotiation::Bridge;
use crate::call::search::Search;
use crate::call::search::attempt::{Attempt, AttemptState};
use crate::call::search::unreached::agent_unreached;
use crate::call::shared::{CallCx, CallEffect, SharedCallState};
use crate::call::words::answer::TargetFailure;
use crate::call::words::state::CallState;

impl Search {
    /// Opens the WebSocket of the agent that is being tried.
    ///
    /// # Errors
    /// The call has too many legs. The attempt and its session are given up.
    pub(crate) fn open_agent(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) -> Result<(), TargetFailure> {
        let attempt = self.alone().and_then(|a| Some((a.agent.clone()?, a.ring_timeout, a.retried)));
        let opened = attempt.and_then(|(agent, wait, n)| Some((cx.add_agent(&agent, AgentRole::Talk)?, wait, n)));
        let Some((leg, wait, retried)) = opened else {
            if let Some(agent) = self.attempts.remove(Branch::ALONE).and_then(|attempt| attempt.agent) {
                cx.edge.agents_mut().leave_line(&agent.name, cx.call.key);
                cx.edge.agents_mut().stream_released(cx.now, &agent.name, cx.call.key, cx.now, None);
            }
            return Err(TargetFailure::unreached(ReasonSlug::Internal));
        };
        if let Some(side) = &mut cx.call.legs[leg].agent {
            side.retried = retried;
        }
        cx.count_failover();
        if let Some(attempt) = self.attempt_mut(Branch::ALONE) {
            attempt.progress = AttemptState::Opening(leg);
        }
        cx.arm(CallTimer::Ring(Branch::ALONE), wait);
        // A caller that continues with its agent's former stream hears no tone in between.
        if cx.call.legs[leg].agent.as_ref().is_none_or(|side| !side.is_continued) {
            self.let_ring(cx, bridge);
        }
        Ok(())
    }

    /// Returns whether the call has room for another attempt in addition to the legs reserved for later targets.
    pub(crate) fn has_room_for_another(&self, call: &SharedCallState) -> bool {
        call.legs.attempts() + self.controller.legs_kept() < ATTEMPTS_PER_CALL
    }

    /// Returns whether the attempt waits for the WebSocket of the agent on this leg.
    pub(crate) fn is_opening(&self, leg: LegId) -> bool {
        self.alone().is_some_and(|attempt| attempt.progress == AttemptState::Opening(leg))
    }

    /// Begins an attempt at an agent: prepares the caller's side, then starts the attempt. A caller that is sent our
    /// media ports before the agent is connected waits until they are bound.
    ///
    /// # Errors
    /// The caller's side cannot be prepared, all sessions are in use, or calls skip the agent.
    pub(crate) fn engage(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        mut attempt: Attempt,
    ) -> Result<CallEffect, TargetFailure> {
        let Some(agent) = attempt.agent.clone() else { return Err(TargetFailure::unreached(ReasonSlug::Internal)) };
        if attempt.progress != AttemptState::Binding
            && bridge.media.is_told_ports(cx.call, &agent)
            && !cx.call.legs.is_bound()
        {
            attempt.progress = AttemptState::Binding;
            self.attempts.insert(Branch::ALONE, Box::new(attempt));
            cx.arm(CallTimer::Ports, PORTS_NEWS);
            return Ok(CallEffect::Stay);
        }
        attempt.progress = AttemptState::Idle;
        if let ControlFlow::Break(next) = self.before_agent(cx, bridge, &agent)? {
            return Ok(next);
        }
        self.attempts.insert(Branch::ALONE, Box::new(attempt));
        self.begin_agent(cx, bridge).map(|()| CallEffect::Stay)
    }

    /// Begins an agent's attempt once the agent has a free session.
    ///
    /// # Errors
    /// All sessions are in use and the queue is full, or calls skip the agent.
    pub(crate) fn begin_agent(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) -> Result<(), TargetFailure> {
        match self.alone().and_then(|attempt| attempt.agent.clone()) {
            Some(agent) if !self.take_session(cx, bridge, &agent)? => Ok(()),
            Some(_) | None => self.begin_stream(cx, bridge),
        }
    }

    /// Begins the agent's stream: immediately, or after a pause if it has failed in this call.
    ///
    /// # Errors
    /// Calls skip the agent, or the call has too many legs.
    pub(crate) fn begin_stream(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) -> Result<(), TargetFailure> {
        let retried = self.alone().map_or(0, |attempt| attempt.retried);
        let wait = wait_before(retried);
        if wait.is_zero() {
            return self.try_agent(cx, bridge);
        }
        if let Some(attempt) = self.attempt_mut(Branch::ALONE) {
            attempt.progress = AttemptState::Pausing;
        }
        cx.arm(CallTimer::Retry, wait);
        self.ring_back(cx, bridge);
        Ok(())
    }

    /// Opens the WebSocket of the agent that is being tried, unless calls skip the agent. An agent that is the last
    /// target left is never skipped.
    ///
    /// # Errors
    /// Calls skip the agent, or the call has too many legs. The attempt is removed.
    pub(crate) fn try_agent(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) -> Result<(), TargetFailure> {
        let Some(name) = self.alone().and_then(|attempt| Some(attempt.agent.as_ref()?.name.clone())) else {
            self.attempts.remove(Branch::ALONE);
            return Err(TargetFailure::unreached(ReasonSlug::Internal));
        };
        // Failures of a stream that an application names by URL do not count for other streams.
        if name.is_empty() {
            return self.open_agent(cx, bridge);
        }
        let why = match cx.edge.agents_mut().ask_breaker(cx.now, &name, cx.call.key) {
            BreakerDecision::Try => None,
            BreakerDecision::Trial => {
                cx.edge.decide(cx.now, cx.call.key, format!("{name} keeps failing: this call tests it"));
                None
            }
            BreakerDecision::Wait(wait) => Some(next_test(cx, &name, wait)),
            BreakerDecision::Tried => Some("another call is testing it".to_owned()),
        };
        let Some(why) = why else { return self.open_agent(cx, bridge) };
        if self.is_last_resort(cx.call, cx.edge, &name) {
            cx.edge.decide(cx.now, cx.call.key, format!("{name} would be skipped, but no other target is left"));
            return self.open_agent(cx, bridge);
        }
        self.attempts.remove(Branch::ALONE);
        cx.edge.agents_mut().leave_line(&name, cx.call.key);
        agent_unreached(self, cx, &name, self.controller.has_more());
        let detail = Some(format!("skipped because of repeated failures; {why}"));
        let failure = TargetFailure { detail, ..TargetFailure::unreached(ReasonSlug::AgentSkipped) };
        bridge.negotiation.note_failure(cx, None, &name, &failure);
        Err(failure)
    }

    /// Returns whether the caller would be lost without this agent. That applies to an answered caller, and to an agent
    /// that is skipped only because of failed probes.
    pub(crate) fn is_last_resort(&self, call: &SharedCallState, edge: &Edge, agent: &str) -> bool {
        let ends = |target: TargetSpec| matches!(target, TargetSpec::Reject(_));
        let is_owed = call.state == CallState::Rerouting || edge.agents().is_skipped_by_probes(agent);
        is_owed && !self.is_consulting() && self.controller.left().all(ends)
    }

    /// Puts an agent that failed on `leg` in front of the remaining targets if its `retry` allows that. Returns whether
    /// the agent is retried.
    pub(crate) fn retry(&mut self, cx: &mut CallCx<'_>, leg: LegId) -> bool {
        let Some(side) = &cx.call.legs[leg].agent else { return false };
        let made = if side.is_proven(cx.now) { 0 } else { side.retried };
        // The current configuration applies: a reload may have fixed the agent.
        let Some(agent) = cx.edge.table().agent(&side.agent.name).cloned() else { return false };
        let may_be_tried = matches!(
            cx.edge.agents_mut().permission(cx.now, &agent.name),
            BreakerDecision::Try | BreakerDecision::Trial
        );
        let is_allowed = made < agent.retry && self.retries.made < RETRIES_PER_CALL && !agent.is_raw();
        let is_allowed = is_allowed && self.has_room_for_another(cx.call);
        if !is_allowed || !(may_be_tried || self.is_last_resort(cx.call, cx.edge, &agent.name)) {
            return false;
        }
        self.retries.made += 1;
        self.retries.next = made + 1;
        cx.edge.decide(
            cx.now,
            cx.call.key,
            format!("{} gets a new stream, {} of {}", agent.name, made + 1, agent.retry),
        );
        self.controller.again(CallTarget::Agent(agent));
        true
    }

    /// Answers the caller or starts early media if the next agent's `answer` requires it. `Break` means that the agent
    /// is not tried now: the call waits for the caller's ACK, or is over.
    ///
    /// # Errors
    /// The edge itself cannot answer the caller's offer.
    pub(crate) fn before_agent(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        agent: &Arc<Agent>,
    ) -> Result<ControlFlow<CallEffect>, TargetFailure> {
        match agent.answer {
            _ if !cx.call.is_answered_by_agent() => Ok(ControlFlow::Continue(())),
            AnswerTime::OnConnect => Ok(ControlFlow::Continue(())),
            AnswerTime::Early => bridge.begin_early(cx, agent).map(ControlFlow::Continue),
            AnswerTime::AtOnce => self.answer_at_once(cx, bridge, agent),
        }
    }

    fn answer_at_once(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        agent: &Arc<Agent>,
    ) -> Result<ControlFlow<CallEffect>, TargetFailure> {
        bridge.media.take_sounds(agent);
        let next = bridge.answer_first(cx, Vec::new())?;
        cx.edge.decide(cx.now, cx.call.key, format!("answered before {} is connected", agent.name));
        let line = format!("answered immediately, for {}", cx.edge.shown_name(&agent.name));
        cx.edge.log(cx.call.legs.sid(), line, None);
        if !matches!(next, CallEffect::Stay) {
            return Ok(ControlFlow::Break(next));
        }
        if bridge.waits_for_ack(cx.call) {
            self.controller.again(CallTarget::Agent(agent.clone()));
            cx.edge.decide(cx.now, cx.call.key, "waiting for the caller's ACK with its media address");
            return Ok(ControlFlow::Break(CallEffect::Stay));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Handles the caller's answer to our offer while no target has the call. `first` means that its media address is
    /// new.
    pub(crate) fn caller_spoke(&self, cx: &mut CallCx<'_>, bridge: &mut Bridge, first: bool) -> CallEffect {
        if first {
            return CallEffect::Search;
        }
        let offer = bridge.media.standing_offer(cx.call).or(bridge.negotiation.offer.take());
        bridge.negotiation.offer = offer.map(|offer| self.consults.offered(offer));
        self.ring_back(cx, bridge);
        CallEffect::Stay
    }

    /// Plays hold audio or a ringback tone to a caller that has a session with the edge while the search continues. A
    /// running player continues from target to target.
    pub(crate) fn ring_back(&self, cx: &mut CallCx<'_>, bridge: &mut Bridge) {
        let talks_on = self.is_consulting() && !self.consults.holds_caller();
        if !(cx.call.state == CallState::Rerouting || bridge.media.is_early(cx.call)) || talks_on {
            return;
        }
        if bridge.media.talks_to_caller {
            return bridge.media.talk_to_caller(cx);
        }
        let (Some(media), Some((caller, spoken))) = (cx.call.session, bridge.media.spoken_end(cx.call)) else { return };
        if bridge.media.player.is_none() {
            let Some(end) = cx.edge.new_end(media) else { return };
            let hold = bridge.media.hold.as_ref().and_then(|agent| agent.hold.clone());
            let mut hold = hold.unwrap_or_default();
            if self.consults.holds_caller() && hold.music.is_none() {
                let by = cx.call.facts.referral.as_ref().map(|referral| referral.by);
                hold.music = Some(by.and_then(|by| cx.call.legs.music_of(by)).unwrap_or_else(melody));
            }
            let (sound, what) = match hold {
                HoldAudio { first: None, music: None } => (PlayerSound::Ringback, "a ringback tone"),
                HoldAudio { first, music } => (PlayerSound::Hold(HoldSound { first, music }), "hold audio"),
            };
            cx.edge.media(media, MediaCommand::AddPlayer { end, sound });
            bridge.media.player = Some(CallerPlayer { end, last: None });
            cx.edge.decide(cx.now, cx.call.key, format!("the caller hears {what}"));
        }
        let Some(player) = bridge.media.player else { return };
        if bridge.media.wires.remove(caller).is_some() {
            cx.edge.media(media, MediaCommand::Unwire { from: caller });
        }
        bridge.media.connect_ends(cx, player.end, caller, wire_to_caller(spoken));
        bridge.media.tap_caller(cx);
    }

    /// Connects the caller to the target that answered.
    pub(crate) fn joined(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge, leg: LegId) {
        self.won(cx, bridge, leg);
        self.consults.end_warm(cx, &mut bridge.media);
        self.leave_to(cx, bridge);
        self.retries.next = 0;
        cx.call.legs.callee = Some(leg);
        cx.call.legs.answered_by.get_or_insert(leg);
        self.settle(cx.call, bridge);
        cx.trunk_answered(leg);
        if cx.call.legs[leg].agent.is_some() {
            bridge.converse(cx, leg);
        }
        bridge.media.limit_call(cx, leg);
        bridge.media.stop_player(cx);
        let name = cx.call.legs.name_of(leg);
        cx.edge.decide(cx.now, cx.call.key, format!("{name} is connected to the caller"));
        let line = format!("continues with {}", cx.edge.shown_name(&name));
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, line, None);
    }

    /// Requests a session of the agent that is being tried. Returns `true` if the call has one or the agent is skipped
    /// anyway, and `false` if the call is queued for one.
    ///
    /// # Errors
    /// All sessions are in use, and the queue is full. The attempt is removed.
    pub(crate) fn take_session(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        agent: &Arc<Agent>,
    ) -> Result<bool, TargetFailure> {
        let returns = self.alone().is_some_and(|attempt| attempt.retried > 0);
        // A skipped agent uses no session, and no call waits for it.
        if self.is_passed_over(cx.call, cx.now, cx.edge, &agent.name) {
            return Ok(true);
        }
        match cx.edge.agents_mut().enter(&agent.name, cx.call.key, returns) {
            SessionGrant::Session => Ok(true),
            SessionGrant::Waits(nth) => {
                self.wait_in_line(cx, bridge, agent, nth);
                Ok(false)
            }
            SessionGrant::Full => {
                self.attempts.remove(Branch::ALONE);
                let line = agent.queue.map_or_else(String::new, |queue| format!(", {} wait", queue.size));
                let detail = Some(format!("{} sessions{line}", agent.max_sessions));
                let failure = TargetFailure { detail, ..TargetFailure::unreached(ReasonSlug::AgentFull) };
                bridge.negotiation.note_failure(cx, None, &agent.name, &failure);
                Err(failure)
            }
        }
    }

    fn wait_in_line(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge, agent: &Arc<Agent>, nth: usize) {
        // A call that returns to the agent may wait even if a reload has removed the queue; the default wait applies.
        let wait = agent.queue.unwrap_or_default().wait;
        if let Some(attempt) = self.attempt_mut(Branch::ALONE) {
            attempt.progress = AttemptState::Queued { since: cx.now, until: cx.now + wait };
        }
        cx.arm(CallTimer::Queue, wait);
        let place = ordinal(nth);
        cx.edge.decide(cx.now, cx.call.key, format!("waiting for {}, position {place}", agent.name));
        let line = format!("waiting for {}, position {place}", cx.edge.shown_name(&agent.name));
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, line, None);
        cx.edge.note_waiting();
        // The caller hears the audio of the agent that it waits for.
        let other = bridge.media.hold.as_ref().is_none_or(|before| before.name != agent.name);
        if agent.hold.is_some() && other && !self.is_consulting() {
            bridge.media.hold = Some(agent.clone());
            bridge.media.stop_player(cx);
        }
        self.let_ring(cx, bridge);
    }

    /// Signals waiting for an agent: 180 to a caller without a ringing response, sounds to a caller that hears the
    /// edge.
    pub(crate) fn let_ring(&self, cx: &mut CallCx<'_>, bridge: &mut Bridge) {
        let has_caller = !cx.call.is_requested();
        if has_caller && cx.call.state == CallState::Searching && cx.call.legs[LegId::CALLER].state == LegState::Trying
        {
            cx.call.legs[LegId::CALLER].enter(LegState::Ringing);
            bridge.negotiation.ring_caller(cx, ResponseSpec { code: 180, ..ResponseSpec::default() });
        }
        self.ring_back(cx, bridge);
    }

    /// Logs the end of the wait in an agent's queue.
    pub(crate) fn left_line(&self, cx: &mut CallCx<'_>, how: &str) {
        let Some(attempt) = self.alone() else { return };
        let AttemptState::Queued { since, .. } = attempt.progress else { return };
        let waited = cx.now.saturating_duration_since(since);
        cx.edge.metrics_mut().agent.wait_seconds.observe(waited.as_secs_f64());
        cx.edge.decide(cx.now, cx.call.key, format!("{}: {how}, after {:.1} s", attempt.name(), waited.as_secs_f64()));
    }

    /// Returns whether the agent is skipped and another target can be tried.
    pub(crate) fn is_passed_over(&self, call: &SharedCallState, now: Instant, edge: &Edge, name: &str) -> bool {
        let is_skipped =
            matches!(edge.agents().permission(now, name), BreakerDecision::Wait(_) | BreakerDecision::Tried);
        is_skipped && !self.is_last_resort(call, edge, name)
    }
}

/// Describes the next test of a skipped agent: a probe, or a call after `wait`.
fn next_test(cx: &CallCx<'_>, agent: &str, wait: Duration) -> String {
    match cx.edge.agents().next_probe(cx.now, agent) {
        Some(Duration::ZERO) => "a probe tests it now".to_owned(),
        Some(wait) => format!("next probe in {:.1} s", wait.as_secs_f64()),
        None => format!("next test in {:.1} s", wait.as_secs_f64()),
    }
}

/// Formats an ordinal: `1st`, `2nd`, `3rd`, `4th`.
pub(crate) fn ordinal(n: usize) -> String {
    let end = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{end}")
}

/// Repeated streams of one call to agents that failed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Retries {
    /// Total number of repeated streams in the call.
    pub(crate) made: u32,
    /// Number of repeated streams in a row for the agent tried next, including the next one; consumed by its attempt.
    pub(crate) next: u32,
}

/// Returns the pause before the stream with this number; 0 is the first stream.
pub(crate) fn wait_before(retried: u32) -> Duration {
    let Some(doubled) = retried.checked_sub(2) else { return Duration::ZERO };
    let wait = RETRY_FIRST_WAIT_MS.saturating_mul(1_u64.checked_shl(doubled).unwrap_or(u64::MAX));
    Duration::from_millis(wait.min(RETRY_LONGEST_WAIT_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_as_people_do() {
        let shown = [1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 23, 101, 111, 1_002].map(ordinal);
        let expected =
            "1st 2nd 3rd 4th 10th 11th 12th 13th 21st 22nd 23rd 101st 111th 1002nd".split(' ').collect::<Vec<_>>();
        assert_eq!(shown.to_vec(), expected);
    }

    #[test]
    fn the_first_new_stream_is_at_once_and_further_ones_wait() {
        let waits: Vec<u128> = (0..8).map(|n| wait_before(n).as_millis()).collect();
        assert_eq!(waits, [0, 0, 250, 500, 1_000, 2_000, 2_000, 2_000]);
        assert_eq!(wait_before(u32::MAX).as_millis(), 2_000);
    }
}
