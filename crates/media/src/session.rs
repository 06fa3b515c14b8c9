//! A call's media: ends and the wires between them.
//!
//! The shell owns the sockets. It binds them before it hands [`Command::AddEnd`] on, closes them before it hands
//! [`Command::RemoveEnd`] and [`Command::Close`] on, and tells [`Event::Bound`] and [`Event::BindFailed`] itself; all
//! other events come from here. It opens an agent's socket on [`Command::AddAgent`] and tells what the socket says; see
//! [`Session::handle_agent`] and what stands with it. RTCP is passed along the wires with its texts covered; where the
//! edge made or changed a stream it is read and ends here, and the edge reports itself.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_agent::{Stream, TrackName};

use crate::agent_end::{AgentEnd, Shared};
use crate::convert::Counted;
use crate::counters::{Counter, DropReason, EndCounters, WorkerCounters};
use crate::end::{Arrival, End, Wire};
use crate::latch::canonical;
use crate::limits::SESSION_ENDS;
use crate::origin::{Epoch, Origin};
use crate::packet::PacketBuf;
use crate::player::Player;
use crate::raw::Raws;
use crate::snapshot::{EndSnapshot, SessionSnapshot, wires};
use crate::spec::{Command, EndId, EndSpec, Event, MediaId, RemoteSpec, WireSpec};
use crate::voice::Voice;

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
    pub(crate) idle_timeout: Duration,
    pub(crate) ends: Vec<End>,
    next_serial: u32,
    pub(crate) events: VecDeque<Event>,
    pub(crate) next_sweep: Option<Instant>,
    pub(crate) agents: Vec<AgentEnd>,
    pub(crate) raws: Raws,
    pub(crate) players: Vec<Player>,
    pub(crate) departed: VecDeque<(EndId, Box<Stream>)>,
    /// Ends whose far side may be replaced and has fallen silent.
    pub(crate) resting: Vec<EndId>,
    /// Ends of which packets are missing since the last sweep.
    pub(crate) lossy: Vec<EndId>,
    /// The end whose last packet may have made more than one.
    pub(crate) converting: Option<usize>,
    /// Where it is counted among those that convert audio, if it does.
    pub(crate) transcoding: Option<Counted>,
    pub(crate) shared: Shared,
    /// The time of the last [`Self::handle_timeout`]: that of the packets it makes.
    pub(crate) ticked_at: Option<Instant>,
    /// Date and chance.
    pub(crate) origin: Origin,
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
            agents: Vec::new(),
            raws: Raws::default(),
            players: Vec::new(),
            departed: VecDeque::new(),
            resting: Vec::new(),
            lossy: Vec::new(),
            converting: None,
            transcoding: None,
            shared: Shared::default(),
            ticked_at: None,
            origin: Origin::default(),
        }
    }
    /// Counts packets in its worker's counters as well; before its first end.
    pub fn count_in(&mut self, worker: Arc<WorkerCounters>) {
        self.shared.worker = Some(worker);
    }
    /// Shares the limit of audio held for callers ([`AGENT_BYTES_HELD`](crate::limits::AGENT_BYTES_HELD)) with the other
    /// sessions of the edge; before its first end.
    pub fn hold_in(&mut self, held: Arc<Counter>) {
        self.shared.held = held;
    }
    /// Gives it the date, for RTCP of the edge's own making.
    pub fn date_by(&mut self, epoch: Epoch) {
        self.origin.epoch = Some(epoch);
    }
    /// Its id.
    pub fn id(&self) -> MediaId {
        self.id
    }
    /// Its RTP ends and where they are bound.
    pub fn ends(&self) -> impl Iterator<Item = (EndId, SocketAddr)> {
        self.ends.iter().map(|end| (end.id, end.bind))
    }
    /// The counters of an RTP end or an agent: those of its spec, or new ones after [`Self::restore`].
    pub fn counters(&self, end: EndId) -> Option<&Arc<EndCounters>> {
        let agent = self.agents.iter().find(|agent| agent.id == end).map(|agent| &agent.counters);
        agent.or_else(|| self.ends.get(self.position(end)?).map(|end| &end.counters))
    }
    /// Why an end of this name cannot be added, if so: asked before its sockets are bound.
    pub fn refuses(&self, end: EndId) -> Option<&'static str> {
        if self.names().any(|name| name == end) {
            return Some("the session has an end of this name");
        }
        (self.names().count() >= SESSION_ENDS).then_some("the session has too many ends")
    }
    /// Takes a command. Binding and closing sockets is the shell's: it acts on the same command.
    pub fn handle_input(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open { idle_timeout_ms, names_key } => {
                self.origin.key = names_key;
                self.idle_timeout = Duration::from_millis(idle_timeout_ms);
                self.plan_sweep(now);
            }
            Command::AddEnd { end, spec } => self.add_end(now, end, spec),
            Command::AddAgent { end, spec } => self.add_agent(now, end, &spec),
            Command::AddPlayer { end, sound } => self.add_player(end, sound),
            Command::Tap { of, listener, audio } => self.tap(of, listener, audio),
            Command::Press { end, press, digits, ms } => self.press(now, end, press, &digits, ms),
            Command::TellKeys { end, digits } => self.tell_keys(now, end, &digits),
            Command::TransferFailed { end, target, reason, code } => {
                self.transfer_failed(now, end, (&target, reason, code));
            }
            Command::SetRemote { end, remote } => self.set_remote(now, end, remote),
            Command::Wire { from, to, wire } => self.wire(now, from, to, wire),
            Command::Unwire { from } => {
                self.cut_off(|end, _| end == from);
                self.unwire(|end, _| end == from);
            }
            Command::RemoveEnd { end } => self.remove_end(now, end),
            Command::Close => {
                let names: Vec<EndId> = self.names().collect();
                for end in names {
                    self.remove_end(now, end);
                }
                self.next_sweep = None;
                self.events.push_back(Event::Closed);
            }
        }
        self.count_transcoding();
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
        let arrival = match self.ends.get(at) {
            Some(end) if !rtcp => end.kind(packet.data()),
            Some(_) | None => Arrival::Rtcp,
        };
        let relayed = match arrival {
            Arrival::Rtp => self.relay_rtp(now, at, source, packet),
            Arrival::Rtcp => self.relay_rtcp(now, at, source, packet),
            Arrival::Verbatim => self.relay_verbatim(now, at, source, packet).map(Some),
        };
        relayed.unwrap_or_else(|reason| {
            if reason == DropReason::UnknownPayload {
                self.note_odd(at, packet.data());
            }
            self.dropped(at, reason);
            None
        })
    }
    /// Counts a packet of an end that the shell had to drop: unread, or refused by the system on its way out.
    pub fn count_drop(&self, end: EndId, reason: DropReason) {
        if let Some(at) = self.position(end) {
            self.dropped(at, reason);
        }
    }
    /// Acts on what is due: agents' own deadlines, what is looked for once a second, and the clocks of ends that are fed by
    /// an agent or a player. The packets that the edge makes follow by [`Self::poll_packet`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ticked_at = Some(now);
        for agent in &mut self.agents {
            agent.handle_timeout(now, &mut self.events);
        }
        self.release_lost_keys(now);
        if self.next_sweep.is_none_or(|due| now < due) {
            return;
        }
        self.sweep(now);
        self.next_sweep = None;
        self.plan_sweep(now);
    }
    /// The next thing to tell signalling.
    pub fn poll_output(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let voices = self.ends.iter().filter_map(|end| end.voice.as_ref().map(Voice::due));
        let agents = self.agents.iter().filter_map(AgentEnd::poll_timeout);
        voices.chain(agents).chain(self.keys_due()).chain(self.next_sweep).min()
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
        session.events.reserve(2 * session.ends.len());
        for (from, to, wire) in snapshot.wires {
            session.wire(now, from, to, wire);
        }
        session.plan_sweep(now);
        session
    }

    /// Its ends of every kind.
    fn names(&self) -> impl Iterator<Item = EndId> {
        let ends = self.ends.iter().map(|end| end.id);
        let agents = self.agents.iter().map(|agent| agent.id).chain(self.raws.names());
        ends.chain(agents).chain(self.players.iter().map(|player| player.id))
    }

    pub(crate) fn new_serial(&mut self) -> u32 {
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        serial
    }

    pub(crate) fn position(&self, end: EndId) -> Option<usize> {
        self.ends.iter().position(|each| each.id == end)
    }

    fn add_end(&mut self, now: Instant, id: EndId, spec: EndSpec) {
        if let Some(error) = self.refuses(id) {
            self.events.push_back(Event::BindFailed { end: id, error: error.to_owned() });
            return;
        }
        let serial = self.new_serial();
        self.ends.push(End::new(now, id, serial, spec.bind, spec.counters));
        // So that a packet that locks a latch need not allocate: each has two.
        self.events.reserve(2 * self.ends.len());
    }

    fn set_remote(&mut self, now: Instant, id: EndId, remote: RemoteSpec) {
        let at = self.position(id);
        if let Some(end) = at.and_then(|at| self.ends.get_mut(at)) {
            end.set_remote(now, remote);
            self.plan_sweep(now);
        }
    }

    fn wire(&mut self, now: Instant, from: EndId, to: EndId, spec: WireSpec) {
        let is_end = self.position(to).is_some();
        match self.agents.iter_mut().find(|agent| agent.id == to) {
            Some(agent) => {
                let audio = spec.payloads.first().map(|(number, _)| (*number, spec.coding));
                agent.tune(TrackName::Inbound, audio.as_slice(), spec.keys);
                agent.watch_tones(now, spec.parted.as_ref().is_some_and(|parted| parted.tones));
            }
            None if is_end => {}
            None => return,
        }
        // Two streams in one ear would need a mixer; one that is cut off is faded out.
        self.cut_off(|source, sink| sink == to && source != from);
        let at = self.position(from);
        let twin = if at.is_none() { self.twin_towards(to) } else { None };
        let transcoder = self.transcoder(at, to, &spec);
        self.unwire(|_, sink| sink == to);
        match at.and_then(|at| self.ends.get_mut(at)) {
            Some(end) => {
                end.wire = Some(Wire::new(to, spec).converting(transcoder).watching(now));
                if let Some(voice) = self.ends.iter_mut().find(|end| end.id == to).and_then(|end| end.voice.as_mut()) {
                    voice.hurry(now);
                }
            }
            None => {
                self.feed(now, from, to, &spec);
                let voice = self.ends.iter_mut().find(|end| end.id == to).and_then(|end| end.voice.as_mut());
                if let Some((voice, twin)) = voice.zip(twin) {
                    voice.go_on_from(twin);
                }
            }
        }
    }

    /// Takes away the wires that `cut(from, to)` says.
    fn unwire(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for end in &mut self.ends {
            if end.wire.as_ref().is_some_and(|wire| cut(end.id, wire.to)) {
                end.wire = None;
            }
        }
        let agents = self.agents.iter_mut().map(|agent| (agent.id, &mut agent.wire));
        let players = self.players.iter_mut().map(|player| (player.id, &mut player.wire));
        for (from, wire) in agents.chain(players) {
            if wire.is_some_and(|feed| cut(from, feed.to)) {
                *wire = None;
            }
        }
    }

    fn remove_end(&mut self, now: Instant, id: EndId) {
        self.cut_off(|from, _| from == id);
        self.unwire(|from, to| from == id || to == id);
        self.players.retain(|player| player.id != id);
        self.remove_agent(now, id);
        let Some(at) = self.position(id) else { return };
        let end = self.ends.remove(at);
        if let Some(worker) = &self.shared.worker {
            worker.lost.add(end.reception.lost().saturating_sub(end.lost_told));
        }
        self.events.push_back(Event::EndClosed { end: id, port: end.bind.port() });
    }

    pub(crate) fn dropped(&self, at: usize, reason: DropReason) {
        if let Some(end) = self.ends.get(at) {
            reason.count_in(&end.counters.dropped);
        }
        if let Some(worker) = &self.shared.worker {
            reason.count_in(&worker.dropped);
        }
    }
}
