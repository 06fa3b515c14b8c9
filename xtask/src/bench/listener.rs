//! Listeners of forked calls: an agent that accepts every stream and reads all of it, and a socket that is not
//! read, so that the system discards its packets. The agent runs on the load generator's core, so that it takes no CPU time from the
//! device under test.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio_tungstenite::tungstenite;

use super::process::stay_on_generator_core;

/// Interval at which the agent polls its sockets.
const PAUSE: Duration = Duration::from_millis(5);

/// Agent for many calls, in one thread that ends with the process.
#[derive(Debug)]
pub(crate) struct Listener {
    /// WebSocket address of the agent.
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Listener {
    /// Starts an agent on a free loopback port.
    pub(crate) fn start() -> anyhow::Result<Listener> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let accepted = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&accepted);
        std::thread::spawn(move || drop(listen(&socket, &counted)));
        Ok(Listener { address, accepted })
    }

    /// Returns the number of connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

fn listen(socket: &TcpListener, counted: &AtomicUsize) -> anyhow::Result<()> {
    stay_on_generator_core()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX))?;
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut events = vec![EpollEvent::empty(); 256];
    let mut buffer = vec![0; 65_536];
    loop {
        // A real agent runs on another machine, so waking it must not cost the device: this one polls and never blocks.
        std::thread::sleep(PAUSE);
        let ready = epoll.wait(&mut events, EpollTimeout::ZERO)?;
        for event in events.iter().take(ready) {
            if event.data() == u64::MAX {
                let (stream, _) = socket.accept()?;
                let Ok(accepted) = tungstenite::accept(stream) else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                let stream = accepted.get_ref().try_clone()?;
                stream.set_nonblocking(true)?;
                epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, streams.len() as u64))?;
                streams.push(stream);
            } else if let Some(stream) = streams.get_mut(usize::try_from(event.data())?)
                && matches!(stream.read(&mut buffer), Ok(0))
            {
                epoll.delete(&*stream)?;
            }
        }
    }
}

/// Socket that receives and discards raw RTP.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Local address of the socket.
    pub(crate) address: SocketAddr,
    /// Held open during the sink's lifetime; the kernel drops packets beyond its buffer.
    _socket: UdpSocket,
}

/// Opens a sink on a free port.
pub(crate) fn sink() -> anyhow::Result<Sink> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    Ok(Sink { address: socket.local_addr()?, _socket: socket })
}
