//! Samples of a call output after its end, and the trace context for its agent.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::{Duration, UNIX_EPOCH};

use crate::bench::agents::to_agent;
use crate::bench::{Bench, CARRIER, Dialed, PBX, answer, offer, to_trunk};
use trunkgate_call::sampled::{span_id, trace_id};
use trunkgate_call::trace::TraceItem;
use trunkgate_call::{GatewayInput, LegTimes, OperatorCommand, Sampling};
use trunkgate_media::MediaCommand;
use trunkgate_media::agent::StreamLoss;

const SECOND_US: u64 = 1_000_000;

fn sampling(bench: &mut Bench, share: f64) {
    bench.configure(|settings| settings.sampling = Sampling::of_share(share));
}

#[test]
fn a_call_is_told_of_whole_once_nothing_of_it_is_waited_for() {
    let mut bench = Bench::new();
    sampling(&mut bench, 1.0);
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.pass(Duration::from_millis(300));
    bench.receive(PBX, callee.answer(180, ""));
    bench.pass(Duration::from_secs(2));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.pass(Duration::from_secs(5));
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    assert!(bench.sampled.is_empty() && bench.reports.len() == 1, "the callee's answer to BYE is waited for");
    bench.expect(CARRIER, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE");
    bench.pass(Duration::from_millis(100));
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    let [told] = &bench.sampled[..] else { panic!("{:?}", bench.sampled) };
    assert_eq!((&told.record.call.sid, told.record.call.reason), (&bench.reports[0].call.sid, Some("caller_hung_up")));
    assert_eq!((told.answered_us, told.ended_us), (Some(2_300_000), 7_300_000));
    let times = LegTimes {
        began_us: 0,
        rang_us: Some(300_000),
        answered_us: Some(2_300_000),
        ended_us: Some(7_300_000),
        ..LegTimes::default()
    };
    assert_eq!(told.legs, [times, times]);
    let TraceItem::Message { leg: 1, received: true, text, .. } = &told.trace.entries.last().unwrap().what else {
        panic!("{:?}", told.trace.entries)
    };
    assert!(text.starts_with("200"), "{text}");
    assert!(told.trace.verdict.starts_with("Answered by pbx, ended after 5.0 s"), "{}", told.trace.verdict);
    bench.finish();
    assert_eq!(bench.sampled.len(), 1);
}

#[test]
fn a_clock_that_is_set_in_mid_call_changes_its_dates_and_not_its_durations() {
    for days in [-30_i64, 400] {
        let mut bench = Bench::new();
        sampling(&mut bench, 1.0);
        let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(180, ""));
        bench.pass(Duration::from_secs(2));
        let clock = UNIX_EPOCH + Duration::from_secs((1_800_000_002 + days * 86_400).unsigned_abs());
        bench.input(GatewayInput::Clock(clock));
        bench.receive(PBX, callee.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.pass(Duration::from_secs(5));
        bench.receive(CARRIER, caller.request("BYE", "", ""));
        let record = &bench.reports[0].call;
        let times = [Some(&record.started_at), record.answered_at.as_ref(), record.ended_at.as_ref()];
        let times = times.map(|at| at.unwrap().parse::<jiff::Timestamp>().unwrap().as_second());
        assert_eq!(times.map(|at| at - 1_800_000_000 - days * 86_400), [0, 2, 7], "{record:?}");
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 200, ""));
        assert_eq!(bench.sampled[0].answered_us, Some(2_000_000));
        assert!(bench.sampled[0].trace.verdict.starts_with("Answered by pbx, ended after 5.0 s"));
        // The health checks' dates precede the step.
        bench.finish();
    }
}

#[test]
fn who_is_not_asked_for_is_not_told_of() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    // Sampling applies to new calls; this one has begun.
    sampling(&mut bench, 1.0);
    bench.bye(&mut caller, &callee);
    assert!(bench.sampled.is_empty());
    let (mut caller, callee) = bench.answered();
    sampling(&mut bench, 0.0);
    bench.bye(&mut caller, &callee);
    assert_eq!(bench.sampled.len(), 1, "as reported at its beginning");
    let (mut caller, callee) = bench.answered();
    bench.bye(&mut caller, &callee);
    assert_eq!(bench.sampled.len(), 1);
    bench.finish();
}

#[test]
fn a_call_that_is_refused_at_once_is_told_of_with_its_answer() {
    let mut bench = Bench::new();
    sampling(&mut bench, 1.0);
    bench.invite(CARRIER, "+442055550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 404");
    let [told] = &bench.sampled[..] else { panic!("{:?}", bench.sampled) };
    assert_eq!((told.record.call.outcome, told.record.sip_code, told.answered_us), (Some("refused"), 404, None));
    assert_eq!(told.legs, [LegTimes { ended_us: Some(0), ..told.legs[0] }]);
    let last = &told.trace.entries.last().unwrap().what;
    assert!(matches!(last, TraceItem::Message { received: false, text, .. } if text.starts_with("404")), "{last:?}");
}

#[test]
fn an_agent_is_told_which_span_its_own_belong_below() {
    let parent = |bench: &Bench| -> Vec<Option<String>> {
        let specs = bench.media.iter().filter_map(|(_, command)| match command {
            MediaCommand::AddAgent { spec, .. } => Some(spec.socket.traceparent.clone()),
            _ => None,
        });
        specs.collect()
    };
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.invite(CARRIER, "+14155550100", &offer());
    assert_eq!(parent(&bench), [None]);
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    sampling(&mut bench, 1.0);
    bench.invite(CARRIER, "+14155550100", &offer());
    let (desk, _) = bench.asked().remove(0);
    bench.pass(Duration::from_secs(1));
    bench.lose(desk, StreamLoss::Status(404));
    bench.control(OperatorCommand::EndAll);
    // The PBX has not responded, and is not waited for any longer.
    bench.pass(Duration::from_secs(40));
    let [told] = &bench.sampled[..] else { panic!("{:?}", bench.sampled) };
    let (call, leg) = (&told.record.call.sid, &told.record.call.legs[1].sid);
    let expected = format!("00-{}-{}-01", trace_id(call).unwrap(), span_id(leg).unwrap());
    assert_eq!(parent(&bench), [Some(expected)]);
    let desk = told.legs[1];
    assert!(desk.failed && desk.answered_us.is_none(), "{desk:?}");
    assert_eq!((desk.began_us, desk.ended_us.map(|at| at / SECOND_US)), (0, Some(1)));
    assert!(!told.legs[0].failed && told.legs[2].began_us / SECOND_US == 1, "{:?}", told.legs);
}

#[test]
fn what_nobody_will_answer_any_more_is_told_of_at_the_end() {
    let mut bench = Bench::new();
    sampling(&mut bench, 1.0);
    let (caller, _callee) = bench.answered();
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.sent.clear();
    bench.gateway.tell_ended();
    bench.drain();
    assert_eq!(bench.sampled.len(), 1, "the callee has not answered its BYE");
    let (_caller, _callee) = bench.answered();
    bench.gateway.tell_ended();
    bench.drain();
    assert_eq!(bench.sampled.len(), 1, "a call that is up is not over");
}
