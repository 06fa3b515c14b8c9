//! Bodies of the fuzz targets. They are compiled with the code that they drive, so that a change cannot break them
//! unseen.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_resources::limits::{NUMBER_CHARS, TURNED_AWAY_REMEMBERED};
use trunkgate_sip::{Flow, ListenerId, Method, SipMessage, SipPartyId, Transport};

use crate::call::words::refer::ReferRequest;
use crate::call::words::refer_report::{ReferReport, status};
use crate::gateway::intake::{DropReason, IntakeStep, SipIntake};

/// Requests that begin calls, belong to them, end them, and others.
const LINES: [(&str, &str, &str); 8] = [
    ("INVITE sip:b@192.0.2.1 SIP/2.0", "INVITE", ""),
    ("INVITE sip:b@192.0.2.1 SIP/2.0", "INVITE", ""),
    ("CANCEL sip:b@192.0.2.1 SIP/2.0", "CANCEL", ""),
    ("ACK sip:b@192.0.2.1 SIP/2.0", "ACK", ""),
    ("BYE sip:b@192.0.2.1 SIP/2.0", "BYE", ";tag=us"),
    ("INVITE sip:b@192.0.2.1 SIP/2.0", "INVITE", ";tag=us"),
    ("SIP/2.0 200 OK", "INVITE", ";tag=us"),
    ("OPTIONS sip:b@192.0.2.1 SIP/2.0", "OPTIONS", ""),
];

/// Fuzzes the intake with any order of messages, connection events, time and service. Checks that no message is served
/// twice or without having been accepted, no CANCEL before its INVITE, and no INVITE rejected shortly before; that
/// events keep their order; and that the queue empties.
pub fn intake(data: &[u8]) {
    let mut run = FuzzRun::new();
    let mut steps = data.chunks_exact(2);
    for step in &mut steps {
        let [what, more] = *step else { return };
        match what % 16 {
            line @ 0..=7 => run.offer(usize::from(line), what >> 4, more),
            8 | 9 if run.intake.has_room() => {
                run.told += 1;
                run.intake.tell(run.told);
            }
            10 => run.now += Duration::from_millis(u64::from(more) * 10),
            // Many messages at once cause an overload.
            11 => (0..usize::from(more)).for_each(|n| run.offer(0, (n % 256) as u8, 255)),
            _ => drop(run.next()),
        }
        assert_eq!(run.intake.len().checked_sub(1).is_none(), run.intake.is_empty());
    }
    while run.next() {}
    assert!(run.intake.is_empty() && run.intake.has_room());
    assert_eq!(run.heard, run.told, "news are never dropped");
}

/// Fuzzes the parsers of REFER and NOTIFY with any text in their headers: numbers have a bounded length, texts are one
/// line, and a status is valid.
pub fn refer(data: &[u8]) {
    let Some(numbers) = trunkgate_route::NumberingPlan::new("US") else { return };
    let text: Vec<u8> = data.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect();
    let head = "REFER sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK-1\r\nMax-Forwards: 70\r\n\
                From: <sip:a@192.0.2.2>;tag=1\r\nTo: <sip:b@192.0.2.1>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 REFER\r\n\
                Content-Length: 0\r\n";
    let mut request = head.as_bytes().to_vec();
    for name in ["Refer-To: ", "Referred-By: ", "Refer-Sub: ", "Event: ", "Subscription-State: "] {
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(&text);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    if let Ok(message) = SipMessage::parse(Bytes::from(request)) {
        if let Ok(refer) = ReferRequest::read(&message, &numbers, None) {
            assert!(refer.number.is_none_or(|number| !number.text.is_empty()));
            assert!(refer.name.chars().count() <= 2 * NUMBER_CHARS);
            assert!(refer.referred_by.is_none_or(|by| !by.contains(['\r', '\n', '\0'])));
        }
        if let Some(told) = ReferReport::read(&message) {
            assert!(["active", "pending", "terminated"].contains(&told.state));
        }
    }
    assert!(status(data).is_none_or(|code| (100..700).contains(&code)));
}

/// One run of the intake, and its expected state.
struct FuzzRun {
    now: Instant,
    intake: SipIntake<u32>,
    /// Number of messages so far, which is also the number of the next message.
    offered: usize,
    /// Accepted messages that have not been served.
    taken: HashSet<usize>,
    /// Waiting INVITEs, by call: their numbers.
    waiting: HashMap<u8, usize>,
    /// CANCELs of waiting INVITEs, by number: the number of the INVITE.
    cancels: HashMap<usize, usize>,
    /// Rejected calls, with the time of the rejection.
    turned_away: Vec<(u8, Instant)>,
    told: u32,
    heard: u32,
}

impl FuzzRun {
    fn new() -> FuzzRun {
        #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
        let start = Instant::now();
        FuzzRun {
            now: start + Duration::from_secs(1_000),
            intake: SipIntake::default(),
            offered: 0,
            taken: HashSet::new(),
            waiting: HashMap::new(),
            cancels: HashMap::new(),
            turned_away: Vec::new(),
            told: 0,
            heard: 0,
        }
    }

    /// Offers a message of a call that arrived `age` times 2 ms ago.
    fn offer(&mut self, line: usize, call: u8, age: u8) {
        let Some((line, method, tag)) = LINES.get(line) else { return };
        let number = self.offered;
        self.offered += 1;
        let text = format!(
            "{line}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{call}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>{tag}\r\n\
             Call-ID: {call}\r\nCSeq: 1 {method}\r\nX-Number: {number}\r\n\r\n"
        );
        let Ok(message) = SipMessage::parse(Bytes::from(text)) else { return };
        let remote = ([198, 51, 100, 7], 5060).into();
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        let came = self.now.checked_sub(Duration::from_millis(u64::from(age) * 2)).unwrap_or(self.now);
        let begins = message.method() == Method::Invite && message.is_request() && tag.is_empty();
        let offered = self.intake.offer(self.now, came, SipPartyId(1), flow, message);
        match offered {
            Ok(()) => {
                self.taken.insert(number);
            }
            Err(DropReason::Repeated) => assert!(begins && self.waiting.contains_key(&call), "it waits already"),
            // A full queue drops its oldest OPTIONS, and may have accepted this one.
            Err(DropReason::QueueFull) if *method == "OPTIONS" => {
                self.taken.insert(number);
            }
            Err(DropReason::QueueFull | DropReason::Overloaded) => {}
        }
        if begins && offered.is_ok() {
            assert_eq!(self.waiting.insert(call, number), None, "one call waits once");
        }
        if *method == "CANCEL"
            && let Some(invite) = self.waiting.get(&call)
        {
            self.cancels.insert(number, *invite);
        }
    }

    /// Serves one message; returns whether one was waiting.
    fn next(&mut self) -> bool {
        match self.intake.next(self.now) {
            None => return false,
            Some(IntakeStep::News(number)) => {
                self.heard += 1;
                assert_eq!(number, self.heard, "news keep their order");
            }
            Some(IntakeStep::Message(_, message)) => self.served(&message, true),
            Some(IntakeStep::TurnAway(_, message)) => self.served(&message, false),
            Some(IntakeStep::Dropped(reason)) => assert_eq!(reason, DropReason::Overloaded),
        }
        true
    }

    fn served(&mut self, message: &SipMessage, is_taken: bool) {
        let number = message.header_named("X-Number").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let number = number.unwrap_or(usize::MAX);
        assert!(self.taken.remove(&number), "each is served once");
        let call: Option<u8> = message.call_id().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let Some(call) = call.filter(|_| message.is_request()) else { return };
        let in_dialog = message.to_tag().is_some_and(|tag| !tag.is_empty());
        let method = message.method();
        if method == Method::Cancel {
            let invite = self.cancels.remove(&number);
            assert!(invite.is_none_or(|invite| self.waiting.get(&call) != Some(&invite)), "its INVITE is first");
        } else if method == Method::Invite && !in_dialog {
            self.begun(call, is_taken);
        } else {
            assert!(is_taken, "only new calls are turned away");
        }
    }

    /// Records that an INVITE which begins a call is served or rejected.
    fn begun(&mut self, call: u8, is_taken: bool) {
        self.waiting.remove(&call);
        let now = self.now;
        let lately = |(turned, at): &(u8, Instant)| {
            *turned == call && now.saturating_duration_since(*at) <= TURNED_AWAY_REMEMBERED
        };
        if is_taken {
            assert!(!self.turned_away.iter().any(lately), "a rejected call gets no other answer");
        } else if !self.turned_away.iter().any(lately) {
            self.turned_away.push((call, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_order_at_the_intake(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            super::intake(&bytes);
        }
    }

    proptest! {
        #[test]
        fn any_refer_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::refer(&bytes);
        }

        #[test]
        fn almost_an_address_is_read_or_refused(
            scheme in "(sip|sips|tel|SIP|http)", user in "[0-9+%*#a-z\\-().;=]{0,80}", rest in "[@:;?&=a-z0-9.<>\"%\\[\\]]{0,60}"
        ) {
            super::refer(format!("<{scheme}:{user}{rest}>").as_bytes());
            super::refer(format!("\"x\" <{scheme}:{user}@192.0.2.1{rest}").as_bytes());
            super::refer(format!("SIP/2.0 {user}{rest}").as_bytes());
        }
    }

    /// An overload that rejects late INVITEs, their retransmissions and ACKs, and time for the memory of them to pass.
    #[test]
    fn an_overload_and_what_follows_it() {
        let pile =
            [[11, 255], [10, 60], [11, 255], [15, 0], [15, 0], [0, 255], [3, 0], [0x10, 255], [2, 255], [10, 255]];
        super::intake(&pile.repeat(10).concat());
    }
}
