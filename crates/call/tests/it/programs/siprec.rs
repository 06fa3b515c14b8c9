//! Recordings by servers for an application (`Start` and `Stop` with `Siprec`), and their reports.

use trunkgate_call::AppPlace;
use trunkgate_route::{SiprecSettings, Trunk};

use super::*;
use crate::bench::agents::hang_up;
use crate::bench::{sdp, trunk};

const SRS: &str = "10.0.0.40:5060";
const STATUS: &str = "https://app.example.com/siprec";

/// Makes a call to an application with this document, on an edge with a recording server.
fn asked(document: &str) -> Menu {
    let codecs = ["PCMU", "PCMA"].map(str::to_owned).to_vec();
    let siprec = Some(SiprecSettings::default());
    let vault = Trunk { siprec, codecs, udp_mtu: 65_535, ..trunk("siprec:vault", &[SRS]) };
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: usual_trunks().into_iter().chain([vault]).collect(),
        agents: Vec::new(),
        routes: vec![route(vec![TargetSpec::App("ivr".into())])],
    };
    let mut menu = Menu::at(Arc::new(RoutingTable::new(definition).with_apps(vec![app()])));
    menu.document(document);
    menu.is_answered();
    menu
}

/// Makes a call that no server records, because the document names an unknown group.
pub(super) fn refused() -> Menu {
    asked(&(start("").replace("vault", "cellar") + "<Say>next</Say>"))
}

fn start(attributes: &str) -> String {
    format!("<Start><Siprec connectorName='vault' statusCallback='/siprec' {attributes}/></Start>")
}

/// Accepts the session for the server.
fn taken(menu: &mut Menu) -> Dialed {
    let server = Dialed::new(SRS, menu.bench.expect(SRS, "INVITE"));
    let streams = "m=audio 7002 RTP/AVP 0\r\na=recvonly\r\n";
    let answer = sdp("10.0.0.40", 7000, 1, "0", "recvonly") + streams;
    menu.bench.receive(SRS, server.answer(200, &answer));
    menu.bench.expect(SRS, "ACK");
    server
}

/// Returns the reports to the application: the event and the error.
fn events(menu: &mut Menu) -> Vec<(String, Option<String>)> {
    let reports = menu.reports();
    let event = |report: &DocumentRequest| {
        assert_eq!(report.place, AppPlace::Url(STATUS.into()));
        let value = |name| parameter(report, name).map(str::to_owned);
        assert!(value("SiprecSid").unwrap().starts_with("SR"));
        (value("SiprecEvent").unwrap(), value("SiprecError"))
    };
    reports.iter().map(event).collect()
}

fn event(name: &str) -> (String, Option<String>) {
    (name.to_owned(), None)
}

/// Ends the server's dialog.
fn hung_up(menu: &mut Menu, server: &Dialed) {
    let bye = menu.bench.expect(SRS, "BYE");
    menu.bench.receive(SRS, server.respond(&bye, 200, ""));
}

#[test]
fn a_document_has_the_call_recorded_by_a_server_and_ends_it_by_its_name() {
    let document = start("name='all'") + "<Say>one</Say><Stop><Siprec name='all'/></Stop><Say>two</Say>";
    let mut menu = asked(&document);
    let server = taken(&mut menu);
    let reports = menu.reports();
    let value = |name| parameter(&reports[0], name).unwrap_or_default();
    assert_eq!((reports.len(), value("SiprecEvent"), value("SiprecName")), (1, "siprec-started", "all"));
    assert_eq!(menu.spoken(1), "one");
    menu.played();
    hung_up(&mut menu, &server);
    assert_eq!(events(&mut menu), [event("siprec-stopped")]);
    assert_eq!(menu.spoken(1), "two");
    let shown = menu.bench.gateway.calls(menu.bench.now).remove(0).siprec;
    assert_eq!((shown.len(), shown[0].name.as_str(), shown[0].status), (1, "vault", "stopped"));
    hang_up(&mut menu.bench, &mut menu.caller);
    assert!(events(&mut menu).is_empty());
    menu.ends("caller_hung_up");
}

#[test]
fn what_the_call_or_the_server_ends_is_reported_once() {
    for by_server in [false, true] {
        let mut menu = asked(&(start("") + "<Gather timeout='60'/>"));
        let server = taken(&mut menu);
        assert_eq!(events(&mut menu), [event("siprec-started")]);
        if by_server {
            menu.bench.receive(SRS, server.request("BYE", 1, ""));
            menu.bench.expect(SRS, "SIP/2.0 200");
            assert_eq!(events(&mut menu), [event("siprec-stopped")]);
        }
        hang_up(&mut menu.bench, &mut menu.caller);
        if !by_server {
            hung_up(&mut menu, &server);
            assert_eq!(events(&mut menu), [event("siprec-stopped")]);
        }
        assert!(events(&mut menu).is_empty());
        menu.ends("caller_hung_up");
    }
}

#[test]
fn a_recording_that_cannot_be_is_reported_and_the_document_goes_on() {
    let unknown = start("").replace("vault", "cellar");
    for (document, why) in [
        (unknown, "no [siprec] of that name"),
        // A trunk is no recording server.
        (start("").replace("vault", "pbx"), "no [siprec] of that name"),
        (start("track='inbound_track'"), "`track` can only be both_tracks"),
        (start("track='outbound_track'"), "`track` can only be both_tracks"),
    ] {
        let mut menu = asked(&(document + "<Say>next</Say>"));
        let told = events(&mut menu);
        assert_eq!((told.len(), told[0].0.as_str()), (1, "siprec-error"));
        assert!(told[0].1.as_deref().unwrap().contains(why), "{told:?}");
        assert_eq!(menu.spoken(1), "next");
    }
    // Every server refuses.
    let mut menu = asked(&(start("") + "<Say>next</Say>"));
    let server = Dialed::new(SRS, menu.bench.expect(SRS, "INVITE"));
    menu.bench.receive(SRS, server.answer(488, ""));
    menu.bench.expect(SRS, "ACK");
    let told = events(&mut menu);
    assert_eq!((told.len(), told[0].0.as_str()), (1, "siprec-error"));
    assert!(told[0].1.as_deref().unwrap().contains("488"), "{told:?}");
    assert_eq!(menu.spoken(1), "next");
}

#[test]
fn a_server_records_a_call_once_and_few_recordings_fit_into_it() {
    let mut menu = asked(&(start("name='one'") + &start("name='two'") + "<Gather timeout='60'/>"));
    taken(&mut menu);
    let told = events(&mut menu);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].1.as_deref(), Some("it already records the call"));
    assert_eq!(told[1], event("siprec-started"));
    // A document that starts and stops recordings without a pause reaches the limit.
    let round = start("name='n'") + "<Stop><Siprec name='n'/></Stop>";
    let mut menu = asked(&(round.repeat(200) + "<Gather timeout='60'/>"));
    assert!(menu.reports().is_empty(), "none had begun");
    menu.bench.nothing();
    let story = menu.bench.story();
    assert!(!story.contains("no recording by servers has that name"), "{story}");
}

#[test]
fn stopping_what_is_not_there_changes_nothing() {
    let mut menu = asked(&(start("name='one'") + "<Stop><Siprec name='other'/></Stop><Gather timeout='60'/>"));
    taken(&mut menu);
    assert_eq!(events(&mut menu), [event("siprec-started")]);
    assert!(menu.bench.story().contains("no recording by servers has that name"), "{}", menu.bench.story());
}
