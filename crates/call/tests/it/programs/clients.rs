//! Voice SDK clients that a document dials: SIP parties that the configuration has for their identities.

use std::collections::BTreeMap;

use super::*;
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
