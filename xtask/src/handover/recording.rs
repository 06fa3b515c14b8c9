//! Recordings of calls as files: their length, and the packets whose audio is in them.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use trunkgate_media::codec::g711::encode_ulaw;

use crate::bench::echo;
use crate::interop::edge::Edge;
use crate::interop::recording::FRAME;

use super::FROZEN;

/// Largest difference between the length of a recording and that of its call.
const TOLERANCE: Duration = Duration::from_millis(300);
/// Longest gap that a crash leaves in a recording.
const LONGEST_GAP: Duration = Duration::from_millis(1_500);
/// Maximum wait until all recordings are complete.
const COMPLETED: Duration = Duration::from_secs(20);
/// Samples of a packet.
const SAMPLES: usize = 160;

/// Recording after the end of its call.
pub(super) struct Recording {
    /// Entry in the edge's list.
    pub(super) entry: Value,
    /// Audio of each channel that is missing between its first and its last packet; none for a conference.
    pub(super) missing: Vec<Duration>,
}

impl Recording {
    /// Waits until all recordings of an edge are complete, and reads them.
    pub(super) fn all(edge: &Edge) -> anyhow::Result<Vec<Recording>> {
        let list = |edge: &Edge| -> anyhow::Result<Vec<Value>> {
            let list: Value = serde_json::from_str(&edge.get("/v1/recordings?limit=1000")?)?;
            Ok(list["recordings"].as_array().cloned().unwrap_or_default())
        };
        let is_complete = |edge: &Edge| Ok(list(edge)?.iter().all(|entry| entry["state"] != "in-progress"));
        // Incomplete ones are judged by the caller.
        drop(edge.wait_until("all recordings are complete", COMPLETED, is_complete));
        list(edge)?.into_iter().map(|entry| Recording::read(edge, entry)).collect()
    }

    fn read(edge: &Edge, entry: Value) -> anyhow::Result<Recording> {
        if entry["source"] == "Conference" || entry["state"] != "completed" {
            return Ok(Recording { entry, missing: Vec::new() });
        }
        let sid = entry["sid"].as_str().context("a recording without SID")?;
        let missing = missing(&edge.bytes(&format!("/v1/recordings/{sid}/audio"))?)?;
        Ok(Recording { entry, missing })
    }

    /// Returns whether the recording has the length of its call, with gaps for the crashes and for the times at which
    /// the process was stopped, and no other ones.
    pub(super) fn is_whole(&self, record: &Value, (crashes, stops): (usize, usize)) -> Option<bool> {
        let length = length_ms(record)?;
        let (recorded, lost) = (self.entry["duration_ms"].as_u64()?, self.entry["lost_ms"].as_u64()?);
        let (crashes, stops) = (u32::try_from(crashes).ok()?, u32::try_from(stops).ok()?);
        let most = LONGEST_GAP * crashes + (FROZEN + LONGEST_GAP) * stops;
        let least = FROZEN * stops + if crashes > 0 { Duration::from_millis(1) } else { Duration::ZERO };
        let is_reported = (least..=most).contains(&Duration::from_millis(lost));
        let is_long_enough = Duration::from_millis(recorded.abs_diff(length)) <= TOLERANCE;
        let is_in_gaps = self.missing.iter().all(|missing| *missing <= most);
        Some(self.entry["state"] == "completed" && is_reported && is_long_enough && is_in_gaps)
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recording { entry, missing } = self;
        write!(
            f,
            "{} {} ms, lost {} ms, state {}, missing {missing:?}",
            entry["sid"], entry["duration_ms"], entry["lost_ms"], entry["state"]
        )
    }
}

/// Returns the time from the answer to the end of a call, by its record.
pub(super) fn length_ms(record: &Value) -> Option<u64> {
    let time = |name: &str| record[name].as_str()?.parse::<jiff::Timestamp>().ok();
    u64::try_from(time("ended_at")?.as_millisecond() - time("answered_at")?.as_millisecond()).ok()
}

/// Returns the audio that is missing in each channel of a dual WAV file.
fn missing(file: &[u8]) -> anyhow::Result<Vec<Duration>> {
    let data = file.windows(4).position(|four| four == b"data").context("no WAV file")? + 8;
    let samples = file.get(data..).unwrap_or_default();
    let channel = |at: usize| {
        let sample = |both: &[u8]| Some(encode_ulaw(i16::from_le_bytes([*both.get(at)?, *both.get(at + 1)?])));
        let codes: Vec<u8> = samples.chunks_exact(4).filter_map(sample).collect();
        let numbers: BTreeSet<u32> =
            codes.chunks(SAMPLES).filter_map(|frame| echo::number(frame, None)).map(|number| number as u32).collect();
        let span = numbers.first().zip(numbers.last()).map(|(first, last)| last - first + 1).context("no packets")?;
        Ok(FRAME * (span - u32::try_from(numbers.len())?))
    };
    [0, 2].into_iter().map(channel).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trunkgate_media::codec::g711::decode_ulaw;

    use super::*;

    #[test]
    fn a_recording_is_whole_with_the_length_of_its_call_and_the_gaps_of_the_crashes() {
        let record = json!({"answered_at": "2026-11-25T09:14:00.100Z", "ended_at": "2026-11-25T09:15:00.000Z"});
        let is_whole_after = |ms: u64, lost: u64, missing: u64, events: (usize, usize)| {
            let entry = json!({"duration_ms": ms, "lost_ms": lost, "state": "completed"});
            Recording { entry, missing: vec![Duration::from_millis(missing)] }.is_whole(&record, events)
        };
        let is_whole = |ms, lost, missing, crashes| is_whole_after(ms, lost, missing, (crashes, 0));
        assert_eq!(is_whole(59_800, 0, 0, 0), Some(true));
        assert_eq!(is_whole(59_500, 0, 0, 0), Some(false));
        assert_eq!((is_whole(59_900, 20, 0, 0), is_whole(59_900, 0, 20, 0)), (Some(false), Some(false)));
        assert_eq!((is_whole(59_900, 180, 200, 1), is_whole(59_900, 0, 200, 1)), (Some(true), Some(false)));
        assert_eq!((is_whole(59_900, 1_600, 0, 1), is_whole(59_900, 180, 1_600, 1)), (Some(false), Some(false)));
        assert_eq!(is_whole_after(59_900, 66_400, 61_000, (0, 1)), Some(true));
        assert_eq!(is_whole_after(59_900, 0, 61_000, (0, 1)), Some(false));
        assert_eq!(Recording { entry: json!({}), missing: Vec::new() }.is_whole(&record, (1, 0)), None);
    }

    #[test]
    fn packets_that_are_not_in_a_file_are_missing() {
        let file = |numbers: &[u64]| {
            let mut bytes = b"RIFF....WAVEdata....".to_vec();
            for code in numbers.iter().flat_map(|number| echo::payload(*number)) {
                let sample = decode_ulaw(code).to_le_bytes();
                bytes.extend(sample.iter().chain(&sample));
            }
            bytes
        };
        assert_eq!(missing(&file(&[7, 8, 9])).unwrap(), [Duration::ZERO; 2]);
        assert_eq!(missing(&file(&[7, 8, 12])).unwrap(), [FRAME * 3; 2]);
        assert!(missing(b"RIFF").is_err());
    }
}
