//! AU decoder (`audio/basic`): μ-law, A-law, PCM and floating point, in big-endian order.

use super::decode::NarrowbandSink;
use super::samples::{ByteOrder, SampleFormat, SampleKind, big};

/// Size of the shortest header, in bytes.
const HEAD_BYTES: usize = 24;

/// Decodes a file that begins with `.snd`. The length in the header is ignored, because streaming writers do not know
/// it.
pub(super) fn decode(file: &[u8], sink: &mut NarrowbandSink) -> Result<(), String> {
    let number = |at: usize| file.get(at..at + 4).map(big).ok_or("an AU file with a truncated head");
    let (begin, encoding, rate, channels) = (number(4)?, number(12)?, number(16)?, number(20)?);
    let (kind, bytes) = match encoding {
        1 => (SampleKind::MuLaw, 1),
        2 => (SampleKind::Pcm, 1),
        3 => (SampleKind::Pcm, 2),
        4 => (SampleKind::Pcm, 3),
        5 => (SampleKind::Pcm, 4),
        6 => (SampleKind::Float, 4),
        7 => (SampleKind::Float, 8),
        27 => (SampleKind::ALaw, 1),
        other => return Err(format!("an AU file with the encoding {other}: not PCM, μ-law or A-law")),
    };
    let begin = usize::try_from(begin).unwrap_or(usize::MAX).max(HEAD_BYTES);
    let format = SampleFormat {
        kind,
        order: ByteOrder::Big,
        channels: usize::try_from(channels).unwrap_or(usize::MAX),
        rate: u32::try_from(rate).unwrap_or(u32::MAX),
        bytes,
    };
    format.decode(file.get(begin..).unwrap_or_default(), sink)
}
