//! Microsoft Teams Direct Routing as documented: three hubs by name, mutual TLS with server-only certificates, and a
//! hub that rejects an edge whose name differs from its certificate.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context as _, anyhow, bail};

use super::tls_kamailio::Authority;
use crate::interop::Setting;
use crate::interop::edge::{Edge, LISTENERS, binary};
use crate::interop::hub::{self, Arrival, Description, Hub, Identity, Line, Media};
use crate::interop::names;
use crate::interop::raw::{Phone, Text, number_of, numbered_tone, serial, uri};
use crate::interop::sipp::CARRIER;

/// Host name of the edge in Teams and in its certificate.
const HOST: &str = "sbc.example.com";
/// Names in the preset in order, each with the address of its hub.
const HUBS: [(&str, Ipv4Addr); 3] = [
    ("sip.pstnhub.microsoft.com", Ipv4Addr::new(127, 0, 0, 5)),
    ("sip2.pstnhub.microsoft.com", Ipv4Addr::new(127, 0, 0, 6)),
    ("sip3.pstnhub.microsoft.com", Ipv4Addr::new(127, 0, 0, 7)),
];
/// Codecs common to Teams and the edge, with DTMF and comfort noise.
const CODECS: [&str; 5] = ["PCMU", "PCMA", "G722", "telephone-event", "CN"];
/// Number of packets in each direction: 3 s.
const PACKETS: u32 = 150;
/// Telephone number of a Teams user.
const USER: &str = "+14155550123";

/// Tests the edge's names, OPTIONS, calls in both directions, a transfer, and the order of the hubs.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "authority")?;
    authority.issue_for_servers(folder.path(), "edge", &[HOST])?;
    authority.issue_for_servers(folder.path(), "hub", &HUBS.map(|(name, _)| name))?;
    // Broken: the edge's name differs from its certificate.
    let named = if setting.sabotage { "other.example.com" } else { HOST };
    let carrier = Phone::new(CARRIER, 5070, "carrier")?;
    let mut teams = Teams::start(folder.path())?;
    let mut command = Command::new(binary());
    command.env("TRUNKGATE_DNS", names::serve(&HUBS)?.to_string());
    let edge = Edge::start_as(command, &configuration(folder.path(), named))?;
    let told = || format!("{}\n{}", edge.newest_trace().unwrap_or_default(), edge.log_tail());
    teams.at(edge.tls.context("no TLS listener")?);
    teams.is_asked().with_context(told)?;
    teams.asks().with_context(told)?;
    let out = calls_a_user(&mut teams, &carrier, &edge).context("a call to a user").with_context(told)?;
    let back = is_called_by_a_user(&mut teams, &carrier, &edge).context("a call of a user").with_context(told)?;
    teams.first_is_down();
    falls_to_the_second(&mut teams, &carrier, &edge).context("without the first hub").with_context(told)?;
    let heard: usize = out.iter().chain(&back).sum();
    Ok(format!(
        "OPTIONS both ways, {heard} packets of SRTP with MKI bit-identical in two calls and after a transfer to a user, {} messages with the \
         edge's name; without the first hub the second is called",
        teams.judged
    ))
}

/// Returns the configuration of a carrier over UDP, and of Teams by its preset.
fn configuration(folder: &Path, named: &str) -> String {
    let at = folder.display();
    format!(
        r#"{LISTENERS}
[[listen]]
name = "teams"
transport = "tls"
address = "127.0.0.1:0"
certificate = "{at}/edge.pem"
private_key = "{at}/edge.key"
client_ca = "{at}/authority.pem"
[trunk.teams]
preset = "microsoft-teams"
contact_host = "{named}"
accept_from = ["127.0.0.5/32", "127.0.0.6/32", "127.0.0.7/32"]
media_from = ["127.0.0.0/8"]
tls = {{ ca = "{at}/authority.pem", certificate = "{at}/edge.pem", private_key = "{at}/edge.key", names = ["sip.pstnhub.microsoft.com"], client_certificate_usage = "any" }}
[trunk.carrier]
options_interval = "0s"
peers = ["sip:{CARRIER}:5070"]
[[route]]
from = ["carrier"]
connect = ["trunk:teams"]
[[route]]
from = ["teams"]
connect = ["trunk:carrier"]
"#
    )
}

/// Simulated hubs of Teams.
struct Teams {
    hubs: Vec<Hub>,
    arrivals: Receiver<anyhow::Result<Arrival>>,
    edge: Option<SocketAddr>,
    /// Number of messages in which the edge's name was verified.
    judged: usize,
    /// Hubs that the edge has probed.
    asked: Vec<SocketAddr>,
}

/// Call at a hub of Teams.
struct Call {
    line: Line,
    call_id: String,
    us: String,
    them: String,
    target: String,
    cseq: u32,
    /// Number that distinguishes the branches of this call from those of others.
    serial: u32,
}

impl Teams {
    fn start(folder: &Path) -> anyhow::Result<Teams> {
        let identity = Identity::read(folder, "hub", HOST)?;
        let (sender, arrivals): (Sender<_>, _) = channel();
        let hubs = HUBS.iter().map(|(_, ip)| Hub::start(*ip, &identity, &sender));
        let hubs = hubs.collect::<anyhow::Result<_>>()?;
        Ok(Teams { hubs, arrivals, edge: None, judged: 0, asked: Vec::new() })
    }

    fn at(&mut self, edge: SocketAddr) {
        self.edge = Some(edge);
    }

    fn first_is_down(&mut self) {
        drop(self.hubs.remove(0));
    }

    /// Returns the next message with this beginning. OPTIONS are answered, and the edge's name in every message is
    /// verified.
    fn expect(&mut self, beginning: &str) -> anyhow::Result<(Line, Text)> {
        loop {
            let Arrival { line, text } =
                hub::next(&self.arrivals).with_context(|| format!("waiting for {beginning}"))?;
            self.judge(&text).with_context(|| text.0.clone())?;
            if text.first().starts_with("OPTIONS ") {
                line.send(&answer(&text, "200 OK", ""))?;
                self.asked.push(line.local);
            }
            if text.first().starts_with(beginning) {
                return Ok((line, text));
            }
        }
    }

    /// Fails unless a message names the edge as Microsoft requires.
    fn judge(&mut self, text: &Text) -> anyhow::Result<()> {
        let method = text.header("CSeq").split(' ').nth(1).unwrap_or_default();
        let (is_request, is_accepted) = (text.code().is_none(), text.code().is_some_and(|code| code / 100 == 2));
        let is_judged = match method {
            "INVITE" | "NOTIFY" | "REFER" | "UPDATE" => is_request || is_accepted,
            // Contact is not part of its answer (RFC 3261 §11.2).
            "OPTIONS" => is_request,
            _ => false,
        };
        let makes_known = (is_request && !text.header("To").contains(";tag=")) || is_accepted;
        if makes_known && matches!(method, "INVITE" | "OPTIONS") {
            let allow = text.header("Allow");
            if !["REFER", "NOTIFY"].iter().all(|method| allow.split(", ").any(|one| one == *method)) {
                bail!("Allow without REFER and NOTIFY: {allow:?}");
            }
        }
        if !is_judged {
            return Ok(());
        }
        let port = self.edge.map_or(0, |edge| edge.port());
        let contact = uri(text.header("Contact"));
        let host = contact.trim_start_matches("sip:").rsplit('@').next().unwrap_or_default();
        if host != format!("{HOST}:{port};transport=tls") {
            bail!("403: Contact {contact:?} does not have the host name of the certificate, {HOST}");
        }
        if is_request && !text.header("To").contains(";tag=") {
            let from = uri(text.header("From"));
            let host = from.trim_start_matches("sip:").rsplit('@').next().unwrap_or_default();
            if host.split([':', ';']).next() != Some(HOST) {
                bail!("403: From {from:?} does not have the host name of the certificate, {HOST}");
            }
        }
        self.judged += 1;
        Ok(())
    }

    /// Waits until the edge has probed each hub by OPTIONS.
    fn is_asked(&mut self) -> anyhow::Result<()> {
        while HUBS.iter().any(|(_, ip)| !self.asked.iter().any(|asked| asked.ip() == *ip)) {
            self.expect("OPTIONS ").context("OPTIONS of the edge to each hub")?;
        }
        Ok(())
    }

    /// Sends a REFER in a call and waits for the 202.
    fn refers(&mut self, call: &mut Call, headers: &str) -> anyhow::Result<()> {
        call.send("REFER", headers, "")?;
        match self.expect("SIP/2.0 ")? {
            (_, accepted) if accepted.code() == Some(202) => Ok(()),
            (_, other) => bail!("{} instead of 202 to REFER", other.first()),
        }
    }

    /// Connects to the edge as a hub.
    fn connect(&self) -> anyhow::Result<Line> {
        let hub = self.hubs.first().context("no hub")?;
        hub.connect(self.edge.context("no edge")?, HOST)
    }

    /// Sends OPTIONS to the edge, with a server-only certificate.
    fn asks(&mut self) -> anyhow::Result<()> {
        let line = self.connect()?;
        let call = Call::new(&line, HOST, "", self.edge);
        line.send(&call.request("OPTIONS", 1, "", ""))?;
        let (_, ok) = self.expect("SIP/2.0 ").context("OPTIONS of a hub")?;
        match ok.code() {
            Some(200) => Ok(()),
            _ => bail!("{} instead of 200 to OPTIONS", ok.first()),
        }
    }
}

impl Call {
    /// Creates a call from a user (`who` with an @, or empty) to a number of the edge.
    fn new(line: &Line, host: &str, who: &str, edge: Option<SocketAddr>) -> Call {
        let serial = serial();
        let port = edge.map_or(0, |edge| edge.port());
        let target = format!("sip:{}{host}:{port};transport=tls", if who.is_empty() { "" } else { "+14155550100@" });
        Call {
            line: line.clone(),
            call_id: format!("teams-{serial}"),
            us: format!("<sip:{who}sip.pstnhub.microsoft.com:5061>;tag=hub{serial}"),
            them: format!("<{target}>"),
            target,
            cseq: 1,
            serial,
        }
    }

    /// Returns the call for an INVITE that was answered.
    fn answered(line: &Line, invite: &Text) -> Call {
        Call {
            line: line.clone(),
            call_id: invite.header("Call-ID").to_owned(),
            us: format!("{};tag=hub", invite.header("To")),
            them: invite.header("From").to_owned(),
            target: uri(invite.header("Contact")),
            cseq: 0,
            serial: serial(),
        }
    }

    /// Returns the text of a request in the call.
    fn request(&self, method: &str, cseq: u32, headers: &str, body: &str) -> String {
        let here = self.line.local;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/TLS {here};branch=z9hG4bKhub{}{method}{cseq}\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=1;x-c=2>\r\n\
             Record-Route: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>\r\nUser-Agent: Microsoft.PSTNHub.SIPProxy v.2026.1.1.1 i.EUWE.0\r\n\
             Allow: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            self.target,
            self.serial,
            self.us,
            self.them,
            self.call_id,
            body.len()
        )
    }

    /// Sends the next request of the call.
    fn send(&mut self, method: &str, headers: &str, body: &str) -> anyhow::Result<()> {
        self.cseq += 1;
        self.line.send(&self.request(method, self.cseq, headers, body))
    }
}

/// Returns the response to a request.
fn answer(request: &Text, status: &str, body: &str) -> String {
    let vias: String = request.all("Via").map(|via| format!("Via: {via}\r\n")).collect();
    let tag = if request.header("To").contains(";tag=") { "" } else { ";tag=hub" };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=1;x-c=2>\r\nRecord-Route: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>\r\n\
         Allow: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        request.header("From"),
        request.header("To"),
        request.header("Call-ID"),
        request.header("CSeq"),
        body.len()
    )
}

/// Checks that each side received all packets of the other's tone.
fn whole(heard: [usize; 2]) -> anyhow::Result<Vec<usize>> {
    let all = usize::try_from(PACKETS)?;
    match heard {
        [there, back] if there == all && back == all => Ok(heard.to_vec()),
        [there, back] => bail!("{there} and {back} of {PACKETS} packets came bit-identical"),
    }
}

/// Returns the number of packets of a numbered tone that the carrier received.
fn heard_by(carrier: &Phone, to: SocketAddr) -> anyhow::Result<usize> {
    let heard = carrier.talk(to, &numbered_tone(PACKETS))?;
    Ok(heard.values().filter_map(|payload| number_of(payload)).count())
}

/// Tests a call from the carrier to a user: names and codecs of the INVITE, audio, a re-INVITE, and a transfer to a
/// number.
fn calls_a_user(teams: &mut Teams, carrier: &Phone, edge: &Edge) -> anyhow::Result<Vec<usize>> {
    let udp = edge.udp;
    let media = Media::new("127.0.0.5", 3)?;
    std::thread::scope(|scope| {
        let near = scope.spawn(move || -> anyhow::Result<(usize, SocketAddr)> {
            // The re-INVITE removes PCMA.
            let offer = carrier.sdp()?.replace("RTP/AVP 0\r\n", "RTP/AVP 0 8\r\na=rtpmap:8 PCMA/8000\r\n");
            let mut call = carrier.call_with(udp, USER, &offer)?;
            let heard = heard_by(carrier, call.media)?;
            carrier.reinvite(&mut call, "sendrecv").context("the carrier's re-INVITE")?;
            Ok((heard, call.media))
        });
        let (line, invite) = teams.expect("INVITE ")?;
        if line.local.ip() != HUBS[0].1 || !invite.first().starts_with(&format!("INVITE sip:{USER}@")) {
            bail!("at {}: {}", line.local, invite.first());
        }
        let theirs = Description::of(&invite)?;
        if let Some(codec) = theirs.codecs.iter().find(|codec| !CODECS.contains(&codec.as_str())) {
            bail!("Teams has no {codec}");
        }
        line.send(&answer(&invite, "180 Ringing", ""))?;
        line.send(&answer(&invite, "200 OK", &media.described(1, "0", theirs.tag)?))?;
        teams.expect("ACK ")?;
        let there = media.talk(&theirs, PACKETS)?;
        // The edge passes the carrier's change on to Teams, with its name.
        let (line, again) = teams.expect("INVITE ").context("the carrier's re-INVITE")?;
        line.send(&answer(&again, "200 OK", &media.described(2, "0", Description::of(&again)?.tag)?))?;
        teams.expect("ACK ")?;
        let (back, edge) = near.join().map_err(|_| anyhow!("the carrier panicked"))??;
        let mut call = Call::answered(&line, &invite);
        transfers_to_a_number(teams, &mut call, carrier).context("a transfer to a number")?;
        let moved = transfers_to_a_user(teams, &mut call, (carrier, edge)).context("a transfer to a user")?;
        Ok([whole([there, back])?, moved].concat())
    })
}

/// Tests a transfer of the user's caller to a busy number of the edge: the caller stays connected to the user.
fn transfers_to_a_number(teams: &mut Teams, call: &mut Call, carrier: &Phone) -> anyhow::Result<()> {
    let port = teams.edge.map_or(0, |edge| edge.port());
    teams.refers(call, &format!("Refer-To: <sip:+12125550100@{HOST}:{port};user=phone;transport=tls>\r\n"))?;
    let (line, notify) = teams.expect("NOTIFY ")?;
    line.send(&answer(&notify, "200 OK", ""))?;
    let (invite, from) = carrier.called()?;
    if !invite.first().starts_with("INVITE sip:+12125550100@") {
        bail!("{} instead of the transfer's target", invite.first());
    }
    carrier.reply(&invite, from, "486 Busy Here", "")?;
    carrier.expect_ack()?;
    let (line, notify) = teams.expect("NOTIFY ")?;
    if !notify.0.ends_with("SIP/2.0 486 Busy Here\r\n") {
        bail!("the last NOTIFY does not have the number's answer:\n{}", notify.0);
    }
    line.send(&answer(&notify, "200 OK", ""))
}

/// Tests a transfer of the user's caller to another user without a number: Teams gets the INVITE, and both sides hear
/// each other.
fn transfers_to_a_user(
    teams: &mut Teams,
    call: &mut Call,
    (carrier, edge): (&Phone, SocketAddr),
) -> anyhow::Result<Vec<usize>> {
    let user = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:fce2158f-0e99-4ff7-a0b3-5b6b87d16689";
    let by = "<sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:bdc0511a-4a8d-48aa-bf1d-5ea6ef316e2a;x-t=2d88cb42;x-tt=ahr0%3d>";
    teams.refers(call, &format!("Refer-To: <{user}>\r\nReferred-By: {by}\r\n"))?;
    let media = Media::new("127.0.0.5", 47)?;
    let (mut target, mut is_told) = (None, false);
    while target.is_none() || !is_told {
        let (line, text) = teams.expect("")?;
        if text.first().starts_with("INVITE ") {
            if text.first() != format!("INVITE {user} SIP/2.0") || text.header("Referred-By") != by {
                bail!("Refer-To and Referred-By did not come back as they were:\n{}", text.0);
            }
            let theirs = Description::of(&text)?;
            line.send(&answer(&text, "200 OK", &media.described(1, "0", theirs.tag)?))?;
            target = Some((Call::answered(&line, &text), theirs));
        } else if text.first().starts_with("NOTIFY ") {
            line.send(&answer(&text, "200 OK", ""))?;
            is_told = text.0.ends_with("SIP/2.0 200 OK\r\n");
        }
    }
    call.send("BYE", "", "")?;
    teams.expect("SIP/2.0 200")?;
    let (mut target, theirs) = target.context("no call to the other user")?;
    let heard = std::thread::scope(|scope| {
        let near = scope.spawn(|| heard_by(carrier, edge));
        let there = media.talk(&theirs, PACKETS)?;
        let back = near.join().map_err(|_| anyhow!("the carrier panicked"))??;
        whole([there, back])
    })?;
    target.send("BYE", "", "")?;
    teams.expect("SIP/2.0 200")?;
    carrier.expect_bye()?;
    Ok(heard)
}

/// Tests a call from a user to a number at the carrier: names in the 200s, audio, and a re-INVITE of Teams.
fn is_called_by_a_user(teams: &mut Teams, carrier: &Phone, edge: &Edge) -> anyhow::Result<Vec<usize>> {
    let media = Media::new("127.0.0.5", 91)?;
    let line = teams.connect()?;
    let mut call = Call::new(&line, HOST, &format!("{USER}@"), edge.tls);
    line.send(&call.request("INVITE", 1, "", &media.described(1, "0 13", 1)?))?;
    std::thread::scope(|scope| {
        let far = scope.spawn(move || -> anyhow::Result<usize> {
            let answered = carrier.answer()?;
            let heard = heard_by(carrier, answered.media)?;
            carrier.expect_reinvite()?;
            carrier.expect_bye()?;
            Ok(heard)
        });
        let (_, ok) = teams.expect("SIP/2.0 200")?;
        call.them = ok.header("To").to_owned();
        call.target = uri(ok.header("Contact"));
        line.send(&call.request("ACK", 1, "", ""))?;
        let theirs = Description::of(&ok)?;
        let there = media.talk(&theirs, PACKETS)?;
        // This offer has no comfort noise.
        call.send("INVITE", "", &media.described(2, "0", 1)?)?;
        teams.expect("SIP/2.0 200").context("a re-INVITE of Teams")?;
        line.send(&call.request("ACK", call.cseq, "", ""))?;
        call.send("BYE", "", "")?;
        teams.expect("SIP/2.0 200")?;
        let back = far.join().map_err(|_| anyhow!("the carrier panicked"))??;
        whole([there, back])
    })
}

/// Tests failover: the hub of the first name is down, so the edge calls the second one.
fn falls_to_the_second(teams: &mut Teams, carrier: &Phone, edge: &Edge) -> anyhow::Result<()> {
    let udp = edge.udp;
    std::thread::scope(|scope| {
        let near = scope.spawn(move || carrier.call(udp, USER));
        // The first hub may have read requests before its connection was closed; they are not answered.
        let (line, invite) = loop {
            let (line, invite) = teams.expect("INVITE ")?;
            if line.local.ip() != HUBS[0].1 {
                break (line, invite);
            }
        };
        if line.local.ip() != HUBS[1].1 {
            bail!("{} was called instead of the second hub", line.local);
        }
        line.send(&answer(&invite, "486 Busy Here", ""))?;
        teams.expect("ACK ")?;
        match near.join().map_err(|_| anyhow!("the carrier panicked"))? {
            Err(error) if error.to_string().contains("486") => Ok(()),
            other => bail!("{other:?} instead of 486"),
        }
    })
}
