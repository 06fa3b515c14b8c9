//! The search for somebody who answers: targets by the controller's word, the ways to each in order.

use std::time::Instant;

use bytes::Bytes;
use trunkgate_media::agent::Loss;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Named;
use trunkgate_resources::io::{Cause, QueryId};
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::limits::BIND_TRIES;
use trunkgate_resources::rewrite;
use trunkgate_route::{DeniedBy, SendNumbers, Server, Target};
use trunkgate_sdp::{Direction, Identity, offer_own, relay_offer};
use trunkgate_sip::{Body, DialogId, Invite};
use trunkgate_story::reason::ReasonSlug;

use crate::call::controller::{Step, StepResult};
use crate::call::legs::caller_id::Addressed;
use crate::call::legs::headers::Side;
use crate::call::legs::leg::{Leg, LegState, StreamEnd, policy};
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::written::Written;
use crate::call::negotiation::early::EarlyMedia;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::{Attempt, Judgement, Progress, Way};
use crate::call::search::owner::Judged;
use crate::call::search::{oversize, redirect};
use crate::call::{Call, State};

impl Call {
    /// Asks what is next until something is under way or the caller has been refused.
    pub(crate) fn advance(&mut self, now: Instant, edge: &mut Edge, result: Option<StepResult>) {
        // A caller that has its answer is not lost for one target's word: every failure leads on.
        let mut result = if self.state == State::Rerouting { result.map(StepResult::into_failed) } else { result };
        loop {
            if result.as_ref().is_some_and(|result| self.stays(now, edge, result.failure())) {
                return;
            }
            match self.search.controller.next(result.take()) {
                Step::Connect(target) => match self.connect(now, edge, target) {
                    Ok(()) => return,
                    Err(failed) if self.state == State::Rerouting => result = Some(failed.into_failed()),
                    Err(failed) => result = Some(failed),
                },
                Step::Answer(answer) => return self.give_up(now, edge, &answer),
            }
        }
    }

    /// Begins a target, or all of those that ring at once.
    fn connect(&mut self, now: Instant, edge: &mut Edge, target: Target) -> Result<(), StepResult> {
        self.search.tried = None;
        if let Target::RingAll(targets) = target {
            return self.ring_all(now, edge, targets);
        }
        self.try_target(now, edge, Branch::ALONE, target)
    }

    /// Begins one target.
    pub(crate) fn try_target(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        branch: Branch,
        target: Target,
    ) -> Result<(), StepResult> {
        let Some(mut attempt) = Attempt::new(target, self.facts.ring_timeout) else {
            return Err(StepResult::Failed(Failure::unreached(ReasonSlug::Internal)));
        };
        attempt.retried = std::mem::take(&mut self.search.retries.next);
        if attempt.retried == 0 && !self.is_consulting() {
            // Whoever gets the caller next has a limit of its own.
            self.disarm(edge, Timer::MaxCall);
        }
        edge.decide(now, self.key, format!("target {}", attempt.name()));
        if let Some(trunk) = attempt.trunk.as_ref().filter(|trunk| trunk.accept_register) {
            let name = trunk.name.clone();
            attempt.registered(edge.registrar.bindings(&name));
        }
        self.begin_attempt(now, edge, branch, attempt)
    }

    /// Begins an attempt, if it can be made at all.
    pub(crate) fn begin_attempt(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        branch: Branch,
        mut attempt: Attempt,
    ) -> Result<(), StepResult> {
        attempt.governs = self.owner_by_name(edge, &attempt).filter(|_| attempt.trunk.is_none());
        let result = match &attempt.agent {
            Some(agent) => self.agent_connectable(agent),
            None => {
                let usable = self.connectable(&attempt).and_then(|()| self.may_be_called(now, edge, &attempt));
                usable.and_then(|()| self.may_introduce(now, edge, &attempt)).map_err(StepResult::Failed)
            }
        };
        if let Err(failed) = result {
            self.note_failure(now, edge, None, attempt.name(), failed.failure());
            return Err(failed);
        }
        if attempt.agent.is_some() {
            return self.engage(now, edge, attempt).map_err(StepResult::Failed);
        }
        self.search.attempts.insert(branch, Box::new(attempt));
        self.leave_out(now, edge, branch);
        self.take_place(now, edge, branch).map_err(StepResult::Failed)
    }

    /// Whether a target can be tried at all: its codecs.
    fn connectable(&self, attempt: &Attempt) -> Result<(), Failure> {
        let theirs = policy(attempt.trunk.as_deref());
        let ours = self.legs.near_leg().policy();
        let unusable = |refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal);
        if let Some(offer) = &self.negotiation.offer {
            let nowhere = Identity { session_id: 0, version: 0, ip: std::net::Ipv4Addr::LOCALHOST.into() };
            let ports = vec![9; trunkgate_sdp::anchored_streams(offer).len()];
            relay_offer(offer, &theirs.towards(ours), &ports, &nowhere).map_err(unusable)?;
        }
        Ok(())
    }

    /// Whether a target's trunk gets calls to the number that it would be asked for.
    pub(crate) fn may_be_called(&self, now: Instant, edge: &mut Edge, attempt: &Attempt) -> Result<(), Failure> {
        if attempt.uri.as_deref().is_some_and(|uri| !rewrite::is_callable(uri, edge.table.numbers())) {
            return Err(Failure::with_code(484, ReasonSlug::IncompleteNumber));
        }
        let Addressed { trunk: Some(trunk), number, form } = self.addressed(edge, attempt) else { return Ok(()) };
        let Some(denied) = trunk.denied_as(edge.table.numbers(), &number, form) else { return Ok(()) };
        let reason = match denied.by {
            DeniedBy::HighRisk(_) => ReasonSlug::HighRisk,
            DeniedBy::Deny(_) | DeniedBy::Allow => ReasonSlug::Denied,
        };
        let (sid, shown) = (self.legs.sid().to_owned(), edge.shown(&denied.number));
        let (name, number, by) = (&trunk.name, &denied.number, &denied.by);
        // As `why` says it.
        edge.decide(now, self.key, format!("403: trunk {name} does not allow calls to {number} ({by})"));
        edge.alarm(now, &sid, &trunk.name, reason, &format!("{shown}, {}", denied.by));
        Err(Failure::with_code(403, reason).told())
    }

    /// Goes the next way to the target, or ends the attempt.
    pub(crate) fn next_way(&mut self, now: Instant, edge: &mut Edge, branch: Branch) -> Result<(), Failure> {
        loop {
            let Some(attempt) = self.search.attempts.get_mut(branch) else {
                return Err(Failure::unreached(ReasonSlug::Internal));
            };
            attempt.progress = Progress::Idle;
            let Some(way) = attempt.next_way() else { break };
            attempt.current = Some(way.clone());
            if way.address.is_none() {
                let query = edge.resolve(self.key, way.destination);
                attempt.progress = Progress::Resolving(query);
                let wait = attempt.no_response_timeout;
                self.arm(now, edge, Timer::NoResponse(branch), wait);
                self.ring_back(now, edge);
                return Ok(());
            }
            let invited = match self.judge_way(now, edge, branch, &way) {
                Ok(Judged::Goes) => self.invite(now, edge, branch, &way),
                Ok(Judged::Changes) => {
                    if let Some(attempt) = self.attempt_mut(branch) {
                        attempt.again(way);
                    }
                    return self.take_place(now, edge, branch);
                }
                Err(failure) => Err(failure),
            };
            match invited {
                Ok(()) => {
                    self.ring_back(now, edge);
                    return Ok(());
                }
                Err(failure) => self.way_failed(now, edge, branch, failure),
            }
        }
        if let Some(failure) = self.attempt(branch).map(Attempt::why_failed) {
            self.rate(now, edge, branch, &failure);
        }
        self.look_for_phones(now, edge, branch);
        Err(self.end_attempt(edge, branch))
    }

    /// The same where the search must go on in any case.
    pub(crate) fn go_next_way(&mut self, now: Instant, edge: &mut Edge, branch: Branch) {
        if let Err(failure) = self.next_way(now, edge, branch) {
            self.branch_over(now, edge, branch, StepResult::Failed(failure));
        }
    }

    /// Sends the INVITE of a new leg.
    fn invite(&mut self, now: Instant, edge: &mut Edge, branch: Branch, way: &Way) -> Result<(), Failure> {
        let unreachable = || Failure::unreached(ReasonSlug::Unreachable);
        if !self.has_room_for_another() {
            return Err(unreachable());
        }
        let attempt = self.attempt(branch).ok_or_else(unreachable)?;
        let (trunk, uri, number) = (attempt.trunk.clone(), attempt.uri.clone(), attempt.number.clone());
        let (ring_timeout, no_response_timeout) = (attempt.ring_timeout, attempt.no_response_timeout);
        let Addressed { trunk: governs, number: asked_for, .. } = self.addressed(edge, attempt);
        let is_emergency = edge.table.numbers().is_emergency(&asked_for);
        let (flow, local) = self.flow_of(edge, branch, way).ok_or_else(unreachable)?;
        if let Some(trunk) = &governs
            && !is_emergency
            && !edge.trunks.may_call(now, &trunk.name, flow.remote.ip())
        {
            return Err(Failure::unreached(ReasonSlug::LimitRate));
        }
        let mut leg = self.new_leg(edge, branch, way, flow).ok_or_else(unreachable)?;
        let body = self.offer_or_close(edge, &mut leg, way.plain)?;
        let form = trunk.as_ref().map_or(SendNumbers::E164, |t| t.send_numbers);
        let numbers = edge.table.numbers();
        let uri = uri.map(|uri| rewrite::without_separators(&uri)).unwrap_or_else(|| {
            let called = rewrite::called(number.as_deref(), &self.facts.called, form, numbers);
            rewrite::request_uri(&called, &way.peer, &way.destination.host, way.destination.port)
        });
        let to = Side { trunk: trunk.as_deref(), ours: local.ip };
        let from_trunk = self.legs.near_leg().trunk.as_deref();
        let rule = governs.as_ref().and_then(|trunk| trunk.caller_id.as_ref());
        let (caller, mut headers) = self.introduction(edge, from_trunk, &to, rule);
        let from = rewrite::from(&caller, form, numbers, local.ip);
        headers.extend(leg.session_headers().into_iter().chain([self.hops_onward(edge)]));
        let contact_user = rewrite::escape_user(&numbers.format(&caller.number, form));
        let body = self.located(edge, body, &mut headers, way);
        let asked = redirect::name_of(&uri);
        let invite = Invite {
            flow,
            local,
            oversize: self.oversize(edge, branch, way, flow),
            party: leg.party,
            from,
            to: format!("<{uri}>"),
            // A phone is called by its Contact (RFC 3261 §16.6 step 2); To says whom.
            uri: way.registered.as_ref().map_or(uri, |(_, contact)| contact.clone()),
            contact_user,
            max_forwards: self.facts.max_forwards,
            headers,
            body: Some(body),
        };
        let at = self.legs.place(self.legs.next_id());
        let client = edge.invite(now, at, invite);
        let went = edge.endpoint.client_flow(client).unwrap_or(flow);
        let is_oversize = went.transport != flow.transport;
        leg.flow = Some(went);
        leg.call_id = edge.endpoint.call_id(client).unwrap_or_default().to_owned();
        leg.invite = Some(client);
        let named = Named { at, party: leg.party, trunk: leg.trunk.clone(), remote: flow.remote.ip() };
        edge.index.enter(leg.call_id.as_bytes(), named);
        edge.trunks.tried(leg.trunk_name());
        self.count_failover(edge);
        self.legs.push(leg);
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.calls(now, at.leg, asked);
        }
        let silence = if is_oversize { oversize::silence(no_response_timeout) } else { no_response_timeout };
        self.arm(now, edge, Timer::NoResponse(branch), silence);
        self.arm(now, edge, Timer::Ring(branch), ring_timeout);
        Ok(())
    }

    /// Our offer to a leg, which is closed where none can be made.
    fn offer_or_close(&self, edge: &mut Edge, leg: &mut Leg, plain: bool) -> Result<Body, Failure> {
        let offered = self.offer_to(edge, leg, plain);
        if offered.is_err() {
            self.close_ends(edge, leg);
        }
        offered
    }

    /// Draws the ends of a leg that we call, and makes our offer to it; `plain`: it has refused SRTP.
    fn offer_to(&self, edge: &mut Edge, leg: &mut Leg, plain: bool) -> Result<Body, Failure> {
        let no_ports = || Failure::unreached(ReasonSlug::NoPorts);
        let media = self.media.session.ok_or_else(no_ports)?;
        let bind = edge.addressing.media_bind(leg.signalling()).ok_or_else(no_ports)?;
        let streams = self.negotiation.offer.as_ref().map_or_else(|| vec![0], trunkgate_sdp::anchored_streams);
        leg.ends.reserve_exact(streams.len());
        for index in &streams {
            let end = edge.add_end(media, bind).ok_or_else(no_ports)?;
            leg.ends.push(StreamEnd::new(*index, end));
        }
        let unusable = |refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal);
        let ports = leg.ports(&streams);
        let mut description = match &self.negotiation.offer {
            Some(offer) => {
                let policy = leg.policy().towards(self.legs.near_leg().policy());
                relay_offer(offer, &policy, &ports, &leg.identity()).map_err(unusable)?
            }
            None => {
                let policy = self.legs.codecs_to_offer(leg.policy());
                offer_own(&policy, ports.first().copied().unwrap_or_default(), &leg.identity(), Direction::SendRecv)
            }
        };
        leg.protect_first(edge, &mut description, leg.first_form(plain))?;
        Ok(Body::sdp(leg.stamp(description).to_string()))
    }

    /// A leg has shown that it lives.
    pub(crate) fn heard(&mut self, edge: &mut Edge, leg: LegId) {
        let Some(branch) = self.calling_on(leg) else { return };
        self.disarm(edge, Timer::NoResponse(branch));
        let leg = &mut self.legs[leg];
        leg.heard = true;
        if let Some(spot) = leg.spot() {
            edge.peer_heard(&spot, None);
        }
    }

    /// It asks for credentials, and has got them with the INVITE once more: that one is to be answered in time, too.
    pub(crate) fn challenged(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let Some(branch) = self.calling_on(leg) else { return };
        self.heard(edge, leg);
        if let Some(wait) = self.attempt(branch).map(|attempt| attempt.no_response_timeout) {
            self.arm(now, edge, Timer::NoResponse(branch), wait);
        }
    }

    /// 2xx: the first one gets the call.
    pub(crate) fn accepted(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        (dialog, sdp): (DialogId, Option<Bytes>),
        headers: &[(String, String)],
    ) {
        let Some(branch) = self.calling_on(leg) else { return self.accepted_too_late(now, edge, leg, dialog) };
        self.heard(edge, leg);
        edge.ack(now, dialog);
        self.legs.own_dialog(edge, leg, dialog);
        self.legs[leg].state = LegState::Answered;
        let before = std::mem::replace(&mut self.state, State::Answered);
        // A 2xx may leave out what a 18x of its own has said (many do, though RFC 3261 §13.2.1 asks for it).
        let early = self.attempt(branch).map(|attempt| &attempt.early);
        let is_changed = early.is_some_and(|early| early.is_changed(Some(dialog)));
        let said = early.and_then(|early| early.of(dialog));
        let sdp = sdp.as_deref().filter(|_| !is_changed).or(said.as_ref().map(Written::as_bytes));
        match self.agree(now, edge, leg, sdp) {
            Ok(_) if before == State::Rerouting => self.joined(now, edge, leg),
            Ok(description) => {
                self.owe_turned(leg);
                let headers = self.passing(edge, headers, leg, LegId::CALLER);
                self.stop_player(edge);
                self.answer_caller(now, edge, leg, description, headers);
            }
            Err(failure) => {
                self.state = before;
                self.hang_up_leg(now, edge, leg, failure.reason);
                self.fail_target(now, edge, branch, StepResult::Failed(failure));
            }
        }
    }

    /// A final answer that is no 2xx.
    pub(crate) fn rejected(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        (code, q850, detail): (u16, Option<u8>, Option<String>),
        headers: &[(String, String)],
        contacts: &[String],
    ) {
        let Some(branch) = self.calling_on(leg) else { return self.legs.withdrawn(edge, leg) };
        self.heard(edge, leg);
        self.legs[leg].state = LegState::Ended;
        if self.asked_again_without_srtp(now, edge, branch, leg, code)
            || self.asked_again_without_location(now, edge, branch, leg, code)
        {
            return;
        }
        let goes_on = (300..400).contains(&code) && self.redirected(now, edge, branch, contacts);
        let Some(attempt) = self.attempt(branch) else { return };
        let judgement = attempt.judge(code, q850);
        let location_error = self.location_error(edge, headers, leg);
        let why = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let problem = format!("{code} to INVITE from {}{why}", edge.shown_name(&self.legs[leg].peer));
        if !goes_on {
            edge.trunks.problem(now, self.legs[leg].trunk_name(), problem);
        }
        let said = |failure: Failure| {
            let reason = if goes_on { ReasonSlug::Transferred } else { failure.reason };
            Failure { location_error, reason, ..failure.said(code, detail) }
        };
        match judgement {
            Judgement::Peer(failure) => self.fail_way(now, edge, branch, said(failure)),
            Judgement::Target(result) => self.fail_target(now, edge, branch, result.map(said)),
        }
    }

    /// No final answer, or the INVITE could not be sent.
    pub(crate) fn unanswered(&mut self, now: Instant, edge: &mut Edge, leg: LegId, sent: bool) {
        let Some(branch) = self.calling_on(leg) else { return self.legs.withdrawn(edge, leg) };
        self.legs[leg].state = LegState::Ended;
        if self.asked_again_by_udp(now, edge, branch, leg) {
            return;
        }
        self.silent(now, edge, leg, sent);
        let reason = match &edge.cause {
            _ if sent => ReasonSlug::NoResponse,
            Some(Cause::Tls(what)) => {
                let (sid, peer) = (self.legs.sid().to_owned(), self.legs[leg].peer.clone());
                let text = format!("TLS with {} failed: {what}", edge.shown_name(&peer));
                edge.trunks.problem(now, self.legs[leg].trunk_name(), text.clone());
                edge.warn(&sid, text, Some(ReasonSlug::TlsFailed));
                ReasonSlug::TlsFailed
            }
            Some(Cause::Unsent(why)) => {
                let why = *why;
                self.not_let_out(now, edge, leg, why);
                ReasonSlug::Unreachable
            }
            Some(Cause::Stream(_)) | None => ReasonSlug::Unreachable,
        };
        self.fail_way(now, edge, branch, Failure::unreached(reason));
    }

    /// The wait for a sign of life is over.
    pub(crate) fn no_response(&mut self, now: Instant, edge: &mut Edge, branch: Branch) {
        self.deadlines.remove(Timer::NoResponse(branch));
        let Some(progress) = self.attempt(branch).map(|attempt| attempt.progress) else { return };
        if let Some(leg) = progress.calling() {
            self.withdraw(now, edge, leg);
            if self.asked_again_by_udp(now, edge, branch, leg) {
                return;
            }
            self.silent(now, edge, leg, true);
            self.fail_way(now, edge, branch, Failure::unreached(ReasonSlug::NoResponse));
        } else if let Progress::Resolving(query) = progress {
            edge.index.queries.remove(&query);
            self.fail_way(now, edge, branch, Failure::unreached(ReasonSlug::NameNotFound));
        }
    }

    /// It has rung long enough.
    pub(crate) fn ring_timeout(&mut self, now: Instant, edge: &mut Edge, branch: Branch) {
        self.deadlines.remove(Timer::Ring(branch));
        let Some(progress) = self.attempt(branch).map(|attempt| attempt.progress) else { return };
        let failure = if let Some(leg) = progress.calling() {
            self.withdraw(now, edge, leg);
            Failure::with_code(480, ReasonSlug::RingTimeout)
        } else if let Some(leg) = progress.opening() {
            self.agent_failed(now, edge, leg, Loss::ConnectTimeout);
            Failure::unreached(ReasonSlug::AgentConnectTimeout)
        } else {
            return;
        };
        self.fail_target(now, edge, branch, StepResult::Failed(failure));
    }

    /// A host has been looked up.
    pub(crate) fn resolved(&mut self, now: Instant, edge: &mut Edge, query: QueryId, servers: &[Server]) {
        edge.index.queries.remove(&query);
        let asks = |attempt: &Attempt| attempt.progress == Progress::Resolving(query);
        let Some(branch) = self.search.attempts.iter().find(|(_, attempt)| asks(attempt)).map(|(branch, _)| branch)
        else {
            return;
        };
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return };
        let Some(way) = attempt.current.clone() else { return };
        attempt.resolved(&way, &edge.in_order(servers));
        if servers.is_empty() {
            return self.fail_way(now, edge, branch, Failure::unreached(ReasonSlug::NameNotFound));
        }
        self.disarm(edge, Timer::NoResponse(branch));
        self.leave_out(now, edge, branch);
        self.go_next_way(now, edge, branch);
    }

    /// An end's ports are somebody else's: others are drawn, and a target that has seen the old ones is asked again.
    pub(crate) fn bind_failed(&mut self, now: Instant, edge: &mut Edge, end: trunkgate_media::EndId, error: &str) {
        let Some(at) = self.legs.leg_of(end) else { return };
        let sid = self.legs.sid().to_owned();
        edge.warn(&sid, format!("media ports could not be bound: {error}"), Some(ReasonSlug::NoPorts));
        edge.decide(now, self.key, format!("ports not bound: {error}"));
        self.story.proof = Some((ReasonSlug::NoPorts, format!("ports not bound: {error}").into()));
        if at == self.legs.near && self.state != State::Searching {
            return self.end(now, edge, ReasonSlug::NoPorts);
        }
        if at == self.legs.near {
            return self.redraw_caller(now, edge, end);
        }
        let Some(branch) = self.calling_on(at) else { return };
        self.legs[at].end_with(ReasonSlug::NoPorts, EndedBy::Edge);
        self.withdraw(now, edge, at);
        self.drop_ends(edge, at);
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return };
        attempt.bind_failures += 1;
        if attempt.bind_failures >= BIND_TRIES {
            let failure = Failure::unreached(ReasonSlug::NoPorts);
            return self.fail_target(now, edge, branch, StepResult::Failed(failure));
        }
        if let Some(way) = attempt.current.clone() {
            attempt.again(way);
        }
        self.go_next_way(now, edge, branch);
    }

    /// Notes that a way failed, and goes on to the next.
    fn fail_way(&mut self, now: Instant, edge: &mut Edge, branch: Branch, failure: Failure) {
        self.way_failed(now, edge, branch, failure);
        self.go_next_way(now, edge, branch);
    }

    fn way_failed(&mut self, now: Instant, edge: &mut Edge, branch: Branch, failure: Failure) {
        self.disarm(edge, Timer::NoResponse(branch));
        self.disarm(edge, Timer::Ring(branch));
        let Some(attempt) = self.attempt(branch) else { return };
        let (leg, trunk) = (attempt.leg(), attempt.trunk.clone());
        let name = attempt.current.as_ref().map(Way::shown).unwrap_or_default();
        self.note_failure(now, edge, leg, &name, &failure);
        if let Some(leg) = leg {
            self.drop_ends(edge, leg);
        }
        if let Some(trunk) = trunk {
            edge.trunks.failed(&trunk.name);
        }
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.way_failed(failure);
            attempt.early = EarlyMedia::default();
        }
        self.hear_another(now, edge);
    }

    /// Gives a whole target up, and asks what is next.
    pub(crate) fn fail_target(&mut self, now: Instant, edge: &mut Edge, branch: Branch, result: StepResult) {
        let attempt = self.attempt(branch);
        let (progress, failed_agent) =
            (attempt.map(|a| a.progress), attempt.and_then(|attempt| attempt.failed_agent(&result)));
        let (leg, name) = (attempt.and_then(Attempt::leg), attempt.map(|a| a.name().to_owned()).unwrap_or_default());
        self.note_failure(now, edge, leg, &name, result.failure());
        self.rate(now, edge, branch, result.failure());
        match progress {
            Some(Progress::Calling(leg)) => self.drop_ends(edge, leg),
            Some(Progress::Opening(leg)) => self.close_agent(now, edge, leg),
            Some(_) | None => {}
        }
        self.end_attempt(edge, branch);
        if let Some(leg) = failed_agent {
            self.retry(now, edge, leg);
        }
        self.branch_over(now, edge, branch, result);
    }
}
