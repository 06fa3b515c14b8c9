//! Signalling loop: waits for events, reads all available messages, passes inputs to the gateway one at a time in order
//! of priority, and executes the outputs. The loop never blocks.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver};
use tokio::sync::watch;
use trunkgate_call::gateway::{CallRestoration, GatewaySnapshot};
use trunkgate_call::intake::{DropReason, IntakeStep};
use trunkgate_call::{
    AppAnswer, CallKey, CallSnapshot, EdgeEvent, EdgeEventKind, Gateway, GatewayInput, GatewayOutput, QueryId,
    SipIntake,
};
use trunkgate_conference::NodeEvent;
use trunkgate_media::{MediaEvent, MediaId, SendFailure};
use trunkgate_route::RoutingTable;
use trunkgate_route::locate::NameFault;
use trunkgate_sip::{Flow, SipTransmit};

use crate::apps::{self, AppCommand};
use crate::call_state::feed::StateFeed;
use crate::conferences;
use crate::handle::{EdgeLoad, EdgePhase, EdgeState, FrozenCalls, SignallingCommand};
use crate::handover::HandedCalls;
use crate::names::NameQuestion;
use crate::recording_desk::RecordingInterface;
use crate::transport::{ClockMoment, TransportEvent, Transports};
use crate::worker::Workers;
use trunkgate_delivery::sinks::hep;
use trunkgate_delivery::sinks::otel;
pub use trunkgate_delivery::sinks::records::{self, ReportOrder};
pub use trunkgate_delivery::sinks::sms::held::{Desk, Untold};
use trunkgate_system::clock;
use trunkgate_system::clock::{ClockMonitor, PauseMonitor};
use trunkgate_system::limits;
use trunkgate_system::log;

/// Twilio's error code for a document that could not be fetched (11200), used if the query could not be queued.
const APP_UNSERVED: u16 = 11_200;

/// State of the signalling loop.
pub struct SignallingLoop {
    /// Call core.
    pub gateway: Gateway,
    /// SIP sockets.
    pub transports: Transports,
    /// Media workers.
    pub workers: Workers,
    /// Events of the media workers.
    pub media: UnboundedReceiver<(MediaId, MediaEvent)>,
    /// Commands from other threads.
    pub orders: Receiver<SignallingCommand>,
    /// Queries to the name resolution.
    pub names: Sender<NameQuestion>,
    /// Channels to the threads that query applications and send callbacks.
    pub apps: apps::AppSender,
    /// Commands to the record writer.
    pub reports: Sender<ReportOrder>,
    /// Handle to the thread for text messages, with the SIP messages that wait until a text is stored.
    pub texts: Desk,
    /// Handle to the HEP sender.
    pub hep: hep::HepSender,
    /// Handle to the trace sender.
    pub otel: otel::OtelSender,
    /// Routing table for the tasks that accept connections.
    pub table: watch::Sender<Arc<RoutingTable>>,
    /// Publisher of the load, for tasks that wait for the end of the last call.
    pub load: watch::Sender<EdgeLoad>,
    /// State shared by all threads.
    pub shared: Arc<EdgeState>,
    /// Flows on which a send failed, with the reason; passed to the gateway in the same turn.
    pub failed: VecDeque<(Flow, Option<SendFailure>)>,
    /// Answers to name queries that exceeded the queue: they count as unresolved in the same turn.
    pub unasked: VecDeque<GatewayInput>,
    /// Messages to be sent at the end of the turn.
    pub leaving: VecDeque<SipTransmit>,
    /// Handle to the conference mixing thread.
    pub conferences: conferences::MixerHandle,
    /// Interface to the recording writer.
    pub recordings: RecordingInterface,
    /// Received SIP messages that wait to be processed by the gateway.
    pub intake: SipIntake<TransportEvent>,
    /// Clock for the gateway's dates, and detector of pauses of the process.
    pub clock: ClockMonitor,
    /// Writer of the state of calls to a file; `None` unless `[edge] state` is `"file"`.
    pub state: Option<StateFeed>,
    /// Sender by which the loop hands the calls over when it ends; `None` if it stops instead.
    pub successor: Option<SyncSender<FrozenCalls>>,
}

/// Event that ended the wait of the signalling loop.
enum WakeEvent {
    Arrival(Option<TransportEvent>),
    Media(MediaId, MediaEvent),
    Conference(NodeEvent),
    Order(Option<SignallingCommand>),
    Deadline,
    /// The text of a message was stored, so its call's messages may be sent.
    TextKept,
    /// Messages are in the intake queue already, so the loop must not wait.
    Work,
}

impl SignallingLoop {
    /// Runs until the loop receives a command to stop or to hand over; then sends the queued messages, and stops the
    /// workers or hands them over with the calls.
    pub async fn run(mut self) {
        // Restored calls have outputs before the first event, and count as live.
        self.drain(Instant::now());
        self.tell_load();
        // The start of the edge is no pause.
        self.clock.pauses = PauseMonitor::new(Instant::now());
        let mut due = self.due();
        loop {
            let wake = self.wait(due).await;
            match self.turn(wake) {
                ControlFlow::Continue(next) => due = next,
                ControlFlow::Break(()) => break,
            }
        }
        let calls = self.successor.is_some().then(|| self.snapshot(Instant::now()));
        if calls.is_none() {
            self.guarded(Instant::now(), Gateway::tell_ended);
        }
        self.drain(Instant::now());
        while let Some(messages) = self.texts.held.released(Instant::now(), u64::MAX) {
            self.leaving.extend(messages);
        }
        self.send_leaving();
        if let Some(state) = self.state.take() {
            state.end(calls.is_some());
        }
        let (Some(successor), Some(calls)) = (self.successor.take(), calls) else {
            self.transports.finish().await;
            return self.workers.stop();
        };
        let waiting = self.take_waiting();
        let (connections, sockets) = self.transports.freeze(waiting).await.into_parts();
        let (sessions, streams) = (self.workers.list(), self.gateway.open_streams());
        let is_draining = *self.shared.phase.borrow() == EdgePhase::Draining;
        let handed = HandedCalls { calls, connections, sessions, streams, is_draining };
        let (workers, mixers) = (self.workers, self.conferences);
        mixers.hand_over();
        let frozen = FrozenCalls { handed, connections: sockets, workers, mixers };
        if let Err(unsent) = successor.send(frozen) {
            unsent.0.workers.stop();
        }
    }

    /// Returns the gateway's next deadline.
    fn due(&self) -> Option<Instant> {
        self.gateway.poll_timeout().map(|(at, _)| at)
    }

    /// Waits for an event or the gateway's deadline.
    async fn wait(&mut self, due: Option<Instant>) -> WakeEvent {
        if !self.intake.is_empty() {
            self.transports.breathe().await;
            return WakeEvent::Work;
        }
        let state = self.state.as_ref().and_then(|state| state.poll_timeout(&self.gateway));
        let own = self.intake.poll_timeout().into_iter().chain(self.texts.held.poll_timeout()).chain(state);
        let deadline = due.into_iter().chain(own).chain([self.clock.pauses.next()]).min();
        tokio::select! {
            arrival = self.transports.ready() => WakeEvent::Arrival(arrival),
            Some((id, event)) = self.media.recv() => WakeEvent::Media(id, event),
            Some(event) = self.conferences.next() => WakeEvent::Conference(event),
            order = self.orders.recv() => WakeEvent::Order(order),
            Ok(()) = self.texts.kept.changed() => WakeEvent::TextKept,
            () = sleep_until(deadline.map(tokio::time::Instant::from_std)) => WakeEvent::Deadline,
        }
    }

    /// Makes one turn: handles the event, then a bounded batch of further available ones. Returns the gateway's next
    /// deadline.
    fn turn(&mut self, wake: WakeEvent) -> ControlFlow<(), Option<Instant>> {
        let now = Instant::now();
        self.look_at_clocks(now);
        if let Some(news) = self.recordings.news() {
            self.input(now, news);
        }
        let mut go_on = true;
        if let Some(state) = self.state.as_mut().filter(|_| !matches!(wake, WakeEvent::Deadline)) {
            state.handled();
        }
        match wake {
            WakeEvent::Arrival(Some(arrival)) => self.arrived(now, arrival),
            WakeEvent::Media(id, event) => self.input(now, GatewayInput::Media { id, event }),
            WakeEvent::Conference(event) => self.input(now, GatewayInput::Conference(event)),
            WakeEvent::Order(order) => go_on &= self.order(now, order),
            WakeEvent::Arrival(None) | WakeEvent::Deadline | WakeEvent::TextKept | WakeEvent::Work => {}
        }
        self.take_in();
        for _ in 0..limits::BATCH_ITEMS {
            let Ok((id, event)) = self.media.try_recv() else { break };
            self.input(now, GatewayInput::Media { id, event });
        }
        for _ in 0..limits::BATCH_ITEMS {
            let Some(event) = self.conferences.try_next() else { break };
            self.input(now, GatewayInput::Conference(event));
        }
        for _ in 0..limits::TURN_ORDERS {
            match self.orders.try_recv() {
                Ok(order) => go_on &= self.order(now, Some(order)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return ControlFlow::Break(()),
            }
        }
        self.release();
        if self.successor.is_none() {
            // A successor handles them: a request that is handled in the last turn would get no final response.
            self.serve();
        }
        let now = Instant::now();
        // The process may have been stopped within this turn.
        self.look_at_clocks(now);
        let mut due = self.due();
        if due.is_some_and(|at| at <= now) {
            self.guarded(now, |gateway| gateway.handle_timeout(now));
            self.drain(now);
            due = self.due();
        }
        if self.intake.is_empty() {
            self.transports.close_answered(|flows| self.gateway.are_in_use(flows));
        }
        self.intake.judge(now);
        self.write_state(now);
        self.tell_load();
        if go_on { ControlFlow::Continue(due) } else { ControlFlow::Break(()) }
    }

    /// Queues the due changes of calls for the state file.
    fn write_state(&mut self, now: Instant) {
        let Some(state) = &mut self.state else { return };
        state.write(now, &mut self.gateway, |gateway, key| guarded_snapshot(gateway, now, key));
    }

    /// Notifies the gateway if the process did not run for a while, and if the wall clock was set, which it checks at
    /// most once per second.
    fn look_at_clocks(&mut self, now: Instant) {
        if let Some(pause) = self.clock.pauses.look(now) {
            tracing::warn!(
                "the process did not run for {:.1} s: remote parties get their time again",
                pause.as_secs_f64()
            );
            self.input(now, GatewayInput::Paused(pause));
            self.recordings.note_stop(self.gateway.running_recordings(), pause);
        }
        let Some(set) = self.clock.look(now, clock::wall) else { return };
        tracing::warn!("the wall clock was set {}: call records, day limits and schedules follow it", set.step);
        self.input(now, GatewayInput::Clock(set.date));
    }

    /// Moves messages from the sockets into the intake queue as far as it has room, because kernel buffers know no
    /// priority.
    fn take_in(&mut self) {
        let now = ClockMoment::now();
        for _ in 0..limits::INTAKE_ITEMS {
            let next = if self.intake.has_room() { self.transports.next(now) } else { None };
            let Some(arrival) = next else { break };
            self.arrived(now.at, arrival);
        }
    }

    fn arrived(&mut self, now: Instant, arrival: TransportEvent) {
        match arrival {
            TransportEvent::Received { flow, bytes, came } => {
                let mut sorted = None;
                self.guarded(now, |gateway| sorted = gateway.sort(now, flow, bytes));
                if let Some(message) = &sorted {
                    self.transports.look_for_alias(&flow, message);
                    if message.lacks_empty_line() && message.defect().is_none() {
                        self.shared.sockets.no_empty_line.add(1);
                    }
                }
                let offered = sorted.map(|message| match self.gateway.is_urgent(now, &flow, &message) {
                    true => self.intake.offer_first(now, came, flow, message),
                    false => {
                        let origin = self.gateway.origin(&flow, &message);
                        self.intake.offer(now, came, origin, flow, message)
                    }
                });
                match offered {
                    Some(Err(reason)) => self.dropped(reason),
                    Some(Ok(())) => {}
                    None => self.drain(now),
                }
            }
            TransportEvent::Accepted(connection) => self.transports.accepted(connection),
            // Comes after the end of the loop only.
            TransportEvent::Frozen(_) => {}
            TransportEvent::Crowded { source } => {
                self.transports.make_room(source, |flows| self.gateway.are_in_use(flows));
            }
            TransportEvent::Identified { connection, remote, identity } => {
                self.transports.identified(connection, &identity);
                self.input(now, GatewayInput::Identified { connection, remote, identity });
            }
            TransportEvent::Broken { .. } | TransportEvent::Unreachable { .. } | TransportEvent::Closed { .. } => {
                self.intake.tell(arrival)
            }
        }
    }

    /// Passes messages of the intake queue to the gateway, for no longer than the sockets may remain unread.
    fn serve(&mut self) {
        let began = Instant::now();
        let mut now = began;
        for _ in 0..limits::TURN_ITEMS {
            match self.intake.next(now) {
                Some(IntakeStep::Message(flow, message)) => self.input(now, GatewayInput::Message { flow, message }),
                Some(IntakeStep::TurnAway(flow, message)) => self.input(now, GatewayInput::TurnAway { flow, message }),
                Some(IntakeStep::News(news)) => self.news(now, news),
                Some(IntakeStep::Dropped(reason)) => self.dropped(reason),
                None => return,
            }
            now = Instant::now();
            if now.saturating_duration_since(began) > Duration::from_micros(limits::TURN_MICROSECONDS) {
                return;
            }
        }
    }

    fn news(&mut self, now: Instant, news: TransportEvent) {
        match news {
            TransportEvent::Broken { flow, bytes, what } => {
                self.input(now, GatewayInput::Broken { flow, bytes, what });
                self.transports.close_later(flow);
            }
            TransportEvent::Unreachable { flow, quoted } => self.input(now, GatewayInput::Unreachable { flow, quoted }),
            TransportEvent::Closed { flow, made_for, cause, was_up } => {
                let besides = self.transports.closed(&flow);
                self.input(now, GatewayInput::Disconnected { flow, made_for, cause, was_up });
                if let Some((remote, trunk)) = besides {
                    // Our requests on the reused connection were addressed to this remote address.
                    let flow = Flow { remote, ..flow };
                    self.input(now, GatewayInput::Disconnected { flow, made_for: Some(trunk), cause: None, was_up });
                }
            }
            TransportEvent::Received { .. }
            | TransportEvent::Accepted(_)
            | TransportEvent::Frozen(_)
            | TransportEvent::Crowded { .. }
            | TransportEvent::Identified { .. } => {
                self.arrived(now, news);
            }
        }
    }

    /// Removes the received messages that the gateway has not processed, and returns them in the order in which they
    /// would be.
    fn take_waiting(&mut self) -> Vec<(Flow, Bytes)> {
        let mut waiting = Vec::new();
        while let Some(step) = self.intake.next(Instant::now()) {
            match step {
                IntakeStep::Message(flow, message) | IntakeStep::TurnAway(flow, message) => {
                    waiting.push((flow, message.as_bytes().clone()));
                }
                IntakeStep::News(TransportEvent::Broken { flow, .. }) => self.transports.close_later(flow),
                IntakeStep::News(TransportEvent::Closed { flow, .. }) => drop(self.transports.closed(&flow)),
                IntakeStep::News(_) => {}
                IntakeStep::Dropped(reason) => self.dropped(reason),
            }
        }
        waiting
    }

    fn dropped(&self, reason: DropReason) {
        let counters = &self.shared.sockets;
        match reason {
            DropReason::Overloaded => counters.overloaded.add(1),
            DropReason::QueueFull => counters.queue_full.add(1),
            DropReason::Repeated => counters.repeated.add(1),
        }
    }

    /// Publishes the load, and logs the start of an overload.
    fn tell_load(&mut self) {
        let load = EdgeLoad {
            live: self.gateway.live_calls(),
            held: self.gateway.held_calls() + self.gateway.leaving_registrations(),
            overloaded: self.intake.is_overloaded(),
        };
        let before = *self.load.borrow();
        if load == before {
            return;
        }
        self.load.send_replace(load);
        match (before.overloaded, load.overloaded) {
            (false, true) => tracing::warn!("overloaded: new calls that would wait too long get 503"),
            (true, false) => tracing::info!("no longer overloaded"),
            (true, true) | (false, false) => {}
        }
    }

    fn order(&mut self, now: Instant, order: Option<SignallingCommand>) -> bool {
        match order {
            Some(SignallingCommand::Ask(question)) => {
                let asked = catch_unwind(AssertUnwindSafe(|| question(&self.gateway, now)));
                drop(asked);
            }
            Some(SignallingCommand::Change(change)) => {
                self.guarded(now, |gateway| change.apply(gateway, now));
                self.drain(now);
            }
            Some(SignallingCommand::Input(input)) => {
                if let GatewayInput::Configure(settings) = &input {
                    self.table.send_replace(Arc::clone(&settings.table));
                }
                self.input(now, input);
            }
            Some(SignallingCommand::Adopt(sessions, mixes, adopted)) => {
                self.conferences.resume(mixes);
                self.workers.adopt(sessions);
                // The thread that receives the sessions has ended if it does not wait.
                let _ = adopted.send(());
            }
            Some(SignallingCommand::AdoptNoMore) => {
                self.conferences.resume_no_more();
                self.workers.expect_no_more();
            }
            Some(SignallingCommand::HandOver(successor)) => {
                self.successor = Some(successor);
                return false;
            }
            Some(SignallingCommand::Stop) | None => return false,
        }
        true
    }

    fn input(&mut self, now: Instant, input: GatewayInput) {
        self.guarded(now, |gateway| gateway.handle_input(now, input));
        self.drain(now);
    }

    fn guarded(&mut self, now: Instant, act: impl FnOnce(&mut Gateway)) {
        let _ = guarded(&mut self.gateway, now, act);
    }

    /// Returns the snapshots of the answered calls for a successor.
    fn snapshot(&mut self, now: Instant) -> GatewaySnapshot {
        let gateway = &mut self.gateway;
        let written = gateway.call_keys().into_iter().filter_map(|key| guarded_snapshot(gateway, now, key));
        GatewaySnapshot { calls: written.collect(), ..GatewaySnapshot::without_calls(gateway, now) }
    }

    /// Executes the gateway's outputs. Messages are sent last, because a remote party may send media at once after a
    /// response, and its media worker must be prepared.
    fn drain(&mut self, now: Instant) {
        loop {
            let text = self.carry_out_all(now);
            self.workers.wake();
            match text {
                Some(number) => self.texts.held.hold(now, number, self.leaving.drain(..).collect()),
                None => self.send_leaving(),
            }
            let Some((flow, why)) = self.failed.pop_front() else { return };
            self.guarded(now, |gateway| gateway.handle_input(now, GatewayInput::TransportFailed { flow, why }));
        }
    }

    /// Executes all outputs of the gateway, and passes resulting inputs back at once; returns the last result of
    /// [`SignallingLoop::carry_out`].
    fn carry_out_all(&mut self, now: Instant) -> Option<u64> {
        let mut text = None;
        loop {
            while let Ok(Some(output)) = catch_unwind(AssertUnwindSafe(|| self.gateway.poll_output())) {
                text = self.carry_out(output).or(text);
            }
            let Some(input) = self.unasked.pop_front() else { return text };
            self.guarded(now, |gateway| gateway.handle_input(now, input));
        }
    }

    fn send_leaving(&mut self) {
        while let Some(transmit) = self.leaving.pop_front() {
            let flow = transmit.flow;
            let trunk = self.gateway.trunk_of(transmit.what.party);
            if let Err(why) = self.transports.send(transmit, &trunk) {
                self.failed.push_back((flow, why));
            }
        }
    }

    /// Sends the messages that wait for a text which is now stored, or took too long to store.
    fn release(&mut self) {
        let (now, kept) = (Instant::now(), *self.texts.kept.borrow_and_update());
        while let Some(messages) = self.texts.held.released(now, kept) {
            self.leaving.extend(messages);
            self.send_leaving();
            self.drain(now);
        }
    }

    /// Executes an output of the gateway. Returns the number of a text message that is being stored: the SIP messages
    /// of its call must wait for it.
    fn carry_out(&mut self, output: GatewayOutput) -> Option<u64> {
        match output {
            GatewayOutput::Transmit(transmit) => self.leaving.push_back(transmit),
            GatewayOutput::Pong { flow } => self.transports.pong(&flow),
            GatewayOutput::Registered(connection) => self.transports.registered(connection),
            GatewayOutput::Conference(command) => self.conferences.send(*command),
            GatewayOutput::Media { id, command } => {
                let event = self.workers.hand_over(id, command);
                self.unasked.extend(event.map(|event| GatewayInput::Media { id, event }));
            }
            GatewayOutput::Resolve { query, destination } => {
                if self.names.try_send((query, destination)).is_err() {
                    self.unasked.push_back(GatewayInput::Resolved { query, found: Err(NameFault::Unanswered) });
                }
            }
            GatewayOutput::App(question) => {
                let query = question.query;
                if self.apps.questions.try_send(AppCommand::Ask(question)).is_err() {
                    self.unasked.extend(query.map(app_unserved));
                }
            }
            GatewayOutput::Callback(callback) => self.apps.callbacks.hand_over(callback),
            GatewayOutput::Recording(begun) => self.unasked.extend(self.recordings.begin(*begun)),
            // If the queue is full, the request continues until its time limit.
            GatewayOutput::AppGivenUp(query) => drop(self.apps.questions.try_send(AppCommand::GiveUp(query))),
            GatewayOutput::Began(call) => {
                self.shared.events.tell(EdgeEvent::began(&call));
                records::hand_over_standing(&self.reports, call, 0);
            }
            GatewayOutput::Report(record) => {
                self.shared.events.tell(EdgeEvent::ended(&record));
                records::hand_over(&self.reports, record, &self.shared.cdr);
            }
            GatewayOutput::Changed(change) => {
                match (change.what, &change.call) {
                    (EdgeEventKind::AgentFailed, Some(_)) if change.was_open => {
                        change.agent.iter().for_each(|name| self.shared.lost_agents.add(name));
                    }
                    (EdgeEventKind::CallAnswered, Some(call)) => records::hand_over_answered(&self.reports, &call.sid),
                    (EdgeEventKind::CallFailedOver, Some(call)) => {
                        if let Some((call, failovers)) = self.gateway.standing(&call.sid) {
                            records::hand_over_standing(&self.reports, Box::new(call), failovers);
                        }
                    }
                    _ => {}
                }
                self.shared.events.tell(*change);
            }
            GatewayOutput::ConferenceEnded(report) => self.shared.calls.add_conference(*report),
            GatewayOutput::Counted(count) => records::hand_over_counted(&self.reports, count),
            GatewayOutput::Sms(news) => match self.texts.hand_over(news) {
                Ok(number) => return number,
                Err(Untold) => self.shared.sms.untold.add(1),
            },
            GatewayOutput::Log(line) => log::call_event(&line),
            GatewayOutput::Captured(captured) => self.hep.hand_over(captured),
            GatewayOutput::Sampled(call) => self.otel.hand_over(call),
        }
        None
    }
}

/// Runs a function on the gateway. A panic ends only the call that caused it, and returns `None`; the panic hook has
/// counted and logged it.
fn guarded<T>(gateway: &mut Gateway, now: Instant, act: impl FnOnce(&mut Gateway) -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(|| act(gateway))).ok();
    if done.is_none() {
        let _ = catch_unwind(AssertUnwindSafe(|| gateway.recover(now)));
    }
    done
}

/// Returns a call as plain data; `None` if the gateway cannot snapshot it now, or panics.
fn guarded_snapshot(gateway: &mut Gateway, now: Instant, key: CallKey) -> Option<CallSnapshot> {
    guarded(gateway, now, |gateway| gateway.snapshot_call(now, key)).flatten()
}

/// Restores the calls of another process before the loop starts. A call that cannot be restored is skipped; all others
/// continue. `begins` receives the SID of each call before it is restored. Returns the SIDs of skipped calls of which
/// the gateway has no trace, and which therefore write no call record.
pub fn restore_calls(
    gateway: &mut Gateway,
    now: Instant,
    calls: GatewaySnapshot,
    mut begins: impl FnMut(&str),
) -> Vec<String> {
    let mut restoration = CallRestoration::begin(gateway, now, calls);
    while {
        restoration.next_sid().into_iter().for_each(&mut begins);
        guarded(gateway, now, |gateway| restoration.restore_next(gateway, now)).unwrap_or(true)
    } {}
    restoration.into_lost()
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
/// Returns the input that fails a query which could not be queued; the call continues with the next target of its
/// route.
fn app_unserved(query: QueryId) -> GatewayInput {
    let answer = AppAnswer::Failed {
        code: APP_UNSERVED,
        text: "the edge cannot send requests to applications now: its queue is full or it is stopping".to_owned(),
    };
    GatewayInput::AppAnswered { query, answer: Box::new(answer) }
}
