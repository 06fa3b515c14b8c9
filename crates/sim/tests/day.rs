//! A day of virtual time: calls held for 24 hours by session refreshes (RFC 4028), by either party, use no more
//! memory at the end than after the first hour, and leave no state behind.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test's time has to begin somewhere

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_call::{GatewayInput, GatewayOutput};
use trunkgate_phone::{
    AnswerScript, CallEnding, CallScript, OutgoingCall, Phone, PhoneCallState, PhoneConfig, SessionTimerConfig, Srtp,
};
use trunkgate_sim::edge::{CARRIER, EDGE, OUT, SimEdge, TRUNK_A};
use trunkgate_sim::options::{CredentialCheck, OversizeTransport, SeedOptions};
use trunkgate_sip::{Flow, ListenerId, Transport};

const HOUR: Duration = Duration::from_secs(3600);
const CALLER: usize = 0;
const CALLEE: usize = 1;

/// A message in transit: to the edge or to a phone.
type Sent = (Option<usize>, SocketAddr, Bytes);

/// The edge between two phones, over a network without delay and loss.
struct Day {
    start: Instant,
    now: Instant,
    edge: SimEdge,
    phones: [Phone; 2],
    wire: VecDeque<Sent>,
    records: Vec<&'static str>,
}

fn flow(remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None }
}

fn phone(name: &str, seed: u8, address: SocketAddr, sessions: Option<SessionTimerConfig>, calls: u16) -> Phone {
    let mut config = PhoneConfig::new(name, [seed; 32], address);
    config.media = (0..calls).map(|n| SocketAddr::new(address.ip(), 30_000 + 2 * n)).collect();
    config.sessions = sessions;
    config.give_up = None;
    Phone::new(config)
}

impl Day {
    fn new(seconds: [u16; 2], sessions: [Option<SessionTimerConfig>; 2], calls: u16) -> Day {
        let start = Instant::now();
        let mut options = SeedOptions::of_seed(1);
        options.port_pairs = 4 * calls + 8;
        options.srtp = [(Srtp::Off, Srtp::Off); 3];
        (options.tcp_trunk, options.siprec) = (0, false);
        options.sessions.by_edge = [seconds[0], seconds[1], seconds[1]];
        let trust = &mut options.trust;
        (trust.of_edge, trust.of_phones) = ([CredentialCheck::Nothing; 3], [CredentialCheck::Nothing; 3]);
        (trust.registers, trust.registrar, trust.oversize) = (false, false, OversizeTransport::Never);
        trust.options_interval = Duration::ZERO;
        let phones = [phone("caller", 1, CARRIER, sessions[0], calls), phone("callee", 2, TRUNK_A, sessions[1], calls)];
        let edge = SimEdge::new(start, &options);
        Day { start, now: start, edge, phones, wire: VecDeque::new(), records: Vec::new() }
    }

    fn dial(&mut self, calls: u16) {
        let talk = CallScript { frames: Some(0), ..CallScript::default() };
        self.phones[CALLEE]
            .set_default_answer(AnswerScript { talk: talk.clone(), ..AnswerScript::ring(Duration::from_secs(1)) });
        for call in 0..calls {
            let uri = format!("sip:{OUT}555{call:04}@{EDGE}");
            let mut dial = OutgoingCall::new(flow(EDGE), uri, "<sip:+14155550100@carrier.example>");
            dial.talk = talk.clone();
            self.phones[CALLER].dial(self.now, dial).unwrap();
            self.settle();
            // Calls begin a while apart, as in practice.
            self.run_to(self.now + Duration::from_millis(1370));
        }
    }

    /// Runs until no messages are in transit.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.edge.gateway.poll_output() {
                match output {
                    GatewayOutput::Transmit(sent) => {
                        let to = usize::from(sent.flow.remote != CARRIER);
                        assert!([CARRIER, TRUNK_A].contains(&sent.flow.remote), "{}", sent.flow.remote);
                        self.wire.push_back((Some(to), EDGE, sent.bytes));
                    }
                    GatewayOutput::Media { id, command } => self.edge.command(self.now, id, command),
                    GatewayOutput::Report(record) => self.records.push(record.call.reason.unwrap_or_default()),
                    GatewayOutput::App(_)
                    | GatewayOutput::Callback(_)
                    | GatewayOutput::Conference(_)
                    | GatewayOutput::Recording(_)
                    | GatewayOutput::AppGivenUp(_)
                    | GatewayOutput::Registered(_)
                    | GatewayOutput::Resolve { .. }
                    | GatewayOutput::Pong { .. }
                    | GatewayOutput::Began(_)
                    | GatewayOutput::Log(_)
                    | GatewayOutput::Captured(_)
                    | GatewayOutput::Sampled(_)
                    | GatewayOutput::Counted(_)
                    | GatewayOutput::ConferenceEnded(_)
                    | GatewayOutput::Sms(_)
                    | GatewayOutput::Changed(_) => {}
                }
            }
            for (at, phone) in self.phones.iter_mut().enumerate() {
                while let Some(output) = phone.poll_output() {
                    if let trunkgate_phone::PhoneOutput::Transmit(sent) = output {
                        self.wire.push_back((None, [CARRIER, TRUNK_A][at], sent.bytes));
                    }
                }
            }
            if let Some((id, event)) = self.edge.told.pop_front() {
                self.edge.gateway.handle_input(self.now, GatewayInput::Media { id, event });
            } else if let Some((to, from, bytes)) = self.wire.pop_front() {
                match to {
                    Some(at) => {
                        self.phones[at]
                            .handle_input(self.now, trunkgate_phone::PhoneInput::Sip { flow: flow(from), bytes });
                    }
                    None => {
                        self.edge.gateway.handle_input(self.now, GatewayInput::Received { flow: flow(from), bytes })
                    }
                }
            } else {
                return;
            }
        }
    }

    fn run_to(&mut self, end: Instant) {
        loop {
            let gateway = self.edge.gateway.poll_timeout().map(|(at, _)| at);
            let phones = self.phones.iter().filter_map(Phone::poll_timeout).min();
            let Some(next) = gateway.into_iter().chain(phones).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if gateway == Some(next) {
                self.edge.gateway.handle_timeout(self.now);
            }
            for phone in &mut self.phones {
                if phone.poll_timeout().is_some_and(|at| at <= self.now) {
                    phone.handle_timeout(self.now);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    /// Returns the state of the edge: live calls, dialogs, ports and sessions, and the size of its snapshot.
    fn held(&mut self, hours: u32) -> ([usize; 4], usize) {
        self.run_to(self.start + HOUR * hours);
        self.edge.gateway.check_invariants().unwrap();
        let metrics = self.edge.gateway.metrics();
        let (dialogs, ports) = (metrics.sip.dialogs_active as usize, metrics.media_ports_in_use as usize);
        let written = serde_json::to_string(&self.edge.gateway.snapshot(self.now)).unwrap().len();
        ([self.edge.gateway.live_calls(), dialogs, ports, self.edge.sessions.len()], written)
    }

    /// Holds `calls` calls for a day and ends them.
    fn run(seconds: [u16; 2], sessions: [Option<SessionTimerConfig>; 2], calls: u16) {
        let mut day = Day::new(seconds, sessions, calls);
        day.dial(calls);
        let (first, written) = day.held(1);
        assert_eq!((first[0], first[1]), (calls.into(), 2 * usize::from(calls)));
        for hour in 2..=24 {
            let (held, now_written) = day.held(hour);
            assert_eq!(held, first, "after {hour} h");
            assert!(now_written < written + written / 20, "{written} bytes after 1 h, {now_written} after {hour} h");
        }
        let open = day.edge.gateway.metrics().sip.transactions_active;
        assert!(open <= 8 * u64::from(calls), "{open} transactions");
        let least = 24 * 3600 / u32::from(seconds[0].max(seconds[1]));
        for phone in &day.phones {
            for call in phone.calls().filter(|_| phone.config().sessions.is_some()) {
                assert_eq!(call.state(), PhoneCallState::Talking, "{:?}", call.ending());
                assert!(call.refreshed() >= least, "{} refreshes", call.refreshed());
            }
        }
        let numbers: Vec<_> = day.phones[CALLER].calls().map(|call| call.number()).collect();
        for number in numbers {
            let now = day.now;
            day.phones[CALLER].hang_up(now, number);
            day.settle();
        }
        day.run_to(day.now + Duration::from_secs(120));
        assert!(day.phones[CALLEE].calls().all(|call| call.ending() == Some(CallEnding::HungUpThere)));
        assert_eq!(day.records.len(), usize::from(calls));
        assert!(day.records.iter().all(|reason| *reason == "caller_hung_up"), "{:?}", day.records);
        let metrics = day.edge.gateway.metrics();
        let left = [metrics.sip.transactions_active, metrics.sip.dialogs_active, metrics.media_ports_in_use];
        assert_eq!((left, day.edge.sessions.len(), day.edge.gateway.live_calls()), ([0; 3], 0, 0));
        day.edge.gateway.check_invariants().unwrap();
    }
}

fn sessions(refreshes: bool, by_update: bool) -> Option<SessionTimerConfig> {
    Some(SessionTimerConfig { seconds: 0, least: 90, refreshes, by_update, forgets: false })
}

#[test]
fn rfc4028_call_lasts_a_day() {
    for (caller, callee) in [
        (sessions(true, true), sessions(true, false)),
        (sessions(true, false), sessions(false, false)),
        (sessions(false, false), sessions(true, true)),
        (None, sessions(false, true)),
    ] {
        Day::run([90, 120], [caller, callee], 1);
    }
}

#[test]
fn a_hundred_calls_last_a_day_and_take_no_more_at_its_end() {
    Day::run([7200, 7200], [sessions(true, true), sessions(false, false)], 100);
}

#[test]
fn rfc4028_10_who_forgets_to_refresh_has_no_day() {
    let forgetful = SessionTimerConfig { forgets: true, ..sessions(true, true).unwrap() };
    let mut day = Day::new([90, 90], [sessions(false, true), Some(forgetful)], 1);
    day.dial(1);
    assert_eq!(day.held(1).0, [0; 4]);
    assert_eq!(day.records, ["session_expired"]);
    assert!(day.phones[CALLER].calls().all(|call| call.ending() == Some(CallEnding::HungUpThere)));
}
