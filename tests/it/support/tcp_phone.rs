//! SIP phone on one TCP connection. It never connects again: the end of the connection fails the test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use sha2::{Digest as _, Sha256};
use socket2::{Domain, Socket, Type};

use super::PATIENCE;
use super::calls::{NUMBER, Phone};
use super::sip::field;

pub(crate) struct TcpPhone {
    /// Phone with the media sockets, which also formats the messages.
    pub(crate) phone: Phone,
    stream: TcpStream,
    received: String,
}

impl TcpPhone {
    /// Connects to the edge from an address.
    pub(crate) fn connect(ip: &str, edge: SocketAddr) -> TcpPhone {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(ip.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&edge.into()).unwrap();
        TcpPhone::on(socket.into(), Phone::new(ip))
    }

    /// Accepts the edge's connection to a listener.
    pub(crate) fn accept(listener: &TcpListener, phone: Phone) -> TcpPhone {
        TcpPhone::on(listener.accept().unwrap().0, phone)
    }

    fn on(stream: TcpStream, phone: Phone) -> TcpPhone {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        TcpPhone { phone, stream, received: String::new() }
    }

    /// Returns another handle of the phone's connection.
    pub(crate) fn stream(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    pub(crate) fn send(&self, text: &str) {
        (&self.stream).write_all(text.as_bytes()).unwrap();
    }

    /// Receives the next message, which must have `what` in its first line; skips 100.
    pub(crate) fn receive(&mut self, what: &str) -> String {
        loop {
            let message = self.next();
            let first = message.lines().next().unwrap_or_default();
            if !first.starts_with("SIP/2.0 100") {
                assert!(first.contains(what), "not {what}: {message}");
                return message;
            }
        }
    }

    fn next(&mut self) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.received.find("\r\n\r\n") {
                let length: usize = field(&self.received, "Content-Length").trim().parse().unwrap();
                if self.received.len() >= end + 4 + length {
                    let rest = self.received.split_off(end + 4 + length);
                    return std::mem::replace(&mut self.received, rest);
                }
            }
            let length = self.stream.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "closed after {:?}", self.received);
            self.received.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    /// Returns a request with the transport and address of this connection, in a dialog if there is a tag.
    pub(crate) fn request(
        &self,
        method: &str,
        edge: SocketAddr,
        call_id: &str,
        (cseq, tag): (u32, &str),
        body: &str,
    ) -> String {
        self.on_stream(&self.phone.sip.request_with(method, NUMBER, edge, call_id, (cseq, tag), body))
    }

    /// Returns the response to a received request.
    pub(crate) fn answer(&self, request: &str, status: &str, body: &str) -> String {
        self.on_stream(&self.phone.sip.answer_with(request, status, body))
    }

    /// Returns a message with the transport and address of this connection.
    pub(crate) fn on_stream(&self, text: &str) -> String {
        let own = self.stream.local_addr().unwrap().to_string();
        text.replace("Via: SIP/2.0/UDP", "Via: SIP/2.0/TCP").replace(&self.phone.sip.address.to_string(), &own)
    }
}

/// Returns the Authorization of a REGISTER after a challenge.
pub(crate) fn authorization(challenge: &str, user: &str, password: &str, uri: &str) -> String {
    let challenges = challenge.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: "));
    let challenge = challenges.into_iter().find(|one| one.contains("SHA-256")).unwrap();
    let of_challenge = |name: &str| challenge.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
    let (realm, nonce) = (of_challenge("realm"), of_challenge("nonce"));
    let hash =
        |text: String| -> String { Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect() };
    let (secret, request) = (hash(format!("{user}:{realm}:{password}")), hash(format!("REGISTER:{uri}")));
    let response = hash(format!("{secret}:{nonce}:00000001:c:auth:{request}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\", response=\"{response}\"\r\n"
    )
}
