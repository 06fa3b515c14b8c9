//! A caller that an agent sends on: at once, or once somebody answers there (`consult`). Until then the two talk, and the
//! target hears nothing and is not heard. Where nobody answers the caller stays, and the agent is told why; where the agent
//! goes meanwhile, the target rings on, and the caller waits for it.

use std::time::Instant;

use trunkgate_media::Command;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::ATTEMPTS_PER_CALL;
use trunkgate_route::{Number, SendNumbers, Target, Wanted};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg_end::EndedBy;
use crate::call::refused::Refused;
use crate::call::search::answer::Failure;
use crate::call::search::owner::number_of_uri;
use crate::call::{Call, State};

/// Targets that ring while the caller talks with its agent.
#[derive(Debug, Default)]
pub(crate) struct Consults {
    /// The one that is under way.
    now: Option<Box<Consult>>,
    /// How many there were: one that fails before it rings costs no leg, and none is to be asked for without end.
    begun: usize,
}

/// One of them.
#[derive(Debug)]
struct Consult {
    /// Where to, as it was asked for.
    target: String,
    /// Who asked for it: the agent, or somebody over HTTP.
    by: EndedBy,
}

impl Call {
    /// Whether a target is tried while an agent has the caller.
    pub(crate) fn is_consulting(&self) -> bool {
        self.search.consults.now.is_some()
    }

    /// The agent that has the caller wants it to go elsewhere.
    pub(crate) fn agent_transfers(&mut self, now: Instant, edge: &mut Edge, leg: LegId, text: &str, consults: bool) {
        let onward = self
            .onward(edge, leg, text, consults)
            .and_then(|target| if self.may_go(edge, leg, &target) { Ok(target) } else { Err(Refused::NotAllowed) });
        match onward {
            Ok(target) => {
                let then = if consults { ", once that answers" } else { "" };
                self.legs.note(now, edge, leg, &format!("transfers the caller to {text}{then}"));
                self.send_on(now, edge, leg, target, consults.then_some(text), EndedBy::FarEnd);
            }
            Err(refused) => {
                let is_barred = matches!(refused, Refused::NotAllowed | Refused::ForbiddenAddress);
                let why = if refused == Refused::TooManyTargets {
                    "too many transfers: the caller stays".to_owned()
                } else if refused == Refused::SameAgent {
                    format!("transfer to {text}: it already has the caller")
                } else if refused == Refused::NotAllowed {
                    format!("transfer to {text}: refused, not in `transfer_to`")
                } else if refused == Refused::ForbiddenAddress {
                    format!("transfer to {text}: refused, {refused}")
                } else {
                    format!("transfer to {text}: unknown target")
                };
                let is_noted = self.legs.note_wish(now, edge, leg, &why);
                if is_barred && is_noted {
                    let sid = self.legs.sid().to_owned();
                    let line = format!(
                        "{} may not transfer its caller to {}: {refused}",
                        self.legs.name_of(leg),
                        edge.shown_name(text)
                    );
                    edge.warn(&sid, line, None);
                }
                // It has the caller still, and would wait for nothing.
                if consults || is_barred {
                    self.tell_agent(edge, leg, text, refused.as_str(), None);
                }
            }
        }
    }

    /// The same, asked for from beside.
    pub(crate) fn transfer(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        text: &str,
        consults: bool,
    ) -> Result<(), Refused> {
        if self.state == State::Rerouting && !self.is_consulting() {
            return Err(Refused::Transferring);
        }
        let leg = self.legs.callee.filter(|leg| self.legs[*leg].agent.is_some()).ok_or(Refused::NoAgent)?;
        let target = self.onward(edge, leg, text, consults)?;
        let how = if consults { "is to be sent" } else { "is sent" };
        self.legs.note(now, edge, leg, &format!("its caller {how} to {text}, as requested"));
        self.send_on(now, edge, leg, target, consults.then_some(text), EndedBy::Edge);
        Ok(())
    }

    /// Where the caller of an agent is to go.
    fn onward(&self, edge: &mut Edge, leg: LegId, text: &str, consults: bool) -> Result<Target, Refused> {
        let target = self.transfer_target(edge, text)?;
        if consults && self.search.consults.begun >= ATTEMPTS_PER_CALL {
            return Err(Refused::TooManyTargets);
        }
        let has_it = |agent: &trunkgate_route::Agent| {
            self.legs[leg].agent.as_ref().is_some_and(|side| side.agent.name == agent.name)
        };
        match &target {
            Target::Agent(agent) if consults && has_it(agent) => Err(Refused::SameAgent),
            Target::Agent(_) | Target::Trunk { .. } | Target::Uri { .. } | Target::Reject(_) | Target::RingAll(_) => {
                Ok(target)
            }
        }
    }

    /// Whether the agent may send its caller to a target.
    fn may_go(&self, edge: &Edge, leg: LegId, target: &Target) -> bool {
        let Some(side) = &self.legs[leg].agent else { return false };
        let numbers = edge.table.numbers();
        let ways = |number: &Number, form| {
            let mut ways = numbers.ways(number, form);
            // A name may have separators, and be listed with them.
            let named = ways.clone();
            if let Some(first) = ways.first_mut() {
                first.clone_from(&number.text);
            }
            [named, ways]
        };
        match target {
            Target::Trunk { trunk, number, .. } => {
                let number = number.as_deref().map(|number| numbers.normalise_caller(number, None));
                let all = ways(number.as_ref().unwrap_or(&self.facts.called), trunk.send_numbers);
                all.iter().any(|ways| side.agent.may_transfer_to(Wanted::Trunk(&trunk.name, ways)))
            }
            Target::Uri { uri, destination, .. } => {
                let Some(number) = number_of_uri(uri, numbers) else { return false };
                let all = ways(&number, SendNumbers::AsIs);
                all.iter().any(|ways| side.agent.may_transfer_to(Wanted::Uri(uri, destination, ways)))
            }
            Target::Agent(agent) => side.agent.may_transfer_to(Wanted::Agent(&agent.name)),
            Target::Reject(_) | Target::RingAll(_) => false,
        }
    }

    /// Tries the target; `consulted`: its name, where the agent stays until somebody answers. What was asked for before is
    /// withdrawn.
    fn send_on(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        target: Target,
        consulted: Option<&str>,
        by: EndedBy,
    ) {
        if self.search.consults.now.take().is_some() {
            edge.decide(now, self.key, "the previous transfer is canceled");
            self.withdraw_all(now, edge, ReasonSlug::Transferred);
        }
        self.search.controller.put_first(target);
        let Some(text) = consulted else {
            if by == EndedBy::FarEnd {
                self.legs.agent_went_well(edge, leg);
            }
            self.legs[leg].end_with(ReasonSlug::Transferred, by);
            return self.go_on(now, edge, leg, None);
        };
        self.search.consults.begun += 1;
        self.search.consults.now = Some(Box::new(Consult { target: text.to_owned(), by }));
        self.state = State::Rerouting;
        if self.waits_for_ack() {
            return edge.decide(now, self.key, "waiting for the caller's ACK with its media address");
        }
        self.search_on(now, edge);
    }

    /// Somebody has answered: the agent that has waited for that leaves.
    pub(crate) fn leave_to(&mut self, now: Instant, edge: &mut Edge) {
        let (Some(consult), Some(agent)) = (self.search.consults.now.take(), self.legs.callee.take()) else { return };
        self.disarm(edge, Timer::HoldCheck);
        self.legs.agent_went_well(edge, agent);
        self.legs[agent].end_with(ReasonSlug::Transferred, consult.by);
        self.close_agent(now, edge, agent);
    }

    /// Whether nobody answered a target that was tried beside the agent: the caller stays with that.
    pub(crate) fn stays(&mut self, now: Instant, edge: &mut Edge, failure: &Failure) -> bool {
        // An agent that is to be tried again by a new stream has not failed yet.
        if self.search.retries.next > 0 {
            return false;
        }
        let (Some(consult), Some(agent)) = (self.search.consults.now.take(), self.legs.callee) else { return false };
        self.state = State::Answered;
        self.negotiation.offer = None;
        self.search.failed_over = None;
        let name = self.legs.name_of(agent);
        let why = failure.reason.sentence();
        edge.decide(now, self.key, format!("the transfer failed: {why}; the caller stays with {name}"));
        let line = format!("the transfer failed: {why}; the caller stays with {}", edge.shown_name(&name));
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, line, Some(failure.reason));
        self.tell_agent(edge, agent, &consult.target, failure.reason.as_str(), failure.answered);
        self.watch_hold(now, edge);
        true
    }

    /// Whether the agent that has left had a target tried: that rings on, and the caller waits for it.
    pub(crate) fn rings_on(&mut self, now: Instant, edge: &mut Edge) -> bool {
        if self.search.consults.now.take().is_none() || self.search.attempts.first().is_none() {
            return false;
        }
        self.disarm(edge, Timer::MaxCall);
        edge.decide(now, self.key, "the transfer goes on without the agent");
        self.ring_back(now, edge);
        self.hear_another(now, edge);
        true
    }

    /// The call is over.
    pub(crate) fn end_consult(&mut self) {
        self.search.consults.now = None;
    }

    fn tell_agent(&self, edge: &mut Edge, leg: LegId, target: &str, reason: &'static str, code: Option<u16>) {
        if let (Some(media), Some(side)) = (self.media.session, &self.legs[leg].agent) {
            let target = target.to_owned();
            edge.media(media, Command::TransferFailed { end: side.end, target, reason, code });
        }
    }
}
