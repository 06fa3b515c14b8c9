//! Telephone-events forwarded next to transcoded audio, with timestamps and durations on the sink's clock. A digit too
//! long for one segment on either clock (RFC 4733 §2.5.1.3) is divided into segments of the sink's clock.

use crate::dtmf::{END, EventObservation, EventTracker, SEGMENT_TICKS, TelephoneEvent};
use crate::rtp::RtpHeader;

use super::TIME_HZ;
use super::spec::EventsSpec;

/// Timing of the current digit on both clocks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DigitRetimer {
    presses: EventTracker,
    /// Ticks of the source's clock in completed segments.
    before: u64,
    /// Start of the digit, in the time of the outgoing stream.
    begun: u64,
    /// End of the part of the digit already sent, in the time of the outgoing stream.
    end: u64,
    /// Ticks of the sink's clock in the segments that were already sent.
    left: u64,
}

impl DigitRetimer {
    /// Writes the duration on the sink's clock into a telephone-event packet and returns the start of its segment.
    /// `time` is the packet's timestamp; both times are in the outgoing stream's time. A digit starts after the end of
    /// the previous one.
    pub(super) fn retime(&mut self, rtp: &RtpHeader, payload: &mut [u8; 4], time: u64, events: EventsSpec) -> u64 {
        let Some(packet) = TelephoneEvent::parse(rtp, payload) else { return time };
        match self.presses.observe(&packet) {
            EventObservation::Begun => {
                let begun = time.max(self.end);
                *self = DigitRetimer { presses: self.presses, begun, end: begun, ..DigitRetimer::default() };
            }
            EventObservation::Continued { is_new_segment: true } => self.before += u64::from(SEGMENT_TICKS),
            EventObservation::Continued { is_new_segment: false } | EventObservation::Ignored => {}
        }
        let [_, flags, high, low] = payload;
        let (from_hz, to_hz) = (u64::from(events.from.1.max(1)), u64::from(events.to.1.max(1)));
        let segment = u64::from(SEGMENT_TICKS);
        let ticks = self.before + u64::from(u16::from_be_bytes([*high, *low]));
        self.end = self.end.max(self.begun + ticks * u64::from(TIME_HZ) / from_hz);
        let mut lasts = (ticks * to_hz / from_hz).saturating_sub(self.left);
        // Jumps to the last segment at the end of the digit, because no other packet may follow.
        while lasts > segment && *flags & END != 0 {
            (self.left, lasts) = (self.left + segment, lasts - segment);
        }
        let began = self.begun + self.left * u64::from(TIME_HZ) / to_hz;
        if lasts > segment {
            self.left += segment;
        }
        [*high, *low] = u16::try_from(lasts).unwrap_or(u16::MAX).to_be_bytes();
        began
    }
}
