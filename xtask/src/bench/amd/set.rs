//! Labelled set: calls of two halves that share no synthesizer, voice, greeting, room, beep or codec.

use std::path::Path;

use super::signal::{Chance, Codec, Noise, Room, coded, noise, tone};
use super::speech::{Engine, RATE_HZ, Voice, utterance};
use super::texts::{self, Texts};

/// Kind of the called party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Human,
    Machine,
    Fax,
    /// Silence, or ringback without end.
    Unknown,
}

/// Moment from which the thresholds decide, in ms after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    /// End of the speech, to which the silence is added.
    SpeechEnds(u32),
    /// Begin and end of each part of speech, one of which starts the time measured by the speech threshold.
    Speech,
    /// Beginning of a beep after speech that is too short.
    Beeps(u32),
    /// The thresholds never decide, so nothing is measured.
    Never,
}

/// Generated call of the set.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) label: Label,
    pub(super) decided: Decided,
    /// Begin and end of each part of speech, in ms.
    pub(super) spoken: Vec<(u32, u32)>,
    /// Begin and end of the beep, in ms.
    pub(super) beep: Option<(u32, u32)>,
    /// Audio of the call at 8 kHz.
    pub(super) samples: Vec<i16>,
    /// Description of the call's components.
    pub(super) about: String,
}

/// Half of the set.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) name: &'static str,
    seed: u64,
    texts: Texts,
    voices: &'static [(Engine, &'static [&'static str])],
    rates: [u32; 3],
    rooms: [Room; 3],
    noises: &'static [Noise],
    codecs: [Codec; 2],
    /// Beeps of machines: frequencies, and length in milliseconds.
    beeps: &'static [(&'static [f32], f32)],
}

pub(super) const TRAINING: Half = Half {
    name: "training",
    seed: 1,
    texts: texts::TRAINING,
    voices: &[
        (
            Engine::Espeak,
            &[
                "en-us",
                "en-gb",
                "en-gb-scotland",
                "en-us+f2",
                "en-gb+f4",
                "en-us+m3",
                "en-gb-x-rp+m7",
                "en-us+klatt2",
                "en-029",
            ],
        ),
        (Engine::Festival, &["voice_ked_diphone"]),
    ],
    rates: [85, 100, 125],
    rooms: [
        Room { name: "office", delays_ms: [29.7, 37.1, 41.1, 43.7], rt60: 0.35, wet_db: -10.0 },
        Room { name: "car", delays_ms: [11.3, 13.7, 15.1, 17.9], rt60: 0.12, wet_db: -8.0 },
        Room { name: "hall", delays_ms: [35.3, 41.9, 47.7, 53.1], rt60: 0.8, wet_db: -15.0 },
    ],
    noises: &[Noise::White, Noise::Hum, Noise::Babble],
    codecs: [Codec::Pcmu, Codec::G722],
    beeps: &[(&[1000.0], 400.0), (&[440.0], 800.0), (&[1400.0], 200.0), (&[852.0], 1000.0), (&[620.0, 1240.0], 500.0)],
};

pub(super) const HELD_OUT: Half = Half {
    name: "held-out",
    seed: 2,
    texts: texts::HELD_OUT,
    voices: &[(Engine::Flite, &["kal16", "awb", "rms", "slt"])],
    rates: [90, 105, 120],
    rooms: [
        Room { name: "kitchen", delays_ms: [23.9, 28.3, 33.7, 39.1], rt60: 0.45, wet_db: -11.0 },
        Room { name: "bedroom", delays_ms: [15.7, 19.3, 22.1, 26.9], rt60: 0.25, wet_db: -9.0 },
        Room { name: "stairs", delays_ms: [31.3, 44.7, 49.9, 57.1], rt60: 0.9, wet_db: -16.0 },
    ],
    noises: &[Noise::Fan, Noise::Traffic, Noise::Babble],
    codecs: [Codec::Pcma, Codec::Opus],
    beeps: &[(&[950.0], 300.0), (&[1209.0], 600.0), (&[500.0], 700.0), (&[2000.0], 250.0), (&[700.0, 1050.0], 450.0)],
};

/// Level, relative to a peak of 1, above which a part of an utterance counts as speech.
const SPOKEN: f32 = 0.03;
/// Ringback tones: frequencies, and lengths of tone and pause in milliseconds.
const RINGBACK: &[(&[f32], f32, f32)] =
    &[(&[440.0, 480.0], 2_000.0, 4_000.0), (&[425.0], 1_000.0, 4_000.0), (&[400.0, 450.0], 400.0, 200.0)];

/// Components of a call under construction, at 16 kHz.
struct Scene<'a> {
    folder: &'a Path,
    half: &'a Half,
    chance: Chance,
    signal: Vec<f32>,
    spoken: Vec<(u32, u32)>,
    about: String,
}

impl Half {
    /// Generates this many calls each of humans and machines, and a fifth of that of fax machines and of silent
    /// parties.
    pub(super) fn calls(&self, folder: &Path, each: usize) -> anyhow::Result<Vec<Call>> {
        let mut babble = Vec::new();
        for (engine, names) in self.voices {
            for name in *names {
                let voice = Voice { engine: *engine, name, rate: 100 };
                babble.push(utterance(folder, voice, self.texts.beginnings[0])?);
            }
        }
        let few = each.div_ceil(5);
        let kinds = [(Label::Human, each), (Label::Machine, each), (Label::Fax, few), (Label::Unknown, few)];
        let labels = kinds.into_iter().flat_map(|(label, count)| std::iter::repeat_n(label, count));
        labels
            .enumerate()
            .map(|(n, label)| {
                let chance = Chance::new(self.seed * 1_000_003 + n as u64);
                let scene = Scene {
                    folder,
                    half: self,
                    chance,
                    signal: Vec::new(),
                    spoken: Vec::new(),
                    about: format!("{n} {label:?}"),
                };
                scene.call(label, &babble)
            })
            .collect()
    }

    fn voices(&self) -> Vec<(Engine, &'static str)> {
        self.voices.iter().flat_map(|(engine, names)| names.iter().map(|name| (*engine, *name))).collect()
    }
}

impl Scene<'_> {
    fn call(mut self, label: Label, babble: &[Vec<f32>]) -> anyhow::Result<Call> {
        let lead = self.chance.between(100.0, 900.0);
        self.silence(lead);
        let voice = self.voice();
        let (decided, beep) = match label {
            Label::Human => (self.human(voice)?, None),
            Label::Machine => self.machine(voice)?,
            Label::Fax => (self.fax(), None),
            Label::Unknown => (self.nothing(), None),
        };
        self.silence(7_000.0);
        let place = self.chance.next();
        if place < 0.75 {
            let room = *self.chance.one(&self.half.rooms);
            room.fill(&mut self.signal);
            self.note(room.name);
        }
        let loud = 10_f32.powf(self.chance.between(-24.0, -8.0) / 20.0);
        self.signal.iter_mut().for_each(|sample| *sample *= loud);
        let kind = *self.chance.one(self.half.noises);
        // Speech with a peak of 1 has a level of about −14 dB.
        let least = if kind == Noise::Babble { 22.0 } else { 15.0 };
        let ratio = self.chance.between(least, 40.0);
        let level = loud * 10_f32.powf((-14.0 - ratio) / 20.0);
        let count = self.signal.len();
        let noise = noise(kind, count, level, &mut self.chance, babble);
        self.signal.iter_mut().zip(noise).for_each(|(sample, noise)| *sample += noise);
        let codec = *self.chance.one(&self.half.codecs);
        self.note(&format!("{kind:?} {ratio:.0} dB {codec:?}"));
        Ok(Call { label, decided, spoken: self.spoken, beep, samples: coded(codec, &self.signal), about: self.about })
    }

    fn human(&mut self, voice: Voice) -> anyhow::Result<Decided> {
        self.say(voice, self.half.texts.humans)?;
        if self.chance.next() < 0.15 {
            let pause = self.chance.between(400.0, 900.0);
            self.silence(pause);
            self.say(voice, self.half.texts.again)?;
        }
        Ok(Decided::SpeechEnds(self.ms()))
    }

    fn machine(&mut self, voice: Voice) -> anyhow::Result<(Decided, Option<(u32, u32)>)> {
        let kind = self.chance.next();
        if kind < 0.06 {
            for hz in [950.0, 1400.0, 1776.0] {
                self.signal.extend(tone(&[hz], 330.0).iter().map(|sample| 0.5 * sample));
                self.silence(5.0);
            }
            let tones = self.ms();
            self.silence(200.0);
            self.say(voice, self.half.texts.announcements)?;
            self.note("SIT");
            return Ok((Decided::Beeps(tones.saturating_sub(335)), None));
        }
        let began = self.ms();
        let is_short = kind < 0.16;
        if is_short {
            self.say(voice, self.half.texts.short)?;
        } else {
            self.say(voice, self.half.texts.beginnings)?;
            let pause = self.chance.between(150.0, 800.0);
            self.silence(pause);
            self.say(voice, self.half.texts.ends)?;
        }
        let spoken = self.ms() - began;
        let mut beep = None;
        if is_short || self.chance.next() < 0.9 {
            let pause = self.chance.between(250.0, 950.0);
            self.silence(pause);
            let (hz, ms) = *self.chance.one(self.half.beeps);
            let (from, loud) = (self.ms(), self.chance.between(0.2, 0.7));
            self.signal.extend(tone(hz, ms).iter().map(|sample| loud * sample));
            self.note(&format!("beep {hz:?}"));
            beep = Some((from, self.ms()));
        }
        let decided = match beep {
            Some((from, _)) if spoken < 2_400 => Decided::Beeps(from),
            Some(_) | None => Decided::Speech,
        };
        Ok((decided, beep))
    }

    fn fax(&mut self) -> Decided {
        let is_ced = self.chance.next() < 0.6;
        let loud = self.chance.between(0.15, 0.6);
        let (hz, ms) = if is_ced { (2_100.0, 3_000.0) } else { (1_100.0, 500.0) };
        for _ in 0..2 {
            self.signal.extend(tone(&[hz], ms).iter().map(|sample| loud * sample));
            self.silence(if is_ced { 75.0 } else { 3_000.0 });
        }
        self.note(if is_ced { "CED" } else { "CNG" });
        Decided::Never
    }

    fn nothing(&mut self) -> Decided {
        if self.chance.next() < 0.5 {
            let (hz, on, off) = *self.chance.one(RINGBACK);
            for _ in 0..3 {
                self.signal.extend(tone(hz, on).iter().map(|sample| 0.4 * sample));
                self.silence(off);
            }
            self.note("ringback");
        }
        Decided::Never
    }

    fn voice(&mut self) -> Voice {
        let (engine, name) = *self.chance.one(&self.half.voices());
        Voice { engine, name, rate: *self.chance.one(&self.half.rates) }
    }

    fn say(&mut self, voice: Voice, texts: &[&str]) -> anyhow::Result<()> {
        let text = *self.chance.one(texts);
        let (began, samples) = (self.signal.len(), utterance(self.folder, voice, text)?);
        let ms = |at: usize| u32::try_from(at * 1000 / RATE_HZ as usize).unwrap_or(u32::MAX);
        for (n, part) in samples.chunks(RATE_HZ as usize / 50).enumerate() {
            let at = began + n * RATE_HZ as usize / 50;
            if part.iter().any(|sample| sample.abs() >= SPOKEN) {
                match self.spoken.last_mut().filter(|(_, to)| *to >= ms(at)) {
                    Some((_, to)) => *to = ms(at + part.len()),
                    None => self.spoken.push((ms(at), ms(at + part.len()))),
                }
            }
        }
        self.signal.extend(samples);
        self.note(&format!("{} {} %: {text}", voice.name, voice.rate));
        Ok(())
    }

    fn silence(&mut self, ms: f32) {
        let count = (ms * RATE_HZ as f32 / 1000.0) as usize;
        self.signal.extend(std::iter::repeat_n(0.0, count));
    }

    fn ms(&self) -> u32 {
        u32::try_from(self.signal.len() * 1000 / RATE_HZ as usize).unwrap_or(u32::MAX)
    }

    fn note(&mut self, what: &str) {
        self.about.push_str(", ");
        self.about.push_str(what);
    }
}
