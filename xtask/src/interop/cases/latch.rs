//! Attacker on the caller's own address that sends RTP first, from another port.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, numbered_tone};
use crate::interop::rtp;
use crate::interop::sipp::{CARRIER, CARRIER_TO_PBX, PBX};

const PACKETS: u32 = 200;
/// Number of packets, of 20 ms each, that the attacker sends before the caller's first: longer than the grace period of
/// the announced port.
const FIRST: u16 = 20;
/// Delay of the callee's audio after the answer: longer than that of the caller's.
const CALLEE_WAITS: Duration = Duration::from_millis(800);
const FORGED: [u8; 160] = [0x55; 160];

/// Makes a call with a tone, to which an attacker sends from the first packet on.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(CARRIER_TO_PBX)?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    // Broken: like the attacker, the caller sends from another port than announced.
    let elsewhere = Phone::new(CARRIER, 0, "elsewhere")?;
    let speaker = if setting.sabotage { &elsewhere } else { &caller };
    let callee = Phone::new(PBX, 5060, "callee")?;
    let attacker = UdpSocket::bind((CARRIER, 0))?;
    attacker.set_nonblocking(true)?;
    let sent = numbered_tone(PACKETS);
    let (udp, over) = (edge.udp, AtomicBool::new(false));
    let (there, back, forged, came_back) = std::thread::scope(|scope| {
        let far = scope.spawn(|| -> anyhow::Result<_> {
            let call = callee.answer()?;
            std::thread::sleep(CALLEE_WAITS);
            let heard = callee.talk(call.media, &sent)?;
            callee.expect_bye()?;
            Ok(heard)
        });
        let call = caller.call(udp, "+14155550100")?;
        for n in 0..FIRST {
            forge(&attacker, n, call.media)?;
        }
        let (attacker, over_now) = (&attacker, &over);
        let attack = scope.spawn(move || -> anyhow::Result<_> {
            let mut n = FIRST;
            while !over_now.load(Ordering::Relaxed) {
                forge(attacker, n, call.media)?;
                n += 1;
            }
            Ok(n)
        });
        let back = speaker.talk(call.media, &sent);
        over.store(true, Ordering::Relaxed);
        let forged = attack.join().map_err(|_| anyhow!("the attacker panicked"))??;
        caller.bye(&call)?;
        let there = far.join().map_err(|_| anyhow!("the callee panicked"))??;
        let mut buffer = [0; 2_048];
        let mut came_back = 0;
        while let Ok(n) = attacker.recv(&mut buffer) {
            came_back += n;
        }
        Ok::<_, anyhow::Error>((there, back?, forged, came_back))
    })?;
    edge.assert_alive()?;
    let whole = |heard: &std::collections::BTreeMap<u16, Vec<u8>>| {
        sent.iter().filter(|payload| heard.values().any(|came| came == *payload)).count()
    };
    let (callee_heard, caller_heard) = (whole(&there), whole(&back));
    let believed = there.values().filter(|payload| **payload == FORGED).count();
    if callee_heard != sent.len() || caller_heard != sent.len() {
        bail!("of {PACKETS} packets the callee heard {callee_heard}, the caller {caller_heard}");
    }
    if believed > usize::from(FIRST) {
        bail!("{believed} packets of the attacker reached the callee, {FIRST} came before the caller's first");
    }
    if came_back > 0 {
        bail!("{came_back} bytes went to the attacker");
    }
    Ok(format!(
        "{PACKETS} of {PACKETS} packets both ways, {believed} of {forged} forged ones believed before the caller spoke"
    ))
}

/// Sends one packet of the attacker, and waits 20 ms.
fn forge(attacker: &UdpSocket, n: u16, to: SocketAddr) -> anyhow::Result<()> {
    let packet = rtp::packet(9_000_u16.wrapping_add(n), u32::from(n) * 160, 0xBAD, &FORGED);
    attacker.send_to(&packet, to)?;
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}
