//! Misbehaviour of an agent, one call for each kind: the trace reports it, and either the agent or the next target
//! serves the caller.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio_tungstenite::tungstenite::Message;

use crate::interop::Setting;
use crate::interop::bots::{Bot, Manner, with_agent};
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages, Script};
use crate::interop::raw::{Phone, number_of, numbered};
use crate::interop::recording::{Heard, Line, converse, one_stream};
use crate::interop::rtp;
use crate::interop::sipp::{CARRIER, PBX};

/// Number of packets from the caller: 1.5 s.
const PACKETS: u32 = 75;
/// Number of the callee's first packet.
const CALLEE: u32 = 1_000_000;

/// Audio that the caller is expected to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    /// Echo from the agent.
    ByAgent,
    /// No audio, from an agent that stays silent.
    InSilence,
    /// Audio that the agent generates itself.
    ByItsAudio,
    /// Audio of the next target.
    ByTrunk,
}

/// Misbehaviour of an agent, audio expected at the caller, and text expected in the trace.
struct Row {
    what: &'static str,
    agent: Agent,
    served: Served,
    says: &'static str,
}

enum Agent {
    Bot(Manner),
    /// The agent's port is closed.
    Absent,
    /// The agent has a certificate, of an authority that the edge does or does not know.
    Tls {
        known: bool,
    },
}

fn rows() -> Vec<Row> {
    let say = |text: &str| Agent::Bot(Manner::Say(vec![Message::text(text)]));
    let http = |answer| Agent::Bot(Manner::Http(answer));
    let row = |what, agent, served, says| Row { what, agent, served, says };
    let minute = format!(
        r#"{{"event":"media","streamSid":"{{sid}}","media":{{"payload":"{}"}}}}"#,
        // Three bytes of audible μ-law, repeated.
        "ECAw".repeat(60 * 8_000 / 3)
    );
    use Served::{ByAgent, ByItsAudio, ByTrunk, InSilence};
    vec![
        row("no listener", Agent::Absent, ByTrunk, "cannot be reached"),
        row("404", http("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), ByTrunk, "with 404"),
        row(
            "a redirect",
            http("HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
            ByTrunk,
            "with 302",
        ),
        row(
            "a web page",
            http("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"),
            ByTrunk,
            "with 200",
        ),
        row("not HTTP", http("SSH-2.0-OpenSSH_9.2\r\n"), ByTrunk, "does not speak WebSocket"),
        row("no answer", Agent::Bot(Manner::Nothing), ByTrunk, "not connected in time"),
        row("an unknown certificate", Agent::Tls { known: false }, ByTrunk, "TLS failed"),
        row("a known certificate", Agent::Tls { known: true }, ByAgent, "bot"),
        row("bad JSON", say("{\"event\":"), ByAgent, "no valid JSON"),
        row("bad base64", say(r#"{"event":"media","media":{"payload":"%%%"}}"#), ByAgent, "not base64"),
        row("an unknown event", say(r#"{"event":"sing"}"#), ByAgent, "unknown event"),
        row("a foreign stream", say(r#"{"event":"clear","streamSid":"MZother"}"#), ByAgent, "another stream"),
        row("a mark without a name", say(r#"{"event":"mark","streamSid":"{sid}"}"#), ByAgent, "without `mark.name`"),
        row(
            "a binary message",
            Agent::Bot(Manner::Say(vec![Message::binary(vec![0; 640])])),
            ByAgent,
            "binary message of 640 bytes",
        ),
        row(
            "a minute of audio in one message",
            Agent::Bot(Manner::Say(vec![Message::text(minute)])),
            ByItsAudio,
            "bot",
        ),
        row("never a word", Agent::Bot(Manner::Mute), InSilence, "bot"),
    ]
}

/// Makes one call for each row.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let (mut wrong, rows) = (Vec::new(), rows());
    for row in &rows {
        if let Err(error) = judge(row, setting.sabotage) {
            wrong.push(format!("{}: {error:#}", row.what));
        }
    }
    if !wrong.is_empty() {
        bail!("{} of {} wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    }
    Ok(format!("{} ways to be wrong: each in the trace, each caller served", rows.len()))
}

fn judge(row: &Row, sabotage: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.pem").display().to_string();
    let tls;
    let url = match &row.agent {
        // Broken: every agent behaves well.
        _ if sabotage => format!("url = \"{}\"", Bot::start(Manner::Echo { leave_out: 0 })?.url()),
        Agent::Bot(manner) => format!("url = \"{}\"", Bot::start(manner.clone())?.url()),
        Agent::Absent => "url = \"ws://127.0.0.1:1/media\"".to_owned(),
        Agent::Tls { known } => {
            tls = Script::start(Packages::Base, &python::script("tls_agent.py"), &["--ca", &ca])?;
            let ca = if *known { format!("\nca = \"{ca}\"") } else { String::new() };
            format!("url = \"wss://{}/media\"{ca}", tls.address)
        }
    };
    let keys = format!("{url}\nconnect_timeout = \"1s\"");
    let mut edge = Edge::start(&with_agent(&keys, "\"agent:bot\", \"trunk:pbx\""))?;
    let heard = call(&edge, row.served == Served::ByTrunk)?;
    edge.assert_alive()?;
    one_stream(&heard)?;
    let own = heard.iter().filter(|packet| number_of(&packet.payload).is_some_and(|n| n < CALLEE)).count();
    let trunk = heard.iter().filter(|packet| number_of(&packet.payload).is_some_and(|n| n >= CALLEE)).count();
    let other = heard.iter().filter(|packet| rtp::is_heard(&packet.payload)).count() - own - trunk;
    let right = match row.served {
        Served::ByAgent => own >= 60,
        Served::ByTrunk => trunk >= 60 && own == 0,
        Served::ByItsAudio => other >= 60,
        Served::InSilence => own + trunk + other == 0,
    };
    let trace = edge.only_trace()?;
    if !right {
        bail!("{:?} expected; heard {own} of its own, {trunk} of the trunk, {other} others\n{trace}", row.served);
    }
    if !trace.contains(row.says) {
        bail!("no {:?} in the trace\n{trace}", row.says);
    }
    Ok(())
}

/// Makes one call; returns the audio that the caller received.
fn call(edge: &Edge, to_trunk: bool) -> anyhow::Result<Vec<Heard>> {
    let (caller, callee) = (Phone::new(CARRIER, 0, "caller")?, Phone::new(PBX, 5060, "callee")?);
    let udp = edge.udp;
    let tail = Duration::from_millis(300);
    std::thread::scope(|scope| {
        let far = to_trunk.then(|| {
            scope.spawn(|| -> anyhow::Result<()> {
                let call = callee.answer()?;
                let line = Line { socket: &callee.rtp, to: call.media };
                converse(&[line], PACKETS, &|_, n| numbered(CALLEE + n), tail)?;
                callee.expect_bye()
            })
        });
        let call = caller.call(udp, "+14155550100")?;
        let line = Line { socket: &caller.rtp, to: call.media };
        let heard = converse(&[line], PACKETS, &|_, n| numbered(n), tail)?;
        caller.bye(&call)?;
        if let Some(far) = far {
            far.join().map_err(|_| anyhow!("the callee panicked"))?.context("the callee")?;
        }
        Ok(heard.concat())
    })
}
