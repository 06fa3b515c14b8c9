//! What happens to a packet that a far side sent: latched, counted, heard by who listens, and passed along its wire.
//! Where the wire says so, a datagram passes as it is: it need not be RTP.
//!
//! RTCP is read; it is passed as it came where the two ends feed each other unchanged.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use trunkgate_agent::TrackName;

use crate::agent_end::AgentEnd;
use crate::codec::g711::{ULAW_SILENCE, decode_alaw, decode_ulaw, ulaw_to_alaw};
use crate::counters::{DropReason, EndCounters};
use crate::end::Wire;
use crate::keep_alive;
use crate::keys::Keys;
use crate::latch::Taken;
use crate::packet::{PACKET, PacketBuf};
use crate::rtcp::{self, Kind};
use crate::rtp::Rtp;
use crate::session::{Session, Transmit};
use crate::spec::{EndId, Event, RemoteSpec};
use crate::stats::Reception;
use crate::tap::hear_all;
use crate::transcode::Coding;
use crate::voice::CLOCK_HZ;

impl Session {
    pub(crate) fn relay_rtp(
        &mut self,
        now: Instant,
        at: usize,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Result<Option<Transmit>, DropReason> {
        let end = self.ends.get_mut(at).ok_or(DropReason::NoWire)?;
        let remote = end.remote.as_ref().ok_or(DropReason::UnexpectedSource)?;
        if !end.latch.accepts_rtp(now, source, remote) {
            return Err(end.note_stranger(source));
        }
        // What fills the buffer may have been cut.
        if packet.data().len() >= PACKET || rtcp::classify(packet.data()) != Kind::Rtp {
            return Err(DropReason::NotRtp);
        }
        if let Some(srtp) = &mut end.srtp {
            srtp.unprotect(now, false, packet)?;
        }
        let mut rtp = Rtp::parse(packet.data()).map_err(|_| DropReason::NotRtp)?;
        match end.latch.take_rtp(now, source, remote) {
            Taken::Counts => {}
            Taken::Refused => return Err(end.note_stranger(source)),
            Taken::Won => {
                end.counters.latched.set(1);
                end.withheld = end.latch.withholds(remote);
                self.events.push_back(Event::Latched { end: end.id, source });
            }
        }
        if keep_alive::is_one(&rtp, packet, end.wire.as_ref()) {
            self.kept_alive(now, at, &rtp);
            return Ok(None);
        }
        end.silence.broken(now);
        let clock_hz = receive(end.clock_hz(rtp.payload_type), now, &mut end.reception, &rtp, &end.counters);
        self.shared.count_received(&end.counters, packet.data().len());
        if !remote.may_send {
            return Err(DropReason::NotSending);
        }
        end.listen_for_sound(&rtp, packet.data());
        if let Some(wire) = &mut end.wire {
            mute_tones(now, wire, &rtp, packet);
        }
        hear_all(now, &end.taps, &mut self.agents, TrackName::Inbound, (&rtp, packet.data()), &mut self.events);
        self.raws.hear_all(now, &end.taps, TrackName::Inbound, (&rtp, packet.data()), clock_hz);
        let wire = end.wire.as_mut().ok_or(DropReason::NoWire)?;
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == wire.to) {
            if let Some(key) = wire.watch().and_then(|watch| watch.begun.take()) {
                agent.press(now, key, &mut self.events);
            }
            let heard = to_agent(now, agent, wire, &mut end.keys, (&rtp, packet.data()), &mut self.events);
            return heard.map(|()| None);
        }
        if wire.transcoder.as_ref().is_some_and(|transcoder| transcoder.takes(rtp.payload_type)) {
            return self.convert(now, at, &rtp, packet);
        }
        let Some(payload_type) = wire.payload(rtp.payload_type) else {
            if self.begin_converting(at, rtp.payload_type) {
                return self.convert(now, at, &rtp, packet);
            }
            let payload = packet.data().get(rtp.payload.clone()).unwrap_or_default();
            self.take_key(now, at, (&rtp, payload))?;
            self.pass_over(at, &rtp);
            return Ok(None);
        };
        rtp.payload_type = payload_type;
        let (feeder, to) = (end.serial, wire.to);
        self.forward(now, (feeder, to), clock_hz, rtp, packet).map(Some)
    }

    /// A packet of an end's stream goes no further: that is no loss.
    fn pass_over(&mut self, at: usize, rtp: &Rtp) {
        let Some(end) = self.ends.get_mut(at) else { return };
        let (feeder, Some(wire)) = (end.serial, &mut end.wire) else { return };
        wire.pass_over(rtp);
        let to = wire.to;
        if let Some(sink) = self.ends.iter_mut().find(|sink| sink.id == to) {
            sink.outgoing.leave_out(feeder, rtp);
        }
    }

    /// A keep-alive packet of an end's far side: one that has a number of its stream is missed there by nobody.
    fn kept_alive(&mut self, now: Instant, at: usize, rtp: &Rtp) {
        let Some(end) = self.ends.get_mut(at) else { return };
        end.silence.kept_alive(now);
        if let Some(worker) = &self.shared.worker {
            worker.keep_alives_received.add(1);
        }
        if end.reception.source().is_some_and(|source| source.ssrc == rtp.ssrc) {
            end.reception.take_untimed(rtp);
            end.reception.tell_lost(&end.counters);
            self.pass_over(at, rtp);
        }
    }

    /// Sends a packet of a feeder by the end `to`, as its payload number and the numbers of its feeder are now.
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        (feeder, to): (u32, EndId),
        clock_hz: u32,
        mut rtp: Rtp,
        packet: &mut PacketBuf,
    ) -> Result<Transmit, DropReason> {
        let bytes = packet.data().len();
        let sink = self.ends.iter_mut().find(|sink| sink.id == to).ok_or(DropReason::NoWire)?;
        if sink.pressing.as_ref().is_some_and(|pressing| pressing.serial != feeder) {
            return Err(DropReason::KeyPressed);
        }
        let remote = sink.remote.as_ref().filter(|remote| remote.may_receive).ok_or(DropReason::NoDestination)?;
        let (to, locked) = sink.rtp_way(remote)?;
        let takes = |ssrc, sequence| sink.srtp.as_ref().is_none_or(|srtp| srtp.takes(ssrc, sequence));
        sink.outgoing.pass(now, feeder, clock_hz, &mut rtp, takes);
        sink.voice = None;
        rtp.write(packet.data_mut());
        hear_all(now, &sink.taps, &mut self.agents, TrackName::Outbound, (&rtp, packet.data()), &mut self.events);
        self.raws.hear_all(now, &sink.taps, TrackName::Outbound, (&rtp, packet.data()), clock_hz);
        if let Some(srtp) = &mut sink.srtp {
            srtp.protect(false, packet)?;
        }
        self.shared.count_sent(&sink.counters, bytes);
        Ok(Transmit { via: sink.id, rtcp: false, to, locked })
    }

    /// A datagram along a wire that passes all as it is.
    pub(crate) fn relay_verbatim(
        &mut self,
        now: Instant,
        at: usize,
        source: SocketAddr,
        packet: &PacketBuf,
    ) -> Result<Transmit, DropReason> {
        let end = self.ends.get_mut(at).ok_or(DropReason::NoWire)?;
        let remote = end.remote.as_ref().ok_or(DropReason::UnexpectedSource)?;
        if !end.latch.accepts_rtp(now, source, remote) {
            return Err(end.note_stranger(source));
        }
        let bytes = packet.data().len();
        // An empty one says nothing; what fills the buffer may have been cut; where all is to be encrypted, nothing plain
        // counts.
        if bytes == 0 || bytes >= PACKET || remote.srtp.is_some() {
            return Err(DropReason::NotRtp);
        }
        match end.latch.take_rtp(now, source, remote) {
            Taken::Counts => {}
            Taken::Refused => return Err(end.note_stranger(source)),
            Taken::Won => {
                end.counters.latched.set(1);
                end.withheld = end.latch.withholds(remote);
                self.events.push_back(Event::Latched { end: end.id, source });
            }
        }
        end.silence.broken(now);
        self.shared.count_received(&end.counters, bytes);
        if !remote.may_send {
            return Err(DropReason::NotSending);
        }
        let to = end.wire.as_ref().ok_or(DropReason::NoWire)?.to;
        let sink = self.ends.iter().find(|sink| sink.id == to).ok_or(DropReason::NoWire)?;
        let plain = |remote: &&RemoteSpec| remote.may_receive && remote.srtp.is_none();
        let remote = sink.remote.as_ref().filter(plain).ok_or(DropReason::NoDestination)?;
        let (to, locked) = sink.rtp_way(remote)?;
        self.shared.count_sent(&sink.counters, bytes);
        Ok(Transmit { via: sink.id, rtcp: false, to, locked })
    }

    /// RTCP goes on during hold too (RFC 3264 §5.1), hence no look at the directions.
    pub(crate) fn relay_rtcp(
        &mut self,
        now: Instant,
        at: usize,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Result<Option<Transmit>, DropReason> {
        let end = self.ends.get_mut(at).ok_or(DropReason::NoWire)?;
        let remote = end.remote.as_ref().ok_or(DropReason::UnexpectedSource)?;
        let muxed = remote.rtcp_mux;
        let accepted = match muxed {
            true => end.latch.accepts_shared_rtcp(now, source, remote),
            false => end.latch.accepts_rtcp(now, source, remote),
        };
        if !accepted {
            return Err(DropReason::UnexpectedSource);
        }
        if packet.data().len() >= PACKET {
            return Err(DropReason::NotRtp);
        }
        if let Some(srtp) = &mut end.srtp {
            srtp.unprotect(now, true, packet)?;
        }
        let whole = rtcp::is_well_formed(packet.data());
        if !whole || !rtcp::cover_texts(packet.data_mut(), |name| self.origin.pseudonym(name)) {
            return Err(DropReason::NotRtp);
        }
        // Where both share a port, only RTP says where that is.
        if !muxed && end.latch.take_rtcp(now, source, remote) == Taken::Refused {
            return Err(DropReason::UnexpectedSource);
        }
        end.counters.rtcp_packets.add(1);
        let metrics = end.reports.hear(now, packet.data(), end.outgoing.source(), &end.counters);
        let (id, heard) = (end.id, end.outgoing.snapshot().sent.map(|sent| sent.ssrc_in));
        let Some(sink) = self.passes_rtcp_to(at).and_then(|sink| self.ends.get_mut(sink)) else {
            let feeder = self.ends.iter_mut().find(|end| end.wire.as_ref().is_some_and(|wire| wire.to == id));
            if let (Some(feeder), Some(metrics), Some(heard)) = (feeder, metrics, heard) {
                feeder.reports.keep(heard, metrics);
            }
            return Ok(None);
        };
        let way = sink.rtcp_way().ok_or(DropReason::NoDestination)?;
        sink.reports.pass(now, packet.data());
        if let Some(srtp) = &mut sink.srtp {
            srtp.protect(true, packet)?;
        }
        Ok(Some(way))
    }
}

/// A packet belongs to what is received; its clock.
fn receive(clock_hz: u32, now: Instant, reception: &mut Reception, rtp: &Rtp, counters: &EndCounters) -> u32 {
    reception.take(now, clock_hz, rtp);
    reception.tell_lost(counters);
    counters.jitter_us.set(reception.jitter_us());
    clock_hz
}

/// Takes tones that are keys out of audio of G.711, before anybody hears it.
fn mute_tones(now: Instant, wire: &mut Wire, rtp: &Rtp, packet: &mut PacketBuf) {
    if wire.ear.is_none() {
        return;
    }
    let Some((coding, ear)) = wire.coding(rtp.payload_type).zip(wire.ear.as_deref_mut()) else { return };
    let Some(payload) = packet.data_mut().get_mut(rtp.payload.clone()) else { return };
    let mut samples = [0; PACKET];
    let (decode, silence): (fn(u8) -> i16, u8) = match coding {
        Coding::Pcmu => (decode_ulaw, ULAW_SILENCE),
        Coding::Pcma => (decode_alaw, ulaw_to_alaw(ULAW_SILENCE)),
        Coding::G722 | Coding::Opus(_) | Coding::Linear(_) => return,
    };
    samples.iter_mut().zip(&*payload).for_each(|(to, code)| *to = decode(*code));
    if ear.hear(now, rtp, CLOCK_HZ, samples.get(..payload.len()).unwrap_or_default()) {
        payload.fill(silence);
    }
}

/// What comes along a wire to an agent: audio, a key once, or the place of a packet that is neither.
fn to_agent(
    now: Instant,
    agent: &mut AgentEnd,
    wire: &Wire,
    keys: &mut Keys,
    packet: (&Rtp, &[u8]),
    events: &mut VecDeque<Event>,
) -> Result<(), DropReason> {
    let (rtp, bytes) = packet;
    let is_key = wire.spec().keys == Some(rtp.payload_type);
    let is_audio = !is_key && wire.payload(rtp.payload_type).is_some();
    if is_key && let Some(key) = keys.take(rtp, bytes.get(rtp.payload.clone()).unwrap_or_default()) {
        agent.press(now, key, events);
    }
    agent.hear(now, TrackName::Inbound, packet, is_audio.then_some(wire.spec().coding), events)?;
    // Comfort noise.
    let is_heard = is_audio || is_key || agent.decodes_number(TrackName::Inbound, rtp.payload_type);
    if is_heard { Ok(()) } else { Err(DropReason::UnknownPayload) }
}
