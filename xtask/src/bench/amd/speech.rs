//! Utterances of speech synthesizers, generated once and kept below `target`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};

use super::signal::resampled;
use crate::interop::sound::Sound;

/// Sample rate of utterances, before the codec of the call.
pub(super) const RATE_HZ: u32 = 16_000;
/// Level, relative to the loudest sample, below which samples count as silence: -38 dB.
const SILENT: f32 = 0.0126;

/// Speech synthesizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Espeak,
    Festival,
    Flite,
}

/// Voice of a synthesizer, at a rate in percent of its normal one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice {
    pub(super) engine: Engine,
    pub(super) name: &'static str,
    pub(super) rate: u32,
}

/// Returns an utterance, trimmed and scaled to a peak of 1.
pub(super) fn utterance(folder: &Path, voice: Voice, text: &str) -> anyhow::Result<Vec<f32>> {
    let Voice { engine, name, rate } = voice;
    let key = URL_SAFE_NO_PAD.encode(Md5::digest(format!("{engine:?} {name} {rate} {text}")));
    let path = folder.join(format!("{key}.wav"));
    if !path.is_file() {
        std::fs::create_dir_all(folder)?;
        make(&path, voice, text).with_context(|| format!("{engine:?} {name}: {text}"))?;
    }
    let said = Sound::of_wav(&std::fs::read(&path)?)?;
    let samples: Vec<f32> = said.samples.iter().map(|sample| *sample as f32 / 32_768.0).collect();
    let samples = resampled(&samples, said.rate_hz, RATE_HZ);
    let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let is_loud = |sample: &f32| sample.abs() >= peak * SILENT;
    let first = samples.iter().position(is_loud).context("silence")?;
    let last = samples.iter().rposition(is_loud).context("silence")?;
    Ok(samples[first..=last].iter().map(|sample| sample / peak).collect())
}

fn make(path: &Path, voice: Voice, text: &str) -> anyhow::Result<()> {
    let Voice { engine, name, rate } = voice;
    let output = match engine {
        Engine::Espeak => {
            let words = (170 * rate / 100).to_string();
            Command::new("espeak-ng").args(["-v", name, "-s", &words, "-w"]).arg(path).arg(text).output()?
        }
        Engine::Flite => {
            let stretch = format!("duration_stretch={:.2}", 100.0 / f64::from(rate));
            let arguments = ["-voice", name, "--setf", &stretch, "-t", text, "-o"];
            Command::new("flite").args(arguments).arg(path).output()?
        }
        Engine::Festival => {
            let stretch = format!("(begin ({name}) (Parameter.set 'Duration_Stretch {:.2}))", 100.0 / f64::from(rate));
            let mut child = Command::new("text2wave")
                .args(["-eval", &stretch, "-o"])
                .arg(path)
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            std::io::Write::write_all(&mut child.stdin.take().context("no stdin")?, text.as_bytes())?;
            child.wait_with_output()?
        }
    };
    ensure!(output.status.success() && path.is_file(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
