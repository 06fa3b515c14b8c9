//! INVITE with a trunk's forged source address and a victim's media address.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio_tungstenite::tungstenite::Message;

use crate::interop::Setting;
use crate::interop::bots::{Bot, Manner};
use crate::interop::edge::Edge;
use crate::interop::raw::Phone;
use crate::interop::sipp::CARRIER;

const VICTIM: &str = "127.0.0.77";
/// Number of forged INVITEs, one call each.
const CALLS: u32 = 4;
/// Time longer than the retransmissions of a 2xx without ACK (RFC 3261 §13.3.1.4), and so than a forged call.
const WHOLE: Duration = Duration::from_secs(36);
const QUICK: Duration = Duration::from_secs(6);

fn configuration(agent: &Bot, sabotage: bool) -> String {
    // Broken: the victim's address belongs to the trunk.
    let media_from = if sabotage { format!("media_from = [\"{VICTIM}/32\"]\n") } else { String::new() };
    format!(
        "[trunk.carrier]\naccept_from = [\"{CARRIER}/32\"]\n{media_from}[agent.bot]\nurl = \"{}\"\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:bot\"]\n",
        agent.url()
    )
}

fn invite(here: SocketAddr, edge: SocketAddr, victim: SocketAddr, n: u32) -> String {
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP 0\r\n",
        victim.ip(),
        victim.port()
    );
    format!(
        "INVITE sip:+14155550100@{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKforged{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:+14155551234@{here}>;tag=f{n}\r\nTo: <sip:+14155550100@{edge}>\r\nCall-ID: forged-{n}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:x@{here}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends forged INVITEs to an agent that sends audio at once; then makes a genuine call, in which the agent is heard.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // One minute of audible audio.
    let greeting = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "ECAw".repeat(60 * 8_000 / 3));
    let agent = Bot::start(Manner::Say(vec![Message::text(greeting)]))?;
    let mut edge = Edge::start(&configuration(&agent, setting.sabotage))?;
    // The forger has the carrier's address, and ignores responses, which a real forger would not see.
    let forger = UdpSocket::bind((CARRIER, 0))?;
    let victim = UdpSocket::bind((VICTIM, 40_000))?;
    let victim_rtcp = UdpSocket::bind((VICTIM, 40_001))?;
    for socket in [&victim, &victim_rtcp] {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    }
    let mut sent = 0;
    for n in 0..CALLS {
        let text = invite(forger.local_addr()?, edge.udp, victim.local_addr()?, n);
        sent += forger.send_to(text.as_bytes(), edge.udp)?;
    }
    let (mut packets, mut bytes) = (0, 0);
    let (began, mut buffer) = (Instant::now(), [0; 2_048]);
    while began.elapsed() < if setting.quick { QUICK } else { WHOLE } {
        for socket in [&victim, &victim_rtcp] {
            while let Ok(n) = socket.recv(&mut buffer) {
                (packets, bytes) = (packets + 1, bytes + n);
            }
        }
    }
    if packets > 0 {
        bail!("{packets} packets with {bytes} bytes went to the victim of {CALLS} INVITEs with {sent} bytes");
    }
    let withheld = edge.labelled("trunkgate_rtp_dropped_total", "reason=\"withheld\"")?;
    if withheld < 100.0 {
        bail!("only {withheld} packets were withheld: the agent was not heard at all");
    }
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let call = caller.call(edge.udp, "+14155550100")?;
    caller.rtp.set_read_timeout(Some(Duration::from_secs(5)))?;
    let heard = caller.rtp.recv(&mut buffer)?;
    caller.bye(&call)?;
    edge.assert_alive()?;
    Ok(format!(
        "{sent} bytes in {CALLS} forged INVITEs: 0 packets to the victim, {withheld} withheld; an honest caller hears {heard} bytes"
    ))
}
