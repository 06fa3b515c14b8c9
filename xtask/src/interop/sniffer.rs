//! Sniffed RTP on loopback, for peers without recordings. Needs the right to read packets (`CAP_NET_RAW`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket,
    sockopt::{RcvBuf, RcvBufForce, ReceiveTimeout},
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::rtp;

/// Protocol number of UDP.
const UDP: u8 = 17;

/// Size in bytes of the buffer for waiting packets. The default buffer holds 50 ms of a case with six calls, less than
/// the scheduling delay on a busy machine: a packet dropped there would look as if it had never been sent.
const WAITING: usize = 32 << 20;

/// PCMU packets by their destination address.
type Heard = BTreeMap<Ipv4Addr, Vec<Packet>>;

/// Sniffed packet.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// Time at which the packet was captured.
    pub(crate) at: Instant,
    /// RTP sequence number of the packet.
    pub(crate) sequence: u16,
    /// Decoded samples of the packet.
    pub(crate) samples: Vec<f64>,
}

/// Running sniffer, stopped on drop.
#[derive(Debug)]
pub(crate) struct Sniffer {
    heard: Arc<Mutex<Heard>>,
    over: Arc<AtomicBool>,
}

impl Sniffer {
    /// Starts a sniffer on loopback.
    pub(crate) fn start() -> anyhow::Result<Sniffer> {
        let family = AddressFamily::Packet;
        // For a single protocol, loopback shows each packet only once: on arrival.
        let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::EthIp)
            .context("a socket that reads packets (CAP_NET_RAW)")?;
        setsockopt(&socket, RcvBufForce, &WAITING).or_else(|_| setsockopt(&socket, RcvBuf, &WAITING))?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(100))?;
        let (heard, over) = (Arc::<Mutex<Heard>>::default(), Arc::new(AtomicBool::new(false)));
        let (kept, ends) = (Arc::clone(&heard), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut bytes = [0; 2_048];
            while !ends.load(Ordering::Relaxed) {
                let Ok(length) = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) else { continue };
                let packet = bytes.get(..length).and_then(pcmu);
                let Some((to, packet)) = packet else { continue };
                kept.lock().unwrap_or_else(PoisonError::into_inner).entry(to).or_default().push(packet);
            }
        });
        Ok(Sniffer { heard, over })
    }

    /// Returns the packets sent to an address since the start.
    pub(crate) fn heard(&self, by: Ipv4Addr) -> Vec<Packet> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(&by).cloned().unwrap_or_default()
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Parses an IPv4 packet that contains 20 ms of PCMU; returns the destination address and the packet.
fn pcmu(bytes: &[u8]) -> Option<(Ipv4Addr, Packet)> {
    let header = usize::from(bytes.first()? & 0x0F) * 4;
    if bytes.first()? >> 4 != 4 || *bytes.get(9)? != UDP {
        return None;
    }
    let to: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
    let datagram = bytes.get(header + 8..)?;
    let is_pcmu = datagram.first() == Some(&0x80) && datagram.get(1)? & 0x7F == 0;
    let (sequence, payload) = rtp::read(datagram).filter(|(_, payload)| is_pcmu && payload.len() == 160)?;
    let samples = payload.iter().copied().map(rtp::linear).collect();
    Some((Ipv4Addr::from(to), Packet { at: Instant::now(), sequence, samples }))
}
