//! Rate and memory limits for data received from an agent, so that no agent uses up the worker's time or the memory
//! that other calls need.
//!
//! This layer between the connection and the WebSocket library does not change messages. It limits the bytes per read
//! and the sustained rate. Bytes are counted as received from the network, including TLS overhead, and each frame
//! counts some bytes extra for its processing. A long frame is passed on in pieces, like fragments (RFC 6455 §5.4),
//! because the library would allocate a buffer for all of it and keep that until the connection ends. Incomplete
//! messages count as held audio; while the edge is at its limit, long ones wait.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::Counter;
use trunkgate_media::limits::AGENT_BYTES_HELD;

use super::agent_stream::{MeteredSource, ReadCount};
use trunkgate_system::limits::{
    AGENT_BURST_BYTES, AGENT_BYTES_PER_SECOND, AGENT_FRAME_COST_BYTES, AGENT_GATHERED_BYTES, AGENT_MESSAGE_BYTES,
    AGENT_PAUSE, AGENT_PIECE_BYTES, AGENT_READ_BUFFER_BYTES, AGENT_SLICE_BYTES,
};

/// Bytes of a frame header without mask: two, and the longest extended length.
const HEADER_BYTES: usize = 10;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
/// Highest opcode of data frames: continuation, text, binary.
const LAST_DATA_OPCODE: u8 = 2;
const MASKED: u8 = 0x80;
const MASK_BYTES: u64 = 4;

thread_local! {
    /// Read buffer released by the last connection of this thread. Connections are read one after the other, and
    /// allocating a new buffer for each would cost more than the read itself.
    static SPARE: Cell<Box<[u8]>> = Cell::default();
}

/// Connection to an agent that enforces the limits.
#[derive(Debug)]
pub(super) struct MeteredIntake<S> {
    inner: S,
    /// Received bytes, passed on up to `at`. Allocated only while data is pending, since agents that only listen rarely
    /// send.
    buffer: Box<[u8]>,
    read: usize,
    at: usize,
    within: IntakeState,
    /// Frame header being received; `going` is the one being passed on.
    coming: FrameHeader,
    going: FrameHeader,
    /// Bytes of the incomplete message received so far.
    gathered: u64,
    /// Bytes that may still be read before other connections have their turn.
    slice: usize,
    credit: i64,
    since: Instant,
    /// Earliest time of the next read if a limit prevented the last one; otherwise `None`.
    pause: Option<Instant>,
    held: HeldBytes,
}

/// Bytes counted in the total of the edge; subtracted when dropped.
#[derive(Debug)]
struct HeldBytes {
    edge: Arc<Counter>,
    own: u64,
}

#[derive(Debug, Clone, Copy)]
enum IntakeState {
    /// Within the HTTP response to the handshake.
    Answer {
        /// Bytes of the current line.
        line: usize,
        /// True if a non-empty line has been received.
        begun: bool,
    },
    Header,
    Payload {
        /// Bytes of this piece that were not passed on yet.
        piece: u64,
        /// Bytes of the frame after this piece.
        behind: u64,
        /// True for a data frame, false for a control frame.
        data: bool,
        /// True for the last frame of the message.
        last: bool,
    },
}

/// Frame header, of which `at` bytes were passed on.
#[derive(Debug, Clone, Copy, Default)]
struct FrameHeader {
    bytes: [u8; HEADER_BYTES],
    len: usize,
    at: usize,
}

impl FrameHeader {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn of_piece(first: u8, len: u64) -> FrameHeader {
        let mut header = FrameHeader::default();
        header.push(first);
        match u8::try_from(len) {
            Ok(short) if short < 126 => header.push(short),
            _ => {
                header.push(126);
                // A piece is far smaller than 64 KiB.
                u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes().into_iter().for_each(|byte| header.push(byte));
            }
        }
        header
    }

    /// Returns the first byte, the mask flag and the payload length; `None` while the header is incomplete.
    fn read(&self) -> Option<(u8, bool, u64)> {
        let (&[first, second], rest) = self.bytes.get(..self.len)?.split_first_chunk()?;
        let len = match second & !MASKED {
            126 => u64::from(u16::from_be_bytes(rest.try_into().ok()?)),
            127 => u64::from_be_bytes(rest.try_into().ok()?),
            len => u64::from(len),
        };
        Some((first, second & MASKED != 0, len))
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..self.len).unwrap_or_default()
    }
}

impl<S> MeteredIntake<S> {
    /// Wraps a connection before its handshake; `held` counts the bytes that the whole edge holds for agents.
    pub(super) fn new(inner: S, held: Arc<Counter>) -> MeteredIntake<S> {
        MeteredIntake {
            inner,
            buffer: Box::default(),
            read: 0,
            at: 0,
            within: IntakeState::Answer { line: 0, begun: false },
            coming: FrameHeader::default(),
            going: FrameHeader::default(),
            gathered: 0,
            slice: AGENT_SLICE_BYTES,
            credit: AGENT_BURST_BYTES,
            since: Instant::now(),
            pause: None,
            held: HeldBytes { edge: held, own: 0 },
        }
    }

    /// Wraps a connection with an open WebSocket, between two messages.
    pub(super) fn resumed(inner: S, held: Arc<Counter>) -> MeteredIntake<S> {
        MeteredIntake { within: IntakeState::Header, ..MeteredIntake::new(inner, held) }
    }

    /// Returns whether every received byte was passed on and no message is incomplete.
    pub(super) fn is_between_messages(&self) -> bool {
        let is_at_header = matches!(self.within, IntakeState::Header) && self.coming.len == 0;
        is_at_header && self.going.rest().is_empty() && self.rest().is_empty() && self.gathered == 0
    }

    /// Returns the connection below the limits.
    pub(super) fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the connection below the limits; received bytes that were not passed on are lost.
    pub(super) fn into_inner(self) -> S {
        self.inner
    }

    /// Returns the connection below the limits, mutably.
    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the time of the next read if a limit prevented the last one; `None` if the next read has to wait for
    /// data.
    pub(super) fn pause(&self) -> Option<Instant> {
        self.pause
    }

    /// Passes received bytes on, as far as `out` has room.
    fn hand_out(&mut self, out: &mut ReadBuffer<'_>) {
        while out.is_open() {
            let header = self.going.rest();
            if !header.is_empty() {
                self.going.at += out.put(header);
                continue;
            }
            match self.within {
                IntakeState::Payload { piece: 0, behind: 0, data, last } => {
                    if data && last {
                        self.gathered = 0;
                    }
                    self.within = IntakeState::Header;
                }
                IntakeState::Payload { piece: 0, behind, data, last } => self.begin_piece(0, behind, data, last),
                IntakeState::Payload { piece, behind, data, last } => {
                    let taken = self.copy(usize::try_from(piece).unwrap_or(usize::MAX), out);
                    if taken == 0 {
                        return;
                    }
                    self.gathered += if data { taken } else { 0 };
                    self.within = IntakeState::Payload { piece: piece - taken, behind, data, last };
                }
                IntakeState::Header => {
                    let Some(byte) = self.rest().first() else { return };
                    self.coming.push(*byte);
                    self.at += 1;
                    if let Some(header) = self.coming.read() {
                        self.begin_frame(header);
                    }
                }
                IntakeState::Answer { line, begun } => {
                    let Some(byte) = self.rest().first() else { return };
                    self.within = match byte {
                        // Readers of HTTP skip empty lines before the first one.
                        b'\n' if line == 0 && begun => IntakeState::Header,
                        b'\n' => IntakeState::Answer { line: 0, begun },
                        b'\r' => IntakeState::Answer { line, begun },
                        _ => IntakeState::Answer { line: line.saturating_add(1), begun: true },
                    };
                    self.copy(1, out);
                }
            }
        }
    }

    fn begin_frame(&mut self, (first, masked, len): (u8, bool, u64)) {
        self.credit = self.credit.saturating_sub(AGENT_FRAME_COST_BYTES);
        let data = first & OPCODE <= LAST_DATA_OPCODE;
        let whole = std::mem::take(&mut self.coming);
        let longest = AGENT_MESSAGE_BYTES as u64;
        // Frames that the library rejects are passed on unchanged.
        if data && !masked && first & RESERVED == 0 && (AGENT_PIECE_BYTES + 1..=longest).contains(&len) {
            return self.begin_piece(first & OPCODE, len, true, first & FIN != 0);
        }
        let mask = if masked { MASK_BYTES } else { 0 };
        self.going = whole;
        self.within = IntakeState::Payload { piece: len.saturating_add(mask), behind: 0, data, last: first & FIN != 0 };
    }

    fn begin_piece(&mut self, opcode: u8, len: u64, data: bool, last: bool) {
        let piece = len.min(AGENT_PIECE_BYTES);
        let behind = len - piece;
        let fin = if last && behind == 0 { FIN } else { 0 };
        self.going = FrameHeader::of_piece(fin | opcode, piece);
        self.within = IntakeState::Payload { piece, behind, data, last };
    }

    /// Returns the received bytes that are not passed on yet.
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..self.read).unwrap_or_default()
    }

    /// Passes up to `most` received bytes on unchanged; returns their number.
    fn copy(&mut self, most: usize, out: &mut ReadBuffer<'_>) -> u64 {
        let rest = self.buffer.get(self.at..self.read).unwrap_or_default();
        let taken = out.put(rest.get(..most).unwrap_or(rest));
        self.at += taken;
        taken as u64
    }

    /// Checks whether the limits allow a read now.
    ///
    /// # Errors
    /// Returns the time of the next read if they do not.
    fn may_read(&mut self) -> Result<(), Instant> {
        let now = Instant::now();
        if self.slice == 0 {
            self.slice = AGENT_SLICE_BYTES;
            return Err(now);
        }
        self.credit = self.credit.saturating_add(earned(now.duration_since(self.since))).min(AGENT_BURST_BYTES);
        self.since = now;
        let crowded = self.gathered > AGENT_GATHERED_BYTES && self.held.edge.get() >= AGENT_BYTES_HELD;
        if self.credit > 0 && !crowded { Ok(()) } else { Err(now + AGENT_PAUSE) }
    }
}

/// Destination buffer of a read.
#[derive(Debug)]
struct ReadBuffer<'a> {
    bytes: &'a mut [u8],
    filled: usize,
}

impl ReadBuffer<'_> {
    fn is_open(&self) -> bool {
        self.filled < self.bytes.len()
    }

    /// Appends as many bytes as fit; returns their number.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let taken = bytes.len().min(room.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..taken), bytes.get(..taken)) {
            room.copy_from_slice(bytes);
        }
        self.filled += taken;
        taken
    }
}

fn earned(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX).saturating_mul(AGENT_BYTES_PER_SECOND) / 1_000_000
}

impl HeldBytes {
    fn set(&mut self, own: u64) {
        if own == self.own {
            return;
        }
        self.edge.add(own.saturating_sub(self.own));
        self.edge.sub(self.own.saturating_sub(own));
        self.own = own;
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl<S: MeteredSource> Read for MeteredIntake<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut room = ReadBuffer { bytes: out, filled: 0 };
        self.pause = None;
        loop {
            self.hand_out(&mut room);
            self.held.set(self.gathered);
            if room.filled > 0 || !room.is_open() {
                return Ok(room.filled);
            }
            if let Err(until) = self.may_read() {
                self.pause = Some(until);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if self.buffer.is_empty() {
                self.buffer = SPARE.take();
            }
            if self.buffer.is_empty() {
                self.buffer = vec![0; AGENT_READ_BUFFER_BYTES].into_boxed_slice();
            }
            let taken = self.inner.take(&mut self.buffer);
            if taken.is_err() {
                // Everything has been passed on.
                SPARE.set(std::mem::take(&mut self.buffer));
            }
            let ReadCount { len, wire } = taken?;
            (self.read, self.at) = (len, 0);
            if len == 0 && wire == 0 {
                return Ok(0);
            }
            self.slice = self.slice.saturating_sub(wire);
            self.credit = self.credit.saturating_sub(i64::try_from(wire).unwrap_or(i64::MAX));
        }
    }
}

impl<S: Write> Write for MeteredIntake<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl MeteredSource for &[u8] {
        fn take(&mut self, out: &mut [u8]) -> io::Result<ReadCount> {
            let len = self.read(out)?;
            Ok(ReadCount { len, wire: len })
        }
    }

    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..126 => bytes.push(len as u8),
            len @ 126..0x1_0000 => {
                bytes.push(126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(payload);
        bytes
    }

    /// Returns the frames in a byte sequence: first byte and payload.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while let [first, second, ..] = *bytes {
            let (from, len) = match second & 0x7f {
                126 => (4, u16::from_be_bytes(bytes[2..4].try_into().unwrap()).into()),
                127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
                len => (2, usize::from(len)),
            };
            frames.push((first, bytes[from..from + len].to_vec()));
            bytes = &bytes[from + len..];
        }
        assert_eq!(bytes, b"");
        frames
    }

    /// Returns messages and control frames: opcode and payload.
    fn messages(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let (mut messages, mut open): (Vec<_>, Option<(u8, Vec<u8>)>) = (Vec::new(), None);
        for (first, payload) in frames(bytes) {
            assert!(payload.len() <= AGENT_PIECE_BYTES as usize, "a piece of {}", payload.len());
            if first & OPCODE > LAST_DATA_OPCODE {
                messages.push((first & OPCODE, payload));
                continue;
            }
            match (&mut open, first & OPCODE) {
                (Some((_, gathered)), 0) => gathered.extend(payload),
                (None, 1 | 2) => open = Some((first & OPCODE, payload)),
                other => panic!("{other:?}"),
            }
            if first & FIN != 0 {
                messages.extend(open.take());
            }
        }
        assert_eq!(open, None);
        messages
    }

    /// Reads, waiting whenever a limit requires it.
    fn read(intake: &mut MeteredIntake<&[u8]>, out: &mut [u8]) -> usize {
        loop {
            match (intake.read(out), intake.pause()) {
                (Ok(len), _) => return len,
                (Err(_), Some(until)) => std::thread::sleep(until.saturating_duration_since(Instant::now())),
                (Err(error), None) => panic!("{error}"),
            }
        }
    }

    fn pass(bytes: &[u8], at_once: usize) -> Vec<u8> {
        let mut intake = MeteredIntake::new(bytes, Arc::default());
        let (mut out, mut some) = (Vec::new(), vec![0; at_once]);
        loop {
            match read(&mut intake, &mut some) {
                0 => return out,
                len => out.extend(&some[..len]),
            }
        }
    }

    fn after_the_answer(bytes: &[u8]) -> &[u8] {
        bytes.strip_prefix(ANSWER).unwrap()
    }

    #[test]
    fn a_long_frame_becomes_fragments() {
        let payload: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        let sent = [ANSWER, &frame(0x81, &payload), &frame(0x81, b"{}")].concat();
        let passed = pass(&sent, 1000);
        let heads: Vec<_> =
            frames(after_the_answer(&passed)).iter().map(|(first, payload)| (*first, payload.len())).collect();
        assert_eq!(heads, [(0x01, 4096), (0x00, 4096), (0x80, 1808), (0x81, 2)]);
        assert_eq!(messages(after_the_answer(&passed)), [(1, payload), (1, b"{}".to_vec())]);
    }

    #[test]
    fn what_the_library_refuses_comes_to_it_as_it_is() {
        let masked = [&[0x81, 0xfe, 0x20, 0][..], &[7; 0x2000 + 4]].concat();
        let reserved = frame(0xc1, &[7; 5000]);
        let endless = [&[0x81, 0x7f][..], &u64::MAX.to_be_bytes(), b"{}"].concat();
        for refused in [masked, reserved, endless, frame(0x8f, &[7; 5000])] {
            let sent = [ANSWER, &refused].concat();
            assert_eq!(pass(&sent, 1000), sent);
        }
    }

    #[test]
    fn the_answer_ends_with_an_empty_line_of_either_kind() {
        let long = frame(0x82, &[7; 5000]);
        for answer in ["\r\n\r\nHTTP/1.1 101 x\r\nA: b\r\n\r\n", "HTTP/1.1 101 x\nA: b\n\n"] {
            let sent = [answer.as_bytes(), &long].concat();
            let passed = pass(&sent, 4096);
            assert_eq!(messages(passed.strip_prefix(answer.as_bytes()).unwrap()), [(2, vec![7; 5000])]);
        }
    }

    /// An incomplete message counts while it lasts; if the edge is at its limit, a long one waits.
    #[test]
    fn a_message_that_is_not_complete_is_held_by_the_edge() {
        let held = Arc::new(Counter::default());
        let sent = [ANSWER, &frame(0x01, &[b'a'; 5000]), &frame(0x80, b"b")].concat();
        let mut intake = MeteredIntake::new(sent.as_slice(), held.clone());
        let mut some = vec![0; ANSWER.len() + 4 + 4096 + 4 + 904];
        let mut filled = 0;
        while filled < some.len() {
            filled += read(&mut intake, &mut some[filled..]);
        }
        assert_eq!(held.get(), 5000);
        while read(&mut intake, &mut some) > 0 {}
        assert_eq!(held.get(), 0);

        let long = [ANSWER, &frame(0x01, &[b'a'; 3 << 20])].concat();
        let mut intake = MeteredIntake::new(long.as_slice(), held.clone());
        held.add(AGENT_BYTES_HELD);
        let mut taken = 0;
        let waits = loop {
            match (intake.read(&mut some), intake.pause()) {
                (Ok(len), _) => taken += len,
                (Err(_), Some(until)) if until > Instant::now() => break true,
                (Err(_), pause) => assert!(pause.is_some()),
            }
        };
        let share = usize::try_from(AGENT_GATHERED_BYTES).unwrap();
        assert!(waits && (share..share + AGENT_READ_BUFFER_BYTES * 2).contains(&taken), "{taken}");
        held.sub(AGENT_BYTES_HELD);
        assert!(read(&mut intake, &mut some) > 0);
        drop(intake);
        assert_eq!(held.get(), 0);
    }

    #[test]
    fn others_have_their_turn_between_two_slices() {
        let sent = [ANSWER, &frame(0x82, &[7; 100_000])].concat();
        let mut intake = MeteredIntake::new(sent.as_slice(), Arc::default());
        let (mut slices, mut taken, mut some) = (Vec::new(), 0, [0; 1000]);
        loop {
            match intake.read(&mut some) {
                Ok(0) => break,
                Ok(len) => taken += len,
                Err(_) => slices.push(std::mem::take(&mut taken)),
            }
        }
        assert_eq!(slices.iter().sum::<usize>() + taken, pass(&sent, 1000).len());
        assert!(slices.len() >= 6 && slices.iter().all(|slice| *slice <= AGENT_SLICE_BYTES + 100), "{slices:?}");
    }

    /// A burst at full speed, then at the limited rate.
    #[test]
    fn a_flood_is_read_slowly() {
        for (unit, cost) in [(frame(0x01, b""), 2 + 256), (frame(0x82, &[7; 1000]), 1004 + 256)] {
            let count = usize::try_from((AGENT_BURST_BYTES + AGENT_BYTES_PER_SECOND / 2) / cost).unwrap();
            let sent = [ANSWER, &unit.repeat(count)].concat();
            let start = Instant::now();
            assert_eq!(pass(&sent, 4096).len(), sent.len());
            assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
        }
    }

    proptest! {
        #[test]
        fn messages_are_what_they_were(
            sent in proptest::collection::vec((0_usize..4, 0_usize..20_000, any::<u8>()), 0..12),
            at_once in 1_usize..9000,
        ) {
            let (mut bytes, mut expected) = (ANSWER.to_vec(), Vec::new());
            for (kind, len, fill) in sent {
                let payload = vec![fill; len];
                match kind {
                    0 => {
                        bytes.extend(frame(0x89, &payload[..len.min(125)]));
                        expected.push((9, payload[..len.min(125)].to_vec()));
                        continue;
                    }
                    1 => bytes.extend(frame(0x81, &payload)),
                    2 => bytes.extend(frame(0x82, &payload)),
                    _ => {
                        let (one, two) = payload.split_at(len / 3);
                        bytes.extend(frame(0x01, one));
                        bytes.extend(frame(0x00, two));
                        bytes.extend(frame(0x80, b""));
                    }
                }
                expected.push((if kind == 2 { 2 } else { 1 }, payload));
            }
            let passed = pass(&bytes, at_once);
            prop_assert_eq!(messages(after_the_answer(&passed)), expected);
        }
    }
}
