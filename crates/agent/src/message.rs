//! Messages that the edge sends, in the exact form of Twilio: order of fields, counters as JSON strings, rate and
//! channels as numbers, no white space. Each is appended to a reused buffer; the most frequent one,
//! [`StreamNames::media`], is assembled from pieces without an allocation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::format::AgentFormat;

/// Direction of the call's audio in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum TrackName {
    /// Audio from the caller.
    Inbound,
    /// Audio to the caller.
    Outbound,
}

impl TrackName {
    /// Returns the direction's name in `start.tracks` and `media.track`.
    pub const fn name(self) -> &'static str {
        match self {
            TrackName::Inbound => "inbound",
            TrackName::Outbound => "outbound",
        }
    }
}

/// Directions of a call's audio that a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum TrackSet {
    /// Audio from the caller: the only choice of an agent that sends audio.
    #[default]
    Inbound,
    /// Audio to the caller.
    Outbound,
    /// Both directions.
    Both,
}

impl TrackSet {
    /// Returns whether the set contains this direction.
    pub const fn has(self, track: TrackName) -> bool {
        matches!(
            (self, track),
            (TrackSet::Both, _) | (TrackSet::Inbound, TrackName::Inbound) | (TrackSet::Outbound, TrackName::Outbound)
        )
    }
}

/// Content of a `media` message, one frame of audio for the agent.
#[derive(Debug, Clone, Copy)]
pub struct MediaMessage<'a> {
    /// Sequence number of the message in the stream.
    pub sequence: u64,
    /// Direction of the call that the audio comes from.
    pub track: TrackName,
    /// Number of the frame in its track, from 1.
    pub chunk: u64,
    /// Start of the audio in milliseconds of media time.
    pub timestamp_ms: u64,
    /// Audio of the frame, in the stream's format.
    pub audio: &'a [u8],
}

/// SIDs of account, call and stream, quoted as JSON strings for messages.
#[derive(Debug, Clone)]
pub struct StreamNames {
    stream_sid: String,
    account: Vec<u8>,
    call: Vec<u8>,
    stream: Vec<u8>,
}

impl StreamNames {
    /// Creates the quoted forms of the SIDs of account, call and stream.
    pub fn new(account_sid: &str, call_sid: &str, stream_sid: &str) -> StreamNames {
        let quoted = |text: &str| {
            let mut out = Vec::new();
            write_string(&mut out, text);
            out
        };
        StreamNames {
            stream_sid: stream_sid.to_owned(),
            account: quoted(account_sid),
            call: quoted(call_sid),
            stream: quoted(stream_sid),
        }
    }

    /// Returns the SID of the stream.
    pub fn stream_sid(&self) -> &str {
        &self.stream_sid
    }

    /// Writes `connected`, the first message.
    pub fn connected(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    }

    /// Writes `start`, the second message, with `parameters` in their order.
    pub fn start(
        &self,
        out: &mut Vec<u8>,
        sequence: u64,
        tracks: TrackSet,
        format: AgentFormat,
        parameters: &[(String, String)],
    ) {
        head(out, "start", sequence);
        out.extend_from_slice(br#","start":{"accountSid":"#);
        out.extend_from_slice(&self.account);
        out.extend_from_slice(br#","streamSid":"#);
        out.extend_from_slice(&self.stream);
        out.extend_from_slice(br#","callSid":"#);
        out.extend_from_slice(&self.call);
        let tracks: &[u8] = match tracks {
            TrackSet::Inbound => br#","tracks":["inbound"]"#,
            TrackSet::Outbound => br#","tracks":["outbound"]"#,
            TrackSet::Both => br#","tracks":["inbound","outbound"]"#,
        };
        out.extend_from_slice(tracks);
        out.extend_from_slice(br#","mediaFormat":{"encoding":""#);
        out.extend_from_slice(format.encoding().as_bytes());
        out.extend_from_slice(br#"","sampleRate":"#);
        write_number(out, u64::from(format.sample_rate()));
        out.extend_from_slice(br#","channels":1},"customParameters":{"#);
        for (index, (name, value)) in parameters.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b",");
            }
            write_string(out, name);
            out.extend_from_slice(b":");
            write_string(out, value);
        }
        out.extend_from_slice(br#"}},"streamSid":"#);
        self.end(out);
    }

    /// Writes `media`, one frame of audio.
    pub fn media(&self, out: &mut Vec<u8>, media: &MediaMessage<'_>) {
        head(out, "media", media.sequence);
        out.extend_from_slice(br#","media":{"track":""#);
        out.extend_from_slice(media.track.name().as_bytes());
        out.extend_from_slice(br#"","chunk":""#);
        write_number(out, media.chunk);
        out.extend_from_slice(br#"","timestamp":""#);
        write_number(out, media.timestamp_ms);
        out.extend_from_slice(br#"","payload":""#);
        write_base64(out, media.audio);
        out.extend_from_slice(br#""},"streamSid":"#);
        self.end(out);
    }

    /// Writes `dtmf`, a digit of the caller.
    pub fn dtmf(&self, out: &mut Vec<u8>, sequence: u64, digit: char) {
        out.extend_from_slice(br#"{"event":"dtmf","streamSid":"#);
        out.extend_from_slice(&self.stream);
        out.extend_from_slice(br#","sequenceNumber":""#);
        write_number(out, sequence);
        out.extend_from_slice(br#"","dtmf":{"track":"inbound_track","digit":"#);
        write_string(out, digit.encode_utf8(&mut [0; 4]));
        out.extend_from_slice(b"}}");
    }

    /// Writes `mark`, a returned mark; `played_ms` is the duration of agent audio played so far (setting `extras`).
    pub fn mark(&self, out: &mut Vec<u8>, sequence: u64, name: &str, played_ms: Option<u64>) {
        head(out, "mark", sequence);
        out.extend_from_slice(br#","streamSid":"#);
        out.extend_from_slice(&self.stream);
        out.extend_from_slice(br#","mark":{"name":"#);
        write_string(out, name);
        if let Some(played_ms) = played_ms {
            out.extend_from_slice(br#","playedMs":""#);
            write_number(out, played_ms);
            out.extend_from_slice(br#"""#);
        }
        out.extend_from_slice(b"}}");
    }

    /// Writes `cleared`, the response to `clear` (setting `extras`).
    pub fn cleared(&self, out: &mut Vec<u8>, sequence: u64, played_ms: u64) {
        head(out, "cleared", sequence);
        out.extend_from_slice(br#","streamSid":"#);
        out.extend_from_slice(&self.stream);
        out.extend_from_slice(br#","cleared":{"playedMs":""#);
        write_number(out, played_ms);
        out.extend_from_slice(br#""}}"#);
    }

    /// Writes `transferFailed` (setting `extras`): target, reason and status code of a failed transfer with `consult`.
    pub fn transfer_failed(&self, out: &mut Vec<u8>, sequence: u64, (target, reason, code): (&str, &str, Option<u16>)) {
        head(out, "transferFailed", sequence);
        out.extend_from_slice(br#","streamSid":"#);
        out.extend_from_slice(&self.stream);
        out.extend_from_slice(br#","transferFailed":{"target":"#);
        write_string(out, target);
        out.extend_from_slice(br#","reason":"#);
        write_string(out, reason);
        if let Some(code) = code {
            out.extend_from_slice(br#","code":""#);
            write_number(out, u64::from(code));
            out.extend_from_slice(br#"""#);
        }
        out.extend_from_slice(b"}}");
    }

    /// Writes `transferAccepted` (setting `extras`): the transfer target has taken the caller, and the agent coaches
    /// the target.
    pub fn transfer_accepted(&self, out: &mut Vec<u8>, sequence: u64, target: &str) {
        head(out, "transferAccepted", sequence);
        out.extend_from_slice(br#","streamSid":"#);
        out.extend_from_slice(&self.stream);
        out.extend_from_slice(br#","transferAccepted":{"target":"#);
        write_string(out, target);
        out.extend_from_slice(br#","role":"coach"}}"#);
    }

    /// Writes `stop`, the last message.
    pub fn stop(&self, out: &mut Vec<u8>, sequence: u64) {
        head(out, "stop", sequence);
        out.extend_from_slice(br#","stop":{"accountSid":"#);
        out.extend_from_slice(&self.account);
        out.extend_from_slice(br#","callSid":"#);
        out.extend_from_slice(&self.call);
        out.extend_from_slice(br#"},"streamSid":"#);
        self.end(out);
    }

    /// Writes the stream's SID and the closing brace of a message.
    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stream);
        out.extend_from_slice(b"}");
    }
}

fn head(out: &mut Vec<u8>, event: &str, sequence: u64) {
    out.extend_from_slice(br#"{"event":""#);
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(br#"","sequenceNumber":""#);
    write_number(out, sequence);
    out.extend_from_slice(br#"""#);
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Writes a JSON string (RFC 8259 §7) with only the required escapes.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(br#"""#);
    for piece in text.split_inclusive(|c: char| c < ' ' || c == '"' || c == '\\') {
        let plain = piece.trim_end_matches(|c: char| c < ' ' || c == '"' || c == '\\');
        out.extend_from_slice(plain.as_bytes());
        for byte in piece.bytes().skip(plain.len()) {
            write_escaped(out, byte);
        }
    }
    out.extend_from_slice(br#"""#);
}

fn write_escaped(out: &mut Vec<u8>, byte: u8) {
    let short: &[u8] = match byte {
        b'"' => br#"\""#,
        b'\\' => br"\\",
        b'\n' => br"\n",
        b'\r' => br"\r",
        b'\t' => br"\t",
        0x08 => br"\b",
        0x0c => br"\f",
        _ => {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0x0f)]);
            return;
        }
    };
    out.extend_from_slice(short);
}

fn write_base64(out: &mut Vec<u8>, audio: &[u8]) {
    let at = out.len();
    out.resize(at + audio.len().div_ceil(3) * 4, 0);
    let area = out.get_mut(at..).unwrap_or_default();
    // The area has the size of the output.
    if STANDARD.encode_slice(audio, area).is_err() {
        out.truncate(at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        let mut out = Vec::new();
        write_string(&mut out, "a\"b\\c/\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}é<>&\u{2028}😀");
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "\"a\\\"b\\\\c/\\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}é<>&\u{2028}😀\"");
    }

    #[test]
    fn tracks_of_a_set() {
        let has = |set: TrackSet| (set.has(TrackName::Inbound), set.has(TrackName::Outbound));
        assert_eq!(has(TrackSet::Inbound), (true, false));
        assert_eq!(has(TrackSet::Outbound), (false, true));
        assert_eq!(has(TrackSet::Both), (true, true));
    }

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn base64_reads_back(audio in proptest::collection::vec(any::<u8>(), 0..1000)) {
            let mut out = vec![b'x'];
            write_base64(&mut out, &audio);
            prop_assert_eq!(STANDARD.decode(&out[1..]).unwrap(), audio);
        }
    }
}
