//! Conversion of a call to spans: the root span is the call with its caller's leg; each further leg is a child span.
//! docs/operate/opentelemetry.md describes names and attributes: those of OpenTelemetry if they exist, otherwise
//! `sip.*` and `trunkgate.*`.

use std::time::{SystemTime, UNIX_EPOCH};

use trunkgate_call::sampled::{span_id, trace_id};
use trunkgate_call::trace::{TraceEntry, TraceItem};
use trunkgate_call::{LegTimes, LegView, ReasonSlug, SampledCall};

use super::json::{AttributeBuilder, CLIENT, OtlpEvent, OtlpSpan, OtlpStatus, SERVER};
use super::shown::NumberMask;
use crate::sinks::events::is_usual;
use trunkgate_system::limits::{OTEL_EVENTS, OTEL_TEXT_CHARS};

/// SIP methods used as event names; any other name could be arbitrary text of a remote party.
const METHODS: [&str; 14] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "INVITE",
    "MESSAGE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "PUBLISH",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "UPDATE",
];

/// Returns the spans of a call, root span first; none if the call's SID is invalid.
pub(super) fn spans(call: &SampledCall, shown: NumberMask) -> Vec<OtlpSpan> {
    let view = &call.record.call;
    let Some(trace) = trace_id(&view.sid) else { return Vec::new() };
    let writer = SpanWriter { call, shown, began: nanos(call.began), own: [&view.from, &view.to] };
    let legs = view.legs.iter().zip(&call.legs).enumerate();
    legs.filter_map(|(at, (leg, times))| writer.span(trace, at, leg, times)).collect()
}

fn nanos(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the sentence that explains a reason slug; empty for an unknown slug.
fn sentence(reason: &str) -> &'static str {
    ReasonSlug::ALL.iter().find(|slug| slug.as_str() == reason).map_or("", |slug| slug.sentence())
}

struct SpanWriter<'a> {
    call: &'a SampledCall,
    shown: NumberMask,
    /// Start of the call in nanoseconds since 1970.
    began: u64,
    /// Phone numbers of the caller and the called party.
    own: [&'a str; 2],
}

impl SpanWriter<'_> {
    fn span(&self, trace: &str, at: usize, leg: &LegView, times: &LegTimes) -> Option<OtlpSpan> {
        let (is_call, call) = (at == 0, self.call);
        let first = &call.record.call;
        let end = if is_call { call.ended_us } else { times.ended_us.unwrap_or(call.ended_us) };
        let attributes = if is_call { self.of_call() } else { AttributeBuilder::default() };
        let (events, dropped) = self.events(at, leg, times);
        Some(OtlpSpan {
            trace_id: trace.to_owned(),
            span_id: span_id(&leg.sid)?.to_owned(),
            parent_span_id: if is_call { String::new() } else { span_id(&first.sid)?.to_owned() },
            flags: 1,
            name: if is_call { named("INVITE", &first.route) } else { name(leg, times) },
            kind: if leg.direction == "inbound" { SERVER } else { CLIENT },
            start_time_unix_nano: self.at(times.began_us),
            end_time_unix_nano: self.at(end.max(times.began_us)),
            attributes: self.of_leg(attributes, leg, times).0,
            events,
            dropped_events_count: u32::try_from(dropped).unwrap_or(u32::MAX),
            status: if is_call { self.status() } else { status_of_leg(leg, times) },
        })
    }

    fn at(&self, us: u64) -> u64 {
        self.began.saturating_add(us.saturating_mul(1000))
    }

    fn text(&self, text: &str) -> String {
        self.shown.text(text, self.own).chars().take(OTEL_TEXT_CHARS).collect()
    }

    /// Returns the attributes of the whole call.
    fn of_call(&self) -> AttributeBuilder {
        let record = &self.call.record;
        let view = &record.call;
        let error = if self.has_failed() { view.reason.unwrap_or_default() } else { "" };
        AttributeBuilder::default()
            .text("trunkgate.call.sid", view.sid.as_str())
            .text("trunkgate.route", view.route.as_str())
            .text("trunkgate.from", self.shown.number(&view.from))
            .text("trunkgate.to", self.shown.number(&view.to))
            .text("trunkgate.outcome", view.outcome.unwrap_or_default())
            .text("trunkgate.verdict", self.text(&self.call.trace.verdict))
            .texts("trunkgate.flags", &view.flags)
            .text("error.type", error)
            .number("sip.response.status_code", u64::from(record.sip_code))
            .number("trunkgate.q850_cause", u64::from(record.q850_cause))
            .number("trunkgate.failovers", u64::from(record.failovers))
            .number("trunkgate.post_dial_ms", record.post_dial_ms)
            .measure("trunkgate.mos.min", record.mos_min)
            .measure("trunkgate.mos.avg", record.mos_avg)
            .number("trunkgate.turn.p50_ms", record.turn_p50_ms)
            .number("trunkgate.turn.p95_ms", record.turn_p95_ms)
    }

    fn has_failed(&self) -> bool {
        let view = &self.call.record.call;
        match view.outcome {
            Some("failed" | "refused") => true,
            Some("answered") => !view.reason.is_some_and(is_usual),
            _ => false,
        }
    }

    fn status(&self) -> OtlpStatus {
        match self.call.record.call.reason {
            Some(reason) if self.has_failed() => OtlpStatus::error(sentence(reason)),
            _ => OtlpStatus::default(),
        }
    }

    fn of_leg(&self, attributes: AttributeBuilder, leg: &LegView, times: &LegTimes) -> AttributeBuilder {
        let is_agent = leg.kind == "agent";
        let (address, port) = match leg.direction {
            "inbound" => ("client.address", "client.port"),
            _ => ("server.address", "server.port"),
        };
        let transport = if leg.transport == "udp" || leg.transport == "rtp" { "udp" } else { "tcp" };
        let is_secure = matches!(leg.transport, "tls" | "wss");
        let protocol = match (is_agent, leg.transport) {
            (true, "rtp") => "rtp",
            (true, _) => "websocket",
            (false, _) => "sip",
        };
        // The caller's leg belongs to the root span, which already has its error.
        let error = if times.failed && leg.direction != "inbound" { leg.reason.unwrap_or_default() } else { "" };
        let remote = leg.remote.filter(|remote| !remote.ip().is_unspecified());
        let rtp = &leg.rtp;
        attributes
            .text("trunkgate.leg.sid", leg.sid.as_str())
            .text("trunkgate.trunk", leg.trunk.as_str())
            .text("trunkgate.agent", if is_named(leg) { leg.agent.clone() } else { self.text(&leg.agent) })
            .text("network.protocol.name", protocol)
            .text("network.transport", transport)
            .flag("tls.established", is_secure && times.answered_us.is_some())
            .text(address, remote.map(|remote| remote.ip().to_canonical().to_string()).unwrap_or_default())
            .number(port, remote.map(|remote| u64::from(remote.port())))
            .text("sip.call_id", leg.sip_call_id.as_str())
            .text("trunkgate.codec", leg.codec.as_str())
            .text("trunkgate.converted_to", leg.converted_to.unwrap_or_default())
            .text("trunkgate.srtp", leg.srtp.unwrap_or_default())
            .text("trunkgate.reason", leg.reason.unwrap_or_default())
            .text("trunkgate.ended_by", leg.ended_by.unwrap_or_default())
            .text("error.type", error)
            .number("trunkgate.rtp.received", Some(rtp.rx_packets))
            .number("trunkgate.rtp.sent", Some(rtp.tx_packets))
            .number("trunkgate.rtp.lost", Some(rtp.lost))
            .measure("trunkgate.rtp.jitter_ms", Some(rtp.jitter_ms).filter(|_| rtp.rx_packets > 0))
            .measure("trunkgate.rtp.rtt_ms", rtp.rtt_ms)
            .measure("trunkgate.rtp.mos", rtp.mos)
    }

    /// Returns the trace events of a leg, and the number of omitted ones. The first leg includes the events of the
    /// whole call.
    fn events(&self, at: usize, leg: &LegView, times: &LegTimes) -> (Vec<OtlpEvent>, u64) {
        let trace = &self.call.trace;
        let is_ours = |entry: &&TraceEntry| match &entry.what {
            TraceItem::Message { leg, .. } | TraceItem::Agent { leg, .. } | TraceItem::Media { leg, .. } => *leg == at,
            TraceItem::Decision { .. } | TraceItem::Webhook { .. } => at == 0,
        };
        let mut events: Vec<OtlpEvent> = trace.entries.iter().filter(is_ours).map(|entry| self.event(entry)).collect();
        let answered = if leg.kind == "agent" { "trunkgate.connected" } else { "trunkgate.answered" };
        for (us, name) in [(times.rang_us, "trunkgate.ringing"), (times.answered_us, answered)] {
            let event = |us| OtlpEvent { time_unix_nano: self.at(us), name: name.to_owned(), attributes: Vec::new() };
            events.extend(us.map(event));
        }
        events.sort_by_key(|event| event.time_unix_nano);
        // The middle of a long call is omitted, because its start and end are most informative.
        let excess = events.len().saturating_sub(OTEL_EVENTS);
        let from = OTEL_EVENTS / 2;
        if excess > 0 {
            events.drain(from..from + excess);
        }
        let lost = if at == 0 { trace.dropped } else { 0 };
        (events, lost.saturating_add(excess as u64))
    }

    fn event(&self, entry: &TraceEntry) -> OtlpEvent {
        let (name, attributes) = match &entry.what {
            TraceItem::Message { received, text, note, again, .. } => self.message(*received, text, note, *again),
            TraceItem::Decision { text } => ("trunkgate.decision".to_owned(), self.told(text)),
            TraceItem::Webhook { text, .. } => {
                ("trunkgate.webhook".to_owned(), self.told(text.lines().next().unwrap_or_default()))
            }
            TraceItem::Agent { text, .. } => ("trunkgate.agent".to_owned(), self.told(text)),
            TraceItem::Media { text, .. } => ("trunkgate.media".to_owned(), self.told(text)),
        };
        OtlpEvent { time_unix_nano: self.at(entry.at_us), name, attributes: attributes.0 }
    }

    fn told(&self, text: &str) -> AttributeBuilder {
        AttributeBuilder::default().text("trunkgate.text", self.text(text))
    }

    fn message(&self, received: bool, text: &str, note: &str, again: bool) -> (String, AttributeBuilder) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let code = Some(word).filter(|word| word.len() == 3).and_then(|word| word.parse::<u16>().ok());
        let method = METHODS.into_iter().find(|method| *method == word);
        let name = match (code, method) {
            (Some(code), _) => format!("SIP {code}"),
            (None, Some(method)) => format!("SIP {method}"),
            (None, None) => "SIP request".to_owned(),
        };
        let attributes = AttributeBuilder::default()
            .text("network.io.direction", if received { "receive" } else { "transmit" })
            .number("sip.response.status_code", code.map(u64::from))
            .text("sip.response.reason_phrase", if code.is_some() { self.text(rest) } else { String::new() })
            .text("sip.request.method", method.unwrap_or_default())
            .text("sip.sdp", self.text(note))
            .flag("sip.retransmission", again);
        (name, attributes)
    }
}

/// Returns the name of a leg's span, made only of the action and a configured name, for low cardinality.
fn name(leg: &LegView, times: &LegTimes) -> String {
    match leg.kind {
        "agent" => named(if times.listens { "listen" } else { "agent" }, if is_named(leg) { &leg.agent } else { "" }),
        _ => named("INVITE", &leg.trunk),
    }
}

/// Returns whether the leg's agent has a configured name; an agent given by its URL has none.
fn is_named(leg: &LegView) -> bool {
    !leg.agent.contains(':')
}

fn named(what: &str, whom: &str) -> String {
    if whom.is_empty() { what.to_owned() } else { format!("{what} {whom}") }
}

fn status_of_leg(leg: &LegView, times: &LegTimes) -> OtlpStatus {
    match leg.reason {
        Some(reason) if times.failed => OtlpStatus::error(sentence(reason)),
        _ => OtlpStatus::default(),
    }
}
