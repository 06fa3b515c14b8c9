//! `trunkgate agent test`: holds a test conversation with an agent as the edge does, without SIP, and reports problems
//! that a caller would notice.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use trunkgate_media::agent::AgentFormat;
use trunkgate_media::codec::g711::decode_ulaw;
use trunkgate_media::resample::Resampler;

use crate::cli::AgentTest;
use crate::client;
use crate::findings::{self, Level};
use trunkgate_audio::wav;
use trunkgate_audio::{self as audio, AudioLimits, Use};
use trunkgate_boot::{edge, run};
use trunkgate_system::limits::PLAYED_BYTES;
use trunkgate_system::terminal;

mod judge;
mod picture;
mod record;
mod speech;
mod subject;
mod talk;

use record::ConversationRecord;
use subject::TestedAgent;

/// Maximum duration of the file played as the caller's words, in seconds.
const SAID_SECONDS: usize = 60;

/// Agent test with validated arguments.
struct AgentTestPlan {
    subject: TestedAgent,
    /// The caller's words, in the agent's audio format.
    speech: Arc<[u8]>,
    /// Random bytes for the SIDs of account, call and stream.
    chance: [u8; 32],
    /// Whether each step is printed at once; a test takes many seconds.
    shows_steps: bool,
}

/// Runs the test. Exit code 1 if a finding is FAIL, 2 if the test cannot be run.
pub fn run(config: Option<&Path>, verb: &AgentTest) -> ExitCode {
    let told = writable(verb).and_then(|()| AgentTestPlan::new(config, verb)).and_then(|plan| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (record, times) = runtime.block_on(plan.talk(verb.times));
        runtime.shutdown_background();
        Ok((plan, record, times))
    });
    let (plan, record, times) = match told {
        Ok(told) => told,
        Err(error) => return run::refuse(&format!("error: {error}")),
    };
    let found = judge::judge(&record, &times);
    let holds = found.iter().all(|finding| finding.level != Level::Fail);
    if verb.json {
        let checks: Value = found.iter().map(findings::json).collect();
        client::say(&terminal::json(&as_json(&plan.subject, holds, checks, &record, &times)));
    } else {
        let picture = if record.ticks.is_empty() { String::new() } else { format!("{}\n", picture::text(&record)) };
        client::say(&format!("{picture}{}", findings::text(&found, u8::from(!holds), terminal::width().is_some())));
    }
    // An existing recording is kept if the agent was not reached.
    if let Some(path) = verb.out.as_deref().filter(|_| record.connect_ms.is_some())
        && let Err(what) = wav::write(path, record.format.sample_rate(), &linear(&record.heard, record.format))
    {
        return run::refuse(&format!("error: --out {}: {what}", path.display()));
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Checks that `--out` can be written, before the agent is contacted.
fn writable(verb: &AgentTest) -> Result<(), String> {
    let Some(out) = &verb.out else { return Ok(()) };
    let refused = |what: &str| Err(format!("--out {}: {what}", out.display()));
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let same = |wav: &PathBuf| wav.canonicalize().ok().is_some_and(|wav| out.canonicalize().ok() == Some(wav));
    match () {
        () if verb.wav.as_ref().is_some_and(same) => refused("the same file as --wav"),
        () if out.is_dir() => refused("a folder"),
        () if !folder.is_dir() => refused("its directory does not exist"),
        () => Ok(()),
    }
}

/// Decodes audio of an agent's format to samples.
fn linear(audio: &[u8], format: AgentFormat) -> Vec<i16> {
    match format {
        AgentFormat::Mulaw8000 => audio.iter().map(|code| decode_ulaw(*code)).collect(),
        AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => {
            audio.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
        }
    }
}

fn as_json(subject: &TestedAgent, holds: bool, checks: Value, record: &ConversationRecord, times: &[u64]) -> Value {
    let (heard, voice) = record.heard_ms();
    let rows = picture::rows(record).into_iter().map(|(name, row)| (name.to_owned(), json!(row)));
    json!({
        "url": trunkgate_route::url_place(&subject.spec.url),
        "format": subject.settings.format.name(),
        "holds": holds,
        "checks": checks,
        "connect_ms": record.connect_ms,
        "first_audio_ms": times,
        "spoke_ms": record.spoke_ms,
        "said_ms": record.said_ms,
        "answer_ms": record.answer_ms,
        "pieces": record.pieces.len(),
        "audio_ms": record.audio_ms(),
        "heard_ms": heard,
        "voice_ms": voice,
        "real_time_factor": record.real_time_factor(),
        "held_ms": record.held_ms,
        "marks": { "set": record.marks_set, "returned": record.marks_returned },
        "interruption": record.interruption.map(|one| json!({
            "at_ms": one.at_ms,
            "held_ms": one.held_ms,
            "cleared_ms": one.cleared_ms,
            "silent_ms": one.silent_ms,
        })),
        "pings_ms": record.pings_ms,
        "closed_after_ms": record.closed_after_ms,
        "picture": rows.collect::<serde_json::Map<_, _>>(),
    })
}

impl AgentTestPlan {
    fn new(given: Option<&Path>, verb: &AgentTest) -> Result<AgentTestPlan, String> {
        let subject = TestedAgent::new(given, verb)?;
        let speech = match &verb.wav {
            Some(path) => audio::mulaw(path, AudioLimits { bytes: PLAYED_BYTES, seconds: SAID_SECONDS }, Use::Once)
                .map_err(|what| {
                    format!("--wav {}: {what}; convert it: `ffmpeg -i FILE -ac 1 -ar 8000 out.wav`", path.display())
                })?,
            None => speech::synthetic(),
        };
        Ok(AgentTestPlan {
            speech: in_format(speech, subject.settings.format),
            subject,
            chance: edge::seed().map_err(|error| error.to_string())?,
            shows_steps: !verb.json,
        })
    }

    /// Holds one complete conversation, then `times - 1` short ones that end with the agent's first word. Returns the
    /// record of the first one, and the time to the first word of each, in milliseconds.
    async fn talk(&self, times: u32) -> (ConversationRecord, Vec<u64>) {
        let (url, longest) = (trunkgate_route::url_place(&self.subject.spec.url), talk::longest(self).as_secs());
        self.show(&format!("testing {url}, up to {longest} s"));
        let mut record = talk::talk(self, true).await;
        record.url.clone_from(&self.subject.spec.url);
        record.signed = self.subject.spec.auth_token.is_some();
        (record.connect_most_ms, record.first_audio_most_ms) = self.subject.most_ms;
        let mut first: Vec<u64> = record.first_voice_ms.into_iter().collect();
        for n in 1..times {
            // An agent that stays silent or is lost is not called again.
            if first.is_empty() || record.lost.is_some() {
                break;
            }
            self.show(&format!("  conversation {} of {times}, to its first word", n + 1));
            first.extend(talk::talk(self, false).await.first_voice_ms);
        }
        (record, first)
    }

    /// Prints a step, except with JSON output.
    fn show(&self, step: &str) {
        if self.shows_steps {
            client::say(&format!("{}\n", terminal::harmless(step)));
        }
    }

    /// Returns a SID of 34 characters, beginning with `kind` (e.g. `MZ…`).
    fn name(&self, kind: &str) -> String {
        let salt = kind.bytes().next().unwrap_or_default();
        let digits = self.chance.iter().take(16).map(|byte| format!("{:02x}", byte ^ salt));
        format!("{kind}{}", digits.collect::<String>())
    }
}

/// Converts μ-law audio to the agent's format.
fn in_format(words: Arc<[u8]>, format: AgentFormat) -> Arc<[u8]> {
    if format == AgentFormat::Mulaw8000 {
        return words;
    }
    let samples: Vec<i16> = words.iter().map(|code| decode_ulaw(*code)).collect();
    let mut out = Vec::with_capacity(samples.len() * format.bytes_per_ms() / 8);
    let mut write = |sample: i16| out.extend_from_slice(&sample.to_le_bytes());
    match Resampler::new(8_000, format.sample_rate()) {
        Some(mut resampler) => resampler.process(&samples, write),
        None => samples.into_iter().for_each(&mut write),
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_length_in_every_format() {
        let words = speech::synthetic();
        for format in AgentFormat::ALL {
            let made = in_format(words.clone(), format);
            assert_eq!(made.len() / format.bytes_per_ms(), 2_000, "{}", format.name());
            assert!(format.is_heard(&made), "{}", format.name());
        }
    }
}
