//! Caller location (RFC 6442): relays Geolocation according to `headers`, and the documents of the INVITE's body that
//! it references by `cid:`. If a target refuses the body, the INVITE is repeated without it: an emergency call must not
//! fail because of its location.

use trunkgate_resources::limits::{LOCATION_BYTES, LOCATION_NAME_BYTES, LOCATIONS};
use trunkgate_sip::header::NameAddr;
use trunkgate_sip::{BodyPart, ExtraHeader, MessageBody, SipMessage};
use trunkgate_story::numbers::plain;

use crate::call::legs::headers::RelayedHeaders;

/// Header that references the location.
pub(crate) const GEOLOCATION: &str = "Geolocation";
/// Content type of a location document (RFC 4119).
const PIDF_XML: &str = "application/pidf+xml";
/// Status code for a refused body (RFC 3261 §21.4.13).
pub(crate) const UNSUPPORTED_MEDIA_TYPE: u16 = 415;

/// Document with the caller's location.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct CallerLocation {
    /// Content-ID without brackets.
    pub(crate) id: String,
    content_type: String,
    disposition: Option<String>,
    bytes: Vec<u8>,
}

impl CallerLocation {
    /// Returns the documents of an INVITE that its Geolocation references, within limits.
    pub(crate) fn of(request: &SipMessage, brought: &RelayedHeaders) -> Box<[CallerLocation]> {
        let named: Vec<String> = values(brought).flat_map(NameAddr::list).filter_map(|entry| cid(entry.uri)).collect();
        let mut all: Vec<CallerLocation> = Vec::new();
        let mut left = LOCATION_BYTES;
        if named.is_empty() {
            return all.into();
        }
        request.each_part(|part| {
            if let Some(one) = read(&part).filter(|one| named.contains(&one.id) && one.bytes.len() <= left)
                && all.iter().all(|other| other.id != one.id)
            {
                left -= one.bytes.len();
                all.push(one);
            }
            all.len() == LOCATIONS
        });
        all.into()
    }
}

fn read(part: &BodyPart<'_>) -> Option<CallerLocation> {
    let text = |value: &[u8]| {
        let value = std::str::from_utf8(value).ok().filter(|value| value.len() <= LOCATION_NAME_BYTES)?;
        Some(plain(value, LOCATION_NAME_BYTES))
    };
    let content_id = part.content_id.filter(|_| part.is(PIDF_XML))?;
    let id = text(content_id.strip_prefix(b"<")?.strip_suffix(b">")?)?;
    let (content_type, disposition) = (text(part.content_type)?, part.disposition.and_then(text));
    Some(CallerLocation { id, content_type, disposition, bytes: part.bytes.to_vec() })
}

/// Returns the Content-ID of a `cid:` URI (RFC 2392 §2); `None` for other URIs.
pub(crate) fn cid(uri: &[u8]) -> Option<String> {
    let (scheme, id) = uri.split_at_checked(4)?;
    if !scheme.eq_ignore_ascii_case(b"cid:") {
        return None;
    }
    let mut bytes = id.iter().copied();
    let mut plain = Vec::with_capacity(id.len());
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        plain.push(if byte == b'%' { digit(bytes.next())? << 4 | digit(bytes.next())? } else { byte });
    }
    String::from_utf8(plain).ok()
}

fn values(brought: &RelayedHeaders) -> impl Iterator<Item = &[u8]> {
    brought.iter().filter(|(name, _)| name.eq_ignore_ascii_case(GEOLOCATION)).map(|(_, value)| value.as_bytes())
}

/// Removes references to documents that are not sent from Geolocation, and the header if no reference is left.
pub(crate) fn keep_sent(headers: &mut Vec<ExtraHeader>, sent: &[&CallerLocation]) {
    headers.retain_mut(|header| {
        if !header.name.eq_ignore_ascii_case(GEOLOCATION) {
            return true;
        }
        let is_there = |entry: &NameAddr<'_>| cid(entry.uri).is_none_or(|id| sent.iter().any(|one| one.id == id));
        let kept: Vec<String> = NameAddr::list(header.value.as_bytes())
            .filter(is_there)
            .map(|entry| String::from_utf8_lossy(entry.raw).into_owned())
            .collect();
        header.value = kept.join(", ");
        !kept.is_empty()
    });
}

/// Builds a multipart body of a session description and location documents (RFC 5621 §5).
pub(crate) fn with_locations(sdp: MessageBody, locations: &[&CallerLocation], boundary: &str) -> MessageBody {
    let mut bytes = format!("--{boundary}\r\nContent-Type: {}\r\n\r\n", sdp.content_type).into_bytes();
    bytes.extend_from_slice(&sdp.bytes);
    for location in locations {
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: {}\r\nContent-ID: <{}>\r\n", location.content_type, location.id);
        bytes.extend_from_slice(head.as_bytes());
        if let Some(disposition) = &location.disposition {
            bytes.extend_from_slice(format!("Content-Disposition: {disposition}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&location.bytes);
    }
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    MessageBody { content_type: format!("multipart/mixed;boundary={boundary}"), bytes: bytes.into() }
}
