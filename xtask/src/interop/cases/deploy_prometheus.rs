//! Alerts and dashboards in Prometheus itself: promtool's checks and tests, then a server that scrapes an edge after
//! the demo's calls, evaluates every alert and runs every panel's query.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::deploy_files::{deploy, needs, said};
use crate::commands::output;
use crate::interop::Setting;
use crate::interop::edge::binary;

/// Maximum wait for the demo's calls, and for a scrape by Prometheus.
const PATIENCE: Duration = Duration::from_secs(120);

/// Running process, killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs promtool's checks, then the server.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = needs(&[("promtool", "prometheus"), ("prometheus", "prometheus")]) {
        return Ok(skipped);
    }
    let folder = tempfile::tempdir()?;
    for name in ["alerts.yml", "alerts_test.yml", "recording.yml", "recording_test.yml", "prometheus.yml"] {
        std::fs::copy(deploy("prometheus").join(name), folder.path().join(name))?;
    }
    if setting.sabotage {
        let file = folder.path().join("alerts.yml");
        std::fs::write(
            &file,
            std::fs::read_to_string(&file)?.replace("trunkgate_trunk_up == 0", "trunkgate_trunk_up == 2"),
        )?;
    }
    let promtool = |arguments: &[&str]| output(Command::new("promtool").args(arguments).current_dir(folder.path()));
    promtool(&["check", "config", "prometheus.yml"])?;
    promtool(&["test", "rules", "alerts_test.yml", "recording_test.yml"])?;
    let (_edge, address) = demo()?;
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let metrics = client.get(format!("http://{address}/metrics")).send()?.error_for_status()?.text()?;
    check_metrics(&metrics)?;
    let server = Server::start(folder.path(), &address, client)?;
    server.wait_for_targets()?;
    let alerts = server.alerts()?;
    let (asked, answered) = server.panels()?;
    // After four calls on loopback, there is no registration, certificate, limit or lost packet.
    ensure!(answered * 10 >= asked * 7, "only {answered} of {asked} expressions have an answer");
    Ok(format!(
        "promtool: rules tested, {} families clean; by a server: {alerts} alerts evaluated, {asked} expressions of panels are \
         taken and {answered} answered; Grafana itself was not run",
        metrics.matches("# TYPE").count()
    ))
}

/// Starts the demo's edge and waits for the end of its calls; returns the process and its HTTP address.
fn demo() -> anyhow::Result<(Running, String)> {
    let mut child =
        Command::new(binary()).args(["demo", "--serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().context("stderr")?;
    let running = Running(child);
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        if let Some((_, rest)) = line.split_once("http://") {
            let address = rest.split(|c: char| c.is_whitespace() || "`;".contains(c)).next().unwrap_or_default();
            return Ok((running, address.to_owned()));
        }
    }
    bail!("the demo ended without the address of its edge")
}

fn check_metrics(metrics: &str) -> anyhow::Result<()> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("stdin")?.write_all(metrics.as_bytes())?;
    let output = child.wait_with_output()?;
    let found = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && found.trim().is_empty(), "promtool check metrics: {found}");
    Ok(())
}

/// Running Prometheus server with the configuration of the tree.
struct Server {
    _process: Running,
    address: String,
    client: reqwest::blocking::Client,
}

impl Server {
    fn start(folder: &Path, edge: &str, client: reqwest::blocking::Client) -> anyhow::Result<Server> {
        let file = folder.join("prometheus.yml");
        let config = std::fs::read_to_string(&file)?.replace("127.0.0.1:8080", edge).replace(": 15s", ": 1s");
        std::fs::write(&file, config)?;
        said(Command::new("promtool").args(["check", "config"]).arg(&file))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let log = std::fs::File::create(folder.join("prometheus.log"))?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("series").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Server { _process: Running(process), address, client })
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/{path}", self.address))?;
        url.query_pairs_mut().extend_pairs(query);
        let text = self.client.get(url).send()?.text()?;
        let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(answer.get("status").and_then(Value::as_str) == Some("success"), "{query:?}: {text}");
        Ok(answer)
    }

    /// Waits until Prometheus has scraped the edge often enough for a rate.
    fn wait_for_targets(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let query = "count_over_time(up{job=\"trunkgate\"}[1m]) > 5 and up == 1";
            if self.get("query", &[("query", query)]).is_ok_and(|answer| has_result(&answer)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        bail!("Prometheus has not scraped the edge within {PATIENCE:?}")
    }

    /// Returns the number of alerts; each must have been evaluated without an error.
    fn alerts(&self) -> anyhow::Result<usize> {
        let rules = self.get("rules", &[])?;
        let groups = rules.pointer("/data/groups").and_then(Value::as_array).context("groups")?;
        let mut alerts = 0;
        for rule in groups.iter().filter_map(|group| group.get("rules")?.as_array()).flatten() {
            ensure!(rule.get("health").and_then(Value::as_str) == Some("ok"), "{rule}");
            alerts += usize::from(rule.get("type").and_then(Value::as_str) == Some("alerting"));
        }
        ensure!(alerts > 30, "{alerts} alerts");
        Ok(alerts)
    }

    /// Returns the number of panel expressions, all of which must be valid, and the number of those with a result.
    fn panels(&self) -> anyhow::Result<(usize, usize)> {
        let (mut asked, mut answered) = (0, 0);
        for name in ["overview", "media", "agents"] {
            let text = std::fs::read_to_string(deploy("grafana/dashboards").join(format!("{name}.json")))?;
            let dashboard: Value = serde_json::from_str(&text)?;
            let panels = dashboard.get("panels").and_then(Value::as_array).context("panels")?;
            for target in panels.iter().filter_map(|panel| panel.get("targets")?.as_array()).flatten() {
                let expression = target.get("expr").and_then(Value::as_str).context("expr")?;
                let query = expression.replace("$instance", ".*").replace("$__rate_interval", "1m");
                let answer = self.get("query", &[("query", &query)]).with_context(|| name.to_owned())?;
                asked += 1;
                answered += usize::from(has_result(&answer));
            }
        }
        Ok((asked, answered))
    }
}

fn has_result(answer: &Value) -> bool {
    answer.pointer("/data/result").and_then(Value::as_array).is_some_and(|all| !all.is_empty())
}
