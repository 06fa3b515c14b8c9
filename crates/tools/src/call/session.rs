//! Test call at one address, from its sockets to the final response or BYE.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use trunkgate_media::ClockEpoch;
use trunkgate_phone::{
    CallNumber, CallScript, OutgoingCall, Phone, PhoneCall, PhoneCallState, PhoneConfig, PhoneEvent, PhoneInput,
    PhoneOutput, Srtp,
};
use trunkgate_route::Transport;
use trunkgate_sip::{ConnectionId, Flow, ListenerId, Method, SipMessage};

use super::client_certificate::CertificateRequest;
use super::outcome::{AnsweredMedia, DtmfResult, TestCallOutcome};
use super::{StopSignals, TestCallPlan, in_brackets, say};
use crate::line::{self, ByteStream, ConnectedStream, plain};
use trunkgate_boot::edge;
use trunkgate_runtime::transport;
use trunkgate_system::clock;
use trunkgate_system::interfaces;

/// Timeout for the first response if another address can be tried.
const NEXT_AFTER: Duration = Duration::from_secs(4);
/// Timeout for the first response at the last address.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(8);
/// Maximum time to wait for the response to BYE or CANCEL.
const FAREWELL: Duration = Duration::from_secs(3);
/// Maximum number of attempts to bind a port pair for media.
const PORTS_TRIED: usize = 64;
/// Capacity of the queue of received messages.
const WAITING: usize = 64;
/// Maximum length of a SIP datagram, in bytes.
const DATAGRAM_BYTES: usize = 65_535;
/// Maximum length of a media packet, in bytes.
const PACKET_BYTES: usize = 2048;

/// Remote address of the test call, with its transport.
#[derive(Debug, Clone)]
pub(super) struct CallAddress {
    pub(super) transport: Transport,
    pub(super) remote: SocketAddr,
    /// Host name that the TLS certificate must be valid for.
    pub(super) host: String,
}

impl fmt::Display for CallAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.as_str(), self.remote)
    }
}

/// Transport of the SIP messages.
enum SipLink {
    Datagrams(UdpSocket),
    Stream { write: WriteHalf<Box<dyn ByteStream>>, messages: mpsc::Receiver<Bytes> },
}

/// Event of the call's sockets and timers.
enum TestCallEvent {
    Sip(SocketAddr, Bytes),
    SipFailed(String),
    Rtp(usize),
    Rtcp(usize),
    Timer,
    Stopped,
}

/// State of the call at one address.
pub(super) struct TestCallSession {
    way: CallAddress,
    link: SipLink,
    certificate_request: CertificateRequest,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// Local address of the RTP socket.
    media: SocketAddr,
    phone: Phone,
    dial: Option<OutgoingCall>,
    call: Option<CallNumber>,
    /// Hashes of received messages, to recognise retransmissions.
    seen: HashSet<u64>,
    began: Instant,
    ring: Duration,
    /// DTMF digits to send; `None` without `--dtmf`.
    keys: Option<Arc<str>>,
    is_heard: bool,
    /// Time of the caller's BYE or CANCEL while its response is awaited.
    leaving: Option<Instant>,
    is_answered: bool,
    is_over: bool,
}

impl TestCallSession {
    /// Binds and connects the sockets of the call.
    pub(super) async fn open(plan: &TestCallPlan, way: &CallAddress) -> Result<TestCallSession, String> {
        let mut certificate_request = CertificateRequest::default();
        let (link, local) = match way.transport {
            Transport::Udp => {
                let ip = interfaces::towards(way.remote).ok_or("no route to this address")?;
                let socket = transport::datagram_socket((ip, 0).into()).and_then(UdpSocket::from_std);
                let socket = socket.map_err(|error| plain(&error))?;
                let local = socket.local_addr().map_err(|error| plain(&error))?;
                (SipLink::Datagrams(socket), local)
            }
            Transport::Tcp => SipLink::open(ConnectedStream::open(way.remote, None).await?),
            Transport::Tls => {
                let tls = plan.tls.as_deref().ok_or("TLS is not available")?;
                let (tls, request) = CertificateRequest::watch(tls);
                let opened = ConnectedStream::open(way.remote, Some((tls, &way.host))).await;
                let opened = opened.map_err(|what| request.explain(&what.replace("to `ca`", "to --ca")))?;
                certificate_request = request;
                SipLink::open(opened)
            }
        };
        let (rtp, rtcp) = media_pair(local)?;
        let media = rtp.local_addr().map_err(|error| plain(&error))?;
        let mut config = PhoneConfig::new(plan.user.clone(), edge::seed().map_err(|error| error.to_string())?, local);
        config.media = vec![media];
        config.codecs.clone_from(&plan.codecs);
        config.srtp = if plan.srtp { Srtp::Required } else { Srtp::Off };
        config.give_up = None;
        config.credentials.clone_from(&plan.credentials);
        let since_1970 = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        config.reports = Some(ClockEpoch::new(Instant::now(), since_1970));
        let connection = (way.transport != Transport::Udp).then_some(ConnectionId(0));
        let flow = Flow { transport: way.transport, listener: ListenerId(0), remote: way.remote, connection };
        let own = || format!("<sip:{}@{}>", plan.user, in_brackets(local.ip()));
        let mut dial = OutgoingCall::new(flow, plan.uri.clone(), plan.from.clone().unwrap_or_else(own));
        let (hang_up_after, audio) = (Some(plan.duration), plan.audio.clone());
        dial.talk =
            CallScript { hang_up_after, audio, keys: plan.keys.clone(), overheard: true, ..CallScript::default() };
        Ok(TestCallSession {
            way: way.clone(),
            link,
            certificate_request,
            rtp,
            rtcp,
            media,
            phone: Phone::new(config),
            dial: Some(dial),
            call: None,
            seen: HashSet::new(),
            began: Instant::now(),
            ring: plan.ring,
            keys: plan.keys.clone(),
            is_heard: false,
            leaving: None,
            is_answered: false,
            is_over: false,
        })
    }

    /// Runs the call to its end, or until this address is given up.
    pub(super) async fn run(mut self, outcome: &mut TestCallOutcome, stop: &mut StopSignals, is_last: bool) {
        outcome.begin(&self.way);
        self.began = Instant::now();
        self.call = self.dial.take().and_then(|dial| self.phone.dial(self.began, dial));
        self.drain(outcome).await;
        let patience = if is_last { GIVEN_UP_AFTER } else { NEXT_AFTER };
        let (mut sip, mut rtp, mut rtcp) = (vec![0; DATAGRAM_BYTES], vec![0; PACKET_BYTES], vec![0; PACKET_BYTES]);
        while !self.is_done() {
            let wake = self.wake(patience);
            let occurred = tokio::select! {
                occurred = self.link.receive(self.way.remote, &mut sip) => occurred,
                // A receive error is an ICMP error caused by an earlier packet.
                len = self.rtp.recv(&mut rtp) => TestCallEvent::Rtp(len.unwrap_or(0)),
                len = self.rtcp.recv(&mut rtcp) => TestCallEvent::Rtcp(len.unwrap_or(0)),
                () = tokio::time::sleep_until(wake.into()) => TestCallEvent::Timer,
                () = stop.asked() => TestCallEvent::Stopped,
            };
            let now = Instant::now();
            match occurred {
                TestCallEvent::Sip(remote, bytes) => self.take(now, remote, bytes, outcome),
                TestCallEvent::SipFailed(what) => {
                    if !self.is_over {
                        self.lost(&what, outcome);
                    }
                    break;
                }
                TestCallEvent::Rtp(len) => {
                    let bytes = Bytes::copy_from_slice(rtp.get(..len).unwrap_or_default());
                    self.phone.handle_input(now, PhoneInput::Rtp { to: self.media, bytes });
                }
                TestCallEvent::Rtcp(len) => {
                    let bytes = Bytes::copy_from_slice(rtcp.get(..len).unwrap_or_default());
                    self.phone.handle_input(now, PhoneInput::Rtcp { to: self.media, bytes });
                }
                TestCallEvent::Timer => {
                    self.phone.handle_timeout(now);
                    if !self.is_heard && now >= self.began + patience {
                        let what = format!(
                            "no response to the INVITE in {} s: the host is down, or the edge does not accept your \
                             address (`accept_from` of a trunk)",
                            patience.as_secs()
                        );
                        self.lost(&what, outcome);
                        break;
                    }
                    if !self.is_answered && self.leaving.is_none() && now >= self.began + self.ring {
                        outcome.fail(format!("not answered in {} s", self.ring.as_secs()));
                        self.leave(now);
                    }
                }
                TestCallEvent::Stopped => {
                    // A second signal ends the call at once.
                    if self.leaving.is_some() || !self.is_heard {
                        outcome.fail("stopped".to_owned());
                        break;
                    }
                    if !self.is_answered {
                        outcome.fail("stopped before it was answered".to_owned());
                    }
                    self.leave(now);
                }
            }
            self.drain(outcome).await;
        }
        self.tell(outcome);
    }

    /// Records a connection error, with a hint on client certificates if the server has not responded yet.
    fn lost(&self, what: &str, outcome: &mut TestCallOutcome) {
        let what = if self.is_heard { what.to_owned() } else { self.certificate_request.explain(what) };
        outcome.unreached(&self.way, &what);
    }

    /// Ends the call with BYE, or with CANCEL before the answer.
    fn leave(&mut self, now: Instant) {
        self.leaving = Some(now);
        if let Some(call) = self.call {
            self.phone.hang_up(now, call);
        }
    }

    /// Returns whether the call is over, or the response to BYE or CANCEL is overdue.
    fn is_done(&self) -> bool {
        let is_late = self.leaving.is_some_and(|since| since.elapsed() >= FAREWELL);
        self.call.is_none() || is_late || (self.is_over && self.leaving.is_none())
    }

    fn wake(&self, patience: Duration) -> Instant {
        let silence = (!self.is_heard).then(|| self.began + patience);
        let ring = (!self.is_answered && self.leaving.is_none()).then(|| self.began + self.ring);
        let farewell = self.leaving.map(|since| since + FAREWELL);
        let all = [silence, ring, farewell, self.phone.poll_timeout()];
        all.into_iter().flatten().min().unwrap_or(self.began + self.ring)
    }

    /// Handles a received SIP message.
    fn take(&mut self, now: Instant, remote: SocketAddr, bytes: Bytes, outcome: &mut TestCallOutcome) {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let again = !self.seen.insert(hasher.finish());
        outcome.note(now, false, &bytes, again);
        if let Ok(message) = SipMessage::parse(bytes.clone())
            && let Some(code) = message.code()
        {
            self.is_heard = true;
            if message.method() == Method::Invite && code >= 200 {
                outcome.answer(code, &bytes, &message);
            }
            if message.method() == Method::Bye && code >= 200 {
                self.leaving = None;
            }
        }
        let connection = matches!(self.link, SipLink::Stream { .. }).then_some(ConnectionId(0));
        let flow = Flow { transport: self.way.transport, listener: ListenerId(0), remote, connection };
        self.phone.handle_input(now, PhoneInput::Sip { flow, bytes });
    }

    /// Carries out the outputs of the phone.
    async fn drain(&mut self, outcome: &mut TestCallOutcome) {
        while let Some(output) = self.phone.poll_output() {
            match output {
                PhoneOutput::Transmit(transmit) => {
                    let now = Instant::now();
                    outcome.note(now, true, &transmit.bytes, transmit.what.again);
                    if transmit.what.method == Method::Bye && transmit.what.code.is_none() {
                        self.leaving.get_or_insert(now);
                    }
                    if let Err(what) = self.link.send(transmit.flow.remote, &transmit.bytes).await {
                        self.lost(&what, outcome);
                        self.call = None;
                    }
                }
                PhoneOutput::Rtp { to, bytes, .. } => drop(self.rtp.send_to(&bytes, to).await),
                PhoneOutput::Rtcp { to, bytes, .. } => drop(self.rtcp.send_to(&bytes, to).await),
                PhoneOutput::Heard { ssrc, timestamp, samples, .. } => outcome.hear(ssrc, timestamp, samples),
                PhoneOutput::Event(event) => self.told(event, outcome),
            }
        }
    }

    fn told(&mut self, event: PhoneEvent, outcome: &mut TestCallOutcome) {
        let seconds = self.began.elapsed().as_secs_f64();
        match event {
            PhoneEvent::Ringing(_) => {
                outcome.ringing_after(seconds);
                say(&format!("ringing after {seconds:.2} s"));
            }
            PhoneEvent::Answered(_) => {
                self.is_answered = true;
                outcome.answered_after(seconds);
                say(&format!("answered after {seconds:.2} s"));
            }
            PhoneEvent::Ended(_, ending) => {
                self.is_over = true;
                // The CANCEL has taken effect.
                self.leaving = self.leaving.filter(|_| self.is_answered);
                outcome.ended(ending, seconds);
            }
            PhoneEvent::Incoming(_) | PhoneEvent::Heard(..) => {}
        }
    }

    /// Stores the media results in `outcome` if the call was answered.
    fn tell(&self, outcome: &mut TestCallOutcome) {
        let Some(call) = self.call.and_then(|number| self.phone.call(number)) else { return };
        if !self.is_answered {
            return;
        }
        let own = |ssrc: u32| ssrc == call.ssrc();
        outcome.answered_with(AnsweredMedia {
            codec: call.spoken(),
            suite: call.suite(),
            is_cut_off: call.state() != PhoneCallState::Ended,
            sent: call.sent(),
            unopened: call.unopened(),
            quality: call.quality(),
            pressed: call.pressed().to_owned(),
            keys: self.keys.as_ref().map(|keys| (keys.to_string(), became(call))),
            // A tone with the caller's own SSRC is the caller's audio, sent back.
            echoes: call.judge().voice_reports().iter().any(|verdict| own(verdict.ssrc) && verdict.is_tone()),
        });
    }
}

/// Returns the result of sending DTMF digits.
fn became(call: &PhoneCall) -> DtmfResult {
    match call.events() {
        None => DtmfResult::Refused,
        Some((number, clock)) if call.has_pressed_all() => DtmfResult::Pressed(number, clock),
        Some(_) => DtmfResult::CutOff,
    }
}

impl SipLink {
    fn open(line: ConnectedStream) -> (SipLink, SocketAddr) {
        let (read, write) = tokio::io::split(line.stream);
        let (sender, messages) = mpsc::channel(WAITING);
        tokio::spawn(line::receive(read, sender));
        (SipLink::Stream { write, messages }, line.local)
    }

    async fn receive(&mut self, remote: SocketAddr, buffer: &mut [u8]) -> TestCallEvent {
        match self {
            SipLink::Datagrams(socket) => match socket.recv_from(buffer).await {
                Ok((len, from)) => {
                    TestCallEvent::Sip(from, Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default()))
                }
                Err(error) => TestCallEvent::SipFailed(plain(&error)),
            },
            SipLink::Stream { messages, .. } => match messages.recv().await {
                Some(bytes) => TestCallEvent::Sip(remote, bytes),
                None => TestCallEvent::SipFailed("the remote party closed the connection".to_owned()),
            },
        }
    }

    async fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<(), String> {
        let sent = match self {
            SipLink::Datagrams(socket) => socket.send_to(bytes, to).await.map(drop),
            SipLink::Stream { write, .. } => match write.write_all(bytes).await {
                Ok(()) => write.flush().await,
                Err(error) => Err(error),
            },
        };
        sent.map_err(|error| plain(&error))
    }
}

/// Binds two adjacent ports, RTP on the even one (RFC 3550 §11).
fn media_pair(local: SocketAddr) -> Result<(UdpSocket, UdpSocket), String> {
    let bind = |port: u16| StdUdpSocket::bind((local.ip(), port));
    for _ in 0..PORTS_TRIED {
        let Ok(first) = bind(0) else { break };
        let port = first.local_addr().map_or(0, |address| address.port());
        let Ok(second) = bind(port ^ 1) else { continue };
        let (rtp, rtcp) = if port.is_multiple_of(2) { (first, second) } else { (second, first) };
        let ready = |socket: StdUdpSocket| socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket));
        return ready(rtp).and_then(|rtp| Ok((rtp, ready(rtcp)?))).map_err(|error| plain(&error));
    }
    Err(format!("no free pair of media ports on {}", local.ip()))
}
