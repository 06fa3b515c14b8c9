//! Transports of the real binary: many and slow stream peers, keep-alives, several listeners, IPv4 next to IPv6.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::support::calls::{Call, Phone};
use crate::support::sip::{Party, field};
use crate::support::{PATIENCE, Process, config, until};
use socket2::{Domain, Socket, Type};

fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn options(from: SocketAddr, transport: &str) -> String {
    format!(
        "OPTIONS sip:edge SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bKo{};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@{from}>;tag=1\r\nTo: <sip:edge>\r\nCall-ID: o{}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        from.port(),
        from.port()
    )
}

fn first_line(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 2048];
    let len = stream.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..len]).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn five_hundred_slow_peers_keep_nobody_out_and_are_cut_off() {
    let edge = Process::start(&config("[trunk.all]\naccept_from = [\"127.0.0.0/8\"]\n"));
    let tcp = edge.address("tcp");
    let mut slow: Vec<TcpStream> = (0..500).map(|n| connect(&format!("127.0.1.{}", 1 + n / 50), tcp)).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        // Some peers send nothing, and some half a message.
        if n % 2 == 0 {
            stream.write_all(&options(stream.local_addr().unwrap(), "TCP").as_bytes()[..40]).unwrap();
        }
    }
    until("all are in", || (edge.metric("trunkgate_sip_connections_active") == 500.0).then_some(()));
    for _ in 0..20 {
        let mut newcomer = connect("127.0.0.1", tcp);
        newcomer.write_all(options(newcomer.local_addr().unwrap(), "TCP").as_bytes()).unwrap();
        assert_eq!(first_line(&mut newcomer), "SIP/2.0 200 OK");
    }
    assert!(edge.metric("trunkgate_sip_connections_active") >= 500.0, "the slow ones are still there");
    // An address may have 64 connections; further ones replace the oldest of that address.
    let more: Vec<TcpStream> = (0..20).map(|_| connect("127.0.1.1", tcp)).collect();
    until("the oldest are closed", || {
        (edge.metric("trunkgate_sip_dropped_total{reason=\"connection_evicted\"}") == 6.0).then_some(())
    });
    drop(more);
    until("half messages are cut off", || {
        (edge.metric("trunkgate_sip_dropped_total{reason=\"connection_slow\"}") >= 247.0).then_some(())
    });
}

#[test]
fn a_keep_alive_is_answered_by_udp_and_only_to_those_who_are_known() {
    let edge = Process::start(&config("[trunk.a]\npeers = [\"sip:127.0.0.1:5070\"]\noptions_interval = \"0s\"\n"));
    let (known, stranger) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"));
    for party in [&stranger, &known] {
        party.send(edge.address("udp"), "\r\n");
        party.send(edge.address("udp"), "\r\n\r\n");
    }
    let mut buffer = [0; 64];
    let len = known.socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"\r\n");
    known.send(edge.address("udp"), &options(known.address, "UDP"));
    let (len, _) = known.socket.recv_from(&mut buffer).unwrap_or((0, known.address));
    assert!(buffer[..len].starts_with(b"SIP/2.0 200"), "one ping, one pong");
    assert!(stranger.heard_nothing());
}

#[test]
fn a_datagram_without_its_empty_line_is_answered_and_counted() {
    let edge = Process::start(&config("[trunk.a]\npeers = [\"sip:127.0.0.1:5070\"]\noptions_interval = \"0s\"\n"));
    let (peer, tolerated) = (Party::new("127.0.0.1"), "trunkgate_sip_tolerated_total{what=\"no_empty_line\"}");
    let sound = options(peer.address, "UDP");
    let another =
        |letter| sound.replace("z9hG4bKo", &format!("z9hG4bK{letter}")).replace("ID: o", &format!("ID: {letter}"));
    peer.send(edge.address("udp"), &sound);
    peer.receive("SIP/2.0 200");
    assert_eq!(edge.metric(tolerated), 0.0);
    peer.send(edge.address("udp"), another("p").strip_suffix("\r\n").unwrap());
    peer.receive("SIP/2.0 200");
    assert_eq!(edge.metric(tolerated), 1.0);
    // A rejected message is not tolerated.
    let refused = another("q").replace("Content-Length: 0\r\n\r\n", "Content-Length: 9\r\n");
    peer.send(edge.address("udp"), &refused);
    peer.receive("SIP/2.0 400");
    assert_eq!(edge.metric(tolerated), 1.0);
}

/// Returns the tables of two UDP listeners, each of which advertises another name.
fn two_listeners(rest: &str) -> String {
    format!(
        "[edge]\nname = \"under-test\"\nlocal_networks = []\npublic_address = \"203.0.113.1\"\n\
         [[listen]]\nname = \"first\"\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\nname = \"second\"\ntransport = \"udp\"\naddress = \"127.0.0.5:0\"\npublic_address = \"203.0.113.2\"\n\
         [media]\naddress = [\"127.0.0.1\"]\nthreads = 1\n[http]\naddress = \"127.0.0.1:0\"\n{rest}"
    )
}

#[test]
fn a_trunk_leaves_by_its_listener_and_is_shown_that_one_s_address() {
    let (caller, near, far) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"), Party::new("127.0.0.3"));
    let edge = Process::start(&two_listeners(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [trunk.near]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [trunk.far]\npeers = [\"sip:{}\"]\nlisten = \"second\"\n\
         [[route]]\nfrom = [\"caller\"]\nto = [\"+1*\"]\nconnect = [\"trunk:near\", \"trunk:far\"]\n",
        caller.address, near.address, far.address
    )));
    // The ready line names both listeners by their transport, in this order.
    let udp: Vec<SocketAddr> = edge
        .ready
        .split_whitespace()
        .filter_map(|part| part.strip_prefix("udp="))
        .map(|a| a.parse().unwrap())
        .collect();
    let [first, second] = udp[..] else { panic!("{}", edge.ready) };
    // OPTIONS use that listener, too.
    let (asked, from) = far.receive("OPTIONS ");
    assert_eq!(from, second);
    assert!(field(&asked, "Via").starts_with(&format!("SIP/2.0/UDP 203.0.113.2:{}", second.port())), "{asked}");
    far.send(from, &far.answer(&asked, "200 OK", false));

    caller.send(first, &caller.request("INVITE", "+14155550123", first, "one", 1, ""));
    for (party, listener, public) in [(&near, first, "203.0.113.1"), (&far, second, "203.0.113.2")] {
        let (invite, from) = party.receive("INVITE ");
        assert_eq!(from, listener);
        let port = listener.port();
        assert!(field(&invite, "Via").starts_with(&format!("SIP/2.0/UDP {public}:{port};")), "{invite}");
        assert!(field(&invite, "Contact").contains(&format!("@{public}:{port}")), "{invite}");
        assert!(invite.contains(&format!("\r\nc=IN IP4 {public}\r\n")), "{invite}");
        assert!(!invite.contains("127.0.0.1:") && !invite.contains("IP4 127."), "{invite}");
        party.send(from, &party.answer(&invite, "503 Service Unavailable", false));
        party.receive("ACK ");
    }
    let (refused, _) = caller.receive("SIP/2.0 503");
    assert!(!refused.contains("203.0.113.2"), "{refused}");
}

#[test]
fn a_call_from_ipv4_to_ipv6_and_back() {
    let (four, six) = (Phone::new("127.0.0.1"), Phone::new("::1"));
    let edge = Process::start(&format!(
        "[edge]\nname = \"under-test\"\n\
         [[listen]]\nname = \"four\"\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\nname = \"six\"\ntransport = \"udp\"\naddress = \"[::1]:0\"\n\
         [media]\naddress = [\"127.0.0.1\", \"::1\"]\nthreads = 1\n[http]\naddress = \"127.0.0.1:0\"\n\
         {}{}\
         [[route]]\nfrom = [\"four\"]\nconnect = [\"trunk:six\"]\n[[route]]\nfrom = [\"six\"]\nconnect = [\"trunk:four\"]\n",
        four.trunk("four"),
        six.trunk("six")
    ));
    let udp: Vec<SocketAddr> = edge
        .ready
        .split_whitespace()
        .filter_map(|part| part.strip_prefix("udp="))
        .map(|a| a.parse().unwrap())
        .collect();
    let [via_four, via_six] = udp[..] else { panic!("{}", edge.ready) };
    for (id, sip, other, caller, callee) in
        [("up", via_four, via_six, &four, &six), ("down", via_six, via_four, &six, &four)]
    {
        let call = Call::agree(sip, id, (caller, &caller.description(1, "")), (callee, &callee.description(1, "")));
        assert_eq!(call.invite.1, other, "each side by the listener of its family");
        let host = if other.is_ipv6() { format!("[{}]:{}", other.ip(), other.port()) } else { other.to_string() };
        assert!(field(&call.invite.0, "Via").starts_with(&format!("SIP/2.0/UDP {host};")), "{}", call.invite.0);
        assert!(field(&call.invite.0, "Contact").contains(&format!("@{host}")), "{}", call.invite.0);
        assert_eq!((call.near.is_ipv6(), call.far.is_ipv6()), (sip.is_ipv6(), other.is_ipv6()));
        let version = if other.is_ipv6() { "c=IN IP6 ::1" } else { "c=IN IP4 127.0.0.1" };
        assert!(call.invite.0.contains(version), "{}", call.invite.0);
        // Audio passes in both directions, bit for bit.
        for (from, to, at) in [(caller, callee, call.near), (callee, caller, call.far)] {
            for sequence in 1..5 {
                from.rtp.send_to(&crate::support::calls::rtp(7, sequence), at).unwrap();
            }
            let (packet, source) = crate::support::calls::received(&to.rtp);
            assert_eq!(packet[12..], crate::support::calls::rtp(7, u16::from(packet[3]))[12..]);
            assert_eq!(source.is_ipv6(), to.rtp_address().is_ipv6());
        }
        call.hang_up(2, caller, callee);
    }
}

#[test]
fn a_dialog_goes_on_over_the_connection_that_it_came_by() {
    // The address in the caller's Contact accepts connections, but while the caller's own connection is open, that one
    // is used.
    let (contact, callee) = (TcpListener::bind("127.0.0.1:0").unwrap(), Party::new("127.0.0.2"));
    let edge = Process::start(&config(&format!(
        "[trunk.caller]\naccept_from = [\"127.0.0.1/32\"]\n[trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [[route]]\nfrom = [\"caller\"]\nconnect = [\"trunk:pbx\"]\n",
        callee.address
    )));
    let tcp = edge.address("tcp");
    let mut caller = connect("127.0.0.1", tcp);
    let text = Party::new("127.0.0.1");
    let over_tcp = |text: String| text.replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let invite = over_tcp(text.request("INVITE", "+14155550123", tcp, "one", 1, ""));
    let reachable = contact.local_addr().unwrap();
    let invite = invite.replace(&format!("caller@{}", text.address), &format!("caller@{reachable};transport=tcp"));
    caller.write_all(invite.as_bytes()).unwrap();
    let (asked, from) = callee.receive("INVITE ");
    callee.send(from, &callee.answer(&asked, "200 OK", true));
    callee.receive("ACK ");
    let mut got = String::new();
    let mut buffer = [0; 4096];
    while !got.contains("SIP/2.0 200") || !got.ends_with("\r\n") {
        let len = caller.read(&mut buffer).unwrap();
        got.push_str(&String::from_utf8_lossy(&buffer[..len]));
    }
    let ok = &got[got.find("SIP/2.0 200").unwrap()..];
    let tag = crate::support::sip::to_tag(ok).to_owned();
    let ack = over_tcp(text.request("ACK", "+14155550123", tcp, "one", 1, &tag));
    caller.write_all(ack.as_bytes()).unwrap();
    let bye = {
        let me = callee.address;
        format!(
            "BYE sip:edge@{from} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n\
             From: {};tag=callee\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            field(&asked, "To"),
            field(&asked, "From"),
            field(&asked, "Call-ID")
        )
    };
    callee.send(from, &bye);
    got.clear();
    while !got.contains("BYE sip:") {
        let len = caller.read(&mut buffer).unwrap();
        assert!(len > 0, "closed");
        got.push_str(&String::from_utf8_lossy(&buffer[..len]));
    }
    contact.set_nonblocking(true).unwrap();
    assert!(contact.accept().is_err(), "no second connection");
}

#[test]
fn a_request_on_a_connection_that_its_far_end_drops_goes_by_a_new_one() {
    let (caller, peer) = (Party::new("127.0.0.1"), TcpListener::bind("127.0.0.2:0").unwrap());
    let edge = Process::start(&config(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [trunk.peer]\npeers = [\"sip:{};transport=tcp\"]\noptions_interval = \"0s\"\n\
         [[route]]\nfrom = [\"caller\"]\nconnect = [\"trunk:peer\"]\n",
        caller.address,
        peer.local_addr().unwrap()
    )));
    let invite_of = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !text.contains("\r\n\r\nv=0") {
            let len = stream.read(&mut buffer).unwrap();
            assert_ne!(len, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..len]));
        }
        // The ACK to an earlier rejection may precede the INVITE.
        text.split_off(text.find("INVITE ").unwrap())
    };
    let udp = edge.address("udp");
    caller.send(udp, &caller.request("INVITE", "+14155550123", udp, "one", 1, ""));
    // The proxy restarts: requests that it has read are lost.
    let (mut first, _) = peer.accept().unwrap();
    let lost = invite_of(&mut first);
    drop(first);
    let (mut second, _) = peer.accept().unwrap();
    let again = invite_of(&mut second);
    assert_eq!(field(&again, "Via"), field(&lost, "Via"), "a server that has it already sees a retransmission");
    second.write_all(caller.answer(&again, "486 Busy Here", false).as_bytes()).unwrap();
    caller.receive("SIP/2.0 486");
    // The edge sends a request again only once.
    caller.send(udp, &caller.request("INVITE", "+14155550124", udp, "two", 1, ""));
    drop((invite_of(&mut second), second));
    let (mut third, _) = peer.accept().unwrap();
    drop((invite_of(&mut third), third));
    caller.receive("SIP/2.0 503");
}
