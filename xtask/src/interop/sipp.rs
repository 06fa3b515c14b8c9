//! SIPp as caller and callee.

use std::borrow::Cow;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::edge::Edge;
use super::rtp::tone_ulaw;

/// Scenario of SIPp's own `uac` with an RTP stream added, as in docker-compose.yml.
pub(crate) const UAC_RTP: &str = include_str!("../../../examples/sipp/uac_rtp.xml");

/// IP address of callers.
pub(crate) const CARRIER: &str = "127.0.0.2";
/// IP address of callees.
pub(crate) const PBX: &str = "127.0.0.3";
/// Second IP address of callees.
pub(crate) const DESK: &str = "127.0.0.4";

/// Configuration with two trunks, identified by their addresses, and a route from one to the other.
pub(crate) const CARRIER_TO_PBX: &str = r#"
[trunk.carrier]
options_interval = "0s"
peers = ["sip:127.0.0.2:5070"]
accept_from = ["127.0.0.2/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
accept_from = ["127.0.0.3/32"]
[[route]]
from = ["carrier"]
connect = ["trunk:pbx"]
"#;

/// SIPp as a callee in the background, ended on drop.
#[derive(Debug)]
pub(crate) struct Callee {
    child: Child,
    folder: tempfile::TempDir,
}

impl Callee {
    /// Starts SIPp's built-in `uas` on `address:port`, with RTP echo.
    pub(crate) fn start(address: &str, port: u16) -> anyhow::Result<Callee> {
        Callee::start_by(address, port, |_| Ok(vec!["-sn".into(), "uas".into(), "-rtp_echo".into()]))
    }

    /// Starts a callee with this scenario, without RTP.
    pub(crate) fn start_with(address: &str, port: u16, scenario: &str) -> anyhow::Result<Callee> {
        Callee::start_by(address, port, |folder| {
            std::fs::write(folder.join("scenario.xml"), scenario)?;
            Ok(vec!["-sf".into(), "scenario.xml".into()])
        })
    }

    /// Starts a callee with this scenario, which writes its messages to a file.
    pub(crate) fn start_with_messages(address: &str, port: u16, scenario: &str) -> anyhow::Result<Callee> {
        Callee::start_by(address, port, |folder| {
            std::fs::write(folder.join("scenario.xml"), scenario)?;
            let arguments = ["-sf", "scenario.xml", "-trace_msg", "-message_file", MESSAGES];
            Ok(arguments.map(str::to_owned).to_vec())
        })
    }

    /// Returns the folder of the callee's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the messages of a callee that writes them to a file.
    pub(crate) fn messages(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join(MESSAGES))?)
    }

    fn start_by(
        address: &str,
        port: u16,
        scenario: impl Fn(&Path) -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<Callee> {
        let folder = tempfile::tempdir()?;
        let out = File::create(folder.path().join("out.log"))?;
        let child = Command::new("sipp")
            .args(scenario(folder.path())?)
            .args(["-i", address, "-mi", address, "-p", &port.to_string(), "-nostdin"])
            .args(STATISTICS)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("sipp")?;
        std::thread::sleep(Duration::from_millis(500));
        Ok(Callee { child, folder })
    }

    /// Waits until this many calls have followed the scenario; fails if a call has not.
    pub(crate) fn has_had(&self, calls: u32) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let counted = counted(&self.folder.path().join("stat.csv"))?;
            if counted.failed == 0 && counted.successful == u64::from(calls) {
                return Ok(());
            }
            if counted.failed > 0 || began.elapsed() > Duration::from_secs(10) {
                let errors = errors(self.folder.path());
                bail!("a callee has had {} of {calls} calls, {} failed\n{errors}", counted.successful, counted.failed);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Name of the file with the messages.
const MESSAGES: &str = "messages.log";
/// Flags that have SIPp write its statistics and errors to files.
const STATISTICS: [&str; 8] =
    ["-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log"];

/// SIPp as a caller, and the calls that it makes.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    /// Total number of calls that SIPp makes.
    pub(crate) calls: u32,
    /// Number of new calls per second.
    pub(crate) per_second: u32,
    /// Length of a call.
    pub(crate) length: Duration,
    /// Whether SIPp sends RTP.
    pub(crate) rtp: bool,
    /// Audio that SIPp sends repeatedly, as the file `tone.ul` in μ-law [default: 440 Hz].
    pub(crate) says: Option<Vec<u8>>,
    /// SIP transport of SIPp: `u1` or `t1`.
    pub(crate) transport: &'static str,
    /// Scenario, if it is not SIPp's `uac`.
    pub(crate) scenario: Option<Cow<'static, str>>,
    /// Source IP address of the calls.
    pub(crate) address: &'static str,
    /// Source port of the calls.
    pub(crate) port: u16,
    /// Media port [default: chosen by SIPp].
    pub(crate) media_port: Option<u16>,
    /// User that SIPp calls.
    pub(crate) number: &'static str,
    /// User and password for a challenge, if the scenario uses them.
    pub(crate) credentials: Option<(&'static str, &'static str)>,
}

/// Counters that SIPp writes at its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Number of calls that followed the scenario.
    pub(crate) successful: u64,
    /// Number of calls that did not follow the scenario.
    pub(crate) failed: u64,
    /// Number of messages that SIPp retransmitted.
    pub(crate) retransmissions: u64,
}

impl Calls {
    /// Returns `calls` over UDP at `per_second`, each of `length`.
    pub(crate) fn new(calls: u32, per_second: u32, length: Duration) -> Calls {
        Calls {
            calls,
            per_second,
            length,
            rtp: false,
            says: None,
            transport: "u1",
            scenario: None,
            address: CARRIER,
            port: 5070,
            media_port: None,
            number: "service",
            credentials: None,
        }
    }

    /// Makes the calls over UDP, and checks that the edge still runs and no call has failed.
    pub(crate) fn all_succeed(&self, edge: &mut Edge) -> anyhow::Result<Counted> {
        let counted = self.run(edge.udp)?;
        edge.assert_alive()?;
        self.all(&counted, || edge.log_tail())?;
        Ok(counted)
    }

    /// Checks that no call has failed; `log` returns text for the message.
    pub(crate) fn all(&self, counted: &Counted, log: impl FnOnce() -> String) -> anyhow::Result<()> {
        if counted.failed > 0 || counted.successful != u64::from(self.calls) {
            bail!("{} of {} calls failed\n{}", counted.failed, self.calls, log());
        }
        Ok(())
    }

    /// Makes the calls through `edge` and waits for their end.
    pub(crate) fn run(&self, edge: SocketAddr) -> anyhow::Result<Counted> {
        self.start(edge)?.wait()
    }

    /// Starts to make the calls through `edge`.
    pub(crate) fn start(&self, edge: SocketAddr) -> anyhow::Result<Caller> {
        let folder = tempfile::tempdir()?;
        let at = folder.path();
        let mut command = Command::new("sipp");
        if self.rtp {
            std::fs::write(at.join("tone.ul"), self.says.clone().unwrap_or_else(|| tone_ulaw(8000)))?;
        }
        match (&self.scenario, self.rtp) {
            (Some(scenario), _) => {
                std::fs::write(at.join("scenario.xml"), scenario.as_ref())?;
                command.args(["-sf", "scenario.xml"]);
            }
            (None, true) => {
                std::fs::write(at.join("uac_rtp.xml"), UAC_RTP)?;
                command.args(["-sf", "uac_rtp.xml"]);
            }
            (None, false) => {
                command.args(["-sn", "uac"]);
            }
        }
        if let Some((user, password)) = self.credentials {
            // A call that is rejected is over: nothing is sent after that.
            command.args(["-au", user, "-ap", password, "-nd"]);
        }
        if let Some(port) = self.media_port {
            command.args(["-mp", &port.to_string()]);
        }
        let out = File::create(at.join("out.log"))?;
        let seconds = f64::from(self.calls) / f64::from(self.per_second) + self.length.as_secs_f64();
        let child = command
            .arg(edge.to_string())
            .args(["-i", self.address, "-mi", self.address, "-t", self.transport, "-nostdin"])
            .args(["-p", &self.port.to_string(), "-s", self.number])
            .args(["-r", &self.per_second.to_string(), "-m", &self.calls.to_string()])
            .args(["-l", &self.calls.to_string(), "-d", &self.length.as_millis().to_string()])
            .args(STATISTICS)
            .current_dir(at)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("sipp")?;
        let deadline = Instant::now() + Duration::from_secs_f64(seconds * 2.0 + 60.0);
        Ok(Caller { child, folder, deadline })
    }
}

/// SIPp as a caller in the background, ended on drop.
#[derive(Debug)]
pub(crate) struct Caller {
    child: Child,
    folder: tempfile::TempDir,
    deadline: Instant,
}

impl Caller {
    /// Returns the process ID of SIPp, which is part of the Call-IDs.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if SIPp has ended.
    pub(crate) fn assert_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("sipp ended by itself: {status}\n{}", errors(self.folder.path())),
            None => Ok(()),
        }
    }

    /// Waits until the calls have ended.
    pub(crate) fn wait(&mut self) -> anyhow::Result<Counted> {
        while self.child.try_wait()?.is_none() {
            if Instant::now() > self.deadline {
                bail!("sipp did not end in time\n{}", errors(self.folder.path()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let counted = counted(&self.folder.path().join("stat.csv"))?;
        if counted.failed > 0 {
            eprintln!("{}", errors(self.folder.path()));
        }
        Ok(counted)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn errors(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("errors.log")).unwrap_or_default();
    text.chars().take(2_000).collect()
}

/// Parses the last line of SIPp's statistics file, by the names in the first line.
fn counted(file: &Path) -> anyhow::Result<Counted> {
    let text = std::fs::read_to_string(file).context("sipp wrote no statistics")?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
    let last: Vec<&str> = lines.last().unwrap_or_default().split(';').collect();
    let value = |name: &str| -> anyhow::Result<u64> {
        let at = header.iter().position(|column| *column == name).with_context(|| format!("no column {name}"))?;
        Ok(last.get(at).and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    Ok(Counted {
        successful: value("SuccessfulCall(C)")?,
        failed: value("FailedCall(C)")?,
        retransmissions: value("Retransmissions(C)")?,
    })
}
