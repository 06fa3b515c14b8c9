//! Documents of the page, and the example that generates one, each as an application of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::page::Page;
use super::servers::{Environment, Server, free};
use crate::commands;
use crate::interop::applications::{Application, Bench, TOKEN, accepted};
use crate::interop::caller::Caller;
use crate::interop::edge::Edge;
use crate::interop::front::Front;
use crate::interop::python::{self, Packages, Script};
use crate::interop::sound::Sound;
use crate::interop::transcriber::{TEXT, Transcriber};

/// Caller ID in the page's documents.
const CALLER_ID: &str = "+14155551234";
/// Number of the party that takes over the caller of a warm transfer.
const SUPERVISOR: &str = "+14155550155";
/// Host of the callbacks in the page's documents.
const APPLICATION: &str = "https://voice.prod.example.com";
/// Frequency of the tone before a recording.
const TONE_HZ: u32 = 1_000;

/// Step of a page with a document: section, name, and the call by which it is judged.
pub(super) struct Step {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) run: fn(&Page) -> anyhow::Result<String>,
}

/// Steps of the page with documents.
pub(super) const STEPS: [Step; 8] = [
    Step { section: "stored templates", name: "outbound.xml: a text, then the number, recorded", run: template },
    Step { section: "usage 1", name: "the handler for Node: a text, then the number", run: handler },
    Step {
        section: "usage 3",
        name: "warm transfer: customer, agent and supervisor in a conference",
        run: warm_transfer,
    },
    Step { section: "usage 4", name: "voicemail: a text, the tone, the message of the caller", run: voicemail },
    Step { section: "SDK for Python", name: "transcribe of Record: the text by its callback", run: transcribed },
    Step { section: "call recording", name: "record of Conference: what two callers say", run: conference },
    Step { section: "data protection", name: "retention: a recording is gone after `keep`", run: retention },
    Step { section: "usage 5", name: "SIP to telephone: a text, the number is busy, another text", run: fallback },
];

/// Returns the document of the page that contains these words, as a static file.
fn document(page: &Page, words: &str) -> anyhow::Result<String> {
    let found = page.documents().into_iter().find(|document| document.contains(words));
    found.with_context(|| format!("the page has no document with {words:?}"))
}

/// Starts an edge with this file as the only application, named relative to the configuration's folder.
fn with_file(text: &str) -> anyhow::Result<Bench> {
    let application = Application { number: CALLER_ID.to_owned(), keys: "file = \"page.xml\"".to_owned() };
    Bench::with_file(TOKEN, &application, ("page.xml", text))
}

/// Starts an edge with this file as the only application, with recording, and the validator of callbacks.
fn with_recordings(text: &str, further: &str) -> anyhow::Result<(Bench, Script)> {
    let judge = Script::start(Packages::Forms, &python::script("webhook_application.py"), &["--token", TOKEN])?;
    let text = text.replace(APPLICATION, &format!("http://{}", judge.address));
    let keys = format!("file = \"page.xml\"\nallow_private = true\n[recording]\ndirectory = \"recordings\"\n{further}");
    let application = Application { number: CALLER_ID.to_owned(), keys };
    Ok((Bench::with_file(TOKEN, &application, ("page.xml", &text))?, judge))
}

/// Waits for the callback about a recording, and downloads the audio with the account's credentials; returns its length
/// in seconds.
fn downloaded(judge: &Script, source: &str) -> anyhow::Result<f64> {
    let words =
        ["POST /webhooks/recording", "\"RecordingStatus\":\"completed\"", &format!("\"RecordingSource\":\"{source}\"")];
    accepted(judge, 0, &words)?;
    let line =
        judge.lines().into_iter().find(|line| words.iter().all(|word| line.contains(word))).context("no line")?;
    let field = |name: &str| {
        let behind = line.split(&format!("\"{name}\":\"")).nth(1).and_then(|rest| rest.split('"').next());
        behind.map(str::to_owned).with_context(|| format!("no {name} in {line}"))
    };
    let (account, url) = (field("AccountSid")?, field("RecordingUrl")?);
    let audio =
        Command::new("curl").args(["-sSfL", "-u", &format!("{account}:{TOKEN}"), &format!("{url}.wav")]).output()?;
    ensure!(audio.status.success(), "{}", String::from_utf8_lossy(&audio.stderr));
    let refused = Command::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url]).output()?;
    ensure!(refused.stdout == b"401", "without credentials: {}", String::from_utf8_lossy(&refused.stdout));
    let audio = Sound::of_wav(&audio.stdout)?;
    let seconds = audio.samples.len() as f64 / f64::from(audio.rate_hz);
    let said: f64 = field("RecordingDuration")?.parse()?;
    ensure!((said - seconds).abs() <= 0.6, "RecordingDuration is {said}, the file has {seconds} s");
    Ok(seconds)
}

/// Tests a caller who hears a text and the tone, sends audio for 3 s and hangs up.
fn leaves_a_message(bench: &Bench, words: &str, voice: &str) -> anyhow::Result<()> {
    let caller = bench.call(CALLER_ID)?;
    bench.hears(&caller, words, voice, 0)?;
    caller.hears(TONE_HZ, 0).context("the tone before the recording")?;
    talks(&caller)?;
    caller.hang_up()
}

/// Sends audio at a caller for 3 s.
fn talks(caller: &Caller) -> anyhow::Result<()> {
    let began = Instant::now();
    for number in 0..150 {
        let due = began + Duration::from_millis(20) * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        caller.says(number)?;
    }
    Ok(())
}

/// Tests that the audio of a recording and its file are deleted, while the entry stays.
fn retention(page: &Page) -> anyhow::Result<String> {
    let (bench, _judge) = with_recordings(&document(page, "leave a message")?, "keep = \"1m\"\n")?;
    leaves_a_message(&bench, "leave a message", "joanna")?;
    let newest = |edge: &Edge| -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_str::<serde_json::Value>(&edge.get("/v1/recordings")?)?["recordings"][0].clone())
    };
    let state_is = |state: &'static str| move |edge: &Edge| Ok(newest(edge)?["state"] == state);
    bench.edge.wait_until("the message is stored", Duration::from_secs(10), state_is("completed"))?;
    let stored = newest(&bench.edge)?;
    bench.edge.wait_until("it is over its time", Duration::from_secs(120), state_is("deleted"))?;
    let sid = stored["sid"].as_str().context("sid")?;
    let url = format!("http://{}/v1/recordings/{sid}/audio", bench.edge.http);
    let audio = Command::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url]).output()?;
    ensure!(audio.stdout == b"410", "{}", String::from_utf8_lossy(&audio.stdout));
    let entry = newest(&bench.edge)?;
    ensure!(entry["sid"] == stored["sid"] && entry["duration_ms"] == stored["duration_ms"], "{entry}");
    Ok("`keep = \"1m\"`: file and audio are gone within 2 min, the entry says deleted".to_owned())
}

/// Tests the document that the Python example on the page generates for a call.
fn transcribed(page: &Page) -> anyhow::Result<String> {
    let example = page.python_example()?;
    let made: Vec<&str> =
        example.lines().filter(|line| line.contains("VoiceResponse") || line.starts_with("resp")).collect();
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("document.py");
    std::fs::write(&program, format!("{}\nprint(resp)\n", made.join("\n")))?;
    let text = commands::output(Command::new(python::interpreter(Packages::Base)?).arg(&program))?;
    let transcriber = Transcriber::start()?;
    let text = text.trim().replace("\"/transcription\"", &format!("\"{APPLICATION}/transcription\""));
    let (bench, judge) = with_recordings(&text, &transcriber.table(false))?;
    leaves_a_message(&bench, "Hello from Twilio Python!", "en-us")?;
    accepted(&judge, 0, &["POST /transcription", "\"TranscriptionStatus\":\"completed\"", TEXT])?;
    ensure!(transcriber.answered() == 1, "{} recordings were transcribed", transcriber.answered());
    Ok("its document recorded, sent as a form with WAV, the text in a callback that the SDK's validator accepts"
        .to_owned())
}

/// Tests the conference element named by the page, with the callback of the page's other documents.
fn conference(page: &Page) -> anyhow::Result<String> {
    let element = page.opening("<Conference record=")?;
    let element = format!("{element} beep=\"false\" recordingStatusCallback=\"{APPLICATION}/webhooks/recording\">");
    let (bench, judge) =
        with_recordings(&format!("<Response><Dial>{element}support</Conference></Dial></Response>"), "")?;
    let (caller, other) = (bench.call(CALLER_ID)?, bench.call(CALLER_ID)?);
    let since = other.mark();
    talks(&caller)?;
    other.hears(440, since)?;
    caller.hang_up()?;
    other.hang_up()?;
    let seconds = downloaded(&judge, "Conference")?;
    ensure!((2.5..6.0).contains(&seconds), "{seconds} s of 3 s that were said");
    Ok(format!("two callers hear each other; {seconds:.1} s recorded, callback accepted by the SDK's validator"))
}

/// Tests the page's conference of a customer and an agent. The agent adds the supervisor, and both talk while the
/// customer is on hold and muted, following the page's notes; then the agent leaves.
fn warm_transfer(page: &Page) -> anyhow::Result<String> {
    let (bench, judge) = with_recordings(&document(page, "support-ticket-842193")?, "")?;
    let customer = bench.call(CALLER_ID)?;
    let list = bench.edge.api("GET Conferences.json?FriendlyName=support-ticket-842193", &[])?;
    let conference = list["conferences"][0]["sid"].as_str().with_context(|| list.to_string())?;
    let parties = format!("Conferences/{conference}/Participants");
    // Returns the SID of the participant other than `known`.
    let sid_beside = |known: &str| -> anyhow::Result<String> {
        let list = bench.edge.api(&format!("GET {parties}.json"), &[])?;
        let sids = list["participants"].as_array().into_iter().flatten().filter_map(|party| party["call_sid"].as_str());
        Ok(sids.into_iter().find(|sid| *sid != known).with_context(|| list.to_string())?.to_owned())
    };
    let of_customer = sid_beside("")?;
    let agent = bench.call(CALLER_ID)?;
    let of_agent = sid_beside(&of_customer)?;
    let since = customer.mark();
    talks(&agent)?;
    customer.hears(440, since).context("the customer does not hear the agent")?;
    let change = |party: &str, field: &str, value: &str| {
        bench.edge.api(&format!("POST {parties}/{party}.json"), &[(field, value)]).map(drop)
    };
    change(&of_customer, "Hold", "true")?;
    change(&of_customer, "Muted", "true")?;
    bench.edge.api(&format!("POST {parties}.json"), &[("From", CALLER_ID), ("To", SUPERVISOR)])?;
    let (invite, from) = bench.dialled(SUPERVISOR, Some(CALLER_ID))?;
    let since = customer.mark();
    let supervisor = bench.connected(&agent, &invite, from).context("agent and supervisor")?;
    ensure!(!customer.has_heard(440, since), "the customer hears what agent and supervisor say");
    change(&of_customer, "Hold", "false")?;
    change(&of_customer, "Muted", "false")?;
    change(&of_agent, "EndConferenceOnExit", "false")?;
    agent.hang_up()?;
    bench.converse(&customer, &supervisor, 200).context("customer and supervisor")?;
    bench.hangs_up(&supervisor)?;
    customer.hang_up()?;
    let seconds = downloaded(&judge, "Conference")?;
    ensure!(seconds > 6.0, "{seconds} s of more than 7 s that were said");
    Ok(format!(
        "the customer hears the agent, then neither it nor the supervisor, then the supervisor alone; {seconds:.1} s recorded"
    ))
}

fn voicemail(page: &Page) -> anyhow::Result<String> {
    let (bench, judge) = with_recordings(&document(page, "leave a message")?, "")?;
    leaves_a_message(&bench, "leave a message", "joanna")?;
    let seconds = downloaded(&judge, "RecordVerb")?;
    ensure!((1.5..4.0).contains(&seconds), "{seconds} s of 3 s that were said");
    Ok(format!(
        "text and tone heard, {seconds:.1} s of the message by curl -L -u, callback accepted by the SDK's validator"
    ))
}

fn template(page: &Page) -> anyhow::Result<String> {
    let (bench, judge) = with_recordings(&document(page, "Connecting your call")?, "")?;
    let caller = bench.call(CALLER_ID)?;
    bench.hears(&caller, "Connecting", "joanna", 0)?;
    let (invite, from) = bench.dialled("+14155559876", Some(CALLER_ID))?;
    let call = bench.connected(&caller, &invite, from)?;
    bench.hangs_up(&call)?;
    caller.is_hung_up_on()?;
    let seconds = downloaded(&judge, "DialVerb")?;
    ensure!((1.5..6.0).contains(&seconds), "{seconds} s of a connection of 2 s");
    Ok(format!("heard, dialled, connected; {seconds:.1} s recorded, callback accepted by the SDK's validator"))
}

fn handler(page: &Page) -> anyhow::Result<String> {
    let address = free()?;
    let front = Front::start(address)?;
    let environment = Environment { token: TOKEN, url: &front.url, caller_id: CALLER_ID };
    let _server = Server::example(&page.node_example()?, address, environment)?;
    let keys = format!("url = \"{}/voice\"\nallow_private = true", front.url);
    let bench = Bench::start(TOKEN, &[Application { number: CALLER_ID.to_owned(), keys }], Some(&front))?;
    let caller = bench.call(CALLER_ID)?;
    bench.hears(&caller, "incident", "matthew", 0)?;
    let (invite, from) = bench.dialled("+14155550123", Some(CALLER_ID))?;
    let call = bench.connected(&caller, &invite, from)?;
    caller.hang_up()?;
    bench.is_hung_up_on()?;
    bench.trace_has("without a recording")?;
    drop(call);
    Ok("heard in the other voice, dialled, connected, ended by the caller; without [recording] unrecorded, with a warning".to_owned())
}

fn fallback(page: &Page) -> anyhow::Result<String> {
    let bench = with_file(&document(page, "Routing your SIP call")?)?;
    let caller = bench.call(CALLER_ID)?;
    bench.hears(&caller, "Routing", "matthew", 0)?;
    let (invite, from) = bench.dialled("+14155550199", Some(CALLER_ID))?;
    bench.is_busy(&invite, from)?;
    let text = bench.hears(&caller, "could not connect", "matthew", 0)?;
    ensure!(!text.is_empty(), "no text");
    caller.is_hung_up_on()?;
    Ok("both texts heard, the number dialled between them, BYE".to_owned())
}
