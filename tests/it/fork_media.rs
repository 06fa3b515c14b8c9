//! Audio of a fork, which must not affect the call: on plain and SRTP legs, through hold, changes of address, codec and
//! key, and the loss of an agent.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::support::calls::{Call, NUMBER, Phone, media_of, next_port, received, wait_until_bound};
use crate::support::listener::{Frame, Listener, Stream};
use crate::support::pace::Pace;
use crate::support::secure::{Media, described, offered};
use crate::support::sip::to_tag;
use crate::support::{PATIENCE, Process, config, until};
use base64::Engine as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trunkgate_media::codec::g711::alaw_to_ulaw;

/// Seeds of the SRTP keys of the caller and of the callee.
const NEAR_KEY: u8 = 3;
const FAR_KEY: u8 = 90;

/// Number of packets of one stream in the test of equality.
const PACKETS: u16 = 120;

/// Returns a packet with fields that a relay might change: marker, other payload types and lengths, CSRC and
/// extensions, gaps, a clock jump, another SSRC.
fn odd(ssrc: u32, n: u16) -> Vec<u8> {
    let (is_event, is_csrc, is_extended, is_padded) = (n % 40 == 7, n % 30 == 11, n % 30 == 17, n % 30 == 23);
    let mut first = 0x80;
    let mut rest = Vec::new();
    if is_csrc {
        first |= 1;
        rest.extend(0xc0ff_ee00_u32.to_be_bytes());
    }
    if is_extended {
        first |= 0x10;
        rest.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
    }
    let marker = if n % 25 == 1 { 0x80 } else { 0 };
    match is_event {
        true => rest.extend([5, 0x0a, 0, 160]),
        false => rest.extend((0..[160, 80, 240][usize::from(n % 3)]).map(|at: u16| (at ^ n ^ ssrc as u16) as u8)),
    }
    if is_padded {
        first |= 0x20;
        rest.extend([0, 0, 0, 4]);
    }
    let (gap, jump) = (if n > 60 { 5 } else { 0 }, if n > 75 { 1_000_000 } else { 0 });
    let ssrc = if n > 100 { ssrc + 1 } else { ssrc };
    let mut packet = vec![first, marker | if is_event { 101 } else { 0 }];
    packet.extend((65_500_u16.wrapping_add(n + gap)).to_be_bytes());
    packet.extend((u32::from(n) * 160 + jump).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(rest);
    packet
}

/// Starts an edge between two phones with or without SRTP; `rest`: further configuration.
fn edge(caller: (&Phone, bool), callee: (&Phone, bool), rest: &str) -> Process {
    let trunk = |(phone, secure): (&Phone, bool), name: &str| {
        phone.trunk(name) + if secure { "srtp = \"required\"\n" } else { "" }
    };
    Process::start(&config(&format!("{}{}{rest}", trunk(caller, "carrier"), trunk(callee, "pbx"))))
}

const TO_PBX: &str = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n";

/// Sets up a call with these formats, and SRTP if a key is given.
fn agree(edge: &Process, id: &str, (caller, near_key): (&Phone, Option<u8>), callee: (&Phone, Option<u8>)) -> Call {
    let sip = edge.address("udp");
    let offer = described(caller, 1, "0 8", near_key.map(|seed| (1, seed)), "sendrecv");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer));
    let invite = callee.0.sip.receive("INVITE ");
    let answer = answer_to(&invite.0, callee, 1, "0 8", "sendrecv");
    Call::answered(sip, id, caller, invite, (callee.0, &answer))
}

/// Returns a phone's answer to an offer of the edge.
fn answer_to(invite: &str, (phone, key): (&Phone, Option<u8>), version: u32, formats: &str, direction: &str) -> String {
    let key = key.map(|seed| (offered(invite).unwrap_or_else(|| panic!("no key in {invite}")).0, seed));
    described(phone, version, formats, key, direction)
}

/// Returns the path of the newest call's forks.
fn forks_of(edge: &Process) -> String {
    format!("/v1/calls/{}/forks", edge.sid())
}

/// Starts a fork, and waits until its listener is connected.
fn begin(edge: &Process, body: &Value) -> Value {
    let forks = forks_of(edge);
    let (status, fork) = edge.post(&forks, body);
    assert_eq!(status, 201, "{fork}");
    until("the fork listens", || {
        let all = edge.json(&forks)["forks"].clone();
        let this = all.as_array().unwrap().iter().find(|other| other["id"] == fork["id"]).unwrap().clone();
        (this["state"] == "answered").then_some(())
    });
    fork
}

/// Returns the packets received by the near and the far side, decrypted; with `forked`, forks start and stop meanwhile.
fn relayed(secure: (bool, bool), forked: bool) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let edge = edge((&caller, secure.0), (&callee, secure.1), TO_PBX);
    let keys = (secure.0.then_some(NEAR_KEY), secure.1.then_some(FAR_KEY));
    let call = agree(&edge, "equal", (&caller, keys.0), (&callee, keys.1));
    let mut near = Media::new(&caller, call.near, keys.0, &call.ok);
    let mut far = Media::new(&callee, call.far, keys.1, &call.invite.0);
    let scribe = Listener::start();
    let recorder = UdpSocket::bind("127.0.0.1:0").unwrap();
    recorder.set_read_timeout(Some(PATIENCE)).unwrap();
    let raw = json!({"url": format!("rtp://{}", recorder.local_addr().unwrap())});
    let (mut heard_near, mut heard_far, mut first) = (Vec::new(), Vec::new(), Value::Null);
    for n in 0..PACKETS {
        match n {
            20 if forked => first = begin(&edge, &json!({"url": scribe.url()})),
            40 if forked => drop(begin(&edge, &raw)),
            70 if forked => drop(begin(&edge, &json!({"url": scribe.url(), "tracks": ["outbound"]}))),
            95 if forked => drop(edge.delete(&format!("{}/{}", forks_of(&edge), first["id"].as_str().unwrap()))),
            _ => {}
        }
        near.send(&odd(0x1000, n));
        heard_far.push(far.receive());
        far.send(&odd(0x2000, n));
        heard_near.push(near.receive());
    }
    if forked {
        assert!(scribe.streams().len() == 2 && !scribe.streams()[0].inbound.is_empty());
        let sources = edge.json(&forks_of(&edge))["forks"][1]["ssrc"].clone();
        copies_are_what_was_relayed(&recorder, &sources, &heard_far[40..], &heard_near[40..]);
    }
    (heard_near, heard_far)
}

/// Checks the raw fork's copies: payload, payload type and marker as on the wire, with any encryption of the legs.
fn copies_are_what_was_relayed(recorder: &UdpSocket, sources: &Value, said: &[Vec<u8>], heard: &[Vec<u8>]) {
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    for _ in 0..said.len() + heard.len() {
        let (copy, _) = received(recorder);
        let ssrc = json!(u32::from_be_bytes(copy[8..12].try_into().unwrap()));
        if ssrc == sources["inbound"] { inbound.push(copy) } else { outbound.push(copy) }
    }
    for (copies, relayed) in [(inbound, said), (outbound, heard)] {
        assert_eq!(copies.len(), relayed.len());
        for (copy, packet) in copies.iter().zip(relayed) {
            assert_eq!((&copy[..2], &copy[12..]), (&packet[..2], &packet[12..]));
        }
    }
}

fn relayed_alike(secure: (bool, bool)) {
    let (without, with) = (relayed(secure, false), relayed(secure, true));
    let sent = |ssrc| (0..PACKETS).map(|n| odd(ssrc, n)).collect::<Vec<_>>();
    assert_eq!(without, with);
    assert_eq!(without, (sent(0x2000), sent(0x1000)), "as it was sent");
}

#[test]
fn forks_change_no_relayed_packet() {
    relayed_alike((false, false));
}

#[test]
fn forks_that_come_and_go_change_no_relayed_packet_where_the_far_end_speaks_srtp() {
    relayed_alike((false, true));
}

#[test]
fn forks_that_come_and_go_change_no_relayed_packet_between_two_srtp_legs() {
    relayed_alike((true, true));
}

/// Side of a call that sends audio in real time: the same moment has the same number on both sides.
struct Talker<'a> {
    media: Media<'a>,
    ssrc: u32,
    /// Whether the side uses PCMA instead of PCMU.
    alaw: bool,
    heard: usize,
}

/// Returns the sample that fills a moment's frame, distinct from its neighbours and from silence in both laws.
fn tone(moment: u32) -> u8 {
    0x80 + u8::try_from(moment % 100).unwrap()
}

impl Talker<'_> {
    fn say(&mut self, moment: u32) {
        let mut packet = vec![0x80, if self.alaw { 8 } else { 0 }];
        packet.extend((moment as u16).to_be_bytes());
        packet.extend((moment * 160).to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend([tone(moment); 160]);
        self.media.send(&packet);
    }
}

/// Two sides that send frames of 20 ms, and the longest time between their packets for one moment.
struct Talk {
    pace: Pace,
    moment: u32,
    apart: Duration,
}

impl Talk {
    fn new() -> Talk {
        Talk { pace: Pace::new(), moment: 0, apart: Duration::ZERO }
    }

    /// Lets the sides send for this many moments; a side that is missing is on hold.
    fn go_on(&mut self, moments: u32, mut sides: Vec<&mut Talker<'_>>) {
        for _ in 0..moments {
            self.pace.wait();
            let said = Instant::now();
            for side in &mut sides {
                side.say(self.moment);
            }
            self.apart = self.apart.max(said.elapsed());
            for side in &mut sides {
                side.heard += side.media.drain().len();
            }
            self.moment += 1;
        }
    }

    /// Returns the permitted difference between the tracks in ms: 20, plus the skew between the two sides, plus their
    /// lateness.
    fn tolerance(&self) -> u64 {
        let ms = self.apart.as_millis() + self.pace.latest().as_millis();
        20 + u64::try_from(ms).unwrap().div_ceil(20) * 20
    }
}

/// Returns the media time of each moment on a track, in ms; only whole frames count. `alaw`: whether a moment was sent
/// in PCMA. A tone returns after 2 s, so each is searched within 60 moments of the previous one.
fn moments(frames: &[Frame], alaw: &dyn Fn(u32) -> bool, range: std::ops::Range<u32>) -> BTreeMap<u32, u64> {
    let mut found = BTreeMap::new();
    let mut next = range.start;
    for frame in frames {
        let expected = |moment: &u32| {
            let code = if alaw(*moment) { alaw_to_ulaw(tone(*moment)) } else { tone(*moment) };
            frame.audio.iter().all(|byte| *byte == code)
        };
        if let Some(moment) = (next..range.end.min(next + 60)).find(expected) {
            found.insert(moment, frame.timestamp);
            next = moment + 1;
        }
    }
    found
}

/// Checks that both tracks have most of these moments, at the same time.
fn aligned(what: &str, tracks: [&BTreeMap<u32, u64>; 2], range: std::ops::Range<u32>, tolerance: u64) {
    let [inbound, outbound] = tracks.map(|track| track.range(range.clone()).collect::<BTreeMap<_, _>>());
    let both: Vec<_> = inbound.iter().filter_map(|(n, at)| Some((**n, **at, **outbound.get(n)?))).collect();
    assert!(both.len() * 2 > range.len(), "{what}: {} of {} moments on both tracks", both.len(), range.len());
    for (moment, one, other) in both {
        assert!(one.abs_diff(other) <= tolerance, "{what}: moment {moment} at {one} and {other} ms");
    }
}

/// While a fork listens, a call is held and resumed, and changes its address, codec and SRTP keys.
#[test]
fn both_tracks_stay_aligned() {
    let (caller, callee, moved) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"), Phone::new("127.0.0.3"));
    let edge = edge((&caller, false), (&callee, true), TO_PBX);
    let call = agree(&edge, "aligned", (&caller, None), (&callee, Some(FAR_KEY)));
    let scribe = Listener::start();
    begin(&edge, &json!({"url": scribe.url()}));
    let talker = |media, ssrc| Talker { media, ssrc, alaw: false, heard: 0 };
    let mut near = talker(Media::new(&caller, call.near, None, ""), 7);
    let mut far = talker(Media::new(&callee, call.far, Some(FAR_KEY), &call.invite.0), 9);
    let mut talk = Talk::new();
    talk.go_on(40, vec![&mut near, &mut far]);

    // The caller holds the callee: both are silent, and resume later.
    let change = |cseq: u32, formats: &str, direction: &str, media: (&Phone, u8)| {
        let offer = described(&caller, cseq, formats, None, direction);
        let request = caller.sip.request_with("INVITE", NUMBER, call.sip, &call.id, (cseq, &call.tag), &offer);
        caller.sip.send(call.sip, &request);
        let (invite, from) = callee.sip.receive("INVITE ");
        let answer = answer_to(&invite, (media.0, Some(media.1)), cseq, formats, direction);
        callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &answer));
        callee.sip.receive("ACK ");
        let ok = loop {
            let (ok, _) = caller.sip.receive("SIP/2.0 200");
            if ok.contains(&format!("CSeq: {cseq} INVITE")) {
                break ok;
            }
        };
        let ack = caller.sip.request_with("ACK", NUMBER, call.sip, &call.id, (cseq, &call.tag), "");
        caller.sip.send(call.sip, &ack);
        assert_eq!(media_of(&ok), call.near);
        invite
    };
    change(2, "0", "inactive", (&callee, FAR_KEY));
    talk.go_on(30, vec![]);
    change(3, "0", "sendrecv", (&callee, FAR_KEY));
    talk.go_on(40, vec![&mut near, &mut far]);

    // The callee answers from another port with another key, in PCMA.
    let invite = change(4, "8", "sendrecv", (&moved, FAR_KEY + 1));
    assert!(far.heard > 40, "{}", far.heard);
    far = Talker { media: Media::new(&moved, call.far, Some(FAR_KEY + 1), &invite), ssrc: 11, alaw: true, heard: 0 };
    near.alaw = true;
    talk.go_on(60, vec![&mut near, &mut far]);
    assert!(far.media.is_secure() && far.heard > 40 && near.heard > 100, "{} {}", far.heard, near.heard);

    let stream = scribe.first("the last words", |stream| stream.outbound.last().is_some_and(|f| f.timestamp >= 3600));
    stream.assert_unbroken();
    let (laws, tolerance) = (|moment| moment >= 110, talk.tolerance());
    let tracks = [&stream.inbound, &stream.outbound].map(|track| moments(track, &laws, 0..170));
    let tracks = [&tracks[0], &tracks[1]];
    for (what, range) in [("at first", 0..40), ("after hold", 70..110), ("moved, PCMA, other keys", 110..170)] {
        aligned(what, tracks, range, tolerance);
    }
    for track in [&stream.inbound, &stream.outbound] {
        let quiet = track.iter().filter(|frame| frame.audio == [0xff; 160]).count();
        assert!(quiet >= 20, "hold is silence: {quiet}");
    }
}

/// The fork is started in mid-call and its call loses an agent: one stream has the caller, the agent, the ringback tone
/// and the callee.
#[test]
fn a_fork_hears_on_when_the_agent_is_lost_and_a_trunk_takes_the_call() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let (lose, lost) = std::sync::mpsc::channel::<()>();
    let lost = std::sync::Mutex::new(lost);
    // The agent answers each frame with audio of its own, until it leaves.
    let desk = Listener::doing(move |socket, stream| {
        let payload = base64::engine::general_purpose::STANDARD.encode([0x55; 160]);
        let said = json!({"event": "media", "streamSid": stream.start["streamSid"], "media": {"payload": payload}});
        let goes = lost.lock().unwrap().try_recv().is_ok();
        let spoke = stream.inbound.is_empty() || socket.send(Message::text(said.to_string())).is_ok();
        spoke && !goes
    });
    let route = format!(
        "[agent.desk]\nurl = \"{}\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:desk\", \"trunk:pbx\"]\n",
        desk.url()
    );
    let edge = edge((&caller, true), (&callee, false), &route);
    let (sip, id) = (edge.address("udp"), "lost");
    let offer = described(&caller, 1, "0", Some((1, NEAR_KEY)), "sendrecv");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer));
    let (ok, _) = caller.sip.receive("SIP/2.0 200");
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, id, (1, to_tag(&ok)), ""));
    wait_until_bound(next_port(media_of(&ok)));
    let scribe = Listener::start();
    let fork = begin(&edge, &json!({"url": scribe.url()}));
    let mut near =
        Talker { media: Media::new(&caller, media_of(&ok), Some(NEAR_KEY), &ok), ssrc: 7, alaw: false, heard: 0 };
    let mut talk = Talk::new();
    talk.go_on(40, vec![&mut near]);
    lose.send(()).unwrap();
    talk.go_on(50, vec![&mut near]);
    let (invite, from) = callee.sip.receive("INVITE ");
    let answer = described(&callee, 1, "0", None, "sendrecv");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &answer));
    callee.sip.receive("ACK ");
    let far: SocketAddr = media_of(&invite);
    wait_until_bound(next_port(far));
    let mut far = Talker { media: Media::new(&callee, far, None, ""), ssrc: 9, alaw: false, heard: 0 };
    talk.go_on(50, vec![&mut near, &mut far]);
    assert!(far.heard > 25, "{}", far.heard);
    let stream: Stream =
        scribe.first("the last words", |stream| stream.outbound.last().is_some_and(|f| f.timestamp >= 2700));
    stream.assert_unbroken();
    assert_eq!((scribe.streams().len(), &stream.start["start"]["streamSid"]), (1, &fork["streamSid"]));
    let tracks = [(&stream.inbound, 0), (&stream.outbound, 90)];
    let tracks = tracks.map(|(track, from)| moments(track, &|_| false, from..140));
    assert!(tracks[0].len() > 100, "the caller throughout: {}", tracks[0].len());
    aligned("with the callee", [&tracks[0], &tracks[1]], 90..140, talk.tolerance());
    let is_agent = |frame: &&Frame| frame.audio == [0x55; 160];
    let callee_from = *tracks[1].values().next().unwrap();
    let agent_to = stream.outbound.iter().rfind(is_agent).unwrap().timestamp;
    let tone = stream.outbound.iter().filter(|f| f.timestamp > agent_to && f.timestamp < callee_from);
    assert!(stream.outbound.iter().filter(is_agent).count() > 10);
    assert!(tone.filter(|frame| frame.audio != [0xff; 160]).count() > 10, "the ringback tone");
    assert_eq!(edge.json(&forks_of(&edge))["forks"][0]["state"], "answered");
}
