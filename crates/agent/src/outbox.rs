//! Outgoing queue of a socket. If the socket is slow, each new frame replaces the oldest one; control messages are
//! never dropped.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{OUTBOX_CONTROL_MESSAGES, OUTBOX_CONTROL_PAUSE, OUTBOX_CONTROL_PAUSE_BYTES, OUTBOX_MEDIA_FRAMES};
use crate::snapshot::UnsentMessage;

/// Close code of a normal end, by either side (RFC 6455 §7.4.1).
pub const NORMAL_CLOSE: u16 = 1000;

/// Message to be written to the WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketMessage {
    /// Text message, always valid UTF-8.
    Text(Bytes),
    /// Binary message.
    Binary(Bytes),
    /// Ping without payload.
    Ping,
    /// Close frame with this code, always the last message.
    Close(u16),
}

#[derive(Debug)]
enum OutboxEntry {
    Media(SocketMessage),
    Control(SocketMessage),
}

/// Queue of messages in order. If it is full, a new media frame replaces the oldest one, and a control message is
/// rejected.
#[derive(Debug, Default)]
pub struct AgentOutbox {
    queue: VecDeque<OutboxEntry>,
    media: usize,
    /// Bytes of queued control messages.
    control_bytes: usize,
    dropped: u64,
}

fn bytes(transmit: &SocketMessage) -> usize {
    match transmit {
        SocketMessage::Text(bytes) | SocketMessage::Binary(bytes) => bytes.len(),
        SocketMessage::Ping | SocketMessage::Close(_) => 0,
    }
}

impl AgentOutbox {
    /// Adds a frame; returns whether the oldest one was dropped for it.
    pub(crate) fn push_media(&mut self, frame: SocketMessage) -> bool {
        let full = self.media >= OUTBOX_MEDIA_FRAMES;
        if full {
            let oldest = self.queue.iter().position(|waiting| matches!(waiting, OutboxEntry::Media(_)));
            if oldest.and_then(|oldest| self.queue.remove(oldest)).is_some() {
                self.media -= 1;
                self.dropped += 1;
            }
        }
        self.queue.push_back(OutboxEntry::Media(frame));
        self.media += 1;
        full
    }

    /// Adds a control message; returns false, without adding it, if the queue is full.
    #[must_use]
    pub(crate) fn push_control(&mut self, transmit: SocketMessage) -> bool {
        if self.control() >= OUTBOX_CONTROL_MESSAGES {
            return false;
        }
        self.control_bytes += bytes(&transmit);
        self.queue.push_back(OutboxEntry::Control(transmit));
        true
    }

    /// Removes and returns the oldest message; `None` if the queue is empty.
    pub fn pop(&mut self) -> Option<SocketMessage> {
        match self.queue.pop_front()? {
            OutboxEntry::Media(frame) => {
                self.media -= 1;
                Some(frame)
            }
            OutboxEntry::Control(transmit) => {
                self.control_bytes -= bytes(&transmit);
                Some(transmit)
            }
        }
    }

    /// Returns the queued messages as serializable data; close and binary messages are omitted.
    pub(crate) fn snapshot(&self) -> Vec<UnsentMessage> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let unsent = |entry: &OutboxEntry| match entry {
            OutboxEntry::Media(SocketMessage::Text(bytes)) => Some(UnsentMessage::Media(text(bytes))),
            OutboxEntry::Control(SocketMessage::Text(bytes)) => Some(UnsentMessage::Control(text(bytes))),
            OutboxEntry::Control(SocketMessage::Ping) => Some(UnsentMessage::Ping),
            OutboxEntry::Media(_) | OutboxEntry::Control(SocketMessage::Binary(_) | SocketMessage::Close(_)) => None,
        };
        self.queue.iter().filter_map(unsent).collect()
    }

    /// Restores a queue from messages of a snapshot.
    pub(crate) fn restore(unsent: Vec<UnsentMessage>) -> AgentOutbox {
        let mut outbox = AgentOutbox::default();
        for message in unsent {
            match message {
                UnsentMessage::Media(text) => {
                    outbox.push_media(SocketMessage::Text(text.into()));
                }
                // The messages fit, because they were queued under the same limit before.
                UnsentMessage::Control(text) => drop(outbox.push_control(SocketMessage::Text(text.into()))),
                UnsentMessage::Ping => drop(outbox.push_control(SocketMessage::Ping)),
            }
        }
        outbox
    }

    /// Discards all queued messages.
    pub fn clear(&mut self) {
        self.queue.clear();
        (self.media, self.control_bytes) = (0, 0);
    }

    /// Returns whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns the number of queued media frames.
    pub fn media(&self) -> usize {
        self.media
    }

    /// Returns the number of queued control messages.
    pub fn control(&self) -> usize {
        self.queue.len() - self.media
    }

    /// Returns whether so many responses are queued that the socket should not be read.
    pub fn is_crowded(&self) -> bool {
        self.control() >= OUTBOX_CONTROL_PAUSE || self.control_bytes >= OUTBOX_CONTROL_PAUSE_BYTES
    }

    /// Returns the number of media frames dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: usize) -> Bytes {
        Bytes::from(n.to_string())
    }

    fn frame(n: usize) -> SocketMessage {
        SocketMessage::Text(text(n))
    }

    #[test]
    fn the_oldest_frame_goes_first_and_control_stays() {
        let mut outbox = AgentOutbox::default();
        assert!(outbox.push_control(SocketMessage::Text(text(1000))));
        for n in 0..OUTBOX_MEDIA_FRAMES {
            assert!(!outbox.push_media(frame(n)));
            if n == 0 {
                assert!(outbox.push_control(SocketMessage::Ping));
            }
        }
        assert!(outbox.push_media(frame(OUTBOX_MEDIA_FRAMES)));
        assert!(outbox.push_media(frame(OUTBOX_MEDIA_FRAMES + 1)));
        assert_eq!((outbox.dropped(), outbox.media(), outbox.control()), (2, OUTBOX_MEDIA_FRAMES, 2));
        assert_eq!(outbox.pop(), Some(SocketMessage::Text(text(1000))));
        assert_eq!(outbox.pop(), Some(SocketMessage::Ping));
        for n in 2..OUTBOX_MEDIA_FRAMES + 2 {
            assert_eq!(outbox.pop(), Some(SocketMessage::Text(text(n))));
        }
        assert_eq!(outbox.pop(), None);
        assert!(outbox.is_empty());
    }

    #[test]
    fn control_is_refused_at_its_limit() {
        let mut outbox = AgentOutbox::default();
        for n in 0..OUTBOX_CONTROL_MESSAGES {
            assert_eq!(outbox.is_crowded(), n >= OUTBOX_CONTROL_PAUSE);
            assert!(outbox.push_control(SocketMessage::Text(text(n))));
        }
        assert!(!outbox.push_control(SocketMessage::Ping));
        outbox.clear();
        assert!(outbox.push_control(SocketMessage::Close(1000)));
        assert_eq!((outbox.media(), outbox.control()), (0, 1));
    }

    #[test]
    fn few_long_answers_crowd_it_as_well() {
        let mut outbox = AgentOutbox::default();
        assert!(outbox.push_control(SocketMessage::Text(vec![b'm'; OUTBOX_CONTROL_PAUSE_BYTES - 1].into())));
        outbox.push_media(frame(0));
        assert!(!outbox.is_crowded());
        assert!(outbox.push_control(SocketMessage::Text(text(1))));
        assert!(outbox.is_crowded());
        outbox.pop();
        assert!(!outbox.is_crowded());
        assert!(outbox.push_control(SocketMessage::Text(vec![b'm'; OUTBOX_CONTROL_PAUSE_BYTES].into())));
        outbox.clear();
        assert!(!outbox.is_crowded());
    }
}
