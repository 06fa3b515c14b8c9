//! Audio of both directions of an end, off the wire, as exact frames: decoders where it is not G.711, and the framing behind them.

use std::time::Instant;

use trunkgate_agent::{Format, Frame, TrackName, TrackSet};

use crate::codec::Coding;
use crate::counters::DropReason;
use crate::rtp::Rtp;

use super::decoder::{TrackDecoder, decoded};
use super::listener::TrackPacket;
use super::uplink::{Heard, Uplink};

/// What one listener hears.
#[derive(Debug)]
pub(crate) struct Hearing {
    format: Format,
    /// The framing; `None` while nothing is heard.
    uplink: Option<Uplink>,
    /// Decoders of the inbound and the outbound track, where they are not G.711.
    decoders: [Option<Box<TrackDecoder>>; 2],
}

impl Hearing {
    /// Creates the hearing of a listener that takes frames of a format; nothing is heard before [`Self::begin`].
    pub(crate) fn new(format: Format) -> Hearing {
        Hearing { format, uplink: None, decoders: [None, None] }
    }
    /// Begins to hear, unless it has begun.
    pub(crate) fn begin(&mut self, now: Instant, tracks: TrackSet) {
        let format = self.format;
        self.uplink.get_or_insert_with(|| Uplink::new(now, tracks, format));
    }
    /// Begins to hear, or begins again, with frames that stay close to the edge's clock, as a recording needs them.
    pub(crate) fn begin_recorded(&mut self, now: Instant, tracks: TrackSet) {
        self.uplink = Some(Uplink::recorded(now, tracks));
    }
    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.uplink = None;
    }
    /// Sets the audio of a track, by payload number, and the number of telephone-events.
    pub(crate) fn tune(&mut self, track: TrackName, audio: &[(u8, Coding)], keys: Option<u8>) {
        let wanted = decoded(audio, keys, self.format);
        let decoder = of_track(&mut self.decoders, track);
        if decoder.as_ref().map(|decoder| decoder.spec()) != wanted.as_ref() {
            *decoder = wanted.and_then(TrackDecoder::new);
            if let Some(uplink) = &mut self.uplink {
                uplink.hold(track, false);
            }
        }
    }
    /// Sets whether DTMF tones in the caller's audio are digits, where that audio is decoded.
    pub(crate) fn watch_tones(&mut self, now: Instant, wanted: bool) {
        if let Some(decoder) = of_track(&mut self.decoders, TrackName::Inbound) {
            decoder.watch_tones(now, wanted);
        }
    }
    /// Takes the next digit whose tone has begun.
    pub(crate) fn digit_begun(&mut self) -> Option<char> {
        let [inbound, _] = &mut self.decoders;
        inbound.as_mut()?.digit_begun()
    }
    /// Returns whether audio is decoded: audio that is not G.711.
    pub(crate) fn decodes(&self) -> bool {
        self.decoders.iter().any(Option::is_some)
    }
    /// Returns whether a payload number of the caller is decoded.
    pub(crate) fn decodes_number(&self, number: u8) -> bool {
        let [inbound, _] = &self.decoders;
        inbound.as_ref().is_some_and(|decoder| decoder.takes(number))
    }
    /// Takes a packet; `coding`: that of its audio, `None` where it has none.
    ///
    /// # Errors
    /// Where it is of no use.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        packet: &TrackPacket<'_>,
        coding: Option<Coding>,
    ) -> Result<(), DropReason> {
        let (track, rtp, bytes) = (packet.track, packet.rtp, packet.bytes);
        let Some(uplink) = &mut self.uplink else { return Ok(()) };
        match of_track(&mut self.decoders, track) {
            Some(decoder) => {
                let heard = |rtp: &Rtp, bytes: &[u8], coding| uplink.push(now, track, rtp, bytes, coding);
                let taken = decoder.take(now, rtp, bytes, heard);
                uplink.hold(track, decoder.waits());
                taken
            }
            None => {
                uplink.push(now, track, rtp, bytes, coding.filter(|coding| coding.is_g711()));
                Ok(())
            }
        }
    }
    /// Goes on without packets that have been waited for.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some(uplink) = &mut self.uplink else { return };
        for (track, decoder) in [TrackName::Inbound, TrackName::Outbound].into_iter().zip(&mut self.decoders) {
            if let Some(decoder) = decoder {
                decoder.handle_timeout(now, |rtp, bytes, coding| uplink.push(now, track, rtp, bytes, coding));
                uplink.hold(track, decoder.waits());
            }
        }
    }
    /// Returns the next frame that is complete or whose time is over; its level, if wanted.
    pub(crate) fn poll(&mut self, now: Instant, measured: bool) -> Option<Heard<'_>> {
        self.uplink.as_mut()?.poll(now, measured)
    }
    /// Returns the next frame of a hearing that [`Self::begin_recorded`] has begun.
    pub(crate) fn poll_recorded(&mut self, now: Instant) -> Option<Frame<i16>> {
        self.uplink.as_mut()?.poll_recorded(now)
    }
    /// Returns when there is something to do at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let uplink = self.uplink.as_ref()?;
        let decoders = self.decoders.iter().flatten().filter_map(|decoder| decoder.poll_timeout());
        decoders.chain(uplink.poll_timeout()).min()
    }
}

/// Returns the one of a track, of the inbound and the outbound one's.
fn of_track<T>([inbound, outbound]: &mut [T; 2], track: TrackName) -> &mut T {
    match track {
        TrackName::Inbound => inbound,
        TrackName::Outbound => outbound,
    }
}
