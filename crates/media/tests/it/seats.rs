//! Conference seats: remote parties of a session in a conference, whose mixer runs beside the session.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use trunkgate_media::agent::StreamSettings;
use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};
use trunkgate_media::codec::g722;
use trunkgate_media::conference::{FrameReceiver, FrameSender, Mixer, PartyId, RingFrame, SamplingRate, ring};
use trunkgate_media::limits::SEAT_LEAD;
use trunkgate_media::{
    AgentInput, AudioListenerSpec, DtmfConversion, EndId, EndSpec, MediaCommand, MediaEvent, MixerPortSpec,
    PayloadCodec, PlayerSound, TapSpec, WireSpec,
};

/// Conference participant: its end, its seat, and the mixer's sides of its two ring buffers.
struct Party {
    end: EndId,
    at: &'static str,
    coding: PayloadCodec,
    id: PartyId,
    from: FrameReceiver,
    to: FrameSender,
    number: u16,
    encoder: g722::G722Encoder,
    decoder: g722::G722Decoder,
    heard: Vec<i16>,
}

/// Session with all ends in one conference.
struct Conference {
    bench: Bench,
    mixer: Mixer,
    parties: Vec<Party>,
}

const ENDS: [(EndId, &str); 3] = [(A, A_RTP), (B, B_RTP), (C, C_RTP)];

fn payload_of(coding: PayloadCodec) -> u8 {
    match coding {
        PayloadCodec::Pcmu => 0,
        PayloadCodec::Pcma => 8,
        PayloadCodec::G722 | PayloadCodec::Opus(_) | PayloadCodec::Linear(_) => 9,
    }
}

fn seat_of(end: EndId) -> EndId {
    EndId(20 + end.0)
}

impl Conference {
    fn new(codings: &[PayloadCodec]) -> Conference {
        let (mut bench, mut mixer) = (Bench::unconnected(), Mixer::new());
        let mut parties = Vec::new();
        for ((end, at), coding) in ENDS.into_iter().zip(codings) {
            let (seat, payload) = (seat_of(end), payload_of(*coding));
            let rate = if coding.is_g711() { SamplingRate::Narrow } else { SamplingRate::Wide };
            let ((to_mixer, from), (to, from_mixer)) = (ring(rate), ring(rate));
            let spec = MixerPortSpec::new(to_mixer, from_mixer, bench.now).unwrap();
            bench.set_remote(end, remote(at));
            bench.command(MediaCommand::AddListener { end: seat, spec: AudioListenerSpec::Seat(spec) });
            let audio = TapSpec::both(payload, *coding);
            bench.command(MediaCommand::Tap { of: end, listener: seat, audio });
            let wire = WireSpec { payloads: vec![(payload, payload)], coding: *coding, ..WireSpec::default() };
            bench.command(MediaCommand::Wire { from: seat, to: end, wire });
            let parted = DtmfConversion {
                events: vec![(101, 8000)],
                tones: true,
                digits_only: Some((payload, *coding)),
                ..DtmfConversion::default()
            };
            let wire = WireSpec { parted: Some(Box::new(parted)), ..WireSpec::default() };
            bench.command(MediaCommand::Wire { from: end, to: seat, wire });
            let (encoder, decoder) = (g722::G722Encoder::new(), g722::G722Decoder::new());
            let (id, coding) = (mixer.join(rate).unwrap(), *coding);
            parties.push(Party { end, at, coding, id, from, to, number: 0, encoder, decoder, heard: Vec::new() });
        }
        Conference { bench, mixer, parties }
    }

    /// Sends a party's next packet, a tone of `hz`, unless it is lost.
    fn say(&mut self, at: usize, hz: f64, is_lost: bool) {
        let party = &mut self.parties[at];
        let rate = if party.coding.is_g711() { 8000 } else { 16_000 };
        let sample = |n: usize| (8000.0 * (TAU * hz * n as f64 / f64::from(rate)).sin()) as i16;
        let first = usize::from(party.number) * rate as usize / 50;
        let samples: Vec<i16> = (first..first + rate as usize / 50).map(sample).collect();
        let payload: Vec<u8> = match party.coding {
            PayloadCodec::Pcmu => samples.iter().map(|sample| encode_ulaw(*sample)).collect(),
            PayloadCodec::Pcma => samples.iter().map(|sample| encode_alaw(*sample)).collect(),
            PayloadCodec::G722 | PayloadCodec::Opus(_) | PayloadCodec::Linear(_) => {
                samples.chunks(2).map(|pair| party.encoder.encode(pair[0], pair[1])).collect()
            }
        };
        let mut bytes = Vec::new();
        let mut rtp = header(party.number);
        (rtp.payload_type, rtp.ssrc) = (payload_of(party.coding), u32::from(party.end.0) + 1);
        rtp.build(&payload, &mut bytes);
        party.number += 1;
        if !is_lost {
            let (end, source) = (party.end, party.at);
            assert!(self.bench.feed(end, false, source, &bytes).is_none(), "it goes to the mixer alone");
        }
    }

    /// Runs one tick of the mixer and 20 ms of the session; returns the times of the sent packets.
    fn tick(&mut self) -> Vec<Instant> {
        for party in &mut self.parties {
            let mut samples = [0; 320];
            let samples = &mut samples[..party.from.rate().frame()];
            while let Some(frame) = party.from.pop(samples) {
                match frame {
                    RingFrame::Audio => self.mixer.push(party.id, samples),
                    RingFrame::Lost => self.mixer.push_lost(party.id),
                }
            }
        }
        self.mixer.tick();
        for party in &mut self.parties {
            let heard = self.mixer.heard(party.id).map(|heard| heard.samples);
            party.to.push(heard);
        }
        let made = self.bench.run(20);
        for one in &made {
            let party = self.parties.iter_mut().find(|party| party.end == one.transmit.via).unwrap();
            let Party { coding, decoder, heard, .. } = party;
            match coding {
                PayloadCodec::Pcmu => heard.extend(one.payload().iter().map(|code| decode_ulaw(*code))),
                PayloadCodec::Pcma => heard.extend(one.payload().iter().map(|code| decode_alaw(*code))),
                PayloadCodec::G722 | PayloadCodec::Opus(_) | PayloadCodec::Linear(_) => {
                    heard.extend(one.payload().iter().flat_map(|code| decoder.decode(*code)))
                }
            }
        }
        made.iter().map(|one| one.at).collect()
    }

    /// Returns the level of a tone in the last 200 ms sent to a party, in dB below full scale.
    fn level(&self, at: usize, hz: f64) -> f64 {
        let party = &self.parties[at];
        let rate = if party.coding.is_g711() { 8000.0 } else { 16_000.0 };
        let last = &party.heard[party.heard.len() - rate as usize / 5..];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in last.iter().enumerate() {
            let angle = TAU * hz * n as f64 / rate;
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        20.0 * (2.0 * re.hypot(im) / last.len() as f64 / 32_768.0).max(1e-6).log10()
    }
}

#[test]
fn parties_of_all_codecs_hear_each_other_and_not_themselves() {
    for codings in [
        [PayloadCodec::Pcmu, PayloadCodec::Pcma, PayloadCodec::Pcmu],
        [PayloadCodec::G722, PayloadCodec::Pcma, PayloadCodec::G722],
        [PayloadCodec::Pcmu, PayloadCodec::G722, PayloadCodec::G722],
    ] {
        let mut conference = Conference::new(&codings);
        // A frequency that only wide-band codecs carry, if there is one.
        let high = if codings[0] == PayloadCodec::G722 { 5000.0 } else { 1000.0 };
        for _ in 0..60 {
            conference.say(0, high, false);
            conference.say(1, 600.0, false);
            conference.say(2, 0.0, false);
            conference.tick();
        }
        // A tone of 8,000 is 12.2 dB below full scale; the leveller may change it a little.
        assert!(conference.level(2, high) > -22.0, "{codings:?}: {}", conference.level(2, high));
        assert!(conference.level(2, 600.0) > -22.0 && conference.level(0, 600.0) > -22.0, "{codings:?}");
        assert!(conference.level(0, high) < -45.0 && conference.level(1, 600.0) < -45.0, "{codings:?}");
        if high < 4000.0 {
            assert!(conference.level(1, high) > -22.0, "{codings:?}");
        }
    }
}

#[test]
fn a_party_that_a_mixer_alone_hears_may_be_read_together_with_others() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcmu]);
    let ticks_at = conference.bench.now;
    let of = |conference: &Conference, end| conference.bench.session.mixed_from(end);
    assert_eq!((of(&conference, A), of(&conference, B)), (None, None), "anybody can be heard as yet");
    conference.say(0, 0.0, false);
    conference.say(1, 0.0, false);
    assert_eq!((of(&conference, A), of(&conference, B)), (Some(ticks_at), Some(ticks_at)));
    assert_eq!((of(&conference, C), of(&conference, seat_of(A))), (None, None));
    // An agent listens too, until it is removed.
    let agent = EndId(40);
    conference.bench.add_agent(agent, StreamSettings::default());
    conference.bench.command(MediaCommand::Tap { of: A, listener: agent, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    assert_eq!((of(&conference, A), of(&conference, B)), (None, Some(ticks_at)));
    conference.bench.command(MediaCommand::RemoveEnd { end: agent });
    assert_eq!(of(&conference, A), Some(ticks_at));
    // The audio is relayed.
    let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
    conference.bench.command(MediaCommand::Wire { from: A, to: B, wire });
    assert_eq!(of(&conference, A), None);
    conference.bench.command(MediaCommand::Unwire { from: A });
    conference.bench.command(MediaCommand::RemoveEnd { end: seat_of(B) });
    assert_eq!(of(&conference, B), None);
}

#[test]
fn a_packet_that_has_waited_came_when_it_came() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcmu]);
    let mut jitter = [0, 0];
    for (at, waits) in [false, true].into_iter().enumerate() {
        for n in 0..50_u64 {
            // Handed over with a delay of 0 and 8 ms in turn.
            let late = if n % 2 == 0 { Duration::ZERO } else { Duration::from_millis(8) };
            conference.bench.now += late;
            conference.bench.waited = if waits { late } else { Duration::ZERO };
            conference.say(at, 600.0, false);
            conference.bench.now += Duration::from_millis(20) - late;
        }
        jitter[at] = conference.bench.counters[at].jitter_us.get();
    }
    assert!(jitter[0] > 5_000 && jitter[1] < 500, "{jitter:?}");
}

/// Measures the delay from a received packet to the sent one. It consists of the wait for the mixer's tick, its
/// look-ahead, and the wait for the stream's tick.
#[test]
fn the_way_through_a_conference_takes_less_than_25_ms() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcmu]);
    let ticks_at = conference.bench.now;
    let (mut said, mut left) = (None, Vec::new());
    for at in 0..40 {
        if at == 20 {
            said = Some(conference.parties[1].heard.len());
        }
        conference.say(0, if at >= 20 { 1000.0 } else { 0.0 }, false);
        conference.say(1, 0.0, false);
        left.extend(conference.tick());
    }
    for at in left {
        let since = at.saturating_duration_since(ticks_at).as_micros() % 20_000;
        assert_eq!(Duration::from_micros(since as u64), SEAT_LEAD, "each packet leaves behind a tick of the mixer");
    }
    let heard = &conference.parties[1].heard[said.unwrap()..];
    let begins = heard.iter().position(|sample| sample.abs() > 2000).unwrap();
    // Sent 2 ms after the tick, behind the look-ahead of 2 ms.
    assert!(begins < 8 * 5, "{begins} samples");
}

/// Music before the start of the conference has its own clock; afterwards the stream is aligned with the mixer and
/// continues its sequence numbers.
#[test]
fn a_stream_that_is_there_already_goes_on_in_step_with_the_mixer() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcmu]);
    let ticks_at = conference.bench.now;
    let player = EndId(30);
    conference.bench.command(MediaCommand::RemoveEnd { end: A });
    let spec = EndSpec { bind: addr("127.0.0.1:17000"), counters: Arc::default() };
    conference.bench.command(MediaCommand::AddEnd { end: A, spec });
    conference.bench.set_remote(A, remote(A_RTP));
    conference.bench.wait(7);
    conference.bench.command(MediaCommand::AddPlayer { end: player, sound: PlayerSound::Ringback });
    conference.bench.wire(player, A);
    let before = conference.bench.run(73);
    conference.bench.wire(seat_of(A), A);
    let after = conference.bench.run(100);
    let of_a = |made: &[Made]| made.iter().filter(|one| one.transmit.via == A).cloned().collect::<Vec<_>>();
    let (before, after) = (of_a(&before), of_a(&after));
    let phase = |one: &Made| one.at.saturating_duration_since(ticks_at).as_micros() % 20_000;
    assert!(before.iter().all(|one| phase(one) == 7_000) && before.len() == 4);
    assert!(after.iter().all(|one| phase(one) == SEAT_LEAD.as_micros()) && after.len() == 4);
    let (last, next) = (before[3].rtp(), after[0].rtp());
    assert_eq!((next.sequence, next.timestamp), (last.sequence + 1, last.timestamp + 160));
    assert_eq!(next.ssrc, last.ssrc);
}

#[test]
fn a_lost_packet_is_concealed_for_the_other() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcmu]);
    for at in 0..60 {
        conference.say(0, 300.0, at == 40);
        conference.say(1, 0.0, false);
        conference.tick();
    }
    let heard = &conference.parties[1].heard;
    let frames: Vec<u32> =
        heard.chunks(160).map(|frame| frame.iter().map(|sample| u32::from(sample.unsigned_abs())).sum()).collect();
    let quietest = frames[10..58].iter().min().unwrap();
    assert!(*quietest > frames[20] / 2, "no hole: {frames:?}");
    assert_eq!(conference.mixer.intaken(conference.parties[0].id).unwrap().absent, 1);
}

#[test]
fn digits_go_to_signalling_and_are_not_heard() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcmu]);
    (0..20).for_each(|_| {
        conference.say(0, 300.0, false);
        conference.tick();
    });
    let number = conference.parties[0].number;
    let mut rtp = header(number);
    (rtp.payload_type, rtp.ssrc, rtp.marker) = (101, 1, true);
    let mut bytes = Vec::new();
    // RFC 4733: the star, 160 ticks.
    rtp.build(&[10, 10, 0, 160], &mut bytes);
    conference.bench.feed(A, false, A_RTP, &bytes);
    let keys: Vec<char> = (conference.bench.events().into_iter())
        .filter_map(|event| if let MediaEvent::Key { end: A, key, .. } = event { Some(key) } else { None })
        .collect();
    assert_eq!(keys, ['*']);
}

#[test]
fn a_party_without_a_frame_hears_silence_and_one_that_waits_too_long_is_left_out() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcmu]);
    conference.say(0, 300.0, false);
    conference.say(1, 300.0, false);
    (0..10).for_each(|_| drop(conference.tick()));
    // The mixer's thread does not run.
    let before = conference.parties[0].heard.len();
    assert!(!conference.bench.run(100).is_empty(), "the stream goes on");
    // The mixer catches up at once: the newest frames are played.
    for number in 1..=8_i16 {
        conference.parties[0].to.push(Some(&[number * 1000; 160]));
    }
    let made = conference.bench.run(80);
    let heard: Vec<i16> =
        made.iter().filter(|one| one.transmit.via == A).map(|one| decode_ulaw(one.payload()[0]) / 900).collect();
    assert_eq!(heard, [6, 7, 8, 0], "{before}");
}

#[test]
fn a_seat_that_is_removed_closes_its_rings_and_is_taken_once() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcmu]);
    conference.bench.command(MediaCommand::RemoveEnd { end: seat_of(A) });
    assert!(conference.parties[0].from.is_closed() && conference.parties[0].to.is_closed());
    assert!(!conference.parties[1].from.is_closed());
    conference.say(0, 300.0, false);
    conference.tick();
    let ((to_mixer, from), (to, from_mixer)) = (ring(SamplingRate::Narrow), ring(SamplingRate::Narrow));
    let spec = MixerPortSpec::new(to_mixer, from_mixer, conference.bench.now).unwrap();
    conference.bench.command(MediaCommand::AddListener { end: EndId(40), spec: AudioListenerSpec::Seat(spec.clone()) });
    conference.bench.command(MediaCommand::AddListener { end: EndId(41), spec: AudioListenerSpec::Seat(spec) });
    conference.bench.command(MediaCommand::RemoveEnd { end: EndId(41) });
    assert!(!from.is_closed(), "the second got nothing");
    conference.bench.command(MediaCommand::Close);
    assert!(from.is_closed() && to.is_closed());
    let (narrow, wide, full) = (ring(SamplingRate::Narrow), ring(SamplingRate::Wide), ring(SamplingRate::Full));
    assert!(MixerPortSpec::new(narrow.0, wide.1, conference.bench.now).is_none(), "of different rates");
    assert!(MixerPortSpec::new(full.0, ring(SamplingRate::Full).1, conference.bench.now).is_none());
}

/// An agent receives the mix without its own audio, which goes to the other participants.
#[test]
fn an_agent_is_a_party_of_a_conference() {
    let mut conference = Conference::new(&[PayloadCodec::Pcmu, PayloadCodec::Pcma]);
    let (agent, seat) = (EndId(30), EndId(31));
    let ((to_mixer, mut from), (mut to, from_mixer)) = (ring(SamplingRate::Narrow), ring(SamplingRate::Narrow));
    let spec = MixerPortSpec::new(to_mixer, from_mixer, conference.bench.now).unwrap();
    conference.bench.command(MediaCommand::AddListener { end: seat, spec: AudioListenerSpec::Seat(spec) });
    conference.bench.add_agent(agent, StreamSettings::default());
    let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
    conference.bench.command(MediaCommand::Wire { from: agent, to: seat, wire: wire.clone() });
    conference.bench.command(MediaCommand::Wire { from: seat, to: agent, wire });
    conference.bench.agent(agent, AgentInput::Opened);
    let id = conference.mixer.join(SamplingRate::Narrow).unwrap();
    let mut frames = Vec::new();
    for at in 0..60 {
        conference.say(0, 1000.0, false);
        conference.say(1, 0.0, false);
        // 20 ms of 1,600 Hz, a whole number of periods.
        let codes: Vec<u8> =
            (0..160).map(|n| encode_ulaw((8000.0 * (TAU * f64::from(n) / 5.0).sin()) as i16)).collect();
        conference.bench.say(agent, &media_of(&codes));
        if at == 50 {
            conference.bench.say(agent, r#"{"event":"mark","mark":{"name":"said"}}"#);
        }
        let mut samples = [0; 160];
        conference.tick();
        while from.pop(&mut samples).is_some() {
            conference.mixer.push(id, &samples);
        }
        to.push(conference.mixer.heard(id).map(|heard| heard.samples));
        frames.extend(conference.bench.written(agent));
    }
    let said = conference.level(0, 1600.0);
    assert!(said > -22.0 && conference.level(1, 1600.0) > -22.0, "both hear the agent: {said}");
    let media = frames.iter().filter(|frame| frame["event"] == "media");
    let heard: Vec<i16> = media.flat_map(audio).map(decode_ulaw).collect();
    conference.parties[0].heard = heard;
    assert!(conference.level(0, 1000.0) > -22.0, "the agent hears the other: {}", conference.level(0, 1000.0));
    assert!(conference.level(0, 1600.0) < -45.0, "and not itself: {}", conference.level(0, 1600.0));
    assert!(
        frames.iter().any(|frame| frame["mark"]["name"] == "said"),
        "marks come back once the others hear what was before them"
    );
    // The seat's half of the ring is gone too.
    conference.bench.command(MediaCommand::RemoveEnd { end: agent });
    conference.bench.command(MediaCommand::RemoveEnd { end: seat });
    assert!(from.is_closed());
    conference.bench.run(100);
}
