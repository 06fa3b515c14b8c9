use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SUPPORT: &str = "support";

fn at(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

fn entering(key: u64) -> Entering {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    Entering { key: CallKey(key), call_sid: format!("CA{key}"), date, waited: Duration::ZERO, with: None }
}

/// Queues with the callers 1, 2 and so on in one of them, a second behind each other.
fn queued(start: Instant, callers: u64) -> Queues {
    let mut queues = Queues::default();
    for key in 1..=callers {
        let sid = || "QU1".to_owned();
        queues.enqueue(at(start, key), (SUPPORT, None), sid, entering(key)).unwrap();
    }
    queues
}

fn prelude() -> Option<Prelude> {
    Some((AppPlace::Url("https://app.example/before".to_owned()), WebhookMethod::Post))
}

/// News of calls since the last time; commands to the mixers as `None`.
fn news(queues: &mut Queues) -> Vec<Option<(u64, QueueNews)>> {
    let shown = |due| match due {
        QueueDue::Call(key, news) => Some((key.0, news)),
        QueueDue::Node(_) => None,
    };
    std::iter::from_fn(|| queues.poll()).map(shown).collect()
}

fn connected(news: &[Option<(u64, QueueNews)>]) -> Vec<(u64, String)> {
    let with = |one: &Option<(u64, QueueNews)>| match one {
        Some((key, QueueNews::Connected { with, .. })) => Some((*key, with.clone())),
        Some(_) | None => None,
    };
    news.iter().filter_map(with).collect()
}

#[test]
fn the_caller_that_has_waited_longest_is_the_next_one() {
    let start = Instant::now();
    let mut queues = queued(start, 3);
    let standing = queues.standing(at(start, 5), CallKey(2)).unwrap();
    assert_eq!((standing.position, standing.size, standing.most), (Some(2), 3, 1_000));
    assert_eq!((standing.waited, standing.average), (Duration::from_secs(3), Duration::from_secs(3)));
    for (party, caller) in [(11, 1), (12, 2)] {
        queues.dial(at(start, 6), SUPPORT, None, entering(party)).unwrap();
        let both = [(caller, format!("CA{party}")), (party, format!("CA{caller}"))];
        assert_eq!(connected(&news(&mut queues)), both);
    }
    let report = queues.report(at(start, 6), "QU1").unwrap();
    assert_eq!(report.members.iter().map(|member| member.call_sid.as_str()).collect::<Vec<_>>(), ["CA3"]);
    assert_eq!(report.longest, Duration::from_secs(3));
    assert_eq!(queues.connected_with(CallKey(12)), Some("CA2"));
    // Who leaves a connection ends it for both; the time in the queue is that until the connection.
    assert_eq!(queues.standing(at(start, 60), CallKey(1)).unwrap().waited, Duration::from_secs(5));
    queues.leave(at(start, 60), CallKey(1));
    assert_eq!(news(&mut queues), [None, None, Some((11, QueueNews::Parted))]);
    assert_eq!(queues.standing(at(start, 60), CallKey(11)), None);
}

#[test]
fn a_party_that_dials_an_empty_queue_waits_for_the_next_caller() {
    let start = Instant::now();
    let mut queues = queued(start, 0);
    assert_eq!(queues.dial(start, SUPPORT, None, entering(11)), Err(QueueRefusal::Unknown));
    queues.create(start, (SUPPORT, None), "QU1".to_owned(), SystemTime::UNIX_EPOCH).unwrap();
    queues.dial(start, SUPPORT, None, entering(11)).unwrap();
    queues.dial(start, SUPPORT, None, entering(12)).unwrap();
    assert!(queues.is_waiting(CallKey(11)));
    assert_eq!(queues.reports(start)[0].diallers, 2);
    queues.enqueue(start, (SUPPORT, None), String::new, entering(1)).unwrap();
    assert_eq!(connected(&news(&mut queues)), [(1, "CA11".to_owned()), (11, "CA1".to_owned())]);
    // A deleted queue is reported to those that have dialled it.
    queues.leave(start, CallKey(1));
    news(&mut queues);
    assert_eq!(queues.delete("QU1"), Ok(()));
    assert_eq!(news(&mut queues), [Some((12, QueueNews::Deleted))]);
    assert!(queues.is_empty() && queues.calls().next().is_none());
}

#[test]
fn a_caller_whose_party_is_gone_before_the_connection_keeps_its_place() {
    let start = Instant::now();
    let mut queues = queued(start, 2);
    queues.dial(at(start, 9), SUPPORT, prelude(), entering(11)).unwrap();
    assert_eq!(news(&mut queues), [Some((1, QueueNews::Taken(prelude().unwrap())))]);
    let standing = queues.standing(at(start, 9), CallKey(1)).unwrap();
    assert_eq!((standing.position, standing.by.as_deref(), standing.size), (None, Some("CA11"), 1));
    assert_eq!(queues.delete("QU1"), Err(QueueRefusal::NotEmpty));
    queues.leave(at(start, 10), CallKey(11));
    assert_eq!(news(&mut queues), [Some((1, QueueNews::WaitsAgain))]);
    assert_eq!(queues.standing(at(start, 11), CallKey(1)).unwrap().position, Some(1));
    assert_eq!(queues.standing(at(start, 11), CallKey(1)).unwrap().waited, Duration::from_secs(10));
    // The other way round: the party gets the next caller.
    queues.dial(at(start, 12), SUPPORT, prelude(), entering(12)).unwrap();
    news(&mut queues);
    queues.leave(at(start, 13), CallKey(1));
    let again = [Some((12, QueueNews::DialsAgain)), Some((2, QueueNews::Taken(prelude().unwrap())))];
    assert_eq!(news(&mut queues), again);
    queues.ready(CallKey(2));
    queues.ready(CallKey(2));
    assert_eq!(connected(&news(&mut queues)), [(2, "CA12".to_owned()), (12, "CA2".to_owned())]);
}

#[test]
fn a_full_queue_takes_none_in() {
    let start = Instant::now();
    let mut queues = Queues::default();
    queues.enqueue(start, ("a", Some(2)), || "QU1".to_owned(), entering(1)).unwrap();
    assert_eq!(queues.enqueue(start, ("a", Some(1)), String::new, entering(2)), Err(QueueRefusal::Full));
    queues.enqueue(start, ("a", Some(99)), String::new, entering(2)).unwrap();
    assert_eq!(queues.enqueue(start, ("a", None), String::new, entering(3)), Err(QueueRefusal::Full));
    assert_eq!(queues.enqueue(start, ("b", None), String::new, entering(1)), Err(QueueRefusal::AlreadyIn));
    queues.change("QU1", (None, Some(3)), SystemTime::UNIX_EPOCH).unwrap();
    queues.enqueue(start, ("a", None), String::new, entering(3)).unwrap();
    // One that shrinks keeps its callers.
    queues.change("QU1", (Some("c"), Some(1)), SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(queues.report(start, "QU1").unwrap().members.len(), 3);
    assert_eq!(queues.enqueue(start, ("c", None), String::new, entering(4)), Err(QueueRefusal::Full));
}

#[test]
fn names_are_bounded_and_each_is_of_one_queue() {
    let start = Instant::now();
    let mut queues = queued(start, 0);
    for name in ["", " ", "a\u{7}", &"é".repeat(65)] {
        let entered = queues.enqueue(start, (name, None), String::new, entering(1));
        assert_eq!(entered, Err(QueueRefusal::BadName), "{name:?}");
    }
    let made = |queues: &mut Queues, name: &str, sid: &str| {
        queues.create(start, (name, Some(9)), sid.to_owned(), SystemTime::UNIX_EPOCH)
    };
    assert_eq!(made(&mut queues, &"é".repeat(64), "QU1"), Ok(()));
    assert_eq!(made(&mut queues, "b", "QU2"), Ok(()));
    assert_eq!(made(&mut queues, " b ", "QU3"), Err(QueueRefusal::NameTaken));
    let taken = queues.change("QU1", (Some("b"), None), SystemTime::UNIX_EPOCH);
    assert_eq!(taken, Err(QueueRefusal::NameTaken));
    assert_eq!(queues.change("QU2", (Some("b"), None), SystemTime::UNIX_EPOCH), Ok(()));
    assert_eq!(queues.delete("QU9"), Err(QueueRefusal::Unknown));
}

#[test]
fn a_new_queue_takes_the_place_of_an_unused_one_that_a_document_has_made() {
    let start = Instant::now();
    let mut queues = Queues::default();
    for number in 0..QUEUES {
        let sid = format!("QU{number}");
        let name = number.to_string();
        if number == 1 {
            queues.create(start, (&name, None), sid, SystemTime::UNIX_EPOCH).unwrap();
        } else {
            let key = u64::try_from(number).unwrap();
            queues.enqueue(at(start, key), (&name, None), || sid, entering(key)).unwrap();
        }
    }
    let another = |queues: &mut Queues| queues.enqueue(start, ("another", None), || "QUx".to_owned(), entering(9_999));
    assert_eq!(another(&mut queues), Err(QueueRefusal::TooMany));
    queues.leave(at(start, 9_001), CallKey(7));
    queues.leave(at(start, 9_000), CallKey(5));
    assert_eq!(another(&mut queues), Ok(()));
    assert_eq!((queues.len(), queues.report(start, "QU5")), (QUEUES, None));
    assert!(queues.report(start, "QU1").is_some() && queues.report(start, "QU7").is_some());
}

#[test]
fn a_call_without_a_place_at_the_mixers_parts_both() {
    let start = Instant::now();
    let mut queues = queued(start, 1);
    queues.dial(start, SUPPORT, None, entering(11)).unwrap();
    let seat = news(&mut queues).into_iter().flatten().find_map(|(key, news)| match news {
        QueueNews::Connected { seat, .. } if key == 11 => Some(seat),
        _ => None,
    });
    queues.take(start, NodeEvent::Refused(SeatId(3)));
    assert_eq!(news(&mut queues), []);
    queues.take(start, NodeEvent::Refused(seat.unwrap()));
    let parted = [None, None, Some((11, QueueNews::Parted)), Some((1, QueueNews::Parted))];
    assert_eq!(news(&mut queues), parted);
    assert!(queues.calls().next().is_none());
}

#[test]
fn calls_that_were_connected_before_a_restart_are_again() {
    let start = Instant::now();
    let mut before = queued(start, 0);
    before.create(start, (SUPPORT, Some(7)), "QU1".to_owned(), SystemTime::UNIX_EPOCH).unwrap();
    let mut queues = Queues::default();
    queues.restore(start, before.kept());
    let back = |key, seconds, with: Option<&str>| Entering {
        waited: Duration::from_secs(seconds),
        with: with.map(str::to_owned),
        ..entering(key)
    };
    queues.enqueue(start, (SUPPORT, None), String::new, back(2, 20, None)).unwrap();
    queues.enqueue(start, (SUPPORT, None), String::new, back(3, 30, Some("CA12"))).unwrap();
    queues.enqueue(start, (SUPPORT, None), String::new, back(4, 40, Some("CA13"))).unwrap();
    queues.enqueue(start, (SUPPORT, None), String::new, back(1, 25, None)).unwrap();
    queues.dial(start, SUPPORT, prelude(), back(12, 0, Some("CA3"))).unwrap();
    // Without the document that it has heard before.
    assert_eq!(connected(&news(&mut queues)), [(3, "CA12".to_owned()), (12, "CA3".to_owned())]);
    queues.dial(start, SUPPORT, None, entering(14)).unwrap();
    assert_eq!(connected(&news(&mut queues)), [(1, "CA14".to_owned()), (14, "CA1".to_owned())]);
    // One whose party has not come back is as others after a time.
    assert_eq!(queues.poll_timeout(), Some(start + QUEUE_REJOIN));
    queues.handle_timeout(start + QUEUE_REJOIN);
    assert_eq!(queues.poll_timeout(), None);
    queues.dial(start, SUPPORT, None, entering(15)).unwrap();
    assert_eq!(connected(&news(&mut queues)), [(4, "CA15".to_owned()), (15, "CA4".to_owned())]);
    assert_eq!(queues.report(start, "QU1").unwrap().kept.most, 7);
}

proptest! {
    /// Callers are taken in the order in which they came, each is in one place at most, and the sizes are true.
    #[test]
    fn the_order_is_that_of_arrival(steps in proptest::collection::vec((0_u8..5, 0_u64..12), 1..120)) {
        let start = Instant::now();
        let mut queues = Queues::default();
        queues.create(start, (SUPPORT, Some(6)), "QU1".to_owned(), SystemTime::UNIX_EPOCH).unwrap();
        let mut line: Vec<u64> = Vec::new();
        let mut taken: BTreeSet<u64> = BTreeSet::new();
        for (moment, (what, key)) in steps.into_iter().enumerate() {
            let now = at(start, u64::try_from(moment).unwrap());
            match what {
                0 | 1 => {
                    let entered = queues.enqueue(now, (SUPPORT, None), String::new, entering(key));
                    if entered.is_ok() {
                        prop_assert!(!line.contains(&key));
                        line.push(key);
                    } else {
                        prop_assert!(line.len() >= 6 || line.contains(&key) || taken.contains(&key));
                    }
                }
                2 => {
                    let party = 100 + key;
                    let prelude = prelude().filter(|_| key % 2 == 0);
                    let _ = queues.dial(now, SUPPORT, prelude, entering(party));
                }
                3 => queues.leave(now, CallKey(key)),
                _ => queues.leave(now, CallKey(100 + key)),
            }
            if what == 3 {
                line.retain(|one| *one != key);
                taken.remove(&key);
            }
            while let Some(due) = queues.poll() {
                let QueueDue::Call(key, news) = due else { continue };
                match news {
                    QueueNews::Taken(_) | QueueNews::Connected { .. } if key.0 < 100 => {
                        prop_assert!(line.first() == Some(&key.0), "{} is taken before {line:?}", key.0);
                        line.remove(0);
                        taken.insert(key.0);
                    }
                    QueueNews::WaitsAgain => {
                        taken.remove(&key.0);
                        line.push(key.0);
                        let since = |key: &u64| queues.standing(now, CallKey(*key)).map(|standing| standing.position);
                        line.sort_by_key(since);
                    }
                    QueueNews::Parted if key.0 < 100 => {
                        taken.remove(&key.0);
                    }
                    _ => {}
                }
            }
            let report = queues.report(now, "QU1").unwrap();
            let members: Vec<String> = report.members.iter().map(|member| member.call_sid.clone()).collect();
            let expected: Vec<String> = line.iter().map(|key| format!("CA{key}")).collect();
            prop_assert_eq!(members, expected);
            prop_assert!(report.members.windows(2).all(|two| two[0].waited >= two[1].waited));
            prop_assert!(line.is_empty() || report.diallers == 0, "a caller and a party wait for each other");
        }
    }
}
