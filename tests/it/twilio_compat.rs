//! docs/reference/twilio-compat.md compared with the running edge: each parameter of each API request, each field of
//! the responses, and the fields of requests to applications.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunkgate_twiml::compat::requests::{
    ApiOperation, FieldPresence, LATER, LATER_METHODS, OPERATIONS, ParameterSupport,
};
use trunkgate_twiml::compat::{
    CALL, CALLBACKS, CallbackField, CallbackKind, CallbackSubject, FeatureSupport, RESOURCES, is_named,
};

use crate::apps::{application, path};
use crate::support::calls::{Call, NUMBER as CALLED, Phone};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::twilio::{Deed, Twilio};
use crate::support::{PUBLIC_URL, Process, config, trunkgate, until};
use crate::twilio_api::{Rig, SID, TOKEN};
use crate::twilio_messages::{NUMBER, OURS, THEIRS, field, form, from_twilio, of};
use crate::twilio_recordings::walk;

/// Starts an edge with an API that can neither send messages nor make calls.
fn rig() -> Rig {
    Rig::new(&format!("requests_per_second = 0\n{NUMBER}"))
}

/// Starts an edge that rejects parameters without effect.
fn strict() -> Rig {
    Rig::new(&format!("requests_per_second = 0\nstrict = true\n{NUMBER}"))
}

/// Starts an edge that trusts its carrier about callers' identities.
fn vouched_for() -> Rig {
    let [caller, callee] = [(); 2].map(|()| Phone::new("127.0.0.1"));
    let trunks = caller.trunk("carrier") + "identity = \"pass\"\n" + &callee.trunk("pbx");
    let edge = Process::start(&config(&format!(
        "{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n[api]\naccount_sid = \"{SID}\"\n\
         auth_token = \"{TOKEN}\"\nrequests_per_second = 0\nallow_private = true\n[[number]]\nnumber = \"{CALLED}\"\n"
    )));
    Rig { caller, callee, edge }
}

/// Returns the path of an operation, below the account with placeholder SIDs or of Lookup.
fn path_of(operation: &str) -> String {
    if operation.starts_with('/') {
        return operation.replace("{number}", CALLED);
    }
    let path = operation.replacen("{AC}", SID, 1);
    let path = ["CA", "CF", "PN", "SM", "SK", "MZ", "RE", "GT", "QU"]
        .iter()
        .fold(path, |path, kind| path.replace(&format!("{{{kind}}}"), &format!("{kind}{}", "0".repeat(32))));
    // The path of the list of accounts has no account.
    let separator = if path.starts_with('.') { "" } else { "/" };
    format!("/2010-04-01/Accounts{separator}{path}")
}

/// Returns the parameters that an operation requires before it checks others.
fn base(operation: &ApiOperation) -> &'static [(&'static str, &'static str)] {
    match (operation.method, operation.path) {
        ("POST", "{AC}/Calls.json") => &[("Twiml", "<Response/>")],
        ("POST", "{AC}/Calls/{CA}/Streams.json") => &[("Url", "wss://bot.example.com/")],
        ("POST", "{AC}/Calls/{CA}/Streams/{MZ}.json") => &[("Status", "stopped")],
        ("POST", "{AC}/Calls/{CA}/Transcriptions/{GT}.json") => &[("Status", "stopped")],
        ("POST", "{AC}/Calls/{CA}/Recordings/{RE}.json") => &[("Status", "paused")],
        ("POST", "{AC}/Messages.json") => &[("To", THEIRS), ("From", OURS), ("Body", "Hello")],
        _ => &[],
    }
}

/// Sends a parameter together with the required ones; returns the status, code and message of the response.
fn ask(rig: &Rig, operation: &ApiOperation, name: &str, value: &str) -> (u16, u64, String) {
    let others = base(operation).iter().filter(|(known, _)| *known != name && (*known, name) != ("Twiml", "Url"));
    let named = name.ends_with(".Value").then(|| (name.replace(".Value", ".Name"), "n".to_owned()));
    let all: Vec<(String, String)> = others
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .chain(named)
        .chain([(name.to_owned(), value.to_owned())])
        .collect();
    let fields: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (path, encoded) = (path_of(operation.path), form(&fields));
    let (status, answer) = match operation.method {
        "POST" => rig.ask("POST", &path, &encoded),
        method => rig.ask(method, &format!("{path}?{encoded}"), ""),
    };
    let message = answer["message"].as_str().unwrap_or_default().to_owned();
    (status, answer["code"].as_u64().unwrap_or_default(), message)
}

#[test]
fn each_parameter_of_each_request_is_taken_as_the_page_says() {
    let rig = strict();
    let mut asked = 0;
    for operation in OPERATIONS {
        let what = format!("{} {}", operation.method, operation.path);
        let unknown = ask(&rig, operation, "Bogus", "1");
        assert_eq!(unknown, (400, 20_001, "Unknown parameter Bogus".to_owned()), "{what}");
        for (name, given) in operation.parameters {
            asked += 1;
            let name = name.replace("{n}", "7");
            let is_refused = |value: &str| {
                let (status, code, message) = ask(&rig, operation, &name, value);
                let is_known = !message.starts_with("Unknown parameter");
                assert!(is_known, "{what}: {name}={value}: {message}");
                let is_refused = (status, code) == (501, 20_501);
                assert!(!is_refused || message.starts_with(&name), "{what}: {message}");
                is_refused
            };
            match given {
                ParameterSupport::Supported | ParameterSupport::Differs(_) => {
                    assert!(!is_refused("14400"), "{what}: {name}")
                }
                ParameterSupport::Only(values) => {
                    let taken = values.iter().chain([&""]).all(|value| !is_refused(value));
                    assert!(taken && is_refused("another"), "{what}: {name}");
                }
                ParameterSupport::Ignored(_) | ParameterSupport::Refused(_) => {
                    assert!(is_refused("1") && !is_refused(""), "{what}: {name}")
                }
            }
        }
    }
    assert!(asked > 120, "{asked} parameters");
}

#[test]
fn without_strict_what_changes_nothing_is_taken_and_counted() {
    let rig = rig();
    for operation in OPERATIONS {
        let what = format!("{} {}", operation.method, operation.path);
        let (_, _, message) = ask(&rig, operation, "Bogus", "1");
        assert!(!message.starts_with("Unknown parameter"), "{what}: {message}");
        for (name, given) in operation.parameters {
            let (status, code, message) = ask(&rig, operation, name, "1");
            let is_refused = (status, code) == (501, 20_501) && message.starts_with(name);
            match given {
                ParameterSupport::Ignored(_) => assert!(!is_refused, "{what}: {name}: {message}"),
                ParameterSupport::Refused(_) => assert!(is_refused, "{what}: {name}: {message}"),
                ParameterSupport::Supported | ParameterSupport::Differs(_) | ParameterSupport::Only(_) => {}
            }
        }
        let weighty =
            [("RecordCall", ""), ("Timeouts", "; did you mean Timeout?"), ("Pricey", ""), ("EmergencyFloor", "")];
        for (name, meant) in weighty {
            let refused = ask(&rig, operation, name, "1");
            assert_eq!(refused, (400, 20_001, format!("Unknown parameter {name}{meant}")), "{what}");
        }
    }
    let status = rig.edge.get("/v1/status").1;
    let status: Value = serde_json::from_str(&status).unwrap();
    let bogus = status["ignored_parameters"].as_array().unwrap().iter().find(|one| one["name"] == "Bogus").unwrap();
    assert!(bogus["count"].as_u64().unwrap() >= 10 && bogus["meant"].is_null(), "{bogus}");
    let shown = rig.edge.get("/v1/api").1;
    assert!(shown.contains("\"ignored\":[\"Bogus\"]"), "{shown}");
}

/// Twilio accepts these requests of public programs.
#[test]
fn requests_of_public_programs_are_served() {
    let rig = rig();
    let to = "To=%2B14155550199&From=%2B14155550100";
    let call = format!("{to}&Twiml=%3CResponse%2F%3E");
    for (path, body) in [
        // This request is from GoAlert.
        ("Calls.json", format!("{call}&ValidityPeriod=10")),
        // This request is from Dograh.
        (
            "Calls.json",
            format!(
                "{call}&StatusCallback=https%3A%2F%2Fa.example%2F&StatusCallbackEvent=no-answer&StatusCallbackEvent=answered"
            ),
        ),
        ("Calls.json", format!("{call}&IfMachine=Continue")),
        ("Messages.json", format!("{to}&Body=hi&ValidityPeriod=10")),
        // This request is from Healthchecks.
        ("Messages.json", format!("{to}&Body=hi&RiskCheck=disable")),
        // This request is from Uptime Kuma.
        ("Messages.json", format!("{to}&Body=hi&MessagingServiceSid=MG{}", "0".repeat(32))),
    ] {
        let (status, answer) = rig.ask("POST", path, &body);
        let message = answer["message"].as_str().unwrap_or_default();
        let is_about_parameter = status == 501 || (status, answer["code"].as_u64()) == (400, Some(20_001));
        // Without a route or account the request is refused after its parameters were accepted.
        assert!(!is_about_parameter || message.starts_with("No message can be sent"), "{body}: {answer}");
    }
    assert_eq!(rig.ask("POST", "Calls.json", &format!("{call}&IfMachine=Hangup")).0, 501);
}

#[test]
fn what_is_not_in_this_version_is_refused_by_name() {
    let rig = rig();
    for list in LATER {
        for path in [format!("{{AC}}/{list}.json"), format!("{{AC}}/Calls/{{CA}}/{list}.json")] {
            let (status, answer) = rig.ask("GET", &path_of(&path), "");
            assert_eq!((status, &answer["code"]), (501, &json!(20_501)), "{path}: {answer}");
            assert!(answer["message"].as_str().unwrap().contains(list), "{answer}");
        }
    }
    for (method, path) in LATER_METHODS {
        let (status, answer) = rig.ask(method, &path_of(path), "");
        assert_eq!((status, &answer["code"]), (501, &json!(20_501)), "{method} {path}: {answer}");
    }
    for path in ["{AC}/Verify.json", "{AC}/Calls/{CA}/Verify.json", "{AC}/Keys/{SK}/x.json"] {
        assert_eq!(rig.ask("GET", &path_of(path), "").0, 404, "{path}");
    }
}

/// Compares samples of a resource with the page: they have the same fields, with values if the page has some.
pub(crate) fn is_as_on_the_page(name: &str, samples: &[Value]) {
    let resource = RESOURCES.iter().find(|resource| resource.name.starts_with(name)).unwrap();
    for sample in samples {
        let mut expected: Vec<&str> = resource.fields.iter().map(|(field, _)| *field).collect();
        let mut found: Vec<&str> = sample.as_object().unwrap().keys().map(String::as_str).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
    }
    // The tests of conferences and of detections check these fields.
    let is_elsewhere = |field: &str| matches!((name, field), ("recording", "conference_sid") | ("call", "answered_by"));
    for (field, has) in resource.fields.iter().filter(|(field, _)| !is_elsewhere(field)) {
        let (values, nulls): (Vec<&Value>, Vec<&Value>) =
            samples.iter().map(|sample| &sample[field]).partition(|value| !value.is_null());
        let holds = match has {
            FieldPresence::Value => nulls.is_empty(),
            FieldPresence::Sometimes(_) => !values.is_empty() && !nulls.is_empty(),
            FieldPresence::Null(_) => values.is_empty(),
        };
        assert!(holds, "{name}: {field} is {has:?}, found {values:?} and {} times null", nulls.len());
    }
}

#[test]
fn fields_of_calls_streams_and_the_account_are_those_of_the_page() {
    let rig = vouched_for();
    let sip = rig.edge.address("udp");
    let invite = rig.caller.sip.request_with("INVITE", CALLED, sip, "first", (1, ""), &rig.caller.description(1, ""));
    let verstat = "\r\nP-Asserted-Identity: <sip:+14155550199;verstat=TN-Validation-Passed-A@x.example>\r\n";
    rig.caller.sip.send(sip, &invite.replacen("\r\n", verstat, 1));
    let there = (&rig.callee, rig.callee.description(1, ""));
    let _call = Call::answered(sip, "first", &rig.caller, rig.callee.sip.receive("INVITE "), (there.0, &there.1));
    let sid = rig.edge.sid();
    let live = rig.get("Calls.json")["calls"].as_array().unwrap().clone();
    let streams = format!("Calls/{sid}/Streams");
    let started = rig.post(&format!("{streams}.json"), "Url=ws%3A%2F%2F127.0.0.1%3A9%2F&Name=listener");
    let nameless = rig.post(&format!("{streams}.json"), "Url=ws%3A%2F%2F127.0.0.1%3A9%2F");
    is_as_on_the_page("stream", &[started, nameless]);
    rig.post(&format!("Calls/{sid}.json"), "Status=completed");
    let ended = until("both calls are over", || {
        let calls = rig.get("Calls.json")["calls"].as_array().unwrap().clone();
        Some(calls).filter(|calls| calls.iter().all(|call| call["end_time"].is_string()))
    });
    is_as_on_the_page("call", &[live, ended].concat());
    is_as_on_the_page("account", &[rig.get(&format!("/2010-04-01/Accounts/{SID}.json"))]);
    let mut pages = [rig.get("Calls.json?PageSize=1"), rig.get("Calls.json")];
    for page in &mut pages {
        page.as_object_mut().unwrap().remove("calls").unwrap();
    }
    is_as_on_the_page("page", &pages);
}

#[test]
fn a_live_transcription_is_started_and_stopped_by_its_name_or_sid() {
    // The server accepts the connection, and sends nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let recognition = format!("[recognition]\nurl = \"ws://{}/\"\n", silent.local_addr().unwrap());
    let rig = Rig::new(&format!("requests_per_second = 0\n{recognition}"));
    let _call = Call::set_up(&rig.edge, "heard", &rig.caller, &rig.callee);
    let of_call = format!("Calls/{}/Transcriptions", rig.edge.sid());
    let named = rig.post(&format!("{of_call}.json"), "Name=support&Track=inbound_track&PartialResults=true");
    let nameless = rig.post(&format!("{of_call}.json"), "LanguageCode=de-DE&Hints=sales%2Csupport");
    is_as_on_the_page("live transcription", &[named.clone(), nameless.clone()]);
    assert_eq!((&named["status"], &named["name"]), (&json!("in-progress"), &json!("support")));
    assert!(named["sid"].as_str().unwrap().starts_with("GT"), "{named}");
    let refused = |below: &str, body: &str| {
        let (status, answer) = rig.ask("POST", &format!("{of_call}{below}.json"), body);
        (status, answer["code"].as_u64().unwrap())
    };
    assert_eq!(refused("", "Name=support"), (400, 20_001), "the name is taken");
    assert_eq!(refused("", "Track=all"), (400, 20_001));
    assert_eq!(refused("", "StatusCallbackUrl=ftp%3A%2F%2Fh"), (400, 21_205));
    assert_eq!(refused("", "IntelligenceService=GA1"), (501, 20_501));
    assert_eq!(refused("/support", "Status=paused"), (400, 20_001));
    assert_eq!(refused("/other", "Status=stopped"), (404, 20_404));
    let stopped = rig.post(&format!("{of_call}/support.json"), "Status=stopped");
    assert_eq!((&stopped["sid"], &stopped["status"]), (&named["sid"], &json!("stopped")));
    let by_sid = format!("{of_call}/{}.json", nameless["sid"].as_str().unwrap());
    assert_eq!(rig.post(&by_sid, "Status=stopped")["status"], "stopped");
    assert_eq!(rig.ask("POST", &by_sid, "Status=stopped").0, 404, "it is over");
    let without = self::rig();
    let _call = Call::set_up(&without.edge, "unheard", &without.caller, &without.callee);
    let path = format!("Calls/{}/Transcriptions.json", without.edge.sid());
    let (status, answer) = without.ask("POST", &path, "");
    assert_eq!((status, &answer["code"]), (400, &json!(21_220)), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("[recognition]"), "{answer}");
}

#[test]
fn fields_of_recordings_are_those_of_the_page() {
    let rig = Rig::new("requests_per_second = 0\n[recording]\ndirectory = \"recordings\"\n");
    let _call = Call::set_up(&rig.edge, "recorded", &rig.caller, &rig.callee);
    let of_call = format!("Calls/{}/Recordings", rig.edge.sid());
    let begun = rig.post(&format!("{of_call}.json"), "");
    let quiet = rig.post(&format!("{of_call}.json"), "Trim=trim-silence");
    let sids = [&begun, &quiet].map(|recording| recording["sid"].as_str().unwrap().to_owned());
    let folder = rig.edge.file.with_file_name("recordings");
    until("both are written", || Some(()).filter(|()| walk(&folder) > 32_000));
    for (sid, status) in sids.iter().zip(["completed", "absent"]) {
        rig.post(&format!("{of_call}/{sid}.json"), "Status=stopped");
        let one = format!("{of_call}/{sid}.json");
        until(status, || Some(()).filter(|()| rig.get(&one)["status"] == status));
    }
    let of = |path: &str| sids.each_ref().map(|sid| rig.get(&format!("{path}/{sid}.json"))).to_vec();
    is_as_on_the_page("call recording", &[vec![begun], of(&of_call)].concat());
    let third = rig.post(&format!("{of_call}.json"), "")["sid"].as_str().unwrap().to_owned();
    let live = until("the index has it", || {
        let (status, recording) = rig.ask("GET", &format!("Recordings/{third}.json"), "");
        Some(recording).filter(|_| status == 200)
    });
    is_as_on_the_page("recording", &[vec![live], of("Recordings")].concat());
}

#[test]
fn fields_of_numbers_and_keys_are_those_of_the_page() {
    let rig = rig();
    let number = rig.get("IncomingPhoneNumbers.json")["incoming_phone_numbers"][0].clone();
    let names = ["VoiceUrl", "VoiceFallbackUrl", "StatusCallback", "SmsUrl", "SmsFallbackUrl"];
    let urls: Vec<(&str, &str)> = names.iter().map(|name| (*name, "http://127.0.0.1:9/x")).collect();
    let set = rig.post(&format!("IncomingPhoneNumbers/{}.json", number["sid"].as_str().unwrap()), &form(&urls));
    is_as_on_the_page("number", &[number, set]);
    let mut keys = [rig.post("Keys.json", "FriendlyName=one"), rig.post("Keys.json", "")];
    for key in &mut keys {
        // The secret is shown only this once.
        assert!(key.as_object_mut().unwrap().remove("secret").unwrap().is_string());
    }
    is_as_on_the_page("key", &keys);
}

#[test]
fn fields_of_messages_and_their_requests_are_those_of_the_page() {
    let app = Endpoint::doing(|_, stream| crate::support::endpoint::say(stream, "500 Broken", ""));
    let twilio = Twilio::start(|to, _| if to == THEIRS { Deed::Take } else { Deed::Refuse(400, 21_614) });
    let rig = Rig::with(PUBLIC_URL, &format!("{NUMBER}{}", twilio.keys("")));
    let url = |path: &str| format!("http://{}/{path}", app.address);
    let service = format!("MG{}", "0".repeat(32));
    let send = |fields: &[(&str, &str)]| {
        let states = url("states");
        let all = [fields, &[("Body", "Hello"), ("StatusCallback", states.as_str())]].concat();
        rig.post("Messages.json", &form(&all))["sid"].as_str().unwrap().to_owned()
    };
    let sent = [
        (send(&[("To", THEIRS), ("From", OURS)]), "sent"),
        (send(&[("To", THEIRS), ("MessagingServiceSid", &service)]), "sent"),
        (send(&[("To", "+14155550198"), ("From", OURS)]), "failed"),
    ];
    let messages = sent.map(|(sid, status)| {
        let message = || rig.get(&format!("Messages/{sid}.json"));
        until(status, || Some(message()).filter(|message| message["status"] == status))
    });
    is_as_on_the_page("message", &messages);
    let number = rig.get("IncomingPhoneNumbers.json")["incoming_phone_numbers"][0]["sid"].clone();
    let urls = [("SmsUrl", url("sms")), ("SmsFallbackUrl", url("fallback"))];
    let urls = urls.each_ref().map(|(name, url)| (*name, url.as_str()));
    rig.post(&format!("IncomingPhoneNumbers/{}.json", number.as_str().unwrap()), &form(&urls));
    let stop = [("MessageSid", "SMtheirs"), ("From", THEIRS), ("To", OURS), ("Body", "STOP"), ("NumMedia", "0")];
    assert_eq!(from_twilio(&rig, "/sms/inbound", &stop).0, 200);
    let of_kind = |kind: &str| {
        let wanted = format!("/{kind}");
        app.posts().into_iter().filter(|post| path(post) == wanted).collect::<Vec<Post>>()
    };
    until("the fallback", || Some(()).filter(|()| !of_kind("fallback").is_empty()));
    let has_failed = |post: &Post| field(post, "MessageStatus") == "failed";
    let has_service = |post: &Post| !field(post, "MessagingServiceSid").is_empty();
    until("states", || {
        let states = of_kind("states");
        Some(()).filter(|()| states.iter().any(has_failed) && states.iter().any(has_service))
    });
    are_on_the_page("message", &of_kind("sms"));
    are_on_the_page("message status", &of_kind("states"));
    let fallback = of_kind("fallback");
    let own: Vec<String> = names(&fallback).into_keys().filter(|name| name.starts_with("Error")).collect();
    assert_eq!(own, ["ErrorCode", "ErrorUrl"]);
    assert!(names(&of_kind("sms")).keys().all(|name| names(&fallback).contains_key(name)), "{fallback:?}");
}

/// Returns the names of all fields in requests.
fn names(posts: &[Post]) -> BTreeMap<String, ()> {
    posts.iter().flat_map(of).map(|(name, _)| (name, ())).collect()
}

/// Compares the fields in requests with the page: all documented fields are present, and no other.
fn are_on_the_page(purpose: &str, posts: &[Post]) {
    let of_party = posts.iter().any(|post| !field(post, "ParentCallSid").is_empty());
    let callback: &CallbackKind = CALLBACKS.iter().find(|callback| callback.is(purpose, of_party)).unwrap();
    let (found, is_sent) = (names(posts), |field: &&CallbackField| !matches!(field.1, FeatureSupport::NotSupported(_)));
    for name in found.keys() {
        assert!(callback.fields().filter(is_sent).any(|field| is_named(field, name)), "{name} of {}", callback.name);
    }
    let of_call = if callback.subject == CallbackSubject::Itself { &[][..] } else { CALL };
    // Network-specific headers are only in calls that have one; the tests of conferences check the recordings' field.
    let is_elsewhere = |name: &str| name.ends_with('…') || purpose == "recording" && name == "ConferenceSid";
    for field in callback.own.iter().chain(of_call).filter(is_sent).filter(|(name, _)| !is_elsewhere(name)) {
        assert!(found.keys().any(|name| is_named(field, name)), "{} of {}: {found:?}", field.0, callback.name);
    }
}

#[test]
fn fields_of_a_whole_call_on_the_wire_are_those_of_the_page() {
    let app = application(&[
        ("/voice", "<Gather action=\"/pressed\" finishOnKey=\"#\"><Say>Press.</Say></Gather>"),
        (
            "/pressed",
            "<Gather input=\"speech\" speechTimeout=\"auto\" action=\"/said\" partialResultCallback=\"/partial\"><Say>Speak.</Say></Gather>",
        ),
        ("/partial", ""),
        (
            "/said",
            "<Dial action=\"/dialled\" record=\"record-from-ringing\" recordingStatusCallback=\"/recording\"><Number url=\"/screen\" statusCallback=\"/progress\" \
             statusCallbackEvent=\"initiated ringing answered completed\">+14155550177</Number></Dial>",
        ),
        ("/screen", "<Say>A call.</Say>"),
        ("/progress", ""),
        ("/recording", ""),
        ("/dialled", "<Redirect>/last</Redirect>"),
        ("/last", "<Say>Goodbye.</Say>"),
    ]);
    let url = format!("http://{}/voice", app.address);
    let steps = [
        "hear Press",
        "press 1#",
        "hear Speak",
        "say two words",
        "dial +14155550177",
        "party hears A call.",
        "party hangs up",
        "hear Goodbye",
        "ends completed",
    ];
    let steps: Vec<&str> = steps.iter().flat_map(|step| ["--step", *step]).collect();
    let output = trunkgate(&[&["twilio", "--app", &url], &steps[..]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let of_kind = |kind: &str| app.posts().into_iter().filter(|post| path(post) == kind).collect::<Vec<Post>>();
    let has_all = |kind: &str| !of_kind(kind).is_empty();
    for (kind, purpose) in [
        ("/voice", "start"),
        ("/last", "redirect"),
        ("/partial", "partial"),
        ("/screen", "start"),
        ("/progress", "status"),
        ("/dialled", "dial"),
        ("/recording", "recording"),
    ] {
        until(kind, || Some(()).filter(|()| has_all(kind)));
        are_on_the_page(purpose, &of_kind(kind));
    }
    // The input of a Gather is of one of two kinds.
    are_on_the_page("gather", &[of_kind("/pressed"), of_kind("/said")].concat());
}
