//! systemd unit in systemd itself: its checks of the unit, then a start in a container with systemd as the first
//! process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use super::deploy_files::{deploy, needs, said};
use crate::commands::output;
use crate::interop::edge::binary;
use crate::interop::{SKIPPED, Setting};

/// Maximum exposure that `systemd-analyze security` may report, of 10.
const EXPOSURE: f64 = 2.0;
/// Settings removed from the sabotaged unit.
const HARDENING: [&str; 5] = ["SystemCallFilter", "CapabilityBoundingSet", "DynamicUser", "Private", "Protect"];
/// Settings of the unit that systemd ignores before version 254.
const NEW_SETTINGS: [&str; 2] = ["'RestartSteps'", "'RestartMaxDelaySec'"];
/// Path of the binary in the container, whose /usr is this machine's, read-only.
const INSIDE: &str = "/opt/trunkgate";
/// Script that runs in the container and writes its observations as `name=value`.
const SCRIPT: &str = r#"#!/bin/sh
exec > /share/seen 2> /share/errors
unit() { systemctl show "$1" -p "$2" --value; }
systemctl start trunkgate; echo "start=$?"
process=$(unit trunkgate MainPID)
echo "status=$(unit trunkgate StatusText)"
sed -n 's/^\(Uid\|CapEff\|Seccomp\|NoNewPrivs\):\t\([^\t]*\).*/\1=\2/p' "/proc/$process/status"
echo "credential=$(cat /run/credentials/trunkgate.service/secrets_carrier)"
echo "records=$(ls /var/lib/trunkgate)"
systemctl reload trunkgate; echo "reload=$?"
cp /etc/trunkgate/trunkgate.toml /tmp/good
echo 'naem = 1' >> /etc/trunkgate/trunkgate.toml
systemctl reload trunkgate; echo "bad_reload=$?"
echo "after_bad_reload=$(systemctl is-active trunkgate)"
cp /tmp/good /etc/trunkgate/trunkgate.toml
kill -STOP "$process"
for _ in $(seq 40); do
    sleep 1
    [ "$(unit trunkgate NRestarts)" -gt 0 ] && [ "$(systemctl is-active trunkgate)" = active ] && break
done
echo "restarts=$(unit trunkgate NRestarts)"
echo "state=$(stat -L -c '%a' /run/trunkgate /run/trunkgate/calls.state | paste -s -d ' ')"
kill -KILL "$(unit trunkgate MainPID)"
for _ in $(seq 40); do
    sleep 1
    [ "$(unit trunkgate NRestarts)" -gt 1 ] && [ "$(systemctl is-active trunkgate)" = active ] && break
done
echo "crashes=$(unit trunkgate NRestarts)"
echo "state_found=$(journalctl -u trunkgate --no-pager -o cat | grep -c 'the previous process has crashed')"
systemctl stop trunkgate; echo "stop=$?"
echo "result=$(unit trunkgate Result)"
systemctl start trunkgate-demo; echo "demo=$?"
journalctl -u trunkgate -u trunkgate-demo --no-pager -o cat > /share/journal
systemctl poweroff
"#;

/// Runs systemd's checks, and the container if possible.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = needs(&[("systemd-analyze", "systemd")]) {
        return Ok(skipped);
    }
    let mut unit = std::fs::read_to_string(deploy("trunkgate.service"))?;
    if setting.sabotage {
        let hardens = |line: &&str| HARDENING.iter().any(|key| line.starts_with(key));
        unit = unit.lines().filter(|line| !hardens(line)).map(|line| format!("{line}\n")).collect();
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("trunkgate.service");
    let here = binary().canonicalize()?;
    std::fs::write(&file, unit.replace("/usr/bin/trunkgate", here.to_str().context("a path in UTF-8")?))?;
    let found = said(Command::new("systemd-analyze").arg("verify").arg(&file))?;
    let is_known = |line: &str| line.contains("Unknown key") && NEW_SETTINGS.iter().any(|name| line.contains(name));
    let faults: Vec<&str> = found.trim().lines().filter(|line| !is_known(line)).collect();
    ensure!(faults.is_empty(), "systemd-analyze verify: {found}");
    let security =
        output(Command::new("systemd-analyze").args(["security", "--offline=yes", "--no-pager"]).arg(&file))?;
    let exposure = security.lines().find_map(|line| line.split_once("trunkgate.service: "));
    let (_, exposure) = exposure.with_context(|| format!("no exposure level in {security}"))?;
    let exposure: f64 = exposure.split(' ').next().unwrap_or_default().parse()?;
    ensure!(exposure <= EXPOSURE, "exposure {exposure}, at most {EXPOSURE} is allowed");
    let analysed = format!("verify clean, exposure {exposure}");
    if let Some(skipped) = needs(&[("systemd-nspawn", "systemd-container")]).or_else(no_container) {
        return Ok(format!("{analysed}; not started: {skipped}"));
    }
    let seen = boot(folder.path(), &unit)?;
    judge(&seen).with_context(|| format!("{seen:#?}\n{}", journal(folder.path())))?;
    Ok(format!(
        "{analysed}; under systemd: ready, no capability, credential read, reload and a refused one, restarted by the \
         watchdog, started again after a kill with the state of calls, stopped, the demo within the same sandbox"
    ))
}

/// Returns the reason why no container can be started here; `None` if one can be started.
fn no_container() -> Option<String> {
    let tried = output(container(Path::new("/")).args(["--pipe", "/bin/true"]).stdin(Stdio::null()));
    tried.err().map(|error| format!("{SKIPPED}no container can be started here: {error:#}"))
}

/// Returns the command of a container with this machine's programs, and nothing else of the machine.
fn container(share: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args([
        "240",
        "systemd-nspawn",
        "--register=no",
        "--keep-unit",
        "--quiet",
        "--directory=/",
        "--volatile=yes",
    ]);
    command.arg("--private-network");
    if share != Path::new("/") {
        command.arg(format!("--bind={}:/share", share.display()));
    }
    command
}

/// Starts the unit in a container and acts as an operator; returns the observations.
fn boot(folder: &Path, unit: &str) -> anyhow::Result<BTreeMap<String, String>> {
    // The unit does not wait for the network, which the container lacks.
    let unit: String = unit.lines().filter(|line| !line.contains("network-online")).map(|l| format!("{l}\n")).collect();
    let unit = unit.replace("/usr/bin/trunkgate", INSIDE);
    let once = |line: &&str| !["ExecReload", "Watchdog", "Restart"].iter().any(|key| line.starts_with(key));
    let demo: String = unit
        .lines()
        .filter(once)
        .map(|line| match line.split_once('=') {
            Some(("Type", _)) => "Type=oneshot\n".to_owned(),
            Some(("ExecStart", _)) => format!("ExecStart={INSIDE} demo\n"),
            Some(("TimeoutStartSec", _)) => "TimeoutStartSec=180\n".to_owned(),
            _ => format!("{line}\n"),
        })
        .collect();
    let settings = folder.join("settings");
    std::fs::create_dir_all(settings.join("secrets"))?;
    std::fs::write(settings.join("secrets/carrier"), "of the carrier")?;
    std::fs::copy(deploy("trunkgate.toml"), settings.join("trunkgate.toml"))?;
    let units = [
        ("trunkgate.service", unit.as_str()),
        ("trunkgate-demo.service", &demo),
        ("trunkgate-try.service", "[Service]\nType=oneshot\nExecStart=/bin/sh /share/script\n"),
    ];
    let mut command = container(folder);
    for (name, text) in units {
        let path = folder.join(format!("inside-{name}"));
        std::fs::write(&path, text)?;
        command.arg(format!("--bind-ro={}:/etc/systemd/system/{name}", path.display()));
    }
    std::fs::write(folder.join("script"), SCRIPT)?;
    command.arg(format!("--bind-ro={}:{INSIDE}", binary().canonicalize()?.display()));
    command.arg(format!("--bind={}:/etc/trunkgate", settings.display()));
    command.args(["/usr/lib/systemd/systemd", "systemd.unit=trunkgate-try.service", "systemd.firstboot=no"]);
    let console = output(command.stdin(Stdio::null())).unwrap_or_else(|error| format!("{error:#}"));
    let seen = std::fs::read_to_string(folder.join("seen")).with_context(|| format!("nothing was tried: {console}"))?;
    Ok(seen.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

fn judge(seen: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let value = |name: &str| seen.get(name).map_or("", String::as_str);
    for (name, wanted) in [
        ("start", "0"),
        ("CapEff", "0000000000000000"),
        ("Seccomp", "2"),
        ("NoNewPrivs", "1"),
        ("credential", "of the carrier"),
        ("reload", "0"),
        ("bad_reload", "1"),
        ("after_bad_reload", "active"),
        ("restarts", "1"),
        ("crashes", "2"),
        ("state", "700 600"),
        ("state_found", "2"),
        ("stop", "0"),
        ("result", "success"),
        ("demo", "0"),
    ] {
        ensure!(value(name) == wanted, "{name} is {:?}, should be {wanted:?}", value(name));
    }
    ensure!(value("status").starts_with("taking calls: udp="), "its status is {:?}", value("status"));
    ensure!(value("records").contains("cdr.jsonl"), "no call records in {:?}", value("records"));
    match value("Uid") {
        "" | "0" => bail!("it runs as {:?}", value("Uid")),
        _ => Ok(()),
    }
}

fn journal(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("journal")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
}
