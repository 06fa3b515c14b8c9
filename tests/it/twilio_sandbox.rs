//! `trunkgate twilio --app` through the real binary: calls by scripts to a web application, and what its caller heard.

use std::net::TcpListener;

use serde_json::Value;
use trunkgate_media::agent::sign_form;

use crate::apps::{application, form};
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
