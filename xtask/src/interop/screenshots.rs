//! `cargo xtask screenshots`: pictures of the console in docs/images, taken by headless Chromium from an edge with
//! calls between simulated phones: answered calls, one with a failing agent, some that every target rejects, and three
//! live ones. The numbers are fictional.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use tokio_tungstenite::tungstenite::Message;

use super::bots::{Bot, Manner};
use super::edge::{self, Edge, LISTENERS};
use super::node::{self, Packages};
use super::raw::{Call, Phone, tone_frame};
use super::{install, rtp};

/// Maximum size of a picture for the repository, in bytes.
const MOST_BYTES: u64 = 200_000;
/// Number of calls that all targets reject: enough for a reported problem of the trunks.
const REJECTED: u32 = 6;
/// Number of frames after which the second agent breaks its connection: 4 s of audio.
const BREAKS_AFTER: u32 = 200;
const FRAME: Duration = Duration::from_millis(20);

const CARRIER_EAST: &str = "127.0.0.2";
const PBX: &str = "127.0.0.3";
const CARRIER_WEST: &str = "127.0.0.4";
const BRANCH: &str = "127.0.0.5";

/// Trunks and routes of the configuration; the URLs of the agents are appended.
const TRUNKS: &str = r#"
[trunk.carrier-east]
peers = ["sip:127.0.0.2:5060"]
max_calls = 120
[trunk.carrier-west]
peers = ["sip:127.0.0.4:5060"]
max_calls = 60
[trunk.pbx]
peers = ["sip:127.0.0.3:5060"]
[trunk.branch]
peers = ["sip:127.0.0.5:5060"]
[[route]]
name = "reception"
from = ["carrier-east"]
to = ["+13125550100"]
connect = ["agent:receptionist", "trunk:pbx"]
[[route]]
name = "booking"
from = ["carrier-east"]
to = ["+13125550120"]
connect = ["agent:booking", "trunk:pbx"]
[[route]]
name = "branch-office"
from = ["carrier-east"]
to = ["+13125550170"]
connect = ["trunk:branch", "trunk:carrier-west"]
[[route]]
name = "office"
from = ["carrier-east"]
connect = ["trunk:pbx"]
record = true
[recording]
directory = "recordings"
"#;

/// Response of a phone to an INVITE.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// The phone rings, answers the call and echoes its audio.
    Takes,
    /// The phone rejects the call with this status.
    Rejects(&'static str),
}

/// Takes the pictures and writes them to docs/images.
pub(crate) fn run() -> anyhow::Result<bool> {
    install::packages(&[("chromium", "chromium")])?;
    edge::build()?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let answers = [
            (CARRIER_EAST, Answer::Takes),
            (PBX, Answer::Takes),
            (CARRIER_WEST, Answer::Rejects("403 Caller Not Permitted")),
            (BRANCH, Answer::Rejects("503 Lines Busy")),
        ];
        for (address, answer) in answers {
            let phone = Phone::new(address, 5060, "callee")?;
            let over = &over;
            scope.spawn(move || drop(serve(&phone, answer, over)));
        }
        let taken = calls_and_pictures(&over);
        over.store(true, Ordering::Relaxed);
        taken
    })
}

/// Starts the edge, makes calls, and takes the pictures while three calls are live.
fn calls_and_pictures(over: &AtomicBool) -> anyhow::Result<bool> {
    let receptionist = Bot::start(Manner::Say(greeting()))?;
    let booking = Bot::start(Manner::Breaks { after: BREAKS_AFTER })?;
    let agents = format!(
        "[agent.receptionist]\nurl = \"{}\"\nmax_sessions = 40\n[agent.booking]\nurl = \"{}\"\nmax_sessions = 10\n",
        receptionist.url(),
        booking.url()
    );
    let listeners = LISTENERS.replace("interop", "edge-1");
    let mut edge = Edge::start_as(Command::new(edge::binary()), &format!("{listeners}{agents}{TRUNKS}"))?;
    edge.wait_until("all trunks are up", Duration::from_secs(40), |edge| {
        let status: serde_json::Value = serde_json::from_str(&edge.get("/v1/status")?)?;
        Ok(status["trunks"].as_array().is_some_and(|trunks| trunks.iter().all(|trunk| trunk["state"] == "up")))
    })?;
    let at = edge.udp;
    std::thread::scope(|scope| {
        let past = [
            ("+12025550142", "+13125550100", 9),
            ("+16465550117", "+13125550120", 12),
            ("+14155550163", "+13125550131", 7),
            ("+12065550188", "+13125550100", 11),
        ];
        let past = past.map(|(from, to, seconds)| scope.spawn(move || finished(at, (from, to), seconds)));
        for _ in 0..REJECTED {
            ensure!(Phone::new(CARRIER_EAST, 0, "+17735550155")?.call(at, "+13125550170").is_err(), "not rejected");
        }
        past.into_iter().try_for_each(|call| call.join().map_err(|_| anyhow::anyhow!("a call panicked"))?)?;
        let live =
            [("+12025550109", "+13125550100"), ("+15035550176", "+13125550100"), ("+13035550134", "+13125550131")];
        let live = live.map(|(from, to)| {
            scope.spawn(move || -> anyhow::Result<()> {
                let phone = Phone::new(CARRIER_EAST, 0, from)?;
                let call = phone.call(at, to)?;
                speak(&phone, &call, || !over.load(Ordering::Relaxed))?;
                phone.bye(&call)
            })
        });
        // Longer than one interval of the console's plots.
        std::thread::sleep(Duration::from_secs(11));
        let taken = pictures(&edge);
        over.store(true, Ordering::Relaxed);
        live.into_iter().try_for_each(|call| call.join().map_err(|_| anyhow::anyhow!("a live call panicked"))?)?;
        taken
    })?;
    edge.assert_alive()?;
    Ok(true)
}

/// Takes the pictures by a browser.
fn pictures(edge: &Edge) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images").canonicalize()?;
    let out = folder.to_str().context("a path in UTF-8")?;
    let flags = ["--pictures", &format!("http://{}", edge.http), "--out", out];
    let names = node::output(Packages::Browser, &node::script("console.cjs"), &flags)?;
    for name in names.lines().filter(|line| line.ends_with(".png")) {
        let bytes = std::fs::metadata(folder.join(name))?.len();
        println!("      {name}: {} KB", bytes / 1000);
        ensure!(bytes <= MOST_BYTES, "{name} has {bytes} bytes");
    }
    Ok(())
}

/// Makes a call that lasts this many seconds.
fn finished(edge: SocketAddr, (from, to): (&'static str, &str), seconds: u64) -> anyhow::Result<()> {
    let phone = Phone::new(CARRIER_EAST, 0, from)?;
    let call = phone.call(edge, to)?;
    let end = Instant::now() + Duration::from_secs(seconds);
    speak(&phone, &call, || Instant::now() < end)?;
    phone.bye(&call)
}

/// Sends a tone in a call while `goes_on` returns true.
fn speak(phone: &Phone, call: &Call, goes_on: impl Fn() -> bool) -> anyhow::Result<()> {
    let (began, mut n) = (Instant::now(), 0u32);
    while goes_on() {
        let packet = rtp::packet((n & 0xffff) as u16, n.wrapping_mul(160), 0x7261_7700, &tone_frame(n));
        phone.rtp.send_to(&packet, call.media)?;
        n += 1;
        std::thread::sleep((began + FRAME * n).saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Answers messages to a phone until `over` is set.
fn serve(phone: &Phone, answer: Answer, over: &AtomicBool) -> anyhow::Result<()> {
    let audio = phone.rtp.try_clone()?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut packet = [0; 2_048];
            while !over.load(Ordering::Relaxed) {
                if let Ok((n, from)) = audio.recv_from(&mut packet) {
                    let _ = audio.send_to(packet.get(..n).unwrap_or_default(), from);
                }
            }
        });
        while !over.load(Ordering::Relaxed) {
            let Some((request, from)) = phone.receive(Duration::from_millis(200))? else { continue };
            match (request.first().split(' ').next().unwrap_or_default(), answer) {
                ("INVITE", Answer::Takes) => {
                    phone.reply(&request, from, "180 Ringing", "")?;
                    std::thread::sleep(Duration::from_millis(400));
                    phone.reply(&request, from, "200 OK", &phone.sdp()?)?;
                }
                ("INVITE", Answer::Rejects(status)) => phone.reply(&request, from, status, "")?,
                ("ACK" | "SIP/2.0", _) => {}
                _ => phone.reply(&request, from, "200 OK", "")?,
            }
        }
        Ok(())
    })
}

/// Returns the greeting of an agent: 4 s of audio with a mark after it.
fn greeting() -> Vec<Message> {
    let audio = BASE64.encode(rtp::tone_ulaw(32_000));
    vec![
        Message::text(format!(r#"{{"event":"media","streamSid":"{{sid}}","media":{{"payload":"{audio}"}}}}"#)),
        Message::text(r#"{"event":"mark","streamSid":"{sid}","mark":{"name":"greeting"}}"#.to_owned()),
    ]
}
