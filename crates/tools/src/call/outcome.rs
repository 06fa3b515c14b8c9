//! Result of a test call, as a page and as JSON.

use std::time::Instant;

use serde_json::{Value, json};
use trunkgate_call::numbers::plain;
use trunkgate_call::trace::{TraceEntry, TraceItem, TraceView, body_note, first_line};
use trunkgate_phone::{CallEnding, DirectionQuality, PhoneQuality};
use trunkgate_route::Transport;
use trunkgate_sip::{HeaderName, SipMessage};

use super::session::CallAddress;
use crate::sound::NoiseMeter;
use trunkgate_explain::ladder::{self, LegMedia};
use trunkgate_system::limits::RECORDED_SECONDS;
use trunkgate_system::terminal;

/// Sample rate of the recorded audio, in Hz.
const RATE_HZ: usize = 8000;
/// Packets of a call below which RTCP reports may be missing (RFC 3550 §6.2: every 5 s, plus up to half).
const REPORTED_PACKETS: u32 = 375;
/// Maximum number of characters shown of a text received from the remote party.
const WORDS_CHARS: usize = 200;
/// Maximum number of messages in the ladder; further ones are counted.
const ENTRIES: usize = 500;

/// Media results of an answered call.
pub(super) struct AnsweredMedia {
    pub(super) codec: Option<&'static str>,
    pub(super) suite: Option<&'static str>,
    /// Whether the call ended without BYE.
    pub(super) is_cut_off: bool,
    pub(super) sent: u32,
    /// SRTP packets that could not be decrypted with the negotiated key.
    pub(super) unopened: u64,
    pub(super) quality: Option<PhoneQuality>,
    /// DTMF digits received from the remote party.
    pub(super) pressed: String,
    /// DTMF digits to send, with the result; `None` without `--dtmf`.
    pub(super) keys: Option<(String, DtmfResult)>,
    /// Whether the remote party echoes the caller's audio.
    pub(super) echoes: bool,
}

/// Result of sending DTMF digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DtmfResult {
    /// All digits were sent, as telephone-events of this payload type and clock rate (Hz).
    Pressed(u8, u32),
    /// The call ended before all digits were sent.
    CutOff,
    /// The remote party does not accept telephone-events, so no digit was sent.
    Refused,
}

/// Final response to the INVITE of the test call.
struct FinalInviteResponse {
    code: u16,
    /// Status code and reason phrase.
    line: String,
    /// Text of the Warning or Reason header of the response (RFC 3261 §20.43, RFC 3326).
    why: Option<String>,
}

/// Result of a test call over all addresses tried.
pub(super) struct TestCallOutcome {
    uri: String,
    began: Option<Instant>,
    /// Address to which the last attempt was made.
    way: Option<CallAddress>,
    entries: Vec<TraceEntry>,
    dropped: u64,
    last: Option<FinalInviteResponse>,
    ringing_seconds: Option<f64>,
    answered_seconds: Option<f64>,
    ended: Option<(CallEnding, f64)>,
    answered: Option<AnsweredMedia>,
    /// Reason why the call was not answered, unless a response gives it.
    failure: Option<String>,
    remarks: Vec<String>,
    is_given_up: bool,
    /// Received audio at 8 kHz; empty unless it is recorded.
    pub(super) heard: Vec<i16>,
    is_recorded: bool,
    /// Level and noise of the received audio.
    sound: NoiseMeter,
    /// SSRC, timestamp and recording position of the first packet of the current stream.
    origin: Option<(u32, u32, usize)>,
}

impl TestCallOutcome {
    /// Creates the result of a call to `uri`. `is_recorded`: whether received audio is kept.
    pub(super) fn new(uri: String, is_recorded: bool) -> TestCallOutcome {
        TestCallOutcome {
            uri,
            is_recorded,
            sound: NoiseMeter::default(),
            began: None,
            way: None,
            entries: Vec::new(),
            dropped: 0,
            last: None,
            ringing_seconds: None,
            answered_seconds: None,
            ended: None,
            answered: None,
            failure: None,
            remarks: Vec::new(),
            is_given_up: false,
            heard: Vec::new(),
            origin: None,
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered_seconds.is_some()
    }

    pub(super) fn is_by_tls(&self) -> bool {
        self.way.as_ref().is_some_and(|way| way.transport == Transport::Tls)
    }

    /// Returns whether another address may be tried: no server has accepted or finally rejected the call (RFC 3263
    /// §4.3).
    pub(super) fn may_go_on(&self) -> bool {
        let is_final = self.last.as_ref().is_some_and(|last| last.code != 503);
        !self.is_answered() && !self.is_given_up && !is_final
    }

    pub(super) fn begin(&mut self, way: &CallAddress) {
        self.began.get_or_insert_with(Instant::now);
        self.way = Some(way.clone());
        (self.last, self.failure) = (None, None);
    }

    /// Records that the call failed at one address; another one may be tried.
    pub(super) fn unreached(&mut self, way: &CallAddress, what: &str) {
        self.way = Some(way.clone());
        let text = format!("{way}: {what}");
        super::say(&text);
        self.push(Instant::now(), TraceItem::Decision { text: text.clone() });
        if !self.is_answered() {
            self.failure = Some(text);
        }
    }

    /// Records that the call failed and that no other address is tried.
    pub(super) fn fail(&mut self, what: String) {
        self.is_given_up = true;
        self.failure.get_or_insert(what);
    }

    pub(super) fn remark(&mut self, what: String) {
        self.remarks.push(what);
    }

    /// Appends a SIP message to the ladder. `again` marks a retransmission.
    pub(super) fn note(&mut self, now: Instant, sent: bool, bytes: &[u8], again: bool) {
        // The ladder is drawn for the remote party: messages it receives are sent by the caller.
        let (text, note) = (first_line(bytes), body_note(bytes));
        self.push(now, TraceItem::Message { leg: 0, received: sent, text, note, again });
    }

    fn push(&mut self, now: Instant, what: TraceItem) {
        if self.entries.len() >= ENTRIES {
            self.dropped += 1;
            return;
        }
        let since = now.saturating_duration_since(*self.began.get_or_insert(now));
        self.entries.push(TraceEntry::new(u64::try_from(since.as_micros()).unwrap_or(u64::MAX), what));
    }

    /// Records the final response to the INVITE.
    pub(super) fn answer(&mut self, code: u16, bytes: &[u8], message: &SipMessage) {
        let words = |bytes: &[u8]| plain(&String::from_utf8_lossy(bytes), WORDS_CHARS);
        let why = message.header(HeaderName::Warning).or_else(|| message.header(HeaderName::Reason)).map(words);
        self.last = Some(FinalInviteResponse { code, line: first_line(bytes), why });
    }

    pub(super) fn ringing_after(&mut self, seconds: f64) {
        self.ringing_seconds.get_or_insert(seconds);
    }

    pub(super) fn answered_after(&mut self, seconds: f64) {
        self.answered_seconds = Some(seconds);
    }

    pub(super) fn ended(&mut self, ending: CallEnding, seconds: f64) {
        self.ended = Some((ending, seconds));
    }

    pub(super) fn answered_with(&mut self, answered: AnsweredMedia) {
        self.answered = Some(answered);
    }

    /// Adds the audio of a packet at the position in the recording given by its timestamp. `clock_hz` is the clock rate
    /// of the timestamp.
    pub(super) fn hear(&mut self, source: u32, (timestamp, clock_hz): (u32, u32), samples: Vec<i16>) {
        self.sound.take(&samples);
        if !self.is_recorded {
            return;
        }
        let end = self.heard.len();
        let (ssrc, first, place) = *self.origin.get_or_insert((source, timestamp, end));
        let ticks = i64::from(timestamp.wrapping_sub(first).cast_signed());
        let after = ticks * RATE_HZ as i64 / i64::from(clock_hz.max(1));
        let at = if ssrc == source { i64::try_from(place).ok().map(|place| place + after) } else { None };
        let at = match at.and_then(|at| usize::try_from(at).ok()) {
            // A pause keeps its length; a timestamp jump is removed.
            Some(at) if at <= end + 60 * RATE_HZ => at,
            Some(_) | None => {
                self.origin = Some((source, timestamp, end));
                end
            }
        };
        for (offset, sample) in samples.into_iter().enumerate() {
            let at = at + offset;
            if at >= RECORDED_SECONDS * RATE_HZ {
                return;
            }
            if self.heard.len() <= at {
                self.heard.resize(at + 1, 0);
            }
            if let Some(place) = self.heard.get_mut(at) {
                *place = sample;
            }
        }
    }

    /// Returns the reason why the call was not answered; `None` if it was answered.
    fn why_not(&self) -> Option<String> {
        if self.is_answered() {
            return None;
        }
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        let Some(last) = &self.last else { return Some("no final response".to_owned()) };
        let hint = match last.code {
            401 | 407 => {
                ": authentication is required or failed: use --username, and the password in \
                          TRUNKGATE_PASSWORD or --password-env"
            }
            403 => ": the number is not allowed, or your address is not on its allow list",
            404 => ": unknown number",
            408 | 480 => ": no answer",
            484 => ": the number is incomplete",
            486 | 600 => ": busy",
            488 | 606 => ": no common codec or SRTP setting (--srtp)",
            300..=399 => ": redirected; a test call does not follow redirections",
            500..=599 if last.why.is_none() => {
                ": the far end or a target beyond it failed; if it is your edge, `trunkgate trace last` shows the target and the cause"
            }
            _ => "",
        };
        let why = last.why.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        Some(format!("refused with {}{why}{hint}", last.line))
    }

    fn trace(&self) -> TraceView {
        TraceView {
            sid: String::new(),
            verdict: String::new(),
            legs: vec!["call".to_owned()],
            entries: self.entries.clone(),
            dropped: self.dropped,
        }
    }

    pub(super) fn as_text(&self) -> String {
        let mut out = String::new();
        if !self.entries.is_empty() {
            let far = self.way.as_ref().map_or_else(|| "far end".to_owned(), |way| way.remote.to_string());
            let received = |quality: PhoneQuality| quality.received;
            let media = self.answered.as_ref().map(|answered| LegMedia {
                received: answered.sent.into(),
                sent: answered.quality.map_or(0, received),
                name: "RTP",
                is_shown: false,
            });
            let media: Vec<LegMedia> = media.into_iter().collect();
            out.push_str(&ladder::draw(&self.trace(), &far, &media, terminal::width()));
            out.push('\n');
        }
        match &self.answered {
            Some(answered) => out.push_str(&answered.as_text(&self.sound)),
            None => out.push_str(&format!("not answered: {}\n", self.why_not().unwrap_or_default())),
        }
        if let Some((ending, seconds)) = self.ended.filter(|_| self.is_answered()) {
            let talked = seconds - self.answered_seconds.unwrap_or(seconds);
            out.push_str(&format!("ended  {}, {talked:.1} s after the answer\n", words(ending)));
        }
        for remark in &self.remarks {
            out.push_str(&format!("! {remark}\n"));
        }
        out
    }

    pub(super) fn as_json(&self) -> Value {
        let ms = |seconds: Option<f64>| seconds.map(|seconds| (seconds * 1e4).round() / 10.0);
        let talked = self.ended.zip(self.answered_seconds).map(|((_, ended), answered)| ended - answered);
        json!({
            "uri": self.uri,
            "answered": self.is_answered(),
            "failure": self.why_not(),
            "code": self.last.as_ref().map(|last| last.code),
            "transport": self.way.as_ref().map(|way| way.transport.as_str()),
            "remote": self.way.as_ref().map(|way| way.remote.to_string()),
            "ringing_ms": ms(self.ringing_seconds),
            "answered_ms": ms(self.answered_seconds),
            "duration_ms": ms(talked),
            "ended": self.ended.map(|(ending, _)| words(ending)),
            "codec": self.answered.as_ref().and_then(|answered| answered.codec),
            "srtp": self.answered.as_ref().and_then(|answered| answered.suite),
            "rtp": self.answered.as_ref().map(|answered| answered.as_json(&self.sound)),
            "remarks": self.remarks,
            "trace": self.entries,
        })
    }
}

impl AnsweredMedia {
    fn as_text(&self, sound: &NoiseMeter) -> String {
        let mut out = format!("codec  {}, srtp {}\n", self.codec.unwrap_or("none agreed"), self.suite.unwrap_or("off"));
        let quality = self.quality;
        match quality.filter(|quality| quality.received > 0) {
            Some(quality) => {
                out.push_str(&format!("heard  {}, {}\n", packets(quality.received), figures(&quality.near)));
                out.push_str(&format!("level  {}\n", in_words(sound)));
            }
            None => out.push_str("heard  nothing: check NAT, firewall and --srtp\n"),
        }
        let far = match quality.and_then(|quality| quality.far) {
            Some(far) => format!("there {}", figures(&far)),
            None if self.sent < REPORTED_PACKETS => {
                "no report from the remote party: RTCP is sent about every 5 s, see --duration".to_owned()
            }
            None => "no RTCP report from the remote party".to_owned(),
        };
        out.push_str(&format!("sent   {}, {far}\n", packets(self.sent.into())));
        if let Some(ms) = quality.and_then(|quality| quality.round_trip_ms) {
            out.push_str(&format!("trip   {ms:.1} ms round trip\n"));
        }
        if !self.pressed.is_empty() {
            out.push_str(&format!("keys   {}\n", self.pressed));
        }
        match &self.keys {
            Some((keys, DtmfResult::Pressed(number, clock))) => {
                out.push_str(&format!("press  {keys} by RFC 4733 {number}/{clock}\n"));
            }
            Some((_, DtmfResult::CutOff)) => out.push_str("! the call ended before all digits were sent\n"),
            Some((_, DtmfResult::Refused)) => {
                out.push_str("! no digit was sent: the remote party does not support telephone-event (RFC 4733)\n");
            }
            None => {}
        }
        if self.echoes {
            out.push_str("echo   our own tone was received\n");
        }
        if self.unopened > 0 {
            let (unopened, verb) = (packets(self.unopened), if self.unopened == 1 { "was" } else { "were" });
            out.push_str(&format!("! {unopened} {verb} not encrypted with the key agreed\n"));
        }
        if self.is_cut_off {
            out.push_str("! left without BYE\n");
        }
        out
    }

    fn as_json(&self, sound: &NoiseMeter) -> Value {
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        let direction = |one: &DirectionQuality| json!({ "lost": one.lost, "jitter_ms": hundredths(one.jitter_ms), "mos": one.mos.map(hundredths) });
        let quality = self.quality.as_ref();
        let mut value = quality.map_or_else(|| json!({}), |quality| direction(&quality.near));
        value["rx_packets"] = json!(quality.map_or(0, |quality| quality.received));
        value["tx_packets"] = json!(self.sent);
        value["rtt_ms"] = json!(quality.and_then(|quality| quality.round_trip_ms).map(hundredths));
        value["far"] = json!(quality.and_then(|quality| quality.far.as_ref()).map(direction));
        value["level_dbfs"] = json!(sound.level_db().map(hundredths));
        value["noise"] = json!(sound.is_noise());
        value["keys"] = json!(self.pressed);
        value["pressed"] = match &self.keys {
            Some((keys, DtmfResult::Pressed(..))) => json!(keys),
            Some((_, DtmfResult::CutOff | DtmfResult::Refused)) | None => Value::Null,
        };
        value["echo"] = json!(self.echoes);
        value["srtp_failures"] = json!(self.unopened);
        value
    }
}

/// Formats loss, jitter and MOS of one direction.
fn figures(one: &DirectionQuality) -> String {
    let percent = 100.0 * one.lost as f64 / one.expected.max(1) as f64;
    let score = one.mos.map_or_else(|| "–".to_owned(), |mos| format!("{mos:.2}"));
    format!("{} lost ({percent:.1} %), jitter {:.1} ms, MOS {score}", one.lost, one.jitter_ms)
}

/// Formats a number of packets: `1 packet`, `2 packets`.
fn packets(count: u64) -> String {
    if count == 1 { "1 packet".to_owned() } else { format!("{count} packets") }
}

/// Describes level and noise of the received audio.
fn in_words(sound: &NoiseMeter) -> String {
    match sound.level_db() {
        None => "silence throughout".to_owned(),
        Some(db) if sound.is_noise() => {
            format!("{db:.0} dBFS, noise: the sender may use a codec other than the negotiated one")
        }
        Some(db) => format!("{db:.0} dBFS"),
    }
}

fn words(ending: CallEnding) -> &'static str {
    match ending {
        CallEnding::HungUp => "hung up here",
        CallEnding::HungUpThere => "hung up there",
        CallEnding::Refused(_) => "refused",
        CallEnding::Canceled | CallEnding::GaveUp => "given up here",
        CallEnding::CanceledThere => "given up there",
        CallEnding::TimedOut => "no answer in time",
        CallEnding::SessionExpired => "not refreshed there",
        CallEnding::Unreachable => "could not be sent",
        CallEnding::Rejected(_) | CallEnding::AckMissing | CallEnding::PrackMissing | CallEnding::Ignored => {
            "not taken here"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_is_no_packets() {
        assert_eq!([0, 1, 2].map(packets), ["0 packets", "1 packet", "2 packets"]);
    }

    #[test]
    fn what_is_heard_stands_at_its_time() {
        for clock_hz in [8000, 48_000] {
            let mut outcome = TestCallOutcome::new(String::new(), true);
            let scale = clock_hz / 8000;
            let hear = |outcome: &mut TestCallOutcome, ssrc: u32, ticks: u32, sample: i16| {
                outcome.hear(ssrc, (ticks, clock_hz), vec![sample; 160]);
            };
            hear(&mut outcome, 1, u32::MAX - 160 * scale + 1, 7);
            // One packet is missing, and the next one arrives early.
            hear(&mut outcome, 1, 320 * scale, 9);
            hear(&mut outcome, 1, 160 * scale, 7);
            assert_eq!(outcome.heard.len(), 4 * 160);
            let at = |frame: usize| outcome.heard[frame * 160];
            assert_eq!([at(0), at(1), at(2), at(3)], [7, 0, 7, 9]);
            // A stream of another SSRC, or a timestamp jump of hours, is appended to the end.
            hear(&mut outcome, 2, 7, 9);
            hear(&mut outcome, 2, 1 << 30, 7);
            assert_eq!((outcome.heard.len(), outcome.heard[4 * 160], outcome.heard[5 * 160]), (6 * 160, 9, 7));
        }
    }

    #[test]
    fn a_short_call_is_not_blamed_for_what_nobody_reported_yet() {
        let of = |sent: u32| {
            let (codec, suite, quality, pressed) = (Some("PCMU"), None, None, String::new());
            let answered = AnsweredMedia {
                codec,
                suite,
                is_cut_off: false,
                sent,
                unopened: 0,
                quality,
                pressed,
                keys: None,
                echoes: false,
            };
            answered.as_text(&NoiseMeter::default())
        };
        assert!(of(50).contains("RTCP is sent about every 5 s") && !of(1_000).contains("every 5 s"), "{}", of(50));
    }

    #[test]
    fn refusals_are_told_in_words() {
        let mut outcome = TestCallOutcome::new(String::new(), false);
        fn answer(outcome: &mut TestCallOutcome, code: u16, text: &str) {
            let message = SipMessage::parse(bytes::Bytes::copy_from_slice(text.as_bytes())).unwrap();
            outcome.answer(code, text.as_bytes(), &message);
        }
        let rest = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>;tag=2\r\nCall-ID: c\r\n\
                    CSeq: 1 INVITE\r\n";
        let refused = format!("SIP/2.0 488 Not Acceptable Here\r\n{rest}Warning: 305 x \"PCMU\x1b[2J\"\r\n\r\n");
        answer(&mut outcome, 488, &refused);
        assert!(!outcome.may_go_on());
        let why = outcome.why_not().unwrap();
        assert!(why.starts_with("refused with 488 Not Acceptable Here (305 x \"PCMU[2J\"): no common codec"), "{why}");
        answer(&mut outcome, 401, &format!("SIP/2.0 401 Unauthorized\r\n{rest}\r\n"));
        assert!(outcome.why_not().unwrap().contains("--username"), "{:?}", outcome.why_not());
        let reason = "Reason: Q.850;cause=38;text=\"agent_refused\"";
        answer(&mut outcome, 503, &format!("SIP/2.0 503 Service Unavailable\r\n{rest}{reason}\r\n\r\n"));
        assert!(outcome.why_not().unwrap().ends_with("(Q.850;cause=38;text=\"agent_refused\")"));
        answer(&mut outcome, 503, &format!("SIP/2.0 503 Full\r\n{rest}\r\n"));
        assert!(outcome.may_go_on());
    }
}
