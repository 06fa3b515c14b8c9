//! Meaning of payload types: encoding, clock rate and channels (RFC 3551 §6), and format compatibility.

use std::fmt;

use crate::refusal::plain;

/// Encoding as in `a=rtpmap` (RFC 8866 §6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtpmap {
    /// Encoding name, e.g. `PCMU`, compared case-insensitively.
    pub encoding: String,
    /// RTP clock rate of the format, in Hz.
    pub clock: u32,
    /// Number of channels; 1 if not written.
    pub channels: u8,
}

impl Rtpmap {
    /// Parses `encoding/clock[/channels]`.
    pub fn parse(text: &str) -> Option<Rtpmap> {
        let mut parts = text.trim().split('/');
        let encoding = parts.next().filter(|e| is_token(e))?.to_owned();
        let clock = parts.next()?.parse().ok().filter(|clock| *clock > 0)?;
        let channels = parts.next().map_or(Some(1), |channels| channels.parse().ok())?;
        Some(Rtpmap { encoding, clock, channels })
    }

    /// Returns whether the encoding has this name.
    pub fn is(&self, encoding: &str) -> bool {
        self.encoding.eq_ignore_ascii_case(encoding)
    }

    /// Returns whether encoding, clock rate and channels are equal.
    pub fn is_same_encoding(&self, other: &Rtpmap) -> bool {
        self.is(&other.encoding) && self.clock == other.clock && self.channels == other.channels
    }

    /// Returns whether the encoding carries media content, unlike telephone-event and comfort noise.
    pub(crate) fn is_content(&self) -> bool {
        !self.is("telephone-event") && !self.is("CN")
    }

    /// Returns whether packets or parameters refer to other payload types, which a relay that maps payload types would
    /// break (RFC 2198 §3, RFC 4588 §8.1, RFC 5109 §14).
    pub(crate) fn names_other_payloads(&self) -> bool {
        ["red", "rtx", "ulpfec", "flexfec", "parityfec"].iter().any(|name| self.is(name))
    }
}

impl fmt::Display for Rtpmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.encoding, self.clock)?;
        if self.channels == 1 { Ok(()) } else { write!(f, "/{}", self.channels) }
    }
}

/// Static payload types (RFC 3551 §6, tables 4 and 5): number, encoding, clock rate, channels.
const STATIC: [(u8, &str, u32, u8); 24] = [
    (0, "PCMU", 8000, 1),
    (3, "GSM", 8000, 1),
    (4, "G723", 8000, 1),
    (5, "DVI4", 8000, 1),
    (6, "DVI4", 16000, 1),
    (7, "LPC", 8000, 1),
    (8, "PCMA", 8000, 1),
    (9, "G722", 8000, 1),
    (10, "L16", 44100, 2),
    (11, "L16", 44100, 1),
    (12, "QCELP", 8000, 1),
    (13, "CN", 8000, 1),
    (14, "MPA", 90000, 1),
    (15, "G728", 8000, 1),
    (16, "DVI4", 11025, 1),
    (17, "DVI4", 22050, 1),
    (18, "G729", 8000, 1),
    (25, "CelB", 90000, 1),
    (26, "JPEG", 90000, 1),
    (28, "nv", 90000, 1),
    (31, "H261", 90000, 1),
    (32, "MPV", 90000, 1),
    (33, "MP2T", 90000, 1),
    (34, "H263", 90000, 1),
];

/// Returns the encoding of a static payload type; `None` for any other.
pub(crate) fn static_payload(number: u8) -> Option<Rtpmap> {
    let (_, encoding, clock, channels) = STATIC.into_iter().find(|(n, ..)| *n == number)?;
    Some(Rtpmap { encoding: encoding.to_owned(), clock, channels })
}

/// Returns the first static payload type with this encoding name; `None` if there is none.
pub(crate) fn static_number(encoding: &str) -> Option<u8> {
    STATIC.iter().find(|(_, name, ..)| name.eq_ignore_ascii_case(encoding)).map(|(number, ..)| *number)
}

/// Returns whether two sides with equal encoding use the same payload format. Only parameters that change the bytes on
/// the wire are compared; preferences (annexb of G.729, mode-set, stereo, bit rates) are not.
pub(crate) fn fmtp_fits(encoding: &str, one: Option<&str>, other: Option<&str>) -> bool {
    differing(encoding, one, other).next().is_none()
}

/// Returns the parameters in which two sides with equal encoding use different payload formats.
pub(crate) fn differing<'a>(
    encoding: &str,
    one: Option<&'a str>,
    other: Option<&'a str>,
) -> impl Iterator<Item = FmtpParameter> + use<'a> {
    identifying(encoding).iter().copied().filter(move |parameter| parameter.meaning(one) != parameter.meaning(other))
}

/// Parameter of `a=fmtp` that changes the bytes on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FmtpParameter {
    name: &'static str,
    /// Value if absent; `None` if only the presence of the parameter matters.
    default: Option<&'static str>,
}

const fn with_default(name: &'static str, default: &'static str) -> FmtpParameter {
    FmtpParameter { name, default: Some(default) }
}

/// Parameters of AMR that must be equal in offer and answer (RFC 4867 §8.1).
const AMR: &[FmtpParameter] = &[
    with_default("octet-align", "0"),
    with_default("robust-sorting", "0"),
    with_default("crc", "0"),
    FmtpParameter { name: "interleaving", default: None },
];
/// Parameters of H.264 that identify the format: packetization mode and profile (RFC 6184 §8.2.2).
const H264: &[FmtpParameter] = &[with_default("packetization-mode", "0"), with_default(PROFILE, "42")];
/// Parameter of G.722.1 that identifies the format. G.726 and G.719 need none: their rates are in the encoding names.
const G7221: &[FmtpParameter] = &[with_default("bitrate", "")];

/// Parameter of which only the first octet (profile_idc) is compared; the level may differ.
const PROFILE: &str = "profile-level-id";

/// Returns the parameters that identify the payload format of an encoding.
fn identifying(encoding: &str) -> &'static [FmtpParameter] {
    match encoding.to_ascii_uppercase().as_str() {
        "AMR" | "AMR-WB" => AMR,
        "H264" => H264,
        "G7221" => G7221,
        _ => &[],
    }
}

impl FmtpParameter {
    /// Returns the part of a side's parameter value that is compared.
    fn meaning(self, fmtp: Option<&str>) -> String {
        let value = parameter(fmtp, self.name);
        match self.default {
            None => value.is_some().to_string(),
            Some(default) => {
                let length = if self.name == PROFILE { 2 } else { usize::MAX };
                value.unwrap_or(default).chars().take(length).collect::<String>().to_ascii_uppercase()
            }
        }
    }

    /// Formats a side's parameter value for a message.
    pub(crate) fn shown(self, fmtp: Option<&str>) -> String {
        let value = parameter(fmtp, self.name).or(self.default).filter(|value| !value.is_empty());
        value.map_or_else(|| format!("no {}", self.name), |value| format!("{}={}", self.name, plain(value)))
    }
}

pub(crate) fn parameter<'a>(fmtp: Option<&'a str>, name: &str) -> Option<&'a str> {
    fmtp?.split(';').find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtpmap_reads_and_writes() {
        for (text, written) in [
            ("PCMU/8000", Some("PCMU/8000")),
            ("PCMU/8000/1", Some("PCMU/8000")),
            ("opus/48000/2", Some("opus/48000/2")),
            ("telephone-event/8000 ", Some("telephone-event/8000")),
            ("PCMU", None),
            ("PCMU/0", None),
            ("/8000", None),
            ("a b/8000", None),
            ("PCMU/4294967296", None),
            ("PCMU/8000/256", None),
        ] {
            assert_eq!(Rtpmap::parse(text).map(|map| map.to_string()).as_deref(), written, "{text}");
        }
    }

    #[test]
    fn parameters_that_change_the_bytes_count() {
        let octet = Some("octet-align=1; mode-set=0,2");
        for (encoding, one, other, fits) in [
            ("G729", Some("annexb=no"), None, true),
            ("opus", Some("useinbandfec=1"), Some("stereo=1"), true),
            ("AMR", octet, Some("mode-set=7;octet-align=1"), true),
            ("AMR", octet, None, false),
            ("AMR", None, Some("octet-align=0"), true),
            ("amr-wb", Some("interleaving=30;octet-align=1"), Some("octet-align=1"), false),
            ("H264", Some("profile-level-id=42e01f;packetization-mode=1"), Some("packetization-mode=1"), true),
            ("H264", Some("packetization-mode=1"), None, false),
            ("H264", Some("profile-level-id=64001f"), Some("profile-level-id=42001f"), false),
        ] {
            assert_eq!(fmtp_fits(encoding, one, other), fits, "{encoding} {one:?} {other:?}");
        }
    }
}
