//! Endpoint under test with a scripted remote party, which sends and receives messages as text.

#![allow(dead_code)] // each test file uses only some of it

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_sip::{
    ClientId, ConnectionId, DialogId, DropReason, EndpointConfig, EndpointEvent, EndpointInput, EndpointLimits,
    EndpointOutput, ExtraHeader, Flow, HeaderName, InviteRequest, ListenerId, LocalAddress, MessageBody, Method,
    ProcessIdentity, ResponseSpec, ServerId, SipEndpoint, SipMessage, SipPartyId, SipTransmit, TimerReason, Transport,
};

pub(crate) const T1: Duration = Duration::from_millis(500);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

#[allow(clippy::disallowed_methods)] // tests need an arbitrary start time
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn config(edge: u32) -> EndpointConfig {
    EndpointConfig {
        identity: ProcessIdentity { edge, generation: 1, shard: 0 },
        product: "Trunkgate".into(),
        methods: vec![Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Options, Method::Update],
        extensions: vec![],
        message_bytes: 4096,
        limits: EndpointLimits::default(),
    }
}

pub(crate) const LOCAL: LocalAddress =
    LocalAddress { ip: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), port: 5060 };

pub(crate) fn flow(transport: Transport, remote: &str) -> Flow {
    let connection = transport.is_reliable().then_some(ConnectionId(1));
    Flow { transport, listener: ListenerId(0), remote: remote.parse().unwrap(), connection }
}

/// Endpoint with its clock and its latest outputs.
pub(crate) struct Edge {
    pub(crate) endpoint: SipEndpoint,
    pub(crate) now: Instant,
    /// Flow from the remote party.
    pub(crate) flow: Flow,
    pub(crate) party: SipPartyId,
    pub(crate) sent: Vec<SipTransmit>,
    pub(crate) events: Vec<EndpointEvent>,
}

impl Edge {
    pub(crate) fn new() -> Edge {
        Edge::with(config(1), Transport::Udp)
    }

    pub(crate) fn with(config: EndpointConfig, transport: Transport) -> Edge {
        let mut endpoint = SipEndpoint::new(config, [7; 32]);
        endpoint.set_reach(SipPartyId(1), ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap()).to_vec());
        Edge {
            endpoint,
            now: start(),
            flow: flow(transport, "198.51.100.7:5060"),
            party: SipPartyId(1),
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Collects the outputs since the last call, in place of the earlier ones.
    pub(crate) fn drain(&mut self) {
        self.sent.clear();
        self.events.clear();
        self.drain_more();
    }

    fn drain_more(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                EndpointOutput::Transmit(transmit) => self.sent.push(transmit),
                EndpointOutput::Event(event) => self.events.push(event),
            }
        }
        self.endpoint.check_invariants().unwrap();
    }

    /// Processes a message from the remote party.
    pub(crate) fn receive(&mut self, text: &str) {
        let message = SipMessage::parse(Bytes::from(text.to_owned())).unwrap();
        let (flow, party) = (self.flow, self.party);
        self.endpoint.handle_input(self.now, EndpointInput::Received { flow, local: LOCAL, party, message });
        self.drain();
    }

    /// Advances the clock, firing each timer at its own time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.sent.clear();
        self.events.clear();
        while let Some((at, _)) = self.endpoint.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.endpoint.handle_timeout(at);
            self.drain_more();
        }
        self.now = end;
    }

    /// Advances the clock by `time`; returns the send times of all messages meanwhile, in milliseconds from the
    /// beginning.
    pub(crate) fn times_of_sending(&mut self, time: Duration) -> Vec<u128> {
        let (begin, end) = (self.now, self.now + time);
        let mut times = Vec::new();
        while let Some((at, _)) = self.endpoint.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.endpoint.handle_timeout(at);
            self.drain();
            times.extend(self.sent.iter().map(|_| (at - begin).as_millis()));
        }
        self.now = end;
        times
    }

    pub(crate) fn next_reason(&self) -> Option<TimerReason> {
        self.endpoint.poll_timeout().map(|(_, reason)| reason)
    }

    /// Returns the start lines of the sent messages, without the SIP version.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.sent.iter().map(|t| first_line(&t.bytes)).collect()
    }

    /// Returns the only message sent.
    pub(crate) fn one(&self) -> SipMessage {
        assert_eq!(self.sent.len(), 1, "{:?}", self.lines());
        parse(&self.sent[0].bytes)
    }

    /// Returns the last message sent.
    pub(crate) fn last(&self) -> SipMessage {
        parse(&self.sent.last().expect("nothing was sent").bytes)
    }

    pub(crate) fn dropped(&self) -> Vec<DropReason> {
        let reasons =
            self.events.iter().filter_map(|event| if let EndpointEvent::Dropped(r) = event { Some(*r) } else { None });
        reasons.collect()
    }

    /// Returns the INVITE just received.
    pub(crate) fn invited(&self) -> ServerId {
        let id =
            self.events.iter().find_map(|e| if let EndpointEvent::Invite { id, .. } = e { Some(*id) } else { None });
        id.expect("no INVITE was reported")
    }

    /// Returns code and dialog of the response just received.
    pub(crate) fn response(&self) -> Option<(u16, Option<DialogId>)> {
        self.events.iter().find_map(|event| {
            if let EndpointEvent::Response { code, dialog, .. } = event { Some((*code, *dialog)) } else { None }
        })
    }

    /// Sends an INVITE. Returns its transaction and the message.
    pub(crate) fn invite(&mut self) -> (ClientId, SipMessage) {
        self.invite_with(vec![])
    }

    /// Sends an INVITE with additional headers.
    pub(crate) fn invite_with(&mut self, headers: Vec<ExtraHeader>) -> (ClientId, SipMessage) {
        self.invite_offering(headers, Some(MessageBody::sdp("v=0\r\n")))
    }

    /// Sends an INVITE with this offer, or without one.
    pub(crate) fn invite_offering(
        &mut self,
        headers: Vec<ExtraHeader>,
        body: Option<MessageBody>,
    ) -> (ClientId, SipMessage) {
        let mut way = self.flow;
        way.connection = None;
        let invite = InviteRequest {
            flow: way,
            local: LOCAL,
            party: self.party,
            uri: "sip:bob@198.51.100.7".into(),
            from: "\"Alice\" <sip:alice@192.0.2.1>".into(),
            to: "sip:bob@198.51.100.7".into(),
            oversize: None,
            contact_user: "edge".into(),
            max_forwards: 69,
            headers,
            body,
        };
        let id = self.endpoint.invite(self.now, invite);
        self.drain();
        let message = self.one();
        (id, message)
    }

    pub(crate) fn respond(&mut self, id: ServerId, code: u16) -> Option<DialogId> {
        let answer = ResponseSpec { code, contact_user: "edge".into(), ..ResponseSpec::default() };
        let dialog = self.endpoint.respond(self.now, id, answer);
        self.drain();
        dialog
    }

    /// Receives an INVITE, answers 200 and receives the ACK. Returns the confirmed dialog and our To tag.
    pub(crate) fn answered_call(&mut self) -> (DialogId, String) {
        self.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
        let id = self.invited();
        let dialog = self.respond(id, 200).unwrap();
        let tag = to_tag(&self.last());
        self.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
        assert!(matches!(self.events[..], [EndpointEvent::Ack { dialog: acked, .. }] if acked == dialog));
        (dialog, tag)
    }

    /// Sends an INVITE that is answered with 200, and acknowledges it. Returns its dialog and the INVITE.
    pub(crate) fn placed_call(&mut self, lines: &str) -> (DialogId, SipMessage) {
        let (_, invite) = self.invite();
        self.receive(&response(&invite, 200, "b1", lines));
        let (_, dialog) = self.response().unwrap();
        self.endpoint.ack(self.now, dialog.unwrap(), None);
        self.drain();
        (dialog.unwrap(), invite)
    }

    /// Checks that the endpoint has no state left after `time`.
    pub(crate) fn assert_empty_after(&mut self, time: Duration) {
        self.pass(time);
        assert_eq!(self.endpoint.counts(), trunkgate_sip::EndpointCounts::default());
        assert_eq!(self.endpoint.poll_timeout(), None);
    }
}

pub(crate) fn first_line(bytes: &Bytes) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    line.trim_end_matches(" SIP/2.0").trim_start_matches("SIP/2.0 ").to_owned()
}

pub(crate) fn parse(bytes: &Bytes) -> SipMessage {
    let message = SipMessage::parse(bytes.clone()).unwrap();
    assert_eq!(message.defect(), None, "{}", String::from_utf8_lossy(bytes));
    message
}

pub(crate) fn to_tag(message: &SipMessage) -> String {
    String::from_utf8(message.to_tag().expect("a To tag").to_vec()).unwrap()
}

/// Returns a header of a message as text.
pub(crate) fn value(message: &SipMessage, name: HeaderName) -> String {
    String::from_utf8(message.header(name).unwrap_or_else(|| panic!("no {name:?}")).to_vec()).unwrap()
}

/// Composes a request of the remote party, inside a dialog if `to_tag` is not empty. `lines` end in CRLF.
pub(crate) fn request(method: &str, cseq: u32, branch: &str, to_tag: &str, lines: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let contact = if lines.contains("Contact:") { "" } else { "Contact: <sip:alice@198.51.100.7:5060>\r\n" };
    format!(
        "{method} sip:edge@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch={branch}\r\n\
         From: <sip:alice@198.51.100.7>;tag=a1\r\nTo: <sip:bob@192.0.2.1>{to_tag}\r\nCall-ID: call-1\r\n\
         CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{contact}{lines}Content-Length: 0\r\n\r\n"
    )
}

/// Composes the remote party's response to a request of the edge, with a To tag if `tag` is not empty.
pub(crate) fn response(request: &SipMessage, code: u16, tag: &str, lines: &str) -> String {
    let mut to = value(request, HeaderName::To);
    if !tag.is_empty() && request.to_tag().is_none() {
        to.push_str(&format!(";tag={tag}"));
    }
    let contact = if lines.contains("Contact:") { "" } else { "Contact: <sip:bob@198.51.100.7:5060>\r\n" };
    format!(
        "SIP/2.0 {code} Whatever\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{contact}{lines}\
         Content-Length: 0\r\n\r\n",
        value(request, HeaderName::Via),
        value(request, HeaderName::From),
        value(request, HeaderName::CallId),
        value(request, HeaderName::CSeq),
    )
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
