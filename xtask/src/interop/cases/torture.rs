//! The 49 messages of RFC 4475, sent by a known trunk to the running edge.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, Text};
use crate::interop::sipp::{CARRIER, PBX};

const EXPECTED: &str = include_str!("../../../../crates/sip/tests/rfc4475/expected.txt");

const CONFIGURATION: &str = r#"
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
[[route]]
connect = ["trunk:pbx"]
"#;

const CARRIER_TRUNK: &str = "[trunk.carrier]\naccept_from = [\"127.0.0.2/32\"]\n";

/// Returns the lines of the table: file, and expected treatment.
fn expectations() -> impl Iterator<Item = (&'static str, &'static str)> {
    EXPECTED.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('|').map(str::trim);
        Some((fields.next()?, fields.next()?))
    })
}

fn message(file: &str) -> anyhow::Result<Vec<u8>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/sip/tests/rfc4475").join(file);
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    // Several files share this branch: a second one would count as a retransmission (RFC 3261 §17.2.3).
    let shared = b"branch=z9hG4bKkdjuw";
    let Some(at) = bytes.windows(shared.len()).position(|part| part == shared) else { return Ok(bytes) };
    let (front, rest) = bytes.split_at(at + shared.len());
    Ok([front, file.as_bytes(), rest].concat())
}

/// Returns the first final response to a new message within this time. `seen` has the Call-IDs of earlier responses,
/// which are retransmitted since they are not acknowledged.
fn first_final(socket: &UdpSocket, wait: Duration, seen: &mut HashSet<String>) -> Option<u16> {
    let mut buffer = [0; 65_535];
    let began = Instant::now();
    while began.elapsed() < wait {
        let Ok(n) = socket.recv(&mut buffer) else { continue };
        let text = Text(String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()).into_owned());
        if let Some(code) = text.code().filter(|code| *code >= 200)
            && seen.insert(text.header("Call-ID").to_owned())
        {
            return Some(code);
        }
    }
    None
}

fn carrier_socket(port: u16) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((CARRIER, port))?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(socket)
}

/// Returns the fault of a message that arrived malformed at the other side, by independent rules.
fn malformed(text: &Text) -> Option<String> {
    let Some((head, body)) = text.0.split_once("\r\n\r\n") else { return Some("no end of headers".into()) };
    if text.0.contains('\0') {
        return Some("a NUL".into());
    }
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, uri, "SIP/2.0"] = first.as_slice() else { return Some(format!("start line {first:?}")) };
    if !uri.starts_with("sip:") || uri.contains(['<', '>', '"', '?']) {
        return Some(format!("Request-URI {uri}"));
    }
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Some(format!("line {line:?}")) };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || value.contains(['\r', '\n']) {
            return Some(format!("line {line:?}"));
        }
        if value.matches('"').count() % 2 == 1 || value.matches('<').count() != value.matches('>').count() {
            return Some(format!("unbalanced {line:?}"));
        }
    }
    for name in ["Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length"] {
        if text.all(name).count() != 1 {
            return Some(format!("{} times {name}", text.all(name).count()));
        }
    }
    if text.header("Content-Length").parse() != Ok(body.len()) {
        return Some(format!("Content-Length {} with {} bytes", text.header("Content-Length"), body.len()));
    }
    let cseq = text.header("CSeq").split_once(' ');
    let right = cseq.is_some_and(|(number, of)| of == *method && number.parse::<u32>().is_ok_and(|n| n < 1 << 31));
    (!right).then(|| format!("CSeq {}", text.header("CSeq")))
}

/// Rejects the INVITEs that arrive at the callee; returns their number.
fn refuse_all(callee: &Phone, wait: Duration) -> anyhow::Result<usize> {
    let mut invites = 0;
    while let Some((text, from)) = callee.receive(wait)? {
        if let Some(why) = malformed(&text) {
            bail!("a malformed message reached the far side: {why}\n{}", text.0);
        }
        if text.first().starts_with("INVITE ") {
            invites += 1;
            callee.reply(&text, from, "486 Busy Here", "")?;
        }
    }
    Ok(invites)
}

/// Sends each message once; afterwards, an ordinary call must still be possible.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let known = if setting.sabotage { "" } else { CARRIER_TRUNK };
    let mut edge = Edge::start(&format!("{CONFIGURATION}{known}"))?;
    let (at_5060, at_5050) = (carrier_socket(5060)?, carrier_socket(5050)?);
    let callee = Phone::new(PBX, 5060, "callee")?;
    let mut seen = HashSet::new();
    let (mut answered, mut served, mut dropped, mut wrong) = (0, 0, 0, Vec::new());
    for (file, treatment) in expectations() {
        let message = message(file)?;
        // Responses go to the port of the topmost Via: 5060 if it has none; one file has 5050.
        let carrier = if String::from_utf8_lossy(&message).contains(":5050;branch") { &at_5050 } else { &at_5060 };
        carrier.send_to(&message, edge.udp)?;
        let (code, invites) = match treatment.strip_prefix("answer ") {
            Some(_) => (
                first_final(carrier, Duration::from_secs(3), &mut seen),
                refuse_all(&callee, Duration::from_millis(100))?,
            ),
            None => {
                let invites = refuse_all(&callee, Duration::from_millis(300))?;
                (first_final(carrier, Duration::from_millis(300), &mut seen), invites)
            }
        };
        edge.assert_alive().with_context(|| file.to_owned())?;
        let right = match (treatment, code) {
            ("serve", Some(code)) => invites > 0 || (400..500).contains(&code),
            ("serve", None) => invites > 0,
            ("response-ok" | "response-drop", code) => code.is_none() && invites == 0,
            (_, Some(code)) => {
                treatment.strip_prefix("answer ").is_some_and(|want| want == code.to_string()) && invites == 0
            }
            (_, None) => false,
        };
        if !right {
            wrong.push(format!("{file}: {treatment} expected, got {code:?} and {invites} INVITEs at the far side"));
        }
        match treatment {
            "serve" => served += 1,
            "response-ok" | "response-drop" => dropped += 1,
            _ => answered += 1,
        }
    }
    if !wrong.is_empty() {
        bail!("{} wrong:\n{}\n{}", wrong.len(), wrong.join("\n"), edge.log_tail());
    }
    Ok(format!(
        "{answered} answered as expected, {served} served, {dropped} responses ignored; nothing malformed went on"
    ))
}
