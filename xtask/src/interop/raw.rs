//! Plain phone made of text templates and two sockets, which shares no code with the edge's SIP.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::rtp;

/// Phone with a SIP and an RTP socket on one loopback address.
#[derive(Debug)]
pub(crate) struct Phone {
    /// Socket for SIP.
    pub(crate) sip: UdpSocket,
    /// Socket for RTP.
    pub(crate) rtp: UdpSocket,
    /// Socket for RTCP on the port after that of RTP.
    _rtcp: UdpSocket,
    label: &'static str,
    /// Host in Contact, if it is not the phone's own address, so that only a proxy can reach the phone.
    pub(crate) contact: Option<String>,
    /// Whether the phone offers telephone-events (RFC 4733), as payload type 101.
    pub(crate) telephone_events: bool,
}

/// Dialog of a call at a phone, and the destination of its media.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    edge: SocketAddr,
    call_id: String,
    /// Our address with tag, as in From of our requests.
    us: String,
    /// Address of the remote side with its tag.
    them: String,
    target: String,
    /// Route set of the dialog: values of Route, in order.
    routes: Vec<String>,
    /// CSeq of our last request.
    cseq: u32,
    /// Number that distinguishes the branches of this call from those of other calls.
    serial: u32,
    /// Destination of our RTP.
    pub(crate) media: SocketAddr,
}

/// Transport and address from which a party sends its requests.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Name of the transport as in Via.
    pub(crate) transport: &'static str,
    /// Local address of the transport.
    pub(crate) here: SocketAddr,
    /// URI in Contact.
    pub(crate) contact: String,
}

/// INVITE that begins a call, with the other requests of its transaction.
#[derive(Debug, Clone)]
pub(crate) struct Invitation {
    origin: Origin,
    /// Our address with tag, as in From.
    us: String,
    target: String,
    /// Call-ID of the call.
    pub(crate) call_id: String,
    serial: u32,
}

impl Invitation {
    /// Creates the INVITE of a new call from `user` to the URI `target`.
    pub(crate) fn new(origin: Origin, user: &str, target: String) -> Invitation {
        let (here, serial) = (origin.here, serial());
        let us = format!("<sip:{user}@{here}>;tag=raw{}x{serial}", here.port());
        Invitation { us, target, call_id: format!("raw-{}-{serial}", here.port()), serial, origin }
    }

    fn request(&self, method: &str, to: &str, lines: &str, body: &str) -> String {
        let Invitation { origin: Origin { transport, here, .. }, us, target, call_id, serial } = self;
        let to = if to.is_empty() { format!("<{target}>") } else { to.to_owned() };
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{transport} {here};branch=z9hG4bKinv{}x{serial};rport\r\n\
             Max-Forwards: 70\r\nFrom: {us}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n{lines}\
             Content-Length: {}\r\n\r\n{body}",
            here.port(),
            body.len()
        )
    }

    /// Returns the INVITE with this offer.
    pub(crate) fn invite(&self, body: &str) -> String {
        let lines = format!("Contact: <{}>\r\nContent-Type: application/sdp\r\n", self.origin.contact);
        self.request("INVITE", "", &lines, body)
    }

    /// Returns the ACK of a rejection, which belongs to the transaction of the INVITE (RFC 3261 §17.1.1.3).
    pub(crate) fn ack(&self, rejection: &Text) -> String {
        self.request("ACK", rejection.header("To"), "", "")
    }

    /// Returns the CANCEL, which has the branch of the INVITE (RFC 3261 §9.1).
    pub(crate) fn cancel(&self) -> String {
        self.request("CANCEL", "", "", "")
    }

    /// Returns the dialog that a 2xx of `edge` has made.
    pub(crate) fn dialog(&self, edge: SocketAddr, answer: &Text) -> anyhow::Result<Call> {
        let mut routes: Vec<String> = answer.all("Record-Route").map(str::to_owned).collect();
        routes.reverse();
        Ok(Call {
            edge,
            call_id: self.call_id.clone(),
            us: self.us.clone(),
            them: answer.header("To").to_owned(),
            target: uri(answer.header("Contact")),
            routes,
            cseq: 1,
            serial: self.serial,
            media: answer.media().context("no media in the 200")?,
        })
    }
}

impl Call {
    /// Returns the dialog of a party that has accepted this INVITE with `tag`.
    pub(crate) fn accepted(edge: SocketAddr, invite: &Text, tag: &str) -> anyhow::Result<Call> {
        Ok(Call {
            edge,
            call_id: invite.header("Call-ID").to_owned(),
            us: format!("{};tag={tag}", invite.header("To")),
            them: invite.header("From").to_owned(),
            target: uri(invite.header("Contact")),
            routes: invite.all("Record-Route").map(str::to_owned).collect(),
            cseq: 0,
            serial: serial(),
            media: invite.media().context("no media in the INVITE")?,
        })
    }

    /// Returns the next request of the dialog, with further header lines, and its CSeq.
    pub(crate) fn next_request(&mut self, origin: &Origin, method: &str, lines: &str, body: &str) -> (String, u32) {
        self.cseq += 1;
        (self.request(origin, (method, method), self.cseq, (lines, body)), self.cseq)
    }

    /// Returns a request of the dialog; an ACK to a rejection belongs to the transaction of another method (RFC 3261
    /// §17.1.1.3).
    pub(crate) fn request(
        &self,
        origin: &Origin,
        (method, transaction): (&str, &str),
        cseq: u32,
        (lines, body): (&str, &str),
    ) -> String {
        let Origin { transport, here, contact } = origin;
        let routes: String = self.routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/{transport} {here};branch=z9hG4bK{transaction}{cseq}x{}x{};rport\r\n{routes}\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <{contact}>\r\n\
             {lines}{kind}Content-Length: {}\r\n\r\n{body}",
            self.target,
            here.port(),
            self.serial,
            self.us,
            self.them,
            self.call_id,
            body.len()
        )
    }
}

/// SIP message as text.
#[derive(Debug, Clone)]
pub(crate) struct Text(pub(crate) String);

impl Text {
    /// Returns the first line of the message.
    pub(crate) fn first(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// Returns the status code of a response; `None` for a request.
    pub(crate) fn code(&self) -> Option<u16> {
        self.first().strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// Returns the first value of a header; empty if the header is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        find(&self.0, name).next().unwrap_or_default()
    }

    /// Returns all values of a header.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        find(&self.0, name)
    }

    /// Returns the SDP or other body of the message.
    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// Returns a response to this request; `tag` is the one of To, unless the request has one.
    pub(crate) fn response(&self, status: &str, tag: &str, contact: &str, body: &str) -> String {
        let vias: String = self.all("Via").map(|via| format!("Via: {via}\r\n")).collect();
        let routes: String = self.all("Record-Route").map(|route| format!("Record-Route: {route}\r\n")).collect();
        let tag = if self.header("To").contains("tag=") { String::new() } else { format!(";tag={tag}") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "SIP/2.0 {status}\r\n{vias}{routes}From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <{contact}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.header("From"),
            self.header("To"),
            self.header("Call-ID"),
            self.header("CSeq"),
            body.len()
        )
    }

    /// Returns the direction that answers the one in the message's SDP (RFC 3264 §6.1).
    pub(crate) fn mirrored(&self) -> &'static str {
        let offered = |direction: &str| self.0.lines().any(|line| line.trim_end() == format!("a={direction}"));
        match (offered("sendonly"), offered("recvonly"), offered("inactive")) {
            (true, ..) => "recvonly",
            (_, true, _) => "sendonly",
            (.., true) => "inactive",
            _ => "sendrecv",
        }
    }

    /// Returns the RTP address in the message's SDP.
    pub(crate) fn media(&self) -> Option<SocketAddr> {
        let ip = self.0.lines().find_map(|line| line.strip_prefix("c=IN IP4 "))?;
        let port = self.0.lines().find_map(|line| line.strip_prefix("m=audio "))?.split(' ').next()?;
        Some(SocketAddr::new(ip.trim().parse().ok()?, port.parse().ok()?))
    }
}

/// Binds a socket to an even port of the address, and one to the next port.
pub(crate) fn media_pair(address: &str) -> anyhow::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..100 {
        let rtp = UdpSocket::bind((address, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((address, port + 1))
        {
            return Ok((rtp, rtcp));
        }
    }
    bail!("no pair of free ports on {address}")
}

/// Returns all values of a header in a message, in order.
fn find<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let name = name.to_owned();
    text.lines().filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(&name).then_some(value.trim())
    })
}

/// Returns a number that no other call of this process has.
pub(crate) fn serial() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Returns the URI inside the angle brackets of a header value.
pub(crate) fn uri(header: &str) -> String {
    header.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(header, |(uri, _)| uri).to_owned()
}

impl Phone {
    /// Creates a phone at `address`; with `port` 0, at any free SIP port.
    pub(crate) fn new(address: &str, port: u16, label: &'static str) -> anyhow::Result<Phone> {
        let sip = UdpSocket::bind((address, port)).with_context(|| format!("{address}:{port}"))?;
        sip.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (rtp, rtcp) = media_pair(address)?;
        rtp.set_read_timeout(Some(Duration::from_millis(5)))?;
        Ok(Phone { sip, rtp, _rtcp: rtcp, label, contact: None, telephone_events: false })
    }

    /// Returns the phone's SDP, for an offer or an answer: PCMU, both ways.
    pub(crate) fn sdp(&self) -> anyhow::Result<String> {
        self.sdp_of(1, "sendrecv")
    }

    fn sdp_of(&self, version: u32, direction: &str) -> anyhow::Result<String> {
        let rtp = self.rtp.local_addr()?;
        let (format, events) = match self.telephone_events {
            true => (" 101", "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"),
            false => ("", ""),
        };
        Ok(format!(
            "v=0\r\no=- 1 {version} IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP 0{format}\r\n\
             a=rtpmap:0 PCMU/8000\r\n{events}a={direction}\r\n",
            rtp.ip(),
            rtp.port()
        ))
    }

    fn origin(&self, user: &str) -> anyhow::Result<Origin> {
        Ok(Origin { transport: "UDP", here: self.sip.local_addr()?, contact: self.contact(user)? })
    }

    fn contact(&self, user: &str) -> anyhow::Result<String> {
        let here = self.sip.local_addr()?;
        Ok(self.contact.clone().unwrap_or_else(|| format!("sip:{user}@{here}")))
    }

    /// Returns the next message to the phone, or `None` after `limit`.
    pub(crate) fn receive(&self, limit: Duration) -> anyhow::Result<Option<(Text, SocketAddr)>> {
        let began = Instant::now();
        let mut buffer = vec![0; 65_535];
        while began.elapsed() < limit {
            if let Ok((n, from)) = self.sip.recv_from(&mut buffer) {
                let bytes = buffer.get(..n).unwrap_or_default();
                return Ok(Some((Text(String::from_utf8_lossy(bytes).into_owned()), from)));
            }
        }
        Ok(None)
    }

    /// Calls `number` through `edge` and waits for the answer.
    pub(crate) fn call(&self, edge: SocketAddr, number: &str) -> anyhow::Result<Call> {
        self.call_with(edge, number, &self.sdp()?)
    }

    /// Calls `number` with `body` as the offer.
    pub(crate) fn call_with(&self, edge: SocketAddr, number: &str, body: &str) -> anyhow::Result<Call> {
        let begun = Invitation::new(self.origin(self.label)?, self.label, format!("sip:{number}@{edge}"));
        let invite = begun.invite(body);
        let began = Instant::now();
        let mut heard = false;
        while began.elapsed() < Duration::from_secs(20) {
            if !heard {
                self.sip.send_to(invite.as_bytes(), edge)?;
            }
            let Some((text, _)) = self.receive(Duration::from_millis(500))? else { continue };
            heard = true;
            match text.code() {
                Some(100..=199) => {}
                Some(200..=299) => {
                    let call = begun.dialog(edge, &text)?;
                    self.request(&call, "ACK", 1)?;
                    return Ok(call);
                }
                _ => {
                    self.sip.send_to(begun.ack(&text).as_bytes(), edge)?;
                    bail!("{} instead of an answer", text.first())
                }
            }
        }
        bail!("no answer within 20 s")
    }

    /// Waits for a call and answers it: 180, then 200 until the ACK arrives.
    pub(crate) fn answer(&self) -> anyhow::Result<Call> {
        self.answer_after(Duration::ZERO)
    }

    /// Waits for a call and answers it after ringing for a while.
    pub(crate) fn answer_after(&self, ringing: Duration) -> anyhow::Result<Call> {
        self.answer_by(|_| {
            std::thread::sleep(ringing);
            self.sdp()
        })
    }

    /// Waits for a call and answers it with the SDP that `describe` makes from the offer.
    pub(crate) fn answer_by(&self, describe: impl FnOnce(&str) -> anyhow::Result<String>) -> anyhow::Result<Call> {
        let (invite, edge) = self.called()?;
        self.accept(&invite, edge, describe)
    }

    /// Waits for a call; returns the INVITE, and the address to which responses go.
    pub(crate) fn called(&self) -> anyhow::Result<(Text, SocketAddr)> {
        let (invite, edge) = self.receive(Duration::from_secs(20))?.context("no INVITE within 20 s")?;
        if !invite.first().starts_with("INVITE ") {
            bail!("{} instead of an INVITE", invite.first());
        }
        Ok((invite, edge))
    }

    /// Answers the call of this INVITE: 180, then 200 until the ACK arrives.
    pub(crate) fn accept(
        &self,
        invite: &Text,
        edge: SocketAddr,
        describe: impl FnOnce(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<Call> {
        let call = Call::accepted(edge, invite, "callee")?;
        self.reply(invite, edge, "180 Ringing", "")?;
        let body = describe(invite.body())?;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            self.reply(invite, edge, "200 OK", &body)?;
            if let Some((text, _)) = self.receive(Duration::from_millis(500))?
                && text.first().starts_with("ACK ")
            {
                return Ok(call);
            }
        }
        bail!("no ACK within 20 s")
    }

    /// Sends a response to a request.
    pub(crate) fn reply(&self, request: &Text, to: SocketAddr, status: &str, body: &str) -> anyhow::Result<()> {
        let text = request.response(status, "callee", &self.contact("callee")?, body);
        self.sip.send_to(text.as_bytes(), to)?;
        Ok(())
    }

    fn request(&self, call: &Call, method: &str, cseq: u32) -> anyhow::Result<()> {
        self.request_with(call, (method, method), cseq, "")
    }

    /// Sends a request in a dialog; an ACK to a rejection belongs to the transaction of another method.
    fn request_with(&self, call: &Call, methods: (&str, &str), cseq: u32, body: &str) -> anyhow::Result<()> {
        let text = call.request(&self.origin(self.label)?, methods, cseq, ("", body));
        self.sip.send_to(text.as_bytes(), call.edge)?;
        Ok(())
    }

    /// Sends BYE in a call and waits for the response.
    pub(crate) fn bye(&self, call: &Call) -> anyhow::Result<()> {
        for _ in 0..20 {
            self.request(call, "BYE", call.cseq + 1)?;
            if let Some((text, _)) = self.receive(Duration::from_millis(500))?
                && text.code() == Some(200)
            {
                return Ok(());
            }
        }
        bail!("no answer to BYE")
    }

    /// Offers the same media with this direction until the remote side accepts, retrying while another offer is pending
    /// (491).
    pub(crate) fn reinvite(&self, call: &mut Call, direction: &str) -> anyhow::Result<()> {
        for _ in 0..20 {
            call.cseq += 1;
            let body = self.sdp_of(1 + call.cseq, direction)?;
            self.request_with(call, ("INVITE", "INVITE"), call.cseq, &body)?;
            let number = format!("{} INVITE", call.cseq);
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(5) {
                let Some((text, _)) = self.receive(Duration::from_millis(500))? else { continue };
                match text.code().filter(|_| text.header("CSeq") == number) {
                    Some(200) => return self.request(call, "ACK", call.cseq),
                    Some(491) => {
                        self.request_with(call, ("ACK", "INVITE"), call.cseq, "")?;
                        std::thread::sleep(Duration::from_millis(200));
                        break;
                    }
                    Some(300..) => bail!("{} instead of agreement", text.first()),
                    _ => {}
                }
            }
        }
        bail!("no agreement to a re-INVITE")
    }

    /// Waits for a re-INVITE and accepts it.
    pub(crate) fn expect_reinvite(&self) -> anyhow::Result<()> {
        let (invite, from) = self.expect("INVITE ")?;
        let body = self.sdp_of(1 + serial(), invite.mirrored())?;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            self.reply(&invite, from, "200 OK", &body)?;
            if let Some((text, _)) = self.receive(Duration::from_millis(500))?
                && text.first().starts_with("ACK ")
            {
                return self.is_well_led(&text);
            }
        }
        bail!("no ACK to a re-INVITE within 20 s")
    }

    /// Waits for a BYE and answers it.
    pub(crate) fn expect_bye(&self) -> anyhow::Result<()> {
        let (text, from) = self.expect("BYE ")?;
        self.reply(&text, from, "200 OK", "")
    }

    /// Waits for the ACK of a final response.
    pub(crate) fn expect_ack(&self) -> anyhow::Result<()> {
        self.expect("ACK ").map(drop)
    }

    /// Waits for the next request with this beginning.
    pub(crate) fn expect(&self, beginning: &str) -> anyhow::Result<(Text, SocketAddr)> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if let Some((text, from)) = self.receive(Duration::from_millis(500))?
                && text.first().starts_with(beginning)
            {
                self.is_well_led(&text)?;
                return Ok((text, from));
            }
        }
        bail!("no {beginning}within 20 s")
    }

    /// Checks that a request in a dialog was sent to the phone's own Contact, with the whole route set.
    fn is_well_led(&self, request: &Text) -> anyhow::Result<()> {
        match &self.contact {
            Some(contact)
                if !request.first().contains(&format!(" {contact} ")) || !request.header("Route").is_empty() =>
            {
                bail!("a request was led wrong:\n{}", request.0)
            }
            _ => Ok(()),
        }
    }

    /// Sends `payloads` to `to` at intervals of 20 ms; returns the packets received meanwhile, and until 500 ms after
    /// the last one sent.
    pub(crate) fn talk(&self, to: SocketAddr, payloads: &[Vec<u8>]) -> anyhow::Result<BTreeMap<u16, Vec<u8>>> {
        let mut heard = BTreeMap::new();
        let mut buffer = [0; 2_048];
        let began = Instant::now();
        let mut sent = 0;
        loop {
            let due = began + Duration::from_millis(20) * u32::try_from(sent)?;
            match payloads.get(sent) {
                Some(payload) if Instant::now() >= due => {
                    let at = u32::try_from(sent)?;
                    self.rtp.send_to(&rtp::packet(u16::try_from(at)?, at * 160, 0x7261_7700, payload), to)?;
                    sent += 1;
                }
                None if Instant::now() >= due + Duration::from_millis(500) => return Ok(heard),
                _ => {}
            }
            if let Ok(n) = self.rtp.recv(&mut buffer)
                && let Some((sequence, payload)) = rtp::read(buffer.get(..n).unwrap_or_default())
            {
                heard.insert(sequence, payload.to_vec());
            }
        }
    }
}

/// Returns a tone in `packets` payloads of 20 ms; each payload begins with its number, so that no two are equal.
pub(crate) fn numbered_tone(packets: u32) -> Vec<Vec<u8>> {
    (0..packets).map(numbered).collect()
}

/// Returns 20 ms of a tone that continues from payload to payload.
pub(crate) fn tone_frame(number: u32) -> Vec<u8> {
    static CYCLE: OnceLock<Vec<u8>> = OnceLock::new();
    // The tone repeats after 800 samples.
    let cycle = CYCLE.get_or_init(|| rtp::tone_ulaw(800));
    let from = usize::try_from(number % 5).unwrap_or(0) * 160;
    cycle.get(from..from + 160).unwrap_or_default().to_vec()
}

/// Returns 20 ms of the tone, with the number at the beginning.
pub(crate) fn numbered(number: u32) -> Vec<u8> {
    let mut payload = tone_frame(number);
    for (slot, byte) in payload.iter_mut().zip(number.to_be_bytes()) {
        *slot = byte;
    }
    payload
}

/// Returns the number of a payload made by [`numbered`], if the payload is unchanged.
pub(crate) fn number_of(payload: &[u8]) -> Option<u32> {
    let number = u32::from_be_bytes(payload.get(..4)?.try_into().ok()?);
    (numbered(number) == payload).then_some(number)
}

/// Counts the payloads of `sent` that were received unchanged.
pub(crate) fn identical(sent: &[Vec<u8>], heard: &BTreeMap<u16, Vec<u8>>) -> usize {
    sent.iter()
        .enumerate()
        .filter(|(number, payload)| {
            u16::try_from(*number).ok().and_then(|number| heard.get(&number)).is_some_and(|came| came == *payload)
        })
        .count()
}
