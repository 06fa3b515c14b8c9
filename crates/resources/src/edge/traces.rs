//! Traces of calls: their items, the memory that they use, and copies for capture agents.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use trunkgate_sip::{Flow, Method, ServerId, SipTransmit};
use trunkgate_story::captured::CapturedItem;
use trunkgate_story::messages::{MessagePath, Wire};
use trunkgate_story::sampled::{Sampling, traceparent};
use trunkgate_story::trace::{CallTrace, TraceItem, TraceView, body_note, first_line};

use crate::edge::base::EdgeBase;
use crate::limits::{MESSAGE_TEXTS_BYTES, TRACE_SETTLES, TRACES_SETTLED};
use crate::lookups::index::LegRef;
use crate::lookups::key::CallKey;
use crate::traces::recent::RecentCalls;
use crate::traces::traced::{ReceivedMessage, SampledCallData};

/// Traces of live and ended calls, and settings for copies of them.
#[derive(Debug)]
pub struct TraceStore {
    /// Traces of live calls.
    pub traces: BTreeMap<CallKey, CallTrace>,
    /// Recently answered calls, with the time at which their messages are compressed.
    pub answered: VecDeque<(Instant, CallKey)>,
    /// Whether a capture agent gets messages and reports.
    pub captures: bool,
    /// Share of calls that are sampled.
    pub sampling: Sampling,
    /// Data gathered for sampled calls.
    pub sampled: BTreeMap<CallKey, SampledCallData>,
    /// Memory used by messages in traces, in bytes.
    pub message_bytes: usize,
    /// Maximum memory for messages in traces, in bytes.
    pub message_bytes_most: usize,
    /// Ended calls.
    pub(super) recent: RecentCalls,
}

impl TraceStore {
    /// Returns the traces of an edge without calls.
    pub(super) fn new() -> TraceStore {
        TraceStore {
            traces: BTreeMap::new(),
            answered: VecDeque::new(),
            captures: false,
            sampling: Sampling::NONE,
            sampled: BTreeMap::new(),
            message_bytes: 0,
            message_bytes_most: MESSAGE_TEXTS_BYTES,
            recent: RecentCalls::default(),
        }
    }

    /// Adds an item to a call's trace.
    pub(super) fn trace(&mut self, base: &mut EdgeBase, now: Instant, key: CallKey, item: TraceItem) {
        self.push(base, now, key, &item, None);
    }

    /// Adds a decision to a call's trace.
    pub(super) fn decide(&mut self, base: &mut EdgeBase, now: Instant, key: CallKey, text: impl Into<String>) {
        self.trace(base, now, key, TraceItem::decision(text));
    }

    /// Adds a DTMF digit of a leg to a call's trace.
    pub(super) fn trace_digit(&mut self, now: Instant, at: LegRef, way: &str) {
        if let Some(trace) = self.traces.get_mut(&at.key) {
            trace.push_digit(now, at.leg.index(), way);
        }
    }

    /// Adds the message being handled to the trace of a leg, once.
    pub(super) fn trace_received(&mut self, base: &mut EdgeBase, now: Instant, at: LegRef) {
        let Some(arriving) = base.turn.arriving.as_mut().filter(|arriving| !arriving.traced) else { return };
        arriving.traced = true;
        let (flow, bytes) = (arriving.flow, arriving.message.as_bytes().clone());
        self.trace_message(base, now, at, (true, false), (flow, &bytes));
    }

    /// Adds an outbound message to the trace of its leg.
    pub(super) fn trace_sent(&mut self, base: &mut EdgeBase, now: Instant, at: LegRef, transmit: &SipTransmit) {
        if base.turn.arriving.as_ref().is_some_and(|arriving| arriving.is_answered_by(transmit)) {
            self.trace_received(base, now, at);
        }
        self.trace_message(base, now, at, (false, transmit.what.again), (transmit.flow, &transmit.bytes));
    }

    /// Adds the response to a CANCEL, which the endpoint does not report, to the trace.
    pub(super) fn trace_canceled(&mut self, base: &mut EdgeBase, now: Instant) {
        let Some(ReceivedMessage { flow, message, .. }) = &base.turn.arriving else { return };
        if message.is_request() || message.method() != Method::Cancel {
            return;
        }
        let named = message.call_id().and_then(|id| base.index.named(id));
        if let Some(at) = named.filter(|named| named.covers(flow.remote.ip())).map(|named| named.at) {
            self.trace_received(base, now, at);
        }
    }

    /// Adds to the trace the 100 that answered an INVITE before its call existed.
    pub(super) fn trace_trying(&mut self, base: &mut EdgeBase, now: Instant, at: LegRef, server: ServerId) {
        if let Some((_, flow, bytes)) = base.turn.trying.take().filter(|(answered, ..)| *answered == server) {
            self.trace_message(base, now, at, (false, false), (flow, &bytes));
        }
    }

    fn trace_message(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        at: LegRef,
        (received, again): (bool, bool),
        (flow, bytes): (Flow, &Bytes),
    ) {
        let (text, note) = (first_line(bytes), body_note(bytes));
        let item = TraceItem::Message { leg: at.leg.index(), received, text, note, again };
        let local = base.addressing.bound_towards(flow.remote.ip(), flow.listener);
        let way = MessagePath { local, remote: flow.remote, transport: flow.transport };
        self.push(base, now, at.key, &item, Some(Wire { bytes, path: way }));
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

    /// Records the answer of a call: its messages are compressed a little later, if it is still live.
    pub(super) fn trace_answered(&mut self, now: Instant, key: CallKey) {
        self.answered.push_back((now + TRACE_SETTLES, key));
    }

    /// Compresses the messages of calls answered a while ago, a few at a time. No own deadline is needed: live calls
    /// have others.
    pub(super) fn settle_traces(&mut self, now: Instant) {
        for _ in 0..TRACES_SETTLED {
            let Some((_, key)) = self.answered.pop_front_if(|(at, _)| *at <= now) else { return };
            self.settle_trace(key);
        }
    }

    /// Compresses the messages of an established call.
    pub(super) fn settle_trace(&mut self, key: CallKey) {
        let Some(trace) = self.traces.get_mut(&key) else { return };
        let before = trace.message_bytes();
        trace.settle_messages();
        self.message_bytes = (self.message_bytes + trace.message_bytes()).saturating_sub(before);
    }

    /// Frees memory for messages, more than one message needs, so that this happens seldom: compresses all messages,
    /// then drops those of ended calls (the oldest first), then those of the oldest live calls.
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

    /// Moves the trace of an ended call to the recent calls.
    pub(super) fn keep_trace(&mut self, key: CallKey, head: TraceView, is_turned_down: bool) {
        let Some(trace) = self.traces.remove(&key) else { return };
        if let Some(gone) = self.recent.push_trace(head, trace, is_turned_down) {
            self.message_bytes = self.message_bytes.saturating_sub(gone.message_bytes());
        }
    }

    /// Begins the trace of a call, and decides whether the call is sampled.
    pub(super) fn begin_trace(&mut self, now: Instant, key: CallKey, sid: &str) {
        self.traces.insert(key, CallTrace::new(now, sid));
        if self.sampling.takes(sid) {
            self.sampled.insert(key, SampledCallData::default());
        }
    }

    /// Drops the trace of a call.
    pub(super) fn forget_call(&mut self, key: CallKey) {
        let trace = self.traces.remove(&key);
        self.message_bytes = self.message_bytes.saturating_sub(trace.map_or(0, |trace| trace.message_bytes()));
        self.sampled.remove(&key);
    }

    /// Returns the traceparent of a leg, if its call is sampled.
    pub(super) fn traceparent(&self, key: CallKey, call: &str, leg: &str) -> Option<String> {
        traceparent(call, leg).filter(|_| self.sampled.contains_key(&key))
    }

    /// Adds an ACK that belongs to no dialog to the trace of the leg with its Call-ID.
    pub(super) fn add_stray_ack(&mut self, base: &EdgeBase, now: Instant) {
        let (index, addressing) = (&base.index, &base.addressing);
        let Some(ReceivedMessage { flow, message, .. }) = &base.turn.arriving else { return };
        let named = message.call_id().and_then(|id| index.named(id));
        let Some(at) = named.filter(|named| named.covers(flow.remote.ip())).map(|named| named.at) else { return };
        let Some(trace) = self.traces.get_mut(&at.key) else { return };
        let before = trace.message_bytes();
        let local = addressing.bound_towards(flow.remote.ip(), flow.listener);
        let way = MessagePath { local, remote: flow.remote, transport: flow.transport };
        trace.push_stray_ack(now, at.leg.index(), Wire { bytes: message.as_bytes(), path: way });
        self.message_bytes = (self.message_bytes + trace.message_bytes()).saturating_sub(before);
    }

    /// Returns the number of stray ACKs in the trace of a leg.
    pub fn stray_acks(&self, at: LegRef) -> usize {
        self.traces.get(&at.key).map_or(0, |trace| trace.stray_acks(at.leg.index()))
    }
}
