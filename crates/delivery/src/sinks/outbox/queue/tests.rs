//! Tests of the order and times of rows: a table of cases, and arbitrary sequences of events.

use std::time::Duration;

use trunkgate_system::backoff::Backoff;
use trunkgate_system::limits::{OUTBOX_BYTES, OUTBOX_WAITING};

use super::*;

const GIVE_UP: Duration = Duration::from_secs(86_400);
const PAUSE_MOST: Duration = Duration::from_secs(300);
const PACE: Pace = Pace {
    at_once: 256,
    of_host: 96,
    of_unknown: 8,
    of_failing: 2,
    pauses: Backoff::new(Duration::from_secs(1), PAUSE_MOST),
    give_up: GIVE_UP,
    rows: OUTBOX_WAITING,
    bytes: OUTBOX_BYTES,
};

fn refusal(is_heard: bool, is_final: bool) -> Refusal {
    Refusal { is_heard, is_final, ..Refusal::here(String::new()) }
}

fn now() -> Instant {
    Instant::now()
}

fn coming(now: Instant, line: &str, host: &str) -> Coming {
    let head = Head {
        key: format!("{line} {host}"),
        line: line.to_owned(),
        host: host.to_owned(),
        place: format!("http://{host}/"),
        share: "ivr".to_owned(),
        created: 0,
        due: 0,
        attempts: 0,
        bytes: 1000,
    };
    Coming { head, expires: now + GIVE_UP, rests: None, whole: None }
}

fn with(mut coming: Coming, change: impl FnOnce(&mut Head)) -> Coming {
    change(&mut coming.head);
    coming
}

fn of_bytes(bytes: usize, coming: Coming) -> Coming {
    with(coming, |head| head.bytes = bytes)
}

fn add(queue: &mut Queue, coming: Coming) -> Id {
    queue.add(coming).id.unwrap()
}

fn all(queue: &mut Queue, now: Instant) -> Vec<Id> {
    std::iter::from_fn(|| queue.next(now)).collect()
}

#[test]
fn a_line_is_in_order_and_holds_up_no_other() {
    let (mut queue, now) = (Queue::new(PACE), now());
    let [a, b, c] = ["CA1", "CA1", "CA2"].map(|line| add(&mut queue, coming(now, line, "h:1")));
    assert_eq!(all(&mut queue, now), [a, c], "the second of a line waits for the first");
    assert_eq!(queue.failed(now, a, &refusal(true, false), u32::MAX), Fate::Rests);
    queue.delivered(c).unwrap();
    assert!(queue.next(now).is_none());
    let later = queue.poll_timeout().unwrap();
    assert_eq!(later, now + Duration::from_secs(1));
    assert_eq!(all(&mut queue, later), [a]);
    assert_eq!(queue.delivered(a).unwrap().attempts, 2);
    assert_eq!(all(&mut queue, later), [b]);
    queue.delivered(b).unwrap();
    assert_eq!((queue.len(), queue.bytes), (0, 0));
    assert!(queue.hosts.is_empty() && queue.lines.is_empty() && queue.turns.is_empty() && queue.keys.is_empty());
}

#[test]
fn a_callback_is_given_up_after_24_hours_and_the_next_of_its_line_follows() {
    let (mut queue, began) = (Queue::new(PACE), now());
    let first = add(&mut queue, coming(began, "CA1", "h:1"));
    let mut later = coming(began, "CA1", "h:1");
    later.expires += Duration::from_secs(600);
    let second = add(&mut queue, later);
    let (mut at, mut attempts) = (began, 0);
    loop {
        assert_eq!(queue.next(at), Some(first));
        attempts += 1;
        if queue.failed(at, first, &refusal(false, false), u32::MAX) == Fate::GivenUp {
            break;
        }
        let next = queue.poll_timeout().unwrap();
        assert!(next > at && next - at <= PAUSE_MOST);
        at = next;
    }
    assert_eq!(at, began + GIVE_UP, "the last attempt is made when its time is over");
    assert!((290..310).contains(&attempts), "{attempts}");
    queue.remove(first).unwrap();
    assert_eq!(queue.next(at), Some(second));
    assert_eq!(queue.failed(at, second, &refusal(true, true), 0), Fate::GivenUp, "a URL that is none");
}

#[test]
fn a_dead_host_has_few_under_way_and_others_go_on() {
    let (mut queue, now) = (Queue::new(PACE), now());
    for n in 0..PACE.at_once {
        add(&mut queue, coming(now, &format!("CA{n}"), "dead:1"));
    }
    let dead = all(&mut queue, now);
    assert_eq!(dead.len(), PACE.of_unknown);
    let good = add(&mut queue, coming(now, "CB", "good:1"));
    assert_eq!(all(&mut queue, now), [good]);
    for id in &dead {
        queue.failed(now, *id, &refusal(false, false), u32::MAX);
    }
    let next = all(&mut queue, now);
    assert_eq!(next.len(), PACE.of_failing);
    assert_eq!(queue.resting.len(), dead.len());
    queue.delivered(next[0]).unwrap();
    assert_eq!(all(&mut queue, now).len(), PACE.of_host - 1, "it has answered");
}

#[test]
fn a_url_that_hangs_lets_others_of_its_host_have_their_turns() {
    let (mut queue, now) = (Queue::new(PACE), now());
    for n in 0..100 {
        add(&mut queue, coming(now, &format!("RE{n}"), "h:1"));
    }
    let hung = all(&mut queue, now);
    hung.iter().for_each(|id| _ = queue.failed(now, *id, &refusal(false, false), u32::MAX));
    let hung = all(&mut queue, now);
    assert_eq!(hung.len(), PACE.of_failing);
    let notify = with(coming(now, "RE", "h:1"), |head| head.share = "voicemail:desk".to_owned());
    let other = with(coming(now, "REok", "h:1"), |head| head.place = "http://h:1/ok".to_owned());
    let (notify, other) = (add(&mut queue, notify), add(&mut queue, other));
    queue.failed(now, hung[0], &refusal(false, false), u32::MAX);
    assert_eq!(all(&mut queue, now), [notify], "another application");
    queue.failed(now, hung[1], &refusal(false, false), u32::MAX);
    assert_eq!(all(&mut queue, now), [other], "another URL");
}

#[test]
fn a_host_that_answers_again_gets_what_rests_at_once() {
    let (mut queue, now) = (Queue::new(PACE), now());
    let ids = ["CA1", "CA2", "CA3"].map(|line| add(&mut queue, coming(now, line, "h:1")));
    assert_eq!(all(&mut queue, now), ids);
    queue.failed(now, ids[1], &refusal(true, false), 0);
    queue.failed(now, ids[0], &refusal(false, false), 0);
    queue.failed(now, ids[2], &refusal(false, false), 0);
    let other = add(&mut queue, coming(now, "CA4", "h:1"));
    assert_eq!(all(&mut queue, now), [other]);
    queue.delivered(other).unwrap();
    assert_eq!(all(&mut queue, now), [ids[0], ids[2]], "what was answered keeps its pause");
}

#[test]
fn no_receiver_takes_the_room_of_another() {
    let (mut queue, now) = (Queue::new(PACE), now());
    // Two ports of one host count as two hosts; a third one is on another machine.
    for n in 0..OUTBOX_WAITING {
        let host = ["dead:1", "dead:2", "gone:1"][n % 3];
        let waits = of_bytes(1, coming(now, &format!("CA{n}"), host));
        assert!(queue.add(waits).dropped.is_empty());
    }
    for id in all(&mut queue, now) {
        queue.failed(now, id, &refusal(false, false), u32::MAX);
    }
    let good = |n: usize| coming(now, &format!("CB{n}"), "good:1");
    let mut dropped = Vec::new();
    for n in 0..1000 {
        let added = queue.add(good(n));
        assert!(added.id.is_some(), "{n}");
        dropped.extend(added.dropped);
    }
    assert_eq!((queue.len(), dropped.len()), (OUTBOX_WAITING, 1000));
    assert!(dropped.iter().all(|one| one.host.starts_with("dead:")), "one host with any port");
    let newest = format!("CA{}", OUTBOX_WAITING - 1);
    assert_eq!(*dropped[0].line, *newest, "the newest goes, and what was tried first stays");
    assert!(queue.add(coming(now, "CA", "dead:1")).id.is_none(), "its own share is the greatest");
    assert!(queue.add(coming(now, "CA", "dead:3")).id.is_some(), "another port has fewer");
    assert!(all(&mut queue, now).iter().any(|id| &*queue.get(*id).unwrap().host == "good:1"));
    let ids: Vec<Id> = queue.rows.keys().copied().collect();
    ids.into_iter().for_each(|id| drop(queue.remove(id)));
    assert!(queue.shares.is_empty() && queue.resting.is_empty() && queue.hosts.is_empty() && queue.bytes == 0);
}

#[test]
fn an_application_with_many_hosts_takes_the_room_of_none_with_few() {
    let (mut queue, now) = (Queue::new(PACE), now());
    for n in 0..OUTBOX_WAITING {
        let waits = with(coming(now, "CA", &format!("{n}.example:1")), |head| {
            (head.bytes, head.share) = (1, "many".to_owned())
        });
        assert!(queue.add(waits).id.is_some());
    }
    for n in 0..10 {
        let added = queue.add(coming(now, &format!("CB{n}"), "good:1"));
        assert!(added.id.is_some() && &**added.dropped[0].share() == "many", "{n}");
    }
}

#[test]
fn what_makes_way_is_not_sent_and_its_line_goes_on() {
    let (mut queue, now) = (Queue::new(PACE), now());
    let ids = ["CA1", "CA1", "CA1", "CA2"].map(|line| add(&mut queue, coming(now, line, "h:1")));
    queue.remove(ids[2]).unwrap();
    queue.remove(ids[3]).unwrap();
    assert_eq!(all(&mut queue, now), [ids[0]]);
    queue.failed(now, ids[0], &refusal(false, false), u32::MAX);
    queue.remove(ids[0]).unwrap();
    assert_eq!((all(&mut queue, now), queue.poll_timeout()), (vec![ids[1]], None));
}

#[test]
fn bytes_and_memory_are_bounded() {
    let (mut queue, now) = (Queue::new(PACE), now());
    assert!(queue.add(of_bytes(OUTBOX_BYTES + 1, coming(now, "CA1", "a:1"))).id.is_none());
    add(&mut queue, of_bytes(OUTBOX_BYTES / 2, coming(now, "CA1", "a:1")));
    add(&mut queue, of_bytes(OUTBOX_BYTES / 2, coming(now, "CA2", "a:1")));
    let added = queue.add(coming(now, "CB1", "b:1"));
    assert!(added.id.is_some() && added.dropped.len() == 1);
    assert!(queue.bytes <= OUTBOX_BYTES);
}

#[test]
fn a_row_that_is_due_later_rests_until_then_or_until_it_is_hastened() {
    let (mut queue, now) = (Queue::new(PACE), now());
    let later = now + Duration::from_secs(300);
    let ids = ["RE1", "RE2"].map(|line| add(&mut queue, Coming { rests: Some(later), ..coming(now, line, "mail") }));
    assert_eq!((all(&mut queue, now), queue.poll_timeout()), (vec![], Some(later)));
    queue.hasten("RE2 mail", now);
    queue.hasten("RE1 mail", later + PAUSE_MOST);
    assert_eq!((all(&mut queue, now), queue.poll_timeout()), (vec![ids[1]], Some(later)));
    queue.failed(now, ids[1], &refusal(true, false), 0);
    let again = queue.poll_timeout().unwrap();
    queue.hasten("RE2 mail", now);
    assert_eq!((all(&mut queue, now), queue.poll_timeout()), (vec![], Some(again)), "a failure is not hastened");
    assert_eq!(all(&mut queue, later), [ids[1], ids[0]]);
}

#[test]
fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    let (mut queue, now) = (Queue::new(PACE), now());
    let id = add(&mut queue, coming(now, "CA1", "h:1"));
    assert_eq!(all(&mut queue, now), [id]);
    let later = Duration::from_secs(600);
    queue.failed(now, id, &Refusal { later, ..refusal(true, false) }, 0);
    assert_eq!(queue.poll_timeout(), Some(now + later));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// In any order of events, rows of a line are sent one at a time and in order, a host never exceeds its limit, each
    /// row is delivered or given up, and no state remains.
    #[test]
    fn every_row_ends_once_and_lines_stay_in_order(
        rows in proptest::collection::vec((0..6_u8, 0..3_u8), 1..60),
        results in proptest::collection::vec((0..4_u8, proptest::num::u32::ANY), 1..200),
    ) {
        let (mut queue, mut now) = (Queue::new(PACE), now());
        let mut expected: HashMap<String, VecDeque<Id>> = HashMap::new();
        for (number, (line, host)) in rows.iter().enumerate() {
            let row = coming(now, &format!("CA{line} {host}"), &format!("h{host}:1"));
            let line = row.head.line.clone();
            let row = Coming { expires: now + Duration::from_secs(1800), ..row };
            let id = add(&mut queue, with(row, |head| head.key = number.to_string()));
            expected.entry(line).or_default().push_back(id);
        }
        let (mut under_way, mut results, mut ended) = (Vec::new(), results.into_iter().cycle(), 0);
        while queue.len() > 0 {
            let began = all(&mut queue, now);
            for id in &began {
                let line = queue.get(*id).unwrap().line.to_string();
                proptest::prop_assert_eq!(expected[&line].front(), Some(id), "the first of its line");
            }
            under_way.extend(began);
            let hosts = |host: &str| under_way.iter().filter(|id| &*queue.get(**id).unwrap().host == host).count();
            proptest::prop_assert!(["h0:1", "h1:1", "h2:1"].iter().all(|host| hosts(host) <= PACE.of_host));
            let Some(id) = under_way.pop() else {
                now = queue.poll_timeout().unwrap();
                continue;
            };
            let (result, random) = results.next().unwrap();
            let line = queue.get(id).unwrap().line.to_string();
            let is_over = match result {
                0 => queue.delivered(id).is_some(),
                result => {
                    let refusal = refusal(result == 1, result == 3);
                    queue.failed(now, id, &refusal, random) == Fate::GivenUp && queue.remove(id).is_some()
                }
            };
            if is_over {
                proptest::prop_assert_eq!(expected.get_mut(&line).unwrap().pop_front(), Some(id));
                ended += 1;
            }
        }
        proptest::prop_assert_eq!(ended, rows.len());
        proptest::prop_assert!(under_way.is_empty() && queue.hosts.is_empty() && queue.lines.is_empty() && queue.keys.is_empty());
        proptest::prop_assert!(queue.turns.is_empty() && queue.resting.is_empty() && queue.shares.is_empty() && queue.bytes == 0);
    }
}
