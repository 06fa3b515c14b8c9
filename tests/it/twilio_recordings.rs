//! Recordings in Twilio's formats through the real binary: requests, callbacks, audio, and TwiML verbs.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::apps::{self, application, form, parameter, path};
use crate::support::calls::{Call, Speaking, media_of, received};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::{PUBLIC_URL, finish, http_with_headers, until};
use crate::twilio_api::{Rig, SID, TOKEN, assert_shape, authorization};

const RECORDING: &str = "requests_per_second = 0\nallow_private = true\n[recording]\ndirectory = \"recordings\"\n";

/// Sends audio from a socket until the result is dropped.
pub(crate) fn speaking(socket: &UdpSocket, to: std::net::SocketAddr) -> Speaking {
    Speaking::new(socket, to, |n| {
        let mut bytes = vec![0x80, 0];
        bytes.extend(n.to_be_bytes());
        bytes.extend((u32::from(n) * 160).to_be_bytes());
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend([0x21; 160]);
        bytes
    })
}

/// Sends one request with the credentials of the account; returns the status, headers and body.
fn ask(rig: &Rig, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let (name, value) = authorization(SID, TOKEN);
    let headers = [&[(name, value.as_str())], headers].concat();
    http_with_headers(method, &format!("{}/2010-04-01/Accounts/{SID}/{path}", rig.edge.url()), &headers, "")
}

/// Waits until a recording has this status, and returns the recording.
fn once(rig: &Rig, sid: &str, status: &str) -> Value {
    let path = format!("Recordings/{sid}.json");
    until(status, || {
        // The index has the recording a moment after its start.
        let (code, recording) = rig.ask("GET", &path, "");
        Some(recording).filter(|recording| code == 200 && recording["status"] == status)
    })
}

fn keys(resource: &Value) -> Vec<&str> {
    resource.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Returns the status and SID in each report about recordings.
fn reports(posts: &[Post], of: &str) -> Vec<(String, String)> {
    let posts = posts.iter().filter(|post| path(post) == of);
    posts.map(|post| (parameter(post, "RecordingStatus"), parameter(post, "RecordingSid"))).collect()
}

#[test]
fn a_program_begins_pauses_ends_fetches_and_deletes_a_recording() {
    let rig = Rig::new(RECORDING);
    let call = Call::set_up(&rig.edge, "recorded", &rig.caller, &rig.callee);
    let _speaking = speaking(&rig.caller.rtp, call.near);
    let of_call = format!("Calls/{}/Recordings", rig.edge.sid());
    assert_eq!(rig.get(&format!("{of_call}.json"))["recordings"], json!([]));
    let begun = rig.post(&format!("{of_call}.json"), "RecordingTrack=inbound");
    let sid = begun["sid"].as_str().unwrap().to_owned();
    let one = format!("{of_call}/{sid}.json");
    for (field, value) in [
        ("status", json!("in-progress")),
        ("source", json!("StartCallRecordingAPI")),
        ("channels", json!(1)),
        ("track", json!("inbound")),
        ("duration", Value::Null),
        ("error_code", Value::Null),
        ("uri", json!(format!("/2010-04-01/Accounts/{SID}/{one}"))),
    ] {
        assert_eq!(begun[field], value, "{field}");
    }
    for (path, form, status) in [
        (one.as_str(), "Status=paused&PauseBehavior=skip", "paused"),
        (&format!("{of_call}/Twilio.CURRENT.json"), "Status=in-progress", "in-progress"),
        (&one, "Status=paused", "paused"),
        (&one, "Status=in-progress", "in-progress"),
    ] {
        let changed = rig.post(path, form);
        assert_eq!((&changed["status"], &changed["sid"]), (&json!(status), &json!(sid)), "{form}");
        assert_eq!(once(&rig, &sid, status)["duration"], Value::Null);
    }
    assert_eq!(rig.refused("DELETE", &one, ""), (409, 20_009), "it has not ended");
    assert_eq!(rig.refused("GET", &format!("Recordings/{sid}.wav"), ""), (409, 20_409));
    until("a second is recorded", || {
        let live = rig.edge.json(&format!("/v1/recordings/{sid}"));
        let file = rig.edge.file.with_file_name("recordings");
        let bytes = walk(&file);
        (live["state"] == "in-progress" && bytes > 16_000).then_some(())
    });
    assert_eq!(rig.post(&one, "Status=stopped")["status"], "stopped");
    let done = once(&rig, &sid, "completed");
    assert!(done["duration"].as_str().unwrap().parse::<u64>().unwrap() >= 1, "{done}");
    let media = done["media_url"].as_str().unwrap();
    assert_eq!(media, format!("{}/2010-04-01/Accounts/{SID}/Recordings/{sid}", rig.edge.url()));
    assert_eq!(
        done["subresource_uris"]["transcriptions"],
        format!("/2010-04-01/Accounts/{SID}/Recordings/{sid}/Transcriptions.json")
    );
    let fetched = rig.get(&one);
    assert_eq!((keys(&fetched), &fetched["duration"]), (keys(&begun), &done["duration"]));
    for list in
        [format!("{of_call}.json"), "Recordings.json".into(), format!("Recordings.json?CallSid={}", rig.edge.sid())]
    {
        assert_eq!(rig.get(&list)["recordings"].as_array().unwrap().len(), 1, "{list}");
    }
    assert_eq!(rig.ask("DELETE", &one, ""), (204, Value::Null));
    let gone = format!("Recordings/{sid}");
    for path in [format!("{gone}.json"), format!("{gone}.wav"), one] {
        assert_eq!(rig.refused("GET", &path, ""), (404, 20_404), "{path}");
    }
    assert_eq!(rig.refused("DELETE", &format!("{gone}.json"), ""), (404, 20_404), "once");
    assert_eq!(rig.get("Recordings.json")["recordings"], json!([]));
    let kept = &rig.get("Recordings.json?IncludeSoftDeleted=true")["recordings"][0];
    assert_eq!((&kept["status"], &kept["duration"]), (&json!("deleted"), &done["duration"]));
    assert_eq!(rig.get(&format!("{gone}.json?IncludeSoftDeleted=true"))["sid"], json!(sid));
}

/// Returns the total length of all files below a folder.
pub(crate) fn walk(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}

/// Records some tenths of a second of an active call; returns the SID of the recording.
fn recorded(rig: &Rig, form: &str) -> String {
    let of_call = format!("Calls/{}/Recordings", rig.edge.sid());
    let before = walk(&rig.edge.file.with_file_name("recordings"));
    let sid = rig.post(&format!("{of_call}.json"), form)["sid"].as_str().unwrap().to_owned();
    until("it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > before + 8_000).then_some(()));
    rig.post(&format!("{of_call}/{sid}.json"), "Status=stopped");
    once(rig, &sid, "completed");
    sid
}

#[test]
fn audio_is_sent_whole_or_in_ranges_to_the_account_alone() {
    let rig = Rig::new(RECORDING);
    let call = Call::set_up(&rig.edge, "audio", &rig.caller, &rig.callee);
    let _speaking = speaking(&rig.caller.rtp, call.near);
    let sid = recorded(&rig, "RecordingChannels=dual");
    let path = format!("Recordings/{sid}");
    let length = |headers: &HeaderMap| headers["content-length"].to_str().unwrap().parse::<u64>().unwrap();
    let (_, headers, _) = ask(&rig, "GET", &format!("{path}.wav"), &[]);
    let whole = length(&headers);
    for ending in ["", ".wav", ".mp3", ".wav?RequestedChannels=2"] {
        let (status, headers, body) = ask(&rig, "GET", &format!("{path}{ending}"), &[]);
        assert_eq!((status, &headers["content-type"], length(&headers)), (200, &"audio/wav".parse().unwrap(), whole));
        assert!(body.starts_with("RIFF"), "{ending}");
    }
    let (status, headers, body) = ask(&rig, "HEAD", &format!("{path}.wav"), &[]);
    assert_eq!((status, length(&headers), body.as_str()), (200, whole, ""));
    let (status, headers, body) = ask(&rig, "GET", &path, &[("range", "bytes=0-3")]);
    assert_eq!(
        (status, headers["content-range"].to_str().unwrap(), body.as_str()),
        (206, &*format!("bytes 0-3/{whole}"), "RIFF")
    );
    let (status, headers, body) = ask(&rig, "GET", &path, &[("range", &format!("bytes={whole}-"))]);
    assert_eq!((status, headers["content-range"].to_str().unwrap()), (416, &*format!("bytes */{whole}")));
    assert_shape(416, &serde_json::from_str(&body).unwrap());
    let url = format!("{}/2010-04-01/Accounts/{SID}/{path}", rig.edge.url());
    let (status, headers, body) = http_with_headers("GET", &url, &[], "");
    assert_eq!((status, headers.contains_key("www-authenticate")), (401, true));
    assert!(!body.contains("RIFF"));
    let (key, secret) = {
        let made = rig.post("Keys.json", "");
        (made["sid"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    };
    let (name, value) = authorization(&key, &secret);
    assert_eq!(http_with_headers("GET", &url, &[(name, &value)], "").0, 200, "a key as well");
    assert_eq!(rig.refused("GET", &format!("{path}.wav?RequestedChannels=1"), ""), (501, 20_501));
    assert_eq!(rig.refused("GET", &format!("{path}.ogx"), ""), (404, 20_404));
}

#[test]
fn lists_are_by_page_and_by_date_the_newest_first() {
    let rig = Rig::new(RECORDING);
    let call = Call::set_up(&rig.edge, "listed", &rig.caller, &rig.callee);
    let _speaking = speaking(&rig.caller.rtp, call.near);
    let mut sids: Vec<String> = (0..3).map(|_| recorded(&rig, "")).collect();
    sids.reverse();
    let of = |page: &Value| -> Vec<String> {
        page["recordings"].as_array().unwrap().iter().map(|one| one["sid"].as_str().unwrap().to_owned()).collect()
    };
    let first = rig.get("Recordings.json?PageSize=2");
    assert_eq!(of(&first), sids[..2]);
    let second = rig.get(first["next_page_uri"].as_str().unwrap());
    assert_eq!((of(&second), &second["next_page_uri"]), (sids[2..].to_vec(), &Value::Null));
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    for (query, count) in [
        (format!("DateCreated={today}"), 3),
        (format!("DateCreated%3E={today}"), 3),
        ("DateCreated%3C=2026-01-01".into(), 0),
        ("DateCreated=2026-01-01".into(), 0),
        ("CallSid=CA0".into(), 0),
        ("ConferenceSid=CF0".into(), 0),
    ] {
        assert_eq!(of(&rig.get(&format!("Recordings.json?{query}"))).len(), count, "{query}");
    }
    for query in ["DateCreated=x", "PageSize=0", "IncludeSoftDeleted=maybe", "PageToken=x", "Recording=x"] {
        assert_eq!(rig.refused("GET", &format!("Recordings.json?{query}"), ""), (400, 20_001), "{query}");
    }
}

#[test]
fn what_cannot_be_recorded_or_changed_is_an_error() {
    let rig = Rig::new(RECORDING);
    let call = Call::set_up(&rig.edge, "wrong", &rig.caller, &rig.callee);
    let sid = rig.edge.sid();
    let list = format!("Calls/{sid}/Recordings.json");
    let begun = rig.post(&list, "")["sid"].as_str().unwrap().to_owned();
    let (one, current) =
        (format!("Calls/{sid}/Recordings/{begun}.json"), format!("Calls/{sid}/Recordings/Twilio.CURRENT.json"));
    let none = format!("RE{}", "0".repeat(32));
    for (method, path, form, expected) in [
        ("POST", "Calls/CA0/Recordings.json".to_owned(), "", (404, 20_404)),
        ("GET", "Calls/CA0/Recordings.json".into(), "", (404, 20_404)),
        ("GET", format!("Recordings/{none}.json"), "", (404, 20_404)),
        ("GET", format!("Recordings/{none}"), "", (404, 20_404)),
        ("DELETE", format!("Recordings/{none}.json"), "", (404, 20_404)),
        ("POST", format!("Calls/{sid}/Recordings/{none}.json"), "Status=stopped", (404, 20_404)),
        ("GET", format!("Calls/CA0/Recordings/{begun}.json"), "", (404, 20_404)),
        ("PUT", "Recordings.json".into(), "", (405, 20_004)),
        ("POST", "Recordings.json".into(), "", (405, 20_004)),
        ("POST", list.clone(), "RecordingChannels=stereo", (400, 20_001)),
        ("POST", list.clone(), "RecordingTrack=left", (400, 20_001)),
        ("POST", list.clone(), "Trim=yes", (400, 20_001)),
        ("POST", list.clone(), "RecordingStatusCallbackEvent=done", (400, 20_001)),
        ("POST", list.clone(), "RecordingStatusCallback=ftp%3A%2F%2Fa", (400, 21_205)),
        ("POST", list.clone(), "RecordingConfigurationId=1", (501, 20_501)),
        ("POST", one.clone(), "", (400, 20_001)),
        ("POST", one.clone(), "Status=deleted", (400, 20_001)),
        ("POST", one.clone(), "Status=stopped&PauseBehavior=skip", (400, 20_001)),
        ("POST", one.clone(), "Status=paused&PauseBehavior=beep", (400, 20_001)),
        ("GET", format!("Recordings/{begun}/AddOnResults.json"), "", (501, 20_501)),
        ("GET", "Recordings/RE0/Transcriptions.json".into(), "", (404, 20_404)),
    ] {
        assert_eq!(rig.refused(method, &path, form), expected, "{method} {path} {form}");
    }
    rig.post(&current, "Status=stopped");
    assert_eq!(rig.refused("POST", &one, "Status=in-progress"), (400, 21_220), "it has ended");
    assert_eq!(rig.refused("POST", &current, "Status=paused"), (404, 20_404), "none is being made");
    // Of a thousand requests at once, each is answered, and the call continues.
    let answers: Vec<u16> =
        (0..500).flat_map(|_| [rig.ask("POST", &list, "").0, rig.ask("POST", &current, "Status=stopped").0]).collect();
    let count = |code: u16| answers.iter().filter(|answer| **answer == code).count();
    assert_eq!((count(201), count(200)), (63, 63), "64 of a call");
    assert_eq!(answers.len(), count(201) + count(200) + count(400) + count(404));
    call.hang_up(2, &rig.caller, &rig.callee);
    until("the call is over", || (rig.get(&format!("Calls/{sid}.json"))["status"] == "completed").then_some(()));
    assert_eq!(rig.refused("POST", &list, ""), (400, 21_220));
    assert_eq!(rig.refused("POST", &one, "Status=paused"), (400, 21_220));
    assert_eq!(rig.get(&list)["recordings"].as_array().unwrap().len(), 50, "the first page");
    let without = Rig::new("");
    let _call = Call::set_up(&without.edge, "off", &without.caller, &without.callee);
    assert_eq!(without.refused("POST", &format!("Calls/{}/Recordings.json", without.edge.sid()), ""), (400, 21_220));
    assert_eq!(without.get("Recordings.json")["recordings"], json!([]));
}

#[test]
fn receivers_are_notified_of_the_beginning_and_the_end_in_order_and_after_a_kill() {
    let receiver = Endpoint::taking();
    let notify = format!("{RECORDING}url = \"http://{}/all\"\n", receiver.address);
    let rig = Rig::new(&notify);
    let call = Call::set_up(&rig.edge, "told", &rig.caller, &rig.callee);
    let speaker = speaking(&rig.caller.rtp, call.near);
    let events = "RecordingStatusCallbackEvent=in-progress&RecordingStatusCallbackEvent=completed+absent";
    let wanted = format!("RecordingStatusCallback=http%3A%2F%2F{}%2Fown&{events}", receiver.address);
    let sid = recorded(&rig, &wanted);
    let both = [("in-progress".to_owned(), sid.clone()), ("completed".to_owned(), sid.clone())];
    for of in ["/own", "/all"] {
        until(of, || (reports(&receiver.posts(), of) == both).then_some(()));
    }
    let posts = receiver.posts();
    let last = posts.iter().rfind(|post| path(post) == "/own").unwrap();
    let url = format!("http://{}/own", receiver.address);
    assert_eq!(last.headers["x-twilio-signature"], trunkgate_media::agent::sign_form(TOKEN, &url, &form(last)));
    for (name, value) in [
        ("AccountSid", SID),
        ("CallSid", &rig.edge.sid()),
        ("RecordingUrl", &format!("{}/2010-04-01/Accounts/{SID}/Recordings/{sid}", rig.edge.url())),
        ("RecordingDuration", "1"),
        ("RecordingChannels", "1"),
        ("RecordingSource", "StartCallRecordingAPI"),
        ("RecordingTrack", "both"),
        ("ErrorCode", "0"),
    ] {
        assert_eq!(parameter(last, name), value, "{name}");
    }
    // The edge is killed during another recording: the next start completes the file and reports it.
    let path_of_call = format!("Calls/{}/Recordings.json", rig.edge.sid());
    let before = walk(&rig.edge.file.with_file_name("recordings"));
    let cut = rig.post(&path_of_call, &wanted)["sid"].as_str().unwrap().to_owned();
    until("it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > before + 8_000).then_some(()));
    drop(speaker);
    let rig = rig.restart();
    until("its end is reported", || {
        reports(&receiver.posts(), "/own").contains(&("completed".to_owned(), cut.clone())).then_some(())
    });
    once(&rig, &cut, "completed");
}

#[test]
fn a_silent_recording_that_is_trimmed_is_absent_and_sound_remains() {
    let receiver = Endpoint::taking();
    let rig = Rig::new(RECORDING);
    let call = Call::set_up(&rig.edge, "trimmed", &rig.caller, &rig.callee);
    let of_call = format!("Calls/{}/Recordings", rig.edge.sid());
    let form = format!(
        "Trim=trim-silence&RecordingStatusCallback=http%3A%2F%2F{}%2Fown&RecordingStatusCallbackEvent=absent",
        receiver.address
    );
    let begin = || rig.post(&format!("{of_call}.json"), &form)["sid"].as_str().unwrap().to_owned();
    let quiet = begin();
    until("it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > 8_000).then_some(()));
    rig.post(&format!("{of_call}/{quiet}.json"), "Status=stopped");
    assert_eq!(once(&rig, &quiet, "absent")["error_code"], json!(16_102));
    until("it is reported", || {
        (reports(&receiver.posts(), "/own") == [("absent".to_owned(), quiet.clone())]).then_some(())
    });
    assert_eq!(parameter(&receiver.posts()[0], "ErrorCode"), "16102");
    assert_eq!(rig.refused("GET", &format!("Recordings/{quiet}.wav"), ""), (404, 20_404));
    let spoken = begin();
    let more = |bytes: u64| {
        until("more is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > bytes).then_some(()))
    };
    more(32_000);
    let speaker = speaking(&rig.caller.rtp, call.near);
    more(48_000);
    drop(speaker);
    more(64_000);
    rig.post(&format!("{of_call}/{spoken}.json"), "Status=stopped");
    once(&rig, &spoken, "completed");
    let entry = rig.edge.json(&format!("/v1/recordings/{spoken}"));
    let (bytes, milliseconds) = (entry["bytes"].as_u64().unwrap(), entry["duration_ms"].as_u64().unwrap());
    assert_eq!(bytes, 80 + milliseconds * 16);
    assert!((500..=2_600).contains(&milliseconds), "two of four seconds are silence: {entry}");
    assert_eq!(rig.edge.post(&format!("/v1/recordings/{spoken}/verify"), &json!({})).1["intact"], true);
}

/// Starts an edge with recording, and with a web application.
fn app_rig(application: &Endpoint, keys: &str) -> apps::Rig {
    let url = format!("http://{}/voice", application.address);
    let app =
        format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n[recording]\ndirectory = \"recordings\"\n{keys}");
    apps::Rig::new(&app, r#""app:ivr""#, &[])
}

fn posted(application: &Endpoint, wanted: &str) -> Post {
    until(wanted, || application.posts().into_iter().find(|post| path(post) == wanted))
}

/// Returns the status and the audio for the URL in a request, fetched as its application does.
fn audio(post: &Post) -> (u16, String) {
    let (name, value) = authorization(apps::ACCOUNT, apps::TOKEN);
    let (status, _, body) = http_with_headers("GET", &parameter(post, "RecordingUrl"), &[(name, &value)], "");
    (status, body)
}

#[test]
fn a_voicemail_is_recorded_after_the_tone_and_its_action_has_the_audio() {
    let application = application(&[
        ("/voice", "<Record action='/done' finishOnKey='#' recordingStatusCallback='/recording'/>"),
        ("/done", "<Hangup/>"),
        ("/recording", ""),
    ]);
    let rig = app_rig(&application, "");
    rig.invite();
    let ok = rig.answered();
    let caller = rig.caller.rtp.try_clone().unwrap();
    until("the recording begins", || {
        let call = rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()));
        call["recordings"].get(0).is_some().then_some(())
    });
    let speaker = speaking(&caller, media_of(&ok));
    until("some of it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > 16_000).then_some(()));
    drop(speaker);
    rig.press(&ok, 11, 4_000);
    let done = posted(&application, "/done");
    assert_eq!(parameter(&done, "Digits"), "#");
    assert!(parameter(&done, "RecordingDuration").parse::<u64>().unwrap() >= 1);
    rig.hung_up();
    let told = posted(&application, "/recording");
    assert_eq!(parameter(&told, "RecordingSid"), parameter(&done, "RecordingSid"));
    assert_eq!(
        (parameter(&told, "RecordingSource"), parameter(&told, "RecordingStatus")),
        ("RecordVerb".into(), "completed".into())
    );
    assert!(matches!(audio(&told), (200, body) if body.starts_with("RIFF")));
}

/// A recording is played by its URL: that of the listener, that of `public_url`, and, with the proxy, that of Twilio.
#[test]
fn a_caller_hears_the_message_that_it_has_left() {
    for (http, api) in [("", ""), (PUBLIC_URL, ""), ("", "proxy = true\n")] {
        let application = Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), |_, post, stream| {
            let document = match path(post) {
                "/voice" => "<Record action='/done' finishOnKey='#' playBeep='false'/>".to_owned(),
                _ => {
                    let url = parameter(post, "RecordingUrl");
                    let other = url.split("/Recordings").next().filter(|account| account.starts_with("http://127."));
                    let other = other.map(|account| format!("<Play>{account}/Calls.json</Play>")).unwrap_or_default();
                    format!("{other}<Play>{url}.mp3</Play><Hangup/>")
                }
            };
            let body = format!("<Response>{document}</Response>");
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close";
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).is_ok()
        });
        let url = format!("http://{}/voice", application.address);
        let app =
            format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n[recording]\ndirectory = \"recordings\"\n");
        let rig = apps::Rig::with((http, api), &app, r#""app:ivr""#, &[], &[]);
        rig.invite();
        let ok = rig.answered();
        let speaker = speaking(&rig.caller.rtp, media_of(&ok));
        until("some of it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > 16_000).then_some(()));
        drop(speaker);
        rig.press(&ok, 11, 40_000);
        let is_message = |packet: &[u8]| packet.get(12..).is_some_and(|codes| codes.iter().all(|code| *code == 0x21));
        until("the message is heard", || is_message(&received(&rig.caller.rtp).0).then_some(()));
        rig.hung_up();
        let trace = rig.trace();
        assert!(trace.contains(" of the edge itself ("), "{trace}");
        if http.is_empty() && api.is_empty() {
            assert!(
                trace.contains("11205") && trace.contains("the edge's own listener"),
                "other paths stay closed: {trace}"
            );
        }
    }
}

#[test]
fn a_transcribed_record_has_its_text_in_a_callback_and_in_the_api_until_it_is_deleted() {
    let service = Endpoint::doing(|_, stream| {
        let body = r#"{"text":"Please call me back."}"#;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok()
    });
    let record = r##"<Record action="/done" finishOnKey="#" playBeep="false" transcribeCallback="/text"/>"##;
    let documents: Vec<(&'static str, &'static str)> = vec![("/voice", record), ("/done", "<Hangup/>"), ("/text", "")];
    let application = application(Vec::leak(documents));
    let keys = format!("[transcription]\nurl = \"http://{}/v1/audio/transcriptions\"\n", service.address);
    let rig = app_rig(&application, &keys);
    rig.invite();
    let ok = rig.answered();
    let speaker = speaking(&rig.caller.rtp, media_of(&ok));
    until("some of it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > 16_000).then_some(()));
    drop(speaker);
    rig.press(&ok, 11, 4_000);
    let done = posted(&application, "/done");
    rig.hung_up();
    let text = posted(&application, "/text");
    let (recording, sid) = (parameter(&done, "RecordingSid"), parameter(&text, "TranscriptionSid"));
    for (name, value) in [
        ("TranscriptionText", "Please call me back."),
        ("TranscriptionStatus", "completed"),
        ("RecordingSid", &recording),
        ("CallSid", &parameter(&done, "CallSid")),
        ("From", &parameter(&done, "From")),
        ("To", &parameter(&done, "To")),
        ("AccountSid", apps::ACCOUNT),
    ] {
        assert_eq!(parameter(&text, name), value, "{name}");
    }
    let url = format!("http://{}/text", application.address);
    let signature = trunkgate_media::agent::sign_form(apps::TOKEN, &url, &form(&text));
    assert_eq!(text.headers["x-twilio-signature"], signature);
    assert!(service.posts()[0].body.contains("RIFF"), "the audio");
    let account = format!("{}/2010-04-01/Accounts/{}", rig.edge.url(), apps::ACCOUNT);
    assert_eq!(parameter(&text, "TranscriptionUrl"), format!("{account}/Recordings/{recording}/Transcriptions/{sid}"));
    let ask = |method: &str, path: &str| {
        let (name, value) = authorization(apps::ACCOUNT, apps::TOKEN);
        let (status, _, body) = http_with_headers(method, &format!("{account}/{path}"), &[(name, &value)], "");
        (status, serde_json::from_str::<Value>(&body).unwrap_or(Value::String(body)))
    };
    let (status, shown) = ask("GET", &format!("Transcriptions/{sid}.json"));
    assert_eq!((status, &shown["transcription_text"]), (200, &json!("Please call me back.")));
    assert_eq!((&shown["status"], &shown["recording_sid"]), (&json!("completed"), &json!(recording)));
    for list in [format!("Recordings/{recording}/Transcriptions.json"), "Transcriptions.json?PageSize=1".to_owned()] {
        assert_eq!(ask("GET", &list).1["transcriptions"], json!([shown]), "{list}");
    }
    let one = format!("Recordings/{recording}/Transcriptions/{sid}");
    assert_eq!(ask("GET", &format!("{one}.json")), (200, shown));
    assert_eq!(ask("GET", &format!("{one}.txt")), (200, json!("Please call me back.")));
    let own = &rig.edge.json(&format!("/v1/recordings/{recording}"))["transcriptions"][0];
    assert_eq!((&own["state"], &own["text"]), (&json!("completed"), &json!("Please call me back.")));
    let by_verb = finish(&["recordings", "--url", &rig.edge.url(), "show", &recording]);
    let by_verb = String::from_utf8(by_verb.stdout).unwrap();
    assert!(by_verb.ends_with("\ntranscription  completed: Please call me back.\n"), "{by_verb}");
    for path in [format!("Recordings/RE0/Transcriptions/{sid}.json"), "Transcriptions/TR0.json".to_owned()] {
        assert_eq!(ask("GET", &path).0, 404, "{path}");
        assert_eq!(ask("DELETE", &path).0, 404, "{path}");
    }
    assert_eq!(ask("DELETE", &format!("Transcriptions/{sid}.json")).0, 204);
    assert_eq!(ask("GET", "Transcriptions.json").1["transcriptions"], json!([]));
}

#[test]
fn a_caller_that_hangs_up_leaves_its_message() {
    let application = application(&[("/voice", r#"<Record action="/done" playBeep="false"/>"#), ("/done", "")]);
    let rig = app_rig(&application, "");
    rig.invite();
    let ok = rig.answered();
    let speaker = speaking(&rig.caller.rtp, media_of(&ok));
    until("some of it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > 16_000).then_some(()));
    let sip = rig.edge.address("udp");
    let tag = crate::support::sip::to_tag(&ok);
    rig.caller
        .sip
        .send(sip, &rig.caller.sip.request_with("BYE", crate::support::calls::NUMBER, sip, "app", (2, tag), ""));
    drop(speaker);
    let done = posted(&application, "/done");
    assert_eq!((parameter(&done, "Digits"), parameter(&done, "CallStatus")), ("hangup".into(), "completed".into()));
    assert!(parameter(&done, "RecordingDuration").parse::<u64>().unwrap() >= 1);
    assert!(matches!(audio(&done), (200, body) if body.starts_with("RIFF")));
}

#[test]
fn a_dial_is_recorded_and_its_action_has_the_recording() {
    let dial = r#"<Dial record="record-from-answer-dual" action="/after" recordingStatusCallback="/recording"
        recordingStatusCallbackEvent="in-progress completed">+14155550199</Dial>"#;
    let documents: Vec<(&'static str, &'static str)> =
        vec![("/voice", dial), ("/after", "<Hangup/>"), ("/recording", "")];
    let application = application(Vec::leak(documents));
    let rig = app_rig(&application, "");
    rig.invite();
    let ok = rig.answered();
    let called = rig.pbx_answers();
    let speakers = [speaking(&rig.caller.rtp, media_of(&ok)), speaking(&rig.pbx.rtp, media_of(&called.0))];
    until("some of it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > 32_000).then_some(()));
    drop(speakers);
    rig.pbx_hangs_up(&called);
    let after = posted(&application, "/after");
    rig.hung_up();
    let sid = parameter(&after, "RecordingSid");
    let expected = ["in-progress", "completed"].map(|status| (status.to_owned(), sid.clone()));
    until("both are reported", || (reports(&application.posts(), "/recording") == expected).then_some(()));
    assert_eq!(parameter(&after, "DialCallStatus"), "completed");
    assert!(matches!(audio(&after), (200, body) if body.starts_with("RIFF")));
}

#[test]
fn an_edge_without_files_is_named_by_its_public_url_or_by_twilios() {
    for (keys, base) in [(PUBLIC_URL, "https://edge.example.com"), ("", "https://api.twilio.com")] {
        let proxy = if keys.is_empty() { "proxy = true\n" } else { "" };
        let rig = Rig::with(keys, &format!("{proxy}{RECORDING}"));
        let call = Call::set_up(&rig.edge, "named", &rig.caller, &rig.callee);
        let begun = rig.post(&format!("Calls/{}/Recordings.json", rig.edge.sid()), "");
        let sid = begun["sid"].as_str().unwrap();
        let shown = once(&rig, sid, "in-progress");
        assert_eq!(shown["media_url"], format!("{base}/2010-04-01/Accounts/{SID}/Recordings/{sid}"));
        call.hang_up(2, &rig.caller, &rig.callee);
    }
}
