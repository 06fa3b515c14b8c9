//! WhatsApp Business Calling: Kamailio simulates Meta's SIP side (TLS without client certificates, 403, 407, 500 to
//! re-INVITEs), and baresip a user's phone that has only Opus with SDES.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::codecs_baresip::{Codec, judge};
use super::kamailio::Kamailio;
use super::tls_kamailio::Authority;
use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup};
use crate::interop::bots::{Bot, Manner};
use crate::interop::edge::{Edge, LISTENERS, binary};
use crate::interop::names;
use crate::interop::sipp::PBX;
use crate::interop::sound::{self, Judgement, said};

const CONFIGURATION: &str = include_str!("../scenarios/kamailio_whatsapp.cfg");
/// Host name of Meta, as in the preset.
const META: &str = "wa.meta.vc";
const NAMES: [(&str, Ipv4Addr); 1] = [(META, Ipv4Addr::new(127, 0, 0, 5))];
/// Host name of the edge, as configured at Meta.
const HOST: &str = "edge.example.com";
/// Business number, and the SIP password for it.
const BUSINESS: &str = "14155550100";
const PASSWORD: &str = "a-right-one";
/// Number of the user, and IP address of the user's phone.
const USER: &str = "+14155550123";
const PHONE: &str = "127.0.0.6";
/// Tones in Hz: one above the range of 8 kHz, for the agent with 16 kHz; those of the user and of the PBX.
const WIDE_HZ: u32 = 5_200;
const USER_HZ: u32 = 440;
const PBX_HZ: u32 = 660;
/// Duration of a conversation, and seconds of audio in a phone's file.
const TALK: Duration = Duration::from_secs(9);
const SAID_SECONDS: u32 = 30;
const PATIENCE: Duration = Duration::from_secs(20);
/// Seconds in which the phones and the edge settle.
const SETTLED: f64 = 0.5;
/// Minimum SNR in dB of the tone after two passes of Opus, and maximum change of the tone's level in dB.
const WIDE_SNR_DB: f64 = 18.0;
const WIDE_LEVEL_DB: f64 = 2.0;

/// Makes a call from a user to an agent, then one from a PBX to a user.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "authority")?;
    authority.issue_for_servers(folder.path(), "edge", &[HOST])?;
    authority.issue_for_servers(folder.path(), "kamailio", &[META])?;
    let agent = Bot::start(Manner::Echo { leave_out: 0 })?;
    let mut command = Command::new(binary());
    command.env("TRUNKGATE_DNS", names::serve(&NAMES)?.to_string());
    let edge = Edge::start_as(command, &configuration(folder.path(), &agent, setting.sabotage))?;
    let meta = meta(folder.path(), &edge)?;
    let told = || format!("{}\n{}\n{}", edge.newest_trace().unwrap_or_default(), edge.log_tail(), meta.log());
    let user = call_of_user(&edge).context("a call of a user").with_context(told)?;
    if !meta.log().contains("CHALLENGED 40") {
        bail!("the edge did not ask for credentials\n{}", told());
    }
    let business = call_to_user(&edge).context("a call to a user").with_context(told)?;
    let log = meta.log();
    if !log.contains(&format!("AUTHENTICATED {BUSINESS}")) || log.contains("REINVITE") || log.contains("UNEXPECTED") {
        bail!("Meta's side has seen what it should not\n{}", told());
    }
    Ok(format!("{user}; {business}; credentials asked for on both sides, no re-INVITE"))
}

/// Starts Meta's side, which presents a certificate and requests none from the edge.
fn meta(folder: &Path, edge: &Edge) -> anyhow::Result<Kamailio> {
    let at = folder.display();
    let file = folder.join("tls.cfg");
    std::fs::write(
        &file,
        format!(
            "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n\
             certificate = {at}/kamailio.pem\nprivate_key = {at}/kamailio.key\n\
             [client:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n\
             ca_list = {at}/authority.pem\n"
        ),
    )?;
    let listener = edge.tls.context("no TLS listener")?;
    let text = CONFIGURATION.replace("TLS_CFG", &file.display().to_string()).replace("PASSWORD", PASSWORD);
    Kamailio::start(&text.replace("EDGE", &listener.to_string()))
}

/// Returns a configuration with Meta by its preset, a PBX, and an agent with 16 kHz.
fn configuration(folder: &Path, agent: &Bot, sabotage: bool) -> String {
    let at = folder.display();
    // Broken: the edge passes holds on to Meta as re-INVITEs.
    let broken = if sabotage { "hold = \"relay\"\nreinvite = \"relay\"" } else { "" };
    format!(
        r#"{LISTENERS}
[[listen]]
transport = "tls"
address = "127.0.0.1:0"
certificate = "{at}/edge.pem"
private_key = "{at}/edge.key"
[trunk.whatsapp]
preset = "whatsapp"
accept_from = ["127.0.0.5/32"]
media_from = ["127.0.0.0/8"]
require_auth = {{ username = "{BUSINESS}", password = "{PASSWORD}", algorithms = ["MD5"] }}
auth = {{ username = "{BUSINESS}", password = "{PASSWORD}" }}
contact_host = "{HOST}"
caller_id = "+{BUSINESS}"
tls = {{ ca = "{at}/authority.pem" }}
{broken}
[trunk.pbx]
options_interval = "0s"
peers = ["sip:{PBX}:5060"]
media_from = ["127.0.0.0/8"]
codecs = ["PCMU"]
[agent.receptionist]
url = "{}"
format = "l16/16000"
[[route]]
from = ["whatsapp"]
connect = ["agent:receptionist"]
[[route]]
from = ["pbx"]
connect = ["trunk:whatsapp"]
"#,
        agent.url()
    )
}

/// Starts a user's phone; `account` follows the phone's address in the account line.
fn user(account: &str, hz: u32, dial: Option<&str>) -> anyhow::Result<Baresip> {
    Baresip::start(&Setup {
        ip: PHONE,
        port: 5060,
        account: &format!(
            "<sip:{USER}@{PHONE};transport=udp>;regint=0;answermode=auto;mediaenc=srtp-mand;audio_codecs=opus/48000/2{account}"
        ),
        says: sound::wav(48_000, 2, SAID_SECONDS, |t| said(hz, t)),
        ca: None,
        dial,
        lasts: dial.map(|_| TALK),
    })
}

/// Calls the business number as a user, who hears the agent's echo of a tone that needs 16 kHz.
fn call_of_user(edge: &Edge) -> anyhow::Result<String> {
    let account = format!(";auth_user={BUSINESS};auth_pass={PASSWORD};outbound=\"sip:127.0.0.5:5080\"");
    let mut phone = user(&account, WIDE_HZ, Some(&format!("sip:+{BUSINESS}@{HOST}")))?;
    phone.wait(PATIENCE + TALK)?;
    let log = || phone.log();
    edge.wait_until("the call has its record", PATIENCE, |edge| Ok(!edge.records()?.is_empty())).with_context(log)?;
    let judged = phone.recorded()?.judge(WIDE_HZ, SETTLED).with_context(log)?;
    let Judgement { tone_level_db, tone_snr_db, speech_snr_db, .. } = judged;
    let figure = format!(
        "the agent's {WIDE_HZ} Hz came back at {tone_level_db:+.2} dB and {tone_snr_db:.0} dB, speech at {speech_snr_db:.0} dB"
    );
    if tone_snr_db < WIDE_SNR_DB || tone_level_db.abs() > WIDE_LEVEL_DB {
        bail!("{figure}\n{}", phone.log());
    }
    Ok(figure)
}

/// Calls a user from a phone of the PBX, which holds and resumes: Meta's side sees nothing of the hold.
fn call_to_user(edge: &Edge) -> anyhow::Result<String> {
    let phone = user("", USER_HZ, None)?;
    phone.wait_for("baresip is ready", PATIENCE)?;
    let pbx = Baresip::start(&Setup {
        ip: PBX,
        port: 5060,
        account: &format!("<sip:alice@{};transport=udp>;regint=0;audio_codecs=PCMU", edge.udp),
        says: sound::wav(8_000, 1, SAID_SECONDS, |t| said(PBX_HZ, t)),
        ca: None,
        dial: Some(&format!("sip:{USER}@{}", edge.udp)),
        lasts: None,
    })?;
    let told = || format!("{}\n{}", phone.log(), pbx.log());
    is_in_state(edge, "answered").with_context(told)?;
    std::thread::sleep(TALK);
    pbx.command("hold", "")?;
    is_in_state(edge, "held").with_context(told)?;
    pbx.command("resume", "")?;
    is_in_state(edge, "answered").with_context(told)?;
    pbx.command("hangup", "")?;
    phone.wait_for("terminated", PATIENCE).with_context(told)?;
    let mut figures = Vec::new();
    for (listener, hz, from, to) in
        [(&phone, PBX_HZ, Codec::Pcmu, Codec::Opus), (&pbx, USER_HZ, Codec::Opus, Codec::Pcmu)]
    {
        let judged = listener.recorded()?.judge(hz, SETTLED).with_context(told)?;
        figures.push(judge(&judged, from, to).with_context(told)?);
    }
    Ok(figures.join(", "))
}

/// Waits until the newest call is in this state.
fn is_in_state(edge: &Edge, state: &str) -> anyhow::Result<()> {
    let holds = |edge: &Edge| {
        let calls: serde_json::Value = serde_json::from_str(&edge.get("/v1/calls?limit=1")?)?;
        Ok(calls["calls"][0]["state"].as_str() == Some(state))
    };
    edge.wait_until(state, PATIENCE, holds).map(drop)
}
