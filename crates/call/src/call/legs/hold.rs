//! Holds handled by the edge: the held side hears music or a sound.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, HoldSound, PlayerSound, melody};

/// Origin of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HoldKind {
    /// Hold requested by the remote party of the leg.
    Party,
    /// Hold requested over HTTP.
    Requested,
    /// Sound requested over HTTP; the hold ends with the sound.
    Sound,
}

/// Hold handled by the edge.
#[derive(Debug, Clone)]
pub(crate) struct LegHold {
    pub(crate) kind: HoldKind,
    /// Media end that plays to the held side.
    pub(crate) player: Option<EndId>,
    /// Sound that the held side hears first.
    pub(crate) sound: Option<Arc<[u8]>>,
}

impl LegHold {
    /// Creates a hold of this origin, without player and sound.
    pub(crate) const fn of(kind: HoldKind) -> LegHold {
        LegHold { kind, player: None, sound: None }
    }

    /// Returns the sound for the held side, followed by `music`.
    pub(crate) fn heard(&self, music: Option<Arc<[u8]>>) -> PlayerSound {
        match (self.kind, &self.sound) {
            (HoldKind::Sound, Some(sound)) => PlayerSound::Once(sound.clone()),
            // A restart has lost the sound.
            (HoldKind::Sound, None) => PlayerSound::Silence,
            (HoldKind::Party | HoldKind::Requested, first) => {
                PlayerSound::Hold(HoldSound { first: first.clone(), music: Some(music.unwrap_or_else(melody)) })
            }
        }
    }
}
