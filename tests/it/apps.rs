//! Applications that control calls, through the real binary: TwiML over HTTP and from files, with SIP and RTP on plain
//! sockets.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::calls::{NUMBER, Phone, media_of, received};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::sip::{field, to_tag};
use crate::support::{Process, config, trunkgate, until, with_state};
use crate::{twilio_api, twilio_messages};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Message, accept, accept_hdr};
use trunkgate_media::agent::{sign, sign_form};
use trunkgate_media::codec::g711::decode_ulaw;
use trunkgate_media::rtp::RtpHeader;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Account SID of the edge.
pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
/// Number that the documents dial.
const DESK: &str = "+14155550199";
/// Level of the samples in the recorded prompt.
pub(crate) const LEVEL: i16 = 8000;

/// Returns a WAV file of this length at 8 kHz, with a constant level.
pub(crate) fn wav(milliseconds: usize) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..milliseconds * 8).for_each(|_| wav.write_sample(LEVEL).unwrap());
    wav.finalize().unwrap();
    bytes.into_inner()
}

/// Starts a web application with documents by path; `/menu.wav` is a prompt of 200 ms, and requests for other paths
/// fail with 500.
pub(crate) fn application(documents: &'static [(&'static str, &'static str)]) -> Endpoint {
    Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), move |_, post, stream| {
        let found = documents.iter().find(|(known, _)| *known == path(post));
        let (status, kind, body) = match found {
            _ if path(post) == "/menu.wav" => ("200 OK", "audio/wav", wav(200)),
            Some((_, document)) => ("200 OK", "text/xml", format!("<Response>{document}</Response>").into_bytes()),
            None => ("500 Internal Server Error", "text/plain", b"it is broken".to_vec()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_ok()
    })
}

/// Returns the path of a request, with its query.
pub(crate) fn path(post: &Post) -> &str {
    post.line.split(' ').nth(1).unwrap()
}

/// Returns the parameters of a posted form, in order.
pub(crate) fn form(post: &Post) -> Vec<(String, String)> {
    form_urlencoded::parse(post.body.as_bytes()).into_owned().collect()
}

pub(crate) fn parameter(post: &Post, name: &str) -> String {
    form(post).into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name} in {post:?}")).1
}

/// Edge between a carrier and a PBX, with a call from the carrier.
pub(crate) struct Rig {
    pub(crate) edge: Process,
    pub(crate) caller: Phone,
    pub(crate) pbx: Phone,
}

/// Returns the configuration of an edge with two trunks, an API and one route.
fn configured([caller, pbx]: [&Phone; 2], (http, api_keys): (&str, &str), tables: &str, connect: &str) -> String {
    let trunks = caller.trunk("carrier") + &pbx.trunk("pbx");
    let route = format!("[[route]]\nfrom = [\"carrier\"]\nconnect = [{connect}]\n");
    let api =
        format!("[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nconnect = [\"trunk:pbx\"]\n{api_keys}");
    config(&format!("{http}{trunks}{api}{tables}{route}"))
}

impl Rig {
    /// Starts an edge with these tables and these targets of its only route; `files` are placed in the folder of the
    /// configuration.
    pub(crate) fn new(tables: &str, connect: &str, files: &[(&str, &[u8])]) -> Rig {
        Rig::with(("", ""), tables, connect, files, &[])
    }

    /// Starts an edge as [`Rig::new`] does whose calls outlive a crash.
    pub(crate) fn with_state(tables: &str, connect: &str) -> Rig {
        let (caller, pbx) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.3"));
        let text = with_state(&configured([&caller, &pbx], ("", ""), tables, connect));
        Rig { edge: Process::start(&text), caller, pbx }
    }

    /// Starts an edge as [`Rig::new`] does, also with keys of `[http]` and `[api]`, and with environment variables.
    pub(crate) fn with(
        (http, api_keys): (&str, &str),
        tables: &str,
        connect: &str,
        files: &[(&str, &[u8])],
        variables: &[(&str, &str)],
    ) -> Rig {
        let (caller, pbx) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.3"));
        let file = configured([&caller, &pbx], (http, api_keys), tables, connect);
        let edge = Process::start_with_documents_and(&file, files, variables);
        Rig { edge, caller, pbx }
    }

    /// Starts an edge that requests its first document from a web application.
    fn asking(application: &Endpoint, keys: &str, connect: &str) -> Rig {
        let url = format!("http://{}/voice", application.address);
        Rig::new(&format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n{keys}"), connect, &[])
    }

    /// Sends the caller's INVITE with PCMU and telephone-events.
    pub(crate) fn invite(&self) {
        let (sip, port) = (self.edge.address("udp"), self.caller.rtp_address().port());
        let media = format!("m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n");
        let offer = self.caller.described(1, &media);
        self.caller.sip.send(sip, &self.caller.sip.request_with("INVITE", NUMBER, sip, "app", (1, ""), &offer));
    }

    /// Receives the caller's 200 and acknowledges it; returns the 200.
    pub(crate) fn answered(&self) -> String {
        let sip = self.edge.address("udp");
        let (ok, _) = self.caller.sip.receive("SIP/2.0 200");
        self.caller.sip.send(sip, &self.caller.sip.request_with("ACK", NUMBER, sip, "app", (1, to_tag(&ok)), ""));
        ok
    }

    /// Waits until the caller hears the prompt.
    pub(crate) fn hears_the_prompt(&self) {
        let is_prompt = |packet: &[u8]| {
            let rtp = RtpHeader::parse(packet).unwrap();
            let loudness = packet[rtp.payload].iter().map(|code| i32::from(decode_ulaw(*code)));
            rtp.payload_type == 0 && loudness.clone().all(|level| (level - i32::from(LEVEL)).abs() < 400)
        };
        until("the prompt is heard", || is_prompt(&received(&self.caller.rtp).0).then_some(()));
    }

    /// Sends a DTMF digit from the caller, in packets numbered from `first`.
    pub(crate) fn press(&self, ok: &str, key: u8, first: u16) {
        for (n, flags, length) in [(0, 0x0a, 160_u16), (1, 0x8a, 800), (2, 0x8a, 800), (3, 0x8a, 800)] {
            let (sequence, timestamp) = (first + n, u32::from(first) * 160);
            let mut packet = Vec::new();
            let [high, low] = length.to_be_bytes();
            let rtp = RtpHeader { marker: n == 0, payload_type: 101, sequence, timestamp, ssrc: 9, payload: 0..0 };
            rtp.build(&[key, flags, high, low], &mut packet);
            self.caller.rtp.send_to(&packet, media_of(ok)).unwrap();
        }
    }

    /// Answers the call at the PBX.
    pub(crate) fn pbx_answers(&self) -> (String, std::net::SocketAddr) {
        let (invite, from) = self.pbx.sip.receive("INVITE ");
        let answer = self.pbx.description(1, "");
        self.pbx.sip.send(from, &self.pbx.sip.answer_with(&invite, "200 OK", &answer));
        self.pbx.sip.receive("ACK ");
        (invite, from)
    }

    pub(crate) fn pbx_hangs_up(&self, (invite, from): &(String, std::net::SocketAddr)) {
        let me = self.pbx.sip.address;
        let contact = field(invite, "Contact").trim_matches(['<', '>']).to_owned();
        let (us, them, id) = (field(invite, "To"), field(invite, "From"), field(invite, "Call-ID"));
        let bye = format!(
            "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKbye;rport\r\nMax-Forwards: 70\r\n\
             From: {us};tag=callee\r\nTo: {them}\r\nCall-ID: {id}\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        self.pbx.sip.send(*from, &bye);
        self.pbx.sip.receive("SIP/2.0 200");
    }

    /// Receives the edge's BYE at the caller.
    pub(crate) fn hung_up(&self) {
        let (bye, from) = self.caller.sip.receive("BYE ");
        self.caller.sip.send(from, &self.caller.sip.answer_with(&bye, "200 OK", ""));
    }

    /// Updates the call by the Twilio-compatible API; returns the HTTP status, and the error code or the call's status.
    fn update(&self, parameters: &[(&str, &str)]) -> (u16, String) {
        let path = format!("Calls/{}.json", self.edge.sid());
        let (status, answer) = twilio_api::ask(&self.edge, "POST", &path, &twilio_messages::form(parameters));
        let shown =
            if status == 200 { answer["status"].as_str().unwrap().to_owned() } else { answer["code"].to_string() };
        (status, shown)
    }

    /// Returns the verdict of the call, which must be equal in the trace and over HTTP.
    pub(crate) fn verdict(&self) -> String {
        let trace = self.edge.get(&format!("/v1/calls/{}/trace", self.edge.sid())).1;
        let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
        let verdict = trace["verdict"].as_str().unwrap().to_owned();
        assert!(self.trace().contains(&verdict), "{verdict}");
        verdict
    }

    pub(crate) fn trace(&self) -> String {
        self.edge.get(&format!("/v1/calls/{}/trace.txt", self.edge.sid())).1
    }
}

#[test]
fn a_web_application_plays_a_menu_takes_a_digit_and_dials() {
    let application = application(&[
        ("/voice?tenant=7", r#"<Gather numDigits="1" action="/menu"><Play>/menu.wav</Play></Gather>"#),
        ("/menu", r#"<Dial action="/after">+14155550199</Dial>"#),
        ("/after", "<Hangup/>"),
        ("/status", ""),
    ]);
    let url = format!("http://{}/voice?tenant=7", application.address);
    let keys = format!("status_callback = \"http://{}/status\"\n", application.address);
    let rig = Rig::new(&format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n{keys}"), r#""app:ivr""#, &[]);
    rig.invite();
    let ok = rig.answered();
    rig.hears_the_prompt();
    rig.press(&ok, 5, 1);
    let called = rig.pbx_answers();
    assert!(called.0.starts_with(&format!("INVITE sip:{DESK}@")), "{}", called.0);
    rig.pbx_hangs_up(&called);
    rig.hung_up();
    let posts = until("the end is reported", || {
        let posts = application.posts();
        posts.iter().any(|post| path(post) == "/status").then_some(posts)
    });
    let of = |wanted: &str| posts.iter().find(|post| path(post) == wanted).unwrap();
    let (voice, menu, after) = (of("/voice?tenant=7"), of("/menu"), of("/after"));
    assert_eq!((parameter(voice, "To").as_str(), parameter(voice, "CallStatus").as_str()), (NUMBER, "ringing"));
    assert_eq!(voice.headers["x-twilio-signature"], sign_form(TOKEN, &url, &form(voice)));
    assert_eq!((parameter(menu, "Digits").as_str(), parameter(menu, "CallSid")), ("5", rig.edge.sid()));
    assert_eq!(parameter(after, "DialCallStatus"), "completed");
    assert_eq!(parameter(of("/status"), "CallStatus"), "completed");
    let trace = rig.trace();
    for line in ["Gather", "Play", "Dial", "/menu", "200 after", "play GET", "\naudio/wav, "] {
        assert!(trace.contains(line), "no {line} in {trace}");
    }
    assert!(!trace.contains("tenant=7") && !trace.contains("Digits=5"), "{trace}");
    let counted = || rig.edge.metric("trunkgate_webhook_seconds_count{app=\"ivr\"}") == 4.0;
    until("all are counted", || counted().then_some(()));
}

/// The requests are those of Twilio's libraries: `client.calls(sid).update(url=…)` and `update(twiml=…)`.
#[test]
fn a_program_gives_the_call_another_document_and_then_ends_it() {
    let application = application(&[
        ("/voice", "<Dial action=\"/never\">+14155550199</Dial>"),
        ("/other?secret=1", r#"<Play>/menu.wav</Play><Pause length="60"/>"#),
    ]);
    let rig = Rig::asking(&application, "", r#""app:ivr""#);
    rig.invite();
    rig.answered();
    rig.pbx_answers();
    let url = format!("http://{}/other?secret=1", application.address);
    assert_eq!(rig.update(&[("Url", &url)]), (200, "in-progress".to_owned()));
    let (bye, from) = rig.pbx.sip.receive("BYE ");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&bye, "200 OK", ""));
    rig.hears_the_prompt();
    let posts = application.posts();
    let asked = posts.iter().find(|post| path(post) == "/other?secret=1").unwrap();
    assert_eq!((parameter(asked, "CallSid"), &*parameter(asked, "CallStatus")), (rig.edge.sid(), "in-progress"));
    assert_eq!(asked.headers["x-twilio-signature"], sign_form(TOKEN, &url, &form(asked)));
    assert!(posts.iter().all(|post| path(post) != "/never"), "{posts:?}");
    for (parameters, expected) in [
        (&[("Twiml", "<Response><Say></Response>")][..], (400, "12100")),
        (&[("Twiml", "<Response/>"), ("Url", &url)][..], (400, "20001")),
        (&[("Twiml", "<Response/>"), ("Status", "completed")][..], (400, "20001")),
        (&[("Url", "ftp://a.example/")][..], (400, "21205")),
        (&[("Url", url.as_str()), ("Method", "PUT")][..], (400, "20001")),
        (&[("TimeLimit", "0")][..], (400, "20001")),
        (&[("FallbackUrl", url.as_str())][..], (400, "20001")),
        (&[("TimeLimit", "600"), ("StatusCallback", url.as_str())][..], (200, "in-progress")),
    ] {
        assert_eq!(rig.update(parameters), (expected.0, expected.1.to_owned()), "{parameters:?}");
    }
    assert_eq!(rig.update(&[("Twiml", "<Response><Hangup/></Response>")]).0, 200);
    rig.hung_up();
    until("it has ended", || (rig.update(&[("Twiml", "<Response/>")]) == (400, "21220".to_owned())).then_some(()));
    let trace = rig.trace();
    assert!(trace.contains("another document was requested") && !trace.contains("secret=1"), "{trace}");
}

#[test]
fn the_action_of_a_dialled_sip_party_has_what_its_final_answer_says() {
    let application = application(&[("/after", "<Hangup/>")]);
    let menu = b"<Response><Redirect>dial.xml</Redirect></Response>";
    let tables = "[app.menu]\nfile = \"menu.xml\"\nallow_private = true\n";
    let rig = Rig::new(tables, r#""app:menu""#, &[("menu.xml", menu)]);
    let (pbx, action) = (rig.pbx.sip.address, application.address);
    let dial = format!("<Response><Dial action=\"http://{action}/after\"><Sip>sip:desk@{pbx}</Sip></Dial></Response>");
    std::fs::write(rig.edge.directory.path().join("dial.xml"), dial).unwrap();
    rig.invite();
    rig.answered();
    let (invite, from) = rig.pbx.sip.receive("INVITE ");
    let busy = rig.pbx.sip.answer_with(&invite, "486 Busy Here", "");
    let busy = busy.replace("Contact:", "X-Back-At: 14:30\r\nSubject: secret\r\nContact:");
    rig.pbx.sip.send(from, &busy);
    rig.pbx.sip.receive("ACK ");
    rig.hung_up();
    let posts = application.posts();
    let sip = form(&posts[0]).into_iter().filter(|(name, _)| name.starts_with("DialSip"));
    let expected = [
        ("DialSipCallId", field(&invite, "Call-ID")),
        ("DialSipResponseCode", "486"),
        ("DialSipHeader_X-Back-At", "14:30"),
    ];
    assert_eq!(sip.collect::<Vec<_>>(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_document_in_a_file_speaks_and_leads_to_another_file() {
    let menu = r#"<Response><Say language="de-DE">Guten &amp; Tag</Say><Redirect>later.xml</Redirect></Response>"#;
    let later = "<Response><Play>menu.wav</Play></Response>";
    // The program writes the text and the voice that it gets to a file.
    let speech = "[speech]\ncommand = [\"sh\", \"-c\", \"echo $0 $1 >> FOLDER/said; cat FOLDER/menu.wav\", \"{voice}\", \"{ssml}\"]\n\
                  [app.menu]\nfile = \"menu.xml\"\n";
    let files: [(&str, &[u8]); 3] =
        [("menu.xml", menu.as_bytes()), ("later.xml", later.as_bytes()), ("menu.wav", &wav(200))];
    let rig = Rig::new(speech, r#""app:menu""#, &files);
    rig.invite();
    rig.answered();
    rig.hears_the_prompt();
    rig.hung_up();
    let said = std::fs::read_to_string(rig.edge.directory.path().join("said")).unwrap();
    assert_eq!(said, "de-de <speak>Guten &amp; Tag</speak>\n");
    let trace = rig.trace();
    assert!(trace.contains("later.xml: ") && trace.contains("play menu.wav"), "{trace}");
}

/// If the file has no `[speech]`, an installed program named espeak-ng speaks; `check` then does not warn of a missing
/// voice.
#[test]
fn an_installed_voice_speaks_and_a_missing_one_is_warned_of() {
    let programs = tempfile::tempdir().unwrap();
    let (voice, sound) = (programs.path().join("espeak-ng"), programs.path().join("said.wav"));
    std::fs::write(&sound, wav(200)).unwrap();
    std::fs::write(&voice, format!("#!/bin/sh\n[ \"$4\" = de-de ] && exit 1\nexec /bin/cat {}\n", sound.display()))
        .unwrap();
    std::fs::set_permissions(&voice, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = programs.path().to_str().unwrap();
    let document = "<Response><Say>Hello</Say><Say language=\"de-DE\">Hallo</Say></Response>";
    let tables = "[app.menu]\nfile = \"menu.xml\"\n[app.web]\nurl = \"https://app.example.com/\"\n";
    let files = [("menu.xml", document.as_bytes())];
    let rig = Rig::with(("", ""), tables, r#""app:menu", "app:web""#, &files, &[("PATH", path)]);
    rig.invite();
    rig.answered();
    rig.hears_the_prompt();
    rig.hung_up();
    let trace = rig.trace();
    assert!(!trace.contains("13520"), "a language that it lacks is spoken by its usual voice: {trace}");
    assert!(trace.contains("en-us speaks instead of the voice de-de: "), "{trace}");
    let file = rig.edge.file.to_str().unwrap();
    let told = |arguments: &[&str], path: &str| {
        let output = trunkgate(&[&["--config", file], arguments].concat()).env("PATH", path).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let found = told(&["check"], path);
    assert!(!found.contains("no text-to-speech"), "{found}");
    let missing = told(&["check"], "/nonexistent");
    assert!(missing.contains("TG0161") && missing.contains("menu.xml:1:11"), "{missing}");
    let doctor = told(&["doctor", "--only", "speech"], path);
    assert!(doctor.contains("espeak-ng") && doctor.contains("one word took"), "{doctor}");
}

/// Applications that requests define may need speech too; `installed = false` is a choice about which there is no
/// warning.
#[test]
fn an_edge_whose_applications_come_by_requests_is_warned_that_nothing_can_speak() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trunkgate.toml");
    let found = |more: &str, verb: &[&str]| {
        let text = format!(
            "[api]\nauth_token = '{TOKEN}'\nconnect = ['trunk:pbx']\n[trunk.pbx]\npeers = ['sip:127.0.0.1:9']\n\
             [[number]]\nnumber = '{NUMBER}'\n[[route]]\nconnect = ['trunk:pbx']\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        let arguments = [&["--config", file.to_str().unwrap()], verb].concat();
        let output = trunkgate(&arguments).env("PATH", "/nonexistent").output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let (check, doctor) = (["check"], ["doctor", "--only", "speech"]);
    let warned = found("", &check);
    assert!(warned.contains("TG0161") && warned.contains("applications that requests to the API name"), "{warned}");
    assert!(found("", &doctor).contains("no text-to-speech for the <Say> of applications"));
    let off = "[speech]\ninstalled = false\n";
    let chosen = found(off, &check);
    assert!(!chosen.contains("speak") && !chosen.contains("[speech] is not used"), "{chosen}");
    let chosen = found(off, &doctor);
    assert!(chosen.contains("no text-to-speech: `installed = false`") && !chosen.contains("<Say>"), "{chosen}");
}

#[test]
fn a_digit_selects_a_file_and_any_other_digit_the_one_without_a_name() {
    let menu =
        r#"<Response><Gather numDigits="1" action="choice-{{Digits}}.xml"><Play>menu.wav</Play></Gather></Response>"#;
    let files: [(&str, &[u8]); 4] = [
        ("menu.xml", menu.as_bytes()),
        ("choice-5.xml", b"<Response><Dial>+14155550199</Dial></Response>"),
        ("choice-.xml", b"<Response><Redirect>menu.xml</Redirect></Response>"),
        ("menu.wav", &wav(200)),
    ];
    let rig = Rig::new("[app.menu]\nfile = \"menu.xml\"\n", r#""app:menu""#, &files);
    rig.invite();
    let ok = rig.answered();
    rig.hears_the_prompt();
    rig.press(&ok, 7, 1);
    until("the menu is read again", || (rig.trace().matches("menu.xml: ").count() == 2).then_some(()));
    rig.press(&ok, 5, 11);
    let (invite, _) = rig.pbx_answers();
    assert!(invite.starts_with(&format!("INVITE sip:{DESK}@")), "{invite}");
    let trace = rig.trace();
    assert!(trace.contains("choice-.xml: ") && trace.contains("choice-5.xml: "), "{trace}");
}

#[test]
fn a_broken_application_is_replaced_by_its_fallback_and_then_by_the_next_target() {
    let application = application(&[("/else", "<Redirect>/broken</Redirect>")]);
    let fallback = format!("fallback_url = \"http://{}/else\"\n", application.address);
    let rig = Rig::asking(&application, &fallback, r#""app:ivr", "trunk:pbx""#);
    rig.invite();
    rig.pbx_answers();
    rig.answered();
    let posts = application.posts();
    assert_eq!(posts.iter().map(path).collect::<Vec<_>>()[..3], ["/voice", "/else", "/broken"]);
    assert_eq!(parameter(&posts[1], "ErrorCode"), "11200");
    assert_eq!(parameter(&posts[1], "ErrorUrl"), format!("http://{}/voice", application.address));
    let trace = rig.trace();
    assert!(trace.contains("it is broken") && trace.contains("11200"), "{trace}");
    assert!(rig.edge.metric("trunkgate_webhook_errors_total{app=\"ivr\",code=\"11200\"}") >= 2.0);
}

#[test]
fn the_verdict_names_what_the_caller_did_not_hear_and_the_call_goes_on() {
    let menu = "<Response><Play>sounds/none.wav</Play>\n<Play>page.wav</Play>\n<Say>Hello</Say>\n\
                <Play>menu.wav</Play><Play>./sounds/none.wav</Play></Response>";
    let files: [(&str, &[u8]); 3] =
        [("menu.xml", menu.as_bytes()), ("page.wav", b"<html>Not found</html>"), ("menu.wav", &wav(200))];
    let silent = "[speech]\ninstalled = false\n[app.menu]\nfile = \"menu.xml\"\n";
    let rig = Rig::new(silent, r#""app:menu""#, &files);
    rig.invite();
    rig.answered();
    rig.hears_the_prompt();
    rig.hung_up();
    let verdict = rig.verdict();
    assert!(verdict.starts_with("Answered by app:menu, ended after "), "{verdict}");
    let expected = "the application ended the call. The caller did not hear sounds/none.wav: no such file (Play in line 1, error 11200). \
                    The caller did not hear page.wav: not a WAV, AIFF, AU, MP3, Ogg Vorbis or Ogg Opus file (Play in line 2, error 13420). \
                    The caller did not hear a text: there is no text-to-speech: [speech] has neither `command` nor `url`, and espeak-ng is not installed or is switched off (Say in line 3, error 13520). \
                    The trace has further errors of the application. Try: `trunkgate help 11200`, `trunkgate help 13420`, `trunkgate help 13520`.";
    assert!(verdict.ends_with(expected), "{verdict}");
    let status = rig.edge.json("/v1/status");
    let problem = &status["problem_details"][0];
    let headline = "app menu: a prompt was not played in 1 of 1 calls of the last hour";
    assert_eq!((&problem["harm"], &problem["headline"]), (&"media".into(), &headline.into()), "{status}");
    assert_eq!(rig.edge.json("/v1/calls?flag=app_error")["calls"].as_array().map(Vec::len), Some(1));
    let counted = |code| rig.edge.metric(&format!("trunkgate_webhook_errors_total{{app=\"menu\",code=\"{code}\"}}"));
    assert_eq!((counted(11_200), counted(13_420), counted(13_520)), (2.0, 1.0, 1.0));
}

#[test]
fn the_verdict_names_a_sound_of_a_url_and_the_error_that_the_fallback_made_good() {
    let application = application(&[("/else", "<Play>/gone.wav?token=secret</Play><Play>/menu.wav</Play>")]);
    let fallback = format!("fallback_url = \"http://{}/else\"\n", application.address);
    let rig = Rig::asking(&application, &fallback, r#""app:ivr""#);
    rig.invite();
    rig.answered();
    rig.hears_the_prompt();
    rig.hung_up();
    let (verdict, at) = (rig.verdict(), application.address);
    let error = format!(" Error of the application: start POST: the application answered 500 (http://{at}/voice (");
    let sound = format!(
        " (error 11200). The caller did not hear http://{at}/gone.wav?token=***: the application answered 500 (Play in line 1, error 11200). \
         Try: `trunkgate help 11200`."
    );
    assert!(verdict.contains(&error) && verdict.ends_with(&sound), "{verdict}");
    assert!(rig.trace().contains("it is broken"), "{}", rig.trace());
}

#[test]
fn a_document_leads_to_no_private_address_unless_the_application_may() {
    let inner = application(&[("/secret", "<Hangup/>")]);
    let document = format!("<Response><Redirect>http://{}/secret</Redirect></Response>", inner.address);
    let tables = "[app.menu]\nfile = \"menu.xml\"\n";
    let rig = Rig::new(tables, r#""app:menu", "reject:480""#, &[("menu.xml", document.as_bytes())]);
    rig.invite();
    rig.caller.sip.receive("SIP/2.0 480");
    let trace = rig.trace();
    assert!(trace.contains("11205") && trace.contains("127.0.0.1 is a loopback address"), "{trace}");
    assert!(inner.posts().is_empty());
}

#[test]
fn a_sound_is_a_target_and_the_next_one_follows() {
    let rig = Rig::new("", r#""play:closed.wav", "trunk:pbx""#, &[("closed.wav", &wav(200))]);
    rig.invite();
    rig.answered();
    rig.hears_the_prompt();
    rig.pbx_answers();
}

/// Tests a media stream that a document names; the edge accepts it only with `allow_private`.
fn stream(allow_private: bool) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/media", door.local_addr().unwrap());
    let document = format!(
        "<Response><Connect action=\"closed.xml\"><Stream url=\"{url}\"><Parameter name=\"tenant\" value=\"7\"/></Stream></Connect></Response>"
    );
    let tables = format!("[app.menu]\nfile = \"menu.xml\"\nallow_private = {allow_private}\n");
    let files: [(&str, &[u8]); 2] =
        [("menu.xml", document.as_bytes()), ("closed.xml", b"<Response><Hangup/></Response>")];
    let rig = Rig::new(&tables, r#""app:menu""#, &files);
    rig.invite();
    if allow_private {
        let mut signature = String::new();
        #[expect(clippy::result_large_err, reason = "the library's type")]
        let look = |request: &Request, response: Response| {
            signature = request.headers()["x-twilio-signature"].to_str().unwrap().to_owned();
            Ok(response)
        };
        let mut socket = accept_hdr(door.accept().unwrap().0, look).unwrap();
        assert_eq!(signature, sign(TOKEN, &url));
        rig.answered();
        let start = loop {
            if let Message::Text(text) = socket.read().unwrap()
                && text.contains("\"start\"")
            {
                break text;
            }
        };
        let start: serde_json::Value = serde_json::from_str(&start).unwrap();
        assert_eq!(start["start"]["customParameters"]["tenant"], "7");
        socket.close(None).unwrap();
    } else {
        rig.answered();
    }
    rig.hung_up();
    let trace = rig.trace();
    assert_eq!(trace.contains("127.0.0.1 is a loopback address"), !allow_private, "{trace}");
}

#[test]
fn a_stream_that_outlives_its_application_is_reported_to_its_end() {
    let application = application(&[("/stream", "")]);
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let document = format!(
        "<Response><Play>menu.wav</Play><Start><Stream url=\"ws://{}/media\" statusCallback=\"http://{}/stream\"/></Start>\
         <Redirect>none.xml</Redirect></Response>",
        door.local_addr().unwrap(),
        application.address
    );
    let files: [(&str, &[u8]); 2] = [("menu.xml", document.as_bytes()), ("menu.wav", &wav(200))];
    let tables = "[app.menu]\nfile = \"menu.xml\"\nallow_private = true\n";
    let rig = Rig::new(tables, r#""app:menu", "trunk:pbx""#, &files);
    rig.invite();
    rig.answered();
    let _socket = accept(door.accept().unwrap().0).unwrap();
    let called = rig.pbx_answers();
    let events = || application.posts().iter().map(|post| parameter(post, "StreamEvent")).collect::<Vec<_>>();
    until("the stream is reported", || (events() == ["stream-started"]).then_some(()));
    rig.pbx_hangs_up(&called);
    rig.hung_up();
    until("its end is reported", || (events() == ["stream-started", "stream-stopped"]).then_some(()));
    assert!(rig.verdict().contains("none.xml: no such file"), "{}", rig.verdict());
}

#[test]
fn a_request_that_is_not_answered_ends_with_its_call() {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/voice", door.local_addr().unwrap());
    let rig = Rig::new(&format!("[app.ivr]\nurl = \"{url}?pin=1\"\nallow_private = true\n"), r#""app:ivr""#, &[]);
    rig.invite();
    let (mut asked, _) = door.accept().unwrap();
    let mut first = [0; b"POST /voice?pin=1 ".len()];
    asked.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"POST /voice?pin=1 ");
    let sip = rig.edge.address("udp");
    let cancel = rig.caller.sip.request_with("CANCEL", NUMBER, sip, "app", (1, ""), "");
    rig.caller.sip.send(sip, &cancel.replace("appCANCEL1", "appINVITE1"));
    let given_up = format!("start request to {url}: given up after ");
    until("the request is given up", || rig.trace().contains(&given_up).then_some(()));
    // The edge closes the connection.
    asked.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn digits_of_a_pin_that_stand_in_the_name_of_a_file_are_shown_nowhere() {
    let menu = br#"<Response><Gather numDigits="2" action="pin-{{Digits}}.xml"/></Response>"#;
    let found = br#"<Response><Gather numDigits="2" action="none-{{Digits}}.xml"/></Response>"#;
    let files: [(&str, &[u8]); 2] = [("menu.xml", menu), ("pin-73.xml", found)];
    let rig = Rig::new("[app.menu]\nfile = \"menu.xml\"\n", r#""app:menu""#, &files);
    rig.invite();
    let ok = rig.answered();
    rig.press(&ok, 7, 1);
    rig.press(&ok, 3, 11);
    until("the PIN leads to a document", || rig.trace().contains("pin-{{Digits}}.xml: ").then_some(()));
    rig.press(&ok, 9, 21);
    rig.press(&ok, 4, 31);
    until("the other one leads nowhere", || rig.trace().contains("none-{{Digits}}.xml: no such file").then_some(()));
    // A warning at the start names the missing file.
    let log: String = rig.edge.whole_log().lines().filter(|line| !line.contains("\"[TG0155]: ")).collect();
    for shown in [rig.trace(), rig.verdict(), log] {
        assert!(!shown.contains("pin-73") && !shown.contains("none-94"), "{shown}");
    }
}

#[test]
fn a_stream_of_a_document_is_signed_and_has_its_parameters() {
    stream(true);
}

#[test]
fn a_stream_of_a_document_leads_to_no_private_address() {
    stream(false);
}

#[test]
fn files_beside_the_configuration_are_below_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("outside.wav"), wav(20)).unwrap();
    let outside = folder.path().join("outside.wav");
    let document = format!("<Response><Play>{}</Play></Response>", outside.display());
    let rig = Rig::new("[app.menu]\nfile = \"menu.xml\"\n", r#""app:menu""#, &[("menu.xml", document.as_bytes())]);
    rig.invite();
    rig.answered();
    rig.hung_up();
    let trace = rig.trace();
    assert!(trace.contains("outside.wav\" is not a path relative to the document's folder"), "{trace}");
}
