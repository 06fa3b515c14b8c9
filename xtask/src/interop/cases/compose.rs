//! Demo of docker-compose.yml without containers: the commands of the file, each in a folder of its own, in a network
//! with the file's addresses, and the edge with the configuration that the file mounts. `status` must report no
//! problems.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::deploy_files::root;
use crate::commands::output;
use crate::interop::edge::{Edge, binary};
use crate::interop::netns::{self, Namespace};
use crate::interop::node::{self, Packages};
use crate::interop::{Setting, rtp};

/// Number of calls that the PBX must have answered, and that must have ended, before `status` is checked.
const CALLS: f64 = 10.0;
/// Maximum wait for these calls: one call per second, and every ten seconds one of five seconds to the agent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Address and command of a service in the file.
#[derive(Debug, Default)]
struct Container {
    address: String,
    command: String,
}

/// Process of a party in the demo, killed on drop.
#[derive(Debug)]
struct Party(Child);

impl Drop for Party {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs the demo, and the commands that the file documents.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = netns::missing() {
        return Ok(skipped);
    }
    let modules = node::modules(Packages::Base)?;
    let text = std::fs::read_to_string(root().join("docker-compose.yml"))?;
    let services = services(&text);
    let tone = std::fs::read(root().join("examples/sipp/tone.ul"))?;
    ensure!(tone == rtp::tone_ulaw(8_000), "examples/sipp/tone.ul is no second of 440 Hz");
    let network = Namespace::new("compose")?;
    let folder = tempfile::tempdir()?;
    for service in services.values().filter(|service| !service.address.is_empty()) {
        output(network.command("ip").args(["address", "add", &format!("{}/32", service.address), "dev", "lo"]))?;
    }
    let start = |name: &str| -> anyhow::Result<Party> {
        let command = &services.get(name).with_context(|| format!("no service {name}"))?.command;
        // Broken: calls have no audio, and OPTIONS get no answer.
        let broken = command.replace("-sf uac_rtp.xml -aa", "-sn uac");
        let command = if setting.sabotage { &broken } else { command };
        let (program, arguments) =
            command.split_once(' ').with_context(|| format!("command of {name}: {command:?}"))?;
        let log = File::create(folder.path().join(name))?;
        let mut party = network.command(program);
        party.args(arguments.split_whitespace()).current_dir(place(program)).env("NODE_PATH", &modules);
        Ok(Party(party.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?))
    };
    let (_pbx, _agent) = (start("pbx")?, start("agent")?);
    let configuration = std::fs::read_to_string(root().join(mounted(&text)?))?;
    let state = folder.path().join("state").display().to_string();
    let configuration = configuration.replace("/run/trunkgate", &state);
    let mut edge = Command::new(std::path::absolute(binary())?);
    edge.env("STATE_DIRECTORY", folder.path());
    let edge = network.enter(|| Edge::start_as(edge, &configuration))?;
    edge.wait_until("the PBX answers OPTIONS", PATIENCE, |edge| Ok(edge.metric("trunkgate_peer_up")? >= 1.0))?;
    let _carriers = (start("carrier")?, start("carrier-to-agent")?);
    edge.wait_until("calls have ended", PATIENCE, |edge| {
        Ok(edge.metric("trunkgate_call_duration_seconds_count")? >= CALLS)
    })?;
    edge.wait_until("a call of the agent has ended", PATIENCE, |edge| ended(edge, "agent"))?;
    let mut asked = 0;
    for command in documented(&text) {
        let said =
            output(network.command(&binary().display().to_string()).arg("--config").arg(edge.file()).args(&command))
                .with_context(|| command.join(" "))?;
        if command == ["status"] {
            let first = said.lines().next().unwrap_or_default();
            ensure!(first.ends_with("taking calls, no problems"), "status: {said}");
        }
        asked += 1;
    }
    ensure!(asked >= 3, "the file documents only {asked} commands for the edge");
    Ok(format!(
        "{} parties by their own commands, {asked} documented commands, no problems",
        services.values().filter(|service| !service.command.is_empty()).count()
    ))
}

/// Returns whether a call by the route of this name was answered and has ended.
fn ended(edge: &Edge, route: &str) -> anyhow::Result<bool> {
    let calls: serde_json::Value = serde_json::from_str(&edge.get("/v1/calls?limit=500")?)?;
    let calls = calls["calls"].as_array().context("no list of calls")?;
    Ok(calls.iter().any(|call| call["route"] == route && !call["ended_at"].is_null()))
}

/// Returns the folder in which a program of the file runs: the working directory of the program's image.
fn place(program: &str) -> PathBuf {
    let examples = root().join("examples");
    if program == "sipp" { examples.join("sipp") } else { examples }
}

/// Returns the path of the file that is mounted as the edge's configuration.
fn mounted(text: &str) -> anyhow::Result<&str> {
    let mount = text.split('"').find(|part| part.ends_with(":/etc/trunkgate/trunkgate.toml:ro"));
    let path = mount.and_then(|mount| mount.split(':').next()).context("no configuration is mounted")?;
    Ok(path.trim_start_matches("./"))
}

/// Returns the arguments of the edge's commands documented at the head of the file.
fn documented(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("#     docker compose exec edge trunkgate "))
        .map(|arguments| arguments.split_whitespace().collect())
        .collect()
}

/// Parses the command and the address of each service, with as much YAML as the file uses.
fn services(text: &str) -> BTreeMap<String, Container> {
    let mut services: BTreeMap<String, Container> = BTreeMap::new();
    let mut name = String::new();
    let mut lines = text.lines().skip_while(|line| *line != "services:").skip(1).peekable();
    while let Some(line) = lines.next().filter(|line| line.starts_with("  ")) {
        let depth = line.len() - line.trim_start().len();
        let (key, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
        match (depth, key, value.trim()) {
            (2, key, "") if !key.starts_with('#') => name = key.to_owned(),
            (4, "command", ">") => {
                let mut folded = Vec::new();
                while let Some(more) = lines.next_if(|line| line.starts_with("      ")) {
                    folded.push(more.trim());
                }
                services.entry(name.clone()).or_default().command = folded.join(" ");
            }
            (4, "command", command) => services.entry(name.clone()).or_default().command = command.to_owned(),
            (8, "ipv4_address", address) => {
                services.entry(name.clone()).or_default().address = address.to_owned();
            }
            _ => {}
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_addresses_and_commands() {
        let text = std::fs::read_to_string(root().join("docker-compose.yml")).expect("docker-compose.yml");
        let services = services(&text);
        let commands: Vec<&str> =
            services.iter().filter(|(_, service)| !service.command.is_empty()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(commands, ["agent", "carrier", "carrier-to-agent", "pbx"]);
        assert_eq!(services["edge"].address, "172.30.0.10");
        assert!(services["carrier"].command.ends_with("-r 1 -d 5000 -nostdin"), "{}", services["carrier"].command);
        assert_eq!(mounted(&text).ok(), Some("config/compose.toml"));
        assert_eq!(documented(&text), [vec!["status"], vec!["calls"], vec!["trace", "last"]]);
    }
}
