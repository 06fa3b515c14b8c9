//! Delay of a caller for each kind of dead target, measured at the caller.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::tls_kamailio::Authority;
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::Phone;
use crate::interop::sipp::{CARRIER, Callee, PBX};

const DEAD: &str = "127.0.0.4";
/// Maximum delay caused by a visibly dead target; for a silent one, maximum delay beyond its timeout.
const AT_ONCE: Duration = Duration::from_millis(500);
/// `no_response_timeout` of the silent targets.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tests every kind of dead target, followed by the PBX.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let (ours, other) = (Authority::new(at, "authority")?, Authority::new(at, "other")?);
    ours.issue(at, "edge", &["edge.test"])?;
    other.issue(at, "stranger", &["127.0.0.1"])?;
    // A port that was free a moment ago refuses packets.
    let closed_udp = UdpSocket::bind((DEAD, 0))?.local_addr()?;
    let closed_tcp = TcpListener::bind((DEAD, 0))?.local_addr()?;
    let (silent_udp, silent_tcp) = (UdpSocket::bind((DEAD, 0))?, TcpListener::bind((DEAD, 0))?);
    let busy = Phone::new(DEAD, 0, "busy")?;
    let untrusted = Edge::start(&listener(at, "stranger"))?;
    let kinds: [(&str, String, Duration); 6] = [
        ("503", format!("sip:{}", busy.sip.local_addr()?), Duration::ZERO),
        ("closed UDP port", format!("sip:{closed_udp}"), Duration::ZERO),
        ("closed TCP port", format!("sip:{closed_tcp};transport=tcp"), Duration::ZERO),
        ("TLS failure", format!("sip:{};transport=tls", untrusted.tls.context("no TLS listener")?), Duration::ZERO),
        ("silence by UDP", format!("sip:{}", silent_udp.local_addr()?), PATIENCE),
        ("silence by TCP", format!("sip:{};transport=tcp", silent_tcp.local_addr()?), PATIENCE),
    ];
    // Broken: the route has no second target.
    let second = if setting.sabotage { "" } else { ", \"trunk:pbx\"" };
    let trunks: String = (0..)
        .zip(&kinds)
        .map(|(n, (_, uri, _))| {
            let ca = format!("tls = {{ ca = \"{}/authority.pem\" }}\n", at.display());
            let tls = if uri.ends_with("tls") { ca.as_str() } else { "" };
            format!(
                "[trunk.dead{n}]\noptions_interval = \"0s\"\nno_response_timeout = \"1s\"\npeers = [\"{uri}\"]\n{tls}\
                 [[route]]\nto = [\"+1415555010{n}\"]\nconnect = [\"trunk:dead{n}\"{second}]\n"
            )
        })
        .collect();
    let edge = Edge::start(&format!(
        "{}[trunk.carrier]\noptions_interval = \"0s\"\naccept_from = [\"{CARRIER}/32\"]\n\
         [trunk.pbx]\noptions_interval = \"0s\"\npeers = [\"sip:{PBX}:5060\"]\n{trunks}",
        listener(at, "edge")
    ))?;
    let _callee = Callee::start(PBX, 5060)?;
    let ended = AtomicBool::new(false);
    let figures = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                if let Ok(Some((request, from))) = busy.receive(Duration::from_millis(100))
                    && request.first().starts_with("INVITE ")
                {
                    drop(busy.reply(&request, from, "503 Service Unavailable", ""));
                }
            }
        });
        let figures = measured(edge.udp, &kinds, setting.calls(20, 3)).with_context(|| edge.log_tail());
        ended.store(true, Ordering::Relaxed);
        figures
    })?;
    Ok(figures)
}

/// Makes some calls to each kind of dead target; returns the longest delay of each kind.
fn measured(edge: SocketAddr, kinds: &[(&str, String, Duration)], calls: u32) -> anyhow::Result<String> {
    let mut figures = Vec::new();
    for (n, (kind, _, patience)) in kinds.iter().enumerate() {
        let mut longest = Duration::ZERO;
        let calls = if patience.is_zero() { calls } else { 1 };
        for _ in 0..calls {
            let caller = Phone::new(CARRIER, 0, "caller")?;
            let began = Instant::now();
            let call = caller.call(edge, &format!("+1415555010{n}")).with_context(|| (*kind).to_owned())?;
            longest = longest.max(began.elapsed());
            caller.bye(&call)?;
        }
        if longest < *patience || longest > *patience + AT_ONCE {
            bail!("{kind}: answered after {longest:?}; {patience:?} to {:?} expected", *patience + AT_ONCE);
        }
        figures.push(format!("{kind} {} ms", longest.as_millis()));
    }
    Ok(figures.join(", "))
}

/// Returns the configuration of a TLS listener with this certificate.
fn listener(folder: &Path, name: &str) -> String {
    let at = folder.display();
    format!(
        "[[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\ncertificate = \"{at}/{name}.pem\"\n\
         private_key = \"{at}/{name}.key\"\n"
    )
}
