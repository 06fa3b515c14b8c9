//! Calls that a limit of the edge or of their caller's trunk refuses, or that come while the edge is draining: each has its
//! record, its trace and its line in `calls`, as long as they are not too many. They are kept apart from other calls, so that
//! a flood of them pushes none of those out.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{CallKey, LegId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::search::answer::FinalAnswer;
use crate::call::setup::Incoming;
use crate::gateway::Gateway;

impl Gateway {
    /// Refuses a call; `which`: the limit that does. Past so many a second it is only counted.
    pub(crate) fn turn_down(&mut self, now: Instant, incoming: &Incoming, reason: ReasonSlug, which: &str) {
        let name = &incoming.trunk.name;
        if self.edge.admission.may_log(now) {
            let which = if which.is_empty() { String::new() } else { format!(" ({which})") };
            let text = format!("call on trunk {name} refused: {}{which}", reason.sentence());
            self.edge.log("", text, Some(reason));
        }
        let answer = FinalAnswer::new(503, reason);
        if !self.edge.admission.may_record(now) {
            self.edge.respond(now, incoming.server, answer.to_sip());
            *self.edge.metrics.calls.entry((name.clone(), "".into(), "refused")).or_default() += 1;
            return;
        }
        self.edge.admission.begin(now, name);
        let key = CallKey(self.next_call);
        self.next_call += 1;
        self.at_work = Some(key);
        let call = Call::new(now, &mut self.edge, key, incoming);
        let call = self.calls.entry(key).or_insert(Box::new(call));
        call.turn_down(now, &mut self.edge, incoming, &answer, which);
        self.at_work = None;
        self.note_if_done(key);
    }
}

impl Call {
    fn turn_down(&mut self, now: Instant, edge: &mut Edge, incoming: &Incoming, answer: &FinalAnswer, which: &str) {
        self.story.is_turned_down = true;
        if !which.is_empty() {
            self.story.proof = Some((answer.reason, which.into()));
        }
        // It was never one of its trunk's.
        self.legs[LegId::CALLER].has_left = true;
        edge.trace_received(now, self.legs.place(LegId::CALLER));
        edge.trace_trying(now, self.legs.place(LegId::CALLER), incoming.server);
        self.refuse(now, edge, answer);
    }
}
