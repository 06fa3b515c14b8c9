//! Creation of a call from an admitted INVITE, with its index entries. Whether the call is refused is decided later, by
//! [`Search::screen_invite`](crate::call::search::Search::screen_invite).

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::NUMBER_CHARS;
use trunkgate_resources::lookups::index::{CallIdOwner, LegRef};
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_route::Number;
use trunkgate_sip::{ServerId, SipMessage};
use trunkgate_story::few::SmallMap;
use trunkgate_story::numbers::{called, caller, number_parameters, plain};

use crate::call::legs::caller_id::Hops;
use crate::call::legs::headers::{CallerIdentity, collect_relayed_headers};
use crate::call::legs::leg::Leg;
use crate::call::legs::list::Legs;
use crate::call::legs::location::CallerLocation;
use crate::call::parts::{Call, CallParts};
use crate::call::shared::listeners::CallerListeners;
use crate::call::shared::story::CallNotes;
use crate::call::shared::{CallFacts, CallTimes, SharedCallState, UnannouncedParties};
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::incoming::MAX_FORWARDS;
use crate::call::words::state::CallState;

impl Call {
    /// Creates the call of an admitted INVITE and enters it in the index.
    pub(crate) fn new(now: Instant, edge: &mut Edge, key: CallKey, incoming: &IncomingInvite) -> Call {
        let IncomingInvite { server, flow, party, trunk, request } = incoming;
        let leg = Leg::of_caller(edge, incoming);
        let at = LegRef { key, leg: LegId::CALLER };
        let named = CallIdOwner { at, party: *party, trunk: Some(trunk.clone()), remote: flow.remote.ip() };
        enter(now, edge, *server, &leg, named);
        edge.health_mut().hasten(now, &trunk.name, flow.remote.ip());
        let numbers = edge.numbers();
        let headers = collect_relayed_headers(request, &trunk.headers, edge.table());
        let (caller, called) = (caller(request, numbers), called(request, trunk, numbers));
        let facts = CallFacts {
            caller,
            is_incomplete: called.is_err(),
            called: called.unwrap_or_else(|_| unreadable(request)),
            number_parameters: number_parameters(request, trunk, numbers),
            locations: CallerLocation::of(request, &headers),
            headers,
            identity: CallerIdentity::of(request, trunk.identity, edge.numbers()),
            max_forwards: request.max_forwards().unwrap_or(MAX_FORWARDS).saturating_sub(1),
            hops: Hops::of(request),
            route: Arc::from(""),
            ring_timeout: None,
            shown_as: None,
            answered_elsewhere: false,
            referral: None,
            record: false,
            unannounced: UnannouncedParties::None,
        };
        Call::begun(now, edge, key, facts, leg)
    }

    /// Creates a call that begins now with its first leg, in the state *searching* and without a media session.
    pub(crate) fn begun(now: Instant, edge: &Edge, key: CallKey, facts: CallFacts, leg: Leg) -> Call {
        let shared = SharedCallState {
            key,
            state: CallState::Searching,
            facts,
            times: CallTimes { began: now, started: edge.date(now), first_ring: None, answered: None, ended: None },
            deadlines: SmallMap::default(),
            ending: None,
            is_programmed: false,
            awaits_verdict: false,
            origin: None,
            legs: Legs::of_caller(key, leg),
            session: None,
            listeners: CallerListeners::default(),
            story: CallNotes::default(),
        };
        Call { shared, parts: CallParts::default() }
    }
}

/// Enters a new call in the index.
fn enter(now: Instant, edge: &mut Edge, server: ServerId, leg: &Leg, named: CallIdOwner) {
    let at = named.at;
    edge.index_mut().servers.insert(server, at);
    edge.index_mut().sids.insert(leg.sid.clone(), at.key);
    edge.index_mut().enter(leg.sip.call_id.as_bytes(), named);
    edge.begin_trace(now, at.key, &leg.sid);
}

/// Returns the called party of a request that is refused with 484, for display.
fn unreadable(request: &SipMessage) -> Number {
    let user = request.uri().map(|u| u.user_unescaped()).unwrap_or_default();
    let text = plain(&user, NUMBER_CHARS);
    Number { received: text.clone(), text, is_e164: false }
}
