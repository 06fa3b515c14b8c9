//! twilio-samples/speech-assistant-openai-realtime-api-python between a call and a simulation of OpenAI's realtime API,
//! in a network namespace: the program's code names `api.openai.com`, and a stream on port 443 of the program's host.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::PYTHON;
use crate::interop::Setting;
use crate::interop::applications::{Application, TOKEN, application_tables};
use crate::interop::caller::Listener;
use crate::interop::edge::{self, Edge};
use crate::interop::netns::{self, Namespace};
use crate::interop::node::{self, Packages};
use crate::interop::programs::{self, Checkout, Program};
use crate::interop::proxied::Certificate;
use crate::interop::python::Script;
use crate::interop::raw::Phone;
use crate::interop::recording::{WORD, interrupt};
use crate::interop::sipp::CARRIER;
use crate::interop::speech::Speech;

const PROGRAM: Checkout = Checkout {
    owner: "twilio-samples",
    name: "speech-assistant-openai-realtime-api-python",
    commit: "d70e2511115ed0491f05d562f39f90b424858a8b",
};
const NUMBER: &str = "+14155550100";
/// Host of the program, and IP address of a TLS front for the program's port.
const HOST: (&str, &str) = ("assistant.example.com", "127.0.0.6");
/// Host of the model, and IP address of the model's simulation.
const MODEL: (&str, &str) = ("api.openai.com", "127.0.0.7");
/// Port at which the program listens.
const PORT: &str = "5050";
/// Byte value in the audio of the model.
const VOICE: u8 = 0x20;
/// Maximum difference between the audio heard by the caller and the part remembered by the model: transmission delays.
const APART_MS: i64 = 200;
/// Maximum wait for the program's prompts.
const PATIENCE: Duration = Duration::from_secs(15);

/// Makes a call in which the caller speaks, listens to an answer, and interrupts it.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = netns::missing() {
        return Ok(skipped);
    }
    let folder = match PROGRAM.folder() {
        Ok(folder) => folder,
        Err(error) => return PROGRAM.missing(setting, error),
    };
    let python = programs::interpreter("speech-assistant", &folder)?;
    node::install(Packages::Base)?;
    let here = Namespace::new("realtime")?;
    // Broken: the model is unreachable.
    let model = if setting.sabotage { String::new() } else { format!("{} {}\n", MODEL.1, MODEL.0) };
    here.hosts(&format!("127.0.0.1 localhost\n{} {}\n{model}", HOST.1, HOST.0))?;
    here.enter(|| assist(&here, &folder, &python))
}

/// Starts a Node script on port 443 of an address, with a certificate for the script's host.
fn start(name: &str, address: &str, certificate: &Certificate, further: &[&str]) -> anyhow::Result<Script> {
    let (file, key) = (certificate.file().display().to_string(), certificate.key().display().to_string());
    let flags = ["--port", "443", "--address", address, "--certificate", &file, "--key", &key];
    node::start(Packages::Base, &node::script(name), &[&flags[..], further].concat())
}

/// Runs the test inside the network namespace.
fn assist(here: &Namespace, folder: &Path, python: &Path) -> anyhow::Result<String> {
    let (of_model, of_host) = (Certificate::make_for(MODEL.0)?, Certificate::make_for(HOST.0)?);
    let model = start("openai_realtime.cjs", MODEL.1, &of_model, &[])?;
    let upstream = format!("127.0.0.1:{PORT}");
    let _front = start("tls_front.cjs", HOST.1, &of_host, &["--upstream", &upstream])?;
    let mut command = here.command(&python.display().to_string());
    command.args(["-u", "main.py"]).current_dir(folder).envs(PYTHON);
    command.env("PORT", PORT).env("OPENAI_API_KEY", "sk-none").env("SSL_CERT_FILE", of_model.file());
    let program = Program::start(command, upstream.parse()?)?;
    let speech = Speech::new()?;
    let keys = format!("url = \"https://{}/incoming-call\"\nallow_private = true", HOST.0);
    let tables = application_tables(TOKEN, &[Application { number: NUMBER.to_owned(), keys }]);
    let mut command = here.command(&std::path::absolute(edge::binary())?.display().to_string());
    command.env("SSL_CERT_FILE", of_host.file());
    let edge = Edge::start_by(command, &(speech.table(&[]) + &tables))?;
    let told = || format!("{}\n{}\n{}", model.lines().join("\n"), program.output(), edge.log_tail());
    converse_with(&edge, &speech, &model).with_context(told)
}

fn converse_with(edge: &Edge, speech: &Speech, model: &Script) -> anyhow::Result<String> {
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let listener = Listener::start(&caller.rtp)?;
    let call = caller.call(edge.udp, NUMBER)?;
    for words in ["Please wait while we connect your call", "you can start talking"] {
        let hz = speech.spoken(words)?.hz;
        let began = Instant::now();
        while !listener.has_heard(hz, 0) {
            if began.elapsed() > PATIENCE {
                bail!("the caller does not hear {words:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    drop(listener);
    let asked = model.wait_for("asked ", PATIENCE)?;
    ensure!(asked.contains("model=gpt-realtime") && asked.ends_with("Bearer sk-none"), "the model is asked {asked}");
    let heard = interrupt(&caller, &call)?;
    caller.bye(&call)?;
    let is_voice = |payload: &[u8]| payload.len() == 160 && payload.iter().all(|byte| *byte == VOICE);
    let heard_ms = i64::try_from(heard.iter().filter(|packet| is_voice(&packet.payload)).count())? * 20;
    let said_ms: i64 = model.wait_for("heard ", PATIENCE)?.trim_end_matches(" ms").parse()?;
    ensure!((said_ms - i64::from(WORD) * 20).abs() <= 40, "the model hears {said_ms} ms of {} ms", WORD * 20);
    let remembered_ms: i64 = model.wait_for("truncated item_1 at ", PATIENCE)?.parse()?;
    let is_alike = (remembered_ms - heard_ms).abs() <= APART_MS;
    ensure!(heard_ms >= 500 && is_alike, "the caller heard {heard_ms} ms, the model remembers {remembered_ms} ms");
    Ok(format!(
        "a word of {said_ms} ms reaches the model, {heard_ms} ms of its 4000 ms the caller, who interrupts: the model \
         remembers {remembered_ms} ms"
    ))
}
