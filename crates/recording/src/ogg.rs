//! Ogg container (RFC 3533) with Opus (RFC 7845): writes pages, and counts them in a truncated file.

use std::ops::Range;

use crate::limits::FRAME_MS;

/// Size of a page header before its segment table, in bytes.
const HEAD_BYTES: usize = 27;
/// Size of the longest page: all segments of 255 bytes.
const PAGE_BYTES: usize = HEAD_BYTES + 255 + 255 * 255;
const SEGMENTS: usize = 255;
const CAPTURE: &[u8] = b"OggS";
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// Granule positions per millisecond, for every sampling rate (RFC 7845 §4).
const GRANULES_PER_MS: u64 = 48;

/// Granule positions per frame of 20 ms.
pub(crate) const GRANULES_PER_FRAME: u64 = FRAME_MS as u64 * GRANULES_PER_MS;
/// Packets per page: 1 s.
pub(crate) const PAGE_PACKETS: usize = 50;
/// Number of header packets before the audio.
const HEADER_PACKETS: u64 = 2;

const CRC: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = (at as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 0x8000_0000 == 0 { value << 1 } else { value << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

fn crc(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0, |sum, byte| sum << 8 ^ CRC.get((sum >> 24) as usize ^ usize::from(byte)).copied().unwrap_or(0))
}

/// Writer of the pages of one stream.
#[derive(Debug)]
pub(crate) struct PageWriter {
    serial: u32,
    sequence: u32,
    granule: u64,
    segments: Vec<u8>,
    contents: Vec<u8>,
}

/// Position in a stream between two pages, as plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PagePosition {
    serial: u32,
    sequence: u32,
    granule: u64,
}

impl PagePosition {
    /// Returns the number of audio packets before the position.
    pub(crate) fn packets(self) -> u64 {
        self.granule / GRANULES_PER_FRAME
    }
}

impl PageWriter {
    pub(crate) fn new(serial: u32) -> PageWriter {
        PageWriter { serial, sequence: 0, granule: 0, segments: Vec::new(), contents: Vec::new() }
    }

    /// Returns the position after the last page; the open page must have been appended.
    pub(crate) fn position(&self) -> PagePosition {
        PagePosition { serial: self.serial, sequence: self.sequence, granule: self.granule }
    }

    /// Continues a stream after its last page.
    pub(crate) fn resume(position: PagePosition) -> PageWriter {
        let PagePosition { serial, sequence, granule } = position;
        PageWriter { sequence, granule, ..PageWriter::new(serial) }
    }

    /// Returns the number of packets in the open page.
    pub(crate) fn waiting(&self) -> usize {
        self.segments.iter().filter(|length| **length < 255).count()
    }

    /// Adds a packet with the position of its last sample; a page that is already full is appended first.
    pub(crate) fn push(&mut self, packet: &[u8], granule: u64, to: &mut Vec<u8>) {
        let segments = packet.len() / 255 + 1;
        if self.segments.len() + segments > SEGMENTS {
            self.end(false, to);
        }
        self.segments.extend(std::iter::repeat_n(255, segments - 1));
        self.segments.push((packet.len() % 255) as u8);
        self.contents.extend_from_slice(packet);
        self.granule = granule;
    }

    /// Sets the position of the last sample.
    pub(crate) fn set_position(&mut self, granule: u64) {
        self.granule = granule;
    }

    /// Appends the page if it has a packet or is the last.
    pub(crate) fn end(&mut self, is_last: bool, to: &mut Vec<u8>) {
        if self.segments.is_empty() && !is_last {
            return;
        }
        let begins = to.len();
        let flags = if self.sequence == 0 { FIRST } else { 0 } | if is_last { LAST } else { 0 };
        to.extend_from_slice(CAPTURE);
        to.extend_from_slice(&[0, flags]);
        to.extend_from_slice(&self.granule.to_le_bytes());
        to.extend_from_slice(&self.serial.to_le_bytes());
        to.extend_from_slice(&self.sequence.to_le_bytes());
        to.extend_from_slice(&[0; 4]);
        to.push(self.segments.len() as u8);
        to.extend_from_slice(&self.segments);
        to.extend_from_slice(&self.contents);
        let sum = crc(to.iter().skip(begins).copied());
        if let Some(place) = to.get_mut(begins + 22..begins + 26) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        self.sequence += 1;
        self.segments.clear();
        self.contents.clear();
    }
}

/// Page of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ParsedPage<'a> {
    length: usize,
    flags: u8,
    granule: u64,
    serial: u32,
    sequence: u32,
    /// Segment table.
    segments: &'a [u8],
    contents: &'a [u8],
}

/// Result of the search for a page at the beginning of `bytes`.
enum PageSearch<'a> {
    Page(ParsedPage<'a>),
    Part,
    None,
}

fn page(bytes: &[u8]) -> PageSearch<'_> {
    let Some(head) = bytes.get(..HEAD_BYTES) else {
        return if CAPTURE.iter().zip(bytes).all(|(a, b)| a == b) { PageSearch::Part } else { PageSearch::None };
    };
    if !head.starts_with(CAPTURE) || head[4] != 0 {
        return PageSearch::None;
    }
    let segments = HEAD_BYTES + usize::from(head[26]);
    let Some(table) = bytes.get(HEAD_BYTES..segments) else { return PageSearch::Part };
    let length = segments + table.iter().map(|length| usize::from(*length)).sum::<usize>();
    let Some(whole) = bytes.get(..length) else { return PageSearch::Part };
    let blank = whole.iter().enumerate().map(|(at, byte)| if (22..26).contains(&at) { 0 } else { *byte });
    if crc(blank).to_le_bytes() != whole[22..26] {
        return PageSearch::None;
    }
    let mut granule = [0; 8];
    granule.copy_from_slice(&head[6..14]);
    let granule = u64::from_le_bytes(granule);
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (serial, sequence) = (number(14), number(18));
    PageSearch::Page(ParsedPage {
        length,
        flags: head[5],
        granule,
        serial,
        sequence,
        segments: table,
        contents: &whole[segments..],
    })
}

impl<'a> ParsedPage<'a> {
    /// Lists the packets of the page; in recordings none continues in the next page.
    fn packets(&self) -> impl Iterator<Item = &'a [u8]> {
        let (mut lengths, mut rest) = (self.segments.iter(), self.contents);
        std::iter::from_fn(move || {
            let mut length = 0;
            loop {
                let segment = *lengths.next()?;
                length += usize::from(segment);
                if segment < 255 {
                    break;
                }
            }
            let (packet, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(packet)
        })
    }
}

/// Reader of the packets of a file, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct PacketReader {
    /// Bytes of an incomplete page.
    held: Vec<u8>,
    /// Packets seen, including those of the header.
    seen: u64,
}

impl PacketReader {
    /// Adds the next bytes of the file and calls `show` with each complete packet and its number among the audio
    /// packets, `None` for a header packet.
    pub(crate) fn push(&mut self, bytes: &[u8], mut show: impl FnMut(Option<u64>, &[u8])) {
        self.held.extend_from_slice(bytes);
        let mut at = 0;
        while let PageSearch::Page(page) = page(self.held.get(at..).unwrap_or_default()) {
            at += page.length;
            for packet in page.packets() {
                show(self.seen.checked_sub(HEADER_PACKETS), packet);
                self.seen += 1;
            }
        }
        self.held.drain(..at);
    }
}

/// Converts the packets of a finished file into the pages of a file with some of its frames.
#[derive(Debug)]
pub(crate) struct OpusCut {
    pages: PageWriter,
    read: PacketReader,
    kept: Range<u64>,
    pre_skip: u64,
    /// Audio packets in the new file.
    packets: u64,
}

impl OpusCut {
    pub(crate) fn new(kept: Range<u64>, serial: u32) -> OpusCut {
        OpusCut { pages: PageWriter::new(serial), read: PacketReader::default(), kept, pre_skip: 0, packets: 0 }
    }

    /// Adds the next bytes of the file.
    pub(crate) fn push(&mut self, bytes: &[u8], to: &mut Vec<u8>) {
        let mut read = std::mem::take(&mut self.read);
        read.push(bytes, |number, packet| self.extract_packet(number, packet, to));
        self.read = read;
    }

    fn extract_packet(&mut self, number: Option<u64>, packet: &[u8], to: &mut Vec<u8>) {
        let Some(number) = number else {
            if let Some([low, high]) = packet.strip_prefix(b"OpusHead").and_then(|head| head.get(2..4)) {
                self.pre_skip = u64::from(u16::from_le_bytes([*low, *high]));
            }
            self.pages.push(packet, 0, to);
            return self.pages.end(false, to);
        };
        // The codec delays audio by `pre_skip`, so the end of the last frame is in the packets after it.
        let end = self.kept.end + self.pre_skip.div_ceil(GRANULES_PER_FRAME);
        if (self.kept.start..end).contains(&number) {
            self.packets += 1;
            self.pages.push(packet, self.packets * GRANULES_PER_FRAME, to);
            if self.pages.waiting() >= PAGE_PACKETS {
                self.pages.end(false, to);
            }
        }
    }

    /// Appends the last page.
    pub(crate) fn finish(mut self, to: &mut Vec<u8>) {
        let frames = self.kept.end - self.kept.start;
        self.pages.set_position(self.pre_skip + frames * GRANULES_PER_FRAME);
        self.pages.end(true, to);
    }
}

/// Counts the complete pages at the beginning of an Ogg Opus file, piece by piece.
#[derive(Debug, Default)]
pub struct PageCounter {
    held: Vec<u8>,
    bytes: u64,
    granule: u64,
    pre_skip: u64,
    /// Serial number of the stream, and the number of its next page.
    next: (u32, u32),
    is_over: bool,
    has_last: bool,
}

impl PageCounter {
    /// Adds the next bytes of the file.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_over {
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_BYTES));
            self.held.extend_from_slice(now);
            self.count_pages();
            bytes = later;
        }
    }

    fn count_pages(&mut self) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while !self.is_over {
            match page(held.get(at..).unwrap_or_default()) {
                PageSearch::Page(page) => {
                    if page.flags & FIRST != 0
                        && let Some([low, high]) =
                            page.contents.strip_prefix(b"OpusHead").and_then(|head| head.get(2..4))
                    {
                        self.pre_skip = u64::from(u16::from_le_bytes([*low, *high]));
                    }
                    at += page.length;
                    self.granule = page.granule;
                    self.next = (page.serial, page.sequence.wrapping_add(1));
                    self.has_last = page.flags & LAST != 0;
                    self.is_over = self.has_last;
                }
                PageSearch::Part => break,
                PageSearch::None => self.is_over = true,
            }
        }
        self.bytes += at as u64;
        self.held = held.get(at..).unwrap_or_default().to_vec();
    }

    /// Returns the position after the last page; `None` if the header pages are missing or the stream has ended.
    pub(crate) fn position(&self) -> Option<PagePosition> {
        let (serial, sequence) = self.next;
        let is_open = u64::from(sequence) >= HEADER_PACKETS && !self.has_last;
        is_open.then_some(PagePosition { serial, sequence, granule: self.granule })
    }

    /// Returns the length of the complete pages, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the duration of the audio in the complete pages, in milliseconds.
    pub fn milliseconds(&self) -> u64 {
        self.granule.saturating_sub(self.pre_skip) / GRANULES_PER_MS
    }

    /// Returns whether the last page of the stream is present.
    pub fn is_whole(&self) -> bool {
        self.has_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_holds_one_packet_and_opens_again() {
        let mut out = Vec::new();
        let mut pages = PageWriter::new(0x0102_0304);
        pages.push(b"OpusHead\x01\x01\x38\x01\x40\x1f\0\0\0\0\0", 0, &mut out);
        pages.end(false, &mut out);
        assert_eq!(&out[..6], b"OggS\0\x02");
        assert_eq!((out[26], out[27], out.len()), (1, 19, HEAD_BYTES + 1 + 19));
        let PageSearch::Page(page) = page(&out) else { panic!() };
        assert_eq!((page.length, page.granule, page.flags), (out.len(), 0, FIRST));
    }

    #[test]
    fn the_check_sum_is_that_of_the_specification() {
        // RFC 3533 defines the polynomial; the value is that of the usual check input (CRC-32/MPEG-2 without its
        // initial value).
        assert_eq!(crc(b"123456789".iter().copied()), 0x89a1_897f);
    }

    #[test]
    fn pages_are_counted_to_the_first_that_is_not_whole() {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let mut pages = PageWriter::new(1);
        for at in 0..40_u64 {
            pages.push(&vec![at as u8; 1 + at as usize * 20], at * 960, &mut out);
            if at % 3 == 0 {
                pages.end(false, &mut out);
                ends.push((out.len() as u64, at * 20));
            }
        }
        pages.end(true, &mut out);
        for cut in 0..out.len() {
            let mut count = PageCounter::default();
            out[..cut].chunks(100).for_each(|part| count.push(part));
            let expected = ends.iter().rev().find(|(bytes, _)| *bytes <= cut as u64).copied().unwrap_or((0, 0));
            assert_eq!(
                (count.bytes(), count.milliseconds(), count.is_whole()),
                (expected.0, expected.1, false),
                "{cut}"
            );
        }
        let mut count = PageCounter::default();
        count.push(&out);
        assert!(count.is_whole() && count.bytes() == out.len() as u64);
    }
}
