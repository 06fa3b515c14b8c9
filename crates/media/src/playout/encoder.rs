//! Encoder of the stream that the edge generates for a remote party without PCMU and PCMA. Its codec state continues
//! when another agent or player feeds the stream.

use trunkgate_resample::Resampler;

use crate::codec::g711::CLOCK_HZ;
use crate::codec::{PayloadCodec, SinkEncoder, g722};

use super::frame::{LinearFrame, PlayoutFrame, WIDE_SAMPLES, WideFrame};

/// Sampling rate of wide-band audio, in Hz.
const WIDE_HZ: u32 = g722::RATE_HZ;

/// Frame encoder of one generated stream.
#[derive(Debug)]
pub(crate) struct FrameEncoder {
    coding: PayloadCodec,
    encoding: SinkEncoder,
    /// Resampler from 8 kHz to 16 kHz; `None` if the encoder takes 8 kHz.
    up: Option<Resampler>,
}

impl FrameEncoder {
    /// Creates an encoder for `coding`; `wide` if the feeder has audio above 4 kHz. Returns `None` for G.711, which
    /// needs no encoder.
    pub(crate) fn new(coding: PayloadCodec, wide: bool) -> Option<FrameEncoder> {
        let rate_hz = match coding {
            PayloadCodec::Pcmu | PayloadCodec::Pcma | PayloadCodec::Linear(_) => return None,
            PayloadCodec::G722 => WIDE_HZ,
            PayloadCodec::Opus(_) if wide => WIDE_HZ,
            PayloadCodec::Opus(_) => CLOCK_HZ,
        };
        Some(FrameEncoder {
            coding,
            encoding: SinkEncoder::new(coding, rate_hz)?,
            up: Resampler::new(CLOCK_HZ, rate_hz),
        })
    }

    /// Returns whether this encoder fits the codec, and wide-band audio if `wide`; if so, it need not be replaced.
    pub(crate) fn suits(&self, coding: PayloadCodec, wide: bool) -> bool {
        self.coding == coding && (self.up.is_some() || !wide)
    }

    /// Returns a copy of the codec's encoder that continues from the current state; see [`SinkEncoder::twin`].
    pub(crate) fn twin(&self) -> Option<SinkEncoder> {
        self.encoding.twin()
    }

    /// Continues from the state of another encoder of the same codec.
    pub(crate) fn go_on_from(&mut self, twin: SinkEncoder) {
        if self.coding == PayloadCodec::G722 {
            self.encoding = twin;
        }
    }

    /// Sets whether the next frame is a DTMF tone.
    pub(crate) fn set_tone(&mut self, tone: bool) {
        self.encoding.set_tone(tone);
    }

    /// Encodes a frame and returns the number of payload bytes; 0 if the frame need not be sent (DTX).
    pub(crate) fn encode(&mut self, said: &PlayoutFrame, payload: &mut [u8]) -> usize {
        match (said, self.up.is_some()) {
            (PlayoutFrame::Wide(samples), true) => self.encoding.encode(samples, payload),
            (PlayoutFrame::Ulaw(_) | PlayoutFrame::Linear(_), true) => {
                let samples = self.widen(&said.linear());
                self.encoding.encode(&samples, payload)
            }
            (_, false) => self.encoding.encode(&said.linear(), payload),
        }
    }

    /// Converts a frame from 8 kHz to 16 kHz, continuing the previous one.
    pub(crate) fn widen(&mut self, narrow: &LinearFrame) -> WideFrame {
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
