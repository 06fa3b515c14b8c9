//! Tests of the SMTP client against servers with scripted replies, without encryption. tests/it/mail.rs tests TLS with
//! the real binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;

/// Starts a mail server that sends the first reply, then a further one after each line received; the contents of a
/// message count as one line. Returns its port, and the lines received.
fn server(replies: &'static [&'static str]) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, all) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut writer = stream.try_clone().unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let mut is_data = false;
        for reply in replies {
            let _ = writer.write_all(reply.as_bytes());
            let mut line = lines.next().unwrap_or_default();
            while is_data && line != "." {
                let _ = heard.send(line);
                line = lines.next().unwrap_or_else(|| ".".to_owned());
            }
            is_data = line == "DATA";
            let _ = heard.send(line);
        }
    });
    (port, all)
}

async fn opened(port: u16, security: Security, login: Option<(&str, &str)>) -> Result<Session, String> {
    let none = std::future::ready(Err("no TLS in this test".to_owned()));
    Session::open(SmtpServer { host: "127.0.0.1", port, security, login }, none).await
}

const HELLO: &str = "250-mail.example.com\r\n250-SIZE 1000\r\n250 AUTH LOGIN PLAIN\r\n";

#[tokio::test]
async fn a_message_is_handed_over_with_its_points_doubled() {
    let (port, heard) = server(&[
        "220 hello\r\n",
        HELLO,
        "235 in\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 queued\r\n",
        "221 bye\r\n",
    ]);
    let mut session = opened(port, Security::Clear, Some(("ann", "hunter2"))).await.unwrap();
    assert_eq!(session.most_bytes(), Some(1000));
    session.send(("a@example.com", "b@example.com"), b"Subject: x\r\n\r\n.\r\n..a\r\nend").await.unwrap();
    session.quit().await;
    let auth = format!("AUTH PLAIN {}", STANDARD.encode("\0ann\0hunter2"));
    let expected = [
        "EHLO [127.0.0.1]",
        &auth,
        "MAIL FROM:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "DATA",
        "Subject: x",
        "",
        "..",
        "...a",
        "end",
        ".",
        "QUIT",
    ];
    assert_eq!(heard.iter().take(expected.len()).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn login_is_used_where_plain_is_not_offered() {
    let (port, heard) = server(&[
        "220 hello\r\n",
        "250-m\r\n250 auth LOGIN\r\n",
        "334 VXNlcm5hbWU6\r\n",
        "334 UGFzc3dvcmQ6\r\n",
        "235 in\r\n",
    ]);
    opened(port, Security::Clear, Some(("ann", "hunter2"))).await.unwrap();
    let heard: Vec<String> = heard.iter().take(4).collect();
    assert_eq!(heard, ["EHLO [127.0.0.1]", "AUTH LOGIN", "YW5u", "aHVudGVyMg=="]);
}

#[tokio::test]
async fn what_a_server_refuses_is_named_without_the_password() {
    let login = Some(("ann", "hunter2"));
    let long: &'static str = Box::leak(format!("220 {}", "x".repeat(SMTP_LINE_BYTES + 2048)).into_boxed_str());
    let many: &'static str = Box::leak("220-x\r\n".repeat(SMTP_REPLY_LINES + 1).into_boxed_str());
    let cases: [(&'static [&'static str], Security, &str); 11] = [
        (&["421 later\r\n"], Security::Clear, "does not serve: 421 later"),
        (&["hello\r\n"], Security::Clear, "does not reply as SMTP does"),
        (&["220 hello\r\n", "502 what?\r\n"], Security::Clear, "answered EHLO with 502 what?"),
        (&["220 hello\r\n", "250 m\r\n"], Security::Clear, "offers neither AUTH PLAIN nor AUTH LOGIN"),
        (&["220 hello\r\n", HELLO, "535 5.7.8 no\x07\r\n"], Security::Clear, "refused user and password: 535 5.7.8 no"),
        (&["220 hello\r\n", HELLO], Security::StartTls, "does not offer STARTTLS, which the edge requires"),
        (&["220 hello\r\n", "250-m\r\n250 STARTTLS\r\n", "454 no\r\n"], Security::StartTls, "refused STARTTLS: 454 no"),
        (
            &["220 hello\r\n", "250-m\r\n250 STARTTLS\r\n", "220 go\r\n250 AUTH PLAIN\r\n"],
            Security::StartTls,
            "sent data in clear text after STARTTLS",
        ),
        (&["220 hello\r\n", "250-m\r\n250 STARTTLS\r\n", "220 go\r\n"], Security::StartTls, "no TLS in this test"),
        (vec![long].leak(), Security::Clear, "sent a line of more than 2048 bytes"),
        (vec![many].leak(), Security::Clear, "sent a reply of more than 64 lines"),
    ];
    for (replies, security, expected) in cases {
        let (port, _heard) = server(replies);
        let error = opened(port, security, login).await.err().unwrap();
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn refusals_for_good_are_told_from_those_for_now() {
    let yet = |what: &str| MailRejection::Yet(what.to_owned());
    let ever = |what: &str| MailRejection::Ever(what.to_owned());
    let ok = "250 ok\r\n";
    let cases: [(&'static [&'static str], MailRejection); 7] = [
        (&["550 who?\r\n"], yet("refused the sender a@x: 550 who?")),
        (
            vec![ok, "550-5.1.1 no\r\n550 such user\r\n"].leak(),
            ever("refused the recipient b@x: 550 5.1.1 no such user"),
        ),
        (vec![ok, "451 4.7.1 greylisted\r\n"].leak(), yet("refused the recipient b@x: 451 4.7.1 greylisted")),
        (vec![ok, "530 log in\r\n"].leak(), yet("refused the recipient b@x: 530 log in")),
        (vec![ok, ok, "554 no\r\n"].leak(), ever("refused the message: 554 no")),
        (vec![ok, ok, "354 go\r\n", "552 too large\r\n"].leak(), ever("refused the message: 552 too large")),
        (vec![ok, ok, "354 go\r\n", "452 full\r\n"].leak(), yet("refused the message: 452 full")),
    ];
    for (replies, expected) in cases {
        let all: Vec<&'static str> =
            ["220 hello\r\n", "250 m\r\n"].into_iter().chain(replies.iter().copied()).collect();
        let (port, _heard) = server(all.leak());
        let mut session = opened(port, Security::Clear, None).await.unwrap();
        assert_eq!(session.send(("a@x", "b@x"), b"x\r\n").await, Err(expected));
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_no_reply() {
    let (port, _heard) = server(&["220 hello\r\n", "250 m\r\n"]);
    let mut session = opened(port, Security::Clear, None).await.unwrap();
    let gone = session.send(("a@x", "b@x"), b"x\r\n").await.unwrap_err();
    assert!(matches!(&gone, MailRejection::Yet(what) if what.contains("connection")), "{gone:?}");
}
