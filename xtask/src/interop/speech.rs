//! Text-to-speech for cases: each text becomes a tone of its own, so that the audio of a call identifies the text
//! spoken.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::sound::wav;

/// Maximum number of texts that an edge speaks.
const TEXTS: u32 = 12;
/// Maximum wait for a text to be spoken.
const PATIENCE: Duration = Duration::from_secs(12);

/// Shell program that appends the voice and the text to a file; the number of the line selects the tone.
const PROGRAM: &str = r#"exec 9>>"$1/lock"
flock 9
printf '%s\t%s\n' "$2" "$3" >> "$1/said"
cat "$1/tone-$(wc -l < "$1/said" | tr -d ' ').wav"
"#;

/// Speech program of an edge, with the texts that it has spoken.
#[derive(Debug)]
pub(crate) struct Speech {
    folder: tempfile::TempDir,
}

/// Text that the program has spoken.
#[derive(Debug)]
pub(crate) struct Spoken {
    /// Voice that was passed to the program.
    pub(crate) voice: String,
    /// Text that was passed to the program.
    pub(crate) text: String,
    /// Tone of the text, in Hz.
    pub(crate) hz: u32,
}

impl Speech {
    /// Writes the program and the tones to a folder.
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

    /// Returns the configuration table of the speech program; `voices`: names in applications, and corresponding ones
    /// of the program.
    pub(crate) fn table(&self, voices: &[(&str, &str)]) -> String {
        let folder = self.folder.path().display();
        let command = format!("[\"sh\", \"{folder}/speak.sh\", \"{folder}\", \"{{voice}}\", \"{{text}}\"]");
        let mut table = format!("[speech]\ncommand = {command}\n[speech.voices]\n");
        voices.iter().for_each(|(name, voice)| _ = writeln!(table, "\"{name}\" = \"{voice}\""));
        table
    }

    /// Returns the texts spoken so far.
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

    /// Waits until a text with these words has been spoken.
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

/// Returns the frequency of the text with this number; no two are near each other or near 440 Hz.
const fn hz(number: u32) -> u32 {
    500 + 130 * number
}
