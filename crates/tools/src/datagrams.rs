//! Datagrams of phones on loopback: sockets, what comes to them, and the wait for a phone's next act.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Longest datagram read, in bytes.
const DATAGRAM_BYTES: usize = 65_535;

/// A datagram, with the moment it was read.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) at: Instant,
    pub(crate) source: SocketAddr,
    /// The media address it came to; `None` for SIP.
    pub(crate) media: Option<SocketAddr>,
    pub(crate) bytes: Bytes,
}

/// Binds a free port of loopback.
pub(crate) async fn bind() -> std::io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
}

/// Reads until no receiver is left.
pub(crate) async fn read(socket: Rc<UdpSocket>, media: Option<SocketAddr>, packets: mpsc::Sender<Packet>) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        // A read error is an ICMP answer to something sent before: the next read goes on.
        let Ok((length, source)) = socket.recv_from(&mut buffer).await else { continue };
        let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        if packets.send(Packet { at: Instant::now(), source, media, bytes }).await.is_err() {
            return;
        }
    }
}

/// Waits until then; for ever without a time.
pub(crate) async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
