//! Audio quality of each direction of a call: measured by the phones, judged and printed as a table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use trunkgate_media::mos::{MosCodec, mos};
use trunkgate_phone::{FrameId, ToneAnalyzer, VoiceReport};

use super::stream::Continuity;

/// Sending time of each frame, for one-way delays. All phones of the demo share the journal.
#[derive(Debug, Clone, Default)]
pub(super) struct FrameJournal(Arc<Mutex<BTreeMap<(u32, u32), Instant>>>);

impl FrameJournal {
    /// Records the sending time of a frame.
    pub(super) fn sent(&self, frame: FrameId, at: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((frame.ssrc, frame.index), at);
    }

    /// Returns the one-way delay of a received frame; `None` if its sending time is unknown.
    pub(super) fn heard(&self, frame: FrameId, at: Instant) -> Option<Duration> {
        let sent = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(frame.ssrc, frame.index))?;
        Some(at.saturating_duration_since(sent))
    }
}

/// Packetisation delay in milliseconds, added to the one-way delay for the MOS.
const PACKET_MS: f64 = 20.0;

/// Part of the sent audio that must be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpectedFrames {
    /// All frames that the sender has sent.
    Whole,
    /// A tail of the frames, because the listener joined later.
    Tail,
    /// A head of the frames, because the listener was lost.
    Head,
}

/// Quality of one media direction of a call.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AudioDirection {
    /// Name of the sending party.
    pub(super) from: String,
    /// Name of the receiving party.
    pub(super) to: String,
    /// Received codec; `SENT → RECEIVED` for transcoded audio, `-` if nothing was received.
    pub(super) codec: String,
    /// Packets sent.
    pub(super) sent: u64,
    /// Packets received.
    pub(super) received: u64,
    /// Packets lost.
    pub(super) lost: u64,
    /// Packets received twice.
    pub(super) duplicates: u64,
    /// Packets that came after a later one.
    pub(super) reordered: u64,
    /// Packets with another payload than was sent.
    pub(super) damaged: u64,
    /// Whether the audio was transcoded; `damaged` then counts packets that do not contain the tone at its level.
    pub(super) converted: bool,
    /// Silence played in place of frames that arrived too late, in milliseconds.
    pub(super) delayed_ms: u64,
    /// Interarrival jitter, in milliseconds.
    pub(super) jitter_ms: f64,
    /// Median one-way delay, in milliseconds.
    pub(super) delay_ms: f64,
    /// Longest one-way delay, in milliseconds.
    pub(super) delay_max_ms: f64,
    /// Level of the tone, in dB of full scale; null if nothing was received.
    pub(super) tone_dbfs: Option<f64>,
    /// Ratio of the tone to all other sound, in dB; null if nothing was received.
    pub(super) tone_snr_db: Option<f64>,
    /// MOS from loss and delay; null if nothing was received.
    pub(super) mos: Option<f64>,
}

/// One-way delays of received frames in one direction, by SSRC of the sender.
pub(super) type FrameDelays = BTreeMap<u32, Vec<Duration>>;

/// Audio of one party in a call that has ended.
#[derive(Debug, Clone, Default)]
pub(super) struct PartyMedia {
    /// SSRC of the sent audio.
    pub(super) ssrc: u32,
    /// Number of frames sent.
    pub(super) sent: u64,
    /// Analysis of each voice received, compared bit for bit.
    pub(super) verdicts: Vec<VoiceReport>,
    /// Analysis of received audio that was transcoded.
    pub(super) ear: ToneAnalyzer,
    /// One-way delays of received frames.
    pub(super) delays: FrameDelays,
    /// Continuity of the received RTP stream.
    pub(super) continuity: Continuity,
}

impl AudioDirection {
    /// Checks the audio from one party to another; returns the quality and the errors. With `alone`, any other voice
    /// received is an error.
    pub(super) fn judge(
        (from, to): (&str, &str),
        speaker: &PartyMedia,
        listener: &PartyMedia,
        share: ExpectedFrames,
        alone: bool,
    ) -> (AudioDirection, Vec<String>) {
        let verdict = listener.verdicts.iter().find(|v| v.ssrc == speaker.ssrc);
        let mut delays = listener.delays.get(&speaker.ssrc).cloned().unwrap_or_default();
        delays.sort_unstable();
        let in_ms = |delay: Option<&Duration>| delay.map_or(0.0, |d| d.as_secs_f64() * 1000.0);
        let received = verdict.map_or(0, |v| v.packets - v.duplicates);
        let sent = match (share, verdict) {
            (ExpectedFrames::Tail, Some(verdict)) => speaker.sent.saturating_sub(verdict.late_start),
            (ExpectedFrames::Head, Some(verdict)) => received + verdict.lost,
            (ExpectedFrames::Whole, _) | (_, None) => speaker.sent,
        };
        let lost = sent.saturating_sub(received);
        let delay_ms = in_ms(delays.get(delays.len() / 2));
        let direction = AudioDirection {
            from: from.into(),
            to: to.into(),
            codec: verdict.map_or_else(|| "-".into(), |v| v.codec.name().into()),
            sent,
            received,
            lost,
            duplicates: verdict.map_or(0, |v| v.duplicates),
            reordered: verdict.map_or(0, |v| v.reordered),
            damaged: verdict.map_or(0, |v| v.damaged),
            converted: false,
            delayed_ms: verdict.map_or(0, VoiceReport::delayed_ms),
            jitter_ms: verdict.map_or(0.0, |v| v.jitter_ms),
            delay_ms,
            delay_max_ms: in_ms(delays.last()),
            tone_dbfs: verdict.and_then(|v| v.level_dbfs),
            tone_snr_db: verdict.and_then(|v| v.snr_db),
            mos: verdict.map(|_| mos(MosCodec::G711, lost as f64 / sent.max(1) as f64, delay_ms + PACKET_MS)),
        };
        let problems = direction.problems(verdict, listener, alone);
        (direction, problems)
    }

    /// Checks audio between parties with different codecs: frames cannot be compared, so the tone is detected instead.
    pub(super) fn by_ear(
        (from, to): (&str, &str),
        speaker: &PartyMedia,
        listener: &PartyMedia,
        [said, heard]: [&str; 2],
        journal: &FrameJournal,
    ) -> (AudioDirection, Vec<String>) {
        let sound = listener.ear.tone_report();
        let arrivals = listener.ear.arrivals();
        let delay = |(index, at): (usize, &Instant)| {
            journal.heard(FrameId { ssrc: speaker.ssrc, index: u32::try_from(index).ok()? }, *at)
        };
        let mut delays: Vec<Duration> = arrivals.iter().enumerate().filter_map(delay).collect();
        let jitter = delays.windows(2).fold(0.0, |jitter: f64, pair| match pair {
            [before, after] => jitter + (before.abs_diff(*after).as_secs_f64() * 1000.0 - jitter) / 16.0,
            _ => jitter,
        });
        delays.sort_unstable();
        let in_ms = |delay: Option<&Duration>| delay.map_or(0.0, |d| d.as_secs_f64() * 1000.0);
        let direction = AudioDirection {
            from: from.into(),
            to: to.into(),
            codec: format!("{said} → {heard}"),
            sent: speaker.sent,
            received: sound.frames,
            lost: speaker.sent.saturating_sub(sound.frames).max(sound.lost),
            duplicates: sound.repeated,
            reordered: 0,
            damaged: sound.off,
            converted: true,
            delayed_ms: 0,
            jitter_ms: jitter,
            delay_ms: in_ms(delays.get(delays.len() / 2)),
            delay_max_ms: in_ms(delays.last()),
            tone_dbfs: sound.level_dbfs,
            tone_snr_db: sound.snr_db,
            mos: None,
        };
        let mut problems = Vec::new();
        let mut wrong = |what: String| problems.push(format!("{from} → {to}: {what}"));
        if direction.sent == 0 || direction.received == 0 {
            wrong("no audio was sent or received".into());
        }
        if direction.lost > 0 {
            wrong(format!("{} of {} packets lost", direction.lost, direction.sent));
        }
        if direction.received > direction.sent || direction.duplicates > 0 {
            wrong(format!("{} packets for {}", direction.received + direction.duplicates, direction.sent));
        }
        if direction.damaged > 0 {
            wrong(format!("{} packets differ from the tone that was sent", direction.damaged));
        }
        if !sound.is_tone() {
            wrong("no 440 Hz tone at its original level".into());
        }
        (direction, problems)
    }

    fn problems(&self, verdict: Option<&VoiceReport>, listener: &PartyMedia, alone: bool) -> Vec<String> {
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
                    wrong(format!("{} packets differ from the sent ones", verdict.damaged));
                }
                if !verdict.is_tone() {
                    wrong("no 440 Hz tone".into());
                }
            }
        }
        if alone && listener.verdicts.len() > 1 {
            wrong("more than one voice was heard".into());
        }
        problems
    }
}

/// Table columns omitted on a narrow terminal; other columns contain the same information.
const SPARE: [&str; 2] = ["tone", "lost"];

/// Returns the table of all directions of a call, for a terminal of this width.
pub(super) fn table(directions: &[AudioDirection], width: Option<usize>) -> String {
    let head = ["direction", "codec", "packets", "lost", "jitter", "delay p50/max", "MOS", "tone", "payload"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(directions.iter().map(|direction| cells(direction).to_vec()));
    for spare in SPARE {
        let drawn = draw(&rows);
        let at = rows.first().and_then(|head| head.iter().position(|cell| cell == spare));
        let Some(at) = at.filter(|_| drawn.lines().any(|line| width.is_some_and(|w| line.chars().count() > w))) else {
            return drawn;
        };
        for row in &mut rows {
            row.remove(at);
        }
    }
    draw(&rows)
}

fn cells(d: &AudioDirection) -> [String; 9] {
    let tone = match (d.tone_dbfs, d.tone_snr_db) {
        (Some(level), Some(snr)) => format!("{level:.0} dBFS, SNR {snr:.0} dB"),
        _ => "none".into(),
    };
    let payload = match (d.damaged == 0 && d.received > 0, d.delayed_ms) {
        (true, _) if d.converted => "converted".into(),
        (true, 0) => "identical".into(),
        (true, ms) => format!("identical, {ms} ms of silence in it"),
        (false, _) => "different".into(),
    };
    [
        format!("{} → {}", d.from, d.to),
        d.codec.clone(),
        format!("{}/{}", d.received, d.sent),
        d.lost.to_string(),
        format!("{:.2} ms", d.jitter_ms),
        format!("{:.2}/{:.2} ms", d.delay_ms, d.delay_max_ms),
        d.mos.map_or_else(|| "-".into(), |mos| format!("{mos:.2}")),
        tone,
        payload,
    ]
}

/// Returns a table with columns as wide as their widest cell.
fn draw(rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    for row in rows {
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
    use trunkgate_phone::{AudioVerifier, G711Codec, MarkedVoice};

    fn side(voice: &MarkedVoice, heard: impl IntoIterator<Item = [u8; 172]>) -> PartyMedia {
        let mut judge = AudioVerifier::default();
        let start = Instant::now();
        for (n, packet) in heard.into_iter().enumerate() {
            judge.add_packet(start + Duration::from_millis(20 * n as u64), &packet);
        }
        let (verdicts, delays) = (judge.voice_reports(), FrameDelays::from([(1, vec![Duration::from_millis(1)])]));
        PartyMedia { ssrc: voice.ssrc(), sent: 100, verdicts, delays, ..PartyMedia::default() }
    }

    fn judge(speaker: &PartyMedia, listener: &PartyMedia, share: ExpectedFrames) -> (AudioDirection, Vec<String>) {
        AudioDirection::judge(("a", "b"), speaker, listener, share, true)
    }

    #[test]
    fn intact_audio_has_no_problem() {
        let voice = MarkedVoice::new(1, G711Codec::Pcmu);
        let listener = side(&MarkedVoice::new(2, G711Codec::Pcmu), (0..100).map(|n| voice.packet(n, 0)));
        let speaker = side(&voice, []);
        let (direction, problems) = judge(&speaker, &listener, ExpectedFrames::Whole);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((direction.received, direction.lost), (100, 0));
        let wide = table(std::slice::from_ref(&direction), None);
        assert!(wide.contains("100/100") && wide.contains("tone") && wide.contains("lost"), "{wide}");
        let narrow = table(&[direction], Some(70));
        assert!(narrow.contains("100/100") && narrow.contains("identical") && !narrow.contains("tone"), "{narrow}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 70), "{narrow}");
    }

    #[test]
    fn loss_at_either_end_and_damage_are_problems() {
        let voice = MarkedVoice::new(1, G711Codec::Pcmu);
        let speaker = side(&voice, []);
        for heard in [1..100, 0..99, 0..0] {
            let listener = side(&MarkedVoice::new(2, G711Codec::Pcmu), heard.map(|n| voice.packet(n, 0)));
            assert_ne!(judge(&speaker, &listener, ExpectedFrames::Whole).1, Vec::<String>::new());
        }
        let harmed = (0..100).map(|n| {
            let mut packet = voice.packet(n, 0);
            packet[20] ^= u8::from(n == 50);
            packet
        });
        let problems = judge(&speaker, &side(&MarkedVoice::new(2, G711Codec::Pcmu), harmed), ExpectedFrames::Whole).1;
        assert_eq!(problems, ["a → b: 1 packets differ from the sent ones"]);
    }

    #[test]
    fn who_comes_later_or_is_lost_hears_a_part_without_holes() {
        let voice = MarkedVoice::new(1, G711Codec::Pcmu);
        let speaker = side(&voice, []);
        let hears = |frames: &[u32], share| {
            let listener = side(&MarkedVoice::new(2, G711Codec::Pcmu), frames.iter().map(|n| voice.packet(*n, 0)));
            let (direction, problems) = judge(&speaker, &listener, share);
            (direction.sent, direction.lost, problems.is_empty())
        };
        let frames: Vec<u32> = (0..100).collect();
        assert_eq!(hears(&frames[30..], ExpectedFrames::Tail), (70, 0, true));
        assert_eq!(hears(&frames[30..99], ExpectedFrames::Tail), (70, 1, false));
        assert_eq!(hears(&frames[..60], ExpectedFrames::Head), (60, 0, true));
        assert_eq!(hears(&frames[1..60], ExpectedFrames::Head), (60, 1, false));
        assert_eq!(hears(&[&frames[..30], &frames[31..60]].concat(), ExpectedFrames::Head), (60, 1, false));
    }

    #[test]
    fn loss_and_delay_show_in_the_score() {
        let voice = MarkedVoice::new(1, G711Codec::Pcmu);
        let speaker = side(&voice, []);
        let heard = |count| side(&MarkedVoice::new(2, G711Codec::Pcmu), (0..count).map(|n| voice.packet(n, 0)));
        let score = |count| judge(&speaker, &heard(count), ExpectedFrames::Whole).0.mos;
        assert!(score(100).is_some_and(|mos| (4.3..4.5).contains(&mos)), "{:?}", score(100));
        assert!(score(90) < score(100));
        assert_eq!(score(0), None);
    }

    #[test]
    fn converted_audio_is_judged_by_its_tone() {
        let voice = MarkedVoice::new(1, G711Codec::Pcmu);
        let judged = |frames: std::ops::Range<u32>, change: &dyn Fn(u32, &mut [i16])| {
            let (mut listener, start) = (PartyMedia::default(), Instant::now());
            for n in frames {
                let mut samples = voice.payload(n).map(|byte| G711Codec::Pcmu.decode(byte));
                change(n, &mut samples);
                listener.ear.add_frame(start + Duration::from_millis(20 * u64::from(n)), n as u16, &samples);
            }
            let speaker = PartyMedia { ssrc: 1, sent: 100, ..PartyMedia::default() };
            AudioDirection::by_ear(("a", "b"), &speaker, &listener, ["PCMU", "opus"], &FrameJournal::default())
        };
        let (direction, problems) = judged(0..100, &|_, _| ());
        assert_eq!((problems, direction.received, direction.damaged), (Vec::<String>::new(), 100, 0));
        assert!(table(&[direction], None).contains("converted"));
        let turned = |n: u32, samples: &mut [i16]| {
            if n == 50 {
                samples[80..].iter_mut().for_each(|sample| *sample = -*sample);
            }
        };
        assert_eq!(judged(0..100, &turned).1, ["a → b: 1 packets differ from the tone that was sent"]);
        let softer = |_: u32, samples: &mut [i16]| samples.iter_mut().for_each(|sample| *sample -= *sample / 10);
        assert_eq!(judged(0..100, &softer).1, ["a → b: no 440 Hz tone at its original level"]);
        assert_eq!(judged(0..99, &|_, _| ()).1, ["a → b: 1 of 100 packets lost"]);
        assert_ne!(judged(0..0, &|_, _| ()).1, Vec::<String>::new());
    }
}
