//! An agent's socket outside of any worker, for a test or a probe of it: opened, written and read by the same code, waited for by
//! tokio instead of a worker's epoll.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep_until;
use trunkgate_media::SocketSpec;
use trunkgate_media::agent::{Loss, Transmit};

use super::agent_connect::{Fault, Target};
use super::agent_socket::{Heard, Said, Socket};
use super::port_set::State;
use crate::own_sockets::OwnSockets;

/// An open socket.
pub struct Visit {
    socket: Socket,
    /// The same connection, to wait by.
    watch: TcpStream,
    /// Not read before then: it has had its share.
    rests_until: Option<Instant>,
}

/// What an agent did at its socket.
pub enum Done {
    /// A text.
    Text(String),
    /// A binary message of so many bytes.
    Binary(usize),
    /// The answer to a ping.
    Pong,
    /// A ping, answered.
    Ping,
    /// It closed, with this code and reason if any.
    Closed(Option<u16>, String),
}

/// How it failed: as a call would be told, and what is known beside.
pub type Failed = (Loss, String);

pub(super) fn failed(Fault { loss, detail }: Fault) -> Failed {
    (loss, detail)
}

impl Visit {
    /// The whole way there, to the answer 101.
    pub async fn open(spec: &SocketSpec, own: &watch::Receiver<OwnSockets>) -> Result<Visit, Failed> {
        let target = Target::new(spec).map_err(failed)?;
        let open = target.reach(spec, own, Arc::default()).await.map_err(failed)?;
        let watched = |error: io::Error| (Loss::Unreachable, error.to_string());
        let watch = open.get_ref().get_ref().as_fd().try_clone_to_owned().map_err(watched)?;
        let watch = TcpStream::from_std(watch.into()).map_err(watched)?;
        Ok(Visit { socket: Socket::new(open), watch, rests_until: None })
    }

    /// Writes what there is, as far as it is taken.
    pub fn write(&mut self, next: impl FnMut() -> Option<Transmit>) -> Result<(), Failed> {
        // Forgotten before the socket is asked: what comes from then on is told.
        self.forget(Interest::WRITABLE);
        self.socket.write(next).map_err(failed)
    }

    /// What has come, if anything.
    pub fn read(&mut self) -> Result<Option<Done>, Failed> {
        if self.rests_until.take_if(|until| *until <= Instant::now()).is_some() {
            self.awake(true, false);
        }
        if self.rests_until.is_some() || !self.socket.is_readable() {
            return Ok(None);
        }
        self.forget(Interest::READABLE);
        match self.socket.read().map_err(failed)? {
            Heard::Said(Said::Text(text)) => Ok(Some(Done::Text(text.as_str().to_owned()))),
            Heard::Said(Said::Binary(bytes)) => Ok(Some(Done::Binary(bytes))),
            Heard::Said(Said::Pong) => Ok(Some(Done::Pong)),
            Heard::Said(Said::Ping) => Ok(Some(Done::Ping)),
            Heard::Said(Said::Closed(code, reason)) => Ok(Some(Done::Closed(code, reason))),
            Heard::Nothing => Ok(None),
            Heard::Later(until) => {
                self.rests_until = Some(until);
                Ok(None)
            }
        }
    }

    /// Until there may be something to read or room to write, at the latest until then.
    pub async fn wait(&mut self, until: Instant) {
        let until = self.rests_until.map_or(until, |rest| rest.min(until));
        let interest =
            if self.socket.is_blocked() { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        tokio::select! {
            ready = self.watch.ready(interest), if self.rests_until.is_none() => {
                // An error is met again by who reads.
                let (readable, writable) = ready.map_or((true, true), |ready| {
                    (ready.is_readable() || ready.is_read_closed(), ready.is_writable() || ready.is_write_closed())
                });
                self.awake(readable, writable);
            }
            () = sleep_until(until.into()) => {}
        }
    }

    /// Whether it has ended is not known here: it is asked each time.
    fn awake(&mut self, readable: bool, writable: bool) {
        self.socket.awake(State { readable, writable, ended: true });
    }

    fn forget(&self, interest: Interest) {
        let _ = self.watch.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}
