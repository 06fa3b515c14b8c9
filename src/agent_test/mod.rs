//! `trunkgate agent test`: plays the edge's side to an agent, without a phone and without SIP, and says what the caller of a
//! real call would have noticed.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use trunkgate_media::SocketSpec;

use crate::agent_url;
use crate::audio::{self, Most, Use};
use crate::cli::AgentTest;
use crate::config::Config;
use crate::findings::{self, Level};
use crate::limits::{AGENT_FILE_BYTES, PLAYED_BYTES};
use crate::{client, config, edge, run};

mod judge;
mod picture;
mod record;
mod speech;
mod talk;

use record::Record;

/// The variable that the signature's secret is in where none is named.
const TOKEN: &str = "TRUNKGATE_AGENT_TOKEN";
/// Longest file that the caller says, in seconds.
const SAID_SECONDS: usize = 60;

/// What is to be done, all of it readable.
struct Plan {
    spec: SocketSpec,
    parameters: Vec<(String, String)>,
    /// The caller's words, in μ-law.
    speech: Arc<[u8]>,
    /// What the names of account, call and stream are made of.
    chance: [u8; 32],
}

/// Talks with the agent; exit 1 where a line is FAIL, 2 for what cannot be tried.
pub fn run(config: Option<&Path>, verb: &AgentTest) -> ExitCode {
    let told = Plan::new(config, verb).and_then(|plan| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let told = runtime.block_on(plan.talk(verb.times));
        runtime.shutdown_background();
        Ok(told)
    });
    let (record, times) = match told {
        Ok(told) => told,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(run::USAGE);
        }
    };
    let found = judge::judge(&record, &times);
    let holds = found.iter().all(|finding| finding.level != Level::Fail);
    if verb.json {
        let checks: Value = found.iter().map(findings::json).collect();
        client::say(&format!("{:#}\n", as_json(&verb.url, holds, checks, &record, &times)));
    } else {
        let picture = if record.ticks.is_empty() { String::new() } else { format!("{}\n", picture::text(&record)) };
        client::say(&format!("{picture}{}", findings::text(&found)));
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn as_json(url: &str, holds: bool, checks: Value, record: &Record, times: &[u64]) -> Value {
    let (heard, voice) = record.heard_ms();
    let rows = picture::rows(record).into_iter().map(|(name, row)| (name.to_owned(), json!(row)));
    json!({
        "url": url.split(['?', '#']).next().unwrap_or_default(),
        "holds": holds,
        "checks": checks,
        "connect_ms": record.connect_ms,
        "first_audio_ms": times,
        "said_ms": record.said_ms,
        "pieces": record.pieces.len(),
        "audio_ms": record.audio_bytes / 8,
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

impl Plan {
    fn new(given: Option<&Path>, verb: &AgentTest) -> Result<Plan, String> {
        let networks = near(given)?.edge.local_networks;
        let url =
            agent_url::check(&verb.url, &networks).map_err(|fault| format!("{}: {}", fault.message, fault.help))?;
        if url.scheme() == "rtp" {
            return Err("plain RTP only listens: there is nothing to test".to_owned());
        }
        let speech = match &verb.wav {
            Some(path) => {
                audio::mulaw(path, Most { bytes: PLAYED_BYTES, seconds: SAID_SECONDS }, Use::Once).map_err(|what| {
                    format!(
                        "--wav {}: {what}; `ffmpeg -i FILE -ac 1 -ar 8000 out.wav` makes one that fits",
                        path.display()
                    )
                })?
            }
            None => speech::synthetic(),
        };
        let ca = verb.ca.as_ref().map(|path| {
            let read = std::fs::read(path).ok().filter(|pem| pem.len() as u64 <= AGENT_FILE_BYTES);
            read.map(Arc::from).ok_or_else(|| format!("--ca {} cannot be read", path.display()))
        });
        let variable = verb.auth_token_env.as_deref().unwrap_or(TOKEN);
        let auth_token = std::env::var(variable).ok().filter(|token| !token.is_empty());
        if auth_token.is_none() && verb.auth_token_env.is_some() {
            return Err(format!("--auth-token-env {variable}: the environment has no such variable"));
        }
        let parameter = |text: &String| {
            let (name, value) = text.split_once('=').ok_or_else(|| format!("--parameter {text}: as NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        Ok(Plan {
            spec: SocketSpec { url: verb.url.clone(), auth_token, ca: ca.transpose()?, plain_networks: networks },
            parameters: verb.parameter.iter().map(parameter).collect::<Result<_, String>>()?,
            speech,
            chance: edge::seed().map_err(|error| error.to_string())?,
        })
    }

    /// A whole conversation, then such that end with the agent's first word.
    async fn talk(&self, times: u32) -> (Record, Vec<u64>) {
        let record = talk::talk(self, true).await;
        let mut first: Vec<u64> = record.first_voice_ms.into_iter().collect();
        for _ in 1..times {
            // Who says nothing, or is lost, is not asked again.
            if first.is_empty() || record.lost.is_some() {
                break;
            }
            first.extend(talk::talk(self, false).await.first_voice_ms);
        }
        (record, first)
    }

    /// `MZ…` and the like: 34 characters.
    fn name(&self, kind: &str) -> String {
        let salt = kind.bytes().next().unwrap_or_default();
        let digits = self.chance.iter().take(16).map(|byte| format!("{:02x}", byte ^ salt));
        format!("{kind}{}", digits.collect::<String>())
    }
}

/// Where `ws://` may lead: as the file says, else as one without a word would.
fn near(given: Option<&Path>) -> Result<Config, String> {
    match given {
        Some(path) => config::load(path)
            .map(|(config, _)| config)
            .map_err(|_| format!("{} has mistakes: `trunkgate check` names them", path.display())),
        None => config::parse(Path::new(""), "").map(|(config, _)| config).map_err(|_| "no configuration".to_owned()),
    }
}
