//! Callers that an application transfers by REFER.

use std::time::Duration;

use super::*;
use crate::bench::Sent;
use crate::bench::agents::hang_up;

/// Makes a call and sends its caller to the PBX; returns the REFER.
pub(crate) fn referred() -> (Menu, Sent) {
    let mut menu = Menu::answered(
        "<Refer action='/after'><Sip>sip:bob@10.0.0.20?X-Room=blue%20sky&amp;Route=x</Sip></Refer><Say>never</Say>",
    );
    let refer = menu.bench.expect(CARRIER, "REFER");
    assert_eq!(refer.header("Refer-To"), "<sip:bob@10.0.0.20?X-Room=blue%20sky>");
    (menu, refer)
}

impl Menu {
    /// Reports the progress of the new call from the caller's side.
    pub(crate) fn notifies(&mut self, state: &str, line: &str) {
        self.caller.cseq += 1;
        let headers = format!("Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n");
        let notify = self.caller.request("NOTIFY", "", &headers);
        let body = format!("Content-Length: {}\r\n\r\n{line}\r\n", line.len() + 2);
        self.bench.receive(CARRIER, notify.replace("Content-Length: 0\r\n\r\n", &body));
        self.bench.expect(CARRIER, "SIP/2.0 200");
    }
}

#[test]
fn a_caller_is_referred_and_the_result_is_reported() {
    let (mut menu, refer) = referred();
    menu.bench.receive(CARRIER, menu.caller.respond(&refer, 202, ""));
    menu.notifies("active;expires=60", "SIP/2.0 100 Trying");
    menu.notifies("active;expires=60", "SIP/2.0 180 Ringing");
    assert!(menu.bench.questions.is_empty());
    menu.notifies("terminated;reason=noresource", "SIP/2.0 200 OK");
    let request = menu.requested();
    assert_eq!(request.purpose, "refer");
    for (name, value) in
        [("ReferCallStatus", "in-progress"), ("ReferSipResponseCode", "202"), ("NotifySipResponseCode", "200")]
    {
        assert_eq!(parameter(&request, name), Some(value), "{name}");
    }
    menu.document("<Hangup/>");
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("app_hung_up");
}

#[test]
fn a_transfer_that_fails_is_a_result_and_the_caller_stays() {
    let (mut menu, refer) = referred();
    menu.bench.receive(CARRIER, menu.caller.respond(&refer, 405, ""));
    let request = menu.requested();
    assert_eq!(parameter(&request, "ReferSipResponseCode"), Some("405"));
    assert_eq!(parameter(&request, "ReferCallStatus"), None);
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");

    // The NOTIFY overtakes the response.
    let (mut menu, refer) = referred();
    menu.notifies("terminated;reason=noresource", "SIP/2.0 486 Busy Here");
    menu.bench.receive(CARRIER, menu.caller.respond(&refer, 202, ""));
    assert_eq!(parameter(&menu.requested(), "ReferCallStatus"), Some("busy"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");

    // No NOTIFY for a minute.
    let (mut menu, refer) = referred();
    menu.bench.receive(CARRIER, menu.caller.respond(&refer, 202, ""));
    menu.bench.pass(Duration::from_secs(60));
    let request = menu.requested();
    assert_eq!(parameter(&request, "ReferCallStatus"), None);
    assert_eq!(parameter(&request, "ReferSipResponseCode"), Some("202"));
    menu.document("<Say>still there</Say>");
    assert_eq!(menu.spoken(3), "still there");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_caller_that_leaves_for_its_new_call_is_reported() {
    let (mut menu, refer) = referred();
    menu.bench.receive(CARRIER, menu.caller.respond(&refer, 202, ""));
    hang_up(&mut menu.bench, &mut menu.caller);
    let reports = menu.reports();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((report.purpose, parameter(report, "ReferSipResponseCode")), ("refer", Some("202")));
    menu.ends("caller_hung_up");
}

#[test]
fn a_caller_is_not_referred_to_an_address_that_the_application_may_not_dial() {
    let mut menu = Menu::answered("<Refer><Sip>sip:bob@192.0.2.77</Sip></Refer><Say>sorry</Say>");
    assert_eq!(menu.spoken(3), "sorry");
    assert!(menu.bench.story().contains("`sip_to`"), "{}", menu.bench.story());
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_party_that_is_transferred_to_an_application_is_the_one_that_it_talks_to() {
    use crate::bench::{Bench, Dialed, PBX, route, to_trunk, usual_trunks};
    use trunkgate_route::{Pattern, Route};
    let mut trunks = usual_trunks();
    trunks.iter_mut().for_each(|trunk| trunk.refer = trunkgate_route::ReferMode::Local);
    let app = App::new("ivr", AppDocument::Url { url: URL.to_owned(), method: WebhookMethod::Post });
    let to_app = Route {
        to: vec![Pattern::Prefix("+14155550155".into())],
        ..Route::named("menu", vec![TargetSpec::App("ivr".into())])
    };
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks,
        agents: vec![],
        routes: vec![to_app, route(vec![to_trunk("pbx")])],
    };
    let mut bench = Bench::with(Arc::new(RoutingTable::new(definition).with_apps(vec![app])));
    let (mut caller, callee): (Dialing, Dialed) = bench.answered();
    caller.cseq += 1;
    let refer = caller.request("REFER", "", "Refer-To: <sip:+14155550155@example.com>\r\n");
    bench.receive(CARRIER, refer);
    bench.expect(CARRIER, "SIP/2.0 202");
    let notify = bench.expect(CARRIER, "NOTIFY");
    bench.receive(CARRIER, caller.respond(&notify, 200, ""));
    let mut menu = Menu { bench, caller };
    menu.document("<Dial action='/after'>+14155550111</Dial><Say>never</Say>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    // The near party leaves while another one rings.
    menu.bench.receive(PBX, callee.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    let reports = menu.reports();
    assert_eq!(parameter(&reports[0], "DialCallStatus"), Some("canceled"));
    while let Some(sent) = menu.bench.sent.pop_front() {
        menu.bench.receive(CARRIER, menu.caller.respond(&sent, 200, ""));
    }
    menu.ends("callee_hung_up");
}

/// Only the target of the REFER itself is called by its Refer-To: a client without a number at the same trunk has its
/// own.
#[test]
fn a_client_that_is_dialled_after_a_refer_is_not_called_by_the_refer_to() {
    use crate::bench::{Bench, PBX, route, to_trunk, usual_trunks};
    use trunkgate_route::{Pattern, Route};
    let mut trunks = usual_trunks();
    trunks.iter_mut().for_each(|trunk| trunk.refer = trunkgate_route::ReferMode::Return);
    let app = App::new("ivr", AppDocument::Url { url: URL.to_owned(), method: WebhookMethod::Post });
    let to_app = Route {
        to: vec![Pattern::Prefix("+14155550155".into())],
        ..Route::named("menu", vec![TargetSpec::App("ivr".into())])
    };
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks,
        agents: vec![],
        routes: vec![to_app, route(vec![to_trunk("pbx")])],
    };
    let clients = std::collections::BTreeMap::from([("desk".into(), vec![to_trunk("pbx")])]);
    let mut bench = Bench::with(Arc::new(RoutingTable::new(definition).with_apps(vec![app]).with_clients(clients)));
    let (caller, callee) = bench.answered();
    let refer = callee.request("REFER", 1, "");
    let to = "Refer-To: <sip:+14155550155@example.com;x-m=8>\r\n";
    bench.receive(PBX, refer.replace("Content-Length:", &format!("{to}Content-Length:")));
    bench.expect(PBX, "SIP/2.0 202");
    let notify = bench.expect(PBX, "NOTIFY");
    bench.receive(PBX, callee.respond(&notify, 200, ""));
    let mut menu = Menu { bench, caller };
    menu.document("<Dial><Client>desk</Client></Dial>");
    let invite = menu.bench.expect(PBX, "INVITE");
    assert_eq!(invite.first_line(), "INVITE sip:+14155550100@10.0.0.20:5060 SIP/2.0");
}
