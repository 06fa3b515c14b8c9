//! Sets up many calls through an edge in sequence, over plain SIP: a caller and a called side that send text templates,
//! with two UDP sockets or TLS connections for all calls.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use rustls::pki_types::CertificateDer;

use super::generator::{Pair, Paths};
use super::line::Line;
use super::speech::Codec;
use super::srtp::{self, Suite};
use crate::interop::raw::Text;

/// IP address of the caller.
pub(crate) const NEAR: &str = "127.0.0.2";
/// IP address of the called side.
pub(crate) const FAR: &str = "127.0.0.3";

/// Caller and called side, with their signalling transports.
#[derive(Debug)]
pub(crate) struct Dialer {
    caller: Line,
    called: Line,
    /// Prefix of the called numbers.
    prefix: &'static str,
}

/// Call that the called side has answered.
#[derive(Debug)]
pub(crate) struct Dialed {
    /// Index of the call among those of the dialer.
    n: usize,
    /// Destinations of the call's media.
    pub(crate) paths: Paths,
    /// Headers To and Contact of the answer that the caller received.
    to: String,
    contact: String,
}

/// Payload type of Opus in our offers.
pub(super) const OPUS: u8 = 111;

/// Returns an SDP with one audio stream at `rtp` in a codec, with the codec's usual payload type unless `number` is
/// given; with `crypto`, the profile is SAVP.
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
    /// Opens a UDP socket for each side; `called` returns the address of the called side.
    pub(crate) fn new() -> anyhow::Result<Dialer> {
        Ok(Dialer::between(Line::udp(NEAR)?, Line::udp(FAR)?, "+1415555"))
    }

    /// Creates a dialer with other transports, and with this prefix of the called numbers.
    pub(crate) fn between(caller: Line, called: Line, prefix: &'static str) -> Dialer {
        Dialer { caller, called, prefix }
    }

    /// Returns the address of the called side.
    pub(crate) fn called(&self) -> anyhow::Result<SocketAddr> {
        self.called.here()
    }

    /// Returns the certificates that the edge presented to the caller and to the called side.
    pub(crate) fn shown(&self) -> (Option<CertificateDer<'static>>, Option<CertificateDer<'static>>) {
        (self.caller.shown(), self.called.shown())
    }

    /// Makes one call for each pair of sockets. With a suite, the called side uses SRTP.
    pub(crate) fn dial(&self, edge: SocketAddr, pairs: &[Pair], suite: Option<Suite>) -> anyhow::Result<Vec<Paths>> {
        Ok(self.dial_all(edge, pairs, suite)?.into_iter().map(|dialed| dialed.paths).collect())
    }

    /// Makes calls with indices from `first` on, after earlier ones.
    pub(crate) fn dial_from(
        &self,
        edge: SocketAddr,
        first: usize,
        pairs: &[Pair],
        suite: Option<Suite>,
    ) -> anyhow::Result<Vec<Paths>> {
        let dialed = pairs.iter().enumerate().map(|(n, pair)| Ok(self.call(edge, first + n, pair, suite)?.paths));
        dialed.collect::<anyhow::Result<_>>().context("setting up calls")
    }

    /// Makes one call for each pair, and returns the calls with the data needed to end them.
    pub(crate) fn dial_all(
        &self,
        edge: SocketAddr,
        pairs: &[Pair],
        suite: Option<Suite>,
    ) -> anyhow::Result<Vec<Dialed>> {
        let dialed = pairs.iter().enumerate().map(|(n, pair)| self.call(edge, n, pair, suite));
        dialed.collect::<anyhow::Result<_>>().context("setting up calls")
    }

    /// Returns the headers of a request from the caller, except To, CSeq and the following ones.
    fn of_caller(&self, n: usize, branch: &str) -> anyhow::Result<String> {
        let (here, transport) = (self.caller.here()?, self.caller.transport());
        Ok(format!(
            "Via: SIP/2.0/{transport} {here};branch=z9hG4bK{branch}{n};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:bench@{here}>;tag=near{n}\r\nCall-ID: bench-{n}-{}\r\n",
            here.port()
        ))
    }

    fn number(&self, n: usize) -> String {
        format!("{}{n:04}", self.prefix)
    }

    fn call(&self, edge: SocketAddr, n: usize, pair: &Pair, suite: Option<Suite>) -> anyhow::Result<Dialed> {
        let number = self.number(n);
        let target = format!("sip:{number}@{edge}");
        let body = sdp(pair.near.local_addr()?, pair.codecs.0, None, None);
        self.caller.send(
            edge,
            &format!(
                "INVITE {target} SIP/2.0\r\n{}To: <{target}>\r\nCSeq: 1 INVITE\r\nContact: <{}>\r\n\
                 Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                self.of_caller(n, "i")?,
                self.caller.contact()?,
                body.len()
            ),
        )?;
        let (invite, from_edge) = self.called.receive(request("INVITE ", &number))?;
        let keys = suite.map(|suite| srtp::answer(&invite, suite)).transpose()?;
        let payload = pair.codecs.1.number_in(&invite)?;
        let crypto = keys.as_ref().map(|(line, _)| line.as_str());
        let body = sdp(pair.far.local_addr()?, pair.codecs.1, Some(payload), crypto);
        self.called.send(from_edge, &self.ok(&invite, &body)?)?;
        let ours = |text: &Text| text.header("From").ends_with(&format!("tag=near{n}"));
        let (answer, _) = self.caller.receive(|text| ours(text) && text.code().is_some_and(|code| code >= 200))?;
        if answer.code() != Some(200) {
            bail!("{} instead of an answer", answer.first());
        }
        let contact = answer.header("Contact").trim_matches(['<', '>']).to_owned();
        let to = answer.header("To").to_owned();
        let ack = self.of_caller(n, "a")?;
        self.caller.send(
            edge,
            &format!("ACK {contact} SIP/2.0\r\n{ack}To: {to}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"),
        )?;
        self.called.receive(request("ACK ", &number))?;
        let near = answer.media().context("no media in the 200")?;
        let far = invite.media().context("no media in the INVITE")?;
        let numbers = (pair.codecs.0.number_in(&answer)?, payload);
        Ok(Dialed { n, paths: Paths { near, far, numbers, keys: keys.map(|(_, keys)| keys) }, to, contact })
    }

    /// Hangs up at the caller: the BYE arrives at the called side, and both sides receive or send the answer.
    pub(crate) fn hang_up(&self, edge: SocketAddr, Dialed { n, to, contact, .. }: &Dialed) -> anyhow::Result<()> {
        let bye = self.of_caller(*n, "b")?;
        self.caller.send(
            edge,
            &format!("BYE {contact} SIP/2.0\r\n{bye}To: {to}\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n"),
        )?;
        let (bye, from_edge) = self.called.receive(request("BYE ", &self.number(*n)))?;
        self.called.send(from_edge, &self.ok(&bye, "")?)?;
        let ours = |text: &Text| text.header("CSeq") == "2 BYE" && text.header("To") == to;
        let (answer, _) = self.caller.receive(ours)?;
        if answer.code() != Some(200) {
            bail!("{} to a BYE", answer.first());
        }
        Ok(())
    }

    fn ok(&self, request: &Text, body: &str) -> anyhow::Result<String> {
        Ok(request.response("200 OK", "far", &self.called.contact()?, body))
    }
}

/// Matches a request of the call to this number: a request of an earlier call may be retransmitted.
fn request(method: &str, number: &str) -> impl Fn(&Text) -> bool {
    move |text| text.first().starts_with(method) && text.header("To").contains(number)
}
