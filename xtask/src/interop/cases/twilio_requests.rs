//! Requests of public programs that Twilio accepts, built and sent as in these programs: parameters without effect
//! here, statuses in place of events, a number together with a messaging service, a POST without changes.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::commands;
use crate::interop::applications::{ACCOUNT, TOKEN, open_tables};
use crate::interop::callee::Callees;
use crate::interop::edge::Edge;
use crate::interop::web_application::WebApplication;
use crate::interop::{Setting, node, python};

/// Packages with the HTTP clients of the Python programs.
const PACKAGES: &[&str] = &["aiohttp==3.14.5", "pycurl==7.49.0"];
/// Calling number, owned by the edge.
const NUMBER: &str = "+14155550100";
/// Number of the party that answers.
const PARTY: &str = "+14155550101";
/// Events of a call that its program must receive, in order.
const EVENTS: [&str; 4] = ["initiated", "ringing", "in-progress", "completed"];

/// Lets each program make its calls and messages.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let python = python::environment("requests", PACKAGES)?;
    let application = WebApplication::start(|_| "<Hangup/>".to_owned())?;
    let url = format!("http://{}", application.address);
    // Broken: the edge rejects parameters without effect.
    let keys = format!("requests_per_second = 0\nconnect = [\"trunk:pbx\"]\nstrict = {}", setting.sabotage);
    let edge = Edge::start(&format!("{}[messages]\nurl = \"{url}/send\"\n", open_tables(&[NUMBER], &keys)))?;
    let callees = Callees::start()?;
    let base = format!("http://{}", edge.http);
    let flags = [
        ["--url", base.as_str()],
        ["--account", ACCOUNT],
        ["--token", TOKEN],
        ["--number", NUMBER],
        ["--to", PARTY],
        ["--application", &url],
    ]
    .concat();
    let mut program = Command::new(python);
    program.args(["-B", "-W", "ignore"]).arg(python::script("twilio_requests.py")).args(&flags);
    let by_python = commands::output(&mut program).with_context(|| edge.log_tail())?;
    let of_node = flags.get(..10).unwrap_or_default();
    let by_node = node::output(node::Packages::Twilio, &node::script("twilio_requests.cjs"), of_node)
        .with_context(|| edge.log_tail())?;
    for path in ["/goalert/status?msgID=1", "/dograh/status"] {
        notified(&application, path)?;
    }
    for body in ["GoAlert: the disk is full", "Healthchecks: backup is DOWN", "Uptime Kuma: [home] [Down] timeout"] {
        let sent = application.wait_for(body, 0, |sent| sent.path == "/send" && sent.parameter("Body") == body)?;
        let (from, to) = (sent.parameter("From"), sent.parameter("To"));
        ensure!((from, to) == (NUMBER, PARTY), "{body}: from {from} to {to}");
    }
    let calls = callees.called().len();
    ensure!(calls == 3, "{calls} calls instead of three");
    Ok(format!("{}, {}: {calls} calls reach a party, three messages the service", by_python.trim(), by_node.trim()))
}

/// Waits until a program has received all events of its call, and checks their order.
fn notified(application: &WebApplication, path: &str) -> anyhow::Result<()> {
    application.wait_for(&format!("{path}, completed"), 0, |posted| {
        posted.path == path && posted.parameter("CallStatus") == "completed"
    })?;
    let posted = application.posted();
    let of_call = posted.iter().filter(|posted| posted.path == path);
    let statuses: Vec<&str> = of_call.map(|posted| posted.parameter("CallStatus")).collect();
    ensure!(statuses == EVENTS, "{path}: {statuses:?}");
    Ok(())
}
