//! Callers, and the next target for all of them: real SIP and RTP on loopback.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use crate::interop::raw::{Phone, Text, number_of, numbered};
use crate::interop::rtp;
use crate::interop::sipp::{CARRIER, PBX};

/// First packet number of the next target, above all packet numbers of callers.
const CALLEE: u32 = 1_000_000;
/// Audio duration of a packet.
const FRAME: Duration = Duration::from_millis(20);
/// Number of packets from the next target after which a caller counts as connected.
const ENOUGH: u32 = 10;

/// Times of the events that a caller observed.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    /// Time of the caller's INVITE.
    pub(crate) called: Instant,
    /// Arrival of the first packet that is neither the agent's echo of the caller nor from the next target.
    pub(crate) hold: Option<Instant>,
    /// Arrival of the agent's last packet.
    pub(crate) agent: Option<Instant>,
    /// Arrival of the next target's first packet.
    pub(crate) next: Option<Instant>,
    /// Reason why the caller was lost; `None` if it was not.
    pub(crate) lost: Option<String>,
}

/// Number of talking callers.
#[derive(Debug, Default)]
pub(crate) struct Talking(AtomicU32);

impl Talking {
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Calls a number and sends audio until the next target is heard, for at most `limit`; `talking` counts the callers who
/// hear the agent.
pub(crate) fn call(edge: SocketAddr, number: &str, limit: Duration, talking: &Talking) -> anyhow::Result<Met> {
    let phone = Phone::new(CARRIER, 0, "caller")?;
    phone.rtp.set_read_timeout(Some(FRAME))?;
    let called = Instant::now();
    let mut met = Met { called, hold: None, agent: None, next: None, lost: None };
    let call = match phone.call(edge, number) {
        Ok(call) => call,
        Err(error) => {
            met.lost = Some(format!("{error:#}"));
            return Ok(met);
        }
    };
    let (mut sent, mut trunk) = (0_u32, 0);
    let began = Instant::now();
    let mut buffer = [0; 2_048];
    while trunk < ENOUGH && began.elapsed() < limit {
        if Instant::now() >= began + FRAME * sent {
            let packet = rtp::packet((sent & 0xFFFF) as u16, sent.wrapping_mul(160), 0x7261_7700, &numbered(sent));
            phone.rtp.send_to(&packet, call.media)?;
            sent += 1;
        }
        let Ok(n) = phone.rtp.recv(&mut buffer) else { continue };
        let Some((_, payload)) = rtp::read(buffer.get(..n).unwrap_or_default()) else { continue };
        let now = Instant::now();
        match number_of(payload) {
            Some(CALLEE..) => {
                met.next.get_or_insert(now);
                trunk += 1;
            }
            Some(_) => {
                if met.agent.is_none() {
                    talking.0.fetch_add(1, Ordering::Relaxed);
                }
                met.agent = Some(now);
            }
            None if rtp::is_heard(payload) => {
                met.hold.get_or_insert(now);
            }
            None => {}
        }
    }
    phone.sip.set_read_timeout(Some(Duration::from_millis(1)))?;
    while let Some((text, _)) = phone.receive(Duration::from_millis(1))? {
        if text.first().starts_with("BYE ") {
            met.lost = Some("the edge hung up".to_owned());
        }
    }
    phone.sip.set_read_timeout(Some(Duration::from_millis(100)))?;
    if met.next.is_none() && met.lost.is_none() {
        met.lost = Some(format!("nobody else within {} s", limit.as_secs()));
    }
    // The caller hangs up, unless the edge has done so.
    if met.lost.is_none() {
        phone.bye(&call).context("at the end")?;
    }
    Ok(met)
}

/// Target that answers every call with the same audio.
#[derive(Debug)]
pub(crate) struct Callee {
    answered: Arc<Mutex<BTreeMap<String, Instant>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Call that the target has received.
struct Taken {
    media: SocketAddr,
    invite: Text,
    from: SocketAddr,
    number: String,
    /// Time at which the target will answer the call; `None` once it has.
    answers: Option<Instant>,
    sent: u32,
}

impl Callee {
    /// Starts a target that answers each call after ringing for this long.
    pub(crate) fn start(ringing: Duration) -> anyhow::Result<Callee> {
        let phone = Phone::new(PBX, 5060, "callee")?;
        phone.sip.set_nonblocking(true)?;
        phone.rtp.set_nonblocking(true)?;
        let answered = Arc::new(Mutex::new(BTreeMap::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (notes, stop) = (Arc::clone(&answered), Arc::clone(&over));
        let thread = std::thread::spawn(move || serve(&phone, ringing, &notes, &stop));
        Ok(Callee { answered, over, thread: Some(thread) })
    }

    /// Returns the time at which the target answered the call to a number.
    pub(crate) fn answered_at(&self, number: &str) -> Option<Instant> {
        self.answered.lock().ok()?.get(number).copied()
    }

    /// Ends the thread of the target.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        ended.unwrap_or(Ok(Ok(()))).map_err(|_| anyhow!("the next target panicked"))?
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Only then is the address free for the next target; the thread's result no longer matters.
            let _ = thread.join();
        }
    }
}

fn serve(
    phone: &Phone,
    ringing: Duration,
    answered: &Mutex<BTreeMap<String, Instant>>,
    over: &AtomicBool,
) -> anyhow::Result<()> {
    let mut calls: BTreeMap<String, Taken> = BTreeMap::new();
    let mut buffer = vec![0; 65_535];
    let mut due = Instant::now();
    while !over.load(Ordering::Relaxed) {
        while let Ok((n, from)) = phone.sip.recv_from(&mut buffer) {
            let text = Text(String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()).into_owned());
            hear(phone, &mut calls, text, from, ringing)?;
        }
        let now = Instant::now();
        for taken in calls.values_mut().filter(|taken| taken.answers.is_some_and(|at| at <= now)) {
            taken.answers = None;
            phone.reply(&taken.invite, taken.from, "200 OK", &phone.sdp()?)?;
            let mut answered = answered.lock().map_err(|_| anyhow!("a reader panicked"))?;
            answered.insert(taken.number.clone(), now);
        }
        if now >= due {
            due += FRAME;
            say(&phone.rtp, &mut calls)?;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn hear(
    phone: &Phone,
    calls: &mut BTreeMap<String, Taken>,
    text: Text,
    from: SocketAddr,
    ringing: Duration,
) -> anyhow::Result<()> {
    let id = text.header("Call-ID").to_owned();
    let method = text.first().split(' ').next().unwrap_or_default().to_owned();
    match method.as_str() {
        "INVITE" => {
            if let Some(taken) = calls.get(&id) {
                // Retransmission: the last response is repeated.
                return match taken.answers {
                    Some(_) => phone.reply(&text, from, "180 Ringing", ""),
                    None => phone.reply(&text, from, "200 OK", &phone.sdp()?),
                };
            }
            let media = text.media().context("no media in the INVITE")?;
            let number = text.first().split(['@', ':']).nth(1).unwrap_or_default().to_owned();
            if !ringing.is_zero() {
                phone.reply(&text, from, "180 Ringing", "")?;
            }
            let answers = Some(Instant::now() + ringing);
            calls.insert(id, Taken { media, invite: text, from, number, answers, sent: 0 });
        }
        "BYE" | "CANCEL" => {
            calls.remove(&id);
            phone.reply(&text, from, "200 OK", "")?;
        }
        "OPTIONS" => phone.reply(&text, from, "200 OK", "")?,
        _ => {}
    }
    Ok(())
}

/// Sends the next packet to all answered calls.
fn say(socket: &UdpSocket, calls: &mut BTreeMap<String, Taken>) -> anyhow::Result<()> {
    for taken in calls.values_mut().filter(|taken| taken.answers.is_none()) {
        let n = taken.sent;
        let packet = rtp::packet((n & 0xFFFF) as u16, n.wrapping_mul(160), 0x6361_6c00, &numbered(CALLEE + n));
        socket.send_to(&packet, taken.media)?;
        taken.sent += 1;
    }
    Ok(())
}
