//! Receiver of telephone-events (RFC 4733): reports each digit of a remote party once, despite loss, repetition and
//! reordering of packets and faulty timestamps.

use std::time::Instant;

use crate::limits::{KEY_LOST_AFTER, KEY_MOST_MS, KEYS_TOLD};
use crate::rtp::RtpHeader;

use super::digit::Digit;

/// Maximum duration of one segment; a longer event continues in the next one (RFC 4733 §2.5.1.3).
pub(crate) const SEGMENT_TICKS: u32 = 0xffff;
/// End bit of an event's last packets (RFC 4733 §2.3.2).
pub(crate) const END: u8 = 0x80;

/// Number of times that an event's last packet is sent (RFC 4733 §2.5.1.4). A packet further ahead is not a repetition.
const END_PACKETS: i16 = 3;
/// Maximum lateness of a packet in sequence numbers; beyond it, the sender has restarted (RFC 3550 §A.1,
/// `MAX_MISORDER`).
const MOST_MISORDER: i16 = 100;
/// Maximum spacing in sequence numbers between two packets of an event; a larger gap counts as lost packets.
const MOST_SPACING: u8 = 10;
/// Duration in RTP clock ticks from which a decrease means that a 16-bit counter has wrapped without a new segment.
const NEARLY_FULL: u16 = 0xf000;
/// Maximum timestamp increment per packet of a sender that advances it within an event (60 ms at 8 kHz).
const MOST_PACKET_TICKS: u32 = 480;

/// Assigns the telephone-event packets of one remote party to events.
///
/// Packets are ordered by their sequence numbers (RFC 3550 §5.1). Event, marker, end bit and duration distinguish an
/// event from the next one (RFC 4733 §2.5.1); timestamps are used only if they agree with those, because some senders
/// keep them, advance them within an event, or let them jump.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EventTracker {
    last: EventPosition,
    /// Last event of another SSRC, received before the current event.
    former: FormerEvent,
    /// Whether an event has been received.
    has_last: bool,
    /// Whether the source's timestamp differed between two events. If so, an end packet with an unchanged timestamp
    /// is a repetition, however much audio was sent before it.
    has_moving_clock: bool,
}

/// Last event of another source, of which packets may still arrive: a four-byte digest of SSRC, timestamp and event, to
/// keep each leg small; 0 if there was none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct FormerEvent(u32);

/// Reports each digit of one remote party once.
#[derive(Debug, Clone, Copy, Default)]
pub struct DtmfReceiver {
    tracker: EventTracker,
    /// Number of forwarded digits so far, see [`EventReceiver::may_report`].
    reported: u16,
}

/// Newest packet of the current event.
#[derive(Debug, Clone, Copy, Default)]
struct EventPosition {
    ssrc: u32,
    timestamp: u32,
    sequence: u16,
    duration: u16,
    event: u8,
    /// Whether the current event has ended.
    has_ended: bool,
    /// Whether a packet after the first one had no marker, as RFC 4733 requires.
    is_plain: bool,
    /// Maximum spacing in sequence numbers between two packets of the event; more than 1 if audio is sent between
    /// them.
    spacing: u8,
}

/// Fields of a telephone-event packet (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy)]
pub(crate) struct TelephoneEvent {
    ssrc: u32,
    timestamp: u32,
    sequence: u16,
    duration: u16,
    event: u8,
    marker: bool,
    is_end: bool,
}

/// Classification of a telephone-event packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventObservation {
    /// Repeated, late or damaged packet.
    Ignored,
    /// First received packet of an event.
    Begun,
    /// Further packet of the current event. If `is_new_segment`, its duration counts from the end of the last
    /// segment.
    Continued { is_new_segment: bool },
}

impl TelephoneEvent {
    /// Parses a telephone-event from a packet's payload; `None` if the payload is too short (RFC 4733 §2.3).
    pub(crate) fn parse(rtp: &RtpHeader, payload: &[u8]) -> Option<TelephoneEvent> {
        let &[event, flags, high, low, ..] = payload else { return None };
        Some(TelephoneEvent {
            ssrc: rtp.ssrc,
            timestamp: rtp.timestamp,
            sequence: rtp.sequence,
            duration: u16::from_be_bytes([high, low]),
            event,
            marker: rtp.marker,
            is_end: flags & END != 0,
        })
    }
}

impl EventPosition {
    fn begin(packet: &TelephoneEvent) -> EventPosition {
        let &TelephoneEvent { ssrc, timestamp, sequence, duration, event, is_end, .. } = packet;
        EventPosition { ssrc, timestamp, sequence, duration, event, has_ended: is_end, is_plain: false, spacing: 1 }
    }

    /// Applies a further packet of the event; within a segment the duration never shrinks.
    fn advance(&mut self, packet: &TelephoneEvent, is_new_segment: bool) {
        let ahead = packet.sequence.wrapping_sub(self.sequence);
        self.spacing = self.spacing.max(u8::try_from(ahead).unwrap_or(MOST_SPACING).min(MOST_SPACING));
        self.is_plain |= !packet.marker;
        self.has_ended |= packet.is_end;
        self.duration = if is_new_segment { packet.duration } else { self.duration.max(packet.duration) };
        (self.timestamp, self.sequence) = (packet.timestamp, packet.sequence);
    }

    /// Returns the distance in sequence numbers to a newer packet of the same source; `None` for a repeated or late
    /// one.
    fn distance_to(&self, packet: &TelephoneEvent) -> Option<i16> {
        let ahead = packet.sequence.wrapping_sub(self.sequence).cast_signed();
        match ahead {
            0 => None,
            ahead if (-MOST_MISORDER..0).contains(&ahead) => None,
            ahead if ahead < 0 => Some(i16::MAX),
            ahead => Some(ahead),
        }
    }

    /// Returns whether the duration is so near its maximum that a smaller one has wrapped.
    fn is_nearly_full(&self) -> bool {
        self.duration >= NEARLY_FULL
    }

    /// Returns whether a packet begins the next segment of a long event (RFC 4733 §2.5.1.3).
    fn is_next_segment(&self, packet: &TelephoneEvent) -> bool {
        let step = packet.timestamp.wrapping_sub(self.timestamp);
        packet.event == self.event && step == SEGMENT_TICKS && !packet.marker
    }

    /// Returns whether a packet `ahead` sequence numbers ahead is close enough to be a repeated end packet of the
    /// event.
    fn is_end_repeated_by(&self, packet: &TelephoneEvent, ahead: i16, has_moving_clock: bool) -> bool {
        let is_same = packet.timestamp == self.timestamp && packet.duration == self.duration;
        let most = if has_moving_clock && is_same { MOST_MISORDER } else { END_PACKETS * i16::from(self.spacing) };
        packet.is_end && ahead <= most
    }

    /// Returns whether a packet `ahead` sequence numbers ahead belongs to the same event.
    fn is_continued_by(&self, packet: &TelephoneEvent, ahead: i16, has_moving_clock: bool) -> bool {
        if packet.event != self.event {
            return false;
        }
        let step = packet.timestamp.wrapping_sub(self.timestamp);
        let is_near = ahead <= END_PACKETS;
        let is_overlapping = step < u32::from(self.duration).max(MOST_PACKET_TICKS);
        if packet.marker {
            // The marker shows a first packet, unless the sender sets it on every packet.
            let is_same = if self.has_ended {
                packet.duration == self.duration && self.is_end_repeated_by(packet, ahead, has_moving_clock)
            } else {
                // Some senders repeat the first packet.
                packet.duration > self.duration || packet.duration == self.duration && is_near
            };
            return !self.is_plain && step == 0 && is_same;
        }
        if self.has_ended {
            // Only repetitions of the end follow an end; with the same timestamp also with another duration.
            return self.is_end_repeated_by(packet, ahead, has_moving_clock)
                && (step == 0 || packet.duration >= self.duration && is_overlapping);
        }
        if packet.duration < self.duration {
            // Some senders count back, or end with 0: one timestamp is one event (RFC 4733 §2.5.1).
            return is_near && (step == 0 || self.is_nearly_full());
        }
        let most_step = u32::from(self.duration).max(MOST_PACKET_TICKS * u32::from(ahead.unsigned_abs()));
        // A timestamp that grows with the duration belongs to one event.
        let grows = step == u32::from(packet.duration - self.duration);
        step == 0 || grows || is_near && (packet.duration > self.duration || step <= most_step)
    }
}

impl FormerEvent {
    fn digest(ssrc: u32, timestamp: u32, event: u8) -> FormerEvent {
        let mixed = ssrc ^ timestamp.wrapping_mul(0x9e37_79b1) ^ u32::from(event).rotate_left(24);
        FormerEvent(mixed.max(1))
    }
}

impl EventTracker {
    /// Classifies a packet and updates the state.
    pub(crate) fn observe(&mut self, packet: &TelephoneEvent) -> EventObservation {
        if self.has_last && self.last.ssrc == packet.ssrc {
            let Some(ahead) = self.last.distance_to(packet) else { return EventObservation::Ignored };
            let is_new_segment = self.last.is_next_segment(packet);
            if is_new_segment || self.last.is_continued_by(packet, ahead, self.has_moving_clock) {
                let is_wrapped = self.last.is_nearly_full() && packet.duration < self.last.duration && !packet.is_end;
                let is_new_segment = is_new_segment || is_wrapped;
                self.last.advance(packet, is_new_segment);
                return EventObservation::Continued { is_new_segment };
            }
            self.has_moving_clock |= packet.timestamp != self.last.timestamp;
        } else if self.has_last {
            if self.former == FormerEvent::digest(packet.ssrc, packet.timestamp, packet.event) {
                return EventObservation::Ignored;
            }
            let EventPosition { ssrc, timestamp, event, .. } = self.last;
            self.former = FormerEvent::digest(ssrc, timestamp, event);
            self.has_moving_clock = false;
        }
        (self.last, self.has_last) = (EventPosition::begin(packet), true);
        EventObservation::Begun
    }
}

impl DtmfReceiver {
    /// Processes a telephone-event packet; returns the digit at the first received packet of its event.
    pub fn take(&mut self, rtp: &RtpHeader, payload: &[u8]) -> Option<char> {
        let packet = TelephoneEvent::parse(rtp, payload)?;
        let is_first = self.tracker.observe(&packet) == EventObservation::Begun;
        Digit::from_event(packet.event).filter(|_| is_first).map(Digit::as_char)
    }
}

/// Digit in progress, timed until its end.
#[derive(Debug, Clone, Copy)]
struct HeldDigit {
    digit: char,
    clock_hz: u32,
    /// RTP clock ticks in completed segments.
    before: u32,
    /// RTP clock ticks in the current segment.
    ticks: u16,
    seen: Instant,
}

impl HeldDigit {
    /// Extends the current digit to the duration in a packet.
    fn advance(&mut self, now: Instant, duration: u16, is_new_segment: bool) {
        if is_new_segment {
            self.before = self.before.saturating_add(SEGMENT_TICKS);
            self.ticks = 0;
        }
        (self.ticks, self.seen) = (self.ticks.max(duration), now);
    }

    /// Returns the time at which the digit counts as ended unless another packet arrives.
    fn lost_at(&self) -> Instant {
        self.seen + KEY_LOST_AFTER
    }

    fn completed(self) -> CompletedDigit {
        CompletedDigit { digit: self.digit, ms: self.ms() }
    }

    /// Returns the duration so far, in milliseconds.
    fn ms(&self) -> u32 {
        let ticks = u64::from(self.before) + u64::from(self.ticks);
        let ms = ticks * 1000 / u64::from(self.clock_hz.max(1));
        u32::try_from(ms).unwrap_or(u32::MAX).min(KEY_MOST_MS.into())
    }
}

/// Digit that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompletedDigit {
    /// The digit: `0` to `9`, `*`, `#` or `A` to `D`.
    pub(crate) digit: char,
    /// Duration of the digit, in milliseconds.
    pub(crate) ms: u32,
}

/// Receiver of one remote party's telephone-events: reports the beginning of each digit once, and its end on request.
#[derive(Debug, Default)]
pub(crate) struct EventReceiver {
    receiver: DtmfReceiver,
    held: Option<HeldDigit>,
}

impl EventReceiver {
    /// Counts a forwarded digit; returns whether to report it to signalling: only the first [`KEYS_TOLD`] are.
    pub(crate) fn may_report(&mut self) -> bool {
        self.receiver.reported = self.receiver.reported.saturating_add(1);
        self.receiver.reported <= KEYS_TOLD
    }

    /// Processes a telephone-event packet; returns the digit at the first received packet of its event.
    pub(crate) fn take(&mut self, rtp: &RtpHeader, payload: &[u8]) -> Option<char> {
        self.receiver.take(rtp, payload)
    }

    /// Processes a telephone-event packet with the clock rate `clock_hz`. Returns the digits that it completes: one
    /// that a new event replaced, and one that the packet itself ends.
    pub(crate) fn take_timed(
        &mut self,
        now: Instant,
        clock_hz: u32,
        rtp: &RtpHeader,
        payload: &[u8],
    ) -> [Option<CompletedDigit>; 2] {
        let Some(packet) = TelephoneEvent::parse(rtp, payload) else { return [None, None] };
        let replaced = match self.receiver.tracker.observe(&packet) {
            EventObservation::Ignored => return [None, None],
            EventObservation::Begun => {
                let digit = Digit::from_event(packet.event).map(Digit::as_char);
                let held = |digit| HeldDigit { digit, clock_hz, before: 0, ticks: packet.duration, seen: now };
                std::mem::replace(&mut self.held, digit.map(held))
            }
            EventObservation::Continued { is_new_segment } => {
                if let Some(held) = &mut self.held {
                    held.advance(now, packet.duration, is_new_segment);
                }
                None
            }
        };
        let ended = self.held.take_if(|_| packet.is_end);
        [replaced, ended].map(|held| held.map(HeldDigit::completed))
    }

    /// Ends the current digit if its last packets were lost; `None` if none is overdue.
    pub(crate) fn release_lost(&mut self, now: Instant) -> Option<CompletedDigit> {
        self.held.take_if(|held| held.lost_at() <= now).map(HeldDigit::completed)
    }

    /// Returns the time at which the current digit counts as ended unless another packet arrives.
    pub(crate) fn lost_at(&self) -> Option<Instant> {
        self.held.as_ref().map(HeldDigit::lost_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Reads the clock once; all times are derived from it.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    /// Test packet as `(sequence, timestamp, event, marker, end, duration)`.
    type Sent = (u16, u32, u8, bool, bool, u16);

    fn rtp(ssrc: u32, (sequence, timestamp, _, marker, ..): Sent) -> RtpHeader {
        RtpHeader { marker, payload_type: 101, sequence, timestamp, ssrc, payload: 12..16 }
    }

    fn payload((_, _, event, _, is_end, duration): Sent) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [event, if is_end { END | 10 } else { 10 }, high, low]
    }

    fn digits(packets: impl IntoIterator<Item = Sent>) -> String {
        let mut receiver = DtmfReceiver::default();
        packets.into_iter().filter_map(|packet| receiver.take(&rtp(1, packet), &payload(packet))).collect()
    }

    #[test]
    fn a_duration_that_shrinks_within_one_timestamp_is_one_press() {
        for durations in [
            &[160, 320, 480, 640, 560, 560, 560][..],
            &[160, 320, 480, 640, 0, 0, 0],
            &[160, 320, 160, 480, 640, 640, 640],
            &[800, 640, 480, 320, 160, 160, 160],
            &[160, 320, 480, 640, 640, 480, 320],
        ] {
            let press = |event: u8, from: u16, timestamp: u32| {
                let last = durations.len() - 3;
                let packet = move |(n, duration): (usize, &u16)| {
                    (from + n as u16, timestamp, event, n == 0, n >= last, *duration)
                };
                durations.iter().enumerate().map(packet)
            };
            let presses = press(5, 100, 8000).chain(press(6, 150, 16_000)).chain(press(6, 200, 24_000));
            assert_eq!(digits(presses.collect::<Vec<Sent>>()), "566", "{durations:?}");
        }
    }

    /// Timestamp function of a sender, for packet `n` of event `press`.
    type Clock = fn(press: u32, n: u32) -> u32;

    /// Timestamp behaviour of known senders.
    const CLOCKS: [(&str, Clock); 7] = [
        ("as in RFC 4733", |press, _| 4000 + press * 8000),
        ("stands still for the whole call", |_, _| 4000),
        ("grows within a press", |press, n| 4000 + press * 8000 + n * 160),
        ("goes back", |press, _| 4_000_000_000 - press * 50_000),
        ("jumps by more than half its range", |press, _| press.wrapping_mul(0x9000_0000)),
        ("wraps", |press, _| (u32::MAX - 9000).wrapping_add(press * 8000)),
        ("starts again at zero", |press, _| if press < 2 { 700_000 + press * 8000 } else { press * 8000 }),
    ];

    /// Generates packets of events: six that grow by 160 ticks, and the end three times; `pause` packets of audio
    /// between two events.
    fn presses(events: &[u8], clock: Clock, marks: bool, pause: u16) -> Vec<Sent> {
        let mut sequence = 65_500_u16;
        let mut packets = Vec::new();
        for (press, event) in (0..).zip(events) {
            for n in 0..8_u32 {
                let duration = (n.min(5) as u16 + 1) * 160;
                packets.push((sequence, clock(press, n), *event, marks && n == 0, n >= 5, duration));
                sequence = sequence.wrapping_add(1);
            }
            sequence = sequence.wrapping_add(pause);
        }
        packets
    }

    #[test]
    fn each_press_is_received_once_whatever_timestamps_do() {
        let (events, expected) = ([1, 2, 3, 3, 3, 11, 0, 0], "12333#00");
        for (habit, clock) in CLOCKS {
            for marks in [true, false] {
                for pause in [0, 5, 700, 40_000] {
                    let packets = presses(&events, clock, marks, pause);
                    let case = format!("{habit}, marks {marks}, pause {pause}");
                    assert_eq!(digits(packets.iter().copied()), expected, "{case}");
                    let repeated = packets.iter().flat_map(|packet| [*packet, *packet]);
                    assert_eq!(digits(repeated), expected, "{case}, each twice");
                    let swapped = packets.chunks(2).flat_map(|pair| pair.iter().rev().copied());
                    assert_eq!(digits(swapped), expected, "{case}, in pairs the wrong way round");
                }
            }
        }
    }

    #[test]
    fn any_part_of_a_press_may_be_lost() {
        for (habit, clock) in CLOCKS {
            for marks in [true, false] {
                let packets = presses(&[1, 2, 2, 3], clock, marks, 50);
                let without = |lost: fn(usize) -> bool| {
                    let kept = packets.iter().enumerate().filter(|(n, _)| !lost(n % 8));
                    digits(kept.map(|(_, packet)| *packet))
                };
                let case = format!("{habit}, marks {marks}");
                assert_eq!(without(|n| n < 5), "1223", "{case}: ends only");
                assert_eq!(without(|n| n != 6), "1223", "{case}: one end only");
                assert_eq!(without(|n| n > 5), "1223", "{case}: one end");
                assert_eq!(without(|n| n == 0), "1223", "{case}: the first packet");
                assert_eq!(without(|n| n % 2 == 0), "1223", "{case}: every second packet");
            }
        }
        // Without an end, a lower duration or another timestamp begins the next event.
        for (habit, clock) in CLOCKS {
            let packets = presses(&[1, 2, 2, 3], clock, false, 50);
            assert_eq!(digits(packets.into_iter().filter(|packet| !packet.4)), "1223", "{habit}: no ends");
        }
    }

    #[test]
    fn a_marker_begins_a_press_at_the_same_timestamp() {
        let press = |first: u16, event| {
            (0..4).map(move |n| (first + n, 77, event, n == 0, n > 1, if n > 1 { 480 } else { n * 160 }))
        };
        assert_eq!(digits(press(0, 4).chain(press(4, 4))), "44");
        assert_eq!(digits(press(0, 4).chain(press(4, 5))), "45");
        // A sender that sets the marker on every packet.
        let marked = |(sequence, timestamp, event, _, end, duration)| (sequence, timestamp, event, true, end, duration);
        assert_eq!(digits(press(0, 4).map(marked)), "4");
    }

    #[test]
    fn durations_of_zero_and_of_a_full_segment_are_one_press() {
        for duration in [0, 1, 65_535] {
            for (habit, clock) in CLOCKS {
                let packets = presses(&[1, 1, 2], clock, true, 50);
                let same = packets.into_iter().map(|(sequence, timestamp, event, marker, is_end, _)| {
                    (sequence, timestamp, event, marker, is_end, duration)
                });
                assert_eq!(digits(same), "112", "{habit}, duration {duration}");
            }
        }
    }

    #[test]
    fn audio_between_the_packets_of_a_press_makes_no_further_one() {
        for (habit, clock) in CLOCKS {
            for marks in [true, false] {
                for audio in [0, 1, 2, 3, 5, 9] {
                    let mut number = 0_u16;
                    let spread = |packet: Sent| {
                        number += 1 + audio;
                        (number, packet.1, packet.2, packet.3, packet.4, packet.5)
                    };
                    let spread: Vec<Sent> =
                        presses(&[1, 2, 3, 3, 5], clock, marks, 50).into_iter().map(spread).collect();
                    let case = format!("{habit}, marks {marks}, {audio} packets of audio");
                    assert_eq!(digits(spread.iter().copied()), "12335", "{case}");
                    let without_middle =
                        spread.iter().enumerate().filter(|(n, _)| n % 8 != 6).map(|(_, packet)| *packet);
                    assert_eq!(digits(without_middle), "12335", "{case}, one end lost");
                }
            }
        }
    }

    #[test]
    fn a_first_packet_that_is_repeated_is_one_press() {
        for duration in [0, 160] {
            for (habit, clock) in CLOCKS {
                let mut sequence = 0_u16;
                let mut packets = Vec::new();
                for packet in presses(&[1, 2, 3, 3, 5], clock, true, 50) {
                    let times = if packet.3 { 3 } else { 1 };
                    for _ in 0..times {
                        sequence += 1;
                        let duration = if packet.3 { duration } else { packet.5 };
                        packets.push((sequence, packet.1, packet.2, packet.3, packet.4, duration));
                    }
                }
                assert_eq!(digits(packets), "12335", "{habit}, duration {duration}");
            }
        }
    }

    #[test]
    fn a_late_packet_of_the_source_before_repeats_no_press() {
        let packets = [
            (1, (10, 100, 1, true, false, 160)),
            (1, (11, 100, 1, false, false, 320)),
            (2, (500, 9000, 2, true, false, 160)),
            (2, (501, 9000, 2, false, false, 320)),
            (1, (12, 100, 1, false, true, 480)),
            (2, (502, 9000, 2, false, true, 480)),
            (1, (13, 100, 1, false, true, 480)),
            // An event of the former source counts.
            (1, (40, 4000, 3, true, false, 160)),
        ];
        let mut receiver = DtmfReceiver::default();
        let received = packets.map(|(ssrc, packet)| receiver.take(&rtp(ssrc, packet), &payload(packet)));
        assert_eq!(received.into_iter().flatten().collect::<String>(), "123");
    }

    #[test]
    fn late_packets_of_an_earlier_press_are_ignored() {
        let first = (10, 100, 1, true, false, 160);
        let second = (20, 900, 2, true, false, 160);
        assert_eq!(digits([first, second, (12, 100, 1, false, true, 480), (21, 900, 2, false, false, 320)]), "12");
        // Another source begins its own numbers.
        let mut receiver = DtmfReceiver::default();
        let taken = [(1, first), (2, first), (2, first), (2, second)];
        let digits: String = taken
            .into_iter()
            .filter_map(|(ssrc, packet)| receiver.take(&rtp(ssrc, packet), &payload(packet)))
            .collect();
        assert_eq!(digits, "112");
    }

    #[test]
    fn a_long_press_is_one_and_its_time_is_that_of_all_segments() {
        let now = start();
        for (habit, step) in [("segments", SEGMENT_TICKS), ("a duration that wraps", 0)] {
            let mut events = EventReceiver::default();
            let mut take = |packet: Sent| events.take_timed(now, 8000, &rtp(1, packet), &payload(packet));
            let mut sequence = 0;
            for segment in 0..3 {
                for duration in [20_000, 40_000, 65_000, 65_535] {
                    sequence += 1;
                    let packet = (sequence, segment * step, 1, sequence == 1, false, duration);
                    assert_eq!(take(packet), [None, None], "{habit}");
                }
            }
            let ended = take((sequence + 1, 2 * step, 1, false, true, 65_535));
            assert_eq!(ended, [None, Some(CompletedDigit { digit: '1', ms: 3 * 65_535 / 8 })], "{habit}");
            // An event that begins right there has the marker.
            let next = take((sequence + 4, 3 * step, 1, true, true, 800));
            assert_eq!(next, [None, Some(CompletedDigit { digit: '1', ms: 100 })], "{habit}");
        }
    }

    #[test]
    fn every_key_and_nothing_else() {
        let all = (0..=255).map(|event| (u16::from(event) * 3, u32::from(event) * 400, event, true, false, 160));
        assert_eq!(digits(all), "0123456789*#ABCD");
        let mut receiver = DtmfReceiver::default();
        let packet = (1, 1, 1, true, false, 0);
        assert_eq!(receiver.take(&rtp(1, packet), &[1, 10, 0]), None);
        assert_eq!(receiver.take(&rtp(1, packet), &[1, 10, 0, 0]), Some('1'));
    }
}
