//! Messages of a call as they were on the wire, within a memory limit: the first ones of the call and the latest.
//!
//! Most messages are never shown. During call set-up they are therefore kept unmasked; secrets are masked when a
//! message is shown or [settled](CallMessages::settle), whichever is first.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use trunkgate_sip::Transport;

use crate::limits::{
    MESSAGE_BLOCK_BYTES, MESSAGE_BLOCK_OVERHEAD_BYTES, MESSAGE_TEXT_BYTES, MESSAGE_TEXTS_BYTES_PER_CALL,
    OPEN_MESSAGES_BYTES,
};
use crate::masked::mask;

/// Addresses and transport of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MessagePath {
    /// Address of the edge, which is that of the machine and not the announced one, and the port of the listener; null
    /// if the machine has none of that family.
    pub local: Option<SocketAddr>,
    /// Address of the remote party.
    pub remote: SocketAddr,
    /// `udp`, `tcp`, `tls`.
    pub transport: Transport,
}

/// A message as it was on the wire, with each octet of a secret replaced by `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RawMessage {
    /// The message [as it was on the wire](../operate/traces.md#messages-as-they-were-on-the-wire), with `?raw=true`
    /// and while it is stored.
    #[serde(serialize_with = "as_text")]
    pub raw: Bytes,
    /// Octets missing at the end of the message.
    #[serde(skip_serializing_if = "is_zero")]
    pub cut: usize,
    /// Addresses and transport.
    #[serde(flatten)]
    pub way: MessagePath,
}

fn as_text<S: Serializer>(raw: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(raw))
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A message with its secrets unmasked; the type therefore has no `Debug`.
#[derive(Clone, Copy)]
pub struct Wire<'a> {
    /// Octets of the message.
    pub bytes: &'a Bytes,
    /// Addresses and transport.
    pub path: MessagePath,
}

impl Wire<'_> {
    /// Returns the kept octets and the number of truncated ones. A message of a stream is copied, because it shares
    /// its buffer with others.
    fn kept(&self) -> (Bytes, usize) {
        let kept = self.bytes.slice(..self.bytes.len().min(MESSAGE_TEXT_BYTES));
        let cut = self.bytes.len() - kept.len();
        match self.path.transport {
            Transport::Udp => (kept, cut),
            Transport::Tcp | Transport::Tls => (Bytes::copy_from_slice(&kept), cut),
        }
    }

    /// Returns the message with secrets masked.
    pub fn masked(&self) -> RawMessage {
        let (kept, cut) = self.kept();
        RawMessage { raw: as_shown(&kept).into(), cut, way: self.path }
    }
}

/// Number of entries by which a block's list of messages grows.
const PLACES_STEP: usize = 8;

/// Path and lengths of a message in a block. The message's offset is the sum of the lengths before it.
#[derive(Debug, Clone, Copy)]
struct MessagePosition {
    /// Index of the message's path in `ways` of [`CallMessages`].
    way: u8,
    length: u16,
    cut: u32,
}

/// A block of consecutive messages.
struct MessageBlock {
    /// Number of the block's first message.
    first: u32,
    places: Vec<MessagePosition>,
    text: BlockText,
}

/// Omits the texts of messages, which are long.
impl std::fmt::Debug for MessageBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({} from {}, {} bytes)", self.places.len(), self.first, self.bytes())
    }
}

/// Concatenated texts of a block.
enum BlockText {
    /// An open block: the first messages are masked and concatenated; later ones are as on the wire, in buffers
    /// shared with the transactions.
    Open { masked: Vec<u8>, raw: Vec<Bytes> },
    /// Masked texts compressed with LZ4: messages of a call are similar.
    Packed(Box<[u8]>),
}

impl MessageBlock {
    fn new(first: u32) -> MessageBlock {
        MessageBlock { first, places: Vec::new(), text: BlockText::Open { masked: Vec::new(), raw: Vec::new() } }
    }

    fn bytes(&self) -> usize {
        let text = match &self.text {
            BlockText::Open { masked, raw } => {
                let texts: usize = raw.iter().map(Bytes::len).sum();
                masked.capacity() + raw.capacity() * size_of::<Bytes>() + texts
            }
            BlockText::Packed(text) => text.len(),
        };
        text + self.places.capacity() * size_of::<MessagePosition>() + MESSAGE_BLOCK_OVERHEAD_BYTES
    }

    /// Returns the total length of the texts in octets.
    fn length(&self) -> usize {
        self.places.iter().map(|place| usize::from(place.length)).sum()
    }

    fn is_open(&self) -> bool {
        matches!(self.text, BlockText::Open { .. })
    }

    /// Adds a message. If `again` is true and the block has an identical message, nothing is added. Returns the number
    /// of the added or known message; `None` if the block is compressed already.
    fn add(&mut self, place: MessagePosition, bytes: Bytes, again: bool) -> Option<u32> {
        let before = if again { self.repeated(place.way, &bytes) } else { None };
        let at = match (before, &mut self.text) {
            (Some(at), _) => at,
            (None, BlockText::Packed(_)) => return None,
            (None, BlockText::Open { raw, .. }) => {
                if self.places.len() == self.places.capacity() {
                    self.places.reserve_exact(PLACES_STEP);
                }
                if raw.len() == raw.capacity() {
                    raw.reserve_exact(PLACES_STEP);
                }
                raw.push(bytes);
                self.places.push(place);
                self.places.len().checked_sub(1)?
            }
        };
        self.first.checked_add(u32::try_from(at).ok()?)
    }

    /// Returns the index of an identical message of the same path in the open block.
    fn repeated(&self, way: u8, bytes: &[u8]) -> Option<usize> {
        let BlockText::Open { masked, raw } = &self.text else { return None };
        let hidden = self.places.len().checked_sub(raw.len())?;
        let mut shown = None;
        let mut is_it = |(at, (begins, place)): (usize, (usize, MessagePosition))| {
            if place.way != way || usize::from(place.length) != bytes.len() {
                return false;
            }
            match at.checked_sub(hidden) {
                Some(at) => raw.get(at).is_some_and(|kept| **kept == *bytes),
                None => {
                    let shown = shown.get_or_insert_with(|| as_shown(bytes));
                    masked.get(begins..begins + bytes.len()) == Some(shown.as_slice())
                }
            }
        };
        self.begins().enumerate().position(&mut is_it)
    }

    /// Returns the concatenated texts of the block with secrets masked. `like` is the dictionary for decompression: the
    /// texts of the call's first block, empty for that block itself. `None` if decompression fails.
    fn texts(&self, like: &[u8]) -> Option<Cow<'_, [u8]>> {
        match &self.text {
            BlockText::Open { masked, raw } if raw.is_empty() => Some(Cow::Borrowed(masked)),
            BlockText::Open { masked, raw } => {
                let mut texts = Vec::with_capacity(self.length());
                texts.extend_from_slice(masked);
                add_masked(&mut texts, raw);
                Some(Cow::Owned(texts))
            }
            BlockText::Packed(text) => {
                lz4_flex::block::decompress_with_dict(text, self.length(), like).ok().map(Cow::Owned)
            }
        }
    }

    /// Masks the messages of an open block that are still unmasked.
    fn hide(&mut self) {
        let BlockText::Open { masked, raw } = &mut self.text else { return };
        masked.reserve_exact(raw.iter().map(Bytes::len).sum());
        add_masked(masked, raw);
        *raw = Vec::new();
        self.places.shrink_to_fit();
    }

    /// Returns the position of each message, with the offset of its text in the block.
    fn begins(&self) -> impl Iterator<Item = (usize, MessagePosition)> {
        self.places.iter().scan(0, |at, place| {
            let begins = *at;
            *at += usize::from(place.length);
            Some((begins, *place))
        })
    }
}

/// Appends masked messages.
fn add_masked(masked: &mut Vec<u8>, raw: &[Bytes]) {
    for message in raw {
        let begins = masked.len();
        masked.extend_from_slice(message);
        masked.get_mut(begins..).into_iter().for_each(mask);
    }
}

/// Returns a masked message.
fn as_shown(bytes: &[u8]) -> Vec<u8> {
    let mut shown = bytes.to_vec();
    mask(&mut shown);
    shown
}

/// Messages of a call.
#[derive(Debug, Default)]
pub struct CallMessages {
    ways: Vec<MessagePath>,
    /// Blocks in order; only the last one is open. The first blocks are kept; of the others, the oldest are dropped
    /// first.
    blocks: VecDeque<MessageBlock>,
    /// Number of blocks at the beginning that are never dropped.
    first: usize,
    bytes: usize,
    next: u32,
}

impl CallMessages {
    /// Returns the memory used, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Stores a message unmasked. Returns its number: that of the stored copy if it is a retransmission (`again`).
    /// `None` if it cannot be stored, because the call has too many flows or messages.
    pub fn keep(&mut self, message: &Wire<'_>, again: bool) -> Option<u32> {
        // A call with more flows is exceptional: its further messages are not kept.
        let way = u8::try_from(self.way(message.path)).ok()?;
        let (kept, cut) = message.kept();
        let place = MessagePosition {
            way,
            length: u16::try_from(kept.len()).ok()?,
            cut: u32::try_from(cut).unwrap_or(u32::MAX),
        };
        let after = self.next.checked_add(1)?;
        let has_room = |block: &MessageBlock| block.is_open() && block.length() + kept.len() <= OPEN_MESSAGES_BYTES;
        if !self.blocks.back().is_some_and(has_room) {
            self.pack();
            self.blocks.reserve_exact(1);
            self.blocks.push_back(MessageBlock::new(self.next));
            self.bytes += MESSAGE_BLOCK_OVERHEAD_BYTES;
        }
        let block = self.blocks.back_mut()?;
        let before = block.bytes();
        let number = block.add(place, kept, again)?;
        self.bytes = (self.bytes + block.bytes()).saturating_sub(before);
        if number == self.next {
            self.next = after;
        }
        Some(number)
    }

    /// Masks the messages of the open block, and compresses them if that saves memory. Called once a call is
    /// established.
    pub fn settle(&mut self) {
        let Some(block) = self.blocks.back_mut().filter(|block| block.is_open()) else { return };
        if block.length() >= MESSAGE_BLOCK_BYTES {
            return self.pack();
        }
        let before = block.bytes();
        block.hide();
        self.bytes = (self.bytes + block.bytes()).saturating_sub(before);
    }

    fn way(&mut self, way: MessagePath) -> usize {
        self.ways.iter().position(|known| *known == way).unwrap_or_else(|| {
            self.ways.reserve_exact(1);
            self.ways.push(way);
            self.ways.len() - 1
        })
    }

    /// Compresses the last block, and drops messages beyond the memory limit.
    fn pack(&mut self) {
        if !self.blocks.back().is_some_and(MessageBlock::is_open) {
            return;
        }
        // The first block is the dictionary of the others: Via, numbers, tags and SDP recur.
        let like = if self.blocks.len() > 1 { self.pattern() } else { Vec::new() };
        let Some(block) = self.blocks.back_mut() else { return };
        let before = block.bytes();
        block.hide();
        let BlockText::Open { masked, .. } = &block.text else { return };
        block.text = BlockText::Packed(lz4_flex::block::compress_with_dict(masked, &like).into_boxed_slice());
        self.bytes = (self.bytes + block.bytes()).saturating_sub(before);
        if self.first + 1 == self.blocks.len() && self.bytes <= MESSAGE_TEXTS_BYTES_PER_CALL / 2 {
            self.first += 1;
        }
        // An open block needs additional memory.
        while self.bytes + OPEN_MESSAGES_BYTES + MESSAGE_BLOCK_OVERHEAD_BYTES > MESSAGE_TEXTS_BYTES_PER_CALL
            && let Some(gone) = self.blocks.remove(self.first.max(1))
        {
            self.bytes = self.bytes.saturating_sub(gone.bytes());
        }
    }

    /// Returns the texts of the first block, the dictionary for the compression of the other blocks.
    fn pattern(&self) -> Vec<u8> {
        self.blocks.front().and_then(|block| block.texts(&[])).map(Cow::into_owned).unwrap_or_default()
    }

    /// Returns all kept messages by their numbers.
    pub fn all(&self) -> HashMap<u32, RawMessage> {
        let (mut all, like) = (HashMap::new(), self.pattern());
        for (at, block) in self.blocks.iter().enumerate() {
            let Some(texts) = block.texts(if at == 0 { &[] } else { &like }) else { continue };
            let texts = Bytes::from(texts.into_owned());
            for (number, (begins, place)) in (block.first..).zip(block.begins()) {
                let Some(way) = self.ways.get(usize::from(place.way)) else { continue };
                let raw = texts.slice(begins..begins + usize::from(place.length));
                let cut = usize::try_from(place.cut).unwrap_or(usize::MAX);
                all.insert(number, RawMessage { raw, cut, way: *way });
            }
        }
        all
    }

    /// Drops all messages, for lack of memory. Returns their number.
    pub fn forget(&mut self) -> usize {
        let gone = self.blocks.iter().map(|block| block.places.len()).sum();
        *self = CallMessages { next: self.next, ..CallMessages::default() };
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(port: u16) -> MessagePath {
        let at = |host| SocketAddr::from(([192, 0, 2, host], port));
        MessagePath { local: Some(at(1)), remote: at(2), transport: Transport::Udp }
    }

    fn keep(messages: &mut CallMessages, port: u16, text: &str, again: bool) -> Option<u32> {
        messages.keep(&Wire { bytes: &Bytes::copy_from_slice(text.as_bytes()), path: way(port) }, again)
    }

    /// Returns a text that resembles no earlier one.
    fn strange(mark: u32, length: usize) -> String {
        let mut seed = mark.wrapping_mul(2_654_435_761) | 1;
        let next = |_| {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            char::from(b'0' + (seed % 60) as u8)
        };
        format!(
            "SIP/2.0 200 {mark}\r\nX: {}",
            (0..length).map(next).filter(|c| *c != ':' && *c != '=').collect::<String>()
        )
    }

    #[test]
    fn each_is_found_by_its_number_with_its_way() {
        let mut messages = CallMessages::default();
        let numbers: Vec<_> =
            (0..3).map(|n| keep(&mut messages, 5060 + n % 2, &format!("SIP/2.0 20{n} OK\r\n\r\n"), false)).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
        let again = keep(&mut messages, 5061, "SIP/2.0 201 OK\r\n\r\n", true);
        assert_eq!(again, Some(1), "what is sent again is kept once");
        let elsewhere = keep(&mut messages, 5060, "SIP/2.0 201 OK\r\n\r\n", true);
        assert_eq!(elsewhere, Some(3), "by another way it is another");
        let all = messages.all();
        let found = &all[&1];
        assert_eq!((&*found.raw, found.way, found.cut), (&b"SIP/2.0 201 OK\r\n\r\n"[..], way(5061), 0));
        assert_eq!(all.len(), 4);
        assert_eq!((messages.forget(), messages.bytes(), messages.all().len()), (4, 0, 0));
        assert_eq!(keep(&mut messages, 1, "SIP/2.0 200 OK\r\n\r\n", false), Some(4), "no number comes twice");
    }

    #[test]
    fn what_is_packed_is_read_again_and_takes_less() {
        let text = |n: usize| format!("{}\r\nCSeq: {n} INVITE\r\n\r\n", strange(7, 600));
        let mut messages = CallMessages::default();
        for n in 0..20 {
            keep(&mut messages, 1, &text(n), false);
        }
        messages.settle();
        let all = messages.all();
        for n in 0..20 {
            assert_eq!(all[&(n as u32)].raw, text(n).as_bytes(), "{n}");
        }
        let plain: usize = (0..20).map(|n| text(n).len()).sum();
        assert!(messages.bytes() * 2 < plain, "{} of {plain}", messages.bytes());
    }

    #[test]
    fn a_secret_is_overwritten_wherever_a_message_is_shown_settled_or_not() {
        let text = |n: u32| {
            format!(
                "INVITE sip:x SIP/2.0\r\nProxy-Authorization: Digest response=\"{n:032}\"\r\nCSeq: {n} INVITE\r\n\r\n"
            )
        };
        let secret = |n: u32| format!("{n:032}");
        let mut messages = CallMessages::default();
        for n in 0..40 {
            let number = keep(&mut messages, 1, &text(n), false);
            assert_eq!(keep(&mut messages, 1, &text(n), true), number, "sent again");
            if n % 7 == 6 {
                messages.settle();
                let is_open = messages.blocks.back().is_some_and(MessageBlock::is_open);
                assert!(!is_open || keep(&mut messages, 1, &text(n), true) == number, "sent again, masked before");
            }
            let all = messages.all();
            assert_eq!(all.len(), n as usize + 1);
            for message in all.values() {
                let shown = String::from_utf8_lossy(&message.raw);
                assert!(shown.contains("Digest response=") && !(0..=n).any(|n| shown.contains(&secret(n))), "{shown}");
            }
        }
        messages.settle();
        let kept = |block: &MessageBlock| match &block.text {
            BlockText::Open { masked, raw } => [masked.as_slice(), &raw.concat()].concat(),
            BlockText::Packed(text) => text.to_vec(),
        };
        let held: Vec<u8> = messages.blocks.iter().flat_map(kept).collect();
        let held = String::from_utf8_lossy(&held);
        assert!((0..40).all(|n| !held.contains(&secret(n))), "a settled call holds no secret");
    }

    #[test]
    fn a_long_one_is_cut_and_says_so() {
        let kept = Wire { bytes: &"x".repeat(MESSAGE_TEXT_BYTES + 7).into(), path: way(1) }.masked();
        assert_eq!((kept.raw.len(), kept.cut), (MESSAGE_TEXT_BYTES, 7));
        let told = serde_json::to_value(&kept).unwrap();
        assert_eq!((told["cut"].as_u64(), told["transport"].as_str()), (Some(7), Some("udp")));
        assert_eq!((&told["local"], &told["remote"]), (&"192.0.2.1:1".into(), &"192.0.2.2:1".into()));
    }

    #[test]
    fn a_full_call_keeps_its_beginning_and_its_latest() {
        let mut messages = CallMessages::default();
        for n in 0..60 {
            keep(&mut messages, 1, &strange(n, 3_000), false);
            assert!(messages.bytes() <= MESSAGE_TEXTS_BYTES_PER_CALL, "{}", messages.bytes());
        }
        let all = messages.all();
        let gone: Vec<u32> = (0..60).filter(|n| !all.contains_key(n)).collect();
        assert!((5..15).contains(gone.first().unwrap()) && (45..57).contains(gone.last().unwrap()), "{gone:?}");
        assert_eq!(gone.len() as u32, 1 + gone[gone.len() - 1] - gone[0], "one gap");
        for (n, message) in all {
            assert_eq!(message.raw, strange(n, 3_000).as_bytes());
        }
    }
}
