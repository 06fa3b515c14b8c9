//! RTP bleed, RTP injection and floods against the running edge, from a loopback address outside of the call: no packet
//! leaks to that address, and none from it gets through. Classes: AST-2017-005, CVE-2017-14099, CVE-2017-14114,
//! CVE-2025-53399.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::calls::{
    Call, NUMBER, Phone, is_silent, media_of, next_port, received, report, rtp, wait_until_bound,
};
use crate::support::sip::to_tag;
use crate::support::talk::Rig;
use crate::support::{Process, config, until};

const CALLER: &str = "127.0.0.1";
const CALLEE: &str = "127.0.0.3";
const STRANGER: &str = "127.0.0.2";
/// Address in the SDP of a phone behind NAT.
const INSIDE: &str = "127.0.0.9";
const STRANGERS_SOURCE: u32 = 0xbad;
const UNEXPECTED: &str = "trunkgate_rtp_dropped_total{reason=\"unexpected_source\"}";

fn edge(caller: &Phone, callee: &Phone) -> Process {
    edge_with("strict", caller, callee)
}

fn edge_with(latch: &str, caller: &Phone, callee: &Phone) -> Process {
    let trunks = caller.trunk("carrier") + &callee.trunk("pbx");
    let text = config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n"));
    Process::start(&text.replace("[media]\n", &format!("[media]\nlatch = {latch:?}\n")))
}

/// Returns the four media ports of the edge in a call.
fn ports(call: &Call) -> [SocketAddr; 4] {
    [call.near, next_port(call.near), call.far, next_port(call.far)]
}

/// Sends RTP and RTCP from an unknown source to all media ports of a call.
fn attack(stranger: &UdpSocket, call: &Call, times: u16) {
    for n in 0..times {
        for to in ports(call) {
            stranger.send_to(&rtp(STRANGERS_SOURCE, n), to).unwrap();
            stranger.send_to(&report(STRANGERS_SOURCE), to).unwrap();
        }
    }
}

/// Sends audio from each side, so that the edge latches both.
fn begin(edge: &Process, call: &Call, caller: &Phone, callee: &Phone) {
    for (phone, at) in [(caller, call.near), (callee, call.far)] {
        phone.rtp.send_to(&rtp(1, 0), at).unwrap();
        phone.rtcp.send_to(&report(1), next_port(at)).unwrap();
    }
    until("both are latched", || (edge.metric("trunkgate_rtp_packets_total{direction=\"in\"}") == 2.0).then_some(()));
    // RTCP has no counter: only its effect shows that it has arrived.
    for (from, to, at) in [(caller, callee, call.near), (callee, caller, call.far)] {
        to.rtcp.set_nonblocking(true).unwrap();
        until("both send their RTCP where the other is", || {
            from.rtcp.send_to(&report(1), next_port(at)).unwrap();
            to.rtcp.recv_from(&mut [0; 2048]).ok()
        });
    }
    for phone in [caller, callee] {
        phone.rtcp.set_nonblocking(false).unwrap();
    }
}

/// Returns the next datagram that was not sent by [`begin`].
fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    loop {
        let (bytes, from) = received(socket);
        if bytes != rtp(1, 0) && bytes != report(1) {
            return (bytes, from);
        }
    }
}

/// Sends audio from each side; each side must receive exactly the other's audio.
fn talk(call: &Call, caller: &Phone, callee: &Phone, sequence: u16) {
    for (from, to, at, back) in [(caller, callee, call.near, call.far), (callee, caller, call.far, call.near)] {
        let source = u32::from(from.rtp_address().port());
        from.rtp.send_to(&rtp(source, sequence), at).unwrap();
        assert_eq!(next(&to.rtp), (rtp(source, sequence), back));
        from.rtcp.send_to(&report(source), next_port(at)).unwrap();
        assert_eq!(next(&to.rtcp), (report(source), next_port(back)));
    }
}

/// The attack takes place before and after the latch, on both sides, with RTP and RTCP.
fn nothing_bleeds_nor_comes_in(caller: &Phone, callee: &Phone) {
    let edge = edge(caller, callee);
    let stranger = UdpSocket::bind((STRANGER, 0)).unwrap();
    let call = Call::set_up(&edge, "attacked", caller, callee);
    attack(&stranger, &call, 50);
    until("all of it is refused", || (edge.metric(UNEXPECTED) == 400.0).then_some(()));
    begin(&edge, &call, caller, callee);
    for round in 1..6 {
        attack(&stranger, &call, 10);
        talk(&call, caller, callee, round);
    }
    let sent = edge.metric("trunkgate_rtp_packets_total{direction=\"out\"}");
    assert_eq!(sent, 12.0, "each of what the two said, once");
    assert!(is_silent(&stranger));
    for phone in [caller, callee] {
        assert!(is_silent(&phone.rtp) && is_silent(&phone.rtcp));
    }
    call.hang_up(2, caller, callee);
    attack(&stranger, &call, 1);
    assert!(is_silent(&stranger));
}

#[test]
fn nothing_bleeds_nor_comes_in_without_nat() {
    nothing_bleeds_nor_comes_in(&Phone::new(CALLER), &Phone::new(CALLEE));
}

/// In this hard case, packets do not come from the address in the SDP, so that the edge has to learn it.
#[test]
fn nothing_bleeds_nor_comes_in_behind_nat() {
    let behind = |ip| Phone::behind_nat(ip, INSIDE);
    nothing_bleeds_nor_comes_in(&behind(CALLER), &behind(CALLEE));
    nothing_bleeds_nor_comes_in(&behind(CALLER), &Phone::new(CALLEE));
    nothing_bleeds_nor_comes_in(&Phone::new(CALLER), &behind(CALLEE));
}

/// The unknown source forges nothing, but sends first and continuously during the set-up of the call.
#[test]
fn who_speaks_while_it_rings_wins_nothing() {
    let (caller, callee) = (Phone::new(CALLER), Phone::new(CALLEE));
    let edge = edge(&caller, &callee);
    let stranger = UdpSocket::bind((STRANGER, 0)).unwrap();
    let sip = edge.address("udp");
    let offer = caller.description(1, "");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", "+14155550123", sip, "early", (1, ""), &offer));
    let (invite, from) = callee.sip.receive("INVITE ");
    let far = media_of(&invite);
    wait_until_bound(far);
    for n in 0..100 {
        stranger.send_to(&rtp(STRANGERS_SOURCE, n), far).unwrap();
    }
    until("it is refused", || (edge.metric(UNEXPECTED) == 100.0).then_some(()));
    callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &callee.description(1, "")));
    callee.sip.receive("ACK ");
    let (ok, _) = caller.sip.receive("SIP/2.0 200");
    let near = media_of(&ok);
    caller.rtp.send_to(&rtp(7, 1), near).unwrap();
    assert_eq!(received(&callee.rtp), (rtp(7, 1), far));
    assert!(is_silent(&stranger) && is_silent(&callee.rtp));
}

/// An attacker on the caller's own address sends first, from another port. The latch moves to the announced port at the
/// first packet from there, for RTP and RTCP, and the attacker gets no packet afterwards.
#[test]
fn another_port_of_the_callers_address_loses_the_call_to_the_announced_one() {
    for latch in ["strict", "relearn"] {
        let (caller, callee) = (Phone::new(CALLER), Phone::new(CALLEE));
        let edge = edge_with(latch, &caller, &callee);
        let call = Call::set_up(&edge, "usurped", &caller, &callee);
        let attacker = UdpSocket::bind((CALLER, 0)).unwrap();
        for (socket, bytes, at) in [
            (&callee.rtp, rtp(STRANGERS_SOURCE, 0), call.near),
            (&callee.rtcp, report(STRANGERS_SOURCE), next_port(call.near)),
        ] {
            socket.set_nonblocking(true).unwrap();
            until("the attacker is believed", || {
                attacker.send_to(&bytes, at).unwrap();
                socket.recv_from(&mut [0; 2048]).ok()
            });
            socket.set_nonblocking(false).unwrap();
        }
        let own = u32::from(caller.rtp_address().port());
        for sequence in 1..20 {
            attacker.send_to(&rtp(STRANGERS_SOURCE, sequence), call.near).unwrap();
            caller.rtp.send_to(&rtp(own, sequence), call.near).unwrap();
            caller.rtcp.send_to(&report(own), next_port(call.near)).unwrap();
        }
        until("the caller is heard alone", || {
            let (bytes, _) = received(&callee.rtp);
            (bytes == rtp(own, 19)).then_some(())
        });
        for sequence in 20..30 {
            attack(&attacker, &call, 1);
            caller.rtp.send_to(&rtp(own, sequence), call.near).unwrap();
            assert_eq!(received(&callee.rtp), (rtp(own, sequence), call.far), "{latch}");
            callee.rtp.send_to(&rtp(8, sequence), call.far).unwrap();
            assert_eq!(received(&caller.rtp), (rtp(8, sequence), call.near), "{latch}");
        }
        assert!(is_silent(&attacker) && is_silent(&callee.rtp), "{latch}");
        call.hang_up(2, &caller, &callee);
    }
}

/// The sockets are connected to their remote addresses: packets from other sources take no space in them.
#[test]
fn a_flood_of_junk_leaves_the_call_undisturbed() {
    for latch in ["strict", "relearn"] {
        flood(latch);
    }
}

fn flood(latch: &str) {
    let (caller, callee) = (Phone::new(CALLER), Phone::new(CALLEE));
    let edge = edge_with(latch, &caller, &callee);
    let call = Call::set_up(&edge, "flooded", &caller, &callee);
    for sequence in 0..3 {
        talk(&call, &caller, &callee, sequence);
    }
    // Both sockets have sent since the latch, so that packets from other sources are not even seen.
    let seen = edge.metric(UNEXPECTED);
    attack(&UdpSocket::bind((STRANGER, 0)).unwrap(), &call, 1);
    talk(&call, &caller, &callee, 3);
    assert_eq!(edge.metric(UNEXPECTED), seen, "{latch}");
    let targets = ports(&call);
    let (sent, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let stranger = UdpSocket::bind((STRANGER, 0)).unwrap();
            stranger.set_nonblocking(true).unwrap();
            let junk = [0x80u8; 1400];
            while !over.load(Ordering::Relaxed) {
                let n = sent.fetch_add(1, Ordering::Relaxed);
                // Packets that the kernel does not accept, or answers by ICMP, do not matter.
                let _ = stranger.send_to(&junk[..n % junk.len()], targets[n % targets.len()]);
            }
            assert!(is_silent(&stranger));
        });
        let mut sequence = 1;
        while sequence < 200 || sent.load(Ordering::Relaxed) < 20_000 {
            talk(&call, &caller, &callee, sequence);
            sequence += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(edge.get("/healthz").0, 200);
    call.hang_up(2, &caller, &callee);
}

/// Reflection: an INVITE has the forged source address of a trunk, and a third party's media address. Until the ACK
/// proves the address, no packet is sent to it, and no audio of the agent is lost meanwhile.
#[test]
fn a_forged_invite_floods_nobody_and_a_true_one_hears_its_greeting_from_the_first_word() {
    let rig = Rig::of(Phone::behind_nat(CALLER, INSIDE), "", r#""agent:bot""#);
    let named = SocketAddr::new(INSIDE.parse().unwrap(), rig.caller.rtp_address().port());
    let (victim, victim_rtcp) = (UdpSocket::bind(named).unwrap(), UdpSocket::bind(next_port(named)).unwrap());
    rig.invite("forged", "0 101");
    let agent = rig.connected();
    let (ok, _) = rig.caller.sip.receive("SIP/2.0 200");
    let mut talk = rig.talk(agent, media_of(&ok), to_tag(&ok).to_owned());
    talk.say(&[0x20; 1600]);
    talk.mark("greeted");
    let withheld = || rig.edge.metric("trunkgate_rtp_dropped_total{reason=\"withheld\"}");
    until("a second of it is withheld", || (withheld() >= 50.0).then_some(()));
    assert!(is_silent(&victim) && is_silent(&victim_rtcp));
    assert!(rig.trace().contains(&format!("media to {named} withheld until the ACK: address not proven")));

    // In the end, the call was genuine.
    let sip = rig.edge.address("udp");
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("ACK", NUMBER, sip, "forged", (1, &talk.tag), ""));
    victim.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    for n in 0..10 {
        assert_eq!(received(&victim).0[12..], [0x20; 160], "packet {n}");
    }
    talk.next("mark");
    assert!(rig.trace().contains(&format!("media to {named} is no longer withheld: its ACK has come")));
}
