//! Calls between two plain SIP parties through the edge, each with its own media sockets.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use trunkgate_media::rtp::RtpHeader;

use super::pace::Pace;
use super::sip::{Party, field, to_tag};
use super::{PATIENCE, Process, until};

/// Number that callers call.
pub(crate) const NUMBER: &str = "+14155550123";

/// SIP party with its media sockets.
pub(crate) struct Phone {
    pub(crate) sip: Party,
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    /// Address in the SDP of the phone; behind NAT, it differs from the phone's own.
    pub(crate) shown: IpAddr,
}

impl Phone {
    pub(crate) fn new(ip: &str) -> Phone {
        let (rtp, rtcp) = media_pair(ip.parse().unwrap());
        Phone { sip: Party::new(ip), rtp, rtcp, shown: ip.parse().unwrap() }
    }

    /// Creates a phone with another address in its SDP than that of its packets.
    pub(crate) fn behind_nat(ip: &str, shown: &str) -> Phone {
        Phone { shown: shown.parse().unwrap(), ..Phone::new(ip) }
    }

    /// Returns a table `[trunk.NAME]` for this phone.
    pub(crate) fn trunk(&self, name: &str) -> String {
        format!("[trunk.{name}]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n", self.sip.address)
    }

    pub(crate) fn rtp_address(&self) -> SocketAddr {
        self.rtp.local_addr().unwrap()
    }

    pub(crate) fn rtcp_address(&self) -> SocketAddr {
        self.rtcp.local_addr().unwrap()
    }

    /// Returns the phone's SDP with PCMU and these attributes.
    pub(crate) fn description(&self, version: u32, attributes: &str) -> String {
        let media = format!("m=audio {} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n{attributes}", self.rtp_address().port());
        self.described(version, &media)
    }

    /// Returns the phone's SDP with these sections.
    pub(crate) fn described(&self, version: u32, sections: &str) -> String {
        let (ip, family) = (self.shown, if self.shown.is_ipv6() { "IP6" } else { "IP4" });
        format!("v=0\r\no=- 1 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n{sections}")
    }
}

/// Binds a socket to an even port, and one to the next port.
fn media_pair(ip: IpAddr) -> (UdpSocket, UdpSocket) {
    loop {
        let rtp = UdpSocket::bind((ip, 0)).unwrap();
        let port = rtp.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind((ip, port + 1))
        {
            for socket in [&rtp, &rtcp] {
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
            }
            return (rtp, rtcp);
        }
    }
}

/// Answered call, with the messages that each side has received.
pub(crate) struct Call {
    pub(crate) id: String,
    /// SIP address at which the edge listens.
    pub(crate) sip: SocketAddr,
    /// Tag of the edge in the caller's dialog.
    pub(crate) tag: String,
    /// INVITE that the callee has received, and its source.
    pub(crate) invite: (String, SocketAddr),
    /// 200 that the caller has received.
    pub(crate) ok: String,
    /// Address for the caller's RTP at the edge.
    pub(crate) near: SocketAddr,
    /// Address for the callee's RTP at the edge.
    pub(crate) far: SocketAddr,
}

impl Phone {
    /// Answers an INVITE, or a second one if the media ports of the first were in use by another process; returns the
    /// INVITE for which an ACK has arrived.
    fn accept(&self, mut invite: (String, SocketAddr), answer: &str) -> (String, SocketAddr) {
        let agree = |invite: &(String, SocketAddr)| {
            self.sip.send(invite.1, &self.sip.answer_with(&invite.0, "200 OK", answer));
        };
        agree(&invite);
        loop {
            let next = self.sip.receive(" SIP/2.0");
            let is_its = field(&next.0, "Call-ID") == field(&invite.0, "Call-ID");
            match next.0.split(' ').next() {
                Some("ACK") if is_its => return invite,
                Some("INVITE") if !is_its => {
                    agree(&next);
                    invite = next;
                }
                Some("BYE") => self.sip.send(next.1, &self.sip.answer(&next.0, "200 OK", false)),
                _ => {}
            }
        }
    }
}

impl Call {
    /// Sets up a call from one phone to the other, each with its usual SDP.
    pub(crate) fn set_up(edge: &Process, id: &str, caller: &Phone, callee: &Phone) -> Call {
        Call::agree(edge.address("udp"), id, (caller, &caller.description(1, "")), (callee, &callee.description(1, "")))
    }

    /// Sets up a call with these SDPs, through the edge's listener `sip`.
    pub(crate) fn agree(
        sip: SocketAddr,
        id: &str,
        (caller, offer): (&Phone, &str),
        (callee, answer): (&Phone, &str),
    ) -> Call {
        caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), offer));
        let invite = callee.sip.receive("INVITE ");
        Call::answered(sip, id, caller, invite, (callee, answer))
    }

    /// Continues a call from the INVITE that the callee has received.
    pub(crate) fn answered(
        sip: SocketAddr,
        id: &str,
        caller: &Phone,
        invite: (String, SocketAddr),
        (callee, answer): (&Phone, &str),
    ) -> Call {
        let invite = callee.accept(invite, answer);
        let (ok, _) = caller.sip.receive("SIP/2.0 200");
        let tag = to_tag(&ok).to_owned();
        caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, id, (1, &tag), ""));
        let (near, far) = (media_of(&ok), media_of(&invite.0));
        for at in [near, far] {
            wait_until_bound(next_port(at));
        }
        Call { id: id.to_owned(), sip, tag, invite, ok, near, far }
    }

    /// Sends a re-INVITE of the caller with these SDPs of both sides; returns the 200 to the caller.
    pub(crate) fn change(
        &self,
        cseq: u32,
        (caller, offer): (&Phone, &str),
        (callee, answer): (&Phone, &str),
    ) -> String {
        let request = caller.sip.request_with("INVITE", NUMBER, self.sip, &self.id, (cseq, &self.tag), offer);
        caller.sip.send(self.sip, &request);
        let (invite, from) = callee.sip.receive("INVITE ");
        callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", answer));
        callee.sip.receive("ACK ");
        let ok = loop {
            let (ok, _) = caller.sip.receive("SIP/2.0 200");
            if field(&ok, "CSeq") == format!("{cseq} INVITE") {
                break ok;
            }
        };
        caller.sip.send(self.sip, &caller.sip.request_with("ACK", NUMBER, self.sip, &self.id, (cseq, &self.tag), ""));
        ok
    }

    /// Returns a request of the callee in its dialog with the edge.
    pub(crate) fn of_callee(&self, callee: &Phone, method: &str, cseq: u32, headers: &str) -> String {
        let (invite, me) = (&self.invite.0, callee.sip.address);
        let (from, to, id) = (field(invite, "To"), field(invite, "From"), field(invite, "Call-ID"));
        let uri = field(invite, "Contact").trim_start_matches('<').trim_end_matches('>');
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKcallee{method}{cseq}\r\nMax-Forwards: 70\r\n\
             From: {from};tag=callee\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:callee@{me}>\r\n{headers}Content-Length: 0\r\n\r\n"
        )
    }

    /// Hangs up the call at the caller.
    pub(crate) fn hang_up(&self, cseq: u32, caller: &Phone, callee: &Phone) {
        let bye = caller.sip.request_with("BYE", NUMBER, self.sip, &self.id, (cseq, &self.tag), "");
        caller.sip.send(self.sip, &bye);
        let (bye, from) = callee.sip.receive("BYE ");
        callee.sip.send(from, &callee.sip.answer_with(&bye, "200 OK", ""));
        caller.sip.receive("SIP/2.0 200");
    }
}

/// Returns the address of the first media stream in the edge's SDP.
pub(crate) fn media_of(message: &str) -> SocketAddr {
    let line =
        |start: &str| message.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{message}"));
    let ip: IpAddr = line("c=IN ").split(' ').nth(1).unwrap().parse().unwrap();
    SocketAddr::new(ip, line("m=").split(' ').nth(1).unwrap().parse().unwrap())
}

/// Waits until the edge has bound a port that it has offered: its workers bind ports asynchronously.
pub(crate) fn wait_until_bound(at: SocketAddr) {
    // The kernel's table shows this; an attempt to bind the port would take it from the edge.
    let (table, ip) = match at.ip() {
        IpAddr::V4(ip) => ("/proc/net/udp", format!("{:08X}", u32::from_ne_bytes(ip.octets()))),
        IpAddr::V6(ip) => {
            let words = ip.octets();
            let words = words.chunks_exact(4).map(|four| u32::from_ne_bytes(four.try_into().unwrap()));
            ("/proc/net/udp6", words.map(|word| format!("{word:08X}")).collect())
        }
    };
    let local = format!(" {ip}:{:04X} ", at.port());
    until("the port is bound", || std::fs::read_to_string(table).unwrap().contains(&local).then_some(()));
}

/// Returns the address of the RTCP port of a pair.
pub(crate) fn next_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + 1)
}

/// Returns an RTP packet of 20 ms.
pub(crate) fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    let timestamp = u32::from(sequence) * 160;
    let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload: 0..0 };
    header.build(&[sequence as u8; 160], &mut packet);
    packet
}

/// Returns an empty receiver report.
pub(crate) fn report(ssrc: u32) -> Vec<u8> {
    [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat()
}

/// Returns whether this is a keep-alive packet of the edge: only an RTP header. On a slow machine, they are more
/// frequent.
pub(crate) fn is_keep_alive(packet: &[u8]) -> bool {
    packet.len() == 12 && packet[0] == 0x80 && (96..128).contains(&packet[1])
}

/// Receives the next datagram on a socket and its source, skipping keep-alive packets.
pub(crate) fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 2048];
    loop {
        let (len, source) = socket.recv_from(&mut bytes).unwrap();
        if !is_keep_alive(&bytes[..len]) {
            return (bytes[..len].to_vec(), source);
        }
    }
}

/// Reads the packets that wait in a socket. Returns true if they are only keep-alive packets, or there are none.
pub(crate) fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 2048];
    let silent = std::iter::from_fn(|| socket.recv_from(&mut bytes).ok().map(|(len, _)| is_keep_alive(&bytes[..len])));
    let silent = silent.into_iter().all(|keep_alive| keep_alive);
    socket.set_nonblocking(false).unwrap();
    silent
}

/// Returns an RTP packet of 20 ms that is filled with a code.
pub(crate) fn packet(ssrc: u32, n: u16, code: u8) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(n.to_be_bytes());
    bytes.extend((u32::from(n) * 160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([code; 160]);
    bytes
}

/// Sends consecutive packets from a socket, 20 ms apart, until dropped.
pub(crate) struct Speaking {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Speaking {
    pub(crate) fn new(
        socket: &UdpSocket,
        to: SocketAddr,
        packet: impl Fn(u16) -> Vec<u8> + Send + 'static,
    ) -> Speaking {
        let (stop, socket) = (Arc::new(AtomicBool::new(false)), socket.try_clone().unwrap());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut n, mut pace) = (0, Pace::new());
            while !stopped.load(Ordering::Relaxed) {
                pace.wait();
                // ICMP errors from a closed port do not matter.
                let _ = socket.send_to(&packet(n), to);
                n = n.wrapping_add(1);
            }
        });
        Speaking { stop, thread: Some(thread) }
    }

    /// Sends one code as the caller of a call, and another as the callee, until dropped.
    pub(crate) fn codes(call: &Call, caller: &Phone, callee: &Phone, codes: (u8, u8)) -> [Speaking; 2] {
        [
            Speaking::new(&caller.rtp, call.near, move |n| packet(1, n, codes.0)),
            Speaking::new(&callee.rtp, call.far, move |n| packet(2, n, codes.1)),
        ]
    }

    /// Sends RTP like a phone with audio, until dropped.
    pub(crate) fn tone(socket: &UdpSocket, to: SocketAddr) -> Speaking {
        Speaking::new(socket, to, |n| rtp(7, n))
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}
