//! Caller identity towards other legs: the caller shown to a target, the headers that are passed on, and the header
//! with the edges that the call has passed.

use std::sync::Arc;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use trunkgate_resources::conferences::{is_link, no_link};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::EDGES_PER_CALL;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{CallerIdDecision, CallerIdRule, Number, Trunk};
use trunkgate_sip::{ExtraHeader, SipMessage};
use trunkgate_story::numbers::Caller;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::caller_id::{CallerIdPolicy, header, nonce_of};
use crate::call::legs::headers::{HeaderRecipient, PrivacyFilter, are_trusted, connected_line, headers_to_relay};
use crate::call::legs::location::keep_sent;
use crate::call::shared::{SharedCallState, ShownCallerId};
use crate::call::words::answer::{FinalAnswer, GEOLOCATION_ERROR};

impl SharedCallState {
    /// Returns the caller that one side is shown, and the caller ID rules for addresses in other headers.
    pub(crate) fn introduced<'a>(
        &'a self,
        from: Option<&'a Trunk>,
        to: Option<&Trunk>,
        rule: Option<&'a CallerIdRule>,
    ) -> (Caller, CallerIdPolicy<'a>) {
        let told = self.who(from, to);
        let caller = self.shown(told.clone(), rule).unwrap_or_else(|| told.clone());
        let from = from.filter(|_| self.legs.near == LegId::CALLER).and_then(|trunk| trunk.caller_id_in.as_ref());
        let showing = CallerIdPolicy {
            own: self.facts.shown_as.as_ref().map(|shown| &*shown.number),
            from,
            to: rule,
            is_replaced: caller.number.text != told.number.text,
            is_anonymous: caller.anonymous,
        };
        (caller, showing)
    }

    /// Returns the caller as far as a target may know it, before caller ID rules.
    pub(crate) fn who(&self, from: Option<&Trunk>, to: Option<&Trunk>) -> Caller {
        if self.is_requested_party(self.legs.near) {
            return self.facts.caller.clone();
        }
        if self.legs.near != LegId::CALLER {
            let number = self.number_of(self.legs.near).clone();
            let anonymous = number.text.is_empty();
            return Caller { number, display: String::new(), anonymous };
        }
        self.facts.identity.visible_caller(&self.facts.caller, from, to)
    }

    /// Returns the caller with the number of the route or of the rule; `None` if the rule of the target's trunk allows
    /// no number for this caller.
    pub(crate) fn shown(&self, told: Caller, rule: Option<&CallerIdRule>) -> Option<Caller> {
        if told.anonymous {
            return Some(told);
        }
        let other = |number: &Number| Caller { number: number.clone(), display: String::new(), anonymous: false };
        let caller = self.facts.shown_as.as_ref().map_or(told, |shown| other(&shown.number));
        match rule.map(|rule| rule.judge(&caller.number)) {
            Some(CallerIdDecision::Instead(number)) => Some(other(number)),
            Some(CallerIdDecision::Refused) => None,
            Some(CallerIdDecision::AsIs) | None => Some(caller),
        }
    }

    /// Returns the calling party shown to a target, in the form of call lists.
    pub(crate) fn name_of_caller(&self, caller: &Caller) -> String {
        let is_seen = |shown: &&ShownCallerId| shown.is_client && !caller.anonymous && *shown.number == caller.number;
        let client = self.facts.shown_as.as_deref().filter(is_seen);
        client.map_or_else(|| caller.shown(), ShownCallerId::name)
    }

    /// Returns the headers of a message in one leg that are relayed to another leg; headers from the caller are limited
    /// to those that its privacy allows.
    pub(crate) fn passing(
        &self,
        edge: &Edge,
        headers: &[(String, String)],
        from: LegId,
        to: LegId,
    ) -> Vec<ExtraHeader> {
        let is_caller = from == LegId::CALLER;
        let (from, to) = (&self.legs[from], &self.legs[to]);
        let ours = to.flow.and_then(|flow| edge.addressing().shown_to(flow.remote.ip(), Some(flow.listener)));
        let Some(ours) = ours else { return Vec::new() };
        let governs = to.limited_by().map(Arc::as_ref);
        let (from, side) = (from.trunk.as_deref(), HeaderRecipient { trunk: to.trunk.as_deref(), governs, ours });
        let rule = side.trunk.and_then(|trunk| trunk.caller_id.as_ref());
        let showing = if is_caller { self.introduced(from, side.trunk, rule).1 } else { CallerIdPolicy::default() };
        let tells = !is_caller || !self.facts.identity.is_private() || are_trusted(from, side.trunk);
        let hiding = PrivacyFilter { tells, showing: &showing };
        let mut all = headers_to_relay(headers, from, &side, edge.numbers(), &hiding);
        all.extend(connected_line(headers, from, &side, edge.numbers()));
        keep_sent(&mut all, &[]);
        all
    }

    /// Checks how often the call has passed the edge.
    ///
    /// # Errors
    /// 482 for a call that has passed this edge before, over the same trunk, from the same caller, to the same number:
    /// it would take the same route again. Returning to another number, or over another trunk, is a forwarding. 483 for
    /// a call that has passed too many edges.
    pub(crate) fn not_again(&self, edge: &Edge) -> Result<(), FinalAnswer> {
        if self.facts.hops.words.iter().any(|word| *word == self.own_hop(edge, nonce_of(*word))) {
            return Err(FinalAnswer::new(482, ReasonSlug::Loop));
        }
        match self.facts.hops.words.len() < EDGES_PER_CALL {
            true => Ok(()),
            false => Err(FinalAnswer::new(483, ReasonSlug::TooManyHops)),
        }
    }

    /// Returns the header with the hop words of the edges that the call has passed, for the called party.
    pub(crate) fn hops_onward(&self, edge: &Edge) -> ExtraHeader {
        let mut hasher = DefaultHasher::new();
        (edge.random().hop_key, self.key).hash(&mut hasher);
        header(self.facts.hops.words.iter().copied().chain([self.own_hop(edge, nonce_of(hasher.finish()))]))
    }

    /// Records the capabilities of a leg's remote party, and the conference that it belongs to, from a message.
    pub(crate) fn learn(&mut self, leg: LegId, message: &SipMessage) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.learn(message);
        }
        if let Some(origin) = &mut self.origin {
            origin.take_linked(message);
        }
    }

    /// Returns the header that identifies an answering conference; only a calling conference gets it.
    pub(crate) fn linked(&self, edge: &Edge, conference: &str) -> Option<ExtraHeader> {
        let is_line = self.facts.hops.words.iter().any(|word| is_link(*word));
        let words = || edge.sessions().conferences.hops_onward(edge.random().hop_key, conference);
        is_line.then(|| header(words().into_iter()))
    }

    /// Returns this edge's hop word for the call: a nonce, and a keyed hash of the nonce and all routing inputs. To
    /// others, the words of two calls look unrelated, even with the same caller.
    fn own_hop(&self, edge: &Edge, nonce: u32) -> u64 {
        let mut hasher = DefaultHasher::new();
        (edge.random().hop_key, nonce).hash(&mut hasher);
        self.legs[LegId::CALLER].trunk_name().hash(&mut hasher);
        self.facts.called.text.hash(&mut hasher);
        self.facts.caller.number.text.hash(&mut hasher);
        no_link(u64::from(nonce) << 32 | hasher.finish() & u64::from(u32::MAX))
    }

    /// Returns Geolocation-Error from a target's headers, if the caller may get it.
    pub(crate) fn location_error(&self, edge: &Edge, headers: &[(String, String)], leg: LegId) -> Option<String> {
        let passed = self.passing(edge, headers, leg, LegId::CALLER);
        passed.into_iter().find(|one| one.name.eq_ignore_ascii_case(GEOLOCATION_ERROR)).map(|one| one.value)
    }
}
