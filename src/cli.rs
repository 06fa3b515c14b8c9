//! The command line: verbs and their flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::client::watch;
use crate::config;

/// Stands between SIP trunks, a PBX and voice agents: routes calls, carries their audio, goes on where one fails.
#[derive(Debug, Parser)]
#[command(name = "trunkgate", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration [default: $TRUNKGATE_CONFIG, ./trunkgate.toml, /etc/trunkgate/trunkgate.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the edge: SIGHUP reloads, SIGTERM drains, a second one ends all calls
    Run {
        /// How long live calls may go on after SIGTERM
        #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
        drain: Duration,
    },
    /// Make four calls through an edge, a carrier, two trunks and an agent, all on loopback
    Demo {
        /// Keep the edge up after the calls
        #[arg(long)]
        serve: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a commented trunkgate.toml, never over an existing one
    Init(Init),
    /// Check the configuration: every error at once
    Check {
        /// Exit 1 for warnings too
        #[arg(long)]
        strict: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// A running edge at one glance
    Status {
        /// Which edge
        #[command(flatten)]
        remote: Remote,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Again and again, every so many seconds [without a number: 2]; with --json a line each time
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = watch::EVERY, value_parser = seconds)]
        watch: Option<Duration>,
    },
    /// Live and recent calls of a running edge
    Calls {
        /// Which edge
        #[command(flatten)]
        remote: Remote,
        /// Print JSON
        #[arg(long, global = true)]
        json: bool,
        /// Which of them
        #[command(flatten)]
        listing: Listing,
        /// What of them; default: ls
        #[command(subcommand)]
        what: Option<Calls>,
    },
    /// A running edge, live in the terminal: calls, ladders, messages, quality; sngrep's keys
    Top {
        /// Which edge
        #[command(flatten)]
        remote: Remote,
    },
    /// The ladder of a call: all legs and the agent side by side, and a verdict in words
    Trace {
        /// CA…, the beginning of it, or `last`
        sid: String,
        /// Which edge
        #[command(flatten)]
        remote: Remote,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Write it as a picture (SVG) to this file, or `-` for stdout
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        svg: Option<PathBuf>,
        /// Show keys, digest responses and digits: they are never kept
        #[arg(long, hide = true)]
        secrets: bool,
    },
    /// A call's SIP as a capture file (pcapng) for Wireshark and sngrep, TLS legs readable, secrets overwritten
    Pcap {
        /// CA…, the beginning of it, or `last`
        sid: String,
        /// Where to, or `-` for stdout [default: SID.pcapng]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Which edge
        #[command(flatten)]
        remote: Remote,
        /// Its RTP too: in a later version
        #[arg(long, hide = true)]
        media: bool,
        /// Show keys, digest responses and digits: they are never kept
        #[arg(long, hide = true)]
        secrets: bool,
    },
    /// Place one test call as a softphone: the ladder, codec, loss, jitter and MOS both ways
    Call(Call),
    /// SIP and RTP on both sides of an edge: so many calls, how they sounded, and whether what is asserted of that holds
    Loadtest(LoadTest),
    /// Each route in order with the first condition that failed, and the targets
    Why(Why),
    /// Check the configuration, then the world: sockets, limits, names, OPTIONS to each peer, certificates, agents
    Doctor {
        /// Only these lines: config, "options TRUNK", sip-alg …, or a group: machine, media, peers, agents
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print a JSON object a line, each as soon as it is known
        #[arg(long, conflicts_with = "json")]
        json_line: bool,
    },
    /// Agents, without a phone and without SIP
    Agent {
        /// What of them
        #[command(subcommand)]
        what: Agents,
    },
    /// What trunks may be told by `preset`, with the source of each value
    Preset {
        /// Which
        #[command(subcommand)]
        what: Presets,
        /// Print JSON
        #[arg(long, global = true)]
        json: bool,
    },
    /// The configuration as it holds, and what may be written
    #[command(name = "config")]
    Configuration {
        /// Which
        #[command(subcommand)]
        what: Configuration,
    },
    /// Make a running edge read its configuration again
    Reload {
        /// Which edge
        #[command(flatten)]
        remote: Remote,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a running edge refuse new calls; live ones go on
    Drain {
        /// Which edge
        #[command(flatten)]
        remote: Remote,
        /// Take calls again
        #[arg(long)]
        undo: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what a shell completes verbs and flags by
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder; none: which pages there are, and how to install them
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Explain an error code, such as TG0104
    Help {
        /// The code; none: this list of verbs
        code: Option<String>,
        /// Every code as a page: docs/codes.md
        #[arg(long, conflicts_with = "code")]
        markdown: bool,
    },
}

/// `init`
#[derive(Debug, Args)]
pub struct Init {
    /// A provider's trunk, e.g. twilio:acme.pstn.twilio.com or carrier:198.51.100.7
    #[arg(long, value_name = "KIND:VALUE")]
    pub trunk: Option<String>,
    /// A PBX, e.g. freepbx:10.0.0.5
    #[arg(long, value_name = "KIND:VALUE")]
    pub pbx: Option<String>,
    /// A voice agent's URL
    #[arg(long, value_name = "URL")]
    pub agent: Option<String>,
    /// Ask nothing
    #[arg(long)]
    pub yes: bool,
}

/// Which running edge is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct Remote {
    /// Its HTTP address [default: as in the file]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Its bearer token [default: as in the file, of a URL where that is the file's own address]
    #[arg(long, global = true, env = "TRUNKGATE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Whom its certificate must come from, where the URL is https (PEM) [default: as in the file, of a URL whom the system trusts]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Which calls are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Listing {
    /// Only those in this state: trying, ringing, early, answered, held, transferring, ended
    #[arg(long)]
    pub state: Option<String>,
    /// Only those with a leg to or from this trunk
    #[arg(long)]
    pub trunk: Option<String>,
    /// Only those that came to this: answered, busy, no_answer, canceled, refused, failed
    #[arg(long)]
    pub outcome: Option<String>,
    /// Only those that ended for this reason, as no_route: docs/reasons.md has them all
    #[arg(long)]
    pub reason: Option<String>,
    /// Only those with this flag: one_way, codec_mismatch, unsent, failed_over, agent, listened, transcoded, srtp
    #[arg(long)]
    pub flag: Option<String>,
    /// This many at most [default: 100]
    #[arg(long)]
    pub limit: Option<usize>,
    /// Print CSV, with the columns of `[cdr] format = "csv"`
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Again and again, every so many seconds [without a number: 2]; with --json a line each time
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = watch::EVERY, value_parser = seconds, conflicts_with = "csv")]
    pub watch: Option<Duration>,
}

/// `calls …`
#[derive(Debug, Subcommand)]
pub enum Calls {
    /// List them
    Ls(Listing),
    /// Show one
    Show {
        /// CA…, the beginning of it, or `last`
        sid: String,
    },
    /// End one
    Hangup {
        /// CA…, the beginning of it, or `last`
        sid: String,
    },
}

/// `preset …`
#[derive(Debug, Subcommand)]
pub enum Presets {
    /// List them
    List,
    /// What the trunks of the configuration that have it say otherwise
    Diff {
        /// e.g. twilio
        name: String,
    },
    /// Show one
    Show {
        /// e.g. twilio
        name: String,
    },
}

/// `config …`
#[derive(Debug, Subcommand)]
pub enum Configuration {
    /// The whole that holds: the file, presets, every default; secrets are left out
    Show {
        /// Every default there is, without a file
        #[arg(long)]
        defaults: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What may be written, as JSON Schema
    Schema {
        /// As a page: docs/keys.md
        #[arg(long)]
        markdown: bool,
    },
}

/// `agent …`
#[derive(Debug, Subcommand)]
pub enum Agents {
    /// Play the edge's side to an agent: order, sizes, pacing, marks, interruption, time to first audio
    Test(AgentTest),
}

/// `agent test`
#[derive(Debug, Args)]
pub struct AgentTest {
    /// An agent of the file, or a WebSocket, e.g. wss://agent.example.com/media
    #[arg(value_name = "NAME|URL")]
    pub agent: String,
    /// Say this WAV file instead of something like speech; what is not one channel of 8000 Hz is converted
    #[arg(long, value_name = "FILE")]
    pub wav: Option<PathBuf>,
    /// Write what its caller hears to this WAV file, from the opened socket on
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Its audio both ways: mulaw/8000, l16/8000, l16/16000 or l16/24000 [default: as in the file, else mulaw/8000]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// What `start.customParameters` holds; may be given again
    #[arg(long, value_name = "NAME=VALUE")]
    pub parameter: Vec<String>,
    /// The variable that the secret of X-Twilio-Signature is in [default: TRUNKGATE_AGENT_TOKEN, of a NAME the file's]
    #[arg(long, value_name = "NAME")]
    pub auth_token_env: Option<String>,
    /// Whom the agent's certificate must come from (PEM) [default: as in the file, else whom the system trusts]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Conversations: one whole, the others until the agent is first heard
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub times: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `call`
#[derive(Debug, Clone, Default, Args)]
pub struct Call {
    /// Whom to call, e.g. sip:+14155550123@sbc.example.com;transport=tls
    #[arg(value_name = "SIP-URI")]
    pub uri: String,
    /// Play this WAV file (one channel, 8000 Hz) instead of a tone
    #[arg(long, value_name = "FILE")]
    pub play: Option<PathBuf>,
    /// Write what is heard to this WAV file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Offer this codec only: PCMU, PCMA, G722 or opus [default: PCMU and PCMA]
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<String>,
    /// Press these keys a second after the answer, as telephone-events (RFC 4733), e.g. 123#
    #[arg(long, value_name = "KEYS")]
    pub dtmf: Option<String>,
    /// Offer SRTP and nothing else (keys by SDES)
    #[arg(long)]
    pub srtp: bool,
    /// Hang up so long after the answer [default: 5s, or a second behind the end of the file]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub duration: Option<Duration>,
    /// Give up where nobody answers in this time
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub ring_timeout: Duration,
    /// Who calls
    #[command(flatten)]
    pub caller: Caller,
    /// Whom the far end's certificate must come from (PEM) [default: whom the system trusts]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Our certificate, where the far end asks for one (PEM)
    #[arg(long, requires = "private_key", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, requires = "certificate", value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Take any certificate
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Who calls, and by what it is known.
#[derive(Debug, Clone, Default, Args)]
pub struct Caller {
    /// Who calls: a number, or a SIP URI
    #[arg(long, value_name = "NUMBER|URI")]
    pub from: Option<String>,
    /// The user, where the far end asks for one
    #[arg(long, value_name = "USER")]
    pub username: Option<String>,
    /// The variable that the password is in [default: TRUNKGATE_PASSWORD]
    #[arg(long, requires = "username", value_name = "NAME")]
    pub password_env: Option<String>,
}

/// `loadtest`
#[derive(Debug, Clone, Args)]
pub struct LoadTest {
    /// Calls held at once
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub calls: u32,
    /// Calls placed a second, as 20 or 0.5
    #[arg(long, value_name = "N", default_value = "5")]
    pub cps: f64,
    /// For how long
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "10s")]
    pub duration: Duration,
    /// Whom to call, at the edge, e.g. sip:+14155550123@127.0.0.1:5060; it must route that to the address of --answer
    /// [default: an edge of its own on loopback]
    #[arg(long, requires = "answer", value_name = "SIP-URI")]
    pub to: Option<String>,
    /// Where the calls come out: one of the edge's trunks points here
    #[arg(long, requires = "to", value_name = "ADDRESS:PORT")]
    pub answer: Option<SocketAddr>,
    /// Where the calls come from; an edge knows its callers by their address [default: any port of the address that
    /// reaches it]
    #[arg(long, requires = "to", value_name = "ADDRESS:PORT")]
    pub bind: Option<SocketAddr>,
    /// What has to hold, e.g. 'mos.p5>4.0,loss<0.1%,setup.p99<50ms'; may be given again [default: answered=100%]
    #[arg(long, value_name = "ASSERTIONS")]
    pub assert: Vec<String>,
    /// Write the assertions as JUnit XML, for CI
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// How long each call lasts from its answer on [default: --calls / --cps seconds, 2s or more]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub hold: Option<Duration>,
    /// How long the callees let it ring; this counts as set-up
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "DURATION")]
    pub ring: Duration,
    /// Speak this codec only: PCMU or PCMA [default: what the edge chooses of both]
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<String>,
    /// Who calls
    #[command(flatten)]
    pub caller: Caller,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `why`
#[derive(Debug, Args)]
pub struct Why {
    /// The trunk or the source address the call comes from
    #[arg(long, value_name = "TRUNK|ADDRESS")]
    pub from: String,
    /// The called number, as it would come in
    #[arg(long, value_name = "NUMBER")]
    pub called: String,
    /// The calling number
    #[arg(long, value_name = "NUMBER", default_value = "")]
    pub caller: String,
    /// When, as 2026-11-20T09:00 (by the `time_zone` of the edge) or with an offset; default: now
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// A header of its INVITE; may be given several times
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Which edge to ask; without --url the file is read
    #[command(flatten)]
    pub remote: Remote,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "a duration is written as 500ms, 30s, 10m or 1h30m".to_owned())
}

/// Seconds from one look to the next; a fraction may be less than one.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "0.1 to 86400 seconds".to_owned())
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
            let Verb::Calls { listing, what, .. } = cli.verb else { panic!("{arguments:?}") };
            let listing = match what {
                None => listing,
                Some(Calls::Ls(listing)) => listing,
                Some(other) => panic!("{other:?}"),
            };
            assert_eq!(listing, Listing { limit: Some(5), ..Listing::default() }, "{arguments:?}");
        }
        for arguments in [["calls", "--csv", "--json"], ["calls", "--json", "--csv"]] {
            assert!(Cli::try_parse_from(["trunkgate"].iter().chain(&arguments)).is_err(), "{arguments:?}");
        }
        assert!(Cli::try_parse_from(["trunkgate", "calls", "ls", "--csv", "--json"]).is_err());
    }
}
