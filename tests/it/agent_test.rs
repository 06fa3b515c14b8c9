//! `trunkgate agent test` through the real binary: a conforming agent, an echo, and faulty ones.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{TcpListener, TcpStream};

use crate::support::{closed_address, trunkgate};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};
use trunkgate_media::agent::{SIGNATURE_HEADER, sign};
use trunkgate_media::codec::g711::decode_ulaw;

/// One second of audio that is not silent.
const VOICE: [u8; 8_000] = [0x20; 8_000];

struct Agent {
    socket: WebSocket<TcpStream>,
    stream: String,
    start: Value,
}

impl Agent {
    /// Returns the next message; `None` after the edge has disconnected.
    fn next(&mut self) -> Option<Value> {
        loop {
            if let Message::Text(text) = self.socket.read().ok()? {
                return serde_json::from_str(&text).ok();
            }
        }
    }

    fn send(&mut self, mut message: Value) {
        message["streamSid"] = json!(self.stream);
        let _ = self.socket.send(Message::text(message.to_string()));
    }

    fn say(&mut self, audio: &[u8]) {
        self.send(json!({ "event": "media", "media": { "payload": BASE64.encode(audio) } }));
    }

    /// Returns whether the caller speaks in this message, in μ-law or linear PCM.
    fn is_voice(message: &Value) -> bool {
        let payload = message["media"]["payload"].as_str();
        payload
            .is_some_and(|payload| BASE64.decode(payload).unwrap().iter().any(|byte| *byte != 0 && byte | 0x80 != 0xff))
    }

    /// Reads until the caller has spoken and is silent again.
    fn listen(&mut self) {
        let (mut has_spoken, mut quiet) = (false, 0);
        while let Some(message) = self.next() {
            if message["event"] != "media" {
                continue;
            }
            let is_voice = Agent::is_voice(&message);
            has_spoken |= is_voice;
            quiet = if is_voice { 0 } else { quiet + 1 };
            if has_spoken && quiet >= 10 {
                return;
            }
        }
    }

    /// Reads until the edge disconnects, and calls `each` with each message.
    fn rest(&mut self, mut each: impl FnMut(&mut Agent, &Value)) {
        while let Some(message) = self.next() {
            each(self, &message);
        }
    }
}

/// Starts an agent that serves each connection by `serve`; returns its URL.
fn agent(serve: impl Fn(&mut Agent) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/media", listener.local_addr().unwrap());
    let signed = url.clone();
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let (serve, signed) = (serve.clone(), signed.clone());
            std::thread::spawn(move || {
                #[expect(clippy::result_large_err, reason = "the library's own")]
                let check = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
                    let told = request.headers().get(SIGNATURE_HEADER).map(|told| told.to_str().unwrap().to_owned());
                    match told.is_none_or(|told| told == sign("secret", &signed)) {
                        true => Ok(response),
                        false => Err(Response::builder().status(403).body(None).unwrap()),
                    }
                };
                let Ok(socket) = accept_hdr(tcp, check) else { return };
                let mut agent = Agent { socket, stream: String::new(), start: Value::Null };
                let connected = agent.next().unwrap();
                let start = agent.next().unwrap();
                assert_eq!((&connected["event"], &start["event"]), (&json!("connected"), &json!("start")));
                agent.stream = start["streamSid"].as_str().unwrap().to_owned();
                agent.start = start["start"].clone();
                serve(&mut agent);
            });
        }
    });
    url
}

/// Report of the command about an agent, and the exit code.
struct Told {
    all: Value,
    code: Option<i32>,
}

impl Told {
    fn of(url: &str, flags: &[&str], variables: &[(&str, &str)]) -> Told {
        let mut command = trunkgate(&[&["agent", "test", url, "--json"], flags].concat());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let all = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)));
        Told { all, code: output.status.code() }
    }

    /// Returns the level and the text of the report's line with this name.
    fn line(&self, name: &str) -> (&str, &str) {
        let lines = self.all["checks"].as_array().unwrap();
        let line = lines.iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("no {name}: {lines:#?}"));
        (line["level"].as_str().unwrap(), line["text"].as_str().unwrap())
    }
}

/// Sends four seconds of audio at once with a mark every 400 ms, and stops when the caller speaks.
fn answers_in_a_burst(agent: &mut Agent) {
    agent.listen();
    for n in 0..10 {
        agent.say(&VOICE[..3_200]);
        agent.send(json!({ "event": "mark", "mark": { "name": format!("part {n}") } }));
    }
    let mut is_cleared = false;
    agent.rest(|agent, message| {
        if !is_cleared && Agent::is_voice(message) {
            agent.send(json!({ "event": "clear" }));
            is_cleared = true;
        }
    });
}

#[test]
fn an_agent_as_it_should_be_holds() {
    let url = agent(answers_in_a_burst);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("answer.wav");
    let flags = ["--times", "2", "--auth-token-env", "SECRET", "--out", out.to_str().unwrap()];
    let told = Told::of(&url, &flags, &[("SECRET", "secret")]);
    assert_eq!((told.code, &told.all["holds"]), (Some(0), &json!(true)), "{:#}", told.all);
    for name in ["connect", "first audio", "audio", "pieces", "pacing", "marks", "interruption", "messages", "end"] {
        assert_ne!(told.line(name).0, "fail", "{:#}", told.all);
    }
    assert!(told.line("pieces").1.starts_with("10 of 3200 bytes (400 ms)"), "{:#}", told.all);
    assert_eq!(told.line("marks").1, "10 sent, 10 returned once played or cleared");
    assert_eq!(told.line("interruption").0, "ok");
    assert!(told.all["interruption"]["cleared_ms"].is_u64(), "{:#}", told.all);
    assert_eq!((told.all["audio_ms"].as_u64(), told.all["first_audio_ms"].as_array().unwrap().len()), (Some(4_000), 2));
    // Only part of the four seconds was heard; the rest was cleared.
    assert!((1..4_000).contains(&told.all["voice_ms"].as_u64().unwrap()), "{:#}", told.all);
    // The recording is as long as the conversation, and contains the part of the voice that was heard.
    let mut heard = hound::WavReader::open(&out).unwrap();
    assert_eq!((heard.spec().sample_rate, heard.spec().channels), (8_000, 1));
    let samples: Vec<i16> = heard.samples().map(Result::unwrap).collect();
    let voice = samples.iter().filter(|sample| **sample == decode_ulaw(VOICE[0])).count() as u64 / 8;
    assert_eq!(Some(voice), told.all["voice_ms"].as_u64());
    assert!(samples.len() as u64 / 8 > told.all["first_audio_ms"][0].as_u64().unwrap() + voice, "{}", samples.len());
    assert!(samples[..16_000].iter().all(|sample| *sample == 0), "the caller spoke first");
    let picture = &told.all["picture"];
    assert!(picture["caller"].as_str().unwrap().contains('#') && picture["marks"].as_str().unwrap().contains('x'));
}

#[test]
fn a_greeting_is_heard_to_its_end_and_the_answer_is_interrupted() {
    let url = agent(|agent| {
        (0..3).for_each(|_| agent.say(&VOICE[..4_000]));
        answers_in_a_burst(agent);
    });
    let told = Told::of(&url, &["--times", "1"], &[]);
    assert_eq!(told.code, Some(0), "{:#}", told.all);
    assert!(told.line("first audio").1.ends_with(": a greeting"), "{:#}", told.all);
    let times = ["spoke_ms", "said_ms", "answer_ms"].map(|name| told.all[name].as_u64().unwrap());
    assert!(times[0] >= 3_000 && times[2] > times[1], "{:#}", told.all);
    assert!(told.line("answer").1.ends_with(" ms after the caller's words"), "{:#}", told.all);
    assert!(told.all["interruption"]["at_ms"].as_u64().unwrap() > times[2], "{:#}", told.all);
    assert!(told.line("interruption").1.starts_with("`clear` "), "{:#}", told.all);

    let deaf = agent(|agent| {
        agent.say(&VOICE);
        agent.rest(|_, _| {});
    });
    let told = Told::of(&deaf, &["--times", "1"], &[]);
    assert_eq!(
        (told.code, told.line("answer").0, told.line("interruption").0),
        (Some(0), "warn", "warn"),
        "{:#}",
        told.all
    );
}

#[test]
fn an_echo_holds_and_the_page_shows_who_spoke() {
    let url = agent(|agent| {
        agent.rest(|agent, message| {
            if message["event"] == "media" {
                let audio = BASE64.decode(message["media"]["payload"].as_str().unwrap()).unwrap();
                agent.say(&audio);
            }
        });
    });
    let output = trunkgate(&["agent", "test", &url, "--times", "1"]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{page}");
    assert!(page.contains("\n  caller    ") && page.contains("\n  agent     "), "{page}");
    // The spacing between times in the picture depends on the duration.
    let (steps, picture) = page.split_once("the call ends\n").unwrap();
    assert!(
        steps.starts_with(&format!("testing {url}, up to 57 s\n")) && steps.contains("\n  connected after "),
        "{page}"
    );
    assert!(picture.starts_with("            0 s  "), "{page}");
    assert!(page.contains("  ok    connect") && page.contains("of 160 bytes (20 ms)"), "{page}");
}

#[test]
fn an_agent_that_is_not_there_or_refuses_fails() {
    let closed = closed_address();
    // An existing recording is kept if there is no new one.
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("before.wav");
    std::fs::write(&before, "a recording").unwrap();
    let told = Told::of(&format!("ws://{closed}/"), &["--out", before.to_str().unwrap()], &[]);
    assert_eq!(std::fs::read_to_string(&before).unwrap(), "a recording");
    assert!(told.code == Some(1) && told.line("connect").1.starts_with("cannot be reached"), "{:#}", told.all);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Read::read(&mut tcp, &mut [0; 4_096]);
            let _ = std::io::Write::write_all(&mut tcp, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for (variables, text, fix) in [
        (&[][..], "it requires credentials, and no `auth_token` is set", "credentials are missing: set `auth_token`"),
        (
            &[("TRUNKGATE_AGENT_TOKEN", "wrong")],
            "the signature made with `auth_token` is rejected",
            "the bot rejects the signature",
        ),
    ] {
        let told = Told::of(&url, &[], variables);
        assert_eq!(told.line("connect").1, format!("answered the handshake with 401: {text}"));
        assert!(told.all["checks"][0]["fix"].as_str().unwrap().starts_with(fix), "{:#}", told.all);
    }
    let url = agent(answers_in_a_burst);
    let told = Told::of(&url, &[], &[("TRUNKGATE_AGENT_TOKEN", "another")]);
    assert_eq!((told.code, told.line("connect").1), (Some(1), "answered the handshake with 403"));
    for wrong in [
        &["agent", "test", "http://127.0.0.1/"][..],
        &["agent", "test", &url, "--wav", "/nowhere.wav"],
        &["agent", "test", &url, "--times", "1", "--out", "/nowhere/a.wav"],
        &["agent", "test", &url, "--times", "1", "--out", "/"],
        &["agent", "test", &url, "--times", "1", "--wav", "Cargo.toml", "--out", "./Cargo.toml"],
    ] {
        assert_eq!(trunkgate(wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn what_is_wrong_with_an_agent_is_named() {
    let foreign = agent(|agent| {
        agent.listen();
        agent.stream = "MZ00000000000000000000000000000000".to_owned();
        agent.say(&VOICE);
        agent.rest(|_, _| {});
    });
    let told = Told::of(&foreign, &[], &[]);
    assert_eq!((told.code, told.line("first audio").0), (Some(1), "fail"));
    assert!(told.line("messages").1.contains("1 × for another stream"), "{:#}", told.all);

    let file = agent(|agent| {
        agent.listen();
        agent.say(&[b"RIFF....WAVEfmt ", &VOICE[..]].concat());
        let _ = agent.socket.send(Message::binary(VOICE.to_vec()));
        agent.rest(|_, _| {});
    });
    let told = Told::of(&file, &["--times", "1"], &[]);
    assert_eq!((told.code, told.line("audio").0), (Some(1), "fail"), "{:#}", told.all);
    assert_eq!(told.line("messages").0, "warn", "{:#}", told.all);

    let linear = agent(|agent| {
        agent.listen();
        let tone = (0..16_000).map(|n| ((f64::from(n) * 0.15).sin() * 5_000.0) as i16);
        agent.say(&tone.flat_map(i16::to_le_bytes).collect::<Vec<_>>());
        agent.rest(|_, _| {});
    });
    let told = Told::of(&linear, &["--times", "1"], &[]);
    assert_eq!((told.code, told.line("audio").0), (Some(1), "fail"), "{:#}", told.all);
    assert!(
        told.line("audio").1.starts_with("this is linear 16-bit audio, but the edge expects mulaw/8000"),
        "{:#}",
        told.all
    );

    let dies = agent(|agent| {
        agent.listen();
        agent.say(&VOICE[..160]);
        // By then, the caller has heard the audio.
        (0..5).for_each(|_| drop(agent.next()));
        let _ =
            agent.socket.close(Some(CloseFrame { code: 1011.into(), reason: "model of +14155550100 failed".into() }));
        agent.rest(|_, _| {});
    });
    let told = Told::of(&dies, &["--times", "1"], &[]);
    let (level, text) = told.line("end");
    assert!(
        text.starts_with("lost ")
            && text.ends_with(" s after `start`: closed with 1011 \"model of +1415****100 failed\""),
        "{text}"
    );
    assert_eq!((told.code, level), (Some(1), "fail"));

    let deaf = agent(|agent| {
        agent.listen();
        (0..8).for_each(|_| agent.say(&VOICE));
        agent.rest(|_, _| {});
    });
    let told = Told::of(&deaf, &["--times", "1"], &[]);
    let (level, text) = told.line("interruption");
    assert!(level == "warn" && text.contains("no `clear` was received") && told.code == Some(0), "{:#}", told.all);
}

/// The command uses the settings of the agent in the file: here, a private format, a secret and parameters.
#[test]
fn an_agent_of_the_file_is_tested_as_the_file_has_it() {
    let (tell, told_start) = std::sync::mpsc::channel();
    let url = agent(move |agent| {
        let _ = tell.send(agent.start.clone());
        agent.listen();
        agent.say(&[1; 32 * 500]);
        agent.send(json!({ "event": "pause" }));
        agent.send(json!({ "event": "pause" }));
        agent.send(json!({ "event": "resume" }));
        agent.rest(|_, message| {
            if message["event"] == "media" {
                assert_eq!(BASE64.decode(message["media"]["payload"].as_str().unwrap()).unwrap().len(), 640);
            }
        });
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trunkgate.toml");
    let text = format!(
        "[trunk.carrier]\npeers = [\"sip:127.0.0.1:5062\"]\naccept_from = [\"127.0.0.1\"]\n\
         [agent.bot]\nurl = \"{url}\"\nauth_token = {{ env = \"BOT_TOKEN\" }}\nformat = \"l16/16000\"\n\
         parameters = {{ tenant = \"acme\", caller = \"{{caller}}\", plan = \"a\" }}\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:bot\"]\n"
    );
    std::fs::write(&path, text).unwrap();
    let config = ["--config", path.to_str().unwrap(), "--times", "1", "--parameter", "plan=b"];
    let told = Told::of("bot", &config, &[("BOT_TOKEN", "secret")]);
    assert_eq!((told.code, &told.all["format"]), (Some(0), &json!("l16/16000")), "{:#}", told.all);
    let start = told_start.recv().unwrap();
    assert_eq!(start["mediaFormat"]["sampleRate"], 16_000);
    assert_eq!(start["customParameters"], json!({ "tenant": "acme", "caller": "+14155550100", "plan": "b" }));
    assert_eq!((told.line("pieces").1, &told.all["audio_ms"]), ("1 of 16000 bytes (500 ms)", &json!(500)));
    let aside = "left aside: 2 × unknown event \"pause\"; 1 × unknown event \"resume\"";
    assert_eq!(told.line("messages").1, aside);
    let strict = std::fs::read_to_string(&path).unwrap();
    let hasty = strict.replace("parameters = ", "first_audio_timeout = \"1s\"\nparameters = ");
    std::fs::write(&path, hasty).unwrap();
    let told = Told::of("bot", &config, &[("BOT_TOKEN", "secret")]);
    let (level, text) = told.line("first audio");
    assert!(level == "fail" && text.contains("`first_audio_timeout`") && told.code == Some(1), "{:#}", told.all);
    std::fs::write(&path, strict).unwrap();
    let told = Told::of("bot", &config, &[("BOT_TOKEN", "another")]);
    assert_eq!(told.line("connect").1, "answered the handshake with 403", "the file's secret signs");
    let refused = |who: &str, more: &[&str]| {
        let flags = [&["agent", "test", who, "--config", path.to_str().unwrap()], more].concat();
        let output = trunkgate(&flags).env("BOT_TOKEN", "secret").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{who}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused("boot", &[]).contains("has no [agent.boot]; its agents: bot; "));
    assert!(refused("bot", &["--format", "l16/48000"]).contains("mulaw/8000, l16/8000, l16/16000, l16/24000"));
    assert!(refused("http://127.0.0.1/", &[]).contains("did you mean ws://127.0.0.1/?"));
    let query = refused("wss://bot.example.com/media?token=x", &[]);
    assert!(query.contains("the query string is not sent") && query.contains("--parameter"), "{query}");
}

/// The server disconnects without a response, as one does that expects TLS.
#[test]
fn who_hangs_up_during_the_handshake_is_told_so_and_what_to_look_at() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Read::read(&mut tcp, &mut [0; 4_096]);
        }
    });
    let told = Told::of(&url, &[], &[]);
    let text = "does not speak WebSocket: the connection ended before an answer to the handshake";
    assert_eq!((told.code, told.line("connect").1), (Some(1), text));
    assert!(told.all["checks"][0]["fix"].as_str().unwrap().contains("`wss://`"), "{:#}", told.all);
}
