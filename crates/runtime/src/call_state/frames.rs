//! Frames of the state file: length, checksum, kind and payload. The file is only appended to, so a crash leaves at
//! most one incomplete frame, at its end. Bytes behind an incomplete or damaged frame are not read.
//!
//! Snapshots are JSON, compressed with a dictionary: the snapshot of a typical call, which the file contains, so that a
//! program with another dictionary can read it.

use std::hash::Hasher as _;
use std::time::Duration;

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use rustc_hash::FxHasher;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};

/// First bytes of a state file, before the version of the format.
const MAGIC: &[u8; 7] = b"TGSTATE";
/// Version of the format that is written. Version 2 has no frames of conferences.
const VERSION: u8 = 3;
/// Oldest version that is read.
const OLDEST_VERSION: u8 = 2;
/// Snapshot of a call between two trunks, of which one uses SRTP. Its numbers, addresses and keys are invented.
const DICTIONARY: &str = include_str!("dictionary.json");
/// Length of a frame before its payload: length, checksum and kind.
const FRAME_HEAD: usize = 13;
/// Maximum length of a frame's payload in bytes, compressed or decompressed; far more than the largest call needs.
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
    pub(super) const DICTIONARY: u8 = 8;
    pub(super) const CONFERENCES: u8 = 9;
}

/// First frame of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateHeader {
    /// Version of the program that began the file.
    pub(crate) version: String,
    /// Boot id of the machine. Times in the file are of the monotonic clock, so they are valid only until a restart of
    /// it.
    pub(crate) boot: String,
    /// Number of consecutive early crashes before this file was begun.
    pub(crate) crashes: u32,
}

/// Frame of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StateFrame {
    /// First frame.
    Header(StateHeader),
    /// Latest snapshot of the call with this key, and the monotonic time at which it was taken.
    Call { key: u64, at: Duration, state: PackedState },
    /// The call with this key has ended.
    Gone { key: u64 },
    /// Latest snapshot of the state that calls share, and the monotonic time at which it was taken.
    Shared { at: Duration, state: PackedState },
    /// Latest snapshot of all conferences, and the monotonic time at which it was taken.
    Conferences { at: Duration, state: PackedState },
    /// The edge has run without a crash for a while.
    Settled,
    /// Another process has read this file and begins to continue its calls.
    Start,
    /// The process that continues the calls restores the call with this SID next.
    Continues { sid: String },
}

impl StateFrame {
    /// Creates a frame with the snapshot of a call.
    ///
    /// # Errors
    /// Returns the error of the JSON serializer.
    pub(crate) fn call(key: u64, at: Duration, snapshot: &impl Serialize) -> serde_json::Result<StateFrame> {
        Ok(StateFrame::Call { key, at, state: PackedState::pack(snapshot)? })
    }

    /// Creates a frame with the snapshot of the state that calls share.
    ///
    /// # Errors
    /// Returns the error of the JSON serializer.
    pub(crate) fn shared(at: Duration, snapshot: &impl Serialize) -> serde_json::Result<StateFrame> {
        Ok(StateFrame::Shared { at, state: PackedState::pack(snapshot)? })
    }

    /// Creates a frame with the snapshot of all conferences.
    ///
    /// # Errors
    /// Returns the error of the JSON serializer.
    pub(crate) fn conferences(at: Duration, snapshot: &impl Serialize) -> serde_json::Result<StateFrame> {
        Ok(StateFrame::Conferences { at, state: PackedState::pack(snapshot)? })
    }

    /// Appends the frame in its written form.
    pub(crate) fn write_to(&self, bytes: &mut Vec<u8>) {
        let (kind, payload) = match self {
            StateFrame::Header(header) => (kind::HEADER, serde_json::to_vec(header).unwrap_or_default()),
            StateFrame::Call { key, at, state } => {
                (kind::CALL, [&key.to_le_bytes()[..], &micros(*at), state.0.as_slice()].concat())
            }
            StateFrame::Gone { key } => (kind::GONE, key.to_le_bytes().to_vec()),
            StateFrame::Shared { at, state } => (kind::SHARED, [&micros(*at)[..], state.0.as_slice()].concat()),
            StateFrame::Conferences { at, state } => {
                (kind::CONFERENCES, [&micros(*at)[..], state.0.as_slice()].concat())
            }
            StateFrame::Settled => (kind::SETTLED, Vec::new()),
            StateFrame::Start => (kind::START, Vec::new()),
            StateFrame::Continues { sid } => (kind::CONTINUES, sid.clone().into_bytes()),
        };
        write(bytes, kind, &payload);
    }

    fn parse(kind: u8, payload: &[u8]) -> Option<StateFrame> {
        match kind {
            kind::HEADER => Some(StateFrame::Header(serde_json::from_slice(payload).ok()?)),
            kind::CALL => {
                let (key, rest) = payload.split_first_chunk()?;
                let (at, state) = stamped_state(rest)?;
                Some(StateFrame::Call { key: u64::from_le_bytes(*key), at, state })
            }
            kind::GONE => Some(StateFrame::Gone { key: u64::from_le_bytes(payload.try_into().ok()?) }),
            kind::SHARED => {
                let (at, state) = stamped_state(payload)?;
                Some(StateFrame::Shared { at, state })
            }
            kind::CONFERENCES => {
                let (at, state) = stamped_state(payload)?;
                Some(StateFrame::Conferences { at, state })
            }
            kind::SETTLED => Some(StateFrame::Settled),
            kind::START => Some(StateFrame::Start),
            kind::CONTINUES => Some(StateFrame::Continues { sid: String::from_utf8(payload.to_vec()).ok()? }),
            _ => None,
        }
    }
}

/// Snapshot as compressed JSON, preceded by the length of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedState(Vec<u8>);

impl PackedState {
    fn pack(snapshot: &impl Serialize) -> serde_json::Result<PackedState> {
        let json = serde_json::to_vec(snapshot)?;
        Ok(PackedState(compress_prepend_size_with_dict(&json, DICTIONARY.as_bytes())))
    }

    /// Decompresses and parses the snapshot; `dictionary` is that of the file.
    ///
    /// # Errors
    /// Returns the JSON parser's error, or an error if the text cannot be decompressed.
    pub(crate) fn value<T: DeserializeOwned>(&self, dictionary: &[u8]) -> serde_json::Result<T> {
        let length = self.0.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
        if length.is_none_or(|length| length > PAYLOAD) {
            return Err(serde_json::Error::custom("the snapshot is damaged"));
        }
        let json = decompress_size_prepended_with_dict(&self.0, dictionary).map_err(serde_json::Error::custom)?;
        serde_json::from_slice(&json)
    }
}

/// Contents of a state file up to its last complete frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StateContents {
    /// First frame.
    pub(crate) header: StateHeader,
    /// Dictionary with which the snapshots are compressed.
    pub(crate) dictionary: Vec<u8>,
    /// Frames after header and dictionary.
    pub(crate) frames: Vec<StateFrame>,
    /// Number of bytes up to the end of the last complete frame; the file is incomplete or damaged behind it.
    pub(crate) complete: usize,
    /// Whether a whole frame that cannot be read follows. A crash leaves an incomplete one.
    pub(crate) is_damaged: bool,
}

/// Returns the beginning of a new file: format version, header and dictionary.
pub(crate) fn beginning(header: StateHeader) -> Vec<u8> {
    let mut bytes = [MAGIC.as_slice(), &[VERSION]].concat();
    StateFrame::Header(header).write_to(&mut bytes);
    write(&mut bytes, kind::DICTIONARY, DICTIONARY.as_bytes());
    bytes
}

/// Reads the complete frames of a file; `None` if it is not a state file of this format.
pub(crate) fn read(bytes: &[u8]) -> Option<StateContents> {
    let (version, mut rest) = bytes.strip_prefix(MAGIC)?.split_first()?;
    if !(OLDEST_VERSION..=VERSION).contains(version) {
        return None;
    }
    let StateFrame::Header(header) = next_frame(&mut rest)? else { return None };
    let (kind::DICTIONARY, dictionary) = next_payload(&mut rest)? else { return None };
    let mut frames = Vec::new();
    while let Some(frame) = next_frame(&mut rest) {
        frames.push(frame);
    }
    let (complete, dictionary) = (bytes.len() - rest.len(), dictionary.to_vec());
    Some(StateContents { header, dictionary, frames, complete, is_damaged: has_whole_frame(rest) })
}

fn next_frame(rest: &mut &[u8]) -> Option<StateFrame> {
    let mut behind = *rest;
    let (kind, payload) = next_payload(&mut behind)?;
    let frame = StateFrame::parse(kind, payload)?;
    *rest = behind;
    Some(frame)
}

fn has_whole_frame(rest: &[u8]) -> bool {
    let length = rest.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
    rest.get(FRAME_HEAD..).zip(length).is_some_and(|(payload, length)| payload.len() >= length)
}

/// Removes the next frame from the front of `rest` and returns its kind and payload; `None` if it is incomplete or
/// damaged.
fn next_payload<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (len, behind) = rest.split_first_chunk()?;
    let (sum, behind) = behind.split_first_chunk::<8>()?;
    let (kind, behind) = behind.split_first()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok().filter(|len| *len <= PAYLOAD)?;
    let (payload, behind) = behind.split_at_checked(len)?;
    if checksum(*kind, payload) != *sum {
        return None;
    }
    *rest = behind;
    Some((*kind, payload))
}

fn write(bytes: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    // Truncation is impossible: payloads are far shorter than 4 GiB.
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&checksum(kind, payload));
    bytes.push(kind);
    bytes.extend_from_slice(payload);
}

fn micros(at: Duration) -> [u8; 8] {
    // Truncation is impossible: the machine is not that old.
    (at.as_micros() as u64).to_le_bytes()
}

fn stamped_state(payload: &[u8]) -> Option<(Duration, PackedState)> {
    let (at, state) = payload.split_first_chunk()?;
    Some((Duration::from_micros(u64::from_le_bytes(*at)), PackedState(state.to_vec())))
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
            StateFrame::shared(at, &serde_json::json!({})).unwrap(),
            StateFrame::conferences(at, &serde_json::json!([])).unwrap(),
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
                (Some(read), Some(complete)) => {
                    assert_eq!((read.header, read.complete), (header(), ends[complete]));
                    assert_eq!(read.frames, frames()[..complete]);
                }
                (read, complete) => panic!("{len}: {read:?} {complete:?}"),
            }
        }
    }

    /// A change of the snapshot's form makes the dictionary a poorer one: then it is to be replaced by the text that
    /// this test shows.
    #[test]
    fn the_dictionary_is_a_snapshot_of_todays_form() {
        let call: trunkgate_call::CallSnapshot = serde_json::from_str(DICTIONARY).unwrap();
        assert_eq!(serde_json::to_string(&call).unwrap(), DICTIONARY.trim_end());
    }

    /// Another program may have another dictionary; the state is read with that of its file.
    #[test]
    fn a_snapshot_is_read_with_the_dictionary_of_its_file() {
        let (bytes, _) = written();
        let read = read(&bytes).unwrap();
        let StateFrame::Call { state, .. } = &read.frames[0] else { panic!("{read:?}") };
        assert_eq!(state.value::<String>(&read.dictionary).unwrap(), "a call");
        let snapshot: trunkgate_call::CallSnapshot = serde_json::from_str(DICTIONARY).unwrap();
        let packed = PackedState::pack(&snapshot).unwrap();
        assert!(packed.0.len() < 100, "{}", packed.0.len());
        assert!(packed.value::<serde_json::Value>(b"another").is_err());
        assert!(PackedState(vec![255; 9]).value::<String>(&read.dictionary).is_err());
    }

    #[test]
    fn a_file_of_another_program_is_not_read() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"SQLite format 3\0"), None);
        let (mut bytes, _) = written();
        let is_read = [1, 2, 3, 4].map(|version| {
            bytes[7] = version;
            read(&bytes).is_some()
        });
        assert_eq!(is_read, [false, true, true, false], "by version");
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
                Some(read) => prop_assert_eq!(read.frames, &frames()[..before - 1]),
            }
        }
    }
}
