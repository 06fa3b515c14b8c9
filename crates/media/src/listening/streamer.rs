//! One streamer: one direction of an end as the stream of another end, which leads to a recording server.

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::{Format, TrackName, TrackSet};

use crate::codec::Coding;
use crate::limits::STREAMED_FRAMES;
use crate::playout::{FRAME_SAMPLES, Feed, Linear};
use crate::spec::{EndId, TapSpec};

use super::hearing::Hearing;
use super::listener::TrackPacket;

/// A streamer.
#[derive(Debug)]
pub(super) struct Streamer {
    id: EndId,
    track: TrackName,
    hearing: Hearing,
    /// The wire to the end that it feeds.
    feed: Option<Feed>,
    /// Frames that wait for their tick.
    waiting: VecDeque<Linear>,
}

impl Streamer {
    /// Creates a streamer of a direction; it hears nothing before it feeds an end.
    pub(super) fn new(id: EndId, track: TrackName) -> Streamer {
        let waiting = VecDeque::with_capacity(STREAMED_FRAMES);
        Streamer { id, track, hearing: Hearing::new(Format::L16Rate8000), feed: None, waiting }
    }

    /// Returns its name.
    pub(super) fn id(&self) -> EndId {
        self.id
    }

    /// Returns the wire to the end that it feeds.
    pub(super) fn feed(&self) -> Option<Feed> {
        self.feed
    }

    /// Feeds an end, with what is said from now on.
    pub(super) fn connect(&mut self, now: Instant, feed: Feed) {
        if self.feed.replace(feed).is_none() {
            self.waiting.clear();
            let track = if self.track == TrackName::Inbound { TrackSet::Inbound } else { TrackSet::Outbound };
            self.hearing.begin_recorded(now, track);
        }
    }

    /// Feeds no end any more.
    pub(super) fn disconnect(&mut self) {
        self.feed = None;
        self.hearing.end();
        self.waiting.clear();
    }

    /// Sets the audio that it hears.
    pub(super) fn tune(&mut self, audio: &TapSpec) {
        let heard = if self.track == TrackName::Inbound { &audio.inbound } else { &audio.outbound };
        self.hearing.tune(self.track, heard, None);
    }

    /// Returns whether audio is decoded for it: audio that is not G.711.
    pub(super) fn decodes(&self) -> bool {
        self.hearing.decodes()
    }

    /// Takes a packet of the end that it hears; `coding`: that of its audio, `None` where it has none.
    pub(super) fn hear(&mut self, now: Instant, packet: &TrackPacket<'_>, coding: Option<Coding>) {
        if packet.track == self.track {
            // A packet of no use leaves silence.
            let _ = self.hearing.take(now, packet, coding);
            self.gather(now);
        }
    }

    /// Goes on without packets that have been waited for.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.hearing.handle_timeout(now);
        self.gather(now);
    }

    /// Returns when it does.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.hearing.poll_timeout()
    }

    /// Returns the next frame; `None` where nothing has come in time, which is heard as silence.
    pub(super) fn next_frame(&mut self) -> Option<Linear> {
        self.waiting.pop_front()
    }

    fn gather(&mut self, now: Instant) {
        while let Some(heard) = self.hearing.poll(now, false) {
            let mut samples = [0; FRAME_SAMPLES];
            samples.iter_mut().zip(heard.audio.as_chunks().0).for_each(|(to, pair)| *to = i16::from_le_bytes(*pair));
            if self.waiting.len() == STREAMED_FRAMES {
                self.waiting.pop_front();
            }
            self.waiting.push_back(samples);
        }
    }
}
