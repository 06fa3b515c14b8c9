//! Entries of a trace as bytes, since most traces are kept during the whole call but never read.
//!
//! An entry has: microseconds since the previous one, kind and flags, leg, text, note, number of the message as on
//! the wire. A webhook is stored as a decision with its details, in JSON, as the note. Numbers are encoded by
//! [`kept_bytes`]; a text from [`WORDS`] is stored as its index.

use std::borrow::Cow;

use crate::kept_bytes;
use crate::trace::{TraceEntry, TraceItem, WebhookExchange};

/// Most frequent texts of messages.
const WORDS: [&str; 12] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "200 OK",
    "486 Busy Here",
    "487 Request Terminated",
    "503 Service Unavailable",
];
/// Step in which the buffer grows, to avoid unused memory.
const STEP_BYTES: usize = 128;

const KIND: u8 = 3;
const MESSAGE: u8 = 0;
const DECISION: u8 = 1;
const AGENT: u8 = 2;
const MEDIA: u8 = 3;
const RECEIVED: u8 = 4;
const AGAIN: u8 = 8;
const WORD: u8 = 16;
const NOTED: u8 = 32;
const WIRED: u8 = 64;

/// A trace entry and the number of its message in [`CallMessages`](crate::messages::CallMessages), if stored.
pub(crate) type NumberedEntry = (TraceEntry, Option<u32>);

/// Entries of a trace as bytes.
#[derive(Debug, Default)]
pub(crate) struct PackedEntries {
    bytes: Vec<u8>,
    count: usize,
    /// Time of the last dropped entry in microseconds, to which the first stored entry's time is relative.
    before: u64,
    /// Time of the last entry, in microseconds since the start of the call.
    now: u64,
}

impl PackedEntries {
    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Appends an entry; `at_us` must not be below that of the last one.
    pub(crate) fn push(&mut self, at_us: u64, what: &TraceItem, message: Option<u32>) {
        let (kind, leg, text, note) = match what {
            TraceItem::Message { leg, received, text, note, again } => {
                let flags = if *received { RECEIVED } else { 0 } | if *again { AGAIN } else { 0 };
                (MESSAGE | flags, *leg, text.as_str(), Cow::Borrowed(note.as_str()))
            }
            TraceItem::Decision { text } => (DECISION, 0, text.as_str(), Cow::default()),
            // The text is rebuilt from the details.
            TraceItem::Webhook { webhook, .. } => {
                (DECISION, 0, "", serde_json::to_string(webhook).unwrap_or_default().into())
            }
            TraceItem::Agent { leg, text } => (AGENT, *leg, text.as_str(), Cow::default()),
            TraceItem::Media { leg, text } => (MEDIA, *leg, text.as_str(), Cow::default()),
        };
        let word = WORDS.iter().position(|word| *word == text);
        let flags = if word.is_some() { WORD } else { 0 } | if note.is_empty() { 0 } else { NOTED };
        let flags = flags | if message.is_some() { WIRED } else { 0 };
        self.number(at_us.saturating_sub(self.now));
        self.now = self.now.max(at_us);
        self.put(&[kind | flags]);
        self.number(leg as u64);
        match word {
            Some(at) => self.number(at as u64),
            None => self.text(text),
        }
        if !note.is_empty() {
            self.text(&note);
        }
        if let Some(message) = message {
            self.number(message.into());
        }
        self.count += 1;
    }

    /// Drops the first entry.
    pub(crate) fn pop_first(&mut self) {
        let mut reader = EntryReader { bytes: &self.bytes, now: self.before };
        if reader.entry().is_none() {
            return;
        }
        let (gone, now) = (self.bytes.len() - reader.bytes.len(), reader.now);
        self.bytes.drain(..gone);
        (self.before, self.count) = (now, self.count - 1);
    }

    /// Returns the entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = NumberedEntry> {
        let mut reader = EntryReader { bytes: &self.bytes, now: self.before };
        std::iter::from_fn(move || reader.entry())
    }

    fn put(&mut self, bytes: &[u8]) {
        kept_bytes::push(&mut self.bytes, bytes, STEP_BYTES);
    }

    fn number(&mut self, number: u64) {
        kept_bytes::push_number(&mut self.bytes, number, STEP_BYTES);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.put(text.as_bytes());
    }
}

/// Reader of entries stored as bytes.
#[derive(Debug)]
struct EntryReader<'a> {
    bytes: &'a [u8],
    now: u64,
}

impl EntryReader<'_> {
    fn entry(&mut self) -> Option<NumberedEntry> {
        let later = self.number()?;
        let head = self.byte()?;
        let leg = usize::try_from(self.number()?).ok()?;
        let text = match head & WORD {
            0 => self.text()?,
            _ => (*WORDS.get(usize::try_from(self.number()?).ok()?)?).to_owned(),
        };
        let note = if head & NOTED == 0 { String::new() } else { self.text()? };
        let message = if head & WIRED == 0 { None } else { Some(u32::try_from(self.number()?).ok()?) };
        self.now += later;
        let what = match head & KIND {
            MESSAGE => TraceItem::Message { leg, received: head & RECEIVED != 0, text, note, again: head & AGAIN != 0 },
            DECISION => match serde_json::from_str::<WebhookExchange>(&note) {
                Ok(webhook) => TraceItem::Webhook { text: webhook.text(), webhook: Box::new(webhook) },
                Err(_) => TraceItem::Decision { text },
            },
            AGENT => TraceItem::Agent { leg, text },
            _ => TraceItem::Media { leg, text },
        };
        Some((TraceEntry::new(self.now, what), message))
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        kept_bytes::read_number(&mut self.bytes)
    }

    fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook() -> WebhookExchange {
        WebhookExchange {
            purpose: "start".to_owned(),
            method: "POST".to_owned(),
            tries: Vec::new(),
            attempt: None,
            error: Some(11_200),
            body: "<Response/>\n".to_owned(),
        }
    }

    fn entries() -> Vec<NumberedEntry> {
        let message = |leg, received, text: &str, note: &str, again| TraceItem::Message {
            leg,
            received,
            text: text.into(),
            note: note.into(),
            again,
        };
        let what = [
            (message(0, true, "INVITE", "audio 40000: PCMU", false), Some(0)),
            (message(1, false, "200 OK", "", true), Some(300)),
            (message(300, true, "606 Nicht möglich", &"x".repeat(300), true), None),
            (TraceItem::Decision { text: "route main".into() }, None),
            (TraceItem::Decision { text: "BYE".into() }, None),
            (TraceItem::webhook(webhook()), None),
            (TraceItem::Agent { leg: 2, text: "open".into() }, None),
            (TraceItem::Media { leg: 1, text: String::new() }, None),
        ];
        let times = [0, 0, 127, 128, 70_000, 70_000, 70_000, 90_000_000_000];
        times.into_iter().zip(what).map(|(at_us, (what, message))| (TraceEntry::new(at_us, what), message)).collect()
    }

    fn shown(entries: impl Iterator<Item = NumberedEntry>) -> Vec<String> {
        entries.map(|entry| format!("{entry:?}")).collect()
    }

    #[test]
    fn what_is_packed_is_read_again() {
        let mut packed = PackedEntries::default();
        for (entry, message) in entries() {
            packed.push(entry.at_us, &entry.what, message);
        }
        assert_eq!(shown(packed.iter()), shown(entries().into_iter()));
        assert!(packed.bytes.len() < 550, "{}", packed.bytes.len());
    }

    #[test]
    fn it_loses_the_first() {
        let mut packed = PackedEntries::default();
        for (entry, message) in entries() {
            packed.push(entry.at_us, &entry.what, message);
        }
        for left in (0..8).rev() {
            packed.pop_first();
            assert_eq!(packed.len(), left);
            assert_eq!(shown(packed.iter()), shown(entries().into_iter().skip(8 - left)));
        }
        packed.pop_first();
        assert_eq!((packed.len(), packed.iter().count()), (0, 0));
    }
}
