//! Tests the console in headless Chromium: every page with the demo's calls and with 0 to 50 trunks, response times of
//! a turn-taking agent, sign-in with a token, hang-up of a SIPp call with playback of its recording, and a conference
//! of two SIPp calls. Screenshots are kept in `target/interop-console`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::agent_parrot;
use super::deploy_files::needs;
use crate::interop::Setting;
use crate::interop::edge::{self, Edge, LISTENERS};
use crate::interop::node::{self, Packages};
use crate::interop::python;
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

/// Running edge of the demo (`--serve`), killed on drop.
struct Demo {
    child: Child,
    url: String,
}

impl Demo {
    fn start() -> anyhow::Result<Demo> {
        let mut command = Command::new(edge::binary());
        let mut child = command.args(["demo", "--serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = BufReader::new(child.stderr.take().context("stderr")?);
        let mut lines = stderr.lines().map_while(Result::ok);
        let up = lines.find(|line| line.contains("the edge keeps running"));
        let url = up.as_deref().and_then(|line| line.split_whitespace().find(|word| word.starts_with("http://")));
        let url = url.map(|url| url.trim_end_matches(';').to_owned());
        let demo = Demo { child, url: url.unwrap_or_default() };
        // An unread pipe would block the edge.
        std::thread::spawn(move || lines.for_each(drop));
        anyhow::ensure!(!demo.url.is_empty(), "the demo did not print the address of its edge");
        Ok(demo)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Tests the console's pages with the demo, with trunks, with a call and with a conference.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = needs(&[("chromium", "chromium")]) {
        return Ok(skipped);
    }
    let pictures = edge::target().join("interop-console");
    std::fs::create_dir_all(&pictures)?;
    let pictures = pictures.canonicalize()?;
    let out = pictures.to_str().context("a path in UTF-8")?;
    let script = node::script("console.cjs");
    let demo = Demo::start()?;
    let pid = demo.child.id().to_string();
    let walked = node::output(Packages::Browser, &script, &["--walk", &demo.url, "--pid", &pid, "--out", out])?;

    let agent = node::start(Packages::Base, &python::example("parrot_agent.js"), &[])?;
    let (spoken, _) = agent_parrot::conversation(&format!("ws://{}/media", agent.address))?;
    let url = format!("http://{}", spoken.http);
    let timed = node::output(Packages::Browser, &script, &["--turns", &url, "--out", out])?;
    drop(spoken);

    let token = "as long as it is secret";
    let listeners = LISTENERS.replace("[http]\n", &format!("[http]\ntoken = \"{token}\"\n"));
    let recorded =
        format!("{CARRIER_TO_PBX}record = true\n[recording]\ndirectory = \"recordings\"\n[voicemail.front]\n");
    let mut edge = Edge::start_as(Command::new(edge::binary()), &format!("{listeners}{recorded}"))?;
    let _callee = Callee::start(PBX, 5060)?;
    let mut calls = Calls::new(1, 1, Duration::from_secs(120));
    calls.rtp = true;
    let udp = edge.udp;
    // SIPp counts a call that the console hangs up as failed.
    let caller = std::thread::spawn(move || calls.run(udp));
    // Sabotage: the browser enters a wrong token.
    let typed = if setting.sabotage { "another" } else { token };
    let url = format!("http://{}", edge.http);
    let clicked = node::output(Packages::Browser, &script, &["--live", &url, "--token", typed, "--out", out])?;
    let ended = caller.join().map_err(|_| anyhow::anyhow!("SIPp's thread panicked"))??;
    anyhow::ensure!(ended.failed == 1, "the call was not hung up: {ended:?}");
    edge.assert_alive()?;
    drop(edge);
    let conferred = conference(&script, out)?;
    Ok(format!(
        "pages: {}; response times of an agent: {}; a call hung up: {}; a conference: {}; screenshots in {out}",
        walked.trim(),
        timed.trim(),
        clicked.trim(),
        conferred.trim()
    ))
}

/// Makes two SIPp calls to a conference, in which a user of the console mutes, holds and ends.
fn conference(script: &Path, out: &str) -> anyhow::Result<String> {
    let routes = CARRIER_TO_PBX.replace("trunk:pbx\"", "conference:weekly\"");
    let mut edge = Edge::start_as(Command::new(edge::binary()), &format!("{LISTENERS}{routes}"))?;
    let mut calls = Calls::new(2, 2, Duration::from_secs(120));
    calls.rtp = true;
    let (udp, url) = (edge.udp, format!("http://{}", edge.http));
    // SIPp counts calls that the edge hangs up as failed.
    let caller = std::thread::spawn(move || calls.run(udp));
    let done = node::output(Packages::Browser, script, &["--conference", &url, "--out", out])?;
    let ended = caller.join().map_err(|_| anyhow::anyhow!("SIPp's thread panicked"))??;
    anyhow::ensure!(ended.failed == 2, "the conference was not ended: {ended:?}");
    edge.assert_alive()?;
    Ok(done)
}
