//! The candidates of a target in order, and the INVITE to each.
//!
//! - An INVITE that is too long for a datagram goes by TCP where the trunk wants that, and by UDP again where TCP is not supported.
//! - A target whose trunk is at one of its limits waits for its turn in the order of arrival, no longer than the trunk's `pace`.
//! - A target that is a bare URI is subject to the rules of the trunk that owns its address. Each address is judged before the INVITE is sent,
//!   after its name was resolved, so that no name and no spelling avoids a trunk's rules. A target named in an answered call never reaches an
//!   address of the edge itself or of its link.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Named;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::limited::Limit;
use trunkgate_resources::limits::OVERSIZE_SILENCE;
use trunkgate_resources::quotas::Numbered;
use trunkgate_resources::rewrite;
use trunkgate_route::{Agent, CallInfo, Number, Plan, RedirectMode, SendNumbers, Target, Trunk};
use trunkgate_sip::{Extra, Flow, Invite, Local, Party, Transport};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::redact;

use crate::call::legs::caller_id;
use crate::call::legs::dialled::Dialled;
use crate::call::legs::headers::{self, Side};
use crate::call::legs::leg::Leg;
use crate::call::legs::session_timer::Asked;
use crate::call::negotiation::Bridge;
use crate::call::negotiation::early::EarlyMedia;
use crate::call::recorders::{recording, siprec};
use crate::call::search::Search;
use crate::call::search::addressed::Addressed;
use crate::call::search::attempt::{Attempt, Candidate, Progress};
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::search::redirect::{
    Followed, Onward, Place, Redirects, is_here, name_of, names_port, number_here, place, plan_redirected,
};
use crate::call::shared::{Cx, Next, Shared, ShownCallerId};
use crate::call::words::answer::{Failure, FinalAnswer};
use crate::call::words::incoming::Incoming;
use crate::call::words::state::State;

impl Search {
    /// Begins a target, or all of those that ring at once.
    pub(crate) fn connect(
        &mut self,
        cx: &mut Cx<'_>,
        bridge: &mut Bridge,
        target: Target,
    ) -> Result<Next, TargetResult> {
        self.tried = None;
        if let Target::RingAll(targets) = target {
            return self.ring_all(cx, bridge, targets);
        }
        self.try_target(cx, bridge, Branch::ALONE, target)
    }

    /// Begins one target.
    pub(crate) fn try_target(
        &mut self,
        cx: &mut Cx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        target: Target,
    ) -> Result<Next, TargetResult> {
        let Some(mut attempt) = Attempt::new(target, cx.call.facts.ring_timeout) else {
            return Err(TargetResult::Failed(Failure::unreached(ReasonSlug::Internal)));
        };
        // Targets of a route have a number.
        let is_returned = attempt.trunk.is_some() && attempt.number.is_none();
        let returned = bridge.negotiation.transfers.now.as_ref().and_then(|transfer| transfer.returned.as_ref());
        if let Some(returned) = returned.filter(|_| is_returned) {
            attempt.uri = Some(returned.text.clone());
        }
        attempt.retried = std::mem::take(&mut self.retries.next);
        if attempt.retried == 0 && !self.is_consulting() {
            // The next target has a limit of its own.
            cx.disarm(Timer::MaxCall);
        }
        cx.edge.decide(cx.now, cx.call.key, format!("target {}", attempt.name()));
        if let Some(trunk) = attempt.trunk.as_ref().filter(|trunk| trunk.accept_register) {
            let name = trunk.name.clone();
            attempt.registered(cx.edge.registrar.bindings(&name));
        }
        self.begin_attempt(cx, bridge, branch, attempt)
    }

    /// Begins an attempt, if it can be made at all.
    pub(crate) fn begin_attempt(
        &mut self,
        cx: &mut Cx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        mut attempt: Attempt,
    ) -> Result<Next, TargetResult> {
        attempt.governs = attempt.owner_by_name(cx.edge).filter(|_| attempt.trunk.is_none());
        let result = match &attempt.agent {
            Some(agent) => agent_connectable(cx.call, bridge, agent),
            None => {
                let usable = bridge
                    .negotiation
                    .connectable(cx.call, attempt.trunk.as_deref())
                    .and_then(|()| attempt.may_be_called(cx));
                let usable = usable.and_then(|()| self.is_wanted_now(cx, &attempt));
                usable.and_then(|()| attempt.may_introduce(cx)).map_err(TargetResult::Failed)
            }
        };
        if let Err(failed) = result {
            bridge.negotiation.note_failure(cx, None, attempt.name(), failed.failure());
            return Err(failed);
        }
        if attempt.agent.is_some() {
            return self.engage(cx, bridge, attempt).map_err(TargetResult::Failed);
        }
        self.attempts.insert(branch, Box::new(attempt));
        self.leave_out(cx, branch);
        self.take_place(cx, bridge, branch).map(|()| Next::Stay).map_err(TargetResult::Failed)
    }

    /// Leaves a trunk out that has too many calls, where there is another target that may be tried instead.
    fn is_wanted_now(&self, cx: &Cx<'_>, attempt: &Attempt) -> Result<(), Failure> {
        let is_congested = |trunk: &Arc<Trunk>| cx.edge.trunks.is_congested(cx.now, &trunk.name);
        let has_others = self.controller.has_more() && !self.is_consulting();
        if !has_others || !attempt.limited_by().is_some_and(is_congested) {
            return Ok(());
        }
        if cx.edge.table.numbers().is_emergency(&attempt.addressed(cx.call, cx.edge).number) {
            return Ok(());
        }
        let detail = Some(format!("{}: skipped", ReasonSlug::TrunkCongested.sentence()));
        Err(Failure { detail, ..Failure::unreached(ReasonSlug::TrunkCongested) })
    }

    /// Goes the next way to the target, or ends the attempt.
    pub(crate) fn next_candidate(
        &mut self,
        cx: &mut Cx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
    ) -> Result<(), Failure> {
        loop {
            let Some(attempt) = self.attempts.get_mut(branch) else {
                return Err(Failure::unreached(ReasonSlug::Internal));
            };
            attempt.progress = Progress::Idle;
            let Some(way) = attempt.next_candidate() else { break };
            attempt.current = Some(way.clone());
            if way.address.is_none() {
                let query = cx.edge.resolve(cx.call.key, way.destination);
                attempt.progress = Progress::Resolving(query);
                let wait = attempt.no_response_timeout;
                cx.arm(Timer::NoResponse(branch), wait);
                self.ring_back(cx, bridge);
                return Ok(());
            }
            let invited = match self.judge_candidate(cx, branch, &way) {
                Ok(Judged::Goes) => self.invite(cx, bridge, branch, &way),
                Ok(Judged::Changes) => {
                    if let Some(attempt) = self.attempt_mut(branch) {
                        attempt.again(way);
                    }
                    return self.take_place(cx, bridge, branch);
                }
                Err(failure) => Err(failure),
            };
            match invited {
                Ok(()) => {
                    self.ring_back(cx, bridge);
                    return Ok(());
                }
                Err(failure) => self.candidate_failed(cx, bridge, branch, failure),
            }
        }
        if let Some(failure) = self.attempt(branch).map(Attempt::why_failed) {
            self.rate(cx, branch, &failure, self.controller.has_more());
        }
        self.look_for_phones(cx, bridge, branch);
        Err(self.end_attempt(cx, branch))
    }

    /// Sends the INVITE of a new leg.
    fn invite(&mut self, cx: &mut Cx<'_>, bridge: &Bridge, branch: Branch, way: &Candidate) -> Result<(), Failure> {
        let unreachable = || Failure::unreached(ReasonSlug::Unreachable);
        if !self.has_room_for_another(cx.call) {
            return Err(unreachable());
        }
        let attempt = self.attempt(branch).ok_or_else(unreachable)?;
        let (trunk, uri, further) = (attempt.trunk.clone(), attempt.uri.clone(), attempt.headers.clone());
        let (ring_timeout, no_response_timeout) = (attempt.ring_timeout, attempt.no_response_timeout);
        let Addressed { trunk: governs, number: asked_for, .. } = attempt.addressed(cx.call, cx.edge);
        let is_emergency = cx.edge.table.numbers().is_emergency(&asked_for);
        let (flow, local) = self.flow_of(cx.edge, branch, way).ok_or_else(unreachable)?;
        if let Some(trunk) = &governs
            && !is_emergency
            && !cx.edge.trunks.may_call(cx.now, &trunk.name, flow.remote.ip())
        {
            return Err(Failure::unreached(ReasonSlug::LimitRate));
        }
        let mut leg = self.new_leg(cx, bridge, branch, way, flow).ok_or_else(unreachable)?;
        let body = bridge.negotiation.offer_or_close(cx, &mut leg, way.plain)?;
        let form = trunk.as_ref().map_or(SendNumbers::E164, |t| t.send_numbers);
        let numbers = cx.edge.table.numbers();
        let uri = uri.as_deref().map_or_else(|| attempt.called_uri(cx, way, form), rewrite::without_separators);
        let to = Side { trunk: trunk.as_deref(), governs: governs.as_deref(), ours: local.ip };
        let from_trunk = cx.call.legs.near_leg().trunk.as_deref();
        let rule = governs.as_ref().and_then(|trunk| trunk.caller_id.as_ref());
        let (caller, mut headers) = bridge.negotiation.transfers.introduction(cx.call, cx.edge, from_trunk, &to, rule);
        let from = headers::from(&caller, &to, numbers, &mut headers);
        let caller_id = caller_id::sent(&from, &headers);
        set_headers(&mut headers, further);
        headers.extend(leg.session_headers().into_iter().chain([cx.call.hops_onward(cx.edge)]));
        let contact_user = rewrite::escape_user(&numbers.format(&caller.number, form));
        let body = way.located(cx, body, &mut headers);
        let asked = name_of(&uri);
        let shown = attempt.uri.as_deref().map_or_else(|| asked_for.text.clone(), redact::sip_uri);
        leg.sip.dialled = Some(Box::new(Dialled::new(cx.edge.date(cx.now), &cx.call.name_of_caller(&caller), &shown)));
        let invite = Invite {
            flow,
            local,
            oversize: self.oversize(cx.edge, branch, way, flow),
            party: leg.party,
            from,
            to: format!("<{uri}>"),
            // A phone is called by its Contact (RFC 3261 §16.6 step 2); To says whom.
            uri: way.registered.as_ref().map_or(uri, |(_, contact)| contact.clone()),
            contact_user,
            max_forwards: cx.call.facts.max_forwards,
            headers,
            body: Some(body),
        };
        let at = cx.call.legs.place(cx.call.legs.next_id());
        let client = cx.edge.invite(cx.now, at, invite);
        let went = cx.edge.endpoint.client_flow(client).unwrap_or(flow);
        let is_oversize = went.transport != flow.transport;
        leg.flow = Some(went);
        leg.sip.call_id = cx.edge.endpoint.call_id(client).unwrap_or_default().to_owned();
        leg.sip.invite = Some(client);
        let named = Named { at, party: leg.party, trunk: leg.trunk.clone(), remote: flow.remote.ip() };
        cx.edge.index.enter(leg.sip.call_id.as_bytes(), named);
        self.count_call(cx, branch, leg.trunk_name());
        cx.count_failover();
        cx.call.legs.push(leg);
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.calls(cx.now, at.leg, asked, caller_id);
        }
        let silence = if is_oversize { silence(no_response_timeout) } else { no_response_timeout };
        cx.arm(Timer::NoResponse(branch), silence);
        cx.arm(Timer::Ring(branch), ring_timeout);
        Ok(())
    }

    /// Counts a call to a trunk with its first INVITE: further addresses of the trunk belong to the same call.
    fn count_call(&self, cx: &mut Cx<'_>, branch: Branch, trunk: &str) {
        if self.attempt(branch).is_some_and(|attempt| attempt.called_at.is_none()) {
            cx.edge.trunks.tried(cx.now, trunk);
        }
    }

    /// A leg has shown that it lives.
    pub(crate) fn heard(&self, cx: &mut Cx<'_>, leg: LegId) {
        let Some(branch) = self.calling_on(cx.call, leg) else { return };
        cx.disarm(Timer::NoResponse(branch));
        cx.heard(leg);
    }

    /// It asks for credentials, and has got them with the INVITE once more: that one is to be answered in time, too.
    pub(crate) fn challenged(&self, cx: &mut Cx<'_>, leg: LegId) {
        let Some(branch) = self.calling_on(cx.call, leg) else { return };
        self.heard(cx, leg);
        if let Some(wait) = self.attempt(branch).map(|attempt| attempt.no_response_timeout) {
            cx.arm(Timer::NoResponse(branch), wait);
        }
    }

    pub(crate) fn candidate_failed(&mut self, cx: &mut Cx<'_>, bridge: &mut Bridge, branch: Branch, failure: Failure) {
        cx.disarm(Timer::NoResponse(branch));
        cx.disarm(Timer::Ring(branch));
        let Some(attempt) = self.attempt(branch) else { return };
        let (leg, trunk) = (attempt.leg(), attempt.trunk.clone());
        let name = attempt.current.as_ref().map(Candidate::shown).unwrap_or_default();
        bridge.negotiation.note_failure(cx, leg, &name, &failure);
        if let Some(leg) = leg {
            bridge.media.drop_ends(cx, leg);
        }
        if let Some(trunk) = trunk {
            cx.edge.trunks.failed(&trunk.name);
        }
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.candidate_failed(failure);
            attempt.early = EarlyMedia::default();
        }
        self.hear_another(cx, bridge);
    }

    /// By which of our listeners a way leaves.
    pub(crate) fn flow_of(&self, edge: &Edge, branch: Branch, way: &Candidate) -> Option<(Flow, Local)> {
        if let Some((flow, _)) = &way.registered {
            return Some((*flow, edge.addressing.local(flow.remote.ip(), flow.listener)?));
        }
        let remote = way.address?;
        let trunk = self.attempt(branch).and_then(|attempt| attempt.trunk.as_ref());
        edge.addressing.way(trunk.and_then(|t| t.listen.as_deref()), way.transport, remote)
    }

    /// The leg of an INVITE that leaves by it.
    pub(crate) fn new_leg(
        &self,
        cx: &mut Cx<'_>,
        bridge: &Bridge,
        branch: Branch,
        way: &Candidate,
        flow: Flow,
    ) -> Option<Leg> {
        let trunk = self.attempt(branch).and_then(|attempt| attempt.trunk.clone());
        let governs = self.attempt(branch).and_then(|attempt| attempt.governs.clone());
        let party = match &trunk {
            Some(trunk) => cx.edge.party(&trunk.name),
            // A bare URI may well lead to a trunk's address: its answers come as that trunk's.
            None => cx
                .edge
                .table
                .trunk_of(flow.remote)
                .map(|t| t.name.clone())
                .map_or(Party(0), |name| cx.edge.party(&name)),
        };
        let media_ip = cx.edge.addressing.media_shown_to(flow.remote.ip(), flow.listener)?;
        let number = bridge.negotiation.transfers.now.as_ref().map(|transfer| Box::new(transfer.number.clone()));
        let leg = Leg::new(cx.edge.random.sid(), party, flow, media_ip, cx.edge.random.session_id());
        Some(Leg { trunk, governs, peer: way.peer.clone(), number, ..leg })
    }

    /// The way of a request that is too long for UDP, where the trunk wants that (RFC 3261 §18.1.1): TCP to the same place.
    pub(crate) fn oversize(
        &self,
        edge: &Edge,
        branch: Branch,
        way: &Candidate,
        flow: Flow,
    ) -> Option<(usize, Flow, Local)> {
        let trunk = self.attempt(branch)?.trunk.as_ref()?;
        if !trunk.oversize_by_tcp || flow.transport != Transport::Udp || way.by_udp {
            return None;
        }
        let (flow, local) = edge.addressing.way(trunk.listen.as_deref(), Transport::Tcp, flow.remote)?;
        Some((trunk.udp_mtu, flow, local))
    }

    /// Judges an address that is about to be dialled for a bare URI, where the rules of the trunk that owns it hold, or for a
    /// redirection, which does not lead to a peer of another trunk.
    ///
    /// # Errors
    /// Why it is not dialled.
    pub(crate) fn judge_candidate(
        &mut self,
        cx: &mut Cx<'_>,
        branch: Branch,
        way: &Candidate,
    ) -> Result<Judged, Failure> {
        let (Some(attempt), Some(remote)) = (self.attempt(branch), way.address) else { return Ok(Judged::Goes) };
        let Some(uri) = &attempt.uri else { return Ok(Judged::Goes) };
        if let Some(trunk) = &attempt.trunk {
            // A redirection: its name may lead to another port of an address that two trunks share.
            let Some(other) = cx.edge.table.peer_at(remote).filter(|other| other.name != trunk.name) else {
                return Ok(Judged::Goes);
            };
            let is_own = trunk.peers.iter().any(|peer| peer.sockets().any(|own| own == remote));
            if is_own {
                return Ok(Judged::Goes);
            }
            let (name, other) = (cx.edge.shown_name(uri), other.name.clone());
            let text = format!(
                "{name} leads to {remote}, a peer of trunk {other}: not followed by the rules of {}",
                trunk.name
            );
            return Err(refuse_candidate(cx, &text));
        }
        if attempt.in_call && cx.edge.is_forbidden(remote) {
            let name = cx.edge.shown_name(attempt.name());
            let text = format!("{name} leads to {remote}, where no transfer may lead: it is not called");
            return Err(refuse_candidate(cx, &text));
        }
        let owner = cx.edge.owner_of(remote).or_else(|| attempt.owner_by_name(cx.edge));
        let name = |trunk: &Option<Arc<Trunk>>| trunk.as_ref().map(|trunk| trunk.name.clone());
        if name(&owner) == name(&attempt.governs) {
            return Ok(Judged::Goes);
        }
        if let Some(trunk) = &owner {
            let text = format!("{} leads to the trunk {}: its rules hold", attempt.name(), trunk.name);
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        self.change_owner(cx, branch, owner);
        let Some(attempt) = self.attempt(branch) else { return Err(Failure::unreached(ReasonSlug::Internal)) };
        let allowed = attempt.may_be_called(cx).and_then(|()| attempt.may_introduce(cx));
        if allowed.is_err() {
            // The next address may be the same trunk's: it is judged like this one.
            self.change_owner(cx, branch, None);
        }
        allowed.map(|()| Judged::Changes)
    }

    /// Gives the place at the trunk before back: the call counts with the next one.
    fn change_owner(&mut self, cx: &mut Cx<'_>, branch: Branch, owner: Option<Arc<Trunk>>) {
        if let Some(attempt) = self.attempts.get(branch) {
            attempt.leave_trunk_place(cx, branch);
        }
        if let Some(attempt) = self.attempts.get_mut(branch) {
            attempt.is_counted = false;
            attempt.governs = owner;
        }
    }

    /// Goes the first way to the attempt's target once its trunk has a place for the call.
    pub(crate) fn take_place(&mut self, cx: &mut Cx<'_>, bridge: &mut Bridge, branch: Branch) -> Result<(), Failure> {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.limited_by().cloned()) else {
            return self.next_candidate(cx, bridge, branch);
        };
        let Err((reason, which)) = self.place_taken(cx, branch) else {
            return self.next_candidate(cx, bridge, branch);
        };
        // A call that waited for a limit of some calls would keep those behind it waiting that it is not for.
        let waits = !trunk.pace.is_zero() && which.is_none();
        let until = cx.now.checked_add(cx.call.patience(trunk.pace)).filter(|_| waits);
        let Some(until) = until else {
            refused_place(cx, &trunk, reason, which);
            self.attempts.remove(branch);
            let failure = Failure::unreached(reason).told();
            bridge.negotiation.note_failure(cx, None, &trunk.name, &failure);
            return Err(failure);
        };
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.progress = Progress::Waiting { until, reason };
        }
        cx.edge.trunks.wait(&trunk.name, (cx.call.key, branch));
        cx.edge.decide(cx.now, cx.call.key, format!("{}: {}, the call waits", trunk.name, reason.sentence()));
        self.ring_back(cx, bridge);
        self.wait_on(cx, branch, until);
        Ok(())
    }

    /// Counts the call in with its target's trunk, if that has a place; else what is reached, and which limit where that is
    /// one for some calls.
    pub(crate) fn place_taken(&mut self, cx: &mut Cx<'_>, branch: Branch) -> Result<(), (ReasonSlug, Option<String>)> {
        let nobody = (ReasonSlug::Internal, None);
        let Some(attempt) = self.attempt(branch) else { return Err(nobody) };
        let Some(trunk) = attempt.limited_by().cloned() else { return Ok(()) };
        let Addressed { number: called, form, .. } = attempt.addressed(cx.call, cx.edge);
        let is_bounded = cx.call.requested.is_some() && trunk.may_reach_emergency(cx.edge.table.numbers(), &called);
        if is_bounded {
            cx.edge.admission.emergencies.check(cx.now).map_err(|(reason, key)| (reason, Some(key)))?;
        }
        if cx.edge.table.numbers().is_emergency(&called) {
            cx.edge.resume_trunk_call(&trunk.name);
        } else {
            cx.edge.begin_target_call(cx.now, &trunk.name, (cx.call.key, branch)).map_err(|reason| (reason, None))?;
            let caller = cx.call.number_of(cx.call.legs.near).text.clone();
            let called = quota_spellings(cx, attempt, &trunk, (&called, form));
            let call = Numbered { called: &called, caller: &caller };
            if let Err((reason, which)) = cx.edge.take_quota(cx.now, &trunk.name, call, (cx.call.key, Some(branch))) {
                cx.edge.end_trunk_call(&trunk.name);
                return Err((reason, Some(which)));
            }
        }
        if is_bounded {
            cx.edge.admission.emergencies.count(cx.now, (cx.call.key, branch));
        }
        let Some(attempt) = self.attempts.get_mut(branch) else { return Err(nobody) };
        cx.edge.trunks.leave(&trunk.name, (cx.call.key, branch));
        attempt.is_counted = true;
        attempt.progress = Progress::Idle;
        Ok(())
    }

    /// Wakes the call when its trunk may have a place, at the latest when it has waited long enough.
    pub(crate) fn wait_on(&self, cx: &mut Cx<'_>, branch: Branch, until: Instant) {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.limited_by().cloned()) else { return };
        let left = until.saturating_duration_since(cx.now);
        let after =
            cx.edge.trunks.next_place(cx.now, &trunk.name, (cx.call.key, branch)).map_or(left, |wait| wait.min(left));
        cx.arm_left(Timer::Pace(branch), after);
    }

    /// Takes what a 3xx names: whether there is something to go on with.
    pub(crate) fn redirected(&mut self, cx: &mut Cx<'_>, branch: Branch, contacts: &[String]) -> bool {
        let Some(attempt) = self.attempt(branch) else { return false };
        let (own, asked, from) = (attempt.trunk.clone(), attempt.asked.clone(), attempt.limited_by().cloned());
        let mode = from.as_ref().map_or(RedirectMode::Peers, |trunk| trunk.redirect);
        if mode == RedirectMode::Refuse {
            let text = format!("{} answers 3xx: not followed (`redirect = \"refuse\"`)", attempt.name());
            cx.edge.decide(cx.now, cx.call.key, text);
            return false;
        }
        let from = from.filter(|_| mode == RedirectMode::Follow);
        let mut redirects = self.tried().redirects.remove(branch).unwrap_or_default();
        redirects.visited.note(asked);
        let mut found = VecDeque::new();
        for uri in contacts {
            match self.judge_contact(cx.edge, uri, own.as_ref(), from.as_ref(), &mut redirects) {
                Ok(onward) => found.push_back(onward),
                Err(why) => {
                    let shown = cx.edge.shown_name(uri);
                    cx.edge.decide(cx.now, cx.call.key, format!("{shown} {why}: not followed"));
                }
            }
        }
        found.append(&mut redirects.left);
        redirects.left = found;
        let goes_on = !redirects.left.is_empty();
        self.tried().redirects.insert(branch, redirects);
        goes_on
    }

    /// Judges one URI of a 3xx. `from`: the trunk that a number at the edge itself is called from.
    ///
    /// # Errors
    /// Why it is not followed.
    fn judge_contact(
        &mut self,
        edge: &Edge,
        uri: &str,
        own: Option<&Arc<Trunk>>,
        from: Option<&Arc<Trunk>>,
        redirects: &mut Redirects,
    ) -> Result<Onward, &'static str> {
        let here = number_here(edge, uri, own.map(|trunk| &**trunk));
        // Where no port is named, a peer on this machine comes first.
        let place = if here.is_some() && names_port(uri) { None } else { place(uri, own, &edge.table) };
        match (place, here) {
            (Some(place), _) if is_here(edge, &place.peer.destination) => Err("is this edge itself"),
            (Some(place), _) => redirects.visited.admit(name_of(uri)).map(|()| Onward::Peer(Box::new(place))),
            (None, Some(number)) => {
                let from = from.ok_or("is this edge itself")?;
                redirects.visited.admit(name_of(uri))?;
                self.forwarded.get_or_insert_default().admit(number.text.clone())?;
                Ok(Onward::Here(from.clone(), number))
            }
            (None, None) => Err("is not a peer of a trunk"),
        }
    }

    /// Goes on to the next place that a target has named, where the last one failed.
    pub(crate) fn follow(
        &mut self,
        cx: &mut Cx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        mut result: TargetResult,
    ) -> Followed {
        while matches!(result, TargetResult::Failed(_)) {
            let Some(onward) = self.tried().redirects.get_mut(branch).and_then(|redirects| redirects.left.pop_front())
            else {
                break;
            };
            // Who has said where to go on has not failed (RFC 3261 §16.7 step 4).
            if result.failure().reason != ReasonSlug::Transferred {
                self.controller.failed(result.into_failure());
            }
            let begun = match onward {
                Onward::Peer(place) => self.try_place(cx, bridge, branch, *place),
                Onward::Target(target) => self.try_target(cx, bridge, branch, *target),
                Onward::Here(trunk, number) => match plan_redirected(cx, &trunk, &number) {
                    // A target that an agent asks for is tried with the agent's caller still there: by itself.
                    Ok(plan) if self.is_last_ringing() && !self.is_consulting() => {
                        self.put_plan_first(cx, branch, &number, plan);
                        return Followed::Planned;
                    }
                    Ok(plan) => {
                        self.ring_on(cx, branch, plan);
                        result = TargetResult::Failed(Failure::unreached(ReasonSlug::Transferred));
                        continue;
                    }
                    Err(failure) => {
                        let forwards = format!("{} forwards the call to {}", trunk.name, number.text);
                        cx.edge.decide(cx.now, cx.call.key, failure.told_of(&forwards));
                        let failure = failure.told();
                        bridge.negotiation.note_failure(cx, None, &trunk.name, &failure);
                        Err(TargetResult::Failed(failure))
                    }
                },
            };
            match begun {
                Ok(next) => return Followed::Under(next),
                Err(failed) => result = failed,
            }
        }
        self.tried().redirects.remove(branch);
        Followed::Over(result)
    }

    /// Begins the place that a 3xx has named.
    fn try_place(
        &mut self,
        cx: &mut Cx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        place: Place,
    ) -> Result<Next, TargetResult> {
        let shown = cx.edge.shown_name(&place.uri);
        cx.edge.decide(cx.now, cx.call.key, format!("goes on to {shown}"));
        let Place { uri, trunk, peer, number } = place;
        let target = Target::Trunk { trunk, number: Some(number), peers: vec![peer] };
        let Some(mut attempt) = Attempt::new(target, cx.call.facts.ring_timeout) else {
            return Err(TargetResult::Failed(Failure::unreached(ReasonSlug::Internal)));
        };
        attempt.uri = Some(uri);
        self.begin_attempt(cx, bridge, branch, attempt)
    }

    /// Puts the targets of a number at the edge itself before those that are left.
    fn put_plan_first(&mut self, cx: &mut Cx<'_>, branch: Branch, number: &Number, plan: Plan) {
        let left = self.tried().redirects.remove(branch).map_or(0, |redirects| redirects.left.len());
        if left > 0 {
            let text = format!("the route's targets come instead of {left} more of the contacts");
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        self.tried = None;
        cx.call.facts.ring_timeout = plan.ring_timeout.or(cx.call.facts.ring_timeout);
        if let Some(shown) = &plan.route.caller_id {
            cx.call.facts.shown_as = Some(ShownCallerId::public(shown.clone()));
        }
        cx.take_listeners(&plan.forks);
        let is_emergency = cx.edge.table.numbers().is_emergency(number);
        if cx.call.state == State::Searching && (is_emergency || plan.route.sms.is_some()) {
            cx.forget_text();
            cx.watch_for_text(plan.route.sms.as_ref().filter(|_| !is_emergency));
        }
        // What the call's own route has for this case comes before a refusal by the other one.
        let keeps = self.controller.has_more();
        for target in plan.targets.into_iter().rev().filter(|target| !(keeps && matches!(target, Target::Reject(_)))) {
            self.controller.again(target);
        }
    }

    /// Has the targets of a number at the edge itself ring in the place of one that rang beside others: one after the other,
    /// without agents, which answer at once.
    fn ring_on(&mut self, cx: &mut Cx<'_>, branch: Branch, plan: Plan) {
        let all = plan.targets.into_iter().flat_map(|target| match target {
            Target::RingAll(targets) => targets,
            one @ (Target::Trunk { .. }
            | Target::Uri { .. }
            | Target::Agent(_)
            | Target::App(_)
            | Target::Reject(_)) => {
                vec![one]
            }
        });
        let (ring, others): (Vec<Target>, Vec<Target>) =
            all.partition(|target| matches!(target, Target::Trunk { .. } | Target::Uri { .. }));
        if !others.is_empty() {
            cx.edge.decide(
                cx.now,
                cx.call.key,
                "an agent, an application or a refusal cannot ring beside others: left out",
            );
        }
        if let Some(redirects) = self.tried().redirects.get_mut(branch) {
            for target in ring.into_iter().rev() {
                redirects.left.push_front(Onward::Target(Box::new(target)));
            }
        }
    }

    /// Checks in order what makes an INVITE refusable, draws the ports of the caller and finds the route.
    pub(crate) fn prepare(
        &mut self,
        cx: &mut Cx<'_>,
        bridge: &mut Bridge,
        incoming: &Incoming,
    ) -> Result<(), FinalAnswer> {
        let request = &incoming.request;
        if request.max_forwards() == Some(0) {
            return Err(FinalAnswer::new(483, ReasonSlug::TooManyHops));
        }
        cx.call.not_again(cx.edge)?;
        if cx.call.facts.is_incomplete {
            return Err(FinalAnswer::new(484, ReasonSlug::IncompleteNumber));
        }
        if cx.edge.table.numbers().is_emergency(&cx.call.facts.called) {
            cx.edge.decide(cx.now, cx.call.key, "emergency call: exempt from limits");
        }
        cx.screen_caller(&incoming.trunk)?;
        let session = Asked::of(request);
        cx.call.legs[LegId::CALLER].timer.ask(session);
        if session.is_too_short() {
            return Err(FinalAnswer::new(422, ReasonSlug::SessionTooShort));
        }
        bridge.negotiation.take_offer(cx, request)?;
        let (called, caller) = (&*cx.call.facts.called.text, &*cx.call.facts.caller.number.text);
        let headers = &cx.call.facts.headers;
        let info = CallInfo { from: &incoming.trunk.name, called, caller, headers, ..CallInfo::default() };
        let plan = cx.edge.plan(cx.now, info);
        let Some(mut plan) = plan else { return Err(FinalAnswer::new(404, ReasonSlug::NoRoute)) };
        cx.call.facts.route = plan.route.name.clone();
        cx.call.facts.ring_timeout = plan.ring_timeout;
        let line = plan.route.line.as_ref().map(|place| format!(", {}:{}", place.file, place.line));
        cx.edge.decide(cx.now, cx.call.key, format!("route {}{}", cx.call.facts.route, line.unwrap_or_default()));
        let is_emergency = cx.edge.table.numbers().is_emergency(&cx.call.facts.called);
        cx.edge.by_ratio(cx.now, cx.call.key, &mut plan, !is_emergency);
        recording::plan(cx, &mut plan, is_emergency);
        if plan.route.record && !is_emergency && cx.edge.sessions.recordings.refuses() {
            let (now, sid) = (cx.now, cx.call.legs.sid());
            cx.edge.sessions.recordings.note_refused(now, sid);
            return Err(FinalAnswer::new(503, ReasonSlug::RecordingUnavailable));
        }
        siprec::plan(cx, &plan.route.siprec, is_emergency).map_err(|reason| FinalAnswer::new(503, reason))?;
        cx.call.facts.shown_as = plan.route.caller_id.clone().map(ShownCallerId::public);
        cx.watch_for_text(plan.route.sms.as_ref());
        let forks = plan.forks.clone();
        self.controller = Controller::plan(plan);
        bridge.negotiation.open_media(cx)?;
        cx.arm(Timer::Search, self.controller.search_timeout());
        cx.open_listeners(&forks);
        Ok(())
    }
}

/// Checks whether an agent takes this caller at all, and whether the edge itself can answer it.
fn agent_connectable(call: &Shared, bridge: &Bridge, agent: &Agent) -> Result<(), TargetResult> {
    // The number of a requested call is the edge's own.
    if call.requested.is_none() && !agent.allows(&call.facts.caller.number) {
        return Err(TargetResult::Refused(Failure::with_code(486, ReasonSlug::CallerNotAllowed)));
    }
    bridge.negotiation.answerable(call).map_err(TargetResult::Failed)
}

/// How long TCP may be silent where UDP may for so long; zero: for ever.
pub(crate) fn silence(no_response_timeout: Duration) -> Duration {
    if no_response_timeout.is_zero() { OVERSIZE_SILENCE } else { OVERSIZE_SILENCE.min(no_response_timeout) }
}

/// Sets headers in the place of those of the same name.
fn set_headers(headers: &mut Vec<Extra>, further: Vec<(String, String)>) {
    headers.retain(|known| !further.iter().any(|(name, _)| known.name.eq_ignore_ascii_case(name)));
    headers.extend(further.into_iter().map(|(name, value)| Extra { name, value }));
}

/// Refuses a candidate whose address is one that the call must not reach.
fn refuse_candidate(cx: &mut Cx<'_>, text: &str) -> Failure {
    cx.edge.decide(cx.now, cx.call.key, text.to_owned());
    let sid = cx.call.legs.sid().to_owned();
    cx.edge.warn(&sid, text.to_owned(), Some(ReasonSlug::ForbiddenAddress));
    Failure::with_code(403, ReasonSlug::ForbiddenAddress).told()
}

/// Notes that a limit has refused the call at a trunk; `which`: the limit, where it is one for some of its calls.
pub(crate) fn refused_place(cx: &mut Cx<'_>, trunk: &Trunk, reason: ReasonSlug, which: Option<String>) {
    let limit = which.clone().unwrap_or_else(|| limit_of(trunk, reason, trunk.calls_per_second_out));
    if let Some(reached) = Limit::of(Some(&trunk.name), true, reason) {
        cx.edge.admission.limited.note(cx.now, reached, &limit, Some(cx.call.legs.sid()));
    }
    cx.call.story.proof = Some((reason, format!("trunk {}, {limit}", trunk.name).into()));
    let which = which.unwrap_or_else(|| "calls to it".to_owned());
    cx.edge.decide(cx.now, cx.call.key, format!("{}: {} ({which})", trunk.name, reason.sentence()));
    cx.edge.alarm(cx.now, cx.call.legs.sid(), &trunk.name, reason, &which);
}

/// The key of a trunk that a reason is about, with its value; `of_direction`: its rate of calls that go this way.
pub(crate) fn limit_of(trunk: &Trunk, reason: ReasonSlug, of_direction: u32) -> String {
    let Trunk { max_calls, calls_per_second, peer_calls_per_second, .. } = trunk;
    if reason == ReasonSlug::LimitCalls {
        return format!("`max_calls = {max_calls}`");
    }
    let rates = [("calls_per_second", *calls_per_second), ("calls_per_second", of_direction)];
    let rates =
        rates.into_iter().chain([("peer_calls_per_second", *peer_calls_per_second)]).filter(|(_, rate)| *rate > 0);
    let mut rates: Vec<String> = rates.map(|(key, rate)| format!("`{key} = {rate}`")).collect();
    rates.dedup();
    rates.join(", ")
}

/// What becomes of a way that is about to be dialled.
pub(crate) enum Judged {
    /// It is dialled.
    Goes,
    /// Another trunk's rules hold: its limits are asked first.
    Changes,
}

/// Returns the spellings of a called number and of the number that it is routed by, for the quotas of a trunk; none if it has no quota.
fn quota_spellings(
    cx: &Cx<'_>,
    attempt: &Attempt,
    trunk: &Trunk,
    (called, form): (&Number, SendNumbers),
) -> Vec<String> {
    if trunk.quotas.is_empty() {
        return Vec::new();
    }
    let numbers = cx.edge.table.numbers();
    let routed = attempt.routing_number(cx.call, cx.edge).and_then(Result::ok);
    let routed = routed.into_iter().flat_map(|number| numbers.spellings(&number, SendNumbers::AsIs));
    numbers.spellings(called, form).into_iter().chain(routed).collect()
}
