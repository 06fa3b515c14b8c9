//! Caller IDs requested by a document: the parties that see them, and refusals with 13214.

use trunkgate_route::{Pattern, TransferRule};

use super::*;
use crate::bench::agents::hang_up;

/// SIP address without a trunk that the application may dial.
const PHONE: &str = "192.0.2.77:5060";

/// Makes a call to an application with these `callers`, on an edge with one number of its own.
fn menu(callers: &[&str], document: &str) -> Menu {
    let app = App {
        callers: callers.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
        sip_to: vec![TransferRule::parse("sip:*@192.0.2.77").unwrap()],
        ..app()
    };
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![],
        routes: vec![route(vec![TargetSpec::App("ivr".into())])],
    };
    let table = RoutingTable::new(definition).with_apps(vec![app]).with_own_numbers(["+14155550123".into()]);
    on(Bench::with(Arc::new(table)), document)
}

/// Returns the user in From of the INVITE of such a Dial; `None` if it is refused with 13214 and the document
/// continues.
fn shown(callers: &[&str], caller_id: &str, party: &str) -> Option<String> {
    let document = format!("<Dial callerId=\"{caller_id}\">{party}</Dial><Say>next verb</Say>");
    let mut menu = menu(callers, &document);
    let at = if party.contains("192.0.2.77") { PHONE } else { PBX };
    let from = (!menu.bench.sent.is_empty()).then(|| {
        let invite = menu.bench.expect(at, "INVITE");
        assert!(!invite.text.to_ascii_lowercase().contains("%0d"), "{}", invite.text);
        let from = invite.header("From").to_owned();
        from.split_once("sip:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0.to_owned()
    });
    if from.is_none() {
        assert_eq!(menu.spoken(3), "next verb");
        assert!(menu.bench.story().contains("error 13214: callerId "), "{}", menu.bench.story());
        hang_up(&mut menu.bench, &mut menu.caller);
    }
    from
}

#[test]
fn carriers_see_allowed_numbers_only() {
    let carrier = "+14155550111";
    for (callers, caller_id, expected) in [
        (&[][..], "+14155550123", Some("+14155550123")),
        (&[], "(415) 555-0123", Some("+14155550123")),
        // From and To of the call.
        (&[], "+14155551234", Some("+14155551234")),
        (&[], "+14155550100", Some("+14155550100")),
        (&[], "+18002752273", None),
        (&[], "Bob", None),
        (&[], "100", None),
        (&[], "+14155550123@evil.example", None),
        (&[], "+14155550123;x=1", None),
        (&[], "+14155550123%0D%0AP-Asserted-Identity: &lt;sip:1@h&gt;", None),
        (&["+1800*"], "+18002752273", Some("+18002752273")),
        (&["+1800*"], "+18882752273", None),
        (&["*"], "+442071838750", Some("+442071838750")),
        (&["*"], "911", None),
        (&["*"], "Bob", None),
        (&["Bob"], "Bob", Some("Bob")),
        (&["+1212*"], "+1212evil", None),
        (&["+1212*"], "+1212;phone-context=x", None),
        (&["+1212*"], "+12125550100911911911", None),
        (&["*"], "1%0D%0AX-Other: 1", None),
        (&["*"], "1%00", None),
    ] {
        assert_eq!(shown(callers, caller_id, carrier).as_deref(), expected, "{caller_id} with {callers:?}");
    }
}

#[test]
fn parties_that_no_carrier_reaches_see_any_name() {
    let party = "<Sip>sip:bob@192.0.2.77</Sip>";
    for (caller_id, expected) in [
        ("Bob", Some("Bob")),
        ("+18002752273", Some("+18002752273")),
        ("front_desk-1.a", Some("front_desk-1.a")),
        ("911", None),
        ("9-1-1", None),
        ("+911", None),
        ("911.", None),
        ("Bob Smith", None),
        ("Bob%0d%0aX-Other:1", None),
        ("bob@evil.example", None),
    ] {
        assert_eq!(shown(&[], caller_id, party).as_deref(), expected, "{caller_id} to {party}");
    }
}

#[test]
fn what_a_carrier_may_read_as_another_number_is_no_extension() {
    for party in
        ["100", "411", "5550111", "*6714155550111", "<Sip>sip:100@PBX</Sip>", "<Sip>sip:x14155550111@PBX</Sip>"]
    {
        let party = party.replace("PBX", PBX);
        for caller_id in ["Bob", "+18002752273"] {
            assert_eq!(shown(&[], caller_id, &party), None, "{caller_id} to {party}");
        }
    }
}

#[test]
fn an_emergency_call_is_made_with_the_number_of_its_caller() {
    for caller_id in ["+18002752273", "Bob"] {
        assert_eq!(shown(&[], caller_id, "911").as_deref(), Some("+14155551234"), "{caller_id}");
    }
    assert_eq!(shown(&[], "+14155550123", "911").as_deref(), Some("+14155550123"));
}

#[test]
fn of_several_parties_those_behind_a_carrier_are_left_out() {
    let mut menu = menu(
        &[],
        "<Dial callerId=\"Bob\"><Number>+14155550111</Number><Sip>sip:bob@192.0.2.77</Sip></Dial><Say>next verb</Say>",
    );
    menu.bench.expect(PHONE, "INVITE sip:bob@");
    menu.bench.nothing();
    assert!(menu.bench.story().contains("error 13214: callerId "), "{}", menu.bench.story());
}
