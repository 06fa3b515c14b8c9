//! SIPp scenarios of other projects through the edge, fetched at run time.
//!
//! A scenario is made for its own project's server, and most need more of the server than a call. So each scenario runs
//! twice, with SIPp's own callee or caller, and with the edge in between. A scenario that fails without the edge is
//! inapplicable and left out; one that fails only with the edge is a finding. `VERDICTS` has the cause of each finding.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::interop::{edge, install};

/// Options of `cargo xtask peers-suites`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A folder with checkouts named as in the table, in the place of fetching them.
    #[arg(long)]
    from: Option<PathBuf>,
    /// Only scenarios whose path contains this.
    #[arg(long)]
    only: Option<String>,
    /// Scenarios at once.
    #[arg(long, default_value_t = 8)]
    jobs: u8,
}

/// Name and origin of each suite.
const SUITES: [(&str, &str); 8] = [
    ("asterisk+testsuite", "https://github.com/asterisk/testsuite"),
    ("pjsip+pjproject", "https://github.com/pjsip/pjproject"),
    ("OpenSIPS+sipssert-opensips-tests", "https://github.com/OpenSIPS/sipssert-opensips-tests"),
    ("drachtio+drachtio-srf", "https://github.com/drachtio/drachtio-srf"),
    ("drachtio+drachtio-server", "https://github.com/drachtio/drachtio-server"),
    ("jambonz+sbc-inbound", "https://github.com/jambonz/sbc-inbound"),
    ("jambonz+sbc-outbound", "https://github.com/jambonz/sbc-outbound"),
    ("SIPp+sipp", "https://github.com/SIPp/sipp"),
];

/// Maximum duration of a scenario's run.
const PATIENCE: Duration = Duration::from_secs(12);

/// Causes of findings: the end of the scenario's path, and the verdict.
const VERDICTS: [(&str, &str); 8] = [
    ("docs/regexp.xml", "the edge: the user name of `o=` is `-` (RFC 8866 §5.2); the example wants letters"),
    (
        "regress/github-#0238/uas.xml",
        "the edge: an ACK needs no Contact (RFC 3261 §8.1.1.8, table 2); the scenario takes its route from one",
    ),
    ("contrib/sipp/calls/uas-hangup.xml", "the edge: To of the BYE holds two addresses, 400 (RFC 3261 §20.39)"),
    ("test/scenarios/uac-drop-one-200.xml", "nobody: SIPp drops each 200 with a probability of 75 %"),
    (
        "test/scenarios/uac-long-sdp.xml",
        "the edge: only DTLS-SRTP is offered, which it does not speak: 488 (RFC 3261 §21.4.26)",
    ),
    ("test/scenarios/uac-long-uri.xml", "the edge: a number of 216 digits, 484 (E.164 has 15)"),
    ("test/scenarios/uac-outbound-user-success.xml", "the edge: two spaces in the Request-Line, 400 (RFC 3261 §7.1)"),
    ("scripts-sipp/uac-srtp-dtls-lower-prio.xml", "the edge: only DTLS-SRTP is offered: 488"),
];

/// Role of SIPp in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Caller,
    Callee,
}

/// Result of a scenario's runs.
#[derive(Debug)]
enum Outcome {
    Passed,
    /// The scenario failed with the edge, though not without; contains SIPp's message.
    Failed(String),
    /// The scenario is inapplicable to the edge, for this reason.
    LeftOut(&'static str),
}

/// Fetches the suites and runs them. Returns false if a failure has no verdict.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    install::packages(&[("sipp", "sip-tester"), ("git", "git")])?;
    edge::build()?;
    let folder = edge::target().join("peers-suites");
    std::fs::create_dir_all(&folder)?;
    let root = match &options.from {
        Some(root) => root.clone(),
        None => fetch(&folder)?,
    };
    let mut files = VecDeque::new();
    for (name, _) in SUITES {
        collect(&root.join(name), &mut files)?;
    }
    files.retain(|file| options.only.as_ref().is_none_or(|part| file.to_string_lossy().contains(part.as_str())));
    let (all, began) = (files.len(), Instant::now());
    println!("{all} scenarios, {} at once", options.jobs);
    let (queue, done) = (Mutex::new(files), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for slot in 1..=options.jobs.max(1) {
            let (queue, done) = (&queue, &done);
            scope.spawn(move || {
                // A lock in the condition itself would be held by the loop.
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(file) = next() {
                    let outcome = of(&file, slot).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.insert(file, outcome);
                    if done.len().is_multiple_of(100) {
                        println!("{} of {all}, {:.0} s", done.len(), began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (text, is_well) = report(&root, &done);
    let path = folder.join("report.md");
    std::fs::write(&path, &text)?;
    println!("{text}\nin {}", path.display());
    Ok(is_well)
}

/// Clones the suites that are missing; returns the folder of all.
fn fetch(folder: &Path) -> anyhow::Result<PathBuf> {
    for (name, origin) in SUITES {
        let to = folder.join(name);
        if to.is_dir() {
            continue;
        }
        println!("fetching {origin}");
        let status = Command::new("git").args(["clone", "--quiet", "--depth", "1", origin]).arg(&to).status()?;
        if !status.success() {
            bail!("{origin} cannot be fetched");
        }
    }
    Ok(folder.to_owned())
}

/// Collects the paths of all scenarios below a folder.
fn collect(folder: &Path, files: &mut VecDeque<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "xml")
            && std::fs::read(&path).is_ok_and(|text| String::from_utf8_lossy(&text).contains("<scenario"))
        {
            files.push_back(path);
        }
    }
    Ok(())
}

/// Runs a scenario without the edge and with it.
fn of(file: &Path, slot: u8) -> anyhow::Result<Outcome> {
    let text = String::from_utf8_lossy(&std::fs::read(file)?).into_owned();
    let role = match role(&text) {
        Ok(role) => role,
        Err(why) => return Ok(Outcome::LeftOut(why)),
    };
    let slot = Slot::new(slot);
    if slot.play(file, role, slot.callee)?.is_some() {
        return Ok(Outcome::LeftOut("fails against SIPp alone: made for its own server"));
    }
    let _edge = edge::Edge::start_as(Command::new(edge::binary()), &slot.configuration())?;
    Ok(slot.play(file, role, slot.edge)?.map_or(Outcome::Passed, Outcome::Failed))
}

/// Returns the role of SIPp in a scenario, or the reason for leaving the scenario out.
fn role(text: &str) -> Result<Role, &'static str> {
    let mut text = text.to_owned();
    while let Some((from, rest)) = text.find("<!--").and_then(|from| Some((from, text.get(from..)?.find("-->")? + 3))) {
        text.replace_range(from..from + rest, "");
    }
    if text.contains("<sendCmd") || text.contains("<recvCmd") {
        return Err("has a third party (3PCC)");
    }
    if text.contains("[field") {
        return Err("reads a file of its own");
    }
    let begin = |tag: &str| text.find(tag).unwrap_or(usize::MAX);
    let (send, receive) = (begin("<send"), begin("<recv"));
    if send < receive {
        let body = text.get(send..).and_then(|rest| rest.split_once("<![CDATA[")).map(|(_, body)| body.trim_start());
        return match body {
            Some(body) if body.starts_with("INVITE ") => Ok(Role::Caller),
            Some(_) | None => Err("begins with no INVITE"),
        };
    }
    let first = text.get(receive..).and_then(|rest| rest.split_once('>')).map(|(tag, _)| tag).unwrap_or_default();
    if first.contains("\"INVITE\"") || first.contains("'INVITE'") {
        Ok(Role::Callee)
    } else {
        Err("begins with no INVITE")
    }
}

/// Addresses that a concurrent run uses.
struct Slot {
    edge: Ipv4Addr,
    caller: Ipv4Addr,
    callee: Ipv4Addr,
    ports: u16,
}

impl Slot {
    fn new(slot: u8) -> Slot {
        let at = |last| Ipv4Addr::new(127, 77, slot, last);
        Slot { edge: at(1), caller: at(2), callee: at(3), ports: 30_000 + 100 * u16::from(slot) }
    }

    fn configuration(&self) -> String {
        let Slot { edge, caller, callee, ports } = self;
        format!(
            "[edge]\nname = \"suites\"\n[[listen]]\ntransport = \"udp\"\naddress = \"{edge}:5060\"\n\
             [media]\naddress = [\"{edge}\"]\nports = \"{ports}-{}\"\nthreads = 1\n[http]\naddress = \"127.0.0.1:0\"\n\
             [trunk.caller]\nsrtp = \"optional\"\noptions_interval = \"0s\"\npeers = [\"sip:{caller}:5060\"]\n\
             [trunk.callee]\nsrtp = \"optional\"\noptions_interval = \"0s\"\npeers = [\"sip:{callee}:5060\"]\n\
             [[route]]\nfrom = [\"caller\"]\nconnect = [\"trunk:callee\"]\n",
            ports + 99
        )
    }

    /// Makes one call with a scenario in its role and SIPp's own other side; the caller sends to `to`. Returns the
    /// fault; `None` if the call succeeded.
    fn play(&self, file: &Path, role: Role, to: Ipv4Addr) -> anyhow::Result<Option<String>> {
        let folder = tempfile::tempdir()?;
        let here = file.parent().context("a folder")?;
        let file = ["-sf", file.file_name().and_then(|name| name.to_str()).context("a name")?];
        let target = format!("{to}:5060");
        let caller = |scenario: &[&str], at: &Path| {
            let length = ["-d", "300", "-s", "+14155550123", target.as_str()];
            sipp(&[scenario, &length].concat(), self.caller, at, folder.path(), "caller")
        };
        // A callee that sends requests uses the address that it is given at its start.
        let from = format!("{}:5060", if to == self.callee { self.caller } else { self.edge });
        let callee = |scenario: &[&str], at: &Path| {
            sipp(&[scenario, &[from.as_str()]].concat(), self.callee, at, folder.path(), "callee")
        };
        let (tested, mut other) = match role {
            Role::Caller => {
                let other = callee(&["-sn", "uas"], folder.path())?;
                std::thread::sleep(Duration::from_millis(300));
                (caller(&file, here)?, other)
            }
            Role::Callee => {
                let tested = callee(&file, here)?;
                std::thread::sleep(Duration::from_millis(300));
                (tested, caller(&["-sn", "uac"], folder.path())?)
            }
        };
        let name = if role == Role::Caller { "caller" } else { "callee" };
        let is_well = ended(tested)?;
        drop(other.kill());
        drop(other.wait());
        if is_well {
            return Ok(None);
        }
        let errors = std::fs::read(folder.path().join(format!("{name}.errors"))).unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors).into_owned();
        let said =
            errors.lines().find(|line| line.contains("nexpected") || line.contains("bort") || line.contains("imeout"));
        Ok(Some(said.unwrap_or("no call came about").chars().take(300).collect()))
    }
}

/// Starts SIPp at an address, for one call with a scenario.
fn sipp(scenario: &[&str], at: Ipv4Addr, here: &Path, folder: &Path, name: &str) -> anyhow::Result<Child> {
    // SIPp's own scenario gives up first, so that a scenario that waits for a CANCEL receives it.
    let patience = if scenario.first() == Some(&"-sn") { "4000" } else { "8000" };
    let (at, errors) = (at.to_string(), folder.join(format!("{name}.errors")));
    let seconds = PATIENCE.as_secs().to_string();
    Command::new("sipp")
        .args(scenario)
        .args(["-i", &at, "-mi", &at, "-p", "5060", "-m", "1", "-nostdin"])
        .args(["-timeout", &seconds, "-timeout_error", "-recv_timeout", patience, "-trace_err", "-error_file"])
        .arg(errors)
        .current_dir(here)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("sipp")
}

/// Waits for the end of SIPp; returns whether its call followed the scenario.
fn ended(mut child: Child) -> anyhow::Result<bool> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE + Duration::from_secs(3) {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}

/// Returns the table, the failures with their verdicts, and whether each failure has one.
fn report(root: &Path, done: &BTreeMap<PathBuf, Outcome>) -> (String, bool) {
    let mut text = "# Other projects' SIPp scenarios\n\n| suite | scenarios | passed | failed | left out |\n| --- | --- | --- | --- | --- |\n".to_owned();
    let count =
        |wanted: &dyn Fn(&Path, &Outcome) -> bool| done.iter().filter(|(file, outcome)| wanted(file, outcome)).count();
    for (name, _) in SUITES {
        let of = |wanted: &dyn Fn(&Outcome) -> bool| {
            count(&|file, outcome| file.starts_with(root.join(name)) && wanted(outcome))
        };
        let passed = of(&|outcome| matches!(outcome, Outcome::Passed));
        let failed = of(&|outcome| matches!(outcome, Outcome::Failed(_)));
        let left_out = of(&|outcome| matches!(outcome, Outcome::LeftOut(_)));
        let _ = writeln!(text, "| {name} | {} | {passed} | {failed} | {left_out} |", passed + failed + left_out);
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in done.values() {
        if let Outcome::LeftOut(why) = outcome {
            *reasons.entry(why).or_default() += 1;
        }
    }
    text.push_str("\n| left out | |\n| --- | --- |\n");
    for (why, count) in reasons {
        let _ = writeln!(text, "| {why} | {count} |");
    }
    text.push_str("\n| failed | SIPp says | who is right |\n| --- | --- | --- |\n");
    let mut is_well = true;
    for (file, outcome) in done {
        let Outcome::Failed(said) = outcome else { continue };
        let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let verdict = VERDICTS.iter().find(|(path, _)| shown.ends_with(path)).map(|(_, verdict)| *verdict);
        is_well &= verdict.is_some();
        let _ = writeln!(text, "| {shown} | {} | {} |", said.replace('|', "/"), verdict.unwrap_or("**open**"));
    }
    (text, is_well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_shows_who_begins() {
        let invite = "<send><![CDATA[\n  INVITE sip:x SIP/2.0\n]]></send>";
        for (text, expected) in [
            (format!("<scenario>{invite}<recv response=\"200\"/></scenario>"), Ok(Role::Caller)),
            ("<scenario><recv request=\"INVITE\" crlf=\"true\"/></scenario>".to_owned(), Ok(Role::Callee)),
            (format!("<!-- <recv request=\"INVITE\"/> --><scenario>{invite}</scenario>"), Ok(Role::Caller)),
            ("<scenario><send><![CDATA[REGISTER sip:x]]></send></scenario>".to_owned(), Err("begins with no INVITE")),
            (format!("<scenario>{invite}<sendCmd/></scenario>"), Err("has a third party (3PCC)")),
            (invite.replace("sip:x", "sip:[field0]"), Err("reads a file of its own")),
        ] {
            assert_eq!(role(&text), expected, "{text}");
        }
    }
}
