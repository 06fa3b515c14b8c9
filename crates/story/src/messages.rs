//! A call's messages as they were on the wire: kept for as long as there is room, the beginning of a call and its latest.
//!
//! Almost no message is ever looked at. While a call is set up its messages are therefore only copied; what is secret is
//! overwritten when they are shown, or when they are [settled](Messages::settle), whichever is first.

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

/// A message on its way, with its secrets: it has no `Debug`.
#[derive(Clone, Copy)]
pub struct Wire<'a> {
    /// Its octets.
    pub bytes: &'a [u8],
    /// Where from and where to.
    pub way: Way,
}

impl Wire<'_> {
    /// What is kept of it, and how many octets are not.
    fn kept(&self) -> (&[u8], usize) {
        let kept = self.bytes.get(..MESSAGE_TEXT_BYTES).unwrap_or(self.bytes);
        (kept, self.bytes.len() - kept.len())
    }

    /// As it may be shown.
    pub fn masked(&self) -> RawMessage {
        let (kept, cut) = self.kept();
        RawMessage { raw: as_shown(kept).into(), cut, way: self.way }
    }
}

/// Room is made for so many places of a block at a time.
const PLACES_STEP: usize = 8;
/// Bytes of room for texts that a block begins with: an INVITE, its answers and an ACK on both sides.
const FIRST_ROOM_BYTES: usize = 6 << 10;

/// A message in a block.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Index in `ways`.
    way: u8,
    length: u16,
    cut: u32,
}

/// Messages that follow one another.
struct Block {
    /// Number of the first one.
    first: u32,
    places: Vec<Place>,
    text: Text,
}

/// `Debug` shows no text message: it is long.
impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({} from {}, {} bytes)", self.places.len(), self.first, self.bytes())
    }
}

/// The texts of a block, one behind the other.
enum Text {
    /// Further ones follow. The first octets are masked, the others as they were on the wire.
    Open { text: Vec<u8>, masked: usize },
    /// As LZ4 has it, masked: messages of a call are much alike.
    Packed(Box<[u8]>),
}

impl Block {
    fn new(first: u32) -> Block {
        Block { first, places: Vec::new(), text: Text::Open { text: Vec::new(), masked: 0 } }
    }

    fn bytes(&self) -> usize {
        let text = match &self.text {
            Text::Open { text, .. } => text.capacity(),
            Text::Packed(text) => text.len(),
        };
        text + self.places.capacity() * size_of::<Place>() + MESSAGE_BLOCK_OVERHEAD_BYTES
    }

    /// Octets of an open block; `None`: it is packed.
    fn open(&self) -> Option<usize> {
        match &self.text {
            Text::Open { text, .. } => Some(text.len()),
            Text::Packed(_) => None,
        }
    }

    /// Adds a message, unless it was sent `again` and is there; its number.
    fn add(&mut self, place: Place, bytes: &[u8], again: bool) -> Option<u32> {
        let before = if again { self.repeated(place.way, bytes) } else { None };
        let at = match before {
            Some(at) => at,
            None => {
                let Text::Open { text, .. } = &mut self.text else { return None };
                if text.capacity() - text.len() < bytes.len() {
                    let room = OPEN_MESSAGES_BYTES.saturating_sub(text.len());
                    text.reserve_exact(room.min(FIRST_ROOM_BYTES).max(bytes.len()));
                }
                text.extend_from_slice(bytes);
                if self.places.len() == self.places.capacity() {
                    self.places.reserve_exact(PLACES_STEP);
                }
                self.places.push(place);
                self.places.len().checked_sub(1)?
            }
        };
        self.first.checked_add(u32::try_from(at).ok()?)
    }

    /// The place where the same message was sent before.
    fn repeated(&self, way: u8, bytes: &[u8]) -> Option<usize> {
        let Text::Open { text, masked } = &self.text else { return None };
        let mut hidden = None;
        let mut is_it = |(begins, place): (usize, Place)| {
            if place.way != way || usize::from(place.length) != bytes.len() {
                return false;
            }
            let kept = text.get(begins..begins + bytes.len());
            match begins < *masked {
                true => kept == Some(hidden.get_or_insert_with(|| as_shown(bytes)).as_slice()),
                false => kept == Some(bytes),
            }
        };
        self.begins().position(&mut is_it)
    }

    /// All its texts, masked; `like` is those of the call's first block.
    fn texts(&self, like: &[u8]) -> Option<Cow<'_, [u8]>> {
        match &self.text {
            Text::Open { text, masked } if *masked == text.len() => Some(Cow::Borrowed(text)),
            Text::Open { text, masked } => {
                let mut text = text.clone();
                self.mask(&mut text, *masked);
                Some(Cow::Owned(text))
            }
            Text::Packed(text) => {
                let length = self.places.iter().map(|place| usize::from(place.length)).sum();
                lz4_flex::block::decompress_with_dict(text, length, like).ok().map(Cow::Owned)
            }
        }
    }

    /// Overwrites what is secret in the messages of `text` that begin at `from` or later.
    fn mask(&self, text: &mut [u8], from: usize) {
        for (begins, place) in self.begins().filter(|(begins, _)| *begins >= from) {
            text.get_mut(begins..begins + usize::from(place.length)).into_iter().for_each(mask);
        }
    }

    /// Overwrites what is secret, and gives back room that is not used.
    fn hide(&mut self) {
        let Text::Open { text, masked } = &mut self.text else { return };
        let (mut text, from) = (std::mem::take(text), *masked);
        self.mask(&mut text, from);
        text.shrink_to_fit();
        self.places.shrink_to_fit();
        self.text = Text::Open { masked: text.len(), text };
    }

    /// Each place with where its text begins.
    fn begins(&self) -> impl Iterator<Item = (usize, Place)> {
        self.places.iter().scan(0, |at, place| {
            let begins = *at;
            *at += usize::from(place.length);
            Some((begins, *place))
        })
    }
}

/// A message with its secrets overwritten.
fn as_shown(bytes: &[u8]) -> Vec<u8> {
    let mut shown = bytes.to_vec();
    mask(&mut shown);
    shown
}

/// A call's messages.
#[derive(Debug, Default)]
pub struct Messages {
    ways: Vec<Way>,
    /// In order, the last one open. Those of the beginning stay, of the others the oldest go first.
    blocks: VecDeque<Block>,
    /// How many are of the beginning.
    first: usize,
    bytes: usize,
    next: u32,
}

impl Messages {
    /// What they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps one as it is; its number. What was sent `again` lately is kept once.
    pub fn keep(&mut self, message: &Wire<'_>, again: bool) -> Option<u32> {
        // A call of more ways has more to it than its texts.
        let way = u8::try_from(self.way(message.way)).ok()?;
        let (kept, cut) = message.kept();
        let place = Place { way, length: u16::try_from(kept.len()).ok()?, cut: u32::try_from(cut).unwrap_or(u32::MAX) };
        let after = self.next.checked_add(1)?;
        if self.blocks.back().and_then(Block::open).is_none_or(|open| open + kept.len() > OPEN_MESSAGES_BYTES) {
            self.pack();
            self.blocks.push_back(Block::new(self.next));
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

    /// Overwrites what is secret in those that came last, and packs them where they are worth it: done once a call is set up,
    /// so that what is held takes little.
    pub fn settle(&mut self) {
        match self.blocks.back().and_then(Block::open) {
            Some(open) if open >= MESSAGE_BLOCK_BYTES => self.pack(),
            Some(_) => {
                let Some(block) = self.blocks.back_mut() else { return };
                let before = block.bytes();
                block.hide();
                self.bytes = (self.bytes + block.bytes()).saturating_sub(before);
            }
            None => {}
        }
    }

    fn way(&mut self, way: Way) -> usize {
        self.ways.iter().position(|known| *known == way).unwrap_or_else(|| {
            self.ways.reserve_exact(1);
            self.ways.push(way);
            self.ways.len() - 1
        })
    }

    /// Closes the last block, and makes room where the call has too many.
    fn pack(&mut self) {
        if self.blocks.back().and_then(Block::open).is_none() {
            return;
        }
        // The first block is a pattern for the others: Via, numbers, tags and descriptions come again and again.
        let like = if self.blocks.len() > 1 { self.pattern() } else { Vec::new() };
        let Some(block) = self.blocks.back_mut() else { return };
        let before = block.bytes();
        block.hide();
        let Text::Open { text, .. } = &block.text else { return };
        block.text = Text::Packed(lz4_flex::block::compress_with_dict(text, &like).into_boxed_slice());
        self.bytes = (self.bytes + block.bytes()).saturating_sub(before);
        if self.first + 1 == self.blocks.len() && self.bytes <= MESSAGE_TEXTS_BYTES_PER_CALL / 2 {
            self.first += 1;
        }
        // What is open comes besides.
        while self.bytes + OPEN_MESSAGES_BYTES + MESSAGE_BLOCK_OVERHEAD_BYTES > MESSAGE_TEXTS_BYTES_PER_CALL
            && let Some(gone) = self.blocks.remove(self.first.max(1))
        {
            self.bytes = self.bytes.saturating_sub(gone.bytes());
        }
    }

    /// The texts of the first block, which always stays.
    fn pattern(&self) -> Vec<u8> {
        self.blocks.front().and_then(|block| block.texts(&[])).map(Cow::into_owned).unwrap_or_default()
    }

    /// All that are still kept, by their numbers.
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

    /// Lets all go; how many.
    pub fn forget(&mut self) -> usize {
        let gone = self.blocks.iter().map(|block| block.places.len()).sum();
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

    fn keep(messages: &mut Messages, port: u16, text: &str, again: bool) -> Option<u32> {
        messages.keep(&Wire { bytes: text.as_bytes(), way: way(port) }, again)
    }

    /// Text that is like none before.
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
        let mut messages = Messages::default();
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
        let mut messages = Messages::default();
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
        let mut messages = Messages::default();
        for n in 0..40 {
            let number = keep(&mut messages, 1, &text(n), false);
            assert_eq!(keep(&mut messages, 1, &text(n), true), number, "sent again");
            if n % 7 == 6 {
                messages.settle();
                let is_open = messages.blocks.back().and_then(Block::open).is_some();
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
        let kept = |block: &Block| match &block.text {
            Text::Open { text, .. } => text.clone(),
            Text::Packed(text) => text.to_vec(),
        };
        let held: Vec<u8> = messages.blocks.iter().flat_map(kept).collect();
        let held = String::from_utf8_lossy(&held);
        assert!((0..40).all(|n| !held.contains(&secret(n))), "a settled call holds no secret");
    }

    #[test]
    fn a_long_one_is_cut_and_says_so() {
        let kept = Wire { bytes: "x".repeat(MESSAGE_TEXT_BYTES + 7).as_bytes(), way: way(1) }.masked();
        assert_eq!((kept.raw.len(), kept.cut), (MESSAGE_TEXT_BYTES, 7));
        let told = serde_json::to_value(&kept).unwrap();
        assert_eq!((told["cut"].as_u64(), told["transport"].as_str()), (Some(7), Some("udp")));
        assert_eq!((&told["local"], &told["remote"]), (&"192.0.2.1:1".into(), &"192.0.2.2:1".into()));
    }

    #[test]
    fn a_full_call_keeps_its_beginning_and_its_latest() {
        let mut messages = Messages::default();
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
