//! Frames of the state file: length, checksum, kind and payload. The file is only appended to, so a crash leaves at
//! most one incomplete frame, at its end. Bytes behind an incomplete or damaged frame are not read.

use std::hash::Hasher as _;
use std::time::Duration;

use rustc_hash::FxHasher;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// First bytes of a file; the last one is the version of the framing.
const MAGIC: &[u8; 8] = b"TGSTATE\x01";
/// Maximum length of a payload, as read and as decompressed: far more than the largest call needs.
const PAYLOAD: usize = 64 << 20;

/// Frame kinds as written.
mod kind {
    pub(super) const HEADER: u8 = 1;
    pub(super) const CALL: u8 = 2;
    pub(super) const GONE: u8 = 3;
    pub(super) const SHARED: u8 = 4;
    pub(super) const SETTLED: u8 = 5;
    pub(super) const START: u8 = 6;
    pub(super) const CONTINUES: u8 = 7;
}

/// First frame of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateHeader {
    /// Version of the program that began the file.
    pub(crate) version: String,
    /// Boot id of the machine: the times in the file are those of its monotonic clock.
    pub(crate) boot: String,
    /// Number of starts in a row after which the edge crashed soon.
    pub(crate) crashes: u32,
}

/// Frame of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StateFrame {
    /// First frame.
    Header(StateHeader),
    /// Latest snapshot of a call: its key in the process, monotonic time, JSON.
    Call { key: u64, at: Duration, json: Vec<u8> },
    /// The call has ended.
    Gone { key: u64 },
    /// Latest snapshot of what calls share: monotonic time, JSON.
    Shared { at: Duration, json: Vec<u8> },
    /// The edge has run without a crash for a while.
    Settled,
    /// Another process begins to continue the calls of this file.
    Start,
    /// That process continues the call with this SID next.
    Continues { sid: String },
}

impl StateFrame {
    /// Creates a frame with the snapshot of a call.
    pub(crate) fn call(key: u64, at: Duration, snapshot: &impl Serialize) -> serde_json::Result<StateFrame> {
        Ok(StateFrame::Call { key, at, json: serde_json::to_vec(snapshot)? })
    }

    /// Appends the frame in its written form.
    pub(crate) fn write_to(&self, bytes: &mut Vec<u8>) {
        let (kind, payload) = match self {
            StateFrame::Header(header) => (kind::HEADER, serde_json::to_vec(header).unwrap_or_default()),
            StateFrame::Call { key, at, json } => (kind::CALL, [&key.to_le_bytes()[..], &stamped(*at, json)].concat()),
            StateFrame::Gone { key } => (kind::GONE, key.to_le_bytes().to_vec()),
            StateFrame::Shared { at, json } => (kind::SHARED, stamped(*at, json)),
            StateFrame::Settled => (kind::SETTLED, Vec::new()),
            StateFrame::Start => (kind::START, Vec::new()),
            StateFrame::Continues { sid } => (kind::CONTINUES, sid.clone().into_bytes()),
        };
        // Truncation is impossible: payloads are far shorter than 4 GiB.
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&checksum(kind, &payload));
        bytes.push(kind);
        bytes.extend_from_slice(&payload);
    }

    fn parse(kind: u8, payload: &[u8]) -> Option<StateFrame> {
        match kind {
            kind::HEADER => Some(StateFrame::Header(serde_json::from_slice(payload).ok()?)),
            kind::CALL => {
                let (key, rest) = payload.split_first_chunk()?;
                let (at, json) = unstamped(rest)?;
                Some(StateFrame::Call { key: u64::from_le_bytes(*key), at, json })
            }
            kind::GONE => Some(StateFrame::Gone { key: u64::from_le_bytes(payload.try_into().ok()?) }),
            kind::SHARED => {
                let (at, json) = unstamped(payload)?;
                Some(StateFrame::Shared { at, json })
            }
            kind::SETTLED => Some(StateFrame::Settled),
            kind::START => Some(StateFrame::Start),
            kind::CONTINUES => Some(StateFrame::Continues { sid: String::from_utf8(payload.to_vec()).ok()? }),
            _ => None,
        }
    }
}

/// Returns the beginning of a file.
pub(crate) fn beginning(header: StateHeader) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    StateFrame::Header(header).write_to(&mut bytes);
    bytes
}

/// Reads the complete frames of a file; `None` if it is no state file of this form. Also returns the number of bytes
/// that were read: behind them the file is incomplete or damaged.
pub(crate) fn read(bytes: &[u8]) -> Option<(StateHeader, Vec<StateFrame>, usize)> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let StateFrame::Header(header) = next(&mut rest)? else { return None };
    let mut frames = Vec::new();
    while let Some(frame) = next(&mut rest) {
        frames.push(frame);
    }
    Some((header, frames, bytes.len() - rest.len()))
}

fn next(rest: &mut &[u8]) -> Option<StateFrame> {
    let (len, behind) = rest.split_first_chunk()?;
    let (sum, behind) = behind.split_first_chunk::<8>()?;
    let (kind, behind) = behind.split_first()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok().filter(|len| *len <= PAYLOAD)?;
    let (payload, behind) = behind.split_at_checked(len)?;
    if checksum(*kind, payload) != *sum {
        return None;
    }
    let frame = StateFrame::parse(*kind, payload)?;
    *rest = behind;
    Some(frame)
}

/// Returns the value of a snapshot in a frame.
pub(crate) fn value<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json)
}

fn stamped(at: Duration, json: &[u8]) -> Vec<u8> {
    // Truncation is impossible: the machine is not that old.
    [&(at.as_micros() as u64).to_le_bytes()[..], &lz4_flex::compress_prepend_size(json)].concat()
}

fn unstamped(payload: &[u8]) -> Option<(Duration, Vec<u8>)> {
    let (at, rest) = payload.split_first_chunk()?;
    let (size, _) = rest.split_first_chunk()?;
    usize::try_from(u32::from_le_bytes(*size)).ok().filter(|size| *size <= PAYLOAD)?;
    Some((Duration::from_micros(u64::from_le_bytes(*at)), lz4_flex::decompress_size_prepended(rest).ok()?))
}

fn checksum(kind: u8, payload: &[u8]) -> [u8; 8] {
    // It finds what a crash has cut or a disk has changed; the file is for this user only.
    let mut hasher = FxHasher::default();
    hasher.write_u8(kind);
    hasher.write(payload);
    hasher.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> StateHeader {
        StateHeader { version: "0.1.0".to_owned(), boot: "b".to_owned(), crashes: 2 }
    }

    fn frames() -> Vec<StateFrame> {
        let at = Duration::from_micros(1_234_567);
        vec![
            StateFrame::call(7, at, &"a call").unwrap(),
            StateFrame::Shared { at, json: b"{}".to_vec() },
            StateFrame::Gone { key: 7 },
            StateFrame::Settled,
            StateFrame::Start,
            StateFrame::Continues { sid: "CA1".to_owned() },
        ]
    }

    fn written() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = beginning(header());
        let mut ends = vec![bytes.len()];
        for frame in frames() {
            frame.write_to(&mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_file_torn_at_any_byte_has_its_complete_frames() {
        let (bytes, ends) = written();
        for len in 0..=bytes.len() {
            let complete = ends.iter().filter(|end| **end <= len).count();
            match (read(&bytes[..len]), complete.checked_sub(1)) {
                (None, None) => {}
                (Some((read, kept, used)), Some(complete)) => {
                    assert_eq!((read, used), (header(), ends[complete]));
                    assert_eq!(kept, frames()[..complete]);
                }
                (read, complete) => panic!("{len}: {read:?} {complete:?}"),
            }
        }
    }

    #[test]
    fn a_file_of_another_program_is_not_read() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"SQLite format 3\0"), None);
        let (mut bytes, _) = written();
        bytes[7] = 9;
        assert_eq!(read(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let mut begun = beginning(header());
            begun.extend_from_slice(&bytes);
            let _ = read(&begun);
        }

        #[test]
        fn a_changed_byte_ends_the_file_before_its_frame(at in 0usize..400, change in 1u8..) {
            let (mut bytes, ends) = written();
            let at = at % bytes.len();
            bytes[at] ^= change;
            let before = ends.iter().filter(|end| **end <= at).count();
            match read(&bytes) {
                None => prop_assert_eq!(before, 0),
                Some((_, kept, _)) => prop_assert_eq!(kept, &frames()[..before - 1]),
            }
        }
    }
}
