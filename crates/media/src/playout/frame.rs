//! Frames of 20 ms, as agents and players make them.

use crate::codec::g711::{ULAW_SILENCE, decode_ulaw};
use crate::codec::level::{level, ulaw_level};

use super::fade::fade_out;

/// Samples of a frame of 20 ms.
pub(crate) const FRAME_SAMPLES: usize = 160;
/// Samples of a frame of 20 ms at 16 kHz.
pub(crate) const WIDE_SAMPLES: usize = 2 * FRAME_SAMPLES;

/// Frame in μ-law at 8 kHz.
pub(crate) type Ulaw = [u8; FRAME_SAMPLES];

/// Frame of a feeder, before it is encoded for the remote party.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation every 20 ms")]
pub(crate) enum Frame {
    /// μ-law at 8 kHz.
    Ulaw(Ulaw),
    /// Linear at 8 kHz.
    Linear(Linear),
    /// Linear at 16 kHz.
    Wide(Wide),
}

/// Linear frame at 8 kHz.
pub(crate) type Linear = [i16; FRAME_SAMPLES];
/// Linear frame at 16 kHz.
pub(crate) type Wide = [i16; WIDE_SAMPLES];

/// A frame of silence.
pub(crate) const SILENT: Ulaw = [ULAW_SILENCE; FRAME_SAMPLES];

impl Frame {
    /// Returns the frame's level.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Frame::Ulaw(codes) => ulaw_level(codes),
            Frame::Linear(samples) => level(samples),
            Frame::Wide(samples) => level(samples),
        }
    }

    /// Converts to linear samples at 8 kHz. Wide-band frames are averaged in pairs without a filter; they occur here
    /// only during a codec change.
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

    /// Returns the frame, faded out.
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

    /// Returns whether all samples are zero.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Frame::Ulaw(codes) => codes.iter().all(|code| decode_ulaw(*code) == 0),
            Frame::Linear(samples) => *samples == [0; FRAME_SAMPLES],
            Frame::Wide(samples) => *samples == [0; WIDE_SAMPLES],
        }
    }
}
