//! Digits of a remote party from its telephone-events (RFC 4733): each press once, also where packets are lost or
//! repeated.

use std::time::Instant;

use crate::limits::{KEY_LOST_AFTER, KEY_MOST_MS, KEYS_TOLD};
use crate::rtp::Rtp;

use super::digit::Digit;

/// A press lasts at most this long in one segment; a longer one goes on in the next (RFC 4733 §2.5.1.3).
pub(crate) const SEGMENT_TICKS: u32 = 0xffff;
/// The bit of a press's last packets.
pub(crate) const END: u8 = 0x80;

/// Tells each press of one remote party once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Receiver {
    last: Press,
    /// Whether there is a last press.
    has_last: bool,
    /// Digits of which signalling was told as they passed.
    told: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Press {
    ssrc: u32,
    /// The beginning: the same in all packets of a segment.
    timestamp: u32,
    event: u8,
}

impl Receiver {
    /// Takes a telephone-event packet; returns the digit at the first packet of its press that came.
    pub fn take(&mut self, rtp: &Rtp, payload: &[u8]) -> Option<char> {
        let &[event, _, _, _, ..] = payload else { return None };
        let last = self.last;
        if self.has_last && last.ssrc == rtp.ssrc {
            let ahead = rtp.timestamp.wrapping_sub(last.timestamp);
            // The same press, or a late packet of an earlier one.
            if ahead == 0 || ahead > u32::MAX / 2 {
                return None;
            }
            if ahead == SEGMENT_TICKS && event == last.event && !rtp.marker {
                self.last = Press { timestamp: rtp.timestamp, ..last };
                return None;
            }
        }
        (self.last, self.has_last) = (Press { ssrc: rtp.ssrc, timestamp: rtp.timestamp, event }, true);
        Digit::from_event(event).map(Digit::as_char)
    }
}

/// A digit that is held down, where its end has to be known.
#[derive(Debug, Clone, Copy)]
struct HeldDigit {
    digit: char,
    last: Press,
    clock_hz: u32,
    /// Ticks of its clock in segments that are over.
    before: u32,
    /// In this one.
    ticks: u16,
    seen: Instant,
}

impl HeldDigit {
    /// Begins with the first packet of a press that came.
    fn new(now: Instant, digit: char, clock_hz: u32, rtp: &Rtp, payload: &[u8]) -> HeldDigit {
        let last =
            Press { ssrc: rtp.ssrc, timestamp: rtp.timestamp, event: payload.first().copied().unwrap_or_default() };
        HeldDigit { digit, last, clock_hz, before: 0, ticks: 0, seen: now }
    }
    /// Takes a packet of any press; returns whether it is the last one of this.
    fn ends_with(&mut self, now: Instant, rtp: &Rtp, payload: &[u8]) -> bool {
        let &[event, flags, high, low, ..] = payload else { return false };
        let ahead = rtp.timestamp.wrapping_sub(self.last.timestamp);
        if rtp.ssrc != self.last.ssrc || event != self.last.event || (ahead != 0 && ahead != SEGMENT_TICKS) {
            return false;
        }
        if ahead == SEGMENT_TICKS {
            (self.last.timestamp, self.ticks) = (rtp.timestamp, 0);
            self.before = self.before.saturating_add(SEGMENT_TICKS);
        }
        self.seen = now;
        self.ticks = self.ticks.max(u16::from_be_bytes([high, low]));
        flags & END != 0
    }
    /// Returns when it counts as no longer pressed, unless another packet of it comes.
    fn lost_at(&self) -> Instant {
        self.seen + KEY_LOST_AFTER
    }
    fn completed(self) -> Completed {
        Completed { digit: self.digit, ms: self.ms() }
    }
    /// Returns how long it was pressed, in milliseconds.
    fn ms(&self) -> u32 {
        let ticks = u64::from(self.before) + u64::from(self.ticks);
        let ms = ticks * 1000 / u64::from(self.clock_hz.max(1));
        u32::try_from(ms).unwrap_or(u32::MAX).min(KEY_MOST_MS.into())
    }
}

/// A digit that is no longer pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Completed {
    /// `0` to `9`, `*`, `#`, `A` to `D`.
    pub(crate) digit: char,
    /// The time that it was pressed, in milliseconds.
    pub(crate) ms: u32,
}

/// Telephone-events of one remote party: each press once, and the end of a press where that has to be known.
#[derive(Debug, Default)]
pub(crate) struct EventReceiver {
    receiver: Receiver,
    held: Option<HeldDigit>,
}

impl EventReceiver {
    /// Counts a digit that passes; returns whether signalling is told of it.
    pub(crate) fn may_tell(&mut self) -> bool {
        self.receiver.told = self.receiver.told.saturating_add(1);
        self.receiver.told <= KEYS_TOLD
    }
    /// Takes a packet; returns the digit at the first packet of its press that came.
    pub(crate) fn take(&mut self, rtp: &Rtp, payload: &[u8]) -> Option<char> {
        self.receiver.take(rtp, payload)
    }
    /// Takes a packet whose clock has `clock_hz`; returns the presses that are over by it: one that another replaced,
    /// and the one that it ends.
    pub(crate) fn take_timed(
        &mut self,
        now: Instant,
        clock_hz: u32,
        rtp: &Rtp,
        payload: &[u8],
    ) -> [Option<Completed>; 2] {
        let replaced = match self.receiver.take(rtp, payload) {
            Some(digit) => self.held.replace(HeldDigit::new(now, digit, clock_hz, rtp, payload)),
            None => None,
        };
        let ended = self.held.take_if(|held| held.ends_with(now, rtp, payload));
        [replaced, ended].map(|held| held.map(HeldDigit::completed))
    }
    /// Ends a press whose last packets were lost.
    pub(crate) fn release_lost(&mut self, now: Instant) -> Option<Completed> {
        self.held.take_if(|held| held.lost_at() <= now).map(HeldDigit::completed)
    }
    /// Returns when the press that is under way counts as over, unless another packet of it comes.
    pub(crate) fn lost_at(&self) -> Option<Instant> {
        self.held.as_ref().map(HeldDigit::lost_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ssrc: u32, timestamp: u32, marker: bool) -> Rtp {
        Rtp { marker, payload_type: 101, sequence: 0, timestamp, ssrc, payload: 12..16 }
    }

    /// The packets of presses: (source, timestamp, event).
    fn keys(packets: &[(u32, u32, u8)]) -> String {
        let mut keys = Receiver::default();
        let take = |(ssrc, timestamp, event): &(u32, u32, u8)| {
            keys.take(&packet(*ssrc, *timestamp, false), &[*event, 10, 0, 160])
        };
        packets.iter().filter_map(take).collect()
    }

    #[test]
    fn each_press_once() {
        assert_eq!(keys(&[(1, 100, 5), (1, 100, 5), (1, 100, 5), (1, 900, 5), (1, 900, 5)]), "55");
        // The last packets of a press come three times, one of them after the next press began.
        assert_eq!(keys(&[(1, 100, 1), (1, 900, 2), (1, 100, 1), (1, 900, 2)]), "12");
        // Another source begins again; time wraps.
        assert_eq!(keys(&[(1, 100, 1), (2, 100, 1), (2, u32::MAX, 1)]), "11");
        assert_eq!(keys(&[(1, u32::MAX, 1), (1, 700, 2)]), "12");
    }

    #[test]
    fn a_long_press_is_one() {
        let mut keys = Receiver::default();
        let segment = |n: u32| packet(1, n * SEGMENT_TICKS, false);
        assert_eq!(keys.take(&segment(0), &[1, 10, 0xff, 0xff]), Some('1'));
        for n in 1..4 {
            assert_eq!(keys.take(&segment(n), &[1, 10, 0, 160]), None);
        }
        // A press that begins right there has the marker.
        assert_eq!(keys.take(&packet(1, 4 * SEGMENT_TICKS, true), &[1, 10, 0, 160]), Some('1'));
    }

    #[test]
    fn every_key_and_nothing_else() {
        let all: Vec<(u32, u32, u8)> = (0..=255).map(|event| (1, u32::from(event) * 400, event)).collect();
        assert_eq!(keys(&all), "0123456789*#ABCD");
        let mut keys = Receiver::default();
        assert_eq!(keys.take(&packet(1, 1, true), &[1, 10, 0]), None);
        assert_eq!(keys.take(&packet(1, 1, true), &[1, 10, 0, 0]), Some('1'));
    }
}
