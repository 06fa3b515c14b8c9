//! Callers at a rate, in one thread with one UDP socket: the edge answers each call and hangs up.

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::NUMBER;
use crate::bench::dialer::sdp;
use crate::bench::speech::Codec;
use crate::interop::raw::Text;
use crate::interop::sipp::CARRIER;

/// Time for calls still in progress at the end.
const LINGER: Duration = Duration::from_secs(5);

/// Results of the calls of a run.
#[derive(Debug)]
pub(super) struct Seen {
    calls: usize,
    served: usize,
    /// Times from INVITE to 200 OK, sorted.
    took: Vec<Duration>,
    cpu: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |per_cent: usize| {
            let found = self.took.get((self.took.len() * per_cent / 100).min(self.took.len().saturating_sub(1)));
            found.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
        };
        write!(
            f,
            "{} | {} | {:.1} ms | {:.1} ms | {:.2} ms |",
            self.served,
            self.calls - self.served,
            at(50),
            at(95),
            self.cpu.as_secs_f64() * 1e3 / self.calls.max(1) as f64
        )
    }
}

/// Call for which no BYE has arrived yet.
#[derive(Debug)]
struct Open {
    began: Instant,
    is_answered: bool,
}

/// Makes calls at a rate for this many seconds; `cpu` returns the CPU time of the edge so far.
pub(super) fn drive(
    edge: SocketAddr,
    rate: u32,
    seconds: u32,
    cpu: &dyn Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Seen> {
    let socket = UdpSocket::bind((CARRIER, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    let media = UdpSocket::bind((CARRIER, 0))?;
    let offer = sdp(media.local_addr()?, Codec::Pcmu, None, None);
    let here = socket.local_addr()?;
    let (calls, gap) = (rate * seconds, Duration::from_secs(1) / rate);
    let mut seen = Seen { calls: usize::try_from(calls)?, served: 0, took: Vec::new(), cpu: cpu()? };
    let mut open: HashMap<String, Open> = HashMap::new();
    let (began, mut placed) = (Instant::now(), 0);
    let mut buffer = vec![0; 65_535];
    while placed < calls || !open.is_empty() && began.elapsed() < gap * calls + LINGER {
        while placed < calls && began.elapsed() >= gap * placed {
            let id = format!("app-{placed}-{}", here.port());
            socket.send_to(request("INVITE", &id, (edge, here), "", &offer).as_bytes(), edge)?;
            open.insert(id, Open { began: Instant::now(), is_answered: false });
            placed += 1;
        }
        let (len, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error.into()),
        };
        let text = Text(String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned());
        let id = text.header("Call-ID").to_owned();
        match text.code() {
            Some(200) => {
                let tag = text.header("To").split_once(";tag=").map(|(_, tag)| format!(";tag={tag}"));
                let ack = request("ACK", &id, (edge, here), &tag.unwrap_or_default(), "");
                socket.send_to(ack.as_bytes(), edge)?;
                if let Some(call) = open.get_mut(&id).filter(|call| !call.is_answered) {
                    call.is_answered = true;
                    seen.took.push(call.began.elapsed());
                }
            }
            None if text.first().starts_with("BYE ") => {
                socket.send_to(answer(&text).as_bytes(), from)?;
                seen.served += usize::from(open.remove(&id).is_some_and(|call| call.is_answered));
            }
            _ => {}
        }
    }
    seen.cpu = cpu()?.saturating_sub(seen.cpu);
    seen.took.sort_unstable();
    Ok(seen)
}

fn request(method: &str, id: &str, (edge, here): (SocketAddr, SocketAddr), tag: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:{NUMBER}@{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{method}{id};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:+14155550177@{here}>;tag=c\r\nTo: <sip:{NUMBER}@{edge}>{tag}\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:caller@{here}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn answer(bye: &Text) -> String {
    let vias: String = bye.all("Via").map(|via| format!("Via: {via}\r\n")).collect();
    let [from, to, id, cseq] = ["From", "To", "Call-ID", "CSeq"].map(|name| bye.header(name));
    format!(
        "SIP/2.0 200 OK\r\n{vias}From: {from}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
    )
}
