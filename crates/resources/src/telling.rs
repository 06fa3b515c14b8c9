//! What the edge sends to those who watch it: changes, and messages for a capture agent.

use std::time::Instant;

use trunkgate_story::captured::{Captured, CapturedItem};
use trunkgate_story::change::{Change, Happening};

use crate::edge::Edge;
use crate::io::Output;

impl Edge {
    /// Tells the capture agent of something.
    pub fn capture(&mut self, now: Instant, call: String, what: CapturedItem) {
        let at = self.date(now);
        self.outputs.push_back(Output::Captured(Box::new(Captured { call, at, what })));
    }

    /// Tells whoever watches.
    pub fn changed(&mut self, change: Change) {
        self.outputs.push_back(Output::Changed(Box::new(change)));
    }

    /// The same of a trunk.
    pub fn trunk_changed(&mut self, trunk: &str, up: bool) {
        let what = if up { Happening::TrunkUp } else { Happening::TrunkDown };
        self.changed(Change { trunk: Some(trunk.to_owned()), ..Change::new(what) });
    }
}
