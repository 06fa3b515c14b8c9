//! Limit of the audio that a source may have converted: what it says in time, twice over, and what waited on its way.
//! Coding costs far more than a packet does, and a few bytes are enough to ask for a lot of it.

use std::time::{Duration, Instant};

use crate::limits::{AUDIO_BURST, AUDIO_PACE, AUDIO_PACKET_LEAST};

/// The audio that one source has had converted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Credit {
    /// The time when it would have come at the highest pace.
    until: Option<Instant>,
}

impl Credit {
    /// Whether a packet that comes now is converted.
    pub(super) fn allows(self, now: Instant) -> bool {
        self.until.is_none_or(|until| until.saturating_duration_since(now) < AUDIO_BURST / AUDIO_PACE)
    }

    /// A packet that came now has made so much audio.
    pub(super) fn spend(&mut self, now: Instant, audio: Duration) {
        let since = self.until.map_or(now, |until| until.max(now));
        self.until = Some(since + audio.max(AUDIO_PACKET_LEAST) / AUDIO_PACE);
    }
}
