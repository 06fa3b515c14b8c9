//! Documents as received: locations, content types, names, values.

use trunkgate_twiml::{DocumentLocation, DocumentPosition, VerbKind, parse};

use super::support::Call;

behaviours! {
    ["rule:relative-urls"]
    fn references_follow_the_url_after_redirects() {
        let mut call = Call::with(Default::default());
        call.start_at("https://a.example/first");
        let body = "<Response><Play>x.wav</Play><Redirect>next</Redirect></Response>";
        let steps = call.response(Some("https://b.example/deep/second?q=1"), "text/xml", body);
        assert_eq!(steps, ["answer", "play https://b.example/deep/x.wav"]);
        assert_eq!(call.played(), ["POST https://b.example/deep/next redirect"]);
    }

    ["rule:static-files"]
    fn a_static_document_names_files_and_one_from_http_does_not() {
        let mut call = Call::with(Default::default());
        let steps = call.start(DocumentLocation::File("ivr/menu.xml".to_owned()));
        assert_eq!(steps, ["POST file:ivr/menu.xml start"]);
        let steps = call.document("<Play>../audio/hello.wav</Play><Gather numDigits='1' action='sales.xml'/>");
        assert_eq!(steps, ["answer", "play audio/hello.wav"]);
        call.played();
        let steps = call.digits("1");
        assert_eq!(steps, ["POST file:ivr/sales.xml gather msg=Gather End Digits=1 FinishedOnKey="]);
        let steps = call.document("<Dial><Number url='whisper.xml' statusCallback='cb.xml'>1</Number></Dial>");
        assert_eq!(steps, ["dial 1"]);
        call.noted(11100, "no status callback");
        let mut call = Call::with(Default::default());
        call.start(DocumentLocation::File("menu.xml".to_owned()));
        assert_eq!(call.document("<Redirect>../secret.xml</Redirect>"), ["failed 11100"]);
        let (_, steps) = Call::begin("<Redirect>file:///etc/passwd</Redirect>");
        assert_eq!(steps, ["failed 11100"]);
    }

    ["rule:content-types"]
    fn each_content_type_has_its_meaning() {
        let arrives = |content_type: &str, body: &str| {
            let mut call = Call::with(Default::default());
            call.start_at("https://a.example/x");
            let steps = call.response(None, content_type, body);
            (call, steps)
        };
        for content_type in ["text/xml", "application/xml; charset=utf-8", "TEXT/HTML", "text/xml;charset=\"utf-8\""] {
            let (_, steps) = arrives(content_type, "<Response><Say>é</Say></Response>");
            assert_eq!(steps, ["answer", "say é"], "{content_type}");
        }
        let (mut call, steps) = arrives("text/plain", " Hello\n there ");
        assert_eq!(steps, ["answer", "say Hello there"]);
        assert_eq!(call.played(), ["hangup"]);
        let (mut call, steps) = arrives("audio/mpeg", "");
        assert_eq!(steps, ["answer", "play https://a.example/x"]);
        assert_eq!(call.played(), ["hangup"]);
        for content_type in ["application/json", "", "text/css", "video/mp4"] {
            let (call, steps) = arrives(content_type, "<Response/>");
            assert_eq!(steps, ["failed 12300"], "{content_type}");
            call.noted(12300, "neither XML nor audio");
        }
    }

    ["rule:invalid-values"]
    fn wrong_values_become_the_default() {
        for (xml, code) in [
            ("<Gather timeout='abc'/>", 13313),
            ("<Gather timeout='-1'/>", 13313),
            ("<Gather timeout='1.5'/>", 13313),
            ("<Gather numDigits='0'/>", 13314),
            ("<Gather method='PUT'/>", 13312),
            ("<Gather input='smoke'/>", 13326),
            ("<Gather finishOnKey='x'/>", 13310),
            ("<Gather actionOnEmptyResult='maybe'/>", 13338),
            ("<Dial timeout='soon'>1</Dial>", 13212),
            ("<Dial timeout='0'>1</Dial>", 13212),
            ("<Dial timeLimit='0'>1</Dial>", 13216),
            ("<Dial timeLimit=''>1</Dial>", 13216),
            ("<Dial hangupOnStar='1'>1</Dial>", 13213),
            ("<Dial answerOnBridge='x'>1</Dial>", 13219),
            ("<Dial sequential='x'>1</Dial>", 13218),
            ("<Dial method='x'>1</Dial>", 13210),
            ("<Say loop='x'>a</Say>", 13510),
            ("<Play loop='-1'>a</Play>", 13410),
            ("<Pause length='x'/>", 13910),
            ("<Pause length='99999999999999999999'/>", 13910),
        ] {
            let document = parse(&format!("<Response>\n {xml}</Response>")).unwrap();
            let [warning] = &document.warnings.list[..] else { panic!("{xml}: {:?}", document.warnings) };
            assert_eq!((warning.code, warning.position), (code, DocumentPosition { line: 2, column: 2 }), "{xml}: {warning}");
        }
        let plain = parse("<Response><Gather/><Dial>1</Dial></Response>").unwrap();
        let wrong = parse("<Response><Gather timeout='x' method='x'/><Dial timeout='x'>1</Dial></Response>").unwrap();
        let kinds = |document: &trunkgate_twiml::CallDocument| {
            document.verbs.iter().map(|verb| verb.kind.clone()).collect::<Vec<VerbKind>>()
        };
        assert_eq!(kinds(&plain), kinds(&wrong));
    }

    ["rule:unknown-names"]
    fn unknown_verbs_and_attributes_are_skipped() {
        let body = "<say>a</say><Foo bar='1'><Say>inner</Say></Foo><Number>1</Number><Say foo='1' Voice='x'>b</Say>text";
        let (call, steps) = Call::begin(body);
        assert_eq!(steps, ["answer", "say b"]);
        for text in [
            "<say> in <Response> is skipped; names are case-sensitive: <Say>",
            "<Foo> in <Response> is skipped",
            "<Number> in <Response> is skipped; it belongs at Dial/Number",
            "attribute \"foo\" of <Say>",
            "attribute \"Voice\" of <Say>",
            "text directly in <Response>",
        ] {
            call.noted(12200, text);
        }
        assert_eq!(call.notes().len(), 6, "{:?}", call.notes());
    }

    ["rule:refused-by-name"]
    fn a_known_verb_that_is_not_supported_ends_the_document() {
        for (body, code, name) in [
            ("<Say>Hi</Say><Pay/>", 12200, "<Pay>"),
            ("<Say>Hi</Say><Enqueue><Task>a</Task></Enqueue>", 12200, "<Enqueue/Task>"),
            ("<Say>Hi</Say><Dial><Sim>a</Sim></Dial>", 13215, "<Dial/Sim>"),
            ("<Say>Hi</Say><Dial><Number>1</Number><Application>a</Application></Dial>", 13215, "<Dial/Application>"),
            ("<Say>Hi</Say><Connect><VirtualAgent/></Connect>", 12200, "<Connect/VirtualAgent>"),
        ] {
            let (mut call, steps) = Call::begin(body);
            assert_eq!(steps, ["answer", "say Hi"], "{body}");
            assert_eq!(call.played(), [format!("failed {code}")], "{body}");
            call.noted(code, name);
        }
        let (call, steps) = Call::begin("<Dial ringTone='us' passports='false'>1</Dial>");
        assert_eq!(steps, ["answer", "dial 1"]);
        call.noted(12200, "\"ringTone\"");
        assert_eq!(call.notes().len(), 1, "a value that asks for nothing needs no warning");
    }
}

#[test]
fn a_root_of_another_name_is_no_document() {
    let wrong = parse("<?xml version='1.0'?>\n<response/>").unwrap_err();
    assert_eq!((wrong.code, wrong.position), (12102, DocumentPosition { line: 2, column: 1 }));
    assert_eq!(wrong.to_string(), "12102: line 2, column 1: the root element is <response>, not <Response>");
}

#[test]
fn warnings_are_bounded_and_counted() {
    let document = parse(&format!("<Response>{}</Response>", "<x/>".repeat(80))).unwrap();
    assert_eq!((document.warnings.list.len(), document.warnings.more), (50, 30));
    let (call, _) = Call::begin(&"<x/>".repeat(80));
    call.noted(12200, "and 30 more warnings");
}

#[test]
fn a_document_in_latin_1_is_read() {
    let body = b"<?xml version='1.0' encoding='ISO-8859-1'?><Response><Say>caf\xE9</Say></Response>";
    let document = trunkgate_twiml::parse_body(body, None).unwrap();
    assert!(matches!(&document.verbs[0].kind, VerbKind::Say(say) if say.text == "café"));
}

#[test]
fn namespaces_of_xml_are_no_attributes() {
    let xml = "<Response xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:noNamespaceSchemaLocation='x'><Hangup/></Response>";
    assert!(parse(xml).unwrap().warnings.list.is_empty());
}
