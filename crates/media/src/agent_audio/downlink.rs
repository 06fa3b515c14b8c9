//! Downlink: an agent's queued audio, from which each tick dequeues 20 ms as a frame for the caller's stream. μ-law is
//! passed on unchanged.

use std::time::Duration;

use trunkgate_agent::{AgentFormat, ClearResult, PlayedMark, PlayoutQueue, PlayoutSnapshot};
use trunkgate_resample::Resampler;

use crate::codec::g711::{CLOCK_HZ, decode_ulaw, encode_ulaw};
use crate::codec::g722;
use crate::codec::level::level;
use crate::limits::CLEAR_FADE_MOST;
use crate::playout::{FRAME_SAMPLES, PlayoutFrame, WIDE_SAMPLES};

use super::lateness::LatenessTracker;

/// Samples of a 20 ms frame at 24 kHz, the highest rate of an agent.
const SAMPLES: usize = 480;

/// Audio that one agent has sent and that is still to be played.
#[derive(Debug)]
pub(super) struct Downlink {
    playout: PlayoutQueue,
    format: AgentFormat,
    /// Whether frames are produced at 16 kHz.
    wide: bool,
    /// Resampler to the output rate; `None` if the agent sends that rate.
    down: Option<Resampler>,
    /// Fade-out time of a `clear`, in milliseconds; 0 for none.
    fade_ms: usize,
    /// Audio that fades out under the next frame, in linear samples at the agent's rate.
    fading: Vec<i16>,
    /// Whether the last tick had audio of the agent.
    speaks: bool,
    lateness: LatenessTracker,
}

/// Audio that an agent contributes in one tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct DownlinkFrame {
    /// Frame for the caller's stream.
    pub(super) said: PlayoutFrame,
    /// Bytes of the agent's audio in the frame.
    pub(super) bytes: usize,
    /// Mean absolute sample value of the frame, out of 32,768.
    pub(super) level: u16,
    /// Frames of silence played before this frame because the agent's audio was late.
    pub(super) late: u32,
    /// Whether the quiet frame before this one was removed to reduce the delay from late audio.
    pub(super) is_shortened: bool,
}

impl Downlink {
    /// Creates an empty queue for audio in this format.
    pub(super) fn new(format: AgentFormat, fade: Duration) -> Downlink {
        let fade_ms = usize::try_from(fade.min(CLEAR_FADE_MOST).as_millis()).unwrap_or(usize::MAX);
        let down = Resampler::new(format.sample_rate(), CLOCK_HZ);
        Downlink {
            playout: PlayoutQueue::new(format),
            format,
            wide: false,
            down,
            fade_ms,
            fading: Vec::new(),
            speaks: false,
            lateness: LatenessTracker::new(format.bytes_per_ms()),
        }
    }

    /// Restores a queue with its audio from a snapshot.
    pub(super) fn restore(format: AgentFormat, fade: Duration, playout: PlayoutSnapshot) -> Downlink {
        Downlink { playout: PlayoutQueue::restore(format, playout), ..Downlink::new(format, fade) }
    }

    /// Sets the output rate: 16 kHz if `wide`, otherwise 8 kHz.
    pub(super) fn set_wide(&mut self, wide: bool) {
        if wide != self.wide {
            let rate_hz = if wide { g722::RATE_HZ } else { CLOCK_HZ };
            (self.wide, self.down) = (wide, Resampler::new(self.format.sample_rate(), rate_hz));
        }
    }

    /// Returns the queued audio with its marks.
    pub(super) fn playout(&self) -> &PlayoutQueue {
        &self.playout
    }

    /// Adds audio of any length in the agent's format.
    pub(super) fn push(&mut self, audio: &[u8]) {
        self.lateness.note_arrival(audio.len());
        self.playout.push(audio);
    }

    /// Returns whether any 20 ms of `audio`, in the agent's format, have a mean level of at least `least` (out of
    /// 32,768).
    pub(super) fn is_loud(&self, audio: &[u8], least: u16) -> bool {
        let mut frames = audio.chunks(self.format.frame_bytes());
        frames.any(|frame| level(samples(frame, self.format).filled()) >= least)
    }

    /// Adds a mark after all queued audio.
    pub(super) fn mark(&mut self, name: String) {
        self.playout.mark(name);
    }

    /// Removes and returns the next mark before which all audio has been played or discarded; `None` if there is none.
    pub(super) fn poll_mark(&mut self) -> Option<PlayedMark> {
        self.playout.poll_mark()
    }

    /// Returns whether the last tick had audio or audio is queued.
    pub(super) fn is_heard(&self) -> bool {
        self.speaks || self.playout.held_bytes() > 0
    }

    /// Discards the queued audio and returns its amount and marks. Audio being played stops at once, or fades out in
    /// the next frame, which counts as played.
    pub(super) fn clear(&mut self) -> ClearResult {
        self.fading.clear();
        let wanted = if self.speaks { self.fade_ms } else { 0 };
        if wanted > 0 {
            let rest = samples(self.playout.take_ahead(wanted), self.format);
            self.fading.extend(rest.iter());
            let len = self.fading.len() as i32;
            for (sample, left) in self.fading.iter_mut().zip((0..len).rev()) {
                // The fade never raises the level.
                *sample = (i32::from(*sample) * left / len.max(1)) as i16;
            }
        } else if let Some(down) = &mut self.down {
            down.silence();
        }
        self.speaks = false;
        self.lateness.reset();
        self.playout.clear()
    }

    /// Dequeues the next 20 ms as a frame for the caller's stream; `None` if the agent is silent.
    pub(super) fn next_frame(&mut self) -> Option<DownlinkFrame> {
        let taken = self.dequeue_frame();
        let said = self.format_frame(&taken);
        self.speaks = taken.bytes > 0;
        let level = said.as_ref().map_or(0, PlayoutFrame::level);
        let late = if self.speaks {
            self.lateness.note_frame(level, self.playout.held_ms())
        } else {
            self.lateness.note_missed();
            0
        };
        let (bytes, is_shortened) = (taken.bytes, taken.removed.is_some());
        Some(DownlinkFrame { said: said?, bytes, level, late, is_shortened })
    }

    /// Dequeues the next frame, or the one after it if delay is to be removed and the next one is quiet.
    fn dequeue_frame(&mut self) -> DequeuedAudio {
        let mut taken = DequeuedAudio { audio: [0; 2 * SAMPLES], len: 0, bytes: 0, removed: None };
        let is_due = self.lateness.is_due() && self.playout.held_bytes() >= 2 * self.format.frame_bytes();
        taken.copy(self.playout.next_frame());
        if is_due {
            let first = samples(taken.audio(), self.format);
            if self.lateness.is_quiet(level(first.filled())) {
                self.lateness.note_removal();
                taken.removed = Some(first);
                taken.copy(self.playout.next_frame());
            }
        }
        taken
    }

    /// Converts a frame to the output format; `None` for silence.
    fn format_frame(&mut self, taken: &DequeuedAudio) -> Option<PlayoutFrame> {
        let rings = self.down.as_ref().is_some_and(|down| !down.is_at_rest());
        if taken.len == 0 && self.fading.is_empty() && !rings {
            return None;
        }
        if self.format == AgentFormat::Mulaw8000 && self.fading.is_empty() {
            let mut codes = *taken.audio().first_chunk::<FRAME_SAMPLES>()?;
            if let Some(removed) = &taken.removed {
                let mut linear = codes.map(decode_ulaw);
                removed.blend_into(&mut linear);
                codes = linear.map(encode_ulaw);
            }
            return Some(PlayoutFrame::Ulaw(codes));
        }
        let mut linear = samples(taken.audio(), self.format);
        if let Some(removed) = &taken.removed {
            removed.blend_into(&mut linear.all);
        }
        for (sample, faded) in linear.all.iter_mut().zip(self.fading.drain(..)) {
            *sample = sample.saturating_add(faded);
        }
        let linear = linear.all.get(..self.format.frame_samples()).unwrap_or_default();
        let mut said = [0; WIDE_SAMPLES];
        let mut places = said.iter_mut();
        let mut put = |sample| {
            if let Some(place) = places.next() {
                *place = sample;
            }
        };
        match &mut self.down {
            Some(down) => down.process(linear, put),
            None => linear.iter().for_each(|sample| put(*sample)),
        }
        let narrow = said.first_chunk::<FRAME_SAMPLES>().filter(|_| !self.wide);
        Some(narrow.map_or(PlayoutFrame::Wide(said), |said| PlayoutFrame::Linear(*said)))
    }
}

/// Audio taken from the queue in a tick.
struct DequeuedAudio {
    /// Audio in the agent's format, at most one frame.
    audio: [u8; 2 * SAMPLES],
    len: usize,
    /// Bytes removed from the queue, including a frame that is not played.
    bytes: usize,
    /// Quiet frame that was removed before `audio`.
    removed: Option<PaddedSamples>,
}

impl DequeuedAudio {
    /// Replaces the audio and adds its length to `bytes`; `None` is an empty frame.
    fn copy(&mut self, audio: Option<&[u8]>) {
        let audio = audio.unwrap_or_default();
        self.len = self.audio.len().min(audio.len());
        self.audio.iter_mut().zip(audio).for_each(|(to, from)| *to = *from);
        self.bytes += self.len;
    }

    fn audio(&self) -> &[u8] {
        self.audio.get(..self.len).unwrap_or_default()
    }
}

/// Up to one frame of linear samples, followed by silence.
struct PaddedSamples {
    all: [i16; SAMPLES],
    count: usize,
}

impl PaddedSamples {
    fn iter(&self) -> impl Iterator<Item = i16> {
        self.all.iter().take(self.count).copied()
    }

    fn filled(&self) -> &[i16] {
        self.all.get(..self.count).unwrap_or_default()
    }

    /// Cross-fades from these removed samples into the following ones over a quarter of a frame, so that there is no
    /// step.
    fn blend_into(&self, following: &mut [i16]) {
        let len = self.count as i32 / 4;
        for ((sample, removed), at) in following.iter_mut().zip(self.iter()).zip(0..len) {
            let both = i32::from(*sample) * (at + 1) + i32::from(removed) * (len - at - 1);
            *sample = (both / len) as i16;
        }
    }
}

/// Decodes an agent's audio; linear samples are little-endian (unlike RFC 3551).
fn samples(audio: &[u8], format: AgentFormat) -> PaddedSamples {
    let mut samples = PaddedSamples { all: [0; SAMPLES], count: 0 };
    let places = samples.all.iter_mut();
    samples.count = match format {
        AgentFormat::Mulaw8000 => places.zip(audio).map(|(to, code)| *to = decode_ulaw(*code)).count(),
        AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => {
            let pairs = audio.as_chunks().0;
            places.zip(pairs).map(|(to, pair)| *to = i16::from_le_bytes(*pair)).count()
        }
    };
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::g711::encode_ulaw;

    const FADE: Duration = Duration::from_millis(10);

    fn bytes(samples: impl IntoIterator<Item = i16>, format: AgentFormat) -> Vec<u8> {
        let bytes = |sample: i16| match format {
            AgentFormat::Mulaw8000 => vec![encode_ulaw(sample)],
            AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => {
                sample.to_le_bytes().to_vec()
            }
        };
        samples.into_iter().flat_map(bytes).collect()
    }

    /// Returns the samples that the caller's phone plays for a tick.
    fn heard(speaking: &mut Downlink) -> Vec<i16> {
        match speaking.next_frame().map(|frame| frame.said) {
            None => vec![0; 160],
            Some(PlayoutFrame::Ulaw(codes)) => codes.iter().map(|code| decode_ulaw(*code)).collect(),
            Some(PlayoutFrame::Linear(samples)) => samples.to_vec(),
            Some(PlayoutFrame::Wide(samples)) => samples.to_vec(),
        }
    }

    #[test]
    fn mulaw_leaves_byte_for_byte() {
        let mut speaking = Downlink::new(AgentFormat::Mulaw8000, FADE);
        // Both zeros of μ-law.
        let codes: Vec<u8> = (0..=255).chain([0x7f; 64]).collect();
        speaking.push(&codes);
        for frame in codes.chunks(160) {
            let left = speaking.next_frame().unwrap();
            assert!(matches!(left.said, PlayoutFrame::Ulaw(codes) if codes == frame), "{left:?}");
            assert_eq!(left.bytes, 160);
        }
        assert!(speaking.next_frame().is_none());
    }

    #[test]
    fn linear_at_8_khz_leaves_as_it_is() {
        let mut speaking = Downlink::new(AgentFormat::L16Rate8000, Duration::ZERO);
        let samples: Vec<i16> = (-80..80).map(|n| n * 400).collect();
        speaking.push(&bytes(samples.iter().copied(), AgentFormat::L16Rate8000));
        assert_eq!(heard(&mut speaking), samples);
        assert!(speaking.next_frame().is_none());
    }

    /// The remaining samples in the filter are played when the agent stops.
    #[test]
    fn the_last_samples_of_wide_audio_are_heard() {
        for format in [AgentFormat::L16Rate16000, AgentFormat::L16Rate24000] {
            let mut speaking = Downlink::new(format, Duration::ZERO);
            let (samples, rate) = (format.frame_samples(), format.sample_rate() as usize);
            speaking.push(&bytes(std::iter::repeat_n(10_000, samples), format));
            speaking.mark("end".to_owned());
            let first = heard(&mut speaking);
            assert!(speaking.poll_mark().is_some(), "not a tick later");
            let second = heard(&mut speaking);
            let sum: i32 = first.iter().chain(&second).map(|sample| i32::from(*sample)).sum();
            assert!((sum - 160 * 10_000).abs() < 2000, "{rate}: {sum}");
            assert!(second[..12].iter().any(|sample| *sample > 5000) && second[30..].iter().all(|sample| *sample == 0));
            assert!(speaking.next_frame().is_none(), "{rate}");
        }
    }

    #[test]
    fn a_removed_frame_is_blended_into_the_next_without_a_step() {
        for format in AgentFormat::ALL {
            let frame =
                |sample: i16| samples(&bytes(std::iter::repeat_n(sample, format.frame_samples()), format), format);
            let (removed, mut following) = (frame(-800), frame(800));
            let (from, to) = (removed.all[0], following.all[0]);
            removed.blend_into(&mut following.all);
            let blended = format.frame_samples() / 4;
            let heard = following.filled();
            assert!((heard[0] - from).abs() <= 60, "{}: {heard:?}", format.name());
            assert!(heard[..blended].windows(2).all(|pair| (0..60).contains(&(pair[1] - pair[0]))), "{heard:?}");
            assert!(heard[blended - 1..].iter().all(|sample| *sample == to), "{heard:?}");
        }
    }

    #[test]
    fn a_clear_is_silence_at_the_next_tick() {
        for format in AgentFormat::ALL {
            let mut speaking = Downlink::new(format, Duration::ZERO);
            speaking.push(&bytes(std::iter::repeat_n(10_000, 3 * format.frame_samples()), format));
            assert!(speaking.next_frame().is_some() && speaking.is_heard());
            assert_eq!(speaking.clear(), ClearResult { played_ms: 20, dropped_ms: 40 });
            assert!(speaking.next_frame().is_none() && !speaking.is_heard(), "{}", format.name());
        }
    }

    /// The level falls from full to zero in 10 ms, then silence.
    #[test]
    fn a_clear_fades_out() {
        for format in AgentFormat::ALL {
            let mut speaking = Downlink::new(format, FADE);
            speaking.push(&bytes(std::iter::repeat_n(10_000, 3 * format.frame_samples()), format));
            assert!(speaking.next_frame().is_some());
            assert_eq!(speaking.clear(), ClearResult { played_ms: 30, dropped_ms: 30 });
            let faded = heard(&mut speaking);
            // Delay of the filter, and its error at the edges.
            let from = if format.sample_rate() > 8000 { 24 } else { 0 };
            assert!(faded[from] > 6500, "{}: {faded:?}", format.name());
            assert!(faded[from..].windows(2).all(|pair| pair[1] <= pair[0] + 200), "{}: {faded:?}", format.name());
            assert!(faded[80 + from..].iter().all(|sample| sample.abs() <= 8), "{}: {faded:?}", format.name());
            assert!(heard(&mut speaking).iter().all(|sample| *sample == 0));
        }
    }

    /// New audio after a clear is played at once, mixed with the fading rest.
    #[test]
    fn what_is_said_next_is_heard_over_what_fades() {
        let mut speaking = Downlink::new(AgentFormat::L16Rate8000, FADE);
        speaking.push(&bytes(std::iter::repeat_n(8000, 480), AgentFormat::L16Rate8000));
        assert!(speaking.next_frame().is_some());
        speaking.clear();
        speaking.push(&bytes(std::iter::repeat_n(-2000, 160), AgentFormat::L16Rate8000));
        let both = heard(&mut speaking);
        assert!(both[0] > 5500 && both[80..].iter().all(|sample| *sample == -2000), "{both:?}");
    }

    #[test]
    fn what_was_not_being_said_does_not_fade() {
        let mut speaking = Downlink::new(AgentFormat::Mulaw8000, FADE);
        speaking.push(&[1; 480]);
        assert_eq!(speaking.clear(), ClearResult { played_ms: 0, dropped_ms: 60 });
        assert!(speaking.next_frame().is_none());
    }
}
