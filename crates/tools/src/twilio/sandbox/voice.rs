//! Codec of spoken text in a sandbox: each character of a text is 20 ms of unique noise, so that received audio is
//! decoded character by character, without a speech engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::ringback;
use trunkgate_phone::{G711Codec, MarkedVoice};

/// Samples per character at 8 kHz: 20 ms.
const CHARACTER: usize = 160;
/// Number of μ-law bytes that identify a character.
const MARK: usize = 8;
/// RMS of samples below which a frame is silence.
const SILENCE: f64 = 30.0;

type CharacterMark = [u8; MARK];

/// Encoded texts, found by their sound.
#[derive(Debug, Clone, Default)]
pub(super) struct Codebook(Arc<Mutex<EncodedTexts>>);

#[derive(Debug, Default)]
struct EncodedTexts {
    by_text: HashMap<String, usize>,
    texts: Vec<Arc<str>>,
    marks: HashMap<CharacterMark, (usize, usize)>,
}

impl Codebook {
    fn lock(&self) -> MutexGuard<'_, EncodedTexts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Encodes a text as samples at 8 kHz.
    pub(super) fn speak(&self, text: &str) -> Vec<i16> {
        let mut texts = self.lock();
        let (known, next) = (texts.by_text.get(text).copied(), texts.texts.len());
        let id = known.unwrap_or(next);
        if known.is_none() {
            texts.texts.push(text.into());
            texts.by_text.insert(text.to_owned(), id);
        }
        let mut samples = Vec::new();
        for at in 0..text.chars().count() {
            let codes = noise(id, at);
            if let Some(mark) = codes.first_chunk::<MARK>().filter(|_| known.is_none()) {
                texts.marks.insert(*mark, (id, at));
            }
            samples.extend(codes.iter().map(|code| decode_ulaw(*code)));
        }
        samples
    }

    /// Finds the character that begins within these samples: its text and its index.
    fn find(&self, samples: &[i16]) -> Option<(Arc<str>, usize)> {
        let codes: Vec<u8> = samples.iter().map(|sample| encode_ulaw(*sample)).collect();
        let texts = self.lock();
        let found = codes.windows(MARK).find_map(|window| texts.marks.get(window).copied());
        found.and_then(|(id, at)| Some((Arc::clone(texts.texts.get(id)?), at)))
    }
}

/// Returns μ-law noise of medium level that survives decoding and encoding unchanged.
fn noise(text: usize, character: usize) -> [u8; CHARACTER] {
    let mut state = (text as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (character as u64 + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    std::array::from_fn(|_| {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let drawn = (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        (drawn & 0x80) | 0x28 | (drawn & 0x17)
    })
}

/// A sound heard at one end of a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeardSound {
    pub(super) what: SoundKind,
    /// Times of the first and last packet, in seconds since the call began.
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Kind of a sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SoundKind {
    /// Part of a text, by its characters.
    Text { text: Arc<str>, first: usize, last: usize },
    /// Tone of a party of the sandbox.
    Party,
    /// Ringback tone of the edge.
    Ringing,
    /// Other audio: a Play or a stream.
    Audio,
}

impl HeardSound {
    /// Returns the part of the text that was heard; `None` for other sounds.
    pub(super) fn words(&self) -> Option<String> {
        let SoundKind::Text { text, first, last } = &self.what else { return None };
        Some(text.chars().skip(*first).take(last + 1 - first).collect())
    }

    /// Returns the name of the kind.
    pub(super) fn name(&self) -> &'static str {
        match self.what {
            SoundKind::Text { .. } => "speech",
            SoundKind::Party => "the party",
            SoundKind::Ringing => "ringing",
            SoundKind::Audio => "audio",
        }
    }

    /// Returns whether the sound is a single packet of other audio.
    pub(super) fn is_instant(&self) -> bool {
        self.what == SoundKind::Audio && self.from == self.to
    }

    /// Returns whether the end of the text is missing.
    pub(super) fn is_cut_off(&self) -> bool {
        matches!(&self.what, SoundKind::Text { text, last, .. } if last + 1 < text.chars().count())
    }
}

/// Number of samples in a period of the ringback tone, and in a packet.
const RINGBACK: (usize, usize) = (200, 160);
/// Range of a packet's samples with only the party's tone, without its marker.
const BARE: std::ops::Range<usize> = 96..160;
/// Number of packets after which a party's tone repeats.
const PARTY_CYCLE: u32 = 5;

/// Returns the kind of a packet that is neither text nor silence. Both tones pass the edge unchanged.
fn kind(samples: &[i16]) -> SoundKind {
    let is_code = |(sample, code): (&i16, u8)| *sample == decode_ulaw(code);
    let rings = |phase: usize| samples.iter().zip((phase..).map(ringback)).all(is_code);
    if samples.len() == RINGBACK.1 && (0..RINGBACK.0).step_by(40).any(rings) {
        return SoundKind::Ringing;
    }
    let voice = MarkedVoice::new(0, G711Codec::Pcmu);
    let bare = samples.get(BARE).unwrap_or_default();
    let is_party =
        |index| voice.payload(index).get(BARE).is_some_and(|tone| bare.iter().zip(tone.iter().copied()).all(is_code));
    if !bare.is_empty() && (0..PARTY_CYCLE).any(is_party) { SoundKind::Party } else { SoundKind::Audio }
}

/// Combines received packets to sounds.
#[derive(Debug, Default)]
pub(super) struct SoundDecoder {
    heard: Vec<HeardSound>,
}

/// Gap after which audio is a new sound, in seconds.
const GAP: f64 = 0.2;

impl SoundDecoder {
    /// Adds the samples of a packet received `at` seconds after the call began.
    pub(super) fn take(&mut self, book: &Codebook, at: f64, samples: &[i16]) {
        let last = self.heard.last_mut();
        if let Some((text, character)) = book.find(samples) {
            if let Some(heard) = last
                && let SoundKind::Text { text: known, last, .. } = &mut heard.what
                && Arc::ptr_eq(known, &text)
                && *last + 1 == character
            {
                (*last, heard.to) = (character, at);
                return;
            }
            let what = SoundKind::Text { text, first: character, last: character };
            return self.heard.push(HeardSound { what, from: at, to: at });
        }
        let power = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
        if power.sqrt() < SILENCE {
            return;
        }
        let what = kind(samples);
        match last {
            Some(heard) if heard.what == what && at - heard.to < GAP => heard.to = at,
            // The first packet of a tone is faded in.
            Some(heard) if what != SoundKind::Audio && heard.is_instant() && at - heard.to < GAP => {
                (heard.what, heard.to) = (what, at);
            }
            // The end of a text may not be aligned with the packets.
            Some(HeardSound { what: SoundKind::Text { .. }, to, .. })
                if what == SoundKind::Audio && at - *to < GAP / 4.0 => {}
            _ => self.heard.push(HeardSound { what, from: at, to: at }),
        }
    }

    /// Returns the sounds heard so far, in order.
    pub(super) fn heard(&self) -> &[HeardSound] {
        &self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(book: &Codebook, ear: &mut SoundDecoder, samples: &[i16]) {
        for (at, packet) in samples.chunks(CHARACTER).enumerate() {
            ear.take(book, at as f64 / 50.0, packet);
        }
    }

    #[test]
    fn a_text_is_heard_to_the_character_also_out_of_line_with_the_packets() {
        let book = Codebook::default();
        let (hello, bye) = (book.speak("Grüß Gott"), book.speak("Bye"));
        assert_eq!((hello.len(), book.speak("Grüß Gott")), (9 * CHARACTER, hello.clone()));
        for offset in [0, 37, 80, 152] {
            let mut ear = SoundDecoder::default();
            let cut = hello.get(..4 * CHARACTER + 8).unwrap();
            let pause = vec![0; 10 * CHARACTER];
            listen(&book, &mut ear, &[&vec![0; offset], cut, &pause, &bye, &pause].concat());
            let words: Vec<_> = ear.heard().iter().filter_map(HeardSound::words).collect();
            assert_eq!(words.last().map(String::as_str), Some("Bye"), "{offset}: {words:?}");
            assert!(words[0].starts_with("Grüß") && ear.heard()[0].is_cut_off(), "{offset}: {words:?}");
            assert!(!ear.heard().last().unwrap().is_cut_off());
        }
    }

    #[test]
    fn other_audio_is_told_from_silence_and_from_texts() {
        let (book, mut ear) = (Codebook::default(), SoundDecoder::default());
        let tone: Vec<i16> = (0..1600).map(|n| if n % 20 < 10 { 4000 } else { -4000 }).collect();
        listen(&book, &mut ear, &[vec![3; 1600], tone, vec![0; 3200]].concat());
        assert_eq!(ear.heard().len(), 1, "{:?}", ear.heard());
        assert!(ear.heard()[0].what == SoundKind::Audio && ear.heard()[0].words().is_none());
    }

    #[test]
    fn a_party_and_the_ringback_tone_are_known_from_other_audio() {
        let (book, mut ear) = (Codebook::default(), SoundDecoder::default());
        let ringing: Vec<i16> = (0..1600).map(|at| decode_ulaw(ringback(at))).collect();
        // The edge fades the tone in.
        let faded: Vec<i16> =
            ringing.iter().take(160).enumerate().map(|(at, sample)| sample / 160 * at as i16).collect();
        let voice = MarkedVoice::new(7, G711Codec::Pcmu);
        let party: Vec<i16> = (0..20).flat_map(|index| voice.payload(index).map(decode_ulaw)).collect();
        listen(&book, &mut ear, &[faded, ringing.get(160..).unwrap().to_vec(), vec![0; 3200], party].concat());
        let kinds: Vec<_> = ear.heard().iter().map(|heard| heard.what.clone()).collect();
        assert_eq!(kinds, [SoundKind::Ringing, SoundKind::Party], "{:?}", ear.heard());
    }
}
