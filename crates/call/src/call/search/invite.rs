//! INVITE of an attempt: checks the candidate, takes a slot at the trunk, and creates the leg.

use std::sync::Arc;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::CallIdOwner;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_resources::lookups::rewrite;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_resources::trunks::quotas::CallNumbers;
use trunkgate_route::{CallerIdRule, Number, SendNumbers, Trunk};
use trunkgate_sip::{ExtraHeader, Flow, InviteRequest, LocalAddress, SipPartyId, Transport};
use trunkgate_story::numbers::Caller;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::redact;

use crate::call::legs::caller_id::describe_caller_id;
use crate::call::legs::dialled::OutboundCall;
use crate::call::legs::headers::{self, CallerIdentity, HeaderRecipient, of_invite, own_addresses};
use crate::call::legs::leg::Leg;
use crate::call::negotiation::CallNegotiation;
use crate::call::search::addressed::CalledNumber;
use crate::call::search::attempt::{Attempt, AttemptState, Candidate};
use crate::call::search::redirect::name_of;
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::words::answer::TargetFailure;
use crate::call::words::refer::ActiveReferral;
use crate::call::words::waits::silence;

/// Result of the check of a candidate.
pub(crate) enum CandidateCheck {
    /// The candidate may be called.
    Goes,
    /// The address belongs to another trunk, the limits of which are checked first.
    Changes,
}

impl Attempt {
    /// Checks the address of a candidate. A bare URI is subject to the rules of the trunk that owns the address; a
    /// redirection must not lead to a peer of another trunk.
    ///
    /// # Errors
    /// The address belongs to another trunk than the redirection named, must not be reached by a transfer, or its trunk
    /// does not allow the call.
    pub(crate) fn judge_candidate(
        &mut self,
        cx: &mut CallCx<'_>,
        branch: Branch,
        way: &Candidate,
    ) -> Result<CandidateCheck, TargetFailure> {
        let (Some(uri), Some(remote)) = (&self.uri, way.address) else { return Ok(CandidateCheck::Goes) };
        if let Some(trunk) = &self.trunk {
            // The host name of a redirection may resolve to an address that two trunks share with different ports.
            let Some(other) = cx.edge.table().peer_at(remote).filter(|other| other.name != trunk.name) else {
                return Ok(CandidateCheck::Goes);
            };
            let is_own = trunk.peers.iter().any(|peer| peer.sockets().any(|own| own == remote));
            if is_own {
                return Ok(CandidateCheck::Goes);
            }
            let (name, other) = (cx.edge.shown_name(uri), other.name.clone());
            let text = format!(
                "{name} leads to {remote}, a peer of trunk {other}: not followed by the rules of {}",
                trunk.name
            );
            return Err(refuse_candidate(cx, &text));
        }
        if self.in_call && cx.edge.is_forbidden(remote) {
            let name = cx.edge.shown_name(self.name());
            let text = format!("{name} leads to {remote}, an address that transfers may not reach: it is not called");
            return Err(refuse_candidate(cx, &text));
        }
        let owner = cx.edge.owner_of(remote).or_else(|| self.owner_by_name(cx.edge));
        let name = |trunk: &Option<Arc<Trunk>>| trunk.as_ref().map(|trunk| trunk.name.clone());
        if name(&owner) == name(&self.governs) {
            return Ok(CandidateCheck::Goes);
        }
        if let Some(trunk) = &owner {
            let text = format!("{} leads to the trunk {}: the rules of that trunk apply", self.name(), trunk.name);
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        self.change_owner(cx, branch, owner);
        let allowed = self.may_be_called(cx).and_then(|()| self.may_introduce(cx));
        if allowed.is_err() {
            // The next address may belong to the same trunk, and is checked in the same way.
            self.change_owner(cx, branch, None);
        }
        allowed.map(|()| CandidateCheck::Changes)
    }

    /// Releases the slot at the previous owner of the address, and subjects the attempt to the limits of `owner`.
    fn change_owner(&mut self, cx: &mut CallCx<'_>, branch: Branch, owner: Option<Arc<Trunk>>) {
        self.leave_trunk_place(cx, branch);
        self.is_counted = false;
        self.governs = owner;
    }

    /// Counts the call against the limits of the target's trunk.
    ///
    /// # Errors
    /// Reason of the limit that was reached, and its key if the limit applies to some calls only.
    pub(crate) fn take_place(
        &mut self,
        cx: &mut CallCx<'_>,
        branch: Branch,
    ) -> Result<(), (ReasonSlug, Option<String>)> {
        let Some(trunk) = self.limited_by().cloned() else { return Ok(()) };
        let CalledNumber { number: called, form, .. } = self.addressed(cx.call, cx.edge);
        let is_bounded = cx.call.is_requested() && trunk.may_reach_emergency(cx.edge.numbers(), &called);
        if is_bounded {
            cx.edge.admission_mut().emergencies.check(cx.now).map_err(|(reason, key)| (reason, Some(key)))?;
        }
        if cx.edge.numbers().is_emergency(&called) {
            cx.edge.resume_trunk_call(&trunk.name);
        } else {
            cx.edge.begin_target_call(cx.now, &trunk.name, (cx.call.key, branch)).map_err(|reason| (reason, None))?;
            let caller = cx.call.number_of(cx.call.legs.near).text.clone();
            let called = self.quota_spellings(cx, &trunk, (&called, form));
            let call = CallNumbers { called: &called, caller: &caller };
            if let Err((reason, which)) = cx.edge.take_quota(cx.now, &trunk.name, call, (cx.call.key, Some(branch))) {
                cx.edge.end_trunk_call(&trunk.name);
                return Err((reason, Some(which)));
            }
        }
        if is_bounded {
            cx.edge.admission_mut().emergencies.count(cx.now, (cx.call.key, branch));
        }
        cx.edge.trunks_mut().remove_waiting(&trunk.name, (cx.call.key, branch));
        self.is_counted = true;
        self.progress = AttemptState::Idle;
        Ok(())
    }

    /// Returns the spellings of a called number and of its routing number for the quotas of a trunk; empty without a
    /// quota.
    fn quota_spellings(&self, cx: &CallCx<'_>, trunk: &Trunk, (called, form): (&Number, SendNumbers)) -> Vec<String> {
        if trunk.quotas.is_empty() {
            return Vec::new();
        }
        let numbers = cx.edge.numbers();
        let routed = self.routing_number(cx.call, cx.edge).and_then(Result::ok);
        let routed = routed.into_iter().flat_map(|number| numbers.spellings(&number, SendNumbers::AsIs));
        numbers.spellings(called, form).into_iter().chain(routed).collect()
    }

    /// Sends the INVITE of a new leg.
    ///
    /// # Errors
    /// No listener leads to the address, the trunk's rate limit is reached, or no offer can be made. The leg is not
    /// added then.
    pub(crate) fn invite(
        &mut self,
        cx: &mut CallCx<'_>,
        negotiation: &CallNegotiation,
        branch: Branch,
        way: &Candidate,
    ) -> Result<(), TargetFailure> {
        let unreachable = || TargetFailure::unreached(ReasonSlug::Unreachable);
        let (trunk, further) = (self.trunk.clone(), self.headers.clone());
        let CalledNumber { trunk: governs, number: asked_for, .. } = self.addressed(cx.call, cx.edge);
        let is_emergency = cx.edge.numbers().is_emergency(&asked_for);
        let (flow, local) = self.flow_of(cx.edge, way).ok_or_else(unreachable)?;
        if let Some(trunk) = &governs
            && !is_emergency
            && !cx.edge.trunks_mut().may_call(cx.now, &trunk.name, flow.remote.ip())
        {
            return Err(TargetFailure::unreached(ReasonSlug::LimitRate));
        }
        let mut leg = self.new_leg(cx, way, flow).ok_or_else(unreachable)?;
        let body = negotiation.offer_or_close(cx, &mut leg, way.plain)?;
        let form = trunk.as_ref().map_or(SendNumbers::E164, |t| t.send_numbers);
        let numbers = cx.edge.numbers();
        let uri = self.uri.as_deref().map_or_else(|| self.called_uri(cx, way, form), rewrite::without_separators);
        let to = HeaderRecipient { trunk: trunk.as_deref(), governs: governs.as_deref(), ours: local.ip };
        let from_trunk = cx.call.legs.near_leg().trunk.as_deref();
        let rule = governs.as_ref().and_then(|trunk| trunk.caller_id.as_ref());
        let (caller, mut headers) = introduction(cx.call, cx.edge, from_trunk, &to, rule);
        let from = headers::from(&caller, &to, numbers, &mut headers);
        let caller_id = describe_caller_id(&from, &headers);
        set_headers(&mut headers, further);
        headers.extend(leg.session_headers().into_iter().chain([cx.call.hops_onward(cx.edge)]));
        let contact_user = rewrite::escape_user(&numbers.format(&caller.number, form));
        let body = way.located(cx, body, &mut headers);
        let asked = name_of(&uri);
        let shown = self.uri.as_deref().map_or_else(|| asked_for.text.clone(), redact::sip_uri);
        leg.sip.dialled =
            Some(Box::new(OutboundCall::new(cx.edge.date(cx.now), &cx.call.name_of_caller(&caller), &shown)));
        let invite = InviteRequest {
            flow,
            local,
            oversize: self.oversize(cx.edge, way, flow),
            party: leg.party,
            from,
            to: format!("<{uri}>"),
            // RFC 3261 §16.6 step 2: a phone is called by its Contact; To names the called party.
            uri: way.registered.as_ref().map_or(uri, |(_, contact)| contact.clone()),
            contact_user,
            max_forwards: cx.call.facts.max_forwards,
            headers,
            body: Some(body),
        };
        let at = cx.call.legs.place(cx.call.legs.next_id());
        let client = cx.edge.invite(cx.now, at, invite);
        let went = cx.edge.endpoint().client_flow(client).unwrap_or(flow);
        let is_oversize = went.transport != flow.transport;
        leg.flow = Some(went);
        leg.sip.call_id = cx.edge.endpoint().call_id(client).unwrap_or_default().to_owned();
        leg.sip.invite = Some(client);
        let named = CallIdOwner { at, party: leg.party, trunk: leg.trunk.clone(), remote: flow.remote.ip() };
        cx.edge.index_mut().enter(leg.sip.call_id.as_bytes(), named);
        // Further addresses of the trunk belong to the same call, so that it counts once.
        if self.called_at.is_none() {
            cx.edge.trunks_mut().tried(cx.now, leg.trunk_name());
        }
        cx.count_failover();
        cx.call.legs.push(leg);
        self.calls(cx.now, at.leg, asked, caller_id);
        self.await_answer(cx, branch, is_oversize);
        Ok(())
    }

    /// Arms the timers of an INVITE. One sent over TCP because of its length gets less time for a first response, as it
    /// may be retried over UDP.
    fn await_answer(&self, cx: &mut CallCx<'_>, branch: Branch, is_oversize: bool) {
        let silence = if is_oversize { silence(self.no_response_timeout) } else { self.no_response_timeout };
        cx.arm(CallTimer::NoResponse(branch), silence);
        cx.arm(CallTimer::Ring(branch), self.ring_timeout);
    }

    /// Returns the flow from one of our listeners to a candidate. `None` if no listener leads to its address.
    fn flow_of(&self, edge: &Edge, way: &Candidate) -> Option<(Flow, LocalAddress)> {
        if let Some((flow, _)) = &way.registered {
            return Some((*flow, edge.addressing().local(flow.remote.ip(), flow.listener)?));
        }
        let remote = way.address?;
        let trunk = self.trunk.as_ref();
        edge.addressing().way(trunk.and_then(|t| t.listen.as_deref()), way.transport, remote)
    }

    /// Creates the leg of an INVITE that is sent on `flow`. `None` if no local address leads to the remote one.
    fn new_leg(&self, cx: &mut CallCx<'_>, way: &Candidate, flow: Flow) -> Option<Leg> {
        let (trunk, governs) = (self.trunk.clone(), self.governs.clone());
        let party = match &trunk {
            Some(trunk) => cx.edge.party(&trunk.name),
            // A bare URI may lead to a trunk's address; its responses then come from that trunk.
            None => cx
                .edge
                .table()
                .trunk_of(flow.remote)
                .map(|t| t.name.clone())
                .map_or(SipPartyId(0), |name| cx.edge.party(&name)),
        };
        let media_ip = cx.edge.addressing().media_shown_to(flow.remote.ip(), flow.listener)?;
        let referral = cx.call.facts.referral.as_ref();
        let number = referral.map(|referral| Box::new(referral.refer.number.clone().unwrap_or_else(Number::unknown)));
        let leg = Leg::new(cx.edge.random_mut().sid(), party, flow, media_ip, cx.edge.random_mut().session_id());
        Some(Leg { trunk, governs, peer: way.peer.clone(), number, ..leg })
    }

    /// Returns the TCP flow for requests that are too long for UDP, if the trunk uses one (RFC 3261 §18.1.1).
    fn oversize(&self, edge: &Edge, way: &Candidate, flow: Flow) -> Option<(usize, Flow, LocalAddress)> {
        let trunk = self.trunk.as_ref()?;
        if !trunk.oversize_by_tcp || flow.transport != Transport::Udp || way.by_udp {
            return None;
        }
        let (flow, local) = edge.addressing().way(trunk.listen.as_deref(), Transport::Tcp, flow.remote)?;
        Some((trunk.udp_mtu, flow, local))
    }
}

/// Returns the caller identity for a target and further headers of its INVITE, taken from the side that waits for the
/// target. `rule` restricts the caller ID.
fn introduction(
    call: &SharedCallState,
    edge: &Edge,
    from: Option<&Trunk>,
    to: &HeaderRecipient<'_>,
    rule: Option<&CallerIdRule>,
) -> (Caller, Vec<ExtraHeader>) {
    let numbers = edge.numbers();
    let (caller, showing) = call.introduced(from, to.trunk, rule);
    let unknown = CallerIdentity::default();
    let (headers, identity) = match call.legs.near {
        LegId::CALLER => (&call.facts.headers[..], &call.facts.identity),
        _ => (&[][..], &unknown),
    };
    let headers = of_invite(headers, identity, from, to, numbers, &showing);
    (caller, headers.into_iter().chain(referral_headers(call, edge, to, rule)).collect())
}

/// Returns Referred-By (RFC 3892), rewritten to addresses of the edge, and Replaces (RFC 3891) for the target of a
/// transfer. `rule` restricts numbers in Referred-By, and so does `caller_id_in` of the transferor's trunk.
fn referral_headers(
    call: &SharedCallState,
    edge: &Edge,
    to: &HeaderRecipient<'_>,
    rule: Option<&CallerIdRule>,
) -> Vec<ExtraHeader> {
    let Some(ActiveReferral { by, refer }) = call.facts.referral.as_deref() else { return Vec::new() };
    let by_trunk = call.legs.get(*by).and_then(|leg| leg.trunk.as_deref());
    let rules = [by_trunk.and_then(|trunk| trunk.caller_id_in.as_ref()), rule];
    // The trunk that gets its own Refer-To back also gets its Referred-By unchanged.
    let is_back = refer.returned.is_some() && to.trunk.map(|trunk| &trunk.name) == by_trunk.map(|trunk| &trunk.name);
    let by = refer.referred_by.as_ref();
    let by = match by.filter(|_| is_back) {
        Some(by) => Some(by.clone()),
        None => by.and_then(|by| own_addresses(by, to, edge.numbers(), rules)),
    };
    let replaces = refer.replaces.as_ref().map(|replaces| extra("Replaces", replaces.to_string()));
    by.map(|by| extra("Referred-By", by)).into_iter().chain(replaces).collect()
}

/// Adds headers, replacing those with the same name.
fn set_headers(headers: &mut Vec<ExtraHeader>, further: Vec<(String, String)>) {
    headers.retain(|known| !further.iter().any(|(name, _)| known.name.eq_ignore_ascii_case(name)));
    headers.extend(further.into_iter().map(|(name, value)| ExtraHeader { name, value }));
}

/// Refuses a candidate with a forbidden address.
fn refuse_candidate(cx: &mut CallCx<'_>, text: &str) -> TargetFailure {
    cx.edge.decide(cx.now, cx.call.key, text.to_owned());
    let sid = cx.call.legs.sid().to_owned();
    cx.edge.warn(&sid, text.to_owned(), Some(ReasonSlug::ForbiddenAddress));
    TargetFailure::with_code(403, ReasonSlug::ForbiddenAddress).told()
}
