//! Media beyond a plain relay, through the running edge: IPv4 to IPv6, fax, RTCP multiplexed with RTP, traffic class, a
//! moving remote party, and occupied ports.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::io::IoSliceMut;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use crate::support::calls::{
    Call, NUMBER, Phone, is_silent, media_of, next_port, received, report, rtp, wait_until_bound,
};
use crate::support::sip::field;
use crate::support::{Process, config, media_ports, until};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

const FAX: &str = "a=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n";

fn routes(caller: &Phone, callee: &Phone) -> String {
    let trunks = caller.trunk("carrier") + &callee.trunk("pbx");
    format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n")
}

fn edge(caller: &Phone, callee: &Phone) -> Process {
    Process::start(&config(&routes(caller, callee)))
}

/// Sends one packet in each direction.
fn talk(call: &Call, caller: &Phone, callee: &Phone, sequence: u16) {
    for (from, to, at, back) in [(caller, callee, call.near, call.far), (callee, caller, call.far, call.near)] {
        from.rtp.send_to(&rtp(7, sequence), at).unwrap();
        assert_eq!(received(&to.rtp), (rtp(7, sequence), back));
    }
}

#[test]
fn a_call_between_ipv4_and_ipv6() {
    // Without IPv6 on loopback, the test is skipped.
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let (four, six) = (Phone::new("127.0.0.1"), Phone::new("::1"));
    let routes = routes(&four, &six) + "[[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:carrier\"]\n";
    let config = config(&routes)
        .replace("[media]\naddress = [\"127.0.0.1\"]", "[media]\naddress = [\"127.0.0.1\", \"::1\"]")
        .replace("[media]", "[[listen]]\nname = \"six\"\ntransport = \"udp\"\naddress = \"[::1]:0\"\n[media]");
    let edge = Process::start(&config);
    let udp: Vec<std::net::SocketAddr> =
        edge.ready.split_whitespace().filter_map(|part| part.strip_prefix("udp=")?.parse().ok()).collect();
    let [sip_four, sip_six] = udp[..] else { panic!("{}", edge.ready) };
    for (n, (sip, caller, callee)) in [(sip_four, &four, &six), (sip_six, &six, &four)].into_iter().enumerate() {
        let offer = caller.description(1, "");
        let call = Call::agree(sip, &format!("family{n}"), (caller, &offer), (callee, &callee.description(1, "")));
        let of_six = if caller.shown.is_ipv6() { &call.ok } else { &call.invite.0 };
        let of_four = if caller.shown.is_ipv6() { &call.invite.0 } else { &call.ok };
        assert!(of_six.contains("c=IN IP6 ::1\r\n") && !of_six.contains("127.0.0.1"), "{of_six}");
        assert!(of_four.contains("c=IN IP4 127.0.0.1\r\n") && !of_four.contains("::1"), "{of_four}");
        assert!(field(&call.invite.0, "Via").contains(if callee.shown.is_ipv6() { "[::1]" } else { "127.0.0.1" }));
        talk(&call, caller, callee, 1);
        call.hang_up(2, caller, callee);
    }
}

/// The call has audio first, then changes to fax by re-INVITE, and back.
#[test]
fn a_call_turns_to_fax_and_back() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let edge = edge(&caller, &callee);
    let call = Call::set_up(&edge, "fax", &caller, &callee);
    talk(&call, &caller, &callee, 1);
    let fax = |phone: &Phone| phone.described(2, &format!("m=image {} udptl t38\r\n{FAX}", phone.rtp_address().port()));
    let ok = call.change(2, (&caller, &fax(&caller)), (&callee, &fax(&callee)));
    assert!(ok.contains(&format!("m=image {} udptl t38\r\n{FAX}", call.near.port())), "{ok}");
    // Data other than RTP is relayed unchanged.
    for n in 0..50u16 {
        let datagram = [&n.to_be_bytes()[..], b"indicator"].concat();
        caller.rtp.send_to(&datagram, call.near).unwrap();
        assert_eq!(received(&callee.rtp), (datagram.clone(), call.far));
        callee.rtp.send_to(&datagram, call.far).unwrap();
        assert_eq!(received(&caller.rtp), (datagram, call.near));
    }
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    stranger.send_to(b"\0\0page", call.near).unwrap();
    stranger.send_to(b"\0\0page", call.far).unwrap();
    let calls = edge.json("/v1/calls");
    assert_eq!(calls["calls"][0]["legs"][0]["codec"], "T38", "{calls}");
    let back = call.change(3, (&caller, &caller.description(3, "")), (&callee, &callee.description(3, "")));
    assert_eq!(media_of(&back), call.near);
    talk(&call, &caller, &callee, 2);
    assert!(is_silent(&callee.rtp) && is_silent(&caller.rtp) && is_silent(&stranger));
    call.hang_up(4, &caller, &callee);
}

/// The caller multiplexes RTCP with RTP, and the callee uses a separate port.
#[test]
fn rtcp_on_one_port_at_one_side_and_two_at_the_other() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let edge = edge(&caller, &callee);
    let offer = caller.description(1, "a=rtcp-mux\r\n");
    let call = Call::agree(edge.address("udp"), "mux", (&caller, &offer), (&callee, &callee.description(1, "")));
    assert!(call.ok.contains("a=rtcp-mux\r\n") && call.invite.0.contains("a=rtcp-mux\r\n"), "{}", call.ok);
    talk(&call, &caller, &callee, 1);
    caller.rtp.send_to(&report(7), call.near).unwrap();
    assert_eq!(received(&callee.rtcp), (report(7), next_port(call.far)));
    callee.rtcp.send_to(&report(8), next_port(call.far)).unwrap();
    assert_eq!(received(&caller.rtp), (report(8), call.near));
    assert!(is_silent(&caller.rtcp));
}

/// The traffic class of media is expedited forwarding, DSCP 46.
#[test]
fn media_is_marked_for_expedited_forwarding() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let edge = edge(&caller, &callee);
    let call = Call::set_up(&edge, "marked", &caller, &callee);
    setsockopt(&callee.rtp, sockopt::IpRecvTos, &true).unwrap();
    caller.rtp.send_to(&rtp(7, 1), call.near).unwrap();
    let mut bytes = [0; 2048];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut control = nix::cmsg_space!(u8);
    let message =
        recvmsg::<SockaddrStorage>(callee.rtp.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()).unwrap();
    let classes: Vec<u8> = message
        .cmsgs()
        .unwrap()
        .filter_map(|control| match control {
            ControlMessageOwned::Ipv4Tos(class) => Some(class),
            _ => None,
        })
        .collect();
    assert_eq!(classes, [46 << 2]);
}

/// With `latch = "relearn"`, the phone moves to another network without SIP signalling.
#[test]
fn a_phone_that_moves_is_heard_again_once_it_was_silent() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let config = config(&routes(&caller, &callee)).replace("[media]\n", "[media]\nlatch = \"relearn\"\n");
    let edge = Process::start(&config);
    let call = Call::set_up(&edge, "moves", &caller, &callee);
    talk(&call, &caller, &callee, 1);
    let moved = UdpSocket::bind("127.0.0.1:0").unwrap();
    moved.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    callee.rtp.set_nonblocking(true).unwrap();
    let heard = until("the moved phone is heard", || {
        stranger.send_to(&rtp(0xbad, 1), call.near).unwrap();
        moved.send_to(&rtp(7, 2), call.near).unwrap();
        let mut bytes = [0; 2048];
        callee.rtp.recv_from(&mut bytes).ok().map(|(len, from)| (bytes[..len].to_vec(), from))
    });
    assert_eq!(heard, (rtp(7, 2), call.far));
    callee.rtp.send_to(&rtp(8, 1), call.far).unwrap();
    assert_eq!(received(&moved), (rtp(8, 1), call.near));
    assert!(is_silent(&stranger) && is_silent(&caller.rtp));
}

/// Another process has bound ports of the range: the caller gets other ports, and a target that was sent such a port is
/// invited again.
#[test]
fn ports_that_somebody_else_has_are_passed_over() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let (taken, first) = squatted();
    let config = media_ports::replaced(&config(&routes(&caller, &callee)), first, first + PAIRS * 2 - 1)
        .replace("[http]\n", "[limits]\ncalls = 4\n[http]\n");
    let edge = Process::start(&config);
    let sip = edge.address("udp");
    // Each call takes two pairs in turn, so that all pairs are tried.
    for n in 0..PAIRS / 2 {
        let id = format!("squatted{n}");
        let offer = caller.description(1, "");
        caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, &id, (1, ""), &offer));
        let invite = loop {
            let (invite, from) = callee.sip.receive("INVITE ");
            if !taken.contains(&(media_of(&invite).port() + 1)) {
                break (invite, from);
            }
            callee.sip.send(from, &callee.sip.answer_with(&invite, "180 Ringing", ""));
            let (cancel, _) = callee.sip.receive("CANCEL ");
            callee.sip.send(from, &callee.sip.answer_with(&cancel, "200 OK", ""));
            callee.sip.send(from, &callee.sip.answer_with(&invite, "487 Request Terminated", ""));
        };
        // When the callee's ports are bound, the caller's have been tried already, and the signalling loop knows the
        // result.
        wait_until_bound(media_of(&invite.0));
        edge.json("/v1/calls");
        let call = Call::answered(sip, &id, &caller, invite, (&callee, &callee.description(1, "")));
        assert!(!taken.contains(&(call.near.port() + 1)), "{}", call.near);
        talk(&call, &caller, &callee, n);
        call.hang_up(2, &caller, &callee);
    }
    assert!(edge.whole_log().contains("media ports could not be bound"), "{}", edge.log());
}

/// Number of port pairs in the range that includes the occupied ports.
const PAIRS: u16 = 24;

/// Returns the occupied odd ports, and the first port of the range that includes them.
fn squatted() -> (Vec<u16>, u16) {
    let begin = 20_000 + (std::process::id() % 100) as u16 * 100;
    for first in (begin..32_000).step_by(usize::from(PAIRS) * 2) {
        let free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if (first..first + PAIRS * 2).all(free) {
            let taken = vec![first + 7, first + 31];
            for port in &taken {
                // The port stays bound until the process ends.
                std::mem::forget(UdpSocket::bind(("127.0.0.1", *port)).unwrap());
            }
            return (taken, first);
        }
    }
    panic!("no free range of ports");
}
