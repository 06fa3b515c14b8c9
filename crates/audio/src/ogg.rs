//! Ogg demultiplexer (RFC 3533) for Vorbis and Opus. Each header is checked before a decoder sees it.

use super::decode::{NarrowbandSink, PieceCounts};
use super::opus::OpusStream;
use super::vorbis::VorbisStream;
use trunkgate_system::limits::OGG_STREAMS;

const CAPTURE: &[u8] = b"OggS";
/// Size of a page header before its segment table, in bytes.
const HEAD_BYTES: usize = 27;
/// Position of the checksum in the page header.
const SUM: std::ops::Range<usize> = 22..26;

/// Flags of a page: it continues a packet of the previous page, is the first of its stream, or the last of its stream.
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// Decodes a file that begins with `OggS`: its first Vorbis or Opus stream, and the streams chained after it (RFC 3533
/// §4).
pub(super) fn decode(bytes: &[u8], sink: &mut NarrowbandSink) -> Result<(), String> {
    let mut pieces = PieceCounts::default();
    let (mut stream, mut streams, mut known) = (None::<OggStream>, 0, false);
    let mut pages = PageIterator { bytes, at: 0 };
    while let Some(page) = pages.next() {
        let Some(page) = page else {
            pieces.count_damaged()?;
            continue;
        };
        if page.flags & FIRST > 0 {
            streams += 1;
            if streams > OGG_STREAMS {
                return Err(format!("more than {OGG_STREAMS} streams in one file"));
            }
            // Multiplexed streams begin before the audio of any of them.
            if stream.as_ref().is_none_or(OggStream::has_begun) {
                stream = OggStream::new(&page)?;
                known |= stream.is_some();
            }
        } else if let Some(stream) = stream.as_mut().filter(|stream| stream.serial == page.serial) {
            stream.process_page(&page, sink, &mut pieces)?;
        }
    }
    match (known, pieces.any_good()) {
        (true, true) => pieces.check_damage(),
        (true, false) => Err("it ends before its audio begins".to_owned()),
        (false, _) => Err("Ogg, but neither Vorbis nor Opus".to_owned()),
    }
}

/// Ogg page (RFC 3533 §6).
struct OggPage<'a> {
    flags: u8,
    /// Granule position of the page's last sample; `None` if no packet ends in the page.
    position: Option<i64>,
    serial: u32,
    sequence: u32,
    segments: &'a [u8],
    body: &'a [u8],
}

/// Iterator over the pages of a file; an item is `None` for a damaged page.
struct PageIterator<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> PageIterator<'a> {
    fn next(&mut self) -> Option<Option<OggPage<'a>>> {
        let rest = self.bytes.get(self.at..)?;
        let found = rest.windows(CAPTURE.len()).position(|bytes| bytes == CAPTURE)?;
        let rest = rest.get(found..)?;
        let (head, table) = rest.split_at_checked(HEAD_BYTES)?;
        let segments = table.get(..usize::from(*head.last()?))?;
        let body = segments.iter().map(|size| usize::from(*size)).sum::<usize>();
        let end = HEAD_BYTES + segments.len() + body;
        // A page truncated by the end of the file, or bytes that only look like a page.
        let page = rest.get(..end).filter(|page| head.get(4) == Some(&0) && head.get(SUM) == Some(&checksum(page)));
        self.at += found + if page.is_some() { end } else { CAPTURE.len() };
        let Some(page) = page else { return Some(None) };
        let number = |from: usize| head.get(from..from + 4).and_then(|bytes| bytes.first_chunk()).copied();
        let (low, high) = (u32::from_le_bytes(number(6)?), u32::from_le_bytes(number(10)?));
        let position = (u64::from(high) << 32 | u64::from(low)).cast_signed();
        Some(Some(OggPage {
            flags: *head.get(5)?,
            position: (position >= 0).then_some(position),
            serial: u32::from_le_bytes(number(14)?),
            sequence: u32::from_le_bytes(number(18)?),
            segments,
            body: page.get(HEAD_BYTES + segments.len()..)?,
        }))
    }
}

const CRC: [u32; 256] = {
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
};

/// Returns the checksum of a page, computed with its checksum field as 0.
fn checksum(page: &[u8]) -> [u8; 4] {
    let add =
        |sum: u32, byte: u8| sum << 8 ^ CRC.get((sum >> 24) as usize ^ usize::from(byte)).copied().unwrap_or_default();
    let (before, behind) = page.split_at(SUM.start.min(page.len()));
    let sum = before.iter().fold(0, |sum, byte| add(sum, *byte));
    let sum = SUM.fold(sum, |sum, _| add(sum, 0));
    behind.iter().skip(SUM.len()).fold(sum, |sum, byte| add(sum, *byte)).to_le_bytes()
}

/// Decoder of a stream's packets.
enum OggDecoder {
    Vorbis(Box<VorbisStream>),
    Opus(Box<OpusStream>),
}

/// Ogg stream being decoded.
struct OggStream {
    serial: u32,
    decoder: OggDecoder,
    /// Sequence number expected of the next page of the stream.
    due: u32,
    /// Beginning of a packet that continues on the next page.
    partial: Vec<u8>,
    /// Granule position of the last decoded sample; `None` before the first page of audio.
    position: Option<i64>,
    /// Samples decoded from the packets of the current page.
    samples: Vec<f32>,
    is_over: bool,
}

impl OggStream {
    /// Creates the stream that begins with a page; `None` if it is neither Vorbis nor Opus.
    fn new(page: &OggPage<'_>) -> Result<Option<OggStream>, String> {
        let decoder = if VorbisStream::begins_with(page.body) {
            OggDecoder::Vorbis(Box::new(VorbisStream::new(page.body)?))
        } else if OpusStream::begins_with(page.body) {
            OggDecoder::Opus(Box::new(OpusStream::new(page.body)?))
        } else {
            return Ok(None);
        };
        Ok(Some(OggStream {
            serial: page.serial,
            decoder,
            due: page.sequence.wrapping_add(1),
            partial: Vec::new(),
            position: None,
            samples: Vec::new(),
            is_over: page.flags & LAST > 0,
        }))
    }

    /// Returns whether the stream's audio has begun.
    fn has_begun(&self) -> bool {
        self.position.is_some() || self.is_over
    }

    /// Decodes the packets of a page and passes their samples to the sink. A gap in the page numbers counts as damage.
    fn process_page(
        &mut self,
        page: &OggPage<'_>,
        sink: &mut NarrowbandSink,
        pieces: &mut PieceCounts,
    ) -> Result<(), String> {
        if page.sequence != self.due {
            pieces.count_damaged()?;
            self.partial.clear();
        }
        self.due = page.sequence.wrapping_add(1);
        let is_rest = page.flags & CONTINUED > 0;
        if !is_rest {
            self.partial.clear();
        }
        // The rest of a packet is useless without its beginning.
        let mut is_orphan = is_rest && self.partial.is_empty();
        let (mut from, mut to, mut is_audio) = (0, 0, false);
        for size in page.segments {
            to += usize::from(*size);
            if *size == u8::MAX {
                continue;
            }
            let end = page.body.get(from..to).unwrap_or_default();
            from = to;
            if std::mem::take(&mut is_orphan) {
                continue;
            }
            if self.partial.is_empty() {
                is_audio |= self.take_packet(end, pieces)?;
            } else {
                let mut packet = std::mem::take(&mut self.partial);
                packet.extend_from_slice(end);
                is_audio |= self.take_packet(&packet, pieces)?;
            }
        }
        let rest = page.body.get(from..to).unwrap_or_default();
        if !is_orphan {
            self.partial.extend_from_slice(rest);
        }
        self.is_over |= page.flags & LAST > 0;
        if is_audio { self.emit_samples(page, sink) } else { Ok(()) }
    }

    /// Decodes a packet; returns true for audio, also if it is damaged, and false for a header.
    fn take_packet(&mut self, packet: &[u8], pieces: &mut PieceCounts) -> Result<bool, String> {
        let is_header = match &mut self.decoder {
            OggDecoder::Vorbis(vorbis) => vorbis.take_header(packet)?,
            OggDecoder::Opus(_) => OpusStream::is_header(packet),
        };
        if is_header {
            return Ok(false);
        }
        let decoded = match &mut self.decoder {
            OggDecoder::Vorbis(vorbis) => vorbis.decode(packet, &mut self.samples),
            OggDecoder::Opus(opus) => opus.decode(packet, &mut self.samples),
        };
        match decoded {
            Some(()) => pieces.count_good(),
            None => pieces.count_damaged()?,
        }
        Ok(true)
    }

    /// Passes the samples of a page to the sink. The last page counts only up to its granule position (Vorbis I §A.2,
    /// RFC 7845 §4.4), and the first page of Vorbis only from position 0 on.
    fn emit_samples(&mut self, page: &OggPage<'_>, sink: &mut NarrowbandSink) -> Result<(), String> {
        let (rate, granules, skips_front) = match &self.decoder {
            OggDecoder::Vorbis(vorbis) => (vorbis.rate(), 1, true),
            OggDecoder::Opus(_) => (OpusStream::RATE_HZ, OpusStream::GRANULES, false),
        };
        let count = i64::try_from(self.samples.len()).unwrap_or(i64::MAX);
        sink.spend(rate, self.samples.len())?;
        let (is_first, begin) = (self.position.is_none(), self.position.unwrap_or(0));
        let said = page.position.map(|position| position / granules);
        let (mut front, mut end) = (0, count);
        match said {
            Some(said) if page.flags & LAST > 0 => end = said.saturating_sub(begin).clamp(0, count),
            Some(said) if is_first && skips_front => front = (count - said).clamp(0, count),
            Some(_) | None => {}
        }
        self.position = Some(said.filter(|said| *said > begin).unwrap_or(begin.saturating_add(count)));
        let (front, end) = (usize::try_from(front).unwrap_or(0), usize::try_from(end).unwrap_or(0));
        let front = match &mut self.decoder {
            OggDecoder::Vorbis(_) => front,
            OggDecoder::Opus(opus) => opus.skip(end),
        };
        let heard = self.samples.get(front..end).unwrap_or_default();
        let pushed = sink.push(rate, 1, heard.iter().copied());
        self.samples.clear();
        pushed
    }
}
