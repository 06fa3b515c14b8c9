//! Announcements in conferences: an audio file, or a document with Say, Play, Pause and Redirect, for all parties or
//! one.
//!
//! A document is run by a program of its own, beside the programs of the calls. Its sounds are clips of the
//! conference's mixer; announcements for the same audience are played one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_conference::{AnnouncementId, ClipId, MemberId, RoomId};
use trunkgate_media::codec::g711::decode_ulaw;
use trunkgate_resources::applications::question::AppAnswer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::QueryId;
use trunkgate_route::App;
use trunkgate_twiml::{
    DocumentLocation, DocumentSource, HttpMethod, LoopCount, Program, ProgramInput, ProgramRole, ProgramSettings,
    ProgramStep, TraceNote,
};

use crate::call::program::runner::{ProgramRequestOrigin, ProgramRunner, SoundEnd};
use crate::call::words::webhooks;

/// Error of a document that plays digits to a conference.
const NO_KEYS: &str = "DTMF digits are not played to a conference";

/// A requested announcement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AnnouncementRequest {
    /// The conference.
    pub(super) room: RoomId,
    /// Number of the announcement in the room.
    pub(super) id: AnnouncementId,
    /// Participant that hears the announcement; `None`: all.
    pub(super) member: Option<MemberId>,
    /// SID of the call that has the announcement's requests in its trace.
    pub(super) call: String,
    /// Application with the settings for the announcement's requests.
    pub(super) app: Arc<App>,
    /// Location of the document, and the method of its request.
    pub(super) source: (DocumentLocation, HttpMethod),
    /// Parameters of the announcement's requests.
    pub(super) parameters: Vec<(String, String)>,
}

/// An announcement that is playing, or waits for an earlier one.
#[derive(Debug)]
struct RunningAnnouncement {
    request: AnnouncementRequest,
    /// Program of the announcement, once it has begun.
    runner: Option<ProgramRunner>,
    /// Clip that is playing.
    clip: Option<ClipId>,
    /// Reason why the announcement has failed.
    failed: Option<String>,
}

impl RunningAnnouncement {
    fn hears_the_same(&self, other: &RunningAnnouncement) -> bool {
        (self.request.room, self.request.member) == (other.request.room, other.request.member)
    }

    /// Begins or continues the announcement, and carries out its steps. Returns whether any step was carried out.
    fn go_on(&mut self, edge: &mut Edge, now: Instant) -> bool {
        let mut any = self.runner.is_none();
        let runner = self.runner.get_or_insert_with(|| self.request.begin(edge, now));
        if runner.deadline().is_some_and(|at| at <= now) {
            runner.handle_timeout(now);
        }
        while let Some(step) = self.runner.as_mut().and_then(ProgramRunner::poll_step) {
            any = true;
            self.carry_out(edge, now, step);
        }
        any
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a document with other verbs fails")]
    fn carry_out(&mut self, edge: &mut Edge, now: Instant, step: ProgramStep) {
        let Some(runner) = &mut self.runner else { return };
        let origin = ProgramRequestOrigin { key: None, sid: &self.request.call, app: &self.request.app };
        match step {
            ProgramStep::Fetch { id, request } => {
                if let Some(request) = webhooks::request(request, self.request.parameters.iter().cloned()) {
                    runner.fetch(edge, origin, id, request);
                }
            }
            ProgramStep::Say { id, say } => runner.say(edge, origin, id, say),
            ProgramStep::Play { id, location, repeat } => runner.play_file(edge, origin, (id, repeat), &location),
            ProgramStep::PlayDigits { id, .. } => {
                let (code, text) = (trunkgate_twiml::code::SCHEMA, NO_KEYS.to_owned());
                runner.take_input(now, ProgramInput::PlayFailed { id, code, text });
            }
            ProgramStep::StopPlaying { .. } => self.stop_playing(edge),
            ProgramStep::Failed { code } => {
                self.failed.get_or_insert_with(|| format!("error {code}"));
            }
            ProgramStep::Trace(trace) => {
                if let TraceNote::Error { code, text } | TraceNote::Unheard { code, text } = &trace.note {
                    self.failed = Some(format!("error {code}: {}", text.lines().next().unwrap_or_default()));
                }
            }
            _ => {}
        }
    }

    /// Plays a sound to the conference; its step ends at once if no party is left to hear it.
    fn play(&mut self, edge: &mut Edge, now: Instant, (sound, is_repeated): (&[u8], bool)) {
        let samples: Arc<[i16]> = sound.iter().map(|code| decode_ulaw(*code)).collect();
        let to = (self.request.room, self.request.member);
        self.clip = edge.sessions_mut().conferences.play(to, &samples, is_repeated);
        if let Some(runner) = self.runner.as_mut().filter(|_| self.clip.is_none()) {
            runner.finish_sound(now);
        }
    }

    /// Cancels the request or clip that the announcement waits for.
    fn stop_playing(&mut self, edge: &mut Edge) {
        self.runner.iter_mut().for_each(|runner| runner.stop_playing(edge));
        if let Some(clip) = self.clip.take() {
            edge.sessions_mut().conferences.stop_clip(clip);
        }
    }
}

/// Announcements of all conferences, in the order of their requests.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    list: Vec<RunningAnnouncement>,
}

/// Announcements as plain data. The next process plays one that had begun from its beginning.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct AnnouncementsSnapshot {
    list: Vec<AnnouncementRequest>,
}

impl Announcements {
    /// Returns the announcements as plain data.
    pub(super) fn snapshot(&self) -> AnnouncementsSnapshot {
        AnnouncementsSnapshot { list: self.list.iter().map(|one| one.request.clone()).collect() }
    }

    /// Restores announcements; their conferences must have been restored before.
    pub(super) fn restore(&mut self, snapshot: AnnouncementsSnapshot) {
        let AnnouncementsSnapshot { list } = snapshot;
        list.into_iter().for_each(|request| self.add(request));
    }

    /// Adds an announcement.
    pub(super) fn add(&mut self, asked: AnnouncementRequest) {
        self.list.push(RunningAnnouncement { request: asked, runner: None, clip: None, failed: None });
    }

    /// Returns the time of the next announcement's timeout.
    pub(super) fn next(&self) -> Option<Instant> {
        self.list.iter().filter_map(|one| one.runner.as_ref()?.deadline()).min()
    }

    /// Continues the announcements. Returns whether any has begun, continued or ended.
    pub(super) fn settle(&mut self, edge: &mut Edge, now: Instant) -> bool {
        let mut list = std::mem::take(&mut self.list);
        let mut any = false;
        let mut at = 0;
        while let Some((earlier, one)) =
            list.split_at_mut_checked(at).and_then(|(earlier, rest)| Some((earlier, rest.first_mut()?)))
        {
            let conferences = &edge.sessions().conferences;
            if !conferences.is_there(one.request.room, one.request.member) {
                any = true;
                one.stop_playing(edge);
                edge.sessions_mut().conferences.announced(&one.request.at(), Some("the participant has left"));
                list.remove(at);
                continue;
            }
            let is_awaited = conferences.is_awaited(one.request.room, one.request.member);
            let waits = one.runner.is_none() && (is_awaited || earlier.iter().any(|other| other.hears_the_same(one)));
            if !waits {
                any |= one.go_on(edge, now);
            }
            if one.runner.as_ref().is_some_and(ProgramRunner::is_over) {
                any = true;
                edge.sessions_mut().conferences.announced(&one.request.at(), one.failed.as_deref());
                list.remove(at);
                continue;
            }
            at += 1;
        }
        self.list = list;
        any
    }

    /// Handles the response to a request of an announcement; any other response is dropped.
    pub(super) fn answered(&mut self, edge: &mut Edge, now: Instant, query: QueryId, answer: AppAnswer) {
        let has_asked =
            |one: &&mut RunningAnnouncement| one.runner.as_ref().is_some_and(|runner| runner.has_asked(query));
        let Some(one) = self.list.iter_mut().find(has_asked) else { return };
        let Some(runner) = &mut one.runner else { return };
        if let Some((id, repeat, sound)) = runner.take_answer(now, query, answer).and_then(|taken| taken.sound) {
            // The mixer repeats an endless clip by itself.
            let (times, is_repeated) =
                if repeat == LoopCount::Forever { (LoopCount::Times(1), true) } else { (repeat, false) };
            runner.begin_sound((id, times), sound.clone());
            one.play(edge, now, (&sound, is_repeated));
        }
    }

    /// Plays the next repetition of a clip that has ended, or continues its announcement.
    pub(super) fn clip_ended(&mut self, edge: &mut Edge, now: Instant, ended: ClipId) {
        let Some(one) = self.list.iter_mut().find(|one| one.clip == Some(ended)) else { return };
        one.clip = None;
        let end = one.runner.as_mut().and_then(|runner| runner.end_sound(now));
        if let Some(SoundEnd::Again(sound)) = end {
            one.play(edge, now, (&sound, false));
        }
    }
}

impl AnnouncementRequest {
    fn at(&self) -> (RoomId, AnnouncementId, Option<MemberId>) {
        (self.room, self.id, self.member)
    }

    /// Begins the program of the announcement.
    fn begin(&self, edge: &mut Edge, now: Instant) -> ProgramRunner {
        let mut program = Program::new(ProgramSettings { role: ProgramRole::Announced, ..ProgramSettings::default() });
        let (location, method) = self.source.clone();
        program.start(Duration::ZERO, DocumentSource::Fetch { location, method }, true);
        edge.sessions_mut().conferences.announces(self.room, self.member, true);
        ProgramRunner::new(program, now)
    }
}
