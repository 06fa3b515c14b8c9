//! Any order of messages at the intake: none is lost silently, none overtakes one that must precede it, and no INVITE
//! in time is rejected.

#![allow(clippy::unwrap_used)] // only tests stand here

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use trunkgate_call::SipIntake;
use trunkgate_call::intake::IntakeStep;
use trunkgate_call::limits::INVITE_WAIT;
use trunkgate_sip::{Flow, ListenerId, Method, SipMessage, SipPartyId, Transport};

/// An event of the test.
#[derive(Debug, Clone)]
enum Step {
    /// A message arrives, `ago` milliseconds after it reached the system.
    Comes { method: &'static str, name: u8, in_dialog: bool, ago: u64 },
    /// An event of a connection.
    News,
    /// Time passes, in milliseconds.
    Passes(u64),
    /// A number of messages is served.
    Served(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let methods = prop::sample::select(vec!["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "INFO"]);
    let comes = (methods, any::<u8>(), any::<bool>(), 0..200_u64);
    let comes = comes.prop_map(|(method, name, in_dialog, ago)| Step::Comes { method, name, in_dialog, ago });
    let step = prop_oneof![
        12 => comes,
        1 => Just(Step::News),
        2 => (0..60_u64).prop_map(Step::Passes),
        2 => (0..30_u8).prop_map(Step::Served),
    ];
    prop::collection::vec(step, 0..600)
}

fn message(method: &str, name: u8, in_dialog: bool, number: usize) -> SipMessage {
    let tag = if in_dialog { ";tag=us" } else { "" };
    let text = format!(
        "{method} sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{name}\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:b@h>{tag}\r\nCall-ID: {name}\r\nCSeq: 1 {method}\r\nSubject: {number}\r\n\r\n"
    );
    SipMessage::parse(Bytes::from(text)).unwrap()
}

/// Returns the number of a test message.
fn number_of(message: &SipMessage) -> usize {
    let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
    text.split("Subject: ").nth(1).unwrap().trim().parse().unwrap()
}

#[derive(Debug, Clone)]
struct Given {
    came: Instant,
    name: u8,
    is_new_invite: bool,
    /// Position among the messages of existing calls and the connection events.
    ongoing: Option<usize>,
}

#[allow(clippy::disallowed_methods)] // only the start of virtual time
fn start() -> Instant {
    Instant::now() + Duration::from_secs(1_000)
}

proptest! {
    #[test]
    fn nothing_is_lost_or_overtaken(steps in steps()) {
        let (mut now, mut intake) = (start(), SipIntake::<usize>::default());
        let flow = Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            remote: ([198, 51, 100, 7], 5060).into(),
            connection: None,
        };
        let mut given: HashMap<usize, Given> = HashMap::new();
        let mut turned_away: HashSet<u8> = HashSet::new();
        let (mut ongoing, mut last) = (0, None);
        let mut steps = steps;
        steps.push(Step::Served(u8::MAX));
        steps.push(Step::Served(u8::MAX));
        steps.push(Step::Served(u8::MAX));
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Passes(ms) => now += Duration::from_millis(ms),
                Step::News => {
                    ongoing += 1;
                    intake.tell(ongoing);
                    given.insert(number, Given { came: now, name: 0, is_new_invite: false, ongoing: Some(ongoing) });
                }
                Step::Comes { method, name, in_dialog, ago } => {
                    let came = now - Duration::from_millis(ago);
                    let is_new_invite = method == "INVITE" && !in_dialog;
                    let before = intake.len();
                    let waits = intake.offer(now, came, SipPartyId(1), flow, message(method, name, in_dialog, number));
                    if waits.is_ok() && intake.len() == before {
                        prop_assert!(method == "ACK" && turned_away.contains(&name));
                    } else if waits.is_ok() {
                        // A CANCEL follows its INVITE.
                        let in_order = method != "CANCEL" && (in_dialog || ["ACK", "BYE"].contains(&method));
                        ongoing += usize::from(in_order);
                        let place = in_order.then_some(ongoing);
                        given.insert(number, Given { came, name, is_new_invite, ongoing: place });
                    } else {
                        let same = |given: &Given| given.is_new_invite && given.name == name;
                        prop_assert!(is_new_invite && given.values().any(same), "refused: {:?}", waits);
                    }
                }
                Step::Served(count) => {
                    for _ in 0..count {
                        let place = match intake.next(now) {
                            Some(IntakeStep::Message(_, message)) => {
                                let number = number_of(&message);
                                let waited = given.remove(&number).unwrap();
                                let invite = |(other, given): (&usize, &Given)| {
                                    *other < number && given.is_new_invite && given.name == waited.name
                                };
                                prop_assert!(message.method() != Method::Cancel || !given.iter().any(invite));
                                waited.ongoing
                            }
                            Some(IntakeStep::TurnAway(_, message)) => {
                                let waited = given.remove(&number_of(&message)).unwrap();
                                let late = now.saturating_duration_since(waited.came) > INVITE_WAIT;
                                prop_assert!(waited.is_new_invite && (late || turned_away.contains(&waited.name)));
                                turned_away.insert(waited.name);
                                None
                            }
                            Some(IntakeStep::News(place)) => {
                                given.retain(|_, given| given.ongoing != Some(place));
                                Some(place)
                            }
                            Some(IntakeStep::Dropped(_)) | None => None,
                        };
                        prop_assert!(place.is_none() || place > last, "{:?} after {:?}", place, last);
                        last = place.or(last);
                    }
                }
            }
        }
        prop_assert!(intake.is_empty());
        let left = given.values().filter(|given| given.ongoing.is_some() || given.is_new_invite).count();
        prop_assert_eq!(left, 0, "neither served nor turned away");
    }
}
