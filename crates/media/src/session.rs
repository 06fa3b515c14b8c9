//! A call's media: ends and the wires between them.
//!
//! The shell owns the sockets. It binds them before it hands [`Command::AddEnd`] on, closes them before it hands
//! [`Command::RemoveEnd`] and [`Command::Close`] on, and tells [`Event::Bound`] and [`Event::BindFailed`] itself; all
//! other events come from here. RTCP is passed along the wires with its texts covered; about a stream whose numbers we
//! changed it is dropped (the edge does not make RTCP of its own yet).

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::counters::{DropReason, EndCounters, WorkerCounters};
use crate::end::{End, Silence, Wire};
use crate::latch::{Latch, canonical};
use crate::limits::{SESSION_ENDS, SWEEP_INTERVAL};
use crate::packet::{PACKET, PacketBuf};
use crate::rewrite::Outgoing;
use crate::rtcp::{self, Kind};
use crate::rtp::Rtp;
use crate::snapshot::{EndSnapshot, SessionSnapshot, wires};
use crate::spec::{Command, EndId, EndSpec, Event, MediaId, RemoteSpec, WireSpec};
use crate::stats::Reception;

/// Where the packet in the buffer is to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The end whose socket sends it.
    pub via: EndId,
    /// Whether by its RTCP socket.
    pub rtcp: bool,
    /// The destination.
    pub to: SocketAddr,
    /// Whether `to` is locked: the socket may be connected.
    pub locked: bool,
}

/// One call's media. The shell owns the sockets; it calls [`Self::handle_packet`] for each packet that one of them
/// receives, and sends the same buffer where it says.
#[derive(Debug)]
pub struct Session {
    id: MediaId,
    idle_timeout: Duration,
    ends: Vec<End>,
    next_serial: u32,
    events: VecDeque<Event>,
    next_sweep: Option<Instant>,
    worker: Option<Arc<WorkerCounters>>,
    /// Makes other names of the canonical names in RTCP.
    names: RandomState,
}

impl Session {
    /// A session without ends.
    pub fn new(id: MediaId, idle_timeout_ms: u64) -> Session {
        Session {
            id,
            idle_timeout: Duration::from_millis(idle_timeout_ms),
            ends: Vec::with_capacity(2),
            next_serial: 0,
            events: VecDeque::new(),
            next_sweep: None,
            worker: None,
            names: RandomState::new(),
        }
    }
    /// Counts packets in its worker's counters as well.
    pub fn count_in(&mut self, worker: Arc<WorkerCounters>) {
        self.worker = Some(worker);
    }
    /// Its id.
    pub fn id(&self) -> MediaId {
        self.id
    }
    /// Its ends and where they are bound.
    pub fn ends(&self) -> impl Iterator<Item = (EndId, SocketAddr)> {
        self.ends.iter().map(|end| (end.id, end.bind))
    }
    /// An end's counters: those of its [`EndSpec`], or new ones after [`Self::restore`].
    pub fn counters(&self, end: EndId) -> Option<&Arc<EndCounters>> {
        self.ends.get(self.position(end)?).map(|end| &end.counters)
    }
    /// Why an end of this name cannot be added, if so: asked before its sockets are bound.
    pub fn refuses(&self, end: EndId) -> Option<&'static str> {
        if self.position(end).is_some() {
            return Some("the session has an end of this name");
        }
        (self.ends.len() >= SESSION_ENDS).then_some("the session has too many ends")
    }
    /// Takes a command. Binding and closing sockets is the shell's: it acts on the same command.
    pub fn handle_input(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open { idle_timeout_ms } => {
                self.idle_timeout = Duration::from_millis(idle_timeout_ms);
                self.plan_sweep(now);
            }
            Command::AddEnd { end, spec } => self.add_end(now, end, spec),
            Command::SetRemote { end, remote } => self.set_remote(now, end, remote),
            Command::Wire { from, to, wire } => self.wire(from, to, wire),
            Command::Unwire { from } => self.unwire(|end, _| end == from),
            Command::RemoveEnd { end } => self.remove_end(end),
            Command::Close => {
                while let Some(end) = self.ends.first().map(|end| end.id) {
                    self.remove_end(end);
                }
                self.next_sweep = None;
                self.events.push_back(Event::Closed);
            }
        }
    }
    /// Takes a packet that came to `end`'s RTP socket (or RTCP socket, `rtcp`) from `source`; changes it in place and
    /// says where it leaves, or `None`. Allocates nothing.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        end: EndId,
        rtcp: bool,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Option<Transmit> {
        let at = self.position(end)?;
        let source = canonical(source);
        let relayed = if rtcp { self.relay_rtcp(at, source, packet) } else { self.relay_rtp(now, at, source, packet) };
        relayed.map_err(|reason| self.dropped(at, reason)).ok()
    }
    /// Counts a packet of an end that the shell had to drop: unread, or refused by the system on its way out.
    pub fn count_drop(&self, end: EndId, reason: DropReason) {
        if let Some(at) = self.position(end) {
            self.dropped(at, reason);
        }
    }
    /// The coarse sweep, once a second: silence.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|due| now < due) {
            return;
        }
        for end in self.ends.iter_mut().filter(|end| end.is_watched()) {
            if end.silence.tell(now, self.idle_timeout) {
                self.events.push_back(Event::Idle { end: end.id });
            }
        }
        self.next_sweep = None;
        self.plan_sweep(now);
    }
    /// The next thing to tell signalling.
    pub fn poll_output(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
    /// When the next sweep is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_sweep
    }
    /// In plain data.
    pub fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot {
            id: self.id,
            idle_timeout_ms: u64::try_from(self.idle_timeout.as_millis()).unwrap_or(u64::MAX),
            next_serial: self.next_serial,
            ends: self.ends.iter().map(EndSnapshot::of).collect(),
            wires: wires(&self.ends),
        }
    }
    /// From plain data. Its ends get new counters ([`Self::counters`]) that go on from the old figures.
    pub fn restore(now: Instant, snapshot: SessionSnapshot) -> Session {
        let mut session = Session::new(snapshot.id, snapshot.idle_timeout_ms);
        session.next_serial = snapshot.next_serial;
        session.ends = snapshot.ends.into_iter().take(SESSION_ENDS).map(|end| end.into_end(now)).collect();
        session.events.reserve(SESSION_ENDS);
        for (from, to, wire) in snapshot.wires {
            session.wire(from, to, wire);
        }
        session.plan_sweep(now);
        session
    }

    fn position(&self, end: EndId) -> Option<usize> {
        self.ends.iter().position(|each| each.id == end)
    }

    fn add_end(&mut self, now: Instant, id: EndId, spec: EndSpec) {
        if let Some(error) = self.refuses(id) {
            self.events.push_back(Event::BindFailed { end: id, error: error.to_owned() });
            return;
        }
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        self.ends.push(End {
            id,
            serial,
            bind: spec.bind,
            counters: spec.counters,
            remote: None,
            latch: Latch::default(),
            wire: None,
            reception: Reception::default(),
            outgoing: Outgoing::default(),
            silence: Silence::new(now),
        });
        // So that a packet that locks a latch need not allocate.
        self.events.reserve(SESSION_ENDS);
    }

    fn set_remote(&mut self, now: Instant, id: EndId, remote: RemoteSpec) {
        let at = self.position(id);
        if let Some(end) = at.and_then(|at| self.ends.get_mut(at)) {
            end.set_remote(now, remote);
            self.plan_sweep(now);
        }
    }

    fn wire(&mut self, from: EndId, to: EndId, spec: WireSpec) {
        if self.position(to).is_none() {
            return;
        }
        // Two streams in one ear would need a mixer.
        self.unwire(|_, sink| sink == to);
        let at = self.position(from);
        if let Some(end) = at.and_then(|at| self.ends.get_mut(at)) {
            end.wire = Some(Wire::new(to, spec));
        }
    }

    /// Takes away the wires that `cut(from, to)` says.
    fn unwire(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for end in &mut self.ends {
            if end.wire.as_ref().is_some_and(|wire| cut(end.id, wire.to)) {
                end.wire = None;
            }
        }
    }

    fn remove_end(&mut self, id: EndId) {
        let Some(at) = self.position(id) else { return };
        self.unwire(|from, to| from == id || to == id);
        let end = self.ends.remove(at);
        if let Some(worker) = &self.worker {
            worker.lost.add(end.reception.lost());
        }
        self.events.push_back(Event::EndClosed { end: id, port: end.bind.port() });
    }

    fn plan_sweep(&mut self, now: Instant) {
        if self.idle_timeout.is_zero() || !self.ends.iter().any(End::is_watched) {
            self.next_sweep = None;
        } else if self.next_sweep.is_none() {
            self.next_sweep = now.checked_add(SWEEP_INTERVAL);
        }
    }

    fn relay_rtp(
        &mut self,
        now: Instant,
        at: usize,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Result<Transmit, DropReason> {
        let end = self.ends.get_mut(at).ok_or(DropReason::NoWire)?;
        let remote = end.remote.as_ref().ok_or(DropReason::UnexpectedSource)?;
        if !end.latch.accepts_rtp(source, remote) {
            return Err(DropReason::UnexpectedSource);
        }
        let bytes = packet.data().len();
        // What fills the buffer may have been cut.
        if bytes >= PACKET || rtcp::classify(packet.data()) != Kind::Rtp {
            return Err(DropReason::NotRtp);
        }
        let mut rtp = Rtp::parse(packet.data()).map_err(|_| DropReason::NotRtp)?;
        if end.latch.lock_rtp(now, source) {
            end.counters.latched.set(1);
            self.events.push_back(Event::Latched { end: end.id, source });
        }
        end.silence.broken(now);
        let clock_hz = end.clock_hz(rtp.payload_type);
        end.reception.take(now, clock_hz, &rtp);
        end.counters.rx_packets.add(1);
        end.counters.rx_bytes.add(bytes as u64);
        end.counters.lost.set(end.reception.lost());
        end.counters.jitter_us.set(end.reception.jitter_us());
        if let Some(worker) = &self.worker {
            worker.rx_packets.add(1);
            worker.rx_bytes.add(bytes as u64);
        }
        if !remote.may_send {
            return Err(DropReason::NotSending);
        }
        let wire = end.wire.as_ref().ok_or(DropReason::NoWire)?;
        rtp.payload_type = wire.payload(rtp.payload_type).ok_or(DropReason::UnknownPayload)?;
        let (feeder, to) = (end.serial, wire.to);

        let sink = self.ends.iter_mut().find(|sink| sink.id == to).ok_or(DropReason::NoWire)?;
        let remote = sink.remote.as_ref().filter(|remote| remote.may_receive).ok_or(DropReason::NoDestination)?;
        let (to, locked) = sink.latch.rtp_destination(remote).ok_or(DropReason::NoDestination)?;
        sink.outgoing.pass(now, feeder, clock_hz, &mut rtp);
        rtp.write(packet.data_mut());
        sink.counters.tx_packets.add(1);
        sink.counters.tx_bytes.add(bytes as u64);
        if let Some(worker) = &self.worker {
            worker.tx_packets.add(1);
            worker.tx_bytes.add(bytes as u64);
        }
        Ok(Transmit { via: sink.id, rtcp: false, to, locked })
    }

    /// RTCP goes on during hold too (RFC 3264 §5.1), hence no look at the directions.
    fn relay_rtcp(&mut self, at: usize, source: SocketAddr, packet: &mut PacketBuf) -> Result<Transmit, DropReason> {
        let end = self.ends.get_mut(at).ok_or(DropReason::NoWire)?;
        let remote = end.remote.as_ref().ok_or(DropReason::UnexpectedSource)?;
        if !end.latch.accepts_rtcp(source, remote) {
            return Err(DropReason::UnexpectedSource);
        }
        let whole = packet.data().len() < PACKET && rtcp::is_well_formed(packet.data());
        if !whole || !rtcp::cover_texts(packet.data_mut(), |name| self.names.hash_one(name)) {
            return Err(DropReason::NotRtp);
        }
        end.latch.lock_rtcp(source);
        end.counters.rtcp_packets.add(1);
        let to = end.wire.as_ref().ok_or(DropReason::NoWire)?.to;
        // Its receiver reports speak of what this end hears, its sender report of what the other end hears.
        let rewritten = end.outgoing.is_rewritten();
        let sink = self.ends.iter().find(|sink| sink.id == to).ok_or(DropReason::NoWire)?;
        if rewritten || sink.outgoing.is_rewritten() {
            return Err(DropReason::RewrittenRtcp);
        }
        let remote = sink.remote.as_ref().ok_or(DropReason::NoDestination)?;
        let (to, locked) = sink.latch.rtcp_destination(remote).ok_or(DropReason::NoDestination)?;
        Ok(Transmit { via: sink.id, rtcp: true, to, locked })
    }

    fn dropped(&self, at: usize, reason: DropReason) {
        if let Some(end) = self.ends.get(at) {
            reason.count_in(&end.counters.dropped);
        }
        if let Some(worker) = &self.worker {
            reason.count_in(&worker.dropped);
        }
    }
}
