//! One RTP end: what is received from its remote party, and what is sent to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_agent::{Tick, TrackName};

use crate::counters::{DropReason, EndCounters, Shared, Undelivered};
use crate::dtmf::{Completed, EventReceiver, Injector, PressSpec};
use crate::latch::{Latch, Taken, canonical};
use crate::limits::{COMFORT_NOISE, DESCRIPTOR_BYTES, SENDING_WITHIN, STOPPED_AFTER, UNHEARD_AFTER};
use crate::listening::{Listener, TrackPacket};
use crate::playout::{Feed, Frame, Packetizer};
use crate::rtcp::{self, Kind, Origin, Reports, Stream, VoipMetrics};
use crate::rtp::{
    DEFAULT_CLOCK_HZ, KeepAlive, Outgoing, PACKET, PacketBuf, Reception, Rtp, StreamStart, is_header_alone,
};
use crate::spec::{EndId, Event, RemoteSpec, WireSpec};
use crate::srtp::Pair;

use super::cx::Cx;
use super::quality::Quality;
use super::silence::{Continuity, Silence};
use super::snapshot::EndSnapshot;
use super::sound::SoundCheck;
use super::transmit::Transmit;
use super::wire::Wire;

/// The kind of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// RTP, or dropped.
    Rtp,
    /// RTCP, or dropped.
    Rtcp,
    /// Any datagram, which passes as it is.
    Verbatim,
}

/// A packet that counts.
#[derive(Debug)]
pub(super) enum Received {
    /// A packet of the remote party's stream.
    Rtp {
        /// The header.
        rtp: Rtp,
        /// The clock of its payload, in Hz.
        clock_hz: u32,
    },
    /// A keep-alive packet.
    KeepAlive {
        /// The header.
        rtp: Rtp,
        /// Whether it has a number of the remote party's stream.
        of_stream: bool,
    },
}

/// A feeder of an end's stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feeder {
    /// A number that no other feeder of the session ever had.
    pub(super) serial: u32,
    /// The clock of its packet, in Hz.
    pub(super) clock_hz: u32,
}

/// One tick of an end's own stream.
#[derive(Debug)]
pub(super) struct Spoken {
    /// The tick.
    pub(super) tick: Tick,
    /// The agent or player that feeds the end.
    pub(super) feeder: Option<EndId>,
    /// The frame.
    pub(super) frame: Frame,
}

/// Digits to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits<'a> {
    /// Their form.
    pub(super) press: PressSpec,
    /// `0` to `9`, `*`, `#`, `A` to `D`.
    pub(super) digits: &'a str,
    /// The time that each lasts, in milliseconds.
    pub(super) ms: u16,
}

/// A sweep's findings about one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Swept {
    /// Whether its remote party may be replaced and has fallen silent.
    pub(super) is_resting: bool,
    /// Whether packets of it are missing since the last sweep.
    pub(super) is_lossy: bool,
}

/// One end of a session that has sockets of its own.
#[derive(Debug)]
pub(super) struct End {
    id: EndId,
    /// A number that no other end of the session ever had, under any name.
    serial: u32,
    /// The address of its sockets; the port is that of RTP.
    bind: SocketAddr,
    counters: Arc<EndCounters>,
    /// The remote party, once known.
    remote: Option<RemoteSpec>,
    /// Whether no RTP is sent to it: its address is not proven, and no packet of it has come.
    withheld: bool,
    latch: Latch,
    /// The last source of packets that was not expected.
    stranger: Option<SocketAddr>,
    /// The wire that leads away from it.
    wire: Option<Wire>,
    reception: Reception,
    outgoing: Outgoing,
    silence: Silence,
    continuity: Continuity,
    sound: SoundCheck,
    quality: Quality,
    /// Telephone-events of its remote party.
    events: EventReceiver,
    /// Sends digits to it, while another remote party feeds it.
    injector: Option<Box<Injector>>,
    /// The stream that the edge makes for it, while it does.
    playout: Option<Box<Packetizer>>,
    listeners: Vec<Listener>,
    /// Encrypts its packets, once that was agreed.
    srtp: Option<Box<Pair>>,
    reports: Reports,
    keep_alive: KeepAlive,
}

impl End {
    /// Creates an end of which nothing is known yet.
    pub(super) fn new(now: Instant, id: EndId, serial: u32, bind: SocketAddr, counters: Arc<EndCounters>) -> End {
        End {
            id,
            serial,
            bind,
            counters,
            remote: None,
            withheld: false,
            latch: Latch::default(),
            stranger: None,
            wire: None,
            reception: Reception::default(),
            outgoing: Outgoing::default(),
            silence: Silence::new(now),
            continuity: Continuity::new(0),
            sound: SoundCheck::default(),
            quality: Quality::new(now),
            events: EventReceiver::default(),
            injector: None,
            playout: None,
            listeners: Vec::new(),
            srtp: None,
            reports: Reports::default(),
            keep_alive: KeepAlive::new(now),
        }
    }

    /// Returns its state in plain data.
    pub(super) fn snapshot(&self) -> EndSnapshot {
        let counters = &self.counters;
        EndSnapshot {
            end: self.id,
            serial: self.serial,
            bind: self.bind,
            remote: self.remote.clone(),
            rtp_source: self.latch.rtp(),
            rtcp_source: self.latch.rtcp(),
            latch: self.latch.known(),
            srtp: self.srtp.as_ref().map(|srtp| srtp.snapshot()),
            keep_alive: self.keep_alive.sequence(),
            outgoing: self.outgoing.snapshot(),
            counted: [&counters.rx_packets, &counters.rx_bytes, &counters.tx_packets, &counters.tx_bytes]
                .map(|counter| counter.get()),
            lost: self.reception.lost(),
            lost_in_a_row: self.reception.lost_in_a_row(),
        }
    }

    /// Restores an end from plain data, with counters of its own; its silence begins now.
    pub(super) fn restore(now: Instant, state: EndSnapshot) -> End {
        let counters = Arc::new(EndCounters::default());
        let [rx_packets, rx_bytes, tx_packets, tx_bytes] = state.counted;
        counters.rx_packets.set(rx_packets);
        counters.rx_bytes.set(rx_bytes);
        counters.tx_packets.set(tx_packets);
        counters.tx_bytes.set(tx_bytes);
        counters.lost.set(state.lost);
        counters.lost_in_a_row.set(&state.lost_in_a_row);
        counters.latched.set(u64::from(state.rtp_source.is_some()));
        let srtp = state.remote.as_ref().and_then(|remote| {
            let spec = remote.srtp.as_ref()?;
            Some(Pair::restore(remote.rtp, spec, &state.srtp.unwrap_or_default()))
        });
        let sources = [state.rtp_source, state.rtcp_source];
        let latch = Latch::restored(now, sources, state.latch, state.remote.as_ref());
        let withheld = state.remote.as_ref().is_some_and(|remote| latch.withholds(remote));
        End {
            srtp,
            remote: state.remote,
            withheld,
            latch,
            reception: Reception::with_lost(state.lost, state.lost_in_a_row),
            outgoing: Outgoing::restore(now, state.outgoing),
            keep_alive: KeepAlive::resumed(now, state.keep_alive),
            ..End::new(now, state.end, state.serial, state.bind, counters)
        }
    }

    /// Renames the end for another session, where nothing listens to it yet.
    pub(super) fn moved(self, id: EndId, serial: u32) -> End {
        End { id, serial, listeners: Vec::new(), ..self }
    }

    /// Returns its name.
    pub(super) fn id(&self) -> EndId {
        self.id
    }

    /// Returns its number among the feeders of the session.
    pub(super) fn serial(&self) -> u32 {
        self.serial
    }

    /// Returns the address of its sockets.
    pub(super) fn bind(&self) -> SocketAddr {
        self.bind
    }

    /// Returns its counters.
    pub(super) fn counters(&self) -> &Arc<EndCounters> {
        &self.counters
    }

    /// Takes the result of a negotiation with the remote party.
    pub(super) fn set_remote(&mut self, now: Instant, remote: RemoteSpec) {
        if remote.relatch {
            if self.latch.open(now, self.remote.as_ref(), &remote) {
                self.counters.latched.set(0);
                self.stranger = None;
            }
            self.silence = Silence::new(now);
            self.continuity = Continuity::new(self.counters.rx_packets.get());
            self.keep_alive.again(now);
        } else {
            self.latch.describe(now, &remote);
        }
        let watched = self.remote.as_ref().is_some_and(|before| before.watch_idle);
        if remote.watch_idle && !watched {
            self.silence.again(now);
            self.continuity = Continuity::new(self.counters.rx_packets.get());
        }
        self.srtp = Pair::agree(now, self.srtp.take(), remote.rtp, remote.srtp.as_deref());
        self.withheld = self.latch.withholds(&remote);
        self.remote = Some(remote);
    }

    /// Returns whether its remote party is known.
    pub(super) fn has_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Returns whether no RTP is sent to it yet.
    pub(super) fn is_withheld(&self) -> bool {
        self.withheld
    }

    /// Tells what a datagram is that came to its RTP socket.
    pub(super) fn kind(&self, packet: &[u8]) -> Arrival {
        let muxed = || self.remote.as_ref().is_some_and(|remote| remote.rtcp_mux);
        match rtcp::classify(packet) {
            _ if self.wire.as_ref().is_some_and(|wire| wire.spec().verbatim) => Arrival::Verbatim,
            Kind::Rtcp if muxed() => Arrival::Rtcp,
            Kind::Rtp | Kind::Rtcp | Kind::Other => Arrival::Rtp,
        }
    }

    /// Takes a packet of RTP: decrypts it in place, and counts it.
    ///
    /// # Errors
    /// Why it is dropped.
    pub(super) fn receive(
        &mut self,
        cx: &mut Cx<'_>,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Result<Received, DropReason> {
        let now = cx.now;
        self.accept(now, source)?;
        // What fills the buffer may have been cut.
        if packet.data().len() >= PACKET || rtcp::classify(packet.data()) != Kind::Rtp {
            return Err(DropReason::NotRtp);
        }
        if let Some(srtp) = &mut self.srtp {
            srtp.unprotect(now, false, packet)?;
        }
        let rtp = Rtp::parse(packet.data()).map_err(|_| DropReason::NotRtp)?;
        self.take_source(cx, source)?;
        let is_known = |wire: &Wire| wire.knows(rtp.payload_type);
        if is_header_alone(packet) && !self.wire.as_ref().is_some_and(is_known) {
            let of_stream = self.take_keep_alive(cx, &rtp);
            return Ok(Received::KeepAlive { rtp, of_stream });
        }
        self.silence.broken(now, rtp.payload_type == COMFORT_NOISE || rtp.payload.len() <= DESCRIPTOR_BYTES);
        let clock_hz = self.wire.as_ref().map_or(DEFAULT_CLOCK_HZ, |wire| wire.clock_hz(rtp.payload_type));
        let came = now.checked_sub(packet.waited()).unwrap_or(now);
        self.reception.take(came, clock_hz, &rtp);
        self.reception.tell_lost(&self.counters);
        self.counters.jitter_us.set(self.reception.jitter_us());
        cx.shared.count_received(&self.counters, packet.data().len());
        self.may_send()?;
        self.sound.look(&rtp, packet.data(), self.wire.as_ref(), &self.counters.symptoms);
        if let Some(wire) = &mut self.wire {
            wire.mute_tones(now, &rtp, packet);
        }
        Ok(Received::Rtp { rtp, clock_hz })
    }

    /// Takes a datagram that passes as it is.
    ///
    /// # Errors
    /// Why it is dropped.
    pub(super) fn receive_verbatim(
        &mut self,
        cx: &mut Cx<'_>,
        source: SocketAddr,
        packet: &PacketBuf,
    ) -> Result<(), DropReason> {
        self.accept(cx.now, source)?;
        let bytes = packet.data().len();
        // An empty one says nothing; what fills the buffer may have been cut; where all is to be encrypted, nothing
        // plain counts.
        let is_encrypted = self.remote.as_ref().is_some_and(|remote| remote.srtp.is_some());
        if bytes == 0 || bytes >= PACKET || is_encrypted {
            return Err(DropReason::NotRtp);
        }
        self.take_source(cx, source)?;
        self.silence.broken(cx.now, true);
        cx.shared.count_received(&self.counters, bytes);
        self.may_send()
    }

    /// Takes a compound of RTCP: decrypts it in place, covers its texts, and reads it. Metrics about the stream that
    /// the remote party hears are returned: they are for the feeder of that stream.
    ///
    /// # Errors
    /// Why it is dropped.
    pub(super) fn receive_rtcp(
        &mut self,
        cx: &mut Cx<'_>,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Result<Option<VoipMetrics>, DropReason> {
        let now = cx.now;
        let remote = self.remote.as_ref().ok_or(DropReason::UnexpectedSource)?;
        let muxed = remote.rtcp_mux;
        let accepted = match muxed {
            true => self.latch.accepts_shared_rtcp(now, source, remote),
            false => self.latch.accepts_rtcp(now, source, remote),
        };
        if !accepted {
            return Err(DropReason::UnexpectedSource);
        }
        if packet.data().len() >= PACKET {
            return Err(DropReason::NotRtp);
        }
        if let Some(srtp) = &mut self.srtp {
            srtp.unprotect(now, true, packet)?;
        }
        let whole = rtcp::is_well_formed(packet.data());
        if !whole || !rtcp::cover_texts(packet.data_mut(), |name| cx.origin.pseudonym(name)) {
            return Err(DropReason::NotRtp);
        }
        // Where both share a port, only RTP says where that is.
        if !muxed && self.latch.take_rtcp(now, source, remote) == Taken::Refused {
            return Err(DropReason::UnexpectedSource);
        }
        self.counters.rtcp_packets.add(1);
        Ok(self.reports.hear(now, packet.data(), self.outgoing.source(), &self.counters))
    }

    /// Returns the source that its stream has before it is rewritten.
    pub(super) fn fed_source(&self) -> Option<u32> {
        self.outgoing.snapshot().sent.map(|sent| sent.ssrc_in)
    }

    /// Keeps metrics about its remote party's stream for the next report.
    pub(super) fn keep_metrics(&mut self, ssrc: u32, metrics: VoipMetrics) {
        self.reports.keep(ssrc, metrics);
    }

    #[inline]
    fn accept(&mut self, now: Instant, source: SocketAddr) -> Result<(), DropReason> {
        let remote = self.remote.as_ref().ok_or(DropReason::UnexpectedSource)?;
        match self.latch.accepts_rtp(now, source, remote) {
            true => Ok(()),
            false => Err(self.note_stranger(source)),
        }
    }

    #[inline]
    fn take_source(&mut self, cx: &mut Cx<'_>, source: SocketAddr) -> Result<(), DropReason> {
        let remote = self.remote.as_ref().ok_or(DropReason::UnexpectedSource)?;
        match self.latch.take_rtp(cx.now, source, remote) {
            Taken::Counts => {}
            Taken::Refused => return Err(self.note_stranger(source)),
            Taken::Won => {
                self.counters.latched.set(1);
                self.withheld = self.latch.withholds(remote);
                cx.events.push_back(Event::Latched { end: self.id, source });
            }
        }
        Ok(())
    }

    /// Takes a keep-alive packet; returns whether it has a number of the stream, which is not lost then.
    fn take_keep_alive(&mut self, cx: &Cx<'_>, rtp: &Rtp) -> bool {
        self.silence.kept_alive(cx.now);
        if let Some(worker) = &cx.shared.worker {
            worker.keep_alives_received.add(1);
        }
        let is_ours = rtp.ssrc == self.keep_alive_source(cx.origin)
            || self.outgoing.source().is_some_and(|(ssrc, _)| ssrc == rtp.ssrc);
        if is_ours {
            self.counters.symptoms.echoed.add_alone(1);
        }
        let of_stream = self.reception.source().is_some_and(|source| source.ssrc == rtp.ssrc);
        if of_stream {
            self.reception.take_untimed(rtp);
            self.reception.tell_lost(&self.counters);
        }
        of_stream
    }

    fn may_send(&self) -> Result<(), DropReason> {
        let may_send = self.remote.as_ref().is_some_and(|remote| remote.may_send);
        if may_send { Ok(()) } else { Err(DropReason::NotSending) }
    }

    /// Notes a source whose packets do not count, and returns why they are dropped. A source that is only too early for
    /// the latch is no finding.
    fn note_stranger(&mut self, source: SocketAddr) -> DropReason {
        if self.remote.as_ref().is_some_and(|remote| self.latch.waits_for_another(source, remote)) {
            return DropReason::UnexpectedSource;
        }
        if self.stranger.is_none() {
            // Only the first is kept.
            let _ = self.counters.symptoms.stranger.set(source);
        }
        self.stranger = Some(source);
        DropReason::UnexpectedSource
    }

    /// Notes a payload number that was not agreed on.
    pub(super) fn note_odd(&self, packet: &[u8]) {
        if let Some(second) = packet.get(1) {
            self.counters.symptoms.odd_payload.set(u64::from(second & 0x7f) + 1);
        }
    }

    /// Counts an ICMP error about a packet that was sent `to`; not one about another address than its RTP goes to.
    pub(super) fn count_unreachable(&self, to: SocketAddr, how: Undelivered) {
        let goes = self.remote.as_ref().and_then(|remote| self.latch.rtp_destination(remote));
        if goes.is_some_and(|(goes, _)| canonical(goes) == canonical(to)) {
            self.counters.symptoms.note_undelivered(how);
        }
    }

    /// Returns the wire that leads away from it.
    pub(super) fn wire(&self) -> Option<&Wire> {
        self.wire.as_ref()
    }

    /// Returns the same, to be changed.
    pub(super) fn wire_mut(&mut self) -> Option<&mut Wire> {
        self.wire.as_mut()
    }

    /// Returns whether it feeds `to`.
    pub(super) fn feeds(&self, to: EndId) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.to() == to)
    }

    /// Returns whether its audio is converted.
    pub(super) fn is_converting(&self) -> bool {
        self.wire.as_ref().is_some_and(Wire::is_converting)
    }

    /// Connects it.
    pub(super) fn connect(&mut self, wire: Wire) {
        self.wire = Some(wire);
    }

    /// Disconnects it where `cut(to)` holds; returns the wire.
    pub(super) fn disconnect(&mut self, cut: impl Fn(EndId) -> bool) -> Option<Wire> {
        self.wire.take_if(|wire| cut(wire.to()))
    }

    /// Returns its wire in plain data: its own name, the sink's, and the description.
    pub(super) fn wired(&self) -> Option<(EndId, EndId, WireSpec)> {
        self.wire.as_ref().map(|wire| (self.id, wire.to(), wire.spec().clone()))
    }

    /// Whether no other source can take its latch over for now.
    pub(super) fn is_locked(&self) -> bool {
        let goes = self.remote.as_ref().and_then(|remote| self.latch.rtp_destination(remote));
        goes.is_some_and(|(_, locked)| locked)
    }

    /// Returns its listeners.
    pub(super) fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Adds a listener.
    pub(super) fn add_listener(&mut self, listener: Listener) {
        self.listeners.push(listener);
    }

    /// Removes a listener.
    pub(super) fn remove_listener(&mut self, id: EndId) {
        self.listeners.retain(|listener| !listener.is(id));
    }

    /// Passes a packet of its remote party to the agent that it feeds: audio, a digit once, or the place of a packet
    /// that is neither.
    ///
    /// # Errors
    /// Where it is of no use.
    pub(super) fn reach_agent(
        &mut self,
        cx: &mut Cx<'_>,
        to: EndId,
        packet: &TrackPacket<'_>,
    ) -> Result<(), DropReason> {
        let wire = self.wire.as_mut().ok_or(DropReason::NoWire)?;
        let agent = cx.agents.get_mut(to).ok_or(DropReason::NoWire)?;
        let told =
            |events: &mut EventReceiver, key| events.may_tell().then_some(Event::Key { end: self.id, key, ms: 0 });
        if let Some(digit) = wire.watch_mut().and_then(|watch| watch.take_begun()) {
            agent.tell_digit(cx.now, digit, cx.events);
            cx.events.extend(told(&mut self.events, digit));
        }
        let number = packet.rtp.payload_type;
        let is_event = wire.spec().keys == Some(number);
        let is_audio = !is_event && wire.payload(number).is_some();
        let payload = packet.bytes.get(packet.rtp.payload.clone()).unwrap_or_default();
        if is_event && let Some(digit) = self.events.take(packet.rtp, payload) {
            agent.tell_digit(cx.now, digit, cx.events);
            cx.events.extend(told(&mut self.events, digit));
        }
        agent.hear(cx.now, packet, is_audio.then_some(wire.spec().coding), cx.events)?;
        // Comfort noise.
        let is_heard = is_audio || is_event || agent.decodes_number(number);
        if is_heard { Ok(()) } else { Err(DropReason::UnknownPayload) }
    }

    /// Sends a packet of a feeder, as its payload number and the numbers of its feeder are now.
    ///
    /// # Errors
    /// Why it is dropped.
    pub(super) fn send(
        &mut self,
        cx: &mut Cx<'_>,
        feeder: Feeder,
        rtp: Rtp,
        packet: &mut PacketBuf,
    ) -> Result<Transmit, DropReason> {
        if self.injector.as_ref().is_some_and(|injector| injector.serial() != feeder.serial) {
            return Err(DropReason::KeyPressed);
        }
        let way = self.receiving_way()?;
        self.playout = None;
        self.pass_on(cx, feeder, rtp, way, packet)
    }

    /// Sends a frame of its own stream; nothing of silence that need not be sent.
    ///
    /// # Errors
    /// Why it is dropped.
    pub(super) fn send_own(
        &mut self,
        cx: &mut Cx<'_>,
        spoken: &Spoken,
        packet: &mut PacketBuf,
    ) -> Result<Option<Transmit>, DropReason> {
        let way = self.receiving_way()?;
        let playout = self.playout.as_mut().ok_or(DropReason::NoDestination)?;
        let Some(rtp) = playout.write(spoken.tick, spoken.feeder, &spoken.frame, packet) else { return Ok(None) };
        let feeder = Feeder { serial: playout.serial(), clock_hz: playout.clock_hz() };
        self.pass_on(cx, feeder, rtp, way, packet).map(Some)
    }

    /// Sends a datagram as it is.
    ///
    /// # Errors
    /// Why it is dropped.
    pub(super) fn send_verbatim(&self, shared: &Shared, packet: &PacketBuf) -> Result<Transmit, DropReason> {
        let plain = |remote: &&RemoteSpec| remote.may_receive && remote.srtp.is_none();
        let remote = self.remote.as_ref().filter(plain).ok_or(DropReason::NoDestination)?;
        let way = self.rtp_way(remote)?;
        shared.count_sent(&self.counters, packet.data().len());
        Ok(way)
    }

    /// Sends a compound of RTCP of the end that it feeds and is fed by.
    ///
    /// # Errors
    /// Why it is dropped.
    pub(super) fn send_rtcp(&mut self, now: Instant, packet: &mut PacketBuf) -> Result<Transmit, DropReason> {
        let way = self.rtcp_way().ok_or(DropReason::NoDestination)?;
        self.reports.pass(now, packet.data());
        if let Some(srtp) = &mut self.srtp {
            srtp.protect(true, packet)?;
        }
        Ok(way)
    }

    /// Notes a packet of a feeder that goes no further: that is no loss.
    pub(super) fn leave_out(&mut self, feeder: u32, rtp: &Rtp) {
        self.outgoing.leave_out(feeder, rtp);
    }

    /// Returns whether its stream is that of its one feeder, unchanged.
    pub(super) fn is_unchanged(&self) -> bool {
        !self.outgoing.is_rewritten() && self.playout.is_none() && !self.is_converting()
    }

    fn pass_on(
        &mut self,
        cx: &mut Cx<'_>,
        feeder: Feeder,
        mut rtp: Rtp,
        way: Transmit,
        packet: &mut PacketBuf,
    ) -> Result<Transmit, DropReason> {
        let bytes = packet.data().len();
        let takes = |ssrc, sequence| self.srtp.as_ref().is_none_or(|srtp| srtp.takes(ssrc, sequence));
        self.outgoing.pass(cx.now, feeder.serial, feeder.clock_hz, &mut rtp, takes);
        rtp.write(packet.data_mut());
        let heard =
            TrackPacket { track: TrackName::Outbound, rtp: &rtp, bytes: packet.data(), clock_hz: feeder.clock_hz };
        cx.hear_all(&self.listeners, &heard);
        if let Some(srtp) = &mut self.srtp {
            srtp.protect(false, packet)?;
        }
        cx.shared.count_sent(&self.counters, bytes);
        Ok(way)
    }

    fn receiving_way(&self) -> Result<Transmit, DropReason> {
        let remote = self.remote.as_ref().filter(|remote| remote.may_receive).ok_or(DropReason::NoDestination)?;
        self.rtp_way(remote)
    }

    /// Returns how RTP leaves it, or why it does not: the remote party has no address, or none that is proven.
    fn rtp_way(&self, remote: &RemoteSpec) -> Result<Transmit, DropReason> {
        if self.withheld {
            return Err(DropReason::Withheld);
        }
        let (to, locked) = self.latch.rtp_destination(remote).ok_or(DropReason::NoDestination)?;
        Ok(Transmit { via: self.id, rtcp: false, to, locked })
    }

    /// Returns how RTCP leaves it; `None` also where its address is not proven.
    fn rtcp_way(&self) -> Option<Transmit> {
        let remote = self.remote.as_ref()?;
        let (to, locked) = match remote.rtcp_mux {
            true => self.latch.rtp_destination(remote)?,
            false => self.latch.rtcp_destination(remote)?,
        };
        if remote.withholds(to.ip()) {
            return None;
        }
        Some(Transmit { via: self.id, rtcp: !remote.rtcp_mux, to, locked })
    }

    /// Feeds it by an agent or a player: its own stream begins then, or goes on with another feeder.
    pub(super) fn feed(&mut self, begins: Instant, start: StreamStart, feed: Feed) {
        let playout = self.playout.get_or_insert_with(|| Box::new(Packetizer::new(begins, start, feed)));
        playout.begin_by(begins);
        playout.set_feed(feed);
        self.injector = None;
    }

    /// Returns the stream that the edge makes for it.
    pub(super) fn playout(&self) -> Option<&Packetizer> {
        self.playout.as_deref()
    }

    /// Returns the same, to be changed.
    pub(super) fn playout_mut(&mut self) -> Option<&mut Packetizer> {
        self.playout.as_deref_mut()
    }

    /// Sends digits: in its own stream, or, where another end feeds it, by an injector; returns how many are left out.
    pub(super) fn send_digits(
        &mut self,
        digits: &Digits<'_>,
        is_fed: bool,
        begin: impl FnOnce() -> Box<Injector>,
    ) -> usize {
        let Digits { press, digits, ms } = *digits;
        match &mut self.playout {
            Some(playout) => playout.send_digits(press, digits, ms),
            None if is_fed => self.injector.get_or_insert_with(begin).add(press, digits, ms),
            None => 0,
        }
    }

    /// Returns what injects digits into its stream.
    pub(super) fn injector_mut(&mut self) -> Option<&mut Injector> {
        self.injector.as_deref_mut()
    }

    /// Takes the injector away, once all of its digits have been sent.
    pub(super) fn end_injection(&mut self) -> Option<Box<Injector>> {
        self.injector.take_if(|injector| injector.is_over())
    }

    /// Notes that a packet of a digit left so many ticks of its clock later than its timestamp says.
    pub(super) fn is_later_by(&mut self, ticks: u32) {
        self.outgoing.is_later_by(ticks);
    }

    /// Takes a packet of a telephone-event, on a wire whose two sides have different forms of DTMF; returns the digits
    /// that are over by it.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn take_event(
        &mut self,
        now: Instant,
        rtp: &Rtp,
        packet: &[u8],
    ) -> Result<[Option<Completed>; 2], DropReason> {
        let parted = self.wire.as_ref().and_then(|wire| wire.spec().parted.as_deref());
        let event = parted.and_then(|parted| parted.events.iter().find(|(number, _)| *number == rtp.payload_type));
        let (_, clock_hz) = *event.ok_or(DropReason::UnknownPayload)?;
        let payload = packet.get(rtp.payload.clone()).unwrap_or_default();
        Ok(self.events.take_timed(now, clock_hz, rtp, payload))
    }

    /// Takes a packet of a telephone-event that passes as it is; returns the digit that begins with it, up to a number of them.
    pub(super) fn take_passed(&mut self, rtp: &Rtp, packet: &[u8]) -> Option<char> {
        let digit = self.events.take(rtp, packet.get(rtp.payload.clone()).unwrap_or_default());
        digit.filter(|_| self.events.may_tell())
    }

    /// Takes a packet of a source of which only digits are wanted; returns the digit that begins with it, as a
    /// telephone-event or as a tone.
    ///
    /// # Errors
    /// Where it is neither a digit nor the agreed audio.
    pub(super) fn take_begun(&mut self, rtp: &Rtp, packet: &[u8]) -> Result<Option<char>, DropReason> {
        let wire = self.wire.as_mut().ok_or(DropReason::NoWire)?;
        if wire.digits_only().is_some_and(|(audio, _)| audio == rtp.payload_type) {
            let watch = wire.watch_mut();
            return Ok(watch.and_then(|watch| {
                watch.take_over();
                watch.take_begun()
            }));
        }
        let parted = wire.spec().parted.as_deref();
        let is_event = parted.is_some_and(|parted| parted.events.iter().any(|(number, _)| *number == rtp.payload_type));
        if !is_event {
            return Err(DropReason::UnknownPayload);
        }
        Ok(self.events.take(rtp, packet.get(rtp.payload.clone()).unwrap_or_default()))
    }

    /// Ends digits whose last packets were lost; returns an event's, and a tone's. One that was reported at its beginning is
    /// not returned.
    pub(super) fn release_lost_digits(&mut self, now: Instant) -> [Option<Completed>; 2] {
        let event = self.events.release_lost(now);
        let tone = self.wire.as_mut().and_then(|wire| {
            let is_reported = wire.digits_only().is_some();
            let watch = wire.watch_mut()?;
            watch.release_lost(now);
            watch.take_over().filter(|_| !is_reported)
        });
        [event, tone]
    }

    /// Lists when a digit of its remote party, or of the edge towards it, is due next.
    pub(super) fn digits_due(&self) -> impl Iterator<Item = Instant> {
        let injector = self.injector.as_ref().map(|injector| injector.due());
        let tone = self.wire.as_ref().and_then(Wire::tone_lost_at);
        self.events.lost_at().into_iter().chain(injector).chain(tone)
    }

    /// Leaves a time in which this process did not run out of its remote party's silence.
    pub(super) fn stood_still(&mut self, now: Instant, time: Duration) {
        self.silence.leave_out(now, time);
    }

    /// Looks for silence, and for reports and keep-alive packets that are due; `reports`: the edge itself reports to
    /// the remote party.
    pub(super) fn sweep(&mut self, cx: &mut Cx<'_>, idle_timeout: Duration, reports: bool) -> Swept {
        let now = cx.now;
        self.continuity.sweep(self.counters.rx_packets.get());
        if self.remote.as_ref().is_some_and(|remote| remote.watch_idle) {
            if !idle_timeout.is_zero() && self.silence.is_idle(now, idle_timeout) {
                cx.events.push_back(Event::Idle { end: self.id });
            }
            if self.silence.miss(now, UNHEARD_AFTER) {
                cx.events.push_back(Event::Unheard { end: self.id, stranger: self.stranger });
            }
        }
        if reports && self.rtcp_way().is_some() {
            self.reports.look(now, cx.origin, self.serial);
        } else {
            self.reports.rest();
        }
        let is_resting = self.remote.as_ref().is_some_and(|remote| self.latch.rest(now, remote));
        self.look_for_keep_alive(now);
        let codec = self.wire.as_ref().and_then(|wire| wire.spec().codec);
        self.quality.estimate(now, &self.reception, codec, &self.counters);
        let is_lossy = self.quality.count_lost(&self.reception, cx.shared.worker.as_deref());
        Swept { is_resting, is_lossy }
    }

    /// Returns whether its remote party sends audio at present.
    pub(super) fn is_sending(&self, now: Instant) -> bool {
        self.silence.is_heard_within(now, SENDING_WITHIN)
    }

    /// Reports that its continuous stream has stopped, where it should send.
    pub(super) fn report_stop(&mut self, cx: &mut Cx<'_>) {
        let is_watched = self.remote.as_ref().is_some_and(|remote| remote.watch_idle) && self.continuity.is_steady();
        if let Some(silent) = self.silence.stopped_for(cx.now, STOPPED_AFTER).filter(|_| is_watched) {
            self.silence.note_stopped();
            cx.events.push_back(Event::Stopped { end: self.id, silent });
        }
    }

    /// Counts all packets that are lost, once no more come.
    pub(super) fn count_rest(&self, shared: &Shared) {
        self.quality.count_rest(&self.reception, shared.worker.as_deref());
    }

    /// None is sent to a remote party that is not to receive, or has no address (hold) or none that is proven, or that
    /// the edge itself feeds.
    fn look_for_keep_alive(&mut self, now: Instant) {
        let may = self.remote.as_ref().is_some_and(|remote| remote.may_receive && remote.rtp.is_some());
        if may && self.playout.is_none() && !self.withheld {
            self.keep_alive.look(now, self.outgoing.sent_at(), self.silence.is_broken());
        }
    }

    /// Has the report made that ends its stream.
    pub(super) fn say_goodbye(&mut self) {
        self.reports.say_goodbye();
    }

    /// Makes the report that is due.
    pub(super) fn make_report(&mut self, cx: &Cx<'_>, packet: &mut PacketBuf) -> Option<Transmit> {
        if !std::mem::take(&mut self.reports.wanted) {
            return None;
        }
        let way = self.rtcp_way()?;
        let (packets, octets) = self.outgoing.snapshot().counted;
        let stream = Stream {
            ssrc: self.outgoing.source().map_or_else(|| self.own_source(cx.origin), |(ssrc, _)| ssrc),
            timestamp: self.outgoing.timestamp(cx.now).unwrap_or(0),
            packets,
            octets,
            all: self.counters.tx_packets.get(),
        };
        let compound = self.reports.make(cx.now, cx.origin, self.serial, stream, self.reception.source());
        compound.write(packet)?;
        self.protect(cx, true, packet)?;
        if let Some(worker) = &cx.shared.worker {
            worker.reports.add(1);
        }
        Some(way)
    }

    /// Returns whether a keep-alive packet is due.
    pub(super) fn wants_keep_alive(&self) -> bool {
        self.keep_alive.is_wanted()
    }

    /// Makes the keep-alive packet that is due, with a payload number that is not `taken`; none where nothing is known
    /// of the remote party's numbers.
    pub(super) fn make_keep_alive(
        &mut self,
        cx: &Cx<'_>,
        taken: Option<u128>,
        packet: &mut PacketBuf,
    ) -> Option<Transmit> {
        let ssrc = self.keep_alive_source(cx.origin);
        let is_taken = |taken: u128| move |number: u8| taken >> (number & 0x7f) & 1 == 1;
        let written = taken.and_then(|taken| self.keep_alive.write(cx.now, ssrc, is_taken(taken), packet));
        self.keep_alive.pass_over();
        written?;
        let way = self.rtp_way(self.remote.as_ref()?).ok()?;
        self.protect(cx, false, packet)?;
        if let Some(worker) = &cx.shared.worker {
            worker.keep_alives.add(1);
        }
        Some(way)
    }

    /// Encrypts a packet of the edge's own making; `None` where it has to be dropped.
    fn protect(&mut self, cx: &Cx<'_>, rtcp: bool, packet: &mut PacketBuf) -> Option<()> {
        let Some(srtp) = &mut self.srtp else { return Some(()) };
        srtp.protect(rtcp, packet).inspect_err(|reason| cx.shared.count_dropped(&self.counters, *reason)).ok()
    }

    /// Returns the source of its RTCP where nothing was sent yet.
    /// Returns the SSRC of keep-alive packets: drawn apart from other ends' and from that of the reports.
    fn keep_alive_source(&self, origin: &Origin) -> u32 {
        self.own_source(origin) ^ 1
    }

    fn own_source(&self, origin: &Origin) -> u32 {
        // Truncation is meant: each takes its own bits.
        origin.draw(u64::from(self.serial)) as u32
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn the_first_stranger_is_kept_and_the_last_one_told() {
        let bind = "127.0.0.1:4000".parse().unwrap();
        let mut end = End::new(Instant::now(), EndId(0), 0, bind, Arc::new(EndCounters::default()));
        let [one, two] = ["192.0.2.1:4", "192.0.2.2:4"].map(|at| at.parse::<SocketAddr>().unwrap());
        end.note_stranger(one);
        end.note_stranger(two);
        assert_eq!((end.counters.symptoms.stranger.get(), end.stranger), (Some(&one), Some(two)));
    }
}
