//! Call as other tools see it: its capture file in tshark, and its HEP packets in sngrep.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::commands::output;
use crate::interop::edge::{Edge, binary};
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};
use crate::interop::{Setting, install};

/// Messages of each leg of SIPp's call in order: method, or code.
const LEG: [&str; 6] = ["INVITE", "180", "200", "ACK", "BYE", "200"];

/// Running sngrep that writes received HEP packets to a file; killed on drop.
struct Sngrep(Child);

impl Sngrep {
    fn start(port: u16, file: &Path) -> anyhow::Result<Sngrep> {
        let child = Command::new("sngrep")
            .args(["-N", "-q", "-L", &format!("udp:127.0.0.1:{port}"), "-O"])
            .arg(file)
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("sngrep")?;
        Ok(Sngrep(child))
    }

    /// Ends sngrep, so that its file is complete.
    fn end(&mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGTERM)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Sngrep {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Returns these fields of each SIP packet, one line for a packet.
fn fields(file: &Path, fields: &[&str]) -> anyhow::Result<Vec<Vec<String>>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-Y", "sip", "-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let text = output(&mut tshark)?;
    let lines = text.lines().filter(|line| line.contains('\t'));
    Ok(lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// Checks that a file has all messages of both legs of a call, and that tshark finds nothing malformed.
fn check(file: &Path) -> anyhow::Result<usize> {
    let malformed = output(Command::new("tshark").arg("-r").arg(file).args(["-Y", "_ws.malformed"]))?;
    ensure!(!malformed.lines().any(|line| line.contains("SIP")), "tshark cannot read: {malformed}");
    let messages = fields(file, &["sip.Call-ID", "sip.Method", "sip.Status-Code"])?;
    let mut ids: Vec<&String> = messages.iter().filter_map(|fields| fields.first()).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == 2, "{} Call-IDs instead of two legs': {messages:?}", ids.len());
    for id in ids {
        let leg = messages.iter().filter(|fields| fields.first() == Some(id));
        let words: Vec<&str> = leg
            .filter_map(|fields| fields.iter().skip(1).find(|word| !word.is_empty()))
            .map(String::as_str)
            .filter(|word| *word != "100")
            .collect();
        ensure!(words == LEG, "leg {id} has {words:?}");
    }
    Ok(messages.len())
}

/// Makes one call and checks both files; sabotaged, HEP goes elsewhere.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    install::packages(&[("tshark", "tshark"), ("sngrep", "sngrep")])?;
    let folder = tempfile::tempdir()?;
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let to = if setting.sabotage { port ^ 1 } else { port };
    let by_sngrep = folder.path().join("sngrep.pcap");
    let mut sngrep = Sngrep::start(port, &by_sngrep)?;
    let mut edge = Edge::start(&format!("{CARRIER_TO_PBX}[hep]\naddress = \"127.0.0.1:{to}\"\n"))?;
    let bound = format!("{port:04X}");
    edge.wait_until("sngrep listens", Duration::from_secs(10), |_| {
        let sockets = std::fs::read_to_string("/proc/net/udp")?;
        Ok(sockets.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&bound))))
    })?;
    let _callee = Callee::start(PBX, 5060)?;
    Calls::new(1, 1, Duration::from_secs(1)).all_succeed(&mut edge)?;
    let file = folder.path().join("call.pcapng");
    let wrote = Command::new(binary())
        .args(["pcap", "last", "--url", &format!("http://{}", edge.http), "-o"])
        .arg(&file)
        .stdout(Stdio::null())
        .status()?;
    if !wrote.success() {
        bail!("pcap: {wrote}");
    }
    let in_file = check(&file).context("the capture file")?;
    let comments = fields(&file, &["sip.Method", "frame.comment"])?;
    ensure!(comments.iter().any(|fields| fields.iter().any(|text| text.contains("sent to pbx"))), "{comments:?}");
    edge.wait_until("all is sent", Duration::from_secs(10), |edge| {
        Ok(edge.labelled("trunkgate_hep_packets_total", "result=\"sent\"")? >= in_file as f64)
    })?;
    sngrep.end()?;
    let by_hep = check(&by_sngrep).context("what sngrep got")?;
    Ok(format!("{in_file} messages in the capture file, {by_hep} by HEP: both legs whole, nothing malformed"))
}
