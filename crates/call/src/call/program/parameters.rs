//! Parameters of every request to an application, in Twilio's names.

use trunkgate_resources::applications::question::DocumentRequest;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::NUMBER_CHARS;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{IdentityTrust, NumberingPlan};
use trunkgate_sip::header::NameAddr;
use trunkgate_story::numbers::plain;
use trunkgate_twiml::{FetchRequest, RequestParameter};

use crate::call::legs::leg::Leg;
use crate::call::program::SeparatedParty;
use crate::call::recorders::detection;
use crate::call::shared::SharedCallState;
use crate::call::words::state::CallState;
use crate::call::words::webhooks;

/// Version of Twilio's API that the parameters follow.
const API_VERSION: &str = "2010-04-01";
/// Maximum number of headers that a request repeats.
const HEADERS: usize = 32;

/// Creates the request for a document. `called` is the called party if the document is for it, `None` if it is for the
/// caller. Returns `None` without a location, which no program produces.
pub(crate) fn request(
    call: &SharedCallState,
    edge: &Edge,
    called: Option<&SeparatedParty>,
    request: FetchRequest,
) -> Option<DocumentRequest> {
    let of_call = match called {
        Some(party) => of_party(call, edge, party.leg, &party.to, "in-progress"),
        None => of_caller(call, edge, status_of(call)),
    };
    webhooks::request(request, of_call)
}

/// Sets the call status of a request to completed, as Twilio does for requests made while the call ends.
pub(crate) fn complete(request: &mut DocumentRequest) {
    let status = request.parameters.iter_mut().find(|(name, _)| name == "CallStatus");
    status.into_iter().for_each(|(_, status)| "completed".clone_into(status));
}

/// Call of a party or caller, as described by the parameters common to all requests.
struct CallDescription<'a> {
    sid: &'a str,
    from: String,
    to: String,
    status: &'static str,
    direction: &'static str,
}

/// Returns the parameters common to all requests.
fn base(edge: &Edge, call: CallDescription<'_>) -> Vec<(String, String)> {
    let named = [
        ("CallSid", call.sid.to_owned()),
        ("AccountSid", edge.config().account_sid.clone()),
        ("From", call.from.clone()),
        ("To", call.to.clone()),
        ("Caller", call.from.clone()),
        ("Called", call.to.clone()),
        ("CallStatus", call.status.to_owned()),
        ("ApiVersion", API_VERSION.to_owned()),
        ("Direction", call.direction.to_owned()),
    ];
    let mut places = Vec::new();
    for (sides, number) in [(["From", "Caller"], &call.from), (["To", "Called"], &call.to)] {
        for (kind, value) in place_of(number) {
            places.extend(sides.map(|side| (format!("{side}{kind}"), value.clone())));
        }
    }
    let named = named.into_iter().map(|(name, value)| (name.to_owned(), value));
    named.chain(places).collect()
}

/// Returns the state and country of a number, as far as the numbering plans define them.
fn place_of(number: &str) -> impl Iterator<Item = (&'static str, String)> {
    let number = Some(number).filter(|number| number.starts_with('+'));
    let state = number.and_then(NumberingPlan::state_of).map(|state| ("State", state.to_owned()));
    let country = number.and_then(NumberingPlan::country_of).filter(|country| country.len() == 2);
    state.into_iter().chain(country.map(|country| ("Country", country)))
}

/// Returns the parameters for the call of a party that a program dialled.
pub(crate) fn of_party(
    call: &SharedCallState,
    edge: &Edge,
    leg: LegId,
    to: &str,
    status: &'static str,
) -> Vec<(String, String)> {
    let from = call.facts.shown_as.as_ref().map_or_else(|| call.facts.caller.shown(), |shown| shown.name());
    let (sid, to) = (&*call.legs[leg].sid, to.to_owned());
    let mut all = base(edge, CallDescription { sid, from, to, status, direction: "outbound-dial" });
    all.push(("ParentCallSid".to_owned(), call.legs.sid().to_owned()));
    all.extend(answered_by(&call.legs[leg]));
    all
}

/// Returns the parameters of answering machine detection.
fn answered_by(leg: &Leg) -> impl Iterator<Item = (String, String)> {
    let verdict = leg.sip.dialled.as_ref().and_then(|dialled| dialled.verdict());
    let parameters = verdict.map(detection::parameters);
    parameters.into_iter().flatten().map(|(name, value)| (name.to_owned(), value))
}

/// Returns the status of the caller's call, in Twilio's terms.
pub(crate) fn status_of(call: &SharedCallState) -> &'static str {
    match call.state {
        CallState::Searching if call.is_requested() && call.times.first_ring.is_none() => "queued",
        CallState::Searching => "ringing",
        CallState::Answered | CallState::Rerouting | CallState::Leaving => "in-progress",
        CallState::Ended if call.times.answered.is_some() => "completed",
        CallState::Ended => call.ending.map_or("failed", |ending| ending.status_of_unanswered()),
    }
}

/// Returns the parameters for the caller's call.
pub(crate) fn of_caller(call: &SharedCallState, edge: &Edge, status: &'static str) -> Vec<(String, String)> {
    let (from, to) = (call.facts.caller.shown(), call.facts.called.text.clone());
    let parent = call.origin.as_ref().and_then(|origin| origin.parent());
    let direction = match (parent, &call.origin) {
        (Some(_), _) => "outbound-dial",
        (None, Some(_)) => "outbound-api",
        (None, None) => "inbound",
    };
    let mut all = base(edge, CallDescription { sid: call.legs.sid(), from, to, status, direction });
    all.extend(parent.map(|parent| ("ParentCallSid".to_owned(), parent.to_owned())));
    let caller = call.origin.as_ref().map_or(Some(LegId::CALLER), |origin| origin.party());
    let Some(caller) = caller.map(|leg| &call.legs[leg]) else { return all };
    all.extend(answered_by(caller));
    let may_assert = caller.trunk.as_ref().is_some_and(|trunk| trunk.identity == IdentityTrust::Pass);
    if may_assert && !call.facts.caller.display.is_empty() && !call.facts.caller.anonymous {
        all.push(("CallerName".to_owned(), call.facts.caller.display.clone()));
    }
    if may_assert {
        let forwarded = forwarded_from(call).map(|number| ("ForwardedFrom".to_owned(), number));
        let verstat = call.facts.identity.verstat().map(|verstat| ("StirVerstat".to_owned(), verstat.to_owned()));
        all.extend(forwarded.into_iter().chain(verstat));
    }
    if parent.is_none() {
        all.push(("SipCallId".to_owned(), caller.sip.call_id.clone()));
    }
    all.extend(extensions(&call.facts.headers).map(|(name, value)| (format!("SipHeader_{name}"), value)));
    all
}

/// Returns the SIP parameters of a dialled party for the action of its Dial: code and headers of its final response.
pub(crate) fn of_dialled(leg: &Leg, code: Option<u16>, extensions: &[(String, String)]) -> Vec<RequestParameter> {
    let mut all = Vec::new();
    if leg.agent.is_some() {
        return all;
    }
    all.push(RequestParameter::new("DialSipCallId", leg.sip.call_id.clone()));
    all.extend(code.map(|code| RequestParameter::new("DialSipResponseCode", code.to_string())));
    all.extend(
        extensions.iter().map(|(name, value)| RequestParameter::new(format!("DialSipHeader_{name}"), value.clone())),
    );
    all
}

/// Returns the headers that applications receive, [`HEADERS`] at most.
pub(crate) fn extensions(headers: &[(String, String)]) -> impl Iterator<Item = (String, String)> {
    let own = headers.iter().filter(|(name, _)| is_extension(name)).take(HEADERS);
    own.map(|(name, value)| (name.clone(), value.trim().to_owned()))
}

/// Returns the number that last forwarded the call: the first entry of Diversion (RFC 5806 §4.1), or the second to last
/// of History-Info (RFC 7044 §10). An entry for the called number itself is ignored.
fn forwarded_from(call: &SharedCallState) -> Option<String> {
    let values = |wanted: &'static str| {
        let named = call.facts.headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
        named.flat_map(|(_, value)| NameAddr::list(value.as_bytes()))
    };
    let history: Vec<NameAddr<'_>> = values("History-Info").collect();
    let before_last = history.len().checked_sub(2).and_then(|at| history.get(at));
    let by = values("Diversion").next().or_else(|| before_last.cloned())?;
    let number = by.parsed_uri()?.user_unescaped();
    (!number.is_empty() && number != call.facts.called.text && number != call.facts.called.received)
        .then(|| plain(&number, NUMBER_CHARS))
}

/// Returns whether Twilio repeats a header in requests: `X-…` and User-to-User.
fn is_extension(name: &str) -> bool {
    name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-")) || name.eq_ignore_ascii_case("User-to-User")
}
