//! Callers, and the next target that takes them all: real SIP and RTP on loopback.

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

/// The next target's first number, beyond all of a caller's.
const CALLEE: u32 = 1_000_000;
/// A packet's time.
const FRAME: Duration = Duration::from_millis(20);
/// Packets of the next target by which a caller has it.
const ENOUGH: u32 = 10;

/// What a caller met.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    /// When it called.
    pub(crate) called: Instant,
    /// First packet that is neither its own, come back from the agent, nor the next target's.
    pub(crate) hold: Option<Instant>,
    /// Last packet of the agent's.
    pub(crate) agent: Option<Instant>,
    /// First packet of the next target's.
    pub(crate) next: Option<Instant>,
    /// Why it was lost, if it was.
    pub(crate) lost: Option<String>,
}

/// How many callers talk, and whether that has been noticed.
#[derive(Debug, Default)]
pub(crate) struct Talking(AtomicU32);

impl Talking {
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Calls a number and talks until the next target has been heard, for so long at most.
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
    // Where the edge has hung up there is nobody to tell.
    if met.lost.is_none() {
        phone.bye(&call).context("at the end")?;
    }
    Ok(met)
}

/// A target that takes every call and says the same to all.
#[derive(Debug)]
pub(crate) struct Callee {
    answered: Arc<Mutex<BTreeMap<String, Instant>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// A call that it has.
struct Taken {
    media: SocketAddr,
    invite: Text,
    from: SocketAddr,
    number: String,
    /// When it answers; `None`: it has.
    answers: Option<Instant>,
    sent: u32,
}

impl Callee {
    /// Answers each call after it has rung for so long.
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

    /// When it answered the call to a number.
    pub(crate) fn answered_at(&self, number: &str) -> Option<Instant> {
        self.answered.lock().ok()?.get(number).copied()
    }

    /// Ends it.
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
            // Its address is free for the next only then; what it said no longer matters.
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
                // Repeated: what was said is said again.
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

/// The next packet to all who have been answered.
fn say(socket: &UdpSocket, calls: &mut BTreeMap<String, Taken>) -> anyhow::Result<()> {
    for taken in calls.values_mut().filter(|taken| taken.answers.is_none()) {
        let n = taken.sent;
        let packet = rtp::packet((n & 0xFFFF) as u16, n.wrapping_mul(160), 0x6361_6c00, &numbered(CALLEE + n));
        socket.send_to(&packet, taken.media)?;
        taken.sent += 1;
    }
    Ok(())
}
