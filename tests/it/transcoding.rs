//! Two phones without a common codec, through the real binary: each receives the other's audio in its own codec.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::calls::{Call, NUMBER, Phone, media_of, next_port, received, wait_until_bound};
use crate::support::codecs::{Codec, Hearer, Speaker, tone};
use crate::support::listener::Listener;
use crate::support::secure::{Media, described as secure, offered};
use crate::support::sip::to_tag;
use crate::support::{PATIENCE, Process, config, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use trunkgate_media::codec::g711;
use trunkgate_media::codec::opus::OpusPreferences;
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::transcode::Transcoder;
use trunkgate_media::{PacketBuf, PayloadCodec, TranscodeSpec};

fn edge(caller: (&Phone, Codec), callee: (&Phone, Codec), more: &str) -> Process {
    let trunk =
        |(phone, codec): (&Phone, Codec), name: &str| format!("{}codecs = [\"{}\"]\n", phone.trunk(name), codec.name());
    Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n{more}",
        trunk(caller, "carrier"),
        trunk(callee, "pbx")
    )))
}

/// Returns packets of 20 ms with a tone of half a second.
fn tone_packets(codec: Codec) -> Vec<Vec<u8>> {
    let rate = codec.rate_hz() as usize;
    let mut speaker = Speaker::new(codec, true);
    tone(codec, 0, rate / 2).chunks(rate / 50).map(|frame| speaker.say(frame)).collect()
}

/// Receives the next packet with this payload type.
fn heard(phone: &Phone, number: u8) -> (RtpHeader, Vec<u8>) {
    loop {
        let (bytes, _) = received(&phone.rtp);
        let rtp = RtpHeader::parse(&bytes).unwrap();
        if rtp.payload_type == number {
            let payload = bytes[rtp.payload.clone()].to_vec();
            return (rtp, payload);
        }
    }
}

/// Sends a tone of half a second from one phone to the other, which must receive it at the same level in its own codec.
fn says((from, said): (&Phone, Codec), at: SocketAddr, (to, wanted): (&Phone, Codec)) {
    let mut got: Vec<(RtpHeader, Vec<u8>)> = Vec::new();
    for (n, payload) in tone_packets(said).iter().enumerate() {
        from.rtp.send_to(&said.packet(n, said.number(), payload), at).unwrap();
        got.push(heard(to, wanted.number()));
    }
    for pair in got.windows(2) {
        assert_eq!(pair[1].0.sequence, pair[0].0.sequence.wrapping_add(1));
        assert_eq!(pair[1].0.timestamp, pair[0].0.timestamp.wrapping_add(wanted.ticks()));
    }
    let payloads: Vec<Vec<u8>> = got.into_iter().map(|(_, payload)| payload).collect();
    let mut hearer = Hearer::new(wanted);
    let samples: Vec<i16> = payloads.iter().flat_map(|payload| hearer.hear(payload)).collect();
    let settled = &samples[samples.len() / 2..];
    let rate = f64::from(wanted.rate_hz());
    let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
    for (n, sample) in settled.iter().enumerate() {
        let angle = TAU * 500.0 * n as f64 / rate;
        (re, im) = (re + f64::from(*sample) * angle.cos(), im + f64::from(*sample) * angle.sin());
        all += f64::from(*sample).powi(2);
    }
    let level = 10.0 * (all / settled.len() as f64 / (8000.0_f64.powi(2) / 2.0)).log10();
    let share = 2.0 * (re * re + im * im) / settled.len() as f64 / all;
    assert!(level.abs() < 0.5 && share > 0.995, "{said:?} to {wanted:?}: {level} dB, {share} of it the tone");
}

#[test]
fn each_side_hears_the_other_in_its_own_codec() {
    for (near, far) in
        [(Codec::Pcmu, Codec::Pcma), (Codec::Pcmu, Codec::Opus), (Codec::Pcma, Codec::G722), (Codec::G722, Codec::Opus)]
    {
        let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
        let edge = edge((&caller, near), (&callee, far), "");
        let sip = edge.address("udp");
        let call = Call::agree(sip, "codecs-1", (&caller, &near.sdp(&caller)), (&callee, &far.sdp(&callee)));
        assert!(call.ok.contains(&format!("RTP/AVP {} 101\r\n", near.number())), "{}", call.ok);
        assert!(call.invite.0.contains(&format!("RTP/AVP {} ", far.number())), "{}", call.invite.0);
        says((&caller, near), call.near, (&callee, far));
        says((&callee, far), call.far, (&caller, near));
        let legs = edge.json("/v1/calls")["calls"][0]["legs"].clone();
        assert_eq!([&legs[0]["codec"], &legs[1]["codec"]], [near.name(), far.name()]);
        call.hang_up(2, &caller, &callee);
    }
}

/// Starts an edge between two trunks that configure no codecs.
fn by_default(caller: &Phone, callee: &Phone) -> Process {
    let trunks = format!("{}{}", caller.trunk("carrier"), callee.trunk("pbx"));
    Process::start(&config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n")))
}

fn transcoding(edge: &Process, count: f64) {
    until("so many sessions are transcoded", || (edge.metric("trunkgate_transcoding_sessions") == count).then_some(()));
}

#[test]
fn sessions_that_are_transcoded_are_counted_while_they_are() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let edge = by_default(&caller, &callee);
    let sip = edge.address("udp");
    let near = |codec: Codec, version: u32| codec.sdp(&caller).replace("o=- 1 1", &format!("o=- 1 {version}"));
    let far = |codec: Codec, version: u32| codec.sdp(&callee).replace("o=- 1 1", &format!("o=- 1 {version}"));
    let call = Call::agree(sip, "codecs-5", (&caller, &near(Codec::Pcmu, 1)), (&callee, &far(Codec::Opus, 1)));
    assert!(call.invite.0.contains("RTP/AVP 0 8 107 101\r\n"), "{}", call.invite.0);
    transcoding(&edge, 1.0);
    says((&caller, Codec::Pcmu), call.near, (&callee, Codec::Opus));
    // The caller changes to the other side's codec, and back.
    let ok = call.change(2, (&caller, &near(Codec::Opus, 2)), (&callee, &far(Codec::Opus, 1)));
    assert!(ok.contains("RTP/AVP 107 101\r\n"), "{ok}");
    transcoding(&edge, 0.0);
    call.change(3, (&caller, &near(Codec::Pcma, 3)), (&callee, &far(Codec::Opus, 1)));
    transcoding(&edge, 1.0);
    let trace = edge.json(&format!("/v1/calls/{}/trace", edge.json("/v1/calls")["calls"][0]["sid"].as_str().unwrap()));
    let trace = trace.to_string();
    assert!(trace.contains("PCMU with carrier, opus with pbx: transcoded, no common codec"), "{trace}");
    call.hang_up(4, &caller, &callee);
    transcoding(&edge, 0.0);
    assert_eq!(edge.metric("trunkgate_panics_total"), 0.0);
}

#[test]
fn a_second_codec_in_an_answer_costs_nothing_until_it_comes() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let edge = by_default(&caller, &callee);
    let port = callee.rtp_address().port();
    let answer = format!("m=audio {port} RTP/AVP 0 8 107\r\na=rtpmap:107 opus/48000/2\r\n");
    let call = Call::agree(
        edge.address("udp"),
        "codecs-6",
        (&caller, &Codec::Pcmu.sdp(&caller)),
        (&callee, &callee.described(1, &answer)),
    );
    assert!(call.ok.contains("RTP/AVP 0\r\n"), "{}", call.ok);
    let said = Codec::Pcmu.packet(0, 0, &[0x5a; 160]);
    for (from, at, to) in [(&caller, call.near, &callee), (&callee, call.far, &caller)] {
        from.rtp.send_to(&said, at).unwrap();
        assert_eq!(received(&to.rtp).0, said, "as it came");
    }
    assert_eq!(edge.metric("trunkgate_media_sessions"), 1.0);
    assert_eq!(edge.metric("trunkgate_transcoding_sessions"), 0.0);
    callee.rtp.send_to(&Codec::Opus.packet(1, 107, &tone_packets(Codec::Opus)[0]), call.far).unwrap();
    let (rtp, _) = heard(&caller, 0);
    assert_eq!((rtp.ssrc, rtp.sequence), (77, 1), "the stream goes on");
    transcoding(&edge, 1.0);
    call.hang_up(2, &caller, &callee);
    transcoding(&edge, 0.0);
}

#[test]
fn rfc4733_digits_cross_clock_rates() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let edge = edge((&caller, Codec::Pcmu), (&callee, Codec::Opus), "");
    let sip = edge.address("udp");
    let (offer, answer) = (Codec::Pcmu.sdp(&caller), Codec::Opus.sdp(&callee));
    let call = Call::agree(sip, "codecs-2", (&caller, &offer), (&callee, &answer));
    let tone = tone_packets(Codec::Pcmu);
    caller.rtp.send_to(&Codec::Pcmu.packet(0, 0, &tone[0]), call.near).unwrap();
    let (audio, _) = heard(&callee, 107);
    let mut key = Codec::Pcmu.packet(1, 101, &[5, 10, 0, 160]);
    caller.rtp.send_to(&key, call.near).unwrap();
    let (first, payload) = heard(&callee, 101);
    assert_eq!((first.timestamp.wrapping_sub(audio.timestamp), payload), (960, vec![5, 10, 0, 160]));
    // This is the next packet of the same event.
    key[3] = 2;
    key[14..16].copy_from_slice(&[0x81, 0x40]);
    caller.rtp.send_to(&key, call.near).unwrap();
    let (second, _) = heard(&callee, 101);
    assert_eq!((second.timestamp, second.sequence), (first.timestamp, first.sequence.wrapping_add(1)));
    call.hang_up(2, &caller, &callee);
}

/// The caller has SRTP and μ-law; the callee has SRTP with another key, and A-law; a listener hears both.
#[test]
fn a_secure_call_is_converted_and_heard_by_who_listens() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let scribe = Listener::start();
    let trunk = |phone: &Phone, name: &str, codec: &str| {
        format!("{}codecs = [\"{codec}\"]\nsrtp = \"required\"\n", phone.trunk(name))
    };
    let edge = Process::start(&config(&format!(
        "{}{}[agent.scribe]\nurl = \"{}\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n\
         fork = [\"agent:scribe\"]\n",
        trunk(&caller, "carrier", "PCMU"),
        trunk(&callee, "pbx", "PCMA"),
        scribe.url()
    )));
    let sip = edge.address("udp");
    let offer = secure(&caller, 1, "0", Some((1, 3)), "sendrecv");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "codecs-3", (1, ""), &offer));
    let invite = callee.sip.receive("INVITE ");
    assert!(invite.0.contains("RTP/SAVP 8 101"), "{}", invite.0);
    let answer = secure(&callee, 1, "8", Some((offered(&invite.0).unwrap().0, 9)), "sendrecv");
    let call = Call::answered(sip, "codecs-3", &caller, invite, (&callee, &answer));
    let mut near = Media::new(&caller, call.near, Some(3), &call.ok);
    let mut far = Media::new(&callee, call.far, Some(9), &call.invite.0);
    let ulaw: Vec<u8> = (0..160).map(|n| (n * 3) as u8 | 1).collect();
    let alaw: Vec<u8> = (0..160).map(|n| (n * 5) as u8).collect();
    let of = |packet: Vec<u8>| packet[RtpHeader::parse(&packet).unwrap().payload].to_vec();
    for n in 0..50 {
        near.send(&Codec::Pcmu.packet(n, 0, &ulaw));
        assert_eq!(of(far.receive()), ulaw.iter().map(|code| g711::ulaw_to_alaw(*code)).collect::<Vec<_>>());
        far.send(&Codec::Pcma.packet(n, 8, &alaw));
        assert_eq!(of(near.receive()), alaw.iter().map(|code| g711::alaw_to_ulaw(*code)).collect::<Vec<_>>());
    }
    // The listener gets the audio on the caller's side: received audio as it came, sent audio as it left.
    let heard = scribe.first("both tracks", |stream| {
        let has =
            |frames: &[crate::support::listener::Frame], codes: &[u8]| frames.iter().any(|frame| frame.audio == codes);
        let outbound: Vec<u8> = alaw.iter().map(|code| g711::alaw_to_ulaw(*code)).collect();
        has(&stream.inbound, &ulaw) && has(&stream.outbound, &outbound)
    });
    heard.assert_unbroken();
    assert_eq!(until("nothing was dropped", || Some(edge.metric("trunkgate_rtp_dropped_total{reason=\"late\"}"))), 0.0);
    call.hang_up(2, &caller, &callee);
}

/// The caller has no G.711, and the agent nothing else: both hear each other, with DTMF and marks.
#[test]
fn a_caller_without_g711_talks_with_an_agent() {
    for (codec, format) in [(Codec::Opus, "mulaw/8000"), (Codec::G722, "mulaw/8000"), (Codec::Opus, "l16/16000")] {
        let caller = Phone::new("127.0.0.2");
        let agent = Listener::doing(|socket, stream| {
            // The agent echoes the audio that it receives.
            if let Some(heard) = stream.inbound.last().filter(|_| !stream.stopped) {
                let media = json!({"payload": STANDARD.encode(&heard.audio)});
                let said = json!({"event": "media", "streamSid": stream.start["streamSid"], "media": media});
                socket.send(Message::text(said.to_string())).unwrap();
            }
            true
        });
        let edge = Process::start(&config(&format!(
            "{}codecs = [\"PCMU\", \"{}\"]\n[agent.echo]\nurl = \"{}\"\nformat = \"{format}\"\n\
             [[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:echo\"]\n",
            caller.trunk("carrier"),
            codec.name(),
            agent.url()
        )));
        let sip = edge.address("udp");
        caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "codecs-4", (1, ""), &codec.sdp(&caller)));
        let (ok, _) = caller.sip.receive("SIP/2.0 200");
        assert!(ok.contains(&format!("RTP/AVP {} 101\r\n", codec.number())), "{ok}");
        let tag = to_tag(&ok).to_owned();
        caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "codecs-4", (1, &tag), ""));
        let near = media_of(&ok);
        wait_until_bound(next_port(near));
        // The edge paces the tone: one packet is sent for each one received, until half a second of the tone has
        // returned.
        let (tone, mut hearer, mut before) = (tone_packets(codec), Hearer::new(codec), None::<RtpHeader>);
        let (mut n, mut loud, began) = (0, 0, Instant::now());
        while loud < 25 {
            assert!(began.elapsed() < PATIENCE, "{codec:?} {format}: {loud} of {n} packets are loud");
            caller.rtp.send_to(&codec.packet(n, codec.number(), &tone[n % tone.len()]), near).unwrap();
            n += 1;
            let (rtp, payload) = heard(&caller, codec.number());
            if let Some(before) = before.replace(rtp.clone()) {
                assert_eq!(rtp.sequence, before.sequence.wrapping_add(1), "{codec:?} {format}");
                assert!(rtp.timestamp.wrapping_sub(before.timestamp).is_multiple_of(codec.ticks()));
            }
            let samples = hearer.hear(&payload);
            loud +=
                usize::from(samples.iter().filter(|sample| sample.unsigned_abs() > 4000).count() * 5 > samples.len());
        }
        let legs = edge.json("/v1/calls")["calls"][0]["legs"].clone();
        assert_eq!(legs[0]["codec"], codec.name());
        caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, "codecs-4", (2, &tag), ""));
        let stream = agent.first("the end", |stream| stream.stopped);
        assert!(!stream.inbound.is_empty());
    }
}

/// Maximum time in which the caller must send two packets of 20 ms, so that the edge still waits for both.
const IN_TIME: Duration = Duration::from_millis(60);

/// Makes a call in which every two packets of the caller are swapped; returns whether the caller was in time
/// throughout, and whether the agent got most of the packets in order, bit for bit.
fn is_heard_in_order(codec: Codec) -> (bool, bool) {
    let caller = Phone::new("127.0.0.2");
    let agent = Listener::start();
    let edge = Process::start(&config(&format!(
        "{}codecs = [\"{}\"]\n[agent.ear]\nurl = \"{}\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:ear\"]\n",
        caller.trunk("carrier"),
        codec.name(),
        agent.url()
    )));
    let tone = tone_packets(codec);
    let packets: Vec<Vec<u8>> = (0..101).map(|n| codec.packet(n, codec.number(), &tone[n % tone.len()])).collect();
    let wanted = in_order(codec, &packets);
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "codecs-5", (1, ""), &codec.sdp(&caller)));
    let (ok, _) = caller.sip.receive("SIP/2.0 200");
    let tag = to_tag(&ok).to_owned();
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "codecs-5", (1, &tag), ""));
    let near = media_of(&ok);
    wait_until_bound(next_port(near));
    caller.rtp.send_to(&packets[0], near).unwrap();
    let mut longest = Duration::ZERO;
    for pair in packets[1..].chunks(2) {
        let began = Instant::now();
        caller.rtp.send_to(&pair[1], near).unwrap();
        caller.rtp.send_to(&pair[0], near).unwrap();
        // The edge's clock is synchronous with the caller's: each waits 20 ms.
        heard(&caller, codec.number());
        heard(&caller, codec.number());
        longest = longest.max(began.elapsed());
    }
    // Silence follows the swapped packets.
    let so_far = agent.first("its stream", |_| true).inbound.len();
    let stream = agent.first("all of it", |stream| stream.inbound.len() > so_far + 20);
    assert!(!stream.stopped);
    let (mut rest, mut count) = (&wanted[..], 0);
    for frame in &stream.inbound {
        if let Some(place) = rest.iter().position(|wanted| *wanted == frame.audio) {
            (rest, count) = (&rest[place + 1..], count + 1);
        }
    }
    let late = edge.metric("trunkgate_rtp_dropped_total{reason=\"late\"}");
    let is_in_time = longest < IN_TIME;
    assert!(!is_in_time || late < 10.0, "{codec:?}: {late} of 50");
    caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, "codecs-5", (2, &tag), ""));
    agent.first("the end", |stream| stream.stopped);
    (is_in_time, count > wanted.len() / 2)
}

/// The agent gets the audio of all packets in order, bit for bit. If this process is late, the agent gets silence
/// instead, which changes the state of the decoder: one of three calls must be in time.
#[test]
fn an_agent_hears_packets_that_change_places() {
    for codec in [Codec::Opus, Codec::G722] {
        let mut calls =
            (0..3).map(|_| is_heard_in_order(codec)).skip_while(|(is_in_time, is_heard)| !is_in_time && !is_heard);
        assert!(calls.next().is_none_or(|(_, is_heard)| is_heard), "{codec:?}");
    }
}

/// Returns the audio of these packets in μ-law, 20 ms each.
fn in_order(codec: Codec, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let coding = if codec == Codec::G722 { PayloadCodec::G722 } else { PayloadCodec::Opus(OpusPreferences::default()) };
    let (from, to) = (vec![(codec.number(), coding)], (0, PayloadCodec::Pcmu));
    let spec = TranscodeSpec { from, to, packet_ms: 20, events: vec![], noise: None };
    let mut transcoder = Transcoder::new(spec, 0, (0, 0, 0)).unwrap();
    let mut made = PacketBuf::new();
    let mut frames = Vec::new();
    for packet in packets {
        let rtp = RtpHeader::parse(packet).unwrap();
        transcoder.push(Instant::now(), &rtp, &packet[rtp.payload.clone()]).unwrap();
        while let Some(rtp) = transcoder.poll(&mut made) {
            frames.push(made.data()[rtp.payload.clone()].to_vec());
        }
    }
    frames
}
