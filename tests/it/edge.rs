//! Edge on real loopback sockets: admission of sources, closed connections, and the HTTP interface.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::support::sip::Party;
use crate::support::{PATIENCE, Process, config, http, http_with_headers, until};
use socket2::{Domain, Socket, Type};

/// Configuration in which 127.0.0.1 is a trunk, and all other addresses are unknown.
const ONE_TRUNK: &str = "[trunk.carrier]\npeers = [\"sip:127.0.0.1:5070\"]\n[[route]]\nconnect = [\"trunk:carrier\"]\n";

/// Connects from a loopback address.
fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the connection is closed.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(len) => all.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("not closed: {error}"),
        }
    }
}

fn options(from: SocketAddr, transport: &str) -> String {
    format!(
        "OPTIONS sip:edge SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bKo;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@{from}>;tag=1\r\nTo: <sip:edge>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_stranger_gets_no_byte_by_udp() {
    let edge = Process::start(&config(ONE_TRUNK));
    let sip = edge.address("udp");
    let (stranger, carrier) = (Party::new("127.0.0.2"), Party::new("127.0.0.1"));
    for _ in 0..20 {
        stranger.send(sip, &options(stranger.address, "UDP"));
        stranger.send(sip, &stranger.request("INVITE", "+14155550123", sip, "x", 1, ""));
        stranger.send(sip, "garbage\r\n\r\n");
    }
    // The edge reads a socket in order: once this is answered, earlier messages have been processed.
    carrier.send(sip, &options(carrier.address, "UDP"));
    carrier.receive("SIP/2.0 200");
    assert!(stranger.heard_nothing());
    assert_eq!(edge.metric("trunkgate_sip_dropped_total{reason=\"unknown_source\"}"), 60.0);
    let problems = edge.json("/v1/status")["problems"].to_string();
    assert!(
        problems.contains("unknown sources is dropped: 60 messages in the last hour, the latest from 127.0.0.2"),
        "{problems}"
    );
}

#[test]
fn a_stranger_gets_no_byte_by_tcp_and_is_closed() {
    let edge = Process::start(&config(ONE_TRUNK));
    let mut stranger = connect("127.0.0.2", edge.address("tcp"));
    let _ = stranger.write_all(options(stranger.local_addr().unwrap(), "TCP").as_bytes());
    assert_eq!(until_closed(&mut stranger), b"");
    assert_eq!(edge.metric("trunkgate_sip_dropped_total{reason=\"connection_unknown_source\"}"), 1.0);
}

#[test]
fn a_trunk_s_tcp_is_answered_in_pieces_pinged_and_closed_after_garbage() {
    let edge = Process::start(&config(ONE_TRUNK));
    let mut carrier = connect("127.0.0.1", edge.address("tcp"));
    let request = options(carrier.local_addr().unwrap(), "TCP");
    let (head, tail) = request.split_at(40);
    carrier.write_all(head.as_bytes()).unwrap();
    carrier.write_all(tail.as_bytes()).unwrap();
    let mut buffer = [0; 2048];
    let len = carrier.read(&mut buffer).unwrap();
    assert!(buffer[..len].starts_with(b"SIP/2.0 200"), "{}", String::from_utf8_lossy(&buffer[..len]));

    carrier.write_all(b"\r\n\r\n").unwrap();
    let len = carrier.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"\r\n");

    carrier.write_all(b"\x00\x01 this is not SIP at all\r\n\r\n").unwrap();
    assert_eq!(until_closed(&mut carrier), b"");

    // Complete requests are answered before the connection ends.
    let mut carrier = connect("127.0.0.1", edge.address("tcp"));
    let without_length =
        options(carrier.local_addr().unwrap(), "TCP").replace("Content-Length: 0", "Content-Length: x");
    carrier.write_all(without_length.as_bytes()).unwrap();
    let answer = String::from_utf8(until_closed(&mut carrier)).unwrap();
    assert!(answer.starts_with("SIP/2.0 400"), "{answer}");
    until("both are gone", || (edge.metric("trunkgate_sip_connections_active") == 0.0).then_some(()));
}

#[test]
fn the_oldest_idle_connection_of_a_full_address_makes_room_for_a_new_one() {
    let callee = Party::new("127.0.0.1");
    let edge = Process::start(&config(&ONE_TRUNK.replace("127.0.0.1:5070", &callee.address.to_string())));
    let limit = trunkgate_system::limits::CONNECTIONS_PER_SOURCE;
    let tcp = edge.address("tcp");
    // The oldest connection has a ringing call.
    let mut caller = connect("127.0.0.1", tcp);
    let from = caller.local_addr().unwrap();
    let invite = format!(
        "INVITE sip:+14155550123@edge SIP/2.0\r\nVia: SIP/2.0/TCP {from};branch=z9hG4bKi;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@{from}>;tag=1\r\nTo: <sip:+14155550123@edge>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:a@{from};transport=tcp>\r\nContent-Length: 0\r\n\r\n"
    );
    caller.write_all(invite.as_bytes()).unwrap();
    let mut buffer = [0; 2048];
    assert!(caller.read(&mut buffer).unwrap() > 0, "100 Trying");
    let (invite, from) = callee.receive("INVITE ");
    callee.send(from, &callee.answer(&invite, "180 Ringing", false));
    let is_answered = |stream: &mut TcpStream| {
        stream.write_all(options(stream.local_addr().unwrap(), "TCP").as_bytes()).unwrap();
        let len = stream.read(&mut [0; 2048]).unwrap_or(0);
        len > 0
    };
    // A connection that has been idle since its last message counts like one without any message.
    let mut idle: Vec<TcpStream> = (1..limit).map(|_| connect("127.0.0.1", tcp)).collect();
    assert!(idle.iter_mut().take(limit / 2).all(is_answered));
    let mut new: Vec<TcpStream> = Vec::new();
    for (at, oldest) in idle.iter_mut().take(10).enumerate() {
        new.push(connect("127.0.0.1", tcp));
        assert!(is_answered(new.last_mut().unwrap()), "{at}");
        until_closed(oldest);
    }
    let dropped = |reason: &str| edge.metric(&format!("trunkgate_sip_dropped_total{{reason=\"{reason}\"}}"));
    assert_eq!((dropped("connection_limit"), dropped("connection_evicted")), (0.0, 10.0));
    assert!(new.iter_mut().chain(&mut idle[10..]).all(is_answered), "only the oldest had to go");
    caller.set_nonblocking(true).unwrap();
    let mut rest = vec![0; 1 << 16];
    let open = loop {
        match caller.read(&mut rest) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
        }
    };
    assert!(open, "the call's connection is not evicted");
    let log = edge.whole_log();
    assert!(log.contains("it was the oldest one without a call or a registration"), "{log}");
}

/// Requests the metrics over an open connection.
fn ask(http: &mut TcpStream) -> String {
    http.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let len = http.read(&mut buffer).unwrap();
        assert!(len > 0, "closed");
        all.extend_from_slice(&buffer[..len]);
        let text = String::from_utf8_lossy(&all).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().to_owned();
        if body.len() >= length.parse().unwrap() {
            return text;
        }
    }
}

#[test]
fn without_files_to_open_the_log_says_so_seldom_and_the_edge_comes_back() {
    let trunks = ONE_TRUNK.replace(
        "peers = [\"sip:127.0.0.1:5070\"]",
        "peers = [\"sip:127.0.0.1:5070\"]\naccept_from = [\"127.0.0.0/8\"]",
    );
    let began = Instant::now();
    let edge = Process::start_with_files(&config(&trunks), 64);
    let sip = edge.address("tcp");
    let mut http = connect("127.0.0.1", edge.address("http"));
    ask(&mut http);
    let held: Vec<TcpStream> = (0..100).map(|n| connect(&format!("127.0.0.{}", 1 + n / 40), sip)).collect();
    let complaint = "no connection can be accepted";
    until("the log says so", || edge.log().contains(complaint).then_some(()));
    until("it has tried again", || {
        let text = ask(&mut http);
        let count = text.split_once("{reason=\"connection_not_accepted\"} ").unwrap().1.lines().next().unwrap();
        (count.parse::<f64>().unwrap() >= 3.0).then_some(())
    });
    drop(held);
    let mut carrier = connect("127.0.0.1", sip);
    carrier.write_all(options(carrier.local_addr().unwrap(), "TCP").as_bytes()).unwrap();
    assert!(carrier.read(&mut [0; 2048]).unwrap() > 0, "served again");
    let log = edge.whole_log();
    let most = 1 + began.elapsed().as_secs() / trunkgate_system::limits::COMPLAINT_SECONDS;
    let of_listener = log.lines().filter(|line| line.contains("listener t: no connection can be accepted")).count();
    assert!((1..=most).contains(&(of_listener as u64)), "{of_listener} of {most}: {log}");
    assert!(!log.contains("addresses of this machine changed"), "{log}");
}

#[test]
fn without_files_for_http_the_log_says_so_seldom_and_the_addresses_stay() {
    let began = Instant::now();
    let edge = Process::start_with_files(&config(ONE_TRUNK), 64);
    let http = edge.address("http");
    let held: Vec<TcpStream> = (0..100).map(|_| connect("127.0.0.1", http)).collect();
    let complaint = "http: no connection can be accepted";
    until("the log says so", || edge.log().contains(complaint).then_some(()));
    until("the interfaces are asked for", || {
        edge.log().contains("the network interfaces of this machine cannot be read").then_some(())
    });
    drop(held);
    let log = edge.whole_log();
    let most = 1 + began.elapsed().as_secs() / trunkgate_system::limits::COMPLAINT_SECONDS;
    let count = log.matches(complaint).count() as u64;
    assert!((1..=most).contains(&count), "{count} of {most}: {log}");
    assert!(!log.contains("addresses of this machine changed"), "{log}");
}

#[test]
fn http_errors_are_json_with_a_code() {
    let edge = Process::start(&config(&format!("{ONE_TRUNK}[agent.echo]\nurl = \"ws://127.0.0.1:9/\"\n")));
    let url = edge.url();
    let long = "x".repeat(20_000);
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, &str, Headers<'_>, &str, u16, &str)] = &[
        ("GET", "/nowhere", &[], "", 404, "not_found"),
        ("GET", "/v1/calls/CAnone", &[], "", 404, "unknown_call"),
        ("DELETE", "/v1/calls/CAnone", &[], "", 404, "unknown_call"),
        ("GET", "/v1/calls/CAnone/trace", &[], "", 404, "unknown_call"),
        ("POST", "/v1/calls", &[], "", 400, "bad_json"),
        ("PUT", "/v1/calls", &[], "", 405, "method_not_allowed"),
        ("GET", "/v1/reload", &[], "", 405, "method_not_allowed"),
        ("GET", "/v1/calls?state=sleeping", &[], "", 400, "bad_request"),
        ("GET", "/v1/calls?flag=oneway", &[], "", 400, "bad_request"),
        ("GET", "/v1/calls?outcome=good", &[], "", 400, "bad_request"),
        ("GET", "/v1/calls?reason=why", &[], "", 400, "bad_request"),
        ("GET", "/v1/calls?trunk=nobody", &[], "", 404, "unknown_name"),
        ("GET", "/v1/calls?route=nowhere", &[], "", 404, "unknown_name"),
        ("GET", "/v1/calls?limit=many", &[], "", 400, "bad_request"),
        ("GET", "/v1/calls?colour=red", &[], "", 400, "bad_request"),
        ("GET", "/v1/calls/%FF", &[], "", 400, "bad_request"),
        ("GET", "/v1/why?called=1", &[], "", 400, "bad_request"),
        ("GET", "/v1/why?from=nobody&called=1", &[], "", 400, "bad_request"),
        ("POST", "/v1/drain", &[], "nonsense", 400, "bad_request"),
        ("GET", "/v1/status", &[("host", "evil.example")], "", 403, "forbidden_host"),
        ("POST", "/v1/drain", &[("origin", "http://evil.example")], "", 403, "forbidden_origin"),
        ("GET", "/v1/status", &[("x-long", &long)], "", 431, "headers_too_large"),
    ];
    for (method, path, headers, body, status, code) in cases {
        let (found, text) = http(method, &format!("{url}{path}"), headers, body);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"));
        assert_eq!((found, answer["error"]["code"].as_str()), (*status, Some(*code)), "{method} {path}: {text}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
    }
    assert_eq!(edge.get("/readyz").0, 200, "nothing of that has drained it");
    let (status, text) = edge.get("/v1/calls?flag=one-way&outcome=no-answer&reason=no-route");
    assert!(status == 200 && text.contains("\"calls\":[]"), "{status} {text}");
    let (_, text) = edge.get("/v1/calls?trunk=nobody");
    assert!(text.contains("unknown trunk `nobody`: known: carrier\""), "no agent is one: {text}");
    assert_eq!(edge.get("/v1/calls?trunk=echo").0, 200, "a leg of an agent has its name there");
    assert!(edge.get("/v1/calls?flag=oneway").1.contains("did you mean `one_way`?"));
    assert!(edge.get("/v1/calls?flag=xyzzy").1.contains("one_way, codec_mismatch"), "which there are");
    let (status, text) = http("POST", &format!("{url}/v1/drain"), &[], &"x".repeat(100_000));
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("\"bad_body\""), "{text}");
}

#[test]
fn token_protects_http() {
    let edge = Process::start(&config(ONE_TRUNK).replace("[http]\n", "[http]\ntoken = \"open sesame\"\n"));
    let status = format!("{}/v1/status", edge.url());
    for wrong in [None, Some("Bearer open"), Some("Basic open sesame"), Some("Bearer open sesame!")] {
        let headers: Vec<_> = wrong.map(|value| ("authorization", value)).into_iter().collect();
        let (code, answer, text) = http_with_headers("GET", &status, &headers, "");
        assert_eq!(code, 401, "{wrong:?}");
        assert_eq!(answer["www-authenticate"], "Bearer");
        assert!(text.contains("\"unauthorized\""), "{text}");
    }
    let right = [("authorization", "Bearer open sesame"), ("host", "anything.example")];
    assert_eq!(http("GET", &status, &right, "").0, 200);
    assert_eq!((edge.get("/healthz").0, edge.get("/readyz").0, edge.get("/metrics").0), (200, 200, 401));
    let verb = |token: &str| {
        let mut command =
            crate::support::trunkgate(&["--config", edge.file.to_str().unwrap(), "status", "--url", &edge.url()]);
        command.env("TRUNKGATE_TOKEN", token).output().unwrap().status.code()
    };
    assert_eq!((verb("open sesame"), verb("wrong")), (Some(0), Some(1)));
}

/// Metric families on which users' dashboards rely, without their prefix.
const PROMISED: [&str; 36] = [
    "sip_requests_total",
    "sip_responses_total",
    "sip_retransmissions_total",
    "sip_dropped_total",
    "sip_transaction_seconds",
    "sip_transactions_active",
    "sip_dialogs_active",
    "calls_active",
    "calls_total",
    "call_setup_seconds",
    "call_duration_seconds",
    "post_dial_delay_seconds",
    "failovers_total",
    "trunk_up",
    "peer_up",
    "rtp_packets_total",
    "rtp_bytes_total",
    "rtp_lost_total",
    "rtp_dropped_total",
    "rtp_jitter_seconds",
    "call_mos",
    "relay_seconds",
    "media_sessions",
    "transcoding_sessions",
    "media_ports_in_use",
    "media_one_way_total",
    "srtp_errors_total",
    "packet_buffers_in_use",
    "config_reloads_total",
    "config_last_reload_success",
    "draining",
    "cdr_failures_total",
    "sms_total",
    "sms_queued",
    "panics_total",
    "build_info",
];
const PROCESS: [&str; 3] = ["process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds_total"];

/// The rules are those of `promtool check metrics`, and those of the format.
#[test]
fn metrics_are_well_formed() {
    let edge = Process::start(&config(ONE_TRUNK));
    let carrier = Party::new("127.0.0.1");
    carrier.send(edge.address("udp"), &options(carrier.address, "UDP"));
    carrier.receive("SIP/2.0 200");
    let (_, text) = edge.get("/metrics");
    let (mut families, mut helped) = (std::collections::BTreeMap::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.') && help.len() > 5, "{line}");
            helped.push(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(helped.last(), Some(&name), "HELP before TYPE");
            assert!(families.insert(name, kind).is_none(), "{name} twice");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert!(name.starts_with("trunkgate_") || name.starts_with("process_"), "{name}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            let name = sample.split('{').next().unwrap();
            let family = helped.last().unwrap();
            let of_histogram =
                families[family] == "histogram" && name.strip_prefix(family).is_some_and(|rest| !rest.is_empty());
            assert!(name == *family || of_histogram, "{line} is not of {family}");
        }
    }
    for name in PROMISED.iter().map(|name| format!("trunkgate_{name}")).chain(PROCESS.map(str::to_owned)) {
        assert!(families.contains_key(name.as_str()), "{name}");
    }
    let buckets: Vec<f64> = text
        .lines()
        .filter(|line| line.starts_with("trunkgate_sip_transaction_seconds_bucket"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(buckets.len() > 3 && buckets.is_sorted(), "{buckets:?}");
    let in_requests = "trunkgate_sip_requests_total{trunk=\"carrier\",method=\"OPTIONS\",direction=\"in\"}";
    assert_eq!(edge.metric(in_requests), 1.0);
}
