//! Who listens to a call (`route.fork`): agents whose sockets are opened as soon as the call has its route, so that they
//! hear it from the first packet on. They are never waited for, and losing one harms nobody.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_media::{Command, EndId, Law};
use trunkgate_route::Agent;

use crate::call::{CALLER, Call};
use crate::edge::Edge;
use crate::leg::LegState;
use crate::limits::LISTENERS_PER_CALL;
use crate::local::law;
use crate::reason::ReasonSlug;

impl Call {
    /// Has the sockets of a route's listeners opened.
    pub(crate) fn open_listeners(&mut self, now: Instant, edge: &mut Edge, forks: &[Arc<Agent>]) {
        for agent in forks.iter().take(LISTENERS_PER_CALL) {
            self.add_agent(now, edge, agent, true);
        }
    }

    /// Lets the listeners hear the caller's side as it is wired now.
    pub(crate) fn tap_caller(&mut self, now: Instant, edge: &mut Edge) {
        let Some(media) = self.media else { return };
        if !self.legs.iter().any(|leg| leg.listens()) {
            return;
        }
        let Some((end, number, law)) = self.audio_of_caller() else {
            edge.decide(now, self.key, "listeners hear nothing: the codec is neither PCMU nor PCMA");
            return;
        };
        for leg in self.legs.iter_mut().filter(|leg| leg.state != LegState::Ended) {
            let Some(side) = leg.agent.as_mut().filter(|side| side.listens) else { continue };
            if side.hears != Some((end, number, law)) {
                side.hears = Some((end, number, law));
                edge.media(media, Command::Tap { of: end, listener: side.end, audio: (number, law) });
            }
        }
    }

    /// The caller's first audio that listeners can be given: its end, payload number and law.
    fn audio_of_caller(&self) -> Option<(EndId, u8, Law)> {
        let caller = &self.legs[CALLER];
        let theirs = caller.theirs.as_ref()?;
        caller.ends.iter().find_map(|end| {
            let section = theirs.media.get(end.index).filter(|media| media.kind.eq_ignore_ascii_case("audio"))?;
            let (_, wire) = self.wires.get(&end.end)?;
            wire.payloads.iter().find_map(|(number, _)| {
                let map = section.rtpmap(*number).filter(|map| map.is("PCMU") || map.is("PCMA"))?;
                Some((end.end, *number, law(&map.encoding)))
            })
        })
    }

    /// A listener is gone: noted, and nothing else.
    pub(crate) fn lose_listener(&mut self, edge: &mut Edge, leg: usize, reason: ReasonSlug) {
        self.close_agent(edge, leg);
        let line = format!("{} listens no longer: {}", self.name_of(leg), reason.sentence());
        let sid = self.sid().to_owned();
        edge.log(&sid, line, Some(reason));
    }
}
