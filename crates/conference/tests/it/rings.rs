//! Ring buffers between two threads.

use std::thread;

use trunkgate_conference::{RingFrame, SamplingRate, ring};

/// Every frame read is one that was written, complete and in order; missing ones were counted as dropped.
#[test]
fn two_threads_share_a_ring_without_a_torn_frame() {
    const FRAMES: i16 = 20_000;
    for rate in SamplingRate::ALL {
        let (mut sender, mut receiver) = ring(rate);
        let writer = thread::spawn(move || {
            for number in 1..=FRAMES {
                sender.push(Some(&vec![number; rate.frame()]));
            }
            sender.dropped()
        });
        let (mut last, mut read, mut out) = (0, 0, vec![0; rate.frame()]);
        loop {
            let is_over = receiver.is_closed();
            match receiver.pop(&mut out) {
                Some(RingFrame::Audio) => {
                    assert!(out.iter().all(|sample| *sample == out[0]), "torn");
                    assert!(out[0] > last, "in order");
                    (last, read) = (out[0], read + 1);
                }
                Some(RingFrame::Lost) => panic!("none was lost"),
                None if is_over => break,
                None => thread::yield_now(),
            }
        }
        assert_eq!(read + writer.join().unwrap(), FRAMES as u64);
    }
}
