//! Frames of 20 ms of audio from agents and players.

use crate::codec::g711::{ULAW_SILENCE, decode_ulaw};
use crate::codec::level::{level, ulaw_level};

use super::fade::fade_out;

/// Samples of a frame of 20 ms at 8 kHz.
pub(crate) const FRAME_SAMPLES: usize = 160;
/// Samples of a frame of 20 ms at 16 kHz.
pub(crate) const WIDE_SAMPLES: usize = 2 * FRAME_SAMPLES;

/// Frame in μ-law at 8 kHz.
pub(crate) type UlawFrame = [u8; FRAME_SAMPLES];

/// Frame of an agent or a player, before it is encoded for the remote party.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation every 20 ms")]
pub(crate) enum PlayoutFrame {
    /// Frame in μ-law at 8 kHz.
    Ulaw(UlawFrame),
    /// Frame of linear samples at 8 kHz.
    Linear(LinearFrame),
    /// Frame of linear samples at 16 kHz.
    Wide(WideFrame),
}

/// Frame of linear samples at 8 kHz.
pub(crate) type LinearFrame = [i16; FRAME_SAMPLES];
/// Frame of linear samples at 16 kHz.
pub(crate) type WideFrame = [i16; WIDE_SAMPLES];

/// Frame of μ-law silence.
pub(crate) const SILENT: UlawFrame = [ULAW_SILENCE; FRAME_SAMPLES];

impl PlayoutFrame {
    /// Returns the mean absolute sample value of the frame, out of 32,768.
    pub(crate) fn level(&self) -> u16 {
        match self {
            PlayoutFrame::Ulaw(codes) => ulaw_level(codes),
            PlayoutFrame::Linear(samples) => level(samples),
            PlayoutFrame::Wide(samples) => level(samples),
        }
    }

    /// Converts to linear samples at 8 kHz. Wide-band frames are averaged in pairs without a filter; they occur here
    /// only during a codec change.
    pub(crate) fn linear(&self) -> LinearFrame {
        match self {
            PlayoutFrame::Ulaw(codes) => codes.map(decode_ulaw),
            PlayoutFrame::Linear(samples) => *samples,
            PlayoutFrame::Wide(samples) => {
                let mut narrow = [0; FRAME_SAMPLES];
                narrow.iter_mut().zip(samples.as_chunks().0).for_each(|(to, [one, other])| *to = one.midpoint(*other));
                narrow
            }
        }
    }

    /// Returns the frame with a fade from full level to silence.
    pub(crate) fn faded_out(self) -> PlayoutFrame {
        match self {
            PlayoutFrame::Ulaw(_) | PlayoutFrame::Linear(_) => {
                let mut samples = self.linear();
                fade_out(&mut samples);
                PlayoutFrame::Linear(samples)
            }
            PlayoutFrame::Wide(mut samples) => {
                fade_out(&mut samples);
                PlayoutFrame::Wide(samples)
            }
        }
    }

    /// Returns whether all samples are zero.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            PlayoutFrame::Ulaw(codes) => codes.iter().all(|code| decode_ulaw(*code) == 0),
            PlayoutFrame::Linear(samples) => *samples == [0; FRAME_SAMPLES],
            PlayoutFrame::Wide(samples) => *samples == [0; WIDE_SAMPLES],
        }
    }
}
