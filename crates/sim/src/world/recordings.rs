//! Recordings of calls, begun and changed by API requests and documents, and callbacks about them. They have their
//! own random generator, so that the other events of a seed stay unchanged.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_call::{
    AppPlace, Channels, DocumentRequest, GatewayInput, RecordingBegun, RecordingChange, RecordingControl,
    RecordingDone, RecordingLosses, RecordingRequest, RecordingSource, RecordingStart, RequestRefusal,
};
use trunkgate_media::RecordingPause;
use trunkgate_media::agent::TrackSet;

use super::apps::parameter;
use super::{SimEvent, World};
use crate::edge::NOTIFIED;

/// Share of seeds that have recorded calls: one seed in this many.
const RECORDED_IN: u64 = 3;
/// Number of API requests about recordings in such a seed.
const REQUESTS: u32 = 24;

/// Verbs that record, which replace prompts in documents.
const RECORDS: [&str; 4] = [
    "<Record timeout='3' maxLength='20' action='/recorded'/>",
    "<Record playBeep='false' finishOnKey='1' recordingStatusCallback='/recording'/>",
    "<Record trim='do-not-trim' action='/recorded'/>",
    "<Start><Recording track='inbound'/></Start>",
];
/// Prompts in documents that are replaced by recording verbs.
const PROMPTS: [&str; 2] = ["<Play>/music.wav</Play>", "<Say loop='2'>hello</Say>"];
/// Values of the `record` attribute of a Dial.
const DIALS: [&str; 4] = ["record-from-answer", "record-from-ringing", "record-from-answer-dual", "do-not-record"];

/// Recordings of a run, with their own random generator.
#[derive(Debug)]
pub(crate) struct RecordingRequests {
    rng: ChaCha12Rng,
    is_used: bool,
    begun: BTreeSet<String>,
    /// SIDs of recordings with a reported beginning.
    reported: BTreeSet<String>,
}

impl RecordingRequests {
    /// Returns the recordings of a run, none of them begun.
    pub(crate) fn new(seed: u64) -> RecordingRequests {
        RecordingRequests {
            rng: ChaCha12Rng::seed_from_u64(seed ^ 0x7265_636f_7264),
            is_used: seed.is_multiple_of(RECORDED_IN),
            begun: BTreeSet::new(),
            reported: BTreeSet::new(),
        }
    }

    /// Adds a recording to a document, at random.
    pub(crate) fn recorded(&mut self, document: String) -> String {
        if !self.is_used {
            return document;
        }
        let dial = DIALS.get(self.rng.random_range(0..8_usize));
        let document = match dial {
            Some(value) => document.replace("<Dial", &format!("<Dial record='{value}'")),
            None => document,
        };
        let Some(prompt) = PROMPTS.iter().find(|prompt| document.contains(**prompt)) else { return document };
        match RECORDS.get(self.rng.random_range(0..6_usize)) {
            Some(verb) => document.replacen(prompt, verb, 1),
            None => document,
        }
    }

    /// Returns a recording for a call requested by the API, at random.
    pub(crate) fn of_requested(&mut self) -> Option<RecordingRequest> {
        let is_recorded = self.is_used && self.rng.random_bool(0.3);
        is_recorded.then(|| RecordingRequest::new(RecordingSource::OutboundApi, Channels::Mono))
    }

    /// Notes that a recording has begun, so that its callback is expected.
    pub(crate) fn begun(&mut self, begun: &RecordingBegun) {
        self.begun.insert(begun.sid.clone());
    }

    /// Checks a document request of a program for data about recordings.
    ///
    /// # Errors
    /// Returns a message if the request names an unknown recording, or lacks data about a recording.
    pub(crate) fn requested(&self, request: &DocumentRequest) -> Result<(), String> {
        let value = |name| parameter(request, name);
        let (sid, url) = (value("RecordingSid"), value("RecordingUrl"));
        let is_named = sid.zip(url).is_some_and(|(sid, url)| url.ends_with(sid) && self.begun.contains(sid));
        let is_dated = value("RecordingDuration").is_some_and(|seconds| seconds != "0");
        match request.purpose {
            "record" if !is_named || !is_dated => Err(format!("a Record says {sid:?}, {url:?} of its recording")),
            "dial" if (sid.is_some() || url.is_some()) && !is_named => {
                Err(format!("a Dial says {sid:?}, {url:?} of its recording"))
            }
            _ => Ok(()),
        }
    }

    /// Checks a callback about a recording.
    ///
    /// # Errors
    /// Returns a message if the beginning of a recording is reported twice to the receiver of all recordings.
    pub(crate) fn reported(&mut self, request: &DocumentRequest) -> Result<(), String> {
        let is_of_all = request.place == AppPlace::Url(NOTIFIED.to_owned());
        let Some(sid) = parameter(request, "RecordingSid").filter(|_| request.purpose == "recording" && is_of_all)
        else {
            return Ok(());
        };
        let is_new = self.reported.insert(sid.to_owned());
        if is_new { Ok(()) } else { Err(format!("the beginning of {sid} is reported twice")) }
    }

    /// Checks that the beginning of each recording was reported to the receiver of all recordings.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.begun.difference(&self.reported).next() {
            Some(sid) => Err(format!("the beginning of {sid} was not reported")),
            None => Ok(()),
        }
    }
}

/// Schedules the API requests about recordings.
pub(crate) fn plan(world: &mut World) {
    if !world.options.seed.is_multiple_of(RECORDED_IN) {
        return;
    }
    for _ in 0..REQUESTS {
        let part = f64::from(world.recordings.rng.random_range(0..1000_u32)) / 1000.0;
        world.at(world.start + world.options.busy.mul_f64(part), SimEvent::Record);
    }
}

/// Makes an API request about the recordings of a random answered call.
pub(crate) fn ask(world: &mut World) {
    let now = world.now;
    let mut calls = world.edge.gateway.calls(now);
    calls.retain(|call| matches!(call.state, "answered" | "held" | "transferring"));
    let rng = &mut world.recordings.rng;
    let Some(call) = calls.get(rng.random_range(0..calls.len().max(1))) else { return };
    let gateway = &mut world.edge.gateway;
    let pause = if rng.random_bool(0.5) { RecordingPause::Cut } else { RecordingPause::Silence };
    let change = match rng.random_range(0..10) {
        0..2 => RecordingChange::Pause(pause),
        2..4 => RecordingChange::Resume,
        4 => RecordingChange::Stop,
        _ => {
            let tracks = if rng.random_bool(0.8) { TrackSet::Both } else { TrackSet::Inbound };
            let request =
                RecordingRequest { tracks, ..RecordingRequest::new(RecordingSource::Request, Channels::Dual) };
            let begun = gateway.change(now, RecordingStart { sid: call.sid.clone(), request });
            world.summary.recordings += u64::from(begun.is_ok());
            if begun.is_err_and(|why| why == RequestRefusal::Internal) {
                world.fail(format!("a recording of {}: a fault of the edge's own", call.sid));
            }
            return;
        }
    };
    // The result is ignored, because most calls have no recording.
    let _ = gateway.change(now, RecordingControl { sid: call.sid.clone(), recording: None, change });
}

/// Schedules the completion of each ended recording's file, as if a writer finished it after some time.
pub(crate) fn finish(world: &mut World) {
    while let Some((id, frames)) = world.edge.recorded.finished.pop_front() {
        let error = world.recordings.rng.random_bool(0.1).then(|| "no space left on device".to_owned());
        let done = RecordingDone { id, milliseconds: frames * 20, lost: RecordingLosses::default(), error };
        let after = Duration::from_millis(world.recordings.rng.random_range(1..3_000));
        world.at(world.now + after, SimEvent::Recorded(Box::new(done)));
    }
    if let Some(fault) = world.edge.recorded.fault.take() {
        world.fail(fault);
    }
}

/// Reports to the gateway that a file is complete.
pub(crate) fn done(world: &mut World, done: Box<RecordingDone>) {
    world.edge.gateway.handle_input(world.now, GatewayInput::Recorded(done));
}
