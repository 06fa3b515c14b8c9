//! Hosted agent that talks with its caller in turns: a greeting and a Gather of speech, then a reply with the next
//! Gather, until an empty document ends the call. The recogniser is the server of docs/configure/recognition.md, with a
//! scripted engine.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;

use super::Row;
use super::rig::program;
use crate::interop::applications::{Application, Bench, TOKEN, accepted};
use crate::interop::caller::Caller;
use crate::interop::front::Front;
use crate::interop::python::{self, Packages, Script};

/// Number of the agent, and the voice in which the agent speaks.
const NUMBER: &str = "+14155550100";
const VOICE: &str = "joanna";
/// Token that the recogniser requires.
const SECRET: &str = "recogniser-secret";
/// Number of packets in an utterance. The engine needs 25: the rest must neither count as another utterance nor
/// interrupt the reply.
const PACKETS: u32 = 28;

/// Makes the call, and returns the row with the result.
pub(super) fn judge() -> Row {
    let name = "greeting and Gather of speech, turn by turn";
    Row { page: "003", section: "step 8", name, by: "call", outcome: turns() }
}

fn recogniser() -> anyhow::Result<Script> {
    let mut command = Command::new(python::interpreter(Packages::Base)?);
    let engine: PathBuf = program("scripted");
    command.arg("-u").env("PYTHONPATH", engine).env("ASR_TOKEN", SECRET);
    Script::start_by(command, &python::example("recogniser.py"), &[])
}

fn turns() -> anyhow::Result<String> {
    let recogniser = recogniser()?;
    let judge = Script::start(Packages::Forms, &python::script("webhook_application.py"), &["--token", TOKEN])?;
    let front = Front::start(judge.address)?;
    let tables = format!("[recognition]\nurl = \"ws://{}/\"\ntoken = \"{SECRET}\"\n", recogniser.address);
    let keys = format!("url = \"{}/turns\"\nallow_private = true\n{tables}", front.url);
    let application = Application { number: NUMBER.to_owned(), keys };
    let bench = Bench::start(TOKEN, &[application], Some(&front))?;
    let caller = bench.call(NUMBER)?;
    bench.hears(&caller, "How can I help you?", VOICE, 0)?;
    let since = caller.mark();
    says(&caller)?;
    bench.hears(&caller, "You said: what are your hours", VOICE, since)?;
    accepted(&judge, 0, &["POST ", "/turns", "\"SpeechResult\":\"what are your hours\"", "\"Confidence\":\"0.875\""])?;
    accepted(&judge, 0, &["POST ", "/partial", "\"UnstableSpeechResult\":\"hmm\"", "\"SequenceNumber\":\"0\""])?;
    says(&caller)?;
    caller.is_hung_up_on()?;
    accepted(&judge, 0, &["POST ", "/turns", "\"SpeechResult\":\"goodbye\""])?;
    let trace = bench.edge.newest_trace()?;
    let only_in_documents = trace.lines().all(|line| line.starts_with("<?xml") || !line.contains("your hours"));
    ensure!(trace.contains("speech of 4 words") && only_in_documents, "{trace}");
    Ok("two turns, partial results, the empty document ends the call; the trace says how many words, not which"
        .to_owned())
}

/// Sends one utterance from the caller.
fn says(caller: &Caller) -> anyhow::Result<()> {
    for number in 0..PACKETS {
        caller.says(number)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
