//! The command line: verbs, flags and their help texts. The EXAMPLES sections are in `examples`.

mod examples;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args, Parser, Subcommand, ValueEnum, value_parser};

use trunkgate_config as config;

/// Default interval of `--watch`, in seconds.
const WATCH_EVERY: &str = "2";

/// Session border controller (B2BUA) for SIP trunks and voice agents, with failover.
#[derive(Debug, Parser)]
#[command(name = "trunkgate", version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(after_help = examples::PROGRAM)]
pub struct Cli {
    /// Configuration file [default: $TRUNKGATE_CONFIG, else
    /// ./trunkgate.toml, else /etc/trunkgate/trunkgate.toml]
    #[arg(long, global = true, value_name = "FILE", verbatim_doc_comment)]
    pub config: Option<PathBuf>,
    /// The verb.
    #[command(subcommand)]
    pub verb: CliVerb,
}

/// Returns a hidden `--config` for a verb that reads no configuration file.
fn no_config() -> Arg {
    Arg::new("config").long("config").value_name("FILE").value_parser(value_parser!(PathBuf)).hide(true)
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum CliVerb {
    /// Run the edge (SIGHUP reloads, SIGTERM drains, a second SIGTERM ends all calls)
    #[command(after_help = examples::RUN)]
    Run {
        /// Maximum time to wait for live calls after SIGTERM
        #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
        drain: Duration,
        /// Take over from the edge that serves this Unix socket, then serve it
        #[arg(long, value_name = "PATH")]
        take_over: Vec<PathBuf>,
        /// Start only once a byte arrives on standard input; the keeper starts its second process in this way
        #[arg(long, hide = true, conflicts_with = "take_over")]
        standby: bool,
    },
    /// Run the edge in a child process, and start it again after a crash
    #[command(after_help = examples::KEEPER)]
    Keeper {
        /// Verb `run` with its flags
        #[arg(last = true, required = true, value_name = "run [ARGS]", num_args = 1..)]
        command: Vec<OsString>,
    },
    /// Place four calls through a complete setup on loopback: carrier, edge, trunks, agent
    #[command(after_help = examples::DEMO, arg = no_config())]
    Demo {
        /// Keep the edge running after the calls
        #[arg(long)]
        serve: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a commented trunkgate.toml (never overwrites a file)
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Validate the configuration and list every error
    #[command(after_help = examples::CHECK)]
    Check {
        /// Exit with 1 on warnings as well
        #[arg(long)]
        strict: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a summary of a running edge
    #[command(after_help = examples::STATUS)]
    Status {
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Refresh continuously [default: 2]; with --json, one line per refresh
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = WATCH_EVERY, value_parser = seconds)]
        watch: Option<Duration>,
        /// Exit with code 1 if the edge has problems or accepts no calls
        #[arg(long, conflicts_with = "watch")]
        check: bool,
    },
    /// List, show or end calls of a running edge
    #[command(after_help = examples::CALLS)]
    Calls {
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Print JSON
        #[arg(long, global = true)]
        json: bool,
        /// Filters.
        #[command(flatten)]
        listing: CallListing,
        /// The verb on calls; `ls` if none is given.
        #[command(subcommand)]
        what: Option<CallVerb>,
    },
    /// Monitor calls interactively: list, SIP ladder, messages, quality (sngrep keys)
    #[command(after_help = examples::TOP)]
    Top {
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
    },
    /// Show the SIP ladder of a call, all legs side by side, with a verdict
    #[command(after_help = examples::TRACE)]
    Trace {
        /// Call SID (CA…), a prefix of one, or `last`
        sid: String,
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print the SIP messages as they were on the wire, secrets overwritten
        #[arg(long, conflicts_with = "svg")]
        raw: bool,
        /// Write the ladder as SVG to this file, or `-` for stdout
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        svg: Option<PathBuf>,
        /// Show keys, digest responses and digits (never recorded)
        #[arg(long, hide = true)]
        secrets: bool,
    },
    /// Export the SIP messages of a call as pcapng (TLS decrypted, secrets masked)
    #[command(after_help = examples::PCAP)]
    Pcap {
        /// Call SID (CA…), a prefix of one, or `last`
        sid: String,
        /// Output file, or `-` for stdout [default: SID.pcapng]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Include RTP (not in this version)
        #[arg(long, hide = true)]
        media: bool,
        /// Show keys, digest responses and digits (never recorded)
        #[arg(long, hide = true)]
        secrets: bool,
    },
    /// List, export, verify or delete recordings of a running edge
    #[command(after_help = examples::RECORDINGS)]
    Recordings {
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Print JSON
        #[arg(long, global = true)]
        json: bool,
        /// Filters.
        #[command(flatten)]
        listing: RecordingListing,
        /// The verb on recordings; `ls` if none is given.
        #[command(subcommand)]
        what: Option<RecordingVerb>,
    },
    /// Place a test call and report its ladder, codec, loss, jitter and MOS
    #[command(after_help = examples::CALL)]
    Call(TestCall),
    /// Generate calls through an edge and measure setup time and audio quality
    #[command(after_help = examples::LOADTEST)]
    Loadtest(LoadTest),
    /// Explain how a call would be routed: each route with its first failed condition
    #[command(after_help = examples::WHY)]
    Why(WhyArgs),
    /// Check configuration, machine, DNS and certificates, and reach every peer and agent
    #[command(after_help = examples::DOCTOR)]
    Doctor {
        /// Run only this check (config, "options TRUNK", sip-alg …)
        /// or group (machine, media, peers, agents, apps); repeatable
        #[arg(long, value_name = "NAME", verbatim_doc_comment)]
        only: Vec<String>,
        /// The running edge.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print one JSON object per line, as each check finishes
        #[arg(long, conflicts_with = "json")]
        json_line: bool,
    },
    /// Test a voice agent without SIP
    #[command(after_help = examples::AGENT)]
    Agent {
        /// The verb on agents.
        #[command(subcommand)]
        what: AgentVerb,
    },
    /// List presets (settings of known providers) and the source of each value
    #[command(after_help = examples::PRESET)]
    Preset {
        /// The verb on presets.
        #[command(subcommand)]
        what: PresetVerb,
        /// Print JSON
        #[arg(long, global = true)]
        json: bool,
    },
    /// Show the effective configuration, or the schema of the file
    #[command(name = "config", after_help = examples::CONFIG)]
    Configuration {
        /// The verb on the configuration.
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Run programs written for Twilio against an edge, unchanged
    #[command(after_help = examples::TWILIO, args_conflicts_with_subcommands = true)]
    Twilio {
        /// The sandbox, where no verb is given.
        #[command(flatten)]
        sandbox: Box<TwilioSandbox>,
        /// The verb on Twilio's clients.
        #[command(subcommand)]
        what: Option<TwilioVerb>,
    },
    /// Reload the configuration of a running edge
    #[command(after_help = examples::RELOAD)]
    Reload {
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Replace a running edge with the installed program; live calls continue
    #[command(after_help = examples::UPGRADE)]
    Upgrade {
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop accepting new calls; live calls continue
    #[command(after_help = examples::DRAIN)]
    Drain {
        /// The edge to connect to.
        #[command(flatten)]
        remote: EdgeArgs,
        /// Accept new calls again
        #[arg(long)]
        undo: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Generate shell completions
    #[command(after_help = examples::COMPLETIONS, arg = no_config())]
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages to a directory
    #[command(after_help = examples::MAN, arg = no_config())]
    Man {
        /// Output directory [default: only list the pages and how to install them]
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Explain a verb, an error code, a reason or a SIP status (TG0104, no_route, 503)
    #[command(after_help = examples::HELP, arg = no_config())]
    Help {
        /// Verb, error code, reason slug or SIP status code [default: list of verbs]
        topic: Vec<String>,
        /// Print all error codes as Markdown; with topic `reasons`: all reasons
        #[arg(long)]
        markdown: bool,
    },
}

/// Arguments of `trunkgate init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Provider trunk, e.g. twilio:acme, telnyx:eu or carrier:HOST; repeatable
    #[arg(long, value_name = "KIND:VALUE")]
    pub trunk: Vec<String>,
    /// PBX, e.g. freepbx:10.0.0.5
    #[arg(long, value_name = "KIND:VALUE")]
    pub pbx: Option<String>,
    /// WebSocket URL of a voice agent
    #[arg(long, value_name = "URL")]
    pub agent: Option<String>,
    /// Do not prompt
    #[arg(long)]
    pub yes: bool,
}

/// The running edge to connect to.
#[derive(Debug, Clone, Default, Args)]
pub struct EdgeArgs {
    /// HTTP API of the edge [default: from the configuration]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Bearer token of the HTTP API
    /// [default: configured token, own edge only]
    #[arg(
        long,
        verbatim_doc_comment,
        global = true,
        env = "TRUNKGATE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,
    /// CA bundle (PEM) to verify the server
    /// [default: from the configuration; with --url: system roots]
    #[arg(long, verbatim_doc_comment, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Filters of listed calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct CallListing {
    /// Filter by state: live, trying, ringing, early, answered,
    /// held, transferring, ended
    #[arg(long, verbatim_doc_comment)]
    pub state: Option<String>,
    /// Filter by trunk (any leg)
    #[arg(long)]
    pub trunk: Option<String>,
    /// Filter by outcome: answered, busy, no_answer, canceled,
    /// refused, failed
    #[arg(long, verbatim_doc_comment)]
    pub outcome: Option<String>,
    /// Filter by reason, e.g. no_route (see docs/reference/reasons.md)
    #[arg(long)]
    pub reason: Option<String>,
    /// Filter by SIP code: sent to the caller, or with which a
    /// target rejected the call
    #[arg(long, verbatim_doc_comment, value_name = "CODE")]
    pub code: Option<u16>,
    /// Filter by flag: one_way, codec_mismatch, unsent, loss,
    /// app_error, agent_failed, recording_gap, failed_over, agent,
    /// listened, transcoded, srtp
    #[arg(long, verbatim_doc_comment)]
    pub flag: Option<String>,
    /// Maximum number of calls [default: 100; on a terminal those that
    /// fit into it]
    #[arg(long, verbatim_doc_comment, value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Print CSV (columns as in `[cdr] format = "csv"`)
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Refresh continuously [default: 2]; with --json, one line per refresh
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = WATCH_EVERY, value_parser = seconds, conflicts_with = "csv")]
    pub watch: Option<Duration>,
}

/// `calls …`
#[derive(Debug, Subcommand)]
pub enum CallVerb {
    /// List live and recent calls
    #[command(after_help = examples::CALLS_LS)]
    Ls(CallListing),
    /// Show one call in full
    #[command(after_help = examples::CALLS_SHOW)]
    Show {
        /// Call SID (CA…), a prefix of one, or `last`
        sid: String,
    },
    /// End a call
    #[command(after_help = examples::CALLS_HANGUP)]
    Hangup {
        /// Call SID (CA…), a prefix of one, or `last`
        sid: String,
    },
}

/// Filters of listed recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct RecordingListing {
    /// Filter by call SID
    #[arg(long, value_name = "CALL")]
    pub call: Option<String>,
    /// Filter by mailbox
    #[arg(long, value_name = "NAME")]
    pub voicemail: Option<String>,
    /// Filter by start: this time or later, e.g. 2026-11-25 or
    /// 2026-11-25T09:00:00Z
    #[arg(long, verbatim_doc_comment, value_name = "TIME", value_parser = time)]
    pub since: Option<String>,
    /// Filter by start: before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<String>,
    /// Maximum number of recordings [default: 100]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
}

/// `recordings …`
#[derive(Debug, Subcommand)]
pub enum RecordingVerb {
    /// List recordings, the newest first
    #[command(after_help = examples::RECORDINGS_LS)]
    Ls(RecordingListing),
    /// Show one recording in full
    #[command(after_help = examples::RECORDINGS_SHOW)]
    Show {
        /// Recording SID (RE…), a prefix of one, or `last`
        sid: String,
    },
    /// Write the audio of recordings to files, decrypted
    #[command(after_help = examples::RECORDINGS_EXPORT)]
    Export {
        /// Recording SIDs (RE…), prefixes, or `last`
        #[arg(value_name = "SID", required = true)]
        sids: Vec<String>,
        /// Output file, directory, or `-` for stdout
        /// [default: SID.wav or SID.opus here]
        #[arg(short, long, verbatim_doc_comment, value_name = "FILE|DIR")]
        output: Option<PathBuf>,
    },
    /// Compare stored files with their check sums; exit with 1 if one differs
    #[command(after_help = examples::RECORDINGS_VERIFY)]
    Verify {
        /// Recording SIDs (RE…), prefixes, or `last` [default: all]
        #[arg(value_name = "SID")]
        sids: Vec<String>,
    },
    /// Delete recordings; their entries stay for 40 days
    #[command(after_help = examples::RECORDINGS_DELETE)]
    Delete {
        /// Recording SIDs (RE…), prefixes, or `last`
        #[arg(value_name = "SID", required = true)]
        sids: Vec<String>,
    },
}

/// `preset …`
#[derive(Debug, Subcommand)]
pub enum PresetVerb {
    /// List presets
    #[command(after_help = examples::PRESET_LIST)]
    List,
    /// Show which settings of a preset trunks override
    #[command(after_help = examples::PRESET_DIFF)]
    Diff {
        /// Preset name, e.g. twilio
        name: String,
    },
    /// Show the values of a preset and their sources
    #[command(after_help = examples::PRESET_SHOW)]
    Show {
        /// Preset name, e.g. twilio
        name: String,
    },
}

/// `config …`
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print the effective configuration (file, presets and defaults) without secrets
    #[command(after_help = examples::CONFIG_SHOW)]
    Show {
        /// Print all defaults, without reading a file
        #[arg(long)]
        defaults: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the schema of the configuration file (JSON Schema)
    #[command(after_help = examples::CONFIG_SCHEMA)]
    Schema {
        /// Print Markdown instead (docs/reference/keys.md)
        #[arg(long)]
        markdown: bool,
    },
}

/// `twilio …`
#[derive(Debug, Subcommand)]
pub enum TwilioVerb {
    /// Print shell variables that direct Twilio's libraries, its CLI and curl to the edge
    #[command(after_help = examples::TWILIO_ENV)]
    Env(TwilioEnv),
    /// Print a hosts-file line that resolves Twilio's host names to the edge
    #[command(after_help = examples::TWILIO_HOSTS)]
    Hosts(TwilioHosts),
    /// Add the edge's CA to trust stores, so that programs accept the edge as api.twilio.com
    #[command(after_help = examples::TWILIO_TRUST)]
    Trust(TwilioTrust),
}

/// `twilio --app URL`
#[derive(Debug, Args)]
pub struct TwilioSandbox {
    /// Test this application: its webhook for voice calls
    #[arg(long, value_name = "URL")]
    pub app: Option<String>,
    /// Scripts of calls, one step a line: hear TEXT, press DIGITS, ends; or folders of them
    #[arg(value_name = "SCRIPT")]
    pub scripts: Vec<PathBuf>,
    /// Add a step of one more call, instead of a script; repeatable
    #[arg(long = "step", value_name = "STEP")]
    pub steps: Vec<String>,
    /// Start the application by this command, and stop it at the end
    #[arg(long, value_name = "COMMAND")]
    pub start: Option<String>,
    /// Public URL of the application (signatures, links)
    #[arg(long = "as", value_name = "URL")]
    pub public: Option<String>,
    /// Maximum time until the application listens
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub start_timeout: Duration,
    /// Method of the webhook
    #[arg(long, value_name = "METHOD", default_value = "POST", value_parser = ["POST", "GET"], hide_possible_values = true)]
    pub method: String,
    /// Called number
    #[arg(long, value_name = "NUMBER", default_value = "+14155550100", value_parser = e164)]
    pub to: String,
    /// Number of the caller
    #[arg(long, value_name = "NUMBER", default_value = "+14155550199", value_parser = e164)]
    pub from: String,
    /// Add a number of the account, with the same webhook; repeatable
    #[arg(long = "number", value_name = "NUMBER", value_parser = e164)]
    pub numbers: Vec<String>,
    /// Webhook for text messages to the numbers
    #[arg(long, value_name = "URL")]
    pub sms: Option<String>,
    /// Send its requests for Twilio to the sandbox; tunnel: reach others
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    #[arg(value_parser = ["on", "tunnel"], hide_possible_values = true, requires = "start")]
    pub proxy: Option<String>,
    /// Scripts that run at the same time, 1 to 16
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub parallel: u8,
    /// Maximum time until an expectation is met
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// Accept a Play whose file cannot be fetched
    #[arg(long)]
    pub allow_missing_audio: bool,
    /// Accept documents with warnings, such as an unknown attribute
    #[arg(long)]
    pub allow_warnings: bool,
    /// Accept dialled numbers that no step expects
    #[arg(long)]
    pub allow_undeclared_dials: bool,
    /// Write the results as JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Address of the API and the console
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub http: SocketAddr,
    /// Keep the sandbox running after the calls
    #[arg(long)]
    pub serve: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads a number in E.164.
fn e164(text: &str) -> Result<String, String> {
    let digits = text
        .strip_prefix('+')
        .filter(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit()));
    digits.map(|_| text.to_owned()).ok_or_else(|| "expected a number in E.164, such as +14155550100".to_owned())
}

/// Arguments of `trunkgate twilio env`.
#[derive(Debug, Clone, Args)]
pub struct TwilioEnv {
    /// Directory for the two files of certificates
    /// [default: $XDG_CACHE_HOME/trunkgate, else ~/.cache/trunkgate]
    #[arg(long, verbatim_doc_comment, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// The edge to connect to.
    #[command(flatten)]
    pub remote: EdgeArgs,
}

/// Arguments of `trunkgate twilio hosts`.
#[derive(Debug, Clone, Args)]
pub struct TwilioHosts {
    /// Address at which clients reach the edge [default: that of its TLS listener]
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// The edge to connect to.
    #[command(flatten)]
    pub remote: EdgeArgs,
}

/// Arguments of `trunkgate twilio trust`.
#[derive(Debug, Clone, Args)]
pub struct TwilioTrust {
    /// Trust stores to change: system, certifi, java, php
    #[arg(value_name = "STORE", value_enum, required = true, hide_possible_values = true)]
    pub stores: Vec<TrustStore>,
    /// Make the changes instead of printing them
    #[arg(long)]
    pub yes: bool,
    /// Remove the CA that this command added
    #[arg(long)]
    pub undo: bool,
    /// Python interpreter whose certifi is changed
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: String,
    /// The edge to connect to.
    #[command(flatten)]
    pub remote: EdgeArgs,
}

/// A trust store of `twilio trust`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrustStore {
    /// The operating system's: curl, PHP, Go, Ruby, wget.
    System,
    /// Python's package certifi: requests, httpx, twilio-python.
    Certifi,
    /// Java's `cacerts`.
    Java,
    /// The bundles that PHP's configuration names.
    Php,
}

/// `agent …`
#[derive(Debug, Subcommand)]
pub enum AgentVerb {
    /// Connect to an agent as the edge does and check protocol, pacing and latency
    #[command(after_help = examples::AGENT_TEST)]
    Test(AgentTest),
}

/// Arguments of `trunkgate agent test`.
#[derive(Debug, Args)]
pub struct AgentTest {
    /// Agent name from the configuration, or a WebSocket URL
    #[arg(value_name = "NAME|URL")]
    pub agent: String,
    /// Send this WAV file instead of synthetic speech
    /// (converted to mono, 8000 Hz)
    #[arg(long, verbatim_doc_comment, value_name = "FILE")]
    pub wav: Option<PathBuf>,
    /// Record the agent's audio to this WAV file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Audio format: mulaw/8000, l16/8000, l16/16000 or l16/24000
    /// [default: from the configuration, else mulaw/8000]
    #[arg(long, verbatim_doc_comment, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Entry of `start.customParameters`; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub parameter: Vec<String>,
    /// Environment variable with the secret of X-Twilio-Signature
    /// [default: from the configuration, else TRUNKGATE_AGENT_TOKEN]
    #[arg(long, verbatim_doc_comment, value_name = "NAME")]
    pub auth_token_env: Option<String>,
    /// CA bundle (PEM) to verify the agent
    /// [default: from the configuration, else system roots]
    #[arg(long, verbatim_doc_comment, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Connections; all but the first end at first audio
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub times: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `trunkgate call`.
#[derive(Debug, Clone, Default, Args)]
pub struct TestCall {
    /// Called SIP URI, e.g. sip:+14155550123@sbc.example.com;transport=tls
    #[arg(value_name = "SIP-URI")]
    pub uri: String,
    /// Play this audio file (WAV, MP3, Ogg, …) instead of a tone
    #[arg(long, value_name = "FILE")]
    pub play: Option<PathBuf>,
    /// Record the received audio to this WAV file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Offer one codec: PCMU, PCMA, G722 or opus [default: PCMU, PCMA]
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<String>,
    /// Send DTMF digits (RFC 4733) from 1 s after the answer, e.g. 123#
    /// [w pauses for 0.5 s, W for 1 s: wwww1 presses 1 after 3 s]
    #[arg(long, verbatim_doc_comment, value_name = "KEYS")]
    pub dtmf: Option<String>,
    /// Offer SRTP (SDES) only
    #[arg(long)]
    pub srtp: bool,
    /// Hang up this long after the answer
    /// [default: 5s; with --play or --dtmf: 1s after the end of the
    /// file and the digits]
    #[arg(long, verbatim_doc_comment, value_parser = duration, value_name = "DURATION")]
    pub duration: Option<Duration>,
    /// Cancel if there is no answer in this time
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub ring_timeout: Duration,
    /// The caller.
    #[command(flatten)]
    pub caller: CallerArgs,
    /// CA bundle (PEM) to verify the server [default: system roots]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Client certificate (PEM) for mutual TLS
    #[arg(long, requires = "private_key", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Private key (PEM) of --certificate
    #[arg(long, requires = "certificate", value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Accept any server certificate
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The calling party and its digest credentials.
#[derive(Debug, Clone, Default, Args)]
pub struct CallerArgs {
    /// Caller: number or SIP URI
    #[arg(long, value_name = "NUMBER|URI")]
    pub from: Option<String>,
    /// User name for digest authentication
    #[arg(long, value_name = "USER")]
    pub username: Option<String>,
    /// Environment variable with the password
    /// [default: TRUNKGATE_PASSWORD]
    #[arg(long, verbatim_doc_comment, requires = "username", value_name = "NAME")]
    pub password_env: Option<String>,
}

/// Arguments of `trunkgate loadtest`.
#[derive(Debug, Clone, Args)]
pub struct LoadTest {
    /// Number of concurrent calls
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub calls: u32,
    /// New calls per second, e.g. 20 or 0.5
    #[arg(long, value_name = "N", default_value = "5")]
    pub cps: f64,
    /// Duration of the test
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "10s")]
    pub duration: Duration,
    /// Called SIP URI, e.g. sip:+14155550123@127.0.0.1:5060; the edge
    /// must route it to --answer [default: a private edge on loopback]
    #[arg(long, verbatim_doc_comment, value_name = "SIP-URI")]
    pub to: Option<String>,
    /// Local address of the callees; a trunk of the edge points here
    #[arg(long, requires = "to", value_name = "ADDRESS:PORT")]
    pub answer: Option<SocketAddr>,
    /// Local address of the callers; the edge identifies its trunks
    /// by source address [default: any port of the outgoing address]
    #[arg(long, verbatim_doc_comment, requires = "to", value_name = "ADDRESS:PORT")]
    pub bind: Option<SocketAddr>,
    /// Assertions, e.g. 'mos.p5>4.0,loss<0.1%,setup.p99<50ms';
    /// repeatable [default: answered=100%]
    #[arg(long, verbatim_doc_comment, value_name = "ASSERTIONS")]
    pub assert: Vec<String>,
    /// Write the results of the assertions as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Duration of each call after its answer
    /// [default: --calls / --cps seconds, at least 2s]
    #[arg(long, verbatim_doc_comment, value_parser = duration, value_name = "DURATION")]
    pub hold: Option<Duration>,
    /// Ringing time before the answer (part of the setup time)
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "DURATION")]
    pub ring: Duration,
    /// Offer one codec: PCMU or PCMA [default: both]
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<String>,
    /// SIPp scenario that places the calls, run by an installed sipp;
    /// audio that reaches the callees is judged
    #[arg(long, verbatim_doc_comment, conflicts_with = "from", value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Total number of calls [default: --cps x --duration]
    #[arg(long, requires = "scenario", conflicts_with = "duration", value_name = "N")]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub total: Option<u32>,
    /// Maximum time of the scenario [default: twice the planned time
    /// plus 60s]
    #[arg(long, verbatim_doc_comment, requires = "scenario", value_parser = duration, value_name = "DURATION")]
    pub timeout: Option<Duration>,
    /// Further arguments of sipp: -- -inf users.csv
    #[arg(last = true, requires = "scenario", value_name = "SIPP-ARGUMENT")]
    pub sipp: Vec<String>,
    /// The caller.
    #[command(flatten)]
    pub caller: CallerArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `trunkgate why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Trunk or source address of the call; `api`: a request to the
    /// Twilio-compatible API
    #[arg(long, verbatim_doc_comment, value_name = "TRUNK|ADDRESS|api")]
    pub from: String,
    /// Called number, as received
    #[arg(long, value_name = "NUMBER")]
    pub called: String,
    /// Calling number
    #[arg(long, value_name = "NUMBER", default_value = "")]
    pub caller: String,
    /// Time of the call, e.g. 2026-11-20T09:00 (in `time_zone`
    /// of the edge) or with an offset [default: now]
    #[arg(long, verbatim_doc_comment, value_name = "TIME")]
    pub at: Option<String>,
    /// Header of the INVITE; repeatable
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// List every route that does not match, however many there are
    #[arg(long)]
    pub all: bool,
    /// The edge to ask; without --url the configuration is read, and its
    /// own edge is asked for the states of the targets.
    #[command(flatten)]
    pub remote: EdgeArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "not a duration: write 500ms, 30s, 10m or 1h30m".to_owned())
}

/// Parses a date, or a date and time with an offset, and returns it in RFC 3339.
fn time(text: &str) -> Result<String, String> {
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| day().map(|day| day.timestamp()));
    time.map(|time| time.to_string()).ok_or_else(|| "not a time: write 2026-11-25 or 2026-11-25T09:00:00Z".to_owned())
}

/// Parses a number of calls, at least 1.
fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|calls| *calls > 0).ok_or_else(|| "not a number from 1 on".to_owned())
}

/// Parses the interval of `--watch` in seconds, 0.1 to 86,400.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "not a number of seconds between 0.1 and 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn calls_are_listed_with_and_without_ls() {
        for arguments in [&["calls", "--limit", "5"][..], &["calls", "ls", "--limit", "5"]] {
            let cli = Cli::try_parse_from(["trunkgate"].iter().chain(arguments)).unwrap();
            let CliVerb::Calls { listing, what, .. } = cli.verb else { panic!("{arguments:?}") };
            let listing = match what {
                None => listing,
                Some(CallVerb::Ls(listing)) => listing,
                Some(other) => panic!("{other:?}"),
            };
            assert_eq!(listing, CallListing { limit: Some(5), ..CallListing::default() }, "{arguments:?}");
        }
        for arguments in [["calls", "--csv", "--json"], ["calls", "--json", "--csv"]] {
            assert!(Cli::try_parse_from(["trunkgate"].iter().chain(&arguments)).is_err(), "{arguments:?}");
        }
        assert!(Cli::try_parse_from(["trunkgate", "calls", "ls", "--csv", "--json"]).is_err());
    }
}
