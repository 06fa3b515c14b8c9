//! UDP sockets of simulated phones on loopback: receiving, and waiting for the next event.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Maximum length of a datagram, in bytes.
const DATAGRAM_BYTES: usize = 65_535;

/// A datagram with its time of arrival.
#[derive(Debug)]
pub(crate) struct TimedDatagram {
    pub(crate) at: Instant,
    pub(crate) source: SocketAddr,
    /// Local media address that received the datagram; `None` for SIP.
    pub(crate) media: Option<SocketAddr>,
    pub(crate) bytes: Bytes,
}

/// Binds a UDP socket to a free loopback port.
pub(crate) async fn bind() -> std::io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
}

/// Reads datagrams of a socket into a queue until its receiver is dropped.
pub(crate) async fn read(socket: Rc<UdpSocket>, media: Option<SocketAddr>, packets: mpsc::Sender<TimedDatagram>) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        // A read error is an ICMP error for an earlier datagram; reading continues.
        let Ok((length, source)) = socket.recv_from(&mut buffer).await else { continue };
        let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        if packets.send(TimedDatagram { at: Instant::now(), source, media, bytes }).await.is_err() {
            return;
        }
    }
}

/// Sleeps until the given time; with `None`, never returns.
pub(crate) async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
