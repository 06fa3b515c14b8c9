//! One call on one side: its phone, its socket, and what is still to be done with it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use trunkgate_phone::{CallNumber, Phone};
use trunkgate_sip::{HeaderName, Message, Method, StartLine};

/// Messages of one call that are known again; it has a dozen.
const MESSAGES: usize = 64;
/// Longest reason that is kept, in characters.
const REASON_CHARS: usize = 80;

/// Which side of the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
    Caller = 0,
    Callee = 1,
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Whatever its phone waits for.
    Phone,
    /// Both sides fall silent.
    Mute,
    /// The caller hangs up, or gives up.
    HangUp,
    /// What it said is judged, and its socket is free.
    Judge,
    /// Nobody asks for it any more.
    Forget,
}

/// One call on one side.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) phone: Phone,
    pub(super) side: Side,
    /// Told from one that was in its place before.
    pub(super) serial: u64,
    pub(super) call: Option<CallNumber>,
    /// Where its audio comes and goes; none where it only answers what belongs to no call.
    pub(super) audio: Option<usize>,
    pub(super) call_id: Vec<u8>,
    /// When its phone is woken next.
    pub(super) wake: Option<Instant>,
    pub(super) began: Instant,
    pub(super) rang: bool,
    pub(super) answered: bool,
    pub(super) muted: bool,
    /// When it was over.
    pub(super) ended: Option<Instant>,
    pub(super) judged: bool,
    /// Whether it was we who ended it.
    pub(super) left: bool,
    /// Its voice, once it has spoken.
    pub(super) ssrc: Option<u32>,
    /// The last refusal of its INVITE, in words.
    pub(super) refusal: Option<String>,
    seen: HashSet<u64>,
}

impl Line {
    /// One without a call.
    pub(super) fn new(phone: Phone, side: Side, serial: u64, began: Instant) -> Line {
        Line {
            phone,
            side,
            serial,
            call: None,
            audio: None,
            call_id: Vec::new(),
            wake: None,
            began,
            rang: false,
            answered: false,
            muted: false,
            ended: None,
            judged: false,
            left: false,
            ssrc: None,
            refusal: None,
            seen: HashSet::new(),
        }
    }

    /// Whether a message came before.
    pub(super) fn came_before(&mut self, bytes: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let hash = hasher.finish();
        self.seen.contains(&hash) || (self.seen.len() < MESSAGES && !self.seen.insert(hash))
    }

    /// Whether any message came.
    pub(super) fn heard(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Notes why a call is refused.
    pub(super) fn note(&mut self, message: &Message) {
        if let StartLine::Response { code: 300.., .. } = message.start_line()
            && message.method() == Method::Invite
        {
            self.refusal = refusal(message);
        }
    }
}

/// A refusal in words: code, phrase and what the header Reason adds.
fn refusal(message: &Message) -> Option<String> {
    let StartLine::Response { code, reason } = message.start_line() else { return None };
    let mut words = format!("{code} {}", String::from_utf8_lossy(reason));
    if let Some(text) = message.header_str(HeaderName::Reason).and_then(|value| value.split_once("text=")) {
        words.push_str(&format!(" ({})", text.1.trim_matches('"')));
    }
    // It goes to a terminal.
    Some(words.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use trunkgate_phone::PhoneConfig;

    use super::*;

    fn answer(head: &str, reason: &str) -> Message {
        let text = format!(
            "SIP/2.0 {head}\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n\
             Call-ID: x\r\nCSeq: 1 INVITE\r\n{reason}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into()).unwrap()
    }

    #[test]
    fn a_refusal_is_kept_in_words_that_harm_no_terminal() {
        let phone = Phone::new(PhoneConfig::new("a", [1; 32], "127.0.0.1:5060".parse().unwrap()));
        let mut line = Line::new(phone, Side::Caller, 1, Instant::now());
        line.note(&answer("180 Ringing", ""));
        assert_eq!(line.refusal, None);
        line.note(&answer("503 Service Unavailable", "Reason: SIP;cause=503;text=\"limit_calls\"\r\n"));
        assert_eq!(line.refusal.as_deref(), Some("503 Service Unavailable (limit_calls)"));
        line.note(&answer("486 Busy\x1b[31m", ""));
        assert_eq!(line.refusal.as_deref(), Some("486 Busy[31m"));
        line.note(&answer(&format!("404 {}", "x".repeat(500)), ""));
        assert_eq!(line.refusal.map(|words| words.len()), Some(REASON_CHARS));
    }

    #[test]
    fn what_comes_again_is_known() {
        let phone = Phone::new(PhoneConfig::new("a", [1; 32], "127.0.0.1:5060".parse().unwrap()));
        let mut line = Line::new(phone, Side::Callee, 1, Instant::now());
        assert_eq!([b"a", b"b", b"a"].map(|bytes| line.came_before(bytes)), [false, false, true]);
        for n in 0..1000_u32 {
            line.came_before(&n.to_be_bytes());
        }
        assert!(line.seen.len() <= MESSAGES);
    }
}
