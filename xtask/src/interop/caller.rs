//! Caller of applications: sends digits as telephone-events and records the received audio.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::raw::{Call, Phone, tone_frame};
use super::rtp;
use super::sipp::CARRIER;

/// Number of samples in a judged section: 200 ms.
const PIECE: usize = 1_600;
/// Minimum level of a tone above everything else at which it counts as heard.
const SNR_DB: f64 = 20.0;
/// Payload type of telephone-events in the caller's offer.
const EVENTS: u8 = 101;
/// Maximum wait for a tone.
const PATIENCE: Duration = Duration::from_secs(12);

/// Caller in a call.
#[derive(Debug)]
pub(crate) struct Caller {
    phone: Phone,
    call: Call,
    listener: Listener,
    sequence: AtomicU16,
}

impl Caller {
    /// Calls a number from the usual address and waits for the answer.
    pub(crate) fn call(edge: SocketAddr, number: &str) -> anyhow::Result<Caller> {
        Caller::call_from(CARRIER, "caller", edge, number)
    }

    /// Calls a number from this address, with this user part of From.
    pub(crate) fn call_from(
        address: &str,
        user: &'static str,
        edge: SocketAddr,
        number: &str,
    ) -> anyhow::Result<Caller> {
        let mut phone = Phone::new(address, 0, user)?;
        phone.telephone_events = true;
        let listener = Listener::start(&phone.rtp)?;
        let call = phone.call(edge, number)?;
        Ok(Caller { phone, call, listener, sequence: AtomicU16::new(0) })
    }

    /// Sends a digit as a telephone-event of 100 ms, with the end packet three times.
    pub(crate) fn press(&self, key: char) -> anyhow::Result<()> {
        let code = "0123456789*#ABCD".find(key).with_context(|| format!("{key} is no key"))?;
        let timestamp = u32::from(self.sequence.load(Ordering::Relaxed)) * 160;
        for (end, length) in [(0, 160_u16), (0, 320), (0, 480), (0x80, 800), (0x80, 800), (0x80, 800)] {
            let [high, low] = length.to_be_bytes();
            let event = [u8::try_from(code)?, end | 10, high, low];
            let mut packet = rtp::packet(self.next(), timestamp, 0x7261_7701, &event);
            if let Some(kind) = packet.get_mut(1) {
                *kind = EVENTS | if length == 160 { 0x80 } else { 0 };
            }
            self.phone.rtp.send_to(&packet, self.call.media)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn next(&self) -> u16 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends one packet of a 440 Hz tone.
    pub(crate) fn says(&self, number: u32) -> anyhow::Result<()> {
        let sequence = self.next();
        let packet = rtp::packet(sequence, u32::from(sequence) * 160, 0x7261_7701, &tone_frame(number));
        self.phone.rtp.send_to(&packet, self.call.media)?;
        Ok(())
    }

    /// Returns the number of samples received so far.
    pub(crate) fn mark(&self) -> usize {
        self.listener.mark()
    }

    /// Returns the samples received so far.
    pub(crate) fn samples(&self) -> Vec<f64> {
        self.listener.samples()
    }

    /// Returns whether a tone was heard after a mark.
    pub(crate) fn has_heard(&self, hz: u32, since: usize) -> bool {
        self.listener.has_heard(hz, since)
    }

    /// Waits until a tone is heard after a mark.
    pub(crate) fn hears(&self, hz: u32, since: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.has_heard(hz, since) {
            if began.elapsed() > PATIENCE {
                bail!("{hz} Hz is not heard; {} ms of audio came", (self.mark() - since) / 8);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends a digit while a tone is heard; returns the time until the tone stopped, from the digit's first packet.
    pub(crate) fn cuts_short(&self, key: char, hz: u32) -> anyhow::Result<Duration> {
        let pressed = Instant::now();
        self.press(key)?;
        std::thread::sleep(Duration::from_millis(300));
        let last = self.listener.last_of(hz).with_context(|| format!("no packet has {hz} Hz"))?;
        Ok(last.saturating_duration_since(pressed))
    }

    /// Waits until the edge hangs up the call.
    pub(crate) fn is_hung_up_on(&self) -> anyhow::Result<()> {
        self.phone.expect_bye()
    }

    /// Hangs up the call.
    pub(crate) fn hang_up(&self) -> anyhow::Result<()> {
        self.phone.bye(&self.call)
    }
}

/// Records PCMU audio from a socket until dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    heard: Arc<Mutex<Heard>>,
    over: Arc<AtomicBool>,
}

/// Received audio with its arrival times.
#[derive(Debug, Default)]
struct Heard {
    samples: Vec<f64>,
    /// Arrival time of each packet, and number of samples before the packet.
    packets: Vec<(Instant, usize)>,
}

impl Listener {
    /// Starts to record the audio that arrives at a socket, which has a read timeout.
    pub(crate) fn start(socket: &UdpSocket) -> anyhow::Result<Listener> {
        let (heard, over) = (Arc::<Mutex<Heard>>::default(), Arc::new(AtomicBool::new(false)));
        let (socket, kept, ends) = (socket.try_clone()?, Arc::clone(&heard), Arc::clone(&over));
        std::thread::spawn(move || listen(&socket, &kept, &ends));
        Ok(Listener { heard, over })
    }

    /// Returns the samples received so far.
    pub(crate) fn samples(&self) -> Vec<f64> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).samples.clone()
    }

    /// Returns the number of samples received so far.
    pub(crate) fn mark(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).samples.len()
    }

    /// Returns whether a tone was heard after this mark.
    pub(crate) fn has_heard(&self, hz: u32, since: usize) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let tones = heard.samples.get(since..).unwrap_or_default().windows(PIECE).step_by(PIECE / 4);
        tones.map(|piece| rtp::fit(piece, hz, rtp::SAMPLE_RATE)).any(|(level, snr)| level > 2_000.0 && snr > SNR_DB)
    }
}

impl Listener {
    /// Returns the arrival time of the last packet with this tone.
    fn last_of(&self, hz: u32) -> Option<Instant> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = heard.packets.iter().skip(1).map(|(_, at)| *at).chain([heard.samples.len()]);
        let with_it = heard.packets.iter().zip(ends).filter_map(|((came, from), to)| {
            let (level, snr) = rtp::fit(heard.samples.get(*from..to)?, hz, rtp::SAMPLE_RATE);
            (level > 2_000.0 && snr > SNR_DB / 2.0).then_some(*came)
        });
        with_it.last()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn listen(socket: &UdpSocket, heard: &Mutex<Heard>, over: &AtomicBool) {
    let mut buffer = [0; 2_048];
    while !over.load(Ordering::Relaxed) {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let packet = buffer.get(..length).unwrap_or_default();
        if packet.get(1).is_some_and(|kind| kind & 0x7f == 0)
            && let Some((_, payload)) = rtp::read(packet)
        {
            let came = Instant::now();
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let before = heard.samples.len();
            heard.packets.push((came, before));
            heard.samples.extend(payload.iter().copied().map(rtp::linear));
        }
    }
}
