//! Two upgrades and a `kill -9` of the edge during calls between real parties: baresip with SRTP over TLS to Asterisk,
//! and SIPp to baresip with SRTP, to pipecat and to OpenAI's agents SDK. SIPp fails at a BYE that it does not expect,
//! and baresip decrypts SRTP by the stack of its library libre.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::asterisk::{self, Asterisk};
use crate::bench::restart::{self, EDGE, Successors};
use crate::commands::output;
use crate::interop::Setting;
use crate::interop::applications::ACCOUNT;
use crate::interop::baresip::{Baresip, Setup};
use crate::interop::edge::{self, Edge, LISTENERS};
use crate::interop::front;
use crate::interop::lasting::{self, LastingCall, PATIENCE, PHONE_HZ, PHONE_NUMBER, SIPP_HZ, TRUNKS};
use crate::interop::node;
use crate::interop::python::{self, Packages, Script};
use crate::interop::rtp;
use crate::interop::sipp::{CARRIER, PBX};
use crate::interop::sniffer::{Packet, Sniffer};

/// Numbers of Asterisk and of the agents.
const ASTERISK_NUMBER: &str = "+14155550100";
const PIPECAT_NUMBER: &str = "+14155550102";
const OPENAI_NUMBER: &str = "+14155550103";
const NUMBERS: [&str; 4] = [ASTERISK_NUMBER, PHONE_NUMBER, PIPECAT_NUMBER, OPENAI_NUMBER];
/// Port of the edge for SIP over TLS.
const TLS_PORT: u16 = 5061;
/// Secret with which the edge signs its requests to pipecat.
const TOKEN: &str = "12345678901234567890123456789012";
/// Dialplan of Asterisk, which echoes audio.
const EXTENSIONS: &str = "[from-edge]\nexten => _+X.,1,Answer()\n same => n,Echo()\n";
/// Tone of the phone that calls Asterisk, in Hz.
const SECURE_HZ: u32 = 550;
/// Seconds of tone and of silence in what SIPp says to OpenAI's SDK; the double of the model answers for 4 s.
const SPEAKS_S: usize = 1;
const LISTENS_S: usize = 6;
/// Byte in the audio of the model, and the number of packets with it that counts as an answer.
const VOICE: u8 = 0x20;
const VOICE_PACKETS: usize = 50;
/// Minimum bit rate of audio in a direction, half of that of PCMU.
const AUDIO_BPS: u32 = 32_000;
/// Events in their order.
const EVENTS: [Event; 3] = [Event::Upgrade, Event::Upgrade, Event::Crash];

/// Replacement of the edge's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Upgrade,
    Crash,
}

/// Programs around the edge.
struct Agents {
    pipecat: Script,
    openai: Script,
}

/// Calls with their parties.
struct Calls {
    sniffer: Sniffer,
    asterisk: Asterisk,
    agents: Agents,
    phone: Baresip,
    secure: Baresip,
    to_phone: LastingCall,
    to_pipecat: LastingCall,
    to_openai: LastingCall,
}

/// Place in the audio and lines of all parties; later ones count.
struct Mark {
    at: Instant,
    phone: usize,
    secure: usize,
    turns: usize,
}

/// Makes the calls, lets the events happen, and ends the calls.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let state = tempfile::Builder::new().prefix("trunkgate-state-").tempdir_in(restart::state_parent().0)?;
    front::identity(folder.path(), &[EDGE])?;
    let flags = ["--token", TOKEN];
    let agents = Agents {
        pipecat: Script::start(Packages::Pipecat, &python::script("pipecat_agent.py"), &flags)?,
        openai: node::start(node::Packages::OpenAi, &node::script("openai_agent.cjs"), &[])?,
    };
    let text = restart::with_state(&configuration(&agents, folder.path()), state.path());
    // Broken: the state of calls is not in a file.
    let text = if setting.sabotage { text.replace("state = \"file\"\n", "") } else { text };
    let mut edge = Edge::start_as(edge_command()?, &text)?;
    let mut calls = Calls::start(&edge, agents, &folder.path().join("ca.pem"))?;
    let outcome = calls.outlast(&mut edge);
    outcome.with_context(|| format!("{}\n{}", edge.log_tail(), calls.log()))?;
    let told = format!(
        "{} calls outlast 2 upgrades and a kill -9, {}; re-INVITE, hold and BYE, 1 record each",
        NUMBERS.len(),
        calls.asterisk.version
    );
    Ok(told)
}

/// Returns the command of the edge.
fn edge_command() -> anyhow::Result<Command> {
    Ok(Command::new(std::path::absolute(edge::binary())?))
}

fn configuration(agents: &Agents, folder: &Path) -> String {
    let folder = folder.display();
    let route = |from: &str, to: &str, connect: &str| {
        format!("[[route]]\nfrom = [\"{from}\"]\nto = [\"{to}\"]\nconnect = [\"{connect}\"]\n")
    };
    format!(
        r#"{LISTENERS}
[[listen]]
name = "secure"
transport = "tls"
address = "{EDGE}:{TLS_PORT}"
certificate = "{folder}/ca.pem"
private_key = "{folder}/ca.key"
[api]
account_sid = "{ACCOUNT}"
[agent.pipecat]
url = "ws://{}/media"
auth_token = "{TOKEN}"
[agent.openai]
url = "ws://{}/media"
{TRUNKS}[trunk.secure]
accept_from = ["127.0.0.1/32"]
listen = "secure"
srtp = "required"
[trunk.pbx]
preset = "asterisk"
options_interval = "0s"
peers = ["sip:{PBX}:5060"]
{}{}{}{}"#,
        agents.pipecat.address,
        agents.openai.address,
        route("secure", ASTERISK_NUMBER, "trunk:pbx"),
        route("callers", PHONE_NUMBER, "trunk:desk"),
        route("callers", PIPECAT_NUMBER, "agent:pipecat"),
        route("callers", OPENAI_NUMBER, "agent:openai"),
    )
}

/// Starts the phone that calls Asterisk with SRTP over TLS.
fn secure_phone(ca: &Path) -> anyhow::Result<Baresip> {
    Baresip::start(&Setup {
        ip: CARRIER,
        port: 0,
        account: &format!("<sip:alice@{EDGE}:{TLS_PORT};transport=tls>;regint=0;mediaenc=srtp-mand;audio_codecs=PCMU"),
        says: lasting::tone(SECURE_HZ),
        ca: Some(ca),
        // The account selects the transport.
        dial: Some(&format!("sip:{ASTERISK_NUMBER}@{EDGE}:{TLS_PORT}")),
        lasts: None,
    })
}

/// Returns the number of lines of an agent with this beginning.
fn lines(agent: &Script, beginning: &str) -> usize {
    agent.lines().iter().filter(|line| line.starts_with(beginning)).count()
}

impl Calls {
    /// Starts all parties, and the calls.
    fn start(edge: &Edge, agents: Agents, ca: &Path) -> anyhow::Result<Calls> {
        let asterisk = Asterisk::start(&asterisk::root()?, &asterisk::pjsip(edge, EDGE)?, EXTENSIONS)?;
        let words = [rtp::tone_ulaw(8_000).repeat(SPEAKS_S), vec![0xff; 8_000 * LISTENS_S]].concat();
        let to = edge.udp;
        Ok(Calls {
            sniffer: Sniffer::start()?,
            asterisk,
            agents,
            phone: lasting::phone()?,
            secure: secure_phone(ca)?,
            to_phone: LastingCall::start(to, "127.0.4.1", PHONE_NUMBER, None)?,
            to_pipecat: LastingCall::start(to, "127.0.4.2", PIPECAT_NUMBER, None)?,
            to_openai: LastingCall::start(to, "127.0.4.3", OPENAI_NUMBER, Some(words))?,
        })
    }

    /// Returns the output of the parties, for the message of a failure.
    fn log(&self) -> String {
        let agents = [&self.agents.pipecat, &self.agents.openai].map(|agent| agent.lines().join("\n"));
        [self.secure.log(), self.phone.log(), self.asterisk.log(), agents.join("\n")].join("\n")
    }

    /// Lets the events happen, judges the calls after each of them, and hangs up.
    fn outlast(&mut self, edge: &mut Edge) -> anyhow::Result<()> {
        let mut successors = Successors::default();
        self.go_on(edge, &Mark { at: Instant::now(), phone: 0, secure: 0, turns: 0 }).context("before all events")?;
        self.count_streams(1).context("before all events")?;
        let mut streams = 1;
        for (number, event) in (1..).zip(EVENTS) {
            match event {
                Event::Upgrade => upgrade(edge, &mut successors)?,
                Event::Crash => {
                    successors.crash(edge)?;
                    edge.start_again(edge_command()?)?;
                    streams += 1;
                    let continued = edge.metric("trunkgate_calls_continued")?;
                    ensure!(continued == NUMBERS.len() as f64, "{continued} calls are continued after a crash");
                }
            }
            let mark = self.mark()?;
            self.go_on(edge, &mark).with_context(|| format!("after event {number}, {event:?}"))?;
            self.count_streams(streams).with_context(|| format!("after event {number}, {event:?}"))?;
        }
        self.hold(edge)?;
        self.end(edge)
    }

    fn mark(&self) -> anyhow::Result<Mark> {
        let turns = lines(&self.agents.openai, "heard ");
        Ok(Mark { at: Instant::now(), phone: self.phone.heard()?.len(), secure: self.secure.heard()?.len(), turns })
    }

    /// Waits until each party has heard the other one after a mark, and checks that no party got a BYE.
    fn go_on(&mut self, edge: &Edge, since: &Mark) -> anyhow::Result<()> {
        lasting::phone_hears(&self.secure, SECURE_HZ, since.secure).context("Asterisk's echo")?;
        lasting::phone_hears(&self.phone, SIPP_HZ, since.phone).context("of SIPp's call")?;
        self.to_phone.hears(&self.sniffer, PHONE_HZ, since.at).context("of baresip")?;
        self.to_pipecat.hears(&self.sniffer, SIPP_HZ, since.at).context("pipecat's echo")?;
        let openai = &self.agents.openai;
        edge.wait_until("the model hears a turn", PATIENCE, |_| Ok(lines(openai, "heard ") > since.turns))?;
        let answered = Instant::now();
        let is_voice = |packet: &Packet| packet.samples.iter().all(|sample| *sample == rtp::linear(VOICE));
        edge.wait_until("SIPp hears the model's answer", PATIENCE, |_| {
            let packets = self.to_openai.packets(&self.sniffer, answered)?;
            Ok(packets.iter().filter(|packet| is_voice(packet)).count() >= VOICE_PACKETS)
        })?;
        for call in [&mut self.to_phone, &mut self.to_pipecat, &mut self.to_openai] {
            call.goes_on()?;
        }
        let is_over = |phone: &Baresip| phone.log().contains("terminated");
        ensure!(!is_over(&self.secure) && !is_over(&self.phone), "a phone's call has ended");
        Ok(())
    }

    /// Checks that each agent had this number of streams, of which all but the last one have ended.
    fn count_streams(&self, streams: usize) -> anyhow::Result<()> {
        let Agents { pipecat, openai } = &self.agents;
        let seen = [
            (lines(pipecat, "parsed: "), lines(pipecat, "ended after ")),
            (lines(openai, "start: "), lines(openai, "closed with ")),
        ];
        ensure!(seen == [(streams, streams - 1); 2], "streams of pipecat and OpenAI's SDK, begun and ended: {seen:?}");
        Ok(())
    }

    /// Holds the secure call at its phone and resumes it. Since baresip 1.0.0 records nothing after that, the bit rates
    /// that it shows are judged.
    fn hold(&mut self, edge: &Edge) -> anyhow::Result<()> {
        let secure = &self.secure;
        secure.command("hold", "")?;
        lasting::call_is(edge, ASTERISK_NUMBER, "held")?;
        edge.wait_until("the held phone hears nothing", PATIENCE, |_| {
            Ok(secure.bit_rates().is_some_and(|(_, received)| received == 0))
        })?;
        secure.command("resume", "")?;
        lasting::call_is(edge, ASTERISK_NUMBER, "answered")?;
        edge.wait_until("the phone sends and receives audio after a hold", PATIENCE, |_| {
            Ok(secure.bit_rates().is_some_and(|(sent, received)| sent.min(received) >= AUDIO_BPS))
        })?;
        Ok(())
    }

    /// Hangs up each call at its caller.
    fn end(&mut self, edge: &Edge) -> anyhow::Result<()> {
        self.secure.command("hangup", "")?;
        self.secure.wait_for("terminated", PATIENCE)?;
        for call in [&mut self.to_phone, &mut self.to_pipecat, &mut self.to_openai] {
            call.end()?;
        }
        self.phone.wait_for("terminated", PATIENCE)?;
        lasting::has_one_record_each(edge, &NUMBERS)?;
        let Agents { pipecat, openai } = &self.agents;
        edge.wait_until("the agents are notified of the end", PATIENCE, |_| {
            Ok(lines(pipecat, "ended after ") == 2 && lines(openai, "closed with 1000") == 1)
        })?;
        Ok(())
    }
}

/// Runs `trunkgate upgrade`, and checks that it hands over all calls.
fn upgrade(edge: &Edge, successors: &mut Successors) -> anyhow::Result<()> {
    let said = output(edge_command()?.arg("--config").arg(edge.file()).args(["upgrade", "--json"]))?;
    let begun: Value = serde_json::from_str(&said).context(said)?;
    successors.0.push(i32::try_from(begun["pid"].as_i64().context("no process")?)?);
    ensure!(begun["calls"] == NUMBERS.len(), "an upgrade hands over other calls: {begun}");
    Ok(())
}
