//! The node of an edge: all mixers of its conferences, and the rings of their parties. One thread has it, and calls
//! [`Node::tick`] every 20 ms; commands come between two ticks.
//!
//! A conference is there as long as a party is. Parties and clips are known by numbers of the caller's.

use std::collections::{BTreeMap, VecDeque};

use trunkgate_terms::{Recorded, RecordingId, RecordingPause};

use crate::limits::{EDGE_PARTIES, EDGE_PARTIES_RESERVED, SKIPPED_TICKS, TAPES};
use crate::mixer::{Audience, Clip, Event, Mixer, Part, PartyId, SourceId};
use crate::ring::{Frame, FrameReceiver, FrameSender};
use crate::tape::Tape;

/// Samples of a frame at the highest rate.
const FRAME_MOST: usize = 960;
/// Events that wait to be taken; the oldest is dropped for a new one.
const EVENTS: usize = 4 * (EDGE_PARTIES + EDGE_PARTIES_RESERVED);

/// A conference, by a number of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConferenceId(pub u64);

/// A party of a conference, by a number of the caller's that no other party of the node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(pub u64);

/// A clip of a conference, by a number of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClipId(pub u64);

/// Part that a party takes, as [`Part`] with the caller's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatPart {
    /// Hears the others, and is heard.
    Speaker,
    /// Hears the others, and is not heard.
    Listener,
    /// Hears the others, and is heard by one of them alone.
    Coach(SeatId),
    /// Neither hears nor is heard.
    Away,
}

/// A command to the node.
#[derive(Debug)]
pub enum NodeCommand {
    /// Takes a party into a conference, as [`SeatPart::Away`].
    Seat {
        /// The conference; begins with its first party.
        conference: ConferenceId,
        /// The party.
        seat: SeatId,
        /// What it says.
        from: FrameReceiver,
        /// What it hears.
        to: FrameSender,
    },
    /// Gives a party another part.
    Part {
        /// The party.
        seat: SeatId,
        /// Its part.
        part: SeatPart,
    },
    /// Takes a party out.
    Leave {
        /// The party.
        seat: SeatId,
    },
    /// Plays a clip; [`NodeEvent::ClipEnded`] follows in any case.
    Play {
        /// The conference.
        conference: ConferenceId,
        /// The clip's number.
        clip: ClipId,
        /// The party that hears it; `None` for all.
        to: Option<SeatId>,
        /// Its samples, at 8 kHz.
        samples: Clip,
        /// Whether it is played again and again.
        is_repeated: bool,
    },
    /// Lets a clip fade out.
    Stop {
        /// The clip.
        clip: ClipId,
    },
    /// Records what all hear; [`Node::drain_recordings`] hands it over, and its end in any case.
    Record {
        /// The conference.
        conference: ConferenceId,
        /// The recording.
        recording: RecordingId,
    },
    /// Pauses a recording, or lets it go on.
    PauseRecording {
        /// The recording.
        recording: RecordingId,
        /// Audio in the place of the pause; `None`: it goes on.
        pause: Option<RecordingPause>,
    },
    /// Ends a recording.
    StopRecording {
        /// The recording.
        recording: RecordingId,
    },
}

/// What the node reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeEvent {
    /// A party was not taken in: there are as many as may be, or its number is taken.
    Refused(SeatId),
    /// A party began to speak.
    SpeechStarted(SeatId),
    /// A party stopped to speak.
    SpeechStopped(SeatId),
    /// Another party of a conference is the active speaker, or none.
    ActiveSpeaker(ConferenceId, Option<SeatId>),
    /// A clip is not played any more.
    ClipEnded(ClipId),
    /// The session of a party is gone: its rings are closed, and it was taken out.
    Gone(SeatId),
}

/// A party and its rings.
#[derive(Debug)]
struct Seat {
    id: SeatId,
    party: PartyId,
    from: FrameReceiver,
    to: FrameSender,
}

/// One conference.
#[derive(Debug, Default)]
struct Conference {
    mixer: Mixer,
    seats: Vec<Seat>,
    clips: Vec<(ClipId, SourceId)>,
    tapes: Vec<Tape>,
}

impl Conference {
    fn party(&self, id: SeatId) -> Option<PartyId> {
        self.seats.iter().find(|seat| seat.id == id).map(|seat| seat.party)
    }

    fn seat(&self, party: PartyId) -> Option<SeatId> {
        self.seats.iter().find(|seat| seat.party == party).map(|seat| seat.id)
    }

    /// Takes what the parties say, mixes, and gives each what it hears.
    fn tick(&mut self) {
        let mut samples = [0; FRAME_MOST];
        for seat in &mut self.seats {
            let frame = samples.get_mut(..seat.from.rate().frame()).unwrap_or_default();
            while let Some(read) = seat.from.pop(frame) {
                match read {
                    Frame::Audio => self.mixer.push(seat.party, frame),
                    Frame::Lost => self.mixer.push_lost(seat.party),
                }
            }
        }
        self.mixer.tick();
        let recorded = self.mixer.recorded();
        self.tapes.iter_mut().for_each(|tape| tape.push(recorded));
        for seat in &mut self.seats {
            // Where nothing is heard the stream has silence of its own.
            if let Some(heard) = self.mixer.heard(seat.party) {
                seat.to.push(Some(heard.samples));
            }
        }
    }

    /// A party whose session is gone.
    fn gone(&self) -> Option<SeatId> {
        self.seats.iter().find(|seat| seat.from.is_closed() || seat.to.is_closed()).map(|seat| seat.id)
    }
}

/// All conferences of an edge.
#[derive(Debug, Default)]
pub struct Node {
    conferences: BTreeMap<ConferenceId, Conference>,
    /// Recordings that have ended, and whose rest is not handed over.
    ended: Vec<Tape>,
    events: VecDeque<NodeEvent>,
}

impl Node {
    /// Creates a node without conferences.
    pub fn new() -> Node {
        Node { conferences: BTreeMap::new(), ended: Vec::new(), events: VecDeque::with_capacity(EVENTS) }
    }

    /// Returns the number of conferences.
    pub fn conferences(&self) -> usize {
        self.conferences.len()
    }

    /// Returns the number of parties.
    pub fn parties(&self) -> usize {
        self.conferences.values().map(|conference| conference.seats.len()).sum()
    }

    /// Takes a command.
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
                    self.note(NodeEvent::ClipEnded(clip));
                }
            }
            NodeCommand::Stop { clip } => {
                for conference in self.conferences.values_mut() {
                    let source = conference.clips.iter().find(|(id, _)| *id == clip).map(|(_, source)| *source);
                    source.into_iter().for_each(|source| conference.mixer.stop(source));
                }
            }
            NodeCommand::Record { conference, recording } => self.record(conference, recording),
            NodeCommand::PauseRecording { recording, pause } => {
                let mut tapes = self.conferences.values_mut().flat_map(|conference| &mut conference.tapes);
                if let Some(tape) = tapes.find(|tape| tape.recording() == recording) {
                    tape.set_pause(pause);
                }
            }
            NodeCommand::StopRecording { recording } => self.stop_recordings(|tape| tape.recording() == recording),
        }
    }

    /// Mixes the next 20 ms of all conferences. Allocates nothing.
    pub fn tick(&mut self) {
        for (id, conference) in &mut self.conferences {
            conference.tick();
            report(*id, conference, &mut self.events);
        }
        while let Some(gone) = self.conferences.values().find_map(Conference::gone) {
            self.leave(gone);
            self.note(NodeEvent::Gone(gone));
        }
    }

    /// Notes ticks that are left out: recordings have silence in their place, so that their time is the clock's. A pause of the
    /// machine's, which is longer, is left out of them.
    pub fn skip(&mut self, ticks: u32) {
        let ticks = ticks.min(SKIPPED_TICKS);
        let tapes = self.conferences.values_mut().flat_map(|conference| &mut conference.tapes);
        tapes.for_each(|tape| (0..ticks).for_each(|_| tape.push(None)));
    }

    /// Hands over what was recorded: whole blocks, and all of recordings that have ended. Allocates nothing.
    pub fn drain_recordings(&mut self, mut take: impl FnMut(RecordingId, Recorded<'_>)) {
        let going = self.conferences.values_mut().flat_map(|conference| &mut conference.tapes);
        going.for_each(|tape| tape.drain(&mut take));
        self.ended.drain(..).for_each(|mut tape| tape.drain(&mut take));
    }

    /// Ends all recordings.
    pub fn end_recordings(&mut self) {
        self.stop_recordings(|_| true);
    }

    /// Takes the next event.
    pub fn poll_output(&mut self) -> Option<NodeEvent> {
        self.events.pop_front()
    }

    fn seat(&mut self, id: ConferenceId, seat: SeatId, from: FrameReceiver, to: FrameSender) {
        let is_taken = self.conferences.values().any(|conference| conference.party(seat).is_some());
        if is_taken || self.parties() >= EDGE_PARTIES + EDGE_PARTIES_RESERVED || from.rate() != to.rate() {
            return self.note(NodeEvent::Refused(seat));
        }
        let conference = self.conferences.entry(id).or_default();
        let Some(party) = conference.mixer.join(from.rate()) else { return self.note(NodeEvent::Refused(seat)) };
        conference.mixer.set_part(party, Part::Away);
        conference.seats.push(Seat { id: seat, party, from, to });
    }

    fn record(&mut self, id: ConferenceId, recording: RecordingId) {
        let mut tape = Tape::new(recording);
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

    fn stop_recordings(&mut self, is_over: impl Fn(&Tape) -> bool) {
        for conference in self.conferences.values_mut() {
            self.ended.extend(conference.tapes.extract_if(.., |tape| is_over(tape)).map(|mut tape| {
                tape.end();
                tape
            }));
            conference.mixer.record(!conference.tapes.is_empty());
        }
    }

    fn set_part(&mut self, seat: SeatId, part: SeatPart) {
        for conference in self.conferences.values_mut() {
            let Some(party) = conference.party(seat) else { continue };
            let part = match part {
                SeatPart::Speaker => Part::Speaker,
                SeatPart::Listener => Part::Listener,
                // One whose coached party is not there is heard by nobody.
                SeatPart::Coach(coached) => conference.party(coached).map_or(Part::Listener, Part::Coach),
                SeatPart::Away => Part::Away,
            };
            conference.mixer.set_part(party, part);
        }
    }

    fn leave(&mut self, seat: SeatId) {
        for (id, conference) in &mut self.conferences {
            let Some(party) = conference.party(seat) else { continue };
            conference.mixer.leave(party);
            conference.seats.retain(|other| other.id != seat);
            report(*id, conference, &mut self.events);
            if conference.seats.is_empty() {
                let over = conference.clips.drain(..).map(|(clip, _)| NodeEvent::ClipEnded(clip));
                over.for_each(|event| note(&mut self.events, event));
                conference.tapes.iter_mut().for_each(Tape::end);
                self.ended.append(&mut conference.tapes);
            }
        }
        self.conferences.retain(|_, conference| !conference.seats.is_empty());
    }

    fn note(&mut self, event: NodeEvent) {
        note(&mut self.events, event);
    }
}

/// Passes the events of a mixer on, by the caller's numbers.
fn report(id: ConferenceId, conference: &mut Conference, events: &mut VecDeque<NodeEvent>) {
    while let Some(event) = conference.mixer.poll_event() {
        let event = match event {
            Event::SpeechStarted(party) => conference.seat(party).map(NodeEvent::SpeechStarted),
            Event::SpeechStopped(party) => conference.seat(party).map(NodeEvent::SpeechStopped),
            Event::ActiveSpeaker(party) => {
                Some(NodeEvent::ActiveSpeaker(id, party.and_then(|party| conference.seat(party))))
            }
            Event::Ended(source) => {
                let at = conference.clips.iter().position(|(_, playing)| *playing == source);
                at.map(|at| NodeEvent::ClipEnded(conference.clips.swap_remove(at).0))
            }
        };
        event.into_iter().for_each(|event| note(events, event));
    }
}

fn note(events: &mut VecDeque<NodeEvent>, event: NodeEvent) {
    if events.len() >= EVENTS {
        events.pop_front();
    }
    events.push_back(event);
}
