//! Audio that a caller hears while its agent connects and after its loss, through the real binary, recorded packet by
//! packet.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use crate::support::calls::{NUMBER, Phone, media_of, received};
use crate::support::secure::{Media, described};
use crate::support::sip::to_tag;
use crate::support::{Process, config, until};
use tokio_tungstenite::tungstenite::{WebSocket, accept};
use trunkgate_media::codec::g711::{encode_ulaw, ulaw_to_alaw};
use trunkgate_media::rtp::RtpHeader;

/// Number of samples in the music.
const MUSIC: usize = 3600;

/// Returns a tone of 400 Hz with whole periods of 9 to 180 samples, not aligned to packets.
fn music() -> Vec<i16> {
    (0..MUSIC)
        .map(|n| (8000.0 * (std::f64::consts::TAU * 400.0 * n as f64 / 8000.0).sin()) as i16 + (n / 40) as i16)
        .collect()
}

fn write_wav(path: &Path, samples: &[i16]) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|sample| wav.write_sample(*sample).unwrap());
    wav.finalize().unwrap();
}

/// Edge with an agent as its only target, whose connections the test accepts.
struct Rig {
    edge: Process,
    caller: Phone,
    agent: TcpListener,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new(answer: &str, strategy: &str) -> Rig {
        Rig::saying(answer, strategy, "audio = \"FILES/wait.wav\"", "")
    }

    /// Starts an edge with this `first` part of `hold`, and these further tables, in which FILES stands for the folder
    /// of the files.
    fn saying(answer: &str, strategy: &str, first: &str, tables: &str) -> Rig {
        Rig::with_trunk("", answer, strategy, first, tables)
    }

    /// Starts an edge also with these keys of the caller's trunk.
    fn with_trunk(trunk: &str, answer: &str, strategy: &str, first: &str, tables: &str) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        write_wav(&folder.path().join("music.wav"), &music());
        write_wav(&folder.path().join("wait.wav"), &[2000; 800]);
        let agent = TcpListener::bind("127.0.0.1:0").unwrap();
        let caller = Phone::new("127.0.0.1");
        let at = agent.local_addr().unwrap();
        let text = format!(
            "{}{trunk}[agent.desk]\nurl = \"ws://{at}/media\"\nanswer = \"{answer}\"\nretry = 3\n\
             hold = {{ strategy = \"{strategy}\", {first}, music = \"FILES/music.wav\" }}\n\
             {tables}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:desk\"]\n",
            caller.trunk("carrier")
        );
        let edge = Process::start(&config(&text.replace("FILES", &folder.path().display().to_string())));
        Rig { edge, caller, agent, _folder: folder }
    }

    fn offer(&self, payload: u8, name: &str) -> String {
        let media = format!(
            "m=audio {} RTP/AVP {payload}\r\na=rtpmap:{payload} {name}/8000\r\n",
            self.caller.rtp_address().port()
        );
        self.caller.described(1, &media)
    }

    fn invite(&self, offer: &str) {
        let sip = self.edge.address("udp");
        self.caller.sip.send(sip, &self.caller.sip.request_with("INVITE", NUMBER, sip, "hold", (1, ""), offer));
    }

    /// Receives the caller's 200 and acknowledges it; returns the 200.
    fn answered(&self) -> (String, String) {
        let sip = self.edge.address("udp");
        let (ok, _) = self.caller.sip.receive("SIP/2.0 200");
        let tag = to_tag(&ok).to_owned();
        self.caller.sip.send(sip, &self.caller.sip.request_with("ACK", NUMBER, sip, "hold", (1, &tag), ""));
        (ok, tag)
    }

    fn hang_up(&self, tag: &str) {
        let sip = self.edge.address("udp");
        self.caller.sip.send(sip, &self.caller.sip.request_with("BYE", NUMBER, sip, "hold", (2, tag), ""));
        self.caller.sip.receive("SIP/2.0 200");
    }

    /// Accepts the agent's connection, and completes the handshake.
    fn connected(&self) -> WebSocket<TcpStream> {
        accept(self.agent.accept().unwrap().0).unwrap()
    }
}

/// Audio that the caller has heard, which must be one continuous stream.
#[derive(Default)]
struct Heard {
    last: Option<RtpHeader>,
}

impl Heard {
    fn next(&mut self, phone: &Phone) -> (u8, Vec<u8>) {
        self.read(&received(&phone.rtp).0)
    }

    fn read(&mut self, packet: &[u8]) -> (u8, Vec<u8>) {
        let rtp = RtpHeader::parse(packet).unwrap();
        if let Some(last) = &self.last {
            assert_eq!((rtp.ssrc, rtp.sequence), (last.ssrc, last.sequence.wrapping_add(1)));
            // A gap in the test machine's schedule is a jump in time.
            let step = rtp.timestamp.wrapping_sub(last.timestamp);
            assert!(step >= 160 && step.is_multiple_of(160), "{step}");
        }
        let payload = (rtp.payload_type, packet[rtp.payload.clone()].to_vec());
        self.last = Some(rtp);
        payload
    }

    fn audio(&mut self, phone: &Phone) -> Vec<u8> {
        self.next(phone).1
    }
}

/// Returns the music as heard, repeated from its beginning.
fn again() -> impl Iterator<Item = u8> {
    music().into_iter().map(encode_ulaw).collect::<Vec<_>>().into_iter().cycle()
}

#[test]
fn a_caller_that_is_answered_at_once_hears_music_again_and_again_until_the_agent_is_there() {
    let rig = Rig::new("at_once", "music");
    rig.invite(&rig.offer(0, "PCMU"));
    let (ok, tag) = rig.answered();
    assert_ne!(media_of(&ok).port(), 0);
    let mut heard = Heard::default();
    // The first packet is faded in; the rest is the music, sample by sample, repeated at its end.
    let mut expected = again();
    for n in 0..50 {
        let audio = heard.audio(&rig.caller);
        let wanted: Vec<u8> = expected.by_ref().take(160).collect();
        assert!(n == 0 || audio == wanted, "packet {n}");
    }
    let agent = rig.connected();
    until("the music ends", || heard.audio(&rig.caller).iter().all(|code| *code == 0xff).then_some(()));
    // After the loss, the caller hears hold audio from its beginning, in the same stream.
    drop(agent);
    let mut expected = again().skip(160);
    until("the music begins", || heard.audio(&rig.caller).iter().any(|code| *code != 0xff).then_some(()));
    for n in 0..20 {
        let wanted: Vec<u8> = expected.by_ref().take(160).collect();
        assert_eq!(heard.audio(&rig.caller), wanted, "packet {n} after the agent was lost");
    }
    rig.hang_up(&tag);
}

#[test]
fn a_caller_hears_hold_audio_in_its_early_dialog_and_is_answered_when_the_agent_is_there() {
    let rig = Rig::new("early", "audio_then_music");
    rig.invite(&rig.offer(8, "PCMA"));
    let (progress, _) = rig.caller.sip.receive("SIP/2.0 183");
    let mut heard = Heard::default();
    let mut expected: Vec<u8> = [encode_ulaw(2000); 800].into_iter().chain(again().take(4000)).collect();
    expected = expected.into_iter().map(ulaw_to_alaw).collect();
    for (n, wanted) in expected.chunks(160).enumerate() {
        let (payload, audio) = heard.next(&rig.caller);
        assert_eq!(payload, 8);
        assert!(n == 0 || audio == wanted, "packet {n}");
    }
    let _agent = rig.connected();
    let (ok, tag) = rig.answered();
    let body = |message: &str| message.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&ok), body(&progress));
    until("the music ends", || heard.audio(&rig.caller).iter().all(|code| *code == 0xd5).then_some(()));
    rig.hang_up(&tag);
}

/// The SRTP keys of the 183 or 200 apply from the first packet of music to the agent's audio.
#[test]
fn srtp_caller_hears_hold_audio_then_its_agent() {
    for answer in ["early", "at_once"] {
        let rig = Rig::with_trunk("srtp = \"required\"\n", answer, "music", "audio = \"FILES/wait.wav\"", "");
        rig.invite(&described(&rig.caller, 1, "0", Some((1, 7)), "sendrecv"));
        let (told, tag) = if answer == "early" {
            (rig.caller.sip.receive("SIP/2.0 183").0, None)
        } else {
            let (ok, tag) = rig.answered();
            (ok, Some(tag))
        };
        assert!(told.contains("RTP/SAVP 0"), "{told}");
        let mut media = Media::new(&rig.caller, media_of(&told), Some(7), &told);
        let (mut heard, mut expected) = (Heard::default(), again());
        for n in 0..30 {
            let (payload, audio) = heard.read(&media.receive());
            let wanted: Vec<u8> = expected.by_ref().take(160).collect();
            assert_eq!(payload, 0);
            assert!(n == 0 || audio == wanted, "{answer}, packet {n}");
        }
        let mut agent = rig.connected();
        let tag = tag.unwrap_or_else(|| {
            let (ok, tag) = rig.answered();
            let body = |message: &str| message.split_once("\r\n\r\n").unwrap().1.to_owned();
            assert_eq!(body(&ok), body(&told), "the same keys");
            tag
        });
        until("the music ends", || heard.read(&media.receive()).1.iter().all(|code| *code == 0xff).then_some(()));
        // The agent hears the caller's encrypted audio.
        let mut sequence = 0_u16;
        let heard = until("the agent hears the caller", || {
            sequence += 1;
            let mut packet = vec![0x80, 0];
            packet.extend(sequence.to_be_bytes());
            packet.extend((u32::from(sequence) * 160).to_be_bytes());
            packet.extend(77_u32.to_be_bytes());
            packet.extend([0x2a; 160]);
            media.send(&packet);
            let text = agent.read().unwrap().into_text().unwrap_or_default();
            text.contains(&"Kioq".repeat(53)).then_some(text)
        });
        assert!(heard.contains("media"), "{heard}");
        rig.hang_up(&tag);
    }
}

/// A reload with an unusable file does not affect a running edge.
#[test]
fn a_reload_with_a_damaged_file_changes_nothing() {
    let rig = Rig::new("at_once", "music");
    let path = rig._folder.path().join("music.wav");
    let whole = Arc::new(std::fs::read(&path).unwrap());
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (status, answer) = rig.edge.ask("POST", "/v1/reload", "");
    assert!(status >= 400 && answer.to_string().contains("ends in the middle"), "{status} {answer}");
    rig.invite(&rig.offer(0, "PCMU"));
    let (_, tag) = rig.answered();
    let mut heard = Heard::default();
    heard.audio(&rig.caller);
    let wanted: Vec<u8> = again().skip(160).take(160).collect();
    assert_eq!(heard.audio(&rig.caller), wanted);
    rig.hang_up(&tag);
}

#[test]
fn a_text_is_said_by_a_program_when_the_file_is_loaded() {
    let text = r#"text = "don't {voice} \"wait\" $(exit 1)", voice = "de""#;
    let script = r#"cat FILES/wait.wav; echo \"$2: $1\" > FILES/said"#;
    let speech = format!("[speech]\ncommand = [\"sh\", \"-c\", \"{script}\", \"sh\", \"{{text}}\", \"{{voice}}\"]\n");
    let rig = Rig::saying("early", "text_then_music", text, &speech);
    let said = std::fs::read_to_string(rig._folder.path().join("said")).unwrap();
    assert_eq!(said, "de: don't {voice} \"wait\" $(exit 1)\n");
    rig.invite(&rig.offer(0, "PCMU"));
    rig.caller.sip.receive("SIP/2.0 183");
    let mut heard = Heard::default();
    let expected: Vec<u8> = [encode_ulaw(2000); 800].into_iter().chain(again().take(1600)).collect();
    for (n, wanted) in expected.chunks(160).enumerate() {
        let audio = heard.audio(&rig.caller);
        assert!(n == 0 || audio == wanted, "packet {n}");
    }
}

#[test]
fn where_the_program_fails_the_caller_hears_the_ringback_tone_and_the_log_says_why() {
    let speech = "[speech]\ncommand = [\"sh\", \"-c\", \"echo no such voice >&2; exit 3\", \"{text}\"]\n";
    let rig = Rig::saying("at_once", "text", "text = \"wait\"", speech);
    rig.invite(&rig.offer(0, "PCMU"));
    let (_, tag) = rig.answered();
    let mut heard = Heard::default();
    assert!(heard.audio(&rig.caller).iter().any(|code| *code != 0xff), "a tone");
    rig.hang_up(&tag);
    let log = rig.edge.whole_log();
    assert!(log.contains("callers hear the ringback tone instead") && log.contains("no such voice"), "{log}");
}

/// A file of 176 bytes declares comments of 200 GB: `check` reports that, within 1 GiB of address space.
#[test]
fn a_file_that_lies_about_its_sizes_is_refused_without_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/comments.ogg");
    let text = config(&format!(
        "[trunk.carrier]\npeers = [\"sip:127.0.0.1:9\"]\n[agent.desk]\nurl = \"ws://127.0.0.1:9/\"\nanswer = \"early\"\n\
         hold = {{ strategy = \"music\", music = \"{}\" }}\n[[route]]\nconnect = [\"agent:desk\"]\n",
        file.display()
    ));
    let path = folder.path().join("trunkgate.toml");
    std::fs::write(&path, text).unwrap();
    let script = "ulimit -v 1048576; exec \"$0\" --config \"$1\" check";
    let binary = env!("CARGO_BIN_EXE_trunkgate");
    let checked = std::process::Command::new("sh").args(["-c", script, binary]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(2), "{said}");
    assert!(said.contains("TG0114") && said.contains("a codebook is missing"), "{said}");
}

/// Starts a server that answers every request with this response, and passes the requests on.
fn endpoint(head: &str, body: Vec<u8>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = channel();
    let head = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), Vec::new());
            // The body of a request begins and ends with braces.
            while !request.ends_with(b"}") {
                let mut piece = [0; 1024];
                let length = stream.read(&mut piece).unwrap();
                request.extend(&piece[..length]);
            }
            asked.send(String::from_utf8(request).unwrap()).unwrap();
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    (address, requests)
}

#[test]
fn a_text_is_said_by_an_endpoint_like_openai_s() {
    let samples: Vec<u8> = [2000_i16; 2400].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let (address, requests) = endpoint("HTTP/1.1 200 OK\r\nContent-Type: audio/pcm", samples);
    let speech = format!(
        "[speech]\nurl = \"http://{address}/v1/audio/speech?x=1\"\ntoken = \"sk-very-secret\"\nmodel = \"m\"\nformat = \"pcm\"\n"
    );
    let rig = Rig::saying("early", "text_then_music", "text = \"It's me.\", voice = \"nova\"", &speech);
    let request = requests.recv().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/audio/speech?x=1 HTTP/1.1\r\n"), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.contains("authorization: bearer sk-very-secret") && lower.contains(&format!("host: {address}")),
        "{head}"
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({ "model": "m", "input": "It's me.", "voice": "nova", "response_format": "pcm" });
    assert_eq!(body, expected);
    rig.invite(&rig.offer(0, "PCMU"));
    rig.caller.sip.receive("SIP/2.0 183");
    let mut heard = Heard::default();
    heard.audio(&rig.caller);
    // The sound lasts 100 ms, and is constant in the middle.
    assert_eq!(heard.audio(&rig.caller), [encode_ulaw(2000); 160]);
    assert!(requests.try_recv().is_err() && !rig.edge.whole_log().contains("sk-very"));
}

#[test]
fn refusals_are_logged_without_the_token() {
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-very-secret","type":"x"}}"#;
    let (address, _requests) = endpoint("HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json", body.into());
    let speech = format!("[speech]\nurl = \"http://{address}/say?key=sk-very-own\"\ntoken = \"sk-very-secret\"\n");
    let rig = Rig::saying("at_once", "text", "text = \"wait\"", &speech);
    let log = rig.edge.whole_log();
    assert!(log.contains("answered 401 Unauthorized: Incorrect API key provided: …"), "{log}");
    assert!(log.contains(&format!("http://{address}/say:")) && !log.contains("sk-very"), "{log}");
}

#[test]
fn what_the_cache_has_is_not_said_again_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    write_wav(&folder.path().join("said.wav"), &[2000; 800]);
    let script = format!("echo x >> {at}/runs; cat {at}/said.wav");
    let speech =
        format!("[speech]\ncommand = [\"sh\", \"-c\", \"{script}\", \"sh\", \"{{text}}\"]\ncache = \"{at}/cache\"\n");
    let runs = || std::fs::read_to_string(folder.path().join("runs")).unwrap().lines().count();
    let start = || Rig::saying("at_once", "text", "text = \"wait\"", &speech);
    drop(start());
    assert_eq!(runs(), 1);
    let rig = start();
    assert_eq!(runs(), 1);
    rig.invite(&rig.offer(0, "PCMU"));
    rig.answered();
    let mut heard = Heard::default();
    heard.audio(&rig.caller);
    assert_eq!(heard.audio(&rig.caller), [encode_ulaw(2000); 160]);
    let kept = std::fs::read_dir(folder.path().join("cache")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(kept, "damaged").unwrap();
    drop(start());
    assert_eq!(runs(), 2);
}
