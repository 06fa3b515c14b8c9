//! What a caller gets before its agent is there (`answer` of the agent): ringing, a 183 and hold audio, or its 200.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_media::EndId;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_route::{Agent, AnswerTime, Target};
use trunkgate_sip::{Answer, Body};

use crate::call::controller::StepResult;
use crate::call::legs::leg::LegState;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::Progress;
use crate::call::{Call, State};

impl Call {
    /// Whether the agent that is tried next has the caller told ports of ours before it is there.
    pub(crate) fn is_told_ports(&self, agent: &Agent) -> bool {
        let tells = matches!(agent.answer, AnswerTime::Early | AnswerTime::AtOnce);
        tells && self.state == State::Searching && self.media.spoken.is_none()
    }

    /// The worker has bound an end of the caller's, or nobody says so in time.
    pub(crate) fn bound(&mut self, now: Instant, edge: &mut Edge, end: Option<EndId>) {
        let ends = &mut self.legs[LegId::CALLER].ends;
        if let Some(bound) = ends.iter_mut().find(|each| end == Some(each.end)) {
            bound.is_bound = true;
        }
        if end.is_some() && !self.legs.is_bound() {
            return;
        }
        if self.alone().is_none_or(|attempt| attempt.progress != Progress::Binding) {
            return;
        }
        let Some(attempt) = self.search.attempts.remove(Branch::ALONE) else { return };
        self.disarm(edge, Timer::Ports);
        if let Err(failure) = self.engage(now, edge, *attempt) {
            self.advance(now, edge, Some(StepResult::Failed(failure)));
        }
    }

    /// Answers the caller, or lets it hear us, where the agent that is tried next wants that. `false`: the agent is not to be
    /// tried now; the caller's ACK is waited for, or the call is over.
    pub(crate) fn before_agent(&mut self, now: Instant, edge: &mut Edge, agent: &Arc<Agent>) -> Result<bool, Failure> {
        match agent.answer {
            _ if self.state != State::Searching => Ok(true),
            AnswerTime::OnConnect => Ok(true),
            AnswerTime::Early => self.begin_early(now, edge, agent).map(|()| true),
            AnswerTime::AtOnce => self.answer_at_once(now, edge, agent),
        }
    }

    /// 183 with our description. A caller without an offer cannot be told one before its 2xx (RFC 3261 §13.2.1), and without
    /// hold audio there is nothing to hear: both ring.
    fn begin_early(&mut self, now: Instant, edge: &mut Edge, agent: &Arc<Agent>) -> Result<(), Failure> {
        if self.negotiation.offer.is_none() || agent.hold.is_none() || self.is_early() {
            return Ok(());
        }
        let ours = self.first_description(now, edge)?;
        self.take_sounds(agent);
        self.negotiation.offer = self.standing_offer();
        self.legs[LegId::CALLER].state = LegState::Early;
        self.ring_caller(now, edge, Answer { code: 183, body: Some(Body::sdp(ours.to_string())), ..Answer::default() });
        Ok(())
    }

    fn answer_at_once(&mut self, now: Instant, edge: &mut Edge, agent: &Arc<Agent>) -> Result<bool, Failure> {
        // Silence counts from now on.
        self.state = State::Answered;
        let ours = match self.first_description(now, edge) {
            Ok(ours) => ours,
            Err(failure) => {
                self.state = State::Searching;
                return Err(failure);
            }
        };
        self.state = State::Rerouting;
        self.take_sounds(agent);
        self.negotiation.late = self.negotiation.offer.is_none().then_some(LegId::CALLER);
        self.negotiation.offer = self.standing_offer();
        edge.decide(now, self.key, format!("answered before {} is connected", agent.name));
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, format!("answered immediately, for {}", edge.shown_name(&agent.name)), None);
        self.send_answer(now, edge, ours, Vec::new());
        if self.waits_for_ack() {
            self.search.controller.again(Target::Agent(agent.clone()));
            edge.decide(now, self.key, "waiting for the caller's ACK with its media address");
            return Ok(false);
        }
        // A CANCEL may have ended it.
        Ok(self.state == State::Rerouting)
    }

    /// From now on the caller hears this agent's goodbye and hold audio.
    pub(crate) fn take_sounds(&mut self, agent: &Arc<Agent>) {
        if agent.goodbye.is_some() {
            self.media.goodbye = Some(agent.clone());
        }
        self.media.hold = Some(agent.clone());
    }
}
