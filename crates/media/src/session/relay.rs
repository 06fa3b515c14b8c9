//! Relay path of a remote party's packet: reception, listeners, and the wire to another end. A verbatim wire passes
//! datagrams unchanged; they need not be RTP.
//!
//! RTCP is read, but forwarded only if the two ends feed each other unchanged. Packets from a wire's transcoder are
//! sent like any other packet.

use std::net::SocketAddr;

use trunkgate_agent::TrackName;

use crate::codec::PayloadCodec;
use crate::counters::DropReason;
use crate::listening::TrackPacket;
use crate::rtp::{PacketBuf, RtpHeader};
use crate::spec::{EndId, MediaEvent};

use super::cx::SessionCx;
use super::end::{AcceptedPacket, ArrivalKind, Feeder, RtpEnd};
use super::ends::{EndIndex, RtpEnds};
use super::transmit::MediaTransmit;

impl RtpEnds {
    /// Processes a packet received on an end's RTP socket, or on its RTCP socket if `rtcp`. Changes the packet in
    /// place and returns its destination, or `None` if it is not forwarded.
    pub(super) fn take_packet(
        &mut self,
        cx: &mut SessionCx<'_>,
        at: EndIndex,
        rtcp: bool,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Option<MediaTransmit> {
        let arrival = match self.get(at) {
            Some(end) if !rtcp => end.kind(packet.data()),
            Some(_) | None => ArrivalKind::Rtcp,
        };
        let relayed = match arrival {
            ArrivalKind::Rtp => self.relay_rtp(cx, at, source, packet),
            ArrivalKind::Rtcp => self.relay_rtcp(cx, at, source, packet),
            ArrivalKind::Verbatim => self.relay_verbatim(cx, at, source, packet).map(Some),
        };
        relayed.unwrap_or_else(|reason| {
            if reason == DropReason::UnknownPayload
                && let Some(end) = self.get(at)
            {
                end.note_odd(packet.data());
            }
            self.count_dropped(cx.shared, at, reason);
            None
        })
    }

    fn relay_rtp(
        &mut self,
        cx: &mut SessionCx<'_>,
        at: EndIndex,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Result<Option<MediaTransmit>, DropReason> {
        let end = self.get_mut(at).ok_or(DropReason::NoWire)?;
        let (mut rtp, clock_hz) = match end.receive(cx, source, packet)? {
            AcceptedPacket::Rtp { rtp, clock_hz } => (rtp, clock_hz),
            AcceptedPacket::KeepAlive { rtp, of_stream } => {
                if of_stream {
                    self.pass_over(at, &rtp);
                }
                return Ok(None);
            }
        };
        let heard = TrackPacket { track: TrackName::Inbound, rtp: &rtp, bytes: packet.data(), clock_hz };
        cx.hear_all(end.listeners(), &heard);
        let wire = end.wire().ok_or(DropReason::NoWire)?;
        let to = wire.to();
        if cx.agents.get(to).is_some() {
            return end.reach_agent(cx, to, &heard).map(|()| None);
        }
        if wire.converts(rtp.payload_type) {
            return self.convert(cx, at, &rtp, packet);
        }
        let Some(payload_type) = wire.payload(rtp.payload_type) else {
            if let Some(passed) = wire.passed(rtp.payload_type) {
                let feeder = Feeder { serial: end.serial(), clock_hz };
                if let Some(key) = end.take_passed(&rtp, packet.data()) {
                    cx.events.push_back(MediaEvent::Key { end: end.id(), key, ms: 0 });
                }
                return self.forward(cx, feeder, to, RtpHeader { payload_type: passed, ..rtp }, packet).map(Some);
            }
            if wire.digits_only().is_some() {
                return self.take_begun(cx, at, &rtp, packet.data()).map(|()| None);
            }
            if self.begin_converting(cx, at, rtp.payload_type) {
                return self.convert(cx, at, &rtp, packet);
            }
            self.take_event(cx, at, &rtp, packet.data())?;
            self.pass_over(at, &rtp);
            return Ok(None);
        };
        rtp.payload_type = payload_type;
        let feeder = Feeder { serial: end.serial(), clock_hz };
        self.forward(cx, feeder, to, rtp, packet).map(Some)
    }

    fn relay_verbatim(
        &mut self,
        cx: &mut SessionCx<'_>,
        at: EndIndex,
        source: SocketAddr,
        packet: &PacketBuf,
    ) -> Result<MediaTransmit, DropReason> {
        let end = self.get_mut(at).ok_or(DropReason::NoWire)?;
        end.receive_verbatim(cx, source, packet)?;
        let to = end.wire().ok_or(DropReason::NoWire)?.to();
        self.named(to).ok_or(DropReason::NoWire)?.send_verbatim(cx.shared, packet)
    }

    /// Forwards RTCP. The negotiated direction is not checked, because RTCP is sent on hold too (RFC 3264 §5.1).
    fn relay_rtcp(
        &mut self,
        cx: &mut SessionCx<'_>,
        at: EndIndex,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Result<Option<MediaTransmit>, DropReason> {
        let end = self.get_mut(at).ok_or(DropReason::NoWire)?;
        let metrics = end.receive_rtcp(cx, source, packet)?;
        let (id, heard) = (end.id(), end.fed_source());
        let Some(sink) = self.passes_rtcp_to(at).and_then(|sink| self.get_mut(sink)) else {
            let feeder = self.iter_mut().find(|end| end.feeds(id));
            if let (Some(feeder), Some(metrics), Some(heard)) = (feeder, metrics, heard) {
                feeder.keep_metrics(heard, metrics);
            }
            return Ok(None);
        };
        sink.send_rtcp(cx.now, packet).map(Some)
    }

    /// Records that a packet of an end's stream is deliberately not forwarded, so that the receiver does not count it
    /// as lost.
    fn pass_over(&mut self, at: EndIndex, rtp: &RtpHeader) {
        let Some(end) = self.get_mut(at) else { return };
        let (feeder, Some(wire)) = (end.serial(), end.wire_mut()) else { return };
        wire.pass_over(rtp);
        let to = wire.to();
        if let Some(sink) = self.named_mut(to) {
            sink.leave_out(feeder, rtp);
        }
    }

    /// Sends a packet of a feeder to the remote party of the end `to`.
    pub(super) fn forward(
        &mut self,
        cx: &mut SessionCx<'_>,
        feeder: Feeder,
        to: EndId,
        rtp: RtpHeader,
        packet: &mut PacketBuf,
    ) -> Result<MediaTransmit, DropReason> {
        self.named_mut(to).ok_or(DropReason::NoWire)?.send(cx, feeder, rtp, packet)
    }

    /// Writes the next transcoded packet into `packet` and returns its destination; `None` once no more are ready.
    pub(super) fn poll_converted(&mut self, cx: &mut SessionCx<'_>, packet: &mut PacketBuf) -> Option<MediaTransmit> {
        let at = self.converting()?;
        self.next_converted(cx, at, packet)
    }

    /// Transcodes an audio packet; returns the destination of the first packet made from it, if any.
    fn convert(
        &mut self,
        cx: &mut SessionCx<'_>,
        at: EndIndex,
        rtp: &RtpHeader,
        packet: &mut PacketBuf,
    ) -> Result<Option<MediaTransmit>, DropReason> {
        let end = self.get_mut(at).ok_or(DropReason::NoWire)?;
        let is_event = end.wire().is_some_and(|wire| wire.converts_event(rtp.payload_type));
        if is_event && let Some(key) = end.take_passed(rtp, packet.data()) {
            cx.events.push_back(MediaEvent::Key { end: end.id(), key, ms: 0 });
        }
        let wire = end.wire_mut().ok_or(DropReason::NoWire)?;
        let to = wire.to();
        if wire.transcoder_mut().ok_or(DropReason::UnknownPayload)?.begins() {
            self.go_on_from_playout(at, to);
        }
        let wire = self.get_mut(at).and_then(RtpEnd::wire_mut).ok_or(DropReason::NoWire)?;
        let transcoder = wire.transcoder_mut().ok_or(DropReason::UnknownPayload)?;
        transcoder.push(cx.now, rtp, packet.data().get(rtp.payload.clone()).unwrap_or_default())?;
        if let Some(digit) = wire.watch_mut().and_then(|watch| watch.take_over()) {
            self.digit_ended(cx, at, digit);
        }
        Ok(self.next_converted(cx, at, packet))
    }

    /// Writes the next packet of an end's transcoder into `packet`; `None` once no more are ready.
    fn next_converted(
        &mut self,
        cx: &mut SessionCx<'_>,
        at: EndIndex,
        packet: &mut PacketBuf,
    ) -> Option<MediaTransmit> {
        self.set_converting(Some(at));
        while let Some((rtp, feeder, to)) = self.get_mut(at).and_then(|end| {
            let wire = end.wire_mut()?;
            let to = wire.to();
            let transcoder = wire.transcoder_mut()?;
            let rtp = transcoder.poll(packet)?;
            Some((rtp, Feeder { serial: transcoder.serial(), clock_hz: transcoder.clock_hz() }, to))
        }) {
            match self.forward(cx, feeder, to, rtp, packet) {
                Ok(transmit) => return Some(transmit),
                Err(reason) => self.count_dropped(cx.shared, at, reason),
            }
        }
        self.set_converting(None);
        None
    }

    /// Continues the transcoded audio for `to` with the encoder state of the stream that the edge generated for it
    /// before, if the codec has state (G.722).
    fn go_on_from_playout(&mut self, at: EndIndex, to: EndId) {
        let twin = self.named(to).and_then(|sink| sink.playout()?.twin());
        let transcoder = self.get_mut(at).and_then(|end| end.wire_mut()?.transcoder_mut());
        let transcoder = transcoder.filter(|transcoder| transcoder.spec().to.1 == PayloadCodec::G722);
        if let Some((transcoder, twin)) = transcoder.zip(twin) {
            *transcoder.encoding() = twin;
        }
    }
}
