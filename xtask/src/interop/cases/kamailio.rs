//! Kamailio as the upstream: route sets, double Record-Route, its own retransmissions.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::sipp::{Callee, Calls, Counted, PBX};

/// A record-routing proxy between its two sockets that answers OPTIONS to itself.
pub(super) const CONFIGURATION: &str = include_str!("../scenarios/kamailio.cfg");

/// A running Kamailio, ended when dropped.
#[derive(Debug)]
pub(crate) struct Kamailio {
    child: Child,
    folder: tempfile::TempDir,
}

impl Kamailio {
    /// With this configuration.
    pub(crate) fn start(configuration: &str) -> anyhow::Result<Kamailio> {
        Kamailio::start_with(configuration, 32)
    }

    /// The same with so many MiB of memory for all its processes together.
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

    /// Its first process; the others are its children.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The beginning of what it said, for a failure's message.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default().chars().take(2_000).collect()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its children end with it only when it is asked to.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        drop(self.child.wait());
    }
}

/// Calls with RTP: SIPp → edge → Kamailio → SIPp.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the upstream is a port where Kamailio does not listen.
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
"#
    ))?;
    let kamailio = Kamailio::start(CONFIGURATION)?;
    let _callee = Callee::start(PBX, 5060)?;
    let mut calls = Calls::new(setting.calls(100, 40), 20, Duration::from_secs(2));
    calls.rtp = true;
    let counted = calls.run(edge.udp)?;
    let sent = carried(&mut edge, &calls, &counted, &kamailio)?;
    Ok(format!("{} calls, 0 failed, {sent} RTP packets relayed, every dialog ended", counted.successful))
}

/// Holds that an edge carried all calls with their audio and kept no dialog: the RTP packets that it sent.
pub(super) fn carried(edge: &mut Edge, calls: &Calls, counted: &Counted, kamailio: &Kamailio) -> anyhow::Result<f64> {
    edge.assert_alive()?;
    if counted.failed > 0 || counted.successful != u64::from(calls.calls) {
        bail!("{} of {} calls failed\n{}\n{}", counted.failed, calls.calls, edge.log_tail(), kamailio.log());
    }
    edge.wait_until("all dialogs are gone", Duration::from_secs(45), |edge| {
        Ok(edge.metric("trunkgate_sip_dialogs_active")? == 0.0)
    })?;
    let sent = edge.labelled("trunkgate_rtp_packets_total", "direction=\"out\"")?;
    if sent < f64::from(calls.calls) * 150.0 {
        bail!("only {sent} packets went through");
    }
    Ok(sent)
}
