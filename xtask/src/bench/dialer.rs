//! Sets up many calls through an edge, one after the other, over plain SIP by UDP: a caller and a called side of text
//! templates, two sockets for all of them.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::generator::{Pair, Paths};
use super::speech::Codec;
use super::srtp::{self, Suite};
use crate::interop::raw::Text;

/// The caller's address.
pub(crate) const NEAR: &str = "127.0.0.2";
/// The called side's address.
pub(crate) const FAR: &str = "127.0.0.3";

/// How long one message is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The two sides' signalling.
#[derive(Debug)]
pub(crate) struct Dialer {
    caller: UdpSocket,
    called: UdpSocket,
}

/// The payload number of Opus where we offer.
const OPUS: u8 = 111;

/// A body with one audio stream at `rtp`, in a codec under its number, the usual one where none is said; with `crypto` it
/// is SAVP.
pub(crate) fn sdp(rtp: SocketAddr, codec: Codec, number: Option<u8>, crypto: Option<&str>) -> String {
    let number = number.unwrap_or(match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::Opus => OPUS,
    });
    let rtpmap = codec.rtpmap();
    let profile = if crypto.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let crypto = crypto.map_or(String::new(), |line| format!("a=crypto:{line}\r\n"));
    let (ip, port) = (rtp.ip(), rtp.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} {profile} {number}\r\n\
         a=rtpmap:{number} {rtpmap}\r\n{crypto}"
    )
}

impl Dialer {
    /// Two sockets; where the called side listens is in `address`.
    pub(crate) fn new() -> anyhow::Result<Dialer> {
        let socket = |address: &str| -> anyhow::Result<UdpSocket> {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        };
        Ok(Dialer { caller: socket(NEAR)?, called: socket(FAR)? })
    }

    /// Where the called side listens.
    pub(crate) fn called(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.called.local_addr()?)
    }

    /// One call for each pair. With a suite, the called side speaks SRTP.
    pub(crate) fn dial(&self, edge: SocketAddr, pairs: &[Pair], suite: Option<Suite>) -> anyhow::Result<Vec<Paths>> {
        let paths = pairs.iter().enumerate().map(|(n, pair)| self.call(edge, n, pair, suite));
        paths.collect::<anyhow::Result<_>>().context("setting up calls")
    }

    fn call(&self, edge: SocketAddr, n: usize, pair: &Pair, suite: Option<Suite>) -> anyhow::Result<Paths> {
        let here = self.caller.local_addr()?;
        let number = format!("+1415555{n:04}");
        let target = format!("sip:{number}@{edge}");
        let from = format!("From: <sip:bench@{here}>;tag=near{n}\r\nCall-ID: bench-{n}-{}\r\n", here.port());
        let body = sdp(pair.near.local_addr()?, pair.codecs.0, None, None);
        self.send(
            &self.caller,
            edge,
            &format!(
                "INVITE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKi{n};rport\r\nMax-Forwards: 70\r\n\
                 {from}To: <{target}>\r\nCSeq: 1 INVITE\r\nContact: <sip:bench@{here}>\r\n\
                 Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        )?;
        let (invite, from_edge) = receive(&self.called, request("INVITE ", &number))?;
        let keys = suite.map(|suite| srtp::answer(&invite, suite)).transpose()?;
        let payload = pair.codecs.1.number_in(&invite)?;
        let crypto = keys.as_ref().map(|(line, _)| line.as_str());
        let body = sdp(pair.far.local_addr()?, pair.codecs.1, Some(payload), crypto);
        self.send(&self.called, from_edge, &self.ok(&invite, &body)?)?;
        let (answer, _) = receive(&self.caller, |text| text.code().is_some_and(|code| code >= 200))?;
        if answer.code() != Some(200) {
            bail!("{} instead of an answer", answer.first());
        }
        let contact = answer.header("Contact").trim_matches(['<', '>']);
        self.send(
            &self.caller,
            edge,
            &format!(
                "ACK {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKa{n};rport\r\nMax-Forwards: 70\r\n\
                 {from}To: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
                answer.header("To")
            ),
        )?;
        receive(&self.called, request("ACK ", &number))?;
        let near = answer.media().context("no media in the 200")?;
        let far = invite.media().context("no media in the INVITE")?;
        let numbers = (pair.codecs.0.number_in(&answer)?, payload);
        Ok(Paths { near, far, numbers, keys: keys.map(|(_, keys)| keys) })
    }

    fn ok(&self, invite: &Text, body: &str) -> anyhow::Result<String> {
        let vias: String = invite.all("Via").map(|via| format!("Via: {via}\r\n")).collect();
        Ok(format!(
            "SIP/2.0 200 OK\r\n{vias}From: {}\r\nTo: {};tag=far\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:bench@{}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            invite.header("From"),
            invite.header("To"),
            invite.header("Call-ID"),
            invite.header("CSeq"),
            self.called()?,
            body.len()
        ))
    }

    fn send(&self, socket: &UdpSocket, to: SocketAddr, text: &str) -> anyhow::Result<()> {
        socket.send_to(text.as_bytes(), to)?;
        Ok(())
    }
}

/// A request of the call to this number: one of an earlier call may have been sent again.
fn request(method: &str, number: &str) -> impl Fn(&Text) -> bool {
    move |text| text.first().starts_with(method) && text.header("To").contains(number)
}

/// The next message that is `wanted`; others (100, retransmissions) are passed over.
fn receive(socket: &UdpSocket, wanted: impl Fn(&Text) -> bool) -> anyhow::Result<(Text, SocketAddr)> {
    let began = Instant::now();
    let mut buffer = vec![0; 65_535];
    while began.elapsed() < PATIENCE {
        let (len, from) = socket.recv_from(&mut buffer)?;
        let text = Text(String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned());
        if wanted(&text) {
            return Ok((text, from));
        }
    }
    bail!("what was waited for did not come")
}
