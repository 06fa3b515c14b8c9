//! Garbage from addresses that belong to no trunk.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, identical, numbered_tone};
use crate::interop::sipp::{CARRIER, CARRIER_TO_PBX, PBX};

const STRANGER: &str = "127.0.0.66";
const PACKETS: u32 = 200;

/// Returns the messages that an unknown source sends to a SIP port.
fn messages(here: SocketAddr, edge: SocketAddr) -> Vec<Vec<u8>> {
    let head = |method: &str| {
        format!(
            "{method} sip:+14155550100@{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{method};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:x@{here}>;tag=1\r\nTo: <sip:y@{edge}>\r\nCall-ID: stranger-{method}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:x@{here}>\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    };
    let mut all: Vec<Vec<u8>> =
        ["OPTIONS", "INVITE", "REGISTER", "BYE", "CANCEL", "MESSAGE", "NOSUCH"].into_iter().map(head).collect();
    all.push(b"SIP/2.0 200 OK\r\n\r\n".to_vec());
    all.push(b"\r\n\r\n".to_vec());
    all.push(vec![0; 1_400]);
    all.push((0..=255).cycle().take(1_400).collect());
    all.push(b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP".to_vec());
    all
}

/// Makes a call with a tone while unknown sources send to the SIP ports and to both media ports of the call.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: a trunk accepts every address.
    let open = "[trunk.everybody]\noptions_interval = \"0s\"\naccept_from = [\"127.0.0.0/8\"]\n";
    let mut edge = Edge::start(&format!("{CARRIER_TO_PBX}{}", if setting.sabotage { open } else { "" }))?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let callee = Phone::new(PBX, 5060, "callee")?;
    let sent = numbered_tone(PACKETS);
    let udp = edge.udp;
    let tcp = edge.tcp;
    let outcome = std::thread::scope(|scope| {
        let far = scope.spawn(|| -> anyhow::Result<_> {
            let call = callee.answer()?;
            let heard = callee.talk(call.media, &sent)?;
            callee.expect_bye()?;
            Ok(heard)
        });
        let call = caller.call(udp, "+14155550100")?;
        let media = call.media;
        let stranger = scope.spawn(move || intrude(udp, tcp, media));
        let back = caller.talk(call.media, &sent)?;
        caller.bye(&call)?;
        let there = far.join().map_err(|_| anyhow!("the callee panicked"))??;
        let (thrown, came_back) = stranger.join().map_err(|_| anyhow!("the stranger panicked"))??;
        Ok::<_, anyhow::Error>((identical(&sent, &there), identical(&sent, &back), there.len(), thrown, came_back))
    })?;
    let (there, back, arrived, thrown, came_back) = outcome;
    edge.assert_alive()?;
    if came_back > 0 {
        bail!("{came_back} bytes went to a stranger");
    }
    if there != sent.len() || back != sent.len() || arrived != sent.len() {
        bail!("the call was harmed: {there} and {back} of {PACKETS} packets whole, {arrived} arrived");
    }
    let counted = edge.metric("trunkgate_sip_dropped_total")?;
    if counted < 1.0 {
        bail!("nothing was counted as dropped");
    }
    Ok(format!("{thrown} messages thrown, 0 bytes back, {counted} counted, call bit-identical"))
}

/// Sends garbage to all ports for 3 s; returns the number of messages sent, and of bytes received.
fn intrude(udp: SocketAddr, tcp: Option<SocketAddr>, media: SocketAddr) -> anyhow::Result<(usize, usize)> {
    let socket = UdpSocket::bind((STRANGER, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    let all = messages(socket.local_addr()?, udp);
    let rtp = crate::interop::rtp::packet(9_000, 1, 0xBAD, &[0x55; 160]);
    let rtcp_port = SocketAddr::new(media.ip(), media.port() + 1);
    let (mut thrown, mut came_back) = (0, 0);
    let mut buffer = [0; 2_048];
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        for message in &all {
            socket.send_to(message, udp)?;
            socket.send_to(message, media)?;
            socket.send_to(&rtp, media)?;
            socket.send_to(&rtp, rtcp_port)?;
            thrown += 4;
            while let Ok(n) = socket.recv(&mut buffer) {
                came_back += n;
            }
        }
    }
    if let Some(tcp) = tcp {
        came_back += by_tcp(tcp, &all)?;
    }
    Ok((thrown, came_back))
}

/// Sends messages by TCP, from an address that belongs to no trunk; returns the number of bytes received.
fn by_tcp(edge: SocketAddr, all: &[Vec<u8>]) -> anyhow::Result<usize> {
    let socket = socket(STRANGER)?;
    let mut stream = match socket.connect_timeout(edge) {
        Ok(stream) => stream,
        Err(_) => return Ok(0),
    };
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    for message in all {
        if stream.write_all(message).is_err() {
            break;
        }
    }
    let mut back = Vec::new();
    drop(stream.read_to_end(&mut back));
    Ok(back.len())
}

/// TCP socket that is bound to a local address before it connects.
struct Bound(std::os::fd::OwnedFd);

fn socket(address: &str) -> anyhow::Result<Bound> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
    use std::os::fd::AsRawFd as _;
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let ip: std::net::Ipv4Addr = address.parse()?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(std::net::SocketAddrV4::new(ip, 0)))?;
    Ok(Bound(fd))
}

impl Bound {
    fn connect_timeout(self, to: SocketAddr) -> anyhow::Result<TcpStream> {
        use std::os::fd::AsRawFd as _;
        let SocketAddr::V4(to) = to else { bail!("IPv4 only") };
        nix::sys::socket::connect(self.0.as_raw_fd(), &nix::sys::socket::SockaddrIn::from(to))?;
        Ok(TcpStream::from(self.0))
    }
}
