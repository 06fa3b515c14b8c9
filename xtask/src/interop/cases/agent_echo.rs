//! Tone through an echo agent in Python: the example of `examples/`, and pipecat.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::applications::{ACCOUNT, TOKEN as API_TOKEN};
use crate::interop::bots::{Bot, Manner, with_agent};
use crate::interop::edge::{Edge, LISTENERS, binary};
use crate::interop::python::{self, Packages, Script};
use crate::interop::raw::{Phone, numbered_tone, tone_frame};
use crate::interop::recording::{Heard, Line, converse, one_stream};
use crate::interop::rtp;
use crate::interop::sipp::CARRIER;
use crate::interop::stalls;

/// Minimum SNR of a tone after μ-law in both directions.
const SNR_DB: f64 = 30.0;
/// Permitted faults in a run of up to ten minutes, beside those of a machine that stood still: packets that are early or
/// late, and disturbed seconds.
const ALLOWED: usize = 1;
/// Packets that a stall of the machine makes early or late: at the caller, at the agent, and back.
const LATE_BY_STALL: usize = 3;
/// Secret that authenticates the edge at the agent.
const TOKEN: &str = "12345678901234567890123456789012";

/// Sends a tone through the echo agent of `examples/`.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let seconds = setting.calls(600, 20);
    let agent = Script::start(Packages::Base, &python::echo_agent(), &[])?;
    // Broken: an agent that leaves out one frame in a hundred.
    let harmful = Bot::start(Manner::Echo { leave_out: 100 })?;
    let url = if setting.sabotage { harmful.url() } else { format!("ws://{}/media", agent.address) };
    let mut edge = Edge::start(&with_agent(&format!("url = \"{url}\""), "\"agent:bot\""))?;
    let figure = tone(&mut edge, seconds)?;
    agent.wait_for("stop: ", Duration::from_secs(5)).context("the agent was not notified of the end")?;
    agent.wait_for("closed with 1000", Duration::from_secs(5))?;
    let marks: Vec<String> = agent.lines().into_iter().filter(|line| line.starts_with("mark: ")).collect();
    let mut once = marks.clone();
    once.dedup();
    let expected = usize::try_from(seconds)?;
    if marks != once || !(expected - 1..=expected).contains(&marks.len()) {
        bail!("{} marks came back in {seconds} s: {}", marks.len(), marks.join(", "));
    }
    Ok(format!("{figure}; {} marks back, each once", marks.len()))
}

/// Sends a tone through pipecat.
pub(crate) fn pipecat(setting: &Setting) -> anyhow::Result<String> {
    let seconds = setting.calls(30, 8);
    let agent = Script::start(Packages::Pipecat, &python::script("pipecat_agent.py"), &["--token", TOKEN])?;
    // Broken: the edge has another secret than the agent.
    let token = if setting.sabotage { "another" } else { TOKEN };
    let keys = format!(
        "url = \"ws://{}/media\"\nauth_token = \"{token}\"\nparameters = {{ tenant = \"acme\" }}",
        agent.address
    );
    let mut edge = Edge::start(&with_agent(&keys, "\"agent:bot\""))?;
    let figure = tone(&mut edge, seconds).with_context(|| agent.lines().join("\n"))?;
    agent.wait_for("signature accepted", Duration::from_secs(1))?;
    let parsed = agent.wait_for("parsed: ", Duration::from_secs(1))?;
    let words: Vec<&str> = parsed.splitn(4, ' ').collect();
    let [kind, stream, call, parameters] = words.as_slice() else { bail!("pipecat parsed {parsed}") };
    if *kind != "twilio" || !stream.starts_with("MZ") || !call.starts_with("CA") || !parameters.contains("acme") {
        bail!("pipecat parsed {parsed}");
    }
    agent.wait_for("ended after", Duration::from_secs(5))?;
    Ok(format!("{figure}; RequestValidator accepts the handshake, pipecat takes it for {kind}"))
}

/// Runs a bot that ends its pipeline, at which pipecat's serializer hangs up through the API at the `base_url`.
pub(crate) fn pipecat_hangs_up(setting: &Setting) -> anyhow::Result<String> {
    // The bot needs the address of the API before the edge starts, and the edge needs the bot's address.
    let http = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let base = format!("http://{http}");
    // Broken: the bot hangs up a call of another account.
    let account = if setting.sabotage { "AC00000000000000000000000000000000" } else { ACCOUNT };
    let flags = ["--token", API_TOKEN, "--account", account, "--api", &base];
    let agent = Script::start(Packages::Pipecat, &python::script("pipecat_agent.py"), &flags)?;
    let keys = format!("url = \"ws://{}/media\"\nauth_token = \"{API_TOKEN}\"", agent.address);
    let tables = with_agent(&keys, "\"agent:bot\"").replace("[api]", &format!("[api]\nauth_token = \"{API_TOKEN}\""));
    let listeners = LISTENERS.replace("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{http}\""));
    let edge = Edge::start_as(Command::new(binary()), &format!("{listeners}{tables}"))?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let call = caller.call(edge.udp, "+14155550100").with_context(|| edge.log_tail())?;
    caller.talk(call.media, &numbered_tone(100))?;
    caller.expect_bye().with_context(|| agent.lines().join("\n"))?;
    let list = edge.api("GET Calls.json", &[])?;
    let sid = list["calls"][0]["sid"].as_str().context("no call is listed")?;
    edge.api_call_is(sid, "completed")?;
    edge.wait_until("the record says who ended the call", Duration::from_secs(5), |edge| {
        Ok(edge.records()?.iter().any(|record| record["reason"] == "operator"))
    })?;
    Ok("BYE to the caller once the pipeline ended, the call is completed, its record has the reason".to_owned())
}

/// Sends a tone through an agent behind TLS that checks the handshake with Twilio's own validator.
pub(crate) fn signed(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.pem").display().to_string();
    let flags = ["--ca", &ca, "--token", TOKEN];
    let agent = Script::start(Packages::Base, &python::script("tls_agent.py"), &flags)?;
    // Broken: the edge has another secret than the agent.
    let token = if setting.sabotage { "another" } else { TOKEN };
    let port = agent.address.port();
    for path in ["/media", "/twilio/v1/media%20stream;a=1"] {
        let keys = format!("url = \"wss://localhost:{port}{path}\"\nca = \"{ca}\"\nauth_token = \"{token}\"");
        let mut edge = Edge::start(&with_agent(&keys, "\"agent:bot\""))?;
        tone(&mut edge, setting.calls(5, 3)).with_context(|| agent.lines().join("\n"))?;
    }
    let accepted = agent.lines().iter().filter(|line| *line == "signature accepted").count();
    if accepted != 2 {
        bail!("{accepted} of 2 handshakes were accepted: {}", agent.lines().join("\n"));
    }
    Ok("RequestValidator accepts the handshakes of two `wss` URLs; the tone comes back".to_owned())
}

/// Makes a call, sends a tone and judges the echo.
fn tone(edge: &mut Edge, seconds: u32) -> anyhow::Result<String> {
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let call = caller.call(edge.udp, "+14155550100").with_context(|| edge.log_tail())?;
    let line = Line { socket: &caller.rtp, to: call.media };
    let spoken = || converse(&[line], seconds * 50, &|_, n| tone_frame(n), Duration::from_millis(700));
    let (mut heard, stalls) = stalls::during(spoken)?;
    caller.bye(&call)?;
    edge.assert_alive()?;
    let heard = heard.pop().unwrap_or_default();
    let stream = one_stream(&heard)?;
    let (worst, disturbed) = seconds_of_tone(&heard, seconds, ALLOWED + stalls)?;
    if disturbed > ALLOWED + stalls || stream.misplaced > ALLOWED + LATE_BY_STALL * stalls {
        bail!(
            "{disturbed} of {seconds} seconds below {SNR_DB} dB, the worst {worst:.1} dB; {} of {} packets early or late; the machine stood \
             still {stalls} times",
            stream.misplaced,
            stream.packets
        );
    }
    Ok(format!(
        "{seconds} s: SNR at least {worst:.1} dB, {} of {} packets early or late, largest gap {} ms; the machine stood still {stalls} times",
        stream.misplaced,
        stream.packets,
        stream.largest_gap.as_millis()
    ))
}

/// Returns the SNR of the worst undisturbed second since the beginning of the tone, and the number of disturbed
/// seconds; of all seconds if more than `allowed` are disturbed.
fn seconds_of_tone(heard: &[Heard], seconds: u32, allowed: usize) -> anyhow::Result<(f64, usize)> {
    let first = heard.iter().position(|packet| rtp::is_heard(&packet.payload)).context("no tone came back")?;
    let tone: Vec<u8> = heard.iter().skip(first + 5).flat_map(|packet| packet.payload.iter().copied()).collect();
    // The last second may be incomplete.
    let whole: Vec<f64> = tone.chunks_exact(8_000).take(usize::try_from(seconds)? - 1).map(rtp::tone_snr_db).collect();
    if whole.len() + 1 < usize::try_from(seconds)? {
        bail!("only {} of {seconds} s came back", whole.len());
    }
    let disturbed = whole.iter().filter(|snr| **snr < SNR_DB).count();
    let worst = if disturbed > allowed { f64::NEG_INFINITY } else { SNR_DB };
    Ok((whole.into_iter().filter(|snr| *snr >= worst).fold(f64::INFINITY, f64::min), disturbed))
}
