//! Credentials, and a phone's proof of them.
#![allow(clippy::wildcard_enum_match_arm, clippy::expect_used)] // one output of many is looked for

use bytes::Bytes;
use trunkgate_route::Credentials;
use trunkgate_sip::{
    EndpointConfig, EndpointLimits, EndpointOutput as SipOutput, InviteRequest, LocalAddress, Method, ProcessIdentity,
    RegisterRequest, SipEndpoint, SipMessage, SipPartyId,
};

use super::{Bench, Sent, udp};

/// Returns credentials of the user `acme`.
pub fn credentials(password: &str) -> Credentials {
    Credentials { username: "acme".into(), password: password.into(), realm: None }
}

/// Returns the Authorization that a phone with this password adds to OPTIONS after this refusal.
pub fn shown_by(password: &str, refusal: &Sent) -> String {
    shown(Method::Options, password, refusal)
}

/// Returns the Authorization for a REGISTER.
pub fn shown_registering(password: &str, refusal: &Sent) -> String {
    shown(Method::Register, password, refusal)
}

/// Returns the Authorization for an INVITE with this Request-URI.
pub fn shown_inviting(password: &str, uri: &str, refusal: &Sent) -> String {
    shown_to(Method::Invite, uri, password, refusal)
}

fn shown(method: Method, password: &str, refusal: &Sent) -> String {
    shown_to(method, "sip:edge", password, refusal)
}

fn shown_to(method: Method, uri: &str, password: &str, refusal: &Sent) -> String {
    let config = EndpointConfig {
        identity: ProcessIdentity { edge: 9, generation: 9, shard: 0 },
        product: "phone".into(),
        methods: vec![Method::Invite],
        extensions: vec![],
        message_bytes: 65_535,
        limits: EndpointLimits::default(),
    };
    let mut phone = SipEndpoint::new(config, [3; 32]);
    let Credentials { username, password, realm } = credentials(password);
    phone.set_credentials(SipPartyId(1), Some(Credentials { username, password, realm }));
    let (flow, local) = (udp("203.0.113.10:5060"), LocalAddress { ip: [198, 51, 100, 7].into(), port: 5060 });
    let now = Bench::new().now;
    if method == Method::Options {
        phone.options(now, flow, local, SipPartyId(1), uri);
    } else if method == Method::Invite {
        let (from, to) = ("<sip:acme@edge>".to_owned(), "<sip:b@edge>".to_owned());
        let (party, uri) = (SipPartyId(1), uri.to_owned());
        let (oversize, contact_user, max_forwards) = (None, String::new(), 70);
        let (headers, body) = (vec![], None);
        let invite =
            InviteRequest { flow, local, oversize, party, uri, from, to, contact_user, max_forwards, headers, body };
        phone.invite(now, invite);
    } else {
        let (uri, address) = (uri.to_owned(), "sip:acme@edge".to_owned());
        let (contact_user, expires, call_id, cseq) = (String::new(), 60, None, 1);
        let (party, contact_host) = (SipPartyId(1), None);
        let register =
            RegisterRequest { flow, local, party, uri, address, contact_user, contact_host, expires, call_id, cseq };
        phone.register(now, register);
    }
    // An ACK precedes the repeated request.
    let last = |phone: &mut SipEndpoint| {
        let mut sent = None;
        while let Some(output) = phone.poll_output() {
            if let SipOutput::Transmit(transmit) = output {
                sent = Some(SipMessage::parse(transmit.bytes).unwrap())
                    .filter(|sent| sent.method() != Method::Ack)
                    .or(sent);
            }
        }
        sent.unwrap()
    };
    let options = last(&mut phone);
    let value = |name: &str| String::from_utf8_lossy(options.header_named(name).unwrap()).into_owned();
    let challenges: String =
        refusal.headers("WWW-Authenticate").iter().map(|value| format!("WWW-Authenticate: {value}\r\n")).collect();
    let text = format!(
        "SIP/2.0 401 Unauthorized\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=x\r\nCall-ID: {}\r\nCSeq: {}\r\n{challenges}\
         Content-Length: 0\r\n\r\n",
        value("Via"),
        value("From"),
        value("To"),
        value("Call-ID"),
        value("CSeq"),
    );
    let message = SipMessage::parse(Bytes::from(text)).unwrap();
    phone.handle_input(now, trunkgate_sip::EndpointInput::Received { flow, local, party: SipPartyId(1), message });
    let again = last(&mut phone);
    let shown = String::from_utf8_lossy(again.header_named("Authorization").expect("an answer")).into_owned();
    // The method is part of the digest.
    assert_eq!(again.method(), method);
    format!("Authorization: {shown}\r\n")
}
