//! Frames of 20 ms, as agents and players make them.

use crate::codec::g711::{ULAW_SILENCE, decode_ulaw};
use crate::codec::level::{level, ulaw_level};

use super::fade::fade_out;

/// Samples of a frame of 20 ms.
pub(crate) const FRAME_SAMPLES: usize = 160;
/// Samples of one at 16 kHz.
pub(crate) const WIDE_SAMPLES: usize = 2 * FRAME_SAMPLES;

/// One frame, μ-law.
pub(crate) type Ulaw = [u8; FRAME_SAMPLES];

/// One frame of who feeds the stream, before it is coded as the far side has it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation every 20 ms")]
pub(crate) enum Frame {
    /// μ-law.
    Ulaw(Ulaw),
    /// Linear.
    Linear(Linear),
    /// Linear, at 16 kHz.
    Wide(Wide),
}

/// One frame, linear.
pub(crate) type Linear = [i16; FRAME_SAMPLES];
/// One frame at 16 kHz, linear.
pub(crate) type Wide = [i16; WIDE_SAMPLES];

/// A frame of silence.
pub(crate) const SILENT: Ulaw = [ULAW_SILENCE; FRAME_SAMPLES];

impl Frame {
    /// Returns its level.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Frame::Ulaw(codes) => ulaw_level(codes),
            Frame::Linear(samples) => level(samples),
            Frame::Wide(samples) => level(samples),
        }
    }

    /// As linear samples at 8 kHz; of more, only what a codec that changes meanwhile leaves to be heard.
    pub(crate) fn linear(&self) -> Linear {
        match self {
            Frame::Ulaw(codes) => codes.map(decode_ulaw),
            Frame::Linear(samples) => *samples,
            Frame::Wide(samples) => {
                let mut narrow = [0; FRAME_SAMPLES];
                narrow.iter_mut().zip(samples.as_chunks().0).for_each(|(to, [one, other])| *to = one.midpoint(*other));
                narrow
            }
        }
    }

    /// Faded out.
    pub(crate) fn faded_out(self) -> Frame {
        match self {
            Frame::Ulaw(_) | Frame::Linear(_) => {
                let mut samples = self.linear();
                fade_out(&mut samples);
                Frame::Linear(samples)
            }
            Frame::Wide(mut samples) => {
                fade_out(&mut samples);
                Frame::Wide(samples)
            }
        }
    }

    /// Whether nothing is heard of it.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Frame::Ulaw(codes) => codes.iter().all(|code| decode_ulaw(*code) == 0),
            Frame::Linear(samples) => *samples == [0; FRAME_SAMPLES],
            Frame::Wide(samples) => *samples == [0; WIDE_SAMPLES],
        }
    }
}
