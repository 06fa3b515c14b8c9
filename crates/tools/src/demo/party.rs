//! Demo phone on real sockets: one task that owns the phone, and one reader for each socket.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use trunkgate_phone::{
    AnswerScript, CallNumber, OutgoingCall, Phone, PhoneConfig, PhoneEvent, PhoneInput, PhoneOutput, Srtp,
};
use trunkgate_sip::{ConnectionId, Flow, ListenerId, Transport};

use super::DemoEvent;
use super::quality::{FrameDelays, FrameJournal, PartyMedia};
use super::secure::PhoneConnection;
use super::stream::{self, RtpArrivals};
use crate::datagrams::{TimedDatagram, bind, read, until};
use trunkgate_boot::edge::seed;

/// Number of media sockets of a phone: one for each call of the demo.
const MEDIA_SOCKETS: usize = 4;
/// Capacity of the queues of commands and packets of a phone.
const WAITING: usize = 256;
/// Flow of all messages of a secure phone, which has a single connection.
const STREAM: Flow = Flow {
    transport: Transport::Tls,
    listener: ListenerId(0),
    remote: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    connection: Some(ConnectionId(0)),
};

/// Command to the task of a phone.
#[derive(Debug)]
pub(super) enum PhoneCommand {
    /// Sets the answer to the next call.
    Expect(AnswerScript),
    /// Places a call.
    Dial(Box<OutgoingCall>, oneshot::Sender<Option<CallNumber>>),
    /// Ends a call.
    HangUp(CallNumber),
    /// Requests the audio of a call.
    Report(CallNumber, oneshot::Sender<PartyMedia>),
}

/// Transport of a phone.
#[derive(Debug)]
pub(super) enum PhoneTransport {
    /// SIP over UDP, and plain RTP.
    Plain,
    /// SIP over TLS, SRTP, and the codec Opus.
    Secure(PhoneConnection),
}

/// Handle of a demo phone's task.
#[derive(Debug)]
pub(super) struct DemoPhone {
    /// Name of the phone.
    pub(super) name: &'static str,
    /// SIP address of the phone. For a secure phone only the address in its messages, because it is never called.
    pub(super) address: SocketAddr,
    /// Whether the phone uses TLS, SRTP and Opus.
    pub(super) secure: bool,
    orders: mpsc::Sender<PhoneCommand>,
}

impl DemoPhone {
    /// Binds the phone's sockets on loopback and starts its tasks on the current `LocalSet`.
    pub(super) async fn start(
        index: usize,
        name: &'static str,
        journal: FrameJournal,
        news: mpsc::Sender<DemoEvent>,
        harm: bool,
        way: PhoneTransport,
    ) -> std::io::Result<DemoPhone> {
        let sip = bind().await?;
        let address = sip.local_addr()?;
        let mut media = BTreeMap::new();
        for _ in 0..MEDIA_SOCKETS {
            let socket = bind().await?;
            media.insert(socket.local_addr()?, Rc::new(socket));
        }
        let mut config = PhoneConfig::new(name, seed()?, address);
        config.media = media.keys().copied().collect();
        let secure = matches!(way, PhoneTransport::Secure(_));
        config.codecs = vec![codec(secure).into()];
        config.srtp = if secure { Srtp::Required } else { Srtp::Off };
        let (packets, packets_in) = mpsc::channel(WAITING);
        let (messages, messages_in) = mpsc::channel(WAITING);
        let sip = Rc::new(sip);
        tokio::task::spawn_local(read(Rc::clone(&sip), None, packets.clone()));
        for (address, socket) in &media {
            tokio::task::spawn_local(read(Rc::clone(socket), Some(*address), packets.clone()));
        }
        let (orders, orders_in) = mpsc::channel(WAITING);
        let phone = Phone::new(config);
        let (delays, arrivals) = (BTreeMap::new(), BTreeMap::new());
        let task = DemoPhoneTask { index, phone, sip, way, messages, media, journal, news, harm, delays, arrivals };
        tokio::task::spawn_local(task.run(orders_in, packets_in, messages_in));
        Ok(DemoPhone { name, address, secure, orders })
    }

    /// Sets the answer to the next call.
    pub(super) async fn expect(&self, answer: AnswerScript) {
        let _ = self.orders.send(PhoneCommand::Expect(answer)).await;
    }

    /// Places a call; `None` if the phone cannot place it.
    pub(super) async fn dial(&self, dial: OutgoingCall) -> Option<CallNumber> {
        let (reply, wait) = oneshot::channel();
        self.orders.send(PhoneCommand::Dial(Box::new(dial), reply)).await.ok()?;
        wait.await.ok().flatten()
    }

    /// Ends a call.
    pub(super) async fn hang_up(&self, call: CallNumber) {
        let _ = self.orders.send(PhoneCommand::HangUp(call)).await;
    }

    /// Returns the audio of a call; empty for an unknown call.
    pub(super) async fn report(&self, call: CallNumber) -> PartyMedia {
        let (reply, wait) = oneshot::channel();
        if self.orders.send(PhoneCommand::Report(call, reply)).await.is_err() {
            return PartyMedia::default();
        }
        wait.await.unwrap_or_default()
    }
}

/// Returns the codec name of a phone: Opus if it is secure, otherwise PCMU.
pub(super) fn codec(secure: bool) -> &'static str {
    if secure { "opus" } else { "PCMU" }
}

/// Task that owns the phone.
struct DemoPhoneTask {
    index: usize,
    phone: Phone,
    sip: Rc<UdpSocket>,
    way: PhoneTransport,
    /// Queue of messages from a TLS connection.
    messages: mpsc::Sender<Bytes>,
    media: BTreeMap<SocketAddr, Rc<UdpSocket>>,
    journal: FrameJournal,
    news: mpsc::Sender<DemoEvent>,
    /// Whether the sent audio is damaged on purpose, to test that the demo notices.
    harm: bool,
    delays: BTreeMap<CallNumber, FrameDelays>,
    arrivals: BTreeMap<CallNumber, RtpArrivals>,
}

impl DemoPhoneTask {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<PhoneCommand>,
        mut packets: mpsc::Receiver<TimedDatagram>,
        mut messages: mpsc::Receiver<Bytes>,
    ) {
        loop {
            let wake = self.phone.poll_timeout();
            let at = tokio::select! {
                packet = packets.recv() => {
                    let Some(packet) = packet else { return };
                    self.take(packet)
                }
                message = messages.recv() => {
                    let Some(bytes) = message else { return };
                    let now = Instant::now();
                    self.phone.handle_input(now, PhoneInput::Sip { flow: STREAM, bytes });
                    now
                }
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    self.obey(order)
                }
                () = until(wake) => {
                    let now = Instant::now();
                    self.phone.handle_timeout(now);
                    now
                }
            };
            self.drain(at).await;
        }
    }

    fn take(&mut self, packet: TimedDatagram) -> Instant {
        let input = match packet.media {
            Some(to) => {
                let call = self.phone.calls().find(|call| call.media() == Some(to)).map(|call| call.number());
                if let Some(call) = call {
                    let step =
                        if matches!(self.way, PhoneTransport::Secure(_)) { stream::OPUS_STEP } else { stream::STEP };
                    let arrivals = self.arrivals.entry(call).or_insert_with(|| RtpArrivals::of(step));
                    arrivals.take(packet.at, &packet.bytes);
                }
                PhoneInput::Rtp { to, bytes: packet.bytes }
            }
            None => {
                let flow = Flow {
                    transport: Transport::Udp,
                    listener: ListenerId(0),
                    remote: packet.source,
                    connection: None,
                };
                PhoneInput::Sip { flow, bytes: packet.bytes }
            }
        };
        self.phone.handle_input(packet.at, input);
        packet.at
    }

    fn obey(&mut self, order: PhoneCommand) -> Instant {
        let now = Instant::now();
        match order {
            PhoneCommand::Expect(answer) => self.phone.expect(answer),
            PhoneCommand::Dial(dial, reply) => {
                let _ = reply.send(self.phone.dial(now, *dial));
            }
            PhoneCommand::HangUp(call) => self.phone.hang_up(now, call),
            PhoneCommand::Report(number, reply) => {
                let delays = self.delays.remove(&number).unwrap_or_default();
                let continuity = self.arrivals.remove(&number).unwrap_or_default().continuity();
                let side = self.phone.call(number).map(|call| PartyMedia {
                    ssrc: call.ssrc(),
                    sent: u64::from(call.sent()),
                    verdicts: call.judge().voice_reports(),
                    ear: call.tone_analyzer().clone(),
                    delays,
                    continuity,
                });
                let _ = reply.send(side.unwrap_or_default());
            }
        }
        now
    }

    async fn drain(&mut self, at: Instant) {
        while let Some(output) = self.phone.poll_output() {
            match output {
                PhoneOutput::Transmit(transmit) => {
                    let (to, bytes) = (transmit.flow.remote, &transmit.bytes);
                    let sent = match &mut self.way {
                        PhoneTransport::Plain => self.sip.send_to(bytes, to).await.map(|_| ()).map_err(Into::into),
                        PhoneTransport::Secure(line) => line.send(to, bytes, &self.messages).await,
                    };
                    // The phone's own timeout ends a call without a response.
                    drop::<anyhow::Result<()>>(sent);
                }
                PhoneOutput::Rtp { from, to, frame, bytes, .. } => {
                    let Some(socket) = self.media.get(&from) else { continue };
                    self.journal.sent(frame, Instant::now());
                    if self.harm {
                        let mut bytes = bytes.to_vec();
                        super::harm(&mut bytes);
                        let _ = socket.send_to(&bytes, to).await;
                    } else {
                        let _ = socket.send_to(&bytes, to).await;
                    }
                }
                // The demo needs neither RTCP reports nor the audio heard.
                PhoneOutput::Rtcp { .. } | PhoneOutput::Heard { .. } => {}
                PhoneOutput::Event(PhoneEvent::Heard(call, frame)) => {
                    if let Some(delay) = self.journal.heard(frame, at) {
                        self.delays.entry(call).or_default().entry(frame.ssrc).or_default().push(delay);
                    }
                }
                PhoneOutput::Event(event) => {
                    let _ = self.news.send(DemoEvent::Phone { party: self.index, event }).await;
                }
            }
        }
    }
}
