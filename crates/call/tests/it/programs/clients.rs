//! Voice SDK clients that a document dials: SIP parties that the configuration has for their identities.

use std::collections::BTreeMap;

use super::*;
use crate::bench::Sent;
use crate::bench::agents::hang_up;

fn menu(document: &str) -> Menu {
    let definition = Definition {
        numbers: Numbers::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![],
        routes: vec![route(vec![TargetSpec::App("ivr".into())])],
    };
    let extension = TargetSpec::Trunk { name: "pbx".to_owned(), number: Some("201".to_owned()), weight: None };
    let clients = BTreeMap::from([("agent1".into(), vec![extension])]);
    let table = Table::new(definition).with_apps(vec![app()]).with_clients(clients);
    on(Bench::with(Arc::new(table)), document)
}

/// The user in From of an INVITE.
fn caller_of(invite: &Sent) -> String {
    let from = invite.header("From");
    from.split_once("sip:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0.to_owned()
}

/// The user that the one INVITE to the PBX is for.
fn called(menu: &mut Menu) -> String {
    let invite = menu.bench.expect(PBX, "INVITE");
    assert!(menu.bench.sent.is_empty(), "one party is called");
    let line = invite.text.lines().next().unwrap().to_owned();
    line.split_once("sip:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0.to_owned()
}

#[test]
fn a_client_is_called_at_the_party_that_the_configuration_has_for_it() {
    for document in [
        "<Dial><Client>agent1</Client></Dial>",
        "<Dial><Client><Identity>agent1</Identity><Parameter name='a' value='b'/></Client></Dial>",
        // Another one has no party: the rest is called.
        "<Dial><Client>unmapped</Client><Client>agent1</Client></Dial>",
    ] {
        let mut menu = menu(document);
        assert_eq!(called(&mut menu), "201", "{document}");
        assert_eq!(
            menu.bench.story().contains("the client unmapped is not in [client]"),
            document.contains("unmapped")
        );
    }
    let mut beside = menu("<Dial><Client>unmapped</Client><Number>+14155550111</Number></Dial>");
    assert_eq!(called(&mut beside), "+14155550111");
}

#[test]
fn a_client_without_a_party_is_a_dial_that_failed_and_the_document_goes_on() {
    let mut menu = menu("<Dial><Client>unmapped</Client></Dial><Say>next verb</Say>");
    assert_eq!(menu.spoken(2), "next verb");
    assert!(menu.bench.story().contains("the client unmapped is not in [client]"), "{}", menu.bench.story());
    hang_up(&mut menu.bench, &mut menu.caller);
}

#[test]
fn a_client_is_shown_as_the_caller_to_clients_and_sip_addresses() {
    let address = format!("<Sip>sip:201@{PBX}</Sip>");
    for party in [&format!("<Client {ALL_EVENTS}>agent1</Client>"), &address] {
        let mut menu = menu(&format!("<Dial callerId='client:alice'>{party}</Dial>"));
        let invite = menu.bench.expect(PBX, "INVITE");
        assert_eq!(caller_of(&invite), "alice", "{}", invite.text);
        assert!(!menu.bench.story().contains("13214"), "{}", menu.bench.story());
        for report in menu.reports() {
            assert_eq!(
                (parameter(&report, "From"), parameter(&report, "Caller")),
                (Some("client:alice"), Some("client:alice"))
            );
            assert_eq!(parameter(&report, "To"), Some("client:agent1"));
        }
    }
}

#[test]
fn an_identity_with_many_digits_is_a_name_if_it_has_letters() {
    for identity in ["alice1987", "agent_18002752273", "550e8400-e29b-41d4-a716-446655440000"] {
        let mut menu = menu(&format!("<Dial callerId='client:{identity}'><Client>agent1</Client></Dial>"));
        assert_eq!(caller_of(&menu.bench.expect(PBX, "INVITE")), identity);
    }
}

#[test]
fn a_client_as_the_caller_is_no_number_that_a_carrier_sees() {
    let number = "<Number>+14155550111</Number>";
    for (caller_id, party) in [
        ("client:alice", number),
        ("client:+18002752273", "<Client>agent1</Client>"),
        ("client:+18002752273x", "<Client>agent1</Client>"),
        ("client:tel18002752273", "<Client>agent1</Client>"),
        ("client:911", "<Client>agent1</Client>"),
        ("client:al ice", "<Client>agent1</Client>"),
        ("client:", "<Client>agent1</Client>"),
    ] {
        let mut menu = menu(&format!("<Dial callerId='{caller_id}'>{party}</Dial><Say>next verb</Say>"));
        assert_eq!(menu.spoken(2), "next verb", "{caller_id} to {party}");
        assert!(menu.bench.story().contains("error 13214: callerId "), "{}", menu.bench.story());
        hang_up(&mut menu.bench, &mut menu.caller);
    }
    // Of several parties, those of numbers are left out; an emergency call has the number of its caller.
    let mut both = menu(&format!("<Dial callerId='client:alice'>{number}<Client>agent1</Client></Dial>"));
    assert_eq!(called(&mut both), "201");
    assert!(both.bench.story().contains("error 13214: callerId "), "{}", both.bench.story());
    let mut emergency = menu("<Dial callerId='client:alice'>911</Dial>");
    assert_eq!(caller_of(&emergency.bench.expect(PBX, "INVITE")), "+14155551234");
}
