//! Registrar of the first trunk, with which the edge registers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_sip::{
    Answer, Credentials, Endpoint, EndpointConfig, Event, Extra, Flow, Identity, Input, ListenerId, Local, Message,
    Method, Output, Party, ServerId, Transport,
};

use crate::places::{EDGE, REGISTRAR};

/// Minimum lifetime of a binding when the registrar is strict, in seconds.
const LEAST_SECONDS: u32 = 120;

/// Behaviour of the registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Accepts each REGISTER.
    Good,
    /// Rejects short lifetimes with 423, and accepts others.
    Strict,
    /// Rejects with this code and Retry-After.
    Refusing(u16),
    /// Does not respond.
    Silent,
}

/// State of the registrar.
#[derive(Debug)]
pub(crate) struct Registrar {
    endpoint: Endpoint,
    /// Expiry of each Contact's binding.
    bindings: BTreeMap<String, Instant>,
}

impl Registrar {
    /// Returns a registrar without bindings that requires these credentials.
    pub(crate) fn new(asks: Option<Credentials>) -> Registrar {
        let config = EndpointConfig {
            identity: Identity { edge: 99, generation: 0, shard: 0 },
            product: "registrar".into(),
            methods: vec![Method::Register],
            extensions: Vec::new(),
            message_bytes: trunkgate_sip::limits::MESSAGE_BYTES,
            limits: trunkgate_sip::Limits::default(),
        };
        let mut endpoint = Endpoint::new(config, [99; 32]);
        endpoint.require_credentials(Party(0), asks);
        Registrar { endpoint, bindings: BTreeMap::new() }
    }

    /// Returns the number of current bindings.
    pub(crate) fn bound(&self, now: Instant) -> usize {
        self.bindings.values().filter(|until| **until > now).count()
    }

    /// Handles a message. Returns the responses.
    pub(crate) fn receive(&mut self, now: Instant, bytes: Bytes, mood: Mood) -> Vec<Bytes> {
        self.endpoint.handle_timeout(now);
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: EDGE, connection: None };
        let local = Local { ip: REGISTRAR.ip(), port: REGISTRAR.port() };
        if let Ok(message) = Message::parse(bytes)
            && mood != Mood::Silent
        {
            self.endpoint.handle_input(now, Input::Received { flow, local, party: Party(0), message });
        }
        let mut answers = Vec::new();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => answers.push(transmit.bytes),
                Output::Event(Event::Request { id: Some(id), request, .. }) => self.register(now, id, &request, mood),
                Output::Event(_) => {}
            }
        }
        answers
    }

    fn register(&mut self, now: Instant, id: ServerId, request: &Message, mood: Mood) {
        let seconds = request.seconds("Expires").unwrap_or_default();
        let extra = |name: &str, value: String| Extra { name: name.into(), value };
        let contact = request.contact().map(|contact| String::from_utf8_lossy(contact.uri).into_owned());
        let answer = match (mood, contact) {
            (Mood::Refusing(code), _) => {
                Answer { code, headers: vec![extra("Retry-After", "3".into())], ..Answer::default() }
            }
            (Mood::Strict, _) if (1..LEAST_SECONDS).contains(&seconds) => Answer {
                code: 423,
                headers: vec![extra("Min-Expires", LEAST_SECONDS.to_string())],
                ..Answer::default()
            },
            (_, None) => Answer { code: 400, ..Answer::default() },
            (_, Some(contact)) => {
                if seconds == 0 {
                    self.bindings.remove(&contact);
                } else {
                    self.bindings.insert(contact, now + Duration::from_secs(seconds.into()));
                }
                let bound = self.bindings.iter().filter(|(_, until)| **until > now).map(|(contact, until)| {
                    extra("Contact", format!("<{contact}>;expires={}", (*until - now).as_secs()))
                });
                Answer { code: 200, headers: bound.collect(), ..Answer::default() }
            }
        };
        self.endpoint.respond(now, id, answer);
    }
}
