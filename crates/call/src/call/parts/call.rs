//! A call as the gateway sees it: entry points for events and requests, and the views of the call.

use std::time::{Instant, SystemTime};

use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::GatewayOutput;
use trunkgate_resources::traces::traced::SampledCallData;
use trunkgate_story::sampled::SampledCall;
use trunkgate_story::trace::TraceView;
use trunkgate_story::view::CallView;

use crate::call::legs::event::{CallEvent, NegotiationEvent};
use crate::call::parts::{Call, CallParts};
use crate::call::shared::CallCx;
use crate::call::story::noted::micros;
use crate::call::story::verdict::head;

impl Call {
    /// Returns the parts and the context in which they act.
    pub(crate) fn act<'a>(&'a mut self, now: Instant, edge: &'a mut Edge) -> (&'a mut CallParts, CallCx<'a>) {
        (&mut self.parts, CallCx { now, edge, call: &mut self.shared })
    }

    /// Handles an event, then runs the work that was waiting for a change of the call.
    pub(crate) fn take(&mut self, now: Instant, edge: &mut Edge, event: CallEvent) {
        let (parts, cx) = &mut self.act(now, edge);
        event.note_proof(cx);
        if parts.recorders.siprec.concern(cx, &event) {
            parts.recorders.siprec.take(cx, &mut parts.bridge.media, event).act(parts, cx);
        } else {
            parts.handle(cx, event);
        }
        parts.poll(cx);
        let has_program = parts.program.is_running();
        parts.recorders.siprec.poll(cx, &mut parts.bridge.media, has_program).act(parts, cx);
        if !parts.transfers.is_under_way() {
            parts.recorders.siprec.follow(cx, parts.program.is_running());
        }
        parts.recorders.siprec.report(cx);
        cx.note_legs();
    }

    /// Carries out a request, and reports the parties dialled by it at once: an agent may answer with the next event.
    pub(crate) fn act_on_request<T>(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        act: impl FnOnce(&mut CallParts, &mut CallCx<'_>) -> T,
    ) -> T {
        let (parts, mut cx) = self.act(now, edge);
        let done = act(parts, &mut cx);
        parts.program.report_progress(&mut cx, &parts.search);
        done
    }

    /// Returns the head of the call's ladder diagram: its columns and its verdict.
    pub(crate) fn head(&self) -> TraceView {
        head(&self.shared, &self.parts.search.status())
    }

    /// Returns the view of the call for `calls` and `/v1/calls`.
    pub(crate) fn view(&self) -> CallView {
        self.parts.recorders.view(&self.shared)
    }

    /// Outputs a sampled call for OpenTelemetry, before its trace moves to the ended calls.
    pub(crate) fn tell_sampled(&self, edge: &mut Edge) {
        let Some(SampledCallData { legs, over: Some(over) }) = edge.tracing_mut().sampled.remove(&self.shared.key)
        else {
            return;
        };
        let Some(trace) = edge.tracing().traces.get(&self.shared.key).map(|trace| trace.view(self.head(), false))
        else {
            return;
        };
        let (record, ended_us) = *over;
        let since = |at: SystemTime| micros(at.duration_since(self.shared.times.started).unwrap_or_default());
        let answered_us = self.shared.times.answered.map(since);
        let sampled = SampledCall { record, began: self.shared.times.started, answered_us, ended_us, legs, trace };
        edge.output(GatewayOutput::Sampled(Box::new(sampled)));
    }
}

impl CallEvent {
    /// Notes the address proof that an event gives for a leg. Runs before the event is handled, because handling may
    /// already need the proof.
    fn note_proof(&self, cx: &mut CallCx<'_>) {
        use NegotiationEvent as E;
        let CallEvent::Negotiation(event) = self else { return };
        if let E::Acked { leg, .. } = event {
            cx.prove(*leg, "its ACK has come");
        } else if let E::Pracked { leg, .. } = event {
            cx.prove(*leg, "its PRACK has come");
        } else if let E::Update { leg, .. } = event {
            cx.prove(*leg, "its UPDATE has come");
        } else if let E::Reinvite { leg, sdp: Some(_), .. } = event {
            cx.ask_for_proof(*leg);
        }
    }
}
