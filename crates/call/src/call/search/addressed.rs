//! Whom an attempt asks for: the number, the trunk whose rules hold for it, and the place at that trunk.

use std::sync::Arc;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_resources::lookups::rewrite;
use trunkgate_route::number::Incomplete;
use trunkgate_route::{Number, SendNumbers, Trunk};
use trunkgate_sip::header::NameAddr;
use trunkgate_sip::{Body, Extra};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::location::{GEOLOCATION, Location, cid, keep_sent, with_locations};
use crate::call::search::attempt::{Attempt, Candidate, Progress};
use crate::call::shared::{Cx, Shared};
use crate::call::words::answer::Failure;
use crate::call::words::uri::number_of_uri;

/// Whom a target is asked for, and by whose rules.
#[derive(Debug, Clone)]
pub(crate) struct Addressed {
    /// The trunk whose rules hold.
    pub(crate) trunk: Option<Arc<Trunk>>,
    /// The number that is asked for.
    pub(crate) number: Number,
    /// The form in which the number leaves.
    pub(crate) form: SendNumbers,
}

impl Attempt {
    /// The trunk whose rules hold for a target, and the number that it is asked for; a URI that leads to a trunk is no way
    /// round that one's rules.
    pub(crate) fn addressed(&self, call: &Shared, edge: &Edge) -> Addressed {
        let numbers = edge.numbers();
        let trunk = self.limited_by().cloned();
        let (number, form) = match (&self.uri, &self.number) {
            // It leaves as it is written.
            (Some(uri), _) => (number_of_uri(uri, numbers), SendNumbers::AsIs),
            (None, number) => {
                let form = trunk.as_ref().map_or(SendNumbers::E164, |trunk| trunk.send_numbers);
                (number.as_deref().map(|number| numbers.normalise_caller(number, None)), form)
            }
        };
        Addressed { trunk, number: number.unwrap_or_else(|| call.facts.called.clone()), form }
    }

    /// The parameters of the called number that a target may be told, as they are written: it is called by that number, and both
    /// trunks are trusted with them.
    pub(crate) fn number_parameters<'a>(&'a self, call: &'a Shared) -> impl Iterator<Item = &'a str> {
        let is_called = call.legs.near == LegId::CALLER && self.number.is_none() && self.uri.is_none();
        let trunk = self.trunk.as_ref().filter(|_| is_called);
        let all = call.facts.number_parameters.split(';').filter(|text| !text.is_empty());
        let name = |text: &'a str| text.split('=').next().unwrap_or_default();
        all.filter(move |text| trunk.is_some_and(|trunk| trunk.number_parameters.contains(&name(text))))
    }

    /// The number that a target's network routes by instead of the called one (RFC 4694); `None` if it gets none.
    pub(crate) fn routing_number(&self, call: &Shared, edge: &Edge) -> Option<Result<Number, Incomplete>> {
        let value = self.number_parameters(call).find_map(|text| text.strip_prefix("rn="))?;
        Some(edge.numbers().normalise(value, None))
    }

    /// Returns the trunk whose rules hold for a bare URI before its name is looked up.
    pub(crate) fn owner_by_name(&self, edge: &Edge) -> Option<Arc<Trunk>> {
        let destination = self.bare_destination()?;
        match destination.literal() {
            Some(server) => server.sockets().find_map(|socket| edge.owner_of(socket)),
            None => edge.table().trunk_at(&destination.host).cloned(),
        }
    }

    /// Whether a target's trunk gets calls to the number that it would be asked for.
    pub(crate) fn may_be_called(&self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if self.uri.as_deref().is_some_and(|uri| !rewrite::is_callable(uri, cx.edge.numbers())) {
            return Err(Failure::with_code(484, ReasonSlug::IncompleteNumber));
        }
        let Addressed { trunk: Some(trunk), number, form } = self.addressed(cx.call, cx.edge) else {
            return Ok(());
        };
        // A user of the trunk that a REFER is returned for may have no number.
        if self.trunk.is_none() || !number.text.is_empty() {
            cx.may_take(&trunk, &number, form)?;
        }
        // Where it is there, it is what the far end routes by.
        match self.routing_number(cx.call, cx.edge) {
            None => Ok(()),
            Some(Ok(routed)) => cx.may_take(&trunk, &routed, SendNumbers::AsIs),
            Some(Err(Incomplete)) => Err(Failure::with_code(484, ReasonSlug::IncompleteNumber)),
        }
    }

    /// The Request-URI of a target that is called by a number.
    pub(crate) fn called_uri(&self, cx: &Cx<'_>, way: &Candidate, form: SendNumbers) -> String {
        let called = rewrite::called(self.number.as_deref(), &cx.call.facts.called, form, cx.edge.numbers());
        let mut user = rewrite::escape_user(&called);
        for parameter in self.number_parameters(cx.call) {
            user.push(';');
            user.push_str(parameter);
        }
        rewrite::request_uri(&user, &way.peer, &way.destination.host, way.destination.port)
    }

    /// Whether a target may be shown who calls; what it is shown in the place of that is traced.
    pub(crate) fn may_introduce(&self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let Addressed { trunk, number, .. } = self.addressed(cx.call, cx.edge);
        // No caller ID rule stops an emergency call: its caller may have to be called back.
        let is_emergency = cx.edge.numbers().is_emergency(&number);
        let from = cx.call.legs.near_leg().trunk.clone();
        let rule = trunk.as_ref().and_then(|trunk| trunk.caller_id.as_ref());
        let told = cx.call.who(from.as_deref(), self.trunk.as_deref());
        let shown = cx.call.shown(told.clone(), rule);
        let refused = Failure::with_code(403, ReasonSlug::CallerIdRefused);
        // Of a target that forwards to a carrier, or a name that leads to one.
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

    /// Gives the place at the trunk or the agent back, or the one among those that wait.
    pub(crate) fn leave_place(&self, cx: &mut Cx<'_>, branch: Branch) {
        cx.disarm(Timer::Pace(branch));
        cx.disarm(Timer::Queue);
        if let Some(agent) = &self.agent {
            cx.edge.agents_mut().leave_line(&agent.name, cx.call.key);
            if matches!(self.progress, Progress::Queued { .. }) {
                cx.edge.note_waiting();
            }
        }
        self.leave_trunk_place(cx, branch);
    }

    /// Gives the place at the trunk back, or the one among those that wait.
    pub(crate) fn leave_trunk_place(&self, cx: &mut Cx<'_>, branch: Branch) {
        let Some(trunk) = self.limited_by() else { return };
        match self.is_counted {
            true => {
                cx.edge.quotas_mut().end(&trunk.name, (cx.call.key, Some(branch)));
                cx.edge.admission_mut().emergencies.end((cx.call.key, branch));
                cx.edge.end_trunk_call(&trunk.name);
            }
            false => cx.edge.trunks_mut().leave(&trunk.name, (cx.call.key, branch)),
        }
    }
}

impl Candidate {
    /// The body of an INVITE with these headers: the offer, and with it where the caller is, as far as the headers say.
    pub(crate) fn located(&self, cx: &mut Cx<'_>, sdp: Body, headers: &mut Vec<Extra>) -> Body {
        let is_named = |location: &Location| {
            let geolocation = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(GEOLOCATION));
            let mut named = geolocation.flat_map(|header| NameAddr::list(header.value.as_bytes()));
            named.any(|entry| cid(entry.uri).as_ref() == Some(&location.id))
        };
        let sent: Vec<&Location> =
            cx.call.facts.locations.iter().filter(|location| !self.only_sdp && is_named(location)).collect();
        keep_sent(headers, &sent);
        if sent.is_empty() {
            return sdp;
        }
        with_locations(sdp, &sent, &cx.edge.random_mut().boundary())
    }
}
