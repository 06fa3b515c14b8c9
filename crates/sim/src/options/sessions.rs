//! Session timers (RFC 4028) of the edge and of the phones.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use trunkgate_phone::SessionTimerConfig;

/// Session timers drawn from a seed.
#[derive(Debug, Clone, Copy)]
pub struct SessionTimerOptions {
    /// Setting `session_expires` for the carrier and each trunk, in seconds.
    pub by_edge: [u16; 3],
    /// Session timers of each phone, in the order of seats; `None` for a phone without session timers.
    pub by_phones: [Option<SessionTimerConfig>; 5],
    /// Factor by which calls last longer than in other seeds.
    pub stretch: u32,
    /// Seat of a phone that neither sends nor receives SIP after a time, while its media continues; and that time.
    pub deaf: Option<(usize, Duration)>,
}

impl SessionTimerOptions {
    /// Draws the session timers of the edge and the phones for a seed.
    pub(crate) fn draw(rng: &mut ChaCha12Rng, busy: Duration) -> SessionTimerOptions {
        let phone = |rng: &mut ChaCha12Rng| {
            let sessions = SessionTimerConfig {
                seconds: [0, 0, 60, 90, 120][rng.random_range(0..5usize)],
                least: [90, 90, 90, 100, 150][rng.random_range(0..5usize)],
                refreshes: rng.random_bool(0.5),
                by_update: rng.random_bool(0.5),
                forgets: rng.random_bool(0.05),
            };
            rng.random_bool(0.6).then_some(sessions)
        };
        let mut kept = SessionTimerOptions {
            by_edge: [(); 3].map(|()| [90, 90, 120, 300, 1800][rng.random_range(0..5usize)]),
            by_phones: [(); 5].map(|()| phone(rng)),
            stretch: if rng.random_bool(0.4) { 10 } else { 1 },
            deaf: rng.random_bool(0.2).then(|| (rng.random_range(0..4usize), busy.mul_f64(rng.random()))),
        };
        if kept.deaf.is_some() {
            // Calls of the deaf phone must end within the run, even if both sides are this phone.
            kept.by_edge = kept.by_edge.map(|seconds| seconds.min(300));
        }
        kept
    }

    /// Returns whether a phone promises refreshes but never sends them.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.by_phones.iter().flatten().any(|sessions| sessions.forgets)
    }
}
