//! Messages of mailboxes indicated to phones and extensions (RFC 3842, RFC 6665).

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::credentials::{credentials, shown_registering};
use crate::bench::*;
use trunkgate_call::{GatewayInput, MailboxMessages, MessageCount};
use trunkgate_route::{Mailbox, MwiParty, RoutingTable, Trunk};

const EVENT: &str = "Event: message-summary\r\n";
const PHONE: &str = "203.0.113.77:40001";
const MINUTE: Duration = Duration::from_secs(60);

/// Returns a mailbox indicated to these parties: `pbx`, or `pbx/100`.
fn mailbox(name: &str, parties: &[&str]) -> Mailbox {
    let party = |text: &&str| {
        let (trunk, user) = text.split_once('/').map_or((*text, None), |(trunk, user)| (trunk, Some(user.to_owned())));
        MwiParty { trunk: trunk.into(), user }
    };
    Mailbox { mwi: parties.iter().map(party).collect(), ..Mailbox::new(name) }
}

fn with(mailboxes: Vec<Mailbox>) -> Arc<RoutingTable> {
    let phones = Trunk { accept_register: true, require_auth: Some(credentials("right")), ..Trunk::named("phones") };
    let trunks = [usual_trunks(), vec![phones]].concat();
    let table = Arc::unwrap_or_clone(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    Arc::new(table.with_mailboxes(mailboxes))
}

fn left(bench: &mut Bench, mailbox: &str, new: u64, old: u64) {
    let count = MessageCount { new, old };
    bench.input(GatewayInput::Messages(vec![MailboxMessages { name: mailbox.into(), count, bytes: 0 }]));
}

/// Returns an edge with known messages.
fn edge(mailboxes: Vec<Mailbox>) -> Bench {
    let mut bench = Bench::with(table(usual_trunks(), vec![]));
    bench.input(GatewayInput::Messages(Vec::new()));
    bench.configure(|settings| settings.table = with(mailboxes));
    bench
}

fn subscriber(peer: &str, user: &str, call: u32) -> Dialing {
    Dialing { peer: peer.into(), number: user.into(), call, cseq: 1, to_tag: String::new() }
}

/// Returns an accepted subscriber, and the NOTIFY that followed.
fn subscribed(bench: &mut Bench, user: &str, lines: &str) -> (Dialing, Sent) {
    let mut subscriber = subscriber(PBX, user, 900);
    bench.receive(PBX, subscriber.request("SUBSCRIBE", "", lines));
    let ok = bench.expect(PBX, "SIP/2.0 200");
    subscriber.to_tag = ok.tag("To");
    let notify = bench.expect(PBX, "NOTIFY");
    assert_eq!(notify.tag("From"), subscriber.to_tag);
    (subscriber, notify)
}

fn summary(notify: &Sent) -> (&str, &str) {
    let waiting = notify.body().lines().find_map(|line| line.strip_prefix("Messages-Waiting: ")).unwrap();
    (waiting, notify.body().lines().find_map(|line| line.strip_prefix("Voice-Message: ")).unwrap())
}

/// Checks the next NOTIFY, and answers it.
fn shown(bench: &mut Bench, subscriber: &Dialing, waiting: &str, count: &str) -> Sent {
    let notify = bench.expect(PBX, "NOTIFY");
    assert_eq!(summary(&notify), (waiting, count));
    bench.receive(PBX, subscriber.respond(&notify, 200, ""));
    notify
}

/// Answers a NOTIFY outside of any dialog.
fn answer(bench: &mut Bench, notify: &Sent, code: u16) {
    let at = notify.to.to_string();
    let text = subscriber(&at, "x", 1).respond(notify, code, "");
    bench.receive(&at, text);
}

#[test]
fn a_subscriber_is_notified_at_once_of_each_change_and_of_its_end() {
    let mut bench = edge(vec![mailbox("front", &["pbx"])]);
    left(&mut bench, "front", 0, 2);
    let (mut phone, notify) = subscribed(&mut bench, "front", &format!("{EVENT}Expires: 600\r\n"));
    for (name, value) in [
        ("Event", "message-summary"),
        ("Subscription-State", "active;expires=600"),
        ("Content-Type", "application/simple-message-summary"),
    ] {
        assert_eq!(notify.header(name), value);
    }
    assert_eq!(notify.body(), "Messages-Waiting: no\r\nVoice-Message: 0/2 (0/0)\r\n");
    assert_eq!(notify.first_line(), format!("NOTIFY sip:alice@{PBX} SIP/2.0"));
    bench.receive(PBX, phone.respond(&notify, 200, ""));
    left(&mut bench, "front", 0, 2);
    left(&mut bench, "back", 5, 0);
    bench.nothing();
    left(&mut bench, "front", 1, 2);
    shown(&mut bench, &phone, "yes", "1/2 (0/0)");
    left(&mut bench, "front", 0, 3);
    shown(&mut bench, &phone, "no", "0/3 (0/0)");
    assert_eq!(bench.gateway.metrics().sip.subscriptions_active, 1);
    // A refresh, which is followed by the current state.
    bench.pass(5 * MINUTE);
    phone.cseq += 1;
    bench.receive(PBX, phone.request("SUBSCRIBE", "", &format!("{EVENT}Expires: 3600\r\n")));
    assert_eq!(bench.expect(PBX, "SIP/2.0 200").header("Expires"), "3600");
    let notify = shown(&mut bench, &phone, "no", "0/3 (0/0)");
    assert_eq!(notify.header("Subscription-State"), "active;expires=3600");
    bench.pass(59 * MINUTE);
    bench.nothing();
    bench.pass(MINUTE);
    let notify = shown(&mut bench, &phone, "no", "0/3 (0/0)");
    assert_eq!(notify.header("Subscription-State"), "terminated;reason=timeout");
    left(&mut bench, "front", 1, 3);
    bench.nothing();
    phone.cseq += 1;
    bench.receive(PBX, phone.request("SUBSCRIBE", "", EVENT));
    bench.expect(PBX, "SIP/2.0 481");
    bench.finish();
    assert_eq!(bench.gateway.metrics().sip.subscriptions_active, 0);
}

#[test]
fn a_subscription_goes_on_over_a_hand_over_in_its_dialog() {
    let mailboxes = || vec![mailbox("front", &["pbx"])];
    let mut bench = edge(mailboxes());
    let (mut phone, notify) = subscribed(&mut bench, "front", &format!("{EVENT}Expires: 600\r\n"));
    bench.receive(PBX, phone.respond(&notify, 200, ""));
    bench.pass(MINUTE);
    bench.restart(with(mailboxes()));
    assert_eq!(bench.gateway.metrics().sip.subscriptions_active, 1);
    left(&mut bench, "front", 1, 0);
    let notify = shown(&mut bench, &phone, "yes", "1/0 (0/0)");
    assert_eq!(notify.header("Subscription-State"), "active;expires=540");
    assert_eq!((notify.tag("From"), notify.header("CSeq")), (phone.to_tag.clone(), "2 NOTIFY"));
    phone.cseq += 1;
    bench.receive(PBX, phone.request("SUBSCRIBE", "", &format!("{EVENT}Expires: 600\r\n")));
    bench.expect(PBX, "SIP/2.0 200");
    shown(&mut bench, &phone, "yes", "1/0 (0/0)");
    bench.restart(with(Vec::new()));
    assert_eq!(bench.gateway.metrics().sip.subscriptions_active, 0);
    phone.cseq += 1;
    bench.receive(PBX, phone.request("SUBSCRIBE", "", EVENT));
    bench.expect(PBX, "SIP/2.0 481");
}

#[test]
fn expires_0_ends_a_subscription_or_asks_for_the_counts_once() {
    let mut bench = edge(vec![mailbox("front", &["pbx"])]);
    left(&mut bench, "front", 1, 0);
    let (phone, notify) = subscribed(&mut bench, "front", &format!("{EVENT}Expires: 0\r\n"));
    assert_eq!(notify.header("Subscription-State"), "terminated;reason=timeout");
    assert_eq!(summary(&notify), ("yes", "1/0 (0/0)"));
    bench.receive(PBX, phone.respond(&notify, 200, ""));
    bench.finish();
    let (mut phone, notify) = subscribed(&mut bench, "front", EVENT);
    assert_eq!(notify.header("Subscription-State"), "active;expires=3600", "the default of RFC 3842 §3.4");
    bench.receive(PBX, phone.respond(&notify, 200, ""));
    phone.cseq += 1;
    bench.receive(PBX, phone.request("SUBSCRIBE", "", &format!("{EVENT}Expires: 0\r\n")));
    bench.expect(PBX, "SIP/2.0 200");
    let notify = shown(&mut bench, &phone, "yes", "1/0 (0/0)");
    assert_eq!(notify.header("Subscription-State"), "terminated;reason=timeout");
    bench.finish();
}

#[test]
fn a_change_during_a_notify_follows_it_once() {
    let mut bench = edge(vec![mailbox("front", &["pbx"])]);
    let (phone, first) = subscribed(&mut bench, "front", &format!("{EVENT}Expires: 600\r\n"));
    for new in 1..=5 {
        left(&mut bench, "front", new, 0);
    }
    bench.nothing();
    bench.receive(PBX, phone.respond(&first, 200, ""));
    shown(&mut bench, &phone, "yes", "5/0 (0/0)");
    bench.nothing();
}

#[test]
fn a_subscriber_that_does_not_take_it_has_no_subscription() {
    for code in [481, 404, 500] {
        let mut bench = edge(vec![mailbox("front", &["pbx"])]);
        let (mut phone, notify) = subscribed(&mut bench, "front", EVENT);
        bench.receive(PBX, phone.respond(&notify, code, ""));
        assert_eq!(bench.gateway.metrics().sip.subscriptions_active, 0, "{code}");
        let trunks = bench.gateway.status(bench.now).trunks;
        let problem = trunks.iter().find(|trunk| trunk.name == "pbx").unwrap().last_problem.clone().unwrap();
        assert_eq!(problem, format!("its subscription to voicemail front ended: {code} to NOTIFY"));
        assert!(bench.logs.iter().any(|line| line.contains(&problem)), "{:?}", bench.logs);
        left(&mut bench, "front", 1, 0);
        bench.nothing();
        phone.cseq += 1;
        bench.receive(PBX, phone.request("SUBSCRIBE", "", EVENT));
        bench.expect(PBX, "SIP/2.0 481");
        bench.finish();
    }
    let mut bench = edge(vec![mailbox("front", &["pbx"])]);
    subscribed(&mut bench, "front", EVENT);
    bench.pass(MINUTE);
    assert_eq!(bench.gateway.metrics().sip.subscriptions_active, 0, "it does not answer");
}

#[test]
fn what_is_wrong_with_a_subscribe_is_answered() {
    let mut bench = edge(vec![mailbox("front", &["pbx"])]);
    for (at, (user, lines, code, header, value)) in [
        ("front", "", 489, "Allow-Events", "message-summary"),
        ("front", "Event: presence\r\n", 489, "Allow-Events", "message-summary"),
        ("front", "Event: message-summary\r\nEvent: message-summary\r\n", 489, "Allow-Events", "message-summary"),
        ("front", "Event: message-summary;id=\"a b\"\r\n", 400, "CSeq", "1 SUBSCRIBE"),
        (
            "front",
            "Event: message-summary\r\nAccept: text/plain\r\n",
            406,
            "Accept",
            "application/simple-message-summary",
        ),
        ("front", "Event: message-summary\r\nAccept: \r\n", 406, "Accept", "application/simple-message-summary"),
        ("front", "Event: message-summary\r\nExpires: 59\r\n", 423, "Min-Expires", "60"),
        ("back", "Event: message-summary\r\n", 404, "CSeq", "1 SUBSCRIBE"),
        ("front", "Event: message-summary\r\nRequire: eventlist\r\n", 420, "Unsupported", "eventlist"),
    ]
    .into_iter()
    .enumerate()
    {
        let at = u32::try_from(at).unwrap();
        bench.receive(PBX, subscriber(PBX, user, 700 + at).request("SUBSCRIBE", "", lines));
        let refused = bench.expect(PBX, &format!("SIP/2.0 {code}"));
        assert_eq!(refused.header(header), value, "{lines}");
        bench.nothing();
    }
    // A carrier that no mailbox names may not subscribe, and an unknown source gets no response.
    bench.receive(CARRIER, subscriber(CARRIER, "front", 1).request("SUBSCRIBE", "", EVENT));
    bench.expect(CARRIER, "SIP/2.0 405");
    bench.receive("192.0.2.66:5060", subscriber("192.0.2.66:5060", "front", 2).request("SUBSCRIBE", "", EVENT));
    bench.nothing();
    assert_eq!(bench.gateway.metrics().sip.subscriptions_active, 0);
    bench.finish();
    for expires in ["99999999999", "soon", "-1", "7200"] {
        let lines = format!("Event: message-summary;id=7\r\nExpires: {expires}\r\nAccept: application/*\r\n");
        let (_, notify) = subscribed(&mut bench, "front", &lines);
        assert_eq!(notify.header("Subscription-State"), "active;expires=3600", "{expires}");
        assert_eq!(notify.header("Event"), "message-summary;id=7");
        let bye = Dialing { cseq: 3, to_tag: notify.tag("From"), ..subscriber(PBX, "front", 900) };
        bench.receive(PBX, bye.request("BYE", "", ""));
        bench.expect(PBX, "SIP/2.0 200");
        bench.pass(MINUTE);
        bench.sent.clear();
    }
    bench.finish();
}

#[test]
fn subscriptions_of_a_trunk_are_bounded_and_calls_go_on() {
    let mut bench = edge(vec![mailbox("front", &["pbx"])]);
    let (mut taken, mut refused) = (0, 0);
    for call in 0..10_000 {
        bench.receive(PBX, subscriber(PBX, "front", 10_000 + call).request("SUBSCRIBE", "", EVENT));
        let answer = bench.next(PBX);
        match answer.code() {
            200 => {
                taken += 1;
                let notify = bench.expect(PBX, "NOTIFY");
                bench.receive(PBX, subscriber(PBX, "front", 10_000 + call).respond(&notify, 200, ""));
            }
            503 => {
                refused += 1;
                assert_eq!(answer.header("Retry-After"), "300");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((taken, refused), (1_000, 9_000));
    assert_eq!(bench.gateway.metrics().sip.subscriptions_active, 1_000);
    assert_eq!(bench.gateway.metrics().sip.dropped["subscriptions_full"], 9_000);
    left(&mut bench, "front", 1, 0);
    let notified = |bench: &Bench| bench.sent.iter().filter(|sent| sent.first_line().starts_with("NOTIFY")).count();
    assert_eq!(notified(&bench), 50, "a burst");
    for _ in 0..19 {
        bench.pass(Duration::from_millis(100));
    }
    let calls: std::collections::BTreeSet<String> = std::mem::take(&mut bench.sent)
        .into_iter()
        .filter(|sent| sent.first_line().starts_with("NOTIFY"))
        .map(|sent| sent.header("Call-ID").to_owned())
        .collect();
    assert_eq!(calls.len(), 1_000, "all, within two seconds");
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(PBX, "INVITE");
}

#[test]
fn extensions_get_unsolicited_notify() {
    let mut bench = edge(vec![mailbox("front", &["pbx/100"]), mailbox("sales", &["pbx/100", "pbx/200"])]);
    let both = [bench.expect(PBX, "NOTIFY"), bench.expect(PBX, "NOTIFY")];
    for (notify, user) in both.iter().zip(["100", "200"]) {
        assert_eq!(notify.first_line(), format!("NOTIFY sip:{user}@{PBX} SIP/2.0"));
        assert_eq!((notify.header("Event"), notify.header("Subscription-State")), ("message-summary", "active"));
        answer(&mut bench, notify, 200);
    }
    let account = |notify: &Sent| notify.body().lines().nth(1).unwrap().to_owned();
    assert_eq!(account(&both[0]), format!("Message-Account: sip:100@{LOCAL}"), "two mailboxes");
    assert_eq!(account(&both[1]), format!("Message-Account: sip:sales@{LOCAL}"));
    left(&mut bench, "front", 1, 0);
    let notify = bench.expect(PBX, "NOTIFY sip:100@");
    assert_eq!(summary(&notify), ("yes", "1/0 (0/0)"));
    // Another message meanwhile: sent together with the first one, after the response.
    left(&mut bench, "sales", 2, 1);
    let other = bench.expect(PBX, "NOTIFY sip:200@");
    answer(&mut bench, &other, 200);
    bench.nothing();
    answer(&mut bench, &notify, 200);
    let notify = bench.expect(PBX, "NOTIFY sip:100@");
    assert_eq!(summary(&notify), ("yes", "3/1 (0/0)"));
    answer(&mut bench, &notify, 200);
    // A subscribed extension is notified in its dialog only.
    let (phone, notify) = subscribed(&mut bench, "100", EVENT);
    assert_eq!(summary(&notify), ("yes", "3/1 (0/0)"));
    bench.receive(PBX, phone.respond(&notify, 200, ""));
    left(&mut bench, "front", 0, 1);
    shown(&mut bench, &phone, "yes", "2/2 (0/0)");
    bench.nothing();
}

#[test]
fn an_extension_is_notified_at_the_next_peer_and_later_again() {
    let mut bench = edge(vec![]);
    bench.configure(|settings| {
        let two = Trunk { ..trunk("pbx", &[PBX, PBX2]) };
        let all = table(vec![trunk("carrier", &[CARRIER]), two], vec![]);
        settings.table = Arc::new(Arc::unwrap_or_clone(all).with_mailboxes(vec![mailbox("front", &["pbx/100"])]));
    });
    let first = bench.sent.pop_front().unwrap();
    answer(&mut bench, &first, 503);
    let second = bench.sent.pop_front().unwrap();
    assert_ne!(first.to, second.to);
    answer(&mut bench, &second, 408);
    bench.nothing();
    assert!(bench.logs.iter().any(|line| line.contains("NOTIFY of waiting messages")), "{:?}", bench.logs);
    bench.pass(MINUTE);
    let third = bench.sent.pop_front().unwrap();
    answer(&mut bench, &third, 200);
    bench.pass(50 * MINUTE);
    bench.nothing();
    bench.pass(9 * MINUTE);
    let again = bench.sent.pop_front().unwrap();
    assert!(again.first_line().starts_with("NOTIFY"), "an hour later once more: {}", again.text);
    // A refusal is final, until the state changes.
    answer(&mut bench, &again, 489);
    bench.pass(30 * MINUTE);
    bench.nothing();
    left(&mut bench, "front", 1, 0);
    assert!(bench.sent.pop_front().unwrap().first_line().starts_with("NOTIFY"));
}

#[test]
fn a_phone_is_notified_when_it_registers_and_subscribes_by_its_own_name() {
    let mut bench = edge(vec![mailbox("front", &["phones/acme"]), mailbox("back", &["phones"])]);
    left(&mut bench, "front", 1, 0);
    left(&mut bench, "back", 0, 4);
    bench.nothing();
    let register = |cseq: u32, lines: &str| {
        let phone = Dialing { cseq, ..subscriber(PHONE, "acme", 7) };
        let text = phone.request("REGISTER", "", &format!("{lines}Expires: 600\r\n"));
        text.replace(&format!("Contact: <sip:alice@{PHONE}>"), "Contact: <sip:acme@192.168.1.5:5060>")
    };
    bench.receive(PHONE, register(1, ""));
    let challenge = bench.expect(PHONE, "SIP/2.0 401");
    let shown = shown_registering("right", &challenge);
    bench.receive(PHONE, register(2, &shown));
    bench.expect(PHONE, "SIP/2.0 200");
    let notify = bench.expect(PHONE, "NOTIFY");
    assert_eq!(notify.first_line(), "NOTIFY sip:acme@192.168.1.5:5060 SIP/2.0");
    assert_eq!(summary(&notify), ("yes", "1/0 (0/0)"));
    answer(&mut bench, &notify, 200);
    bench.pass(MINUTE);
    bench.receive(PHONE, register(3, &shown));
    bench.sent.retain(|sent| sent.first_line().starts_with("NOTIFY"));
    bench.nothing();
    left(&mut bench, "front", 0, 1);
    let notify = bench.expect(PHONE, "NOTIFY");
    assert_eq!(summary(&notify), ("no", "0/1 (0/0)"));
    answer(&mut bench, &notify, 200);
    // A SUBSCRIBE of the phone needs credentials, like its calls.
    bench.receive(PHONE, subscriber(PHONE, "acme", 8).request("SUBSCRIBE", "", EVENT));
    bench.expect(PHONE, "SIP/2.0 401");
    bench.nothing();
}

#[test]
fn a_reload_ends_what_no_mailbox_has_and_begins_what_is_new() {
    let mut bench = edge(vec![mailbox("front", &["pbx"])]);
    left(&mut bench, "front", 1, 0);
    let (phone, notify) = subscribed(&mut bench, "front", EVENT);
    bench.receive(PBX, phone.respond(&notify, 200, ""));
    bench.configure(|settings| settings.table = with(vec![mailbox("front", &["pbx", "pbx/9"])]));
    bench.nothing();
    bench.configure(|settings| settings.table = with(vec![mailbox("front", &["carrier/7"])]));
    let unasked = bench.expect(CARRIER, "NOTIFY sip:7@");
    assert_eq!(summary(&unasked), ("yes", "1/0 (0/0)"));
    let notify = shown(&mut bench, &phone, "no", "0/0 (0/0)");
    assert_eq!(notify.header("Subscription-State"), "terminated;reason=noresource");
    answer(&mut bench, &unasked, 200);
    bench.configure(|settings| settings.table = with(vec![]));
    left(&mut bench, "front", 0, 0);
    bench.nothing();
}

#[test]
fn nothing_is_said_before_the_messages_are_known() {
    let mut bench = Bench::with(table(usual_trunks(), vec![]));
    bench.configure(|settings| settings.table = with(vec![mailbox("front", &["pbx/100"])]));
    bench.nothing();
    bench.receive(PBX, subscriber(PBX, "front", 3).request("SUBSCRIBE", "", EVENT));
    bench.expect(PBX, "SIP/2.0 200");
    bench.nothing();
    left(&mut bench, "front", 2, 0);
    assert_eq!(summary(&bench.expect(PBX, "NOTIFY sip:alice@")), ("yes", "2/0 (0/0)"));
    bench.nothing();
}
