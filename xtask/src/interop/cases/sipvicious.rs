//! Scanners that every SIP port on the Internet meets: they find nothing, cannot enumerate users, and never get more
//! bytes than they sent.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::nat::Nat;
use crate::interop::python;
use crate::interop::raw::Text;

/// Target address for the scanners; each scanner reaches the edge from an address of its own, so that a ban affects
/// only one.
const INSIDE: &str = "127.0.0.7";
/// Existing users, one with a challenge that the scanners can answer and one with another algorithm, and the password
/// of both.
const USER: &str = "desk";
const OTHER: &str = "lamp";
const PASSWORD: &str = "sesame-open-4711";
/// Number of passwords that a scanner tries.
const GUESSES: u32 = 60;

/// Scanner and its command line.
struct Scan {
    program: &'static str,
    flags: Vec<String>,
    outside: &'static str,
}

/// Runs all scanners at the same time.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let programs = python::sipvicious()?;
    let mut edge = Edge::start(&format!(
        r#"
[trunk.phones]
options_interval = "0s"
accept_register = true
require_auth = {{ username = "{USER}", password = "{PASSWORD}", algorithms = ["MD5"] }}
[trunk.others]
options_interval = "0s"
accept_register = true
require_auth = {{ username = "{OTHER}", password = "{PASSWORD}" }}
[trunk.carrier]
options_interval = "0s"
accept_from = ["127.0.0.2/32"]
[[route]]
connect = ["trunk:phones"]
"#
    ))?;
    let folder = tempfile::tempdir()?;
    let guesses = folder.path().join("passwords");
    // Broken: the password is the first one tried.
    let first = if setting.sabotage { format!("{PASSWORD}\n") } else { String::new() };
    let others: String = (0..GUESSES).map(|n| format!("guess-{n}\n")).collect();
    std::fs::write(&guesses, first + &others)?;
    let scans = scans(&guesses);
    let sip = edge.udp;
    let found: anyhow::Result<Vec<(u64, u64)>> = std::thread::scope(|scope| {
        let running: Vec<_> = scans.iter().map(|scan| scope.spawn(|| run_one(&programs, scan, sip))).collect();
        running.into_iter().map(|one| one.join().map_err(|_| anyhow!("a scanner's thread panicked"))?).collect()
    });
    let found = found?;
    edge.assert_alive()?;
    let (sent, came_back) = found.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    indistinguishable(edge.udp)?;
    let banned = edge.metric("trunkgate_sources_banned")?;
    if banned < 1.0 {
        bail!("no source is banned after {GUESSES} guesses");
    }
    Ok(format!(
        "{} scans found nothing: {sent} bytes sent, {came_back} back; at most {:.2} for one; {banned} banned; an unknown user \
         reads as a wrong password",
        scans.len(),
        found.iter().map(|(sent, back)| ratio(*sent, *back)).fold(0.0, f64::max)
    ))
}

fn ratio(sent: u64, back: u64) -> f64 {
    back as f64 / sent.max(1) as f64
}

fn scans(guesses: &Path) -> Vec<Scan> {
    let flags = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let scan = |program, text: &str, outside| Scan { program, flags: flags(text), outside };
    vec![
        scan("sipvicious_svmap", "-m OPTIONS", "127.0.0.61"),
        scan("sipvicious_svmap", "-m INVITE", "127.0.0.62"),
        scan("sipvicious_svmap", "-m REGISTER", "127.0.0.63"),
        scan("sipvicious_svwar", "-m REGISTER -e 100-199 --force", "127.0.0.64"),
        scan("sipvicious_svwar", "-m INVITE -e 100-199 --force", "127.0.0.65"),
        scan("sipvicious_svwar", "-m OPTIONS -e 100-199 --force", "127.0.0.66"),
        scan("sipvicious_svcrack", &format!("-u {USER} -d {}", guesses.display()), "127.0.0.67"),
        scan("sipvicious_svcrack", &format!("-u {OTHER} -d {}", guesses.display()), "127.0.0.60"),
        scan("sipvicious_svcrack", &format!("-u nobody -d {}", guesses.display()), "127.0.0.68"),
    ]
}

/// Runs a scanner; returns the numbers of bytes that it sent and received.
fn run_one(programs: &Path, scan: &Scan, edge: SocketAddr) -> anyhow::Result<(u64, u64)> {
    let nat = Nat::udp(INSIDE, scan.outside, edge)?;
    let program: PathBuf = programs.join(scan.program);
    let output = Command::new(&program)
        .args(&scan.flags)
        .args(["-p", &nat.inside.port().to_string(), INSIDE])
        .stdin(Stdio::null())
        .output()
        .with_context(|| program.display().to_string())?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let what = || format!("{} {}", scan.program, scan.flags.join(" "));
    let (sent, back) = nat.bytes();
    if sent == 0 {
        bail!("{} sent nothing: {text}", what());
    }
    if !text.contains("found nothing") {
        bail!("{} found something: {text}", what());
    }
    if back > sent {
        bail!("{} sent {sent} bytes and got {back}: {:.2} times", what(), ratio(sent, back));
    }
    Ok((sent, back))
}

/// Checks that the responses to a wrong password and to an unknown user are equal, except for unique values.
fn indistinguishable(edge: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(("127.0.0.69", 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut cseq = 0;
    let mut register = |authorization: &str| -> anyhow::Result<Text> {
        cseq += 1;
        let here = socket.local_addr()?;
        let text = format!(
            "REGISTER sip:{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKr{cseq};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{USER}@{edge}>;tag=1\r\nTo: <sip:{USER}@{edge}>\r\nCall-ID: same\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{USER}@{here}>\r\nExpires: 300\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO\r\n\
             User-Agent: a phone of some maker 1.2.3\r\n{authorization}Content-Length: 0\r\n\r\n"
        );
        socket.send_to(text.as_bytes(), edge)?;
        let mut buffer = [0; 4_096];
        let n = socket.recv(&mut buffer).context("no answer to a REGISTER")?;
        Ok(Text(String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()).into_owned()))
    };
    let challenge = register("")?;
    let nonce = between(&challenge.0, "nonce=\"").context("a challenge without nonce")?.to_owned();
    let mut shapes = Vec::new();
    for user in [USER, "nobody", ""] {
        let answer = register(&format!(
            "Authorization: Digest username=\"{user}\", realm=\"trunkgate\", nonce=\"{nonce}\", uri=\"sip:{edge}\", \
             response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"1\"\r\n"
        ))?;
        let mut shape = answer.0.clone();
        for what in ["nonce=\"", "branch=", ">;tag=", "CSeq: "] {
            // The last match is ours: From has a tag too.
            if let Some(value) = shape.rsplit_once(what).and_then(|(_, rest)| rest.split(['"', ';', '\r']).next()) {
                shape = shape.replace(&format!("{what}{value}"), what);
            }
        }
        shapes.push(shape);
    }
    match shapes.as_slice() {
        [first, others @ ..] if first.starts_with("SIP/2.0 401 ") && others.iter().all(|one| one == first) => Ok(()),
        other => bail!("an unknown user and a wrong password can be distinguished:\n{}", other.join("\n")),
    }
}

/// Returns the text after `what`, up to the end of the value.
fn between<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    let rest = text.split_once(what)?.1;
    rest.split(['"', ';', '\r']).next()
}
