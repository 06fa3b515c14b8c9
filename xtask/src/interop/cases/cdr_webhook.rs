//! Call records sent by HTTPS to a receiver that uses the Standard Webhooks library.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages, Script};
use crate::interop::sipp::{Callee, Calls, PBX};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Secret that the receiver does not have.
const WRONG: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAECAwQFBgc=";
/// Time until all records are delivered; the two rejections cost some seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes calls, and verifies the record of each.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.pem").display().to_string();
    let flags = ["--ca", &ca, "--secret", SECRET];
    let receiver = Script::start(Packages::Base, &python::script("webhook_receiver.py"), &flags)?;
    // Broken: records are signed with another secret.
    let secret = if setting.sabotage { WRONG } else { SECRET };
    let mut edge = Edge::start(&format!(
        r#"
url = "https://{}/calls"
secret = "{secret}"
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
        receiver.address
    ))?;
    let _callee = Callee::start(PBX, 5060)?;
    let calls = setting.calls(200, 20);
    Calls::new(calls, 20, Duration::from_secs(1)).all_succeed(&mut edge)?;
    let sid = |record: &serde_json::Value| Some(record.get("sid")?.as_str()?.to_owned());
    let written: BTreeSet<String> = edge.records()?.iter().filter_map(sid).collect();
    let began = Instant::now();
    let verified = loop {
        let lines = receiver.lines();
        if let Some(refused) = lines.iter().find(|line| line.starts_with("refused ")) {
            bail!("the library says: {refused}");
        }
        let taken: Vec<String> =
            lines.iter().filter_map(|line| line.strip_prefix("verified 204 ")).map(str::to_owned).collect();
        if taken.iter().cloned().collect::<BTreeSet<_>>() == written {
            break taken;
        }
        if began.elapsed() > PATIENCE {
            bail!("{} of {} records verified: {}", taken.len(), written.len(), lines.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    edge.assert_alive()?;
    let calls = usize::try_from(calls).context("calls")?;
    if verified.len() != calls {
        bail!("{} records taken of {calls} calls", verified.len());
    }
    Ok(format!("{calls} records verified by the library, each taken once, after two answers of 503"))
}
