//! Kamailio as the upstream proxy: route sets, double Record-Route, retransmissions.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::sipp_reliable::{late_caller, reliable_callee};
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::scenario::Scenario;
use crate::interop::sipp::{Callee, Calls, Counted, PBX};

/// Configuration of a record-routing proxy with a socket on each side that answers OPTIONS to itself.
pub(super) const CONFIGURATION: &str = include_str!("../scenarios/kamailio.cfg");

/// Running Kamailio, stopped on drop.
#[derive(Debug)]
pub(crate) struct Kamailio {
    child: Child,
    folder: tempfile::TempDir,
}

impl Kamailio {
    /// Starts Kamailio with this configuration.
    pub(crate) fn start(configuration: &str) -> anyhow::Result<Kamailio> {
        Kamailio::start_with(configuration, 32)
    }

    /// Starts Kamailio with this many MiB of memory, shared by all its processes.
    pub(crate) fn start_with(configuration: &str, shared_mib: u32) -> anyhow::Result<Kamailio> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kamailio.cfg");
        std::fs::write(&file, configuration)?;
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new("kamailio")
            .arg("-f")
            .arg(&file)
            .args(["-DD", "-m", &shared_mib.to_string(), "-M", "8", "-Y"])
            .arg(folder.path())
            .env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("kamailio")?;
        std::thread::sleep(Duration::from_secs(2));
        Ok(Kamailio { child, folder })
    }

    /// Returns the ID of Kamailio's first process, the parent of the others.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the beginning of Kamailio's log, for the message of a failure.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default().chars().take(2_000).collect()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // The children end with the first process only if it gets a signal.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        drop(self.child.wait());
    }
}

/// Makes calls SIPp → edge → Kamailio → SIPp: with RTP, then with changes by both sides.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: Kamailio does not listen on the upstream's port.
    let port = if setting.sabotage { 5090 } else { 5080 };
    let mut edge = Edge::start(&format!(
        r#"
[trunk.carrier]
accept_from = ["127.0.0.2/32"]
[trunk.upstream]
options_interval = "0s"
peers = ["sip:127.0.0.5:{port}"]
accept_from = ["127.0.0.5/32"]
media_from = ["127.0.0.3/32"]
[[route]]
from = ["carrier"]
connect = ["trunk:upstream"]
[[route]]
from = ["upstream"]
connect = ["reject:486"]
"#
    ))?;
    let kamailio = Kamailio::start(CONFIGURATION)?;
    let callee = Callee::start(PBX, 5060)?;
    let mut calls = Calls::new(setting.calls(100, 40), 20, Duration::from_secs(2));
    calls.rtp = true;
    let counted = calls.run(edge.udp)?;
    let sent = carried(&mut edge, &calls, &counted, &kamailio)?;
    drop(callee);
    let more = setting.calls(20, 5);
    for (caller, callee) in [(late_caller(), reliable_callee(2)), (changing_caller(), changing_callee())] {
        let callee = Callee::start_with(PBX, 5060, &callee.text())?;
        let scenario = Some(caller.text().into());
        Calls { scenario, ..Calls::new(more, 5, Duration::from_millis(300)) }
            .all_succeed(&mut edge)
            .with_context(|| kamailio.log())?;
        callee.has_had(more)?;
    }
    edge.no_dialog_is_left()?;
    Ok(format!(
        "{} calls, 0 failed, {sent} RTP packets relayed; {more} with PRACK; {more} with re-INVITE and UPDATE of both sides and \
         REFER; every dialog ended",
        counted.successful
    ))
}

/// Scenario of a caller that holds and resumes, is held and resumed, and gets the BYE.
fn changing_caller() -> Scenario {
    Scenario::caller()
        .ask("INVITE", "", "sendrecv")
        .expect_answer(200, &["m=audio"])
        .ack("")
        .pause(200)
        .ask("INVITE", "", "sendonly")
        .expect_answer(200, &["a=recvonly"])
        .ack("")
        .pause(200)
        .ask("UPDATE", "", "sendrecv")
        .expect_answer(200, &["a=sendrecv"])
        .expect("INVITE", &["a=sendonly"])
        .answer("200 OK", "", "recvonly")
        .expect("ACK", &[])
        .expect("UPDATE", &["a=sendrecv"])
        .answer("200 OK", "", "sendrecv")
        .expect_bye(&[])
}

/// Scenario of the callee for [`changing_caller`], which also attempts a transfer that fails, and is notified of the
/// reason.
fn changing_callee() -> Scenario {
    Scenario::callee(2, &[])
        .answer("200 OK", "", "sendrecv")
        .expect("ACK", &[])
        .expect("INVITE", &["a=sendonly"])
        .answer("200 OK", "", "recvonly")
        .expect("ACK", &[])
        .expect("UPDATE", &["a=sendrecv"])
        .answer("200 OK", "", "sendrecv")
        .pause(200)
        .ask("INVITE", "", "sendonly")
        .expect_answer(200, &["a=recvonly"])
        .ack("")
        .pause(200)
        .ask("UPDATE", "", "sendrecv")
        .expect_answer(200, &["a=sendrecv"])
        .ask("REFER", "Refer-To: <sip:+12135550100@127.0.0.1>\n", "")
        .expect_answer(202, &[])
        .expect("NOTIFY", &["Event: refer", "SIP/2.0 100"])
        .answer("200 OK", "", "")
        .expect("NOTIFY", &["Subscription-State: terminated", "SIP/2.0 486"])
        .answer("200 OK", "", "")
        .ask("BYE", "", "")
        .expect_answer(200, &["BYE"])
}

/// Checks that the edge carried all calls with their audio and kept no dialog; returns the number of RTP packets that
/// the edge sent.
pub(super) fn carried(edge: &mut Edge, calls: &Calls, counted: &Counted, kamailio: &Kamailio) -> anyhow::Result<f64> {
    edge.assert_alive()?;
    calls.all(counted, || format!("{}\n{}", edge.log_tail(), kamailio.log()))?;
    edge.no_dialog_is_left()?;
    let sent = edge.labelled("trunkgate_rtp_packets_total", "direction=\"out\"")?;
    if sent < f64::from(calls.calls) * 150.0 {
        bail!("only {sent} packets went through");
    }
    Ok(sent)
}
