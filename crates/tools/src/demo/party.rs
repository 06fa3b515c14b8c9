//! A phone on real sockets: one task that owns the phone, and one reader for each socket.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use trunkgate_phone::{Answer, CallNumber, Dial, Event, Input, Output, Phone, PhoneConfig, Srtp};
use trunkgate_sip::{ConnectionId, Flow, ListenerId, Transport};

use super::News;
use super::quality::{Delays, Journal, Side};
use super::secure::Line;
use super::stream::{self, Arrivals};
use crate::datagrams::{Packet, bind, read, until};
use trunkgate_boot::edge::seed;

/// Number of media sockets of a phone: one for each call of the demo.
const MEDIA_SOCKETS: usize = 4;
/// Capacity of the queues of commands and packets of a phone.
const WAITING: usize = 256;
/// Flow of all messages from a secure phone, which has one connection.
const STREAM: Flow = Flow {
    transport: Transport::Tls,
    listener: ListenerId(0),
    remote: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    connection: Some(ConnectionId(0)),
};

/// Command to a phone.
#[derive(Debug)]
pub(super) enum Order {
    /// Sets how the next call is answered.
    Expect(Answer),
    /// Places a call.
    Dial(Box<Dial>, oneshot::Sender<Option<CallNumber>>),
    /// Ends a call.
    HangUp(CallNumber),
    /// Requests the audio of a call.
    Report(CallNumber, oneshot::Sender<Side>),
}

/// Transport of a phone.
#[derive(Debug)]
pub(super) enum Way {
    /// UDP and plain RTP.
    Plain,
    /// TLS, SRTP and Opus.
    Secure(Line),
}

/// Handle of a phone.
#[derive(Debug)]
pub(super) struct Party {
    /// Name of the phone.
    pub(super) name: &'static str,
    /// SIP address; for a secure phone only the address it writes, because it is never called.
    pub(super) address: SocketAddr,
    /// Whether the phone uses TLS, SRTP and Opus.
    pub(super) secure: bool,
    orders: mpsc::Sender<Order>,
}

impl Party {
    /// Binds the sockets on loopback and starts the tasks on the current `LocalSet`.
    pub(super) async fn start(
        index: usize,
        name: &'static str,
        journal: Journal,
        news: mpsc::Sender<News>,
        harm: bool,
        way: Way,
    ) -> std::io::Result<Party> {
        let sip = bind().await?;
        let address = sip.local_addr()?;
        let mut media = BTreeMap::new();
        for _ in 0..MEDIA_SOCKETS {
            let socket = bind().await?;
            media.insert(socket.local_addr()?, Rc::new(socket));
        }
        let mut config = PhoneConfig::new(name, seed()?, address);
        config.media = media.keys().copied().collect();
        let secure = matches!(way, Way::Secure(_));
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
        let task = Task { index, phone, sip, way, messages, media, journal, news, harm, delays, arrivals };
        tokio::task::spawn_local(task.run(orders_in, packets_in, messages_in));
        Ok(Party { name, address, secure, orders })
    }

    /// Sets how the next call is answered.
    pub(super) async fn expect(&self, answer: Answer) {
        let _ = self.orders.send(Order::Expect(answer)).await;
    }

    /// Places a call; `None` if the phone cannot.
    pub(super) async fn dial(&self, dial: Dial) -> Option<CallNumber> {
        let (reply, wait) = oneshot::channel();
        self.orders.send(Order::Dial(Box::new(dial), reply)).await.ok()?;
        wait.await.ok().flatten()
    }

    /// Ends a call.
    pub(super) async fn hang_up(&self, call: CallNumber) {
        let _ = self.orders.send(Order::HangUp(call)).await;
    }

    /// Returns the audio of a call; empty for an unknown call.
    pub(super) async fn report(&self, call: CallNumber) -> Side {
        let (reply, wait) = oneshot::channel();
        if self.orders.send(Order::Report(call, reply)).await.is_err() {
            return Side::default();
        }
        wait.await.unwrap_or_default()
    }
}

/// Returns the codec of a phone.
pub(super) fn codec(secure: bool) -> &'static str {
    if secure { "opus" } else { "PCMU" }
}

/// Task that owns the phone.
struct Task {
    index: usize,
    phone: Phone,
    sip: Rc<UdpSocket>,
    way: Way,
    /// Queue of messages from a TLS connection.
    messages: mpsc::Sender<Bytes>,
    media: BTreeMap<SocketAddr, Rc<UdpSocket>>,
    journal: Journal,
    news: mpsc::Sender<News>,
    /// Whether the sent audio is damaged on purpose, to test that the demo notices.
    harm: bool,
    delays: BTreeMap<CallNumber, Delays>,
    arrivals: BTreeMap<CallNumber, Arrivals>,
}

impl Task {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut packets: mpsc::Receiver<Packet>,
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
                    self.phone.handle_input(now, Input::Sip { flow: STREAM, bytes });
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

    fn take(&mut self, packet: Packet) -> Instant {
        let input = match packet.media {
            Some(to) => {
                let call = self.phone.calls().find(|call| call.media() == Some(to)).map(|call| call.number());
                if let Some(call) = call {
                    let step = if matches!(self.way, Way::Secure(_)) { stream::OPUS_STEP } else { stream::STEP };
                    let arrivals = self.arrivals.entry(call).or_insert_with(|| Arrivals::of(step));
                    arrivals.take(packet.at, &packet.bytes);
                }
                Input::Rtp { to, bytes: packet.bytes }
            }
            None => {
                let flow = Flow {
                    transport: Transport::Udp,
                    listener: ListenerId(0),
                    remote: packet.source,
                    connection: None,
                };
                Input::Sip { flow, bytes: packet.bytes }
            }
        };
        self.phone.handle_input(packet.at, input);
        packet.at
    }

    fn obey(&mut self, order: Order) -> Instant {
        let now = Instant::now();
        match order {
            Order::Expect(answer) => self.phone.expect(answer),
            Order::Dial(dial, reply) => {
                let _ = reply.send(self.phone.dial(now, *dial));
            }
            Order::HangUp(call) => self.phone.hang_up(now, call),
            Order::Report(number, reply) => {
                let delays = self.delays.remove(&number).unwrap_or_default();
                let continuity = self.arrivals.remove(&number).unwrap_or_default().continuity();
                let side = self.phone.call(number).map(|call| Side {
                    ssrc: call.ssrc(),
                    sent: u64::from(call.sent()),
                    verdicts: call.judge().verdicts(),
                    ear: call.ear().clone(),
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
                Output::Transmit(transmit) => {
                    let (to, bytes) = (transmit.flow.remote, &transmit.bytes);
                    let sent = match &mut self.way {
                        Way::Plain => self.sip.send_to(bytes, to).await.map(|_| ()).map_err(Into::into),
                        Way::Secure(line) => line.send(to, bytes, &self.messages).await,
                    };
                    // The phone's own timeout ends a call without a response.
                    drop::<anyhow::Result<()>>(sent);
                }
                Output::Rtp { from, to, frame, bytes, .. } => {
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
                Output::Rtcp { .. } | Output::Heard { .. } => {}
                Output::Event(Event::Heard(call, frame)) => {
                    if let Some(delay) = self.journal.heard(frame, at) {
                        self.delays.entry(call).or_default().entry(frame.ssrc).or_default().push(delay);
                    }
                }
                Output::Event(event) => {
                    let _ = self.news.send(News::Phone { party: self.index, event }).await;
                }
            }
        }
    }
}
