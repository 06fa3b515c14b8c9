//! Commands and code of the page, unchanged: the variables of `trunkgate twilio env` make the edge api.twilio.com, and
//! the hosts of the page's applications resolve to this machine.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::ApiStep;
use super::commands::{CALLER_ID, PARTY, SDK_CALLER_ID, SDK_PARTY};
use super::page::Page;
use super::rig::{Rig, WELCOME, json};
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::edge::Edge;
use crate::interop::python;
use crate::interop::sound::Sound;

/// Additional duration of the call that is recorded.
const RECORDED: Duration = Duration::from_secs(2);

/// Hosts of the applications in the page's examples.
pub(super) const HOSTS: [&str; 3] = ["voice.example.com", "voice.prod.example.com", "demo.twilio.com"];

/// Commands of the page that the newest twilio-cli lacks: page, section, command, and the nearest command, which a step
/// runs.
pub(super) const GONE: [(&str, &str, &str, &str); 3] = [
    ("001", "CLI", "twilio-cli@5.20.0", "npm has no such release (5.19.4, 5.20.1): 6.2.4"),
    ("001", "CLI", "api:core:accounts:fetch without --sid", "with --sid \"$TWILIO_ACCOUNT_SID\""),
    ("001", "CLI", "api:request --method GET --uri …", "curl with that path, or api:core:calls:list --limit 20"),
];

/// Steps of the page with unchanged commands and code, in order.
pub(super) const STEPS: [ApiStep; 11] = [
    ApiStep { section: "usage 2", name: "curl: the page's command, its callbacks at their own host", run: curl },
    ApiStep { section: "SDK for Python", name: "the page's code", run: by_sdk },
    ApiStep { section: "CLI", name: "twilio login, then keys and calls by its profile", run: login },
    ApiStep { section: "CLI", name: "api:core:calls:create, seven lines", run: create },
    ApiStep { section: "CLI", name: "--machine-detection: a human", run: detection },
    ApiStep { section: "CLI", name: "api:core:calls:list with properties", run: list },
    ApiStep { section: "CLI", name: "api:core:calls:fetch", run: fetch },
    ApiStep { section: "CLI", name: "api:core:accounts:fetch", run: account },
    ApiStep { section: "CLI", name: "api:request: gone, the nearest ones", run: request },
    ApiStep { section: "CLI, curl", name: "recordings: listed, fetched, the audio by curl -L -u", run: recordings },
    ApiStep { section: "CLI", name: "conferences are listed", run: conferences },
];

fn curl(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let since = rig.judged();
    let call = json(&rig.proxied()?.shell(&page.curl_example()?)?)?;
    ensure!(call["status"] == "queued", "{call}");
    let answered = rig.answers(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.hears(&answered, "This is a test call", "joanna")?;
    rig.is_hung_up_on(answered)?;
    rig.requested(since, &["https://voice.prod.example.com/webhooks/voice/status", "\"CallStatus\":\"completed\""])?;
    rig.reported(since, &["initiated", "ringing", "in-progress", "completed"])?;
    Ok("heard, four callbacks accepted at https://voice.prod.example.com".to_owned())
}

fn by_sdk(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let code = folder.path().join("example.py");
    std::fs::write(&code, page.python_example()?)?;
    let since = rig.judged();
    let said = rig.proxied()?.python(python::Packages::Pinned, &code, &[])?;
    let sid = said.lines().next().unwrap_or_default().trim();
    let answered = rig.answers(&rig.reached(SDK_PARTY, SDK_CALLER_ID)?)?;
    rig.requested(since, &["https://demo.twilio.com/docs/voice.xml", sid])?;
    rig.hears(&answered, WELCOME, "joanna")?;
    rig.is_hung_up_on(answered)?;
    rig.bench.edge.api_call_is(sid, "completed")?;
    Ok("twilio 9.0.5 as pinned, by `Client()`".to_owned())
}

fn login(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let command = page.command("twilio login")?;
    let version = rig.proxied()?.shell(&page.command("twilio --version")?)?;
    ensure!(version.starts_with("twilio-cli/6.2.4 "), "{version}");
    // These are the answers to the prompts of the program.
    let answers = format!("{ACCOUNT} --auth-token {TOKEN} --profile edge --force");
    let commands = format!(
        "unset TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN\n{command} {answers} 2>&1 && twilio api:core:calls:list --profile edge --limit 1"
    );
    rig.proxied()?.shell(&commands)?;
    let keys = rig.proxied()?.shell("twilio api:core:keys:list --properties sid,friendlyName")?;
    ensure!(keys.contains("SK") && keys.contains("twilio-cli"), "{keys}");
    Ok("it makes a key, which opens the calls".to_owned())
}

/// Returns the SID of the newest call.
fn newest(rig: &Rig) -> anyhow::Result<String> {
    let list = rig.bench.edge.api("GET Calls.json", &[("PageSize", "1")])?;
    Ok(list["calls"][0]["sid"].as_str().with_context(|| list.to_string())?.to_owned())
}

fn create(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let since = rig.judged();
    let made = rig.proxied()?.shell(&page.command("twilio api:core:calls:create")?)?;
    ensure!(made.contains(CALLER_ID) && made.contains(PARTY) && made.contains("queued"), "{made}");
    let answered = rig.answers(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.requested(since, &["POST /twiml/outbound", "https://voice.example.com/twiml/outbound"])?;
    rig.hears(&answered, WELCOME, "joanna")?;
    rig.is_hung_up_on(answered)?;
    rig.reported(since, &["initiated", "ringing", "in-progress", "completed"])?;
    ensure!(made.contains(&newest(rig)?), "{made}");
    Ok("its document heard, its four events in one flag reported".to_owned())
}

fn detection(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let since = rig.judged();
    let command = page.command("twilio api:core:calls:create")?;
    rig.proxied()?.shell(&format!("{} --machine-detection Enable", command.trim_end()))?;
    let answered = rig.answers(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.says_hello(&answered)?;
    rig.requested(since, &["POST /twiml/outbound", "\"AnsweredBy\":\"human\""])?;
    rig.hears(&answered, WELCOME, "joanna")?;
    rig.is_hung_up_on(answered)?;
    let call = rig.bench.edge.api(&format!("GET Calls/{}.json", newest(rig)?), &[])?;
    ensure!(call["answered_by"] == "human", "{call}");
    Ok("the document is asked for once a short greeting is over, with AnsweredBy".to_owned())
}

fn list(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let list = rig.proxied()?.shell(&page.command("twilio api:core:calls:list")?)?;
    ensure!(list.contains(&newest(rig)?) && list.contains("completed"), "{list}");
    Ok(format!("{} calls", list.lines().count() - 1))
}

fn fetch(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let sid = newest(rig)?;
    let command = page.command("twilio api:core:calls:fetch")?.replace("YOUR_CA_SID", &sid);
    let fetched = rig.proxied()?.shell(&command)?;
    ensure!(fetched.contains(&sid) && fetched.contains("completed"), "{fetched}");
    Ok("the sample SID is a call's".to_owned())
}

fn account(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let command = page.command("twilio api:core:accounts:fetch")?;
    let refused = rig.proxied()?.shell(&format!("{command} 2>&1; true"))?;
    ensure!(refused.contains("Missing required flag"), "the newest program takes it: {refused}");
    let fetched = rig.proxied()?.shell(&format!("{command} --sid \"$TWILIO_ACCOUNT_SID\""))?;
    ensure!(fetched.contains(ACCOUNT) && fetched.contains("active"), "{fetched}");
    Ok("with --sid, which the newest program demands".to_owned())
}

fn request(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let printed = rig.proxied()?.shell(&format!("{} 2>&1; true", page.command("twilio api:request")?))?;
    ensure!(!printed.contains("\"calls\""), "the newest program has it: {printed}");
    let path = page.cli_path()?;
    let curl = format!("curl -sS -u \"$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN\" \"https://api.twilio.com{path}\"");
    let answer = json(&rig.proxied()?.shell(&curl)?)?;
    ensure!(answer["calls"][0]["sid"] == newest(rig)?.as_str() && answer["page_size"] == 20, "{answer}");
    let list = rig.proxied()?.shell("twilio api:core:calls:list --limit 20")?;
    ensure!(list.contains(&newest(rig)?), "{list}");
    Ok("the page's path by curl, the list by the program".to_owned())
}

fn recordings(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let command = page.curl_example()?.replace("<Hangup/>", "<Pause length='60'/>");
    let call = json(&rig.proxied()?.shell(&command)?)?;
    let call = call["sid"].as_str().context("no SID")?;
    let answered = rig.answers(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.bench.edge.api_call_is(call, "in-progress")?;
    let begun = rig.bench.edge.api(&format!("POST Calls/{call}/Recordings.json"), &[("RecordingTrack", "both")])?;
    rig.hears(&answered, "This is a test call", "joanna")?;
    // The call had audio since its answer, but the recording began later.
    std::thread::sleep(RECORDED);
    rig.hangs_up(answered)?;
    rig.bench.edge.api_call_is(call, "completed")?;
    let sid = begun["sid"].as_str().with_context(|| begun.to_string())?;
    let path = format!("GET Recordings/{sid}.json");
    let is_complete = |edge: &Edge| Ok(edge.api(&path, &[]).is_ok_and(|one| one["status"] == "completed"));
    rig.bench.edge.wait_until("the recording is complete", Duration::from_secs(10), is_complete)?;
    let list = rig.proxied()?.shell(&page.command("twilio api:core:recordings:list")?)?;
    ensure!(list.contains(sid) && list.contains(call) && list.contains("completed"), "{list}");
    let sample = "RE3f3b1b2c0d0f4a5b6c7d8e9f0a1b2c3";
    let fetched = rig.proxied()?.shell(&page.command("twilio api:core:recordings:fetch")?.replace(sample, sid))?;
    ensure!(fetched.contains(sid) && fetched.contains("completed"), "{fetched}");
    let curl = page.command("curl -u \"$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN\"")?.replace(sample, sid);
    let folder = tempfile::tempdir()?;
    rig.proxied()?.shell(&format!("cd '{}' && {curl}", folder.path().display()))?;
    let audio = Sound::of_wav(&std::fs::read(folder.path().join("recording.wav"))?)?;
    ensure!(audio.rate_hz == 8_000 && audio.samples.len() > 8_000, "{} samples", audio.samples.len());
    Ok(format!("{:.1} s from https://api.twilio.com by the page's own command", audio.samples.len() as f64 / 8000.0))
}

fn conferences(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let said = rig.proxied()?.shell(&format!("{} 2>&1; true", page.command("twilio api:core:conferences:list")?))?;
    ensure!(!said.contains("20501") && !said.contains("Error code"), "{said}");
    Ok("none goes on".to_owned())
}
