//! Holds that end here: the held side hears music or a sound from the edge.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, HoldSound, Sound, melody};

/// Origin of a hold that ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HoldKind {
    /// The leg wants it.
    Party,
    /// It was requested over HTTP.
    Requested,
    /// A sound that was requested over HTTP; its end ends the hold.
    Sound,
}

/// A hold that ends here.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    /// Its origin.
    pub(crate) kind: HoldKind,
    /// The end that plays to the held side.
    pub(crate) player: Option<EndId>,
    /// A sound that the held side hears first.
    pub(crate) sound: Option<Arc<[u8]>>,
}

impl Hold {
    /// Makes a hold of this origin.
    pub(crate) const fn of(kind: HoldKind) -> Hold {
        Hold { kind, player: None, sound: None }
    }

    /// What the held side hears, with this music.
    pub(crate) fn heard(&self, music: Option<Arc<[u8]>>) -> Sound {
        match (self.kind, &self.sound) {
            (HoldKind::Sound, Some(sound)) => Sound::Once(sound.clone()),
            // Its sound has been lost with the process that knew it.
            (HoldKind::Sound, None) => Sound::Silence,
            (HoldKind::Party | HoldKind::Requested, first) => {
                Sound::Hold(HoldSound { first: first.clone(), music: Some(music.unwrap_or_else(melody)) })
            }
        }
    }
}
