//! The telephones of a sandbox, the caller's and those of the parties that the application dials: one phone on loopback sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use trunkgate_phone::{Answer, CallNumber, Dial, Ending, Event, Input, Output, Phone, PhoneConfig, Talk};
use trunkgate_sip::{Flow, ListenerId, Transport};

use crate::boot::edge::seed;
use crate::tools::datagrams::{Packet, bind, read, until};

/// Calls that it has at once: the caller's, and parties.
const CALLS: usize = 16;
/// Time after which a party answers that does.
pub(super) const ANSWER_AFTER: Duration = Duration::from_millis(100);
/// News and orders that may wait.
const WAITING: usize = 1024;

/// Something that happened to a call.
#[derive(Debug)]
pub(super) enum News {
    /// A party is called.
    Called {
        call: CallNumber,
        number: String,
        from: String,
    },
    Answered(CallNumber),
    Ended(CallNumber, Ending),
    /// Samples that a call has heard.
    Heard(CallNumber, Vec<i16>),
}

#[derive(Debug)]
enum Order {
    Dial(Box<Dial>, oneshot::Sender<Option<CallNumber>>),
    Answer(Vec<(String, Answer)>),
    Speak(CallNumber, Vec<i16>, oneshot::Sender<bool>),
    Press(CallNumber, String, oneshot::Sender<bool>),
    HangUp(CallNumber),
}

/// Returns the same answer of a party whose ear is listened to.
pub(super) fn overheard(answer: Answer) -> Answer {
    Answer { talk: Talk { overheard: true, ..answer.talk }, ..answer }
}

/// The phone; its tasks end with it.
#[derive(Debug)]
pub(super) struct Telephone {
    pub(super) address: SocketAddr,
    orders: mpsc::Sender<Order>,
    news: mpsc::Receiver<(Instant, News)>,
}

impl Telephone {
    /// Binds its sockets on loopback and starts its tasks on the present `LocalSet`.
    pub(super) async fn start() -> std::io::Result<Telephone> {
        let sip = Rc::new(bind().await?);
        let address = sip.local_addr()?;
        let (packets, packets_in) = mpsc::channel(WAITING);
        tokio::task::spawn_local(read(Rc::clone(&sip), None, packets.clone()));
        let mut media = BTreeMap::new();
        for _ in 0..CALLS {
            let socket = Rc::new(bind().await?);
            let address = socket.local_addr()?;
            tokio::task::spawn_local(read(Rc::clone(&socket), Some(address), packets.clone()));
            media.insert(address, socket);
        }
        let mut config = PhoneConfig::new("sandbox", seed()?, address);
        config.media = media.keys().copied().collect();
        config.codecs = vec!["PCMU".to_owned()];
        config.give_up = None;
        let mut phone = Phone::new(config);
        phone.set_default_answer(overheard(Answer::ring(ANSWER_AFTER)));
        let (orders, orders_in) = mpsc::channel(WAITING);
        let (news, news_in) = mpsc::channel(WAITING);
        let task = Task { phone, sip, media, news };
        tokio::task::spawn_local(task.run(orders_in, packets_in));
        Ok(Telephone { address, orders, news: news_in })
    }

    /// Places a call to a number at the edge; the caller is silent.
    pub(super) async fn dial(&self, edge: SocketAddr, number: &str, from: &str) -> Option<CallNumber> {
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: edge, connection: None };
        let mut dial = Dial::new(flow, format!("sip:{number}@{edge}"), format!("<sip:{from}@{}>", self.address));
        dial.talk = Talk { audio: Some(Arc::from([0])), overheard: true, ..Talk::default() };
        let (reply, wait) = oneshot::channel();
        self.orders.send(Order::Dial(Box::new(dial), reply)).await.ok()?;
        wait.await.ok().flatten()
    }

    /// Sets the answers to the next calls of these numbers; those set before are forgotten.
    pub(super) async fn answer(&self, answers: Vec<(String, Answer)>) {
        let _ = self.orders.send(Order::Answer(answers)).await;
    }

    /// Says samples; returns whether the call is answered.
    pub(super) async fn speak(&self, call: CallNumber, samples: Vec<i16>) -> bool {
        let (reply, wait) = oneshot::channel();
        let sent = self.orders.send(Order::Speak(call, samples, reply)).await;
        sent.is_ok() && wait.await.unwrap_or(false)
    }

    /// Presses digits; returns whether the call takes them.
    pub(super) async fn press(&self, call: CallNumber, digits: &str) -> bool {
        let (reply, wait) = oneshot::channel();
        let sent = self.orders.send(Order::Press(call, digits.to_owned(), reply)).await;
        sent.is_ok() && wait.await.unwrap_or(false)
    }

    pub(super) async fn hang_up(&self, call: CallNumber) {
        let _ = self.orders.send(Order::HangUp(call)).await;
    }

    /// Returns what happens next.
    pub(super) async fn next(&mut self) -> Option<(Instant, News)> {
        self.news.recv().await
    }
}

/// The task that owns the phone.
struct Task {
    phone: Phone,
    sip: Rc<UdpSocket>,
    media: BTreeMap<SocketAddr, Rc<UdpSocket>>,
    news: mpsc::Sender<(Instant, News)>,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>, mut packets: mpsc::Receiver<Packet>) {
        loop {
            let wake = self.phone.poll_timeout();
            tokio::select! {
                Some(packet) = packets.recv() => self.take(packet),
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                () = until(wake) => self.phone.handle_timeout(Instant::now()),
            }
            self.drain().await;
        }
    }

    fn take(&mut self, packet: Packet) {
        let Packet { at, source: remote, media, bytes } = packet;
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        let input = match media {
            Some(to) => Input::Rtp { to, bytes },
            None => Input::Sip { flow, bytes },
        };
        self.phone.handle_input(at, input);
    }

    fn obey(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Dial(dial, reply) => drop(reply.send(self.phone.dial(now, *dial))),
            Order::Answer(answers) => self.phone.set_answers_of(answers),
            Order::Speak(call, samples, reply) => drop(reply.send(self.phone.speak(call, &samples))),
            Order::Press(call, digits, reply) => drop(reply.send(self.phone.press(call, &digits))),
            Order::HangUp(call) => self.phone.hang_up(now, call),
        }
    }

    async fn drain(&mut self) {
        while let Some(output) = self.phone.poll_output() {
            let news = match output {
                Output::Transmit(transmit) => {
                    // The edge's own timers end a call that nothing comes of.
                    let _ = self.sip.send_to(&transmit.bytes, transmit.flow.remote).await;
                    continue;
                }
                Output::Rtp { from, to, bytes, .. } => {
                    if let Some(socket) = self.media.get(&from) {
                        let _ = socket.send_to(&bytes, to).await;
                    }
                    continue;
                }
                Output::Rtcp { .. } => continue,
                Output::Heard { call, samples, .. } => News::Heard(call, samples),
                Output::Event(Event::Incoming(call)) => {
                    let known = self.phone.call(call);
                    let number = known.map(|call| call.called().to_owned()).unwrap_or_default();
                    let from = known.map(|call| call.calling().to_owned()).unwrap_or_default();
                    News::Called { call, number, from }
                }
                Output::Event(Event::Answered(call)) => News::Answered(call),
                Output::Event(Event::Ended(call, ending)) => News::Ended(call, ending),
                Output::Event(Event::Ringing(_) | Event::Heard(..)) => continue,
            };
            let _ = self.news.send((Instant::now(), news)).await;
        }
    }
}
