//! Trunks and applications affected by a change of configuration: past failures of their calls may be solved.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Trunks and applications with failures that a change of configuration may have solved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigChangeScope {
    /// Whether media keys or the machine's addresses have changed, which affects the audio of every trunk.
    pub all_media: bool,
    /// Trunks with changed keys for audio, or with a changed route to them.
    pub media: BTreeSet<Arc<str>>,
    /// Trunks with changed keys that may cause rejections, or with a changed route to them.
    pub calls: BTreeSet<Arc<str>>,
    /// Applications with changed keys.
    pub apps: BTreeSet<Arc<str>>,
}
