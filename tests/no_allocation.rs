//! No allocations on the packet path, counted by the allocator over 100,000 packets; also the memory for a listener.

#![allow(unsafe_code, reason = "a global allocator cannot be written without; this one only counts")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_conference::{Audience, Mixer, PartyId, PartyRole, SamplingRate, ring};
use trunkgate_media::agent::{AgentFormat, StreamSettings, TrackSet};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::srtp::SrtpOutbound;
use trunkgate_media::{
    AgentInput, AgentSpec, EndCounters, EndId, EndSpec, EventsSpec, LatchMode, MediaCommand, MediaId, PacketBuf,
    PayloadCodec, PlayerSound, RawSpec, RemoteSpec, Session, SocketSpec, SrtpKey, SrtpSpec, Suite, TapSpec,
    TranscodeSpec, WireSpec, WorkerCounters,
};

struct Counting;

fn socket(url: &str) -> SocketSpec {
    SocketSpec {
        url: url.to_owned(),
        origin: trunkgate_media::UrlOrigin::Configuration,
        auth_token: None,
        ca: None,
        plain_networks: vec![],
        traceparent: None,
        bearer: None,
        sends_query: false,
    }
}

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

fn hold(more: usize, less: usize) {
    HELD.with(|held| held.set(held.get().wrapping_add(more).wrapping_sub(less)));
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        hold(layout.size(), 0);
        // SAFETY: as the caller promised us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(0, layout.size());
        // SAFETY: as the caller promised us.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        hold(size, layout.size());
        // SAFETY: as the caller promised us.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn far_side(end: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, end as u8], 4000))
}

fn remote(n: u16) -> RemoteSpec {
    RemoteSpec {
        rtp: Some(far_side(n)),
        rtcp: Some(far_side(n)),
        expected: vec![far_side(n).ip()],
        expected_networks: vec!["10.0.0.0/8".parse().unwrap()],
        may_send: true,
        may_receive: true,
        relatch: true,
        watch_idle: true,
        ..RemoteSpec::default()
    }
}

fn set_up(now: Instant) -> Session {
    let mut session = Session::new(MediaId(1), 60_000);
    session.count_in(Arc::new(WorkerCounters::default()));
    for n in 0..3 {
        let spec = EndSpec { bind: far_side(0), counters: Arc::new(EndCounters::default()) };
        session.handle_input(now, MediaCommand::AddEnd { end: EndId(n), spec });
        session.handle_input(now, MediaCommand::SetRemote { end: EndId(n), remote: remote(n) });
    }
    let wire = WireSpec { payloads: vec![(0, 0), (101, 96)], clocks: vec![(101, 8000)], ..WireSpec::default() };
    session.handle_input(now, MediaCommand::Wire { from: EndId(0), to: EndId(1), wire: wire.clone() });
    session.handle_input(now, MediaCommand::Wire { from: EndId(1), to: EndId(0), wire });
    session
}

#[test]
fn converting_between_g711_and_g722_allocates_nothing() {
    let start = Instant::now();
    let mut session = set_up(start);
    let codings = [(0, PayloadCodec::Pcmu), (8, PayloadCodec::Pcma), (9, PayloadCodec::G722)];
    let mut packet = PacketBuf::new();
    for (from, to) in codings.into_iter().flat_map(|from| codings.map(|to| (from, to))) {
        let events = vec![EventsSpec { from: (101, 8000), to: (96, 8000) }];
        let spec = TranscodeSpec { from: vec![from], to, packet_ms: 30, events, noise: Some((13, None)) };
        let wire = WireSpec { transcode: Some(Box::new(spec)), ..WireSpec::default() };
        session.handle_input(start, MediaCommand::Wire { from: EndId(0), to: EndId(1), wire });
        let mut header =
            RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 };
        let mut image = Vec::new();
        header.build(&[0x5a; 160], &mut image);
        let mut made = 0;
        let before = allocations();
        for n in 0..2000u32 {
            let now = start + Duration::from_millis(20) * n;
            // The stream has speech, short and long losses, silence, DTMF, and comfort noise.
            header.sequence = (n + n / 50 + n / 500 * 20) as u16;
            header.timestamp = (n + n / 50 + n / 300 * 5) * 160;
            header.payload_type = match n % 100 {
                97 => 101,
                99 => 13,
                _ => from.0,
            };
            packet.receive_area()[..image.len()].copy_from_slice(&image);
            packet.set_len(image.len());
            header.write(packet.data_mut());
            made += u32::from(session.handle_packet(now, EndId(0), false, far_side(0), &mut packet).is_some());
            while session.poll_converted(now, &mut packet).is_some() {
                made += 1;
            }
        }
        assert_eq!(allocations() - before, 0, "{from:?} to {to:?}");
        assert!(made > 1200, "{made}");
    }
}

#[test]
fn a_hundred_thousand_packets_allocate_nothing() {
    let start = Instant::now();
    let mut session = set_up(start);
    let mut packet = PacketBuf::new();
    let mut header = RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 };
    let mut image = Vec::new();
    header.build(&[0xff; 160], &mut image);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let stranger = SocketAddr::from(([203, 0, 113, 1], 1));
    let (mut relayed, mut refused) = (0, 0);

    let before = allocations();
    for n in 0..100_000u32 {
        let now = start + Duration::from_millis(10) * n;
        let end = (n % 2) as u16;
        // There are all kinds of packets: valid, renumbered, with a new SSRC, RTCP, from an unknown source, garbage.
        let (rtcp, source) = match n % 100 {
            97 => (true, far_side(end)),
            98 => (false, stranger),
            _ => (false, far_side(end)),
        };
        header.sequence = (n / 2) as u16;
        header.timestamp = n / 2 * 160;
        header.payload_type = if n % 10 == 3 { 101 } else { 0 };
        header.ssrc = n / 10_000;
        let bytes: &[u8] = if rtcp { &report } else { &image };
        packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
        packet.set_len(if n % 100 == 99 { 3 } else { bytes.len() });
        if !rtcp {
            header.write(packet.data_mut());
        }
        match session.handle_packet(now, EndId(end), rtcp, source, &mut packet) {
            Some(_) => relayed += 1,
            None => refused += 1,
        }
    }
    let after = allocations();
    assert_eq!((relayed, refused), (98_000, 2_000));
    assert_eq!(after - before, 0);
    // An allocation shows that the counter works.
    assert!(session.poll_output().is_some());
    drop(std::hint::black_box(vec![0u8; 10]));
    assert!(allocations() > after);
}

/// Both sides use SRTP with each suite; there are forgeries, replays and new SSRCs among the packets.
#[test]
fn a_hundred_thousand_encrypted_packets_allocate_nothing() {
    for suite in Suite::ALL {
        let start = Instant::now();
        let mut session = set_up(start);
        let key = |seed| SrtpKey::new(suite, &vec![seed; suite.key_len() + suite.salt_len()], None).unwrap();
        for n in 0..2 {
            let srtp = Some(SrtpSpec { send: key(n), receive: key(n + 10), rolled: 0, own_sources: None });
            let remote = RemoteSpec { srtp: srtp.map(Box::new), ..remote(u16::from(n)) };
            session.handle_input(start, MediaCommand::SetRemote { end: EndId(n.into()), remote });
        }
        let mut far = [10, 11].map(|seed| SrtpOutbound::new(&key(seed)));
        let mut packet = PacketBuf::new();
        let mut header =
            RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 };
        let mut image = Vec::new();
        header.build(&[0xff; 160], &mut image);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
        let (mut relayed, mut refused) = (0, 0);
        let before = allocations();
        for n in 0..100_000u32 / 6 {
            let now = start + Duration::from_millis(10) * n;
            let end = (n % 2) as usize;
            let rtcp = n % 100 > 97;
            header.sequence = (n / 2 + 60_000) as u16;
            header.timestamp = n / 2 * 160;
            header.ssrc = n / 2500;
            let bytes: &[u8] = if rtcp { &report } else { &image };
            packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
            packet.set_len(bytes.len());
            if rtcp {
                far[end].protect_rtcp(&mut packet).unwrap();
            } else {
                header.write(packet.data_mut());
                far[end].protect_rtp(&mut packet).unwrap();
            }
            if n % 100 == 50 {
                packet.data_mut()[30] ^= 1;
            }
            match session.handle_packet(now, EndId(end as u16), rtcp, far_side(end as u16), &mut packet) {
                Some(_) => relayed += 1,
                None => refused += 1,
            }
        }
        assert_eq!(allocations() - before, 0, "{suite:?}");
        assert_eq!((relayed, refused), (16_666 - 167, 167));
    }
}

/// The sessions have RTCP multiplexed with RTP, a remote party that may move, and fax.
#[test]
fn other_ways_through_a_session_allocate_nothing_either() {
    let start = Instant::now();
    let mut session = set_up(start);
    let mut image = Vec::new();
    let header = RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 };
    header.build(&[0xff; 160], &mut image);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let mut packet = PacketBuf::new();
    for fax in [false, true] {
        for end in 0..2 {
            let remote = RemoteSpec {
                rtp: Some(far_side(end)),
                rtcp: Some(far_side(end)),
                expected: vec![far_side(end).ip()],
                latch: LatchMode::Relearn,
                rtcp_mux: true,
                may_send: true,
                may_receive: true,
                relatch: true,
                ..RemoteSpec::default()
            };
            session.handle_input(start, MediaCommand::SetRemote { end: EndId(end), remote });
            let payloads = if fax { vec![] } else { vec![(0, 0)] };
            let wire = WireSpec { payloads, verbatim: fax, ..WireSpec::default() };
            session.handle_input(start, MediaCommand::Wire { from: EndId(end), to: EndId(1 - end), wire });
        }
        while session.poll_output().is_some() {}
        let (before, mut relayed) = (allocations(), 0);
        for n in 0..50_000u32 {
            // At times another port of the remote party takes over after a silence: with its tenth packet. Reports of a
            // source before that do not count.
            let (now, end) =
                (start + Duration::from_millis(10) * n + Duration::from_secs(4) * (n / 5000), (n % 2) as u16);
            let source = SocketAddr::new(far_side(end).ip(), 4000 + (n / 5000) as u16);
            let bytes: &[u8] = if n % 50 == 40 { &report } else { &image };
            packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
            packet.set_len(bytes.len());
            relayed += u32::from(session.handle_packet(now, EndId(end), false, source, &mut packet).is_some());
            while session.poll_output().is_some() {}
        }
        let (changes, ends) = (9, 2);
        assert_eq!((relayed, allocations() - before), (50_000 - changes * ends * 9, 0), "fax: {fax}");
    }
}

/// For a listener, there are two frames for each packet; for the end with the player, one for each tick.
#[test]
fn a_call_with_a_listener_and_a_player_allocates_only_messages() {
    let start = Instant::now();
    let mut session = set_up(start);
    // The end that is listened to and the end with the player use SRTP.
    let key = |seed| SrtpKey::new(Suite::AesCm128HmacSha1_80, &[seed; 30], None).unwrap();
    for n in [0, 2] {
        let srtp = Some(SrtpSpec { send: key(n), receive: key(n + 10), rolled: 0, own_sources: None });
        let remote = RemoteSpec { srtp: srtp.map(Box::new), ..remote(u16::from(n)) };
        session.handle_input(start, MediaCommand::SetRemote { end: EndId(n.into()), remote });
    }
    let mut far = SrtpOutbound::new(&key(10));
    let listener = EndId(8);
    let settings = StreamSettings { talks: false, tracks: TrackSet::Both, ..StreamSettings::default() };
    let socket = socket("wss://agent.example/");
    let (counters, queue, clear_fade) = (Arc::default(), Arc::default(), Duration::ZERO);
    let spec = Arc::new(AgentSpec { settings, socket, counters, queue, turns: None, clear_fade, raw: None });
    session.handle_input(start, MediaCommand::AddAgent { end: listener, spec: spec.clone() });
    session.handle_agent(start, listener, AgentInput::Opened);
    session
        .handle_input(start, MediaCommand::Tap { of: EndId(0), listener, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    // Another listener gets copies as plain RTP.
    let raw = AgentSpec { raw: Some(RawSpec { inbound: 1, outbound: 2 }), ..AgentSpec::clone(&spec) };
    session.handle_input(start, MediaCommand::AddAgent { end: EndId(7), spec: Arc::new(raw) });
    session.handle_agent(start, EndId(7), AgentInput::Found(far_side(7)));
    session.handle_input(start, MediaCommand::Tap { of: EndId(0), listener: EndId(7), audio: TapSpec::default() });
    let mut copied = 0;
    session.handle_input(start, MediaCommand::AddPlayer { end: EndId(9), sound: PlayerSound::Ringback });
    let wire = WireSpec { payloads: vec![(0, 0)], coding: PayloadCodec::Pcma, ..WireSpec::default() };
    session.handle_input(start, MediaCommand::Wire { from: EndId(9), to: EndId(2), wire });
    let mut packet = PacketBuf::new();
    let mut header = RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 };
    let mut image = Vec::new();
    header.build(&[0x55; 160], &mut image);

    let (mut before, mut relayed, mut made, mut written) = (0, 0, 0, 0);
    for n in 0..20_000u32 {
        if n == 1000 {
            // By now, the buffers have reached their size.
            (before, relayed, made, written) = (allocations(), 0, 0, 0);
            copied = 0;
        }
        let now = start + Duration::from_millis(20) * n;
        for end in 0..2 {
            header.sequence = n as u16;
            header.timestamp = n * 160;
            packet.receive_area()[..image.len()].copy_from_slice(&image);
            packet.set_len(image.len());
            header.write(packet.data_mut());
            if end == 0 {
                far.protect_rtp(&mut packet).unwrap();
            }
            relayed += u32::from(session.handle_packet(now, EndId(end), false, far_side(end), &mut packet).is_some());
            session.drain_copies(|_, copy| copied += u32::from(copy.len() == image.len()));
        }
        session.handle_timeout(now);
        while let Some(transmit) = session.poll_packet(&mut packet) {
            made += u32::from(!transmit.rtcp);
        }
        while session.poll_agent(listener).is_some() {
            written += 1;
        }
        session.handle_agent(now, listener, AgentInput::Pong);
    }
    assert_eq!((relayed, made, copied), (38_000, 19_000, 38_000));
    // Messages are the frames of both tracks, and the pings.
    assert!((38_000..38_300).contains(&written), "{written}");
    // Only the text of a message is allocated, which is passed to the socket's task.
    assert!(allocations() - before <= written, "{}", allocations() - before);
}

/// Maximum size in bytes of a session for a listener to both sides, without the listener's socket.
const LISTENER_BYTES: usize = 6_500;

#[test]
fn a_listener_holds_little_while_packets_come_in_order() {
    let start = Instant::now();
    let mut session = set_up(start);
    let listener = EndId(8);
    let mut packet = PacketBuf::new();
    let mut header = RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 };
    let mut image = Vec::new();
    // The packets have 60 ms each.
    header.build(&[0x55; 480], &mut image);
    let (mut before, mut written) = (0, 0);
    for n in 0..300u32 {
        let now = start + Duration::from_millis(60) * n;
        if n == 100 {
            before = HELD.get();
            let settings = StreamSettings { talks: false, tracks: TrackSet::Both, ..StreamSettings::default() };
            let socket = socket("wss://agent.example/");
            let (counters, queue, clear_fade) = (Arc::default(), Arc::default(), Duration::ZERO);
            let spec = Arc::new(AgentSpec { settings, socket, counters, queue, turns: None, clear_fade, raw: None });
            session.handle_input(now, MediaCommand::AddAgent { end: listener, spec });
            session.handle_agent(now, listener, AgentInput::Opened);
            session.handle_input(
                now,
                MediaCommand::Tap { of: EndId(0), listener, audio: TapSpec::both(0, PayloadCodec::Pcmu) },
            );
        }
        for end in 0..2 {
            (header.sequence, header.timestamp) = (n as u16, n * 480);
            packet.receive_area()[..image.len()].copy_from_slice(&image);
            packet.set_len(image.len());
            header.write(packet.data_mut());
            assert!(session.handle_packet(now, EndId(end), false, far_side(end), &mut packet).is_some());
        }
        session.handle_timeout(now);
        while session.poll_output().is_some() {}
        while session.poll_agent(listener).is_some() {
            written += 1;
        }
        session.handle_agent(now, listener, AgentInput::Pong);
    }
    assert!(written >= 2 * 200 * 3 - 6, "{written}");
    let held = HELD.get() - before;
    assert!((1000..LISTENER_BYTES).contains(&held), "{held}");
}

/// In each format and codec, an agent sends minutes of audio at once, and receives the caller's packets, some of them
/// reordered.
#[test]
fn a_call_with_a_talking_agent_allocates_only_messages() {
    let of_g711 = AgentFormat::ALL.into_iter().map(|format| (format, PayloadCodec::Pcma));
    for (format, coding) in of_g711.chain([(AgentFormat::L16Rate16000, PayloadCodec::G722)]) {
        let start = Instant::now();
        let mut session = set_up(start);
        let agent = EndId(8);
        let settings = StreamSettings { format, ping: Duration::ZERO, ..StreamSettings::default() };
        let socket = socket("wss://agent.example/");
        let (turns, clear_fade) = (Some(Arc::default()), Duration::from_millis(10));
        let spec = AgentSpec {
            settings,
            socket,
            counters: Arc::default(),
            queue: Arc::default(),
            turns,
            clear_fade,
            raw: None,
        };
        session.handle_input(start, MediaCommand::AddAgent { end: agent, spec: Arc::new(spec) });
        session.handle_agent(start, agent, AgentInput::Opened);
        let wire = WireSpec { payloads: vec![(0, 0)], coding, ..WireSpec::default() };
        session.handle_input(start, MediaCommand::Wire { from: agent, to: EndId(0), wire: wire.clone() });
        session.handle_input(start, MediaCommand::Wire { from: EndId(0), to: agent, wire });
        // The payload is one minute of audio.
        let payload = "Hh4e".repeat(format.bytes_per_ms() * 60_000 / 3);
        let text = format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#);
        session.handle_agent(start, agent, AgentInput::Text(&text));
        let mut packet = PacketBuf::new();
        let mut header =
            RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 };
        let mut image = Vec::new();
        header.build(&[0x55; 160], &mut image);

        let (mut before, mut made, mut written) = (0, 0, 0);
        for n in 0..3000u32 {
            if n == 500 {
                (before, made, written) = (allocations(), 0, 0);
            }
            let now = start + Duration::from_millis(20) * n;
            let place = match n % 10 {
                5 => n + 1,
                6 => n - 1,
                _ => n,
            };
            (header.sequence, header.timestamp) = (place as u16, place * 160);
            packet.receive_area()[..image.len()].copy_from_slice(&image);
            packet.set_len(image.len());
            header.write(packet.data_mut());
            assert!(session.handle_packet(now, EndId(0), false, far_side(0), &mut packet).is_none());
            session.handle_timeout(now);
            while let Some(transmit) = session.poll_packet(&mut packet) {
                made += u32::from(!transmit.rtcp);
            }
            while session.poll_agent(agent).is_some() {
                written += 1;
            }
        }
        assert_eq!((made, written), (2500, 2500), "{}", format.name());
        assert!(allocations() - before <= written, "{}: {}", format.name(), allocations() - before);
    }
}

/// There are speech, silence, loss, changing members and clips: once all members have joined, neither a tick nor a ring
/// allocates.
#[test]
fn mixing_a_conference_allocates_nothing() {
    let mut mixer = Mixer::new();
    let parties: Vec<(PartyId, SamplingRate)> =
        (0..50).map(|n| SamplingRate::ALL[n % 3]).map(|rate| (mixer.join(rate).unwrap(), rate)).collect();
    let (mut sender, mut receiver) = ring(SamplingRate::Full);
    let clip: Arc<[i16]> = vec![3000; 4000].into();
    mixer.play(Audience::All, clip.clone(), true).unwrap();
    mixer.play(Audience::One(parties[3].0), clip, false).unwrap();
    let loud: Vec<i16> = (0..960_i32).map(|n| ((n * 7919 % 20_000) - 10_000) as i16).collect();
    let mut frame = [0; 960];
    let (mut heard, before) = (0, allocations());
    for tick in 0..500 {
        for (n, (id, rate)) in parties.iter().enumerate() {
            let quiet = [0; 960];
            let samples = if (tick / 20 + n) % 5 == 0 { &loud } else { &quiet[..] };
            match (tick + n) % 40 {
                39 => mixer.push_lost(*id),
                38 => {}
                _ => mixer.push(*id, &samples[..rate.frame()]),
            }
        }
        let part =
            [PartyRole::Coach(parties[1].0), PartyRole::Listener, PartyRole::Away, PartyRole::Speaker][tick / 50 % 4];
        mixer.set_part(parties[tick / 200].0, part);
        mixer.tick();
        while mixer.poll_event().is_some() {}
        sender.push(Some(&loud));
        receiver.pop(&mut frame);
        heard += parties.iter().filter(|(id, _)| mixer.heard(*id).is_some_and(|heard| !heard.is_silent)).count();
    }
    assert_eq!(allocations() - before, 0);
    assert!(heard > 20_000, "{heard}");
}
