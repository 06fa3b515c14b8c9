//! Text messages after missed calls, through the real binary, with a messaging account that fails in every way.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::support::sip::{Party, field, to_tag};
use crate::support::twilio::{ACCOUNT, Deed, TOKEN, Twilio};
use crate::support::{PUBLIC_URL, Process, config, finish, http, until, write};
use trunkgate_media::agent::sign_form;

const OURS: &str = "+14155551234";
const CALLED: &str = "+14155550123";
const BODY: &str = "We missed your call: 5 € + 1 & ~*_.-";

/// Edge that sends texts, between a caller's trunk and a trunk that rejects calls.
struct Rig {
    caller: Party,
    callee: Party,
    twilio: Twilio,
    edge: Process,
}

impl Rig {
    fn new(twilio: Twilio, rule: &str, more: &str) -> Rig {
        let [caller, callee] = [(); 2].map(|()| Party::new("127.0.0.1"));
        let edge = Process::start(&Rig::config(&caller, &callee, &twilio, rule, more));
        Rig { caller, callee, twilio, edge }
    }

    fn config(caller: &Party, callee: &Party, twilio: &Twilio, rule: &str, more: &str) -> String {
        let trunk = |name: &str, party: &Party| {
            format!("[trunk.{name}]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n", party.address)
        };
        let usual = "timeout = \"3s\"";
        config(&format!(
            "{PUBLIC_URL}[limits]\ncalls_per_second = 0\n{}{}{}{more}\n[[route]]\nfrom = [\"carrier\"]\n\
             connect = [\"trunk:pbx\"]\nsms_on_failure = {{ to = \"{{caller}}\", from = \"{OURS}\", {rule} }}\n",
            trunk("carrier", caller),
            trunk("pbx", callee),
            twilio.keys(usual),
        ))
    }

    fn udp(&self) -> SocketAddr {
        self.edge.address("udp")
    }

    /// Sends an INVITE from this calling number.
    fn dial(&self, id: &str, number: &str) {
        let invite = self.caller.request("INVITE", CALLED, self.udp(), id, 1, "");
        self.caller.send(self.udp(), &invite.replace("sip:+14155550100@", &format!("sip:{number}@")));
    }

    /// Makes a call that the callee rejects with this status; returns its SID.
    fn fails(&self, id: &str, number: &str, status: &str) -> String {
        self.dial(id, number);
        let (invite, from) = self.callee.receive("INVITE ");
        self.callee.send(from, &self.callee.answer(&invite, status, false));
        self.callee.receive("ACK ");
        self.refused(id, number);
        self.edge.sid()
    }

    /// Receives the final response at the caller and acknowledges it.
    fn refused(&self, id: &str, number: &str) {
        loop {
            let (text, from) = self.caller.receive("SIP/2.0 ");
            if text.starts_with("SIP/2.0 1") || field(&text, "Call-ID") != id {
                continue;
            }
            self.acknowledge(&text, from, number);
            return;
        }
    }

    fn acknowledge(&self, refusal: &str, to: SocketAddr, number: &str) {
        let id = field(refusal, "Call-ID");
        let ack = self.caller.request("ACK", CALLED, to, id, 1, to_tag(refusal));
        let ack = ack.replace(&format!("z9hG4bK{id}ACK1"), &format!("z9hG4bK{id}INVITE1"));
        self.caller.send(to, &ack.replace("sip:+14155550100@", &format!("sip:{number}@")));
    }

    fn trace_has(&self, sid: &str, words: &str) {
        until(&format!("the trace says {words}"), || {
            let trace = self.edge.json(&format!("/v1/calls/{sid}/trace")).to_string();
            trace.contains(words).then_some(())
        });
    }

    fn results(&self, result: &str) -> u64 {
        self.edge.metric(&format!("trunkgate_sms_total{{result=\"{result}\"}}")) as u64
    }

    /// Posts a message to the edge's number, signed with this token.
    fn inbound(&self, token: &str, from: &str, body: &str) -> (u16, String) {
        let form = [("From", from), ("To", OURS), ("Body", body), ("MessageSid", "SM1"), ("X", "ä€#")];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let signature = sign_form(token, "https://edge.example.com/sms/inbound", &form);
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", &signature)];
        http("POST", &format!("{}/sms/inbound", self.edge.url()), &headers, &text)
    }
}

fn body() -> String {
    format!("body = \"{BODY}\"")
}

/// The requests were recorded from `client.messages.create` and `client.messages.list` of the Python package twilio
/// 9.13.0.
#[test]
fn requests_are_those_of_twilio_python() {
    let created = "To=%2B14155550100&From=%2B14155551234&Body=We+missed+your+call%3A+5+%E2%82%AC+%2B+1+%26+~%2A_.-";
    let listed = "To=%2B14155550100&From=%2B14155551234&PageSize=100";
    let twilio = Twilio::start(|_, before| if before == 0 { Deed::Hangup(true) } else { Deed::Take });
    let rig = Rig::new(twilio, &body(), "");
    let sid = rig.fails("shape", "+14155550100", "486 Busy Here");
    rig.trace_has(&sid, "text sent");
    let state = rig.twilio.state();
    let [post, get] = &state.asked[..] else { panic!("{:?}", state.asked) };
    let pairs = |text: &str| form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    assert_eq!((post.method.as_str(), &post.target, &post.form), ("POST", &path, &pairs(created)));
    assert_eq!((get.method.as_str(), &get.target, &get.form), ("GET", &format!("{path}?{listed}"), &pairs(listed)));
    for (name, value) in [
        ("authorization", "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjoxMjM0NQ=="),
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "application/json"),
    ] {
        assert_eq!(post.headers[name], value);
    }
    assert_eq!(state.messages.len(), 1, "it was found, not sent again");
    drop(state);
    let log = rig.edge.whole_log();
    assert!(!log.contains("+14155550100") && !log.contains("missed your call") && !log.contains(TOKEN), "{log}");
}

#[test]
fn refused_texts_are_not_repeated_and_the_trace_says_why() {
    let plan = |to: &str, _: usize| match to {
        "+14155550101" => Deed::Refuse(400, 21_610),
        "+14155550102" => Deed::Refuse(400, 21_211),
        "+14155550103" => Deed::Refuse(401, 20_003),
        _ => Deed::Take,
    };
    let rig = Rig::new(Twilio::start(plan), &body(), "[sms]\nper_recipient_per_day = 1\n");
    for (number, status, words) in [
        (
            "+14155550101",
            "486 Busy Here",
            "no text message: the recipient opted out (STOP) to +1415****101: answered 400, error 21610",
        ),
        ("+14155550102", "480 Later", "text refused to +1415****102: answered 400, error 21211: no"),
        ("+14155550103", "500 Broken", "text refused to +1415****103: answered 401, error 20003"),
        (
            "+442079460018",
            "486 Busy Here",
            "no text message: the recipient's number does not belong to US; `allow_prefixes` of [sms] would allow it",
        ),
        ("100", "486 Busy Here", "no text message: the recipient has no number that can receive one"),
        ("anonymous", "486 Busy Here", "no text message: the caller ID is withheld"),
        ("+14155550104", "404 Not Found", "no text message: the call was refused, not missed"),
        ("+14155550105", "486 Busy Here", "text sent to +1415****105: SM"),
        ("+14155550105", "603 Decline", "no text message: the daily limit is reached"),
    ] {
        let sid = rig.fails(&format!("refused-{number}-{}", &status[..3]), number, status);
        rig.trace_has(&sid, words);
    }
    let posts = rig.twilio.state().asked.len();
    assert_eq!(posts, 4, "each once");
    for (result, count) in [("sent", 1), ("refused", 2), ("opted_out", 1), ("limited", 1), ("retried", 0), ("lost", 0)]
    {
        assert_eq!(rig.results(result), count, "{result}");
    }
}

#[test]
fn who_says_stop_gets_nothing_more_until_start_and_only_twilio_may_say_so() {
    let rig = Rig::new(Twilio::start(|_, _| Deed::Take), &body(), "[sms]\nreplies = { help = \"Joe & Co\" }\n");
    assert_eq!(rig.inbound("wrong", "+14155550100", "STOP").0, 403);
    assert_eq!(http("POST", &format!("{}/sms/inbound", rig.edge.url()), &[], "Body=STOP").0, 403);
    let sid = rig.fails("before", "+14155550100", "486 Busy Here");
    rig.trace_has(&sid, "text sent");
    let empty = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";
    assert_eq!(rig.inbound(TOKEN, "+14155550100", " stop. "), (200, empty.to_owned()));
    let sid = rig.fails("stopped", "+14155550100", "486 Busy Here");
    rig.trace_has(&sid, "no text message: the recipient opted out (STOP)");
    // The opt-out is stored.
    let Rig { caller, callee, twilio, edge } = rig;
    let rig = Rig { caller, callee, twilio, edge: edge.kill_and_start_again() };
    let sid = rig.fails("still-stopped", "+14155550100", "486 Busy Here");
    rig.trace_has(&sid, "no text message: the recipient opted out (STOP)");
    let (_, help) = rig.inbound(TOKEN, "+14155550100", "HELP");
    assert!(help.contains("<Message>Joe &amp; Co</Message>"), "{help}");
    assert_eq!(rig.inbound(TOKEN, "+14155550100", "START").0, 200);
    let sid = rig.fails("started", "+14155550100", "486 Busy Here");
    rig.trace_has(&sid, "text sent");
    assert_eq!(rig.twilio.state().messages.len(), 2);
}

/// A reload changes the sending account, and messages in the queue are still sent.
#[test]
fn a_reload_keeps_the_queue() {
    let down = Twilio::start(|_, _| Deed::Refuse(429, 20_429));
    let rig = Rig::new(down, &body(), "");
    let sid = rig.fails("waits", "+14155550100", "486 Busy Here");
    rig.trace_has(&sid, "not accepted: answered 429, error 20429");
    let up = Twilio::start(|_, _| Deed::Take);
    std::fs::write(&rig.edge.file, Rig::config(&rig.caller, &rig.callee, &up, &body(), "")).unwrap();
    let (status, _) = rig.edge.ask("POST", "/v1/reload", "");
    assert_eq!(status, 200);
    rig.trace_has(&sid, "text sent");
    assert_eq!((up.state().taken("+14155550100"), rig.twilio.state().messages.len()), (1, 0));
    assert!(rig.edge.file.with_file_name("trunkgate.db").exists());
}

#[test]
fn a_second_edge_does_not_get_the_file() {
    let rig = Rig::new(Twilio::start(|_, _| Deed::Take), &body(), "");
    let text = std::fs::read_to_string(&rig.edge.file).unwrap();
    let other = rig.edge.file.with_file_name("other.toml");
    std::fs::write(&other, text).unwrap();
    let output = finish(&["--config", other.to_str().unwrap(), "run"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && errors.contains("TG0202") && errors.contains("trunkgate.db"),
        "{errors}"
    );
}

#[test]
fn what_is_wrong_with_a_rule_is_said_at_its_place() {
    let check = |text: &str| {
        let (_directory, file) = write(&config(text));
        let output = finish(&["--config", file.to_str().unwrap(), "check"]);
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let trunk = "[trunk.a]\npeers = [\"sip:127.0.0.1\"]\n";
    let twilio = format!("[twilio]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"x\"\n");
    let rule = |keys: &str| format!("[[route]]\nconnect = [\"trunk:a\"]\nsms_on_failure = {{ {keys} }}\n");
    let good = "to = \"{caller}\", from = \"+14155551234\", body = \"x\"";
    for (text, words) in [
        (rule(good), "error[TG0150]"),
        (format!("{twilio}{}", rule("to = \"{caler}\", from = \"ACME\", body = \"x\"")), "did you mean {caller}?"),
        (
            format!("{twilio}{}", rule("to = \"{caller}\", from = \"ACME\", body = \"{header:X}\"")),
            "unknown placeholder",
        ),
        (
            format!("{twilio}{}", rule("to = \"{called}\", from = \"ACME\", body = \"x\"")),
            "cannot receive text messages",
        ),
        (
            format!("{twilio}{}", rule("to = \"{caller}\", from = \"no sender\\u0007\", body = \"x\"")),
            "cannot send text messages",
        ),
        (format!("{twilio}{}", rule("to = \"{caller}\", from = \"ACME\"")), "without `body`"),
        (format!("{twilio}{}", rule("to = \"{caller}\", from = \"ACME\", body = \" \"")), "is empty"),
        (format!("{twilio}{}", rule(&format!("{good}, on = [\"bussy\"]"))), "did you mean \"busy\"?"),
        (format!("{twilio}[sms]\nallow_prefixes = [\"44\"]\n{}", rule(good)), "is not a number prefix"),
        (format!("[twilio]\naccount_sid = \"{ACCOUNT}\"\n{}", rule(good)), "[twilio] without `auth_token`"),
    ] {
        let (fine, said) = check(&format!("{trunk}{text}"));
        assert!(!fine && said.contains(words), "{words}: {said}");
    }
    let (fine, said) = check(&format!("{trunk}{twilio}{}", rule(good)));
    assert!(fine && said.contains("warning[TG0150]: STOP replies do not arrive"), "{said}");
}

/// Number of failing calls.
const CALLS: usize = 1_000;
/// Number of concurrent calls.
const AT_ONCE: usize = 12;

fn number(call: usize) -> String {
    format!("+1415666{call:04}")
}

/// Each tenth of the recipients causes another failure; only some recipients cause a timeout, which takes long.
fn fails_in_turn(to: &str, before: usize) -> Deed {
    let (ten, one) = to.split_at(to.len() - 1);
    let silent = ["0", "1", "2"].iter().any(|digit| ten.ends_with(digit));
    let nothing = |taken| if silent { Deed::Silence(taken) } else { Deed::Hangup(taken) };
    let deeds = match one {
        "1" => vec![Deed::Refuse(429, 20_429)],
        "2" => vec![Deed::Refuse(500, 20_500)],
        "3" => vec![Deed::TakeAndRefuse(500)],
        "4" => vec![nothing(false)],
        "5" => vec![nothing(true)],
        "6" => vec![Deed::Refuse(429, 20_429), Deed::TakeAndRefuse(503)],
        "7" => vec![Deed::Hangup(true)],
        "8" => vec![Deed::Hangup(false), nothing(true)],
        _ => vec![],
    };
    deeds.get(before).copied().unwrap_or(Deed::Take)
}

/// Returns the number of the call that has this Call-ID.
fn call_of(text: &str) -> Option<usize> {
    field(text, "Call-ID").strip_prefix("call-")?.parse().ok()
}

/// Makes calls until the callee has rejected this many; returns the calls without a final response. A call that an
/// overloaded edge has refused (503) does not count as missed.
fn dial_until(rig: &Rig, next: &mut usize, refused: &mut BTreeMap<usize, u16>, enough: usize) -> Vec<usize> {
    let edge = rig.udp();
    let mut open = Vec::new();
    while refused.len() < enough {
        while open.len() < AT_ONCE && refused.len() + open.len() < CALLS {
            rig.dial(&format!("call-{next}"), &number(*next));
            open.push(*next);
            *next += 1;
        }
        let (text, _) = rig.caller.receive("SIP/2.0 ");
        let code: u16 = text[8..11].parse().unwrap();
        if let Some(call) = call_of(&text).filter(|_| code >= 200) {
            rig.acknowledge(&text, edge, &number(call));
            if code == 503 {
                until("it takes calls again", || (rig.edge.metric("trunkgate_overloaded") == 0.0).then_some(()));
            } else {
                refused.insert(call, code);
            }
            open.retain(|one| *one != call);
        }
    }
    open
}

/// Rejects every call after it has rung, except one to [`RINGS`].
fn refuse_all(callee: &Party) -> std::thread::JoinHandle<()> {
    let party = callee.shared();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        while let Ok((length, from)) = party.socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with("INVITE ") && field(&text, "From").contains(RINGS) {
                party.send(from, &party.answer(&text, "180 Ringing", false));
            } else if text.starts_with("INVITE ") {
                let digit = usize::from(field(&text, "From").as_bytes()["<sip:+1415666000".len()]);
                let status = ["486 Busy Here", "480 Later", "500 Broken", "603 Decline"][digit % 4];
                party.send(from, &party.answer(&text, status, false));
            } else if text.starts_with("STOP") {
                return;
            }
        }
    })
}

/// Calling number of a call that the callee lets ring.
const RINGS: &str = "+14157770000";

#[test]
fn a_thousand_failures_are_one_text_each_whatever_fails_and_whenever_the_edge_is_killed() {
    let twilio = Twilio::start(fails_in_turn);
    let rule = format!("{}, on = [\"busy\", \"no_answer\", \"failed\"]", body());
    let mut rig = Rig::new(twilio, &rule, "");
    let refuser = refuse_all(&rig.callee);
    let (mut next, mut refused) = (0, BTreeMap::new());
    let (mut cut_short, mut rang) = (Vec::new(), false);
    for enough in [CALLS * 3 / 10, CALLS * 6 / 10, CALLS] {
        cut_short.extend(dial_until(&rig, &mut next, &mut refused, enough));
        if enough == CALLS {
            break;
        }
        if !rang {
            // A call that rings when the edge is killed counts as missed.
            rang = true;
            rig.dial("rings", RINGS);
            rig.caller.receive("SIP/2.0 180");
        }
        let Rig { caller, callee, twilio, edge } = rig;
        rig = Rig { caller, callee, twilio, edge: edge.kill_and_start_again() };
    }
    // Timeouts and back-off take time, so the test waits as long as there is progress.
    let waiting = |rig: &Rig| rig.edge.metric("trunkgate_sms_queued") as u64;
    let mut left = waiting(&rig);
    while left > 0 {
        left = until("another text is done with", || Some(waiting(&rig)).filter(|now| *now < left));
    }
    let state = rig.twilio.state();
    for call in refused.keys() {
        let to = number(*call);
        let asked: Vec<_> = state.asked.iter().filter(|asked| asked.field("To") == to).collect();
        assert_eq!(state.taken(&to), 1, "{to}, refused by {}: {asked:?}", refused[call]);
    }
    for call in &cut_short {
        assert!(state.taken(&number(*call)) <= 1, "{}", number(*call));
    }
    assert_eq!(state.taken(RINGS), 1);
    assert_eq!(refused.len(), CALLS);
    drop(state);
    for lost in ["lost", "refused", "limited", "expired", "unknown"] {
        assert_eq!(rig.results(lost), 0, "{lost}");
    }
    rig.caller.send(rig.callee.address, "STOP");
    refuser.join().unwrap();
}
