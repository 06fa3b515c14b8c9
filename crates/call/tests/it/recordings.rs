//! Recordings of calls: their start and end, and the recorded side.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use crate::bench::agents::{Told, agent, agent_table};
use crate::bench::{Bench, CARRIER, PBX, answer, offer, route, to_trunk};
use trunkgate_call::limits::{RECORDINGS_AT_ONCE, RECORDINGS_PER_CALL};
use trunkgate_call::view::RecordingView;
use trunkgate_call::{
    AppPlace, AppResource, Channels, EdgeSettings, GatewayInput, LossReason, RecordingAnnouncement, RecordingChange,
    RecordingControl, RecordingDone, RecordingLinks, RecordingLosses, RecordingRequest, RecordingSource,
    RecordingStart, RequestRefusal,
};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::{
    EndId, MediaCommand, MediaEvent, PayloadCodec, PlayerSound, RecorderEvent, RecordingId, RecordingPause, TapSpec,
};
use trunkgate_route::{Route, RoutingTable, TargetSpec};

const REQUEST: RecordingRequest = RecordingRequest::new(RecordingSource::Request, Channels::Dual);

fn table(record: bool) -> Arc<RoutingTable> {
    agent_table(vec![agent("desk")], Route { record, ..route(vec![to_trunk("pbx")]) })
}

/// Creates an edge with a writer.
fn bench(record: bool) -> Bench {
    let mut bench = Bench::with(table(record));
    record_all(&mut bench);
    bench
}

/// Gives an edge a writer.
pub(crate) fn record_all(bench: &mut Bench) {
    let (account, base) = ("AC1".to_owned(), "https://edge.example/Recordings".to_owned());
    let notify = Some("https://all.example/recordings".to_owned());
    let links = Arc::new(RecordingLinks { account, base, notify, transcribes: true });
    let settings = EdgeSettings { recordings: Some(links), ..bench.gateway.settings() };
    bench.input(GatewayInput::Configure(Box::new(settings)));
}

fn sid(bench: &Bench) -> String {
    bench.gateway.calls(bench.now)[0].sid.clone()
}

fn begin(bench: &mut Bench) -> Result<RecordingView, RequestRefusal> {
    let sid = sid(bench);
    let begun = bench.change(RecordingStart { sid, request: REQUEST });
    bench.drain();
    begun.map(|begun| begun.view)
}

fn change(
    bench: &mut Bench,
    recording: Option<&str>,
    change: RecordingChange,
) -> Result<RecordingView, RequestRefusal> {
    let sid = sid(bench);
    let recording = recording.map(str::to_owned);
    let changed = bench.change(RecordingControl { sid, recording, change });
    bench.drain();
    changed
}

fn both() -> TapSpec {
    TapSpec::both(0, PayloadCodec::Pcmu)
}

#[test]
fn a_route_has_its_calls_recorded_from_their_answer_to_their_end() {
    let mut bench = bench(true);
    let (mut caller, callee) = bench.answered();
    let told = bench.told();
    let recorder =
        told.iter().find_map(|told| if let Told::Record(end, spec) = told { Some((*end, spec.clone())) } else { None });
    let (recorder, spec) = recorder.unwrap();
    assert_eq!((spec.recording, spec.tracks, spec.silence), (RecordingId(1), TrackSet::Both, None));
    assert!(told.contains(&Told::Tap(EndId(0), recorder, both())), "{told:?}");
    let begun = bench.recordings.remove(0);
    assert_eq!((begun.id, begun.source, begun.channels), (RecordingId(1), RecordingSource::Route, Channels::Dual));
    assert_eq!((&begun.call, begun.sid.get(..2), begun.sid.len()), (&sid(&bench), Some("RE"), 34));
    let call = bench.gateway.calls(bench.now).remove(0);
    let view = RecordingView {
        sid: begun.sid,
        status: "in-progress",
        source: "Trunking",
        channels: 2,
        seconds: None,
        lost: Vec::new(),
    };
    assert_eq!(call.recordings, std::slice::from_ref(&view));
    bench.nothing();
    bench.bye(&mut caller, &callee);
    assert_eq!(bench.reports[0].call.recordings, [view], "its SID stands in the call's record");
    bench.input(GatewayInput::Recorded(Box::new(RecordingDone {
        id: RecordingId(1),
        milliseconds: 4_000,
        lost: lost(LossReason::DiskSlow, 200),
        error: None,
    })));
    assert!(bench.logs.last().unwrap().contains("200 ms were lost"), "{:?}", bench.logs);
    let ended = bench.gateway.calls(bench.now).remove(0);
    let shown = serde_json::to_value(&ended.recordings[0].lost).unwrap();
    assert_eq!(shown, serde_json::json!([{ "reason": "disk_slow", "seconds": 0.2 }]), "after its end, too");
    bench.finish();
}

fn lost(reason: LossReason, milliseconds: u64) -> RecordingLosses {
    let mut lost = RecordingLosses::default();
    lost.add(reason, milliseconds);
    lost
}

#[test]
fn the_call_and_its_record_name_what_its_recording_lacks() {
    let mut bench = bench(true);
    let (mut caller, callee) = bench.answered();
    let mut losses = lost(LossReason::DiskFull, 1_500);
    bench.input(GatewayInput::RecordingLost(RecordingId(1), losses));
    bench.input(GatewayInput::RecordingLost(RecordingId(7), losses));
    let shown = |recording: &RecordingView| {
        recording.lost.iter().map(|loss| (loss.reason.to_string(), loss.seconds)).collect::<Vec<_>>()
    };
    let full = |seconds| ("disk_full".to_owned(), seconds);
    let live = &bench.gateway.calls(bench.now)[0];
    assert_eq!((shown(&live.recordings[0]), &*live.flags), (vec![full(1.5)], &["recording_gap"][..]));
    losses.add(LossReason::DiskFull, 500);
    losses.add(LossReason::DiskSlow, 40);
    bench.input(GatewayInput::RecordingLost(RecordingId(1), losses));
    bench.bye(&mut caller, &callee);
    assert_eq!(shown(&bench.reports[0].call.recordings[0]), [("disk_slow".to_owned(), 0.04), full(2.0)]);
    assert_eq!(bench.reports[0].call.flags, ["recording_gap"]);
    bench.finish();
}

#[test]
fn recordings_go_on_after_a_restart_with_their_sids_and_pauses() {
    for paused in [false, true] {
        let mut bench = bench(true);
        let (mut caller, callee) = bench.answered();
        let first = bench.gateway.calls(bench.now)[0].recordings[0].sid.clone();
        let second = begin(&mut bench).unwrap().sid;
        if paused {
            change(&mut bench, Some(&first), RecordingChange::Pause(RecordingPause::Cut)).unwrap();
        }
        bench.told();
        bench.recordings.clear();
        let handed = bench.gateway.snapshot(bench.now);
        let handed: Vec<(u64, String)> = handed.recordings().map(|(id, sid)| (id.0, sid.to_owned())).collect();
        assert_eq!(handed, [(1, first.clone()), (2, second.clone())]);
        bench.restart(table(true));
        let told = bench.told();
        let count = |is: fn(&Told) -> bool| told.iter().filter(|told| is(told)).count();
        assert_eq!(count(|told| matches!(told, Told::Record(..))), 2, "{told:?}");
        assert_eq!(count(|told| matches!(told, Told::Tap(..))), 2, "{told:?}");
        assert_eq!(count(|told| matches!(told, Told::Pause(_, Some(RecordingPause::Cut)))), usize::from(paused));
        assert!(bench.recordings.is_empty(), "no other file begins");
        let shown = bench.gateway.calls(bench.now)[0].recordings.clone();
        let states: Vec<&str> = shown.iter().map(|one| one.status).collect();
        assert_eq!(states, [if paused { "paused" } else { "in-progress" }, "in-progress"]);
        assert_eq!(change(&mut bench, Some(&first), RecordingChange::Resume).unwrap().status, "in-progress");
        change(&mut bench, Some(&second), RecordingChange::Stop).unwrap();
        let third = begin(&mut bench).unwrap().sid;
        assert_eq!(bench.recordings[0].id, RecordingId(3), "the id of no other recording");
        bench.bye(&mut caller, &callee);
        let shown = &bench.reports[0].call.recordings;
        let sids: Vec<&str> = shown.iter().map(|one| one.sid.as_str()).collect();
        assert_eq!(sids, [&first, &second, &third]);
        assert!(shown.iter().all(|one| one.lost.is_empty()), "{shown:?}");
        bench.finish();
    }
}

#[test]
fn no_call_is_recorded_before_its_answer_or_without_being_asked_for() {
    let mut bench = bench(false);
    bench.answered();
    assert!(bench.recordings.is_empty() && !bench.told().iter().any(|told| matches!(told, Told::Record(..))));
    assert!(bench.gateway.calls(bench.now)[0].recordings.is_empty());
}

#[test]
fn a_recording_that_cannot_be_made_costs_the_call_nothing() {
    let mut bench = Bench::with(table(true));
    bench.answered();
    assert_eq!((bench.state(), bench.recordings.len()), ("answered", 0));
    let said = "not recorded: the configuration has no [recording]";
    assert!(bench.story().contains(said), "{}", bench.story());
    assert!(bench.logs.iter().any(|line| line.contains("is not recorded")), "{:?}", bench.logs);
    assert_eq!(begin(&mut bench), Err(RequestRefusal::NoRecording));
}

#[test]
fn a_request_begins_pauses_and_ends_one() {
    let mut bench = bench(false);
    bench.answered();
    bench.told();
    assert_eq!(change(&mut bench, None, RecordingChange::Stop), Err(RequestRefusal::UnknownRecording));
    let view = begin(&mut bench).unwrap();
    assert_eq!((view.status, view.source, view.channels), ("in-progress", "StartCallRecordingAPI", 2));
    let told = bench.told();
    let [Told::Record(end, _), Told::Tap(EndId(0), listener, _)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(listener, end);
    let end = *end;
    let pause = RecordingChange::Pause(RecordingPause::Cut);
    assert_eq!(change(&mut bench, Some(&view.sid), pause).unwrap().status, "paused");
    assert_eq!(bench.told(), [Told::Pause(end, Some(RecordingPause::Cut))]);
    assert_eq!(change(&mut bench, None, RecordingChange::Resume).unwrap().status, "in-progress");
    assert_eq!(bench.told(), [Told::Pause(end, None)]);
    assert_eq!(change(&mut bench, Some("RE0"), RecordingChange::Stop), Err(RequestRefusal::UnknownRecording));
    assert_eq!(change(&mut bench, None, RecordingChange::Stop).unwrap().status, "stopped");
    assert_eq!(bench.told(), [Told::Remove(end)]);
    bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Ended { frames: 110, sound: None } });
    assert_eq!(bench.gateway.calls(bench.now)[0].recordings[0].seconds, Some(2.2));
    assert_eq!(change(&mut bench, Some(&view.sid), RecordingChange::Resume), Err(RequestRefusal::RecordingEnded));
    bench.nothing();
    assert_eq!(bench.state(), "answered");
}

#[test]
fn a_call_has_so_many_recordings_and_no_more() {
    let mut bench = bench(false);
    bench.answered();
    for _ in 0..RECORDINGS_AT_ONCE {
        begin(&mut bench).unwrap();
    }
    assert_eq!(begin(&mut bench), Err(RequestRefusal::TooManyRecordings));
    for _ in RECORDINGS_AT_ONCE..RECORDINGS_PER_CALL {
        change(&mut bench, None, RecordingChange::Stop).unwrap();
        begin(&mut bench).unwrap();
    }
    change(&mut bench, None, RecordingChange::Stop).unwrap();
    assert_eq!(begin(&mut bench), Err(RequestRefusal::TooManyRecordings));
}

#[test]
fn calls_to_be_recorded_are_refused_while_the_disk_takes_nothing_if_so_configured() {
    for record in [true, false] {
        let mut bench = bench(record);
        bench.input(GatewayInput::RecordingsRefused(true));
        if !record {
            bench.answered();
            continue;
        }
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let refused = bench.expect(CARRIER, "SIP/2.0 503");
        assert!(refused.header("Reason").contains("recording_unavailable"), "{}", refused.text);
        let seen = bench.gateway.status(bench.now).unrecorded.unwrap();
        assert_eq!((seen.calls, seen.recent, seen.last_sid.is_some()), (1, 1, true));
        bench.input(GatewayInput::RecordingsRefused(false));
        assert_eq!(bench.gateway.status(bench.now).unrecorded, None, "calls are taken again");
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(PBX, "INVITE ");
    }
}

fn announcement(to: (bool, bool)) -> RecordingAnnouncement {
    RecordingAnnouncement {
        file: "recorded.wav".to_owned(),
        sound: vec![0x10; 1600].into(),
        to_caller: to.0,
        to_callee: to.1,
    }
}

/// Creates an edge that announces recordings.
fn announcing(table: Arc<RoutingTable>, to: (bool, bool)) -> Bench {
    let mut bench = Bench::with(table);
    record_all(&mut bench);
    bench.configure(|settings| settings.announcement = Some(Arc::new(announcement(to))));
    bench
}

/// Returns the players that were added, with their sounds.
fn players(bench: &mut Bench) -> Vec<(EndId, PlayerSound)> {
    let added = |command| if let MediaCommand::AddPlayer { end, sound } = command { Some((end, sound)) } else { None };
    bench.take_media().into_iter().filter_map(added).collect()
}

#[test]
fn the_parties_of_a_call_hear_that_it_is_recorded_and_then_each_other() {
    for to in [(true, true), (true, false), (false, true)] {
        let mut bench = announcing(table(true), to);
        let (mut caller, callee) = bench.connected("+14155550100", &offer(), &answer());
        assert_eq!(bench.recordings.len(), 1, "what they hear is recorded");
        let players = players(&mut bench);
        let count = usize::from(to.0) + usize::from(to.1);
        assert_eq!(players.len(), count);
        assert!(players.iter().all(|(_, sound)| *sound == PlayerSound::Once(announcement(to).sound)), "{players:?}");
        for (end, _) in players {
            bench.news(MediaEvent::Played { end });
        }
        let wired = bench.take_media().iter().filter(|command| matches!(command, MediaCommand::Wire { .. })).count();
        assert_eq!(wired, 2, "they hear each other");
        let story = bench.story();
        for (party, is_told) in [("carrier (the caller)", to.0), ("pbx (the callee)", to.1)] {
            let line = format!("{party} hears recorded.wav, because the call is recorded");
            assert_eq!(story.matches(&line).count(), usize::from(is_told), "{story}");
        }
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn what_is_not_recorded_and_emergency_calls_are_not_announced() {
    let mut bench = announcing(table(false), (true, true));
    bench.answered();
    assert_eq!(players(&mut bench), []);
    let mut bench = Bench::with(table(true));
    bench.configure(|settings| settings.announcement = Some(Arc::new(announcement((true, true)))));
    bench.answered();
    assert_eq!(players(&mut bench), [], "there is no writer");
    let mut bench = announcing(table(true), (true, true));
    bench.connected("911", &offer(), &answer());
    assert_eq!((bench.recordings.len(), players(&mut bench)), (1, vec![]));
}

#[test]
fn a_caller_hears_it_before_an_agent() {
    for to in [(true, true), (false, true)] {
        let definition =
            agent_table(vec![agent("desk")], Route { record: true, ..route(vec![TargetSpec::Agent("desk".into())]) });
        let mut bench = announcing(definition, to);
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let asked = bench.questions.front().map(|question| question.wanted.clone());
        let is_announced = matches!(&asked, Some(AppResource::Sound(AppPlace::File(file))) if file == "recorded.wav");
        assert_eq!(is_announced, to.0, "{asked:?}");
        let first = if to.0 { "target play:recorded.wav" } else { "target desk" };
        assert!(bench.story().contains(first), "{}", bench.story());
    }
}
