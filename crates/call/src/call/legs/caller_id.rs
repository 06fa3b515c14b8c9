//! Who is said to call: what a trunk may show as the caller's number, what a target is shown, and what is there in its
//! place. Who wants to be unknown stays so: an identity of ours goes beside an anonymous From, under `Privacy: id`.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_route::{CallerIdRule, Number, SendNumbers, Shown, Trunk};
use trunkgate_sip::Extra;
use trunkgate_story::numbers::Caller;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::legs::headers::{CallerIdentity, Side, of_invite};
use crate::call::search::answer::{Failure, FinalAnswer};
use crate::call::search::attempt::Attempt;
use crate::call::search::owner;

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

impl Call {
    /// Looks whether the caller's trunk may show the number that it shows; another may stand in its place from here on.
    pub(crate) fn screen_caller(&mut self, now: Instant, edge: &mut Edge, trunk: &Trunk) -> Result<(), FinalAnswer> {
        let Some(rule) = trunk.caller_id_in.as_ref().filter(|_| !self.facts.caller.anonymous) else { return Ok(()) };
        let instead = match rule.judge(&self.facts.caller.number) {
            Shown::AsIs => return Ok(()),
            Shown::Refused if edge.table.numbers().is_emergency(&self.facts.called) => return Ok(()),
            Shown::Refused => return Err(FinalAnswer::new(403, ReasonSlug::CallerIdRefused)),
            Shown::Instead(number) => number.clone(),
        };
        let (claimed, text) = (self.facts.caller.shown(), &instead.text);
        edge.decide(now, self.key, format!("{} may not send caller ID {claimed}: {text} is used", trunk.name));
        // The name and the signatures belong to the number that was there.
        self.facts.caller = Caller { number: instead, display: String::new(), anonymous: false };
        self.facts.identity.unsign();
        Ok(())
    }

    /// The trunk whose rules hold for a target, and the number that it is asked for; a URI that leads to a trunk is no way
    /// round that one's rules.
    pub(crate) fn addressed(&self, edge: &Edge, attempt: &Attempt) -> Addressed {
        let numbers = edge.table.numbers();
        let trunk = attempt.limited_by().cloned();
        let (number, form) = match (&attempt.uri, &attempt.number) {
            // It leaves as it is written.
            (Some(uri), _) => (owner::number_of_uri(uri, numbers), SendNumbers::AsIs),
            (None, number) => {
                let form = trunk.as_ref().map_or(SendNumbers::E164, |trunk| trunk.send_numbers);
                (number.as_deref().map(|number| numbers.normalise_caller(number, None)), form)
            }
        };
        Addressed { trunk, number: number.unwrap_or_else(|| self.facts.called.clone()), form }
    }

    /// Whether a target may be shown who calls; what it is shown in the place of that is traced.
    pub(crate) fn may_introduce(&self, now: Instant, edge: &mut Edge, attempt: &Attempt) -> Result<(), Failure> {
        let Addressed { trunk, number, .. } = self.addressed(edge, attempt);
        // Help is called for by whoever calls.
        let is_emergency = edge.table.numbers().is_emergency(&number);
        let from = self.legs.near_leg().trunk.clone();
        let rule = trunk.as_ref().and_then(|trunk| trunk.caller_id.as_ref());
        let told = self.who(from.as_deref(), attempt.trunk.as_deref());
        let shown = self.shown(told.clone(), rule);
        let refused = Failure::with_code(403, ReasonSlug::CallerIdRefused);
        let Some(shown) = shown.or_else(|| is_emergency.then(|| told.clone())) else { return Err(refused) };
        if shown.number.text != told.number.text {
            let (instead, of) = (&shown.number.text, told.shown());
            edge.decide(now, self.key, format!("caller ID to {}: {instead} instead of {of}", attempt.name()));
        }
        Ok(())
    }

    /// Who is said to call a target, and further headers of its INVITE: it is the side that waits for it. `rule`: what may
    /// be shown to it.
    pub(crate) fn introduction(
        &self,
        edge: &Edge,
        from: Option<&Trunk>,
        to: &Side<'_>,
        rule: Option<&CallerIdRule>,
    ) -> (Caller, Vec<Extra>) {
        let numbers = edge.table.numbers();
        let (caller, showing) = self.introduced(from, to.trunk, rule);
        let nobody = CallerIdentity::default();
        let (headers, identity) = match self.legs.near {
            LegId::CALLER => (&self.facts.headers[..], &self.facts.identity),
            _ => (&[][..], &nobody),
        };
        let headers = of_invite(headers, identity, from, to, numbers, &showing);
        (caller, headers.into_iter().chain(self.of_transfer(edge, to, rule)).collect())
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
            own: self.facts.shown_as.as_deref(),
            from,
            to: rule,
            is_replaced: caller.number.text != told.number.text,
            is_anonymous: caller.anonymous,
        };
        (caller, showing)
    }

    /// Who calls, as far as a target may know it.
    fn who(&self, from: Option<&Trunk>, to: Option<&Trunk>) -> Caller {
        if self.legs.near != LegId::CALLER {
            let number = self.number_of(self.legs.near).clone();
            return Caller { number, display: String::new(), anonymous: false };
        }
        self.facts.identity.told(&self.facts.caller, from, to)
    }

    /// The same with the route's number, or the one that the target is shown; `None`: it may not be shown any.
    fn shown(&self, told: Caller, rule: Option<&CallerIdRule>) -> Option<Caller> {
        if told.anonymous {
            return Some(told);
        }
        let other = |number: &Number| Caller { number: number.clone(), display: String::new(), anonymous: false };
        let caller = self.facts.shown_as.as_deref().map_or(told, other);
        match rule.map(|rule| rule.judge(&caller.number)) {
            Some(Shown::Instead(number)) => Some(other(number)),
            Some(Shown::Refused) => None,
            Some(Shown::AsIs) | None => Some(caller),
        }
    }
}
