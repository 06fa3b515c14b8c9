//! `trunkgate loadtest --scenario` with SIPp: the command counts SIPp's calls, judges their audio and quotes SIPp's
//! errors.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::interop::Setting;
use crate::interop::edge::{Edge, binary};
use crate::interop::rtp::tone_ulaw;
use crate::interop::sipp::{CARRIER_TO_PBX, PBX, UAC_RTP};

/// Route for a number that is always busy.
const BUSY: &str = "[[route]]\nfrom = [\"carrier\"]\nto = [\"486\"]\nconnect = [\"reject:486\"]\n";
/// Scenario with an element that SIPp does not know.
const UNKNOWN: &str = "<scenario name=\"x\"><send><![CDATA[OPTIONS]]></send><sendd/></scenario>";

/// Makes SIPp calls with a tone, through the command's own edge and through one with a configuration. Sabotaged, SIPp
/// sends silence.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let audio = if setting.sabotage { vec![0xff; 8000] } else { tone_ulaw(8000) };
    std::fs::write(at.join("tone.ul"), audio)?;
    std::fs::write(at.join("uac.xml"), UAC_RTP)?;
    std::fs::write(at.join("unknown.xml"), UNKNOWN)?;

    let total = setting.calls(40, 10);
    let total = total.to_string();
    let load = ["--total", &total, "--calls", "10", "--cps", "5", "--hold", "2s", "--json"];
    let asserted = ["--assert", "failed=0,answered=100%,audible=100%,loss<1%,mos.p5>3.5", "--junit", "out.xml"];
    let answer = json(&loadtest(at, "uac.xml", &[&load[..], &asserted].concat())?)?;
    ensure!(answer["ok"] == true, "private edge: {answer:#}");
    let junit = std::fs::read_to_string(at.join("out.xml"))?;
    ensure!(junit.contains("tests=\"6\" failures=\"0\" errors=\"0\""), "{junit}");
    let packets = answer["audio"]["packets"]["expected"].as_u64().unwrap_or_default();
    let mos = answer["audio"]["mos"]["p50"].as_f64().unwrap_or_default();

    // If no flag is given, a scenario that sends audio must also receive it; this edge has a configuration of its own.
    let mut edge = Edge::start(&format!("{BUSY}{CARRIER_TO_PBX}"))?;
    let to = |number: &str| format!("sip:{number}@{}", edge.udp);
    let answer_at = format!("{PBX}:5060");
    let (good, busy) = (to("100"), to("486"));
    let through = ["--bind", "127.0.0.2:5070", "--answer", &answer_at, "--total", "3", "--hold", "2s", "--json"];
    let answer = json(&loadtest(at, "uac.xml", &[&["--to", good.as_str()][..], &through].concat())?)?;
    ensure!(answer["ok"] == true && answer["audio"]["audible"] == 3, "through an edge: {answer:#}");

    let refused =
        json(&loadtest(at, "uac.xml", &[&["--to", busy.as_str(), "--assert", "failed=0"][..], &through].concat())?)?;
    let reasons = refused["sipp"]["failures"].as_object().context("no reasons")?;
    ensure!(refused["ok"] == false && refused["sipp"]["failed"] == 3, "486: {refused:#}");
    ensure!(reasons.keys().any(|reason| reason.starts_with("received 486 ")), "{refused:#}");
    edge.assert_alive()?;

    let wrong = loadtest(at, "unknown.xml", &["--total", "1"])?;
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    let is_named = told.contains("sipp refuses to run the scenario") && told.contains("unknown.xml");
    ensure!(wrong.status.code() == Some(2) && is_named, "an unknown element: {told}");
    Ok(format!(
        "{total} calls through a private edge, {packets} packets judged, MOS {mos:.2}; 3 through an edge, 3 × 486 by reason"
    ))
}

/// Runs `trunkgate loadtest` in the scenario's folder, in which SIPp finds the audio.
fn loadtest(folder: &Path, scenario: &str, flags: &[&str]) -> anyhow::Result<Output> {
    let program = std::fs::canonicalize(binary())?;
    let mut command = Command::new(program);
    command.args(["loadtest", "--scenario", scenario]).args(flags).current_dir(folder);
    command.output().context("trunkgate loadtest")
}

fn json(output: &Output) -> anyhow::Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
