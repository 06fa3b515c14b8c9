//! Event ring of a call: messages, decisions and media events in order of time; the ladder diagram is a view of it.

mod packed;
mod webhook;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Instant;

use memchr::memmem::Finder;

use self::packed::PackedEntries;
pub use self::webhook::{CookieChanges, DroppedCookie, FINAL_CODES, WebhookExchange, WebhookTry, failed_attempt};
use crate::limits::{TRACE_DIGITS, TRACE_ENTRIES, TRACE_REQUESTS, TRACE_TEXT_CHARS};
use crate::messages::{CallMessages, RawMessage, Wire};
use crate::numbers::plain;
use crate::redact;

/// Entry of a trace.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TraceEntry {
    /// Time since the start of the call.
    pub at_us: u64,
    /// Content of the entry.
    #[serde(flatten)]
    pub what: TraceItem,
    /// Message as on the wire, if requested and still kept.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<RawMessage>>,
}

impl TraceEntry {
    /// Returns an entry without the text of a message.
    pub fn new(at_us: u64, what: TraceItem) -> TraceEntry {
        TraceEntry { at_us, what, message: None }
    }
}

/// Content of an entry.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TraceItem {
    /// A SIP message was received or sent.
    Message {
        /// Index in `legs`, from 0.
        leg: usize,
        /// Whether the edge received the message; otherwise it sent the message.
        received: bool,
        /// Method, or status code and reason phrase, of a message; else a sentence, for a webhook with the body in the
        /// lines below.
        text: String,
        /// Remark, such as the codecs; empty without one.
        note: String,
        /// Whether the message is a retransmission.
        again: bool,
    },
    /// A decision of the edge.
    Decision {
        /// Text of the decision.
        text: String,
    },
    /// A request to an application that was answered or has failed.
    Webhook {
        /// Text of the request, with the body in the lines below.
        text: String,
        /// Details of the request.
        #[serde(flatten)]
        webhook: Box<WebhookExchange>,
    },
    /// An event of an agent's stream: opened, lost, or an ignored message.
    Agent {
        /// Index of the leg.
        leg: usize,
        /// Text of the stream event.
        text: String,
    },
    /// A media event: bound, latched, idle.
    Media {
        /// Index of the leg.
        leg: usize,
        /// Text of the media event.
        text: String,
    },
}

impl TraceItem {
    /// Returns a decision without secrets in its addresses.
    pub fn decision(text: impl Into<String>) -> TraceItem {
        TraceItem::Decision { text: redact::addresses(text.into()) }
    }

    /// Returns a request to an application without secrets in its addresses.
    pub fn webhook(webhook: WebhookExchange) -> TraceItem {
        let webhook = webhook.redacted();
        TraceItem::Webhook { text: webhook.text(), webhook: Box::new(webhook) }
    }
}

/// Trace of a call.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TraceView {
    /// SID of the call.
    pub sid: String,
    /// Result of the call and its cause.
    pub verdict: String,
    /// Trunks or targets, in the order of the call's `legs`.
    pub legs: Vec<String>,
    /// Entries in chronological order.
    pub entries: Vec<TraceEntry>,
    /// Entries dropped because the trace was full: the oldest ones.
    pub dropped: u64,
}

impl TraceView {
    /// Returns the number of stray ACKs of a leg.
    pub fn stray_acks(&self, leg: usize) -> usize {
        self.entries.iter().filter(|entry| is_stray_ack(&entry.what, leg)).count()
    }

    /// Returns the index of the first leg with a repeated 200 OK but no ACK, and how often the 200 OK was sent. `None`
    /// if there is no such leg.
    pub fn unacknowledged(&self) -> Option<(usize, u32)> {
        let mut sent: Vec<u32> = vec![0; self.legs.len()];
        for entry in &self.entries {
            let TraceItem::Message { leg, received, text, note, again } = &entry.what else { continue };
            let Some(count) = sent.get_mut(*leg) else { continue };
            match (received, text.as_str()) {
                (true, "ACK") => *count = 0,
                // Responses to other requests have no SDP.
                (false, text) if text.starts_with("200 ") && !note.is_empty() => {
                    *count = if *again { count.saturating_add(1) } else { 1 };
                }
                _ => {}
            }
        }
        sent.into_iter().enumerate().find(|(_, count)| *count >= UNACKNOWLEDGED)
    }

    /// Returns a view without entries.
    pub fn of(sid: String, verdict: String, legs: Vec<String>) -> TraceView {
        TraceView { sid, verdict, legs, entries: Vec::new(), dropped: 0 }
    }
}

/// Text of an ACK with the Call-ID of a call, but outside the call's dialogs.
pub(crate) const STRAY_ACK: &str = "ACK (stray)";
/// Maximum number of stray ACKs in a trace.
const STRAY_ACKS: usize = 12;
/// Transmissions of a 200 OK without an ACK from which the missing ACK is reported.
const UNACKNOWLEDGED: u32 = 3;

/// Event ring of a call.
#[derive(Debug)]
pub struct CallTrace {
    /// SID of the call.
    sid: Box<str>,
    began: Instant,
    entries: PackedEntries,
    dropped: u32,
    /// Number of DTMF digits, listed or not.
    digits: u32,
    messages: CallMessages,
    requests: RequestLog,
}

/// API requests about a call.
#[derive(Debug, Default)]
struct RequestLog {
    noted: u32,
    /// API requests without an entry in the trace.
    left_out: u32,
    /// Time of the last API request, in microseconds since the start of the call.
    last_us: u64,
}

impl CallTrace {
    /// Returns an empty ring with times relative to `began`.
    pub fn new(began: Instant, sid: &str) -> CallTrace {
        CallTrace {
            sid: sid.into(),
            began,
            entries: PackedEntries::default(),
            dropped: 0,
            digits: 0,
            messages: CallMessages::default(),
            requests: RequestLog::default(),
        }
    }

    /// Returns the SID of the call.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Returns the start of the call.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Returns the number of entries.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Returns the memory used by messages, in bytes.
    pub fn message_bytes(&self) -> usize {
        self.messages.bytes()
    }

    /// Masks and compresses the messages, once the call is established.
    pub fn settle_messages(&mut self) {
        self.messages.settle();
    }

    /// Drops the messages. Returns their number.
    pub fn forget_messages(&mut self) -> usize {
        self.messages.forget()
    }

    /// Adds an entry, with its text if it is a message; a full ring drops its oldest entry.
    pub fn push(&mut self, now: Instant, what: &TraceItem, message: Option<Wire<'_>>) {
        if self.entries.len() >= TRACE_ENTRIES {
            self.entries.pop_first();
            self.dropped = self.dropped.saturating_add(1);
        }
        let at_us = self.micros(now);
        let again = matches!(what, TraceItem::Message { again: true, .. });
        let message = message.and_then(|message| self.messages.keep(&message, again));
        self.entries.push(at_us, what, message);
    }

    /// Adds an API request: the first ones as decisions. Further ones are only counted, so that they displace no
    /// other entries.
    pub fn push_request(&mut self, now: Instant, text: String) {
        self.requests.last_us = self.micros(now);
        if self.requests.noted < TRACE_REQUESTS {
            self.requests.noted += 1;
            self.push(now, &TraceItem::Decision { text }, None);
        } else {
            self.requests.left_out = self.requests.left_out.saturating_add(1);
        }
    }

    /// Adds an ACK that belongs to no dialog, up to a limit.
    pub fn push_stray_ack(&mut self, now: Instant, leg: usize, message: Wire<'_>) {
        if self.stray_acks(leg) < STRAY_ACKS {
            let note = "tags or CSeq are not those of the 200 OK: dropped".to_owned();
            let text = STRAY_ACK.to_owned();
            self.push(now, &TraceItem::Message { leg, received: true, text, note, again: false }, Some(message));
        }
    }

    /// Returns the number of stray ACKs of a leg.
    pub fn stray_acks(&self, leg: usize) -> usize {
        self.entries.iter().filter(|(entry, _)| is_stray_ack(&entry.what, leg)).count()
    }

    /// Adds a masked DTMF digit of a leg: an entry for each of the first digits, then one note that there are more.
    pub fn push_digit(&mut self, now: Instant, leg: usize, way: &str) {
        self.digits = self.digits.saturating_add(1);
        let text = match self.digits {
            1..=TRACE_DIGITS => format!("DTMF digit (masked) by {way}"),
            digits if digits == TRACE_DIGITS + 1 => "more DTMF digits, which are not listed".to_owned(),
            _ => return,
        };
        self.push(now, &TraceItem::Media { leg, text }, None);
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns the view; `head` has all fields except the entries. With `raw`, messages have their text.
    pub fn view(&self, head: TraceView, raw: bool) -> TraceView {
        let texts = if raw { self.messages.all() } else { HashMap::new() };
        // Retransmissions share one kept message.
        let text = |number: Option<u32>| number.and_then(|number| texts.get(&number)).cloned().map(Box::new);
        let entries = self.entries.iter().map(|(entry, number)| TraceEntry { message: text(number), ..entry });
        let mut entries: Vec<TraceEntry> = entries.collect();
        let RequestLog { left_out, last_us, .. } = self.requests;
        if left_out > 0 {
            let text = format!("API requests: {left_out} more, the last one here");
            let place = entries.partition_point(|entry| entry.at_us <= last_us);
            entries.insert(place, TraceEntry::new(last_us, TraceItem::Decision { text }));
        }
        TraceView { entries, dropped: self.dropped.into(), ..head }
    }
}

/// Maximum m-lines, and payload types of each, in the ladder.
const NOTED: (usize, usize) = (4, 8);

/// Returns a summary of a message's body for the ladder: kind, port and payload types of each m-line; empty without a
/// body.
pub fn body_note(bytes: &[u8]) -> String {
    static END_OF_HEADERS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    let end = END_OF_HEADERS.find(bytes);
    let body = end.and_then(|end| bytes.get(end + 4..)).unwrap_or_default();
    if body.is_empty() {
        return String::new();
    }
    if is_digit(bytes.get(..end.unwrap_or_default()).unwrap_or_default()) {
        return "DTMF digit (masked)".to_owned();
    }
    let body = readable(body);
    let mut media: Vec<SectionSummary<'_>> = Vec::new();
    let mut rest = &*body;
    while !rest.is_empty() {
        // Faster than a search for a character: half of the lines are not shown in the ladder.
        let end = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        rest = rest.get(end + 1..).unwrap_or_default();
        if let Some(line) = line.strip_prefix("m=") {
            if media.len() == NOTED.0 {
                break;
            }
            media.push(SectionSummary::of(line));
        } else if let (Some(map), Some(section)) = (line.strip_prefix("a=rtpmap:"), media.last_mut()) {
            let (number, encoding) = map.split_once(' ').unwrap_or_default();
            let name = encoding.split('/').next().filter(|name| !name.is_empty() && !number.is_empty());
            let its = section.payloads.iter_mut().filter(|payload| **payload == number);
            its.for_each(|payload| *payload = name.unwrap_or(payload));
        }
    }
    let mut note = String::new();
    for (at, SectionSummary { kind, port, is_secure, payloads }) in media.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let srtp = if *is_secure { " SRTP" } else { "" };
        note.extend([comma, *kind, " ", *port, srtp, ":"]);
        let names = payloads.iter().take_while(|payload| !payload.is_empty()).map(|payload| static_name(payload));
        if payloads.iter().all(|payload| payload.is_empty()) {
            note.push(' ');
        }
        names.for_each(|name| note.extend([" ", name]));
    }
    plain(&note, TRACE_TEXT_CHARS)
}

/// An m-line as shown in the ladder.
struct SectionSummary<'a> {
    kind: &'a str,
    port: &'a str,
    is_secure: bool,
    payloads: [&'a str; NOTED.1],
}

impl SectionSummary<'_> {
    fn of(line: &str) -> SectionSummary<'_> {
        let mut words = line.split_ascii_whitespace();
        let [kind, port] = [words.next(), words.next()].map(Option::unwrap_or_default);
        let is_secure = words.next().is_some_and(|proto| proto.contains("RTP/SAVP"));
        // A format is a number or a token; other text (of an unterminated line) may be a key.
        let is_format =
            |word: &&str| word.len() <= 32 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._*".contains(&b));
        let mut payloads = [""; NOTED.1];
        payloads.iter_mut().zip(words.take_while(is_format)).for_each(|(place, word)| *place = word);
        SectionSummary { kind, port, is_secure, payloads }
    }
}

/// Returns octets as text, with invalid ones replaced.
fn readable(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Returns whether the headers are those of an INFO with a DTMF digit.
fn is_digit(head: &[u8]) -> bool {
    let kind = b"application/dtmf";
    head.starts_with(b"INFO ") && head.windows(kind.len()).any(|part| part.eq_ignore_ascii_case(kind))
}

/// Returns the name of a static payload type (RFC 3551 §6), which needs no rtpmap.
fn static_name(payload: &str) -> &str {
    match payload {
        "0" => "PCMU",
        "8" => "PCMA",
        "9" => "G722",
        "18" => "G729",
        other => other,
    }
}

/// Returns the first line of a message for the ladder: method, or status code and reason phrase.
pub fn first_line(bytes: &[u8]) -> String {
    let line = bytes.get(..memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len())).unwrap_or(bytes);
    let line = readable(line);
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => plain(status, TRACE_TEXT_CHARS),
        None => plain(line.split(' ').next().unwrap_or_default(), TRACE_TEXT_CHARS),
    }
}

/// Returns whether an entry is a stray ACK of a leg.
fn is_stray_ack(what: &TraceItem, of: usize) -> bool {
    matches!(what, TraceItem::Message { leg, text, .. } if *leg == of && text == STRAY_ACK)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // The clock value is arbitrary.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_full_ring_loses_its_oldest_and_says_so() {
        let began = start();
        let mut trace = CallTrace::new(began, "CA1");
        for n in 0..TRACE_ENTRIES as u64 + 3 {
            trace.push(began + Duration::from_micros(n), &TraceItem::Decision { text: n.to_string() }, None);
        }
        let view = trace.view(TraceView::of("CA1".into(), String::new(), vec![]), false);
        assert_eq!((view.entries.len(), view.dropped), (TRACE_ENTRIES, 3));
        assert_eq!(view.entries[0].at_us, 3);
    }

    #[test]
    fn a_200_that_no_ack_follows_is_named_with_its_leg() {
        let began = start();
        let mut trace = CallTrace::new(began, "CA1");
        let mut push = |received, text: &str, note: &str, again| {
            let what = TraceItem::Message { leg: 0, received, text: text.into(), note: note.into(), again };
            trace.push(began, &what, None);
            let legs = vec!["carrier".to_owned()];
            trace.view(TraceView::of("CA1".into(), String::new(), legs), false).unacknowledged()
        };
        assert_eq!(push(true, "INVITE", "audio 4000 PCMU", false), None);
        assert_eq!(push(false, "200 OK", "audio 4002 PCMU", false), None);
        assert_eq!(push(false, "200 OK", "audio 4002 PCMU", true), None);
        assert_eq!(push(false, "200 OK", "audio 4002 PCMU", true), Some((0, 3)));
        // A 200 to an INFO does not count.
        assert_eq!(push(false, "200 OK", "", false), Some((0, 3)));
        assert_eq!(push(false, "200 OK", "audio 4002 PCMU", true), Some((0, 4)));
        assert_eq!(push(true, "ACK", "", false), None);
    }

    #[test]
    fn requests_push_nothing_out() {
        let began = start();
        let at = |n: u64| began + Duration::from_micros(n);
        let mut trace = CallTrace::new(began, "CA1");
        trace.push(at(1), &TraceItem::decision("begins"), None);
        for n in 2..1_002 {
            trace.push_request(at(n), format!("request {n}"));
        }
        trace.push(at(1_000), &TraceItem::decision("between"), None);
        trace.push(at(2_000), &TraceItem::decision("ends"), None);
        let view = trace.view(TraceView::of("CA1".into(), String::new(), vec![]), false);
        let text = |entry: &TraceEntry| {
            let TraceItem::Decision { text } = &entry.what else { panic!("{entry:?}") };
            text.clone()
        };
        let last: Vec<String> = view.entries.iter().rev().take(4).rev().map(text).collect();
        let left_out = format!("API requests: {} more, the last one here", 1_000 - TRACE_REQUESTS);
        assert_eq!(last, ["request 17", "between", &left_out, "ends"]);
        assert_eq!((view.entries.len(), view.dropped), (4 + TRACE_REQUESTS as usize, 0));
    }

    #[test]
    fn digits_are_listed_up_to_a_number_and_never_named() {
        let began = start();
        let mut trace = CallTrace::new(began, "CA1");
        (0..3 * TRACE_DIGITS).for_each(|_| trace.push_digit(began, 1, "telephone-event"));
        let view = trace.view(TraceView::of("CA1".into(), String::new(), vec![]), false);
        let texts: Vec<&str> = view
            .entries
            .iter()
            .map(|entry| {
                let TraceItem::Media { leg: 1, text } = &entry.what else { panic!("{entry:?}") };
                text.as_str()
            })
            .collect();
        assert_eq!(texts.len(), TRACE_DIGITS as usize + 1);
        assert!(texts[..16].iter().all(|text| *text == "DTMF digit (masked) by telephone-event"));
        assert_eq!(texts.last(), Some(&"more DTMF digits, which are not listed"));
        let info = b"INFO sip:x SIP/2.0\r\nContent-Type: Application/DTMF-relay\r\n\r\nSignal=5\r\n";
        assert_eq!(body_note(info), "DTMF digit (masked)");
    }

    #[test]
    fn messages_are_told_in_few_words() {
        let offer = b"INVITE sip:x SIP/2.0\r\nA: b\r\n\r\nv=0\r\nm=audio 4000 RTP/AVP 0 8\r\na=x\r\n";
        assert_eq!((first_line(offer), body_note(offer)), ("INVITE".into(), "audio 4000: PCMU PCMA".into()));
        let mapped =
            b"\r\n\r\nm=audio 4 RTP/AVP 9 101 96\r\na=rtpmap:101 telephone-event/8000\r\nm=video 0 RTP/AVP 96\r\n\
                       a=rtpmap:96 VP8/90000\r\na=rtpmap:\r\n";
        assert_eq!(body_note(mapped), "audio 4: G722 telephone-event 96, video 0: VP8");
        let secure = b"\r\n\r\nm=audio 4 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret\r\n";
        assert_eq!(body_note(secure), "audio 4 SRTP: PCMU");
        let damaged = b"\r\n\r\nm=audio 4 RTP/SAVP 0\ra=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret\r\n";
        assert_eq!(body_note(damaged), "audio 4 SRTP: PCMU");
        let damaged = b"\r\n\r\nm=audio 4 RTP/SAVP inline:secret c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\r\n";
        assert_eq!(body_note(damaged), "audio 4 SRTP: ");
        let answer = b"SIP/2.0 486 Busy Here\r\n\r\n";
        assert_eq!((first_line(answer), body_note(answer)), ("486 Busy Here".into(), String::new()));
        assert_eq!((first_line(b""), body_note(b"")), (String::new(), String::new()));
    }

    #[test]
    fn what_a_far_end_writes_is_cut_and_cannot_steer_a_terminal() {
        let phrase = first_line(format!("SIP/2.0 486 \x1b]0;x\x07{}\r\n", "a".repeat(60_000)).as_bytes());
        assert!(phrase.starts_with("486 ]0;xaa") && phrase.len() == TRACE_TEXT_CHARS, "{phrase}");
        let media =
            body_note(format!("SIP/2.0 200 OK\r\n\r\nm=audio 4000 RTP/AVP \x1b[2J{}\n", "b".repeat(60_000)).as_bytes());
        assert_eq!(media, "audio 4000: ");
        let kind = body_note(format!("\r\n\r\nm=\x1b[2J{} 4000 RTP/AVP 0\n", "b".repeat(60_000)).as_bytes());
        assert!(kind.starts_with("[2Jbb") && kind.len() == TRACE_TEXT_CHARS, "{kind}");
        assert_eq!(first_line(format!("{} x", "M".repeat(60_000)).as_bytes()).len(), TRACE_TEXT_CHARS);
    }
}
