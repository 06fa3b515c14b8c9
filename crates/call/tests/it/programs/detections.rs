//! Answering machine detection: the document of a requested call waits for the verdict, or runs at once.

use std::time::Duration;

use trunkgate_call::{CallRequest, DetectionRequest};
use trunkgate_media::MachineDetectionSpec;
use trunkgate_media::agent::TrackName;
use trunkgate_media::detection::{AnsweredBy, DetectionMode, DetectionSettings, DetectionVerdict};

use super::requested::{Requested, at_url, request};
use super::*;
use crate::bench::agents::Told;
use crate::bench::{Bench, CARRIER, to_trunk};

/// Makes a call with detection at its party. `waits` is true if its document waits for the verdict.
fn judged(waits: bool) -> (Requested, Dialed, EndId) {
    let receiver = Some(("https://app.example.com/amd".to_owned(), WebhookMethod::Post)).filter(|_| !waits);
    let settings = DetectionSettings::new(DetectionMode::Enable, [None; 4]);
    let detection = Some(Box::new(DetectionRequest { settings: settings.clone(), waits, receiver }));
    let bench = Bench::with(table(vec![to_trunk("pbx")]));
    let mut call = Requested::at(bench, &CallRequest { detection, ..request(vec![at_url()]) });
    let party = call.answered();
    let told = call.bench.told();
    let expected = MachineDetectionSpec { track: TrackName::Inbound, settings };
    let judge = told.iter().find_map(|told| if let Told::Judge(end, spec) = told { Some((*end, spec)) } else { None });
    let (end, spec) = judge.unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!(spec, &expected);
    (call, party, end)
}

fn human(end: EndId) -> MediaEvent {
    let verdict = DetectionVerdict { answered_by: AnsweredBy::Human, duration: Duration::from_millis(2_040) };
    MediaEvent::Judged { end, verdict }
}

/// Returns the requests of calls with detection, before their documents and beside them.
pub(super) fn requests() -> Vec<DocumentRequest> {
    let (call, party, end) = judged(true);
    let (mut menu, _) = call.menu();
    menu.told();
    menu.bench.news(human(end));
    let mut all = vec![menu.requested()];
    menu.document("<Pause length='60'/>");
    menu.bench.receive(CARRIER, party.request("BYE", 2, ""));
    menu.bench.expect(CARRIER, "SIP/2.0 200");
    all.extend(menu.reports());
    let (call, _party, end) = judged(false);
    let (mut menu, _) = call.menu();
    menu.told();
    menu.bench.news(human(end));
    all.extend(menu.reports());
    all
}

#[test]
fn the_document_waits_for_the_verdict_and_has_it() {
    let (call, _party, end) = judged(true);
    let (mut menu, _) = call.menu();
    assert_eq!(menu.bench.state(), "answered");
    menu.told();
    menu.bench.news(human(end));
    let first = menu.requested();
    assert_eq!(parameter(&first, "AnsweredBy"), Some("human"));
    assert_eq!(parameter(&first, "MachineDetectionDuration"), Some("2040"));
    assert!(menu.bench.told().contains(&Told::Remove(end)), "the judge is let go");
    menu.document("<Hangup/>");
    menu.bench.expect(CARRIER, "BYE");
    let record = menu.bench.reports.last().unwrap();
    assert_eq!(record.call.legs[1].dialled.answered_by, Some("human"));
}

#[test]
fn a_document_that_does_not_wait_runs_at_once() {
    let (call, _party, end) = judged(false);
    let (mut menu, sid) = call.menu();
    menu.told();
    let first = menu.requested();
    assert_eq!(parameter(&first, "AnsweredBy"), None);
    menu.document("<Pause length='60'/>");
    menu.bench.news(human(end));
    let reports = menu.reports();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(parameter(report, "CallSid"), Some(sid.as_str()));
    assert_eq!((parameter(report, "AnsweredBy"), report.parameters.len()), (Some("human"), 4));
    // The verdict is reported once.
    menu.bench.news(human(end));
    assert!(menu.reports().is_empty());
}

#[test]
fn a_party_that_hangs_up_before_the_verdict_ends_the_call() {
    let (call, party, end) = judged(true);
    let (mut menu, _) = call.menu();
    menu.told();
    menu.bench.receive(CARRIER, party.request("BYE", 2, ""));
    menu.bench.expect(CARRIER, "SIP/2.0 200");
    menu.bench.news(human(end));
    assert!(menu.bench.reports.last().unwrap().call.legs[1].dialled.answered_by.is_none());
}

/// The call's receiver would otherwise wait for the verdict.
#[test]
fn a_call_that_ends_before_the_verdict_reports_an_unknown_party() {
    let (call, party, end) = judged(false);
    let (mut menu, _) = call.menu();
    menu.told();
    menu.document("<Pause length='60'/>");
    menu.reports();
    menu.bench.receive(CARRIER, party.request("BYE", 2, ""));
    menu.bench.expect(CARRIER, "SIP/2.0 200");
    let reports = menu.reports();
    let verdicts = reports.iter().filter(|report| report.purpose == "amd");
    let verdicts: Vec<_> = verdicts.filter_map(|report| parameter(report, "AnsweredBy")).collect();
    assert_eq!(verdicts, ["unknown"], "{reports:?}");
    menu.bench.news(human(end));
    assert!(menu.reports().iter().all(|report| parameter(report, "AnsweredBy").is_none()), "once");
}
