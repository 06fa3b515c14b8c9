//! Open-loop load of calls: caller and called side in one thread that never sleeps, two UDP sockets, plain text. An
//! unanswered request is retransmitted as in RFC 3261 §17.1.1.2, then its call is given up.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::dialer::{FAR, NEAR, sdp};
use super::speech::Codec;

/// Length of a call.
const LENGTH: Duration = Duration::from_millis(100);
/// Retransmission timer T1 of SIP.
const T1: Duration = Duration::from_millis(500);
/// Maximum number of transmissions of a request.
const SENDS: u8 = 4;
/// Number of messages read from one socket before the other one's turn.
const BATCH: usize = 64;
/// Time for calls still in progress at the end.
const LINGER: Duration = Duration::from_secs(6);

/// Progress of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling,
    Ringing,
    Up,
    HangingUp,
    Done,
}

/// Outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The call was set up and ended correctly.
    Served,
    /// The call was rejected by 503 with Retry-After.
    TurnedAway,
    /// The call had any other outcome, including no response.
    Failed,
}

/// Call in progress.
#[derive(Debug, Clone)]
struct Call {
    began: Instant,
    state: State,
    sends: u8,
    tag: String,
    outcome: Outcome,
    /// Time until the first final response to the INVITE.
    answered: Option<Duration>,
    code: u16,
}

/// Result of a call, evaluated after the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Start of the call, relative to the start of the run.
    pub(crate) at: Duration,
    pub(crate) outcome: Outcome,
    /// Time until the first final response to the INVITE.
    pub(crate) answered: Option<Duration>,
    /// Code of the first final response; 0 if there was none.
    pub(crate) code: u16,
}

/// Caller and called side of the load.
#[derive(Debug)]
pub(crate) struct Load {
    caller: UdpSocket,
    called: UdpSocket,
    edge: SocketAddr,
    calls: Vec<Call>,
    /// Times of retransmissions, one queue for each transmission, and of hang-ups; in order.
    again: [VecDeque<(Instant, usize)>; SENDS as usize],
    hang_up: VecDeque<(Instant, usize)>,
    /// Number of the run, which makes the identifiers of each run distinct.
    run: u32,
    buffer: Vec<u8>,
    offer: String,
    answer: String,
}

impl Load {
    /// Opens the sockets of the caller and of the called side; the edge's configuration names the called side's port.
    pub(crate) fn new(called_port: u16) -> anyhow::Result<Load> {
        let socket = |address: (&str, u16)| -> anyhow::Result<UdpSocket> {
            let socket = UdpSocket::bind(address).with_context(|| format!("{address:?}"))?;
            socket.set_nonblocking(true)?;
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &(4 << 20))?;
            Ok(socket)
        };
        let media = |ip: &str| -> anyhow::Result<SocketAddr> { Ok(SocketAddr::new(ip.parse()?, 40_000)) };
        Ok(Load {
            caller: socket((NEAR, 0))?,
            called: socket((FAR, called_port))?,
            edge: media(NEAR)?,
            calls: Vec::new(),
            again: Default::default(),
            hang_up: VecDeque::new(),
            run: 0,
            buffer: vec![0; 65_535],
            offer: sdp(media(NEAR)?, Codec::Pcmu, None, None),
            answer: sdp(media(FAR)?, Codec::Pcmu, None, None),
        })
    }

    /// Makes calls through `edge`, at one rate for each stretch of time; returns the result of each call.
    pub(crate) fn run(&mut self, edge: SocketAddr, stretches: &[(f64, Duration)]) -> anyhow::Result<Vec<Seen>> {
        self.edge = edge;
        self.run += 1;
        self.calls.clear();
        let begin = Instant::now();
        let mut stretch_begin = begin;
        for (rate, length) in stretches {
            let mut sent = 0_u32;
            loop {
                let now = Instant::now();
                let since = now.saturating_duration_since(stretch_begin);
                if since >= *length {
                    break;
                }
                if f64::from(sent) < since.as_secs_f64() * rate {
                    self.call(now)?;
                    sent += 1;
                }
                self.work(now)?;
            }
            stretch_begin += *length;
        }
        let end = Instant::now() + LINGER;
        while Instant::now() < end && self.calls.iter().any(|call| call.state != State::Done) {
            for _ in 0..1_000 {
                self.work(Instant::now())?;
            }
        }
        self.again.iter_mut().for_each(VecDeque::clear);
        self.hang_up.clear();
        let seen = |call: &Call| {
            let at = call.began.saturating_duration_since(begin);
            Seen { at, outcome: call.outcome, answered: call.answered, code: call.code }
        };
        Ok(self.calls.iter().map(seen).collect())
    }

    /// Sends requests as fast as possible, INVITE, REGISTER and OPTIONS in turn; responses are discarded and never
    /// acknowledged.
    pub(crate) fn flood(&mut self, edge: SocketAddr, requests: usize) -> anyhow::Result<()> {
        self.edge = edge;
        self.run += 1;
        for number in 0..requests {
            let text = match number % 3 {
                0 => self.request("INVITE", number, 1, "", &self.offer),
                1 => self.request("REGISTER", number, 1, "", ""),
                _ => self.request("OPTIONS", number, 1, "", ""),
            };
            self.send(&text)?;
            while self.caller.recv_from(&mut self.buffer).is_ok() {}
            self.hear_called()?;
        }
        Ok(())
    }

    /// Discards remaining responses to the caller, and answers for the called side, during this time.
    pub(crate) fn listen(&mut self, length: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            while self.caller.recv_from(&mut self.buffer).is_ok() {}
            self.hear_called()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn call(&mut self, now: Instant) -> anyhow::Result<()> {
        let number = self.calls.len();
        self.calls.push(Call {
            began: now,
            state: State::Calling,
            sends: 1,
            tag: String::new(),
            outcome: Outcome::Failed,
            answered: None,
            code: 0,
        });
        self.again[0].push_back((now + T1, number));
        self.send(&self.request("INVITE", number, 1, "", &self.offer))
    }

    fn work(&mut self, now: Instant) -> anyhow::Result<()> {
        self.hear_called()?;
        self.hear_caller()?;
        while let Some((_, number)) = self.hang_up.pop_front_if(|(at, _)| *at <= now) {
            let Some(call) = self.calls.get_mut(number) else { continue };
            (call.state, call.sends) = (State::HangingUp, 1);
            let tag = call.tag.clone();
            self.again[0].push_back((now + T1, number));
            self.send(&self.request("BYE", number, 2, &tag, ""))?;
        }
        for round in 0..usize::from(SENDS) {
            while let Some((_, number)) = self.again[round].pop_front_if(|(at, _)| *at <= now) {
                self.repeat(now, number, round)?;
            }
        }
        Ok(())
    }

    /// Retransmits a call's request if it is still unanswered in this round.
    fn repeat(&mut self, now: Instant, number: usize, round: usize) -> anyhow::Result<()> {
        let Some(call) = self.calls.get_mut(number) else { return Ok(()) };
        if !matches!(call.state, State::Calling | State::HangingUp) || usize::from(call.sends) != round + 1 {
            return Ok(());
        }
        if call.sends >= SENDS {
            call.state = State::Done;
            return Ok(());
        }
        call.sends += 1;
        let (is_bye, tag) = (call.state == State::HangingUp, call.tag.clone());
        if let Some(next) = self.again.get_mut(round + 1) {
            next.push_back((now + T1 * (2 << round), number));
        }
        let text = if is_bye {
            self.request("BYE", number, 2, &tag, "")
        } else {
            self.request("INVITE", number, 1, "", &self.offer)
        };
        self.send(&text)
    }

    fn hear_caller(&mut self) -> anyhow::Result<()> {
        for _ in 0..BATCH {
            let len = match self.caller.recv_from(&mut self.buffer) {
                Ok((len, _)) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let text = String::from_utf8_lossy(self.buffer.get(..len).unwrap_or_default()).into_owned();
            self.answered(&text)?;
        }
        Ok(())
    }

    fn answered(&mut self, text: &str) -> anyhow::Result<()> {
        let code: u16 = text.get(8..11).and_then(|code| code.parse().ok()).unwrap_or(0);
        let name = field(text, "Call-ID").unwrap_or_default();
        let Some((run, number)) = name.strip_prefix("load-").and_then(|name| name.split_once('-')) else {
            return Ok(());
        };
        let number: usize = number.parse().unwrap_or(usize::MAX);
        if run.parse() != Ok(self.run) || code == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let of_invite = field(text, "CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
        let tag = field(text, "To").and_then(|to| to.split_once(";tag=")).map(|(_, tag)| tag.to_owned());
        let Some(call) = self.calls.get_mut(number) else { return Ok(()) };
        match (call.state, of_invite, code) {
            (State::Calling, true, 100..=199) => call.state = State::Ringing,
            (State::Calling | State::Ringing, true, 200..=699) => {
                call.answered = Some(now.saturating_duration_since(call.began));
                (call.tag, call.code) = (tag.unwrap_or_default(), code);
                call.state = if code < 300 { State::Up } else { State::Done };
                if code == 503 && field(text, "Retry-After").is_some() {
                    call.outcome = Outcome::TurnedAway;
                }
                if code < 300 {
                    self.hang_up.push_back((now + LENGTH, number));
                }
                self.acknowledge(number)?;
            }
            (_, true, 200..=699) => self.acknowledge(number)?,
            (State::HangingUp, false, 200..=299) => {
                (call.state, call.outcome) = (State::Done, Outcome::Served);
            }
            _ => {}
        }
        Ok(())
    }

    fn acknowledge(&self, number: usize) -> anyhow::Result<()> {
        let Some(call) = self.calls.get(number) else { return Ok(()) };
        self.send(&self.request("ACK", number, 1, &call.tag, ""))
    }

    /// Handles messages to the called side: rings, answers, and accepts the BYE.
    fn hear_called(&mut self) -> anyhow::Result<()> {
        for _ in 0..BATCH {
            let (len, from) = match self.called.recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let text = String::from_utf8_lossy(self.buffer.get(..len).unwrap_or_default()).into_owned();
            let answers: &[(&str, &str)] = match text.split(' ').next() {
                Some("INVITE") => &[("180 Ringing", ""), ("200 OK", &self.answer)],
                Some("BYE" | "CANCEL" | "OPTIONS") => &[("200 OK", "")],
                _ => &[],
            };
            for (status, body) in answers {
                let answer = answer_to(&text, status, self.called.local_addr()?, body);
                // A datagram rejected by a full kernel counts as lost.
                let _ = self.called.send_to(answer.as_bytes(), from);
            }
        }
        Ok(())
    }

    fn request(&self, method: &str, number: usize, cseq: u32, tag: &str, body: &str) -> String {
        let (run, edge) = (self.run, self.edge);
        let me = self.caller.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
        let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        // The ACK of a rejection has the branch of the INVITE; the ACK of a 200 has another one, which the edge
        // ignores.
        let branch = if method == "BYE" { "b" } else { "i" };
        format!(
            "{method} sip:+14155550123@{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{branch}{run}-{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+14155550100@{me}>;tag=c{number}\r\nTo: <sip:+14155550123@{edge}>{tag}\r\n\
             Call-ID: load-{run}-{number}\r\nCSeq: {cseq} {method}\r\nContact: <sip:caller@{me}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn send(&self, text: &str) -> anyhow::Result<()> {
        match self.caller.send_to(text.as_bytes(), self.edge) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn answer_to(request: &str, status: &str, me: SocketAddr, body: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"].contains(&name) {
            let tag = if name == "To" && !line.contains(";tag=") { ";tag=called" } else { "" };
            out.push_str(&format!("{line}{tag}\r\n"));
        }
    }
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    out.push_str(&format!("Contact: <sip:called@{me}>\r\n{kind}Content-Length: {}\r\n\r\n{body}", body.len()));
    out
}
