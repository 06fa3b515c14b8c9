//! Speech input of applications, through the real binary: a scripted recogniser on a real WebSocket, and callers'
//! audio.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};
use trunkgate_media::agent::sign_form;
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::rtp::RtpHeader;

use crate::apps::{Rig, TOKEN, application, form, parameter, path};
use crate::console::Follower;
use crate::support::calls::{Speaking, media_of, received};
use crate::support::codecs::{Codec, Speaker, tone};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::{closed_address, trunkgate, until};
use crate::twilio_api;
use crate::upgrade::upgrade;

type Socket = WebSocket<TcpStream>;

/// Data that a recogniser has received in one session.
#[derive(Debug, Clone, Default)]
struct Session {
    uri: String,
    authorization: String,
    start: Value,
    audio: Vec<u8>,
    is_stopped: bool,
}

impl Session {
    /// Returns the loudest sample of the session's audio.
    fn peak(&self) -> u16 {
        let pairs = self.audio.as_chunks::<2>().0;
        pairs.iter().map(|pair| i16::from_le_bytes(*pair).unsigned_abs()).max().unwrap_or_default()
    }
}

/// Running speech recogniser; its threads end with the test.
struct Recogniser {
    address: SocketAddr,
    sessions: Arc<Mutex<Vec<Session>>>,
}

/// Step in the script of a session.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Waits for audio of the caller that is not silent.
    Hear,
    /// Waits for 200 ms of further audio.
    More,
    /// Sends a partial result.
    Partial(&'static str),
    /// Sends a final result with its confidence.
    Final(&'static str, f64),
    /// Sends a text unchanged.
    Say(&'static str),
    /// Closes the connection in order.
    Leave,
    /// Breaks the connection.
    Die,
}

impl Recogniser {
    /// Starts a recogniser that runs the same script in each session.
    fn doing(script: &'static [Act]) -> Recogniser {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sessions);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept, script));
            }
        });
        Recogniser { address, sessions }
    }

    /// Returns the section `[recognition]` for this recogniser.
    fn keys(&self) -> String {
        format!("[recognition]\nurl = \"ws://{}/stream?model=small\"\ntoken = \"hunter2\"\n", self.address)
    }

    fn sessions(&self) -> Vec<Session> {
        self.sessions.lock().unwrap().clone()
    }

    /// Waits until the first session satisfies a condition.
    fn first(&self, what: &str, wanted: impl Fn(&Session) -> bool) -> Session {
        until(what, || self.sessions().into_iter().next().filter(&wanted))
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Session>>, script: &[Act]) {
    let mut session = Session::default();
    #[expect(clippy::result_large_err, reason = "the library's own")]
    let look = |request: &Request, response: Response| {
        session.uri = request.uri().to_string();
        session.authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr(stream, look) else { return };
    let at = {
        let mut kept = kept.lock().unwrap();
        kept.push(session);
        kept.len() - 1
    };
    let with = |change: &dyn Fn(&mut Session)| change(&mut kept.lock().unwrap()[at]);
    // Reads one message; returns `false` at the end.
    let take = |socket: &mut Socket| match socket.read() {
        Ok(Message::Binary(audio)) => {
            with(&|session| session.audio.extend_from_slice(&audio));
            true
        }
        Ok(Message::Text(text)) => {
            let text: Value = serde_json::from_str(&text).unwrap();
            with(&|session| match text["type"].as_str().unwrap() {
                "start" => session.start = text.clone(),
                "stop" => session.is_stopped = true,
                other => panic!("{other}"),
            });
            // The server closes the connection, as with jambonz.
            !matches!(text["type"].as_str(), Some("stop"))
        }
        Ok(Message::Close(_)) | Err(_) => false,
        Ok(_) => true,
    };
    for act in script {
        match *act {
            Act::Hear => {
                while kept.lock().unwrap()[at].peak() < 500 {
                    if !take(&mut socket) {
                        return;
                    }
                }
            }
            Act::More => {
                let enough = kept.lock().unwrap()[at].audio.len() + 3200;
                while kept.lock().unwrap()[at].audio.len() < enough {
                    if !take(&mut socket) {
                        return;
                    }
                }
            }
            Act::Partial(text) => say(&mut socket, &result(text, false, None)),
            Act::Final(text, confidence) => say(&mut socket, &result(text, true, Some(confidence))),
            Act::Say(text) => say(&mut socket, text),
            Act::Leave => break,
            Act::Die => return,
        }
    }
    while !script.iter().any(|act| matches!(act, Act::Leave)) && take(&mut socket) {}
    let _ = socket.close(None);
    while socket.read().is_ok() {}
}

fn say(socket: &mut Socket, text: &str) {
    let _ = socket.send(Message::text(text));
}

fn result(text: &str, is_final: bool, confidence: Option<f64>) -> String {
    let alternative = json!({ "transcript": text, "confidence": confidence });
    let message =
        json!({ "type": "transcription", "is_final": is_final, "alternatives": [alternative], "language": "en-US" });
    message.to_string()
}

/// Starts an edge with a recogniser and an application; returns the edge with an answered call in which the caller
/// speaks.
fn spoken_to(recogniser: &str, application: &Endpoint) -> (Rig, String, Speaking) {
    let url = format!("http://{}/voice", application.address);
    let app = format!("{recogniser}[app.ivr]\nurl = \"{url}\"\nallow_private = true\n");
    let rig = Rig::new(&app, r#""app:ivr""#, &[]);
    rig.invite();
    let ok = rig.answered();
    let speaking = Speaking::new(&rig.caller.rtp, media_of(&ok), g711_tone);
    (rig, ok, speaking)
}

/// Returns a packet of a 500 Hz tone in PCMU.
fn g711_tone(n: u16) -> Vec<u8> {
    let samples = tone(Codec::Pcmu, usize::from(n) * 160, 160);
    let payload: Vec<u8> = samples.into_iter().map(encode_ulaw).collect();
    Codec::Pcmu.packet(usize::from(n), 0, &payload)
}

/// Waits for the application's first request for a path.
fn asked(application: &Endpoint, wanted: &str) -> Post {
    until(wanted, || application.posts().into_iter().find(|post| path(post) == wanted))
}

#[test]
fn speech_goes_to_the_action_and_its_parts_to_the_callback_in_order() {
    let recogniser = Recogniser::doing(&[
        Act::Hear,
        Act::Partial("put me"),
        Act::More,
        Act::Partial("put me through"),
        Act::More,
        Act::Final("Put me through to sales.", 0.925),
    ]);
    let application = application(&[
        (
            "/voice",
            r#"<Gather input="speech" timeout="60" speechTimeout="auto" language="en-GB" hints="sales, tech support"
                       speechModel="phone_call" action="/said" partialResultCallback="/partial"/>"#,
        ),
        ("/partial", ""),
        ("/said", "<Hangup/>"),
    ]);
    let (rig, _, _speaking) = spoken_to(&recogniser.keys(), &application);
    let said = asked(&application, "/said");
    rig.hung_up();
    let value = |name: &str| parameter(&said, name);
    assert_eq!((value("SpeechResult").as_str(), value("Confidence").as_str()), ("Put me through to sales.", "0.925"));
    assert_eq!((value("Language").as_str(), value("CallSid")), ("en-GB", rig.edge.sid()));
    assert!(form(&said).iter().all(|(name, _)| name != "Digits"), "{said:?}");
    let url = format!("http://{}/said", application.address);
    assert_eq!(said.headers["x-twilio-signature"], sign_form(TOKEN, &url, &form(&said)));
    asked(&application, "/partial");
    let partial: Vec<Post> = application.posts().into_iter().filter(|post| path(post) == "/partial").collect();
    let numbers: Vec<String> = partial.iter().map(|post| parameter(post, "SequenceNumber")).collect();
    assert!(numbers.is_sorted() && numbers.first().is_some_and(|first| first == "0"), "{numbers:?}");
    assert_eq!(parameter(&partial[0], "UnstableSpeechResult"), "put me");
    assert_eq!(parameter(&partial[0], "StableSpeechResult"), "");
    let session = recogniser.first("it gets `stop`", |session| session.is_stopped);
    assert_eq!((session.uri.as_str(), session.authorization.as_str()), ("/stream?model=small", "Bearer hunter2"));
    let start = json!({
        "type": "start", "language": "en-GB", "format": "raw", "encoding": "LINEAR16", "interimResults": true,
        "sampleRateHz": 8000,
        "options": {
            "hints": ["sales", "tech support"], "model": "phone_call", "enhanced": false, "profanityFilter": true,
            "callSid": rig.edge.sid(),
        },
    });
    assert_eq!(session.start, start);
    assert!((7000..9000).contains(&session.peak()), "the caller's audio, not the edge's: {}", session.peak());
    let trace = rig.trace();
    assert!(trace.contains("recogniser: connected after") && trace.contains("speech of 5 words"), "{trace}");
    let (log, calls) = (rig.edge.whole_log(), rig.edge.get("/v1/calls").1);
    for shown in [&trace, &log, &calls] {
        assert!(!shown.contains("me through") && !shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(rig.edge.metric("trunkgate_recognition_total{result=\"speech\"}"), 1.0);
    until("the session is over", || (rig.edge.metric("trunkgate_recognition_sessions") == 0.0).then_some(()));
}

/// The recogniser serves one utterance for each connection.
#[test]
fn a_call_is_transcribed_live_and_what_is_said_goes_to_the_callback_and_to_the_events() {
    let recogniser = Recogniser::doing(&[
        Act::Hear,
        Act::Partial("put me"),
        Act::More,
        Act::Final("Put me through.", 0.925),
        Act::Leave,
    ]);
    let application = application(&[
        (
            "/voice",
            r#"<Start><Transcription name="notes" statusCallbackUrl="/heard" partialResults="true" languageCode="en-GB"/></Start>
               <Play loop="0">/menu.wav</Play>"#,
        ),
        ("/heard", ""),
    ]);
    let (rig, _, _speaking) = spoken_to(&format!("{}events = true\n", recogniser.keys()), &application);
    let mut follower = Follower::begin(&rig.edge);
    let heard = || application.posts().into_iter().filter(|post| path(post) == "/heard").collect::<Vec<_>>();
    let is = |post: &Post, event: &str| parameter(post, "TranscriptionEvent") == event;
    let finals = |track: &str| {
        let all = heard();
        let of_track = |post: &&Post| {
            is(post, "transcription-content") && parameter(post, "Final") == "true" && parameter(post, "Track") == track
        };
        all.iter().filter(of_track).count()
    };
    let have_both = || (finals("inbound_track") > 1 && finals("outbound_track") > 1).then_some(());
    until("both tracks are heard, also after the first utterance", have_both);
    let (_, data) = follower.next(&["call.transcribed"]);
    assert_eq!(data["sid"], rig.edge.sid().as_str(), "{data}");
    assert!(["inbound_track", "outbound_track"].contains(&data["track"].as_str().unwrap()), "{data}");
    assert_eq!(data["final"].as_bool().unwrap(), data["text"] == "Put me through.", "{data}");
    assert_eq!(rig.edge.metric("trunkgate_recognition_sessions"), 2.0);
    assert_eq!(rig.edge.delete(&format!("/v1/calls/{}", rig.edge.sid())).0, 202);
    rig.hung_up();
    let stopped = until("the end is reported", || heard().into_iter().find(|post| is(post, "transcription-stopped")));
    let started = heard().into_iter().find(|post| is(post, "transcription-started")).unwrap();
    assert_eq!((parameter(&started, "SequenceId").as_str(), parameter(&started, "Name").as_str()), ("1", "notes"));
    assert_eq!(parameter(&started, "TranscriptionSid"), parameter(&stopped, "TranscriptionSid"));
    let number = |post: &Post| parameter(post, "SequenceId").parse::<u64>().unwrap();
    assert!(heard().iter().all(|post| number(post) <= number(&stopped)));
    let (in_order, partial): (Vec<Post>, Vec<Post>) =
        heard().into_iter().partition(|post| form(post).iter().all(|(name, value)| name != "Final" || value == "true"));
    assert!(in_order.iter().map(number).is_sorted(), "callbacks keep their order");
    assert_eq!(parameter(&partial[0], "TranscriptionData"), r#"{"transcript":"put me"}"#);
    let said = in_order.iter().find(|post| is(post, "transcription-content")).unwrap();
    assert_eq!(parameter(said, "TranscriptionData"), r#"{"confidence":0.925,"transcript":"Put me through."}"#);
    let url = format!("http://{}/heard", application.address);
    assert_eq!(said.headers["x-twilio-signature"], sign_form(TOKEN, &url, &form(said)));
    let sessions = recogniser.sessions();
    assert!(sessions.len() > 3, "{}", sessions.len());
    assert!(sessions.iter().all(|session| session.authorization == "Bearer hunter2"));
    let (trace, log, calls) = (rig.trace(), rig.edge.whole_log(), rig.edge.get("/v1/calls").1);
    for shown in [&trace, &log, &calls] {
        assert!(!shown.to_lowercase().contains("put me") && !shown.contains("hunter2"), "{shown}");
    }
    until("the sessions are over", || (rig.edge.metric("trunkgate_recognition_sessions") == 0.0).then_some(()));
}

/// Script of a recogniser that sends two results, the second one after a second of audio.
const TWO_RESULTS: [Act; 8] = [
    Act::Hear,
    Act::Final("Put me", 0.925),
    Act::More,
    Act::More,
    Act::More,
    Act::More,
    Act::More,
    Act::Final("through.", 0.925),
];

/// Starts a call in which a document, or a request of the API, begins a live transcription of the caller, and replaces
/// the process of the edge. The recogniser is connected again, and the application gets the report of the end once,
/// under the same SID.
fn goes_on_in_another_process(rig: Rig, application: &Endpoint, by_request: bool, replace: impl FnOnce(Rig) -> Rig) {
    rig.invite();
    let ok = rig.answered();
    let _speaking = Speaking::new(&rig.caller.rtp, media_of(&ok), g711_tone);
    if by_request {
        let url = format!("http%3A%2F%2F{}%2Fheard", application.address);
        let body = format!("Track=inbound_track&Name=notes&StatusCallbackUrl={url}");
        twilio_api::posted(&rig.edge, &format!("Calls/{}/Transcriptions.json", rig.edge.sid()), &body);
    }
    let reports = || application.posts().into_iter().filter(|post| path(post) == "/heard").collect::<Vec<_>>();
    let is = |post: &Post, event: &str| parameter(post, "TranscriptionEvent") == event;
    let contents = || reports().iter().filter(|post| is(post, "transcription-content")).count();
    // With the second result the state file has the transcription as it was at the first one.
    until("words are heard twice", || (contents() > 1).then_some(()));
    let rig = replace(rig);
    let before = contents();
    until("words are heard again", || (contents() > before).then_some(()));
    if by_request {
        let notes = format!("Calls/{}/Transcriptions/notes.json", rig.edge.sid());
        assert_eq!(twilio_api::posted(&rig.edge, &notes, "Status=stopped")["status"], "stopped");
    }
    assert_eq!(rig.edge.delete(&format!("/v1/calls/{}", rig.edge.sid())).0, 202);
    rig.hung_up();
    until("the end is reported", || reports().iter().any(|post| is(post, "transcription-stopped")).then_some(()));
    let mut all = reports();
    // A report is sent again if its response was lost with the process.
    all.dedup_by_key(|post| form(post));
    for event in ["transcription-started", "transcription-stopped"] {
        assert_eq!(all.iter().filter(|post| is(post, event)).count(), 1, "{event}");
    }
    assert!(all.iter().all(|post| parameter(post, "TranscriptionSid") == parameter(&all[0], "TranscriptionSid")));
    let numbers: Vec<u64> = all.iter().map(|post| parameter(post, "SequenceId").parse().unwrap()).collect();
    assert!(numbers.iter().is_sorted_by(|one, next| one < next), "{numbers:?}");
    until("the sessions are over", || (rig.edge.metric("trunkgate_recognition_sessions") == 0.0).then_some(()));
}

#[test]
fn a_live_transcription_goes_on_over_an_upgrade() {
    let recogniser = Recogniser::doing(&TWO_RESULTS);
    let application = application(&[
        (
            "/voice",
            r#"<Start><Transcription track="inbound_track" statusCallbackUrl="/heard"/></Start><Gather timeout="60"/>"#,
        ),
        ("/heard", ""),
    ]);
    let url = format!("http://{}/voice", application.address);
    let app = format!("{}[app.ivr]\nurl = \"{url}\"\nallow_private = true\n", recogniser.keys());
    let mut successor = None;
    let rig = Rig::new(&app, r#""app:ivr""#, &[]);
    goes_on_in_another_process(rig, &application, false, |rig| {
        successor = Some(upgrade(&rig.edge.url()));
        rig
    });
}

#[test]
fn a_live_transcription_by_request_goes_on_after_a_kill() {
    let recogniser = Recogniser::doing(&TWO_RESULTS);
    let application = application(&[("/voice", r#"<Gather timeout="60"/>"#), ("/heard", "")]);
    let url = format!("http://{}/voice", application.address);
    let app = format!("{}[app.ivr]\nurl = \"{url}\"\nallow_private = true\n", recogniser.keys());
    let rig = Rig::with_state(&app, r#""app:ivr""#);
    goes_on_in_another_process(rig, &application, true, |rig| Rig { edge: rig.edge.kill_and_start_again(), ..rig });
}

#[test]
fn a_recogniser_that_dies_ends_a_live_transcription_and_not_the_call() {
    let recogniser = Recogniser::doing(&[Act::Hear, Act::Die]);
    let application = application(&[
        (
            "/voice",
            r#"<Start><Transcription track="inbound_track" statusCallbackUrl="/heard"/></Start><Gather timeout="60"/>"#,
        ),
        ("/heard", ""),
    ]);
    let (rig, _, _speaking) = spoken_to(&recogniser.keys(), &application);
    let is_error =
        |post: &Post| path(post) == "/heard" && parameter(post, "TranscriptionEvent") == "transcription-error";
    let failed = until("the failure is reported", || application.posts().into_iter().find(|post| is_error(post)));
    assert!(parameter(&failed, "TranscriptionError").starts_with("recogniser: "), "{failed:?}");
    assert_eq!(rig.edge.metric("trunkgate_recognition_sessions"), 0.0);
    assert_eq!(rig.edge.json("/v1/calls")["calls"][0]["state"], "answered");
    assert_eq!(rig.edge.delete(&format!("/v1/calls/{}", rig.edge.sid())).0, 202);
    rig.hung_up();
}

#[test]
fn the_first_word_stops_the_prompt() {
    let recogniser = Recogniser::doing(&[Act::Hear, Act::Partial("stop")]);
    let application = application(&[
        (
            "/voice",
            r#"<Gather input="speech" timeout="60" speechTimeout="8" action="/said"><Play loop="0">/menu.wav</Play></Gather>"#,
        ),
        ("/said", "<Hangup/>"),
    ]);
    let url = format!("http://{}/voice", application.address);
    let app = format!("{}[app.ivr]\nurl = \"{url}\"\nallow_private = true\n", recogniser.keys());
    let rig = Rig::new(&app, r#""app:ivr""#, &[]);
    rig.invite();
    let ok = rig.answered();
    rig.hears_the_prompt();
    let _speaking = Speaking::new(&rig.caller.rtp, media_of(&ok), g711_tone);
    let is_quiet = |packet: &[u8]| {
        let rtp = RtpHeader::parse(packet).unwrap();
        packet[rtp.payload].iter().all(|code| decode_ulaw(*code).unsigned_abs() < 100)
    };
    until("the prompt has stopped", || is_quiet(&received(&rig.caller.rtp).0).then_some(()));
    assert!(application.posts().iter().all(|post| path(post) != "/said"), "the caller may still speak");
    assert_eq!(parameter(&asked(&application, "/said"), "SpeechResult"), "stop");
    rig.hung_up();
}

#[test]
fn a_digit_ends_the_recognition() {
    let recogniser = Recogniser::doing(&[]);
    let application = application(&[
        ("/voice", r#"<Gather input="dtmf speech" numDigits="1" timeout="60" action="/chosen"/>"#),
        ("/chosen", "<Hangup/>"),
    ]);
    let url = format!("http://{}/voice", application.address);
    let app = format!("{}[app.ivr]\nurl = \"{url}\"\nallow_private = true\n", recogniser.keys());
    let rig = Rig::new(&app, r#""app:ivr""#, &[]);
    rig.invite();
    let ok = rig.answered();
    recogniser.first("it is there", |session| !session.start.is_null());
    rig.press(&ok, 5, 1);
    let chosen = asked(&application, "/chosen");
    assert_eq!(parameter(&chosen, "Digits"), "5");
    assert!(form(&chosen).iter().all(|(name, _)| name != "SpeechResult"), "{chosen:?}");
    recogniser.first("it gets `stop`", |session| session.is_stopped);
    rig.hung_up();
    assert_eq!(rig.edge.metric("trunkgate_recognition_total{result=\"silence\"}"), 1.0);
}

#[test]
fn a_recogniser_that_understands_nothing_is_no_input() {
    let recogniser = Recogniser::doing(&[Act::Hear, Act::Partial("")]);
    let application = application(&[
        ("/voice", r#"<Gather input="speech" timeout="1" action="/said"/><Redirect>/next</Redirect>"#),
        ("/next", r#"<Gather input="speech" timeout="1" actionOnEmptyResult="true" action="/empty"/>"#),
        ("/empty", "<Hangup/>"),
    ]);
    let (rig, _, _speaking) = spoken_to(&recogniser.keys(), &application);
    assert_eq!(parameter(&asked(&application, "/empty"), "SpeechResult"), "");
    rig.hung_up();
    let paths: Vec<String> = application.posts().iter().map(|post| path(post).to_owned()).collect();
    assert_eq!(paths, ["/voice", "/next", "/empty"]);
}

/// Each failure leads to the next verb, with the reason in trace, verdict, metric and status.
#[test]
fn a_recogniser_that_fails_leads_to_the_next_verb() {
    // The kernel completes the connection, but no process answers the handshake.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = closed_address();
    let keys = |address: SocketAddr| {
        format!("[recognition]\nurl = \"ws://{address}/\"\ntoken = \"hunter2\"\nconnect_timeout = \"300ms\"\n")
    };
    let (dies, babbles, complains) = (
        Recogniser::doing(&[Act::Hear, Act::Partial("ye"), Act::Die]),
        Recogniser::doing(&[Act::Hear, Act::Say("{garbage")]),
        Recogniser::doing(&[Act::Say(r#"{"type":"error","error":"no model"}"#)]),
    );
    for (keys, result, why) in [
        (keys(mute.local_addr().unwrap()), "connect_timeout", "not connected in time"),
        (keys(closed), "unreachable", "cannot be reached"),
        (dies.keys(), "reset", "reset"),
        (babbles.keys(), "protocol_error", "no valid JSON"),
        (complains.keys(), "protocol_error", "no model"),
    ] {
        let application = application(&[
            ("/voice", r#"<Gather input="speech" timeout="60" action="/said"/><Redirect>/next</Redirect>"#),
            ("/next", r#"<Gather input="dtmf speech" numDigits="1" timeout="60" action="/chosen"/>"#),
            ("/chosen", "<Hangup/>"),
        ]);
        let (rig, ok, speaking) = spoken_to(&keys, &application);
        asked(&application, "/next");
        let counter = format!("trunkgate_recognition_total{{result=\"{result}\"}}");
        until("both have failed", || (rig.edge.metric(&counter) == 2.0).then_some(()));
        // The call continues, and digits are still collected.
        drop(speaking);
        rig.press(&ok, 7, 2000);
        assert_eq!(parameter(&asked(&application, "/chosen"), "Digits"), "7", "{result}");
        let status = rig.edge.get("/v1/status").1;
        let problem = "the recogniser failed in 2 of 2 recognitions of the last hour";
        assert!(status.contains(problem) && status.contains(why), "{result}: {status}");
        rig.hung_up();
        assert!(rig.trace().contains("speech is not recognised: recogniser: "), "{}", rig.trace());
        let verdict = until("the call has its verdict", || {
            let verdict = rig.verdict();
            verdict.contains("Speech of the caller was not recognised").then_some(verdict)
        });
        assert!(verdict.contains(why), "{result}: {verdict}");
    }
}

#[test]
fn a_caller_with_opus_is_recognised_at_16_khz() {
    let recogniser = Recogniser::doing(&[Act::Hear, Act::Final("yes", 1.0)]);
    let application = application(&[
        ("/voice", r#"<Gather input="speech" timeout="60" speechTimeout="auto" action="/said"/>"#),
        ("/said", "<Hangup/>"),
    ]);
    let url = format!("http://{}/voice", application.address);
    let keys = format!("{}format = \"l16/16000\"\n", recogniser.keys());
    let rig = Rig::new(&format!("{keys}[app.ivr]\nurl = \"{url}\"\nallow_private = true\n"), r#""app:ivr""#, &[]);
    let mut speaker = Speaker::new(Codec::Opus, true);
    let packets: Vec<Vec<u8>> =
        (0..500).map(|n| Codec::Opus.packet(n, 107, &speaker.say(&tone(Codec::Opus, n * 160, 160)))).collect();
    let last = packets.len() - 1;
    let sip = rig.edge.address("udp");
    let offer = Codec::Opus.sdp(&rig.caller);
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("INVITE", "+14155550123", sip, "app", (1, ""), &offer));
    let ok = rig.answered();
    let _speaking = Speaking::new(&rig.caller.rtp, media_of(&ok), move |n| packets[usize::from(n).min(last)].clone());
    assert_eq!(parameter(&asked(&application, "/said"), "SpeechResult"), "yes");
    let session = recogniser.first("it has heard", |session| !session.audio.is_empty());
    assert_eq!(session.start["sampleRateHz"], 16_000);
    assert!(session.peak() > 4000, "{}", session.peak());
    rig.hung_up();
}

#[test]
fn check_warns_of_speech_without_a_recogniser_and_of_one_without_use() {
    let folder = tempfile::tempdir().unwrap();
    let menu = "<Response>\n<Gather input=\"dtmf speech\"/>\n</Response>";
    std::fs::write(folder.path().join("menu.xml"), menu).unwrap();
    let trunk = "[trunk.a]\npeers = [\"sip:192.0.2.1\"]\n";
    let route = "[[route]]\nconnect = [\"app:menu\"]\n[app.menu]\nfile = \"menu.xml\"\n";
    let checked = |text: String| {
        let file = folder.path().join("trunkgate.toml");
        std::fs::write(&file, text).unwrap();
        let output = trunkgate(&["check", "--config", file.to_str().unwrap()]).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let told = checked(format!("{trunk}{route}"));
    assert!(told.contains("<Gather> of speech without a [recognition]") && told.contains("menu.xml:2:1"), "{told}");
    let told = checked(format!("{trunk}{route}[recognition]\nurl = \"wss://asr.example.com/stream\"\n"));
    assert!(!told.contains("[recognition]"), "{told}");
    let route = "[[route]]\nconnect = [\"trunk:a\"]\n";
    let told = checked(format!("{trunk}{route}[recognition]\nurl = \"wss://asr.example.com/stream\"\n"));
    assert!(told.contains("[recognition] is not used"), "{told}");
    for (keys, expected) in [
        ("", "[recognition] has no `url`"),
        ("url = \"https://a.example/\"\n", "`url` cannot start with https:"),
        ("url = \"rtp://127.0.0.1:4000\"\n", "`url` cannot start with rtp:"),
        ("url = \"ws://203.0.113.9/\"\n", "unencrypted"),
        ("url = \"wss://u:hunter2@a.example/\"\n", "`token` is sent with the handshake"),
        ("url = \"wss://a.example/\"\nformat = \"mulaw/8000\"\n", "`format`"),
        ("url = \"wss://a.example/\"\nmodel = \"x\"\n", "model"),
    ] {
        let told = checked(format!("{trunk}{route}[recognition]\n{keys}"));
        assert!(told.contains(expected) && !told.contains("hunter2"), "{keys}: {told}");
    }
}
