//! Agent under test: an agent of the configuration, with its settings for calls, or a URL.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trunkgate_call::socket_spec;
use trunkgate_media::SocketSpec;
use trunkgate_media::agent::{AgentFormat, StreamSettings};
use trunkgate_route::{Agent, TemplateValues};

use crate::cli::AgentTest;
use trunkgate_config::{self as config, Config};
use trunkgate_system::agent_url::{self, QUERY_HELP, QUERY_UNSENT};
use trunkgate_system::certificates::TrustAnchors;
use trunkgate_system::files;
use trunkgate_system::limits::AGENT_FILE_BYTES;

/// Default environment variable with the signing secret, for an agent given by URL.
const TOKEN: &str = "TRUNKGATE_AGENT_TOKEN";
/// Call facts for placeholders in an agent's `parameters`; the numbers are reserved for fiction (555-0100 to 555-0199).
const FACTS: TemplateValues<'static> = TemplateValues {
    caller: "+14155550100",
    called: "+14155550199",
    route: "test",
    trunk: "test",
    headers: &[],
    outcome: "",
    reason: "",
};

/// An agent and its connection settings.
pub(super) struct TestedAgent {
    pub(super) spec: SocketSpec,
    /// Stream settings; the SIDs of account, call and stream are set later.
    pub(super) settings: StreamSettings,
    /// `connect_timeout` and `first_audio_timeout` of the agent, in milliseconds; `None` if unlimited or unknown.
    pub(super) most_ms: (Option<u64>, Option<u64>),
}

impl TestedAgent {
    /// Finds the agent named on the command line.
    ///
    /// # Errors
    /// Returns a message if the agent is unknown or a plain RTP listener, or if a flag of the verb is invalid.
    pub(super) fn new(given: Option<&Path>, verb: &AgentTest) -> Result<TestedAgent, String> {
        let (agent, config) = match verb.agent.split_once("://") {
            Some((scheme, _)) => at_url(given, scheme, &verb.agent)?,
            None => by_name(given, &verb.agent)?,
        };
        if agent.is_raw() {
            return Err("a plain RTP listener cannot be tested".to_owned());
        }
        let auth_token = match &verb.auth_token_env {
            Some(variable) => Some(
                environment(variable)
                    .ok_or_else(|| format!("--auth-token-env {variable}: environment variable not set"))?,
            ),
            None if is_url(&verb.agent) => environment(TOKEN),
            None => agent.auth_token.clone(),
        };
        let format = match &verb.format {
            Some(name) => AgentFormat::from_name(name).ok_or_else(|| {
                let known = AgentFormat::ALL.map(AgentFormat::name).join(", ");
                format!("--format {name}: use one of {known}")
            })?,
            None => AgentFormat::from_name(agent.format).unwrap_or_default(),
        };
        let mut parameters: Vec<(String, String)> =
            agent.parameters.iter().map(|(name, value)| (name.clone(), value.fill(&FACTS))).collect();
        for text in &verb.parameter {
            let (name, value) = text.split_once('=').ok_or_else(|| format!("--parameter {text}: use NAME=VALUE"))?;
            parameters.retain(|(known, _)| known != name);
            parameters.push((name.to_owned(), value.to_owned()));
        }
        let settings =
            StreamSettings { format, parameters, extras: agent.extras, ping: agent.ping, ..StreamSettings::default() };
        let mut spec = SocketSpec { auth_token, ..socket_spec(&agent, &config.edge.local_networks) };
        if let Some(path) = &verb.ca {
            spec.ca = Some(certificates(path)?);
        }
        let most = |time: Duration| {
            let is_set = !time.is_zero() && !is_url(&verb.agent);
            is_set.then(|| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        };
        Ok(TestedAgent { spec, settings, most_ms: (most(agent.connect_timeout), most(agent.first_audio_timeout)) })
    }
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|text| !text.is_empty())
}

fn certificates(path: &Path) -> Result<Arc<[u8]>, String> {
    let wrong = |what: String| format!("--ca {}: {what}", path.display());
    let pem = files::read(path, AGENT_FILE_BYTES).map_err(|error| wrong(error.to_string()))?;
    if pem.len() as u64 > AGENT_FILE_BYTES {
        return Err(wrong(format!("more than {} MiB", AGENT_FILE_BYTES >> 20)));
    }
    TrustAnchors::of_pem(&pem).map_err(wrong)?;
    Ok(pem.into())
}

/// Returns an agent for a URL. The configuration only decides whether `ws://` is permitted.
fn at_url(given: Option<&Path>, scheme: &str, text: &str) -> Result<(Agent, Config), String> {
    if !["ws", "wss", "rtp"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(match scheme.to_ascii_lowercase().as_str() {
            "https" | "http" => {
                let rest = text.split_once("://").map_or("", |(_, rest)| rest);
                let meant = if scheme.eq_ignore_ascii_case("https") { "wss" } else { "ws" };
                format!(
                    "an agent's URL cannot start with {scheme}://: did you mean {meant}://{rest}? Use the URL of \
                     `<Stream url>`, not the webhook's"
                )
            }
            _ => format!(
                "an agent's URL cannot start with {scheme}://: use wss://, or ws:// on loopback and in local_networks"
            ),
        });
    }
    let config = match given {
        Some(path) => load(path)?,
        None => config::parse(Path::new(""), "").map(|(config, _)| config).map_err(|_| "no configuration")?,
    };
    let url = agent_url::check(text, &config.edge.local_networks)
        .map_err(|fault| format!("{}: {}", fault.message, fault.help))?;
    if url.query().is_some() {
        return Err(format!("{QUERY_UNSENT} ({QUERY_HELP}; here: --parameter NAME=VALUE)"));
    }
    Ok((Agent::at("", text), config))
}

fn by_name(given: Option<&Path>, name: &str) -> Result<(Agent, Config), String> {
    let otherwise = "a URL starts with wss:// or ws://";
    let Some(path) = config::find(given) else {
        return Err(format!("{name}: no configuration with [agent.{name}] (--config FILE); {otherwise}"));
    };
    let mut config = load(&path)?;
    match config.agents.iter().position(|agent| *agent.name == *name) {
        Some(at) => Ok((config.agents.swap_remove(at), config)),
        None => {
            let known: Vec<&str> = config.agents.iter().map(|agent| &*agent.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(format!("{} has no [agent.{name}]; its agents: {known}; {otherwise}", path.display()))
        }
    }
}

fn load(path: &Path) -> Result<Config, String> {
    config::load(path)
        .map(|(config, _)| config)
        .map_err(|_| format!("{} has errors: `trunkgate check` lists them", path.display()))
}
