//! Wall-clock time and randomness for RTCP, which a session receives from outside.

use std::hash::{DefaultHasher, Hasher as _};
use std::time::{Duration, Instant};

/// Seconds from 1900 to 1970 (RFC 3550 §4 counts from 1900).
const SECONDS_TO_1970: u64 = 2_208_988_800;

/// Pair of a monotonic and a wall-clock time of one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockEpoch {
    at: Instant,
    ntp: u64,
}

impl ClockEpoch {
    /// Creates an epoch: `at` is `since_1970` after the beginning of 1970, UTC.
    pub fn new(at: Instant, since_1970: Duration) -> ClockEpoch {
        let seconds = since_1970.as_secs().wrapping_add(SECONDS_TO_1970);
        ClockEpoch {
            at,
            ntp: (seconds << 32).wrapping_add(fixed(Duration::from_nanos(since_1970.subsec_nanos().into()))),
        }
    }

    /// Returns the NTP timestamp of `now`: seconds since 1900 and their fraction, 32 bits each (RFC 3550 §4).
    pub fn ntp(&self, now: Instant) -> u64 {
        self.ntp.wrapping_add(fixed(now.saturating_duration_since(self.at)))
    }
}

/// Returns a duration as seconds modulo 2³² and their fraction, 32 bits each.
fn fixed(duration: Duration) -> u64 {
    let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
    (duration.as_secs() << 32) | fraction
}

/// Converts a duration to units of 2⁻¹⁶ s, as used in reports; saturates at 32 bits (18 hours).
pub(crate) fn short(duration: Duration) -> u32 {
    u32::try_from((duration.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

/// Converts units of 2⁻¹⁶ s to a duration.
pub(crate) fn long(short: u32) -> Duration {
    Duration::from_nanos((u64::from(short) * 1_000_000_000) >> 16)
}

/// Source of wall-clock times and pseudo-random numbers for a session's RTCP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RtcpOrigin {
    /// Wall-clock epoch. Without one, sender reports carry no NTP timestamp (RFC 3550 §6.4.1) and yield no round-trip
    /// time.
    epoch: Option<ClockEpoch>,
    /// Key from which names, sources and report times in RTCP are derived.
    key: [u8; 16],
}

impl RtcpOrigin {
    /// Creates an origin from an epoch and a key.
    pub fn new(epoch: ClockEpoch, key: [u8; 16]) -> RtcpOrigin {
        RtcpOrigin { epoch: Some(epoch), key }
    }

    /// Sets the pair of clock times from which NTP timestamps are computed.
    pub(crate) fn date_by(&mut self, epoch: ClockEpoch) {
        self.epoch = Some(epoch);
    }

    /// Sets the key from which names, SSRCs and report times are derived.
    pub(crate) fn name_by(&mut self, key: [u8; 16]) {
        self.key = key;
    }

    /// Returns the NTP timestamp of `now`; 0 without an epoch.
    pub(crate) fn ntp(&self, now: Instant) -> u64 {
        self.epoch.map_or(0, |epoch| epoch.ntp(now))
    }

    /// Returns a pseudo-random number that is always the same for the same `what` and key.
    pub(crate) fn draw(&self, what: u64) -> u64 {
        self.pseudonym(&what.to_be_bytes())
    }

    /// Returns a pseudonym for a name in RTCP: constant in the session and not reversible without the key.
    pub(crate) fn pseudonym(&self, name: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.key);
        hasher.write(name);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc3550_4_seconds_since_1900_and_their_fraction() {
        let now = Instant::now();
        // 2026-11-20 11:00:00.25 UTC.
        let epoch = ClockEpoch::new(now, Duration::from_millis(1_795_172_400_250));
        assert_eq!(epoch.ntp(now), (4_004_161_200 << 32) | 0x4000_0000);
        assert_eq!(epoch.ntp(now + Duration::from_millis(750)), 4_004_161_201 << 32);
        // 32 bits of seconds wrap in 2036.
        let late = ClockEpoch::new(now, Duration::from_secs((1 << 32) - SECONDS_TO_1970));
        assert_eq!(late.ntp(now), 0);
        assert_eq!(RtcpOrigin::default().ntp(now), 0);
    }

    #[test]
    fn what_is_drawn_stays_and_differs_by_key() {
        let (one, two) = (RtcpOrigin::default(), RtcpOrigin { key: [1; 16], ..RtcpOrigin::default() });
        let drawn: std::collections::BTreeSet<u64> = (0..100).flat_map(|n| [one.draw(n), two.draw(n)]).collect();
        assert_eq!((drawn.len(), one.draw(7)), (200, one.draw(7)));
    }

    proptest! {
        #[test]
        fn short_times_come_back(us in 0u64..65_535_000_000) {
            let duration = Duration::from_micros(us);
            let back = long(short(duration));
            prop_assert!(back <= duration && duration - back < Duration::from_micros(17));
        }

        #[test]
        fn any_time_never_panics(seconds in any::<u64>(), nanos in 0u32..1_000_000_000, value in any::<u32>()) {
            let duration = Duration::new(seconds, nanos);
            let _ = (short(duration), long(value), ClockEpoch::new(Instant::now(), duration).ntp(Instant::now()));
        }
    }
}
