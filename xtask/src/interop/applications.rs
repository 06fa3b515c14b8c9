//! Edge with web applications, the party that they dial, and the audio of callers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::caller::Caller;
use super::edge::{self, Edge};
use super::front::Front;
use super::python::Script;
use super::raw::{Call, Phone, Text, tone_frame};
use super::rtp;
use super::sipp::PBX;
use super::speech::Speech;

/// Secret that signs the requests to applications.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// SID of the account.
pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
/// Voices named by applications, and the corresponding ones of the synthesizer.
const VOICES: [(&str, &str); 2] = [("Polly.Joanna", "joanna"), ("Polly.Matthew", "matthew")];
/// Trunks of the callers and of the called parties.
const TRUNKS: &str = r#"
[trunk.carrier]
options_interval = "0s"
accept_from = ["127.0.0.2/32"]
# baresip sends its media from the first address of the machine.
media_from = ["127.0.0.1/32", "127.0.0.2/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
accept_from = ["127.0.0.3/32"]
[[route]]
from = ["carrier"]
connect = ["reject:404"]
"#;

/// Application that serves a number.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    /// Number that the application serves.
    pub(crate) number: String,
    /// Configuration keys of the application: `url = "…"` or `file = "…"`, and further ones.
    pub(crate) keys: String,
}

/// Edge under test with its surroundings, except for the application's server.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Edge under test.
    pub(crate) edge: Edge,
    /// Speech synthesizer.
    pub(crate) speech: Speech,
    party: Phone,
}

impl Bench {
    /// Starts an edge with these applications; the edge trusts the certificate of `front`.
    pub(crate) fn start(token: &str, applications: &[Application], front: Option<&Front>) -> anyhow::Result<Bench> {
        let speech = Speech::new()?;
        let tables = speech.table(&VOICES) + &application_tables(token, applications);
        let edge = Edge::start_by(trusting(front), &tables)?;
        Ok(Bench { edge, speech, party: Phone::new(PBX, 5060, "party")? })
    }

    /// Starts an edge with one application, which consists of a file.
    pub(crate) fn with_file(token: &str, application: &Application, file: (&str, &str)) -> anyhow::Result<Bench> {
        let speech = Speech::new()?;
        let tables = speech.table(&VOICES) + &application_tables(token, std::slice::from_ref(application));
        let edge = Edge::start_beside(&tables, &[(file.0, file.1.as_bytes())])?;
        Ok(Bench { edge, speech, party: Phone::new(PBX, 5060, "party")? })
    }

    /// Starts an edge without a synthesizer and a party.
    pub(crate) fn start_alone(token: &str, applications: &[Application], front: &Front) -> anyhow::Result<Edge> {
        Edge::start_by(trusting(Some(front)), &application_tables(token, applications))
    }

    /// Starts an edge without applications and with further tables, for programs that use its API.
    pub(crate) fn open(numbers: &[&str], front: Option<&Front>, further: &str) -> anyhow::Result<Bench> {
        Bench::open_by(Command::new(edge::binary()), numbers, front, ("", further))
    }

    /// Starts an edge without applications by a command that runs the binary in another way; `keys` are further ones of
    /// `[api]` and precede the tables.
    pub(crate) fn open_by(
        command: Command,
        numbers: &[&str],
        front: Option<&Front>,
        (keys, further): (&str, &str),
    ) -> anyhow::Result<Bench> {
        let speech = Speech::new()?;
        let api = open_tables(numbers, &format!("connect = [\"trunk:pbx\"]\n{keys}"));
        let edge = Edge::start_by(trusting_by(command, front), &(speech.table(&VOICES) + &api + further))?;
        Ok(Bench { edge, speech, party: Phone::new(PBX, 5060, "party")? })
    }

    /// Calls a number through the edge.
    pub(crate) fn call(&self, number: &str) -> anyhow::Result<Caller> {
        Caller::call(self.edge.udp, number).with_context(|| self.edge.log_tail())
    }

    /// Waits until the caller hears speech of a text with these words in this voice.
    pub(crate) fn hears(&self, caller: &Caller, words: &str, voice: &str, since: usize) -> anyhow::Result<String> {
        let spoken = self.speech.spoken(words)?;
        caller.hears(spoken.hz, since).with_context(|| format!("the caller does not hear {:?}", spoken.text))?;
        ensure!(spoken.voice == voice, "{:?} is spoken by {} instead of {voice}", spoken.text, spoken.voice);
        Ok(spoken.text)
    }

    /// Receives the call that the edge makes to the party for this number and, if given, from this caller ID.
    pub(crate) fn dialled(&self, number: &str, caller_id: Option<&str>) -> anyhow::Result<(Text, SocketAddr)> {
        let (invite, from) = self.party.called().with_context(|| format!("{number} is not dialled"))?;
        let called = invite.first().starts_with(&format!("INVITE sip:{number}@"));
        ensure!(called, "{} instead of {number}", invite.first());
        if let Some(caller_id) = caller_id {
            let calling = invite.header("From").contains(&format!("sip:{caller_id}@"));
            ensure!(calling, "From is {} instead of {caller_id}", invite.header("From"));
        }
        Ok((invite, from))
    }

    /// Answers the call at the party; checks that each side hears the other's tone.
    pub(crate) fn connected(&self, caller: &Caller, invite: &Text, from: SocketAddr) -> anyhow::Result<Call> {
        let call = self.party.accept(invite, from, |_| self.party.sdp())?;
        self.converse(caller, &call, 0)?;
        Ok(call)
    }

    /// Sends a tone of two seconds from the party and from a caller; checks that each hears the other's. The party's
    /// packet numbers begin at `first`.
    pub(crate) fn converse(&self, caller: &Caller, call: &Call, first: u16) -> anyhow::Result<()> {
        let since = caller.mark();
        let (mut heard, mut buffer) = (Vec::new(), [0; 2_048]);
        let began = Instant::now();
        for number in 0..100 {
            let due = began + Duration::from_millis(20) * number;
            while Instant::now() < due {
                if let Ok(length) = self.party.rtp.recv(&mut buffer)
                    && let Some((_, payload)) = rtp::read(buffer.get(..length).unwrap_or_default())
                {
                    heard.extend_from_slice(payload);
                }
            }
            let sequence = first + u16::try_from(number)?;
            let packet = rtp::packet(sequence, u32::from(sequence) * 160, 0x7261_7702, &tone_frame(number));
            self.party.rtp.send_to(&packet, call.media)?;
            caller.says(number)?;
        }
        ensure!(caller.has_heard(440, since), "the caller does not hear the party");
        let tone = heard.windows(1_600).step_by(400).any(|piece| rtp::tone_snr_db(piece) > 20.0);
        ensure!(tone, "the party does not hear the caller");
        Ok(())
    }

    /// Returns the party that applications dial.
    pub(crate) fn party(&self) -> &Phone {
        &self.party
    }

    /// Hangs up a call at the party.
    pub(crate) fn hangs_up(&self, call: &Call) -> anyhow::Result<()> {
        self.party.bye(call)
    }

    /// Receives the edge's BYE at the party.
    pub(crate) fn is_hung_up_on(&self) -> anyhow::Result<()> {
        self.party.expect_bye()
    }

    /// Rejects the call as busy at the party.
    pub(crate) fn is_busy(&self, invite: &Text, from: SocketAddr) -> anyhow::Result<()> {
        self.party.reply(invite, from, "486 Busy Here", "")?;
        self.party.expect_ack()
    }

    /// Rings at the party and runs `meanwhile`, until the edge cancels the call.
    pub(crate) fn is_cancelled(
        &self,
        invite: &Text,
        from: SocketAddr,
        meanwhile: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.party.reply(invite, from, "180 Ringing", "")?;
        meanwhile()?;
        let (cancel, from) = self.party.expect("CANCEL ")?;
        self.party.reply(&cancel, from, "200 OK", "")?;
        self.party.reply(invite, from, "487 Request Terminated", "")?;
        self.party.expect_ack()
    }

    /// Waits until the trace of the newest call contains these words.
    pub(crate) fn trace_has(&self, words: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let trace = self.edge.newest_trace()?;
            if trace.contains(words) {
                return Ok(());
            }
            if began.elapsed() > Duration::from_secs(5) {
                bail!("the trace has no {words:?}:\n{trace}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Returns the configuration tables of an edge with these applications.
pub(crate) fn application_tables(token: &str, applications: &[Application]) -> String {
    let mut tables =
        format!("[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{token}\"\nconnect = [\"trunk:pbx\"]\n");
    for (n, Application { number, keys }) in applications.iter().enumerate() {
        _ = write!(tables, "[app.a{n}]\n{keys}\n[[number]]\nnumber = \"{number}\"\napp = \"a{n}\"\n");
    }
    tables + TRUNKS
}

/// Returns the configuration tables of an edge for programs that use its API; `keys`: further ones of `[api]`.
pub(crate) fn open_tables(numbers: &[&str], keys: &str) -> String {
    let api = format!("[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nallow_private = true\n{keys}\n");
    let numbers: String = numbers.iter().map(|number| format!("[[number]]\nnumber = \"{number}\"\n")).collect();
    api + &numbers + TRUNKS
}

/// Returns the binary's command, with the certificate of `front` as the only trusted root.
fn trusting(front: Option<&Front>) -> Command {
    trusting_by(Command::new(edge::binary()), front)
}

fn trusting_by(mut command: Command, front: Option<&Front>) -> Command {
    if let Some(front) = front {
        command.env("SSL_CERT_FILE", front.authority());
    }
    command
}

/// Waits for a request that a validating application has accepted: a line of the script, after the first `since`, that
/// contains all of these words.
pub(crate) fn accepted(judge: &Script, since: usize, words: &[&str]) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let lines = judge.lines();
        if let Some(refused) = lines.iter().find(|line| line.starts_with("refused ")) {
            bail!("the validator says: {refused}");
        }
        let mut accepted = lines.iter().skip(since).filter(|line| line.starts_with("accepted "));
        if accepted.any(|line| words.iter().all(|word| line.contains(word))) {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(5) {
            bail!("no accepted request with {}: {}", words.join(" and "), lines.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
