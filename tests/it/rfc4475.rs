//! Torture messages of RFC 4475 over TCP: the real binary answers each as over UDP.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;

use crate::support::{PATIENCE, Process, config};

const TRUNK: &str = "[trunk.all]\naccept_from = [\"127.0.0.0/8\"]\n[[route]]\nconnect = [\"reject:486\"]\n";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/sip/tests/rfc4475")
}

/// Returns the bytes of a message. Several messages share a branch: a second one would count as a retransmission (RFC
/// 3261 §17.2.3).
fn message(file: &str) -> Vec<u8> {
    let bytes = std::fs::read(folder().join(file)).unwrap();
    let shared = b"branch=z9hG4bKkdjuw";
    match bytes.windows(shared.len()).position(|part| part == shared) {
        Some(at) => [&bytes[..at + shared.len()], file.as_bytes(), &bytes[at + shared.len()..]].concat(),
        None => bytes,
    }
}

fn connect(edge: &Process) -> TcpStream {
    let stream = TcpStream::connect(edge.address("tcp")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the end of the stream, or until status lines with all of these codes have arrived; returns all codes so
/// far.
fn codes_until(stream: &mut TcpStream, wanted: &[&str]) -> Vec<String> {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let lines = text.lines().filter_map(|line| line.strip_prefix("SIP/2.0 "));
        let codes: Vec<String> = lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
        if wanted.iter().all(|wanted| codes.iter().any(|code| code == wanted)) {
            return codes;
        }
        let len = stream.read(&mut buffer).unwrap_or_else(|error| panic!("{wanted:?} but {codes:?}: {error}"));
        if len == 0 {
            return codes;
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..len]));
    }
}

#[test]
fn every_message_gets_over_tcp_the_answer_that_it_gets_over_udp() {
    let edge = Process::start(&config(TRUNK));
    let expected = std::fs::read_to_string(folder().join("expected.txt")).unwrap();
    let options = "OPTIONS sip:edge SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKprobe\r\nMax-Forwards: 70\r\n\
        From: <sip:a@h>;tag=1\r\nTo: <sip:edge>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let (mut count, mut wrong) = (0, Vec::new());
    for line in expected.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut fields = line.split('|').map(str::trim);
        let (file, treatment) = (fields.next().unwrap(), fields.next().unwrap());
        count += 1;
        let mut stream = connect(&edge);
        stream.write_all(&message(file)).unwrap();
        let codes = match treatment.split_once(' ') {
            Some(("answer", code)) => {
                if matches!(file, "baddn.dat" | "clerr.dat") {
                    // These messages announce more bytes than they contain, which only the end of a stream shows.
                    stream.shutdown(Shutdown::Write).unwrap();
                }
                let codes = codes_until(&mut stream, &[code]);
                if codes.iter().any(|found| found == code) { continue } else { codes }
            }
            // Content-Length is mandatory over a stream (RFC 3261 §20.14).
            None if file == "inv2543.dat" => {
                let codes = codes_until(&mut stream, &["400"]);
                if codes == ["400"] { continue } else { codes }
            }
            None if treatment == "serve" => {
                let codes = codes_until(&mut stream, &["100", "486"]);
                if codes.iter().any(|code| code == "100") { continue } else { codes }
            }
            // The first response is that to the next request.
            _ => {
                stream.write_all(options.as_bytes()).unwrap();
                let codes = codes_until(&mut stream, &["200"]);
                if codes.is_empty() || codes == ["200"] { continue } else { codes }
            }
        };
        wrong.push(format!("{file}: {codes:?} instead of {treatment}"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(count, 49);
}

#[test]
fn pipelined_requests_are_answered_before_broken_framing_closes_the_stream() {
    let edge = Process::start(&config(TRUNK));
    for turn in 0..20 {
        let mut stream = connect(&edge);
        let text = String::from_utf8(message("dblreq.dat")).unwrap();
        let text = text.replace("0ha0isnda", &format!("{turn}isnda")).replace("kdjuw", &format!("kdjuw{turn}x"));
        stream.write_all(text.as_bytes()).unwrap();
        // The file has a REGISTER, then an INVITE with an invalid SDP and excess bytes: the stream is read to its end.
        let codes = codes_until(&mut stream, &["none"]);
        for wanted in ["405", "100", "400"] {
            assert!(codes.iter().any(|code| code == wanted), "{wanted}: {codes:?}");
        }
    }
}
