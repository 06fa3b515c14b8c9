//! Media loop: one thread, one turn at a time. Packets, commands, agents and timers each get a bounded share of a turn.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use slab::Slab;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use trunkgate_media::counters::RELAY_BOUNDS_US;
use trunkgate_media::limits::WORKER_PACKET_BUFFERS;
use trunkgate_media::{
    Counter, DropReason, EndFigures, EndId, EndSpec, MediaCommand, MediaEvent, MediaId, MediaTransmit, PacketBuf,
    PacketPool, Recorded, RecorderSnapshot, RecordingId, Session, WorkerCounters,
};

use super::agents::AgentConnection;
use super::connector::{ConnectResult, ConnectorHandle};
use super::copies::CopySender;
use super::crossing::{CrossingSession, ExpectedSession, ExportRequest, ExportedSlice, UnclaimedAgent};
use super::deadlines::{Deadlines, SessionDeadline};
use super::gathering::AgentEventRate;
use super::port_set::{EndSockets, PortIndex, PortOwner, PortPair, PortSet, SocketEvent};
use super::sockets::AgentSockets;
use crate::transport::unsent;
use trunkgate_delivery::sinks::recordings::{FrameBlock, RecordingsHandle};

/// Maximum number of commands executed per turn, so that packets do not wait for a burst of commands.
const COMMANDS_PER_TURN: usize = 32;
/// Maximum number of connection results handled per turn.
const NEWS_PER_TURN: usize = 32;
/// Maximum number of sessions with expired deadlines handled per turn; further ones are handled in the next turn.
const SESSIONS_PER_TURN: usize = 256;
/// Maximum duration of a turn's wait, so that turns are counted without events.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);
/// Time before a deadline within which it is corrected before the worker sleeps; longer than the interval between two
/// packets of a stream.
const NEAR: Duration = Duration::from_millis(25);
/// Sampling rate of the relay time: one of this many relayed packets is measured.
const PACKETS_PER_SAMPLE: u32 = 64;

/// Command to a worker.
#[derive(Debug)]
pub(super) enum WorkerCommand {
    /// Command for one of the worker's sessions.
    Session(MediaId, MediaCommand),
    /// New end of one of the worker's sessions, with its bound sockets.
    AddEnd(MediaId, EndId, EndSpec, EndSockets),
    /// Sets the recording writer.
    RecordBy(RecordingsHandle),
    /// Another process will hand over the session with this id: its commands wait until it arrives.
    Expect(MediaId),
    /// New end of an expected session; its sockets arrive with the session.
    KeptEnd(MediaId, EndId, EndSpec),
    /// Session that another process has handed over.
    Adopt(Box<CrossingSession>),
    /// No further session arrives: those still expected begin as new ones, with new sockets.
    ExpectNoMore,
    /// Query for all sessions.
    List(SyncSender<Vec<ExpectedSession>>),
    /// Removes sessions and returns them for another process.
    Export(ExportRequest, SyncSender<ExportedSlice>),
    /// Ends the worker.
    Stop,
}

impl WorkerCommand {
    /// Returns the session that the command is for; `None` for a command to the worker.
    fn session(&self) -> Option<MediaId> {
        match self {
            WorkerCommand::Session(id, _) | WorkerCommand::AddEnd(id, ..) | WorkerCommand::KeptEnd(id, ..) => Some(*id),
            WorkerCommand::RecordBy(_)
            | WorkerCommand::Expect(_)
            | WorkerCommand::Adopt(_)
            | WorkerCommand::ExpectNoMore
            | WorkerCommand::List(_)
            | WorkerCommand::Export(..)
            | WorkerCommand::Stop => None,
        }
    }
}

/// Passes a part of a recording to the writer. `open` lists the session's recordings in progress; one that ends is
/// removed.
fn pass_recorded(writer: &RecordingsHandle, open: &mut Vec<RecordingId>, recording: RecordingId, piece: Recorded<'_>) {
    match piece {
        Recorded::Audio { first, samples } => {
            // The refusal is counted by the writer.
            let _ = writer.write(FrameBlock { recording, first, at: Instant::now(), samples: samples.into() });
        }
        Recorded::End { sound, .. } => {
            open.retain(|each| *each != recording);
            writer.end(recording, sound);
        }
    }
}

/// Session of a worker with its sockets.
#[derive(Debug)]
pub(super) struct LiveSession {
    pub(super) id: MediaId,
    pub(super) session: Session,
    /// RTP ends of the session: id, RTP port, sockets.
    pub(super) ends: Vec<(EndId, u16, PortPair)>,
    /// Agents with the states of their connections.
    pub(super) doors: Vec<AgentConnection>,
    /// Recordings in progress.
    pub(super) recordings: Vec<RecordingId>,
    /// Counts that are already in the snapshot of the call, while it is handed over to another process.
    pub(super) figures: Vec<EndFigures>,
    /// True if the session is in the queue of those with agents to be served.
    pub(super) is_to_be_served: bool,
    /// Deadline of the session.
    pub(super) due: SessionDeadline,
}

impl LiveSession {
    /// Forwards the session's events to signalling.
    pub(super) fn tell_all(&mut self, events: &UnboundedSender<(MediaId, MediaEvent)>) {
        while let Some(event) = self.session.poll_output() {
            // The receiver is gone when the process ends.
            let _ = events.send((self.id, event));
        }
    }

    /// Returns the sockets of an end; `None` for an unknown end.
    pub(super) fn pair(&self, end: EndId) -> Option<PortPair> {
        self.ends.iter().find(|(name, _, _)| *name == end).map(|(_, _, pair)| *pair)
    }

    /// Sends a packet through the socket of its end.
    fn send(&self, ports: &mut PortSet, transmit: MediaTransmit, packet: &PacketBuf) {
        let port = self.pair(transmit.via).map(|pair| if transmit.rtcp { pair.rtcp } else { pair.rtp });
        let sent = port.map(|port| ports.send(port, transmit.to, transmit.locked, packet));
        match sent {
            Some(Ok(())) => {}
            Some(Err(error)) if !transmit.rtcp => self.session.count_unsent(transmit.via, unsent(&error)),
            Some(Err(_)) | None => self.session.count_drop(transmit.via, DropReason::SendFailed),
        }
    }
}

/// State of one worker; only the counters are shared.
#[derive(Debug)]
pub(super) struct MediaWorker {
    pub(super) ports: PortSet,
    pub(super) sessions: Slab<LiveSession>,
    /// Session index by id, for commands; a packet finds its session by its socket.
    pub(super) by_id: FxHashMap<MediaId, usize>,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) events: UnboundedSender<(MediaId, MediaEvent)>,
    /// Index of the session for which code is running; it is ended if that code panics.
    pub(super) at_work: Option<usize>,
    /// Handle to the connector thread.
    pub(super) way_in: ConnectorHandle,
    /// Sockets of agents.
    pub(super) sockets: AgentSockets,
    /// Queue of sessions with agents to be served at the end of the turn.
    pub(super) to_serve: VecDeque<usize>,
    pub(super) next_socket: u64,
    /// Bytes held for agents in the whole edge.
    pub(super) held: Arc<Counter>,
    /// Recording writer; `None` until it is set.
    pub(super) recordings: Option<RecordingsHandle>,
    /// Agents of adopted sessions that their calls have not requested yet.
    pub(super) unclaimed: Vec<UnclaimedAgent>,
    /// Commands for sessions that another process will hand over, until they arrive.
    pub(super) expected: FxHashMap<MediaId, Vec<WorkerCommand>>,
    inbox: UnboundedReceiver<ConnectResult>,
    /// Number of socket events of this turn that were processed.
    heard: usize,
    deadlines: Deadlines,
    gathering: AgentEventRate,
    copies: CopySender,
    pool: PacketPool,
    until_sample: u32,
    /// True if the joint read of conference parties' sockets is due in this turn.
    is_time: bool,
}

impl MediaWorker {
    pub(super) fn new(
        ports: PortSet,
        counters: Arc<WorkerCounters>,
        held: Arc<Counter>,
        events: UnboundedSender<(MediaId, MediaEvent)>,
        (way_in, inbox): (ConnectorHandle, UnboundedReceiver<ConnectResult>),
    ) -> MediaWorker {
        MediaWorker {
            ports,
            sessions: Slab::new(),
            by_id: FxHashMap::default(),
            counters,
            events,
            at_work: None,
            way_in,
            sockets: AgentSockets::default(),
            to_serve: VecDeque::new(),
            next_socket: 0,
            held,
            recordings: None,
            expected: FxHashMap::default(),
            unclaimed: Vec::new(),
            inbox,
            heard: 0,
            deadlines: Deadlines::default(),
            gathering: AgentEventRate::new(Instant::now()),
            copies: CopySender::default(),
            pool: PacketPool::new(WORKER_PACKET_BUFFERS),
            until_sample: PACKETS_PER_SAMPLE,
            is_time: false,
        }
    }

    /// Runs turns until it receives the stop command.
    pub(super) fn run(mut self, mut orders: UnboundedReceiver<WorkerCommand>) {
        while !self.turn(&mut orders) {
            self.counters.turns.add_alone(1);
        }
        self.dismiss();
    }

    /// Makes one turn: waits for packets, agents, commands and the next deadline; returns true if the worker must end.
    fn turn(&mut self, orders: &mut UnboundedReceiver<WorkerCommand>) -> bool {
        let now = Instant::now();
        self.correct_deadlines(now);
        let next = [self.deadlines.next(), self.copies.due(), self.sockets.next_alarm()];
        let until = match next.into_iter().flatten().min() {
            Some(next) => next.saturating_duration_since(now).min(CLOCK_INTERVAL),
            None => CLOCK_INTERVAL,
        };
        let waiting = self.agents_wait() || !orders.is_empty() || !self.inbox.is_empty();
        let until = if waiting { Duration::ZERO } else { until };
        let pause = if waiting { Duration::ZERO } else { self.gathering.pause(now) };
        let events = match self.ports.block(pause, until.saturating_sub(pause)) {
            Ok(events) => events,
            Err(error) => {
                tracing::error!(%error, "audio of all calls of a media worker is delayed, because its sockets cannot be waited for");
                std::thread::sleep(Duration::from_millis(100));
                0
            }
        };
        // Commands sent before a remote party could send media are executed before its packets are handled.
        let over = match orders.try_recv() {
            Ok(order) => self.obey_all(Some(order), orders),
            Err(TryRecvError::Disconnected) => true,
            Err(TryRecvError::Empty) => false,
        };
        if !over {
            for _ in 0..NEWS_PER_TURN {
                let Ok(news) = self.inbox.try_recv() else { break };
                self.guarded(|worker, now| worker.reached(now, news));
            }
            self.hear_sockets(events);
            if std::mem::take(&mut self.is_time) {
                let events = self.ports.look().unwrap_or_default();
                self.hear_sockets(events);
            }
            // Received audio is passed to agents before the packets made by the edge are sent.
            if !self.to_serve.is_empty() {
                self.guarded(MediaWorker::serve_all);
            }
            self.guarded(MediaWorker::call_due);
            if !self.unclaimed.is_empty() {
                self.guarded(MediaWorker::drop_unclaimed);
            }
            // A worker that only relays has no cost for agents.
            if self.agents_wait() || self.sockets.next_alarm().is_some() {
                self.guarded(MediaWorker::turn_to_agents);
            }
        }
        over
    }

    /// Executes a command and some further ones; returns true if the worker must end, because of a command or because
    /// the channel is closed.
    fn obey_all(&mut self, first: Option<WorkerCommand>, orders: &mut UnboundedReceiver<WorkerCommand>) -> bool {
        let mut next = first;
        for taken in 1.. {
            match next {
                Some(WorkerCommand::Stop) | None => return true,
                Some(order) => self.guarded(|worker, now| worker.execute(now, order)),
            }
            if taken == COMMANDS_PER_TURN {
                break;
            }
            match orders.try_recv() {
                Ok(order) => next = Some(order),
                // If all senders are gone, the next `recv` reports it.
                Err(_) => break,
            }
        }
        false
    }

    /// Executes a command; a command for a session that another process has not handed over yet waits for it.
    pub(super) fn execute(&mut self, now: Instant, order: WorkerCommand) {
        if let Some(waiting) = order.session().and_then(|id| self.expected.get_mut(&id)) {
            return waiting.push(order);
        }
        match order {
            WorkerCommand::Session(id, command) => self.obey(now, id, command),
            WorkerCommand::AddEnd(id, end, spec, sockets) => self.add_end(now, id, (end, spec), sockets),
            WorkerCommand::KeptEnd(id, end, spec) => self.obey(now, id, MediaCommand::AddEnd { end, spec }),
            WorkerCommand::RecordBy(recordings) => self.recordings = Some(recordings),
            WorkerCommand::Expect(id) => drop(self.expected.insert(id, Vec::new())),
            WorkerCommand::Adopt(session) => self.adopt(now, *session),
            WorkerCommand::ExpectNoMore => self.begin_expected(now),
            // The receiver may have stopped waiting.
            WorkerCommand::List(answer) => drop(answer.send(self.list())),
            WorkerCommand::Export(request, answer) => drop(answer.send(self.export(now, request))),
            WorkerCommand::Stop => {}
        }
    }

    /// Runs a part of a turn; a panic ends only the session that caused it.
    fn guarded(&mut self, part: impl FnOnce(&mut MediaWorker, Instant)) {
        let now = Instant::now();
        self.at_work = None;
        if catch_unwind(AssertUnwindSafe(|| part(self, now))).is_err() {
            match self.at_work.take() {
                Some(at) => self.abandon(at),
                None => self.counters.panics.add(1),
            }
            // A buffer in use was lost by the panic.
            self.pool = PacketPool::new(WORKER_PACKET_BUFFERS);
            self.counters.buffers_in_use.set(0);
        }
    }

    /// Handles all socket events of this turn; an event is skipped if its processing panics.
    fn hear_sockets(&mut self, events: usize) {
        self.heard = 0;
        // Continue after a panic: an edge-triggered event of an agent is not repeated.
        while self.heard < events {
            self.guarded(|worker, now| worker.told(now, events));
        }
    }

    /// Handles the socket events of this turn that were not processed yet.
    fn told(&mut self, now: Instant, events: usize) {
        while self.heard < events {
            let n = self.heard;
            self.heard += 1;
            let (port, owner) = match self.ports.event(n) {
                Some(SocketEvent::Packet(port, owner)) => (port, owner),
                Some(SocketEvent::Agent(token, state)) => {
                    self.gathering.count();
                    if let Some(session) = self.sockets.awake(token, state) {
                        self.serve_later(session);
                    }
                    continue;
                }
                Some(SocketEvent::Time) => {
                    self.is_time = true;
                    continue;
                }
                None => continue,
            };
            self.at_work = Some(owner.session);
            let Some(mut packet) = self.pool.take() else {
                self.ports.discard(port);
                if let Some(live) = self.sessions.get(owner.session) {
                    live.session.count_drop(owner.end, DropReason::NoBuffer);
                }
                continue;
            };
            self.counters.buffers_in_use.set(self.pool.in_use() as u64);
            self.relay(now, port, owner, &mut packet);
            self.pool.put(packet);
        }
        self.at_work = None;
        self.counters.buffers_in_use.set(self.pool.in_use() as u64);
    }

    /// Relays one packet: receive, process in the session, send from the same buffer.
    fn relay(&mut self, now: Instant, port: PortIndex, owner: PortOwner, packet: &mut PacketBuf) {
        let Some(source) = self.take_in(port, owner, packet) else { return };
        let Some(live) = self.sessions.get_mut(owner.session) else { return };
        if let Some(transmit) = live.session.handle_packet(now, owner.end, owner.rtcp, source, packet) {
            live.send(&mut self.ports, transmit, packet);
            while let Some(transmit) = live.session.poll_converted(now, packet) {
                live.send(&mut self.ports, transmit, packet);
            }
            self.until_sample -= 1;
            if self.until_sample == 0 {
                self.until_sample = PACKETS_PER_SAMPLE;
                // Measured from the wake-up, so that the wait behind other packets of the turn counts.
                self.counters.relay.record_duration(&RELAY_BOUNDS_US, now.elapsed());
            }
        }
        self.gather_copies(now, owner.session);
        self.gather_recordings(owner.session);
        self.settle(owner.session);
    }

    /// Receives one packet and returns its source; if there is none, reads the ICMP errors that caused the event.
    fn take_in(&mut self, port: PortIndex, owner: PortOwner, packet: &mut PacketBuf) -> Option<SocketAddr> {
        if let Some((source, dropped)) = self.ports.receive_with_word(port, packet) {
            if let (Some(dropped), Some(live)) = (dropped, self.sessions.get(owner.session)) {
                live.session.set_unread(owner.end, dropped.into());
            }
            return Some(source);
        }
        if let Ok(source) = self.ports.receive(port, packet) {
            return Some(source);
        }
        // Many remote parties have no RTCP port, which is harmless.
        let live = self.sessions.get(owner.session).filter(|_| !owner.rtcp);
        self.ports.unreachable(port, |to, how| {
            if let Some(live) = live {
                live.session.count_unreachable(owner.end, to, how);
            }
        });
        None
    }

    /// Passes the packet copies made by a session to the sender of copies.
    fn gather_copies(&mut self, now: Instant, at: usize) {
        let (copies, dropped) = (&mut self.copies, &self.counters.agent_frames_dropped);
        if let Some(live) = self.sessions.get_mut(at) {
            live.session.drain_copies(|to, packet| copies.push(now, to, packet, dropped));
        }
    }

    /// Passes recorded frames of a session to the writer; never blocks. Frames that the writer refuses leave a gap.
    pub(super) fn gather_recordings(&mut self, at: usize) {
        let Some(live) = self.sessions.get_mut(at).filter(|live| !live.recordings.is_empty()) else { return };
        let LiveSession { session, recordings: open, .. } = live;
        let Some(writer) = &self.recordings else { return };
        session.drain_recordings(|recording, piece| pass_recorded(writer, open, recording, piece));
    }

    /// Passes all recorded frames of a session to the writer, and returns its recorders for another process.
    pub(super) fn suspend_recorders(&mut self, now: Instant, at: usize) -> Vec<RecorderSnapshot> {
        let Some(live) = self.sessions.get_mut(at).filter(|live| !live.recordings.is_empty()) else {
            return Vec::new();
        };
        let LiveSession { session, recordings: open, .. } = live;
        let Some(writer) = &self.recordings else { return Vec::new() };
        session.suspend_recorders(now, |recording, piece| pass_recorded(writer, open, recording, piece))
    }

    /// Processes the expired deadlines of sessions: silence, agents' deadlines, and packets that the edge generates.
    fn call_due(&mut self, now: Instant) {
        self.copies.send_due(now, &self.counters.agent_frames_dropped);
        for _ in 0..SESSIONS_PER_TURN {
            let Some((time, at, id)) = self.deadlines.take(now) else { break };
            let live = self.sessions.get_mut(at).filter(|live| live.id == id);
            if live.is_some_and(|live| live.due.meet(time)) {
                self.at_work = Some(at);
                self.call(now, at);
            }
        }
        self.at_work = None;
    }

    /// Corrects near deadlines. Each received packet postpones the deadline of a listener's frame, and a wake-up for
    /// the obsolete one would cost more than the frame.
    fn correct_deadlines(&mut self, now: Instant) {
        for _ in 0..SESSIONS_PER_TURN {
            let sessions = &mut self.sessions;
            let corrected = self.deadlines.correct(now + NEAR, move |at, id| {
                sessions.get_mut(at).filter(|live| live.id == id).map(|live| &mut live.due)
            });
            if !corrected {
                break;
            }
        }
    }

    fn call(&mut self, now: Instant, at: usize) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        live.session.handle_timeout(now);
        while let Some(end) = live.session.poll_resting() {
            if let Some(pair) = live.pair(end) {
                self.ports.loosen(pair);
            }
        }
        while let Some(end) = live.session.poll_lossy() {
            if let Some(pair) = live.pair(end) {
                self.ports.ask(pair.rtp);
            }
        }
        self.send_made(at);
        self.gather_copies(now, at);
        self.gather_recordings(at);
        self.read_when_wanted(at);
        self.settle(at);
    }

    /// Sends the packets that a session has generated.
    fn send_made(&mut self, at: usize) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        // Cannot fail: all buffers are free between two turns.
        if let Some(mut packet) = self.pool.take() {
            while let Some(transmit) = live.session.poll_packet(&mut packet) {
                live.send(&mut self.ports, transmit, &packet);
            }
            self.pool.put(packet);
        }
    }

    /// Sends the last RTCP reports of an end, or of all ends, before their sockets are closed.
    pub(super) fn say_goodbye(&mut self, now: Instant, at: usize, end: Option<EndId>) {
        if let Some(live) = self.sessions.get_mut(at) {
            live.session.say_goodbye(now, end);
        }
        self.send_made(at);
    }

    /// Completes a change of a session: forwards its events, queues its agents to be served, and schedules its
    /// deadline.
    pub(super) fn settle(&mut self, at: usize) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        live.tell_all(&self.events);
        let has_agents = !live.doors.is_empty();
        self.deadlines.plan(at, live.id, &mut live.due, live.session.poll_timeout());
        if has_agents {
            self.serve_later(at);
        }
    }

    fn serve_later(&mut self, at: usize) {
        if let Some(live) = self.sessions.get_mut(at).filter(|live| !live.is_to_be_served) {
            live.is_to_be_served = true;
            self.to_serve.push_back(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use trunkgate_media::conference::{RingFrame, SamplingRate, ring};
    use trunkgate_media::{AudioListenerSpec, EndCounters, MixerPortSpec, PayloadCodec, RemoteSpec, TapSpec, WireSpec};

    use tokio::sync::mpsc::unbounded_channel;

    use super::super::connector::AgentConnector;
    use super::super::tests::free_pair;
    use super::*;
    use crate::own_sockets::OwnSockets;
    use trunkgate_testing::until::until;

    fn bound(worker: &mut MediaWorker, id: MediaId, end: EndId) -> (SocketAddr, Arc<EndCounters>) {
        loop {
            let at = free_pair();
            let counters = Arc::new(EndCounters::default());
            let spec = EndSpec { bind: at, counters: counters.clone() };
            worker.obey(Instant::now(), id, MediaCommand::AddEnd { end, spec });
            if worker.sessions.iter().any(|(_, live)| live.ends.iter().any(|(name, _, _)| *name == end)) {
                return (at, counters);
            }
        }
    }

    fn worker() -> (MediaWorker, UnboundedReceiver<(MediaId, MediaEvent)>) {
        let (sender, events) = unbounded_channel();
        let ports = PortSet::new().unwrap();
        let (inbox, news) = unbounded_channel();
        // The tests connect no agents.
        let way_in = AgentConnector::start(OwnSockets::none()).unwrap().way_in(inbox, ports.bell());
        (MediaWorker::new(ports, Arc::default(), Arc::default(), sender, (way_in, news)), events)
    }

    #[test]
    fn a_packet_without_a_buffer_is_read_and_counted() {
        let (mut worker, _events) = worker();
        worker.pool = PacketPool::new(0);
        worker.obey(
            Instant::now(),
            MediaId(0),
            MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None },
        );
        let (at, counters) = bound(&mut worker, MediaId(0), EndId(0));
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", at).unwrap();
        let events = worker.ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap();
        worker.told(Instant::now(), events);
        assert_eq!(counters.dropped.drop_count(DropReason::NoBuffer), 1);
        assert_eq!(worker.counters.dropped[DropReason::NoBuffer as usize].get(), 1);
        assert_eq!(worker.ports.block(Duration::ZERO, Duration::ZERO).unwrap(), 0);
    }

    /// Adds a session that relays to port 0, so that no datagram is sent.
    fn relaying(worker: &mut MediaWorker, id: MediaId) -> (SocketAddr, Arc<EndCounters>) {
        worker.obey(Instant::now(), id, MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
        let (at, _) = bound(worker, id, EndId(0));
        let (_, counters) = bound(worker, id, EndId(1));
        for end in [EndId(0), EndId(1)] {
            let remote = RemoteSpec {
                rtp: Some("127.0.0.1:0".parse().unwrap()),
                rtcp: None,
                // As for a private SDP address with another signalling address: packets of any port are accepted.
                expected: vec![at.ip(), [192, 0, 2, 1].into()],
                expected_networks: vec![],
                may_send: true,
                may_receive: true,
                relatch: true,
                watch_idle: false,
                ..RemoteSpec::default()
            };
            worker.obey(Instant::now(), id, MediaCommand::SetRemote { end, remote });
        }
        let wire = WireSpec { payloads: vec![(0, 0)], clocks: vec![], ..WireSpec::default() };
        worker.obey(Instant::now(), id, MediaCommand::Wire { from: EndId(0), to: EndId(1), wire });
        (at, counters)
    }

    #[test]
    fn what_the_system_refuses_is_counted() {
        let (mut worker, _events) = worker();
        let (at, counters) = relaying(&mut worker, MediaId(0));
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], at).unwrap();
        let events = worker.ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap();
        worker.told(Instant::now(), events);
        assert_eq!(counters.dropped.drop_count(DropReason::SendFailed), 1);
        assert_eq!(worker.counters.dropped[DropReason::SendFailed as usize].get(), 1);
    }

    #[test]
    fn what_was_ordered_before_a_packet_came_is_done_before_it_is_relayed() {
        // The order in which the loop meets the two is random, so repeat often enough.
        for _ in 0..16 {
            let (mut worker, _events) = worker();
            let (counters, bell) = (worker.counters.clone(), worker.ports.bell());
            worker.obey(
                Instant::now(),
                MediaId(0),
                MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None },
            );
            let (at, heard) = bound(&mut worker, MediaId(0), EndId(0));
            bound(&mut worker, MediaId(0), EndId(1));
            let (sender, orders) = unbounded_channel();
            let far = UdpSocket::bind("127.0.0.1:0").unwrap();
            let to = far.local_addr().unwrap();
            let this_thread = std::path::Path::new("/proc").join(std::fs::read_link("/proc/thread-self").unwrap());
            let speak_and_wait = std::thread::spawn(move || {
                // proc(5): the state follows the name.
                let state = || std::fs::read_to_string(this_thread.join("stat")).unwrap();
                until("the loop sleeps", || state().rsplit_once(") ").unwrap().1.starts_with('S').then_some(()));
                let order = |command| sender.send(WorkerCommand::Session(MediaId(0), command)).unwrap();
                for end in [EndId(0), EndId(1)] {
                    let remote = RemoteSpec {
                        rtp: Some(to),
                        rtcp: None,
                        expected: vec![at.ip()],
                        expected_networks: vec![],
                        may_send: true,
                        may_receive: true,
                        relatch: true,
                        watch_idle: false,
                        ..RemoteSpec::default()
                    };
                    order(MediaCommand::SetRemote { end, remote });
                }
                let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
                order(MediaCommand::Wire { from: EndId(0), to: EndId(1), wire });
                far.send_to(&[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], at).unwrap();
                let dropped = || counters.dropped.iter().map(|reason| reason.get()).sum::<u64>();
                until("it has come", || (heard.rx_packets.get() + dropped() > 0).then_some(()));
                sender.send(WorkerCommand::Stop).unwrap();
                bell.ring();
                let dropped: Vec<u64> = counters.dropped.iter().map(|reason| reason.get()).collect();
                (heard.rx_packets.get(), dropped)
            });
            worker.run(orders);
            let (heard, dropped) = speak_and_wait.join().unwrap();
            assert_eq!((heard, dropped.iter().sum::<u64>()), (1, 0), "{dropped:?}");
        }
    }

    #[test]
    fn the_bell_wakes_a_worker_and_a_packet_needs_none() {
        let (mut worker, _events) = worker();
        worker.obey(
            Instant::now(),
            MediaId(0),
            MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None },
        );
        let (at, counters) = bound(&mut worker, MediaId(0), EndId(0));
        let bell = worker.ports.bell();
        assert_eq!(worker.ports.block(Duration::ZERO, Duration::ZERO).unwrap(), 0);
        bell.ring();
        bell.ring();
        assert_eq!(worker.ports.block(Duration::ZERO, Duration::MAX).unwrap(), 1);
        // The wake-up is reported once, and belongs to no socket.
        assert!(worker.ports.event(0).is_none());
        assert_eq!(worker.ports.block(Duration::ZERO, Duration::ZERO).unwrap(), 0);
        let (_sender, mut orders) = unbounded_channel();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", at).unwrap();
        assert!(!worker.turn(&mut orders));
        assert_eq!(counters.dropped.drop_count(DropReason::UnexpectedSource), 1);
    }

    #[test]
    fn what_a_party_of_a_conference_says_is_read_before_the_tick() {
        let (mut worker, _events) = worker();
        let (id, end, seat) = (MediaId(0), EndId(0), EndId(20));
        worker.obey(Instant::now(), id, MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
        let (at, _) = bound(&mut worker, id, end);
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        let rtp = far.local_addr().unwrap();
        let remote = RemoteSpec {
            rtp: Some(rtp),
            expected: vec![rtp.ip()],
            may_send: true,
            may_receive: true,
            relatch: true,
            ..RemoteSpec::default()
        };
        worker.obey(Instant::now(), id, MediaCommand::SetRemote { end, remote: remote.clone() });
        let ((to_mixer, mut from), (_to, from_mixer)) = (ring(SamplingRate::Narrow), ring(SamplingRate::Narrow));
        let spec = MixerPortSpec::new(to_mixer, from_mixer, Instant::now()).unwrap();
        worker.obey(Instant::now(), id, MediaCommand::AddListener { end: seat, spec: AudioListenerSpec::Seat(spec) });
        worker.obey(
            Instant::now(),
            id,
            MediaCommand::Tap { of: end, listener: seat, audio: TapSpec::both(0, PayloadCodec::Pcmu) },
        );
        let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
        worker.obey(Instant::now(), id, MediaCommand::Wire { from: seat, to: end, wire });
        let mut packet = vec![0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
        packet.resize(12 + 160, 0x12);
        let (_sender, mut orders) = unbounded_channel();
        let mut come = |worker: &mut MediaWorker, packet: &mut [u8]| {
            packet[3] += 1;
            let timestamp = 160 * u32::from(packet[3]);
            packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
            far.send_to(packet, at).unwrap();
            assert!(worker.ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap() > 0);
            let told = worker.ports.event(0).unwrap();
            // An unread packet causes another event.
            let heard = (0..50).any(|_| !worker.turn(&mut orders) && from.pop(&mut [0; 160]) == Some(RingFrame::Audio));
            assert!(heard, "{told:?}");
            // The worker uses the system's clock, and packets faster than real time are not accepted.
            std::thread::sleep(Duration::from_millis(20));
            told
        };
        // Until its latch is locked, packets of any source are read at once.
        assert!(matches!(come(&mut worker, &mut packet), SocketEvent::Packet(..)));
        while !matches!(come(&mut worker, &mut packet), SocketEvent::Time) {}
        // The remote party moves: packets of any source are accepted for a while.
        let remote = RemoteSpec { rtp: Some(SocketAddr::new(rtp.ip(), 9)), ..remote };
        worker.obey(Instant::now(), id, MediaCommand::SetRemote { end, remote });
        far.send_to(&packet, at).unwrap();
        assert!(worker.ports.block(Duration::ZERO, Duration::from_secs(9)).unwrap() > 0);
        assert!(matches!(worker.ports.event(0), Some(SocketEvent::Packet(..))));
    }

    #[test]
    fn what_else_was_told_is_heard_after_a_panic() {
        let (mut worker, _events) = worker();
        for id in [MediaId(0), MediaId(1)] {
            let (at, _) = relaying(&mut worker, id);
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], at).unwrap();
        }
        // The sampling counter underflows after the packet was sent, which panics.
        worker.until_sample = 0;
        let (_sender, mut orders) = unbounded_channel();
        assert!(!worker.turn(&mut orders));
        assert_eq!((worker.counters.panics.get(), worker.sessions.len()), (2, 0));
    }

    #[test]
    fn a_panic_ends_its_session_only() {
        let (mut worker, mut events) = worker();
        for id in [MediaId(0), MediaId(1)] {
            worker.obey(
                Instant::now(),
                id,
                MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None },
            );
        }
        let (at, _) = bound(&mut worker, MediaId(0), EndId(4));
        while events.try_recv().is_ok() {}
        let broken = worker.by_id[&MediaId(0)];
        worker.guarded(|worker, _| {
            worker.at_work = Some(broken);
            panic!("on purpose");
        });
        assert_eq!(events.try_recv(), Ok((MediaId(0), MediaEvent::EndClosed { end: EndId(4), port: at.port() })));
        assert_eq!(events.try_recv(), Ok((MediaId(0), MediaEvent::Closed)));
        assert_eq!((worker.sessions.len(), worker.ports.len()), (1, 0));
        assert_eq!((worker.counters.panics.get(), worker.counters.ends.get()), (1, 0));
        assert!(worker.by_id.contains_key(&MediaId(1)));
    }
}
