//! Telephones of a sandbox's callers and called parties: one phone on loopback sockets, shared by the running scripts.
//! Each script has an extension. An incoming call goes to the script that caused it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use trunkgate_call::CallView;
use trunkgate_phone::{
    AnswerScript, CallEnding, CallNumber, CallScript, OutgoingCall, Phone, PhoneConfig, PhoneEvent, PhoneInput,
    PhoneOutput,
};
use trunkgate_sip::{Flow, ListenerId, SipMessage, Transport};

use super::owners::{CallOwners, ScriptId};
use crate::datagrams::{TimedDatagram, bind, read, until};
use trunkgate_boot::edge::seed;
use trunkgate_runtime::handle::EdgeHandle;

/// Maximum number of concurrent calls of one script (caller and parties), then of each further script.
const CALLS: (usize, usize) = (16, 8);
/// Ringing time of a party before it answers or rejects the call.
pub(super) const ANSWER_AFTER: Duration = Duration::from_millis(100);
/// Capacity of the queues of packets and commands.
const WAITING: usize = 1024;
/// Beginning of an INVITE, which may start a call.
const INVITE: &[u8] = b"INVITE ";

/// Event of a script's call.
#[derive(Debug)]
pub(super) enum ScriptCallEvent {
    /// The application calls a party.
    Called {
        call: CallNumber,
        number: String,
        from: String,
    },
    Answered(CallNumber),
    Ended(CallNumber, CallEnding),
    /// Audio samples at 8 kHz received in a call.
    Heard(CallNumber, Vec<i16>),
}

/// Call that the script's caller has placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlacedCall {
    pub(super) number: CallNumber,
    /// Call-ID of the INVITE, which identifies the leg at the edge.
    pub(super) sip_call_id: String,
}

#[derive(Debug)]
enum TelephoneCommand {
    /// Sets the running edge, which knows the cause of an incoming call.
    Attach(Box<EdgeHandle>),
    Open(Box<OpenExtension>),
    Dial(ScriptId, Box<OutgoingCall>, oneshot::Sender<Option<PlacedCall>>),
    Speak(CallNumber, Vec<i16>, oneshot::Sender<bool>),
    Press(CallNumber, String, oneshot::Sender<bool>),
    HangUp(CallNumber),
}

/// Returns the answer with reporting of received audio enabled.
pub(super) fn overheard(answer: AnswerScript) -> AnswerScript {
    AnswerScript { talk: CallScript { overheard: true, ..answer.talk }, ..answer }
}

/// Returns the answer to a call that no step expects.
fn default_answer() -> AnswerScript {
    overheard(AnswerScript::ring(ANSWER_AFTER))
}

/// Phone shared by all scripts; its tasks end when it and all extensions are dropped.
#[derive(Debug)]
pub(super) struct Telephone {
    pub(super) address: SocketAddr,
    orders: mpsc::Sender<TelephoneCommand>,
}

impl Telephone {
    /// Binds loopback sockets for `scripts` concurrent scripts, and starts the tasks on the current `LocalSet`.
    pub(super) async fn start(scripts: usize, owners: CallOwners) -> std::io::Result<Telephone> {
        let sip = Rc::new(bind().await?);
        let address = sip.local_addr()?;
        let (packets, packets_in) = mpsc::channel(WAITING);
        tokio::task::spawn_local(read(Rc::clone(&sip), None, packets.clone()));
        let mut media = BTreeMap::new();
        for _ in 0..CALLS.0 + CALLS.1 * scripts.saturating_sub(1) {
            let socket = Rc::new(bind().await?);
            let address = socket.local_addr()?;
            tokio::task::spawn_local(read(Rc::clone(&socket), Some(address), packets.clone()));
            media.insert(address, socket);
        }
        let mut config = PhoneConfig::new("sandbox", seed()?, address);
        config.media = media.keys().copied().collect();
        config.codecs = vec!["PCMU".to_owned()];
        config.give_up = None;
        let phone = Phone::new(config);
        let (orders, orders_in) = mpsc::channel(WAITING);
        let (extensions, calls) = (Vec::new(), BTreeMap::new());
        let task = TelephoneTask { phone, sip, media, edge: None, extensions, owners, calls, arriving: None };
        tokio::task::spawn_local(task.run(orders_in, packets_in));
        Ok(Telephone { address, orders })
    }

    /// Sets the edge that calls come from.
    pub(super) async fn attach(&self, edge: EdgeHandle) {
        let _ = self.orders.send(TelephoneCommand::Attach(Box::new(edge))).await;
    }

    /// Opens the extension of a script. `expected`: called numbers, each with the answer to one call.
    pub(super) async fn open(&self, id: ScriptId, caller: &str, expected: Vec<(String, AnswerScript)>) -> Extension {
        let (news, news_in) = mpsc::unbounded_channel();
        let open = OpenExtension { id, caller: caller.to_owned(), expected, news };
        let _ = self.orders.send(TelephoneCommand::Open(Box::new(open))).await;
        Extension { id, address: self.address, orders: self.orders.clone(), news: news_in }
    }
}

/// Calls of one script. Dropping it closes the extension.
#[derive(Debug)]
pub(super) struct Extension {
    id: ScriptId,
    address: SocketAddr,
    orders: mpsc::Sender<TelephoneCommand>,
    /// Events of the calls; the queue is unbounded, so that a waiting script never blocks another one.
    news: mpsc::UnboundedReceiver<(Instant, ScriptCallEvent)>,
}

impl Extension {
    /// Places a call of the script's caller, who sends silence; `None` if the phone cannot place it.
    pub(super) async fn dial(&self, edge: SocketAddr, number: &str, from: &str) -> Option<PlacedCall> {
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: edge, connection: None };
        let mut dial =
            OutgoingCall::new(flow, format!("sip:{number}@{edge}"), format!("<sip:{from}@{}>", self.address));
        dial.talk = CallScript { audio: Some(Arc::from([0])), overheard: true, ..CallScript::default() };
        let (reply, wait) = oneshot::channel();
        self.orders.send(TelephoneCommand::Dial(self.id, Box::new(dial), reply)).await.ok()?;
        wait.await.ok().flatten()
    }

    /// Sends audio samples at 8 kHz; returns false if the call is not answered.
    pub(super) async fn speak(&self, call: CallNumber, samples: Vec<i16>) -> bool {
        let (reply, wait) = oneshot::channel();
        let sent = self.orders.send(TelephoneCommand::Speak(call, samples, reply)).await;
        sent.is_ok() && wait.await.unwrap_or(false)
    }

    /// Sends DTMF digits; returns false if the call does not accept them.
    pub(super) async fn press(&self, call: CallNumber, digits: &str) -> bool {
        let (reply, wait) = oneshot::channel();
        let sent = self.orders.send(TelephoneCommand::Press(call, digits.to_owned(), reply)).await;
        sent.is_ok() && wait.await.unwrap_or(false)
    }

    pub(super) async fn hang_up(&self, call: CallNumber) {
        let _ = self.orders.send(TelephoneCommand::HangUp(call)).await;
    }

    /// Waits for the next event; returns it with its time.
    pub(super) async fn next(&mut self) -> Option<(Instant, ScriptCallEvent)> {
        self.news.recv().await
    }
}

/// Open extension, as the phone's task sees it.
#[derive(Debug)]
struct OpenExtension {
    id: ScriptId,
    /// Calling number of the script.
    caller: String,
    expected: Vec<(String, AnswerScript)>,
    news: mpsc::UnboundedSender<(Instant, ScriptCallEvent)>,
}

impl OpenExtension {
    fn expects(&self, number: &str) -> bool {
        self.expected.iter().any(|(expected, _)| expected == number)
    }

    /// Removes and returns the answer to the next call to a number; `None` if the script expects none.
    fn take_answer(&mut self, number: &str) -> Option<AnswerScript> {
        let at = self.expected.iter().position(|(expected, _)| expected == number)?;
        Some(self.expected.remove(at).1)
    }
}

/// Fields of an INVITE that determine its script.
#[derive(Debug, PartialEq, Eq)]
struct ArrivingCall {
    sip_call_id: String,
    number: String,
    from: String,
}

impl ArrivingCall {
    /// Parses an INVITE; `None` for any other message.
    fn parse(bytes: &Bytes) -> Option<ArrivingCall> {
        if !bytes.starts_with(INVITE) {
            return None;
        }
        let message = SipMessage::parse(bytes.clone()).ok()?;
        let from = message.from().and_then(|from| Some(from.parsed_uri()?.user_unescaped()));
        Some(ArrivingCall {
            sip_call_id: String::from_utf8_lossy(message.call_id()?).into_owned(),
            number: message.uri()?.user_unescaped(),
            from: from.unwrap_or_default(),
        })
    }
}

/// Task that owns the shared phone.
struct TelephoneTask {
    phone: Phone,
    sip: Rc<UdpSocket>,
    media: BTreeMap<SocketAddr, Rc<UdpSocket>>,
    edge: Option<EdgeHandle>,
    extensions: Vec<OpenExtension>,
    owners: CallOwners,
    /// Script of each call at the phone.
    calls: BTreeMap<CallNumber, ScriptId>,
    /// Script of the INVITE that is being processed.
    arriving: Option<ScriptId>,
}

impl TelephoneTask {
    async fn run(mut self, mut orders: mpsc::Receiver<TelephoneCommand>, mut packets: mpsc::Receiver<TimedDatagram>) {
        loop {
            let wake = self.phone.poll_timeout();
            tokio::select! {
                Some(packet) = packets.recv() => self.take(packet).await,
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                () = until(wake) => self.phone.handle_timeout(Instant::now()),
            }
            self.drain().await;
        }
    }

    async fn take(&mut self, packet: TimedDatagram) {
        let TimedDatagram { at, source: remote, media, bytes } = packet;
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        let input = match media {
            Some(to) => PhoneInput::Rtp { to, bytes },
            None => {
                // With a known Call-ID the INVITE is a retransmission or belongs to a dialog.
                let arriving = ArrivingCall::parse(&bytes).filter(|call| !self.owners.has(&call.sip_call_id));
                if let Some(call) = arriving {
                    self.expect_call(&call).await;
                }
                PhoneInput::Sip { flow, bytes }
            }
        };
        self.phone.handle_input(at, input);
    }

    /// Determines the script of an incoming call, and sets the answer to it.
    async fn expect_call(&mut self, call: &ArrivingCall) {
        self.extensions.retain(|extension| !extension.news.is_closed());
        let owner = self.owner_of(call).await;
        self.owners.add(&call.sip_call_id, owner);
        self.arriving = owner;
        let extension = self.extensions.iter_mut().find(|extension| Some(extension.id) == owner);
        let expected = extension.and_then(|extension| extension.take_answer(&call.number));
        self.phone.set_default_answer(expected.unwrap_or_else(default_answer));
    }

    /// Returns the script of an incoming call: the one that caused it, otherwise one that expects the number, as for a
    /// call placed over the API.
    async fn owner_of(&self, call: &ArrivingCall) -> Option<ScriptId> {
        if let [only] = self.extensions.as_slice() {
            return Some(only.id);
        }
        let is_open = |id: &ScriptId| self.extensions.iter().any(|extension| extension.id == *id);
        if let Some(id) = self.owner_by_call(&call.sip_call_id).await.filter(is_open) {
            return Some(id);
        }
        let by_number = self.extensions.iter().find(|extension| extension.expects(&call.number));
        let by_caller = || self.extensions.iter().find(|extension| extension.caller == call.from);
        by_number.or_else(by_caller).or(self.extensions.first()).map(|extension| extension.id)
    }

    /// Returns the script of the edge's call with a leg of this Call-ID.
    async fn owner_by_call(&self, sip_call_id: &str) -> Option<ScriptId> {
        let calls = self.edge.as_ref()?.calls().await.ok()?;
        let has_leg = |call: &&CallView| call.legs.iter().any(|leg| leg.sip_call_id == sip_call_id);
        self.owners.script_of(calls.iter().find(has_leg)?)
    }

    fn obey(&mut self, order: TelephoneCommand) {
        let now = Instant::now();
        match order {
            TelephoneCommand::Attach(edge) => self.edge = Some(*edge),
            TelephoneCommand::Open(extension) => {
                self.extensions.retain(|extension| !extension.news.is_closed());
                self.extensions.push(*extension);
            }
            TelephoneCommand::Dial(id, dial, reply) => drop(reply.send(self.place_call(now, id, *dial))),
            TelephoneCommand::Speak(call, samples, reply) => drop(reply.send(self.phone.speak(call, &samples))),
            TelephoneCommand::Press(call, digits, reply) => drop(reply.send(self.phone.send_digits(call, &digits))),
            TelephoneCommand::HangUp(call) => self.phone.hang_up(now, call),
        }
    }

    fn place_call(&mut self, now: Instant, id: ScriptId, dial: OutgoingCall) -> Option<PlacedCall> {
        let number = self.phone.dial(now, dial)?;
        let sip_call_id = String::from_utf8_lossy(self.phone.call(number)?.call_id()).into_owned();
        self.owners.add(&sip_call_id, Some(id));
        self.calls.insert(number, id);
        Some(PlacedCall { number, sip_call_id })
    }

    async fn drain(&mut self) {
        while let Some(output) = self.phone.poll_output() {
            match output {
                PhoneOutput::Transmit(transmit) => {
                    // The edge's timers end the call if the message is lost.
                    let _ = self.sip.send_to(&transmit.bytes, transmit.flow.remote).await;
                }
                PhoneOutput::Rtp { from, to, bytes, .. } => {
                    if let Some(socket) = self.media.get(&from) {
                        let _ = socket.send_to(&bytes, to).await;
                    }
                }
                PhoneOutput::Heard { call, samples, .. } => self.report(call, ScriptCallEvent::Heard(call, samples)),
                PhoneOutput::Event(PhoneEvent::Incoming(call)) => {
                    if let Some(id) = self.arriving.take() {
                        self.calls.insert(call, id);
                    }
                    let known = self.phone.call(call);
                    let number = known.map(|call| call.called().to_owned()).unwrap_or_default();
                    let from = known.map(|call| call.calling().to_owned()).unwrap_or_default();
                    self.report(call, ScriptCallEvent::Called { call, number, from });
                }
                PhoneOutput::Event(PhoneEvent::Answered(call)) => self.report(call, ScriptCallEvent::Answered(call)),
                PhoneOutput::Event(PhoneEvent::Ended(call, ending)) => {
                    self.report(call, ScriptCallEvent::Ended(call, ending))
                }
                PhoneOutput::Rtcp { .. } | PhoneOutput::Event(PhoneEvent::Ringing(_) | PhoneEvent::Heard(..)) => {}
            }
        }
    }

    /// Sends an event to the script of a call; ignored if the script has ended.
    fn report(&self, call: CallNumber, news: ScriptCallEvent) {
        let id = self.calls.get(&call);
        if let Some(extension) = self.extensions.iter().find(|extension| Some(&extension.id) == id) {
            let _ = extension.news.send((Instant::now(), news));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_invite_is_a_call_that_arrives() {
        let request = |method: &str| {
            let text = format!(
                "{method} sip:+14155550177@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKa\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:+14155550199@127.0.0.1>;tag=a\r\nTo: <sip:+14155550177@127.0.0.1>\r\n\
                 Call-ID: one\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
            );
            ArrivingCall::parse(&Bytes::from(text))
        };
        let [sip_call_id, number, from] = ["one", "+14155550177", "+14155550199"].map(str::to_owned);
        assert_eq!(request("INVITE"), Some(ArrivingCall { sip_call_id, number, from }));
        assert_eq!((request("BYE"), ArrivingCall::parse(&Bytes::from_static(b"INVITE"))), (None, None));
    }

    #[test]
    fn an_answer_is_given_to_one_call_of_its_number() {
        let (news, _news_in) = mpsc::unbounded_channel();
        let expected = vec![("1".to_owned(), AnswerScript::ring(Duration::ZERO)), ("1".to_owned(), default_answer())];
        let mut extension = OpenExtension { id: ScriptId(0), caller: "2".to_owned(), expected, news };
        assert!(extension.expects("1") && !extension.expects("2"));
        assert_eq!(extension.take_answer("1"), Some(AnswerScript::ring(Duration::ZERO)));
        assert_eq!((extension.take_answer("1"), extension.take_answer("1")), (Some(default_answer()), None));
    }
}
