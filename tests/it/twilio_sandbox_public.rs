//! `trunkgate twilio --app URL --as URL` through the real binary: an application configured with a public name runs on
//! loopback.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
use trunkgate_media::agent::{sign, sign_form};

use crate::apps::{form, path, wav};
use crate::support::endpoint::{Endpoint, Post, say};
use crate::twilio_sandbox::{TOKEN, fault, run, steps};

const PUBLIC: &str = "https://app.example.com";

/// Starts an application that writes its public name into documents.
fn known_by_name() -> Endpoint {
    Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), |_, post, stream| {
        let document = match path(post) {
            "/voice" => {
                "<Play>https://app.example.com/menu.wav</Play><Redirect>https://app.example.com/moved?step=1</Redirect>"
            }
            // The application is like a program that knows its name, but not that TLS is terminated before it.
            "/moved?step=1" => {
                return say(stream, "307 Temporary Redirect", "Location: http://app.example.com/stream\r\n");
            }
            "/stream" => "<Connect><Stream url=\"wss://app.example.com/media\"/></Connect><Say>Goodbye</Say>",
            "/media" => {
                serve_stream(post, stream);
                return false;
            }
            "/menu.wav" => return send(stream, "audio/wav", &wav(200)),
            "/sms" => "<Message>Hello</Message>",
            _ => "",
        };
        send(stream, "text/xml", format!("<Response>{document}</Response>").as_bytes())
    })
}

fn send(stream: &mut TcpStream, kind: &str, body: &[u8]) -> bool {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_ok()
}

/// Accepts a media stream, and closes it once it has begun.
fn serve_stream(post: &Post, stream: &mut TcpStream) {
    let accept = derive_accept_key(post.headers["sec-websocket-key"].as_bytes());
    let headers = format!("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n");
    stream.write_all(format!("HTTP/1.1 101 Switching Protocols\r\n{headers}\r\n").as_bytes()).unwrap();
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    while !matches!(socket.read().unwrap(), Message::Text(text) if text.contains("\"start\"")) {}
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
}

#[test]
fn an_application_is_asked_by_its_public_name_and_all_its_urls_lead_to_it() {
    let app = known_by_name();
    let url = format!("http://{}/voice", app.address);
    let sms = format!("http://{}/sms", app.address);
    let beside = ["request GET /health", "send text Are you there?", "get text Hello"];
    let wanted = steps(&[&["hear audio", "hear Goodbye", "ends completed"], &beside[..]].concat());
    let (code, reports) = run(&url, &[&["--as", PUBLIC, "--sms", &sms], &wanted[..]].concat());
    assert_eq!(code, 0, "{reports:#}");
    let posts = app.posts();
    let asked: Vec<&str> = posts.iter().map(path).collect();
    for wanted in ["/voice", "/menu.wav", "/moved?step=1", "/stream", "/media", "/health", "/sms"] {
        assert!(asked.contains(&wanted), "{wanted}: {asked:?}");
    }
    for post in &posts {
        assert_eq!(post.headers["host"], "app.example.com", "{post:?}");
        assert_eq!(post.headers["x-forwarded-proto"], "https", "{post:?}");
        let of_form = || sign_form(TOKEN, &format!("{PUBLIC}{}", path(post)), &form(post));
        let signature = match path(post) {
            "/health" => continue,
            "/media" => sign(TOKEN, "wss://app.example.com/media"),
            "/menu.wav" => sign(TOKEN, "https://app.example.com/menu.wav"),
            _ => of_form(),
        };
        assert_eq!(post.headers["x-twilio-signature"], signature, "{post:?}");
    }
}

#[test]
fn a_public_url_that_cannot_stand_for_the_application_is_refused() {
    for (public, why) in [
        ("https://app.example.com/voice", "scheme and host alone"),
        ("https://localhost", "a name of this machine"),
        ("app.example.com", "not an http or https URL"),
    ] {
        let (code, error) = run("http://127.0.0.1:3000/voice", &["--as", public]);
        assert!(code == 2 && fault(&error).contains(why), "{error}");
    }
}

#[test]
fn a_redirect_that_is_not_followed_has_its_reason() {
    let app = Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), |_, post, stream| {
        let location = match path(post) {
            "/loop" => "/loop",
            "/metadata" => "http://169.254.169.254/latest",
            _ => "file:///etc/passwd",
        };
        say(stream, "302 Found", &format!("Location: {location}\r\n"))
    });
    for (place, reason) in [
        ("/loop", "redirect loop: https://app.example.com/loop leads to itself (error 11215)"),
        ("/file", "invalid redirect: leads to file:, neither http nor https (error 11216)"),
    ] {
        let (code, reports) = run(&format!("http://{}{place}", app.address), &["--as", PUBLIC]);
        assert!(code == 3 && fault(&reports).contains(reason), "{place}: {reports:#}");
        assert!(reports[0]["transcript"].to_string().contains(reason), "{place}: {reports:#}");
    }
    let (code, reports) = run(&format!("http://{}/metadata", app.address), &[]);
    let what = fault(&reports);
    assert!(code == 3 && what.contains("cloud metadata address") && !what.contains("--start"), "{reports:#}");
}
