//! Addressing of an attempt: the number, the trunk with the rules that apply to it, and the slot at that trunk.

use std::sync::Arc;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_resources::lookups::rewrite;
use trunkgate_route::number::AddressIncomplete;
use trunkgate_route::{Number, SendNumbers, Trunk};
use trunkgate_sip::header::NameAddr;
use trunkgate_sip::{ExtraHeader, MessageBody};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::location::{CallerLocation, GEOLOCATION, cid, keep_sent, with_locations};
use crate::call::search::attempt::{Attempt, AttemptState, Candidate};
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::words::answer::TargetFailure;
use crate::call::words::uri::number_of_uri;

/// Number of a target and the trunk with the rules that apply to it.
#[derive(Debug, Clone)]
pub(crate) struct CalledNumber {
    /// Trunk with the rules that apply.
    pub(crate) trunk: Option<Arc<Trunk>>,
    /// Called number.
    pub(crate) number: Number,
    /// Format in which the number is sent.
    pub(crate) form: SendNumbers,
}

impl Attempt {
    /// Returns the called number of a target and the trunk with the rules that apply. A bare URI that leads to a trunk
    /// is subject to that trunk's rules.
    pub(crate) fn addressed(&self, call: &SharedCallState, edge: &Edge) -> CalledNumber {
        let numbers = edge.numbers();
        let trunk = self.limited_by().cloned();
        let (number, form) = match (&self.uri, &self.number) {
            // A URI is sent as written.
            (Some(uri), _) => (number_of_uri(uri, numbers), SendNumbers::AsIs),
            (None, number) => {
                let form = trunk.as_ref().map_or(SendNumbers::E164, |trunk| trunk.send_numbers);
                (number.as_deref().map(|number| numbers.normalise_caller(number, None)), form)
            }
        };
        CalledNumber { trunk, number: number.unwrap_or_else(|| call.facts.called.clone()), form }
    }

    /// Returns the parameters of the called number that both trunks are trusted with, as written in a URI; empty if the
    /// target is called by another number.
    pub(crate) fn number_parameters<'a>(&'a self, call: &'a SharedCallState) -> impl Iterator<Item = &'a str> {
        let is_called = call.legs.near == LegId::CALLER && self.number.is_none() && self.uri.is_none();
        let trunk = self.trunk.as_ref().filter(|_| is_called);
        let all = call.facts.number_parameters.split(';').filter(|text| !text.is_empty());
        let name = |text: &'a str| text.split('=').next().unwrap_or_default();
        all.filter(move |text| trunk.is_some_and(|trunk| trunk.number_parameters.contains(&name(text))))
    }

    /// Returns the routing number that the target's network uses instead of the called number (RFC 4694), if any.
    pub(crate) fn routing_number(
        &self,
        call: &SharedCallState,
        edge: &Edge,
    ) -> Option<Result<Number, AddressIncomplete>> {
        let value = self.number_parameters(call).find_map(|text| text.strip_prefix("rn="))?;
        Some(edge.numbers().normalise(value, None))
    }

    /// Returns the trunk that owns the address or host name of a bare URI, before DNS resolution. `None` if no trunk
    /// owns it, or the target is not a bare URI.
    pub(crate) fn owner_by_name(&self, edge: &Edge) -> Option<Arc<Trunk>> {
        let destination = self.bare_destination()?;
        match destination.literal() {
            Some(server) => server.sockets().find_map(|socket| edge.owner_of(socket)),
            None => edge.table().trunk_at(&destination.host).cloned(),
        }
    }

    /// Checks that the target's trunk accepts calls to the number.
    ///
    /// # Errors
    /// The number is incomplete, or the trunk does not accept it.
    pub(crate) fn may_be_called(&self, cx: &mut CallCx<'_>) -> Result<(), TargetFailure> {
        if self.uri.as_deref().is_some_and(|uri| !rewrite::is_callable(uri, cx.edge.numbers())) {
            return Err(TargetFailure::with_code(484, ReasonSlug::IncompleteNumber));
        }
        let CalledNumber { trunk: Some(trunk), number, form } = self.addressed(cx.call, cx.edge) else {
            return Ok(());
        };
        // A trunk user that a REFER names may have no number.
        if self.trunk.is_none() || !number.text.is_empty() {
            cx.may_take(&trunk, &number, form)?;
        }
        // The remote network routes the call by the routing number.
        match self.routing_number(cx.call, cx.edge) {
            None => Ok(()),
            Some(Ok(routed)) => cx.may_take(&trunk, &routed, SendNumbers::AsIs),
            Some(Err(AddressIncomplete)) => Err(TargetFailure::with_code(484, ReasonSlug::IncompleteNumber)),
        }
    }

    /// Builds the Request-URI of a target that is called by number.
    pub(crate) fn called_uri(&self, cx: &CallCx<'_>, way: &Candidate, form: SendNumbers) -> String {
        let called = rewrite::called(self.number.as_deref(), &cx.call.facts.called, form, cx.edge.numbers());
        let mut user = rewrite::escape_user(&called);
        for parameter in self.number_parameters(cx.call) {
            user.push(';');
            user.push_str(parameter);
        }
        rewrite::request_uri(&user, &way.peer, &way.destination.host, way.destination.port)
    }

    /// Checks that the target may be shown the caller, and logs a replaced caller ID.
    ///
    /// # Errors
    /// 403: the trunk's `caller_id` forbids the caller's number, or the number is private to targets that no carrier
    /// reaches.
    pub(crate) fn may_introduce(&self, cx: &mut CallCx<'_>) -> Result<(), TargetFailure> {
        let CalledNumber { trunk, number, .. } = self.addressed(cx.call, cx.edge);
        // Emergency calls are exempt from caller ID rules: the caller may have to be called back.
        let is_emergency = cx.edge.numbers().is_emergency(&number);
        let from = cx.call.legs.near_leg().trunk.clone();
        let rule = trunk.as_ref().and_then(|trunk| trunk.caller_id.as_ref());
        let told = cx.call.who(from.as_deref(), self.trunk.as_deref());
        let shown = cx.call.shown(told.clone(), rule);
        let refused = TargetFailure::with_code(403, ReasonSlug::CallerIdRefused);
        // The trunk may be a carrier that the target forwards to, or that its name resolves to.
        let is_private = cx.call.facts.shown_as.as_ref().is_some_and(|shown| shown.is_private);
        if is_private && trunk.as_ref().is_some_and(|trunk| !trunk.accept_register) {
            let text = format!("{} may not see the callerId of the document (13214)", self.name());
            cx.edge.decide(cx.now, cx.call.key, text);
            return Err(refused);
        }
        let Some(shown) = shown.or_else(|| is_emergency.then(|| told.clone())) else { return Err(refused) };
        if shown.number.text != told.number.text {
            let (instead, of) = (&shown.number.text, told.shown());
            cx.edge.decide(cx.now, cx.call.key, format!("caller ID to {}: {instead} instead of {of}", self.name()));
        }
        Ok(())
    }

    /// Releases the slot at the trunk or agent, or the position in its queue.
    pub(crate) fn leave_place(&self, cx: &mut CallCx<'_>, branch: Branch) {
        cx.disarm(CallTimer::Pace(branch));
        cx.disarm(CallTimer::Queue);
        if let Some(agent) = &self.agent {
            cx.edge.agents_mut().leave_line(&agent.name, cx.call.key);
            if matches!(self.progress, AttemptState::Queued { .. }) {
                cx.edge.note_waiting();
            }
        }
        self.leave_trunk_place(cx, branch);
    }

    /// Releases the slot at the trunk, or the position among the attempts that wait for one.
    pub(crate) fn leave_trunk_place(&self, cx: &mut CallCx<'_>, branch: Branch) {
        let Some(trunk) = self.limited_by() else { return };
        match self.is_counted {
            true => {
                cx.edge.quotas_mut().end(&trunk.name, (cx.call.key, Some(branch)));
                cx.edge.admission_mut().emergencies.end((cx.call.key, branch));
                cx.edge.end_trunk_call(&trunk.name);
            }
            false => cx.edge.trunks_mut().remove_waiting(&trunk.name, (cx.call.key, branch)),
        }
    }
}

impl Candidate {
    /// Builds the body of an INVITE: the offer, and the caller's location objects that the headers refer to.
    pub(crate) fn located(&self, cx: &mut CallCx<'_>, sdp: MessageBody, headers: &mut Vec<ExtraHeader>) -> MessageBody {
        let is_named = |location: &CallerLocation| {
            let geolocation = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(GEOLOCATION));
            let mut named = geolocation.flat_map(|header| NameAddr::list(header.value.as_bytes()));
            named.any(|entry| cid(entry.uri).as_ref() == Some(&location.id))
        };
        let sent: Vec<&CallerLocation> =
            cx.call.facts.locations.iter().filter(|location| !self.only_sdp && is_named(location)).collect();
        keep_sent(headers, &sent);
        if sent.is_empty() {
            return sdp;
        }
        with_locations(sdp, &sent, &cx.edge.random_mut().boundary())
    }
}
