//! Asterisk behind the edge, configured by the files of the guide: a call to Asterisk's phone, and outgoing and
//! emergency calls of that phone. Debian's stable release lacks Asterisk, so the package of unstable is used, in a root
//! folder of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::srtp_baresip::judge;
use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::edge::{self, Edge, LISTENERS};
use crate::interop::install;
use crate::interop::sipp::{CARRIER, PBX};

const GUIDE: &str = include_str!("../../../../docs/guides/asterisk.md");
/// IP address of Asterisk's phone.
const PHONE: &str = "127.0.0.6";
/// Tones in Hz of the carrier's side and of the phone, neither a harmonic of the other.
const CARRIER_HZ: u32 = 440;
const PHONE_HZ: u32 = 660;
/// Duration of each call, in seconds.
const TALK: u32 = 6;
const PATIENCE: Duration = Duration::from_secs(30);
/// Maximum duration of the start: Asterisk loads some 360 modules.
const STARTED: Duration = Duration::from_secs(120);

/// Makes an incoming, an outgoing and an emergency call.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = root()?;
    let edge = Edge::start_as(Command::new(edge::binary()), &configuration()?)?;
    // Broken: Asterisk does not know the edge's address.
    let known = if setting.sabotage { "127.0.0.9" } else { "127.0.0.1" };
    let asterisk = Asterisk::start(&folder, &pjsip(&edge, known)?, &block("`extensions.conf`", "ini")?)?;
    let told = || format!("{}\n{}", edge.log_tail(), asterisk.log());
    let mut figures = Vec::new();
    {
        let phone = phone(None).with_context(told)?;
        let carrier = carrier(Some(&format!("sip:+14155551234@{}", edge.udp)), "+14155550999")?;
        figures.push(judged(&edge, "in", 1, carrier, phone).with_context(told)?);
    }
    for (at, (dialled, called)) in [("4155550123", "+14155550123"), ("911", "911")].into_iter().enumerate() {
        let carrier = carrier(None, called)?;
        let phone = phone(Some(&format!("sip:{dialled}@{PBX}"))).with_context(told)?;
        figures.push(judged(&edge, dialled, at + 2, phone, carrier).with_context(told)?);
    }
    let records = edge.records()?;
    for (record, (from, to)) in records.iter().zip([
        ("+14155550999", "+14155551234"),
        ("+14155550100", "+14155550123"),
        ("+14155550100", "911"),
    ]) {
        let has = |key: &str| record[key].as_str().unwrap_or_default();
        if (has("from"), has("to"), has("outcome")) != (from, to, "answered") {
            bail!("a call's record is {record}, and not one from {from} to {to}");
        }
    }
    Ok(format!("{}: {}", asterisk.version, figures.join("; ")))
}

/// Waits until a call has ended, and judges the audio that both sides received.
fn judged(edge: &Edge, what: &str, calls: usize, mut caller: Baresip, callee: Baresip) -> anyhow::Result<String> {
    callee.wait_for("terminated", PATIENCE)?;
    edge.wait_until("the call has its record", PATIENCE, |edge| Ok(edge.records()?.len() == calls))?;
    caller.wait(PATIENCE)?;
    let record = || edge.records().ok().and_then(|records| records.last().cloned()).unwrap_or_default();
    let told = || format!("{}\n{}\n{}", record(), caller.log(), callee.log());
    let (of_caller, of_callee) = if what == "in" { (CARRIER_HZ, PHONE_HZ) } else { (PHONE_HZ, CARRIER_HZ) };
    let callee_heard = judge(&callee.heard().with_context(told)?, of_caller, TALK)
        .context("what the callee heard")
        .with_context(told)?;
    let caller_heard = judge(&caller.heard().with_context(told)?, of_callee, TALK)
        .context("what the caller heard")
        .with_context(told)?;
    Ok(format!("{what} {callee_heard:.1} and {caller_heard:.1} dB"))
}

/// Starts the phone of the guide: to answer, or to call `dial` once registered.
fn phone(dial: Option<&str>) -> anyhow::Result<Baresip> {
    let phone = Baresip::start(&Setup {
        ip: PHONE,
        port: 0,
        account: &format!(
            "<sip:1001@{PBX}>;auth_user=1001;auth_pass=a-long-one;regint=60;answermode=auto;audio_codecs=PCMU"
        ),
        says: wav(PHONE_HZ),
        ca: None,
        dial,
        lasts: dial.map(|_| Duration::from_secs(u64::from(TALK) + 2)),
    })?;
    if dial.is_none() {
        phone.wait_for("200 OK", PATIENCE)?;
    }
    Ok(phone)
}

/// Starts the carrier's side, called by this number or calling from it.
fn carrier(dial: Option<&str>, number: &str) -> anyhow::Result<Baresip> {
    let carrier = Baresip::start(&Setup {
        ip: CARRIER,
        port: 5060,
        account: &format!("<sip:{number}@{CARRIER}>;regint=0;answermode=auto;audio_codecs=PCMU"),
        says: wav(CARRIER_HZ),
        ca: None,
        dial,
        lasts: dial.map(|_| Duration::from_secs(u64::from(TALK) + 2)),
    })?;
    carrier.wait_for("baresip is ready", PATIENCE)?;
    Ok(carrier)
}

/// Returns the first code block in a language after a text of the guide.
fn block(behind: &str, language: &str) -> anyhow::Result<String> {
    let open = format!("```{language}\n");
    let (_, rest) = GUIDE.split_once(behind).with_context(|| format!("the guide has no {behind}"))?;
    let (_, rest) = rest.split_once(&open).with_context(|| format!("no block behind {behind}"))?;
    Ok(rest.split_once("```").context("a block without an end")?.0.to_owned())
}

/// Returns the trunks and routes of the guide with loopback addresses.
fn configuration() -> anyhow::Result<String> {
    let guide = block("## The edge", "toml")?;
    let (_, rest) = guide.split_once("[trunk.carrier]").context("the guide has no trunk.carrier")?;
    let rest = rest
        .replace("sip:198.51.100.7", &format!("sip:{CARRIER}:5060"))
        // On loopback, baresip sends audio from the first address of the machine.
        .replace("198.51.100.0/24\"]", &format!("{CARRIER}/32\"]\nmedia_from = [\"127.0.0.1/32\"]"))
        .replace("sip:10.0.0.5", &format!("sip:{PBX}:5060"));
    let listeners = LISTENERS.replace("name = \"interop\"", "name = \"interop\"\ncountry = \"US\"");
    Ok(format!("{listeners}[trunk.carrier]{rest}"))
}

/// Returns the `pjsip.conf` of the guide; on loopback, a socket needs an explicit source address.
pub(super) fn pjsip(edge: &Edge, known: &str) -> anyhow::Result<String> {
    let guide = block("`pjsip.conf`, whole", "ini")?;
    let media = format!("direct_media = no\nmedia_address = {PBX}\nbind_rtp_to_media_address = yes");
    Ok(guide
        .replace("0.0.0.0:5060", &format!("{PBX}:5060"))
        .replace("10.0.0.2:5060", &edge.udp.to_string())
        .replace("match = 10.0.0.2", &format!("match = {known}"))
        .replace("direct_media = no", &media))
}

/// Returns the root folder in which Asterisk is installed.
pub(super) fn root() -> anyhow::Result<PathBuf> {
    let folder = edge::target().join("interop-asterisk");
    if folder.join("usr/sbin/asterisk").is_file() {
        return Ok(folder);
    }
    install::packages(&[("mmdebstrap", "mmdebstrap")])?;
    println!("      installing Asterisk");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let output = Command::new("mmdebstrap")
        .args(["--variant=minbase", "--include=asterisk", "--aptopt=APT::Install-Recommends \"false\""])
        .args(["--aptopt=Acquire::Check-Valid-Until \"false\"", "unstable"])
        .arg(&folder)
        .arg("http://deb.debian.org/debian")
        .stdin(Stdio::null())
        .output()
        .context("mmdebstrap")?;
    if !output.status.success() {
        bail!("mmdebstrap: {}", String::from_utf8_lossy(&output.stderr));
    }
    // Asterisk resolves unknown names, which takes ten seconds for each.
    let name = nix::sys::utsname::uname()?.nodename().to_string_lossy().into_owned();
    std::fs::write(folder.join("etc/hosts"), format!("127.0.0.1 localhost {name} A.ROOT-SERVERS.NET\n"))?;
    let switch = folder.join("etc/nsswitch.conf");
    let text = std::fs::read_to_string(&switch)?;
    let lines = text.lines().map(|line| if line.starts_with("hosts:") { "hosts: files" } else { line });
    std::fs::write(switch, lines.collect::<Vec<_>>().join("\n") + "\n")?;
    Ok(folder)
}

/// Running Asterisk, killed on drop.
#[derive(Debug)]
pub(super) struct Asterisk {
    child: Child,
    log: tempfile::NamedTempFile,
    /// Name and version of the program.
    pub(super) version: String,
}

impl Asterisk {
    /// Starts Asterisk with these files and waits until it is ready.
    pub(super) fn start(root: &Path, pjsip: &str, extensions: &str) -> anyhow::Result<Asterisk> {
        std::fs::write(root.join("etc/asterisk/pjsip.conf"), pjsip)?;
        std::fs::write(root.join("etc/asterisk/extensions.conf"), extensions)?;
        // The only device that Asterisk needs is /dev/null.
        let null = root.join("dev/null");
        if !null.exists() {
            use nix::sys::stat::{Mode, SFlag, makedev, mknod};
            mknod(&null, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).context("dev/null")?;
        }
        let version = Command::new("chroot").arg(root).args(["asterisk", "-V"]).output().context("chroot")?;
        let log = tempfile::NamedTempFile::new()?;
        let out = File::create(log.path())?;
        let child = Command::new("chroot")
            .arg(root)
            .args(["asterisk", "-f", "-vvv"])
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("chroot")?;
        let version = String::from_utf8_lossy(&version.stdout).split('+').next().unwrap_or_default().trim().to_owned();
        let asterisk = Asterisk { child, log, version };
        let began = Instant::now();
        while !asterisk.log().contains("Asterisk Ready.") {
            if began.elapsed() > STARTED {
                bail!("Asterisk was not ready within {STARTED:?}:\n{}", asterisk.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(asterisk)
    }

    /// Returns the end of Asterisk's log.
    pub(super) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.log.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        drop(self.child.wait());
    }
}
