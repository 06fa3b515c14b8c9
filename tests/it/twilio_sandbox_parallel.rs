//! `trunkgate twilio --app URL --parallel COUNT` through the real binary: concurrent calls, each with a script of its
//! own.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Barrier};

use crate::apps::{parameter, path};
use crate::support::endpoint::{Endpoint, Post};
use crate::twilio_sandbox::run;

/// Starts an application that holds back the first document of a call until the other call has requested it, too.
fn together(document: impl Fn(&Post) -> String + Send + Sync + 'static) -> Endpoint {
    let both = Arc::new(Barrier::new(2));
    Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), move |_, post, stream| {
        if path(post) == "/voice" {
            both.wait();
        }
        let body = format!("<Response>{}</Response>", document(post));
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).is_ok()
    })
}

/// Writes scripts into a folder, given by name and text.
fn write(folder: &Path, scripts: &[(&str, &str)]) {
    for (name, text) in scripts {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn calls_at_the_same_time_have_callers_parties_and_texts_of_their_own() {
    let app = together(|post| match path(post) {
        "/voice" => "<Dial action=\"/after\">+14155550177</Dial>".to_owned(),
        "/after" => format!("<Say>It was {}.</Say>", parameter(post, "DialCallStatus")),
        _ => format!("<Message>You are {}</Message>", parameter(post, "From")),
    });
    let folder = tempfile::tempdir().unwrap();
    let dial = "dial +14155550177 from +14155550199";
    let busy = format!("{dial} busy\nhear It was busy\nends completed\n");
    let answered = format!("{dial}\nparty answers\nparty hangs up\nhear It was completed\nends completed\n");
    let text = "no call\nsend text Who am I?\nget text You are +14155550199\n";
    write(
        folder.path(),
        &[("a.call", busy.as_str()), ("b.call", answered.as_str()), ("c.call", text), ("d.call", text)],
    );
    let (url, sms) = (format!("http://{}/voice", app.address), format!("http://{}/sms", app.address));
    let folder = folder.path().display().to_string();
    let (code, reports) = run(&url, &["--parallel", "4", "--sms", &sms, &folder]);
    assert_eq!(code, 0, "{reports:#}");
    let names: Vec<&str> = reports
        .as_array()
        .unwrap()
        .iter()
        .map(|report| report["name"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["a.call", "b.call", "c.call", "d.call"], "in order");
    let of = |wanted: &str| -> Vec<String> {
        let posts = app.posts();
        let mut from: Vec<String> =
            posts.iter().filter(|post| path(post) == wanted).map(|post| parameter(post, "From")).collect();
        from.sort();
        from
    };
    assert_eq!(of("/voice"), ["+14155550199", "+14155550200"]);
    assert_eq!(of("/sms"), ["+14155550201", "+14155550202"]);
    let transcript = reports[0]["transcript"].to_string();
    assert!(!transcript.contains("answers") && transcript.contains("from +14155550199"), "{transcript}");
}

#[test]
fn recordings_at_the_same_time_have_the_text_of_their_script() {
    let app = together(|post| match path(post) {
        "/voice" => "<Record action=\"/done\" transcribe=\"true\" transcribeCallback=\"/text\"/>".to_owned(),
        _ => String::new(),
    });
    let folder = tempfile::tempdir().unwrap();
    let script = |text: &str| format!("transcribes {text}\nsay Please call me back\npress #\nends completed\n");
    let (first, second) = (script("First"), script("Second"));
    write(folder.path(), &[("a.call", first.as_str()), ("b.call", second.as_str())]);
    let url = format!("http://{}/voice", app.address);
    let (code, reports) = run(&url, &["--parallel", "2", &folder.path().display().to_string()]);
    assert_eq!(code, 0, "{reports:#}");
    let posts = app.posts();
    let texts = posts.iter().filter(|post| path(post) == "/text");
    let texts: BTreeMap<String, String> =
        texts.map(|post| (parameter(post, "From"), parameter(post, "TranscriptionText"))).collect();
    let wanted = [("+14155550199", "First"), ("+14155550200", "Second")];
    let wanted: BTreeMap<String, String> = wanted.map(|(from, text)| (from.to_owned(), text.to_owned())).into();
    assert_eq!(texts, wanted);
}
