//! Registration of the edge at Kamailio, which then calls the edge.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use super::kamailio::Kamailio;
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, Text};
use crate::interop::sipp::{CARRIER, PBX};

const CONFIGURATION: &str = include_str!("../scenarios/kamailio_registrar.cfg");
const REGISTRAR: &str = "127.0.0.5:5080";
/// Time longer than the granted expiry.
const WHILE: Duration = Duration::from_secs(6);

/// Registers the edge with digest, calls it, has it refresh, calls it again, and checks that it unregisters at its end.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let kamailio = Kamailio::start(&CONFIGURATION.replace("PASSWORD", "a-right-one"))?;
    // Broken: the edge has another password.
    let password = if setting.sabotage { "a-wrong-one" } else { "a-right-one" };
    let mut edge = Edge::start(&format!(
        r#"
[trunk.carrier]
options_interval = "0s"
register = {{ registrar = "sip:{REGISTRAR}", user = "acme", expires = "2m" }}
auth = {{ username = "acme", password = "{password}" }}
[trunk.pbx]
options_interval = "0s"
peers = ["sip:{PBX}:5060"]
[[route]]
from = ["carrier"]
to = ["+1415*"]
connect = ["trunk:pbx"]
"#
    ))?;
    let told = |edge: &Edge| format!("{}\n{}", edge.log_tail(), kamailio.log());
    edge.wait_until("it is registered", Duration::from_secs(5), |_| Ok(asked()? == 200))
        .with_context(|| told(&edge))?;
    call(edge.udp).with_context(|| told(&edge))?;
    let sent = |edge: &Edge| edge.labelled("trunkgate_sip_requests_total", "method=\"REGISTER\",direction=\"out\"");
    let before = sent(&edge)?;
    std::thread::sleep(WHILE);
    let refreshes = sent(&edge)? - before;
    if asked()? != 200 || refreshes < 2.0 {
        bail!("after {WHILE:?} and {refreshes} refreshes Kamailio says {}", asked()?);
    }
    call(edge.udp).context("after refreshes").with_context(|| told(&edge))?;
    edge.end()?;
    if asked()? != 404 {
        bail!("after its end it is still registered\n{}", edge.log_tail());
    }
    Ok(format!(
        "registered with SHA-256, refreshed {refreshes} times in {WHILE:?}, 2 calls delivered, taken back at its end"
    ))
}

/// Returns Kamailio's response to OPTIONS: 200 while the edge is registered, else 404.
fn asked() -> anyhow::Result<u16> {
    let socket = UdpSocket::bind((CARRIER, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let here = socket.local_addr()?;
    let port = here.port();
    let request = format!(
        "OPTIONS sip:acme@{REGISTRAR} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKasked{port}\r\nMax-Forwards: 70\r\n\
         From: <sip:asks@{here}>;tag=1\r\nTo: <sip:acme@{REGISTRAR}>\r\nCall-ID: asked-{port}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), REGISTRAR)?;
    let mut buffer = [0; 2_048];
    let n = socket.recv(&mut buffer).context("Kamailio says nothing")?;
    let answer = Text(String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()).into_owned());
    answer.code().with_context(|| answer.0.clone())
}

/// Calls a number that Kamailio delivers to the edge's Contact, and that the edge sends to the PBX by the To header.
fn call(edge: std::net::SocketAddr) -> anyhow::Result<()> {
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let callee = Phone::new(PBX, 5060, "callee")?;
    std::thread::scope(|scope| {
        let far = scope.spawn(|| {
            callee.answer()?;
            callee.expect_bye()
        });
        let call = caller.call(REGISTRAR.parse()?, "+14155550123")?;
        if call.media.ip() != edge.ip() {
            bail!("media at {} instead of the edge", call.media);
        }
        caller.bye(&call)?;
        far.join().map_err(|_| anyhow!("the callee panicked"))?
    })
}
