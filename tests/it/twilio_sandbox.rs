//! `trunkgate twilio --app` through the real binary: calls by scripts to a web application, and what its caller heard.

use std::net::TcpListener;

use serde_json::Value;
use trunkgate_media::agent::sign_form;

use crate::apps::{application, form, parameter};
use crate::support::endpoint::Endpoint;
use crate::support::trunkgate;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// A menu that dials a party.
fn menu() -> Endpoint {
    application(&[
        (
            "/voice",
            "<Gather numDigits=\"1\" action=\"/menu\" timeout=\"2\"><Say>Welcome. Press one for sales, or two for service.</Say></Gather>\
             <Say>No input.</Say>",
        ),
        ("/menu", "<Say>Connecting you.</Say><Dial>+14155550177</Dial><Say>Goodbye</Say>"),
        ("/broken", "<Say>Hello"),
    ])
}

/// Runs it; exit code and JSON.
fn run(url: &str, arguments: &[&str]) -> (i32, Value) {
    let mut command = trunkgate(&[&["twilio", "--app", url, "--json"], arguments].concat());
    let output = command.env("TWILIO_AUTH_TOKEN", TOKEN).env("TWILIO_ACCOUNT_SID", ACCOUNT).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), json)
}

fn steps<'a>(steps: &[&'a str]) -> Vec<&'a str> {
    steps.iter().flat_map(|step| ["--step", *step]).collect()
}

#[test]
fn a_script_holds_and_the_application_is_asked_as_by_twilio() {
    let menu = menu();
    let url = format!("http://{}/voice", menu.address);
    let wanted = steps(&[
        "hear press ONE",
        "press 1",
        "hear Connecting you.",
        "dial +14155550177",
        "hear audio",
        "party hangs up",
        "hear goodbye",
        "ends completed",
    ]);
    let (code, reports) = run(&url, &wanted);
    assert_eq!((code, &reports[0]["ok"], &reports[0]["status"]), (0, &true.into(), &"completed".into()), "{reports:#}");
    let heard: Vec<&str> = reports[0]["heard"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(heard[0].starts_with("Welcome. Press one") && heard[1..] == ["Connecting you.", "Goodbye"], "{heard:?}");
    let first = &menu.posts()[0];
    let fields = form(first);
    assert!(fields.contains(&("AccountSid".to_owned(), ACCOUNT.to_owned())), "{fields:?}");
    assert_eq!(first.headers["x-twilio-signature"], sign_form(TOKEN, &url, &fields));
}

#[test]
fn an_expectation_that_fails_says_what_the_caller_heard_instead() {
    let menu = menu();
    let url = format!("http://{}/voice", menu.address);
    let (code, reports) = run(&url, &steps(&["hear Good evening"]));
    let failure = reports[0]["failures"][0].as_str().unwrap().to_owned();
    assert_eq!(code, 1, "{reports:#}");
    for part in ["steps:1: hear Good evening", "Welcome. Press one for sales, or two for service.", "No input."] {
        assert!(failure.contains(part), "{failure}");
    }
    let (code, reports) = run(&url, &steps(&["press 1", "dial +14155550188 busy", "hear goodbye"]));
    let failure = reports[0]["failures"][0].as_str().unwrap();
    assert!(code == 1 && failure.contains("the application dialled +14155550177"), "{failure}");
    let (code, reports) = run(&format!("http://{}/broken", menu.address), &[]);
    let failure = reports[0]["failures"][0].as_str().unwrap();
    assert!(code == 1 && failure.contains("error 12100"), "{failure}");
}

#[test]
fn what_the_caller_says_reaches_the_application_as_speech() {
    let asked = application(&[
        (
            "/voice",
            "<Say>Hello.</Say><Gather input=\"speech\" speechTimeout=\"auto\" action=\"/said\" partialResultCallback=\"/partial\">\
             <Say>What can I do for you?</Say></Gather><Say>Nothing was said.</Say>",
        ),
        (
            "/said",
            "<Gather input=\"dtmf speech\" bargeIn=\"false\" action=\"/more\"><Say>And when?</Say></Gather><Say>No time.</Say>",
        ),
        ("/more", "<Say>Noted.</Say>"),
        ("/partial", ""),
    ]);
    let url = format!("http://{}/voice", asked.address);
    let wanted =
        steps(&["hear hello", "say Book a table", "hear And", "say \"At seven.\"", "hear Noted", "ends completed"]);
    let (code, reports) = run(&url, &wanted);
    assert_eq!(code, 0, "{reports:#}");
    let heard = reports[0]["heard"].as_array().unwrap();
    assert!(heard.contains(&"And when?".into()), "without barge-in the prompt is heard: {heard:?}");
    let said = |path: &str| -> Vec<(String, String)> {
        let posts = asked.posts();
        let found: Vec<_> = posts.iter().filter(|post| crate::apps::path(post) == path).collect();
        found.iter().map(|post| (parameter(post, "SpeechResult"), parameter(post, "Confidence"))).collect()
    };
    let result = |text: &str| (text.to_owned(), "1.0".to_owned());
    assert_eq!((said("/said"), said("/more")), (vec![result("Book a table")], vec![result("At seven.")]));
    let partial = asked.posts().into_iter().find(|post| crate::apps::path(post) == "/partial").unwrap();
    assert_eq!(parameter(&partial, "UnstableSpeechResult"), "Book");
    let (code, reports) = run(&url, &steps(&["hear Hello.", "hear Nothing was said", "say Hello"]));
    let failure = reports[0]["failures"][0].as_str().unwrap();
    assert!(code == 1 && failure.contains("say Hello: the application did not listen for speech"), "{failure}");
}

#[test]
fn a_party_hears_its_own_document_and_presses_digits() {
    let screened = application(&[
        ("/voice", "<Dial action=\"/after\"><Number url=\"/screen\">+14155550177</Number></Dial>"),
        (
            "/screen",
            "<Gather numDigits=\"1\" action=\"/accept\" timeout=\"1\"><Say>Press any key to accept.</Say></Gather><Hangup/>",
        ),
        ("/accept", "<Say>Connecting.</Say>"),
        ("/after", "<Say>Goodbye.</Say>"),
    ]);
    let url = format!("http://{}/voice", screened.address);
    let wanted = steps(&[
        "dial +14155550177",
        "party hears press any key",
        "party presses 1",
        "party hears Connecting.",
        "hear audio",
        "party hangs up",
        "hear Goodbye",
        "ends completed",
    ]);
    let (code, reports) = run(&url, &wanted);
    assert_eq!(code, 0, "{reports:#}");
    let transcript = reports[0]["transcript"].to_string();
    assert!(transcript.contains("+14155550177 hears: Press any key"), "{transcript}");
    let after = screened.posts().into_iter().find(|post| crate::apps::path(post) == "/after").unwrap();
    assert_eq!(parameter(&after, "DialCallStatus"), "completed", "it hangs up once it has answered");
    let (code, reports) = run(&url, &steps(&["dial +14155550177", "party hears Welcome"]));
    let failure = reports[0]["failures"][0].as_str().unwrap();
    assert!(code == 1 && failure.contains("the party heard \"Press any key to accept.\""), "{failure}");
}

#[test]
fn a_file_that_cannot_be_had_fails_a_call_unless_that_is_allowed() {
    let plays = application(&[("/voice", "<Play>/hello.mp3</Play><Say>Hello</Say>")]);
    let url = format!("http://{}/voice", plays.address);
    let (code, reports) = run(&url, &steps(&["hear Hello"]));
    assert!(code == 3 && reports[0]["application"].as_str().unwrap().contains("hello.mp3"), "{reports:#}");
    let (code, reports) = run(&url, &[&["--allow-missing-audio"], &steps(&["hear Hello"])[..]].concat());
    assert!(code == 0 && reports[0]["transcript"].to_string().contains("hello.mp3"), "{reports:#}");
}

#[test]
fn an_application_that_fails_is_told_from_an_expectation_that_does() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/voice");
    let (code, reports) = run(&url, &[]);
    let what = reports[0]["application"].as_str().unwrap_or_default();
    assert!(code == 3 && what.contains("not reachable"), "{reports:#}");
    let (code, error) = run(&url, &["--start", "exit 7"]);
    assert!(code == 3 && error.as_str().unwrap().contains("`exit 7` ended before"), "{error}");
    let (code, error) = run(&url, &["--start", "sleep 60", "--start-timeout", "1s"]);
    assert!(code == 3 && error.as_str().unwrap().contains("nothing listens at"), "{error}");
    let menu = menu();
    let (code, error) = run(&format!("http://{}/voice", menu.address), &["--start", "sleep 60"]);
    assert!(code == 2 && error.as_str().unwrap().contains("takes connections already"), "another one is left: {error}");
    for (arguments, why) in [(vec!["--step", "shout"], "is no step"), (vec!["nowhere.call"], "nowhere.call: ")] {
        let (code, error) = run(&url, &arguments);
        assert!(code == 2 && error.as_str().unwrap().contains(why), "{error}");
    }
}

#[test]
fn scripts_are_calls_of_their_own_and_a_command_starts_the_application() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let app = format!(
        "import http.server, os\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_POST(self):\n\
         \x20       self.rfile.read(int(self.headers['content-length']))\n\
         \x20       body = ('<Response><Say>Number %s</Say><Reject/></Response>' % os.environ['TWILIO_NUMBER']).encode()\n\
         \x20       self.send_response(200); self.send_header('content-type', 'text/xml')\n\
         \x20       self.send_header('content-length', str(len(body))); self.end_headers(); self.wfile.write(body)\n\
         http.server.HTTPServer(('127.0.0.1', {free}), H).serve_forever()\n"
    );
    std::fs::write(folder.path().join("app.py"), app).unwrap();
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (good, bad) =
        (script("good.call", "# it says its number\nhear +14155550100\n"), script("bad.call", "hear 0\n\npress x\n"));
    let start = format!("python3 {}", folder.path().join("app.py").display());
    let url = format!("http://127.0.0.1:{free}/");
    let (code, reports) = run(&url, &["--start", &start, &good, &good]);
    assert_eq!((code, reports.as_array().unwrap().len()), (0, 2), "{reports:#}");
    let (code, error) = run(&url, &["--start", &start, &bad]);
    assert!(code == 2 && error.as_str().unwrap().contains("bad.call:3: `press`"), "{error}");
    let is_over = std::net::TcpStream::connect(("127.0.0.1", free)).is_err();
    assert!(is_over, "the command ends with the sandbox");
}
