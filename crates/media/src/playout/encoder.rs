//! Encoder of the edge's own stream to a remote party that has neither PCMU nor PCMA; it goes on over every change
//! of its feeder.

use trunkgate_resample::Resampler;

use crate::codec::g711::CLOCK_HZ;
use crate::codec::{Coding, Encoding, g722};

use super::frame::{Frame, Linear, WIDE_SAMPLES, Wide};

/// Samples per second of wide-band audio.
const WIDE_HZ: u32 = g722::RATE_HZ;

/// One stream's encoder.
#[derive(Debug)]
pub(crate) struct FrameEncoder {
    coding: Coding,
    encoding: Encoding,
    /// From 8 kHz; none where the encoder itself takes that.
    up: Option<Resampler>,
}

impl FrameEncoder {
    /// Creates an encoder for `coding`, `wide` where the feeder has more than 4 kHz; `None` for G.711, which needs
    /// none.
    pub(crate) fn new(coding: Coding, wide: bool) -> Option<FrameEncoder> {
        let rate_hz = match coding {
            Coding::Pcmu | Coding::Pcma | Coding::Linear(_) => return None,
            Coding::G722 => WIDE_HZ,
            Coding::Opus(_) if wide => WIDE_HZ,
            Coding::Opus(_) => CLOCK_HZ,
        };
        Some(FrameEncoder { coding, encoding: Encoding::new(coding, rate_hz)?, up: Resampler::new(CLOCK_HZ, rate_hz) })
    }

    /// Whether it is of use for this audio as well.
    pub(crate) fn suits(&self, coding: Coding, wide: bool) -> bool {
        self.coding == coding && (self.up.is_some() || !wide)
    }

    /// Returns an encoder that goes on from here; see [`Encoding::twin`].
    pub(crate) fn twin(&self) -> Option<Encoding> {
        self.encoding.twin()
    }

    /// Codes on from where another one of the same codec stood.
    pub(crate) fn go_on_from(&mut self, twin: Encoding) {
        if self.coding == Coding::G722 {
            self.encoding = twin;
        }
    }

    /// Whether the next frame is a key's tone.
    pub(crate) fn set_tone(&mut self, tone: bool) {
        self.encoding.set_tone(tone);
    }

    /// A frame's payload; how many bytes, 0 where nothing need be sent.
    pub(crate) fn encode(&mut self, said: &Frame, payload: &mut [u8]) -> usize {
        match (said, self.up.is_some()) {
            (Frame::Wide(samples), true) => self.encoding.encode(samples, payload),
            (Frame::Ulaw(_) | Frame::Linear(_), true) => {
                let samples = self.widen(&said.linear());
                self.encoding.encode(&samples, payload)
            }
            (_, false) => self.encoding.encode(&said.linear(), payload),
        }
    }

    /// The next frame of what is said at 8 kHz, at 16 kHz.
    pub(crate) fn widen(&mut self, narrow: &Linear) -> Wide {
        let mut wide = [0; WIDE_SAMPLES];
        let mut places = wide.iter_mut();
        let put = |sample| {
            if let Some(place) = places.next() {
                *place = sample;
            }
        };
        if let Some(up) = &mut self.up {
            up.process(narrow, put);
        }
        wide
    }
}
