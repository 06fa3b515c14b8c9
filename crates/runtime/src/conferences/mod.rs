//! Mixing thread of all conferences: owns the conference node, and ticks every 20 ms while a conference exists.
//!
//! Audio frames of parties pass through rings (`crates/conference/src/ring.rs`). Only commands and events use channels,
//! which are unbounded like those of the workers, so signalling and mixing never wait for each other. The media
//! sessions of parties tick 2 ms after this thread, from the same epoch.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use trunkgate_conference::limits::FRAME;
use trunkgate_conference::{ConferenceNode, NodeCommand, NodeEvent};
use trunkgate_media::{Recorded, RecordingId};

use crate::worker::{next_tick, raise_priority};

/// Handle to the mixing thread.
#[derive(Debug)]
pub struct MixerHandle {
    commands: Sender<NodeCommand>,
    events: UnboundedReceiver<NodeEvent>,
}

impl MixerHandle {
    /// Starts the thread, with ticks at `epoch` and every 20 ms after; recorded frames are passed to `write`, which
    /// must not block. The thread ends when the handle is dropped.
    ///
    /// # Errors
    /// Returns the system's error if the thread cannot be created.
    pub fn start(
        epoch: Instant,
        write: impl FnMut(RecordingId, Recorded<'_>) + Send + 'static,
    ) -> io::Result<(MixerHandle, JoinHandle<()>)> {
        let ((commands, received), (told, events)) = (channel(), unbounded_channel());
        let thread = std::thread::Builder::new().name("conferences".to_owned()).spawn(move || {
            // A missing permission is logged by the first worker.
            let _ = raise_priority();
            let mut mixing = MixerThread { node: ConferenceNode::new(), commands: received, events: told, write };
            while mixing.wait_for_parties() && mixing.mix(epoch) {}
            mixing.node.end_recordings();
            mixing.write();
        })?;
        Ok((MixerHandle { commands, events }, thread))
    }

    /// Sends a command to the thread; never blocks.
    pub(crate) fn send(&self, command: NodeCommand) {
        if self.commands.send(command).is_err() {
            tracing::error!("the conference thread has ended: conferences have no audio until a restart");
        }
    }

    /// Waits for the next event; `None` if the thread has ended.
    pub(crate) async fn next(&mut self) -> Option<NodeEvent> {
        self.events.recv().await
    }

    /// Returns the next event if one is available, without waiting.
    pub(crate) fn try_next(&mut self) -> Option<NodeEvent> {
        self.events.try_recv().ok()
    }
}

/// State of the mixing thread.
struct MixerThread<W> {
    node: ConferenceNode,
    commands: Receiver<NodeCommand>,
    events: UnboundedSender<NodeEvent>,
    write: W,
}

impl<W: FnMut(RecordingId, Recorded<'_>)> MixerThread<W> {
    /// Handles commands until a conference exists; returns false if the edge ends.
    fn wait_for_parties(&mut self) -> bool {
        while self.node.conferences() == 0 {
            match self.commands.recv() {
                Ok(command) => self.node.handle_input(command),
                Err(_) => return false,
            }
            self.tell();
            self.write();
        }
        true
    }

    /// Mixes until no conference exists; returns false if the edge ends.
    fn mix(&mut self, epoch: Instant) -> bool {
        let mut due = next_tick(epoch, Instant::now());
        while self.node.conferences() > 0 {
            if !self.take_until(due) {
                return false;
            }
            self.node.tick();
            self.tell();
            self.write();
            due += FRAME;
            let now = Instant::now();
            // Missed ticks are skipped: the rings hold the received frames, and the mixers drop those that are too old.
            if now > due {
                let next = next_tick(epoch, now);
                let missed = next.saturating_duration_since(due).as_millis() / FRAME.as_millis();
                self.node.skip(u32::try_from(missed).unwrap_or(u32::MAX));
                due = next;
            }
        }
        true
    }

    /// Handles commands until the time `due`; returns false if the edge ends.
    fn take_until(&mut self, due: Instant) -> bool {
        loop {
            match self.commands.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(command) => self.node.handle_input(command),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Passes the recorded frames to the recording writer.
    fn write(&mut self) {
        self.node.drain_recordings(&mut self.write);
    }

    /// Forwards the node's events to signalling.
    fn tell(&mut self) {
        while let Some(event) = self.node.poll_output() {
            // The signalling loop ends before this thread.
            let _ = self.events.send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trunkgate_conference::{ConferenceId, ParticipantId, ParticipantRole, RingFrame, SamplingRate, ring};

    use super::*;

    #[test]
    fn two_parties_hear_each_other_by_the_thread_and_it_ends_with_the_desk() {
        let (told, written) = channel();
        let length = |piece: Recorded<'_>| match piece {
            Recorded::Audio { samples, .. } => Some(samples.len() / 320),
            Recorded::End { .. } => None,
        };
        let (mut desk, thread) =
            MixerHandle::start(Instant::now(), move |id, piece| told.send((id, length(piece))).unwrap()).unwrap();
        let mut ends = Vec::new();
        for number in 0..2 {
            let ((says, from), (to, hears)) = (ring(SamplingRate::Narrow), ring(SamplingRate::Narrow));
            let (conference, seat) = (ConferenceId(1), ParticipantId(number));
            desk.send(NodeCommand::Seat { conference, seat, from, to });
            desk.send(NodeCommand::Part { seat, part: ParticipantRole::Speaker });
            ends.push((says, hears));
        }
        desk.send(NodeCommand::Record { conference: ConferenceId(1), recording: RecordingId(7), is_crossing: false });
        // A square wave that lasts until the other party hears it.
        let tone: Vec<i16> = (0..160).map(|n| if n % 16 < 8 { 6_000 } else { -6_000 }).collect();
        let mut heard = [0; 160];
        let mut loudest = 0;
        let began = Instant::now();
        while loudest < 1_000 {
            assert!(began.elapsed() < Duration::from_secs(20), "nothing is heard");
            ends[0].0.push(Some(&tone));
            std::thread::park_timeout(Duration::from_millis(5));
            while ends[1].1.pop(&mut heard) == Some(RingFrame::Audio) {
                loudest = heard.iter().map(|sample| i32::from(*sample).abs()).max().unwrap().max(loudest);
            }
        }
        drop(ends);
        let gone = |event: &NodeEvent| matches!(event, NodeEvent::Gone(_));
        let mut left = 0;
        while left < 2 {
            assert!(began.elapsed() < Duration::from_secs(20), "they are not missed");
            left += usize::from(desk.try_next().as_ref().is_some_and(gone));
        }
        drop(desk);
        thread.join().unwrap();
        let pieces: Vec<(RecordingId, Option<usize>)> = written.into_iter().collect();
        assert!(pieces.iter().all(|(id, _)| *id == RecordingId(7)));
        assert_eq!(pieces.last(), Some(&(RecordingId(7), None)), "it ends with its conference");
        assert!(pieces.len() > 1, "what was said is recorded");
    }
}
