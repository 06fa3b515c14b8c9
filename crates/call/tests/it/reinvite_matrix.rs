//! Every kind of re-INVITE, of either side, in a table: direction × other change × requester × `hold`, each one
//! accepted, refused by the other side, and crossed by one of the other side. Run with `--no-capture` to print it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use crate::bench::*;
use trunkgate_media::{MediaCommand, PlayerSound, RemoteSpec};
use trunkgate_route::{HoldMode, Srtp, Trunk};

const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const KEYS: [&str; 3] = [
    "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
];

/// Direction that a side requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    Talk,
    SendOnly,
    Inactive,
    /// RFC 2543: address 0.0.0.0.
    Zero,
    RecvOnly,
}

impl Wants {
    const ALL: [Wants; 5] = [Wants::Talk, Wants::SendOnly, Wants::Inactive, Wants::Zero, Wants::RecvOnly];

    fn holds(self) -> bool {
        matches!(self, Wants::SendOnly | Wants::Inactive | Wants::Zero)
    }

    /// Returns the direction relayed to the other side, and the direction of its answer.
    fn directions(self) -> (&'static str, &'static str) {
        match self {
            Wants::Talk => ("sendrecv", "sendrecv"),
            Wants::SendOnly | Wants::Zero => ("sendonly", "recvonly"),
            Wants::Inactive => ("inactive", "inactive"),
            Wants::RecvOnly => ("recvonly", "sendonly"),
        }
    }
}

/// Other change in the re-INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Address,
    Codec,
    Keys,
    /// The re-INVITE has no description; its ACK has one.
    NoSdp,
}

impl Change {
    const ALL: [Change; 5] = [Change::Nothing, Change::Address, Change::Codec, Change::Keys, Change::NoSdp];
}

/// One side of the call.
#[derive(Clone)]
struct Side {
    caller: Option<Dialing>,
    callee: Option<Dialed>,
    cseq: u32,
    version: u64,
}

impl Side {
    fn address(&self) -> &'static str {
        if self.caller.is_some() { CARRIER } else { PBX }
    }

    fn request(&mut self, method: &str, body: &str) -> String {
        if method != "ACK" {
            self.cseq += 1;
        }
        match (&mut self.caller, &self.callee) {
            (Some(caller), _) => {
                caller.cseq = self.cseq;
                caller.request(method, body, "")
            }
            (None, Some(callee)) => callee.request(method, self.cseq, body),
            (None, None) => panic!("nobody"),
        }
    }

    /// Returns the ACK to a non-2xx response.
    fn ack_refusal(&mut self) -> String {
        self.request("ACK", "").replace("-ACK-", "-INVITE-")
    }

    fn respond(&self, request: &Sent, code: u16, body: &str) -> String {
        match (&self.caller, &self.callee) {
            (Some(caller), _) => caller.respond(request, code, body),
            (None, Some(callee)) => callee.respond(request, code, body),
            (None, None) => panic!("nobody"),
        }
    }

    /// Returns the next description of this side. `tag` is the tag of its crypto line.
    fn says(&mut self, direction: &str, zero: bool, change: Change, tag: &str) -> String {
        self.version += 1;
        let (mut ip, mut port, all, key) = match self.caller {
            Some(_) => ("198.51.100.7", 40_000, "0 8 101", KEYS[0]),
            None => ("10.0.0.20", 30_000, "0 101", KEYS[1]),
        };
        if change == Change::Address {
            (ip, port) = (if self.caller.is_some() { "198.51.100.8" } else { "10.0.0.88" }, port + 1_000);
        }
        let formats = if change == Change::Codec { "8 101" } else { all };
        let key = if change == Change::Keys { KEYS[2] } else { key };
        let body = sdp(ip, port, self.version, formats, direction).replace("RTP/AVP", "RTP/SAVP");
        let body = if zero { body.replace(&format!("c=IN IP4 {ip}"), "c=IN IP4 0.0.0.0") } else { body };
        format!("{body}a=crypto:{tag} {SUITE} inline:{key}\r\n")
    }

    /// Returns the description with which this side answers an offer of the edge.
    fn answers(&mut self, asked: &Sent, direction: &str) -> String {
        let tag = tag_of(asked);
        let pcma = asked.body().contains("RTP/SAVP 8 ");
        self.says(direction, false, if pcma { Change::Codec } else { Change::Nothing }, &tag)
    }

    /// Returns the tag of this side's crypto line in its offers.
    fn tag(&self) -> &'static str {
        if self.caller.is_some() { "3" } else { "2" }
    }

    fn wants(&mut self, wants: Wants, change: Change) -> String {
        let zero = wants == Wants::Zero;
        let direction = if zero { "sendrecv" } else { wants.directions().0 };
        let tag = self.tag();
        self.says(direction, zero, change, tag)
    }
}

/// Returns the tag of the crypto line in our offer that is answered.
fn tag_of(offer: &Sent) -> String {
    let mut lines = offer.body().lines().filter_map(|line| line.strip_prefix("a=crypto:"));
    lines.find(|line| line.contains(SUITE)).unwrap().split(' ').next().unwrap().to_owned()
}

/// Makes a call with SRTP on both sides; returns the requesting side, and the other one.
fn call(caller_asks: bool, mode: HoldMode) -> (Bench, Side, Side) {
    // The mode of either trunk counts: here only that of the other side is set.
    let with = |name: &str, address: &str, asks: bool| Trunk {
        srtp: Srtp::Required,
        hold: if asks { HoldMode::Relay } else { mode },
        ..trunk(name, &[address])
    };
    let trunks = vec![with("carrier", CARRIER, caller_asks), with("pbx", PBX, !caller_asks)];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    let mut caller = Side { caller: None, callee: None, cseq: 1, version: 0 };
    let secure = |body: String, tag: u32, key: &str| {
        format!("{}a=crypto:{tag} {SUITE} inline:{key}\r\n", body.replace("RTP/AVP", "RTP/SAVP"))
    };
    let mut dialing = bench.invite(CARRIER, "+14155550100", &secure(offer(), 3, KEYS[0]));
    bench.expect(CARRIER, "SIP/2.0 100");
    let dialed = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, dialed.answer(200, &secure(answer(), 2, KEYS[1])));
    bench.expect(PBX, "ACK");
    dialing.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, dialing.request("ACK", "", ""));
    bench.nothing();
    bench.take_media();
    (caller.caller, caller.version) = (Some(dialing), 1);
    let callee = Side { caller: None, callee: Some(dialed), cseq: 0, version: 1 };
    if caller_asks { (bench, caller, callee) } else { (bench, callee, caller) }
}

/// Returns every remote address and direction that the worker got.
fn remotes(media: &[MediaCommand]) -> Vec<&RemoteSpec> {
    media
        .iter()
        .filter_map(|c| if let MediaCommand::SetRemote { remote, .. } = c { Some(remote) } else { None })
        .collect()
}

fn plays(media: &[MediaCommand]) -> bool {
    let music = |c: &MediaCommand| matches!(c, MediaCommand::AddPlayer { sound: PlayerSound::Hold(hold), .. } if hold.music.is_some());
    media.iter().any(music)
}

/// Answers our re-INVITE for the other side.
fn other_answers(bench: &mut Bench, other: &mut Side, wants: Wants, change: Change) {
    let (told, answered) = wants.directions();
    let asked = bench.expect(other.address(), "INVITE");
    assert!(asked.body().contains(&format!("a={told}")), "{wants:?} {change:?}: {}", asked.body());
    assert_eq!(asked.body().contains("RTP/SAVP 8 0 107 101"), change == Change::Codec, "{}", asked.body());
    assert!(KEYS.iter().all(|key| !asked.text.contains(key)), "keys go no further: {}", asked.text);
    let body = other.answers(&asked, answered);
    bench.receive(other.address(), other.respond(&asked, 200, &body));
    bench.expect(other.address(), "ACK");
}

/// Sends a re-INVITE that is accepted; returns the treatment by the edge.
fn taken(bench: &mut Bench, side: &mut Side, other: &mut Side, wants: Wants, change: Change) -> &'static str {
    let (_, answered) = wants.directions();
    if change == Change::NoSdp {
        let invite = side.request("INVITE", "");
        bench.receive(side.address(), invite);
        bench.expect(side.address(), "SIP/2.0 100");
        let ok = bench.expect(side.address(), "SIP/2.0 200");
        assert!(ok.body().contains("a=sendrecv"), "who holds must be able to come back: {}", ok.body());
        let tag = tag_of(&ok);
        let zero = wants == Wants::Zero;
        let direction = if zero { "sendrecv" } else { wants.directions().0 };
        let body = side.says(direction, zero, change, &tag);
        let ack = side.request("ACK", &body);
        bench.receive(side.address(), ack);
        let trace = bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid);
        assert!(!serde_json::to_string(&trace).unwrap().contains("unusable"), "{wants:?}");
        if bench.sent.is_empty() {
            return if plays(&bench.take_media()) { "here, music" } else { "here" };
        }
        other_answers(bench, other, wants, change);
        bench.take_media();
        return "here, then other asked";
    }
    let body = side.wants(wants, change);
    let invite = side.request("INVITE", &body);
    bench.receive(side.address(), invite);
    bench.expect(side.address(), "SIP/2.0 100");
    let relayed = bench.sent.iter().any(|sent| sent.to.to_string() == other.address());
    if relayed {
        assert!(bench.media.is_empty(), "nothing changes before the answer");
        other_answers(bench, other, wants, change);
    }
    let ok = bench.expect(side.address(), "SIP/2.0 200");
    assert!(ok.body().contains(&format!("a={answered}")), "{wants:?} {change:?}: {}", ok.body());
    assert_eq!(ok.body().contains("RTP/SAVP 8 "), change == Change::Codec, "of the present offer: {}", ok.body());
    assert!(!ok.body().contains("10.0.0.20") && !ok.body().contains("198.51.100.7"));
    let ack = side.request("ACK", "");
    bench.receive(side.address(), ack);
    let media = bench.take_media();
    let moved = if side.caller.is_some() { "198.51.100.8:41000" } else { "10.0.0.88:31000" };
    if change == Change::Address && wants != Wants::Zero {
        let there = remotes(&media).into_iter().find(|remote| remote.rtp == Some(moved.parse().unwrap())).unwrap();
        assert!(there.relatch, "another address opens the latch");
        assert_eq!(
            (there.may_send, there.may_receive),
            (wants != Wants::Inactive && wants != Wants::RecvOnly, !wants.holds())
        );
    }
    if change == Change::Keys {
        let fresh = |remote: &&RemoteSpec| remote.srtp.as_ref().is_some_and(|srtp| srtp.receive.material()[0] == 4);
        assert_eq!(remotes(&media).into_iter().filter(fresh).count(), 1, "its own end has the new key");
    }
    match (relayed, plays(&media)) {
        (true, _) => "relayed",
        (false, true) => "here, music",
        (false, false) => "here",
    }
}

/// Returns the expected treatment.
fn expected(wants: Wants, change: Change, mode: HoldMode) -> &'static str {
    let local = wants.holds() && mode == HoldMode::Local;
    match change {
        Change::NoSdp if wants == Wants::Talk => "here",
        Change::NoSdp if local => "here, music",
        Change::NoSdp => "here, then other asked",
        Change::Codec => "relayed",
        Change::Nothing | Change::Address | Change::Keys if local => "here, music",
        Change::Keys if wants == Wants::Talk => "here",
        Change::Nothing | Change::Address | Change::Keys => "relayed",
    }
}

/// Sends a re-INVITE that the other side refuses: the code comes back, and the media is unchanged.
fn refused(bench: &mut Bench, side: &mut Side, other: &Side, wants: Wants, change: Change) -> &'static str {
    let body = side.wants(wants, change);
    let invite = side.request("INVITE", &body);
    bench.receive(side.address(), invite);
    bench.expect(side.address(), "SIP/2.0 100");
    let asked = bench.expect(other.address(), "INVITE");
    bench.receive(other.address(), other.respond(&asked, 488, ""));
    bench.expect(other.address(), "ACK");
    bench.expect(side.address(), "SIP/2.0 488");
    let ack = side.ack_refusal();
    bench.receive(side.address(), ack);
    assert!(bench.take_media().is_empty());
    "488, as before"
}

/// Sends re-INVITEs from both sides at once: both get 491, and the media is unchanged.
fn met(bench: &mut Bench, side: &mut Side, other: &mut Side, wants: Wants, change: Change) -> &'static str {
    let body = other.wants(Wants::Talk, Change::Codec);
    let invite = other.request("INVITE", &body);
    bench.receive(other.address(), invite);
    bench.expect(other.address(), "SIP/2.0 100");
    let asked = bench.expect(side.address(), "INVITE");
    let body = if change == Change::NoSdp { String::new() } else { side.wants(wants, change) };
    let invite = side.request("INVITE", &body);
    bench.receive(side.address(), invite);
    bench.expect(side.address(), "SIP/2.0 491");
    let ack = side.ack_refusal();
    bench.receive(side.address(), ack);
    bench.receive(side.address(), side.respond(&asked, 491, ""));
    bench.expect(side.address(), "ACK");
    bench.expect(other.address(), "SIP/2.0 491");
    let ack = other.ack_refusal();
    bench.receive(other.address(), ack);
    assert!(bench.take_media().is_empty());
    "491 to both"
}

/// Hangs up the requesting side, and checks that nothing is left.
fn hang_up(mut bench: Bench, mut side: Side, other: &Side) {
    bench.nothing();
    let bye = side.request("BYE", "");
    bench.receive(side.address(), bye);
    bench.expect(side.address(), "SIP/2.0 200");
    let bye = bench.expect(other.address(), "BYE");
    bench.receive(other.address(), other.respond(&bye, 200, ""));
    bench.finish();
}

/// Tests a cell: the re-INVITE, and the return to sendrecv by another of the same kind.
fn cell(caller_asks: bool, mode: HoldMode, wants: Wants, change: Change) -> String {
    let case = format!("{wants:?} {change:?} {mode:?} caller {caller_asks}");
    let (mut bench, mut side, mut other) = call(caller_asks, mode);
    let came = taken(&mut bench, &mut side, &mut other, wants, change);
    assert_eq!(came, expected(wants, change, mode), "{case}");
    let held = wants != Wants::Talk;
    assert_eq!(bench.gateway.calls(bench.now)[0].state, if held { "held" } else { "answered" }, "{case}");
    let music = came == "here, music";
    let how = if change == Change::NoSdp { Change::NoSdp } else { Change::Nothing };
    if held {
        let back = taken(&mut bench, &mut side, &mut other, Wants::Talk, how);
        let same_way = if music { "here" } else { came };
        assert_eq!(back, same_way, "back to talking: {case}");
    }
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered", "{case}");
    hang_up(bench, side, &other);

    let mut parts = vec![came];
    if came == "relayed" {
        let (mut bench, mut side, other) = call(caller_asks, mode);
        parts.push(refused(&mut bench, &mut side, &other, wants, change));
        hang_up(bench, side, &other);
    }
    let (mut bench, mut side, mut other) = call(caller_asks, mode);
    parts.push(met(&mut bench, &mut side, &mut other, wants, change));
    hang_up(bench, side, &other);
    parts.join("; ")
}

#[test]
fn every_re_invite_is_handled() {
    let columns =
        [(true, HoldMode::Relay), (false, HoldMode::Relay), (true, HoldMode::Local), (false, HoldMode::Local)];
    println!("| wants | changes | caller, relay | callee, relay | caller, local | callee, local |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut cells = 0;
    for wants in Wants::ALL {
        for change in Change::ALL {
            let row: Vec<String> = columns.iter().map(|(caller, mode)| cell(*caller, *mode, wants, change)).collect();
            assert!(row.iter().all(|cell| !cell.is_empty()));
            cells += row.len();
            println!("| {wants:?} | {change:?} | {} |", row.join(" | "));
        }
    }
    assert_eq!(cells, 100);
}

/// Both sides hold, then the first one resumes, then the other.
#[test]
fn each_side_may_hold_the_other_here() {
    for caller_first in [true, false] {
        let (mut bench, mut one, mut two) = call(caller_first, HoldMode::Local);
        assert_eq!(taken(&mut bench, &mut one, &mut two, Wants::SendOnly, Change::Nothing), "here, music");
        assert_eq!(taken(&mut bench, &mut two, &mut one, Wants::Inactive, Change::Nothing), "here, music");
        // The side that resumes hears music itself now.
        assert_eq!(taken(&mut bench, &mut one, &mut two, Wants::Talk, Change::Nothing), "here");
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
        assert_eq!(taken(&mut bench, &mut two, &mut one, Wants::Talk, Change::Address), "here");
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
        hang_up(bench, one, &two);
    }
}

#[test]
fn a_restart_keeps_who_is_held_here() {
    let (mut bench, mut holder, mut held) = call(true, HoldMode::Local);
    assert_eq!(taken(&mut bench, &mut holder, &mut held, Wants::SendOnly, Change::Nothing), "here, music");
    let secure = |name: &str, address: &str| Trunk { srtp: Srtp::Required, ..trunk(name, &[address]) };
    let trunks = vec![secure("carrier", CARRIER), secure("pbx", PBX)];
    bench.restart(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    let media = bench.take_media();
    assert!(plays(&media), "the music restarts");
    let wires: Vec<_> = media.iter().filter(|c| matches!(c, MediaCommand::Wire { .. })).collect();
    assert_eq!(wires.len(), 1, "and nothing else is heard: {wires:?}");
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    assert_eq!(taken(&mut bench, &mut holder, &mut held, Wants::Talk, Change::Nothing), "here");
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    hang_up(bench, holder, &held);
}

/// The held side may refresh and change its address; other changes are relayed to the holder together with the hold.
#[test]
fn who_is_held_here_may_ask_too() {
    let (mut bench, mut holder, mut held) = call(true, HoldMode::Local);
    assert_eq!(taken(&mut bench, &mut holder, &mut held, Wants::SendOnly, Change::Nothing), "here, music");
    for change in [Change::Nothing, Change::Address, Change::Keys, Change::NoSdp] {
        let came = taken(&mut bench, &mut held, &mut holder, Wants::Talk, change);
        assert_eq!(came, "here", "{change:?}");
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    }
    let body = held.wants(Wants::Talk, Change::Codec);
    let invite = held.request("INVITE", &body);
    bench.receive(held.address(), invite);
    bench.expect(held.address(), "SIP/2.0 100");
    let asked = bench.expect(holder.address(), "INVITE");
    let body = holder.answers(&asked, "sendonly");
    bench.receive(holder.address(), holder.respond(&asked, 200, &body));
    bench.expect(holder.address(), "ACK");
    let ok = bench.expect(held.address(), "SIP/2.0 200");
    assert!(ok.body().contains("a=sendonly"), "{}", ok.body());
    let ack = held.request("ACK", "");
    bench.receive(held.address(), ack);
    assert!(bench.take_media().iter().any(|c| matches!(c, MediaCommand::RemoveEnd { .. })), "the music ends");
    hang_up(bench, holder, &held);
}
