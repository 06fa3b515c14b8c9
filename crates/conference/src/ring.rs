//! Lock-free ring buffers of frames between two threads, one writer and one reader: a party's session runs on a worker,
//! and the mixer of its conference on another thread.
//!
//! Samples are stored in atomic words, four in each, so that neither a lock nor `unsafe` is needed; one counter
//! publishes a frame. If the reader does not run, a ring buffer drops and counts new frames; the queue of the
//! [`Mixer`](crate::Mixer), which follows it, drops the oldest ones instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::limits::RING_FRAMES;
use crate::mixer::SamplingRate;

/// Number of samples in an atomic word.
const PER_WORD: usize = 4;

/// State shared by both halves.
struct RingState {
    rate: SamplingRate,
    words: Box<[AtomicU64]>,
    lost: [AtomicBool; RING_FRAMES],
    /// Number of frames written so far; `read` is the number read. The difference is the queue length.
    written: AtomicU64,
    read: AtomicU64,
    dropped: AtomicU64,
    is_closed: AtomicBool,
}

/// Shows no audio and no positions: they change while another thread prints the ring.
impl std::fmt::Debug for RingState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingState").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl RingState {
    /// Returns the words that store the frame with this number.
    fn frame(&self, number: u64) -> &[AtomicU64] {
        let words = self.rate.frame() / PER_WORD;
        let place = place(number) * words;
        self.words.get(place..place + words).unwrap_or_default()
    }

    fn lost(&self, number: u64) -> Option<&AtomicBool> {
        self.lost.get(place(number))
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % RING_FRAMES as u64).unwrap_or(0)
}

/// Writing half of a ring.
#[derive(Debug)]
pub struct FrameSender(Arc<RingState>);

/// Reading half of a ring.
#[derive(Debug)]
pub struct FrameReceiver(Arc<RingState>);

/// Frame that was read from a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingFrame {
    /// The samples of the frame were read.
    Audio,
    /// The frame was lost before it reached the writer.
    Lost,
}

/// Creates a ring for frames of 20 ms at this rate.
pub fn ring(rate: SamplingRate) -> (FrameSender, FrameReceiver) {
    let words = RING_FRAMES * rate.frame() / PER_WORD;
    let shared = Arc::new(RingState {
        rate,
        words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        lost: [const { AtomicBool::new(false) }; RING_FRAMES],
        written: AtomicU64::new(0),
        read: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
        is_closed: AtomicBool::new(false),
    });
    (FrameSender(Arc::clone(&shared)), FrameReceiver(shared))
}

impl FrameSender {
    /// Writes a frame, `None` for a lost one; returns false if it is dropped because of a wrong length or a full ring.
    pub fn push(&mut self, samples: Option<&[i16]>) -> bool {
        let RingState { rate, written, read, dropped, .. } = &*self.0;
        let number = written.load(Ordering::Relaxed);
        let is_full = number.wrapping_sub(read.load(Ordering::Acquire)) >= RING_FRAMES as u64;
        if is_full || samples.is_some_and(|samples| samples.len() != rate.frame()) {
            dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if let Some(lost) = self.0.lost(number) {
            lost.store(samples.is_none(), Ordering::Relaxed);
        }
        let parts = samples.unwrap_or_default().as_chunks::<PER_WORD>().0;
        for (word, part) in self.0.frame(number).iter().zip(parts) {
            let [a, b, c, d] = part.map(|sample| u64::from(sample as u16));
            word.store(a | b << 16 | c << 32 | d << 48, Ordering::Relaxed);
        }
        written.store(number.wrapping_add(1), Ordering::Release);
        true
    }

    /// Returns the sampling rate of the frames.
    pub fn rate(&self) -> SamplingRate {
        self.0.rate
    }

    /// Returns the number of frames dropped so far.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Returns whether the reader is gone.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::Relaxed)
    }
}

impl FrameReceiver {
    /// Reads the next frame; `None` if the ring is empty.
    pub fn pop(&mut self, samples: &mut [i16]) -> Option<RingFrame> {
        let RingState { written, read, .. } = &*self.0;
        let number = read.load(Ordering::Relaxed);
        if number == written.load(Ordering::Acquire) {
            return None;
        }
        let is_lost = self.0.lost(number).is_some_and(|lost| lost.load(Ordering::Relaxed));
        if !is_lost {
            for (word, part) in self.0.frame(number).iter().zip(samples.as_chunks_mut::<PER_WORD>().0) {
                let word = word.load(Ordering::Relaxed);
                // Truncation is intended: each sample uses its own bits.
                *part = [word as i16, (word >> 16) as i16, (word >> 32) as i16, (word >> 48) as i16];
            }
        }
        read.store(number.wrapping_add(1), Ordering::Release);
        Some(if is_lost { RingFrame::Lost } else { RingFrame::Audio })
    }

    /// Returns the number of frames that wait to be read.
    pub fn waiting(&self) -> usize {
        let waiting = self.0.written.load(Ordering::Acquire).wrapping_sub(self.0.read.load(Ordering::Relaxed));
        usize::try_from(waiting).unwrap_or(RING_FRAMES)
    }

    /// Returns the sampling rate of the frames.
    pub fn rate(&self) -> SamplingRate {
        self.0.rate
    }

    /// Returns whether the writer is gone; frames may still wait.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::Relaxed)
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
    }
}

impl Drop for FrameReceiver {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_pass_unchanged_at_every_rate() {
        for rate in SamplingRate::ALL {
            let (mut sender, mut receiver) = ring(rate);
            assert_eq!((sender.rate(), receiver.rate(), receiver.waiting()), (rate, rate, 0));
            let mut out = vec![0; rate.frame()];
            for number in 0..50_i16 {
                let frame: Vec<i16> =
                    (0..rate.frame()).map(|n| (n as i16).wrapping_mul(977).wrapping_sub(number)).collect();
                assert!(sender.push(Some(&frame)));
                assert_eq!(receiver.pop(&mut out), Some(RingFrame::Audio));
                assert_eq!(out, frame);
                assert_eq!(receiver.pop(&mut out), None);
            }
        }
    }

    #[test]
    fn each_half_knows_when_the_other_is_gone() {
        let (mut sender, receiver) = ring(SamplingRate::Narrow);
        assert!(!sender.is_closed() && !receiver.is_closed());
        drop(receiver);
        assert!(sender.is_closed() && sender.push(Some(&[0; 160])));
        let (mut sender, mut receiver) = ring(SamplingRate::Narrow);
        sender.push(None);
        drop(sender);
        assert!(receiver.is_closed());
        assert_eq!(receiver.pop(&mut [0; 160]), Some(RingFrame::Lost), "what was written is still there");
    }

    proptest! {
        /// Behaves like a bounded queue in any order of writing and reading.
        #[test]
        fn a_ring_is_a_bounded_queue(steps in proptest::collection::vec(0_u8..5, 0..200)) {
            let (mut sender, mut receiver) = ring(SamplingRate::Wide);
            let (mut model, mut number, mut dropped) = (VecDeque::new(), 0_i16, 0);
            for step in steps {
                number += 1;
                let frame = vec![number; 320];
                let pushed = match step {
                    0 | 1 => Some((Some(number), sender.push(Some(&frame)))),
                    2 => Some((None, sender.push(None))),
                    3 => {
                        prop_assert!(!sender.push(Some(&frame[..319])));
                        dropped += 1;
                        None
                    }
                    _ => {
                        let mut out = vec![0; 320];
                        let popped = receiver.pop(&mut out).map(|kind| (kind == RingFrame::Audio).then(|| out[0]));
                        prop_assert_eq!(popped, model.pop_front());
                        prop_assert_eq!(receiver.waiting(), model.len());
                        None
                    }
                };
                if let Some((frame, is_taken)) = pushed {
                    prop_assert_eq!(is_taken, model.len() < RING_FRAMES);
                    if is_taken { model.push_back(frame) } else { dropped += 1 }
                }
            }
            prop_assert_eq!(sender.dropped(), dropped);
        }
    }
}
