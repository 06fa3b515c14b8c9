//! Simulated NAT: packets to its inside address are forwarded to the edge from another address, byte for byte, and the
//! edge's packets are forwarded back, with both directions counted. As with any NAT, addresses inside of messages are
//! unchanged.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

/// Interval at which waiting threads check whether to end.
const TICK: Duration = Duration::from_millis(20);

/// Traffic that has passed the NAT.
#[derive(Debug, Default)]
struct Passed {
    out: AtomicU64,
    back: AtomicU64,
    /// First line of each datagram from the edge.
    heads: Mutex<Vec<String>>,
    /// Number of connections to the edge.
    connections: AtomicU64,
    ended: AtomicBool,
}

impl Passed {
    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }
}

/// Running NAT, ended on drop.
#[derive(Debug)]
pub(crate) struct Nat {
    /// Inside address, to which phones send.
    pub(crate) inside: SocketAddr,
    passed: Arc<Passed>,
}

impl Nat {
    /// Starts a NAT for datagrams between one sender at a time and `edge`: the sender sends to `inside`, and the edge
    /// sees `outside`.
    pub(crate) fn udp(inside: &str, outside: &str, edge: SocketAddr) -> anyhow::Result<Nat> {
        let near = UdpSocket::bind((inside, 0)).context(inside.to_owned())?;
        let far = UdpSocket::bind((outside, 0)).context(outside.to_owned())?;
        far.connect(edge)?;
        let nat = Nat { inside: near.local_addr()?, passed: Arc::default() };
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(TICK))?;
        }
        let sender = Arc::new(Mutex::new(None));
        let (passed, known) = (Arc::clone(&nat.passed), Arc::clone(&sender));
        let (near_out, far_out) = (near.try_clone()?, far.try_clone()?);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while passed.goes_on() {
                let Ok((n, from)) = near_out.recv_from(&mut buffer) else { continue };
                *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
                passed.out.fetch_add(n as u64, Ordering::Relaxed);
                drop(far_out.send(buffer.get(..n).unwrap_or_default()));
            }
        });
        let passed = Arc::clone(&nat.passed);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while passed.goes_on() {
                let Ok(n) = far.recv(&mut buffer) else { continue };
                let bytes = buffer.get(..n).unwrap_or_default();
                let head = String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
                passed.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                passed.back.fetch_add(n as u64, Ordering::Relaxed);
                if let Some(to) = *sender.lock().unwrap_or_else(PoisonError::into_inner) {
                    drop(near.send_to(bytes, to));
                }
            }
        });
        Ok(nat)
    }

    /// Starts a NAT for TCP connections to `edge`, which sees 127.0.0.1.
    pub(crate) fn tcp(inside: &str, edge: SocketAddr) -> anyhow::Result<Nat> {
        let listener = TcpListener::bind((inside, 0)).context(inside.to_owned())?;
        listener.set_nonblocking(true)?;
        let nat = Nat { inside: listener.local_addr()?, passed: Arc::default() };
        let passed = Arc::clone(&nat.passed);
        std::thread::spawn(move || {
            while passed.goes_on() {
                match listener.accept() {
                    Ok((near, _)) => drop(join(near, edge, &passed)),
                    Err(_) => std::thread::sleep(TICK),
                }
            }
        });
        Ok(nat)
    }

    /// Returns the number of bytes forwarded to the edge, and back.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.passed.out.load(Ordering::Relaxed), self.passed.back.load(Ordering::Relaxed))
    }

    /// Returns the number of connections forwarded to the edge.
    pub(crate) fn connections(&self) -> u64 {
        self.passed.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of datagrams from the edge with this beginning.
    pub(crate) fn came_back(&self, beginning: &str) -> usize {
        let heads = self.passed.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().filter(|head| head.starts_with(beginning)).count()
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.passed.ended.store(true, Ordering::Relaxed);
    }
}

/// Connects to the edge, and forwards both directions of a connection.
fn join(near: TcpStream, edge: SocketAddr, passed: &Arc<Passed>) -> anyhow::Result<()> {
    let far = TcpStream::connect(edge)?;
    near.set_nonblocking(false)?;
    passed.connections.fetch_add(1, Ordering::Relaxed);
    let ways = [(near.try_clone()?, far.try_clone()?, true), (far, near, false)];
    for (mut from, mut to, is_out) in ways {
        let passed = Arc::clone(passed);
        from.set_read_timeout(Some(TICK))?;
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while passed.goes_on() {
                let n = match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(error)
                        if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                    {
                        continue;
                    }
                    Err(_) => break,
                };
                let counter = if is_out { &passed.out } else { &passed.back };
                counter.fetch_add(n as u64, Ordering::Relaxed);
                if to.write_all(buffer.get(..n).unwrap_or_default()).is_err() {
                    break;
                }
            }
            for stream in [&from, &to] {
                drop(stream.shutdown(Shutdown::Both));
            }
        });
    }
    Ok(())
}
