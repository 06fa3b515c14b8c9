//! DTMF between two sides with different DTMF modes (`[trunk.NAME] dtmf`): digits received by INFO, digits sent by
//! INFO, and digits of an agent. The digits themselves are never written to a log or trace.

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_media::{DigitFormat, DtmfConversion, PayloadCodec, TranscodeSpec, WireSpec};
use trunkgate_resources::limits::PACKET_MS;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::DtmfMode;
use trunkgate_sdp::OwnEvents;
use trunkgate_sip::{ClientId, MessageBody};

use crate::call::legs::codecs::coding;
use crate::call::legs::leg::Leg;

/// Default duration of a digit, in milliseconds.
pub(crate) const USUAL_MS: u16 = 100;
/// Maximum duration in a received INFO, in milliseconds.
const MOST_MS: u32 = 10_000;
/// Minimum duration named in an INFO of the edge for a digit received in media, in milliseconds.
pub(crate) const LEAST_MS: u32 = 40;
/// Minimum duration of a digit from a received INFO when it is played in media, in milliseconds (ITU-T Q.24).
pub(crate) const LEAST_TONE_MS: u64 = 80;
/// Payload type of comfort noise (RFC 3551 §6), with any codec.
const COMFORT_NOISE: u8 = 13;
/// Content type of an INFO of the edge with a digit.
pub(crate) const RELAY: &str = "application/dtmf-relay";
/// Content type of an INFO body with the digit alone.
const PLAIN: &str = "application/dtmf";

/// DTMF digits queued for INFO, sent one after the other so that none overtakes another, and the duration of digits
/// received by INFO.
#[derive(Debug, Default)]
pub(crate) struct DigitQueue {
    /// Queued digits: leg, digit, and duration in milliseconds.
    pub(crate) waiting: VecDeque<(LegId, char, u32)>,
    /// INFO that awaits its response, and its leg.
    pub(crate) now: Option<(ClientId, LegId)>,
    /// Time when all digits received so far have been played.
    pub(crate) pressed: Option<Instant>,
}

/// Content of an INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParsedInfo {
    /// DTMF digit with its duration in milliseconds.
    Key(char, u16),
    /// Body of a DTMF type without a valid digit.
    Unreadable,
    /// Content other than a DTMF digit.
    Other,
}

/// Parses the body of an INFO: lines such as `Signal=5` and `Duration=160`, or the digit alone.
pub(crate) fn parse_info(body: Option<&MessageBody>) -> ParsedInfo {
    let Some(body) = body else { return ParsedInfo::Other };
    let kind = body.content_type.split(';').next().unwrap_or_default().trim();
    let is = |known: &str| kind.eq_ignore_ascii_case(known);
    if !is(RELAY) && !is(PLAIN) {
        return ParsedInfo::Other;
    }
    let Ok(text) = std::str::from_utf8(&body.bytes) else { return ParsedInfo::Unreadable };
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let key = value("Signal").or_else(|| Some(text.trim()).filter(|_| is(PLAIN))).and_then(parse_digit);
    let ms = value("Duration").and_then(|ms| ms.parse::<u32>().ok()).filter(|ms| *ms > 0);
    let ms = ms.map_or(USUAL_MS, |ms| u16::try_from(ms.min(MOST_MS)).unwrap_or(USUAL_MS));
    key.map_or(ParsedInfo::Unreadable, |key| ParsedInfo::Key(key, ms))
}

/// Parses a digit, or its event code (RFC 4733 §3.2), which some senders use for `*` and above. `None` for other text.
fn parse_digit(text: &str) -> Option<char> {
    let mut all = text.chars();
    match (all.next()?.to_ascii_uppercase(), all.next()) {
        (key @ ('0'..='9' | '*' | '#' | 'A'..='D'), None) => Some(key),
        ('1', Some(second @ '0'..='5')) if all.next().is_none() => {
            let at = second.to_digit(10)?;
            "*#ABCD".chars().nth(usize::try_from(at).ok()?)
        }
        _ => None,
    }
}

/// Adapts a wire between sides with different DTMF modes. `own` has the telephone-events of the source as those of the
/// offerer, and those of the sink as those of the answerer.
pub(crate) fn adapt_dtmf_wire(wire: WireSpec, own: &OwnEvents, (from, to): (&Leg, &Leg)) -> WireSpec {
    let mut wire = wire;
    let events: Vec<(u8, u32)> =
        own.offerer.iter().flat_map(|events| events.sends.iter().map(|number| (*number, events.clock))).collect();
    wire.payloads.retain(|(number, _)| !events.iter().any(|(known, _)| known == number));
    wire.clocks.retain(|(number, _)| !events.iter().any(|(known, _)| known == number));
    wire.clocks.extend(&events);
    let tones = from.dtmf() == DtmfMode::Inband;
    let shared = own.audio.first().and_then(|(_, theirs)| Some((theirs.number, coding(theirs)?)));
    // A G.722 decoder depends on one continuous encoder, so tones must come from the encoder of the remaining audio.
    let joins = to.dtmf() == DtmfMode::Inband && shared.is_some_and(|(_, coding)| coding == PayloadCodec::G722);
    if tones || joins {
        // Audio that must be searched for tones is transcoded, if necessary into the same codec.
        let codec_of =
            |number: u8| own.audio.iter().find(|(_, theirs)| theirs.number == number).and_then(|(_, a)| coding(a));
        let from: Vec<(u8, PayloadCodec)> =
            wire.payloads.iter().filter_map(|(from, to)| Some((*from, codec_of(*to)?))).collect();
        wire.payloads.retain(|(number, _)| !from.iter().any(|(known, _)| known == number));
        if let Some(to_audio) = shared.filter(|_| !from.is_empty()) {
            let further = wire.transcode.iter().flat_map(|spec| spec.from.iter().copied());
            let from = from.into_iter().chain(further).collect();
            let packet_ms = to.policy().ptime_ms.clamp(*PACKET_MS.start(), *PACKET_MS.end());
            let packet_ms = u8::try_from(packet_ms).unwrap_or_default();
            let noise = wire.payloads.iter().find(|(number, _)| *number == COMFORT_NOISE);
            let noise = noise.map(|(number, as_sink)| (*number, Some(*as_sink)));
            let spec = TranscodeSpec { from, to: to_audio, packet_ms, events: Vec::new(), noise };
            wire.transcode = Some(Box::new(spec));
            wire.payloads.retain(|(number, _)| *number != COMFORT_NOISE);
        }
    }
    let audio = wire.transcode.as_ref().map(|spec| spec.to).or(shared);
    let press = match to.dtmf() {
        DtmfMode::Rfc4733 => {
            own.answerer.as_ref().map(|events| DigitFormat::Event { payload: events.takes, clock_hz: events.clock })
        }
        DtmfMode::Info => None,
        DtmfMode::Inband => audio.map(|(payload, coding)| DigitFormat::Tone { payload, coding }),
    };
    wire.parted = Some(Box::new(DtmfConversion { events, tones, press, ..DtmfConversion::default() }));
    wire
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_an_info_says_of_a_key() {
        let read = |kind: &str, text: &str| {
            parse_info(Some(&MessageBody {
                content_type: kind.to_owned(),
                bytes: Bytes::copy_from_slice(text.as_bytes()),
            }))
        };
        for (text, key, ms) in [
            ("Signal=5\r\nDuration=160\r\n", '5', 160),
            ("Signal= 5\r\nDuration= 250\r\n", '5', 250),
            ("signal=*\nduration=40", '*', 40),
            ("Signal=10\r\nDuration=100\r\n", '*', 100),
            ("Signal=11\r\n", '#', 100),
            ("Signal=15\r\n", 'D', 100),
            ("Signal=d\r\nDuration=x\r\n", 'D', 100),
            ("Duration=0\r\nSignal=1\r\n", '1', 100),
            ("Signal=1\r\nDuration=4000000000\r\n", '1', 10_000),
        ] {
            assert_eq!(read("application/dtmf-relay", text), ParsedInfo::Key(key, ms), "{text}");
        }
        assert_eq!(read("Application/DTMF; charset=utf-8", "7\r\n"), ParsedInfo::Key('7', 100));
        assert_eq!(read("application/dtmf", "Signal=8\r\nDuration=90\r\n"), ParsedInfo::Key('8', 90));
        for (kind, text) in [
            ("application/dtmf-relay", "5"),
            ("application/dtmf-relay", "Signal=16\r\n"),
            ("application/dtmf-relay", "Signal=55\r\n"),
            ("application/dtmf-relay", "Signal=\r\n"),
            ("application/dtmf", ""),
            ("application/dtmf", "flash"),
            ("application/dtmf", "100"),
        ] {
            assert_eq!(read(kind, text), ParsedInfo::Unreadable, "{text}");
        }
        assert_eq!(read("application/media_control+xml", "5"), ParsedInfo::Other);
        assert_eq!(parse_info(None), ParsedInfo::Other);
    }
}
