//! SIPp as a recording server, tried after a server that rejects: two baresip phones talk, each recorded stream has the
//! tone of its party, and the metadata is valid by the schema.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::srtp_baresip::judge;
use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::edge::Edge;
use crate::interop::install;
use crate::interop::rtp::{linear, read};
use crate::interop::scenario::Scenario;
use crate::interop::sipp::{CARRIER, Callee, DESK, PBX};

const SERVER: &str = include_str!("../scenarios/uas_siprec.xml");
const SCHEMA: &str = include_str!("../scenarios/rs_metadata.xsd");
/// IP address of the recording server; the rejecting server is at [`DESK`].
const RECORDER: &str = "127.0.0.8";
const PORT: u16 = 5060;
const CALLED: &str = "+14155550100";
/// Tones in Hz of the caller and of the callee, neither a harmonic of the other.
const CALLER_HZ: u32 = 440;
const CALLEE_HZ: u32 = 660;
/// Duration of the call, in seconds.
const TALK: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes one call, which the second server records.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    install::packages(&[("xmllint", "libxml2-utils")])?;
    let refuses = Callee::start_with(
        DESK,
        PORT,
        &Scenario::callee(1, &["siprec"]).answer("488 Not Acceptable Here", "", "").expect("ACK", &[]).text(),
    )?;
    let (first, second) = (Stream::receive()?, Stream::receive()?);
    let server = SERVER.replace("FIRST_PORT", &first.port.to_string()).replace("SECOND_PORT", &second.port.to_string());
    let recorder = Callee::start_with_messages(RECORDER, PORT, &server)?;
    // Broken: the route names no recording server.
    let records = if setting.sabotage { "" } else { "siprec = [\"vault\"]" };
    let edge = Edge::start(&format!(
        "[trunk.carrier]\noptions_interval = \"0s\"\naccept_from = [\"{CARRIER}/32\"]\nmedia_from = [\"127.0.0.1/32\"]\n\
         [trunk.pbx]\noptions_interval = \"0s\"\npeers = [\"sip:{PBX}:5060\"]\nmedia_from = [\"127.0.0.1/32\"]\n\
         [siprec.vault]\noptions_interval = \"0s\"\npeers = [\"sip:{DESK}:{PORT}\", \"sip:{RECORDER}:{PORT}\"]\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n{records}\n"
    ))?;
    let callee = phone(PBX, 5060, None, CALLEE_HZ)?;
    let mut caller = phone(CARRIER, 0, Some(&format!("sip:{CALLED}@{}", edge.udp)), CALLER_HZ)?;
    let told = || format!("{}\n{}", edge.log_tail(), edge.newest_trace().unwrap_or_default());
    caller.wait(PATIENCE + Duration::from_secs(u64::from(TALK))).with_context(told)?;
    callee.wait_for("terminated", PATIENCE).with_context(told)?;
    edge.wait_until("the call has its record", PATIENCE, |edge| Ok(edge.records()?.len() == 1)).with_context(told)?;
    let record = edge.records()?.pop().context("no record")?;
    let session = &record["siprec"][0];
    if session["server"] != format!("sip:{RECORDER}:{PORT}").as_str() || session["status"] != "stopped" {
        bail!("the record's recording session is {session}\n{}", told());
    }
    if !setting.sabotage {
        refuses.has_had(1).context("the server that refuses")?;
    }
    let mut figures = Vec::new();
    for (what, stream, hz) in [("the caller", first, CALLER_HZ), ("the callee", second, CALLEE_HZ)] {
        let heard = stream.end()?;
        let worst =
            judge(&heard, hz, TALK).with_context(|| format!("whether {what} was recorded")).with_context(told)?;
        figures.push(format!("{what} at {worst:.1} dB"));
    }
    let trace = edge.newest_trace()?;
    if !trace.contains("siprec:vault") {
        bail!("the ladder does not show the recording server:\n{trace}");
    }
    let bytes = metadata_is_valid(&recorder).with_context(told)?;
    Ok(format!("{}, after a server that refuses; {bytes} bytes of valid metadata", figures.join(", ")))
}

fn phone(ip: &str, port: u16, dial: Option<&str>, hz: u32) -> anyhow::Result<Baresip> {
    let user = if dial.is_some() { "+14155551234" } else { CALLED };
    let phone = Baresip::start(&Setup {
        ip,
        port,
        account: &format!("<sip:{user}@{ip}>;regint=0;answermode=auto;audio_codecs=PCMU"),
        says: wav(hz),
        ca: None,
        dial,
        lasts: dial.map(|_| Duration::from_secs(u64::from(TALK) + 2)),
    })?;
    phone.wait_for("baresip is ready", PATIENCE)?;
    Ok(phone)
}

/// Stream that the recording server receives.
struct Stream {
    port: u16,
    ends: Arc<AtomicBool>,
    heard: JoinHandle<Vec<f64>>,
}

impl Stream {
    /// Starts to receive PCMU at a port of the recording server.
    fn receive() -> anyhow::Result<Stream> {
        let socket = UdpSocket::bind((RECORDER, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let port = socket.local_addr()?.port();
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let heard = std::thread::spawn(move || {
            let (mut samples, mut bytes) = (Vec::new(), [0; 2048]);
            while !ended.load(Ordering::Relaxed) {
                let Ok(length) = socket.recv(&mut bytes) else { continue };
                if let Some((_, payload)) = bytes.get(..length).and_then(read) {
                    samples.extend(payload.iter().copied().map(linear));
                }
            }
            samples
        });
        Ok(Stream { port, ends, heard })
    }

    /// Ends the stream and returns its audio.
    fn end(self) -> anyhow::Result<Vec<f64>> {
        self.ends.store(true, Ordering::Relaxed);
        self.heard.join().map_err(|_| anyhow::anyhow!("the receiver of a stream panicked"))
    }
}

/// Validates the metadata of each INVITE to a recording server by `xmllint`; returns the size of the first one in
/// bytes.
fn metadata_is_valid(recorder: &Callee) -> anyhow::Result<usize> {
    let at = recorder.folder();
    std::fs::write(at.join("schema.xsd"), SCHEMA)?;
    let messages = recorder.messages()?;
    let documents: Vec<&str> = messages
        .split("<?xml")
        .skip(1)
        .filter_map(|rest| rest.split_once("</recording>").map(|(document, _)| document))
        .collect();
    let Some(first) = documents.first() else { bail!("the server got no metadata:\n{messages}") };
    let length = first.len();
    for document in documents {
        validated(at, &format!("<?xml{document}</recording>"))?;
    }
    Ok(length)
}

fn validated(folder: &Path, document: &str) -> anyhow::Result<()> {
    std::fs::write(folder.join("metadata.xml"), document)?;
    let output = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema", "schema.xsd", "metadata.xml"])
        .current_dir(folder)
        .output()
        .context("xmllint")?;
    if !output.status.success() {
        bail!("{}\n{document}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
