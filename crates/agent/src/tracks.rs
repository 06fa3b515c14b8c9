//! Both directions of a call on one media time: frame `n` of either direction covers the same 20 ms.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::message::{TrackName, TrackSet};
use crate::track::{ClockTolerance, SAMPLES, TrackCounts, TrackFramer, TrackInput, TrackSample, TrackSnapshot};

/// Frame of 20 ms of one direction. Each direction's frames are in order and without a gap from the stream's start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackFrame<S = u8> {
    /// Direction of the call that the frame belongs to.
    pub track: TrackName,
    /// 20 ms of audio; unchanged if a packet filled exactly one frame.
    pub audio: [S; SAMPLES],
}

/// Both directions of one stream, or one of them. Push RTP as it arrives; then call [`Self::poll`] until `None`.
#[derive(Debug)]
pub struct StreamTracks<S = u8> {
    inbound: Option<TrackFramer<S>>,
    outbound: Option<TrackFramer<S>>,
}

/// Serializable state of the directions of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracksSnapshot {
    inbound: Option<TrackSnapshot>,
    outbound: Option<TrackSnapshot>,
}

impl TracksSnapshot {
    /// Discards the source of a direction when its packets get new sequence numbers; the position of the next packet is
    /// determined by its arrival.
    pub fn forget_source(&mut self, track: TrackName) {
        let track = match track {
            TrackName::Inbound => &mut self.inbound,
            TrackName::Outbound => &mut self.outbound,
        };
        track.iter_mut().for_each(TrackSnapshot::forget_source);
    }
}

impl<S: TrackSample> StreamTracks<S> {
    /// Creates tracks for the directions of `set`; media time 0 is `start`, the moment at which the stream's socket
    /// opened.
    pub fn new(start: Instant, set: TrackSet) -> StreamTracks<S> {
        let track = |name| set.has(name).then(|| TrackFramer::new(start, &ClockTolerance::HEARD));
        StreamTracks { inbound: track(TrackName::Inbound), outbound: track(TrackName::Outbound) }
    }

    /// Creates tracks that stay within 40 ms of the wall clock, as a recording needs. If a source with a fast or slow
    /// clock never pauses, a frame is dropped or inserted during speech, which is audible as a click.
    pub fn recorded(start: Instant, set: TrackSet) -> StreamTracks<S> {
        let track = |name| set.has(name).then(|| TrackFramer::new(start, &ClockTolerance::RECORDED));
        StreamTracks { inbound: track(TrackName::Inbound), outbound: track(TrackName::Outbound) }
    }

    /// Returns the serializable state of the directions, with times relative to `now`; `number` maps a sample to its
    /// number.
    pub fn snapshot(&self, now: Instant, number: impl Fn(S) -> i16) -> TracksSnapshot {
        let of = |track: &Option<TrackFramer<S>>| track.as_ref().map(|track| track.snapshot(now, &number));
        TracksSnapshot { inbound: of(&self.inbound), outbound: of(&self.outbound) }
    }

    /// Restores the directions of a recording; `now` is the time of the snapshot, `sample` maps a number to its sample.
    pub fn restore_recorded(now: Instant, snapshot: TracksSnapshot, sample: impl Fn(i16) -> S) -> StreamTracks<S> {
        let track = |one| TrackFramer::restore(now, &ClockTolerance::RECORDED, one, &sample);
        StreamTracks { inbound: snapshot.inbound.map(track), outbound: snapshot.outbound.map(track) }
    }

    /// Returns new tracks with another sample type that continue the numbering and statistics; waiting audio is
    /// dropped.
    pub fn with_samples<T: TrackSample>(&self) -> StreamTracks<T> {
        let of = |track: &Option<TrackFramer<S>>| track.as_ref().map(TrackFramer::with_samples);
        StreamTracks { inbound: of(&self.inbound), outbound: of(&self.outbound) }
    }

    /// Converts the tracks with their waiting audio to another sample type.
    pub fn map<T: TrackSample>(self, sample: impl Fn(S) -> T) -> StreamTracks<T> {
        let StreamTracks { inbound, outbound } = self;
        let [inbound, outbound] = [inbound, outbound].map(|track| track.map(|track| track.map(&sample)));
        StreamTracks { inbound, outbound }
    }

    /// Adds a packet of a direction; ignored if the direction is not in the set.
    pub fn push(&mut self, now: Instant, track: TrackName, packet: &TrackInput<'_, S>) {
        let track = match track {
            TrackName::Inbound => &mut self.inbound,
            TrackName::Outbound => &mut self.outbound,
        };
        if let Some(track) = track {
            track.push(now, packet);
        }
    }

    /// Sets whether packets of a direction wait to be decoded; meanwhile the clock fills no frame.
    pub fn hold(&mut self, track: TrackName, held: bool) {
        let track = match track {
            TrackName::Inbound => &mut self.inbound,
            TrackName::Outbound => &mut self.outbound,
        };
        if let Some(track) = track {
            track.hold(held);
        }
    }

    /// Removes and returns the next frame that is complete or overdue, of the direction that is further behind if both
    /// have one; `None` if there is none.
    pub fn poll(&mut self, now: Instant) -> Option<TrackFrame<S>> {
        let behind = |track: &Option<TrackFramer<S>>| track.as_ref().map_or(u64::MAX, TrackFramer::index);
        let names = if behind(&self.outbound) < behind(&self.inbound) {
            [TrackName::Outbound, TrackName::Inbound]
        } else {
            [TrackName::Inbound, TrackName::Outbound]
        };
        names.into_iter().find_map(|name| {
            let track = match name {
                TrackName::Inbound => &mut self.inbound,
                TrackName::Outbound => &mut self.outbound,
            };
            Some(TrackFrame { track: name, audio: track.as_mut()?.poll(now)? })
        })
    }

    /// Returns the latest time at which [`Self::poll`] returns a frame; `None` if no direction has such a time.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [&self.inbound, &self.outbound].into_iter().flatten().filter_map(TrackFramer::poll_timeout).min()
    }

    /// Returns the statistics of a direction; zeros if it is not in the set.
    pub fn counts(&self, track: TrackName) -> TrackCounts {
        let track = match track {
            TrackName::Inbound => &self.inbound,
            TrackName::Outbound => &self.outbound,
        };
        track.as_ref().map(TrackFramer::counts).unwrap_or_default()
    }
}
