//! Lower bound: a relay with only the socket calls and, if the sides have PCMU and PCMA, a table for each direction.
//! One thread, one level-triggered epoll, one socket per stream, one `recvfrom` and one `sendto` per packet; the
//! addresses of both peers are configured.

use std::io::{BufRead as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, SockaddrIn, recvfrom, sendto};

use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use super::generator::{Pair, Paths};
use super::process::{Device, on_device_core};
use super::speech::Codec;

/// Codec conversion of a packet: its payload type, and the mapping of each byte.
struct Table {
    number: u8,
    bytes: [u8; 256],
}

impl Table {
    fn new(number: u8, decode: fn(u8) -> i16, encode: fn(i16) -> u8) -> Table {
        let mut bytes = [0; 256];
        for (code, byte) in (0..=u8::MAX).zip(&mut bytes) {
            *byte = encode(decode(code));
        }
        Table { number, bytes }
    }

    fn convert(&self, packet: &mut [u8]) {
        let Some(([_, first, ..], payload)) = packet.split_first_chunk_mut::<12>() else { return };
        *first = *first & 0x80 | self.number;
        for byte in payload {
            *byte = self.bytes[usize::from(*byte)];
        }
    }
}

/// Runs the relay process: reads "near far" lines until an empty one, prints its own "near far" addresses for each, and
/// relays until killed; `converts`: the caller has PCMU, the other side PCMA.
pub(crate) fn serve(converts: bool) -> anyhow::Result<()> {
    let tables = converts.then(|| [Table::new(8, decode_ulaw, encode_alaw), Table::new(0, decode_alaw, encode_ulaw)]);
    let mut sockets: Vec<(UdpSocket, SockaddrIn)> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let Some((near, far)) = line.split_once(' ') else { break };
        let ours = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
        println!("{} {}", ours[0].local_addr()?, ours[1].local_addr()?);
        for (socket, peer) in ours.into_iter().zip([near, far]) {
            socket.set_nonblocking(true)?;
            sockets.push((socket, SockaddrIn::from(peer.parse::<std::net::SocketAddrV4>()?)));
        }
    }
    std::io::stdout().flush()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (at, (socket, _)) in sockets.iter().enumerate() {
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
    }
    let mut events = vec![EpollEvent::empty(); 256];
    let mut buffer = [0; 2048];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in events.iter().take(ready) {
            let at = usize::try_from(event.data())?;
            // The two sockets of a session have adjacent indices.
            let (Some((from, _)), Some((out, peer))) = (sockets.get(at), sockets.get(at ^ 1)) else { continue };
            if let Ok((len, _)) = recvfrom::<SockaddrIn>(from.as_raw_fd(), &mut buffer) {
                let packet = buffer.get_mut(..len).unwrap_or_default();
                if let Some(tables) = &tables {
                    tables[at % 2].convert(packet);
                }
                let _ = sendto(out.as_raw_fd(), packet, peer, MsgFlags::MSG_DONTWAIT);
            }
        }
    }
}

/// Starts a relay process for these pairs.
pub(crate) fn start(pairs: &[Pair]) -> anyhow::Result<(Device, Vec<Paths>)> {
    let numbers = match pairs.first().map(|pair| pair.codecs) {
        Some((Codec::Pcmu, Codec::Pcma)) => (0, 8),
        Some((near, far)) if near != far => bail!("the bare relay makes no {} of {}", far.name(), near.name()),
        _ => (0, 0),
    };
    let child = on_device_core(std::env::current_exe()?)
        .arg("bare-relay")
        .args((numbers != (0, 0)).then_some("--converts"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .context("starting the bare relay")?;
    let mut device = Device::new(child);
    let mut input = device.child().stdin.take().context("stdin")?;
    let mut output = std::io::BufReader::new(device.child().stdout.take().context("stdout")?);
    let mut paths = Vec::new();
    for pair in pairs {
        writeln!(input, "{} {}", pair.near.local_addr()?, pair.far.local_addr()?)?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        let Some((near, far)) = line.trim().split_once(' ') else { bail!("the bare relay said {line:?}") };
        let address = |text: &str| text.parse::<SocketAddr>();
        paths.push(Paths { near: address(near)?, far: address(far)?, numbers, keys: None });
    }
    writeln!(input)?;
    Ok((device, paths))
}
