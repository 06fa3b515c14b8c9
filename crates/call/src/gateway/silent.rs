//! Parties that are not heard in live calls: nothing arrives from them, or only digital silence.

use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::SILENT_TOLD;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_story::diagnosis::SILENCE;
use trunkgate_story::view::SilentView;

use crate::call::shared::SharedCallState;
use crate::call::words::state::CallState;

/// Returns the parties that are not heard in live calls, with the newest call of each.
pub(super) fn silent_now<'a>(newest_first: impl Iterator<Item = &'a SharedCallState>, edge: &Edge) -> Vec<SilentView> {
    let mut all: Vec<SilentView> = Vec::new();
    for call in newest_first.filter(|call| call.state == CallState::Answered) {
        let legs = &call.legs;
        let name_of = |at: LegId| edge.shown_name(&legs.name_of(at));
        for (at, leg) in legs.with_ids() {
            let Some(found) = leg.silence() else { continue };
            let is_mute = |other: &LegId| legs[*other].agent.is_none() && legs[*other].is_unheard();
            let other = legs.other(at).filter(|other| leg.is_unheard() && leg.agent.is_none() && is_mute(other));
            let (name, other) = (name_of(at), other.map(name_of));
            let is_same = |known: &SilentView| known.name == name && (known.kind == SILENCE) != leg.is_unheard();
            let known = match all.iter().position(is_same) {
                Some(known) => known,
                None if all.len() < SILENT_TOLD => {
                    let (cause, fix) = (found.text.clone(), found.fix.clone());
                    let (kind, last_sid) = (found.cause.slug(), legs.sid().to_owned());
                    all.push(SilentView { name, calls: 0, kind, cause, fix, last_sid, both: Vec::new() });
                    all.len() - 1
                }
                None => continue,
            };
            let Some(known) = all.get_mut(known) else { continue };
            known.calls += 1;
            if let Some(other) = other {
                match known.both.iter_mut().find(|(name, _)| *name == other) {
                    Some((_, calls)) => *calls += 1,
                    None => known.both.push((other, 1)),
                }
            }
        }
    }
    all
}
