//! The changes of a call, as they happen, for those who watch the edge.

use trunkgate_resources::key::LegId;
use trunkgate_story::change::{CallChange, Change, FLAGS, Happening};
use trunkgate_story::diagnosis::Cause;
use trunkgate_story::limits::NUMBER_CHARS;
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::legs::leg::Leg;

impl Call {
    /// A change of this call.
    pub(crate) fn change(&self, what: Happening) -> Change {
        let said = CallChange {
            sid: self.legs.sid().to_owned(),
            // Of a call that has just got its answer, the state follows.
            state: if what == Happening::CallAnswered { "answered" } else { self.shown_state() },
            outcome: self.times.answered.map(|_| "answered"),
            route: self.facts.route.to_string(),
            from: self.facts.caller.shown(),
            to: self.shown_called(),
        };
        let trunk = self.legs.get(LegId::CALLER).map(|leg| leg.trunk_name().to_owned());
        Change { call: Some(said), trunk, ..Change::new(what) }
    }

    /// The same with a sentence and why.
    pub(crate) fn change_for(&self, what: Happening, text: &str, reason: Option<ReasonSlug>) -> Change {
        let reason = reason.map(ReasonSlug::as_str);
        Change { reason, text: Some(text.to_owned()), ..self.change(what) }
    }

    /// The called number.
    pub(crate) fn shown_called(&self) -> String {
        plain(&self.facts.called.text, NUMBER_CHARS)
    }

    /// What sets it apart from a call between two far ends in which all went well.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let mut agents = self.legs.iter().filter_map(|leg| leg.agent.as_ref());
        let hold = [
            self.legs.iter().any(|leg| leg.unheard.is_some()),
            self.has_mismatch(),
            self.is_held_back(),
            self.search.failovers > 0,
            agents.clone().any(|side| !side.listens()),
            agents.any(|side| side.listens()),
            self.legs.iter().any(|leg| leg.converted_to.is_some()),
            self.legs.iter().any(|leg| leg.srtp.is_some()),
        ];
        FLAGS.into_iter().zip(hold).filter_map(|(flag, holds)| holds.then_some(flag)).collect()
    }

    /// Whether this machine lets no packets out to a side.
    fn is_held_back(&self) -> bool {
        let found = self.legs.iter().flat_map(|leg| [&leg.flaw, &leg.unheard]).flatten();
        found.chain(self.story.fault.as_ref().map(|(_, found)| found)).any(|found| found.cause == Cause::Unsent)
    }

    /// Whether a target was lost for its codecs, or a side sends another than was agreed on.
    fn has_mismatch(&self) -> bool {
        let odd = |leg: &Leg| leg.flaw.as_ref().is_some_and(|found| found.cause == Cause::Payload);
        self.story.fault.as_ref().is_some_and(|(_, found)| found.cause == Cause::Codecs) || self.legs.iter().any(odd)
    }
}
