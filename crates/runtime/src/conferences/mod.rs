//! Mixing thread of all conferences: owns the conference node, and ticks every 20 ms while a conference exists.
//!
//! Audio frames of parties pass through rings (`crates/conference/src/ring.rs`). Only commands and events use channels,
//! which are unbounded like those of the workers, so signalling and mixing never wait for each other. The media
//! sessions of parties tick 2 ms after this thread, from the same epoch.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use trunkgate_conference::limits::FRAME;
use trunkgate_conference::{ConferenceNode, MixSnapshot, NodeCommand, NodeEvent};
use trunkgate_media::{Recorded, RecordingId};
use trunkgate_system::clock;

use crate::worker::{next_tick, raise_priority};

/// Maximum wait for the mixing thread, which never blocks for long.
const SUSPEND_WITHIN: Duration = Duration::from_secs(1);

/// Recording of a conference on its way from one process to another, without its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossingMix {
    mix: MixSnapshot,
    /// Time of its last frame by the monotonic clock, which both processes share.
    at: Duration,
}

impl CrossingMix {
    /// Returns the id of the recording.
    pub fn recording(&self) -> RecordingId {
        self.mix.recording
    }
}

/// Command to the mixing thread.
#[derive(Debug)]
enum MixerCommand {
    /// Command of signalling.
    Node(NodeCommand),
    /// Another process takes the conferences over.
    HandOver,
    /// Return the recordings of conferences without participants; with `is_all` those of the others too.
    Suspend { is_all: bool, answer: SyncSender<Vec<CrossingMix>> },
    /// Another process has handed these recordings over.
    Resume(Vec<CrossingMix>),
    /// Another process hands no more recordings over.
    ResumeNoMore,
}

/// Handle to the mixing thread.
#[derive(Debug)]
pub struct MixerHandle {
    commands: Sender<MixerCommand>,
    events: UnboundedReceiver<NodeEvent>,
    thread: Option<JoinHandle<()>>,
}

impl MixerHandle {
    /// Starts the thread, with ticks at `epoch` and every 20 ms after; recorded frames are passed to `write`, which
    /// must not block. Dropping the handle ends the thread and waits for its end.
    ///
    /// # Errors
    /// Returns the system's error if the thread cannot be created.
    pub fn start(
        epoch: Instant,
        write: impl FnMut(RecordingId, Recorded<'_>) + Send + 'static,
    ) -> io::Result<MixerHandle> {
        let ((commands, received), (told, events)) = (channel(), unbounded_channel());
        let thread = std::thread::Builder::new().name("conferences".to_owned()).spawn(move || {
            // A missing permission is logged by the first worker.
            let _ = raise_priority();
            let (node, ticked) = (ConferenceNode::new(), epoch);
            let mut mixing = MixerThread { node, commands: received, events: told, write, ticked };
            while mixing.wait_for_parties() && mixing.mix(epoch) {}
            mixing.node.end_recordings();
            mixing.write();
        })?;
        Ok(MixerHandle { commands, events, thread: Some(thread) })
    }

    /// Sends a command to the thread; never blocks.
    pub(crate) fn send(&self, command: NodeCommand) {
        self.command(MixerCommand::Node(command));
    }

    /// Continues recordings that another process has handed over with their files.
    pub(crate) fn resume(&self, mixes: Vec<CrossingMix>) {
        if !mixes.is_empty() {
            self.command(MixerCommand::Resume(mixes));
        }
    }

    /// Gives up waiting for recordings of another process.
    pub(crate) fn resume_no_more(&self) {
        self.command(MixerCommand::ResumeNoMore);
    }

    /// Keeps recordings that end from now on for another process, which takes the conferences over.
    pub(crate) fn hand_over(&self) {
        self.command(MixerCommand::HandOver);
    }

    /// Removes and returns the recordings of conferences that have lost all participants since the hand-over began;
    /// with `is_all` those of the others too. Their audio has been passed to the recording writer.
    pub fn suspend(&self, is_all: bool) -> Vec<CrossingMix> {
        let (answer, suspended) = sync_channel(1);
        self.command(MixerCommand::Suspend { is_all, answer });
        suspended.recv_timeout(SUSPEND_WITHIN).unwrap_or_default()
    }

    fn command(&self, command: MixerCommand) {
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

impl Drop for MixerHandle {
    fn drop(&mut self) {
        // The thread ends with the last sender.
        self.commands = channel().0;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// State of the mixing thread.
struct MixerThread<W> {
    node: ConferenceNode,
    commands: Receiver<MixerCommand>,
    events: UnboundedSender<NodeEvent>,
    write: W,
    /// Time of the last tick.
    ticked: Instant,
}

impl<W: FnMut(RecordingId, Recorded<'_>)> MixerThread<W> {
    /// Handles commands until a conference exists; returns false if the edge ends.
    fn wait_for_parties(&mut self) -> bool {
        while self.node.conferences() == 0 {
            match self.commands.recv() {
                Ok(command) => self.handle(command),
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
            self.ticked = due;
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
                self.ticked = due - FRAME;
            }
        }
        true
    }

    /// Handles commands until the time `due`; returns false if the edge ends.
    fn take_until(&mut self, due: Instant) -> bool {
        loop {
            match self.commands.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(command) => self.handle(command),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn handle(&mut self, command: MixerCommand) {
        match command {
            MixerCommand::Node(command) => self.node.handle_input(command),
            MixerCommand::HandOver => self.node.hand_over(),
            MixerCommand::Suspend { is_all, answer } => {
                let at = clock::monotonic().saturating_sub(self.ticked.elapsed());
                let crossing = |(ticks, mix): (u64, MixSnapshot)| {
                    let ago = FRAME.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
                    CrossingMix { mix, at: at.saturating_sub(ago) }
                };
                let suspended = self.node.suspend_recordings(is_all, &mut self.write);
                // The other end may have given up; the next process completes the files.
                let _ = answer.send(suspended.into_iter().map(crossing).collect());
            }
            MixerCommand::Resume(mixes) => {
                let now = clock::monotonic().saturating_sub(self.ticked.elapsed());
                for CrossingMix { mix, at } in mixes {
                    let ticks = (now.saturating_sub(at) + FRAME / 2).as_millis() / FRAME.as_millis();
                    self.node.resume_recording(&mix, u64::try_from(ticks).unwrap_or(u64::MAX));
                }
            }
            MixerCommand::ResumeNoMore => self.node.resume_no_more(),
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
        let mut desk =
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
        let pieces: Vec<(RecordingId, Option<usize>)> = written.into_iter().collect();
        assert!(pieces.iter().all(|(id, _)| *id == RecordingId(7)));
        assert_eq!(pieces.last(), Some(&(RecordingId(7), None)), "it ends with its conference");
        assert!(pieces.len() > 1, "what was said is recorded");
    }
}
