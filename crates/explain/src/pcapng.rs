//! Capture file of a call (pcapng, draft-ietf-opsawg-pcapng). Each SIP message is an IP packet, as if captured at the
//! edge; messages sent over TLS appear decrypted, over TCP.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::UNIX_EPOCH;

use trunkgate_call::Capture;
use trunkgate_call::messages::RawMessage;
use trunkgate_call::trace::TraceItem;
use trunkgate_sip::Transport;

/// LINKTYPE_RAW: packets begin with their IP header.
const RAW_IP: u16 = 101;
/// Types of pcapng blocks: section header, interface description, enhanced packet.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// Codes of options: for any block, for a section, for an interface, for a packet.
const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;
/// Direction of a packet, in the lowest bits of its flags.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// Header lengths in bytes: IPv4 without options, IPv6, UDP, TCP.
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;
const TCP: usize = 20;
/// Protocol numbers (RFC 768, RFC 9293).
const UDP_PROTOCOL: u8 = 17;
const TCP_PROTOCOL: u8 = 6;
/// TCP flags PSH and ACK (RFC 9293 §3.1).
const PUSHED: u8 = 0x18;
/// Ports of SIP and SIPS (RFC 3261 §19.1.2); protocol analysers expect TLS on the second one.
const SIP_PORT: u16 = 5060;
const SIPS_PORT: u16 = 5061;
/// Maximum length of an option, in bytes.
const OPTION_BYTES: usize = 1_023;

/// Returns the capture file of a call; `edge` is the name of its interface.
pub fn file(capture: &Capture, edge: &str) -> Vec<u8> {
    let Capture { call, trace, began } = capture;
    let mut out = Vec::new();
    let what = format!("edge {edge}, call {}: {}", call.sid, trace.verdict);
    // The section header has the byte order, version 1.0 and an unknown section length.
    let head =
        [&0x1a2b_3c4d_u32.to_le_bytes()[..], &1_u16.to_le_bytes(), &0_u16.to_le_bytes(), &(-1_i64).to_le_bytes()];
    block(&mut out, SECTION, &head.concat(), &[(COMMENT, what.as_bytes()), (APPLICATION, b"Trunkgate")]);
    let head = [&RAW_IP.to_le_bytes()[..], &[0; 2], &0_u32.to_le_bytes()].concat();
    // The times of packets have a resolution of 10⁻⁶ s.
    block(&mut out, INTERFACE, &head, &[(NAME, edge.as_bytes()), (RESOLUTION, &[6])]);
    let began_us = began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let began_us = u64::try_from(began_us).unwrap_or(0);
    let mut streams = TcpSequences::default();
    let mut before = Vec::new();
    for entry in &trace.entries {
        match (&entry.what, &entry.message) {
            (TraceItem::Message { leg, received, again, .. }, Some(message)) => {
                let name = trace.legs.get(*leg).map_or("", String::as_str);
                let way = if *received { "received from" } else { "sent to" };
                let mut comment = format!("{way} {name} (leg {leg})");
                if *again {
                    comment.push_str(", again");
                }
                if message.way.transport == Transport::Tls {
                    comment.push_str(&format!(", TLS with {}", message.way.remote));
                }
                let mut comments = std::mem::take(&mut before);
                comments.push(comment);
                let packet = streams.packet(message, *received);
                let at_us = began_us.saturating_add(entry.at_us);
                write_packet(&mut out, at_us, &packet, *received, &comments);
            }
            (TraceItem::Message { .. }, None) => {}
            (TraceItem::Decision { text } | TraceItem::Webhook { text, .. }, _) => before.push(text.clone()),
            (TraceItem::Agent { leg, text } | TraceItem::Media { leg, text }, _) => {
                before.push(format!("{}: {text}", trace.legs.get(*leg).map_or("", String::as_str)));
            }
        }
    }
    out
}

/// IP packet with its length on the wire, in bytes.
struct CapturedPacket {
    bytes: Vec<u8>,
    length: usize,
}

fn write_packet(out: &mut Vec<u8>, at_us: u64, packet: &CapturedPacket, received: bool, comments: &[String]) {
    let captured = u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX);
    let length = u32::try_from(packet.length).unwrap_or(u32::MAX);
    let (high, low) = ((at_us >> 32) as u32, at_us as u32);
    let mut body: Vec<u8> = [0, high, low, captured, length].iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(&packet.bytes);
    pad(&mut body);
    let flags = (if received { INBOUND } else { OUTBOUND }).to_le_bytes();
    let mut options: Vec<(u16, &[u8])> = vec![(FLAGS, &flags)];
    options.extend(comments.iter().map(|comment| (COMMENT, comment.as_bytes())));
    block(out, PACKET, &body, &options);
}

/// Appends a pcapng block with its options, each padded to four bytes.
fn block(out: &mut Vec<u8>, kind: u32, body: &[u8], options: &[(u16, &[u8])]) {
    let mut tail = Vec::new();
    for (code, value) in options {
        let value = shortened(value);
        tail.extend(code.to_le_bytes());
        tail.extend(u16::try_from(value.len()).unwrap_or_default().to_le_bytes());
        tail.extend(value);
        pad(&mut tail);
    }
    tail.extend([0; 4]);
    // A block has its total length at both ends.
    let length = u32::try_from(body.len() + tail.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(kind.to_le_bytes());
    out.extend(length);
    out.extend(body);
    out.extend(tail);
    out.extend(length);
}

/// Shortens a long option value at the boundary of a character.
fn shortened(value: &[u8]) -> &[u8] {
    let Some(cut) = value.get(..OPTION_BYTES) else { return value };
    cut.utf8_chunks().next().map_or(cut, |chunk| chunk.valid().as_bytes())
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Next TCP sequence number for each stream and direction, so that messages follow one another without a gap.
#[derive(Default)]
struct TcpSequences(BTreeMap<(SocketAddr, SocketAddr), u32>);

impl TcpSequences {
    fn packet(&mut self, message: &RawMessage, received: bool) -> CapturedPacket {
        let way = message.way;
        let unknown = if way.remote.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0_u16; 8]) };
        let same_family = way.local.filter(|local| local.is_ipv4() == way.remote.is_ipv4());
        let local = same_family.unwrap_or(SocketAddr::new(unknown, SIP_PORT));
        let is_tls = way.transport == Transport::Tls;
        let plain = |mut address: SocketAddr| {
            if is_tls && address.port() == SIPS_PORT {
                address.set_port(SIP_PORT);
            }
            address
        };
        let (local, remote) = (plain(local), plain(way.remote));
        let (from, to) = if received { (remote, local) } else { (local, remote) };
        let is_udp = way.transport == Transport::Udp;
        let header = if from.is_ipv4() { IPV4 } else { IPV6 } + if is_udp { UDP } else { TCP };
        let protocol = if is_udp { UDP_PROTOCOL } else { TCP_PROTOCOL };
        // An IP packet has at most 65,535 bytes.
        let length = (message.raw.len() + message.cut).min(usize::from(u16::MAX) - header);
        let kept = message.raw.get(..length).unwrap_or(&message.raw);
        let mut bytes = ip_header(from.ip(), to.ip(), protocol, length + header);
        let begins = bytes.len();
        bytes.extend([from.port().to_be_bytes(), to.port().to_be_bytes()].concat());
        if is_udp {
            bytes.extend(((length + UDP) as u16).to_be_bytes());
            bytes.extend([0; 2]);
        } else {
            let acknowledged = *self.position(to, from);
            let next = self.position(from, to);
            bytes.extend([next.to_be_bytes(), acknowledged.to_be_bytes()].concat());
            *next = next.wrapping_add(u32::try_from(length).unwrap_or_default());
            // The header has five words; the window is the largest one.
            bytes.extend([0x50, PUSHED, 0xff, 0xff, 0, 0, 0, 0]);
        }
        bytes.extend(kept);
        let sum = checksum(from.ip(), to.ip(), protocol, bytes.get(begins..).unwrap_or_default());
        let at = begins + if is_udp { 6 } else { 16 };
        if let Some(place) = bytes.get_mut(at..at + 2) {
            // A UDP checksum of 0 would mean that there is none (RFC 768), so it is written as 0xffff.
            place.copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
        }
        CapturedPacket { bytes, length: length + header }
    }

    /// Returns the sequence number of the next byte from one address to another, which the caller may advance.
    fn position(&mut self, from: SocketAddr, to: SocketAddr) -> &mut u32 {
        self.0.entry((from, to)).or_insert(1)
    }
}

/// Returns an IP header without options; `length` is that of the whole packet in bytes.
fn ip_header(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let [high, low] = short(length);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = (!folded(sum_of(&header))).to_be_bytes();
            header.splice(10..12, sum);
            header
        }
        _ => {
            let six = |ip: IpAddr| match ip {
                IpAddr::V6(ip) => ip.octets(),
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            };
            let [high, low] = short(length.saturating_sub(IPV6));
            let mut header = vec![0x60, 0, 0, 0, high, low, protocol, 64];
            header.extend(six(from));
            header.extend(six(to));
            header
        }
    }
}

/// Returns the checksum of a UDP datagram or TCP segment, with its pseudo-header (RFC 768, RFC 9293 §3.1, RFC 8200
/// §8.1).
fn checksum(from: IpAddr, to: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    let mut sum = sum_of(bytes) + u64::from(protocol) + bytes.len() as u64;
    for ip in [from, to] {
        sum += match ip {
            IpAddr::V4(ip) => sum_of(&ip.octets()),
            IpAddr::V6(ip) => sum_of(&ip.octets()),
        };
    }
    !folded(sum)
}

fn sum_of(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    words.sum()
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use trunkgate_call::CallView;
    use trunkgate_call::messages::MessagePath;
    use trunkgate_call::trace::{TraceEntry, TraceView};

    use super::*;

    const TEXT: &str = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    fn message(transport: Transport, local: &str, remote: &str, cut: usize) -> Option<Box<RawMessage>> {
        let way = MessagePath { local: Some(local.parse().unwrap()), remote: remote.parse().unwrap(), transport };
        Some(Box::new(RawMessage { raw: Bytes::from_static(TEXT.as_bytes()), cut, way }))
    }

    fn entry(at_us: u64, received: bool, message: Option<Box<RawMessage>>) -> TraceEntry {
        let what = TraceItem::Message { leg: 0, received, text: "OPTIONS".into(), note: String::new(), again: false };
        TraceEntry { message, ..TraceEntry::new(at_us, what) }
    }

    fn capture(entries: Vec<TraceEntry>) -> Capture {
        let call = CallView { sid: "CA0".into(), state: "ended", ..CallView::default() };
        let trace = TraceView { entries, ..TraceView::of("CA0".into(), "Fine.".into(), vec!["pbx".into()]) };
        Capture { call, trace, began: UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000) }
    }

    fn word(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// Returns type and contents of each block, and checks that its two lengths are equal.
    fn blocks(file: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let (mut at, mut all) = (0, Vec::new());
        while at < file.len() {
            let length = word(file, at + 4);
            assert_eq!((length % 4, word(file, at + length - 4)), (0, length));
            all.push((word(file, at), file[at + 8..at + length - 4].to_vec()));
            at += length;
        }
        all
    }

    /// Returns the packets in a file with their times in microseconds and their lengths on the wire.
    fn packets(file: &[u8]) -> Vec<(u64, Vec<u8>, usize)> {
        let of_packet = |body: &Vec<u8>| {
            let at = (word(body, 4) as u64) << 32 | word(body, 8) as u64;
            (at, body[20..20 + word(body, 12)].to_vec(), word(body, 16))
        };
        blocks(file).iter().filter(|(kind, _)| *kind == 6).map(|(_, body)| of_packet(body)).collect()
    }

    #[test]
    fn a_message_is_a_datagram_at_its_time_with_its_story() {
        let decision = TraceEntry::new(5, TraceItem::Decision { text: "route main".into() });
        let udp = message(Transport::Udp, "192.0.2.1:5060", "198.51.100.7:5080", 0);
        let file = file(&capture(vec![decision, entry(7, true, udp), entry(9, false, None)]), "edge-1");
        let kinds: Vec<usize> = blocks(&file).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION as usize, 1, 6], "a message that is no longer kept is not a packet");
        let text = String::from_utf8_lossy(&file).into_owned();
        for part in ["edge edge-1, call CA0: Fine.", "route main", "received from pbx (leg 0)"] {
            assert!(text.contains(part), "{part}");
        }
        let (at, packet, length) = packets(&file).remove(0);
        assert_eq!((at, length), (1_800_000_000_000_007, packet.len()));
        assert_eq!(packet[..4], [0x45, 0, 0, (28 + TEXT.len()) as u8]);
        assert_eq!((&packet[12..16], &packet[16..20]), (&[198, 51, 100, 7][..], &[192, 0, 2, 1][..]));
        assert_eq!(packet[20..24], [5080_u16.to_be_bytes(), 5060_u16.to_be_bytes()].concat());
        assert_eq!(&packet[28..], TEXT.as_bytes());
        // The receiver's sum over the header with its checksum is 0xffff.
        assert_eq!(folded(sum_of(&packet[..20])), 0xffff);
        assert_eq!(checksum([198, 51, 100, 7].into(), [192, 0, 2, 1].into(), 17, &packet[20..]), 0);
    }

    #[test]
    fn streams_have_no_gaps_and_tls_is_readable() {
        let tls = || message(Transport::Tls, "[2001:db8::1]:5061", "[2001:db8::2]:40000", 0);
        let entries = vec![entry(0, true, tls()), entry(1, false, tls()), entry(2, true, tls())];
        let packets = packets(&file(&capture(entries), "edge"));
        let numbers: Vec<(u32, u32)> = packets
            .iter()
            .map(|(_, packet, _)| {
                let number = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
                (number(44), number(48))
            })
            .collect();
        let next = 1 + TEXT.len() as u32;
        assert_eq!(numbers, [(1, 1), (1, next), (next, next)]);
        let packet = &packets[0].1;
        assert_eq!((packet[0], packet[6]), (0x60, 6));
        assert_eq!(packet[40..44], [40_000_u16.to_be_bytes(), 5060_u16.to_be_bytes()].concat(), "no port of TLS");
        let (from, to) = ("2001:db8::2".parse().unwrap(), "2001:db8::1".parse().unwrap());
        assert_eq!(checksum(from, to, 6, &packet[40..]), 0);
    }

    #[test]
    fn what_was_cut_is_told_by_its_length() {
        let entries = vec![entry(0, true, message(Transport::Udp, "192.0.2.1:5060", "192.0.2.2:5060", 70_000))];
        let (_, packet, length) = packets(&file(&capture(entries), "edge")).remove(0);
        assert_eq!((packet.len(), length), (28 + TEXT.len(), 65_535));
        let entries = vec![entry(0, true, message(Transport::Tcp, "0.0.0.0:0", "[::1]:5060", 100))];
        let (_, packet, length) = packets(&file(&capture(entries), "edge")).remove(0);
        assert_eq!((packet.len(), length), (60 + TEXT.len(), 160 + TEXT.len()));
    }

    #[test]
    fn comments_are_cut_between_characters() {
        let decision = TraceEntry::new(0, TraceItem::Decision { text: "ö".repeat(2_000) });
        let udp = message(Transport::Udp, "192.0.2.1:5060", "192.0.2.2:5060", 0);
        let file = file(&capture(vec![decision, entry(0, true, udp)]), "edge");
        let (_, packet) = blocks(&file).remove(2);
        let comment = packet.windows(4).position(|window| window == "öö".as_bytes()).unwrap();
        assert_eq!(u16::from_le_bytes([packet[comment - 2], packet[comment - 1]]), 1_022);
    }
}
