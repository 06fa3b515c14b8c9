//! Alerts (`[alerts] url`): the start of the edge, and each problem when it begins and when it has ended, in this order,
//! despite failures of the receiver and kills of the process.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::net::{SocketAddr, TcpListener};

use crate::support::endpoint::{Endpoint, Post, ok, say};
use crate::support::{Process, closed_address, config, until};
use nix::sys::signal::Signal;
use serde_json::Value;

const TRUNK: &str = "[trunk.pbx]\npeers = [\"sip:127.0.0.1\"]\noptions_interval = \"0s\"\n[[route]]\nfrom = [\"pbx\"]\nconnect = [\"reject:404\"]\n";

fn alerting(receiver: SocketAddr, more: &str) -> String {
    config(&format!(
        "{TRUNK}[alerts]\nurl = \"http://{receiver}/hook?key=hush\"\ntoken = \"bearer-word\"\n\
         secret = \"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n{more}"
    ))
}

fn bodies(endpoint: &Endpoint) -> Vec<Value> {
    endpoint.posts().iter().map(|post| serde_json::from_str(&post.body).unwrap()).collect()
}

fn types(endpoint: &Endpoint) -> Vec<String> {
    bodies(endpoint).iter().map(|body| body["event"].as_str().unwrap().to_owned()).collect()
}

fn waiting(edge: &Process) -> f64 {
    edge.metric("trunkgate_alerts_waiting")
}

/// Reloads a configuration with an error, which is a problem until a reload succeeds.
fn break_configuration(edge: &Process, good: &str) {
    std::fs::write(&edge.file, format!("{good}\n[nonsense]\n")).unwrap();
    edge.signal(Signal::SIGHUP);
    until("the reload is rejected", || (edge.metric("trunkgate_config_last_reload_success") == 0.0).then_some(()));
}

fn mend_configuration(edge: &Process, good: &str) {
    let reloads = || edge.metric("trunkgate_config_reloads_total{result=\"success\"}");
    let before = reloads();
    std::fs::write(&edge.file, good).unwrap();
    edge.signal(Signal::SIGHUP);
    until("the reload succeeds", || (reloads() > before).then_some(()));
}

#[test]
fn a_problem_is_reported_when_it_begins_and_when_it_has_ended() {
    let endpoint = Endpoint::taking();
    let good = alerting(endpoint.address, "");
    let edge = Process::start(&good);
    break_configuration(&edge, &good);
    until("it has begun", || (endpoint.posts().len() == 2).then_some(()));
    mend_configuration(&edge, &good);
    until("it has ended", || (endpoint.posts().len() == 3).then_some(()));
    assert_eq!(types(&endpoint), ["edge.started", "problem.began", "problem.ended"]);

    let posts = endpoint.posts();
    let header = |post: &Post, name: &str| post.headers[name].clone();
    assert_eq!(posts[1].line, "POST /hook?key=hush HTTP/1.1");
    assert_eq!(header(&posts[1], "authorization"), "Bearer bearer-word");
    assert!(header(&posts[1], "webhook-signature").starts_with("v1,"));
    assert_ne!(header(&posts[1], "webhook-id"), header(&posts[2], "webhook-id"));
    let [started, began, ended] = bodies(&endpoint).try_into().unwrap();
    assert!(started.get("problem").is_none(), "{started}");
    let name = began["edge"].as_str().unwrap();
    assert!(began["text"].as_str().unwrap().starts_with(&format!("{name}: problem: ")), "{began}");
    assert!(ended["text"].as_str().unwrap().starts_with(&format!("{name}: problem over after ")), "{ended}");
    assert_eq!(began["problem"]["kind"], ended["problem"]["kind"]);
    assert_eq!(began["problem"]["harm"], "restart");
    assert_eq!(began["problem"]["since"], ended["problem"]["since"]);
    assert!(!edge.whole_log().contains("hush"), "{}", edge.whole_log());
}

#[test]
fn alerts_wait_for_their_receiver_over_sigkill_and_keep_their_order_and_names() {
    let address = closed_address();
    let good = alerting(address, "");
    let edge = Process::start(&good);
    break_configuration(&edge, &good);
    until("two wait", || (waiting(&edge) == 2.0).then_some(()));
    let told = until("status tells", || {
        let told = edge.json("/v1/status")["problem_details"].to_string();
        told.contains("alerts_not_delivered").then_some(told)
    });
    assert!(!told.contains("hush") && !told.contains("/hook"), "{told}");
    // The outcome of a later attempt is stored behind them.
    let failures = || edge.metric("trunkgate_alerts_failures_total");
    let before = failures();
    until("another attempt fails", || (failures() > before).then_some(()));
    std::fs::write(&edge.file, &good).unwrap();
    let edge = edge.kill_and_start_again();
    let endpoint = Endpoint::on(TcpListener::bind(address).unwrap(), |number, stream| match number {
        // A failure in between changes no order.
        1 => say(stream, "503 Service Unavailable", ""),
        _ => ok(stream),
    });
    until("nothing waits", || (endpoint.posts().len() >= 4 && waiting(&edge) == 0.0).then_some(()));
    let types = types(&endpoint);
    let began = "problem.began";
    assert_eq!(types, ["edge.started", began, began, "edge.started"]);
    let names = endpoint.posts().iter().map(|post| post.headers["webhook-id"].clone()).collect::<Vec<_>>();
    assert_eq!(names[1], names[2], "a repetition has the same name");
}

#[test]
fn a_receiver_added_by_a_reload_gets_the_problems_that_there_are() {
    let endpoint = Endpoint::taking();
    let (without, with) = (config(TRUNK), alerting(endpoint.address, ""));
    let changed = |text: &str| text.replace("threads = 1", "threads = 2");
    let edge = Process::start(&without);
    mend_configuration(&edge, &changed(&without));
    until("a restart is needed", || edge.log().contains("problem: ").then_some(()));
    assert_eq!(waiting(&edge), 0.0);
    mend_configuration(&edge, &changed(&with));
    until("it is reported", || (types(&endpoint) == ["problem.began"]).then_some(()));
    mend_configuration(&edge, &with);
    until("its end is reported", || (types(&endpoint) == ["problem.began", "problem.ended"]).then_some(()));
    mend_configuration(&edge, &without);
    break_configuration(&edge, &without);
    until("the problem is logged", || edge.log().contains("rejected: a restart would fail: ").then_some(()));
    assert_eq!((endpoint.posts().len(), waiting(&edge)), (2, 0.0));
}

/// A receiver that rejects one alert gets the next ones, and has no say over the one that it never answers.
#[test]
fn an_alert_that_is_rejected_three_times_makes_way_for_the_next() {
    let endpoint = Endpoint::doing(|number, stream| match number {
        0..3 => say(stream, "400 Bad Request", ""),
        _ => ok(stream),
    });
    let good = alerting(endpoint.address, "");
    let edge = Process::start(&good);
    break_configuration(&edge, &good);
    until("the next one is delivered", || (endpoint.posts().len() == 4 && waiting(&edge) == 0.0).then_some(()));
    assert_eq!(types(&endpoint), ["edge.started", "edge.started", "edge.started", "problem.began"]);
    assert_eq!(edge.metric("trunkgate_alerts_lost_total"), 1.0);
    until("status tells nothing of it", || {
        (!edge.json("/v1/status")["problems"].to_string().contains("alerts are")).then_some(())
    });
}
