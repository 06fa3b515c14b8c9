//! Splits the head of a message into lines, with folding and form errors. Framer and message use the same rules, so
//! that both agree on the end of a message.

use std::ops::BitOr;

use crate::header::HeaderName;
use crate::scan::{is_lws, is_whole_token, part, tail, trim};

/// Set of form errors in a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HeadFlaws(u8);

impl HeadFlaws {
    /// The head contains a NUL outside a quoted pair.
    pub(crate) const NUL: HeadFlaws = HeadFlaws(1);
    /// A line ends with a lone CR or LF.
    pub(crate) const LINE_END: HeadFlaws = HeadFlaws(1 << 1);
    /// A line is not `name: value`.
    pub(crate) const LINE: HeadFlaws = HeadFlaws(1 << 2);
    /// The data ends inside a line of the head.
    pub(crate) const CUT: HeadFlaws = HeadFlaws(1 << 3);
    /// The head has more header fields than [`crate::limits::HEADERS`].
    pub(crate) const TOO_MANY: HeadFlaws = HeadFlaws(1 << 4);
    /// The start line contains extra white space.
    pub(crate) const START_SPACE: HeadFlaws = HeadFlaws(1 << 5);
    /// The data ends after a complete line, without the final empty line.
    pub(crate) const NO_EMPTY_LINE: HeadFlaws = HeadFlaws(1 << 6);

    pub(crate) const fn has(self, flaw: HeadFlaws) -> bool {
        self.0 & flaw.0 != 0
    }

    pub(crate) fn add(&mut self, flaw: HeadFlaws) {
        *self = *self | flaw;
    }
}

impl BitOr for HeadFlaws {
    type Output = HeadFlaws;
    fn bitor(self, other: HeadFlaws) -> HeadFlaws {
        HeadFlaws(self.0 | other.0)
    }
}

/// Iterator over the lines of a head. After the empty line, [`Self::at`] is the start of the body.
#[derive(Debug)]
pub(crate) struct HeadLines<'a> {
    bytes: &'a [u8],
    at: usize,
    flaws: HeadFlaws,
}

/// Line with its folds, without its line end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoldedLine<'a> {
    /// Offset of the line from the start of the message, in bytes.
    pub(crate) at: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> HeadLines<'a> {
    /// Creates an iterator over a head that begins at `at`.
    pub(crate) const fn new(bytes: &'a [u8], at: usize) -> HeadLines<'a> {
        HeadLines { bytes, at, flaws: HeadFlaws(0) }
    }

    /// Returns the start line, which cannot be folded.
    pub(crate) fn start(&mut self) -> Option<FoldedLine<'a>> {
        self.next_line(false)
    }

    /// Returns the next header line, or `None` at the empty line.
    pub(crate) fn header(&mut self) -> Option<FoldedLine<'a>> {
        self.next_line(true)
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) const fn flaws(&self) -> HeadFlaws {
        self.flaws
    }

    fn next_line(&mut self, folds: bool) -> Option<FoldedLine<'a>> {
        let from = self.at;
        let mut search = from;
        loop {
            let rest = tail(self.bytes, search);
            let Some(offset) = memchr::memchr3(b'\n', b'\r', 0, rest) else {
                return self.cut(from);
            };
            let hit = search + offset;
            search = hit + 1;
            let end = match (rest.get(offset), self.bytes.get(hit + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    search += 1;
                    hit
                }
                (Some(b'\n'), _) => {
                    self.flaws.add(HeadFlaws::LINE_END);
                    hit
                }
                (Some(b'\r'), _) => {
                    self.flaws.add(HeadFlaws::LINE_END);
                    continue;
                }
                _ => {
                    // RFC 3261 §25.1: a quoted pair may contain any octet except CR and LF.
                    if hit == from || self.bytes.get(hit - 1) != Some(&b'\\') {
                        self.flaws.add(HeadFlaws::NUL);
                    }
                    continue;
                }
            };
            if end == from {
                self.at = search;
                return None;
            }
            if folds && matches!(self.bytes.get(search), Some(b' ' | b'\t')) {
                continue;
            }
            self.at = search;
            return Some(FoldedLine { at: from, bytes: part(self.bytes, from, end) });
        }
    }

    /// Ends the iteration at the end of the data, and records whether it ends after a complete line or within a line.
    fn cut(&mut self, from: usize) -> Option<FoldedLine<'a>> {
        self.at = self.bytes.len();
        if from < self.at {
            self.flaws.add(HeadFlaws::CUT);
            return Some(FoldedLine { at: from, bytes: tail(self.bytes, from) });
        }
        if !self.flaws.has(HeadFlaws::CUT) {
            self.flaws.add(HeadFlaws::NO_EMPTY_LINE);
        }
        None
    }
}

/// Header line split into name and value, with offsets from the start of the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitHeader {
    pub(crate) name: HeaderName,
    pub(crate) name_end: usize,
    pub(crate) value_at: usize,
    pub(crate) value_end: usize,
    /// Whether the name is a token.
    pub(crate) sound: bool,
}

/// Splits a header line; white space before the colon is not part of the name (RFC 3261 §7.3.1: HCOLON). Returns
/// `None` if there is no colon or name, or if the line begins with white space.
pub(crate) fn split_line(line: &[u8]) -> Option<SplitHeader> {
    let colon = memchr::memchr(b':', line)?;
    let mut name = part(line, 0, colon);
    while let [inner @ .., b' ' | b'\t'] = name {
        name = inner;
    }
    if matches!(name.first(), None | Some(b' ' | b'\t')) {
        return None;
    }
    let value = tail(line, colon + 1);
    let lead = value.iter().position(|&byte| !is_lws(byte)).unwrap_or(0);
    let value_at = colon + 1 + lead;
    let known = HeaderName::from_bytes(name);
    Some(SplitHeader {
        name: known,
        name_end: name.len(),
        value_at,
        value_end: value_at + trim(value).len(),
        sound: known != HeaderName::Other || is_whole_token(name),
    })
}

/// Result of the search for the end of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadEnd {
    /// The empty line was found; the body begins at this offset.
    At(usize),
    /// The empty line was not found; resume the search at this offset when more data arrives.
    Beyond(usize),
}

/// Searches for the empty line from `from` on, by the rules of [`HeadLines`].
pub(crate) fn head_end(bytes: &[u8], from: usize) -> HeadEnd {
    let mut at = from;
    while let Some(offset) = memchr::memchr(b'\n', tail(bytes, at)) {
        let hit = at + offset;
        match (bytes.get(hit + 1), bytes.get(hit + 2)) {
            (Some(b'\n'), _) => return HeadEnd::At(hit + 2),
            (Some(b'\r'), Some(b'\n')) => return HeadEnd::At(hit + 3),
            (None, _) | (Some(b'\r'), None) => return HeadEnd::Beyond(hit),
            _ => at = hit + 1,
        }
    }
    HeadEnd::Beyond(bytes.len())
}
