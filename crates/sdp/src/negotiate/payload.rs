//! Payload types and their meaning: those of a section, matching ones in offer and answer, and our own.

use std::fmt::{Display, Write as _};

use crate::description::{Attribute, MediaDescription};
use crate::format::{Rtpmap, fmtp_fits, static_payload};

/// Dynamic payload types (RFC 3551 §6); the range that can be mistaken for RTCP lies below (RFC 5761 §4).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// Codecs that the edge itself encodes and decodes, subject to a trunk's policy. All others are relayed unchanged.
pub const EDGE_CODECS: [&str; 4] = ["PCMU", "PCMA", "G722", "opus"];

/// Payload type of telephone-event in our offers.
pub const TELEPHONE_EVENT: u8 = 101;

/// Event codes of the digits 0 to 9, `*`, `#` and A to D (RFC 4733 §2.5.1.1).
pub(crate) const EVENTS: &str = "0-15";

/// Opus parameters in our descriptions if the other side's audio is wideband (8 kHz bandwidth).
pub(crate) const OPUS_WIDE: &str = "maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1";

/// Payload type with its encoding and parameters.
#[derive(Debug, Clone)]
pub(crate) struct PayloadFormat {
    pub(crate) number: u8,
    pub(crate) map: Rtpmap,
    pub(crate) fmtp: Option<String>,
}

/// Returns the payloads of a section that a relay can handle, in order.
pub(crate) fn payloads(media: &MediaDescription) -> Vec<PayloadFormat> {
    let known = media.payloads().into_iter().filter_map(|number| {
        let map = media.rtpmap(number)?;
        (!map.names_other_payloads()).then(|| PayloadFormat {
            number,
            map,
            fmtp: media.fmtp(number).map(str::to_owned),
        })
    });
    known.collect()
}

/// Pairs the payloads of an answer, in order, with those of the offer, preferably with the same number. No payload is
/// paired twice; those without a match are left out.
pub(crate) fn match_payloads(
    sent: &[PayloadFormat],
    answered: &[PayloadFormat],
) -> Vec<(PayloadFormat, PayloadFormat)> {
    let mut pairs: Vec<(PayloadFormat, PayloadFormat)> = Vec::with_capacity(answered.len());
    for theirs in answered {
        let fits = |ours: &&PayloadFormat| {
            let free = !pairs.iter().any(|(used, _)| used.number == ours.number);
            let same = ours.map.is_same_encoding(&theirs.map);
            free && same && fmtp_fits(&ours.map.encoding, ours.fmtp.as_deref(), theirs.fmtp.as_deref())
        };
        let by_number = sent.iter().filter(|ours| ours.number == theirs.number).find(fits);
        if let Some(ours) = by_number.or_else(|| sent.iter().find(fits)) {
            pairs.push((ours.clone(), theirs.clone()));
        }
    }
    pairs
}

/// Returns `wanted`, or else the first unused dynamic payload type.
pub(crate) fn free_payload_type(wanted: u8, offered: &[PayloadFormat], added: &[PayloadFormat]) -> Option<u8> {
    let used = |number: u8| offered.iter().chain(added).any(|payload| payload.number == number);
    std::iter::once(wanted).chain(DYNAMIC).find(|number| !used(*number))
}

/// Adds a format with its rtpmap, even if static, so that the peer need not know the static table.
pub(crate) fn describe(section: &mut MediaDescription, number: u8, map: &Rtpmap, fmtp: Option<&str>) {
    section.formats.push(number.to_string());
    section.attributes.push(Attribute::new("rtpmap", numbered(number, map)));
    if let Some(fmtp) = fmtp.filter(|fmtp| !fmtp.is_empty()) {
        section.attributes.push(Attribute::new("fmtp", numbered(number, &fmtp)));
    }
}

/// Formats a payload type with its description; the initial capacity fits `101 telephone-event/8000`.
fn numbered(number: u8, what: &impl Display) -> String {
    let mut text = String::with_capacity(24);
    // Writing into a String cannot fail.
    let _ = write!(text, "{number} {what}");
    text
}

pub(crate) fn is_edge_codec(map: &Rtpmap) -> bool {
    // RFC 7587 §4.1: the rtpmap of Opus always has two channels.
    let form = if map.is("opus") { (48_000, 2) } else { (8000, 1) };
    (map.clock, map.channels) == form && EDGE_CODECS.iter().any(|name| map.is(name))
}

/// Returns whether the codec is G.711, which a policy always governs.
pub(crate) fn is_g711(map: &Rtpmap) -> bool {
    is_edge_codec(map) && (map.is("PCMU") || map.is("PCMA"))
}

/// Returns payload type and encoding of a codec name in our offers; dynamic ones start at 96.
pub(crate) fn own_format(codec: &str) -> Option<(u8, Rtpmap)> {
    match crate::format::static_number(codec) {
        Some(number) => Some((number, static_payload(number)?)),
        None if codec.eq_ignore_ascii_case("opus") => {
            Some((96, Rtpmap { encoding: "opus".to_owned(), clock: 48000, channels: 2 }))
        }
        None => None,
    }
}

pub(crate) fn telephone_event(clock: u32) -> Rtpmap {
    Rtpmap { encoding: "telephone-event".to_owned(), clock, channels: 1 }
}
