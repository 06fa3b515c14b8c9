//! A call's beginning: from an admitted INVITE to the first target. Everything that makes it refusable is looked at
//! here, in the order of the contract's table.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::{Named, Place};
use trunkgate_resources::key::{CallKey, LegId};
use trunkgate_resources::limits::NUMBER_CHARS;
use trunkgate_route::{CallInfo, Number, Trunk};
use trunkgate_sdp::{Description, Refusal, anchored_streams};
use trunkgate_sip::{Flow, Message, Party, ServerId};
use trunkgate_story::few::Few;
use trunkgate_story::numbers::{called, caller, plain};
use trunkgate_story::reason::ReasonSlug;

use crate::call::controller::Controller;
use crate::call::legs::headers::{CallerIdentity, brought};
use crate::call::legs::hops::Hops;
use crate::call::legs::leg::{Leg, StreamEnd};
use crate::call::legs::list::Legs;
use crate::call::legs::location::Location;
use crate::call::legs::written::Written;
use crate::call::negotiation::bridge::forbidden_address;
use crate::call::negotiation::refresh::Asked;
use crate::call::proof::Proof;
use crate::call::search::answer::{Failure, FinalAnswer};
use crate::call::story::verdict::Story;
use crate::call::{Call, Facts, Media, Negotiation, Search, State, Times};

/// Max-Forwards of a request that has none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;

/// An INVITE that has been admitted.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// The transaction to answer.
    pub(crate) server: ServerId,
    /// The way it came.
    pub(crate) flow: Flow,
    /// Whose it is.
    pub(crate) party: Party,
    /// Its trunk.
    pub(crate) trunk: Arc<Trunk>,
    /// The request.
    pub(crate) request: Message,
}

impl Leg {
    /// Of whoever has sent an INVITE.
    pub(crate) fn of_caller(edge: &mut Edge, incoming: &Incoming) -> Leg {
        let Incoming { server, flow, party, trunk, request } = incoming;
        let remote = flow.remote.ip();
        let media_ip = edge.addressing.media_shown_to(remote, flow.listener).unwrap_or(remote);
        let call_id = request.call_id().unwrap_or_default();
        let mut leg = Leg {
            trunk: Some(trunk.clone()),
            inbound: true,
            server: Some(*server),
            call_id: String::from_utf8_lossy(call_id).into_owned(),
            proof: Proof::of_invite(trunk.require_auth.is_some()),
            ..Leg::new(edge.sid(), *party, *flow, media_ip, edge.session_id())
        };
        leg.learn(request);
        leg
    }

    /// What its INVITE offers, where that does.
    pub(crate) fn offered(&self, edge: &Edge, request: &Message) -> Result<Option<Description>, FinalAnswer> {
        let Some(sdp) = request.sdp() else { return Ok(None) };
        let offer = Description::parse(&sdp)
            .map_err(|e| FinalAnswer::bad_request(&format!("session description: {} (line {})", e.what, e.line)))?;
        if let Some(address) = forbidden_address(edge, self, &offer) {
            let text = format!("unusable media address {address}");
            return Err(FinalAnswer::not_acceptable(ReasonSlug::BadMedia, Refusal { warn_code: 399, text }));
        }
        self.admit(offer).map(Some).map_err(Failure::answer)
    }
}

impl Call {
    /// A call for an admitted INVITE, entered in the look-ups.
    pub(crate) fn new(now: Instant, edge: &mut Edge, key: CallKey, incoming: &Incoming) -> Call {
        let Incoming { server, flow, party, trunk, request } = incoming;
        let leg = Leg::of_caller(edge, incoming);
        let at = Place { key, leg: LegId::CALLER };
        let named = Named { at, party: *party, trunk: Some(trunk.clone()), remote: flow.remote.ip() };
        enter(now, edge, *server, &leg, named);
        let numbers = edge.table.numbers();
        let headers = brought(request, &trunk.headers, &edge.table);
        let (caller, called) = (caller(request, numbers), called(request, trunk, numbers));
        Call {
            key,
            state: State::Searching,
            facts: Facts {
                caller,
                called: called.unwrap_or_else(|_| unreadable(request)),
                locations: Location::of(request, &headers),
                headers,
                identity: CallerIdentity::of(request, trunk.identity, edge.table.numbers()),
                max_forwards: request.max_forwards().unwrap_or(MAX_FORWARDS).saturating_sub(1),
                hops: Hops::of(request),
                route: Arc::from(""),
                ring_timeout: None,
                shown_as: None,
            },
            times: Times { began: now, started: edge.date(now), first_ring: None, answered: None, ended: None },
            deadlines: Few::default(),
            ending: None,
            legs: Legs::of_caller(key, leg),
            media: Media::default(),
            negotiation: Negotiation::default(),
            search: Search::default(),
            story: Story::default(),
        }
    }

    /// Looks at the INVITE, and goes to the first target or refuses it.
    pub(crate) fn begin(&mut self, now: Instant, edge: &mut Edge, incoming: &Incoming) {
        let (from, to) =
            (edge.shown(&self.facts.caller.shown()), edge.shown(&plain(&self.facts.called.text, NUMBER_CHARS)));
        let text = format!("call from {from} to {to} on trunk {}", incoming.trunk.name);
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, text, None);
        edge.trace_received(now, self.legs.place(LegId::CALLER));
        edge.trace_trying(now, self.legs.place(LegId::CALLER), incoming.server);
        match self.prepare(now, edge, incoming) {
            Ok(()) => self.advance(now, edge, None),
            Err(answer) => self.refuse(now, edge, &answer),
        }
    }

    fn prepare(&mut self, now: Instant, edge: &mut Edge, incoming: &Incoming) -> Result<(), FinalAnswer> {
        let request = &incoming.request;
        if request.max_forwards() == Some(0) {
            return Err(FinalAnswer::new(483, ReasonSlug::TooManyHops));
        }
        self.not_again(edge)?;
        if called(request, &incoming.trunk, edge.table.numbers()).is_err() {
            return Err(FinalAnswer::new(484, ReasonSlug::IncompleteNumber));
        }
        if edge.table.numbers().is_emergency(&self.facts.called) {
            edge.decide(now, self.key, "emergency call: exempt from limits");
        }
        self.screen_caller(now, edge, &incoming.trunk)?;
        let session = Asked::of(request);
        self.legs[LegId::CALLER].timer.ask(session);
        if session.is_too_short() {
            return Err(FinalAnswer::new(422, ReasonSlug::SessionTooShort));
        }
        self.take_offer(edge, request)?;
        let (called, caller) = (&*self.facts.called.text, &*self.facts.caller.number.text);
        let headers = &self.facts.headers;
        let info = CallInfo { from: &incoming.trunk.name, called, caller, headers, ..CallInfo::default() };
        let plan = edge.plan(now, info);
        let Some(mut plan) = plan else { return Err(FinalAnswer::new(404, ReasonSlug::NoRoute)) };
        self.facts.route = plan.route.name.clone();
        self.facts.ring_timeout = plan.ring_timeout;
        let line = plan.route.line.as_ref().map(|place| format!(", {}:{}", place.file, place.line));
        edge.decide(now, self.key, format!("route {}{}", self.facts.route, line.unwrap_or_default()));
        let is_emergency = edge.table.numbers().is_emergency(&self.facts.called);
        edge.by_ratio(now, self.key, &mut plan, !is_emergency);
        self.facts.shown_as = plan.route.caller_id.clone();
        self.watch_for_text(edge, plan.route.sms.as_ref());
        let forks = plan.forks.clone();
        self.search.controller = Controller::plan(plan);
        self.open_media(edge)?;
        self.arm(now, edge, Timer::Search, self.search.controller.search_timeout());
        self.open_listeners(now, edge, &forks);
        Ok(())
    }

    /// Reads the caller's offer, where its INVITE has one.
    fn take_offer(&mut self, edge: &Edge, request: &Message) -> Result<(), FinalAnswer> {
        let Some(offer) = self.legs[LegId::CALLER].offered(edge, request)? else { return Ok(()) };
        self.legs[LegId::CALLER].theirs = Some(Written::new(&offer));
        self.negotiation.offer = Some(offer);
        Ok(())
    }

    /// Begins the media session with the caller's ends: their ports are bound while the far end rings.
    fn open_media(&mut self, edge: &mut Edge) -> Result<(), FinalAnswer> {
        let no_ports = || FinalAnswer::new(503, ReasonSlug::NoPorts);
        let bind = edge.addressing.media_bind(self.legs[LegId::CALLER].signalling()).ok_or_else(no_ports)?;
        let media = edge.open_session(self.key);
        self.media.session = Some(media);
        let streams = self.negotiation.offer.as_ref().map_or_else(|| vec![0], anchored_streams);
        self.legs[LegId::CALLER].ends.reserve_exact(streams.len());
        for index in streams {
            let end = edge.add_end(media, bind).ok_or_else(no_ports)?;
            self.legs[LegId::CALLER].ends.push(StreamEnd::new(index, end));
        }
        Ok(())
    }
}

/// Enters a new call in the look-ups.
fn enter(now: Instant, edge: &mut Edge, server: ServerId, leg: &Leg, named: Named) {
    let at = named.at;
    edge.index.servers.insert(server, at);
    edge.index.sids.insert(leg.sid.clone(), at.key);
    edge.index.enter(leg.call_id.as_bytes(), named);
    edge.begin_trace(now, at.key, &leg.sid);
}

/// What is shown of a called party that is refused with 484.
fn unreadable(request: &Message) -> Number {
    let user = request.uri().map(|u| u.user_unescaped()).unwrap_or_default();
    let text = plain(&user, NUMBER_CHARS);
    Number { received: text.clone(), text, is_e164: false }
}
