//! Stream and playout combined as in the edge: order, marks, ends and deadlines in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test may unwrap")]
#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

use std::time::{Duration, Instant};

use crate::support::{STREAM, Told, open, say, settings, texts, told};
use trunkgate_agent::limits::{CLOSE_TIMEOUT, FRAME, OUTBOX_MEDIA_FRAMES, PONG_TIMEOUT, STOP_TIMEOUT};
use trunkgate_agent::{
    AgentRequest, PlayoutQueue, Stream, StreamDeadline, StreamInput, StreamLoss, StreamOutput, StreamSettings,
    TickGenerator, TrackName, WarmTransfer,
};

/// Call as its agent sees it: audio played, 20 ms at a time, and messages sent to the agent.
struct Call {
    now: Instant,
    stream: Stream,
    playout: PlayoutQueue,
    ticks: TickGenerator,
    /// Frames played, with their tick.
    played: Vec<(u64, Vec<u8>)>,
    /// Texts to the agent, with the tick after which they were written.
    received: Vec<(u64, String)>,
    tick: u64,
}

impl Call {
    fn new(settings: StreamSettings) -> Call {
        let now = Instant::now();
        let playout = PlayoutQueue::new(settings.format);
        let mut stream = open(now, settings);
        texts(&mut stream);
        Call { now, stream, playout, ticks: TickGenerator::new(now), played: vec![], received: vec![], tick: 0 }
    }

    fn media(&mut self, audio: &[u8]) {
        let payload = base64(audio);
        self.say(&format!(r#"{{"event":"media","streamSid":"{STREAM}","media":{{"payload":"{payload}"}}}}"#));
    }

    fn mark(&mut self, name: &str) {
        self.say(&format!(r#"{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"{name}"}}}}"#));
    }

    fn say(&mut self, text: &str) {
        self.stream.handle_input(self.now, StreamInput::Text(text));
        while let Some(output) = self.stream.poll_output() {
            match output {
                StreamOutput::Play(audio) => self.playout.push(audio),
                StreamOutput::Mark(name) => self.playout.mark(name),
                StreamOutput::Clear => {
                    let cleared = self.playout.clear();
                    return_marks(self.now, &mut self.stream, &mut self.playout);
                    self.stream.handle_input(self.now, StreamInput::Cleared { played_ms: cleared.played_ms });
                }
                other => panic!("{other:?}"),
            }
        }
        self.returns();
    }

    fn returns(&mut self) {
        return_marks(self.now, &mut self.stream, &mut self.playout);
        self.received.extend(texts(&mut self.stream).into_iter().map(|text| (self.tick, text)));
    }

    /// Advances the clock to the next tick and processes it.
    fn pass(&mut self) {
        self.now = self.ticks.next_due();
        assert!(self.ticks.take_tick(self.now).is_some());
        self.tick += 1;
        if let Some(frame) = self.playout.next_frame() {
            self.played.push((self.tick, frame.to_vec()));
        }
        self.returns();
    }

    fn marks(&self) -> Vec<(u64, String)> {
        let name =
            |text: &str| text.split(r#""mark":{"name":""#).nth(1).map(|rest| rest.split('"').next().unwrap().into());
        self.received.iter().filter_map(|(tick, text)| Some((*tick, name(text)?))).collect()
    }

    fn heard(&self) -> Vec<u8> {
        self.played.iter().flat_map(|(_, frame)| frame).copied().collect()
    }
}

fn return_marks(now: Instant, stream: &mut Stream, playout: &mut PlayoutQueue) {
    while let Some(mark) = playout.poll_mark() {
        stream.handle_input(now, StreamInput::MarkPlayed { name: &mark.name, played_ms: mark.played_ms });
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << ((3 - group.len()) * 8);
        for place in 0..4 {
            text.push(if place <= group.len() {
                ALPHABET[(bits >> (18 - place * 6) & 63) as usize] as char
            } else {
                '='
            });
        }
    }
    text
}

/// A message with 60 s of audio is played completely, and the mark after it returns after 60 s
/// (docs/internals/evidence/voice-agents.md).
#[test]
fn a_minute_in_one_message_is_played_whole() {
    let mut call = Call::new(settings());
    let audio: Vec<u8> = (0..60 * 8000_u32).map(|n| (n % 253) as u8).collect();
    call.media(&audio);
    call.mark("end");
    for _ in 0..3001 {
        call.pass();
    }
    assert_eq!(call.heard(), audio);
    assert!(call.played.iter().enumerate().all(|(index, (tick, _))| *tick == index as u64 + 1), "each tick one frame");
    assert_eq!(call.marks(), [(3000, "end".to_owned())]);
}

/// Pieces of the lengths that pipecat sends (758 and 1,100 bytes), and of 161 bytes, fill whole packets
/// (docs/internals/evidence/voice-agents.md).
#[test]
fn no_message_makes_a_short_packet() {
    for piece in [758, 1100, 161] {
        let mut call = Call::new(settings());
        let audio: Vec<u8> = (0..piece * 20).map(|n| (n % 251) as u8).collect();
        for piece in audio.chunks(piece) {
            call.media(piece);
        }
        for _ in 0..audio.len() / 160 + 20 {
            call.pass();
        }
        assert!(call.played.iter().all(|(_, frame)| frame.len() == 160));
        let heard = call.heard();
        assert_eq!(heard[..audio.len()], audio);
        assert!(heard[audio.len()..].iter().all(|byte| *byte == 0xff) && heard.len() - audio.len() < 160);
    }
}

/// An agent sends one piece every 20 ms, with jitter: no silence is inserted after the first wait.
#[test]
fn a_paced_agent_is_played_without_a_gap() {
    let mut call = Call::new(settings());
    for n in 0..500_u32 {
        call.media(&[n as u8; 160]);
        call.pass();
    }
    let ticks: Vec<u64> = call.played.iter().map(|(tick, _)| *tick).collect();
    assert_eq!(ticks, (1..=500).collect::<Vec<_>>());
}

/// A `clear` returns all marks in order, and a mark without audio returns at once
/// (docs/internals/evidence/voice-agents.md).
#[test]
fn clear_returns_all_marks_in_order() {
    let mut call = Call::new(settings());
    call.mark("silence");
    assert_eq!(call.marks(), [(0, "silence".to_owned())]);
    for n in 0..10 {
        call.media(&[1; 1600]);
        call.mark(&n.to_string());
    }
    call.pass();
    call.say(r#"{"event":"clear"}"#);
    let names: Vec<String> = call.marks().into_iter().skip(1).map(|(_, name)| name).collect();
    assert_eq!(names, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(call.marks().iter().skip(1).all(|(tick, _)| *tick == 1));
    for _ in 0..100 {
        call.pass();
    }
    assert_eq!((call.played.len(), call.marks().len()), (1, 11));
}

/// Marks between pieces cost no packet (docs/internals/evidence/voice-agents.md).
#[test]
fn marks_between_pieces_leave_no_gap() {
    let mut call = Call::new(settings());
    for n in 0..100_u8 {
        call.media(&[n; 160]);
        call.mark(&n.to_string());
    }
    for _ in 0..100 {
        call.pass();
    }
    assert_eq!(call.played.len(), 100);
    let expected: Vec<(u64, String)> = (0..100).map(|n| (n + 1, n.to_string())).collect();
    assert_eq!(call.marks(), expected);
}

#[test]
fn requests_of_an_agent_are_passed_on() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    let target = "trunk:pbx/+14155551234".to_owned();
    let text = format!(r#"{{"event":"transfer","target":"{target}"}}"#);
    assert_eq!(say(&mut stream, now, &text), [Told::Request(AgentRequest::Transfer(target.clone()))]);
    for (consult, request) in [
        ("true", AgentRequest::Consult(target.clone())),
        ("false", AgentRequest::Transfer(target.clone())),
        ("null", AgentRequest::Transfer(target.clone())),
    ] {
        let text = format!(r#"{{"event":"transfer","consult":{consult},"target":"{target}"}}"#);
        assert_eq!(say(&mut stream, now, &text), [Told::Request(request)], "{consult}");
    }
    let text = format!(r#"{{"event":"transfer","warm":{{"accept":"1"}},"consult":true,"target":"{target}"}}"#);
    let warm = WarmTransfer { accept: Some('1'), ..WarmTransfer::default() };
    assert_eq!(
        say(&mut stream, now, &text),
        [Told::Request(AgentRequest::WarmTransfer(target.clone(), Box::new(warm)))]
    );
    let text = format!(r#"{{"event":"transfer","warm":{{"accept":"no"}},"target":"{target}"}}"#);
    let [Told::Problem(problem)] = &say(&mut stream, now, &text)[..] else { panic!("not acted upon") };
    assert_eq!(problem.slug(), "bad_warm");
    assert_eq!(say(&mut stream, now, r#"{"event":"hangup"}"#), [Told::Request(AgentRequest::Hangup)]);
    assert_eq!(
        say(&mut stream, now, r#"{"event":"dtmf","digits":"123#"}"#),
        [Told::Request(AgentRequest::Dtmf("123#".into()))]
    );
    // Unknown fields are ignored, in any order.
    let text = r#"{"sequenceNumber":"4","media":{"track":"outbound","payload":"/w==","x":[{}]},"x":{"y":1.5e3},"event":"media"}"#;
    assert_eq!(say(&mut stream, now, text), [Told::Play(vec![0xff])]);
}

/// Every end by the edge sends `stop`. A close frame must not follow directly, because servers like uvicorn would lose
/// data (docs/internals/evidence/voice-agents.md).
#[test]
fn our_end_is_stop_then_1000() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[1; 160] });
    stream.handle_input(now, StreamInput::Stop);
    let sent = texts(&mut stream);
    assert!(
        sent[0].starts_with(r#"{"event":"media""#) && sent[1].starts_with(r#"{"event":"stop","sequenceNumber":"3""#)
    );
    assert_eq!(sent.len(), 2);
    assert_eq!(stream.poll_timeout(), Some((now + STOP_TIMEOUT, StreamDeadline::Stop)));
    stream.handle_timeout(now + STOP_TIMEOUT - Duration::from_millis(1));
    assert_eq!(texts(&mut stream), Vec::<String>::new());
    stream.handle_timeout(now + STOP_TIMEOUT);
    assert_eq!(texts(&mut stream), ["<close 1000>"]);
    assert_eq!((told(&mut stream), stream.is_closed()), (vec![], false));
    stream.handle_input(now, StreamInput::Closed(Some(1000)));
    assert_eq!((told(&mut stream), stream.is_closed()), (vec![Told::Closed], true));
    assert_eq!(stream.poll_timeout(), None);
}

#[test]
fn an_agent_that_closes_at_stop_is_not_closed_by_us() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    stream.handle_input(now, StreamInput::Stop);
    stream.handle_input(now, StreamInput::Closed(Some(1000)));
    assert_eq!((told(&mut stream), stream.poll_timeout(), stream.poll_transmit()), (vec![Told::Closed], None, None));
}

#[test]
fn a_socket_that_does_not_close_is_left() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    stream.handle_input(now, StreamInput::Stop);
    stream.handle_timeout(now + STOP_TIMEOUT);
    assert_eq!(stream.poll_timeout(), Some((now + CLOSE_TIMEOUT, StreamDeadline::Close)));
    stream.handle_timeout(now + CLOSE_TIMEOUT);
    assert_eq!(told(&mut stream), [Told::Closed]);
    assert_eq!(texts(&mut stream), Vec::<String>::new());
}

/// Close code 1000 is a normal end, every other code a loss of the agent (docs/configure/agents.md).
#[test]
fn only_1000_is_an_end() {
    let now = Instant::now();
    for (code, first) in [
        (Some(1000), Told::Ended),
        (Some(1001), Told::Lost(StreamLoss::Closed(Some(1001)))),
        (Some(1006), Told::Lost(StreamLoss::Closed(Some(1006)))),
        (Some(1011), Told::Lost(StreamLoss::Closed(Some(1011)))),
        (Some(4000), Told::Lost(StreamLoss::Closed(Some(4000)))),
        (None, Told::Lost(StreamLoss::Closed(None))),
    ] {
        let mut stream = open(now, settings());
        stream.handle_input(now, StreamInput::Closed(code));
        assert_eq!(told(&mut stream), [first, Told::Closed]);
        assert_eq!((stream.poll_timeout(), stream.poll_transmit()), (None, None));
        stream.handle_input(now, StreamInput::Lost(StreamLoss::Reset));
        assert_eq!(told(&mut stream), [], "reported once");
    }
    // Before it was open there was nothing to end.
    let mut stream = Stream::new(now, settings());
    stream.handle_input(now, StreamInput::Closed(Some(1000)));
    assert_eq!(told(&mut stream), [Told::Lost(StreamLoss::Closed(Some(1000))), Told::Closed]);
    for loss in [StreamLoss::Reset, StreamLoss::ProtocolError, StreamLoss::DataUnacknowledged] {
        let mut stream = open(now, settings());
        stream.handle_input(now, StreamInput::Lost(loss));
        assert_eq!(told(&mut stream), [Told::Lost(loss), Told::Closed]);
    }
}

#[test]
fn a_socket_that_never_opens() {
    let now = Instant::now();
    for loss in [StreamLoss::Unreachable, StreamLoss::Tls, StreamLoss::Status(404), StreamLoss::NotWebSocket] {
        let mut stream = Stream::new(now, settings());
        stream.handle_input(now, StreamInput::Lost(loss));
        assert_eq!(told(&mut stream), [Told::Lost(loss), Told::Closed]);
        assert_eq!(stream.poll_transmit(), None);
    }
    let mut stream = Stream::new(now, settings());
    let due = now + Duration::from_secs(10);
    assert_eq!(stream.poll_timeout(), Some((due, StreamDeadline::Connect)));
    stream.handle_timeout(due - Duration::from_millis(1));
    assert_eq!(told(&mut stream), []);
    stream.handle_timeout(due);
    assert_eq!(told(&mut stream), [Told::Lost(StreamLoss::ConnectTimeout), Told::Closed]);
    stream.handle_input(due, StreamInput::Opened);
    assert_eq!((told(&mut stream), stream.poll_transmit()), (vec![], None));
    // Ended by the edge.
    let mut stream = Stream::new(now, settings());
    stream.handle_input(now, StreamInput::Stop);
    assert_eq!((told(&mut stream), stream.poll_transmit()), (vec![Told::Closed], None));
}

#[test]
fn pings_are_sent_and_must_be_answered() {
    let mut now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    for _ in 0..100 {
        assert_eq!(stream.poll_timeout(), Some((now + Duration::from_secs(2), StreamDeadline::Ping)));
        now += Duration::from_secs(2);
        stream.handle_timeout(now);
        assert_eq!(texts(&mut stream), ["<ping>"]);
        stream.handle_input(now, StreamInput::Pong);
    }
    let silent_from = now + Duration::from_secs(2);
    while let Some((due, _)) = stream.poll_timeout() {
        now = due;
        stream.handle_timeout(now);
        if !stream.is_open() {
            break;
        }
    }
    assert_eq!(now, silent_from + PONG_TIMEOUT);
    assert_eq!(told(&mut stream), [Told::Lost(StreamLoss::PingUnanswered)]);
    stream.handle_timeout(now + STOP_TIMEOUT);
    let sent = texts(&mut stream);
    assert!(sent[0].contains(r#""event":"stop""#) && sent[1] == "<close 1000>" && sent.len() == 2, "{sent:?}");
}

/// The round trip ends with the pong of its own ping: neither an unsolicited pong, nor an unread one, nor that of a
/// ping behind queued audio is measured.
#[test]
fn the_round_trip_is_that_of_a_ping() {
    let mut now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    stream.handle_input(now, StreamInput::Pong);
    assert_eq!(stream.round_trip(), None);
    let ping = |now: &mut Instant, stream: &mut Stream| {
        *now += Duration::from_secs(2);
        stream.handle_timeout(*now);
        assert_eq!(texts(stream).last().map(String::as_str), Some("<ping>"));
    };
    let ms = Duration::from_millis;
    ping(&mut now, &mut stream);
    stream.handle_input(now + ms(42), StreamInput::Pong);
    assert_eq!(stream.round_trip(), Some(ms(42)));
    stream.handle_input(now + ms(1000), StreamInput::Pong);
    assert_eq!(stream.round_trip(), Some(ms(42)), "it was answered already");
    for _ in 0..10 {
        stream.handle_input(now + ms(1000), StreamInput::Frame { track: TrackName::Inbound, audio: &[1; 160] });
    }
    ping(&mut now, &mut stream);
    stream.handle_input(now + ms(900), StreamInput::Pong);
    assert_eq!(stream.round_trip(), Some(ms(42)), "it waited behind audio");
    ping(&mut now, &mut stream);
    stream.forget_ping();
    stream.handle_input(now + ms(900), StreamInput::Pong);
    assert_eq!(stream.round_trip(), Some(ms(42)), "it lay unread");
    ping(&mut now, &mut stream);
    stream.handle_input(now + ms(7), StreamInput::Pong);
    assert_eq!(stream.round_trip(), Some(ms(7)));
}

/// At most one ping is queued for a blocked socket.
#[test]
fn pings_do_not_pile_up() {
    let mut now = Instant::now();
    let mut stream = open(now, StreamSettings { pong_timeout: Duration::ZERO, ..settings() });
    for _ in 0..100 {
        now += Duration::from_secs(2);
        stream.handle_timeout(now);
    }
    assert_eq!(texts(&mut stream).iter().filter(|text| *text == "<ping>").count(), 1);
    assert!(stream.is_open());
}

#[test]
fn an_agent_that_does_not_speak_is_lost() {
    let first_audio_timeout = Duration::from_secs(15);
    let now = Instant::now();
    let due = now + first_audio_timeout;
    let quiet = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, base64(&[0xff; 160]));
    let loud = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, base64(&[0x10; 160]));
    for (text, lost) in [(None, true), (Some(&quiet), true), (Some(&loud), false)] {
        let mut stream = open(now, StreamSettings { first_audio_timeout, ping: Duration::ZERO, ..settings() });
        assert_eq!(stream.poll_timeout(), Some((due, StreamDeadline::FirstAudio)));
        if let Some(text) = text {
            assert_eq!(say(&mut stream, now, text).len(), 1);
        }
        stream.handle_timeout(due);
        assert_eq!(told(&mut stream), if lost { vec![Told::Lost(StreamLoss::Silent)] } else { vec![] });
    }
    // A listener need not send audio.
    let stream = open(now, StreamSettings { first_audio_timeout, talks: false, ping: Duration::ZERO, ..settings() });
    assert_eq!(stream.poll_timeout(), None);
}

/// The queue of a listener that stops reading is bounded, and dropped frames are counted and reported once. Afterwards
/// the listener gets the newest frames, with a visible gap in times and numbers.
#[test]
fn a_slow_listener_loses_its_oldest_frames() {
    let now = Instant::now();
    let mut stream = open(now, StreamSettings { talks: false, ..settings() });
    texts(&mut stream);
    for n in 0..1000_u32 {
        stream.handle_input(now + FRAME * n, StreamInput::Frame { track: TrackName::Inbound, audio: &[1; 160] });
    }
    assert_eq!(told(&mut stream), [Told::FallsBehind]);
    assert_eq!(stream.counts().frames_dropped, 1000 - OUTBOX_MEDIA_FRAMES as u64);
    let sent = texts(&mut stream);
    assert_eq!(sent.len(), OUTBOX_MEDIA_FRAMES);
    let first = 1000 - OUTBOX_MEDIA_FRAMES;
    let head = format!(
        r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{}","#,
        first + 2,
        first + 1,
        first * 20
    );
    assert!(sent[0].starts_with(&head), "{}", sent[0]);
    // It has caught up, so the next time is reported again.
    for _ in 0..=OUTBOX_MEDIA_FRAMES {
        stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[1; 160] });
    }
    assert_eq!(told(&mut stream), [Told::FallsBehind]);
}

/// A listener gets no digits, as with Twilio, and only its requested tracks.
#[test]
fn a_listener_gets_no_keys() {
    let now = Instant::now();
    let mut stream = open(now, StreamSettings { talks: false, ..settings() });
    texts(&mut stream);
    stream.handle_input(now, StreamInput::Dtmf('1'));
    stream.handle_input(now, StreamInput::Frame { track: TrackName::Outbound, audio: &[1; 160] });
    assert_eq!(texts(&mut stream), Vec::<String>::new());
}

/// A process that was suspended reads the pongs and the audio of that time only afterwards; no agent is lost by that.
#[test]
fn a_process_that_stood_still_loses_no_agent() {
    let mut now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    now += Duration::from_secs(2);
    stream.handle_timeout(now);
    assert_eq!(texts(&mut stream), ["<ping>"]);
    now += Duration::from_secs(66);
    while stream.poll_timeout().is_some_and(|(due, _)| due <= now) {
        stream.handle_timeout(now);
    }
    assert_eq!((told(&mut stream), stream.is_open()), (vec![], true));
    stream.handle_input(now, StreamInput::Pong);
    now += PONG_TIMEOUT;
    stream.handle_timeout(now);
    assert!(stream.is_open());
    // An agent that stays silent is lost as soon as it has had the time that was taken from it.
    let mut now = Instant::now();
    let mut stream =
        open(now, StreamSettings { first_audio_timeout: Duration::from_secs(5), ping: Duration::ZERO, ..settings() });
    now += Duration::from_secs(20);
    stream.handle_timeout(now);
    assert_eq!(
        (told(&mut stream), stream.poll_timeout()),
        (vec![], Some((now + Duration::from_secs(15), StreamDeadline::FirstAudio)))
    );
    stream.handle_timeout(now + Duration::from_secs(15));
    assert_eq!(told(&mut stream), [Told::Lost(StreamLoss::Silent)]);
}
