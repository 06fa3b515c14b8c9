//! Both directions of a call on one media time: frame `n` of either is what was said or heard in the same 20 ms.

use std::time::Instant;

use crate::message::{TrackName, TrackSet};
use crate::track::{Packet, SAMPLES, Sample, Tolerance, Track, TrackCounts};

/// 20 ms of one direction. Each direction's frames come in their order and without a gap from the stream's start
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<S = u8> {
    /// The direction.
    pub track: TrackName,
    /// As it came off the wire where it fitted.
    pub audio: [S; SAMPLES],
}

/// The directions of one stream. RTP is pushed as it comes; then [`Self::poll`] until `None`.
#[derive(Debug)]
pub struct Tracks<S = u8> {
    inbound: Option<Track<S>>,
    outbound: Option<Track<S>>,
}

impl<S: Sample> Tracks<S> {
    /// The directions of `set`; media time 0 is `start`, the moment the stream's socket was open.
    pub fn new(start: Instant, set: TrackSet) -> Tracks<S> {
        let track = |name| set.has(name).then(|| Track::new(start, &Tolerance::HEARD));
        Tracks { inbound: track(TrackName::Inbound), outbound: track(TrackName::Outbound) }
    }
    /// Directions kept within 40 ms of the wall clock as a recording needs it, at the cost of a click where a source that runs
    /// fast or slow never pauses.
    pub fn recorded(start: Instant, set: TrackSet) -> Tracks<S> {
        let track = |name| set.has(name).then(|| Track::new(start, &Tolerance::RECORDED));
        Tracks { inbound: track(TrackName::Inbound), outbound: track(TrackName::Outbound) }
    }
    /// The same with samples of another kind, from the frames that leave next on; what waits is left out.
    pub fn with_samples<T: Sample>(&self) -> Tracks<T> {
        let of = |track: &Option<Track<S>>| track.as_ref().map(Track::with_samples);
        Tracks { inbound: of(&self.inbound), outbound: of(&self.outbound) }
    }
    /// The same, what waits included, with each sample as another kind.
    pub fn map<T: Sample>(self, sample: impl Fn(S) -> T) -> Tracks<T> {
        let Tracks { inbound, outbound } = self;
        let [inbound, outbound] = [inbound, outbound].map(|track| track.map(|track| track.map(&sample)));
        Tracks { inbound, outbound }
    }
    /// Takes a packet of a direction; one that is not in the set is passed over.
    pub fn push(&mut self, now: Instant, track: TrackName, packet: &Packet<'_, S>) {
        let track = match track {
            TrackName::Inbound => &mut self.inbound,
            TrackName::Outbound => &mut self.outbound,
        };
        if let Some(track) = track {
            track.push(now, packet);
        }
    }
    /// Says whether packets of a direction wait elsewhere: until they have come nothing is filled by the clock.
    pub fn hold(&mut self, track: TrackName, held: bool) {
        let track = match track {
            TrackName::Inbound => &mut self.inbound,
            TrackName::Outbound => &mut self.outbound,
        };
        if let Some(track) = track {
            track.hold(held);
        }
    }
    /// The next frame that is complete or whose time is over.
    pub fn poll(&mut self, now: Instant) -> Option<Frame<S>> {
        let behind = |track: &Option<Track<S>>| track.as_ref().map_or(u64::MAX, Track::index);
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
            Some(Frame { track: name, audio: track.as_mut()?.poll(now)? })
        })
    }
    /// When [`Self::poll`] has something at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [&self.inbound, &self.outbound].into_iter().flatten().filter_map(Track::poll_timeout).min()
    }
    /// What a direction counted.
    pub fn counts(&self, track: TrackName) -> TrackCounts {
        let track = match track {
            TrackName::Inbound => &self.inbound,
            TrackName::Outbound => &self.outbound,
        };
        track.as_ref().map(Track::counts).unwrap_or_default()
    }
}
