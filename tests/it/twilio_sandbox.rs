//! `trunkgate twilio --app` through the real binary: scripted calls to a web application, and the audio that their
//! caller hears.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;
use trunkgate_media::agent::sign_form;

use crate::apps::{application, form, parameter};
use crate::support::endpoint::Endpoint;
use crate::support::{closed_address, trunkgate, until};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// Starts an application with a menu that dials a party.
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

/// Runs the command; returns the exit code and the JSON.
pub(crate) fn run(url: &str, arguments: &[&str]) -> (i32, Value) {
    let mut command = trunkgate(&[&["twilio", "--app", url, "--json"], arguments].concat());
    let output = command.env("TWILIO_AUTH_TOKEN", TOKEN).env("TWILIO_ACCOUNT_SID", ACCOUNT).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), json)
}

/// Returns the first failure in a report.
pub(crate) fn fault(reports: &Value) -> &str {
    let report = &reports[0];
    report["application"].as_str().or_else(|| report["failures"][0].as_str()).unwrap_or_default()
}

pub(crate) fn steps<'a>(steps: &[&'a str]) -> Vec<&'a str> {
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
fn the_caller_speaks_into_a_recording_and_to_a_live_transcription() {
    let mailbox = application(&[
        (
            "/voice",
            "<Say>Leave a message.</Say><Record action=\"/done\" timeout=\"9\"/><Say>Nothing was recorded.</Say>",
        ),
        ("/done", "<Say>Thank you.</Say>"),
        (
            "/live",
            "<Start><Transcription statusCallbackUrl=\"/heard\"/></Start><Gather input=\"speech\" speechTimeout=\"auto\" action=\"/done\"/>",
        ),
        ("/heard", ""),
    ]);
    // 90 characters take 20 ms each, with up to 100 ms of silence before and after them.
    let message = "Call me back. ".repeat(6) + "Please";
    let say = format!("say {message}");
    let wanted = steps(&["hear Leave a message", &say, "press #", "hear Thank you", "ends completed"]);
    let (code, reports) = run(&format!("http://{}/voice", mailbox.address), &wanted);
    assert_eq!((code, message.len()), (0, 90), "{reports:#}");
    let transcript = reports[0]["transcript"].to_string();
    assert!(
        transcript.contains(&format!("says: {message}")) && transcript.contains("a key was pressed"),
        "{transcript}"
    );
    let done = mailbox.posts().into_iter().find(|post| crate::apps::path(post) == "/done").unwrap();
    let duration: u32 = parameter(&done, "RecordingDuration").parse().unwrap();
    // If the phone gets the CPU late, the message has gaps.
    assert!(duration >= 2 && parameter(&done, "Digits") == "#", "{done:?}");
    let wanted = steps(&["say Put me through", "hear Thank you", "ends completed"]);
    let (code, reports) = run(&format!("http://{}/live", mailbox.address), &wanted);
    assert_eq!(code, 0, "{reports:#}");
    let heard = mailbox.posts().into_iter().find(|post| post.body.contains("transcription-content")).unwrap();
    assert!(parameter(&heard, "TranscriptionData").contains("Put me through"), "{heard:?}");
}

#[test]
fn recordings_are_transcribed_as_the_script_or_the_caller_has_it() {
    let mailbox = application(&[
        ("/voice", "<Record action=\"/done\" transcribe=\"true\" transcribeCallback=\"/text\" playBeep=\"false\"/>"),
        ("/silent", "<Record action=\"/done\" timeout=\"1\" trim=\"do-not-trim\" transcribeCallback=\"/text\"/>"),
        ("/plain", "<Record action=\"/done\"/>"),
        ("/done", "<Say>Thank you.</Say>"),
        ("/text", ""),
    ]);
    let of = |path: &str, wanted: &[&str]| {
        let before = mailbox.posts().len();
        let (code, reports) = run(&format!("http://{}{path}", mailbox.address), &steps(wanted));
        let posts = mailbox.posts().split_off(before);
        let text = posts.into_iter().find(|post| crate::apps::path(post) == "/text");
        let text = text.map(|post| (parameter(&post, "TranscriptionStatus"), post.body.clone()));
        (code, reports, text)
    };
    let (code, reports, text) = of("/voice", &["say Call me back", "press #", "ends completed"]);
    let (status, body) = text.unwrap_or_default();
    assert_eq!((code, status.as_str()), (0, "completed"), "{reports:#}");
    assert!(body.contains("TranscriptionText=Call+me+back&"), "{body}");
    let given = ["transcribes \"Please call back.\"", "say Call me back", "hang up"];
    let (code, reports, text) = of("/voice", &given);
    assert_eq!(code, 0, "{reports:#}");
    assert!(text.unwrap_or_default().1.contains("TranscriptionText=Please+call+back.&"), "{reports:#}");
    let transcript = reports[0]["transcript"].to_string();
    assert!(transcript.contains("a recording is transcribed: Please call back."), "{transcript}");
    let (code, reports, text) = of("/silent", &["ends completed"]);
    assert_eq!((code, text.unwrap_or_default().0.as_str()), (0, "failed"), "{reports:#}");
    let (code, reports, _) = of("/plain", &["say Call me back", "press #", "transcribes \"Hello\"", "ends completed"]);
    let why = "steps:3: transcribes \"Hello\": the application had no recording transcribed";
    assert!(code == 1 && fault(&reports).starts_with(why), "{reports:#}");
    assert_eq!(reports[0]["steps"][2]["ok"], false, "{reports:#}");
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
    // The address is reserved: no other test gets the port meanwhile.
    let closed = closed_address();
    let url = format!("http://{closed}/voice");
    let (code, reports) = run(&url, &[]);
    let what = reports[0]["application"].as_str().unwrap_or_default();
    assert!(code == 3 && what.contains("not reachable"), "{reports:#}");
    let (code, error) = run(&url, &["--start", "exit 7"]);
    assert!(code == 3 && fault(&error).contains("`exit 7` ended before"), "{error}");
    let (code, error) = run(&url, &["--start", "sleep 60", "--start-timeout", "1s"]);
    assert!(code == 3 && fault(&error).contains("nothing listens at"), "{error}");
    let menu = menu();
    let (code, error) = run(&format!("http://{}/voice", menu.address), &["--start", "sleep 60"]);
    assert!(code == 2 && fault(&error).contains("already accepts connections"), "another one is left: {error}");
    let empty = tempfile::Builder::new().suffix(".call").tempfile().unwrap();
    std::fs::write(empty.path(), "# nothing yet\n").unwrap();
    let empty = empty.path().display().to_string();
    for (arguments, why) in [
        (vec!["--step", "shout"], "is not a step"),
        (vec!["nowhere.call"], "nowhere.call: "),
        (vec![empty.as_str()], ": no step"),
        (vec!["--step", "send text Hello"], "needs --sms URL"),
    ] {
        let (code, error) = run(&url, &arguments);
        assert!(code == 2 && fault(&error).contains(why), "{error}");
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
         \x20       body = ('<Response><Say>Number %s</Say><Hangup/></Response>' % os.environ['TWILIO_NUMBER']).encode()\n\
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
    assert!(code == 2 && fault(&error).contains("bad.call:3: `press`"), "{error}");
    std::fs::remove_file(&bad).unwrap();
    let junit = folder.path().join("junit.xml").display().to_string();
    let (code, reports) = run(&url, &["--start", &start, "--junit", &junit, &folder.path().display().to_string()]);
    assert!(code == 0 && reports[0]["steps"][0]["ok"] == true, "a folder of scripts: {reports:#}");
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("tests=\"1\" failures=\"0\" errors=\"0\"") && xml.contains("good.call"), "{xml}");
    let is_over = TcpStream::connect(("127.0.0.1", free)).is_err();
    assert!(is_over, "the command ends with the sandbox");
}

#[test]
fn redirects_and_requests_that_the_proxy_refuses_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let app = format!(
        "import http.server, urllib.request\n\
         def ask(url):\n\
         \x20   try: urllib.request.urlopen(url, timeout=5)\n\
         \x20   except OSError: pass\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_POST(self):\n\
         \x20       self.rfile.read(int(self.headers['content-length']))\n\
         \x20       if self.path == '/old':\n\
         \x20           self.send_response(307); self.send_header('location', '/voice')\n\
         \x20           self.send_header('content-length', '0'); self.end_headers(); return\n\
         \x20       ask('https://example.org/secret'); ask('http://example.org:8080/secret')\n\
         \x20       body = b'<Response><Say>Hello</Say></Response>'\n\
         \x20       self.send_response(200); self.send_header('content-type', 'text/xml')\n\
         \x20       self.send_header('content-length', str(len(body))); self.end_headers(); self.wfile.write(body)\n\
         http.server.HTTPServer(('127.0.0.1', {}), H).serve_forever()\n",
        free.port()
    );
    std::fs::write(folder.path().join("app.py"), app).unwrap();
    let start = format!("python3 {}", folder.path().join("app.py").display());
    let url = format!("http://{free}/old");
    let (code, reports) = run(&url, &["--start", &start, "--proxy", "--step", "hear Hello"]);
    assert_eq!(code, 0, "{reports:#}");
    let texts: Vec<&str> =
        reports[0]["transcript"].as_array().unwrap().iter().map(|moment| moment["text"].as_str().unwrap()).collect();
    let followed = format!("POST http://{free}/old: HTTP 307 to http://{free}/voice");
    for line in [
        followed.as_str(),
        "CONNECT example.org:443: refused, the proxy serves api.twilio.com only (--proxy=tunnel reaches other hosts)",
        "GET http://example.org:8080: refused, the proxy serves api.twilio.com only, and reaches no host by http",
    ] {
        assert!(texts.contains(&line), "{line}: {texts:#?}");
    }
    let (redirect, refused) = (&reports[0]["redirects"][0], &reports[0]["refused"]);
    assert_eq!((&redirect["status"], &redirect["method"]), (&307.into(), &"POST".into()), "{redirect}");
    assert_eq!((&refused[0]["target"], &refused[1]["method"]), (&"example.org:443".into(), &"GET".into()), "{refused}");
}

#[test]
fn warnings_and_what_is_not_called_fail_a_call() {
    let wrong = application(&[
        ("/voice", "<Gather numdigits=\"1\" timeout=\"1\"><Say>Press</Say></Gather><Hangop/>"),
        ("/pay", "<Pay/>"),
        ("/sip", "<Dial><Sip>sip:bob@example.com</Sip></Dial><Say>Bye</Say>"),
        ("/stream", "<Connect><Stream url=\"ws://127.0.0.1:1/x\"/></Connect>"),
    ]);
    let of = |path: &str, more: &[&str]| run(&format!("http://{}{path}", wrong.address), more);
    let (code, reports) = of("/voice", &steps(&["hear Press", "ends"]));
    let failures = reports[0]["failures"].to_string();
    assert!(code == 1 && failures.contains("numdigits") && failures.contains("<Hangop>"), "{reports:#}");
    let (code, reports) = of("/voice", &[&["--allow-warnings"], &steps(&["hear Press", "ends"])[..]].concat());
    assert!(code == 0 && reports[0]["warnings"].as_array().unwrap().len() == 2, "{reports:#}");
    let (code, reports) = of("/pay", &steps(&["ends"]));
    assert!(code == 1 && fault(&reports).contains("<Pay>"), "{reports:#}");
    let (code, reports) = of("/sip", &steps(&["hear Bye", "ends"]));
    assert!(code == 1 && fault(&reports).contains("a SIP address at example.com"), "{reports:#}");
    let (code, reports) = of("/stream", &[]);
    let is_named = fault(&reports).contains("error 31901: the stream failed (ws://127.0.0.1:1/x: Connection refused");
    assert!(code == 1 && is_named, "{reports:#}");
}

#[test]
fn caller_ids_and_numbers_are_judged_as_twilio_judges_them() {
    let dials = application(&[
        ("/voice", "<Dial>+14155550177</Dial>"),
        ("/own", "<Dial callerId=\"+14155550122\">+14155550177</Dial>"),
        ("/name", "<Dial callerId=\"Bob\">+14155550177</Dial>"),
        ("/word", "<Dial>sales</Dial>"),
    ]);
    let of = |path: &str, more: &[&str]| run(&format!("http://{}{path}", dials.address), more);
    let (code, reports) = of("/voice", &steps(&["dial 415-555-0177 from +14155550199", "party answers", "hear party"]));
    assert!(code == 0, "{reports:#}");
    let transcript = reports[0]["transcript"].to_string();
    assert!(transcript.contains("the application dials +14155550177 from +14155550199"), "{transcript}");
    let (code, reports) = of("/voice", &steps(&["dial +14155550177 from +14155550100"]));
    assert!(code == 1 && fault(&reports).contains("the party is shown +14155550199"), "{reports:#}");
    let is_refused = |reports: &Value| reports[0]["failures"].to_string().contains("error 13214: callerId ");
    let (code, reports) = of("/own", &steps(&["dial +14155550177"]));
    assert!(code == 1 && is_refused(&reports) && reports.to_string().contains("--number adds one"), "{reports:#}");
    let declared = [&["--number", "+14155550122"], &steps(&["dial +14155550177 from +14155550122"])[..]].concat();
    let (code, reports) = of("/own", &declared);
    assert!(code == 0, "{reports:#}");
    let (code, reports) = of("/name", &steps(&["dial +14155550177"]));
    assert!(code == 1 && is_refused(&reports), "{reports:#}");
    let (code, reports) = of("/word", &["--allow-undeclared-dials"]);
    assert!(
        code == 1 && reports[0]["failures"].to_string().contains("warning 13224: <Dial> has no phone number"),
        "{reports:#}"
    );
}

#[test]
fn a_party_acts_only_once_it_has_answered_and_ringing_is_no_audio() {
    let dials = application(&[
        ("/voice", "<Dial timeout=\"1\">+14155550177</Dial><Say>Bye</Say>"),
        ("/both", "<Dial><Number>+14155550177</Number><Number>+14155550178</Number></Dial><Say>Bye</Say>"),
    ]);
    let of = |path: &str, wanted: &[&str]| run(&format!("http://{}{path}", dials.address), &steps(wanted));
    for act in ["party hangs up", "party presses 1", "party hears Bye", "party answers"] {
        let (code, reports) = of("/voice", &["dial +14155550177 no answer", act]);
        let why = format!("steps:2: {act}: no party has answered, and none will");
        assert!(code == 1 && fault(&reports).starts_with(&why), "{act}: {reports:#}");
    }
    let (code, reports) = of("/voice", &["dial +14155550177 no-answer", "hear ringing", "hear audio"]);
    assert!(code == 1 && fault(&reports).starts_with("steps:3: hear audio"), "{reports:#}");
    let (code, reports) = of("/voice", &["hear ringing", "hear Bye"]);
    assert!(code == 1 && fault(&reports).contains("+14155550177, which no step expects"), "{reports:#}");
    // The order varies: each number's party follows a step of its own.
    let wanted =
        ["dial +14155550178", "dial +14155550177 no answer", "party answers", "party hangs up", "hear Bye", "ends"];
    let (code, reports) = of("/both", &wanted);
    assert!(code == 0, "{reports:#}");
}

#[test]
fn a_silent_application_fails_as_such_and_an_error_has_its_body() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/voice", silent.local_addr().unwrap());
    // Within that time, the call is set up and the request sent.
    let (code, reports) = run(&url, &[&["--timeout", "8s"], &steps(&["hear Hello"])[..]].concat());
    assert!(code == 3 && fault(&reports).contains("/voice had no answer for "), "{reports:#}");
    // The same applies without a step, and if the first document leads to it.
    let document = format!("<Response><Say>Hello</Say><Redirect>{url}</Redirect></Response>");
    let redirects = Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), move |_, _, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n", document.len());
        stream.write_all(format!("{head}{document}").as_bytes()).is_ok()
    });
    for (first, open) in [(url.clone(), "start"), (format!("http://{}/voice", redirects.address), "redirect")] {
        let (code, reports) = run(&first, &["--timeout", "6s"]);
        let line = format!("{open} request to {url} had no answer for ");
        assert!(code == 3 && reports[0]["ok"] == false && fault(&reports).starts_with(&line), "{reports:#}");
        assert!(reports[0]["transcript"].to_string().contains(&line), "{reports:#}");
    }
    let broken = application(&[]);
    let (code, reports) = run(&format!("http://{}/voice", broken.address), &[]);
    assert!(
        code == 3 && fault(&reports).contains("HTTP 500") && fault(&reports).contains("| it is broken"),
        "{reports:#}"
    );
}

#[test]
fn texts_are_sent_to_the_application_and_come_from_it() {
    let writes = application(&[("/voice", "<Say>Hello</Say>"), ("/sms", "<Message>We are open from seven.</Message>")]);
    let (url, sms) = (format!("http://{}/voice", writes.address), format!("http://{}/sms", writes.address));
    let of = |wanted: &[&str]| run(&url, &[&["--sms", &sms, "--timeout", "3s"], &steps(wanted)[..]].concat());
    let (code, reports) = of(&["no call", "send text Are you open?", "get text from SEVEN"]);
    assert!(code == 0, "{reports:#}");
    let post = &writes.posts()[0];
    assert_eq!((crate::apps::path(post), parameter(post, "Body")), ("/sms", "Are you open?".to_owned()));
    assert_eq!(
        (parameter(post, "From"), parameter(post, "To")),
        ("+14155550199".to_owned(), "+14155550100".to_owned())
    );
    let (code, reports) = of(&["no call", "send text Hello", "get text from eight"]);
    assert!(code == 1 && fault(&reports).contains("It sent +14155550199: \"We are open"), "{reports:#}");
}

/// Returns the address of an application in Python that answers a call with a long pause, and the command that starts
/// it as a child of a shell.
fn pausing(folder: &std::path::Path) -> (SocketAddr, String) {
    let free = closed_address();
    let app = format!(
        "import http.server\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_POST(self):\n\
         \x20       self.rfile.read(int(self.headers['content-length']))\n\
         \x20       open('asked', 'w').close()\n\
         \x20       body = b'<Response><Pause length=\"60\"/></Response>'\n\
         \x20       self.send_response(200); self.send_header('content-type', 'text/xml')\n\
         \x20       self.send_header('content-length', str(len(body))); self.end_headers(); self.wfile.write(body)\n\
         http.server.HTTPServer(('{}', {}), H).serve_forever()\n",
        free.ip(),
        free.port()
    );
    std::fs::write(folder.join("app.py"), app).unwrap();
    (free, "python3 app.py & wait".to_owned())
}

#[test]
fn a_signal_ends_the_application_with_all_its_processes() {
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(143)), ("HUP", Some(129)), ("KILL", None)] {
        let folder = tempfile::tempdir().unwrap();
        let (address, start) = pausing(folder.path());
        let url = format!("http://{address}/");
        let arguments = ["twilio", "--app", &url, "--start", &start, "--timeout", "60s", "--step", "hear Hello"];
        let mut command = trunkgate(&arguments);
        command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        until("the call", || folder.path().join("asked").exists().then_some(()));
        let kill = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code, "{signal}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let is_said = text.contains("calls +14155550100") && text.contains(&format!("interrupted by SIG{signal}"));
        assert!(code.is_none() || is_said, "{signal}: {text}");
        until("the application's end", || TcpStream::connect(address).is_err().then_some(()));
    }
}
