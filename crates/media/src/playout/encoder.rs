//! Encoder of the edge's own stream to a remote party without PCMU and PCMA; its state continues over every change of
//! the feeder.

use trunkgate_resample::Resampler;

use crate::codec::g711::CLOCK_HZ;
use crate::codec::{Coding, Encoding, g722};

use super::frame::{Frame, Linear, WIDE_SAMPLES, Wide};

/// Sampling rate of wide-band audio, in Hz.
const WIDE_HZ: u32 = g722::RATE_HZ;

/// Encoder of one stream.
#[derive(Debug)]
pub(crate) struct FrameEncoder {
    coding: Coding,
    encoding: Encoding,
    /// Resampler from 8 kHz; `None` if the encoder takes 8 kHz.
    up: Option<Resampler>,
}

impl FrameEncoder {
    /// Creates an encoder for `coding`; `wide` if the feeder has audio above 4 kHz. Returns `None` for G.711, which
    /// needs no encoder.
    pub(crate) fn new(coding: Coding, wide: bool) -> Option<FrameEncoder> {
        let rate_hz = match coding {
            Coding::Pcmu | Coding::Pcma | Coding::Linear(_) => return None,
            Coding::G722 => WIDE_HZ,
            Coding::Opus(_) if wide => WIDE_HZ,
            Coding::Opus(_) => CLOCK_HZ,
        };
        Some(FrameEncoder { coding, encoding: Encoding::new(coding, rate_hz)?, up: Resampler::new(CLOCK_HZ, rate_hz) })
    }

    /// Returns whether the encoder can be kept for this audio.
    pub(crate) fn suits(&self, coding: Coding, wide: bool) -> bool {
        self.coding == coding && (self.up.is_some() || !wide)
    }

    /// Returns an encoder that continues from the current state; see [`Encoding::twin`].
    pub(crate) fn twin(&self) -> Option<Encoding> {
        self.encoding.twin()
    }

    /// Continues from the state of another encoder of the same codec.
    pub(crate) fn go_on_from(&mut self, twin: Encoding) {
        if self.coding == Coding::G722 {
            self.encoding = twin;
        }
    }

    /// Sets whether the next frame is a DTMF tone.
    pub(crate) fn set_tone(&mut self, tone: bool) {
        self.encoding.set_tone(tone);
    }

    /// Encodes a frame and returns the number of payload bytes; 0 if the frame need not be sent.
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

    /// Converts the next frame from 8 kHz to 16 kHz.
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
