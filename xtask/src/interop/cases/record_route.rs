//! Kamailio in front of a party with an unreachable Contact: every request in the dialog follows the route set.

use std::net::UdpSocket;

use anyhow::{Context as _, anyhow, bail};

use super::kamailio::Kamailio;
use super::tls_kamailio::{Authority, tls_configuration};
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::Phone;
use crate::interop::sipp::{CARRIER, PBX};

const CONFIGURATION: &str = include_str!("../scenarios/kamailio_double.cfg");
/// Host in the party's Contact, watched for packets that must not arrive there.
const PRIVATE: &str = "127.0.9.9";
/// Socket of Kamailio that receives the party's requests.
const INSIDE: &str = "127.0.0.5:5081";

/// Makes calls in both directions, each with a hold; either side ends them.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let authority = Authority::new(at, "authority")?;
    authority.issue(at, "edge", &["127.0.0.1"])?;
    authority.issue(at, "kamailio", &["127.0.0.5"])?;
    let certificate = format!("certificate = \"{0}/edge.pem\"\nprivate_key = \"{0}/edge.key\"", at.display());
    let edge = Edge::start(&format!(
        r#"
[[listen]]
transport = "tls"
address = "127.0.0.1:0"
{certificate}
[trunk.upstream]
options_interval = "0s"
peers = ["sip:127.0.0.5:5061;transport=tls"]
media_from = ["127.0.0.3/32"]
tls = {{ ca = "{at}/authority.pem", certificate = "{at}/edge.pem", private_key = "{at}/edge.key" }}
[trunk.carrier]
options_interval = "0s"
peers = ["sip:{CARRIER}:5070"]
[[route]]
from = ["carrier"]
connect = ["trunk:upstream"]
[[route]]
from = ["upstream"]
connect = ["trunk:carrier"]
"#,
        at = at.display()
    ))?;
    std::fs::write(at.join("tls.cfg"), tls_configuration(at))?;
    // Broken: Kamailio does not add Record-Route.
    let record = if setting.sabotage { "" } else { "record_route();" };
    let text = CONFIGURATION.replace("TLS_CFG", &at.join("tls.cfg").display().to_string());
    let text = text.replace("EDGE", &edge.tls.context("no TLS listener")?.to_string());
    let kamailio = Kamailio::start(&text.replace("PRIVATE", PRIVATE).replace("RECORD_ROUTE", record))?;
    let watched = UdpSocket::bind((PRIVATE, 5060))?;
    watched.set_nonblocking(true)?;

    let near = Phone::new(CARRIER, 5070, "near")?;
    let mut far = Phone::new(PBX, 5060, "far")?;
    far.contact = Some(format!("sip:far@{PRIVATE}:5060;transport=udp"));
    let mut calls = 0;
    let outcome = (|| -> anyhow::Result<()> {
        for (caller, callee, first) in [(&near, &far, edge.udp), (&far, &near, INSIDE.parse()?)] {
            for caller_ends in [true, false] {
                let what =
                    format!("a call of {:?}, ended by its {}", first, if caller_ends { "caller" } else { "callee" });
                call(caller, callee, first, caller_ends).with_context(|| what)?;
                calls += 1;
            }
        }
        Ok(())
    })();
    let mut buffer = [0; 2_048];
    if let Ok(n) = watched.recv(&mut buffer) {
        let text = String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()).into_owned();
        bail!("sent to a Contact that only Kamailio reaches:\n{text}\n{outcome:?}");
    }
    outcome
        .with_context(|| format!("{}\n{}", edge.only_trace().unwrap_or_else(|_| edge.log_tail()), kamailio.log()))?;
    edge.no_dialog_is_left()?;
    Ok(format!("{calls} calls with hold over two Record-Routes, TLS and UDP, nothing sent to the private Contact"))
}

/// Makes a call in which the callee holds and resumes, and the caller holds; then one of them ends the call.
fn call(caller: &Phone, callee: &Phone, first: std::net::SocketAddr, caller_ends: bool) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let far = scope.spawn(|| -> anyhow::Result<()> {
            let mut call = callee.answer()?;
            callee.reinvite(&mut call, "sendonly")?;
            callee.reinvite(&mut call, "sendrecv")?;
            callee.expect_reinvite()?;
            if caller_ends { callee.expect_bye() } else { callee.bye(&call) }
        });
        let mut call = caller.call(first, "+14155550100")?;
        caller.expect_reinvite()?;
        caller.expect_reinvite()?;
        caller.reinvite(&mut call, "sendonly")?;
        if caller_ends { caller.bye(&call) } else { caller.expect_bye() }?;
        far.join().map_err(|_| anyhow!("the callee panicked"))?
    })
}
