//! Player of a session: ringback tone, samples played once, or hold audio in a loop.

use std::sync::Arc;

use crate::codec::g711::{ULAW_SILENCE, encode_ulaw, ulaw_rule};
use crate::spec::{EndId, HoldSound, PlayerSound};

use super::fade::fade_in;
use super::feed::Feed;
use super::frame::{FRAME_SAMPLES, PlayoutFrame, UlawFrame};

/// Samples after which 440 Hz and 480 Hz repeat together: 25 ms.
const PERIOD: usize = 200;
/// Duration of a tone burst: 2 s.
const TONE_SAMPLES: usize = 16_000;
/// Duration of the cadence: 6 s.
const CADENCE_SAMPLES: usize = 48_000;
/// Peak of each frequency: −20 dBm0; 0 dBm0 has a peak of 22,660 (G.711 §4: 3.17 dBm0 is full scale, 32,636).
const PEAK: f64 = 2266.0;

static TONE: [u8; PERIOD] = tone();

/// Computes one period of the ringback tone by the recurrence s(n+1) = 2 cos(step) · s(n) − s(n−1).
const fn tone() -> [u8; PERIOD] {
    // Sine and cosine of 2π·440/8000 and 2π·480/8000.
    let (low, high) = (0.940_880_768_954_225_5, 0.929_776_485_888_251_5);
    let mut samples = [0; PERIOD];
    let (mut one, mut one_before) = (0.0, -0.338_737_920_245_291_4 * PEAK);
    let (mut two, mut two_before) = (0.0, -0.368_124_552_684_677_9 * PEAK);
    let mut at = 0;
    while at < PERIOD {
        samples[at] = (one + two) as i16;
        (one, one_before) = (2.0 * low * one - one_before, one);
        (two, two_before) = (2.0 * high * two - two_before, two);
        at += 1;
    }
    let mut codes = [ULAW_SILENCE; PERIOD];
    let mut at = 0;
    while at < PERIOD {
        codes[at] = ulaw_rule(samples[at]);
        at += 1;
    }
    codes
}

/// Returns the μ-law code of the ringback tone at this sample of a burst.
pub fn ringback(sample: usize) -> u8 {
    TONE.get(sample % PERIOD).copied().unwrap_or(ULAW_SILENCE)
}

/// Player of one sound; plays while it is wired to an end.
#[derive(Debug)]
pub(super) struct Player {
    /// Id of the player among the ends of the session.
    pub(super) id: EndId,
    /// Wire to the end that the player feeds; `None` while it feeds none.
    pub(super) wire: Option<Feed>,
    source: PlayerSource,
    /// Samples played: of ringback within the cadence, of hold audio within the loop.
    at: usize,
    /// Whether the next frame is the first of hold audio, which is faded in.
    rises: bool,
}

#[derive(Debug)]
enum PlayerSource {
    Ringback,
    Once(Arc<[u8]>),
    First(Arc<[u8]>, Option<Arc<[u8]>>),
    Again(Arc<[u8]>),
    Silence,
}

/// Returns a source that repeats the music; the ringback tone without music.
fn again(music: Option<Arc<[u8]>>) -> PlayerSource {
    music.filter(|samples| !samples.is_empty()).map_or(PlayerSource::Ringback, PlayerSource::Again)
}

impl Player {
    /// Creates a player at the beginning of its sound.
    pub(super) fn new(id: EndId, sound: PlayerSound) -> Player {
        let source = match sound {
            PlayerSound::Ringback => PlayerSource::Ringback,
            PlayerSound::Once(samples) => PlayerSource::Once(samples),
            PlayerSound::Silence => PlayerSource::Silence,
            PlayerSound::Hold(HoldSound { first: Some(first), music }) => PlayerSource::First(first, music),
            PlayerSound::Hold(HoldSound { first: None, music }) => again(music),
        };
        let rises = matches!(source, PlayerSource::First(..) | PlayerSource::Again(_));
        Player { id, wire: None, source, at: 0, rises }
    }

    /// Plays another sound from its beginning.
    pub(super) fn play_instead(&mut self, sound: PlayerSound) {
        let Player { source, at, rises, .. } = Player::new(self.id, sound);
        (self.source, self.at, self.rises) = (source, at, rises);
    }

    /// Returns the position in the sound in samples, also of a sound that has ended; `None` for ringback and without a
    /// sound.
    pub(super) fn position(&self) -> Option<usize> {
        match self.source {
            PlayerSource::Once(_) | PlayerSource::Again(_) => Some(self.at),
            PlayerSource::Silence => Some(self.at).filter(|at| *at > 0),
            PlayerSource::Ringback | PlayerSource::First(..) => None,
        }
    }

    /// Continues the sound at a position.
    pub(super) fn move_to(&mut self, position: usize) {
        match &self.source {
            PlayerSource::Once(samples) => self.at = position.min(samples.len()),
            PlayerSource::Again(samples) => (self.at, self.rises) = (position % samples.len(), false),
            PlayerSource::Ringback | PlayerSource::First(..) | PlayerSource::Silence => {}
        }
    }

    /// Returns whether the player has nothing to play.
    pub(super) const fn is_silent(&self) -> bool {
        matches!(self.source, PlayerSource::Silence)
    }

    /// Writes the next 20 ms into a frame that is silent so far; returns whether the sound ends with it.
    pub(super) fn next_frame(&mut self, frame: &mut UlawFrame) -> bool {
        let ended = self.play(frame);
        if std::mem::take(&mut self.rises) {
            let mut linear = PlayoutFrame::Ulaw(*frame).linear();
            fade_in(&mut linear);
            *frame = linear.map(encode_ulaw);
        }
        ended
    }

    fn play(&mut self, frame: &mut UlawFrame) -> bool {
        match &self.source {
            PlayerSource::Ringback => {
                if self.at < TONE_SAMPLES {
                    let tone = TONE.iter().cycle().skip(self.at % PERIOD);
                    frame.iter_mut().zip(tone).for_each(|(to, from)| *to = *from);
                }
                self.at = (self.at + FRAME_SAMPLES) % CADENCE_SAMPLES;
                false
            }
            PlayerSource::Once(samples) => {
                let rest = samples.get(self.at..).unwrap_or_default();
                frame.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                self.at += FRAME_SAMPLES;
                let ended = self.at >= samples.len();
                if ended {
                    self.source = PlayerSource::Silence;
                }
                ended
            }
            PlayerSource::First(samples, music) => {
                let rest = samples.get(self.at..).unwrap_or_default();
                frame.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                self.at += FRAME_SAMPLES;
                if self.at >= samples.len() {
                    (self.source, self.at) = (again(music.clone()), 0);
                }
                false
            }
            PlayerSource::Again(samples) => {
                let endless = samples.iter().cycle().skip(self.at);
                frame.iter_mut().zip(endless).for_each(|(to, from)| *to = *from);
                self.at = (self.at + FRAME_SAMPLES) % samples.len();
                false
            }
            PlayerSource::Silence => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::g711::decode_ulaw;
    use crate::playout::frame::SILENT;

    /// Returns the level of one frequency, in dBm0.
    fn level(codes: &[u8], hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, code) in codes.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / 8000.0;
            re += f64::from(decode_ulaw(*code)) * angle.cos();
            im += f64::from(decode_ulaw(*code)) * angle.sin();
        }
        20.0 * (2.0 * re.hypot(im) / codes.len() as f64 / 22_660.0).log10()
    }

    #[test]
    fn ringback_is_two_tones_two_seconds_on_and_four_off() {
        let mut player = Player::new(EndId(1), PlayerSound::Ringback);
        let mut heard = Vec::new();
        for _ in 0..600 {
            let mut frame = SILENT;
            assert!(!player.next_frame(&mut frame));
            heard.extend_from_slice(&frame);
        }
        for start in [0, 48_000] {
            let tone = &heard[start..start + 16_000];
            for hz in [440.0, 480.0] {
                assert!((level(tone, hz) + 20.0).abs() < 0.1, "{}", level(tone, hz));
            }
            assert!(level(tone, 460.0) < -60.0);
            assert!(heard[start + 16_000..start + 48_000].iter().all(|code| *code == ULAW_SILENCE));
        }
    }

    fn heard(sound: HoldSound, frames: usize) -> Vec<u8> {
        let mut player = Player::new(EndId(1), PlayerSound::Hold(sound));
        let mut heard = Vec::new();
        for _ in 0..frames {
            let mut frame = SILENT;
            assert!(!player.next_frame(&mut frame));
            heard.extend_from_slice(&frame);
        }
        heard
    }

    #[test]
    fn music_goes_on_from_its_last_sample_with_its_first() {
        for length in [1_usize, 7, 159, 160, 161, 1000] {
            let music: Arc<[u8]> = (0..length).map(|n| (n % 127) as u8).collect();
            let heard = heard(HoldSound { first: None, music: Some(music.clone()) }, 50);
            // The first frame is faded in.
            let expected = music.iter().copied().cycle().take(heard.len());
            assert!(heard.iter().copied().zip(expected).skip(FRAME_SAMPLES).all(|(a, b)| a == b), "{length}");
        }
    }

    #[test]
    fn what_comes_first_is_heard_once_and_then_the_music_or_the_ringback_tone() {
        let first: Arc<[u8]> = vec![0x10; 330].into();
        let music: Arc<[u8]> = vec![0x20; 50].into();
        let both = heard(HoldSound { first: Some(first.clone()), music: Some(music) }, 5);
        assert!(both[160..330].iter().all(|code| *code == 0x10));
        assert!(both[330..480].iter().all(|code| *code == ULAW_SILENCE), "to the end of its frame");
        assert!(both[480..].iter().all(|code| *code == 0x20));
        for music in [None, Some(Arc::from([]))] {
            let toned = heard(HoldSound { first: Some(first.clone()), music }, 103);
            assert!((level(&toned[480..480 + 16_000], 440.0) + 20.0).abs() < 0.1);
        }
        let empty = heard(HoldSound { first: Some(Arc::from([])), music: Some(first) }, 2);
        assert!(empty[..160].iter().all(|code| *code == ULAW_SILENCE) && empty[160..].iter().all(|c| *c == 0x10));
    }

    #[test]
    fn once_is_heard_to_its_end() {
        for (samples, frames) in [(0, 1), (1, 1), (160, 1), (161, 2), (400, 3)] {
            let sound: Vec<u8> = (0..samples).map(|n| (n % 100) as u8).collect();
            let mut player = Player::new(EndId(1), PlayerSound::Once(sound.as_slice().into()));
            let mut heard = Vec::new();
            for n in 1..=frames {
                let mut frame = SILENT;
                assert_eq!(player.next_frame(&mut frame), n == frames, "{samples}");
                heard.extend_from_slice(&frame);
            }
            assert_eq!(heard[..samples], sound);
            assert!(heard[samples..].iter().all(|code| *code == ULAW_SILENCE));
            let mut frame = SILENT;
            assert!(!player.next_frame(&mut frame));
            assert_eq!(frame, SILENT);
        }
    }
}
