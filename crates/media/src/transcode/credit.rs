//! Rate limit of the audio that a source may have transcoded: twice real time, plus a burst for delayed packets.
//! Transcoding costs far more than relaying, and a few bytes can request a lot of it.

use std::time::{Duration, Instant};

use crate::limits::{AUDIO_BURST, AUDIO_PACE, AUDIO_PACKET_LEAST};

/// Rate limiter of one source's transcoded audio.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Credit {
    /// Time at which a source that sends at the maximum pace would have sent the audio charged so far; `None` before
    /// the first packet.
    until: Option<Instant>,
}

impl Credit {
    /// Returns whether a packet that arrives now may be transcoded.
    pub(super) fn allows(self, now: Instant) -> bool {
        self.until.is_none_or(|until| until.saturating_duration_since(now) < AUDIO_BURST / AUDIO_PACE)
    }

    /// Charges `audio` made from a packet that arrived at `now`.
    pub(super) fn spend(&mut self, now: Instant, audio: Duration) {
        let since = self.until.map_or(now, |until| until.max(now));
        self.until = Some(since + audio.max(AUDIO_PACKET_LEAST) / AUDIO_PACE);
    }
}
