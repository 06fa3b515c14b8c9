//! Warm transfers: the caller hears music until a party at the target accepts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{Told, hang_up, to_agent};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, Dialing, PBX, answer, sdp, to_trunk};
use trunkgate_call::{AppAnswer, AppPlace, AppResource, CallAction, GatewayInput, RequestRefusal, TransferMode};
use trunkgate_media::agent::{StreamLoss, WarmTransfer, Whisper};
use trunkgate_media::detection::{AnsweredBy, DetectionVerdict};
use trunkgate_media::{AgentEvent, AgentRequest, EndId, MediaEvent, PlayerSound};

/// Time after which an accepting digit has ended.
const DIGIT: Duration = Duration::from_millis(300);
const TARGET: &str = "trunk:backup/+14155550199";

/// Source of an end's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feed {
    Nothing,
    Music,
    Whisper,
    Silence,
    Other(EndId),
}

/// Wires of the only session, from the commands to its worker.
#[derive(Default)]
struct Ears {
    by: BTreeMap<EndId, EndId>,
    players: BTreeMap<EndId, Feed>,
    removed: Vec<EndId>,
    failures: Vec<(&'static str, Option<u16>)>,
    judge: Option<EndId>,
}

impl Ears {
    fn take(&mut self, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Hold(end, sound) => {
                    assert!(sound.music.is_some(), "hold music, not silence");
                    self.players.insert(end, Feed::Music);
                }
                Told::Silence(end) => drop(self.players.insert(end, Feed::Silence)),
                Told::Play(end, PlayerSound::Once(_)) => drop(self.players.insert(end, Feed::Whisper)),
                Told::Wire(from, to, _) => {
                    self.by.retain(|_, source| *source != from);
                    self.by.insert(to, from);
                }
                Told::Unwire(from) => self.by.retain(|_, source| *source != from),
                Told::Remove(end) => {
                    self.by.retain(|to, source| *source != end && *to != end);
                    self.removed.push(end);
                }
                Told::Judge(end, _) => self.judge = Some(end),
                Told::TransferFailed(_, _, reason, code) => self.failures.push((reason, code)),
                Told::Ringback(_) | Told::Once(..) => panic!("{told:?}"),
                _ => {}
            }
        }
    }

    fn hears(&self, end: EndId) -> Feed {
        self.by.get(&end).map_or(Feed::Nothing, |by| self.players.get(by).copied().unwrap_or(Feed::Other(*by)))
    }
}

/// A warm transfer in progress.
struct Warm {
    bench: Bench,
    caller: Dialing,
    target: Dialed,
    ears: Ears,
    own: EndId,
    desk: EndId,
    party: EndId,
}

fn warm() -> WarmTransfer {
    let whisper = Whisper::Text { text: "A caller for you. Press 1.".into(), voice: None };
    WarmTransfer { whisper: Some(whisper), accept: Some('1'), detection: true, ..WarmTransfer::default() }
}

/// Begins an agent's warm transfer to the backup, which rings. `whisper` is true if the whisper is ready.
fn begun(settings: WarmTransfer, whisper: bool) -> Warm {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (caller, own, desk) = bench.talking();
    let mut ears = Ears::default();
    bench.wish(desk, AgentRequest::WarmTransfer(TARGET.into(), Box::new(settings)));
    let invite = bench.expect(BACKUP, "INVITE sip:+14155550199@10.0.0.30");
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) };
    bench.receive(BACKUP, target.answer(180, ""));
    bench.receive(BACKUP, target.answer(183, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
    ears.take(bench.told());
    let party = own;
    let mut warm = Warm { bench, caller, target, ears, own, desk, party };
    assert_eq!((warm.hears(warm.own), warm.hears(warm.desk)), (Feed::Music, Feed::Nothing));
    assert_eq!(warm.bench.state(), "transferring");
    let verdict = warm.bench.gateway.trace(&warm.bench.gateway.calls(warm.bench.now)[0].sid).unwrap().verdict;
    assert_eq!(verdict, "Answered by desk; the caller hears music until backup takes the call.");
    if whisper {
        warm.whisper_made();
    }
    warm
}

impl Warm {
    fn hears(&mut self, end: EndId) -> Feed {
        self.ears.take(self.bench.told());
        self.ears.hears(end)
    }

    fn whisper_made(&mut self) {
        let question = self.bench.questions.pop_front().unwrap();
        let sound: Arc<[u8]> = vec![0x40; 8_000].into();
        let answer = Box::new(AppAnswer::Sound { sound, told: String::new() });
        self.bench.input(GatewayInput::AppAnswered { query: question.query.unwrap(), answer });
    }

    /// Answers the target; the party hears the whisper, the caller music.
    fn answered(mut self) -> Warm {
        self.bench.receive(BACKUP, self.target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
        self.bench.expect(BACKUP, "ACK");
        self.bench.nothing();
        self.ears.take(self.bench.told());
        let known = [self.own, self.desk];
        let ends: Vec<EndId> = self.ears.by.keys().copied().filter(|end| !known.contains(end)).collect();
        self.party = *ends.iter().find(|end| !self.ears.players.contains_key(end)).unwrap();
        assert_eq!((self.hears(self.own), self.hears(self.desk)), (Feed::Music, Feed::Nothing));
        assert_eq!(self.bench.state(), "transferring");
        self
    }

    fn player(&self) -> EndId {
        *self.ears.by.get(&self.party).unwrap()
    }

    fn played(&mut self) {
        let end = self.player();
        self.bench.news(MediaEvent::Played { end });
    }

    fn press(&mut self, key: char) {
        self.bench.news(MediaEvent::Key { end: self.party, key, ms: 100 });
        self.bench.pass(DIGIT);
    }

    fn verdict(&mut self, answered_by: AnsweredBy) {
        let verdict = DetectionVerdict { answered_by, duration: Duration::from_secs(2) };
        self.bench.news(MediaEvent::Judged { end: self.ears.judge.unwrap(), verdict });
    }

    /// Checks that caller and party hear each other and that the agent has left.
    fn connected(mut self) {
        self.bench.nothing();
        assert_eq!(self.hears(self.own), Feed::Other(self.party));
        assert_eq!(self.hears(self.party), Feed::Other(self.own));
        assert!(self.ears.removed.contains(&self.desk) && self.ears.failures.is_empty());
        assert_eq!(self.bench.state(), "answered");
        self.bench.bye(&mut self.caller, &self.target);
        self.bench.finish();
        let record = &self.bench.reports[0].call;
        assert_eq!((record.reason, record.legs[1].reason), (Some("caller_hung_up"), Some("transferred")));
    }

    /// Checks that the caller is connected with its agent again, which has the reason.
    fn back(mut self, reason: &'static str) -> Warm {
        assert_eq!(self.hears(self.own), Feed::Other(self.desk));
        assert_eq!(self.hears(self.desk), Feed::Other(self.own));
        assert_eq!(self.ears.failures.pop().map(|(reason, _)| reason), Some(reason));
        assert_eq!(self.bench.state(), "answered");
        self
    }

    fn hung_up_on(&mut self) {
        let bye = self.bench.expect(BACKUP, "BYE");
        self.bench.receive(BACKUP, self.target.respond(&bye, 200, ""));
    }

    fn over(mut self) {
        self.bench.sent.clear();
        hang_up(&mut self.bench, &mut self.caller);
        self.bench.finish();
    }
}

#[test]
fn a_party_that_accepts_is_connected_in_one_step() {
    for early in [true, false] {
        let mut warm = begun(warm(), early).answered();
        if !early {
            assert_eq!(warm.hears(warm.party), Feed::Silence, "until the whisper is made");
            warm.whisper_made();
        }
        assert_eq!(warm.hears(warm.party), Feed::Whisper);
        // The party may press the digit during the whisper.
        if early {
            warm.played();
            warm.verdict(AnsweredBy::Human);
            assert_eq!((warm.hears(warm.own), warm.bench.state()), (Feed::Music, "transferring"));
        }
        warm.press('1');
        warm.connected();
    }
}

#[test]
fn without_a_digit_the_party_is_connected_after_the_whisper_if_it_is_no_machine() {
    let settings = || WarmTransfer { accept: None, ..warm() };
    let mut unjudged = begun(WarmTransfer { detection: false, ..settings() }, true).answered();
    unjudged.played();
    unjudged.connected();
    for verdict_first in [true, false] {
        let mut warm = begun(settings(), true).answered();
        if verdict_first {
            warm.verdict(AnsweredBy::Human);
        } else {
            warm.played();
        }
        assert_eq!((warm.hears(warm.own), warm.bench.state()), (Feed::Music, "transferring"));
        if verdict_first {
            warm.played();
        } else {
            warm.verdict(AnsweredBy::Unknown);
        }
        warm.connected();
    }
    let silent = WarmTransfer { detection: false, whisper: None, ..settings() };
    let mut warm = begun(silent, false);
    warm.bench.receive(BACKUP, warm.target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
    warm.bench.expect(BACKUP, "ACK");
    assert_eq!(warm.bench.state(), "answered", "nothing is asked");
    warm.ears.take(warm.bench.told());
    warm.party = warm.ears.by[&warm.own];
    warm.connected();
}

#[test]
fn a_party_that_does_not_accept_leaves_the_caller_with_the_agent() {
    for (what, reason) in [
        ("another digit", "transfer_declined"),
        ("hangs up", "transfer_declined"),
        ("silent", "transfer_not_accepted"),
        ("machine", "machine_answered"),
        ("fax", "machine_answered"),
        ("operator", "operator"),
    ] {
        let mut warm = begun(warm(), true).answered();
        match what {
            "another digit" => warm.press('2'),
            "hangs up" => {
                warm.bench.receive(BACKUP, warm.target.request("BYE", 2, ""));
                warm.bench.expect(BACKUP, "SIP/2.0 200");
            }
            "silent" => {
                warm.played();
                warm.bench.pass(Duration::from_secs(9));
                assert_eq!(warm.hears(warm.own), Feed::Music);
                warm.bench.pass(Duration::from_secs(1));
            }
            "machine" => warm.verdict(AnsweredBy::MachineStart),
            "fax" => warm.verdict(AnsweredBy::Fax),
            _ => {
                let call = warm.bench.gateway.calls(warm.bench.now)[0].clone();
                let done = warm.bench.change_call(&call.sid, CallAction::EndParty { party: call.legs[2].sid.clone() });
                assert_eq!(done, Ok(()));
                warm.bench.drain();
            }
        }
        if what != "hangs up" {
            warm.hung_up_on();
        }
        let mut warm = warm.back(reason);
        assert_eq!(warm.bench.gateway.calls(warm.bench.now)[0].legs[2].reason, Some(reason), "{what}");
        // Another transfer may succeed.
        let own = (warm.own, warm.desk);
        warm.bench.wish(warm.desk, AgentRequest::WarmTransfer(TARGET.into(), Box::new(self::warm())));
        let invite = warm.bench.expect(BACKUP, "INVITE sip:+14155550199@10.0.0.30");
        warm.target = Dialed { tag: "again".into(), ..Dialed::new(BACKUP, invite) };
        warm.whisper_made();
        let mut warm = warm.answered();
        assert_eq!((warm.own, warm.desk), own);
        warm.press('1');
        warm.connected();
    }
}

#[test]
fn a_target_that_is_not_reached_has_the_caller_back() {
    for (code, reason) in [(486, "target_busy"), (603, "target_rejected"), (0, "ring_timeout")] {
        let mut warm = begun(warm(), false);
        if code == 0 {
            while warm.ears.failures.is_empty() {
                warm.bench.pass(Duration::from_secs(1));
                warm.ears.take(warm.bench.told());
            }
        } else {
            warm.bench.receive(BACKUP, warm.target.answer(code, ""));
            warm.bench.expect(BACKUP, "ACK");
        }
        assert_eq!(warm.bench.given_up.len(), 1, "the whisper is not wanted any more");
        warm.back(reason).over();
    }
}

#[test]
fn a_whisper_that_cannot_be_made_ends_the_transfer() {
    for answered in [false, true] {
        let mut warm = begun(warm(), false);
        if answered {
            warm = warm.answered();
        }
        let question = warm.bench.questions.pop_front().unwrap();
        let answer = Box::new(AppAnswer::Failed { code: 13_520, text: "no [speech]".into() });
        warm.bench.input(GatewayInput::AppAnswered { query: question.query.unwrap(), answer });
        warm.bench.expect(BACKUP, if answered { "BYE" } else { "CANCEL" });
        assert!(warm.bench.story().contains("whisper: error 13520: no [speech]"), "{}", warm.bench.story());
        warm.back("whisper_failed").over();
    }
}

/// A target that forwards to two others: the question to the first does not apply to the second.
#[test]
fn each_party_is_asked_for_itself() {
    let mut warm = begun(warm(), true);
    let moved = warm.target.answer(302, "");
    let contacts = format!("Contact: <sip:1@{PBX}>, <sip:2@{BACKUP}>");
    warm.bench.receive(BACKUP, moved.replace(&format!("Contact: <sip:bob@{BACKUP}>"), &contacts));
    warm.bench.expect(BACKUP, "ACK");
    let first = Dialed { tag: "first".into(), ..Dialed::new(PBX, warm.bench.expect(PBX, "INVITE sip:1@")) };
    warm.bench.receive(PBX, first.answer(200, &sdp("10.0.0.20", 32_100, 1, "0 101", "sendrecv")));
    warm.bench.expect(PBX, "ACK");
    warm.ears.take(warm.bench.told());
    warm.bench.receive(PBX, first.request("BYE", 2, ""));
    warm.bench.expect(PBX, "SIP/2.0 200");
    warm.target = Dialed { tag: "second".into(), ..Dialed::new(BACKUP, warm.bench.expect(BACKUP, "INVITE sip:2@")) };
    warm.verdict(AnsweredBy::Human);
    warm.bench.pass(DIGIT);
    assert_eq!((warm.bench.state(), warm.hears(warm.own)), ("transferring", Feed::Music));
    warm = warm.answered();
    assert_eq!(warm.hears(warm.party), Feed::Whisper);
    warm.played();
    warm.press('1');
    warm.connected();
}

#[test]
fn a_party_of_a_redirected_target_is_not_connected_without_its_whisper() {
    let mut warm = begun(warm(), false);
    let moved = warm.target.answer(302, "");
    let contacts = format!("Contact: <sip:1@{PBX}>, <sip:2@{BACKUP}>");
    warm.bench.receive(BACKUP, moved.replace(&format!("Contact: <sip:bob@{BACKUP}>"), &contacts));
    warm.bench.expect(BACKUP, "ACK");
    let first = Dialed { tag: "first".into(), ..Dialed::new(PBX, warm.bench.expect(PBX, "INVITE sip:1@")) };
    warm.bench.receive(PBX, first.answer(180, ""));
    let question = warm.bench.questions.pop_front().unwrap();
    let answer = Box::new(AppAnswer::Failed { code: 13_520, text: "no [speech]".into() });
    warm.bench.input(GatewayInput::AppAnswered { query: question.query.unwrap(), answer });
    warm.bench.expect(PBX, "CANCEL");
    warm.target = Dialed { tag: "second".into(), ..Dialed::new(BACKUP, warm.bench.expect(BACKUP, "INVITE sip:2@")) };
    warm.bench.receive(BACKUP, warm.target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
    warm.bench.expect(BACKUP, "ACK");
    warm.hung_up_on();
    warm.back("whisper_failed").over();
}

#[test]
fn whispers_may_be_files_and_urls() {
    let wanted = |whisper: Whisper| {
        let warm = begun(WarmTransfer { whisper: Some(whisper), ..warm() }, false);
        let wanted = warm.bench.questions.front().unwrap().wanted.clone();
        warm.over();
        wanted
    };
    let (file, url) = ("whisper.wav".to_owned(), "https://a.test/w.wav".to_owned());
    assert_eq!(wanted(Whisper::File(file.clone())), AppResource::Sound(AppPlace::File(file)));
    assert_eq!(wanted(Whisper::Url(url.clone())), AppResource::Sound(AppPlace::Url(url)));
}

#[test]
fn a_caller_that_hangs_up_midway_ends_all() {
    for answered in [false, true] {
        let mut warm = begun(warm(), true);
        if answered {
            warm = warm.answered();
        }
        hang_up(&mut warm.bench, &mut warm.caller);
        let end = warm.bench.expect(BACKUP, if answered { "BYE" } else { "CANCEL" });
        warm.bench.receive(BACKUP, warm.target.respond(&end, 200, ""));
        if !answered {
            warm.bench.receive(BACKUP, warm.target.answer(487, ""));
            warm.bench.expect(BACKUP, "ACK");
        }
        assert!(warm.bench.told().contains(&Told::Remove(warm.desk)));
        warm.bench.finish();
        assert_eq!(warm.bench.reports[0].call.reason, Some("caller_hung_up"));
    }
}

/// The party is still asked; the caller hears music, and continues to the next target if the party declines.
#[test]
fn an_agent_that_goes_meanwhile_leaves_the_party_asked() {
    for accepts in [true, false] {
        for event in [0, 1] {
            let mut warm = begun(warm(), true).answered();
            let end = warm.desk;
            warm.bench.news(match event {
                0 => MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) },
                _ => MediaEvent::Agent { end, event: AgentEvent::Ended },
            });
            warm.bench.nothing();
            assert_eq!((warm.hears(warm.own), warm.bench.state()), (Feed::Music, "transferring"));
            assert_eq!(warm.hears(warm.party), Feed::Whisper);
            if accepts {
                warm.press('1');
                assert_eq!(warm.hears(warm.own), Feed::Other(warm.party));
                warm.bench.bye(&mut warm.caller, &warm.target);
                warm.bench.finish();
                continue;
            }
            warm.press('9');
            warm.hung_up_on();
            let pbx = Dialed::new(PBX, warm.bench.expect(PBX, "INVITE sip:+14155550100@"));
            assert_eq!(warm.hears(warm.own), Feed::Music);
            warm.bench.receive(PBX, pbx.answer(200, &answer()));
            warm.bench.expect(PBX, "ACK");
            assert_eq!(warm.bench.state(), "answered", "it is not asked: it is no target of the transfer");
            warm.bench.bye(&mut warm.caller, &pbx);
            warm.bench.finish();
        }
    }
}

#[test]
fn an_agent_that_hangs_up_meanwhile_ends_the_call() {
    let mut warm = begun(warm(), true).answered();
    warm.bench.wish(warm.desk, AgentRequest::Hangup);
    warm.bench.expect(CARRIER, "BYE");
    warm.bench.expect(BACKUP, "BYE");
}

#[test]
fn a_further_transfer_takes_its_place() {
    for warm_again in [false, true] {
        let mut warm = begun(warm(), true).answered();
        let other = "trunk:pbx/+14155550177".to_owned();
        warm.bench.wish(
            warm.desk,
            match warm_again {
                true => AgentRequest::WarmTransfer(other, Box::default()),
                false => AgentRequest::Consult(other),
            },
        );
        warm.hung_up_on();
        let pbx = Dialed::new(PBX, warm.bench.expect(PBX, "INVITE sip:+14155550177@"));
        let heard = if warm_again { Feed::Music } else { Feed::Other(warm.desk) };
        assert_eq!(warm.hears(warm.own), heard);
        warm.bench.receive(PBX, pbx.answer(200, &answer()));
        warm.bench.expect(PBX, "ACK");
        assert_eq!(warm.bench.state(), "answered");
        warm.bench.bye(&mut warm.caller, &pbx);
        warm.bench.finish();
    }
}

#[test]
fn a_party_that_is_asked_may_not_change_its_session_and_presses_by_info_too() {
    let mut warm = begun(warm(), true).answered();
    let offer = sdp("10.0.0.30", 32_000, 2, "0 101", "sendonly");
    warm.bench.receive(BACKUP, warm.target.request("INVITE", 2, &offer));
    warm.bench.expect(BACKUP, "SIP/2.0 100");
    warm.bench.expect(BACKUP, "SIP/2.0 491");
    warm.bench.receive(BACKUP, warm.target.request("ACK", 2, ""));
    let info = warm.target.request("INFO", 3, "Signal=1\r\nDuration=160\r\n");
    warm.bench.receive(BACKUP, info.replace("application/sdp", "application/dtmf-relay"));
    warm.bench.expect(BACKUP, "SIP/2.0 200");
    assert_eq!(warm.hears(warm.own), Feed::Music, "the digit is for the edge alone");
    warm.bench.pass(DIGIT);
    warm.connected();
}

/// The caller sends no telephone-events: the party may send them, but only to the edge.
#[test]
fn a_party_presses_keys_also_where_its_caller_has_none() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let plain = sdp("10.0.0.10", 30_000, 1, "0", "sendrecv");
    let caller = bench.invite(CARRIER, "+14155550100", &plain);
    let (desk, _) = bench.asked().pop().unwrap();
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    let mut caller = Dialing { to_tag: ok.tag("To"), ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let settings = WarmTransfer { accept: Some('1'), ..WarmTransfer::default() };
    bench.told();
    bench.wish(desk, AgentRequest::WarmTransfer(TARGET.into(), Box::new(settings)));
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
    assert!(target.invite.body().contains("a=rtpmap:101 telephone-event/8000"), "{}", target.invite.text);
    bench.receive(BACKUP, target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    let mut ears = Ears::default();
    ears.take(bench.told());
    let own = EndId(0);
    let is_new = |end: &&EndId| ![own, desk].contains(end) && !ears.players.contains_key(end);
    let party = *ears.by.keys().find(is_new).unwrap();
    bench.news(MediaEvent::Key { end: party, key: '1', ms: 100 });
    bench.pass(DIGIT);
    let told = bench.told();
    let wires = told
        .iter()
        .filter_map(|told| if let Told::Wire(from, to, wire) = told { Some((from, to, wire)) } else { None });
    let joined: Vec<_> = wires.filter(|(from, to, _)| [**from, **to].contains(&own)).collect();
    assert_eq!(joined.len(), 2, "{told:?}");
    assert!(joined.iter().all(|(.., wire)| wire.payloads == [(0, 0)]), "{joined:?}");
    bench.bye(&mut caller, &target);
    bench.finish();
}

#[test]
fn an_agent_is_no_target_of_a_warm_transfer() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::WarmTransfer("agent:night".into(), Box::default()));
    assert_eq!(bench.told(), [Told::TransferFailed(desk, "agent:night".into(), "bad_target", None)]);
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

/// A transfer over HTTP in a call between two parties: one waits, and the other is dropped once a third accepts.
#[test]
fn a_call_between_two_parties_is_transferred_too() {
    for accepts in [true, false] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        let mut ears = Ears::default();
        ears.take(bench.told());
        let sid = bench.gateway.calls(bench.now)[0].sid.clone();
        let settings = Box::new(WarmTransfer { accept: Some('5'), ..WarmTransfer::default() });
        let mode = TransferMode::Warm(settings);
        let done = bench.transfer(&sid, TARGET, mode.clone());
        bench.drain();
        assert_eq!(done, Ok(()));
        let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
        ears.take(bench.told());
        let (own, other) = (EndId(0), EndId(1));
        assert_eq!((ears.hears(own), ears.hears(other)), (Feed::Music, Feed::Nothing));
        bench.receive(BACKUP, target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
        bench.expect(BACKUP, "ACK");
        ears.take(bench.told());
        assert_eq!((ears.hears(own), ears.hears(other)), (Feed::Music, Feed::Nothing));
        assert!(
            bench.logs.iter().any(|line| line == "carrier is sent to trunk:backup/+1415****199, as requested"),
            "{:?}",
            bench.logs
        );
        let again = bench.transfer(&sid, TARGET, mode);
        assert_eq!(again, Err(RequestRefusal::Transferring));
        let is_new = |end: &&EndId| ![own, other].contains(end) && !ears.players.contains_key(end);
        let party = *ears.by.keys().find(is_new).unwrap();
        bench.news(MediaEvent::Key { end: party, key: if accepts { '5' } else { '6' }, ms: 100 });
        bench.pass(DIGIT);
        ears.take(bench.told());
        if accepts {
            let bye = bench.expect(&callee.peer, "BYE");
            bench.receive(&callee.peer, callee.respond(&bye, 200, ""));
            assert_eq!((ears.hears(own), ears.hears(party)), (Feed::Other(party), Feed::Other(own)));
            bench.bye(&mut caller, &target);
        } else {
            let bye = bench.expect(BACKUP, "BYE");
            bench.receive(BACKUP, target.respond(&bye, 200, ""));
            assert_eq!((ears.hears(own), ears.hears(other)), (Feed::Other(other), Feed::Other(own)));
            bench.bye(&mut caller, &callee);
        }
        bench.finish();
    }
}
