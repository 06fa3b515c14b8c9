//! Calls without audio in network namespaces: two phones with sound, the edge between them, and one fault at a time,
//! caused as in the field. Every view of an operator must name the cause and the change to make; no view may report a
//! fault for a good call. The pictures of docs/operate/troubleshooting.md are taken during the case.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::deploy_files::needs;
use super::srtp_baresip::judge;
use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::edge::{self, Edge};
use crate::interop::netns::{self, Namespace};
use crate::interop::node::{self, Packages};

/// IP addresses of the carrier, and of the edge on the carrier's side (RFC 5737): outside of `local_networks`.
const CARRIER: &str = "198.51.100.7";
const OUTSIDE: &str = "198.51.100.1";
/// IP addresses of the PBX, and of the edge on the PBX's side.
const PBX: &str = "10.0.0.5";
const INSIDE: &str = "10.0.0.2";
/// Unused IP address.
const NOBODY: &str = "203.0.113.99";
const CALLED: &str = "+14155550123";
/// Tones in Hz of the PBX's and the carrier's phone, neither a harmonic of the other.
const PBX_HZ: u32 = 660;
const CARRIER_HZ: u32 = 440;
/// Number of packets from a side that was heard for longer than the edge takes to judge a silent side.
const HEARD_PACKETS: u64 = 450;
/// Number of judged seconds of the side that was heard.
const HEARD_SECONDS: u32 = 6;
const PATIENCE: Duration = Duration::from_secs(40);

/// Fault of a call, and the reports expected for it.
struct Fault {
    name: &'static str,
    /// Public address that the edge shows to the carrier.
    public_address: &'static str,
    /// Firewall rules on the edge's machine.
    rules: &'static str,
    /// Codecs of the calling phone, and of its trunk.
    codecs: (&'static str, &'static str),
    /// Flag that lists show for the call.
    flag: &'static str,
    /// Texts about the cause, expected in every view.
    cause: &'static [&'static str],
    /// Texts about the fix, expected in every view.
    fix: &'static [&'static str],
    /// Name of the line that `doctor` prints.
    line: &'static str,
    /// Page of the console, `now` or `call`, shown in docs/operate/troubleshooting.md.
    picture: Option<(&'static str, &'static str)>,
}

const HEALTHY: Fault = Fault {
    name: "nothing",
    public_address: OUTSIDE,
    rules: "",
    codecs: ("PCMU", "\"PCMU\", \"PCMA\""),
    flag: "",
    cause: &[],
    fix: &[],
    line: "",
    picture: None,
};

const FAULTS: [Fault; 4] = [
    Fault {
        name: "public address",
        public_address: NOBODY,
        flag: "one_way",
        cause: &[
            "no packets were received; our SDP announces `public_address`, which is not an address of this machine",
        ],
        fix: &["set `public_address` to the address that the remote party sees"],
        line: "inbound udp",
        picture: Some(("overview", "fault-public-address")),
        ..HEALTHY
    },
    Fault {
        name: "output rule",
        rules: "table inet faults { chain out { type filter hook output priority 0;
            ip daddr 198.51.100.7 udp dport != 5060 drop; }; }",
        flag: "unsent",
        cause: &["this machine cannot send packets to 198.51.100.7:", "a local firewall rule forbids it (EPERM)"],
        fix: &["`nft list ruleset`, `iptables -S OUTPUT`", "allow udp to 198.51.100.7"],
        line: "outbound udp carrier",
        picture: Some(("call", "fault-firewall")),
        ..HEALTHY
    },
    Fault {
        name: "input rule",
        rules: "table inet faults { chain in { type filter hook input priority 0;
            ip saddr 198.51.100.7 udp dport 16384-32767 drop; }; }",
        flag: "one_way",
        cause: &["no packets arrived at 198.51.100.1:"],
        fix: &[
            "this machine's own firewall drops them (`nft list ruleset`, `iptables -S INPUT`)",
            "`tcpdump -ni any udp port ",
        ],
        line: "inbound udp",
        ..HEALTHY
    },
    Fault {
        name: "codecs",
        codecs: ("PCMA", "\"PCMU\""),
        flag: "codec_mismatch",
        cause: &["pbx offers no usable codec (offered PCMA", "; allowed PCMU)"],
        fix: &["`codecs = [\"PCMU\", \"PCMA\"]` in [trunk.pbx]"],
        line: "codecs pbx",
        picture: Some(("overview", "fault-codecs")),
        ..HEALTHY
    },
];

/// Network namespaces of the phones and of the edge.
struct Networks {
    edge: Namespace,
    carrier: Namespace,
    pbx: Namespace,
}

/// Makes a call with each fault, and then one without a fault.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = needs(&[("chromium", "chromium")]).or_else(netns::missing) {
        return Ok(skipped);
    }
    // The namespaces have no access to a registry.
    node::install(Packages::Browser)?;
    let pictures = edge::target().join("interop-faults");
    std::fs::create_dir_all(&pictures)?;
    let pictures = pictures.canonicalize()?;
    let [edge, carrier, pbx] = ["edge", "carrier", "pbx"].map(Namespace::new);
    let networks = Networks { edge: edge?, carrier: carrier?, pbx: pbx? };
    networks.edge.cable(&format!("{OUTSIDE}/24"), &networks.carrier, &format!("{CARRIER}/24"), "outside")?;
    networks.edge.cable(&format!("{INSIDE}/24"), &networks.pbx, &format!("{PBX}/24"), "inside")?;
    networks.edge.enter(|| {
        for fault in &FAULTS {
            networks.silent(fault, setting.sabotage, &pictures).with_context(|| format!("broken: {}", fault.name))?;
        }
        let heard = networks.well(&pictures).context("broken: nothing")?;
        let names = FAULTS.map(|fault| fault.name).join(", ");
        Ok(format!("{names}: named in five places; with none broken {heard}; pictures in {}", pictures.display()))
    })
}

impl Networks {
    fn start(&self, fault: &Fault) -> anyhow::Result<(Edge, Baresip, Baresip)> {
        self.edge.rules("")?;
        let (theirs, allowed) = fault.codecs;
        let answers = format!("<sip:{CALLED}@{CARRIER}>;regint=0;answermode=auto;audio_codecs=PCMU");
        let carrier = phone(&self.carrier, CARRIER, &answers, CARRIER_HZ)?;
        let calls = format!("<sip:+14155550100@{PBX}>;regint=0;audio_codecs={theirs}");
        let pbx = phone(&self.pbx, PBX, &calls, PBX_HZ)?;
        let edge = Edge::start_as(
            Command::new(edge::binary()),
            &format!(
                r#"
[edge]
name = "edge-1"
public_address = "{}"
[[listen]]
transport = "udp"
address = "0.0.0.0:5060"
[http]
address = "127.0.0.1:8080"
[cdr]
file = "cdr.jsonl"
[trunk.carrier]
peers = ["sip:{CARRIER}"]
[trunk.pbx]
peers = ["sip:{PBX}"]
codecs = [{allowed}]
[[route]]
from = ["pbx"]
connect = ["trunk:carrier"]
"#,
                fault.public_address
            ),
        )?;
        self.edge.rules(fault.rules)?;
        pbx.command("dial", &format!("sip:{CALLED}@{INSIDE}"))?;
        Ok((edge, carrier, pbx))
    }

    /// Makes a call with this fault, and checks every view.
    fn silent(&self, fault: &Fault, sabotaged: bool, pictures: &Path) -> anyhow::Result<()> {
        // Broken: the call does not have the expected fault.
        let made = if sabotaged { &HEALTHY } else { fault };
        let (edge, carrier, pbx) = self.start(made)?;
        let told = || format!("{}\n{}\n{}", edge.log_tail(), carrier.log(), pbx.log());
        edge.wait_until("the verdict has the cause", PATIENCE, |edge| {
            Ok(call(edge).and_then(|sid| lacks(&verdict(edge, &sid)?, fault)).ok() == Some(None))
        })
        .with_context(|| format!("{}\n{}", edge.only_trace().unwrap_or_default(), told()))?;
        let sid = call(&edge)?;
        asked(&edge, fault, &sid)?;
        browse(&edge, fault, &sid, pictures)?;
        if fault.flag == "unsent" {
            self.no_way_for_sip(&edge)?;
        }
        // After the call, each view reports the fault for the last hour.
        pbx.command("hangup", "")?;
        edge.wait_until("the call has its record", PATIENCE, |edge| Ok(edge.records()?.len() == 1))?;
        asked(&edge, fault, &sid).context("after its end")
    }

    /// Checks a firewall that also blocks OPTIONS: the report points to the firewall's rules, not to the remote party.
    fn no_way_for_sip(&self, edge: &Edge) -> anyhow::Result<()> {
        self.edge.rules(
            "table inet faults { chain out { type filter hook output priority 0; ip daddr 198.51.100.7 drop; }; }",
        )?;
        let file = edge.file();
        let file = file.to_str().context("a path in UTF-8")?;
        let page = printed(&["--config", file, "doctor", "--only", "options"])?;
        let page = squeezed(&page);
        for part in ["FAIL options carrier", "(EPERM)", "try: allow udp to"] {
            ensure!(page.contains(&squeezed(part)), "doctor does not say {part:?} of OPTIONS: {page}");
        }
        Ok(())
    }

    /// Makes a call without a fault; no view may report one.
    fn well(&self, pictures: &Path) -> anyhow::Result<String> {
        let (edge, carrier, pbx) = self.start(&HEALTHY)?;
        let heard = |edge: &Edge| -> anyhow::Result<bool> {
            let legs = json(edge, &format!("/v1/calls/{}", call(edge)?))?;
            let legs = legs["legs"].as_array().context("no legs")?;
            let packets = |leg: &Value| leg["rtp"]["rx_packets"].as_u64().unwrap_or_default();
            Ok(legs.len() == 2 && legs.iter().all(|leg| packets(leg) > HEARD_PACKETS))
        };
        edge.wait_until("both are heard", PATIENCE, |edge| Ok(heard(edge).unwrap_or_default()))
            .with_context(|| format!("{}\n{}\n{}", edge.log_tail(), carrier.log(), pbx.log()))?;
        let sid = call(&edge)?;
        asked(&edge, &HEALTHY, &sid)?;
        browse(&edge, &HEALTHY, &sid, pictures)?;
        pbx.command("hangup", "")?;
        carrier.wait_for("terminated", PATIENCE)?;
        asked(&edge, &HEALTHY, &sid).context("after its end")?;
        let carrier_heard = judge(&carrier.heard()?, PBX_HZ, HEARD_SECONDS).context("what the carrier heard")?;
        let pbx_heard = judge(&pbx.heard()?, CARRIER_HZ, HEARD_SECONDS).context("what the PBX heard")?;
        Ok(format!("{carrier_heard:.1} and {pbx_heard:.1} dB are heard and nothing is said"))
    }
}

fn phone(namespace: &Namespace, ip: &str, account: &str, hz: u32) -> anyhow::Result<Baresip> {
    let setup = Setup { ip, port: 5060, account, says: wav(hz), ca: None, dial: None, lasts: None };
    let phone = Baresip::start_by(namespace.command("stdbuf"), &setup)?;
    phone.wait_for("baresip is ready", PATIENCE)?;
    Ok(phone)
}

fn json(edge: &Edge, path: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&edge.get(path)?)?)
}

/// Returns the SID of the edge's only call.
fn call(edge: &Edge) -> anyhow::Result<String> {
    let calls = json(edge, "/v1/calls")?;
    Ok(calls["calls"][0]["sid"].as_str().context("no call yet")?.to_owned())
}

fn verdict(edge: &Edge, sid: &str) -> anyhow::Result<String> {
    let trace = json(edge, &format!("/v1/calls/{sid}/trace"))?;
    Ok(trace["verdict"].as_str().context("no verdict")?.to_owned())
}

/// Returns the output of a command, whichever exit code it has.
fn printed(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(edge::binary()).args(arguments).output()?;
    let stdout = String::from_utf8(output.stdout)?;
    ensure!(!stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(stdout)
}

/// Normalizes a text: pages fold lines, mark code, and capitalize sentences.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '`').flat_map(char::to_lowercase).collect()
}

/// Returns the first expected text that is missing; for a call without a fault, the first text that must not be there.
fn lacks(text: &str, fault: &Fault) -> anyhow::Result<Option<&'static str>> {
    let text = squeezed(text);
    let has = |part: &&'static str| text.contains(&squeezed(part));
    let parts = |fault: &Fault| fault.cause.iter().chain(fault.fix).copied().collect::<Vec<_>>();
    match fault.cause {
        [] => match FAULTS.iter().flat_map(parts).find(has) {
            Some(said) => bail!("it says {said:?} of a call in which all is well"),
            None => Ok(None),
        },
        _ => Ok(parts(fault).into_iter().find(|part| !has(part))),
    }
}

/// Checks the reports of the API, `trace`, `status` and `doctor`.
fn asked(edge: &Edge, fault: &Fault, sid: &str) -> anyhow::Result<()> {
    let flags = json(edge, &format!("/v1/calls/{sid}"))?["flags"].clone();
    let flags: Vec<&str> = flags.as_array().context("no flags")?.iter().filter_map(Value::as_str).collect();
    let wanted: Vec<&str> = Some(fault.flag).into_iter().filter(|flag| !flag.is_empty()).collect();
    ensure!(flags == wanted, "its flags are {flags:?}, and should be {wanted:?}");
    let url = format!("http://{}", edge.http);
    let file = edge.file();
    let file = file.to_str().context("a path in UTF-8")?;
    let doctor = printed(&["--config", file, "doctor", "--only", fault_line(fault)])?;
    let status = printed(&["status", "--url", &url])?;
    for (place, text) in [
        ("the API", verdict(edge, sid)?),
        ("trace last", printed(&["trace", "last", "--url", &url])?),
        ("status", status.clone()),
        ("doctor", doctor.clone()),
    ] {
        if let Some(part) = lacks(&text, fault).with_context(|| format!("{place}:\n{text}"))? {
            bail!("{place} does not say {part:?}:\n{text}");
        }
    }
    if fault.cause.is_empty() {
        ensure!(!status.contains("\n!") && !status.starts_with('!'), "status complains of nothing:\n{status}");
        ensure!(!doctor.contains("FAIL"), "doctor complains of nothing:\n{doctor}");
        return Ok(());
    }
    // The status also names the example call and the level.
    ensure!(
        squeezed(&status).contains(&squeezed(&format!("see: trunkgate trace {sid}"))),
        "no call in status:\n{status}"
    );
    let line = squeezed(&format!("FAIL {}", fault.line));
    ensure!(squeezed(&doctor).contains(&line), "no FAIL in doctor:\n{doctor}");
    Ok(())
}

/// Returns the name of `doctor`'s line about a fault; for a call without a fault, the names of all lines.
fn fault_line(fault: &Fault) -> &'static str {
    if fault.line.is_empty() { "public address,inbound udp,outbound udp,codecs,options" } else { fault.line }
}

/// Checks the console's pages in a browser in the edge's network.
fn browse(edge: &Edge, fault: &Fault, sid: &str, pictures: &Path) -> anyhow::Result<()> {
    let url = format!("http://{}", edge.http);
    let out = pictures.to_str().context("a path in UTF-8")?;
    let mut flags = vec!["--told", &url, "--sid", sid, "--out", out];
    for part in fault.cause.iter().chain(fault.fix) {
        flags.extend(["--says", part]);
    }
    for part in FAULTS.iter().flat_map(|other| other.cause).filter(|part| !fault.cause.contains(part)) {
        flags.extend(["--not", part]);
    }
    if let Some((page, name)) = fault.picture {
        flags.extend(["--page", page, "--picture", name]);
    }
    node::output(Packages::Browser, &node::script("console.cjs"), &flags).context("the console")?;
    Ok(())
}
