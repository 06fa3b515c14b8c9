//! A call's messages as they were on the wire, with what is secret overwritten: kept for as long as there is room, the
//! beginning of a call and its latest.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use trunkgate_sip::Transport;

use crate::limits::{MESSAGE_TEXT_BYTES, MESSAGE_TEXT_OVERHEAD_BYTES, MESSAGE_TEXTS_BYTES_PER_CALL};
use crate::masked::masked;

/// The way of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Our end: the address of the machine, not the one that far ends are shown, and the port of the listener, also where
    /// the edge opened the stream. `null` where the machine has none of that family.
    pub local: Option<SocketAddr>,
    /// The far end.
    pub remote: SocketAddr,
    /// `udp`, `tcp`, `tls`.
    pub transport: Transport,
}

/// A message as it was on the wire, secrets overwritten by `*`, one for each octet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RawMessage {
    /// Its octets; in JSON as text.
    #[serde(serialize_with = "as_text")]
    pub raw: Bytes,
    /// Octets at its end that are not kept, where it is longer than [`MESSAGE_TEXT_BYTES`].
    #[serde(skip_serializing_if = "is_zero")]
    pub cut: usize,
    /// Where from and where to.
    #[serde(flatten)]
    pub way: Way,
}

fn as_text<S: Serializer>(raw: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(raw))
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl RawMessage {
    /// Masks a message.
    pub(crate) fn new(way: Way, bytes: &[u8]) -> RawMessage {
        let kept = bytes.get(..MESSAGE_TEXT_BYTES).unwrap_or(bytes);
        RawMessage { raw: Bytes::from(masked(kept)), cut: bytes.len() - kept.len(), way }
    }
}

/// One of them. `Debug` shows no text: it is long.
struct Kept {
    number: u32,
    /// Index in `ways`.
    way: u8,
    cut: u32,
    text: Bytes,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({}, {} bytes)", self.number, self.text.len())
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.text.len() + MESSAGE_TEXT_OVERHEAD_BYTES
    }
}

/// A call's messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    ways: Vec<Way>,
    /// In order. Those of the beginning stay, of the others the oldest go first.
    kept: VecDeque<Kept>,
    /// How many are of the beginning.
    first: usize,
    bytes: usize,
    next: u32,
}

impl Messages {
    /// What they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps one; its number.
    pub(crate) fn keep(&mut self, message: RawMessage, again: bool) -> Option<u32> {
        let RawMessage { raw, cut, way } = message;
        let way = u8::try_from(self.ways.iter().position(|known| *known == way).unwrap_or_else(|| {
            self.ways.push(way);
            self.ways.len() - 1
        }));
        // A call of so many ways has more to it than its texts.
        let way = way.ok()?;
        // What is sent again is the same, and kept once.
        let before = self.kept.iter().rev().find(|kept| again && kept.way == way && kept.text == raw);
        if let Some(before) = before {
            return Some(before.number);
        }
        let number = self.next;
        self.next = number.checked_add(1)?;
        let kept = Kept { number, way, cut: u32::try_from(cut).unwrap_or(u32::MAX), text: raw };
        let half = MESSAGE_TEXTS_BYTES_PER_CALL / 2;
        let is_first = self.first == self.kept.len() && self.bytes + kept.bytes() <= half;
        self.bytes += kept.bytes();
        self.kept.push_back(kept);
        if is_first {
            self.first += 1;
        }
        while self.bytes > MESSAGE_TEXTS_BYTES_PER_CALL
            && let Some(gone) = self.kept.remove(self.first)
        {
            self.bytes -= gone.bytes();
        }
        Some(number)
    }

    /// One of them, where it is still kept.
    pub(crate) fn get(&self, number: u32) -> Option<RawMessage> {
        let at = self.kept.binary_search_by_key(&number, |kept| kept.number).ok()?;
        let kept = self.kept.get(at)?;
        let way = *self.ways.get(usize::from(kept.way))?;
        Some(RawMessage { raw: kept.text.clone(), cut: usize::try_from(kept.cut).unwrap_or(usize::MAX), way })
    }

    /// Lets all go; how many.
    pub(crate) fn forget(&mut self) -> usize {
        let gone = self.kept.len();
        *self = Messages { next: self.next, ..Messages::default() };
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(port: u16) -> Way {
        let at = |host| SocketAddr::from(([192, 0, 2, host], port));
        Way { local: Some(at(1)), remote: at(2), transport: Transport::Udp }
    }

    fn message(port: u16, text: String) -> RawMessage {
        RawMessage::new(way(port), text.as_bytes())
    }

    /// A header that makes a message so long.
    fn long(mark: usize, length: usize) -> String {
        let head = format!("SIP/2.0 200 {mark}\r\nSubject: ");
        format!("{head}{}", "x".repeat(length - head.len()))
    }

    #[test]
    fn each_is_found_by_its_number_with_its_way() {
        let mut messages = Messages::default();
        let numbers: Vec<_> =
            (0..3).map(|n| messages.keep(message(5060 + n % 2, format!("SIP/2.0 20{n} OK\r\n\r\n")), false)).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
        let again = messages.keep(message(5061, "SIP/2.0 201 OK\r\n\r\n".into()), true);
        assert_eq!(again, Some(1), "what is sent again is kept once");
        let elsewhere = messages.keep(message(5060, "SIP/2.0 201 OK\r\n\r\n".into()), true);
        assert_eq!(elsewhere, Some(3), "by another way it is another");
        let found = messages.get(1).unwrap();
        assert_eq!((&*found.raw, found.way, found.cut), (&b"SIP/2.0 201 OK\r\n\r\n"[..], way(5061), 0));
        assert_eq!(messages.get(4), None);
        assert_eq!((messages.forget(), messages.bytes(), messages.get(1)), (4, 0, None));
        assert_eq!(messages.keep(message(1, "SIP/2.0 200 OK\r\n\r\n".into()), false), Some(4), "no number comes twice");
    }

    #[test]
    fn a_long_one_is_cut_and_says_so() {
        let long = long(0, MESSAGE_TEXT_BYTES + 7);
        let kept = RawMessage::new(way(1), long.as_bytes());
        assert_eq!((kept.raw.len(), kept.cut), (MESSAGE_TEXT_BYTES, 7));
        let told = serde_json::to_value(&kept).unwrap();
        assert_eq!((told["cut"].as_u64(), told["transport"].as_str()), (Some(7), Some("udp")));
        assert_eq!((&told["local"], &told["remote"]), (&"192.0.2.1:1".into(), &"192.0.2.2:1".into()));
    }

    #[test]
    fn a_full_call_keeps_its_beginning_and_its_latest() {
        let mut messages = Messages::default();
        let each = MESSAGE_TEXTS_BYTES_PER_CALL / 16;
        let length = each - MESSAGE_TEXT_OVERHEAD_BYTES;
        for n in 0..40 {
            messages.keep(message(1, long(n, length)), false);
            assert!(messages.bytes() <= MESSAGE_TEXTS_BYTES_PER_CALL);
        }
        let kept: Vec<u32> = (0..40).filter(|n| messages.get(*n).is_some()).collect();
        assert_eq!(kept, (0..8).chain(32..40).collect::<Vec<u32>>());
    }
}
