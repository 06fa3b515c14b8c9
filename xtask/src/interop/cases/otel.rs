//! Calls as traces, sent by HTTPS to a collector that parses them by OpenTelemetry's own schema.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::python::{self, Script};
use crate::interop::sipp::{Callee, Calls, PBX};

/// Maximum wait for all spans: they are batched for 5 s, and the rejection costs some time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes calls, and checks the spans of each; sabotaged, the edge has another token than the collector.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.pem").display().to_string();
    let flags = ["--ca", &ca, "--token", "open-sesame"];
    let collector = Script::start_by(Command::new(python::otlp()?), &python::script("otel_collector.py"), &flags)?;
    let token = if setting.sabotage { "shut" } else { "open-sesame" };
    let mut edge = Edge::start(&format!(
        r#"
[otel]
endpoint = "https://{}"
headers = {{ Authorization = "Bearer {token}" }}
ca = "{ca}"
[trunk.carrier]
accept_from = ["127.0.0.2/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
[[route]]
from = ["carrier"]
connect = ["trunk:pbx"]
"#,
        collector.address
    ))?;
    let _callee = Callee::start(PBX, 5060)?;
    let calls = setting.calls(200, 20);
    Calls::new(calls, 20, Duration::from_secs(1)).all_succeed(&mut edge)?;
    let sid = |record: &serde_json::Value| Some(record.get("sid")?.as_str()?.get(2..)?.to_owned());
    let written: BTreeSet<String> = edge.records()?.iter().filter_map(sid).collect();
    let began = Instant::now();
    let traces = loop {
        let lines = collector.lines();
        if let Some(refused) = lines.iter().find(|line| line.starts_with("refused ")) {
            bail!("the schema says: {refused}");
        }
        let mut traces: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (trace, name) in lines.iter().filter_map(|line| line.strip_prefix("span 200 ")?.split_once(' ')) {
            traces.entry(trace.to_owned()).or_default().push(name.to_owned());
        }
        if traces.keys().eq(written.iter()) {
            break traces;
        }
        if began.elapsed() > PATIENCE {
            bail!("{} traces of {} calls: {}", traces.len(), written.len(), lines.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(traces.len() as u64 == u64::from(calls), "{} traces of {calls} calls", traces.len());
    for (trace, names) in &traces {
        ensure!(*names == ["INVITE route-1", "INVITE pbx"], "{trace}: {names:?}");
    }
    edge.assert_alive()?;
    Ok(format!("{calls} calls, each one trace of two spans by the schema, once, after an answer of 503"))
}
