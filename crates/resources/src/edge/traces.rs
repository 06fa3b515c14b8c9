//! Traces of calls: what is added to them, the room that they take, and copies for capture agents.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use trunkgate_sip::{Flow, Method, ServerId, Transmit};
use trunkgate_story::captured::CapturedItem;
use trunkgate_story::messages::{Way, Wire};
use trunkgate_story::sampled::{Sampling, traceparent};
use trunkgate_story::trace::{Trace, TraceItem, TraceView, body_note, first_line};

use crate::edge::base::EdgeBase;
use crate::limits::{MESSAGE_TEXTS_BYTES, TRACE_SETTLES, TRACES_SETTLED};
use crate::lookups::index::Place;
use crate::lookups::key::CallKey;
use crate::traces::recent::Recent;
use crate::traces::traced::{Arriving, Gathered};

/// Traces of the calls that are held, and where copies of them go.
#[derive(Debug)]
pub struct Tracing {
    /// Traces of calls that are held.
    pub traces: BTreeMap<CallKey, Trace>,
    /// Calls that were answered lately, and when their messages are to be packed.
    pub answered: VecDeque<(Instant, CallKey)>,
    /// Whether a capture agent gets messages and reports.
    pub captures: bool,
    /// Which calls are sampled.
    pub sampling: Sampling,
    /// Data gathered of sampled calls.
    pub sampled: BTreeMap<CallKey, Gathered>,
    /// Bytes that messages in traces take.
    pub message_bytes: usize,
    /// Bytes that messages in traces may take.
    pub message_bytes_most: usize,
    /// Calls that have ended.
    pub(super) recent: Recent,
}

impl Tracing {
    /// Returns the traces of an edge without calls.
    pub(super) fn new() -> Tracing {
        Tracing {
            traces: BTreeMap::new(),
            answered: VecDeque::new(),
            captures: false,
            sampling: Sampling::NONE,
            sampled: BTreeMap::new(),
            message_bytes: 0,
            message_bytes_most: MESSAGE_TEXTS_BYTES,
            recent: Recent::default(),
        }
    }

    /// Adds to a call's trace.
    pub(super) fn trace(&mut self, base: &mut EdgeBase, now: Instant, key: CallKey, item: TraceItem) {
        self.push(base, now, key, &item, None);
    }

    /// Adds a decision to a call's trace.
    pub(super) fn decide(&mut self, base: &mut EdgeBase, now: Instant, key: CallKey, text: impl Into<String>) {
        self.trace(base, now, key, TraceItem::decision(text));
    }

    /// Adds a DTMF digit of a leg to a call's trace.
    pub(super) fn trace_digit(&mut self, now: Instant, at: Place, way: &str) {
        if let Some(trace) = self.traces.get_mut(&at.key) {
            trace.push_digit(now, at.leg.index(), way);
        }
    }

    /// Adds the message that is handled to a leg's trace, unless it is there.
    pub(super) fn trace_received(&mut self, base: &mut EdgeBase, now: Instant, at: Place) {
        let Some(arriving) = base.turn.arriving.as_mut().filter(|arriving| !arriving.traced) else { return };
        arriving.traced = true;
        let (flow, bytes) = (arriving.flow, arriving.message.as_bytes().clone());
        self.trace_message(base, now, at, (true, false), (flow, &bytes));
    }

    /// Adds a message that goes out to the trace of its leg.
    pub(super) fn trace_sent(&mut self, base: &mut EdgeBase, now: Instant, at: Place, transmit: &Transmit) {
        if base.turn.arriving.as_ref().is_some_and(|arriving| arriving.is_answered_by(transmit)) {
            self.trace_received(base, now, at);
        }
        self.trace_message(base, now, at, (false, transmit.what.again), (transmit.flow, &transmit.bytes));
    }

    /// Adds the answer to a CANCEL, which the endpoint does not report.
    pub(super) fn trace_canceled(&mut self, base: &mut EdgeBase, now: Instant) {
        let Some(Arriving { flow, message, .. }) = &base.turn.arriving else { return };
        if message.is_request() || message.method() != Method::Cancel {
            return;
        }
        let named = message.call_id().and_then(|id| base.index.named(id));
        if let Some(at) = named.filter(|named| named.covers(flow.remote.ip())).map(|named| named.at) {
            self.trace_received(base, now, at);
        }
    }

    /// Adds the 100 that answered an INVITE before its call was there.
    pub(super) fn trace_trying(&mut self, base: &mut EdgeBase, now: Instant, at: Place, server: ServerId) {
        if let Some((_, flow, bytes)) = base.turn.trying.take().filter(|(answered, ..)| *answered == server) {
            self.trace_message(base, now, at, (false, false), (flow, &bytes));
        }
    }

    fn trace_message(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        at: Place,
        (received, again): (bool, bool),
        (flow, bytes): (Flow, &Bytes),
    ) {
        let (text, note) = (first_line(bytes), body_note(bytes));
        let item = TraceItem::Message { leg: at.leg.index(), received, text, note, again };
        let local = base.addressing.bound_towards(flow.remote.ip(), flow.listener);
        let way = Way { local, remote: flow.remote, transport: flow.transport };
        self.push(base, now, at.key, &item, Some(Wire { bytes, way }));
    }

    fn push(&mut self, base: &mut EdgeBase, now: Instant, key: CallKey, item: &TraceItem, message: Option<Wire<'_>>) {
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
            self.forget_messages(base);
        }
        if let Some((call, message, received)) = captured {
            base.capture(now, call, CapturedItem::Message(message, received));
        }
    }

    /// Records that a call is answered: its messages are packed a little later, if it is still up.
    pub(super) fn trace_answered(&mut self, now: Instant, key: CallKey) {
        self.answered.push_back((now + TRACE_SETTLES, key));
    }

    /// Packs the messages of calls that were answered a while ago, of a few at a time. It has no deadline of its own: calls that are up
    /// have others.
    pub(super) fn settle_traces(&mut self, now: Instant) {
        for _ in 0..TRACES_SETTLED {
            let Some((_, key)) = self.answered.pop_front_if(|(at, _)| *at <= now) else { return };
            self.settle_trace(key);
        }
    }

    /// Packs the messages of a call that is set up.
    pub(super) fn settle_trace(&mut self, key: CallKey) {
        let Some(trace) = self.traces.get_mut(&key) else { return };
        let before = trace.message_bytes();
        trace.settle_messages();
        self.message_bytes = (self.message_bytes + trace.message_bytes()).saturating_sub(before);
    }

    /// Makes room for messages, more than for one, so that this is seldom done: all are packed, then those of the calls go that
    /// have ended first, then of the oldest.
    fn forget_messages(&mut self, base: &mut EdgeBase) {
        let enough = self.message_bytes_most - self.message_bytes_most / 16;
        for trace in self.recent.traces_mut().chain(self.traces.values_mut()) {
            if self.message_bytes <= enough {
                return;
            }
            let before = trace.message_bytes();
            trace.settle_messages();
            self.message_bytes = (self.message_bytes + trace.message_bytes()).saturating_sub(before);
        }
        for trace in self.recent.traces_mut().chain(self.traces.values_mut()) {
            if self.message_bytes <= enough {
                return;
            }
            self.message_bytes = self.message_bytes.saturating_sub(trace.message_bytes());
            base.metrics.message_texts.dropped += trace.forget_messages() as u64;
        }
    }

    /// Takes the trace of a call that is let go of to those of ended ones.
    pub(super) fn keep_trace(&mut self, key: CallKey, head: TraceView, is_turned_down: bool) {
        let Some(trace) = self.traces.remove(&key) else { return };
        if let Some(gone) = self.recent.push_trace(head, trace, is_turned_down) {
            self.message_bytes = self.message_bytes.saturating_sub(gone.message_bytes());
        }
    }

    /// Begins the trace of a call, and decides whether the call is sampled.
    pub(super) fn begin_trace(&mut self, now: Instant, key: CallKey, sid: &str) {
        self.traces.insert(key, Trace::new(now, sid));
        if self.sampling.takes(sid) {
            self.sampled.insert(key, Gathered::default());
        }
    }

    /// Returns the traceparent that a leg carries, if its call is sampled.
    pub(super) fn traceparent(&self, key: CallKey, call: &str, leg: &str) -> Option<String> {
        traceparent(call, leg).filter(|_| self.sampled.contains_key(&key))
    }

    /// Adds an ACK that belongs to no dialog to the trace of the leg that its Call-ID names.
    pub(super) fn add_stray_ack(&mut self, base: &EdgeBase, now: Instant) {
        let (index, addressing) = (&base.index, &base.addressing);
        let Some(Arriving { flow, message, .. }) = &base.turn.arriving else { return };
        let named = message.call_id().and_then(|id| index.named(id));
        let Some(at) = named.filter(|named| named.covers(flow.remote.ip())).map(|named| named.at) else { return };
        let Some(trace) = self.traces.get_mut(&at.key) else { return };
        let before = trace.message_bytes();
        let local = addressing.bound_towards(flow.remote.ip(), flow.listener);
        let way = Way { local, remote: flow.remote, transport: flow.transport };
        trace.push_stray_ack(now, at.leg.index(), Wire { bytes: message.as_bytes(), way });
        self.message_bytes = (self.message_bytes + trace.message_bytes()).saturating_sub(before);
    }

    /// Returns how many stray ACKs the trace of a leg has.
    pub fn stray_acks(&self, at: Place) -> usize {
        self.traces.get(&at.key).map_or(0, |trace| trace.stray_acks(at.leg.index()))
    }
}
