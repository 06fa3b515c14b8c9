//! Codec change of one side in mid-call, through the real binary: the other side hears one continuous tone in one
//! stream, without a click.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use crate::support::calls::{Call, Phone, received};
use crate::support::codecs::{Codec, Hearer, Speaker, tone};
use crate::support::{Process, config};
use trunkgate_media::rtp::RtpHeader;

/// Maximum duration of a change that leaves no gap: in a longer one, the tone jumps.
const PAUSE: Duration = Duration::from_millis(60);
/// Number of packets sent in each codec.
const PACKETS: usize = 25;

/// Returns the largest jump in a tone of 500 Hz relative to its amplitude, measured by a notch filter.
fn click(samples: &[i16], rate_hz: u32) -> f64 {
    let by = 2.0 * (TAU * 500.0 / f64::from(rate_hz)).cos();
    let left = samples.windows(3).map(|w| (f64::from(w[0]) + f64::from(w[2]) - by * f64::from(w[1])).abs() / 8000.0);
    left.fold(0.0, f64::max)
}

/// Returns the packet that a phone receives for one packet of the other side.
fn heard(phone: &Phone, number: u8) -> (RtpHeader, Vec<u8>) {
    let (bytes, _) = received(&phone.rtp);
    let rtp = RtpHeader::parse(&bytes).unwrap();
    assert_eq!(rtp.payload_type, number);
    let payload = bytes[rtp.payload.clone()].to_vec();
    (rtp, payload)
}

#[test]
fn a_codec_that_changes_in_mid_call_is_heard_as_one_tone() {
    for far in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
        let edge = Process::start(&config(&format!(
            "{}codecs = [\"PCMU\", \"PCMA\", \"G722\", \"opus\"]\n{}codecs = [\"{}\"]\n\
             [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
            caller.trunk("carrier"),
            callee.trunk("pbx"),
            far.name()
        )));
        let order = [Codec::Pcmu, Codec::Pcma, Codec::Opus, Codec::Pcmu, Codec::G722];
        let describe = |codec: Codec, version: usize| codec.described(&caller, version as u32, true);
        let answer = |version: usize| far.described(&callee, version as u32, true);
        let offer = describe(order[0], 1);
        let call = Call::agree(edge.address("udp"), "change-1", (&caller, &offer), (&callee, &answer(1)));
        let (mut samples, mut before, mut hearer) = (Vec::new(), None::<RtpHeader>, Hearer::new(far));
        for (turn, near) in order.into_iter().enumerate() {
            let before_change = Instant::now();
            if turn > 0 {
                call.change(turn as u32 + 1, (&caller, &describe(near, turn + 1)), (&callee, &answer(turn + 1)));
            }
            let took = before_change.elapsed();
            let mut speaker = Speaker::new(near, true);
            for n in turn * PACKETS..(turn + 1) * PACKETS {
                let frame = near.rate_hz() as usize / 50;
                let payload = speaker.say(&tone(near, n * frame, frame));
                caller.rtp.send_to(&near.packet(n, near.number(), &payload), call.near).unwrap();
                let (rtp, payload) = heard(&callee, far.number());
                if let Some(before) = before.replace(rtp.clone()) {
                    assert_eq!((rtp.ssrc, rtp.sequence), (before.ssrc, before.sequence.wrapping_add(1)), "{near:?}");
                }
                samples.extend(hearer.hear(&payload));
            }
            // Opus audio arrives later than that of other codecs; the duration of a change decides whether the two join
            // without a gap.
            if (near, turn) == (Codec::Pcma, 1) && took < PAUSE {
                let rate = far.rate_hz() as usize;
                let change = &samples[turn * PACKETS * rate / 50 - rate / 50..][..rate / 10];
                assert!(click(change, far.rate_hz()) < 0.2, "{far:?}: {}", click(change, far.rate_hz()));
            }
        }
        call.hang_up(order.len() as u32 + 1, &caller, &callee);
    }
}
