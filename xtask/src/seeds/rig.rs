//! Edge that a page's programs use through its API, with the party that they call, the server of their documents, and
//! the validator of all requests of the edge.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::provider::Provider;
use crate::commands;
use crate::interop::applications::{ACCOUNT, Bench, TOKEN, accepted};
use crate::interop::caller::Listener;
use crate::interop::edge;
use crate::interop::front::Front;
use crate::interop::node;
use crate::interop::proxied::Proxied;
use crate::interop::python::{self, Packages, Script};
use crate::interop::raw::{Call, Text};
use crate::interop::rtp;
use crate::interop::transcriber::Transcriber;

/// Text of a document that has no other text.
pub(super) const WELCOME: &str = "Welcome to the call.";
/// Address of the hosts in the page's examples, for an edge that acts as Twilio.
const APPLICATION: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)), 443);
/// Maximum wait for a text to be heard.
const PATIENCE: Duration = Duration::from_secs(12);
/// Configuration tables that permit recording.
const RECORDING: &str = "[recording]\ndirectory = \"recordings\"\nkeep = \"30d\"\n";
/// Path and query of callbacks.
const STATUS: &str = "/status?of=seed";

/// Edge with its surroundings: party, document server, validator and services.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) bench: Bench,
    /// Service through which the edge sends messages.
    pub(super) provider: Provider,
    front: Front,
    judge: Script,
    /// Environment for programs that do not know the edge.
    proxied: Option<Proxied>,
    _hosts: tempfile::TempDir,
}

/// Call that has arrived at the party.
#[derive(Debug)]
pub(super) struct Reached {
    invite: Text,
    from: SocketAddr,
}

/// Call that the party has answered.
#[derive(Debug)]
pub(super) struct Answered {
    call: Call,
    listener: Listener,
}

impl Rig {
    /// Starts an edge with these numbers of its own.
    pub(super) fn start(numbers: &[&str]) -> anyhow::Result<Rig> {
        let judge = Script::start(Packages::Forms, &python::script("webhook_application.py"), &["--token", TOKEN])?;
        let front = Front::start(judge.address)?;
        let provider = Provider::start()?;
        let tables = provider.table() + RECORDING + &Transcriber::start()?.table(true);
        let bench = Bench::open(numbers, Some(&front), &tables)?;
        Ok(Rig { bench, provider, front, judge, proxied: None, _hosts: tempfile::tempdir()? })
    }

    /// Starts an edge that acts as api.twilio.com for programs with the variables, and resolves these hosts to the
    /// application.
    pub(super) fn start_as_twilio(numbers: &[&str], hosts: &[&str]) -> anyhow::Result<Rig> {
        let judge = Script::start(Packages::Forms, &python::script("webhook_application.py"), &["--token", TOKEN])?;
        let front = Front::listen(judge.address, hosts, APPLICATION)?;
        let (provider, folder) = (Provider::start()?, tempfile::tempdir()?);
        let file = folder.path().join("hosts");
        std::fs::write(&file, format!("127.0.0.1 localhost\n{} {}\n", APPLICATION.ip(), hosts.join(" ")))?;
        let mut command = Command::new("unshare");
        let run = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        command.args(["--mount", "sh", "-c", run]).arg(&file).arg(std::path::absolute(edge::binary())?);
        let keys = ("proxy = true", provider.table() + RECORDING);
        let bench = Bench::open_by(command, numbers, Some(&front), (keys.0, &keys.1))?;
        let proxied = Some(Proxied::by(bench.edge.http)?);
        Ok(Rig { bench, provider, front, judge, proxied, _hosts: folder })
    }

    /// Returns the environment for programs that do not know the edge.
    pub(super) fn proxied(&self) -> anyhow::Result<&Proxied> {
        self.proxied.as_ref().context("the edge is no proxy")
    }

    /// Returns the base URL of the edge's API.
    pub(super) fn base(&self) -> String {
        format!("http://{}", self.bench.edge.http)
    }

    /// Returns the URL of this path at the application.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.front.url)
    }

    /// Returns the URL to which callbacks go.
    pub(super) fn callback(&self) -> String {
        self.url(STATUS)
    }

    /// Returns the number of requests that the validator has checked so far.
    pub(super) fn judged(&self) -> usize {
        self.judge.lines().len()
    }

    /// Waits until the validator has accepted callbacks with these statuses.
    pub(super) fn reported(&self, since: usize, statuses: &[&str]) -> anyhow::Result<()> {
        let word = |status: &str| format!("\"CallStatus\":\"{status}\"");
        statuses.iter().try_for_each(|status| accepted(&self.judge, since, &["POST ", "SequenceNumber", &word(status)]))
    }

    /// Waits until the validator has accepted a request with these words.
    pub(super) fn requested(&self, since: usize, words: &[&str]) -> anyhow::Result<()> {
        accepted(&self.judge, since, words)
    }

    /// Sets the credentials and the base URL as variables of a program.
    pub(super) fn equip<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let edge = [("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_AUTH_TOKEN", TOKEN)];
        command.envs(edge).env("TWILIO_BASE_URL", self.base())
    }

    /// Runs a Python program to its end; returns its output.
    pub(super) fn python(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(python::schema()?);
        commands::output(self.equip(&mut command).arg(program).args(arguments))
    }

    /// Runs a Node program to its end; returns its output.
    pub(super) fn node(&self, program: &Path, arguments: &[&str], own: &str) -> anyhow::Result<String> {
        let mut command = Command::new("node");
        command.env("NODE_PATH", node::modules(node::Packages::Pinned)?).env("TWILIO_PHONE_NUMBER", own);
        commands::output(self.equip(&mut command).arg(program).args(arguments))
    }

    /// Runs a shell command, in which `curl` writes only status and body; returns the output.
    pub(super) fn shell(&self, commands: &str) -> anyhow::Result<String> {
        let mut command = Command::new("sh");
        commands::output(self.equip(&mut command).arg("-c").arg(commands))
    }

    /// Waits until the call to this number arrives at the party, with this caller ID.
    pub(super) fn reached(&self, number: &str, caller_id: &str) -> anyhow::Result<Reached> {
        let (invite, from) = self.bench.dialled(number, Some(caller_id))?;
        Ok(Reached { invite, from })
    }

    /// Answers a call at the party.
    pub(super) fn answers(&self, reached: &Reached) -> anyhow::Result<Answered> {
        let party = self.bench.party();
        let listener = Listener::start(&party.rtp)?;
        let call = party.accept(&reached.invite, reached.from, |_| party.sdp())?;
        Ok(Answered { call, listener })
    }

    /// Rejects a call at the party as busy.
    pub(super) fn is_busy(&self, reached: &Reached) -> anyhow::Result<()> {
        self.bench.is_busy(&reached.invite, reached.from)
    }

    /// Rings at the party until the edge cancels the call.
    pub(super) fn rings(&self, reached: &Reached) -> anyhow::Result<()> {
        self.bench.is_cancelled(&reached.invite, reached.from, || Ok(()))
    }

    /// Sends two syllables at the party, like a greeting, and waits.
    pub(super) fn says_hello(&self, answered: &Answered) -> anyhow::Result<()> {
        let (began, mut phase) = (Instant::now(), 0.0_f64);
        for number in 0..150_u16 {
            let is_silent = !matches!(number, 20..32 | 36..52);
            // Audio like a voice: harmonics of a falling pitch.
            let sample = |_| {
                phase += (140.0 - f64::from(number) / 2.0) / 8_000.0;
                let harmonic = |n: u32| (std::f64::consts::TAU * phase * f64::from(n)).sin() / f64::from(n);
                rtp::ulaw(if is_silent { 0 } else { (4_000.0 * (1..12).map(harmonic).sum::<f64>()) as i32 })
            };
            let payload: Vec<u8> = (0..160).map(sample).collect();
            let packet = rtp::packet(number, u32::from(number) * 160, 0x7261_7704, &payload);
            let due = began + Duration::from_millis(20) * u32::from(number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.bench.party().rtp.send_to(&packet, answered.call.media)?;
        }
        Ok(())
    }

    /// Waits until the party hears a text with these words in this voice.
    pub(super) fn hears(&self, answered: &Answered, words: &str, voice: &str) -> anyhow::Result<()> {
        let spoken = self.bench.speech.spoken(words)?;
        ensure!(spoken.voice == voice, "{:?} is spoken by {} instead of {voice}", spoken.text, spoken.voice);
        let began = Instant::now();
        while !answered.listener.has_heard(spoken.hz, 0) {
            if began.elapsed() > PATIENCE {
                bail!("the party does not hear {words:?}; {} ms of audio came", answered.listener.mark() / 8);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Receives the edge's BYE at the party.
    pub(super) fn is_hung_up_on(&self, answered: Answered) -> anyhow::Result<()> {
        drop(answered);
        self.bench.is_hung_up_on()
    }

    /// Hangs up a call at the party.
    pub(super) fn hangs_up(&self, answered: Answered) -> anyhow::Result<()> {
        self.bench.hangs_up(&answered.call)
    }
}

/// Returns the path of a program in the folder of this file.
pub(super) fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/seeds/programs").join(name)
}

/// Parses the JSON that a program has printed.
pub(super) fn json(printed: &str) -> anyhow::Result<Value> {
    serde_json::from_str(printed.trim()).with_context(|| printed.to_owned())
}
