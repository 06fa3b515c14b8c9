//! What goes into calls' traces: decisions, and each message once, where it is sent or dealt with, in the order of the wire.

use std::time::Instant;

use bytes::Bytes;
use trunkgate_sip::{Flow, Message, Method, ServerId, Transmit};
use trunkgate_story::captured::CapturedItem;
use trunkgate_story::messages::{Way, Wire};
use trunkgate_story::redact;
use trunkgate_story::trace::{TraceItem, TraceView, body_note, first_line};

use crate::edge::Edge;
use crate::index::Place;
use crate::key::CallKey;

/// A message that is being dealt with.
#[derive(Debug)]
pub struct Arriving {
    flow: Flow,
    message: Message,
    /// Whether it is in a trace already.
    traced: bool,
}

impl Arriving {
    /// One that has come by this way.
    pub fn new(flow: Flow, message: Message) -> Arriving {
        Arriving { flow, message, traced: false }
    }

    /// Whether what goes out answers it: the endpoint answers some requests before it tells of them.
    fn is_answered_by(&self, transmit: &Transmit) -> bool {
        let what = &transmit.what;
        let answers = what.code.is_some() && what.server.is_some() && !what.again;
        answers && self.message.is_request() && what.method == self.message.method()
    }
}

impl Edge {
    /// Adds to a call's trace.
    pub fn trace(&mut self, now: Instant, key: CallKey, item: TraceItem) {
        self.push(now, key, &item, None);
    }

    /// Adds a decision to a call's trace.
    pub fn decide(&mut self, now: Instant, key: CallKey, text: impl Into<String>) {
        self.trace(now, key, TraceItem::Decision { text: redact::addresses(text.into()) });
    }

    /// Adds the message that is being dealt with to a leg's trace, unless it is there.
    pub fn trace_received(&mut self, now: Instant, at: Place) {
        let Some(arriving) = self.arriving.as_mut().filter(|arriving| !arriving.traced) else { return };
        arriving.traced = true;
        let (flow, bytes) = (arriving.flow, arriving.message.as_bytes().clone());
        self.trace_message(now, at, (true, false), (flow, &bytes));
    }

    /// Adds a message that goes out to the trace of its leg.
    pub fn trace_sent(&mut self, now: Instant, at: Place, transmit: &Transmit) {
        if self.arriving.as_ref().is_some_and(|arriving| arriving.is_answered_by(transmit)) {
            self.trace_received(now, at);
        }
        self.trace_message(now, at, (false, transmit.what.again), (transmit.flow, &transmit.bytes));
    }

    /// Where a CANCEL of ours belongs: the endpoint sends it by itself.
    pub fn place_of_cancel(&self, transmit: &Transmit) -> Option<Place> {
        let what = &transmit.what;
        let is_cancel = what.method == Method::Cancel && what.code.is_none();
        let message = is_cancel.then(|| Message::parse(transmit.bytes.clone()).ok()).flatten()?;
        Some(self.index.named(message.call_id()?)?.at)
    }

    /// Adds the answer to a CANCEL of ours, which the endpoint tells nobody of.
    pub fn trace_canceled(&mut self, now: Instant) {
        let Some(Arriving { flow, message, .. }) = &self.arriving else { return };
        if message.is_request() || message.method() != Method::Cancel {
            return;
        }
        let named = message.call_id().and_then(|id| self.index.named(id));
        if let Some(at) = named.filter(|named| named.covers(flow.remote.ip())).map(|named| named.at) {
            self.trace_received(now, at);
        }
    }

    /// Adds the 100 that answered an INVITE before its call was there.
    pub fn trace_trying(&mut self, now: Instant, at: Place, server: ServerId) {
        if let Some((_, flow, bytes)) = self.trying.take().filter(|(answered, ..)| *answered == server) {
            self.trace_message(now, at, (false, false), (flow, &bytes));
        }
    }

    fn trace_message(
        &mut self,
        now: Instant,
        at: Place,
        (received, again): (bool, bool),
        (flow, bytes): (Flow, &Bytes),
    ) {
        let (text, note) = (first_line(bytes), body_note(bytes));
        let item = TraceItem::Message { leg: at.leg.index(), received, text, note, again };
        let local = self.addressing.bound_towards(flow.remote.ip(), flow.listener);
        let way = Way { local, remote: flow.remote, transport: flow.transport };
        self.push(now, at.key, &item, Some(Wire { bytes, way }));
    }

    fn push(&mut self, now: Instant, key: CallKey, item: &TraceItem, message: Option<Wire<'_>>) {
        let Some(trace) = self.traces.get_mut(&key) else { return };
        let before = trace.message_bytes();
        let captured = match (&message, item) {
            (Some(message), TraceItem::Message { received, .. }) if self.captures => {
                Some((trace.sid().to_owned(), message.masked(), *received))
            }
            _ => None,
        };
        trace.push(now, item, message);
        self.message_bytes = (self.message_bytes + trace.message_bytes()).saturating_sub(before);
        if self.message_bytes > self.message_bytes_most {
            self.forget_messages();
        }
        if let Some((call, message, received)) = captured {
            self.capture(now, call, CapturedItem::Message(message, received));
        }
    }

    /// Makes room for messages, more than for one, so that this is seldom done: those of the calls go that have ended first,
    /// then of the oldest.
    fn forget_messages(&mut self) {
        let enough = self.message_bytes_most - self.message_bytes_most / 16;
        for trace in self.recent.traces_mut().chain(self.traces.values_mut()) {
            if self.message_bytes <= enough {
                return;
            }
            self.message_bytes = self.message_bytes.saturating_sub(trace.message_bytes());
            self.metrics.message_texts_dropped += trace.forget_messages() as u64;
        }
    }

    /// Takes the trace of a call that is let go of to those of ended ones.
    pub fn keep_trace(&mut self, key: CallKey, head: TraceView, is_turned_down: bool) {
        let Some(trace) = self.traces.remove(&key) else { return };
        if let Some(gone) = self.recent.push_trace(head, trace, is_turned_down) {
            self.message_bytes = self.message_bytes.saturating_sub(gone.message_bytes());
        }
    }
}
