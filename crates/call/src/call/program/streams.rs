//! Streams of a program's caller, and the requests that report them (`statusCallback` of Stream).

use trunkgate_resources::app::{AppPlace, DocumentRequest};
use trunkgate_resources::key::LegId;
use trunkgate_story::wall::rfc3339;
use trunkgate_twiml::{Method, StreamStep};

use crate::call::Parts;
use crate::call::legs::leg::LegState;
use crate::call::program::{Run, parameters};
use crate::call::search::attempt::Attempt;
use crate::call::shared::Cx;

/// A stream that the program has opened.
#[derive(Debug, Clone)]
pub(crate) struct ProgramStream {
    /// Name to stop it by.
    pub(crate) name: Option<String>,
    /// Its leg; `None` of a connected stream before its socket is asked for.
    pub(crate) leg: Option<LegId>,
    /// Id of the step that waits for it; `None` of one that listens.
    id: Option<u32>,
    receiver: Option<(String, Method)>,
    is_open: bool,
    is_over: bool,
}

impl ProgramStream {
    /// Makes a stream that listens.
    pub(crate) fn listening(step: &StreamStep, leg: LegId) -> ProgramStream {
        ProgramStream { leg: Some(leg), id: None, ..ProgramStream::connected(step) }
    }

    /// Makes a stream that has the caller once it is open.
    pub(crate) fn connected(step: &StreamStep) -> ProgramStream {
        ProgramStream {
            name: step.name.clone(),
            leg: None,
            id: Some(step.id),
            receiver: step.status.clone(),
            is_open: false,
            is_over: false,
        }
    }

    /// Takes what has come of the stream, and returns the events to report. `ends`: the call is over.
    fn follow(&mut self, cx: &Cx<'_>, ends: bool) -> Vec<&'static str> {
        let Some(leg) = self.leg.filter(|_| !self.is_over) else { return Vec::new() };
        let (state, agent) = (cx.call.legs[leg].state, cx.call.legs[leg].agent.as_ref());
        let is_gone = matches!(state, LegState::Canceling | LegState::Closing | LegState::Ended);
        let mut events = Vec::new();
        if !self.is_open && agent.is_some_and(|side| side.opened.is_some()) {
            self.is_open = true;
            events.push("stream-started");
        }
        if is_gone || ends {
            self.is_over = true;
            let has_failed = agent.is_some_and(|side| side.has_failed);
            let event = if has_failed { "stream-error" } else { "stream-stopped" };
            events.extend((self.is_open || has_failed).then_some(event));
        }
        events
    }
}

/// Reports what is new of the program's streams. `ends`: the call is over.
pub(crate) fn report_streams(parts: &mut Parts, cx: &mut Cx<'_>, ends: bool) {
    let attempt = parts.search.alone().and_then(Attempt::leg);
    let Some(run) = parts.program.as_mut().map(|run| run.of_caller_mut()) else { return };
    let connecting = run.side.as_ref().filter(|side| side.is_stream).map(|side| side.id);
    let mut told = Vec::new();
    for stream in &mut run.streams {
        if stream.id.is_some() && stream.id == connecting && attempt.is_some() {
            stream.leg = attempt;
        }
        let events = stream.follow(cx, ends);
        told.extend(events.into_iter().map(|event| (stream.clone(), event)));
    }
    for (stream, event) in told {
        report(cx, run, &stream, event);
    }
    run.streams.retain(|stream| !stream.is_over);
}

/// Makes one report.
fn report(cx: &mut Cx<'_>, run: &Run, stream: &ProgramStream, event: &'static str) {
    let (Some((url, method)), Some(leg)) = (&stream.receiver, stream.leg) else { return };
    let sid = cx.call.legs[leg].agent.as_ref().map(|side| side.stream_sid.clone()).unwrap_or_default();
    let mut named = vec![
        ("AccountSid", cx.edge.config.account_sid.clone()),
        ("CallSid", cx.call.legs.sid().to_owned()),
        ("StreamSid", sid.clone()),
        ("StreamName", stream.name.clone().unwrap_or(sid)),
        ("StreamEvent", event.to_owned()),
        ("Timestamp", rfc3339(cx.edge.date(cx.now))),
    ];
    let why = cx.call.legs[leg].end.filter(|_| event == "stream-error");
    named.extend(why.map(|end| ("StreamError", end.reason.sentence().to_owned())));
    let parameters = named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let place = AppPlace::Url(url.clone());
    let request = DocumentRequest { place, method: parameters::method(*method), purpose: "stream", parameters };
    cx.edge.notify_app(cx.call.legs.sid(), &run.app, request);
}
