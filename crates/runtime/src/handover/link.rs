//! Connection between a process that ends and its successor: messages with descriptors over a Unix socket.
//!
//! A message is its length and its number of descriptors (`u32`, `u32`, big-endian), the descriptors in groups beside
//! one byte each (SCM_RIGHTS), and its body as JSON. Bodies have keys of SRTP and TLS and are wiped.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Maximum descriptors sent beside one byte; Linux accepts at most 253.
const GROUP: usize = 200;
/// Maximum length of a body, far above the state of ten thousand calls.
const MESSAGE_BYTES: usize = 1 << 30;
/// Maximum length of the body of a successor's message, which contains no calls.
const SHORT_MESSAGE_BYTES: usize = 1 << 20;
/// Maximum number of descriptors of a message.
const DESCRIPTORS: usize = 100_000;
/// Byte that is sent with each group of descriptors.
const GROUP_MARK: u8 = b'F';

/// Connection to the other process.
#[derive(Debug)]
pub struct HandoverLink {
    stream: UnixStream,
}

impl HandoverLink {
    /// Returns both ends of a new connection.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn pair() -> io::Result<(HandoverLink, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((HandoverLink { stream: ours }, theirs.into()))
    }

    /// Returns the connection of a descriptor, which must be a Unix stream socket.
    ///
    /// # Errors
    /// Returns the system's error if it is not.
    pub fn received(descriptor: OwnedFd) -> io::Result<HandoverLink> {
        let stream = UnixStream::from(descriptor);
        stream.peer_addr()?;
        Ok(HandoverLink { stream })
    }

    /// Sends a message with descriptors, within [`super::PATIENCE`].
    ///
    /// # Errors
    /// Returns the system's error, for example if the other process has ended.
    pub fn send(&mut self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut body = WipedBody::default();
        serde_json::to_writer(&mut body, message)?;
        let body = body.bytes;
        let too_long = || io::Error::other("the message is too long");
        let length = u32::try_from(body.len()).map_err(|_| too_long())?;
        let count = u32::try_from(descriptors.len()).map_err(|_| too_long())?;
        let deadline = Instant::now() + super::PATIENCE;
        self.write_until(deadline, &[length.to_be_bytes(), count.to_be_bytes()].concat())?;
        for group in descriptors.chunks(GROUP) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(GROUP))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !ancillary.push(SendAncillaryMessage::ScmRights(group)) {
                return Err(io::Error::other("no room for the descriptors"));
            }
            self.stream.set_write_timeout(Some(time_left(deadline)?))?;
            sendmsg(self.stream.as_fd(), &[IoSlice::new(&[GROUP_MARK])], &mut ancillary, SendFlags::NOSIGNAL)?;
        }
        self.write_until(deadline, &body)
    }

    /// Receives a message of a predecessor with its descriptors; waits at most `within` for all of it.
    ///
    /// # Errors
    /// Returns the system's error, `UnexpectedEof` if the other process has ended, `TimedOut`, or `InvalidData` for
    /// another message.
    pub fn receive<T: DeserializeOwned>(&mut self, within: Duration) -> io::Result<(T, Vec<OwnedFd>)> {
        self.receive_at_most(MESSAGE_BYTES, Instant::now() + within)
    }

    /// Receives a message of a successor, which has no descriptors and is short; waits at most `within` for all of it.
    ///
    /// # Errors
    /// Returns the errors of [`Self::receive`].
    pub fn receive_short<T: DeserializeOwned>(&mut self, within: Duration) -> io::Result<T> {
        Ok(self.receive_at_most(SHORT_MESSAGE_BYTES, Instant::now() + within)?.0)
    }

    fn receive_at_most<T: DeserializeOwned>(
        &mut self,
        most: usize,
        deadline: Instant,
    ) -> io::Result<(T, Vec<OwnedFd>)> {
        let mut head = [0; 8];
        self.read_until(deadline, &mut head)?;
        let [a, b, c, d, e, f, g, h] = head;
        let (length, count) = (u32::from_be_bytes([a, b, c, d]) as usize, u32::from_be_bytes([e, f, g, h]) as usize);
        if length > most || count > DESCRIPTORS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no message of an edge"));
        }
        let mut descriptors = Vec::with_capacity(count);
        while descriptors.len() < count {
            let before = descriptors.len();
            self.stream.set_read_timeout(Some(time_left(deadline)?))?;
            self.receive_group(&mut descriptors).map_err(plain)?;
            if descriptors.len() == before {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors are missing"));
            }
        }
        let mut body = Zeroizing::new(vec![0; length]);
        self.read_until(deadline, &mut body)?;
        Ok((serde_json::from_slice(&body)?, descriptors))
    }

    /// Writes all bytes before the deadline, however slowly the other process reads.
    ///
    /// # Errors
    /// Returns the system's error, or an error if the deadline has passed.
    fn write_until(&mut self, deadline: Instant, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(time_left(deadline)?))?;
            match self.stream.write(bytes) {
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(plain(error)),
            }
        }
        Ok(())
    }

    /// Fills a buffer. The deadline applies to all reads together: a process that sends a byte now and then does not
    /// extend it.
    ///
    /// # Errors
    /// Returns the system's error, or an error if the deadline has passed.
    fn read_until(&mut self, deadline: Instant, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            self.stream.set_read_timeout(Some(time_left(deadline)?))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(plain(io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => buffer = buffer.get_mut(len..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(plain(error)),
            }
        }
        Ok(())
    }

    fn receive_group(&self, into: &mut Vec<OwnedFd>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(GROUP))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut mark = [0];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(self.stream.as_fd(), &mut [IoSliceMut::new(&mut mark)], &mut ancillary, flags)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                into.extend(descriptors);
            }
        }
        Ok(())
    }
}

/// Returns the time until a deadline, for a socket's time-out, which must not be zero.
///
/// # Errors
/// Returns an error if the deadline has passed.
fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(plain(io::ErrorKind::TimedOut.into())) } else { Ok(left) }
}

/// Replaces the error of a failed read or write by one with an understandable text.
fn plain(error: io::Error) -> io::Error {
    use io::ErrorKind::{ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
    let kind = error.kind();
    if matches!(kind, UnexpectedEof | ConnectionReset) {
        return io::Error::new(UnexpectedEof, "the other process has closed the connection");
    }
    if matches!(kind, WouldBlock | TimedOut) {
        return io::Error::new(TimedOut, "the other process does not answer in time");
    }
    error
}

/// Body of a message being written; its memory is wiped, also when it grows.
#[derive(Debug, Default)]
struct WipedBody {
    bytes: Zeroizing<Vec<u8>>,
}

impl Write for WipedBody {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        let needed = self.bytes.len() + more.len();
        if needed > self.bytes.capacity() {
            // A vector that grows by itself leaves its former memory as it is.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.bytes.capacity())));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn messages_arrive_with_their_descriptors() {
        let (mut one, other) = HandoverLink::pair().unwrap();
        let mut other = HandoverLink::received(other).unwrap();
        let sockets: Vec<UdpSocket> = (0..450).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let sender = std::thread::spawn(move || {
            let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.as_fd()).collect();
            one.send(&"many", &descriptors).unwrap();
            one.send(&"none", &[]).unwrap();
        });
        let (text, descriptors): (String, _) = other.receive(PATIENCE).unwrap();
        assert_eq!(text, "many");
        let received: Vec<_> = descriptors.into_iter().map(|one| UdpSocket::from(one).local_addr().unwrap()).collect();
        assert_eq!(received, addresses);
        let (text, descriptors): (String, _) = other.receive(PATIENCE).unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("none", 0));
        sender.join().unwrap();
    }

    #[test]
    fn bodies_leave_no_copies() {
        let mut body = WipedBody::default();
        let text: Vec<u8> = (0..100_000).map(|n| (n % 251) as u8).collect();
        for piece in text.chunks(7) {
            let (room, before) = (body.bytes.capacity(), body.bytes.as_ptr());
            let fits = body.bytes.len() + piece.len() <= room;
            body.write_all(piece).unwrap();
            // A piece for which there is no room goes into new memory, and the former is wiped as a whole.
            assert_eq!(body.bytes.as_ptr() == before, fits);
        }
        assert_eq!(*body.bytes, text);
    }

    #[test]
    fn the_end_of_the_other_process_is_an_error() {
        let (one, other) = HandoverLink::pair().unwrap();
        drop(one);
        let error = HandoverLink::received(other).unwrap().receive::<String>(PATIENCE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn other_bytes_are_no_message() {
        let (mut one, other) = HandoverLink::pair().unwrap();
        one.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let error = HandoverLink::received(other).unwrap().receive::<String>(PATIENCE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_message_that_drips_does_not_extend_the_time() {
        let (mut one, other) = HandoverLink::pair().unwrap();
        let mut other = HandoverLink::received(other).unwrap();
        // A part of a head has arrived, and the time is over.
        one.stream.write_all(&[0; 3]).unwrap();
        let error = other.receive_at_most::<String>(MESSAGE_BYTES, Instant::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_successor_sends_no_long_message() {
        let (mut one, other) = HandoverLink::pair().unwrap();
        one.stream.write_all(&[0, 16, 0, 1, 0, 0, 0, 0]).unwrap();
        let error = HandoverLink::received(other).unwrap().receive_short::<String>(PATIENCE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_file_is_no_connection() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(HandoverLink::received(file.into()).is_err());
    }
}
