//! WAV files of linear 16-bit samples (RIFF, and RF64 of EBU Tech 3306 from 4 GiB on).
//!
//! The header has a constant length: a `JUNK` chunk reserves the place of `ds64`, which RF64 needs. Rewriting the
//! header after each block of samples keeps the file valid at any time; with unknown sizes it is readable to its end
//! without that.

use crate::Channels;
use crate::limits::{FRAME_MS, FRAME_SAMPLES, RATE_HZ};

/// Length of the header, in bytes.
pub const HEADER_BYTES: u64 = 80;
/// Size of the chunk that reserves the place of `ds64`, and of that chunk itself: sizes of file and data, number of
/// samples, an empty table.
const DS64_BYTES: u32 = 28;
/// Bytes of a sample of one channel.
const SAMPLE_BYTES: u16 = 2;
/// Size that the field cannot hold, or that is unknown.
const NO_SIZE: u32 = u32::MAX;

/// Length of the samples in a file, as in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataBytes {
    /// Number of bytes.
    Known(u64),
    /// Up to the end of the file.
    Unknown,
}

/// Returns the header of a file.
pub fn header(channels: Channels, data: DataBytes) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(place) = header.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        at += bytes.len();
    };
    let frame_bytes = channels.count() * SAMPLE_BYTES;
    let known = if let DataBytes::Known(bytes) = data { bytes } else { 0 };
    let riff = known + HEADER_BYTES - 8;
    let (form, junk, riff_size, data_size) = match (data, u32::try_from(riff), u32::try_from(known)) {
        (DataBytes::Unknown, ..) => (b"RIFF", b"JUNK", NO_SIZE, NO_SIZE),
        (DataBytes::Known(_), Ok(riff), Ok(data)) if riff < NO_SIZE => (b"RIFF", b"JUNK", riff, data),
        (DataBytes::Known(_), ..) => (b"RF64", b"ds64", NO_SIZE, NO_SIZE),
    };
    put(form);
    put(&riff_size.to_le_bytes());
    put(b"WAVE");
    put(junk);
    put(&DS64_BYTES.to_le_bytes());
    if junk == b"ds64" {
        put(&riff.to_le_bytes());
        put(&known.to_le_bytes());
        put(&(known / u64::from(frame_bytes)).to_le_bytes());
        put(&0_u32.to_le_bytes());
    } else {
        put(&[0; DS64_BYTES as usize]);
    }
    put(b"fmt ");
    put(&16_u32.to_le_bytes());
    put(&1_u16.to_le_bytes());
    put(&channels.count().to_le_bytes());
    put(&RATE_HZ.to_le_bytes());
    put(&(RATE_HZ * u32::from(frame_bytes)).to_le_bytes());
    put(&frame_bytes.to_le_bytes());
    put(&(SAMPLE_BYTES * 8).to_le_bytes());
    put(b"data");
    put(&data_size.to_le_bytes());
    header
}

/// Returns the length of the samples in a file of `file_bytes`: only complete frames of 20 ms, as they are written.
pub fn data_bytes(channels: Channels, file_bytes: u64) -> u64 {
    let frame = FRAME_SAMPLES as u64 * u64::from(channels.count() * SAMPLE_BYTES);
    file_bytes.saturating_sub(HEADER_BYTES) / frame * frame
}

/// Returns the duration of this many bytes of samples, in milliseconds.
pub fn milliseconds(channels: Channels, data_bytes: u64) -> u64 {
    let frame = FRAME_SAMPLES as u64 * u64::from(channels.count() * SAMPLE_BYTES);
    data_bytes / frame * u64::from(FRAME_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(header: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(header[at..at + 4].try_into().unwrap())
    }

    fn u64_at(header: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(header[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn sizes_are_those_of_the_file() {
        let header = header(Channels::Dual, DataBytes::Known(6400));
        assert_eq!((&header[..4], u32_at(&header, 4), &header[8..16]), (&b"RIFF"[..], 6400 + 72, &b"WAVEJUNK"[..]));
        assert_eq!((&header[48..52], u32_at(&header, 52), &header[72..76]), (&b"fmt "[..], 16, &b"data"[..]));
        // PCM, stereo, 8000 Hz, 32,000 bytes per second, 4 bytes a sample of both, 16 bits.
        assert_eq!(header[56..72], [1, 0, 2, 0, 0x40, 0x1f, 0, 0, 0, 0x7d, 0, 0, 4, 0, 16, 0]);
        assert_eq!(u32_at(&header, 76), 6400);
        let unknown = super::header(Channels::Mono, DataBytes::Unknown);
        assert_eq!((&unknown[..4], u32_at(&unknown, 4), u32_at(&unknown, 76)), (&b"RIFF"[..], NO_SIZE, NO_SIZE));
        assert_eq!(unknown[58], 1);
    }

    #[test]
    fn from_4_gib_on_it_is_rf64() {
        let most = u64::from(u32::MAX) - 1 - 72;
        let last = header(Channels::Dual, DataBytes::Known(most));
        assert_eq!((&last[..4], &last[12..16], u32_at(&last, 76)), (&b"RIFF"[..], &b"JUNK"[..], most as u32));
        for bytes in [most + 4, 1 << 32, 5 << 30, 1 << 40] {
            let long = header(Channels::Dual, DataBytes::Known(bytes));
            assert_eq!((&long[..4], &long[12..16], u32_at(&long, 16)), (&b"RF64"[..], &b"ds64"[..], 28));
            assert_eq!((u32_at(&long, 4), u32_at(&long, 76)), (NO_SIZE, NO_SIZE));
            assert_eq!((u64_at(&long, 20), u64_at(&long, 28), u64_at(&long, 36)), (bytes + 72, bytes, bytes / 4));
        }
    }

    #[test]
    fn a_cut_file_has_whole_frames() {
        for (bytes, data, ms) in
            [(0, 0, 0), (80, 0, 0), (719, 0, 0), (720, 640, 20), (80 + 640 * 50 + 639, 32_000, 1000)]
        {
            assert_eq!((data_bytes(Channels::Dual, bytes), milliseconds(Channels::Dual, data)), (data, ms), "{bytes}");
        }
        assert_eq!(milliseconds(Channels::Mono, data_bytes(Channels::Mono, 400)), 20);
    }
}
