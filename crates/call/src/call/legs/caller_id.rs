//! The identity of the caller: the number that a trunk may show, the number that a target is shown, and what replaces it. A caller
//! that wants to be anonymous stays so: an identity of ours goes beside an anonymous From, under `Privacy: id`.
//!
//! Loops are seen here as well. To the next hop of a back-to-back user agent an INVITE is a new call: Via and Call-ID show no loop (RFC 3261
//! §16.3 step 4), and Max-Forwards ends one only after seventy rounds. So each edge adds a word to a header of its own, by which it alone
//! recognises the call.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use trunkgate_resources::conferences::{is_link, no_link};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::EDGES_PER_CALL;
use trunkgate_resources::sip::extra;
use trunkgate_route::number::Incomplete;
use trunkgate_route::{CallerIdRule, Number, SendNumbers, Shown, Trunk};
use trunkgate_sip::{Extra, Message};
use trunkgate_story::numbers::{Caller, mask};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::headers::{Hiding, Side, are_trusted, connected_line, passing};
use crate::call::legs::location::keep_sent;
use crate::call::search::attempt::Attempt;
use crate::call::search::candidates::number_of_uri;
use crate::call::shared::{Shared, ShownCallerId};
use crate::call::words::answer::{FinalAnswer, GEOLOCATION_ERROR};

/// Codes with which a far end rejects a call for its caller ID: not allowed, anonymous, declined or blocked by an analytics service.
pub(crate) const OF_CALLER_ID: [u16; 5] = [403, 433, 603, 607, 608];

/// Returns the caller ID of an INVITE to a target for people: From, P-Asserted-Identity or that there is none, and P-Preferred-Identity;
/// numbers are masked.
pub(crate) fn sent(from: &str, headers: &[Extra]) -> Box<str> {
    let user = |value: &str| {
        let uri = value.rsplit_once('<').map_or(value, |(_, uri)| uri);
        let user = uri.split_once(':').map_or(uri, |(_, rest)| rest);
        mask(user.split(['@', '>', ';']).next().unwrap_or_default())
    };
    let users = |name: &str| -> Vec<String> {
        headers.iter().filter(|one| one.name.eq_ignore_ascii_case(name)).map(|one| user(&one.value)).collect()
    };
    let (asserted, preferred) = (users("P-Asserted-Identity"), users("P-Preferred-Identity"));
    let asserted = match asserted.is_empty() {
        true => "no P-Asserted-Identity".to_owned(),
        false => format!("P-Asserted-Identity {}", asserted.join(" and ")),
    };
    let preferred: String = preferred.iter().map(|user| format!(", P-Preferred-Identity {user}")).collect();
    format!("From {}, {asserted}{preferred}", user(from)).into()
}

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

/// What is shown of a caller on the way to one target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Showing<'a> {
    /// The route's number, in the place of every one of the caller's.
    pub(crate) own: Option<&'a Number>,
    /// What the caller's trunk may show.
    pub(crate) from: Option<&'a CallerIdRule>,
    /// What the target may be shown.
    pub(crate) to: Option<&'a CallerIdRule>,
    /// The target sees another number than the caller has.
    pub(crate) is_replaced: bool,
    /// The target sees no number.
    pub(crate) is_anonymous: bool,
}

impl<'a> Showing<'a> {
    /// Whether a number that the caller's side names may be shown.
    pub(crate) fn allows(&self, number: &str) -> bool {
        [self.from, self.to].into_iter().flatten().all(|rule| rule.allows(number))
    }
    /// The number of ours that stands for a caller without one that may be shown.
    pub(crate) fn instead(&self) -> Option<&'a Number> {
        let default = |rule: Option<&'a CallerIdRule>| rule.and_then(|rule| rule.default.as_ref());
        let fits = |number: &&Number| self.to.is_none_or(|rule| rule.allows(&number.text));
        self.own.or(default(self.from)).filter(fits).or(default(self.to))
    }
}

impl Shared {
    /// The trunk whose rules hold for a target, and the number that it is asked for; a URI that leads to a trunk is no way
    /// round that one's rules.
    pub(crate) fn addressed(&self, edge: &Edge, attempt: &Attempt) -> Addressed {
        let numbers = edge.table.numbers();
        let trunk = attempt.limited_by().cloned();
        let (number, form) = match (&attempt.uri, &attempt.number) {
            // It leaves as it is written.
            (Some(uri), _) => (number_of_uri(uri, numbers), SendNumbers::AsIs),
            (None, number) => {
                let form = trunk.as_ref().map_or(SendNumbers::E164, |trunk| trunk.send_numbers);
                (number.as_deref().map(|number| numbers.normalise_caller(number, None)), form)
            }
        };
        Addressed { trunk, number: number.unwrap_or_else(|| self.facts.called.clone()), form }
    }

    /// The parameters of the called number that a target may be told, as they are written: it is called by that number, and both
    /// trunks are trusted with them.
    pub(crate) fn parameters_for<'a>(&'a self, attempt: &'a Attempt) -> impl Iterator<Item = &'a str> {
        let is_called = self.legs.near == LegId::CALLER && attempt.number.is_none() && attempt.uri.is_none();
        let trunk = attempt.trunk.as_ref().filter(|_| is_called);
        let all = self.facts.number_parameters.split(';').filter(|text| !text.is_empty());
        let name = |text: &'a str| text.split('=').next().unwrap_or_default();
        all.filter(move |text| trunk.is_some_and(|trunk| trunk.number_parameters.contains(&name(text))))
    }

    /// The number that a target's network routes by instead of the called one (RFC 4694), where it is told one.
    pub(crate) fn routing_number(&self, edge: &Edge, attempt: &Attempt) -> Option<Result<Number, Incomplete>> {
        let value = self.parameters_for(attempt).find_map(|text| text.strip_prefix("rn="))?;
        Some(edge.table.numbers().normalise(value, None))
    }

    /// Who is said to call one side, and what else of the caller's it may be shown.
    pub(crate) fn introduced<'a>(
        &'a self,
        from: Option<&'a Trunk>,
        to: Option<&Trunk>,
        rule: Option<&'a CallerIdRule>,
    ) -> (Caller, Showing<'a>) {
        let told = self.who(from, to);
        let caller = self.shown(told.clone(), rule).unwrap_or_else(|| told.clone());
        let from = from.filter(|_| self.legs.near == LegId::CALLER).and_then(|trunk| trunk.caller_id_in.as_ref());
        let showing = Showing {
            own: self.facts.shown_as.as_ref().map(|shown| &*shown.number),
            from,
            to: rule,
            is_replaced: caller.number.text != told.number.text,
            is_anonymous: caller.anonymous,
        };
        (caller, showing)
    }

    /// Who calls, as far as a target may know it.
    pub(crate) fn who(&self, from: Option<&Trunk>, to: Option<&Trunk>) -> Caller {
        if self.is_requested_party(self.legs.near) {
            return self.facts.caller.clone();
        }
        if self.legs.near != LegId::CALLER {
            let number = self.number_of(self.legs.near).clone();
            return Caller { number, display: String::new(), anonymous: false };
        }
        self.facts.identity.told(&self.facts.caller, from, to)
    }

    /// The same with the route's number, or the one that the target is shown; `None`: it may not be shown any.
    pub(crate) fn shown(&self, told: Caller, rule: Option<&CallerIdRule>) -> Option<Caller> {
        if told.anonymous {
            return Some(told);
        }
        let other = |number: &Number| Caller { number: number.clone(), display: String::new(), anonymous: false };
        let caller = self.facts.shown_as.as_ref().map_or(told, |shown| other(&shown.number));
        match rule.map(|rule| rule.judge(&caller.number)) {
            Some(Shown::Instead(number)) => Some(other(number)),
            Some(Shown::Refused) => None,
            Some(Shown::AsIs) | None => Some(caller),
        }
    }

    /// Returns the calling party that a target is shown, as lists of calls name it.
    pub(crate) fn name_of_caller(&self, caller: &Caller) -> String {
        let is_seen = |shown: &&ShownCallerId| shown.is_client && !caller.anonymous && *shown.number == caller.number;
        let client = self.facts.shown_as.as_deref().filter(is_seen);
        client.map_or_else(|| caller.shown(), ShownCallerId::name)
    }

    /// Which headers of a message in one leg go on to another one: of the caller, no more than its INVITE may tell.
    pub(crate) fn passing(&self, edge: &Edge, headers: &[(String, String)], from: LegId, to: LegId) -> Vec<Extra> {
        let is_caller = from == LegId::CALLER;
        let (from, to) = (&self.legs[from], &self.legs[to]);
        let ours = to.flow.and_then(|flow| edge.addressing.shown_to(flow.remote.ip(), Some(flow.listener)));
        let Some(ours) = ours else { return Vec::new() };
        let governs = to.limited_by().map(Arc::as_ref);
        let (from, side) = (from.trunk.as_deref(), Side { trunk: to.trunk.as_deref(), governs, ours });
        let rule = side.trunk.and_then(|trunk| trunk.caller_id.as_ref());
        let showing = if is_caller { self.introduced(from, side.trunk, rule).1 } else { Showing::default() };
        let tells = !is_caller || !self.facts.identity.is_private() || are_trusted(from, side.trunk);
        let hiding = Hiding { tells, showing: &showing };
        let mut all = passing(headers, from, &side, edge.table.numbers(), &hiding);
        all.extend(connected_line(headers, from, &side, edge.table.numbers()));
        keep_sent(&mut all, &[]);
        all
    }

    /// 482 for a call that this edge has sent on, and that comes by the same trunk, of the same caller, to the same number:
    /// it would go the same way again. One that comes back to another number, or from where it went, has been forwarded.
    pub(crate) fn not_again(&self, edge: &Edge) -> Result<(), FinalAnswer> {
        if self.facts.hops.words.iter().any(|word| *word == self.own_hop(edge, nonce_of(*word))) {
            return Err(FinalAnswer::new(482, ReasonSlug::Loop));
        }
        match self.facts.hops.words.len() < EDGES_PER_CALL {
            true => Ok(()),
            false => Err(FinalAnswer::new(483, ReasonSlug::TooManyHops)),
        }
    }

    /// Returns the header for the called party.
    pub(crate) fn hops_onward(&self, edge: &Edge) -> Extra {
        let mut hasher = DefaultHasher::new();
        (edge.random.hop_key, self.key).hash(&mut hasher);
        header(self.facts.hops.words.iter().copied().chain([self.own_hop(edge, nonce_of(hasher.finish()))]))
    }

    /// Notes what a message of a leg says that its party can do, and which conference it is.
    pub(crate) fn learn(&mut self, leg: LegId, message: &Message) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.learn(message);
        }
        if let Some(requested) = &mut self.requested {
            requested.take_linked(message);
        }
    }

    /// Returns the header by which a conference that answers says which one it is; only a conference that calls gets it.
    pub(crate) fn linked(&self, edge: &Edge, conference: &str) -> Option<Extra> {
        let is_line = self.facts.hops.words.iter().any(|word| is_link(*word));
        let words = || edge.sessions.conferences.hops_onward(edge.random.hop_key, conference);
        is_line.then(|| header(words().into_iter()))
    }

    /// Returns this edge's word for this call: a nonce, and a keyed hash of it with all that routing depends on. To others the words of two
    /// calls have nothing in common, the caller included.
    fn own_hop(&self, edge: &Edge, nonce: u32) -> u64 {
        let mut hasher = DefaultHasher::new();
        (edge.random.hop_key, nonce).hash(&mut hasher);
        self.legs[LegId::CALLER].trunk_name().hash(&mut hasher);
        self.facts.called.text.hash(&mut hasher);
        self.facts.caller.number.text.hash(&mut hasher);
        no_link(u64::from(nonce) << 32 | hasher.finish() & u64::from(u32::MAX))
    }

    /// What a target's answer says of the location, as the caller may hear it.
    pub(crate) fn location_error(&self, edge: &Edge, headers: &[(String, String)], leg: LegId) -> Option<String> {
        let passed = self.passing(edge, headers, leg, LegId::CALLER);
        passed.into_iter().find(|one| one.name.eq_ignore_ascii_case(GEOLOCATION_ERROR)).map(|one| one.value)
    }

    /// Returns the trunk whose rules hold for a bare URI before its name is looked up.
    pub(crate) fn owner_by_name(&self, edge: &Edge, attempt: &Attempt) -> Option<Arc<Trunk>> {
        let destination = attempt.bare_destination()?;
        match destination.literal() {
            Some(server) => server.sockets().find_map(|socket| edge.owner_of(socket)),
            None => edge.table.trunk_at(&destination.host).cloned(),
        }
    }
}

/// Header with the words of the edges that a call has passed: with X-, as systems between two edges pass such headers on more readily than
/// others, and without the name of a product, which the other side need not learn.
pub(crate) const HOPS: &str = "X-Call-Hops";

/// Returns the nonce in a word of an edge.
fn nonce_of(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or_default()
}

/// The words that edges before this one have added; no memory where none has.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    pub(crate) words: Vec<u64>,
}

impl Hops {
    /// What an INVITE brings; what is no word of an edge's does not count.
    pub(crate) fn of(request: &Message) -> Hops {
        let values = request.headers_named(HOPS).filter_map(|value| std::str::from_utf8(value).ok());
        let words = values.flat_map(|value| value.split(',')).filter_map(|word| word_of(word.trim()));
        // One more shows that there are too many.
        Hops { words: words.take(EDGES_PER_CALL).collect() }
    }
}

fn header(words: impl Iterator<Item = u64>) -> Extra {
    extra(HOPS, words.map(|word| format!("{word:016x}")).collect::<Vec<_>>().join(","))
}

fn word_of(text: &str) -> Option<u64> {
    let is_one = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { u64::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_id_sent_is_masked_and_has_the_form_in_which_it_left() {
        let asserted = extra("P-Asserted-Identity", "\"Al <i>\" <sip:14155550100@192.0.2.1;user=phone>");
        for (from, headers, shown) in [
            ("\"A: b\" <sip:+14155551234@192.0.2.1>", vec![], "From +1415****234, no P-Asserted-Identity"),
            ("<sip:anonymous@anonymous.invalid>", vec![asserted], "From anonymous, P-Asserted-Identity 14155****100"),
            (
                "<sip:100@h>",
                vec![extra("P-Asserted-Identity", "<tel:+14155550100>")],
                "From 100, P-Asserted-Identity +1415****100",
            ),
        ] {
            assert_eq!(&*sent(from, &headers), shown);
        }
    }
}
