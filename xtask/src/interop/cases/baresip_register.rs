//! baresip behind a NAT registers at the edge, and is called over the flow of its registration. This version of baresip
//! supports only MD5, and gives up if another algorithm is offered too.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::tls_kamailio::Authority;
use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::edge::Edge;
use crate::interop::nat::Nat;
use crate::interop::raw::{Phone, numbered_tone};
use crate::interop::sipp::{CARRIER, Callee, PBX};

/// IP address of the phone, as in its Via and Contact.
const PRIVATE: &str = "127.0.0.10";
/// Addresses of the NAT towards the phone and the edge. On loopback, baresip's RTP comes from the one towards the edge.
const INSIDE: &str = "127.0.0.7";
const OUTSIDE: &str = "127.0.0.1";
const PATIENCE: Duration = Duration::from_secs(10);
/// Number of packets of 20 ms in a call.
const PACKETS: u32 = 50;

/// Tests a phone over UDP, then over TLS.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    Authority::new(at, "authority")?.issue(at, "edge", &[INSIDE])?;
    let mut figures = Vec::new();
    for transport in ["udp", "tls"] {
        figures.push(registered(setting, at, transport).with_context(|| format!("by {transport}"))?);
    }
    Ok(figures.join("; "))
}

fn registered(setting: &Setting, folder: &Path, transport: &str) -> anyhow::Result<String> {
    let edge = Edge::start(&format!(
        r#"
[[listen]]
transport = "tls"
address = "127.0.0.1:0"
certificate = "{folder}/edge.pem"
private_key = "{folder}/edge.key"
[trunk.phones]
options_interval = "0s"
accept_register = true
require_auth = {{ username = "desk", password = "a-right-one", algorithms = ["MD5"] }}
[trunk.carrier]
options_interval = "0s"
accept_from = ["{CARRIER}/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:{PBX}:5060"]
[[route]]
from = ["carrier"]
connect = ["trunk:phones"]
[[route]]
from = ["phones"]
connect = ["trunk:pbx"]
"#,
        folder = folder.display()
    ))?;
    let nat = match edge.tls.filter(|_| transport == "tls") {
        Some(tls) => Nat::tcp(INSIDE, tls)?,
        None => Nat::udp(INSIDE, OUTSIDE, edge.udp)?,
    };
    let mut phone = start(setting, folder, transport, nat.inside)?;
    let told = |phone: &Baresip| format!("{}\n{}", edge.log_tail(), phone.log());
    phone.wait_for("200 OK", PATIENCE).with_context(|| told(&phone))?;
    for round in ["after it registered", "after a reload"] {
        let heard = called(&edge).with_context(|| round.to_owned()).with_context(|| told(&phone))?;
        if heard < PACKETS as usize / 2 {
            bail!("{round}: only {heard} packets of its tone were heard\n{}", told(&phone));
        }
        edge.reload()?;
    }
    over_the_flow(&edge, &nat, transport)?;
    phone.end(PATIENCE)?;
    edge.wait_until("it is no longer there", PATIENCE, |edge| {
        Ok(Phone::new(CARRIER, 0, "caller")?.call(edge.udp, "+14155550100").is_err())
    })?;
    let phone = start(setting, folder, transport, nat.inside)?;
    phone.wait_for("200 OK", PATIENCE).with_context(|| told(&phone))?;
    let out = calls_out(&edge, &phone, nat.inside).with_context(|| told(&phone))?;
    Ok(format!("{transport}: 2 calls over its flow, one of them after a reload, none once it had ended, {out}"))
}

/// Starts a phone that registers at the edge through the NAT.
fn start(setting: &Setting, folder: &Path, transport: &str, inside: SocketAddr) -> anyhow::Result<Baresip> {
    // Broken: the phone has another password.
    let password = if setting.sabotage { "a-wrong-one" } else { "a-right-one" };
    let credentials = format!("auth_user=desk;auth_pass={password}");
    Baresip::start(&Setup {
        ip: PRIVATE,
        port: 0,
        account: &format!(
            "<sip:desk@{inside};transport={transport}>;{credentials};regint=60;answermode=auto;audio_codecs=PCMU"
        ),
        says: wav(440),
        ca: Some(&folder.join("authority.pem")),
        dial: None,
        lasts: None,
    })
}

/// Calls the phone; returns the number of packets that the phone sends while it receives as many.
fn called(edge: &Edge) -> anyhow::Result<usize> {
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let call = caller.call(edge.udp, "+14155550100")?;
    let heard = caller.talk(call.media, &numbered_tone(PACKETS))?;
    caller.bye(&call)?;
    Ok(heard.len())
}

/// Checks that both calls came through the NAT, and that nothing else was tried.
fn over_the_flow(edge: &Edge, nat: &Nat, transport: &str) -> anyhow::Result<()> {
    let (invites, connections) = (nat.came_back("INVITE "), nat.connections());
    if transport == "udp" && invites != 2 {
        bail!("{invites} INVITEs came by the flow instead of 2");
    }
    let open = edge.metric("trunkgate_sip_connections_active")?;
    if transport == "tls" && (connections != 1 || open != 1.0) {
        bail!("{connections} connections of the phone, {open} open");
    }
    Ok(())
}

/// Makes a call from the phone: the edge challenges it, and the PBX answers. Later requests go to the edge's Contact,
/// which this NAT does not forward.
fn calls_out(edge: &Edge, phone: &Baresip, inside: SocketAddr) -> anyhow::Result<&'static str> {
    let _callee = Callee::start(PBX, 5060)?;
    let asked =
        |edge: &Edge| edge.labelled("trunkgate_sip_responses_total", "trunk=\"phones\",method=\"INVITE\",code=\"401\"");
    let before = asked(edge)?;
    phone.command("dial", &format!("sip:+14155550123@{inside}"))?;
    phone.wait_for("Call established: sip:+14155550123", PATIENCE)?;
    if asked(edge)? <= before {
        bail!("its call was not asked for credentials");
    }
    Ok("one call of its own")
}
