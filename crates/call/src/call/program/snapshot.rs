//! Snapshots of programs as plain data. A sound continues where the player of the media session was. Other steps in
//! progress are repeated after a restart: a document is requested again, a party that had not answered is called again.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_cookies::CookieJar;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_story::wall::millis;
use trunkgate_twiml::{ConferenceStep, Program, ProgramStep};

use crate::call::legs::list::Legs;
use crate::call::program::app_snapshot::AppSnapshot;
use crate::call::program::callback::{CallReports, ReportsSnapshot};
use crate::call::program::progress::PartyCallSnapshot;
use crate::call::program::queueing::QueueReturn;
use crate::call::program::records::DialRecording;
use crate::call::program::runner::PlayingSnapshot;
use crate::call::program::streams::{AppStreamSnapshot, AppStreams};
use crate::call::program::transcripts::{LiveTranscripts, TranscriptionSnapshot};
use crate::call::program::{CallProgram, DialParty, OpenedByApps, ProgramConnection, ProgramRun};
use crate::call::words::crash_gap::CrashGap;

/// Programs of an answered call as plain data. Streams and the recognition of a step are omitted; the steps start them
/// again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProgramSnapshot {
    run: Option<RunSnapshot>,
    /// Conference that the caller joins again.
    conference: Option<ConferenceStep>,
    /// Queue that the caller enters or dials again.
    queue: Option<QueueReturn>,
    /// Reports of the call to an application.
    reports: Option<ReportsSnapshot>,
    /// Cookies set by the application.
    cookies: CookieJar,
    /// Live transcriptions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    transcripts: Vec<TranscriptionSnapshot>,
    /// Streams by which applications listen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    streams: Vec<AppStreamSnapshot>,
}

/// The caller's program as plain data. The document of a called party and a pending transfer by REFER are omitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunSnapshot {
    #[serde(flatten)]
    app: AppSnapshot,
    program: Program,
    ran_ms: u64,
    under_way: Option<Box<ProgramStep>>,
    /// Sound of the step in progress.
    playing: Option<PlayingSnapshot>,
    side: Option<ConnectionSnapshot>,
    ring_timeout_ms: Option<u64>,
    is_redirected: bool,
}

/// A connected party as plain data. Parties that were not connected are omitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ConnectionSnapshot {
    id: u32,
    /// Whether the connection began as a stream; the caller may have been transferred to another target since.
    is_stream: bool,
    talked_ms: u64,
    limit_ms: u64,
    sid: Option<String>,
    call: Option<PartyCallSnapshot>,
    /// SID of the recording of the Dial.
    recording: Option<String>,
}

impl ProgramSnapshot {
    /// Returns the programs of a call in plain data. `has_callee` is true if the caller is connected with a remote
    /// party, which may have replaced a stream. A stream or an agent is reconnected by the step in progress.
    pub(crate) fn of(
        (now, key): (Instant, CallKey),
        edge: &Edge,
        program: &CallProgram,
        (legs, has_callee): (&Legs, bool),
    ) -> ProgramSnapshot {
        let CallProgram { run, conference, queue, reports, opened } = program;
        let has_place = conference.is_joined() || queue.has_place();
        let (streams, transcripts) = opened.as_deref().map(|opened| opened.snapshots(legs)).unwrap_or_default();
        ProgramSnapshot {
            run: run.as_ref().map(|run| RunSnapshot::of(now, run.of_caller(), has_callee, has_place)),
            conference: conference.step().cloned(),
            queue: queue.snapshot(now, key, &edge.sessions().queues),
            reports: reports.snapshot(run.as_deref()),
            cookies: CookieJar::clone(&edge.apps().cookies.of_call(legs.sid())),
            transcripts,
            streams,
        }
    }

    /// Skips sequence numbers of reports that crashed processes may have sent.
    pub(crate) fn skip_reports(&mut self, gap: CrashGap) {
        self.reports.iter_mut().for_each(|reports| reports.skip_reports(gap));
        self.transcripts.iter_mut().for_each(|transcript| transcript.skip_reports(gap));
        let Some(run) = &mut self.run else { return };
        run.program.skip_partial_results(gap.margins());
        run.side.iter_mut().filter_map(|side| side.call.as_mut()).for_each(|call| call.skip_reports(gap));
    }

    /// Restores the programs of the call with the SID `sid`.
    pub(crate) fn restore(self, now: Instant, edge: &mut Edge, sid: &str) -> CallProgram {
        let ProgramSnapshot { run, conference, queue, reports, cookies, transcripts, streams } = self;
        edge.apps_mut().cookies.restore(sid, cookies);
        let run = run.and_then(|run| run.restore(now, edge)).map(|run| {
            let conference = conference.map(|step| Box::new(ProgramStep::Conference(step)));
            Box::new(ProgramRun { under_way: conference.or(run.under_way), back_in_queue: queue.map(Box::new), ..run })
        });
        let reports = CallReports::restore(edge, run.as_deref(), reports);
        let transcripts = LiveTranscripts::restore(edge, transcripts);
        let streams = AppStreams::restore(edge, streams);
        let opened = (!transcripts.is_empty() || !streams.is_empty())
            .then(|| Box::new(OpenedByApps { transcripts, streams, ..OpenedByApps::default() }));
        CallProgram { run, opened, reports, ..CallProgram::default() }
    }
}

impl OpenedByApps {
    /// Returns the streams and live transcriptions in plain data. The program's recognition begins again with its step.
    fn snapshots(&self, legs: &Legs) -> (Vec<AppStreamSnapshot>, Vec<TranscriptionSnapshot>) {
        let OpenedByApps { streams, recognition: _, transcripts } = self;
        (streams.snapshot(legs), transcripts.snapshot())
    }
}

impl RunSnapshot {
    /// Returns a program in plain data. With `has_place`, the caller is in a conference or queue. It joins again, and
    /// its wait document begins again, so the document's step and sound are omitted.
    fn of(now: Instant, run: &ProgramRun, has_callee: bool, has_place: bool) -> RunSnapshot {
        let ProgramRun {
            app,
            runner,
            under_way,
            side,
            ring_timeout,
            is_redirected,
            behind: _,
            back_in_queue: _,
            screened: _,
            referral: _,
            shown_as: _,
            is_turned_away: _,
        } = run;
        let side = side.as_ref().filter(|_| has_callee).and_then(|side| ConnectionSnapshot::of(now, side));
        let under_way = under_way.clone().filter(|_| side.is_none() && !has_place);
        let plays = under_way.as_deref().is_some_and(|step| {
            matches!(step, ProgramStep::Say { .. } | ProgramStep::Play { .. } | ProgramStep::Beep { .. })
        });
        RunSnapshot {
            app: AppSnapshot::of(app),
            program: runner.program.clone(),
            ran_ms: millis(runner.time(now)),
            under_way,
            playing: if plays && !has_callee { runner.playing() } else { None },
            side,
            ring_timeout_ms: ring_timeout.map(millis),
            is_redirected: *is_redirected,
        }
    }

    /// Restores the program; `None` if the configuration no longer contains its application.
    fn restore(self, now: Instant, edge: &Edge) -> Option<ProgramRun> {
        let RunSnapshot { app, program, ran_ms, under_way, playing, side, ring_timeout_ms, is_redirected } = self;
        let mut run = ProgramRun::new(app.restore(edge)?, program, ago(now, ran_ms));
        playing.into_iter().for_each(|playing| run.runner.restore_playing(playing));
        Some(ProgramRun {
            under_way,
            side: side.map(|side| side.restore(now)),
            ring_timeout: ring_timeout_ms.map(Duration::from_millis),
            is_redirected,
            ..run
        })
    }
}

impl ConnectionSnapshot {
    fn of(now: Instant, side: &ProgramConnection) -> Option<ConnectionSnapshot> {
        let ProgramConnection { id, is_stream, since, limit, sid, parties, record, is_bridged: _, further: _ } = side;
        let talked_ms = millis(now.saturating_duration_since((*since)?));
        let call = parties.iter().find_map(|party| party.call.snapshot(now));
        let (sid, limit_ms) = (sid.clone(), millis(*limit));
        let recording = record.as_ref().and_then(|record| record.sid.clone());
        Some(ConnectionSnapshot { id: *id, is_stream: *is_stream, talked_ms, limit_ms, sid, call, recording })
    }

    fn restore(self, now: Instant) -> ProgramConnection {
        let ConnectionSnapshot { id, is_stream, talked_ms, limit_ms, sid, call, recording } = self;
        let calls = call.into_iter().map(|call| call.restore(now));
        let party = |call| DialParty { targets: Vec::new(), whisper: None, detection: None, call };
        ProgramConnection {
            since: Some(ago(now, talked_ms)),
            limit: Duration::from_millis(limit_ms),
            sid,
            is_bridged: true,
            record: recording.map(|sid| Box::new(DialRecording::begun(sid))),
            parties: calls.map(party).collect(),
            ..ProgramConnection::new(id, is_stream)
        }
    }
}

/// Returns the time `ms` milliseconds ago.
fn ago(now: Instant, ms: u64) -> Instant {
    now.checked_sub(Duration::from_millis(ms)).unwrap_or(now)
}
