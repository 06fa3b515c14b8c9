//! Signed requests to applications, checked by Twilio's own validators. The requests are stored in a file;
//! `crates/delivery/src/webhooks/request.rs` tests that the edge produces exactly these.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::deploy_files::root;
use crate::commands::output;
use crate::interop::{Setting, node, python};

/// Checks each request with both validators, and then the same requests with one character changed.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let file = root().join("tests/data/webhook_signatures.json");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let count = text.matches("\"signature\":").count();
    let folder = tempfile::tempdir()?;
    let judged = folder.path().join("requests.json");
    // Broken: some requests are signed for a URL with another host.
    let text = if setting.sabotage {
        text.replace("\"seen\":\"https://localhost", "\"seen\":\"https://otherhost")
    } else {
        text
    };
    std::fs::write(&judged, text)?;
    let judged = judged.display().to_string();
    let mut validator = Command::new(python::interpreter(python::Packages::Base)?);
    validator.arg(python::script("webhook_signatures.py")).arg(&judged);
    let by_python = output(&mut validator)?;
    let by_node = node::output(node::Packages::Twilio, &node::script("webhook_signatures.cjs"), &[&judged])?;
    let expected = format!("taken {count} refused 0 forged 0");
    for (name, said) in [("twilio-python", &by_python), ("twilio-node", &by_node)] {
        ensure!(said.trim_end().ends_with(&expected), "{name}: {said}");
    }
    Ok(format!("{count} requests accepted by each, none of the forged ones"))
}
