//! Voicemail by e-mail through the real binary, with a mail server over TLS.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::io::Write as _;
use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;

use crate::apps::{Rig, application, form, parameter};
use crate::support::calls::{NUMBER, media_of};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::mail::{ABSENT, MailServer, Offers};
use crate::support::tls::Authority;
use crate::support::{Process, until};
use crate::twilio_recordings::{speaking, walk};

/// Starts an edge with a mailbox from which messages are sent to this address, by the server at this URL.
fn rig(server: &str, ca: &Authority, to: &str) -> Rig {
    let tables = format!(
        "[recording]\ndirectory = \"recordings\"\n[voicemail.front]\nnotify = \"mailto:{to}\"\n[mail]\nserver = \"{server}\"\n\
         password = \"hunter2\"\nfrom = \"voicemail@example.com\"\nca = {:?}\n",
        ca.file
    );
    Rig::new(&tables, r#""voicemail:front""#, &[])
}

/// Leaves a message as the caller; returns its SID.
fn leave(rig: &Rig) -> String {
    rig.invite();
    let ok = rig.answered();
    let sid = until("the recording begins", || {
        let call = rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()));
        call["recordings"][0]["sid"].as_str().map(str::to_owned)
    });
    let speaker = speaking(&rig.caller.rtp, media_of(&ok));
    until("some of it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > 16_000).then_some(()));
    drop(speaker);
    rig.press(&ok, 11, 4_000);
    rig.hung_up();
    sid
}

/// Returns the attachment of a mail.
fn attached(text: &str) -> Vec<u8> {
    let part = text.split("--=_RE").find(|part| part.contains("Content-Disposition: attachment")).unwrap();
    STANDARD.decode(part.split_once("\r\n\r\n").unwrap().1.split_whitespace().collect::<String>()).unwrap()
}

fn problems(edge: &Process) -> Vec<String> {
    let shown = edge.json("/v1/status")["problems"].clone();
    shown.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_message_is_sent_after_a_kill_in_mid_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let server = MailServer::start(&authority.issue("mail", &["127.0.0.1"]), Offers::StartTls, true);
    let rig = rig(&format!("smtp://ann@{}", server.address), &authority, "desk@example.com");
    let sid = leave(&rig);
    until("an attempt is under way", || (server.hanging() == 1).then_some(()));
    let Rig { edge, .. } = rig;
    edge.signal(Signal::SIGKILL);
    server.wake();
    let edge = edge.kill_and_start_again();
    let taken = server.taken();
    assert_eq!((taken.from.as_str(), taken.to.as_str()), ("voicemail@example.com", "desk@example.com"));
    assert!(taken.is_encrypted && taken.login == "\0ann\0hunter2");
    for line in [
        "From: <voicemail@example.com>\r\n",
        "To: <desk@example.com>\r\n",
        "Subject: Voicemail front: +14155550100, 0:0",
        &format!("Message-ID: <{sid}@example.com>\r\n"),
    ] {
        assert!(taken.text.contains(line), "{line} in {}", taken.text);
    }
    let audio = edge.get(&format!("/v1/recordings/{sid}/audio"));
    assert_eq!((audio.0, &attached(&taken.text)[..4]), (200, b"RIFF".as_slice()));
    let bytes = edge.json(&format!("/v1/recordings/{sid}"))["bytes"].as_u64().unwrap();
    assert_eq!(attached(&taken.text).len() as u64, bytes);
    until("it is done with", || (edge.metric("trunkgate_mails_total{result=\"sent\"}") == 1.0).then_some(()));
    assert_eq!(edge.metric("trunkgate_mails_waiting"), 0.0);
    // The mail was sent once: after another start, there is nothing to send.
    let edge = edge.kill_and_start_again();
    assert!(server.is_silent());
    let log = edge.whole_log();
    assert!(
        !log.contains("hunter2") && !log.contains(&STANDARD.encode("\0ann\0hunter2")) && !log.contains(NUMBER),
        "{log}"
    );
}

/// Starts a service that returns the same transcription for every recording.
fn transcribing() -> Endpoint {
    Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), |_, _, stream| {
        let body = "{\"text\":\"Call me back, Jörg.\"}";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok()
    })
}

#[test]
fn an_e_mail_waits_for_the_text_of_its_message() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let server = MailServer::start(&authority.issue("mail", &["127.0.0.1"]), Offers::Tls, false);
    let service = transcribing();
    let tables = format!(
        "[recording]\ndirectory = \"recordings\"\n[transcription]\nurl = \"http://{}/t\"\n[voicemail.front]\n\
         notify = \"mailto:desk@example.com\"\ntranscribe = true\n[mail]\nserver = \"smtps://ann@{}\"\n\
         password = \"hunter2\"\nfrom = \"voicemail@example.com\"\nca = {:?}\n",
        service.address, server.address, authority.file
    );
    let rig = Rig::new(&tables, r#""voicemail:front""#, &[]);
    leave(&rig);
    let text = server.taken().text;
    let part = text.split("--=_RE").find(|part| part.contains("Content-Type: text/plain")).unwrap();
    let body = part.split_once("\r\n\r\n").unwrap().1.split_whitespace().collect::<String>();
    let body = String::from_utf8(STANDARD.decode(body).unwrap()).unwrap();
    assert!(body.contains("\r\n\r\nCall me back, Jörg.\r\n"), "{body}");
}

#[test]
fn a_webhook_gets_the_text_of_a_message() {
    let (receiver, service) = (application(&[("/voicemail", "")]), transcribing());
    let tables = format!(
        "[recording]\ndirectory = \"recordings\"\n[transcription]\nurl = \"http://{}/t\"\n[voicemail.front]\n\
         notify = \"http://{}/voicemail\"\ntranscribe = true\n",
        service.address, receiver.address
    );
    let rig = Rig::new(&tables, r#""voicemail:front""#, &[]);
    let sid = leave(&rig);
    let is_text = |post: &Post| form(post).iter().any(|(name, _)| name == "TranscriptionText");
    let post = until("the text is posted", || receiver.posts().into_iter().find(is_text));
    for (name, value) in [
        ("TranscriptionText", "Call me back, Jörg."),
        ("TranscriptionStatus", "completed"),
        ("RecordingSid", sid.as_str()),
        ("From", "+14155550100"),
        ("To", NUMBER),
    ] {
        assert_eq!(parameter(&post, name), value, "{name}");
    }
}

#[test]
fn a_recipient_that_does_not_exist_is_a_problem_and_a_figure() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let server = MailServer::start(&authority.issue("mail", &["127.0.0.1"]), Offers::Tls, false);
    let rig = rig(&format!("smtps://ann@{}", server.address), &authority, ABSENT);
    let sid = leave(&rig);
    let shown = until("status says so", || problems(&rig.edge).into_iter().find(|one| one.contains("e-mail")));
    for part in ["1 voicemail message not sent by e-mail", "mailbox front", "550 5.1.1 no such user"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert_eq!(rig.edge.metric("trunkgate_mails_total{result=\"failed\"}"), 1.0);
    let listed = rig.edge.json("/v1/recordings?voicemail=front");
    assert_eq!(listed["recordings"][0]["sid"], sid.as_str(), "the message is kept");
    // The problem is still reported after a restart.
    let Rig { edge, .. } = rig;
    let edge = edge.kill_and_start_again();
    until("status says so again", || problems(&edge).into_iter().find(|one| one.contains("550 5.1.1 no such user")));
}

#[test]
fn mail_needs_a_verified_server() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "other"));
    let server = MailServer::start(&other.issue("mail", &["127.0.0.1"]), Offers::StartTls, false);
    let rig = rig(&format!("smtp://ann@{}", server.address), &authority, "desk@example.com");
    leave(&rig);
    let shown = until("status says so", || problems(&rig.edge).into_iter().find(|one| one.contains("e-mail")));
    assert!(shown.contains("voicemail is not sent by e-mail") && shown.contains("TLS: "), "{shown}");
    assert!(server.is_silent());
    assert_eq!(rig.edge.metric("trunkgate_mails_waiting"), 1.0);
}
