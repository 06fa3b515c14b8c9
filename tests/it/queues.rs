//! Call queues through the real binary: waiting callers, parties that dial the queue, documents and callbacks of both,
//! and the REST resources.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use serde_json::{Value, json};
use trunkgate_media::agent::sign_form;

use crate::apps::{TOKEN, application, form, parameter, path};
use crate::conferences::{Party, hear, speak};
use crate::support::codecs::Codec;
use crate::support::endpoint::{Endpoint, Post};
use crate::support::{Process, config, http, trunkgate, until};
use crate::twilio_api::{SID, ask, fetched, posted, refused};
use crate::twilio_compat::is_as_on_the_page;
use crate::twilio_messages;

type Document = (&'static str, &'static str);

/// Documents that the callers run.
const WAIT: Document = ("/wait", "<Pause length=\"60\"/>");
const ENQUEUE: Document = ("/enqueue", "<Enqueue action=\"/left\" waitUrl=\"/wait\">support</Enqueue>");
const LEFT: Document = ("/left", "<Hangup/>");

/// Two callers and a party that dials their queue, each with a tone, and the application that serves all of them.
struct Rig {
    parties: Vec<Party>,
    application: Endpoint,
    edge: Process,
}

impl Rig {
    fn new(documents: &'static [(&'static str, &'static str)]) -> Rig {
        let application = application(documents);
        let codecs = [(Codec::Pcmu, 600.0), (Codec::Pcma, 1000.0), (Codec::Opus, 1500.0)];
        let parties: Vec<Party> =
            codecs.into_iter().enumerate().map(|(at, (codec, hz))| Party::new(40 + at, codec, hz)).collect();
        let trunk = |(at, party): (usize, &Party)| {
            let codec = codecs[at].0.name();
            format!("{}codecs = [\"{codec}\"]\n", party.phone.trunk(&format!("phone{at}")))
        };
        let trunks: String = parties.iter().enumerate().map(trunk).collect();
        let app = |name: &str| {
            format!("[app.{name}]\nurl = \"http://{}/{name}\"\nallow_private = true\n", application.address)
        };
        let edge = Process::start(&config(&format!(
            "{trunks}{}{}[api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\nrequests_per_second = 0\n\
             allow_private = true\n[[route]]\nfrom = [\"phone0\", \"phone1\"]\nconnect = [\"app:enqueue\"]\n\
             [[route]]\nfrom = [\"phone2\"]\nconnect = [\"app:dial\"]\n",
            app("enqueue"),
            app("dial"),
        )));
        Rig { parties, application, edge }
    }

    fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        ask(&self.edge, method, path, &twilio_messages::form(fields))
    }

    fn get(&self, path: &str) -> Value {
        fetched(&self.edge, path)
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        posted(&self.edge, path, &twilio_messages::form(fields))
    }

    /// Returns the status and the error code of a request that is rejected.
    fn refused(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, u64) {
        refused(&self.edge, method, path, &twilio_messages::form(fields))
    }

    /// Returns the requests for a document that the application has received.
    fn requests(&self, of: &str) -> Vec<Post> {
        self.application.posts().into_iter().filter(|post| path(post) == of).collect()
    }

    /// Waits for the first request for a document.
    fn request(&self, of: &str) -> Post {
        until(of, || self.requests(of).into_iter().next())
    }

    /// Calls as this caller, which then waits in the queue.
    fn waits(&mut self, at: usize) {
        let before = self.requests("/wait").len();
        self.parties[at].joins(&self.edge);
        until("it hears its document", || (self.requests("/wait").len() > before).then_some(()));
    }

    /// Returns the only queue of the edge.
    fn queue(&self) -> Value {
        let queues = self.get("Queues.json")["queues"].as_array().unwrap().clone();
        let [queue] = &queues[..] else { panic!("{queues:?}") };
        queue.clone()
    }

    fn status(&self) -> [Value; 2] {
        let status = self.edge.json("/v1/status");
        [status["queues"].clone(), status["queued_calls"].clone()]
    }
}

#[test]
fn a_queued_caller_is_connected_with_the_party_that_dials_the_queue() {
    let mut rig = Rig::new(&[
        WAIT,
        ENQUEUE,
        LEFT,
        ("/dial", "<Dial action=\"/dialled\"><Queue url=\"/before\">support</Queue></Dial>"),
        ("/before", "<Pause length=\"1\"/>"),
        ("/dialled", "<Hangup/>"),
    ]);
    rig.waits(0);
    rig.waits(1);
    let [first, second] = &rig.requests("/wait")[..] else { panic!() };
    let values =
        |post: &Post| ["QueuePosition", "CurrentQueueSize", "MaxQueueSize"].map(|name| parameter(post, name)).join(" ");
    assert_eq!((values(first), values(second)), ("1 1 1000".to_owned(), "2 2 1000".to_owned()));
    rig.parties[2].joins(&rig.edge);
    let both = |at, other| at != other && at != 1 && other != 1;
    speak(&mut rig.parties, "the first caller and the party hear each other", |parties| hear(parties, both));
    let before = rig.request("/before");
    assert_eq!(parameter(&before, "CallSid"), parameter(first, "CallSid"));
    assert_eq!(parameter(&before, "QueueSid"), parameter(first, "QueueSid"));
    assert!(parameter(&before, "DequeingCallSid").starts_with("CA"));
    assert_eq!(rig.status(), [json!(1), json!(1)]);
    // The party hangs up: the caller it talked to continues with the action, and the other one still waits.
    rig.parties[2].leaves();
    let left = rig.request("/left");
    let of_queue = ["QueueResult", "QueueSid"].map(|name| parameter(&left, name));
    assert_eq!(of_queue, ["bridged".to_owned(), parameter(first, "QueueSid")]);
    let url = format!("http://{}/left", rig.application.address);
    assert_eq!(left.headers["x-twilio-signature"], sign_form(TOKEN, &url, &form(&left)));
    rig.parties[0].is_hung_up_on();
    let dialled = rig.request("/dialled");
    let of_dial = ["DialCallStatus", "DialCallSid", "DialBridged"].map(|name| parameter(&dialled, name));
    assert_eq!(of_dial, ["completed".to_owned(), parameter(first, "CallSid"), "true".to_owned()]);
    rig.parties[1].leaves();
    let left = until("the other caller's action", || rig.requests("/left").into_iter().nth(1));
    assert_eq!(parameter(&left, "QueueResult"), "hangup");
    until("no call is left", || (rig.edge.json("/v1/status")["calls"] == 0).then_some(()));
}

#[test]
fn queues_and_their_members_are_listed_changed_dequeued_and_deleted() {
    let mut rig = Rig::new(&[WAIT, ENQUEUE, LEFT, ("/taken", "<Hangup/>")]);
    let (status, made) = rig.ask("POST", "Queues.json", &[("FriendlyName", "support"), ("MaxSize", "2")]);
    assert_eq!(status, 201, "{made}");
    let sid = made["sid"].as_str().unwrap().to_owned();
    let expected = [("friendly_name", json!("support")), ("max_size", json!(2)), ("current_size", json!(0))];
    expected.iter().for_each(|(name, value)| assert_eq!(made[name], *value, "{name}"));
    rig.waits(0);
    rig.waits(1);
    let members = format!("Queues/{sid}/Members.json");
    let all = rig.get(&members)["queue_members"].as_array().unwrap().clone();
    assert_eq!(all.iter().map(|member| member["position"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    let page = rig.get(&format!("{members}?PageSize=1"));
    let next = page["next_page_uri"].as_str().unwrap().rsplit_once("/Queues/").unwrap().1.to_owned();
    assert_eq!(rig.get(&format!("Queues/{next}"))["queue_members"][0]["call_sid"], all[1]["call_sid"]);
    let front = rig.get(&format!("Queues/{sid}/Members/Front.json"));
    assert_eq!(front["call_sid"], all[0]["call_sid"]);
    let second = format!("Queues/{sid}/Members/{}.json", all[1]["call_sid"].as_str().unwrap());
    assert_eq!(rig.get(&second)["position"], 2);
    is_as_on_the_page("queue", &[made, rig.queue()]);
    is_as_on_the_page("member", &all);
    // The views for people show the same.
    assert_eq!(rig.status(), [json!(1), json!(2)]);
    assert_eq!(rig.edge.metric("trunkgate_queue_size{queue=\"support\"}"), 2.0);
    let shown = rig.edge.json("/v1/queues")["queues"][0].clone();
    assert_eq!((&shown["size"], &shown["calls"][0]["call"]), (&json!(2), &front["call_sid"]));
    let output = trunkgate(&["status", "--url", &rig.edge.url()]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("QUEUES     1, waiting 2"), "{text}");
    // A queue that contains callers cannot be deleted.
    assert_eq!(rig.refused("DELETE", &format!("Queues/{sid}.json"), &[]), (400, 20_001));
    let changed = rig.post(&format!("Queues/{sid}.json"), &[("FriendlyName", "sales"), ("MaxSize", "9")]);
    assert_eq!((&changed["friendly_name"], &changed["max_size"]), (&json!("sales"), &json!(9)));
    // Requests dequeue callers, from the front and by the SID of the call.
    let url = format!("http://{}/taken", rig.application.address);
    let taken = rig.post(&format!("Queues/{sid}/Members/Front.json"), &[("Url", &url), ("Method", "POST")]);
    assert_eq!(taken["call_sid"], all[0]["call_sid"]);
    rig.parties[0].is_hung_up_on();
    assert_eq!(parameter(&rig.request("/taken"), "CallSid"), all[0]["call_sid"].as_str().unwrap());
    let result = |rig: &Rig, at| until("an action", || rig.requests("/left").into_iter().nth(at));
    assert_eq!(parameter(&result(&rig, 0), "QueueResult"), "redirected");
    rig.post(&second, &[("Url", &url), ("Method", "GET")]);
    rig.parties[1].is_hung_up_on();
    assert_eq!(parameter(&result(&rig, 1), "QueueResult"), "redirected");
    assert_eq!(rig.refused("GET", &second, &[]), (404, 20_404));
    assert_eq!(rig.ask("DELETE", &format!("Queues/{sid}.json"), &[]).0, 204);
    assert_eq!(rig.refused("GET", &format!("Queues/{sid}.json"), &[]), (404, 20_404));
}

#[test]
fn a_full_queue_takes_none_and_an_empty_one_is_waited_for() {
    let mut rig = Rig::new(&[
        WAIT,
        ENQUEUE,
        LEFT,
        ("/dial", "<Dial action=\"/dialled\" timeout=\"1\"><Queue>support</Queue></Dial>"),
        ("/dialled", "<Hangup/>"),
    ]);
    rig.post("Queues.json", &[("FriendlyName", "support"), ("MaxSize", "1")]);
    rig.waits(0);
    rig.parties[1].joins(&rig.edge);
    rig.parties[1].is_hung_up_on();
    assert_eq!(parameter(&rig.request("/left"), "QueueResult"), "queue-full");
    rig.parties[0].leaves();
    until("it is empty", || (rig.queue()["current_size"] == 0).then_some(()));
    rig.parties[2].joins(&rig.edge);
    rig.parties[2].is_hung_up_on();
    assert_eq!(parameter(&rig.request("/dialled"), "DialCallStatus"), "no-answer");
}

#[test]
fn what_cannot_be_done_with_a_queue_is_an_error() {
    let rig = Rig::new(&[]);
    let sid = rig.post("Queues.json", &[("FriendlyName", "support")])["sid"].as_str().unwrap().to_owned();
    rig.post("Queues.json", &[("FriendlyName", "sales")]);
    let (one, none) = (format!("Queues/{sid}.json"), format!("Queues/QU{:032x}", 7));
    let member = format!("Queues/{sid}/Members/CA{:032x}.json", 7);
    let long = "é".repeat(65);
    for (method, path, fields, expected) in [
        ("POST", "Queues.json", &[][..], (400, 20_001)),
        ("POST", "Queues.json", &[("FriendlyName", "support")], (400, 22_003)),
        ("POST", "Queues.json", &[("FriendlyName", long.as_str())], (400, 20_001)),
        ("POST", "Queues.json", &[("FriendlyName", "x"), ("MaxSize", "0")], (400, 20_001)),
        ("POST", "Queues.json", &[("FriendlyName", "x"), ("MaxSize", "5001")], (400, 20_001)),
        ("POST", one.as_str(), &[("FriendlyName", "sales")], (400, 22_003)),
        ("PUT", one.as_str(), &[], (405, 20_004)),
        ("GET", &format!("{none}.json"), &[], (404, 20_404)),
        ("DELETE", &format!("{none}.json"), &[], (404, 20_404)),
        ("GET", &format!("{none}/Members.json"), &[], (404, 20_404)),
        ("GET", member.as_str(), &[], (404, 20_404)),
        ("POST", member.as_str(), &[], (400, 21_205)),
        ("POST", member.as_str(), &[("Url", "ftp://a.example/")], (400, 21_205)),
        ("POST", member.as_str(), &[("Url", "http://a.example/")], (404, 20_404)),
        ("DELETE", member.as_str(), &[], (405, 20_004)),
        ("GET", &format!("Queues/{sid}/Nothing.json"), &[], (404, 20_404)),
    ] {
        assert_eq!(rig.refused(method, path, fields), expected, "{method} {path} {fields:?}");
    }
}

#[test]
fn a_thousand_queues_are_listed_and_no_more_are_made() {
    let rig = Rig::new(&[]);
    for number in 0..1_000 {
        rig.post("Queues.json", &[("FriendlyName", &format!("queue {number}"))]);
    }
    assert_eq!(rig.refused("POST", "Queues.json", &[("FriendlyName", "another")]).0, 400);
    assert_eq!(rig.get("Queues.json?PageSize=1000")["queues"].as_array().unwrap().len(), 1_000);
    assert_eq!(rig.edge.metric("trunkgate_queues"), 1_000.0);
    let (_, metrics) = http("GET", &format!("{}/metrics", rig.edge.url()), &[], "");
    assert_eq!(metrics.lines().filter(|line| line.starts_with("trunkgate_queue_size{")).count(), 50);
}
