//! Serializable state of a track. Times are microseconds relative to the time of the snapshot, and samples are numbers,
//! so that another process continues with the same frames.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{ClockLead, ClockTolerance, FrameSlot, SAMPLES, SourcePosition, TrackCounts, TrackFramer, TrackSample};
use crate::limits::{TRACK_FRAMES, TRACK_FRAMES_USUAL};

/// State of one direction of a recording. Statistics are omitted; so is the lateness of packets, which is measured
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrackSnapshot {
    /// Start of the first frame.
    start_us: i64,
    next: u64,
    owed: u64,
    filled: u64,
    late_since_us: Option<i64>,
    source: Option<SourceSnapshot>,
    slots: Vec<SlotSnapshot>,
}

/// State of a frame that is being assembled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SlotSnapshot {
    audio: Vec<i16>,
    there: [u64; 3],
    first_us: Option<i64>,
    tail_us: Option<i64>,
}

/// State of a source: its position and the lead over the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SourceSnapshot {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    at: i64,
    length: i64,
    end: i64,
    lead: i64,
    moved: i64,
    moved_until_us: i64,
    settles_us: Option<i64>,
    burst: i64,
    pace_until_us: i64,
    pace_now: Option<i64>,
    pace_before: Option<i64>,
}

impl TrackSnapshot {
    /// Discards the source, so that the position of the next packet is determined by its arrival.
    pub(crate) fn forget_source(&mut self) {
        self.source = None;
    }
}

/// Returns the microseconds from `now` to `time`.
fn offset(now: Instant, time: Instant) -> i64 {
    let micros = |later: Instant, earlier: Instant| {
        i64::try_from(later.saturating_duration_since(earlier).as_micros()).unwrap_or(i64::MAX)
    };
    micros(time, now) - micros(now, time)
}

/// Returns the time that is `offset_us` microseconds after `now`, or before it if negative.
fn at(now: Instant, offset_us: i64) -> Instant {
    let distance = Duration::from_micros(offset_us.unsigned_abs());
    let time = if offset_us < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
    time.unwrap_or(now)
}

impl SourceSnapshot {
    fn of(now: Instant, source: &SourcePosition) -> SourceSnapshot {
        let SourcePosition {
            ssrc,
            sequence,
            timestamp,
            at,
            length,
            end,
            lead,
            moved,
            moved_until,
            settles,
            burst,
            pace,
        } = *source;
        SourceSnapshot {
            ssrc,
            sequence,
            timestamp,
            at,
            length,
            end,
            lead,
            moved,
            moved_until_us: offset(now, moved_until),
            settles_us: settles.map(|time| offset(now, time)),
            burst,
            pace_until_us: offset(now, pace.until),
            pace_now: pace.now,
            pace_before: pace.before,
        }
    }

    fn restore(self, now: Instant) -> SourcePosition {
        SourcePosition {
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: self.timestamp,
            at: self.at,
            length: self.length,
            end: self.end,
            lead: self.lead,
            moved: self.moved,
            moved_until: at(now, self.moved_until_us),
            settles: self.settles_us.map(|settles| at(now, settles)),
            burst: self.burst,
            pace: ClockLead { until: at(now, self.pace_until_us), now: self.pace_now, before: self.pace_before },
        }
    }
}

impl<S: TrackSample> TrackFramer<S> {
    /// Returns the serializable state of the track; `number` maps a sample to its number.
    pub(crate) fn snapshot(&self, now: Instant, number: impl Fn(S) -> i16) -> TrackSnapshot {
        let slot = |slot: &FrameSlot<S>| SlotSnapshot {
            audio: slot.audio.iter().map(|sample| number(*sample)).collect(),
            there: slot.there,
            first_us: slot.first.map(|time| offset(now, time)),
            tail_us: slot.tail.map(|time| offset(now, time)),
        };
        TrackSnapshot {
            start_us: offset(now, self.start),
            next: self.next,
            owed: self.owed,
            filled: self.filled,
            late_since_us: self.late_since.map(|time| offset(now, time)),
            source: self.source.as_ref().map(|source| SourceSnapshot::of(now, source)),
            slots: self.slots.iter().map(slot).collect(),
        }
    }

    /// Restores a track; `now` is the time of the snapshot, `sample` maps a number to its sample.
    pub(crate) fn restore(
        now: Instant,
        tolerance: &'static ClockTolerance,
        snapshot: TrackSnapshot,
        sample: impl Fn(i16) -> S,
    ) -> TrackFramer<S> {
        let TrackSnapshot { start_us, next, owed, filled, late_since_us, source, slots } = snapshot;
        let slot = |SlotSnapshot { audio, there, first_us, tail_us }: SlotSnapshot| {
            let mut restored = [S::SILENCE; SAMPLES];
            restored.iter_mut().zip(audio).for_each(|(to, number)| *to = sample(number));
            let (first, tail) = (first_us.map(|us| at(now, us)), tail_us.map(|us| at(now, us)));
            FrameSlot { audio: restored, there, first, tail }
        };
        let mut kept = VecDeque::with_capacity(TRACK_FRAMES_USUAL);
        kept.extend(slots.into_iter().take(TRACK_FRAMES).map(slot));
        TrackFramer {
            start: at(now, start_us),
            tolerance,
            slots: kept,
            next,
            owed: owed.min(next),
            filled,
            source: source.map(|source| source.restore(now)),
            late_since: late_since_us.map(|us| at(now, us)),
            reordering: None,
            held: false,
            counts: TrackCounts::default(),
        }
    }
}
