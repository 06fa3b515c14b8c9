//! Tests of the conversion of calls to spans.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Value, json};
use trunkgate_call::trace::{CookieChanges, TraceEntry, TraceItem, TraceView, WebhookExchange, WebhookTry};
use trunkgate_call::{CallRecord, CallView, LegTimes, SampledCall};
use trunkgate_testing::views::{leg, sid};

use super::shown::NumberMask;
use super::{CallSpans, json};
use trunkgate_system::limits::OTEL_EVENTS;

const BEGAN_S: u64 = 1_800_000_000;
const MASKED: NumberMask = NumberMask { full: false };

fn times(began_us: u64, answered_us: Option<u64>, ended_us: u64) -> LegTimes {
    LegTimes { began_us, answered_us, ended_us: Some(ended_us), ..LegTimes::default() }
}

/// Returns a call answered by an agent after a busy trunk.
fn call() -> SampledCall {
    let mut busy = leg(2, "sip", "pbx");
    (busy.reason, busy.ended_by) = (Some("target_busy"), Some("far_end"));
    let view = CallView {
        sid: sid(1),
        state: "ended",
        outcome: Some("answered"),
        reason: Some("caller_hung_up"),
        sip_code: Some(200),
        flags: vec!["failed_over", "agent"],
        route: "reception".into(),
        from: "+14155550100".into(),
        to: "+14155550199".into(),
        legs: vec![leg(1, "sip", "carrier"), busy, leg(3, "agent", "desk")],
        ..CallView::default()
    };
    let record = CallRecord {
        call: view,
        sip_code: 200,
        q850_cause: 16,
        failovers: 1,
        post_dial_ms: Some(40),
        mos_min: Some(3.5),
        mos_avg: Some(4.25),
        turn_p50_ms: Some(810),
        turn_p95_ms: Some(1300),
        ..CallRecord::default()
    };
    let message = |at_us, leg, received, text: &str| {
        let what = TraceItem::Message { leg, received, text: text.into(), note: String::new(), again: false };
        TraceEntry::new(at_us, what)
    };
    let entries = vec![
        message(0, 0, true, "INVITE"),
        TraceEntry::new(10, TraceItem::Decision { text: "target trunk:pbx/+14155550177".into() }),
        message(20, 1, false, "INVITE"),
        message(900, 1, true, "486 Busy, call +14155550177"),
        TraceEntry::new(1_000, TraceItem::Agent { leg: 2, text: "connecting".into() }),
        TraceEntry::new(3_000, TraceItem::Media { leg: 0, text: "RTP comes from 192.0.2.1:4000".into() }),
        message(9_000, 0, true, "X-EVIL-14155550177"),
    ];
    let verdict = "Answered by desk, ended after 7.0 s: the caller hung up. +14155550100".into();
    let trace = TraceView { entries, ..TraceView::of(sid(1), verdict, vec![]) };
    let failed = LegTimes { failed: true, ..times(20, None, 950) };
    SampledCall {
        record,
        began: UNIX_EPOCH + Duration::from_secs(BEGAN_S),
        answered_us: Some(2_000),
        ended_us: 9_000,
        legs: vec![times(0, Some(2_000), 9_000), failed, times(1_000, Some(1_900), 9_000)],
        trace,
    }
}

fn written(call: &SampledCall, shown: NumberMask) -> Vec<Value> {
    let written = CallSpans::of(call, shown, std::time::Instant::now());
    let request: Value = serde_json::from_slice(&json::request(&[], &[written.json])).unwrap();
    let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    assert_eq!(spans.len(), written.spans);
    spans
}

/// Returns the value of an attribute of any type.
fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let all = of["attributes"].as_array().unwrap();
    let found = all.iter().find(|one| one["key"] == key).map(|one| &one["value"]);
    found.and_then(|value| value.as_object()?.values().next()).unwrap_or(&Value::Null)
}

fn events(span: &Value) -> Vec<&str> {
    span["events"].as_array().unwrap().iter().map(|event| event["name"].as_str().unwrap()).collect()
}

#[test]
fn a_call_is_a_span_with_one_below_it_for_each_leg() {
    let spans = written(&call(), MASKED);
    let [first, busy, desk] = &spans[..] else { panic!("{spans:?}") };
    let nanos = |us: u64| Value::from((BEGAN_S * 1_000_000_000 + us * 1_000).to_string());
    for (span, name, kind, n, began, ended) in [
        (first, "INVITE reception", 2, 1, 0, 9_000),
        (busy, "INVITE pbx", 3, 2, 20, 950),
        (desk, "agent desk", 3, 3, 1_000, 9_000),
    ] {
        assert_eq!((&span["name"], &span["kind"], &span["flags"]), (&name.into(), &kind.into(), &1.into()));
        assert_eq!(span["traceId"], sid(1)[2..], "{name}");
        assert_eq!(span["spanId"], sid(n)[18..], "{name}");
        let parent = if n == 1 { Value::Null } else { sid(1)[18..].into() };
        assert_eq!(span["parentSpanId"], parent);
        assert_eq!((&span["startTimeUnixNano"], &span["endTimeUnixNano"]), (&nanos(began), &nanos(ended)), "{name}");
    }
    assert_eq!((&first["status"], &desk["status"]), (&json!({}), &json!({})));
    assert_eq!((&busy["status"]["code"], attribute(busy, "error.type")), (&2.into(), &"target_busy".into()));
    for (span, key, value) in [
        (first, "trunkgate.call.sid", json!(sid(1))),
        (first, "trunkgate.outcome", json!("answered")),
        (first, "trunkgate.from", json!("+1415****100")),
        (first, "trunkgate.to", json!("+1415****199")),
        (first, "trunkgate.failovers", json!("1")),
        (first, "sip.response.status_code", json!("200")),
        (first, "trunkgate.mos.avg", json!(4.25)),
        (first, "client.address", json!("192.0.2.1")),
        (first, "client.port", json!("5060")),
        (first, "trunkgate.flags", json!({"values": [{"stringValue": "failed_over"}, {"stringValue": "agent"}]})),
        (first, "error.type", Value::Null),
        (busy, "server.address", json!("192.0.2.2")),
        (busy, "network.transport", json!("udp")),
        (busy, "network.protocol.name", json!("sip")),
        (busy, "sip.call_id", json!("call-2")),
        (busy, "trunkgate.from", Value::Null),
        (desk, "trunkgate.agent", json!("desk")),
        (desk, "network.protocol.name", json!("websocket")),
        (desk, "network.transport", json!("tcp")),
        (desk, "tls.established", json!(true)),
        (desk, "server.address", Value::Null),
        (desk, "trunkgate.rtp.received", json!("50")),
    ] {
        assert_eq!(attribute(span, key), &value, "{} {key}", span["name"]);
    }
    let of_call = ["SIP INVITE", "trunkgate.decision", "trunkgate.answered", "trunkgate.media", "SIP request"];
    assert_eq!(events(first), of_call);
    assert_eq!(events(busy), ["SIP INVITE", "SIP 486"]);
    assert_eq!(events(desk), ["trunkgate.agent", "trunkgate.connected"]);
    let refusal = &busy["events"][1];
    assert_eq!(attribute(refusal, "sip.response.reason_phrase"), "Busy, call +1415****177");
    assert_eq!(attribute(refusal, "network.io.direction"), "receive");
}

#[test]
fn numbers_are_masked_unless_logged_in_full() {
    let text = |shown| serde_json::to_string(&written(&call(), shown)).unwrap();
    let (masked, full) = (text(MASKED), text(NumberMask { full: true }));
    for number in ["4155550100", "4155550199", "4155550177"] {
        assert!(!masked.contains(number), "{masked}");
    }
    assert!(full.contains("+14155550100") && full.contains("trunk:pbx/+14155550177"));
    // A span name never contains text of a remote party.
    assert!(!full.contains("EVIL"), "{full}");
}

#[test]
fn how_a_call_ended_is_its_status() {
    for (outcome, reason, is_error) in [
        ("answered", "caller_hung_up", false),
        ("answered", "max_call", false),
        ("answered", "media_timeout", true),
        ("busy", "target_busy", false),
        ("no_answer", "ring_timeout", false),
        ("canceled", "caller_canceled", false),
        ("refused", "no_route", true),
        ("failed", "agent_refused", true),
    ] {
        let mut call = call();
        let view = &mut call.record.call;
        (view.outcome, view.reason) = (Some(outcome), Some(reason));
        let first = &written(&call, MASKED)[0];
        assert_eq!(first["status"]["code"] == 2, is_error, "{outcome} {reason}");
        let expected = if is_error { reason.into() } else { Value::Null };
        assert_eq!(attribute(first, "error.type"), &expected, "{outcome} {reason}");
        assert_eq!(first["status"]["message"].as_str().is_some_and(|text| text.len() > 5), is_error);
    }
}

#[test]
fn names_are_the_configurations_alone() {
    let mut call = call();
    call.record.call.route = String::new();
    call.record.call.legs[1].trunk = String::new();
    call.record.call.legs[2].agent = "wss://bot.example/14155550100".into();
    call.legs[2].listens = true;
    let spans = written(&call, MASKED);
    let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["INVITE", "INVITE", "listen"]);
    assert_eq!(attribute(&spans[2], "trunkgate.agent"), "wss://bot.example/14155****100");
}

#[test]
fn of_too_many_events_the_beginning_and_the_end_stay() {
    let mut call = call();
    let decision = |n: u64| TraceEntry::new(n, TraceItem::Decision { text: format!("n{n}") });
    call.trace.entries = (0..300).map(decision).collect();
    call.trace.dropped = 7;
    let first = &written(&call, MASKED)[0];
    assert_eq!(events(first).len(), OTEL_EVENTS);
    assert_eq!(first["droppedEventsCount"], 301 - OTEL_EVENTS as u64 + 7);
    let texts: Vec<_> =
        first["events"].as_array().unwrap().iter().map(|one| attribute(one, "trunkgate.text")).collect();
    assert_eq!((texts[0], texts[OTEL_EVENTS - 2]), (&"n0".into(), &"n299".into()));
}

fn webhook(body: String) -> WebhookExchange {
    let one = WebhookTry {
        url: "https://ivr.example.com/voice".to_owned(),
        remote: None,
        status: Some(200),
        failure: None,
        duration_ms: 12,
        cookies: CookieChanges::default(),
    };
    WebhookExchange {
        purpose: "start".to_owned(),
        method: "POST".to_owned(),
        tries: vec![one],
        attempt: None,
        error: None,
        body,
    }
}

#[test]
fn a_webhook_is_exported_without_its_body() {
    let mut call = call();
    call.trace.entries = vec![TraceEntry::new(1, TraceItem::webhook(webhook("<Response/>".to_owned())))];
    let event = &written(&call, MASKED)[0]["events"][0];
    assert_eq!(event["name"], "trunkgate.webhook");
    assert_eq!(attribute(event, "trunkgate.text"), "start POST https://ivr.example.com/voice: 200 after 12 ms");
}

fn item() -> impl Strategy<Value = TraceItem> {
    let text = ".{0,40}";
    prop_oneof![
        (0..6_usize, any::<bool>(), "([0-9]{3}|[A-Z]{3,6}|.{0,9}) ?.{0,20}", any::<String>(), any::<bool>())
            .prop_map(|(leg, received, text, note, again)| TraceItem::Message { leg, received, text, note, again }),
        text.prop_map(|text| TraceItem::Decision { text }),
        text.prop_map(|body| TraceItem::webhook(webhook(body))),
        (0..6_usize, text).prop_map(|(leg, text)| TraceItem::Agent { leg, text }),
        (0..6_usize, text).prop_map(|(leg, text)| TraceItem::Media { leg, text }),
    ]
}

fn any_call() -> impl Strategy<Value = SampledCall> {
    let legs = prop::collection::vec(
        (any::<u64>(), any::<bool>(), "[a-z:/0-9]{0,12}", any::<[Option<u64>; 4]>(), any::<f64>()),
        1..6,
    );
    let entries = prop::collection::vec((any::<u64>(), item()), 0..150);
    (legs, entries, any::<[String; 4]>(), any::<(u64, u64)>()).prop_map(
        |(legs, entries, texts, (ended_us, dropped))| {
            let mut call = call();
            let [from, to, route, verdict] = texts;
            let view = &mut call.record.call;
            (view.from, view.to, view.route) = (from, to, route);
            (view.legs, call.legs) = (Vec::new(), Vec::new());
            for (at, (n, is_agent, name, [began, rang, answered, ended], measure)) in legs.into_iter().enumerate() {
                let n = if at == 0 { 1 } else { n };
                let mut leg = leg(n, if is_agent { "agent" } else { "sip" }, &name);
                leg.rtp.jitter_ms = measure;
                view.legs.push(leg);
                call.legs.push(LegTimes {
                    began_us: began.unwrap_or_default(),
                    rang_us: rang,
                    answered_us: answered,
                    ended_us: ended,
                    failed: n % 2 == 0,
                    listens: n % 3 == 0,
                });
            }
            call.ended_us = ended_us;
            let entries = entries.into_iter().map(|(at_us, what)| TraceEntry::new(at_us, what)).collect();
            call.trace = TraceView { entries, dropped, ..TraceView::of(sid(1), verdict, vec![]) };
            call
        },
    )
}

proptest! {
    // The number of cases is low, because each takes long.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_call_is_valid_otlp(call in any_call(), full: bool) {
        let spans = written(&call, NumberMask { full });
        prop_assert_eq!(spans.len(), call.legs.len());
        let is_hex = |id: &Value, length: usize| {
            id.as_str().is_some_and(|id| id.len() == length && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
        };
        let ids: BTreeSet<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
        for (at, span) in spans.iter().enumerate() {
            prop_assert!(is_hex(&span["traceId"], 32) && is_hex(&span["spanId"], 16), "{}", span);
            match span["parentSpanId"].as_str() {
                None => prop_assert_eq!(at, 0),
                Some(parent) => prop_assert!(at > 0 && ids.contains(parent)),
            }
            let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
            prop_assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
            prop_assert!(span["events"].as_array().unwrap().len() <= OTEL_EVENTS);
            for one in span["events"].as_array().unwrap().iter().chain([span]) {
                prop_assert!(!one["name"].as_str().unwrap().is_empty());
                for attribute in one["attributes"].as_array().unwrap() {
                    let value = attribute["value"].as_object().unwrap();
                    prop_assert!(value.len() == 1 && value.values().all(|value| !value.is_null()), "{}", attribute);
                }
            }
        }
    }
}
