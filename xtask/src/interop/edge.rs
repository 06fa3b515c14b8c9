//! Edge under test: the real binary, started with the configuration of a case and stopped on drop.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::applications::{ACCOUNT, TOKEN};

/// Cargo profile with which the binary is built for packages, benchmarks and interop.
pub(crate) const PROFILE: &str = "dist";

/// Builds the binary, if that has not been done yet.
pub(crate) fn build() -> anyhow::Result<()> {
    build_with(&[])
}

/// Builds the binary with these features.
pub(crate) fn build_with(features: &[&str]) -> anyhow::Result<()> {
    println!("building the binary");
    let status = cargo()
        .args(["build", "--profile", PROFILE, "--quiet", "--package", "trunkgate", "--bin", "trunkgate"])
        .args(["--features", &features.join(",")])
        .status()?;
    if !status.success() {
        bail!("the binary does not build");
    }
    Ok(())
}

/// Returns the command of the cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Returns the path of cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

/// Returns the path of the binary built by [`build`].
pub(crate) fn binary() -> PathBuf {
    target().join(PROFILE).join("trunkgate")
}

/// Running edge of a case.
#[derive(Debug)]
pub(crate) struct Edge {
    child: Child,
    folder: tempfile::TempDir,
    client: reqwest::blocking::Client,
    /// Address of the UDP listener.
    pub(crate) udp: SocketAddr,
    /// Address of the TCP listener, if configured.
    pub(crate) tcp: Option<SocketAddr>,
    /// Address of the TLS listener, if configured.
    pub(crate) tls: Option<SocketAddr>,
    /// Address of the HTTP listener.
    pub(crate) http: SocketAddr,
}

/// Beginning of every configuration: listeners on 127.0.0.1, at ports that the system chooses.
pub(crate) const LISTENERS: &str = r#"
[edge]
name = "interop"
[[listen]]
transport = "udp"
address = "127.0.0.1:0"
[[listen]]
transport = "tcp"
address = "127.0.0.1:0"
[media]
address = ["127.0.0.1"]
ports = "20000-29999"
[http]
address = "127.0.0.1:0"
[cdr]
file = "cdr.jsonl"
"#;

impl Edge {
    /// Starts the edge with [`LISTENERS`] and `rest` as its configuration, and waits for `ready`.
    pub(crate) fn start(rest: &str) -> anyhow::Result<Edge> {
        Edge::start_by(Command::new(binary()), rest)
    }

    /// Starts the edge by a command that runs the [`binary`] in another way.
    pub(crate) fn start_by(command: Command, rest: &str) -> anyhow::Result<Edge> {
        Edge::start_as(command, &format!("{LISTENERS}{rest}"))
    }

    /// Starts the edge with these files next to the configuration.
    pub(crate) fn start_beside(rest: &str, files: &[(&str, &[u8])]) -> anyhow::Result<Edge> {
        Edge::start_in(Command::new(binary()), &format!("{LISTENERS}{rest}"), files)
    }

    /// Starts the edge with a complete configuration, which may have other listeners than [`LISTENERS`].
    pub(crate) fn start_as(command: Command, configuration: &str) -> anyhow::Result<Edge> {
        Edge::start_in(command, configuration, &[])
    }

    /// Starts the edge with a complete configuration and with these files next to it.
    pub(crate) fn start_in(command: Command, configuration: &str, files: &[(&str, &[u8])]) -> anyhow::Result<Edge> {
        let folder = tempfile::tempdir()?;
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes)?;
        }
        std::fs::write(folder.path().join("trunkgate.toml"), configuration)?;
        let (child, addresses) = start_process(command, folder.path())?;
        let at = |name: &str| addresses.get(name).copied();
        Ok(Edge {
            udp: at("udp").context("no udp listener")?,
            tcp: at("tcp"),
            tls: at("tls"),
            http: at("http").context("no http listener")?,
            child,
            folder,
            client: reqwest::blocking::Client::builder().timeout(Duration::from_secs(10)).build()?,
        })
    }

    /// Starts another process by this command, with the same files, after the end of the one before. The listeners need
    /// fixed addresses.
    pub(crate) fn start_again(&mut self, command: Command) -> anyhow::Result<()> {
        (self.child, _) = start_process(command, self.folder.path())?;
        Ok(())
    }

    /// Starts another process by this command, with the same files, which takes over. Returns the process before it.
    pub(crate) fn hand_over_to(&mut self, command: Command) -> anyhow::Result<Child> {
        let (successor, _) = start_process(command, self.folder.path())?;
        Ok(std::mem::replace(&mut self.child, successor))
    }

    /// Returns the process ID of the edge.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the edge.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        nix::sys::signal::kill(Pid::from_raw(i32::try_from(self.pid())?), signal)?;
        Ok(())
    }

    /// Returns the path of the edge's configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("trunkgate.toml")
    }

    /// Replaces the configuration file without a reload.
    pub(crate) fn write(&self, rest: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.folder.path().join("trunkgate.toml"), format!("{LISTENERS}{rest}"))?)
    }

    /// Hangs up the newest call.
    pub(crate) fn hang_up_newest(&self) -> anyhow::Result<()> {
        let calls: serde_json::Value = serde_json::from_str(&self.get("/v1/calls?state=answered&limit=1")?)?;
        let sid = calls["calls"][0]["sid"].as_str().context("no call")?;
        self.client.delete(format!("http://{}/v1/calls/{sid}", self.http)).send()?.error_for_status()?;
        Ok(())
    }

    /// Reloads the configuration, and waits until that has succeeded.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        let reloads = |edge: &Edge| edge.labelled("trunkgate_config_reloads_total", "result=\"success\"");
        let before = reloads(self)?;
        self.signal(Signal::SIGHUP)?;
        self.wait_until("the file is read again", Duration::from_secs(10), |edge| Ok(reloads(edge)? > before))?;
        Ok(())
    }

    /// Stops the edge by SIGTERM and waits for the end of the process.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > Duration::from_secs(40) {
                bail!("the edge did not end\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits for the end of the process after a signal.
    pub(crate) fn gone(&mut self) -> anyhow::Result<()> {
        self.child.wait()?;
        Ok(())
    }

    /// Sends a GET request to the edge, and returns the response body.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        let response = self.client.get(format!("http://{}{path}", self.http)).send()?;
        Ok(response.error_for_status()?.text()?)
    }

    /// Sends a GET request to the edge, and returns the bytes of the response body.
    pub(crate) fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let response = self.client.get(format!("http://{}{path}", self.http)).send()?;
        Ok(response.error_for_status()?.bytes()?.to_vec())
    }

    /// Sends a POST request with a JSON body to the edge, and returns the response body.
    pub(crate) fn post(&self, path: &str, body: &str) -> anyhow::Result<String> {
        let response = self.client.post(format!("http://{}{path}", self.http)).body(body.to_owned()).send()?;
        Ok(response.error_for_status()?.text()?)
    }

    /// Sends a request to the Twilio-compatible API: `GET Calls.json`, or `POST Calls.json` with parameters, below the
    /// account.
    pub(crate) fn api(&self, request: &str, parameters: &[(&str, &str)]) -> anyhow::Result<serde_json::Value> {
        let (method, path) = request.split_once(' ').context("a method and a path")?;
        let url = format!("http://{}/2010-04-01/Accounts/{ACCOUNT}/{path}", self.http);
        let mut request = self.client.request(method.parse()?, url).basic_auth(ACCOUNT, Some(TOKEN));
        if !parameters.is_empty() {
            let mut form = reqwest::Url::parse("http://form/")?;
            form.query_pairs_mut().extend_pairs(parameters);
            let form = form.query().unwrap_or_default().to_owned();
            request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form);
        }
        let response = request.send()?;
        let status = response.status();
        let text = response.text()?;
        anyhow::ensure!(status.is_success(), "{method} {path}: {status} {text}");
        Ok(if text.is_empty() { serde_json::Value::Null } else { serde_json::from_str(&text)? })
    }

    /// Waits until a call has this status in the Twilio-compatible API.
    pub(crate) fn api_call_is(&self, sid: &str, status: &str) -> anyhow::Result<serde_json::Value> {
        let began = Instant::now();
        loop {
            let call = self.api(&format!("GET Calls/{sid}.json"), &[])?;
            if call["status"] == status {
                return Ok(call);
            }
            if began.elapsed() > Duration::from_secs(15) {
                bail!("the call is {} instead of {status}", call["status"]);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the sum of a metric over all its labels; 0 if the metric is absent.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.get("/metrics")?;
        Ok(text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// Returns a metric's value for one label with its value, such as `direction="in"`.
    pub(crate) fn labelled(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let text = self.get("/metrics")?;
        Ok(text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')) && line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// Returns the counters of dropped packets by reason, for the message of a failure.
    pub(crate) fn drops(&self) -> anyhow::Result<String> {
        let text = self.get("/metrics")?;
        let counts = |line: &&str| line.contains("_dropped_total") && !line.starts_with('#') && !line.ends_with(" 0");
        Ok(text.lines().filter(counts).collect::<Vec<_>>().join("\n"))
    }

    /// Waits until `holds` returns true, for at most `limit`; returns the time that it took.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut holds: impl FnMut(&Edge) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            if holds(self)? {
                return Ok(began.elapsed());
            }
            if began.elapsed() > limit {
                bail!("after {limit:?} it does not hold that {what}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the edge has no dialog left.
    pub(crate) fn no_dialog_is_left(&self) -> anyhow::Result<()> {
        self.wait_until("all dialogs are gone", Duration::from_secs(45), |edge| {
            Ok(edge.metric("trunkgate_sip_dialogs_active")? == 0.0)
        })?;
        Ok(())
    }

    /// Returns the call records written so far, except for an incomplete one.
    pub(crate) fn records(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        let text = std::fs::read_to_string(self.folder.path().join("cdr.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Returns the ladder diagram of the edge's only call.
    pub(crate) fn only_trace(&self) -> anyhow::Result<String> {
        let calls: serde_json::Value = serde_json::from_str(&self.get("/v1/calls")?)?;
        let calls = calls.get("calls").and_then(serde_json::Value::as_array).context("no list of calls")?;
        let [call] = calls.as_slice() else { bail!("{} calls instead of one", calls.len()) };
        let sid = call.get("sid").and_then(serde_json::Value::as_str).context("a call without sid")?;
        self.get(&format!("/v1/calls/{sid}/trace.txt"))
    }

    /// Returns the ladder diagram of the edge's newest call.
    pub(crate) fn newest_trace(&self) -> anyhow::Result<String> {
        let calls: serde_json::Value = serde_json::from_str(&self.get("/v1/calls?limit=1")?)?;
        let sid = calls["calls"][0]["sid"].as_str().context("no call")?;
        self.get(&format!("/v1/calls/{sid}/trace.txt"))
    }

    /// Returns the end of the edge's log, for the message of a failure.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("edge.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    /// Fails unless the process is still running.
    pub(crate) fn assert_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the edge ended by itself: {status}\n{}", self.log_tail()),
            None => Ok(()),
        }
    }

    /// Returns the resident memory of the process in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<f64> {
        self.metric("process_resident_memory_bytes")
    }
}

/// Starts the edge with the configuration in this folder, and waits for `ready`. Returns the process and its listeners'
/// addresses by name.
fn start_process(mut command: Command, folder: &Path) -> anyhow::Result<(Child, BTreeMap<String, SocketAddr>)> {
    let log = folder.join("edge.log");
    let mut child = command
        .arg("--config")
        .arg(folder.join("trunkgate.toml"))
        .arg("run")
        .stdout(Stdio::piped())
        .stderr(OpenOptions::new().create(true).append(true).open(&log)?)
        .spawn()
        .context("starting trunkgate")?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let addresses = line
        .trim()
        .strip_prefix("ready ")
        .ok_or_else(|| {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            anyhow!("the edge said {line:?} instead of ready: {log}")
        })?
        .split(' ')
        .filter_map(|part| part.split_once('='))
        .filter_map(|(name, address)| Some((name.to_owned(), address.parse().ok()?)))
        .collect();
    Ok((child, addresses))
}

impl Drop for Edge {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
