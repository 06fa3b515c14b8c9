//! Streamer: sends one direction of an end as the stream of another end, towards a recording server (SIPREC).

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::{AgentFormat, TrackName, TrackSet};

use crate::codec::PayloadCodec;
use crate::limits::STREAMED_FRAMES;
use crate::playout::{FRAME_SAMPLES, Feed, LinearFrame};
use crate::spec::{EndId, TapSpec};

use super::hearing::ListenerInput;
use super::listener::TrackPacket;

/// Streamer of one direction of an end.
#[derive(Debug)]
pub(super) struct Streamer {
    id: EndId,
    track: TrackName,
    hearing: ListenerInput,
    /// Wire to the end that the streamer feeds.
    feed: Option<Feed>,
    /// Frames that wait for their tick.
    waiting: VecDeque<LinearFrame>,
}

impl Streamer {
    /// Creates a streamer of a direction; it is inactive before [`Self::connect`].
    pub(super) fn new(id: EndId, track: TrackName) -> Streamer {
        let waiting = VecDeque::with_capacity(STREAMED_FRAMES);
        Streamer { id, track, hearing: ListenerInput::new(AgentFormat::L16Rate8000), feed: None, waiting }
    }

    /// Returns the id of the streamer.
    pub(super) fn id(&self) -> EndId {
        self.id
    }

    /// Returns the wire to the end that the streamer feeds.
    pub(super) fn feed(&self) -> Option<Feed> {
        self.feed
    }

    /// Makes the streamer feed an end, with audio from now on.
    pub(super) fn connect(&mut self, now: Instant, feed: Feed) {
        if self.feed.replace(feed).is_none() {
            self.waiting.clear();
            let track = if self.track == TrackName::Inbound { TrackSet::Inbound } else { TrackSet::Outbound };
            self.hearing.begin_recorded(now, track);
        }
    }

    /// Removes the wire to the end that the streamer feeds, and discards its audio.
    pub(super) fn disconnect(&mut self) {
        self.feed = None;
        self.hearing.end();
        self.waiting.clear();
    }

    /// Sets the codecs of the streamed direction by payload type.
    pub(super) fn tune(&mut self, audio: &TapSpec) {
        let heard = if self.track == TrackName::Inbound { &audio.inbound } else { &audio.outbound };
        self.hearing.tune(self.track, heard, None);
    }

    /// Returns whether a codec other than G.711 is decoded.
    pub(super) fn decodes(&self) -> bool {
        self.hearing.decodes()
    }

    /// Processes a packet; `coding` is the codec of its audio, `None` for a packet without audio.
    pub(super) fn hear(&mut self, now: Instant, packet: &TrackPacket<'_>, coding: Option<PayloadCodec>) {
        if packet.track == self.track {
            // The stream has silence in place of an unusable packet.
            let _ = self.hearing.take(now, packet, coding);
            self.gather(now);
        }
    }

    /// Releases packets that have waited too long for an earlier one.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.hearing.handle_timeout(now);
        self.gather(now);
    }

    /// Returns the time at which the streamer must be polled again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.hearing.poll_timeout()
    }

    /// Removes and returns the next frame; `None` if it has not arrived yet, in which case silence is sent.
    pub(super) fn next_frame(&mut self) -> Option<LinearFrame> {
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
