//! Clips that a mixer plays: announcements, beeps, music.

use std::sync::Arc;

use super::conversion::RateConversion;
use super::level::factor;
use super::party::PartyId;
use super::rate::{FRAME_MOST, SamplingRate};
use super::strip::MixInput;

/// Audio of a clip: linear samples at 8 kHz.
pub type Clip = Arc<[i16]>;

/// Id of a clip that a mixer plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceId(pub(super) u64);

/// Parties that hear a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All parties that hear the conference.
    All,
    /// A single party, even if it does not hear the conference.
    One(PartyId),
}

/// Gain of a clip relative to voices: 0 dB, unchanged.
const GAIN_DB: f32 = 0.0;

/// Playing clip.
#[derive(Debug)]
pub(super) struct PlayingClip {
    pub(super) id: SourceId,
    pub(super) audience: Audience,
    clip: Clip,
    at: usize,
    is_repeated: bool,
    is_stopped: bool,
    conversion: RateConversion,
    pub(super) strip: MixInput,
}

impl PlayingClip {
    pub(super) fn new(
        id: SourceId,
        audience: Audience,
        clip: Clip,
        is_repeated: bool,
        mixed_at: SamplingRate,
    ) -> PlayingClip {
        PlayingClip {
            id,
            audience,
            clip,
            at: 0,
            is_repeated,
            is_stopped: false,
            conversion: SamplingRate::Narrow.to(mixed_at),
            strip: MixInput::new(),
        }
    }

    pub(super) fn retune(&mut self, mixed_at: SamplingRate) {
        self.conversion = SamplingRate::Narrow.to(mixed_at);
        self.strip.clear();
    }

    /// Lets the clip fade out in the next frame.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Produces the clip's frame of a tick; returns whether the clip is still audible.
    pub(super) fn advance(&mut self, mixed_at: SamplingRate) -> bool {
        let mut frame = [0; SamplingRate::Narrow.frame()];
        let is_played = self.clip.is_empty() || (!self.is_repeated && self.at >= self.clip.len());
        let is_over = is_played || (self.is_stopped && self.strip.gain() == 0.0);
        if !is_over {
            self.read(&mut frame);
        }
        let gain = if is_over || self.is_stopped { 0.0 } else { factor(GAIN_DB) };
        let (was, gain) = self.strip.ramp(gain, is_over);
        apply(&mut frame, was, gain);
        let mut mixed = [0; FRAME_MOST];
        let mixed = mixed.get_mut(..mixed_at.frame()).unwrap_or_default();
        if is_over && self.conversion.is_at_rest() {
            self.strip.push_silence(mixed_at);
        } else {
            self.conversion.run(&frame, mixed);
            self.strip.push(mixed, mixed_at);
        }
        !is_over || self.strip.is_live() || !self.conversion.is_at_rest()
    }

    fn read(&mut self, frame: &mut [i16]) {
        for sample in frame {
            if self.at >= self.clip.len() && self.is_repeated {
                self.at = 0;
            }
            *sample = self.clip.get(self.at).copied().unwrap_or(0);
            self.at += 1;
        }
    }
}

/// Applies a gain that changes linearly over the frame, or within 2.5 ms from zero, so that no syllable is cut.
pub(super) fn apply(frame: &mut [i16], was: f32, gain: f32) {
    if was == 1.0 && gain == 1.0 {
        return;
    }
    let ramp = if was == 0.0 { frame.len() / 8 } else { frame.len() };
    let step = (gain - was) / ramp.max(1) as f32;
    for (at, sample) in frame.iter_mut().enumerate() {
        let gain = if at < ramp { was + step * (at + 1) as f32 } else { gain };
        // The conversion saturates at full scale.
        *sample = (f32::from(*sample) * gain) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_changes_in_a_straight_line() {
        let mut frame = [10_000; 160];
        apply(&mut frame, 1.0, 0.0);
        assert!(frame.windows(2).all(|pair| (0..=63).contains(&(pair[0] - pair[1]))) && frame[159] == 0);
        let mut frame = [10_000; 160];
        apply(&mut frame, 0.0, 2.0);
        assert_eq!((frame[0], frame[19], frame[20], frame[159]), (1000, 20_000, 20_000, 20_000));
        let mut frame = [30_000; 160];
        apply(&mut frame, 2.0, 2.0);
        assert_eq!(frame, [i16::MAX; 160]);
    }

    #[test]
    fn a_clip_ends_and_a_repeated_one_does_not() {
        let source = |is_repeated| {
            PlayingClip::new(SourceId(1), Audience::All, vec![1000; 400].into(), is_repeated, SamplingRate::Narrow)
        };
        let mut once = source(false);
        let frames = (0..20).take_while(|_| once.advance(SamplingRate::Narrow)).count();
        assert!((3..=5).contains(&frames), "{frames}");
        let mut repeated = source(true);
        assert!((0..500).all(|_| repeated.advance(SamplingRate::Narrow)));
        repeated.stop();
        let frames = (0..20).take_while(|_| repeated.advance(SamplingRate::Narrow)).count();
        assert!((1..=3).contains(&frames), "{frames}");
    }

    #[test]
    fn an_empty_clip_is_over_at_once() {
        for is_repeated in [false, true] {
            let mut source =
                PlayingClip::new(SourceId(1), Audience::All, Arc::new([]), is_repeated, SamplingRate::Full);
            assert!(!source.advance(SamplingRate::Full) && !source.strip.is_live());
        }
    }
}
