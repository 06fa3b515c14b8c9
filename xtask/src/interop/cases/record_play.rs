//! A caller leaves a message by Record, and a later document plays the message by its RecordingUrl: with the edge's
//! default URLs, with `public_url`, with `proxy` (URLs of Twilio), and in the sandbox of `trunkgate twilio`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use crate::commands;
use crate::interop::Setting;
use crate::interop::applications::{Application, TOKEN, application_tables};
use crate::interop::caller::Caller;
use crate::interop::edge::{self, Edge};
use crate::interop::programs::{self, Program};
use crate::interop::recording::FRAME;
use crate::interop::rtp::{self, SAMPLE_RATE};
use crate::interop::sipp::CARRIER;
use crate::interop::sound::AMPLITUDE;
use crate::interop::web_application::{Posted, WebApplication};

const NUMBER: &str = "+14155550100";
/// Number that the application in the sandbox dials.
const PARTY: &str = "+14155550177";
/// IP address of the caller in the sandbox, to which it is the carrier.
const HERE: &str = "127.0.0.1";
/// Tone of the message in Hz, and length of the message in packets.
const TONE: u32 = 440;
const PACKETS: u32 = 100;
/// Length of the played message, in milliseconds.
const HEARD_MS: std::ops::RangeInclusive<u32> = 1_700..=2_100;
/// Maximum change of the tone's level, and minimum SNR of the tone, in dB.
const LEVEL_DB: f64 = 0.5;
const SNR_DB: f64 = 30.0;
/// Name of each configuration, further keys of `[http]` and of `[api]`, and the beginning of a RecordingUrl.
const WRITTEN: [(&str, &str, &str, &str); 3] = [
    ("plain", "", "", "http://127.0.0.1:"),
    (
        "public_url",
        "token = \"0123456789abcdef\"\npublic_url = \"https://edge.example.com\"\n",
        "",
        "https://edge.example.com/2010-04-01/",
    ),
    ("proxy", "", "proxy = true\n", TWILIO),
];
const TWILIO: &str = "https://api.twilio.com/2010-04-01/";

/// Leaves and plays a message with each configuration.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let application = WebApplication::start(verbs(setting.sabotage))?;
    let mut figures = Vec::new();
    for (name, http, api, begins) in WRITTEN {
        let edge = start(&application, http, api)?;
        let heard_ms = leave(CARRIER, edge.udp, &application, begins);
        let heard_ms = heard_ms.with_context(|| format!("{name}: {}", edge.log_tail()))?;
        figures.push(format!("{name} {heard_ms} ms"));
    }
    figures.push(in_sandbox(&application).context("sandbox")?);
    Ok(format!("a message of {} ms is heard again: {}", PACKETS * 20, figures.join(", ")))
}

/// Returns the function that answers requests: with a Record or a recorded Dial, then with the playback.
fn verbs(sabotage: bool) -> impl Fn(&Posted) -> String + Send + Sync + 'static {
    move |posted: &Posted| {
        let url = posted.parameter("RecordingUrl");
        // Broken: no recording has the URL that is played.
        let broken = if sabotage { "0" } else { "" };
        match posted.path.as_str() {
            "/voice" => "<Record action=\"/recorded\" finishOnKey=\"#\" playBeep=\"false\"/>".to_owned(),
            "/dial" => format!("<Dial record=\"record-from-answer\" action=\"/dialled\">{PARTY}</Dial>"),
            "/dialled" => format!("<Pause/><Play>{url}</Play>"),
            _ => format!("<Play>{url}{broken}</Play>"),
        }
    }
}

fn start(application: &WebApplication, http: &str, api: &str) -> anyhow::Result<Edge> {
    let keys = format!("url = \"http://{}/voice\"\nallow_private = true", application.address);
    let tables = application_tables(TOKEN, &[Application { number: NUMBER.to_owned(), keys }]);
    let tables = tables.replace("[api]\n", &format!("[api]\n{api}"));
    let listeners = edge::LISTENERS.replace("[http]\n", &format!("[http]\n{http}"));
    let recording = "[recording]\ndirectory = \"recordings\"\n";
    Edge::start_as(Command::new(edge::binary()), &format!("{listeners}{tables}{recording}"))
}

/// Leaves a message and plays it; returns the length of the playback in milliseconds.
fn leave(address: &str, edge: SocketAddr, application: &WebApplication, begins: &str) -> anyhow::Result<u32> {
    let asked = application.posted().len();
    let caller = Caller::call_from(address, "caller", edge, NUMBER)?;
    let began = Instant::now();
    for number in 0..PACKETS {
        caller.says(number)?;
        std::thread::sleep((began + FRAME * (number + 1)).saturating_duration_since(Instant::now()));
    }
    let since = caller.mark();
    caller.press('#')?;
    let recorded = application.wait_for("the recording", asked, |posted| posted.path == "/recorded")?;
    let url = recorded.parameter("RecordingUrl");
    ensure!(url.starts_with(begins), "RecordingUrl {url} does not begin with {begins}");
    caller.hears(TONE, since)?;
    caller.is_hung_up_on()?;
    let samples = caller.samples();
    judge(samples.get(since..).unwrap_or_default())
}

/// Judges the tone of a playback; returns its length in milliseconds.
fn judge(heard: &[f64]) -> anyhow::Result<u32> {
    let tones = rtp::tones(heard, &[TONE]);
    let [(_, heard_ms)] = tones.as_slice() else { bail!("the message is heard in pieces: {tones:?}") };
    ensure!(HEARD_MS.contains(heard_ms), "{heard_ms} ms of the message are heard");
    let pieces = heard.windows(8_000).step_by(800).map(|piece| rtp::fit(piece, TONE, SAMPLE_RATE));
    let (amplitude, snr_db) = pieces.max_by(|one, other| one.1.total_cmp(&other.1)).context("less than a second")?;
    let level_db = 20.0 * (amplitude / AMPLITUDE).log10();
    ensure!(
        level_db.abs() < LEVEL_DB && snr_db > SNR_DB,
        "the message is {level_db:.2} dB louder, {snr_db:.0} dB clear"
    );
    Ok(*heard_ms)
}

/// Leaves a message by SIP in a sandbox that keeps running, and plays a recorded Dial by a script.
fn in_sandbox(application: &WebApplication) -> anyhow::Result<String> {
    let http = programs::free_address()?;
    let mut serve = sandbox(application, "/voice");
    serve.args(["--serve", "--http", &http.to_string()]);
    let program = Program::start(serve, http)?;
    let status = reqwest::blocking::get(format!("http://{http}/v1/status"))?.error_for_status()?.text()?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let edge: SocketAddr = status["listeners"][0]["address"].as_str().context("a listener")?.parse()?;
    let heard_ms = leave(HERE, edge, application, TWILIO).with_context(|| program.output())?;
    drop(program);
    let mut script = sandbox(application, "/dial");
    let dial = format!("dial {PARTY}");
    for step in [dial.as_str(), "hear party", "wait 700ms", "party hangs up", "hear party", "ends completed"] {
        script.args(["--step", step]);
    }
    commands::output(&mut script).context("a recorded Dial")?;
    Ok(format!("sandbox {heard_ms} ms, and a recorded Dial by a script"))
}

fn sandbox(application: &WebApplication, path: &str) -> Command {
    let mut command = Command::new(edge::binary());
    command.args(["twilio", "--app", &format!("http://{}{path}", application.address)]);
    command
}
