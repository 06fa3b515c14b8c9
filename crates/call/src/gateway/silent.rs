//! Parties that are not heard in calls that are up.

use trunkgate_resources::limits::SILENT_TOLD;
use trunkgate_story::view::SilentView;

use crate::call::State;
use crate::call::story::hearing::heard;
use crate::gateway::Gateway;

/// Returns the parties that are not heard in calls that are up, with the newest call of each.
pub(crate) fn silent_now(gateway: &Gateway) -> Vec<SilentView> {
    let mut all: Vec<SilentView> = Vec::new();
    for call in gateway.calls.values().rev().filter(|call| call.shared.state == State::Answered) {
        let silent = call.shared.legs.with_ids().filter(|(_, leg)| !leg.ends.iter().any(heard));
        for (at, found) in silent.filter_map(|(at, leg)| Some((at, leg.quality.unheard.as_ref()?))) {
            let name = gateway.edge.shown_name(&call.shared.legs.name_of(at));
            if let Some(known) = all.iter_mut().find(|known| known.name == name) {
                known.calls += 1;
            } else if all.len() < SILENT_TOLD {
                let (cause, fix, last_sid) = (found.text.clone(), found.fix.clone(), call.shared.legs.sid().to_owned());
                all.push(SilentView { name, calls: 1, kind: found.cause.slug(), cause, fix, last_sid });
            }
        }
    }
    all
}
