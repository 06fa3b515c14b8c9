//! A program in plain data, and back. What was under way begins again: a document is asked for again, a prompt is heard
//! from its beginning, a party that had not answered is called again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_resources::conferences::queues::Queues;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_route::{App, AppDocument, StatusCallback, TargetSpec, WebhookMethod};
use trunkgate_twiml::{ConferenceStep, Program, Step};

use crate::call::program::progress::PartyCallSnapshot;
use crate::call::program::queueing::QueueReturn;
use crate::call::program::{CallProgram, Dialled, Run, Side};

/// A program of an answered call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunSnapshot {
    target: TargetSpec,
    /// The application, where the configuration does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Box<MadeApp>>,
    program: Program,
    ran_ms: u64,
    under_way: Option<Box<Step>>,
    side: Option<SideSnapshot>,
    /// The conference that its caller is in: it joins again.
    #[serde(default)]
    conference: Option<Box<ConferenceStep>>,
    /// The place in a queue that its caller has: it enters or dials it again.
    #[serde(default)]
    queue: Option<Box<QueueReturn>>,
    ring_timeout_ms: Option<u64>,
    #[serde(default)]
    is_redirected: bool,
}

/// A party that is connected.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SideSnapshot {
    id: u32,
    /// Whether a stream was to have the caller, who has gone on with another target.
    #[serde(default)]
    is_stream: bool,
    talked_ms: u64,
    limit_ms: u64,
    sid: Option<String>,
    call: Option<PartyCallSnapshot>,
}

/// An application that was made for the call.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MadeApp {
    name: String,
    document: AppDocument,
    fallback_url: Option<String>,
    fallback_method: WebhookMethod,
    status_callback: Option<StatusCallback>,
    allow_private: bool,
    auth_token: Option<String>,
    connect: Vec<TargetSpec>,
}

impl MadeApp {
    /// Writes an application down; `None` for one of the configuration.
    fn of(app: &App) -> Option<MadeApp> {
        app.is_made.then(|| MadeApp {
            name: app.name.to_string(),
            document: app.document.clone(),
            fallback_url: app.fallback_url.clone(),
            fallback_method: app.fallback_method,
            status_callback: app.status_callback.clone(),
            allow_private: app.allow_private,
            auth_token: app.auth_token.clone(),
            connect: app.connect.clone(),
        })
    }

    /// Returns it again.
    fn restore(self) -> App {
        App {
            fallback_url: self.fallback_url,
            fallback_method: self.fallback_method,
            status_callback: self.status_callback,
            allow_private: self.allow_private,
            auth_token: self.auth_token,
            connect: self.connect,
            is_made: true,
            ..App::new(&self.name, self.document)
        }
    }
}

impl RunSnapshot {
    /// Writes a program down. `has_far_end`: its caller talks with a far end, also where a stream was to have it; a stream or an agent is
    /// connected again by the step that is under way.
    pub(crate) fn of(
        program: &CallProgram,
        (now, key): (Instant, CallKey),
        queues: &Queues,
        has_far_end: bool,
    ) -> Option<RunSnapshot> {
        let run = program.run.as_deref()?.of_caller();
        let connected = run.side.as_ref().filter(|_| has_far_end);
        let side = connected.and_then(|side| {
            let talked = now.saturating_duration_since(side.since?);
            let (talked_ms, limit_ms) = (millis(talked), millis(side.limit));
            let call = side.parties.iter().find_map(|party| party.call.snapshot(now));
            let (id, is_stream, sid) = (side.id, side.is_stream, side.sid.clone());
            Some(SideSnapshot { id, is_stream, talked_ms, limit_ms, sid, call })
        });
        Some(RunSnapshot {
            target: run.app.spec(),
            made: MadeApp::of(&run.app).map(Box::new),
            program: run.runner.program.clone(),
            ran_ms: millis(run.runner.time(now)),
            under_way: run.under_way.clone().filter(|_| side.is_none()),
            side,
            conference: program.conference.step().cloned().map(Box::new),
            queue: program.queue.snapshot(now, key, queues).map(Box::new),
            ring_timeout_ms: run.ring_timeout.map(millis),
            is_redirected: run.is_redirected,
        })
    }

    /// Returns the program again; `None` where the configuration has its application no longer.
    pub(crate) fn restore(self, now: Instant, edge: &Edge) -> Option<CallProgram> {
        let app = match &self.target {
            _ if self.made.is_some() => self.made.map(|made| Arc::new(made.restore())),
            TargetSpec::App(name) => edge.table().app(name).cloned(),
            TargetSpec::Play(file) => Some(Arc::new(App::playing(file))),
            TargetSpec::Conference(name) => Some(Arc::new(App::conference(name))),
            TargetSpec::Voicemail(name) => edge.table().mailbox(name).cloned(),
            TargetSpec::Trunk { .. }
            | TargetSpec::Uri { .. }
            | TargetSpec::Agent(_)
            | TargetSpec::Reject(_)
            | TargetSpec::RingAll(_) => None,
        };
        let app = app?;
        let ago = |ms| now.checked_sub(Duration::from_millis(ms)).unwrap_or(now);
        let party = |call: PartyCallSnapshot| Dialled {
            targets: Vec::new(),
            whisper: None,
            detection: None,
            call: call.restore(now),
        };
        let side = self.side.map(|side| Side {
            since: Some(ago(side.talked_ms)),
            limit: Duration::from_millis(side.limit_ms),
            sid: side.sid,
            is_bridged: true,
            parties: side.call.into_iter().map(party).collect(),
            ..Side::new(side.id, side.is_stream)
        });
        let conference = self.conference.map(|step| Box::new(Step::Conference(*step)));
        let run = Run {
            under_way: conference.or(self.under_way),
            side,
            back_in_queue: self.queue,
            ring_timeout: self.ring_timeout_ms.map(Duration::from_millis),
            is_redirected: self.is_redirected,
            ..Run::new(app, self.program, ago(self.ran_ms))
        };
        Some(CallProgram { run: Some(Box::new(run)), ..CallProgram::default() })
    }
}

/// A duration as it is written down.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
