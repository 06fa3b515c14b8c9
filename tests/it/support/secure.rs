//! Phone with SRTP and keys in the phone's SDP (RFC 4568): AES_CM_128_HMAC_SHA1_80, unless a suite is named.

use std::net::{SocketAddr, UdpSocket};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use trunkgate_media::PacketBuf;
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::srtp::{SrtpInbound, SrtpKey, SrtpOutbound, Suite};

use super::calls::{Phone, is_keep_alive};

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

/// Returns the key of one side, distinguished by `seed`.
fn key(suite: Suite, seed: u8, mki: Option<&[u8]>) -> SrtpKey {
    SrtpKey::new(suite, &material(suite, seed), mki).unwrap()
}

fn material(suite: Suite, seed: u8) -> Vec<u8> {
    let len = suite.key_len() + suite.salt_len();
    (0..len as u8).map(|n| n.wrapping_mul(7).wrapping_add(seed)).collect()
}

/// Returns a phone's SDP with PCMU, PCMA or both, and telephone-event; `key`: tag and seed of the phone's key, with
/// profile SAVP.
pub(crate) fn described(phone: &Phone, version: u32, formats: &str, key: Option<(u32, u8)>, direction: &str) -> String {
    described_under(SUITE, phone, version, formats, key, direction)
}

/// Returns a phone's SDP like [`described`], with a key of another suite.
pub(crate) fn described_under(
    suite: Suite,
    phone: &Phone,
    version: u32,
    formats: &str,
    key: Option<(u32, u8)>,
    direction: &str,
) -> String {
    let profile = if key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let crypto = key.map_or(String::new(), |(tag, seed)| {
        format!("a=crypto:{tag} {} inline:{}\r\n", suite.as_str(), STANDARD.encode(material(suite, seed)))
    });
    phone.described(
        version,
        &format!(
            "m=audio {} {profile} {formats} 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\n{crypto}a={direction}\r\n",
            phone.rtp_address().port()
        ),
    )
}

/// Adds a lifetime and an MKI to the key in an SDP, as Microsoft Teams does.
pub(crate) fn with_lifetime_and_mki(description: &str) -> String {
    let named =
        |line: &str| if line.starts_with("a=crypto:") { format!("{line}|2^31|1:1\r\n") } else { format!("{line}\r\n") };
    description.lines().map(named).collect()
}

/// Returns the tag and the key in the edge's SDP, if it has one.
pub(crate) fn offered(message: &str) -> Option<(u32, SrtpKey)> {
    offered_under(SUITE, message)
}

/// Returns the tag and the key of a suite in the edge's SDP, if it has one.
pub(crate) fn offered_under(suite: Suite, message: &str) -> Option<(u32, SrtpKey)> {
    let named = format!(" {} inline:", suite.as_str());
    let line = message.lines().find(|line| line.starts_with("a=crypto:") && line.contains(&named))?;
    let (tag, key) = line["a=crypto:".len()..].split_once(&named).unwrap();
    let key = key.split(['|', ' ']).next().unwrap().trim_end_matches('=');
    let key = STANDARD_NO_PAD.decode(key).unwrap();
    Some((tag.parse().unwrap(), SrtpKey::new(suite, &key, None).unwrap()))
}

/// Media of one side: plain RTP, or SRTP in both directions.
pub(crate) struct Media<'a> {
    socket: &'a UdpSocket,
    edge: SocketAddr,
    keys: Option<(SrtpOutbound, SrtpInbound)>,
    /// SSRC and sequence number of each packet of the edge that was decrypted.
    pub(crate) heard: Vec<(u32, u16)>,
}

impl<'a> Media<'a> {
    /// Creates media from a phone to `edge`; `seed`: of the phone's key, `theirs`: message with the edge's key.
    pub(crate) fn new(phone: &'a Phone, edge: SocketAddr, seed: Option<u8>, theirs: &str) -> Media<'a> {
        Media::under(SUITE, phone, edge, seed, theirs)
    }

    /// Creates media like [`Self::new`], with another suite.
    pub(crate) fn under(suite: Suite, phone: &'a Phone, edge: SocketAddr, seed: Option<u8>, theirs: &str) -> Media<'a> {
        let keys = seed.map(|seed| {
            let theirs = offered_under(suite, theirs).unwrap_or_else(|| panic!("no key in {theirs}")).1;
            (SrtpOutbound::new(&key(suite, seed, None)), SrtpInbound::new(&theirs))
        });
        Media { socket: &phone.rtp, edge, keys, heard: Vec::new() }
    }

    /// Adds the MKI of `seed` to each packet sent, as [`with_lifetime_and_mki`] announces.
    pub(crate) fn with_mki(mut self, seed: u8) -> Media<'a> {
        if let Some((protect, _)) = &mut self.keys {
            *protect = SrtpOutbound::new(&key(SUITE, seed, Some(&[1])));
        }
        self
    }

    /// Continues to another address of the edge, with another key of the edge; the phone's own key and counter
    /// continue.
    pub(crate) fn moves(&mut self, edge: SocketAddr, theirs: &str) {
        self.edge = edge;
        if let Some((_, inbound)) = &mut self.keys {
            *inbound = SrtpInbound::new(&offered(theirs).unwrap().1);
        }
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.keys.is_some()
    }

    /// Sends a packet of plain RTP, which is encrypted if SRTP was negotiated.
    pub(crate) fn send(&mut self, packet: &[u8]) {
        let mut buffer = filled(packet);
        if let Some((protect, _)) = &mut self.keys {
            protect.protect_rtp(&mut buffer).unwrap();
        }
        self.socket.send_to(buffer.data(), self.edge).unwrap();
    }

    /// Receives the next packet, decrypted, skipping keep-alives.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        loop {
            let mut bytes = [0; 2048];
            let (len, from) = self.socket.recv_from(&mut bytes).unwrap();
            assert_eq!(from, self.edge);
            if let Some(plain) = self.read(&bytes[..len]) {
                return plain;
            }
        }
    }

    /// Reads all packets that wait in the socket, and returns them decrypted.
    pub(crate) fn drain(&mut self) -> Vec<Vec<u8>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 2048];
        let mut all = Vec::new();
        while let Ok((len, _)) = self.socket.recv_from(&mut bytes) {
            all.extend(self.read(&bytes[..len]));
        }
        self.socket.set_nonblocking(false).unwrap();
        all
    }

    fn read(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = filled(packet);
        if let Some((_, unprotect)) = &mut self.keys {
            unprotect.unprotect_rtp(&mut buffer, false).unwrap();
            let rtp = RtpHeader::parse(buffer.data()).unwrap();
            self.heard.push((rtp.ssrc, rtp.sequence));
        }
        (!is_keep_alive(buffer.data())).then(|| buffer.data().to_vec())
    }
}

fn filled(packet: &[u8]) -> PacketBuf {
    let mut buffer = PacketBuf::new();
    buffer.receive_area()[..packet.len()].copy_from_slice(packet);
    buffer.set_len(packet.len());
    buffer
}
