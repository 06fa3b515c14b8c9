//! Registrar of the first trunk, at which the edge registers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_sip::{
    Credentials, EndpointConfig, EndpointEvent, EndpointInput, EndpointOutput, ExtraHeader, Flow, ListenerId,
    LocalAddress, Method, ProcessIdentity, ResponseSpec, ServerId, SipEndpoint, SipMessage, SipPartyId, Transport,
};

use crate::places::{EDGE, REGISTRAR};

/// Minimum lifetime of a binding, in seconds, that the registrar accepts when it is strict.
const LEAST_SECONDS: u32 = 120;

/// Behaviour of the registrar towards one REGISTER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistrarBehaviour {
    /// Accepts the REGISTER.
    Good,
    /// Rejects a short lifetime with 423 (Interval Too Brief), and accepts a longer one.
    Strict,
    /// Rejects the REGISTER with this status code and Retry-After.
    Refusing(u16),
    /// Does not respond at all.
    Silent,
}

/// Registrar with its SIP endpoint and bindings.
#[derive(Debug)]
pub(crate) struct Registrar {
    endpoint: SipEndpoint,
    /// Expiry time of the binding of each Contact.
    bindings: BTreeMap<String, Instant>,
}

impl Registrar {
    /// Returns a registrar without bindings. It requires the credentials `asks`, or none.
    pub(crate) fn new(asks: Option<Credentials>) -> Registrar {
        let config = EndpointConfig {
            identity: ProcessIdentity { edge: 99, generation: 0, shard: 0 },
            product: "registrar".into(),
            methods: vec![Method::Register],
            extensions: Vec::new(),
            message_bytes: trunkgate_sip::limits::MESSAGE_BYTES,
            limits: trunkgate_sip::EndpointLimits::default(),
        };
        let mut endpoint = SipEndpoint::new(config, [99; 32]);
        endpoint.require_credentials(SipPartyId(0), asks);
        Registrar { endpoint, bindings: BTreeMap::new() }
    }

    /// Returns the number of bindings that have not expired.
    pub(crate) fn bound(&self, now: Instant) -> usize {
        self.bindings.values().filter(|until| **until > now).count()
    }

    /// Handles a SIP message and returns the responses to it.
    pub(crate) fn receive(&mut self, now: Instant, bytes: Bytes, mood: RegistrarBehaviour) -> Vec<Bytes> {
        self.endpoint.handle_timeout(now);
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: EDGE, connection: None };
        let local = LocalAddress { ip: REGISTRAR.ip(), port: REGISTRAR.port() };
        if let Ok(message) = SipMessage::parse(bytes)
            && mood != RegistrarBehaviour::Silent
        {
            self.endpoint.handle_input(now, EndpointInput::Received { flow, local, party: SipPartyId(0), message });
        }
        let mut answers = Vec::new();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                EndpointOutput::Transmit(transmit) => answers.push(transmit.bytes),
                EndpointOutput::Event(EndpointEvent::Request { id: Some(id), request, .. }) => {
                    self.register(now, id, &request, mood)
                }
                EndpointOutput::Event(_) => {}
            }
        }
        answers
    }

    fn register(&mut self, now: Instant, id: ServerId, request: &SipMessage, mood: RegistrarBehaviour) {
        let seconds = request.seconds("Expires").unwrap_or_default();
        let extra = |name: &str, value: String| ExtraHeader { name: name.into(), value };
        let contact = request.contact().map(|contact| String::from_utf8_lossy(contact.uri).into_owned());
        let answer = match (mood, contact) {
            (RegistrarBehaviour::Refusing(code), _) => {
                ResponseSpec { code, headers: vec![extra("Retry-After", "3".into())], ..ResponseSpec::default() }
            }
            (RegistrarBehaviour::Strict, _) if (1..LEAST_SECONDS).contains(&seconds) => ResponseSpec {
                code: 423,
                headers: vec![extra("Min-Expires", LEAST_SECONDS.to_string())],
                ..ResponseSpec::default()
            },
            (_, None) => ResponseSpec { code: 400, ..ResponseSpec::default() },
            (_, Some(contact)) => {
                if seconds == 0 {
                    self.bindings.remove(&contact);
                } else {
                    self.bindings.insert(contact, now + Duration::from_secs(seconds.into()));
                }
                let bound = self.bindings.iter().filter(|(_, until)| **until > now).map(|(contact, until)| {
                    extra("Contact", format!("<{contact}>;expires={}", (*until - now).as_secs()))
                });
                ResponseSpec { code: 200, headers: bound.collect(), ..ResponseSpec::default() }
            }
        };
        self.endpoint.respond(now, id, answer);
    }
}
