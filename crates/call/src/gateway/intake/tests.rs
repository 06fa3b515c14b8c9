//! Order of the waiting messages, and rejections under overload.

use std::time::Duration;

use bytes::Bytes;
use trunkgate_sip::{ListenerId, Transport};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    now + Duration::from_secs(1_000)
}

fn flow(host: u8) -> Flow {
    let remote = ([198, 51, 100, host], 5060).into();
    Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None }
}

/// Creates a message. `INVITE 1`: a request with branch 1; `INVITE+ 1`: in a dialog; `200 1`: a response.
fn message(text: &str) -> SipMessage {
    let (what, branch) = text.split_once(' ').unwrap();
    let (method, tag) = what.strip_suffix('+').map_or((what, ""), |method| (method, ";tag=us"));
    let (line, method) = match what.parse::<u16>() {
        Ok(code) => (format!("SIP/2.0 {code} x"), "INVITE"),
        Err(_) => (format!("{method} sip:b@192.0.2.1 SIP/2.0"), method),
    };
    let text = format!(
        "{line}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>{tag}\r\n\
         Call-ID: {branch}\r\nCSeq: 1 {method}\r\n\r\n"
    );
    SipMessage::parse(Bytes::from(text)).unwrap()
}

fn shown(next: IntakeStep<&str>) -> String {
    let line = |message: SipMessage| {
        let what = message.code().map_or_else(|| message.method().as_str().into(), |code| code.to_string());
        format!("{what} {}", String::from_utf8_lossy(message.call_id().unwrap()))
    };
    match next {
        IntakeStep::Message(_, message) => line(message),
        IntakeStep::TurnAway(_, message) => format!("503 to {}", line(message)),
        IntakeStep::News(news) => news.into(),
        IntakeStep::Dropped(reason) => reason.as_str().into(),
    }
}

struct Bench {
    now: Instant,
    intake: SipIntake<&'static str>,
}

impl Bench {
    fn new() -> Bench {
        Bench { now: start(), intake: SipIntake::default() }
    }

    /// Offers a message that arrived `ago`.
    fn offer(&mut self, ago: Duration, text: &str) -> Result<(), DropReason> {
        self.intake.offer(self.now, self.now - ago, SipPartyId(1), flow(7), message(text))
    }

    fn next(&mut self) -> String {
        self.intake.next(self.now).map_or_else(|| "nothing".into(), shown)
    }

    fn all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.intake.next(self.now).map(shown)).collect()
    }

    /// Offers an INVITE for each of the names, all of which arrived `ago`.
    fn pile(&mut self, ago: Duration, names: std::ops::Range<u32>) {
        for n in names {
            self.offer(ago, &format!("INVITE {n}")).unwrap();
        }
    }
}

#[test]
fn what_keeps_calls_going_is_first_and_options_are_last() {
    for (came, served) in [
        (&["OPTIONS 1", "INVITE 2", "BYE+ 3"][..], &["BYE 3", "INVITE 2", "OPTIONS 1"][..]),
        (&["REGISTER 1", "INVITE 2", "200 3"], &["200 3", "INVITE 2", "REGISTER 1"]),
        (&["INVITE 1", "INVITE+ 2", "INVITE 3"], &["INVITE 2", "INVITE 1", "INVITE 3"]),
        (&["INVITE 1", "ACK+ 2", "CANCEL 3", "INFO+ 4"], &["ACK 2", "CANCEL 3", "INFO 4", "INVITE 1"]),
        (&["OPTIONS 1", "OPTIONS+ 2"], &["OPTIONS 2", "OPTIONS 1"]),
        // A call that has not begun cannot be canceled.
        (&["INVITE 1", "INVITE 2", "CANCEL 1"], &["INVITE 1", "INVITE 2", "CANCEL 1"]),
    ] {
        let mut bench = Bench::new();
        came.iter().for_each(|text| bench.offer(Duration::ZERO, text).unwrap());
        assert_eq!(bench.all(), served, "{came:?}");
        assert_eq!(bench.intake.bytes, 0);
    }
}

#[test]
fn news_of_a_connection_stays_behind_its_messages() {
    let mut bench = Bench::new();
    bench.offer(Duration::ZERO, "BYE+ 1").unwrap();
    bench.intake.tell("closed");
    bench.offer(Duration::ZERO, "BYE+ 2").unwrap();
    assert_eq!(bench.all(), ["BYE 1", "closed", "BYE 2"]);
}

#[test]
fn a_hiccup_turns_nobody_away() {
    // The whole process stood still for two seconds, and a few calls arrived meanwhile.
    let mut bench = Bench::new();
    bench.pile(2_000 * MS, 0..64);
    assert_eq!(bench.next(), "INVITE 0");
    bench.now += 99 * MS;
    assert!(bench.all().iter().all(|served| !served.contains("503")));
    assert!(!bench.intake.is_overloaded());
}

#[test]
fn late_for_long_is_an_overload() {
    let mut bench = Bench::new();
    bench.pile(26 * MS, 0..12);
    assert_eq!(bench.next(), "INVITE 0");
    bench.now += 100 * MS;
    assert_eq!(bench.next(), "503 to INVITE 1");
    assert!(bench.intake.is_overloaded());
    assert_eq!([bench.next(), bench.next()], ["503 to INVITE 2", "503 to INVITE 3"]);
    // The last eight are served in any case.
    bench.offer(Duration::ZERO, "OPTIONS 1").unwrap();
    assert!(bench.all().iter().all(|served| !served.contains("503")));
    // INVITEs in time are served, regardless of their number.
    bench.pile(25 * MS, 20..40);
    assert_eq!(bench.next(), "INVITE 20");
}

#[test]
fn a_call_that_takes_long_to_begin_turns_few_behind_it_away_never() {
    let mut bench = Bench::new();
    bench.pile(26 * MS, 0..9);
    while bench.next() != "nothing" {
        bench.now += 400 * MS;
    }
    assert!(!bench.intake.is_overloaded());
}

#[test]
fn many_that_are_late_are_an_overload_at_once() {
    let mut bench = Bench::new();
    let many = u32::try_from(OVERLOAD_INVITES).unwrap() + 1;
    bench.pile(26 * MS, 0..many);
    assert_eq!(bench.next(), "503 to INVITE 0");
    // The overload ends a second after the last late message.
    bench.all();
    let over = bench.intake.poll_timeout().unwrap();
    assert_eq!(over, bench.now + OVERLOAD_OVER);
    bench.intake.judge(over - MS);
    assert!(bench.intake.is_overloaded());
    bench.intake.judge(over);
    assert!(!bench.intake.is_overloaded() && bench.intake.poll_timeout().is_none());
}

#[test]
fn options_that_are_late_in_an_overload_are_dropped() {
    let mut bench = Bench::new();
    bench.offer(26 * MS, "OPTIONS 1").unwrap();
    assert_eq!(bench.next(), "OPTIONS 1", "late, but there is no overload");
    bench.pile(26 * MS, 0..65);
    bench.offer(26 * MS, "OPTIONS 2").unwrap();
    bench.offer(Duration::ZERO, "OPTIONS 3").unwrap();
    let all = bench.all();
    assert_eq!(all[..57], (0..57).map(|n| format!("503 to INVITE {n}")).collect::<Vec<_>>());
    assert_eq!(all[65..], [DropReason::Overloaded.as_str(), "OPTIONS 3"]);
}

#[test]
fn whoever_is_turned_away_hears_of_it_among_whatever_else_there_is() {
    let mut bench = Bench::new();
    bench.pile(26 * MS, 0..65);
    for n in 0..9 {
        bench.offer(Duration::ZERO, &format!("BYE+ b{n}")).unwrap();
    }
    let refusals = |served: Vec<String>| served.iter().filter(|text| text.contains("503")).count();
    let first: Vec<String> = (0..10).map(|_| bench.next()).collect();
    assert_eq!(refusals(first), 2, "every fifth");
}

#[test]
fn a_repetition_of_what_waits_takes_no_place() {
    let mut bench = Bench::new();
    bench.offer(Duration::ZERO, "INVITE 1").unwrap();
    assert_eq!(bench.offer(Duration::ZERO, "INVITE 1"), Err(DropReason::Repeated));
    bench.intake.offer(bench.now, bench.now, SipPartyId(2), flow(8), message("INVITE 1")).unwrap();
    assert_eq!(bench.all().len(), 2, "another far end's is another's");
    bench.offer(Duration::ZERO, "INVITE 1").unwrap();
    assert_eq!(bench.all(), ["INVITE 1"], "what has been served is for its transaction");
}

#[test]
fn whoever_was_turned_away_gets_no_other_answer() {
    let mut bench = Bench::new();
    bench.pile(26 * MS, 0..65);
    bench.all();
    bench.offer(Duration::ZERO, "INVITE 3").unwrap();
    assert_eq!(bench.all(), ["503 to INVITE 3"], "in time, but its 503 got lost");
    bench.offer(Duration::ZERO, "ACK+ 3").unwrap();
    assert_eq!(bench.all(), [""; 0], "nobody waits for it");
    bench.offer(Duration::ZERO, "CANCEL 3").unwrap();
    assert_eq!(bench.all(), ["CANCEL 3"], "481");
    bench.now += TURNED_AWAY_REMEMBERED + MS;
    bench.offer(Duration::ZERO, "INVITE 3").unwrap();
    assert_eq!(bench.all(), ["INVITE 3"]);
    assert_eq!((bench.intake.turned_away.keys.len(), bench.intake.turned_away.in_order.len()), (0, 0));
}

#[test]
fn every_queue_is_bounded() {
    let mut bench = Bench::new();
    let fill = |bench: &mut Bench, what: &str, room: usize| {
        let full = (0..room + 1).map(|n| bench.offer(26 * MS, &format!("{what} {n}"))).filter(Result::is_err);
        assert_eq!(full.collect::<Vec<_>>(), [Err(DropReason::QueueFull)], "{what}");
    };
    fill(&mut bench, "OPTIONS", WAITING_OTHERS);
    fill(&mut bench, "INVITE", WAITING_INVITES);
    assert!(bench.intake.has_room());
    fill(&mut bench, "BYE+", WAITING_ONGOING_MESSAGES);
    assert!(!bench.intake.has_room());
    bench.all();
    assert_eq!((bench.intake.bytes, bench.intake.keys.len()), (0, 0));
    let invites = &bench.intake.invites;
    assert!(invites.lines.is_empty() && invites.fronts.is_empty() && invites.len == 0);
    let rooms = [bench.intake.ongoing.capacity(), invites.turns.capacity(), bench.intake.others.capacity()];
    assert!(rooms.iter().all(|room| *room <= 2 * ROOM_KEPT), "given back: {rooms:?}");
    // Large messages count by their bytes.
    let large = |n: usize| format!("{n}{}", "x".repeat(25_000));
    let took = |bench: &mut Bench, what: &str| {
        let bench_takes = (0..1_000).take_while(|n| bench.offer(26 * MS, &format!("{what} {}", large(*n))).is_ok());
        bench_takes.count()
    };
    let (invites, byes) = (took(&mut bench, "INVITE"), took(&mut bench, "BYE+"));
    assert!(bench.intake.bytes <= WAITING_BYTES && invites > 50 && byes >= invites, "{invites} {byes}");
}

#[test]
fn a_flood_of_one_trunk_turns_no_call_of_another_away() {
    let mut bench = Bench::new();
    bench.pile(26 * MS, 0..65);
    let good = |bench: &mut Bench, ago: Duration, text: &str| {
        bench.intake.offer(bench.now, bench.now - ago, SipPartyId(2), flow(8), message(text)).unwrap();
    };
    good(&mut bench, MS, "INVITE good1");
    good(&mut bench, Duration::ZERO, "CANCEL good1");
    good(&mut bench, Duration::ZERO, "INVITE good2");
    let first: Vec<String> = (0..7).map(|_| bench.next()).collect();
    let expected = [
        "503 to INVITE 0",
        "INVITE good1",
        "503 to INVITE 1",
        "CANCEL good1",
        "503 to INVITE 2",
        "INVITE good2",
        "503 to INVITE 3",
    ];
    assert_eq!(first, expected);
    // The longest wait determines the overload, regardless of the turn.
    good(&mut bench, Duration::ZERO, "INVITE good3");
    bench.intake.judge(bench.now);
    assert!(bench.intake.is_overloaded());
}

#[test]
fn a_flood_of_one_trunk_leaves_room_to_wait_for_others() {
    let mut bench = Bench::new();
    let many = u32::try_from(WAITING_INVITES).unwrap();
    bench.pile(Duration::ZERO, 0..many);
    assert_eq!(bench.offer(Duration::ZERO, "INVITE more"), Err(DropReason::QueueFull));
    let offer = |bench: &mut Bench, party, text: &str| {
        bench.intake.offer(bench.now, bench.now, SipPartyId(party), flow(8), message(text))
    };
    assert_eq!(offer(&mut bench, 2, "INVITE good"), Ok(()));
    assert_eq!((bench.intake.invites.len, bench.next().as_str()), (WAITING_INVITES, "queue_full"));
    assert_eq!([bench.next(), bench.next()], ["INVITE 0", "INVITE good"]);
    // A displaced INVITE that comes again is no retransmission of a waiting one.
    assert_eq!(bench.offer(Duration::ZERO, &format!("INVITE {}", many - 1)), Ok(()));
    bench.all();
    // Large messages count by their bytes.
    let large = |n: usize| format!("INVITE {n}{}", "x".repeat(25_000));
    let filled = (0..1_000).take_while(|n| bench.offer(Duration::ZERO, &large(*n)).is_ok()).count();
    assert_eq!(offer(&mut bench, 2, &large(2_000)), Ok(()));
    assert!(filled > 50 && bench.intake.bytes <= WAITING_BYTES / 2);
    assert_eq!(bench.next(), "queue_full");
    bench.all();
    assert_eq!((bench.intake.bytes, bench.intake.keys.len(), bench.intake.is_empty()), (0, 0, true));
}

#[test]
fn those_turned_away_are_remembered_up_to_a_limit() {
    let mut turned_away = RejectedInvites::default();
    let now = start();
    (0..=TURNED_AWAY as u64).for_each(|key| turned_away.enter(now, key));
    assert!(!turned_away.has(now, 0) && turned_away.has(now, 1));
    assert_eq!(turned_away.keys.len(), TURNED_AWAY);
}
