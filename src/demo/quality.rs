//! What was heard, per direction: measured by the phones themselves, judged, shown as a table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use trunkgate_phone::{Heard, Verdict};

/// When each frame left its phone: what one-way delay is counted from. Shared by all phones of the demo.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal(Arc<Mutex<BTreeMap<(u32, u32), Instant>>>);

impl Journal {
    /// A frame leaves.
    pub(super) fn sent(&self, frame: Heard, at: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((frame.ssrc, frame.index), at);
    }
    /// A frame is heard: how long it took.
    pub(super) fn heard(&self, frame: Heard, at: Instant) -> Option<Duration> {
        let sent = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(frame.ssrc, frame.index))?;
        Some(at.saturating_duration_since(sent))
    }
}

/// One direction of a call.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Direction {
    /// Who spoke.
    pub(super) from: String,
    /// Who heard it.
    pub(super) to: String,
    /// Codec.
    pub(super) codec: String,
    /// Packets that were sent.
    pub(super) sent: u64,
    /// Packets that were heard.
    pub(super) received: u64,
    /// Packets that were not.
    pub(super) lost: u64,
    /// Packets that were heard twice.
    pub(super) duplicates: u64,
    /// Packets that came after a later one.
    pub(super) reordered: u64,
    /// Packets that are not bit for bit what was sent.
    pub(super) damaged: u64,
    /// Interarrival jitter, in milliseconds.
    pub(super) jitter_ms: f64,
    /// One-way delay: median, in milliseconds.
    pub(super) delay_ms: f64,
    /// One-way delay: longest, in milliseconds.
    pub(super) delay_max_ms: f64,
    /// Level of the 440 Hz tone, in dB of full scale; `null` where nothing was heard.
    pub(super) tone_dbfs: Option<f64>,
    /// The tone against all else, in dB.
    pub(super) tone_snr_db: Option<f64>,
}

/// What a phone knows of a call that ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    /// SSRC of what it said.
    pub(super) ssrc: u32,
    /// Frames it said.
    pub(super) sent: u64,
    /// What it heard.
    pub(super) verdicts: Vec<Verdict>,
    /// One-way delays of what it heard.
    pub(super) delays: Vec<Duration>,
}

impl Direction {
    /// From what one phone said and the other heard; the second value is what is wrong with it.
    pub(super) fn judge(from: &str, to: &str, speaker: &Side, listener: &Side) -> (Direction, Vec<String>) {
        let verdict = listener.verdicts.iter().find(|v| v.ssrc == speaker.ssrc);
        let mut delays = listener.delays.clone();
        delays.sort_unstable();
        let in_ms = |delay: Option<&Duration>| delay.map_or(0.0, |d| d.as_secs_f64() * 1000.0);
        let received = verdict.map_or(0, |v| v.packets - v.duplicates);
        let direction = Direction {
            from: from.into(),
            to: to.into(),
            codec: verdict.map_or_else(|| "-".into(), |v| v.codec.name().into()),
            sent: speaker.sent,
            received,
            lost: speaker.sent.saturating_sub(received),
            duplicates: verdict.map_or(0, |v| v.duplicates),
            reordered: verdict.map_or(0, |v| v.reordered),
            damaged: verdict.map_or(0, |v| v.damaged),
            jitter_ms: verdict.map_or(0.0, |v| v.jitter_ms),
            delay_ms: in_ms(delays.get(delays.len() / 2)),
            delay_max_ms: in_ms(delays.last()),
            tone_dbfs: verdict.and_then(|v| v.level_dbfs),
            tone_snr_db: verdict.and_then(|v| v.snr_db),
        };
        let problems = direction.problems(verdict, listener);
        (direction, problems)
    }

    fn problems(&self, verdict: Option<&Verdict>, listener: &Side) -> Vec<String> {
        let mut problems = Vec::new();
        let mut wrong = |what: String| problems.push(format!("{} → {}: {what}", self.from, self.to));
        if self.sent == 0 {
            wrong("nothing was said".into());
        }
        match verdict {
            None => wrong("nothing was heard".into()),
            Some(verdict) => {
                if self.lost > 0 {
                    wrong(format!("{} of {} packets lost", self.lost, self.sent));
                }
                if verdict.duplicates > 0 {
                    wrong(format!("{} packets came twice", verdict.duplicates));
                }
                if verdict.damaged > 0 {
                    wrong(format!("{} packets are not what was sent", verdict.damaged));
                }
                if !verdict.intact() && self.lost + verdict.duplicates + verdict.damaged == 0 {
                    wrong("no 440 Hz tone".into());
                }
            }
        }
        if listener.verdicts.len() > 1 {
            wrong("more than one voice was heard".into());
        }
        problems
    }
}

/// The table of all directions of a call.
pub(super) fn table(directions: &[Direction]) -> String {
    let mut rows =
        vec![["direction", "codec", "packets", "lost", "jitter", "delay p50/max", "tone", "payload"].map(String::from)];
    for d in directions {
        let tone = match (d.tone_dbfs, d.tone_snr_db) {
            (Some(level), Some(snr)) => format!("{level:.0} dBFS, SNR {snr:.0} dB"),
            _ => "none".into(),
        };
        let payload = if d.damaged == 0 && d.received > 0 { "identical" } else { "different" };
        rows.push([
            format!("{} → {}", d.from, d.to),
            d.codec.clone(),
            format!("{}/{}", d.received, d.sent),
            d.lost.to_string(),
            format!("{:.2} ms", d.jitter_ms),
            format!("{:.2}/{:.2} ms", d.delay_ms, d.delay_max_ms),
            tone,
            payload.into(),
        ]);
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::from(" ");
        for (at, cell) in row.iter().enumerate() {
            let width = rows.iter().filter_map(|r| r.get(at)).map(|c| c.chars().count()).max().unwrap_or(0);
            let pad = width - cell.chars().count();
            line.push_str(&format!(" {cell}{:pad$} ", ""));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_phone::{Codec, Judge, Voice};

    fn side(voice: &Voice, heard: impl IntoIterator<Item = [u8; 172]>) -> Side {
        let mut judge = Judge::default();
        let start = Instant::now();
        for (n, packet) in heard.into_iter().enumerate() {
            judge.hear(start + Duration::from_millis(20 * n as u64), &packet);
        }
        Side { ssrc: voice.ssrc(), sent: 100, verdicts: judge.verdicts(), delays: vec![Duration::from_millis(1)] }
    }

    #[test]
    fn intact_audio_has_no_problem() {
        let voice = Voice::new(1, Codec::Pcmu);
        let listener = side(&Voice::new(2, Codec::Pcmu), (0..100).map(|n| voice.packet(n, 0)));
        let speaker = side(&voice, []);
        let (direction, problems) = Direction::judge("a", "b", &speaker, &listener);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((direction.received, direction.lost), (100, 0));
        assert!(table(&[direction]).contains("100/100"));
    }

    #[test]
    fn loss_at_either_end_and_damage_are_problems() {
        let voice = Voice::new(1, Codec::Pcmu);
        let speaker = side(&voice, []);
        for heard in [1..100, 0..99, 0..0] {
            let listener = side(&Voice::new(2, Codec::Pcmu), heard.map(|n| voice.packet(n, 0)));
            assert_ne!(Direction::judge("a", "b", &speaker, &listener).1, Vec::<String>::new());
        }
        let harmed = (0..100).map(|n| {
            let mut packet = voice.packet(n, 0);
            packet[20] ^= u8::from(n == 50);
            packet
        });
        let problems = Direction::judge("a", "b", &speaker, &side(&Voice::new(2, Codec::Pcmu), harmed)).1;
        assert_eq!(problems, ["a → b: 1 packets are not what was sent"]);
    }
}
