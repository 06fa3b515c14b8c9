//! Detector of the first sound of an end. Until then, G.711 packets of digital silence are counted.

use crate::codec::g711::ULAW_SILENCE;
use crate::counters::EndSymptoms;
use crate::rtp::RtpHeader;

use super::wire::CompiledWire;

/// Maximum payload size of telephone-events (RFC 4733 §2.3) and of a codec's comfort noise, which are not sound.
const ASIDE_BYTES: usize = 4;
/// Both μ-law codes of zero; A-law has no zero, only codes closest to it (ITU-T G.711).
const SILENT_ULAW: [u8; 2] = [ULAW_SILENCE, 0x7f];
const SILENT_ALAW: [u8; 2] = [0xd5, 0x55];

/// Detects the first sound of an end; afterwards a packet costs nothing more.
#[derive(Debug, Default)]
pub(super) struct SoundCheck {
    /// Whether a sound was detected, or the codec cannot be checked.
    sounded: bool,
}

impl SoundCheck {
    /// Checks a packet for sound, until the first one.
    #[inline]
    pub(super) fn look(&mut self, rtp: &RtpHeader, packet: &[u8], wire: Option<&CompiledWire>, symptoms: &EndSymptoms) {
        if !self.sounded {
            self.search(rtp, packet, wire, symptoms);
        }
    }

    fn search(&mut self, rtp: &RtpHeader, packet: &[u8], wire: Option<&CompiledWire>, symptoms: &EndSymptoms) {
        let payload = packet.get(rtp.payload.clone()).unwrap_or_default();
        if payload.len() <= ASIDE_BYTES {
            return;
        }
        let is_silent = |codes: [u8; 2]| payload.iter().all(|code| codes.contains(code));
        let (is_silent, is_known) = match rtp.payload_type {
            0 => (is_silent(SILENT_ULAW), true),
            8 => (is_silent(SILENT_ALAW), true),
            number => (false, wire.is_some_and(|wire| wire.payload(number).is_some())),
        };
        if is_silent {
            symptoms.silent.add_alone(1);
        } else if is_known {
            symptoms.sounded.set(1);
            self.sounded = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_until_the_first_sound() {
        for (number, silence, sound) in [(0, [0xff, 0x7f], 0xfe), (8, [0xd5, 0x55], 0xd4)] {
            let (mut check, symptoms) = (SoundCheck::default(), EndSymptoms::default());
            let hear = |check: &mut SoundCheck, payload_type: u8, payload: &[u8]| {
                let rtp = RtpHeader {
                    marker: false,
                    payload_type,
                    sequence: 1,
                    timestamp: 1,
                    ssrc: 1,
                    payload: 0..payload.len(),
                };
                check.look(&rtp, payload, None, &symptoms);
                (symptoms.silent.get(), check.sounded)
            };
            assert_eq!(hear(&mut check, number, &[silence[0]; 160]), (1, false));
            assert_eq!(hear(&mut check, number, &[silence[1]; 160]), (2, false));
            // A digit, comfort noise, and a payload number that was not negotiated.
            assert_eq!(hear(&mut check, 101, &[1, 10, 0, 160]), (2, false));
            assert_eq!(hear(&mut check, 13, &[60]), (2, false));
            assert_eq!(hear(&mut check, 96, &[7; 40]), (2, false));
            let mut spoken = [silence[0]; 160];
            spoken[159] = sound;
            assert_eq!(hear(&mut check, number, &spoken), (2, true));
        }
    }
}
