//! Targets that ring, as far as the negotiation depends on them.

use trunkgate_resources::lookups::key::LegId;
use trunkgate_sip::DialogId;

/// The state of the search for a target that decides what may be offered, and to whom.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ringing {
    /// The target that rings alone, once it has an early dialog.
    pub(crate) heard: Option<HeardTarget>,
    /// Whether an INVITE of an attempt is out, or its party is asked.
    pub(crate) is_calling: bool,
    /// Whether a target is tried while an agent or a party has the caller.
    pub(crate) is_consulting: bool,
    /// Whether the caller hears music while a target is tried.
    pub(crate) holds_caller: bool,
}

/// A target with one early dialog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeardTarget {
    /// Its leg.
    pub(crate) leg: LegId,
    /// Its early dialog.
    pub(crate) dialog: DialogId,
    /// Whether it has described itself reliably.
    pub(crate) is_reliable: bool,
}

impl Ringing {
    /// Returns the early dialog that requests to a leg may be sent in.
    pub(crate) fn early_dialog(&self, leg: LegId) -> Option<DialogId> {
        self.heard.filter(|heard| heard.leg == leg).map(|heard| heard.dialog)
    }
}
