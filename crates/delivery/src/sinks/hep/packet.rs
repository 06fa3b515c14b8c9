//! Encoder of HEP version 3 as understood by Homer, heplify-server and sngrep: a header and chunks of type, length and
//! value (github.com/sipcapture/HEP, "HEP3 Network Protocol Specification").

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use trunkgate_call::captured::{CaptureRecord, CapturedItem, ReceptionReport};
use trunkgate_sip::Transport;

/// Chunk types (vendor 0).
const FAMILY: u16 = 0x01;
const PROTOCOL: u16 = 0x02;
const SOURCE_V4: u16 = 0x03;
const DESTINATION_V4: u16 = 0x04;
const SOURCE_V6: u16 = 0x05;
const DESTINATION_V6: u16 = 0x06;
const SOURCE_PORT: u16 = 0x07;
const DESTINATION_PORT: u16 = 0x08;
const SECONDS: u16 = 0x09;
const MICROSECONDS: u16 = 0x0a;
const KIND: u16 = 0x0b;
const AGENT_ID: u16 = 0x0c;
const PASSWORD: u16 = 0x0e;
const PAYLOAD: u16 = 0x0f;
const CORRELATION: u16 = 0x11;
const NODE: u16 = 0x13;

/// Numbers of address families, as in Linux.
const INET: u8 = 2;
const INET6: u8 = 10;
/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Payload types.
const SIP: u8 = 1;
const RTCP_AS_JSON: u8 = 5;
/// RTCP packet type of a sender report (RFC 3550 §6.4.1).
const SENDER_REPORT: u8 = 200;
/// Length of a chunk header in bytes.
const CHUNK: usize = 6;

/// Identity of the edge in packets.
#[derive(Debug, Clone, Copy)]
pub(super) struct CaptureAgent<'a> {
    /// Capture agent ID (`id` of `[hep]`), sent in each packet.
    pub(super) id: u32,
    /// Name of the edge, sent in each packet.
    pub(super) node: &'a str,
    /// Authentication key of the capture server; `None` to send no key.
    pub(super) password: Option<&'a str>,
}

/// Encodes a packet into `out`; returns false if the packet would be too long.
pub(super) fn write(out: &mut Vec<u8>, agent: CaptureAgent<'_>, captured: &CaptureRecord) -> bool {
    out.clear();
    out.extend(b"HEP3\0\0");
    let payload;
    let (from, to, protocol, kind, body) = match &captured.what {
        CapturedItem::Message(message, received) => {
            let way = message.way;
            // An unknown local address is written as zeros in the family of the remote one.
            let nowhere = SocketAddr::new(if way.remote.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() }, 0);
            let local = way.local.filter(|local| local.is_ipv4() == way.remote.is_ipv4()).unwrap_or(nowhere);
            let (from, to) = if *received { (way.remote, local) } else { (local, way.remote) };
            (from, to, if way.transport == Transport::Udp { UDP } else { TCP }, SIP, &*message.raw)
        }
        CapturedItem::Report(report) => {
            payload = rtcp(report, captured.at).to_string();
            (report.from, report.to, UDP, RTCP_AS_JSON, payload.as_bytes())
        }
    };
    let since = captured.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    // Seconds have 32 bits in the packet, sufficient until 2106.
    let seconds = since.as_secs() as u32;
    let chunks: [(u16, &[u8]); 7] = [
        (FAMILY, &[if from.is_ipv4() { INET } else { INET6 }]),
        (PROTOCOL, &[protocol]),
        (SOURCE_PORT, &from.port().to_be_bytes()),
        (DESTINATION_PORT, &to.port().to_be_bytes()),
        (SECONDS, &seconds.to_be_bytes()),
        (MICROSECONDS, &since.subsec_micros().to_be_bytes()),
        (KIND, &[kind]),
    ];
    let whole = chunks.iter().all(|(kind, value)| chunk(out, *kind, value))
        && address(out, from.ip(), (SOURCE_V4, SOURCE_V6))
        && address(out, to.ip(), (DESTINATION_V4, DESTINATION_V6))
        && chunk(out, AGENT_ID, &agent.id.to_be_bytes())
        && agent.password.is_none_or(|password| chunk(out, PASSWORD, password.as_bytes()))
        && chunk(out, CORRELATION, captured.call.as_bytes())
        && chunk(out, NODE, agent.node.as_bytes())
        && chunk(out, PAYLOAD, body);
    match (u16::try_from(out.len()), out.get_mut(4..6)) {
        (Ok(length), Some(place)) if whole => {
            place.copy_from_slice(&length.to_be_bytes());
            true
        }
        _ => false,
    }
}

fn address(out: &mut Vec<u8>, ip: IpAddr, (v4, v6): (u16, u16)) -> bool {
    match ip {
        IpAddr::V4(ip) => chunk(out, v4, &ip.octets()),
        IpAddr::V6(ip) => chunk(out, v6, &ip.octets()),
    }
}

/// Appends a chunk; returns false if its value is too long.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) -> bool {
    let Ok(length) = u16::try_from(value.len() + CHUNK) else { return false };
    out.extend([0, 0]);
    out.extend(kind.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend(value);
    true
}

/// Formats a media report as JSON, with the field names of Homer's agents; unknown values are null.
fn rtcp(report: &ReceptionReport, at: SystemTime) -> serde_json::Value {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (report.lost.min(report.expected) * 256).checked_div(report.expected).unwrap_or(0).min(255);
    json!({
        "type": SENDER_REPORT,
        "sender_information": {
            // RFC 3550 counts from 1900, but capture agents write Unix time here.
            "ntp_timestamp_sec": since.as_secs(),
            "ntp_timestamp_usec": since.subsec_micros(),
            "packets": report.sent,
        },
        "report_count": 1,
        "report_blocks": [{
            "fraction_lost": fraction,
            "packets_lost": report.lost,
            "ia_jitter": report.jitter,
        }],
        "packets_expected": report.expected,
        "rtt_ms": report.rtt_ms,
        "mos": report.mos,
        "codec": report.codec,
        "party": report.party,
    })
}
