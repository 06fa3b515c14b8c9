//! Requests for recordings of calls.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_media::RecordingId;
use trunkgate_resources::recordings::losses::Losses;
use trunkgate_resources::recordings::{RecordingDone, RecordingRequest};
use trunkgate_route::App;
use trunkgate_story::view::{RecordingView, SiprecView};
use trunkgate_twiml::TranscriptStep;

use crate::call::recorders::recording::{self, BegunRecording, RecordingChange};
use crate::call::recorders::siprec::{self, SiprecChange};
use crate::call::words::refused::Refused;
use crate::gateway::Gateway;

/// Takes note of a recording whose file is complete, or will not be.
pub(super) fn done(gateway: &mut Gateway, done: &RecordingDone) {
    lack(gateway, done.id, &done.lost);
    gateway.edge.recording_done(done);
}

/// Notes what a recording lacks, in the call that has it or had it.
pub(super) fn lack(gateway: &mut Gateway, id: RecordingId, lost: &Losses) {
    if lost.total() == 0 {
        return;
    }
    let Some((recording, call)) = gateway.edge.sessions().recordings.sids(id) else { return };
    let live = gateway.edge.index().sids.get(&call).and_then(|key| gateway.calls.get_mut(key));
    if let Some(recordings) = live.and_then(|call| call.shared.recordings.as_mut()) {
        recordings.lack(&recording, lost);
    }
    gateway.edge.recent_mut().recording_lost(&call, &recording, lost);
}

/// Recordings and live transcriptions of a live call, as requests begin and change them. Drain [`Gateway::poll_output`] afterwards.
#[derive(Debug)]
pub struct CallRecordings<'g> {
    gateway: &'g mut Gateway,
    sid: &'g str,
}

impl<'g> CallRecordings<'g> {
    /// Names the call.
    pub fn of(gateway: &'g mut Gateway, sid: &'g str) -> CallRecordings<'g> {
        CallRecordings { gateway, sid }
    }

    /// Begins a recording.
    ///
    /// # Errors
    /// Why there is none.
    pub fn begin(&mut self, now: Instant, request: RecordingRequest) -> Result<BegunRecording, Refused> {
        self.gateway.ask(now, self.sid, |parts, cx| recording::begin(&parts.bridge.media, cx, request, None))
    }

    /// Changes a recording: that of a SID, or the newest that is being made.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub fn change(
        &mut self,
        now: Instant,
        recording: Option<&str>,
        change: RecordingChange,
    ) -> Result<RecordingView, Refused> {
        self.gateway.ask(now, self.sid, |_, cx| recording::change(cx, recording, change))
    }

    /// Pauses, resumes or ends the recording by a group of recording servers (`[siprec.NAME]`).
    ///
    /// # Errors
    /// Why it stays as it is.
    pub fn change_siprec(&mut self, now: Instant, name: &str, change: SiprecChange) -> Result<SiprecView, Refused> {
        self.gateway.ask(now, self.sid, |parts, cx| siprec::change(&mut parts.bridge.media, cx, name, change))
    }

    /// Has the call transcribed live, by the keys of an application, and returns the SID of that.
    ///
    /// # Errors
    /// Why it is not; a live transcription of the same name is a reason.
    pub fn start_transcript(&mut self, now: Instant, app: &Arc<App>, step: TranscriptStep) -> Result<String, Refused> {
        self.gateway.ask(now, self.sid, |parts, cx| {
            parts.program.transcripts_mut().start_asked(cx, &parts.bridge.media, app, step)
        })
    }

    /// Ends a live transcription, by its name or SID, and returns its SID and its name.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn stop_transcript(&mut self, now: Instant, name: &str) -> Result<(String, Option<String>), Refused> {
        self.gateway.ask(now, self.sid, |parts, cx| parts.program.transcripts_mut().stop_asked(cx, name))
    }
}
