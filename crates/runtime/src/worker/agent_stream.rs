//! Established TCP or TLS connection to an agent, driven by readiness events. No operation blocks: it returns
//! `WouldBlock` instead. No operation loops while more data arrives, as [`rustls::Stream`] does. Another process can
//! continue the connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use trunkgate_tls_record::{TlsSession, TlsSnapshot};

/// TCP or TLS connection to an agent.
#[derive(Debug)]
pub(super) struct AgentTransport {
    tcp: TcpStream,
    tls: Option<Box<TlsSession>>,
    /// True if the system will signal further data by another readiness event.
    told: bool,
    /// True if all received data was read, and no read is useful before the next event.
    emptied: bool,
}

impl AgentTransport {
    /// Wraps a non-blocking connection; `tls` has completed its handshake.
    pub(super) fn new(tcp: TcpStream, tls: Option<TlsSession>) -> AgentTransport {
        AgentTransport { tcp, tls: tls.map(Box::new), told: false, emptied: false }
    }

    /// Continues a connection of another process.
    ///
    /// # Errors
    /// Returns an error if the keys of the snapshot cannot be used.
    pub(super) fn resume(descriptor: OwnedFd, tls: Option<TlsSnapshot>) -> io::Result<AgentTransport> {
        let tls = tls.map(TlsSession::resume).transpose().map_err(invalid)?;
        Ok(AgentTransport::new(TcpStream::from(descriptor), tls))
    }

    /// Returns whether another process can continue the connection, with respect to its TLS state.
    pub(super) fn can_cross(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.can_cross())
    }

    /// Returns the descriptor and the TLS state for the process that continues the connection.
    ///
    /// # Errors
    /// Returns an error if the TLS state cannot be exported; the connection is then closed.
    pub(super) fn into_parts(self) -> io::Result<(OwnedFd, Option<TlsSnapshot>)> {
        let tls = self.tls.map(|tls| tls.into_snapshot()).transpose().map_err(invalid)?;
        Ok((self.tcp.into(), tls))
    }

    /// Handles a readiness event. With `ended`, no further event may follow.
    pub(super) fn awake(&mut self, ended: bool) {
        (self.told, self.emptied) = (!ended, false);
    }
}

impl AsFd for AgentTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

/// Result of a read; both fields are zero at the end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadCount {
    /// Bytes of payload returned; 0 if the received data contains none yet.
    pub(super) len: usize,
    /// Bytes read from the network, including TLS overhead and TLS messages.
    pub(super) wire: usize,
}

/// Connection that reports how many bytes a read took from the network.
pub(super) trait MeteredSource {
    /// Reads from the network at most once; moves the received payload into `out`.
    fn take(&mut self, out: &mut [u8]) -> io::Result<ReadCount>;
}

impl MeteredSource for AgentTransport {
    fn take(&mut self, out: &mut [u8]) -> io::Result<ReadCount> {
        let Some(tls) = &mut self.tls else {
            if self.emptied {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let len = self.tcp.read(out)?;
            // After a short read an edge-triggered epoll signals further data (epoll(7)).
            self.emptied = self.told && len < out.len();
            return Ok(ReadCount { len, wire: len });
        };
        if tls.has_data() || tls.is_ended() {
            return Ok(ReadCount { len: tls.read(out), wire: 0 });
        }
        // The buffer for the data first takes the records.
        let wire = self.tcp.read(out)?;
        if wire == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Err(fault) = tls.receive(out.get(..wire).unwrap_or_default()) {
            // Send the TLS alert, if the system accepts it.
            let _ = self.write_records();
            return Err(invalid(fault));
        }
        Ok(ReadCount { len: tls.read(out), wire })
    }
}

/// Writing does not read from the socket: the readiness event for data read here would be lost.
impl Write for AgentTransport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_records()?;
        let Some(tls) = &mut self.tls else { return self.tcp.write(bytes) };
        let len = tls.write(bytes).map_err(invalid)?;
        // The data is accepted in any case; a failure is reported by the next call.
        let _ = self.write_records();
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_records()
    }
}

impl AgentTransport {
    /// Writes the pending TLS records.
    fn write_records(&mut self) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| !tls.unsent().is_empty()) {
            match self.tcp.write(tls.unsent())? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => tls.mark_sent(sent),
            }
        }
        Ok(())
    }
}

fn invalid(fault: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

    use super::super::agent_intake::MeteredIntake;
    use super::*;
    use trunkgate_system::certificates::provider;
    use trunkgate_system::limits::{AGENT_READ_BUFFER_BYTES, AGENT_SLICE_BYTES};

    type Far = StreamOwned<ServerConnection, TcpStream>;

    /// Returns a connection after its handshake; the remote side then sends this many session tickets and runs `far`.
    fn connected(tickets: usize, far: impl FnOnce(Far) + Send + 'static) -> AgentTransport {
        let certificate = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key.into())
            .unwrap();
        server.send_tls13_tickets = tickets;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.cert.der().clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.enable_secret_extraction = true;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        std::thread::spawn(move || {
            let mut tcp = listener.accept().unwrap().0;
            let mut tls = ServerConnection::new(Arc::new(server)).unwrap();
            while tls.is_handshaking() || tls.wants_write() {
                tls.complete_io(&mut tcp).unwrap();
            }
            far(StreamOwned::new(tls, tcp));
        });
        let name = ServerName::try_from("a.example").unwrap();
        let mut tls = TlsSession::connect(Arc::new(client), name).unwrap();
        loop {
            tcp.write_all(tls.unsent()).unwrap();
            tls.mark_sent(usize::MAX);
            if !tls.is_handshaking() {
                break;
            }
            let mut bytes = [0; 4096];
            let len = tcp.read(&mut bytes).unwrap();
            tls.receive(&bytes[..len]).unwrap();
        }
        tcp.set_nonblocking(true).unwrap();
        AgentTransport::new(tcp, Some(tls))
    }

    /// TLS messages without payload must not keep the thread busy, however many arrive.
    #[test]
    fn one_read_takes_little_from_the_network_and_says_how_much() {
        let mut stream = connected(400, |mut far| far.write_all(b"a").unwrap());
        let (mut all, mut some) = (0, [0; 100]);
        loop {
            match stream.take(&mut some) {
                Ok(ReadCount { len, wire }) => {
                    assert!((1..=AGENT_READ_BUFFER_BYTES).contains(&wire), "{wire}");
                    all += wire;
                    if len > 0 {
                        break;
                    }
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
            }
        }
        // A ticket has about a hundred bytes; the first ones came with the handshake.
        assert!(all > 3 * AGENT_READ_BUFFER_BYTES, "{all}");
    }

    #[test]
    fn a_record_for_each_byte_costs_what_it_is() {
        let stream = connected(0, |mut far| [b'a'; 4000].iter().for_each(|byte| far.write_all(&[*byte]).unwrap()));
        let mut intake = MeteredIntake::new(stream, Arc::default());
        let (mut heard, mut pauses, mut some) = (0, 0, [0; 100]);
        while heard < 4000 {
            match (intake.read(&mut some), intake.pause()) {
                (Ok(len), _) => heard += len,
                (Err(error), pause) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                    pauses += usize::from(pause.is_some());
                }
            }
        }
        // Each record is a header, a byte of payload, the record type, and a tag.
        assert!(pauses >= 4000 * 23 / (AGENT_SLICE_BYTES + AGENT_READ_BUFFER_BYTES), "{pauses}");
    }

    /// The system signals data once; a write must not consume it.
    #[test]
    fn a_blocked_write_takes_nothing_in() {
        let (speak, told) = std::sync::mpsc::channel();
        let mut stream = connected(0, move |mut far| {
            told.recv().unwrap();
            far.write_all(b"hello").unwrap();
            // Keep the connection open until the test ends.
            let _ = told.recv();
        });
        let until_blocked = |stream: &mut AgentTransport| {
            let error = std::iter::repeat_with(|| stream.write(&[7; 4096])).find_map(Result::err).unwrap();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        };
        until_blocked(&mut stream);
        speak.send(()).unwrap();
        while stream.tcp.peek(&mut [0]).is_err() {
            std::thread::yield_now();
        }
        until_blocked(&mut stream);
        assert!(stream.tcp.peek(&mut [0]).is_ok(), "taken in by a write");
        let mut heard = [0; 100];
        assert_eq!(stream.take(&mut heard).unwrap().len, 5);
    }

    /// The remote party notices nothing, although a record is incomplete each time the connection moves to another
    /// process.
    #[test]
    fn another_process_continues_the_connection() {
        let mut stream = connected(2, |mut far| {
            let mut some = [0; 100];
            while let Ok(len @ 1..) = far.read(&mut some) {
                far.write_all(&some[..len]).unwrap();
            }
        });
        for text in ["one", "two", "three"] {
            assert_eq!(stream.write(text.as_bytes()).unwrap(), text.len());
            stream.flush().unwrap();
            // The first bytes of the answer are received before the crossing, the others after it.
            let mut heard = [0; 9];
            while let Err(error) = stream.take(&mut heard[..3]) {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            }
            assert!(stream.can_cross());
            let (descriptor, tls) = stream.into_parts().unwrap();
            stream = AgentTransport::resume(descriptor, tls).unwrap();
            let mut len = 0;
            while len < text.len() {
                match stream.take(&mut heard[len..]) {
                    Ok(count) => len += count.len,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            assert_eq!(&heard[..len], text.as_bytes());
        }
    }

    /// After a read to the end of the data, the next read waits for an event; the end of the connection is signalled
    /// together with preceding data, or not separately at all.
    #[test]
    fn what_was_emptied_is_asked_when_the_system_tells() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut far = listener.accept().unwrap().0;
        let (mut stream, mut some) = (AgentTransport::new(tcp, None), [0; 9]);
        let mut say = |stream: &AgentTransport, bytes: &[u8]| {
            far.write_all(bytes).unwrap();
            assert_eq!(stream.tcp.peek(&mut [0; 9]).unwrap(), bytes.len());
        };
        let mut heard =
            |stream: &mut AgentTransport| stream.take(&mut some).map_err(|error| error.kind()).map(|taken| taken.len);
        // After the handshake no event is pending.
        say(&stream, b"1");
        assert_eq!(heard(&mut stream), Ok(1));
        say(&stream, b"22");
        stream.awake(false);
        assert_eq!(heard(&mut stream), Ok(2));
        say(&stream, b"333");
        assert_eq!(heard(&mut stream), Err(io::ErrorKind::WouldBlock));
        stream.awake(false);
        assert_eq!(heard(&mut stream), Ok(3));
        say(&stream, &[4; 9]);
        stream.awake(true);
        drop(far);
        assert_eq!((heard(&mut stream), heard(&mut stream)), (Ok(9), Ok(0)));
        assert_eq!(heard(&mut stream), Ok(0), "an end is told whenever it is asked");
    }
}
