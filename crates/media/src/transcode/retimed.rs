//! A press that passes beside converted audio, on the clock of the other side: one that lasts for longer than a segment
//! can say on either clock (RFC 4733 §2.5.1.3) is cut again.

use crate::dtmf::{END, SEGMENT_TICKS};
use crate::rtp::Rtp;

use super::TIME_HZ;
use super::spec::EventsSpec;

/// The press of the last packet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Retimed {
    ssrc: u32,
    event: u8,
    /// That of its segment, as it came.
    timestamp: u32,
    /// Ticks of the source's clock in segments before that one.
    before: u64,
    /// The beginning, in the time of what leaves.
    begun: u64,
    /// Ticks of the sink's clock in segments that have left.
    left: u64,
}

impl Retimed {
    /// Writes into a packet of a press how long it lasts on the sink's clock; when its segment began, in the time of
    /// what leaves. `time`: the same as it came.
    pub(super) fn retime(&mut self, rtp: &Rtp, payload: &mut [u8; 4], time: u64, events: EventsSpec) -> u64 {
        let [event, flags, high, low] = payload;
        let ahead = rtp.timestamp.wrapping_sub(self.timestamp);
        let is_same = self.ssrc == rtp.ssrc && self.event == *event;
        if is_same && ahead == SEGMENT_TICKS && !rtp.marker {
            self.timestamp = rtp.timestamp;
            self.before += u64::from(SEGMENT_TICKS);
        } else if !is_same || ahead != 0 {
            *self =
                Retimed { ssrc: rtp.ssrc, event: *event, timestamp: rtp.timestamp, begun: time, ..Retimed::default() };
        }
        let (from_hz, to_hz) = (u64::from(events.from.1.max(1)), u64::from(events.to.1.max(1)));
        let segment = u64::from(SEGMENT_TICKS);
        let ticks = self.before + u64::from(u16::from_be_bytes([*high, *low]));
        let mut lasts = (ticks * to_hz / from_hz).saturating_sub(self.left);
        // Its end is in its last segment at once: another packet may not come.
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
