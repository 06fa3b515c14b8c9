//! State of ringing targets that the negotiation depends on.

use trunkgate_resources::lookups::key::LegId;
use trunkgate_sip::DialogId;

/// Search state that decides which leg may get an offer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RingingState {
    /// Target that rings alone, once it has an early dialog.
    pub(crate) audible: Option<AudibleTarget>,
    /// True while an attempt has an INVITE in progress, or its party is answering a prompt.
    pub(crate) is_calling: bool,
    /// True while a target is tried for a caller that is still connected with an agent or a party.
    pub(crate) is_consulting: bool,
    /// True while the caller hears music and a target is tried.
    pub(crate) holds_caller: bool,
}

/// Target with exactly one early dialog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AudibleTarget {
    /// Leg of the target.
    pub(crate) leg: LegId,
    /// Early dialog of the target.
    pub(crate) dialog: DialogId,
    /// True once the target has sent its description reliably.
    pub(crate) is_reliable: bool,
}

impl RingingState {
    /// Returns the early dialog for requests to a leg; `None` if the caller does not hear this leg.
    pub(crate) fn early_dialog(&self, leg: LegId) -> Option<DialogId> {
        self.audible.filter(|heard| heard.leg == leg).map(|heard| heard.dialog)
    }
}
