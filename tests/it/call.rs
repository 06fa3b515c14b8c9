//! `trunkgate call` through the real binary: an answered call with audio, and each kind of failure.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread::JoinHandle;

use crate::support::calls::{NUMBER, Phone};
use crate::support::dns::NameServer;
use crate::support::sip::{Party, field};
use crate::support::tls::Authority;
use crate::support::{PATIENCE, Process, config, finish, trunkgate};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{} {}", text(&output.stdout), text(&output.stderr)))
}

/// Starts an edge that accepts calls from loopback and calls `callee`; `keys` are those of the caller's trunk.
fn edge(callee: &Phone, listen: &str, keys: &str) -> Process {
    Process::start(&config(&format!(
        "{listen}[trunk.tester]\naccept_from = [\"127.0.0.1/32\"]\n{keys}{}\
         [[route]]\nfrom = [\"tester\"]\nconnect = [\"trunk:pbx\"]\n",
        callee.trunk("pbx")
    )))
}

/// Answers one call, echoes all audio, and answers the BYE; returns the INVITE.
fn echo(callee: Phone) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let rtp = callee.rtp.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut packet = [0; 2048];
            while let Ok((len, from)) = rtp.recv_from(&mut packet) {
                let _ = rtp.send_to(&packet[..len], from);
            }
        });
        let (invite, from) = callee.sip.receive("INVITE ");
        callee.sip.send(from, &callee.sip.answer(&invite, "180 Ringing", false));
        callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &callee.description(1, "")));
        callee.sip.receive("ACK ");
        let (bye, from) = callee.sip.receive("BYE ");
        callee.sip.send(from, &callee.sip.answer(&bye, "200 OK", false));
        invite
    })
}

/// Writes a WAV file with this many samples of a sawtooth.
fn wav(path: &Path, samples: u32) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    (0..samples).for_each(|n| writer.write_sample((n % 80) as i16 * 250 - 10_000).unwrap());
    writer.finalize().unwrap();
}

#[test]
fn a_call_plays_records_and_tells_how_it_sounded() {
    let callee = Phone::new("127.0.0.5");
    let edge = edge(&callee, "", "");
    let (played, recorded) = (edge.directory.path().join("a.wav"), edge.directory.path().join("b.wav"));
    wav(&played, 8000);
    let far = echo(callee);
    let uri = format!("sip:{NUMBER}@{}", edge.address("udp"));
    let (play, record) = (played.to_str().unwrap(), recorded.to_str().unwrap());
    let arguments =
        ["call", &uri, "--play", play, "--record", record, "--codec", "pcmu", "--from", "+14155550199", "--json"];
    let output = finish(&arguments);
    assert_eq!(output.status.code(), Some(0), "{} {}", text(&output.stdout), text(&output.stderr));
    let invite = far.join().unwrap();
    // The offered codecs come first, then those that the edge can transcode.
    assert!(invite.contains("<sip:+14155550199@") && invite.contains("RTP/AVP 0 8 107 101"), "{invite}");
    let told = json(&output);
    assert_eq!([&told["codec"], &told["transport"], &told["ended"]], ["PCMU", "udp", "hung up here"]);
    assert!(told["srtp"].is_null() && told["failure"].is_null() && told["answered"] == true, "{told}");
    let (heard, sent) = (told["rtp"]["rx_packets"].as_u64().unwrap(), told["rtp"]["tx_packets"].as_u64().unwrap());
    assert!(heard > 25 && sent > 25 && told["rtp"]["mos"].as_f64().unwrap() > 1.0, "{told}");
    let trace = told["trace"].as_array().unwrap();
    let messages: Vec<&str> = trace.iter().filter_map(|entry| entry["text"].as_str()).collect();
    for what in ["INVITE", "180 Ringing", "200 OK", "ACK", "BYE"] {
        assert!(messages.contains(&what), "{messages:?}");
    }
    // The callee has echoed the audio played: half a second of the sawtooth is contiguous.
    let mut reader = hound::WavReader::open(&recorded).unwrap();
    let samples: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
    let is_saw = |window: &[i16]| {
        let start = window.iter().position(|s| *s < -9_000).unwrap_or(0);
        window[start..]
            .iter()
            .zip((0..80).cycle())
            .filter(|(s, n)| (i32::from(**s) - (n * 250 - 10_000)).abs() > 700)
            .count()
            < 200
    };
    assert!(samples.windows(4000).step_by(80).any(is_saw), "{} samples", samples.len());
}

/// Answers a call, and sends the digits 1, 2 and 3, five packets each, in place of echoed audio.
fn presses(callee: Phone) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let rtp = callee.rtp.try_clone().unwrap();
        std::thread::spawn(move || {
            let (mut packet, mut began) = ([0; 2048], [0; 4]);
            for n in 0_usize.. {
                let Ok((mut len, from)) = rtp.recv_from(&mut packet) else { return };
                if let Some(key) = (n / 5).checked_sub(2).filter(|key| *key < 3) {
                    if n.is_multiple_of(5) {
                        began.copy_from_slice(&packet[4..8]);
                    }
                    packet[1] = 101;
                    packet[4..8].copy_from_slice(&began);
                    packet[12..16].copy_from_slice(&[key as u8 + 1, 10, 0, 160]);
                    len = 16;
                }
                let _ = rtp.send_to(&packet[..len], from);
            }
        });
        let (invite, from) = callee.sip.receive("INVITE ");
        let keys = "m=audio PORT RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";
        let keys = keys.replace("PORT", &callee.rtp.local_addr().unwrap().port().to_string());
        callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &callee.described(1, &keys)));
        callee.sip.receive("ACK ");
        let (bye, from) = callee.sip.receive("BYE ");
        callee.sip.send(from, &callee.sip.answer(&bye, "200 OK", false));
    })
}

#[test]
fn keys_of_the_far_side_are_shown_and_are_no_loss() {
    let callee = Phone::new("127.0.0.5");
    let edge = edge(&callee, "", "");
    let far = presses(callee);
    let uri = format!("sip:{NUMBER}@{}", edge.address("udp"));
    let output = finish(&["call", &uri, "--duration", "1s"]);
    let page = text(&output.stdout);
    far.join().unwrap();
    assert!(page.contains("\nkeys   123\n") && page.contains(" 0 lost "), "{page} {}", text(&output.stderr));
}

/// Answers one call, echoes all audio, and hangs up half a second after it has returned the digit A.
fn echo_until_a(callee: Phone) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let (invite, from) = callee.sip.receive("INVITE ");
        let events = "a=rtpmap:101 telephone-event/8000\r\n";
        let answer = callee.description(1, events).replace("RTP/AVP 0", "RTP/AVP 0 101");
        callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &answer));
        callee.sip.receive("ACK ");
        let (mut packet, mut left) = ([0; 2048], None);
        while left != Some(0) {
            let (length, from) = callee.rtp.recv_from(&mut packet).unwrap();
            callee.rtp.send_to(&packet[..length], from).unwrap();
            // RFC 4733: event code and end bit.
            let is_end_of_a = length == 16 && packet[1] & 0x7f == 101 && packet[12] == 12 && packet[13] & 0x80 != 0;
            left = left.map(|left: u32| left - 1).or(is_end_of_a.then_some(25));
        }
        let (of_edge, me, id) = (field(&invite, "From"), field(&invite, "To"), field(&invite, "Call-ID"));
        let (at, uri) = (callee.sip.address, field(&invite, "Contact").trim_matches(['<', '>']));
        let bye = format!(
            "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKend\r\nMax-Forwards: 70\r\nFrom: {me};tag=callee\r\n\
             To: {of_edge}\r\nCall-ID: {id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        callee.sip.send(from, &bye);
        callee.sip.receive("SIP/2.0 200");
    })
}

/// The caller uses another codec than the callee, and DTMF goes in both directions.
#[test]
fn other_codecs_are_spoken_and_keys_are_pressed() {
    for (asked, name) in [("opus", "opus"), ("g722", "G722"), ("pcmu", "PCMU")] {
        let callee = Phone::new("127.0.0.5");
        let edge = edge(&callee, "", "codecs = [\"PCMU\", \"G722\", \"opus\"]\n");
        let far = echo_until_a(callee);
        let recorded = edge.directory.path().join("b.wav");
        let uri = format!("sip:{NUMBER}@{}", edge.address("udp"));
        let arguments = ["call", &uri, "--codec", asked, "--dtmf", "12#a", "--duration", "50s", "--json", "--record"];
        let output = finish(&[&arguments[..], &[recorded.to_str().unwrap()]].concat());
        far.join().unwrap();
        let told = json(&output);
        assert_eq!((told["codec"].as_str(), told["answered"].as_bool()), (Some(name), Some(true)), "{told}");
        let rtp = &told["rtp"];
        assert_eq!([&rtp["keys"], &rtp["pressed"]], ["12#A", "12#A"], "{told}");
        assert_eq!(rtp["mos"].is_null(), name != "PCMU", "{told}");
        let level = rtp["level_dbfs"].as_f64().unwrap();
        assert!((-16.0..-9.0).contains(&level), "{name}: {level}");
        // Only part of the call: audio that came late is missing.
        let samples = f64::from(hound::WavReader::open(&recorded).unwrap().len());
        let whole = told["duration_ms"].as_f64().unwrap() * 8.0;
        assert!(8000.0 < samples && samples < whole + 8000.0, "{name}: {samples} of {whole}");
    }
}

#[test]
fn keys_that_nobody_takes_are_not_pressed() {
    let callee = Phone::new("127.0.0.5");
    let edge = edge(&callee, "", "");
    let far = echo(callee);
    let uri = format!("sip:{NUMBER}@{}", edge.address("udp"));
    let output = finish(&["call", &uri, "--duration", "1s", "--dtmf", "1"]);
    far.join().unwrap();
    let page = text(&output.stdout);
    assert!(page.contains("! no digit was sent: the remote party does not support telephone-event"), "{page}");
}

#[test]
fn the_page_has_the_ladder_and_both_directions() {
    let callee = Phone::new("127.0.0.5");
    let edge = edge(&callee, "", "");
    let far = echo(callee);
    let uri = format!("sip:{NUMBER}@{};transport=tcp", edge.address("tcp"));
    let output = finish(&["call", &uri, "--duration", "1s"]);
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{page} {}", text(&output.stderr));
    far.join().unwrap();
    for what in [
        "─INVITE─",
        "180 Ringing",
        "◀────200 OK",
        "─ACK──",
        "─BYE──",
        "═▶",
        "codec  PCMU, srtp off",
        "MOS 4",
        "our own tone was received",
        "hung up here",
    ] {
        assert!(page.contains(what), "{what} in {page}");
    }
    let progress = text(&output.stderr);
    assert!(
        progress.contains("by tcp 127.0.0.1:") && progress.contains("ringing") && progress.contains("answered"),
        "{progress}"
    );
}

#[test]
fn tls_and_srtp_as_the_trunk_wants_them() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let pair = authority.issue("edge", &["127.0.0.1"]);
    let listen =
        format!("[[listen]]\nname = \"s\"\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n{}\n", pair.keys("\n"));
    let callee = Phone::new("127.0.0.5");
    let edge = edge(&callee, &listen, "srtp = \"required\"\n");
    let uri = format!("sip:{NUMBER}@{};transport=tls", edge.address("tls"));
    let ca = authority.file.to_str().unwrap();
    // Without the issuer there is no TLS, and without --srtp no call.
    let stranger = finish(&["call", &uri, "--srtp"]);
    let told = text(&stranger.stdout);
    assert_eq!(stranger.status.code(), Some(1), "{told}");
    assert!(told.contains("TLS failed") && told.contains("--ca"), "{told}");
    let plain = finish(&["call", &uri, "--ca", ca, "--json"]);
    assert_eq!((plain.status.code(), json(&plain)["code"].as_u64()), (Some(1), Some(488)));
    assert!(json(&plain)["failure"].as_str().unwrap().contains("--srtp"), "{}", json(&plain));

    let far = echo(callee);
    let output = finish(&["call", &uri, "--ca", ca, "--srtp", "--duration", "1s", "--json"]);
    let told = json(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(far.join().unwrap().contains("RTP/AVP "), "the callee has no SRTP");
    assert_eq!(told["transport"], "tls");
    assert!(told["srtp"].as_str().unwrap().starts_with("AE"), "{told}");
    assert_eq!((&told["rtp"]["echo"], &told["rtp"]["srtp_failures"]), (&Value::from(true), &Value::from(0)));
}

/// The TLS listener requires client certificates: the error of each call without the right one names the flags.
#[test]
fn a_server_that_requires_a_client_certificate_is_told_from_one_that_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new(folder.path(), "authority"), Authority::new(folder.path(), "other"));
    let listen = format!(
        "[[listen]]\nname = \"s\"\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n{}\nclient_ca = {:?}\n",
        authority.issue("edge", &["127.0.0.1"]).keys("\n"),
        authority.file
    );
    let callee = Phone::new("127.0.0.5");
    let edge = edge(&callee, &listen, "");
    let uri = format!("sip:{NUMBER}@{};transport=tls", edge.address("tls"));
    let ca = authority.file.to_str().unwrap();
    let call = |more: &[&str]| {
        let output = finish(&[&["call", &uri, "--ca", ca, "--duration", "1s", "--json"], more].concat());
        (output.status.code(), json(&output))
    };
    let (code, none) = call(&[]);
    let failure = none["failure"].as_str().unwrap();
    assert_eq!(code, Some(1), "{none}");
    assert!(
        failure.contains("the server asks for a client certificate: add --certificate FILE and --private-key FILE"),
        "{failure}"
    );
    let flags = |pair: &crate::support::tls::Pair| {
        [pair.certificate.display().to_string(), pair.private_key.display().to_string()]
    };
    let forged = flags(&other.issue("forged", &["pbx.example"]));
    let (code, wrong) = call(&["--certificate", &forged[0], "--private-key", &forged[1]]);
    assert_eq!(code, Some(1), "{wrong}");
    assert!(wrong["failure"].as_str().unwrap().contains("has issued --certificate"), "{wrong}");
    let right = flags(&authority.issue("pbx", &["pbx.example"]));
    let far = echo(callee);
    let (code, answered) = call(&["--certificate", &right[0], "--private-key", &right[1]]);
    assert_eq!(code, Some(0), "{answered}");
    far.join().unwrap();
}

#[test]
fn credentials_are_shown_where_they_are_asked_for() {
    let callee = Phone::new("127.0.0.5");
    let keys = "require_auth = { username = \"acme\", password = \"a-right-one\" }\n";
    let edge = edge(&callee, "", keys);
    let uri = format!("sip:{NUMBER}@{}", edge.address("udp"));
    let none = finish(&["call", &uri]);
    assert_eq!(none.status.code(), Some(1));
    assert!(
        text(&none.stdout).contains("refused with 401") && text(&none.stdout).contains("--username"),
        "{}",
        text(&none.stdout)
    );
    let with = |password: &str, name: &str| {
        let mut command = trunkgate(&["call", &uri, "--username", "acme", "--password-env", "PASSWORD_OF_TEST"]);
        command.env(name, password).output().unwrap()
    };
    let wrong = with("a-wrong-one", "PASSWORD_OF_TEST");
    assert_eq!(wrong.status.code(), Some(1));
    let missing = with("a-right-one", "ANOTHER");
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("PASSWORD_OF_TEST"), "{}", text(&missing.stderr));
    let busy = std::thread::spawn(move || {
        let (invite, from) = callee.sip.receive("INVITE ");
        callee.sip.send(from, &callee.sip.answer(&invite, "486 Busy Here", false));
    });
    let right = with("a-right-one", "PASSWORD_OF_TEST");
    busy.join().unwrap();
    let told = text(&right.stdout);
    assert_eq!(right.status.code(), Some(1), "{told}");
    assert!(told.contains("not answered: refused with 486 Busy Here") && told.contains("401"), "{told}");
    for output in [&wrong, &right] {
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(!all.contains("-one") && !all.contains("response="), "{all}");
    }
}

#[test]
fn what_cannot_be_tried_is_usage() {
    let directory = tempfile::tempdir().unwrap();
    let noise = directory.path().join("noise.wav");
    std::fs::write(&noise, "noise").unwrap();
    let noise = noise.to_str().unwrap();
    for (arguments, what) in [
        (&["call"][..], "SIP-URI"),
        (&["call", "127.0.0.1"], "sip:127.0.0.1"),
        (&["call", "sips:a@127.0.0.1;transport=udp"], "never UDP"),
        (&["call", "sip:a@127.0.0.1", "--codec", "G729"], "PCMU, PCMA, G722 or opus"),
        (&["call", "sip:a@127.0.0.1", "--play", "/nowhere.wav"], "/nowhere.wav"),
        (&["call", "sip:a@127.0.0.1", "--play", noise], "not a WAV, AIFF, AU, MP3, Ogg Vorbis or Ogg Opus file"),
        (&["call", "sip:a@127.0.0.1", "--from", "a b"], "--from"),
        (&["call", "sip:a@127.0.0.1", "--ca", "/nowhere.pem"], "/nowhere.pem"),
        (&["call", "sip:a@127.0.0.1", "--certificate", "a.pem"], "--private-key"),
    ] {
        let output = finish(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(what), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn nobody_there_and_nobody_who_answers_are_told_apart() {
    let closed = Party::new("127.0.0.9").address;
    for transport in ["udp", "tcp"] {
        let output = finish(&["call", &format!("sip:a@{closed};transport={transport}")]);
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("refused: no listener at this port"), "{transport}: {told}");
    }
    let no_tls = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = no_tls.local_addr().unwrap();
    let closes = std::thread::spawn(move || drop(no_tls.accept()));
    let output = finish(&["call", &format!("sips:a@{address}")]);
    closes.join().unwrap();
    assert!(text(&output.stdout).contains("TLS failed"), "{}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(1));

    let silent = Party::new("127.0.0.9");
    let address = silent.address;
    let output = finish(&["call", &format!("sip:a@{address}")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("no response to the INVITE in 8 s"), "{}", text(&output.stdout));
    let rings = std::thread::spawn(move || {
        // Retransmissions of the previous call may still be queued.
        let (invite, from) = loop {
            let (invite, from) = silent.receive("INVITE ");
            if invite.starts_with("INVITE sip:b@") {
                break (invite, from);
            }
        };
        silent.send(from, &silent.answer(&invite, "180 Ringing", false));
        let (cancel, _) = silent.receive("CANCEL ");
        silent.send(from, &silent.answer(&cancel, "200 OK", false));
        silent.send(from, &silent.answer(&invite, "487 Request Terminated", false));
    });
    let output = finish(&["call", &format!("sip:b@{address}"), "--ring-timeout", "1s"]);
    rings.join().unwrap();
    assert!(text(&output.stdout).contains("not answered in 1 s"), "{}", text(&output.stdout));
}

#[test]
fn names_lead_to_servers_and_the_next_is_tried() {
    let names = NameServer::start();
    let (closed, full, callee) = (Party::new("127.0.0.6").address, Party::new("127.0.0.7"), Party::new("127.0.0.8"));
    let records = [
        (1, closed.port(), "closed.test"),
        (2, full.address.port(), "full.test"),
        (3, callee.address.port(), "good.test"),
    ];
    let records = records.map(|(priority, port, target)| (priority, 0, port, target));
    names.srv("_sip._udp.pbx.test", 60, &records);
    for (name, address) in [("closed.test", "127.0.0.6"), ("full.test", "127.0.0.7"), ("good.test", "127.0.0.8")] {
        names.addresses(name, 60, &[address]);
    }
    let refuses = std::thread::spawn(move || {
        for (party, status) in [(&full, "503 Full"), (&callee, "404 Not Found")] {
            let (invite, from) = party.receive("INVITE ");
            assert!(invite.starts_with("INVITE sip:desk@pbx.test SIP/2.0"), "{invite}");
            party.send(from, &party.answer(&invite, status, false));
            party.receive("ACK ");
        }
    });
    let (name, value) = names.variable();
    let call = |uri: &str| trunkgate(&["call", uri, "--json"]).env(name, &value).output().unwrap();
    let output = call("sip:desk@pbx.test");
    refuses.join().unwrap();
    let told = json(&output);
    assert_eq!((output.status.code(), told["code"].as_u64()), (Some(1), Some(404)), "{told}");
    assert!(text(&output.stderr).contains("refused: no listener"), "{}", text(&output.stderr));
    let nowhere = call("sip:desk@nowhere.test");
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(json(&nowhere)["failure"].as_str().unwrap().contains("nowhere.test has no address"));
}

#[test]
fn ctrl_c_withdraws_what_rings_and_ends_what_is_answered() {
    for answered in [false, true] {
        let callee = Phone::new("127.0.0.5");
        let mut child = trunkgate(&["call", &format!("sip:a@{}", callee.sip.address), "--duration", "10m"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut says = |what: &str| assert!(progress.any(|line| line.unwrap().contains(what)), "{what}");
        let (invite, from) = callee.sip.receive("INVITE ");
        callee.sip.send(from, &callee.sip.answer(&invite, "180 Ringing", false));
        says("ringing");
        if answered {
            callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &callee.description(1, "")));
            says("answered");
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let (request, from) = callee.sip.receive(if answered { "BYE " } else { "CANCEL " });
        callee.sip.send(from, &callee.sip.answer(&request, "200 OK", false));
        if !answered {
            callee.sip.send(from, &callee.sip.answer(&invite, "487 Request Terminated", false));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!answered)), "{}", text(&output.stdout));
    }
    assert!(PATIENCE.as_secs() < 600, "the call would not have ended by itself");
}
