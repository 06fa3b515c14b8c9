//! Conferences of an edge: rooms, calls of the participants, and the mixers' ids of both.
//!
//! Rooms identify calls by SID, mixers identify participants by number; this module translates. Effects of a change
//! are queued here until they are polled: commands to the mixers, events for calls, and callbacks.

mod beep;
pub mod queues;
mod recordings;
mod restoration;
pub mod snapshot;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use trunkgate_conference::limits::EDGE_PARTIES;
use trunkgate_conference::{
    AnnouncementId, CallStatus, CallbackMethod, CallbackRequest, ClipId, ConferenceId, ConferenceRoom,
    ConferenceStatus, Departure, EndReason, JoinRejection, JoinRequest, LeaveReason, Member, MemberId, MemberRole,
    NodeCommand, NodeEvent, ParticipantId, ParticipantRole, RoomAction, RoomId, RoomRegistry, WaitMusic,
};
use trunkgate_route::WebhookMethod;

use crate::applications::question::{AppCallback, AppPlace, DocumentRequest};
use crate::conferences::beep::BEEP;
use crate::conferences::snapshot::{AbsentParticipant, AbsentParticipants, ActiveRecording, RecordingOrigin};
use crate::limits::{EDGES_PER_CALL, ENDED_CONFERENCES};
use crate::lookups::key::CallKey;
use crate::recordings::RecordingRequest;

/// Participant of a conference, as its call refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantHandle {
    /// Room of the conference.
    pub room: RoomId,
    /// Participant in the room.
    pub member: MemberId,
    /// Id of the participant at the mixers.
    pub seat: ParticipantId,
    /// SID of the conference.
    pub sid: String,
    /// Name of the conference.
    pub name: String,
}

impl ParticipantHandle {
    /// Returns the mixers' id of the conference.
    pub fn conference(&self) -> ConferenceId {
        ConferenceId(self.room.number())
    }
}

/// A call that joins a conference.
#[derive(Debug, Clone)]
pub struct Joiner {
    /// Key of the call.
    pub key: CallKey,
    /// Name of its application, for metrics of callbacks.
    pub app: Arc<str>,
    /// Whether URLs of its application may resolve to private and loopback addresses.
    pub allow_private: bool,
    /// Recording of the conference that the call requests.
    pub record: Option<Box<RecordingRequest>>,
    /// Current date.
    pub date: SystemTime,
    /// Loop-detection words of the edges and conferences on the remote side of the call.
    pub hops: Vec<u64>,
    /// Whether the edge has placed the call; if so, the response of the callee brought `hops`.
    pub is_called: bool,
    /// Key from which this edge derives the loop-detection words of its conferences.
    pub hop_key: u64,
    /// Trunk of the participant; empty if there is none.
    pub trunk: Arc<str>,
}

/// Reason for which a call could not join a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotJoined {
    /// The room has refused the call.
    Refused(JoinRejection),
    /// No active conference has this SID.
    UnknownSid,
    /// The call comes from the conference itself, or from one that is already connected to it.
    Linked,
}

impl NotJoined {
    /// Returns Twilio's error code, if there is one.
    pub fn code(self) -> Option<u16> {
        match self {
            NotJoined::Refused(refusal) => refusal.code(),
            NotJoined::UnknownSid => Some(13_236),
            NotJoined::Linked => None,
        }
    }

    /// Returns the reason in plain text.
    pub fn words(self) -> &'static str {
        match self {
            NotJoined::Refused(JoinRejection::Full) => "the conference is full",
            NotJoined::Refused(JoinRejection::EdgeFull) => {
                "the limit of conference participants of the edge is reached"
            }
            NotJoined::Refused(JoinRejection::AlreadyIn) => "the call is in a conference already",
            NotJoined::Refused(JoinRejection::LabelTaken) => "its participantLabel is already in use",
            NotJoined::Refused(JoinRejection::BadLabel) => "its participantLabel is empty or too long",
            NotJoined::Refused(JoinRejection::NoneToCoach) => "the call to coach is not in the conference",
            NotJoined::Refused(JoinRejection::BadName) => "the name of the conference is empty or too long",
            NotJoined::Refused(JoinRejection::Ended) => "the conference is over",
            NotJoined::UnknownSid => "no active conference with this SID",
            NotJoined::Linked => {
                "it comes from a conference that is already connected with this one: its audio would loop"
            }
        }
    }
}

/// Event of a conference for the call of a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConferenceEvent {
    /// The call hears this music from now on, or the other participants if `None`.
    Hears(Option<WaitMusic>),
    /// An announcement for this call alone starts to replace its music, or ends.
    Announced(bool),
    /// The call is no longer a participant.
    Released(LeaveReason),
    /// The mixer has no seat for the call, or lost it.
    Lost,
}

/// Effect of a change in a conference.
#[derive(Debug)]
pub enum ConferenceEffect {
    /// A command to the mixers.
    Node(NodeCommand),
    /// An event for a call.
    Call(CallKey, ConferenceEvent),
    /// A callback, still without the parameters common to all callbacks.
    Callback(AppCallback),
    /// A recording of a conference, requested by the call with this SID; [`Conferences::recorded_as`] must follow.
    Record(RoomId, String, Box<RecordingRequest>),
    /// A conference that has ended.
    Ended(Box<ConferenceReport>),
}

/// State of a conference for the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConferenceReport {
    /// SID of the conference.
    pub sid: String,
    /// Name of the conference.
    pub name: String,
    /// Status of the conference.
    pub status: ConferenceStatus,
    /// Time at which the first participant joined.
    pub began: SystemTime,
    /// Time and reason of the end, and SID of the call that ended it by leaving; `None` if active.
    pub ended: Option<(SystemTime, EndReason, Option<String>)>,
    /// Participants in the order in which they joined.
    pub parties: Vec<PartyReport>,
    /// Active recordings: the SID of each, and whether it is paused.
    pub recordings: Vec<(String, bool)>,
}

impl ConferenceReport {
    /// Returns the participant with a call SID or label.
    pub fn party(&self, sid_or_label: &str) -> Option<&PartyReport> {
        let by_sid = self.parties.iter().find(|one| one.member.call_sid() == sid_or_label);
        by_sid.or_else(|| self.parties.iter().find(|one| one.member.label() == Some(sid_or_label)))
    }
}

/// State of a participant for the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyReport {
    /// The participant with its settings.
    pub member: Member,
    /// Time at which the participant joined.
    pub joined: SystemTime,
    /// Whether the participant is speaking.
    pub speaks: bool,
}

/// Look-up entry of a participant.
#[derive(Debug, Clone)]
struct ParticipantEntry {
    key: CallKey,
    trunk: Arc<str>,
    seat: ParticipantId,
    joined: SystemTime,
    speaks: bool,
}

/// Data of a conference that its room does not hold.
#[derive(Debug)]
struct ConferenceDetails {
    sid: String,
    name: String,
    began: SystemTime,
    app: Arc<str>,
    allow_private: bool,
    /// Recording that starts with the conference, and SID of the call that requests it in its document.
    record: Option<(String, Box<RecordingRequest>)>,
    recordings: Vec<ActiveRecording>,
    /// Origin of recordings that the mixers do not have yet, because the conference continues one of another process.
    continued: Option<RecordingOrigin>,
}

/// A conference for which calls are being placed, still without a participant. It has its SID from the first call on.
#[derive(Debug)]
struct ExpectedConference {
    sid: String,
    name: String,
    began: SystemTime,
    calls: BTreeSet<CallKey>,
}

/// All conferences of the edge: active ones, ones that wait for called participants, and reports of ended ones.
#[derive(Debug, Default)]
pub struct Conferences {
    rooms: RoomRegistry,
    expected: Vec<ExpectedConference>,
    details: BTreeMap<RoomId, ConferenceDetails>,
    places: BTreeMap<(RoomId, MemberId), ParticipantEntry>,
    /// Loop-detection words of the conferences through which participants have come.
    links: BTreeMap<(RoomId, MemberId), Vec<u64>>,
    /// Participants of another process whose calls have not come back.
    absent: AbsentParticipants,
    /// Number of changes that a snapshot may show.
    changes: u64,
    next_seat: u64,
    next_clip: u64,
    due: VecDeque<ConferenceEffect>,
    ended: VecDeque<ConferenceReport>,
}

impl Conferences {
    /// Returns the number of active conferences.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Returns whether there is no active conference.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Returns the number of participants.
    pub fn parties(&self) -> usize {
        self.rooms.parties()
    }

    /// Returns all known conferences, the newest first.
    pub fn reports(&self) -> Vec<ConferenceReport> {
        let mut all: Vec<ConferenceReport> = self.rooms.iter().filter_map(|(id, _)| self.report_of(id)).collect();
        all.extend(self.expected.iter().map(ExpectedConference::report));
        all.extend(self.ended.iter().cloned());
        all.sort_by(|one, other| (other.began, &other.sid).cmp(&(one.began, &one.sid)));
        all
    }

    /// Returns the active conference with a SID or name.
    pub fn find(&self, sid_or_name: &str) -> Option<RoomId> {
        let by_sid = self.rooms.iter().find(|(_, room)| room.sid() == sid_or_name).map(|(id, _)| id);
        by_sid.or_else(|| self.rooms.find(sid_or_name))
    }

    /// Returns the known conference with a SID, active or ended.
    pub fn report(&self, sid: &str) -> Option<ConferenceReport> {
        let live = self.report_live(sid).filter(|report| report.sid == sid);
        live.or_else(|| self.ended.iter().find(|report| report.sid == sid).cloned())
    }

    /// Returns the conference with a SID or name that has not ended. One without a participant exists while calls are
    /// placed for it.
    pub fn report_live(&self, sid_or_name: &str) -> Option<ConferenceReport> {
        let goes_on = self.find(sid_or_name).and_then(|room| self.report_of(room));
        goes_on.or_else(|| self.expected(sid_or_name).map(ExpectedConference::report))
    }

    /// Returns the state of an active conference.
    pub fn report_of(&self, id: RoomId) -> Option<ConferenceReport> {
        let (room, kept) = (self.rooms.get(id)?, self.details.get(&id)?);
        let party = |member: &Member| {
            let at = (id, member.id());
            let place = self.places.get(&at).map(|place| (place.joined, place.speaks));
            let (joined, speaks) = place.or_else(|| Some((self.absent.joined(at)?, false)))?;
            Some(PartyReport { member: member.clone(), joined, speaks })
        };
        Some(ConferenceReport {
            sid: kept.sid.clone(),
            name: kept.name.clone(),
            status: room.status(),
            began: kept.began,
            ended: None,
            parties: room.members().iter().filter_map(party).collect(),
            recordings: kept.recordings.iter().map(|one| (one.sid.clone(), one.pause.is_some())).collect(),
        })
    }

    /// Returns the calls of all participants, for invariant checks.
    pub fn calls(&self) -> impl Iterator<Item = CallKey> {
        self.places.values().map(|place| place.key)
    }

    /// Returns the calls placed for conferences without a participant, for invariant checks.
    pub fn expected_calls(&self) -> impl Iterator<Item = CallKey> {
        self.expected.iter().flat_map(|one| one.calls.iter().copied())
    }

    /// Adds a call to the conference with a name or SID; `sid` creates the SID of a new conference.
    ///
    /// # Errors
    /// The room refuses the call, no active conference has the SID, or the call would connect the conference with
    /// itself.
    pub fn join(
        &mut self,
        now: Instant,
        name: &str,
        sid: impl FnOnce() -> String,
        joining: JoinRequest,
        joiner: Joiner,
    ) -> Result<ParticipantHandle, NotJoined> {
        self.changes += 1;
        if let Some(seated) = self.resume(name, &joining.call_sid, joiner.key) {
            return Ok(seated);
        }
        self.leave_absent(now, &joining.call_sid);
        let (name, links) = self.linked(name, &joiner)?;
        let call = joining.call_sid.clone();
        let is_below_share = self.is_below_share(&joiner.trunk);
        let joining = JoinRequest { is_line: !links.is_empty(), is_below_share, ..joining };
        let expected = self.expected(&name);
        let (began, expected_sid) =
            (expected.map_or(joiner.date, |one| one.began), expected.map(|one| one.sid.clone()));
        let sid = || expected_sid.unwrap_or_else(sid);
        let (room, member) = self.rooms.join(now, &name, sid, joining).map_err(NotJoined::Refused)?;
        self.expected.retain(|one| !one.is(&name));
        let seat = self.new_seat();
        let (key, trunk, joined) = (joiner.key, joiner.trunk.clone(), joiner.date);
        self.places.insert((room, member), ParticipantEntry { key, trunk, seat, joined, speaks: false });
        if !links.is_empty() {
            self.links.insert((room, member), links);
        }
        let seated = self.handle((room, member), seat);
        let Joiner { app, allow_private, record, .. } = joiner;
        let (sid, name) = (seated.sid.clone(), seated.name.clone());
        let kept = self.details.entry(room).or_insert_with(|| {
            let (record, recordings) = (None, Vec::new());
            ConferenceDetails { sid, name, began, app, allow_private, record, recordings, continued: None }
        });
        if kept.record.is_none() {
            kept.record = record.map(|record| (call, record));
        }
        Ok(seated)
    }

    fn new_seat(&mut self) -> ParticipantId {
        self.next_seat += 1;
        ParticipantId(self.next_seat - 1)
    }

    fn handle(&self, (room, member): (RoomId, MemberId), seat: ParticipantId) -> ParticipantHandle {
        let (sid, name) = self.rooms.get(room).map(|room| (room.sid(), room.name())).unwrap_or_default();
        ParticipantHandle { room, member, seat, sid: sid.to_owned(), name: name.to_owned() }
    }

    /// Checks whether a call that is placed for a conference, given by SID or name, could join it now.
    ///
    /// # Errors
    /// The room refuses the call, or no active conference has the SID.
    pub fn may_join(&self, name: &str, joining: &JoinRequest) -> Result<(), NotJoined> {
        self.rooms.may_join(&self.named(name)?, joining).map_err(NotJoined::Refused)
    }

    /// Checks whether a call could join the conference with a name or SID now, before the call is answered.
    ///
    /// # Errors
    /// The room refuses the call, no active conference has the SID, or the call would connect the conference with
    /// itself.
    pub fn would_take(&self, name: &str, joining: JoinRequest, joiner: &Joiner) -> Result<(), NotJoined> {
        if self.is_absent(&joining.call_sid) {
            return Ok(());
        }
        let (name, _) = self.linked(name, joiner)?;
        let joining = JoinRequest { is_below_share: self.is_below_share(&joiner.trunk), ..joining };
        self.rooms.may_join(&name, &joining).map_err(NotJoined::Refused)
    }

    /// Returns the name of a conference, and the loop-detection words of other conferences that a call connects with
    /// it.
    ///
    /// # Errors
    /// No conference has the SID, or the connection would close a loop of conferences.
    fn linked(&self, name: &str, joiner: &Joiner) -> Result<(String, Vec<u64>), NotJoined> {
        let name = self.named(name)?;
        let links: Vec<u64> = joiner.hops.iter().copied().filter(|word| is_link(*word)).collect();
        let is_ring = self.is_ring(&name, loop_word(joiner.hop_key, &name), &links, joiner.is_called);
        if is_ring { Err(NotJoined::Linked) } else { Ok((name, links)) }
    }

    /// Returns whether a trunk has less than its share of the edge's seats: all seats, divided by the number of
    /// trunks that use any.
    fn is_below_share(&self, trunk: &str) -> bool {
        let used = || self.places.values().map(|place| &*place.trunk).chain(self.absent.trunks());
        let trunks: BTreeSet<&str> = used().chain([trunk]).collect();
        used().filter(|other| *other == trunk).count() < (EDGE_PARTIES / trunks.len()).max(1)
    }

    /// Notes that a call is placed for a conference, given by SID or name; `sid` creates the SID of a new one.
    /// Returns the SID. [`Conferences::expect_no_longer`] must follow.
    pub fn expect(
        &mut self,
        key: CallKey,
        sid_or_name: &str,
        sid: impl FnOnce() -> String,
        date: SystemTime,
    ) -> String {
        if let Some(room) = self.find(sid_or_name).and_then(|room| self.rooms.get(room)) {
            return room.sid().to_owned();
        }
        let known = self.expected.iter_mut().find(|one| one.is(sid_or_name));
        if let Some(one) = known {
            one.calls.insert(key);
            return one.sid.clone();
        }
        let (sid, name) = (sid(), sid_or_name.trim().to_owned());
        self.expected.push(ExpectedConference { sid: sid.clone(), name, began: date, calls: BTreeSet::from([key]) });
        sid
    }

    /// Notes that a placed call brings no participant any more. The conference ends if it has no participant and no
    /// other placed call.
    pub fn expect_no_longer(&mut self, key: CallKey, date: SystemTime) {
        let Some(at) = self.expected.iter().position(|one| one.calls.contains(&key)) else { return };
        let is_over = self.expected.get_mut(at).is_some_and(|one| one.calls.remove(&key) && one.calls.is_empty());
        if is_over {
            self.end_expected(at, EndReason::LastLeft, date);
        }
    }

    /// Ends the conference with a SID. Returns whether there was one.
    pub fn end(&mut self, sid: &str, date: SystemTime) -> bool {
        if let Some(room) = self.find(sid) {
            return self.act(room, ConferenceRoom::end).is_some();
        }
        let at = self.expected.iter().position(|one| one.sid == sid);
        at.map(|at| self.end_expected(at, EndReason::ViaApi, date)).is_some()
    }

    /// Returns whether two strings, each a SID or name, mean the same conference.
    pub fn are_same(&self, one: &str, other: &str) -> bool {
        let sid = |word| self.known(word).map(|(sid, _)| sid);
        one == other || sid(one).is_some_and(|one| sid(other) == Some(one))
    }

    /// Returns the loop-detection words of a conference, given by SID or name, for the remote side of a call: its own
    /// word, and those of conferences connected with it.
    pub fn hops_onward(&self, hop_key: u64, sid_or_name: &str) -> Vec<u64> {
        let room = self.find(sid_or_name);
        let name = self.known(sid_or_name).map_or(sid_or_name, |(_, name)| name);
        let connected = room.into_iter().flat_map(|room| self.links_of(room));
        // Half of the permitted hops are left for edges on the path.
        [loop_word(hop_key, name)].into_iter().chain(connected).take(EDGES_PER_CALL / 2).collect()
    }

    /// Returns whether a call would close a loop: its remote side is this conference, or one already connected with
    /// it.
    fn is_ring(&self, name: &str, own: u64, links: &[u64], is_called: bool) -> bool {
        let connected: Vec<u64> = self.rooms.find(name).map(|room| self.links_of(room).collect()).unwrap_or_default();
        let closes = |(place, word): (usize, &u64)| {
            // If two conferences call each other at the same moment, the call of the lower word is kept.
            let gives_way = !is_called || place > 0 || own > *word;
            *word == own || gives_way && connected.contains(word)
        };
        links.iter().enumerate().any(closes)
    }

    /// Returns the name of a conference, given by SID or name.
    ///
    /// # Errors
    /// No conference that has not ended has the SID; a name is always valid.
    fn named(&self, sid_or_name: &str) -> Result<String, NotJoined> {
        let of_sid = || self.known(sid_or_name).map(|(_, name)| name);
        let name = if is_conference_sid(sid_or_name) { of_sid() } else { Some(sid_or_name) };
        name.map(str::to_owned).ok_or(NotJoined::UnknownSid)
    }

    /// Removes a participant that leaves.
    pub fn leave(&mut self, now: Instant, seated: &ParticipantHandle, departure: Departure) {
        self.act(seated.room, |room| room.leave(now, seated.member, departure));
        self.vacate((seated.room, seated.member));
    }

    /// Removes a participant that has pressed the star key, if its settings let it leave that way.
    pub fn leave_by_key(&mut self, now: Instant, seated: &ParticipantHandle) {
        self.act(seated.room, |room| room.key(now, seated.member, '*'));
    }

    /// Runs a function on the room of a conference; returns `None` if the conference has ended.
    pub fn act<R>(&mut self, id: RoomId, act: impl FnOnce(&mut ConferenceRoom) -> R) -> Option<R> {
        self.changes += 1;
        self.rooms.act(id, act)
    }

    /// Notes that a call placed for a conference, given by SID or name, has ended without an answer.
    pub fn add_failed(&mut self, conference: &str, call: &str, label: Option<&str>, status: CallStatus) {
        if let Some(room) = self.find(conference) {
            self.act(room, |room| room.add_failed(call, label, status));
        }
    }

    /// Returns whether a conference is active and has this participant.
    pub fn is_there(&self, room: RoomId, member: Option<MemberId>) -> bool {
        self.rooms.get(room).is_some_and(|room| member.is_none_or(|id| room.member(id).is_some()))
    }

    /// Plays samples at 8 kHz to one participant or to all; returns `None` if there is no such participant or
    /// conference.
    pub fn play(
        &mut self,
        (room, member): (RoomId, Option<MemberId>),
        samples: &Arc<[i16]>,
        is_repeated: bool,
    ) -> Option<ClipId> {
        let to = match member {
            Some(member) => Some(self.places.get(&(room, member))?.seat),
            None => None,
        };
        let (conference, samples) = (ConferenceId(self.rooms.get(room).map(|_| room.number())?), Arc::clone(samples));
        let clip = ClipId(self.next_clip);
        self.next_clip += 1;
        self.due.push_back(ConferenceEffect::Node(NodeCommand::Play { conference, clip, to, samples, is_repeated }));
        Some(clip)
    }

    /// Fades a clip out.
    pub fn stop_clip(&mut self, clip: ClipId) {
        self.due.push_back(ConferenceEffect::Node(NodeCommand::Stop { clip }));
    }

    /// Queues an event for a participant's call: an announcement for that call alone starts or ends. Without `member`
    /// nothing is sent.
    pub fn announces(&mut self, room: RoomId, member: Option<MemberId>, is_heard: bool) {
        let place = member.and_then(|member| self.places.get(&(room, member)));
        self.due.extend(place.map(|place| ConferenceEffect::Call(place.key, ConferenceEvent::Announced(is_heard))));
    }

    /// Notes that an announcement has ended, with the cause of a failure.
    pub fn announced(&mut self, (room, id, member): &(RoomId, AnnouncementId, Option<MemberId>), failed: Option<&str>) {
        self.announces(*room, *member, false);
        self.act(*room, |room| room.announced(*id, failed));
    }

    /// Handles an event of the mixers: a lost seat is reported to its call, and the speech of participants is noted.
    pub fn handle_mixer_event(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Refused(seat) | NodeEvent::Gone(seat) => {
                if let Some((_, key)) = self.party_at(seat) {
                    self.due.push_back(ConferenceEffect::Call(key, ConferenceEvent::Lost));
                }
            }
            NodeEvent::SpeechStarted(seat) => self.spoke(seat, true),
            NodeEvent::SpeechStopped(seat) => self.spoke(seat, false),
            NodeEvent::ActiveSpeaker(..) | NodeEvent::ClipEnded(_) => {}
        }
    }

    /// Returns the time of the next [`Conferences::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.rooms.poll_timeout().into_iter().chain(self.absent.poll_timeout()).min()
    }

    /// Removes participants that have reached their time limit.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.rooms.poll_timeout().is_some_and(|at| at <= now) {
            self.changes += 1;
            self.rooms.handle_timeout(now);
        }
        self.end_absence(now);
    }

    /// Returns the next effect of a change. `date` returns the current date.
    pub fn poll(&mut self, date: impl Fn() -> SystemTime, account_sid: &str) -> Option<ConferenceEffect> {
        loop {
            if let Some(due) = self.due.pop_front() {
                return Some(due);
            }
            let (room, action) = self.rooms.poll_output()?;
            self.follow(room, action, &date, account_sid);
        }
    }

    fn follow(&mut self, room: RoomId, action: RoomAction, date: &impl Fn() -> SystemTime, account_sid: &str) {
        match action {
            RoomAction::Stand { member, standing } => {
                if let Some(seat) = self.places.get(&(room, member)).map(|place| place.seat) {
                    let part = self.part(room, standing);
                    self.due.push_back(ConferenceEffect::Node(NodeCommand::Part { seat, part }));
                }
            }
            RoomAction::Music { member, music } => {
                if let Some(place) = self.places.get(&(room, member)) {
                    self.due.push_back(ConferenceEffect::Call(place.key, ConferenceEvent::Hears(music)));
                }
            }
            RoomAction::Beep => {
                let clip = ClipId(self.next_clip);
                self.next_clip += 1;
                let (conference, samples) = (ConferenceId(room.number()), Arc::clone(&BEEP));
                let play = NodeCommand::Play { conference, clip, to: None, samples, is_repeated: false };
                self.due.push_back(ConferenceEffect::Node(play));
            }
            RoomAction::Release { member, reason } => {
                if let Some(key) = self.vacate((room, member)) {
                    self.due.push_back(ConferenceEffect::Call(key, ConferenceEvent::Released(reason)));
                }
            }
            RoomAction::Ended { reason, call_sid } => self.keep_ended(room, (reason, call_sid), date()),
            RoomAction::Callback(callback) => self.call_back(room, &callback, date, account_sid),
            RoomAction::Record { .. } => {
                if let Some((kept, (call, request))) =
                    self.details.get(&room).and_then(|kept| Some((kept, kept.record.clone()?)))
                {
                    let request = RecordingRequest { conference: Some(kept.sid.clone()), ..*request };
                    self.due.push_back(ConferenceEffect::Record(room, call, Box::new(request)));
                }
            }
            RoomAction::StopRecording => {
                self.begin_continued_recordings(room);
                let running = self.details.get_mut(&room).map(|kept| std::mem::take(&mut kept.recordings));
                let stop =
                    |ActiveRecording { id, .. }| ConferenceEffect::Node(NodeCommand::StopRecording { recording: id });
                self.due.extend(running.into_iter().flatten().map(stop));
            }
        }
    }

    /// Returns SID and name of a conference that has not ended, given its SID or name.
    fn known(&self, sid_or_name: &str) -> Option<(&str, &str)> {
        let room = self.find(sid_or_name).and_then(|room| self.rooms.get(room)).map(|room| (room.sid(), room.name()));
        room.or_else(|| self.expected(sid_or_name).map(|one| (&*one.sid, &*one.name)))
    }

    /// Returns the conference with a SID or name that has no participant yet.
    fn expected(&self, sid_or_name: &str) -> Option<&ExpectedConference> {
        self.expected.iter().find(|one| one.is(sid_or_name))
    }

    /// Returns the role of a participant for the mixers, which identify the coached participant by its seat.
    fn part(&self, room: RoomId, standing: MemberRole) -> ParticipantRole {
        match standing {
            MemberRole::Speaker => ParticipantRole::Speaker,
            MemberRole::Listener => ParticipantRole::Listener,
            MemberRole::Away => ParticipantRole::Away,
            MemberRole::Coach(coached) => self
                .places
                .get(&(room, coached))
                .map_or(ParticipantRole::Listener, |place| ParticipantRole::Coach(place.seat)),
        }
    }

    fn links_of(&self, room: RoomId) -> impl Iterator<Item = u64> {
        self.links.iter().filter(move |((at, _), _)| *at == room).flat_map(|(_, words)| words.iter().copied())
    }

    /// Removes a participant from the look-ups and from its mixer. Returns its call.
    fn vacate(&mut self, place: (RoomId, MemberId)) -> Option<CallKey> {
        self.links.remove(&place);
        self.absent.remove(place);
        let ParticipantEntry { key, seat, .. } = self.places.remove(&place)?;
        self.due.push_back(ConferenceEffect::Node(NodeCommand::Leave { seat }));
        Some(key)
    }

    fn party_at(&self, seat: ParticipantId) -> Option<((RoomId, MemberId), CallKey)> {
        self.places.iter().find(|(_, place)| place.seat == seat).map(|(at, place)| (*at, place.key))
    }

    fn spoke(&mut self, seat: ParticipantId, speaks: bool) {
        if let Some(((room, member), _)) = self.party_at(seat) {
            if let Some(place) = self.places.get_mut(&(room, member)) {
                place.speaks = speaks;
            }
            self.act(room, |room| room.note_speech(member, speaks));
        }
    }

    fn call_back(
        &mut self,
        room: RoomId,
        callback: &CallbackRequest,
        date: &impl Fn() -> SystemTime,
        account_sid: &str,
    ) {
        let Some(kept) = self.details.get(&room) else { return };
        let method = match callback.method() {
            CallbackMethod::Get => WebhookMethod::Get,
            CallbackMethod::Post => WebhookMethod::Post,
        };
        let own = [("AccountSid", account_sid.to_owned()), ("Timestamp", trunkgate_story::wall::rfc2822(date()))];
        let fields = own.into_iter().chain(callback.fields.iter().cloned());
        let parameters = fields.map(|(name, value)| (name.to_owned(), value)).collect();
        let place = AppPlace::Url(callback.callbacks.url.clone());
        let request = DocumentRequest { place, method, purpose: "conference", parameters };
        let call = callback.field("CallSid").or(callback.field("CallSidEndingConference")).unwrap_or_default();
        let (call, about) = (call.to_owned(), kept.sid.clone());
        let (app, allow_private) = (Arc::clone(&kept.app), kept.allow_private);
        self.due.push_back(ConferenceEffect::Callback(AppCallback { call, about, app, allow_private, request }));
    }

    /// Lists the SIDs of absent participants' calls; none while calls are being restored.
    pub fn absent_calls(&self) -> impl Iterator<Item = &str> {
        let list = self.absent.until.map(|_| self.absent.list.values());
        list.into_iter().flatten().map(|absent| absent.call_sid.as_str())
    }

    /// Removes the participants that are still absent although their time is over.
    fn end_absence(&mut self, now: Instant) {
        while let Some(absent) =
            self.absent.list.values().next().filter(|_| self.absent.until.is_some_and(|at| at <= now))
        {
            let call_sid = absent.call_sid.clone();
            self.leave_absent(now, &call_sid);
        }
    }

    /// Returns whether an announcement has to wait, because the participant that hears it is absent; without `member`,
    /// because all are.
    pub fn is_awaited(&self, room: RoomId, member: Option<MemberId>) -> bool {
        let is_any = || self.places.keys().any(|(at, _)| *at == room);
        member.map_or_else(|| !is_any(), |member| self.absent.list.contains_key(&(room, member)))
    }

    /// Returns whether the call with a SID is an absent participant of a conference.
    fn is_absent(&self, call_sid: &str) -> bool {
        self.absent.find(call_sid).is_some()
    }

    /// Continues with the absent participant whose call has come back; `None` if there is none in the conference with
    /// this SID or name.
    fn resume(&mut self, sid_or_name: &str, call_sid: &str, key: CallKey) -> Option<ParticipantHandle> {
        let at = self.absent.find(call_sid).filter(|(room, _)| self.find(sid_or_name) == Some(*room))?;
        let AbsentParticipant { call_sid: _, trunk, joined } = self.absent.list.remove(&at)?;
        let seat = self.new_seat();
        self.places.insert(at, ParticipantEntry { key, trunk, seat, joined, speaks: false });
        let (room, member) = at;
        self.act(room, |room| room.resume(member));
        self.begin_continued_recordings(room);
        Some(self.handle(at, seat))
    }

    /// Removes an absent participant, because its call has ended or joins another conference.
    pub fn leave_absent(&mut self, now: Instant, call_sid: &str) {
        let Some(at) = self.absent.find(call_sid) else { return };
        let (room, member) = at;
        self.act(room, |room| room.leave(now, member, Departure::HungUp));
        self.vacate(at);
    }

    /// Sends the mixers the recordings of a conference that another process began.
    fn begin_continued_recordings(&mut self, room: RoomId) {
        let Some(details) = self.details.get_mut(&room) else { return };
        let Some(origin) = details.continued.take() else { return };
        let conference = ConferenceId(room.number());
        for &ActiveRecording { id: recording, pause, .. } in &details.recordings {
            let is_crossing = origin == RecordingOrigin::Crossing;
            let record = NodeCommand::Record { conference, recording, is_crossing };
            self.due.push_back(ConferenceEffect::Node(record));
            if pause.is_some() {
                self.due.push_back(ConferenceEffect::Node(NodeCommand::PauseRecording { recording, pause }));
            }
        }
    }

    /// Adds ended conferences; beyond the limit the oldest are forgotten.
    pub fn add_ended(&mut self, reports: impl IntoIterator<Item = ConferenceReport>) {
        self.ended.extend(reports);
        let surplus = self.ended.len().saturating_sub(ENDED_CONFERENCES);
        self.ended.drain(..surplus);
    }

    /// Ends a conference's details, and stores the report of the ended conference.
    fn keep_ended(&mut self, room: RoomId, (reason, call_sid): (EndReason, Option<String>), ended: SystemTime) {
        let Some(ConferenceDetails { sid, name, began, .. }) = self.details.remove(&room) else { return };
        let (status, ended) = (ConferenceStatus::Completed, Some((ended, reason, call_sid)));
        let (parties, recordings) = (Vec::new(), Vec::new());
        self.keep(ConferenceReport { sid, name, status, began, ended, parties, recordings });
    }

    /// Ends a conference without a participant, given its index in `expected`.
    fn end_expected(&mut self, at: usize, reason: EndReason, date: SystemTime) {
        let report = self.expected.remove(at).report();
        self.keep(ConferenceReport {
            status: ConferenceStatus::Completed,
            ended: Some((date, reason, None)),
            ..report
        });
    }

    fn keep(&mut self, ended: ConferenceReport) {
        self.due.push_back(ConferenceEffect::Ended(Box::new(ended.clone())));
        self.add_ended([ended]);
    }
}

impl ExpectedConference {
    /// Returns whether the conference has this SID or name.
    fn is(&self, sid_or_name: &str) -> bool {
        self.sid == sid_or_name || self.name == sid_or_name.trim()
    }

    fn report(&self) -> ConferenceReport {
        ConferenceReport {
            sid: self.sid.clone(),
            name: self.name.clone(),
            status: ConferenceStatus::Init,
            began: self.began,
            ended: None,
            parties: Vec::new(),
            recordings: Vec::new(),
        }
    }
}

/// Returns the loop-detection word of a conference: a hash of its name with the lowest bit set.
fn loop_word(hop_key: u64, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (hop_key, name).hash(&mut hasher);
    hasher.finish() | 1
}

/// Clears the bit that marks a loop-detection word as that of a conference; for words of edges.
pub const fn no_link(word: u64) -> u64 {
    word & !1
}

/// Returns whether a loop-detection word is that of a conference, not of an edge.
pub const fn is_link(word: u64) -> bool {
    word & 1 == 1
}

/// Returns whether a string has the form of a conference SID, and therefore is not a name.
pub fn is_conference_sid(name: &str) -> bool {
    let digits = name.strip_prefix("CF").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use trunkgate_conference::limits::EDGE_PARTIES_RESERVED;

    use super::*;

    /// An edge with one participant in its conference.
    struct Side {
        conferences: Conferences,
        key: u64,
        calls: u64,
    }

    impl Side {
        fn new(key: u64) -> Side {
            let mut side = Side { conferences: Conferences::default(), key, calls: 0 };
            side.joins(Vec::new(), false).unwrap();
            side
        }
        fn joins(&mut self, hops: Vec<u64>, is_called: bool) -> Result<ParticipantHandle, NotJoined> {
            self.joins_as("room", Joiner { hops, is_called, ..self.joiner("pbx") })
        }
        fn joiner(&self, trunk: &str) -> Joiner {
            Joiner {
                key: CallKey(self.calls + 1),
                app: "conference:room".into(),
                allow_private: false,
                record: None,
                date: SystemTime::UNIX_EPOCH,
                hops: Vec::new(),
                is_called: false,
                hop_key: self.key,
                trunk: trunk.into(),
            }
        }
        #[expect(clippy::disallowed_methods, reason = "a test begins somewhere in time")]
        fn joins_as(&mut self, room: &str, joiner: Joiner) -> Result<ParticipantHandle, NotJoined> {
            self.calls += 1;
            let joining = JoinRequest::new(&format!("CA{}", self.calls));
            let would = self.conferences.would_take(room, joining.clone(), &joiner);
            let joined = self.conferences.join(Instant::now(), room, || "CF".to_owned(), joining, joiner);
            assert_eq!(would, joined.as_ref().map(drop).map_err(|why| *why), "what is said before is what comes");
            joined
        }
        fn words(&self) -> Vec<u64> {
            self.conferences.hops_onward(self.key, "room")
        }
    }

    #[test]
    fn a_trunk_that_takes_all_places_leaves_some_for_others() {
        let mut edge = Side::new(7);
        let fill = |edge: &mut Side, trunk: &str| {
            let joins = |n: usize| {
                let joiner = edge.joiner(trunk);
                edge.joins_as(&format!("{trunk} {}", n / 50), joiner)
            };
            (0..1_000).map(joins).take_while(Result::is_ok).filter_map(Result::ok).collect::<Vec<ParticipantHandle>>()
        };
        // One seat is taken by the participant of the helper.
        let flood = fill(&mut edge, "flood");
        assert_eq!(flood.len(), EDGE_PARTIES - 1);
        assert_eq!(fill(&mut edge, "good").len(), EDGE_PARTIES_RESERVED);
        let refused = edge.joins_as("other", edge.joiner("other"));
        assert_eq!(refused, Err(NotJoined::Refused(JoinRejection::EdgeFull)), "that is all");
        // Freed seats go to trunks below their share first.
        for seated in flood.iter().take(EDGE_PARTIES_RESERVED) {
            #[expect(clippy::disallowed_methods, reason = "a test begins somewhere in time")]
            edge.conferences.leave(Instant::now(), seated, Departure::HungUp);
        }
        assert_eq!(fill(&mut edge, "flood").len(), 0);
        assert_eq!(fill(&mut edge, "other").len(), EDGE_PARTIES_RESERVED);
    }

    #[test]
    fn of_two_lines_that_cross_one_stays() {
        let [mut one, mut other] = [Side::new(7), Side::new(8)];
        let words = [one.words(), other.words()];
        let [of_one, of_other] = words;
        one.joins(of_other.clone(), false).unwrap();
        other.joins(of_one.clone(), false).unwrap();
        let stays = [one.joins(of_other, true), other.joins(of_one, true)].map(|joined| joined.is_ok());
        assert_ne!(stays[0], stays[1], "{stays:?}");
    }

    #[test]
    fn a_line_is_refused_that_closes_a_ring_whichever_side_is_asked() {
        let [mut one, mut two, mut three] = [7, 8, 9].map(Side::new);
        // The first calls the second, then the third calls the first. A conference answers before the caller joins
        // it.
        for caller in [&mut one, &mut three] {
            let answer = two.words();
            two.joins(caller.words(), false).unwrap();
            caller.joins(answer, true).unwrap();
        }
        assert_eq!(three.joins(one.words(), false), Err(NotJoined::Linked));
        assert_eq!(one.joins(three.words(), false), Err(NotJoined::Linked));
        // Calls without words pass; their answers reveal the loop.
        assert_eq!(one.joins(three.words(), true), Err(NotJoined::Linked));
    }
}
