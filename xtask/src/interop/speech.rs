//! Text-to-speech for cases: each text is a tone of its own, so that the audio of a call shows which text is spoken.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::sound::wav;

/// Texts of one edge at most.
const TEXTS: u32 = 12;
/// Longest wait for a text.
const PATIENCE: Duration = Duration::from_secs(12);

/// Notes voice and text in a file; the number of its line is that of the tone.
const PROGRAM: &str = r#"exec 9>>"$1/lock"
flock 9
printf '%s\t%s\n' "$2" "$3" >> "$1/said"
cat "$1/tone-$(wc -l < "$1/said" | tr -d ' ').wav"
"#;

/// A program that speaks, and the texts that it was given.
#[derive(Debug)]
pub(crate) struct Speech {
    folder: tempfile::TempDir,
}

/// A text that was spoken.
#[derive(Debug)]
pub(crate) struct Spoken {
    /// Voice that the program was given.
    pub(crate) voice: String,
    /// The text.
    pub(crate) text: String,
    /// Tone that it was spoken as.
    pub(crate) hz: u32,
}

impl Speech {
    /// Makes the program.
    pub(crate) fn new() -> anyhow::Result<Speech> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("speak.sh"), PROGRAM)?;
        std::fs::write(folder.path().join("said"), "")?;
        for number in 1..=TEXTS {
            let tone = |t: f64| 8_000.0 * (std::f64::consts::TAU * f64::from(hz(number)) * t).sin();
            std::fs::write(folder.path().join(format!("tone-{number}.wav")), wav(8_000, 1, 1, tone))?;
        }
        Ok(Speech { folder })
    }

    /// The table of the configuration; `voices` are names of applications and of the program.
    pub(crate) fn table(&self, voices: &[(&str, &str)]) -> String {
        let folder = self.folder.path().display();
        let command = format!("[\"sh\", \"{folder}/speak.sh\", \"{folder}\", \"{{voice}}\", \"{{text}}\"]");
        let mut table = format!("[speech]\ncommand = {command}\n[speech.voices]\n");
        voices.iter().for_each(|(name, voice)| _ = writeln!(table, "\"{name}\" = \"{voice}\""));
        table
    }

    /// The texts that were spoken so far.
    pub(crate) fn all(&self) -> anyhow::Result<Vec<Spoken>> {
        let said = std::fs::read_to_string(self.folder.path().join("said")).context("texts")?;
        let lines = (1..).zip(said.lines()).filter_map(|(number, line)| Some((number, line.split_once('\t')?)));
        let spoken = |(number, (voice, text)): (u32, (&str, &str))| Spoken {
            voice: voice.to_owned(),
            text: text.to_owned(),
            hz: hz(number),
        };
        Ok(lines.map(spoken).collect())
    }

    /// Waits until a text was spoken that contains these words.
    pub(crate) fn spoken(&self, words: &str) -> anyhow::Result<Spoken> {
        let began = Instant::now();
        loop {
            let all = self.all()?;
            if let Some(at) = all.iter().position(|spoken| spoken.text.contains(words)) {
                return all.into_iter().nth(at).context("a text");
            }
            if began.elapsed() > PATIENCE {
                bail!("no text with {words:?} was spoken, but: {all:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Frequency of a text; no two are near each other or near 440 Hz.
const fn hz(number: u32) -> u32 {
    500 + 130 * number
}
