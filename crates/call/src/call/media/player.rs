//! What plays to the caller.

use trunkgate_media::EndId;
use trunkgate_story::reason::ReasonSlug;

/// Samples of a goodbye in a millisecond.
pub(crate) const SAMPLES_PER_MS: u64 = 8;

/// What plays to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Player {
    /// Its end.
    pub(crate) end: EndId,
    /// Why the call ends when it has played; `None`: a tone that plays until a target answers.
    pub(crate) last: Option<ReasonSlug>,
}
