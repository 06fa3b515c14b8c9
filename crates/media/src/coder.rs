//! What the edge itself says to a far side that speaks neither PCMU nor PCMA: its encoder, which goes on over every change
//! of who speaks.

use crate::codec::g722;
use crate::resample::Resampler;
use crate::transcode::{Coding, Encoding};
use crate::voice::{CLOCK_HZ, Linear, Said, WIDE_SAMPLES, Wide};

/// Samples per second of wide-band audio.
const WIDE_HZ: u32 = g722::RATE_HZ;

/// One stream's encoder.
#[derive(Debug)]
pub(crate) struct Coder {
    coding: Coding,
    encoding: Encoding,
    /// From 8 kHz; none where the encoder itself takes that.
    up: Option<Resampler>,
}

impl Coder {
    /// Of audio for `coding`, `wide` where somebody says more than 4 kHz of it; `None` for G.711, which needs none.
    pub(crate) fn new(coding: Coding, wide: bool) -> Option<Coder> {
        let rate_hz = match coding {
            Coding::Pcmu | Coding::Pcma | Coding::Linear(_) => return None,
            Coding::G722 => WIDE_HZ,
            Coding::Opus(_) if wide => WIDE_HZ,
            Coding::Opus(_) => CLOCK_HZ,
        };
        Some(Coder { coding, encoding: Encoding::new(coding, rate_hz)?, up: Resampler::new(CLOCK_HZ, rate_hz) })
    }
    /// Whether it is of use for this audio as well.
    pub(crate) fn suits(&self, coding: Coding, wide: bool) -> bool {
        self.coding == coding && (self.up.is_some() || !wide)
    }
    /// What codes on from where this stands; see [`Encoding::twin`].
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
    pub(crate) fn encode(&mut self, said: &Said, payload: &mut [u8]) -> usize {
        match (said, self.up.is_some()) {
            (Said::Wide(samples), true) => self.encoding.encode(samples, payload),
            (Said::Ulaw(_) | Said::Linear(_), true) => {
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
