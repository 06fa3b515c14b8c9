//! SIP party that consists of text and one UDP socket: just enough for a call.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use super::PATIENCE;

pub(crate) struct Party {
    pub(crate) socket: UdpSocket,
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// Messages that a party has read, by which retransmissions are recognised.
#[derive(Default)]
struct Seen {
    /// Messages that [`Party::receive`] has returned.
    returned: HashSet<String>,
    /// Messages that were returned or skipped.
    read: HashSet<String>,
}

impl Party {
    pub(crate) fn new(ip: &str) -> Party {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = socket.local_addr().unwrap();
        Party { socket, address, seen: Arc::default() }
    }

    /// Returns a handle of the same party for another thread.
    pub(crate) fn shared(&self) -> Party {
        Party { socket: self.socket.try_clone().unwrap(), address: self.address, seen: Arc::clone(&self.seen) }
    }

    pub(crate) fn send(&self, to: SocketAddr, text: &str) {
        self.socket.send_to(text.as_bytes(), to).unwrap();
    }

    /// Receives the next message that was not returned yet and has `what` in its first line; skips others
    /// (retransmissions, 100).
    pub(crate) fn receive(&self, what: &str) -> (String, SocketAddr) {
        loop {
            let (text, from) = self.receive_any(what);
            if self.seen.lock().unwrap().returned.insert(text.clone()) {
                return (text, from);
            }
        }
    }

    /// Receives the next message that has `what` in its first line, even a retransmission.
    pub(crate) fn receive_any(&self, what: &str) -> (String, SocketAddr) {
        let mut buffer = vec![0; 65_535];
        let mut passed_over = Vec::new();
        loop {
            let (len, from) = match self.socket.recv_from(&mut buffer) {
                // A signal has stopped this process for a while.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                received => received.unwrap_or_else(|error| panic!("no {what} but {passed_over:?}: {error}")),
            };
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            self.seen.lock().unwrap().read.insert(text.clone());
            let first = text.lines().next().unwrap_or_default();
            if first.contains(what) {
                return (text, from);
            }
            passed_over.push(first.to_owned());
        }
    }

    /// Reads all messages that wait in the socket, and returns true if there is no new one; see [`Party::heard`].
    pub(crate) fn heard_nothing(&self) -> bool {
        let heard = self.heard();
        if !heard.is_empty() {
            eprintln!("heard {heard:?}");
        }
        heard.is_empty()
    }

    /// Reads all messages that wait in the socket. Returns them without retransmissions of messages read before, and
    /// without "100 Trying", which can come at any time on a slow machine.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 65_535];
        let mut next = || {
            self.socket
                .recv_from(&mut buffer)
                .ok()
                .map(|(length, _)| String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        let waiting: Vec<String> = std::iter::from_fn(&mut next).collect();
        self.socket.set_nonblocking(false).unwrap();
        let read = &self.seen.lock().unwrap().read;
        waiting.into_iter().filter(|text| !text.starts_with("SIP/2.0 100") && !read.contains(text)).collect()
    }

    /// Returns a request outside of a dialog, or in a dialog if `to_tag` and `cseq` are set.
    pub(crate) fn request(
        &self,
        method: &str,
        to: &str,
        edge: SocketAddr,
        call_id: &str,
        cseq: u32,
        to_tag: &str,
    ) -> String {
        let body = if method == "INVITE" { self.offer() } else { String::new() };
        self.request_with(method, to, edge, call_id, (cseq, to_tag), &body)
    }

    /// Returns a request with this SDP, unless it is empty.
    pub(crate) fn request_with(
        &self,
        method: &str,
        to: &str,
        edge: SocketAddr,
        call_id: &str,
        (cseq, to_tag): (u32, &str),
        body: &str,
    ) -> String {
        let me = self.address;
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:{to}@{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{call_id}{method}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+14155550100@{me}>;tag=caller\r\nTo: <sip:{to}@{edge}>{tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:caller@{me}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Returns the response of the party to a request.
    pub(crate) fn answer(&self, request: &str, status: &str, with_sdp: bool) -> String {
        self.answer_with(request, status, &if with_sdp { self.offer() } else { String::new() })
    }

    /// Returns the response of the party to a request, with this SDP unless it is empty.
    pub(crate) fn answer_with(&self, request: &str, status: &str, body: &str) -> String {
        let mut out = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for line in request.lines().take_while(|line| !line.is_empty()) {
                if line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')) {
                    let tag = if name == "To" && !line.contains(";tag=") { ";tag=callee" } else { "" };
                    out.push_str(&format!("{line}{tag}\r\n"));
                }
            }
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let (me, length) = (self.address, body.len());
        out.push_str(&format!("Contact: <sip:callee@{me}>\r\n{kind}Content-Length: {length}\r\n\r\n{body}"));
        out
    }

    fn offer(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port() & !1);
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    }
}

/// Returns the value of a header field.
pub(crate) fn field<'a>(message: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    message
        .lines()
        .find_map(|line| line.strip_prefix(prefix.as_str()))
        .unwrap_or_else(|| panic!("no {name} in {message}"))
}

/// Returns the tag in the To header of a message.
pub(crate) fn to_tag(message: &str) -> &str {
    field(message, "To").split_once(";tag=").unwrap().1.split(';').next().unwrap()
}
