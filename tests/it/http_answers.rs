//! Responses over HTTP: their headers, and the memory that they take for clients that do not read.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::sip::{Party, to_tag};
use crate::support::{PATIENCE, Process, config, http_with_headers, until};

/// Number of calls in the list.
const CALLS: usize = 300;
/// Number of clients that request the list and read nothing.
const CLIENTS: usize = 200;

#[test]
fn every_answer_is_taken_as_what_its_type_says() {
    let edge = Process::start(&config("[api]\nauth_token = \"0123456789abcdef0123456789abcdef\"\n"));
    let paths = [
        "/healthz",
        "/readyz",
        "/metrics",
        "/",
        "/v1/status",
        "/v1/calls",
        "/v1/calls/CA0",
        "/v1/calls?format=csv",
        "/v1/nowhere",
        "/v1/drain",
        "/2010-04-01/Accounts.json",
        "/sms/inbound",
    ];
    for path in paths {
        let url = format!("{}{path}", edge.url());
        let (status, headers, _) = http_with_headers("GET", &url, &[], "");
        let said: Vec<_> = headers.get_all("x-content-type-options").iter().collect();
        assert_eq!(said, ["nosniff"], "{path}: {status}");
    }
}

/// The HTTP library answers malformed requests without headers of the edge; these responses have no body that could be
/// misinterpreted.
#[test]
fn what_is_no_request_is_answered_without_a_body() {
    let edge = Process::start(&config(""));
    let to: SocketAddr = edge.url().strip_prefix("http://").unwrap().parse().unwrap();
    let answer = |request: &[u8]| {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.to_ascii_lowercase()
    };
    // The head is as long as the limit, and has no end.
    let mut long = format!("GET / HTTP/1.1\r\nHost: {to}\r\nX-Long: ").into_bytes();
    long.resize(64 << 10, b'x');
    for (request, status) in [(&long[..], "431"), (b"GET / HTTP/9.9\r\n\r\n", "400"), (b"\x01\x02\r\n\r\n", "400")] {
        let answer = answer(request);
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{answer}");
        assert!(answer.contains("\r\ncontent-length: 0\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn a_form_without_a_signature_or_with_too_many_parameters_is_refused() {
    let edge =
        Process::start(&config(&format!("{}[messages]\ntoken = \"0123456789abcdef\"\n", crate::support::PUBLIC_URL)));
    let post = |headers: &[(&str, &str)], body: &str| {
        let (status, _, text) = http_with_headers("POST", &format!("{}/sms/inbound", edge.url()), headers, body);
        (status, text)
    };
    let form = ("content-type", "application/x-www-form-urlencoded");
    let token = ("authorization", "Bearer 0123456789abcdef");
    assert_eq!(post(&[form], "From=%2B1").0, 403);
    let many = vec!["a=b"; 257].join("&");
    let (status, text) = post(&[form, token], &many);
    assert!(status == 400 && text.contains("256"), "{status} {text}");
    assert_eq!(post(&[form, token], "From=%2B14155550100&To=%2B14155550101&Body=Hello").0, 200);
}

/// Rejects calls of a caller until the list of ended calls is long.
fn fill(edge: &Process, caller: &Party) {
    let to = edge.address("udp");
    for n in 0..CALLS {
        let id = format!("filler-{n}");
        caller.send(to, &caller.request("INVITE", "+14155550123", to, &id, 1, ""));
        let (refused, _) = caller.receive("SIP/2.0 4");
        let ack = caller.request("ACK", "+14155550123", to, &id, 1, to_tag(&refused));
        caller.send(to, &ack.replace(&format!("{id}ACK1"), &format!("{id}INVITE1")));
    }
}

/// Requests the list with a receive window of a few KiB.
fn ask(to: SocketAddr, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

#[test]
fn lists_that_clients_do_not_read_are_bounded_and_probes_are_answered_meanwhile() {
    let caller = Party::new("127.0.0.1");
    let trunk = format!("[trunk.carrier]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n", caller.address);
    let edge = Process::start(&config(&format!("[limits]\ncalls_per_second = 0\n{trunk}")));
    fill(&edge, &caller);
    let path = "/v1/calls?limit=300&state=ended";
    let list = until("all have ended", || {
        let (_, list) = edge.get(path);
        (list.matches("\"sid\":\"CA").count() >= CALLS).then_some(list)
    });
    let (to, before) = (edge.address("http"), edge.memory_kib());
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| ask(to, path)).collect();
    // Each client has the beginning of its response: the edge has produced all of them.
    let status = |client: &mut TcpStream| {
        let mut line = [0; 12];
        client.read_exact(&mut line).unwrap();
        String::from_utf8(line.to_vec()).unwrap()
    };
    assert_eq!(edge.get("/healthz").0, 200, "while they are made");
    let answers: Vec<String> = clients.iter_mut().map(status).collect();
    let refused = answers.iter().filter(|answer| answer.ends_with("503")).count();
    let (whole, grown) = (list.len() * CLIENTS, (edge.memory_kib() - before) as usize * 1024);
    assert!(answers.iter().any(|answer| answer.ends_with("200")), "{answers:?}");
    assert!(whole < 48 << 20 || refused > 0, "{whole} bytes: {answers:?}");
    assert!(grown < 96 << 20, "{grown} bytes for {whole}");
    // A client that reads gets the complete response, which frees memory.
    let first = answers.iter().position(|answer| answer.ends_with("200")).unwrap();
    let mut rest = Vec::new();
    clients[first].read_to_end(&mut rest).unwrap();
    assert!(rest.len() > list.len() / 2 && rest.ends_with(b"}"), "{} of {}", rest.len(), list.len());
    drop(clients);
    until("lists are answered again", || (edge.get(path).0 == 200).then_some(()));
}
