//! The text message after a call that nobody answered: whether there is one, and why not. The shell is told of it when the call
//! begins, so that a crash in between is a missed call as well, and again when it is known how the call ends.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::Output;
use trunkgate_resources::key::LegId;
use trunkgate_route::sms::EndedCall;
use trunkgate_route::{NoText, SmsRule, TextOutcome};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::sms::{Sms, SmsNews};

use crate::call::{Call, Ending};

impl Call {
    /// Takes the rule of the call's route, and has its text kept for the case of a crash.
    pub(crate) fn watch_for_text(&mut self, edge: &mut Edge, rule: Option<&Arc<SmsRule>>) {
        // Whoever dials an emergency number is called back by others.
        let Some(rule) = rule.filter(|_| !edge.table.numbers().is_emergency(&self.facts.called)) else { return };
        self.story.sms = Some(Arc::clone(rule));
        if rule.on.contains(&TextOutcome::Failed)
            && let Ok(sms) = self.text(edge, rule, TextOutcome::Failed, ReasonSlug::EdgeRestarted)
        {
            edge.outputs.push_back(Output::Sms(SmsNews::Watch(Box::new(sms))));
        }
    }

    /// Somebody has answered.
    pub(crate) fn forget_text(&mut self, edge: &mut Edge) {
        if self.story.sms.take().is_some() {
            edge.outputs.push_back(Output::Sms(SmsNews::Forget(self.legs.sid().to_owned())));
        }
    }

    /// The call has ended, and nobody had answered.
    pub(crate) fn settle_text(&mut self, now: Instant, edge: &mut Edge) {
        let (Some(rule), Some(ending)) = (self.story.sms.clone(), self.ending) else { return };
        let Some(outcome) = self.text_outcome(ending) else {
            edge.decide(now, self.key, "no text message: the call was refused, not missed");
            return self.forget_text(edge);
        };
        if !rule.on.contains(&outcome) {
            edge.decide(now, self.key, format!("no text message: {} is not in `on`", outcome.as_str()));
            return self.forget_text(edge);
        }
        match self.text(edge, &rule, outcome, ending.reason) {
            Ok(sms) => {
                self.story.sms = None;
                edge.decide(now, self.key, format!("text to {}: {}", edge.shown(&sms.to), outcome.as_str()));
                edge.outputs.push_back(Output::Sms(SmsNews::Send(Box::new(sms))));
            }
            Err(why) => {
                edge.decide(now, self.key, format!("no text message: {why}"));
                self.forget_text(edge);
            }
        }
    }

    /// How it ended, as far as a text goes by it; `None` for a call that was refused.
    fn text_outcome(&self, ending: Ending) -> Option<TextOutcome> {
        if self.search.answered_elsewhere {
            return None;
        }
        let by_code = match ending.code {
            486 | 600 | 603 => TextOutcome::Busy,
            408 | 480 => TextOutcome::NoAnswer,
            _ => TextOutcome::Failed,
        };
        match (ending.reason, ending.outcome) {
            // Declined by whoever it rang at: missed, as a busy one is.
            (ReasonSlug::TargetRejected, _) if ending.code == 603 => Some(TextOutcome::Busy),
            // The end that a route has for calls that nobody took.
            (ReasonSlug::RouteRejected, _) if self.search.failovers > 0 || self.legs.len() > 1 => Some(by_code),
            (_, outcome) => TextOutcome::ALL.into_iter().find(|known| known.as_str() == outcome),
        }
    }

    fn text(&self, edge: &Edge, rule: &SmsRule, outcome: TextOutcome, reason: ReasonSlug) -> Result<Sms, NoText> {
        let ended = EndedCall {
            caller: Some(&self.facts.caller.number)
                .filter(|_| self.facts.caller.known_number().is_some() && !self.facts.identity.is_private()),
            called: &self.facts.called,
            route: &self.facts.route,
            trunk: self.legs[LegId::CALLER].trunk_name(),
            outcome: outcome.as_str(),
            reason: reason.as_str(),
        };
        let (to, body) = rule.write(&ended, edge.table.numbers())?;
        Ok(Sms { call: self.legs.sid().to_owned(), to, from: rule.from.clone(), body })
    }
}
