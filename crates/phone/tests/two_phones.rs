//! Two phones connected directly, in virtual time over a lossless network: every way to place and answer a call ends
//! with the outcome that both sides expect.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests need an arbitrary start time

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkgate_phone::{
    AnswerKind, AnswerScript, CallEnding, CallNumber, CallScript, CallTimeLimits, G711Codec, InCallRequest,
    OutgoingCall, Phone, PhoneCallState, PhoneConfig, PhoneEvent, PhoneInput, PhoneOutput, SessionTimerConfig,
};
use trunkgate_sip::{EndpointCounts, Flow, ListenerId, Transport};

const CALLER: usize = 0;
const CALLEE: usize = 1;
const WIRE: Duration = Duration::from_millis(5);

struct Pair {
    start: Instant,
    now: Instant,
    phones: [Phone; 2],
    events: Vec<(usize, PhoneEvent)>,
    queue: BTreeMap<(Instant, u64), (usize, PhoneInput)>,
    queued: u64,
    /// Requests and responses sent, as `METHOD` or `METHOD code`.
    sent: Vec<String>,
    /// Number of RTCP reports sent by each phone.
    reports: [u32; 2],
    overheard: Vec<(usize, Vec<i16>)>,
}

fn address(at: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 10 + at as u8], 5060))
}

fn flow_to(at: usize) -> Flow {
    Flow { transport: Transport::Udp, listener: ListenerId(0), remote: address(at), connection: None }
}

impl Pair {
    fn new() -> Pair {
        Pair::with(|_, _| {})
    }

    fn with(change: impl Fn(usize, &mut PhoneConfig)) -> Pair {
        let phone = |at: usize| {
            let mut config = PhoneConfig::new(["caller", "callee"][at], [at as u8 + 1; 32], address(at));
            config.media = (0..4).map(|n| SocketAddr::new(address(at).ip(), 30_000 + 2 * n)).collect();
            change(at, &mut config);
            Phone::new(config)
        };
        let start = Instant::now();
        Pair {
            start,
            now: start,
            phones: [phone(0), phone(1)],
            events: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            sent: Vec::new(),
            reports: [0; 2],
            overheard: Vec::new(),
        }
    }

    fn dial(&mut self, change: impl FnOnce(&mut OutgoingCall)) -> CallNumber {
        let mut dial =
            OutgoingCall::new(flow_to(CALLEE), "sip:+12125550100@192.0.2.11", "<sip:+14155550100@192.0.2.10>");
        change(&mut dial);
        let number = self.phones[CALLER].dial(self.now, dial).unwrap();
        self.drain();
        number
    }

    fn drain(&mut self) {
        for at in [CALLER, CALLEE] {
            while let Some(output) = self.phones[at].poll_output() {
                self.queued += 1;
                let key = (self.now + WIRE, self.queued);
                match output {
                    PhoneOutput::Transmit(t) => {
                        assert_eq!(t.flow.remote, address(1 - at));
                        let code = t.what.code.map(|c| format!(" {c}")).unwrap_or_default();
                        self.sent.push(format!("{}{code}", t.what.method));
                        self.queue.insert(key, (1 - at, PhoneInput::Sip { flow: flow_to(at), bytes: t.bytes }));
                    }
                    PhoneOutput::Rtp { to, bytes, .. } => {
                        assert_eq!(to.ip(), address(1 - at).ip());
                        self.queue.insert(key, (1 - at, PhoneInput::Rtp { to, bytes }));
                    }
                    PhoneOutput::Rtcp { to, bytes, .. } => {
                        // RTCP uses the port after RTP; the phone identifies the call by the RTP port.
                        let to = SocketAddr::new(to.ip(), to.port() - 1);
                        self.reports[at] += 1;
                        self.queue.insert(key, (1 - at, PhoneInput::Rtcp { to, bytes }));
                    }
                    PhoneOutput::Heard { samples, .. } => self.overheard.push((at, samples)),
                    PhoneOutput::Event(PhoneEvent::Heard(..)) => {}
                    PhoneOutput::Event(event) => self.events.push((at, event)),
                }
            }
        }
    }

    /// Runs until no event is left or `limit` has passed.
    fn run(&mut self, limit: Duration) {
        let end = self.start + limit;
        loop {
            let packet = self.queue.keys().next().map(|key| key.0);
            let timer = [CALLER, CALLEE].into_iter().filter_map(|at| Some((self.phones[at].poll_timeout()?, at))).min();
            let Some(next) = packet.into_iter().chain(timer.map(|t| t.0)).min().filter(|next| *next <= end) else {
                return;
            };
            self.now = self.now.max(next);
            if packet == Some(next) {
                let (_, (to, input)) = self.queue.pop_first().unwrap();
                self.phones[to].handle_input(self.now, input);
            } else if let Some((_, at)) = timer {
                self.phones[at].handle_timeout(self.now);
            }
            self.drain();
        }
    }

    fn ending(&self, at: usize) -> Option<CallEnding> {
        self.phones[at].calls().next().and_then(|call| call.ending())
    }

    fn sent(&self, what: &str) -> usize {
        self.sent.iter().filter(|s| *s == what).count()
    }

    /// Checks that no state is left, and that both phones report the expected ending.
    fn is_over(&self, caller: CallEnding, callee: CallEnding) {
        assert_eq!((self.ending(CALLER), self.ending(CALLEE)), (Some(caller), Some(callee)), "{:?}", self.sent);
        for phone in &self.phones {
            assert_eq!(phone.counts(), EndpointCounts::default());
            assert_eq!(phone.poll_timeout(), None);
            assert!(phone.calls().all(|call| call.state() == PhoneCallState::Ended));
        }
    }

    /// Returns the number of undamaged frames that each phone received from the other.
    fn heard(&self) -> [u64; 2] {
        [CALLER, CALLEE].map(|at| {
            let call = self.phones[at].calls().next().unwrap();
            assert_eq!(call.judge().damaged() + call.judge().not_rtp(), 0);
            call.judge().packets()
        })
    }
}

const LONG: Duration = Duration::from_secs(600);

fn after(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn a_plain_call() {
    let mut pair = Pair::new();
    pair.dial(|dial| dial.talk.hang_up_after = after(5));
    pair.run(LONG);
    pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
    let heard = pair.heard();
    assert!(heard.iter().all(|n| (245..=250).contains(n)), "{heard:?}");
    assert_eq!((pair.sent("INVITE"), pair.sent("ACK"), pair.sent("BYE"), pair.sent("BYE 200")), (1, 1, 1, 1));
    let call = pair.phones[CALLEE].calls().next().unwrap();
    assert_eq!((call.called(), call.codec()), ("+12125550100", Some(G711Codec::Pcmu)));
    let order: Vec<_> = pair.events.iter().filter(|(at, _)| *at == CALLER).map(|(_, event)| *event).collect();
    let number = CallNumber(1);
    let expected =
        [PhoneEvent::Ringing(number), PhoneEvent::Answered(number), PhoneEvent::Ended(number, CallEnding::HungUp)];
    assert_eq!(order, expected);
}

#[test]
fn the_callee_hangs_up() {
    let mut pair = Pair::new();
    let talk = CallScript { hang_up_after: after(2), ..CallScript::default() };
    pair.phones[CALLEE].expect(AnswerScript { talk, ..AnswerScript::ring(Duration::ZERO) });
    pair.dial(|_| {});
    pair.run(LONG);
    pair.is_over(CallEnding::HungUpThere, CallEnding::HungUp);
}

#[test]
fn without_an_offer_the_ack_answers() {
    let mut pair = Pair::new();
    pair.dial(|dial| {
        dial.offer = false;
        dial.talk.hang_up_after = after(2);
    });
    pair.run(LONG);
    pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
    assert!(pair.heard().iter().all(|n| *n > 90));
}

#[test]
fn what_is_said_in_a_call_leaves_it_as_it_was() {
    let mut pair = Pair::new();
    pair.dial(|dial| dial.talk.hang_up_after = after(9));
    pair.run(Duration::from_secs(3));
    for (at, what) in
        [(CALLER, InCallRequest::Offerless), (CALLEE, InCallRequest::Key), (CALLER, InCallRequest::Refresh)]
    {
        pair.phones[at].say_within(pair.now, CallNumber(1), what);
        pair.run(Duration::from_secs(1));
    }
    pair.run(LONG);
    pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
    let requests = ["INVITE", "ACK", "INFO", "INFO 200", "UPDATE", "UPDATE 200"].map(|what| pair.sent(what));
    assert_eq!(requests, [2, 2, 1, 1, 1, 1]);
    assert!(pair.heard().iter().all(|n| *n > 400), "{:?}", pair.heard());
}

#[test]
fn an_offer_in_a_multipart_body() {
    let mut pair = Pair::new();
    pair.dial(|dial| {
        dial.multipart = true;
        dial.talk.hang_up_after = after(2);
    });
    pair.run(LONG);
    pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
    assert!(pair.heard().iter().all(|n| *n > 90));
}

#[test]
fn early_media_is_heard_before_the_answer() {
    let mut pair = Pair::new();
    pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::Early { answer_after: Duration::from_secs(4) }));
    pair.dial(|dial| dial.talk.hang_up_after = after(1));
    pair.run(Duration::from_secs(3));
    assert!(pair.heard()[CALLER] > 100);
    assert_eq!(pair.sent("INVITE 183"), 1);
    pair.run(LONG);
    pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
}

#[test]
fn rfc3262_early_media_is_acknowledged_where_both_know_how() {
    for knows in [[true, true], [true, false], [false, true]] {
        let mut pair = Pair::with(|at, config| config.reliable = knows[at]);
        pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::Early { answer_after: Duration::from_secs(4) }));
        pair.dial(|dial| dial.talk.hang_up_after = after(1));
        pair.run(LONG);
        pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
        let both = usize::from(knows == [true, true]);
        assert_eq!((pair.sent("PRACK"), pair.sent("PRACK 200")), (both, both), "{knows:?}");
        assert!(pair.phones.iter().flat_map(Phone::calls).all(|call| call.is_pracked() == (both == 1)));
        assert!(pair.heard()[CALLER] > 200 && pair.heard()[CALLEE] > 40, "{:?}", pair.heard());
    }
}

#[test]
fn rfc4028_a_session_is_refreshed_by_whoever_says_so() {
    let by = |by_update, refreshes| SessionTimerConfig { seconds: 90, least: 90, refreshes, by_update, forgets: false };
    for (caller, callee, updates, invites) in [
        (by(true, true), by(false, false), 5, 1),
        (by(false, true), by(true, false), 0, 6),
        (by(false, false), by(true, true), 5, 1),
    ] {
        let mut pair = Pair::with(|at, config| config.sessions = Some([caller, callee][at]));
        pair.dial(|dial| {
            dial.talk = CallScript { hang_up_after: after(250), frames: Some(1), ..CallScript::default() }
        });
        pair.run(LONG);
        pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
        assert_eq!((pair.sent("UPDATE"), pair.sent("INVITE")), (updates, invites));
        assert!(pair.phones.iter().flat_map(Phone::calls).all(|call| call.refreshed() == 5));
    }
}

#[test]
fn rfc4028_a_session_that_is_too_short_is_refused_and_one_that_nobody_refreshes_is_over() {
    let caller = SessionTimerConfig { seconds: 90, least: 90, refreshes: true, by_update: true, forgets: true };
    let callee = SessionTimerConfig { seconds: 0, least: 120, forgets: false, ..caller };
    let mut pair = Pair::with(|at, config| config.sessions = Some([caller, callee][at]));
    pair.dial(|dial| dial.talk.frames = Some(1));
    pair.run(Duration::from_secs(10));
    assert_eq!((pair.sent("INVITE"), pair.sent("INVITE 422")), (2, 1));
    assert_eq!(pair.phones[CALLEE].calls().map(|call| call.session_seconds()).collect::<Vec<_>>(), [Some(120)]);
    pair.run(LONG);
    pair.is_over(CallEnding::HungUpThere, CallEnding::SessionExpired);
    assert_eq!(pair.sent("UPDATE"), 0);
}

#[test]
fn a_refusal() {
    let mut pair = Pair::new();
    pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::Reject { code: 486, after: Duration::ZERO }));
    pair.dial(|_| {});
    pair.run(LONG);
    pair.is_over(CallEnding::Refused(486), CallEnding::Rejected(486));
}

#[test]
fn cancel_while_it_rings() {
    let mut pair = Pair::new();
    pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::RingForever));
    pair.dial(|dial| dial.cancel_after = after(3));
    pair.run(LONG);
    pair.is_over(CallEnding::Canceled, CallEnding::CanceledThere);
    assert_eq!((pair.sent("CANCEL"), pair.sent("INVITE 487")), (1, 1));
}

#[test]
fn cancel_crosses_the_answer() {
    let mut pair = Pair::new();
    pair.phones[CALLEE].expect(AnswerScript::ring(Duration::from_secs(3)));
    pair.dial(|dial| dial.cancel_after = Some(Duration::from_millis(3007)));
    pair.run(LONG);
    pair.is_over(CallEnding::Canceled, CallEnding::HungUpThere);
}

#[test]
fn waking_late_does_not_slow_the_voice() {
    for (late_ms, expected) in [(130, 100), (5000, 51)] {
        let mut pair = Pair::new();
        pair.phones[CALLEE].expect(AnswerScript::ring(Duration::ZERO));
        let number = pair.dial(|_| {});
        pair.run(Duration::from_millis(100));
        // The caller's phone is not polled for a while.
        pair.now += Duration::from_millis(late_ms);
        pair.start = pair.now;
        pair.run(Duration::from_millis(2000 - late_ms.min(1000)));
        let sent = pair.phones[CALLER].call(number).unwrap().sent();
        assert!(sent.abs_diff(expected) <= 4, "{late_ms} ms late: {sent}");
    }
}

#[test]
fn hold_and_resume() {
    let mut pair = Pair::new();
    pair.dial(|dial| {
        dial.talk = CallScript {
            hang_up_after: after(9),
            hold_after: after(3),
            resume_after: after(6),
            ..CallScript::default()
        };
    });
    pair.run(LONG);
    pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
    let heard = pair.heard();
    assert!((290..310).contains(&heard[CALLER]), "six of nine seconds: {heard:?}");
    assert!((440..455).contains(&heard[CALLEE]), "the holding party still sends: {heard:?}");
    assert_eq!(pair.sent("INVITE"), 3);
}

#[test]
fn silence_is_given_up() {
    let mut pair = Pair::new();
    pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::Silent));
    pair.dial(|_| {});
    pair.run(LONG);
    pair.is_over(CallEnding::TimedOut, CallEnding::Ignored);
    assert!(pair.sent.iter().all(|s| s == "INVITE"), "{:?}", pair.sent);
    assert!(pair.sent.len() > 3, "an INVITE is repeated");
}

#[test]
fn a_late_answer_still_makes_a_call() {
    let mut pair = Pair::new();
    pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::Late { answer_after: Duration::from_secs(10) }));
    pair.dial(|dial| dial.talk.hang_up_after = after(1));
    pair.run(LONG);
    pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
    assert_eq!(pair.phones[CALLEE].calls().count(), 1);
    assert_eq!(pair.phones[CALLEE].calls().next().unwrap().called(), "+12125550100");
}

#[test]
fn a_call_never_acknowledged_is_ended_by_the_callee() {
    let mut pair = Pair::new();
    pair.dial(|dial| dial.never_ack = true);
    pair.run(LONG);
    pair.is_over(CallEnding::HungUpThere, CallEnding::AckMissing);
    assert!(pair.sent("INVITE 200") > 5, "a 2xx is repeated");
}

#[test]
fn ringing_for_ever_is_given_up() {
    let mut pair = Pair::with(|at, config| config.give_up = config.give_up.filter(|_| at == CALLER));
    pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::RingForever));
    pair.dial(|_| {});
    pair.run(LONG);
    pair.is_over(CallEnding::GaveUp, CallEnding::CanceledThere);
}

#[test]
fn a_ringing_phone_gives_up_by_itself() {
    let mut pair = Pair::with(|at, config| config.give_up = config.give_up.filter(|_| at == CALLEE));
    pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::RingForever));
    pair.dial(|_| {});
    pair.run(LONG);
    pair.is_over(CallEnding::Refused(480), CallEnding::GaveUp);
}

#[test]
fn an_endless_call_is_given_up() {
    let mut pair = Pair::with(|at, config| {
        config.give_up = (at == CALLEE)
            .then_some(CallTimeLimits { no_final: Duration::from_secs(60), call: Duration::from_secs(30) });
    });
    pair.dial(|_| {});
    pair.run(LONG);
    pair.is_over(CallEnding::HungUpThere, CallEnding::GaveUp);
}

#[test]
fn without_patience_a_call_goes_on() {
    let mut pair = Pair::with(|_, config| config.give_up = None);
    pair.dial(|dial| dial.talk.frames = Some(10));
    pair.run(LONG);
    assert_eq!((pair.ending(CALLER), pair.ending(CALLEE)), (None, None));
    let heard = pair.heard();
    assert_eq!(heard[CALLEE], 10, "what the script allows");
    assert!(heard[CALLER] > 20_000, "{heard:?}");
}

#[test]
fn media_addresses_are_bounded_and_come_back() {
    let mut pair = Pair::with(|at, config| config.media.truncate(if at == CALLEE { 1 } else { 4 }));
    for _ in 0..3 {
        pair.dial(|dial| dial.talk.hang_up_after = after(1));
    }
    pair.run(LONG);
    let endings: Vec<_> = pair.phones[CALLER].calls().filter_map(|call| call.ending()).collect();
    assert_eq!(endings, [CallEnding::HungUp, CallEnding::Refused(503), CallEnding::Refused(503)]);
    pair.start = pair.now;
    let number = pair.dial(|dial| dial.talk.hang_up_after = after(1));
    pair.run(LONG);
    assert_eq!(pair.phones[CALLER].call(number).unwrap().ending(), Some(CallEnding::HungUp));
}

#[test]
fn ended_calls_are_forgotten_at_the_limit() {
    let mut pair = Pair::new();
    for _ in 0..trunkgate_phone::limits::CALLS + 5 {
        pair.phones[CALLEE].expect(AnswerScript::from_kind(AnswerKind::Reject { code: 404, after: Duration::ZERO }));
        pair.start = pair.now;
        pair.dial(|_| {});
        pair.run(Duration::from_secs(60));
    }
    assert_eq!(pair.phones[CALLER].calls().count(), trunkgate_phone::limits::CALLS);
}

#[test]
fn ignored_calls_are_bounded() {
    let mut pair = Pair::new();
    pair.phones[CALLEE].set_default_answer(AnswerScript::from_kind(AnswerKind::Silent));
    for _ in 0..trunkgate_phone::limits::IGNORED + 5 {
        pair.start = pair.now;
        pair.dial(|_| {});
        pair.run(Duration::from_secs(60));
    }
    assert!(pair.phones[CALLER].calls().all(|call| call.ending() == Some(CallEnding::TimedOut)));
}

/// Scripted digits are sent with the pauses between them.
#[test]
fn keys_are_pressed_with_the_pauses_between_them() {
    let epoch = trunkgate_media::ClockEpoch::new(Instant::now(), Duration::from_secs(1_700_000_000));
    let mut pair = Pair::with(|_, config| config.reports = Some(epoch));
    pair.phones[CALLEE].expect(AnswerScript::ring(Duration::ZERO));
    pair.dial(|dial| dial.talk = CallScript { keys: Some("ww1W23".into()), ..CallScript::default() });
    // From 1 s after the answer: two pauses of 500 ms, a digit of 200 ms, a pause of 1 s.
    for (ms, pressed) in [(1_900, ""), (2_200, "1"), (3_100, "1"), (3_350, "12"), (3_600, "123")] {
        pair.run(Duration::from_millis(ms));
        let heard = pair.phones[CALLEE].calls().next().unwrap().pressed();
        assert_eq!(heard, pressed, "{ms} ms");
        let is_last = pressed.ends_with('3');
        assert!(is_last || !pair.phones[CALLER].calls().next().unwrap().has_pressed_all(), "{ms} ms");
    }
    pair.run(after(4).unwrap());
    assert!(pair.phones[CALLER].calls().next().unwrap().has_pressed_all());
}

#[test]
fn keys_are_agreed_upon_in_every_way_a_call_is_placed() {
    use trunkgate_phone::Srtp::{Off, Optional, Required};
    for (caller, callee, secure) in [
        (Off, Off, Some(false)),
        (Off, Optional, Some(false)),
        (Off, Required, None),
        (Optional, Off, Some(false)),
        (Optional, Optional, Some(true)),
        (Optional, Required, Some(true)),
        (Required, Off, None),
        (Required, Optional, Some(true)),
        (Required, Required, Some(true)),
    ] {
        for offer in [true, false] {
            let mut pair = Pair::with(|at, config| config.srtp = [caller, callee][at]);
            pair.phones[CALLEE]
                .expect(AnswerScript::from_kind(AnswerKind::Early { answer_after: Duration::from_secs(1) }));
            pair.dial(|dial| {
                dial.offer = offer;
                dial.talk = CallScript {
                    hang_up_after: after(9),
                    hold_after: after(3),
                    resume_after: after(6),
                    ..CallScript::default()
                };
            });
            pair.run(LONG);
            let calls = [CALLER, CALLEE].map(|at| pair.phones[at].calls().next().unwrap());
            assert_eq!(calls.map(|call| call.unopened()), [0, 0], "{caller:?} {callee:?}");
            match secure {
                Some(secure) => {
                    assert_eq!(calls.map(|call| call.is_secure()), [secure; 2], "{caller:?} {callee:?} {offer}");
                    assert!(pair.heard().iter().all(|n| *n > 200), "{caller:?} {callee:?} {offer}");
                }
                None => assert_eq!(pair.heard(), [0, 0], "{caller:?} {callee:?} {offer}"),
            }
        }
    }
}

#[test]
fn each_side_reports_what_it_hears_and_audio_is_heard_as_it_was_played() {
    use trunkgate_phone::Srtp::{Off, Required};
    let audio: std::sync::Arc<[i16]> = (0..1600).map(|n| ((n % 80) * 300 - 12_000) as i16).collect();
    for srtp in [Off, Required] {
        let epoch = trunkgate_media::ClockEpoch::new(Instant::now(), Duration::from_secs(1_700_000_000));
        let mut pair = Pair::with(|_, config| {
            config.srtp = srtp;
            config.reports = Some(epoch);
        });
        let talk = CallScript { overheard: true, ..CallScript::default() };
        pair.phones[CALLEE].expect(AnswerScript { talk, ..AnswerScript::ring(Duration::ZERO) });
        pair.dial(|dial| {
            dial.talk = CallScript { hang_up_after: after(12), audio: Some(audio.clone()), ..CallScript::default() };
        });
        pair.run(LONG);
        pair.is_over(CallEnding::HungUp, CallEnding::HungUpThere);
        // One report about every five seconds, and a final one.
        assert!(pair.reports.iter().all(|made| (2..=8).contains(made)), "{:?}", pair.reports);
        for at in [CALLER, CALLEE] {
            let call = pair.phones[at].calls().next().unwrap();
            assert_eq!(call.suite().is_some(), srtp == Required);
            let quality = call.quality().unwrap();
            assert!((590..=600).contains(&quality.received), "{quality:?}");
            assert_eq!((quality.near.lost, quality.near.expected), (0, quality.received));
            let far = quality.far.unwrap();
            assert!(far.lost == 0 && far.mos.unwrap() > 4.3 && quality.near.mos.unwrap() > 4.3, "{quality:?}");
            let trip = quality.round_trip_ms.unwrap();
            assert!((9.0..=11.0).contains(&trip), "twice 5 ms: {quality:?}");
        }
        let heard: Vec<i16> = pair
            .overheard
            .iter()
            .flat_map(|(at, samples)| {
                assert_eq!(*at, CALLEE);
                samples.clone()
            })
            .take(audio.len())
            .collect();
        let error =
            heard.iter().zip(audio.iter()).map(|(heard, said)| (i32::from(*heard) - i32::from(*said)).abs()).max();
        assert!(error.unwrap() <= 600, "no further off than μ-law is: {error:?}");
    }
}

#[test]
fn samples_are_said_in_the_place_of_the_script_once_the_call_is_answered() {
    let mut pair = Pair::new();
    let talk = CallScript { overheard: true, ..CallScript::default() };
    pair.phones[CALLEE].expect(AnswerScript { talk, ..AnswerScript::ring(Duration::ZERO) });
    pair.dial(|dial| {
        dial.talk = CallScript { hang_up_after: after(3), audio: Some([0].into()), ..CallScript::default() }
    });
    let number = pair.phones[CALLER].calls().next().unwrap().number();
    assert!(!pair.phones[CALLER].speak(number, &[1000; 160]), "it is not answered yet");
    pair.run(Duration::from_secs(1));
    for _ in 0..2 {
        assert!(pair.phones[CALLER].speak(number, &[8000; 240]));
    }
    pair.run(LONG);
    let heard: Vec<i16> = pair.overheard.iter().flat_map(|(_, samples)| samples.clone()).collect();
    let loud = heard.iter().filter(|sample| **sample > 4000).count();
    let first = heard.iter().position(|sample| *sample > 4000).unwrap();
    assert!(
        loud == 480 && heard[first..first + 480].iter().all(|sample| *sample > 4000),
        "{loud}, one behind the other"
    );
    assert!(heard[first + 480..].iter().all(|sample| sample.abs() < 100), "then the script's silence");
}

#[test]
fn a_phone_without_an_epoch_makes_no_reports() {
    let mut pair = Pair::new();
    pair.dial(|dial| dial.talk.hang_up_after = after(12));
    pair.run(LONG);
    assert_eq!((pair.reports, pair.phones[CALLER].calls().next().unwrap().quality()), ([0, 0], None));
    assert!(pair.overheard.is_empty());
}
