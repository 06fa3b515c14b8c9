//! `trunkgate call`: places a test call as a softphone and reports the audio quality in both directions.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trunkgate_route::locate::{AvailableTransports, in_order};
use trunkgate_route::{Destination, DestinationServer, Transport};
use trunkgate_sip::Credentials;

use crate::cli::{CallerArgs, TestCall};
use crate::client;
use trunkgate_audio::wav;
use trunkgate_audio::{self as audio, AudioLimits};
use trunkgate_boot::{edge, run};
use trunkgate_config::{self as config, TrunkTls};
use trunkgate_runtime::transport;
use trunkgate_system::dns::Resolver;
use trunkgate_system::limits::{PLAYED_BYTES, PLAYED_SECONDS};
use trunkgate_system::terminal;

mod client_certificate;
mod outcome;
mod session;

use outcome::TestCallOutcome;
use session::{CallAddress, TestCallSession};

/// Default environment variable with the password for digest authentication.
const PASSWORD: &str = "TRUNKGATE_PASSWORD";
/// Default duration of an answered call without a file, and minimum duration with digits.
const SHORTEST: Duration = Duration::from_secs(5);
/// Time after the end of a played file, in which its echo still arrives.
const TAIL: Duration = Duration::from_secs(1);

/// Time of the first digit of `--dtmf` after the answer, and time for each digit with its pause.
const FIRST_KEY: Duration = Duration::from_secs(1);
const KEY: Duration = Duration::from_millis(200);
/// Pauses between digits: `w` and `W`.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(1));
/// Maximum number of digits and pauses in `--dtmf`.
const KEYS: usize = 64;

/// Test call with validated arguments.
#[derive(Debug)]
struct TestCallPlan {
    uri: String,
    destination: Destination,
    /// URI of From, in angle brackets; if `None`, it is built from the user part and the local address.
    from: Option<String>,
    /// User part of From, used if no URI is given.
    user: String,
    codecs: Vec<String>,
    srtp: bool,
    audio: Option<Arc<[i16]>>,
    /// DTMF digits to send; `None` without `--dtmf`.
    keys: Option<Arc<str>>,
    record: Option<PathBuf>,
    duration: Duration,
    ring: Duration,
    credentials: Option<Credentials>,
    tls: Option<Arc<ClientConfig>>,
}

/// Places the call. Exit code 1 if it is not answered, 2 if it cannot be placed.
pub fn run(verb: &TestCall) -> ExitCode {
    let told = TestCallPlan::new(verb).and_then(|plan| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let outcome = runtime.block_on(plan.place())?;
        runtime.shutdown_background();
        Ok((plan, outcome))
    });
    let (plan, mut outcome) = match told {
        Ok(told) => told,
        Err(error) => return run::refuse(&format!("error: {error}")),
    };
    if let Some(path) = plan.record.as_ref().filter(|_| outcome.is_answered())
        && let Err(what) = wav::write(path, wav::RATE_HZ, &outcome.heard)
    {
        outcome.remark(format!("{} cannot be written: {what}", path.display()));
    }
    if plan.srtp && outcome.is_answered() && !outcome.is_by_tls() {
        outcome.remark("SRTP keys were sent unencrypted: use transport=tls".to_owned());
    }
    client::say(&if verb.json { terminal::json(&outcome.as_json()) } else { outcome.as_text() });
    if outcome.is_answered() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl TestCallPlan {
    fn new(verb: &TestCall) -> Result<TestCallPlan, String> {
        let address = config::sip_address(&verb.uri)?;
        let codecs = match verb.codec.as_deref() {
            None => vec!["PCMU".to_owned(), "PCMA".to_owned()],
            Some(name) => vec![codec(name)?],
        };
        let audio = verb.play.as_ref().map(|path| {
            let read = audio::linear_samples(path, AudioLimits { bytes: PLAYED_BYTES, seconds: PLAYED_SECONDS });
            read.map_err(|what| {
                format!("--play {}: {what}; convert it: `ffmpeg -i FILE -ac 1 -ar 8000 out.wav`", path.display())
            })
        });
        let audio = audio.transpose()?;
        let played = audio.as_ref().map(|audio| Duration::from_millis(audio.len() as u64 / 8) + TAIL);
        let keys = verb.dtmf.as_deref().map(keys).transpose()?;
        let pressed = keys.as_ref().map(|keys| (FIRST_KEY + time_of(keys) + TAIL).max(SHORTEST));
        let credentials = credentials(&verb.caller)?;
        let user = credentials.as_ref().map_or_else(|| "trunkgate".to_owned(), |known| known.username.clone());
        let from = verb.caller.from.as_deref().map(from).transpose()?;
        let (from, user) = match from {
            Some(FromArgument::Uri(uri)) => (Some(uri), user),
            Some(FromArgument::User(user)) => (None, user),
            None => (None, user),
        };
        let own = verb.certificate.clone().zip(verb.private_key.clone());
        let wanted = TrunkTls { ca: verb.ca.clone(), own, verify: !verb.insecure, any_client_usage: false };
        // A host name may lead to TLS (NAPTR).
        let may_be_tls = address.destination.transport == Transport::Tls || !address.destination.is_fixed;
        let is_asked_for = verb.ca.is_some() || verb.certificate.is_some();
        let tls = match transport::towards(&wanted) {
            Ok(tls) => may_be_tls.then_some(tls),
            Err(what) if may_be_tls || is_asked_for => return Err(what),
            Err(_) => None,
        };
        Ok(TestCallPlan {
            uri: verb.uri.clone(),
            destination: address.destination,
            from,
            user,
            codecs,
            srtp: verb.srtp,
            duration: verb.duration.or(played.max(pressed)).unwrap_or(SHORTEST),
            audio,
            keys,
            record: verb.record.clone(),
            ring: verb.ring_timeout,
            credentials,
            tls,
        })
    }

    /// Tries the addresses in turn until one accepts the call or finally rejects it.
    async fn place(&self) -> Result<TestCallOutcome, String> {
        let mut stop = StopSignals::new().map_err(|error| format!("signals cannot be received: {error}"))?;
        let mut outcome = TestCallOutcome::new(self.uri.clone(), self.record.is_some());
        let found = tokio::select! {
            found = self.ways() => found?,
            () = stop.asked() => Vec::new(),
        };
        if found.is_empty() {
            outcome.fail(format!("{} has no address", self.destination.host));
        }
        for (at, way) in found.iter().enumerate() {
            say(&format!("calling {} by {way}", self.uri));
            let opened = tokio::select! {
                opened = TestCallSession::open(self, way) => opened,
                () = stop.asked() => {
                    outcome.fail("stopped".to_owned());
                    break;
                }
            };
            match opened {
                Ok(session) => session.run(&mut outcome, &mut stop, at + 1 == found.len()).await,
                Err(what) => outcome.unreached(way, &what),
            }
            if !outcome.may_go_on() {
                break;
            }
        }
        Ok(outcome)
    }

    /// Returns the addresses to try, in order (RFC 3263).
    async fn ways(&self) -> Result<Vec<CallAddress>, String> {
        let host = &self.destination.host;
        let servers = match self.destination.literal() {
            Some(server) => vec![server],
            None => {
                let means = AvailableTransports {
                    transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
                    v4: true,
                    v6: true,
                };
                let resolver = Resolver::new(means).map_err(|error| error.to_string())?;
                say(&format!("looking {host} up"));
                let located = resolver.locate(self.destination.clone()).await;
                if let Some(fault) = located.fault().filter(|_| !located.is_complete()) {
                    say(&trunkgate_call::dns::words(fault, host));
                }
                let chance = edge::seed().map_err(|error| error.to_string())?;
                let [a, b, c, d, ..] = chance;
                in_order(&located.servers, &mut |total| u32::from_le_bytes([a, b, c, d]) % total.max(1))
            }
        };
        let way = |server: &DestinationServer| {
            let transport = server.transport;
            server.sockets().map(|remote| CallAddress { transport, remote, host: host.clone() }).collect::<Vec<_>>()
        };
        Ok(servers.iter().flat_map(way).collect())
    }
}

/// Receives SIGINT (Ctrl-C) and SIGTERM.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<StopSignals> {
        Ok(StopSignals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Calling party given by `--from`.
pub(crate) enum FromArgument {
    /// SIP URI, in angle brackets.
    Uri(String),
    /// User part of a URI.
    User(String),
}

/// Parses `--from`.
///
/// # Errors
/// Returns a message if the text is neither a number nor a SIP URI.
pub(crate) fn from(text: &str) -> Result<FromArgument, String> {
    if text.starts_with("sip:") || text.starts_with("sips:") {
        config::sip_address(text).map_err(|what| format!("--from: {what}"))?;
        return Ok(FromArgument::Uri(format!("<{text}>")));
    }
    let is_user = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/".contains(c);
    match !text.is_empty() && text.chars().all(is_user) {
        true => Ok(FromArgument::User(text.to_owned())),
        false => Err(format!("--from: `{text}` is neither a number (+14155550100) nor a SIP URI")),
    }
}

fn codec(name: &str) -> Result<String, String> {
    let known = match name.to_ascii_uppercase().as_str() {
        "PCMU" | "ULAW" | "MULAW" | "G711U" => "PCMU",
        "PCMA" | "ALAW" | "G711A" => "PCMA",
        "G722" => "G722",
        "OPUS" => "opus",
        _ => return Err(format!("--codec {name}: use PCMU, PCMA, G722 or opus")),
    };
    Ok(known.to_owned())
}

/// Parses DTMF digits and the pauses between them (`w`, `W`).
fn keys(text: &str) -> Result<Arc<str>, String> {
    let upper = |sign: char| if sign == 'w' { sign } else { sign.to_ascii_uppercase() };
    let keys: String = text.chars().map(upper).collect();
    let are_keys =
        keys.chars().all(|key| "0123456789*#ABCDwW".contains(key)) && keys.contains(|key: char| !is_pause(key));
    match are_keys && (1..=KEYS).contains(&keys.len()) {
        true => Ok(keys.into()),
        false => Err(format!(
            "--dtmf: digits are 0 to 9, *, #, A to D, with w (0.5 s) and W (1 s) as pauses, at most {KEYS}: ww123#"
        )),
    }
}

fn is_pause(sign: char) -> bool {
    matches!(sign, 'w' | 'W')
}

/// Returns the time from the first DTMF digit to the end of the last one.
fn time_of(keys: &str) -> Duration {
    let time = |sign: char| match sign {
        'w' => PAUSES.0,
        'W' => PAUSES.1,
        _ => KEY,
    };
    keys.chars().map(time).sum()
}

/// Returns the caller's digest credentials; `None` without `--username`. The password is read from an environment
/// variable.
///
/// # Errors
/// Returns a message if the variable is missing or empty.
pub(crate) fn credentials(caller: &CallerArgs) -> Result<Option<Credentials>, String> {
    let Some(username) = caller.username.clone() else { return Ok(None) };
    let variable = caller.password_env.as_deref().unwrap_or(PASSWORD);
    let password = std::env::var(variable).ok().filter(|password| !password.is_empty());
    let missing = || {
        format!("--username without a password: set environment variable {variable} (or another with --password-env)")
    };
    Ok(Some(Credentials { username, password: password.ok_or_else(missing)?, realm: None }))
}

/// Prints a line of progress on stderr.
fn say(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Formats an address for a URI, IPv6 in brackets.
pub(crate) fn in_brackets(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_called_is_told_with_what_can() {
        assert_eq!(codec("ulaw").as_deref(), Ok("PCMU"));
        assert_eq!(codec("pcma").as_deref(), Ok("PCMA"));
        assert_eq!((codec("OPUS").as_deref(), codec("g722").as_deref()), (Ok("opus"), Ok("G722")));
        assert!(codec("G729").unwrap_err().contains("PCMU, PCMA, G722 or opus"));
        assert_eq!(keys("12*#a").as_deref(), Ok("12*#A"));
        assert_eq!(keys("wW1wa").as_deref(), Ok("wW1wA"));
        assert_eq!(time_of("wW1wA"), Duration::from_millis(2_400));
        assert!(["", "1x", "1 2", "wW"].iter().all(|wrong| keys(wrong).is_err()) && keys(&"1".repeat(65)).is_err());
        assert!(matches!(from("+14155550100"), Ok(FromArgument::User(user)) if user == "+14155550100"));
        assert!(matches!(from("sip:a@b.example"), Ok(FromArgument::Uri(uri)) if uri == "<sip:a@b.example>"));
        for wrong in ["", "a b", "a@b", "sip:a@b;x=y", "<sip:a@b>", "a\r\nX: y"] {
            assert!(from(wrong).is_err(), "{wrong}");
        }
    }
}
