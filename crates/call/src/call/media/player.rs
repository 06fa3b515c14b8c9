//! Player for the caller.

use trunkgate_media::EndId;
use trunkgate_story::reason::ReasonSlug;

/// Samples per millisecond of a goodbye.
pub(crate) const SAMPLES_PER_MS: u64 = 8;

/// Player for a caller that hears the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallerPlayer {
    /// Media end of the player.
    pub(crate) end: EndId,
    /// Reason for the end of the call after the sound; `None` if the player plays until a target answers.
    pub(crate) last: Option<ReasonSlug>,
}
