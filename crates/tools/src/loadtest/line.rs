//! One side of a call: its phone, its audio socket and its state.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use trunkgate_phone::{CallNumber, Phone};
use trunkgate_sip::{HeaderName, Method, SipMessage, StartLine};

/// Maximum number of messages of a call remembered to detect retransmissions; a call has about a dozen.
const MESSAGES: usize = 64;
/// Maximum length of a rejection reason, in characters.
const REASON_CHARS: usize = 80;

/// Side of the edge that a line is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum CallRole {
    Caller = 0,
    Callee = 1,
}

/// Action due on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SideDeadline {
    /// The phone's own timer expires.
    Phone,
    /// Both sides stop sending audio.
    Mute,
    /// The caller hangs up, or gives up a call that is not answered.
    HangUp,
    /// The audio is judged and the socket released.
    Judge,
    /// The line is removed from the test.
    Forget,
}

/// Side of a call: its phone and the state of the test for it.
#[derive(Debug)]
pub(super) struct CallSide {
    pub(super) phone: Phone,
    pub(super) side: CallRole,
    /// Serial number of the line, because slots are reused.
    pub(super) serial: u64,
    pub(super) call: Option<CallNumber>,
    /// Index of the audio socket; `None` for a line that answers requests outside of calls.
    pub(super) audio: Option<usize>,
    pub(super) call_id: Vec<u8>,
    /// Time of the phone's next timer.
    pub(super) wake: Option<Instant>,
    pub(super) began: Instant,
    pub(super) rang: bool,
    pub(super) answered: bool,
    pub(super) muted: bool,
    /// Time at which the call ended.
    pub(super) ended: Option<Instant>,
    pub(super) judged: bool,
    /// Whether the phone of this line ended the call.
    pub(super) left: bool,
    /// SSRC of the audio sent; `None` before the first packet.
    pub(super) ssrc: Option<u32>,
    /// Status code, phrase and Reason of the last rejection of the INVITE.
    pub(super) refusal: Option<String>,
    seen: HashSet<u64>,
}

impl CallSide {
    /// Creates a line without a call.
    pub(super) fn new(phone: Phone, side: CallRole, serial: u64, began: Instant) -> CallSide {
        CallSide {
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

    /// Remembers a received message. Returns true if an equal one was received before; if so, this is a
    /// retransmission.
    pub(super) fn came_before(&mut self, bytes: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let hash = hasher.finish();
        self.seen.contains(&hash) || (self.seen.len() < MESSAGES && !self.seen.insert(hash))
    }

    /// Returns whether any SIP message was received.
    pub(super) fn heard(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Stores the reason if the message rejects the INVITE.
    pub(super) fn note(&mut self, message: &SipMessage) {
        if let StartLine::Response { code: 300.., .. } = message.start_line()
            && message.method() == Method::Invite
        {
            self.refusal = refusal(message);
        }
    }
}

/// Describes a rejection: status code, phrase and the text of Reason.
fn refusal(message: &SipMessage) -> Option<String> {
    let StartLine::Response { code, reason } = message.start_line() else { return None };
    let mut words = format!("{code} {}", String::from_utf8_lossy(reason));
    if let Some(text) = message.header_str(HeaderName::Reason).and_then(|value| value.split_once("text=")) {
        words.push_str(&format!(" ({})", text.1.trim_matches('"')));
    }
    // Control characters are removed, because the text is printed on a terminal.
    Some(words.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use trunkgate_phone::PhoneConfig;

    use super::*;

    fn answer(head: &str, reason: &str) -> SipMessage {
        let text = format!(
            "SIP/2.0 {head}\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n\
             Call-ID: x\r\nCSeq: 1 INVITE\r\n{reason}Content-Length: 0\r\n\r\n"
        );
        SipMessage::parse(text.into_bytes().into()).unwrap()
    }

    #[test]
    fn a_refusal_is_kept_in_words_that_harm_no_terminal() {
        let phone = Phone::new(PhoneConfig::new("a", [1; 32], "127.0.0.1:5060".parse().unwrap()));
        let mut line = CallSide::new(phone, CallRole::Caller, 1, Instant::now());
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
        let mut line = CallSide::new(phone, CallRole::Callee, 1, Instant::now());
        assert_eq!([b"a", b"b", b"a"].map(|bytes| line.came_before(bytes)), [false, false, true]);
        for n in 0..1000_u32 {
            line.came_before(&n.to_be_bytes());
        }
        assert!(line.seen.len() <= MESSAGES);
    }
}
