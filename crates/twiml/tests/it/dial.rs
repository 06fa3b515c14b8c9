//! Dial: calls to other parties and their results.

use std::time::Duration;

use trunkgate_detection::{DetectionMode, DetectionSettings};
use trunkgate_twiml::{
    CallbackEvents, DialResult, DialStatus, DialStep, DialTarget, DocumentLocation, DocumentSource, HttpMethod,
    PartyAddress, PartyDetection, Program, ProgramInput, ProgramSettings, ProgramStep, RequestParameter, SensitiveText,
    SipHeader, parse,
};

use super::support::Call;

fn completed() -> DialResult {
    DialResult {
        status: DialStatus::Completed,
        sid: Some("CA2".to_owned()),
        duration: Some(Duration::from_millis(12_900)),
        bridged: true,
        further: vec![RequestParameter::new("DialSipResponseCode", "200")],
    }
}

fn headers_of(headers: &[SipHeader]) -> Vec<(&str, &str)> {
    headers.iter().map(|header| (header.name.as_str(), header.value.as_str())).collect()
}

/// Returns the Dial step of a document.
fn step(body: &str) -> DialStep {
    let mut program = Program::new(ProgramSettings::default());
    let location = DocumentLocation::url(super::support::PAGE).unwrap();
    program.start(Duration::ZERO, DocumentSource::Fetch { location, method: HttpMethod::Post }, false);
    let body = format!("<Response>{body}</Response>").into_bytes();
    program.handle_input(
        Duration::ZERO,
        ProgramInput::Fetched { id: 1, url: None, content_type: Some("text/xml".into()), body },
    );
    let steps = std::iter::from_fn(|| program.poll_output());
    steps.into_iter().find_map(|step| if let ProgramStep::Dial(dial) = step { Some(dial) } else { None }).unwrap()
}

behaviours! {
    ["Dial", "Dial@(text)", "rule:dial-defaults"]
    fn a_number_as_text_is_called() {
        let dial = step("<Dial> 415-123-4567 </Dial>");
        assert_eq!(dial.parties.len(), 1);
        assert!(matches!(&dial.parties[0].address, PartyAddress::Number { number, send_digits: None } if number == "415-123-4567"));
        assert_eq!((dial.timeout.as_secs(), dial.time_limit.as_secs()), (30, 14_400));
        assert_eq!((dial.caller_id, dial.answer_on_bridge, dial.sequential), (None, false, false));
        assert!(dial.parties[0].whisper.is_none() && dial.parties[0].status.is_none());
    }

    ["Dial@timeout", "Dial@timeLimit", "Dial@callerId", "Dial@sequential", "rule:dial-parallel"]
    fn attributes_reach_the_step() {
        let dial = step(
            "<Dial timeout='10' timeLimit='60' callerId='+15550100' sequential='true'>\
             <Number>1</Number><Sip>sip:a@b.example</Sip></Dial>",
        );
        assert_eq!((dial.timeout.as_secs(), dial.time_limit.as_secs()), (10, 60));
        assert_eq!((dial.caller_id.as_deref(), dial.sequential, dial.parties.len()), (Some("+15550100"), true, 2));
        let dial = step("<Dial timeout='9999' timeLimit='999999'>1</Dial>");
        assert_eq!((dial.timeout.as_secs(), dial.time_limit.as_secs()), (600, 86_400));
        let dial = step("<Dial timeout='0' timeLimit='0'>1</Dial>");
        assert_eq!((dial.timeout.as_secs(), dial.time_limit.as_secs()), (1, 1), "neither is without end");
        assert!(!step("<Dial><Number>1</Number><Number>2</Number></Dial>").sequential);
    }

    ["Dial/Number@machineDetection", "Dial/Number@machineDetectionTimeout",
     "Dial/Number@machineDetectionSpeechThreshold", "Dial/Number@machineDetectionSpeechEndThreshold",
     "Dial/Number@machineDetectionSilenceTimeout", "Dial/Number@amdStatusCallback",
     "Dial/Number@amdStatusCallbackMethod",
     "Dial/Sip@machineDetection", "Dial/Sip@machineDetectionTimeout",
     "Dial/Sip@machineDetectionSpeechThreshold", "Dial/Sip@machineDetectionSpeechEndThreshold",
     "Dial/Sip@machineDetectionSilenceTimeout", "Dial/Sip@amdStatusCallback",
     "Dial/Sip@amdStatusCallbackMethod"]
    fn a_party_has_a_detection_of_who_has_answered() {
        let attributes = "machineDetection='DetectMessageEnd' machineDetectionTimeout='10' machineDetectionSpeechThreshold='2000' \
                          machineDetectionSpeechEndThreshold='800' machineDetectionSilenceTimeout='3000' \
                          amdStatusCallback='/amd' amdStatusCallbackMethod='GET'";
        let values = [Some(10), Some(2_000), Some(800), Some(3_000)];
        let expected = PartyDetection {
            settings: DetectionSettings::new(DetectionMode::DetectMessageEnd, values),
            receiver: Some(("https://app.example/amd".to_owned(), HttpMethod::Get)),
        };
        for noun in ["<Number {}>1</Number>", "<Sip {}>sip:a@b.example</Sip>"] {
            let dial = step(&format!("<Dial>{}</Dial>", noun.replace("{}", attributes)));
            assert_eq!(dial.parties[0].detection.as_ref(), Some(&expected));
        }
        let dial = step("<Dial><Number machineDetection='Enable' machineDetectionTimeout='1'>1</Number></Dial>");
        let settings = DetectionSettings::new(DetectionMode::Enable, [Some(3), None, None, None]);
        assert_eq!(dial.parties[0].detection, Some(PartyDetection { settings, receiver: None }));
        for plain in ["amdStatusCallback='/amd'", "machineDetection='no'", ""] {
            let dial = step(&format!("<Dial><Number {plain}>1</Number></Dial>"));
            assert_eq!(dial.parties[0].detection, None, "{plain}");
        }
    }

    ["Dial/Number", "Dial/Number@(text)", "Dial/Number@sendDigits", "Dial/Number@url", "Dial/Number@method",
     "Dial/Number@statusCallback", "Dial/Number@statusCallbackMethod", "Dial/Number@statusCallbackEvent",
     "rule:dial-progress"]
    fn a_number_has_digits_a_whisper_and_callbacks() {
        let dial = step(
            "<Dial><Number sendDigits='wwww1928' url='/screen' method='GET' statusCallback='https://cb.example/x' \
             statusCallbackMethod='GET' statusCallbackEvent='initiated answered'>+1415</Number></Dial>",
        );
        let party = &dial.parties[0];
        let PartyAddress::Number { send_digits: Some(digits), .. } = &party.address else { panic!("{party:?}") };
        assert_eq!(digits.reveal(), "wwww1928");
        assert_eq!(party.whisper, Some((DocumentLocation::url("https://app.example/screen").unwrap(), HttpMethod::Get)));
        let status = party.status.as_ref().unwrap();
        assert_eq!((status.url.as_str(), status.method), ("https://cb.example/x", HttpMethod::Get));
        let events = CallbackEvents { initiated: true, ringing: false, answered: true, completed: false };
        assert_eq!(status.events, events);
        let plain = step("<Dial><Number statusCallback='/cb'>1</Number></Dial>");
        assert_eq!(plain.parties[0].status.as_ref().unwrap().events, CallbackEvents::default());
        assert!(CallbackEvents::default().completed);
    }

    ["Dial/Client", "Dial/Client@(text)", "Dial/Client@url", "Dial/Client@method", "Dial/Client@statusCallback",
     "Dial/Client@statusCallbackMethod", "Dial/Client@statusCallbackEvent", "Dial/Client/Identity", "Dial/Client/Identity@(text)",
     "Dial/Client/Parameter"]
    fn a_client_has_an_identity_a_whisper_and_callbacks() {
        let attributes = "url='/screen' method='GET' statusCallback='/cb' statusCallbackMethod='GET' statusCallbackEvent='ringing'";
        for inside in ["agent1", "<Identity> agent1 </Identity><Parameter name='a' value='b'/>"] {
            let dial = step(&format!("<Dial><Client {attributes}>{inside}</Client></Dial>"));
            let party = &dial.parties[0];
            assert!(matches!(&party.address, PartyAddress::Client { identity } if identity == "agent1"), "{party:?}");
            assert_eq!(party.whisper, Some((DocumentLocation::url("https://app.example/screen").unwrap(), HttpMethod::Get)));
            let status = party.status.as_ref().unwrap();
            assert_eq!((status.method, status.events.ringing, status.events.completed), (HttpMethod::Get, true, false));
        }
        let (call, _) = Call::begin("<Dial><Client/></Dial>");
        call.noted(13223, "<Client> without an identity is skipped");
    }

    ["Dial/Sip", "Dial/Sip@(text)", "Dial/Sip@url", "Dial/Sip@method",
     "Dial/Sip@statusCallback", "Dial/Sip@statusCallbackMethod", "Dial/Sip@statusCallbackEvent"]
    fn a_sip_address_has_headers_a_whisper_and_callbacks() {
        let dial = step(
            "<Dial><Sip username='admin' password='hunter2' url='/screen' method='GET' statusCallback='/cb' \
             statusCallbackMethod='GET' statusCallbackEvent='ringing completed'>
               kate@example.com?x-a=1&amp;x-b=2
             </Sip></Dial>",
        );
        let party = &dial.parties[0];
        let PartyAddress::Sip { uris, headers } = &party.address else { panic!("{party:?}") };
        assert_eq!((uris.len(), headers.len()), (1, 0));
        assert_eq!(uris[0].uri, "sip:kate@example.com");
        assert_eq!(headers_of(&uris[0].headers), [("x-a", "1"), ("x-b", "2")]);
        assert!(!format!("{dial:?}").contains("hunter2"), "credentials are the trunk's");
        assert_eq!(party.whisper.as_ref().unwrap().1, HttpMethod::Get);
        let status = party.status.as_ref().unwrap();
        assert_eq!((status.method, status.events.ringing, status.events.answered), (HttpMethod::Get, true, false));
    }

    ["Dial/Sip/Uri", "Dial/Sip/Uri@(text)", "Dial/Sip/Uri@priority", "Dial/Sip/Uri@weight", "Dial/Sip/Headers", "Dial/Sip/Headers/Header", "Dial/Sip/Headers/Header@name",
     "Dial/Sip/Headers/Header@value",
     "rule:dial-sip"]
    fn a_sip_party_may_have_several_addresses_and_headers() {
        let dial = step(
            "<Dial><Sip><Uri priority='2' weight='5'>sip:b@x.example</Uri>\
             <Uri priority='1' username='u' password='p'>sips:a@x.example</Uri>\
             <Headers><Header name='X-A' value='1'/><Header name='X-B'/></Headers></Sip></Dial>",
        );
        let PartyAddress::Sip { uris, headers } = &dial.parties[0].address else { panic!() };
        let order: Vec<(&str, u16, u16)> = uris.iter().map(|uri| (&*uri.uri, uri.priority, uri.weight)).collect();
        assert_eq!(order, [("sips:a@x.example", 1, 0), ("sip:b@x.example", 2, 5)]);
        assert_eq!(headers_of(headers), [("X-A", "1")], "one without a value is skipped");
    }

    ["rule:dial-attempts"]
    fn at_most_ten_parties_are_called() {
        let nouns = "<Number>1</Number>".repeat(12);
        let document = parse(&format!("<Response><Dial>{nouns}</Dial></Response>")).unwrap();
        let trunkgate_twiml::VerbKind::Dial(dial) = &document.verbs[0].kind else { panic!() };
        assert_eq!(dial.targets.len(), 10);
        assert!(matches!(dial.targets[0], DialTarget::Number { .. }));
        assert_eq!(document.warnings.list[0].code, 13250);
    }

    ["rule:dial-digits"]
    fn digits_alone_are_a_program() {
        let mut call = Call::with(ProgramSettings { role: trunkgate_twiml::ProgramRole::Called, ..ProgramSettings::default() });
        assert_eq!(call.start_with(DocumentSource::Digits(SensitiveText::new("1w2")), true), ["digits 1w2"]);
        assert_eq!(call.played(), ["join"]);
    }

    ["rule:dial-next-verb"]
    fn without_an_action_the_next_verb_follows() {
        for result in [completed(), DialResult::unanswered(DialStatus::NoAnswer), DialResult::unanswered(DialStatus::Busy)] {
            let (mut call, steps) = Call::begin("<Dial>1</Dial><Say>Goodbye</Say>");
            assert_eq!(steps, ["answer", "dial 1"]);
            if result.bridged {
                assert_eq!(call.dial_answered(), [""; 0]);
            }
            assert_eq!(call.dial_ended(result), ["say Goodbye"]);
        }
        let (mut call, _) = Call::begin("<Dial>1</Dial><Say>Goodbye</Say>");
        assert_eq!(call.hung_up(), ["end dial"]);
        assert!(call.is_over(), "a caller who is gone hears nothing");
    }

    ["Dial@action", "Dial@method", "rule:dial-action", "rule:dial-parameters"]
    fn with_an_action_what_follows_is_never_run() {
        let (mut call, _) = Call::begin("<Dial action='after' method='GET'>1</Dial><Say>Never</Say>");
        call.dial_answered();
        assert_eq!(call.dial_ended(completed()), [
            "GET https://app.example/ivr/after dial DialCallStatus=completed DialCallSid=CA2 DialCallDuration=13 \
             DialBridged=true DialSipResponseCode=200"
        ]);
        assert_eq!(call.document("<Say>After</Say>"), ["say After"]);
        let (mut call, _) = Call::begin("<Dial action='after'>1</Dial>");
        assert_eq!(call.not_reached(DialStatus::NoAnswer), [
            "POST https://app.example/ivr/after dial DialCallStatus=no-answer DialBridged=false"
        ]);
    }

    ["rule:dial-hung-up"]
    fn a_caller_who_hangs_up_still_causes_the_action() {
        let (mut call, _) = Call::begin("<Dial action='after'>1</Dial>");
        call.dial_answered();
        assert_eq!(call.hung_up(), ["end dial"]);
        assert_eq!(call.hung_up(), [""; 0]);
        assert!(!call.is_over(), "the outcome is still to come");
        assert_eq!(call.dial_ended(completed()), [
            "notify POST https://app.example/ivr/after dial DialCallStatus=completed DialCallSid=CA2 \
             DialCallDuration=13 DialBridged=true DialSipResponseCode=200"
        ]);
        assert!(call.is_over());
    }

    ["Dial@answerOnBridge", "rule:dial-answers"]
    fn answer_on_bridge_answers_with_the_party() {
        let (mut call, steps) = Call::begin("<Dial answerOnBridge='true'>1</Dial><Say>Busy</Say>");
        assert_eq!(steps, ["dial 1"]);
        assert_eq!(call.not_reached(DialStatus::Busy), ["answer", "say Busy"]);
        let (mut call, _) = Call::begin("<Dial answerOnBridge='true'>1</Dial><Say>Bye</Say>");
        call.dial_answered();
        assert_eq!(call.dial_ended(completed()), ["say Bye"], "answered with the party");
    }

    ["Dial@hangupOnStar"]
    fn star_ends_the_partys_call_once_it_is_answered() {
        let (mut call, _) = Call::begin("<Dial hangupOnStar='true'>1</Dial><Say>Bye</Say>");
        assert_eq!(call.digits("*"), [""; 0], "while it rings");
        call.dial_answered();
        assert_eq!(call.digits("12*"), ["end dial"]);
        assert_eq!(call.dial_ended(completed()), ["say Bye"]);
        let (mut call, _) = Call::begin("<Dial>1</Dial>");
        call.dial_answered();
        assert_eq!(call.digits("*"), [""; 0]);
    }

    ["rule:whisper"]
    fn a_called_partys_document_connects_or_declines() {
        let whisper = |body: &str| {
            let settings = ProgramSettings { role: trunkgate_twiml::ProgramRole::Called, ..ProgramSettings::default() };
            let mut call = Call::with(settings);
            let steps = call.start_text(&format!("<Response>{body}</Response>"), true);
            (call, steps)
        };
        let (mut call, steps) = whisper("<Say>Press 1</Say>");
        assert_eq!(steps, ["say Press 1"]);
        assert_eq!(call.played(), ["join"]);
        assert!(call.is_over());
        let (mut call, _) = whisper("<Gather numDigits='1' action='https://a.example/x'/><Hangup/>");
        assert_eq!(call.wait(5_000), ["hangup"]);
        let (mut call, _) = whisper("<Gather numDigits='1' action='https://a.example/x'/><Hangup/>");
        call.digits("1");
        assert_eq!(call.document(""), ["join"]);
        for body in ["<Dial>1</Dial>", "<Connect><Stream url='wss://a.example/'/></Connect>", "<Refer><Sip>sip:a@b</Sip></Refer>"] {
            let (call, steps) = whisper(body);
            assert_eq!(steps, ["failed 13201"], "{body}");
            call.noted(13201, "called party");
        }
    }
}

#[test]
fn a_dial_without_a_party_fails_like_one_that_cannot_be_made() {
    let (mut call, steps) = Call::begin("<Dial action='after'><Number/><Sip>  </Sip></Dial>");
    assert_eq!(steps, ["POST https://app.example/ivr/after dial DialCallStatus=failed DialBridged=false"]);
    call.noted(13223, "no party");
    assert_eq!(call.document("<Dial/><Say>next</Say>"), ["answer", "say next"]);
}

#[test]
fn what_is_no_number_is_not_called_and_the_next_verb_follows() {
    for text in ["Bob", "client:ann", "sip:ann@example.com", "tel:+14155550100", "+", "1-800-FLOWERS", "100;x=y"] {
        for dial in [format!("<Dial>{text}</Dial>"), format!("<Dial><Number>{text}</Number></Dial>")] {
            let (call, steps) = Call::begin(&format!("{dial}<Say>next</Say>"));
            assert_eq!(steps, ["answer", "say next"], "{dial}");
            call.noted(13224, "has no phone number");
            let (_, steps) = Call::begin(&dial.replace("<Dial>", "<Dial><Number>201</Number>"));
            assert_eq!(steps, ["answer", "dial 201"], "the others are called");
        }
    }
    let dialled = Call::begin("<Dial>+49 711/123&#160;456</Dial>").1;
    assert_eq!(dialled, ["answer", "dial +49 711 123 456"], "no number has a slash or a no-break space");
    for text in ["201", "911", "*67 415 555 0100", "#31#4155550100", "(415) 555-0100", "+1.415.555.0100"] {
        assert_eq!(Call::begin(&format!("<Dial>{text}</Dial>")).1, ["answer".to_owned(), format!("dial {text}")]);
    }
}

#[test]
fn a_whisper_that_leads_nowhere_connects_no_party() {
    let (call, steps) = Call::begin("<Dial><Number url='file:///x'>1</Number></Dial>");
    assert_eq!(steps, ["failed 11100"]);
    call.noted(11100, "the reference is not an http or https URL");
    let (call, steps) = Call::begin("<Dial><Number statusCallback='file:///x'>1</Number></Dial>");
    assert_eq!(steps, ["answer", "dial 1"], "a callback alone is left out");
    call.noted(11100, "no status callback");
}

#[test]
fn sip_headers_that_an_application_may_not_set_are_skipped_with_a_warning() {
    let long = "a".repeat(1_100);
    let uri = format!(
        "sip:kate@example.com;transport=tcp?X-Room=a%20b+c&amp;User-to-User=6a%3Bencoding%3Dhex&amp;Route=x&amp;X-=1&amp;X-Empty=\
         &amp;X-Bad=a%0D%0AVia:%20x&amp;X%20Y=1&amp;X-Long={long}&amp;From=x&amp;x-call-hops=1"
    );
    let document =
        format!("<Response><Dial><Sip>{uri}<Headers><Header name='Via' value='x'/></Headers></Sip></Dial></Response>");
    let document = parse(&document).unwrap();
    let trunkgate_twiml::VerbKind::Dial(dial) = &document.verbs[0].kind else { panic!() };
    let DialTarget::Sip { party, .. } = &dial.targets[0] else { panic!() };
    assert_eq!(party.uris[0].uri, "sip:kate@example.com;transport=tcp");
    assert_eq!(headers_of(&party.uris[0].headers), [("X-Room", "a b+c"), ("User-to-User", "6a;encoding=hex")]);
    assert!(party.headers.is_empty());
    let skipped: Vec<&str> = document.warnings.list.iter().map(|warning| warning.message.as_str()).collect();
    assert!(document.warnings.list.iter().all(|warning| warning.code == 13252), "{skipped:?}");
    assert!(skipped.iter().any(|why| why.contains("the edge's own")), "{skipped:#?}");
    assert_eq!(skipped.len(), 9, "{skipped:#?}");
}

#[test]
fn no_escaped_line_break_reaches_a_header() {
    let (call, steps) = Call::begin(
        "<Dial><Sip>sip:a%0D%0AX-Other:1@b</Sip></Dial><Dial><Sip>sip:a@b;x=%00</Sip></Dial><Say>next</Say>",
    );
    assert_eq!(steps, ["answer", "say next"]);
    call.noted(13223, "no party");
    let headers =
        "<Headers><Header name='X-A' value='1%0d%0aVia: x'/><Header name='X-B' value='100 %, 1%20a'/></Headers>";
    let document = format!("<Response><Dial><Sip>sip:a@b?X-C=1%250AVia<!-- -->{headers}</Sip></Dial></Response>");
    let document = parse(&document).unwrap();
    let trunkgate_twiml::VerbKind::Dial(dial) = &document.verbs[0].kind else { panic!() };
    let DialTarget::Sip { party, .. } = &dial.targets[0] else { panic!() };
    assert_eq!(headers_of(&party.headers), [("X-B", "100 %, 1%20a")]);
    assert!(party.uris[0].headers.is_empty(), "{:?}", party.uris[0].headers);
    assert!(document.warnings.list.iter().all(|warning| warning.message.contains("control characters")));
}

#[test]
fn wrong_digits_of_a_noun_are_not_sent() {
    let dial = step("<Dial><Number sendDigits='12;rm'>1</Number></Dial>");
    assert!(matches!(&dial.parties[0].address, PartyAddress::Number { send_digits: None, .. }));
}
