//! Sender of digits in place of audio: telephone-events (RFC 4733 §2.5) with the timestamps of the audio stream, or
//! tones.

use std::collections::VecDeque;

use crate::limits::{KEY_MOST_MS, KEYS_WAITING};

use super::digit::Digit;
use super::receiver::{END, SEGMENT_TICKS};
use super::spec::DigitFormat;
use super::synth::Synth;

/// Milliseconds between two packets of an event.
const TICK_MS: u16 = 20;
/// Minimum duration of an event, in ticks of 20 ms; receivers of tones require the same 40 ms (ITU-T Q.24).
const LEAST_TICKS: u16 = 2;
/// Minimum duration of a tone, in ticks of 20 ms: twice that of an event, because a detector may miss a part of it.
const LEAST_TONE_TICKS: u16 = 4;
/// Repetitions of an event's last packet, against loss (RFC 4733 §2.5.1.4).
const REPEATS: u16 = 2;
/// Ticks of 20 ms from the end of a digit to the beginning of the next one, including the repetitions.
const PAUSE_TICKS: u16 = 5;
/// Volume field of telephone-events: 10 for −10 dBm0 (RFC 4733 §2.5.2.3).
const VOLUME: u8 = 10;

/// Queue of digits to one remote party, sent one after the other.
#[derive(Debug, Default)]
pub struct DtmfSender {
    waiting: VecDeque<QueuedDigit>,
    now: Option<ActiveDigit>,
}

#[derive(Debug, Clone, Copy)]
struct QueuedDigit {
    press: DigitFormat,
    digit: Digit,
    ticks: u16,
}

#[derive(Debug, Clone, Copy)]
struct ActiveDigit {
    wanted: QueuedDigit,
    /// Timestamp of the current segment, shared by all of its packets.
    timestamp: u32,
    /// RTP clock ticks of the event before the current segment.
    before: u32,
    /// Ticks of 20 ms since the digit began.
    tick: u16,
}

/// Signal of a digit that replaces 20 ms of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitSignal {
    /// A telephone-event.
    Event(EventPacket),
    /// Part of a tone, or of the pause after it.
    Tone(TonePart),
}

/// 20 ms of an audible digit: a part of its tone, or of the pause after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TonePart {
    digit: Digit,
    /// Ticks of 20 ms from the tone's beginning to this part; `ticks` is the length of the tone.
    tick: u16,
    ticks: u16,
}

impl TonePart {
    /// Fills a frame of 20 ms with this part of the tone; silence after its end.
    pub(crate) fn fill(self, rate_hz: u32, frame: &mut [i16]) {
        let (from, left) = (usize::from(self.tick), usize::from(self.ticks.saturating_sub(self.tick)));
        match left {
            0 => frame.fill(0),
            _ => {
                let (from, left) = (from * frame.len(), left * frame.len());
                Synth::new(self.digit.as_char(), rate_hz).fill(from, left, frame);
            }
        }
    }

    /// Returns whether the tone begins with this part.
    pub(crate) fn is_first(self) -> bool {
        self.tick == 0
    }
}

/// Telephone-event packet to be sent (RFC 4733).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// Payload type negotiated for telephone-events.
    pub payload_type: u8,
    /// Whether the packet is the first of an event.
    pub marker: bool,
    /// Timestamp of the segment's beginning.
    pub timestamp: u32,
    /// Clock ticks by which the packet is sent later than its timestamp indicates.
    pub(crate) since: u32,
    /// Event, end bit, volume and duration (RFC 4733 §2.3).
    pub payload: [u8; 4],
}

impl DtmfSender {
    /// Queues digits of `ms` milliseconds each; returns the number rejected because the queue is full. Characters that
    /// are not DTMF digits are skipped.
    pub fn add(&mut self, press: DigitFormat, digits: &str, ms: u16) -> usize {
        let least = match press {
            DigitFormat::Event { .. } => LEAST_TICKS,
            DigitFormat::Tone { .. } => LEAST_TONE_TICKS,
        };
        let ticks = ms.min(KEY_MOST_MS).div_ceil(TICK_MS).max(least);
        let digits = || digits.chars().filter_map(Digit::from_char);
        let room = KEYS_WAITING.saturating_sub(self.waiting.len());
        let wanted = digits().take(room).map(|digit| QueuedDigit { press, digit, ticks });
        self.waiting.extend(wanted);
        digits().count().saturating_sub(room)
    }

    /// Returns whether all digits have been sent, with their repetitions.
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.now.is_none_or(|press| press.tick >= press.wanted.ticks + REPEATS)
    }

    /// Advances by 20 ms to `timestamp` of the stream; returns the signal to send in place of audio, if any.
    pub fn next(&mut self, timestamp: u32) -> Option<DigitSignal> {
        let over = self.now.is_none_or(|press| press.tick >= press.wanted.ticks + PAUSE_TICKS);
        if over {
            let next = self.waiting.pop_front();
            self.now = next.map(|wanted| ActiveDigit { wanted, timestamp, before: 0, tick: 0 });
        }
        let press = self.now.as_mut()?;
        let wanted = press.wanted;
        press.tick += 1;
        let (payload_type, clock_hz) = match wanted.press {
            DigitFormat::Event { payload, clock_hz } => (payload, clock_hz),
            DigitFormat::Tone { .. } => {
                let (digit, tick) = (wanted.digit, press.tick - 1);
                return Some(DigitSignal::Tone(TonePart { digit, tick, ticks: wanted.ticks }));
            }
        };
        if press.tick > wanted.ticks + REPEATS {
            return None;
        }
        // The negotiated clock rate may be absurd; a packet never has more than one segment.
        let tick_clock = (clock_hz / (1000 / u32::from(TICK_MS))).min(SEGMENT_TICKS);
        let held = press.tick.min(wanted.ticks);
        let since = u32::from(press.tick - 1) * tick_clock - press.before;
        let lasts = u32::from(held) * tick_clock - press.before;
        let [high, low] = u16::try_from(lasts).unwrap_or(u16::MAX).to_be_bytes();
        let (marker, timestamp) = (press.tick == 1, press.timestamp);
        // RFC 4733 §2.5.1.3: a longer event continues in another segment.
        let goes_on = lasts > SEGMENT_TICKS;
        if goes_on {
            press.before += SEGMENT_TICKS;
            press.timestamp = press.timestamp.wrapping_add(SEGMENT_TICKS);
        }
        let end = if held == wanted.ticks && !goes_on { END } else { 0 };
        let payload = [wanted.digit.event(), end | VOLUME, high, low];
        Some(DigitSignal::Event(EventPacket { payload_type, marker, timestamp, since, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::DtmfReceiver;
    use crate::rtp::RtpHeader;

    const EVENT: DigitFormat = DigitFormat::Event { payload: 101, clock_hz: 8000 };

    fn event(pressed: Option<DigitSignal>) -> Option<EventPacket> {
        pressed.map(|pressed| match pressed {
            DigitSignal::Event(packet) => packet,
            DigitSignal::Tone(_) => panic!("{pressed:?}"),
        })
    }

    #[test]
    fn rfc4733_2_5_1_a_press_is_one_event_that_grows_and_ends_three_times() {
        let mut presses = DtmfSender::default();
        assert_eq!(presses.add(EVENT, "7#", 100), 0);
        let ticks: Vec<Option<EventPacket>> = (0..22).map(|n| event(presses.next(1000 + n * 160))).collect();
        let packet = |event: u8, marker, timestamp, end: u8, duration: u16| {
            let [high, low] = duration.to_be_bytes();
            Some((101, marker, timestamp, [event, end | 10, high, low]))
        };
        let ticks: Vec<_> = ticks
            .iter()
            .map(|tick| tick.map(|key| (key.payload_type, key.marker, key.timestamp, key.payload)))
            .collect();
        for (at, event, timestamp) in [(0, 7, 1000), (10, 11, 2600)] {
            let expected = [
                packet(event, true, timestamp, 0, 160),
                packet(event, false, timestamp, 0, 320),
                packet(event, false, timestamp, 0, 480),
                packet(event, false, timestamp, 0, 640),
                packet(event, false, timestamp, END, 800),
                packet(event, false, timestamp, END, 800),
                packet(event, false, timestamp, END, 800),
                None,
                None,
                None,
            ];
            assert_eq!(ticks[at..at + 10], expected);
        }
        assert_eq!(ticks[20..], [None, None]);
    }

    #[test]
    fn what_is_pressed_is_read_back() {
        let digits = "1234567890*#ABCD11";
        let (mut presses, mut keys) = (DtmfSender::default(), DtmfReceiver::default());
        // Lower-case letters are accepted; other characters are not digits.
        assert_eq!(presses.add(EVENT, &digits.to_lowercase().replace("56", "5 w,6"), 100), 0);
        let read: String = (0..400u32)
            .filter_map(|n| {
                let packet = event(presses.next((u32::MAX - 1000).wrapping_add(n * 160)))?;
                let rtp = RtpHeader {
                    marker: packet.marker,
                    payload_type: packet.payload_type,
                    sequence: n as u16,
                    timestamp: packet.timestamp,
                    ssrc: 1,
                    payload: 12..16,
                };
                keys.take(&rtp, &packet.payload)
            })
            .collect();
        assert_eq!(read, digits);
    }

    #[test]
    fn so_many_keys_wait_and_no_more() {
        let mut presses = DtmfSender::default();
        assert_eq!(presses.add(EVENT, &"1".repeat(KEYS_WAITING - 1), 100), 0);
        assert_eq!(presses.add(EVENT, "234", 100), 2);
        assert_eq!(presses.add(EVENT, "5", 100), 1);
        let pressed = (0..100_000).filter(|n| event(presses.next(n * 160)).is_some_and(|packet| packet.marker)).count();
        assert_eq!(pressed, KEYS_WAITING);
    }

    #[test]
    fn a_clock_may_be_absurd() {
        for clock_hz in [1, 49, 300_000_000, u32::MAX] {
            let mut presses = DtmfSender::default();
            presses.add(DigitFormat::Event { payload: 97, clock_hz }, "1", KEY_MOST_MS);
            let packets = (0..3100).filter_map(|n| event(presses.next(n))).count();
            assert_eq!(packets, usize::from(KEY_MOST_MS / TICK_MS + REPEATS), "{clock_hz}");
        }
    }

    #[test]
    fn rfc4733_2_5_1_3_a_long_press_goes_on_in_another_segment() {
        let mut presses = DtmfSender::default();
        presses.add(DigitFormat::Event { payload: 97, clock_hz: 48_000 }, "1", 3000);
        let packets: Vec<EventPacket> = (0..400u32).filter_map(|n| event(presses.next(n * 960))).collect();
        assert_eq!(packets.len(), 152);
        assert_eq!(packets.iter().filter(|packet| packet.marker).count(), 1);
        let lasts = |packet: &EventPacket| u32::from(u16::from_be_bytes([packet.payload[2], packet.payload[3]]));
        let ends: Vec<(u32, u32)> = packets
            .iter()
            .filter(|packet| packet.payload[1] & END != 0)
            .map(|packet| (packet.timestamp, lasts(packet)))
            .collect();
        assert_eq!(ends, [(131_070, 12_930); 3]);
        for (n, packet) in (0u32..).zip(&packets).take(150) {
            // Each packet has the duration so far, up to the length of a segment.
            let now = (n + 1) * 960 - packet.timestamp;
            assert_eq!((lasts(packet), packet.since), (now.min(SEGMENT_TICKS), n * 960 - packet.timestamp));
        }
        assert!(presses.is_over());
    }
}
