//! Parties that send their own tone from the answer to the end of a call, and the tones that each of them hears from
//! others.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::caller::Listener;
use super::raw::{Call, Phone};
use super::recording::FRAME;
use super::rtp::{self, SAMPLE_RATE};
use super::sound;

/// Number of samples in a judged section: one second.
const PIECE: usize = 8_000;
/// Minimum amplitude at which a tone counts as heard: the voices in a conference share the level of one.
const LEAST: f64 = 600.0;
/// Maximum wait for a tone.
const PATIENCE: Duration = Duration::from_secs(12);

/// Party of a call; its tone stops on drop.
#[derive(Debug)]
pub(crate) struct SpeakingParty {
    phone: Phone,
    call: Call,
    listener: Listener,
    hz: u32,
    over: Arc<AtomicBool>,
}

impl SpeakingParty {
    /// Starts the tone and the recording at the phone of an answered call.
    pub(crate) fn begin(phone: Phone, call: Call, hz: u32) -> anyhow::Result<SpeakingParty> {
        let listener = Listener::start(&phone.rtp)?;
        let (socket, to, over) = (phone.rtp.try_clone()?, call.media, Arc::<AtomicBool>::default());
        let ends = Arc::clone(&over);
        std::thread::spawn(move || speak(&socket, to, hz, &ends));
        Ok(SpeakingParty { phone, call, listener, hz, over })
    }

    /// Returns the frequency of the party's tone.
    pub(crate) fn hz(&self) -> u32 {
        self.hz
    }

    /// Returns the number of samples that the party has received so far.
    pub(crate) fn mark(&self) -> usize {
        self.listener.mark()
    }

    /// Returns the highest amplitude of a tone in any second after this mark.
    fn loudest(&self, hz: u32, since: usize) -> f64 {
        let heard = self.listener.samples();
        let pieces = heard.get(since..).unwrap_or_default().windows(PIECE).step_by(PIECE / 4);
        pieces.map(|piece| rtp::fit(piece, hz, SAMPLE_RATE).0).fold(0.0, f64::max)
    }

    /// Waits until a tone is heard after this mark.
    pub(crate) fn hears(&self, hz: u32, since: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.loudest(hz, since) < LEAST {
            if began.elapsed() > PATIENCE {
                let (loudest, heard_ms) = (self.loudest(hz, since), self.mark().saturating_sub(since) / 8);
                bail!("{} Hz hears {loudest:.0} of {hz} Hz in {heard_ms} ms of audio", self.hz);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Fails if a tone was heard after this mark.
    pub(crate) fn has_not_heard(&self, hz: u32, since: usize) -> anyhow::Result<()> {
        let loudest = self.loudest(hz, since);
        ensure!(loudest < LEAST, "{} Hz hears {loudest:.0} of {hz} Hz", self.hz);
        Ok(())
    }

    /// Hangs up the party's call.
    pub(crate) fn hang_up(&self) -> anyhow::Result<()> {
        self.phone.bye(&self.call)
    }

    /// Waits until the edge hangs up the call.
    pub(crate) fn is_hung_up_on(&self) -> anyhow::Result<()> {
        self.phone.expect_bye()
    }
}

impl Drop for SpeakingParty {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn speak(socket: &UdpSocket, to: SocketAddr, hz: u32, over: &AtomicBool) {
    let began = Instant::now();
    for number in 0_u32.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let sequence = (number & 0xffff) as u16;
        let packet = rtp::packet(sequence, number.wrapping_mul(160), 0x7261_0000 + hz, &frame(hz, number));
        // A packet that cannot be sent counts as lost.
        drop(socket.send_to(&packet, to));
        std::thread::sleep((began + FRAME * (number + 1)).saturating_duration_since(Instant::now()));
    }
}

/// Returns 20 ms of a tone, with pauses like syllables, because continuous sound counts as noise.
fn frame(hz: u32, number: u32) -> Vec<u8> {
    let first = number.wrapping_mul(160);
    #[allow(clippy::cast_possible_truncation)]
    (0..160).map(|n| rtp::ulaw(sound::syllables(hz, f64::from(first + n) / f64::from(SAMPLE_RATE)) as i32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_one_tone_without_another_ones() {
        let samples: Vec<f64> = (0..50).flat_map(|number| frame(450, number)).map(rtp::linear).collect();
        assert_eq!(samples.len(), PIECE);
        let amplitude = |hz| rtp::fit(&samples, hz, SAMPLE_RATE).0;
        assert!(amplitude(450) > LEAST && amplitude(1_010) < LEAST / 10.0 && amplitude(1_570) < LEAST / 10.0);
    }
}
