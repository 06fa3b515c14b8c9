//! What is asked about all calls at once: parties without media, and samples of calls that are over.

use trunkgate_resources::limits::SILENT_TOLD;
use trunkgate_story::view::SilentView;

use crate::call::State;
use crate::call::story::hearing::heard;
use crate::gateway::Gateway;

impl Gateway {
    /// Who is not heard in calls that are up, the newest of each told.
    pub(crate) fn silent_now(&self) -> Vec<SilentView> {
        let mut all: Vec<SilentView> = Vec::new();
        for call in self.calls.values().rev().filter(|call| call.shared.state == State::Answered) {
            let silent = call.shared.legs.with_ids().filter(|(_, leg)| !leg.ends.iter().any(heard));
            for (at, found) in silent.filter_map(|(at, leg)| Some((at, leg.unheard.as_ref()?))) {
                let name = self.edge.shown_name(&call.shared.legs.name_of(at));
                if let Some(known) = all.iter_mut().find(|known| known.name == name) {
                    known.calls += 1;
                } else if all.len() < SILENT_TOLD {
                    let (cause, fix, last_sid) =
                        (found.text.clone(), found.fix.clone(), call.shared.legs.sid().to_owned());
                    all.push(SilentView { name, calls: 1, kind: found.cause.slug(), cause, fix, last_sid });
                }
            }
        }
        all
    }

    /// Tells of calls that are over and still wait for an answer to what ended them: nobody will hear it any more.
    pub fn tell_ended(&mut self) {
        for call in self.calls.values() {
            call.tell_sampled(&mut self.edge);
        }
    }
}
