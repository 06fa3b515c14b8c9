//! Keys that the edge presses towards a far side: telephone-events (RFC 4733 §2.5) on the clock of the stream that the
//! edge makes for it. Their packets take the place of audio, which waits; none is lost for them.

use std::collections::VecDeque;

use crate::keys::event_of;
use crate::limits::KEYS_WAITING;

/// Packets of a press, one each 20 ms, before its last one is repeated: 100 ms, as a human would press.
const PRESS_TICKS: u8 = 5;
/// The last packet comes three times, in case of loss (RFC 4733 §2.5.1.4).
const REPEATS: u8 = 2;
/// Ticks from the beginning of a press to that of the next: 100 ms between two keys, the repeats among them.
const KEY_TICKS: u8 = 10;
/// Ticks of the RTP clock in 20 ms.
const TICK_CLOCK: u16 = 160;
/// −10 dBm0 (RFC 4733 §2.5.2.3).
const VOLUME: u8 = 10;
const END: u8 = 0x80;

/// What is to be pressed, and where the press under way stands.
#[derive(Debug, Default)]
pub(crate) struct Presses {
    /// Payload number and event of each.
    waiting: VecDeque<(u8, u8)>,
    now: Option<Press>,
}

#[derive(Debug, Clone, Copy)]
struct Press {
    payload_type: u8,
    event: u8,
    /// Timestamp of its beginning: that of all its packets.
    timestamp: u32,
    /// Ticks since then.
    tick: u8,
}

/// One packet of a press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyPacket {
    pub(crate) payload_type: u8,
    /// Set on a press's first.
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    pub(crate) payload: [u8; 4],
}

impl Presses {
    /// Adds digits behind those that wait; how many are left out because too many do. What is no key is passed over.
    pub(crate) fn add(&mut self, payload_type: u8, digits: &str) -> usize {
        let events: Vec<u8> = digits.chars().filter_map(event_of).collect();
        let room = KEYS_WAITING.saturating_sub(self.waiting.len());
        self.waiting.extend(events.iter().take(room).map(|event| (payload_type, *event)));
        events.len().saturating_sub(room)
    }
    /// Moves on by 20 ms, at this timestamp of the stream; the packet that is due instead of audio, if one is.
    pub(crate) fn next(&mut self, timestamp: u32) -> Option<KeyPacket> {
        let over = self.now.is_none_or(|press| press.tick >= KEY_TICKS);
        if over {
            let next = self.waiting.pop_front();
            self.now = next.map(|(payload_type, event)| Press { payload_type, event, timestamp, tick: 0 });
        }
        let press = self.now.as_mut()?;
        press.tick += 1;
        if press.tick > PRESS_TICKS + REPEATS {
            return None;
        }
        let held = press.tick.min(PRESS_TICKS);
        let [high, low] = (u16::from(held) * TICK_CLOCK).to_be_bytes();
        let end = if held == PRESS_TICKS { END } else { 0 };
        Some(KeyPacket {
            payload_type: press.payload_type,
            marker: press.tick == 1,
            timestamp: press.timestamp,
            payload: [press.event, end | VOLUME, high, low],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;
    use crate::rtp::Rtp;

    #[test]
    fn rfc4733_2_5_1_a_press_is_one_event_that_grows_and_ends_three_times() {
        let mut presses = Presses::default();
        assert_eq!(presses.add(101, "7#"), 0);
        let ticks: Vec<Option<KeyPacket>> = (0..22).map(|n| presses.next(1000 + n * 160)).collect();
        let packet = |event: u8, marker, timestamp, end: u8, duration: u16| {
            let [high, low] = duration.to_be_bytes();
            Some(KeyPacket { payload_type: 101, marker, timestamp, payload: [event, end | 10, high, low] })
        };
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
        let (mut presses, mut keys) = (Presses::default(), Keys::default());
        // Letters may be small; anything else is no key.
        assert_eq!(presses.add(96, &digits.to_lowercase().replace("56", "5 w,6")), 0);
        let read: String = (0..400u32)
            .filter_map(|n| {
                let packet = presses.next((u32::MAX - 1000).wrapping_add(n * 160))?;
                let rtp = Rtp {
                    marker: packet.marker,
                    payload_type: packet.payload_type,
                    sequence: 0,
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
        let mut presses = Presses::default();
        assert_eq!(presses.add(101, &"1".repeat(KEYS_WAITING - 1)), 0);
        assert_eq!(presses.add(101, "234"), 2);
        assert_eq!(presses.add(101, "5"), 1);
        let pressed = (0..100_000).filter(|n| presses.next(n * 160).is_some_and(|packet| packet.marker)).count();
        assert_eq!(pressed, KEYS_WAITING);
    }
}
