//! Audio of both directions of an end in exact frames: decodes codecs other than G.711, then frames the result.

use std::time::Instant;

use trunkgate_agent::limits::REORDER_MOST;
use trunkgate_agent::{AgentFormat, TrackName, TrackSet};

use crate::codec::PayloadCodec;
use crate::counters::DropReason;
use crate::rtp::RtpHeader;

use super::decoder::{TrackDecoder, decoded};
use super::listener::TrackPacket;
use super::uplink::{Uplink, UplinkFrame};

/// Framing of both directions, fed by the decoders.
pub(super) trait TrackFraming {
    /// Adds a packet of a direction; `coding` is the codec of its audio, `None` for a packet without audio.
    fn push(&mut self, now: Instant, track: TrackName, rtp: &RtpHeader, bytes: &[u8], coding: Option<PayloadCodec>);
    /// Sets whether packets of a direction wait to be decoded; meanwhile the clock inserts no silence.
    fn hold(&mut self, track: TrackName, held: bool);
}

/// Decoders of the inbound and the outbound track; `None` for G.711.
#[derive(Debug, Default)]
pub(super) struct TrackDecoders([Option<Box<TrackDecoder>>; 2]);

impl TrackDecoders {
    /// Configures the decoder of a track: audio codecs by payload type, and the payload type of telephone-event
    /// (`keys`). Returns true if the decoder was replaced or removed; a new one has an empty jitter buffer.
    pub(super) fn tune(
        &mut self,
        track: TrackName,
        audio: &[(u8, PayloadCodec)],
        keys: Option<u8>,
        format: AgentFormat,
    ) -> bool {
        let wanted = decoded(audio, keys, format);
        let decoder = self.decoder_of(track);
        let is_other = decoder.as_ref().map(|decoder| decoder.spec()) != wanted.as_ref();
        if is_other {
            *decoder = wanted.and_then(TrackDecoder::new);
        }
        is_other
    }

    /// Returns whether either track has a codec other than G.711, which is decoded.
    pub(super) fn decode(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// Passes a packet to a framing, through the decoder if there is one; `coding` is the codec of its audio, `None`
    /// for a packet without audio.
    ///
    /// # Errors
    ///
    /// Returns the reason if this packet, or one that waited for it in the jitter buffer, is late, damaged, or exceeds
    /// the pace limit.
    pub(super) fn take(
        &mut self,
        now: Instant,
        packet: &TrackPacket<'_>,
        coding: Option<PayloadCodec>,
        framing: &mut impl TrackFraming,
    ) -> Result<(), DropReason> {
        let (track, rtp, bytes) = (packet.track, packet.rtp, packet.bytes);
        match self.decoder_of(track) {
            Some(decoder) => {
                let heard = |rtp: &RtpHeader, bytes: &[u8], coding| framing.push(now, track, rtp, bytes, coding);
                let taken = decoder.take(now, rtp, bytes, heard);
                framing.hold(track, decoder.waits());
                taken
            }
            None => {
                framing.push(now, track, rtp, bytes, coding.filter(|coding| coding.is_g711()));
                Ok(())
            }
        }
    }

    /// Releases packets that have waited too long for an earlier one.
    pub(super) fn handle_timeout(&mut self, now: Instant, framing: &mut impl TrackFraming) {
        for (track, decoder) in [TrackName::Inbound, TrackName::Outbound].into_iter().zip(&mut self.0) {
            if let Some(decoder) = decoder {
                decoder.handle_timeout(now, |rtp, bytes, coding| framing.push(now, track, rtp, bytes, coding));
                framing.hold(track, decoder.waits());
            }
        }
    }

    /// Releases all packets that wait in jitter buffers, because the decoders end with this process.
    pub(super) fn release_all(&mut self, now: Instant, framing: &mut impl TrackFraming) {
        for (track, decoder) in [TrackName::Inbound, TrackName::Outbound].into_iter().zip(&mut self.0) {
            if let Some(decoder) = decoder {
                let over = now + REORDER_MOST;
                decoder.handle_timeout(over, |rtp, bytes, coding| framing.push(now, track, rtp, bytes, coding));
                framing.hold(track, decoder.waits());
            }
        }
    }

    /// Lists the tracks that are decoded.
    pub(super) fn decoded_tracks(&self) -> impl Iterator<Item = TrackName> {
        let named = [TrackName::Inbound, TrackName::Outbound].into_iter().zip(&self.0);
        named.filter(|(_, decoder)| decoder.is_some()).map(|(track, _)| track)
    }

    /// Iterates over the times at which the decoders' jitter buffers give up a gap.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.0.iter().flatten().filter_map(|decoder| decoder.poll_timeout())
    }

    fn decoder_of(&mut self, track: TrackName) -> &mut Option<Box<TrackDecoder>> {
        let [inbound, outbound] = &mut self.0;
        match track {
            TrackName::Inbound => inbound,
            TrackName::Outbound => outbound,
        }
    }
}

/// Audio input of one listener, from one end.
#[derive(Debug)]
pub(crate) struct ListenerInput {
    format: AgentFormat,
    /// Framing; `None` before [`ListenerInput::begin`].
    uplink: Option<Uplink>,
    decoders: TrackDecoders,
}

impl ListenerInput {
    /// Creates the audio input of a listener that takes frames in `format`; it is inactive before [`Self::begin`].
    pub(crate) fn new(format: AgentFormat) -> ListenerInput {
        ListenerInput { format, uplink: None, decoders: TrackDecoders::default() }
    }

    /// Activates the input; has no effect on an active one.
    pub(crate) fn begin(&mut self, now: Instant, tracks: TrackSet) {
        let format = self.format;
        self.uplink.get_or_insert_with(|| Uplink::new(now, tracks, format));
    }

    /// Activates or restarts the input; unlike after [`Self::begin`], frames stay close to the edge's clock, as a
    /// recording needs.
    pub(crate) fn begin_recorded(&mut self, now: Instant, tracks: TrackSet) {
        self.uplink = Some(Uplink::recorded(now, tracks));
    }

    /// Deactivates the input; later packets are ignored.
    pub(crate) fn end(&mut self) {
        self.uplink = None;
    }

    /// Sets the audio of a track by payload type, and the payload type of telephone-event (`keys`).
    pub(crate) fn tune(&mut self, track: TrackName, audio: &[(u8, PayloadCodec)], keys: Option<u8>) {
        let is_other = self.decoders.tune(track, audio, keys, self.format);
        if let Some(uplink) = self.uplink.as_mut().filter(|_| is_other) {
            uplink.hold(track, false);
        }
    }

    /// Turns in-band DTMF detection in the caller's decoded audio on or off.
    pub(crate) fn watch_tones(&mut self, now: Instant, wanted: bool) {
        if let Some(decoder) = self.decoders.decoder_of(TrackName::Inbound) {
            decoder.watch_tones(now, wanted);
        }
    }

    /// Removes and returns the next digit detected at the beginning of its tone in the caller's audio; `None` if there
    /// is none.
    pub(crate) fn digit_begun(&mut self) -> Option<char> {
        self.decoders.decoder_of(TrackName::Inbound).as_mut()?.digit_begun()
    }

    /// Returns whether either track has a codec other than G.711, which is decoded.
    pub(crate) fn decodes(&self) -> bool {
        self.decoders.decode()
    }

    /// Returns whether a payload type of the caller is decoded.
    pub(crate) fn decodes_number(&self, number: u8) -> bool {
        let TrackDecoders([inbound, _]) = &self.decoders;
        inbound.as_ref().is_some_and(|decoder| decoder.takes(number))
    }

    /// Processes a packet; `coding` is the codec of its audio, `None` for a packet without audio.
    ///
    /// # Errors
    ///
    /// Returns the reason if this packet, or one that waited for it in the jitter buffer, is late, damaged, or exceeds
    /// the pace limit.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        packet: &TrackPacket<'_>,
        coding: Option<PayloadCodec>,
    ) -> Result<(), DropReason> {
        let Some(uplink) = &mut self.uplink else { return Ok(()) };
        self.decoders.take(now, packet, coding, uplink)
    }

    /// Releases packets that have waited too long for an earlier one.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(uplink) = &mut self.uplink {
            self.decoders.handle_timeout(now, uplink);
        }
    }

    /// Returns the next frame that is complete or overdue, if any; with its mean level if `measured`.
    pub(crate) fn poll(&mut self, now: Instant, measured: bool) -> Option<UplinkFrame<'_>> {
        self.uplink.as_mut()?.poll(now, measured)
    }

    /// Returns the time at which the input must be polled again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let uplink = self.uplink.as_ref()?;
        self.decoders.deadlines().chain(uplink.poll_timeout()).min()
    }
}
