//! Twilio's libraries for Python and Node, each in a commonly pinned version and in the newest one, as clients of the
//! edge at its base URL.

use anyhow::Context as _;

use crate::interop::applications::{TOKEN, accepted, open_tables};
use crate::interop::callee::Callees;
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages, Script};
use crate::interop::{Setting, node};

/// Numbers of the edge; calls come from the first one.
const NUMBERS: [&str; 3] = ["+14155550100", "+14155550110", "+442071838750"];

/// Lets each library create, list, fetch, update and end resources.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let judge = Script::start(Packages::Forms, &python::script("webhook_application.py"), &["--token", TOKEN])?;
    // Broken: calls have no trunk to go to.
    let connect = if setting.sabotage { "" } else { "connect = [\"trunk:pbx\"]" };
    // The programs poll the edge every 50 ms.
    let edge = Edge::start(&open_tables(&NUMBERS, &format!("requests_per_second = 0\n{connect}")))?;
    let callees = Callees::start()?;
    let (url, callback) = (format!("http://{}", edge.http), format!("http://{}/status?of=sdk", judge.address));
    let flags = [
        ("--url", url.as_str()),
        ("--account", crate::interop::applications::ACCOUNT),
        ("--token", TOKEN),
        ("--caller-id", NUMBERS[0]),
        // The number is in local notation.
        ("--answers", "+1 (415) 555-0101"),
        ("--busy", "+14155550102"),
        ("--silent", "+14155550103"),
        ("--callback", &callback),
    ];
    let flags: Vec<&str> = flags.iter().flat_map(|(name, value)| [*name, *value]).collect();
    let mut figures = Vec::new();
    for pinned in [true, false] {
        let packages = if pinned { Packages::Pinned } else { Packages::Base };
        let by_python = || python::output(packages, &python::script("twilio_api.py"), &flags);
        let packages = if pinned { node::Packages::Pinned } else { node::Packages::Twilio };
        let by_node = || node::output(packages, &node::script("twilio_api.cjs"), &flags);
        for library in [&by_python as &dyn Fn() -> anyhow::Result<String>, &by_node] {
            let since = judge.lines().len();
            let said = library().with_context(|| edge.log_tail())?;
            for status in ["initiated", "ringing", "in-progress", "completed"] {
                accepted(&judge, since, &["POST /status", &format!("\"CallStatus\":\"{status}\"")])?;
            }
            figures.push(said.trim().to_owned());
        }
    }
    let calls = callees.called().len();
    Ok(format!("{}; {calls} calls reached a party, their callbacks pass the validator", figures.join("; ")))
}
