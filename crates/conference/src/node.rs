//! Conference node of an edge: all mixers, and the rings of their parties. One thread owns the node and calls
//! [`ConferenceNode::tick`] every 20 ms; commands are processed between two ticks.
//!
//! A conference exists while it has a party. The caller numbers conferences, parties and clips.

use std::collections::{BTreeMap, VecDeque};

use trunkgate_terms::{Recorded, RecordingId, RecordingPause};

use crate::limits::{EDGE_PARTIES, EDGE_PARTIES_RESERVED, SKIPPED_TICKS, TAPES};
use crate::mixer::{Audience, Clip, Mixer, MixerEvent, PartyId, PartyRole, SourceId};
use crate::ring::{FrameReceiver, FrameSender, RingFrame};
use crate::tape::{MixRecording, MixSnapshot};

/// Samples of a frame at the highest rate.
const FRAME_MOST: usize = 960;
/// Maximum pending events; a new one replaces the oldest.
const EVENTS: usize = 4 * (EDGE_PARTIES + EDGE_PARTIES_RESERVED);

/// Id of a conference, assigned by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConferenceId(pub u64);

/// Id of a party of a conference, assigned by the caller and unique in the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParticipantId(pub u64);

/// Id of a clip of a conference, assigned by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClipId(pub u64);

/// Role of a party, like [`PartyRole`] but with the caller's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParticipantRole {
    /// The party hears the others and is heard by them.
    Speaker,
    /// The party hears the others and is muted.
    Listener,
    /// The party hears the others and is heard by this one only.
    Coach(ParticipantId),
    /// The party neither hears the others nor is heard.
    Away,
}

/// Command of signalling to the conference node.
#[derive(Debug)]
pub enum NodeCommand {
    /// Adds a party to a conference, as [`ParticipantRole::Away`].
    Seat {
        /// Conference to join, created with its first party.
        conference: ConferenceId,
        /// Id of the party.
        seat: ParticipantId,
        /// Ring by which the party's audio reaches the mixer.
        from: FrameReceiver,
        /// Ring by which the mixed audio reaches the party.
        to: FrameSender,
    },
    /// Sets the role of a party in the mix.
    Part {
        /// Id of the party.
        seat: ParticipantId,
        /// New role of the party.
        part: ParticipantRole,
    },
    /// Removes a party from its conference.
    Leave {
        /// Id of the party to remove.
        seat: ParticipantId,
    },
    /// Plays a clip; [`NodeEvent::ClipEnded`] always follows.
    Play {
        /// Id of the conference that hears the clip.
        conference: ConferenceId,
        /// Id of the clip, for its end.
        clip: ClipId,
        /// Party to which the clip is played; `None` for all.
        to: Option<ParticipantId>,
        /// Samples of the clip at 8 kHz.
        samples: Clip,
        /// Whether the clip is played in a loop.
        is_repeated: bool,
    },
    /// Ends a clip early, with a fade-out.
    Stop {
        /// Id of the clip.
        clip: ClipId,
    },
    /// Records the mix of all parties. [`ConferenceNode::drain_recordings`] returns the audio and always its end.
    Record {
        /// Id of the conference to record.
        conference: ConferenceId,
        /// Id of the recording.
        recording: RecordingId,
        /// Whether another process began the recording and hands its file over.
        is_crossing: bool,
    },
    /// Pauses or resumes a recording.
    PauseRecording {
        /// Id of the recording.
        recording: RecordingId,
        /// Treatment of the pause in the recording; `None` resumes.
        pause: Option<RecordingPause>,
    },
    /// Ends the recording of a conference.
    StopRecording {
        /// Id of the recording.
        recording: RecordingId,
    },
}

/// Event that the conference node reports to signalling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeEvent {
    /// A party was rejected: the limit of parties is reached, or its id is in use.
    Refused(ParticipantId),
    /// A party began to speak.
    SpeechStarted(ParticipantId),
    /// A party stopped speaking.
    SpeechStopped(ParticipantId),
    /// The active speaker of a conference changed; `None` if there is none.
    ActiveSpeaker(ConferenceId, Option<ParticipantId>),
    /// A clip has ended.
    ClipEnded(ClipId),
    /// The session of a party has ended: its rings were closed, and the party was removed.
    Gone(ParticipantId),
}

/// Party of the node, with its rings.
#[derive(Debug)]
struct NodeParticipant {
    id: ParticipantId,
    party: PartyId,
    from: FrameReceiver,
    to: FrameSender,
}

/// Conference with its mixer, parties and recordings.
#[derive(Debug, Default)]
struct MixedConference {
    mixer: Mixer,
    seats: Vec<NodeParticipant>,
    clips: Vec<(ClipId, SourceId)>,
    tapes: Vec<MixRecording>,
}

impl MixedConference {
    fn party(&self, id: ParticipantId) -> Option<PartyId> {
        self.seats.iter().find(|seat| seat.id == id).map(|seat| seat.party)
    }

    fn seat(&self, party: PartyId) -> Option<ParticipantId> {
        self.seats.iter().find(|seat| seat.party == party).map(|seat| seat.id)
    }

    /// Reads the parties' audio from their rings, mixes it, and writes the mixes.
    fn tick(&mut self) {
        let mut samples = [0; FRAME_MOST];
        for seat in &mut self.seats {
            let frame = samples.get_mut(..seat.from.rate().frame()).unwrap_or_default();
            while let Some(read) = seat.from.pop(frame) {
                match read {
                    RingFrame::Audio => self.mixer.push(seat.party, frame),
                    RingFrame::Lost => self.mixer.push_lost(seat.party),
                }
            }
        }
        self.mixer.tick();
        let recorded = self.mixer.recorded();
        self.tapes.iter_mut().for_each(|tape| tape.push(recorded));
        for seat in &mut self.seats {
            // The party's own stream inserts silence if no frame is written.
            if let Some(heard) = self.mixer.heard(seat.party) {
                seat.to.push(Some(heard.samples));
            }
        }
    }

    /// Returns a party with closed rings, if any.
    fn closed_party(&self) -> Option<ParticipantId> {
        self.seats.iter().find(|seat| seat.from.is_closed() || seat.to.is_closed()).map(|seat| seat.id)
    }
}

/// All conferences of an edge, with their mixers and recordings.
#[derive(Debug, Default)]
pub struct ConferenceNode {
    conferences: BTreeMap<ConferenceId, MixedConference>,
    /// Ended recordings with audio that was not passed on yet.
    ended: Vec<MixRecording>,
    /// Recordings for another process, each with the number of ticks at the end of its conference here.
    parted: Vec<(u64, MixRecording)>,
    /// Whether another process takes the conferences over.
    is_handing_over: bool,
    /// Ticks so far, including skipped ones.
    ticks: u64,
    events: VecDeque<NodeEvent>,
}

impl ConferenceNode {
    /// Creates a node without conferences.
    pub fn new() -> ConferenceNode {
        ConferenceNode { events: VecDeque::with_capacity(EVENTS), ..ConferenceNode::default() }
    }

    /// Returns the number of conferences.
    pub fn conferences(&self) -> usize {
        self.conferences.len()
    }

    /// Returns the number of parties in all conferences.
    pub fn parties(&self) -> usize {
        self.conferences.values().map(|conference| conference.seats.len()).sum()
    }

    /// Carries out a command between two ticks.
    pub fn handle_input(&mut self, command: NodeCommand) {
        match command {
            NodeCommand::Seat { conference, seat, from, to } => self.seat(conference, seat, from, to),
            NodeCommand::Part { seat, part } => self.set_part(seat, part),
            NodeCommand::Leave { seat } => self.leave(seat),
            NodeCommand::Play { conference, clip, to, samples, is_repeated } => {
                let source = self.conferences.get_mut(&conference).and_then(|conference| {
                    let audience = match to {
                        Some(seat) => Audience::One(conference.party(seat)?),
                        None => Audience::All,
                    };
                    let source = conference.mixer.play(audience, samples, is_repeated)?;
                    conference.clips.push((clip, source));
                    Some(source)
                });
                if source.is_none() {
                    self.queue_event(NodeEvent::ClipEnded(clip));
                }
            }
            NodeCommand::Stop { clip } => {
                for conference in self.conferences.values_mut() {
                    let source = conference.clips.iter().find(|(id, _)| *id == clip).map(|(_, source)| *source);
                    source.into_iter().for_each(|source| conference.mixer.stop(source));
                }
            }
            NodeCommand::Record { conference, recording, is_crossing } => {
                let tape = if is_crossing { MixRecording::crossing(recording) } else { MixRecording::new(recording) };
                self.record(conference, tape);
            }
            NodeCommand::PauseRecording { recording, pause } => {
                if let Some(tape) = self.tapes_mut().find(|tape| tape.recording() == recording) {
                    tape.set_pause(pause);
                }
            }
            NodeCommand::StopRecording { recording } => self.stop_recordings(|tape| tape.recording() == recording),
        }
    }

    /// Mixes the next 20 ms of all conferences, and removes parties with closed rings. Does not allocate.
    pub fn tick(&mut self) {
        for (id, conference) in &mut self.conferences {
            conference.tick();
            report(*id, conference, &mut self.events);
        }
        self.count_ticks(1);
        self.remove_closed_parties();
    }

    /// Counts skipped ticks, which recordings replace by silence to follow the clock. After a longer suspension of
    /// the machine, only 20 s are replaced.
    pub fn skip(&mut self, ticks: u32) {
        let ticks = ticks.min(SKIPPED_TICKS);
        self.count_ticks(u64::from(ticks));
        self.tapes_mut().for_each(|tape| (0..ticks).for_each(|_| tape.push(None)));
    }

    /// Passes recorded audio to `take`: full blocks, and everything of ended recordings. Does not allocate.
    pub fn drain_recordings(&mut self, mut take: impl FnMut(RecordingId, Recorded<'_>)) {
        let going = self.conferences.values_mut().flat_map(|conference| &mut conference.tapes);
        going.for_each(|tape| tape.drain(&mut take));
        self.ended.retain_mut(|tape| {
            tape.drain(&mut take);
            tape.is_crossing()
        });
    }

    /// Keeps the recordings of conferences that end from now on for another process, which takes the conferences over.
    pub fn hand_over(&mut self) {
        self.is_handing_over = true;
    }

    /// Removes and returns the recordings of conferences that have ended since [`ConferenceNode::hand_over`], with the
    /// number of ticks since then; with `is_all` also those of other conferences. Their audio is passed to `take`.
    pub fn suspend_recordings(
        &mut self,
        is_all: bool,
        mut take: impl FnMut(RecordingId, Recorded<'_>),
    ) -> Vec<(u64, MixSnapshot)> {
        self.remove_closed_parties();
        if is_all {
            let left = self.conferences.values_mut().flat_map(|conference| conference.tapes.drain(..));
            self.parted.extend(left.map(|tape| (self.ticks, tape)));
        }
        let suspended = self.parted.drain(..).map(|(ticks, mut tape)| {
            tape.drain_block(&mut take);
            (self.ticks - ticks, tape.snapshot())
        });
        suspended.collect()
    }

    /// Continues a recording whose file another process has handed over, with the frames of the last `ticks`.
    pub fn resume_recording(&mut self, snapshot: &MixSnapshot, ticks: u64) {
        if let Some(tape) = self.all_tapes_mut().find(|tape| tape.recording() == snapshot.recording) {
            tape.resume(snapshot, ticks);
        }
    }

    /// Gives up waiting for files of another process.
    pub fn resume_no_more(&mut self) {
        self.all_tapes_mut().for_each(MixRecording::abandon);
    }

    /// Ends the recordings of all conferences.
    pub fn end_recordings(&mut self) {
        self.stop_recordings(|_| true);
    }

    /// Returns the next event, if there is one.
    pub fn poll_output(&mut self) -> Option<NodeEvent> {
        self.events.pop_front()
    }

    fn seat(&mut self, id: ConferenceId, seat: ParticipantId, from: FrameReceiver, to: FrameSender) {
        let is_taken = self.conferences.values().any(|conference| conference.party(seat).is_some());
        if is_taken || self.parties() >= EDGE_PARTIES + EDGE_PARTIES_RESERVED || from.rate() != to.rate() {
            return self.queue_event(NodeEvent::Refused(seat));
        }
        let conference = self.conferences.entry(id).or_default();
        let Some(party) = conference.mixer.join(from.rate()) else { return self.queue_event(NodeEvent::Refused(seat)) };
        conference.mixer.set_part(party, PartyRole::Away);
        conference.seats.push(NodeParticipant { id: seat, party, from, to });
    }

    fn count_ticks(&mut self, ticks: u64) {
        self.ticks += ticks;
        self.ended.iter_mut().for_each(|tape| tape.note_ticks(ticks));
    }

    fn tapes_mut(&mut self) -> impl Iterator<Item = &mut MixRecording> {
        self.conferences.values_mut().flat_map(|conference| &mut conference.tapes)
    }

    /// Lists all recordings, those of ended conferences included.
    fn all_tapes_mut(&mut self) -> impl Iterator<Item = &mut MixRecording> {
        let tapes = self.conferences.values_mut().flat_map(|conference| &mut conference.tapes);
        tapes.chain(&mut self.ended)
    }

    fn remove_closed_parties(&mut self) {
        while let Some(gone) = self.conferences.values().find_map(MixedConference::closed_party) {
            self.leave(gone);
            self.queue_event(NodeEvent::Gone(gone));
        }
    }

    fn record(&mut self, id: ConferenceId, mut tape: MixRecording) {
        match self.conferences.get_mut(&id).filter(|conference| conference.tapes.len() < TAPES) {
            Some(conference) => {
                conference.mixer.record(true);
                conference.tapes.push(tape);
            }
            None => {
                tape.end();
                self.ended.push(tape);
            }
        }
    }

    fn stop_recordings(&mut self, is_over: impl Fn(&MixRecording) -> bool) {
        for conference in self.conferences.values_mut() {
            self.ended.extend(conference.tapes.extract_if(.., |tape| is_over(tape)).map(|mut tape| {
                tape.end();
                tape
            }));
            conference.mixer.record(!conference.tapes.is_empty());
        }
    }

    fn set_part(&mut self, seat: ParticipantId, part: ParticipantRole) {
        for conference in self.conferences.values_mut() {
            let Some(party) = conference.party(seat) else { continue };
            let part = match part {
                ParticipantRole::Speaker => PartyRole::Speaker,
                ParticipantRole::Listener => PartyRole::Listener,
                // Without its coached party, a coach is heard by no party.
                ParticipantRole::Coach(coached) => {
                    conference.party(coached).map_or(PartyRole::Listener, PartyRole::Coach)
                }
                ParticipantRole::Away => PartyRole::Away,
            };
            conference.mixer.set_part(party, part);
        }
    }

    fn leave(&mut self, seat: ParticipantId) {
        for (id, conference) in &mut self.conferences {
            let Some(party) = conference.party(seat) else { continue };
            conference.mixer.leave(party);
            conference.seats.retain(|other| other.id != seat);
            report(*id, conference, &mut self.events);
            if conference.seats.is_empty() {
                let over = conference.clips.drain(..).map(|(clip, _)| NodeEvent::ClipEnded(clip));
                over.for_each(|event| push_event(&mut self.events, event));
                if self.is_handing_over {
                    self.parted.extend(conference.tapes.drain(..).map(|tape| (self.ticks, tape)));
                }
                conference.tapes.iter_mut().for_each(MixRecording::end);
                self.ended.append(&mut conference.tapes);
            }
        }
        self.conferences.retain(|_, conference| !conference.seats.is_empty());
    }

    fn queue_event(&mut self, event: NodeEvent) {
        push_event(&mut self.events, event);
    }
}

/// Queues the events of a conference's mixer, with the caller's ids in place of the mixer's.
fn report(id: ConferenceId, conference: &mut MixedConference, events: &mut VecDeque<NodeEvent>) {
    while let Some(event) = conference.mixer.poll_event() {
        let event = match event {
            MixerEvent::SpeechStarted(party) => conference.seat(party).map(NodeEvent::SpeechStarted),
            MixerEvent::SpeechStopped(party) => conference.seat(party).map(NodeEvent::SpeechStopped),
            MixerEvent::ActiveSpeaker(party) => {
                Some(NodeEvent::ActiveSpeaker(id, party.and_then(|party| conference.seat(party))))
            }
            MixerEvent::Ended(source) => {
                let at = conference.clips.iter().position(|(_, playing)| *playing == source);
                at.map(|at| NodeEvent::ClipEnded(conference.clips.swap_remove(at).0))
            }
        };
        event.into_iter().for_each(|event| push_event(events, event));
    }
}

fn push_event(events: &mut VecDeque<NodeEvent>, event: NodeEvent) {
    if events.len() >= EVENTS {
        events.pop_front();
    }
    events.push_back(event);
}
