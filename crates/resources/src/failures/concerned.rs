//! The trunks and applications that a change of the configuration concerns: past failures of their calls may be mended.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Trunks whose calls a change of the configuration may have mended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concerned {
    /// Whether keys of media, or of the machine's addresses, were changed: the audio of each trunk may be mended.
    pub all_media: bool,
    /// Trunks with changed keys that decide on audio, or with a changed route that leads to them.
    pub media: BTreeSet<Arc<str>>,
    /// Trunks with changed keys for which a call may be rejected, or with a changed route that leads to them.
    pub calls: BTreeSet<Arc<str>>,
    /// Applications with changed keys.
    pub apps: BTreeSet<Arc<str>>,
}
