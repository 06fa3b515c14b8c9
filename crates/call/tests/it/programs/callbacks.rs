//! Reports of a caller's own call to its application.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_route::{App, RoutingTable, StatusCallback, TargetSpec, WebhookMethod};

use super::{Menu, app, parameter, table_with};
use crate::bench::agents::hang_up;
use crate::bench::{CARRIER, to_trunk};

const REPORTS: &str = "https://app.example.com/status?key=1";

/// Returns the configuration with an application that requests every report, followed perhaps by the PBX.
fn reporting(behind: Option<TargetSpec>) -> Arc<RoutingTable> {
    let (url, all) = (REPORTS.to_owned(), true);
    let method = WebhookMethod::Post;
    let wanted = StatusCallback { url, method, initiated: all, ringing: all, answered: all, completed: all };
    let app = App { status_callback: Some(wanted), ..app() };
    let connect = [TargetSpec::App("ivr".into())].into_iter().chain(behind).collect();
    table_with(app, connect)
}

/// Makes a call to an application that requests every report, and then perhaps to the PBX.
fn menu(document: &str, behind: Option<TargetSpec>) -> Menu {
    let mut menu = Menu::at(reporting(behind));
    menu.is_told(&[("initiated", "0"), ("ringing", "1")]);
    menu.document(document);
    menu
}

#[test]
fn an_answered_call_is_reported_to_its_end() {
    let mut menu = menu("<Pause/><Say>Hello</Say>", None);
    menu.bench.pass(Duration::from_millis(1_000));
    menu.is_answered();
    menu.is_told(&[("in-progress", "2")]);
    menu.spoken(10);
    menu.bench.pass(Duration::from_millis(3_000));
    menu.played();
    let [report] = &menu.reports()[..] else { panic!() };
    for (name, value) in [
        ("CallStatus", "completed"),
        ("SequenceNumber", "3"),
        ("CallDuration", "3"),
        ("SipResponseCode", "200"),
        ("CallbackSource", "call-progress-events"),
        ("Direction", "inbound"),
    ] {
        assert_eq!(parameter(report, name), Some(value), "{name}");
    }
    assert!(parameter(report, "Timestamp").unwrap().ends_with(" +0000"));
}

#[test]
fn reports_of_a_call_leave_out_the_numbers_that_a_crash_may_have_hidden() {
    let mut menu = menu("<Say>Hello</Say><Pause length='600'/>", None);
    menu.is_answered();
    menu.is_told(&[("in-progress", "2")]);
    menu.bench.restart(reporting(None));
    menu.bench.crash(reporting(None), Duration::from_millis(250));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.is_told(&[("completed", "7")]);
}

#[test]
fn a_call_without_an_answer_is_reported_with_its_status() {
    let mut menu = menu("<Reject reason=\"busy\"/>", None);
    menu.bench.expect(CARRIER, "SIP/2.0 486");
    menu.is_told(&[("busy", "2")]);
    let mut rejected = self::menu("<Reject/>", None);
    rejected.bench.expect(CARRIER, "SIP/2.0 603");
    rejected.is_told(&[("no-answer", "2")]);
}

#[test]
fn the_targets_behind_an_application_are_reported_to_it() {
    let mut menu = menu("<Frobnicate", Some(to_trunk("pbx")));
    let party = menu.party();
    menu.bench.receive(super::PBX, party.answer(503, ""));
    menu.bench.expect(CARRIER, "SIP/2.0 5");
    menu.is_told(&[("failed", "2")]);
}
